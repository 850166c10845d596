/* npz.h -- NumPy's .npz: a zip archive of .npy arrays, as numpy.savez writes it (stored, not compressed). */
#ifndef SN_NPZ_H
#define SN_NPZ_H

#include "frontends/hub.h"

SN_MUST_CHECK SnStatus sn_npz_load(SnContext *ctx, const char *path, SnResults **out, SnError *err);
SN_MUST_CHECK SnStatus sn_npz_save(SnContext *ctx, const char *path, const SnNamedTensor *tensor, size_t n,
                                   SnError *err);

#endif
