/* text_filters.c -- filters of text. */
#include "frontends/jinja/run.h"

#include <math.h>
#include <stdio.h>

/* str(self); Markup stays what it is. */
static SnStatus soft_text(SnJiCall *c, SnJiText *s)
{
    SnJiValue v;
    SN_TRY(sn_ji_str(c->run, c->self, &v));
    c->self = v;
    *s = v.u.text;
    return sn_ji_spend(c->run, s->n / 16);
}

/* self, which must be text. */
static SnStatus need_text(SnJiCall *c)
{
    SN_TRY(sn_ji_defined(c->run, c->self));
    return c->self.kind == SN_JI_STRING
               ? SN_OK
               : sn_ji_fail(c->run, "%s: expected a string, not %s", c->row->name, sn_ji_type(c->self));
}

static SnStatus int_arg(SnJiCall *c, int i, int64_t usual, int64_t *out)
{
    *out = usual;
    if (c->v[i].kind == SN_JI_MISSING || c->v[i].kind == SN_JI_NONE)
        return SN_OK;
    if (!sn_ji_is_int(c->v[i]))
        return sn_ji_fail(c->run, "'%s' object cannot be interpreted as an integer", sn_ji_type(c->v[i]));
    *out = sn_ji_integer(c->v[i]);
    return SN_OK;
}

/* ---- as methods of str ---- */

static SnStatus by_method(SnJiCall *c, SnJiValue *out)
{
    SnJiText s;
    const char *name = strcmp(c->row->name, "trim") == 0 ? "strip" : c->row->name;
    SnJiArgs args = {c->v, c->v[0].kind != SN_JI_MISSING, NULL, 0};
    const SnJiValue width = sn_ji_int(80);
    SN_TRY(soft_text(c, &s));
    if (strcmp(name, "center") == 0 && args.n == 0)
        args = (SnJiArgs){&width, 1, NULL, 0};
    return sn_ji_call_row(c->run, sn_ji_method(SN_JI_STRING, sn_bytes_str(name)), c->self, &args, out);
}

/* A word begins after blanks and opening signs only. */
static SnStatus title(SnJiCall *c, SnJiValue *out)
{
    SnJiText s;
    SnText t = {.memory = c->run->memory};
    bool was_sign = true;
    SN_TRY(soft_text(c, &s));
    const char *end = s.at + s.n;
    SnStatus st = SN_OK;
    for (const char *p = s.at; p < end && st == SN_OK;) {
        const char *begin = p, *stop = p;
        SnJiValue part;
        /* A run of signs, or of others, of which the first is in upper case. */
        while (p < end) {
            const uint32_t cp = sn_ji_next_code(&p);
            const bool is_sign =
                (sn_ji_code_flags(cp) & SN_JI_SPACE) || (cp < 0x80 && cp && strchr("-({[<", (int)cp));
            if (stop > begin && is_sign != was_sign)
                break;
            was_sign = is_sign;
            stop = p;
        }
        p = stop;
        const char *rest = begin;
        (void)sn_ji_next_code(&rest);
        st = sn_ji_case(c->run, (SnJiText){begin, (uint32_t)(rest - begin), 1}, SN_JI_TO_UPPER, &part);
        if (st == SN_OK)
            st = sn_ji_put(c->run, &t, part);
        if (st == SN_OK)
            st = sn_ji_case(c->run, (SnJiText){rest, (uint32_t)(stop - rest), 0}, SN_JI_TO_LOWER, &part);
        if (st == SN_OK)
            st = sn_ji_put(c->run, &t, part);
    }
    if (st == SN_OK)
        return sn_ji_take(c->run, &t, out);
    sn_text_clear(&t);
    return st;
}

static SnStatus format(SnJiCall *c, SnJiValue *out)
{
    SnJiText s;
    SnJiValue values;
    SN_TRY(soft_text(c, &s));
    if (c->args.n && c->args.nkw)
        return sn_ji_fail(c->run, "can't handle positional and keyword arguments at the same time");
    SN_TRY(c->args.nkw ? sn_ji_dict(c->run, SN_JI_DICT, &values)
                       : sn_ji_list(c->run, SN_JI_TUPLE, 0, &values));
    for (size_t i = 0; i < c->args.n; i++)
        SN_TRY(sn_ji_append(c->run, values, c->args.at[i]));
    for (size_t i = 0; i < c->args.nkw; i++)
        SN_TRY(sn_ji_dict_set(c->run, values.u.dict,
                              sn_ji_text_value((const char *)c->args.kw[i].name.at, c->args.kw[i].name.n),
                              c->args.kw[i].value));
    return sn_ji_percent(c->run, c->self, values, out);
}

static SnStatus replace(SnJiCall *c, SnJiValue *out)
{
    SnJiText s;
    SnJiValue from, to;
    int64_t most = -1;
    SN_TRY(int_arg(c, 2, -1, &most));
    SN_TRY(soft_text(c, &s));
    SN_TRY(sn_ji_str(c->run, c->v[0], &from));
    SN_TRY(sn_ji_str(c->run, c->v[1], &to));
    return sn_ji_replace(c->run, s, from.u.text, to.u.text, most, out);
}

/* ---- join ---- */

static SnStatus join_items(SnJiCall *c, SnText *t)
{
    const SnJiValue *at = NULL;
    SnJiValue by, item;
    size_t n = 0;
    SN_TRY(sn_ji_str(c->run, c->v[0].kind == SN_JI_MISSING ? sn_ji_literal("") : c->v[0], &by));
    SnJiValue list = c->self;
    if (c->v[1].kind > SN_JI_NONE) {
        if (!sn_ji_is_iterable(list))
            return sn_ji_fail(c->run, "'%s' object is not iterable", sn_ji_type(list));
        const SnJiKeyword kw = {sn_bytes_str("attribute"), c->v[1]};
        const SnJiArgs args = {NULL, 0, &kw, 1};
        SN_TRY(sn_ji_call_row(c->run, sn_ji_filter(sn_bytes_str("map")), list, &args, &list));
    }
    SN_TRY(sn_ji_items(c->run, list, &at, &n));
    for (size_t i = 0; i < n; i++) {
        item = at[i];
        if (i)
            SN_TRY(sn_ji_put(c->run, t, by));
        SN_TRY(sn_ji_put(c->run, t, item));
    }
    return sn_ji_spend(c->run, n);
}

static SnStatus join(SnJiCall *c, SnJiValue *out)
{
    SnText t = {.memory = c->run->memory};
    const SnStatus st = join_items(c, &t);
    if (st == SN_OK)
        return sn_ji_take(c->run, &t, out);
    sn_text_clear(&t);
    return st;
}

/* ---- lines ---- */

static SnStatus indent(SnJiCall *c, SnJiValue *out)
{
    SnText t = {.memory = c->run->memory}, by = {.memory = c->run->memory};
    const bool first = sn_ji_truth(c->v[1]), blank = sn_ji_truth(c->v[2]);
    SnJiValue lines, width = c->v[0];
    int64_t n = 4;
    if (width.kind != SN_JI_STRING) {
        SN_TRY(int_arg(c, 0, 4, &n));
        sn_ji_fill(c->run, &by, " ", 1, n);
        SN_TRY(sn_ji_take(c->run, &by, &width));
    }
    SN_TRY(need_text(c));
    SN_TRY(sn_ji_math(c->run, SN_JI_OP_ADD, c->self, sn_ji_literal("\n"), &lines));
    SN_TRY(sn_ji_split_lines(c->run, lines.u.text, false, &lines));
    for (size_t i = 0; i < lines.u.list->n; i++) {
        const SnJiText line = lines.u.list->at[i].u.text;
        if (i)
            sn_ji_add(c->run, &t, "\n", 1);
        if (i ? blank || line.n : first)
            sn_ji_add(c->run, &t, width.u.text.at, width.u.text.n);
        sn_ji_add(c->run, &t, line.at, line.n);
    }
    const bool is_safe = c->self.is_safe;
    SN_TRY(sn_ji_take(c->run, &t, out));
    out->is_safe = is_safe;
    return SN_OK;
}

static SnStatus truncate(SnJiCall *c, SnJiValue *out)
{
    int64_t length = 255, leeway = 5;
    SnJiValue end = c->v[2].kind != SN_JI_MISSING ? c->v[2] : sn_ji_literal("...");
    SN_TRY(int_arg(c, 0, 255, &length));
    SN_TRY(int_arg(c, 3, 5, &leeway));
    *out = c->self;
    if (end.kind != SN_JI_STRING)
        return sn_ji_fail(c->run, "truncate: the end is no string");
    if (length < end.u.text.count || leeway < 0)
        return sn_ji_fail(c->run, "expected length >= %u, got %lld", end.u.text.count, (long long)length);
    size_t size = 0;
    SN_TRY(sn_ji_length(c->run, c->self, &size));
    if (leeway > INT64_MAX - length || (int64_t)size <= length + leeway)
        return SN_OK;
    SN_TRY(need_text(c));
    const SnJiText s = c->self.u.text;
    const int64_t keep = length - end.u.text.count;
    size_t n = sn_ji_byte_of(s, (size_t)keep);
    if (!sn_ji_truth(c->v[1])) {
        const size_t blank = sn_ji_find_last(c->run, s, sn_ji_literal(" ").u.text, 0, n);
        n = blank == SIZE_MAX ? n : blank;
    }
    SnJiValue head = sn_ji_text_value(s.at, n);
    head.is_safe = c->self.is_safe;
    return sn_ji_math(c->run, SN_JI_OP_ADD, head, end, out);
}

static SnStatus wordcount(SnJiCall *c, SnJiValue *out)
{
    SnJiText s;
    int64_t n = 0;
    bool was_word = false;
    SN_TRY(soft_text(c, &s));
    for (const char *p = s.at; p < s.at + s.n;) {
        const bool is_word = (sn_ji_code_flags(sn_ji_next_code(&p)) & SN_JI_WORD) != 0;
        n += is_word && !was_word;
        was_word = is_word;
    }
    *out = sn_ji_int(n);
    return SN_OK;
}

/* ---- markup ---- */

static SnStatus escape(SnJiCall *c, SnJiValue *out)
{
    return sn_ji_escape(c->run, c->self, out);
}

static SnStatus force_escape(SnJiCall *c, SnJiValue *out)
{
    SnJiText s;
    SN_TRY(soft_text(c, &s));
    c->self.is_safe = false;
    return sn_ji_escape(c->run, c->self, out);
}

static SnStatus safe(SnJiCall *c, SnJiValue *out)
{
    SnJiText s;
    SN_TRY(soft_text(c, &s));
    *out = c->self;
    out->is_safe = true;
    return SN_OK;
}

static SnStatus string(SnJiCall *c, SnJiValue *out)
{
    return sn_ji_str(c->run, c->self, out);
}

static SnStatus put_attrs(SnJiCall *c, SnText *t)
{
    const SnJiDict *d = c->self.u.dict;
    const bool has_space = c->v[0].kind == SN_JI_MISSING || sn_ji_truth(c->v[0]);
    bool is_first = true;
    for (size_t i = 0; i < d->n; i++) {
        SnJiValue key, value;
        if (d->at[i].value.kind <= SN_JI_NONE)
            continue;
        if (d->at[i].key.kind != SN_JI_STRING)
            return sn_ji_fail(c->run, "expected string or bytes-like object");
        for (uint32_t k = 0; k < d->at[i].key.u.text.n; k++)
            if (strchr(" \t\n\r\f\v/>=", d->at[i].key.u.text.at[k]))
                return sn_ji_fail(c->run, "Invalid character in attribute name");
        SN_TRY(sn_ji_escape(c->run, d->at[i].key, &key));
        SN_TRY(sn_ji_escape(c->run, d->at[i].value, &value));
        if (!is_first || has_space)
            sn_ji_add(c->run, t, " ", 1);
        is_first = false;
        SN_TRY(sn_ji_put(c->run, t, key));
        sn_ji_add(c->run, t, "=\"", 2);
        SN_TRY(sn_ji_put(c->run, t, value));
        sn_ji_add(c->run, t, "\"", 1);
    }
    return SN_OK;
}

static SnStatus xmlattr(SnJiCall *c, SnJiValue *out)
{
    SnText t = {.memory = c->run->memory};
    SN_TRY(sn_ji_defined(c->run, c->self));
    if (c->self.kind != SN_JI_DICT)
        return sn_ji_fail(c->run, "'%s' object has no attribute 'items'", sn_ji_type(c->self));
    const SnStatus st = put_attrs(c, &t);
    if (st == SN_OK)
        return sn_ji_take(c->run, &t, out);
    sn_text_clear(&t);
    return st;
}

/* Takes away what stands between open and close, as long as there is both. */
static SnStatus cut(SnJiCall *c, SnJiText s, const char *open, const char *close, SnJiValue *out)
{
    SnText t = {.memory = c->run->memory};
    const SnJiText begin = sn_ji_literal(open).u.text, end = sn_ji_literal(close).u.text;
    size_t at = 0;
    for (;;) {
        const size_t from = sn_ji_find_text(c->run, s, begin, at, s.n);
        const size_t to = from == SIZE_MAX ? SIZE_MAX : sn_ji_find_text(c->run, s, end, from, s.n);
        if (to == SIZE_MAX)
            break;
        sn_ji_add(c->run, &t, s.at + at, from - at);
        at = to + end.n;
    }
    sn_ji_add(c->run, &t, s.at + at, s.n - at);
    return sn_ji_take(c->run, &t, out);
}

/* ---- entities, as Python's html.unescape reads them ---- */

#define LONGEST_BARE 6 /* name that may stand without its semicolon */

static bool put_named(SnJiRun *r, SnText *t, const char *name, size_t n)
{
    for (const char *p = sn_ji_entities + 1; *p != 0;) {
        const char *end = strchr(p, '\1'), *next = strchr(end + 1, '\1');
        if ((size_t)(end - p) == n && memcmp(p, name, n) == 0) {
            sn_ji_add(r, t, end + 1, (size_t)(next - end - 1));
            return true;
        }
        p = next + 1;
    }
    return false;
}

static int digit_of(char c)
{
    const int low = (uint8_t)c | 32;
    return c >= '0' && c <= '9' ? c - '0' : low >= 'a' && low <= 'f' ? low - 'a' + 10 : 16;
}

/* The character of a number behind "&#"; what stands behind it, or NULL: there is no number. */
static const char *put_numbered(SnJiRun *r, SnText *t, const char *at, const char *end)
{
    const int base = at < end && (*at | 32) == 'x' ? 16 : 10;
    const char *p = at + (base == 16), *first = p;
    char name[16];
    uint32_t cp = 0;
    for (; p < end && digit_of(*p) < base; p++)
        cp = cp > 0x10FFFF ? cp : cp * (uint32_t)base + (uint32_t)digit_of(*p);
    if (p == first)
        return NULL;
    const bool is_blank = cp == '\t' || cp == '\n' || cp == '\f', is_control = cp < 32 || cp == 127;
    const bool is_none = (cp >= 0xFDD0 && cp <= 0xFDEF) || (cp & 0xFFFE) == 0xFFFE;
    const int n = snprintf(name, sizeof name, "#%u", cp);
    if (!put_named(r, t, name, (size_t)n)) {
        if ((cp >= 0xD800 && cp <= 0xDFFF) || cp > 0x10FFFF)
            sn_ji_add_code(r, t, 0xFFFD);
        else if (is_blank || (!is_control && !is_none))
            sn_ji_add_code(r, t, cp);
    }
    return p + (p < end && *p == ';');
}

/* Likewise of the longest name behind "&". */
static const char *put_entity(SnJiRun *r, SnText *t, const char *at, const char *end)
{
    size_t n = 0, most = (size_t)(end - at) < 32 ? (size_t)(end - at) : 32;
    if (most > 0 && *at == '#')
        return put_numbered(r, t, at + 1, end);
    while (n < most && (digit_of(at[n]) < 10 || ((at[n] | 32) >= 'a' && (at[n] | 32) <= 'z')))
        n++;
    if (n > 1 && at + n < end && at[n] == ';' && put_named(r, t, at, n + 1))
        return at + n + 1;
    for (n = n < LONGEST_BARE ? n : LONGEST_BARE; n > 1; n--)
        if (put_named(r, t, at, n))
            return at + n;
    return NULL;
}

static SnStatus unescape(SnJiCall *c, SnJiText s, SnJiValue *out)
{
    SnText t = {.memory = c->run->memory};
    const char *p = s.at, *end = s.at + s.n;
    SnStatus st = SN_OK;
    while (p < end && st == SN_OK) {
        const char *next = memchr(p, '&', (size_t)(end - p));
        next = next ? next : end;
        sn_ji_add(c->run, &t, p, (size_t)(next - p));
        if (next == end)
            break;
        p = put_entity(c->run, &t, next + 1, end);
        if (p == NULL)
            sn_ji_add(c->run, &t, (p = next + 1) - 1, 1);
        st = sn_ji_spend(c->run, 1000); /* the names are searched one by one */
    }
    const SnStatus taken = sn_ji_take(c->run, &t, out);
    return st != SN_OK ? st : taken;
}

/* Tags go, blanks become one, entities are characters again. */
static SnStatus striptags(SnJiCall *c, SnJiValue *out)
{
    SnJiText s;
    SnJiArgs none = {0};
    SnJiValue v, words;
    SN_TRY(soft_text(c, &s));
    SN_TRY(cut(c, s, "<!--", "-->", &v));
    SN_TRY(cut(c, v.u.text, "<", ">", &v));
    SN_TRY(sn_ji_call_row(c->run, sn_ji_method(SN_JI_STRING, sn_bytes_str("split")), v, &none, &words));
    none = (SnJiArgs){&words, 1, NULL, 0};
    SN_TRY(sn_ji_call_row(c->run, sn_ji_method(SN_JI_STRING, sn_bytes_str("join")), sn_ji_literal(" "), &none,
                          out));
    return unescape(c, out->u.text, out);
}

static void put_quoted(SnJiRun *r, SnText *t, SnJiText s, bool is_query)
{
    static const char digits[] = "0123456789ABCDEF";
    for (uint32_t i = 0; i < s.n; i++) {
        const uint8_t b = (uint8_t)s.at[i];
        const char hex[3] = {'%', digits[b >> 4], digits[b & 15]};
        const bool is_plain = (b >= '0' && b <= '9') || ((b | 32) >= 'a' && (b | 32) <= 'z') ||
                              (b && strchr("_.-~", b)) || (b == '/' && !is_query);
        if (is_query && b == ' ')
            sn_ji_add(r, t, "+", 1);
        else
            sn_ji_add(r, t, is_plain ? &s.at[i] : hex, is_plain ? 1 : 3);
    }
}

static SnStatus put_query(SnJiCall *c, SnText *t, const SnJiValue *at, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        const SnJiValue *pair = NULL;
        SnJiValue part;
        size_t npair = 0;
        SN_TRY(sn_ji_items(c->run, at[i], &pair, &npair));
        if (npair != 2)
            return sn_ji_fail(c->run, "urlencode: expected pairs");
        for (int k = 0; k < 2; k++) {
            SN_TRY(sn_ji_str(c->run, pair[k], &part));
            sn_ji_add(c->run, t, k ? "=" : "&", k || i ? 1 : 0);
            put_quoted(c->run, t, part.u.text, true);
        }
    }
    return SN_OK;
}

static SnStatus urlencode(SnJiCall *c, SnJiValue *out)
{
    SnText t = {.memory = c->run->memory};
    const SnJiValue *at = NULL;
    SnJiValue v = c->self;
    size_t n = 0;
    if (v.kind == SN_JI_STRING || !sn_ji_is_iterable(v)) {
        SN_TRY(sn_ji_str(c->run, v, &v));
        put_quoted(c->run, &t, v.u.text, false);
        return sn_ji_take(c->run, &t, out);
    }
    if (v.kind == SN_JI_DICT)
        SN_TRY(sn_ji_call_row(c->run, sn_ji_filter(sn_bytes_str("items")), v, &c->args, &v));
    SN_TRY(sn_ji_items(c->run, v, &at, &n));
    const SnStatus st = put_query(c, &t, at, n);
    if (st == SN_OK)
        return sn_ji_take(c->run, &t, out);
    sn_text_clear(&t);
    return st;
}

static SnStatus filesizeformat(SnJiCall *c, SnJiValue *out)
{
    static const char *const units[][2] = {{"kB", "KiB"}, {"MB", "MiB"}, {"GB", "GiB"}, {"TB", "TiB"},
                                           {"PB", "PiB"}, {"EB", "EiB"}, {"ZB", "ZiB"}, {"YB", "YiB"}};
    const bool is_binary = sn_ji_truth(c->v[0]);
    static const double powers[] = {1e6, 1e9, 1e12, 1e15, 1e18, 1e21, 1e24, 1e27};
    const double base = is_binary ? 1024 : 1000;
    double v = 0, unit = 0;
    SnText t = {.memory = c->run->memory};
    SN_TRY(sn_ji_defined(c->run, c->self));
    if (sn_ji_is_number(c->self))
        SN_TRY(sn_ji_to_float(c->run, c->self, &v));
    else if (c->self.kind != SN_JI_STRING || !sn_ji_parse_float(c->self.u.text, &v))
        return sn_ji_fail(c->run, "could not convert to float");
    if (v == 1 || v < base) {
        SnJiValue whole;
        if (v - v != 0)
            return sn_ji_fail(c->run, "cannot convert float infinity to integer");
        SN_TRY(sn_ji_from_float(c->run, v, &whole));
        SN_TRY(sn_ji_put(c->run, &t, whole));
        sn_ji_add(c->run, &t, " Bytes", v == 1 ? 5 : 6);
        return sn_ji_take(c->run, &t, out);
    }
    size_t i = 0;
    for (;; i++) {
        unit = is_binary ? ldexp(1, 10 * ((int)i + 2)) : powers[i];
        if (v < unit || i + 1 == SN_COUNT(units))
            break;
    }
    SN_TRY(sn_ji_format_number(c->run, base * v / unit, 'f', 1, false, &t));
    sn_ji_add(c->run, &t, " ", 1);
    sn_ji_add(c->run, &t, units[i][is_binary], strlen(units[i][is_binary]));
    return sn_ji_take(c->run, &t, out);
}

const SnJiRow sn_ji_text_filters[] = {
    {"capitalize", by_method, ""},
    {"center", by_method, "width?"},
    {"e", escape, ""},
    {"escape", escape, ""},
    {"filesizeformat", filesizeformat, "binary?"},
    {"forceescape", force_escape, ""},
    {"format", format, "*"},
    {"indent", indent, "width? first? blank?"},
    {"join", join, "d? attribute?"},
    {"lower", by_method, ""},
    {"pprint", sn_ji_pprint, ""},
    {"replace", replace, "old new count?"},
    {"safe", safe, ""},
    {"string", string, ""},
    {"striptags", striptags, ""},
    {"title", title, ""},
    {"trim", by_method, "chars?"},
    {"truncate", truncate, "length? killwords? end? leeway?"},
    {"upper", by_method, ""},
    {"urlencode", urlencode, ""},
    {"urlize", sn_ji_urlize, "trim_url_limit? nofollow? target? rel? extra_schemes?"},
    {"wordcount", wordcount, ""},
    {"wordwrap", sn_ji_wordwrap, "width? break_long_words? wrapstring? break_on_hyphens?"},
    {"xmlattr", xmlattr, "autospace?"},
    {0},
};
