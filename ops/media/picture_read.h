/* picture_read.h -- readers of one kind of image file each, in the builds that have their libraries. */
#ifndef SN_PICTURE_READ_H
#define SN_PICTURE_READ_H

#include "ops/media/picture.h"

/* Eight bits a sample, of 1 channel (grey) or 3. *out is unchanged or empty where they fail. */
SN_MUST_CHECK SnStatus sn_png_read(const SnAllocator *memory, SnBytes file, const char *what, SnPicture *out,
                                   SnError *err);
SN_MUST_CHECK SnStatus sn_jpeg_read(const SnAllocator *memory, SnBytes file, const char *what, SnPicture *out,
                                    SnError *err);

#endif
