/* recurrence.c -- layers that read their tokens one after the other and keep a state: causal convolutions and
 * state spaces.
 *
 * Both forms of a decoder are the same code: states come from sn_nn_state, which are zeros where rows are
 * whole, and padding of a cached call leaves them alone. Sums are f32 whatever the model is computed in. */
#include "frontends/hf/layers.h"

#include "ops/ops.h"

#define MAX_TAPS 64

static SnValue size(SnBuild *b, int64_t n)
{
    return sn_const_int(b->g, SN_I64, n);
}

static SnValue wide(SnBuild *b, SnValue x)
{
    return sn_cast(b->g, x, SN_F32);
}

/* The sum over taps of the rows that lie under them. */
static SnValue weighed(SnBuild *b, SnValue joined, SnValue w, int64_t taps)
{
    SnGraph *g = b->g;
    SnValue y = sn_none();
    for (int64_t i = 0; i < taps; i++) {
        const SnValue column = sn_slice_axis(g, w, -1, size(b, i), size(b, 1)), width = sn_dim(g, w, 0);
        const SnValue row = sn_slice_axis(g, joined, 1, size(b, i), b->seq);
        const SnValue part = sn_mul(g, wide(b, row), wide(b, sn_reshape(g, column, 1, &width)));
        y = i == 0 ? part : sn_add(g, y, part);
    }
    return y;
}

SnValue sn_nn_causal_conv(SnBuild *b, const char *name, SnValue x)
{
    SnGraph *g = b->g;
    sn_scope_push(g, "%s", name);
    const SnValue w = sn_nn_param(b, "weight"), bias = sn_nn_param_or_none(b, "bias");
    int64_t taps = sn_nn_dim(b, w, -1);
    if (taps < 1 || taps > MAX_TAPS) {
        sn_graph_fail(g, SN_EFORMAT, "%s.weight: %lld taps, allowed 1 to %d", sn_scope_path(g),
                      (long long)taps, MAX_TAPS);
        taps = 1;
    }
    const int64_t kept[] = {taps - 1, sn_nn_dim(b, w, 0)};
    const SnValue state = sn_nn_state(b, "state", b->dtype, 2, kept);
    const SnValue joined = sn_concat(g, 2, (SnValue[]){state, x}, 1), y = weighed(b, joined, w, taps);
    sn_nn_state_next(b, "state", sn_nn_last_rows(b, joined, taps - 1));
    sn_scope_pop(g);
    return sn_cast(g, bias.ref ? sn_add(g, y, wide(b, bias)) : y, b->dtype);
}

/* ---- state spaces ---- */

/* [b, s, ..] ▶ [s, b, ..], so that a loop takes it token by token. */
static SnValue token_major(SnBuild *b, SnValue x)
{
    const int rank = sn_rank(b->g, x);
    int perm[SN_MAX_RANK] = {1, 0};
    for (int i = 2; i < rank; i++)
        perm[i] = i;
    return sn_permute(b->g, x, perm);
}

/* An argument of a body that is a row of x. */
static SnValue row_arg(SnBuild *b, SnValue x)
{
    const SnType *t = sn_value_type(b->g, x);
    return sn_fn_arg(b->g, sn_type_tensor(sn_graph_store(b->g), t->dtype, t->ndim - 1, t->dims + 1));
}

/* [b, groups, n] ▶ [b, heads, 1, n] */
static SnValue of_heads(SnBuild *b, SnValue x, int64_t heads)
{
    const int64_t groups = sn_nn_dim(b, x, 1), each = heads / groups;
    const SnValue batch = sn_dim(b->g, x, 0), n = sn_dim(b->g, x, 2), one = size(b, 1);
    const SnValue apart[] = {batch, size(b, groups), one, n};
    const SnValue spread[] = {batch, size(b, groups), size(b, each), n};
    const SnValue joined[] = {batch, size(b, heads), one, n};
    return sn_reshape(b->g, sn_broadcast(b->g, sn_reshape(b->g, x, 4, apart), 4, spread), 4, joined);
}

/* One token: the state decays, takes x in, and is read through `out`. */
static SnValue step(SnBuild *b, const SnStateSpace *m, const SnValue rows[4])
{
    SnGraph *g = b->g;
    const SnValue held = sn_fn_arg(g, sn_term(sn_graph_store(g), m->state.ref)->type);
    const SnValue x = row_arg(b, rows[0]), time = row_arg(b, rows[1]);
    const SnValue in = row_arg(b, rows[2]), out = row_arg(b, rows[3]);
    const SnValue lead[] = {sn_dim(g, x, 0), sn_dim(g, x, 1)}, one = size(b, 1);
    const SnValue decay[] = {one, lead[1], one, sn_dim(g, m->a, 1)}, dt[] = {lead[0], lead[1], one, one};
    const SnValue column[] = {lead[0], lead[1], sn_dim(g, x, 2), one};
    const int64_t heads = sn_nn_dim(b, m->a, 0);
    const SnValue t = sn_reshape(g, time, 4, dt);
    const SnValue kept = sn_mul(g, held, sn_exp(g, sn_mul(g, t, sn_reshape(g, m->a, 4, decay))));
    const SnValue taken = sn_mul(g, sn_mul(g, sn_reshape(g, x, 4, column), t), of_heads(b, in, heads));
    const SnValue next = sn_add(g, kept, taken);
    const SnValue read = sn_reduce(g, "add", sn_mul(g, next, of_heads(b, out, heads)), 1, &(int){3}, false);
    return sn_fn_end(g, sn_tuple(g, 2, (SnValue[]){next, read}, NULL));
}

SnValue sn_nn_state_space(SnBuild *b, SnStateSpace m)
{
    SnGraph *g = b->g;
    const int64_t heads = sn_nn_dim(b, m.a, 0), groups = sn_nn_dim(b, m.in, 2);
    const int64_t kept[] = {heads, sn_nn_dim(b, m.x, 3), sn_nn_dim(b, m.in, 3)};
    const SnValue valid = sn_nn_valid(b);
    if (groups < 1 || heads % groups != 0)
        return sn_graph_fail(g, SN_EFORMAT, "%s: %lld heads are no multiple of %lld groups", sn_scope_path(g),
                             (long long)heads, (long long)groups);
    if (valid.ref) { /* no time passes at padding */
        const SnValue dims[] = {b->batch, b->seq, size(b, 1)};
        m.time = sn_where(g, sn_reshape(g, valid, 3, dims), m.time, sn_const(g, SN_F32, 0));
    }
    m.state = sn_nn_state(b, "state", SN_F32, 3, kept);
    const SnValue rows[] = {token_major(b, wide(b, m.x)), token_major(b, wide(b, m.time)),
                            token_major(b, wide(b, m.in)), token_major(b, wide(b, m.out))};
    if (!m.state.ref || !rows[0].ref || !rows[1].ref || !rows[2].ref || !rows[3].ref)
        return sn_none();
    sn_fn_begin(g, "step");
    (void)sn_fn_arg(g, sn_type_scalar(sn_graph_store(g), SN_I64));
    const SnValue body = step(b, &m, rows);
    const SnValue done = sn_loop(g, body, sn_none(), b->seq, 1, &m.state, SN_COUNT(rows), rows);
    sn_nn_state_next(b, "state", sn_get(g, done, 0));
    return token_major(b, sn_get(g, done, 1));
}
