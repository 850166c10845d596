/* nn.c -- layers: where weights meet activations. */
#include "ops/help.h"

static SnValue embedding(SnGraph *g, const SnCall *c)
{
    return sn_gather(g, c->in[1], 1, &(int){0}, &c->in[0], NULL);
}

/* Accumulates wide, adds the bias there, rounds once. */
static SnValue linear(SnGraph *g, const SnCall *c)
{
    const SnValue x = sn_rows_of(g, c->in[0]);
    SnValue y = sn_contract(g, "ri,oi->ro", x, c->in[1], sn_wide_dtype(sn_value_dtype(g, x)));
    if (sn_call_has(c, 2))
        y = sn_add(g, y, sn_wide(g, c->in[2]));
    return sn_rows_back(g, sn_like(g, y, x), c->in[0]);
}

static SnValue matmul(SnGraph *g, const SnCall *c)
{
    SnValue dims[SN_MAX_RANK];
    const SnValue a = c->in[0], b = c->in[1];
    const SnDtype acc = sn_wide_dtype(sn_value_dtype(g, a));
    const int rank = sn_dims(g, a, dims);
    dims[rank - 1] = sn_dim(g, b, -1);
    if (rank == 2)
        return sn_like(g, sn_contract(g, "mk,kn->mn", a, b, acc), a);
    const SnValue left[] = {sn_size(g, -1), sn_dim(g, a, -2), sn_dim(g, a, -1)};
    const SnValue right[] = {sn_size(g, -1), sn_dim(g, b, -2), sn_dim(g, b, -1)};
    const SnValue y =
        sn_contract(g, "bmk,bkn->bmn", sn_reshape(g, a, 3, left), sn_reshape(g, b, 3, right), acc);
    return sn_reshape(g, sn_like(g, y, a), rank, dims);
}

static SnValue einsum(SnGraph *g, const SnCall *c)
{
    const SnDtype acc = sn_wide_dtype(sn_value_dtype(g, c->in[0]));
    return sn_like(g, sn_contract(g, sn_call_string(c, "eq"), c->in[0], c->in[1], acc), c->in[0]);
}

const SnOp sn_nn_ops[] = {
    {.sig = "embedding(ids: I[..], w: T[v, d]) -> T[.., d]",
     .expand = embedding,
     .doc = "row ids of w; ids are clamped to 0..v-1"},
    {.sig = "linear(x: F[.., i], w: F[o, i], b: F[o]?) -> F[.., o]", .expand = linear, .doc = "x w^T + b"},
    {.sig = "matmul(a: T[.., m, k], b: T[.., k, n]) -> T[.., m, n]",
     .expand = matmul,
     .doc = "matrix products of the last two axes; leading dims are equal"},
    {.sig = "einsum(a: T[?], b: T[?]; eq: str) -> ?",
     .expand = einsum,
     .onnx = "Einsum|eq=equation",
     .doc = "sum of products by labels, as in \"bij,jk->bik\"; no label twice in an operand"},
    {0},
};
