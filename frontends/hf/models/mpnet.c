/* mpnet.c -- MPNet: BERT's layers with a bias by the distance of query and key, shared by all layers.
 *
 * Song et al. 2020, arXiv:2004.09297; buckets of distances: Raffel et al. 2019, arXiv:1910.10683. */
#include "frontends/hf/layers.h"

#include "ops/ops.h"

#include <math.h>

#define PAD       1  /* whatever the config says */
#define SIDE      16 /* buckets of keys behind the query; those ahead come after them */
#define MAX_EXACT 8
#define FAR       128

/* Distances below MAX_EXACT have a bucket each, further ones share them by logarithm; FAR and beyond: the
 * last. Each step is rounded to f32, as in the library. */
static int64_t bucket_of(int64_t distance)
{
    if (distance < MAX_EXACT)
        return distance;
    const float whole = (float)log((double)((float)distance / MAX_EXACT));
    const float share = whole / (float)log((double)FAR / MAX_EXACT);
    const int64_t bucket = MAX_EXACT + (int64_t)(share * (SIDE - MAX_EXACT));
    return bucket < SIDE ? bucket : SIDE - 1;
}

/* [1, heads, seq, seq] */
static SnValue distance_bias(SnBuild *b)
{
    SnGraph *g = b->g;
    int64_t buckets[FAR + 1];
    const int64_t n = SN_COUNT(buckets);
    for (int64_t i = 0; i < n; i++)
        buckets[i] = bucket_of(i);
    const SnValue dims[] = {b->seq, b->seq};
    const SnValue behind = sn_sub(g, sn_iota(g, SN_I64, 0, 2, dims), sn_iota(g, SN_I64, 1, 2, dims));
    const SnValue distance = sn_min(g, sn_abs(g, behind), sn_const_int(g, SN_I64, FAR));
    const SnValue near =
        sn_embedding(g, distance,
                     sn_reshape(g, sn_const_data(g, SN_I64, 1, &n, buckets), 2,
                                (SnValue[]){sn_const_int(g, SN_I64, n), sn_const_int(g, SN_I64, 1)}));
    const SnValue ahead = sn_mul(g, sn_cast(g, sn_lt(g, behind, sn_const_int(g, SN_I64, 0)), SN_I64),
                                 sn_const_int(g, SN_I64, SIDE));
    const SnValue bucket = sn_add(g, sn_reshape(g, near, 2, dims), ahead);
    const SnValue bias = sn_permute(g, sn_nn_embedding(b, "mpnet.encoder.relative_attention_bias", bucket),
                                    (const int[]){2, 0, 1});
    return sn_reshape(g, bias, 4,
                      (SnValue[]){sn_const_int(g, SN_I64, 1), sn_dim(g, bias, 0), b->seq, b->seq});
}

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
    b->shared = distance_bias(b);
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
