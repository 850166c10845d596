/* random_programs_test.c -- random programs, run by the evaluator and by compiled instances (twin.h).
 *
 * Values are small integers, in f32 too, so that sums are exact in any order and the results of sort, lt and
 * argmax cannot depend on rounding; what exp and tanh make of them is marked and stays away from those.
 * Arguments: targets (default: interp); SEED=N is the first program, COUNT=N how many, PRINT=1 shows them. */
#include "tests/ops/twin.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_POOL  48
#define NINPUT    7 /* the first values */
#define MAX_COUNT 100000
#define CLAMP     40   /* the largest value once it was clamped */
#define LARGE     4096 /* what is larger is clamped */
#define RUNS      5

typedef struct Val {
    SnValue v;
    double most; /* no value is larger */
    bool exact;
} Val;

/* What a function under construction may use: its own values and those of the scopes around it. */
typedef struct Gen {
    Twin *t;
    SnGraph *g;
    Val pool[MAX_POOL];
    int n;
    int nest;
    SnValue dim[3];
} Gen;

static uint32_t pick(Gen *x, uint32_t below)
{
    return twin_random(x->t, below);
}

static SnValue i64(Gen *x, int64_t v)
{
    return sn_const_int(x->g, SN_I64, v);
}

static SnDtype dtype_of(Gen *x, Val a)
{
    return sn_value_dtype(x->g, a.v);
}

/* Values that grew are clamped: all sums stay exact. */
static void put(Gen *x, SnValue v, double most, bool exact)
{
    if (most > LARGE) {
        const SnDtype d = sn_value_dtype(x->g, v);
        v = sn_max(x->g, sn_min(x->g, v, sn_const_int(x->g, d, CLAMP)), sn_const_int(x->g, d, -CLAMP));
        most = CLAMP;
    }
    const int at = x->n < MAX_POOL ? x->n++ : NINPUT + (int)pick(x, MAX_POOL - NINPUT);
    x->pool[at] = (Val){v, most, exact};
}

static Val any(Gen *x)
{
    /* Late values are taken more often: expressions become deep. */
    const uint32_t n = (uint32_t)x->n, a = pick(x, n), b = pick(x, n);
    return x->pool[a > b ? a : b];
}

static Val any_exact(Gen *x)
{
    for (int i = 0; i < 20; i++) {
        const Val v = any(x);
        if (v.exact)
            return v;
    }
    return x->pool[0];
}

static Val any_rank(Gen *x, int lo, int hi)
{
    for (int i = 0; i < 30; i++) {
        const Val v = any(x);
        const int rank = sn_rank(x->g, v.v);
        if (rank >= lo && rank <= hi)
            return v;
    }
    return x->pool[lo < 3 ? lo : 2]; /* inputs of rank 0, 1, 2 come first */
}

static SnValue small_dim(Gen *x)
{
    const uint32_t k = pick(x, 6);
    return k < 3    ? x->dim[k]
           : k == 3 ? sn_idiv(x->g, sn_add(x->g, x->dim[0], i64(x, 1)), i64(x, 2))
                    : i64(x, (int64_t)k - 2);
}

/* Another value of the same dims and dtype, or one number. */
static Val partner(Gen *x, Val a)
{
    const SnType *t = sn_value_type(x->g, a.v);
    for (int i = 0; i < 12; i++) {
        const Val b = any(x);
        const SnType *u = sn_value_type(x->g, b.v);
        if (u->dtype == t->dtype &&
            (u->ndim == 0 ||
             (u->ndim == t->ndim && memcmp(u->dims, t->dims, (size_t)t->ndim * sizeof *t->dims) == 0)))
            return b;
    }
    return (Val){sn_const_int(x->g, t->dtype, (int64_t)pick(x, 7) - 3), 3, true};
}

/* ---- ops ---- */

static void gen_unary(Gen *x)
{
    const Val a = any(x);
    if (pick(x, 2))
        put(x, pick(x, 2) ? sn_neg(x->g, a.v) : sn_abs(x->g, a.v), a.most, a.exact);
    else if (dtype_of(x, a) == SN_F32)
        put(x, sn_tanh(x->g, sn_mul(x->g, a.v, sn_const(x->g, SN_F32, 0.125))), 1, false);
    else
        put(x, sn_cast(x->g, a.v, SN_F32), a.most, a.exact);
}

static void gen_binary(Gen *x)
{
    const Val a = any(x), b = partner(x, a);
    const bool exact = a.exact && b.exact;
    switch (pick(x, 6)) {
    case 0:
        put(x, sn_add(x->g, a.v, b.v), a.most + b.most, exact);
        break;
    case 1:
        put(x, sn_sub(x->g, b.v, a.v), a.most + b.most, exact);
        break;
    case 2:
        put(x, sn_mul(x->g, a.v, b.v), a.most * b.most, exact);
        break;
    case 3:
        put(x, sn_min(x->g, a.v, b.v), a.most + b.most, exact);
        break;
    case 4:
        put(x, sn_max(x->g, b.v, a.v), a.most + b.most, exact);
        break;
    default:
        if (exact)
            put(x, sn_where(x->g, sn_lt(x->g, a.v, b.v), a.v, b.v), a.most + b.most, true);
        break;
    }
}

static void gen_shape(Gen *x)
{
    const Val a = any_rank(x, 1, 3);
    SnGraph *g = x->g;
    const int rank = sn_rank(g, a.v);
    SnValue dims[4], n = i64(x, 1);
    int perm[3];
    for (int i = 0; i < rank; i++) {
        dims[i + 1] = sn_dim(g, a.v, i);
        n = sn_mul(g, n, dims[i + 1]);
        perm[i] = (i + 1) % rank;
    }
    switch (pick(x, 5)) {
    case 0:
        put(x, sn_reshape(g, a.v, 1, &n), a.most, a.exact);
        break;
    case 1:
        put(x, sn_permute(g, a.v, perm), a.most, a.exact);
        break;
    case 2:
        dims[0] = small_dim(x);
        if (rank < 3)
            put(x, sn_broadcast(g, a.v, rank + 1, dims), a.most, a.exact);
        break;
    case 3:
        put(x, sn_flip(g, a.v, 1, perm), a.most, a.exact);
        break;
    default:
        dims[0] = i64(x, 1);
        if (rank < 3)
            put(x, sn_reshape(g, a.v, rank + 1, dims), a.most, a.exact);
        break;
    }
}

static void gen_slice(Gen *x)
{
    const Val a = any_rank(x, 1, 3);
    SnGraph *g = x->g;
    const int axis = (int)pick(x, (uint32_t)sn_rank(g, a.v));
    const SnValue d = sn_dim(g, a.v, axis), half = sn_idiv(g, sn_add(g, d, i64(x, 1)), i64(x, 2));
    const SnValue zero = i64(x, 0);
    SnValue lo[3] = {zero, zero, zero}, hi[3] = {zero, zero, zero};
    const SnValue start = pick(x, 2) ? zero : pick(x, 2) ? sn_sub(g, d, half) : x->pool[3].v;
    switch (pick(x, 4)) {
    case 0:
        put(x, sn_slice_axis(g, a.v, axis, start, half), a.most, a.exact);
        break;
    case 1:
        lo[axis] = i64(x, (int64_t)pick(x, 3));
        hi[axis] = pick(x, 2) ? i64(x, 1) : x->dim[1];
        put(x, sn_pad(g, a.v, lo, hi, sn_const_int(g, dtype_of(x, a), 2), NULL), a.most + 2, a.exact);
        break;
    case 2:
        put(x, sn_concat(g, 3, (SnValue[]){a.v, sn_slice_axis(g, a.v, axis, zero, half), a.v}, axis), a.most,
            a.exact);
        break;
    default:
        lo[axis] = i64(x, 2);
        hi[axis] = i64(x, 1);
        if (sn_rank(g, a.v) < 3)
            put(x,
                sn_window(g, sn_pad(g, a.v, lo, hi, sn_const_int(g, dtype_of(x, a), 0), NULL), axis, 3, 1, 1),
                a.most, a.exact);
        break;
    }
}

static void gen_reduce(Gen *x)
{
    const Val a = any_rank(x, 1, 3);
    SnGraph *g = x->g;
    const int axis = (int)pick(x, (uint32_t)sn_rank(g, a.v));
    const double sum = a.most * 64;
    switch (pick(x, 6)) {
    case 0:
        put(x, sn_reduce(g, "add", a.v, 1, &axis, pick(x, 2)), sum, a.exact);
        break;
    case 1:
        /* An empty maximum is infinite or the least integer: clamped, so that sums stay numbers. */
        put(x, sn_reduce(g, "max", a.v, 1, &axis, pick(x, 2)), LARGE + 1, a.exact);
        break;
    case 2:
        put(x, sn_scan(g, "add", a.v, axis, pick(x, 2)), sum, a.exact);
        break;
    case 3:
        put(x, sn_scan(g, "max", a.v, axis, pick(x, 2)), a.most, a.exact);
        break;
    case 4:
        if (a.exact) /* of something: the evaluator refuses an empty axis */
            put(x,
                sn_argmax(g, sn_concat(g, 2, (SnValue[]){a.v, sn_max_of(g, a.v, axis)}, axis), axis,
                          pick(x, 2)),
                200, true);
        break;
    default:
        put(x, sn_sub(g, a.v, sn_sum_of(g, a.v, axis)), sum, a.exact);
        break;
    }
}

static void gen_contract(Gen *x)
{
    const Val a = any_rank(x, 2, 2), b = partner(x, a);
    if (dtype_of(x, a) != SN_F32 || sn_rank(x->g, b.v) != 2)
        return;
    put(x, sn_contract(x->g, pick(x, 2) ? "ij,kj->ik" : "ji,jk->ik", a.v, b.v, SN_F32), a.most * b.most * 64,
        a.exact && b.exact);
}

static void gen_indexed(Gen *x)
{
    const Val a = any_rank(x, 1, 2);
    SnGraph *g = x->g;
    const int axis = 0;
    Val index = any_exact(x);
    if (dtype_of(x, index) != SN_I64 || sn_rank(g, index.v) != 1)
        index = x->pool[4];
    SnValue starts[2] = {x->pool[3].v, i64(x, 0)}, sizes[2] = {i64(x, 0), i64(x, 0)};
    switch (pick(x, 4)) {
    case 0:
        put(x, sn_gather(g, a.v, 1, &axis, &index.v, pick(x, 2) ? "clamp" : "zero"), a.most, a.exact);
        break;
    case 1: {
        const SnValue rows = sn_gather(g, a.v, 1, &axis, &index.v, "zero");
        put(x, sn_scatter(g, pick(x, 2) ? "add" : "max", a.v, 1, &axis, &index.v, rows), a.most * 64,
            a.exact);
        break;
    }
    case 2: {
        const SnValue rows = sn_gather(g, a.v, 1, &axis, &index.v, "clamp");
        put(x, sn_scatter(g, "set", a.v, 1, &axis, &index.v, sn_neg(g, rows)), a.most, a.exact);
        break;
    }
    default:
        for (int i = 0; i < sn_rank(g, a.v); i++)
            sizes[i] = sn_idiv(g, sn_add(g, sn_dim(g, a.v, i), i64(x, 1)), i64(x, 2));
        put(x,
            sn_update(g, a.v, sn_neg(g, sn_slice(g, a.v, (SnValue[]){i64(x, 0), i64(x, 0)}, sizes, NULL)),
                      starts),
            a.most, a.exact);
        break;
    }
}

static void gen_sort(Gen *x)
{
    const Val a = any_rank(x, 1, 2);
    SnGraph *g = x->g;
    if (!a.exact)
        return;
    const int rank = sn_rank(g, a.v), axis = (int)pick(x, (uint32_t)rank);
    const SnValue dims[2] = {sn_dim(g, a.v, 0), sn_dim(g, a.v, rank - 1)};
    const SnValue s =
        sn_sort(g, 2, (SnValue[]){a.v, sn_iota(g, SN_I64, axis, rank, dims)}, 1, axis, pick(x, 2), 0);
    put(x, sn_get(g, s, (int)pick(x, 2)), a.most + 200, true);
    if (pick(x, 2))
        put(x, sn_get(g, s, 1), 200, true);
}

static void gen_compact(Gen *x)
{
    const Val a = any_rank(x, 1, 2);
    SnGraph *g = x->g;
    if (!a.exact)
        return;
    const int axis = 1;
    const SnValue key = sn_rank(g, a.v) == 1 ? a.v : sn_reduce(g, "add", a.v, 1, &axis, false);
    const SnValue mask = sn_lt(g, key, sn_const_int(g, dtype_of(x, a), (int64_t)pick(x, 5) - 2));
    put(x, sn_compact(g, a.v, mask, sn_dim(g, a.v, 0)), a.most, true);
}

/* ---- control ---- */

static void gen_ops(Gen *x, int n);

static bool is_measured(const SnStore *s, SnRef dim)
{
    const SnTerm *t = sn_term(s, dim);
    if (t->op == SN_OP_MEASURE)
        return true;
    if (t->op == SN_OP_DIM)
        return strncmp(sn_attr_string(s, dim, "name"), "_m", 2) == 0;
    for (int i = 0; i < t->narg; i++)
        if (is_measured(s, t->arg[i]))
            return true;
    return false;
}

/* A value that may leave a function: measured dims may not. */
static Val free_value(Gen *x, int max_rank)
{
    for (int i = 0; i < 30; i++) {
        const Val v = any_rank(x, 0, max_rank);
        const SnType *t = sn_value_type(x->g, v.v);
        bool ok = t->ndim <= max_rank;
        for (int k = 0; k < t->ndim; k++)
            ok = ok && !is_measured(sn_graph_store(x->g), t->dims[k]);
        if (ok)
            return v;
    }
    return x->pool[pick(x, 3)];
}

/* A value of the type of `like`, made of what there is. */
static SnValue shaped_like(Gen *x, SnValue like)
{
    const SnType *t = sn_value_type(x->g, like);
    for (int i = 0; i < 30; i++) {
        const Val b = any(x);
        const SnType *u = sn_value_type(x->g, b.v);
        if (b.exact && u->dtype == t->dtype && u->ndim == t->ndim &&
            memcmp(u->dims, t->dims, (size_t)t->ndim * sizeof *t->dims) == 0)
            return b.v;
    }
    return sn_add(x->g, like, sn_const_int(x->g, t->dtype, 1));
}

static SnValue clamped(Gen *x, SnValue v)
{
    const SnDtype d = sn_value_dtype(x->g, v);
    return sn_max(x->g, sn_min(x->g, v, sn_const_int(x->g, d, CLAMP)), sn_const_int(x->g, d, -CLAMP));
}

/* A value with some rows changed, which no row is larger than: as caches are, so that it may be made in
 * place. What is written may come from the value itself. */
static SnValue updated(Gen *x, SnValue v)
{
    const int axis = 0, rank = sn_rank(x->g, v);
    const SnValue zero[3] = {i64(x, 0), i64(x, 0), i64(x, 0)}, index = x->pool[4].v;
    SnValue size[3], at[3], rows;
    if (rank == 0)
        return clamped(x, shaped_like(x, v));
    for (int i = 0; i < rank; i++) {
        size[i] = i == 0 ? sn_min(x->g, sn_dim(x->g, v, 0), i64(x, 1)) : sn_dim(x->g, v, i);
        at[i] = i == 0 ? x->pool[3].v : i64(x, 0);
    }
    const SnValue from = pick(x, 2) ? v : clamped(x, shaped_like(x, v));
    switch (pick(x, 4)) {
    case 0:
        return sn_update(x->g, v, sn_slice(x->g, from, zero, size, NULL), at);
    case 1:
        return sn_update(x->g, v, sn_neg(x->g, sn_slice(x->g, from, at, size, NULL)), zero);
    default:
        rows = sn_neg(x->g, sn_gather(x->g, from, 1, &axis, &index, "clamp"));
        return sn_scatter(x->g, pick(x, 2) ? "set" : "max", v, 1, &axis, &index, rows);
    }
}

static SnTypeId type_of(Gen *x, SnValue v)
{
    return sn_term(sn_graph_store(x->g), v.ref)->type;
}

typedef struct LoopSpec {
    Val carry[3], scan;
    int ncarry, nrow;
    bool has_scan, has_while;
    double row_most[2];
    bool row_exact[2];
} LoopSpec;

static SnValue loop_while(Gen *x, const LoopSpec *l)
{
    sn_fn_begin(x->g, "more");
    const SnValue i = sn_fn_arg(x->g, sn_type_scalar(sn_graph_store(x->g), SN_I64));
    for (int k = 0; k < l->ncarry; k++)
        (void)sn_fn_arg(x->g, type_of(x, l->carry[k].v));
    return sn_fn_end(x->g, sn_lt(x->g, i, x->pool[3].v));
}

static SnValue loop_body(Gen *outer, LoopSpec *l)
{
    static Gen frames[4];
    Gen *x = &frames[outer->nest];
    SnValue out[8], row;
    *x = *outer;
    x->nest++;
    sn_fn_begin(x->g, "body");
    const SnValue i = sn_fn_arg(x->g, sn_type_scalar(sn_graph_store(x->g), SN_I64));
    put(x, i, 200, true);
    for (int k = 0; k < l->ncarry; k++) {
        out[k] = sn_fn_arg(x->g, type_of(x, l->carry[k].v));
        put(x, out[k], CLAMP, true);
    }
    if (l->has_scan) {
        SnType t = *sn_value_type(x->g, l->scan.v);
        row = sn_fn_arg(x->g, sn_type_tensor(sn_graph_store(x->g), t.dtype, t.ndim - 1, t.dims + 1));
        put(x, row, l->scan.most, l->scan.exact);
    }
    gen_ops(x, 2 + (int)pick(x, 6));
    if (pick(x, 4) == 0 && l->ncarry > 1 && type_of(x, out[0]) == type_of(x, out[1])) {
        const SnValue t = out[0];
        out[0] = out[1];
        out[1] = t;
    } else {
        for (int k = 0; k < l->ncarry; k++)
            if (pick(x, 5))
                out[k] = pick(x, 2) ? clamped(x, shaped_like(x, out[k])) : updated(x, out[k]);
    }
    for (int k = 0; k < l->nrow; k++) {
        const Val v = free_value(x, 2);
        out[l->ncarry + k] = v.v;
        l->row_most[k] = v.most;
        l->row_exact[k] = v.exact;
    }
    return sn_fn_end(x->g, sn_tuple(x->g, l->ncarry + l->nrow, out, NULL));
}

static void gen_loop(Gen *x)
{
    LoopSpec l = {.ncarry = 1 + (int)pick(x, 3), .nrow = (int)pick(x, 3)};
    SnValue bound = pick(x, 2) ? x->dim[pick(x, 3)] : i64(x, (int64_t)pick(x, 4)), init[3];
    if (x->nest >= 2)
        return;
    for (int k = 0; k < l.ncarry; k++) {
        l.carry[k] = k > 0 && pick(x, 3) == 0 ? l.carry[0] : free_value(x, 2);
        init[k] = clamped(x, l.carry[k].exact ? l.carry[k].v : x->pool[1].v);
        if (!l.carry[k].exact)
            l.carry[k] = x->pool[1];
    }
    l.scan = free_value(x, 3);
    l.has_scan = pick(x, 2) && sn_rank(x->g, l.scan.v) > 0;
    l.has_while = pick(x, 4) == 0;
    if (l.has_scan)
        bound = sn_dim(x->g, l.scan.v, 0);
    const SnValue test = l.has_while ? loop_while(x, &l) : sn_none();
    const SnValue body = loop_body(x, &l);
    const SnValue r = sn_loop(x->g, body, test, bound, l.ncarry, init, l.has_scan, &l.scan.v);
    for (int k = 0; k < l.ncarry; k++)
        put(x, sn_get(x->g, r, k), CLAMP, true);
    for (int k = 0; k < l.nrow; k++)
        put(x, sn_get(x->g, r, l.ncarry + k), l.row_most[k], l.row_exact[k]);
    put(x, sn_get(x->g, r, l.ncarry + l.nrow), 200, true);
}

static SnValue cond_branch(Gen *outer, const Val *in, const Val *like, int n)
{
    static Gen frames[4];
    Gen *x = &frames[outer->nest];
    SnValue out[3];
    *x = *outer;
    x->nest++;
    sn_fn_begin(x->g, "branch");
    const SnValue arg = sn_fn_arg(x->g, type_of(x, in->v));
    put(x, arg, in->most, in->exact);
    gen_ops(x, 1 + (int)pick(x, 5));
    for (int k = 0; k < n; k++) {
        out[k] = pick(x, 4) ? clamped(x, shaped_like(x, like[k].v)) : like[k].v;
        const int rank = sn_rank(x->g, out[k]);
        if (rank > 0 && pick(x, 4) == 0) /* the branches may differ in dims */
            out[k] = sn_concat(x->g, 2, (SnValue[]){out[k], out[k]}, (int)pick(x, (uint32_t)rank));
    }
    return sn_fn_end(x->g, sn_tuple(x->g, n, out, NULL));
}

/* Both branches capture the same values in another order: the operands are given by hand. */
static void gen_cond(Gen *x)
{
    const Val in = free_value(x, 2), test = any_exact(x);
    const int n = 1 + (int)pick(x, 2), axes[3] = {0, 1, 2};
    SnGraph *g = x->g;
    Val like[2] = {0};
    if (x->nest >= 2)
        return;
    for (int k = 0; k < n; k++) {
        like[k] = free_value(x, 2);
        if (!like[k].exact)
            like[k] = x->pool[1];
    }
    const SnValue sum = sn_reduce(g, "add", test.v, sn_rank(g, test.v), axes, false);
    const SnValue p = sn_lt(g, sum, sn_const_int(g, dtype_of(x, test), 1));
    const SnValue a = cond_branch(x, &in, like, n), b = cond_branch(x, &in, like, n);
    const SnValue r = sn_cond(g, p, a, b, 1, &in.v);
    for (int k = 0; k < n; k++)
        put(x, sn_get(g, r, k), like[k].most + CLAMP, true);
}

static void gen_ops(Gen *x, int n)
{
    static void (*const op[])(Gen * x) = {gen_unary,   gen_binary,  gen_binary, gen_binary,  gen_shape,
                                          gen_shape,   gen_slice,   gen_reduce, gen_reduce,  gen_contract,
                                          gen_indexed, gen_indexed, gen_sort,   gen_compact, gen_loop,
                                          gen_loop,    gen_cond};
    SnError err;
    for (int i = 0; i < n && sn_graph_check(x->g, &err) == SN_OK; i++)
        op[pick(x, SN_COUNT(op))](x);
}

/* ---- programs ---- */

static void gen_inputs(Gen *x)
{
    static const char *const name[] = {"n", "m", "k"};
    for (int i = 0; i < 3; i++)
        x->dim[i] = sn_symbol(x->g, name[i], 0, 64);
    put(x, sn_input(x->g, "scalar", SN_F32, 0, NULL), 4, true);
    put(x, sn_input(x->g, "vector", SN_F32, 1, x->dim), 4, true);
    put(x, sn_input(x->g, "matrix", SN_F32, 2, x->dim), 4, true);
    put(x, sn_input(x->g, "at", SN_I64, 0, NULL), 4, true);
    put(x, sn_input(x->g, "index", SN_I64, 1, &x->dim[2]), 20, true);
    put(x, sn_input(x->g, "square", SN_F32, 2, (SnValue[]){x->dim[0], x->dim[0]}), 4, true);
    put(x, sn_input(x->g, "cube", SN_F32, 3, x->dim), 4, true);
}

static SnValue next_of(Gen *x, SnValue carry)
{
    return pick(x, 2) ? clamped(x, shaped_like(x, carry)) : updated(x, updated(x, carry));
}

static void gen_program(Gen *x)
{
    const int64_t three = 3;
    const SnValue zeros = sn_broadcast(x->g, sn_const(x->g, SN_F32, 1), 1, (SnValue[]){i64(x, three)});
    const SnValue carry[2] = {sn_carry(x->g, "c", zeros), sn_carry(x->g, "d", zeros)};
    gen_inputs(x);
    put(x, carry[0], CLAMP, true);
    put(x, carry[1], CLAMP, true);
    gen_ops(x, 4 + (int)pick(x, 24));
    const int nout = 1 + (int)pick(x, 6);
    for (int i = 0; i < nout; i++) {
        char name[16];
        snprintf(name, sizeof name, "y%d", i);
        sn_output(x->g, name, any(x).v);
    }
    sn_output(x->g, "inputs", sn_add(x->g, x->pool[1].v, x->pool[0].v)); /* n and k are always told */
    sn_output(x->g, "others", sn_reduce(x->g, "add", x->pool[6].v, 3, (int[]){0, 1, 2}, false));
    sn_next(x->g, carry[0], pick(x, 3) == 0 ? carry[1] : next_of(x, carry[0]));
    sn_next(x->g, carry[1], pick(x, 3) == 0 ? carry[0] : next_of(x, carry[1]));
}

typedef struct Spec {
    uint64_t seed;
    char name[32];
} Spec;

static const char *default_targets[] = {"interp"};
static const char *const *targets = default_targets;
static int ntarget = 1;
static bool prints;

static void print_program(Twin *t)
{
    SnError err;
    SnText text = {.memory = sn_allocator(t->ctx[0])};
    assert_ok(sn_graph_print(t->g, &text, &err));
    (void)fputs(text.at, stdout); /* print_message has a limit */
    sn_text_clear(&text);
}

static void check_program(void **state)
{
    static Twin t;
    static Gen x;
    static const int size[] = {0, 1, 2, 3, 4, 5, 7};
    const Spec *spec = *state;
    SnError err;
    twin_open(&t, spec->name, targets, ntarget, spec->seed);
    x = (Gen){.t = &t, .g = t.g};
    gen_program(&x);
    if (sn_graph_check(t.g, &err) != SN_OK)
        fail_msg("%s: %s", spec->name, err.message);
    if (prints)
        print_program(&t);
    twin_compile(&t, NULL);
    for (int i = 0; i < RUNS; i++) {
        char run[96];
        snprintf(run, sizeof run, "n=%d m=%d k=%d index=-2..9 at=-1..6",
                 size[twin_random(&t, SN_COUNT(size))], size[twin_random(&t, SN_COUNT(size))],
                 size[twin_random(&t, SN_COUNT(size))]);
        if (twin_run(&t, run) != SN_OK)
            fail_msg("%s: run %s: refused", spec->name, run);
    }
    twin_close(&t);
}

int main(int argc, char **argv)
{
    static const char *given[TWIN_TARGETS];
    uint64_t seed = 1;
    size_t count = 200;
    int n = 0;
    for (int i = 1; i < argc && n < TWIN_TARGETS; i++) {
        if (strncmp(argv[i], "SEED=", 5) == 0)
            seed = strtoull(argv[i] + 5, NULL, 10);
        else if (strncmp(argv[i], "COUNT=", 6) == 0)
            count = (size_t)strtoull(argv[i] + 6, NULL, 10) % MAX_COUNT;
        else if (strncmp(argv[i], "PRINT=", 6) == 0)
            prints = argv[i][6] == '1';
        else
            given[n++] = argv[i];
    }
    if (n > 0) {
        targets = given;
        ntarget = n;
    }
    struct CMUnitTest *tests = calloc(count, sizeof *tests);
    Spec *spec = calloc(count, sizeof *spec);
    for (size_t i = 0; tests && spec && i < count; i++) {
        spec[i].seed = seed + i;
        snprintf(spec[i].name, sizeof spec[i].name, "seed %llu", (unsigned long long)(seed + i));
        tests[i] = (struct CMUnitTest){spec[i].name, check_program, NULL, NULL, &spec[i]};
    }
    const int failed =
        tests && spec ? _cmocka_run_group_tests("random programs", tests, count, NULL, NULL) : 1;
    free(tests);
    free(spec);
    return failed;
}
