/* dtype.c -- the dtype table and scalar conversions, each with one rounding.
 *
 * The small floats are one algorithm over a table of formats: f16, bf16 (IEEE layout), the 8-bit formats of
 * Micikevicius et al., "FP8 Formats for Deep Learning" (arXiv:2209.05433) and of Noune et al.
 * (arXiv:2206.02915, the fnuz ones), and E8M0 of the OCP Microscaling specification 1.0. */
#include "runtime/dtype.h"

#include <math.h>

static const SnDtypeInfo dtype_info[SN_DTYPE_COUNT] = {[SN_NODTYPE] = {.name = "none", .safetensors = ""},
/* The DLPack code tells the kind. */
#define SN_X(NAME, text, size, code, bits, onnx, safetensors)                                                \
    [SN_##NAME] = {text,                                                                                     \
                   safetensors,                                                                              \
                   size,                                                                                     \
                   code,                                                                                     \
                   bits,                                                                                     \
                   onnx,                                                                                     \
                   (code) == 6   ? SN_KIND_BOOL                                                              \
                   : (code) == 0 ? SN_KIND_INT                                                               \
                   : (code) == 1 ? SN_KIND_UINT                                                              \
                                 : SN_KIND_FLOAT},
                                                       SN_DTYPES(SN_X)
#undef SN_X
};

const SnDtypeInfo *sn_dtype(SnDtype d)
{
    return &dtype_info[(uint32_t)d < SN_DTYPE_COUNT ? d : SN_NODTYPE];
}

static bool text_is(const char *s, const char *name, size_t n)
{
    return strlen(s) == n && memcmp(s, name, n) == 0;
}

SnDtype sn_dtype_find(const char *name, size_t n)
{
    for (SnDtype d = SN_NODTYPE + 1; d < SN_DTYPE_COUNT; d++)
        if (text_is(dtype_info[d].name, name, n))
            return d;
    return SN_NODTYPE;
}

SnDtype sn_dtype_safetensors(const char *name, size_t n)
{
    for (SnDtype d = SN_NODTYPE + 1; d < SN_DTYPE_COUNT; d++)
        if (text_is(dtype_info[d].safetensors, name, n))
            return d;
    return SN_NODTYPE;
}

SnDtype sn_dtype_dlpack(uint8_t code, uint8_t bits)
{
    for (SnDtype d = SN_NODTYPE + 1; d < SN_DTYPE_COUNT; d++)
        if (dtype_info[d].dlpack_code == code && dtype_info[d].bits == bits)
            return d;
    return SN_NODTYPE;
}

/* ---- small floats ---- */

typedef struct SnSmallFloat {
    uint8_t ebits, mbits;
    int16_t bias;
    uint16_t max; /* code of the largest finite value */
    uint16_t inf; /* 0: none, overflow gives NaN */
    uint16_t nan; /* without sign; fnuz: the one NaN, where -0 would be */
    bool is_fnuz; /* finite, NaN is one code, unsigned zero */
    bool is_ieee; /* NaN keeps the top of its payload */
} SnSmallFloat;

static const SnSmallFloat format_f16 = {5, 10, 15, 0x7BFF, 0x7C00, 0x7E00, false, true};
static const SnSmallFloat format_bf16 = {8, 7, 127, 0x7F7F, 0x7F80, 0x7FC0, false, true};
static const SnSmallFloat format_e4m3fn = {4, 3, 7, 0x7E, 0, 0x7F, false, false};
static const SnSmallFloat format_e5m2 = {5, 2, 15, 0x7B, 0x7C, 0x7F, false, false};
static const SnSmallFloat format_e4m3fnuz = {4, 3, 8, 0x7F, 0, 0x80, true, false};
static const SnSmallFloat format_e5m2fnuz = {5, 2, 16, 0x7F, 0, 0x80, true, false};

static const SnSmallFloat *small_float(SnDtype d)
{
    switch (d) {
    case SN_F16:
        return &format_f16;
    case SN_BF16:
        return &format_bf16;
    case SN_F8E4M3FN:
        return &format_e4m3fn;
    case SN_F8E5M2:
        return &format_e5m2;
    case SN_F8E4M3FNUZ:
        return &format_e4m3fnuz;
    case SN_F8E5M2FNUZ:
        return &format_e5m2fnuz;
    default:
        return NULL;
    }
}

#define SN_F64_FRACTION 0x000FFFFFFFFFFFFFu
#define SN_F64_INF      0x7FF0000000000000u
#define SN_F64_QUIET    0x0008000000000000u

static uint64_t f64_bits(double v)
{
    uint64_t u;
    memcpy(&u, &v, sizeof u);
    return u;
}

static double f64_from_bits(uint64_t u)
{
    double v;
    memcpy(&v, &u, sizeof v);
    return v;
}

/* 2^e, -1022 <= e <= 1023. */
static double power_of_two(int e)
{
    return f64_from_bits((uint64_t)(e + 1023) << 52);
}

/* Magnitude of a finite, normal v in format f, rounded to nearest even; may exceed f->max. */
static uint32_t round_magnitude(const SnSmallFloat *f, uint64_t magnitude)
{
    const int e = (int)(magnitude >> 52) - 1023;
    const int above = e - (1 - f->bias); /* exponents above the smallest normal one */
    const uint64_t mantissa = (magnitude & SN_F64_FRACTION) | (uint64_t)1 << 52;
    const int shift = 52 - f->mbits + (above < 0 ? -above : 0);
    if (shift > 53)
        return 0;
    uint64_t q = mantissa >> shift;
    const uint64_t rest = mantissa & (((uint64_t)1 << shift) - 1), half = (uint64_t)1 << (shift - 1);
    if (rest > half || (rest == half && (q & 1) != 0))
        q++;
    /* A mantissa that reaches the next power of two carries into the exponent. */
    return (above > 0 ? (uint32_t)above << f->mbits : 0) + (uint32_t)q;
}

static uint16_t small_encode(const SnSmallFloat *f, double v, bool saturate)
{
    const uint64_t bits = f64_bits(v), magnitude = bits & ~((uint64_t)1 << 63);
    const uint32_t sign = (uint32_t)(bits >> 63) << (f->ebits + f->mbits);
    const uint32_t overflow = saturate ? f->max : f->inf != 0 ? f->inf : f->nan;
    uint32_t code;
    if (magnitude > SN_F64_INF) {
        code = f->nan;
        if (f->is_ieee)
            code |= (uint32_t)((magnitude & SN_F64_FRACTION) >> (52 - f->mbits));
    } else if (magnitude == SN_F64_INF) {
        code = overflow;
    } else {
        /* A subnormal f64 is 0 in every small format. */
        code = magnitude >> 52 == 0 ? 0 : round_magnitude(f, magnitude);
        if (code > f->max)
            code = overflow;
    }
    if (f->is_fnuz && (code == 0 || code == f->nan))
        return (uint16_t)code;
    return (uint16_t)(sign | code);
}

static double small_decode(const SnSmallFloat *f, uint32_t code)
{
    const uint32_t sign_bit = 1u << (f->ebits + f->mbits);
    const uint64_t sign = (code & sign_bit) != 0 ? (uint64_t)1 << 63 : 0;
    const uint32_t magnitude = code & (sign_bit - 1), fraction = magnitude & ((1u << f->mbits) - 1);
    if (f->is_fnuz && code == f->nan)
        return f64_from_bits(SN_F64_INF | SN_F64_QUIET);
    if (f->inf != 0 && magnitude == f->inf)
        return f64_from_bits(sign | SN_F64_INF);
    if (magnitude > f->max)
        return f64_from_bits(sign | SN_F64_INF | SN_F64_QUIET | (uint64_t)fraction << (52 - f->mbits));
    const int e = (int)(magnitude >> f->mbits);
    const uint32_t mantissa = e == 0 ? fraction : fraction | 1u << f->mbits;
    const double v = (double)mantissa * power_of_two((e == 0 ? 1 : e) - f->bias - f->mbits);
    return sign != 0 ? -v : v;
}

/* E8M0 holds powers of two from 2^-127 to 2^127 and one NaN; half-way values go up, as in PyTorch. */
static uint8_t e8m0_encode(double v, bool saturate)
{
    if (isnan(v) || v < 0.0)
        return 0xFF;
    const uint64_t bits = f64_bits(v) + ((uint64_t)1 << 51);
    const int code = (int)(bits >> 52 & 0x7FF) - 1023 + 127;
    if (code > 254 || isinf(v))
        return saturate ? 254 : 0xFF;
    return (uint8_t)(code < 0 ? 0 : code);
}

static double e8m0_decode(uint8_t code)
{
    return code == 0xFF ? (double)NAN : power_of_two((int)code - 127);
}

float sn_f16_to_f32(uint16_t h)
{
    return (float)small_decode(&format_f16, h);
}

uint16_t sn_f32_to_f16(float f)
{
    return small_encode(&format_f16, (double)f, false);
}

float sn_bf16_to_f32(uint16_t h)
{
    return (float)small_decode(&format_bf16, h);
}

uint16_t sn_f32_to_bf16(float f)
{
    return small_encode(&format_bf16, (double)f, false);
}

float sn_f8_to_f32(SnDtype f8, uint8_t v)
{
    return (float)(f8 == SN_F8E8M0 ? e8m0_decode(v) : small_decode(small_float(f8), v));
}

uint8_t sn_f32_to_f8(SnDtype f8, float f, bool saturate)
{
    if (f8 == SN_F8E8M0)
        return e8m0_encode((double)f, saturate);
    return (uint8_t)small_encode(small_float(f8), (double)f, saturate);
}

/* v rounded to the float dtype d. Only 8-bit formats saturate. */
static double float_round(SnDtype d, double v, bool saturate)
{
    if (d == SN_F64)
        return v;
    if (d == SN_F32)
        return (double)(float)v;
    if (d == SN_F8E8M0)
        return e8m0_decode(e8m0_encode(v, saturate));
    const SnSmallFloat *f = small_float(d);
    return small_decode(f, small_encode(f, v, saturate && !f->is_ieee));
}

/* ---- scalars ---- */

#define SN_LOAD(T, field, wide)                                                                              \
    do {                                                                                                     \
        T x;                                                                                                 \
        memcpy(&x, at, sizeof x);                                                                            \
        v.field = (wide)x;                                                                                   \
    } while (0)

#define SN_STORE(T, value)                                                                                   \
    do {                                                                                                     \
        const T x = (T)(value);                                                                              \
        memcpy(at, &x, sizeof x);                                                                            \
    } while (0)

SnScalar sn_scalar_load(SnDtype d, const void *at)
{
    SnScalar v = {.u = 0};
    switch (d) {
    case SN_BOOL:
        SN_LOAD(uint8_t, i, int64_t);
        v.i = v.i != 0;
        break;
    case SN_I8:
        SN_LOAD(int8_t, i, int64_t);
        break;
    case SN_I16:
        SN_LOAD(int16_t, i, int64_t);
        break;
    case SN_I32:
        SN_LOAD(int32_t, i, int64_t);
        break;
    case SN_I64:
        SN_LOAD(int64_t, i, int64_t);
        break;
    case SN_U8:
        SN_LOAD(uint8_t, u, uint64_t);
        break;
    case SN_U16:
        SN_LOAD(uint16_t, u, uint64_t);
        break;
    case SN_U32:
        SN_LOAD(uint32_t, u, uint64_t);
        break;
    case SN_U64:
        SN_LOAD(uint64_t, u, uint64_t);
        break;
    case SN_F16:
    case SN_BF16:
        SN_LOAD(uint16_t, u, uint64_t);
        v.f = small_decode(small_float(d), (uint32_t)v.u);
        break;
    case SN_F32:
        SN_LOAD(float, f, double);
        break;
    case SN_F64:
        SN_LOAD(double, f, double);
        break;
    case SN_F8E4M3FN:
    case SN_F8E5M2:
    case SN_F8E4M3FNUZ:
    case SN_F8E5M2FNUZ:
        SN_LOAD(uint8_t, u, uint64_t);
        v.f = small_decode(small_float(d), (uint32_t)v.u);
        break;
    case SN_F8E8M0:
        SN_LOAD(uint8_t, u, uint64_t);
        v.f = e8m0_decode((uint8_t)v.u);
        break;
    case SN_NODTYPE:
    case SN_DTYPE_COUNT:
        break;
    }
    return v;
}

void sn_scalar_store(SnDtype d, void *at, SnScalar v)
{
    switch (d) {
    case SN_BOOL:
        SN_STORE(uint8_t, v.i != 0);
        break;
    case SN_I8:
    case SN_U8:
        SN_STORE(uint8_t, v.u);
        break;
    case SN_I16:
    case SN_U16:
        SN_STORE(uint16_t, v.u);
        break;
    case SN_I32:
    case SN_U32:
        SN_STORE(uint32_t, v.u);
        break;
    case SN_I64:
    case SN_U64:
        SN_STORE(uint64_t, v.u);
        break;
    case SN_F16:
    case SN_BF16:
        SN_STORE(uint16_t, small_encode(small_float(d), v.f, false));
        break;
    case SN_F32:
        SN_STORE(float, v.f);
        break;
    case SN_F64:
        SN_STORE(double, v.f);
        break;
    case SN_F8E4M3FN:
    case SN_F8E5M2:
    case SN_F8E4M3FNUZ:
    case SN_F8E5M2FNUZ:
        SN_STORE(uint8_t, small_encode(small_float(d), v.f, false));
        break;
    case SN_F8E8M0:
        SN_STORE(uint8_t, e8m0_encode(v.f, false));
        break;
    case SN_NODTYPE:
    case SN_DTYPE_COUNT:
        break;
    }
}

static SnScalar int_wrap(SnDtype d, uint64_t u)
{
    const unsigned drop = 64u - sn_dtype(d)->bits;
    if (sn_dtype(d)->kind == SN_KIND_INT)
        return (SnScalar){.i = (int64_t)(u << drop) >> drop};
    return (SnScalar){.u = u << drop >> drop};
}

static SnScalar int_from_float(SnDtype to, double v)
{
    const bool is_signed = sn_dtype(to)->kind == SN_KIND_INT;
    const unsigned bits = sn_dtype(to)->bits;
    const double end = power_of_two((int)(is_signed ? bits - 1 : bits));
    if (isnan(v))
        return (SnScalar){.u = 0};
    if (v >= end)
        return (SnScalar){.u = UINT64_MAX >> (64 - (is_signed ? bits - 1 : bits))};
    if (is_signed)
        return (SnScalar){.i = v > -end ? (int64_t)v : -(int64_t)((UINT64_C(1) << (bits - 1)) - 1) - 1};
    return (SnScalar){.u = v > 0.0 ? (uint64_t)v : 0};
}

/* One rounding: what f64 cannot hold leaves its mark in the last bit ("round to odd") for the rounding to
 * come. */
static double float_from_int(SnDtype to, bool negative, uint64_t magnitude, bool saturate)
{
    double v = (double)magnitude;
    if (to != SN_F64 && magnitude >> 53 != 0)
        v = (double)(magnitude >> 11 | ((magnitude & 0x7FF) != 0)) * 2048.0;
    return float_round(to, negative ? -v : v, saturate);
}

SnScalar sn_scalar_cast(SnDtype from, SnDtype to, SnScalar v, bool saturate)
{
    const SnDtypeKind source = sn_dtype(from)->kind, target = sn_dtype(to)->kind;
    if (target == SN_KIND_BOOL)
        return (SnScalar){.i = source == SN_KIND_FLOAT ? v.f != 0.0 : v.u != 0};
    if (source == SN_KIND_FLOAT && target == SN_KIND_FLOAT)
        return (SnScalar){.f = float_round(to, v.f, saturate)};
    if (source == SN_KIND_FLOAT)
        return int_from_float(to, v.f);
    if (target != SN_KIND_FLOAT)
        return int_wrap(to, v.u);
    const bool negative = source != SN_KIND_UINT && v.i < 0;
    return (SnScalar){.f = float_from_int(to, negative, negative ? 0 - v.u : v.u, saturate)};
}

SnScalar sn_scalar_round_to(SnDtype d, SnScalar v)
{
    if (d == SN_BOOL)
        return (SnScalar){.i = v.i != 0};
    if (sn_dtype_is_float(d))
        return (SnScalar){.f = float_round(d, v.f, false)};
    return int_wrap(d, v.u);
}
