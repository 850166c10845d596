/* json.c -- tojson: json.dumps of Python with its separators, indent and order of keys. */
#include "frontends/jinja/run.h"

#include <stdio.h>

typedef struct Writer {
    SnJiRun *r;
    SnJiText between, after_key, indent;
    bool is_ascii, is_indented, is_sorted;
} Writer;

static SnStatus put_value(Writer *w, SnJiValue v, uint32_t level);

static void put_ascii(Writer *w, SnJiText s)
{
    char text[16];
    for (const char *p = s.at; p < s.at + s.n;) {
        const uint32_t cp = sn_ji_next_code(&p), low = cp - 0x10000;
        if (cp < 0x7F)
            sn_ji_add(w->r, p - 1, 1);
        else if (cp < 0x10000)
            sn_ji_add(w->r, text, (size_t)snprintf(text, sizeof text, "\\u%04x", cp));
        else
            sn_ji_add(w->r, text,
                      (size_t)snprintf(text, sizeof text, "\\u%04x\\u%04x", 0xD800 | low >> 10,
                                       0xDC00 | (low & 0x3FF)));
    }
}

static SnStatus put_string(Writer *w, SnJiText s)
{
    const SnJiMark outer = sn_ji_begin(w->r);
    SnJiValue quoted;
    sn_json_put_string(w->r->text, sn_bytes(s.at, s.n));
    SN_TRY(sn_ji_take(w->r, outer, &quoted));
    if (w->is_ascii)
        put_ascii(w, quoted.u.text);
    else
        sn_ji_add(w->r, quoted.u.text.at, quoted.u.text.n);
    return sn_ji_spend(w->r, 1 + s.n / 16);
}

/* Numbers and constants, as values and as keys. */
static SnStatus put_scalar(Writer *w, SnJiValue v)
{
    if (v.kind == SN_JI_NONE)
        sn_ji_say(w->r, "null");
    else if (v.kind == SN_JI_BOOL)
        sn_ji_say(w->r, v.u.boolean ? "true" : "false");
    else if (v.kind == SN_JI_FLOAT && v.u.number - v.u.number != 0)
        sn_ji_say(w->r, v.u.number > 0 ? "Infinity" : v.u.number < 0 ? "-Infinity" : "NaN");
    else
        return sn_ji_put(w->r, v);
    return SN_OK;
}

static void put_line(Writer *w, uint32_t level)
{
    if (!w->is_indented)
        return;
    sn_ji_say(w->r, "\n");
    sn_ji_fill(w->r, w->indent.at, w->indent.n, level);
}

static SnStatus put_key(Writer *w, SnJiValue key)
{
    if (key.kind == SN_JI_STRING)
        return put_string(w, key.u.text);
    if (key.kind != SN_JI_NONE && !sn_ji_is_number(key))
        return sn_ji_fail(w->r, "keys must be str, int, float, bool or None, not %s", sn_ji_type(key));
    sn_ji_say(w->r, "\"");
    SN_TRY(put_scalar(w, key));
    sn_ji_say(w->r, "\"");
    return SN_OK;
}

static SnStatus put_dict(Writer *w, const SnJiDict *d, uint32_t level)
{
    SnJiValue keys, values;
    SN_TRY(sn_ji_list(w->r, SN_JI_LIST, d->n, &keys));
    SN_TRY(sn_ji_list(w->r, SN_JI_LIST, d->n, &values));
    for (size_t i = 0; i < d->n; i++) {
        SN_TRY(sn_ji_append(w->r, keys, d->at[i].key));
        SN_TRY(sn_ji_append(w->r, values, d->at[i].value));
    }
    if (w->is_sorted)
        SN_TRY(sn_ji_sort(w->r, keys.u.list->at, values.u.list->at, d->n, false));
    sn_ji_say(w->r, "{");
    for (size_t i = 0; i < d->n; i++) {
        if (i)
            sn_ji_add(w->r, w->between.at, w->between.n);
        put_line(w, level + 1);
        SN_TRY(put_key(w, keys.u.list->at[i]));
        sn_ji_add(w->r, w->after_key.at, w->after_key.n);
        SN_TRY(put_value(w, values.u.list->at[i], level + 1));
    }
    if (d->n)
        put_line(w, level);
    sn_ji_say(w->r, "}");
    return SN_OK;
}

static SnStatus put_list(Writer *w, const SnJiList *list, uint32_t level)
{
    sn_ji_say(w->r, "[");
    for (size_t i = 0; i < list->n; i++) {
        if (i)
            sn_ji_add(w->r, w->between.at, w->between.n);
        put_line(w, level + 1);
        SN_TRY(put_value(w, list->at[i], level + 1));
    }
    if (list->n)
        put_line(w, level);
    sn_ji_say(w->r, "]");
    return SN_OK;
}

static SnStatus put_value(Writer *w, SnJiValue v, uint32_t level)
{
    if (v.kind == SN_JI_STRING)
        return put_string(w, v.u.text);
    if (v.kind == SN_JI_NONE || sn_ji_is_number(v))
        return put_scalar(w, v);
    if (v.kind != SN_JI_DICT && v.kind != SN_JI_LIST && v.kind != SN_JI_TUPLE)
        return sn_ji_fail(w->r, "Object of type %s is not JSON serializable", sn_ji_type(v));
    SN_TRY(sn_ji_down(w->r));
    SN_TRY(v.kind == SN_JI_DICT ? put_dict(w, v.u.dict, level) : put_list(w, v.u.list, level));
    w->r->depth--;
    return SN_OK;
}

static SnStatus read_options(Writer *w, SnJiCall *c)
{
    const SnJiValue indent = c->v[1], separators = c->v[2];
    w->is_ascii = sn_ji_truth(c->v[0]);
    w->is_indented = indent.kind > SN_JI_NONE;
    w->is_sorted = sn_ji_truth(c->v[3]);
    w->between = sn_ji_literal(w->is_indented ? "," : ", ").u.text;
    w->after_key = sn_ji_literal(": ").u.text;
    if (indent.kind == SN_JI_STRING) {
        w->indent = indent.u.text;
    } else if (w->is_indented) {
        SnJiValue blanks;
        if (!sn_ji_is_int(indent))
            return sn_ji_fail(c->run, "can't multiply sequence by non-int of type '%s'", sn_ji_type(indent));
        SN_TRY(sn_ji_math(c->run, SN_JI_OP_MUL, sn_ji_literal(" "), indent, &blanks));
        w->indent = blanks.u.text;
    }
    if (separators.kind <= SN_JI_NONE)
        return SN_OK;
    SnJiItems two;
    SN_TRY(sn_ji_items(c->run, separators, &two));
    if (two.n != 2 || two.at[0].kind != SN_JI_STRING || two.at[1].kind != SN_JI_STRING)
        return sn_ji_fail(c->run, "tojson: separators are two strings");
    w->between = two.at[0].u.text;
    w->after_key = two.at[1].u.text;
    return SN_OK;
}

SnStatus sn_ji_to_json(SnJiCall *c, SnJiValue *out)
{
    Writer w = {.r = c->run};
    const SnJiMark outer = sn_ji_begin(c->run);
    SN_TRY(read_options(&w, c));
    SN_TRY(put_value(&w, c->self, 0));
    return sn_ji_take(c->run, outer, out);
}
