/* weights.h -- the weights of a model folder: one safetensors file or shards with an index, found by name. */
#ifndef SN_HF_WEIGHTS_H
#define SN_HF_WEIGHTS_H

#include "frontends/hf/folder.h"
#include "frontends/hf/safetensors.h"

/* Counted: graphs and programs retain it through `source`. */
typedef struct SnWeights SnWeights;

/* A tensor in blocks of GGML has dtype SN_NODTYPE, its type's name as format ("Q4_K"), the dims of its
 * numbers, and the bytes of the file. */

/* folder/model.safetensors, or the shards that folder/model.safetensors.index.json names. Headers only are
 * read. */
SN_MUST_CHECK SnStatus sn_weights_open(SnContext *ctx, const char *folder, SnWeights **out, SnError *err);
/* The same, or those of a GGUF file under the names of checkpoints. */
SN_MUST_CHECK SnStatus sn_weights_open_folder(SnContext *ctx, const SnFolder *folder, SnWeights **out,
                                              SnError *err);
/* Those of files (.safetensors; .bin, .pt, .pth as torch.save writes them) and folders, side by side: under
 * the names that stand in the files, bytes that stand for blocks too. SN_EINVAL: a name stands twice. */
SN_MUST_CHECK SnStatus sn_weights_open_all(SnContext *ctx, const char *const *path, size_t n, SnWeights **out,
                                           SnError *err);
bool sn_weights_has(const SnFolder *folder); /* are there any? */
SnWeights *sn_weights_retain(SnWeights *w);
void sn_weights_release(SnWeights *w);
const SnSource *sn_weights_source(SnWeights *w);
size_t sn_weights_count(const SnWeights *w);
const SnStTensor *sn_weights_at(const SnWeights *w, size_t i);
const SnStTensor *sn_weights_find(const SnWeights *w, const char *name); /* NULL: absent; exact names */
size_t sn_weights_files(const SnWeights *w);                             /* of a GGUF file: none */
const SnJson *sn_weights_metadata(const SnWeights *w, size_t i);         /* __metadata__ of a file, or NULL */
bool sn_weights_is_made(const SnWeights *w, SnBytes name);               /* by sn_weights_add */
/* A tensor made here (a head that the checkpoint lacks); name and bytes are copied. */
SN_MUST_CHECK SnStatus sn_weights_add(SnWeights *w, const char *name, SnDtype dtype, int ndim,
                                      const int64_t *dims, const void *data, SnError *err);

#endif
