/* cache.h -- the one blob store on disk: kernels, packed weights, tokenizer tables, OpenCL binaries.
 *
 * A key is a hash of everything the blob depends on. The folder is the context's cache_dir; it is made with
 * mode 0700 and not used unless it belongs to the caller and to nobody else. A cache never makes work fail:
 * what cannot be had or kept is a false, and a line in the log. */
#ifndef SN_CACHE_H
#define SN_CACHE_H

#include "runtime/hash.h"

/* Lends *blob until *file is released. It is mapped, 64-byte aligned, and its checksum was right. */
bool sn_cache_get(SnContext *ctx, SnHash128 key, SnFile **file, SnBytes *blob);
bool sn_cache_put(SnContext *ctx, SnHash128 key, SnBytes blob);

/* A large blob that is made where it stays: a file, begun, filled, and committed or given up. One of a size
 * that is known is mapped and filled in any order; one of a size that is not grows a part at a time. */
typedef struct SnCacheDraft {
    uint8_t *at; /* the blob: zeros, 64-byte aligned; NULL: it grows */
    size_t size;
    SnHash128 key;
    bool is_lent; /* committed, it gets no name: it serves this once */
    int fd;       /* of one that grows */
    uint8_t *map;
    SnText path, name; /* of the blob; of the file until it is committed */
} SnCacheDraft;
bool sn_cache_begin(SnContext *ctx, SnHash128 key, size_t size, SnCacheDraft *out);
bool sn_cache_begin_growing(SnContext *ctx, SnHash128 key, SnCacheDraft *out);
/* false: there is no room; size is as it was. What is there can still be committed, and is lent then. */
bool sn_cache_grow(SnCacheDraft *draft, SnBytes part);
/* The draft is gone in both cases. Lends as sn_cache_get does; false: the blob is lost. One of more than half
 * of SN_CACHE_BYTES gets no name. */
bool sn_cache_commit(SnContext *ctx, SnCacheDraft *draft, SnFile **file, SnBytes *blob);
void sn_cache_give_up(SnCacheDraft *draft);

#define SN_CACHE_BYTES (UINT64_C(16) << 30) /* what committing a draft prunes the cache to */
/* Removes the blobs that were not used for longest until the rest is at most limit bytes. */
void sn_cache_prune(SnContext *ctx, uint64_t limit);

#endif
