/* big.c -- whole numbers beyond 64 bits, as Python has them up to a bound: text, arithmetic, floats.
 *
 * Digits of 32 bits, the least first. Results that fit 64 bits are INT again, so a value has one form. The
 * bound keeps the work of one operation below that of a million steps.
 *
 * Knuth, "The Art of Computer Programming" vol. 2, 4.3.1 (algorithm D). */
#include "frontends/jinja/run.h"

#include <math.h>

#define MAX_DIGITS  (SN_JI_MAX_BITS / 32)
#define MAX_DECIMAL 4300 /* digits that Python reads and writes */

static SnStatus too_large(SnJiRun *r)
{
    return sn_ji_fail(r, "an integer of more than %d bits", SN_JI_MAX_BITS);
}

/* own: room for what lies in 64 bits. */
static SnJiBig big_of(SnJiValue v, uint32_t own[2])
{
    if (v.kind == SN_JI_BIG)
        return *v.u.big;
    const int64_t i = sn_ji_integer(v);
    const uint64_t size = i < 0 ? (uint64_t)0 - (uint64_t)i : (uint64_t)i;
    own[0] = (uint32_t)size;
    own[1] = (uint32_t)(size >> 32);
    return (SnJiBig){own, own[1] ? 2 : own[0] ? 1 : 0, i < 0};
}

static uint32_t *digits(SnArena *arena, size_t n)
{
    uint32_t *at = sn_arena_array(arena, n + 1, sizeof *at);
    if (at)
        memset(at, 0, (n + 1) * sizeof *at);
    return at;
}

static uint32_t trimmed(const uint32_t *at, size_t n)
{
    while (n && at[n - 1] == 0)
        n--;
    return (uint32_t)n;
}

static int64_t bits_of(SnJiBig a)
{
    int64_t n = 32 * (int64_t)a.n;
    for (uint32_t top = a.n ? a.at[a.n - 1] : UINT32_MAX; !(top >> 31); top <<= 1)
        n--;
    return n;
}

/* Takes the n digits at `at`, which the arena owns. NULL: no memory. */
static bool make_value(SnArena *arena, const uint32_t *at, size_t n, bool is_negative, SnJiValue *out)
{
    n = trimmed(at, n);
    const uint64_t low = (n > 0 ? at[0] : 0) | (n > 1 ? (uint64_t)at[1] << 32 : 0);
    if (n <= 2 && low <= (uint64_t)INT64_MAX + is_negative) {
        *out = sn_ji_int(is_negative ? (int64_t)((uint64_t)0 - low) : (int64_t)low);
        return true;
    }
    SnJiBig *big = sn_arena_alloc(arena, sizeof *big);
    if (big)
        *big = (SnJiBig){at, (uint32_t)n, is_negative};
    *out = (SnJiValue){.kind = SN_JI_BIG, .u = {.big = big}};
    return big != NULL;
}

static SnStatus finish(SnJiRun *r, const uint32_t *at, size_t n, bool is_negative, SnJiValue *out)
{
    if (trimmed(at, n) > MAX_DIGITS)
        return too_large(r);
    return make_value(&r->arena, at, n, is_negative, out) ? SN_OK : sn_ji_no_memory(r);
}

int64_t sn_ji_whole_bits(SnJiValue v, int64_t *ones)
{
    uint32_t own[2];
    const SnJiBig big = big_of(v, own);
    *ones = 0;
    for (uint32_t i = 0; i < big.n; i++)
        for (uint32_t left = big.at[i]; left; left &= left - 1)
            ++*ones;
    return bits_of(big);
}

/* ---- magnitudes ---- */

static int compare_sizes(SnJiBig a, SnJiBig b)
{
    if (a.n != b.n)
        return a.n < b.n ? -1 : 1;
    for (uint32_t i = a.n; i--;)
        if (a.at[i] != b.at[i])
            return a.at[i] < b.at[i] ? -1 : 1;
    return 0;
}

/* out has room for one digit more than the longer of them. */
static void add_sizes(SnJiBig a, SnJiBig b, uint32_t *out)
{
    const uint32_t n = a.n > b.n ? a.n : b.n;
    uint64_t carry = 0;
    for (uint32_t i = 0; i < n; i++) {
        carry += (uint64_t)(i < a.n ? a.at[i] : 0) + (i < b.n ? b.at[i] : 0);
        out[i] = (uint32_t)carry;
        carry >>= 32;
    }
    out[n] = (uint32_t)carry;
}

/* a >= b. */
static void subtract_sizes(SnJiBig a, SnJiBig b, uint32_t *out)
{
    int64_t borrow = 0;
    for (uint32_t i = 0; i < a.n; i++) {
        borrow += (int64_t)a.at[i] - (i < b.n ? b.at[i] : 0);
        out[i] = (uint32_t)borrow;
        borrow = borrow < 0 ? -1 : 0;
    }
}

/* at = at * by + more; returns what is above n digits. */
static uint32_t multiply_add(uint32_t *at, uint32_t n, uint32_t by, uint32_t more)
{
    uint64_t carry = more;
    for (uint32_t i = 0; i < n; i++) {
        carry += (uint64_t)at[i] * by;
        at[i] = (uint32_t)carry;
        carry >>= 32;
    }
    return (uint32_t)carry;
}

/* at = at / by; returns the rest. */
static uint32_t divide_short(uint32_t *at, uint32_t n, uint32_t by)
{
    uint64_t rest = 0;
    for (uint32_t i = n; i--;) {
        rest = rest << 32 | at[i];
        at[i] = (uint32_t)(rest / by);
        rest %= by;
    }
    return (uint32_t)rest;
}

/* out, of zeros, has room for n digits of a moved left. */
static void shift_left(SnJiBig a, uint64_t bits, uint32_t *out)
{
    const uint64_t whole = bits / 32, part = bits % 32;
    for (uint32_t i = 0; i < a.n; i++) {
        const uint64_t v = (uint64_t)a.at[i] << part;
        out[whole + i] |= (uint32_t)v;
        out[whole + i + 1] |= (uint32_t)(v >> 32);
    }
}

/* One digit of the quotient of rest[0..n] by b, whose top bit is set; rest becomes what is left. */
static uint32_t divide_digit(uint32_t *rest, const uint32_t *b, uint32_t n)
{
    const uint64_t top = (uint64_t)rest[n] << 32 | rest[n - 1];
    uint64_t guess = rest[n] >= b[n - 1] ? UINT32_MAX : top / b[n - 1];
    int64_t borrow = 0;
    uint64_t carry = 0;
    for (uint32_t i = 0; i < n; i++) {
        carry += guess * b[i];
        borrow += (int64_t)rest[i] - (uint32_t)carry;
        rest[i] = (uint32_t)borrow;
        borrow = borrow < 0 ? -1 : 0;
        carry >>= 32;
    }
    borrow += (int64_t)rest[n] - (int64_t)carry;
    rest[n] = (uint32_t)borrow;
    /* The guess is at most two too large. */
    for (bool is_below = borrow < 0; is_below; guess--) {
        const uint32_t above = rest[n];
        add_sizes((SnJiBig){rest, n, false}, (SnJiBig){b, n, false}, rest);
        rest[n] += above;
        is_below = rest[n] >= above;
    }
    return (uint32_t)guess;
}

/* a / b without signs; b is not 0. *rest has b.n digits, *quotient a.n (and one). */
static bool divide_sizes(SnArena *arena, SnJiBig a, SnJiBig b, uint32_t **quotient, uint32_t **rest)
{
    const uint64_t shift = (uint64_t)(32 * (int64_t)b.n - bits_of(b));
    uint32_t *by = digits(arena, b.n + 1), *left = digits(arena, (size_t)a.n + b.n + 2);
    *quotient = digits(arena, a.n);
    *rest = digits(arena, b.n);
    if (!by || !left || !*quotient || !*rest)
        return false;
    shift_left(b, shift, by);
    shift_left(a, shift, left);
    for (uint32_t i = a.n + 1 > b.n ? a.n + 1 - b.n : 0; i--;)
        (*quotient)[i] = divide_digit(left + i, by, b.n);
    for (uint32_t i = 0; i < b.n; i++)
        (*rest)[i] = (uint32_t)(((uint64_t)left[i + 1] << 32 | left[i]) >> shift);
    return true;
}

/* ---- floats ---- */

/* a / b to the nearest float; b is not 0. false: no memory. */
static bool quotient_of(SnArena *arena, SnJiBig a, SnJiBig b, double *out)
{
    /* 62 bits and more of the quotient, the last of which knows whether any follow; fewer where they would
     * be below the smallest float. */
    int64_t shift = bits_of(a) - bits_of(b) - 62;
    shift = shift < -1076 ? -1076 : shift;
    const uint64_t left = shift < 0 ? (uint64_t)-shift : 0, right = shift > 0 ? (uint64_t)shift : 0;
    const uint32_t na = a.n + (uint32_t)(left / 32) + 1, nb = b.n + (uint32_t)(right / 32) + 1;
    uint32_t *wide = digits(arena, na), *by = digits(arena, nb), *quotient = NULL, *rest = NULL;
    if (!wide || !by)
        return false;
    shift_left(a, left, wide);
    shift_left(b, right, by);
    const SnJiBig x = {wide, trimmed(wide, na), false}, y = {by, trimmed(by, nb), false};
    if (!divide_sizes(arena, x, y, &quotient, &rest))
        return false;
    const uint64_t whole = x.n ? quotient[0] | (uint64_t)quotient[1] << 32 : 0;
    const double v = ldexp((double)(whole | (trimmed(rest, y.n) != 0)), (int)shift);
    *out = a.is_negative != b.is_negative ? -v : v;
    return true;
}

double sn_ji_big_float(SnArena *arena, SnJiValue v)
{
    static const uint32_t one = 1;
    uint32_t own[2];
    double out = 0;
    return quotient_of(arena, big_of(v, own), (SnJiBig){&one, 1, false}, &out) ? out : (double)NAN;
}

SnStatus sn_ji_to_float(SnJiRun *r, SnJiValue v, double *out)
{
    *out = v.kind == SN_JI_BIG ? sn_ji_big_float(&r->arena, v) : sn_ji_number(v);
    if (v.kind != SN_JI_BIG || isfinite(*out))
        return SN_OK;
    return isnan(*out) ? sn_ji_no_memory(r) : sn_ji_fail(r, "int too large to convert to float");
}

SnStatus sn_ji_from_float(SnJiRun *r, double v, SnJiValue *out)
{
    int exponent = 0;
    const double part = frexp(trunc(v), &exponent);
    if (exponent <= 63) {
        *out = sn_ji_int((int64_t)v);
        return SN_OK;
    }
    const uint64_t whole = (uint64_t)ldexp(fabs(part), 64);
    const uint32_t own[2] = {(uint32_t)whole, (uint32_t)(whole >> 32)};
    const uint32_t n = 3 + (uint32_t)exponent / 32;
    uint32_t *at = digits(&r->arena, n);
    if (!at)
        return sn_ji_no_memory(r);
    shift_left((SnJiBig){own, 2, false}, (uint64_t)(exponent - 64), at);
    return finish(r, at, n, v < 0, out);
}

/* ---- text ---- */

/* As many digits of the base as fit one of ours, and what they count. */
static uint32_t chunk_of(unsigned base, unsigned *count)
{
    uint64_t size = base;
    for (*count = 1; size * base <= UINT32_MAX; ++*count)
        size *= base;
    return (uint32_t)size;
}

static const char too_long[] = "Exceeds the limit (4300 digits) for integer string conversion";

const char *sn_ji_parse_digits(SnArena *arena, SnBytes text, unsigned base, bool is_negative, SnJiValue *out)
{
    unsigned most = 0;
    const bool is_power = (base & (base - 1)) == 0;
    const size_t limit = is_power ? SN_JI_MAX_BITS : MAX_DECIMAL;
    (void)chunk_of(base, &most);
    if (text.n > 2 * limit + 2)
        return too_long;
    const size_t n = text.n / most + 2;
    uint32_t *at = digits(arena, n), chunk = 0, size = 1;
    size_t count = 0;
    for (size_t i = 0; at && i < text.n; i++) {
        const char c = (char)text.at[i];
        if (c == '_')
            continue;
        chunk = chunk * base + sn_ji_digit(c);
        size *= base;
        if (++count % most == 0) {
            (void)multiply_add(at, (uint32_t)n, size, chunk);
            chunk = 0;
            size = 1;
        }
    }
    if (at)
        (void)multiply_add(at, (uint32_t)n, size, chunk);
    if (count > limit || (at && trimmed(at, n) > MAX_DIGITS))
        return too_long;
    return at && make_value(arena, at, n, is_negative, out) ? NULL : "no memory";
}

SnStatus sn_ji_put_digits(SnJiRun *r, SnJiValue v, unsigned base)
{
    unsigned most = 0;
    uint32_t own[2];
    const SnJiBig big = big_of(v, own);
    const uint32_t chunk = chunk_of(base, &most);
    uint32_t n = big.n, *left = digits(&r->arena, n);
    const size_t room = ((size_t)n + 1) * 32;
    char *text = sn_arena_array(&r->arena, room, 1);
    size_t at = room;
    if (!left || !text)
        return sn_ji_no_memory(r);
    if (n)
        memcpy(left, big.at, n * sizeof *left);
    SN_TRY(sn_ji_spend(r, 1 + (uint64_t)n * n / 16));
    do {
        uint32_t rest = divide_short(left, n, chunk);
        n = trimmed(left, n);
        for (unsigned i = 0; i < most && (i == 0 || n || rest); i++, rest /= base)
            text[--at] = "0123456789abcdefghijklmnopqrstuvwxyz"[rest % base];
    } while (n);
    if (base == 10 && room - at > MAX_DECIMAL)
        return sn_ji_fail(r, "%s", too_long);
    sn_ji_add(r, text + at, room - at);
    return SN_OK;
}

/* ---- arithmetic ---- */

int sn_ji_compare_wholes(SnJiValue a, SnJiValue b)
{
    uint32_t owns[2][2];
    const SnJiBig x = big_of(a, owns[0]), y = big_of(b, owns[1]);
    if (x.is_negative != y.is_negative)
        return x.is_negative ? -1 : 1;
    return x.is_negative ? compare_sizes(y, x) : compare_sizes(x, y);
}

static SnStatus add(SnJiRun *r, SnJiBig a, SnJiBig b, SnJiValue *out)
{
    const uint32_t n = (a.n > b.n ? a.n : b.n) + 1;
    uint32_t *at = digits(&r->arena, n);
    const bool is_less = compare_sizes(a, b) < 0;
    if (!at)
        return sn_ji_no_memory(r);
    if (a.is_negative == b.is_negative)
        add_sizes(a, b, at);
    else
        subtract_sizes(is_less ? b : a, is_less ? a : b, at);
    return finish(r, at, n, is_less ? b.is_negative : a.is_negative, out);
}

static SnStatus multiply(SnJiRun *r, SnJiBig a, SnJiBig b, SnJiValue *out)
{
    const size_t n = (size_t)a.n + b.n;
    uint32_t *at = digits(&r->arena, n);
    if (!at)
        return sn_ji_no_memory(r);
    for (uint32_t i = 0; i < a.n; i++) {
        uint64_t carry = 0;
        for (uint32_t k = 0; k < b.n; k++) {
            carry += (uint64_t)a.at[i] * b.at[k] + at[i + k];
            at[i + k] = (uint32_t)carry;
            carry >>= 32;
        }
        at[i + b.n] = (uint32_t)carry;
    }
    return finish(r, at, n, a.is_negative != b.is_negative, out);
}

/* Rounded down, with a rest of the sign of b, as Python has it. */
static SnStatus divide(SnJiRun *r, bool wants_rest, SnJiBig a, SnJiBig b, SnJiValue *out)
{
    static const uint32_t one = 1;
    uint32_t *quotient = NULL, *rest = NULL;
    if (!divide_sizes(&r->arena, a, b, &quotient, &rest))
        return sn_ji_no_memory(r);
    const SnJiBig left = {rest, trimmed(rest, b.n), a.is_negative};
    const bool is_up = left.n && a.is_negative != b.is_negative;
    if (wants_rest)
        return is_up ? add(r, left, b, out) : finish(r, rest, b.n, a.is_negative, out);
    const SnJiBig whole = {quotient, trimmed(quotient, a.n), a.is_negative != b.is_negative};
    return is_up ? add(r, whole, (SnJiBig){&one, 1, true}, out)
                 : finish(r, quotient, a.n, whole.is_negative, out);
}

static SnStatus divide_exactly(SnJiRun *r, SnJiBig a, SnJiBig b, SnJiValue *out)
{
    double v = 0;
    if (!quotient_of(&r->arena, a, b, &v))
        return sn_ji_no_memory(r);
    *out = sn_ji_float(v);
    return isfinite(v) ? SN_OK : sn_ji_fail(r, "integer division result too large for a float");
}

/* b > 0, and |a| > 1. */
static SnStatus raise(SnJiRun *r, SnJiValue a, int64_t b, SnJiValue *out)
{
    uint32_t own[2];
    const int64_t bits = bits_of(big_of(a, own)) - 1;
    if (bits > 0 && b > SN_JI_MAX_BITS / bits)
        return too_large(r);
    *out = sn_ji_int(1);
    for (;; b >>= 1) {
        if (b & 1)
            SN_TRY(sn_ji_whole_math(r, SN_JI_OP_MUL, *out, a, out));
        if (b <= 1)
            return SN_OK;
        SN_TRY(sn_ji_whole_math(r, SN_JI_OP_MUL, a, a, &a));
    }
}

SnStatus sn_ji_whole_math(SnJiRun *r, SnJiOp op, SnJiValue a, SnJiValue b, SnJiValue *out)
{
    uint32_t owns[2][2];
    const SnJiBig x = big_of(a, owns[0]), y = big_of(b, owns[1]);
    SN_TRY(sn_ji_spend(r, 1 + (uint64_t)x.n * y.n / 16));
    switch (op) {
    case SN_JI_OP_ADD:
        return add(r, x, y, out);
    case SN_JI_OP_SUB:
        return add(r, x, (SnJiBig){y.at, y.n, !y.is_negative}, out);
    case SN_JI_OP_MUL:
        return multiply(r, x, y, out);
    case SN_JI_OP_DIV:
        return divide_exactly(r, x, y, out);
    case SN_JI_OP_FLOORDIV:
    case SN_JI_OP_MOD:
        return divide(r, op == SN_JI_OP_MOD, x, y, out);
    default:
        return b.kind == SN_JI_BIG ? too_large(r) : raise(r, a, sn_ji_integer(b), out);
    }
}
