/* train.h -- a training program of a model: entries over one set of carries.
 *
 *   begin   parameters become what the file has: the first run of an instance
 *   step    a micro-batch (or several, [micro, ..]) of the head's inputs ▶ loss, grad_norm, learning_rate,
 * is_finite: else nothing but the scale of the loss changes;
 * changes parameters, what the optimizer keeps, and `step` eval    the same inputs of one batch ▶ the outputs
 * of the head; changes nothing state   ▶ every carry, by name: parameters by their names in the file, what
 * the optimizer keeps of one as KIND.NAME ("exp_avg.model.norm.weight"), step restore every carry as an input
 * of its name; they become those
 *
 * Which rows a batch has, when to evaluate and what to write is the business of who drives it. */
#ifndef SN_TRAIN_H
#define SN_TRAIN_H

#include "frontends/model.h"

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
} SnLrSchedule;

typedef struct SnTrainSpec {
    const char *head;         /* class name or task; NULL: the model's own */
    const char *const *input; /* names, and what each is in one micro-batch */
    const SnInputShape *shape;
    size_t ninput;
    const char *const *want; /* outputs of `eval`; nwant 0: all of the head */
    size_t nwant;
    int64_t accumulate;      /* micro-batches of a step; 1: inputs have no axis for them */
    double max_grad_norm;    /* 0: gradients are not clipped */
    double smoothing;        /* of labels */
    bool is_mean_of_batches; /* a step's loss is the mean of its micro-batches', not that of all labels */
    SnDtype dtype;           /* of arithmetic; SN_F16: with a scale of the loss; SN_NODTYPE: the model's */
    SnOptimizer optimizer;
    SnLrSchedule schedule;
    /* Which parameters are trained, and which of those decay, by their names; NULL: all */
    bool (*trains)(void *self, const char *name);
    bool (*decays)(void *self, const char *name);
    void *self;
} SnTrainSpec;

/* SnModelFill; user is a SnTrainSpec. */
void sn_train_fill(SnModel *m, SnGraph *g, SnModelProgram *p, void *user);

#endif
