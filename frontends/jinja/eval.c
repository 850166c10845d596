/* eval.c -- expressions: names, attributes, items, slices, operators, calls. */
#include "frontends/jinja/run.h"

#include <stdlib.h>

const SnJiRow *sn_ji_find(const SnJiRow *rows, SnBytes name)
{
    for (; rows->name; rows++)
        if (sn_bytes_is(name, rows->name))
            return rows;
    return NULL;
}

/* ---- attributes and items ---- */

static SnStatus unsafe(SnJiRun *r, SnJiValue v, SnBytes name, SnJiValue *out)
{
    return sn_ji_undefined(r, out, "access to attribute '%.*s' of '%s' object is unsafe", (int)name.n,
                           (const char *)name.at, sn_ji_type(v));
}

static SnStatus no_attr(SnJiRun *r, SnJiValue v, SnBytes name, SnJiValue *out)
{
    return sn_ji_undefined(r, out, "'%s%s' has no attribute '%.*s'",
                           v.kind == SN_JI_NONE ? "None" : sn_ji_type(v),
                           v.kind == SN_JI_NONE ? "" : " object", (int)name.n, (const char *)name.at);
}

static bool is_internal(SnBytes name)
{
    return name.n > 4 && memcmp(name.at, "__", 2) == 0 && memcmp(name.at + name.n - 2, "__", 2) == 0;
}

/* What getattr() of Python finds; MISSING: nothing. */
static SnStatus own_attr(SnJiRun *r, SnJiValue v, SnBytes name, SnJiValue *out)
{
    out->kind = SN_JI_MISSING;
    if (v.kind == SN_JI_NAMESPACE) {
        const SnJiPair *pair = sn_ji_dict_get(v.u.dict, name);
        if (pair)
            *out = pair->value;
        return SN_OK;
    }
    if (is_internal(name))
        return unsafe(r, v, name, out);
    if (v.kind == SN_JI_LOOP)
        return sn_ji_loop_attr(r, v.u.loop, name, out);
    /* A group of groupby has names for its two parts. */
    if (v.kind == SN_JI_TUPLE && v.u.list->type &&
        (sn_bytes_is(name, "grouper") || sn_bytes_is(name, "list"))) {
        *out = v.u.list->at[name.at[0] == 'l'];
        return SN_OK;
    }
    const SnJiRow *row = sn_ji_method((SnJiKind)v.kind, name);
    if (row && !row->call && !row->params)
        return unsafe(r, v, name, out);
    if (row && row->params && strcmp(row->params, "=") == 0) {
        const SnJiArgs none = {0};
        return sn_ji_call_row(r, row, v, &none, out);
    }
    return row ? sn_ji_function(r, row, v, out) : SN_OK;
}

static SnStatus index_of(SnJiRun *r, SnJiValue v, int64_t index, SnJiValue *out)
{
    size_t n = 0;
    SN_TRY(sn_ji_length(r, v, &n));
    index += index < 0 ? (int64_t)n : 0;
    out->kind = SN_JI_MISSING;
    if (index < 0 || index >= (int64_t)n)
        return SN_OK;
    if (v.kind == SN_JI_RANGE)
        *out = sn_ji_range_at(v.u.range, (size_t)index);
    else if (v.kind == SN_JI_STRING)
        return sn_ji_slice_text(r, v, index, 1, 1, out);
    else
        *out = v.u.list->at[index];
    return SN_OK;
}

static bool has_indices(SnJiValue v)
{
    return v.kind == SN_JI_STRING || v.kind == SN_JI_LIST || v.kind == SN_JI_TUPLE || v.kind == SN_JI_RANGE;
}

/* v[key] of Python; MISSING: it is not there, or v has no items. */
static SnStatus own_item(SnJiRun *r, SnJiValue v, SnJiValue key, SnJiValue *out)
{
    out->kind = SN_JI_MISSING;
    SN_TRY(sn_ji_defined(r, v));
    if (v.kind == SN_JI_DICT && key.kind != SN_JI_LIST && key.kind != SN_JI_DICT) {
        SnJiPair *pair = NULL;
        SN_TRY(sn_ji_dict_find(r, v.u.dict, key, &pair));
        if (pair)
            *out = pair->value;
        return SN_OK;
    }
    return has_indices(v) && sn_ji_is_int(key) ? index_of(r, v, sn_ji_integer(key), out) : SN_OK;
}

SnStatus sn_ji_attr(SnJiRun *r, SnJiValue v, SnBytes name, SnJiValue *out)
{
    if (!is_internal(name))
        SN_TRY(sn_ji_defined(r, v));
    SN_TRY(own_attr(r, v, name, out));
    if (out->kind == SN_JI_MISSING)
        SN_TRY(own_item(r, v, sn_ji_text_value((const char *)name.at, name.n), out));
    return out->kind == SN_JI_MISSING ? no_attr(r, v, name, out) : SN_OK;
}

SnStatus sn_ji_item(SnJiRun *r, SnJiValue v, SnJiValue key, SnJiValue *out)
{
    SN_TRY(own_item(r, v, key, out));
    if (out->kind != SN_JI_MISSING)
        return SN_OK;
    if (key.kind != SN_JI_STRING)
        return sn_ji_undefined(r, out, "%s object has no such element",
                               v.kind == SN_JI_NONE ? "None" : sn_ji_type(v));
    SN_TRY(own_attr(r, v, sn_ji_bytes(key), out));
    return out->kind == SN_JI_MISSING ? no_attr(r, v, sn_ji_bytes(key), out) : SN_OK;
}

/* One of the three numbers of a slice: `usual` where it is absent or none. */
static SnStatus slice_part(SnJiRun *r, SnJiScope *s, const SnJiNode *e, int64_t *out, bool *is_given)
{
    SnJiValue v = sn_ji_none;
    if (e)
        SN_TRY(sn_ji_eval(r, s, e, &v));
    *is_given = v.kind != SN_JI_NONE;
    if (v.kind == SN_JI_BIG) {
        *out = v.u.big->is_negative ? -INT64_MAX : INT64_MAX;
        return SN_OK;
    }
    if (*is_given && !sn_ji_is_int(v))
        return sn_ji_fail(r, "slice indices must be integers or None or have an __index__ method");
    *out = *is_given ? sn_ji_integer(v) : 0;
    return SN_OK;
}

static int64_t clamp(int64_t v, int64_t n, bool is_back)
{
    if (v < 0)
        v += n;
    return v < 0 ? -(int64_t)is_back : v >= n ? n - is_back : v;
}

static SnStatus slice_range(SnJiRun *r, const SnJiRange *g, int64_t begin, int64_t end, int64_t step,
                            size_t n, SnJiValue *out)
{
    SnJiRange *part = sn_arena_alloc(&r->arena, sizeof *part);
    int64_t gap = 0;
    if (!part)
        return sn_ji_no_memory(r);
    if (!sn_mul_i64(g->step, step, &gap))
        return sn_ji_fail(r, "a range with steps of more than 64 bits");
    *part = (SnJiRange){g->start + begin * g->step, g->start + end * g->step, gap, n};
    *out = (SnJiValue){.kind = SN_JI_RANGE, .u = {.range = part}};
    return SN_OK;
}

static SnStatus eval_slice(SnJiRun *r, SnJiScope *s, const SnJiNode *e, SnJiValue *out)
{
    SnJiValue v;
    int64_t part[3];
    bool is_given[3];
    size_t size = 0;
    SN_TRY(sn_ji_eval(r, s, e->kid[0], &v));
    for (int i = 0; i < 3; i++)
        SN_TRY(slice_part(r, s, e->kid[1 + i], &part[i], &is_given[i]));
    SN_TRY(sn_ji_defined(r, v));
    if (!has_indices(v) && r->folds)
        return sn_ji_undefined(r, out, "%s object has no such element", sn_ji_type(v));
    if (!has_indices(v))
        return sn_ji_fail(r, "'%s' object is not subscriptable by a slice", sn_ji_type(v));
    const int64_t step = is_given[2] ? part[2] : 1;
    if (step == 0)
        return sn_ji_fail(r, "slice step cannot be zero");
    SN_TRY(sn_ji_length(r, v, &size));
    const int64_t n = (int64_t)size;
    const bool is_back = step < 0;
    const int64_t begin = is_given[0] ? clamp(part[0], n, is_back) : is_back ? n - 1 : 0;
    const int64_t end = is_given[1] ? clamp(part[1], n, is_back) : is_back ? -1 : n;
    const uint64_t gap = is_back ? (uint64_t)0 - (uint64_t)step : (uint64_t)step;
    const int64_t span = is_back ? begin - end : end - begin;
    const int64_t count = span <= 0 ? 0 : (int64_t)(((uint64_t)span - 1) / gap) + 1;
    if (v.kind == SN_JI_STRING)
        return sn_ji_slice_text(r, v, begin, count, step, out);
    if (v.kind == SN_JI_RANGE)
        return slice_range(r, v.u.range, begin, end, step, (size_t)count, out);
    SN_TRY(sn_ji_list(r, (SnJiKind)v.kind, (size_t)count, out));
    for (int64_t i = 0; i < count; i++) {
        SnJiValue item;
        SN_TRY(index_of(r, v, begin + i * step, &item));
        SN_TRY(sn_ji_append(r, *out, item));
    }
    return SN_OK;
}

/* ---- calls ---- */

static SnStatus expand_list(SnJiRun *r, SnJiValue v, SnJiValue list)
{
    SnJiItems items;
    SN_TRY(sn_ji_items(r, v, &items));
    for (size_t i = 0; i < items.n; i++)
        SN_TRY(sn_ji_append(r, list, items.at[i]));
    return SN_OK;
}

typedef struct Keywords {
    SnJiKeyword *at;
    size_t n, cap;
} Keywords;

static SnStatus add_keyword(SnJiRun *r, Keywords *k, SnBytes name, SnJiValue v)
{
    for (size_t i = 0; i < k->n; i++)
        if (sn_bytes_equal(k->at[i].name, name))
            return sn_ji_fail(r, "got multiple values for keyword argument '%.*s'", (int)name.n,
                              (const char *)name.at);
    if (k->n == k->cap) {
        const size_t cap = k->cap ? 2 * k->cap : 8;
        SnJiKeyword *at = sn_arena_array(&r->arena, cap, sizeof *at);
        if (!at)
            return sn_ji_no_memory(r);
        if (k->n)
            memcpy(at, k->at, k->n * sizeof *at);
        *k = (Keywords){at, k->n, cap};
    }
    k->at[k->n++] = (SnJiKeyword){name, v};
    return sn_ji_spend(r, k->n);
}

static SnStatus expand_dict(SnJiRun *r, SnJiValue v, Keywords *k)
{
    SN_TRY(sn_ji_defined(r, v));
    if (v.kind != SN_JI_DICT)
        return sn_ji_fail(r, "argument after ** must be a mapping, not %s", sn_ji_type(v));
    for (size_t i = 0; i < v.u.dict->n; i++) {
        if (v.u.dict->at[i].key.kind != SN_JI_STRING)
            return sn_ji_fail(r, "keywords must be strings");
        SN_TRY(add_keyword(r, k, sn_ji_bytes(v.u.dict->at[i].key), v.u.dict->at[i].value));
    }
    return SN_OK;
}

SnStatus sn_ji_eval_args(SnJiRun *r, SnJiScope *s, const SnJiNode *call, SnJiArgs *out)
{
    SnJiValue list, v;
    Keywords k = {0};
    *out = (SnJiArgs){0};
    if (!call->narg)
        return SN_OK;
    SN_TRY(sn_ji_list(r, SN_JI_LIST, call->narg, &list));
    for (uint32_t i = 0; i < call->narg; i++) {
        const SnJiArgNode *a = &call->arg[i];
        SN_TRY(sn_ji_eval(r, s, a->value, &v));
        if (a->stars == 1)
            SN_TRY(expand_list(r, v, list));
        else if (a->stars == 2)
            SN_TRY(expand_dict(r, v, &k));
        else if (a->name.n)
            SN_TRY(add_keyword(r, &k, a->name, v));
        else
            SN_TRY(sn_ji_append(r, list, v));
    }
    *out = (SnJiArgs){list.u.list->at, list.u.list->n, k.at, k.n};
    return SN_OK;
}

typedef struct Param {
    SnBytes name;
    char type; /* 0: any */
    bool is_optional;
    SnJiValue usual;
} Param;

/* The next one of a row's; false: the end. */
static bool next_param(const char **at, Param *out)
{
    const char *p = *at;
    const size_t size = strcspn(p, " "), n = strcspn(p, " :?=");
    if (!size)
        return false;
    *out = (Param){.name = sn_bytes(p, n), .type = p[n] == ':' ? p[n + 1] : '\0'};
    p += n + (out->type ? 2 : 0);
    out->is_optional = *p == '?' || *p == '=';
    if (*p == '=')
        out->usual = sn_ji_int(strtoll(p + 1, NULL, 10));
    *at += size + ((*at)[size] == ' ');
    return true;
}

static SnStatus check_type(const SnJiCall *c, const Param *p, SnJiValue *v)
{
    const bool may_be_none = p->type == 'n' || p->type == 't', is_text = p->type == 's' || p->type == 't';
    if (v->kind == SN_JI_MISSING || (v->kind == SN_JI_NONE && may_be_none)) {
        *v = p->usual;
        return SN_OK;
    }
    if (!p->type || (is_text && v->kind == SN_JI_STRING))
        return SN_OK;
    SN_TRY(sn_ji_defined(c->run, *v));
    if (is_text)
        return sn_ji_fail(c->run, "%s() argument '%.*s' must be str%s, not %s", c->row->name, (int)p->name.n,
                          (const char *)p->name.at, may_be_none ? " or None" : "", sn_ji_type(*v));
    if (!sn_ji_is_int(*v))
        return sn_ji_fail(c->run, "'%s' object cannot be interpreted as an integer", sn_ji_type(*v));
    *v = sn_ji_int(sn_ji_integer(*v));
    return SN_OK;
}

static SnStatus bind(SnJiCall *c)
{
    SnJiRun *r = c->run;
    const SnJiArgs *a = &c->args;
    const char *at = c->row->params ? c->row->params : "";
    Param p;
    size_t n = 0, nkw = 0;
    for (; next_param(&at, &p); n++) {
        SN_ASSERT(n < SN_JI_MAX_PARAMS);
        if (n < a->n)
            c->v[n] = a->at[n];
        for (size_t i = 0; i < a->nkw; i++)
            if (sn_bytes_equal(a->kw[i].name, p.name)) {
                if (n < a->n)
                    return sn_ji_fail(r, "%s() got multiple values for argument '%.*s'", c->row->name,
                                      (int)p.name.n, (const char *)p.name.at);
                c->v[n] = a->kw[i].value;
                nkw++;
            }
        if (!p.is_optional && c->v[n].kind == SN_JI_MISSING)
            return sn_ji_fail(r, "%s() missing 1 required positional argument: '%.*s'", c->row->name,
                              (int)p.name.n, (const char *)p.name.at);
        SN_TRY(check_type(c, &p, &c->v[n]));
    }
    if (a->n > n)
        return sn_ji_fail(r, "%s() takes %zu positional arguments but %zu were given", c->row->name, n, a->n);
    if (nkw < a->nkw)
        return sn_ji_fail(r, "%s() got an unexpected keyword argument", c->row->name);
    return SN_OK;
}

static SnStatus call_bound(SnJiCall *c, SnJiValue *out)
{
    const char *params = c->row->params;
    SN_TRY(sn_ji_down(c->run));
    if (!params || (strcmp(params, "*") != 0 && strcmp(params, "=") != 0))
        SN_TRY(bind(c));
    SN_TRY(c->row->call(c, out));
    c->run->depth--;
    return SN_OK;
}

SnStatus sn_ji_call_row(SnJiRun *r, const SnJiRow *row, SnJiValue self, const SnJiArgs *a, SnJiValue *out)
{
    SnJiCall c = {.run = r, .row = row, .self = self, .args = *a};
    const SnJiState state = sn_ji_state(r);
    SnError *late = NULL;
    SnJiValue none;
    if (!row->call)
        return sn_ji_fail(r, "%s is not supported", row->name);
    const SnStatus st = call_bound(&c, out);
    if (st == SN_OK || !row->is_lazy)
        return st;
    SN_TRY(sn_ji_late(r, st, &state, &late));
    SN_TRY(sn_ji_list(r, SN_JI_LIST, 0, &none));
    SN_TRY(sn_ji_iter(r, "generator", none, out));
    out->u.iter->late = late;
    return SN_OK;
}

SnStatus sn_ji_call(SnJiRun *r, SnJiValue callee, const SnJiArgs *a, SnJiValue *out)
{
    SN_TRY(sn_ji_defined(r, callee));
    switch ((SnJiKind)callee.kind) {
    case SN_JI_FUNCTION:
        return sn_ji_call_row(r, callee.u.bound->row, callee.u.bound->self, a, out);
    case SN_JI_MACRO:
        return sn_ji_call_macro(r, callee.u.macro, a, out);
    case SN_JI_LOOP:
        return sn_ji_call_loop(r, callee.u.loop, a, out);
    case SN_JI_JOINER:
        *out = callee.u.cycler->pos++ ? callee.u.cycler->item[0] : sn_ji_literal("");
        return SN_OK;
    default:
        return sn_ji_fail(r, "'%s' object is not callable", sn_ji_type(callee));
    }
}

static SnStatus eval_call(SnJiRun *r, SnJiScope *s, const SnJiNode *e, SnJiValue *out)
{
    SnJiValue callee;
    SnJiArgs args;
    SN_TRY(sn_ji_eval(r, s, e->kid[0], &callee));
    SN_TRY(sn_ji_eval_args(r, s, e, &args));
    r->line = e->line;
    return sn_ji_call(r, callee, &args, out);
}

SnStatus sn_ji_eval_filters(SnJiRun *r, SnJiScope *s, const SnJiNode *e, SnJiValue piped, SnJiValue *out)
{
    SnJiValue v = piped;
    SnJiArgs args;
    SN_TRY(sn_ji_down(r));
    if (e->kid[0] && e->kid[0]->kind == SN_JI_N_FILTER)
        SN_TRY(sn_ji_eval_filters(r, s, e->kid[0], piped, &v));
    else if (e->kid[0])
        SN_TRY(sn_ji_eval(r, s, e->kid[0], &v));
    SN_TRY(sn_ji_eval_args(r, s, e, &args));
    r->line = e->line;
    if (!e->v.row)
        return sn_ji_fail(r, "no %s named '%.*s'", e->kind == SN_JI_N_TEST ? "test" : "filter",
                          (int)e->text.n, (const char *)e->text.at);
    SN_TRY(sn_ji_call_row(r, e->v.row, v, &args, out));
    r->depth--;
    return SN_OK;
}

/* ---- operators ---- */

static SnStatus compare(SnJiRun *r, SnJiOp op, SnJiValue a, SnJiValue b, bool *out)
{
    switch (op) {
    case SN_JI_OP_EQ:
        return sn_ji_equal(r, a, b, out);
    case SN_JI_OP_IN:
        return sn_ji_contains(r, a, b, out);
    case SN_JI_OP_NE:
        SN_TRY(sn_ji_equal(r, a, b, out));
        break;
    case SN_JI_OP_NOT_IN:
        SN_TRY(sn_ji_contains(r, a, b, out));
        break;
    default:
        return sn_ji_order(r, op, a, b, out);
    }
    *out = !*out;
    return SN_OK;
}

static SnStatus eval_compare(SnJiRun *r, SnJiScope *s, const SnJiNode *e, SnJiValue *out)
{
    SnJiValue a, b;
    bool is_true = true;
    SN_TRY(sn_ji_eval(r, s, e->kid[0], &a));
    for (uint32_t i = 1; i < e->n && is_true; i++) {
        SN_TRY(sn_ji_eval(r, s, e->kid[i], &b));
        SN_TRY(compare(r, (SnJiOp)e->u.op[i], a, b, &is_true));
        a = b;
    }
    *out = sn_ji_bool(is_true);
    return SN_OK;
}

static SnStatus eval_math(SnJiRun *r, SnJiScope *s, const SnJiNode *e, SnJiValue *out)
{
    SnJiValue b;
    SN_TRY(sn_ji_eval(r, s, e->kid[0], out));
    for (uint32_t i = 1; i < e->n; i++) {
        SN_TRY(sn_ji_eval(r, s, e->kid[i], &b));
        SN_TRY(sn_ji_math(r, (SnJiOp)e->u.op[i], *out, b, out));
    }
    return SN_OK;
}

static SnStatus eval_concat(SnJiRun *r, SnJiScope *s, const SnJiNode *e, SnJiValue *out)
{
    const SnJiMark outer = sn_ji_begin(r);
    for (uint32_t i = 0; i < e->n; i++) {
        SnJiValue v;
        SN_TRY(sn_ji_eval(r, s, e->kid[i], &v));
        SN_TRY(sn_ji_put(r, v));
    }
    return sn_ji_take(r, outer, out);
}

static SnStatus eval_words(SnJiRun *r, SnJiScope *s, const SnJiNode *e, SnJiValue *out)
{
    for (uint32_t i = 0; i < e->n; i++) {
        SN_TRY(sn_ji_eval(r, s, e->kid[i], out));
        if (sn_ji_truth(*out) == (e->kind == SN_JI_N_OR))
            break;
    }
    return SN_OK;
}

static SnStatus eval_cond(SnJiRun *r, SnJiScope *s, const SnJiNode *e, SnJiValue *out)
{
    SnJiValue test;
    SN_TRY(sn_ji_eval(r, s, e->kid[1], &test));
    if (sn_ji_truth(test) || e->kid[2])
        return sn_ji_eval(r, s, e->kid[sn_ji_truth(test) ? 0 : 2], out);
    return sn_ji_undefined(
        r, out, "the inline if-expression on line %u evaluated to false and no else section was defined",
        e->line);
}

static SnStatus eval_list(SnJiRun *r, SnJiScope *s, const SnJiNode *e, SnJiValue *out)
{
    SnJiValue item;
    SN_TRY(sn_ji_list(r, e->kind == SN_JI_N_TUPLE ? SN_JI_TUPLE : SN_JI_LIST, e->n, out));
    for (uint32_t i = 0; i < e->n; i++) {
        SN_TRY(sn_ji_eval(r, s, e->kid[i], &item));
        SN_TRY(sn_ji_append(r, *out, item));
    }
    return SN_OK;
}

static SnStatus eval_dict(SnJiRun *r, SnJiScope *s, const SnJiNode *e, SnJiValue *out)
{
    SnJiValue key, item;
    SN_TRY(sn_ji_dict(r, SN_JI_DICT, out));
    for (uint32_t i = 0; i < e->n; i += 2) {
        SN_TRY(sn_ji_eval(r, s, e->kid[i], &key));
        SN_TRY(sn_ji_eval(r, s, e->kid[i + 1], &item));
        SN_TRY(sn_ji_dict_set(r, out->u.dict, key, item));
    }
    return SN_OK;
}

static SnStatus eval_unary(SnJiRun *r, SnJiScope *s, const SnJiNode *e, SnJiValue *out)
{
    SnJiValue v, key;
    SN_TRY(sn_ji_eval(r, s, e->kid[0], &v));
    switch ((SnJiNodeKind)e->kind) {
    case SN_JI_N_NOT:
        *out = sn_ji_bool(!sn_ji_truth(v));
        return SN_OK;
    case SN_JI_N_ATTR:
        r->line = e->line;
        return sn_ji_attr(r, v, e->text, out);
    case SN_JI_N_ITEM:
        SN_TRY(sn_ji_eval(r, s, e->kid[1], &key));
        r->line = e->line;
        return sn_ji_item(r, v, key, out);
    default:
        return sn_ji_sign(r, e->kind == SN_JI_N_NEG, v, out);
    }
}

static SnStatus eval_name(SnJiRun *r, SnJiScope *s, const SnJiNode *e, SnJiValue *out)
{
    const SnBytes name = r->t->names[e->u.name];
    *out = sn_ji_get(r, s, e->u.name);
    return out->kind != SN_JI_MISSING
               ? SN_OK
               : sn_ji_undefined(r, out, "'%.*s' is undefined", (int)name.n, (const char *)name.at);
}

static SnStatus eval_deep(SnJiRun *r, SnJiScope *s, const SnJiNode *e, SnJiValue *out)
{
    switch ((SnJiNodeKind)e->kind) {
    case SN_JI_N_LIST:
    case SN_JI_N_TUPLE:
        return eval_list(r, s, e, out);
    case SN_JI_N_DICT:
        return eval_dict(r, s, e, out);
    case SN_JI_N_MATH:
        return eval_math(r, s, e, out);
    case SN_JI_N_COMPARE:
        return eval_compare(r, s, e, out);
    case SN_JI_N_CONCAT:
        return eval_concat(r, s, e, out);
    case SN_JI_N_AND:
    case SN_JI_N_OR:
        return eval_words(r, s, e, out);
    case SN_JI_N_COND:
        return eval_cond(r, s, e, out);
    case SN_JI_N_SLICE:
        return eval_slice(r, s, e, out);
    case SN_JI_N_CALL:
        return eval_call(r, s, e, out);
    case SN_JI_N_FILTER:
    case SN_JI_N_TEST:
        return sn_ji_eval_filters(r, s, e, sn_ji_none, out);
    default:
        return eval_unary(r, s, e, out);
    }
}

SnStatus sn_ji_eval(SnJiRun *r, SnJiScope *s, const SnJiNode *e, SnJiValue *out)
{
    if (e->kind == SN_JI_N_CONST) {
        *out = e->u.value;
        return SN_OK;
    }
    if (e->kind == SN_JI_N_NAME) {
        r->line = e->line;
        return eval_name(r, s, e, out);
    }
    SN_TRY(sn_ji_down(r));
    const bool begins = (e->flag & SN_JI_FOLDS) && !r->folds;
    r->folds = r->folds || begins;
    SnStatus st = eval_deep(r, s, e, out);
    r->folds = r->folds && !begins;
    /* jinja2 computes it ahead, and again where it cannot write down what comes of it. */
    if (st == SN_OK && begins && out->kind == SN_JI_UNDEFINED && !(e->flag & SN_JI_PRINTED))
        st = eval_deep(r, s, e, out);
    SN_TRY(st);
    r->depth--;
    return SN_OK;
}
