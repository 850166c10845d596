/* text_lex.c -- tokens of the text form, from hostile bytes.
 *
 * Lines end tokens of their own except inside ( and [. A comment is `;` at the start of a line or after white
 * space; a `;` that touches the token before it separates captured values. */
#include "compiler/text.h"

#include "runtime/json.h"

#include <math.h>

SnStatus sn_lex_fail(const SnLexer *l, SnError *err, const char *format, ...)
{
    SnError what;
    va_list args;
    va_start(args, format);
    sn_failv(&what, SN_EFORMAT, format, args);
    va_end(args);
    return sn_fail(err, SN_EFORMAT, "%s:%u: %s", l->name, l->now.line != 0 ? l->now.line : l->line,
                   what.message);
}

static int peek(const SnLexer *l, size_t k)
{
    return k < l->in.left ? l->in.at[k] : -1;
}

static bool is_letter(int c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

static bool is_digit(int c)
{
    return c >= '0' && c <= '9';
}

static bool is_white(int c)
{
    return c == ' ' || c == '\t' || c == '\r';
}

/* Skips white space and comments; true: something was skipped. */
static bool skip_white(SnLexer *l, bool at_line_start)
{
    bool skipped = at_line_start;
    for (;;) {
        const int c = peek(l, 0);
        if (c == ';' && skipped) {
            while (peek(l, 0) != '\n' && peek(l, 0) != -1)
                (void)sn_skip(&l->in, 1);
        } else if (is_white(c) || (c == '\n' && l->nest > 0)) {
            l->line += c == '\n';
            (void)sn_skip(&l->in, 1);
        } else {
            return skipped;
        }
        skipped = true;
    }
}

static SnBytes take_word(SnLexer *l, bool with_dots)
{
    size_t n = 0;
    for (;; n++) {
        const int c = peek(l, n);
        const bool dot = with_dots && c == '.' && (is_letter(peek(l, n + 1)) || is_digit(peek(l, n + 1)));
        if (!is_letter(c) && !is_digit(c) && !dot)
            break;
    }
    return sn_take(&l->in, n);
}

static int hex_digit(int c)
{
    if (is_digit(c))
        return c - '0';
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* "text" with \" \\ \n and \xHH. */
static SnStatus lex_string(SnLexer *l, SnError *err)
{
    size_t end = 1;
    while (peek(l, end) != '"') {
        if (peek(l, end) == -1 || peek(l, end) == '\n')
            return sn_lex_fail(l, err, "a text does not end");
        end += peek(l, end) == '\\' ? 2 : 1;
    }
    const SnBytes in = sn_take(&l->in, end + 1);
    char *out = (char *)sn_arena_alloc(l->arena, end + 1);
    size_t n = 0;
    if (out == NULL)
        return sn_fail(err, SN_ENOMEM, "no memory for a text");
    for (size_t i = 1; i < end; i++) {
        char c = (char)in.at[i];
        if (c == '\\') {
            c = (char)in.at[++i];
            if (c == 'n') {
                c = '\n';
            } else if (c == 'x' && i + 2 < end && hex_digit(in.at[i + 1]) >= 0 &&
                       hex_digit(in.at[i + 2]) >= 0) {
                c = (char)(hex_digit(in.at[i + 1]) * 16 + hex_digit(in.at[i + 2]));
                i += 2;
            } else if (c != '"' && c != '\\') {
                return sn_lex_fail(l, err, "unknown escape \\%c", c);
            }
        }
        out[n++] = c;
    }
    l->now.kind = SN_TOKEN_STRING;
    l->now.text = sn_bytes(out, n);
    return SN_OK;
}

static SnStatus lex_hex(SnLexer *l, SnError *err)
{
    size_t n = 2;
    while (hex_digit(peek(l, n)) >= 0)
        n++;
    if (peek(l, n) != '"' || n % 2 != 0)
        return sn_lex_fail(l, err, "bytes do not end, or end in half a byte");
    const SnBytes in = sn_take(&l->in, n + 1);
    uint8_t *out = (uint8_t *)sn_arena_alloc(l->arena, n / 2);
    if (out == NULL)
        return sn_fail(err, SN_ENOMEM, "no memory for bytes");
    for (size_t i = 2; i < n; i += 2)
        out[i / 2 - 1] = (uint8_t)(hex_digit(in.at[i]) * 16 + hex_digit(in.at[i + 1]));
    l->now.kind = SN_TOKEN_HEX;
    l->now.text = sn_bytes(out, n / 2 - 1);
    return SN_OK;
}

/* The JSON reader knows how to read a float without the locale. */
static SnStatus read_float(SnLexer *l, SnBytes text, SnError *err)
{
    SnJson *json;
    double v;
    if (text.n > 64 || sn_json_parse(l->arena, l->name, text, &json, NULL) != SN_OK ||
        !sn_json_number(json, &v))
        return sn_lex_fail(l, err, "not a number");
    l->now.kind = SN_TOKEN_FLOAT;
    l->now.number = v;
    return SN_OK;
}

/* is_index: after a dot, as in %x.0.1 */
static SnStatus lex_number(SnLexer *l, bool is_index, SnError *err)
{
    const bool minus = peek(l, 0) == '-';
    size_t n = minus;
    bool is_float = false, fits = true;
    for (;; n++) {
        const int c = peek(l, n);
        const bool point = c == '.' && is_digit(peek(l, n + 1)) && !is_float && !is_index;
        const bool sign =
            (c == '+' || c == '-') && (peek(l, n - 1) == 'e' || peek(l, n - 1) == 'E') && n > minus;
        if (c == 'e' || c == 'E' || point)
            is_float = true;
        else if (!is_digit(c) && !(sign && is_float))
            break;
    }
    const SnBytes text = sn_take(&l->in, n);
    if (is_float)
        return read_float(l, text, err);
    uint64_t v = 0;
    for (size_t i = minus; i < n; i++) {
        const uint64_t digit = (uint64_t)(text.at[i] - '0');
        fits = fits && v <= (UINT64_MAX - digit) / 10;
        v = v * 10 + digit;
    }
    if (!fits || (minus && v > (uint64_t)INT64_MAX + 1))
        return sn_lex_fail(l, err, "the integer does not fit 64 bits");
    l->now.kind = SN_TOKEN_INT;
    l->now.magnitude = v;
    l->now.is_negative = minus;
    return SN_OK;
}

/* A word that means a number. */
static void name_or_number(SnLexer *l, SnBytes text)
{
    l->now.kind = SN_TOKEN_NAME;
    l->now.text = text;
    if (sn_bytes_is(text, "inf") || sn_bytes_is(text, "nan")) {
        l->now.kind = SN_TOKEN_FLOAT;
        l->now.number = text.at[0] == 'i' ? HUGE_VAL : (double)NAN;
    }
}

static SnStatus lex_punct(SnLexer *l, SnError *err)
{
    static const char known[] = "()[]{}<>,:=*+-/;|.";
    const int c = peek(l, 0);
    if (c < 0x20 || c > 0x7E || strchr(known, c) == NULL)
        return sn_lex_fail(l, err, "unexpected character 0x%02X", (unsigned)c);
    l->now.kind = SN_TOKEN_PUNCT;
    l->now.punct = c == '.' && peek(l, 1) == '.' ? 'R' : (char)c;
    (void)sn_skip(&l->in, l->now.punct == 'R' ? 2 : 1);
    if (c == '(' || c == '[')
        l->nest++;
    if ((c == ')' || c == ']') && l->nest > 0)
        l->nest--;
    return SN_OK;
}

static bool starts_negative_number(const SnLexer *l, bool spaced)
{
    /* `[a -1]` has no meaning and `[a-1]` is a difference: a sign belongs to a number after white space or an
     * opening bracket. */
    const SnToken *before = &l->now;
    const bool opens = before->kind == SN_TOKEN_PUNCT && strchr("([{,=<:", before->punct) != NULL;
    return peek(l, 0) == '-' && is_digit(peek(l, 1)) && (spaced || opens);
}

int sn_lex_joined(const SnLexer *l)
{
    return peek(l, 0);
}

bool sn_lex_follows(const SnLexer *l, char c)
{
    size_t k = 0;
    while (is_white(peek(l, k)))
        k++;
    return peek(l, k) == c;
}

SnStatus sn_lex_next(SnLexer *l, SnError *err)
{
    const bool first = l->now.line == 0 || l->now.kind == SN_TOKEN_LINE;
    const bool spaced = skip_white(l, first);
    const bool negative = starts_negative_number(l, spaced);
    const bool is_index = l->now.kind == SN_TOKEN_PUNCT && l->now.punct == '.';
    const int c = peek(l, 0);
    l->now = (SnToken){.line = l->line, .is_joined = !spaced};
    if (c == -1) {
        l->now.kind = SN_TOKEN_END;
        return SN_OK;
    }
    if (c == '\n') {
        l->line++;
        l->now.kind = SN_TOKEN_LINE;
        (void)sn_skip(&l->in, 1);
        return SN_OK;
    }
    if (c == '"')
        return lex_string(l, err);
    if (c == 'x' && peek(l, 1) == '"')
        return lex_hex(l, err);
    if (is_digit(c) || negative)
        return lex_number(l, is_index, err);
    if (c == '-' && peek(l, 1) == 'i' && peek(l, 2) == 'n' && peek(l, 3) == 'f') {
        (void)sn_skip(&l->in, 4);
        l->now.kind = SN_TOKEN_FLOAT;
        l->now.number = -HUGE_VAL;
        return SN_OK;
    }
    if (is_letter(c)) {
        name_or_number(l, take_word(l, true));
        return SN_OK;
    }
    if ((c == '%' || c == '@') && (is_letter(peek(l, 1)) || is_digit(peek(l, 1)))) {
        (void)sn_skip(&l->in, 1);
        l->now.kind = c == '%' ? SN_TOKEN_VALUE : SN_TOKEN_FN;
        l->now.text = take_word(l, c == '@');
        return SN_OK;
    }
    return lex_punct(l, err);
}
