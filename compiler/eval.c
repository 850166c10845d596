/* eval.c -- runs graphs on host values: frames of functions, dims, leaves, entries.
 *
 * A frame evaluates every term that its function needs, once, in order of refs. Symbols are bound by the dims
 * of the arguments; what they leave open is looked up in the calling frame, since a symbol of the entry means
 * the same everywhere. */
#include "compiler/eval.h"

#include "compiler/eval_value.h"
#include "compiler/pass.h"
#include "runtime/tensor.h"

#include <inttypes.h>

#define MAX_DEPTH 64

typedef struct Binding {
    SnRef symbol;
    int64_t value;
} Binding;

struct SnEvalFrame {
    const SnEvalCode *code;
    const SnEvalValue **value; /* by place in code */
    const SnEvalValue *const *arg;
    int narg;
    SN_VEC(Binding) dim;
    SnEvalFrame *caller;
};

/* ---- code: what a root needs ---- */

typedef struct Reach {
    uint8_t *needed; /* by ref */
} Reach;

static SnRef need_dim(void *self, SnRef dim)
{
    ((Reach *)self)->needed[dim] = 1;
    return dim;
}

/* Functions are not entered: each has code of its own. The dims of a host call's results size its buffers. */
static SnStatus make_code(SnEval *e, SnRef root, SnEvalCode *out)
{
    SnArena scratch;
    sn_arena_init(&scratch, sn_allocator(e->ctx));
    Reach x = {(uint8_t *)sn_arena_alloc(&scratch, (size_t)root + 1)};
    SnStatus st = SN_OK;
    uint32_t n = 0;
    if (x.needed == NULL)
        st = sn_eval_no_memory(e);
    else
        x.needed[root] = 1;
    for (SnRef r = root; st == SN_OK && r > 0; r--) {
        const SnTerm *t = sn_term(e->s, r);
        if (x.needed[r] == 0)
            continue;
        n++;
        for (int i = 0; t->op != SN_OP_FN && i < t->narg; i++)
            x.needed[t->arg[i]] = 1;
        if (t->op == SN_OP_HOST && sn_type_map_dims(e->s, t->type, need_dim, &x) == 0)
            st = sn_eval_no_memory(e);
    }
    SnRef *ref = st == SN_OK ? (SnRef *)sn_arena_array(&e->code_arena, n, sizeof *ref) : NULL;
    if (st == SN_OK && ref == NULL)
        st = sn_eval_no_memory(e);
    n = 0;
    for (SnRef r = 1; st == SN_OK && r <= root; r++)
        if (x.needed[r] != 0)
            ref[n++] = r;
    if (st == SN_OK)
        *out = (SnEvalCode){.n = n, .ref = ref};
    sn_arena_clear(&scratch);
    return st;
}

static SnStatus code_of(SnEval *e, SnRef fn, const SnEvalCode **out)
{
    SN_CHECK(fn < e->ncode && sn_term(e->s, fn)->op == SN_OP_FN, e->err, SN_EINTERNAL,
             "eval: not a function");
    if (e->code[fn] == NULL) {
        SnEvalCode *c = (SnEvalCode *)sn_arena_alloc(&e->code_arena, sizeof *c);
        if (c == NULL)
            return sn_eval_no_memory(e);
        SN_TRY(make_code(e, sn_term(e->s, fn)->arg[0], c));
        e->code[fn] = c;
    }
    *out = e->code[fn];
    return SN_OK;
}

static const SnEvalValue *value_of(const SnEvalFrame *f, SnRef r)
{
    uint32_t lo = 0, hi = f->code->n;
    while (lo < hi) {
        const uint32_t mid = lo + (hi - lo) / 2;
        if (f->code->ref[mid] < r)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo < f->code->n && f->code->ref[lo] == r ? f->value[lo] : NULL;
}

/* ---- dims ---- */

static const SnNamedView *find_input(const SnEval *e, const char *name)
{
    for (size_t i = 0; i < e->nin; i++)
        if (strcmp(e->in[i].name, name) == 0)
            return &e->in[i];
    return NULL;
}

/* A host may also give a dim by name, as an i64 scalar. */
static bool given_dim(const SnEval *e, SnRef symbol, int64_t *value)
{
    const char *name = sn_attr_string(e->s, symbol, "name");
    const SnNamedView *v = name != NULL ? find_input(e, name) : NULL;
    if (v == NULL || v->view.ndim != 0 || v->view.dtype != SN_I64)
        return false;
    *value = sn_scalar_load(SN_I64, v->view.data).i;
    return true;
}

static bool bound_here(const SnEvalFrame *f, SnRef symbol, int64_t *value)
{
    for (size_t i = 0; i < f->dim.n; i++) {
        if (f->dim.at[i].symbol == symbol) {
            *value = f->dim.at[i].value;
            return true;
        }
    }
    return false;
}

static bool leaf_value(void *self, SnRef leaf, int64_t *value)
{
    const SnEval *e = (const SnEval *)self;
    if (sn_term(e->s, leaf)->op == SN_OP_MEASURE) {
        const SnEvalValue *v = value_of(e->frame, leaf);
        if (v != NULL)
            *value = sn_eval_i64(v);
        return v != NULL;
    }
    for (const SnEvalFrame *f = e->frame; f != NULL; f = f->caller)
        if (bound_here(f, leaf, value))
            return true;
    return given_dim(e, leaf, value);
}

SnStatus sn_eval_dim(SnEval *e, SnRef dim, int64_t *out)
{
    if (sn_dim_eval(e->s, dim, leaf_value, e, out))
        return SN_OK;
    SnText text = {.memory = sn_allocator(e->ctx)};
    sn_dim_print(e->s, dim, &text);
    const SnStatus st =
        sn_fail(e->err, SN_EINVAL, "eval: no argument tells what dim %s is", text.failed ? "?" : text.at);
    sn_text_clear(&text);
    return st;
}

/* In the frame alone: a symbol that only the caller knows is not known yet. */
static bool own_leaf(void *self, SnRef leaf, int64_t *value)
{
    const SnEval *e = (const SnEval *)self;
    return sn_term(e->s, leaf)->op == SN_OP_DIM && bound_here(e->frame, leaf, value);
}

/* Makes dim have this value, by binding its one unknown symbol; what has more unknowns is left alone. */
static SnStatus solve(SnEval *e, SnRef dim, int64_t value, int depth)
{
    const SnTerm *t = sn_term(e->s, dim);
    int64_t known, a = 0, b = 0;
    if (sn_dim_eval(e->s, dim, own_leaf, e, &known)) {
        SN_CHECK(known == value, e->err, SN_ESHAPE, "a dim is %" PRId64 ", expected %" PRId64, value, known);
        return SN_OK;
    }
    if (t->op == SN_OP_DIM) {
        if (!sn_vec_push(sn_allocator(e->ctx), &e->frame->dim, (Binding){dim, value}))
            return sn_eval_no_memory(e);
        return SN_OK;
    }
    if (depth == 0 || t->narg != 2 || t->op == SN_OP_MEASURE)
        return SN_OK;
    const bool has_a = sn_dim_eval(e->s, t->arg[0], own_leaf, e, &a);
    const bool has_b = sn_dim_eval(e->s, t->arg[1], own_leaf, e, &b);
    if (has_a == has_b)
        return SN_OK;
    const SnRef open = t->arg[has_a ? 1 : 0];
    const int64_t c = has_a ? a : b;
    if (t->op == SN_OP_ADD)
        return solve(e, open, value - c, depth - 1);
    if (t->op == SN_OP_MUL && c != 0 && value % c == 0)
        return solve(e, open, value / c, depth - 1);
    return SN_OK;
}

/* Binds the symbols of a type by the dims of a value; plain symbols first, since they make sums solvable. */
static SnStatus bind_type(SnEval *e, SnTypeId id, const SnEvalValue *v, bool plain, int depth)
{
    const SnType *t = sn_type(e->s, id);
    SN_CHECK(depth < MAX_DEPTH && v->kind == t->kind && v->view.ndim == t->ndim && v->nchild == t->nchild &&
                 (t->kind == SN_TYPE_OBJECT || v->view.dtype == t->dtype),
             e->err, SN_ESHAPE, "dtype, rank or kind differ from the declared type");
    for (int i = 0; i < t->ndim; i++)
        if ((sn_term(e->s, t->dims[i])->op == SN_OP_DIM) == plain)
            SN_TRY(solve(e, t->dims[i], v->view.dims[i], MAX_DEPTH));
    if (t->kind == SN_TYPE_LIST && t->bound != 0 && (sn_term(e->s, t->bound)->op == SN_OP_DIM) && plain)
        SN_TRY(solve(e, t->bound, v->view.child_count, MAX_DEPTH));
    for (int i = 0; t->kind == SN_TYPE_TUPLE && i < t->nchild; i++)
        SN_TRY(bind_type(e, t->child[i], v->child[i], plain, depth + 1));
    return SN_OK;
}

static SnStatus bind_args(SnEval *e, SnRef fn, const SnEvalValue *const *arg, int narg)
{
    const SnTerm *t = sn_term(e->s, fn);
    SN_CHECK(t->narg - 1 == narg, e->err, SN_EINTERNAL, "eval: %d arguments for a function of %d", narg,
             t->narg - 1);
    for (int pass = 0; pass < 2; pass++) {
        for (int i = 0; i < narg; i++) {
            const SnTypeId type = sn_term(e->s, t->arg[1 + i])->type;
            if (type != 0 && arg[i]->kind != 0 && arg[i]->kind != SN_TYPE_OBJECT)
                SN_TRY(bind_type(e, type, arg[i], pass == 0, 0));
        }
    }
    return SN_OK;
}

/* ---- leaves ---- */

static SnStatus missing(SnEval *e, const char *what, const char *name)
{
    return sn_fail(e->err, SN_EINVAL, "eval: %s %s is not given", what, name);
}

static SnStatus check_list(SnEval *e, const char *name, const SnEvalValue *v)
{
    const int64_t n = sn_eval_nelement(v);
    SN_CHECK(v->view.start != NULL && v->view.len != NULL && v->view.child_count >= 0, e->err, SN_EINVAL,
             "%s: a list needs start and len", name);
    for (int64_t i = 0; i < n; i++) {
        const int64_t start = v->view.start[i], len = v->view.len[i];
        SN_CHECK(start >= 0 && len >= 0 && start <= v->view.child_count && len <= v->view.child_count - start,
                 e->err, SN_ESHAPE, "%s: element %" PRId64 " lies outside the child", name, i);
    }
    return SN_OK;
}

/* A view as a value: borrowed where it is dense and aligned. */
static SnStatus take_view(SnEval *e, const char *name, const SnView *view, SnTypeKind kind, SnEvalValue *out)
{
    int64_t n;
    SN_CHECK(sn_view_count(view, &n) && (view->data != NULL || n == 0 || kind == SN_TYPE_LIST), e->err,
             SN_ESHAPE, "%s: bad dims or no data", name);
    *out = (SnEvalValue){.kind = kind, .view = *view};
    memset(out->view.strides, 0, sizeof out->view.strides);
    if (kind == SN_TYPE_LIST)
        return check_list(e, name, out);
    const size_t size = sn_dtype_size(view->dtype);
    if (sn_view_is_dense(view) && view->data != NULL && (uintptr_t)view->data % size == 0)
        return SN_OK;
    SN_TRY(sn_eval_tensor(e, view->dtype, view->ndim, view->dims, out));
    return n > 0 ? sn_view_copy(view, out->view.data, (size_t)n * size, e->err) : SN_OK;
}

static SnStatus eval_given(const SnEvalOp *x)
{
    const char *name = sn_attr_string(x->e->s, x->ref, "name");
    const SnNamedView *v = find_input(x->e, name);
    const SnTypeKind kind = sn_type_of(x->e->s, x->ref)->kind;
    if (v == NULL && x->t->op == SN_OP_CARRY && x->t->narg == 1) {
        *x->out = *x->in[0];
        return SN_OK;
    }
    if (v == NULL)
        return missing(x->e, sn_prim(x->t->op)->name, name);
    return take_view(x->e, name, &v->view, kind, x->out);
}

static SnStatus eval_param(const SnEvalOp *x)
{
    const char *name = sn_attr_string(x->e->s, x->ref, "name");
    const SnSource *source = x->e->g != NULL ? sn_graph_get_source(x->e->g) : NULL;
    const SnType *t = sn_type_of(x->e->s, x->ref);
    SnSourceTensor w;
    if (source == NULL || !source->find(source->self, name, &w))
        return missing(x->e, "param", name);
    SnView v = sn_view(w.dtype, (void *)(uintptr_t)w.bytes.at, w.ndim, w.dims);
    bool fits = w.dtype == t->dtype && w.ndim == t->ndim;
    size_t bytes = sn_dtype_size(w.dtype);
    for (int i = 0; fits && i < w.ndim; i++) {
        int64_t dim;
        fits = sn_is_const_i64(x->e->s, t->dims[i], &dim) && dim == w.dims[i] && dim >= 0 &&
               sn_mul_size(bytes, (size_t)dim, &bytes);
    }
    SN_CHECK(fits && bytes <= w.bytes.n, x->e->err, SN_ESHAPE, "param %s: the source has another shape",
             name);
    return take_view(x->e, name, &v, SN_TYPE_TENSOR, x->out);
}

static SnStatus eval_object(const SnEvalOp *x)
{
    const SnAttr *data = sn_attr(x->e->s, x->ref, "data");
    SN_CHECK(data != NULL, x->e->err, SN_EINVAL, "object %s has no table",
             sn_attr_string(x->e->s, x->ref, "name"));
    const int64_t n = (int64_t)data->u.data.n;
    *x->out = (SnEvalValue){.kind = SN_TYPE_OBJECT,
                            .view = sn_view(SN_U8, (void *)(uintptr_t)data->u.data.at, 1, &n)};
    return SN_OK;
}

static SnStatus eval_const(const SnEvalOp *x)
{
    const SnType *t = sn_type_of(x->e->s, x->ref);
    const SnAttr *value = sn_attr(x->e->s, x->ref, "value"), *data = sn_attr(x->e->s, x->ref, "data");
    int64_t dims[SN_MAX_RANK] = {0};
    for (int i = 0; i < t->ndim; i++)
        SN_TRY(sn_eval_dim(x->e, t->dims[i], &dims[i]));
    SN_TRY(sn_eval_tensor(x->e, t->dtype, t->ndim, dims, x->out));
    const int64_t n = sn_eval_nelement(x->out);
    const size_t bytes = (size_t)n * sn_dtype_size(t->dtype);
    SN_CHECK(value != NULL || (data != NULL && data->u.data.n == bytes), x->e->err, SN_EINVAL,
             "const: its data do not fit its type");
    if (value == NULL && bytes > 0)
        memcpy(x->out->view.data, data->u.data.at, bytes);
    for (int64_t i = 0; value != NULL && i < n; i++)
        sn_eval_store(x->out, i, value->u.scalar);
    return SN_OK;
}

static SnStatus eval_symbol(const SnEvalOp *x)
{
    int64_t v;
    SN_TRY(sn_eval_dim(x->e, x->ref, &v));
    SN_TRY(sn_eval_tensor(x->e, SN_I64, 0, NULL, x->out));
    sn_eval_store(x->out, 0, (SnScalar){.i = v});
    return SN_OK;
}

static SnStatus eval_arg(const SnEvalOp *x)
{
    const int64_t i = sn_attr_int(x->e->s, x->ref, "index", -1);
    const SnEvalFrame *f = x->e->frame;
    SN_CHECK(i >= 0 && i < f->narg, x->e->err, SN_EINTERNAL,
             "eval: parameter %" PRId64 " outside of a function", i);
    *x->out = *f->arg[i];
    return SN_OK;
}

static SnStatus eval_nothing(const SnEvalOp *x)
{
    *x->out = (SnEvalValue){0};
    return SN_OK;
}

/* ---- ops ---- */

static SnEvalFn *op_of(uint16_t op)
{
    static SnEvalFn *const table[SN_PRIM_COUNT] = {
        [SN_OP_NONE] = eval_nothing,         [SN_OP_INPUT] = eval_given,
        [SN_OP_PARAM] = eval_param,          [SN_OP_CARRY] = eval_given,
        [SN_OP_OBJECT] = eval_object,        [SN_OP_CONST] = eval_const,
        [SN_OP_IOTA] = sn_eval_iota,         [SN_OP_DIM] = eval_symbol,
        [SN_OP_MEASURE] = sn_eval_measure,   [SN_OP_ARG] = eval_arg,
        [SN_OP_CAST] = sn_eval_cast,         [SN_OP_BITCAST] = sn_eval_bitcast,
        [SN_OP_WHERE] = sn_eval_where,       [SN_OP_RESHAPE] = sn_eval_reshape,
        [SN_OP_PERMUTE] = sn_eval_permute,   [SN_OP_BROADCAST] = sn_eval_broadcast,
        [SN_OP_SLICE] = sn_eval_slice,       [SN_OP_PAD] = sn_eval_pad,
        [SN_OP_FLIP] = sn_eval_flip,         [SN_OP_CONCAT] = sn_eval_concat,
        [SN_OP_WINDOW] = sn_eval_window,     [SN_OP_REDUCE] = sn_eval_reduce,
        [SN_OP_SCAN] = sn_eval_scan,         [SN_OP_ARGMAX] = sn_eval_argmax,
        [SN_OP_CONTRACT] = sn_eval_contract, [SN_OP_GATHER] = sn_eval_gather,
        [SN_OP_SCATTER] = sn_eval_scatter,   [SN_OP_UPDATE] = sn_eval_update,
        [SN_OP_SORT] = sn_eval_sort,         [SN_OP_COMPACT] = sn_eval_compact,
        [SN_OP_TUPLE] = sn_eval_tuple,       [SN_OP_GET] = sn_eval_get_child,
        [SN_OP_CALL] = sn_eval_call_op,      [SN_OP_LOOP] = sn_eval_loop,
        [SN_OP_COND] = sn_eval_cond,         [SN_OP_FN] = eval_nothing,
        [SN_OP_ENTRY] = eval_nothing,        [SN_OP_LIST] = sn_eval_make_list,
        [SN_OP_OFFSETS] = sn_eval_offsets,   [SN_OP_VALUES] = sn_eval_values,
        [SN_OP_HOST] = sn_eval_host,         [SN_OP_COPY] = sn_eval_same,
        [SN_OP_STOP] = sn_eval_same,
    };
    if (op >= SN_PRIM_COUNT)
        return NULL;
    return table[op] == NULL && sn_op_is_elementwise(op) ? sn_eval_elementwise : table[op];
}

static SnStatus run_term(SnEval *e, SnRef r, SnEvalValue *out)
{
    const SnTerm *t = sn_term(e->s, r);
    SnEvalFn *const fn = op_of(t->op);
    const SnEvalValue **in = (const SnEvalValue **)sn_arena_array(e->arena, t->narg, sizeof *in);
    if (in == NULL)
        return sn_eval_no_memory(e);
    for (int i = 0; t->op != SN_OP_FN && i < t->narg; i++)
        in[i] = value_of(e->frame, t->arg[i]);
    SN_CHECK(fn != NULL, e->err, SN_EUNSUPPORTED, "eval: %s",
             t->op < SN_PRIM_COUNT ? sn_prim(t->op)->name : "composite");
    const SnEvalOp x = {.e = e, .ref = r, .t = t, .in = in, .out = out};
    return fn(&x);
}

static SnStatus run_code(SnEval *e)
{
    SnEvalFrame *f = e->frame;
    f->value = (const SnEvalValue **)sn_arena_array(e->arena, f->code->n, sizeof *f->value);
    if (f->value == NULL)
        return sn_eval_no_memory(e);
    for (uint32_t i = 0; i < f->code->n; i++) {
        SnEvalValue *v = (SnEvalValue *)sn_arena_alloc(e->arena, sizeof *v);
        if (v == NULL)
            return sn_eval_no_memory(e);
        SN_TRY(run_term(e, f->code->ref[i], v));
        f->value[i] = v;
    }
    return SN_OK;
}

/* ---- calls ---- */

SnStatus sn_eval_call(SnEval *e, SnRef fn, const SnEvalValue *const *arg, int narg, SnArena *to,
                      SnEvalValue **out)
{
    SnEvalFrame frame = {.arg = arg, .narg = narg, .caller = e->frame};
    SnArena arena, *const outer = e->arena;
    SN_CHECK(e->depth < MAX_DEPTH, e->err, SN_EINVAL, "eval: functions nest deeper than %d", MAX_DEPTH);
    SN_TRY(code_of(e, fn, &frame.code));
    sn_arena_init(&arena, sn_allocator(e->ctx));
    e->frame = &frame;
    e->arena = &arena;
    e->depth++;
    SnStatus st = bind_args(e, fn, arg, narg);
    if (st == SN_OK)
        st = run_code(e);
    if (st == SN_OK)
        st = sn_eval_copy(e, value_of(&frame, sn_term(e->s, fn)->arg[0]), to, out);
    e->depth--;
    e->frame = frame.caller;
    e->arena = outer;
    sn_vec_clear(sn_allocator(e->ctx), &frame.dim);
    sn_arena_clear(&arena);
    return st;
}

static SnStatus empty_row(SnEval *e, SnTypeId id, SnEvalValue *out)
{
    const SnType *t = sn_type(e->s, id);
    *out = (SnEvalValue){.kind = t->kind, .view = {.dtype = t->dtype, .ndim = t->ndim}};
    for (int i = 0; i < t->ndim; i++)
        SN_TRY(sn_eval_dim(e, t->dims[i], &out->view.dims[i]));
    return SN_OK;
}

SnStatus sn_eval_row_types(SnEval *e, SnRef fn, const SnEvalValue *const *arg, int narg, int first,
                           SnEvalValue *rows, int nrow)
{
    const SnEvalCode none = {0};
    SnEvalFrame frame = {.code = &none, .arg = arg, .narg = narg, .caller = e->frame};
    const SnType *t = sn_type_of(e->s, sn_term(e->s, fn)->arg[0]);
    e->frame = &frame;
    SnStatus st = bind_args(e, fn, arg, narg);
    for (int i = 0; st == SN_OK && i < nrow; i++)
        st = empty_row(e, t->child[first + i], &rows[i]);
    e->frame = frame.caller;
    sn_vec_clear(sn_allocator(e->ctx), &frame.dim);
    return st;
}

/* ---- entries ---- */

struct SnEvalResult {
    const SnAllocator *memory;
    SnArena arena;
    SN_VEC(SnNamedView) at;
};

size_t sn_eval_count(const SnEvalResult *r)
{
    return r->at.n;
}

const SnNamedView *sn_eval_get(const SnEvalResult *r, size_t i)
{
    return i < r->at.n ? &r->at.at[i] : NULL;
}

void sn_eval_destroy(SnEvalResult *r)
{
    if (r == NULL)
        return;
    const SnAllocator *memory = r->memory;
    sn_vec_clear(memory, &r->at);
    sn_arena_clear(&r->arena);
    sn_free(memory, r, sizeof *r, _Alignof(SnEvalResult));
}

/* Leaves of tuples are named "name.0", "name.1" ... */
static SnStatus add_result(SnEval *e, SnEvalResult *r, const char *name, const SnEvalValue *v)
{
    if (v->kind == SN_TYPE_TUPLE) {
        for (int i = 0; i < v->nchild; i++) {
            const char *child = sn_arena_printf(&r->arena, "%s.%d", name, i);
            if (child == NULL)
                return sn_eval_no_memory(e);
            SN_TRY(add_result(e, r, child, v->child[i]));
        }
        return SN_OK;
    }
    SnEvalValue *own;
    const char *const text = sn_arena_strndup(&r->arena, name, strlen(name));
    SN_TRY(sn_eval_copy(e, v, &r->arena, &own));
    if (text == NULL || !sn_vec_push(r->memory, &r->at, (SnNamedView){text, own->view}))
        return sn_eval_no_memory(e);
    return SN_OK;
}

static SnStatus collect(SnEval *e, SnRef entry, SnEvalResult *r)
{
    const SnTerm *t = sn_term(e->s, entry);
    const SnEvalValue *results = value_of(e->frame, t->arg[0]);
    const SnType *type = sn_type_of(e->s, t->arg[0]);
    for (int i = 0; i < results->nchild; i++) {
        const char *name = type->names != NULL ? type->names[i] : sn_arena_printf(&r->arena, "%d", i);
        if (name == NULL)
            return sn_eval_no_memory(e);
        SN_TRY(add_result(e, r, name, results->child[i]));
    }
    for (int i = 1; i + 1 < t->narg; i += 2)
        SN_TRY(add_result(e, r, sn_attr_string(e->s, t->arg[i], "name"), value_of(e->frame, t->arg[i + 1])));
    return SN_OK;
}

static SnStatus find_entry(const SnEval *e, SnRef root, const char *name, SnRef *out)
{
    const SnTerm *t = sn_term(e->s, root);
    SN_CHECK(t->op == SN_OP_PROGRAM, e->err, SN_EINVAL, "eval: the root is no program");
    for (int i = 0; i < t->narg; i++) {
        const char *found = sn_attr_string(e->s, t->arg[i], "name");
        if (name == NULL || (found != NULL && strcmp(found, name) == 0)) {
            *out = t->arg[i];
            return SN_OK;
        }
    }
    return sn_fail(e->err, SN_EINVAL, "eval: there is no entry %s", name);
}

/* The dims of given inputs bind the entry's symbols before anything runs. */
static SnStatus bind_inputs(SnEval *e)
{
    for (int pass = 0; pass < 2; pass++) {
        for (uint32_t i = 0; i < e->frame->code->n; i++) {
            const SnRef r = e->frame->code->ref[i];
            const SnTerm *t = sn_term(e->s, r);
            const char *name = sn_attr_string(e->s, r, "name");
            const bool may = (t->op == SN_OP_INPUT || t->op == SN_OP_CARRY) && name != NULL;
            const SnNamedView *v = may ? find_input(e, name) : NULL;
            if (v == NULL)
                continue;
            const SnTypeKind kind = v->view.start != NULL ? SN_TYPE_LIST : SN_TYPE_TENSOR;
            const SnEvalValue value = {.kind = kind, .view = v->view};
            const SnStatus st = bind_type(e, t->type, &value, pass == 0, 0);
            if (st != SN_OK)
                return sn_fail_in(e->err, st, name);
        }
    }
    return SN_OK;
}

static SnStatus run_entry(SnEval *e, SnRef root, const char *entry, SnEvalResult *r)
{
    SnEvalCode code;
    SnEvalFrame frame = {.code = &code};
    SnRef term = 0;
    SN_TRY(find_entry(e, root, entry, &term));
    SN_TRY(make_code(e, term, &code));
    e->frame = &frame;
    SnStatus st = bind_inputs(e);
    if (st == SN_OK)
        st = run_code(e);
    if (st == SN_OK)
        st = collect(e, term, r);
    sn_vec_clear(sn_allocator(e->ctx), &frame.dim);
    e->frame = NULL;
    return st;
}

static SnStatus begin(SnEval *e, SnArena *arena)
{
    const SnAllocator *memory = sn_allocator(e->ctx);
    sn_arena_init(arena, memory);
    sn_arena_init(&e->code_arena, memory);
    e->arena = arena;
    e->ncode = sn_store_count(e->s);
    e->code = (SnEvalCode **)sn_arena_array(&e->code_arena, e->ncode, sizeof *e->code);
    return e->code != NULL ? SN_OK : sn_eval_no_memory(e);
}

static void end(SnEval *e)
{
    sn_scalar_plan_destroy(e->plan);
    sn_arena_clear(&e->code_arena);
    sn_arena_clear(e->arena);
}

SnStatus sn_eval(SnGraph *g, SnRef root, const char *entry, const SnNamedView *in, size_t nin,
                 SnEvalResult **out, SnError *err)
{
    SnStore *s = sn_graph_store(g);
    SnContext *ctx = sn_store_context(s);
    const SnAllocator *memory = sn_allocator(ctx);
    SnEval e = {.g = g, .s = s, .ctx = ctx, .in = in, .nin = nin, .err = err};
    SnArena arena, pass_arena;
    SN_CHECK(root != 0, err, SN_EINVAL, "eval: the graph has an error");
    SnEvalResult *r = (SnEvalResult *)sn_alloc_zero(memory, sizeof *r, _Alignof(SnEvalResult));
    if (r == NULL)
        return sn_eval_no_memory(&e);
    r->memory = memory;
    sn_arena_init(&r->arena, memory);
    sn_arena_init(&pass_arena, memory);
    SnPass pass = {.ctx = ctx, .cc = sn_graph_compiler(g), .g = g, .s = s, .arena = &pass_arena};
    SnStatus st = sn_pass_expand(&pass, root, &root, err);
    sn_arena_clear(&pass_arena);
    if (st == SN_OK) {
        st = begin(&e, &arena);
        if (st == SN_OK)
            st = run_entry(&e, root, entry, r);
        end(&e);
    }
    if (st == SN_OK)
        *out = r;
    else
        sn_eval_destroy(r);
    return st;
}

/* ---- folding ---- */

/* Ops whose value depends on nothing outside. */
static bool is_pure(const SnStore *s, SnRef r)
{
    const uint16_t op = sn_term(s, r)->op;
    return op == SN_OP_CONST || op == SN_OP_IOTA || op == SN_OP_TUPLE || op == SN_OP_GET ||
           (op >= SN_OP_NEG && op <= SN_OP_SORT);
}

/* The terms below r, few of them. */
static bool collect_pure(const SnStore *s, SnRef r, SnRef *ref, uint32_t most, uint32_t *n)
{
    ref[0] = r;
    *n = 1;
    for (uint32_t i = 0; i < *n; i++) {
        const SnTerm *t = sn_term(s, ref[i]);
        if (!is_pure(s, ref[i]))
            return false;
        for (int k = 0; k < t->narg; k++) {
            uint32_t j = 0;
            while (j < *n && ref[j] != t->arg[k])
                j++;
            if (j == most)
                return false;
            if (j == *n)
                ref[(*n)++] = t->arg[k];
        }
    }
    return true;
}

bool sn_eval_const(SnStore *s, SnRef r, int64_t max_count, SnArena *arena, SnBytes *out)
{
    enum { MOST = 64 };
    SnRef ref[MOST];
    SnEvalCode code = {.ref = ref};
    SnEvalFrame frame = {.code = &code};
    SnError err = {.code = SN_OK};
    SnArena scratch;
    if (sn_type_of(s, r)->kind != SN_TYPE_TENSOR || !collect_pure(s, r, ref, MOST, &code.n))
        return false;
    sn_sort_refs(ref, code.n);
    SnEval e = {.s = s, .ctx = sn_store_context(s), .frame = &frame, .max_count = max_count, .err = &err};
    bool ok = begin(&e, &scratch) == SN_OK && run_code(&e) == SN_OK;
    if (ok) {
        const SnEvalValue *v = frame.value[code.n - 1];
        const size_t bytes = (size_t)sn_eval_nelement(v) * sn_dtype_size(v->view.dtype);
        uint8_t *own = (uint8_t *)sn_arena_alloc(arena, bytes);
        ok = own != NULL;
        if (ok) {
            memcpy(own, v->view.data, bytes);
            *out = sn_bytes(own, bytes);
        } else {
            err.code = SN_ENOMEM;
        }
    }
    if (!ok && err.code == SN_ENOMEM)
        sn_store_fail(s);
    end(&e);
    return ok;
}
