/* log.h -- what a training tells: log_history of Transformers, the same as JSON lines, and TensorBoard's
 * event files. */
#ifndef SN_TRAIN_LOG_H
#define SN_TRAIN_LOG_H

#include "frontends/training.h"
#include "runtime/bytes.h"

typedef struct SnTrainLog {
    SnContext *ctx;
    SnText history;             /* objects with commas between them */
    const char *lines, *events; /* files that grow; events NULL: none */
} SnTrainLog;

/* Paths lie in the arena; events: a folder, made here, or NULL. */
SN_MUST_CHECK SnStatus sn_train_log_begin(SnTrainLog *l, SnContext *ctx, SnArena *arena, const char *folder,
                                          const char *events, SnError *err);
/* members: "\"loss\": 0.5, \"epoch\": 1". The object with the step is appended, and given as JSON. */
SN_MUST_CHECK SnStatus sn_train_log_add(SnTrainLog *l, SnArena *arena, const char *members, int64_t step,
                                        const SnJson **out, SnError *err);
void sn_train_log_end(SnTrainLog *l);

#endif
