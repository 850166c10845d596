/* split.h -- patterns and the pre-tokenizer. Private to ops/host. */
#ifndef SN_SPLIT_H
#define SN_SPLIT_H

#include "ops/host/tok.h"

/* ---- patterns ----------------------------------------------------------------------------------------- */

typedef struct SnTokPattern {
    const uint16_t *block;
    const uint8_t *class, *ascii; /* ascii: the classes of the first block */
    const uint32_t *edge;
    const uint32_t *walk; /* NULL: there is none */
    const uint32_t *pair; /* of its edges of two bytes; NULL: there are none */
    uint32_t nclass;
    const uint32_t *behind, *ahead; /* edges of passes; NULL: there are none */
    const uint8_t *made;            /* what they made of the text, a class a byte and one of its end */
    bool has_v3;                    /* sn_tok_walk may run code of that CPU level */
} SnTokPattern;

SnTokPattern sn_tok_pattern(const SnTokTable *t, uint32_t regex);

static inline uint32_t sn_tok_class_of(const SnTokPattern *p, uint32_t cp)
{
    return p->class[128 * (size_t)p->block[cp >> 7] + (cp & 127)];
}

/* The class of the character at p, of which there are `left` bytes. */
static inline uint32_t sn_tok_class_at(const SnTokPattern *p, const uint8_t *at, size_t left, size_t *size)
{
    if (*at < 0x80) {
        *size = 1;
        return p->ascii[*at];
    }
    *size = sn_tok_char_size(at, left);
    return sn_tok_class_of(p, sn_tok_code_point(at, *size));
}

/* A search for the match that begins where it was made. */
typedef struct SnTokMatcher {
    size_t at, last; /* last: where the match ends as far as is known, or SN_TOK_NO_MATCH */
    uint32_t row;    /* 0: done */
} SnTokMatcher;

static inline SnTokMatcher sn_tok_matcher(const SnTokPattern *p, size_t at)
{
    return (SnTokMatcher){at, SN_TOK_NO_MATCH, p->nclass};
}
/* Where the text that no match begins in ends, `at` being a place of it. */
size_t sn_tok_gap_end(const SnTokPattern *p, SnBytes text, size_t at);
/* Goes on with it; false: out of time. */
bool sn_tok_match_on(const SnTokPattern *p, SnBytes text, SnTokMatcher *m, SnTokClock *clock);

/* Where the matches from byte `at` of text (valid UTF-8) on end, one beginning there: of a chunk as many as
 * it shows. 0: none, or the pattern has no walk; a matcher finds the next one. (walk.c) */
enum { SN_TOK_WALK_WAYS = 8, SN_TOK_WALK_MOST = 2048, SN_TOK_WALK_SLACK = 8 };
enum { SN_TOK_WALK_ENDS = SN_TOK_WALK_MOST + SN_TOK_WALK_SLACK };
uint32_t sn_tok_walk(const SnTokPattern *p, SnBytes text, size_t at, uint32_t end[SN_TOK_WALK_ENDS]);

/* ---- the pre-tokenizer -------------------------------------------------------------------------------- */

typedef struct SnTokEvent { /* bytes of a text, and whether they delimit */
    size_t begin, end;
    bool is_match;
} SnTokEvent;

typedef struct SnTokPass { /* of those over a stretch */
    size_t at;
    uint32_t row;
    bool is_back, is_done;
} SnTokPass;

typedef struct SnTokLevel {        /* a stretch that is being cut by a step */
    size_t begin, at, end;         /* at: what lies before was given out */
    size_t scan;                   /* how far it was looked at */
    SnTokPass pass;                /* REGEX: before any match */
    SnTokMatcher matcher;          /* REGEX: of the match at scan */
    bool runs, found, after_match; /* the matcher has begun, has found one; scan is where a match ended */
    bool has_now, has_next;
    SnTokEvent now, next; /* the part being made; the event behind it */
} SnTokLevel;

typedef struct SnTokSplitter {
    const SnTokTable *t;
    const SnTokSplit *step;
    uint32_t nstep;
    const uint8_t *ascii; /* bit i: delimits in step i */
    SnTokClock *clock;
    uint8_t *signed_text; /* a part with its sign */
    size_t signed_room;
    uint8_t *made; /* SN_TOK_STEPS signed_room bytes for classes that passes make */
    /* what lasts between calls begins here */
    SnBytes text;        /* what words are parts of */
    SnBytes plain;       /* what it was before the sign */
    size_t signed_begin; /* where the part with the sign begins in that */
    bool is_signed;      /* there is a sign step, and words are parts of its text */
    bool has_sign;       /* it was put before the part */
    size_t turn;         /* parts that got it so far */
    bool is_first;       /* the text is the row's first */
    bool is_whole;       /* without steps: the text is the word to come */
    bool is_full;        /* a part with its sign has no room */
    uint32_t depth;      /* levels in use */
    SnTokLevel level[SN_TOK_STEPS];
} SnTokSplitter;

typedef enum SnTokSplitResult {
    SN_TOK_SPLIT_WORD,
    SN_TOK_SPLIT_END,
    SN_TOK_SPLIT_AGAIN,
    SN_TOK_SPLIT_FULL
} SnTokSplitResult;

void sn_tok_split_begin(SnTokSplitter *s, SnBytes text, bool is_first);
/* The next word, of s->text. */
SnTokSplitResult sn_tok_split_next(SnTokSplitter *s, SnTokEvent *word);

#endif
