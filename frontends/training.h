/* training.h -- train models: a step, an evaluation, the state, one after the other.
 *
 * A training is a program of its model: parameters, what the optimizer keeps and the count of steps are its
 * carries, and begin as the folder has them. Nothing is allocated in a step but at a batch that is larger
 * than those before. A training is used by one thread at a time and ends before its model. */
#ifndef SN_TRAINING_H
#define SN_TRAINING_H

#include "frontends/hub.h"

typedef struct SnTraining SnTraining;

typedef struct SnTrainingDesc {
    uint32_t struct_size;
    /* Names of TrainingArguments of Transformers, an object; or NULL: learning_rate, weight_decay,
     * adam_beta1, adam_beta2, adam_epsilon, optim, optim_args, lr_scheduler_type, lr_scheduler_kwargs,
     * warmup_steps, max_steps, max_grad_norm, gradient_accumulation_steps, label_smoothing_factor, bf16,
     * fp16, seed (of dropout), neftune_noise_alpha, gradient_checkpointing, memory_budget */
    const SnJson *args;
    const SnNamedTensor *sample; /* a micro-batch: which inputs there are, and of what kind */
    size_t nsample;
    const char *shape; /* "batch=8,seq=512": the largest micro-batch, for memory_budget; NULL: the sample's */
    const char *const *want; /* outputs of an evaluation; nwant 0: all of the head */
    size_t nwant;
    /* A step's loss is the mean of those of its micro-batches; else as Trainer has it: over all labels, or
     * the sum where a class ignores their number (BERT's classifiers). */
    bool is_mean_of_batches;
    /* Nothing is drawn: no dropout, whatever the model's config says, and no noise; norms of batches go by
     * their running statistics. */
    bool keeps_all;
    /* 8-bit optimizers narrow what they keep of embeddings, too, of which Trainer leaves f32. */
    bool narrows_tables;
    /* Which parameters learn, and which of those decay, by their names in the file; NULL: all */
    bool (*trains)(void *self, const char *name);
    bool (*decays)(void *self, const char *name);
    void *self;
} SnTrainingDesc;
SN_API SN_MUST_CHECK SnStatus sn_training_create(SnModel *m, const SnTrainingDesc *d, SnTraining **out,
                                                 SnError *err);
SN_API void sn_training_destroy(SnTraining *t);

/* `decays` as Trainer has it: all but biases and norms. */
SN_API bool sn_training_decays(void *self, const char *name);

typedef struct SnTrainingStep {
    double loss, grad_norm, learning_rate; /* grad_norm: before it is clipped */
    bool is_finite; /* the gradients; else nothing was changed but the scale of an f16 loss */
} SnTrainingStep;
/* Numbers of all parameters but tables of words and places: what Trainer counts operations by. */
SN_API int64_t sn_training_weights(const SnTraining *t);
/* One step over inputs [micro-batches, ..]: gradient_accumulation_steps of them, or what is left of an epoch;
 * [..] where that is 1. */
SN_API SN_MUST_CHECK SnStatus sn_training_step(SnTraining *t, const SnNamedTensor *in, size_t nin,
                                               SnTrainingStep *out, SnError *err);
/* Where the last step, whose numbers are not finite, made the first one that is not: its ops, and the
 * parameter that was read last. Adds to *out; nothing where it is not found again. */
SN_API SN_MUST_CHECK SnStatus sn_training_explain(SnTraining *t, SnText *out, SnError *err);
/* The outputs of the head on a batch, with the parameters as they are. */
SN_API SN_MUST_CHECK SnStatus sn_training_eval(SnTraining *t, const SnNamedTensor *in, size_t nin,
                                               SnResults **out, SnError *err);
/* The learning rate from now on; only with lr_scheduler_type reduce_lr_on_plateau. */
SN_API SN_MUST_CHECK SnStatus sn_training_rate(SnTraining *t, double rate, SnError *err);
/* Parameters f32 by their names in the file, what the optimizer keeps of them ("exp_avg.NAME"), and "step".
 */
SN_API SN_MUST_CHECK SnStatus sn_training_state(SnTraining *t, SnResults **out, SnError *err);
SN_API SN_MUST_CHECK SnStatus sn_training_restore(SnTraining *t, const SnNamedTensor *state, size_t n,
                                                  SnError *err);

/* The same program ahead of time, in a file with functions of its own (sn_model_emit): NAME_step and its kin.
 * d->nsample 0: inputs as o->input names them, usually input_ids, attention_mask and labels. Where d->args
 * have no max_steps, the rate must not end: it stays constant where no lr_scheduler_type is given. */
SN_API SN_MUST_CHECK SnStatus sn_training_emit(SnModel *m, const SnTrainingDesc *d, const SnEmitOptions *o,
                                               const char *path, SnError *err);

/* ---- the Trainer: from files to a folder of weights ---- */

typedef enum SnTrainKeyKind {
    SN_KEY_BOOL,
    SN_KEY_INT,
    SN_KEY_FLOAT,
    SN_KEY_STRING,
    SN_KEY_OBJECT, /* {"key": value}, or a string "key=value,key=value" */
    SN_KEY_ANY,
    SN_KEY_IDLE, /* it changes nothing here; otherwise is JSON */
    SN_KEY_ONLY  /* only its default is done; the same */
} SnTrainKeyKind;
/* A key that a config may have: a name of TrainingArguments, or of our own (model_name_or_path, train_file,
 * ...). */
typedef struct SnTrainKey {
    const char *name;
    SnTrainKeyKind kind;
    const char *otherwise; /* its default; NULL: null */
    double least, most;    /* of numbers */
    const char *choice;    /* of strings: "no|steps|epoch"; NULL: any */
    const char *does;
} SnTrainKey;
SN_API const SnTrainKey *sn_train_key(size_t i); /* NULL: past the end */
/* Checks a config: SN_EINVAL names a key that is none, and the nearest one, or a value out of its range. */
SN_API SN_MUST_CHECK SnStatus sn_train_config_check(const SnJson *config, SnError *err);

/* TrainerState of Transformers; what trainer_state.json has. */
typedef struct SnTrainerState {
    double epoch;
    int64_t global_step, max_steps, num_train_epochs;
    int64_t logging_steps, eval_steps, save_steps, train_batch_size;
    int64_t best_global_step; /* 0: none */
    double best_metric;       /* NaN: none */
    const char *best_model_checkpoint;
    double loss, grad_norm, learning_rate; /* of the last step */
    int64_t num_input_tokens_seen;         /* where include_num_input_tokens_seen asks for them */
    double total_flos;                     /* 6 for each place of an input and parameter */
    uint64_t tokens;                       /* that were trained on since this run began, without padding */
    double seconds;                        /* since then */
} SnTrainerState;
typedef struct SnTrainerControl {
    bool should_training_stop, should_epoch_stop, should_save, should_evaluate, should_log;
} SnTrainerControl;

/* TrainerCallback of Transformers. logs: what is logged, of on_log, on_evaluate and on_predict; else NULL. */
#define SN_TRAINER_EVENTS(X)                                                                                 \
    X(init_end)                                                                                              \
    X(train_begin)                                                                                           \
    X(train_end)                                                                                             \
    X(epoch_begin)                                                                                           \
    X(epoch_end)                                                                                             \
    X(step_begin)                                                                                            \
    X(pre_optimizer_step)                                                                                    \
    X(optimizer_step)                                                                                        \
    X(substep_end)                                                                                           \
    X(step_end)                                                                                              \
    X(evaluate)                                                                                              \
    X(predict)                                                                                               \
    X(save)                                                                                                  \
    X(log)                                                                                                   \
    X(prediction_step)                                                                                       \
    X(push_begin)
typedef void SnTrainerEvent(void *self, const SnTrainerState *state, SnTrainerControl *control,
                            const SnJson *logs);
typedef struct SnTrainerCallback {
    void *self;
#define SN_X(NAME) SnTrainerEvent *on_##NAME; /* NULL: not heard */
    SN_TRAINER_EVENTS(SN_X)
#undef SN_X
} SnTrainerCallback;

typedef struct SnTrainer SnTrainer;
typedef struct SnTrainerDesc {
    uint32_t struct_size;
    const SnJson *config; /* lives as long as the trainer */
    const char *device;   /* NULL: auto */
    uint32_t flags;       /* SN_EXACT */
    const SnTrainerCallback *callback;
    size_t ncallback;
    /* Logits f32[rows, ..] and labels i64[rows, ..] of an evaluation ▶ members of a JSON object,
     * "\"accuracy\": 0.5"; NULL: the metrics that the config names. */
    SnStatus (*compute_metrics)(void *self, const SnView *logits, const SnView *labels, SnText *members,
                                SnError *err);
    void *self;
} SnTrainerDesc;
/* Opens the model, reads the data. */
SN_API SN_MUST_CHECK SnStatus sn_trainer_create(SnCompiler *cc, const SnTrainerDesc *d, SnTrainer **out,
                                                SnError *err);
SN_API void sn_trainer_destroy(SnTrainer *t);
/* Trains and leaves the weights in output_dir. json: what train() of Transformers gives, an object. */
SN_API SN_MUST_CHECK SnStatus sn_trainer_train(SnTrainer *t, SnText *json, SnError *err);
/* Metrics of the validation file with the weights as they are. */
SN_API SN_MUST_CHECK SnStatus sn_trainer_evaluate(SnTrainer *t, SnText *json, SnError *err);
/* A folder with the model as it is: weights, config, tokenizer files. */
SN_API SN_MUST_CHECK SnStatus sn_trainer_save(SnTrainer *t, const char *folder, SnError *err);
SN_API const struct SnAdapter *sn_trainer_adapter(const SnTrainer *t); /* that learns; NULL: the model does */
SN_API const SnTrainerState *sn_trainer_state(const SnTrainer *t);
/* log_history so far: an array of objects. */
SN_API SN_MUST_CHECK SnStatus sn_trainer_log(const SnTrainer *t, SnText *json, SnError *err);

/* ---- Trainer.hyperparameter_search: trials of a config ---- */

/* {"method": "random" or "grid", "space": {KEY: [values], KEY: {"low", "high", "step", "log"}}, "n_trials",
 * "direction": "minimize" or "maximize", "objective": a metric, "seed"}; all of them may be absent. */
typedef struct SnSearch SnSearch;
/* *out NULL: the config has no hyperparameter_search. The config lives as long as the search. */
SN_API SN_MUST_CHECK SnStatus sn_search_create(SnContext *ctx, const SnJson *config, SnSearch **out,
                                               SnError *err);
SN_API void sn_search_destroy(SnSearch *s);
SN_API int64_t sn_search_trials(const SnSearch *s);
SN_API const char *sn_search_chosen(const SnSearch *s, int64_t trial); /* an object: what it tries */
/* The config of a trial; its output_dir is run-N in that of the search. */
SN_API SN_MUST_CHECK SnStatus sn_search_config(SnSearch *s, int64_t trial, const SnJson **out, SnError *err);
/* The last evaluation of a trial, an object; why: it failed. */
SN_API SN_MUST_CHECK SnStatus sn_search_report(SnSearch *s, int64_t trial, const SnText *metrics,
                                               const char *why, SnError *err);
SN_API double sn_search_objective(const SnSearch *s, int64_t trial); /* NaN: none */
SN_API int64_t sn_search_best(const SnSearch *s);                    /* -1: none */
/* {"direction", "best_run": {"run_id", "objective", "hyperparameters"}, "trials": [the same, and "metrics" or
 * "error"]}. */
SN_API SN_MUST_CHECK SnStatus sn_search_result(const SnSearch *s, SnText *json, SnError *err);

#endif
