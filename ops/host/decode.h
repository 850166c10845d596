/* decode.h -- decoders: lists of tokens to text. Private to ops/host. */
#ifndef SN_DECODE_H
#define SN_DECODE_H

#include "ops/host/tok.h"

typedef struct SnTokStrings { /* one behind the other */
    uint8_t *text;
    uint32_t *end;
    size_t n, size;   /* strings; bytes, also of the one that is being made */
    size_t max, room; /* how many of both there may be */
    bool is_full;
} SnTokStrings;

/* The work memory of sn_tok_decode_list: strings before and after a step. */
typedef struct SnTokDecodeWork {
    SnTokStrings a, b;
} SnTokDecodeWork;
#define SN_TOK_DECODE_WORK(n, size) (2 * ((size_t)(size) + 4 * ((size_t)(n) + 1)))

/* Lays the strings into SN_TOK_DECODE_WORK(n, size) bytes, for n tokens and size bytes after any step. */
void sn_tok_decode_init(SnTokDecodeWork *w, void *work, size_t n, size_t size);
/* The text of n ids; lent by the work. Ids that are no tokens are left out. SN_ESHAPE: it does not fit. */
SN_MUST_CHECK SnStatus sn_tok_decode_list(const SnTokTable *t, SnTokDecodeWork *w, const int32_t *ids,
                                          size_t n, bool skip_special, SnBytes *out, SnError *err);

/* ---- spelling: what an id decodes to, where that depends on nothing beside it ---------------------------
 */

typedef struct SnTokSpelling { /* of a decoder */
    bool is_possible;
    bool odd_first, odd_last; /* the first token of a row, the last one is spelled in another way */
    uint32_t nstep;           /* so many steps are spelled; what follows takes off the ends of a row */
    uint32_t end;             /* the step that ends spelling: JOIN, FUSE, BYTES, FALLBACK; 0: none */
} SnTokSpelling;

typedef enum SnTokPosition { SN_TOK_ALONE, SN_TOK_BEHIND, SN_TOK_BEFORE } SnTokPosition;

SnTokSpelling sn_tok_spelling(const SnTokTable *t);
/* What a token of any bytes decodes to behind, or before, another one; lent by the work, which has room for
 * two strings and a byte more. {NULL, 0}: it does not fit. *is_part: it is a byte that
 * fell back. */
SnBytes sn_tok_spell(const SnTokTable *t, const SnTokSpelling *p, SnTokDecodeWork *work, SnBytes token,
                     SnTokPosition position, bool *is_part);
/* What the steps behind those that are spelled leave of a row. */
SnBytes sn_tok_strip_ends(const SnTokTable *t, const SnTokSpelling *p, SnBytes text);

#endif
