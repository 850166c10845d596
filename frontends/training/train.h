/* train.h -- a training program of a model: entries over one set of carries.
 *
 *   begin    parameters become what the file has: the first run of an instance
 *   step     a micro-batch (or several, [micro, ..]) of the head's inputs; changes parameters, what the
 *            optimizer keeps, and `step`; gives loss, grad_norm, learning_rate and is_finite: where that is
 *            false nothing but the scale of the loss changes
 *   eval     the same inputs of one batch, by names that begin with "eval."; gives the outputs of the head
 *   state    gives every carry by name: parameters by their names in the file, what the optimizer keeps of
 *            one as KIND.NAME ("exp_avg.model.norm.weight"), step
 *   restore  takes every carry as an input of its name
 *   rate     only where the schedule says so: takes learning_rate, which stays until the next one
 *
 * Which rows a batch has, when to evaluate and what to write is the business of who drives it. */
#ifndef SN_TRAIN_H
#define SN_TRAIN_H

#include "frontends/model.h"
#include "frontends/training.h"

/* An optimizer row of ops/optim.c, and the values of its attributes; others have their defaults. */
#define SN_OPTIM_ATTRS 16
typedef struct SnOptimizer {
    const char *op; /* "adamw", "sgd", "adafactor", ... */
    SnAttr attr[SN_OPTIM_ATTRS];
    int nattr;
    bool is_8bit; /* what it keeps of large parameters is 8-bit numbers, with a scale for each 256 */
} SnOptimizer;

/* A learning rate: lr * lr_factor(step) with these attributes of ops/optim.c. */
typedef struct SnLrSchedule {
    double lr;
    SnAttr attr[SN_OPTIM_ATTRS];
    int nattr;
    bool is_told; /* by the entry `rate` instead */
} SnLrSchedule;

/* What a program is made from: what its user said, and what the arguments in it mean. */
typedef struct SnTrainSpec {
    const SnTrainingDesc *desc; /* its sample only by names */
    const SnInputShape *shape;  /* of each of those in one micro-batch */
    int64_t accumulate;         /* micro-batches of a step, at most; 1: inputs have no axis for them */
    double max_grad_norm;       /* 0: gradients are not clipped */
    double smoothing;           /* of labels */
    double neftune_alpha;
    uint64_t seed;          /* of what is drawn */
    bool is_remat;          /* layers are computed again by their gradients */
    uint64_t memory_budget; /* as in SnCompileOptions, at: */
    const char *budget_shape;
    SnDtype dtype; /* of arithmetic; SN_F16: with a scale of the loss; SN_NODTYPE: the model's */
    SnOptimizer optimizer;
    SnLrSchedule schedule;
    int64_t nweight; /* filled: numbers of all parameters but tables of words and places, learnt or not */
} SnTrainSpec;

/* What a description says, after sn_model_need. */
SN_MUST_CHECK SnStatus sn_train_spec(const SnModel *m, SnArena *arena, const SnTrainingDesc *d,
                                     SnTrainSpec *s, SnError *err);
/* SnModelFill; user is a SnTrainSpec. */
void sn_train_fill(SnModel *m, SnGraph *g, SnModelProgram *p, void *user);

#endif
