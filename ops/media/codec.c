/* codec.c -- a row a codec: how its bytes are made longer, and shorter.
 *
 * Libraries get their memory from the allocator, where they ask for any: Snappy's compressor alone does not,
 * and is not used. */
#include "ops/media/codec.h"

#include <limits.h>

#define ALIGN _Alignof(max_align_t)

typedef struct Job {
    const SnAllocator *memory;
    SnBytes in;
    uint8_t *out;
    size_t size; /* of out */
} Job;

/* Both return how many bytes of out they wrote; SIZE_MAX: failed. */
typedef struct Codec {
    const char *name;
    size_t (*unpack)(const Job *j);
    size_t (*pack)(const Job *j);
    size_t (*bound)(size_t n);
} Codec;

void *sn_codec_take(const SnAllocator *memory, size_t size)
{
    uint8_t *at = sn_add_size(size, ALIGN, &size) ? sn_alloc(memory, size, ALIGN) : NULL;
    if (!at)
        return NULL;
    memcpy(at, &size, sizeof size);
    return at + ALIGN;
}

void sn_codec_give(const SnAllocator *memory, void *at)
{
    size_t size = 0;
    if (!at)
        return;
    memcpy(&size, (uint8_t *)at - ALIGN, sizeof size);
    sn_free(memory, (uint8_t *)at - ALIGN, size, ALIGN);
}

static size_t copy(const Job *j)
{
    if (j->in.n > j->size)
        return SIZE_MAX;
    if (j->in.n)
        memcpy(j->out, j->in.at, j->in.n);
    return j->in.n;
}

static size_t same_size(size_t n)
{
    return n;
}

#ifdef SN_SNAPPY
#include <snappy-c.h>

static size_t unpack_snappy(const Job *j)
{
    size_t n = j->size;
    const bool ok = snappy_uncompress((const char *)j->in.at, j->in.n, (char *)j->out, &n) == SNAPPY_OK;
    return ok ? n : SIZE_MAX;
}
#endif

#ifdef SN_ZLIB
#include <zlib.h>

static voidpf zlib_take(voidpf self, uInt n, uInt size)
{
    size_t bytes = 0;
    return sn_mul_size(n, size, &bytes) ? sn_codec_take(self, bytes) : NULL;
}

static void zlib_give(voidpf self, voidpf at)
{
    sn_codec_give(self, at);
}

static size_t unpack_gzip(const Job *j)
{
    enum { GZIP_OR_ZLIB = 32 + MAX_WBITS };
    z_stream z = {.zalloc = zlib_take, .zfree = zlib_give, .opaque = (voidpf)(uintptr_t)j->memory};
    if (j->in.n > UINT_MAX || j->size > UINT_MAX || inflateInit2(&z, GZIP_OR_ZLIB) != Z_OK)
        return SIZE_MAX;
    z.next_in = (Bytef *)(uintptr_t)j->in.at;
    z.avail_in = (uInt)j->in.n;
    z.next_out = j->out;
    z.avail_out = (uInt)j->size;
    const int result = inflate(&z, Z_FINISH);
    (void)inflateEnd(&z);
    return result == Z_STREAM_END && z.avail_in == 0 ? j->size - z.avail_out : SIZE_MAX;
}

static size_t pack_gzip(const Job *j)
{
    enum { GZIP = 16 + MAX_WBITS, MEMORY_LEVEL = 8 };
    z_stream z = {.zalloc = zlib_take, .zfree = zlib_give, .opaque = (voidpf)(uintptr_t)j->memory};
    if (j->in.n > UINT_MAX || j->size > UINT_MAX ||
        deflateInit2(&z, Z_DEFAULT_COMPRESSION, Z_DEFLATED, GZIP, MEMORY_LEVEL, Z_DEFAULT_STRATEGY) != Z_OK)
        return SIZE_MAX;
    z.next_in = (Bytef *)(uintptr_t)j->in.at;
    z.avail_in = (uInt)j->in.n;
    z.next_out = j->out;
    z.avail_out = (uInt)j->size;
    const int result = deflate(&z, Z_FINISH);
    (void)deflateEnd(&z);
    return result == Z_STREAM_END ? j->size - z.avail_out : SIZE_MAX;
}

static size_t bound_gzip(size_t n)
{
    enum { HEADER = 64 };
    return n + n / 1000 + HEADER;
}
#endif

#ifdef SN_BROTLI
#include <brotli/decode.h>

static void *brotli_take(void *self, size_t size)
{
    return sn_codec_take(self, size);
}

static void brotli_give(void *self, void *at)
{
    sn_codec_give(self, at);
}

static size_t unpack_brotli(const Job *j)
{
    void *self = (void *)(uintptr_t)j->memory;
    BrotliDecoderState *s = BrotliDecoderCreateInstance(brotli_take, brotli_give, self);
    size_t left = j->in.n, room = j->size;
    const uint8_t *from = j->in.at;
    uint8_t *to = j->out;
    const bool ok = s && BrotliDecoderDecompressStream(s, &left, &from, &room, &to, NULL) ==
                             BROTLI_DECODER_RESULT_SUCCESS;
    if (s)
        BrotliDecoderDestroyInstance(s);
    return ok && left == 0 ? j->size - room : SIZE_MAX;
}
#endif

#ifdef SN_LZ4
#include <lz4.h>

static size_t unpack_lz4(const Job *j)
{
    if (j->in.n > INT_MAX || j->size > INT_MAX)
        return SIZE_MAX;
    const int n = LZ4_decompress_safe((const char *)j->in.at, (char *)j->out, (int)j->in.n, (int)j->size);
    return n < 0 ? SIZE_MAX : (size_t)n;
}

static uint32_t big_endian(const uint8_t *at)
{
    return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

/* Frames of Hadoop: bytes of the whole, bytes of the part, the part. Other writers left them out. */
static size_t unpack_hadoop(const Job *j)
{
    size_t at = 0, n = 0;
    while (j->in.n - at >= 8) {
        const size_t whole = big_endian(j->in.at + at), part = big_endian(j->in.at + at + 4);
        if (part > j->in.n - at - 8 || whole > j->size - n)
            break;
        const Job one = {.in = {j->in.at + at + 8, part}, .out = j->out + n, .size = whole};
        if (unpack_lz4(&one) != whole)
            break;
        at += 8 + part;
        n += whole;
    }
    return at == j->in.n ? n : unpack_lz4(j);
}

static size_t pack_lz4(const Job *j)
{
    if (j->in.n > LZ4_MAX_INPUT_SIZE || j->size > INT_MAX)
        return SIZE_MAX;
    const int n = LZ4_compress_default((const char *)j->in.at, (char *)j->out, (int)j->in.n, (int)j->size);
    return n > 0 ? (size_t)n : SIZE_MAX;
}

static size_t bound_lz4(size_t n)
{
    return n > LZ4_MAX_INPUT_SIZE ? 0 : (size_t)LZ4_compressBound((int)n);
}
#endif

#ifdef SN_ZSTD
#define ZSTD_STATIC_LINKING_ONLY /* contexts in memory that is given */
#include <zstd.h>

enum { ZSTD_LEVEL = 1 };

static size_t unpack_zstd(const Job *j)
{
    const size_t size = ZSTD_estimateDCtxSize();
    void *room = sn_alloc(j->memory, size, ALIGN);
    ZSTD_DCtx *ctx = room ? ZSTD_initStaticDCtx(room, size) : NULL;
    const size_t n = ctx ? ZSTD_decompressDCtx(ctx, j->out, j->size, j->in.at, j->in.n) : SIZE_MAX;
    sn_free(j->memory, room, size, ALIGN);
    return ZSTD_isError(n) ? SIZE_MAX : n;
}

static size_t pack_zstd(const Job *j)
{
    const size_t size = ZSTD_estimateCCtxSize(ZSTD_LEVEL);
    void *room = sn_alloc(j->memory, size, ALIGN);
    ZSTD_CCtx *ctx = room ? ZSTD_initStaticCCtx(room, size) : NULL;
    const size_t n = ctx ? ZSTD_compressCCtx(ctx, j->out, j->size, j->in.at, j->in.n, ZSTD_LEVEL) : SIZE_MAX;
    sn_free(j->memory, room, size, ALIGN);
    return ZSTD_isError(n) ? SIZE_MAX : n;
}

static size_t bound_zstd(size_t n)
{
    return ZSTD_compressBound(n);
}
#endif

static const Codec codecs[] = {
    [SN_CODEC_NONE] = {"uncompressed", copy, copy, same_size},
#ifdef SN_SNAPPY
    [SN_CODEC_SNAPPY] = {"snappy", unpack_snappy, NULL, NULL},
#else
    [SN_CODEC_SNAPPY] = {"snappy", NULL, NULL, NULL},
#endif
#ifdef SN_ZLIB
    [SN_CODEC_GZIP] = {"gzip", unpack_gzip, pack_gzip, bound_gzip},
#else
    [SN_CODEC_GZIP] = {"gzip", NULL, NULL, NULL},
#endif
    [SN_CODEC_LZO] = {"lzo", NULL, NULL, NULL},
#ifdef SN_BROTLI
    [SN_CODEC_BROTLI] = {"brotli", unpack_brotli, NULL, NULL},
#else
    [SN_CODEC_BROTLI] = {"brotli", NULL, NULL, NULL},
#endif
#ifdef SN_LZ4
    [SN_CODEC_LZ4] = {"lz4", unpack_hadoop, NULL, NULL},
    [SN_CODEC_LZ4_RAW] = {"lz4", unpack_lz4, pack_lz4, bound_lz4},
#else
    [SN_CODEC_LZ4] = {"lz4", NULL, NULL, NULL},
    [SN_CODEC_LZ4_RAW] = {"lz4", NULL, NULL, NULL},
#endif
#ifdef SN_ZSTD
    [SN_CODEC_ZSTD] = {"zstd", unpack_zstd, pack_zstd, bound_zstd},
#else
    [SN_CODEC_ZSTD] = {"zstd", NULL, NULL, NULL},
#endif
};

bool sn_codec_writes(SnCodec c)
{
    return (size_t)c < SN_COUNT(codecs) && codecs[c].pack;
}

SnStatus sn_codec_unpack(const SnAllocator *memory, SnCodec c, SnBytes in, void *out, size_t size,
                         SnError *err)
{
    SN_CHECK((size_t)c < SN_COUNT(codecs), err, SN_EFORMAT, "compression %d is none that there is", (int)c);
    SN_CHECK(codecs[c].unpack, err, SN_EUNSUPPORTED, "this build does not read %s compression",
             codecs[c].name);
    const Job j = {memory, in, out, size};
    SN_CHECK(codecs[c].unpack(&j) == size, err, SN_EFORMAT, "%zu bytes of %s are damaged", in.n,
             codecs[c].name);
    return SN_OK;
}

SnStatus sn_codec_pack(SnCodec c, SnBytes in, SnText *out, SnError *err)
{
    SN_CHECK(sn_codec_writes(c), err, SN_EUNSUPPORTED, "this build does not write compression %d", (int)c);
    const size_t room = codecs[c].bound(in.n);
    SN_CHECK((room || !in.n) && sn_vec_reserve(out->memory, out, room + 1), err, SN_ENOMEM,
             "no memory to compress %zu bytes", in.n);
    const Job j = {out->memory, in, (uint8_t *)out->at + out->n, room};
    const size_t n = codecs[c].pack(&j);
    SN_CHECK(n != SIZE_MAX, err, SN_ENOMEM, "%zu bytes were not compressed", in.n);
    out->n += n;
    out->at[out->n] = '\0';
    return SN_OK;
}
