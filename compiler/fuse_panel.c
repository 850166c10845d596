/* fuse_panel.c -- small dear values that many rows of a kernel share.
 *
 * Cosines of rotary positions are the same for all heads of a position: too dear to compute for every
 * element, and of no use to another kernel. Such a value is not stored. Its leading axes run along rows of
 * the map that uses it, the others are its panel: some elements, their number a constant. The kernel
 * (lower_panel.c) computes the panels of a few rows, then the elements of the map that use these. What is a
 * panel is read off the map down to the value, so that fuse and lower find the same. */
#include "compiler/fuse.h"

#define MAX_TERMS 256
#define MIN_COST  5 /* more than an element may be given for a use of several */
#define MIN_PANEL 16
#define MAX_REST  65536 /* elements of the map for one row of panels: one tile computes them */

typedef struct Use {
    SnRef r;
    SnRowAxes axes;
} Use;

typedef struct Cone {
    Use use[MAX_TERMS]; /* users before operands */
    int n;
    bool is_full;
} Cone;

static bool is_one(const SnStore *s, SnRef dim)
{
    int64_t v;
    return sn_is_const_i64(s, dim, &v) && v == 1;
}

static Use *add_use(Cone *c, SnRef r)
{
    int i = c->n;
    while (i > 0 && c->use[i - 1].r < r)
        i--;
    if (i > 0 && c->use[i - 1].r == r)
        return &c->use[i - 1];
    c->is_full |= c->n == MAX_TERMS;
    if (c->is_full)
        return NULL;
    memmove(c->use + i + 1, c->use + i, (size_t)(c->n - i) * sizeof *c->use);
    c->use[i] = (Use){.r = r};
    c->n++;
    return &c->use[i];
}

/* ---- one value ---- */

static int last_axis(const SnStore *s, const SnType *type)
{
    int last = type->ndim - 1;
    while (last >= 0 && is_one(s, type->dims[last]))
        last--;
    return last;
}

/* Elements of the map for each row of panels, at most. */
static bool has_short_rest(const SnStore *s, const SnType *to, uint32_t rows)
{
    int64_t rest = 1, lo, hi;
    for (int i = 0; i < to->ndim; i++) {
        sn_dim_range(s, to->dims[i], &lo, &hi);
        if ((rows & 1u << i) == 0 && (!sn_mul_i64(rest, hi, &rest) || rest > MAX_REST))
            return false;
    }
    return true;
}

/* Axes of r before the panel run along rows of the map, each along one. */
static bool find_panel(const SnStore *s, SnRef home, const Use *u, SnPanel *out, uint32_t *rows)
{
    const SnType *type = sn_type_of(s, u->r), *to = sn_type_of(s, home);
    const int last = last_axis(s, to);
    int64_t n, count = 1;
    bool is_repeated = false;
    *out = (SnPanel){.r = u->r, .axes = u->axes, .from = type->ndim};
    *rows = 0;
    for (; out->from > 0; out->from--) {
        const int at = u->axes.at[out->from - 1];
        if (at != SN_ROW_OTHER && at != SN_ROW_UNIT && at != last)
            break;
        if (!sn_is_const_i64(s, type->dims[out->from - 1], &n) || !sn_mul_i64(count, n, &count))
            return false;
    }
    for (int i = 0; i < out->from; i++) {
        const int at = u->axes.at[i];
        if (at == SN_ROW_OTHER || (at >= 0 && (*rows & 1u << at) != 0))
            return false;
        *rows |= at >= 0 ? 1u << at : 0;
    }
    for (int i = 0; i < last; i++)
        is_repeated |= (*rows & 1u << i) == 0 && !is_one(s, to->dims[i]);
    out->count = (int)(count <= SN_PANEL_COUNT ? count : 0);
    return *rows != 0 && is_repeated && count >= MIN_PANEL && count <= SN_PANEL_COUNT &&
           has_short_rest(s, to, *rows);
}

bool sn_panels_find(const SnStore *s, const bool *is_stored, SnRef home, SnRef least, SnPanels *out)
{
    Cone c = {.n = 0};
    *out = (SnPanels){.n = 0};
    if (sn_type_of(s, home)->kind != SN_TYPE_TENSOR)
        return false;
    add_use(&c, home)->axes = sn_row_axes(s, home);
    for (int i = 0; i < c.n; i++) {
        const Use u = c.use[i];
        const SnTerm *t = sn_term(s, u.r);
        SnPanel panel;
        uint32_t rows;
        if (i > 0 && sn_op_is_elementwise(t->op) && sn_fuse_cost(s, u.r) >= MIN_COST && out->n < SN_PANELS &&
            find_panel(s, home, &u, &panel, &rows) && (out->n == 0 || out->rows == rows)) {
            out->rows = rows;
            out->at[out->n++] = panel;
            continue;
        }
        for (int k = 0; k < t->narg; k++) {
            const SnRef x = t->arg[k];
            Use *operand = NULL;
            if (x >= least && !is_stored[x] && !sn_is_dim(s, x) && sn_type_of(s, x)->kind == SN_TYPE_TENSOR)
                operand = add_use(&c, x);
            if (operand != NULL)
                sn_row_axes_join(s, u.r, k, &u.axes, &operand->axes);
        }
    }
    return out->n > 0 && !c.is_full;
}

/* ---- what one kernel computes ---- */

/* Is anything below the map computed by a loop of its own? */
static bool has_roots(const SnFuse *f, SnRef home)
{
    Cone c = {.n = 0};
    add_use(&c, home);
    for (int i = 0; i < c.n; i++) {
        const SnTerm *t = sn_term(f->s, c.use[i].r);
        if (i > 0 && sn_fuse_is_root(f, c.use[i].r))
            return true;
        for (int k = 0; k < t->narg; k++) {
            const SnRef x = t->arg[k];
            if (!f->is_stored[x] && !sn_fuse_has_memory(f, x) && !sn_is_dim(f->s, x) &&
                sn_type_of(f->s, x)->kind == SN_TYPE_TENSOR)
                (void)add_use(&c, x);
        }
    }
    return c.is_full;
}

bool sn_fuse_take_panel(SnFuse *f, SnRef r)
{
    SnPanels panels;
    const SnRef h = f->home[r];
    if (h == 0 || h == SN_FUSE_MANY || f->grant[r] < 0 || !sn_fuse_is_map(f, h) || f->rows[h].count > 0 ||
        f->rows[h].has_tail || !sn_panels_find(f->s, f->is_stored, h, r, &panels) || has_roots(f, h))
        return false;
    bool is_one_of_them = false;
    for (int i = 0; i < panels.n; i++)
        is_one_of_them |= panels.at[i].r == r;
    return is_one_of_them;
}
