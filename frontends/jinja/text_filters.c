/* text_filters.c -- filters of text. */
#include "frontends/jinja/run.h"

#include <math.h>
#include <stdio.h>

/* str(self); Markup stays what it is. */
static SnStatus soft_text(SnJiCall *c, SnJiText *s)
{
    SN_TRY(sn_ji_str(c->run, c->self, &c->self));
    *s = c->self.u.text;
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

static SnStatus call_method(SnJiCall *c, SnJiValue self, const char *name, const SnJiValue *arg,
                            SnJiValue *out)
{
    const SnJiArgs args = {.at = arg, .n = arg != NULL};
    return sn_ji_call_row(c->run, sn_ji_method(SN_JI_STRING, sn_bytes_str(name)), self, &args, out);
}

/* As a method of str does it, with at most one argument. */
static SnStatus by_method(SnJiCall *c, SnJiValue *out)
{
    SnJiText s;
    SN_TRY(soft_text(c, &s));
    return call_method(c, c->self, strcmp(c->row->name, "trim") == 0 ? "strip" : c->row->name,
                       c->v[0].kind == SN_JI_MISSING ? NULL : &c->v[0], out);
}

/* A word begins after blanks and opening signs only. */
static SnStatus title(SnJiCall *c, SnJiValue *out)
{
    SnJiText s;
    bool was_sign = true;
    SN_TRY(soft_text(c, &s));
    const SnJiMark outer = sn_ji_begin(c->run);
    for (const char *p = s.at, *end = s.at + s.n; p < end;) {
        const char *begin = p, *stop = p, *rest = p;
        SnJiValue first, others;
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
        (void)sn_ji_next_code(&rest);
        SN_TRY(sn_ji_case(c->run, (SnJiText){begin, (uint32_t)(rest - begin), 1}, SN_JI_TO_UPPER, &first));
        SN_TRY(sn_ji_case(c->run, (SnJiText){rest, (uint32_t)(stop - rest), 0}, SN_JI_TO_LOWER, &others));
        SN_TRY(sn_ji_put(c->run, first));
        SN_TRY(sn_ji_put(c->run, others));
    }
    return sn_ji_take(c->run, outer, out);
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
    SN_TRY(soft_text(c, &s));
    SN_TRY(sn_ji_str(c->run, c->v[0], &from));
    SN_TRY(sn_ji_str(c->run, c->v[1], &to));
    return sn_ji_replace(c->run, s, from.u.text, to.u.text, c->v[2].u.integer, out);
}

/* ---- join ---- */

static SnStatus join(SnJiCall *c, SnJiValue *out)
{
    SnJiValue by, list = c->self;
    SnJiItems in;
    SN_TRY(sn_ji_str(c->run, c->v[0].kind == SN_JI_MISSING ? sn_ji_literal("") : c->v[0], &by));
    if (c->v[1].kind > SN_JI_NONE) {
        if (!sn_ji_is_iterable(list))
            return sn_ji_fail(c->run, "'%s' object is not iterable", sn_ji_type(list));
        const SnJiKeyword kw = {sn_bytes_str("attribute"), c->v[1]};
        const SnJiArgs args = {NULL, 0, &kw, 1};
        SN_TRY(sn_ji_call_row(c->run, sn_ji_filter(sn_bytes_str("map")), list, &args, &list));
    }
    SN_TRY(sn_ji_items(c->run, list, &in));
    const SnJiMark outer = sn_ji_begin(c->run);
    for (size_t i = 0; i < in.n; i++) {
        if (i)
            SN_TRY(sn_ji_put(c->run, by));
        SN_TRY(sn_ji_put(c->run, in.at[i]));
    }
    SN_TRY(sn_ji_spend(c->run, in.n));
    return sn_ji_take(c->run, outer, out);
}

/* ---- lines ---- */

static SnStatus indent(SnJiCall *c, SnJiValue *out)
{
    SnJiRun *r = c->run;
    const bool first = sn_ji_truth(c->v[1]), blank = sn_ji_truth(c->v[2]);
    SnJiValue lines, width = c->v[0];
    if (width.kind == SN_JI_MISSING || width.kind == SN_JI_NONE)
        width = sn_ji_int(4);
    if (width.kind != SN_JI_STRING)
        SN_TRY(sn_ji_math(r, SN_JI_OP_MUL, sn_ji_literal(" "), width, &width));
    SN_TRY(need_text(c));
    SN_TRY(sn_ji_math(r, SN_JI_OP_ADD, c->self, sn_ji_literal("\n"), &lines));
    SN_TRY(sn_ji_split_lines(r, lines.u.text, false, &lines));
    const SnJiMark outer = sn_ji_begin(r);
    for (size_t i = 0; i < lines.u.list->n; i++) {
        const SnJiValue line = lines.u.list->at[i];
        sn_ji_say(r, i ? "\n" : "");
        if (i ? blank || line.u.text.n : first)
            SN_TRY(sn_ji_put(r, width));
        SN_TRY(sn_ji_put(r, line));
    }
    SN_TRY(sn_ji_take(r, outer, out));
    out->is_safe = c->self.is_safe;
    return SN_OK;
}

static SnStatus truncate(SnJiCall *c, SnJiValue *out)
{
    const int64_t length = c->v[0].u.integer, leeway = c->v[3].u.integer;
    const SnJiValue end = c->v[2].kind != SN_JI_MISSING ? c->v[2] : sn_ji_literal("...");
    *out = c->self;
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

static SnStatus xmlattr(SnJiCall *c, SnJiValue *out)
{
    SnJiRun *r = c->run;
    SN_TRY(sn_ji_defined(r, c->self));
    if (c->self.kind != SN_JI_DICT)
        return sn_ji_fail(r, "'%s' object has no attribute 'items'", sn_ji_type(c->self));
    const SnJiDict *d = c->self.u.dict;
    const char *between = c->v[0].kind == SN_JI_MISSING || sn_ji_truth(c->v[0]) ? " " : "";
    const SnJiMark outer = sn_ji_begin(r);
    for (size_t i = 0; i < d->n; i++) {
        SnJiValue key = d->at[i].key, value = d->at[i].value;
        if (value.kind <= SN_JI_NONE)
            continue;
        if (key.kind != SN_JI_STRING)
            return sn_ji_fail(r, "expected string or bytes-like object");
        for (uint32_t k = 0; k < key.u.text.n; k++)
            if (strchr(" \t\n\r\f\v/>=", key.u.text.at[k]))
                return sn_ji_fail(r, "Invalid character in attribute name");
        SN_TRY(sn_ji_escape(r, key, &key));
        SN_TRY(sn_ji_escape(r, value, &value));
        sn_ji_say(r, between);
        between = " ";
        SN_TRY(sn_ji_put(r, key));
        sn_ji_say(r, "=\"");
        SN_TRY(sn_ji_put(r, value));
        sn_ji_say(r, "\"");
    }
    return sn_ji_take(r, outer, out);
}

/* Takes away what stands between open and close, as long as there is both. */
static SnStatus cut(SnJiCall *c, SnJiText s, const char *open, const char *close, SnJiValue *out)
{
    const SnJiMark outer = sn_ji_begin(c->run);
    const SnJiText begin = sn_ji_literal(open).u.text, end = sn_ji_literal(close).u.text;
    size_t at = 0;
    for (;;) {
        const size_t from = sn_ji_find_text(c->run, s, begin, at, s.n);
        const size_t to = from == SIZE_MAX ? SIZE_MAX : sn_ji_find_text(c->run, s, end, from, s.n);
        if (to == SIZE_MAX)
            break;
        sn_ji_add(c->run, s.at + at, from - at);
        at = to + end.n;
    }
    sn_ji_add(c->run, s.at + at, s.n - at);
    return sn_ji_take(c->run, outer, out);
}

/* ---- entities, as Python's html.unescape reads them ---- */

#define LONGEST_BARE 6 /* name that may stand without its semicolon */

static bool put_named(SnJiRun *r, const char *name, size_t n)
{
    for (const char *p = sn_ji_entities + 1; *p != 0;) {
        const char *end = strchr(p, '\1'), *next = strchr(end + 1, '\1');
        if ((size_t)(end - p) == n && memcmp(p, name, n) == 0) {
            sn_ji_add(r, end + 1, (size_t)(next - end - 1));
            return true;
        }
        p = next + 1;
    }
    return false;
}

/* The character of a number behind "&#"; what stands behind it, or NULL: there is no number. */
static const char *put_numbered(SnJiRun *r, const char *at, const char *end)
{
    const unsigned base = at < end && (*at | 32) == 'x' ? 16 : 10;
    const char *p = at + (base == 16), *first = p;
    char name[16];
    uint32_t cp = 0;
    for (; p < end && sn_ji_digit(*p) < base; p++)
        cp = cp > 0x10FFFF ? cp : cp * base + sn_ji_digit(*p);
    if (p == first)
        return NULL;
    const bool is_blank = cp == '\t' || cp == '\n' || cp == '\f', is_control = cp < 32 || cp == 127;
    const bool is_none = (cp >= 0xFDD0 && cp <= 0xFDEF) || (cp & 0xFFFE) == 0xFFFE;
    const int n = snprintf(name, sizeof name, "#%u", cp);
    if (!put_named(r, name, (size_t)n)) {
        if ((cp >= 0xD800 && cp <= 0xDFFF) || cp > 0x10FFFF)
            sn_ji_add_code(r, 0xFFFD);
        else if (is_blank || (!is_control && !is_none))
            sn_ji_add_code(r, cp);
    }
    return p + (p < end && *p == ';');
}

/* Likewise of the longest name behind "&". */
static const char *put_entity(SnJiRun *r, const char *at, const char *end)
{
    size_t n = 0, most = (size_t)(end - at) < 32 ? (size_t)(end - at) : 32;
    if (most > 0 && *at == '#')
        return put_numbered(r, at + 1, end);
    while (n < most && sn_ji_digit(at[n]) < 36)
        n++;
    if (n > 1 && at + n < end && at[n] == ';' && put_named(r, at, n + 1))
        return at + n + 1;
    for (n = n < LONGEST_BARE ? n : LONGEST_BARE; n > 1; n--)
        if (put_named(r, at, n))
            return at + n;
    return NULL;
}

static SnStatus unescape(SnJiCall *c, SnJiText s, SnJiValue *out)
{
    const char *p = s.at, *end = s.at + s.n;
    const SnJiMark outer = sn_ji_begin(c->run);
    while (p < end) {
        const char *next = memchr(p, '&', (size_t)(end - p));
        next = next ? next : end;
        sn_ji_add(c->run, p, (size_t)(next - p));
        if (next == end)
            break;
        p = put_entity(c->run, next + 1, end);
        if (p == NULL)
            sn_ji_add(c->run, (p = next + 1) - 1, 1);
        SN_TRY(sn_ji_spend(c->run, 1000)); /* the names are searched one by one */
    }
    return sn_ji_take(c->run, outer, out);
}

/* Tags go, blanks become one, entities are characters again. */
static SnStatus striptags(SnJiCall *c, SnJiValue *out)
{
    SnJiText s;
    SnJiValue v, words;
    SN_TRY(soft_text(c, &s));
    SN_TRY(cut(c, s, "<!--", "-->", &v));
    SN_TRY(cut(c, v.u.text, "<", ">", &v));
    SN_TRY(call_method(c, v, "split", NULL, &words));
    SN_TRY(call_method(c, sn_ji_literal(" "), "join", &words, out));
    return unescape(c, out->u.text, out);
}

static void put_quoted(SnJiRun *r, SnJiText s, bool is_query)
{
    static const char digits[] = "0123456789ABCDEF";
    for (uint32_t i = 0; i < s.n; i++) {
        const uint8_t b = (uint8_t)s.at[i];
        const char hex[3] = {'%', digits[b >> 4], digits[b & 15]};
        const bool is_plain = (b >= '0' && b <= '9') || ((b | 32) >= 'a' && (b | 32) <= 'z') ||
                              (b && strchr("_.-~", b)) || (b == '/' && !is_query);
        if (is_query && b == ' ')
            sn_ji_add(r, "+", 1);
        else
            sn_ji_add(r, is_plain ? &s.at[i] : hex, is_plain ? 1 : 3);
    }
}

static SnStatus urlencode(SnJiCall *c, SnJiValue *out)
{
    SnJiRun *r = c->run;
    SnJiValue v = c->self, part;
    SnJiItems in = {0}, pair;
    const bool is_text = v.kind == SN_JI_STRING || !sn_ji_is_iterable(v);
    if (v.kind == SN_JI_DICT)
        SN_TRY(sn_ji_call_row(r, sn_ji_filter(sn_bytes_str("items")), v, &c->args, &v));
    SN_TRY(is_text ? sn_ji_str(r, v, &v) : sn_ji_items(r, v, &in));
    const SnJiMark outer = sn_ji_begin(r);
    if (is_text)
        put_quoted(r, v.u.text, false);
    for (size_t i = 0; i < in.n; i++) {
        SN_TRY(sn_ji_items(r, in.at[i], &pair));
        if (pair.n != 2)
            return sn_ji_fail(r, "urlencode: expected pairs");
        for (int k = 0; k < 2; k++) {
            SN_TRY(sn_ji_str(r, pair.at[k], &part));
            sn_ji_say(r, k ? "=" : i ? "&" : "");
            put_quoted(r, part.u.text, true);
        }
    }
    return sn_ji_take(r, outer, out);
}

static SnStatus filesizeformat(SnJiCall *c, SnJiValue *out)
{
    static const char *const units[][2] = {{"kB", "KiB"}, {"MB", "MiB"}, {"GB", "GiB"}, {"TB", "TiB"},
                                           {"PB", "PiB"}, {"EB", "EiB"}, {"ZB", "ZiB"}, {"YB", "YiB"}};
    const bool is_binary = sn_ji_truth(c->v[0]);
    static const double powers[] = {1e6, 1e9, 1e12, 1e15, 1e18, 1e21, 1e24, 1e27};
    const double base = is_binary ? 1024 : 1000;
    double v = 0, unit = 0;
    SN_TRY(sn_ji_defined(c->run, c->self));
    if (sn_ji_is_number(c->self))
        SN_TRY(sn_ji_to_float(c->run, c->self, &v));
    else if (c->self.kind != SN_JI_STRING || !sn_ji_parse_float(c->self.u.text, &v))
        return sn_ji_fail(c->run, "could not convert to float");
    const SnJiMark outer = sn_ji_begin(c->run);
    if (v == 1 || v < base) {
        SnJiValue whole;
        if (v - v != 0)
            return sn_ji_fail(c->run, "cannot convert float infinity to integer");
        SN_TRY(sn_ji_from_float(c->run, v, &whole));
        SN_TRY(sn_ji_put(c->run, whole));
        sn_ji_say(c->run, v == 1 ? " Byte" : " Bytes");
        return sn_ji_take(c->run, outer, out);
    }
    size_t i = 0;
    for (;; i++) {
        unit = is_binary ? ldexp(1, 10 * ((int)i + 2)) : powers[i];
        if (v < unit || i + 1 == SN_COUNT(units))
            break;
    }
    SN_TRY(sn_ji_format_number(c->run, base * v / unit, 'f', 1, false));
    sn_ji_say(c->run, " ");
    sn_ji_say(c->run, units[i][is_binary]);
    return sn_ji_take(c->run, outer, out);
}

const SnJiRow sn_ji_text_filters[] = {
    {"capitalize", by_method, ""},
    {"center", by_method, "width:n=80"},
    {"e", escape, ""},
    {"escape", escape, ""},
    {"filesizeformat", filesizeformat, "binary?"},
    {"forceescape", force_escape, ""},
    {"format", format, "*"},
    {"indent", indent, "width? first? blank?"},
    {"join", join, "d? attribute?"},
    {"lower", by_method, ""},
    {"pprint", sn_ji_pprint, ""},
    {"replace", replace, "old new count:n=-1"},
    {"safe", safe, ""},
    {"string", string, ""},
    {"striptags", striptags, ""},
    {"title", title, ""},
    {"trim", by_method, "chars?"},
    {"truncate", truncate, "length:n=255 killwords? end:s? leeway:n=5"},
    {"upper", by_method, ""},
    {"urlencode", urlencode, ""},
    {"urlize", sn_ji_urlize, "trim_url_limit:n? nofollow? target? rel? extra_schemes?"},
    {"wordcount", wordcount, ""},
    {"wordwrap", sn_ji_wordwrap, "width:i=79 break_long_words? wrapstring:t? break_on_hyphens?"},
    {"xmlattr", xmlattr, "autospace?"},
    {0},
};
