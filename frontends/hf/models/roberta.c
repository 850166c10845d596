/* roberta.c -- RoBERTa, CamemBERT and XLM-RoBERTa: BERT's encoder with positions that begin behind the
 * padding token's row and do not count padding.
 *
 * Liu et al. 2019, arXiv:1907.11692; Conneau et al. 2019, arXiv:1911.02116. */
#include "frontends/hf/layers.h"

#include "ops/ops.h"

/* Tokens that are no padding count from pad + 1; padding stays at pad. */
static SnValue positions(SnBuild *b, int64_t pad)
{
    const SnValue ids = sn_nn_input(b, "input_ids"), padding = sn_const_int(b->g, SN_I64, pad);
    if (!ids.ref)
        return sn_none();
    const SnValue counts = sn_cast(b->g, sn_ne(b->g, ids, padding), SN_I64);
    return sn_add(b->g, sn_mul(b->g, sn_cumsum(b->g, counts, 1, false, false), counts), padding);
}

static SnValue encoder(SnBuild *b)
{
    const int64_t pad = sn_nn_int(b, "pad_token_id", 1, 0, INT32_MAX);
    sn_nn_begin(b);
    return sn_nn_bert_layers(b, sn_nn_bert_embeddings(b, positions(b, pad), pad + 1));
}

static SnValue predictions(SnBuild *b)
{
    static const char *const bias[] = {"lm_head.decoder.bias", "lm_head.bias", NULL};
    SnValue x = sn_gelu(b->g, sn_nn_head_linear(b, "lm_head.dense", encoder(b), 0, true));
    x = sn_nn_head_norm(b, "lm_head.layer_norm", x, sn_nn_eps(b), true);
    return sn_nn_decoder(b, "lm_head.decoder", "roberta.embeddings.word_embeddings", bias, x);
}

static void model(SnBuild *b)
{
    sn_nn_bert_outputs(b, encoder(b));
}

static void masked_lm(SnBuild *b)
{
    sn_nn_tag(b, predictions(b));
}

static void causal_lm(SnBuild *b)
{
    sn_nn_next_token(b, predictions(b));
}

static void sequence(SnBuild *b)
{
    SnValue x = sn_nn_first_token(b, encoder(b));
    x = sn_tanh(b->g, sn_nn_head_linear(b, "classifier.dense", x, 0, true));
    sn_nn_classify(b, sn_nn_head_linear(b, "classifier.out_proj", x, sn_nn_labels(b), true));
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
