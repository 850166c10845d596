/* convert.c -- casts, each with one rounding, as sn_scalar_cast defines them.
 *
 * The narrow floats go through f32. What f32 cannot hold on the way from f64 and i64 is rounded to odd there
 * (Boldo & Melquiond, "Emulation of FMA and correctly rounded sums", 2008): the rounding to come is then the
 * only one. */
#include "backends/llvm/codegen.h"

typedef struct Narrow {
    uint8_t mbits;
    int16_t bias;
    uint8_t max, inf, nan; /* codes without sign; inf 0: none */
    bool is_fnuz;          /* one NaN, where -0 would be */
} Narrow;

static const Narrow formats[SN_DTYPE_COUNT] = {
    [SN_F8E4M3FN] = {3, 7, 0x7E, 0, 0x7F, false},
    [SN_F8E5M2] = {2, 15, 0x7B, 0x7C, 0x7F, false},
    [SN_F8E4M3FNUZ] = {3, 8, 0x7F, 0, 0x80, true},
    [SN_F8E5M2FNUZ] = {2, 16, 0x7F, 0, 0x80, true},
};

typedef struct Types {
    LLVMTypeRef i1, i8, i16, i32, i64, f16, f32, f64;
} Types;

static Types types_of(const SnGen *g, uint32_t width)
{
    return (Types){.i1 = sn_gen_type(g, SN_BOOL, width),
                   .i8 = sn_gen_type(g, SN_I8, width),
                   .i16 = sn_gen_type(g, SN_I16, width),
                   .i32 = sn_gen_type(g, SN_I32, width),
                   .i64 = sn_gen_type(g, SN_I64, width),
                   .f16 = sn_gen_vector(LLVMHalfTypeInContext(g->llvm), width),
                   .f32 = sn_gen_type(g, SN_F32, width),
                   .f64 = sn_gen_type(g, SN_F64, width)};
}

static LLVMValueRef and_bits(SnGen *g, LLVMValueRef v, uint64_t bits)
{
    return LLVMBuildAnd(g->b, v, sn_gen_int(LLVMTypeOf(v), bits), "");
}

static LLVMValueRef add_int(SnGen *g, LLVMValueRef v, uint64_t n)
{
    return LLVMBuildAdd(g->b, v, sn_gen_int(LLVMTypeOf(v), n), "");
}

static LLVMValueRef shift_left(SnGen *g, LLVMValueRef v, uint64_t n)
{
    return LLVMBuildShl(g->b, v, sn_gen_int(LLVMTypeOf(v), n), "");
}

static LLVMValueRef shift_right(SnGen *g, LLVMValueRef v, uint64_t n)
{
    return LLVMBuildLShr(g->b, v, sn_gen_int(LLVMTypeOf(v), n), "");
}

static LLVMValueRef above(SnGen *g, LLVMValueRef v, uint64_t n)
{
    return LLVMBuildICmp(g->b, LLVMIntUGT, v, sn_gen_int(LLVMTypeOf(v), n), "");
}

static LLVMValueRef equals(SnGen *g, LLVMValueRef v, uint64_t n)
{
    return LLVMBuildICmp(g->b, LLVMIntEQ, v, sn_gen_int(LLVMTypeOf(v), n), "");
}

/* v where the condition holds, else otherwise. */
static LLVMValueRef choose(SnGen *g, LLVMValueRef condition, uint64_t v, LLVMValueRef otherwise)
{
    return LLVMBuildSelect(g->b, condition, sn_gen_int(LLVMTypeOf(otherwise), v), otherwise, "");
}

/* ---- to f32 ---- */

static LLVMValueRef f8_to_f32(SnGen *g, SnDtype d, LLVMValueRef v, const Types *t)
{
    const Narrow *f = &formats[d];
    const LLVMValueRef code = LLVMBuildZExt(g->b, v, t->i32, ""), magnitude = and_bits(g, code, 0x7F);
    /* The exponent is short of f32's bias: subnormals come out right too. */
    const LLVMValueRef small = LLVMBuildBitCast(g->b, shift_left(g, magnitude, 23u - f->mbits), t->f32, "");
    const LLVMValueRef power = sn_gen_int(t->i32, (uint64_t)(127 + 127 - f->bias) << 23);
    const LLVMValueRef scaled = LLVMBuildFMul(g->b, small, LLVMBuildBitCast(g->b, power, t->f32, ""), "");
    LLVMValueRef bits = LLVMBuildBitCast(g->b, scaled, t->i32, "");
    if (f->inf != 0)
        bits = choose(g, equals(g, magnitude, f->inf), 0x7F800000u, bits);
    if (f->is_fnuz)
        bits = choose(g, equals(g, code, f->nan), 0x7FC00000u, bits);
    else
        bits = choose(g, above(g, magnitude, f->inf != 0 ? f->inf : f->max), 0x7FC00000u, bits);
    const LLVMValueRef sign = shift_left(g, and_bits(g, code, 0x80), 24);
    return LLVMBuildBitCast(g->b, LLVMBuildOr(g->b, bits, sign, ""), t->f32, "");
}

static LLVMValueRef e8m0_to_f32(SnGen *g, LLVMValueRef v, const Types *t)
{
    const LLVMValueRef code = LLVMBuildZExt(g->b, v, t->i32, "");
    LLVMValueRef bits = shift_left(g, code, 23);
    bits = choose(g, equals(g, code, 0), 0x00400000u, bits);
    bits = choose(g, equals(g, code, 0xFF), 0x7FC00000u, bits);
    return LLVMBuildBitCast(g->b, bits, t->f32, "");
}

static LLVMValueRef narrow_to_f32(SnGen *g, SnDtype d, LLVMValueRef v, const Types *t)
{
    switch (d) {
    case SN_F16:
        return LLVMBuildFPExt(g->b, LLVMBuildBitCast(g->b, v, t->f16, ""), t->f32, "");
    case SN_BF16:
        return LLVMBuildBitCast(g->b, shift_left(g, LLVMBuildZExt(g->b, v, t->i32, ""), 16), t->f32, "");
    case SN_F8E8M0:
        return e8m0_to_f32(g, v, t);
    default:
        return f8_to_f32(g, d, v, t);
    }
}

/* ---- from f32 ---- */

static LLVMValueRef f32_to_bf16(SnGen *g, LLVMValueRef v, const Types *t)
{
    const LLVMValueRef bits = LLVMBuildBitCast(g->b, v, t->i32, "");
    const LLVMValueRef odd = and_bits(g, shift_right(g, bits, 16), 1);
    const LLVMValueRef rounded = add_int(g, LLVMBuildAdd(g->b, bits, odd, ""), 0x7FFF);
    const LLVMValueRef quiet = LLVMBuildOr(g->b, bits, sn_gen_int(t->i32, 0x00400000u), "");
    const LLVMValueRef is_nan = LLVMBuildFCmp(g->b, LLVMRealUNO, v, v, "");
    const LLVMValueRef kept = LLVMBuildSelect(g->b, is_nan, quiet, rounded, "");
    return LLVMBuildTrunc(g->b, shift_right(g, kept, 16), t->i16, "");
}

/* Magnitude of the code; above f->max where v is too large for the format. */
static LLVMValueRef round_magnitude(SnGen *g, const Narrow *f, LLVMValueRef magnitude, const Types *t)
{
    const unsigned drop = 23u - f->mbits;
    const uint64_t first_normal = (uint64_t)(127 + 1 - f->bias) << 23;
    const LLVMValueRef odd = and_bits(g, shift_right(g, magnitude, drop), 1);
    const LLVMValueRef half =
        add_int(g, LLVMBuildAdd(g->b, magnitude, odd, ""), ((uint64_t)1 << (drop - 1)) - 1);
    const LLVMValueRef normal =
        add_int(g, shift_right(g, half, drop), 0 - ((uint64_t)(127 - f->bias) << f->mbits));
    /* Added to a number whose last place is the format's smallest step, v is rounded to steps. */
    const uint64_t magic = (uint64_t)(127 + 1 - f->bias - f->mbits + 23) << 23;
    const LLVMValueRef steps =
        LLVMBuildFAdd(g->b, LLVMBuildBitCast(g->b, magnitude, t->f32, ""),
                      LLVMBuildBitCast(g->b, sn_gen_int(t->i32, magic), t->f32, ""), "");
    const LLVMValueRef subnormal = add_int(g, LLVMBuildBitCast(g->b, steps, t->i32, ""), 0 - magic);
    return LLVMBuildSelect(g->b, above(g, magnitude, first_normal - 1), normal, subnormal, "");
}

static LLVMValueRef f32_to_f8(SnGen *g, SnDtype d, bool saturate, LLVMValueRef v, const Types *t)
{
    const Narrow *f = &formats[d];
    const LLVMValueRef bits = LLVMBuildBitCast(g->b, v, t->i32, ""),
                       magnitude = and_bits(g, bits, 0x7FFFFFFFu);
    const uint64_t overflow = saturate ? f->max : f->inf != 0 ? f->inf : f->nan;
    LLVMValueRef code = round_magnitude(g, f, magnitude, t);
    code = choose(g, above(g, code, f->max), overflow, code);
    code = choose(g, above(g, magnitude, 0x7F7FFFFFu), overflow, code);
    code = choose(g, above(g, magnitude, 0x7F800000u), f->nan, code);
    LLVMValueRef sign = and_bits(g, shift_right(g, bits, 24), 0x80);
    if (f->is_fnuz) {
        const LLVMValueRef unsigned_code = LLVMBuildOr(g->b, equals(g, code, 0), equals(g, code, f->nan), "");
        sign = choose(g, unsigned_code, 0, sign);
    }
    return LLVMBuildTrunc(g->b, LLVMBuildOr(g->b, code, sign, ""), t->i8, "");
}

/* Half-way values go up. */
static LLVMValueRef f32_to_e8m0(SnGen *g, bool saturate, LLVMValueRef v, const Types *t)
{
    const LLVMValueRef bits = LLVMBuildBitCast(g->b, v, t->i32, ""),
                       magnitude = and_bits(g, bits, 0x7FFFFFFFu);
    LLVMValueRef code = shift_right(g, add_int(g, magnitude, 0x00400000u), 23);
    const LLVMValueRef subnormal = LLVMBuildZExt(g->b, above(g, magnitude, 0x005FFFFFu), t->i32, "");
    code = LLVMBuildSelect(g->b, above(g, magnitude, 0x007FFFFFu), code, subnormal, "");
    code = choose(g, above(g, code, 254), saturate ? 254 : 0xFF, code);
    const LLVMValueRef zero = LLVMConstNull(t->f32);
    code = choose(g, LLVMBuildFCmp(g->b, LLVMRealULT, v, zero, ""), 0xFF, code);
    return LLVMBuildTrunc(g->b, code, t->i8, "");
}

static LLVMValueRef f32_to_narrow(SnGen *g, SnDtype d, bool saturate, LLVMValueRef v, const Types *t)
{
    switch (d) {
    case SN_F16:
        return LLVMBuildBitCast(g->b, LLVMBuildFPTrunc(g->b, v, t->f16, ""), t->i16, "");
    case SN_BF16:
        return f32_to_bf16(g, v, t);
    case SN_F8E8M0:
        return f32_to_e8m0(g, saturate, v, t);
    default:
        return f32_to_f8(g, d, saturate, v, t);
    }
}

/* ---- f64 and i64 to f32, rounded to odd ---- */

static LLVMValueRef f64_to_odd_f32(SnGen *g, LLVMValueRef v, const Types *t)
{
    const LLVMValueRef nearest = LLVMBuildFPTrunc(g->b, v, t->f32, "");
    const LLVMValueRef back = LLVMBuildFPExt(g->b, nearest, t->f64, "");
    const LLVMValueRef inexact = LLVMBuildFCmp(g->b, LLVMRealONE, back, v, "");
    LLVMTypeRef f64 = t->f64;
    LLVMValueRef a = back, b = v;
    a = sn_gen_intrinsic(g, "llvm.fabs", &f64, 1, &a, 1);
    b = sn_gen_intrinsic(g, "llvm.fabs", &f64, 1, &b, 1);
    const LLVMValueRef went_up = LLVMBuildZExt(g->b, LLVMBuildFCmp(g->b, LLVMRealOGT, a, b, ""), t->i32, "");
    const LLVMValueRef bits = LLVMBuildSub(g->b, LLVMBuildBitCast(g->b, nearest, t->i32, ""), went_up, "");
    const LLVMValueRef odd = LLVMBuildOr(g->b, bits, LLVMBuildZExt(g->b, inexact, t->i32, ""), "");
    return LLVMBuildBitCast(g->b, odd, t->f32, "");
}

/* Exact up to 2^53; beyond it the bits that f64 cannot hold leave a mark in the last one that it can. */
static LLVMValueRef int_to_odd_f64(SnGen *g, SnDtype from, LLVMValueRef v, const Types *t)
{
    const bool is_signed = sn_dtype(from)->kind == SN_KIND_INT;
    if (sn_dtype_size(from) < 8)
        return is_signed ? LLVMBuildSIToFP(g->b, v, t->f64, "") : LLVMBuildUIToFP(g->b, v, t->f64, "");
    const LLVMValueRef none = LLVMConstNull(t->i64);
    const LLVMValueRef is_negative =
        is_signed ? LLVMBuildICmp(g->b, LLVMIntSLT, v, none, "") : LLVMConstNull(t->i1);
    const LLVMValueRef magnitude = LLVMBuildSelect(g->b, is_negative, LLVMBuildNeg(g->b, v, ""), v, "");
    const LLVMValueRef mark = LLVMBuildZExt(g->b, above(g, and_bits(g, magnitude, 0x7FF), 0), t->i64, "");
    const LLVMValueRef high = LLVMBuildOr(g->b, shift_right(g, magnitude, 11), mark, "");
    const LLVMValueRef large =
        LLVMBuildFMul(g->b, LLVMBuildUIToFP(g->b, high, t->f64, ""), sn_gen_real(t->f64, 2048.0), "");
    const LLVMValueRef exact = LLVMBuildUIToFP(g->b, magnitude, t->f64, "");
    const LLVMValueRef is_large = above(g, magnitude, ((uint64_t)1 << 53) - 1);
    const LLVMValueRef x = LLVMBuildSelect(g->b, is_large, large, exact, "");
    return LLVMBuildSelect(g->b, is_negative, LLVMBuildFNeg(g->b, x, ""), x, "");
}

/* ---- casts ---- */

static LLVMValueRef float_to_int(SnGen *g, SnDtype to, LLVMValueRef v, uint32_t width)
{
    LLVMTypeRef type[] = {sn_gen_type(g, to, width), LLVMTypeOf(v)};
    const char *name = sn_dtype(to)->kind == SN_KIND_INT ? "llvm.fptosi.sat" : "llvm.fptoui.sat";
    return sn_gen_intrinsic(g, name, type, 2, &v, 1);
}

static LLVMValueRef int_to_int(SnGen *g, SnDtype from, SnDtype to, LLVMValueRef v, uint32_t width)
{
    const LLVMTypeRef type = sn_gen_type(g, to, width);
    if (from != SN_BOOL && sn_dtype_size(to) <= sn_dtype_size(from))
        return LLVMBuildTruncOrBitCast(g->b, v, type, "");
    return sn_dtype(from)->kind == SN_KIND_INT ? LLVMBuildSExt(g->b, v, type, "")
                                               : LLVMBuildZExt(g->b, v, type, "");
}

static LLVMValueRef float_to_float(SnGen *g, SnDtype from, SnDtype to, bool saturate, LLVMValueRef v,
                                   const Types *t)
{
    if (sn_kernel_is_narrow(to))
        return f32_to_narrow(g, to, saturate, from == SN_F64 ? f64_to_odd_f32(g, v, t) : v, t);
    if (to == from)
        return v;
    return to == SN_F64 ? LLVMBuildFPExt(g->b, v, t->f64, "") : LLVMBuildFPTrunc(g->b, v, t->f32, "");
}

static LLVMValueRef int_to_float(SnGen *g, SnDtype from, SnDtype to, bool saturate, LLVMValueRef v,
                                 const Types *t)
{
    if (sn_kernel_is_narrow(to))
        return f32_to_narrow(g, to, saturate, f64_to_odd_f32(g, int_to_odd_f64(g, from, v, t), t), t);
    const LLVMTypeRef type = to == SN_F32 ? t->f32 : t->f64;
    return sn_dtype(from)->kind == SN_KIND_INT ? LLVMBuildSIToFP(g->b, v, type, "")
                                               : LLVMBuildUIToFP(g->b, v, type, "");
}

LLVMValueRef sn_gen_cast(SnGen *g, SnDtype from, SnDtype to, bool saturate, LLVMValueRef v, uint32_t width)
{
    const Types t = types_of(g, width);
    if (from == to && !saturate)
        return v;
    if (sn_kernel_is_narrow(from)) {
        v = narrow_to_f32(g, from, v, &t);
        from = SN_F32;
    }
    const bool is_float = sn_dtype_is_float(from);
    if (to == SN_BOOL && is_float)
        return LLVMBuildFCmp(g->b, LLVMRealUNE, v, LLVMConstNull(LLVMTypeOf(v)), "");
    if (to == SN_BOOL)
        return LLVMBuildICmp(g->b, LLVMIntNE, v, LLVMConstNull(LLVMTypeOf(v)), "");
    if (is_float)
        return sn_dtype_is_float(to) ? float_to_float(g, from, to, saturate, v, &t)
                                     : float_to_int(g, to, v, width);
    return sn_dtype_is_float(to) ? int_to_float(g, from, to, saturate, v, &t)
                                 : int_to_int(g, from, to, v, width);
}
