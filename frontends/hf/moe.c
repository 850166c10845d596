/* moe.c -- mixtures of experts. */
#include "frontends/hf/moe.h"

#include "ops/ops.h"

#include <math.h>
#include <stdio.h>

static SnValue size(SnBuild *b, int64_t n)
{
    return sn_const_int(b->g, SN_I64, n);
}

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
    const SnValue logits = sn_cast(b->g, sn_nn_linear(b, name, x), SN_F32);
    if (wants_routing(b))
        b->routing.logits = logits;
    return logits;
}

SnValue sn_moe_greatest(SnBuild *b, SnValue scores, int64_t k)
{
    SnGraph *g = b->g;
    const SnValue n = sn_dim(g, scores, -1), first = sn_get(g, sn_top_k(g, scores, k, -1, true), 1);
    const SnValue lead[] = {sn_dim(g, scores, 0), sn_dim(g, scores, 1)};
    const SnValue column[] = {lead[0], lead[1], size(b, k), size(b, 1)};
    const SnValue row[] = {size(b, 1), size(b, 1), size(b, 1), n};
    const SnValue is = sn_eq(g, sn_reshape(g, first, 4, column), sn_iota(g, SN_I64, 3, 4, row));
    return sn_reduce(g, "or", is, 1, &(int){2}, false);
}

SnValue sn_moe_choose(SnBuild *b, SnValue logits, int64_t k, bool is_normed)
{
    SnGraph *g = b->g;
    const SnValue p = sn_softmax(g, logits, -1);
    const SnValue chosen = sn_where(g, sn_moe_greatest(b, p, k), p, sn_const(g, SN_F32, 0));
    return is_normed ? sn_div(g, chosen, sn_sum_of(g, chosen, -1)) : chosen;
}

SnValue sn_moe_choose_first(SnBuild *b, SnValue logits, int64_t k)
{
    const SnValue never = sn_const(b->g, SN_F32, -HUGE_VAL);
    return sn_softmax(b->g, sn_where(b->g, sn_moe_greatest(b, logits, k), logits, never), -1);
}

/* ---- how evenly ---- */

/* Tokens that count, f32[batch or 1, seq, 1]. */
static SnValue counted(SnBuild *b)
{
    const SnValue mask = sn_nn_input(b, "attention_mask"), one = size(b, 1);
    const SnValue all[] = {b->batch, b->seq, one};
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

SnValue sn_moe_part(SnBuild *b, SnValue all, int64_t i)
{
    SnValue dims[SN_MAX_RANK];
    const int rank = sn_rank(b->g, all) - 1;
    for (int k = 0; k < rank; k++)
        dims[k] = sn_dim(b->g, all, k + 1);
    return sn_reshape(b->g, sn_slice_axis(b->g, all, 0, size(b, i), size(b, 1)), rank, dims);
}

typedef struct Names {
    const char *gate, *up, *down;
} Names;

/* Transformers 5 has all experts in two tensors, published checkpoints have three for each. */
static SnValue gated(SnBuild *b, int64_t i, const Names *names, SnValue x)
{
    SnGraph *g = b->g;
    const char *act = sn_config_string(b->config, "hidden_act", "silu");
    const SnValue all = sn_nn_param_or_none(b, "gate_up_proj");
    if (all.ref) {
        const SnValue both = sn_nn_product(b, b->quant, x, sn_moe_part(b, all, i), sn_none());
        const int64_t n = sn_nn_dim(b, both, -1) / 2;
        const SnValue h = sn_mul(g, sn_nn_act(b, act, sn_nn_part(b, both, 0, n)), sn_nn_part(b, both, n, n));
        return sn_nn_product(b, b->quant, h, sn_moe_part(b, sn_nn_param(b, "down_proj"), i), sn_none());
    }
    sn_scope_push(g, "%lld", (long long)i);
    const SnValue gate = sn_nn_act(b, act, sn_nn_linear(b, names->gate, x));
    const SnValue y = sn_nn_linear(b, names->down, sn_mul(g, gate, sn_nn_linear(b, names->up, x)));
    sn_scope_pop(g);
    return y;
}

SnValue sn_moe_gated(SnBuild *b, int64_t i, SnValue x)
{
    return gated(b, i, &(Names){"gate_proj", "up_proj", "down_proj"}, x);
}

SnValue sn_moe_mixtral(SnBuild *b, int64_t i, SnValue x)
{
    return gated(b, i, &(Names){"w1", "w3", "w2"}, x);
}

/* weight * expert(x), 0 for tokens that did not choose it, whatever it says. */
static SnValue weighted(SnBuild *b, SnValue weight, SnValue y)
{
    const SnValue zero = sn_const(b->g, SN_F32, 0), wide = sn_mul(b->g, weight, sn_cast(b->g, y, SN_F32));
    return sn_cast(b->g, sn_where(b->g, sn_eq(b->g, weight, zero), zero, wide), sn_value_dtype(b->g, y));
}

SnValue sn_moe_mix(SnBuild *b, const char *name, SnValue choice, SnExpertFn *expert, SnValue x)
{
    const int64_t n = sn_nn_dim(b, choice, -1);
    SnValue sum = sn_none();
    sn_scope_push(b->g, "%s", name);
    for (int64_t i = 0; i < n; i++) {
        const SnValue y = weighted(b, sn_nn_part(b, choice, i, 1), expert(b, i, x));
        sum = sum.ref ? sn_add(b->g, sum, y) : y;
    }
    sn_scope_pop(b->g);
    return sum;
}
