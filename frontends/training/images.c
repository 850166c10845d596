/* images.c -- rows that are images: as numbers of bytes in a dataset, and as pixel_values in a batch.
 *
 * What becomes of them is what preprocessor_config.json of the model's folder says, in the words of image
 * processors of Transformers; without one, bytes become -1 to 1. Images are as large as the rows have them.
 */
#include "frontends/training/collate.h"

#include <math.h>

#define IGNORED (-100)

/* ---- preprocessor_config.json ---- */

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

static bool is_set(const SnJson *p, const char *key, bool otherwise)
{
    bool v = otherwise;
    return sn_json_bool(sn_json_get(p, key), &v) ? v : otherwise;
}

/* Does the processor leave images of this size as they are? */
static bool keeps_size(const SnJson *p, const char *key, int64_t height, int64_t width)
{
    const SnJson *size = sn_json_get(p, key);
    int64_t h = 0, w = 0;
    if (sn_json_int(size, &h))
        return h == height && h == width;
    return sn_json_int(sn_json_get(size, "height"), &h) && sn_json_int(sn_json_get(size, "width"), &w) &&
           h == height && w == width;
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
    const bool rescales = is_set(p, "do_rescale", true), normalises = is_set(p, "do_normalize", true);
    double factor = 1.0 / 255;
    (void)sn_json_number(sn_json_get(p, "rescale_factor"), &factor);
    x->factor = (float)(rescales ? factor : 1);
    SN_TRY(channel_numbers(normalises ? p : NULL, "image_mean", normalises ? 0.5 : 0, x->mean, err));
    SN_TRY(channel_numbers(normalises ? p : NULL, "image_std", normalises ? 0.5 : 1, x->std, err));
    for (int i = 0; i < SN_IMAGE_CHANNELS; i++)
        SN_CHECK(x->std[i] != 0 && isfinite(x->std[i]), err, SN_EFORMAT,
                 "preprocessor_config.json: image_std: expected numbers other than 0");
    x->channels = sn_config_int(&model->config, "num_channels", 3);
    SN_CHECK(x->channels > 0 && x->channels <= SN_IMAGE_CHANNELS, err, SN_EUNSUPPORTED,
             "%s: images of %lld channels", model->config.path, (long long)x->channels);
    return SN_OK;
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
                   "{\"image_processor_type\": \"ViTImageProcessor\", \"do_resize\": false, \"do_rescale\": "
                   "true, \"do_normalize\": true, \"rescale_factor\": %.17g, \"size\": {\"height\": %lld, "
                   "\"width\": %lld}",
                   1.0 / 255, (long long)x->height, (long long)x->width);
    for (int k = 0; k < 2; k++) {
        sn_text_printf(out, ", \"%s\": [", keys[k]);
        for (int64_t i = 0; i < x->channels; i++)
            sn_text_printf(out, "%s%g", i ? ", " : "", (double)of[k][i]);
        sn_text_printf(out, "]");
    }
    sn_text_printf(out, "}\n");
}

/* ---- rows ---- */

SnStatus sn_images_column(const SnCollate *c, const SnDataset *d, int64_t *out, SnError *err)
{
    const char *name = sn_arg_string(c->config, "image_column");
    uint32_t at = 0;
    if (name) {
        SN_TRY(sn_dataset_find(d, name, &at, err));
        *out = at;
        return SN_OK;
    }
    for (uint32_t i = 0; i < sn_dataset_columns(d); i++) {
        const SnFeature *f = sn_dataset_feature(d, i);
        *out = i;
        if (f->kind == SN_DATA_LIST && f->child->kind == SN_DATA_LIST)
            return SN_OK;
    }
    return sn_fail(err, SN_EINVAL, "data: no column of images: image_column names it");
}

/* [height, width] or [height, width, channels] of bytes. */
SnStatus sn_images_shape(SnImages *x, const SnFeature *f, const char *what, SnError *err)
{
    static const char *const changes[][2] = {{"do_resize", "size"}, {"do_center_crop", "crop_size"}};
    const SnFeature *inner = f;
    int64_t dims[3] = {0, 0, 1};
    int n = 0;
    for (; n < 3 && inner->kind == SN_DATA_LIST; n++, inner = inner->child)
        dims[n] = inner->length;
    SN_CHECK(n >= 2 && inner->kind == SN_DATA_NUMBER && inner->dtype == SN_U8 && dims[0] > 0 && dims[1] > 0 &&
                 dims[2] > 0,
             err, SN_EUNSUPPORTED, "%s: column %s: expected images of one size, as lists of bytes", what,
             f->name);
    SN_CHECK(dims[2] == x->channels, err, SN_EINVAL, "%s: images have %lld channels, the model has %lld",
             what, (long long)dims[2], (long long)x->channels);
    SN_CHECK(!x->height || (x->height == dims[0] && x->width == dims[1]), err, SN_EINVAL,
             "%s: images of %lld x %lld, those that are trained on have %lld x %lld", what,
             (long long)dims[0], (long long)dims[1], (long long)x->height, (long long)x->width);
    for (size_t i = 0; i < SN_COUNT(changes); i++)
        SN_CHECK(!is_set(x->processor, changes[i][0], false) ||
                     keeps_size(x->processor, changes[i][1], dims[0], dims[1]),
                 err, SN_EUNSUPPORTED, "preprocessor_config.json: %s, but images have %lld x %lld: not yet",
                 changes[i][0], (long long)dims[0], (long long)dims[1]);
    x->height = dims[0];
    x->width = dims[1];
    return SN_OK;
}

/* Channel by channel; a null is black. */
static void fill(const SnImages *x, SnCell cell, float *out)
{
    const int64_t places = x->height * x->width;
    bool is_null = sn_cell_is_null(cell);
    while (!is_null && cell.array->type->kind == SN_DATA_LIST)
        is_null = sn_cell_list(cell, &cell) == 0;
    const uint8_t *at = is_null ? NULL : cell.array->data + cell.array->offset + cell.at;
    for (int64_t k = 0; k < x->channels; k++)
        for (int64_t i = 0; i < places; i++) {
            const float byte = at ? (float)at[i * x->channels + k] : 0;
            out[k * places + i] = (byte * x->factor - x->mean[k]) / x->std[k];
        }
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
        fill(x, sn_dataset_cell(d, (uint32_t)column->text, row[i]), pixel + (size_t)i * each);
    }
    const int skip = times ? 0 : 1;
    in[0] = (SnNamedTensor){"pixel_values", sn_view(SN_F32, pixel, 5 - skip, all + skip)};
    in[1] = (SnNamedTensor){"labels", sn_view(SN_I64, class, 2 - skip, all + skip)};
    *nin = 2;
    return SN_OK;
}
