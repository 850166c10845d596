/* draw.c -- the random numbers of NumPy's default_rng: PCG64 (XSL-RR 128/64), seeded by SeedSequence.
 *
 * O'Neill, "PCG: A Family of Simple Fast Space-Efficient Statistically Good Algorithms" (2014). */
#include "frontends/data/table.h"

enum { POOL = 4 };

static void mul_wide(uint64_t a, uint64_t b, uint64_t *hi, uint64_t *lo)
{
    const uint64_t al = (uint32_t)a, ah = a >> 32, bl = (uint32_t)b, bh = b >> 32;
    const uint64_t mid = ah * bl + (al * bl >> 32), other = al * bh + (uint32_t)mid;
    *hi = ah * bh + (mid >> 32) + (other >> 32);
    *lo = a * b;
}

static void advance(SnDraw *r)
{
    const uint64_t mul_hi = 0x2360ED051FC65DA4u, mul_lo = 0x4385DF649FCCF645u;
    uint64_t hi, lo;
    mul_wide(r->lo, mul_lo, &hi, &lo);
    hi += r->hi * mul_lo + r->lo * mul_hi;
    r->lo = lo + r->inc_lo;
    r->hi = hi + r->inc_hi + (r->lo < lo);
}

static uint32_t hash_word(uint32_t value, uint32_t *factor)
{
    value ^= *factor;
    *factor *= 0x931E8875u;
    value *= *factor;
    return value ^ value >> 16;
}

static uint32_t mix(uint32_t x, uint32_t y)
{
    const uint32_t v = x * 0xCA01F9DDu - y * 0x4973F715u;
    return v ^ v >> 16;
}

SnDraw sn_draw(uint64_t seed)
{
    uint32_t pool[POOL] = {(uint32_t)seed, (uint32_t)(seed >> 32)}, factor = 0x43B0D7E5u, word[8];
    uint64_t state[4];
    for (int i = 0; i < POOL; i++)
        pool[i] = hash_word(pool[i], &factor);
    for (int from = 0; from < POOL; from++)
        for (int to = 0; to < POOL; to++)
            if (from != to)
                pool[to] = mix(pool[to], hash_word(pool[from], &factor));
    uint32_t out = 0x8B51F9DDu;
    for (int i = 0; i < 8; i++) {
        uint32_t v = pool[i % POOL] ^ out;
        out *= 0x58F38DEDu;
        v *= out;
        word[i] = v ^ v >> 16;
    }
    for (int i = 0; i < 4; i++)
        state[i] = (uint64_t)word[2 * i + 1] << 32 | word[2 * i];
    SnDraw r = {.inc_hi = state[2] << 1 | state[3] >> 63, .inc_lo = state[3] << 1 | 1};
    advance(&r);
    r.lo += state[1];
    r.hi += state[0] + (r.lo < state[1]);
    advance(&r);
    return r;
}

uint64_t sn_draw_u64(SnDraw *r)
{
    advance(r);
    const uint64_t v = r->hi ^ r->lo;
    const unsigned turn = (unsigned)(r->hi >> 58);
    return v >> turn | v << (-turn & 63);
}

double sn_draw_f64(SnDraw *r)
{
    return (double)(sn_draw_u64(r) >> 11) * 0x1p-53;
}

static uint32_t draw_u32(SnDraw *r)
{
    if (r->has_spare) {
        r->has_spare = false;
        return r->spare;
    }
    const uint64_t v = sn_draw_u64(r);
    r->spare = (uint32_t)(v >> 32);
    r->has_spare = true;
    return (uint32_t)v;
}

/* Of 0 .. most: numbers of as many bits until one is not larger, as NumPy's random_interval. */
static int64_t draw_most(SnDraw *r, uint64_t most)
{
    uint64_t mask = most, v;
    for (int shift = 1; shift < 64; shift *= 2)
        mask |= mask >> shift;
    do
        v = (most > UINT32_MAX ? sn_draw_u64(r) : draw_u32(r)) & mask;
    while (v > most);
    return (int64_t)v;
}

void sn_draw_permutation(SnDraw *r, int64_t *at, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        at[i] = i;
    for (int64_t i = n - 1; i > 0; i--) {
        const int64_t j = draw_most(r, (uint64_t)i), t = at[i];
        at[i] = at[j];
        at[j] = t;
    }
}

/* Of 0 .. most, as NumPy's random_bounded_uint64: Lemire, "Fast Random Integer Generation in an Interval"
 * (2019). most < 2^32 - 1. */
static int64_t draw_bounded(SnDraw *r, uint32_t most)
{
    if (most == 0)
        return 0;
    const uint32_t n = most + 1;
    uint64_t m = (uint64_t)draw_u32(r) * n;
    if ((uint32_t)m < n)
        for (const uint32_t least = (UINT32_MAX - most) % n; (uint32_t)m < least;)
            m = (uint64_t)draw_u32(r) * n;
    return (int64_t)(m >> 32);
}

static void shuffle_from(SnDraw *r, int64_t *at, int64_t first, int64_t n)
{
    for (int64_t i = n - 1; i >= first; i--) {
        const int64_t j = draw_bounded(r, (uint32_t)i), t = at[i];
        at[i] = at[j];
        at[j] = t;
    }
}

/* Floyd's: each of the last k numbers, or what is drawn below it, if that was not drawn before. */
void sn_draw_choice(SnDraw *r, int64_t n, int64_t k, int64_t *out)
{
    for (int64_t j = n - k; j < n; j++) {
        const int64_t v = draw_bounded(r, (uint32_t)j), at = j - (n - k);
        out[at] = v;
        for (int64_t i = 0; i < at; i++)
            if (out[i] == v)
                out[at] = j;
    }
    shuffle_from(r, out, 1, k);
}
