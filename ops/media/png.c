/* png.c -- PNG files, by libpng: samples of eight bits, as Pillow gives them.
 *
 * Alpha and tRNS are dropped, as convert("RGB") drops them. Sixteen bits of colour become the higher eight;
 * of grey they are refused, as Pillow makes something else of them. */
#include "ops/media/picture_read.h"

#ifdef SN_PNG
#include "ops/media/codec.h"

#include <png.h>

#define MOST_RATIO 1040 /* of deflate */

typedef struct Reader {
    const SnAllocator *memory;
    SnBytes left;
    const char *what;
    SnError *err;
    SnPicture out;
    uint8_t **line;
} Reader;

static void read_some(png_structp png, png_bytep out, size_t n)
{
    Reader *r = png_get_io_ptr(png);
    if (n > r->left.n)
        png_error(png, "the file ends too early");
    memcpy(out, r->left.at, n);
    r->left = sn_bytes(r->left.at + n, r->left.n - n);
}

static void fail(png_structp png, const char *message)
{
    const Reader *r = png_get_error_ptr(png);
    (void)sn_fail(r->err, SN_EFORMAT, "%s: a PNG: %s", r->what, message);
    png_longjmp(png, 1);
}

static void warn(png_structp png, const char *message)
{
    (void)png;
    (void)message;
}

static void *take(png_structp png, png_alloc_size_t n)
{
    return sn_codec_take(png_get_mem_ptr(png), n);
}

static void give(png_structp png, void *at)
{
    sn_codec_give(png_get_mem_ptr(png), at);
}

/* Places, and how they are to be given. The pixels cannot be more than the file could hold. */
static SnStatus begin(Reader *r, png_structp png, png_infop info, size_t size, SnError *err)
{
    png_read_info(png, info);
    const int64_t w = png_get_image_width(png, info), h = png_get_image_height(png, info);
    const int depth = png_get_bit_depth(png, info), colour = png_get_color_type(png, info);
    const bool is_grey = !(colour & PNG_COLOR_MASK_COLOR);
    SN_CHECK(depth < 16 || !is_grey, err, SN_EUNSUPPORTED, "%s: a PNG of 16 bits of grey: not yet", r->what);
    SN_CHECK((uint64_t)w * (uint64_t)h / 8 / MOST_RATIO <= size, err, SN_EFORMAT,
             "%s: a PNG: %lld x %lld pixels in %zu bytes", r->what, (long long)w, (long long)h, size);
    SN_TRY(sn_picture_make(r->memory, h, w, is_grey ? 1 : 3, &r->out, err));
    if (colour == PNG_COLOR_TYPE_PALETTE)
        png_set_palette_to_rgb(png);
    else if (is_grey && depth < 8)
        png_set_expand_gray_1_2_4_to_8(png);
    png_set_strip_16(png);
    png_set_strip_alpha(png);
    (void)png_set_interlace_handling(png);
    png_read_update_info(png, info);
    SN_CHECK(png_get_rowbytes(png, info) == (size_t)(w * r->out.channels), err, SN_EINTERNAL,
             "%s: a PNG: %zu bytes a line", r->what, png_get_rowbytes(png, info));
    r->line = sn_alloc(r->memory, (size_t)h * sizeof *r->line, sizeof *r->line);
    SN_CHECK(r->line, err, SN_ENOMEM, "%s: no memory", r->what);
    for (int64_t y = 0; y < h; y++)
        r->line[y] = r->out.at + y * w * r->out.channels;
    return SN_OK;
}

/* fail() comes back here. */
static SnStatus read_all(Reader *r, png_structp png, png_infop info, size_t size, SnError *err)
{
    if (setjmp(png_jmpbuf(png)))
        return SN_EFORMAT;
    SN_TRY(begin(r, png, info, size, err));
    png_read_image(png, r->line);
    png_read_end(png, NULL);
    return SN_OK;
}

SnStatus sn_png_read(const SnAllocator *memory, SnBytes file, const char *what, SnPicture *out, SnError *err)
{
    Reader r = {.memory = memory, .left = file, .what = what, .err = err};
    void *self = (void *)(uintptr_t)memory;
    png_structp png = png_create_read_struct_2(PNG_LIBPNG_VER_STRING, &r, fail, warn, self, take, give);
    png_infop info = png ? png_create_info_struct(png) : NULL;
    SnStatus st = info ? SN_OK : sn_fail(err, SN_ENOMEM, "%s: no memory", what);
    if (st == SN_OK) {
        png_set_read_fn(png, &r, read_some);
        png_set_user_limits(png, SN_PICTURE_MOST, SN_PICTURE_MOST);
        st = read_all(&r, png, info, file.n, err);
    }
    if (r.line)
        sn_free(memory, r.line, (size_t)r.out.height * sizeof *r.line, sizeof *r.line);
    png_destroy_read_struct(&png, &info, NULL);
    if (st != SN_OK)
        sn_picture_clear(memory, &r.out);
    *out = r.out;
    return st;
}
#endif
