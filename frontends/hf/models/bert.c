/* bert.c -- BERT: an encoder with learned positions and normalisation after each residual.
 *
 * Devlin et al. 2018, arXiv:1810.04805. */
#include "frontends/hf/layers.h"

#include "ops/ops.h"

static SnValue encoder(SnBuild *b)
{
    sn_nn_begin(b);
    return sn_nn_bert_layers(b, sn_nn_bert_embeddings(b, sn_none(), 0));
}

static SnValue predictions(SnBuild *b, SnValue x)
{
    static const char *const bias[] = {"cls.predictions.decoder.bias", "cls.predictions.bias", NULL};
    x = sn_nn_head_linear(b, "cls.predictions.transform.dense", x, 0, true);
    x = sn_nn_act(b, sn_config_string(b->config, "hidden_act", "gelu"), x);
    x = sn_nn_head_norm(b, "cls.predictions.transform.LayerNorm", x, sn_nn_eps(b), true);
    return sn_nn_decoder(b, "cls.predictions.decoder", "bert.embeddings.word_embeddings", bias, x);
}

static void pretraining(SnBuild *b)
{
    const SnValue x = encoder(b), words = predictions(b, x);
    const SnValue order = sn_nn_head_linear(b, "cls.seq_relationship", sn_nn_bert_pooler(b, x), 2, true);
    sn_nn_output(b, "prediction_logits", words);
    sn_nn_output(b, "seq_relationship_logits", order);
    const SnValue word_loss = sn_nn_loss(b, words, "labels");
    const SnValue order_loss = sn_nn_loss(b, order, "next_sentence_label");
    if (word_loss.ref && order_loss.ref)
        sn_nn_output(b, "loss", sn_add(b->g, word_loss, order_loss));
}

static void next_sentence(SnBuild *b)
{
    sn_nn_tag(b, sn_nn_head_linear(b, "cls.seq_relationship", sn_nn_bert_pooler(b, encoder(b)), 2, true));
}

static const SnFamily bert = {.encoder = encoder, .pooled = sn_nn_bert_pooler, .words = predictions};

const SnArch sn_arch_bert[] = {
    {"bert", "BertModel", "feature-extraction", "bert", sn_head_hidden_pooled, &bert},
    {"bert", "BertForMaskedLM", "fill-mask", "bert", sn_head_words, &bert},
    {"bert", "BertLMHeadModel", "text-generation", "bert", sn_head_next_word, &bert},
    {"bert", "BertForPreTraining", "pretraining", "bert", pretraining},
    {"bert", "BertForNextSentencePrediction", "next-sentence-prediction", "bert", next_sentence},
    {"bert", "BertForSequenceClassification", "text-classification", "bert", sn_head_sequence, &bert},
    {"bert", "BertForTokenClassification", "token-classification", "bert", sn_head_token, &bert},
    {"bert", "BertForQuestionAnswering", "question-answering", "bert", sn_head_question, &bert},
    {"bert", "BertForMultipleChoice", "multiple-choice", "bert", sn_head_choice, &bert},
    {0},
};
