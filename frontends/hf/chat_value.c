/* chat_value.c -- the text of a region as a value: content parsers, transforms, and arguments of tools by
 * their schemas, as content_parsers.py and response_parser.py of Transformers 5.23 have them. */
#include "frontends/hf/chat_parse.h"

#include "frontends/tokenizer/regex.h"

#include <math.h>

#define OPEN  "\x01"
#define CLOSE "\x02"
#define DEPTH 32 /* of parsers in parsers */

typedef struct Value {
    SnArena *a;
    const char *field;
    SnError *err;
} Value;

typedef SnStatus Parser(const Value *v, SnBytes text, const SnJson *args, int depth, SnJson *out);

static SnStatus no_memory(const Value *v)
{
    return sn_fail(v->err, SN_ENOMEM, "no memory for a message");
}

static SnJson string_value(SnBytes s)
{
    return (SnJson){.kind = SN_JSON_STRING, .u.string = s};
}

/* The text, in the arena; at NULL: no memory. */
static SnBytes own_text(const Value *v, SnText *t)
{
    const char *own = t->failed ? NULL : sn_arena_strndup(v->a, t->at ? t->at : "", t->n);
    const SnBytes s = sn_bytes(own, own ? t->n : 0);
    sn_text_clear(t);
    return s;
}

/* ---- text ---- */

bool sn_chat_is_blank(uint8_t b)
{
    return b == ' ' || (b >= '\t' && b <= '\r') || (b >= 0x1C && b <= 0x1F);
}

SnBytes sn_chat_strip(SnBytes s)
{
    while (s.n && sn_chat_is_blank(s.at[0]))
        s = sn_bytes(s.at + 1, s.n - 1);
    while (s.n && sn_chat_is_blank(s.at[s.n - 1]))
        s.n--;
    return s;
}

static SnBytes strip_by(SnBytes s, const SnJson *args)
{
    return sn_json_bool_of(args, "strip", true) ? sn_chat_strip(s) : s;
}

/* Where `what` stands in s; s.n: nowhere. */
static size_t find(SnBytes s, SnBytes what, size_t from)
{
    for (size_t i = from; what.n <= s.n && i <= s.n - what.n; i++)
        if (memcmp(s.at + i, what.at, what.n) == 0)
            return i;
    return s.n;
}

static bool is_word(SnBytes s, const char *lower)
{
    const size_t n = strlen(lower);
    for (size_t i = 0; i < n && s.n == n; i++)
        if ((s.at[i] >= 'A' && s.at[i] <= 'Z' ? s.at[i] | 0x20 : s.at[i]) != (uint8_t)lower[i])
            return false;
    return s.n == n;
}

/* ---- numbers, as int() and float() read them ---- */

/* Without underscores between digits and a plus sign; n 0: it is no number. */
static size_t plain_number(SnBytes s, char *out, size_t room)
{
    size_t n = 0;
    s = sn_chat_strip(s);
    for (size_t i = s.n && s.at[0] == '+'; i < s.n && n < room; i++) {
        const bool joins = i > 0 && i + 1 < s.n && s.at[i - 1] >= '0' && s.at[i - 1] <= '9' &&
                           s.at[i + 1] >= '0' && s.at[i + 1] <= '9';
        const bool begins = s.at[i] == '.' && (n == 0 || out[n - 1] == '-');
        if (s.at[i] == '_' && joins)
            continue;
        if (begins)
            out[n++] = '0';
        if (n < room)
            out[n++] = (char)s.at[i];
        if (s.at[i] == '.' && n < room && (i + 1 == s.n || (s.at[i + 1] | 0x20) == 'e') &&
            !(begins && i + 1 == s.n))
            out[n++] = '0';
    }
    return n < room ? n : 0;
}

/* Zeros before digits, which JSON does not have. */
static SnBytes without_zeros(char *s, size_t n)
{
    const size_t sign = n > 0 && s[0] == '-';
    size_t skip = sign;
    while (skip + 1 < n && s[skip] == '0' && s[skip + 1] >= '0' && s[skip + 1] <= '9')
        skip++;
    memmove(s + sign, s + skip, n - skip);
    return sn_bytes(s, n - (skip - sign));
}

static bool read_float(SnBytes s, double *out)
{
    char own[512];
    const SnBytes word = sn_chat_strip(s);
    const size_t sign = word.n && (word.at[0] == '-' || word.at[0] == '+');
    const SnBytes rest = sn_bytes(word.at + sign, word.n - sign);
    if (is_word(rest, "inf") || is_word(rest, "infinity") || is_word(rest, "nan")) {
        *out = is_word(rest, "nan") ? (double)NAN : word.at[0] == '-' ? -(double)INFINITY : (double)INFINITY;
        return true;
    }
    return sn_parse_f64(without_zeros(own, plain_number(s, own, sizeof own)), out);
}

/* What does not fit an i64 is a float, as in JSON. */
static bool read_int(SnBytes s, SnJson *out)
{
    char own[512];
    const SnBytes digits = without_zeros(own, plain_number(s, own, sizeof own));
    const size_t sign = digits.n > 0 && digits.at[0] == '-';
    uint64_t n = 0;
    double wide = 0;
    bool fits = true;
    for (size_t i = sign; i < digits.n; i++) {
        const uint64_t d = (uint64_t)digits.at[i] - '0';
        if (d > 9)
            return false;
        fits = fits && n <= (INT64_MAX - d) / 10;
        n = fits ? 10 * n + d : n;
    }
    if (digits.n == sign || !sn_parse_f64(digits, &wide))
        return false;
    *out = fits ? (SnJson){.kind = SN_JSON_INT, .u.integer = sign ? -(int64_t)n : (int64_t)n}
                : (SnJson){.kind = SN_JSON_FLOAT, .u.number = wide};
    return true;
}

/* ---- parsers ---- */

static SnStatus parse_text(const Value *v, SnBytes text, const SnJson *args, int depth, SnJson *out)
{
    (void)v, (void)depth;
    *out = string_value(strip_by(text, args));
    return SN_OK;
}

static SnStatus parse_int(const Value *v, SnBytes text, const SnJson *args, int depth, SnJson *out)
{
    (void)args, (void)depth;
    SN_CHECK(read_int(text, out), v->err, SN_EINVAL,
             "Field '%s': invalid literal for int() with base 10: '%.*s'", v->field,
             (int)(text.n < 60 ? text.n : 60), (const char *)text.at);
    return SN_OK;
}

static SnStatus parse_float(const Value *v, SnBytes text, const SnJson *args, int depth, SnJson *out)
{
    (void)args, (void)depth;
    *out = (SnJson){.kind = SN_JSON_FLOAT};
    SN_CHECK(read_float(text, &out->u.number), v->err, SN_EINVAL,
             "Field '%s': could not convert string to float: '%.*s'", v->field,
             (int)(text.n < 60 ? text.n : 60), (const char *)text.at);
    return SN_OK;
}

static SnStatus parse_bool(const Value *v, SnBytes text, const SnJson *args, int depth, SnJson *out)
{
    (void)v, (void)depth;
    const SnBytes s = strip_by(text, args);
    *out = (SnJson){.kind = SN_JSON_BOOL, .u.boolean = is_word(s, "true") || is_word(s, "1")};
    return SN_OK;
}

/* Strings between marks of their own become JSON strings, by way of numbers so that nothing in them is seen.
 */
static SnStatus take_strings(const Value *v, const SnJson *delims, SnBytes *text, SnJson *taken)
{
    *taken = (SnJson){.kind = SN_JSON_ARRAY};
    taken->u.child = sn_arena_array(v->a, text->n / 2 + 1, sizeof *taken->u.child);
    if (!taken->u.child)
        return no_memory(v);
    for (uint32_t i = 0; i < delims->n; i++) {
        SnBytes open, close;
        SnText t = {.memory = v->a->memory};
        SN_CHECK(sn_json_string(sn_json_at(&delims->u.child[i], 0), &open) &&
                     sn_json_string(sn_json_at(&delims->u.child[i], 1), &close) && open.n && close.n,
                 v->err, SN_EFORMAT, "Field '%s': string_delims is no list of pairs of strings", v->field);
        size_t at = 0;
        for (;;) {
            const size_t begin = find(*text, open, at);
            const size_t end = begin < text->n ? find(*text, close, begin + open.n) : text->n;
            if (end == text->n)
                break;
            sn_text_add(&t, (const char *)text->at + at, begin - at);
            sn_text_printf(&t, OPEN "%u" CLOSE, taken->n);
            taken->u.child[taken->n++] =
                string_value(sn_bytes(text->at + begin + open.n, end - begin - open.n));
            at = end + close.n;
        }
        sn_text_add(&t, (const char *)text->at + at, text->n - at);
        *text = own_text(v, &t);
        if (!text->at)
            return no_memory(v);
    }
    return SN_OK;
}

static bool is_name(uint8_t b)
{
    return b == '_' || b >= 0x80 || (b >= '0' && b <= '9') || ((b | 0x20) >= 'a' && (b | 0x20) <= 'z');
}

/* Names behind { or , and before : get quotes; strings that were taken out come back. */
static SnStatus put_back(const Value *v, bool quotes_keys, const SnJson *taken, SnBytes *text)
{
    SnText t = {.memory = v->a->memory};
    for (size_t i = 0; i < text->n;) {
        size_t n = 0;
        const bool may_be_key = quotes_keys && i > 0 && (text->at[i - 1] == '{' || text->at[i - 1] == ',');
        while (may_be_key && i + n < text->n && is_name(text->at[i + n]))
            n++;
        if (n && i + n < text->n && text->at[i + n] == ':') {
            sn_text_printf(&t, "\"%.*s\":", (int)n, (const char *)text->at + i);
            i += n + 1;
        } else if (text->at[i] == *OPEN && taken->n) {
            uint32_t k = 0;
            for (i++; i < text->n && text->at[i] != *CLOSE; i++)
                k = 10 * k + text->at[i] - '0';
            i++;
            if (k < taken->n)
                sn_json_put_string(&t, taken->u.child[k].u.string);
        } else {
            sn_text_add(&t, (const char *)text->at + i++, 1);
        }
    }
    *text = own_text(v, &t);
    return text->at ? SN_OK : no_memory(v);
}

static SnStatus parse_json(const Value *v, SnBytes text, const SnJson *args, int depth, SnJson *out)
{
    const SnJson *delims = sn_json_get(args, "string_delims");
    const bool has_delims = delims && delims->kind == SN_JSON_ARRAY && delims->n,
               quotes_keys = sn_json_bool_of(args, "unquoted_keys", false);
    SnBytes working = text;
    SnJson taken = {.kind = SN_JSON_ARRAY}, *json = NULL;
    SnError err = {0};
    (void)depth;
    SN_CHECK(!has_delims || (!memchr(text.at, *OPEN, text.n) && !memchr(text.at, *CLOSE, text.n)), v->err,
             SN_EINVAL,
             "json: input contains reserved sentinel characters (\\x01/\\x02); cannot parse safely.");
    if (has_delims)
        SN_TRY(take_strings(v, delims, &working, &taken));
    if (has_delims || quotes_keys)
        SN_TRY(put_back(v, quotes_keys, &taken, &working));
    const SnStatus st = sn_json_parse(v->a, v->field, working, &json, &err);
    if (st == SN_OK)
        *out = *json;
    else if (st == SN_EFORMAT && sn_json_bool_of(args, "allow_non_json", false))
        *out = string_value(strip_by(text, args));
    else
        return sn_fail(v->err, st == SN_ENOMEM ? st : SN_EINVAL,
                       "json parser could not parse region as JSON. Content: '%.*s' Error: %s",
                       (int)(text.n < 120 ? text.n : 120), (const char *)text.at, err.message);
    return SN_OK;
}

static Parser parse_xml, parse_lines;
static const struct {
    const char *name;
    Parser *parse;
} parsers[] = {
    {"text", parse_text}, {"int", parse_int},        {"float", parse_float},    {"bool", parse_bool},
    {"json", parse_json}, {"xml-inline", parse_xml}, {"kv-lines", parse_lines},
};

bool sn_chat_content(const SnJson *name)
{
    for (size_t i = 0; i < SN_COUNT(parsers); i++)
        if (sn_json_is(name, parsers[i].name))
            return true;
    return false;
}

/* By the parser of that name, of texts where none is named. */
static SnStatus parse(const Value *v, SnBytes text, const SnJson *name, const SnJson *args, int depth,
                      SnJson *out)
{
    SN_CHECK(depth < DEPTH, v->err, SN_EFORMAT, "Field '%s': parsers are nested too deep", v->field);
    for (size_t i = 0; i < SN_COUNT(parsers); i++)
        if (name ? sn_json_is(name, parsers[i].name) : i == 0)
            return parsers[i].parse(v, text, args, depth + 1, out);
    return sn_fail(v->err, SN_EFORMAT, "Field '%s': unknown content parser", v->field);
}

static SnStatus parse_part(const Value *v, SnBytes text, const SnJson *args, int depth, SnJson *out)
{
    const SnJson *part = sn_json_get(args, "value_parser");
    *out = string_value(text);
    if (sn_json_is_null(part))
        return SN_OK;
    return parse(v, text, sn_json_get(part, "name"), sn_json_get(part, "args"), depth, out);
}

/* object[key] = value, or where keys are merged another of its values. */
static SnStatus put_key(const Value *v, SnJson *object, SnBytes key, SnJson value, bool merges)
{
    SnJson *to = NULL;
    for (uint32_t i = 0; i < object->n && !to; i++)
        if (sn_bytes_equal(object->u.child[i].key, key))
            to = &object->u.child[i];
    if (!to && (object->n & (object->n - 1)) == 0) {
        SnJson *child = sn_arena_array(v->a, object->n ? 2 * (size_t)object->n : 1, sizeof *child);
        if (!child)
            return no_memory(v);
        if (object->n)
            memcpy(child, object->u.child, object->n * sizeof *child);
        object->u.child = child;
    }
    const bool is_more = to && merges;
    to = to ? to : &object->u.child[object->n++];
    if (is_more) {
        const uint32_t n = to->kind == SN_JSON_ARRAY ? to->n : 1;
        SnJson *child = sn_arena_array(v->a, (size_t)n + 1, sizeof *child);
        if (!child)
            return no_memory(v);
        memcpy(child, to->kind == SN_JSON_ARRAY ? to->u.child : to, n * sizeof *child);
        child[n] = value;
        value = (SnJson){.kind = SN_JSON_ARRAY, .n = n + 1, .u.child = child};
    }
    value.key = key;
    *to = value;
    return SN_OK;
}

static SnBytes group_named(const SnRegex *r, const SnRegexMatch *m, SnBytes text, const char *name, bool *has)
{
    const SnBytes *all;
    const uint32_t n = sn_regex_names(r, &all);
    *has = false;
    for (uint32_t i = 0; i < n; i++)
        if (sn_bytes_is(all[i], name) && m->group[i].end >= m->group[i].begin) {
            *has = true;
            return sn_bytes(text.at + m->group[i].begin, m->group[i].end - m->group[i].begin);
        }
    return sn_bytes("", 0);
}

static SnStatus parse_xml(const Value *v, SnBytes text, const SnJson *args, int depth, SnJson *out)
{
    SnBytes pattern;
    SnRegex *r = NULL;
    SnRegexMatch m = {0};
    bool found = true, has_key, has_value;
    SN_CHECK(sn_json_string(sn_json_get(args, "tag_pattern"), &pattern), v->err, SN_EFORMAT,
             "xml-inline: 'tag_pattern' content_arg is required");
    SN_TRY(sn_regex_compile(v->a, pattern, &r, v->err));
    *out = (SnJson){.kind = SN_JSON_OBJECT};
    for (size_t at = 0; at <= text.n;) {
        SnJson value;
        SN_TRY(sn_regex_search(v->a, r, text, at, &m, &found, v->err));
        if (!found)
            break;
        const SnBytes key = group_named(r, &m, text, "key", &has_key);
        SN_CHECK(has_key, v->err, SN_EFORMAT,
                 "xml-inline: tag_pattern must have a named group 'key'. Pattern: %.*s",
                 (int)(pattern.n < 200 ? pattern.n : 200), (const char *)pattern.at);
        SN_TRY(parse_part(v, group_named(r, &m, text, "value", &has_value), args, depth, &value));
        SN_TRY(put_key(v, out, key, value, sn_json_bool_of(args, "merge_duplicates", false)));
        at = m.end > m.begin ? m.end : m.end + 1;
    }
    return SN_OK;
}

static SnStatus parse_lines(const Value *v, SnBytes text, const SnJson *args, int depth, SnJson *out)
{
    const SnBytes by = sn_json_string_of(args, "line_sep", "\n"), is = sn_json_string_of(args, "kv_sep", ":");
    SN_CHECK(by.n && is.n, v->err, SN_EINVAL, "Field '%s': empty separator", v->field);
    *out = (SnJson){.kind = SN_JSON_OBJECT};
    for (size_t at = 0; at <= text.n;) {
        SnJson value;
        const size_t end = find(text, by, at);
        const SnBytes line = strip_by(sn_bytes(text.at + at, end - at), args);
        const size_t key = find(line, is, 0);
        at = end + by.n;
        if (key == line.n)
            continue;
        const SnBytes rest = sn_bytes(line.at + key + is.n, line.n - key - is.n);
        SN_TRY(parse_part(v, strip_by(rest, args), args, depth, &value));
        SN_TRY(put_key(v, out, strip_by(sn_bytes(line.at, key), args), value, false));
    }
    return SN_OK;
}

/* ---- transforms ---- */

/* A name and its path in braces: {name.key}. */
static bool is_placeholder(SnBytes s)
{
    if (s.n < 3 || s.at[0] != '{' || s.at[s.n - 1] != '}')
        return false;
    for (size_t i = 1; i + 1 < s.n; i++)
        if (!is_name(s.at[i]) && (s.at[i] != '.' || i == 1 || i + 2 == s.n || s.at[i - 1] == '.'))
            return false;
    return true;
}

SnStatus sn_chat_check_transform(SnArena *a, const char *field, const SnJson *v, SnError *err)
{
    SnBytes s;
    const uint32_t n = v->kind == SN_JSON_ARRAY || v->kind == SN_JSON_OBJECT ? v->n : 0;
    for (uint32_t i = 0; i < n; i++)
        SN_TRY(sn_chat_check_transform(a, field, &v->u.child[i], err));
    if (!sn_json_string(v, &s) || is_placeholder(s))
        return SN_OK;
    for (size_t i = 0; i < s.n; i++) {
        const uint8_t *end = s.at[i] == '{' ? memchr(s.at + i, '}', s.n - i) : NULL;
        SN_CHECK(
            !end || !is_placeholder(sn_bytes(s.at + i, (size_t)(end - s.at) + 1 - i)), err, SN_EFORMAT,
            "Field '%s': transform string '%.*s' mixes a {placeholder} with literal text. Use either a "
            "whole-string placeholder (e.g. \"{content}\") or a plain literal; string interpolation is not "
            "supported.",
            field, (int)(s.n < 80 ? s.n : 80), (const char *)s.at);
    }
    return SN_OK;
}

typedef struct Scope { /* the later one counts */
    const SnJson *at[2];
    uint32_t n[2];
} Scope;

static const SnJson *find_name(const Scope *s, SnBytes name)
{
    for (int k = 2; k-- > 0;)
        for (uint32_t i = s->n[k]; i-- > 0;)
            if (sn_bytes_equal(s->at[k][i].key, name))
                return &s->at[k][i];
    return NULL;
}

static SnStatus look_up(const Value *v, const Scope *scope, SnBytes path, SnJson *out)
{
    const SnJson *at = NULL;
    for (size_t from = 0; from < path.n;) {
        const size_t end = find(path, sn_bytes_str("."), from);
        const SnBytes name = sn_bytes(path.at + from, end - from);
        const char *key = sn_arena_strndup(v->a, (const char *)name.at, name.n);
        if (!key)
            return no_memory(v);
        SN_CHECK(!from || at->kind == SN_JSON_OBJECT, v->err, SN_EINVAL,
                 "transform placeholder '{%.*s}' cannot index at '%s'", (int)path.n, (const char *)path.at,
                 key);
        at = from ? sn_json_get(at, key) : find_name(scope, name);
        SN_CHECK(at, v->err, SN_EINVAL, "transform placeholder '{%.*s}' is %s", (int)path.n,
                 (const char *)path.at, from ? "missing a key" : "not defined");
        from = end + 1;
    }
    *out = *at;
    return SN_OK;
}

static SnStatus apply(const Value *v, const SnJson *transform, const Scope *scope, SnJson *out)
{
    SnBytes s;
    const SnBytes key = transform->key;
    *out = *transform;
    if (sn_json_string(transform, &s) && is_placeholder(s)) {
        SN_TRY(look_up(v, scope, sn_bytes(s.at + 1, s.n - 2), out));
        out->key = key;
    }
    if (transform->kind != SN_JSON_ARRAY && transform->kind != SN_JSON_OBJECT)
        return SN_OK;
    out->u.child = sn_arena_array(v->a, (size_t)transform->n + 1, sizeof *out->u.child);
    if (!out->u.child)
        return no_memory(v);
    for (uint32_t i = 0; i < transform->n; i++)
        SN_TRY(apply(v, &transform->u.child[i], scope, &out->u.child[i]));
    return SN_OK;
}

static SnStatus apply_each(const Value *v, const SnChatRegion *r, const SnJson *list, SnJson *out)
{
    SN_CHECK(list->kind == SN_JSON_ARRAY, v->err, SN_EINVAL,
             "Field '%s': transform_each requires the parsed content to be a list", v->field);
    *out = (SnJson){.kind = SN_JSON_ARRAY, .n = list->n};
    out->u.child = sn_arena_array(v->a, (size_t)list->n + 1, sizeof *out->u.child);
    if (!out->u.child)
        return no_memory(v);
    for (uint32_t i = 0; i < list->n; i++) {
        const SnJson *item = &list->u.child[i];
        SN_CHECK(item->kind == SN_JSON_OBJECT, v->err, SN_EINVAL,
                 "Field '%s': transform_each requires each list element to be a dict", v->field);
        const Scope scope = {{r->scope, item->u.child}, {r->nscope, item->n}};
        SN_TRY(apply(v, r->transform, &scope, &out->u.child[i]));
    }
    return SN_OK;
}

/* ---- arguments of tools ---- */

enum { INTEGER = 1, NUMBER, BOOLEAN, NOTHING, OBJECT, ARRAY, NTYPE };
static const char *const types[NTYPE] = {NULL, "integer", "number", "boolean", "null", "object", "array"};
#define MOST_TYPES 16

typedef struct Types {
    uint8_t at[MOST_TYPES]; /* 0: another one */
    uint32_t n;
} Types;

static void add_type(Types *t, const SnJson *name)
{
    uint8_t k = 0;
    if (!name || name->kind != SN_JSON_STRING || t->n == MOST_TYPES)
        return;
    for (uint8_t i = 1; i < NTYPE; i++)
        k = sn_json_is(name, types[i]) ? i : k;
    t->at[t->n++] = k;
}

static bool has_type(const Types *t, uint8_t type)
{
    return memchr(t->at, type, t->n) != NULL;
}

static void read_types(const SnJson *schema, int depth, Types *out)
{
    static const char *const choices[] = {"anyOf", "oneOf"};
    static const SnJson null = {.kind = SN_JSON_STRING, .u.string = {(const uint8_t *)"null", 4}};
    const SnJson *declared = sn_json_get(schema, "type");
    add_type(out, declared);
    for (uint32_t i = 0; declared && declared->kind == SN_JSON_ARRAY && i < declared->n; i++)
        add_type(out, &declared->u.child[i]);
    for (size_t k = 0; k < SN_COUNT(choices) && depth < DEPTH; k++) {
        const SnJson *all = sn_json_get(schema, choices[k]);
        for (uint32_t i = 0; all && all->kind == SN_JSON_ARRAY && i < all->n; i++)
            read_types(&all->u.child[i], depth + 1, out);
    }
    if (sn_json_bool_of(schema, "nullable", false) && !has_type(out, NOTHING))
        add_type(out, &null);
}

static bool cast_number(SnBytes raw, uint8_t type, SnJson *out)
{
    double x = 0;
    if (type == INTEGER && read_int(raw, out))
        return true;
    if (!read_float(raw, &x) || !isfinite(x))
        return false;
    const bool is_whole = floor(x) == x && fabs(x) < 9.2e18;
    if (type == INTEGER && !is_whole)
        return false;
    *out = is_whole && (type == INTEGER || !memchr(raw.at, '.', raw.n))
               ? (SnJson){.kind = SN_JSON_INT, .u.integer = (int64_t)x}
               : (SnJson){.kind = SN_JSON_FLOAT, .u.number = x};
    return true;
}

static bool cast(const Value *v, SnBytes raw, uint8_t type, SnJson *out)
{
    const SnBytes s = sn_chat_strip(raw);
    const bool yes = is_word(s, "true") || is_word(s, "1");
    SnJson *json = NULL;
    switch (type) {
    case INTEGER:
    case NUMBER:
        return cast_number(raw, type, out);
    case BOOLEAN:
        *out = (SnJson){.kind = SN_JSON_BOOL, .u.boolean = yes};
        return yes || is_word(s, "false") || is_word(s, "0");
    case NOTHING:
        *out = (SnJson){.kind = SN_JSON_NULL};
        return sn_bytes_is(s, "null") || sn_bytes_is(s, "None");
    case OBJECT:
    case ARRAY:
        if (sn_json_parse(v->a, v->field, raw, &json, NULL) != SN_OK)
            return false;
        *out = *json;
        return json->kind == (type == OBJECT ? SN_JSON_OBJECT : SN_JSON_ARRAY);
    default:
        return false;
    }
}

static void coerce(const Value *v, SnJson *value, const Types *t)
{
    SnJson out;
    if (value->kind == SN_JSON_ARRAY && !has_type(t, ARRAY))
        for (uint32_t i = 0; i < value->n; i++)
            if (value->u.child[i].kind == SN_JSON_STRING)
                coerce(v, &value->u.child[i], t);
    for (uint32_t i = 0; value->kind == SN_JSON_STRING && i < t->n; i++)
        if (cast(v, value->u.string, t->at[i], &out)) {
            out.key = value->key;
            *value = out;
            return;
        }
}

static const SnJson *find_properties(const SnJson *tools, SnBytes name)
{
    const SnJson *found = NULL;
    for (uint32_t i = 0; tools && tools->kind == SN_JSON_ARRAY && i < tools->n; i++) {
        const SnJson *tool = &tools->u.child[i], *function = sn_json_get(tool, "function");
        SnBytes own;
        function = function ? function : tool;
        if (sn_json_string(sn_json_get(function, "name"), &own) && sn_bytes_equal(own, name))
            found = sn_json_get(sn_json_get(function, "parameters"), "properties");
    }
    return found;
}

static SnStatus coerce_calls(const Value *v, const SnJson *tools, SnJson *value)
{
    SnBytes name;
    for (uint32_t i = 0; value->kind == SN_JSON_ARRAY && i < value->n; i++)
        SN_TRY(coerce_calls(v, tools, &value->u.child[i]));
    SnJson *function = (SnJson *)(uintptr_t)sn_json_get(value, "function");
    SnJson *arguments = (SnJson *)(uintptr_t)sn_json_get(function, "arguments");
    if (!sn_json_string(sn_json_get(function, "name"), &name) || !arguments ||
        arguments->kind != SN_JSON_OBJECT)
        return SN_OK;
    const SnJson *properties = find_properties(tools, name);
    for (uint32_t i = 0; properties && i < arguments->n; i++) {
        SnJson *argument = &arguments->u.child[i];
        const char *key = sn_arena_strndup(v->a, (const char *)argument->key.at, argument->key.n);
        Types t = {.n = 0};
        if (!key)
            return no_memory(v);
        read_types(sn_json_get(properties, key), 0, &t);
        coerce(v, argument, &t);
    }
    return SN_OK;
}

SnStatus sn_chat_value(SnArena *a, const SnChatRegion *r, SnBytes body, SnJson *out, SnError *err)
{
    const Value v = {a, r->field, err};
    SnJson value;
    SN_TRY(parse(&v, body, r->content, r->args, 0, &value));
    if (!r->transform) {
        *out = value;
    } else if (r->is_each) {
        SN_TRY(apply_each(&v, r, &value, out));
    } else {
        value.key = sn_bytes_str("content");
        const Scope scope = {{r->scope, &value}, {r->nscope, 1}};
        SN_TRY(apply(&v, r->transform, &scope, out));
    }
    return r->tools && r->tools->kind == SN_JSON_ARRAY && r->tools->n ? coerce_calls(&v, r->tools, out)
                                                                      : SN_OK;
}
