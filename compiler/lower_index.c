/* lower_index.c -- scatter, update, sort and compact.
 *
 * scatter and update copy the base and then write into the copy (or, left to the planner, into the base
 * itself). A tile of a scatter owns some columns and walks all updates in row-major order: no atomics, the
 * last one wins. sort makes an order (a stable bottom-up merge sort of indices, one tile a row or more rows a
 * tile) and gathers keys and payloads by it; compact makes a list of the selected rows and gathers. */
#include "compiler/lower.h"

/* ---- writing into a copy ---- */

/* First kernel: result = base. */
void sn_lower_copy_base(SnLower *l, SnRef base)
{
    sn_lower_map(l, "copy", base, 0, sn_type_of(l->s, base), NULL);
}

/* The base may become the result when the copy is all that reads it. */
void sn_lower_mark_in_place(SnLower *l, SnRef base)
{
    if (l->status != SN_OK || !l->is_stored[base])
        return;
    const SnLoweredKernel *k = &l->out->kernel[l->out->nkernel - 1];
    for (int i = 0; i < k->kernel->nbuf; i++)
        if (k->buf[i].kind == SN_BUF_VALUE && k->buf[i].value == base)
            return;
    l->out->in_place = 0;
}

typedef struct Update {
    SnRef value;
    const SnRef *start;
    const SnType *type, *to;
    int buf;
} Update;

static void emit_update(SnLower *l, const SnSpace *at, void *self)
{
    const Update *u = (const Update *)self;
    SnRef index[SN_MAX_RANK], lane;
    SnStmt **mark;
    SnRef guard = sn_lower_lanes(l, at, index, &lane, &mark);
    const SnRef value = sn_lower_scalar(l, u->value, index, guard);
    for (int i = 0; i < at->ndim; i++) {
        const SnRef size = u->to->dims[i];
        index[i] = i_add(l, index[i], sn_lower_start(l, u->start[i], size, u->type->dims[i]));
        int64_t lo, hi;
        sn_dim_range(l->s, sn_dim_sub(l->s, size, u->type->dims[i]), &lo, &hi);
        if (lo < 0)
            guard = i_both(l, guard, i_lt(l, index[i], sn_lower_dim(l, size)));
    }
    sn_lower_store(l, u->buf, u->to->dtype, sn_lower_join(l, at->ndim, u->to->dims, index), value, guard);
    sn_lower_close(l, mark);
}

void sn_lower_update(SnLower *l, SnRef r)
{
    const SnTerm *t = sn_term(l->s, r);
    Update u = {.value = t->arg[1], .start = t->arg + 2, .to = sn_type_of(l->s, r)};
    u.type = sn_type_of(l->s, u.value);
    sn_lower_copy_base(l, t->arg[0]);
    sn_lower_begin(l, "update");
    SnSpace at = {.ndim = u.type->ndim, .split = sn_lower_read(l, u.value), .width = SN_LANES};
    memcpy(at.dims, u.type->dims, sizeof at.dims);
    for (int i = 0; i < at.ndim; i++) {
        int64_t start;
        sn_lower_read(l, u.start[i]);
        const bool is_all =
            sn_is_const_i64(l->s, u.start[i], &start) && start == 0 && u.type->dims[i] == u.to->dims[i];
        if (!is_all && at.split <= i)
            at.split = i + 1 < at.ndim ? i + 1 : i;
    }
    sn_lower_space_fit(l, &at);
    u.buf = sn_lower_result(l, 0);
    sn_lower_end(l, sn_lower_space(l, &at, i_const(l, 1), emit_update, &u));
    sn_lower_mark_in_place(l, t->arg[0]);
}

/* ---- scatter ---- */

typedef struct Scatter {
    SnRef updates;
    const SnRef *index;
    uint16_t op; /* NONE: set */
    const SnType *type;
    int nindex, ndim; /* index operands; dims of the indices */
    SnRef dims[SN_MAX_RANK];
    int axis[SN_MAX_RANK], other[SN_MAX_RANK]; /* of the base */
    int buf;
} Scatter;

static void scatter_axes(SnLower *l, SnRef r, Scatter *x)
{
    const SnAttr *axes = sn_attr(l->s, r, "axes");
    const SnType *updates = sn_type_of(l->s, x->updates);
    bool is_indexed[SN_MAX_RANK] = {false};
    for (int i = 0; i < x->nindex; i++) {
        x->axis[i] = (int)axes->u.ints.at[i];
        is_indexed[x->axis[i]] = true;
    }
    for (int i = 0, n = 0; i < x->type->ndim; i++)
        if (!is_indexed[i])
            x->other[n++] = i;
    x->ndim = updates->ndim - (x->type->ndim - x->nindex);
    memcpy(x->dims, updates->dims, sizeof x->dims);
}

/* Columns are the axes behind all indexed ones. */
static SnSpace scatter_space(SnLower *l, const Scatter *x, int split)
{
    SnSpace at = {.ndim = x->type->ndim - x->nindex, .width = 1};
    int last = -1;
    for (int i = 0; i < x->nindex; i++)
        last = x->axis[i] > last ? x->axis[i] : last;
    for (int i = 0; i < at.ndim; i++)
        at.dims[i] = x->type->dims[x->other[i]];
    at.split = at.ndim;
    if (at.ndim == 0 || x->other[at.ndim - 1] < last)
        return at;
    at.width = SN_LANES;
    at.split = 0;
    while (at.split < at.ndim - 1 && (x->other[at.split] < last || x->ndim + at.split < split))
        at.split++;
    sn_lower_space_fit(l, &at);
    return at;
}

static void emit_scatter(SnLower *l, const SnSpace *at, void *self)
{
    const Scatter *x = (const Scatter *)self;
    SnRef point[SN_MAX_RANK], other[SN_MAX_RANK], to[SN_MAX_RANK], lane;
    SnStmt **mark, **loop[SN_MAX_RANK];
    for (int i = 0; i < x->ndim; i++)
        point[i] = sn_kernel_loop(&l->kb, SN_LOOP_SERIAL, sn_lower_dim(l, x->dims[i]), &loop[i]);
    SnRef guard = sn_lower_lanes(l, at, other, &lane, &mark);
    memcpy(point + x->ndim, other, (size_t)at->ndim * sizeof *other);
    SnRef value = sn_lower_scalar(l, x->updates, point, guard);
    for (int i = 0; i < x->nindex; i++) {
        const SnRef row = sn_lower_index(l, x->index[i], x->ndim, point, 0);
        const SnRef size = sn_lower_dim(l, x->type->dims[x->axis[i]]);
        guard = i_both(l, guard, sn_lower_inside(l, row, i_const(l, 0), size));
        to[x->axis[i]] = row;
    }
    for (int i = 0; i < at->ndim; i++)
        to[x->other[i]] = other[i];
    const SnRef element = sn_lower_join(l, x->type->ndim, x->type->dims, to);
    if (x->op != SN_OP_ERROR)
        value = sn_s2(l->s, x->op, sn_lower_load(l, x->buf, x->type->dtype, element, guard), value);
    sn_lower_store(l, x->buf, x->type->dtype, element, value, guard);
    sn_lower_close(l, mark);
    for (int i = x->ndim; i-- > 0;)
        sn_lower_close(l, loop[i]);
}

void sn_lower_scatter(SnLower *l, SnRef r)
{
    const SnTerm *t = sn_term(l->s, r);
    Scatter x = {.updates = t->arg[t->narg - 1],
                 .index = t->arg + 1,
                 .nindex = t->narg - 2,
                 .op = sn_combiner(sn_attr_string(l->s, r, "fn")),
                 .type = sn_type_of(l->s, r)};
    scatter_axes(l, r, &x);
    sn_lower_copy_base(l, t->arg[0]);
    sn_lower_begin(l, "scatter");
    const int split = sn_lower_read(l, x.updates);
    for (int i = 0; i < x.nindex; i++)
        sn_lower_read(l, x.index[i]);
    x.buf = sn_lower_result(l, 0);
    SnSpace at = scatter_space(l, &x, split);
    sn_lower_end(l, sn_lower_space(l, &at, sn_lower_count(l, x.ndim, x.dims), emit_scatter, &x));
    sn_lower_mark_in_place(l, t->arg[0]);
}

/* ---- sort: the order ---- */

typedef struct Sort {
    const SnRef *operand;
    int nkey, axis;
    bool is_desc;
    const SnType *type;
    SnRef n, limit;          /* dims: elements sorted, and kept */
    int work, order;         /* buffers: i64[rows, 2, n] and i64[rows, limit] */
    SnRef dims[SN_MAX_RANK]; /* rows: axes but the sorted one */
    SnRef leaf;
    int buf;
} Sort;

static SnRef sort_key(SnLower *l, const Sort *x, int key, const SnRef *row, SnRef at, SnRef guard)
{
    SnRef point[SN_MAX_RANK];
    for (int i = 0, k = 0; i < x->type->ndim; i++)
        point[i] = i == x->axis ? at : row[k++];
    return sn_lower_scalar(l, x->operand[key], point, guard);
}

/* Does a come before b by one key? NaN comes last. */
static SnRef key_less(SnLower *l, const Sort *x, SnRef a, SnRef b)
{
    const SnRef less = x->is_desc ? i_lt(l, b, a) : i_lt(l, a, b);
    if (!sn_dtype_is_float(sn_dtype_of(l->s, a)))
        return less;
    const SnRef a_number = sn_s2(l->s, SN_OP_EQ, a, a), b_nan = sn_s_not(l->s, sn_s2(l->s, SN_OP_EQ, b, b));
    return sn_s2(l->s, SN_OP_OR, less, sn_s2(l->s, SN_OP_AND, a_number, b_nan));
}

static SnRef row_less(SnLower *l, const Sort *x, const SnRef *row, SnRef i, SnRef j, SnRef guard)
{
    SnRef less = 0;
    for (int k = x->nkey; k-- > 0;) {
        const SnRef a = sort_key(l, x, k, row, i, guard), b = sort_key(l, x, k, row, j, guard);
        const SnRef here = key_less(l, x, a, b);
        if (less != 0)
            less = sn_s2(l->s, SN_OP_AND, sn_s_not(l->s, key_less(l, x, b, a)), less);
        less = less == 0 ? here : sn_s2(l->s, SN_OP_OR, here, less);
    }
    return less;
}

typedef struct Merge {
    SnRef from, to;        /* of the halves in the work buffer */
    SnRef begin, mid, end; /* two runs */
    int left, right, take; /* LOCALs: where the runs are, which one gave */
} Merge;

/* One step: the right run gives only if its head is strictly less, so equals keep their order. */
static void merge_step(SnLower *l, const Sort *x, const Merge *m, const SnRef *row)
{
    const SnRef zero = i_const(l, 0), one = i_const(l, 1);
    SnStmt **mark;
    const SnRef k = sn_kernel_loop(&l->kb, SN_LOOP_SERIAL, i_sub(l, m->end, m->begin), &mark);
    const SnRef i = sn_lower_load(l, m->left, SN_I64, zero, 0),
                j = sn_lower_load(l, m->right, SN_I64, zero, 0);
    const SnRef has_i = i_lt(l, i, m->mid), has_j = i_lt(l, j, m->end);
    const SnRef a = sn_lower_load(l, x->work, SN_I64, i_add(l, m->from, i), has_i);
    const SnRef b = sn_lower_load(l, x->work, SN_I64, i_add(l, m->from, j), has_j);
    const SnRef less = row_less(l, x, row, b, a, i_both(l, has_i, has_j));
    const SnRef takes = sn_s2(l->s, SN_OP_AND, has_j, sn_s2(l->s, SN_OP_OR, sn_s_not(l->s, has_i), less));
    sn_lower_store(l, m->take, SN_I64, zero, sn_s_cast(l->s, SN_I64, takes), 0);
    const SnRef take = sn_lower_load(l, m->take, SN_I64, zero, 0);
    const SnRef given = sn_s3(l->s, SN_OP_WHERE, i_lt(l, zero, take), b, a);
    sn_lower_store(l, x->work, SN_I64, i_add(l, i_add(l, m->to, m->begin), k), given, 0);
    sn_lower_store(l, m->left, SN_I64, zero, i_add(l, i, i_sub(l, one, take)), 0);
    sn_lower_store(l, m->right, SN_I64, zero, i_add(l, j, take), 0);
    sn_lower_close(l, mark);
}

/* Pass p merges runs of 2^p; the halves of the work buffer take turns. */
static void merge_pass(SnLower *l, const Sort *x, Merge *m, const SnRef *row, SnRef base, SnRef p)
{
    const SnRef n = sn_lower_dim(l, x->n), one = i_const(l, 1), zero = i_const(l, 0);
    const SnRef width = sn_s2(l->s, SN_OP_SHL, one, p), next = i_add(l, p, one);
    const SnRef half = i_mul(l, sn_s2(l->s, SN_OP_AND, p, one), n);
    const SnRef pair = sn_s2(l->s, SN_OP_SHL, one, next);
    SnStmt **mark;
    m->from = i_add(l, base, half);
    m->to = i_add(l, base, i_sub(l, n, half));
    const SnRef npair = sn_s2(l->s, SN_OP_SHR, i_add(l, n, i_add(l, pair, i_const(l, -1))), next);
    const SnRef b = sn_kernel_loop(&l->kb, SN_LOOP_SERIAL, npair, &mark);
    m->begin = i_mul(l, b, pair);
    m->mid = i_min(l, i_add(l, m->begin, width), n);
    m->end = i_min(l, i_add(l, m->begin, pair), n);
    sn_lower_store(l, m->left, SN_I64, zero, m->begin, 0);
    sn_lower_store(l, m->right, SN_I64, zero, m->mid, 0);
    merge_step(l, x, m, row);
    sn_lower_close(l, mark);
}

static int64_t most_passes(SnLower *l, SnRef n)
{
    int64_t lo, hi, p = 0;
    sn_dim_range(l->s, n, &lo, &hi);
    while (p < 62 && (INT64_C(1) << p) < hi)
        p++;
    return p;
}

static void emit_order(SnLower *l, const SnSpace *at, void *self)
{
    const Sort *x = (const Sort *)self;
    const SnRef n = sn_lower_dim(l, x->n), limit = sn_lower_dim(l, x->limit), zero = i_const(l, 0),
                one = i_const(l, 1);
    const SnRef row = sn_lower_join(l, at->ndim, at->dims, at->row);
    const SnRef base = i_mul(l, i_mul(l, row, n), i_const(l, 2));
    SnStmt **local[4], **mark, **pass;
    Merge m;
    m.left = sn_kernel_local(&l->kb, SN_I64, 1, &local[0]);
    m.right = sn_kernel_local(&l->kb, SN_I64, 1, &local[1]);
    m.take = sn_kernel_local(&l->kb, SN_I64, 1, &local[2]);
    const int half = sn_kernel_local(&l->kb, SN_I64, 1, &local[3]);
    SnRef i = sn_kernel_loop(&l->kb, SN_LOOP_SERIAL, n, &mark);
    sn_lower_store(l, x->work, SN_I64, i_add(l, base, i), i, 0);
    sn_lower_close(l, mark);
    sn_lower_store(l, half, SN_I64, zero, zero, 0);
    const SnRef p = sn_kernel_loop(&l->kb, SN_LOOP_SERIAL, i_const(l, most_passes(l, x->n)), &pass);
    sn_kernel_if(&l->kb, i_lt(l, sn_s2(l->s, SN_OP_SHL, one, p), n), &mark);
    merge_pass(l, x, &m, at->row, base, p);
    sn_lower_store(l, half, SN_I64, zero, sn_s2(l->s, SN_OP_AND, i_add(l, p, one), one), 0);
    sn_lower_close(l, mark);
    sn_lower_close(l, pass);
    i = sn_kernel_loop(&l->kb, SN_LOOP_SERIAL, limit, &mark);
    const SnRef from = i_add(l, i_add(l, base, i_mul(l, sn_lower_load(l, half, SN_I64, zero, 0), n)), i);
    sn_lower_store(l, x->order, SN_I64, i_add(l, i_mul(l, row, limit), i),
                   sn_lower_load(l, x->work, SN_I64, from, 0), 0);
    sn_lower_close(l, mark);
    for (int k = 4; k-- > 0;)
        sn_lower_close(l, local[k]);
}

/* ---- sort: keys and payloads in that order ---- */

static void emit_sorted(SnLower *l, const SnSpace *at, void *self)
{
    const Sort *x = (const Sort *)self;
    SnRef point[SN_MAX_RANK], row[SN_MAX_RANK], lane;
    SnStmt **mark;
    const SnRef guard = sn_lower_lanes(l, at, point, &lane, &mark);
    const SnRef to = sn_lower_join(l, at->ndim, at->dims, point);
    for (int i = 0, k = 0; i < at->ndim; i++)
        if (i != x->axis)
            row[k++] = point[i];
    const SnRef first = i_mul(l, sn_lower_join(l, at->ndim - 1, x->dims, row), sn_lower_dim(l, x->limit));
    point[x->axis] = sn_lower_load(l, x->order, SN_I64, i_add(l, first, point[x->axis]), guard);
    const SnRef value = sn_lower_scalar(l, x->leaf, point, guard);
    sn_lower_store(l, x->buf, sn_dtype_of(l->s, x->leaf), to, value, guard);
    sn_lower_close(l, mark);
}

static void lower_sorted(SnLower *l, Sort *x, int leaf, uint32_t order)
{
    sn_lower_begin(l, "sort_gather");
    SnSpace at = {.ndim = x->type->ndim, .split = x->type->ndim - 1, .width = SN_LANES};
    memcpy(at.dims, x->type->dims, sizeof at.dims);
    at.dims[x->axis] = x->limit;
    sn_lower_space_fit(l, &at);
    x->leaf = x->operand[leaf];
    sn_lower_read(l, x->leaf);
    x->order = sn_lower_buffer(l, SN_BUF_TEMP, 0, order, false);
    x->buf = sn_lower_result(l, (uint32_t)leaf);
    sn_lower_end(l, sn_lower_space(l, &at, i_const(l, 1), emit_sorted, x));
}

void sn_lower_sort(SnLower *l, SnRef r)
{
    const SnTerm *t = sn_term(l->s, r);
    Sort x = {.operand = t->arg, .type = sn_type_of(l->s, t->arg[0])};
    x.nkey = (int)sn_attr_int(l->s, r, "nkeys", 1);
    x.axis = (int)sn_attr_int(l->s, r, "axis", 0);
    x.is_desc = sn_attr_int(l->s, r, "desc", 0) != 0;
    x.n = x.type->dims[x.axis];
    x.limit = sn_type(l->s, sn_type_of(l->s, r)->child[0])->dims[x.axis];
    SnSpace at = {.ndim = x.type->ndim - 1, .split = x.type->ndim - 1, .width = 1};
    for (int i = 0, k = 0; i < x.type->ndim; i++)
        if (i != x.axis)
            x.dims[k++] = x.type->dims[i];
    memcpy(at.dims, x.dims, sizeof at.dims);
    const SnRef bytes = sn_dim_mul(l->s, sn_lower_count(l, at.ndim, at.dims), i_const(l, 8));
    const uint32_t work = sn_lower_temp(l, sn_dim_mul(l->s, sn_dim_mul(l->s, bytes, i_const(l, 2)), x.n));
    const uint32_t order = sn_lower_temp(l, sn_dim_mul(l->s, bytes, x.limit));
    sn_lower_begin(l, "sort_order");
    for (int i = 0; i < x.nkey; i++)
        sn_lower_read(l, x.operand[i]);
    x.work = sn_lower_buffer(l, SN_BUF_TEMP, 0, work, true);
    x.order = sn_lower_buffer(l, SN_BUF_TEMP, 0, order, true);
    sn_lower_end(l, sn_lower_space(l, &at, x.n, emit_order, &x));
    for (int i = 0; i < t->narg; i++)
        lower_sorted(l, &x, i, order);
}

/* ---- compact ---- */

typedef struct Compact {
    SnRef x, n; /* n: rows before, a dim */
    int list, buf;
} Compact;

static void emit_compact(SnLower *l, const SnSpace *at, void *self)
{
    const Compact *c = (const Compact *)self;
    SnRef point[SN_MAX_RANK], lane;
    SnStmt **mark;
    SnRef guard = sn_lower_lanes(l, at, point, &lane, &mark);
    const SnRef to = sn_lower_join(l, at->ndim, at->dims, point), n = sn_lower_dim(l, c->n);
    guard = i_both(l, guard, i_lt(l, point[0], n)); /* the measure is the graph's word */
    const SnRef row = sn_lower_load(l, c->list, SN_I64, point[0], guard);
    point[0] = i_max(l, i_min(l, row, i_add(l, n, i_const(l, -1))), i_const(l, 0));
    sn_lower_store(l, c->buf, sn_dtype_of(l->s, c->x), to, sn_lower_scalar(l, c->x, point, guard), guard);
    sn_lower_close(l, mark);
}

static void list_rows(SnLower *l, SnRef mask, SnRef n, uint32_t list)
{
    SnStmt **local, **mark;
    const SnRef zero = i_const(l, 0);
    sn_lower_begin(l, "compact_list");
    sn_lower_read(l, mask);
    const int to = sn_lower_buffer(l, SN_BUF_TEMP, 0, list, true);
    const int count = sn_kernel_local(&l->kb, SN_I64, 1, &local);
    sn_lower_store(l, count, SN_I64, zero, zero, 0);
    const SnRef i = sn_kernel_loop(&l->kb, SN_LOOP_SERIAL, sn_lower_dim(l, n), &mark);
    const SnRef is_kept = sn_lower_scalar(l, mask, &i, 0), at = sn_lower_load(l, count, SN_I64, zero, 0);
    sn_lower_store(l, to, SN_I64, at, i, is_kept);
    sn_lower_store(l, count, SN_I64, zero, i_add(l, at, sn_s_cast(l->s, SN_I64, is_kept)), 0);
    sn_lower_close(l, mark);
    sn_lower_close(l, local);
    sn_lower_end(l, i_const(l, 1));
}

void sn_lower_compact(SnLower *l, SnRef r)
{
    const SnTerm *t = sn_term(l->s, r);
    const SnType *type = sn_type_of(l->s, r);
    Compact c = {.x = t->arg[0], .n = sn_type_of(l->s, t->arg[0])->dims[0]};
    const uint32_t list = sn_lower_temp(l, sn_dim_mul(l->s, c.n, i_const(l, 8)));
    list_rows(l, t->arg[1], c.n, list);
    sn_lower_begin(l, "compact");
    const int split = sn_lower_read(l, c.x);
    SnSpace at = {.ndim = type->ndim, .split = split > 1 ? split : 1, .width = SN_LANES};
    memcpy(at.dims, type->dims, sizeof at.dims);
    at.split = at.split < at.ndim ? at.split : at.ndim - 1;
    sn_lower_space_fit(l, &at);
    c.list = sn_lower_buffer(l, SN_BUF_TEMP, 0, list, false);
    c.buf = sn_lower_result(l, 0);
    sn_lower_end(l, sn_lower_space(l, &at, i_const(l, 1), emit_compact, &c));
}
