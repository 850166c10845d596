/* recipe.h -- how parameters and the learning rate change, by names of TrainingArguments. */
#ifndef SN_TRAIN_RECIPE_H
#define SN_TRAIN_RECIPE_H

#include "frontends/training/arguments.h"
#include "frontends/training/train.h"

/* optim, optim_args, weight_decay, adam_*. Strings live in the arena. */
SN_MUST_CHECK SnStatus sn_recipe_optimizer(SnArena *a, const SnJson *args, SnOptimizer *out, SnError *err);
/* lr_scheduler_type, lr_scheduler_kwargs, learning_rate, warmup_steps, max_steps */
SN_MUST_CHECK SnStatus sn_recipe_schedule(SnArena *a, const SnJson *args, SnLrSchedule *out, SnError *err);
/* Does the rate of lr_scheduler_type end at max_steps? */
bool sn_recipe_ends(const SnJson *args);
/* The config with the numbers of steps that follow from it, in the arena. max_steps 0: the rate does not end,
 * and is constant unless lr_scheduler_type is given. */
SN_MUST_CHECK SnStatus sn_recipe_resolved(SnArena *a, const SnJson *config, int64_t max_steps,
                                          const SnJson **out, SnError *err);

#endif
