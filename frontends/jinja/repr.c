/* repr.c -- str() and repr() of values. */
#include "frontends/jinja/run.h"

#include <stdio.h>

static void put_escaped(SnJiRun *r, SnText *t, uint32_t cp)
{
    char text[16];
    const int n = cp == '\n'     ? snprintf(text, sizeof text, "\\n")
                  : cp == '\r'   ? snprintf(text, sizeof text, "\\r")
                  : cp == '\t'   ? snprintf(text, sizeof text, "\\t")
                  : cp < 0x100   ? snprintf(text, sizeof text, "\\x%02x", cp)
                  : cp < 0x10000 ? snprintf(text, sizeof text, "\\u%04x", cp)
                                 : snprintf(text, sizeof text, "\\U%08x", cp);
    sn_ji_add(r, t, text, (size_t)n);
}

static void put_quoted(SnJiRun *r, SnText *t, SnJiText s)
{
    const char quote = memchr(s.at, '\'', s.n) && !memchr(s.at, '"', s.n) ? '"' : '\'';
    sn_ji_add(r, t, &quote, 1);
    for (const char *p = s.at, *end = s.at + s.n; p < end;) {
        const char *begin = p;
        const uint32_t cp = sn_ji_next_code(&p);
        if (cp == (uint8_t)quote || cp == '\\')
            sn_ji_add(r, t, "\\", 1);
        if (sn_ji_code_flags(cp) & SN_JI_PRINTABLE)
            sn_ji_add(r, t, begin, (size_t)(p - begin));
        else
            put_escaped(r, t, cp);
    }
    sn_ji_add(r, t, &quote, 1);
}

static void put_literal(SnJiRun *r, SnText *t, const char *s)
{
    sn_ji_add(r, t, s, strlen(s));
}

static SnStatus put_list(SnJiRun *r, SnText *t, const SnJiList *list, const char *open, const char *close)
{
    put_literal(r, t, open);
    for (size_t i = 0; i < list->n; i++) {
        if (i)
            put_literal(r, t, ", ");
        SN_TRY(sn_ji_put_repr(r, t, list->at[i]));
    }
    put_literal(r, t, close);
    return SN_OK;
}

static SnStatus put_dict(SnJiRun *r, SnText *t, const SnJiDict *d)
{
    put_literal(r, t, "{");
    for (size_t i = 0; i < d->n; i++) {
        if (i)
            put_literal(r, t, ", ");
        SN_TRY(sn_ji_put_repr(r, t, d->at[i].key));
        put_literal(r, t, ": ");
        SN_TRY(sn_ji_put_repr(r, t, d->at[i].value));
    }
    put_literal(r, t, "}");
    return SN_OK;
}

static void put_int(SnJiRun *r, SnText *t, int64_t v)
{
    char text[32];
    sn_ji_add(r, t, text, (size_t)snprintf(text, sizeof text, "%lld", (long long)v));
}

static void put_range(SnJiRun *r, SnText *t, const SnJiRange *g)
{
    put_literal(r, t, "range(");
    put_int(r, t, g->start);
    put_literal(r, t, ", ");
    put_int(r, t, g->stop);
    if (g->step != 1) {
        put_literal(r, t, ", ");
        put_int(r, t, g->step);
    }
    put_literal(r, t, ")");
}

/* What Python shows with an address is shown without one. */
static void put_object(SnJiRun *r, SnText *t, SnJiValue v)
{
    put_literal(r, t, "<");
    put_literal(r, t, sn_ji_type(v));
    if (v.kind == SN_JI_MACRO && v.u.macro->name) {
        put_literal(r, t, " ");
        put_quoted(r, t, sn_ji_literal(v.u.macro->name).u.text);
    } else if (v.kind == SN_JI_FUNCTION) {
        put_literal(r, t, " ");
        put_literal(r, t, v.u.bound->row->name);
    } else {
        put_literal(r, t, v.kind == SN_JI_MACRO ? " anonymous" : " object");
    }
    put_literal(r, t, ">");
}

static SnStatus put_loop(SnJiRun *r, SnText *t, SnJiValue v)
{
    size_t n = 0;
    put_literal(r, t, "<LoopContext ");
    put_int(r, t, v.u.loop->index0 + 1);
    put_literal(r, t, "/");
    SN_TRY(sn_ji_length(r, v, &n));
    put_int(r, t, (int64_t)n);
    put_literal(r, t, ">");
    return SN_OK;
}

static SnStatus put_deep(SnJiRun *r, SnText *t, SnJiValue v)
{
    switch ((SnJiKind)v.kind) {
    case SN_JI_LIST:
        return put_list(r, t, v.u.list, "[", "]");
    case SN_JI_TUPLE:
        return put_list(r, t, v.u.list, "(", v.u.list->n == 1 ? ",)" : ")");
    case SN_JI_VIEW:
        put_literal(r, t, v.u.list->type);
        return put_list(r, t, v.u.list, "([", "])");
    case SN_JI_DICT:
        return put_dict(r, t, v.u.dict);
    case SN_JI_NAMESPACE:
        put_literal(r, t, "<Namespace ");
        SN_TRY(put_dict(r, t, v.u.dict));
        put_literal(r, t, ">");
        return SN_OK;
    case SN_JI_LOOP:
        return put_loop(r, t, v);
    default:
        put_object(r, t, v);
        return SN_OK;
    }
}

SnStatus sn_ji_put_repr(SnJiRun *r, SnText *t, SnJiValue v)
{
    switch ((SnJiKind)v.kind) {
    case SN_JI_UNDEFINED:
        put_literal(r, t, "Undefined");
        return SN_OK;
    case SN_JI_NONE:
        put_literal(r, t, "None");
        return SN_OK;
    case SN_JI_BOOL:
        put_literal(r, t, v.u.boolean ? "True" : "False");
        return SN_OK;
    case SN_JI_INT:
        put_int(r, t, v.u.integer);
        return SN_OK;
    case SN_JI_BIG:
        sn_ji_add(r, t, "-", v.u.big->is_negative);
        return sn_ji_put_digits(r, v, 10, t);
    case SN_JI_FLOAT:
        sn_ji_put_float(r, t, v.u.number);
        return SN_OK;
    case SN_JI_STRING:
        if (v.is_safe)
            put_literal(r, t, "Markup(");
        put_quoted(r, t, v.u.text);
        if (v.is_safe)
            put_literal(r, t, ")");
        return sn_ji_spend(r, 1 + v.u.text.n / 16);
    case SN_JI_RANGE:
        put_range(r, t, v.u.range);
        return SN_OK;
    default:
        SN_TRY(sn_ji_down(r));
        SN_TRY(put_deep(r, t, v));
        r->depth--;
        return SN_OK;
    }
}

SnStatus sn_ji_put(SnJiRun *r, SnText *t, SnJiValue v)
{
    if (v.kind == SN_JI_UNDEFINED)
        return SN_OK;
    if (v.kind != SN_JI_STRING)
        return sn_ji_put_repr(r, t, v);
    sn_ji_add(r, t, v.u.text.at, v.u.text.n);
    return sn_ji_spend(r, v.u.text.n / 64);
}

SnStatus sn_ji_str(SnJiRun *r, SnJiValue v, SnJiValue *out)
{
    if (v.kind == SN_JI_STRING) {
        *out = v;
        return SN_OK;
    }
    SnText t = {.memory = r->memory};
    const SnStatus st = sn_ji_put(r, &t, v);
    if (st == SN_OK)
        return sn_ji_take(r, &t, out);
    sn_text_clear(&t);
    return st;
}
