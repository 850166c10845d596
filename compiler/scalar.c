/* scalar.c -- exp, log, sin, cos, tanh, erf and pow as scalar terms.
 *
 * One algorithm each for f32 and f64; what differs is a row of constants. The polynomials are Remez fits made
 * by tools/minimax.py; the comment over each gives its relative error in the result. Tricks used throughout:
 * adding 1.5 * 2^mantissa rounds to an integer and leaves it in the low bits of the sum; 2^n is added to the
 * exponent field; the sign of zero and of odd functions travels as a bit.
 *
 * Cody & Waite, "Software Manual for the Elementary Functions" (1980); Payne & Hanek, "Radian reduction for
 * trigonometric functions" (1983); log after FreeBSD's e_log.c (its formula); two-term arithmetic: Dekker
 * (1971); 1 - p^8 after Abramowitz & Stegun, 7.1.28, which has a power of 16. */
#include "compiler/scalar.h"

#include "compiler/type.h"

#include <math.h>

#define SN_MAX_POLY 18

typedef struct Poly {
    int n;
    double at[SN_MAX_POLY]; /* lowest degree first */
} Poly;

typedef struct Real {
    SnDtype dtype, bits, word; /* of the float; signed and unsigned integers of its width */
    int64_t mantissa, width;
    double magic, ln2_hi, ln2_lo; /* ln2_hi * exponent is exact */
    double exp_min, exp_end;      /* exp is finite and normal from the one up to, not at, the other */
    double two_thirds, two_thirds_lo;
    double pi_2[3];  /* pi/2 is their sum */
    double cut_trig; /* from here on reduction by the above fails */
    double cut_tanh, end_tanh, cut_erf, end_erf;
    double min_normal, sqrt_half;
    Poly exp, log, pow, sin, cos, tanh, erf, erfc;
} Real;

/* clang-format off */
static const Real real_f32 = {
    .dtype = SN_F32, .bits = SN_I32, .word = SN_U32, .mantissa = 23, .width = 32, .magic = 0x1.8p23,
    .ln2_hi = 0.693145752, .ln2_lo = 1.42860677e-6, .exp_min = -87.3365402, .exp_end = 88.7228470,
    .two_thirds = 0.666666687, .two_thirds_lo = -1.98682155e-8,
    .pi_2 = {1.57079637, -4.37113883e-8, -1.71512451e-15}, .cut_trig = 0x1p17,
    .cut_tanh = 0.75, .end_tanh = 9.5, .cut_erf = 1.0625, .end_erf = 4.0,
    .min_normal = 0x1p-126, .sqrt_half = 0.707106769,
    /* (e^r - 1 - r) / r^2: 2^-27.77 */
    .exp = {5, {0.49999994, 0.166665196, 0.041668389, 0.00836878177, 0.00138147071}},
    /* (2 atanh(s) - 2 s) / s^3, z = s^2: 2^-30.02 */
    .log = {3, {0.666667759, 0.399774998, 0.298729837}},
    /* (2 atanh(s) - 2 s - 2/3 s^3) / s^5, z = s^2: 2^-36.73 */
    .pow = {3, {0.400001526, 0.285470843, 0.23419781}},
    /* (sin(r) - r) / r^3, z = r^2: 2^-26.92 */
    .sin = {3, {-0.166666538, 0.00833215099, -0.000195139815}},
    /* (cos(r) - 1 + r^2 / 2) / r^4, z = r^2: 2^-32.39 */
    .cos = {3, {0.0416666456, -0.00138873036, 2.44316452e-5}},
    /* (tanh(x) - x) / x^3, z = x^2: 2^-26.99 */
    .tanh = {6, {-0.333333164, 0.133326948, -0.0538927242, 0.0214520358, -0.00765725505, 0.00173693406}},
    /* erf(x) / x - 1, z = x^2: 2^-28.12 */
    .erf = {8, {0.128379166, -0.376126379, 0.112837724, -0.0268648192, 0.00521926163, -0.000845791365, 0.000110747598, -9.11969528e-6}},
    /* ((1 - erf(t))^(1/8) - 1) / t: 2^-28.6 */
    .erfc = {8, {-0.141034082, -0.0696958825, -0.00195183, 0.00643109484, 0.000294444297, -0.000556243758, 9.83485952e-5, -5.66329891e-6}},
};

static const Real real_f64 = {
    .dtype = SN_F64, .bits = SN_I64, .word = SN_U64, .mantissa = 52, .width = 64, .magic = 0x1.8p52,
    .ln2_hi = 0.69314718055989033, .ln2_lo = 5.4979230187083712e-14, .exp_min = -708.39641853226399, .exp_end = 709.78271289338409,
    .two_thirds = 2.0 / 3.0, .two_thirds_lo = 3.7007434154171883e-17,
    .pi_2 = {1.5707963267948966, 6.123233995736766e-17, -1.4973849048591698e-33}, .cut_trig = 0x1p50,
    .cut_tanh = 0.625, .end_tanh = 20.0, .cut_erf = 1.125, .end_erf = 5.95,
    .min_normal = 0x1p-1022, .sqrt_half = 0.70710678118654757,
    /* (e^r - 1 - r) / r^2: 2^-56.49 */
    .exp = {10, {0.50000000000000111, 0.1666666666666641, 0.04166666666652917, 0.008333333333495202, 0.0013888888943928044, 0.00019841269505693093, 2.480149275707748e-5, 2.7557586520739979e-6, 2.763038071786555e-7, 2.5000220505169073e-8}},
    /* (2 atanh(s) - 2 s) / s^3, z = s^2: 2^-59.13 */
    .log = {7, {0.66666666666667351, 0.3999999999941114, 0.28571428743259575, 0.22222198475691302, 0.18183569780281886, 0.1531390170173742, 0.14797527202229668}},
    /* (2 atanh(s) - 2 s - 2/3 s^3) / s^5, z = s^2: 2^-65.55 */
    .pow = {7, {0.40000000000002273, 0.28571428570092172, 0.2222222252130289, 0.18181784241325322, 0.1538676334909303, 0.1325667268458916, 0.13197718333489464}},
    /* (sin(r) - r) / r^3, z = r^2: 2^-57.39 */
    .sin = {6, {-0.1666666666666663, 0.0083333333333218927, -0.00019841269829400953, 2.7557313553614985e-6, -2.5050736813826833e-8, 1.5895577259028064e-10}},
    /* (cos(r) - 1 + r^2 / 2) / r^4, z = r^2: 2^-59.0 */
    .cos = {6, {0.041666666666666588, -0.0013888888888872733, 2.4801587288644103e-5, -2.7557314117841212e-7, 2.0875692296160146e-9, -1.135808450767135e-11}},
    /* (tanh(x) - x) / x^3, z = x^2: 2^-56.96 */
    .tanh = {12, {-0.33333333333333315, 0.13333333333329744, -0.05396825396605897, 0.021869488468715725, -0.0088632343125660418, 0.0035921139995997915, -0.001455725945430355, 0.00058945178452473484, -0.00023701168204051705, 9.15583148781927e-5, -3.0187112107957216e-5, 6.0424165450654258e-6}},
    /* erf(x) / x - 1, z = x^2: 2^-56.33 */
    .erf = {18, {0.12837916709551259, -0.37612638903183754, 0.11283791670955126, -0.026866170645131252, 0.0052239776254421879, -0.0008548327023450836, 0.00012055332981788467, -1.4925650358346701e-5, 1.6462114363742263e-6, -1.636584463373612e-7, 1.4807191654642649e-8, -1.2290537477482667e-9, 9.4225508981902419e-11, -6.7095281226957932e-12, 4.4511185556927122e-13, -2.7256687364641111e-14, 1.4425549029597701e-15, -4.9953672320982089e-17}},
    /* ((1 - erf(t))^(1/8) - 1) / t: 2^-55.47 */
    .erfc = {18, {-0.14104736826354994, -0.069630514341190899, -0.0020892187862701765, 0.0065924479589222771, 0.0001758878083540047, -0.00049315497468606514, 6.42055368567463e-5, 1.7337520155525457e-5, -1.4289986319440755e-5, 6.5962422692715871e-6, -2.1880552503967849e-6, 5.3147065335385645e-7, -9.6724889941158116e-8, 1.3302971323520749e-8, -1.3571511120208343e-9, 9.7256404720424632e-11, -4.3656903016528817e-12, 9.212425361353917e-14}},
};
/* clang-format on */

/* 64 bits of 2/pi * 2^-8 from bit 32 * i on. */
static const uint64_t two_over_pi[6] = {UINT64_C(0x00A2F9836E4E4415), UINT64_C(0x6E4E441529FC2757),
                                        UINT64_C(0x29FC2757D1F534DD), UINT64_C(0xD1F534DDC0DB6295),
                                        UINT64_C(0xC0DB6295993C4390), UINT64_C(0x993C439041FE5163)};

static const double infinity = (double)INFINITY, not_a_number = (double)NAN;

/* ---- short names for makers ---- */

typedef struct Ex {
    SnStore *s;
    const Real *k;
} Ex;

static SnRef real(const Ex *e, double v)
{
    return sn_const_scalar(e->s, e->k->dtype, sn_scalar_round_to(e->k->dtype, (SnScalar){.f = v}));
}

static SnRef word(const Ex *e, SnDtype d, uint64_t v)
{
    return sn_const_scalar(e->s, d, (SnScalar){.u = v});
}

#define BINARY(NAME, OP)                                                                                     \
    static SnRef NAME(const Ex *e, SnRef a, SnRef b)                                                         \
    {                                                                                                        \
        return sn_s2(e->s, SN_OP_##OP, a, b);                                                                \
    }
BINARY(add, ADD)
BINARY(sub, SUB)
BINARY(mul, MUL)
BINARY(divide, DIV)
BINARY(and, AND)
BINARY(or, OR)
BINARY(shl, SHL)
BINARY(shr, SHR)
BINARY(less, LT)
BINARY(equal, EQ)
#undef BINARY

static SnRef mul_add(const Ex *e, SnRef a, SnRef b, SnRef c)
{
    return sn_s3(e->s, SN_OP_FMA, a, b, c);
}

static SnRef negate(const Ex *e, SnRef a)
{
    return sn_s1(e->s, SN_OP_NEG, a);
}

static SnRef where(const Ex *e, SnRef c, SnRef a, SnRef b)
{
    return sn_s3(e->s, SN_OP_WHERE, c, a, b);
}

static SnRef to_bits(const Ex *e, SnRef a)
{
    return sn_s_bitcast(e->s, e->k->bits, a);
}

static SnRef from_bits(const Ex *e, SnRef a)
{
    return sn_s_bitcast(e->s, e->k->dtype, a);
}

static SnRef bits(const Ex *e, uint64_t v)
{
    return word(e, e->k->bits, v);
}

static SnRef poly(const Ex *e, const Poly *p, SnRef x)
{
    SnRef y = real(e, p->at[p->n - 1]);
    for (int i = p->n - 2; i >= 0; i--)
        y = mul_add(e, y, x, real(e, p->at[i]));
    return y;
}

static int64_t sign_mask(const Ex *e)
{
    return e->k->width == 64 ? INT64_MIN : INT32_MIN;
}

/* r >= 0 with the sign of x. */
static SnRef with_sign(const Ex *e, SnRef r, SnRef x)
{
    const SnRef sign = and(e, to_bits(e, x), bits(e, (uint64_t)sign_mask(e)));
    return from_bits(e, or (e, to_bits(e, r), sign));
}

static SnRef magnitude(const Ex *e, SnRef x)
{
    return sn_s1(e->s, SN_OP_ABS, x);
}

/* ---- exp ---- */

/* Bits of e^(x + tail) for x between exp_min and exp_max; tail 0: none. Elsewhere the bits mean nothing. */
static SnRef exp_bits(const Ex *e, SnRef x, SnRef tail)
{
    const Real *k = e->k;
    const SnRef one = real(e, 1), t = mul_add(e, x, real(e, M_LOG2E), real(e, k->magic));
    const SnRef n = sub(e, t, real(e, k->magic));
    SnRef r = mul_add(e, n, real(e, -k->ln2_hi), x);
    r = mul_add(e, n, real(e, -k->ln2_lo), r);
    const SnRef h = mul_add(e, poly(e, &k->exp, r), r, one);
    SnRef p = mul_add(e, h, r, one);
    if (tail != 0)
        p = add(e, mul_add(e, h, r, mul(e, tail, p)), one);
    return add(e, to_bits(e, p), shl(e, to_bits(e, t), bits(e, (uint64_t)k->mantissa)));
}

static SnRef expand_exp(const Ex *e, SnRef x)
{
    const SnRef y = from_bits(e, exp_bits(e, x, 0));
    /* The sum is infinite, or NaN where x is. */
    const SnRef beyond = add(e, x, real(e, infinity));
    const SnRef capped = where(e, less(e, x, real(e, e->k->exp_end)), y, beyond);
    return where(e, less(e, x, real(e, e->k->exp_min)), real(e, 0), capped);
}

/* ---- log ---- */

/* |x| = 2^exponent * (1 + f), 1 + f between sqrt(1/2) and sqrt(2); both floats. */
static void log_split(const Ex *e, SnRef x, SnRef *exponent, SnRef *f)
{
    const Real *k = e->k;
    const SnRef is_tiny = less(e, x, real(e, k->min_normal)), mantissa = real(e, (double)k->mantissa);
    const SnRef normal = where(e, is_tiny, mul(e, x, real(e, ldexp(1, (int)k->mantissa))), x);
    const SnRef b = to_bits(e, normal), shift = bits(e, (uint64_t)k->mantissa);
    const SnRef n = shr(e, sub(e, b, to_bits(e, real(e, k->sqrt_half))), shift);
    *f = sub(e, from_bits(e, sub(e, b, shl(e, n, shift))), real(e, 1));
    const SnRef power = sn_s_cast(e->s, k->dtype, n);
    *exponent = where(e, is_tiny, sub(e, power, mantissa), power);
}

static SnRef expand_log(const Ex *e, SnRef x)
{
    const Real *k = e->k;
    SnRef n, f;
    log_split(e, x, &n, &f);
    const SnRef s = divide(e, f, add(e, f, real(e, 2))), z = mul(e, s, s);
    const SnRef half = mul(e, mul(e, f, f), real(e, 0.5)), r = mul(e, z, poly(e, &k->log, z));
    const SnRef low = mul_add(e, s, add(e, half, r), mul(e, n, real(e, k->ln2_lo)));
    const SnRef y = mul_add(e, n, real(e, k->ln2_hi), sub(e, f, sub(e, half, low)));
    const SnRef zero = real(e, 0);
    const SnRef outside = where(e, equal(e, x, zero), real(e, -infinity), real(e, not_a_number));
    return where(e, less(e, zero, x), where(e, less(e, x, real(e, infinity)), y, x), outside);
}

/* ---- pow ---- */

typedef struct Pair { /* hi + lo, |lo| at most half a unit of hi */
    SnRef hi, lo;
} Pair;

static Pair pair_mul(const Ex *e, Pair a, Pair b)
{
    const SnRef hi = mul(e, a.hi, b.hi), err = mul_add(e, a.hi, b.hi, negate(e, hi));
    return (Pair){hi, mul_add(e, a.hi, b.lo, mul_add(e, a.lo, b.hi, err))};
}

/* a + b where |a| >= |b| or a = 0; adds the rounding error to *lo. */
static SnRef add_exactly(const Ex *e, SnRef a, SnRef b, SnRef *lo)
{
    const SnRef sum = add(e, a, b), err = sub(e, b, sub(e, sum, a));
    *lo = *lo != 0 ? add(e, *lo, err) : err;
    return sum;
}

/* log(x) for x > 0 to about 11 bits more than the dtype holds. */
static Pair log_pair(const Ex *e, SnRef x)
{
    const Real *k = e->k;
    SnRef n, f;
    log_split(e, x, &n, &f);
    const SnRef two = real(e, 2), d = add(e, f, two), d_lo = sub(e, f, sub(e, d, two));
    Pair s = {.hi = divide(e, f, d)};
    const SnRef minus = negate(e, s.hi);
    s.lo = divide(e, mul_add(e, minus, d_lo, mul_add(e, minus, d, f)), d);
    const Pair z = pair_mul(e, s, s), cube = pair_mul(e, s, z);
    const Pair third = pair_mul(e, cube, (Pair){real(e, k->two_thirds), real(e, k->two_thirds_lo)});
    const SnRef rest = mul(e, mul(e, cube.hi, z.hi), poly(e, &k->pow, z.hi));
    SnRef lo = 0;
    SnRef hi = add_exactly(e, mul(e, n, real(e, k->ln2_hi)), add(e, s.hi, s.hi), &lo);
    hi = add_exactly(e, hi, third.hi, &lo);
    lo = add(e, lo, add(e, add(e, s.lo, s.lo), add(e, third.lo, rest)));
    lo = mul_add(e, n, real(e, k->ln2_lo), lo);
    const SnRef sum = add(e, hi, lo);
    return (Pair){sum, sub(e, lo, sub(e, sum, hi))};
}

/* e^(a + tail) for any a; what is below the normal range is 0. */
static SnRef exp_of_pair(const Ex *e, SnRef a, SnRef tail)
{
    const Real *k = e->k;
    const SnRef inf = real(e, infinity), zero = real(e, 0);
    SnRef b = sn_s2(e->s, SN_OP_MIN, exp_bits(e, a, tail), to_bits(e, inf));
    b = where(e, less(e, b, to_bits(e, real(e, k->min_normal))), bits(e, 0), b);
    const SnRef capped = where(e, less(e, a, real(e, k->exp_end)), from_bits(e, b), inf);
    const SnRef y = where(e, less(e, a, real(e, k->exp_min - 0.25)), zero, capped);
    return where(e, equal(e, a, a), y, a);
}

static SnRef expand_pow(const Ex *e, SnRef x, SnRef y)
{
    const SnRef inf = real(e, infinity), zero = real(e, 0), one = real(e, 1), ax = magnitude(e, x);
    Pair l = log_pair(e, ax);
    l.hi = where(e, less(e, ax, inf), l.hi, ax);
    l.hi = where(e, equal(e, ax, zero), real(e, -infinity), l.hi);
    const SnRef p = mul(e, y, l.hi), tail = mul_add(e, y, l.lo, mul_add(e, y, l.hi, negate(e, p)));
    const SnRef size = where(e, equal(e, ax, one), one, exp_of_pair(e, p, tail));

    const SnRef half = mul(e, y, real(e, 0.5));
    const SnRef is_int = equal(e, sn_s1(e->s, SN_OP_FLOOR, y), y);
    const SnRef is_even = equal(e, sn_s1(e->s, SN_OP_FLOOR, half), half);
    const SnRef is_odd = and(e, is_int, sn_s_not(e->s, is_even));
    const SnRef signed_size = where(e, is_odd, with_sign(e, size, x), size);
    const SnRef is_negative = and(e, less(e, x, zero), less(e, real(e, -infinity), x));
    const SnRef r = where(e, and(e, is_negative, sn_s_not(e->s, is_int)), real(e, not_a_number), signed_size);
    return where(e, or (e, equal(e, y, zero), equal(e, x, one)), one, r);
}

/* ---- sin, cos ---- */

typedef struct Angle { /* |x| = turn * pi/2 + r; only the low two bits of turn matter */
    SnRef turn, r;     /* r is at most about pi/4 */
} Angle;

/* For |x| below cut_trig. */
static Angle reduce_small(const Ex *e, SnRef ax)
{
    const Real *k = e->k;
    const SnRef t = mul_add(e, ax, real(e, M_2_PI), real(e, k->magic)), n = sub(e, t, real(e, k->magic));
    SnRef r = ax;
    for (int i = 0; i < 3; i++)
        r = mul_add(e, n, real(e, -k->pi_2[i]), r);
    return (Angle){sn_s_bitcast(e->s, k->word, t), r};
}

/* Chooses words of 2/pi by the bit offset. */
static SnRef select_word(const Ex *e, SnRef offset, const uint64_t *at)
{
    const SnRef w32 = less(e, offset, word(e, SN_U64, 32)), w64 = less(e, offset, word(e, SN_U64, 64));
    const SnRef w96 = less(e, offset, word(e, SN_U64, 96));
    return where(e, w64, where(e, w32, word(e, SN_U64, at[0]), word(e, SN_U64, at[1])),
                 where(e, w96, word(e, SN_U64, at[2]), word(e, SN_U64, at[3])));
}

/* f32 from 2^17 on: the product of the mantissa with those 96 bits of 2/pi that matter modulo 4, as an
 * integer with 62 fraction bits. */
static Angle reduce_large(const Ex *e, SnRef ax)
{
    const SnDtype u = SN_U64;
    const SnRef b = sn_s_cast(e->s, u, sn_s_bitcast(e->s, SN_U32, ax));
    const SnRef offset = sub(e, shr(e, b, word(e, u, 23)), word(e, u, 127 + 17));
    const SnRef m = or (e, and(e, b, word(e, u, 0x7FFFFF)), word(e, u, 0x800000));
    const SnRef high = select_word(e, offset, two_over_pi), low = select_word(e, offset, two_over_pi + 2);
    const SnRef shift = and(e, offset, word(e, u, 31)), c32 = word(e, u, 32);
    const SnRef w = or (e, shl(e, high, shift), shr(e, low, sub(e, word(e, u, 64), shift)));
    const SnRef w_lo = shr(e, shl(e, low, shift), c32);
    const SnRef p = add(e, mul(e, m, w), shr(e, mul(e, m, w_lo), c32)), c62 = word(e, u, 62);
    const SnRef turn = shr(e, add(e, p, word(e, u, UINT64_C(1) << 61)), c62);
    const SnRef rest = sn_s_bitcast(e->s, SN_I64, sub(e, p, shl(e, turn, c62)));
    const SnRef hi = sn_s_cast(e->s, SN_F32, rest);
    const SnRef lo = sn_s_cast(e->s, SN_F32, sub(e, rest, sn_s_cast(e->s, SN_I64, hi)));
    const SnRef c_hi = real(e, e->k->pi_2[0] * 0x1p-62), c_lo = real(e, e->k->pi_2[1] * 0x1p-62);
    /* NaN where |x| is no number: the difference is 0 otherwise. */
    const SnRef tail = mul_add(e, hi, c_lo, mul_add(e, lo, c_hi, sub(e, ax, ax)));
    const SnRef r = mul_add(e, hi, c_hi, tail);
    return (Angle){sn_s_cast(e->s, SN_U32, turn), r};
}

static SnRef expand_trig(const Ex *e, SnRef x, bool is_cos)
{
    const Real *k = e->k;
    const SnRef ax = magnitude(e, x), is_small = less(e, ax, real(e, k->cut_trig));
    Angle a = reduce_small(e, ax);
    if (k->dtype == SN_F32) {
        const Angle b = reduce_large(e, ax);
        a.turn = where(e, is_small, a.turn, b.turn);
        a.r = where(e, is_small, a.r, b.r);
    } else {
        a.r = where(e, is_small, a.r, real(e, not_a_number));
    }
    const SnRef z = mul(e, a.r, a.r);
    const SnRef sine = mul_add(e, mul(e, a.r, z), poly(e, &k->sin, z), a.r);
    const SnRef cosine =
        mul_add(e, mul(e, z, z), poly(e, &k->cos, z), mul_add(e, z, real(e, -0.5), real(e, 1)));
    const SnRef one = word(e, k->word, 1), turn = is_cos ? add(e, a.turn, one) : a.turn;
    const SnRef y = where(e, equal(e, and(e, turn, one), one), cosine, sine);
    SnRef sign = shl(e, shr(e, turn, one), word(e, k->word, (uint64_t)k->width - 1));
    if (!is_cos) {
        const SnRef top = word(e, k->word, (uint64_t)1 << (k->width - 1));
        sign = sn_s2(e->s, SN_OP_XOR, sign, and(e, sn_s_bitcast(e->s, k->word, x), top));
    }
    return from_bits(e, sn_s2(e->s, SN_OP_XOR, sn_s_bitcast(e->s, k->word, y), sign));
}

/* ---- tanh, erf: odd; a polynomial near 0, which NaN takes too, and 1 - small beyond ---- */

static SnRef at_most(const Ex *e, SnRef x, double end)
{
    return where(e, less(e, real(e, end), x), real(e, end), x);
}

static SnRef expand_tanh(const Ex *e, SnRef x)
{
    const Real *k = e->k;
    const SnRef one = real(e, 1), ax = magnitude(e, x), z = mul(e, ax, ax), t = at_most(e, ax, k->end_tanh);
    const SnRef small = mul_add(e, mul(e, ax, z), poly(e, &k->tanh, z), ax);
    const SnRef power = from_bits(e, exp_bits(e, add(e, t, t), 0));
    const SnRef large = sub(e, one, divide(e, real(e, 2), add(e, power, one)));
    return with_sign(e, where(e, less(e, real(e, k->cut_tanh), ax), large, small), x);
}

/* 1 - p^8 beyond; p = 1 + t * poly(t). One row of fma with the coefficients of either side. */
static SnRef expand_erf(const Ex *e, SnRef x)
{
    const Real *k = e->k;
    const SnRef one = real(e, 1), ax = magnitude(e, x), t = at_most(e, ax, k->end_erf);
    const SnRef is_far = less(e, real(e, k->cut_erf), ax), v = where(e, is_far, t, mul(e, ax, ax));
    SnRef y = 0;
    for (int i = k->erf.n - 1; i >= 0; i--) {
        const SnRef c = where(e, is_far, real(e, k->erfc.at[i]), real(e, k->erf.at[i]));
        y = y != 0 ? mul_add(e, y, v, c) : c;
    }
    const SnRef near = mul_add(e, t, y, where(e, is_far, one, ax));
    const SnRef square = mul(e, near, near), fourth = mul(e, square, square);
    return with_sign(e, where(e, is_far, mul_add(e, negate(e, fourth), fourth, one), near), x);
}

SnRef sn_scalar_expand(SnStore *s, uint16_t op, SnRef x, SnRef y)
{
    const SnDtype d = sn_dtype_of(s, x);
    if (x == 0 || (op == SN_OP_POW && y == 0))
        return 0;
    if (d != SN_F32 && d != SN_F64) {
        const SnRef wide = y != 0 ? sn_s_cast(s, SN_F32, y) : 0;
        return sn_s_cast(s, d, sn_scalar_expand(s, op, sn_s_cast(s, SN_F32, x), wide));
    }
    const Ex e = {s, d == SN_F64 ? &real_f64 : &real_f32};
    switch (op) {
    case SN_OP_EXP:
        return expand_exp(&e, x);
    case SN_OP_LOG:
        return expand_log(&e, x);
    case SN_OP_SIN:
    case SN_OP_COS:
        return expand_trig(&e, x, op == SN_OP_COS);
    case SN_OP_TANH:
        return expand_tanh(&e, x);
    case SN_OP_ERF:
        return expand_erf(&e, x);
    case SN_OP_POW:
        return expand_pow(&e, x, y);
    default:
        SN_ASSERT(sn_op_expands(op));
        return 0;
    }
}
