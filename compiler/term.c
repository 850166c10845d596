/* term.c -- the hash-consed store of terms, attributes and strings.
 *
 * Terms lie in an arena and never move; a table of pointers leads from a ref to its term. Equal means: same
 * op, type, attributes and operands. Attribute records and strings are consed the same way, so comparing them
 * is comparing indices. */
#include "compiler/store.h"

#include <stdlib.h>

static const SnPrimInfo prim_info[] = {
    [SN_OP_ERROR] = {"error", 0, 0, SN_PRIM_LEAF, "stands for a term that could not be made"},
#define SN_PRIM(NAME, TEXT, MIN, MAX, KIND, DOC) [SN_OP_##NAME] = {TEXT, MIN, MAX, SN_PRIM_##KIND, DOC},
#include "compiler/prims.def"
#undef SN_PRIM
};

const SnPrimInfo *sn_prim(uint16_t op)
{
    return &prim_info[op < SN_PRIM_COUNT ? op : SN_OP_ERROR];
}

uint16_t sn_prim_named(SnBytes name)
{
    for (uint16_t op = 1; op < SN_PRIM_COUNT; op++)
        if (sn_bytes_is(name, prim_info[op].name))
            return op;
    return SN_OP_ERROR;
}

uint16_t sn_combiner(const char *fn)
{
    const SnBytes name = sn_bytes_str(fn ? fn : "");
    return sn_is_one_of(name, "add mul min max and or xor") ? sn_prim_named(name) : SN_OP_ERROR;
}

/* ---- index ---- */

bool sn_index_add(const SnAllocator *a, SnIndex *x, uint32_t hash, uint32_t id)
{
    if (x->n >= x->cap / 2) {
        if (x->cap > UINT32_MAX / 4)
            return false;
        SnIndex grown = {.cap = x->cap != 0 ? x->cap * 2 : 64};
        grown.slot = (SnIndexSlot *)sn_alloc_zero(a, grown.cap * sizeof *grown.slot, _Alignof(SnIndexSlot));
        if (grown.slot == NULL)
            return false;
        for (uint32_t i = 0; i < x->cap; i++)
            if (x->slot[i].id != 0)
                (void)sn_index_add(a, &grown, x->slot[i].hash, x->slot[i].id);
        sn_free(a, x->slot, x->cap * sizeof *x->slot, _Alignof(SnIndexSlot));
        *x = grown;
    }
    uint32_t i = hash & (x->cap - 1);
    while (x->slot[i].id != 0)
        i = (i + 1) & (x->cap - 1);
    x->slot[i] = (SnIndexSlot){hash, id};
    x->n++;
    return true;
}

static void index_clear(const SnAllocator *a, SnIndex *x)
{
    sn_free(a, x->slot, x->cap * sizeof *x->slot, _Alignof(SnIndexSlot));
}

/* ---- life ---- */

static const SnTerm error_term = {.op = SN_OP_ERROR};
static const SnType no_type;

SnStatus sn_store_create(SnContext *ctx, SnStore **out, SnError *err)
{
    const SnAllocator *a = sn_allocator(ctx);
    SnStore *s = (SnStore *)sn_alloc_zero(a, sizeof *s, _Alignof(SnStore));
    SN_CHECK(s != NULL, err, SN_ENOMEM, "no memory for a term store");
    s->ctx = ctx;
    s->memory = a;
    sn_arena_init(&s->arena, a);
    if (!sn_vec_push(a, &s->term, &error_term) || !sn_vec_push(a, &s->dim_size, 0) ||
        !sn_vec_push(a, &s->attrs, (SnAttrs){0}) || !sn_vec_push(a, &s->string, "") ||
        !sn_vec_push(a, &s->type, &no_type)) {
        sn_store_destroy(s);
        return sn_fail(err, SN_ENOMEM, "no memory for a term store");
    }
    *out = s;
    return SN_OK;
}

void sn_store_destroy(SnStore *s)
{
    if (s == NULL)
        return;
    const SnAllocator *a = s->memory;
    index_clear(a, &s->term_index);
    index_clear(a, &s->attrs_index);
    index_clear(a, &s->string_index);
    index_clear(a, &s->type_index);
    sn_vec_clear(a, &s->term);
    sn_vec_clear(a, &s->dim_size);
    sn_vec_clear(a, &s->attrs);
    sn_vec_clear(a, &s->string);
    sn_vec_clear(a, &s->type);
    sn_arena_clear(&s->arena);
    sn_free(a, s, sizeof *s, _Alignof(SnStore));
}

SnContext *sn_store_context(const SnStore *s)
{
    return s->ctx;
}

SnArena *sn_store_arena(SnStore *s)
{
    return &s->arena;
}

bool sn_store_failed(const SnStore *s)
{
    return s->failed;
}

void sn_store_fail(SnStore *s)
{
    s->failed = true;
}

uint32_t sn_store_count(const SnStore *s)
{
    return (uint32_t)s->term.n;
}

const SnTerm *sn_term(const SnStore *s, SnRef r)
{
    SN_ASSERT(r < s->term.n);
    return s->term.at[r];
}

/* ---- strings ---- */

static uint32_t fail_memory(SnStore *s)
{
    s->failed = true;
    return 0;
}

const char *sn_intern(SnStore *s, const char *text, size_t n)
{
    const uint32_t hash = sn_hash_more(1, text, n);
    uint32_t at = hash, id;
    while ((id = sn_index_next(&s->string_index, hash, &at)) != 0) {
        const char *known = s->string.at[id];
        if (strncmp(known, text, n) == 0 && known[n] == '\0')
            return known;
    }
    const char *copy = sn_arena_strndup(&s->arena, text, n);
    if (copy == NULL || !sn_vec_push(s->memory, &s->string, copy) ||
        !sn_index_add(s->memory, &s->string_index, hash, (uint32_t)s->string.n - 1)) {
        fail_memory(s);
        return NULL;
    }
    return copy;
}

/* ---- attributes ---- */

static bool copy_names(SnStore *s, SnAttr *a)
{
    const char **names = (const char **)sn_arena_array(&s->arena, (size_t)a->u.names.n, sizeof *names);
    if (names == NULL)
        return false;
    for (int i = 0; i < a->u.names.n; i++) {
        names[i] = sn_intern(s, a->u.names.at[i], strlen(a->u.names.at[i]));
        if (names[i] == NULL)
            return false;
    }
    a->u.names.at = names;
    return true;
}

/* Makes what an attribute points to the store's own. */
static bool own_attr(SnStore *s, SnAttr *a)
{
    a->name = sn_intern(s, a->name, strlen(a->name));
    if (a->name == NULL)
        return false;
    void *copy = NULL;
    switch (a->kind) {
    case SN_ATTR_STRING:
        a->u.s = sn_intern(s, a->u.s, strlen(a->u.s));
        return a->u.s != NULL;
    case SN_ATTR_NAMES:
        return copy_names(s, a);
    case SN_ATTR_INTS:
        copy = sn_arena_array(&s->arena, (size_t)a->u.ints.n, sizeof *a->u.ints.at);
        if (copy != NULL && a->u.ints.n > 0)
            memcpy(copy, a->u.ints.at, (size_t)a->u.ints.n * sizeof *a->u.ints.at);
        a->u.ints.at = (const int64_t *)copy;
        return copy != NULL;
    case SN_ATTR_DATA:
        copy = sn_arena_alloc(&s->arena, a->u.data.n);
        if (copy != NULL && a->u.data.n > 0)
            memcpy(copy, a->u.data.at, a->u.data.n);
        a->u.data.at = (const uint8_t *)copy;
        return copy != NULL;
    case SN_ATTR_INT:
    case SN_ATTR_FLOAT:
    case SN_ATTR_DTYPE:
    case SN_ATTR_SCALAR:
        return true;
    }
    return false;
}

/* The bytes that an attribute's identity is made of, besides name and kind; NAMES have several parts. */
static SnBytes attr_bytes(const SnAttr *a)
{
    switch (a->kind) {
    case SN_ATTR_INT:
        return sn_bytes(&a->u.i, sizeof a->u.i);
    case SN_ATTR_FLOAT:
        return sn_bytes(&a->u.f, sizeof a->u.f);
    case SN_ATTR_STRING:
        return sn_bytes_str(a->u.s);
    case SN_ATTR_DTYPE:
        return sn_bytes(&a->u.d, sizeof a->u.d);
    case SN_ATTR_SCALAR:
        return sn_bytes(&a->u.scalar.u, sizeof a->u.scalar.u);
    case SN_ATTR_INTS:
        return sn_bytes(a->u.ints.at, (size_t)a->u.ints.n * sizeof *a->u.ints.at);
    case SN_ATTR_DATA:
        return a->u.data;
    case SN_ATTR_NAMES:
        break;
    }
    return sn_bytes(NULL, 0);
}

static uint32_t attr_hash(uint32_t hash, const SnAttr *a)
{
    hash = sn_hash_more(hash, a->name, strlen(a->name));
    if (a->kind == SN_ATTR_NAMES) {
        for (int i = 0; i < a->u.names.n; i++)
            hash = sn_hash_more(hash, a->u.names.at[i], strlen(a->u.names.at[i]));
        return hash;
    }
    const SnBytes b = attr_bytes(a);
    return sn_hash_more(hash, b.at, b.n);
}

static bool attr_equal(const SnAttr *a, const SnAttr *b)
{
    if (a->kind != b->kind || strcmp(a->name, b->name) != 0)
        return false;
    if (a->kind != SN_ATTR_NAMES)
        return sn_bytes_equal(attr_bytes(a), attr_bytes(b));
    if (a->u.names.n != b->u.names.n)
        return false;
    for (int i = 0; i < a->u.names.n; i++)
        if (strcmp(a->u.names.at[i], b->u.names.at[i]) != 0)
            return false;
    return true;
}

static bool attrs_equal(const SnAttrs *a, const SnAttr *b, int n)
{
    if (a->n != n)
        return false;
    for (int i = 0; i < n; i++)
        if (!attr_equal(&a->at[i], &b[i]))
            return false;
    return true;
}

SnAttrId sn_attrs_make(SnStore *s, const SnAttr *attr, int n)
{
    SnAttr sorted[SN_MAX_ATTRS];
    if (n <= 0)
        return 0;
    SN_ASSERT(n <= SN_MAX_ATTRS);
    if (n > SN_MAX_ATTRS)
        return fail_memory(s);
    for (int i = 0; i < n; i++) {
        int j = i;
        for (; j > 0 && strcmp(sorted[j - 1].name, attr[i].name) > 0; j--)
            sorted[j] = sorted[j - 1];
        sorted[j] = attr[i];
    }
    uint32_t hash = 2;
    for (int i = 0; i < n; i++)
        hash = attr_hash(hash, &sorted[i]);
    uint32_t at = hash, id;
    while ((id = sn_index_next(&s->attrs_index, hash, &at)) != 0)
        if (attrs_equal(&s->attrs.at[id], sorted, n))
            return id;
    SnAttr *own = (SnAttr *)sn_arena_array(&s->arena, (size_t)n, sizeof *own);
    if (own == NULL)
        return fail_memory(s);
    for (int i = 0; i < n; i++) {
        own[i] = sorted[i];
        if (!own_attr(s, &own[i]))
            return fail_memory(s);
    }
    if (!sn_vec_push(s->memory, &s->attrs, (SnAttrs){own, n}) ||
        !sn_index_add(s->memory, &s->attrs_index, hash, (uint32_t)s->attrs.n - 1))
        return fail_memory(s);
    return (SnAttrId)s->attrs.n - 1;
}

/* ---- identity of a store ---- */

static SnHash128 add_hash(SnHash128 hash, const void *at, size_t n)
{
    const SnHash128 of = sn_hash128(at, n, hash.lo);
    return (SnHash128){.lo = of.lo, .hi = of.hi ^ (hash.hi << 1 | hash.hi >> 63)};
}

static SnHash128 add_text(SnHash128 hash, const char *text)
{
    return add_hash(hash, text != NULL ? text : "", text != NULL ? strlen(text) + 1 : 0);
}

static SnHash128 add_type(SnHash128 hash, const SnType *t)
{
    const int64_t head[] = {t->kind, t->dtype, t->ndim, t->bound, t->nchild, t->names != NULL};
    hash = add_hash(hash, head, sizeof head);
    hash = add_hash(hash, t->dims, (size_t)t->ndim * sizeof *t->dims);
    hash = add_hash(hash, t->child, (size_t)t->nchild * sizeof *t->child);
    for (int i = 0; t->names != NULL && i < t->nchild; i++)
        hash = add_text(hash, t->names[i]);
    return add_text(hash, t->class_name);
}

static SnHash128 add_attr(SnHash128 hash, const SnAttr *a)
{
    const int64_t head[] = {a->kind, a->kind == SN_ATTR_NAMES ? a->u.names.n : 0};
    hash = add_text(add_hash(hash, head, sizeof head), a->name);
    for (int i = 0; a->kind == SN_ATTR_NAMES && i < a->u.names.n; i++)
        hash = add_text(hash, a->u.names.at[i]);
    const SnBytes b = a->kind == SN_ATTR_NAMES ? (SnBytes){0} : attr_bytes(a);
    return add_hash(hash, b.at, b.n);
}

SnHash128 sn_store_hash(const SnStore *s)
{
    const uint64_t count[] = {s->term.n, s->type.n, s->attrs.n};
    SnHash128 hash = sn_hash128(count, sizeof count, 0);
    for (size_t i = 1; i < s->type.n; i++)
        hash = add_type(hash, s->type.at[i]);
    for (size_t i = 1; i < s->attrs.n; i++)
        for (int k = 0; k < s->attrs.at[i].n; k++)
            hash = add_attr(hash, &s->attrs.at[i].at[k]);
    for (size_t i = 1; i < s->term.n; i++) {
        const SnTerm *t = s->term.at[i];
        const uint32_t head[] = {t->op, t->narg, t->type, t->attr};
        hash = add_hash(add_hash(hash, head, sizeof head), t->arg, t->narg * sizeof *t->arg);
    }
    return hash;
}

const SnAttr *sn_attrs(const SnStore *s, SnAttrId id, int *n)
{
    SN_ASSERT(id < s->attrs.n);
    *n = s->attrs.at[id].n;
    return s->attrs.at[id].at;
}

const SnAttr *sn_attrs_find(const SnStore *s, SnAttrId id, const char *name)
{
    int n;
    const SnAttr *at = sn_attrs(s, id, &n);
    for (int i = 0; i < n; i++)
        if (strcmp(at[i].name, name) == 0)
            return &at[i];
    return NULL;
}

const SnAttr *sn_attr(const SnStore *s, SnRef r, const char *name)
{
    return sn_attrs_find(s, sn_term(s, r)->attr, name);
}

int64_t sn_attr_int(const SnStore *s, SnRef r, const char *name, int64_t otherwise)
{
    const SnAttr *a = sn_attr(s, r, name);
    return a != NULL && a->kind == SN_ATTR_INT ? a->u.i : otherwise;
}

double sn_attr_float(const SnStore *s, SnRef r, const char *name, double otherwise)
{
    const SnAttr *a = sn_attr(s, r, name);
    if (a != NULL && a->kind == SN_ATTR_INT)
        return (double)a->u.i;
    return a != NULL && a->kind == SN_ATTR_FLOAT ? a->u.f : otherwise;
}

const char *sn_attr_string(const SnStore *s, SnRef r, const char *name)
{
    const SnAttr *a = sn_attr(s, r, name);
    return a != NULL && a->kind == SN_ATTR_STRING ? a->u.s : NULL;
}

/* ---- terms ---- */

static bool is_commutative(uint16_t op)
{
    switch (op) {
    case SN_OP_ADD:
    case SN_OP_MUL:
    case SN_OP_MIN:
    case SN_OP_MAX:
    case SN_OP_AND:
    case SN_OP_OR:
    case SN_OP_XOR:
    case SN_OP_EQ:
        return true;
    default:
        return false;
    }
}

/* A constant, or one that was broadcast: both go last. */
static bool is_constant(const SnStore *s, SnRef r)
{
    const SnTerm *t = sn_term(s, r);
    return t->op == SN_OP_CONST || (t->op == SN_OP_BROADCAST && sn_term(s, t->arg[0])->op == SN_OP_CONST);
}

static bool goes_after(const SnStore *s, SnRef a, SnRef b)
{
    const bool a_const = is_constant(s, a), b_const = is_constant(s, b);
    return a_const != b_const ? a_const : a > b;
}

/* How many terms a dim is made of. Bounding it bounds every recursion over dims. */
static uint16_t dim_size(const SnStore *s, const SnTerm *t)
{
    const SnType *type = sn_type(s, t->type);
    uint32_t size = 1;
    if (type->kind != SN_TYPE_TENSOR || type->dtype != SN_I64 || type->ndim != 0)
        return 0;
    switch (t->op) {
    case SN_OP_DIM:
    case SN_OP_CONST:
        return 1;
    case SN_OP_MEASURE:
        size += t->narg == 2 ? s->dim_size.at[t->arg[1]] : 0;
        break;
    case SN_OP_ADD:
    case SN_OP_SUB:
    case SN_OP_MUL:
    case SN_OP_IDIV:
    case SN_OP_MOD:
    case SN_OP_MIN:
    case SN_OP_MAX:
        for (int i = 0; i < t->narg; i++) {
            const uint16_t part = s->dim_size.at[t->arg[i]];
            if (part == 0)
                return 0;
            size += part;
        }
        break;
    default:
        return 0;
    }
    return size <= SN_MAX_DIM_SIZE ? (uint16_t)size : 0;
}

bool sn_is_dim(const SnStore *s, SnRef r)
{
    SN_ASSERT(r < s->dim_size.n);
    return s->dim_size.at[r] != 0;
}

static SnRef term_add(SnStore *s, const SnTerm *key, const SnRef *arg)
{
    const size_t n = key->narg;
    SnTerm *t = (SnTerm *)sn_arena_alloc(&s->arena, sizeof *t + n * sizeof *arg);
    if (t == NULL || s->term.n >= UINT32_MAX)
        return fail_memory(s);
    *t = *key;
    if (n > 0)
        memcpy(t->arg, arg, n * sizeof *arg);
    const uint16_t size = dim_size(s, t);
    if (!sn_vec_reserve(s->memory, &s->term, 1) || !sn_vec_reserve(s->memory, &s->dim_size, 1) ||
        !sn_index_add(s->memory, &s->term_index, t->hash, (uint32_t)s->term.n))
        return fail_memory(s);
    s->dim_size.at[s->dim_size.n++] = size;
    s->term.at[s->term.n++] = t;
    return (SnRef)s->term.n - 1;
}

static SnRef make(SnStore *s, uint16_t op, SnTypeId type, SnAttrId attr, const SnRef *arg, int narg,
                  bool is_new)
{
    SN_ASSERT(narg >= 0);
    if (s->failed)
        return 0;
    if (narg > UINT16_MAX)
        return fail_memory(s);
    for (int i = 0; i < narg; i++) {
        SN_ASSERT(arg[i] < s->term.n);
        if (arg[i] == 0)
            return 0;
    }
    SnRef swapped[2];
    if (is_commutative(op) && narg == 2 && goes_after(s, arg[0], arg[1])) {
        swapped[0] = arg[1];
        swapped[1] = arg[0];
        arg = swapped;
    }
    SnTerm key = {.op = op, .narg = (uint16_t)narg, .type = type, .attr = attr};
    const uint32_t head[4] = {op, (uint32_t)narg, type, attr};
    key.hash = sn_hash_more(3, head, sizeof head);
    if (narg > 0)
        key.hash = sn_hash_more(key.hash, arg, (size_t)narg * sizeof *arg);
    uint32_t at = key.hash;
    SnRef r;
    while (!is_new && (r = sn_index_next(&s->term_index, key.hash, &at)) != 0) {
        const SnTerm *t = s->term.at[r];
        if (t->op == op && t->narg == narg && t->type == type && t->attr == attr &&
            (narg == 0 || memcmp(t->arg, arg, (size_t)narg * sizeof *arg) == 0))
            return r;
    }
    return term_add(s, &key, arg);
}

SnRef sn_term_make(SnStore *s, uint16_t op, SnTypeId type, SnAttrId attr, const SnRef *arg, int narg)
{
    return make(s, op, type, attr, arg, narg, false);
}

SnRef sn_term_fresh(SnStore *s, uint16_t op, SnTypeId type, SnAttrId attr, const SnRef *arg, int narg)
{
    return make(s, op, type, attr, arg, narg, true);
}

/* ---- scalar constants ---- */

SnRef sn_const_scalar(SnStore *s, SnDtype dtype, SnScalar value)
{
    /* One NaN: its sign and payload mean nothing. */
    if (sn_dtype_is_float(dtype) && value.f != value.f)
        value.u = UINT64_C(0x7FF8000000000000);
    const SnAttr a = {.name = "value", .kind = SN_ATTR_SCALAR, .u.scalar = value};
    return sn_term_make(s, SN_OP_CONST, sn_type_scalar(s, dtype), sn_attrs_make(s, &a, 1), NULL, 0);
}

SnRef sn_const_i64(SnStore *s, int64_t v)
{
    return sn_const_scalar(s, SN_I64, (SnScalar){.i = v});
}

SnRef sn_const_f32(SnStore *s, float v)
{
    return sn_const_scalar(s, SN_F32, (SnScalar){.f = (double)v});
}

SnRef sn_const_bool(SnStore *s, bool v)
{
    return sn_const_scalar(s, SN_BOOL, (SnScalar){.i = v});
}

bool sn_is_const(const SnStore *s, SnRef r, SnScalar *value)
{
    if (sn_term(s, r)->op != SN_OP_CONST)
        return false;
    const SnAttr *a = sn_attr(s, r, "value");
    if (a == NULL || a->kind != SN_ATTR_SCALAR)
        return false;
    if (value != NULL)
        *value = a->u.scalar;
    return true;
}

bool sn_is_const_i64(const SnStore *s, SnRef r, int64_t *value)
{
    SnScalar v;
    if (sn_dtype_of(s, r) != SN_I64 || !sn_is_const(s, r, &v))
        return false;
    if (value != NULL)
        *value = v.i;
    return true;
}

SnDtype sn_dtype_of(const SnStore *s, SnRef r)
{
    const SnType *t = sn_type_of(s, r);
    return t->kind == SN_TYPE_TENSOR || t->kind == SN_TYPE_LIST ? t->dtype : SN_NODTYPE;
}

static int by_ref(const void *a, const void *b)
{
    const SnRef x = *(const SnRef *)a, y = *(const SnRef *)b;
    return (x > y) - (x < y);
}

void sn_sort_refs(SnRef *at, size_t n)
{
    if (n > 1)
        qsort(at, n, sizeof *at, by_ref);
}
