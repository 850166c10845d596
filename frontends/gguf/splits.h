/* splits.h -- how byte-pair models in GGUF files split a text before they merge: by a name, as no file holds
 * the patterns. */
#ifndef SN_GGUF_SPLITS_H
#define SN_GGUF_SPLITS_H

#include "frontends/tokenizer/vocab.h"

#define SN_GGUF_ADDS_BOS 1u /* unless the file says otherwise */
#define SN_GGUF_WHOLE    2u /* a word that is a token is not merged */
#define SN_GGUF_PLAIN    4u /* of characters: spaces are marked, nothing is split, tokens for bytes */
#define SN_GGUF_BLANKS   8u /* and PLAIN: or blanks are left out and nothing is marked */

typedef struct SnGgufSplit {
    const char *names; /* of tokenizer.ggml.pre, with a space around each */
    const char *step[SN_SPLIT_STEPS];
    uint32_t flags;
} SnGgufSplit;

const SnGgufSplit *sn_gguf_split_find(SnBytes name); /* NULL: no such name is known */
/* The first name of these steps of a pre-tokenizer; n 0: none. is_whole: SN_GGUF_WHOLE, where both kinds have
 * one. */
SnBytes sn_gguf_split_name(const char *const *step, size_t n, bool is_whole);

#endif
