/* deberta_v2.c -- DeBERTa v2 and v3: scores are content to content, content to position and position to
 * content, where positions are distances in logarithmic buckets.
 *
 * He et al. 2020, arXiv:2006.03654; 2021, arXiv:2111.09543. */
#include "frontends/hf/layers.h"

#include "ops/ops.h"

#include <math.h>
#include <stdio.h>

#define EPS          1e-7
#define MAX_BUCKETS  (1 << 14)
#define MAX_DISTANCE (1 << 16) /* in the table of buckets; beyond it the last one */

static double eps(const SnBuild *b)
{
    return sn_config_float(b->config, "layer_norm_eps", EPS);
}

/* ---- distances ---- */

typedef struct Distances {
    bool used;
    int64_t buckets, reach; /* buckets 0: every distance is its own */
    int64_t span;           /* rows on each side */
} Distances;

static Distances distances_of(SnBuild *b)
{
    Distances d = {.used = sn_config_bool(b->config, "relative_attention", false)};
    const int64_t positions = sn_nn_int(b, "max_position_embeddings", 512, 1, MAX_DISTANCE);
    d.reach = sn_nn_int(b, "max_relative_positions", -1, -1, MAX_DISTANCE);
    d.reach = d.reach < 1 ? positions : d.reach;
    d.buckets = sn_nn_int(b, "position_buckets", -1, -1, MAX_BUCKETS);
    d.buckets = d.buckets < 1 ? 0 : d.buckets;
    if (d.buckets == 1)
        sn_graph_fail(b->g, SN_EFORMAT, "%s: position_buckets is 1, expected 2 or more", b->config->path);
    d.span = d.buckets ? d.buckets : d.reach;
    return d;
}

/* Half of the buckets hold one distance each, the others share the rest by logarithm. Each step is rounded to
 * f32, as in the library. */
static int64_t bucket_of(const Distances *d, int64_t distance)
{
    const int64_t mid = d->buckets / 2;
    if (!d->buckets || distance <= mid || mid == 0)
        return distance;
    const float far = (float)log((double)(float)((double)(d->reach - 1) / (double)mid));
    const float here = (float)log((double)((float)distance / (float)mid));
    const float share = ceilf(here / far * (float)(mid - 1));
    return share > 0 && share < (float)MAX_DISTANCE ? mid + (int64_t)share : share > 0 ? MAX_DISTANCE : mid;
}

/* Row of the distance of query i and key j, i64[seq, seq], 0 .. 2 span - 1. */
static SnValue rows_of(SnBuild *b, const Distances *d)
{
    SnGraph *g = b->g;
    int64_t n = 4 * (d->reach > d->span ? d->reach : d->span);
    n = n < MAX_DISTANCE ? n : MAX_DISTANCE;
    int64_t *table = sn_arena_array(b->arena, (size_t)n, sizeof *table);
    if (!table)
        return sn_graph_fail(g, SN_ENOMEM, "no memory for buckets");
    for (int64_t i = 0; i < n; i++)
        table[i] = bucket_of(d, i);
    const SnValue dims[] = {b->seq, b->seq};
    const SnValue behind = sn_sub(g, sn_iota(g, SN_I64, 0, 2, dims), sn_iota(g, SN_I64, 1, 2, dims));
    const SnValue distance = sn_min(g, sn_abs(g, behind), sn_size(b->g, n - 1));
    const SnValue bucket =
        sn_gather(g, sn_const_data(g, SN_I64, 1, &n, table), 1, &(int){0}, &distance, NULL);
    const SnValue is_ahead = sn_lt(g, behind, sn_size(b->g, 0));
    const SnValue row = sn_add(g, sn_where(g, is_ahead, sn_neg(g, bucket), bucket), sn_size(b->g, d->span));
    return sn_min(g, sn_max(g, row, sn_size(b->g, 0)), sn_size(b->g, 2 * d->span - 1));
}

static bool has_type(const SnBuild *b, const char *type)
{
    const SnJson *types = sn_config_get(b->config, "pos_att_type");
    SnBytes text;
    if (sn_json_string(types, &text)) { /* "c2p|p2c" */
        for (size_t i = 0; i + 3 <= text.n; i++)
            if (memcmp(text.at + i, type, 3) == 0)
                return true;
        return false;
    }
    for (uint32_t i = 0; types && i < types->n; i++)
        if (sn_json_is(sn_json_at(types, i), type))
            return true;
    return false;
}

/* ---- attention ---- */

/* content[b, h, s, d] against the table of distances: at [q, k], the product of row axis (0: q, 1: k) with
 * the row of their distance. */
static SnValue position_scores(SnBuild *b, SnValue content, SnValue table, SnValue rows, int axis)
{
    SnGraph *g = b->g;
    const SnValue dims[] = {b->seq, b->seq};
    const SnValue all = sn_contract(g, "bhsd,hrd->bhsr", content, table, SN_F32);
    const SnValue at[] = {sn_iota(g, SN_I64, axis, 2, dims), rows};
    return sn_permute(g, sn_gather(g, all, 2, (const int[]){2, 3}, at, NULL), (const int[]){2, 3, 0, 1});
}

/* The rows of distances through a projection, [heads, rows, head_dim]. */
static SnValue table_of(SnBuild *b, const char *name, int64_t heads)
{
    const SnValue rows = sn_nn_linear(b, name, sn_nn_hidden_dropout(b, b->shared));
    const SnValue dims[] = {sn_size(b->g, 1), sn_dim(b->g, rows, 0), sn_dim(b->g, rows, 1)};
    const SnValue x = sn_nn_split_heads(b, sn_reshape(b->g, rows, 3, dims), heads);
    return sn_reshape(b->g, x, 3, (SnValue[]){sn_dim(b->g, x, 1), sn_dim(b->g, x, 2), sn_dim(b->g, x, 3)});
}

/* Content to position and position to content, f32[batch, heads, seq, seq]. */
static SnValue distance_bias(SnBuild *b, const Distances *d, SnValue q, SnValue k, int64_t heads,
                             double scale)
{
    SnGraph *g = b->g;
    const bool shared = sn_config_bool(b->config, "share_att_key", false);
    const SnValue rows = rows_of(b, d);
    SnValue bias = sn_none();
    if (has_type(b, "c2p"))
        bias = position_scores(b, q, table_of(b, shared ? "key_proj" : "pos_key_proj", heads), rows, 0);
    if (has_type(b, "p2c")) {
        const SnValue table = table_of(b, shared ? "query_proj" : "pos_query_proj", heads);
        const SnValue scores = position_scores(b, k, table, rows, 1);
        bias = bias.ref ? sn_add(g, bias, scores) : scores;
    }
    return bias.ref ? sn_mul(g, bias, sn_const(g, SN_F64, scale)) : bias;
}

static SnValue attention(SnBuild *b, SnValue x)
{
    const int64_t heads = sn_nn_int(b, "num_attention_heads", 24, 1, 1 << 16);
    const Distances d = distances_of(b);
    const SnValue q = sn_nn_split_heads(b, sn_nn_linear(b, "query_proj", x), heads);
    const SnValue k = sn_nn_split_heads(b, sn_nn_linear(b, "key_proj", x), heads);
    const SnValue v = sn_nn_split_heads(b, sn_nn_linear(b, "value_proj", x), heads);
    int64_t head_dim = 1;
    if (q.ref)
        (void)sn_is_const_i64(sn_graph_store(b->g), sn_dim(b->g, q, 3).ref, &head_dim);
    const int terms = 1 + has_type(b, "c2p") + has_type(b, "p2c");
    SnAttn attn = {.heads = heads,
                   .scale = 1 / sqrt((double)head_dim * terms),
                   .dropout = sn_config_float(b->config, "attention_probs_dropout_prob", 0.1)};
    if (d.used)
        attn.score_bias = distance_bias(b, &d, q, k, heads, attn.scale);
    return sn_nn_merge_heads(b, sn_nn_attend(b, &attn, q, k, v));
}

static SnValue layer(SnBuild *b, SnValue x, int64_t i)
{
    (void)i;
    sn_scope_push(b->g, "attention.self");
    const SnValue context = attention(b, x);
    sn_scope_pop(b->g);
    sn_scope_push(b->g, "attention.output");
    x = sn_add(b->g, sn_nn_hidden_dropout(b, sn_nn_linear(b, "dense", context)), x);
    x = sn_nn_layer_norm(b, "LayerNorm", x, eps(b));
    sn_scope_pop(b->g);
    const SnValue h = sn_nn_linear(b, "intermediate.dense", x);
    const SnValue y = sn_nn_act(b, sn_config_string(b->config, "hidden_act", "gelu"), h);
    const SnValue out = sn_nn_hidden_dropout(b, sn_nn_linear(b, "output.dense", y));
    return sn_nn_layer_norm(b, "output.LayerNorm", sn_add(b->g, out, x), eps(b));
}

/* ---- encoder ---- */

/* Zero where a token is padding. */
static SnValue masked(SnBuild *b, SnValue x)
{
    const SnValue mask = sn_nn_input(b, "attention_mask"), dims[] = {b->batch, b->seq, sn_size(b->g, 1)};
    return mask.ref ? sn_mul(b->g, x, sn_cast(b->g, sn_reshape(b->g, mask, 3, dims), b->dtype)) : x;
}

static SnValue embeddings(SnBuild *b)
{
    const int64_t width = sn_config_int(b->config, "hidden_size", 1536);
    sn_scope_push(b->g, "deberta.embeddings");
    SnValue x = sn_nn_words(b, "word_embeddings", sn_nn_pad(b, 0));
    if (sn_config_bool(b->config, "position_biased_input", true))
        x = sn_add(b->g, x, sn_nn_positions(b, "position_embeddings", sn_none(), 0));
    if (sn_config_int(b->config, "type_vocab_size", 0) > 0)
        x = sn_add(b->g, x, sn_nn_types(b, "token_type_embeddings"));
    if (sn_config_int(b->config, "embedding_size", width) != width)
        x = sn_nn_linear(b, "embed_proj", x);
    x = sn_nn_layer_norm(b, "LayerNorm", x, eps(b));
    sn_scope_pop(b->g);
    return sn_nn_hidden_dropout(b, masked(b, x));
}

/* Rows of distances, [2 span, width]. */
static SnValue distance_rows(SnBuild *b)
{
    const Distances d = distances_of(b);
    char norm[64];
    (void)snprintf(norm, sizeof norm, "%s", sn_config_string(b->config, "norm_rel_ebd", "none"));
    sn_scope_push(b->g, "deberta.encoder.rel_embeddings");
    SnValue x = sn_nn_param(b, "weight");
    sn_nn_keep_table(b, x);
    sn_scope_pop(b->g);
    x = sn_slice_axis(b->g, x, 0, sn_size(b->g, 0), sn_size(b->g, 2 * d.span));
    return strstr(norm, "layer_norm") ? sn_nn_layer_norm(b, "deberta.encoder.LayerNorm", x, eps(b)) : x;
}

/* A convolution over tokens of the embeddings, added to what the first layer made of them. */
static SnValue convolved(SnBuild *b, SnValue x, SnValue residual)
{
    SnGraph *g = b->g;
    const int64_t n = sn_nn_int(b, "conv_kernel_size", 3, 1, 1 << 10);
    const int64_t groups = sn_nn_int(b, "conv_groups", 1, 1, 1 << 16);
    const SnValue side = sn_size(b->g, n / 2), none = sn_size(b->g, 0), lo[] = {none, side, none},
                  width = sn_dim(g, x, -1);
    const SnValue wide = sn_pad(g, x, lo, lo, sn_const(g, b->dtype, 0), NULL);
    const SnValue each = sn_idiv(g, width, sn_size(b->g, groups)), part = sn_size(b->g, groups);
    sn_scope_push(g, "deberta.encoder.conv");
    const SnValue weight =
        sn_reshape(g, sn_nn_param(b, "conv.weight"), 4, (SnValue[]){part, each, each, sn_size(b->g, n)});
    const SnValue near = sn_reshape(g, sn_window(g, wide, 1, n, 1, 1), 5,
                                    (SnValue[]){b->batch, b->seq, part, each, sn_size(b->g, n)});
    SnValue y = sn_reshape(g, sn_contract(g, "bsgck,gock->bsgo", near, weight, SN_F32), 3,
                           (SnValue[]){b->batch, b->seq, width});
    y = masked(b, sn_cast(g, sn_add(g, y, sn_cast(g, sn_nn_param(b, "conv.bias"), SN_F32)), b->dtype));
    y = sn_nn_act(b, sn_config_string(b->config, "conv_act", "tanh"), sn_nn_hidden_dropout(b, y));
    y = sn_nn_layer_norm(b, "LayerNorm", sn_add(g, residual, y), eps(b));
    sn_scope_pop(g);
    return masked(b, y);
}

/* A padded query sees nothing at all: its row is uniform. */
static void mask_pairs(SnBuild *b)
{
    const SnValue one = sn_size(b->g, 1);
    if (!b->allowed.ref)
        return;
    const SnValue queries = sn_reshape(b->g, b->allowed, 4, (SnValue[]){b->batch, one, b->seq, one});
    b->allowed = sn_and(b->g, b->allowed, queries);
    b->bias = sn_nn_bias_where(b, b->allowed);
}

static SnValue encoder(SnBuild *b)
{
    const int64_t n = sn_nn_int(b, "num_hidden_layers", 24, 0, SN_MAX_LAYERS);
    sn_nn_begin(b);
    mask_pairs(b);
    const SnValue first = embeddings(b);
    SnValue x = first;
    if (sn_config_bool(b->config, "relative_attention", false))
        b->shared = distance_rows(b);
    for (int64_t i = 0; i < n; i++) {
        sn_scope_push(b->g, "deberta.encoder.layer.%lld", (long long)i);
        x = sn_nn_layer(b, i, layer, x);
        sn_scope_pop(b->g);
        if (i == 0 && sn_config_int(b->config, "conv_kernel_size", 0) > 0)
            x = convolved(b, first, x);
    }
    sn_nn_numbered(b, "hidden_states", n, x);
    return x;
}

/* ---- heads ---- */

static SnValue pooled(SnBuild *b, SnValue x)
{
    x = sn_nn_dropout(b, sn_nn_first_token(b, x), sn_config_float(b->config, "pooler_dropout", 0));
    x = sn_nn_head_linear(b, "pooler.dense", x, 0, true);
    return sn_nn_act(b, sn_config_string(b->config, "pooler_hidden_act", "gelu"), x);
}

/* The newer head multiplies with the table of embeddings whatever the config ties. */
static SnValue words(SnBuild *b, SnValue x)
{
    static const char *const bias[] = {"cls.predictions.decoder.bias", "cls.predictions.bias", NULL};
    const char *const table = "deberta.embeddings.word_embeddings";
    const bool legacy = sn_config_bool(b->config, "legacy", true);
    const int64_t narrow = sn_config_int(b->config, "embedding_size", 0);
    x = legacy ? sn_nn_head_linear(b, "cls.predictions.transform.dense", x, narrow, true)
               : sn_nn_head_linear(b, "lm_predictions.lm_head.dense", x, 0, true);
    x = sn_nn_act(b, sn_config_string(b->config, "hidden_act", "gelu"), x);
    x = sn_nn_head_norm(b,
                        legacy ? "cls.predictions.transform.LayerNorm" : "lm_predictions.lm_head.LayerNorm",
                        x, eps(b), true);
    return legacy ? sn_nn_decoder(b, "cls.predictions.decoder", table, bias, x)
                  : sn_linear(b->g, x, sn_nn_param(b, "deberta.embeddings.word_embeddings.weight"),
                              sn_nn_param(b, "lm_predictions.lm_head.bias"));
}

/* Where the config names no problem_type, labels [batch, classes] are shares of each class, and one class
 * loses its axis. */
static void sequence(SnBuild *b)
{
    SnGraph *g = b->g;
    const SnValue logits = sn_nn_head_linear(b, "classifier", sn_nn_class_dropout(b, pooled(b, encoder(b))),
                                             sn_nn_labels(b), true);
    const SnValue labels = sn_nn_input(b, "labels");
    const bool inferred = labels.ref && !sn_config_get(b->config, "problem_type");
    if (inferred && sn_nn_labels(b) == 1) {
        const SnValue x = sn_reshape(g, logits, 1, &b->batch);
        sn_nn_output(b, "logits", x);
        sn_nn_output(b, "loss", sn_mse_loss(g, x, sn_reshape(g, labels, 1, &b->batch), "mean"));
    } else if (inferred && sn_rank(g, labels) == 2 && sn_dim(g, labels, 1).ref != sn_size(b->g, 1).ref) {
        const SnValue shares = sn_mul(g, sn_log_softmax(g, logits, -1), sn_cast(g, labels, SN_F32));
        const SnValue sum = sn_reduce(g, "add", shares, 0, NULL, false);
        sn_nn_output(b, "logits", logits);
        sn_nn_output(b, "loss", sn_neg(g, sn_div(g, sum, b->batch)));
    } else {
        sn_nn_classify(b, logits);
    }
}

static const SnFamily deberta = {.encoder = encoder, .pooled = pooled, .words = words};

const SnArch sn_arch_deberta_v2[] = {
    {"deberta-v2", "DebertaV2Model", "feature-extraction", "deberta", sn_head_hidden, &deberta},
    {"deberta-v2", "DebertaV2ForMaskedLM", "fill-mask", "deberta", sn_head_words, &deberta},
    {"deberta-v2", "DebertaV2ForSequenceClassification", "text-classification", "deberta", sequence},
    {"deberta-v2", "DebertaV2ForTokenClassification", "token-classification", "deberta", sn_head_token,
     &deberta},
    {"deberta-v2", "DebertaV2ForQuestionAnswering", "question-answering", "deberta", sn_head_question,
     &deberta},
    {"deberta-v2", "DebertaV2ForMultipleChoice", "multiple-choice", "deberta", sn_head_choice, &deberta},
    {0},
};
