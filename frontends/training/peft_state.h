/* peft_state.h -- an open adapter: its config, its tensors, which modules it is for. */
#ifndef SN_PEFT_STATE_H
#define SN_PEFT_STATE_H

#include "frontends/hf/adapter.h"
#include "frontends/model.h"

#define SN_PEFT_NAME 512 /* bytes of a name */

typedef enum SnPeftType { SN_PEFT_LORA, SN_PEFT_IA3, SN_PEFT_PROMPT, SN_PEFT_PREFIX } SnPeftType;

struct SnAdapter {
    SnModel *m;
    const char *folder; /* for messages */
    SnFolder *files;    /* NULL: it was made */
    const SnJson *config;
    const char *type_name; /* peft_type */
    const char *prefix;    /* of the names of its tensors */
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

/* ---- peft_config.c ---- */
/* Checks a config; a new one gets the keys that PEFT writes. */
SN_MUST_CHECK SnStatus sn_peft_read_config(SnAdapter *a, SnBytes bytes, SnError *err);
/* Does the adapter change this module? Rules of PEFT: suffixes, a regular expression or all-linear, what is
 * excluded, layers by number. */
bool sn_peft_targets(SnBuild *b, const char *module, bool is_linear, bool *is_target);
/* Is the module what a key of the config names: one pattern, or the ends of names? whole: from a dot on. */
bool sn_peft_is_named(SnBuild *b, const char *key, const char *module, bool whole);
/* The number that a pattern of rank_pattern or alpha_pattern gives a module, else the config's. */
double sn_peft_pattern(SnBuild *b, const char *patterns, const char *key, const char *module,
                       double otherwise);
bool sn_peft_is_on(const SnAdapter *a, const char *key);
int64_t sn_peft_int(const SnAdapter *a, const char *key, int64_t otherwise);
SnWeights *sn_peft_weights(SnAdapter *a);

/* ---- peft.c ---- */
typedef enum SnPeftInit { SN_PEFT_FLAT, SN_PEFT_UNIFORM, SN_PEFT_NORMAL } SnPeftInit;
/* A tensor [rows, cols]; cols 0: [rows]. A new adapter makes it: `size` in all places, numbers within +-size,
 * or normal ones times size. */
typedef struct SnPeftWanted {
    const char *name;
    int64_t rows, cols;
    SnPeftInit init;
    double size;
} SnPeftWanted;
/* It of a module, f32; module NULL: the name is whole. */
SnValue sn_peft_need(SnBuild *b, const char *module, SnPeftWanted w);
/* ---- peft_prompt.c ---- */
/* prompt_embeddings of an adapter that has an encoder of them, f32[tokens, width]; *out NULL: it has none. */
SN_MUST_CHECK SnStatus sn_peft_prompts(SnAdapter *a, SnEvalResult **out, SnError *err);
/* Is the tensor of the encoder, which no file has? */
bool sn_peft_is_encoder(SnBytes name);

/* ---- peft_file.c ---- */
/* One that has nothing yet. */
SN_MUST_CHECK SnStatus sn_peft_begin(SnModel *m, const char *name, SnAdapter **out, SnError *err);
/* Builds the model with it: shapes are checked against modules, and a new one's tensors are made. */
SN_MUST_CHECK SnStatus sn_peft_try(SnAdapter *a, SnError *err);
/* Results of the model with it, of one row of tokens (NULL: any): KIND.MODULE.. are told by name. */
SN_MUST_CHECK SnStatus sn_peft_results(SnAdapter *a, const int64_t *ids, int64_t n, const char *const *want,
                                       size_t nwant, bool merged, SnResults **out, SnError *err);
/* KIND and the name of each module that has a tensor with one of these ends, in the arena. */
SN_MUST_CHECK SnStatus sn_peft_modules(const SnAdapter *a, SnArena *arena, const char *kind,
                                       const char *const *ends, size_t nend, const char *const **out,
                                       size_t *n, SnError *err);

#endif
