/* text.h -- text as a part of graphs, and as inputs: what the tasks share. */
#ifndef SN_TASK_TEXT_H
#define SN_TASK_TEXT_H

#include "frontends/model.h"
#include "frontends/tokenizer/tokenizer.h"

/* Reads the folder's tokenizer once. */
SN_MUST_CHECK SnStatus sn_text_need(SnModel *m, SnError *err);

/* What tokenizer_config.json says. */
typedef struct SnTextConfig {
    bool cuts_left, pads_left, cleans_up;
    bool gives_types;  /* token_type_ids go to the model: as its class does where nothing is said */
    bool has_response; /* response_template: answers are parsed */
    bool is_generic;   /* nothing is said and the class is no model's: up to transformers 4 it gave them */
} SnTextConfig;
SN_MUST_CHECK SnStatus sn_text_config(SnModel *m, SnTextConfig *out, SnError *err);

/* How texts become windows; fields as in SnTokenizeOptions. */
typedef struct SnWindowing {
    bool has_pair, no_special, truncate_left, has_words;
    bool has_places; /* offsets and word_ids are asked for: ids alone are made faster */
    bool has_about;  /* word_ids are numbers of tokens, see tok_encode */
    SnTruncation truncation;
    int64_t max_length, stride;
    int64_t windows; /* 0: one a text; else at most so many, further ones of a text behind its first */
} SnWindowing;

/* Windows as values: lists of i32 over [windows]. */
typedef struct SnWindows {
    SnValue ids, types, special, offsets, word_ids, sequence;
    SnValue row, count;       /* i32[windows], i64 */
    SnValue about[2], own[2]; /* of text and pair, lists over [batch] */
} SnWindows;
/* Adds inputs `text` (and `pair`) of list<u8>[batch], and the ops from bytes to windows. With words they are
 * list<u8>[words], and `text_words` i64[batch] says how many of them are a text. */
SnWindows sn_text_windows(SnModel *m, SnGraph *g, const SnWindowing *w);
/* Windows as dense tensors of their longest, i64[batch, seq]; a run fails where that is above bound (0:
 * none). */
typedef struct SnPadded {
    SnValue ids, mask, types;
} SnPadded;
/* Tokens that texts become at most: a dim. */
SnValue sn_text_room(SnModel *m, SnGraph *g, SnValue tok, SnValue text);
SnPadded sn_text_pad(SnModel *m, SnGraph *g, const SnWindows *w, int64_t bound);

/* Texts as one list view; memory of the arena. */
SN_MUST_CHECK SnStatus sn_text_view(SnArena *arena, const SnBytes *text, size_t n, SnView *out, SnError *err);

/* What ids that come one after the other say (tok_stream): adds inputs `new` i32[1, count], `end` i32[1]. */
typedef struct SnTextStream {
    SnValue tok, hold, stop; /* stop: sn_none(), or list<u8> */
    bool keep_special, keep_stop;
    SnValue text, next, hit; /* filled; next: the hold of the next run */
} SnTextStream;
void sn_text_stream(SnModel *m, SnGraph *g, SnTextStream *s);

/* As sn_model_decode. */
SN_MUST_CHECK SnStatus sn_model_decode_ids(SnModel *m, const int32_t *ids, size_t n, bool skip_special,
                                           SnText *out, SnError *err);

/* The longest sequence that tokenizer and model allow; 0: no limit. */
int64_t sn_text_limit(const SnModel *m);
/* As sn_model_tokenize, with truncation as Transformers' pipelines ask for it. */
SN_MUST_CHECK SnStatus sn_text_encode(SnModel *m, const SnBytes *text, const SnBytes *pair, size_t n,
                                      const SnTokenizeOptions *o, SnArena *arena, SnEncoding **out,
                                      SnError *err);

#endif
