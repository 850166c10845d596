/* export.h -- a Hub folder as a GGUF file: its config and tokenizer as metadata, its tensors under their
 * names there. Internal to frontends/. */
#ifndef SN_GGUF_EXPORT_H
#define SN_GGUF_EXPORT_H

#include "frontends/gguf/arch.h"
#include "frontends/hf/config.h"
#include "frontends/hf/folder.h"

/* SN_EUNSUPPORTED: no row for this model type. */
SN_MUST_CHECK SnStatus sn_gguf_export_arch(const SnConfig *c, const SnGgufArch **out, SnError *err);
int64_t sn_gguf_head_dim(const SnConfig *c);
int64_t sn_gguf_kv_heads(const SnConfig *c); /* keys and values: heads of them, by any key that says so */
void sn_gguf_export_config(const SnConfig *c, const SnGgufArch *a, SnGgufMeta *m);
/* Factors of rotary frequencies that files hold as tensors; i counts from 0, false: no more. */
typedef struct SnGgufFactors {
    const char *name;
    float *at; /* in the arena */
    int64_t n;
} SnGgufFactors;
bool sn_gguf_export_factors(const SnConfig *c, size_t i, SnArena *arena, SnGgufFactors *out);
/* The tokenizer and the chat template; ids up to nvocab are filled up. Nothing where there is no tokenizer.
 */
SN_MUST_CHECK SnStatus sn_gguf_export_tokenizer(SnContext *ctx, SnFolder *folder, const SnConfig *c,
                                                SnGgufMeta *m, SnError *err);

/* What a tensor of a checkpoint is in a file. */
typedef struct SnGgufPlace {
    SnBytes name;           /* in the arena; at NULL: it has none */
    const SnGgufPair *pair; /* that made it */
    int64_t part;           /* which part of it, -1: all of it */
} SnGgufPlace;
SN_MUST_CHECK SnStatus sn_gguf_export_name(const SnGgufArch *a, SnBytes name, SnArena *arena,
                                           SnGgufPlace *out, SnError *err);

#endif
