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

/* Owned copies of the items, to be permuted. */
static SnStatus list(SnJiCall *c, SnJiValue *out)
{
    SnJiItems in;
    SN_TRY(sn_ji_items(c->run, c->self, &in));
    SN_TRY(sn_ji_list(c->run, SN_JI_LIST, in.n, out));
    for (size_t i = 0; i < in.n; i++)
        SN_TRY(sn_ji_append(c->run, *out, in.at[i]));
    return SN_OK;
}

/* What items are compared by: an attribute of theirs, without case unless that matters. */
static SnStatus key_of(SnJiCall *c, SnJiValue item, SnJiValue attr, bool is_sensitive, SnJiValue *out)
{
    SN_TRY(attr_of(c, item, attr, sn_ji_none, out));
    return fold_case(c, is_sensitive, out);
}

/* ---- order ---- */

/* A list, of one key for each attribute that commas divide. */
static SnStatus sort_key(SnJiCall *c, SnJiValue item, SnJiValue attr, bool is_sensitive, SnJiValue *out)
{
    const bool is_text = attr.kind == SN_JI_STRING;
    const char *p = is_text ? attr.u.text.at : NULL, *end = is_text ? p + attr.u.text.n : NULL;
    SN_TRY(sn_ji_list(c->run, SN_JI_LIST, 1, out));
    for (;;) {
        const char *comma = is_text ? memchr(p, ',', (size_t)(end - p)) : NULL;
        const SnJiValue part = is_text ? sn_ji_text_value(p, (size_t)((comma ? comma : end) - p)) : attr;
        SnJiValue key;
        SN_TRY(key_of(c, item, part, is_sensitive, &key));
        SN_TRY(sn_ji_append(c->run, *out, key));
        if (!comma)
            return SN_OK;
        p = comma + 1;
    }
}

static SnStatus sort(SnJiCall *c, SnJiValue *out)
{
    SnJiValue keys, key;
    SN_TRY(list(c, out));
    SN_TRY(sn_ji_list(c->run, SN_JI_LIST, out->u.list->n, &keys));
    for (size_t i = 0; i < out->u.list->n; i++) {
        SN_TRY(sort_key(c, out->u.list->at[i], c->v[2], sn_ji_truth(c->v[1]), &key));
        SN_TRY(sn_ji_append(c->run, keys, key));
    }
    return sn_ji_sort(c->run, keys.u.list->at, out->u.list->at, out->u.list->n, sn_ji_truth(c->v[0]));
}

/* Pairs of a dict's keys and values. */
static SnStatus pairs_of(SnJiCall *c, SnJiValue *out)
{
    const size_t n = c->self.kind == SN_JI_DICT ? c->self.u.dict->n : 0;
    SN_TRY(sn_ji_list(c->run, SN_JI_LIST, n, out));
    for (size_t i = 0; i < n; i++) {
        SnJiValue pair;
        SN_TRY(sn_ji_pair(c->run, c->self.u.dict->at[i].key, c->self.u.dict->at[i].value, &pair));
        SN_TRY(sn_ji_append(c->run, *out, pair));
    }
    return SN_OK;
}

static SnStatus dictsort(SnJiCall *c, SnJiValue *out)
{
    const bool by_value = sn_ji_is_text(c->v[1], "value");
    SnJiValue keys;
    if (c->v[1].kind != SN_JI_MISSING && !by_value && !sn_ji_is_text(c->v[1], "key"))
        return sn_ji_fail(c->run, "You can only sort by either \"key\" or \"value\"");
    SN_TRY(sn_ji_defined(c->run, c->self));
    if (c->self.kind != SN_JI_DICT)
        return sn_ji_fail(c->run, "'%s' object has no attribute 'items'", sn_ji_type(c->self));
    const SnJiDict *d = c->self.u.dict;
    SN_TRY(pairs_of(c, out));
    SN_TRY(sn_ji_list(c->run, SN_JI_LIST, d->n, &keys));
    for (size_t i = 0; i < d->n; i++) {
        SnJiValue key = by_value ? d->at[i].value : d->at[i].key;
        SN_TRY(fold_case(c, sn_ji_truth(c->v[0]), &key));
        SN_TRY(sn_ji_append(c->run, keys, key));
    }
    return sn_ji_sort(c->run, keys.u.list->at, out->u.list->at, d->n, sn_ji_truth(c->v[2]));
}

static SnStatus min_or_max(SnJiCall *c, SnJiValue *out)
{
    SnJiValue best = sn_ji_none, key;
    SnJiItems in;
    SN_TRY(sn_ji_items(c->run, c->self, &in));
    if (in.n == 0)
        return sn_ji_undefined(c->run, out, "No aggregated item, sequence was empty.");
    for (size_t i = 0; i < in.n; i++) {
        bool is_better = i == 0;
        SN_TRY(key_of(c, in.at[i], c->v[1], sn_ji_truth(c->v[0]), &key));
        if (i)
            SN_TRY(sn_ji_order(c->run, (SnJiOp)c->row->how, key, best, &is_better));
        if (is_better) {
            best = key;
            *out = in.at[i];
        }
    }
    return SN_OK;
}

static SnStatus unique(SnJiCall *c, SnJiValue *out)
{
    SnJiValue seen, first, key;
    SnJiItems in;
    SN_TRY(sn_ji_items(c->run, c->self, &in));
    SN_TRY(sn_ji_dict(c->run, SN_JI_DICT, &seen));
    SN_TRY(sn_ji_list(c->run, SN_JI_LIST, 0, &first));
    for (size_t i = 0; i < in.n; i++) {
        SnJiPair *pair = NULL;
        SN_TRY(key_of(c, in.at[i], c->v[1], sn_ji_truth(c->v[0]), &key));
        SN_TRY(sn_ji_dict_find(c->run, seen.u.dict, key, &pair));
        if (pair)
            continue;
        SN_TRY(sn_ji_dict_set(c->run, seen.u.dict, key, sn_ji_none));
        SN_TRY(sn_ji_append(c->run, first, in.at[i]));
    }
    return sn_ji_iter(c->run, "generator", first, out);
}

static SnStatus groupby(SnJiCall *c, SnJiValue *out)
{
    const bool is_sensitive = sn_ji_truth(c->v[2]);
    SnJiValue items, keys, key, group = sn_ji_none, part = sn_ji_none, last = sn_ji_none;
    SN_TRY(list(c, &items));
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
            SN_TRY(sn_ji_list(c->run, SN_JI_LIST, 0, &part));
            SN_TRY(attr_of(c, items.u.list->at[i], c->v[0], c->v[1], &key));
            SN_TRY(sn_ji_pair(c->run, key, part, &group));
            group.u.list->type = "group";
            SN_TRY(sn_ji_append(c->run, *out, group));
        }
        SN_TRY(sn_ji_append(c->run, part, items.u.list->at[i]));
    }
    return SN_OK;
}

static SnStatus reverse(SnJiCall *c, SnJiValue *out)
{
    if (c->self.kind == SN_JI_STRING)
        return sn_ji_slice_text(c->run, c->self, (int64_t)c->self.u.text.count - 1, c->self.u.text.count, -1,
                                out);
    if (!sn_ji_is_iterable(c->self))
        return sn_ji_fail(c->run, "argument must be iterable");
    SN_TRY(list(c, out));
    sn_ji_reverse(out->u.list->at, out->u.list->n);
    return c->self.kind == SN_JI_ITER ? SN_OK : sn_ji_iter(c->run, "list_reverseiterator", *out, out);
}

/* ---- parts ---- */

static SnStatus first(SnJiCall *c, SnJiValue *out)
{
    SnJiItems in;
    if (c->self.kind == SN_JI_ITER && c->self.u.iter->pos < c->self.u.iter->n) {
        *out = c->self.u.iter->at[c->self.u.iter->pos++];
        return SN_OK;
    }
    SN_TRY(sn_ji_items(c->run, c->self, &in));
    if (in.n == 0)
        return sn_ji_undefined(c->run, out, "No first item, sequence was empty.");
    *out = in.at[0];
    return SN_OK;
}

static SnStatus last(SnJiCall *c, SnJiValue *out)
{
    SnJiItems in;
    if (c->self.kind == SN_JI_ITER || !sn_ji_is_iterable(c->self))
        return sn_ji_fail(c->run, "'%s' object is not reversible", sn_ji_type(c->self));
    SN_TRY(sn_ji_items(c->run, c->self, &in));
    if (in.n == 0)
        return sn_ji_undefined(c->run, out, "No last item, sequence was empty.");
    *out = in.at[in.n - 1];
    return SN_OK;
}

static SnStatus length(SnJiCall *c, SnJiValue *out)
{
    size_t n = 0;
    SN_TRY(sn_ji_length(c->run, c->self, &n));
    *out = sn_ji_int((int64_t)n);
    return SN_OK;
}

static SnStatus items(SnJiCall *c, SnJiValue *out)
{
    if (c->self.kind != SN_JI_UNDEFINED && c->self.kind != SN_JI_DICT)
        return sn_ji_fail(c->run, "Can only get item pairs from a mapping.");
    SN_TRY(pairs_of(c, out));
    return sn_ji_iter(c->run, "generator", *out, out);
}

static SnStatus batch(SnJiCall *c, SnJiValue *out)
{
    const int64_t width = c->v[0].u.integer;
    SnJiValue all, line = sn_ji_none;
    SnJiItems in;
    SN_TRY(sn_ji_items(c->run, c->self, &in));
    SN_TRY(sn_ji_list(c->run, SN_JI_LIST, 0, &all));
    SN_TRY(sn_ji_list(c->run, SN_JI_LIST, 0, &line));
    for (size_t i = 0; i < in.n; i++) {
        if ((int64_t)line.u.list->n == width) {
            SN_TRY(sn_ji_append(c->run, all, line));
            SN_TRY(sn_ji_list(c->run, SN_JI_LIST, 0, &line));
        }
        SN_TRY(sn_ji_append(c->run, line, in.at[i]));
    }
    if (in.n)
        SN_TRY(sn_ji_append(c->run, all, line));
    while (in.n && c->v[1].kind > SN_JI_NONE && (int64_t)line.u.list->n < width)
        SN_TRY(sn_ji_append(c->run, line, c->v[1]));
    return sn_ji_iter(c->run, "generator", all, out);
}

static SnStatus slice(SnJiCall *c, SnJiValue *out)
{
    const int64_t parts = c->v[0].u.integer;
    SnJiValue all, part;
    SnJiItems in;
    size_t next = 0;
    SN_TRY(sn_ji_items(c->run, c->self, &in));
    if (parts == 0)
        return sn_ji_fail(c->run, "integer division or modulo by zero");
    SN_TRY(sn_ji_list(c->run, SN_JI_LIST, 0, &all));
    for (int64_t i = 0; i < parts; i++) {
        const bool has_extra = i < (int64_t)in.n % parts;
        SN_TRY(sn_ji_list(c->run, SN_JI_LIST, 0, &part));
        for (int64_t k = 0; k < (int64_t)in.n / parts + has_extra; k++)
            SN_TRY(sn_ji_append(c->run, part, in.at[next++]));
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
    SnJiValue all, v;
    SnJiItems in = {0};
    SnError *late = NULL;
    if (sn_ji_truth(c->self))
        SN_TRY(sn_ji_items(c->run, c->self, &in));
    SN_TRY(sn_ji_list(c->run, SN_JI_LIST, in.n, &all));
    for (size_t i = 0; i < in.n && !late; i++) {
        bool is_kept = true;
        const SnJiState state = sn_ji_state(c->run);
        SN_TRY(sn_ji_late(c->run, fn(c, row, in.at[i], rest, &v, &is_kept), &state, &late));
        if (!late && is_kept)
            SN_TRY(sn_ji_append(c->run, all, v));
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

enum { BY_ATTR = 1, REJECTS = 2 };

static SnStatus pick(SnJiCall *c, const SnJiRow *row, SnJiValue item, const SnJiArgs *rest, SnJiValue *out,
                     bool *is_kept)
{
    SnJiValue v = item, test;
    if (c->row->how & BY_ATTR)
        SN_TRY(attr_of(c, item, c->args.at[0], sn_ji_none, &v));
    test = v;
    if (row)
        SN_TRY(sn_ji_call_row(c->run, row, v, rest, &test));
    *is_kept = sn_ji_truth(test) != !!(c->row->how & REJECTS);
    *out = item;
    return SN_OK;
}

static SnStatus select_items(SnJiCall *c, SnJiValue *out)
{
    const size_t skip = c->row->how & BY_ATTR ? 1 : 0;
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
    SnJiValue v;
    SnJiItems in;
    SN_TRY(sn_ji_items(c->run, c->self, &in));
    *out = c->v[1].kind != SN_JI_MISSING ? c->v[1] : sn_ji_int(0);
    if (out->kind == SN_JI_STRING)
        return sn_ji_fail(c->run, "sum() can't sum strings [use ''.join(seq) instead]");
    for (size_t i = 0; i < in.n; i++) {
        SN_TRY(attr_of(c, in.at[i], c->v[0], sn_ji_none, &v));
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
    const int64_t base = c->v[1].u.integer;
    double d = (double)NAN;
    SnJiValue v;
    SN_TRY(sn_ji_defined(c->run, c->self));
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
    SnJiValue digits;
    *out = c->self;
    if (precision > 300 || !isfinite(c->self.u.number))
        return SN_OK;
    if (precision < 0) {
        const double unit = pow(10, precision < -308 ? 308.0 : (double)-precision);
        *out = sn_ji_float(nearbyint(c->self.u.number / unit) * unit);
        return SN_OK;
    }
    double v = 0;
    const SnJiMark outer = sn_ji_begin(c->run);
    SN_TRY(sn_ji_format_number(c->run, fabs(c->self.u.number), 'f', (int)precision, false));
    SN_TRY(sn_ji_take(c->run, outer, &digits));
    if (!sn_parse_f64(sn_ji_bytes(digits), &v))
        return sn_ji_fail(c->run, "cannot round");
    *out = sn_ji_float(copysign(v, c->self.u.number));
    return SN_OK;
}

static SnStatus round_number(SnJiCall *c, SnJiValue *out)
{
    const int64_t precision = c->v[0].u.integer;
    SN_TRY(sn_ji_defined(c->run, c->self));
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
    /* Items do not count. */
    SnJiValue v = c->self;
    if (v.kind == SN_JI_DICT)
        SN_TRY(sn_ji_dict(c->run, SN_JI_DICT, &v));
    SN_TRY(sn_ji_attr(c->run, v, sn_ji_bytes(c->v[0]), out));
    if (out->kind == SN_JI_FUNCTION)
        out->u.bound->self = c->self;
    return SN_OK;
}

const SnJiRow sn_ji_filters[] = {
    {"abs", absolute, ""},
    {"attr", attr, "name:s"},
    {"batch", batch, "linecount:i fill_with?", 0, true},
    {"count", length, ""},
    {"d", usual, "default_value? boolean?"},
    {"default", usual, "default_value? boolean?"},
    {"dictsort", dictsort, "case_sensitive? by? reverse?"},
    {"first", first, ""},
    {"float", to_float, "default?"},
    {"groupby", groupby, "attribute default? case_sensitive?"},
    {"int", to_int, "default? base:i=10"},
    {"items", items, "", 0, true},
    {"last", last, ""},
    {"length", length, ""},
    {"list", list, ""},
    {"map", map, "*", 0, true},
    {"max", min_or_max, "case_sensitive? attribute?", SN_JI_OP_GT},
    {"min", min_or_max, "case_sensitive? attribute?", SN_JI_OP_LT},
    {"random", sn_ji_random, ""},
    {"reject", select_items, "*", REJECTS, true},
    {"rejectattr", select_items, "*", REJECTS | BY_ATTR, true},
    {"reverse", reverse, ""},
    {"round", round_number, "precision:i=0 method?"},
    {"select", select_items, "*", 0, true},
    {"selectattr", select_items, "*", BY_ATTR, true},
    {"slice", slice, "slices:i fill_with?", 0, true},
    {"sort", sort, "reverse? case_sensitive? attribute?"},
    {"sum", sum, "attribute? start?"},
    {"tojson", sn_ji_to_json, "ensure_ascii? indent? separators? sort_keys?"},
    {"unique", unique, "case_sensitive? attribute?", 0, true},
    {0},
};

const SnJiRow *sn_ji_filter(SnBytes name)
{
    const SnJiRow *row = sn_ji_find(sn_ji_filters, name);
    return row ? row : sn_ji_find(sn_ji_text_filters, name);
}
