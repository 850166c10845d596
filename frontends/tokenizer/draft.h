/* draft.h -- a tokenizer between its files and its table. Private to frontends/tokenizer. */
#ifndef SN_TOKENIZER_DRAFT_H
#define SN_TOKENIZER_DRAFT_H

#include "frontends/tokenizer/tokenizer.h"
#include "runtime/hash.h"
#include "runtime/json.h"

typedef struct SnDraftToken { /* an added token */
    SnBytes content, match;   /* match: content, normalised where it is to be */
    uint32_t id, flags;       /* SN_TOK_SINGLE_WORD ... */
    bool is_normalized, is_special;
} SnDraftToken;

typedef struct SnDraftNorm { /* a normaliser step */
    SnNormKind kind;
    uint32_t at;          /* where it is no place in POOL */
    SnBytes text, to;     /* POOL[at ..], POOL[to ..] */
    const uint32_t *unit; /* of SN_NORM_CHARSMAP */
    uint32_t nunit;
} SnDraftNorm;

/* Sections that normaliser steps read, with their contents (normal_table.c). */
#define SN_NORMAL_PARTS 12
typedef struct SnNormalPart {
    SnTokSectionName section;
    uint32_t reads; /* SN_READS_ of ops/host/normal.h */
    uint32_t count;
    const void *at;
} SnNormalPart;
extern const SnNormalPart sn_normal_parts[SN_NORMAL_PARTS];

typedef struct SnDraftDecode {
    SnTokDecodeStep step; /* at: where it is a pattern */
    SnBytes text, to;     /* POOL[at ..], POOL[to ..] */
} SnDraftDecode;

typedef struct SnTokDraft {
    SnArena *arena; /* everything below; dies after the table is written */
    SnBytes *vocab; /* tokens of the model by id; at NULL: no such id (tokens.c) */
    uint32_t nvocab, cap_vocab;
    uint64_t *slot; /* as SN_TOK_SLOT, for ids in vocab */
    uint32_t nslot, ntoken;
    uint32_t longest; /* bytes of a token */
    uint8_t *pool;    /* the bytes of the next ones go here */
    size_t room;
    SnTokModel kind;
    uint32_t model_flags;        /* SN_TOK_BYTE_LEVEL ... */
    SnBytes unk, prefix, suffix; /* of the model */
    uint32_t unk_id;             /* of Unigram: one more; 0: none */
    const double *score;         /* of Unigram, by id */
    double unk_score;
    const uint32_t *trie;
    uint32_t ntrie;
    struct SnDraftMerges *merges; /* of BPE (bpe.c) */
    struct SnDraftRegex *regexes; /* (regex_dfa.c) */
    uint32_t nregex;
    uint32_t max_word_chars;
    SnDraftToken *added;
    uint32_t nadded, cap_added, next_id;
    SnMap added_index; /* content to its place in added */
    SnMap special;     /* contents that skip_special leaves out */
    SnDraftNorm step[SN_TOK_NORMS];
    uint32_t nstep;
    SnTokSplit split[SN_TOK_STEPS];
    uint32_t nsplit;
    SnBytes sign; /* of the step that has one */
    SnTokPiece *single, *pair;
    uint32_t nsingle, npair;
    SnDraftDecode decode[SN_TOK_NORMS];
    uint32_t ndecode;
    uint32_t flags; /* of the table */
    uint32_t ntrim, trim_prefix;
    SnTokenizerFacts facts;
} SnTokDraft;

/* Adds one token as the reference does: its id is what its content already has, else the next free one. */
SN_MUST_CHECK SnStatus sn_draft_add(SnTokDraft *d, const SnDraftToken *token, SnError *err);
/* The same from JSON. */
SN_MUST_CHECK SnStatus sn_draft_add_json(SnTokDraft *d, const SnJson *token, SnError *err);
/* SN_TOK_NONE: none. */
uint32_t sn_draft_id(const SnTokDraft *d, SnBytes content);
typedef enum SnPatternKind {
    SN_PATTERN_REGEX,
    SN_PATTERN_SPLIT,  /* likewise, and it may look far */
    SN_PATTERN_TEXT,   /* the text itself */
    SN_PATTERN_SCRIPTS /* characters of one of the scripts that UnicodeScripts knows; the text says nothing */
} SnPatternKind;
/* Compiles a pattern (regex_dfa.c); equal ones are shared. What is not supported is SN_EUNSUPPORTED and
 * named. *index is for sn_tok_match. */
SN_MUST_CHECK SnStatus sn_draft_add_regex(SnTokDraft *d, SnBytes pattern, SnPatternKind kind, uint32_t *index,
                                          SnError *err);
void sn_draft_regex_sizes(const SnTokDraft *d, size_t count[SN_TOK_NSECTION]);
void sn_draft_put_regexes(const SnTokDraft *d, SnTokRegex *regex, uint16_t *block, uint8_t *class,
                          uint32_t *edge);
/* Writes the table into the arena. */
SN_MUST_CHECK SnStatus sn_draft_write(const SnTokDraft *d, SnArena *arena, SnBytes *table, SnError *err);

/* One step more, of a kind that needs nothing beside it. */
SN_MUST_CHECK SnStatus sn_draft_add_norm(SnTokDraft *d, SnDraftNorm step, SnError *err);
/* SentencePiece's precompiled map: size of the units, units, strings. */
SN_MUST_CHECK SnStatus sn_draft_add_charsmap(SnTokDraft *d, SnBytes blob, SnError *err);
/* The normalizer of tokenizer.json, or NULL (normal.c). */
SN_MUST_CHECK SnStatus sn_draft_read_normalizer(SnTokDraft *d, const SnJson *v, SnError *err);
/* The decoder of tokenizer.json, or NULL, and how much longer it may make a text (decode.c). */
SN_MUST_CHECK SnStatus sn_draft_read_decoder(SnTokDraft *d, const SnJson *v, SnError *err);
double sn_draft_decode_growth(const SnTokDraft *d);
/* The post_processor of tokenizer.json, or NULL (post.c). */
SN_MUST_CHECK SnStatus sn_draft_read_post_processor(SnTokDraft *d, const SnJson *v, SnError *err);
/* The model of tokenizer.json where it is a Unigram (unigram.c). */
SN_MUST_CHECK SnStatus sn_draft_read_unigram(SnTokDraft *d, SnBytes text, const SnJson *v, SnError *err);
/* How many bytes one byte of text may become, after all steps and after any of them. */
SN_MUST_CHECK SnStatus sn_draft_growth(const SnTokDraft *d, uint32_t *grow, SnError *err);
/* How many each character may, signs included: SN_TOK_WIDTHS of a table that has the draft's steps. false:
 * they act on more than characters. */
bool sn_draft_widths(const SnTokDraft *d, const SnTokTable *t, uint8_t *width);

/* The pre-tokenizer of tokenizer.json, or NULL (split.c). */
SN_MUST_CHECK SnStatus sn_draft_read_pre_tokenizer(SnTokDraft *d, const SnJson *v, SnError *err);
/* The model BPE: its options; its merges, once the vocabulary was read (bpe.c). text: all of the
 * file, which they lie in. */
SN_MUST_CHECK SnStatus sn_draft_read_bpe(SnTokDraft *d, const SnJson *v, SnError *err);
SN_MUST_CHECK SnStatus sn_draft_read_merges(SnTokDraft *d, SnBytes text, const SnJson *merges, SnError *err);
void sn_draft_bpe_sizes(const SnTokDraft *d, size_t count[SN_TOK_NSECTION]);
SN_MUST_CHECK SnStatus sn_draft_put_bpe(const SnTokDraft *d, SnTokTable *t, uint64_t *slot, uint32_t *merged,
                                        uint32_t *byte, uint8_t *junction, SnError *err);

/* The tokens of the model (tokens.c). Makes room for about n of them. */
SN_MUST_CHECK bool sn_draft_expect_tokens(SnTokDraft *d, size_t n);
/* h: of text. *before: the id that it had until now, or SN_TOK_NONE. false: no memory. */
SN_MUST_CHECK bool sn_draft_put_token(SnTokDraft *d, SnBytes text, uint64_t h, uint32_t id, uint32_t *before);
uint64_t sn_draft_hash(SnBytes a, SnBytes b);               /* of a + b */
void sn_draft_fetch(const SnTokDraft *d, uint64_t h);       /* memory is there when it is put */
uint32_t sn_draft_token(const SnTokDraft *d, SnBytes text); /* SN_TOK_NONE: there is none */
uint32_t sn_draft_joined(const SnTokDraft *d, SnBytes a, SnBytes b);
bool sn_draft_is(const SnTokDraft *d, uint32_t id, SnBytes a, SnBytes b); /* is id the token a + b? */
/* Up to so many at once, so that they wait for memory together. */
#define SN_DRAFT_FIND 32
void sn_draft_find(const SnTokDraft *d, const SnBytes *text, uint32_t n, uint32_t *id);

/* The parts of tokenizer.json (json.c). */
SN_MUST_CHECK SnStatus sn_draft_read_json(SnTokDraft *d, SnBytes text, SnError *err);

#endif
