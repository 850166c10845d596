/* moe.c -- mixtures of experts. */
#include "frontends/hf/moe.h"

#include "frontends/hf/adapter.h"
#include "ops/ops.h"

#include <math.h>

/* ---- who is chosen ---- */

static bool wants_routing(const SnBuild *b)
{
    bool wants = b->nwant == 0;
    for (size_t i = 0; i < b->nwant; i++)
        wants = wants || strcmp(b->want[i], "loss") == 0 || strcmp(b->want[i], "aux_loss") == 0 ||
                strncmp(b->want[i], "router_logits.", 14) == 0;
    return wants && !b->past && sn_config_bool(b->config, "output_router_logits", false);
}

SnValue sn_moe_router(SnBuild *b, const char *name, SnValue x)
{
    const SnDtype dtype = b->dtype;
    b->dtype = sn_value_dtype(b->g, x);
    const SnValue logits = sn_cast(b->g, sn_nn_linear(b, name, x), SN_F32);
    b->dtype = dtype;
    if (wants_routing(b))
        b->routing.logits = logits;
    return logits;
}

SnValue sn_moe_greatest(SnBuild *b, SnValue scores, int64_t k)
{
    SnGraph *g = b->g;
    const SnValue n = sn_dim(g, scores, -1), first = sn_get(g, sn_top_k(g, scores, k, -1, true), 1);
    const SnValue lead[] = {sn_dim(g, scores, 0), sn_dim(g, scores, 1)};
    const SnValue column[] = {lead[0], lead[1], sn_size(b->g, k), sn_size(b->g, 1)};
    const SnValue row[] = {sn_size(b->g, 1), sn_size(b->g, 1), sn_size(b->g, 1), n};
    const SnValue is = sn_eq(g, sn_reshape(g, first, 4, column), sn_iota(g, SN_I64, 3, 4, row));
    return sn_reduce(g, "or", is, 1, &(int){2}, false);
}

/* Numbers of x [batch, seq, n] at places [batch, seq, k] of its last axis. */
static SnValue along(SnBuild *b, SnValue x, SnValue place)
{
    SnGraph *g = b->g;
    const SnValue dims[] = {sn_dim(g, place, 0), sn_dim(g, place, 1), sn_dim(g, place, 2)};
    const SnValue at[] = {sn_iota(g, SN_I64, 0, 3, dims), sn_iota(g, SN_I64, 1, 3, dims), place};
    return sn_gather(g, x, 3, (const int[]){0, 1, 2}, at, NULL);
}

SnChoice sn_moe_choose_by(SnBuild *b, SnValue by, SnValue of, int64_t k)
{
    const SnValue best = sn_get(b->g, sn_top_k(b->g, by, k, -1, true), 1);
    const SnValue rising = sn_get(b->g, sn_sort(b->g, 1, &best, 1, 2, false, 0), 0);
    return (SnChoice){.nexpert = sn_nn_dim(b, by, -1), .expert = rising, .weight = along(b, of, rising)};
}

SnChoice sn_moe_choose(SnBuild *b, SnValue logits, int64_t k, bool is_normed)
{
    const SnValue p = sn_softmax(b->g, logits, -1);
    SnChoice c = sn_moe_choose_by(b, p, p, k);
    if (is_normed)
        c.weight = sn_div(b->g, c.weight, sn_sum_of(b->g, c.weight, -1));
    return c;
}

SnChoice sn_moe_choose_first(SnBuild *b, SnValue logits, int64_t k)
{
    SnChoice c = sn_moe_choose_by(b, logits, logits, k);
    c.weight = sn_softmax(b->g, c.weight, -1);
    return c;
}

/* Softmax of left [.., experts] over those whose logits are near its greatest. */
static SnValue near_softmax(SnBuild *b, SnValue left, SnValue logits, double jitter)
{
    SnGraph *g = b->g;
    const SnValue top = sn_max_of(g, left, -1), size_of = sn_max(g, sn_abs(g, logits), top);
    const SnValue behind = sn_div(g, sn_sub(g, top, logits), size_of);
    const SnValue is_far = sn_gt(g, behind, sn_const(g, SN_F32, 2 * jitter));
    return sn_softmax(g, sn_where(g, is_far, sn_const(g, SN_F32, -HUGE_VAL), left), -1);
}

SnChoice sn_moe_choose_sparse(SnBuild *b, SnValue logits, double jitter)
{
    SnGraph *g = b->g;
    const SnValue first = sn_moe_greatest(b, logits, 1);
    const SnValue rest = sn_where(g, first, sn_const(g, SN_F32, -HUGE_VAL), logits);
    const SnValue weight =
        sn_where(g, first, near_softmax(b, logits, logits, jitter), near_softmax(b, rest, logits, jitter));
    return sn_moe_choose_by(b, logits, weight, 2);
}

/* ---- how evenly ---- */

/* Tokens that count, f32[batch or 1, seq, 1]. */
static SnValue counted(SnBuild *b)
{
    const SnValue one = sn_size(b->g, 1), all[] = {b->batch, b->seq, one};
    const SnValue mask = b->sequence.ref ? sn_ge(b->g, sn_nn_place(b), sn_size(b->g, 0))
                                         : sn_nn_input(b, "attention_mask");
    return mask.ref ? sn_cast(b->g, sn_reshape(b->g, mask, 3, all), SN_F32)
                    : sn_broadcast(b->g, sn_const(b->g, SN_F32, 1), 3, all);
}

static SnValue over_tokens(SnBuild *b, SnValue x, SnValue before)
{
    const SnValue sum = sn_reduce(b->g, "add", sn_mul(b->g, x, counted(b)), 2, (const int[]){0, 1}, false);
    return before.ref ? sn_add(b->g, before, sum) : sum;
}

void sn_nn_routed(SnBuild *b, SnValue logits)
{
    SnGraph *g = b->g;
    SnRouting *r = &b->routing;
    const SnValue n = sn_dim(g, logits, -1), rows[] = {sn_mul(g, b->batch, b->seq), n};
    const SnValue p = sn_softmax(g, logits, -1);
    const int64_t k = sn_nn_int(b, "num_experts_per_tok", 2, 1, sn_nn_dim(b, logits, -1));
    sn_nn_numbered(b, "router_logits", r->nlayer, sn_reshape(g, logits, 2, rows));
    r->load = over_tokens(b, sn_cast(g, sn_moe_greatest(b, p, k), SN_F32), r->load);
    r->share = over_tokens(b, p, r->share);
    r->nlayer++;
}

SnValue sn_nn_balance(SnBuild *b)
{
    SnGraph *g = b->g;
    const SnRouting *r = &b->routing;
    if (r->nlayer == 0)
        return sn_none();
    const SnValue tokens = sn_reduce(g, "add", counted(b), 3, (const int[]){0, 1, 2}, false);
    const SnValue rows = sn_nn_times(b, tokens, (double)r->nlayer);
    const SnValue each = sn_mul(g, sn_div(g, r->load, rows), sn_div(g, r->share, rows));
    const double experts = (double)sn_nn_dim(b, r->load, 0);
    return sn_nn_times(b, sn_reduce(g, "add", each, 1, (const int[]){0}, false), experts);
}

/* ---- what they say ---- */

SnValue sn_moe_linear(SnBuild *b, const SnExpertRows *rows, const char *name, SnValue x, SnValue w,
                      SnValue bias)
{
    const SnValue y = sn_nn_product_grouped(b, b->quant, x, w, bias, rows->expert);
    return b->adapter && name ? sn_nn_adapted_experts(b, name, x, y, rows->expert, rows->nexpert) : y;
}

SnValue sn_moe_stack(SnBuild *b, const SnExpertRows *rows, const char *name)
{
    SnValue *all = sn_arena_array(b->arena, (size_t)rows->nexpert, sizeof *all);
    if (!all)
        return sn_graph_fail(b->g, SN_ENOMEM, "no memory for %lld experts", (long long)rows->nexpert);
    for (int64_t i = 0; i < rows->nexpert; i++) {
        sn_scope_push(b->g, "%lld.%s", (long long)i, name);
        all[i] = sn_nn_param(b, "weight");
        sn_scope_pop(b->g);
    }
    return sn_nn_stack(b, (int)rows->nexpert, all);
}

typedef struct Names {
    const char *gate, *up, *down;
} Names;

SnValue sn_moe_fused(SnBuild *b, const SnExpertRows *rows, SnValue x, SnValue both, SnValue down)
{
    const char *act = sn_config_string(b->config, "hidden_act", "silu");
    const SnValue wide = sn_moe_linear(b, rows, "gate_up_proj", x, both, sn_none());
    const int64_t n = sn_nn_dim(b, wide, -1) / 2;
    const SnValue gate = sn_nn_act(b, act, sn_nn_part(b, wide, 0, n));
    const SnValue h = sn_mul(b->g, gate, sn_nn_part(b, wide, n, n));
    return sn_moe_linear(b, rows, "down_proj", h, down, sn_none());
}

/* Transformers 5 has all experts in two tensors, published checkpoints have three for each. */
static SnValue gated(SnBuild *b, const SnExpertRows *rows, const Names *names, SnValue x)
{
    const char *act = sn_config_string(b->config, "hidden_act", "silu");
    const SnValue both = sn_nn_param_or_none(b, "gate_up_proj"), none = sn_none();
    if (both.ref)
        return sn_moe_fused(b, rows, x, both, sn_nn_param(b, "down_proj"));
    SnValue gate = sn_moe_linear(b, rows, NULL, x, sn_moe_stack(b, rows, names->gate), none);
    SnValue up = sn_moe_linear(b, rows, NULL, x, sn_moe_stack(b, rows, names->up), none);
    if (b->adapter) {
        const SnValue wide = sn_concat(b->g, 2, (SnValue[]){gate, up}, 1);
        const SnValue all = sn_nn_adapted_experts(b, "gate_up_proj", x, wide, rows->expert, rows->nexpert);
        const int64_t n = sn_nn_dim(b, gate, -1);
        gate = all.ref == wide.ref ? gate : sn_nn_part(b, all, 0, n);
        up = all.ref == wide.ref ? up : sn_nn_part(b, all, n, n);
    }
    const SnValue h = sn_mul(b->g, sn_nn_act(b, act, gate), up);
    return sn_moe_linear(b, rows, "down_proj", h, sn_moe_stack(b, rows, names->down), none);
}

SnValue sn_moe_gated(SnBuild *b, const SnExpertRows *rows, SnValue x)
{
    return gated(b, rows, &(Names){"gate_proj", "up_proj", "down_proj"}, x);
}

SnValue sn_moe_mixtral(SnBuild *b, const SnExpertRows *rows, SnValue x)
{
    return gated(b, rows, &(Names){"w1", "w3", "w2"}, x);
}

/* Rows [tokens * k] are the choices of all tokens; `order` sorts them by expert, `back` undoes that. */
typedef struct Sorted {
    SnValue expert, order, back;
} Sorted;

static Sorted sort_rows(SnBuild *b, SnValue expert)
{
    SnGraph *g = b->g;
    const SnValue n = sn_dim(g, expert, 0), rows = sn_iota(g, SN_I64, 0, 1, &n);
    const SnValue both = sn_sort(g, 2, (const SnValue[]){expert, rows}, 1, 0, false, 0);
    const Sorted s = {.expert = sn_get(g, both, 0), .order = sn_get(g, both, 1)};
    const SnValue zeros = sn_broadcast(g, sn_size(b->g, 0), 1, &n);
    return (Sorted){.expert = s.expert,
                    .order = s.order,
                    .back = sn_scatter(g, "set", zeros, 1, (const int[]){0}, &s.order, rows)};
}

SnValue sn_moe_mix(SnBuild *b, const char *name, SnChoice choice, SnExpertFn *experts, SnValue x)
{
    SnGraph *g = b->g;
    const SnValue batch = sn_dim(g, x, 0), seq = sn_dim(g, x, 1), width = sn_dim(g, x, 2);
    const SnValue tokens = sn_mul(g, batch, seq), k = sn_dim(g, choice.expert, 2);
    const SnValue n = sn_mul(g, tokens, k), flat[] = {tokens, width}, each[] = {tokens, k, width};
    const SnValue one[] = {tokens, k, sn_size(b->g, 1)}, whole[] = {batch, seq, width};
    const Sorted s = sort_rows(b, sn_reshape(g, choice.expert, 1, &n));
    const SnExpertRows rows = {.nexpert = choice.nexpert, .expert = s.expert};
    const SnValue token = sn_idiv(g, s.order, k), axis = sn_reshape(g, x, 2, flat);
    sn_scope_push(g, "%s", name);
    const SnValue y = experts(b, &rows, sn_gather(g, axis, 1, (const int[]){0}, &token, NULL));
    sn_scope_pop(g);
    const SnValue said = sn_reshape(g, sn_gather(g, y, 1, (const int[]){0}, &s.back, NULL), 3, each);
    const SnValue weighed = sn_mul(g, sn_cast(g, said, SN_F32), sn_reshape(g, choice.weight, 3, one));
    const SnValue sum = sn_reduce(g, "add", weighed, 1, &(int){1}, false);
    return sn_reshape(g, sn_cast(g, sum, sn_value_dtype(g, x)), 3, whole);
}
