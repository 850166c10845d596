/* text_ahead.h -- texts that become tokens beside something else: all memory is taken before, so that the
 * work can be done by jobs, a little at a time. */
#ifndef SN_TEXT_AHEAD_H
#define SN_TEXT_AHEAD_H

#include "frontends/tasks/text.h"

enum { SN_TEXT_STEPS = 3 }; /* the texts, what is behind them, their windows */

typedef struct SnTextAhead {
    SnArena arena;
    const SnBytes *text;           /* nbyte of them, copied one by one to where the ops look */
    size_t ntext, ncopied, copied; /* copied: bytes */
    uint8_t *bytes;
    SnHostFn *fn[SN_TEXT_STEPS];
    SnHostCall call[SN_TEXT_STEPS];
    int step, nstep;
    SnStatus st;
    SnError err;                                   /* where st is none */
    int64_t n;                                     /* rows; the results are lists of i32 over them */
    SnView ids, types, special, word_ids, offsets; /* the last two: only of words, or where asked for */
} SnTextAhead;

/* Forgets what was there. o: truncation, max_length and words; texts are borrowed until they are done, as are
 * words. Results are those of sn_model_tokenize, without what does not fit into a row. */
SN_MUST_CHECK SnStatus sn_text_ahead_begin(SnTextAhead *a, const SnModel *m, const SnTokenizeOptions *o,
                                           const SnBytes *text, const SnBytes *pair, size_t n,
                                           bool has_places, SnError *err);
/* Works until it is done, or until about then (sn_now_ns; 0: no limit). Takes no memory. true: it is done. */
bool sn_text_ahead_go(SnTextAhead *a, uint64_t deadline_ns);
void sn_text_ahead_clear(SnTextAhead *a);

#endif
