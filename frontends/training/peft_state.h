/* peft_state.h -- an open adapter: its config, its tensors, which modules it is for. */
#ifndef SN_PEFT_STATE_H
#define SN_PEFT_STATE_H

#include "frontends/hf/adapter.h"
#include "frontends/model.h"

#define SN_PEFT_NAME 512 /* bytes of a name */

/* What a LoRA begins as, and takes out of the model's own matrices: pissa, its rounds where they are said;
 * olora. */
typedef enum SnPeftTaken { SN_PEFT_NOTHING, SN_PEFT_PISSA, SN_PEFT_ROUNDS, SN_PEFT_OLORA } SnPeftTaken;
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
    SnPeftTaken taken;
    int64_t rounds; /* of SN_PEFT_ROUNDS */
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
/* The factor of b a in a module. */
double sn_peft_scale(SnBuild *b, const char *module, int64_t rank);
/* ---- peft_rank.c ---- */
/* One of the products of a module. */
typedef struct SnPeftPart {
    float *a, *b; /* [rank, in], [out, rank] */
    int64_t rank;
    double weight; /* what b a is taken times */
    double given;  /* what the host gave beside */
    int64_t at;    /* its first column of all, where each row of a batch has an adapter of its own */
} SnPeftPart;
/* Of a combination: f32[adapters + 1, rank], 1 where a column counts for a row with that number. */
#define SN_PEFT_COLUMNS "adapter_columns"
/* Rows of a table in the place of the model's own. */
#define SN_PEFT_ROWS "token_adapter.trainable_tokens_delta"
/* The rank-th best approximation of the sum of weight b a; a has rows of length 1. False: no memory. */
bool sn_peft_best(SnArena *work, const SnPeftPart *part, size_t n, int64_t in, int64_t out, int64_t rank,
                  float *a, float *b);
/* The same of a matrix w [out, in]. */
bool sn_peft_nearest(SnArena *work, const float *w, int64_t out, int64_t in, int64_t rank, float *a,
                     float *b);
/* What a part of w [out, in] that is taken out begins as: a [rank, in], b [out, rank]; w - scale b a is left.
 * False: no memory. */
bool sn_peft_part(SnArena *work, const SnAdapter *adapter, const float *w, int64_t out, int64_t in,
                  SnPeftPart *p);
/* ---- peft_taken.c ---- */
/* The tensor beside those of a module that has what was taken out; it does not learn. */
#define SN_PEFT_TAKEN_A "lora_A.initial"
#define SN_PEFT_TAKEN_B "lora_B.initial"
/* Reads the value of init_lora_weights; false: it is none of these. */
bool sn_peft_reads_taken(SnAdapter *a, const SnJson *v);
/* Computes what is taken out of each matrix; a new adapter's tensors begin as it. */
SN_MUST_CHECK SnStatus sn_peft_take(SnAdapter *a, bool is_new, SnError *err);
/* Is it a tensor that files have in another form: b a less what was taken out, as a LoRA of twice the rank?
 */
bool sn_peft_is_doubled(const SnAdapter *a, SnBytes name);
bool sn_peft_is_taken(SnBytes name);
/* That form of it. */
SN_MUST_CHECK SnStatus sn_peft_double(const SnAdapter *a, const SnStTensor *t, SnArena *arena, SnView *out,
                                      SnError *err);
/* The config, of that form where there is one. */
void sn_peft_put_config(const SnAdapter *a, SnText *t);
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
