/* word_cache.h -- words whose ids are known: a cache of fixed size in the memo of a host step. Private to
 * ops/host.
 *
 * Most words are short and have few ids, or many equal ones (spaces): sets of two entries of 32 bytes in one
 * line of the CPU's caches, the newer first. What does not fit lies one after the other in a ring, the newest
 * over the oldest, and is found by an index. A whole word and its length are compared, so a hit is exact. */
#ifndef SN_WORD_CACHE_H
#define SN_WORD_CACHE_H

#include "ops/host/tok.h"

enum { SN_WORD_SHORT = 15, SN_WORD_IDS = 4, SN_WORD_PACKED = 7, SN_WORD_MOST = 16, SN_WORD_BITS = 18 };

/* The bytes of a word, zeros behind them; the high byte of the second half is its size and, in a cache, above
 * four bits of that the number of its ids. Size 0: none. */
typedef struct SnWordKey {
    uint64_t low, high;
} SnWordKey;
#define SN_WORD_COUNT 60u

typedef struct SnWordFew {
    SnWordKey key;
    /* Up to SN_WORD_PACKED, of SN_WORD_BITS bits: three and a part in each half. Count 15: so many as id[3]
     * says, all between the first and the last one alike. */
    int32_t id[SN_WORD_IDS];
} SnWordFew;

_Static_assert(sizeof(SnWordFew) == 32, "a set of two is a line of the CPU's caches");

typedef struct SnWordCache {
    SnWordFew *few;     /* NULL: there is no cache */
    unsigned few_shift; /* of a hash, which leaves the number of a set */
    uint64_t *used;     /* of the ring, in units, since it was empty */
    uint64_t *index;    /* part of a hash above a place in the ring, in lines of SN_WORD_LINE */
    uint8_t *ring;
    size_t nindex, nring; /* nring: units; both powers of two */
} SnWordCache;
enum { SN_WORD_LINE = 8 };

/* Lays a cache out in memory that was zeros once. */
SnWordCache sn_word_cache(void *memo, size_t size);

/* A word of n <= SN_WORD_SHORT bytes, of which `left` from at on may be read. */
static inline SnWordKey sn_word_key(const uint8_t *at, size_t n, size_t left)
{
    static const uint64_t masks[4] = {UINT64_MAX, UINT64_MAX};
    SnWordKey k = {0, 0}, mask;
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

size_t sn_word_put_many(const SnWordFew *w, int32_t *out); /* more than SN_WORD_IDS */

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

/* Looks in the set's neighbour; brings a word forward. */
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
    return count <= SN_WORD_IDS ? count : sn_word_put_many(w, out);
}

/* Of a word longer than SN_WORD_SHORT or of many ids: what its place hangs on; its ids as sn_word_copy. */
uint64_t sn_word_hash(SnBytes word);
size_t sn_word_copy_long(const SnWordCache *c, uint64_t hash, SnBytes word, int32_t *out, size_t room);
/* Where the index has it. */
static inline uint64_t *sn_word_line(const SnWordCache *c, uint64_t hash)
{
    return c->index + (hash & (c->nindex - 1)) / SN_WORD_LINE * SN_WORD_LINE;
}
/* Does it know a word? */
bool sn_word_has(const SnWordCache *c, SnBytes word, size_t left);
/* Copies the ids of a word of any size, at most `room`; SIZE_MAX: not known, or there is no room. `left`
 * bytes from the word's begin on may be read. */
size_t sn_word_copy(const SnWordCache *c, SnBytes word, size_t left, int32_t *out, size_t room);
/* Keeps a word, n > 0, if it fits. */
void sn_word_keep(const SnWordCache *c, SnBytes word, const int32_t *id, size_t count);

#endif
