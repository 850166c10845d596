/* electra.c -- ELECTRA: BERT with narrow embeddings; a discriminator of replaced tokens and its generator.
 *
 * Clark et al. 2020, arXiv:2003.10555. */
#include "frontends/hf/layers.h"

#include "ops/ops.h"

static SnValue encoder(SnBuild *b)
{
    const int64_t narrow = sn_config_int(b->config, "embedding_size", 128);
    sn_nn_begin(b);
    SnValue x = sn_nn_bert_embeddings(b, sn_none(), 0);
    if (narrow != sn_config_int(b->config, "hidden_size", 256))
        x = sn_nn_linear(b, "electra.embeddings_project", x);
    return sn_nn_bert_layers(b, x);
}

static SnValue predictions(SnBuild *b, SnValue x)
{
    static const char *const bias[] = {"generator_lm_head.bias", NULL};
    const int64_t narrow = sn_nn_int(b, "embedding_size", 128, 1, 1 << 20);
    x = sn_gelu(b->g, sn_nn_head_linear(b, "generator_predictions.dense", x, narrow, true));
    x = sn_nn_head_norm(b, "generator_predictions.LayerNorm", x, sn_nn_eps(b), true);
    return sn_nn_decoder(b, "generator_lm_head", "electra.embeddings.word_embeddings", bias, x);
}

/* Was a token replaced? One logit a token; padding does not count in the loss. */
static void pretraining(SnBuild *b)
{
    SnGraph *g = b->g;
    SnValue x = sn_nn_head_linear(b, "discriminator_predictions.dense", encoder(b), 0, true);
    x = sn_nn_act(b, sn_config_string(b->config, "hidden_act", "gelu"), x);
    x = sn_nn_head_linear(b, "discriminator_predictions.dense_prediction", x, 1, true);
    const SnValue logits = sn_reshape(g, x, 2, (SnValue[]){b->batch, b->seq});
    const SnValue labels = sn_nn_input(b, "labels"), mask = sn_nn_input(b, "attention_mask");
    sn_nn_output(b, "logits", logits);
    if (!labels.ref)
        return;
    const SnValue loss = sn_bce_with_logits(g, logits, labels, mask.ref ? "none" : "mean");
    if (!mask.ref) {
        sn_nn_output(b, "loss", loss);
        return;
    }
    const SnValue counts = sn_cast(g, sn_eq(g, mask, sn_const_int(g, SN_I64, 1)), SN_F32);
    const SnValue sum = sn_reduce(g, "add", sn_mul(g, sn_cast(g, loss, SN_F32), counts), 0, NULL, false);
    sn_nn_output(b, "loss", sn_div(g, sum, sn_reduce(g, "add", counts, 0, NULL, false)));
}

static void sequence(SnBuild *b)
{
    SnValue x = sn_nn_class_dropout(b, sn_nn_first_token(b, encoder(b)));
    x = sn_nn_class_dropout(b, sn_gelu(b->g, sn_nn_head_linear(b, "classifier.dense", x, 0, true)));
    sn_nn_classify(b, sn_nn_head_linear(b, "classifier.out_proj", x, sn_nn_labels(b), true));
}

/* The first token, the last or the mean of all, then perhaps a layer of its own. */
static SnValue summary(SnBuild *b, SnValue x)
{
    const char *type = sn_config_string(b->config, "summary_type", "first");
    const SnValue one = sn_const_int(b->g, SN_I64, 1);
    if (strcmp(type, "first") == 0)
        x = sn_nn_first_token(b, x);
    else if (strcmp(type, "last") == 0)
        x = sn_nn_first_token(b, sn_slice_axis(b->g, x, 1, sn_sub(b->g, b->seq, one), one));
    else if (strcmp(type, "mean") == 0)
        x = sn_mean(b->g, x, (const int64_t[]){1}, 1, false);
    else
        return sn_graph_fail(b->g, SN_EUNSUPPORTED, "%s: summary_type %s", b->config->path, type);
    x = sn_nn_dropout(b, x, sn_config_float(b->config, "summary_first_dropout", 0));
    if (sn_config_bool(b->config, "summary_use_proj", true))
        x = sn_nn_head_linear(b, "sequence_summary.summary", x, 0, true);
    return sn_nn_act(b, sn_config_string(b->config, "summary_activation", "gelu"), x);
}

static const SnFamily electra = {.encoder = encoder, .pooled = summary, .words = predictions};

const SnArch sn_arch_electra[] = {
    {"electra", "ElectraModel", "feature-extraction", "electra", sn_head_hidden, &electra},
    {"electra", "ElectraForMaskedLM", "fill-mask", "electra", sn_head_words, &electra},
    {"electra", "ElectraForCausalLM", "text-generation", "electra", sn_head_next_word, &electra},
    {"electra", "ElectraForPreTraining", "pretraining", "electra", pretraining},
    {"electra", "ElectraForSequenceClassification", "text-classification", "electra", sequence},
    {"electra", "ElectraForTokenClassification", "token-classification", "electra", sn_head_token, &electra},
    {"electra", "ElectraForQuestionAnswering", "question-answering", "electra", sn_head_question, &electra},
    {"electra", "ElectraForMultipleChoice", "multiple-choice", "electra", sn_head_choice, &electra},
    {0},
};
