/* lower_row.c -- a kernel that walks each of its rows several times (fuse_row.c says when).
 *
 *   for each row of the tile
 *       each reduction of the row, in the order of their dependence ▶ a LOCAL of one element
 *       each value that is the same in the whole row and made of them, once ▶ likewise
 *       the columns of the result, or its own reduction
 *
 * What several walks would compute again, and is dear, the first of them writes to a LOCAL, or where rows are
 * long or not of one length where the result will be.
 *
 * The reductions are those of lower_reduce.c: a row gives the bits that it gives where they are stored. */
#include "compiler/lower.h"

typedef struct Part {
    SnRef r;
    SnRowAxes axes;
    bool is_flat;   /* the same in a whole row */
    bool is_varied; /* a reduction is part of it */
    bool is_wide;   /* used where elements of a row differ */
    bool is_moved;  /* used at other points than those of the walk */
    uint32_t
        walks; /* bits: by which it is computed; 0: the result, then a bit a reduction in order of parts */
    int cost;  /* of an element, without what is the same in a whole row */
} Part;

typedef struct Rows {
    SnRef root;
    Part *part; /* the root and everything unstored below it: users before operands */
    int n, cap;
    int split, nfold;
    int result;          /* buffer */
    const Part *spilled; /* or NULL */
    SnSpill spill;       /* where to */
} Rows;

#define MIN_SPILL 10   /* cost that pays for a store and a load */
#define MAX_LOCAL 4096 /* elements of a row that is kept in a LOCAL */

static bool is_reduce(SnLower *l, SnRef r)
{
    return sn_term(l->s, r)->op == SN_OP_REDUCE;
}

/* ---- what the kernel computes ---- */

static int find_part(const Rows *x, SnRef r)
{
    int i = x->n;
    while (i > 0 && x->part[i - 1].r < r)
        i--;
    return i;
}

static Part *add_part(SnLower *l, Rows *x, SnRef r)
{
    const int before = find_part(x, r);
    if (before > 0 && x->part[before - 1].r == r)
        return &x->part[before - 1];
    if (x->n == x->cap) {
        const int more = x->cap > 0 ? 2 * x->cap : 32;
        Part *grown = (Part *)sn_arena_array(l->p->arena, (size_t)more, sizeof *grown);
        if (grown == NULL) {
            sn_lower_fail(l, SN_ENOMEM, "no memory for kernels");
            return NULL;
        }
        if (x->n > 0)
            memcpy(grown, x->part, (size_t)x->n * sizeof *grown);
        x->part = grown;
        x->cap = more;
    }
    memmove(x->part + before + 1, x->part + before, (size_t)(x->n - before) * sizeof *x->part);
    x->part[before] = (Part){.r = r};
    x->n++;
    return &x->part[before];
}

static Part *part_of(const Rows *x, SnRef r)
{
    return &x->part[find_part(x, r) - 1];
}

static bool is_computed(SnLower *l, SnRef r)
{
    return !l->is_stored[r] && !sn_is_dim(l->s, r) && sn_type_of(l->s, r)->kind == SN_TYPE_TENSOR;
}

/* Operands have smaller refs: they come behind their users, which are complete when their turn comes. */
static void collect(SnLower *l, Rows *x)
{
    Part *root = add_part(l, x, x->root);
    if (root != NULL)
        root->axes = sn_row_axes(l->s, x->root);
    for (int i = 0; i < x->n && l->status == SN_OK; i++) {
        const SnRef user = x->part[i].r;
        const SnRowAxes axes = x->part[i].axes;
        const SnTerm *t = sn_term(l->s, user);
        x->nfold += i > 0 && is_reduce(l, user);
        for (int k = 0; k < t->narg; k++) {
            Part *operand = is_computed(l, t->arg[k]) ? add_part(l, x, t->arg[k]) : NULL;
            if (operand != NULL)
                sn_row_axes_join(l->s, user, k, &axes, &operand->axes);
        }
    }
}

/* What is the same in a row is computed once: by whom it is used, then what it is made of. */
static void classify(SnLower *l, Rows *x)
{
    for (int i = 1; i < x->n; i++)
        if (is_reduce(l, x->part[i].r))
            x->split = sn_row_split(l->s, x->part[i].r, &x->part[i].axes);
    for (int i = 0; i < x->n; i++) {
        Part *p = &x->part[i];
        const SnTerm *t = sn_term(l->s, p->r);
        const int split = sn_row_split(l->s, p->r, &p->axes);
        p->is_flat = i > 0 && split >= 0 && split <= x->split;
        const bool passes = !is_reduce(l, p->r) && !sn_op_is_elementwise(t->op) && p->is_wide;
        for (int k = 0; k < t->narg; k++)
            if (is_computed(l, t->arg[k]))
                part_of(x, t->arg[k])->is_wide |= !p->is_flat || passes || is_reduce(l, p->r);
    }
    for (int i = x->n; i-- > 0;) {
        Part *p = &x->part[i];
        const SnTerm *t = sn_term(l->s, p->r);
        p->is_varied = i > 0 && is_reduce(l, p->r);
        for (int k = 0; k < t->narg; k++)
            p->is_varied |= is_computed(l, t->arg[k]) && part_of(x, t->arg[k])->is_varied;
    }
}

static bool is_same_space(const SnType *a, const SnType *b)
{
    return a->ndim == b->ndim && memcmp(a->dims, b->dims, (size_t)a->ndim * sizeof *a->dims) == 0;
}

static void count_costs(SnLower *l, Rows *x)
{
    for (int i = x->n; i-- > 0;) {
        Part *p = &x->part[i];
        const SnTerm *t = sn_term(l->s, p->r);
        p->cost = p->is_flat ? 0 : sn_fuse_cost(l->s, p->r);
        for (int k = 0; !p->is_flat && k < t->narg; k++)
            p->cost += is_computed(l, t->arg[k]) ? part_of(x, t->arg[k])->cost : 0;
    }
}

/* Which walks compute each part at the points of the result, and which parts are used at other points. */
static void count_walks(SnLower *l, Rows *x)
{
    const SnType *type = sn_type_of(l->s, x->root);
    int nwalk = 1;
    x->part[0].walks = 1;
    for (int i = 0; i < x->n; i++) {
        const Part *p = &x->part[i];
        const SnTerm *t = sn_term(l->s, p->r);
        const bool starts = i > 0 && is_reduce(l, p->r);
        const uint32_t walks = starts ? 1u << nwalk++ : p->walks;
        for (int k = 0; k < t->narg; k++) {
            if (!is_computed(l, t->arg[k]))
                continue;
            Part *operand = part_of(x, t->arg[k]);
            const bool stays = starts || (sn_op_is_elementwise(t->op) && !p->is_moved);
            operand->is_moved |= !stays || !is_same_space(sn_type_of(l->s, operand->r), type);
            operand->walks |= walks;
        }
    }
}

static void choose_spilled(SnLower *l, Rows *x)
{
    if (is_reduce(l, x->root) || sn_lower_read(l, x->root) > x->split)
        return;
    count_costs(l, x);
    count_walks(l, x);
    for (int i = 1; i < x->n && x->spilled == NULL; i++) {
        const Part *p = &x->part[i];
        const bool is_shared = (p->walks & 1) != 0 && p->walks != 1;
        if (is_shared && !p->is_moved && p->cost >= MIN_SPILL &&
            sn_dtype_of(l->s, p->r) == sn_dtype_of(l->s, x->root))
            x->spilled = p;
    }
}

/* ---- the kernel ---- */

static void point_of(SnLower *l, const Part *p, const SnRef *row, SnRef *point)
{
    for (int i = 0; i < sn_type_of(l->s, p->r)->ndim; i++)
        point[i] = p->axes.at[i] == SN_ROW_UNIT ? i_const(l, 0) : row[p->axes.at[i]];
}

/* The first reduction that computes a part: the last of those that do. */
static const Part *first_walk(SnLower *l, const Rows *x, const Part *part)
{
    const Part *first = NULL;
    int nwalk = 1;
    for (int i = 1; i < x->n; i++)
        if (is_reduce(l, x->part[i].r) && (part->walks & 1u << nwalk++) != 0)
            first = &x->part[i];
    return first;
}

/* Kept axes of a reduction are those of its result but the ones that it keeps as 1. */
static void emit_fold(SnLower *l, const Rows *x, const Part *p, const SnRef *row, int buf)
{
    SnRef point[SN_MAX_RANK];
    const bool spills = x->spilled != NULL && first_walk(l, x, x->spilled) == p;
    point_of(l, p, row, point);
    sn_lower_fold_row(l, p->r, point, buf, i_const(l, 0), spills ? &x->spill : NULL);
}

static bool is_bound(SnLower *l, const Rows *x, const Part *p)
{
    if (p == x->part || !p->is_flat)
        return false;
    return is_reduce(l, p->r) ||
           (p->is_wide && p->is_varied && sn_op_is_elementwise(sn_term(l->s, p->r)->op));
}

static void emit_columns(SnLower *l, const Rows *x, const SnSpace *row)
{
    const SnType *type = sn_type_of(l->s, x->root);
    SnSpace at = {.ndim = type->ndim, .split = sn_lower_read(l, x->root), .width = SN_LANES};
    SnStmt **loop[SN_MAX_RANK];
    memcpy(at.dims, type->dims, sizeof at.dims);
    memcpy(at.row, row->row, sizeof at.row);
    at.split = at.split > x->split ? at.split : x->split;
    for (int i = x->split; i < at.split; i++)
        at.row[i] = sn_kernel_loop(&l->kb, SN_LOOP_SERIAL, sn_lower_dim(l, at.dims[i]), &loop[i]);
    int64_t n;
    const SnRef cols = sn_lower_count(l, at.ndim - at.split, at.dims + at.split);
    if (sn_is_const_i64(l->s, cols, &n) && n == 1)
        at.width = 1;
    sn_lower_map_row(l, &at, x->root, x->result, x->spilled != NULL && x->spill.from == 0);
    for (int i = at.split; i-- > x->split;)
        sn_lower_close(l, loop[i]);
}

/* A LOCAL for a row of what is spilled; false: it goes where the result will be. */
static bool open_spill(SnLower *l, Rows *x, SnStmt ***mark)
{
    const SnType *type = sn_type_of(l->s, x->root);
    int64_t n;
    if (x->spilled == NULL)
        return false;
    x->spill = (SnSpill){.r = x->spilled->r, .buf = x->result};
    if (x->split == 0 ||
        !sn_is_const_i64(l->s, sn_lower_count(l, type->ndim - x->split, type->dims + x->split), &n) ||
        n % SN_FOLD_LANES != 0 || n < 1 || n > MAX_LOCAL || sn_dtype_size(type->dtype) > sizeof(float))
        return false;
    x->spill.from = x->split;
    x->spill.buf = sn_kernel_local(&l->kb, type->dtype, n, mark);
    return true;
}

static void emit_row(SnLower *l, const SnSpace *at, void *self)
{
    Rows *x = (Rows *)self;
    SnStmt **mark[SN_LOWER_BOUND + 1];
    int nmark = open_spill(l, x, &mark[0]);
    const int nspill = nmark;
    for (int i = x->n; i-- > 0;) {
        const Part *p = &x->part[i];
        if (!is_bound(l, x, p) || (nmark - nspill + x->nfold >= SN_LOWER_BOUND && !is_reduce(l, p->r)))
            continue;
        const SnDtype dtype = sn_dtype_of(l->s, p->r);
        const int local = sn_kernel_local(&l->kb, dtype, 1, &mark[nmark++]);
        const SnRef zero = i_const(l, 0);
        SnRef point[SN_MAX_RANK];
        if (is_reduce(l, p->r)) {
            emit_fold(l, x, p, at->row, local);
        } else {
            point_of(l, p, at->row, point);
            sn_lower_store(l, local, dtype, zero, sn_lower_scalar(l, p->r, point, 0), 0);
        }
        sn_lower_bind(l, p->r, sn_lower_load(l, local, dtype, zero, 0));
    }
    if (is_reduce(l, x->root))
        sn_lower_fold_row(l, x->root, at->row, x->result, sn_lower_join(l, at->ndim, at->dims, at->row),
                          NULL);
    else
        emit_columns(l, x, at);
    while (nmark > 0)
        sn_lower_close(l, mark[--nmark]);
}

/* Steps a row. */
static SnRef work_of(SnLower *l, const Rows *x)
{
    const SnType *type = sn_type_of(l->s, x->root);
    SnRef work = is_reduce(l, x->root) ? sn_lower_fold_count(l, x->root)
                                       : sn_lower_count(l, type->ndim - x->split, type->dims + x->split);
    for (int i = 1; i < x->n; i++)
        if (is_reduce(l, x->part[i].r))
            work = sn_dim_add(l->s, work, sn_lower_fold_count(l, x->part[i].r));
    return work;
}

bool sn_lower_row(SnLower *l, SnRef root)
{
    Rows x = {.root = root};
    if (sn_type_of(l->s, root)->kind != SN_TYPE_TENSOR)
        return false;
    collect(l, &x);
    if (x.nfold == 0)
        return false;
    classify(l, &x);
    sn_lower_begin(l, "rows");
    sn_lower_read(l, is_reduce(l, root) ? sn_term(l->s, root)->arg[0] : root);
    x.result = sn_lower_result(l, 0);
    choose_spilled(l, &x);
    const SnType *type = sn_type_of(l->s, root);
    const int nrow = is_reduce(l, root) ? type->ndim : x.split;
    SnSpace at = {.ndim = nrow, .split = nrow, .width = 1};
    memcpy(at.dims, type->dims, sizeof at.dims);
    sn_lower_end(l, sn_lower_space(l, &at, work_of(l, &x), emit_row, &x));
    return true;
}
