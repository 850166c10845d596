/* pipeline.h -- one call of a pipeline, as the tasks see it: arguments, texts in, logits out.
 *
 * Everything is as in the pipelines of transformers 5.23.0 (question answering: 4.57.1), which is called "the
 * reference" in these files. */
#ifndef SN_TASK_PIPELINE_H
#define SN_TASK_PIPELINE_H

#include "frontends/tasks/text.h"

typedef struct SnPipe {
    SnModel *m;
    const char *task, *head;      /* that was asked for; that of the head which it runs on */
    const SnJson *input, *kwargs; /* kwargs: an object, or NULL */
    SnArena arena;                /* of the call */
    SnText *out;
    SnTextConfig tokenizer;
} SnPipe;

typedef SnStatus SnPipeRun(SnPipe *p, SnError *err);
SnPipeRun sn_pipe_fill_mask, sn_pipe_classify, sn_pipe_extract, sn_pipe_tag, sn_pipe_answer,
    sn_pipe_zero_shot, sn_pipe_embed, sn_pipe_generate, sn_pipe_opened_fill, sn_pipe_opened_tag,
    sn_pipe_opened_say;

/* ---- arguments: what is absent or null stays as it is ---- */
const SnJson *sn_pipe_arg(const SnPipe *p, const char *name); /* NULL: absent or null */
SN_MUST_CHECK SnStatus sn_pipe_int(const SnPipe *p, const char *name, int64_t least, int64_t *out,
                                   SnError *err);
SN_MUST_CHECK SnStatus sn_pipe_bool(const SnPipe *p, const char *name, bool *out, SnError *err);
/* One of n words; otherwise SN_EINVAL. */
SN_MUST_CHECK SnStatus sn_pipe_word(const SnPipe *p, const char *name, const char *const *word, size_t n,
                                    size_t *out, SnError *err);
/* Arguments of the tokenizer: those of object whose names are in no list of `own` names. */
SN_MUST_CHECK SnStatus sn_pipe_tokenizer_args(const SnPipe *p, const SnJson *object, const char *own,
                                              SnTokenizeOptions *o, SnError *err);
/* Is a key one of the words of a list "a b c"? */

/* ---- texts ---- */
/* How many bytes of a text to quote in a message: whole characters. */
int sn_pipe_shown(SnBytes text);
/* A string as well-formed UTF-8, in the arena; what names it in the error. */
SN_MUST_CHECK SnStatus sn_pipe_text(SnPipe *p, const SnJson *v, const char *what, SnBytes *out, SnError *err);
/* The input: one string, or an array of at least one. */
SN_MUST_CHECK SnStatus sn_pipe_texts(SnPipe *p, SnBytes **out, size_t *n, SnError *err);
/* The first window of each text, further ones behind it; pair may be NULL, or have texts without a pair:
 * {NULL, 0}. */
SN_MUST_CHECK SnStatus sn_pipe_encode(SnPipe *p, const SnBytes *text, const SnBytes *pair, size_t n,
                                      const SnTokenizeOptions *o, SnEncoding **out, SnError *err);

/* Appends the text of tokens, cleaned up where the tokenizer says so. */
SN_MUST_CHECK SnStatus sn_pipe_decode(SnPipe *p, const int64_t *id, size_t n, bool skip_special, SnText *out,
                                      SnError *err);

/* Code points of a text by number. */
typedef struct SnCodePoints {
    SnBytes text;
    const uint32_t *at; /* n + 1 places in bytes */
    size_t n;
} SnCodePoints;
SN_MUST_CHECK SnStatus sn_pipe_code_points(SnPipe *p, SnBytes text, SnCodePoints *out, SnError *err);
SnBytes sn_pipe_slice(const SnCodePoints *c, int64_t begin, int64_t end); /* as Python's text[begin:end] */

/* ---- the model ---- */
/* One output for one window: of each token, or of the window. */
typedef struct SnPipeRow {
    const float *at;
    size_t n, width; /* n times width numbers */
} SnPipeRow;
typedef enum SnPipeKeep { SN_PIPE_WINDOW = -2, SN_PIPE_TOKENS = -1 } SnPipeKeep;
/* Runs n windows in padded batches. out: n rows of nwant outputs, in the arena. keep: what outputs are of,
 * the window or its tokens; or of tokens, those with this id alone. */
SN_MUST_CHECK SnStatus sn_pipe_forward(SnPipe *p, const SnEncoding *const *window, size_t n,
                                       const char *const *want, size_t nwant, int64_t keep, SnPipeRow **out,
                                       SnError *err);
/* id2label, or LABEL_i; {NULL, 0}: no memory. */
SnBytes sn_pipe_label(SnPipe *p, size_t i);

/* ---- a model that was compiled ahead of time (pipeline_opened.c) ---- */
SN_MUST_CHECK SnStatus sn_pipe_opened_run(SnPipe *p, SnBytes text, const SnBytes *pair, SnResults **out,
                                          SnError *err);
/* Scores of n texts, each alone or with a pair ({NULL, 0}: none). */
SN_MUST_CHECK SnStatus sn_pipe_opened_scores(SnPipe *p, const SnBytes *text, const SnBytes *pair, size_t n,
                                             SnPipeRow **out, SnError *err);
/* Windows of a question and a context; two rows each, of start and end logits. */
SN_MUST_CHECK SnStatus sn_pipe_opened_answer(SnPipe *p, SnBytes question, SnBytes context, SnEncoding **out,
                                             SnPipeRow **row, size_t *n, SnError *err);

/* ---- numbers ---- */
size_t sn_pipe_argmax(const float *x, size_t n); /* the first of the largest */
void sn_pipe_softmax(const float *x, float *y, size_t n);
/* Indices by falling value, equal ones by rising index; NULL: no memory. */
size_t *sn_pipe_rank(SnArena *arena, const float *x, size_t n);

#endif
