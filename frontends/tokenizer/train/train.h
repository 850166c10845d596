/* train.h -- words and their counts to a vocabulary. Private to frontends/tokenizer/train. */
#ifndef SN_VOCAB_TRAIN_H
#define SN_VOCAB_TRAIN_H

#include "runtime/json.h"

/* ---- words (words.c) ---- */

typedef struct SnTrainWord {
    uint64_t count;
    uint32_t at, n; /* in the pool */
    uint32_t hash;
} SnTrainWord;
typedef struct SnTrainWords { /* in the order in which they first came */
    const SnAllocator *memory;
    SN_VEC(SnTrainWord) all;
    SN_VEC(uint8_t) pool;
    uint32_t *slot; /* 0: free; else one more than a place in all */
    uint32_t nslot; /* a power of two, or 0 */
    bool is_full;   /* a word was not taken: more than 4 GiB of them */
} SnTrainWords;
bool sn_train_words_add(SnTrainWords *w, SnBytes word); /* false: no memory, or is_full */
void sn_train_words_clear(SnTrainWords *w);
static inline SnBytes sn_train_word(const SnTrainWords *w, size_t i)
{
    return sn_bytes(w->pool.at + w->all.at[i].at, w->all.at[i].n);
}

/* ---- what to make of them ---- */

typedef enum SnTrainModel {
    SN_TRAIN_BPE,
    SN_TRAIN_WORDPIECE,
    SN_TRAIN_UNIGRAM,
    SN_TRAIN_WORDLEVEL
} SnTrainModel;

typedef struct SnTrainPlan {
    SnTrainModel model;
    bool is_byte_level; /* words are bytes, which a character stands for each */
    int64_t vocab_size, min_frequency, limit_alphabet, max_token_length; /* the latter two -1: none */
    int64_t n_sub_iterations, max_piece_length, seed_size;
    double shrinking_factor;
    SnBytes prefix, suffix, unk; /* at NULL: none */
    const SnBytes *special;
    size_t nspecial;
    const uint32_t *alphabet; /* code points that are to be in it */
    size_t nalphabet;
} SnTrainPlan;
/* Options of the plan's model over what the plan has; NULL: none (options.c). */
SN_MUST_CHECK SnStatus sn_train_options(const SnJson *options, SnArena *arena, SnTrainPlan *p, SnError *err);
/* Strings, or objects with a content, behind the special tokens of the plan. */
SN_MUST_CHECK SnStatus sn_train_add_special(const SnJson *tokens, SnArena *arena, SnTrainPlan *p,
                                            SnError *err);
/* The characters that stand for bytes become the plan's alphabet. */
SN_MUST_CHECK SnStatus sn_train_byte_alphabet(SnArena *arena, SnTrainPlan *p, SnError *err);

typedef struct SnTrainVocab { /* lives in the arena */
    SnBytes *token;           /* by id; at NULL: no such id */
    size_t n;
    uint32_t (*merge)[2]; /* of BPE, by rank */
    size_t nmerge;
    double *score;  /* of Unigram, by id */
    int64_t unk_id; /* of Unigram; -1: none */
} SnTrainVocab;

typedef SnStatus SnTrainFn(const SnTrainPlan *p, const SnTrainWords *w, SnArena *arena, SnTrainVocab *out,
                           SnError *err);
SnTrainFn sn_train_bpe, sn_train_unigram, sn_train_word_level; /* WordPiece is BPE */

/* The next character of a word, as the vocabulary spells it. *at moves on. */
uint32_t sn_train_char(const SnTrainPlan *p, SnBytes word, size_t *at);
/* Every character of the words and the alphabet, each once, in the order of code points, with how often it
 * comes; those of the alphabet UINT64_MAX times. In memory of w. */
typedef struct SnTrainChar {
    uint32_t code;
    uint64_t count;
} SnTrainChar;
typedef SN_VEC(SnTrainChar) SnTrainChars;
SN_MUST_CHECK bool sn_train_chars(const SnTrainPlan *p, const SnTrainWords *w, SnTrainChars *out);

#endif
