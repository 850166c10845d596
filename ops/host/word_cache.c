/* word_cache.c -- words whose ids are known: longer ones, and keeping them. */
#include "ops/host/word_cache.h"

enum { LONG = 128, LONGEST = 512 };

typedef struct Head {     /* of a longer entry: its ids follow, then its bytes */
    uint16_t size, count; /* size 0: free */
} Head;

SnWordCache sn_word_cache(void *memo, size_t size)
{
    enum { PART = 32 }; /* of n sets of longer words: twice as many of short ones, a part of the longest */
    const size_t of_n = 2 * (2 * sizeof(SnWordFew) + LONG + LONGEST / PART);
    size_t n = PART;
    unsigned bits = 6;
    if (memo == NULL || size < PART * of_n)
        return (SnWordCache){.few = NULL};
    for (; 2 * n * of_n <= size; n *= 2)
        bits++;
    uint8_t *sets = (uint8_t *)memo + 4 * n * sizeof(SnWordFew);
    return (SnWordCache){.few = memo,
                         .few_shift = 64 - bits,
                         .more = {{sets, LONG, n - 1}, {sets + 2 * n * LONG, LONGEST, n / PART - 1}}};
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

static uint64_t hash_of(SnBytes word)
{
    uint64_t h = word.n, part;
    size_t i = 0;
    for (; i + sizeof part <= word.n; i += sizeof part) {
        memcpy(&part, word.at + i, sizeof part);
        h = (h ^ part ^ h >> 29) * 0x9E3779B97F4A7C15u;
    }
    for (part = 0; i < word.n; i++)
        part = part << 8 | word.at[i];
    h = (h ^ part ^ h >> 29) * 0x9E3779B97F4A7C15u;
    return h ^ h >> 32;
}

static uint8_t *set_of(const SnWordSets *s, uint64_t hash)
{
    return s->at + 2 * s->size * (size_t)(hash & s->mask);
}

/* The entry of a word among these; NULL: it is not there. */
static const uint8_t *find_in(const SnWordSets *s, uint64_t hash, SnBytes word, Head *head)
{
    const uint8_t *entry = set_of(s, hash);
    for (int way = 0; way < 2; way++, entry += s->size) {
        memcpy(head, entry, sizeof *head);
        if (head->size == word.n &&
            memcmp(entry + sizeof *head + head->count * sizeof(int32_t), word.at, word.n) == 0)
            return entry;
    }
    return NULL;
}

void sn_word_fetch(const SnWordCache *c, SnBytes word)
{
    if (word.n > LONGEST)
        return;
    const uint8_t *set = set_of(&c->more[0], hash_of(word));
    sn_prefetch(set);
    sn_prefetch(set + LONG);
}

static const SnWordFew *find_short(const SnWordCache *c, SnBytes word, size_t left)
{
    if (word.n > SN_WORD_SHORT)
        return NULL;
    const SnWordKey k = sn_word_key(word.at, word.n, left);
    return sn_word_find(c, sn_word_set(c, k), k);
}

static const uint8_t *find_long(const SnWordCache *c, SnBytes word, Head *head)
{
    const uint64_t hash = hash_of(word);
    const uint8_t *entry = find_in(&c->more[0], hash, word, head);
    return entry != NULL ? entry : find_in(&c->more[1], hash, word, head);
}

bool sn_word_has(const SnWordCache *c, SnBytes word, size_t left)
{
    Head head;
    return c->few != NULL && word.n <= LONGEST &&
           (find_short(c, word, left) != NULL || find_long(c, word, &head) != NULL);
}

size_t sn_word_copy(const SnWordCache *c, SnBytes word, size_t left, int32_t *out, size_t room)
{
    Head head;
    if (c->few == NULL || word.n > LONGEST)
        return SIZE_MAX;
    const SnWordFew *few = room >= SN_WORD_MOST ? find_short(c, word, left) : NULL;
    if (few != NULL)
        return sn_word_put(few, out);
    const uint8_t *entry = find_long(c, word, &head);
    if (entry == NULL || head.count > room)
        return SIZE_MAX;
    memcpy(out, entry + sizeof head, head.count * sizeof *out);
    return head.count;
}

/* false: there are too many ids, or too large ones. */
static bool pack(const int32_t *id, size_t count, int32_t out[SN_WORD_IDS])
{
    uint64_t half[2] = {0, 0}, all = 0;
    if (count <= SN_WORD_IDS) {
        memcpy(out, id, count * sizeof *id);
        return true;
    }
    if (count > SN_WORD_MOST)
        return false;
    for (size_t i = 0; i < count; i++) {
        all |= (uint64_t)id[i];
        if (i < 6)
            half[i / 3] |= (uint64_t)id[i] << i % 3 * SN_WORD_BITS;
    }
    if (count == SN_WORD_MOST) {
        half[0] |= (uint64_t)id[6] << 54;
        half[1] |= (uint64_t)id[6] >> 10 << 54;
    }
    memcpy(out, half, sizeof half);
    return all >> SN_WORD_BITS == 0;
}

static void keep_short(const SnWordCache *c, SnBytes word, const SnWordFew *ids, size_t count)
{
    SnWordKey k = sn_word_key(word.at, word.n, word.n);
    SnWordFew *set = sn_word_set(c, k), *other = neighbour(c, set);
    other[other[0].key.high != 0] = set[1];
    set[1] = set[0];
    set[0] = *ids;
    k.high |= (uint64_t)count << SN_WORD_COUNT;
    set[0].key = k;
}

void sn_word_keep(const SnWordCache *c, SnBytes word, const int32_t *id, size_t count)
{
    SnWordFew few = {.key = {0, 0}};
    if (c->few == NULL || word.n > LONGEST || count > LONGEST)
        return;
    if (word.n <= SN_WORD_SHORT && pack(id, count, few.id)) {
        keep_short(c, word, &few, count);
        return;
    }
    const size_t size = sizeof(Head) + count * sizeof *id + word.n;
    const SnWordSets *s = &c->more[size > LONG];
    if (size > s->size)
        return;
    uint8_t *entry = set_of(s, hash_of(word));
    const Head head = {(uint16_t)word.n, (uint16_t)count};
    memcpy(entry + s->size, entry, s->size);
    memcpy(entry, &head, sizeof head);
    memcpy(entry + sizeof head, id, count * sizeof *id);
    memcpy(entry + sizeof head + count * sizeof *id, word.at, word.n);
}
