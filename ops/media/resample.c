/* resample.c -- images in other sizes: along rows and along columns, each with weights of 22 binary places.
 *
 * What a pixel sums, and how its weights are rounded, is as in Pillow's Resample.c and Geometry.c, so that
 * the bytes are the same. */
#include "ops/media/picture.h"

#include <math.h>

#define PLACES 22 /* of weights: 32 bits less those of a byte, less two for what is beyond it */
#define PI     3.14159265358979323846

/* ---- filters ---- */

static double box(double x)
{
    return x > -0.5 && x <= 0.5 ? 1 : 0;
}

static double triangle(double x)
{
    x = fabs(x);
    return x < 1 ? 1 - x : 0;
}

static double hamming(double x)
{
    x = fabs(x);
    if (x == 0)
        return 1;
    return x >= 1 ? 0 : sin(x * PI) / (x * PI) * (0.54 + 0.46 * cos(x * PI));
}

static double cubic(double x)
{
    const double a = -0.5;
    x = fabs(x);
    if (x < 1)
        return ((a + 2) * x - (a + 3)) * x * x + 1;
    return x < 2 ? (((x - 5) * x + 8) * x - 4) * a : 0;
}

static double sinc(double x)
{
    return x == 0 ? 1 : sin(x * PI) / (x * PI);
}

static double lanczos(double x)
{
    return x >= -3 && x < 3 ? sinc(x) * sinc(x / 3) : 0;
}

static const struct {
    double (*at)(double x);
    double support;
} filters[SN_RESAMPLES] = {[SN_RESAMPLE_LANCZOS] = {lanczos, 3},
                           [SN_RESAMPLE_BILINEAR] = {triangle, 1},
                           [SN_RESAMPLE_BICUBIC] = {cubic, 2},
                           [SN_RESAMPLE_BOX] = {box, 0.5},
                           [SN_RESAMPLE_HAMMING] = {hamming, 1}};

/* ---- weights ---- */

/* What each of `to` places sums of `from` ones: n of them, from `first` on. */
typedef struct Weights {
    int64_t to, most; /* most: of a place */
    int64_t *first, *n;
    double *real; /* of one place */
    int32_t *k;   /* [to, most] */
} Weights;

static void weigh(Weights *w, int64_t place, int64_t from, SnResample how)
{
    const double scale = (double)from / (double)w->to, wide = fmax(scale, 1),
                 support = filters[how].support * wide, center = ((double)place + 0.5) * scale;
    const int64_t first = (int64_t)fmax(center - support + 0.5, 0),
                  end = (int64_t)fmin(center + support + 0.5, (double)from);
    double sum = 0;
    for (int64_t i = first; i < end; i++)
        sum += w->real[i - first] = filters[how].at(((double)(i)-center + 0.5) * (1.0 / wide));
    for (int64_t i = 0; i < end - first; i++) {
        const double v = sum != 0 ? w->real[i] / sum : w->real[i];
        w->k[place * w->most + i] = (int32_t)((v < 0 ? -0.5 : 0.5) + v * (1 << PLACES));
    }
    w->first[place] = first;
    w->n[place] = end - first;
}

static SnStatus make_weights(SnArena *arena, int64_t from, int64_t to, SnResample how, Weights *w,
                             SnError *err)
{
    const double wide = fmax((double)from / (double)to, 1);
    *w = (Weights){.to = to, .most = (int64_t)ceil(filters[how].support * wide) * 2 + 1};
    w->first = sn_arena_array(arena, (size_t)to, sizeof *w->first);
    w->n = sn_arena_array(arena, (size_t)to, sizeof *w->n);
    w->real = sn_arena_array(arena, (size_t)w->most, sizeof *w->real);
    w->k = sn_arena_array(arena, (size_t)(to * w->most), sizeof *w->k);
    SN_CHECK(w->first && w->n && w->real && w->k, err, SN_ENOMEM, "no memory for an image");
    for (int64_t i = 0; i < to; i++)
        weigh(w, i, from, how);
    return SN_OK;
}

/* ---- sums ---- */

static uint8_t to_byte(int64_t sum)
{
    const int64_t v = sum >> PLACES;
    return (uint8_t)(v < 0 ? 0 : v > 255 ? 255 : v);
}

/* A row of `n` places that lie `step` bytes apart; each is `wide` bytes that are summed alike. */
static void sum_line(const Weights *w, const uint8_t *in, size_t step, uint8_t *out, size_t wide)
{
    for (int64_t i = 0; i < w->to; i++) {
        const int32_t *k = w->k + i * w->most;
        const uint8_t *from = in + (size_t)w->first[i] * step;
        for (size_t c = 0; c < wide; c++) {
            int64_t sum = 1 << (PLACES - 1);
            for (int64_t j = 0; j < w->n[i]; j++)
                sum += (int64_t)from[(size_t)j * step + c] * k[j];
            out[(size_t)i * step + c] = to_byte(sum);
        }
    }
}

/* One of both ways: rows become `to` wide, or there become `to` of them. */
static SnStatus stretch(SnArena *arena, const SnPicture *in, bool by_rows, int64_t to, SnResample how,
                        SnPicture *out, SnError *err)
{
    Weights w;
    const size_t pixel = (size_t)in->channels, row = (size_t)in->width * pixel;
    SN_TRY(make_weights(arena, by_rows ? in->height : in->width, to, how, &w, err));
    const SnStatus st = sn_picture_make(arena->memory, by_rows ? to : in->height, by_rows ? in->width : to,
                                        in->channels, out, err);
    if (st == SN_OK && by_rows)
        sum_line(&w, in->at, row, out->at, row);
    for (int64_t y = 0; st == SN_OK && !by_rows && y < in->height; y++)
        sum_line(&w, in->at + (size_t)y * row, pixel, out->at + (size_t)(y * to) * pixel, pixel);
    return st;
}

/* Places go on by adding, as ImagingScaleAffine does it. */
static void pick_nearest(const SnPicture *in, SnPicture *out)
{
    const double down = (double)in->height / (double)out->height,
                 right = (double)in->width / (double)out->width;
    const size_t pixel = (size_t)in->channels;
    double y = down * 0.5;
    for (int64_t i = 0; i < out->height; i++, y += down) {
        double x = right * 0.5;
        for (int64_t j = 0; j < out->width; j++, x += right)
            if ((int64_t)y < in->height && (int64_t)x < in->width)
                memcpy(out->at + (size_t)(i * out->width + j) * pixel,
                       in->at + (size_t)((int64_t)y * in->width + (int64_t)x) * pixel, pixel);
    }
}

SnStatus sn_picture_resize(const SnAllocator *memory, const SnPicture *in, int64_t height, int64_t width,
                           SnResample how, SnPicture *out, SnError *err)
{
    SnPicture between = {0};
    const bool same_width = in->width == width, same_height = in->height == height;
    if (how == SN_RESAMPLE_NEAREST || (same_width && same_height)) {
        SN_TRY(sn_picture_make(memory, height, width, in->channels, out, err));
        if (how == SN_RESAMPLE_NEAREST)
            pick_nearest(in, out);
        else
            memcpy(out->at, in->at, (size_t)(height * width * in->channels));
        return SN_OK;
    }
    SN_CHECK(height > 0 && width > 0 && height <= SN_PICTURE_MOST && width <= SN_PICTURE_MOST, err,
             SN_EUNSUPPORTED, "an image of %lld x %lld", (long long)height, (long long)width);
    /* Pillow 13 begins with what takes more lines away, where columns count twice. */
    const bool by_rows = height < in->height && in->height - height > 2 * (in->width - width);
    const bool is_one = same_width || same_height;
    SnArena arena;
    sn_arena_init(&arena, memory);
    SnStatus st = is_one ? SN_OK : stretch(&arena, in, by_rows, by_rows ? height : width, how, &between, err);
    if (st == SN_OK) {
        const bool last = is_one ? same_width : !by_rows;
        st = stretch(&arena, is_one ? in : &between, last, last ? height : width, how, out, err);
    }
    sn_picture_clear(memory, &between);
    sn_arena_clear(&arena);
    return st;
}
