/* generate.h -- decoders as programs for runtime/lm.h, and what a GenerationConfig says. */
#ifndef SN_TASK_GENERATE_H
#define SN_TASK_GENERATE_H

#include "frontends/tasks/text.h"
#include "runtime/lm.h"

/* ---- GenerationConfig (generate_config.c), as of transformers 5.23 ---- */

typedef struct SnIds {
    const int32_t *at;
    uint32_t n;
} SnIds;

typedef struct SnGenConfig {
    const SnJson *json; /* all keys: of the call, then of generation_config.json, or else of config.json */
    int64_t max_length, max_new_tokens; /* -1: not said */
    int64_t num_beams, num_return_sequences;
    int64_t prompt_lookup_num_tokens, max_matching_ngram_size; /* 0: none */
    int64_t num_assistant_tokens;
    int64_t seed; /* sinter's own: of the first row */
    int64_t pad;  /* -1: there is none */
    bool do_sample, output_logits, output_scores;
    SnLmEarly early_stopping;
    double length_penalty, max_time;
    SnIds end;          /* eos_token_id */
    const SnJson *stop; /* stop_strings: a string or an array of them; or NULL */
    bool is_guided;     /* a row is guided by one that begins with its last token, or with `negative` */
    SnIds negative;     /* negative_prompt_ids */
    SnIds adapter;      /* adapter_rows: which adapter each row has, 0: none; or one for all */
} SnGenConfig;
/* options: an object, or NULL; base: what they go over, NULL: the folder's. What is unknown or cannot be done
 * is an error where the call asks for it. Memory of the arena, and of the options. */
SN_MUST_CHECK SnStatus sn_gen_config(SnModel *m, const SnJson *options, const SnJson *base, SnArena *arena,
                                     SnGenConfig *out, SnError *err);
/* generation_config.json, or config.json where there is none. */
SN_MUST_CHECK SnStatus sn_gen_file(SnModel *m, SnArena *arena, const SnJson **out, SnError *err);
/* SN_EINVAL: not a token of the model. */
SN_MUST_CHECK SnStatus sn_gen_check_id(const SnModel *m, int64_t id, SnError *err);
/* Tokens that a row of nid tokens can get, where the model has `places` positions; SN_ESHAPE: none. */
SN_MUST_CHECK SnStatus sn_gen_room(const SnModel *m, int64_t places, int64_t nid, int64_t *out, SnError *err);
/* Tokens at which a row of nid tokens ends. */
int64_t sn_gen_max_length(const SnModel *m, const SnGenConfig *c, int64_t nid);

/* Tokens in front of every row that stand for those of the model's adapter: they have places, and nobody sees
 * them. */
int64_t sn_gen_virtual(const SnModel *m);
/* The tensors of the adapter, for the driver, in the arena. */
SN_MUST_CHECK SnStatus sn_gen_adapter(const SnModel *m, SnArena *arena, SnLmDesc *out, SnError *err);

/* Numbers of a row: those of the program (spec filled), its adapter and, the last one, its seed. */
#define SN_GEN_NUMBERS 18
uint32_t sn_gen_numbers(const SnGenConfig *c, const char *const *name, uint32_t n, int64_t seed,
                        SnLmNumber out[SN_GEN_NUMBERS]);

/* ---- texts (generate_text.c) ---- */
/* What the tokens behind a prompt say, in whole characters, and where a stop string ends it. */
typedef struct SnGenText {
    bool keep_special, keep_stop; /* keep_stop: the text has the stop string and the rest of its last token */
    bool is_begun;
    size_t upto; /* tokens: given out, or of the prompt */
    SnView stop; /* ndim 0: none */
    uint8_t hold[SN_TOK_HOLD_SIZE];
} SnGenText;
/* Once the flags are set. stop: of SnGenConfig; its view lies in the arena. */
SN_MUST_CHECK SnStatus sn_gen_text_begin(SnGenText *t, const SnJson *stop, size_t nprompt, SnArena *arena,
                                         SnError *err);
/* Appends to out (or NULL) what the tokens beyond `upto` add, at most 64; is_last: also what waits. *hit: a
 * stop string is complete. */
SN_MUST_CHECK SnStatus sn_gen_text(SnModel *m, SnGenText *t, const int32_t *ids, size_t n, bool is_last,
                                   SnText *out, bool *hit, SnError *err);

/* ---- the program (generate_graph.c) ---- */
typedef struct SnGenProgram {
    const SnGenConfig *config;
    uint32_t keep;          /* entry `beam` with so many candidates a row; 0: none */
    bool is_constrained;    /* rows may have an SnLmAllow */
    const char *number[16]; /* filled: keys of config that are numbers of a row */
    uint32_t nnumber;
    int64_t places; /* filled: positions that the model has; 0: no limit */
} SnGenProgram;
SnModelFill sn_gen_fill; /* with an SnGenProgram: its entries */
/* Do two configs make the same program? */
bool sn_gen_is_same(SnModel *m, SnGenProgram *a, SnGenProgram *b);
/* Kept with the model. */
SN_MUST_CHECK SnStatus sn_gen_program(SnModel *m, SnGenProgram *spec, SnProgram **out, SnError *err);

#endif
