/* collate.h -- what the rows of a dataset are to a training, and rows of tokens as batches.
 *
 * A batch is a function of the rows that it has and of a seed, so that a run that is resumed sees the same
 * ones. Which rows are read when: source.h. */
#ifndef SN_TRAIN_COLLATE_H
#define SN_TRAIN_COLLATE_H

#include "frontends/data/dataset.h"
#include "frontends/model.h"
#include "frontends/training/arguments.h"
#include "ops/media/picture.h"

typedef enum SnTrainTask {
    SN_TRAIN_CLASSIFY, /* a label a row */
    SN_TRAIN_TAG,      /* a label a word */
    SN_TRAIN_CAUSAL,   /* the next token */
    SN_TRAIN_MASKED,   /* tokens that are hidden */
    SN_TRAIN_IMAGE,    /* a label an image */
    SN_TRAIN_PAIR,     /* a text for a text */
    SN_TRAIN_ANSWER,   /* where in a context the answer to a question stands */
    SN_TRAIN_TASKS
} SnTrainTask;
/* Words are guessed: there is nothing but the loss to tell. */
static inline bool sn_train_guesses(SnTrainTask task)
{
    return task == SN_TRAIN_CAUSAL || task == SN_TRAIN_MASKED || task == SN_TRAIN_PAIR;
}

/* A row, word or image has a class, or a row has a number. */
static inline bool sn_train_has_classes(SnTrainTask task)
{
    return !sn_train_guesses(task) && task != SN_TRAIN_ANSWER;
}

typedef struct SnTrainRows {
    int64_t n;
    SN_VEC(int64_t) start;      /* [n + 1], of a row's tokens */
    SN_VEC(int32_t) ids, types; /* types: only where a model takes them */
    SN_VEC(int32_t)
    labels; /* of tokens. TAG: classes or -100; MASKED: 1 where a token may be hidden, 2 where it
                is with the one before. ANSWER: two a row, the first and last token of an answer */
    SN_VEC(int64_t) target_end; /* PAIR: labels are tokens that are to come out; where each row's end */
    SN_VEC(double) target;      /* CLASSIFY: of rows */
    SN_VEC(int32_t)
    place;                   /* ANSWER, where answers are looked for: two a token, code points of the
                                context; -1: of none */
    SN_VEC(int64_t) example; /* likewise: the row of a window */
} SnTrainRows;
void sn_train_rows_clear(SnTrainRows *r, const SnAllocator *memory);

/* What images are made to be: both sides, or the shorter one; all 0: as they are. */
typedef struct SnImageSize {
    int64_t height, width, shortest;
} SnImageSize;

/* What becomes of an image: another size, its middle, then (byte * factor - mean) / std. */
#define SN_IMAGE_CHANNELS 4
typedef struct SnImages {
    int64_t channels, height, width; /* at the end; height 0: no rows were read yet */
    SnImageSize resize, crop;
    SnResample how;
    bool is_known; /* the class of the processor is; else images are as large as it wants them */
    double factor;
    float mean[SN_IMAGE_CHANNELS], std[SN_IMAGE_CHANNELS];
    const SnJson *processor; /* preprocessor_config.json, or NULL */
} SnImages;

typedef struct SnCollate {
    SnContext *ctx;
    SnModel *text; /* whose tokenizer it is */
    const SnJson *config;
    SnArena *arena; /* of names of labels */
    SnTrainTask task;
    int64_t vocabulary, most, most_target; /* most: tokens of a row or block */
    int32_t pad, mask;
    bool gives_types, is_regression, is_padded; /* is_padded: rows are as long as most */
    bool is_flat; /* the rows of a batch lie one behind the other in one: DataCollatorWithFlattening */
    bool skips_pad;           /* a token that is the padding's is not guessed, wherever it stands */
    const char *const *label; /* NULL: LABEL_0, LABEL_1 .. */
    int64_t nlabel;
    SnImages images;
} SnCollate;

/* model: what is trained; text: whose tokenizer rows go through. */
SN_MUST_CHECK SnStatus sn_collate_begin(SnCollate *c, const SnModel *model, SnError *err);
/* Files by the keys of the config that say how; path: a string, or a list of them. */
SN_MUST_CHECK SnStatus sn_collate_open(const SnCollate *c, const SnJson *path, SnDataset **out, SnError *err);
/* Finds the labels of the rows that are trained on. */
SN_MUST_CHECK SnStatus sn_collate_labels(SnCollate *c, const SnDataset *d, SnError *err);
/* Columns of texts (or images), of texts behind them (PAIR: that are to come out), and of labels; -1: none.
 * ANSWER: questions, contexts, answers. */
typedef struct SnTrainColumns {
    int64_t text, pair, label;
    int64_t text_field, pair_field; /* languages of a translation: fields of the column; -1: it is a text */
} SnTrainColumns;
SN_MUST_CHECK SnStatus sn_collate_columns(const SnCollate *c, const SnDataset *d, SnTrainColumns *out,
                                          SnError *err);
/* The class of a label; what: of which rows, for messages. */
SN_MUST_CHECK SnStatus sn_collate_class(const SnCollate *c, SnCell cell, const char *what, int64_t row,
                                        int64_t *out, SnError *err);
#define SN_TRAIN_INPUTS 5
/* ---- images.c ---- */
SN_MUST_CHECK SnStatus sn_images_begin(SnCollate *c, const SnModel *model, SnError *err);
SN_MUST_CHECK SnStatus sn_images_column(const SnCollate *c, const SnDataset *d, int64_t *out, SnError *err);
/* How large those of this column become: as large as others before them. what: for messages. */
SN_MUST_CHECK SnStatus sn_images_shape(SnCollate *c, const SnDataset *d, uint32_t column, const char *what,
                                       SnError *err);
/* pixel_values and labels of rows of d, as sn_collate_batch. */
SN_MUST_CHECK SnStatus sn_images_batch(const SnCollate *c, const SnDataset *d, const SnTrainColumns *column,
                                       const int64_t *row, int64_t n, int64_t times, SnArena *arena,
                                       SnNamedTensor in[SN_TRAIN_INPUTS], size_t *nin, SnError *err);
void sn_images_processor(const SnCollate *c, SnText *out); /* preprocessor_config.json as it is meant */

/* ---- answers.c ---- */
/* All rows as windows of at most c->most tokens. what: for messages. is_scored: place and example, too. */
SN_MUST_CHECK SnStatus sn_answers_read(const SnCollate *c, const SnDataset *d, const SnTrainColumns *column,
                                       const char *what, bool is_scored, SnTrainRows *out, SnError *err);
int64_t sn_answers_count(const SnDataset *d, const SnTrainColumns *column,
                         int64_t row); /* 0: there is none */

/* ---- batches ---- */
/* Rows as inputs [n, longest], or [times, n / times, longest] where times > 0; a row of -1 counts for
 * nothing. seed: of hidden tokens. */
SN_MUST_CHECK SnStatus sn_collate_batch(const SnCollate *c, const SnTrainRows *r, const int64_t *row,
                                        int64_t n, int64_t times, uint64_t seed, SnArena *arena,
                                        SnNamedTensor in[SN_TRAIN_INPUTS], size_t *nin, SnError *err);

#endif
