/* tok.h -- what the tokenizer ops share: deadlines, rows of lists, walking UTF-8. Private to ops/host. */
#ifndef SN_TOK_H
#define SN_TOK_H

#include "ops/host/tokenize.h"
#include "ops/host/unicode.h"

#include <inttypes.h>

/* ---- deadlines: an op looks at the time after every 4 KiB of work, and so gets on in every call -----------
 */

typedef struct SnTokClock {
    uint64_t deadline_ns;
    size_t work;
    bool is_due; /* once true, the op returns SN_AGAIN */
} SnTokClock;

static inline bool sn_tok_due(SnTokClock *c, size_t work)
{
    c->work += work;
    if (c->work < 4096)
        return false;
    c->work = 0;
    c->is_due = c->deadline_ns != 0 && sn_now_ns() >= c->deadline_ns;
    return c->is_due;
}

/* ---- rows of lists ------------------------------------------------------------------------------------ */

static inline const SnTokTable *sn_tok_table(const SnHostCall *h)
{
    return (const SnTokTable *)h->in[0].data;
}

/* Row r of a list of i32 or u8; SN_ESHAPE where it lies outside the child or has 2^29 elements. */
static inline SnStatus sn_tok_row(const SnView *list, int64_t r, int64_t *start, int64_t *n, SnError *err)
{
    *start = list->start[r];
    *n = list->len[r];
    SN_CHECK(*start >= 0 && *n >= 0 && *start <= list->child_count && *n <= list->child_count - *start, err,
             SN_ESHAPE, "tokenizer: row %" PRId64 " of a list lies outside its child", r);
    SN_CHECK(*n < 1 << 29, err, SN_ESHAPE, "tokenizer: row %" PRId64 " has %" PRId64 " elements", r, *n);
    return SN_OK;
}

/* Element `start` of a list's child, which is NULL where a host has nothing to bind. */
static inline const int32_t *sn_tok_i32(const SnView *list, int64_t start)
{
    return list->data != NULL ? (const int32_t *)list->data + start : NULL;
}

static inline const uint8_t *sn_tok_u8(const SnView *list, int64_t start)
{
    return list->data != NULL ? (const uint8_t *)list->data + start : NULL;
}

static inline SnStatus sn_tok_fits(const SnView *list, int64_t used, int64_t more, const char *what,
                                   SnError *err)
{
    SN_CHECK(more <= list->child_count - used, err, SN_ESHAPE,
             "tokenizer: %s needs %" PRId64 " elements, its bound is %" PRId64, what, used + more,
             list->child_count);
    return SN_OK;
}

static inline void sn_tok_end_row(const SnView *list, int64_t r, int64_t start, int64_t end)
{
    sn_out_start(list)[r] = start;
    sn_out_len(list)[r] = end - start;
}

/* ---- UTF-8 -------------------------------------------------------------------------------------------- */

/* Length of the character at p, by its first byte, at most left. left > 0. */
static inline size_t sn_tok_char_size(const uint8_t *p, size_t left)
{
    const size_t n = *p < 0xC0 ? 1u : *p < 0xE0 ? 2u : *p < 0xF0 ? 3u : 4u;
    return n < left ? n : left;
}

/* The code point of n bytes that make one character; any bytes give some value up to SN_CP_LAST. */
static inline uint32_t sn_tok_code_point(const uint8_t *p, size_t n)
{
    switch (n) {
    case 2:
        return (p[0] & 0x1Fu) << 6 | (p[1] & 0x3Fu);
    case 3:
        return (p[0] & 0x0Fu) << 12 | (p[1] & 0x3Fu) << 6 | (p[2] & 0x3Fu);
    case 4: {
        const uint32_t cp = (p[0] & 7u) << 18 | (p[1] & 0x3Fu) << 12 | (p[2] & 0x3Fu) << 6 | (p[3] & 0x3Fu);
        return cp <= SN_CP_LAST ? cp : SN_CP_LAST;
    }
    default:
        return p[0];
    }
}

/* How many bytes at p make one character; 0: none, and then *bad bytes are one U+FFFD: the longest beginning
 * of a character, or one byte. (encode.c) */
size_t sn_tok_well_formed(const uint8_t *p, size_t left, size_t *bad);

bool sn_tok_ascii(SnBytes text); /* all of it (encode.c) */

static inline bool sn_tok_is_tail(uint8_t byte) /* of a character of several bytes */
{
    return (byte & 0xC0) == 0x80;
}

static inline size_t sn_tok_put_char(uint32_t cp, uint8_t out[4])
{
    if (cp < 0x80) {
        out[0] = (uint8_t)cp;
        return 1;
    }
    const size_t n = cp < 0x800 ? 2u : cp < 0x10000 ? 3u : 4u;
    for (size_t i = n - 1; i > 0; i--, cp >>= 6)
        out[i] = (uint8_t)(0x80 | (cp & 0x3F));
    out[0] = (uint8_t)((0xF00u >> n & 0xF0u) | cp);
    return n;
}

/* The character that byte-level vocabularies write for a byte: itself where it prints. */
static inline uint32_t sn_tok_byte_char(uint8_t b)
{
    if ((b > 0x20 && b < 0x7F) || (b > 0xA0 && b != 0xAD))
        return b;
    return 0x100u + (b <= 0x20 ? b : b <= 0xA0 ? 0x21u + (b - 0x7Fu) : 0x43u);
}

/* How many of eight or fewer bytes at p, of which there are n > 0, are ASCII before the first that is not. */
static inline size_t sn_tok_ascii_begin(const uint8_t *p, size_t n)
{
    uint64_t part;
    if (n < sizeof part)
        return *p < 0x80;
    memcpy(&part, p, sizeof part);
    part &= 0x8080808080808080u;
    return part != 0 ? sn_low_bit(part) / 8 : sizeof part;
}

/* A place in valid UTF-8, in bytes and in characters. */
typedef struct SnTokPlace {
    size_t byte, character;
} SnTokPlace;

static inline bool sn_tok_begins(SnBytes s, SnBytes prefix)
{
    return s.n >= prefix.n && (prefix.n == 0 || memcmp(s.at, prefix.at, prefix.n) == 0);
}
/* Moves a place, forward or backward, to a byte where a character begins (or to the end). */
static inline void sn_tok_seek(SnTokPlace *p, const uint8_t *text, size_t byte)
{
    for (; p->byte < byte; p->byte++)
        p->character += !sn_tok_is_tail(text[p->byte]);
    for (; p->byte > byte; p->byte--)
        p->character -= !sn_tok_is_tail(text[p->byte - 1]);
}

/* ---- normalising (normalize.c) ------------------------------------------------------------------------ */

typedef struct SnTokChar {
    uint32_t code;
    int32_t from;
} SnTokChar;

typedef struct SnTokNorm {
    const SnTokTable *t;
    const SnTokNormStep *step;
    uint32_t nstep;
    const uint8_t *ascii; /* 128 */
    SnTokChar *buf[3];
    size_t cap;       /* characters in each */
    bool is_local;    /* a text may be cut into runs */
    bool joins;       /* ... but not beside an ASCII character */
    bool keeps_far;   /* ... nor, without this, at others */
    bool keeps_ascii; /* a text of ASCII is the same */
    bool is_nfc;      /* that is all */
} SnTokNorm;

/* Begin and end of what a character of normalised text stands for. */
static inline int32_t sn_tok_begin(int32_t from)
{
    return from < 0 ? ~from : from;
}

static inline int32_t sn_tok_end(int32_t from)
{
    return from < 0 ? ~from : from + 1;
}

typedef struct SnTokOut { /* where normalised text goes */
    uint8_t *text;
    int32_t *from;
    size_t ntext, nfrom, max_text, max_from;
} SnTokOut;

/* A unit of a precompiled character map: how far its children are, and whether the first of them is a value.
 */
#define SN_CHARSMAP_LEAF (1u << 8)
static inline uint32_t sn_charsmap_offset(uint32_t unit)
{
    return (unit >> 10) << ((unit & 1u << 9) >> 6);
}

/* scratch is 24 cap bytes; places: from is asked for, see sn_tok_norm_run. */
void sn_tok_norm_init(SnTokNorm *m, const SnTokTable *t, void *scratch, size_t cap, bool places);

/* Is text, valid UTF-8, the same? false: perhaps not. */
bool sn_tok_norm_keeps(const SnTokNorm *m, SnBytes text);

/* Normalises one run of text[at->byte .. end), valid UTF-8, and moves at past it; it begins at the begin of a
 * stretch between added tokens, or where the run before ended. out->from may be NULL; else for each character
 * it has the character of the text it stands for, or (below 0) ~ the place it stands at for none. false: out
 * is full. */
bool sn_tok_norm_run(const SnTokNorm *m, const uint8_t *text, SnTokPlace *at, size_t end, SnTokOut *out);

/* ---- added tokens (added.c) --------------------------------------------------------------------------- */

typedef struct SnTokFinder {
    size_t at;    /* search goes on here */
    size_t taken; /* the pieces up to here have been given out */
} SnTokFinder;

typedef struct SnTokMatch {
    uint32_t id; /* SN_TOK_NONE: the end of the text */
    size_t begin, end;
} SnTokMatch;

/* The next added token in text, with the white space it takes along; at the end {NONE, text.n, text.n}. What
 * lies between *taken before the call and the match's begin is text. false: out of time, call again. */
bool sn_tok_find_added(const SnTokTable *t, const SnTokAdded *all, const uint32_t *first, SnBytes text,
                       SnTokFinder *f, SnTokMatch *match, SnTokClock *clock);

/* ---- offsets that leave white space out (window.c) ----------------------------------------------------- */

/* Leaves white space, and the sign byte-level vocabularies write for it, at both ends of a token's text out
 * of its place. */
void sn_tok_trim(const SnTokTable *t, SnBytes text, bool is_first, int32_t *begin, int32_t *end);
/* The same for a token whose text is not that of its id, marked: ~begin, and ~end where it begins a space
 * earlier if it comes first; begin is end + 1 where it ends a space earlier, too. */
void sn_tok_trim_own(const SnTokTable *t, SnBytes text, int32_t *begin, int32_t *end);

/* ---- patterns (split.c) ------------------------------------------------------------------------------- */

#define SN_TOK_NO_MATCH SIZE_MAX
/* Where the match of pattern `regex` that begins at byte `at` of text (valid UTF-8) ends. */
size_t sn_tok_match(const SnTokTable *t, uint32_t regex, SnBytes text, size_t at);

/* ---- models: one word to ids (bpe.c, wordpiece.c, unigram.c) ------------------------------------------- */

typedef struct SnTokIds { /* where a model puts tokens; n is what it counts up */
    int32_t *id;
    uint32_t *end; /* of each token, in bytes of the word; as the one before: in the same place; NULL: not
                      asked for */
    size_t n, max;
} SnTokIds;

static inline SnStatus sn_tok_put_id(SnTokIds *out, uint32_t id, size_t end, SnError *err)
{
    SN_CHECK(out->n < out->max, err, SN_ESHAPE, "tok_encode: ids have more than their bound of %zu",
             out->max);
    if (out->end != NULL)
        out->end[out->n] = (uint32_t)end;
    out->id[out->n++] = (int32_t)id;
    return SN_OK;
}

typedef struct SnTokWork { /* what a model keeps between calls for one word */
    void *at;              /* SN_TOK_WORK(word.n) bytes, 64-byte aligned, of any content at first */
    size_t step;           /* 0 at first; the model's own from then on */
    SnTokClock *clock;
} SnTokWork;

/* A word of n > 0 bytes, valid UTF-8 (byte-level: any bytes). SN_AGAIN: out of time, to be called again with
 * the same word, work and out. SN_ESHAPE: out is full. */
typedef SnStatus SnTokModelFn(const SnTokTable *t, SnBytes word, SnTokWork *work, SnTokIds *out,
                              SnError *err);
SnTokModelFn sn_tok_run_bpe, sn_tok_run_wordpiece, sn_tok_run_unigram, sn_tok_run_wordlevel;

/* Words for which a BPE gives ids together; count SIZE_MAX: not for this one. */
enum { SN_TOK_GROUP = 8, SN_TOK_GROUP_SIZE = 128, SN_TOK_GROUP_IDS = 128 };
typedef struct SnTokGroup {
    SnBytes word[SN_TOK_GROUP]; /* as of SnTokModelFn, of at most SN_TOK_GROUP_SIZE bytes */
    size_t n, count[SN_TOK_GROUP];
    int32_t id[SN_TOK_GROUP][SN_TOK_GROUP_IDS];
} SnTokGroup;
void sn_tok_group_bpe(const SnTokTable *t, SnTokGroup *g);

/* NULL: there is no such model. */
SnTokModelFn *sn_tok_model(uint32_t model);
/* Parts of sn_tokenizer_check. */
bool sn_tok_check_splits(const SnTokTable *t), sn_tok_check_bpe(const SnTokTable *t);
bool sn_tok_check_forms(const SnTokTable *t); /* the steps are checked already */
#define SN_TOK_WORK(n) (1024 + 24 * (size_t)(n))

#endif
