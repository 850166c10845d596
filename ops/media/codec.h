/* codec.h -- compressed pages of data files, and compressed files, by the libraries that the build has. */
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

/* Whole files: gzip, bzip2, xz, zstd, by how they begin. What their streams hold goes to `put` a piece after
 * the other; path is for messages. A stream that is cut off or damaged, one that takes more than 128 MiB to
 * be read, one of more than 1 GiB that is 2,000 times as long as what it was made from are SN_EFORMAT or
 * SN_EUNSUPPORTED, and so is one that the build has no library for. */
typedef SnStatus SnUnpackFn(void *self, SnBytes piece, SnError *err);
bool sn_unpack_is(SnBytes file);
SN_MUST_CHECK SnStatus sn_unpack(const SnAllocator *memory, const char *path, SnBytes file, SnUnpackFn *put,
                                 void *self, SnError *err);

#endif
