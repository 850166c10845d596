/* type.c -- the type table: hash-consed types, printing, unification. Dims are in dim.c. */
#include "compiler/store.h"

static bool names_equal(const SnType *a, const SnType *b)
{
    if ((a->names == NULL) != (b->names == NULL))
        return false;
    for (int i = 0; a->names != NULL && i < a->nchild; i++)
        if (strcmp(a->names[i], b->names[i]) != 0)
            return false;
    return true;
}

static bool type_equal(const SnType *a, const SnType *b)
{
    if (a->kind != b->kind || a->dtype != b->dtype || a->ndim != b->ndim || a->bound != b->bound ||
        a->nchild != b->nchild || (a->class_name == NULL) != (b->class_name == NULL))
        return false;
    return memcmp(a->dims, b->dims, (size_t)a->ndim * sizeof *a->dims) == 0 &&
           (a->nchild == 0 || memcmp(a->child, b->child, (size_t)a->nchild * sizeof *a->child) == 0) &&
           names_equal(a, b) && (a->class_name == NULL || strcmp(a->class_name, b->class_name) == 0);
}

static uint32_t type_hash(const SnType *t)
{
    const uint32_t head[5] = {(uint32_t)t->kind, (uint32_t)t->dtype, (uint32_t)t->ndim, t->bound,
                              (uint32_t)t->nchild};
    uint32_t hash = sn_hash_more(4, head, sizeof head);
    hash = sn_hash_more(hash, t->dims, (size_t)t->ndim * sizeof *t->dims);
    if (t->nchild > 0)
        hash = sn_hash_more(hash, t->child, (size_t)t->nchild * sizeof *t->child);
    for (int i = 0; t->names != NULL && i < t->nchild; i++)
        hash = sn_hash_more(hash, t->names[i], strlen(t->names[i]));
    return t->class_name != NULL ? sn_hash_more(hash, t->class_name, strlen(t->class_name)) : hash;
}

static bool own_type(SnStore *s, SnType *t)
{
    const size_t n = (size_t)t->nchild;
    if (n > 0) {
        SnTypeId *child = (SnTypeId *)sn_arena_array(&s->arena, n, sizeof *child);
        if (child == NULL)
            return false;
        memcpy(child, t->child, n * sizeof *child);
        t->child = child;
    }
    if (t->names != NULL) {
        const char **names = (const char **)sn_arena_array(&s->arena, n, sizeof *names);
        for (size_t i = 0; names != NULL && i < n; i++) {
            names[i] = sn_intern(s, t->names[i], strlen(t->names[i]));
            if (names[i] == NULL)
                return false;
        }
        if (names == NULL)
            return false;
        t->names = names;
    }
    if (t->class_name != NULL)
        t->class_name = sn_intern(s, t->class_name, strlen(t->class_name));
    return !s->failed;
}

/* Walks over types are trees: bounding leaves and depth bounds them all. */
static bool measure_tree(const SnStore *s, SnType *t)
{
    t->depth = 1;
    t->nleaf = t->nchild == 0;
    for (int i = 0; i < t->nchild; i++) {
        const SnType *c = sn_type(s, t->child[i]);
        t->depth = c->depth >= t->depth ? c->depth + 1 : t->depth;
        t->nleaf += c->nleaf > 0 ? c->nleaf : 1;
        if (t->nleaf > SN_MAX_TYPE_LEAF || t->depth > SN_MAX_TYPE_DEPTH)
            return false;
    }
    return true;
}

SnTypeId sn_type_make(SnStore *s, const SnType *t)
{
    SnType tree = *t;
    if (s->failed || !measure_tree(s, &tree))
        return 0;
    SN_ASSERT(t->ndim >= 0 && t->ndim <= SN_MAX_RANK && t->nchild >= 0);
    const uint32_t hash = type_hash(t);
    uint32_t at = hash, id;
    while ((id = sn_index_next(&s->type_index, hash, &at)) != 0) {
        if (type_equal(s->type.at[id], t))
            return id;
    }
    SnType *own = (SnType *)sn_arena_alloc(&s->arena, sizeof *own);
    if (own != NULL) {
        *own = tree;
        for (int i = t->ndim; i < SN_MAX_RANK; i++)
            own->dims[i] = 0;
    }
    if (own == NULL || !own_type(s, own) || !sn_vec_push(s->memory, &s->type, own) ||
        !sn_index_add(s->memory, &s->type_index, hash, (uint32_t)s->type.n - 1)) {
        s->failed = true;
        return 0;
    }
    return (SnTypeId)s->type.n - 1;
}

const SnType *sn_type(const SnStore *s, SnTypeId id)
{
    SN_ASSERT(id < s->type.n);
    return s->type.at[id];
}

const SnType *sn_type_of(const SnStore *s, SnRef r)
{
    return sn_type(s, sn_term(s, r)->type);
}

static SnTypeId make_array(SnStore *s, SnTypeKind kind, SnDtype dtype, int ndim, const SnRef *dims,
                           SnRef bound)
{
    SnType t = {.kind = kind, .dtype = dtype, .ndim = ndim, .bound = bound};
    for (int i = 0; i < ndim; i++) {
        if (dims[i] == 0)
            return 0;
        t.dims[i] = dims[i];
    }
    return sn_type_make(s, &t);
}

SnTypeId sn_type_tensor(SnStore *s, SnDtype dtype, int ndim, const SnRef *dims)
{
    return make_array(s, SN_TYPE_TENSOR, dtype, ndim, dims, 0);
}

SnTypeId sn_type_scalar(SnStore *s, SnDtype dtype)
{
    return make_array(s, SN_TYPE_TENSOR, dtype, 0, NULL, 0);
}

SnTypeId sn_type_list(SnStore *s, SnDtype dtype, int ndim, const SnRef *dims, SnRef bound)
{
    return make_array(s, SN_TYPE_LIST, dtype, ndim, dims, bound);
}

SnTypeId sn_type_tuple(SnStore *s, int n, const SnTypeId *child, const char *const *names)
{
    const SnType t = {.kind = SN_TYPE_TUPLE, .nchild = n, .child = child, .names = n > 0 ? names : NULL};
    return sn_type_make(s, &t);
}

/* ---- printing ---- */

static void print_dims(const SnStore *s, const SnType *t, SnDimNamer *namer, void *self, SnText *out)
{
    if (t->ndim == 0)
        return;
    for (int i = 0; i < t->ndim; i++) {
        sn_text_add(out, i == 0 ? "[" : ",", 1);
        sn_dim_write(s, t->dims[i], namer, self, out);
    }
    sn_text_add(out, "]", 1);
}

static void print_children(const SnStore *s, const SnType *t, int depth, SnDimNamer *namer, void *self,
                           SnText *out)
{
    for (int i = 0; i < t->nchild; i++) {
        if (i > 0)
            sn_text_add(out, ", ", 2);
        if (t->names != NULL)
            sn_text_printf(out, "%s: ", t->names[i]);
        sn_type_write(s, t->child[i], depth + 1, namer, self, out);
    }
}

void sn_type_write(const SnStore *s, SnTypeId id, int depth, SnDimNamer *namer, void *self, SnText *out)
{
    const SnType *t = sn_type(s, id);
    if (depth > SN_MAX_TYPE_DEPTH) {
        sn_text_add(out, "...", 3);
        return;
    }
    switch (t->kind) {
    case SN_TYPE_TENSOR:
        sn_text_printf(out, "%s", sn_dtype(t->dtype)->name);
        print_dims(s, t, namer, self, out);
        return;
    case SN_TYPE_LIST:
        sn_text_printf(out, "list<%s>", sn_dtype(t->dtype)->name);
        print_dims(s, t, namer, self, out);
        if (t->bound != 0) {
            sn_text_add(out, " max=", 5);
            sn_dim_write(s, t->bound, namer, self, out);
        }
        return;
    case SN_TYPE_TUPLE:
    case SN_TYPE_FN:
        sn_text_printf(out, "%s<", t->kind == SN_TYPE_FN ? "fn" : "tuple");
        print_children(s, t, depth, namer, self, out);
        sn_text_add(out, ">", 1);
        return;
    case SN_TYPE_OBJECT:
        sn_text_printf(out, "object<%s>", t->class_name);
        return;
    }
    sn_text_add(out, "none", 4);
}

void sn_type_print(const SnStore *s, SnTypeId id, SnText *out)
{
    sn_type_write(s, id, 0, NULL, NULL, out);
}

/* ---- unification ---- */

SnStatus sn_type_mismatch(const SnStore *s, SnTypeId pattern, SnTypeId actual, SnError *err)
{
    SnText a = {.memory = s->memory}, b = {.memory = s->memory};
    sn_type_print(s, pattern, &a);
    sn_type_print(s, actual, &b);
    const SnStatus st = a.failed || b.failed ? sn_fail(err, SN_ENOMEM, "no memory for a message")
                                             : sn_fail(err, SN_ESHAPE, "expected %s, found %s", a.at, b.at);
    sn_text_clear(&a);
    sn_text_clear(&b);
    return st;
}

/* Symbols that stand alone are bound in the first pass, so that the second can check or solve the rest. */
typedef enum UnifyPass { BIND_SYMBOLS, CHECK_ALL } UnifyPass;

static bool unify_dim(SnStore *s, SnRef pattern, SnRef actual, UnifyPass pass, SnBindings *b)
{
    if (pass == CHECK_ALL)
        return sn_dim_unify(s, pattern, actual, b);
    if (sn_term(s, pattern)->op == SN_OP_DIM)
        (void)sn_dim_unify(s, pattern, actual, b);
    return true;
}

static bool unify(SnStore *s, SnTypeId pattern, SnTypeId actual, UnifyPass pass, int depth, SnBindings *b)
{
    const SnType *p = sn_type(s, pattern), *a = sn_type(s, actual);
    if (pattern == 0 || p->kind != a->kind || p->dtype != a->dtype || p->ndim != a->ndim ||
        p->nchild != a->nchild || depth > SN_MAX_TYPE_DEPTH)
        return pattern == actual;
    for (int i = 0; i < p->ndim; i++)
        if (!unify_dim(s, p->dims[i], a->dims[i], pass, b))
            return false;
    if (p->bound != 0 && (a->bound == 0 || !unify_dim(s, p->bound, a->bound, pass, b)))
        return false;
    for (int i = 0; i < p->nchild; i++)
        if (!unify(s, p->child[i], a->child[i], pass, depth + 1, b))
            return false;
    return p->kind != SN_TYPE_OBJECT || strcmp(p->class_name, a->class_name) == 0;
}

SnStatus sn_types_unify(SnStore *s, const SnTypeId *pattern, const SnTypeId *actual, int n, SnBindings *b,
                        int *bad, SnError *err)
{
    for (int i = 0; i < n; i++)
        (void)unify(s, pattern[i], actual[i], BIND_SYMBOLS, 0, b);
    for (int i = 0; i < n; i++) {
        if (unify(s, pattern[i], actual[i], CHECK_ALL, 0, b))
            continue;
        *bad = i;
        return sn_type_mismatch(s, pattern[i], actual[i], err);
    }
    return s->failed ? sn_fail(err, SN_ENOMEM, "no memory for terms") : SN_OK;
}

/* ---- substitution of symbols ---- */

SnTypeId sn_type_map_dims(SnStore *s, SnTypeId id, SnDimMap *map, void *self)
{
    SnType t = *sn_type(s, id);
    SnTypeId few[16], *child = NULL;
    for (int i = 0; i < t.ndim; i++) {
        t.dims[i] = map(self, t.dims[i]);
        if (t.dims[i] == 0)
            return 0;
    }
    if (t.bound != 0) {
        t.bound = map(self, t.bound);
        if (t.bound == 0)
            return 0;
    }
    if (t.nchild == 0)
        return t.ndim > 0 || t.bound != 0 ? sn_type_make(s, &t) : id;
    child = t.nchild <= (int)SN_COUNT(few)
                ? few
                : (SnTypeId *)sn_arena_array(&s->arena, (size_t)t.nchild, sizeof *child);
    if (child == NULL) {
        s->failed = true;
        return 0;
    }
    for (int i = 0; i < t.nchild; i++) {
        child[i] = sn_type_map_dims(s, t.child[i], map, self);
        if (child[i] == 0 && t.child[i] != 0)
            return 0;
    }
    t.child = child;
    return sn_type_make(s, &t);
}

bool sn_type_fits(const SnStore *s, SnTypeId want, SnTypeId found)
{
    const SnType *a = sn_type(s, want), *b = sn_type(s, found);
    if (want == found)
        return true;
    if (a->kind != b->kind || a->dtype != b->dtype || a->ndim != b->ndim || a->nchild != b->nchild)
        return false;
    for (int i = 0; i < a->ndim; i++)
        if (!sn_dim_equal(s, a->dims[i], b->dims[i]))
            return false;
    if (a->bound != 0 && b->bound != 0 && !sn_dim_equal(s, a->bound, b->bound))
        return false;
    for (int i = 0; i < a->nchild; i++)
        if (!sn_type_fits(s, a->child[i], b->child[i]))
            return false;
    return a->kind == SN_TYPE_TENSOR || a->kind == SN_TYPE_LIST || a->kind == SN_TYPE_TUPLE;
}
