/* json.c -- JSON in and out; numbers without the locale.
 *
 * The reader checks UTF-8 once, then walks bytes. Children of open containers wait on one stack and move to
 * the arena when their container ends; decoded strings share one block, which the text's length bounds.
 *
 * RFC 8259; W. D. Clinger, "How to Read Floating Point Numbers Accurately" (1990) for the fast path. */
#include "runtime/json.h"

#include <float.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#define SN_JSON_DEPTH 64

/* ---- numbers ---- */

/* A decimal number taken apart: digits without leading zeros, value = 0.d1d2d3... * 10^point. Exact results
 * need at most 767 digits; those after are summed up in `more`. */
#define SN_DECIMAL_MAX 768
typedef struct SnDecimal {
    char digit[SN_DECIMAL_MAX];
    int n;
    int64_t point;
    bool negative, more, is_integer;
} SnDecimal;

static bool is_digit(SnReader r)
{
    return r.left > 0 && r.at[0] >= '0' && r.at[0] <= '9';
}

static bool accept(SnReader *r, char c)
{
    return r->left > 0 && r->at[0] == (uint8_t)c && sn_skip(r, 1);
}

static void decimal_push(SnDecimal *d, char c, bool before_point)
{
    if (d->n == 0 && c == '0') {
        d->point -= !before_point;
        return;
    }
    d->point += before_point;
    if (d->n < SN_DECIMAL_MAX)
        d->digit[d->n++] = c;
    else
        d->more |= c != '0';
}

/* -?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)? */
static bool decimal_read(SnReader *r, SnDecimal *d)
{
    d->n = 0;
    d->point = 0;
    d->more = false;
    d->is_integer = true;
    d->negative = accept(r, '-');
    if (!is_digit(*r))
        return false;
    if (!accept(r, '0')) {
        while (is_digit(*r))
            decimal_push(d, (char)sn_read_u8(r), true);
    }
    if (accept(r, '.')) {
        d->is_integer = false;
        if (!is_digit(*r))
            return false;
        while (is_digit(*r))
            decimal_push(d, (char)sn_read_u8(r), false);
    }
    if (accept(r, 'e') || accept(r, 'E')) {
        d->is_integer = false;
        const bool minus = accept(r, '-');
        if (!minus)
            (void)accept(r, '+');
        if (!is_digit(*r))
            return false;
        /* 10^18 is beyond what the digits of any file can balance. */
        int64_t e = 0;
        while (is_digit(*r)) {
            const int64_t digit = sn_read_u8(r) - '0';
            if (e < INT64_C(100000000000000000))
                e = e * 10 + digit;
        }
        d->point += minus ? -e : e;
    }
    return true;
}

static bool decimal_int(const SnDecimal *d, int64_t *out)
{
    if (!d->is_integer || d->n > 19)
        return false;
    uint64_t u = 0;
    for (int i = 0; i < d->n; i++)
        u = u * 10 + (uint64_t)(d->digit[i] - '0');
    if (u > (uint64_t)INT64_MAX + d->negative)
        return false;
    *out = d->negative ? (int64_t)(0 - u) : (int64_t)u;
    return true;
}

static double decimal_f64(const SnDecimal *d)
{
    static const double ten[] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,  1e8,  1e9,  1e10, 1e11,
                                 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};
    double v = 0.0;
    const int64_t e = d->point - d->n;
    if (d->n <= 15 && e >= -22 && e <= 22) {
        /* Both are exact, so one operation rounds once. */
        for (int i = 0; i < d->n; i++)
            v = v * 10.0 + (d->digit[i] - '0');
        v = e < 0 ? v / ten[-e] : v * ten[e];
    } else if (d->n > 0) {
        /* Without a decimal point strtod does not ask the locale. "more" is one digit that is not zero. */
        char text[SN_DECIMAL_MAX + 32];
        const int64_t exponent = e - d->more;
        memcpy(text, d->digit, (size_t)d->n);
        snprintf(text + d->n, sizeof text - (size_t)d->n, "%se%" PRId64, d->more ? "1" : "",
                 exponent > 99999    ? 99999
                 : exponent < -99999 ? -99999
                                     : exponent);
        v = strtod(text, NULL);
    }
    return d->negative ? -v : v;
}

bool sn_parse_f64(SnBytes text, double *out)
{
    SnDecimal d;
    SnReader r = sn_reader(text);
    if (!decimal_read(&r, &d) || r.left != 0)
        return false;
    *out = decimal_f64(&d);
    return true;
}

/* ---- reading ---- */

typedef struct SnJsonParser {
    SnArena *arena;
    const char *name;
    SnBytes text;
    SnReader r;
    char *strings; /* decoded strings go here; never more bytes than the text has */
    SN_VEC(SnJson) stack;
    SnError *err;
} SnJsonParser;

static SnStatus json_fail(const SnJsonParser *p, const char *what)
{
    size_t line = 1, column = 1;
    for (const uint8_t *at = p->text.at; at < p->r.at; at++) {
        column = *at == '\n' ? 1 : column + 1;
        line += *at == '\n';
    }
    return sn_fail(p->err, SN_EFORMAT, "%s: line %zu, column %zu: %s", p->name, line, column, what);
}

static SnStatus json_no_memory(const SnJsonParser *p)
{
    return sn_fail(p->err, SN_ENOMEM, "%s: no memory for JSON of %zu bytes", p->name, p->text.n);
}

static void skip_space(SnReader *r)
{
    while (r->left > 0 && (r->at[0] == ' ' || r->at[0] == '\n' || r->at[0] == '\r' || r->at[0] == '\t'))
        (void)sn_skip(r, 1);
}

static bool accept_word(SnReader *r, const char *word)
{
    const size_t n = strlen(word);
    return r->left >= n && memcmp(r->at, word, n) == 0 && sn_skip(r, n);
}

static bool read_hex4(SnReader *r, uint32_t *out)
{
    const SnBytes b = sn_take(r, 4);
    uint32_t v = 0;
    for (size_t i = 0; i < b.n; i++) {
        const uint8_t c = b.at[i], low = c | 0x20u;
        if (c >= '0' && c <= '9')
            v = v << 4 | (uint32_t)(c - '0');
        else if (low >= 'a' && low <= 'f')
            v = v << 4 | (uint32_t)(low - 'a' + 10);
        else
            return false;
    }
    *out = v;
    return b.n == 4;
}

/* What follows "\u". A pair of surrogates is one character; a lone one is U+FFFD. */
static bool read_unicode_escape(SnReader *r, uint32_t *cp)
{
    if (!read_hex4(r, cp))
        return false;
    if (*cp >= 0xD800 && *cp < 0xDC00) {
        SnReader ahead = *r;
        uint32_t low;
        if (accept_word(&ahead, "\\u") && read_hex4(&ahead, &low) && low >= 0xDC00 && low < 0xE000) {
            *cp = 0x10000 + ((*cp - 0xD800) << 10) + (low - 0xDC00);
            *r = ahead;
        }
    }
    return true;
}

static SnStatus read_escape(SnJsonParser *p)
{
    static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
    const uint8_t c = sn_read_u8(&p->r);
    const char *known = c != 0 ? strchr(from, c) : NULL;
    uint32_t cp;
    if (known != NULL)
        cp = (uint8_t)to[known - from];
    else if (c != 'u' || !read_unicode_escape(&p->r, &cp))
        return json_fail(p, "bad escape in a string");
    char form[4];
    const int n = sn_utf8_put(cp, form);
    memcpy(p->strings, form, (size_t)n);
    p->strings += n;
    return SN_OK;
}

/* After the opening quote. */
static SnStatus read_string(SnJsonParser *p, SnBytes *out)
{
    char *start = p->strings;
    for (;;) {
        size_t n = 0;
        while (n < p->r.left && p->r.at[n] != '"' && p->r.at[n] != '\\' && p->r.at[n] >= 0x20)
            n++;
        const SnBytes plain = sn_take(&p->r, n);
        memcpy(p->strings, plain.at, plain.n);
        p->strings += n;
        if (accept(&p->r, '"'))
            break;
        if (!accept(&p->r, '\\'))
            return json_fail(p, p->r.left == 0 ? "the string does not end" : "control character in a string");
        SN_TRY(read_escape(p));
    }
    *out = sn_bytes(start, (size_t)(p->strings - start));
    *p->strings++ = '\0';
    return SN_OK;
}

static SnStatus read_number(SnJsonParser *p, SnJson *v)
{
    if (accept_word(&p->r, "-Infinity")) {
        *v = (SnJson){.kind = SN_JSON_FLOAT, .u.number = -(double)INFINITY};
        return SN_OK;
    }
    SnDecimal d;
    if (!decimal_read(&p->r, &d))
        return json_fail(p, "expected a value");
    *v = (SnJson){.kind = SN_JSON_INT};
    if (!decimal_int(&d, &v->u.integer))
        *v = (SnJson){.kind = SN_JSON_FLOAT, .u.number = decimal_f64(&d)};
    return SN_OK;
}

static SnStatus read_value(SnJsonParser *p, int depth, SnJson *v);

static SnStatus read_member(SnJsonParser *p, bool is_object, int depth)
{
    SnJson v;
    SnBytes key = {NULL, 0};
    if (is_object) {
        skip_space(&p->r);
        if (!accept(&p->r, '"'))
            return json_fail(p, "expected a key");
        SN_TRY(read_string(p, &key));
        skip_space(&p->r);
        if (!accept(&p->r, ':'))
            return json_fail(p, "expected ':'");
    }
    SN_TRY(read_value(p, depth, &v));
    v.key = key;
    return sn_vec_push(p->arena->memory, &p->stack, v) ? SN_OK : json_no_memory(p);
}

/* After the opening bracket. */
static SnStatus read_container(SnJsonParser *p, bool is_object, int depth, SnJson *v)
{
    const size_t first = p->stack.n;
    const char end = is_object ? '}' : ']';
    if (depth > SN_JSON_DEPTH)
        return json_fail(p, "nested more than 64 deep");
    skip_space(&p->r);
    bool done = accept(&p->r, end);
    while (!done) {
        SN_TRY(read_member(p, is_object, depth));
        skip_space(&p->r);
        done = accept(&p->r, end);
        if (!done && !accept(&p->r, ','))
            return json_fail(p, is_object ? "expected ',' or '}'" : "expected ',' or ']'");
    }
    const size_t n = p->stack.n - first;
    if (n > UINT32_MAX)
        return json_fail(p, "more than 4294967295 values in a row");
    *v = (SnJson){.kind = is_object ? SN_JSON_OBJECT : SN_JSON_ARRAY, .n = (uint32_t)n};
    if (n == 0)
        return SN_OK;
    v->u.child = (SnJson *)sn_arena_array(p->arena, n, sizeof *v);
    if (v->u.child == NULL)
        return json_no_memory(p);
    memcpy(v->u.child, p->stack.at + first, n * sizeof *v);
    p->stack.n = first;
    return SN_OK;
}

static SnStatus read_value(SnJsonParser *p, int depth, SnJson *v)
{
    static const struct {
        const char *text;
        SnJson value;
    } word[] = {
        {"null", {.kind = SN_JSON_NULL}},
        {"true", {.kind = SN_JSON_BOOL, .u.boolean = true}},
        {"false", {.kind = SN_JSON_BOOL, .u.boolean = false}},
        {"NaN", {.kind = SN_JSON_FLOAT, .u.number = (double)NAN}},
        {"Infinity", {.kind = SN_JSON_FLOAT, .u.number = (double)INFINITY}},
    };
    skip_space(&p->r);
    if (accept(&p->r, '{'))
        return read_container(p, true, depth + 1, v);
    if (accept(&p->r, '['))
        return read_container(p, false, depth + 1, v);
    if (accept(&p->r, '"')) {
        *v = (SnJson){.kind = SN_JSON_STRING};
        return read_string(p, &v->u.string);
    }
    for (size_t i = 0; i < SN_COUNT(word); i++) {
        if (accept_word(&p->r, word[i].text)) {
            *v = word[i].value;
            return SN_OK;
        }
    }
    return read_number(p, v);
}

SnStatus sn_json_parse(SnArena *arena, const char *name, SnBytes text, SnJson **out, SnError *err)
{
    SnJsonParser p = {.arena = arena, .name = name, .text = text, .r = sn_reader(text), .err = err};
    SN_CHECK(sn_utf8_valid(text), err, SN_EFORMAT, "%s: is not UTF-8", name);
    SnStatus st;
    SnJson *root = (SnJson *)sn_arena_alloc(arena, sizeof *root);
    /* A string with its NUL is shorter than with its quotes. */
    p.strings = (char *)sn_arena_alloc(arena, text.n);
    if (root == NULL || p.strings == NULL) {
        st = json_no_memory(&p);
        goto done;
    }
    st = read_value(&p, 0, root);
    if (st != SN_OK)
        goto done;
    skip_space(&p.r);
    if (p.r.left != 0)
        st = json_fail(&p, "expected the end");
done:
    sn_vec_clear(arena->memory, &p.stack);
    if (st == SN_OK)
        *out = root;
    return st;
}

/* ---- looking at values ---- */

const SnJson *sn_json_get(const SnJson *object, const char *key)
{
    if (object == NULL || object->kind != SN_JSON_OBJECT)
        return NULL;
    for (uint32_t i = object->n; i-- > 0;) {
        if (sn_bytes_is(object->u.child[i].key, key))
            return &object->u.child[i];
    }
    return NULL;
}

const SnJson *sn_json_at(const SnJson *array, uint32_t i)
{
    return array != NULL && array->kind == SN_JSON_ARRAY && i < array->n ? &array->u.child[i] : NULL;
}

bool sn_json_is_null(const SnJson *v)
{
    return v == NULL || v->kind == SN_JSON_NULL;
}

bool sn_json_int(const SnJson *v, int64_t *out)
{
    if (v == NULL || (v->kind != SN_JSON_INT && v->kind != SN_JSON_FLOAT))
        return false;
    if (v->kind == SN_JSON_INT) {
        *out = v->u.integer;
        return true;
    }
    /* "1e3" and "8.0" are integral too. */
    const double f = v->u.number;
    if (!(f >= -9223372036854775808.0 && f < 9223372036854775808.0) || f != trunc(f))
        return false;
    *out = (int64_t)f;
    return true;
}

bool sn_json_number(const SnJson *v, double *out)
{
    if (v == NULL || (v->kind != SN_JSON_INT && v->kind != SN_JSON_FLOAT))
        return false;
    *out = v->kind == SN_JSON_INT ? (double)v->u.integer : v->u.number;
    return true;
}

bool sn_json_bool(const SnJson *v, bool *out)
{
    if (v == NULL || v->kind != SN_JSON_BOOL)
        return false;
    *out = v->u.boolean;
    return true;
}

bool sn_json_string(const SnJson *v, SnBytes *out)
{
    if (v == NULL || v->kind != SN_JSON_STRING)
        return false;
    *out = v->u.string;
    return true;
}

bool sn_json_is(const SnJson *v, const char *text)
{
    return v != NULL && v->kind == SN_JSON_STRING && sn_bytes_is(v->u.string, text);
}

/* ---- writing ---- */

void sn_json_put_string(SnText *t, SnBytes s)
{
    static const char escape[] = {
        ['\b'] = 'b', ['\t'] = 't', ['\n'] = 'n', ['\f'] = 'f', ['\r'] = 'r', ['"'] = '"', ['\\'] = '\\'};
    if (!sn_utf8_valid(s)) {
        SnText repaired = {.memory = t->memory};
        if (sn_utf8_repair(&repaired, s))
            sn_json_put_string(t, sn_bytes(repaired.at, repaired.n));
        t->failed |= repaired.failed;
        sn_text_clear(&repaired);
        return;
    }
    sn_text_add(t, "\"", 1);
    size_t plain = 0;
    for (size_t i = 0; i < s.n; i++) {
        const uint8_t c = s.at[i];
        if (c >= 0x20 && c != '"' && c != '\\')
            continue;
        sn_text_add(t, (const char *)s.at + plain, i - plain);
        plain = i + 1;
        if (c < SN_COUNT(escape) && escape[c] != 0)
            sn_text_printf(t, "\\%c", escape[c]);
        else
            sn_text_printf(t, "\\u%04x", c);
    }
    if (s.n > plain)
        sn_text_add(t, (const char *)s.at + plain, s.n - plain);
    sn_text_add(t, "\"", 1);
}

/* v rounded to n digits, without zeros at the end. printf's decimal point follows the locale: only digits
 * count. */
static void decimal_print(SnDecimal *d, double v, int n)
{
    char text[64];
    snprintf(text, sizeof text, "%.*e", n - 1, v);
    const char *at = text;
    *d = (SnDecimal){.n = 0};
    for (; *at != 'e'; at++) {
        if (*at >= '0' && *at <= '9')
            d->digit[d->n++] = *at;
    }
    d->point = strtol(at + 1, NULL, 10) + 1;
    while (d->n > 1 && d->digit[d->n - 1] == '0')
        d->n--;
}

/* One more in the last of n digits. */
static void decimal_bump(SnDecimal *d, int n)
{
    while (d->n < n)
        d->digit[d->n++] = '0';
    while (d->n > 0 && d->digit[d->n - 1] == '9')
        d->n--;
    if (d->n == 0) {
        d->digit[d->n++] = '1';
        d->point++;
    } else {
        d->digit[d->n - 1]++;
    }
}

static bool reads_back(const SnDecimal *d, double v, bool is_f32)
{
    const double got = decimal_f64(d);
    return (is_f32 ? (double)(float)got : got) == v;
}

/* The shortest decimal that reads back as v (finite, positive). Below a power of two the floats lie closer
 * than above it, so the nearest decimal may fail where the next one above succeeds. */
static void shortest(SnDecimal *d, double v, bool is_f32)
{
    const bool is_normal = v >= (is_f32 ? (double)FLT_MIN : DBL_MIN);
    const int most = is_f32 ? 9 : 17;
    /* Decimals of DIG digits survive the way there and back, so zeros at the end of DIG digits are all there
     * is. */
    for (int n = is_normal ? (is_f32 ? FLT_DIG : DBL_DIG) : 1; n <= most; n++) {
        decimal_print(d, v, n);
        if (reads_back(d, v, is_f32))
            return;
        decimal_bump(d, n);
        if (reads_back(d, v, is_f32))
            return;
    }
}

/* As Python's repr: 0.5, 2.0, 1e-05, 1e+16. */
static void put_float(SnText *t, double v, bool is_f32)
{
    if (isnan(v) || isinf(v)) {
        sn_text_printf(t, "%s", isnan(v) ? "NaN" : v < 0.0 ? "-Infinity" : "Infinity");
        return;
    }
    sn_text_printf(t, "%s", signbit(v) ? "-" : "");
    if (v == 0.0) {
        sn_text_printf(t, "0.0");
        return;
    }
    SnDecimal d;
    shortest(&d, fabs(v), is_f32);
    const int point = (int)d.point;
    if (point < -3 || point > 16) {
        sn_text_printf(t, "%c%s%.*se%c%02d", d.digit[0], d.n > 1 ? "." : "", d.n - 1, d.digit + 1,
                       point > 0 ? '+' : '-', abs(point - 1));
    } else if (point <= 0) {
        sn_text_printf(t, "0.%.*s%.*s", -point, "000", d.n, d.digit);
    } else if (point < d.n) {
        sn_text_printf(t, "%.*s.%.*s", point, d.digit, d.n - point, d.digit + point);
    } else {
        sn_text_printf(t, "%.*s%.*s.0", d.n, d.digit, point - d.n, "000000000000000");
    }
}

void sn_json_put_f64(SnText *t, double v)
{
    put_float(t, v, false);
}

void sn_json_put_f32(SnText *t, float v)
{
    put_float(t, (double)v, true);
}

void sn_json_put_int(SnText *t, int64_t v)
{
    sn_text_printf(t, "%" PRId64, v);
}

static void put_children(SnText *t, const SnJson *v)
{
    const bool is_object = v->kind == SN_JSON_OBJECT;
    sn_text_add(t, is_object ? "{" : "[", 1);
    for (uint32_t i = 0; i < v->n; i++) {
        if (i != 0)
            sn_text_add(t, ", ", 2);
        if (is_object) {
            sn_json_put_string(t, v->u.child[i].key);
            sn_text_add(t, ": ", 2);
        }
        sn_json_put(t, &v->u.child[i]);
    }
    sn_text_add(t, is_object ? "}" : "]", 1);
}

void sn_json_put(SnText *t, const SnJson *v)
{
    switch (v->kind) {
    case SN_JSON_NULL:
        sn_text_add(t, "null", 4);
        break;
    case SN_JSON_BOOL:
        sn_text_printf(t, "%s", v->u.boolean ? "true" : "false");
        break;
    case SN_JSON_INT:
        sn_json_put_int(t, v->u.integer);
        break;
    case SN_JSON_FLOAT:
        sn_json_put_f64(t, v->u.number);
        break;
    case SN_JSON_STRING:
        sn_json_put_string(t, v->u.string);
        break;
    case SN_JSON_ARRAY:
    case SN_JSON_OBJECT:
        put_children(t, v);
        break;
    }
}
