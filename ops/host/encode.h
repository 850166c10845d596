/* encode.h -- what the parts of tok_encode share. Private to ops/host. */
#ifndef SN_ENCODE_H
#define SN_ENCODE_H

#include "ops/host/split.h"
#include "ops/host/word_cache.h"

/* A stretch of normalised text between added tokens. */
typedef struct SnTokStretch {
    const uint8_t *at;
    size_t n;
    const int32_t *from; /* of each character, see sn_tok_norm_run; NULL: of character i it is first + i */
    int32_t first;
    bool is_first; /* it begins the row */
} SnTokStretch;

typedef struct SnTokSink {                  /* results so far; of all rows */
    int32_t *id, *offset, *word_id, *about; /* about NULL: not asked for */
    uint8_t *own;
    size_t n, max, nown, max_own;
    size_t row_id, row_own; /* where the row begins */
    int32_t first_number;   /* of its tokens, in place of word ids */
    int32_t word;           /* of the row */
    bool is_word;           /* all of the text is one */
} SnTokSink;

/* Texts without steps but one pattern, or BPE without any, are cut fast (cut.c). */
typedef enum SnTokCut { SN_TOK_CUT_NOT, SN_TOK_CUT_PATTERN, SN_TOK_CUT_JUNCTIONS } SnTokCut;

/* Words of a stretch: what lasts between calls. */
typedef struct SnTokWords {
    SnTokSplitter split;
    SnTokCut cut;
    size_t cut_at;         /* the next word begins here */
    bool has_sign;         /* CUT_JUNCTIONS: the word has the sign put before it */
    size_t line, line_end; /* CUT_JUNCTIONS: what the words are of, to be kept as one; end 0: nothing */
    size_t line_id;        /* its first id */
    bool is_first;
    bool in_word;
    SnTokEvent word;
    SnTokPlace at;    /* in split.text */
    SnTokPlace plain; /* in the stretch, where that is another text */
    size_t turn;      /* of split.text */
    size_t step;      /* of the model, see SnTokWork */
    size_t first;     /* id of the word */
} SnTokWords;

typedef struct SnTokEncoder {
    const SnHostCall *h;
    const SnTokTable *t;
    SnTokClock clock;
    SnTokNorm norm;
    SnWordCache cache;
    bool in_unit; /* the words are those of a unit that is looked for in the cache as a whole */
    bool places;  /* offsets and word ids are asked for */
    uint8_t *repaired, *text, *signed_text;
    int32_t *from;
    uint8_t *made; /* see SnTokSplitter: lies where `norm` works, whose text is complete then */
    uint32_t *end; /* of the word's tokens */
    void *work;    /* of the model */
    size_t room;   /* bytes of text and of signed_text, elements of from and end */
} SnTokEncoder;

void sn_tok_words_begin(const SnTokEncoder *e, SnTokWords *w, const SnTokStretch *s);
/* Puts the tokens of the words that are left. */
SN_MUST_CHECK SnStatus sn_tok_words_run(SnTokEncoder *e, SnTokWords *w, const SnTokStretch *s, SnTokSink *out,
                                        SnError *err);
/* The ids of w->word, from the cache or the model. */
SN_MUST_CHECK SnStatus sn_tok_words_one(SnTokEncoder *e, SnTokWords *w, SnTokSink *out, SnError *err);
/* An added token over code points [begin, end), which were text: a word of its own. */
SN_MUST_CHECK SnStatus sn_tok_words_put(const SnTokEncoder *e, SnTokSink *out, uint32_t id, SnBytes text,
                                        int32_t begin, int32_t end, SnError *err);

/* ---- cut.c ---- */
SnTokCut sn_tok_cut_kind(const SnTokEncoder *e);
void sn_tok_cut_begin(SnTokWords *w, const SnTokStretch *s);
SN_MUST_CHECK SnStatus sn_tok_cut_run(SnTokEncoder *e, SnTokWords *w, SnTokSink *out, SnError *err);
/* What the model gets for a word of CUT_JUNCTIONS; at NULL: there is no room. */
SnBytes sn_tok_cut_word(const SnTokEncoder *e, SnTokWords *w, SnBytes word);

#endif
