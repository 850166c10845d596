/* repr.c -- str() and repr() of values. */
#include "frontends/jinja/run.h"

#include <stdio.h>

static void put_escaped(SnJiRun *r, uint32_t cp)
{
    char text[16];
    const int n = cp == '\n'     ? snprintf(text, sizeof text, "\\n")
                  : cp == '\r'   ? snprintf(text, sizeof text, "\\r")
                  : cp == '\t'   ? snprintf(text, sizeof text, "\\t")
                  : cp < 0x100   ? snprintf(text, sizeof text, "\\x%02x", cp)
                  : cp < 0x10000 ? snprintf(text, sizeof text, "\\u%04x", cp)
                                 : snprintf(text, sizeof text, "\\U%08x", cp);
    sn_ji_add(r, text, (size_t)n);
}

static void put_quoted(SnJiRun *r, SnJiText s)
{
    const char quote = memchr(s.at, '\'', s.n) && !memchr(s.at, '"', s.n) ? '"' : '\'';
    sn_ji_add(r, &quote, 1);
    for (const char *p = s.at, *end = s.at + s.n; p < end;) {
        const char *begin = p;
        const uint32_t cp = sn_ji_next_code(&p);
        if (cp == (uint8_t)quote || cp == '\\')
            sn_ji_add(r, "\\", 1);
        if (sn_ji_code_flags(cp) & SN_JI_PRINTABLE)
            sn_ji_add(r, begin, (size_t)(p - begin));
        else
            put_escaped(r, cp);
    }
    sn_ji_add(r, &quote, 1);
}

static SnStatus put_list(SnJiRun *r, const SnJiList *list, const char *open, const char *close)
{
    sn_ji_say(r, open);
    for (size_t i = 0; i < list->n; i++) {
        if (i)
            sn_ji_say(r, ", ");
        SN_TRY(sn_ji_put_repr(r, list->at[i]));
    }
    sn_ji_say(r, close);
    return SN_OK;
}

static SnStatus put_dict(SnJiRun *r, const SnJiDict *d)
{
    sn_ji_say(r, "{");
    for (size_t i = 0; i < d->n; i++) {
        if (i)
            sn_ji_say(r, ", ");
        SN_TRY(sn_ji_put_repr(r, d->at[i].key));
        sn_ji_say(r, ": ");
        SN_TRY(sn_ji_put_repr(r, d->at[i].value));
    }
    sn_ji_say(r, "}");
    return SN_OK;
}

static void put_int(SnJiRun *r, int64_t v)
{
    char text[32];
    sn_ji_add(r, text, (size_t)snprintf(text, sizeof text, "%lld", (long long)v));
}

static void put_range(SnJiRun *r, const SnJiRange *g)
{
    sn_ji_say(r, "range(");
    put_int(r, g->start);
    sn_ji_say(r, ", ");
    put_int(r, g->stop);
    if (g->step != 1) {
        sn_ji_say(r, ", ");
        put_int(r, g->step);
    }
    sn_ji_say(r, ")");
}

/* What Python shows with an address is shown without one. */
static void put_object(SnJiRun *r, SnJiValue v)
{
    sn_ji_say(r, "<");
    sn_ji_say(r, sn_ji_type(v));
    if (v.kind == SN_JI_MACRO && v.u.macro->name) {
        sn_ji_say(r, " ");
        put_quoted(r, sn_ji_literal(v.u.macro->name).u.text);
    } else if (v.kind == SN_JI_FUNCTION) {
        sn_ji_say(r, " ");
        sn_ji_say(r, v.u.bound->row->name);
    } else {
        sn_ji_say(r, v.kind == SN_JI_MACRO ? " anonymous" : " object");
    }
    sn_ji_say(r, ">");
}

static SnStatus put_loop(SnJiRun *r, SnJiValue v)
{
    size_t n = 0;
    sn_ji_say(r, "<LoopContext ");
    put_int(r, v.u.loop->index0 + 1);
    sn_ji_say(r, "/");
    SN_TRY(sn_ji_length(r, v, &n));
    put_int(r, (int64_t)n);
    sn_ji_say(r, ">");
    return SN_OK;
}

static SnStatus put_deep(SnJiRun *r, SnJiValue v)
{
    switch ((SnJiKind)v.kind) {
    case SN_JI_LIST:
        return put_list(r, v.u.list, "[", "]");
    case SN_JI_TUPLE:
        return put_list(r, v.u.list, "(", v.u.list->n == 1 ? ",)" : ")");
    case SN_JI_VIEW:
        sn_ji_say(r, v.u.list->type);
        return put_list(r, v.u.list, "([", "])");
    case SN_JI_DICT:
        return put_dict(r, v.u.dict);
    case SN_JI_NAMESPACE:
        sn_ji_say(r, "<Namespace ");
        SN_TRY(put_dict(r, v.u.dict));
        sn_ji_say(r, ">");
        return SN_OK;
    case SN_JI_LOOP:
        return put_loop(r, v);
    default:
        put_object(r, v);
        return SN_OK;
    }
}

SnStatus sn_ji_put_repr(SnJiRun *r, SnJiValue v)
{
    switch ((SnJiKind)v.kind) {
    case SN_JI_UNDEFINED:
        sn_ji_say(r, "Undefined");
        return SN_OK;
    case SN_JI_NONE:
        sn_ji_say(r, "None");
        return SN_OK;
    case SN_JI_BOOL:
        sn_ji_say(r, v.u.boolean ? "True" : "False");
        return SN_OK;
    case SN_JI_INT:
        put_int(r, v.u.integer);
        return SN_OK;
    case SN_JI_BIG:
        sn_ji_add(r, "-", v.u.big->is_negative);
        return sn_ji_put_digits(r, v, 10);
    case SN_JI_FLOAT:
        sn_ji_put_float(r, v.u.number);
        return SN_OK;
    case SN_JI_STRING:
        if (v.is_safe)
            sn_ji_say(r, "Markup(");
        put_quoted(r, v.u.text);
        if (v.is_safe)
            sn_ji_say(r, ")");
        return sn_ji_spend(r, 1 + v.u.text.n / 16);
    case SN_JI_RANGE:
        put_range(r, v.u.range);
        return SN_OK;
    default:
        SN_TRY(sn_ji_down(r));
        SN_TRY(put_deep(r, v));
        r->depth--;
        return SN_OK;
    }
}

SnStatus sn_ji_put(SnJiRun *r, SnJiValue v)
{
    if (v.kind == SN_JI_UNDEFINED)
        return SN_OK;
    if (v.kind != SN_JI_STRING)
        return sn_ji_put_repr(r, v);
    sn_ji_add(r, v.u.text.at, v.u.text.n);
    return sn_ji_spend(r, v.u.text.n / 64);
}

SnStatus sn_ji_str(SnJiRun *r, SnJiValue v, SnJiValue *out)
{
    if (v.kind == SN_JI_STRING) {
        *out = v;
        return SN_OK;
    }
    const SnJiMark outer = sn_ji_begin(r);
    SN_TRY(sn_ji_put(r, v));
    return sn_ji_take(r, outer, out);
}

SnStatus sn_ji_repr(SnJiRun *r, SnJiValue v, SnJiValue *out)
{
    const SnJiMark outer = sn_ji_begin(r);
    SN_TRY(sn_ji_put_repr(r, v));
    return sn_ji_take(r, outer, out);
}
