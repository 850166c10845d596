/* random.c -- random numbers as functions of a key and a counter: nothing is carried, and no row depends on
 * its neighbours.
 *
 * Threefry-2x32 with 20 rounds; Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3". */
#include "ops/help.h"

static SnValue word(SnGraph *g, SnValue x, int i)
{
    const int axis = sn_rank(g, x) - 1;
    return sn_drop_axis(g, sn_slice_axis(g, x, axis, sn_size(g, i), sn_size(g, 1)), axis);
}

static SnValue u32(SnGraph *g, int64_t v)
{
    return sn_const_int(g, SN_U32, v);
}

static SnValue rotate(SnGraph *g, SnValue x, int64_t n)
{
    return sn_or(g, sn_shl(g, x, u32(g, n)), sn_shr(g, x, u32(g, 32 - n)));
}

static SnValue threefry(SnGraph *g, const SnCall *c)
{
    static const int64_t turn[8] = {13, 15, 26, 6, 17, 29, 16, 24};
    const SnValue k0 = word(g, c->in[0], 0), k1 = word(g, c->in[0], 1);
    const SnValue key[3] = {k0, k1, sn_xor(g, sn_xor(g, k0, k1), u32(g, 0x1BD11BDA))};
    SnValue x = sn_add(g, word(g, c->in[1], 0), k0), y = sn_add(g, word(g, c->in[1], 1), k1);
    for (int i = 0; i < 20; i++) {
        x = sn_add(g, x, y);
        y = sn_xor(g, rotate(g, y, turn[i % 8]), x);
        if (i % 4 < 3)
            continue;
        const int n = i / 4 + 1;
        x = sn_add(g, x, key[n % 3]);
        y = sn_add(g, y, sn_add(g, key[(n + 1) % 3], u32(g, n)));
    }
    const int axis = sn_rank(g, x);
    return sn_concat(g, 2, (SnValue[]){sn_insert_axis(g, x, axis), sn_insert_axis(g, y, axis)}, axis);
}

/* 24 bits of the first word. */
static SnValue uniform(SnGraph *g, const SnCall *c)
{
    const SnValue bits = word(g, sn_threefry(g, c->in[0], c->in[1]), 0);
    return sn_mul(g, sn_cast(g, sn_shr(g, bits, u32(g, 8)), SN_F32), sn_num(g, 1.0 / 16777216));
}

/* A call gives four of them: 16 bits each. The dims of x are all that is read of it. */
static SnValue noise(SnGraph *g, const SnCall *c)
{
    SnValue dims[SN_MAX_RANK], n = sn_size(g, 1);
    const int rank = sn_dims(g, c->in[0], dims);
    for (int i = 0; i < rank; i++)
        n = sn_mul(g, n, dims[i]);
    const SnValue two = sn_size(g, 2), calls = sn_idiv(g, sn_add(g, n, sn_size(g, 3)), sn_size(g, 4));
    const SnValue rows[] = {calls, two}, lanes[] = {calls, two, two};
    const SnValue at = sn_iota(g, SN_U32, 0, 2, rows), is_place = sn_iota(g, SN_U32, 1, 2, rows);
    const SnValue counter = sn_where(g, sn_eq(g, is_place, u32(g, 0)), at, u32(g, sn_call_int(c, "place")));
    const SnValue key = sn_broadcast(g, sn_insert_axis(g, c->in[1], 0), 2, rows);
    const SnValue bits = sn_broadcast(g, sn_insert_axis(g, sn_threefry(g, key, counter), 2), 3, lanes);
    const SnValue shift = sn_mul(g, sn_iota(g, SN_U32, 2, 3, lanes), u32(g, 16));
    const SnValue part = sn_and(g, sn_shr(g, bits, shift), u32(g, 0xFFFF));
    const SnValue all = sn_mul(g, calls, sn_size(g, 4)), zero = sn_size(g, 0);
    const SnValue some = sn_slice(g, sn_reshape(g, part, 1, &all), &zero, &n, NULL);
    return sn_mul(g, sn_cast(g, sn_reshape(g, some, rank, dims), SN_F32), sn_num(g, 1.0 / 65536));
}

/* A sum at the end: what lies in memory is read by kernels that do not know how it was made, so that those
 * of equal layers are one. */
static SnValue next_key(SnGraph *g, const SnCall *c)
{
    const SnValue dims[] = {sn_size(g, 2)};
    const SnValue counter = sn_broadcast(g, u32(g, 0xFFFFFFFF), 1, dims);
    return sn_scan(g, "add", sn_threefry(g, c->in[0], counter), 0, false);
}

/* The first index whose cumulative probability is beyond u; an index of probability 0 is never taken. */
static SnValue categorical(SnGraph *g, const SnCall *c)
{
    const SnValue x = sn_wide(g, c->in[0]), dims[] = {sn_dim(g, x, 0), sn_dim(g, x, 1)};
    const SnValue e = sn_exp(g, sn_sub(g, x, sn_max_of(g, x, -1))), upto = sn_scan(g, "add", e, 1, false);
    const SnValue total = sn_reduce(g, "max", upto, 1, &(int){1}, true);
    const SnValue at = sn_mul(g, total, sn_insert_axis(g, sn_like(g, c->in[1], x), 1));
    const SnValue is_behind = sn_cast(g, sn_le(g, upto, at), SN_I64);
    const SnValue is_possible = sn_lt(g, sn_num(g, 0), e), index = sn_iota(g, SN_I64, 1, 2, dims);
    const SnValue last = sn_where(g, is_possible, index, sn_size(g, 0));
    return sn_min(g, sn_reduce(g, "add", is_behind, 1, &(int){1}, false),
                  sn_reduce(g, "max", last, 1, &(int){1}, false));
}

const SnOp sn_random_ops[] = {
    {.sig = "threefry(key: u32[.., 2], counter: u32[.., 2]) -> u32[.., 2]",
     .expand = threefry,
     .doc = "Threefry-2x32-20 of a counter under a key; Salmon et al. 2011"},
    {.sig = "uniform(key: u32[.., 2], counter: u32[.., 2]) -> f32[..]",
     .expand = uniform,
     .doc = "a number from 0 up to, not including, 1, a multiple of 2^-24"},
    {.sig = "noise(x: F[..], key: u32[2]; place: int = 0) -> f32[..]",
     .expand = noise,
     .doc = "for each element of x a number from 0 up to, not including, 1, a multiple of 2^-16"},
    {.sig = "next_key(key: u32[2]) -> u32[2]", .expand = next_key, .doc = "a key for what comes next"},
    {.sig = "categorical(scores: F[b, v], u: f32[b]) -> i64[b]",
     .expand = categorical,
     .doc = "a draw from softmax(scores) by a uniform number in 0..1"},
    {0},
};
