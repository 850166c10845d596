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

/* n bytes, at most what is left. */
static inline SnBytes advance(SnReader *r, size_t n)
{
    const SnBytes b = {r->at, n};
    r->at += n;
    r->left -= n;
    return b;
}

static inline bool accept(SnReader *r, char c)
{
    const bool is_there = r->left > 0 && r->at[0] == (uint8_t)c;
    (void)advance(r, is_there);
    return is_there;
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

static bool json_stop(SnJsonWalk *w, const char *what)
{
    size_t line = 1, column = 1;
    for (const uint8_t *at = w->text.at; at < w->r.at; at++) {
        column = *at == '\n' ? 1 : column + 1;
        line += *at == '\n';
    }
    w->st = sn_fail(w->err, SN_EFORMAT, "%s: line %zu, column %zu: %s", w->name, line, column, what);
    return false;
}

static bool json_no_memory(SnJsonWalk *w)
{
    w->st = sn_fail(w->err, SN_ENOMEM, "%s: no memory for JSON of %zu bytes", w->name, w->text.n);
    return false;
}

static inline void skip_space(SnReader *r)
{
    size_t n = 0;
    while (n < r->left && (r->at[n] == ' ' || r->at[n] == '\n' || r->at[n] == '\r' || r->at[n] == '\t'))
        n++;
    (void)advance(r, n);
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

static bool read_escape(SnJsonWalk *w, char **to)
{
    static const char names[] = "\"\\/bfnrt", values[] = "\"\\/\b\f\n\r\t";
    const uint8_t c = sn_read_u8(&w->r);
    const char *known = c != 0 ? strchr(names, c) : NULL;
    uint32_t cp;
    if (known != NULL)
        cp = (uint8_t)values[known - names];
    else if (c != 'u' || !read_unicode_escape(&w->r, &cp))
        return json_stop(w, "bad escape in a string");
    char form[4];
    const int n = sn_utf8_put(cp, form);
    memcpy(*to, form, (size_t)n);
    *to += n;
    return true;
}

/* Bytes of a string up to its end, an escape or a control character. */
static size_t plain_size(SnReader r)
{
    const uint64_t ones = UINT64_C(0x0101010101010101), high = ones << 7;
    size_t n = 0;
    for (uint64_t word; r.left - n >= sizeof word; n += sizeof word) {
        memcpy(&word, r.at + n, sizeof word);
        const uint64_t quote = word ^ ones * '"', slash = word ^ ones * '\\';
        const uint64_t ends =
            (((quote - ones) & ~quote) | ((slash - ones) & ~slash) | ((word - ones * 0x20) & ~word)) & high;
        if (ends != 0) /* the first such byte: of the bits below it, one in each byte */
            return n + (size_t)((((ends & (0 - ends)) - 1) & ones) * ones >> 56) - 1;
    }
    while (n < r.left && r.at[n] != '"' && r.at[n] != '\\' && r.at[n] >= 0x20)
        n++;
    return n;
}

/* Goes behind a string, after its opening quote; returns how long it may be. */
static size_t skip_string(SnReader *r)
{
    const size_t begin = r->left;
    for (;;) {
        (void)advance(r, plain_size(*r));
        if (r->left == 0 || accept(r, '"'))
            return begin - r->left;
        (void)advance(r, r->left > 1 && r->at[0] == '\\' ? 2 : 1);
    }
}

/* After the opening quote. */
static bool read_string(SnJsonWalk *w, SnBytes *out)
{
    const size_t n = plain_size(w->r);
    char *start = w->strings;
    if (start == NULL && n < w->r.left && w->r.at[n] == '"') {
        *out = advance(&w->r, n);
        return accept(&w->r, '"');
    }
    if (start == NULL) {
        SnReader ahead = w->r;
        start = (char *)sn_arena_alloc(w->arena, skip_string(&ahead) + 1);
    }
    if (start == NULL)
        return json_no_memory(w);
    char *to = start;
    while (!accept(&w->r, '"')) {
        const SnBytes plain = advance(&w->r, plain_size(w->r));
        if (plain.n > 0)
            memcpy(to, plain.at, plain.n);
        to += plain.n;
        if (w->r.left > 0 && w->r.at[0] == '"')
            continue;
        if (!accept(&w->r, '\\'))
            return json_stop(w, w->r.left == 0 ? "the string does not end" : "control character in a string");
        if (!read_escape(w, &to))
            return false;
    }
    *out = sn_bytes(start, (size_t)(to - start));
    *to = '\0';
    if (w->strings != NULL)
        w->strings = to + 1;
    return true;
}

/* Most numbers: digits that fit. */
static bool read_short_int(SnReader *r, int64_t *out)
{
    size_t n = 0;
    *out = 0;
    for (; n < r->left && n < 18 && r->at[n] >= '0' && r->at[n] <= '9'; n++)
        *out = 10 * *out + (r->at[n] - '0');
    const uint8_t next = n < r->left ? r->at[n] : ' ';
    const bool goes_on = (next >= '0' && next <= '9') || next == '.' || (next | 0x20) == 'e';
    return n > 0 && !goes_on && (n == 1 || r->at[0] != '0') && advance(r, n).n > 0;
}

static bool read_number(SnJsonWalk *w, SnJson *v)
{
    *v = (SnJson){.kind = SN_JSON_INT};
    if (read_short_int(&w->r, &v->u.integer))
        return true;
    if (accept_word(&w->r, "-Infinity")) {
        *v = (SnJson){.kind = SN_JSON_FLOAT, .u.number = -(double)INFINITY};
        return true;
    }
    SnDecimal d;
    const char *text = (const char *)w->r.at;
    if (!decimal_read(&w->r, &d))
        return json_stop(w, "expected a value");
    if (decimal_int(&d, &v->u.integer))
        return true;
    *v = (SnJson){.kind = SN_JSON_FLOAT, .u.number = decimal_f64(&d)};
    const size_t n = (size_t)((const char *)w->r.at - text);
    if (!d.is_integer || n > UINT32_MAX)
        return true;
    v->n = (uint32_t)n;
    v->u.digits = sn_arena_strndup(w->arena, text, n);
    return v->u.digits != NULL || json_no_memory(w);
}

/* ---- walking ---- */

static bool in_object(const SnJsonWalk *w)
{
    return w->is_object >> (w->depth - 1) & 1;
}

bool sn_json_open(SnJsonWalk *w)
{
    skip_space(&w->r);
    const bool is_object = w->r.left > 0 && w->r.at[0] == '{';
    if (w->st != SN_OK || (!is_object && (w->r.left == 0 || w->r.at[0] != '[')))
        return false;
    (void)advance(&w->r, 1);
    if (w->depth == SN_JSON_DEPTH)
        return json_stop(w, "nested more than 64 deep");
    const uint64_t bit = UINT64_C(1) << w->depth++;
    w->is_object = is_object ? w->is_object | bit : w->is_object & ~bit;
    w->is_first = true;
    return true;
}

bool sn_json_more(SnJsonWalk *w, SnBytes *key)
{
    if (w->st != SN_OK || w->depth == 0)
        return false;
    const bool is_object = in_object(w);
    *key = (SnBytes){NULL, 0};
    skip_space(&w->r);
    if (accept(&w->r, is_object ? '}' : ']')) {
        w->depth--;
        w->is_first = false;
        return false;
    }
    if (!w->is_first && !accept(&w->r, ','))
        return json_stop(w, is_object ? "expected ',' or '}'" : "expected ',' or ']'");
    w->is_first = false;
    if (!is_object)
        return true;
    skip_space(&w->r);
    if (!accept(&w->r, '"'))
        return json_stop(w, "expected a key");
    if (!read_string(w, key))
        return false;
    skip_space(&w->r);
    return accept(&w->r, ':') || json_stop(w, "expected ':'");
}

/* The container that comes next, with as many strings as are in it; nothing else is looked at. */
static SnJson skip_container(SnReader *r)
{
    SnJson v = {.kind = SN_JSON_LATER, .u.string = {r->at, r->left}};
    size_t depth = 0;
    do {
        const uint8_t c = *advance(r, 1).at;
        if (c == '"') {
            (void)skip_string(r);
            v.n += v.n < UINT32_MAX;
        } else if (c >= '[') /* all brackets are */
            depth += (size_t)(c == '[' || c == '{') - (size_t)(c == ']' || c == '}');
    } while (depth > 0 && r->left > 0);
    v.u.string.n -= r->left;
    return v;
}

/* A container that is left for later: a member of a member of the root. */
static bool leave_value(SnJsonWalk *w, SnBytes key, SnJson *v)
{
    bool is_later = false;
    for (const char *const *name = w->later; w->depth == 2 && name != NULL && *name != NULL; name++)
        is_later |= sn_bytes_is(key, *name);
    skip_space(&w->r);
    if (!is_later || w->r.left == 0 || (w->r.at[0] != '[' && w->r.at[0] != '{'))
        return false;
    *v = skip_container(&w->r);
    return true;
}

/* After the opening bracket. */
static bool read_container(SnJsonWalk *w, SnJson *v)
{
    const size_t first = w->stack.n;
    const bool is_object = in_object(w);
    SnBytes key;
    SnJson member;
    while (sn_json_more(w, &key)) {
        if (!leave_value(w, key, &member) && !sn_json_take(w, &member))
            return false;
        member.key = key;
        if (!sn_vec_push(w->arena->memory, &w->stack, member))
            return json_no_memory(w);
    }
    const size_t n = w->stack.n - first;
    if (w->st == SN_OK && n > UINT32_MAX)
        return json_stop(w, "more than 4294967295 values in a row");
    *v = (SnJson){.kind = is_object ? SN_JSON_OBJECT : SN_JSON_ARRAY, .n = (uint32_t)n};
    if (n == 0 || w->st != SN_OK)
        return w->st == SN_OK;
    v->u.child = (SnJson *)sn_arena_array(w->arena, n, sizeof *v);
    if (v->u.child == NULL)
        return json_no_memory(w);
    memcpy(v->u.child, w->stack.at + first, n * sizeof *v);
    w->stack.n = first;
    return true;
}

bool sn_json_take_string(SnJsonWalk *w, SnBytes *out)
{
    skip_space(&w->r);
    return w->st == SN_OK && accept(&w->r, '"') && read_string(w, out);
}

static bool take_plain(SnReader *r, SnBytes *out)
{
    skip_space(r);
    if (!accept(r, '"'))
        return false;
    *out = advance(r, plain_size(*r));
    return accept(r, '"');
}

bool sn_json_take_pair(SnJsonWalk *w, SnBytes out[2])
{
    SnBytes key;
    skip_space(&w->r);
    SnReader r = w->r;
    bool is_plain = w->st == SN_OK && accept(&r, '[') && take_plain(&r, &out[0]);
    skip_space(&r);
    is_plain = is_plain && accept(&r, ',') && take_plain(&r, &out[1]);
    skip_space(&r);
    if (is_plain && accept(&r, ']')) {
        w->r = r;
        return true;
    }
    return sn_json_open(w) && sn_json_more(w, &key) && sn_json_take_string(w, &out[0]) &&
           sn_json_more(w, &key) && sn_json_take_string(w, &out[1]) && !sn_json_more(w, &key);
}

bool sn_json_take(SnJsonWalk *w, SnJson *v)
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
    if (sn_json_open(w))
        return read_container(w, v);
    if (w->st != SN_OK)
        return false;
    if (w->r.left > 0 && w->r.at[0] == '"') {
        *v = (SnJson){.kind = SN_JSON_STRING};
        return sn_json_take_string(w, &v->u.string);
    }
    for (size_t i = 0; !is_digit(w->r) && i < SN_COUNT(word); i++) {
        if (accept_word(&w->r, word[i].text)) {
            *v = word[i].value;
            return true;
        }
    }
    return read_number(w, v);
}

SnStatus sn_json_parse_some(SnArena *arena, const char *name, SnBytes text, const char *const *later,
                            SnJson **out, SnError *err)
{
    SN_CHECK(sn_utf8_valid(text), err, SN_EFORMAT, "%s: is not UTF-8", name);
    SnJsonWalk w = {
        .arena = arena, .name = name, .text = text, .r = sn_reader(text), .later = later, .err = err};
    SnJson *root = (SnJson *)sn_arena_alloc(arena, sizeof *root);
    /* A string with its NUL is shorter than with its quotes. */
    w.strings = later == NULL ? (char *)sn_arena_alloc(arena, text.n) : NULL;
    if (root == NULL || (w.strings == NULL && later == NULL)) {
        (void)json_no_memory(&w);
    } else if (sn_json_take(&w, root)) {
        skip_space(&w.r);
        if (w.r.left != 0)
            (void)json_stop(&w, "expected the end");
    }
    sn_vec_clear(arena->memory, &w.stack);
    if (w.st == SN_OK)
        *out = root;
    return w.st;
}

SnStatus sn_json_read(SnContext *ctx, SnArena *arena, const char *path, SnJson **out, SnError *err)
{
    SnFile *file = NULL;
    SN_TRY(sn_file_open(ctx, path, &file, err));
    const SnStatus st = sn_json_parse(arena, path, sn_file_bytes(file), out, err);
    sn_file_release(file);
    return st;
}

SnStatus sn_json_parse(SnArena *arena, const char *name, SnBytes text, SnJson **out, SnError *err)
{
    return sn_json_parse_some(arena, name, text, NULL, out, err);
}

void sn_json_walk(SnJsonWalk *w, SnArena *arena, const char *name, SnBytes text, const SnJson *later,
                  SnError *err)
{
    *w = (SnJsonWalk){.arena = arena, .name = name, .text = text, .err = err};
    w->r = sn_reader(later->u.string);
}

SnStatus sn_json_walk_end(SnJsonWalk *w)
{
    sn_vec_clear(w->arena->memory, &w->stack);
    return w->st;
}

/* ---- looking at values ---- */

const SnJson *sn_json_get(const SnJson *object, const char *key)
{
    if (object == NULL || object->kind != SN_JSON_OBJECT)
        return NULL;
    for (uint32_t i = object->n; i-- > 0;)
        if (sn_bytes_is(object->u.child[i].key, key))
            return &object->u.child[i];
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

bool sn_json_bool_of(const SnJson *object, const char *key, bool otherwise)
{
    (void)sn_json_bool(sn_json_get(object, key), &otherwise);
    return otherwise;
}

int64_t sn_json_int_of(const SnJson *object, const char *key, int64_t otherwise)
{
    (void)sn_json_int(sn_json_get(object, key), &otherwise);
    return otherwise;
}

double sn_json_number_of(const SnJson *object, const char *key, double otherwise)
{
    (void)sn_json_number(sn_json_get(object, key), &otherwise);
    return otherwise;
}

SnBytes sn_json_string_of(const SnJson *object, const char *key, const char *otherwise)
{
    SnBytes s = sn_bytes_str(otherwise);
    (void)sn_json_string(sn_json_get(object, key), &s);
    return s;
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
    for (; *at != 'e'; at++)
        if (*at >= '0' && *at <= '9')
            d->digit[d->n++] = *at;
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
        if (is_object)
            sn_json_put_member(t, &v->u.child[i]);
        else
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
        if (v->n)
            sn_text_add(t, v->u.digits, v->n);
        else
            sn_json_put_f64(t, v->u.number);
        break;
    case SN_JSON_STRING:
        sn_json_put_string(t, v->u.string);
        break;
    case SN_JSON_LATER:
        sn_text_add(t, (const char *)v->u.string.at, v->u.string.n);
        break;
    case SN_JSON_ARRAY:
    case SN_JSON_OBJECT:
        put_children(t, v);
        break;
    }
}

void sn_json_put_member(SnText *t, const SnJson *v)
{
    sn_json_put_string(t, v->key);
    sn_text_add(t, ": ", 2);
    sn_json_put(t, v);
}
