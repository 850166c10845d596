/* recurrence.c -- layers that read their tokens one after the other and keep a state: causal convolutions and
 * state spaces.
 *
 * Both forms of a decoder are the same code: states come from sn_nn_state, which are zeros where rows are
 * whole, and padding of a cached call leaves them alone. Sums are f32 whatever the model is computed in. */
#include "frontends/hf/layers.h"

#include "ops/ops.h"

#define MAX_TAPS 64

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
        const SnValue column = sn_slice_axis(g, w, -1, sn_size(b->g, i), sn_size(b->g, 1)),
                      width = sn_dim(g, w, 0);
        const SnValue row = sn_slice_axis(g, joined, 1, sn_size(b->g, i), b->seq);
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

SnValue sn_nn_state_space(SnBuild *b, SnStateSpace m)
{
    SnGraph *g = b->g;
    const int64_t heads = sn_nn_dim(b, m.a, 0), groups = sn_nn_dim(b, m.in, 2), n = sn_nn_dim(b, m.in, 3);
    const int64_t kept[] = {n, heads, sn_nn_dim(b, m.x, 3)};
    const SnValue valid = sn_nn_valid(b);
    if (groups < 1 || heads % groups != 0)
        return sn_graph_fail(g, SN_EFORMAT, "%s: %lld heads are no multiple of %lld groups", sn_scope_path(g),
                             (long long)heads, (long long)groups);
    if (valid.ref) { /* no time passes at padding */
        const SnValue dims[] = {b->batch, b->seq, sn_size(b->g, 1)};
        m.time = sn_where(g, sn_reshape(g, valid, 3, dims), m.time, sn_const(g, SN_F32, 0));
    }
    const SnValue state = sn_nn_state(b, "state", SN_F32, 3, kept);
    const SnValue all =
        sn_state_space(g, wide(b, m.x), wide(b, m.time), wide(b, m.a), wide(b, m.in), wide(b, m.out), state);
    sn_nn_state_next(b, "state", sn_slice_axis(g, all, 1, b->seq, sn_size(b->g, n)));
    return sn_slice_axis(g, all, 1, sn_size(b->g, 0), b->seq);
}
