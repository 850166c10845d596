/* index.c -- index arithmetic of lanes: most of it is the same for all of them.
 *
 * An index that moves by a constant stride is one scalar and a constant vector. Divided by something that all
 * lanes share it is the quotient of lane 0 plus a small step, which takes no division of 64-bit lanes. Where
 * lane 0 and the divisor are multiples of the lanes, the step is 0: then rows of heads and channels are
 * loaded as vectors. */
#include "backends/llvm/codegen.h"

#define MAX_HEIGHT 32
#define MAX_SPAN   (1 << 20) /* of steps: f32 divides them exactly */

static SnRef operand(const SnGen *g, SnRef r, int i)
{
    return sn_term(g->s, r)->arg[i];
}

/* ---- strides ---- */

/* A power of two, 64 at most, that divides the term. */
static int64_t known_factor(SnGen *g, SnRef r, int height)
{
    const SnTerm *t = sn_term(g->s, r);
    int64_t c;
    if (sn_is_const_i64(g->s, r, &c)) {
        const int64_t low = (int64_t)((uint64_t)c & (0 - (uint64_t)c));
        return low > 0 && low < SN_GEN_LANES ? low : SN_GEN_LANES;
    }
    if (t->op == SN_OP_INDEX)
        return g->node.at[r].kernel == g->kernel && g->node.at[r].factor > 0 ? g->node.at[r].factor : 1;
    if (height == 0 || (t->op != SN_OP_ADD && t->op != SN_OP_SUB && t->op != SN_OP_MUL))
        return 1;
    const int64_t a = known_factor(g, t->arg[0], height - 1), b = known_factor(g, t->arg[1], height - 1);
    if (t->op == SN_OP_MUL)
        return a * b < SN_GEN_LANES ? a * b : SN_GEN_LANES;
    return a < b ? a : b;
}

/* Do all lanes of x, which moves by stride, lie in one multiple of the divisor? */
static bool stays_inside(SnGen *g, SnRef x, int64_t stride, SnRef divisor)
{
    int64_t c;
    const int64_t width = g->node.at[sn_gen_facts(g, x)->lane].width;
    if (stride <= 0 || stride > SN_GEN_LANES || !sn_is_const_i64(g->s, divisor, &c) || c < 1)
        return false;
    int64_t room = 1;
    while (room <= stride * (width - 1))
        room *= 2;
    return c % room == 0 && known_factor(g, sn_gen_at_lane0(g, x), MAX_HEIGHT) % room == 0;
}

bool sn_gen_stride(SnGen *g, SnRef r, int64_t *stride)
{
    *stride = 0;
    if (sn_gen_facts(g, r)->lane == 0)
        return true;
    const SnTerm *t = sn_term(g->s, r);
    if (t->op == SN_OP_INDEX) {
        *stride = 1;
        return true;
    }
    int64_t a, b, c;
    if (sn_prim(t->op)->kind != SN_PRIM_BINARY || sn_dtype_of(g->s, t->arg[0]) != SN_I64 ||
        !sn_gen_stride(g, t->arg[0], &a) || !sn_gen_stride(g, t->arg[1], &b))
        return false;
    switch (t->op) {
    case SN_OP_ADD:
        return sn_add_i64(a, b, stride);
    case SN_OP_SUB:
        return sn_mul_i64(b, -1, &b) && sn_add_i64(a, b, stride);
    case SN_OP_MUL:
        return (a == 0 && b == 0) || (sn_is_const_i64(g->s, t->arg[1], &c) && sn_mul_i64(a, c, stride));
    case SN_OP_IDIV:
        return b == 0 && (a == 0 || stays_inside(g, t->arg[0], a, t->arg[1]));
    case SN_OP_MOD:
        *stride = a;
        return b == 0 && (a == 0 || stays_inside(g, t->arg[0], a, t->arg[1]));
    default:
        return a == 0 && b == 0 && sn_dtype_of(g->s, r) == SN_I64;
    }
}

static LLVMValueRef affine(SnGen *g, SnRef r, int64_t stride, uint32_t width)
{
    const LLVMValueRef first = sn_gen_wide(g, sn_gen_at_lane0(g, r), width);
    return LLVMBuildAdd(g->b, first, sn_gen_iota(LLVMInt64TypeInContext(g->llvm), width, 0, stride), "");
}

/* ---- quotients ---- */

static LLVMValueRef limit(SnGen *g, const char *intrinsic, LLVMValueRef a, LLVMValueRef b)
{
    return sn_gen_intrinsic(g, intrinsic, (LLVMTypeRef[]){LLVMTypeOf(a)}, 1, (LLVMValueRef[]){a, b}, 2);
}

static bool is_positive_const(const SnGen *g, SnRef r)
{
    int64_t c;
    return sn_is_const_i64(g->s, r, &c) && c > 0;
}

/* Lane 0 does not wrap to the others where it is made of indices and dims only. */
static bool is_index_division(SnGen *g, SnRef r)
{
    const SnTerm *t = sn_term(g->s, r);
    return (t->op == SN_OP_IDIV || t->op == SN_OP_MOD) && sn_dtype_of(g->s, r) == SN_I64 &&
           sn_gen_facts(g, t->arg[0])->effect == SN_GEN_PURE && sn_gen_facts(g, t->arg[1])->lane == 0;
}

static LLVMValueRef quotient_steps(SnGen *g, SnRef x, SnRef divisor, uint32_t width, int64_t *span);

/* How far the lanes of a term are from lane 0: rising i32 steps from 0 to span. NULL: not known. */
static LLVMValueRef steps_of(SnGen *g, SnRef r, uint32_t width, int64_t *span)
{
    int64_t stride;
    if (sn_gen_stride(g, r, &stride) && stride >= 0 && stride < MAX_SPAN / SN_GEN_LANES) {
        *span = stride * (width - 1);
        return sn_gen_iota(LLVMInt32TypeInContext(g->llvm), width, 0, stride);
    }
    if (sn_term(g->s, r)->op != SN_OP_IDIV || !is_index_division(g, r) ||
        !is_positive_const(g, operand(g, r, 1)))
        return NULL;
    return quotient_steps(g, operand(g, r, 0), operand(g, r, 1), width, span);
}

/* -1, 0 or 1 in i32. */
static LLVMValueRef sign_of(SnGen *g, LLVMValueRef v)
{
    const LLVMTypeRef i32 = LLVMInt32TypeInContext(g->llvm);
    const LLVMValueRef zero = LLVMConstNull(LLVMTypeOf(v));
    const LLVMValueRef above = LLVMBuildZExt(g->b, LLVMBuildICmp(g->b, LLVMIntSGT, v, zero, ""), i32, "");
    const LLVMValueRef below = LLVMBuildZExt(g->b, LLVMBuildICmp(g->b, LLVMIntSLT, v, zero, ""), i32, "");
    return LLVMBuildSub(g->b, above, below, "");
}

/* (first + step) / divisor - first / divisor. With n the size of the divisor and r what is left of first
 * (counted down from the next multiple where the divisor is negative), that is sign * (r + step) / n; and of
 * n and r no more matters than the steps can reach, so that f32 divides exactly. By 0 the quotient is 0: so
 * is the sign. */
static LLVMValueRef quotient_steps(SnGen *g, SnRef x, SnRef divisor, uint32_t width, int64_t *span)
{
    const LLVMValueRef step = steps_of(g, x, width, span);
    if (step == NULL)
        return NULL;
    const bool is_positive = is_positive_const(g, divisor);
    const LLVMTypeRef i64 = LLVMInt64TypeInContext(g->llvm), i32 = LLVMInt32TypeInContext(g->llvm);
    const LLVMTypeRef f32 = sn_gen_type(g, SN_F32, width);
    const LLVMValueRef zero = sn_gen_int(i64, 0), one = sn_gen_int(i64, 1);
    const LLVMValueRef by = sn_gen_value(g, divisor);
    LLVMValueRef left = sn_gen_value(g, sn_gen_make(g, SN_OP_MOD, sn_gen_at_lane0(g, x), divisor)), size = by;
    if (!is_positive) {
        const LLVMValueRef is_negative = LLVMBuildICmp(g->b, LLVMIntSLT, by, zero, "");
        size = LLVMBuildSelect(g->b, is_negative, LLVMBuildNeg(g->b, by, ""), by, "");
        const LLVMValueRef down = LLVMBuildAdd(g->b, left, LLVMBuildSub(g->b, size, one, ""), "");
        left = LLVMBuildSelect(g->b, is_negative, down, left, "");
    }
    const LLVMValueRef reach =
        limit(g, "llvm.umax", limit(g, "llvm.umin", size, sn_gen_int(i64, (uint64_t)*span + 1)), one);
    const LLVMValueRef beyond = LLVMBuildSub(g->b, left, LLVMBuildSub(g->b, size, reach, ""), "");
    const LLVMValueRef near = limit(g, "llvm.smin", limit(g, "llvm.smax", beyond, zero), reach);
    const LLVMValueRef from = sn_gen_splat(g, LLVMBuildTrunc(g->b, near, i32, ""), width);
    const LLVMValueRef n = sn_gen_splat(g, LLVMBuildTrunc(g->b, reach, i32, ""), width);
    const LLVMValueRef a = LLVMBuildSIToFP(g->b, LLVMBuildAdd(g->b, from, step, ""), f32, "");
    const LLVMValueRef exact = LLVMBuildFDiv(g->b, a, LLVMBuildSIToFP(g->b, n, f32, ""), "");
    const LLVMValueRef q = LLVMBuildFPToSI(g->b, exact, sn_gen_type(g, SN_I32, width), "");
    return is_positive ? q : LLVMBuildMul(g->b, q, sn_gen_splat(g, sign_of(g, by), width), "");
}

static LLVMValueRef division(SnGen *g, SnRef r, uint32_t width)
{
    const SnRef x = operand(g, r, 0), divisor = operand(g, r, 1);
    int64_t span;
    LLVMValueRef step = quotient_steps(g, x, divisor, width, &span);
    if (step == NULL)
        return NULL;
    const LLVMTypeRef i64 = sn_gen_type(g, SN_I64, width);
    const LLVMValueRef first = sn_gen_wide(g, sn_gen_at_lane0(g, r), width);
    step = LLVMBuildSExt(g->b, step, i64, "");
    if (sn_term(g->s, r)->op == SN_OP_IDIV)
        return LLVMBuildAdd(g->b, first, step, "");
    const LLVMValueRef whole = LLVMBuildMul(g->b, step, sn_gen_wide(g, divisor, width), "");
    const LLVMValueRef moved = LLVMBuildSExt(g->b, steps_of(g, x, width, &span), i64, "");
    return LLVMBuildAdd(g->b, first, LLVMBuildSub(g->b, moved, whole, ""), "");
}

/* ---- comparisons ---- */

/* first + lane < n: n - first, clamped to the lanes there are, against the lane. n < first + lane: likewise.
 */
static LLVMValueRef comparison(SnGen *g, SnRef r, uint32_t width)
{
    const SnRef x[] = {operand(g, r, 0), operand(g, r, 1)};
    int64_t stride[2];
    if (sn_gen_facts(g, r)->effect != SN_GEN_PURE || sn_dtype_of(g->s, x[0]) != SN_I64 ||
        !sn_gen_stride(g, x[0], &stride[0]) || !sn_gen_stride(g, x[1], &stride[1]))
        return NULL;
    const bool is_upper = stride[0] == 1 && stride[1] == 0;
    if (!is_upper && !(stride[0] == 0 && stride[1] == 1))
        return NULL;
    const LLVMValueRef first = sn_gen_value(g, sn_gen_at_lane0(g, x[is_upper ? 0 : 1]));
    const LLVMValueRef bound = sn_gen_value(g, sn_gen_at_lane0(g, x[is_upper ? 1 : 0]));
    const LLVMTypeRef i64 = LLVMInt64TypeInContext(g->llvm);
    /* Masks come at the width of what they mask: bytes where there are many lanes. */
    const LLVMTypeRef element = width > 32 ? LLVMInt8TypeInContext(g->llvm) : LLVMInt32TypeInContext(g->llvm);
    LLVMValueRef n = limit(g, "llvm.ssub.sat", bound, first);
    n = limit(g, "llvm.smax", n, sn_gen_int(i64, is_upper ? 0 : UINT64_MAX));
    n = limit(g, "llvm.smin", n, sn_gen_int(i64, width));
    n = sn_gen_splat(g, LLVMBuildTrunc(g->b, n, element, ""), width);
    return LLVMBuildICmp(g->b, is_upper ? LLVMIntSLT : LLVMIntSGT, sn_gen_iota(element, width, 0, 1), n, "");
}

LLVMValueRef sn_gen_index(SnGen *g, SnRef r, uint32_t width)
{
    int64_t stride;
    if (sn_term(g->s, r)->op == SN_OP_LT)
        return comparison(g, r, width);
    if (sn_dtype_of(g->s, r) != SN_I64)
        return NULL;
    if (sn_gen_stride(g, r, &stride))
        return affine(g, r, stride, width);
    return is_index_division(g, r) ? division(g, r, width) : NULL;
}
