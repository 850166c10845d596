/* arith.c -- scalar ops, casts and dot products as LLVM instructions that give the bits of the interpreter.
 *
 * No flag allows LLVM to reassociate, contract or approximate. What LLVM leaves open (shifts past the width,
 * divisors of 0, conversions out of range) is decided here as prims.def says. */
#include "backends/llvm/codegen.h"

static LLVMValueRef unary(SnGen *g, const char *intrinsic, LLVMValueRef x)
{
    return sn_gen_intrinsic(g, intrinsic, (LLVMTypeRef[]){LLVMTypeOf(x)}, 1, &x, 1);
}

static LLVMValueRef binary(SnGen *g, const char *intrinsic, LLVMValueRef a, LLVMValueRef b)
{
    return sn_gen_intrinsic(g, intrinsic, (LLVMTypeRef[]){LLVMTypeOf(a)}, 1, (LLVMValueRef[]){a, b}, 2);
}

static LLVMValueRef unknown(SnGen *g, uint16_t op, SnDtype d, LLVMValueRef like)
{
    sn_gen_fail(g, SN_EINTERNAL, "%s of %s must have been expanded", sn_prim(op)->name, sn_dtype(d)->name);
    return LLVMGetPoison(LLVMTypeOf(like));
}

/* Both zeros are told apart, and a NaN stays one. vrangeps does the first, and takes the other where one is a
 * NaN: three operations in place of six. */
static LLVMValueRef extreme(SnGen *g, bool is_max, SnDtype d, LLVMValueRef a, LLVMValueRef b, uint32_t width)
{
    if (g->level < SN_CPU_V4 || d != SN_F32 || (width != 4 && width != 8 && width != 16))
        return binary(g, is_max ? "llvm.maximum" : "llvm.minimum", a, b);
    const char *name = width == 16  ? "llvm.x86.avx512.mask.range.ps.512"
                       : width == 8 ? "llvm.x86.avx512.mask.range.ps.256"
                                    : "llvm.x86.avx512.mask.range.ps.128";
    const LLVMTypeRef i32 = LLVMInt32TypeInContext(g->llvm);
    const LLVMValueRef kind = LLVMConstInt(i32, is_max ? 5 : 4, false); /* with the sign of what is taken */
    const LLVMValueRef every = LLVMConstAllOnes(LLVMIntTypeInContext(g->llvm, width == 16 ? 16 : 8));
    LLVMValueRef arg[] = {a, b, kind, LLVMGetUndef(LLVMTypeOf(a)), every, LLVMConstInt(i32, 4, false)};
    const LLVMValueRef taken = sn_gen_intrinsic(g, name, NULL, 0, arg, width == 16 ? 6 : 5);
    const LLVMValueRef is_nan = LLVMBuildFCmp(g->b, LLVMRealUNO, a, b, "");
    return LLVMBuildSelect(g->b, is_nan, LLVMBuildFAdd(g->b, a, b, ""), taken, "");
}

static LLVMValueRef float_arith(SnGen *g, uint16_t op, SnDtype d, LLVMValueRef *x, uint32_t width)
{
    switch (op) {
    case SN_OP_NEG:
        return LLVMBuildFNeg(g->b, x[0], "");
    case SN_OP_ABS:
        return unary(g, "llvm.fabs", x[0]);
    case SN_OP_FLOOR:
        return unary(g, "llvm.floor", x[0]);
    case SN_OP_ROUND:
        return unary(g, "llvm.roundeven", x[0]);
    case SN_OP_SQRT:
        return unary(g, "llvm.sqrt", x[0]);
    case SN_OP_ADD:
        return LLVMBuildFAdd(g->b, x[0], x[1], "");
    case SN_OP_SUB:
        return LLVMBuildFSub(g->b, x[0], x[1], "");
    case SN_OP_MUL:
        return LLVMBuildFMul(g->b, x[0], x[1], "");
    case SN_OP_DIV:
        return LLVMBuildFDiv(g->b, x[0], x[1], "");
    case SN_OP_MOD:
        return sn_gen_float_mod(g, d, x[0], x[1], width);
    case SN_OP_MIN:
    case SN_OP_MAX:
        return extreme(g, op == SN_OP_MAX, d, x[0], x[1], width);
    case SN_OP_FMA:
        return sn_gen_intrinsic(g, "llvm.fma", (LLVMTypeRef[]){LLVMTypeOf(x[0])}, 1, x, 3);
    case SN_OP_LT:
        return LLVMBuildFCmp(g->b, LLVMRealOLT, x[0], x[1], "");
    case SN_OP_EQ:
        return LLVMBuildFCmp(g->b, LLVMRealOEQ, x[0], x[1], "");
    default:
        return unknown(g, op, d, x[0]);
    }
}

static LLVMValueRef shift(SnGen *g, uint16_t op, SnDtype d, LLVMValueRef a, LLVMValueRef count)
{
    const LLVMTypeRef type = LLVMTypeOf(a);
    const unsigned bits = 8 * (unsigned)sn_dtype_size(d);
    const LLVMValueRef last = sn_gen_int(type, bits - 1), safe = binary(g, "llvm.umin", count, last);
    if (op == SN_OP_SHR && sn_dtype(d)->kind == SN_KIND_INT)
        return LLVMBuildAShr(g->b, a, safe, "");
    const LLVMValueRef v =
        op == SN_OP_SHL ? LLVMBuildShl(g->b, a, safe, "") : LLVMBuildLShr(g->b, a, safe, "");
    const LLVMValueRef inside = LLVMBuildICmp(g->b, LLVMIntULE, count, last, "");
    return LLVMBuildSelect(g->b, inside, v, LLVMConstNull(type), "");
}

static LLVMValueRef int_arith(SnGen *g, uint16_t op, SnDtype d, LLVMValueRef *x)
{
    const bool is_signed = sn_dtype(d)->kind == SN_KIND_INT;
    switch (op) {
    case SN_OP_NEG:
        return LLVMBuildNeg(g->b, x[0], "");
    case SN_OP_ABS: {
        const LLVMValueRef minimum_wraps = LLVMConstInt(LLVMInt1TypeInContext(g->llvm), 0, false);
        LLVMValueRef arg[] = {x[0], minimum_wraps};
        return is_signed ? sn_gen_intrinsic(g, "llvm.abs", (LLVMTypeRef[]){LLVMTypeOf(x[0])}, 1, arg, 2)
                         : x[0];
    }
    case SN_OP_NOT:
        return LLVMBuildNot(g->b, x[0], "");
    case SN_OP_ADD:
        return LLVMBuildAdd(g->b, x[0], x[1], "");
    case SN_OP_SUB:
        return LLVMBuildSub(g->b, x[0], x[1], "");
    case SN_OP_MUL:
        return LLVMBuildMul(g->b, x[0], x[1], "");
    case SN_OP_IDIV:
    case SN_OP_MOD:
        return sn_gen_int_divide(g, d, x[0], x[1], op == SN_OP_MOD);
    case SN_OP_MIN:
        return binary(g, is_signed ? "llvm.smin" : "llvm.umin", x[0], x[1]);
    case SN_OP_MAX:
        return binary(g, is_signed ? "llvm.smax" : "llvm.umax", x[0], x[1]);
    case SN_OP_AND:
        return LLVMBuildAnd(g->b, x[0], x[1], "");
    case SN_OP_OR:
        return LLVMBuildOr(g->b, x[0], x[1], "");
    case SN_OP_XOR:
        return LLVMBuildXor(g->b, x[0], x[1], "");
    case SN_OP_SHL:
    case SN_OP_SHR:
        return shift(g, op, d, x[0], x[1]);
    case SN_OP_LT:
        return LLVMBuildICmp(g->b, is_signed ? LLVMIntSLT : LLVMIntULT, x[0], x[1], "");
    case SN_OP_EQ:
        return LLVMBuildICmp(g->b, LLVMIntEQ, x[0], x[1], "");
    default:
        return unknown(g, op, d, x[0]);
    }
}

/* Compared, never computed with: as f32. */
static LLVMValueRef narrow_arith(SnGen *g, uint16_t op, SnDtype d, LLVMValueRef *x, uint32_t width)
{
    if (op != SN_OP_LT && op != SN_OP_EQ)
        return unknown(g, op, d, x[0]);
    LLVMValueRef wide[] = {sn_gen_cast(g, d, SN_F32, false, x[0], width),
                           sn_gen_cast(g, d, SN_F32, false, x[1], width)};
    return float_arith(g, op, SN_F32, wide, width);
}

LLVMValueRef sn_gen_arith(SnGen *g, uint16_t op, SnDtype d, LLVMValueRef *x, uint32_t width)
{
    if (op == SN_OP_WHERE)
        return LLVMBuildSelect(g->b, x[0], x[1], x[2], "");
    if (sn_kernel_is_narrow(d))
        return narrow_arith(g, op, d, x, width);
    return sn_dtype_is_float(d) ? float_arith(g, op, d, x, width) : int_arith(g, op, d, x);
}

/* ---- dot products ---- */

/* Lanes first .. first + n of v. */
static LLVMValueRef part(SnGen *g, LLVMValueRef v, uint32_t first, uint32_t n)
{
    const LLVMValueRef lanes = sn_gen_iota(LLVMInt32TypeInContext(g->llvm), n, first, 1);
    return LLVMBuildShuffleVector(g->b, v, LLVMGetPoison(LLVMTypeOf(v)), lanes, "");
}

static LLVMValueRef extend_byte(SnGen *g, LLVMValueRef v, uint64_t byte, bool is_signed)
{
    const LLVMTypeRef type = LLVMTypeOf(v);
    const LLVMValueRef up = LLVMBuildShl(g->b, v, sn_gen_int(type, 24 - 8 * byte), "");
    const LLVMValueRef by = sn_gen_int(type, 24);
    return is_signed ? LLVMBuildAShr(g->b, up, by, "") : LLVMBuildLShr(g->b, up, by, "");
}

static LLVMValueRef dot4_plain(SnGen *g, LLVMValueRef acc, LLVMValueRef a, LLVMValueRef b)
{
    for (uint64_t byte = 0; byte < 4; byte++) {
        const LLVMValueRef u = extend_byte(g, a, byte, false), s = extend_byte(g, b, byte, true);
        acc = LLVMBuildAdd(g->b, acc, LLVMBuildMul(g->b, u, s, ""), "");
    }
    return acc;
}

/* Even and odd bytes as 16-bit pairs: their products fit, pmaddubsw's sums would not. */
static LLVMValueRef dot4_pairs(SnGen *g, LLVMValueRef acc, LLVMValueRef a, LLVMValueRef b, const char *madd)
{
    const LLVMTypeRef pairs =
        LLVMVectorType(LLVMInt16TypeInContext(g->llvm), 2 * LLVMGetVectorSize(LLVMTypeOf(a)));
    const LLVMValueRef eight = sn_gen_int(pairs, 8);
    const LLVMValueRef u = LLVMBuildBitCast(g->b, a, pairs, ""), s = LLVMBuildBitCast(g->b, b, pairs, "");
    const LLVMValueRef even_s = LLVMBuildAShr(g->b, LLVMBuildShl(g->b, s, eight, ""), eight, "");
    LLVMValueRef even[] = {LLVMBuildAnd(g->b, u, sn_gen_int(pairs, 0xFF), ""), even_s};
    LLVMValueRef odd[] = {LLVMBuildLShr(g->b, u, eight, ""), LLVMBuildAShr(g->b, s, eight, "")};
    acc = LLVMBuildAdd(g->b, acc, sn_gen_intrinsic(g, madd, NULL, 0, even, 2), "");
    return LLVMBuildAdd(g->b, acc, sn_gen_intrinsic(g, madd, NULL, 0, odd, 2), "");
}

LLVMValueRef sn_gen_dot4(SnGen *g, LLVMValueRef acc, LLVMValueRef a, LLVMValueRef b, uint32_t width)
{
    const uint32_t widest = g->level >= SN_CPU_V4 ? 16 : 8;
    if (width < 4)
        return dot4_plain(g, acc, a, b);
    if (width > widest) {
        const uint32_t half = width / 2;
        const LLVMValueRef low =
            sn_gen_dot4(g, part(g, acc, 0, half), part(g, a, 0, half), part(g, b, 0, half), half);
        const LLVMValueRef high =
            sn_gen_dot4(g, part(g, acc, half, half), part(g, a, half, half), part(g, b, half, half), half);
        return LLVMBuildShuffleVector(g->b, low, high,
                                      sn_gen_iota(LLVMInt32TypeInContext(g->llvm), width, 0, 1), "");
    }
    static const char *const vnni[] = {"llvm.x86.avx512.vpdpbusd.128", "llvm.x86.avx512.vpdpbusd.256",
                                       "llvm.x86.avx512.vpdpbusd.512"};
    static const char *const madd[] = {"llvm.x86.sse2.pmadd.wd", "llvm.x86.avx2.pmadd.wd",
                                       "llvm.x86.avx512.pmaddw.d.512"};
    const int size = width == 4 ? 0 : width == 8 ? 1 : 2;
    if (g->level >= SN_CPU_V4D)
        return sn_gen_intrinsic(g, vnni[size], NULL, 0, (LLVMValueRef[]){acc, a, b}, 3);
    return dot4_pairs(g, acc, a, b, madd[size]);
}

static LLVMValueRef dot2_native(SnGen *g, LLVMValueRef acc, LLVMValueRef a, LLVMValueRef b, uint32_t width)
{
    static const char *const name[] = {"llvm.x86.avx512bf16.dpbf16ps.128", "llvm.x86.avx512bf16.dpbf16ps.256",
                                       "llvm.x86.avx512bf16.dpbf16ps.512"};
    const LLVMTypeRef pairs = LLVMVectorType(LLVMBFloatTypeInContext(g->llvm), 2 * width);
    LLVMValueRef arg[] = {acc, LLVMBuildBitCast(g->b, a, pairs, ""), LLVMBuildBitCast(g->b, b, pairs, "")};
    return sn_gen_intrinsic(g, name[width == 4 ? 0 : width == 8 ? 1 : 2], NULL, 0, arg, 3);
}

/* The interpreter's order: the low halves, then the high ones, by fma. */
LLVMValueRef sn_gen_pair_fma(SnGen *g, LLVMValueRef acc, LLVMValueRef a, LLVMValueRef b, uint32_t width)
{
    const LLVMTypeRef bits = LLVMTypeOf(a), f32 = sn_gen_type(g, SN_F32, width);
    const LLVMValueRef word[] = {a, b};
    LLVMValueRef low[3], high[3];
    for (int i = 0; i < 2; i++) {
        low[i] = LLVMBuildBitCast(g->b, LLVMBuildShl(g->b, word[i], sn_gen_int(bits, 16), ""), f32, "");
        high[i] =
            LLVMBuildBitCast(g->b, LLVMBuildAnd(g->b, word[i], sn_gen_int(bits, 0xFFFF0000u), ""), f32, "");
    }
    low[2] = acc;
    high[2] = sn_gen_intrinsic(g, "llvm.fma", (LLVMTypeRef[]){f32}, 1, low, 3);
    return sn_gen_intrinsic(g, "llvm.fma", (LLVMTypeRef[]){f32}, 1, high, 3);
}

/* The instruction rounds otherwise, which is why nothing in exact mode has dot2. */
LLVMValueRef sn_gen_dot2(SnGen *g, LLVMValueRef acc, LLVMValueRef a, LLVMValueRef b, uint32_t width)
{
    const bool is_native = g->level >= SN_CPU_V4D && (width == 4 || width == 8 || width == 16);
    return (is_native ? dot2_native : sn_gen_pair_fma)(g, acc, a, b, width);
}
