/* albert.c -- ALBERT: BERT with narrow embeddings, and layers that share their parameters in groups.
 *
 * Lan et al. 2019, arXiv:1909.11942. */
#include "frontends/hf/layers.h"

#include "ops/ops.h"

static const char *act(const SnBuild *b)
{
    return sn_config_string(b->config, "hidden_act", "gelu_new");
}

static SnValue dropout(SnBuild *b, SnValue x)
{
    return sn_nn_dropout(b, x, sn_config_float(b->config, "hidden_dropout_prob", 0));
}

static SnValue layer(SnBuild *b, SnValue x, int64_t i)
{
    (void)i;
    const SnAttn attn = {.heads = sn_nn_int(b, "num_attention_heads", 64, 1, 1 << 16),
                         .q = "query",
                         .k = "key",
                         .v = "value",
                         .o = "dense",
                         .dropout = sn_config_float(b->config, "attention_probs_dropout_prob", 0)};
    sn_scope_push(b->g, "attention");
    x = sn_nn_layer_norm(b, "LayerNorm", sn_add(b->g, x, dropout(b, sn_nn_attention(b, &attn, x))),
                         sn_nn_eps(b));
    sn_scope_pop(b->g);
    const SnValue h = sn_nn_linear(b, "ffn_output", sn_nn_act(b, act(b), sn_nn_linear(b, "ffn", x)));
    return sn_nn_layer_norm(b, "full_layer_layer_norm", sn_add(b->g, h, x), sn_nn_eps(b));
}

static SnValue encoder(SnBuild *b)
{
    const int64_t n = sn_nn_int(b, "num_hidden_layers", 12, 0, SN_MAX_LAYERS);
    const int64_t groups = sn_nn_int(b, "num_hidden_groups", 1, 1, SN_MAX_LAYERS);
    const int64_t inner = sn_nn_int(b, "inner_group_num", 1, 1, SN_MAX_LAYERS);
    sn_nn_begin(b);
    SnValue x = sn_nn_bert_embeddings(b, sn_none(), 0);
    x = sn_nn_linear(b, "albert.encoder.embedding_hidden_mapping_in", x);
    for (int64_t i = 0; i < n * inner; i++) {
        const int64_t group = i / inner * groups / n;
        sn_scope_push(b->g, "albert.encoder.albert_layer_groups.%lld.albert_layers.%lld", (long long)group,
                      (long long)(i % inner));
        x = sn_nn_layer(b, i, layer, x);
        sn_scope_pop(b->g);
    }
    sn_nn_numbered(b, "hidden_states", n * inner, x);
    return x;
}

static SnValue pooler(SnBuild *b, SnValue x)
{
    return sn_tanh(b->g, sn_nn_head_linear(b, "albert.pooler", sn_nn_first_token(b, x), 0, true));
}

static SnValue predictions(SnBuild *b, SnValue x)
{
    static const char *const bias[] = {"predictions.decoder.bias", "predictions.bias", NULL};
    const int64_t narrow = sn_nn_int(b, "embedding_size", 128, 1, 1 << 20);
    x = sn_nn_act(b, act(b), sn_nn_head_linear(b, "predictions.dense", x, narrow, true));
    x = sn_nn_head_norm(b, "predictions.LayerNorm", x, sn_nn_eps(b), true);
    return sn_nn_decoder(b, "predictions.decoder", "albert.embeddings.word_embeddings", bias, x);
}

static void pretraining(SnBuild *b)
{
    const SnValue x = encoder(b), words = predictions(b, x);
    const SnValue order = sn_nn_head_linear(b, "sop_classifier.classifier",
                                            sn_nn_class_dropout(b, pooler(b, x)), sn_nn_labels(b), true);
    sn_nn_output(b, "prediction_logits", words);
    sn_nn_output(b, "sop_logits", order);
    const SnValue word_loss = sn_nn_loss(b, words, "labels");
    const SnValue order_loss = sn_nn_loss(b, order, "sentence_order_label");
    if (word_loss.ref && order_loss.ref)
        sn_nn_output(b, "loss", sn_add(b->g, word_loss, order_loss));
}

static const SnFamily albert = {.encoder = encoder, .pooled = pooler, .words = predictions};

const SnArch sn_arch_albert[] = {
    {"albert", "AlbertModel", "feature-extraction", "albert", sn_head_hidden_pooled, &albert},
    {"albert", "AlbertForMaskedLM", "fill-mask", "albert", sn_head_words, &albert},
    {"albert", "AlbertForPreTraining", "pretraining", "albert", pretraining},
    {"albert", "AlbertForSequenceClassification", "text-classification", "albert", sn_head_sequence, &albert},
    {"albert", "AlbertForTokenClassification", "token-classification", "albert", sn_head_token, &albert},
    {"albert", "AlbertForQuestionAnswering", "question-answering", "albert", sn_head_question, &albert},
    {"albert", "AlbertForMultipleChoice", "multiple-choice", "albert", sn_head_choice, &albert},
    {0},
};
