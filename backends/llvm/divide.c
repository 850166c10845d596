/* divide.c -- idiv and mod: floored, defined for a divisor of 0, exact for floats. */
#include "backends/llvm/codegen.h"

/* The power of two that all lanes of a constant are, as its exponent; -1: it is none. */
static int constant_log2(LLVMValueRef v)
{
    if (!LLVMIsConstant(v))
        return -1;
    const bool is_vector = LLVMGetTypeKind(LLVMTypeOf(v)) == LLVMVectorTypeKind;
    const LLVMValueRef one = is_vector ? LLVMGetAggregateElement(v, 0) : v;
    if (one == NULL || LLVMIsAConstantInt(one) == NULL ||
        (is_vector && sn_gen_int(LLVMTypeOf(v), LLVMConstIntGetZExtValue(one)) != v))
        return -1;
    const uint64_t n = LLVMConstIntGetZExtValue(one);
    int log2 = 0;
    while (log2 < 62 && (uint64_t)1 << log2 != n)
        log2++;
    return (uint64_t)1 << log2 == n ? log2 : -1;
}

LLVMValueRef sn_gen_int_divide(SnGen *g, SnDtype d, LLVMValueRef a, LLVMValueRef b, bool want_mod)
{
    const LLVMTypeRef type = LLVMTypeOf(a);
    const bool is_signed = sn_dtype(d)->kind == SN_KIND_INT;
    const int log2 = constant_log2(b);
    const unsigned bits = 8 * (unsigned)sn_dtype_size(d);
    if (log2 >= 0 && log2 < (int)bits - 1) {
        const LLVMValueRef n = sn_gen_int(type, want_mod ? ((uint64_t)1 << log2) - 1 : (uint64_t)log2);
        return want_mod    ? LLVMBuildAnd(g->b, a, n, "")
               : is_signed ? LLVMBuildAShr(g->b, a, n, "")
                           : LLVMBuildLShr(g->b, a, n, "");
    }
    const LLVMValueRef zero = LLVMConstNull(type), one = sn_gen_int(type, 1);
    const LLVMValueRef by_zero = LLVMBuildICmp(g->b, LLVMIntEQ, b, zero, "");
    if (!is_signed) {
        const LLVMValueRef safe = LLVMBuildSelect(g->b, by_zero, one, b, "");
        const LLVMValueRef v = want_mod ? LLVMBuildURem(g->b, a, safe, "") : LLVMBuildUDiv(g->b, a, safe, "");
        return LLVMBuildSelect(g->b, by_zero, want_mod ? a : zero, v, "");
    }
    /* By -1, the one quotient that does not fit wraps: -a, and nothing is left. */
    const LLVMValueRef by_minus_one = LLVMBuildICmp(g->b, LLVMIntEQ, b, LLVMConstAllOnes(type), "");
    const LLVMValueRef special = LLVMBuildOr(g->b, by_zero, by_minus_one, "");
    const LLVMValueRef safe = LLVMBuildSelect(g->b, special, one, b, "");
    const LLVMValueRef q = LLVMBuildSDiv(g->b, a, safe, "");
    const LLVMValueRef r = LLVMBuildSub(g->b, a, LLVMBuildMul(g->b, q, safe, ""), "");
    const LLVMValueRef differ = LLVMBuildICmp(g->b, LLVMIntSLT, LLVMBuildXor(g->b, r, safe, ""), zero, "");
    const LLVMValueRef down = LLVMBuildAnd(g->b, differ, LLVMBuildICmp(g->b, LLVMIntNE, r, zero, ""), "");
    if (want_mod) {
        const LLVMValueRef v = LLVMBuildAdd(g->b, r, LLVMBuildSelect(g->b, down, safe, zero, ""), "");
        return LLVMBuildSelect(g->b, by_zero, a, v, "");
    }
    const LLVMValueRef v = LLVMBuildAdd(g->b, q, LLVMBuildSExt(g->b, down, type, ""), "");
    const LLVMValueRef negated = LLVMBuildSelect(g->b, by_minus_one, LLVMBuildNeg(g->b, a, ""), v, "");
    return LLVMBuildSelect(g->b, by_zero, zero, negated, "");
}

/* ---- floats ---- */

#define FRACTION_BITS 52
#define FRACTION      (((uint64_t)1 << FRACTION_BITS) - 1)
#define SPARE_BITS    11 /* above a mantissa in 64 bits */

static LLVMValueRef word(const SnGen *g, uint64_t v)
{
    return LLVMConstInt(LLVMInt64TypeInContext(g->llvm), v, false);
}

/* x = mantissa * 2^(exponent - 1075), for finite x >= 0, subnormals too. */
static void take_apart(SnGen *g, LLVMValueRef x, LLVMValueRef *mantissa, LLVMValueRef *exponent)
{
    const LLVMTypeRef i64 = LLVMInt64TypeInContext(g->llvm);
    const LLVMValueRef bits = LLVMBuildBitCast(g->b, x, i64, "");
    const LLVMValueRef field = LLVMBuildLShr(g->b, bits, word(g, FRACTION_BITS), "");
    const LLVMValueRef fraction = LLVMBuildAnd(g->b, bits, word(g, FRACTION), "");
    const LLVMValueRef is_normal = LLVMBuildICmp(g->b, LLVMIntNE, field, word(g, 0), "");
    const LLVMValueRef leading = LLVMBuildSelect(g->b, is_normal, word(g, FRACTION + 1), word(g, 0), "");
    *mantissa = LLVMBuildOr(g->b, fraction, leading, "");
    *exponent = LLVMBuildSelect(g->b, is_normal, field, word(g, 1), "");
}

/* mantissa * 2^(exponent - 1075), in two steps that cannot overflow. */
static LLVMValueRef put_together(SnGen *g, LLVMValueRef mantissa, LLVMValueRef exponent)
{
    const LLVMTypeRef f64 = LLVMDoubleTypeInContext(g->llvm);
    const LLVMValueRef half = LLVMBuildLShr(g->b, exponent, word(g, 1), "");
    const LLVMValueRef part[] = {
        LLVMBuildAdd(g->b, half, word(g, 1023 - 537), ""),
        LLVMBuildAdd(g->b, LLVMBuildSub(g->b, exponent, half, ""), word(g, 1023 - 538), "")};
    LLVMValueRef v = LLVMBuildUIToFP(g->b, mantissa, f64, "");
    for (size_t i = 0; i < SN_COUNT(part); i++) {
        const LLVMValueRef power = LLVMBuildShl(g->b, part[i], word(g, FRACTION_BITS), "");
        v = LLVMBuildFMul(g->b, v, LLVMBuildBitCast(g->b, power, f64, ""), "");
    }
    return v;
}

/* Remainder of finite x >= 0 by finite y > 0: long division of mantissas, 11 bits at a time. */
static void gen_remainder(SnGen *g, LLVMValueRef x, LLVMValueRef y)
{
    const LLVMTypeRef i64 = LLVMInt64TypeInContext(g->llvm);
    const LLVMBasicBlockRef entry = g->block, loop = sn_gen_block(g), done = sn_gen_block(g),
                            less = sn_gen_block(g);
    LLVMValueRef mx, my, ex, ey;
    take_apart(g, x, &mx, &ex);
    take_apart(g, y, &my, &ey);
    const LLVMValueRef apart = LLVMBuildSub(g->b, ex, ey, "");
    const LLVMValueRef first = LLVMBuildURem(g->b, mx, my, "");
    LLVMBuildCondBr(g->b, LLVMBuildICmp(g->b, LLVMIntSLT, apart, word(g, 0), ""), less, loop);
    sn_gen_enter(g, less);
    LLVMBuildRet(g->b, x);
    sn_gen_enter(g, loop);
    const LLVMValueRef m = LLVMBuildPhi(g->b, i64, ""), left = LLVMBuildPhi(g->b, i64, "");
    LLVMValueRef least[] = {left, word(g, SPARE_BITS)};
    const LLVMValueRef bits = sn_gen_intrinsic(g, "llvm.umin", (LLVMTypeRef[]){i64}, 1, least, 2);
    const LLVMValueRef next = LLVMBuildURem(g->b, LLVMBuildShl(g->b, m, bits, ""), my, "");
    const LLVMValueRef rest = LLVMBuildSub(g->b, left, bits, "");
    LLVMBuildCondBr(g->b, LLVMBuildICmp(g->b, LLVMIntNE, rest, word(g, 0), ""), loop, done);
    LLVMAddIncoming(m, (LLVMValueRef[]){first, next}, (LLVMBasicBlockRef[]){entry, loop}, 2);
    LLVMAddIncoming(left, (LLVMValueRef[]){apart, rest}, (LLVMBasicBlockRef[]){entry, loop}, 2);
    sn_gen_enter(g, done);
    LLVMBuildRet(g->b, put_together(g, next, ey));
}

/* One function of the module for each level that needs it. */
static LLVMValueRef remainder_function(SnGen *g)
{
    static const char *const name[SN_CPU_LEVEL_COUNT] = {[SN_CPU_V3] = "sn_remainder_v3",
                                                         [SN_CPU_V4] = "sn_remainder_v4",
                                                         [SN_CPU_V4D] = "sn_remainder_v4d",
                                                         [SN_CPU_AMX] = "sn_remainder_amx"};
    const LLVMValueRef known = LLVMGetNamedFunction(g->module, name[g->level]);
    if (known != NULL)
        return known;
    const LLVMTypeRef f64 = LLVMDoubleTypeInContext(g->llvm);
    const LLVMValueRef caller = g->fn;
    const LLVMBasicBlockRef block = g->block;
    const LLVMBuilderRef builder = g->b;
    g->b = LLVMCreateBuilderInContext(g->llvm);
    sn_gen_function(g, name[g->level], LLVMFunctionType(f64, (LLVMTypeRef[]){f64, f64}, 2, false));
    const LLVMValueRef fn = g->fn;
    LLVMSetLinkage(fn, LLVMInternalLinkage);
    gen_remainder(g, LLVMGetParam(fn, 0), LLVMGetParam(fn, 1));
    LLVMDisposeBuilder(g->b);
    g->b = builder;
    g->fn = caller;
    g->block = block;
    return fn;
}

static LLVMValueRef call_remainder(SnGen *g, LLVMValueRef fn, LLVMValueRef x, LLVMValueRef y, uint32_t width)
{
    const LLVMTypeRef type = LLVMGlobalGetValueType(fn), i32 = LLVMInt32TypeInContext(g->llvm);
    if (width == 0)
        return LLVMBuildCall2(g->b, type, fn, (LLVMValueRef[]){x, y}, 2, "");
    LLVMValueRef v = LLVMGetPoison(LLVMTypeOf(x));
    for (uint32_t i = 0; i < width; i++) {
        const LLVMValueRef lane = LLVMConstInt(i32, i, false);
        LLVMValueRef arg[] = {LLVMBuildExtractElement(g->b, x, lane, ""),
                              LLVMBuildExtractElement(g->b, y, lane, "")};
        v = LLVMBuildInsertElement(g->b, v, LLVMBuildCall2(g->b, type, fn, arg, 2, ""), lane, "");
    }
    return v;
}

static LLVMValueRef with_sign(SnGen *g, LLVMValueRef magnitude, LLVMValueRef sign)
{
    return sn_gen_intrinsic(g, "llvm.copysign", (LLVMTypeRef[]){LLVMTypeOf(sign)}, 1,
                            (LLVMValueRef[]){magnitude, sign}, 2);
}

LLVMValueRef sn_gen_float_mod(SnGen *g, SnDtype d, LLVMValueRef a, LLVMValueRef b, uint32_t width)
{
    const LLVMTypeRef type = sn_gen_type(g, SN_F64, width);
    const LLVMValueRef zero = LLVMConstNull(type), one = sn_gen_real(type, 1.0);
    const LLVMValueRef fn = remainder_function(g);
    if (d == SN_F32) {
        a = LLVMBuildFPExt(g->b, a, type, "");
        b = LLVMBuildFPExt(g->b, b, type, "");
    }
    LLVMTypeRef overload[] = {type};
    const LLVMValueRef infinity =
        LLVMConstBitCast(sn_gen_int(sn_gen_type(g, SN_I64, width), 0x7FF0000000000000u), type);
    const LLVMValueRef x = sn_gen_intrinsic(g, "llvm.fabs", overload, 1, &a, 1);
    const LLVMValueRef y = sn_gen_intrinsic(g, "llvm.fabs", overload, 1, &b, 1);
    const LLVMValueRef x_fits = LLVMBuildFCmp(g->b, LLVMRealOLT, x, infinity, "");
    const LLVMValueRef y_fits = LLVMBuildAnd(g->b, LLVMBuildFCmp(g->b, LLVMRealOGT, y, zero, ""),
                                             LLVMBuildFCmp(g->b, LLVMRealOLT, y, infinity, ""), "");
    const LLVMValueRef part = call_remainder(g, fn, LLVMBuildSelect(g->b, x_fits, x, zero, ""),
                                             LLVMBuildSelect(g->b, y_fits, y, one, ""), width);
    /* By infinity everything is left. */
    const LLVMValueRef left = LLVMBuildSelect(g->b, y_fits, part, x, "");
    const LLVMValueRef r = with_sign(g, left, a);
    const LLVMValueRef differ = LLVMBuildXor(g->b, LLVMBuildFCmp(g->b, LLVMRealOLT, a, zero, ""),
                                             LLVMBuildFCmp(g->b, LLVMRealOLT, b, zero, ""), "");
    LLVMValueRef v = LLVMBuildSelect(g->b, differ, LLVMBuildFAdd(g->b, r, b, ""), r, "");
    v = LLVMBuildSelect(g->b, LLVMBuildFCmp(g->b, LLVMRealOEQ, r, zero, ""), with_sign(g, zero, b), v, "");
    /* x - x is NaN where x is infinite or NaN; y likewise where it is NaN. */
    const LLVMValueRef is_odd =
        LLVMBuildOr(g->b, LLVMBuildNot(g->b, x_fits, ""), LLVMBuildFCmp(g->b, LLVMRealUNO, b, b, ""), "");
    const LLVMValueRef nan = LLVMBuildFAdd(g->b, LLVMBuildFSub(g->b, x, x, ""), y, "");
    v = LLVMBuildSelect(g->b, is_odd, nan, v, "");
    v = LLVMBuildSelect(g->b, LLVMBuildFCmp(g->b, LLVMRealOEQ, b, zero, ""), a, v, "");
    return d == SN_F32 ? LLVMBuildFPTrunc(g->b, v, sn_gen_type(g, SN_F32, width), "") : v;
}
