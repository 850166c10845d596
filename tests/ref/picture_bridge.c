/* picture_bridge.c -- for pictures.py: an image file read, and bytes in another size. Both give 0 where they fail. */
#include "ops/media/picture.h"

SN_API int picture_read(const uint8_t *file, size_t n, int64_t channels, uint8_t *out, int64_t size[2]);
SN_API int picture_resize(uint8_t *in, const int64_t from[3], const int64_t to[2], int how, uint8_t *out);

static SnContext *ctx;

static const SnAllocator *memory(void)
{
    return ctx || sn_context_create(NULL, &ctx, NULL) == SN_OK ? sn_allocator(ctx) : NULL;
}

static int give(SnPicture *x, uint8_t *out, int64_t size[2])
{
    size[0] = x->height;
    size[1] = x->width;
    memcpy(out, x->at, (size_t)(x->height * x->width * x->channels));
    sn_picture_clear(memory(), x);
    return 1;
}

int picture_read(const uint8_t *file, size_t n, int64_t channels, uint8_t *out, int64_t size[2])
{
    SnPicture x;
    return memory() && sn_picture_read(memory(), sn_bytes(file, n), channels, "file", &x, NULL) == SN_OK
               ? give(&x, out, size)
               : 0;
}

int picture_resize(uint8_t *in, const int64_t from[3], const int64_t to[2], int how, uint8_t *out)
{
    const SnPicture x = {from[0], from[1], from[2], in};
    SnPicture y;
    int64_t size[2];
    return memory() && sn_picture_resize(memory(), &x, to[0], to[1], (SnResample)how, &y, NULL) == SN_OK
               ? give(&y, out, size)
               : 0;
}
