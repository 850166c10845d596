/* program.h -- tasks as programs: one graph from UTF-8 to what people want of a model, with the outputs that
 * runtime/typed.h lists for each kind. */
#ifndef SN_TASK_PROGRAM_H
#define SN_TASK_PROGRAM_H

#include "frontends/tasks/text.h"
#include "runtime/typed.h"

/* ---- from bytes to a head ---- */
typedef struct SnTextNet {
    SnWindowing windowing;
    bool gives_types;    /* token_type_ids go to the model */
    bool has_place;      /* logits are wanted at the first `place` token of a row alone: [batch, 1, ..] */
    uint32_t place;      /* its id */
    const char *head;    /* as in SnModelPart */
    const char *want[2]; /* outputs; the second may be NULL */
    SnWindows windows;   /* filled */
    SnPadded x;
    SnValue out[2];
} SnTextNet;
/* Adds inputs `text` (and `pair`). With windowing.windows the rows are as many as there are windows. */
void sn_text_net(SnModel *m, SnGraph *g, SnModelProgram *p, SnTextNet *net);

/* ---- tasks ---- */
typedef struct SnTaskProgram {
    const char *name; /* of the task */
    SnTypedKind kind;
    bool has_pair;
    SnModelFill *fill; /* with the SnTaskProgram itself; NULL: TENSORS */
    SnTextConfig tokenizer;
    const void *chain; /* EMBED: of sentence.c */
    int64_t limit;     /* tokens of a window; 0: none */
    uint32_t max_text; /* bytes of a text that there is room for */
    uint32_t width;    /* as in SnTypedDesc: known when the graph is filled */
    const char *const *label;
    struct SnTalk *talk; /* CHAT: of talk.c */
} SnTaskProgram;
/* What a task of this model is: task NULL: what the folder is made for. Lent from the arena. */
SN_MUST_CHECK SnStatus sn_task_program(SnModel *m, const char *task, SnArena *arena, SnTaskProgram *out,
                                       SnError *err);

SnTypedKind sn_task_kind(const char *task); /* TENSORS: also of one that is not known */

/* What a classifier's logits go through, as config.json says. */
typedef enum SnApply { SN_APPLY_NONE, SN_APPLY_SIGMOID, SN_APPLY_SOFTMAX } SnApply;
SnApply sn_task_apply(const SnModel *m);
/* Which class is entailment: the first of label2id that begins so; -1: none. */
int64_t sn_task_entailment(const SnModel *m);
/* Tokens of a window of a question and a context, and how many two of them share, as in the reference. */
#define SN_ANSWER_SEQ   384
#define SN_ANSWER_SHARE 128

/* ---- sentence.c ---- */
/* The modules of a folder; their weights join those of the model. */
SN_MUST_CHECK SnStatus sn_sentence_chain(SnModel *m, SnArena *arena, const void **chain, int64_t *max_length,
                                         SnError *err);
/* Vectors f32[batch, width]; the windows are of max_length tokens. */
SnValue sn_sentence_embed(SnModel *m, SnGraph *g, SnModelProgram *p, const void *chain, int64_t max_length);
/* Scores f32[batch, labels] of a cross encoder. */
SnValue sn_sentence_rank(SnModel *m, SnGraph *g, SnModelProgram *p, const SnTextConfig *tokenizer,
                         int64_t max_length);

#endif
