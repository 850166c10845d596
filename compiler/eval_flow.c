/* eval_flow.c -- tuples, calls, loops, branches and host calls of eval. */
#include "compiler/compiler.h"
#include "compiler/eval_value.h"

#include <inttypes.h>

/* ---- tuples, lists ---- */

SnStatus sn_eval_tuple(const SnEvalOp *x)
{
    const int n = x->t->narg;
    *x->out = (SnEvalValue){.kind = SN_TYPE_TUPLE, .nchild = n};
    x->out->child = (const SnEvalValue **)sn_arena_array(x->e->arena, (size_t)n, sizeof *x->out->child);
    if (x->out->child == NULL)
        return sn_eval_no_memory(x->e);
    for (int i = 0; i < n; i++)
        x->out->child[i] = x->in[i];
    return SN_OK;
}

SnStatus sn_eval_get_child(const SnEvalOp *x)
{
    const int64_t i = sn_attr_int(x->e->s, x->ref, "index", 0);
    const SnEvalValue *a = x->in[0];
    if (a->kind == SN_TYPE_TUPLE && i >= 0 && i < a->nchild)
        *x->out = *a->child[i];
    else if (a->kind == SN_TYPE_LIST && i >= 0 && i < 2)
        *x->out = sn_eval_list_part(a, (int)i);
    else if (a->kind == SN_TYPE_LIST && i == 2)
        *x->out = (SnEvalValue){.kind = SN_TYPE_TENSOR,
                                .view = sn_view(a->view.dtype, a->view.data, 1, &a->view.child_count)};
    else
        return sn_eval_fail(x, "there is no child %" PRId64, i);
    return SN_OK;
}

SnStatus sn_eval_make_list(const SnEvalOp *x)
{
    const SnView *start = &x->in[0]->view, *child = &x->in[2]->view;
    if (!sn_eval_same_dims(x->in[0], x->in[1]))
        return sn_eval_fail(x, "start and len differ in dims");
    SN_TRY(sn_eval_list(x->e, child->dtype, start->ndim, start->dims, x->out));
    x->out->view.data = child->data;
    x->out->view.child_count = child->dims[0];
    const int64_t n = sn_eval_nelement(x->in[0]);
    for (int64_t i = 0; i < n; i++) {
        const int64_t at = sn_eval_load(x->in[0], i).i, count = sn_eval_load(x->in[1], i).i;
        if (at < 0 || count < 0 || at > child->dims[0] || count > child->dims[0] - at)
            return sn_eval_fail(x, "element %" PRId64 " lies outside the child", i);
        sn_out_start(&x->out->view)[i] = at;
        sn_out_len(&x->out->view)[i] = count;
    }
    return SN_OK;
}

SnStatus sn_eval_same(const SnEvalOp *x)
{
    *x->out = *x->in[0];
    return SN_OK;
}

/* ---- call, cond ---- */

static SnStatus call(const SnEvalOp *x, SnRef fn, int first)
{
    SnEvalValue *r;
    SN_TRY(sn_eval_call(x->e, fn, x->in + first, x->t->narg - first, x->e->arena, &r));
    *x->out = *r;
    return SN_OK;
}

SnStatus sn_eval_call_op(const SnEvalOp *x)
{
    return call(x, x->t->arg[0], 1);
}

SnStatus sn_eval_cond(const SnEvalOp *x)
{
    return call(x, x->t->arg[sn_eval_load(x->in[0], 0).i != 0 ? 1 : 2], 3);
}

/* ---- loop: (body, while, bound, carried..., scanned..., captured...) ---- */

#define LOOP_FIRST 3

typedef struct Loop {
    const SnEvalOp *x;
    int ncarry, nscan, ncapture, nstack;
    int64_t bound;             /* trips at most; INT64_MAX: no bound */
    const SnEvalValue **carry; /* as they are now */
    SnEvalValue *row, index;   /* of the iteration at hand */
    const SnEvalValue **arg;
    SnEvalValue **stack;
    size_t *child_room; /* of stacked lists: elements that the child has storage for */
} Loop;

/* Row i of a dense value: no copy. */
static SnEvalValue row_of(const SnEvalValue *v, int64_t i)
{
    SnEvalValue row = *v;
    int64_t n = 1;
    row.view.ndim--;
    for (int k = 0; k < row.view.ndim; k++) {
        row.view.dims[k] = v->view.dims[k + 1];
        n *= row.view.dims[k];
    }
    if (v->kind == SN_TYPE_LIST) {
        row.view.start += i * n;
        row.view.len += i * n;
    } else {
        row.view.data = (char *)v->view.data + (size_t)(i * n) * sn_dtype_size(v->view.dtype);
    }
    return row;
}

/* Arguments of body (with rows) or while; how many. */
static int loop_args(Loop *l, int64_t i, bool with_rows)
{
    int n = 0;
    sn_eval_store(&l->index, 0, (SnScalar){.i = i});
    l->arg[n++] = &l->index;
    for (int k = 0; k < l->ncarry; k++)
        l->arg[n++] = l->carry[k];
    for (int k = 0; with_rows && k < l->nscan; k++) {
        l->row[k] = row_of(l->x->in[LOOP_FIRST + l->ncarry + k], i);
        l->arg[n++] = &l->row[k];
    }
    for (int k = 0; k < l->ncapture; k++)
        l->arg[n++] = l->x->in[LOOP_FIRST + l->ncarry + l->nscan + k];
    return n;
}

static SnStatus wants_more(Loop *l, int64_t i, bool *more)
{
    SnEval *e = l->x->e;
    *more = i < l->bound;
    if (!*more || sn_term(e->s, l->x->t->arg[1])->op == SN_OP_NONE)
        return SN_OK;
    SnArena scratch;
    SnEvalValue *r = NULL;
    sn_arena_init(&scratch, sn_allocator(e->ctx));
    const int n = loop_args(l, i, false);
    const SnStatus st = sn_eval_call(e, l->x->t->arg[1], l->arg, n, &scratch, &r);
    if (st == SN_OK)
        *more = sn_eval_load(r, 0).i != 0;
    sn_arena_clear(&scratch);
    return st;
}

static SnStatus make_stack(Loop *l, int k, const SnEvalValue *row)
{
    SnEval *e = l->x->e;
    const int ndim = row->view.ndim;
    int64_t dims[SN_MAX_RANK];
    SnEvalValue *v = (SnEvalValue *)sn_arena_alloc(e->arena, sizeof *v);
    if (v == NULL)
        return sn_eval_no_memory(e);
    if (ndim >= SN_MAX_RANK || l->bound == INT64_MAX)
        return sn_eval_fail(l->x, "rows cannot be stacked");
    dims[0] = l->bound;
    for (int i = 0; i < ndim; i++)
        dims[1 + i] = row->view.dims[i];
    l->stack[k] = v;
    if (row->kind != SN_TYPE_LIST)
        return sn_eval_tensor(e, row->view.dtype, ndim + 1, dims, v);
    SN_TRY(sn_eval_list(e, row->view.dtype, ndim + 1, dims, v));
    v->view.data = sn_arena_alloc(e->arena, 0);
    return v->view.data != NULL ? SN_OK : sn_eval_no_memory(e);
}

static SnStatus stack_child(Loop *l, int k, const SnEvalValue *row)
{
    SnView *to = &l->stack[k]->view;
    const size_t size = sn_dtype_size(to->dtype), used = (size_t)to->child_count,
                 more = (size_t)row->view.child_count;
    if (used + more > l->child_room[k]) {
        l->child_room[k] = 2 * (used + more);
        void *data = sn_arena_array(l->x->e->arena, l->child_room[k], size);
        if (data == NULL)
            return sn_eval_no_memory(l->x->e);
        if (used > 0)
            memcpy(data, to->data, used * size);
        to->data = data;
    }
    if (more > 0)
        memcpy((char *)to->data + used * size, row->view.data, more * size);
    to->child_count += (int64_t)more;
    return SN_OK;
}

static SnStatus stack_row(Loop *l, int k, int64_t i, const SnEvalValue *row)
{
    if (l->stack[k] == NULL)
        SN_TRY(make_stack(l, k, row));
    const SnEvalValue to = row_of(l->stack[k], i);
    if (!sn_eval_same_dims(&to, row))
        return sn_eval_fail(l->x, "row %" PRId64 " differs in dims", i);
    const int64_t n = sn_eval_nelement(row);
    if (row->kind != SN_TYPE_LIST) {
        memcpy(to.view.data, row->view.data, (size_t)n * sn_dtype_size(row->view.dtype));
        return SN_OK;
    }
    for (int64_t j = 0; j < n; j++) {
        sn_out_start(&to.view)[j] = row->view.start[j] + l->stack[k]->view.child_count;
        sn_out_len(&to.view)[j] = row->view.len[j];
    }
    return stack_child(l, k, row);
}

static SnStatus check_carry(const Loop *l, const SnEvalValue *r)
{
    if (r->kind != SN_TYPE_TUPLE || r->nchild != l->ncarry + l->nstack)
        return sn_eval_fail(l->x, "the body does not give %d carried values and %d rows", l->ncarry,
                            l->nstack);
    for (int k = 0; k < l->ncarry; k++) {
        const SnEvalValue *a = l->carry[k], *b = r->child[k];
        if (a->kind != b->kind || a->view.dtype != b->view.dtype || !sn_eval_same_dims(a, b))
            return sn_eval_fail(l->x, "carried value %d changes its type", k + 1);
    }
    return SN_OK;
}

/* The carried values of one iteration live in one arena until the next has used them. */
static SnStatus run_loop(Loop *l, SnArena arena[2], int64_t *trips)
{
    const SnEvalOp *x = l->x;
    bool more;
    int64_t i = 0;
    for (;; i++) {
        SnArena *to = &arena[i & 1];
        SnEvalValue *r;
        SN_TRY(wants_more(l, i, &more));
        if (!more)
            break;
        for (int k = 0; k < l->nscan; k++)
            if (i >= x->in[LOOP_FIRST + l->ncarry + k]->view.dims[0])
                return sn_eval_fail(x, "scanned operand %d has no row %" PRId64, k + 1, i);
        sn_arena_clear(to);
        const int n = loop_args(l, i, true);
        SN_TRY(sn_eval_call(x->e, x->t->arg[0], l->arg, n, to, &r));
        SN_TRY(check_carry(l, r));
        for (int k = 0; k < l->ncarry; k++)
            l->carry[k] = r->child[k];
        for (int k = 0; k < l->nstack; k++)
            SN_TRY(stack_row(l, k, i, r->child[l->ncarry + k]));
    }
    *trips = i;
    return SN_OK;
}

/* Without a single trip the types tell what the rows would have been. */
static SnStatus stack_nothing(Loop *l)
{
    SnEval *e = l->x->e;
    SnEvalValue *rows = (SnEvalValue *)sn_arena_array(e->arena, (size_t)l->nstack, sizeof *rows);
    if (rows == NULL)
        return sn_eval_no_memory(e);
    for (int k = 0; k < l->nscan; k++)
        l->row[k] = row_of(l->x->in[LOOP_FIRST + l->ncarry + k], 0);
    const int n = loop_args(l, 0, true);
    SN_TRY(sn_eval_row_types(e, l->x->t->arg[0], l->arg, n, l->ncarry, rows, l->nstack));
    for (int k = 0; k < l->nstack; k++)
        SN_TRY(make_stack(l, k, &rows[k]));
    return SN_OK;
}

static SnStatus loop_result(Loop *l, int64_t trips)
{
    SnEval *e = l->x->e;
    SnEvalValue *out = l->x->out, *count = (SnEvalValue *)sn_arena_alloc(e->arena, sizeof *count);
    *out = (SnEvalValue){.kind = SN_TYPE_TUPLE, .nchild = l->ncarry + l->nstack + 1};
    out->child = (const SnEvalValue **)sn_arena_array(e->arena, (size_t)out->nchild, sizeof *out->child);
    if (count == NULL || out->child == NULL)
        return sn_eval_no_memory(e);
    for (int k = 0; k < l->ncarry; k++) {
        SnEvalValue *own;
        SN_TRY(sn_eval_copy(e, l->carry[k], e->arena, &own));
        out->child[k] = own;
    }
    for (int k = 0; k < l->nstack; k++)
        out->child[l->ncarry + k] = l->stack[k];
    SN_TRY(sn_eval_tensor(e, SN_I64, 0, NULL, count));
    sn_eval_store(count, 0, (SnScalar){.i = trips});
    out->child[l->ncarry + l->nstack] = count;
    return SN_OK;
}

static SnStatus begin_loop(Loop *l)
{
    const SnEvalOp *x = l->x;
    SnEval *e = x->e;
    const size_t n = (size_t)x->t->narg + 1;
    const SnType *result = sn_type_of(e->s, sn_term(e->s, x->t->arg[0])->arg[0]);
    l->ncarry = (int)sn_attr_int(e->s, x->ref, "ncarry", 0);
    l->nscan = (int)sn_attr_int(e->s, x->ref, "nscan", 0);
    l->ncapture = x->t->narg - LOOP_FIRST - l->ncarry - l->nscan;
    l->nstack = result->nchild - l->ncarry;
    l->bound = x->in[2]->kind != 0 ? sn_eval_i64(x->in[2]) : INT64_MAX;
    l->carry = (const SnEvalValue **)sn_arena_array(e->arena, n, sizeof *l->carry);
    l->arg = (const SnEvalValue **)sn_arena_array(e->arena, n, sizeof *l->arg);
    l->row = (SnEvalValue *)sn_arena_array(e->arena, n, sizeof *l->row);
    l->stack = (SnEvalValue **)sn_arena_array(e->arena, (size_t)l->nstack, sizeof *l->stack);
    l->child_room = (size_t *)sn_arena_array(e->arena, (size_t)l->nstack, sizeof *l->child_room);
    if (l->carry == NULL || l->arg == NULL || l->row == NULL || l->stack == NULL || l->child_room == NULL)
        return sn_eval_no_memory(e);
    for (int k = 0; k < l->ncarry; k++)
        l->carry[k] = x->in[LOOP_FIRST + k];
    return sn_eval_tensor(e, SN_I64, 0, NULL, &l->index);
}

SnStatus sn_eval_loop(const SnEvalOp *x)
{
    Loop l = {.x = x};
    SnArena arena[2];
    int64_t trips = 0;
    sn_arena_init(&arena[0], sn_allocator(x->e->ctx));
    sn_arena_init(&arena[1], sn_allocator(x->e->ctx));
    SnStatus st = begin_loop(&l);
    if (st == SN_OK)
        st = run_loop(&l, arena, &trips);
    if (st == SN_OK && trips == 0 && l.nstack > 0)
        st = stack_nothing(&l);
    if (st == SN_OK)
        st = loop_result(&l, trips);
    sn_arena_clear(&arena[0]);
    sn_arena_clear(&arena[1]);
    return st;
}

/* ---- host calls: (scratch or none, operands...) ---- */

static int count_leaves(const SnEvalValue *v)
{
    int n = 0;
    for (int i = 0; v->kind == SN_TYPE_TUPLE && i < v->nchild; i++)
        n += count_leaves(v->child[i]);
    return v->kind == SN_TYPE_TUPLE ? n : v->kind != 0;
}

static void put_leaves(const SnEvalValue *v, SnView *to, uint32_t *n)
{
    for (int i = 0; v->kind == SN_TYPE_TUPLE && i < v->nchild; i++)
        put_leaves(v->child[i], to, n);
    if (v->kind != SN_TYPE_TUPLE && v->kind != 0)
        to[(*n)++] = v->view;
}

/* Storage of a result, at the capacity that its type says. */
static SnStatus make_result(SnEval *e, SnTypeId id, SnEvalValue *out)
{
    const SnType *t = sn_type(e->s, id);
    int64_t dims[SN_MAX_RANK], count;
    if (t->kind == SN_TYPE_TUPLE) {
        *out = (SnEvalValue){.kind = SN_TYPE_TUPLE, .nchild = t->nchild};
        SnEvalValue *child = (SnEvalValue *)sn_arena_array(e->arena, (size_t)t->nchild, sizeof *child);
        out->child = (const SnEvalValue **)sn_arena_array(e->arena, (size_t)t->nchild, sizeof *out->child);
        if (child == NULL || out->child == NULL)
            return sn_eval_no_memory(e);
        for (int i = 0; i < t->nchild; i++) {
            out->child[i] = &child[i];
            SN_TRY(make_result(e, t->child[i], &child[i]));
        }
        return SN_OK;
    }
    for (int i = 0; i < t->ndim; i++)
        SN_TRY(sn_eval_dim(e, t->dims[i], &dims[i]));
    if (t->kind != SN_TYPE_LIST)
        return sn_eval_tensor(e, t->dtype, t->ndim, dims, out);
    SnEvalValue child;
    SN_CHECK(t->bound != 0, e->err, SN_EUNSUPPORTED, "host: a list result has no bound");
    SN_TRY(sn_eval_dim(e, t->bound, &count));
    SN_TRY(sn_eval_tensor(e, t->dtype, 1, &count, &child));
    SN_TRY(sn_eval_list(e, t->dtype, t->ndim, dims, out));
    out->view.data = child.view.data;
    out->view.child_count = count;
    return SN_OK;
}

static SnStatus put_attrs(const SnEvalOp *x, const SnOpRow *row, SnScalar *to)
{
    for (int i = 0; i < row->sig.nattr; i++) {
        const SnAttr *a = sn_attr(x->e->s, x->ref, row->sig.attr[i].value.name);
        SN_CHECK(a != NULL &&
                     (a->kind == SN_ATTR_INT || a->kind == SN_ATTR_FLOAT || a->kind == SN_ATTR_DTYPE),
                 x->e->err, SN_EUNSUPPORTED, "%s: a host op takes numbers only", row->sig.name);
        if (a->kind == SN_ATTR_FLOAT)
            to[i].f = a->u.f;
        else
            to[i].i = a->kind == SN_ATTR_DTYPE ? (int64_t)a->u.d : a->u.i;
    }
    return SN_OK;
}

static SnStatus make_scratch(const SnEvalOp *x, SnHostCall *h)
{
    const uintptr_t align = 64;
    if (x->in[0]->kind == 0)
        return SN_OK;
    const int64_t size = sn_eval_i64(x->in[0]);
    size_t room;
    char *at = size >= 0 && sn_add_size((size_t)size, align, &room)
                   ? (char *)sn_arena_alloc(x->e->arena, room)
                   : NULL;
    if (at == NULL)
        return sn_eval_no_memory(x->e);
    h->scratch = at + (align - (uintptr_t)at % align) % align;
    h->scratch_size = (size_t)size;
    return SN_OK;
}

SnStatus sn_eval_host(const SnEvalOp *x)
{
    SnEval *e = x->e;
    const char *name = sn_attr_string(e->s, x->ref, "op");
    uint16_t id;
    const SnOpRow *row =
        e->g != NULL && name != NULL ? sn_compiler_find_row(sn_graph_compiler(e->g), name, &id) : NULL;
    SN_CHECK(row != NULL && row->op->run != NULL, e->err, SN_EUNSUPPORTED, "eval: %s is no host op",
             name != NULL ? name : "?");
    SN_TRY(make_result(e, x->t->type, x->out));
    int nin = 0;
    for (int i = 1; i < x->t->narg; i++)
        nin += count_leaves(x->in[i]);
    SnView *in = (SnView *)sn_arena_array(e->arena, (size_t)nin, sizeof *in);
    SnView *out = (SnView *)sn_arena_array(e->arena, (size_t)count_leaves(x->out), sizeof *out);
    SnScalar *attr = (SnScalar *)sn_arena_array(e->arena, (size_t)row->sig.nattr, sizeof *attr);
    if (in == NULL || out == NULL || attr == NULL)
        return sn_eval_no_memory(e);
    SnHostCall h = {.in = in, .out = out, .attr = attr, .nattr = (uint32_t)row->sig.nattr};
    for (int i = 1; i < x->t->narg; i++)
        put_leaves(x->in[i], in, &h.nin);
    put_leaves(x->out, out, &h.nout);
    SN_TRY(put_attrs(x, row, attr));
    SN_TRY(make_scratch(x, &h));
    SnStatus st;
    do {
        st = row->op->run(&h, e->err);
    } while (st == SN_AGAIN);
    return st;
}
