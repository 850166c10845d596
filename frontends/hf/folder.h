/* folder.h -- the files of a model by name: those of a folder, or what a GGUF file holds of them. */
#ifndef SN_HF_FOLDER_H
#define SN_HF_FOLDER_H

#include "frontends/gguf/gguf.h"

typedef struct SnFolder SnFolder;

/* path: a folder, which need not exist, or a file.gguf. */
SN_MUST_CHECK SnStatus sn_folder_open(SnContext *ctx, const char *path, SnFolder **out, SnError *err);
/* The bytes of such a file, lent as long as anything of the folder is open; path is for messages. */
SN_MUST_CHECK SnStatus sn_folder_lend(SnContext *ctx, const char *path, SnBytes gguf, SnFolder **out,
                                      SnError *err);
void sn_folder_close(SnFolder *f); /* NULL is taken */
const char *sn_folder_path(const SnFolder *f);
bool sn_folder_has(const SnFolder *f, const char *name);
/* Bytes of a file, lent until the folder is closed; {NULL, 0}: there is none. Those that a GGUF file stands
 * for (config.json, tokenizer.json, ...) are written when first asked for. */
SN_MUST_CHECK SnStatus sn_folder_read(SnFolder *f, const char *name, SnBytes *out, SnError *err);
const SnGguf *sn_folder_gguf(const SnFolder *f); /* NULL: a folder */

#endif
