/* build_ops.c -- builders of primitives: broadcasting, promotion, and the convenience that graph.h promises.
 */
#include "compiler/build.h"

SnValue sn_make(SnGraph *g, SnPrim op, const SnAttr *attr, int nattr, const SnRef *in, int nin)
{
    SnError err = {0};
    SnRef r = 0;
    if (!sn_graph_ok(g))
        return sn_none();
    for (int i = 0; i < nin; i++)
        SN_ASSERT(in[i] != 0);
    const SnAttrId attrs = sn_attrs_make(g->s, attr, nattr);
    if (sn_graph_ok(g) && sn_term_build(g->s, (uint16_t)op, attrs, in, nin, &r, &err) != SN_OK)
        return sn_graph_fail_op(g, &err, sn_prim((uint16_t)op)->name, in, nin);
    return sn_graph_ok(g) ? sn_here(g, r) : sn_none();
}

/* ---- what a value is ---- */

const SnType *sn_value_type(SnGraph *g, SnValue v)
{
    static const SnType none;
    return v.ref != 0 ? sn_type_of(g->s, v.ref) : &none;
}

int sn_rank(SnGraph *g, SnValue v)
{
    return sn_value_type(g, v)->ndim;
}

SnDtype sn_value_dtype(SnGraph *g, SnValue v)
{
    return sn_value_type(g, v)->dtype;
}

/* An axis counted from the end becomes one from the front; -1: there is no such axis, which is sticky now. */
static int find_axis(SnGraph *g, const char *op, SnValue x, int axis)
{
    const int rank = sn_rank(g, x), found = axis < 0 ? axis + rank : axis;
    if (found >= 0 && found < rank)
        return found;
    if (x.ref != 0)
        sn_graph_fail(g, SN_ESHAPE, "%s: no axis %d in %d dims", op, axis, rank);
    return -1;
}

SnValue sn_dim(SnGraph *g, SnValue v, int axis)
{
    const int at = find_axis(g, "dim", v, axis);
    return at < 0 ? sn_none() : (SnValue){sn_value_type(g, v)->dims[at], v.scope};
}

int sn_dims(SnGraph *g, SnValue v, SnValue *out)
{
    const int rank = sn_rank(g, v);
    for (int i = 0; i < rank; i++)
        out[i] = sn_dim(g, v, i);
    return rank;
}

/* ---- promotion ---- */

bool sn_is_adaptable(const SnStore *s, SnRef r)
{
    return sn_is_dim(s, r) || (sn_term(s, r)->op == SN_OP_CONST && sn_type_of(s, r)->ndim == 0);
}

SnRef sn_adapt(SnGraph *g, SnRef r, SnDtype to)
{
    const SnDtype from = sn_dtype_of(g->s, r);
    SnScalar v = {0};
    if (from == to)
        return r;
    if (to == SN_BOOL || from == SN_BOOL || (sn_dtype_is_float(from) && !sn_dtype_is_float(to)))
        return 0;
    if (!sn_is_const(g->s, r, &v))
        return sn_make(g, SN_OP_CAST, &SN_DTYPE("to", to), 1, &r, 1).ref;
    const SnScalar cast = sn_scalar_cast(from, to, v, false);
    if (!sn_dtype_is_float(to) && sn_scalar_cast(to, from, cast, false).u != v.u)
        return 0;
    return sn_const_scalar(g->s, to, cast);
}

/* A fixed dtype beats an adaptable one, a float an integer, a dim a constant. */
static int rank_dtype(const SnStore *s, SnRef r)
{
    const bool is_float = sn_dtype_is_float(sn_dtype_of(s, r)), is_fixed = !sn_is_adaptable(s, r);
    return is_float * 4 + is_fixed * 2 + sn_is_dim(s, r);
}

static bool fit_dtypes(SnGraph *g, const char *op, SnRef *in, int nin)
{
    SnDtype to = SN_NODTYPE;
    int best = -1;
    for (int i = 0; i < nin; i++) {
        if (sn_type_of(g->s, in[i])->kind != SN_TYPE_TENSOR)
            return true;
        const int rank = rank_dtype(g->s, in[i]);
        if (rank > best) {
            best = rank;
            to = sn_dtype_of(g->s, in[i]);
        }
    }
    for (int i = 0; i < nin; i++) {
        const SnDtype from = sn_dtype_of(g->s, in[i]);
        const bool is_promoted = sn_dtype_is_int(from) && sn_dtype_is_float(to);
        if (from == to || (!sn_is_adaptable(g->s, in[i]) && !is_promoted))
            continue;
        const SnRef fit = sn_is_adaptable(g->s, in[i])
                              ? sn_adapt(g, in[i], to)
                              : sn_make(g, SN_OP_CAST, &SN_DTYPE("to", to), 1, &in[i], 1).ref;
        if (fit == 0) {
            const SnError err = {.code = SN_ESHAPE,
                                 .message = "a constant does not fit the other operand's dtype"};
            sn_graph_fail_op(g, &err, op, in, nin);
            return false;
        }
        in[i] = fit;
    }
    return true;
}

static SnRef broadcast_to(SnGraph *g, SnRef r, int n, const SnRef *dims)
{
    const SnType *const t = sn_type_of(g->s, r);
    SnRef in[SN_MAX_RANK + 1] = {r};
    if (t->ndim == n && memcmp(t->dims, dims, (size_t)n * sizeof *dims) == 0)
        return r;
    memcpy(in + 1, dims, (size_t)n * sizeof *dims);
    return sn_make(g, SN_OP_BROADCAST, NULL, 0, in, n + 1).ref;
}

static bool fit_dims(SnGraph *g, const char *op, SnRef *in, int nin)
{
    SnRef dims[SN_MAX_RANK] = {0};
    int n = 0;
    for (int i = 0; i < nin; i++) {
        const SnType *const t = sn_type_of(g->s, in[i]);
        if (!sn_dims_broadcast(g->s, &n, dims, t->ndim, t->dims)) {
            const SnError err = {.code = SN_ESHAPE, .message = "dims do not broadcast together"};
            sn_graph_fail_op(g, &err, op, in, nin);
            return false;
        }
    }
    for (int i = 0; i < nin; i++) {
        in[i] = broadcast_to(g, in[i], n, dims);
        if (in[i] == 0)
            return false;
    }
    return true;
}

/* ---- elementwise ---- */

bool sn_fit(SnGraph *g, SnPrim op, SnRef *in, int nin)
{
    const char *const name = sn_prim((uint16_t)op)->name;
    const int first = op == SN_OP_WHERE; /* the condition keeps its dtype */
    return fit_dtypes(g, name, in + first, nin - first) && fit_dims(g, name, in, nin);
}

static SnValue elementwise(SnGraph *g, SnPrim op, SnRef *in, int nin)
{
    if (!sn_graph_ok(g) || !sn_fit(g, op, in, nin))
        return sn_none();
    return sn_make(g, op, NULL, 0, in, nin);
}

static bool is_dim_op(SnPrim op)
{
    return op == SN_OP_ADD || op == SN_OP_SUB || op == SN_OP_MUL || op == SN_OP_IDIV || op == SN_OP_MOD ||
           op == SN_OP_MIN || op == SN_OP_MAX;
}

static SnValue unary(SnGraph *g, SnPrim op, SnValue a)
{
    const SnRef in = sn_use(g, a);
    return in != 0 ? sn_make(g, op, NULL, 0, &in, 1) : sn_none();
}

static SnValue binary(SnGraph *g, SnPrim op, SnValue a, SnValue b)
{
    SnRef in[] = {sn_use(g, a), sn_use(g, b)};
    if (sn_graph_ok(g) && is_dim_op(op) && sn_is_dim(g->s, in[0]) && sn_is_dim(g->s, in[1]))
        return sn_here(g, sn_dim_op(g->s, (uint16_t)op, in[0], in[1]));
    return elementwise(g, op, in, 2);
}

#define SN_X(name, OP)                                                                                       \
    SnValue sn_##name(SnGraph *g, SnValue a)                                                                 \
    {                                                                                                        \
        return unary(g, SN_OP_##OP, a);                                                                      \
    }
SN_UNARY_BUILDERS(SN_X)
#undef SN_X

#define SN_X(name, OP)                                                                                       \
    SnValue sn_##name(SnGraph *g, SnValue a, SnValue b)                                                      \
    {                                                                                                        \
        return binary(g, SN_OP_##OP, a, b);                                                                  \
    }
SN_BINARY_BUILDERS(SN_X)
#undef SN_X

SnValue sn_where(SnGraph *g, SnValue c, SnValue a, SnValue b)
{
    SnRef in[] = {sn_use(g, c), sn_use(g, a), sn_use(g, b)};
    return elementwise(g, SN_OP_WHERE, in, 3);
}

SnValue sn_fma(SnGraph *g, SnValue a, SnValue b, SnValue c)
{
    SnRef in[] = {sn_use(g, a), sn_use(g, b), sn_use(g, c)};
    return elementwise(g, SN_OP_FMA, in, 3);
}

SnValue sn_cast(SnGraph *g, SnValue x, SnDtype to)
{
    const SnRef r = sn_use(g, x);
    if (r == 0 || sn_dtype_of(g->s, r) == to)
        return sn_here(g, r);
    return sn_make(g, SN_OP_CAST, &SN_DTYPE("to", to), 1, &r, 1);
}

SnValue sn_bitcast(SnGraph *g, SnValue x, SnDtype to)
{
    const SnRef r = sn_use(g, x);
    if (r == 0 || sn_dtype_of(g->s, r) == to)
        return sn_here(g, r);
    return sn_make(g, SN_OP_BITCAST, &SN_DTYPE("to", to), 1, &r, 1);
}

/* ---- operand lists ---- */

#define MAX_LIST (1 + 2 * SN_MAX_RANK + 1)
typedef struct List { /* operands of a term being gathered */
    SnGraph *g;
    const char *op;
    SnRef at[MAX_LIST];
    int n;
    bool failed;
} List;

static void add_ref(List *l, SnRef r)
{
    SN_ASSERT(l->n < MAX_LIST);
    l->failed = l->failed || r == 0;
    l->at[l->n++] = r;
}

static void add_value(List *l, SnValue v)
{
    add_ref(l, l->failed ? 0 : sn_use(l->g, v));
}

static void add_dims(List *l, int n, const SnValue *dims)
{
    for (int i = 0; i < n; i++)
        add_ref(l, l->failed ? 0 : sn_use_dim(l->g, l->op, dims[i]));
}

/* Starts: dims, or values of any integer dtype. */
static void add_starts(List *l, int n, const SnValue *starts)
{
    for (int i = 0; i < n && !l->failed; i++) {
        const SnRef r = sn_use(l->g, starts[i]);
        const bool is_const = r != 0 && sn_is_adaptable(l->g->s, r);
        add_ref(l,
                is_const ? sn_use_dim(l->g, l->op, starts[i]) : sn_cast(l->g, sn_here(l->g, r), SN_I64).ref);
    }
}

static List list_of(SnGraph *g, const char *op, SnValue x)
{
    List l = {.g = g, .op = op};
    add_value(&l, x);
    return l;
}

static SnValue make_list(const List *l, SnPrim op, const SnAttr *attr, int nattr)
{
    return l->failed ? sn_none() : sn_make(l->g, op, attr, nattr, l->at, l->n);
}

SnRef sn_use_dim(SnGraph *g, const char *op, SnValue v)
{
    SnRef r = sn_use(g, v);
    if (r != 0 && sn_is_adaptable(g->s, r) && sn_dtype_is_int(sn_dtype_of(g->s, r)))
        r = sn_adapt(g, r, SN_I64);
    if (r != 0 && !sn_is_dim(g->s, r))
        return sn_graph_fail(g, SN_EINVAL, "%s: a value stands for a dim: measure it", op).ref;
    return r;
}

/* ---- leaves with operands ---- */

SnValue sn_iota(SnGraph *g, SnDtype dtype, int axis, int ndim, const SnValue *dims)
{
    List l = {.g = g, .op = "iota"};
    const SnAttr attr[] = {SN_INT("axis", axis < 0 ? axis + ndim : axis), SN_DTYPE("dtype", dtype)};
    if (ndim > SN_MAX_RANK)
        return sn_graph_fail(g, SN_ESHAPE, "iota: %d dims, at most %d are possible", ndim, SN_MAX_RANK);
    add_dims(&l, ndim, dims);
    return make_list(&l, SN_OP_IOTA, attr, SN_COUNT(attr));
}

SnValue sn_measure(SnGraph *g, SnValue x, SnValue bound)
{
    const SnRef r = sn_use(g, x);
    if (r == 0 || sn_is_dim(g->s, r))
        return sn_here(g, r);
    const SnRef in[] = {r, bound.ref != 0 ? sn_use_dim(g, "measure", bound) : sn_use_optional(g, bound)};
    return sn_graph_ok(g) ? sn_make(g, SN_OP_MEASURE, NULL, 0, in, 2) : sn_none();
}

/* ---- movement ---- */

/* One dim of -1 is what the others leave. */
static void infer_rest(SnGraph *g, SnRef x, int ndim, SnRef *dims)
{
    const SnType *const t = sn_type_of(g->s, x);
    SnRef left = sn_const_i64(g->s, 1);
    int rest = -1;
    for (int i = 0; i < t->ndim; i++)
        left = sn_dim_mul(g->s, left, t->dims[i]);
    for (int i = 0; i < ndim; i++) {
        int64_t v = 0;
        if (sn_is_const_i64(g->s, dims[i], &v) && v == -1)
            rest = i;
    }
    for (int i = 0; i < ndim && rest >= 0; i++)
        if (i != rest)
            left = sn_dim_div(g->s, left, dims[i]);
    if (rest >= 0)
        dims[rest] = left;
}

SnValue sn_reshape(SnGraph *g, SnValue x, int ndim, const SnValue *dims)
{
    List l = list_of(g, "reshape", x);
    if (ndim > SN_MAX_RANK)
        return sn_graph_fail(g, SN_ESHAPE, "reshape: %d dims, at most %d are possible", ndim, SN_MAX_RANK);
    add_dims(&l, ndim, dims);
    if (!l.failed)
        infer_rest(g, l.at[0], ndim, l.at + 1);
    return make_list(&l, SN_OP_RESHAPE, NULL, 0);
}

SnValue sn_permute(SnGraph *g, SnValue x, const int *perm)
{
    const List l = list_of(g, "permute", x);
    int64_t at[SN_MAX_RANK];
    const int n = sn_rank(g, x);
    for (int i = 0; i < n; i++)
        at[i] = perm[i] < 0 ? perm[i] + n : perm[i];
    return make_list(&l, SN_OP_PERMUTE, &SN_INTS("perm", at, n), 1);
}

SnValue sn_broadcast(SnGraph *g, SnValue x, int ndim, const SnValue *dims)
{
    List l = list_of(g, "broadcast", x);
    if (ndim > SN_MAX_RANK)
        return sn_graph_fail(g, SN_ESHAPE, "broadcast: %d dims, at most %d are possible", ndim, SN_MAX_RANK);
    add_dims(&l, ndim, dims);
    return l.failed ? sn_none() : sn_here(g, broadcast_to(g, l.at[0], ndim, l.at + 1));
}

SnValue sn_slice(SnGraph *g, SnValue x, const SnValue *starts, const SnValue *sizes, const int64_t *steps)
{
    List l = list_of(g, "slice", x);
    const int n = sn_rank(g, x);
    bool has_steps = false;
    for (int i = 0; steps != NULL && i < n; i++)
        has_steps = has_steps || steps[i] != 1;
    add_starts(&l, n, starts);
    add_dims(&l, n, sizes);
    return make_list(&l, SN_OP_SLICE, &SN_INTS("steps", steps, n), has_steps);
}

SnValue sn_slice_axis(SnGraph *g, SnValue x, int axis, SnValue start, SnValue size)
{
    SnValue starts[SN_MAX_RANK], sizes[SN_MAX_RANK];
    const int at = find_axis(g, "slice", x, axis);
    for (int i = 0; i < sn_rank(g, x); i++) {
        starts[i] = i == at ? start : sn_const_int(g, SN_I64, 0);
        sizes[i] = i == at ? size : sn_dim(g, x, i);
    }
    return at < 0 ? sn_none() : sn_slice(g, x, starts, sizes, NULL);
}

SnValue sn_pad(SnGraph *g, SnValue x, const SnValue *lo, const SnValue *hi, SnValue value,
               const int64_t *interior)
{
    List l = list_of(g, "pad", x);
    const int n = sn_rank(g, x);
    bool has_interior = false;
    for (int i = 0; interior != NULL && i < n; i++)
        has_interior = has_interior || interior[i] != 0;
    add_dims(&l, n, lo);
    add_dims(&l, n, hi);
    add_value(&l, value);
    if (!l.failed) {
        SnRef pair[] = {l.at[0], l.at[l.n - 1]};
        l.failed = !fit_dtypes(g, "pad", pair, 2);
        l.at[l.n - 1] = pair[1];
    }
    return make_list(&l, SN_OP_PAD, &SN_INTS("interior", interior, n), has_interior);
}

/* Axes from the front, in rising order; axes NULL: all. -1: an error, which is sticky now. */
static int sort_axes(SnGraph *g, const char *op, SnValue x, int naxis, const int *axes, int64_t *out)
{
    const int n = axes == NULL ? sn_rank(g, x) : naxis;
    if (n > SN_MAX_RANK)
        return -1;
    for (int i = 0; i < n; i++) {
        const int axis = axes == NULL ? i : find_axis(g, op, x, axes[i]);
        int j = i;
        if (axis < 0)
            return -1;
        for (; j > 0 && out[j - 1] > axis; j--)
            out[j] = out[j - 1];
        out[j] = axis;
    }
    return n;
}

SnValue sn_flip(SnGraph *g, SnValue x, int naxis, const int *axes)
{
    const List l = list_of(g, "flip", x);
    int64_t at[SN_MAX_RANK];
    const int n = sort_axes(g, "flip", x, naxis, axes, at);
    return n < 0 ? sn_none() : make_list(&l, SN_OP_FLIP, &SN_INTS("axes", at, n), 1);
}

SnValue sn_concat(SnGraph *g, int n, const SnValue *xs, int axis)
{
    SnRef *const in = n > 0 ? sn_arena_array(sn_store_arena(g->s), (size_t)n, sizeof *in) : NULL;
    const int at = n > 0 ? find_axis(g, "concat", xs[0], axis) : -1;
    if (in == NULL || at < 0)
        return n > 0 && in == NULL ? sn_graph_no_memory(g)
                                   : sn_graph_fail(g, SN_EINVAL, "concat: nothing to join");
    for (int i = 0; i < n; i++)
        in[i] = sn_use(g, xs[i]);
    return sn_make(g, SN_OP_CONCAT, &SN_INT("axis", at), 1, in, n);
}

SnValue sn_window(SnGraph *g, SnValue x, int axis, int64_t size, int64_t stride, int64_t dilation)
{
    const List l = list_of(g, "window", x);
    const int at = find_axis(g, "window", x, axis);
    const SnAttr attr[] = {SN_INT("axis", at), SN_INT("size", size), SN_INT("stride", stride),
                           SN_INT("dilation", dilation)};
    return at < 0 ? sn_none() : make_list(&l, SN_OP_WINDOW, attr, SN_COUNT(attr));
}

/* ---- reductions and products ---- */

SnValue sn_reduce(SnGraph *g, const char *fn, SnValue x, int naxis, const int *axes, bool keep)
{
    const List l = list_of(g, "reduce", x);
    int64_t at[SN_MAX_RANK];
    const int n = sort_axes(g, "reduce", x, naxis, axes, at);
    const SnAttr attr[] = {SN_STRING("fn", fn), SN_INTS("axes", at, n), SN_INT("keep", 1)};
    return n < 0 ? sn_none() : make_list(&l, SN_OP_REDUCE, attr, 2 + keep);
}

SnValue sn_sum_of(SnGraph *g, SnValue x, int axis)
{
    return sn_reduce(g, "add", x, 1, &axis, true);
}

SnValue sn_max_of(SnGraph *g, SnValue x, int axis)
{
    return sn_reduce(g, "max", x, 1, &axis, true);
}

SnValue sn_scan(SnGraph *g, const char *fn, SnValue x, int axis, bool reverse)
{
    const List l = list_of(g, "scan", x);
    const int at = find_axis(g, "scan", x, axis);
    const SnAttr attr[] = {SN_STRING("fn", fn), SN_INT("axis", at), SN_INT("reverse", 1)};
    return at < 0 ? sn_none() : make_list(&l, SN_OP_SCAN, attr, 2 + reverse);
}

SnValue sn_argmax(SnGraph *g, SnValue x, int axis, bool keep)
{
    const List l = list_of(g, "argmax", x);
    const int at = find_axis(g, "argmax", x, axis);
    const SnAttr attr[] = {SN_INT("axis", at), SN_INT("keep", 1)};
    return at < 0 ? sn_none() : make_list(&l, SN_OP_ARGMAX, attr, 1 + keep);
}

#define MAX_EQUATION (3 * SN_MAX_RANK + 4)

/* The labels that are summed, in the order of the sum. */
static void summed_labels(const char *eq, char *out)
{
    const char *result = strchr(eq, '>');
    for (const char *at = eq; at < result; at++) {
        const bool is_label = *at != ',' && *at != '-';
        if (is_label && strchr(result, *at) == NULL && memchr(eq, *at, (size_t)(at - eq)) == NULL)
            *out++ = *at;
    }
    *out = '\0';
}

/* A permuted operand is the operand with its labels in another order, unless that changes the order of the
 * sum. */
static SnValue unpermuted(SnGraph *g, char *eq, char *labels, SnValue v)
{
    const SnStore *s = sn_graph_store(g);
    char turned[MAX_EQUATION], before[MAX_EQUATION], after[MAX_EQUATION];
    if (v.ref == 0 || sn_term(s, v.ref)->op != SN_OP_PERMUTE)
        return v;
    const SnAttr *perm = sn_attr(s, v.ref, "perm");
    const size_t n = (size_t)perm->u.ints.n;
    if (strcspn(labels, ",-") != n)
        return v;
    memcpy(turned, eq, strlen(eq) + 1);
    for (size_t i = 0; i < n; i++)
        turned[labels - eq + perm->u.ints.at[i]] = labels[i];
    summed_labels(eq, before);
    summed_labels(turned, after);
    if (strcmp(before, after) != 0)
        return v;
    memcpy(eq, turned, strlen(turned));
    return (SnValue){sn_term(s, v.ref)->arg[0], v.scope};
}

SnValue sn_contract(SnGraph *g, const char *eq, SnValue a, SnValue b, SnDtype acc)
{
    char own[MAX_EQUATION];
    const char *comma = strchr(eq, ',');
    if (comma != NULL && strchr(comma, '>') != NULL && strlen(eq) < sizeof own) {
        memcpy(own, eq, strlen(eq) + 1);
        a = unpermuted(g, own, own, a);
        b = unpermuted(g, own, own + (comma - eq) + 1, b);
        eq = own;
    }
    List l = list_of(g, "contract", a);
    const SnAttr attr[] = {SN_STRING("eq", eq), SN_DTYPE("acc", acc)};
    add_value(&l, b);
    return make_list(&l, SN_OP_CONTRACT, attr, SN_COUNT(attr));
}

/* ---- indexed ---- */

static int index_axes(SnGraph *g, const char *op, SnValue x, int naxis, const int *axes, int64_t *out)
{
    if (naxis > SN_MAX_RANK)
        return -1;
    for (int i = 0; i < naxis; i++) {
        out[i] = find_axis(g, op, x, axes[i]);
        if (out[i] < 0)
            return -1;
    }
    return naxis;
}

SnValue sn_gather(SnGraph *g, SnValue x, int naxis, const int *axes, const SnValue *index, const char *oob)
{
    List l = list_of(g, "gather", x);
    int64_t at[SN_MAX_RANK];
    const int n = index_axes(g, "gather", x, naxis, axes, at);
    const SnAttr attr[] = {SN_INTS("axes", at, n), SN_STRING("oob", oob != NULL ? oob : "clamp")};
    for (int i = 0; i < n; i++)
        add_value(&l, index[i]);
    return n < 0 ? sn_none() : make_list(&l, SN_OP_GATHER, attr, SN_COUNT(attr));
}

SnValue sn_scatter(SnGraph *g, const char *fn, SnValue base, int naxis, const int *axes, const SnValue *index,
                   SnValue updates)
{
    List l = list_of(g, "scatter", base);
    int64_t at[SN_MAX_RANK];
    const int n = index_axes(g, "scatter", base, naxis, axes, at);
    const SnAttr attr[] = {SN_STRING("fn", fn), SN_INTS("axes", at, n)};
    for (int i = 0; i < n; i++)
        add_value(&l, index[i]);
    add_value(&l, updates);
    return n < 0 ? sn_none() : make_list(&l, SN_OP_SCATTER, attr, SN_COUNT(attr));
}

SnValue sn_update(SnGraph *g, SnValue base, SnValue value, const SnValue *starts)
{
    List l = list_of(g, "update", base);
    add_value(&l, value);
    add_starts(&l, sn_rank(g, base), starts);
    return make_list(&l, SN_OP_UPDATE, NULL, 0);
}

SnValue sn_sort(SnGraph *g, int n, const SnValue *xs, int nkeys, int axis, bool desc, int64_t limit)
{
    const int at = n > 0 ? find_axis(g, "sort", xs[0], axis) : -1;
    SnAttr attr[4] = {SN_INT("axis", at), SN_INT("nkeys", nkeys)};
    List l = {.g = g, .op = "sort"};
    int nattr = 2;
    if (at < 0 || n > MAX_LIST)
        return sn_graph_fail(g, SN_EINVAL, "sort: cannot sort %d operands", n);
    if (desc)
        attr[nattr++] = SN_INT("desc", 1);
    if (limit > 0)
        attr[nattr++] = SN_INT("limit", limit);
    for (int i = 0; i < n; i++)
        add_value(&l, xs[i]);
    return make_list(&l, SN_OP_SORT, attr, nattr);
}

SnValue sn_compact(SnGraph *g, SnValue x, SnValue mask, SnValue bound)
{
    List l = list_of(g, "compact", x);
    const SnValue count = sn_reduce(g, "add", sn_cast(g, mask, SN_I64), 0, NULL, false);
    add_value(&l, mask);
    add_value(&l, sn_measure(g, count, bound.ref != 0 ? bound : sn_dim(g, x, 0)));
    return make_list(&l, SN_OP_COMPACT, NULL, 0);
}

/* ---- structure ---- */

SnValue sn_tuple(SnGraph *g, int n, const SnValue *xs, const char *const *names)
{
    SnRef *const in = sn_arena_array(sn_store_arena(g->s), (size_t)n + 1, sizeof *in);
    if (in == NULL)
        return sn_graph_no_memory(g);
    for (int i = 0; i < n; i++)
        in[i] = sn_use(g, xs[i]);
    return sn_make(g, SN_OP_TUPLE, &SN_NAMES("names", names, n), names != NULL, in, n);
}

SnValue sn_get(SnGraph *g, SnValue t, int i)
{
    const List l = list_of(g, "get", t);
    if (!l.failed && sn_term(g->s, l.at[0])->op == SN_OP_TUPLE && i >= 0 && i < sn_term(g->s, l.at[0])->narg)
        return sn_here(g, sn_term(g->s, l.at[0])->arg[i]);
    return make_list(&l, SN_OP_GET, &SN_INT("index", i), 1);
}

SnValue sn_list(SnGraph *g, SnValue start, SnValue len, SnValue child)
{
    List l = list_of(g, "list", start);
    add_value(&l, len);
    add_value(&l, child);
    return make_list(&l, SN_OP_LIST, NULL, 0);
}
