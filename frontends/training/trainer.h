/* trainer.h -- what the files of the Trainer share. */
#ifndef SN_TRAINER_INSIDE_H
#define SN_TRAINER_INSIDE_H

#include "frontends/peft.h"
#include "frontends/training/log.h"
#include "frontends/training/source.h"

/* torch.optim.lr_scheduler.ReduceLROnPlateau, between evaluations. */
typedef struct SnPlateau {
    double best; /* NaN: none */
    int64_t bad, cooldown;
} SnPlateau;

struct SnTrainer {
    SnContext *ctx;
    SnCompiler *cc;
    SnTrainerDesc d;
    const SnJson *config;
    SnArena arena;               /* as long as the trainer */
    SnArena batch_arena;         /* of a batch */
    const char *output, *resume; /* resume: a checkpoint, or NULL */
    SnDataset *data;             /* what the names of labels lie in */
    SnModel *model, *text;       /* text: whose tokenizer; may be the model */
    SnAdapter *adapter;          /* that learns, in the model; NULL: the model does */
    SnCollate collate;
    SnTrainSource train, eval, test; /* test: rows to predict */
    SnTraining *session;
    SN_VEC(const char *) used; /* parameters of the head, by their names in the file */
    SnTrainerState state;
    SnTrainerControl control;
    SnTrainLog log;
    int64_t patience, most_patience; /* evaluations that were no better; 0: any number of them */
    double patience_step;            /* early_stopping_threshold */
    SnPlateau plateau;
    const char *metric; /* metric_for_best_model; NULL: none is best */
    bool greater;       /* greater_is_better */
    bool counts_tokens, counts_padding;
};

/* ---- trainer.c ---- */
typedef enum SnTrainerEventKind {
#define SN_X(NAME) SN_ON_##NAME,
    SN_TRAINER_EVENTS(SN_X)
#undef SN_X
} SnTrainerEventKind;
void sn_trainer_emit(SnTrainer *t, SnTrainerEventKind e, const SnJson *logs);
double sn_trainer_now(void); /* seconds */
bool sn_trainer_is_plateau(const SnTrainer *t);

/* ---- trainer_eval.c ---- */
/* SN_EINVAL: the config names metrics that are none, or none of this task. */
SN_MUST_CHECK SnStatus sn_trainer_check_metrics(const SnTrainer *t, SnError *err);
/* Loss and metrics of rows with the weights as they are: members of an object, whose names begin with
 * "PREFIX_". said: gets a line of JSON for each row; or NULL. */
SN_MUST_CHECK SnStatus sn_trainer_score(SnTrainer *t, SnTrainSource *rows, const char *prefix, SnText *said,
                                        SnText *out, SnError *err);
/* The same of test_file, where there is one, and output_dir/predictions.jsonl. */
SN_MUST_CHECK SnStatus sn_trainer_predict(SnTrainer *t, SnText *out, SnError *err);

/* ---- answers_score.c: answers by the logits of windows, an example after the other ---- */
typedef struct SnFoundAnswer {
    int64_t start, end; /* code points of the context; 0, 0: there is no answer */
    float score, start_logit, end_logit;
} SnFoundAnswer;
typedef struct SnAnswerScores {
    const SnTrainSource *rows;
    bool allows_none; /* version_2_with_negative; where nobody told: a row has no answer */
    int64_t example;  /* whose windows come now, or -1 */
    int64_t most, n;
    SnFoundAnswer *best, none; /* the n best ones; that there is none, by the window that is least for it */
    bool has_none;
    int64_t *first, *last; /* places */
    SnText predictions, references, said;
    SnArena arena;
} SnAnswerScores;
SN_MUST_CHECK SnStatus sn_answer_scores_begin(SnAnswerScores *s, const SnTrainSource *rows, SnError *err);
/* Windows from `first` on, in their order. */
SN_MUST_CHECK SnStatus sn_answer_scores_add(SnAnswerScores *s, int64_t first, const SnView *start,
                                            const SnView *end, SnError *err);
/* Input of the metric squad, or squad_v2 where allows_none; s->said: a line of JSON for each example. */
SN_MUST_CHECK SnStatus sn_answer_scores_end(SnAnswerScores *s, SnText *input, SnError *err);
void sn_answer_scores_clear(SnAnswerScores *s);

/* ---- init.c: models that are made of a config ---- */
/* Weights of the model's config, at random, in the place of a file's. */
SN_MUST_CHECK SnStatus sn_train_init(SnModel *m, uint64_t seed, SnError *err);

/* ---- card.c ---- */
/* README.md of output_dir, unless there is one that somebody wrote. */
SN_MUST_CHECK SnStatus sn_train_card(SnTrainer *t, SnError *err);

/* ---- checkpoint.c ---- */
/* Weights, config and tokenizer files to a folder, which is made where it is not there. */
SN_MUST_CHECK SnStatus sn_checkpoint_model(SnTrainer *t, const char *folder, SnError *err);
/* output_dir/checkpoint-STEP, written beside and renamed; then older ones go as save_total_limit says. */
SN_MUST_CHECK SnStatus sn_checkpoint_write(SnTrainer *t, SnError *err);
/* Where one checkpoint is kept, that is the best one. */
SN_MUST_CHECK SnStatus sn_checkpoint_finish(SnTrainer *t, SnError *err);
/* The session, state and log of a checkpoint. */
SN_MUST_CHECK SnStatus sn_checkpoint_read(SnTrainer *t, const char *folder, SnError *err);
/* Its weights alone. */
SN_MUST_CHECK SnStatus sn_checkpoint_weights(SnTrainer *t, const char *folder, SnError *err);
/* The last one of output_dir in the arena; NULL: none. Removes what was left half-written. */
SN_MUST_CHECK SnStatus sn_checkpoint_last(SnTrainer *t, const char **out, SnError *err);
const char *sn_checkpoint_path(SnTrainer *t, int64_t step); /* in the arena */

#endif
