/* quant.c -- block formats of GGML, as graphs: bytes ▶ parts, parts ▶ bytes, and weights ▶ parts as its
 * reference quantisers make them. A format is a row of `formats`.
 *
 * https://github.com/ggml-org/ggml/blob/master/docs/gguf.md and ggml-common.h have the layouts. The results
 * are those of the Python package `gguf`, bit for bit. What is made of parameters here is made once (hoist):
 * only ops that it moves are used, so the place of an extreme is found by reductions, not by argmax. */
#include "ops/quant.h"

#include <string.h>

#define SMALL      32  /* weights of a plain block */
#define SUPER      256 /* of a K block */
#define CANDIDATES 9   /* steps that the search of q4 tries */

/* ---- phrases ---- */

static SnValue u8(SnGraph *g, int64_t v)
{
    return sn_const_int(g, SN_U8, v);
}

/* Elements [at, at + n) of the last axis of [rows, blocks, m]. */
static SnValue field(SnGraph *g, SnValue x, int at, int n)
{
    return sn_slice_axis(g, x, 2, sn_size(g, at), sn_size(g, n));
}

static SnValue half_at(SnGraph *g, SnValue bytes, int at)
{
    return sn_bitcast(g, field(g, bytes, at, 2), SN_F16);
}

static SnValue shape_as(SnGraph *g, SnValue x, int n, const int *inner)
{
    SnValue dims[SN_MAX_RANK] = {sn_dim(g, x, 0), sn_dim(g, x, 1)};
    for (int i = 0; i < n; i++)
        dims[2 + i] = sn_size(g, inner[i]);
    return sn_reshape(g, x, 2 + n, dims);
}

/* 0, 1, .. n - 1 along axis `axis` of `rank`. */
static SnValue steps(SnGraph *g, SnDtype dtype, int n, int axis, int rank)
{
    SnValue dims[SN_MAX_RANK];
    for (int i = 0; i < rank; i++)
        dims[i] = sn_size(g, i == axis ? n : 1);
    return sn_iota(g, dtype, axis, rank, dims);
}

/* n bytes of 8 / bits codes each: of every `chunk` bytes first all the lowest codes, then the next. */
static SnValue spread(SnGraph *g, SnValue bytes, int n, int chunk, int bits)
{
    const int per = 8 / bits;
    const SnValue x = shape_as(g, bytes, 3, (const int[]){n / chunk, 1, chunk});
    const SnValue by = sn_mul(g, steps(g, SN_U8, per, 3, 5), u8(g, bits));
    const SnValue codes = sn_and(g, sn_shr(g, x, by), u8(g, (1 << bits) - 1));
    return shape_as(g, codes, 1, (const int[]){n * per});
}

/* The upper bits of codes, from bit `at` on, over the lower ones. */
static SnValue above(SnGraph *g, SnValue low, SnValue x, int at)
{
    return sn_or(g, low, sn_shl(g, x, u8(g, at)));
}

/* Byte i has code i below and code i + 16 above. */
static SnValue join_nibbles(SnGraph *g, SnValue codes)
{
    const SnValue low = sn_and(g, field(g, codes, 0, SMALL / 2), u8(g, 15));
    return above(g, low, field(g, codes, SMALL / 2, SMALL / 2), 4);
}

/* ---- plain blocks: Q4_0 Q4_1 Q5_0 Q5_1 Q8_0 IQ4_NL ---- */

static SnBlocks read_q8_0(SnGraph *g, SnValue b)
{
    return (SnBlocks){.codes = sn_xor(g, field(g, b, 2, SMALL), u8(g, 128)), .scale = half_at(g, b, 0)};
}

static SnValue write_q8_0(SnGraph *g, const SnBlocks *of)
{
    const SnValue part[] = {sn_bitcast(g, of->scale, SN_U8), sn_xor(g, of->codes, u8(g, 128))};
    return sn_concat(g, 2, part, 2);
}

static SnBlocks read_q4_0(SnGraph *g, SnValue b)
{
    return (SnBlocks){.codes = spread(g, field(g, b, 2, 16), 16, 16, 4), .scale = half_at(g, b, 0)};
}

static SnValue write_q4_0(SnGraph *g, const SnBlocks *of)
{
    const SnValue part[] = {sn_bitcast(g, of->scale, SN_U8), join_nibbles(g, of->codes)};
    return sn_concat(g, 2, part, 2);
}

static SnBlocks read_q4_1(SnGraph *g, SnValue b)
{
    return (SnBlocks){.codes = spread(g, field(g, b, 4, 16), 16, 16, 4),
                      .scale = half_at(g, b, 0),
                      .low = half_at(g, b, 2)};
}

static SnValue write_q4_1(SnGraph *g, const SnBlocks *of)
{
    const SnValue part[] = {sn_bitcast(g, of->scale, SN_U8), sn_bitcast(g, of->low, SN_U8),
                            join_nibbles(g, of->codes)};
    return sn_concat(g, 3, part, 2);
}

/* The fifth bits are one word: bit i is of code i. */
static SnValue fifth_bits(SnGraph *g, SnValue b, int at)
{
    const SnValue word = sn_bitcast(g, field(g, b, at, 4), SN_U32);
    const SnValue bit = sn_shr(g, word, steps(g, SN_U32, SMALL, 2, 3));
    return sn_cast(g, sn_and(g, bit, sn_const_int(g, SN_U32, 1)), SN_U8);
}

static SnValue join_fifth_bits(SnGraph *g, SnValue codes)
{
    const SnValue bit = sn_cast(g, sn_shr(g, codes, u8(g, 4)), SN_U32);
    const SnValue word =
        sn_reduce(g, "or", sn_shl(g, bit, steps(g, SN_U32, SMALL, 2, 3)), 1, (const int[]){2}, true);
    return sn_bitcast(g, word, SN_U8);
}

static SnBlocks read_q5_0(SnGraph *g, SnValue b)
{
    const SnValue low = spread(g, field(g, b, 6, 16), 16, 16, 4);
    return (SnBlocks){.codes = above(g, low, fifth_bits(g, b, 2), 4), .scale = half_at(g, b, 0)};
}

static SnValue write_q5_0(SnGraph *g, const SnBlocks *of)
{
    const SnValue part[] = {sn_bitcast(g, of->scale, SN_U8), join_fifth_bits(g, of->codes),
                            join_nibbles(g, of->codes)};
    return sn_concat(g, 3, part, 2);
}

static SnBlocks read_q5_1(SnGraph *g, SnValue b)
{
    const SnValue low = spread(g, field(g, b, 8, 16), 16, 16, 4);
    return (SnBlocks){
        .codes = above(g, low, fifth_bits(g, b, 4), 4), .scale = half_at(g, b, 0), .low = half_at(g, b, 2)};
}

static SnValue write_q5_1(SnGraph *g, const SnBlocks *of)
{
    const SnValue part[] = {sn_bitcast(g, of->scale, SN_U8), sn_bitcast(g, of->low, SN_U8),
                            join_fifth_bits(g, of->codes), join_nibbles(g, of->codes)};
    return sn_concat(g, 4, part, 2);
}

/* Codes name values of a table, which are the codes of the canonical form. */
static SnBlocks read_iq4_nl(SnGraph *g, SnValue b)
{
    static const uint8_t table[] = {1, 24, 45, 63, 79, 93, 106, 118, 129, 141, 153, 166, 181, 197, 217, 241};
    const SnValue values = sn_const_data(g, SN_U8, 1, (const int64_t[]){SN_COUNT(table)}, table);
    const SnValue at = sn_cast(g, spread(g, field(g, b, 2, 16), 16, 16, 4), SN_I32);
    return (SnBlocks){.codes = sn_gather(g, values, 1, (const int[]){0}, &at, NULL),
                      .scale = half_at(g, b, 0)};
}

/* Numbers of 4 bits, twice their value plus 12, times a power of two, which is a coarse factor: bf16 has the
 * exponents. `chunk`: after how many bytes the upper halves follow. */
static SnBlocks read_mx(SnGraph *g, SnValue b, int chunk)
{
    static const uint8_t table[] = {12, 13, 14, 15, 16, 18, 20, 24, 12, 11, 10, 9, 8, 6, 4, 0};
    const SnValue values = sn_const_data(g, SN_U8, 1, (const int64_t[]){SN_COUNT(table)}, table);
    const SnValue at = sn_cast(g, spread(g, field(g, b, 1, 16), 16, chunk, 4), SN_I32);
    const SnValue e = field(g, b, 0, 1), wide = sn_cast(g, e, SN_U16);
    const SnValue least =
        sn_shl(g, sn_const_int(g, SN_U16, 0x20), sn_min(g, wide, sn_const_int(g, SN_U16, 1)));
    const SnValue bits = sn_shl(g, sn_sub(g, wide, sn_const_int(g, SN_U16, 1)), sn_const_int(g, SN_U16, 7));
    const SnValue is_least = sn_lt(g, wide, sn_const_int(g, SN_U16, 2));
    return (SnBlocks){.codes = sn_gather(g, values, 1, (const int[]){0}, &at, NULL),
                      .scale = sn_max(g, sn_min(g, e, u8(g, 1)), u8(g, 1)),
                      .coarse = sn_bitcast(g, sn_where(g, is_least, least, bits), SN_BF16)};
}

static SnBlocks read_mxfp4(SnGraph *g, SnValue b)
{
    return read_mx(g, b, 16);
}

static SnBlocks read_mxfp4_pairs(SnGraph *g, SnValue b)
{
    return read_mx(g, b, 1);
}

/* ---- K blocks: 256 weights, scales in two levels ---- */

static SnBlocks read_q2_k(SnGraph *g, SnValue b)
{
    const SnValue scales = field(g, b, 0, 16);
    return (SnBlocks){.codes = spread(g, field(g, b, 16, 64), 64, 32, 2),
                      .scale = sn_and(g, scales, u8(g, 15)),
                      .low = sn_shr(g, scales, u8(g, 4)),
                      .coarse = half_at(g, b, 80),
                      .coarse_low = sn_neg(g, half_at(g, b, 82))};
}

static SnBlocks read_q3_k(SnGraph *g, SnValue b)
{
    const SnValue high = spread(g, field(g, b, 0, 32), 32, 32, 1);
    const SnValue low = spread(g, field(g, b, 32, 64), 64, 32, 2);
    const SnValue scale =
        above(g, spread(g, field(g, b, 96, 8), 8, 8, 4), spread(g, field(g, b, 104, 4), 4, 4, 2), 4);
    return (SnBlocks){.codes = above(g, low, high, 2),
                      .scale = sn_sub(g, sn_bitcast(g, scale, SN_I8), sn_const_int(g, SN_I8, 32)),
                      .coarse = half_at(g, b, 108)};
}

/* Eight 6-bit numbers of Q4_K and Q5_K: four lie alone in `own`, the others have their lower half in a
 * nibble and the upper bits on top of the first four. */
static SnValue six_bits(SnGraph *g, SnValue own, SnValue nibble)
{
    const SnValue upper = sn_and(g, sn_shr(g, own, u8(g, 2)), u8(g, 0x30));
    const SnValue part[] = {sn_and(g, own, u8(g, 63)), sn_or(g, nibble, upper)};
    return sn_concat(g, 2, part, 2);
}

static SnBlocks read_scales(SnGraph *g, SnValue b, SnValue codes)
{
    const SnValue both = field(g, b, 12, 4);
    return (SnBlocks){.codes = codes,
                      .scale = six_bits(g, field(g, b, 4, 4), sn_and(g, both, u8(g, 15))),
                      .low = six_bits(g, field(g, b, 8, 4), sn_shr(g, both, u8(g, 4))),
                      .coarse = half_at(g, b, 0),
                      .coarse_low = sn_neg(g, half_at(g, b, 2))};
}

static SnBlocks read_q4_k(SnGraph *g, SnValue b)
{
    return read_scales(g, b, spread(g, field(g, b, 16, 128), 128, 32, 4));
}

static SnBlocks read_q5_k(SnGraph *g, SnValue b)
{
    const SnValue low = spread(g, field(g, b, 48, 128), 128, 32, 4);
    return read_scales(g, b, above(g, low, spread(g, field(g, b, 16, 32), 32, 32, 1), 4));
}

static SnBlocks read_q6_k(SnGraph *g, SnValue b)
{
    const SnValue low = spread(g, field(g, b, 0, 128), 128, 64, 4);
    return (SnBlocks){.codes = above(g, low, spread(g, field(g, b, 128, 64), 64, 32, 2), 4),
                      .scale = sn_bitcast(g, field(g, b, 192, 16), SN_I8),
                      .coarse = half_at(g, b, 208)};
}

/* ---- quantisers: w is f32[rows, blocks, 32] ---- */

static SnValue min_of(SnGraph *g, SnValue x, int axis)
{
    return sn_reduce(g, "min", x, 1, &axis, true);
}

/* 1 / d, 0 where d is 0 */
static SnValue inverse(SnGraph *g, SnValue d)
{
    return sn_where(g, sn_eq(g, d, sn_num(g, 0)), sn_num(g, 0), sn_div(g, sn_num(g, 1), d));
}

/* The first of the elements along an axis that are marked. */
static SnValue pick(SnGraph *g, SnValue x, SnValue is_marked, SnValue step, int n, int axis)
{
    const SnValue at = sn_where(g, is_marked, step, sn_const_int(g, SN_I32, n));
    const SnValue first = sn_eq(g, step, min_of(g, at, axis));
    return sn_sum_of(g, sn_where(g, first, x, sn_num(g, 0)), axis);
}

/* What has the largest magnitude, with its sign. */
static SnValue extreme(SnGraph *g, SnValue w)
{
    const SnValue size = sn_abs(g, w);
    return pick(g, w, sn_eq(g, size, sn_max_of(g, size, 2)), steps(g, SN_I32, SMALL, 2, 3), SMALL, 2);
}

/* trunc(x) as a code of at most `top` */
static SnValue code_of(SnGraph *g, SnValue x, int top)
{
    return sn_min(g, sn_cast(g, x, SN_U8), u8(g, top));
}

static SnValue to_half(SnGraph *g, SnValue x)
{
    return sn_cast(g, x, SN_F16);
}

/* Half away from zero. */
static SnValue round_away(SnGraph *g, SnValue x)
{
    const SnValue size = sn_abs(g, x), whole = sn_floor(g, size);
    const SnValue up = sn_floor(g, sn_mul(g, sn_num(g, 2), sn_sub(g, size, whole)));
    const SnValue y = sn_add(g, whole, up);
    return sn_where(g, sn_lt(g, x, sn_num(g, 0)), sn_neg(g, y), y);
}

static SnBlocks quantize_q8_0(SnGraph *g, SnValue w)
{
    const SnValue d = sn_div(g, sn_max_of(g, sn_abs(g, w), 2), sn_num(g, 127));
    const SnValue q = sn_cast(g, round_away(g, sn_mul(g, w, inverse(g, d))), SN_I8);
    return (SnBlocks){.codes = sn_xor(g, sn_bitcast(g, q, SN_U8), u8(g, 128)), .scale = to_half(g, d)};
}

/* Codes 0 .. 2 middle - 1; the extreme gets code 0. */
static SnBlocks quantize_signed(SnGraph *g, SnValue w, int middle)
{
    const SnValue d = sn_div(g, extreme(g, w), sn_num(g, -middle));
    const SnValue q = sn_add(g, sn_mul(g, w, inverse(g, d)), sn_num(g, middle + 0.5));
    return (SnBlocks){.codes = code_of(g, q, 2 * middle - 1), .scale = to_half(g, d)};
}

static SnBlocks quantize_range(SnGraph *g, SnValue w, int top)
{
    const SnValue least = min_of(g, w, 2);
    const SnValue d = sn_div(g, sn_sub(g, sn_max_of(g, w, 2), least), sn_num(g, top));
    const SnValue q = sn_add(g, sn_mul(g, sn_sub(g, w, least), inverse(g, d)), sn_num(g, 0.5));
    return (SnBlocks){.codes = code_of(g, q, top), .scale = to_half(g, d), .low = to_half(g, least)};
}

static SnBlocks quantize_q4_0(SnGraph *g, SnValue w)
{
    return quantize_signed(g, w, 8);
}

static SnBlocks quantize_q5_0(SnGraph *g, SnValue w)
{
    return quantize_signed(g, w, 16);
}

static SnBlocks quantize_q4_1(SnGraph *g, SnValue w)
{
    return quantize_range(g, w, 15);
}

static SnBlocks quantize_q5_1(SnGraph *g, SnValue w)
{
    return quantize_range(g, w, 31);
}

/* ---- q4: codes 0 .. 15 with scale and offset in two levels ---- */

/* 0 where b is */
static SnValue over(SnGraph *g, SnValue a, SnValue b)
{
    return sn_where(g, sn_eq(g, b, sn_num(g, 0)), sn_num(g, 0), sn_div(g, a, b));
}

static SnValue code_near(SnGraph *g, SnValue x)
{
    return sn_clamp(g, sn_round(g, x), 0, 15);
}

/* What a candidate of the search gives: weights w lie along axis 1 of [candidates, 32, blocks]. */
typedef struct Fit {
    SnValue scale, low, cost; /* [candidates, blocks] */
} Fit;

/* Element i of axis 1. */
static SnValue row_of(SnGraph *g, SnValue x, int i)
{
    return sn_drop_axis(g, sn_slice_axis(g, x, 1, sn_size(g, i), sn_size(g, 1)), 1);
}

/* Codes for steps of (14 .. 16) / range, then the scale and offset of least squares for those codes. The
 * three sums are one reduction, whose operand is computed on its way. */
static Fit fit_codes(SnGraph *g, SnValue w)
{
    const SnValue n = sn_num(g, SMALL), zero = sn_num(g, 0);
    const SnValue least = sn_min(g, min_of(g, w, 1), zero), range = sn_sub(g, sn_max_of(g, w, 1), least);
    const SnValue share =
        sn_add(g, sn_mul(g, steps(g, SN_F32, CANDIDATES, 0, 3), sn_num(g, 0.25)), sn_num(g, 14));
    const SnValue q = code_near(g, sn_mul(g, sn_sub(g, w, least), over(g, share, range)));
    const SnValue kind = steps(g, SN_I32, 3, 1, 4), wide = sn_insert_axis(g, q, 1);
    const SnValue other =
        sn_where(g, sn_eq(g, kind, sn_const_int(g, SN_I32, 1)), wide, sn_insert_axis(g, w, 1));
    const SnValue by = sn_where(g, sn_eq(g, kind, sn_const_int(g, SN_I32, 0)), sn_num(g, 1), other);
    const SnValue sums = sn_drop_axis(g, sn_sum_of(g, sn_mul(g, wide, by), 2), 2);
    const SnValue a = row_of(g, sums, 0), b = row_of(g, sums, 1), c = row_of(g, sums, 2);
    const SnValue all = sn_drop_axis(g, sn_sum_of(g, w, 1), 1);
    const SnValue det = sn_sub(g, sn_mul(g, n, b), sn_mul(g, a, a));
    const SnValue low = over(g, sn_sub(g, sn_mul(g, all, b), sn_mul(g, a, c)), det);
    const SnValue free = over(g, sn_sub(g, sn_mul(g, n, c), sn_mul(g, a, all)), det);
    const SnValue is_free = sn_and(g, sn_lt(g, low, zero), sn_lt(g, zero, det));
    Fit f = {.scale = sn_where(g, is_free, free, over(g, c, b)), .low = sn_where(g, is_free, low, zero)};
    const SnValue two = sn_num(g, 2);
    const SnValue square =
        sn_add(g, sn_mul(g, sn_mul(g, f.scale, f.scale), b), sn_mul(g, n, sn_mul(g, f.low, f.low)));
    const SnValue mixed = sn_sub(g, sn_mul(g, sn_mul(g, f.scale, f.low), a),
                                 sn_add(g, sn_mul(g, f.scale, c), sn_mul(g, f.low, all)));
    f.cost = sn_add(g, square, sn_mul(g, two, mixed));
    return f;
}

/* Blocks that share coarse numbers: at most 8. */
static int64_t shared_blocks(int64_t blocks)
{
    int64_t n = 8;
    while (blocks % n != 0)
        n--;
    return n;
}

/* Numbers >= 0 of blocks [rows, blocks, 1] as u8 times a bf16 that so many share. */
static SnValue in_levels(SnGraph *g, SnValue x, int64_t share, SnValue *coarse)
{
    const SnValue dims[] = {sn_dim(g, x, 0), sn_idiv(g, sn_dim(g, x, 1), sn_size(g, share)),
                            sn_size(g, share)};
    const SnValue groups = sn_reshape(g, x, 3, dims);
    *coarse = sn_cast(g, sn_div(g, sn_max_of(g, groups, 2), sn_num(g, 254)), SN_BF16);
    const SnValue level = sn_round(g, over(g, groups, sn_cast(g, *coarse, SN_F32)));
    return shape_as(g, sn_cast(g, sn_clamp(g, level, 0, 255), SN_U8), 2, (const int[]){(int)share, 1});
}

/* [rows, blocks / n, n, 1] ▶ [rows, blocks, 1] */
static SnValue as_blocks(SnGraph *g, SnValue x, SnValue like)
{
    return sn_reshape(g, x, 3, (SnValue[]){sn_dim(g, like, 0), sn_dim(g, like, 1), sn_size(g, 1)});
}

/* What levels are: f32[rows, blocks, 1]. */
static SnValue from_levels(SnGraph *g, SnValue level, SnValue coarse, int64_t share)
{
    const SnValue dims[] = {sn_dim(g, coarse, 0), sn_dim(g, coarse, 1), sn_size(g, share)};
    const SnValue x = sn_reshape(g, sn_cast(g, level, SN_F32), 3, dims);
    return as_blocks(g, sn_mul(g, sn_cast(g, coarse, SN_F32), x), level);
}

/* A search over scale and offset of each block; both in two levels, so that they take 0.6 bits a weight. */
static SnBlocks quantize_q4(SnGraph *g, SnValue w)
{
    int64_t blocks = 1;
    if (sn_graph_check(g, NULL) == SN_OK)
        (void)sn_is_const_i64(sn_graph_store(g), sn_dim(g, w, 1).ref, &blocks);
    const int64_t share = shared_blocks(blocks);
    const SnValue count = sn_mul(g, sn_dim(g, w, 0), sn_dim(g, w, 1));
    SnValue x =
        sn_permute(g, sn_reshape(g, w, 2, (SnValue[]){count, sn_size(g, SMALL)}), (const int[]){1, 0});
    x = sn_insert_axis(g, sn_op(g, "copy", &x, 1, NULL, 0), 0);
    const Fit f = fit_codes(g, x);
    const SnValue step = steps(g, SN_I32, CANDIDATES, 0, 2), is_best = sn_eq(g, f.cost, min_of(g, f.cost, 0));
    SnBlocks of = {0};
    const SnValue scale =
        as_blocks(g, sn_max(g, pick(g, f.scale, is_best, step, CANDIDATES, 0), sn_num(g, 0)), w);
    const SnValue low = as_blocks(g, sn_neg(g, pick(g, f.low, is_best, step, CANDIDATES, 0)), w);
    of.scale = as_blocks(g, in_levels(g, scale, share, &of.coarse), w);
    of.low = as_blocks(g, in_levels(g, low, share, &of.coarse_low), w);
    of.coarse_low = sn_neg(g, of.coarse_low);
    const SnValue wide[] = {from_levels(g, of.scale, of.coarse, share),
                            from_levels(g, of.low, of.coarse_low, share)};
    of.codes = sn_cast(g, code_near(g, over(g, sn_sub(g, w, wide[1]), wide[0])), SN_U8);
    return of;
}

/* ---- the table ---- */

static const SnBlockFormat formats[] = {
    {"q8_0", SMALL, 34, 8, 128, 32, read_q8_0, write_q8_0, quantize_q8_0},
    {"q4_0", SMALL, 18, 4, 8, 32, read_q4_0, write_q4_0, quantize_q4_0},
    {"q4_1", SMALL, 20, 4, 0, 32, read_q4_1, write_q4_1, quantize_q4_1},
    {"q5_0", SMALL, 22, 5, 16, 32, read_q5_0, write_q5_0, quantize_q5_0},
    {"q5_1", SMALL, 24, 5, 0, 32, read_q5_1, write_q5_1, quantize_q5_1},
    {"iq4_nl", SMALL, 18, 8, 128, 32, read_iq4_nl, NULL, NULL},
    {"mxfp4", SMALL, 17, 8, 12, 32, read_mxfp4, NULL, NULL},
    {"mxfp4_pairs", SMALL, 17, 8, 12, 32, read_mxfp4_pairs, NULL, NULL},
    {"q2_k", SUPER, 84, 2, 0, 16, read_q2_k, NULL, NULL},
    {"q3_k", SUPER, 110, 3, 4, 16, read_q3_k, NULL, NULL},
    {"q4_k", SUPER, 144, 4, 0, 32, read_q4_k, NULL, NULL},
    {"q5_k", SUPER, 176, 5, 0, 32, read_q5_k, NULL, NULL},
    {"q6_k", SUPER, 210, 6, 32, 16, read_q6_k, NULL, NULL},
    {"q4", SMALL, 0, 4, 0, 32, NULL, NULL, quantize_q4},
};

const SnBlockFormat *sn_block_format(SnGraph *g, const char *name)
{
    const size_t i = SN_FIND_ROW(formats, name, sn_bytes_str(name));
    if (i < SN_COUNT(formats))
        return &formats[i];
    sn_graph_fail(g, SN_EUNSUPPORTED, "no block format \"%s\"", name);
    return NULL;
}

SnValue sn_in_blocks(SnGraph *g, SnValue x, int per)
{
    SnStore *s = sn_graph_store(g);
    const SnValue rows = sn_rows_of(g, x), last = sn_dim(g, x, -1), size = sn_size(g, per);
    int64_t n = 0;
    if (sn_graph_check(g, NULL) != SN_OK)
        return sn_none();
    if (!sn_is_const_i64(s, last.ref, &n) || n % per != 0)
        return sn_graph_fail(g, SN_ESHAPE, "rows of %lld are not whole blocks of %d", (long long)n, per);
    return sn_reshape(g, rows, 3, (SnValue[]){sn_dim(g, rows, 0), sn_idiv(g, last, size), size});
}

/* ---- ops ---- */

/* [rows, blocks, n] ▶ [.., blocks * n], with the leading dims of like */
static SnValue as_rows(SnGraph *g, SnValue x, SnValue like)
{
    const SnValue width = sn_mul(g, sn_dim(g, x, 1), sn_dim(g, x, 2));
    return sn_rows_back(g, sn_reshape(g, x, 2, (SnValue[]){sn_dim(g, x, 0), width}), like);
}

/* Numbers of groups of a block, for each of its weights; `coarse` may be none. */
static SnValue spread_groups(SnGraph *g, const SnBlockFormat *f, SnValue fine, SnValue coarse)
{
    SnValue x = sn_cast(g, fine, SN_F32);
    const int n = f->block / f->group;
    if (coarse.ref)
        x = sn_mul(g, sn_cast(g, coarse, SN_F32), x);
    x = sn_reshape(g, x, 4, (SnValue[]){sn_dim(g, x, 0), sn_dim(g, x, 1), sn_size(g, n), sn_size(g, 1)});
    const SnValue dims[] = {sn_dim(g, x, 0), sn_dim(g, x, 1), sn_size(g, n), sn_size(g, f->group)};
    return shape_as(g, sn_broadcast(g, x, 4, dims), 1, &f->block);
}

SnValue sn_block_values(SnGraph *g, const SnBlockFormat *f, const SnBlocks *of)
{
    const SnValue code = sn_sub(g, sn_cast(g, of->codes, SN_F32), sn_num(g, f->zero));
    const SnValue y = sn_mul(g, spread_groups(g, f, of->scale, of->coarse), code);
    return of->low.ref ? sn_add(g, y, spread_groups(g, f, of->low, of->coarse_low)) : y;
}

static SnValue dequantize_blocks(SnGraph *g, const SnCall *c)
{
    const SnBlockFormat *f = sn_block_format(g, sn_call_string(c, "format"));
    if (f == NULL)
        return sn_none();
    if (f->read == NULL)
        return sn_graph_fail(g, SN_EUNSUPPORTED, "format %s has no bytes", f->name);
    const SnBlocks of = f->read(g, sn_in_blocks(g, c->in[0], f->bytes));
    return as_rows(g, sn_block_values(g, f, &of), c->in[0]);
}

static SnValue quantize_blocks(SnGraph *g, const SnCall *c)
{
    const SnBlockFormat *f = sn_block_format(g, sn_call_string(c, "format"));
    if (f == NULL)
        return sn_none();
    if (f->write == NULL)
        return sn_graph_fail(g, SN_EUNSUPPORTED, "format %s is not written", f->name);
    const SnBlocks of = f->quantize(g, sn_cast(g, sn_in_blocks(g, c->in[0], f->block), SN_F32));
    return as_rows(g, f->write(g, &of), c->in[0]);
}

/* ---- NF4 and FP4 of bitsandbytes; Dettmers et al. 2023, arXiv:2305.14314 ---- */

#define NORMAL 64 /* weights that have a scale, where they are made here */

static const float normals[] = {-1,
                                -0.696192801F,
                                -0.525073051F,
                                -0.394917488F,
                                -0.284441382F,
                                -0.18477343F,
                                -0.0910500363F,
                                0,
                                0.0795802996F,
                                0.160930201F,
                                0.246112302F,
                                0.337915242F,
                                0.440709829F,
                                0.562617004F,
                                0.722956836F,
                                1};

/* Sign, two bits of exponent, one of mantissa. */
static const float floats[SN_COUNT(normals)] = {
    0,  0.00520833349F,  0.666666687F,  1,  0.333333343F,  0.5F,  0.166666672F,  0.25F,
    -0, -0.00520833349F, -0.666666687F, -1, -0.333333343F, -0.5F, -0.166666672F, -0.25F};

/* Scales as 8-bit numbers of how far they are from their mean. */
static SnValue nested(SnGraph *g, SnValue scale)
{
    const SnValue sum = sn_reduce(g, "add", sn_cast(g, scale, SN_F64), 0, NULL, false);
    const SnValue mean = sn_cast(g, sn_div(g, sum, sn_cast(g, sn_dim(g, scale, 0), SN_F64)), SN_F32);
    const SnValue rest = sn_sub(g, scale, mean), q = sn_quantize_dynamic(g, rest, true);
    return sn_add(g, sn_dequantize_dynamic(g, sn_get(g, q, 0), sn_get(g, q, 1), rest, true), mean);
}

/* The copies are what is kept of a parameter (hoist). */
static SnValue quantize_nf4(SnGraph *g, const SnCall *c)
{
    float middle[SN_COUNT(normals) - 1];
    for (size_t i = 0; i < SN_COUNT(middle); i++)
        middle[i] = (normals[i] + normals[i + 1]) / 2;
    const SnValue table = sn_const_data(g, SN_F32, 1, &(int64_t){SN_COUNT(middle)}, middle);
    const SnValue x = sn_flat_blocks(g, c->in[0], NORMAL), most = sn_max_of(g, sn_abs(g, x), 1);
    const SnValue by = sn_div(g, sn_num(g, 1), sn_max(g, most, sn_num(g, 1e-38)));
    const SnValue part = sn_mul(g, x, by), rows = sn_dim(g, x, 0);
    SnValue at = sn_broadcast(g, sn_const_int(g, SN_I32, 0), 2, (SnValue[]){rows, sn_size(g, NORMAL)});
    for (int64_t bit = SN_COUNT(normals) / 2; bit > 0; bit /= 2) {
        const SnValue next = sn_add(g, at, sn_const_int(g, SN_I32, bit));
        const SnValue below = sn_sub(g, next, sn_const_int(g, SN_I32, 1));
        const SnValue edge = sn_gather(g, table, 1, (const int[]){0}, &below, NULL);
        at = sn_where(g, sn_lt(g, edge, part), next, at);
    }
    const SnValue two =
        sn_reshape(g, sn_cast(g, at, SN_U8), 3, (SnValue[]){rows, sn_size(g, NORMAL / 2), sn_size(g, 2)});
    const SnValue both = above(g, field(g, two, 1, 1), field(g, two, 0, 1), 4);
    const SnValue codes = sn_reshape(g, both, 2, (SnValue[]){rows, sn_size(g, NORMAL / 2)});
    const SnValue flat = sn_reshape(g, most, 1, &rows);
    const SnValue scale = sn_call_int(c, "nested") ? nested(g, flat) : flat;
    return sn_tuple(
        g, 2, (SnValue[]){sn_op(g, "copy", &codes, 1, NULL, 0), sn_op(g, "copy", &scale, 1, NULL, 0)}, NULL);
}

/* times: 1, or -1 for the negative weights. */
static SnValue nf4_values(SnGraph *g, const SnCall *c, int at, float times)
{
    float table[SN_COUNT(normals)];
    for (size_t i = 0; i < SN_COUNT(table); i++)
        table[i] = times * (strcmp(sn_call_string(c, "kind"), "fp4") == 0 ? floats : normals)[i];
    const SnValue all = sn_const_data(g, SN_F32, 1, &(int64_t){SN_COUNT(table)}, table),
                  scale = c->in[at + 1];
    const SnValue blocks = sn_dim(g, scale, 0), half = sn_dim(g, c->in[at], 1), two = sn_size(g, 2);
    const SnValue codes = sn_reshape(g, c->in[at], 3, (SnValue[]){blocks, half, sn_size(g, 1)});
    const SnValue up = sn_mul(g, sn_sub(g, sn_size(g, 1), steps(g, SN_I64, 2, 2, 3)), sn_size(g, 4));
    const SnValue dims[] = {blocks, half, two};
    const SnValue code =
        sn_and(g, sn_shr(g, sn_broadcast(g, codes, 3, dims), sn_cast(g, up, SN_U8)), u8(g, 15));
    const SnValue index = sn_cast(g, code, SN_I32);
    const SnValue x = sn_reshape(g, sn_gather(g, all, 1, (const int[]){0}, &index, NULL), 2,
                                 (SnValue[]){blocks, sn_mul(g, half, two)});
    const SnValue shape[] = {sn_size(g, sn_call_int(c, "rows")), sn_size(g, sn_call_int(c, "cols"))};
    return sn_flat_back(g, sn_mul(g, x, sn_insert_axis(g, scale, 1)), 2, shape);
}

static SnValue dequantize_nf4(SnGraph *g, const SnCall *c)
{
    return nf4_values(g, c, 0, 1);
}

static SnValue linear_nf4(SnGraph *g, const SnCall *c)
{
    return sn_linear(g, c->in[0], sn_like(g, nf4_values(g, c, 1, 1), c->in[0]), c->in[3]);
}

/* The weights once more, by another way: they are not those of the forward part, which need not be kept. */
static SnValue linear_nf4_grad(SnGraph *g, const SnCall *c, SnValue y, SnValue d, int i)
{
    (void)y;
    const SnValue rows = sn_rows_of(g, d);
    if (i == 3)
        return sn_like(g, sn_reduce(g, "add", sn_cast(g, rows, SN_F32), 1, &(int){0}, false), c->in[3]);
    if (i != 0)
        return sn_graph_fail(g, SN_EUNSUPPORTED, "linear_nf4: its weights do not learn");
    const SnValue w = sn_like(g, sn_neg(g, nf4_values(g, c, 1, -1)), d);
    const SnValue turned = sn_permute(g, w, (const int[]){1, 0});
    return sn_rows_back(g, sn_like(g, sn_linear(g, rows, turned, sn_none()), c->in[0]), c->in[0]);
}

const SnOp sn_quant_ops[] = {
    {.sig = "quantize_nf4(w: F[..]; nested: bool = false) -> ?",
     .expand = quantize_nf4,
     .doc = "tuple(u8[n, 32], f32[n]): codes of 64 weights each, two a byte, and their scales; Dettmers et "
            "al. 2023"},
    {.sig = "dequantize_nf4(codes: u8[n, k], scale: f32[n]; rows: int, cols: int, kind: str = \"nf4\") -> ?",
     .expand = dequantize_nf4,
     .doc = "the way back, f32[rows, cols]; kind fp4: of codes that are floats of 4 bits; blocks of 2 k"},
    {.sig = "linear_nf4(x: F[.., k], codes: u8[i, j], scale: f32[n], b: F2[m]?; rows: int, cols: int, kind: "
            "str = \"nf4\") -> ?",
     .expand = linear_nf4,
     .grad = linear_nf4_grad,
     .doc = "x w^T + b with w of quantize_nf4, in the dtype of x"},
    {.sig = "dequantize_blocks(bytes: u8[*]; format: str) -> ?",
     .expand = dequantize_blocks,
     .doc = "f32 of the last axis in a block format of GGML: q8_0 q4_0 q4_1 q5_0 q5_1 q2_k .. q6_k iq4_nl "
            "mxfp4, mxfp4_pairs (a byte has two neighbours)"},
    {.sig = "quantize_blocks(w: F[*]; format: str) -> ?",
     .expand = quantize_blocks,
     .doc = "bytes of the last axis in a block format: q8_0 q4_0 q4_1 q5_0 q5_1, as ggml's reference makes "
            "them"},
    {0},
};
