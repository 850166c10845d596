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

#endif
