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
/* Removes the blobs that were not used for longest until the rest is at most limit bytes. */
void sn_cache_prune(SnContext *ctx, uint64_t limit);

#endif
