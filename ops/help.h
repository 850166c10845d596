/* help.h -- what the op files share: small phrases of graph code. Internal to ops/. */
#ifndef SN_OPS_HELP_H
#define SN_OPS_HELP_H

#include "ops/ops.h"

/* f32 for the narrow floats; f32 and f64 stay. */
static inline SnDtype sn_wide_dtype(SnDtype d)
{
    return sn_dtype_is_float(d) && sn_dtype_size(d) < 4 ? SN_F32 : d;
}
static inline SnValue sn_wide(SnGraph *g, SnValue x)
{
    return sn_cast(g, x, sn_wide_dtype(sn_value_dtype(g, x)));
}
/* y in the dtype of x. */
static inline SnValue sn_like(SnGraph *g, SnValue y, SnValue x)
{
    return sn_cast(g, y, sn_value_dtype(g, x));
}

/* An axis counted from the front; 0 where there is no such axis, which the next op reports. */
static inline int sn_axis(SnGraph *g, SnValue x, int64_t axis)
{
    const int rank = sn_rank(g, x);
    if (axis < -rank || axis >= rank) {
        sn_graph_fail(g, SN_ESHAPE, "no axis %d in %d dims", (int)axis, rank);
        return 0;
    }
    return (int)(axis < 0 ? axis + rank : axis);
}
int64_t sn_known_dim(SnGraph *g, SnValue x, int axis); /* -1: a symbol */
/* x with a dim of 1 put in at an axis. */
SnValue sn_insert_axis(SnGraph *g, SnValue x, int axis);
/* x without its dim of 1 at an axis. */
SnValue sn_drop_axis(SnGraph *g, SnValue x, int axis);
/* x[n] as [1, .., n, .., 1]: its axis lies on axis `axis` of `rank`. */
SnValue sn_on_axis(SnGraph *g, SnValue x, int axis, int rank);
/* Leading dims as one: [.., n] ▶ [rows, n], and back to the leading dims of like. */
SnValue sn_rows_of(SnGraph *g, SnValue x);
SnValue sn_rows_back(SnGraph *g, SnValue rows, SnValue like);
/* F[..] ▶ f32[blocks, per], row after row, with zeros behind the last; and back to dims. */
SnValue sn_flat_blocks(SnGraph *g, SnValue x, int64_t per);
SnValue sn_flat_back(SnGraph *g, SnValue blocks, int n, const SnValue *dims);

#endif
