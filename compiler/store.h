/* store.h -- inside of the term store: what term.c, type.c and prims.c share. Internal to them. */
#ifndef SN_STORE_H
#define SN_STORE_H

#include "compiler/type.h"

/* Open-addressed table from hashes to ids; the caller compares what lies behind an id. */
typedef struct SnIndexSlot {
    uint32_t hash, id; /* id 0: free */
} SnIndexSlot;
typedef struct SnIndex {
    SnIndexSlot *slot;
    uint32_t n, cap; /* cap is a power of two */
} SnIndex;

/* The next id with this hash, 0 when there is none; *at starts as the hash and is the place to go on from. */
static inline uint32_t sn_index_next(const SnIndex *x, uint32_t hash, uint32_t *at)
{
    while (x->cap != 0) {
        const SnIndexSlot *slot = &x->slot[(*at)++ & (x->cap - 1)];
        if (slot->id == 0 || slot->hash == hash)
            return slot->id;
    }
    return 0;
}
bool sn_index_add(const SnAllocator *a, SnIndex *x, uint32_t hash, uint32_t id); /* false: no memory */

typedef struct SnAttrs {
    const SnAttr *at;
    int n;
} SnAttrs;

struct SnStore {
    SnContext *ctx;
    const SnAllocator *memory;
    SnArena arena;
    bool failed;
    SN_VEC(const SnTerm *) term; /* by ref; [0] is the error term */
    SN_VEC(uint16_t) dim_size;   /* by ref: terms in the tree of a dim; 0: no dim, or too large for one */
    SN_VEC(SnAttrs) attrs;       /* by id; [0] is none */
    SN_VEC(const char *) string; /* by id; [0] is unused */
    SN_VEC(const SnType *) type; /* by id; [0] is the zero type */
    SnIndex term_index, attrs_index, string_index, type_index;
};

#define SN_MAX_DIM_SIZE 512

/* Chains hashes of parts. */
static inline uint32_t sn_hash_more(uint32_t hash, const void *at, size_t n)
{
    return (uint32_t)sn_hash64(at, n, hash);
}

#endif
