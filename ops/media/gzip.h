/* gzip.h -- .gz files, by zlib where the build has it. */
#ifndef SN_GZIP_H
#define SN_GZIP_H

#include "runtime/bytes.h"

bool sn_gzip_is(SnBytes file);
/* What all members of a .gz file hold, in a block of *size bytes that is aligned as max_align_t; path is for
 * messages. SN_EUNSUPPORTED in a build without zlib. */
SN_MUST_CHECK SnStatus sn_gzip_inflate(const SnAllocator *memory, const char *path, SnBytes file, void **out,
                                       size_t *size, SnError *err);

#endif
