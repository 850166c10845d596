/* images.c -- rows that are images: lists of bytes, or files, in a dataset, and pixel_values in a batch.
 *
 * What becomes of them is what preprocessor_config.json of the model's folder says, in the words of image
 * processors of Transformers, and with their bytes: sizes are changed as Pillow does it. Without such a file
 * images become as large as the model's config asks for, and bytes become -1 to 1. */
#include "frontends/training/collate.h"

#include <math.h>
#include <stdio.h>

#define IGNORED   (-100)
#define CROP_PCT  0.875 /* ConvNextImageProcessor */
#define CROP_LESS 384

/* ---- preprocessor_config.json ---- */

/* What a class does where the file does not say. */
typedef struct Processor {
    const char *name; /* before "ImageProcessor" */
    bool is_square;   /* a size that is one number is of both sides; else of the shorter one */
    SnResample how;
    int64_t size, crop; /* crop 0: none */
    bool is_half;       /* means and deviations are 0.5 */
} Processor;
static const Processor processors[] = {
    {"ViT", true, SN_RESAMPLE_BILINEAR, 224, 0, true},
    {"DeiT", true, SN_RESAMPLE_BICUBIC, 256, 224, true},
    {"Beit", true, SN_RESAMPLE_BICUBIC, 224, 0, true},
    {"ConvNext", false, SN_RESAMPLE_BICUBIC, 384, 0, true},
    {"MobileNetV1", false, SN_RESAMPLE_BILINEAR, 256, 224, true},
    {"MobileNetV2", false, SN_RESAMPLE_BILINEAR, 256, 224, true},
    {"Siglip", true, SN_RESAMPLE_BICUBIC, 224, 0, true},
    {"Pvt", true, SN_RESAMPLE_BICUBIC, 224, 0, false},
    {"Blip", true, SN_RESAMPLE_BICUBIC, 384, 0, false},
    {"Bit", false, SN_RESAMPLE_BICUBIC, 224, 224, false},
    {"CLIP", false, SN_RESAMPLE_BICUBIC, 224, 224, false},
    {"ChineseCLIP", false, SN_RESAMPLE_BICUBIC, 224, 224, false},
};

/* "ViTImageProcessor", "ViTImageProcessorFast", "ViTFeatureExtractor". */
static const Processor *find_processor(const SnJson *p)
{
    static const char *const endings[] = {"ImageProcessor", "ImageProcessorFast", "ImageProcessorPil",
                                          "FeatureExtractor"};
    SnBytes name = {0};
    if (!sn_json_string(sn_json_get(p, "image_processor_type"), &name))
        (void)sn_json_string(sn_json_get(p, "feature_extractor_type"), &name);
    for (size_t i = 0; i < SN_COUNT(processors); i++)
        for (size_t k = 0; k < SN_COUNT(endings); k++) {
            const size_t n = strlen(processors[i].name), m = strlen(endings[k]);
            if (name.n == n + m && memcmp(name.at, processors[i].name, n) == 0 &&
                memcmp(name.at + n, endings[k], m) == 0)
                return &processors[i];
        }
    return NULL;
}

static SnStatus channel_numbers(const SnJson *p, const char *key, double otherwise,
                                float out[SN_IMAGE_CHANNELS], SnError *err)
{
    const SnJson *list = sn_json_get(p, key);
    for (uint32_t i = 0; i < SN_IMAGE_CHANNELS; i++) {
        double v = otherwise;
        const SnJson *own = !sn_json_is_null(list) && list->kind == SN_JSON_ARRAY && list->n > 0
                                ? sn_json_at(list, i < list->n ? i : list->n - 1)
                                : list;
        if (!sn_json_is_null(own) && !sn_json_number(own, &v))
            return sn_fail(err, SN_EFORMAT, "preprocessor_config.json: %s: expected numbers", key);
        out[i] = (float)v;
    }
    return SN_OK;
}

/* {"height", "width"}, {"shortest_edge"}, or one number. */
static SnStatus read_size(const SnJson *p, const char *key, bool is_square, int64_t otherwise,
                          SnImageSize *out, SnError *err)
{
    const SnJson *size = sn_json_get(p, key);
    int64_t one = otherwise;
    *out = (SnImageSize){0};
    if (sn_json_is_null(size) || sn_json_int(size, &one)) {
        *out = is_square ? (SnImageSize){.height = one, .width = one} : (SnImageSize){.shortest = one};
    } else {
        (void)sn_json_int(sn_json_get(size, "height"), &out->height);
        (void)sn_json_int(sn_json_get(size, "width"), &out->width);
        (void)sn_json_int(sn_json_get(size, "shortest_edge"), &out->shortest);
        SN_CHECK(sn_json_is_null(sn_json_get(size, "longest_edge")), err, SN_EUNSUPPORTED,
                 "preprocessor_config.json: %s: longest_edge: not yet", key);
    }
    const bool has_both = out->height > 0 && out->width > 0, has_one = out->shortest > 0;
    SN_CHECK(has_both != has_one, err, SN_EFORMAT,
             "preprocessor_config.json: %s: expected height and width, or shortest_edge", key);
    return SN_OK;
}

/* What is done to sizes: x->resize and x->crop. */
static SnStatus read_sizes(SnImages *x, const SnModel *model, SnError *err)
{
    const Processor *own = find_processor(x->processor);
    const SnJson *p = x->processor;
    int64_t how = own ? (int64_t)own->how : SN_RESAMPLE_BILINEAR;
    const int64_t of_model = sn_config_int(&model->config, "image_size", 0);
    x->is_known = own || !p;
    if (!p && of_model > 0)
        x->resize = (SnImageSize){.height = of_model, .width = of_model};
    if (p && sn_json_bool_of(p, "do_resize", own != NULL))
        SN_TRY(read_size(p, "size", !own || own->is_square, own ? own->size : 0, &x->resize, err));
    if (p && sn_json_bool_of(p, "do_center_crop", own && own->crop))
        SN_TRY(read_size(p, "crop_size", true, own ? own->crop : 0, &x->crop, err));
    (void)sn_json_int(sn_json_get(p, "resample"), &how);
    SN_CHECK(how >= 0 && how < SN_RESAMPLES, err, SN_EFORMAT,
             "preprocessor_config.json: resample: expected 0 to %d", SN_RESAMPLES - 1);
    x->how = (SnResample)how;
    SN_CHECK(!x->crop.shortest && !sn_json_bool_of(p, "do_pad", false), err, SN_EUNSUPPORTED,
             "preprocessor_config.json: do_pad, or a crop_size of the shortest_edge: not yet");
    if (own && strcmp(own->name, "ConvNext") == 0 && x->resize.shortest) {
        const int64_t n = x->resize.shortest;
        double pct = CROP_PCT;
        (void)sn_json_number(sn_json_get(p, "crop_pct"), &pct);
        SN_CHECK(pct > 0 && pct <= 1, err, SN_EFORMAT, "preprocessor_config.json: crop_pct: expected 0 to 1");
        x->resize = n < CROP_LESS ? (SnImageSize){.shortest = (int64_t)((double)n / pct)}
                                  : (SnImageSize){.height = n, .width = n};
        SN_CHECK(n >= CROP_LESS || !x->crop.height, err, SN_EUNSUPPORTED,
                 "preprocessor_config.json: do_center_crop beside a size below %d", CROP_LESS);
        if (n < CROP_LESS)
            x->crop = (SnImageSize){.height = n, .width = n};
    }
    return SN_OK;
}

SnStatus sn_images_begin(SnCollate *c, const SnModel *model, SnError *err)
{
    SnImages *x = &c->images;
    SnBytes bytes = {0};
    SN_CHECK(!c->is_regression, err, SN_EUNSUPPORTED, "data: labels of images: expected classes");
    SnJson *p = NULL;
    SN_TRY(sn_folder_read(model->files, "preprocessor_config.json", &bytes, err));
    if (bytes.at)
        SN_TRY(sn_json_parse(c->arena, "preprocessor_config.json", bytes, &p, err));
    x->processor = p;
    const Processor *own = find_processor(p);
    const bool rescales = sn_json_bool_of(p, "do_rescale", true),
               normalises = sn_json_bool_of(p, "do_normalize", true);
    SN_CHECK(!normalises || !own || own->is_half ||
                 (sn_json_get(p, "image_mean") && sn_json_get(p, "image_std")),
             err, SN_EFORMAT, "preprocessor_config.json: no image_mean or image_std");
    x->factor = 1.0 / 255;
    (void)sn_json_number(sn_json_get(p, "rescale_factor"), &x->factor);
    x->factor = rescales ? x->factor : 1;
    SN_TRY(channel_numbers(normalises ? p : NULL, "image_mean", normalises ? 0.5 : 0, x->mean, err));
    SN_TRY(channel_numbers(normalises ? p : NULL, "image_std", normalises ? 0.5 : 1, x->std, err));
    for (int i = 0; i < SN_IMAGE_CHANNELS; i++)
        SN_CHECK(x->std[i] != 0 && isfinite(x->std[i]), err, SN_EFORMAT,
                 "preprocessor_config.json: image_std: expected numbers other than 0");
    x->channels = sn_config_int(&model->config, "num_channels", 3);
    SN_CHECK(x->channels > 0 && x->channels <= SN_IMAGE_CHANNELS, err, SN_EUNSUPPORTED,
             "%s: images of %lld channels", model->config.path, (long long)x->channels);
    return read_sizes(x, model, err);
}

void sn_images_processor(const SnCollate *c, SnText *out)
{
    const SnImages *x = &c->images;
    const char *const keys[] = {"image_mean", "image_std"};
    const float *const of[] = {x->mean, x->std};
    if (x->processor) {
        sn_json_put(out, x->processor);
        return;
    }
    sn_text_printf(out,
                   "{\"image_processor_type\": \"ViTImageProcessor\", \"do_resize\": %s, \"resample\": %d, "
                   "\"do_rescale\": true, \"do_normalize\": true, \"rescale_factor\": %.17g, "
                   "\"size\": {\"height\": %lld, \"width\": %lld}",
                   x->resize.height ? "true" : "false", (int)x->how, 1.0 / 255, (long long)x->height,
                   (long long)x->width);
    for (int k = 0; k < 2; k++) {
        sn_text_printf(out, ", \"%s\": [", keys[k]);
        for (int64_t i = 0; i < x->channels; i++)
            sn_text_printf(out, "%s%g", i ? ", " : "", (double)of[k][i]);
        sn_text_printf(out, "]");
    }
    sn_text_printf(out, "}\n");
}

/* ---- one image ---- */

/* The field of an image's file, or -1: a column of {"bytes", "path"}. */
static int64_t bytes_field(const SnFeature *f)
{
    for (uint32_t i = 0; f->kind == SN_DATA_STRUCT && i < f->nchild; i++)
        if (f->child[i].kind == SN_DATA_BINARY && strcmp(f->child[i].name, "bytes") == 0)
            return i;
    return -1;
}

/* Bytes of [height, width] or [height, width, channels]. */
static bool is_listed(const SnFeature *f)
{
    int n = 0;
    for (; n < 3 && f->kind == SN_DATA_LIST; n++)
        f = f->child;
    return n >= 2 && f->kind == SN_DATA_NUMBER && !sn_dtype_is_float(f->dtype) && f->dtype != SN_BOOL &&
           !f->unit;
}

static bool is_image(const SnFeature *f)
{
    return bytes_field(f) >= 0 || f->kind == SN_DATA_BINARY || is_listed(f);
}

/* The size of a list of lists; false: their lengths differ. */
static bool list_size(SnCell cell, SnPicture *out)
{
    SnCell row = {0}, pixel = {0};
    out->height = sn_cell_list(cell, &row);
    out->width = out->height ? sn_cell_list(row, &pixel) : 0;
    const bool has_channels = out->width && pixel.array->type->kind == SN_DATA_LIST;
    SnCell value = pixel;
    out->channels = has_channels ? sn_cell_list(pixel, &value) : 1;
    for (int64_t y = 0; y < out->height; y++) {
        SnCell at = {0};
        bool ok = sn_cell_list((SnCell){row.array, row.at + y}, &at) == out->width;
        for (int64_t i = 0; ok && has_channels && i < out->width; i++)
            ok = sn_cell_list((SnCell){at.array, at.at + i}, &value) == out->channels;
        if (!ok)
            return false;
    }
    return out->height && out->width && out->channels;
}

static SnStatus read_list(const SnAllocator *memory, SnCell cell, const char *what, int64_t row,
                          SnPicture *out, SnError *err)
{
    SnPicture size = {0};
    SN_CHECK(list_size(cell, &size), err, SN_EINVAL, "%s: row %lld: lists of an image differ in length", what,
             (long long)row);
    SN_TRY(sn_picture_make(memory, size.height, size.width, size.channels, out, err));
    uint8_t *at = out->at;
    int64_t worst = 0;
    SnCell line = {0};
    (void)sn_cell_list(cell, &line);
    for (int64_t y = 0; y < size.height; y++, line.at++) {
        SnCell pixel = {0};
        (void)sn_cell_list(line, &pixel);
        for (int64_t i = 0; i < size.width; i++, pixel.at++) {
            SnCell value = pixel;
            if (pixel.array->type->kind == SN_DATA_LIST)
                (void)sn_cell_list(pixel, &value);
            for (int64_t k = 0; k < size.channels; k++, value.at++) {
                const int64_t v = sn_cell_int(value);
                worst = v < 0 || v > 255 ? v : worst;
                *at++ = (uint8_t)v;
            }
        }
    }
    if (worst == 0)
        return SN_OK;
    sn_picture_clear(memory, out);
    return sn_fail(err, SN_EINVAL, "%s: row %lld: %lld is no byte of an image", what, (long long)row,
                   (long long)worst);
}

static SnStatus read_image(const SnCollate *c, SnCell cell, const char *what, int64_t row, SnPicture *out,
                           SnError *err)
{
    const SnFeature *f = cell.array->type;
    const SnAllocator *memory = sn_allocator(c->ctx);
    char name[128];
    (void)snprintf(name, sizeof name, "%s: row %lld", what, (long long)row);
    SnStatus st = SN_OK;
    if (f->kind == SN_DATA_LIST) {
        st = read_list(memory, cell, what, row, out, err);
    } else {
        const int64_t field = bytes_field(f);
        const SnBytes file = sn_cell_bytes(field < 0 ? cell : sn_cell_field(cell, (uint32_t)field));
        SN_CHECK(file.at, err, SN_EINVAL, "%s has no bytes of an image", name);
        st = sn_picture_read(memory, file, c->images.channels, name, out, err);
    }
    if (st == SN_OK && out->channels != c->images.channels) {
        st = sn_fail(err, SN_EINVAL, "%s: an image of %lld channels, the model has %lld", name,
                     (long long)out->channels, (long long)c->images.channels);
        sn_picture_clear(memory, out);
    }
    return st;
}

static SnStatus resize(const SnCollate *c, SnPicture *in, SnError *err)
{
    const SnImages *x = &c->images;
    SnPicture out = {0};
    int64_t h = x->resize.height, w = x->resize.width;
    if (x->resize.shortest) {
        const int64_t n = x->resize.shortest, is_tall = in->width <= in->height;
        const int64_t far = (int64_t)((double)(n * (is_tall ? in->height : in->width)) /
                                      (double)(is_tall ? in->width : in->height));
        h = is_tall ? far : n;
        w = is_tall ? n : far;
    }
    if (!h || (h == in->height && w == in->width))
        return SN_OK;
    SN_CHECK(x->is_known, err, SN_EUNSUPPORTED,
             "preprocessor_config.json: images of %lld x %lld by its class: not yet", (long long)in->height,
             (long long)in->width);
    SN_CHECK(in->channels == 1 || in->channels == 3, err, SN_EUNSUPPORTED,
             "images of %lld channels in another size", (long long)in->channels);
    SN_TRY(sn_picture_resize(sn_allocator(c->ctx), in, h, w, x->how, &out, err));
    sn_picture_clear(sn_allocator(c->ctx), in);
    *in = out;
    return SN_OK;
}

/* Where a stretch of `to` begins in the middle of one of `from`; below 0: zeros come first. */
static int64_t middle(int64_t from, int64_t to)
{
    return from >= to ? (from - to) / 2 : -((to - from + 1) / 2);
}

static SnStatus crop(const SnCollate *c, SnPicture *in, SnError *err)
{
    const int64_t h = c->images.crop.height, w = c->images.crop.width;
    SnPicture out = {0};
    if (!h || (h == in->height && w == in->width))
        return SN_OK;
    SN_CHECK(c->images.is_known, err, SN_EUNSUPPORTED,
             "preprocessor_config.json: a crop by its class: not yet");
    SN_TRY(sn_picture_make(sn_allocator(c->ctx), h, w, in->channels, &out, err));
    const int64_t top = middle(in->height, h), left = middle(in->width, w);
    const size_t pixel = (size_t)in->channels;
    for (int64_t y = 0; y < h; y++)
        for (int64_t i = 0; i < w; i++) {
            const int64_t from = y + top, at = i + left;
            if (from >= 0 && from < in->height && at >= 0 && at < in->width)
                memcpy(out.at + (size_t)(y * w + i) * pixel, in->at + (size_t)(from * in->width + at) * pixel,
                       pixel);
        }
    sn_picture_clear(sn_allocator(c->ctx), in);
    *in = out;
    return SN_OK;
}

/* An image as large as the model sees it. */
static SnStatus read_sized(const SnCollate *c, SnCell cell, const char *what, int64_t row, SnPicture *out,
                           SnError *err)
{
    SN_TRY(read_image(c, cell, what, row, out, err));
    SnStatus st = resize(c, out, err);
    if (st == SN_OK)
        st = crop(c, out, err);
    if (st != SN_OK)
        sn_picture_clear(sn_allocator(c->ctx), out);
    return st;
}

/* ---- rows ---- */

SnStatus sn_images_column(const SnCollate *c, const SnDataset *d, int64_t *out, SnError *err)
{
    const char *name = sn_arg_string(c->config, "image_column");
    uint32_t at = 0;
    if (name)
        SN_TRY(sn_dataset_find(d, name, &at, err));
    while (!name && at < sn_dataset_columns(d) && !is_image(sn_dataset_feature(d, at)))
        at++;
    SN_CHECK(at < sn_dataset_columns(d), err, SN_EINVAL, "data: no column of images: image_column names it");
    *out = at;
    return SN_OK;
}

SnStatus sn_images_shape(SnCollate *c, const SnDataset *d, uint32_t column, const char *what, SnError *err)
{
    SnImages *x = &c->images;
    const SnFeature *f = sn_dataset_feature(d, column);
    SnPicture image = {0};
    int64_t row = 0;
    SN_CHECK(is_image(f), err, SN_EUNSUPPORTED,
             "%s: column %s: expected images, as files or as lists of bytes", what, f->name);
    while (row < sn_dataset_rows(d) && sn_cell_is_null(sn_dataset_cell(d, column, row)))
        row++;
    SN_CHECK(row < sn_dataset_rows(d), err, SN_EINVAL, "%s: column %s: no images", what, f->name);
    SN_TRY(read_sized(c, sn_dataset_cell(d, column, row), what, row, &image, err));
    const SnPicture first = image;
    sn_picture_clear(sn_allocator(c->ctx), &image);
    SN_CHECK(!x->height || (x->height == first.height && x->width == first.width), err, SN_EINVAL,
             "%s: images of %lld x %lld, those that are trained on have %lld x %lld", what,
             (long long)first.height, (long long)first.width, (long long)x->height, (long long)x->width);
    x->height = first.height;
    x->width = first.width;
    return SN_OK;
}

static bool keeps(const SnImages *x, int64_t height, int64_t width)
{
    return !height || (height == x->height && width == x->width);
}

/* The bytes of an image of fixed lists that is as large as the model sees it, where they lie; else NULL. */
static const uint8_t *lying_bytes(const SnImages *x, SnCell cell)
{
    const int64_t dims[] = {x->height, x->width, x->channels};
    size_t n = 0;
    for (; cell.array->type->kind == SN_DATA_LIST && n < SN_COUNT(dims); n++)
        if (cell.array->type->length != dims[n] || sn_cell_list(cell, &cell) != dims[n])
            return NULL;
    const SnArray *a = cell.array;
    const bool is_whole = n == SN_COUNT(dims) || (n == 2 && x->channels == 1);
    const bool is_kept = !x->resize.shortest && keeps(x, x->resize.height, x->resize.width) &&
                         keeps(x, x->crop.height, x->crop.width);
    return is_whole && is_kept && a->type->dtype == SN_U8 && !a->valid ? a->data + a->offset + cell.at : NULL;
}

/* Channel by channel; a null is black. */
static SnStatus fill(const SnCollate *c, SnCell cell, int64_t row, float *out, SnError *err)
{
    const SnImages *x = &c->images;
    const int64_t places = x->height * x->width;
    SnPicture image = {0};
    const uint8_t *at = sn_cell_is_null(cell) ? NULL : lying_bytes(x, cell);
    if (!at && !sn_cell_is_null(cell)) {
        SN_TRY(read_sized(c, cell, "data", row, &image, err));
        const bool fits = image.height == x->height && image.width == x->width;
        if (!fits) {
            const SnStatus st =
                sn_fail(err, SN_EINVAL, "data: row %lld: an image of %lld x %lld, others have %lld x %lld",
                        (long long)row, (long long)image.height, (long long)image.width, (long long)x->height,
                        (long long)x->width);
            sn_picture_clear(sn_allocator(c->ctx), &image);
            return st;
        }
        at = image.at;
    }
    for (int64_t k = 0; k < x->channels; k++) {
        float value[256];
        for (int i = 0; i < 256; i++)
            value[i] = ((float)(i * x->factor) - x->mean[k]) / x->std[k];
        for (int64_t i = 0; i < places; i++)
            out[k * places + i] = value[at ? at[i * x->channels + k] : 0];
    }
    sn_picture_clear(sn_allocator(c->ctx), &image);
    return SN_OK;
}

SnStatus sn_images_batch(const SnCollate *c, const SnDataset *d, const SnTrainColumns *column,
                         const int64_t *row, int64_t n, int64_t times, SnArena *arena,
                         SnNamedTensor in[SN_TRAIN_INPUTS], size_t *nin, SnError *err)
{
    const SnImages *x = &c->images;
    const int64_t all[] = {times, times ? n / times : n, x->channels, x->height, x->width};
    const size_t each = (size_t)(x->channels * x->height * x->width);
    size_t count = 0;
    float *pixel = sn_mul_size((size_t)n, each, &count) ? sn_arena_array(arena, count, sizeof *pixel) : NULL;
    int64_t *class = sn_arena_array(arena, (size_t)n, sizeof *class);
    SN_CHECK(pixel && class, err, SN_ENOMEM, "training: no memory for a batch");
    memset(pixel, 0, count * sizeof *pixel);
    for (int64_t i = 0; i < n; i++) {
        class[i] = IGNORED;
        if (row[i] < 0)
            continue;
        SN_TRY(sn_collate_class(c, sn_dataset_cell(d, (uint32_t)column->label, row[i]), "data", row[i],
                                &class[i], err));
        SN_TRY(fill(c, sn_dataset_cell(d, (uint32_t)column->text, row[i]), row[i], pixel + (size_t)i * each,
                    err));
    }
    const int skip = times ? 0 : 1;
    in[0] = (SnNamedTensor){"pixel_values", sn_view(SN_F32, pixel, 5 - skip, all + skip)};
    in[1] = (SnNamedTensor){"labels", sn_view(SN_I64, class, 2 - skip, all + skip)};
    *nin = 2;
    return SN_OK;
}
