/* mpnet.c -- MPNet: BERT's layers with a bias by the distance of query and key, shared by all layers.
 *
 * Song et al. 2020, arXiv:2004.09297; buckets of distances: Raffel et al. 2019, arXiv:1910.10683. */
#include "frontends/hf/layers.h"

#include "ops/ops.h"

#define PAD     1  /* whatever the config says */
#define BUCKETS 32 /* likewise */
#define FAR     128

static SnValue layer(SnBuild *b, SnValue x, int64_t i)
{
    (void)i;
    const SnAttn attn = {.heads = sn_nn_int(b, "num_attention_heads", 12, 1, 1 << 16),
                         .q = "q",
                         .k = "k",
                         .v = "v",
                         .o = "o",
                         .score_bias = b->shared,
                         .dropout = sn_config_float(b->config, "attention_probs_dropout_prob", 0.1)};
    sn_scope_push(b->g, "attention.attn");
    const SnValue context = sn_nn_hidden_dropout(b, sn_nn_attention(b, &attn, x));
    sn_scope_pop(b->g);
    x = sn_nn_layer_norm(b, "attention.LayerNorm", sn_add(b->g, context, x), sn_nn_eps(b));
    return sn_nn_bert_mlp(b, x);
}

static SnValue encoder(SnBuild *b)
{
    const int64_t n = sn_nn_int(b, "num_hidden_layers", 12, 0, SN_MAX_LAYERS);
    sn_nn_begin(b);
    sn_scope_push(b->g, "mpnet.embeddings");
    SnValue x = sn_nn_words(b, "word_embeddings", PAD);
    x = sn_add(b->g, x, sn_nn_positions(b, "position_embeddings", sn_nn_counted_positions(b, PAD), PAD + 1));
    x = sn_nn_hidden_dropout(b, sn_nn_layer_norm(b, "LayerNorm", x, sn_nn_eps(b)));
    sn_scope_pop(b->g);
    b->shared = sn_nn_distance_bias(b, "mpnet.encoder.relative_attention_bias", BUCKETS, FAR, false);
    x = sn_nn_layers(b, "mpnet.encoder.layer", n, layer, x);
    sn_nn_numbered(b, "hidden_states", n, x);
    return x;
}

static const SnFamily mpnet = {.encoder = encoder, .pooled = sn_nn_bert_pooler, .words = sn_nn_roberta_words};

const SnArch sn_arch_mpnet[] = {
    {"mpnet", "MPNetModel", "feature-extraction", "mpnet", sn_head_hidden_pooled, &mpnet},
    {"mpnet", "MPNetForMaskedLM", "fill-mask", "mpnet", sn_head_words, &mpnet},
    {"mpnet", "MPNetForSequenceClassification", "text-classification", "mpnet", sn_head_first, &mpnet},
    {"mpnet", "MPNetForTokenClassification", "token-classification", "mpnet", sn_head_token, &mpnet},
    {"mpnet", "MPNetForQuestionAnswering", "question-answering", "mpnet", sn_head_question, &mpnet},
    {"mpnet", "MPNetForMultipleChoice", "multiple-choice", "mpnet", sn_head_choice, &mpnet},
    {0},
};
