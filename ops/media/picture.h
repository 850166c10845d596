/* picture.h -- images as bytes: read from files, and in other sizes, both as Pillow does it. */
#ifndef SN_PICTURE_H
#define SN_PICTURE_H

#include "runtime/bytes.h"

#define SN_PICTURE_MOST (1 << 24) /* of rows, and of columns */

/* Rows of pixels of channels. */
typedef struct SnPicture {
    int64_t height, width, channels;
    uint8_t *at;
} SnPicture;
SN_MUST_CHECK SnStatus sn_picture_make(const SnAllocator *memory, int64_t height, int64_t width,
                                       int64_t channels, SnPicture *out, SnError *err);
void sn_picture_clear(const SnAllocator *memory, SnPicture *x);

/* A PNG or JPEG file as convert("L") gives it (channels 1) or convert("RGB") (3). what: for messages.
 * SN_EUNSUPPORTED: a file of another kind, or a build without its library. */
SN_MUST_CHECK SnStatus sn_picture_read(const SnAllocator *memory, SnBytes file, int64_t channels,
                                       const char *what, SnPicture *out, SnError *err);

typedef enum SnResample { /* numbers of Pillow's Resampling */
                          SN_RESAMPLE_NEAREST,
                          SN_RESAMPLE_LANCZOS,
                          SN_RESAMPLE_BILINEAR,
                          SN_RESAMPLE_BICUBIC,
                          SN_RESAMPLE_BOX,
                          SN_RESAMPLE_HAMMING,
                          SN_RESAMPLES
} SnResample;
/* in->resize((width, height), how), of 1 or 3 channels: its bytes. */
SN_MUST_CHECK SnStatus sn_picture_resize(const SnAllocator *memory, const SnPicture *in, int64_t height,
                                         int64_t width, SnResample how, SnPicture *out, SnError *err);

#endif
