/* lm.h -- drives a decoder: rows of tokens in, their next tokens out.
 *
 * A decoder is a program (frontends/tasks/generate_graph.c) with the entries below, which share what they
 * keep of the past. The driver hands out its pages and slots, feeds prompts in chunks, and takes the next
 * token of all rows that are ready in one run. A row may come and go at any time while others run (continuous
 * batching); neighbours, chunks, threads and slices never change what a row gets. Nothing allocates after
 * create.
 *
 *   create ▶ add rows ▶ again and again: step, then take the tokens it gave ▶ drop rows ▶ destroy
 *
 * Entries and their inputs; those that an entry lacks are not bound:
 *
 *   fill   ids, pos i64[batch, seq]; slot, reach i64[batch]; page, near_page i32[batch, chunks]
 *
 *   next   the same; places i64[batch, wanted]: which tokens of a row have a next one; history i32[slots,
 *          context]: the tokens of every slot; length i64[batch, wanted]: how many of them each place sees;
 *          first i64[batch]: those before are padding; prompt i64[batch]: how many were given; limit
 *          i64[batch]: how many there may be; other i64[batch]: which row guides, itself where none does;
 *          allowed bool[batch, wanted, vocabulary]; any further [batch] input that is no SnLmTensor is a
 *          number of the row (SnLmNumber). Gives id i32[batch, wanted], below 0 where scores are NaN, and
 * perhaps logits, scores f32[batch, wanted, vocabulary]
 *
 *   beam   as next, and score f32[batch]; gives best i32[batch, keep], scores f32[batch, keep]: the next
 *          tokens that come first by order f32[batch, keep], what they add to the score included; and perhaps
 *          logits, all f32[batch, wanted, vocabulary]: scores of all tokens
 *
 *   copy   from, to i64[moves]: pages that become others; copy_near: of layers with a window; copy_state: the
 *          same with slots
 *
 * Symbols at create: pages, near_pages (at least so many as the window has, and one), chunks (of a row),
 * slots, context (tokens of a row in the history), turn (at least the length beyond which a row has another
 * past: all of it is fed again), whole (tokens of a prompt that may see those behind them: prompts are fed at
 * once then, and a row begins with nobody's past). */
#ifndef SN_LM_H
#define SN_LM_H

#include "runtime/sinter.h"

#define SN_LM_PAGE  256u /* positions of a page */
#define SN_LM_CHUNK 512u /* tokens of a prompt in one run, if nobody says */
#define SN_LM_NONE  0xFFFFFFFFu

typedef struct SnLm SnLm;

/* An input that stays as it is, such as the weights of an adapter; entries may lack it. */
typedef struct SnLmTensor {
    const char *name;
    SnView view; /* lent until the driver is destroyed */
} SnLmTensor;

typedef struct SnLmDesc { /* zeros are defaults */
    uint32_t struct_size;
    uint32_t rows;    /* that can live at once; default 1 */
    uint32_t context; /* tokens of a row; default 2048 */
    uint32_t chunk;   /* tokens of a prompt in one run; default 512 */
    uint32_t pages;   /* for all rows together; default: as many as all rows can fill */
    uint32_t wanted;  /* tokens of a row that one run can check: 1 and the drafts; default 1 */
    bool has_beams;   /* sn_lm_beam_create will be called */
    const SnLmTensor *tensor;
    uint32_t ntensor;
} SnLmDesc;

/* Retains the program. SN_EUNSUPPORTED: it is no decoder. */
SN_MUST_CHECK SnStatus sn_lm_create(SnProgram *p, const SnLmDesc *desc, SnLm **out, SnError *err);
void sn_lm_destroy(SnLm *lm);
/* Tokens are guessed by another driver, of a model with the same tokens, in the place of prompt lookup. It
 * has as many rows and as large a context, no other rows, and lives as long as lm. */
SN_MUST_CHECK SnStatus sn_lm_assist(SnLm *lm, SnLm *draft, SnError *err);
/* For entries of the program that are not the driver's, while no step is open. */
SnInstance *sn_lm_instance(SnLm *lm);
typedef struct SnLmSizes {
    uint64_t page_bytes; /* of a page, in all layers but those with a window */
    uint64_t
        near_page_bytes;   /* of a page of those, of which a row has only so many as its window and a chunk */
    uint64_t row_bytes;    /* what a row takes besides: states */
    uint32_t window_pages; /* about the window, in pages; 0: no layer has one */
} SnLmSizes;
SN_MUST_CHECK SnStatus sn_lm_sizes(const SnProgram *p, SnLmSizes *out, SnError *err);
/* Pages of layers with a window that rows take which are fed so many tokens at a time and have `chunks`
 * pages. */
uint32_t sn_lm_near_pages(uint32_t window_pages, uint32_t rows, uint32_t tokens, uint32_t chunks);

/* ---- rows ---- */
typedef struct SnLmNumber {
    const char *name; /* of an input; one that the program lacks is passed over */
    double value;
} SnLmNumber;

/* Which tokens may follow ids (with padding): sets what may be; all of `allowed` is false before. */
typedef void SnLmAllow(void *self, const int32_t *ids, uint32_t nid, bool *allowed, uint32_t vocabulary);

typedef struct SnLmRow { /* what is asked of a row */
    const int32_t *ids;  /* its tokens so far, at least one behind the padding; copied */
    uint32_t nid, npad;  /* the first npad ids are padding: processors see them, the model does not */
    uint32_t max_new;    /* tokens; 0: as many as fit */
    const int32_t *stop; /* tokens that end it; lent until the row is dropped */
    uint32_t nstop;
    uint32_t ndraft; /* tokens to guess, below SnLmDesc.wanted; 0: none */
    uint32_t ngram;  /* of prompt lookup: the longest one; default 2 */
    const SnLmNumber *number;
    uint32_t nnumber;
    /* What a row that guides this one begins with; it takes a slot too, and gets the same tokens. NULL: none
     */
    const int32_t *guide;
    uint32_t nguide;
    SnLmAllow *allow; /* NULL: all tokens may follow; else the program has the input */
    void *allow_self;
} SnLmRow;

/* Takes a slot. Tokens that a slot still knows from before are not fed again: *nkept (may be NULL) says how
 * many. SN_ESHAPE: longer than the context. SN_ENOMEM: all slots are taken. */
SN_MUST_CHECK SnStatus sn_lm_add(SnLm *lm, const SnLmRow *row, uint32_t *slot, uint32_t *nkept, SnError *err);
/* Tells a row one of its numbers anew. */
void sn_lm_set(SnLm *lm, uint32_t slot, const char *name, double value);
bool sn_lm_has_room(const SnLm *lm); /* a slot is free */
/* No further tokens: a stop string was found, say. Those of the last step that were not taken are forgotten.
 */
void sn_lm_end(SnLm *lm, uint32_t slot);
void sn_lm_drop(SnLm *lm,
                uint32_t slot); /* the slot is free; what it knows serves a later row, while it lasts */

typedef struct SnLmInfo {
    const int32_t *ids; /* with padding, prompt and what came; lent until the row is dropped */
    uint32_t nid, nprompt, npad;
    uint32_t nkept;             /* of the prompt, not fed again */
    uint32_t ndraft, naccepted; /* tokens that were guessed, and those that were right */
    bool is_done;
} SnLmInfo;
SnLmInfo sn_lm_info(const SnLm *lm, uint32_t slot);

/* ---- steps ---- */

/* One run: a chunk of a prompt, or the next tokens of all rows that are ready. *done: that run has ended
 * (budget_ns 0: always); else call again. No live row: done at once. */
SN_MUST_CHECK SnStatus sn_lm_step(SnLm *lm, uint64_t budget_ns, bool *done, SnError *err);
bool sn_lm_is_busy(const SnLm *lm);    /* there is a row that is not done */
bool sn_lm_is_open(const SnLm *lm);    /* a step has not ended */
bool sn_lm_is_feeding(const SnLm *lm); /* the step, or the last one, is of a prompt */

typedef struct SnLmToken {
    uint32_t slot;
    int32_t id;
    uint32_t nid; /* tokens of the row up to and with it */
    bool is_last; /* the row is done with it */
    const float *logits,
        *scores; /* of the vocabulary, where the program gives them; lent until the next step */
    uint32_t vocabulary;
} SnLmToken;
/* Tokens of the last step, one after the other; of a row in order. false: no more. */
bool sn_lm_token(SnLm *lm, SnLmToken *out);

/* ---- beam search, as Transformers has it (lm_beam.c) ---- */
typedef enum SnLmEarly { SN_LM_EARLY_FALSE, SN_LM_EARLY_TRUE, SN_LM_EARLY_NEVER } SnLmEarly;
typedef struct SnLmBeamDesc {
    SnLmRow row; /* of each prompt: max_new, stop, numbers; ids are those of sn_lm_beam_add */
    uint32_t beams;
    SnLmEarly early_stopping;
    double length_penalty;
    /* Sees each step of the beams, in order, before they change: logits and scores of the vocabulary, those
     * that the program gives. A search that has ended is shown as long as another one goes on. Or NULL */
    void (*seen)(void *self, uint32_t beam, const float *logits, const float *scores, uint32_t vocabulary);
    void *self;
} SnLmBeamDesc;
typedef struct SnLmBeam SnLmBeam;
/* A search of one prompt: takes `beams` slots, twice as many where rows are guided. What guides beam i gets
 * the tokens that beam i has in each step, as in Transformers: it does not change places. */
SN_MUST_CHECK SnStatus sn_lm_beam_create(SnLm *lm, const SnLmBeamDesc *d, SnLmBeam **out, SnError *err);
void sn_lm_beam_destroy(SnLmBeam *b);
/* One step of all searches of the driver; *done: they have all ended. */
SN_MUST_CHECK SnStatus sn_lm_beam_step(SnLm *lm, bool *done, SnError *err);
/* The i-th best: its tokens with the prompt, and its score. */
const int32_t *sn_lm_beam_result(const SnLmBeam *b, uint32_t i, uint32_t *nid, float *score);
/* And the beams that gave its tokens behind the prompt. */
const int32_t *sn_lm_beam_path(const SnLmBeam *b, uint32_t i);

#endif
