/* lm_state.h -- what a driver of a decoder is made of: shared by lm.c (life, rows), lm_page.c (pages),
 * lm_round.c (runs) and lm_beam.c. */
#ifndef SN_LM_STATE_H
#define SN_LM_STATE_H

#include "runtime/instance.h"
#include "runtime/lm.h"

typedef enum SnLmUse {
    SN_LM_FREE,
    SN_LM_KNOWN, /* dropped; its tokens and their past are still there */
    SN_LM_LIVE,
    SN_LM_LED, /* guides a live row, whose tokens it gets */
    SN_LM_DONE,
    SN_LM_SEARCHED /* of a beam search, which runs it */
} SnLmUse;

/* Layers with a window have pages of their own: those in front of what a row's next token sees go back. */
typedef enum SnLmKind { SN_LM_FAR, SN_LM_NEAR } SnLmKind;
#define SN_LM_KINDS 2

typedef struct SnLmPool {
    uint32_t pages, nspare;
    uint32_t *ref; /* of each page: rows that have it */
    uint32_t *spare;
} SnLmPool;

/* Token i of a row is at position i - npad. */
typedef struct SnLmSlot {
    SnLmUse use;
    int32_t *ids;                /* [context]: a row of the history */
    int32_t *table[SN_LM_KINDS]; /* [chunks]: pages, -1: none */
    uint32_t nid, nprompt, npad, nkept;
    uint32_t fed;   /* positions whose past is there */
    uint32_t end;   /* tokens at which it is done */
    uint32_t fresh; /* tokens that the last step gave */
    uint32_t ndraft, ngram, nguessed, naccepted;
    uint32_t nguess; /* tokens behind nid that were guessed */
    const int32_t *stop;
    uint32_t nstop;
    bool is_far;   /* its past is that of a row of more than `turn` positions, see SnLm */
    uint32_t twin; /* the slot that guides this one, or is led by it; SN_LM_NONE: none */
    SnLmAllow *allow;
    void *allow_self;
    uint64_t since; /* when it was added, then when it was dropped: a running number */
} SnLmSlot;

typedef enum SnLmEntry {
    SN_LM_FILL,
    SN_LM_NEXT,
    SN_LM_BEAM,
    SN_LM_COPY, /* of pages of SnLmKind, then of states */
    SN_LM_COPY_NEAR,
    SN_LM_COPY_STATE
} SnLmEntry;
#define SN_LM_ENTRIES 6
#define SN_LM_COPIES  3
#define SN_LM_NUMBERS 32

typedef struct SnLmInput { /* a number of each row */
    const char *name;
    SnDtype dtype;
    uint32_t entries; /* bit i: SnLmEntry i has it */
    uint8_t *value;   /* [rows], 8 bytes each */
    uint8_t *stage;   /* [rows] of a run, dense */
} SnLmInput;

/* Pages, or states, that become others before the next run. */
typedef struct SnLmMoves {
    uint32_t n;
    int64_t *from, *to; /* [rows] */
} SnLmMoves;

/* One run that is being made, or goes on. */
typedef struct SnLmRound {
    bool is_open;
    SnLmEntry part; /* that runs now: copies, then the entry itself */
    SnLmEntry entry;
    uint32_t nrow, seq, wanted;
    uint32_t *slot, *count, *guess; /* [rows]: whose it is, tokens of it, drafts among them */
    int64_t *ids, *pos;             /* [tokens] */
    int64_t *number;                /* [6][rows]: slot, reach, first, prompt, limit, other */
    int64_t *places, *length;       /* [rows * wanted] */
    int32_t *page[SN_LM_KINDS];     /* [rows * chunks] */
    float *score;                   /* [rows] */
    bool *allowed;                  /* [rows * wanted * vocabulary]; or NULL */
    uint32_t shown_row, shown;      /* tokens that were taken */
    SnView id, logits, scores, order, all;
} SnLmRound;

struct SnLm {
    SnContext *ctx;
    SnProgram *program;
    SnInstance *instance;
    SnArena arena;
    uint32_t rows, context, chunk, chunks, wanted, tokens;
    uint32_t vocabulary; /* of the input `allowed`; 0: there is none */
    /* Positions that layers with a window keep: what they see in whole pages, and a page, so that a row may
     * go back a little; 0: there are no such layers */
    uint32_t window;
    uint32_t turn; /* a row with more positions than these has another past; 0: it goes on as it is */
    bool is_whole; /* prompts come in one run */
    bool has[SN_LM_ENTRIES];
    bool counts_pads; /* what is kept of a row depends on its padding */
    SnLmInput input[SN_LM_NUMBERS];
    uint32_t ninput;
    int32_t *history; /* [rows][context] */
    SnLmSlot *slot;
    SnLmPool pool[SN_LM_KINDS];
    SnLmMoves move[SN_LM_COPIES];
    uint64_t clock;
    bool has_fed; /* the last run was a chunk of a prompt: now those that are ready */
    SnLmRound round;
    SnLm *draft;          /* guesses tokens; or NULL */
    uint32_t *draft_slot; /* [rows] */
    bool is_drafting;
    SnLmBeam *beam;  /* searches, a list */
    int32_t *shadow; /* [rows][context + 2 chunks]: rows and tables while beams change places */
};

/* ---- lm.c ---- */
SN_MUST_CHECK SnStatus sn_lm_check_row(const SnLm *lm, const SnLmRow *row, SnError *err);
/* A free slot gets a row of which nothing is known; NULL: all are taken. */
SnLmSlot *sn_lm_take(SnLm *lm, SnLmUse use, const SnLmRow *row);

/* ---- lm_page.c ---- */
/* Makes positions [fed, to) of a row writable; what must be copied first is in the moves. false: there are no
 * pages. */
bool sn_lm_hold(SnLm *lm, SnLmSlot *s, uint32_t to);
void sn_lm_release(SnLm *lm, SnLmSlot *s, uint32_t from_chunk); /* pages from there on */
/* Does a row still have all that a token at position npos sees? */
bool sn_lm_knows(const SnLm *lm, const SnLmSlot *s, uint32_t npos);
void sn_lm_share(SnLm *lm, SnLmSlot *to, const SnLmSlot *from, uint32_t npos);

/* ---- lm_draft.c ---- */
/* Guesses what comes after rows that want it, before they go on. */
SN_MUST_CHECK SnStatus sn_lm_guess(SnLm *lm, uint64_t budget_ns, bool *done, SnError *err);

/* ---- lm_round.c ---- */
/* What a row has that is longer than `turn` now is forgotten, if it was made when it was not. */
void sn_lm_turn(SnLm *lm, SnLmSlot *s);
void sn_lm_round_begin(SnLm *lm, SnLmEntry entry);
/* Tokens of a row up to index `to` join the round, `guess` of them drafts. */
void sn_lm_round_add(SnLm *lm, uint32_t slot, uint32_t to, uint32_t guess);
SN_MUST_CHECK SnStatus sn_lm_round_run(SnLm *lm, uint64_t budget_ns, bool *done, SnError *err);
/* The row that guides s gets its last token. */
void sn_lm_lead(SnLm *lm, const SnLmSlot *s);
/* Does a token end the row? */
bool sn_lm_stops(const SnLmSlot *s, int32_t id);

#endif
