/* build.c -- life of a graph under construction: the sticky error, the scope path, leaves, entries. */
#include "compiler/build.h"

#include <stdio.h>

/* ---- life ---- */

static bool add_entry(SnGraph *g, const char *name)
{
    const char *const own = sn_intern(g->s, name, strlen(name));
    g->entry_now = g->entry.n;
    return own != NULL && sn_vec_push(g->memory, &g->entry, (SnEntryBuild){.name = own});
}

SnStatus sn_graph_create(SnCompiler *cc, SnGraph **out, SnError *err)
{
    SnContext *const ctx = sn_compiler_context(cc);
    const SnAllocator *const memory = sn_allocator(ctx);
    SnGraph *const g = sn_alloc_zero(memory, sizeof *g, _Alignof(SnGraph));
    SN_CHECK(g != NULL, err, SN_ENOMEM, "no memory for a graph");
    g->cc = cc;
    g->memory = memory;
    g->path.memory = memory;
    sn_map_init(&g->leaf, memory);
    SnStatus st = sn_store_create(ctx, &g->s, err);
    if (st == SN_OK &&
        (!sn_vec_push(memory, &g->scope, (SnFnScope){.is_open = true}) || !add_entry(g, "main")))
        st = sn_fail(err, SN_ENOMEM, "no memory for a graph");
    if (st == SN_OK)
        *out = g;
    else
        sn_graph_destroy(g);
    return st;
}

void sn_graph_destroy(SnGraph *g)
{
    if (g == NULL)
        return;
    const SnAllocator *const memory = g->memory;
    for (size_t i = 0; i < g->scope.n; i++) {
        sn_vec_clear(memory, &g->scope.at[i].arg);
        sn_vec_clear(memory, &g->scope.at[i].captured);
        sn_vec_clear(memory, &g->scope.at[i].measure);
    }
    for (size_t i = 0; i < g->entry.n; i++) {
        sn_vec_clear(memory, &g->entry.at[i].output);
        sn_vec_clear(memory, &g->entry.at[i].stream);
        sn_vec_clear(memory, &g->entry.at[i].next);
    }
    sn_vec_clear(memory, &g->scope);
    sn_vec_clear(memory, &g->entry);
    sn_vec_clear(memory, &g->path_mark);
    sn_vec_clear(memory, &g->measured);
    sn_text_clear(&g->path);
    sn_map_clear(&g->leaf);
    if (g->has_source && g->source.release != NULL)
        g->source.release(g->source.self);
    sn_store_destroy(g->s);
    sn_free(memory, g, sizeof *g, _Alignof(SnGraph));
}

SnStore *sn_graph_store(SnGraph *g)
{
    return g->s;
}

SnCompiler *sn_graph_compiler(SnGraph *g)
{
    return g->cc;
}

void sn_graph_source(SnGraph *g, const SnSource *source)
{
    if (source->retain != NULL)
        source->retain(source->self);
    if (g->has_source && g->source.release != NULL)
        g->source.release(g->source.self);
    g->source = *source;
    g->has_source = true;
}

const SnSource *sn_graph_get_source(const SnGraph *g)
{
    return g->has_source ? &g->source : NULL;
}

/* ---- errors and scopes ---- */

SnStatus sn_graph_check(SnGraph *g, SnError *err)
{
    if (sn_graph_ok(g))
        return SN_OK;
    if (err != NULL)
        *err = g->error;
    return g->error.code;
}

SnValue sn_graph_no_memory(SnGraph *g)
{
    if (g->error.code == SN_OK)
        (void)sn_fail(&g->error, SN_ENOMEM, "no memory for the graph");
    return sn_none();
}

bool sn_graph_ok(SnGraph *g)
{
    if (g->error.code == SN_OK && (sn_store_failed(g->s) || g->path.failed))
        sn_graph_no_memory(g);
    return g->error.code == SN_OK;
}

SnValue sn_graph_fail(SnGraph *g, SnStatus code, const char *format, ...)
{
    if (!sn_graph_ok(g))
        return sn_none();
    va_list args;
    va_start(args, format);
    SnError plain = {0};
    (void)sn_failv(&plain, code, format, args);
    va_end(args);
    if (g->path.n > 0)
        (void)sn_fail(&g->error, code, "%s in %s", plain.message, g->path.at);
    else
        g->error = plain;
    return sn_none();
}

SnValue sn_graph_fail_op(SnGraph *g, const SnError *err, const char *op, const SnRef *in, int nin)
{
    enum { MAX_SHOWN = 8 };
    SnText types = {.memory = g->memory};
    for (int i = 0; i < nin && i < MAX_SHOWN; i++) {
        sn_text_printf(&types, "%s", i > 0 ? ", " : "");
        sn_type_print(g->s, sn_term(g->s, in[i])->type, &types);
    }
    if (nin > MAX_SHOWN)
        sn_text_printf(&types, ", ...");
    const char *const message = err->message;
    const size_t n = strlen(op);
    const bool is_named = strncmp(message, op, n) == 0 && message[n] == ':';
    if (!types.failed)
        sn_graph_fail(g, err->code, "%s(%s): %s", op, types.at != NULL ? types.at : "",
                      is_named ? message + n + 2 : message);
    else
        sn_graph_no_memory(g);
    sn_text_clear(&types);
    return sn_none();
}

void sn_scope_push(SnGraph *g, const char *format, ...)
{
    char name[256];
    va_list args;
    va_start(args, format);
    const int n = vsnprintf(name, sizeof name, format, args);
    va_end(args);
    if (!sn_vec_push(g->memory, &g->path_mark, g->path.n)) {
        sn_graph_no_memory(g);
        return;
    }
    if (n < 0 || (size_t)n >= sizeof name)
        sn_graph_fail(g, SN_EINVAL, "the scope name \"%.40s...\" is too long", name);
    else
        sn_text_printf(&g->path, "%s%s", g->path.n > 0 ? "." : "", name);
}

void sn_scope_pop(SnGraph *g)
{
    if (g->path_mark.n == 0) {
        sn_graph_fail(g, SN_EINVAL, "sn_scope_pop without sn_scope_push");
        return;
    }
    g->path.n = g->path_mark.at[--g->path_mark.n];
    if (g->path.at != NULL)
        g->path.at[g->path.n] = '\0';
}

const char *sn_scope_path(SnGraph *g)
{
    return g->path.at != NULL ? g->path.at : "";
}

/* ---- leaves ---- */

/* A leaf of the entry's scope; a name stands for one term. */
static SnValue named_leaf(SnGraph *g, SnPrim op, SnTypeId type, const SnAttr *attr, int nattr,
                          const SnRef *init)
{
    const char *const name = attr[0].u.s;
    const SnAttrId attrs = sn_attrs_make(g->s, attr, nattr);
    const SnRef r =
        attrs != 0 && type != 0 ? sn_term_make(g->s, (uint16_t)op, type, attrs, init, init != NULL) : 0;
    const char *const key = sn_arena_printf(sn_store_arena(g->s), "%s:%s", sn_prim((uint16_t)op)->name, name);
    uint32_t known = r;
    if (r == 0 || key == NULL)
        return sn_graph_no_memory(g);
    if (!sn_map_get(&g->leaf, sn_bytes_str(key), &known) && !sn_map_put(&g->leaf, sn_bytes_str(key), r))
        return sn_graph_no_memory(g);
    if (known != r)
        return sn_graph_fail(g, SN_EINVAL, "%s %s: there is another one of this name",
                             sn_prim((uint16_t)op)->name, name);
    return (SnValue){r, 0};
}

SnValue sn_symbol(SnGraph *g, const char *name, int64_t lo, int64_t hi)
{
    return sn_graph_ok(g) ? (SnValue){sn_dim_symbol(g->s, name, lo, hi, false), 0} : sn_none();
}

SnValue sn_symbol_at_create(SnGraph *g, const char *name, int64_t lo, int64_t hi)
{
    return sn_graph_ok(g) ? (SnValue){sn_dim_symbol(g->s, name, lo, hi, true), 0} : sn_none();
}

/* Dims of a leaf: made of constants and symbols, so that they mean the same everywhere. */
static bool leaf_dims(SnGraph *g, const char *name, int ndim, const SnValue *dims, SnRef *out)
{
    if (!sn_graph_ok(g))
        return false;
    if (ndim < 0 || ndim > SN_MAX_RANK) {
        sn_graph_fail(g, SN_ESHAPE, "input %s: %d dims, at most %d are possible", name, ndim, SN_MAX_RANK);
        return false;
    }
    for (int i = 0; i < ndim; i++) {
        out[i] = sn_use_dim(g, name, dims[i]);
        if (out[i] == 0)
            return false;
    }
    return true;
}

SnValue sn_input(SnGraph *g, const char *name, SnDtype dtype, int ndim, const SnValue *dims)
{
    SnRef at[SN_MAX_RANK];
    if (!leaf_dims(g, name, ndim, dims, at))
        return sn_none();
    return named_leaf(g, SN_OP_INPUT, sn_type_tensor(g->s, dtype, ndim, at), &SN_STRING("name", name), 1,
                      NULL);
}

SnValue sn_input_list(SnGraph *g, const char *name, SnDtype dtype, int ndim, const SnValue *dims)
{
    static const int64_t most = (int64_t)1 << 40;
    SnRef at[SN_MAX_RANK];
    if (!leaf_dims(g, name, ndim, dims, at))
        return sn_none();
    const char *const symbol = sn_arena_printf(sn_store_arena(g->s), "%s.size", name);
    if (symbol == NULL)
        return sn_graph_no_memory(g);
    const SnRef bound = sn_dim_symbol(g->s, symbol, 0, most, false);
    return named_leaf(g, SN_OP_INPUT, sn_type_list(g->s, dtype, ndim, at, bound), &SN_STRING("name", name), 1,
                      NULL);
}

SnValue sn_param(SnGraph *g, const char *name, SnDtype dtype, int ndim, const int64_t *dims)
{
    SnRef at[SN_MAX_RANK];
    if (!sn_graph_ok(g))
        return sn_none();
    if (ndim < 0 || ndim > SN_MAX_RANK)
        return sn_graph_fail(g, SN_ESHAPE, "param %s: %d dims, at most %d are possible", name, ndim,
                             SN_MAX_RANK);
    for (int i = 0; i < ndim; i++) {
        if (dims[i] < 0)
            return sn_graph_fail(g, SN_ESHAPE, "param %s: dim %d is negative", name, i);
        at[i] = sn_const_i64(g->s, dims[i]);
    }
    return named_leaf(g, SN_OP_PARAM, sn_type_tensor(g->s, dtype, ndim, at), &SN_STRING("name", name), 1,
                      NULL);
}

SnValue sn_object(SnGraph *g, const char *name, const char *class_name, SnBytes table)
{
    if (!sn_graph_ok(g))
        return sn_none();
    const SnType t = {.kind = SN_TYPE_OBJECT, .class_name = class_name};
    const SnAttr attr[] = {SN_STRING("name", name),
                           SN_STRING("class", class_name),
                           {.name = "data", .kind = SN_ATTR_DATA, .u.data = table}};
    return named_leaf(g, SN_OP_OBJECT, sn_type_make(g->s, &t), attr, SN_COUNT(attr), NULL);
}

SnValue sn_carry(SnGraph *g, const char *name, SnValue init)
{
    if (g->current != 0)
        return sn_graph_fail(g, SN_EINVAL, "carry %s: made inside a function", name);
    const SnRef r = sn_use(g, init);
    if (r == 0)
        return sn_none();
    return named_leaf(g, SN_OP_CARRY, sn_term(g->s, r)->type, &SN_STRING("name", name), 1, &r);
}

uint32_t sn_outside_begin(SnGraph *g)
{
    const uint32_t inside = g->current;
    g->current = 0;
    return inside;
}

void sn_outside_end(SnGraph *g, uint32_t scope)
{
    g->current = scope;
}

SnValue sn_carry_zeros(SnGraph *g, const char *name, SnDtype dtype, SnValue rows, int ndim,
                       const int64_t *dims)
{
    SnValue all[SN_MAX_RANK] = {rows};
    if (!sn_graph_ok(g) || ndim >= SN_MAX_RANK)
        return sn_none();
    const uint32_t inside = sn_outside_begin(g);
    for (int i = 0; i < ndim; i++)
        all[i + 1] = sn_const_int(g, SN_I64, dims[i]);
    const SnValue carry = sn_carry(g, name, sn_broadcast(g, sn_const(g, dtype, 0), ndim + 1, all));
    sn_outside_end(g, inside);
    return carry;
}

SnValue sn_const(SnGraph *g, SnDtype dtype, double v)
{
    if (!sn_graph_ok(g))
        return sn_none();
    const SnScalar from = {.f = v};
    if (!sn_dtype_is_float(dtype) &&
        sn_scalar_cast(dtype, SN_F64, sn_scalar_cast(SN_F64, dtype, from, false), false).f != v)
        return sn_graph_fail(g, SN_EINVAL, "the constant %g does not fit %s", v, sn_dtype(dtype)->name);
    return sn_here(g, sn_const_scalar(g->s, dtype, sn_scalar_cast(SN_F64, dtype, from, false)));
}

SnValue sn_const_int(SnGraph *g, SnDtype dtype, int64_t v)
{
    if (!sn_graph_ok(g))
        return sn_none();
    const SnRef r = sn_adapt(g, sn_const_i64(g->s, v), dtype);
    if (r == 0)
        return sn_graph_fail(g, SN_EINVAL, "the constant %lld does not fit %s", (long long)v,
                             sn_dtype(dtype)->name);
    return sn_here(g, r);
}

SnValue sn_const_data(SnGraph *g, SnDtype dtype, int ndim, const int64_t *dims, const void *data)
{
    SnRef at[SN_MAX_RANK];
    size_t n = sn_dtype_size(dtype);
    if (!sn_graph_ok(g))
        return sn_none();
    if (ndim == 0)
        return sn_here(g, sn_const_scalar(g->s, dtype, sn_scalar_load(dtype, data)));
    if (ndim < 0 || ndim > SN_MAX_RANK)
        return sn_graph_fail(g, SN_ESHAPE, "const: %d dims, at most %d are possible", ndim, SN_MAX_RANK);
    for (int i = 0; i < ndim; i++) {
        if (dims[i] < 0 || !sn_mul_size(n, (size_t)dims[i], &n))
            return sn_graph_fail(g, SN_ESHAPE, "const: dim %d is %lld", i, (long long)dims[i]);
        at[i] = sn_const_i64(g->s, dims[i]);
    }
    const SnAttr attr = {.name = "data", .kind = SN_ATTR_DATA, .u.data = sn_bytes(data, n)};
    const SnTypeId type = sn_type_tensor(g->s, dtype, ndim, at);
    const SnAttrId attrs = sn_attrs_make(g->s, &attr, 1);
    return type != 0 && attrs != 0 ? sn_here(g, sn_term_make(g->s, SN_OP_CONST, type, attrs, NULL, 0))
                                   : sn_graph_no_memory(g);
}

/* ---- results ---- */

void sn_entry_begin(SnGraph *g, const char *name)
{
    if (!sn_graph_ok(g))
        return;
    for (size_t i = 0; i < g->entry.n; i++) {
        if (strcmp(g->entry.at[i].name, name) == 0) {
            g->entry_now = i;
            return;
        }
    }
    if (!add_entry(g, name))
        sn_graph_no_memory(g);
}

void sn_output(SnGraph *g, const char *name, SnValue v)
{
    if (g->current != 0) {
        sn_graph_fail(g, SN_EINVAL, "output %s: made inside a function", name);
        return;
    }
    const SnRef r = sn_use(g, v);
    SnEntryBuild *const e = &g->entry.at[g->entry_now];
    for (size_t i = 0; i < e->output.n; i++)
        if (strcmp(e->output.at[i].name, name) == 0)
            sn_graph_fail(g, SN_EINVAL, "output %s: there is another one of this name", name);
    const char *const own = sn_intern(g->s, name, strlen(name));
    if (r != 0 && (own == NULL || !sn_vec_push(g->memory, &e->output, (SnNamedRef){own, r})))
        sn_graph_no_memory(g);
}

void sn_output_stream(SnGraph *g, const char *name, SnValue rows)
{
    sn_output(g, name, rows);
    if (!sn_graph_ok(g))
        return;
    SnEntryBuild *const e = &g->entry.at[g->entry_now];
    const SnType *const t = sn_value_type(g, rows);
    if ((t->kind != SN_TYPE_TENSOR && t->kind != SN_TYPE_LIST) || t->ndim == 0)
        sn_graph_fail(g, SN_EINVAL, "stream %s: not a tensor or list with rows", name);
    else if (!sn_vec_push(g->memory, &e->stream, e->output.at[e->output.n - 1].name))
        sn_graph_no_memory(g);
}

void sn_next(SnGraph *g, SnValue carry, SnValue next)
{
    const SnRef r = sn_use(g, carry), to = sn_use(g, next);
    if (r == 0 || to == 0)
        return;
    const SnTerm *const t = sn_term(g->s, r);
    SnEntryBuild *const e = &g->entry.at[g->entry_now];
    if (g->current != 0 || t->op != SN_OP_CARRY) {
        sn_graph_fail(g, SN_EINVAL, "sn_next: %s",
                      t->op != SN_OP_CARRY ? "not a carry" : "used inside a function");
        return;
    }
    if (sn_term(g->s, to)->type != t->type) {
        const SnError err = {.code = SN_ESHAPE, .message = "the next value has another type"};
        sn_graph_fail_op(g, &err, sn_attr_string(g->s, r, "name"), (const SnRef[]){r, to}, 2);
        return;
    }
    if (!sn_vec_push(g->memory, &e->next, r) || !sn_vec_push(g->memory, &e->next, to))
        sn_graph_no_memory(g);
}

static SnRef entry_term(SnGraph *g, const SnEntryBuild *e)
{
    SnArena *const arena = sn_store_arena(g->s);
    SnRef *const in = sn_arena_array(arena, e->output.n + e->next.n + 1, sizeof *in);
    const char **const names = sn_arena_array(arena, e->output.n + 1, sizeof *names);
    if (in == NULL || names == NULL)
        return sn_graph_no_memory(g).ref;
    for (size_t i = 0; i < e->output.n; i++) {
        in[i] = e->output.at[i].ref;
        names[i] = e->output.at[i].name;
    }
    const int n = (int)e->output.n;
    in[0] = sn_make(g, SN_OP_TUPLE, &SN_NAMES("names", names, n), n > 0, in, n).ref;
    if (e->next.n > 0)
        memcpy(in + 1, e->next.at, e->next.n * sizeof *in);
    const SnAttr attr[] = {SN_STRING("name", e->name), SN_NAMES("streams", e->stream.at, (int)e->stream.n)};
    return sn_make(g, SN_OP_ENTRY, attr, e->stream.n > 0 ? 2 : 1, in, (int)e->next.n + 1).ref;
}

SnRef sn_graph_root(SnGraph *g)
{
    SnRef *const in = sn_arena_array(sn_store_arena(g->s), g->entry.n, sizeof *in);
    int n = 0;
    if (in == NULL)
        return sn_graph_no_memory(g).ref;
    if (g->current != 0)
        return sn_graph_fail(g, SN_EINVAL, "function %s: not ended", g->scope.at[g->current].name).ref;
    for (size_t i = 0; i < g->entry.n && sn_graph_ok(g); i++) {
        const SnEntryBuild *const e = &g->entry.at[i];
        if (e->output.n + e->next.n > 0)
            in[n++] = entry_term(g, e);
    }
    if (n == 0)
        return sn_graph_fail(g, SN_EINVAL, "the graph has no outputs").ref;
    return sn_graph_ok(g) ? sn_make(g, SN_OP_PROGRAM, NULL, 0, in, n).ref : 0;
}
