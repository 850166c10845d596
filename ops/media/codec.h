/* codec.h -- compressed pages of data files, and .gz files, by the libraries that the build has. */
#ifndef SN_CODEC_H
#define SN_CODEC_H

#include "runtime/bytes.h"

typedef enum SnCodec { /* numbers of Parquet's CompressionCodec */
                       SN_CODEC_NONE = 0,
                       SN_CODEC_SNAPPY = 1,
                       SN_CODEC_GZIP = 2,
                       SN_CODEC_LZO = 3,
                       SN_CODEC_BROTLI = 4,
                       SN_CODEC_LZ4 = 5, /* Hadoop's frames */
                       SN_CODEC_ZSTD = 6,
                       SN_CODEC_LZ4_RAW = 7
} SnCodec;

/* Blocks that know their size, for libraries that free without saying it. */
void *sn_codec_take(const SnAllocator *memory, size_t size);
void sn_codec_give(const SnAllocator *memory, void *at); /* may be NULL */

bool sn_codec_writes(SnCodec c); /* does this build? */
/* Exactly `size` bytes from all of `in`. The error names the codec where the build has not got it. */
SN_MUST_CHECK SnStatus sn_codec_unpack(const SnAllocator *memory, SnCodec c, SnBytes in, void *out,
                                       size_t size, SnError *err);
/* Appends to `out`. SN_EUNSUPPORTED: a codec that is only read. */
SN_MUST_CHECK SnStatus sn_codec_pack(SnCodec c, SnBytes in, SnText *out, SnError *err);

bool sn_gzip_is(SnBytes file);
/* What all members of a .gz file hold, in a block of *size bytes that is aligned as max_align_t; path is for
 * messages. SN_EUNSUPPORTED in a build without zlib. */
SN_MUST_CHECK SnStatus sn_gzip_inflate(const SnAllocator *memory, const char *path, SnBytes file, void **out,
                                       size_t *size, SnError *err);

#endif
