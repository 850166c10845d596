/* number.c -- arithmetic as Python has it: whole numbers and floats; + * % of sequences. */
#include "frontends/jinja/run.h"

#include <math.h>

void sn_ji_put_float(SnJiRun *r, double v)
{
    if (isfinite(v))
        sn_json_put_f64(r->text, v);
    else
        sn_ji_say(r, isnan(v) ? "nan" : v > 0 ? "inf" : "-inf");
}

/* A whole number with a float, exactly. */
static int compare_mixed(int64_t a, double b)
{
    if (b >= 0x1p63)
        return -1;
    if (b < -0x1p63)
        return 1;
    const int64_t whole = (int64_t)b;
    if (a != whole)
        return a < whole ? -1 : 1;
    const double rest = b - (double)whole;
    return rest > 0 ? -1 : rest < 0;
}

/* The same where that has more than 64 bits. */
static int compare_big(SnJiRun *r, SnJiValue a, double b)
{
    SnJiValue whole;
    const bool is_negative = a.u.big->is_negative;
    if (isnan(b))
        return 2;
    if (fabs(b) < 0x1p63 || isinf(b))
        return isinf(b) ? (b < 0 ? 1 : -1) : is_negative ? -1 : 1;
    return sn_ji_from_float(r, b, &whole) == SN_OK ? sn_ji_compare_wholes(a, whole) : 2;
}

int sn_ji_compare_numbers(SnJiRun *r, SnJiValue a, SnJiValue b)
{
    const bool a_int = sn_ji_is_int(a), b_int = sn_ji_is_int(b);
    if (a.kind == SN_JI_BIG || b.kind == SN_JI_BIG) {
        if (sn_ji_is_whole(a) && sn_ji_is_whole(b))
            return sn_ji_compare_wholes(a, b);
        const int sign = a.kind == SN_JI_BIG ? compare_big(r, a, b.u.number) : compare_big(r, b, a.u.number);
        return sign == 2 || a.kind == SN_JI_BIG ? sign : -sign;
    }
    if ((!a_int && isnan(a.u.number)) || (!b_int && isnan(b.u.number)))
        return 2;
    if (a_int && b_int) {
        const int64_t x = sn_ji_integer(a), y = sn_ji_integer(b);
        return x < y ? -1 : x > y;
    }
    if (a_int)
        return compare_mixed(sn_ji_integer(a), b.u.number);
    if (b_int)
        return -compare_mixed(sn_ji_integer(b), a.u.number);
    return a.u.number < b.u.number ? -1 : a.u.number > b.u.number;
}

/* ---- from text ---- */

static bool skip_prefix(const char **p, const char *end, int *base)
{
    static const struct {
        char letter;
        int base;
    } prefixes[] = {{'x', 16}, {'o', 8}, {'b', 2}};
    for (size_t i = 0; i < SN_COUNT(prefixes); i++)
        if (end - *p > 2 && **p == '0' && ((*p)[1] | 32) == prefixes[i].letter &&
            (*base == prefixes[i].base || *base == 0)) {
            *base = prefixes[i].base;
            *p += 2;
            return true;
        }
    return false;
}

SnStatus sn_ji_parse_int(SnJiRun *r, SnJiText s, int base, SnJiValue *out)
{
    s = sn_ji_strip(s, NULL, 3);
    const char *p = s.at, *end = s.at + s.n;
    const bool is_negative = p < end && *p == '-';
    bool has_digit = false, has_nonzero = false;
    *out = (SnJiValue){.kind = SN_JI_MISSING};
    p += p < end && (*p == '-' || *p == '+');
    const bool zero_base = base == 0;
    bool may_underscore = skip_prefix(&p, end, &base);
    base = base ? base : 10;
    const char *first = p;
    while (p < end) {
        p += may_underscore && *p == '_';
        if (p == end || sn_ji_digit(*p) >= (unsigned)base)
            return SN_OK;
        may_underscore = has_digit = true;
        has_nonzero = has_nonzero || *p != '0';
        p++;
    }
    /* Without a base, 0 begins nothing but 0. */
    if (!has_digit || (zero_base && base == 10 && *first == '0' && has_nonzero))
        return SN_OK;
    SN_TRY(sn_ji_spend(r, 1 + (uint64_t)(end - first) * (uint64_t)(end - first) / 1024));
    const char *wrong = sn_ji_parse_digits(&r->arena, sn_bytes(first, (size_t)(end - first)), (unsigned)base,
                                           is_negative, out);
    return wrong ? sn_ji_fail(r, "%s", wrong) : SN_OK;
}

bool sn_ji_parse_float(SnJiText s, double *out)
{
    static const struct {
        const char *name;
        double value;
    } names[] = {{"inf", (double)INFINITY}, {"infinity", (double)INFINITY}, {"nan", (double)NAN}};
    char text[512];
    size_t n = 0;
    s = sn_ji_strip(s, NULL, 3);
    const bool is_negative = s.n && *s.at == '-';
    const size_t sign = s.n && (*s.at == '-' || *s.at == '+');
    for (size_t i = sign; i < s.n; i++) {
        const char c = s.at[i];
        if (c == '_' && !(i > sign && i + 1 < s.n && s.at[i - 1] >= '0' && s.at[i - 1] <= '9' &&
                          s.at[i + 1] >= '0' && s.at[i + 1] <= '9'))
            return false;
        if (n + 2 >= sizeof text)
            return false;
        /* JSON wants a digit on both sides of the point, and no zeros before the first. */
        const bool is_point_first = c == '.' && n == 0;
        if (is_point_first)
            text[n++] = '0';
        if (c != '_' && !(n == 1 && text[0] == '0' && c >= '0' && c <= '9'))
            text[n++] = c >= 'A' && c <= 'Z' ? (char)(c | 32) : c;
        else if (c != '_')
            text[0] = c;
        const char next = i + 1 < s.n ? s.at[i + 1] : 'e';
        if (c == '.' && (next == 'e' || next == 'E')) {
            if (is_point_first)
                return false;
            text[n++] = '0';
        }
    }
    text[n] = 0;
    for (size_t i = 0; i < SN_COUNT(names); i++)
        if (strcmp(text, names[i].name) == 0) {
            *out = is_negative ? -names[i].value : names[i].value;
            return true;
        }
    if (n == 0 || text[0] < '0' || text[0] > '9' || !sn_parse_f64(sn_bytes(text, n), out))
        return false;
    *out = is_negative ? -*out : *out;
    return true;
}

/* ---- arithmetic ---- */

static SnStatus by_zero(SnJiRun *r, const char *what)
{
    return sn_ji_fail(r, "%s by zero", what);
}

#define EXACT (INT64_C(1) << 53) /* up to here floats are whole numbers */

/* Rounded down; b is not 0 and the quotient fits. */
static int64_t floor_div(int64_t a, int64_t b)
{
    return a / b - (a % b != 0 && (a < 0) != (b < 0));
}

static double float_mod(double a, double b)
{
    double m = fmod(a, b);
    if (m != 0 && (b < 0) != (m < 0))
        m += b;
    return m == 0 ? copysign(0, b) : m;
}

static double float_floor_div(double a, double b)
{
    const double mod = float_mod(a, b);
    const double div = (a - mod) / b;
    if (div == 0)
        return copysign(0, a / b);
    const double whole = floor(div);
    return div - whole > 0.5 ? whole + 1 : whole;
}

static SnStatus float_math(SnJiRun *r, SnJiOp op, double a, double b, SnJiValue *out)
{
    double v = 0;
    if (b == 0 && (op == SN_JI_OP_DIV || op == SN_JI_OP_FLOORDIV || op == SN_JI_OP_MOD))
        return by_zero(r, op == SN_JI_OP_DIV ? "float division" : "float floor division or modulo");
    if (op == SN_JI_OP_POW) {
        if (a == 0 && b < 0)
            return sn_ji_fail(r, "0.0 cannot be raised to a negative power");
        if (a < 0 && isfinite(b) && floor(b) != b)
            return sn_ji_fail(r, "complex numbers");
        v = pow(a, b);
        if (isinf(v) && isfinite(a) && isfinite(b))
            return sn_ji_fail(r, "the result of ** is too large");
    } else {
        v = op == SN_JI_OP_ADD        ? a + b
            : op == SN_JI_OP_SUB      ? a - b
            : op == SN_JI_OP_MUL      ? a * b
            : op == SN_JI_OP_DIV      ? a / b
            : op == SN_JI_OP_FLOORDIV ? float_floor_div(a, b)
                                      : float_mod(a, b);
    }
    *out = sn_ji_float(v);
    return SN_OK;
}

static SnStatus power(SnJiRun *r, SnJiValue a, SnJiValue b, SnJiValue *out)
{
    const bool is_down = b.kind == SN_JI_BIG ? b.u.big->is_negative : sn_ji_integer(b) < 0;
    const bool is_odd = b.kind == SN_JI_BIG ? b.u.big->at[0] & 1 : sn_ji_integer(b) & 1;
    if (is_down) {
        double x = 0, y = 0;
        SN_TRY(sn_ji_to_float(r, a, &x));
        SN_TRY(sn_ji_to_float(r, b, &y));
        return float_math(r, SN_JI_OP_POW, x, y, out);
    }
    if (b.kind != SN_JI_BIG && sn_ji_integer(b) == 0)
        *out = sn_ji_int(1);
    else if (a.kind != SN_JI_BIG && sn_ji_integer(a) >= -1 && sn_ji_integer(a) <= 1)
        *out = sn_ji_int(sn_ji_integer(a) == -1 && !is_odd ? 1 : sn_ji_integer(a));
    else
        return sn_ji_whole_math(r, SN_JI_OP_POW, a, b, out);
    return SN_OK;
}

/* false: 64 bits are not enough. */
static bool short_math(SnJiOp op, int64_t a, int64_t b, SnJiValue *out)
{
    int64_t v = 0;
    bool fits = true;
    switch (op) {
    case SN_JI_OP_ADD:
        fits = sn_add_i64(a, b, &v);
        break;
    case SN_JI_OP_SUB:
        fits = b != INT64_MIN && sn_add_i64(a, -b, &v);
        break;
    case SN_JI_OP_MUL:
        fits = sn_mul_i64(a, b, &v);
        break;
    case SN_JI_OP_DIV:
        *out = sn_ji_float((double)a / (double)b);
        return a >= -EXACT && a <= EXACT && b >= -EXACT && b <= EXACT;
    default:
        fits = a != INT64_MIN || b != -1;
        if (fits)
            v = op == SN_JI_OP_MOD ? a - floor_div(a, b) * b : floor_div(a, b);
        break;
    }
    *out = sn_ji_int(v);
    return fits;
}

static SnStatus whole_math(SnJiRun *r, SnJiOp op, SnJiValue a, SnJiValue b, SnJiValue *out)
{
    const bool divides = op == SN_JI_OP_DIV || op == SN_JI_OP_FLOORDIV || op == SN_JI_OP_MOD;
    if (divides && b.kind != SN_JI_BIG && sn_ji_integer(b) == 0)
        return by_zero(r, op == SN_JI_OP_DIV ? "division" : "integer division or modulo");
    if (op == SN_JI_OP_POW)
        return power(r, a, b, out);
    if (sn_ji_is_int(a) && sn_ji_is_int(b) && short_math(op, sn_ji_integer(a), sn_ji_integer(b), out))
        return SN_OK;
    return sn_ji_whole_math(r, op, a, b, out);
}

/* Text added to Markup is escaped. */
static SnStatus join_texts(SnJiRun *r, SnJiValue a, SnJiValue b, SnJiValue *out)
{
    const bool is_safe = a.is_safe || b.is_safe;
    if (is_safe) {
        SN_TRY(sn_ji_escape(r, a, &a));
        SN_TRY(sn_ji_escape(r, b, &b));
    }
    const SnJiMark outer = sn_ji_begin(r);
    sn_ji_add(r, a.u.text.at, a.u.text.n);
    sn_ji_add(r, b.u.text.at, b.u.text.n);
    SN_TRY(sn_ji_take(r, outer, out));
    out->is_safe = is_safe;
    return SN_OK;
}

static SnStatus join_lists(SnJiRun *r, SnJiValue a, SnJiValue b, SnJiValue *out)
{
    SN_TRY(sn_ji_list(r, (SnJiKind)a.kind, a.u.list->n + b.u.list->n, out));
    for (size_t i = 0; i < a.u.list->n; i++)
        SN_TRY(sn_ji_append(r, *out, a.u.list->at[i]));
    for (size_t i = 0; i < b.u.list->n; i++)
        SN_TRY(sn_ji_append(r, *out, b.u.list->at[i]));
    return SN_OK;
}

static SnStatus repeat(SnJiRun *r, SnJiValue v, int64_t times, SnJiValue *out)
{
    const bool is_text = v.kind == SN_JI_STRING;
    const size_t n = is_text ? v.u.text.n : v.u.list->n;
    times = times < 0 || n == 0 ? 0 : times;
    if (n && (uint64_t)times > r->max_memory / n)
        return sn_ji_stop(r, SN_ENOMEM, "more memory than a template may use");
    SN_TRY(sn_ji_spend(r, (uint64_t)times));
    if (is_text) {
        const SnJiMark outer = sn_ji_begin(r);
        sn_ji_fill(r, v.u.text.at, n, times);
        SN_TRY(sn_ji_take(r, outer, out));
        out->is_safe = v.is_safe;
        return SN_OK;
    }
    SN_TRY(sn_ji_list(r, (SnJiKind)v.kind, n * (size_t)times, out));
    for (int64_t i = 0; i < times; i++)
        for (size_t k = 0; k < n; k++)
            SN_TRY(sn_ji_append(r, *out, v.u.list->at[k]));
    return SN_OK;
}

static bool is_sequence(SnJiValue v)
{
    return v.kind == SN_JI_STRING || v.kind == SN_JI_LIST || v.kind == SN_JI_TUPLE;
}

SnStatus sn_ji_math(SnJiRun *r, SnJiOp op, SnJiValue a, SnJiValue b, SnJiValue *out)
{
    static const char *const names[] = {
        [SN_JI_OP_ADD] = "+",       [SN_JI_OP_SUB] = "-", [SN_JI_OP_MUL] = "*",          [SN_JI_OP_DIV] = "/",
        [SN_JI_OP_FLOORDIV] = "//", [SN_JI_OP_MOD] = "%", [SN_JI_OP_POW] = "** or pow()"};
    if (sn_ji_is_whole(a) && sn_ji_is_whole(b))
        return whole_math(r, op, a, b, out);
    if (sn_ji_is_number(a) && sn_ji_is_number(b)) {
        double x = 0, y = 0;
        SN_TRY(sn_ji_to_float(r, a, &x));
        SN_TRY(sn_ji_to_float(r, b, &y));
        return float_math(r, op, x, y, out);
    }
    if (op == SN_JI_OP_MOD && a.kind == SN_JI_STRING)
        return sn_ji_percent(r, a, b, out);
    SN_TRY(sn_ji_defined(r, a));
    SN_TRY(sn_ji_defined(r, b));
    if (op == SN_JI_OP_ADD && a.kind == b.kind && is_sequence(a))
        return a.kind == SN_JI_STRING ? join_texts(r, a, b, out) : join_lists(r, a, b, out);
    if (op == SN_JI_OP_MUL && is_sequence(a) && sn_ji_is_int(b))
        return repeat(r, a, sn_ji_integer(b), out);
    if (op == SN_JI_OP_MUL && is_sequence(b) && sn_ji_is_int(a))
        return repeat(r, b, sn_ji_integer(a), out);
    if (op == SN_JI_OP_ADD && a.kind == SN_JI_STRING)
        return sn_ji_fail(r, "can only concatenate str (not \"%s\") to str", sn_ji_type(b));
    return sn_ji_fail(r, "unsupported operand type(s) for %s: '%s' and '%s'", names[op], sn_ji_type(a),
                      sn_ji_type(b));
}

SnStatus sn_ji_sign(SnJiRun *r, bool negates, SnJiValue v, SnJiValue *out)
{
    SN_TRY(sn_ji_defined(r, v));
    if (sn_ji_is_whole(v))
        return whole_math(r, negates ? SN_JI_OP_SUB : SN_JI_OP_ADD, sn_ji_int(0), v, out);
    if (v.kind != SN_JI_FLOAT)
        return sn_ji_fail(r, "bad operand type for unary %s: '%s'", negates ? "-" : "+", sn_ji_type(v));
    *out = sn_ji_float(negates ? -v.u.number : v.u.number);
    return SN_OK;
}
