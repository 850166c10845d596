/* word_cache.c -- words whose ids are known: longer ones, and keeping them. */
#include "ops/host/word_cache.h"

enum { UNIT = 16, LONGEST = 4096, LEAST = 1 << 14 };

typedef struct Record { /* in the ring: ids follow, then bytes; of whole units, never over the ring's end */
    uint32_t size, count;
} Record;

/* A part of 25: 16 for short words, 8 of ring, 1 of index. */
SnWordCache sn_word_cache(void *memo, size_t size)
{
    size_t few = LEAST;
    unsigned bits = 8;
    if (memo == NULL || size < 64 + LEAST / 16 * 25)
        return (SnWordCache){.few = NULL};
    for (; few <= (size - 64) / 50 * 16; few *= 2)
        bits++;
    uint8_t *at = (uint8_t *)memo + 64;
    return (SnWordCache){.few = (SnWordFew *)(void *)at,
                         .few_shift = 64 - bits,
                         .used = memo,
                         .index = (uint64_t *)(void *)(at + few),
                         .ring = at + few + few / 16,
                         .nindex = few / 16 / sizeof(uint64_t),
                         .nring = few / 2 / UNIT};
}

static SnWordFew *neighbour(const SnWordCache *c, SnWordFew *set)
{
    return &c->few[(size_t)(set - c->few) ^ 2];
}

bool sn_word_look(const SnWordCache *c, SnWordFew *set, SnWordKey k)
{
    SnWordFew *other = neighbour(c, set), *places[] = {&set[1], &other[0], &other[1]};
    for (size_t i = 0; i < SN_COUNT(places); i++) {
        const SnWordFew found = *places[i];
        if (!sn_word_is(&found, k))
            continue;
        *places[i] = set[1];
        set[1] = set[0];
        set[0] = found;
        return true;
    }
    return false;
}

size_t sn_word_put_many(const SnWordFew *w, int32_t *out)
{
    const uint64_t mask = (1u << SN_WORD_BITS) - 1;
    const size_t count = w->key.high >> SN_WORD_COUNT;
    if (count > SN_WORD_PACKED) {
        const size_t n = (size_t)w->id[3];
        for (size_t i = 0; i < SN_WORD_MOST; i++)
            out[i] = w->id[1];
        out[0] = w->id[0];
        out[n - 1] = w->id[2];
        return n;
    }
    uint64_t half[2];
    memcpy(half, w->id, sizeof half);
    for (unsigned i = 0; i < 3; i++) {
        out[i] = (int32_t)(half[0] >> i * SN_WORD_BITS & mask);
        out[3 + i] = (int32_t)(half[1] >> i * SN_WORD_BITS & mask);
    }
    out[6] = (int32_t)(half[0] >> 54 | half[1] >> 54 << 10);
    return count;
}

uint64_t sn_word_hash(SnBytes word)
{
    uint64_t h = word.n, other = 0, part = 0;
    size_t i = 0;
    if (word.n > LONGEST)
        return 0;
    for (; i + 2 * sizeof part < word.n; i += 2 * sizeof part) {
        memcpy(&part, word.at + i, sizeof part);
        h = (h ^ part ^ h >> 29) * 0x9E3779B97F4A7C15u;
        memcpy(&part, word.at + i + sizeof part, sizeof part);
        other = (other ^ part ^ other >> 29) * 0xC2B2AE3D27D4EB4Fu;
    }
    for (h ^= other; i + sizeof part < word.n; i += sizeof part) {
        memcpy(&part, word.at + i, sizeof part);
        h = (h ^ part ^ h >> 29) * 0x9E3779B97F4A7C15u;
    }
    if (word.n >= sizeof part)
        memcpy(&part, word.at + word.n - sizeof part, sizeof part);
    for (i = 0; i < word.n && word.n < sizeof part; i++)
        part = part << 8 | word.at[i];
    h = (h ^ part ^ h >> 29) * 0x9E3779B97F4A7C15u;
    return h ^ h >> 32;
}

static const SnWordFew *find_short(const SnWordCache *c, SnBytes word, size_t left)
{
    if (word.n > SN_WORD_SHORT)
        return NULL;
    const SnWordKey k = sn_word_key(word.at, word.n, left);
    return sn_word_find(c, sn_word_set(c, k), k);
}

/* The record of a word, and its ids; NULL: it is not there. */
static const uint8_t *find_long(const SnWordCache *c, uint64_t hash, SnBytes word, Record *r)
{
    const uint64_t *line = sn_word_line(c, hash);
    for (int i = 0; i < SN_WORD_LINE; i++) {
        const uint64_t place = (uint32_t)line[i];
        if (line[i] >> 32 != hash >> 32 || place >= *c->used || *c->used - place > c->nring)
            continue;
        const uint8_t *at = c->ring + (place & (c->nring - 1)) * UNIT;
        memcpy(r, at, sizeof *r);
        at += sizeof *r;
        if (r->size == word.n && memcmp(at + r->count * sizeof(int32_t), word.at, word.n) == 0)
            return at;
    }
    return NULL;
}

static void keep_long(const SnWordCache *c, SnBytes word, const int32_t *id, size_t count)
{
    const Record r = {(uint32_t)word.n, (uint32_t)count};
    const size_t n = (sizeof r + count * sizeof *id + word.n + UNIT - 1) / UNIT;
    const uint64_t hash = sn_word_hash(word);
    if (n > c->nring / 8)
        return;
    if (*c->used > UINT32_MAX - c->nring) { /* places have 32 bits */
        memset(c->index, 0, c->nindex * sizeof *c->index);
        *c->used = 0;
    }
    const size_t at = *c->used & (c->nring - 1);
    *c->used += at + n > c->nring ? c->nring - at : 0;
    uint64_t *line = sn_word_line(c, hash);
    memmove(line + 1, line, (SN_WORD_LINE - 1) * sizeof *line);
    line[0] = hash >> 32 << 32 | *c->used;
    uint8_t *to = c->ring + (*c->used & (c->nring - 1)) * UNIT;
    memcpy(to, &r, sizeof r);
    memcpy(to + sizeof r, id, count * sizeof *id);
    memcpy(to + sizeof r + count * sizeof *id, word.at, word.n);
    *c->used += n;
}

bool sn_word_has(const SnWordCache *c, SnBytes word, size_t left)
{
    Record r;
    return c->few != NULL &&
           (find_short(c, word, left) != NULL || find_long(c, sn_word_hash(word), word, &r) != NULL);
}

size_t sn_word_copy_long(const SnWordCache *c, uint64_t hash, SnBytes word, int32_t *out, size_t room)
{
    Record r;
    const uint8_t *ids = find_long(c, hash, word, &r);
    if (ids == NULL || r.count > room)
        return SIZE_MAX;
    memcpy(out, ids, r.count * sizeof *out);
    return r.count;
}

size_t sn_word_copy(const SnWordCache *c, SnBytes word, size_t left, int32_t *out, size_t room)
{
    if (c->few == NULL)
        return SIZE_MAX;
    const SnWordFew *few = room >= SN_WORD_MOST ? find_short(c, word, left) : NULL;
    return few != NULL ? sn_word_put(few, out) : sn_word_copy_long(c, sn_word_hash(word), word, out, room);
}

/* Returns what a key says for the count; 0: it does not fit. */
static uint64_t pack(const int32_t *id, size_t count, int32_t out[SN_WORD_IDS])
{
    uint64_t half[2] = {0, 0}, all = 0;
    bool is_run = count > SN_WORD_IDS && count <= SN_WORD_MOST;
    for (size_t i = 2; is_run && i + 1 < count; i++)
        is_run = id[i] == id[1];
    if (is_run) {
        memcpy(out, (int32_t[]){id[0], id[1], id[count - 1], (int32_t)count}, sizeof half);
        return 15;
    }
    if (count == 0 || count > SN_WORD_PACKED)
        return 0;
    if (count <= SN_WORD_IDS) {
        memcpy(out, id, count * sizeof *id);
        return count;
    }
    for (size_t i = 0; i < count; i++) {
        all |= (uint64_t)id[i];
        if (i < 6)
            half[i / 3] |= (uint64_t)id[i] << i % 3 * SN_WORD_BITS;
    }
    if (count == SN_WORD_PACKED) {
        half[0] |= (uint64_t)id[6] << 54;
        half[1] |= (uint64_t)id[6] >> 10 << 54;
    }
    memcpy(out, half, sizeof half);
    return all >> SN_WORD_BITS == 0 ? count : 0;
}

/* What falls out of a full set is found by the index. */
static void keep_short(const SnWordCache *c, SnBytes word, const SnWordFew *ids, uint64_t count)
{
    int32_t id[SN_WORD_MOST];
    SnWordKey k = sn_word_key(word.at, word.n, word.n);
    SnWordFew *set = sn_word_set(c, k), *other = neighbour(c, set), *last = &other[other[0].key.high != 0];
    const size_t size = last->key.high >> 56 & SN_WORD_SHORT;
    if (size > 0)
        keep_long(c, sn_bytes(&last->key, size), id, sn_word_put(last, id));
    *last = set[1];
    set[1] = set[0];
    set[0] = *ids;
    k.high |= count << SN_WORD_COUNT;
    set[0].key = k;
}

void sn_word_keep(const SnWordCache *c, SnBytes word, const int32_t *id, size_t count)
{
    SnWordFew few = {.key = {0, 0}};
    if (c->few == NULL || word.n > LONGEST || count > LONGEST)
        return;
    const uint64_t packed = word.n <= SN_WORD_SHORT ? pack(id, count, few.id) : 0;
    if (packed != 0)
        keep_short(c, word, &few, packed);
    else
        keep_long(c, word, id, count);
}
