/* safetensors.h -- the safetensors format: 8 bytes of header size, a JSON header, tensor bytes.
 *
 * Accepts and refuses what safetensors 0.8.0 does. https://huggingface.co/docs/safetensors */
#ifndef SN_SAFETENSORS_H
#define SN_SAFETENSORS_H

#include "compiler/graph.h"
#include "runtime/json.h"

typedef struct SnStTensor {
    SnBytes name;
    const char *format; /* dtype as the file spells it: "F32", "F4", ... */
    SnDtype dtype;      /* SN_NODTYPE: a format that sinter only carries (F4, F6, C64, ...) */
    int ndim;
    int64_t dims[SN_MAX_RANK];
    SnBytes bytes;
} SnStTensor;

typedef struct SnSafetensors {
    SnFile *file;       /* retained, or NULL when opened from bytes */
    size_t header;      /* first bytes of the file, which tell it from others */
    SnStTensor *tensor; /* in order of offsets */
    size_t ntensor;
    const SnJson *metadata; /* __metadata__, or NULL */
    SnMap index;            /* name ▶ tensor */
    SnArena arena;
} SnSafetensors;

/* name is for messages. Bytes must outlive *out; nothing but the header is read. */
SN_MUST_CHECK SnStatus sn_safetensors_parse(SnContext *ctx, const char *name, SnBytes bytes,
                                            SnSafetensors *out, SnError *err);
SN_MUST_CHECK SnStatus sn_safetensors_open(SnContext *ctx, const char *path, SnSafetensors *out,
                                           SnError *err);
void sn_safetensors_close(SnSafetensors *f);
/* Elements; who read the file has checked that they fit. */
static inline uint64_t sn_st_count(const SnStTensor *t)
{
    uint64_t n = 1;
    for (int i = 0; i < t->ndim; i++)
        n *= (uint64_t)t->dims[i];
    return n;
}
const SnStTensor *sn_safetensors_find(const SnSafetensors *f, const char *name); /* NULL: absent */

/* One tensor to be written; dense, row-major. */
typedef struct SnStWrite {
    const char *name;
    SnView view;
    const char *format; /* of a dtype that sinter only carries; NULL: the view's dtype */
} SnStWrite;
typedef struct SnStWriteOptions {
    const char *const (*metadata)[2]; /* __metadata__ */
    size_t nmetadata;
    /* Adds the bytes of tensor[i], in place of view.data; NULL: they lie there. */
    SnStatus (*fill)(void *user, size_t i, SnOutFile *out, SnError *err);
    void *user;
} SnStWriteOptions;
/* Writes a file as safetensors 0.8.0 does: larger dtypes first, then by name. Byte for byte. o may be NULL.
 */
SN_MUST_CHECK SnStatus sn_safetensors_write(SnContext *ctx, const char *path, const SnStWrite *tensor,
                                            size_t n, const SnStWriteOptions *o, SnError *err);
/* Bytes of a tensor in a format by name; false: no such format, or no whole bytes. */
bool sn_safetensors_size(const char *format, int ndim, const int64_t *dims, size_t *out);

#endif
