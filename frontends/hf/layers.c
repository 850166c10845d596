/* layers.c -- the blocks that model files are made of. */
#include "frontends/hf/adapter.h"

#include "ops/ops.h"

int64_t sn_nn_dim(SnBuild *b, SnValue x, int axis)
{
    int64_t n = 1;
    if (x.ref)
        (void)sn_is_const_i64(sn_graph_store(b->g), sn_dim(b->g, x, axis).ref, &n);
    return n;
}

/* ---- blocks ---- */

SnValue sn_nn_linear(SnBuild *b, const char *name, SnValue x)
{
    sn_scope_push(b->g, "%s", name);
    const SnValue w = sn_nn_narrow(b, sn_nn_param(b, "weight"));
    const SnValue y = sn_nn_adapted(b, b->quant, x, w, sn_nn_param_or_none(b, "bias"), false);
    sn_scope_pop(b->g);
    return y;
}

SnValue sn_nn_conv1d(SnBuild *b, const char *name, SnValue x)
{
    sn_scope_push(b->g, "%s", name);
    const SnValue own = sn_nn_param(b, "weight"); /* GGUF files and bitsandbytes have it turned already */
    const bool is_turned = sn_config_bool(b->config, "conv1d_rows", false) || b->is_packed;
    const uint32_t scope = sn_adapter_outside(b);
    const SnValue w = sn_nn_narrow(b, is_turned ? own : sn_permute(b->g, own, (const int[]){1, 0}));
    sn_adapter_inside(b, scope);
    const SnValue y = sn_nn_adapted(b, b->quant, x, w, sn_nn_param(b, "bias"), !is_turned);
    sn_scope_pop(b->g);
    return y;
}

void sn_nn_range(SnBuild *b, SnValue ids, const char *table, int64_t rows, int64_t ignored)
{
    for (size_t i = 0; i < b->in.n; i++) {
        const SnIdRange r = {b->in.at[i].name, sn_arena_strndup(b->arena, table, strlen(table)), rows,
                             ignored};
        if (ids.ref && b->in.at[i].value.ref == ids.ref &&
            (!r.table || !sn_vec_push(b->arena->memory, &b->range, r)))
            sn_graph_fail(b->g, SN_ENOMEM, "no memory for ranges");
    }
}

/* What learns of w, or of what it is cast from. */
void sn_nn_keep_table(SnBuild *b, SnValue w)
{
    if (!b->trained || sn_graph_check(b->g, NULL) != SN_OK)
        return;
    const SnTerm *t = sn_term(sn_graph_store(b->g), w.ref);
    const SnRef own = t->op == SN_OP_CAST ? t->arg[0] : w.ref;
    const char *name = sn_arena_printf(b->arena, "%s.weight", sn_scope_path(b->g));
    const SnStTensor *file = name ? sn_nn_file_tensor(b, name) : NULL;
    for (size_t i = 0; i < b->trained->used.n; i++)
        b->trained->used.at[i].is_table |= file && b->trained->used.at[i].name == file->name.at;
    if (!sn_vec_push(b->arena->memory, &b->trained->table, own))
        sn_graph_fail(b->g, SN_ENOMEM, "no memory for tables");
}

SnValue sn_nn_embedding(SnBuild *b, const char *name, SnValue ids)
{
    sn_scope_push(b->g, "%s", name);
    const SnValue w = sn_nn_param(b, "weight");
    sn_nn_keep_table(b, w);
    sn_nn_range(b, ids, sn_scope_path(b->g), sn_nn_dim(b, w, 0), 0);
    const SnValue y = sn_nn_adapted_rows(b, ids, w);
    sn_scope_pop(b->g);
    return y;
}

/* Rows of ids, of which that of padding does not learn. */
static SnValue unpadded(SnBuild *b, SnValue rows, SnValue ids, int64_t pad)
{
    if (!b->trained || pad < 0)
        return rows;
    const SnValue dims[] = {sn_dim(b->g, ids, 0), sn_dim(b->g, ids, 1), sn_size(b->g, 1)};
    const SnValue is_pad = sn_reshape(b->g, sn_eq(b->g, ids, sn_size(b->g, pad)), 3, dims);
    return sn_where(b->g, is_pad, sn_stop_gradient(b->g, rows), rows);
}

SnValue sn_nn_words(SnBuild *b, const char *name, int64_t pad)
{
    const SnValue embeds = sn_nn_input(b, "inputs_embeds"), ids = sn_nn_input(b, "input_ids");
    if (embeds.ref)
        return sn_cast(b->g, embeds, b->dtype);
    const SnValue real = b->prompted.ref ? b->prompted : ids;
    sn_scope_push(b->g, "%s", name);
    const char *path = sn_scope_path(b->g);
    b->words = sn_arena_strndup(b->arena, path, strlen(path));
    sn_scope_pop(b->g);
    const SnValue words = sn_nn_neftune(b, unpadded(b, sn_nn_embedding(b, name, real), real, pad));
    return b->adapter ? sn_adapter_words(b, words) : words;
}

int64_t sn_nn_pad(SnBuild *b, int64_t otherwise)
{
    return sn_config_int(b->config, "pad_token_id", otherwise);
}

/* i64[batch, seq] */
static SnValue zeros(SnBuild *b)
{
    const SnValue dims[] = {b->batch, b->seq};
    return sn_broadcast(b->g, sn_size(b->g, 0), 2, dims);
}

SnValue sn_nn_types(SnBuild *b, const char *name)
{
    const SnValue types = sn_nn_input(b, "token_type_ids");
    return sn_nn_embedding(b, name, types.ref ? types : zeros(b));
}

SnValue sn_nn_positions(SnBuild *b, const char *name, SnValue otherwise, int64_t first)
{
    SnValue pos = sn_nn_input(b, "position_ids");
    const SnValue dims[] = {sn_size(b->g, 1), b->seq};
    if (!pos.ref) {
        sn_scope_push(b->g, "%s", name);
        b->max_seq = sn_nn_dim(b, sn_nn_param(b, "weight"), 0) - first;
        sn_scope_pop(b->g);
        pos = otherwise.ref
                  ? otherwise
                  : sn_add(b->g, sn_iota(b->g, SN_I64, 1, 2, dims), sn_size(b->g, first + b->before));
    }
    return unpadded(b, sn_nn_embedding(b, name, pos), pos, first - 1);
}

SnValue sn_nn_first_token(SnBuild *b, SnValue x)
{
    return sn_cls_pool(b->g, x);
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
    const SnValue y = sn_rms_norm(b->g, x, sn_nn_param(b, "weight"), eps, 0);
    sn_scope_pop(b->g);
    return y;
}

SnValue sn_nn_head_linear(SnBuild *b, const char *name, SnValue x, int64_t nout, bool has_bias)
{
    const int64_t in = sn_nn_dim(b, x, -1), dims[] = {nout ? nout : in, in};
    const float spread = (float)sn_config_float(b->config, "initializer_range", 0.02);
    sn_scope_push(b->g, "%s", name);
    const SnValue w = sn_nn_narrow(b, sn_nn_param_or_made(b, "weight", 2, dims, 0, spread));
    const SnValue bias = has_bias ? sn_nn_param_or_made(b, "bias", 1, dims, 0, 0) : sn_none();
    if (nout && w.ref && sn_nn_dim(b, w, 0) != nout)
        sn_graph_fail(b->g, SN_EFORMAT, "%s.weight: %lld rows, the config asks for %lld", sn_scope_path(b->g),
                      (long long)sn_nn_dim(b, w, 0), (long long)nout);
    const SnValue y = sn_nn_adapted(b, NULL, x, w, bias, false);
    sn_scope_pop(b->g);
    return y;
}

SnValue sn_nn_head_norm(SnBuild *b, const char *name, SnValue x, double eps, bool has_bias)
{
    const int64_t n = sn_nn_dim(b, x, -1);
    sn_scope_push(b->g, "%s", name);
    const SnValue w = sn_nn_param_or_made(b, "weight", 1, &n, 1, 0);
    const SnValue bias = has_bias ? sn_nn_param_or_made(b, "bias", 1, &n, 0, 0) : sn_none();
    const SnValue y = sn_layer_norm(b->g, x, w, bias, eps);
    sn_scope_pop(b->g);
    return y;
}

static SnValue gelu_10(SnBuild *b, SnValue x)
{
    return sn_clamp(b->g, sn_gelu(b->g, x), -10, 10);
}

static SnValue linear(SnBuild *b, SnValue x)
{
    (void)b;
    return x;
}

/* (1 + erf((x - sqrt(1/2)) / (sqrt(1 / 4 pi) sqrt 2))) / 2; Ma et al. 2022, arXiv:2209.10655. */
static SnValue laplace(SnBuild *b, SnValue x)
{
    SnGraph *g = b->g;
    const SnValue z = sn_div(g, sn_sub(g, x, sn_const(g, SN_F64, 0.707107)), sn_const(g, SN_F64, 0.282095));
    const SnValue e = sn_erf(g, sn_mul(g, z, sn_const(g, SN_F64, 0.7071067811865476)));
    return sn_mul(g, sn_add(g, e, sn_const(g, SN_F64, 1)), sn_const(g, SN_F64, 0.5));
}

static SnValue sqrt_softplus(SnBuild *b, SnValue x)
{
    return sn_sqrt(b->g, sn_softplus(b->g, x));
}

/* A number that an activation learns, of the module that is one. */
static SnValue learnt(SnBuild *b, const char *name)
{
    static const char *const modules[] = {"act_fn",     "act",     "activation_fn",
                                          "mlp.act_fn", "mlp.act", "mlp.activation_fn"};
    SnValue v = sn_none();
    for (size_t i = 0; i < SN_COUNT(modules) && !v.ref; i++) {
        sn_scope_push(b->g, "%s", modules[i]);
        v = sn_nn_param_or_none(b, name);
        sn_scope_pop(b->g);
    }
    return v.ref ? v : sn_graph_fail(b->g, SN_EFORMAT, "%s: no %s of an activation", b->config->path, name);
}

static SnValue where_positive(SnBuild *b, SnValue x, SnValue yes, SnValue no)
{
    return sn_where(b->g, sn_gt(b->g, x, sn_const(b->g, SN_F64, 0)), yes, no);
}

static SnValue prelu(SnBuild *b, SnValue x)
{
    return where_positive(b, x, x, sn_mul(b->g, x, learnt(b, "weight")));
}

/* Huang and Schlag 2024, arXiv:2411.13010. Its own numbers are bf16 in every model of the library. */
static SnValue xielu(SnBuild *b, SnValue x)
{
    static const char *const names[] = {"alpha_p", "alpha_n", "beta", "eps"};
    enum { UP, DOWN, BETA, EPS, N };
    SnGraph *g = b->g;
    SnValue v[N];
    for (int i = 0; i < N; i++)
        v[i] = sn_cast(g, learnt(b, names[i]), SN_BF16);
    v[UP] = sn_softplus(g, v[UP]);
    v[DOWN] = sn_add(g, v[BETA], sn_softplus(g, v[DOWN]));
    for (int i = 0; i < N; i++)
        v[i] = sn_cast(g, v[i], sn_value_dtype(g, x));
    const SnValue along = sn_mul(g, v[BETA], x), low = sn_sub(g, sn_expm1(g, sn_min(g, x, v[EPS])), x);
    return where_positive(b, x, sn_add(g, sn_mul(g, sn_mul(g, v[UP], x), x), along),
                          sn_add(g, sn_mul(g, low, v[DOWN]), along));
}

/* Names of Transformers' ACT2FN: an op, or a function here. */
static const struct {
    const char *name, *op;
    SnValue (*make)(SnBuild *b, SnValue x);
} activations[] = {
    {"gelu", "gelu", NULL},
    {"gelu_python", "gelu", NULL},
    {"gelu_new", "gelu_tanh", NULL},
    {"gelu_fast", "gelu_tanh", NULL},
    {"gelu_pytorch_tanh", "gelu_tanh", NULL},
    {"gelu_python_tanh", "gelu_tanh", NULL},
    {"gelu_accurate", "gelu_tanh", NULL},
    {"quick_gelu", "quick_gelu", NULL},
    {"relu", "relu", NULL},
    {"relu2", "relu2", NULL},
    {"relu6", "relu6", NULL},
    {"leaky_relu", "leaky_relu", NULL},
    {"silu", "silu", NULL},
    {"swish", "silu", NULL},
    {"mish", "mish", NULL},
    {"sigmoid", "sigmoid", NULL},
    {"tanh", "tanh", NULL},
    {"hardswish", "hard_swish", NULL},
    {"gelu_10", NULL, gelu_10},
    {"laplace", NULL, laplace},
    {"linear", NULL, linear},
    {"sqrtsoftplus", NULL, sqrt_softplus},
    {"prelu", NULL, prelu},
    {"xielu", NULL, xielu},
};

SnValue sn_nn_act(SnBuild *b, const char *hidden_act, SnValue x)
{
    const size_t i = SN_FIND_ROW(activations, name, sn_bytes_str(hidden_act));
    if (i < SN_COUNT(activations))
        return activations[i].op ? sn_op(b->g, activations[i].op, &x, 1, NULL, 0) : activations[i].make(b, x);
    return sn_graph_fail(b->g, SN_EUNSUPPORTED, "%s: activation %s", b->config->path, hidden_act);
}

/* ---- layers ---- */

static bool wants_probs(const SnBuild *b)
{
    for (size_t i = 0; i < b->nwant; i++)
        if (strstr(b->want[i], "attentions."))
            return true;
    return false;
}

/* What a layer gives: the hidden state, probabilities and routing where they are wanted, what it keeps. */
static SnValue layer_results(SnBuild *b, SnValue y)
{
    const size_t kept = b->past ? b->past->next.n : 0;
    SnValue *all = sn_arena_array(b->arena, kept + 4, sizeof *all);
    int n = 0;
    if (!all)
        return sn_graph_fail(b->g, SN_ENOMEM, "no memory for the results of a layer");
    all[n++] = y;
    if (b->probs.ref)
        all[n++] = b->probs;
    if (b->cross.ref)
        all[n++] = b->cross;
    if (b->routing.logits.ref)
        all[n++] = b->routing.logits;
    for (size_t i = 0; i < kept; i++)
        all[n++] = b->past->next.at[i].next;
    return n > 1 ? sn_tuple(b->g, n, all, NULL) : y;
}

SnValue sn_nn_layer(SnBuild *b, int64_t i, SnLayerFn *layer, SnValue x)
{
    SnGraph *g = b->g;
    int n = 0;
    const SnValue noise = b->noise.ref ? sn_next_key(g, b->noise) : sn_none();
    sn_nn_numbered(b, "hidden_states", i, x);
    b->layer = i;
    b->noise = noise;
    b->place = 0;
    sn_fn_begin(g, "layer");
    const SnValue arg = sn_fn_arg(g, sn_term(sn_graph_store(g), x.ref)->type);
    b->want_probs = wants_probs(b);
    b->probs = b->cross = b->routing.logits = sn_none();
    if (b->past)
        b->past->next.n = 0;
    SnValue y = layer_results(b, layer(b, arg, i));
    const bool has_probs = b->probs.ref != 0, has_cross = b->cross.ref != 0,
               has_routing = b->routing.logits.ref != 0;
    const size_t kept = b->past ? b->past->next.n : 0;
    y = (b->trained && b->trained->is_remat ? sn_call_remat : sn_call)(g, sn_fn_end(g, y), 1, &x);
    if (!has_probs && !has_cross && !has_routing && kept == 0)
        return y;
    x = sn_get(g, y, n++);
    if (has_probs)
        sn_nn_numbered(b, "attentions", i, sn_get(g, y, n++));
    if (has_cross)
        sn_nn_numbered(b, "cross_attentions", i, sn_get(g, y, n++));
    if (has_routing)
        sn_nn_routed(b, sn_get(g, y, n++));
    for (size_t k = 0; k < kept; k++)
        sn_next(g, b->past->next.at[k].carry, sn_get(g, y, n++));
    return x;
}

SnValue sn_nn_layers(SnBuild *b, const char *name, int64_t n, SnLayerFn *layer, SnValue x)
{
    for (int64_t i = 0; i < n; i++) {
        sn_scope_push(b->g, "%s.%lld", name, (long long)i);
        x = sn_nn_layer(b, i, layer, x);
        sn_scope_pop(b->g);
    }
    return x;
}
