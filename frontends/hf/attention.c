/* attention.c -- attention of model files: projections, rotary positions, and who sees whom.
 *
 * What a mask or ALiBi says is one additive bias, a term over iotas that no kernel stores.
 * ALiBi: Press et al. 2021, arXiv:2108.12409. Sinks: Xiao et al. 2023, arXiv:2309.17453. */
#include "frontends/hf/adapter.h"

#include "ops/ops.h"

#include <float.h>
#include <math.h>

#define MAX_FAR (1 << 20)

/* ---- heads ---- */

SnValue sn_nn_split_heads(SnBuild *b, SnValue x, int64_t heads)
{
    int64_t width = heads;
    (void)sn_is_const_i64(sn_graph_store(b->g), sn_dim(b->g, x, -1).ref, &width);
    if (width % heads != 0)
        return sn_graph_fail(b->g, SN_EFORMAT, "%s: width %lld is no multiple of %lld heads",
                             sn_scope_path(b->g), (long long)width, (long long)heads);
    const SnValue dims[] = {sn_dim(b->g, x, 0), sn_dim(b->g, x, 1), sn_size(b->g, heads),
                            sn_size(b->g, width / heads)};
    return sn_permute(b->g, sn_reshape(b->g, x, 4, dims), (const int[]){0, 2, 1, 3});
}

SnValue sn_nn_merge_heads(SnBuild *b, SnValue x)
{
    const SnValue width = sn_mul(b->g, sn_dim(b->g, x, 1), sn_dim(b->g, x, 3));
    const SnValue y = sn_permute(b->g, x, (const int[]){0, 2, 1, 3});
    return sn_reshape(b->g, y, 3, (SnValue[]){sn_dim(b->g, x, 0), sn_dim(b->g, x, 2), width});
}

/* ---- positions ---- */

SnValue sn_nn_place(SnBuild *b)
{
    const SnValue dims[] = {b->batch, b->seq}, given = sn_nn_input(b, "position_ids");
    if (b->past && b->past->pads.ref) {
        const SnValue column[] = {b->batch, sn_size(b->g, 1)}, pos = b->past->pos;
        const SnValue behind = sn_add(b->g, pos, sn_reshape(b->g, b->past->pads, 2, column));
        return sn_where(b->g, sn_lt(b->g, pos, sn_size(b->g, sn_adapter_tokens(b->adapter))), pos, behind);
    }
    if (b->past)
        return b->past->pos;
    if (given.ref)
        return sn_broadcast(b->g, given, 2, dims);
    const SnValue place = sn_iota(b->g, SN_I64, 1, 2, dims);
    return b->before ? sn_add(b->g, place, sn_size(b->g, b->before)) : place;
}

SnValue sn_nn_keys(SnBuild *b)
{
    return b->before ? sn_add(b->g, b->seq, sn_size(b->g, b->before)) : b->seq;
}

SnValue sn_nn_rope(SnBuild *b, const SnRope *rope, SnValue x)
{
    const SnValue dims[] = {sn_dim(b->g, x, 0), sn_dim(b->g, rope->freq, -1)};
    const SnValue freq = sn_broadcast(b->g, rope->freq, 2, dims);
    const SnValue y = sn_rope(b->g, x, sn_nn_place(b), freq, rope->pairs, rope->scale);
    if (!rope->row_scale.ref)
        return y;
    const SnValue one = sn_size(b->g, 1), each[] = {sn_dim(b->g, rope->row_scale, 0), one, one, one};
    const SnValue scale = sn_cast(b->g, sn_reshape(b->g, rope->row_scale, 4, each), sn_value_dtype(b->g, y));
    return sn_mul(b->g, y, scale);
}

/* ---- bias of scores ---- */

static double lowest(SnDtype d)
{
    return d == SN_F16    ? -65504.0
           : d == SN_BF16 ? -3.3895313892515355e38
           : d == SN_F64  ? -DBL_MAX
                          : -(double)FLT_MAX;
}

SnValue sn_nn_bias_where(SnBuild *b, SnValue allowed)
{
    return sn_where(b->g, allowed, sn_const(b->g, b->dtype, 0), sn_const(b->g, b->dtype, lowest(b->dtype)));
}

/* Which keys j a query i sees by their places alone, bool[1, 1, seq, seq]; or by row, where it has several
 * sequences. */
static SnValue seen_by_place(SnBuild *b, const SnAttn *a)
{
    const SnValue dims[] = {sn_size(b->g, 1), sn_size(b->g, 1), b->seq, sn_nn_keys(b)};
    SnValue i = sn_iota(b->g, SN_I64, 2, 4, dims);
    if (b->before)
        i = sn_add(b->g, i, sn_size(b->g, b->before));
    const SnValue j = sn_iota(b->g, SN_I64, 3, 4, dims);
    const SnValue behind = sn_sub(b->g, i, j), one = sn_size(b->g, 1),
                  by_query[] = {b->batch, one, b->seq, one};
    SnValue past = sn_ge(b->g, behind, sn_size(b->g, 0));
    if (b->sequence.ref) {
        const SnValue by_key[] = {b->batch, one, one, b->seq};
        past = sn_and(b->g, past,
                      sn_eq(b->g, sn_reshape(b->g, b->sequence, 4, by_query),
                            sn_reshape(b->g, b->sequence, 4, by_key)));
    }
    if (!a->window)
        return past;
    const SnValue near = sn_lt(b->g, sn_abs(b->g, behind), sn_size(b->g, a->window));
    return a->causal ? sn_and(b->g, near, past) : near;
}

/* slope * place of the key, [batch or 1, heads, 1, seq]: softmax does not see that a row of ALiBi is short of
 * slope * place of its query. */
static SnValue alibi(SnBuild *b, const SnAttn *a)
{
    SnGraph *g = b->g;
    const SnValue mask = sn_nn_input(b, "attention_mask"), one = sn_size(b->g, 1);
    const SnValue flat[] = {one, sn_nn_keys(b)}, slopes[] = {one, sn_size(b->g, a->heads), one, one};
    SnValue place = sn_iota(g, SN_I64, 1, 2, flat);
    if (a->alibi_counts && mask.ref) {
        const SnValue counted = sn_cast(g, mask, SN_I64);
        place = sn_mul(g, sn_sub(g, sn_scan(g, "add", counted, 1, false), one), counted);
    }
    const SnValue keys[] = {sn_dim(g, place, 0), one, one, sn_nn_keys(b)};
    const SnDtype dtype = sn_value_dtype(g, a->slopes);
    const SnValue y =
        sn_mul(g, sn_reshape(g, a->slopes, 4, slopes), sn_cast(g, sn_reshape(g, place, 4, keys), dtype));
    return a->alibi_scale != 0 ? sn_mul(g, sn_cast(g, y, SN_F32), sn_const(g, SN_F32, a->alibi_scale)) : y;
}

/* Distances below `exact` have a bucket each, further ones share them by logarithm. Each step is rounded to
 * f32, as in the library. */
static int64_t bucket_of(int64_t distance, int64_t side, int64_t far)
{
    const int64_t exact = side / 2;
    if (distance < exact)
        return distance;
    const float whole = (float)log((double)((float)distance / (float)exact));
    const float share = whole / (float)log((double)far / (double)exact);
    const int64_t bucket = exact + (int64_t)(share * (float)(side - exact));
    return bucket < side ? bucket : side - 1;
}

/* The bucket of each distance 0..far, i64[far + 1, 1]. */
static SnValue buckets_of(SnBuild *b, int64_t side, int64_t far)
{
    const int64_t n = far + 1;
    int64_t *at = sn_arena_array(b->arena, (size_t)n, sizeof *at);
    if (!at)
        return sn_graph_fail(b->g, SN_ENOMEM, "no memory for buckets");
    for (int64_t i = 0; i < n; i++)
        at[i] = bucket_of(i, side, far);
    const SnValue dims[] = {sn_size(b->g, n), sn_size(b->g, 1)};
    return sn_reshape(b->g, sn_const_data(b->g, SN_I64, 1, &n, at), 2, dims);
}

SnValue sn_nn_distance_bias(SnBuild *b, const char *table, int64_t buckets, int64_t far, bool causal)
{
    SnGraph *g = b->g;
    const int64_t side = causal ? buckets : buckets / 2;
    if (side < 2 || far <= side / 2 || far > MAX_FAR)
        return sn_graph_fail(g, SN_EFORMAT, "%s: %lld buckets of distances up to %lld", b->config->path,
                             (long long)buckets, (long long)far);
    const SnValue dims[] = {b->seq, b->seq};
    const SnValue behind = sn_sub(g, sn_iota(g, SN_I64, 0, 2, dims), sn_iota(g, SN_I64, 1, 2, dims));
    const SnValue reach = causal ? sn_max(g, behind, sn_size(b->g, 0)) : sn_abs(g, behind);
    const SnValue near = sn_embedding(g, sn_min(g, reach, sn_size(b->g, far)), buckets_of(b, side, far));
    SnValue bucket = sn_reshape(g, near, 2, dims);
    if (!causal) {
        const SnValue ahead = sn_cast(g, sn_lt(g, behind, sn_size(b->g, 0)), SN_I64);
        bucket = sn_add(g, bucket, sn_mul(g, ahead, sn_size(b->g, side)));
    }
    const SnValue bias = sn_permute(g, sn_nn_embedding(b, table, bucket), (const int[]){2, 0, 1});
    return sn_reshape(g, bias, 4, (SnValue[]){sn_size(b->g, 1), sn_dim(g, bias, 0), b->seq, b->seq});
}

/* What is added to scores; where a query may not see a key, the lowest value stands alone, as in a mask that
 * is filled in. */
static SnValue attention_bias(SnBuild *b, const SnAttn *a)
{
    const bool by_place = a->window || a->causal;
    const SnValue score = a->slopes.ref ? alibi(b, a) : a->score_bias;
    SnValue allowed = b->allowed;
    if (by_place) {
        const SnValue seen = seen_by_place(b, a);
        allowed = allowed.ref ? sn_and(b->g, seen, allowed) : seen;
    }
    if (!score.ref)
        return by_place ? sn_nn_bias_where(b, allowed) : b->bias;
    const SnDtype dtype = sn_value_dtype(b->g, score);
    const SnValue never = sn_const(b->g, dtype, lowest(dtype));
    return allowed.ref ? sn_where(b->g, allowed, score, never) : score;
}

/* ---- attention ---- */

/* x with one zero position before the first, [b, h, s, d] ▶ [b, h, 1 + s, d]. */
static SnValue after_zero(SnBuild *b, SnValue x)
{
    const SnValue none = sn_size(b->g, 0), lo[] = {none, none, sn_size(b->g, 1), none},
                  hi[] = {none, none, none, none};
    return sn_pad(b->g, x, lo, hi, sn_const(b->g, sn_value_dtype(b->g, x), 0), NULL);
}

/* The bias of a sink, then of the positions, [batch, heads, seq, 1 + seq]. */
static SnValue bias_after_sink(SnBuild *b, const SnAttn *a, SnValue bias)
{
    const SnValue one = sn_size(b->g, 1), heads = sn_size(b->g, a->heads), along[] = {one, heads, one, one};
    const SnValue sink[] = {b->batch, heads, b->seq, one}, rest[] = {b->batch, heads, b->seq, sn_nn_keys(b)};
    const SnValue first = sn_cast(b->g, sn_reshape(b->g, a->sinks, 4, along), sn_value_dtype(b->g, bias));
    const SnValue parts[] = {sn_broadcast(b->g, first, 4, sink), sn_broadcast(b->g, bias, 4, rest)};
    return sn_concat(b->g, 2, parts, 3);
}

void sn_nn_sink(SnBuild *b, const SnAttn *a, SnValue *bias, SnValue *k, SnValue *v)
{
    if (!a->sinks.ref)
        return;
    *bias = bias_after_sink(b, a, bias->ref ? *bias : sn_const(b->g, b->dtype, 0));
    *k = after_zero(b, *k);
    *v = after_zero(b, *v);
}

SnValue sn_nn_attend(SnBuild *b, const SnAttn *a, SnValue q, SnValue k, SnValue v)
{
    SnGraph *g = b->g;
    SnAttn whole = *a;
    if (a->causal && !a->stays_causal && !sn_config_bool(b->config, "is_causal", true)) {
        whole.causal = false;
        whole.window += a->window != 0; /* which then holds both of its ends */
    }
    if (b->adapter) {
        k = sn_adapter_past(b, k, false);
        v = sn_adapter_past(b, v, true);
    }
    if (b->past)
        return sn_nn_attend_past(b, a, &whole, q, k, v);
    a = &whole;
    SnValue bias = attention_bias(b, a);
    sn_nn_sink(b, a, &bias, &k, &v);
    const bool drops = b->noise.ref && a->dropout != 0;
    if (!b->want_probs && !drops)
        return sn_attention(g, q, k, v, bias, sn_none(), a->scale, a->softcap);
    const SnValue p = sn_attention_probs(g, q, k, bias, sn_none(), a->scale, a->softcap);
    if (b->want_probs)
        b->probs = a->sinks.ref ? sn_slice_axis(g, p, 3, sn_size(b->g, 1), sn_nn_keys(b)) : p;
    return sn_attention_context(g, sn_nn_dropout(b, p, a->dropout), v);
}

/* Queries or keys, normalised where the family does so. */
static SnValue project(SnBuild *b, const SnAttn *a, const char *name, const char *norm, int64_t heads,
                       SnValue x)
{
    SnValue y = sn_nn_linear(b, name, x);
    if (a->norm && a->norms_whole)
        y = a->norm(b, norm, y);
    y = sn_nn_split_heads(b, y, heads);
    return a->norm && !a->norms_whole ? a->norm(b, norm, y) : y;
}

SnQkv sn_nn_project(SnBuild *b, const SnAttn *a, SnValue x)
{
    const int64_t kv_heads = a->kv_heads ? a->kv_heads : a->heads;
    if (a->heads % kv_heads != 0) {
        sn_graph_fail(b->g, SN_EFORMAT, "%s: %lld heads are no multiple of %lld of keys", sn_scope_path(b->g),
                      (long long)a->heads, (long long)kv_heads);
        return (SnQkv){0};
    }
    return (SnQkv){.q = project(b, a, a->q, a->q_norm, a->heads, x),
                   .k = project(b, a, a->k, a->k_norm, kv_heads, x),
                   .v = sn_nn_split_heads(b, sn_nn_linear(b, a->v, x), kv_heads)};
}

SnValue sn_nn_attend_qkv(SnBuild *b, const SnAttn *a, SnQkv x)
{
    if (a->rope) {
        x.q = sn_nn_rope(b, a->rope, x.q);
        x.k = sn_nn_rope(b, a->rope, x.k);
    }
    const SnValue y = sn_nn_merge_heads(b, sn_nn_attend(b, a, x.q, x.k, x.v));
    return a->o ? sn_nn_linear(b, a->o, y) : y;
}

SnValue sn_nn_attention(SnBuild *b, const SnAttn *a, SnValue x)
{
    return sn_nn_attend_qkv(b, a, sn_nn_project(b, a, x));
}

/* ---- decoders with an encoder ---- */

SnValue sn_nn_cross_attention(SnBuild *b, const SnAttn *a, SnValue x)
{
    const SnValue own = b->bias, probs = b->probs;
    const SnValue q = sn_nn_split_heads(b, sn_nn_linear(b, a->q, x), a->heads),
                  k = sn_nn_split_heads(b, sn_nn_linear(b, a->k, b->memory), a->heads),
                  v = sn_nn_split_heads(b, sn_nn_linear(b, a->v, b->memory), a->heads);
    b->bias = b->memory_bias;
    const SnValue y = sn_nn_merge_heads(b, sn_nn_attend(b, a, q, k, v));
    b->cross = b->want_probs ? b->probs : sn_none();
    b->bias = own;
    b->probs = probs;
    return sn_nn_linear(b, a->o, y);
}

void sn_nn_turn(SnBuild *b, SnValue memory, SnValue ids)
{
    const SnValue mask = sn_nn_input(b, "decoder_attention_mask"), one = sn_size(b->g, 1);
    b->memory = memory;
    b->memory_bias = b->bias;
    b->bias = b->allowed = sn_none();
    b->seq = sn_dim(b->g, ids, 1);
    if (!mask.ref)
        return;
    const SnValue keys = sn_reshape(b->g, mask, 4, (SnValue[]){b->batch, one, one, b->seq});
    b->allowed = sn_not(b->g, sn_eq(b->g, keys, sn_size(b->g, 0)));
    b->bias = sn_nn_bias_where(b, b->allowed);
}

SnValue sn_nn_target_ids(SnBuild *b, SnValue otherwise)
{
    SnGraph *g = b->g;
    const SnValue given = sn_nn_input(b, "decoder_input_ids");
    const int64_t pad = sn_nn_pad(b, 0);
    if (given.ref)
        return given;
    if (!otherwise.ref)
        return sn_graph_fail(g, SN_EINVAL, "decoder_input_ids are not given");
    const SnValue none = sn_size(b->g, 0), lo[] = {none, sn_size(b->g, 1)}, hi[] = {none, sn_size(b->g, -1)};
    const SnValue first = sn_size(b->g, sn_config_int(b->config, "decoder_start_token_id", pad));
    const SnValue later = sn_pad(g, otherwise, lo, hi, first, NULL);
    return sn_where(g, sn_eq(g, later, sn_size(b->g, -100)), sn_size(b->g, pad), later);
}
