/* word_cache.c -- words whose ids are known: long ones, and keeping them. */
#include "ops/host/word_cache.h"

static SnTokLong *place_of(const SnTokCache *c, SnBytes word)
{
    uint64_t h = word.n;
    size_t i = 0;
    for (uint64_t part; i + sizeof part <= word.n; i += sizeof part) {
        memcpy(&part, word.at + i, sizeof part);
        h = (h ^ part ^ h >> 29) * 0x9E3779B97F4A7C15u;
    }
    for (; i < word.n; i++)
        h = (h ^ word.at[i] ^ h >> 29) * 0x9E3779B97F4A7C15u;
    return &c->many[(h ^ h >> 32) & c->many_mask];
}

const SnTokLong *sn_tok_cache_find_long(const SnTokCache *c, SnBytes word)
{
    if (c->few == NULL || word.n > SN_WORD_LONG)
        return NULL;
    const SnTokLong *s = place_of(c, word);
    return s->size == word.n && memcmp(s->key, word.at, word.n) == 0 ? s : NULL;
}

void sn_tok_cache_keep(const SnTokCache *c, SnBytes word, const int32_t *id, size_t count)
{
    if (c->few == NULL || word.n > SN_WORD_LONG || count > SN_WORD_LONG_IDS)
        return;
    if (word.n > SN_WORD_SHORT || count > SN_WORD_IDS) {
        SnTokLong *s = place_of(c, word);
        memcpy(s->key, word.at, word.n);
        memcpy(s->id, id, count * sizeof *id);
        s->size = (uint16_t)word.n;
        s->count = (uint16_t)count;
        return;
    }
    const SnTokKey k = sn_tok_key(word.at, word.n, word.n);
    SnTokShort *set = &c->few[2 * (sn_tok_key_hash(&k) & c->few_mask)];
    set[1] = set[0];
    memcpy(set[0].key, k.at, sizeof set[0].key);
    memcpy(set[0].id, id, count * sizeof *id);
    set[0].size = (uint16_t)word.n;
    set[0].count = (uint16_t)count;
}
