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

static const SnFamily roberta = {
    .encoder = encoder, .pooled = sn_nn_bert_pooler, .words = sn_nn_roberta_words};

/* The checkpoints of all three call the encoder "roberta". */
#define ROWS(type, class)                                                                                     \
    {type, class "Model", "feature-extraction", "roberta", sn_head_hidden_pooled, &roberta},                  \
        {type, class "ForMaskedLM", "fill-mask", "roberta", sn_head_words, &roberta},                         \
        {type, class "ForCausalLM", "text-generation", "roberta", sn_head_next_word, &roberta},               \
        {type, class "ForSequenceClassification", "text-classification", "roberta", sn_head_first, &roberta}, \
        {type, class "ForTokenClassification", "token-classification", "roberta", sn_head_token, &roberta},   \
        {type, class "ForQuestionAnswering", "question-answering", "roberta", sn_head_question, &roberta},    \
    {                                                                                                         \
        type, class "ForMultipleChoice", "multiple-choice", "roberta", sn_head_choice, &roberta               \
    }

const SnArch sn_arch_roberta[] = {
    ROWS("roberta", "Roberta"),
    ROWS("camembert", "Camembert"),
    ROWS("xlm-roberta", "XLMRoberta"),
    {0},
};
