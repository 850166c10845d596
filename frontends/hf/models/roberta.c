/* roberta.c -- RoBERTa, CamemBERT and XLM-RoBERTa: BERT's encoder with positions that begin behind the
 * padding token's row and do not count padding.
 *
 * Liu et al. 2019, arXiv:1907.11692; Conneau et al. 2019, arXiv:1911.02116. */
#include "frontends/hf/layers.h"

static SnValue encoder(SnBuild *b)
{
    const int64_t pad = sn_nn_int(b, "pad_token_id", 1, 0, INT32_MAX);
    sn_nn_begin(b);
    return sn_nn_bert_layers(b, sn_nn_bert_embeddings(b, sn_nn_counted_positions(b, pad), pad + 1));
}

static void model(SnBuild *b)
{
    sn_nn_bert_outputs(b, encoder(b));
}

static void masked_lm(SnBuild *b)
{
    sn_nn_tag(b, sn_nn_roberta_words(b, encoder(b)));
}

static void causal_lm(SnBuild *b)
{
    sn_nn_next_token(b, sn_nn_roberta_words(b, encoder(b)));
}

static void sequence(SnBuild *b)
{
    sn_nn_roberta_classify(b, encoder(b));
}

static void token(SnBuild *b)
{
    sn_nn_tag(b, sn_nn_head_linear(b, "classifier", encoder(b), sn_nn_labels(b), true));
}

static void question(SnBuild *b)
{
    sn_nn_answer(b, sn_nn_head_linear(b, "qa_outputs", encoder(b), 2, true));
}

static void choice(SnBuild *b)
{
    const SnValue x = sn_nn_bert_pooler(b, encoder(b));
    sn_nn_choose(b, sn_nn_head_linear(b, "classifier", x, 1, true));
}

/* The checkpoints of all three call the encoder "roberta". */
#define ROWS(type, class)                                                                                    \
    {type, class "Model", "feature-extraction", "roberta", model},                                           \
        {type, class "ForMaskedLM", "fill-mask", "roberta", masked_lm},                                      \
        {type, class "ForCausalLM", "text-generation", "roberta", causal_lm},                                \
        {type, class "ForSequenceClassification", "text-classification", "roberta", sequence},               \
        {type, class "ForTokenClassification", "token-classification", "roberta", token},                    \
        {type, class "ForQuestionAnswering", "question-answering", "roberta", question},                     \
    {                                                                                                        \
        type, class "ForMultipleChoice", "multiple-choice", "roberta", choice                                \
    }

const SnArch sn_arch_roberta[] = {
    ROWS("roberta", "Roberta"),
    ROWS("camembert", "Camembert"),
    ROWS("xlm-roberta", "XLMRoberta"),
    {0},
};
