/* logits.h -- which logits processors a GenerationConfig asks for, and in which order.
 *
 * One table has them all, in the order of Transformers 5.23 (GenerationMixin._get_logits_processor). What
 * each does is an op (ops/logits.c). */
#ifndef SN_TASK_LOGITS_H
#define SN_TASK_LOGITS_H

#include "frontends/hf/layers.h"

typedef struct SnLogits {
    SnGraph *g;
    const char *name;     /* for messages */
    const SnJson *config; /* keys of GenerationConfig; absent or null: not asked for */
    bool is_class;        /* or arguments of one class */
    const SnNamedValue
        *given; /* numbers by key that are known when it runs, [batch]; they stand for config's */
    size_t ngiven;
    SnValue scores;      /* f32[batch, vocab]; replaced */
    SnValue ids, length; /* i64[batch, c]: tokens of each row so far; i64[batch]: how many */
    SnValue prompt;      /* i64[batch]: how many of them are the prompt */
    SnValue first;       /* i64[batch]: tokens before are padding; or none */
    SnValue limit;       /* i64[batch]: how many there will be at most; or none */
    SnValue free;        /* f32[batch, vocab]: scores of the same rows without what guides them; or none */
    SnValue allowed;     /* bool[batch, vocab]: tokens that a host allows; or none */
    SnValue source, source_length; /* tokens of an encoder, as ids and length; or none */
    int64_t keep;                  /* tokens that warpers leave at least */
} SnLogits;

/* Whatever is asked for, of penalties and bans; then, where samples are drawn, warpers; then the norm. Errors
 * stick to the graph. */
void sn_logits_build(SnLogits *l, bool is_sampled);
/* One of them by its class. */
void sn_logits_build_class(SnLogits *l, const char *class_name);
/* Is there a processor for that key, of those that are built? */
bool sn_logits_asks(const SnJson *config, const char *key, bool is_sampled);
/* Are numbers that are asked for within their range? */
SN_MUST_CHECK SnStatus sn_logits_check(const SnJson *config, bool is_sampled, const char *name, SnError *err);
/* Keys of numbers that may be given, NULL past the end. */
const char *sn_logits_number(size_t i);

#endif
