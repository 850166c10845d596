/* tokenizer.h -- tokenizer files of a model folder to a tokenizer table (ops/host/tokenize.h). */
#ifndef SN_TOKENIZER_H
#define SN_TOKENIZER_H

#include "frontends/hf/folder.h"
#include "ops/host/tokenize.h"

typedef struct SnTokenizerFiles { /* {NULL, 0}: no such file */
    const char *folder;           /* for messages */
    SnBytes tokenizer;            /* tokenizer.json */
    SnBytes vocab;                /* vocab.txt: BERT's, read where there is no tokenizer.json */
    SnBytes config;               /* tokenizer_config.json */
    SnBytes special_tokens;       /* special_tokens_map.json */
} SnTokenizerFiles;

/* Builds and checks the table; its bytes lie in the arena, SN_TOK_ALIGN aligned. A part that is not built is
 * SN_EUNSUPPORTED and named. */
SN_MUST_CHECK SnStatus sn_tokenizer_load(SnContext *ctx, const SnTokenizerFiles *files, SnArena *arena,
                                         SnBytes *table, SnError *err);
/* The same from a folder; SN_EIO where it has neither tokenizer.json nor vocab.txt. */
SN_MUST_CHECK SnStatus sn_tokenizer_open(SnContext *ctx, SnFolder *folder, SnArena *arena, SnBytes *table,
                                         SnError *err);

#endif
