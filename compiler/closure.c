/* closure.c -- functions of a graph under construction: scopes, capture, call, loop, cond.
 *
 * A finished function is closed. What its body used of outer scopes became further parameters, and the value
 * that sn_fn_end gives carries (as its scope) the list of what was captured, so that equal bodies are one FN
 * term however many closures share it. A measure of an outer scope becomes a symbol inside: the types of the
 * operands bind it at the call. Constants and symbols mean the same everywhere and are never captured. */
#include "compiler/build.h"

SnValue sn_here(const SnGraph *g, SnRef r)
{
    return (SnValue){r, r != 0 ? g->current : 0};
}

/* ---- dims across scopes ---- */

/* One symbol a measure, for the whole graph, so that functions that share operands agree. */
static SnRef symbol_of(SnGraph *g, SnRef measure)
{
    for (size_t i = 0; i < g->measured.n; i += 2)
        if (g->measured.at[i] == measure)
            return g->measured.at[i + 1];
    const char *const name = sn_arena_printf(sn_store_arena(g->s), "_m%zu", g->measured.n / 2);
    int64_t lo = 0, hi = 0;
    sn_dim_range(g->s, measure, &lo, &hi);
    const SnRef symbol = name != NULL ? sn_dim_symbol(g->s, name, lo, hi, false) : 0;
    if (symbol == 0 || !sn_vec_push(g->memory, &g->measured, measure) ||
        !sn_vec_push(g->memory, &g->measured, symbol))
        return sn_graph_no_memory(g).ref;
    return symbol;
}

typedef struct Inward { /* from a scope into a function inside it */
    SnGraph *g;
    SnFnScope *fn; /* notes the measures that it meets; NULL: it is finished */
} Inward;

static SnRef dim_inward(void *self, SnRef dim)
{
    Inward *const x = self;
    const SnTerm *const t = sn_term(x->g->s, dim);
    if (t->op == SN_OP_MEASURE) {
        bool is_known = x->fn == NULL;
        for (size_t i = 0; !is_known && i < x->fn->measure.n; i++)
            is_known = x->fn->measure.at[i] == dim;
        if (!is_known && !sn_vec_push(x->g->memory, &x->fn->measure, dim))
            return sn_graph_no_memory(x->g).ref;
        return symbol_of(x->g, dim);
    }
    if (t->narg != 2)
        return dim;
    const SnRef a = dim_inward(self, t->arg[0]), b = dim_inward(self, t->arg[1]);
    return a == t->arg[0] && b == t->arg[1] ? dim : sn_dim_op(x->g->s, t->op, a, b);
}

static SnRef make_arg(SnGraph *g, size_t index, SnTypeId type)
{
    const SnAttrId attr = sn_attrs_make(g->s, &SN_INT("index", (int64_t)index), 1);
    return type != 0 && attr != 0 ? sn_term_make(g->s, SN_OP_ARG, type, attr, NULL, 0)
                                  : sn_graph_no_memory(g).ref;
}

/* ---- use of a value ---- */

static bool is_everywhere(const SnStore *s, SnRef r)
{
    switch (sn_term(s, r)->op) {
    case SN_OP_CONST:
    case SN_OP_NONE:
    case SN_OP_DIM:
    case SN_OP_FN:
        return true;
    default:
        return false;
    }
}

/* The term that stands for r, a term of the parent, inside a function. */
static SnRef capture(SnGraph *g, uint32_t scope, SnRef r)
{
    SnFnScope *const fn = &g->scope.at[scope];
    Inward in = {g, fn};
    if (is_everywhere(g->s, r))
        return r;
    if (sn_is_dim(g->s, r))
        return dim_inward(&in, r);
    for (size_t i = 0; i < fn->captured.n; i++)
        if (fn->captured.at[i] == r)
            return fn->arg.at[fn->nexplicit + i];
    const SnTypeId type = sn_type_map_dims(g->s, sn_term(g->s, r)->type, dim_inward, &in);
    const SnRef arg = make_arg(g, fn->arg.n, type);
    if (arg == 0 || !sn_vec_push(g->memory, &fn->captured, r) || !sn_vec_push(g->memory, &fn->arg, arg))
        return sn_graph_no_memory(g).ref;
    return arg;
}

SnRef sn_use(SnGraph *g, SnValue v)
{
    enum { MAX_NEST = 64 };
    uint32_t inward[MAX_NEST];
    int n = 0;
    if (!sn_graph_ok(g))
        return 0;
    if (v.ref == 0)
        return sn_graph_fail(g, SN_EINVAL, "an operand is missing").ref;
    if (v.scope == g->current || is_everywhere(g->s, v.ref))
        return v.ref;
    for (uint32_t at = g->current; at != v.scope; at = g->scope.at[at].parent) {
        if (at == 0 || n == MAX_NEST)
            return sn_graph_fail(g, SN_EINVAL, "a value of function %s is used outside of it",
                                 v.scope < g->scope.n ? g->scope.at[v.scope].name : "?")
                .ref;
        inward[n++] = at;
    }
    SnRef r = v.ref;
    while (n > 0 && r != 0)
        r = capture(g, inward[--n], r);
    return r;
}

bool sn_is_none(const SnStore *s, SnRef r)
{
    return sn_term(s, r)->op == SN_OP_NONE;
}

SnRef sn_use_optional(SnGraph *g, SnValue v)
{
    return v.ref != 0 ? sn_use(g, v) : sn_make(g, SN_OP_NONE, NULL, 0, NULL, 0).ref;
}

/* ---- functions ---- */

void sn_fn_begin(SnGraph *g, const char *name)
{
    if (!sn_graph_ok(g))
        return;
    const char *const own = sn_intern(g->s, name, strlen(name));
    if (own == NULL ||
        !sn_vec_push(g->memory, &g->scope, (SnFnScope){.name = own, .parent = g->current, .is_open = true}))
        sn_graph_no_memory(g);
    else
        g->current = (uint32_t)g->scope.n - 1;
}

SnValue sn_fn_arg(SnGraph *g, SnTypeId type)
{
    if (!sn_graph_ok(g))
        return sn_none();
    SnFnScope *const fn = &g->scope.at[g->current];
    if (g->current == 0 || fn->captured.n > 0)
        return sn_graph_fail(g, SN_EINVAL, "sn_fn_arg %s",
                             g->current == 0 ? "outside of a function" : "after the body began");
    Inward in = {g, fn};
    const SnRef arg = make_arg(g, fn->arg.n, sn_type_map_dims(g->s, type, dim_inward, &in));
    if (arg == 0 || !sn_vec_push(g->memory, &fn->arg, arg))
        return sn_graph_no_memory(g);
    fn->nexplicit++;
    return sn_here(g, arg);
}

static bool binds(const SnGraph *g, const SnFnScope *fn, SnRef symbol)
{
    for (size_t i = 0; i < fn->arg.n; i++) {
        const SnType *const t = sn_type_of(g->s, fn->arg.at[i]);
        for (int j = 0; j < t->ndim; j++)
            if (t->dims[j] == symbol)
                return true;
    }
    return false;
}

/* A measure that no operand's type tells is told by an iota, which nobody reads. */
static void bind_measures(SnGraph *g, uint32_t scope)
{
    for (size_t i = 0; sn_graph_ok(g) && i < g->scope.at[scope].measure.n; i++) {
        const SnRef measure = g->scope.at[scope].measure.at[i];
        if (binds(g, &g->scope.at[scope], symbol_of(g, measure)))
            continue;
        const SnAttr attr[] = {SN_INT("axis", 0), SN_DTYPE("dtype", SN_I32)};
        const SnRef iota = sn_make(g, SN_OP_IOTA, attr, SN_COUNT(attr), &measure, 1).ref;
        if (iota != 0)
            (void)capture(g, scope, iota);
    }
}

static SnRef fn_term(SnGraph *g, SnRef result, const SnRef *arg, size_t narg)
{
    SnRef *const in = sn_arena_array(sn_store_arena(g->s), narg + 1, sizeof *in);
    if (in == NULL || result == 0)
        return in == NULL ? sn_graph_no_memory(g).ref : 0;
    in[0] = result;
    if (narg > 0)
        memcpy(in + 1, arg, narg * sizeof *arg);
    return sn_make(g, SN_OP_FN, NULL, 0, in, (int)narg + 1).ref;
}

SnValue sn_fn_end(SnGraph *g, SnValue result)
{
    const SnRef r = sn_use(g, result);
    if (r == 0)
        return sn_none();
    if (g->current == 0)
        return sn_graph_fail(g, SN_EINVAL, "sn_fn_end without sn_fn_begin");
    const uint32_t scope = g->current;
    bind_measures(g, scope);
    const SnFnScope *const fn = &g->scope.at[scope];
    const SnRef term = fn_term(g, r, fn->arg.at, fn->arg.n);
    g->current = fn->parent;
    g->scope.at[scope].is_open = false;
    return (SnValue){term, term != 0 ? scope : 0};
}

/* ---- closures ---- */

typedef struct Closures { /* functions that are called with the same captured operands */
    SnRef fn[2];
    SN_VEC(SnRef) captured; /* terms of the current scope */
} Closures;

static bool check_fn(SnGraph *g, const char *op, SnValue fn)
{
    if (!sn_graph_ok(g))
        return false;
    if (fn.ref == 0 || sn_term(g->s, fn.ref)->op != SN_OP_FN || fn.scope >= g->scope.n) {
        sn_graph_fail(g, SN_EINVAL, "%s: not a function", op);
        return false;
    }
    return true;
}

static size_t find_or_add(SnGraph *g, Closures *c, SnRef r)
{
    for (size_t i = 0; i < c->captured.n; i++)
        if (c->captured.at[i] == r)
            return i;
    if (r == 0 || !sn_vec_push(g->memory, &c->captured, r))
        sn_graph_no_memory(g);
    return c->captured.n - 1;
}

/* Rebuilds a function so that its further parameters are c->captured. */
static SnRef refit(SnGraph *g, const SnFnScope *fn, SnRef term, const Closures *c, const size_t *place)
{
    const SnTerm *const t = sn_term(g->s, term);
    const size_t nexplicit = t->narg - 1 - fn->captured.n, narg = nexplicit + c->captured.n;
    SnArena *const arena = sn_store_arena(g->s);
    SnRef *const arg = sn_arena_array(arena, narg + 1, sizeof *arg);
    SnSubst subst;
    Inward in = {g, NULL};
    SnError err = {0};
    SnRef result = 0;
    if (arg == NULL || sn_subst_begin(&subst, g->s, arena, &err) != SN_OK)
        return sn_graph_no_memory(g).ref;
    memcpy(arg, t->arg + 1, nexplicit * sizeof *arg);
    for (size_t i = nexplicit; i < narg; i++) {
        const SnTypeId outer = sn_term(g->s, c->captured.at[i - nexplicit])->type;
        arg[i] = make_arg(g, i, sn_type_map_dims(g->s, outer, dim_inward, &in));
    }
    for (size_t i = 0; i < fn->captured.n; i++)
        subst.map[t->arg[1 + nexplicit + i]] = arg[nexplicit + place[i]];
    if (sn_graph_ok(g) && sn_subst(&subst, t->arg[0], &result, &err) != SN_OK)
        return sn_graph_fail(g, err.code, "%s: %s", fn->name, err.message).ref;
    return fn_term(g, result, arg, narg);
}

/* Gives n closures one list of captures. */
static bool join_closures(SnGraph *g, const SnValue *closure, int n, Closures *out)
{
    size_t *place[2] = {NULL};
    for (int k = 0; k < n; k++) {
        const SnFnScope *const fn = &g->scope.at[closure[k].scope];
        place[k] = sn_arena_array(sn_store_arena(g->s), fn->captured.n + 1, sizeof **place);
        if (place[k] == NULL)
            sn_graph_no_memory(g);
        for (size_t i = 0; sn_graph_ok(g) && i < fn->captured.n; i++) {
            const uint32_t parent = g->scope.at[closure[k].scope].parent;
            place[k][i] = find_or_add(
                g, out, sn_use(g, (SnValue){g->scope.at[closure[k].scope].captured.at[i], parent}));
        }
    }
    for (int k = 0; k < n && sn_graph_ok(g); k++) {
        const SnFnScope *const fn = &g->scope.at[closure[k].scope];
        bool is_same = fn->captured.n == out->captured.n;
        for (size_t i = 0; is_same && i < fn->captured.n; i++)
            is_same = place[k][i] == i;
        out->fn[k] = is_same ? closure[k].ref : refit(g, fn, closure[k].ref, out, place[k]);
    }
    return sn_graph_ok(g);
}

/* Operands of call, loop and cond: a head, given values, captures. */
static SnValue make_applied(SnGraph *g, SnPrim op, const SnAttr *attr, int nattr, const SnRef *head,
                            int nhead, const SnValue *const *given, const int *ngiven, const Closures *c)
{
    const size_t ncaptured = c->captured.n;
    const int n = nhead + ngiven[0] + ngiven[1];
    SnRef *const in = sn_arena_array(sn_store_arena(g->s), (size_t)n + ncaptured, sizeof *in);
    if (in == NULL)
        return sn_graph_no_memory(g);
    memcpy(in, head, (size_t)nhead * sizeof *in);
    int at = nhead;
    for (int list = 0; list < 2; list++) {
        for (int i = 0; i < ngiven[list]; i++)
            in[at++] = sn_use(g, given[list][i]);
    }
    if (ncaptured > 0)
        memcpy(in + n, c->captured.at, ncaptured * sizeof *in);
    if (op == SN_OP_COND)
        return sn_make_cond(g, in, n + (int)ncaptured);
    return sn_make(g, op, attr, nattr, in, n + (int)ncaptured);
}

static SnValue make_call(SnGraph *g, SnValue fn, int n, const SnValue *args, const SnAttr *attr, int nattr)
{
    Closures c = {{0}};
    SnValue out = sn_none();
    if (check_fn(g, "call", fn) && join_closures(g, &fn, 1, &c))
        out = make_applied(g, SN_OP_CALL, attr, nattr, c.fn, 1, (const SnValue *const[]){args, NULL},
                           (const int[]){n, 0}, &c);
    sn_vec_clear(g->memory, &c.captured);
    return out;
}

SnValue sn_call(SnGraph *g, SnValue fn, int n, const SnValue *args)
{
    return make_call(g, fn, n, args, NULL, 0);
}

SnValue sn_call_remat(SnGraph *g, SnValue fn, int n, const SnValue *args)
{
    return make_call(g, fn, n, args, &SN_INT("remat", 1), 1);
}

SnValue sn_loop(SnGraph *g, SnValue body, SnValue while_fn, SnValue bound, int ncarry, const SnValue *carry,
                int nscan, const SnValue *scan)
{
    const bool has_while = while_fn.ref != 0;
    Closures c = {{0}};
    SnValue out = sn_none();
    if (check_fn(g, "loop", body) && (!has_while || check_fn(g, "loop", while_fn)) &&
        join_closures(g, (const SnValue[]){body, while_fn}, 1 + has_while, &c)) {
        const SnRef head[] = {c.fn[0], has_while ? c.fn[1] : sn_use_optional(g, sn_none()),
                              bound.ref != 0 ? sn_use_dim(g, "loop", bound) : sn_use_optional(g, bound)};
        const SnAttr attr[] = {SN_INT("ncarry", ncarry), SN_INT("nscan", nscan)};
        out = make_applied(g, SN_OP_LOOP, attr, SN_COUNT(attr), head, SN_COUNT(head),
                           (const SnValue *const[]){carry, scan}, (const int[]){ncarry, nscan}, &c);
    }
    sn_vec_clear(g->memory, &c.captured);
    return out;
}

SnValue sn_cond(SnGraph *g, SnValue p, SnValue then_fn, SnValue else_fn, int n, const SnValue *args)
{
    const SnRef test = sn_use(g, p);
    Closures c = {{0}};
    SnValue out = sn_none();
    if (check_fn(g, "cond", then_fn) && check_fn(g, "cond", else_fn) &&
        join_closures(g, (const SnValue[]){then_fn, else_fn}, 2, &c)) {
        const SnRef head[] = {test, c.fn[0], c.fn[1]};
        out = make_applied(g, SN_OP_COND, NULL, 0, head, SN_COUNT(head), (const SnValue *const[]){args, NULL},
                           (const int[]){n, 0}, &c);
    }
    sn_vec_clear(g->memory, &c.captured);
    return out;
}

/* By operand of a grad term, from the front: which of wrt it is. */
static int find_wrt(SnGraph *g, SnValue wrt, int n, const SnValue *args, const Closures *c)
{
    const SnRef r = sn_use(g, wrt);
    for (int i = 0; i < n; i++)
        if (sn_use(g, args[i]) == r)
            return i;
    for (size_t i = 0; i < c->captured.n; i++)
        if (c->captured.at[i] == r)
            return n + (int)i;
    return -1;
}

static SnValue zeros_like(SnGraph *g, SnValue v)
{
    SnValue dims[SN_MAX_RANK];
    const int n = sn_dims(g, v, dims);
    return sn_broadcast(g, sn_const(g, sn_value_dtype(g, v), 0), n, dims);
}

SnValue sn_grad(SnGraph *g, SnValue fn, int n, const SnValue *args, int nwrt, const SnValue *wrt)
{
    SnArena *const arena = sn_store_arena(g->s);
    int64_t *const at = sn_arena_array(arena, (size_t)nwrt + 1, sizeof *at);
    SnValue *const d = sn_arena_array(arena, (size_t)nwrt + 1, sizeof *d);
    Closures c = {{0}};
    SnValue out = sn_none();
    int nat = 0;
    if (at == NULL || d == NULL)
        return sn_graph_no_memory(g);
    if (check_fn(g, "grad", fn) && join_closures(g, &fn, 1, &c)) {
        for (int i = 0; i < nwrt; i++) {
            const int k = find_wrt(g, wrt[i], n, args, &c);
            if (k >= 0)
                at[nat++] = k;
        }
        const SnAttr attr = SN_INTS("wrt", at, nat);
        const SnValue y = make_applied(g, SN_OP_GRAD, &attr, 1, c.fn, 1, (const SnValue *const[]){args, NULL},
                                       (const int[]){n, 0}, &c);
        const SnValue known = sn_get(g, y, 1);
        nat = 0;
        for (int i = 0; i < nwrt; i++)
            d[i] = find_wrt(g, wrt[i], n, args, &c) >= 0 ? sn_get(g, known, nat++) : zeros_like(g, wrt[i]);
        const SnValue both[] = {sn_get(g, y, 0), sn_tuple(g, nwrt, d, NULL)};
        out = sn_tuple(g, 2, both, NULL);
    }
    sn_vec_clear(g->memory, &c.captured);
    return out;
}

SnValue sn_stop_gradient(SnGraph *g, SnValue x)
{
    const SnRef r = sn_use(g, x);
    return r != 0 ? sn_make(g, SN_OP_STOP, NULL, 0, &r, 1) : sn_none();
}
