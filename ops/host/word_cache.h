/* word_cache.h -- words whose ids are known: a cache of fixed size in the memo of a host step. Private to
 * ops/host.
 *
 * Most words are short and have few ids: sets of two entries of 32 bytes in one line of the CPU's caches, the
 * newer first. What does not fit goes to sets of two larger entries, of 128 or 512 bytes, or is not kept. A
 * whole word and its length are compared, so a hit is exact. */
#ifndef SN_WORD_CACHE_H
#define SN_WORD_CACHE_H

#include "ops/host/tok.h"

enum { SN_WORD_SHORT = 15, SN_WORD_IDS = 4, SN_WORD_MOST = 7, SN_WORD_BITS = 18 };

/* The bytes of a word, zeros behind them; the high byte of the second half is its size and, in a cache, above
 * four bits of that the number of its ids. Size 0: none. */
typedef struct SnWordKey {
    uint64_t low, high;
} SnWordKey;
#define SN_WORD_COUNT 60u

typedef struct SnWordFew {
    SnWordKey key;
    int32_t id[SN_WORD_IDS]; /* more than these, of SN_WORD_BITS bits: three and a part in each half */
} SnWordFew;

_Static_assert(sizeof(SnWordFew) == 32, "a set of two is a line of the CPU's caches");

typedef struct SnWordSets { /* of two entries of `size` bytes */
    uint8_t *at;
    size_t size, mask;
} SnWordSets;

typedef struct SnWordCache {
    SnWordFew *few;     /* NULL: there is no cache */
    unsigned few_shift; /* of a hash, which leaves the number of a set */
    SnWordSets more[2]; /* of longer words */
} SnWordCache;

/* Lays a cache out in memory that was zeros once. */
SnWordCache sn_word_cache(void *memo, size_t size);

/* A word of n bytes, of which `left` from at on may be read; longer than SN_WORD_SHORT: the key of none. */
static inline SnWordKey sn_word_key(const uint8_t *at, size_t n, size_t left)
{
    static const uint64_t masks[4] = {UINT64_MAX, UINT64_MAX};
    SnWordKey k = {0, 0}, mask;
    if (n > SN_WORD_SHORT) /* no text has such bytes */
        return (SnWordKey){0, UINT64_MAX};
    if (left < sizeof k) {
        memcpy(&k, at, n);
    } else {
        memcpy(&k, at, sizeof k);
        memcpy(&mask, (const uint8_t *)masks + sizeof k - n, sizeof mask);
        k.low &= mask.low;
        k.high &= mask.high;
    }
    k.high |= (uint64_t)n << 56;
    return k;
}

/* The set that a word may lie in; its neighbour is the other one. */
static inline SnWordFew *sn_word_set(const SnWordCache *c, SnWordKey k)
{
    const uint64_t h = (k.low ^ (k.high * 0xC2B2AE3D27D4EB4Fu)) * 0x9E3779B97F4A7C15u;
    return &c->few[2 * (h >> c->few_shift)];
}

static inline bool sn_word_is(const SnWordFew *w, SnWordKey k)
{
    return ((w->key.low ^ k.low) | (w->key.high ^ k.high) << 4) == 0;
}

/* Looks in the set's second place and in its neighbour; brings a word forward. */
bool sn_word_look(const SnWordCache *c, SnWordFew *set, SnWordKey k);

/* A short word; NULL: not known. */
static inline const SnWordFew *sn_word_find(const SnWordCache *c, SnWordFew *set, SnWordKey k)
{
    return sn_word_is(&set[0], k) || sn_word_look(c, set, k) ? set : NULL;
}

/* Writes a word's ids, and what lies behind them up to SN_WORD_MOST; returns how many. */
static inline size_t sn_word_put(const SnWordFew *w, int32_t *out)
{
    const size_t count = w->key.high >> SN_WORD_COUNT;
    memcpy(out, w->id, sizeof w->id);
    if (count > SN_WORD_IDS) {
        const uint64_t mask = (1u << SN_WORD_BITS) - 1;
        uint64_t half[2];
        memcpy(half, w->id, sizeof half);
        for (unsigned i = 0; i < 3; i++) {
            out[i] = (int32_t)(half[0] >> i * SN_WORD_BITS & mask);
            out[3 + i] = (int32_t)(half[1] >> i * SN_WORD_BITS & mask);
        }
        out[6] = (int32_t)(half[0] >> 54 | half[1] >> 54 << 10);
    }
    return count;
}

/* Asks for the memory where a word longer than SN_WORD_SHORT may lie. */
void sn_word_fetch(const SnWordCache *c, SnBytes word);
/* Does it know a word? */
bool sn_word_has(const SnWordCache *c, SnBytes word, size_t left);
/* Copies the ids of a word of any size, at most `room`; SIZE_MAX: not known, or there is no room. `left`
 * bytes from the word's begin on may be read. */
size_t sn_word_copy(const SnWordCache *c, SnBytes word, size_t left, int32_t *out, size_t room);
/* Keeps a word, n > 0, if it fits. */
void sn_word_keep(const SnWordCache *c, SnBytes word, const int32_t *id, size_t count);

#endif
