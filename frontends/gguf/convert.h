/* convert.h -- a GGUF file as the files of a Hub folder, and its tensors under the names they have there. */
#ifndef SN_GGUF_CONVERT_H
#define SN_GGUF_CONVERT_H

#include "frontends/gguf/arch.h"

/* config.json (config.c), tokenizer.json and tokenizer_config.json (tokenizer.c). path is for messages. */
SN_MUST_CHECK SnStatus sn_gguf_config(const char *path, const SnGguf *f, SnText *out, SnError *err);
SN_MUST_CHECK SnStatus sn_gguf_tokenizer(SnContext *ctx, const char *path, const SnGguf *f, SnText *out,
                                         SnError *err);
SN_MUST_CHECK SnStatus sn_gguf_tokenizer_config(const char *path, const SnGguf *f, SnText *out, SnError *err);
bool sn_gguf_has_tokenizer(const SnGguf *f); /* as tokenizer.json */
/* Or it is WordPiece, of which there is a vocab.txt. */
bool sn_gguf_has_words(const SnGguf *f);
SN_MUST_CHECK SnStatus sn_gguf_words(const char *path, const SnGguf *g, SnText *out, SnError *err);

/* What a checkpoint calls a tensor; *part is which of the equal parts along its first axis, of nparts
 * (experts of a layer lie in one tensor). false: i is past the end. A tensor that no architecture knows keeps
 * its name. */
typedef struct SnGgufName {
    SnBytes name; /* in the arena */
    int64_t part, nparts;
    bool is_split; /* it is a part: without the first axis */
    double shift;  /* to be added to each number: norms that are stored with one added */
    bool is_decay; /* each number is -exp of what it was */
    SnGgufShape shape;
} SnGgufName;
/* Calls add for each tensor under each of its names. */
typedef SnStatus SnGgufAddFn(void *user, const SnGgufTensor *t, const SnGgufName *as, SnError *err);
SN_MUST_CHECK SnStatus sn_gguf_each(const char *path, const SnGguf *f, SnArena *arena, SnGgufAddFn *add,
                                    void *user, SnError *err);

#endif
