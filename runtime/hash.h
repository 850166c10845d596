/* hash.h -- XXH3 and a hash map from bytes to u32. */
#ifndef SN_HASH_H
#define SN_HASH_H

#include "runtime/bytes.h"

typedef struct SnHash128 {
    uint64_t lo, hi;
} SnHash128;
uint64_t sn_hash64(const void *at, size_t n, uint64_t seed);
SnHash128 sn_hash128(const void *at, size_t n, uint64_t seed);

/* Keys are borrowed. clear gives memory back. */
typedef struct SnMap {
    const SnAllocator *memory;
    struct SnMapSlot *slot;
    uint32_t n, cap; /* cap is a power of two */
} SnMap;
void sn_map_init(SnMap *m, const SnAllocator *memory);
void sn_map_clear(SnMap *m);
bool sn_map_get(const SnMap *m, SnBytes key, uint32_t *value);
bool sn_map_put(SnMap *m, SnBytes key, uint32_t value); /* replaces; false: no memory */

#endif
