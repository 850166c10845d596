/* greenlist.c -- see greenlist.h. */
#include "ops/host/greenlist.h"

#include <string.h>

#define BEST 40 /* tokens that are tried where a token chooses for itself */

/* ---- random numbers ---- */

void sn_twister_seed(SnTwister *t, uint32_t seed)
{
    t->word[0] = seed;
    for (uint32_t i = 1; i < 624; i++)
        t->word[i] = 1812433253u * (t->word[i - 1] ^ t->word[i - 1] >> 30) + i;
    t->at = 624;
}

static void turn(SnTwister *t)
{
    uint32_t *w = t->word;
    for (uint32_t i = 0; i < 624; i++) {
        const uint32_t y = (w[i] & 0x80000000u) | (w[(i + 1) % 624] & 0x7FFFFFFFu);
        w[i] = w[(i + 397) % 624] ^ y >> 1 ^ (y & 1 ? 0x9908B0DFu : 0);
    }
    t->at = 0;
}

uint32_t sn_twister_next(SnTwister *t)
{
    if (t->at >= 624)
        turn(t);
    uint32_t y = t->word[t->at++];
    y ^= y >> 11;
    y ^= (y << 7) & 0x9D2C5680u;
    y ^= (y << 15) & 0xEFC60000u;
    return y ^ y >> 18;
}

/* The first `count` of torch.randperm(n) under a seed; all n of `out` are written. */
static void permute(uint32_t seed, uint32_t n, uint32_t count, uint32_t *out)
{
    SnTwister t;
    sn_twister_seed(&t, seed);
    for (uint32_t i = 0; i < n; i++)
        out[i] = i;
    for (uint32_t i = 0; i < count && i + 1 < n; i++) {
        const uint32_t other = i + sn_twister_next(&t) % (n - i), kept = out[i];
        out[i] = out[other];
        out[other] = kept;
    }
}

/* ---- which are green ---- */

typedef struct Green {
    const SnHostCall *h;
    uint32_t vocabulary, count; /* of scores; that a seed chooses */
    uint64_t key;
    int64_t width;
    uint32_t *order; /* scratch: [vocabulary] */
    bool *out;       /* of the row */
} Green;

static int64_t id_at(const SnView *v, int64_t i)
{
    return sn_scalar_load(v->dtype, (const uint8_t *)v->data + (size_t)i * sn_dtype_size(v->dtype)).i;
}

static void choose_by_last(const Green *g, int64_t last)
{
    permute((uint32_t)(g->key * (uint64_t)last), g->vocabulary, g->count, g->order);
    for (uint32_t i = 0; i < g->count; i++)
        g->out[g->order[i]] = true;
}

/* The table of a key is made once and kept; its first word says that it is there. */
static const uint32_t *table_of(const Green *g)
{
    uint32_t *memo = g->h->memo;
    if (!memo || g->h->memo_size < SN_GREENLIST_MEMO)
        return NULL;
    if (memo[0] == 0)
        permute((uint32_t)g->key, SN_GREENLIST_TABLE, SN_GREENLIST_TABLE, memo + 16);
    memo[0] = 1;
    return memo + 16;
}

static int64_t hash_at(const uint32_t *table, int64_t id)
{
    return (int64_t)table[(uint64_t)id % SN_GREENLIST_TABLE] + 1;
}

/* The seed of `n` tokens and one more, of signed products that wrap. */
static uint32_t seed_of(const Green *g, const uint32_t *table, int64_t first, int64_t n, int64_t token)
{
    const uint64_t by = g->key * (uint64_t)hash_at(table, token);
    int64_t least = (int64_t)(by * (uint64_t)hash_at(table, token));
    for (int64_t i = 0; i < n; i++) {
        const int64_t one = (int64_t)(by * (uint64_t)hash_at(table, id_at(&g->h->in[0], first + i)));
        least = one < least ? one : least;
    }
    return (uint32_t)((uint64_t)least - (least < 0 ? 1 : 0)); /* modulo 2^64 - 1 */
}

/* The next best token of a row behind `last`: of equal ones the first. -1: there is none. */
static int64_t next_best(const float *scores, uint32_t n, int64_t last)
{
    int64_t best = -1;
    for (uint32_t i = 0; i < n; i++) {
        const bool is_left =
            last < 0 || scores[i] < scores[last] || (scores[i] == scores[last] && (int64_t)i > last);
        if (is_left && (best < 0 || scores[i] > scores[best]))
            best = i;
    }
    return best;
}

static void choose_by_self(const Green *g, const uint32_t *table, int64_t end, const float *scores)
{
    int64_t token = -1;
    for (int i = 0; i < BEST; i++) {
        token = next_best(scores, g->vocabulary, token);
        if (token < 0)
            return;
        const int64_t n = g->width - 1;
        permute(seed_of(g, table, end - n, n, token), g->vocabulary, g->count, g->order);
        for (uint32_t k = 0; k < g->count; k++)
            if (g->order[k] == (uint32_t)token)
                g->out[token] = true;
    }
}

SnStatus sn_greenlist(const SnHostCall *h, SnError *err)
{
    const SnView *ids = &h->in[0], *scores = &h->in[2];
    Green g = {.h = h, .vocabulary = (uint32_t)scores->dims[1], .key = (uint64_t)h->attr[1].i};
    g.count = (uint32_t)((double)g.vocabulary * h->attr[0].f);
    g.width = h->attr[2].i;
    g.order = h->scratch;
    const uint32_t *table = h->attr[3].i ? table_of(&g) : NULL;
    SN_CHECK(table || !h->attr[3].i, err, SN_EINTERNAL, "greenlist: no memory that is kept");
    for (int64_t b = 0; b < ids->dims[0]; b++) {
        const int64_t n = id_at(&h->in[1], b), end = b * ids->dims[1] + n;
        g.out = (bool *)h->out[0].data + b * scores->dims[1];
        memset(g.out, 0, g.vocabulary * sizeof *g.out);
        if (n < g.width || n < 1 || n > ids->dims[1])
            continue;
        if (table)
            choose_by_self(&g, table, end, (const float *)scores->data + b * scores->dims[1]);
        else
            choose_by_last(&g, id_at(ids, end - 1));
    }
    return SN_OK;
}
