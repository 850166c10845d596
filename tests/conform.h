/* conform.h -- one fixture case being run: what the kinds of cases share. */
#ifndef SN_TESTS_CONFORM_H
#define SN_TESTS_CONFORM_H

#include "frontends/hf/safetensors.h"
#include "frontends/hub.h"

typedef struct Conform {
    const char *dir, *out; /* out NULL: only checked */
    const char *device;
    const char *so_dir; /* --via-so: where programs are compiled to; or NULL */
    SnDtype dtype;      /* asked for; SN_NODTYPE: what the case says */
    uint32_t flags;
    bool check;
    SnContext *ctx;
    SnCompiler *cc;
    SnArena arena;      /* of all below */
    const SnJson *spec; /* case.json */
    SnSafetensors input;
    SN_VEC(SnStWrite) result; /* tensors; or, for a case without any: */
    SnText data;              /* data.json with every null filled in */
} Conform;

/* A kind of case: runs it and leaves its results. */
typedef SnStatus ConformKind(Conform *c, SnError *err);
ConformKind conform_forward, conform_sentence, conform_pipeline, conform_logits, conform_quant,
    conform_generate, conform_chat, conform_train, conform_peft, conform_metrics;

/* DIR/FILE in the arena. */
SN_MUST_CHECK SnStatus conform_path(Conform *c, const char *file, const char **out, SnError *err);
SN_MUST_CHECK SnStatus conform_json(Conform *c, const char *file, const SnJson **out, SnError *err);
/* Opens a folder of the case, computing in dtype. */
SN_MUST_CHECK SnStatus conform_model(Conform *c, const char *folder, SnDtype dtype, SnModel **out,
                                     SnError *err);
/* The tensors of a call's `inputs`, at most MAX_INPUTS behind the n that there are (conform_forward.c). */
SN_MUST_CHECK SnStatus conform_inputs(Conform *c, const SnJson *inputs, SnNamedTensor *in, size_t *n,
                                      SnError *err);
/* Copies v, converted to a dtype; name is copied. */
SN_MUST_CHECK SnStatus conform_add(Conform *c, const char *name, const SnView *v, SnDtype dtype,
                                   SnError *err);
/* Micro-batches [first, first + n) of the inputs: [..] of one, [n, ..] of several (conform_train.c). */
void conform_pick(const SnNamedTensor *all, size_t nin, int64_t first, int64_t n, SnNamedTensor *out);
/* The steps of the case's `training`, and its results. */
SN_MUST_CHECK SnStatus conform_steps(Conform *c, SnModel *m, const SnNamedTensor *in, size_t nin,
                                     SnError *err);
const char *conform_string(Conform *c, const SnJson *v); /* NULL: none */

/* Compares the results, prints a line for each; *passed. */
typedef SnStatus ConformCompare(Conform *c, bool *passed, SnError *err);
ConformCompare conform_compare;      /* tensors with expected.safetensors (conform_check.c) */
ConformCompare conform_compare_data; /* `expected` of rows or cases of data.json (conform_task.c) */
ConformCompare conform_compare_chat; /* rows of kind chat (conform_chat.c) */

#endif
