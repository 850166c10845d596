/* value.c -- values of a run: making them, comparing, iterating, sorting them. */
#include "frontends/jinja/run.h"

#include <math.h>
#include <stdio.h>

/* ---- errors and limits ---- */

SnStatus sn_ji_fail(SnJiRun *r, const char *format, ...)
{
    va_list args;
    char where[128];
    va_start(args, format);
    SnStatus st = sn_failv(r->err, SN_EINVAL, format, args);
    va_end(args);
    (void)snprintf(where, sizeof where, "%.90s, line %u", r->t->name, r->line);
    r->is_late = true;
    return sn_fail_in(r->err, st, where);
}

SnStatus sn_ji_stop(SnJiRun *r, SnStatus code, const char *what)
{
    r->is_late = false;
    return sn_fail(r->err, code, "%s, line %u: %s", r->t->name, r->line, what);
}

SnStatus sn_ji_spend(SnJiRun *r, uint64_t steps)
{
    if (r->steps < steps)
        return sn_ji_stop(r, SN_EINVAL, "the template takes too many steps");
    r->steps -= steps;
    return SN_OK;
}

SnStatus sn_ji_down(SnJiRun *r)
{
    if (r->depth >= SN_JI_MAX_DEPTH)
        return sn_ji_stop(r, SN_EINVAL, "maximum recursion depth exceeded");
    r->depth++;
    return sn_ji_spend(r, 1);
}

SnStatus sn_ji_no_memory(SnJiRun *r)
{
    return sn_ji_stop(r, SN_ENOMEM, "no memory, or more than a template may use");
}

SnJiState sn_ji_state(SnJiRun *r)
{
    r->is_late = false;
    return (SnJiState){r->at, r->text->n, r->depth, r->text->failed};
}

SnStatus sn_ji_meet(SnJiRun *r, const SnError *late)
{
    *r->err = *late;
    r->is_late = true;
    return late->code;
}

SnStatus sn_ji_late(SnJiRun *r, SnStatus st, const SnJiState *from, SnError **late)
{
    if (st == SN_OK || !r->is_late)
        return st;
    *late = sn_arena_alloc(&r->arena, sizeof **late);
    if (!*late)
        return sn_ji_no_memory(r);
    **late = *r->err;
    r->at = from->at;
    r->text->n = from->n;
    r->text->failed = from->failed;
    r->depth = from->depth;
    return SN_OK;
}

/* ---- texts ---- */

SnJiValue sn_ji_text_value(const char *at, size_t n)
{
    return (SnJiValue){.kind = SN_JI_STRING, .u = {.text = {at, (uint32_t)n, sn_ji_count_codes(at, n)}}};
}

SnStatus sn_ji_copy(SnJiRun *r, const char *at, size_t n, SnJiValue *out)
{
    char *own = n <= r->max_memory ? sn_arena_strndup(&r->arena, at, n) : NULL;
    if (!own)
        return sn_ji_no_memory(r);
    *out = sn_ji_text_value(own, n);
    return sn_ji_spend(r, n / 64);
}

SnJiMark sn_ji_begin(SnJiRun *r)
{
    const SnJiMark outer = r->at;
    if (outer.level == 0)
        r->root_end = r->text->n;
    r->at = (SnJiMark){r->text->n, outer.level + 1};
    return outer;
}

SnStatus sn_ji_take(SnJiRun *r, SnJiMark outer, SnJiValue *out)
{
    const size_t begin = r->at.begin, n = r->text->n - begin;
    if (r->text->failed)
        return sn_ji_no_memory(r);
    SN_TRY(sn_ji_copy(r, n ? r->text->at + begin : "", n, out));
    r->text->n = begin;
    r->at = outer;
    return SN_OK;
}

void sn_ji_add(SnJiRun *r, const char *at, size_t n)
{
    if (n > r->max_size || r->text->n - r->at.begin > r->max_size - n)
        r->text->failed = true;
    else
        sn_text_add(r->text, at, n);
}

void sn_ji_say(SnJiRun *r, const char *s)
{
    sn_ji_add(r, s, strlen(s));
}

void sn_ji_fill(SnJiRun *r, const char *at, size_t n, int64_t count)
{
    r->text->failed = r->text->failed || (count > 0 && n && (uint64_t)count > r->max_size / n);
    for (int64_t i = 0; i < count && !r->text->failed; i++)
        sn_ji_add(r, at, n);
}

void sn_ji_add_code(SnJiRun *r, uint32_t cp)
{
    char utf8[4];
    sn_ji_add(r, utf8, (size_t)sn_utf8_put(cp, utf8));
}

SnStatus sn_ji_undefined(SnJiRun *r, SnJiValue *out, const char *format, ...)
{
    char text[200];
    va_list args;
    va_start(args, format);
    const int n = vsnprintf(text, sizeof text, format, args);
    va_end(args);
    const size_t size = n < 0 ? 0 : (size_t)n < sizeof text ? (size_t)n : sizeof text - 1;
    const char *own = sn_arena_strndup(&r->arena, text, size);
    if (!own)
        return sn_ji_no_memory(r);
    *out = (SnJiValue){.kind = SN_JI_UNDEFINED, .u = {.message = own}};
    return SN_OK;
}

SnStatus sn_ji_defined(SnJiRun *r, SnJiValue v)
{
    return v.kind == SN_JI_UNDEFINED ? sn_ji_fail(r, "%s", v.u.message) : SN_OK;
}

/* ---- lists ---- */

SnStatus sn_ji_list(SnJiRun *r, SnJiKind kind, size_t cap, SnJiValue *out)
{
    SnJiList *list = sn_arena_alloc(&r->arena, sizeof *list);
    SnJiValue *at = cap ? sn_arena_array(&r->arena, cap, sizeof *at) : NULL;
    if (!list || (cap && !at))
        return sn_ji_no_memory(r);
    *list = (SnJiList){.at = at, .cap = cap};
    *out = (SnJiValue){.kind = (uint8_t)kind, .u = {.list = list}};
    return SN_OK;
}

SnStatus sn_ji_append(SnJiRun *r, SnJiValue v, SnJiValue item)
{
    SnJiList *list = v.u.list;
    if (list->n == list->cap) {
        const size_t cap = list->cap ? 2 * list->cap : 4;
        SnJiValue *at = sn_arena_array(&r->arena, cap, sizeof *at);
        if (!at)
            return sn_ji_no_memory(r);
        if (list->n)
            memcpy(at, list->at, list->n * sizeof *at);
        list->at = at;
        list->cap = cap;
    }
    list->at[list->n++] = item;
    return sn_ji_spend(r, 1);
}

SnStatus sn_ji_pair(SnJiRun *r, SnJiValue a, SnJiValue b, SnJiValue *out)
{
    SN_TRY(sn_ji_list(r, SN_JI_TUPLE, 2, out));
    SN_TRY(sn_ji_append(r, *out, a));
    return sn_ji_append(r, *out, b);
}

SnStatus sn_ji_iter(SnJiRun *r, const char *type, SnJiValue list, SnJiValue *out)
{
    SnJiIter *iter = sn_arena_alloc(&r->arena, sizeof *iter);
    if (!iter)
        return sn_ji_no_memory(r);
    *iter = (SnJiIter){.at = list.u.list->at, .n = list.u.list->n, .type = type};
    *out = (SnJiValue){.kind = SN_JI_ITER, .u = {.iter = iter}};
    return SN_OK;
}

SnStatus sn_ji_function(SnJiRun *r, const SnJiRow *row, SnJiValue self, SnJiValue *out)
{
    SnJiBound *bound = sn_arena_alloc(&r->arena, sizeof *bound);
    if (!bound)
        return sn_ji_no_memory(r);
    *bound = (SnJiBound){row, self};
    *out = (SnJiValue){.kind = SN_JI_FUNCTION, .u = {.bound = bound}};
    return SN_OK;
}

/* ---- dicts ---- */

#define SMALL_DICT 8

static SnStatus hash_value(SnJiRun *r, SnJiValue v, uint32_t *out)
{
    uint64_t h = 0xcbf29ce484222325u;
    if (sn_ji_is_number(v)) {
        /* Equal numbers of any kind have one hash. */
        const double d = v.kind == SN_JI_BIG ? sn_ji_big_float(&r->arena, v) : sn_ji_number(v) + 0.0;
        uint64_t bits = 0;
        memcpy(&bits, &d, sizeof bits);
        h = (h ^ bits) * 0x100000001b3u;
    } else if (v.kind == SN_JI_STRING) {
        for (uint32_t i = 0; i < v.u.text.n; i++)
            h = (h ^ (uint8_t)v.u.text.at[i]) * 0x100000001b3u;
    } else if (v.kind == SN_JI_TUPLE) {
        SN_TRY(sn_ji_down(r));
        for (size_t i = 0; i < v.u.list->n; i++) {
            uint32_t item = 0;
            SN_TRY(hash_value(r, v.u.list->at[i], &item));
            h = (h ^ item) * 0x100000001b3u;
        }
        r->depth--;
    } else if (v.kind == SN_JI_LIST || v.kind == SN_JI_DICT || v.kind == SN_JI_VIEW) {
        return sn_ji_fail(r, "unhashable type: '%s'", sn_ji_type(v));
    }
    *out = (uint32_t)(h ^ h >> 32);
    return SN_OK;
}

SnStatus sn_ji_hashable(SnJiRun *r, SnJiValue v)
{
    uint32_t hash = 0;
    return hash_value(r, v, &hash);
}

SnStatus sn_ji_dict(SnJiRun *r, SnJiKind kind, SnJiValue *out)
{
    SnJiDict *d = sn_arena_alloc(&r->arena, sizeof *d);
    if (!d)
        return sn_ji_no_memory(r);
    *out = (SnJiValue){.kind = (uint8_t)kind, .u = {.dict = d}};
    return SN_OK;
}

static void put_slot(SnJiDict *d, uint32_t hash, size_t index)
{
    const size_t mask = 2 * d->cap - 1;
    size_t i = hash & mask;
    while (d->slot[i])
        i = (i + 1) & mask;
    d->slot[i] = (uint32_t)index + 1;
}

SnStatus sn_ji_dict_find(SnJiRun *r, const SnJiDict *d, SnJiValue key, SnJiPair **out)
{
    uint32_t hash = 0;
    bool is_equal = false;
    *out = NULL;
    SN_TRY(hash_value(r, key, &hash));
    if (!d->slot) {
        for (size_t i = 0; i < d->n && !is_equal; i++) {
            SN_TRY(sn_ji_equal(r, d->at[i].key, key, &is_equal));
            *out = is_equal ? &d->at[i] : NULL;
        }
        return SN_OK;
    }
    const size_t mask = 2 * d->cap - 1;
    for (size_t i = hash & mask; d->slot[i] && !is_equal; i = (i + 1) & mask) {
        SnJiPair *pair = &d->at[d->slot[i] - 1];
        SN_TRY(sn_ji_spend(r, 1));
        SN_TRY(sn_ji_equal(r, pair->key, key, &is_equal));
        *out = is_equal ? pair : NULL;
    }
    return SN_OK;
}

SnJiPair *sn_ji_dict_get(const SnJiDict *d, SnBytes key)
{
    for (size_t i = 0; i < d->n; i++)
        if (d->at[i].key.kind == SN_JI_STRING && sn_bytes_equal(sn_ji_bytes(d->at[i].key), key))
            return &d->at[i];
    return NULL;
}

static SnStatus grow_dict(SnJiRun *r, SnJiDict *d)
{
    const size_t cap = d->cap ? 2 * d->cap : SMALL_DICT;
    SnJiPair *at = sn_arena_array(&r->arena, cap, sizeof *at);
    uint32_t *slot = cap > SMALL_DICT ? sn_arena_array(&r->arena, 2 * cap, sizeof *slot) : NULL;
    if (!at || (cap > SMALL_DICT && !slot) || cap > UINT32_MAX / 2)
        return sn_ji_no_memory(r);
    if (d->n)
        memcpy(at, d->at, d->n * sizeof *at);
    d->at = at;
    d->cap = cap;
    d->slot = slot;
    for (size_t i = 0; slot && i < d->n; i++) {
        uint32_t hash = 0;
        SN_TRY(hash_value(r, d->at[i].key, &hash));
        put_slot(d, hash, i);
    }
    return SN_OK;
}

SnStatus sn_ji_dict_set(SnJiRun *r, SnJiDict *d, SnJiValue key, SnJiValue value)
{
    SnJiPair *pair = NULL;
    uint32_t hash = 0;
    SN_TRY(sn_ji_spend(r, 1));
    SN_TRY(sn_ji_dict_find(r, d, key, &pair));
    if (pair) {
        pair->value = value;
        return SN_OK;
    }
    if (d->n == d->cap)
        SN_TRY(grow_dict(r, d));
    SN_TRY(hash_value(r, key, &hash));
    d->at[d->n] = (SnJiPair){key, value};
    if (d->slot)
        put_slot(d, hash, d->n);
    d->n++;
    return SN_OK;
}

SnStatus sn_ji_from_json(SnJiRun *r, const SnJson *v, SnJiValue *out)
{
    switch (v->kind) {
    case SN_JSON_NULL:
        *out = sn_ji_none;
        return SN_OK;
    case SN_JSON_BOOL:
        *out = sn_ji_bool(v->u.boolean);
        return SN_OK;
    case SN_JSON_INT:
        *out = sn_ji_int(v->u.integer);
        return SN_OK;
    case SN_JSON_FLOAT:
        *out = sn_ji_float(v->u.number);
        return v->n ? sn_ji_parse_int(r, (SnJiText){v->u.digits, v->n, v->n}, 10, out) : SN_OK;
    case SN_JSON_STRING:
    case SN_JSON_LATER:
        if (v->u.string.n >= UINT32_MAX)
            return sn_ji_no_memory(r);
        *out = sn_ji_text_value((const char *)v->u.string.at, v->u.string.n);
        return SN_OK;
    case SN_JSON_ARRAY:
    case SN_JSON_OBJECT:
        break;
    }
    SN_TRY(sn_ji_down(r));
    SN_TRY(v->kind == SN_JSON_ARRAY ? sn_ji_list(r, SN_JI_LIST, v->n, out) : sn_ji_dict(r, SN_JI_DICT, out));
    for (uint32_t i = 0; i < v->n; i++) {
        const SnJson *child = &v->u.child[i];
        SnJiValue item;
        SN_TRY(sn_ji_from_json(r, child, &item));
        if (v->kind == SN_JSON_ARRAY)
            SN_TRY(sn_ji_append(r, *out, item));
        else
            SN_TRY(sn_ji_dict_set(r, out->u.dict, sn_ji_text_value((const char *)child->key.at, child->key.n),
                                  item));
    }
    r->depth--;
    return SN_OK;
}

/* ---- facts ---- */

const char *sn_ji_type(SnJiValue v)
{
    static const char *const names[] = {
        [SN_JI_MISSING] = "missing",
        [SN_JI_UNDEFINED] = "Undefined",
        [SN_JI_NONE] = "NoneType",
        [SN_JI_BOOL] = "bool",
        [SN_JI_INT] = "int",
        [SN_JI_BIG] = "int",
        [SN_JI_FLOAT] = "float",
        [SN_JI_STRING] = "str",
        [SN_JI_LIST] = "list",
        [SN_JI_TUPLE] = "tuple",
        [SN_JI_DICT] = "dict",
        [SN_JI_RANGE] = "range",
        [SN_JI_VIEW] = "dict_items",
        [SN_JI_ITER] = "generator",
        [SN_JI_NAMESPACE] = "Namespace",
        [SN_JI_LOOP] = "LoopContext",
        [SN_JI_MACRO] = "Macro",
        [SN_JI_FUNCTION] = "function",
        [SN_JI_CYCLER] = "Cycler",
        [SN_JI_JOINER] = "Joiner",
    };
    if (v.kind == SN_JI_ITER)
        return v.u.iter->type;
    return v.kind == SN_JI_VIEW ? v.u.list->type : v.is_safe ? "Markup" : names[v.kind];
}

/* SIZE_MAX: it has no length. */
static size_t length_of(SnJiValue v)
{
    switch ((SnJiKind)v.kind) {
    case SN_JI_STRING:
        return v.u.text.count;
    case SN_JI_LIST:
    case SN_JI_TUPLE:
    case SN_JI_VIEW:
        return v.u.list->n;
    case SN_JI_DICT:
        return v.u.dict->n;
    case SN_JI_RANGE:
        return v.u.range->n;
    default:
        return SIZE_MAX;
    }
}

bool sn_ji_truth(SnJiValue v)
{
    if (v.kind <= SN_JI_NONE)
        return false;
    if (v.kind == SN_JI_FLOAT)
        return v.u.number != 0;
    return sn_ji_is_int(v) ? sn_ji_integer(v) != 0 : length_of(v) != 0;
}

/* ---- equality and order ---- */

static SnStatus equal_lists(SnJiRun *r, const SnJiList *a, const SnJiList *b, bool *out)
{
    *out = a->n == b->n;
    for (size_t i = 0; *out && i < a->n; i++)
        SN_TRY(sn_ji_equal(r, a->at[i], b->at[i], out));
    return SN_OK;
}

static SnStatus equal_dicts(SnJiRun *r, const SnJiDict *a, const SnJiDict *b, bool *out)
{
    *out = a->n == b->n;
    for (size_t i = 0; *out && i < a->n; i++) {
        SnJiPair *pair = NULL;
        SN_TRY(sn_ji_dict_find(r, b, a->at[i].key, &pair));
        *out = pair != NULL;
        if (pair)
            SN_TRY(sn_ji_equal(r, a->at[i].value, pair->value, out));
    }
    return SN_OK;
}

/* Views of keys and items are sets. */
static SnStatus equal_views(SnJiRun *r, const SnJiList *a, const SnJiList *b, bool *out)
{
    const bool are_values = strcmp(a->type, "dict_values") == 0 || strcmp(b->type, "dict_values") == 0;
    *out = are_values ? a == b : a->n == b->n;
    for (size_t i = 0; !are_values && *out && i < a->n; i++) {
        bool is_in = false;
        for (size_t k = 0; k < b->n && !is_in; k++)
            SN_TRY(sn_ji_equal(r, a->at[i], b->at[k], &is_in));
        *out = is_in;
    }
    return SN_OK;
}

static bool equal_ranges(const SnJiRange *a, const SnJiRange *b)
{
    return a->n == b->n && (a->n == 0 || (a->start == b->start && (a->n == 1 || a->step == b->step)));
}

static SnStatus equal_deep(SnJiRun *r, SnJiValue a, SnJiValue b, bool *out)
{
    switch ((SnJiKind)a.kind) {
    case SN_JI_LIST:
    case SN_JI_TUPLE:
        return equal_lists(r, a.u.list, b.u.list, out);
    case SN_JI_VIEW:
        return equal_views(r, a.u.list, b.u.list, out);
    case SN_JI_DICT:
        return equal_dicts(r, a.u.dict, b.u.dict, out);
    case SN_JI_RANGE:
        *out = equal_ranges(a.u.range, b.u.range);
        return SN_OK;
    case SN_JI_FUNCTION:
        *out = a.u.bound->row == b.u.bound->row;
        return *out && a.u.bound->self.kind ? sn_ji_equal(r, a.u.bound->self, b.u.bound->self, out) : SN_OK;
    default:
        *out = a.u.iter == b.u.iter;
        return SN_OK;
    }
}

SnStatus sn_ji_equal(SnJiRun *r, SnJiValue a, SnJiValue b, bool *out)
{
    if (sn_ji_is_number(a) && sn_ji_is_number(b)) {
        *out = sn_ji_compare_numbers(r, a, b) == 0;
        return SN_OK;
    }
    *out = a.kind == b.kind;
    if (!*out || a.kind <= SN_JI_NONE)
        return SN_OK;
    if (a.kind == SN_JI_STRING) {
        *out = sn_bytes_equal(sn_ji_bytes(a), sn_ji_bytes(b));
        return *out ? sn_ji_spend(r, a.u.text.n / 64) : SN_OK;
    }
    SN_TRY(sn_ji_down(r));
    SN_TRY(equal_deep(r, a, b, out));
    r->depth--;
    return SN_OK;
}

static bool in_order(SnJiOp op, int sign)
{
    return op == SN_JI_OP_LT   ? sign < 0
           : op == SN_JI_OP_LE ? sign <= 0
           : op == SN_JI_OP_GT ? sign > 0
                               : sign >= 0;
}

static SnStatus order_lists(SnJiRun *r, SnJiOp op, const SnJiList *a, const SnJiList *b, bool *out)
{
    const size_t n = a->n < b->n ? a->n : b->n;
    for (size_t i = 0; i < n; i++) {
        bool is_equal = false;
        SN_TRY(sn_ji_equal(r, a->at[i], b->at[i], &is_equal));
        if (!is_equal)
            return sn_ji_order(r, op, a->at[i], b->at[i], out);
    }
    *out = in_order(op, a->n < b->n ? -1 : a->n > b->n);
    return SN_OK;
}

SnStatus sn_ji_order(SnJiRun *r, SnJiOp op, SnJiValue a, SnJiValue b, bool *out)
{
    static const char *const names[] = {
        [SN_JI_OP_LT] = "<", [SN_JI_OP_LE] = "<=", [SN_JI_OP_GT] = ">", [SN_JI_OP_GE] = ">="};
    SN_TRY(sn_ji_down(r));
    if (sn_ji_is_number(a) && sn_ji_is_number(b)) {
        const int sign = sn_ji_compare_numbers(r, a, b);
        *out = sign != 2 && in_order(op, sign);
    } else if (a.kind == SN_JI_STRING && b.kind == SN_JI_STRING) {
        const uint32_t n = a.u.text.n < b.u.text.n ? a.u.text.n : b.u.text.n;
        const int sign = memcmp(a.u.text.at, b.u.text.at, n);
        *out = in_order(op, sign ? sign : a.u.text.n < b.u.text.n ? -1 : a.u.text.n > b.u.text.n);
    } else if (a.kind == b.kind && (a.kind == SN_JI_LIST || a.kind == SN_JI_TUPLE)) {
        SN_TRY(order_lists(r, op, a.u.list, b.u.list, out));
    } else {
        SN_TRY(sn_ji_defined(r, a));
        SN_TRY(sn_ji_defined(r, b));
        return sn_ji_fail(r, "'%s' not supported between instances of '%s' and '%s'", names[op],
                          sn_ji_type(a), sn_ji_type(b));
    }
    r->depth--;
    return SN_OK;
}

SnStatus sn_ji_contains(SnJiRun *r, SnJiValue item, SnJiValue in, bool *out)
{
    if (in.kind == SN_JI_STRING) {
        if (item.kind != SN_JI_STRING)
            return sn_ji_fail(r, "'in <string>' requires string as left operand, not %s", sn_ji_type(item));
        *out = sn_ji_find_text(r, in.u.text, item.u.text, 0, in.u.text.n) != SIZE_MAX;
        return sn_ji_spend(r, 1 + in.u.text.n / 16);
    }
    if (in.kind == SN_JI_DICT) {
        SnJiPair *pair = NULL;
        SN_TRY(sn_ji_dict_find(r, in.u.dict, item, &pair));
        *out = pair != NULL;
        return SN_OK;
    }
    SnJiItems items;
    if (!sn_ji_is_iterable(in))
        return sn_ji_fail(r, "argument of type '%s' is not iterable", sn_ji_type(in));
    SN_TRY(sn_ji_items(r, in, &items));
    *out = false;
    for (size_t i = 0; i < items.n && !*out; i++)
        SN_TRY(sn_ji_equal(r, items.at[i], item, out));
    return sn_ji_spend(r, items.n / 4);
}

/* ---- iterating ---- */

bool sn_ji_is_iterable(SnJiValue v)
{
    return v.kind == SN_JI_UNDEFINED || (v.kind >= SN_JI_STRING && v.kind <= SN_JI_ITER) ||
           v.kind == SN_JI_LOOP;
}

SnStatus sn_ji_length(SnJiRun *r, SnJiValue v, size_t *out)
{
    SnJiValue length;
    *out = v.kind == SN_JI_UNDEFINED ? 0 : length_of(v);
    if (v.kind == SN_JI_LOOP) {
        SN_TRY(sn_ji_loop_attr(r, v.u.loop, sn_bytes_str("length"), &length));
        *out = (size_t)length.u.integer;
    }
    return *out != SIZE_MAX ? SN_OK : sn_ji_fail(r, "object of type '%s' has no len()", sn_ji_type(v));
}

static SnStatus list_of(SnJiRun *r, SnJiValue v, SnJiValue *list)
{
    size_t n = 0;
    SN_TRY(sn_ji_length(r, v, &n));
    SN_TRY(sn_ji_list(r, SN_JI_LIST, n, list));
    const char *p = v.u.text.at;
    for (size_t i = 0; i < n; i++) {
        SnJiValue item = sn_ji_none;
        if (v.kind == SN_JI_STRING) {
            const char *begin = p;
            (void)sn_ji_next_code(&p);
            item = (SnJiValue){.kind = SN_JI_STRING, .u = {.text = {begin, (uint32_t)(p - begin), 1}}};
        } else {
            item = v.kind == SN_JI_DICT ? v.u.dict->at[i].key : sn_ji_range_at(v.u.range, i);
        }
        SN_TRY(sn_ji_append(r, *list, item));
    }
    return SN_OK;
}

SnStatus sn_ji_items(SnJiRun *r, SnJiValue v, SnJiItems *out)
{
    SnJiValue list = v;
    *out = (SnJiItems){0};
    if (v.kind == SN_JI_UNDEFINED)
        return SN_OK;
    if (v.kind == SN_JI_ITER) {
        SnJiIter *iter = v.u.iter;
        *out = (SnJiItems){iter->n ? iter->at + iter->pos : NULL, iter->n - iter->pos};
        iter->pos = iter->n;
        return iter->late ? sn_ji_meet(r, iter->late) : SN_OK;
    }
    if (!sn_ji_is_iterable(v) || v.kind == SN_JI_LOOP)
        return sn_ji_fail(r, "'%s' object is not iterable", sn_ji_type(v));
    if (v.kind == SN_JI_STRING || v.kind == SN_JI_DICT || v.kind == SN_JI_RANGE)
        SN_TRY(list_of(r, v, &list));
    *out = (SnJiItems){list.u.list->at, list.u.list->n};
    return SN_OK;
}

/* ---- sorting: merges, in which an item of the right half goes first only if it is less ---- */

static SnStatus merge(SnJiRun *r, SnJiValue *key, SnJiValue *item, SnJiValue *spare, size_t low, size_t mid,
                      size_t high)
{
    const size_t n = high - low;
    size_t i = low, k = mid;
    for (size_t o = 0; o < n; o++) {
        bool is_less = i == mid;
        if (i < mid && k < high)
            SN_TRY(sn_ji_order(r, SN_JI_OP_LT, key[k], key[i], &is_less));
        const size_t from = is_less ? k++ : i++;
        spare[o] = key[from];
        spare[n + o] = item[from];
    }
    memcpy(key + low, spare, n * sizeof *key);
    memcpy(item + low, spare + n, n * sizeof *item);
    return SN_OK;
}

void sn_ji_reverse(SnJiValue *at, size_t n)
{
    for (size_t i = 0; i < n / 2; i++) {
        const SnJiValue t = at[i];
        at[i] = at[n - 1 - i];
        at[n - 1 - i] = t;
    }
}

SnStatus sn_ji_sort(SnJiRun *r, SnJiValue *key, SnJiValue *item, size_t n, bool reverse)
{
    SnJiValue *spare = n > 1 ? sn_arena_array(&r->arena, 2 * n, sizeof *spare) : NULL;
    if (n > 1 && !spare)
        return sn_ji_no_memory(r);
    /* Equal items keep their order in both directions. */
    if (reverse) {
        sn_ji_reverse(key, n);
        sn_ji_reverse(item, n);
    }
    for (size_t width = 1; width < n; width *= 2)
        for (size_t low = 0; low + width < n; low += 2 * width) {
            const size_t high = low + 2 * width < n ? low + 2 * width : n;
            SN_TRY(merge(r, key, item, spare, low, low + width, high));
        }
    if (reverse) {
        sn_ji_reverse(key, n);
        sn_ji_reverse(item, n);
    }
    return SN_OK;
}
