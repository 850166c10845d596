/* lower_reduce.c -- reduce, scan and argmax.
 *
 * The order in which elements are combined belongs to the op, not to the form of the kernel:
 *   reduced axes are the last ones    element j goes to virtual lane j mod 64, in rising j; then the lanes
 * are combined by halving. All axes: pieces of 65,536 first, then the partials alike other axes, functions,
 * scans      serial, in row-major order of the reduced axes Floats narrower than f32 are combined in f32 and
 * rounded once (a function sees its own dtype). */
#include "compiler/lower.h"

#include <math.h>

typedef struct Fold {
    uint16_t op;    /* named combiner, or */
    SnRef function; /* a function of (accumulators..., elements...) */
    int n;          /* operands */
    SnRef x[SN_FOLD_ARGS], init[SN_FOLD_ARGS];
    SnDtype dtype[SN_FOLD_ARGS], acc[SN_FOLD_ARGS];
    int buf[SN_FOLD_ARGS]; /* results */
    const SnType *type;    /* of x[0] */
    int nkept, nover, kept[SN_MAX_RANK], over[SN_MAX_RANK];
    bool is_scan, is_reversed;
} Fold;

SnDtype sn_lower_acc(SnDtype d)
{
    return sn_dtype_is_float(d) && sn_dtype_size(d) < 4 ? SN_F32 : d;
}

/* ---- combiners ---- */

static SnRef limit_of(SnLower *l, SnDtype d, bool is_low)
{
    const SnDtypeInfo *info = sn_dtype(d);
    SnScalar v = {.u = is_low ? 0 : UINT64_MAX >> (64 - info->bits)};
    if (info->kind == SN_KIND_FLOAT)
        v.f = is_low ? -(double)INFINITY : (double)INFINITY;
    if (info->kind == SN_KIND_INT)
        v.i = is_low ? -INT64_MAX - 1 : INT64_MAX;
    if (info->kind == SN_KIND_INT && info->bits < 64)
        v.i = is_low ? -(INT64_C(1) << (info->bits - 1)) : (INT64_C(1) << (info->bits - 1)) - 1;
    if (info->kind == SN_KIND_BOOL)
        v.i = !is_low;
    return sn_const_scalar(l->s, d, v);
}

static SnRef identity_of(SnLower *l, uint16_t op, SnDtype d)
{
    switch (op) {
    case SN_OP_MIN:
    case SN_OP_MAX:
        return limit_of(l, d, op == SN_OP_MAX);
    case SN_OP_MUL:
        return sn_s_cast(l->s, d, sn_const_f32(l->s, 1));
    case SN_OP_AND:
        return sn_dtype(d)->kind == SN_KIND_INT ? sn_const_scalar(l->s, d, (SnScalar){.i = -1})
                                                : limit_of(l, d, false);
    default:
        return sn_const_scalar(l->s, d, (SnScalar){.u = 0});
    }
}

static SnRef init_of(SnLower *l, const Fold *f, int i)
{
    return f->function != 0 ? sn_lower_scalar(l, f->init[i], NULL, 0) : identity_of(l, f->op, f->acc[i]);
}

static void combine(SnLower *l, const Fold *f, const SnRef *old, const SnRef *x, SnRef *out)
{
    SnRef arg[2 * SN_FOLD_ARGS];
    if (f->function == 0) {
        out[0] = sn_s2(l->s, f->op, old[0], x[0]);
        return;
    }
    memcpy(arg, old, (size_t)f->n * sizeof *arg);
    memcpy(arg + f->n, x, (size_t)f->n * sizeof *arg);
    sn_lower_apply(l, f->function, 2 * f->n, arg, f->n, out);
}

/* ---- what is folded ---- */

/* Binds operands and finds how trailing axes may be indexed. */
static int read_operands(SnLower *l, Fold *f)
{
    int split = 0;
    for (int i = 0; i < f->n; i++) {
        const int p = sn_lower_read(l, f->x[i]);
        split = p > split ? p : split;
        if (f->function != 0)
            sn_lower_read(l, f->init[i]);
    }
    return split;
}

static void bind_results(SnLower *l, Fold *f)
{
    for (int i = 0; i < f->n; i++)
        f->buf[i] = sn_lower_result(l, (uint32_t)i);
}

static bool open_fold(SnLower *l, SnRef r, Fold *f)
{
    const SnTerm *t = sn_term(l->s, r);
    *f = (Fold){.n = 1, .x = {t->arg[0]}, .op = sn_combiner(sn_attr_string(l->s, r, "fn"))};
    if (f->op == SN_OP_ERROR) {
        f->function = t->arg[0];
        f->n = (t->narg - 1) / 2;
        if (f->n < 1 || f->n > SN_FOLD_ARGS) {
            sn_lower_fail(l, SN_EUNSUPPORTED, "%s by a function of %d operands: at most %d are supported",
                          sn_prim(t->op)->name, f->n, SN_FOLD_ARGS);
            return false;
        }
        memcpy(f->x, t->arg + 1, (size_t)f->n * sizeof *f->x);
        memcpy(f->init, t->arg + 1 + f->n, (size_t)f->n * sizeof *f->init);
    }
    for (int i = 0; i < f->n; i++) {
        f->dtype[i] = sn_dtype_of(l->s, f->x[i]);
        f->acc[i] = f->function != 0 ? f->dtype[i] : sn_lower_acc(f->dtype[i]);
    }
    f->type = sn_type_of(l->s, f->x[0]);
    return true;
}

static void set_axes(Fold *f, const bool *is_over)
{
    for (int i = 0; i < f->type->ndim; i++) {
        if (is_over[i])
            f->over[f->nover++] = i;
        else
            f->kept[f->nkept++] = i;
    }
}

static SnRef over_count(SnLower *l, const Fold *f)
{
    SnRef n = i_const(l, 1);
    for (int i = 0; i < f->nover; i++)
        n = sn_dim_mul(l->s, n, f->type->dims[f->over[i]]);
    return n;
}

/* The space of kept axes; lanes run along those behind the reduced ones, if there are any. */
static SnSpace kept_space(SnLower *l, const Fold *f, int split)
{
    SnSpace at = {.ndim = f->nkept, .split = f->nkept, .width = 1};
    const int last = f->nover > 0 ? f->over[f->nover - 1] : -1;
    for (int i = 0; i < f->nkept; i++)
        at.dims[i] = f->type->dims[f->kept[i]];
    if (f->nkept == 0 || f->kept[f->nkept - 1] < last)
        return at;
    const int from = last + 1 > split ? last + 1 : split;
    at.width = SN_LANES;
    at.split = 0;
    while (at.split < f->nkept - 1 && f->kept[at.split] < from)
        at.split++;
    sn_lower_space_fit(l, &at);
    return at;
}

static void point_of(const Fold *f, const SnRef *kept, const SnRef *over, SnRef *point)
{
    for (int i = 0; i < f->nkept; i++)
        point[f->kept[i]] = kept[i];
    for (int i = 0; i < f->nover; i++)
        point[f->over[i]] = over[i];
}

/* ---- serial ---- */

typedef struct Serial {
    int acc[SN_FOLD_ARGS], next[SN_FOLD_ARGS];
    SnStmt **mark[2 * SN_FOLD_ARGS];
    int nmark;
} Serial;

static void serial_locals(SnLower *l, const Fold *f, int width, Serial *s)
{
    for (int i = 0; i < f->n; i++)
        s->acc[i] = sn_kernel_local(&l->kb, f->acc[i], width, &s->mark[s->nmark++]);
    for (int i = 0; f->n > 1 && i < f->n; i++)
        s->next[i] = sn_kernel_local(&l->kb, f->acc[i], width, &s->mark[s->nmark++]);
}

static void store_result(SnLower *l, const Fold *f, int i, SnRef at, SnRef value, SnRef guard)
{
    sn_lower_store(l, f->buf[i], f->dtype[i], at, sn_s_cast(l->s, f->dtype[i], value), guard);
}

/* All new values are computed before the first accumulator changes. */
static void serial_step(SnLower *l, const Fold *f, const Serial *s, const SnRef *point, SnRef lane,
                        SnRef guard)
{
    SnRef old[SN_FOLD_ARGS], x[SN_FOLD_ARGS], now[SN_FOLD_ARGS];
    for (int i = 0; i < f->n; i++) {
        old[i] = sn_lower_load(l, s->acc[i], f->acc[i], lane, 0);
        x[i] = sn_s_cast(l->s, f->acc[i], sn_lower_scalar(l, f->x[i], point, guard));
    }
    combine(l, f, old, x, now);
    const int *to = f->n > 1 ? s->next : s->acc;
    for (int i = 0; i < f->n; i++)
        sn_lower_store(l, to[i], f->acc[i], lane, now[i], 0);
    for (int i = 0; f->n > 1 && i < f->n; i++)
        sn_lower_store(l, s->acc[i], f->acc[i], lane, sn_lower_load(l, to[i], f->acc[i], lane, 0), 0);
    if (!f->is_scan)
        return;
    const SnRef at = sn_lower_join(l, f->type->ndim, f->type->dims, point);
    for (int i = 0; i < f->n; i++)
        store_result(l, f, i, at, sn_lower_load(l, s->acc[i], f->acc[i], lane, 0), guard);
}

static void emit_serial(SnLower *l, const SnSpace *at, void *self)
{
    const Fold *f = (const Fold *)self;
    Serial s = {.nmark = 0};
    SnRef kept[SN_MAX_RANK], over[SN_MAX_RANK], point[SN_MAX_RANK], lane;
    SnStmt **mark, **loop[SN_MAX_RANK];
    serial_locals(l, f, at->width, &s);
    sn_lower_lanes(l, at, kept, &lane, &mark);
    for (int i = 0; i < f->n; i++)
        sn_lower_store(l, s.acc[i], f->acc[i], lane, init_of(l, f, i), 0);
    sn_lower_close(l, mark);
    for (int i = 0; i < f->nover; i++) {
        const SnRef size = sn_lower_dim(l, f->type->dims[f->over[i]]);
        over[i] = sn_kernel_loop(&l->kb, SN_LOOP_SERIAL, size, &loop[i]);
        if (f->is_reversed)
            over[i] = i_sub(l, i_add(l, size, i_const(l, -1)), over[i]);
    }
    SnRef guard = sn_lower_lanes(l, at, kept, &lane, &mark);
    point_of(f, kept, over, point);
    serial_step(l, f, &s, point, lane, guard);
    sn_lower_close(l, mark);
    for (int i = f->nover; i-- > 0;)
        sn_lower_close(l, loop[i]);
    if (!f->is_scan) {
        guard = sn_lower_lanes(l, at, kept, &lane, &mark);
        const SnRef to = sn_lower_join(l, at->ndim, at->dims, kept);
        for (int i = 0; i < f->n; i++)
            store_result(l, f, i, to, sn_lower_load(l, s.acc[i], f->acc[i], lane, 0), guard);
        sn_lower_close(l, mark);
    }
    while (s.nmark > 0)
        sn_lower_close(l, s.mark[--s.nmark]);
}

static void lower_serial(SnLower *l, Fold *f, const char *name)
{
    sn_lower_begin(l, name);
    const int split = read_operands(l, f);
    bind_results(l, f);
    SnSpace at = kept_space(l, f, split);
    sn_lower_end(l, sn_lower_space(l, &at, over_count(l, f), emit_serial, f));
}

/* ---- along rows ---- */

/* Calls step for elements 0 .. count of a run: slot is the virtual lane. */
typedef void StepFn(SnLower *l, void *self, SnRef j, SnRef slot, SnRef guard);

static void run_slots(SnLower *l, SnRef first, SnRef limit, int64_t nslot, StepFn *step, void *self)
{
    SnStmt **group, **lanes;
    const int64_t ngroup = (nslot + SN_LANES - 1) / SN_LANES;
    const SnRef u = sn_kernel_loop(&l->kb, SN_LOOP_UNROLL, i_const(l, ngroup), &group);
    const SnRef lane = sn_kernel_loop(&l->kb, SN_LOOP_LANES, i_const(l, SN_LANES), &lanes);
    const SnRef slot = i_add(l, i_mul(l, u, i_const(l, SN_LANES)), lane);
    const SnRef j = i_add(l, first, slot);
    step(l, self, j, slot, limit != 0 ? i_lt(l, j, limit) : 0);
    sn_lower_close(l, lanes);
    sn_lower_close(l, group);
}

static void run_elements(SnLower *l, SnRef count, StepFn *step, void *self)
{
    const SnRef lanes = i_const(l, SN_FOLD_LANES);
    const SnRef whole = i_div(l, count, lanes), rest = i_mod(l, count, lanes);
    int64_t n;
    SnStmt **mark;
    if (!sn_is_const_i64(l->s, whole, &n) || n > 0) {
        const SnRef q = sn_kernel_loop(&l->kb, SN_LOOP_SERIAL, whole, &mark);
        run_slots(l, i_mul(l, q, lanes), 0, SN_FOLD_LANES, step, self);
        sn_lower_close(l, mark);
    }
    const SnRef begin = i_mul(l, whole, lanes);
    if (sn_is_const_i64(l->s, rest, &n)) {
        if (n > 0)
            run_slots(l, begin, n % SN_LANES != 0 ? count : 0, n, step, self);
        return;
    }
    sn_kernel_if(&l->kb, i_lt(l, i_const(l, 0), rest), &mark);
    run_slots(l, begin, count, SN_FOLD_LANES, step, self);
    sn_lower_close(l, mark);
}

typedef struct Run {
    const Fold *f;
    const SnRef *kept;
    SnRef base;           /* of the run in the reduced axes */
    SnRef count;          /* its elements */
    int from;             /* buffer of partial results to read instead, or -1 */
    int acc;              /* LOCAL */
    const SnSpill *spill; /* or NULL */
} Run;

static void spill(SnLower *l, const SnSpill *to, const SnRef *point, SnRef guard)
{
    const SnType *type = sn_type_of(l->s, to->r);
    sn_lower_bind_buffer(l, to->r, SN_LOWER_NOWHERE);
    const SnRef value = sn_lower_scalar(l, to->r, point, guard);
    const int n = type->ndim - to->from;
    const SnRef at = sn_lower_join(l, n, type->dims + to->from, point + to->from);
    sn_lower_store(l, to->buf, type->dtype, at, value, guard);
    if (to->from > 0)
        sn_lower_bind_panel(l, to->r, to->buf, to->from, i_const(l, 0));
    else
        sn_lower_bind_buffer(l, to->r, to->buf);
}

static SnRef run_element(SnLower *l, const Run *run, SnRef j, SnRef guard)
{
    const Fold *f = run->f;
    SnRef over[SN_MAX_RANK], point[SN_MAX_RANK], dims[SN_MAX_RANK];
    if (run->from >= 0)
        return sn_lower_load(l, run->from, f->acc[0], j, guard);
    for (int i = 0; i < f->nover; i++)
        dims[i] = f->type->dims[f->over[i]];
    sn_lower_part(l, i_add(l, run->base, j), f->nover, dims, over);
    point_of(f, run->kept, over, point);
    if (run->spill != NULL)
        spill(l, run->spill, point, guard);
    return sn_s_cast(l->s, f->acc[0], sn_lower_scalar(l, f->x[0], point, guard));
}

static void step_run(SnLower *l, void *self, SnRef j, SnRef slot, SnRef guard)
{
    const Run *run = (const Run *)self;
    const SnDtype acc = run->f->acc[0];
    const SnRef old = sn_lower_load(l, run->acc, acc, slot, 0);
    const SnRef now = sn_s2(l->s, run->f->op, old, run_element(l, run, j, guard));
    /* A LOCAL that is only ever stored whole stays in registers. */
    sn_lower_store(l, run->acc, acc, slot, guard != 0 ? sn_s3(l->s, SN_OP_WHERE, guard, now, old) : now, 0);
}

static void fill_slots(SnLower *l, int local, SnDtype dtype, SnRef value, int64_t nslot)
{
    SnStmt **group, **lanes;
    const SnRef u = sn_kernel_loop(&l->kb, SN_LOOP_UNROLL, i_const(l, nslot / SN_LANES), &group);
    const SnRef lane = sn_kernel_loop(&l->kb, SN_LOOP_LANES, i_const(l, SN_LANES), &lanes);
    const SnRef slot = i_add(l, i_mul(l, u, i_const(l, SN_LANES)), lane);
    sn_lower_store(l, local, dtype, slot, value != 0 ? value : slot, 0);
    sn_lower_close(l, lanes);
    sn_lower_close(l, group);
}

/* Virtual lanes that a run reaches, in whole groups: what the others hold, the identity, changes nothing. */
static int64_t slots_of(SnLower *l, SnRef count)
{
    int64_t n, nslot = SN_LANES;
    if (!sn_is_const_i64(l->s, count, &n))
        return SN_FOLD_LANES;
    while (nslot < n && nslot < SN_FOLD_LANES)
        nslot *= 2;
    return nslot;
}

static void fold_run(SnLower *l, Run *run, int to, SnDtype dtype, SnRef at)
{
    const Fold *f = run->f;
    SnStmt **mark;
    const int64_t nslot = slots_of(l, run->count);
    run->acc = sn_kernel_local(&l->kb, f->acc[0], nslot, &mark);
    fill_slots(l, run->acc, f->acc[0], identity_of(l, f->op, f->acc[0]), nslot);
    run_elements(l, run->count, step_run, run);
    const SnRef sum = sn_kernel_fold(&l->kb, run->acc, f->acc[0], sn_prim(f->op)->name, i_const(l, 0), nslot);
    sn_lower_store(l, to, dtype, at, sn_s_cast(l->s, dtype, sum), 0);
    sn_lower_close(l, mark);
}

static void emit_row(SnLower *l, const SnSpace *at, void *self)
{
    Fold *f = (Fold *)self;
    Run run = {.f = f, .kept = at->row, .base = i_const(l, 0), .from = -1};
    run.count = sn_lower_dim(l, over_count(l, f));
    fold_run(l, &run, f->buf[0], f->dtype[0], sn_lower_join(l, at->ndim, at->dims, at->row));
}

static SnSpace row_space(const Fold *f)
{
    SnSpace at = {.ndim = f->nkept, .split = f->nkept, .width = 1};
    for (int i = 0; i < f->nkept; i++)
        at.dims[i] = f->type->dims[f->kept[i]];
    return at;
}

static void lower_rows(SnLower *l, Fold *f)
{
    sn_lower_begin(l, "reduce_rows");
    read_operands(l, f);
    bind_results(l, f);
    SnSpace at = row_space(f);
    sn_lower_end(l, sn_lower_space(l, &at, over_count(l, f), emit_row, f));
}

/* Pieces ▶ partials ▶ one. */
static void lower_whole(SnLower *l, Fold *f)
{
    const SnRef n = over_count(l, f), npiece = sn_lower_ceil(l, n, SN_PIECE_COUNT),
                size = i_const(l, SN_PIECE_COUNT);
    const SnRef acc_size = i_const(l, (int64_t)sn_dtype_size(f->acc[0]));
    const uint32_t temp = sn_lower_temp(l, sn_dim_mul(l->s, npiece, acc_size));
    sn_lower_begin(l, "reduce_pieces");
    read_operands(l, f);
    int partial = sn_lower_buffer(l, SN_BUF_TEMP, 0, temp, true);
    Run run = {.f = f, .base = i_mul(l, l->kb.k->tile, size), .from = -1};
    run.count = i_min(l, size, i_sub(l, sn_lower_dim(l, n), run.base));
    fold_run(l, &run, partial, f->acc[0], l->kb.k->tile);
    sn_lower_end(l, npiece);
    sn_lower_begin(l, "reduce_partials");
    partial = sn_lower_buffer(l, SN_BUF_TEMP, 0, temp, false);
    bind_results(l, f);
    run = (Run){.f = f, .base = i_const(l, 0), .count = sn_lower_dim(l, npiece), .from = partial};
    fold_run(l, &run, f->buf[0], f->dtype[0], i_const(l, 0));
    sn_lower_end(l, i_const(l, 1));
}

/* ---- reduce and scan ---- */

static bool open_reduce(SnLower *l, SnRef r, Fold *f)
{
    if (!open_fold(l, r, f))
        return false;
    const SnAttr *axes = sn_attr(l->s, r, "axes");
    bool is_over[SN_MAX_RANK] = {false};
    for (int i = 0; axes != NULL && i < axes->u.ints.n; i++)
        is_over[axes->u.ints.at[i]] = true;
    set_axes(f, is_over);
    return true;
}

SnRef sn_lower_fold_count(SnLower *l, SnRef r)
{
    Fold f;
    return open_reduce(l, r, &f) ? over_count(l, &f) : i_const(l, 1);
}

void sn_lower_fold_row(SnLower *l, SnRef r, const SnRef *kept, int buf, SnRef to, const SnSpill *spill)
{
    Fold f;
    if (!open_reduce(l, r, &f))
        return;
    Run run = {.f = &f, .kept = kept, .base = i_const(l, 0), .from = -1, .spill = spill};
    run.count = sn_lower_dim(l, over_count(l, &f));
    fold_run(l, &run, buf, f.dtype[0], to);
}

void sn_lower_reduce(SnLower *l, SnRef r)
{
    Fold f;
    if (!open_reduce(l, r, &f))
        return;
    const bool is_last = f.nover > 0 && f.over[0] == f.nkept;
    if (f.function != 0 || !is_last) {
        lower_serial(l, &f, "reduce_serial");
        return;
    }
    int64_t lo, hi;
    sn_dim_range(l->s, over_count(l, &f), &lo, &hi);
    if (f.nkept == 0 && hi > SN_PIECE_COUNT)
        lower_whole(l, &f);
    else
        lower_rows(l, &f);
}

void sn_lower_scan(SnLower *l, SnRef r)
{
    Fold f;
    if (!open_fold(l, r, &f))
        return;
    bool is_over[SN_MAX_RANK] = {false};
    is_over[sn_attr_int(l->s, r, "axis", 0)] = true;
    set_axes(&f, is_over);
    f.is_scan = true;
    f.is_reversed = sn_attr_int(l->s, r, "reverse", 0) != 0;
    lower_serial(l, &f, "scan");
}

/* ---- argmax ---- */

typedef struct Argmax {
    Run run;
    int best, at; /* LOCALs: the greatest so far and where */
    SnDtype dtype;
} Argmax;

static SnRef is_nan(SnLower *l, SnRef x)
{
    return sn_s_not(l->s, sn_s2(l->s, SN_OP_EQ, x, x));
}

/* Takes x if it is greater; NaN is greatest. The place first: it looks at the best so far. */
static void argmax_step(SnLower *l, const Argmax *a, SnRef x, SnRef j, SnRef slot, SnRef guard)
{
    const SnRef best = sn_lower_load(l, a->best, a->dtype, slot, 0);
    SnRef takes = i_lt(l, best, x);
    if (sn_dtype_is_float(a->dtype))
        takes = sn_s2(l->s, SN_OP_OR, takes,
                      sn_s2(l->s, SN_OP_AND, is_nan(l, x), sn_s2(l->s, SN_OP_EQ, best, best)));
    const SnRef at = sn_s3(l->s, SN_OP_WHERE, takes, j, sn_lower_load(l, a->at, SN_I64, slot, 0));
    sn_lower_store(l, a->at, SN_I64, slot, at, guard);
    sn_lower_store(l, a->best, a->dtype, slot, sn_s3(l->s, SN_OP_WHERE, takes, x, best), guard);
}

static void step_argmax(SnLower *l, void *self, SnRef j, SnRef slot, SnRef guard)
{
    const Argmax *a = (const Argmax *)self;
    argmax_step(l, a, run_element(l, &a->run, j, guard), j, slot, guard);
}

/* The first of the places that reach the greatest. */
static void argmax_fold(SnLower *l, const Argmax *a, int top, SnRef to)
{
    SnStmt **group, **lanes;
    const SnRef zero = i_const(l, 0);
    sn_lower_store(l, top, a->dtype, zero,
                   sn_kernel_fold(&l->kb, a->best, a->dtype, "max", zero, SN_FOLD_LANES), 0);
    const SnRef u = sn_kernel_loop(&l->kb, SN_LOOP_UNROLL, i_const(l, SN_FOLD_LANES / SN_LANES), &group);
    const SnRef lane = sn_kernel_loop(&l->kb, SN_LOOP_LANES, i_const(l, SN_LANES), &lanes);
    const SnRef slot = i_add(l, i_mul(l, u, i_const(l, SN_LANES)), lane);
    const SnRef greatest = sn_lower_load(l, top, a->dtype, zero, 0);
    const SnRef best = sn_lower_load(l, a->best, a->dtype, slot, 0);
    SnRef reaches = sn_s2(l->s, SN_OP_EQ, best, greatest);
    if (sn_dtype_is_float(a->dtype))
        reaches =
            sn_s2(l->s, SN_OP_OR, reaches, sn_s2(l->s, SN_OP_AND, is_nan(l, best), is_nan(l, greatest)));
    const SnRef at = sn_lower_load(l, a->at, SN_I64, slot, 0);
    sn_lower_store(l, a->at, SN_I64, slot, sn_s3(l->s, SN_OP_WHERE, reaches, at, i_const(l, INT64_MAX)), 0);
    sn_lower_close(l, lanes);
    sn_lower_close(l, group);
    sn_lower_store(l, a->run.f->buf[0], SN_I64, to,
                   sn_kernel_fold(&l->kb, a->at, SN_I64, "min", zero, SN_FOLD_LANES), 0);
}

static void emit_argmax_row(SnLower *l, const SnSpace *at, void *self)
{
    Fold *f = (Fold *)self;
    SnStmt **mark[3];
    Argmax a = {.run = {.f = f, .kept = at->row, .base = i_const(l, 0), .from = -1}, .dtype = f->acc[0]};
    a.best = sn_kernel_local(&l->kb, a.dtype, SN_FOLD_LANES, &mark[0]);
    a.at = sn_kernel_local(&l->kb, SN_I64, SN_FOLD_LANES, &mark[1]);
    const int top = sn_kernel_local(&l->kb, a.dtype, 1, &mark[2]);
    fill_slots(l, a.best, a.dtype, limit_of(l, a.dtype, true), SN_FOLD_LANES);
    fill_slots(l, a.at, SN_I64, 0, SN_FOLD_LANES);
    run_elements(l, sn_lower_dim(l, over_count(l, f)), step_argmax, &a);
    argmax_fold(l, &a, top, sn_lower_join(l, at->ndim, at->dims, at->row));
    for (int i = 3; i-- > 0;)
        sn_lower_close(l, mark[i]);
}

static void emit_argmax_lanes(SnLower *l, const SnSpace *at, void *self)
{
    const Fold *f = (const Fold *)self;
    SnStmt **mark[2], **lanes, **loop;
    SnRef kept[SN_MAX_RANK], point[SN_MAX_RANK], lane;
    Argmax a = {.dtype = f->acc[0]};
    a.best = sn_kernel_local(&l->kb, a.dtype, at->width, &mark[0]);
    a.at = sn_kernel_local(&l->kb, SN_I64, at->width, &mark[1]);
    sn_lower_lanes(l, at, kept, &lane, &lanes);
    sn_lower_store(l, a.best, a.dtype, lane, limit_of(l, a.dtype, true), 0);
    sn_lower_store(l, a.at, SN_I64, lane, i_const(l, 0), 0);
    sn_lower_close(l, lanes);
    const SnRef j = sn_kernel_loop(&l->kb, SN_LOOP_SERIAL, sn_lower_dim(l, f->type->dims[f->over[0]]), &loop);
    SnRef guard = sn_lower_lanes(l, at, kept, &lane, &lanes);
    point_of(f, kept, &j, point);
    const SnRef x = sn_s_cast(l->s, a.dtype, sn_lower_scalar(l, f->x[0], point, guard));
    argmax_step(l, &a, x, j, lane, 0);
    sn_lower_close(l, lanes);
    sn_lower_close(l, loop);
    guard = sn_lower_lanes(l, at, kept, &lane, &lanes);
    sn_lower_store(l, f->buf[0], SN_I64, sn_lower_join(l, at->ndim, at->dims, kept),
                   sn_lower_load(l, a.at, SN_I64, lane, 0), guard);
    sn_lower_close(l, lanes);
    for (int i = 2; i-- > 0;)
        sn_lower_close(l, mark[i]);
}

void sn_lower_argmax(SnLower *l, SnRef r)
{
    const SnRef x = sn_term(l->s, r)->arg[0];
    Fold f = {.n = 1, .x = {x}, .type = sn_type_of(l->s, x)};
    bool is_over[SN_MAX_RANK] = {false};
    is_over[sn_attr_int(l->s, r, "axis", 0)] = true;
    set_axes(&f, is_over);
    f.dtype[0] = f.type->dtype;
    f.acc[0] = f.dtype[0] == SN_BOOL ? SN_U8 : sn_lower_acc(f.dtype[0]);
    sn_lower_begin(l, "argmax");
    const int split = read_operands(l, &f);
    bind_results(l, &f);
    SnSpace at = kept_space(l, &f, split);
    const bool is_row = at.width == 1;
    SnGroupFn *emit = is_row ? emit_argmax_row : emit_argmax_lanes;
    sn_lower_end(l, sn_lower_space(l, &at, over_count(l, &f), emit, &f));
}
