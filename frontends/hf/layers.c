/* layers.c -- parameters by scope, and the blocks that model files are made of. */
#include "frontends/hf/layers.h"

#include "ops/ops.h"

#include <float.h>
#include <math.h>
#include <stdio.h>

#define NAME_SIZE 512

/* ---- inputs and outputs ---- */

static bool is_in(const char *const *list, size_t n, const char *name)
{
    for (size_t i = 0; i < n; i++)
        if (strcmp(list[i], name) == 0)
            return true;
    return false;
}

bool sn_nn_has_input(const SnBuild *b, const char *name)
{
    return is_in(b->input, b->ninput, name);
}

SnValue sn_nn_input(SnBuild *b, const char *name)
{
    if (!sn_nn_has_input(b, name))
        return sn_none();
    return sn_input(b->g, name, SN_I64, 2, (SnValue[]){b->batch, b->seq});
}

bool sn_nn_wants(const SnBuild *b, const char *name)
{
    return b->nwant == 0 || is_in(b->want, b->nwant, name);
}

void sn_nn_output(SnBuild *b, const char *name, SnValue v)
{
    const SnDtype d = sn_value_dtype(b->g, v);
    if (sn_nn_wants(b, name))
        sn_output(b->g, name, sn_dtype_is_float(d) ? sn_cast(b->g, v, SN_F32) : v);
}

/* hidden_states.i and attentions.i are outputs only where somebody names them. */
static void named_output(SnBuild *b, const char *kind, int64_t i, SnValue v)
{
    char name[64];
    (void)snprintf(name, sizeof name, "%s.%lld", kind, (long long)i);
    if (is_in(b->want, b->nwant, name))
        sn_output(b->g, name, sn_cast(b->g, v, SN_F32));
}

void sn_nn_hidden(SnBuild *b, int64_t i, SnValue x)
{
    named_output(b, "hidden_states", i, x);
}

/* ---- parameters ---- */

/* Checkpoints of a base model lack the prefix of the class that wraps it, others have one too many; the
 * oldest ones spell the parameters of a norm gamma and beta. */
static const SnStTensor *find_tensor(const SnBuild *b, const char *name)
{
    static const char *const old[][2] = {{".weight", ".gamma"}, {".bias", ".beta"}};
    char other[NAME_SIZE];
    const char *prefix = b->arch->prefix;
    const size_t n = strlen(prefix), len = strlen(name);
    const SnStTensor *t = sn_weights_find(b->weights, name);
    if (!t && strncmp(name, prefix, n) == 0 && name[n] == '.')
        t = sn_weights_find(b->weights, name + n + 1);
    else if (!t && snprintf(other, sizeof other, "%s.%s", prefix, name) < (int)sizeof other)
        t = sn_weights_find(b->weights, other);
    for (size_t i = 0; !t && i < SN_COUNT(old); i++) {
        const size_t m = strlen(old[i][0]);
        if (len < m || strcmp(name + len - m, old[i][0]) != 0 ||
            snprintf(other, sizeof other, "%.*s%s", (int)(len - m), name, old[i][1]) >= (int)sizeof other)
            continue;
        t = sn_weights_find(b->weights, other);
        if (!t && strncmp(other, prefix, n) == 0 && other[n] == '.')
            t = sn_weights_find(b->weights, other + n + 1);
    }
    return t;
}

SnValue sn_nn_param_or_none(SnBuild *b, const char *name)
{
    char full[NAME_SIZE], file[NAME_SIZE];
    const char *path = sn_scope_path(b->g);
    if (snprintf(full, sizeof full, "%s%s%s", path, *path ? "." : "", name) >= (int)sizeof full)
        return sn_graph_fail(b->g, SN_EUNSUPPORTED, "%s: the name is too long", name);
    const SnStTensor *t = find_tensor(b, full);
    if (!t || t->name.n >= sizeof file)
        return sn_none();
    if (!sn_dtype_is_float(t->dtype))
        return sn_graph_fail(b->g, SN_EUNSUPPORTED, "%s: weights of dtype %s", full, t->format);
    memcpy(file, t->name.at, t->name.n);
    file[t->name.n] = 0;
    return sn_cast(b->g, sn_param(b->g, file, t->dtype, t->ndim, t->dims), b->dtype);
}

SnValue sn_nn_param(SnBuild *b, const char *name)
{
    const SnValue v = sn_nn_param_or_none(b, name);
    if (v.ref)
        return v;
    const char *path = sn_scope_path(b->g);
    return sn_graph_fail(b->g, SN_EFORMAT, "the checkpoint has no tensor %s%s%s", path, *path ? "." : "",
                         name);
}

/* ---- blocks ---- */

SnValue sn_nn_linear(SnBuild *b, const char *name, SnValue x)
{
    sn_scope_push(b->g, "%s", name);
    const SnValue w = sn_nn_param(b, "weight");
    const SnValue y = sn_linear(b->g, x, w, sn_nn_param_or_none(b, "bias"));
    sn_scope_pop(b->g);
    return y;
}

SnValue sn_nn_embedding(SnBuild *b, const char *name, SnValue ids)
{
    sn_scope_push(b->g, "%s", name);
    const SnValue y = sn_embedding(b->g, ids, sn_nn_param(b, "weight"));
    sn_scope_pop(b->g);
    return y;
}

SnValue sn_nn_layer_norm(SnBuild *b, const char *name, SnValue x, double eps)
{
    sn_scope_push(b->g, "%s", name);
    const SnValue w = sn_nn_param(b, "weight");
    const SnValue y = sn_layer_norm(b->g, x, w, sn_nn_param_or_none(b, "bias"), eps);
    sn_scope_pop(b->g);
    return y;
}

SnValue sn_nn_rms_norm(SnBuild *b, const char *name, SnValue x, double eps)
{
    sn_scope_push(b->g, "%s", name);
    const SnValue y = sn_rms_norm(b->g, x, sn_nn_param(b, "weight"), eps);
    sn_scope_pop(b->g);
    return y;
}

/* Names of Transformers' ACT2FN ▶ ops. */
static const char *const activations[][2] = {
    {"gelu", "gelu"},
    {"gelu_python", "gelu"},
    {"gelu_new", "gelu_tanh"},
    {"gelu_fast", "gelu_tanh"},
    {"gelu_pytorch_tanh", "gelu_tanh"},
    {"gelu_python_tanh", "gelu_tanh"},
    {"gelu_accurate", "gelu_tanh"},
    {"quick_gelu", "quick_gelu"},
    {"relu", "relu"},
    {"relu2", "relu2"},
    {"relu6", "relu6"},
    {"leaky_relu", "leaky_relu"},
    {"silu", "silu"},
    {"swish", "silu"},
    {"mish", "mish"},
    {"sigmoid", "sigmoid"},
    {"tanh", "tanh"},
    {"hardswish", "hard_swish"},
};

SnValue sn_nn_act(SnBuild *b, const char *hidden_act, SnValue x)
{
    if (strcmp(hidden_act, "linear") == 0)
        return x;
    for (size_t i = 0; i < SN_COUNT(activations); i++)
        if (strcmp(activations[i][0], hidden_act) == 0)
            return sn_op(b->g, activations[i][1], &x, 1, NULL, 0);
    return sn_graph_fail(b->g, SN_EUNSUPPORTED, "activation %s", hidden_act);
}

/* ---- attention ---- */

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

void sn_nn_mask(SnBuild *b, SnValue attention_mask)
{
    if (!attention_mask.ref)
        return;
    const SnValue one = sn_const_int(b->g, SN_I64, 1);
    const SnValue keys = sn_reshape(b->g, attention_mask, 4, (SnValue[]){b->batch, one, one, b->seq});
    b->allowed = sn_not(b->g, sn_eq(b->g, keys, sn_const_int(b->g, SN_I64, 0)));
    b->bias = sn_nn_bias_where(b, b->allowed);
}

SnValue sn_nn_split_heads(SnBuild *b, SnValue x, int64_t heads)
{
    const SnValue h = sn_const_int(b->g, SN_I64, heads);
    const SnValue d = sn_idiv(b->g, sn_dim(b->g, x, -1), h);
    const SnValue y = sn_reshape(b->g, x, 4, (SnValue[]){sn_dim(b->g, x, 0), sn_dim(b->g, x, 1), h, d});
    return sn_permute(b->g, y, (const int[]){0, 2, 1, 3});
}

SnValue sn_nn_merge_heads(SnBuild *b, SnValue x)
{
    const SnValue width = sn_mul(b->g, sn_dim(b->g, x, 1), sn_dim(b->g, x, 3));
    const SnValue y = sn_permute(b->g, x, (const int[]){0, 2, 1, 3});
    return sn_reshape(b->g, y, 3, (SnValue[]){sn_dim(b->g, x, 0), sn_dim(b->g, x, 2), width});
}

/* |i - j| <= window, [1, 1, seq, seq]. */
static SnValue in_window(SnBuild *b, int64_t window)
{
    const SnValue one = sn_const_int(b->g, SN_I64, 1);
    const SnValue dims[4] = {one, one, b->seq, b->seq};
    const SnValue i = sn_iota(b->g, SN_I64, 2, 4, dims), j = sn_iota(b->g, SN_I64, 3, 4, dims);
    return sn_lt(b->g, sn_abs(b->g, sn_sub(b->g, i, j)), sn_const_int(b->g, SN_I64, window + 1));
}

/* j <= i, [1, 1, seq, seq]. */
static SnValue in_past(SnBuild *b)
{
    const SnValue one = sn_const_int(b->g, SN_I64, 1);
    const SnValue dims[4] = {one, one, b->seq, b->seq};
    return sn_le(b->g, sn_iota(b->g, SN_I64, 3, 4, dims), sn_iota(b->g, SN_I64, 2, 4, dims));
}

static SnValue attention_bias(SnBuild *b, const SnAttn *a)
{
    SnValue bias = b->bias;
    if (a->window || a->causal) {
        SnValue allowed = a->window ? in_window(b, a->window) : in_past(b);
        if (a->window && a->causal)
            allowed = sn_and(b->g, allowed, in_past(b));
        if (b->allowed.ref)
            allowed = sn_and(b->g, allowed, b->allowed);
        bias = sn_nn_bias_where(b, allowed);
    }
    if (a->score_bias.ref)
        bias = bias.ref ? sn_add(b->g, bias, a->score_bias) : a->score_bias;
    return bias;
}

SnValue sn_nn_attend(SnBuild *b, const SnAttn *a, SnValue q, SnValue k, SnValue v)
{
    int64_t d = a->head_dim;
    if (!d)
        (void)sn_is_const_i64(sn_graph_store(b->g), sn_dim(b->g, q, -1).ref, &d);
    const double scale = a->scale != 0 ? a->scale : 1 / sqrt((double)(d ? d : 1));
    const SnValue bias = attention_bias(b, a);
    if (a->kv_heads && a->kv_heads != a->heads) {
        k = sn_repeat(b->g, k, 1, a->heads / a->kv_heads);
        v = sn_repeat(b->g, v, 1, a->heads / a->kv_heads);
    }
    if (!b->want_probs)
        return sn_attention(b->g, q, k, v, bias, scale);
    b->probs = sn_attention_probs(b->g, q, k, bias, scale);
    return sn_cast(b->g, sn_contract(b->g, "bhqk,bhkd->bhqd", b->probs, v, SN_F32), b->dtype);
}

SnValue sn_nn_attention(SnBuild *b, const SnAttn *a, SnValue x)
{
    const int64_t kv_heads = a->kv_heads ? a->kv_heads : a->heads;
    SnValue q = sn_nn_split_heads(b, sn_nn_linear(b, a->q, x), a->heads);
    SnValue k = sn_nn_split_heads(b, sn_nn_linear(b, a->k, x), kv_heads);
    const SnValue v = sn_nn_split_heads(b, sn_nn_linear(b, a->v, x), kv_heads);
    if (a->rope_freq.ref) {
        const SnValue pos = sn_iota(b->g, SN_I64, 1, 2, (SnValue[]){b->batch, b->seq});
        q = sn_rope(b->g, q, pos, a->rope_freq, false);
        k = sn_rope(b->g, k, pos, a->rope_freq, false);
    }
    const SnValue y = sn_nn_merge_heads(b, sn_nn_attend(b, a, q, k, v));
    return a->o ? sn_nn_linear(b, a->o, y) : y;
}

/* ---- layers ---- */

static bool wants_probs(const SnBuild *b)
{
    for (size_t i = 0; i < b->nwant; i++)
        if (strncmp(b->want[i], "attentions.", 11) == 0)
            return true;
    return false;
}

SnValue sn_nn_layers(SnBuild *b, const char *scope, int64_t n, SnLayerFn *layer, SnValue x)
{
    SnGraph *g = b->g;
    b->want_probs = wants_probs(b);
    for (int64_t i = 0; i < n; i++) {
        sn_nn_hidden(b, i, x);
        sn_scope_push(g, "%s.%lld", scope, (long long)i);
        sn_fn_begin(g, "layer");
        const SnValue arg = sn_fn_arg(g, sn_term(sn_graph_store(g), x.ref)->type);
        b->probs = sn_none();
        SnValue y = layer(b, arg, (int)i);
        const bool has_probs = b->probs.ref != 0;
        if (has_probs)
            y = sn_tuple(g, 2, (SnValue[]){y, b->probs}, NULL);
        y = sn_call(g, sn_fn_end(g, y), 1, &x);
        sn_scope_pop(g);
        x = has_probs ? sn_get(g, y, 0) : y;
        if (has_probs)
            named_output(b, "attentions", i, sn_get(g, y, 1));
    }
    b->want_probs = false;
    return x;
}
