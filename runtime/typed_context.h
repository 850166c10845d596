/* typed_context.h -- what a typed context is made of: shared by runtime/typed*.c (life, runs) and
 * ops/host/typed_*.c (results that are parts of texts, or words). */
#ifndef SN_TYPED_CONTEXT_H
#define SN_TYPED_CONTEXT_H

#include "runtime/block.h"
#include "runtime/instance.h"
#include "runtime/lm.h"
#include "runtime/trace.h"
#include "runtime/typed.h"

#define SN_TYPED_TEXTS 2

/* A text of the run, as an input: a list of one row. */
typedef struct SnTypedText {
    char *at;
    size_t size; /* bytes there is room for */
    int64_t start, n;
} SnTypedText;

typedef enum SnTypedPhase {
    SN_TYPED_SILENT, /* no message was begun, or its run failed */
    SN_TYPED_HEARD,  /* a message; a run of the answer before it may be open */
    SN_TYPED_RECALLS, /* the message before it becomes tokens again, as it stands once it is answered */
    SN_TYPED_READS,   /* it becomes tokens */
    SN_TYPED_SAYS,
    SN_TYPED_SAID
} SnTypedPhase;

/* A conversation. The driver owns the instance. */
typedef struct SnTypedTalk {
    SnLm *lm;
    uint32_t context, slot; /* slot SN_LM_NONE: no answer goes on */
    SnTypedPhase phase;
    int32_t *ids; /* [context]: of the conversation, up to the answer that goes on */
    uint32_t nid;
    uint32_t turn, answered; /* where in ids the last message that was answered begins, and its answer */
    bool is_past, recalls;   /* text[1] is such a message; it is to become tokens again */
    size_t before;           /* bytes of text[0] before the message */
    uint32_t nsaid, nforgot; /* tokens of the answer; those that are forgotten */
    size_t thought;          /* bytes of its text that are */
    char *text; /* of the answer */
    size_t size, ntext, ntaken;
    bool holds; /* the entry `text` keeps something of an answer */
    atomic_bool is_cancelled;
} SnTypedTalk;

struct SnTyped {
    const SnTypedDesc *desc;
    SnAllocator memory;  /* of everything here */
    SnBlock *block;      /* it lies in, or NULL */
    SnAllocator scratch; /* of traces */
    SnPool *pool;
    SnContext *ctx;
    SnProgram *program;
    SnInstance *instance;
    const char *entry[SN_TYPED_TEXTS]; /* of one text, of two; NULL: takes not so many */
    SnTypedText text[SN_TYPED_TEXTS];
    SnTypedTalk talk; /* CHAT */
    bool has_text;    /* the run is over begun texts, not over what was bound by name */
    bool is_done;     /* the run ended well */
    bool is_planned;  /* create knew a shape: the first entry allocates nothing at it */
    bool is_tracing;
    SnTrace trace; /* the host's */
    SnTraceWriter writer;
    SnError err; /* of the last call that failed */
};

/* SN_OK, or keeps the message and returns the code. */
SnStatus sn_typed_fail(SnTyped *t, SnStatus code, const char *format, ...) SN_PRINTF(3, 4);

/* Room for a text of n bytes in x. */
SN_MUST_CHECK SnStatus sn_typed_room(SnTyped *t, SnTypedText *x, size_t n);

/* ---- CHAT (typed_say.c) ---- */
SN_MUST_CHECK SnStatus sn_typed_talk_create(SnTyped *t, const char *shape, SnError *err);
void sn_typed_talk_destroy(SnTyped *t);
SN_MUST_CHECK SnStatus sn_typed_talk_begin(SnTyped *t, const char *utf8, size_t n);
SN_MUST_CHECK SnStatus sn_typed_talk_step(SnTyped *t, uint64_t budget_ns);

/* ---- results ---- */

/* A result of the model's own run: SN_EINVAL unless that has ended and the model is of that kind; SN_EFORMAT
 * unless it has that dtype and, being a list or not, that many dims. */
SN_MUST_CHECK SnStatus sn_typed_find(SnTyped *t, SnTypedKind kind, const char *output, SnDtype dtype,
                                     bool is_list, int ndim, SnView *out);
/* As sn_typed_find, and the rows that it has are of `width`. */
SN_MUST_CHECK SnStatus sn_typed_rows(SnTyped *t, SnTypedKind kind, const char *output, SnDtype dtype,
                                     int64_t width, SnView *out);

#endif
