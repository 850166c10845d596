/* state_space.c -- a linear state that decays from token to token: what Mamba's layers are made of.
 *
 *   state = exp(time * a) * state + time * x * enter;   y = sum over n of state * leave
 *
 * for each channel (head, d) by itself. The definition is a loop over tokens; the target walks them inside of
 * one kernel (compiler/lower_state.c), in the same order, so that rows may be cut into calls anywhere. Gu &
 * Dao 2023, arXiv:2312.00752; with one decay a head: Dao & Gu 2024, arXiv:2405.21060. */
#include "ops/help.h"

/* [b, s, ..] ▶ [s, b, ..], so that a loop takes it token by token. */
static SnValue token_major(SnGraph *g, SnValue x)
{
    const int rank = sn_rank(g, x);
    int perm[SN_MAX_RANK] = {1, 0};
    for (int i = 2; i < rank; i++)
        perm[i] = i;
    return sn_permute(g, x, perm);
}

/* An argument of a body that is a row of x. */
static SnValue row_arg(SnGraph *g, SnValue x)
{
    const SnType *t = sn_value_type(g, x);
    return sn_fn_arg(g, sn_type_tensor(sn_graph_store(g), t->dtype, t->ndim - 1, t->dims + 1));
}

/* [b, groups, n] ▶ [b, n, heads, 1]: head i is of group i * groups / heads. */
static SnValue of_heads(SnGraph *g, SnValue x, SnValue heads)
{
    const SnValue group = sn_idiv(g, sn_mul(g, sn_iota(g, SN_I64, 0, 1, &heads), sn_dim(g, x, 1)), heads);
    const SnValue all = sn_gather(g, x, 1, (const int[]){1}, &group, NULL);
    return sn_insert_axis(g, sn_permute(g, all, (const int[]){1, 2, 0}), 3);
}

/* a [h, k] ▶ [n, h, 1]: of state j, column j mod k. */
static SnValue rates(SnGraph *g, SnValue a, SnValue n)
{
    const SnValue column = sn_mod(g, sn_iota(g, SN_I64, 0, 1, &n), sn_dim(g, a, 1));
    const SnValue all = sn_gather(g, a, 1, (const int[]){1}, &column, NULL);
    return sn_insert_axis(g, all, 2);
}

/* One token: the state [b, n, h, d] decays, takes x in, and is read through `out`. */
static SnValue step(SnGraph *g, const SnValue rows[4], SnValue state, SnValue a)
{
    const SnValue held = sn_fn_arg(g, sn_term(sn_graph_store(g), state.ref)->type);
    const SnValue x = row_arg(g, rows[0]), time = row_arg(g, rows[1]);
    const SnValue in = row_arg(g, rows[2]), out = row_arg(g, rows[3]);
    const SnValue heads = sn_dim(g, x, 1), one = sn_size(g, 1);
    const SnValue each[] = {sn_dim(g, x, 0), one, heads, one};
    const SnValue t = sn_reshape(g, time, 4, each), drive = sn_mul(g, sn_insert_axis(g, x, 1), t);
    const SnValue decay = sn_exp(g, sn_mul(g, t, rates(g, a, sn_dim(g, held, 1))));
    const SnValue next = sn_fma(g, drive, of_heads(g, in, heads), sn_mul(g, held, decay));
    const SnValue y = sn_reduce(g, "add", sn_mul(g, next, of_heads(g, out, heads)), 1, &(int){1}, false);
    return sn_fn_end(g, sn_tuple(g, 2, (SnValue[]){next, y}, NULL));
}

static SnValue state_space(SnGraph *g, const SnCall *c)
{
    const SnValue a = c->in[2], state = c->in[5], seq = sn_dim(g, c->in[0], 1);
    const SnValue rows[] = {token_major(g, c->in[0]), token_major(g, c->in[1]), token_major(g, c->in[3]),
                            token_major(g, c->in[4])};
    sn_fn_begin(g, "step");
    (void)sn_fn_arg(g, sn_type_scalar(sn_graph_store(g), SN_I64));
    const SnValue body = step(g, rows, state, a);
    const SnValue done = sn_loop(g, body, sn_none(), seq, 1, &state, SN_COUNT(rows), rows);
    return sn_concat(g, 2, (SnValue[]){token_major(g, sn_get(g, done, 1)), sn_get(g, done, 0)}, 1);
}

static SnStatus infer(SnGraph *g, const SnCall *c, SnTypeId *out, SnError *err)
{
    SnStore *s = sn_graph_store(g);
    const SnType *x = sn_type_of(s, c->in[0].ref), *state = sn_type_of(s, c->in[5].ref);
    const SnRef dims[] = {x->dims[0], sn_dim_add(s, x->dims[1], state->dims[1]), x->dims[2], x->dims[3]};
    *out = sn_type_tensor(s, SN_F32, 4, dims);
    SN_CHECK(*out != 0, err, SN_ENOMEM, "no memory for types");
    return SN_OK;
}

const SnOp sn_state_ops[] = {
    {.sig =
         "state_space(x: f32[b, s, h, d], time: f32[b, s, h], a: f32[h, k], enter: f32[b, s, g, n], leave: "
         "f32[b, s, g, n], state: f32[b, n, h, d]) -> ?",
     .expand = state_space,
     .infer = infer,
     .doc =
         "f32[b, s + n, h, d]: y of each token, then the state behind the last: state = exp(time a) state + "
         "time x enter, y = sum state leave; head i has group i g / h, state j column j mod k of a"},
    {0},
};
