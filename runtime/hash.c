/* hash.c -- XXH3 (header-only, by Yann Collet) and a hash map with linear probing, at most 3/4 full. */
#include "runtime/hash.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

uint64_t sn_hash64(const void *at, size_t n, uint64_t seed)
{
    return XXH3_64bits_withSeed(at, n, seed);
}

SnHash128 sn_hash128(const void *at, size_t n, uint64_t seed)
{
    const XXH128_hash_t h = XXH3_128bits_withSeed(at, n, seed);
    return (SnHash128){h.low64, h.high64};
}

struct SnMapSlot {
    SnBytes key;
    uint32_t hash, value;
    bool is_used;
};

void sn_map_init(SnMap *m, const SnAllocator *memory)
{
    *m = (SnMap){.memory = memory};
}

void sn_map_clear(SnMap *m)
{
    sn_free(m->memory, m->slot, m->cap * sizeof *m->slot, _Alignof(struct SnMapSlot));
    sn_map_init(m, m->memory);
}

/* The slot of key, or the free one where it belongs. */
static struct SnMapSlot *find_slot(const SnMap *m, SnBytes key, uint32_t hash)
{
    uint32_t i = hash & (m->cap - 1);
    while (m->slot[i].is_used && (m->slot[i].hash != hash || !sn_bytes_equal(m->slot[i].key, key)))
        i = (i + 1) & (m->cap - 1);
    return &m->slot[i];
}

static bool map_grow(SnMap *m)
{
    SnMap bigger = {.memory = m->memory, .n = m->n, .cap = m->cap != 0 ? m->cap * 2 : 16};
    size_t size;
    if (bigger.cap == 0 || !sn_mul_size(bigger.cap, sizeof *m->slot, &size))
        return false;
    bigger.slot = (struct SnMapSlot *)sn_alloc_zero(m->memory, size, _Alignof(struct SnMapSlot));
    if (bigger.slot == NULL)
        return false;
    for (uint32_t i = 0; i < m->cap; i++)
        if (m->slot[i].is_used)
            *find_slot(&bigger, m->slot[i].key, m->slot[i].hash) = m->slot[i];
    sn_map_clear(m);
    *m = bigger;
    return true;
}

bool sn_map_get(const SnMap *m, SnBytes key, uint32_t *value)
{
    if (m->n == 0)
        return false;
    const struct SnMapSlot *s = find_slot(m, key, (uint32_t)sn_hash64(key.at, key.n, 0));
    if (!s->is_used)
        return false;
    *value = s->value;
    return true;
}

bool sn_map_put(SnMap *m, SnBytes key, uint32_t value)
{
    if (m->n >= m->cap / 4 * 3 && !map_grow(m))
        return false;
    const uint32_t hash = (uint32_t)sn_hash64(key.at, key.n, 0);
    struct SnMapSlot *s = find_slot(m, key, hash);
    if (!s->is_used)
        m->n++;
    *s = (struct SnMapSlot){key, hash, value, true};
    return true;
}
