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
     * warmup_steps, max_steps, max_grad_norm, gradient_accumulation_steps */
    const SnJson *args;
    const SnNamedTensor *sample; /* a micro-batch: which inputs there are, and of what kind */
    size_t nsample;
    /* Which parameters learn, and which of those decay, by their names in the file; NULL: all */
    bool (*trains)(void *self, const char *name);
    bool (*decays)(void *self, const char *name);
    void *self;
} SnTrainingDesc;
SN_API SN_MUST_CHECK SnStatus sn_training_create(SnModel *m, const SnTrainingDesc *d, SnTraining **out,
                                                 SnError *err);
SN_API void sn_training_destroy(SnTraining *t);

typedef struct SnTrainingStep {
    double loss, grad_norm, learning_rate; /* grad_norm: before it is clipped */
} SnTrainingStep;
/* One step over inputs [gradient_accumulation_steps, ..], or [..] where that is 1. */
SN_API SN_MUST_CHECK SnStatus sn_training_step(SnTraining *t, const SnNamedTensor *in, size_t nin,
                                               SnTrainingStep *out, SnError *err);
/* The outputs of the head on a batch, with the parameters as they are. */
SN_API SN_MUST_CHECK SnStatus sn_training_eval(SnTraining *t, const SnNamedTensor *in, size_t nin,
                                               SnResults **out, SnError *err);
/* Parameters f32 by their names in the file, what the optimizer keeps of them ("exp_avg.NAME"), and "step".
 */
SN_API SN_MUST_CHECK SnStatus sn_training_state(SnTraining *t, SnResults **out, SnError *err);
SN_API SN_MUST_CHECK SnStatus sn_training_restore(SnTraining *t, const SnNamedTensor *state, size_t n,
                                                  SnError *err);

#endif
