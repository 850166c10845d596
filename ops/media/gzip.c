/* gzip.c -- .gz files, by zlib where the build has it. */
#include "ops/media/gzip.h"

#include <limits.h>

#define ALIGN _Alignof(max_align_t)

bool sn_gzip_is(SnBytes file)
{
    return file.n > 2 && file.at[0] == 0x1F && file.at[1] == 0x8B;
}

#ifdef SN_ZLIB
#include <zlib.h>

static voidpf take_memory(voidpf self, uInt n, uInt size)
{
    size_t bytes = 0;
    if (!sn_mul_size(n, size, &bytes) || !sn_add_size(bytes, ALIGN, &bytes))
        return NULL;
    uint8_t *at = sn_alloc_zero(self, bytes, ALIGN);
    if (!at)
        return NULL;
    memcpy(at, &bytes, sizeof bytes);
    return at + ALIGN;
}

static void give_memory(voidpf self, voidpf at)
{
    size_t bytes = 0;
    memcpy(&bytes, (uint8_t *)at - ALIGN, sizeof bytes);
    sn_free(self, (uint8_t *)at - ALIGN, bytes, ALIGN);
}

/* The next piece of input to the next room of the output, which grows when it is full. */
static int inflate_more(z_stream *z, const SnAllocator *memory, SnBytes *left, uint8_t **to, size_t *n,
                        size_t *cap)
{
    if (*n == *cap) {
        size_t more = 0;
        uint8_t *at = sn_mul_size(*cap, 2, &more) ? sn_resize(memory, *to, *cap, more, ALIGN) : NULL;
        if (!at)
            return Z_MEM_ERROR;
        *to = at;
        *cap = more;
    }
    const uInt in = left->n < INT_MAX ? (uInt)left->n : INT_MAX;
    const uInt room = *cap - *n < INT_MAX ? (uInt)(*cap - *n) : INT_MAX;
    z->next_in = (Bytef *)(uintptr_t)left->at;
    z->avail_in = in;
    z->next_out = *to + *n;
    z->avail_out = room;
    const int result = inflate(z, Z_NO_FLUSH);
    *left = sn_bytes(left->at + (in - z->avail_in), left->n - (in - z->avail_in));
    *n += room - z->avail_out;
    return result;
}

SnStatus sn_gzip_inflate(const SnAllocator *memory, const char *path, SnBytes file, void **out, size_t *size,
                         SnError *err)
{
    z_stream z = {.zalloc = take_memory, .zfree = give_memory, .opaque = (voidpf)(uintptr_t)memory};
    size_t cap = 65536, n = 0;
    uint8_t *to = sn_alloc(memory, cap, ALIGN);
    const bool begun = to && inflateInit2(&z, 16 + MAX_WBITS) == Z_OK;
    int result = begun ? Z_OK : Z_MEM_ERROR;
    for (SnBytes left = file; result == Z_OK;) {
        result = inflate_more(&z, memory, &left, &to, &n, &cap);
        if (result == Z_STREAM_END && sn_gzip_is(left))
            result = inflateReset(&z);
        else if (result == Z_BUF_ERROR && n == cap)
            result = Z_OK;
    }
    if (begun)
        (void)inflateEnd(&z);
    uint8_t *fitted = result == Z_STREAM_END ? sn_resize(memory, to, cap, n ? n : 1, ALIGN) : NULL;
    if (fitted) {
        *out = fitted;
        *size = n;
        return SN_OK;
    }
    sn_free(memory, to, cap, ALIGN);
    return result == Z_MEM_ERROR || result == Z_STREAM_END
               ? sn_fail(err, SN_ENOMEM, "%s: no memory", path)
               : sn_fail(err, SN_EFORMAT, "%s: damaged or cut off after %zu bytes that were decompressed",
                         path, n);
}

#else

SnStatus sn_gzip_inflate(const SnAllocator *memory, const char *path, SnBytes file, void **out, size_t *size,
                         SnError *err)
{
    (void)memory, (void)file, (void)out, (void)size;
    return sn_fail(err, SN_EUNSUPPORTED, "%s: this build has no zlib for .gz files", path);
}

#endif
