/* word_cache.h -- words whose ids are known: a cache of fixed size in the memo of a host step. Private to
 * ops/host.
 *
 * Most words are short: sets of two entries of 64 bytes, the newer first. What does not fit goes to entries
 * of 256 bytes, or is not kept. A whole word and its length are compared, so a hit is exact. */
#ifndef SN_WORD_CACHE_H
#define SN_WORD_CACHE_H

#include "ops/host/tok.h"

enum { SN_WORD_SHORT = 32, SN_WORD_IDS = 7, SN_WORD_LONG = 92, SN_WORD_LONG_IDS = 40 };

typedef struct SnTokShort {
    uint64_t key[SN_WORD_SHORT / 8]; /* zeros behind the word */
    int32_t id[SN_WORD_IDS];
    uint16_t size, count; /* size 0: free */
} SnTokShort;

typedef struct SnTokLong {
    uint8_t key[SN_WORD_LONG];
    uint16_t size, count;
    int32_t id[SN_WORD_LONG_IDS];
} SnTokLong;

_Static_assert(sizeof(SnTokShort) == 64 && sizeof(SnTokLong) == 256, "entries are lines of the CPU's caches");

typedef struct SnTokCache {
    SnTokShort *few; /* NULL: there is no cache */
    SnTokLong *many;
    uint64_t few_mask, many_mask; /* sets of two, entries */
} SnTokCache;

/* Lays a cache out in memory that was zeros once; a fifth is for long words. */
static inline SnTokCache sn_tok_cache(void *memo, size_t size)
{
    SnTokCache c = {.few = NULL};
    size_t nfew = 1, nmany = 1;
    if (memo == NULL || size < 4096)
        return c;
    while (4 * nfew * sizeof(SnTokShort) <= size / 5 * 4)
        nfew *= 2;
    while (2 * nmany * sizeof(SnTokLong) <= size - 2 * nfew * sizeof(SnTokShort))
        nmany *= 2;
    return (SnTokCache){memo, (SnTokLong *)(void *)((SnTokShort *)memo + 2 * nfew), nfew - 1, nmany - 1};
}

typedef struct SnTokKey {
    uint64_t at[SN_WORD_SHORT / 8];
} SnTokKey;

/* A word of at most SN_WORD_SHORT bytes; `left` bytes from at on may be read. */
static inline SnTokKey sn_tok_key(const uint8_t *at, size_t n, size_t left)
{
    static const uint64_t masks[2 * SN_WORD_SHORT / 8] = {UINT64_MAX, UINT64_MAX, UINT64_MAX, UINT64_MAX};
    SnTokKey k = {{0}}, mask;
    if (left < SN_WORD_SHORT) {
        memcpy(&k, at, n);
        return k;
    }
    memcpy(&k, at, sizeof k);
    memcpy(&mask, (const uint8_t *)masks + SN_WORD_SHORT - n, sizeof mask);
    for (size_t i = 0; i < SN_COUNT(k.at); i++)
        k.at[i] &= mask.at[i];
    return k;
}

static inline uint64_t sn_tok_key_hash(const SnTokKey *k)
{
    uint64_t h = (k->at[0] ^ k->at[0] >> 29) * 0x9E3779B97F4A7C15u + k->at[1] * 0xC2B2AE3D27D4EB4Fu;
    h ^= (k->at[2] * 0x165667B19E3779F9u) ^ (k->at[3] * 0x27D4EB2F165667C5u);
    h = (h ^ h >> 31) * 0xD6E8FEB86659FD93u;
    return h ^ h >> 32;
}

/* The word's ids, at most SN_WORD_IDS; NULL: not known. */
static inline const SnTokShort *sn_tok_cache_find(const SnTokCache *c, uint64_t hash, const SnTokKey *k,
                                                  size_t n)
{
    SnTokShort *set = &c->few[2 * (hash & c->few_mask)];
    for (size_t i = 0; i < 2; i++) {
        const SnTokShort *s = &set[i];
        const uint64_t differs =
            (s->key[0] ^ k->at[0]) | (s->key[1] ^ k->at[1]) | (s->key[2] ^ k->at[2]) | (s->key[3] ^ k->at[3]);
        if (differs != 0 || s->size != n)
            continue;
        if (i == 1) {
            const SnTokShort older = set[0];
            set[0] = set[1];
            set[1] = older;
        }
        return &set[0];
    }
    return NULL;
}

/* A word that has more bytes or ids than that. */
const SnTokLong *sn_tok_cache_find_long(const SnTokCache *c, SnBytes word);
/* Keeps a word, n > 0, if it fits. */
void sn_tok_cache_keep(const SnTokCache *c, SnBytes word, const int32_t *id, size_t count);

#endif
