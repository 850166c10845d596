/* vocab.h -- vocabularies in files other than tokenizer.json, written as that. */
#ifndef SN_HF_VOCAB_H
#define SN_HF_VOCAB_H

#include "frontends/hf/folder.h"

/* A folder without tokenizer.json has tokenizer.model (SentencePiece, or ranks as tiktoken keeps them),
 * spiece.model, vocab.json and merges.txt, or *.tiktoken. tokenizer_config.json says by its class how a text
 * is split. */
bool sn_vocab_has(const SnFolder *folder);
SN_MUST_CHECK SnStatus sn_vocab_write(SnContext *ctx, SnFolder *folder, SnText *out, SnError *err);

/* ---- phrases of tokenizer.json ---- */

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

/* "merges": every way to put two of the pieces together to one of them; first those of the best score or,
 * by_rank, of the lowest id. */
SN_MUST_CHECK SnStatus sn_put_merges(const SnAllocator *memory, const char *name, const SnPiece *piece,
                                     uint32_t n, bool by_rank, SnText *out, SnError *err);
/* "post_processor": what is added in front and behind each text. bos, eos -1: nothing. */
void sn_put_template(SnText *out, int64_t bos, int64_t eos, SnBytes bos_text, SnBytes eos_text);
/* A member of "added_tokens". */
void sn_put_added(SnText *out, bool is_first, int64_t id, SnBytes content, bool is_special);
/* The same of a piece of SentencePiece, whose type says whether it is one. */
void sn_put_added_piece(SnText *out, int64_t id, SnBytes content, uint32_t type);
/* "pre_tokenizer" of byte-level models: patterns one after the other, "digits": each digit by itself. */
#define SN_SPLIT_STEPS 6
void sn_put_splits(SnText *out, const char *const step[SN_SPLIT_STEPS]);
extern const char sn_split_gpt2[], sn_split_cl100k[], sn_split_qwen2[], sn_split_o200k[];

#endif
