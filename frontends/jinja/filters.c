/* filters.c -- filters of sequences, mappings and numbers. */
#include "frontends/jinja/run.h"

#include <math.h>

/* ---- attributes of items ---- */

/* item.a.b.0 for "a.b.0"; usual stands for what is undefined on the way, unless it is none. */
static SnStatus attr_of(SnJiCall *c, SnJiValue item, SnJiValue attr, SnJiValue usual, SnJiValue *out)
{
    *out = item;
    if (attr.kind != SN_JI_STRING)
        return attr.kind <= SN_JI_NONE ? SN_OK : sn_ji_item(c->run, item, attr, out);
    const char *p = attr.u.text.at, *end = p + attr.u.text.n;
    for (;;) {
        const char *dot = memchr(p, '.', (size_t)(end - p));
        const SnJiValue part = sn_ji_text_value(p, (size_t)((dot ? dot : end) - p));
        SnJiValue index = part;
        bool is_digits = part.u.text.n > 0;
        for (uint32_t i = 0; i < part.u.text.n; i++)
            is_digits = is_digits && p[i] >= '0' && p[i] <= '9';
        if (is_digits)
            SN_TRY(sn_ji_parse_int(c->run, part.u.text, 10, &index));
        SN_TRY(sn_ji_item(c->run, *out, index, out));
        if (out->kind == SN_JI_UNDEFINED && usual.kind > SN_JI_NONE)
            *out = usual;
        if (!dot)
            return SN_OK;
        p = dot + 1;
    }
}

static SnStatus fold_case(SnJiCall *c, bool is_sensitive, SnJiValue *v)
{
    return !is_sensitive && v->kind == SN_JI_STRING ? sn_ji_case(c->run, v->u.text, SN_JI_TO_LOWER, v)
                                                    : SN_OK;
}

/* What sort compares: a list, of one key for each attribute that commas divide. */
static SnStatus sort_key(SnJiCall *c, SnJiValue item, SnJiValue attr, bool is_sensitive, SnJiValue *out)
{
    SnJiValue part = attr, key;
    SN_TRY(sn_ji_list(c->run, SN_JI_LIST, 1, out));
    if (attr.kind != SN_JI_STRING) {
        SN_TRY(attr_of(c, item, attr, sn_ji_none, &key));
        SN_TRY(fold_case(c, is_sensitive, &key));
        return sn_ji_append(c->run, *out, key);
    }
    for (const char *p = attr.u.text.at, *end = p + attr.u.text.n;;) {
        const char *comma = memchr(p, ',', (size_t)(end - p));
        part = sn_ji_text_value(p, (size_t)((comma ? comma : end) - p));
        SN_TRY(attr_of(c, item, part, sn_ji_none, &key));
        SN_TRY(fold_case(c, is_sensitive, &key));
        SN_TRY(sn_ji_append(c->run, *out, key));
        if (!comma)
            return SN_OK;
        p = comma + 1;
    }
}

/* Owned copies of the items of v, to be permuted. */
static SnStatus copy_items(SnJiCall *c, SnJiValue v, SnJiValue *list)
{
    const SnJiValue *at = NULL;
    size_t n = 0;
    SN_TRY(sn_ji_items(c->run, v, &at, &n));
    SN_TRY(sn_ji_list(c->run, SN_JI_LIST, n, list));
    for (size_t i = 0; i < n; i++)
        SN_TRY(sn_ji_append(c->run, *list, at[i]));
    return SN_OK;
}

/* ---- order ---- */

static SnStatus sort(SnJiCall *c, SnJiValue *out)
{
    SnJiValue keys, key;
    SN_TRY(copy_items(c, c->self, out));
    SN_TRY(sn_ji_list(c->run, SN_JI_LIST, out->u.list->n, &keys));
    for (size_t i = 0; i < out->u.list->n; i++) {
        SN_TRY(sort_key(c, out->u.list->at[i], c->v[2], sn_ji_truth(c->v[1]), &key));
        SN_TRY(sn_ji_append(c->run, keys, key));
    }
    return sn_ji_sort(c->run, keys.u.list->at, out->u.list->at, out->u.list->n, sn_ji_truth(c->v[0]));
}

static SnStatus dictsort(SnJiCall *c, SnJiValue *out)
{
    const bool by_value = sn_ji_is_text(c->v[1], "value");
    SnJiValue keys, pair;
    if (c->v[1].kind != SN_JI_MISSING && !by_value && !sn_ji_is_text(c->v[1], "key"))
        return sn_ji_fail(c->run, "You can only sort by either \"key\" or \"value\"");
    SN_TRY(sn_ji_defined(c->run, c->self));
    if (c->self.kind != SN_JI_DICT)
        return sn_ji_fail(c->run, "'%s' object has no attribute 'items'", sn_ji_type(c->self));
    const SnJiDict *d = c->self.u.dict;
    SN_TRY(sn_ji_list(c->run, SN_JI_LIST, d->n, out));
    SN_TRY(sn_ji_list(c->run, SN_JI_LIST, d->n, &keys));
    for (size_t i = 0; i < d->n; i++) {
        SnJiValue key = by_value ? d->at[i].value : d->at[i].key;
        SN_TRY(fold_case(c, sn_ji_truth(c->v[0]), &key));
        SN_TRY(sn_ji_append(c->run, keys, key));
        SN_TRY(sn_ji_pair(c->run, d->at[i].key, d->at[i].value, &pair));
        SN_TRY(sn_ji_append(c->run, *out, pair));
    }
    return sn_ji_sort(c->run, keys.u.list->at, out->u.list->at, d->n, sn_ji_truth(c->v[2]));
}

static SnStatus min_or_max(SnJiCall *c, SnJiValue *out)
{
    const SnJiOp op = c->row->name[1] == 'i' ? SN_JI_OP_LT : SN_JI_OP_GT;
    const SnJiValue *at = NULL;
    SnJiValue best = sn_ji_none, key;
    size_t n = 0;
    SN_TRY(sn_ji_items(c->run, c->self, &at, &n));
    if (n == 0)
        return sn_ji_undefined(c->run, out, "No aggregated item, sequence was empty.");
    for (size_t i = 0; i < n; i++) {
        bool is_better = i == 0;
        SN_TRY(attr_of(c, at[i], c->v[1], sn_ji_none, &key));
        SN_TRY(fold_case(c, sn_ji_truth(c->v[0]), &key));
        if (i)
            SN_TRY(sn_ji_order(c->run, op, key, best, &is_better));
        if (is_better) {
            best = key;
            *out = at[i];
        }
    }
    return SN_OK;
}

static SnStatus unique(SnJiCall *c, SnJiValue *out)
{
    const SnJiValue *at = NULL;
    SnJiValue seen, list, key;
    size_t n = 0;
    SN_TRY(sn_ji_items(c->run, c->self, &at, &n));
    SN_TRY(sn_ji_dict(c->run, SN_JI_DICT, &seen));
    SN_TRY(sn_ji_list(c->run, SN_JI_LIST, 0, &list));
    for (size_t i = 0; i < n; i++) {
        SnJiPair *pair = NULL;
        SN_TRY(attr_of(c, at[i], c->v[1], sn_ji_none, &key));
        SN_TRY(fold_case(c, sn_ji_truth(c->v[0]), &key));
        SN_TRY(sn_ji_dict_find(c->run, seen.u.dict, key, &pair));
        if (pair)
            continue;
        SN_TRY(sn_ji_dict_set(c->run, seen.u.dict, key, sn_ji_none));
        SN_TRY(sn_ji_append(c->run, list, at[i]));
    }
    return sn_ji_iter(c->run, "generator", list, out);
}

static SnStatus groupby(SnJiCall *c, SnJiValue *out)
{
    const bool is_sensitive = sn_ji_truth(c->v[2]);
    SnJiValue items, keys, key, group = sn_ji_none, list = sn_ji_none, last = sn_ji_none;
    SN_TRY(copy_items(c, c->self, &items));
    const size_t n = items.u.list->n;
    SN_TRY(sn_ji_list(c->run, SN_JI_LIST, n, &keys));
    for (size_t i = 0; i < n; i++) {
        SN_TRY(attr_of(c, items.u.list->at[i], c->v[0], c->v[1], &key));
        SN_TRY(fold_case(c, is_sensitive, &key));
        SN_TRY(sn_ji_append(c->run, keys, key));
    }
    SN_TRY(sn_ji_sort(c->run, keys.u.list->at, items.u.list->at, n, false));
    SN_TRY(sn_ji_list(c->run, SN_JI_LIST, 0, out));
    for (size_t i = 0; i < n; i++) {
        bool is_same = false;
        if (i)
            SN_TRY(sn_ji_equal(c->run, last, keys.u.list->at[i], &is_same));
        last = keys.u.list->at[i];
        if (!is_same) {
            SN_TRY(sn_ji_list(c->run, SN_JI_LIST, 0, &list));
            SN_TRY(attr_of(c, items.u.list->at[i], c->v[0], c->v[1], &key));
            SN_TRY(sn_ji_pair(c->run, key, list, &group));
            group.u.list->type = "group";
            SN_TRY(sn_ji_append(c->run, *out, group));
        }
        SN_TRY(sn_ji_append(c->run, list, items.u.list->at[i]));
    }
    return SN_OK;
}

static SnStatus reverse(SnJiCall *c, SnJiValue *out)
{
    SnJiValue list;
    if (c->self.kind == SN_JI_STRING)
        return sn_ji_slice_text(c->run, c->self, (int64_t)c->self.u.text.count - 1, c->self.u.text.count, -1,
                                out);
    if (!sn_ji_is_iterable(c->self))
        return sn_ji_fail(c->run, "argument must be iterable");
    SN_TRY(copy_items(c, c->self, &list));
    SnJiValue *at = list.u.list->at;
    for (size_t i = 0, n = list.u.list->n; i < n / 2; i++) {
        const SnJiValue t = at[i];
        at[i] = at[n - 1 - i];
        at[n - 1 - i] = t;
    }
    *out = list;
    return c->self.kind == SN_JI_ITER ? SN_OK : sn_ji_iter(c->run, "list_reverseiterator", list, out);
}

/* ---- parts ---- */

static SnStatus first(SnJiCall *c, SnJiValue *out)
{
    const SnJiValue *at = NULL;
    size_t n = 0;
    if (c->self.kind == SN_JI_ITER && c->self.u.iter->pos < c->self.u.iter->n) {
        *out = c->self.u.iter->at[c->self.u.iter->pos++];
        return SN_OK;
    }
    SN_TRY(sn_ji_items(c->run, c->self, &at, &n));
    if (n == 0)
        return sn_ji_undefined(c->run, out, "No first item, sequence was empty.");
    *out = at[0];
    return SN_OK;
}

static SnStatus last(SnJiCall *c, SnJiValue *out)
{
    const SnJiValue *at = NULL;
    size_t n = 0;
    if (c->self.kind == SN_JI_ITER || !sn_ji_is_iterable(c->self))
        return sn_ji_fail(c->run, "'%s' object is not reversible", sn_ji_type(c->self));
    SN_TRY(sn_ji_items(c->run, c->self, &at, &n));
    if (n == 0)
        return sn_ji_undefined(c->run, out, "No last item, sequence was empty.");
    *out = at[n - 1];
    return SN_OK;
}

static SnStatus length(SnJiCall *c, SnJiValue *out)
{
    size_t n = 0;
    SN_TRY(sn_ji_length(c->run, c->self, &n));
    *out = sn_ji_int((int64_t)n);
    return SN_OK;
}

static SnStatus list(SnJiCall *c, SnJiValue *out)
{
    return copy_items(c, c->self, out);
}

static SnStatus items(SnJiCall *c, SnJiValue *out)
{
    SnJiValue list_of, pair;
    SN_TRY(sn_ji_list(c->run, SN_JI_LIST, 0, &list_of));
    if (c->self.kind != SN_JI_UNDEFINED && c->self.kind != SN_JI_DICT)
        return sn_ji_fail(c->run, "Can only get item pairs from a mapping.");
    for (size_t i = 0; c->self.kind == SN_JI_DICT && i < c->self.u.dict->n; i++) {
        SN_TRY(sn_ji_pair(c->run, c->self.u.dict->at[i].key, c->self.u.dict->at[i].value, &pair));
        SN_TRY(sn_ji_append(c->run, list_of, pair));
    }
    return sn_ji_iter(c->run, "generator", list_of, out);
}

static SnStatus int_arg(SnJiCall *c, int i, int64_t usual, int64_t *out)
{
    *out = usual;
    if (c->v[i].kind == SN_JI_MISSING)
        return SN_OK;
    if (!sn_ji_is_int(c->v[i]))
        return sn_ji_fail(c->run, "'%s' object cannot be interpreted as an integer", sn_ji_type(c->v[i]));
    *out = sn_ji_integer(c->v[i]);
    return SN_OK;
}

static SnStatus batch(SnJiCall *c, SnJiValue *out)
{
    const SnJiValue *at = NULL;
    SnJiValue all, line = sn_ji_none;
    size_t n = 0;
    int64_t width = 0;
    SN_TRY(int_arg(c, 0, 0, &width));
    SN_TRY(sn_ji_items(c->run, c->self, &at, &n));
    SN_TRY(sn_ji_list(c->run, SN_JI_LIST, 0, &all));
    SN_TRY(sn_ji_list(c->run, SN_JI_LIST, 0, &line));
    for (size_t i = 0; i < n; i++) {
        if ((int64_t)line.u.list->n == width) {
            SN_TRY(sn_ji_append(c->run, all, line));
            SN_TRY(sn_ji_list(c->run, SN_JI_LIST, 0, &line));
        }
        SN_TRY(sn_ji_append(c->run, line, at[i]));
    }
    if (n)
        SN_TRY(sn_ji_append(c->run, all, line));
    while (n && c->v[1].kind > SN_JI_NONE && (int64_t)line.u.list->n < width)
        SN_TRY(sn_ji_append(c->run, line, c->v[1]));
    return sn_ji_iter(c->run, "generator", all, out);
}

static SnStatus slice(SnJiCall *c, SnJiValue *out)
{
    const SnJiValue *at = NULL;
    SnJiValue all, part;
    size_t n = 0, next = 0;
    int64_t parts = 0;
    SN_TRY(int_arg(c, 0, 0, &parts));
    SN_TRY(sn_ji_items(c->run, c->self, &at, &n));
    if (parts == 0)
        return sn_ji_fail(c->run, "integer division or modulo by zero");
    SN_TRY(sn_ji_list(c->run, SN_JI_LIST, 0, &all));
    for (int64_t i = 0; i < parts; i++) {
        const bool has_extra = i < (int64_t)n % parts;
        SN_TRY(sn_ji_list(c->run, SN_JI_LIST, 0, &part));
        for (int64_t k = 0; k < (int64_t)n / parts + has_extra; k++)
            SN_TRY(sn_ji_append(c->run, part, at[next++]));
        if (c->v[1].kind > SN_JI_NONE && !has_extra)
            SN_TRY(sn_ji_append(c->run, part, c->v[1]));
        SN_TRY(sn_ji_append(c->run, all, part));
    }
    return sn_ji_iter(c->run, "generator", all, out);
}

/* ---- map, select: an error of an item is one when that item is reached ---- */

typedef SnStatus EachFn(SnJiCall *c, const SnJiRow *row, SnJiValue item, const SnJiArgs *rest, SnJiValue *out,
                        bool *is_kept);

static SnStatus each(SnJiCall *c, EachFn *fn, const SnJiRow *row, const SnJiArgs *rest, SnJiValue *out)
{
    const SnJiValue *at = NULL;
    SnJiValue all, v;
    size_t n = 0;
    const uint32_t depth = c->run->depth;
    SnError *late = NULL;
    if (sn_ji_truth(c->self))
        SN_TRY(sn_ji_items(c->run, c->self, &at, &n));
    SN_TRY(sn_ji_list(c->run, SN_JI_LIST, n, &all));
    for (size_t i = 0; i < n && !late; i++) {
        bool is_kept = true;
        c->run->is_late = false;
        const SnStatus st = fn(c, row, at[i], rest, &v, &is_kept);
        if (st != SN_OK && !c->run->is_late)
            return st;
        if (st != SN_OK) {
            late = sn_arena_alloc(&c->run->arena, sizeof *late);
            if (!late)
                return sn_ji_stop(c->run, SN_ENOMEM, "no memory");
            *late = *c->run->err;
            c->run->depth = depth;
        } else if (is_kept) {
            SN_TRY(sn_ji_append(c->run, all, v));
        }
    }
    SN_TRY(sn_ji_iter(c->run, "generator", all, out));
    out->u.iter->late = late;
    return SN_OK;
}

static SnStatus map_attr(SnJiCall *c, const SnJiRow *row, SnJiValue item, const SnJiArgs *rest,
                         SnJiValue *out, bool *is_kept)
{
    (void)row;
    *is_kept = true;
    return attr_of(c, item, rest->at[0], rest->at[1], out);
}

static SnStatus map_filter(SnJiCall *c, const SnJiRow *row, SnJiValue item, const SnJiArgs *rest,
                           SnJiValue *out, bool *is_kept)
{
    *is_kept = true;
    return sn_ji_call_row(c->run, row, item, rest, out);
}

static SnStatus map(SnJiCall *c, SnJiValue *out)
{
    SnJiValue attr[2] = {{0}, sn_ji_none};
    if (c->args.n == 0) {
        for (size_t i = 0; i < c->args.nkw; i++)
            if (sn_bytes_is(c->args.kw[i].name, "attribute"))
                attr[0] = c->args.kw[i].value;
            else if (sn_bytes_is(c->args.kw[i].name, "default"))
                attr[1] = c->args.kw[i].value;
            else
                return sn_ji_fail(c->run, "map: unexpected keyword argument");
        if (attr[0].kind == SN_JI_MISSING)
            return sn_ji_fail(c->run, "map requires a filter argument");
        const SnJiArgs by = {.at = attr, .n = 2};
        return each(c, map_attr, NULL, &by, out);
    }
    const SnJiArgs rest = {c->args.at + 1, c->args.n - 1, c->args.kw, c->args.nkw};
    const SnJiRow *row = c->args.at[0].kind == SN_JI_STRING ? sn_ji_filter(sn_ji_bytes(c->args.at[0])) : NULL;
    if (!row)
        return sn_ji_fail(c->run, "map: no such filter");
    return each(c, map_filter, row, &rest, out);
}

static SnStatus pick(SnJiCall *c, const SnJiRow *row, SnJiValue item, const SnJiArgs *rest, SnJiValue *out,
                     bool *is_kept)
{
    const char *name = c->row->name;
    const bool rejects = name[0] == 'r', by_attr = strlen(name) > 6;
    SnJiValue v = item, test;
    if (by_attr)
        SN_TRY(attr_of(c, item, c->args.at[0], sn_ji_none, &v));
    test = v;
    if (row)
        SN_TRY(sn_ji_call_row(c->run, row, v, rest, &test));
    *is_kept = sn_ji_truth(test) != rejects;
    *out = item;
    return SN_OK;
}

static SnStatus select_items(SnJiCall *c, SnJiValue *out)
{
    const size_t skip = strlen(c->row->name) > 6;
    SnJiArgs rest = {0};
    const SnJiRow *row = NULL;
    if (sn_ji_truth(c->self) && c->args.n < skip)
        return sn_ji_fail(c->run, "Missing parameter for attribute name");
    if (c->args.n > skip) {
        const SnJiValue name = c->args.at[skip];
        row = name.kind == SN_JI_STRING ? sn_ji_test(sn_ji_bytes(name)) : NULL;
        if (!row)
            return sn_ji_fail(c->run, "%s: no such test", c->row->name);
        rest = (SnJiArgs){c->args.at + skip + 1, c->args.n - skip - 1, c->args.kw, c->args.nkw};
    }
    return each(c, pick, row, &rest, out);
}

/* ---- numbers ---- */

static SnStatus sum(SnJiCall *c, SnJiValue *out)
{
    const SnJiValue *at = NULL;
    SnJiValue v;
    size_t n = 0;
    SN_TRY(sn_ji_items(c->run, c->self, &at, &n));
    *out = c->v[1].kind != SN_JI_MISSING ? c->v[1] : sn_ji_int(0);
    if (out->kind == SN_JI_STRING)
        return sn_ji_fail(c->run, "sum() can't sum strings [use ''.join(seq) instead]");
    for (size_t i = 0; i < n; i++) {
        SN_TRY(attr_of(c, at[i], c->v[0], sn_ji_none, &v));
        SN_TRY(sn_ji_math(c->run, SN_JI_OP_ADD, *out, v, out));
    }
    return SN_OK;
}

static SnStatus absolute(SnJiCall *c, SnJiValue *out)
{
    SN_TRY(sn_ji_defined(c->run, c->self));
    if (!sn_ji_is_number(c->self))
        return sn_ji_fail(c->run, "bad operand type for abs(): '%s'", sn_ji_type(c->self));
    if (c->self.kind == SN_JI_FLOAT) {
        *out = sn_ji_float(fabs(c->self.u.number));
        return SN_OK;
    }
    const bool is_negative = sn_ji_compare_wholes(c->self, sn_ji_int(0)) < 0;
    return sn_ji_sign(c->run, is_negative, c->self, out);
}

static SnStatus to_int(SnJiCall *c, SnJiValue *out)
{
    int64_t base = 10;
    double d = (double)NAN;
    SnJiValue v;
    SN_TRY(sn_ji_defined(c->run, c->self));
    SN_TRY(int_arg(c, 1, 10, &base));
    const bool is_text = c->self.kind == SN_JI_STRING, is_base = base == 0 || (base >= 2 && base <= 36);
    if (sn_ji_is_whole(c->self))
        return sn_ji_sign(c->run, false, c->self, out);
    *out = c->v[0].kind != SN_JI_MISSING ? c->v[0] : sn_ji_int(0);
    if (is_text && is_base) {
        SN_TRY(sn_ji_parse_int(c->run, c->self.u.text, (int)base, &v));
        if (v.kind != SN_JI_MISSING) {
            *out = v;
            return SN_OK;
        }
    }
    if (is_text ? !sn_ji_parse_float(c->self.u.text, &d) : c->self.kind != SN_JI_FLOAT)
        return SN_OK;
    d = is_text ? d : c->self.u.number;
    if (isinf(d) && !is_text)
        return sn_ji_fail(c->run, "cannot convert float infinity to integer");
    return d - d != 0 ? SN_OK : sn_ji_from_float(c->run, d, out);
}

static SnStatus to_float(SnJiCall *c, SnJiValue *out)
{
    double v = 0;
    SN_TRY(sn_ji_defined(c->run, c->self));
    *out = c->v[0].kind != SN_JI_MISSING ? c->v[0] : sn_ji_float(0);
    if (sn_ji_is_number(c->self))
        SN_TRY(sn_ji_to_float(c->run, c->self, &v));
    else if (c->self.kind != SN_JI_STRING || !sn_ji_parse_float(c->self.u.text, &v))
        return SN_OK;
    *out = sn_ji_float(v);
    return SN_OK;
}

/* To a multiple of 10 to the power of -precision, of two as near to that which is even. */
static SnStatus round_whole(SnJiCall *c, int64_t precision, SnJiValue *out)
{
    SnJiRun *r = c->run;
    SnJiValue unit, rest, twice, half;
    bool is_odd = false;
    SN_TRY(sn_ji_sign(r, false, c->self, out));
    if (precision >= 0)
        return SN_OK;
    SN_TRY(sn_ji_math(r, SN_JI_OP_POW, sn_ji_int(10), sn_ji_int(-precision), &unit));
    SN_TRY(sn_ji_math(r, SN_JI_OP_MOD, *out, unit, &rest));
    SN_TRY(sn_ji_math(r, SN_JI_OP_FLOORDIV, *out, unit, &half));
    SN_TRY(sn_ji_math(r, SN_JI_OP_MOD, half, sn_ji_int(2), &half));
    SN_TRY(sn_ji_equal(r, half, sn_ji_int(1), &is_odd));
    SN_TRY(sn_ji_math(r, SN_JI_OP_MUL, rest, sn_ji_int(2), &twice));
    const int sign = sn_ji_compare_wholes(twice, unit);
    SN_TRY(sn_ji_math(r, SN_JI_OP_SUB, *out, rest, out));
    return sign > 0 || (sign == 0 && is_odd) ? sn_ji_math(r, SN_JI_OP_ADD, *out, unit, out) : SN_OK;
}

/* To the nearest, of two the even one: the decimal digits decide. */
static SnStatus round_float(SnJiCall *c, int64_t precision, SnJiValue *out)
{
    SnText t = {.memory = c->run->memory};
    *out = c->self;
    if (precision > 300 || !isfinite(c->self.u.number))
        return SN_OK;
    if (precision < 0) {
        const double unit = pow(10, precision < -308 ? 308.0 : (double)-precision);
        *out = sn_ji_float(nearbyint(c->self.u.number / unit) * unit);
        return SN_OK;
    }
    double v = 0;
    SnStatus st = sn_ji_format_number(c->run, fabs(c->self.u.number), 'f', (int)precision, false, &t);
    if (st == SN_OK && (t.failed || !sn_parse_f64(sn_bytes(t.at, t.n), &v)))
        st = sn_ji_fail(c->run, "cannot round");
    sn_text_clear(&t);
    *out = sn_ji_float(copysign(v, c->self.u.number));
    return st;
}

static SnStatus round_number(SnJiCall *c, SnJiValue *out)
{
    int64_t precision = 0;
    SN_TRY(sn_ji_defined(c->run, c->self));
    SN_TRY(int_arg(c, 0, 0, &precision));
    const bool ceils = sn_ji_is_text(c->v[1], "ceil"), floors = sn_ji_is_text(c->v[1], "floor");
    if (c->v[1].kind != SN_JI_MISSING && !ceils && !floors && !sn_ji_is_text(c->v[1], "common"))
        return sn_ji_fail(c->run, "method must be common, ceil or floor");
    if (!sn_ji_is_number(c->self))
        return sn_ji_fail(c->run, "type %s doesn't define __round__ method", sn_ji_type(c->self));
    if (!ceils && !floors)
        return c->self.kind == SN_JI_FLOAT ? round_float(c, precision, out) : round_whole(c, precision, out);
    SnJiValue unit, v;
    SN_TRY(sn_ji_math(c->run, SN_JI_OP_POW, sn_ji_int(10), sn_ji_int(precision), &unit));
    SN_TRY(sn_ji_math(c->run, SN_JI_OP_MUL, c->self, unit, &v));
    if (v.kind == SN_JI_FLOAT && !isfinite(v.u.number))
        return sn_ji_fail(c->run, "cannot convert float %s to integer",
                          isnan(v.u.number) ? "NaN" : "infinity");
    if (v.kind == SN_JI_FLOAT)
        SN_TRY(sn_ji_from_float(c->run, ceils ? ceil(v.u.number) : floor(v.u.number), &v));
    return sn_ji_math(c->run, SN_JI_OP_DIV, v, unit, out);
}

/* ---- others ---- */

static SnStatus usual(SnJiCall *c, SnJiValue *out)
{
    const bool is_absent = c->self.kind == SN_JI_UNDEFINED || (sn_ji_truth(c->v[1]) && !sn_ji_truth(c->self));
    *out = !is_absent ? c->self : c->v[0].kind != SN_JI_MISSING ? c->v[0] : sn_ji_literal("");
    return SN_OK;
}

static SnStatus attr(SnJiCall *c, SnJiValue *out)
{
    if (c->v[0].kind != SN_JI_STRING)
        return sn_ji_fail(c->run, "attribute name must be string, not '%s'", sn_ji_type(c->v[0]));
    /* Items do not count. */
    SnJiValue v = c->self;
    if (v.kind == SN_JI_DICT)
        SN_TRY(sn_ji_dict(c->run, SN_JI_DICT, &v));
    SN_TRY(sn_ji_attr(c->run, v, sn_ji_bytes(c->v[0]), out));
    if (out->kind == SN_JI_FUNCTION)
        out->u.bound->self = c->self;
    return SN_OK;
}

static SnStatus to_json(SnJiCall *c, SnJiValue *out)
{
    return sn_ji_to_json(c->run, c->self, c, out);
}

const SnJiRow sn_ji_filters[] = {
    {"abs", absolute, ""},
    {"attr", attr, "name"},
    {"batch", batch, "linecount fill_with?", true},
    {"count", length, ""},
    {"d", usual, "default_value? boolean?"},
    {"default", usual, "default_value? boolean?"},
    {"dictsort", dictsort, "case_sensitive? by? reverse?"},
    {"first", first, ""},
    {"float", to_float, "default?"},
    {"groupby", groupby, "attribute default? case_sensitive?"},
    {"int", to_int, "default? base?"},
    {"items", items, "", true},
    {"last", last, ""},
    {"length", length, ""},
    {"list", list, ""},
    {"map", map, "*", true},
    {"max", min_or_max, "case_sensitive? attribute?"},
    {"min", min_or_max, "case_sensitive? attribute?"},
    {"random", sn_ji_random, ""},
    {"reject", select_items, "*", true},
    {"rejectattr", select_items, "*", true},
    {"reverse", reverse, ""},
    {"round", round_number, "precision? method?"},
    {"select", select_items, "*", true},
    {"selectattr", select_items, "*", true},
    {"slice", slice, "slices fill_with?", true},
    {"sort", sort, "reverse? case_sensitive? attribute?"},
    {"sum", sum, "attribute? start?"},
    {"tojson", to_json, "ensure_ascii? indent? separators? sort_keys?"},
    {"unique", unique, "case_sensitive? attribute?", true},
    {0},
};

const SnJiRow *sn_ji_filter(SnBytes name)
{
    const SnJiRow *row = sn_ji_find(sn_ji_filters, name);
    return row ? row : sn_ji_find(sn_ji_text_filters, name);
}
