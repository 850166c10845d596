/* word_cache.c -- words whose ids are known: longer ones, and keeping them. */
#include "ops/host/word_cache.h"

enum { LONG = 128, LONGEST = 256 };

typedef struct Head {     /* of a longer entry: its ids follow, then its bytes */
    uint16_t size, count; /* size 0: free */
} Head;

SnWordCache sn_word_cache(void *memo, size_t size)
{
    enum { PART = 16 }; /* of n sets of longer words: twice as many of short ones, a part of the longest */
    const size_t of_n = 2 * (2 * sizeof(SnWordFew) + LONG + LONGEST / PART);
    size_t n = PART;
    unsigned bits = 5;
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

/* The ids of a word, *count of them; NULL: not known. */
static const void *find(const SnWordCache *c, SnBytes word, size_t left, size_t *count)
{
    if (c->few == NULL || word.n > LONGEST)
        return NULL;
    if (word.n <= SN_WORD_SHORT) {
        const SnWordKey k = sn_word_key(word.at, word.n, left);
        const int32_t *id = sn_word_find(c, sn_word_set(c, k), k, count);
        if (id != NULL)
            return id;
    }
    const uint64_t hash = hash_of(word);
    for (size_t i = 0; i < SN_COUNT(c->more); i++) {
        Head head;
        const uint8_t *entry = find_in(&c->more[i], hash, word, &head);
        *count = head.count;
        if (entry != NULL)
            return entry + sizeof head;
    }
    return NULL;
}

bool sn_word_has(const SnWordCache *c, SnBytes word, size_t left)
{
    size_t count;
    return find(c, word, left, &count) != NULL;
}

size_t sn_word_copy(const SnWordCache *c, SnBytes word, size_t left, int32_t *out, size_t room)
{
    size_t count;
    const void *id = find(c, word, left, &count);
    if (id == NULL || count > room)
        return SIZE_MAX;
    memcpy(out, id, count * sizeof *out);
    return count;
}

static void keep_short(const SnWordCache *c, SnBytes word, const int32_t *id, size_t count)
{
    SnWordKey k = sn_word_key(word.at, word.n, word.n);
    SnWordFew *set = sn_word_set(c, k);
    neighbour(c, set)[1] = set[1];
    set[1] = set[0];
    k.high |= (uint64_t)count << SN_WORD_COUNT;
    set[0].key = k;
    memcpy(set[0].id, id, count * sizeof *id);
}

void sn_word_keep(const SnWordCache *c, SnBytes word, const int32_t *id, size_t count)
{
    if (c->few == NULL || word.n > LONGEST || count > LONGEST)
        return;
    if (word.n <= SN_WORD_SHORT && count <= SN_WORD_IDS) {
        keep_short(c, word, id, count);
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
