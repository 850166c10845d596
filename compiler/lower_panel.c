/* lower_panel.c -- a map with what many of its rows share (fuse_panel.c says what).
 *
 *   for some points of the axes that panels run along: a tile
 *       the panels of each ▶ LOCALs
 *       for the points of the other axes, in the order of the map
 *           the columns of the map
 *
 * Each element of a panel is computed once, and the map is walked as it lies. */
#include "compiler/lower.h"

typedef struct Shared {
    SnRef root;
    SnPanels panels;
    int local[SN_PANELS];
    int64_t stride[SN_PANELS];    /* of a LOCAL: whole vectors */
    int naxis, axis[SN_MAX_RANK]; /* of the map, along which panels run */
    SnRef dims[SN_MAX_RANK];
    int64_t block;      /* points of these in a tile */
    SnRef first, count; /* of this tile */
    int result;
} Shared;

static void point_of(SnLower *l, const Shared *x, SnRef q, SnRef *row)
{
    SnRef part[SN_MAX_RANK];
    sn_lower_part(l, i_add(l, x->first, q), x->naxis, x->dims, part);
    for (int i = 0; i < x->naxis; i++)
        row[x->axis[i]] = part[i];
}

/* ---- panels ---- */

/* Element j of a panel of row q. */
static void emit_element(SnLower *l, const Shared *x, int i, const SnRef *row, SnRef q, SnRef j)
{
    const SnPanel *p = &x->panels.at[i];
    const SnType *type = sn_type_of(l->s, p->r);
    SnRef point[SN_MAX_RANK];
    for (int k = 0; k < p->from; k++)
        point[k] = p->axes.at[k] == SN_ROW_UNIT ? i_const(l, 0) : row[p->axes.at[k]];
    sn_lower_part(l, j, type->ndim - p->from, type->dims + p->from, point + p->from);
    const SnRef guard = p->count % SN_LANES != 0 ? i_lt(l, j, i_const(l, p->count)) : 0;
    const SnRef to = i_add(l, i_mul(l, q, i_const(l, x->stride[i])), j);
    sn_lower_store(l, x->local[i], type->dtype, to, sn_lower_scalar(l, p->r, point, guard), 0);
}

/* Those of one size lane by lane: what they have in common is computed once. */
static void emit_panels(SnLower *l, const Shared *x)
{
    SnStmt **rows, **groups, **lanes;
    SnRef row[SN_MAX_RANK];
    const SnRef q = sn_kernel_loop(&l->kb, SN_LOOP_SERIAL, x->count, &rows);
    point_of(l, x, q, row);
    for (int i = 0; i < x->panels.n; i++) {
        bool is_done = false;
        for (int k = 0; k < i; k++)
            is_done |= x->panels.at[k].count == x->panels.at[i].count;
        if (is_done)
            continue;
        const SnRef group =
            sn_kernel_loop(&l->kb, SN_LOOP_SERIAL, i_const(l, x->stride[i] / SN_LANES), &groups);
        const SnRef lane = sn_kernel_loop(&l->kb, SN_LOOP_LANES, i_const(l, SN_LANES), &lanes);
        const SnRef j = i_add(l, i_mul(l, group, i_const(l, SN_LANES)), lane);
        for (int k = i; k < x->panels.n; k++)
            if (x->panels.at[k].count == x->panels.at[i].count)
                emit_element(l, x, k, row, q, j);
        sn_lower_close(l, lanes);
        sn_lower_close(l, groups);
    }
    sn_lower_close(l, rows);
}

/* ---- the map ---- */

static void open_row(SnLower *l, const Shared *x, SnRef *row, SnStmt ***mark)
{
    const SnRef q = sn_kernel_loop(&l->kb, SN_LOOP_SERIAL, x->count, mark);
    point_of(l, x, q, row);
    for (int i = 0; i < x->panels.n; i++)
        sn_lower_bind_panel(l, x->panels.at[i].r, x->local[i], x->panels.at[i].from,
                            i_mul(l, q, i_const(l, x->stride[i])));
}

static void emit_map(SnLower *l, const Shared *x, int split)
{
    const SnType *type = sn_type_of(l->s, x->root);
    const int last = x->axis[x->naxis - 1];
    SnSpace at = {.ndim = type->ndim, .split = split > last ? split : last + 1, .width = SN_LANES};
    SnStmt **loop[SN_MAX_RANK];
    int nloop = 0;
    memcpy(at.dims, type->dims, sizeof at.dims);
    for (int i = 0; i < at.split; i++) {
        int64_t n;
        const bool is_one = sn_is_const_i64(l->s, at.dims[i], &n) && n == 1;
        if (is_one)
            at.row[i] = i_const(l, 0);
        else if (i == last)
            open_row(l, x, at.row, &loop[nloop++]);
        else if ((x->panels.rows & 1u << i) == 0)
            at.row[i] = sn_kernel_loop(&l->kb, SN_LOOP_SERIAL, sn_lower_dim(l, at.dims[i]), &loop[nloop++]);
    }
    sn_lower_map_row(l, &at, x->root, x->result, false);
    while (nloop > 0)
        sn_lower_close(l, loop[--nloop]);
}

/* ---- the kernel ---- */

static void read_axes(SnLower *l, Shared *x)
{
    const SnType *type = sn_type_of(l->s, x->root);
    for (int i = 0; i < type->ndim; i++) {
        if ((x->panels.rows & 1u << i) == 0)
            continue;
        x->dims[x->naxis] = type->dims[i];
        x->axis[x->naxis++] = i;
    }
    x->block = SN_LANES;
    for (int i = 0; i < x->panels.n; i++) {
        x->stride[i] = (x->panels.at[i].count + SN_LANES - 1) / SN_LANES * SN_LANES;
        x->block = x->block * x->stride[i] > SN_PANEL_COUNT ? SN_PANEL_COUNT / x->stride[i] : x->block;
    }
}

bool sn_lower_panels(SnLower *l, SnRef root)
{
    Shared x = {.root = root};
    SnStmt **mark[SN_PANELS];
    if (!sn_panels_find(l->s, l->is_stored, root, 0, &x.panels))
        return false;
    const SnType *type = sn_type_of(l->s, root);
    read_axes(l, &x);
    sn_lower_begin(l, "shared");
    const int split = sn_lower_read(l, root);
    x.result = sn_lower_result(l, 0);
    if (sn_lower_is_empty(l, type->ndim, type->dims)) {
        sn_lower_end(l, i_const(l, 0));
        return true;
    }
    const SnRef block = i_const(l, x.block), rows = sn_lower_count(l, x.naxis, x.dims);
    x.first = i_mul(l, l->kb.k->tile, block);
    x.count = i_min(l, block, i_sub(l, sn_lower_dim(l, rows), x.first));
    for (int i = 0; i < x.panels.n; i++)
        x.local[i] =
            sn_kernel_local(&l->kb, sn_dtype_of(l->s, x.panels.at[i].r), x.block * x.stride[i], &mark[i]);
    emit_panels(l, &x);
    emit_map(l, &x, split);
    for (int i = x.panels.n; i-- > 0;)
        sn_lower_close(l, mark[i]);
    sn_lower_end(l, sn_lower_ceil(l, rows, x.block));
    return true;
}
