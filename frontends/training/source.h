/* source.h -- the rows of a training as they are needed: those of a batch are read and tokenized while the
 * step before it runs, by jobs that have nothing else to do.
 *
 * Memory does not go by the number of rows, except where all of them are looked at before: blocks of tokens
 * (packing) and windows (answers) are made of all rows, grouping by length needs their lengths. */
#ifndef SN_TRAIN_SOURCE_H
#define SN_TRAIN_SOURCE_H

#include "frontends/tasks/text_ahead.h"
#include "frontends/training/collate.h"

typedef struct SnTrainSource {
    const SnCollate *c;
    SnDataset *d;
    const char *what; /* for messages */
    SnTrainColumns column;
    int64_t n;              /* rows, blocks or windows */
    SN_VEC(int32_t) length; /* of rows, where they are grouped by it */
    SN_VEC(int32_t) tokens; /* of all blocks */
    SnTrainRows windows;    /* all of them */
    SnTrainRows now;        /* of the batch */
    SnTextAhead ahead;      /* of the next one, */
    SnTextAhead target;     /* and what is to come out of it (PAIR), */
    SN_VEC(int64_t) row;    /* which has these rows */
    SnArena arena;          /* of their cells */
} SnTrainSource;

/* Looks at the labels of all rows. what is borrowed. is_scored: answers will be looked for in windows. */
SN_MUST_CHECK SnStatus sn_train_source_open(SnTrainSource *s, SnCollate *c, SnDataset *d, const char *what,
                                            bool is_scored, SnError *err);
void sn_train_source_close(SnTrainSource *s);
/* How many tokens each row has: read before any is asked for. Blocks are of one length. */
SN_MUST_CHECK SnStatus sn_train_source_measure(SnTrainSource *s, SnError *err);
int64_t sn_train_source_length(const SnTrainSource *s, int64_t row);
/* sn_collate_batch of these rows; s->now has their tokens then. */
SN_MUST_CHECK SnStatus sn_train_source_batch(SnTrainSource *s, const int64_t *row, int64_t n, int64_t times,
                                             uint64_t seed, SnArena *arena, SnNamedTensor in[SN_TRAIN_INPUTS],
                                             size_t *nin, SnError *err);
/* These are the rows of the next batch: read from now on, beside what runs. */
SN_MUST_CHECK SnStatus sn_train_source_expect(SnTrainSource *s, const int64_t *row, int64_t n, SnError *err);

#endif
