/* jpeg.c -- JPEG files, by libjpeg-turbo, as Pillow decodes them. The library takes memory of its own: it
 * cannot be given an allocator. */
#include "ops/media/picture_read.h"

#ifdef SN_JPEG
#include <limits.h>
#include <turbojpeg.h>

SnStatus sn_jpeg_read(const SnAllocator *memory, SnBytes file, const char *what, SnPicture *out, SnError *err)
{
    int w = 0, h = 0, sampling = 0, space = 0;
    tjhandle jpeg = tjInitDecompress();
    SnStatus st = jpeg ? SN_OK : sn_fail(err, SN_ENOMEM, "%s: no memory", what);
    if (st == SN_OK &&
        (file.n > ULONG_MAX || tjDecompressHeader3(jpeg, file.at, file.n, &w, &h, &sampling, &space)))
        st = sn_fail(err, SN_EFORMAT, "%s: a JPEG: %s", what, tjGetErrorStr2(jpeg));
    if (st == SN_OK && (space == TJCS_CMYK || space == TJCS_YCCK))
        st = sn_fail(err, SN_EUNSUPPORTED, "%s: a JPEG of CMYK: not yet", what);
    if (st == SN_OK)
        st = sn_picture_make(memory, h, w, space == TJCS_GRAY ? 1 : 3, out, err);
    if (st == SN_OK &&
        tjDecompress2(jpeg, file.at, file.n, out->at, w, w * (int)out->channels, h,
                      out->channels == 1 ? TJPF_GRAY : TJPF_RGB, TJFLAG_ACCURATEDCT | TJFLAG_LIMITSCANS)) {
        st = sn_fail(err, SN_EFORMAT, "%s: a JPEG: %s", what, tjGetErrorStr2(jpeg));
        sn_picture_clear(memory, out);
    }
    if (jpeg)
        (void)tjDestroy(jpeg);
    return st;
}
#endif
