/* typed.h -- what a model that was compiled ahead of time does for people: text in, vector, scores or spans
 * out.
 *
 * The functions that a model's header declares (NAME_create, NAME_embed ...) are jumps to the functions here
 * (sn_typed_create, sn_typed_embed ...); NAME_create passes the model's SnTypedDesc as its last argument. A
 * context (SnTyped) is a running copy of the model: SnContext, program, instance, and room for a text, all in
 * the host's memory or in one block of it. Contexts of one model share its code and weights.
 *
 *   create                     then, again and again: begin, step until it is SN_OK, take the result;
 *   destroy                    or in one call: embed, classify, tag, answer, fill
 *
 *   - All functions return a status: an SnStatus, or SN_TYPED_AGAIN from step. sn_typed_error has the text.
 *   - create allocates everything for texts of max_text bytes; from then on nothing allocates. A longer text
 *     grows the context where it has an allocator, and is SN_ESHAPE where it lives in a block.
 *   - A context is used by one thread at a time, different contexts at once; cancel comes from any thread.
 *   - Texts are copied by begin. Malformed UTF-8 is read as U+FFFD, one for each ill-formed part.
 *   - A wrong call (no text begun, a NULL where data goes) is SN_EINVAL and changes nothing.
 *
 * Programs. Text programs run over one text: batch is 1. Entry "main" has the input "text", list<u8>[batch],
 * and, where it always takes two, "pair"; a program that takes one or two has the entry "pair" for two.
 * Every measured dim is bounded, so that memory can be planned for any text. Outputs of each kind:
 *
 *   EMBED     embeddings f32[batch, width]
 *   CLASSIFY  scores f32[batch, width]: after softmax or sigmoid
 *   TAG       label i32[batch, seq], score f32[batch, seq]: the best label of each token and its probability;
 *             offsets, special: list<i32>[batch] as tok_window gives them
 *   ANSWER    start, end f32[batch, seq]: logits; ids, offsets, word_ids, sequence: list<i32>[batch];
 *             question first, context second; any number of windows as rows, `count` i64[] of them if there
 *             is such an output
 *
 *   FILL      ids i32[batch, width], scores f32[batch, width]: the likeliest tokens at the first mask, best
 *             first; masks i64[batch]: how many masks the text has
 *
 *   CHAT      the entries of a decoder (runtime/lm.h), and on the same instance: tokens, text list<u8>[1] ▶
 *             ids list<i32>[1]; text, new i32[1, count], end i32[1] ▶ text list<u8>[1], hit i32[1]: what
 *             tokens that come one after the other say, as tok_stream has it
 *
 *   TRAIN     the entries of a training program (frontends/training/train.h): step, the first one, eval,
 *             begin, state, restore; an input has its name in one of them alone
 *
 *   TENSORS   any entries, inputs and outputs */
#ifndef SN_TYPED_H
#define SN_TYPED_H

#include "runtime/program.h"

#define SN_TYPED_AGAIN      ((SnStatus)-1) /* step: more to do */
#define SN_TYPED_MAX_ANSWER 15             /* tokens of an answer */

typedef enum SnTypedKind {
    SN_TYPED_TENSORS,
    SN_TYPED_EMBED,
    SN_TYPED_CLASSIFY,
    SN_TYPED_TAG,
    SN_TYPED_ANSWER,
    SN_TYPED_FILL,
    SN_TYPED_CHAT,
    SN_TYPED_TRAIN,
    SN_TYPED_KIND_COUNT
} SnTypedKind;

/* Once a message is answered: is what the answer says up to its last "</think>" forgotten? */
typedef enum SnTypedForgets {
    SN_TYPED_KEEPS,
    SN_TYPED_FORGETS,
    SN_TYPED_FORGETS_LINES /* and the line ends that follow */
} SnTypedForgets;

/* CHAT: how a conversation becomes tokens. A message is what comes before it, the message, and `answer`; then
 * the model's tokens come, and end with one of `stop`, which is dropped. Empty parts: plain text that goes
 * on.
 */
typedef struct SnTypedChat {
    uint32_t context;    /* tokens of a conversation */
    uint32_t max_new;    /* tokens of an answer; 0: as many as fit */
    uint32_t token_size; /* bytes of the longest token */
    uint32_t trims;      /* messages lose white space around them */
    const char *first;   /* before the first message of a conversation */
    const char *next;    /* before each further one */
    const char *answer;
    /* What stands in the place of these parts once there is an answer, `said` before it; NULL: the same. */
    const char *past_first, *past_next, *said;
    const int32_t *begin; /* tokens of a conversation before all others */
    const int32_t *stop;
    const char *const *number; /* inputs of the decoder that are numbers, and */
    const double *value;       /* their values */
    uint32_t nbegin, nstop, nnumber;
    uint32_t forgets; /* SnTypedForgets */
} SnTypedChat;

/* Constant data of a model: NAME_typed. */
typedef struct SnTypedDesc {
    uint32_t abi;      /* SN_ABI */
    uint32_t kind;     /* SnTypedKind */
    uint32_t width;    /* EMBED: numbers of a vector; CLASSIFY, TAG: labels; FILL: words; else 0 */
    uint32_t has_pair; /* two texts can be given */
    uint32_t max_text; /* bytes of each text that create makes room for */
    uint32_t reserved;
    uint64_t block_bytes; /* what sn_typed_measure said; 0: not known */
    const SnProgramDesc *program;
    const char *const *label; /* width names, or NULL */
    const char *shape;        /* TENSORS, TRAIN: "batch=1,seq=128" that create makes room for; NULL: none */
    const SnTypedChat *chat;  /* CHAT; else NULL */
} SnTypedDesc;

/* What a context gets from the host: zeros are defaults but for the first two. */
typedef struct SnTypedHost {
    uint32_t struct_size;  /* sizeof(SnTypedHost): the struct may grow at its end */
    uint32_t abi;          /* SN_ABI */
    uint32_t flags;        /* SN_USE_AMX */
    uint32_t threads;      /* without `jobs`: more than 1 makes a pool of so many (its memory is malloc's) */
    void *block;           /* all memory of the context, at any address; destroy leaves it to the host */
    size_t block_size;     /* NAME_BLOCK_BYTES, or more */
    SnAllocator memory;    /* without a block: all memory; zero: malloc. With a block: of traces only */
    SnJobs jobs;           /* zero: the calling thread */
    SnTrace trace;         /* hears of every step; zero: none */
    const char *cpu_level; /* NULL: the best of this machine; "v3", "v4", "v4d", "amx" to force a lower one */
    const char *shape; /* "batch=8,seq=512" to make room for; `at create` dims too. NULL: the model's own */
    char *message;     /* gets the text of an error of create; NULL: none */
    size_t message_size;
} SnTypedHost;

/* A part of a text, in bytes. */
typedef struct SnTypedSpan {
    size_t begin, end;
    const char *name; /* TAG: the label without B- or I-, lent by the model; ANSWER: NULL */
    float score;
    uint32_t label; /* TAG: of the first token */
} SnTypedSpan;

/* A word for a mask. */
typedef struct SnTypedWord {
    const char *text; /* UTF-8, not terminated, lent by the model */
    size_t size;
    float score;
    int32_t id;
} SnTypedWord;

typedef struct SnTyped SnTyped; /* a context */

/* ---- life ---- */

/* SN_EUNSUPPORTED: another abi, or a CPU below the model's levels. SN_ENOMEM: also a block that is too small,
 * with the numbers. *out is written on success only. */
SN_MUST_CHECK SnStatus sn_typed_create(const SnTypedHost *host, SnTyped **out, const SnTypedDesc *desc);
void sn_typed_destroy(SnTyped *t);                /* NULL is fine */
const char *sn_typed_error(const SnTyped *t);     /* of the last call that failed; "": none. Lent */
const char *sn_typed_cpu_level(const SnTyped *t); /* whose code runs: "v3", "v4", "v4d", "amx", "base" */
const char *sn_typed_label(uint32_t i, const SnTypedDesc *desc); /* NULL: there is no label i. Lent */

/* Bytes that a block needs so that create with it succeeds, for any address of the block. Reads of the
 * program only its image; abi, kind, max_text and shape of the desc count. 0: the desc has no shape to plan
 * for. */
SN_MUST_CHECK SnStatus sn_typed_measure(const SnTypedDesc *desc, uint64_t *block_bytes, SnError *err);

/* ---- runs ---- */

/* Copies a text (two), and ends a run that is not done. */
SN_MUST_CHECK SnStatus sn_typed_begin(SnTyped *t, const char *utf8, size_t n);
SN_MUST_CHECK SnStatus sn_typed_begin_pair(SnTyped *t, const char *a, size_t na, const char *b, size_t nb);
/* SN_OK: done. SN_TYPED_AGAIN: budget_ns have passed; it stopped between two tiles. 0: no budget. Slices of
 * any length give the bits of one run. After SN_ECANCELLED, or another failure, begin again. */
SN_MUST_CHECK SnStatus sn_typed_step(SnTyped *t, uint64_t budget_ns);
SN_MUST_CHECK SnStatus sn_typed_run(SnTyped *t); /* step without budget */
/* Any thread: the run that goes on ends at the next tile, its step returns SN_ECANCELLED. */
void sn_typed_cancel(SnTyped *t);

/* ---- results of the last run; they can be taken more than once ---- */
SN_MUST_CHECK SnStatus sn_typed_vector(SnTyped *t, float *out); /* EMBED: width numbers */
SN_MUST_CHECK SnStatus sn_typed_scores(SnTyped *t, float *out); /* CLASSIFY: width numbers */
/* TAG: spans in order; *count of all, of which the first max are written. out may be NULL where max is 0. */
SN_MUST_CHECK SnStatus sn_typed_spans(SnTyped *t, SnTypedSpan *out, size_t max, size_t *count);
SN_MUST_CHECK SnStatus sn_typed_span(SnTyped *t, SnTypedSpan *out); /* ANSWER: of the context */
SN_MUST_CHECK SnStatus sn_typed_words(SnTyped *t, SnTypedWord *out, size_t max,
                                      size_t *count); /* FILL: best first */

/* ---- all in one call ---- */
SN_MUST_CHECK SnStatus sn_typed_embed(SnTyped *t, const char *utf8, size_t n, float *out);
SN_MUST_CHECK SnStatus sn_typed_classify(SnTyped *t, const char *utf8, size_t n, float *scores);
SN_MUST_CHECK SnStatus sn_typed_classify_pair(SnTyped *t, const char *a, size_t na, const char *b, size_t nb,
                                              float *scores);
SN_MUST_CHECK SnStatus sn_typed_tag(SnTyped *t, const char *utf8, size_t n, SnTypedSpan *out, size_t max,
                                    size_t *count);
SN_MUST_CHECK SnStatus sn_typed_answer(SnTyped *t, const char *question, size_t nquestion,
                                       const char *context, size_t ncontext, SnTypedSpan *out);
SN_MUST_CHECK SnStatus sn_typed_fill(SnTyped *t, const char *utf8, size_t n, SnTypedWord *out, size_t max,
                                     size_t *count);

/* ---- conversations (CHAT, typed_say.c) ---- */

/* begin: a message; step, run: the answer. A message that comes before the answer is done cuts it there. An
 * answer that has no room in the context ends; a message that has none is SN_ESHAPE: forget, and begin again.
 * A host's shape "context=N" makes room for another number of tokens. */

/* What was said since the last call, in whole characters. Lent until the next begin. */
SN_MUST_CHECK SnStatus sn_typed_text(SnTyped *t, const char **text, size_t *n);
SN_MUST_CHECK SnStatus sn_typed_forget(SnTyped *t); /* begins a new conversation */
/* Gets a piece of an answer; != 0: that is enough of it. */
typedef int SnTypedSink(void *user, const char *text, size_t n);
SN_MUST_CHECK SnStatus sn_typed_say(SnTyped *t, const char *utf8, size_t n, SnTypedSink *sink, void *user);

/* ---- any entry, input and output by name: as sn_entry, sn_bind, sn_reserve, sn_result, sn_reset ---- */
SN_MUST_CHECK SnStatus sn_typed_entry(SnTyped *t, const char *entry);
SN_MUST_CHECK SnStatus sn_typed_bind(SnTyped *t, const char *input, const SnView *view);
SN_MUST_CHECK SnStatus sn_typed_reserve(SnTyped *t, const char *shape);
SN_MUST_CHECK SnStatus sn_typed_result(SnTyped *t, const char *output, SnView *out);
SN_MUST_CHECK SnStatus sn_typed_reset(SnTyped *t);

/* ---- training (TRAIN) ---- */

/* create and reset leave the weights as they were when the model was compiled, and no step taken. bind looks
 * for the input in every entry. step, in slices, is a step of training, run one of the entry that was chosen
 * last; these run theirs to its end. Results are then taken by name. */
SN_MUST_CHECK SnStatus sn_typed_eval(SnTyped *t);    /* inputs "eval.NAME" */
SN_MUST_CHECK SnStatus sn_typed_state(SnTyped *t);   /* every carry is a result of its name */
SN_MUST_CHECK SnStatus sn_typed_restore(SnTyped *t); /* every carry is an input of its name */

/* ---- carried state ---- */

/* Between runs. *size is in and out; to NULL asks for it. A state fits every context whose carries have the
 * same names, types and sizes, also of a newer build of the model: save, open the new one, load, drop the old
 * one. Another layout is SN_EFORMAT. */
SN_MUST_CHECK SnStatus sn_typed_state_save(SnTyped *t, void *to, size_t *size);
SN_MUST_CHECK SnStatus sn_typed_state_load(SnTyped *t, const void *from, size_t size);

/* ---- traces ---- */

/* Keeps the timings of all steps from begin to end, then writes them for chrome://tracing and Perfetto. They
 * are kept in host.memory, or malloc's: a run may allocate while it is traced. */
SN_MUST_CHECK SnStatus sn_typed_trace_begin(SnTyped *t);
SN_MUST_CHECK SnStatus sn_typed_trace_end(SnTyped *t, const char *path);

#endif
