/* zip.h -- entries of zip archives that are stored, not compressed: .npz files, pytorch_model.bin. */
#ifndef SN_ZIP_H
#define SN_ZIP_H

#include "runtime/bytes.h"

typedef struct SnZip {
    const char *path; /* for messages */
    SnBytes file;
    SnReader dir;
    uint64_t left; /* entries */
} SnZip;

SN_MUST_CHECK SnStatus sn_zip_open(const char *path, SnBytes file, SnZip *out, SnError *err);
/* The next entry, lent by the file; z->left says whether there is one. A compressed one is SN_EUNSUPPORTED.
 */
SN_MUST_CHECK SnStatus sn_zip_next(SnZip *z, SnBytes *name, SnBytes *data, SnError *err);

#endif
