/* grouped.c -- products of rows that each have a matrix of their own, one of a few: experts.
 *
 * Rows that lie side by side and have the same matrix are multiplied as one: it is read once for them, and
 * those that no row has are not read. Every output is the sum that linear has, whatever its neighbours are.
 * Matrices lie in panels of 16 outputs, two-byte floats in pairs of an even k, as compiler/pack.c has them;
 * product_grouped has loops of its own (lower_contract.c). Gale et al. 2022, arXiv:2211.15841. */
#include "ops/help.h"

#define LANES 16

/* ---- the product ---- */

static SnValue product_grouped(SnGraph *g, const SnCall *c)
{
    const SnValue own = sn_gather(g, c->in[1], 1, (const int[]){0}, &c->in[2], NULL);
    const char *eq = sn_rank(g, c->in[0]) == 3 ? "rkp,rjklp->rjl" : "rk,rjkl->rjl";
    return sn_contract(g, eq, c->in[0], own, sn_wide_dtype(sn_value_dtype(g, c->in[0])));
}

static SnStatus infer_product(SnGraph *g, const SnCall *c, SnTypeId *out, SnError *err)
{
    SnStore *s = sn_graph_store(g);
    const SnType *x = sn_type_of(s, c->in[0].ref), *w = sn_type_of(s, c->in[1].ref);
    int64_t n;
    SN_CHECK((x->ndim == 2 || x->ndim == 3) && w->ndim == x->ndim + 2, err, SN_ESHAPE,
             "rows of %d dims, panels of %d", x->ndim, w->ndim);
    for (int i = 0; i < w->ndim; i++)
        SN_CHECK(sn_is_const_i64(s, w->dims[i], &n) && n > 0 && (i != 3 || n == LANES), err, SN_EUNSUPPORTED,
                 "dims of panels are constants, with %d lanes", LANES);
    for (int i = 1; i < x->ndim; i++)
        SN_CHECK(sn_dim_equal(s, x->dims[i], w->dims[i == 1 ? 2 : 4]), err, SN_ESHAPE,
                 "rows and panels differ in k");
    const SnRef dims[] = {x->dims[0], w->dims[1], w->dims[3]};
    *out = sn_type_tensor(s, sn_wide_dtype(x->dtype), 3, dims);
    SN_CHECK(*out != 0, err, SN_ENOMEM, "no memory for types");
    return SN_OK;
}

/* ---- linear ---- */

/* What a cast that widens is of: panels are stored as narrow as the weights are. */
static SnValue narrow(SnGraph *g, SnValue w)
{
    const SnStore *s = sn_graph_store(g);
    const SnTerm *t = sn_graph_check(g, NULL) == SN_OK ? sn_term(s, w.ref) : NULL;
    if (!t || t->op != SN_OP_CAST ||
        sn_dtype_size(sn_type_of(s, t->arg[0])->dtype) >= sn_dtype_size(sn_value_dtype(g, w)))
        return w;
    return (SnValue){t->arg[0], w.scope};
}

/* [e, n, k] ▶ [e, n / 16, k, 16], or [e, n / 16, k / 2, 16, 2] */
static SnValue panels_of(SnGraph *g, SnValue w, bool is_paired)
{
    const int64_t e = sn_known_dim(g, w, 0), n = sn_known_dim(g, w, 1), k = sn_known_dim(g, w, 2),
                  more = (LANES - n % LANES) % LANES;
    const SnValue none = sn_size(g, 0), lo[] = {none, none, none}, hi[] = {none, sn_size(g, more), none};
    if (more > 0)
        w = sn_pad(g, w, lo, hi, sn_const(g, sn_value_dtype(g, w), 0), NULL);
    const SnValue dims[] = {sn_size(g, e), sn_size(g, (n + more) / LANES), sn_size(g, LANES),
                            sn_size(g, is_paired ? k / 2 : k), sn_size(g, 2)};
    w = sn_permute(g, sn_reshape(g, w, is_paired ? 5 : 4, dims), (const int[]){0, 1, 3, 2, 4});
    return sn_op(g, "copy", &w, 1, NULL, 0);
}

static SnValue by_panels(SnGraph *g, SnValue rows, SnValue weights, SnValue group)
{
    const SnValue w = narrow(g, weights);
    const int64_t n = sn_known_dim(g, w, 1), k = sn_known_dim(g, w, 2);
    const bool is_paired = sn_dtype_size(sn_value_dtype(g, w)) == 2 && k % 2 == 0;
    const SnValue dims[] = {sn_dim(g, rows, 0), sn_size(g, k / 2), sn_size(g, 2)};
    const SnValue x = is_paired ? sn_reshape(g, rows, 3, dims) : rows;
    const SnValue panels = sn_cast(g, panels_of(g, w, is_paired), sn_value_dtype(g, weights));
    const SnValue y = sn_product_grouped(g, x, panels, group);
    const SnValue all[] = {dims[0], sn_mul(g, sn_dim(g, y, 1), sn_dim(g, y, 2))};
    return sn_slice_axis(g, sn_reshape(g, y, 2, all), 1, sn_size(g, 0), sn_size(g, n));
}

static SnValue linear_grouped(SnGraph *g, const SnCall *c)
{
    const SnValue w = c->in[1], group = c->in[3];
    const SnDtype wide = sn_wide_dtype(sn_value_dtype(g, c->in[0]));
    SnValue out;
    if (sn_known_dim(g, w, 0) > 0 && sn_known_dim(g, w, 1) > 0 && sn_known_dim(g, w, 2) > 0 &&
        sn_dtype_size(wide) == 4)
        out = by_panels(g, c->in[0], w, group);
    else
        out =
            sn_contract(g, "rk,rnk->rn", c->in[0], sn_gather(g, w, 1, (const int[]){0}, &group, NULL), wide);
    if (sn_call_has(c, 2))
        out = sn_add(g, out, sn_wide(g, sn_gather(g, c->in[2], 1, (const int[]){0}, &group, NULL)));
    return sn_like(g, out, c->in[0]);
}

const SnOp sn_grouped_ops[] = {
    {.sig = "linear_grouped(x: F[r, k], w: F[e, n, k], b: F[e, n]?, group: i64[r]) -> F[r, n]",
     .expand = linear_grouped,
     .doc = "row i times w[group[i]]^T + b[group[i]]; rows of one group lie side by side"},
    {.sig = "product_grouped(x: F[?], panels: F2[?], group: i64[r]) -> ?",
     .expand = product_grouped,
     .infer = infer_product,
     .doc = "rows [r, k] or [r, k / 2, 2] times panels [e, j, k, 16] or [e, j, k / 2, 16, 2] of their "
            "groups, [r, j, 16]"},
    {0},
};
