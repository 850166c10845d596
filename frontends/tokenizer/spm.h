/* spm.h -- SentencePiece vocabularies, from a tokenizer.model or a GGUF file, as tokenizer.json. */
#ifndef SN_HF_SPM_H
#define SN_HF_SPM_H

#include "frontends/tokenizer/vocab.h"
#include "runtime/json.h"

typedef struct SnSpm {
    const SnPiece *piece; /* by id */
    uint32_t n;
    bool is_bpe; /* else Unigram */
    bool byte_fallback;
    bool prepend_space; /* a text begins with a space that it does not have */
    bool is_lenient;    /* but only where it begins with none, and not after added tokens: "legacy": false */
    bool joins_spaces;  /* runs of spaces are one */
    SnBytes merges;     /* merges.txt, where the pieces are those of vocab.json; else {NULL, 0} */
    SnBytes charsmap;   /* precompiled normalizer, or {NULL, 0} */
    int64_t unk, bos, eos; /* -1: none */
    bool adds_bos, adds_eos;
} SnSpm;

/* Reads a SentencePiece model (a protobuf message ModelProto); its strings are lent by bytes. */
SN_MUST_CHECK SnStatus sn_spm_parse(SnArena *arena, const char *name, SnBytes bytes, SnSpm *out,
                                    SnError *err);
/* Writes tokenizer.json. */
SN_MUST_CHECK SnStatus sn_spm_write(const SnAllocator *memory, const char *name, const SnSpm *spm,
                                    SnText *out, SnError *err);
/* The same as a class of tokenizers has it (vocab_class.c); config: tokenizer_config.json. */
typedef struct SnVocabClass SnVocabClass;
extern const SnVocabClass sn_vocab_other, sn_vocab_pairs;
/* The class that tokenizer_config.json (or NULL) names: an error where its ids are not those that its file
 * has by the rules here. */
SN_MUST_CHECK SnStatus sn_vocab_check_class(const char *path, const SnJson *config, SnError *err);
const SnVocabClass *sn_vocab_class(SnBytes name); /* "AlbertTokenizer"; NULL: none of its own */
SN_MUST_CHECK SnStatus sn_vocab_write_class(const SnAllocator *memory, const char *path,
                                            const SnVocabClass *class, const SnJson *config, const SnSpm *spm,
                                            SnText *out, SnError *err);
/* A normalizer. */
void sn_put_charsmap(SnText *out, SnBytes charsmap);

#endif
