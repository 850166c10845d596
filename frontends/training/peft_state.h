/* peft_state.h -- an open adapter: its config, its tensors, which modules it is for. */
#ifndef SN_PEFT_STATE_H
#define SN_PEFT_STATE_H

#include "frontends/hf/adapter.h"
#include "frontends/model.h"

typedef enum SnPeftType { SN_PEFT_LORA, SN_PEFT_IA3, SN_PEFT_PROMPT, SN_PEFT_PREFIX } SnPeftType;

struct SnAdapter {
    SnModel *m;
    const char *folder; /* for messages */
    SnFolder *files;    /* NULL: it was made */
    const SnJson *config;
    const char *type_name; /* peft_type */
    SnWeights *weights;    /* its tensors; NULL until one is made */
    SnPeftType type;
    uint64_t id;    /* of these numbers; changes with them */
    uint64_t seed;  /* of the numbers of new tensors */
    bool is_new;    /* tensors that a module lacks are made when it is built */
    int64_t tokens; /* virtual */
    size_t asked;   /* tensors that the build at hand read, each counted once */
    SnMap seen;
    SnArena arena;
};

/* Does the adapter change this module? Rules of PEFT: suffixes, a regular expression or all-linear, what is
 * excluded, layers by number. */
bool sn_peft_targets(SnBuild *b, const char *module, bool *is_target);
/* The number that a pattern of rank_pattern or alpha_pattern gives a module, else the config's. */
double sn_peft_pattern(SnBuild *b, const char *patterns, const char *key, const char *module,
                       double otherwise);
SnWeights *sn_peft_weights(SnAdapter *a);

#endif
