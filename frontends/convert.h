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
    SnContext *ctx;
    SnModel *model;   /* NULL: tensors alone */
    const char *name; /* of what is read */
    SnWeights *weights;
    const struct Format *format; /* NULL: as stored */
    const SnGgufArch *arch;      /* in a GGUF file that is read or written; NULL: none */
    SnTranscoder *transcoder;
    SN_VEC(SnOutTensor) out;
    SnMap place;  /* name ▶ out, of tensors of many parts */
    size_t first; /* tensor of the file that is written */
    uint64_t max_shard;
    const char *const (*metadata)[2]; /* of .safetensors files */
    size_t nmetadata;
    int64_t nlayer, nexpert;
    bool is_tied; /* the head is the embedding */
    SnArena arena;
} SnConverter;

/* Runs list, which fills c->out and writes it, with what a conversion needs around it. */
SN_MUST_CHECK SnStatus sn_convert_run(SnConverter *c, SnCompiler *cc, const char *device,
                                      SnStatus (*list)(SnConverter *c, const char *path, void *user,
                                                       SnError *err),
                                      const char *path, void *user, SnError *err);
/* A tensor under a name, its numbers as `to`; NULL: as they are. */
SN_MUST_CHECK SnStatus sn_convert_add(SnConverter *c, const SnStTensor *t, SnBytes name, const SnGgmlType *to,
                                      SnError *err);
/* Tensors [first, first + n) as one .safetensors file. */
SN_MUST_CHECK SnStatus sn_convert_tensors(SnConverter *c, const char *path, size_t first, size_t n,
                                          SnError *err);
/* All of them: PATH.safetensors, or a folder with the other files of a model (convert_folder.c). */
SN_MUST_CHECK SnStatus sn_convert_folder(SnConverter *c, const char *path, SnError *err);
/* Files of a folder that belong to its tokenizer and to generation; NULL past the end. */
const char *sn_tokenizer_file(size_t i);

#endif
