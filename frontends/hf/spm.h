/* spm.h -- SentencePiece vocabularies, from a tokenizer.model or a GGUF file, as tokenizer.json. */
#ifndef SN_HF_SPM_H
#define SN_HF_SPM_H

#include "runtime/json.h"

typedef enum SnPieceType { /* as in sentencepiece_model.proto, and in GGUF */
                           SN_PIECE_NORMAL = 1,
                           SN_PIECE_UNKNOWN,
                           SN_PIECE_CONTROL,
                           SN_PIECE_USER,
                           SN_PIECE_UNUSED,
                           SN_PIECE_BYTE
} SnPieceType;

typedef struct SnPiece {
    SnBytes text;
    float score;
    uint32_t type;
} SnPiece;

typedef struct SnSpm {
    const SnPiece *piece; /* by id */
    uint32_t n;
    bool is_bpe; /* else Unigram */
    bool byte_fallback;
    bool prepend_space;    /* a text begins with a space that it does not have */
    bool joins_spaces;     /* runs of spaces are one */
    SnBytes charsmap;      /* precompiled normalizer, or {NULL, 0} */
    int64_t unk, bos, eos; /* -1: none */
    bool adds_bos, adds_eos;
} SnSpm;

/* Reads a SentencePiece model (a protobuf message ModelProto); its strings are lent by bytes. */
SN_MUST_CHECK SnStatus sn_spm_parse(SnArena *arena, const char *name, SnBytes bytes, SnSpm *out,
                                    SnError *err);
/* Writes tokenizer.json. */
SN_MUST_CHECK SnStatus sn_spm_write(const SnAllocator *memory, const char *name, const SnSpm *spm,
                                    SnText *out, SnError *err);

/* Phrases of tokenizer.json: a template around one text and around two, of
 * what is added in front and behind. bos, eos -1: none. */
void sn_put_template(SnText *out, int64_t bos, int64_t eos, SnBytes bos_text, SnBytes eos_text);
/* A member of "added_tokens". */
void sn_put_added(SnText *out, bool is_first, int64_t id, SnBytes content, bool is_special);

#endif
