/* picture.c -- images as bytes: made, and read from files of any kind that this build knows. */
#include "ops/media/picture_read.h"

#define MOST_ALL (INT64_C(1) << 30)

SnStatus sn_picture_make(const SnAllocator *memory, int64_t height, int64_t width, int64_t channels,
                         SnPicture *out, SnError *err)
{
    const bool fits = height > 0 && width > 0 && channels > 0 && channels <= 4 && height <= SN_PICTURE_MOST &&
                      width <= SN_PICTURE_MOST && height * width <= MOST_ALL / channels;
    *out = (SnPicture){0};
    SN_CHECK(fits, err, SN_EUNSUPPORTED, "an image of %lld x %lld", (long long)height, (long long)width);
    *out =
        (SnPicture){height, width, channels, sn_alloc_zero(memory, (size_t)(height * width * channels), 1)};
    SN_CHECK(out->at, err, SN_ENOMEM, "no memory for an image of %lld x %lld", (long long)height,
             (long long)width);
    return SN_OK;
}

void sn_picture_clear(const SnAllocator *memory, SnPicture *x)
{
    if (x->at)
        sn_free(memory, x->at, (size_t)(x->height * x->width * x->channels), 1);
    *x = (SnPicture){0};
}

/* ---- files ---- */

typedef SnStatus Read(const SnAllocator *memory, SnBytes file, const char *what, SnPicture *out,
                      SnError *err);

static const struct Kind {
    const char *name, *magic;
    Read *read; /* NULL: a build without its library */
} kinds[] = {
#ifdef SN_PNG
    {"PNG", "\x89PNG\r\n\x1a\n", sn_png_read},
#else
    {"PNG", "\x89PNG\r\n\x1a\n", NULL},
#endif
#ifdef SN_JPEG
    {"JPEG", "\xFF\xD8\xFF", sn_jpeg_read},
#else
    {"JPEG", "\xFF\xD8\xFF", NULL},
#endif
};

/* convert("L") of colours, ITU-R 601-2 as Pillow rounds it, or convert("RGB") of grey. */
static void convert(const SnPicture *in, SnPicture *out)
{
    for (int64_t i = 0; i < in->height * in->width; i++) {
        const uint8_t *c = in->at + i * in->channels;
        if (out->channels == 1)
            out->at[i] = (uint8_t)((c[0] * 19595 + c[1] * 38470 + c[2] * 7471 + 0x8000) >> 16);
        else
            memset(out->at + 3 * i, c[0], 3);
    }
}

SnStatus sn_picture_read(const SnAllocator *memory, SnBytes file, int64_t channels, const char *what,
                         SnPicture *out, SnError *err)
{
    const struct Kind *kind = NULL;
    SnPicture own = {0};
    *out = own;
    SN_CHECK(channels == 1 || channels == 3, err, SN_EUNSUPPORTED, "%s: images of %lld channels from files",
             what, (long long)channels);
    for (size_t i = 0; i < SN_COUNT(kinds) && !kind; i++)
        if (file.n >= strlen(kinds[i].magic) && memcmp(file.at, kinds[i].magic, strlen(kinds[i].magic)) == 0)
            kind = &kinds[i];
    SN_CHECK(kind, err, SN_EUNSUPPORTED, "%s: neither PNG nor JPEG: other images are not read yet", what);
    SN_CHECK(kind->read, err, SN_EUNSUPPORTED, "%s: a build without %s", what, kind->name);
    SN_TRY(kind->read(memory, file, what, &own, err));
    if (own.channels == channels) {
        *out = own;
        return SN_OK;
    }
    const SnStatus st = sn_picture_make(memory, own.height, own.width, channels, out, err);
    if (st == SN_OK)
        convert(&own, out);
    sn_picture_clear(memory, &own);
    return st;
}
