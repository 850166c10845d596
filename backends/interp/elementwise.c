/* elementwise.c -- elementwise ops over all lanes.
 *
 * sn_scalar_apply and sn_scalar_cast define every op; what kernels do most has a loop of its own here, with
 * the same bits (interp_test compares them). */
#include "backends/interp/interp.h"

#include <math.h>

/* ---- any op, by its definition ---- */

static void eval_any(const SnCode *in, unsigned char *frame)
{
    const size_t place[] = {in->a, in->b, in->c};
    const int narg = sn_prim(in->op)->min_arg;
    for (uint32_t i = 0; i < in->lanes; i++) {
        SnScalar arg[3], v = {.u = 0};
        for (int j = 0; j < narg; j++)
            arg[j] = sn_scalar_load(in->dtype, frame + place[j] + (size_t)i * in->step[j]);
        const bool known = sn_scalar_apply(in->op, in->dtype, arg, &v);
        SN_ASSERT(known);
        (void)known;
        sn_scalar_store(in->to, frame + in->dst + i * sn_dtype_size(in->to), v);
    }
}

static void eval_cast(const SnCode *in, unsigned char *frame)
{
    for (uint32_t i = 0; i < in->lanes; i++) {
        const SnScalar v = sn_scalar_load(in->dtype, frame + in->a + (size_t)i * in->step[0]);
        sn_scalar_store(in->to, frame + in->dst + i * sn_dtype_size(in->to),
                        sn_scalar_cast(in->dtype, in->to, v, in->saturates));
    }
}

static void eval_bitcast(const SnCode *in, unsigned char *frame)
{
    const size_t size = sn_dtype_size(in->to);
    for (uint32_t i = 0; i < in->lanes; i++)
        memcpy(frame + in->dst + i * size, frame + in->a + (size_t)i * in->step[0], size);
}

static void eval_where(const SnCode *in, unsigned char *frame)
{
    const size_t size = sn_dtype_size(in->to);
    for (uint32_t i = 0; i < in->lanes; i++) {
        const bool c = frame[in->a + (size_t)i * in->step[0]] != 0;
        const size_t from = c ? in->b + (size_t)i * in->step[1] : in->c + (size_t)i * in->step[2];
        memcpy(frame + in->dst + i * size, frame + from, size);
    }
}

/* ---- products of packed words ---- */

static uint32_t word_at(const unsigned char *at)
{
    uint32_t v;
    memcpy(&v, at, sizeof v);
    return v;
}

static void eval_dot4(const SnCode *in, unsigned char *frame)
{
    for (uint32_t i = 0; i < in->lanes; i++) {
        uint32_t acc = word_at(frame + in->a + (size_t)i * in->step[0]);
        const uint32_t a = word_at(frame + in->b + (size_t)i * in->step[1]);
        const uint32_t b = word_at(frame + in->c + (size_t)i * in->step[2]);
        for (int j = 0; j < 32; j += 8)
            acc += (a >> j & 0xFF) * (((b >> j & 0xFF) ^ 0x80) - 0x80); /* sign-extended, modulo 2^32 */
        memcpy(frame + in->dst + i * sizeof acc, &acc, sizeof acc);
    }
}

/* The low pair first, each by fma. */
static void eval_dot2(const SnCode *in, unsigned char *frame)
{
    for (uint32_t i = 0; i < in->lanes; i++) {
        float acc;
        memcpy(&acc, frame + in->a + (size_t)i * in->step[0], sizeof acc);
        const uint32_t a = word_at(frame + in->b + (size_t)i * in->step[1]);
        const uint32_t b = word_at(frame + in->c + (size_t)i * in->step[2]);
        for (int j = 0; j < 32; j += 16)
            acc = fmaf(sn_bf16_to_f32((uint16_t)(a >> j)), sn_bf16_to_f32((uint16_t)(b >> j)), acc);
        memcpy(frame + in->dst + i * sizeof acc, &acc, sizeof acc);
    }
}

/* ---- frequent ops ---- */

/* T is read from the operands, R is written. The frame's bytes may alias anything: what the loop needs of *in
 * is copied first. */
#define EVAL(NAME, T, R, NARG, EXPR)                                                                         \
    static void NAME(const SnCode *in, unsigned char *frame)                                                 \
    {                                                                                                        \
        const unsigned char *at_a = frame + in->a, *at_b = frame + in->b, *at_c = frame + in->c;             \
        const size_t step_a = in->step[0], step_b = in->step[1], step_c = in->step[2];                       \
        unsigned char *dst = frame + in->dst;                                                                \
        for (uint32_t left = in->lanes; left > 0; left--) {                                                  \
            T a, b = 0, c = 0;                                                                               \
            memcpy(&a, at_a, sizeof a);                                                                      \
            if ((NARG) > 1)                                                                                  \
                memcpy(&b, at_b, sizeof b);                                                                  \
            if ((NARG) > 2)                                                                                  \
                memcpy(&c, at_c, sizeof c);                                                                  \
            (void)b;                                                                                         \
            (void)c;                                                                                         \
            const R v = (R)(EXPR);                                                                           \
            memcpy(dst, &v, sizeof v);                                                                       \
            at_a += step_a;                                                                                  \
            at_b += step_b;                                                                                  \
            at_c += step_c;                                                                                  \
            dst += sizeof v;                                                                                 \
        }                                                                                                    \
    }

#define FLOAT_OPS(D, T, FN)                                                                                  \
    EVAL(neg_##D, T, T, 1, -a)                                                                               \
    EVAL(abs_##D, T, T, 1, FN(fabs)(a))                                                                      \
    EVAL(floor_##D, T, T, 1, FN(floor)(a))                                                                   \
    EVAL(round_##D, T, T, 1, FN(rint)(a))                                                                    \
    EVAL(sqrt_##D, T, T, 1, FN(sqrt)(a))                                                                     \
    EVAL(add_##D, T, T, 2, a + b)                                                                            \
    EVAL(sub_##D, T, T, 2, a - b)                                                                            \
    EVAL(mul_##D, T, T, 2, a *b)                                                                             \
    EVAL(div_##D, T, T, 2, a / b)                                                                            \
    EVAL(fma_##D, T, T, 3, FN(fma)(a, b, c))                                                                 \
    EVAL(min_##D, T, T, 2, a != a ? a : b != b ? b : a == b ? (signbit(a) ? a : b) : a < b ? a : b)          \
    EVAL(max_##D, T, T, 2, a != a ? a : b != b ? b : a == b ? (signbit(a) ? b : a) : a > b ? a : b)          \
    EVAL(lt_##D, T, uint8_t, 2, a < b)                                                                       \
    EVAL(eq_##D, T, uint8_t, 2, a == b)
#define F32_FN(name) name##f
#define F64_FN(name) name
FLOAT_OPS(f32, float, F32_FN)
FLOAT_OPS(f64, double, F64_FN)

/* U: the unsigned type of T, in which overflow wraps. */
#define INT_OPS(D, T, U)                                                                                     \
    EVAL(add_##D, U, U, 2, a + b)                                                                            \
    EVAL(sub_##D, U, U, 2, a - b)                                                                            \
    EVAL(mul_##D, U, U, 2, a *b)                                                                             \
    EVAL(and_##D, U, U, 2, a &b)                                                                             \
    EVAL(or_##D, U, U, 2, a | b)                                                                             \
    EVAL(xor_##D, U, U, 2, a ^ b)                                                                            \
    EVAL(min_##D, T, T, 2, a < b ? a : b)                                                                    \
    EVAL(max_##D, T, T, 2, a < b ? b : a)                                                                    \
    EVAL(lt_##D, T, uint8_t, 2, a < b)                                                                       \
    EVAL(eq_##D, T, uint8_t, 2, a == b)
INT_OPS(i32, int32_t, uint32_t)
INT_OPS(u32, uint32_t, uint32_t)
INT_OPS(i64, int64_t, uint64_t)

EVAL(shl_u32, uint32_t, uint32_t, 2, b < 32 ? a << b : 0)
EVAL(shr_u32, uint32_t, uint32_t, 2, b < 32 ? a >> b : 0)

EVAL(not_bool, uint8_t, uint8_t, 1, a == 0)
EVAL(and_bool, uint8_t, uint8_t, 2, a &b)
EVAL(or_bool, uint8_t, uint8_t, 2, a | b)
EVAL(xor_bool, uint8_t, uint8_t, 2, a ^ b)

/* Index arithmetic divides by what is positive; -1 and 0 go the slow way. */
static int64_t idiv(int64_t a, int64_t b)
{
    if (b == 0)
        return 0;
    if (b == -1)
        return (int64_t)(0 - (uint64_t)a);
    const int64_t q = a / b;
    return q - (a % b != 0 && (a < 0) != (b < 0));
}

static int64_t mod(int64_t a, int64_t b)
{
    if (b == 0)
        return a;
    if (b == -1)
        return 0;
    const int64_t r = a % b;
    return r != 0 && (r < 0) != (b < 0) ? r + b : r;
}

EVAL(idiv_i64, int64_t, int64_t, 2, idiv(a, b))
EVAL(mod_i64, int64_t, int64_t, 2, mod(a, b))

EVAL(f32_to_f64, float, double, 1, a)
EVAL(f64_to_f32, double, float, 1, a)
EVAL(f16_to_f32, uint16_t, float, 1, sn_f16_to_f32(a))
EVAL(f32_to_f16, float, uint16_t, 1, sn_f32_to_f16(a))
EVAL(bf16_to_f32, uint16_t, float, 1, sn_bf16_to_f32(a))
EVAL(f32_to_bf16, float, uint16_t, 1, sn_f32_to_bf16(a))
EVAL(bool_to_f32, uint8_t, float, 1, a)
EVAL(i32_to_f32, int32_t, float, 1, a)
EVAL(i64_to_f32, int64_t, float, 1, a)
EVAL(i32_to_i64, int32_t, int64_t, 1, a)
EVAL(i64_to_u64, uint64_t, uint64_t, 1, a)
EVAL(u32_to_i64, uint32_t, int64_t, 1, a)

/* ---- the tables ---- */

#define ROW(OP, op, D, d) [SN_OP_##OP][SN_##D] = op##_##d
#define FLOAT_ROWS(D, d)                                                                                     \
    ROW(NEG, neg, D, d), ROW(ABS, abs, D, d), ROW(FLOOR, floor, D, d), ROW(ROUND, round, D, d),              \
        ROW(SQRT, sqrt, D, d), ROW(ADD, add, D, d), ROW(SUB, sub, D, d), ROW(MUL, mul, D, d),                \
        ROW(DIV, div, D, d), ROW(FMA, fma, D, d), ROW(MIN, min, D, d), ROW(MAX, max, D, d),                  \
        ROW(LT, lt, D, d), ROW(EQ, eq, D, d)
#define INT_ROWS(D, d)                                                                                       \
    ROW(ADD, add, D, d), ROW(SUB, sub, D, d), ROW(MUL, mul, D, d), ROW(AND, and, D, d), ROW(OR, or, D, d),   \
        ROW(XOR, xor, D, d), ROW(MIN, min, D, d), ROW(MAX, max, D, d), ROW(LT, lt, D, d), ROW(EQ, eq, D, d)

static SnEvalFn *const frequent[SN_PRIM_COUNT][SN_DTYPE_COUNT] = {
    FLOAT_ROWS(F32, f32),      FLOAT_ROWS(F64, f64),      INT_ROWS(I32, i32),
    INT_ROWS(U32, u32),        INT_ROWS(I64, i64),        ROW(SHL, shl, U32, u32),
    ROW(SHR, shr, U32, u32),   ROW(IDIV, idiv, I64, i64), ROW(MOD, mod, I64, i64),
    ROW(NOT, not, BOOL, bool), ROW(AND, and, BOOL, bool), ROW(OR, or, BOOL, bool),
    ROW(XOR, xor, BOOL, bool),
};

static SnEvalFn *const frequent_cast[SN_DTYPE_COUNT][SN_DTYPE_COUNT] = {
    [SN_F32] = {[SN_F64] = f32_to_f64, [SN_F16] = f32_to_f16, [SN_BF16] = f32_to_bf16},
    [SN_F64] = {[SN_F32] = f64_to_f32},
    [SN_F16] = {[SN_F32] = f16_to_f32},
    [SN_BF16] = {[SN_F32] = bf16_to_f32},
    [SN_BOOL] = {[SN_F32] = bool_to_f32},
    [SN_I32] = {[SN_F32] = i32_to_f32, [SN_I64] = i32_to_i64},
    [SN_I64] = {[SN_F32] = i64_to_f32, [SN_U64] = i64_to_u64},
    [SN_U32] = {[SN_I64] = u32_to_i64},
    [SN_U64] = {[SN_I64] = i64_to_u64},
};

SnEvalFn *sn_interp_eval(uint16_t op, SnDtype d, SnDtype to)
{
    SnEvalFn *fn = NULL;
    switch (op) {
    case SN_OP_CAST:
        fn = frequent_cast[d][to];
        return fn != NULL ? fn : eval_cast;
    case SN_OP_BITCAST:
        return eval_bitcast;
    case SN_OP_WHERE:
        return eval_where;
    case SN_OP_DOT4:
        return eval_dot4;
    case SN_OP_DOT2:
        return eval_dot2;
    default:
        fn = frequent[op][d];
        return fn != NULL ? fn : eval_any;
    }
}
