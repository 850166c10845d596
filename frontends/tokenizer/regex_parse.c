/* regex_parse.c -- regular expressions to syntax trees. */
#include "frontends/tokenizer/regex.h"

#include <inttypes.h>
#include <string.h>

enum { MAX_DEPTH = 64, MAX_REPEAT = 1000 };

typedef struct Parser {
    SnArena *a;
    SnReader r;
    SnError *err;
    bool ignores_case, dot_is_all, is_python;
    int depth;
} Parser;

/* ---- reading ------------------------------------------------------------------------------------------ */

static SnStatus unsupported(const Parser *p, const char *what)
{
    return sn_fail(p->err, SN_EUNSUPPORTED, "pattern: %s is not supported", what);
}

static SnStatus malformed(const Parser *p, const char *what)
{
    return sn_fail(p->err, SN_EFORMAT, "pattern: %s", what);
}

static int peek(const Parser *p, size_t i)
{
    return i < p->r.left ? p->r.at[i] : -1;
}

static bool take(Parser *p, const char *s)
{
    const size_t n = strlen(s);
    return p->r.left >= n && memcmp(p->r.at, s, n) == 0 && sn_skip(&p->r, n);
}

static SnStatus new_node(Parser *p, SnRegexKind kind, SnRegexNode **out)
{
    *out = sn_arena_alloc(p->a, sizeof **out);
    SN_CHECK(*out != NULL, p->err, SN_ENOMEM, "no memory for a pattern");
    (*out)->kind = kind;
    return SN_OK;
}

/* Up to `most` digits of a base. */
static bool number(Parser *p, uint32_t base, int most, uint32_t *out)
{
    int n = 0;
    for (*out = 0; n < most; n++) {
        const int c = peek(p, 0), low = c | 0x20;
        const uint32_t digit = c >= '0' && c <= '9'       ? (uint32_t)(c - '0')
                               : low >= 'a' && low <= 'f' ? (uint32_t)(low - 'a' + 10)
                                                          : 16;
        if (digit >= base)
            break;
        *out = *out * base + digit;
        (void)sn_skip(&p->r, 1);
    }
    return n > 0;
}

/* ---- escapes ------------------------------------------------------------------------------------------ */

/* \p{NAME}, \p{^NAME}, \P{NAME}; after the letter. */
static SnStatus property(Parser *p, bool inverts, SnCodeSet *out)
{
    const uint8_t *end = p->r.left > 0 ? memchr(p->r.at, '}', p->r.left) : NULL;
    if (!take(p, "{") || end == NULL)
        return malformed(p, "\\p without a name in braces");
    inverts ^= take(p, "^");
    const SnBytes name = sn_take(&p->r, (size_t)(end - p->r.at));
    (void)sn_skip(&p->r, 1);
    if (!sn_set_named(p->a, out, name))
        return sn_fail(p->err, SN_EUNSUPPORTED, "pattern: \\p{%.*s} is not supported",
                       (int)(name.n < 60 ? name.n : 60), (const char *)name.at);
    if (inverts)
        *out = sn_set_not(p->a, out);
    return SN_OK;
}

/* The character of \n, \x41, \x{41}, \u0041 and of escaped signs; c is what follows the backslash. */
static SnStatus escaped(Parser *p, uint32_t c, uint32_t *out)
{
    static const char letters[] = "ntrfvae", values[] = "\n\t\r\f\v\a\x1B";
    const char *at = c != 0 && c < 0x80 ? strchr(letters, (int)c) : NULL;
    *out = at != NULL ? (uint32_t)values[at - letters] : c;
    if (at != NULL)
        return SN_OK;
    if (c == 'x' || c == 'u') {
        const bool braced = c == 'x' && take(p, "{");
        if (!number(p, 16,
                    braced     ? 6
                    : c == 'x' ? 2
                               : 4,
                    out) ||
            (braced && !take(p, "}")) || *out > 0x10FFFF)
            return malformed(p, "\\x or \\u without a code point");
        return *out >= 0x80 && c == 'x' && !braced ? unsupported(p, "\\x of half a character") : SN_OK;
    }
    const bool is_word = (c >= '0' && c <= '9') || ((c | 0x20) >= 'a' && (c | 0x20) <= 'z');
    if (is_word && c < 0x80)
        return sn_fail(p->err, SN_EUNSUPPORTED, "pattern: \\%c is not supported", (int)c);
    return SN_OK;
}

/* A set's escape: *is_set, else one character. The backslash was read. */
static SnStatus escape(Parser *p, SnCodeSet *set, bool *is_set, uint32_t *c)
{
    if (p->r.left == 0)
        return malformed(p, "ends in a backslash");
    *c = sn_read_utf8(&p->r);
    *is_set = true;
    if (*c == 'p' || *c == 'P')
        return property(p, *c == 'P', set);
    if (*c < 0x80 && sn_set_escape(p->a, set, (char)(*c | 0x20)) && (*c | 0x20) != *c) {
        *set = sn_set_not(p->a, set);
        return SN_OK;
    }
    if (set->n > 0)
        return SN_OK;
    *is_set = false;
    return escaped(p, *c, c);
}

/* ---- classes ------------------------------------------------------------------------------------------ */

static SnStatus class_body(Parser *p, SnCodeSet *out);

/* [:name:] and [:^name:]; the bracket was read. */
static SnStatus posix_class(Parser *p, SnCodeSet *out)
{
    (void)take(p, ":");
    const bool inverts = take(p, "^");
    size_t n = 0;
    while (n < p->r.left && p->r.at[n] != ':')
        n++;
    const SnBytes name = sn_take(&p->r, n);
    if (!take(p, ":]") || !sn_set_named(p->a, out, name))
        return unsupported(p, "this [: :] class");
    if (inverts)
        *out = sn_set_not(p->a, out);
    return SN_OK;
}

/* One member of a class: a set, or a character. */
static SnStatus class_member(Parser *p, SnCodeSet *set, bool *is_set, uint32_t *c)
{
    *is_set = true;
    if (p->r.left == 0)
        return malformed(p, "a [ without ]");
    if (peek(p, 0) == '[') {
        (void)sn_skip(&p->r, 1);
        return peek(p, 0) == ':' ? posix_class(p, set) : class_body(p, set);
    }
    if (take(p, "\\"))
        return escape(p, set, is_set, c);
    *is_set = false;
    *c = sn_read_utf8(&p->r);
    return SN_OK;
}

static SnStatus class_item(Parser *p, SnCodeSet *out)
{
    SnCodeSet set = {.failed = false}, last_set = {.failed = false};
    bool is_set, ends_in_set;
    uint32_t first = 0, last = 0;
    SN_TRY(class_member(p, &set, &is_set, &first));
    if (is_set) {
        sn_set_add_all(p->a, out, &set);
        return SN_OK;
    }
    if (peek(p, 0) != '-' || peek(p, 1) == ']' || peek(p, 1) < 0) {
        sn_set_add(p->a, out, first, first);
        return SN_OK;
    }
    (void)take(p, "-");
    SN_TRY(class_member(p, &last_set, &ends_in_set, &last));
    if (ends_in_set || last < first)
        return malformed(p, "a range in [ ] ends before it begins");
    sn_set_add(p->a, out, first, last);
    return SN_OK;
}

/* What follows a bracket, up to and with the one that closes it. */
static SnStatus class_body(Parser *p, SnCodeSet *out)
{
    SnCodeSet all = {.failed = false};
    bool has_left = false;
    if (++p->depth > MAX_DEPTH)
        return malformed(p, "is nested too deep");
    const bool inverts = take(p, "^");
    *out = (SnCodeSet){.failed = false};
    if (peek(p, 0) == ']' && p->r.left > 1 && memchr(p->r.at + 1, ']', p->r.left - 1) != NULL) {
        sn_set_add(p->a, out, ']', ']');
        (void)take(p, "]");
    }
    while (!take(p, "]")) {
        if (take(p, "&&")) {
            all = has_left ? sn_set_and(p->a, &all, out) : *out;
            has_left = true;
            *out = (SnCodeSet){.failed = false};
            continue;
        }
        SN_TRY(class_item(p, out));
    }
    if (has_left)
        *out = sn_set_and(p->a, &all, out);
    if (p->ignores_case)
        sn_set_fold(p->a, out);
    if (inverts)
        *out = sn_set_not(p->a, out);
    p->depth--;
    return SN_OK;
}

/* ---- trees -------------------------------------------------------------------------------------------- */

static SnStatus alternatives(Parser *p, SnRegexNode **out);

/* Whether a node looks at one character only: adds what it accepts. */
static bool as_one(Parser *p, const SnRegexNode *n, SnCodeSet *set, bool *ends)
{
    if (n->kind == SN_RE_SET || n->kind == SN_RE_LOOK) {
        sn_set_add_all(p->a, set, &n->set);
        *ends |= n->kind == SN_RE_LOOK && n->ends;
        return true;
    }
    if (n->child == NULL || !(n->kind == SN_RE_ANY || (n->kind == SN_RE_ALL && n->child->next == NULL)))
        return false;
    for (const SnRegexNode *c = n->child; c != NULL; c = c->next)
        if (!as_one(p, c, set, ends))
            return false;
    return true;
}

static SnStatus look_ahead(Parser *p, bool inverts, SnRegexNode **out)
{
    SnCodeSet set = {.failed = false};
    bool ends = false;
    SN_TRY(new_node(p, SN_RE_AHEAD, out));
    (*out)->inverts = inverts;
    SN_TRY(alternatives(p, &(*out)->child));
    if (!take(p, ")"))
        return malformed(p, "a ( without )");
    if (p->is_python || !as_one(p, (*out)->child, &set, &ends))
        return SN_OK;
    **out = (SnRegexNode){
        .kind = SN_RE_LOOK, .ends = ends != inverts, .set = inverts ? sn_set_not(p->a, &set) : set};
    return SN_OK;
}

static SnStatus look_behind(Parser *p, bool inverts, SnRegexNode **out)
{
    if (p->is_python)
        return unsupported(p, "look-behind");
    SN_TRY(new_node(p, SN_RE_BEHIND, out));
    (*out)->inverts = inverts;
    SN_TRY(alternatives(p, &(*out)->child));
    return take(p, ")") ? SN_OK : malformed(p, "a ( without )");
}

/* (?P<name>; after the bracket. */
static SnStatus named_group(Parser *p, SnRegexNode **out)
{
    const uint8_t *end = p->r.left > 0 ? memchr(p->r.at, '>', p->r.left) : NULL;
    if (end == NULL)
        return malformed(p, "a group's name without >");
    SN_TRY(new_node(p, SN_RE_GROUP, out));
    (*out)->name = sn_take(&p->r, (size_t)(end - p->r.at));
    (void)sn_skip(&p->r, 1);
    SN_TRY(alternatives(p, &(*out)->child));
    return take(p, ")") ? SN_OK : malformed(p, "a ( without )");
}

/* (?i) (?i: (?-m: ...; after the question mark. */
static SnStatus options(Parser *p, SnRegexNode **out)
{
    const bool ignores_case = p->ignores_case, dot_is_all = p->dot_is_all;
    bool on = true;
    for (int c = peek(p, 0); c != ':' && c != ')'; c = peek(p, 0)) {
        if (c == '-')
            on = false;
        else if (c == 'i')
            p->ignores_case = on;
        else if (c == (p->is_python ? 's' : 'm'))
            p->dot_is_all = on;
        else
            return unsupported(p, "this kind of (? )");
        (void)sn_skip(&p->r, 1);
    }
    if (take(p, ":")) {
        SN_TRY(alternatives(p, out));
        if (!take(p, ")"))
            return malformed(p, "a ( without )");
        p->ignores_case = ignores_case;
        p->dot_is_all = dot_is_all;
        return SN_OK;
    }
    (void)take(p, ")");
    return alternatives(p, out); /* it holds up to the end of the group */
}

static SnStatus group(Parser *p, SnRegexNode **out)
{
    const bool ignores_case = p->ignores_case, dot_is_all = p->dot_is_all;
    if (++p->depth > MAX_DEPTH)
        return malformed(p, "is nested too deep");
    SnStatus st;
    if (take(p, "?="))
        st = look_ahead(p, false, out);
    else if (take(p, "?!"))
        st = look_ahead(p, true, out);
    else if (take(p, "?<="))
        st = look_behind(p, false, out);
    else if (take(p, "?<!"))
        st = look_behind(p, true, out);
    else if (p->is_python && take(p, "?P<"))
        st = named_group(p, out);
    else if (take(p, "?>"))
        st = unsupported(p, "an atomic group");
    else if (take(p, "?"))
        st = options(p, out);
    else {
        SN_TRY(alternatives(p, out));
        st = take(p, ")") ? SN_OK : malformed(p, "a ( without )");
    }
    p->ignores_case = ignores_case;
    p->dot_is_all = dot_is_all;
    p->depth--;
    return st;
}

static SnStatus set_node(Parser *p, const SnCodeSet *set, SnRegexNode **out)
{
    SN_TRY(new_node(p, SN_RE_SET, out));
    (*out)->set = *set;
    return SN_OK;
}

static SnStatus anchor(Parser *p, bool before_newline, SnRegexNode **out)
{
    SN_TRY(new_node(p, SN_RE_LOOK, out));
    (*out)->ends = true;
    if (before_newline)
        sn_set_add(p->a, &(*out)->set, '\n', '\n');
    return SN_OK;
}

/* What other signs stand for. */
static const struct {
    const char *sign, *text;
    bool is_python;
} short_forms[] = {{"\\b", "(?<=\\w)(?!\\w)|(?<!\\w)(?=\\w)", false},
                   {"\\B", "(?<=\\w)(?=\\w)|(?<!\\w)(?!\\w)", false},
                   {"\\A", "(?<![\\s\\S])", false},
                   {"^", "\\A|(?<=\\n)(?!\\z)", false},
                   {"\\Z", "(?=\\n?\\z)", false},
                   {"$", "(?=\\n?\\Z)", true}};

static SnStatus short_form(Parser *p, SnRegexNode **out)
{
    *out = NULL;
    for (size_t i = 0; i < SN_COUNT(short_forms) && *out == NULL; i++) {
        if (short_forms[i].is_python != p->is_python || !take(p, short_forms[i].sign))
            continue;
        const SnReader rest = p->r;
        p->r = sn_reader(sn_bytes_str(short_forms[i].text));
        SN_TRY(alternatives(p, out));
        p->r = rest;
    }
    return SN_OK;
}

static SnStatus atom(Parser *p, SnRegexNode **out)
{
    SnCodeSet set = {.failed = false};
    bool is_set = false;
    uint32_t c = 0;
    if (take(p, "("))
        return group(p, out);
    if (take(p, "[")) {
        SN_TRY(class_body(p, &set));
        return set_node(p, &set, out);
    }
    if (take(p, ".")) {
        sn_set_add(p->a, &set, 0, p->dot_is_all ? 0x10FFFF : '\n' - 1);
        sn_set_add(p->a, &set, '\n' + 1, 0x10FFFF);
        return set_node(p, &set, out);
    }
    SN_TRY(short_form(p, out));
    if (*out != NULL)
        return SN_OK;
    if (take(p, "$"))
        return anchor(p, true, out);
    if (take(p, p->is_python ? "\\Z" : "\\z"))
        return anchor(p, false, out);
    if (p->is_python && (take(p, "^") || take(p, "\\A")))
        return new_node(p, SN_RE_BEGIN, out);
    if (take(p, "\\"))
        SN_TRY(escape(p, &set, &is_set, &c));
    else if ((c = sn_read_utf8(&p->r)) == '*' || c == '+' || c == '?')
        return malformed(p, "a repeat of nothing");
    if (!is_set)
        sn_set_add(p->a, &set, c, c);
    if (p->ignores_case)
        sn_set_fold(p->a, &set);
    return set_node(p, &set, out);
}

/* {n} {n,} {,m} {n,m}; false: these characters are no repeat. */
static bool braces(Parser *p, uint32_t *min, uint32_t *max)
{
    const SnReader before = p->r;
    if (!take(p, "{"))
        return false;
    const bool has_min = number(p, 10, 6, min);
    const bool has_comma = take(p, ",");
    const bool has_max = has_comma && number(p, 10, 6, max);
    if (!has_comma)
        *max = *min;
    else if (!has_max)
        *max = SN_RE_MORE;
    if ((has_min || has_max) && take(p, "}"))
        return true;
    p->r = before;
    return false;
}

static bool is_one(const SnRegexNode *n)
{
    return n->kind == SN_RE_SET || (n->kind == SN_RE_ALL && n->child != NULL && n->child->next == NULL &&
                                    n->child->kind == SN_RE_SET);
}

/* The repeats after an atom. */
static SnStatus repeats(Parser *p, SnRegexNode **n)
{
    for (;;) {
        SnRegexNode *x;
        uint32_t min = 0, max = SN_RE_MORE;
        const bool in_braces = braces(p, &min, &max);
        if (!in_braces && take(p, "?"))
            max = 1;
        else if (!in_braces && take(p, "+"))
            min = 1;
        else if (!in_braces && !take(p, "*"))
            return SN_OK;
        if (min > MAX_REPEAT || (max != SN_RE_MORE && (max > MAX_REPEAT || max < min)))
            return unsupported(p, "a repeat of more than 1000 times");
        SN_TRY(new_node(p, SN_RE_REPEAT, &x));
        x->min = min;
        x->max = max;
        x->child = *n;
        const bool is_exact = in_braces && min == max; /* then ? makes it optional */
        if (!is_exact || p->is_python)
            x->is_lazy = take(p, "?");
        if (!in_braces && !x->is_lazy)
            x->is_possessive = take(p, "+");
        if (x->is_possessive && !is_one(*n))
            return unsupported(p, "a possessive repeat of more than one character");
        *n = x;
    }
}

static SnStatus sequence(Parser *p, SnRegexNode **out)
{
    SN_TRY(new_node(p, SN_RE_ALL, out));
    SnRegexNode **end = &(*out)->child;
    while (p->r.left > 0 && peek(p, 0) != '|' && peek(p, 0) != ')') {
        SN_TRY(atom(p, end));
        SN_TRY(repeats(p, end));
        end = &(*end)->next;
    }
    return SN_OK;
}

static SnStatus alternatives(Parser *p, SnRegexNode **out)
{
    SN_TRY(new_node(p, SN_RE_ANY, out));
    SnRegexNode **end = &(*out)->child;
    do {
        SN_TRY(sequence(p, end));
        end = &(*end)->next;
    } while (take(p, "|"));
    return SN_OK;
}

static SnStatus parse(Parser *p, SnBytes pattern, SnRegexNode **out)
{
    SN_CHECK(sn_utf8_valid(pattern), p->err, SN_EFORMAT, "pattern: not UTF-8");
    SN_TRY(alternatives(p, out));
    return p->r.left == 0 ? SN_OK : malformed(p, "a ) without (");
}

SnStatus sn_regex_parse(SnArena *a, SnBytes pattern, SnRegexNode **out, SnError *err)
{
    SnError own;
    Parser p = {.a = a, .r = sn_reader(pattern), .err = err != NULL ? err : &own};
    return parse(&p, pattern, out);
}

SnStatus sn_regex_parse_python(SnArena *a, SnBytes pattern, SnRegexNode **out, SnError *err)
{
    SnError own;
    Parser p = {.a = a,
                .r = sn_reader(pattern),
                .err = err != NULL ? err : &own,
                .dot_is_all = true,
                .is_python = true};
    return parse(&p, pattern, out);
}
