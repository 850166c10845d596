/* lex.c -- text of a template to tokens.
 *
 * Data between tags is trimmed here: by `-` signs, by trim_blocks (the line end after a block) and by
 * lstrip_blocks (the blanks before one that begins a line). */
#include "frontends/jinja/run.h"

#include <stdlib.h>

#define MAX_BRACKETS 400

static const char *const op_text[] = {
#define X(id, text) text,
    SN_JI_OPS(X)
#undef X
};

typedef struct Lexer {
    SnArena *arena;
    const SnAllocator *memory;
    const char *name;
    const char *at, *begin, *end;
    uint32_t line;
    SN_VEC(SnJiToken) tokens;
    char closer[MAX_BRACKETS]; /* of brackets that are open */
    size_t nclosers;
    bool line_starts; /* the tag before ended with a line end */
    SnError *err;
} Lexer;

static SnStatus fail(const Lexer *x, const char *what)
{
    return sn_fail(x->err, SN_EFORMAT, "%s, line %u: %s", x->name, x->line, what);
}

static SnStatus push(Lexer *x, SnJiToken token)
{
    SN_CHECK(sn_vec_push(x->memory, &x->tokens, token), x->err, SN_ENOMEM, "%s: no memory", x->name);
    return SN_OK;
}

static bool looking_at(const Lexer *x, const char *text)
{
    const size_t n = strlen(text);
    return (size_t)(x->end - x->at) >= n && memcmp(x->at, text, n) == 0;
}

static bool is_space_at(const char *at, const char *end, const char **next)
{
    if (at == end)
        return false;
    *next = at;
    return (sn_ji_code_flags(sn_ji_next_code(next)) & SN_JI_SPACE) != 0;
}

static const char *skip_space(const char *at, const char *end)
{
    const char *next;
    while (is_space_at(at, end, &next))
        at = next;
    return at;
}

static const char *skip_space_back(const char *begin, const char *at)
{
    while (at > begin) {
        const char *before = at;
        if (!(sn_ji_code_flags(sn_ji_code_before(&before)) & SN_JI_SPACE))
            break;
        at = before;
    }
    return at;
}

/* Goes on to `to`, counting lines. */
static void advance(Lexer *x, const char *to)
{
    for (; x->at < to; x->at++)
        x->line += *x->at == '\n';
}

/* ---- data ---- */

/* Pushes the text from..to, which a tag with this sign follows. */
static SnStatus push_data(Lexer *x, const char *from, const char *to, char sign, bool is_print, uint32_t line)
{
    if (sign == '-') {
        to = skip_space_back(from, to);
    } else if (sign != '+' && !is_print) {
        const char *start = to;
        while (start > from && start[-1] != '\n')
            start--;
        if ((start > from || x->line_starts) && skip_space(start, to) == to)
            to = start;
    }
    if (to == from)
        return SN_OK;
    return push(x, (SnJiToken){SN_JI_T_DATA, line, {.text = sn_bytes(from, (size_t)(to - from))}});
}

static char sign_at(const Lexer *x)
{
    return x->at < x->end && (*x->at == '-' || *x->at == '+') ? *x->at : 0;
}

/* Past the end of a tag and the white space that goes with it. */
static void leave_tag(Lexer *x, const char *to, bool strips, bool trims)
{
    advance(x, to);
    if (strips)
        advance(x, skip_space(x->at, x->end));
    else if (trims && x->at < x->end && *x->at == '\n')
        advance(x, x->at + 1);
    x->line_starts = x->at[-1] == '\n';
}

/* [+-]? closer at x->at, as ends of blocks and comments are; false: something else. */
static bool at_end_tag(const Lexer *x, const char *at, const char *closer, bool *strips, const char **after)
{
    const bool has_sign = at < x->end && (*at == '-' || *at == '+');
    const char *p = at + has_sign;
    if (x->end - p < 2 || memcmp(p, closer, 2) != 0)
        return false;
    *strips = has_sign && *at == '-';
    *after = p + 2;
    return true;
}

static SnStatus lex_comment(Lexer *x)
{
    const char *after = NULL;
    bool strips = false;
    for (const char *p = x->at; p < x->end; p++)
        if (at_end_tag(x, p, "#}", &strips, &after)) {
            const bool has_plus = *p == '+';
            leave_tag(x, after, strips, !has_plus);
            return SN_OK;
        }
    return fail(x, "missing end of comment tag");
}

/* Is a tag {% word %} at `at`? sign: of its beginning. */
static bool at_word_tag(const Lexer *x, const char *at, const char *word, char *sign, const char **after)
{
    const size_t n = strlen(word);
    if (x->end - at < 2 || memcmp(at, "{%", 2) != 0)
        return false;
    at += 2;
    *sign = at < x->end && (*at == '-' || *at == '+') ? *at : 0;
    at = skip_space(at + (*sign != 0), x->end);
    if ((size_t)(x->end - at) < n || memcmp(at, word, n) != 0)
        return false;
    *after = skip_space(at + n, x->end);
    return true;
}

static SnStatus lex_raw(Lexer *x)
{
    const char *const from = x->at, *after = NULL;
    const uint32_t line = x->line;
    bool strips = false;
    char sign = 0;
    for (const char *p = x->at; p < x->end; p++)
        if (*p == '{' && at_word_tag(x, p, "endraw", &sign, &after)) {
            const bool has_plus = after < x->end && *after == '+';
            if (!at_end_tag(x, after, "%}", &strips, &after))
                continue;
            advance(x, p);
            SN_TRY(push_data(x, from, p, sign, false, line));
            leave_tag(x, after, strips, !has_plus);
            return SN_OK;
        }
    return fail(x, "missing end of raw directive");
}

/* {% raw %} at x->at: past it. Nothing is trimmed after one without a sign. */
static bool skip_raw_begin(Lexer *x, char *sign)
{
    const char *after = NULL;
    bool strips = false;
    if (!at_word_tag(x, x->at, "raw", sign, &after) || (after < x->end && *after == '+') ||
        !at_end_tag(x, after, "%}", &strips, &after))
        return false;
    leave_tag(x, after, strips, false);
    return true;
}

/* ---- inside tags ---- */

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_digit_of(char c, unsigned base)
{
    return sn_ji_digit(c) < base;
}

/* (_?digit)* */
static const char *skip_digits(const char *p, const char *end, unsigned base)
{
    while (p < end) {
        const char *q = p + (*p == '_');
        if (q >= end || !is_digit_of(*q, base))
            break;
        p = q + 1;
    }
    return p;
}

/* The end of a float literal at p; NULL: it is none. */
static const char *float_end(const Lexer *x, const char *p)
{
    const char *end = x->end, *q = p;
    bool is_float = false;
    if ((p > x->begin && p[-1] == '.') || !is_digit(*p))
        return NULL;
    q = skip_digits(q, end, 10);
    if (end - q >= 2 && *q == '.' && is_digit(q[1])) {
        q = skip_digits(q + 1, end, 10);
        is_float = true;
    }
    if (q < end && (*q == 'e' || *q == 'E')) {
        const char *e = q + 1 + (end - q > 1 && (q[1] == '+' || q[1] == '-'));
        if (e < end && is_digit(*e)) {
            q = skip_digits(e, end, 10);
            is_float = true;
        }
    }
    return is_float ? q : NULL;
}

static SnStatus lex_float(Lexer *x, const char *to)
{
    SnJiToken token = {SN_JI_T_FLOAT, x->line, {{0}}};
    const uint32_t n = (uint32_t)(to - x->at);
    double v = 0;
    if (!sn_ji_parse_float((SnJiText){x->at, n, n}, &v))
        return fail(x, "expected a number, of not so many digits");
    token.u.value = sn_ji_float(v);
    advance(x, to);
    return push(x, token);
}

static SnStatus lex_integer(Lexer *x)
{
    unsigned base = 10;
    const char *p = x->at;
    SnJiToken token = {SN_JI_T_INT, x->line, {{0}}};
    if (*p == '0' && x->end - p > 2) {
        const char kind = (char)(p[1] | 32);
        const unsigned other = kind == 'x' ? 16 : kind == 'o' ? 8 : kind == 'b' ? 2 : 0;
        if (other && skip_digits(p + 2, x->end, other) > p + 2) {
            base = other;
            p += 2;
        }
    }
    /* A number that begins with 0 is zeros alone. */
    const char *to = skip_digits(p, x->end, base == 10 && *p == '0' ? 1 : base);
    const char *wrong =
        sn_ji_parse_digits(x->arena, sn_bytes(p, (size_t)(to - p)), base, false, &token.u.value);
    if (wrong)
        return fail(x, wrong);
    advance(x, to);
    return push(x, token);
}

static bool hex_escape(const char **p, const char *end, int n, uint32_t *cp)
{
    *cp = 0;
    for (int i = 0; i < n; i++, ++*p) {
        if (*p >= end || !is_digit_of(**p, 16))
            return false;
        *cp = *cp * 16 + sn_ji_digit(**p);
    }
    return *cp <= 0x10FFFF && (*cp < 0xD800 || *cp > 0xDFFF);
}

/* What comes after a backslash; *p goes past it. Unknown escapes stay as they are. */
static SnStatus unescape(Lexer *x, const char **p, const char *end, SnText *out)
{
    static const char from[] = "\\'\"abfnrtv", to[] = "\\'\"\a\b\f\n\r\t\v";
    char utf8[4];
    const char c = *(*p)++, *known = strchr(from, c);
    uint32_t cp = 0;
    if (c == '\n')
        return SN_OK;
    if (c && known) {
        sn_text_add(out, &to[known - from], 1);
        return SN_OK;
    }
    if (c == 'x' || c == 'u' || c == 'U') {
        if (!hex_escape(p, end, c == 'x' ? 2 : c == 'u' ? 4 : 8, &cp))
            return fail(x, "an escape in a string that is no character");
    } else if (c >= '0' && c <= '7') {
        cp = (uint32_t)(c - '0');
        for (int i = 0; i < 2 && *p < end && **p >= '0' && **p <= '7'; i++)
            cp = cp * 8 + (uint32_t)(*(*p)++ - '0');
    } else if (c == 'N') {
        return fail(x, "characters by name in a string");
    } else {
        sn_text_add(out, "\\", 1);
        sn_text_add(out, &c, 1);
        return SN_OK;
    }
    sn_text_add(out, utf8, (size_t)sn_utf8_put(cp, utf8));
    return SN_OK;
}

static SnStatus lex_string(Lexer *x)
{
    const char quote = *x->at;
    const char *to = x->at + 1;
    SnText out = {.memory = x->memory};
    while (to < x->end && *to != quote)
        to += *to == '\\' && x->end - to > 1 ? 2 : 1;
    if (to >= x->end)
        return fail(x, "a string that does not end");
    SnStatus st = SN_OK;
    for (const char *p = x->at + 1; p < to && st == SN_OK;) {
        const char *run = p;
        while (p < to && *p != '\\')
            p++;
        sn_text_add(&out, run, (size_t)(p - run));
        if (p++ < to)
            st = unescape(x, &p, to, &out);
    }
    const char *own = out.failed ? NULL : sn_arena_strndup(x->arena, out.at ? out.at : "", out.n);
    if (st == SN_OK && !own)
        st = sn_fail(x->err, SN_ENOMEM, "%s: no memory", x->name);
    if (st == SN_OK)
        st = push(x, (SnJiToken){SN_JI_T_STRING, x->line, {.text = sn_bytes(own, out.n)}});
    sn_text_clear(&out);
    advance(x, to + 1);
    return st;
}

static SnStatus lex_op(Lexer *x)
{
    size_t op = 0;
    while (op < SN_COUNT(op_text) && !looking_at(x, op_text[op]))
        op++;
    if (op == SN_COUNT(op_text)) {
        const char *next = x->at;
        (void)sn_ji_next_code(&next);
        return sn_fail(x->err, SN_EFORMAT, "%s, line %u: unexpected character '%.*s'", x->name, x->line,
                       (int)(next - x->at), x->at);
    }
    const char c = *x->at;
    const char *open = strchr("([{", c), *close = strchr(")]}", c);
    if (open) {
        if (x->nclosers == MAX_BRACKETS)
            return fail(x, "brackets are nested too deeply");
        x->closer[x->nclosers++] = ")]}"[strchr("([{", c) - "([{"];
    } else if (close && (x->nclosers == 0 || x->closer[--x->nclosers] != c)) {
        return sn_fail(x->err, SN_EFORMAT, "%s, line %u: unexpected '%c'", x->name, x->line, c);
    }
    SN_TRY(push(x, (SnJiToken){(uint32_t)(SN_JI_T_OP + op), x->line, {{0}}}));
    advance(x, x->at + strlen(op_text[op]));
    return SN_OK;
}

static SnStatus lex_token(Lexer *x)
{
    const char *p = x->at, *next;
    const uint32_t flags = sn_ji_code_flags(sn_ji_next_code(&p));
    const char *to = float_end(x, x->at);
    if (to)
        return lex_float(x, to);
    if (is_digit(*x->at))
        return lex_integer(x);
    if (*x->at == '\'' || *x->at == '"')
        return lex_string(x);
    if (!(flags & (SN_JI_WORD | SN_JI_START)))
        return lex_op(x);
    for (next = p; next < x->end && sn_ji_code_flags(sn_ji_next_code(&next)) & (SN_JI_WORD | SN_JI_START);)
        p = next;
    if (!(flags & SN_JI_START))
        return fail(x, "invalid character in an identifier");
    SN_TRY(push(x, (SnJiToken){SN_JI_T_NAME, x->line, {.text = sn_bytes(x->at, (size_t)(p - x->at))}}));
    advance(x, p);
    return SN_OK;
}

/* The tokens of {% %} or {{ }} and its end. */
static SnStatus lex_tag(Lexer *x, bool is_print)
{
    x->nclosers = 0;
    for (;;) {
        const char *after = NULL;
        bool strips = false;
        if (x->nclosers == 0 && at_end_tag(x, x->at, is_print ? "}}" : "%}", &strips, &after) &&
            !(is_print && *x->at == '+')) {
            const bool has_plus = *x->at == '+';
            SN_TRY(push(x, (SnJiToken){is_print ? SN_JI_T_PRINT_END : SN_JI_T_BLOCK_END, x->line, {{0}}}));
            leave_tag(x, after, strips, !is_print && !has_plus);
            return SN_OK;
        }
        const char *next = skip_space(x->at, x->end);
        if (next > x->at) {
            advance(x, next);
            continue;
        }
        if (x->at == x->end)
            return SN_OK;
        SN_TRY(lex_token(x));
    }
}

/* ---- all of it ---- */

/* Line ends are \n, and the last one of the text is not part of it. */
static SnStatus normalize(Lexer *x, SnBytes text)
{
    char *own = sn_arena_alloc(x->arena, text.n + 1);
    size_t n = 0;
    SN_CHECK(own, x->err, SN_ENOMEM, "%s: no memory for %zu bytes", x->name, text.n);
    for (size_t i = 0; i < text.n; i++)
        if (text.at[i] != '\r')
            own[n++] = (char)text.at[i];
        else if (i + 1 == text.n || text.at[i + 1] != '\n')
            own[n++] = '\n';
    n -= n > 0 && own[n - 1] == '\n';
    x->begin = x->at = own;
    x->end = own + n;
    return SN_OK;
}

static SnStatus lex_data(Lexer *x)
{
    const char *const from = x->at, *tag = x->at;
    const uint32_t line = x->line;
    while (tag < x->end && !(x->end - tag >= 2 && *tag == '{' && strchr("%{#", tag[1]) && tag[1]))
        tag++;
    if (tag == x->end) {
        advance(x, tag);
        return from == tag
                   ? SN_OK
                   : push(x, (SnJiToken){SN_JI_T_DATA, line, {.text = sn_bytes(from, (size_t)(tag - from))}});
    }
    const bool is_print = tag[1] == '{', is_block = tag[1] == '%', line_starts = x->line_starts;
    char sign = 0;
    advance(x, tag);
    if (is_block && skip_raw_begin(x, &sign)) {
        const bool after = x->line_starts;
        x->line_starts = line_starts;
        SN_TRY(push_data(x, from, tag, sign, false, line));
        x->line_starts = after;
        return lex_raw(x);
    }
    advance(x, tag + 2);
    sign = sign_at(x);
    SN_TRY(push_data(x, from, tag, sign, is_print, line));
    x->at += sign != 0;
    if (!is_block && !is_print)
        return lex_comment(x);
    SN_TRY(push(x, (SnJiToken){is_print ? SN_JI_T_PRINT_BEGIN : SN_JI_T_BLOCK_BEGIN, x->line, {{0}}}));
    return lex_tag(x, is_print);
}

SnStatus sn_ji_lex(SnArena *arena, const char *name, SnBytes text, SnJiTokens *out, SnError *err)
{
    Lexer x = {
        .arena = arena, .memory = arena->memory, .name = name, .line = 1, .line_starts = true, .err = err};
    SN_CHECK(sn_utf8_valid(text), err, SN_EFORMAT, "%s is not UTF-8", name);
    SnStatus st = normalize(&x, text);
    while (st == SN_OK && x.at < x.end)
        st = lex_data(&x);
    if (st == SN_OK)
        st = push(&x, (SnJiToken){SN_JI_T_EOF, x.line, {{0}}});
    SnJiToken *own = st == SN_OK ? sn_arena_array(arena, x.tokens.n, sizeof *own) : NULL;
    if (st == SN_OK && !own)
        st = sn_fail(err, SN_ENOMEM, "%s: no memory", name);
    if (own) {
        memcpy(own, x.tokens.at, x.tokens.n * sizeof *own);
        *out = (SnJiTokens){own, x.tokens.n};
    }
    sn_vec_clear(x.memory, &x.tokens);
    return st;
}
