/* convert.h -- what the parts of a conversion share: tensors to be written, and of what they are made.
 * Internal to frontends/. */
#ifndef SN_CONVERT_H
#define SN_CONVERT_H

#include "frontends/gguf/arch.h"
#include "frontends/hub.h"
#include "frontends/model.h"
#include "frontends/transcode.h"

typedef struct SnOutTensor {
    SnBytes name;
    const SnGgmlType *type; /* NULL: none of GGML's */
    int ndim;
    int64_t dims[SN_MAX_RANK];
    size_t size;
    SnRecode recode;
} SnOutTensor;

typedef struct SnConverter {
    SnModel *model;
    SnWeights *weights;
    const struct Format *format; /* NULL: as stored */
    const SnGgufArch *arch;      /* in a GGUF file that is read or written; NULL: none */
    SnTranscoder *transcoder;
    SN_VEC(SnOutTensor) out;
    SnMap place;  /* name ▶ out, of tensors of many parts */
    size_t first; /* tensor of the file that is written */
    uint64_t max_shard;
    int64_t nlayer, nexpert;
    bool is_tied; /* the head is the embedding */
    SnArena arena;
} SnConverter;

/* Tensors [first, first + n) as one .safetensors file. */
SN_MUST_CHECK SnStatus sn_convert_tensors(SnConverter *c, const char *path, size_t first, size_t n,
                                          SnError *err);
/* All of them, and the other files of a model (convert_folder.c). */
SN_MUST_CHECK SnStatus sn_convert_folder(SnConverter *c, const char *path, SnError *err);

#endif
