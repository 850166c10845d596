/* png.c -- PNG files (ISO/IEC 15948) of every depth and colour, and what Pillow's convert makes of their
 * pixels.
 *
 * Alpha and tRNS are dropped, as convert("RGB") drops them. Sixteen bits of colour become the higher eight;
 * of grey they are refused, as Pillow makes something else of them. Checksums of chunks are not looked at:
 * zlib has its own. */
#include "ops/media/picture.h"

#include "ops/media/codec.h"

#include <stdlib.h>

#define MOST        (INT64_C(1) << 24)
#define MOST_PLACES (INT64_C(1) << 28)
#define MOST_RATIO  1040 /* of deflate */

enum { GREY = 0, RGB = 2, PALETTE = 3, GREY_ALPHA = 4, RGB_ALPHA = 6 };

typedef struct Png {
    const SnAllocator *memory;
    const char *what;
    int64_t width, height;
    int depth, colour, interlaced, channels; /* channels: of the file */
    SnBytes palette;
    SnText data; /* all of IDAT, one behind the other */
    uint8_t *raw;
    size_t raw_size;
} Png;

static SnStatus bad(const Png *p, const char *why, SnError *err)
{
    return sn_fail(err, SN_EFORMAT, "%s: a PNG %s", p->what, why);
}

static uint32_t big(const uint8_t *at)
{
    return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

/* ---- chunks ---- */

static SnStatus read_header(Png *p, SnBytes s, SnError *err)
{
    static const uint8_t channels[] = {
        [GREY] = 1, [RGB] = 3, [PALETTE] = 1, [GREY_ALPHA] = 2, [RGB_ALPHA] = 4};
    if (s.n != 13)
        return bad(p, "whose header is no header", err);
    p->width = big(s.at);
    p->height = big(s.at + 4);
    p->depth = s.at[8];
    p->colour = s.at[9];
    p->interlaced = s.at[12];
    p->channels = p->colour <= RGB_ALPHA ? channels[p->colour] : 0;
    const int d = p->depth;
    const bool is_small = d == 1 || d == 2 || d == 4,
               fits = d == 8 || (d == 16 && p->colour != PALETTE) ||
                      (is_small && (p->colour == GREY || p->colour == PALETTE));
    if (!p->channels || !fits || s.at[10] || s.at[11] || p->interlaced > 1)
        return bad(p, "of no known form", err);
    if (p->width < 1 || p->height < 1 || p->width > MOST || p->height > MOST ||
        p->width * p->height > MOST_PLACES)
        return bad(p, "that is too large", err);
    SN_CHECK(d != 16 || p->colour == RGB || p->colour == RGB_ALPHA, err, SN_EUNSUPPORTED,
             "%s: a PNG of 16 bits of grey: not yet", p->what);
    return SN_OK;
}

static SnStatus read_chunks(Png *p, SnBytes s, SnError *err)
{
    static const char before[] = "\x89PNG\r\n\x1a\n";
    size_t at = sizeof before - 1;
    bool is_done = false;
    while (!is_done) {
        if (s.n - at < 12 || big(s.at + at) > s.n - at - 12)
            return bad(p, "that ends too early", err);
        const SnBytes chunk = {s.at + at + 8, big(s.at + at)};
        const char *name = (const char *)s.at + at + 4;
        if ((p->channels == 0) != (memcmp(name, "IHDR", 4) == 0))
            return bad(p, "whose header is no header", err);
        if (!p->channels)
            SN_TRY(read_header(p, chunk, err));
        else if (memcmp(name, "PLTE", 4) == 0)
            p->palette = chunk;
        else if (memcmp(name, "IDAT", 4) == 0)
            sn_text_add(&p->data, (const char *)chunk.at, chunk.n);
        is_done = memcmp(name, "IEND", 4) == 0;
        at += 12 + chunk.n;
    }
    SN_CHECK(!p->data.failed, err, SN_ENOMEM, "%s: no memory", p->what);
    return SN_OK;
}

/* ---- lines ---- */

/* Where the pixels of a pass stand, and how far apart: the whole image is the last row's. */
typedef struct Pass {
    uint8_t x, y, right, down;
} Pass;
static const Pass passes[] = {{0, 0, 8, 8}, {4, 0, 8, 8}, {0, 4, 4, 8}, {2, 0, 4, 4},
                              {0, 2, 2, 4}, {1, 0, 2, 2}, {0, 1, 1, 2}, {0, 0, 1, 1}};

static int64_t places(int64_t n, int first, int step)
{
    return n > first ? (n - first + step - 1) / step : 0;
}

static size_t line_size(const Png *p, int64_t width)
{
    return (size_t)(width * p->depth * p->channels + 7) / 8;
}

static int first_pass(const Png *p)
{
    return p->interlaced ? 0 : 7;
}

static int end_pass(const Png *p)
{
    return p->interlaced ? 7 : 8;
}

static SnStatus inflate_all(Png *p, SnError *err)
{
    size_t n = 0;
    for (int i = first_pass(p); i < end_pass(p); i++) {
        const int64_t w = places(p->width, passes[i].x, passes[i].right),
                      h = places(p->height, passes[i].y, passes[i].down);
        n += w ? (size_t)h * (1 + line_size(p, w)) : 0;
    }
    if (n / MOST_RATIO > p->data.n)
        return bad(p, "that ends too early", err);
    p->raw = sn_alloc(p->memory, n, 1);
    SN_CHECK(p->raw, err, SN_ENOMEM, "%s: no memory", p->what);
    p->raw_size = n;
    const SnStatus st =
        sn_codec_unpack(p->memory, SN_CODEC_GZIP, sn_bytes(p->data.at, p->data.n), p->raw, n, err);
    return st == SN_EFORMAT ? bad(p, "whose pixels are damaged", err) : st;
}

static uint8_t paeth(int a, int b, int c)
{
    const int to_a = abs(b - c), to_b = abs(a - c), to_c = abs(a + b - 2 * c);
    return (uint8_t)(to_a <= to_b && to_a <= to_c ? a : to_b <= to_c ? b : c);
}

/* A line as it was before its filter; above: NULL for the first one. */
static bool unfilter(uint8_t *line, const uint8_t *above, size_t n, size_t pixel, int filter)
{
    for (size_t i = 0; i < n; i++) {
        const int left = i >= pixel ? line[i - pixel] : 0, up = above ? above[i] : 0,
                  corner = above && i >= pixel ? above[i - pixel] : 0;
        const int add[] = {0, left, up, (left + up) / 2, paeth(left, up, corner)};
        if (filter > 4)
            return false;
        line[i] = (uint8_t)(line[i] + add[filter]);
    }
    return true;
}

static int sample(const Png *p, const uint8_t *line, int64_t i)
{
    const int d = p->depth;
    if (d >= 8)
        return line[i * (d / 8)];
    return line[i * d / 8] >> (8 - d - (int)(i * d % 8)) & ((1 << d) - 1);
}

static bool put_pixel(const Png *p, const uint8_t *line, int64_t i, int64_t channels, uint8_t *out)
{
    int c[3] = {sample(p, line, i * p->channels), 0, 0};
    const bool is_grey = p->colour == GREY || p->colour == GREY_ALPHA;
    if (p->colour == PALETTE) {
        const size_t at = 3 * (size_t)c[0];
        if (at + 3 > p->palette.n)
            return false;
        for (size_t k = 0; k < 3; k++)
            c[k] = p->palette.at[at + k];
    } else if (is_grey) {
        c[0] = c[1] = c[2] = p->depth < 8 ? c[0] * (255 / ((1 << p->depth) - 1)) : c[0];
    } else {
        c[1] = sample(p, line, i * p->channels + 1);
        c[2] = sample(p, line, i * p->channels + 2);
    }
    if (channels == 1) /* ITU-R 601-2, as Pillow rounds it */
        c[0] = is_grey ? c[0] : (c[0] * 19595 + c[1] * 38470 + c[2] * 7471 + 0x8000) >> 16;
    for (int64_t k = 0; k < channels; k++)
        out[k] = (uint8_t)c[k];
    return true;
}

static SnStatus put_pixels(const Png *p, SnPicture *out, SnError *err)
{
    uint8_t *at = p->raw;
    const size_t bits = (size_t)(p->depth * p->channels), pixel = bits < 8 ? 1 : bits / 8;
    for (int k = first_pass(p); k < end_pass(p); k++) {
        const Pass q = passes[k];
        const int64_t w = places(p->width, q.x, q.right), h = w ? places(p->height, q.y, q.down) : 0;
        const size_t size = line_size(p, w);
        const uint8_t *above = NULL;
        for (int64_t y = 0; y < h; y++, above = at + 1, at += 1 + size) {
            bool ok = unfilter(at + 1, above, size, pixel, at[0]);
            for (int64_t x = 0; ok && x < w; x++)
                ok = put_pixel(p, at + 1, x, out->channels,
                               out->at +
                                   ((q.y + y * q.down) * out->width + q.x + x * q.right) * out->channels);
            if (!ok)
                return bad(p, "with a line of no known form", err);
        }
    }
    return SN_OK;
}

SnStatus sn_picture_read(const SnAllocator *memory, SnBytes file, int64_t channels, const char *what,
                         SnPicture *out, SnError *err)
{
    Png p = {.memory = memory, .what = what, .data = {.memory = memory}};
    *out = (SnPicture){0};
    SN_CHECK(channels == 1 || channels == 3, err, SN_EUNSUPPORTED, "%s: images of %lld channels from files",
             what, (long long)channels);
    SN_CHECK(file.n >= 8 && memcmp(file.at, "\x89PNG\r\n\x1a\n", 8) == 0, err, SN_EUNSUPPORTED,
             "%s: no PNG file: other images are not read yet", what);
    SnStatus st = read_chunks(&p, file, err);
    if (st == SN_OK)
        st = inflate_all(&p, err);
    if (st == SN_OK)
        st = sn_picture_make(memory, p.height, p.width, channels, out, err);
    if (st == SN_OK)
        st = put_pixels(&p, out, err);
    if (st != SN_OK)
        sn_picture_clear(memory, out);
    sn_free(memory, p.raw, p.raw_size, 1);
    sn_text_clear(&p.data);
    return st;
}
