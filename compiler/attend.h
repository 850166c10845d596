/* attend.h -- what attend*.c share: an attention and the tile of it that is computed. Internal to them. */
#ifndef SN_ATTEND_H
#define SN_ATTEND_H

#include "compiler/lower.h"

#define SN_ATTEND_FOLD 32 /* virtual lanes of the sum of p; panels are made for so many positions */
#define SN_ATTEND_BODY 8  /* rows that registers hold at most */
#define SN_ATTEND_ROWS 16 /* of a tile where the matrix unit may compute it */

typedef enum SnAttendOperand {
    SN_ATTEND_Q,
    SN_ATTEND_K,
    SN_ATTEND_V,
    SN_ATTEND_BIAS,
    SN_ATTEND_MASK,
    SN_ATTEND_UP,   /* the gradient of the result; of gradients alone, as the next one */
    SN_ATTEND_DOT,  /* the sum of its products with the result, by row */
    SN_ATTEND_PAGE, /* of attention over a past, as the next ones; k and v are caches there */
    SN_ATTEND_POS,
    SN_ATTEND_SLOPES,
    SN_ATTEND_SINKS,
    SN_ATTEND_KEY_SCALE, /* of each position, where k and v are whole numbers */
    SN_ATTEND_VALUE_SCALE,
    SN_ATTEND_OPERANDS
} SnAttendOperand;

/* Rows of an operand, and the panels of positions that they are multiplied with. */
typedef struct SnAttendRows {
    SnAttendOperand of;
    int64_t n;         /* columns */
    int local, panels; /* LOCAL and buffer */
} SnAttendRows;

typedef struct SnAttend {
    SnRef of[SN_ATTEND_OPERANDS];   /* 0: not given */
    const SnType *to;               /* [b, s, h, e] */
    SnRef heads, keys;              /* of k; its positions. Dims, as the next ones */
    SnRef group, rows;              /* heads of q that share one of k; rows of those */
    SnRef npanel, nfold;            /* of 16 and of FOLD positions */
    int64_t dim, width;             /* of q and k; of the result */
    int64_t span;                   /* positions of a chunk */
    int64_t grid_rows;              /* of a tile of the grid */
    int64_t nrow;                   /* of them at a time */
    int64_t body_rows, body_panels; /* computed in registers */
    bool fits_tiles, is_tiled;      /* the matrix unit can compute it, and does on this target */
    bool is_merged;                 /* there may be several chunks */
    uint32_t temp, value_temp;
    float scale, cap;
    int64_t window;                         /* positions that a query sees; 0: all before it */
    SnRef first_chunk, end;                 /* of a past: what the tile sees */
    SnAttendOperand summed;                 /* whose rows p is multiplied with */
    SnAttendRows query, up;                 /* of q with k; of the gradient of the result with v */
    int value_panels, parts, result, stats; /* buffers; stats: M and L of each row */
    /* LOCALs: rows of scores, of p as bf16; m, l and SN_ATTEND_DOT by row; M, L, ACC, factors of ACC and acc
     */
    int score, weights, top, sum, dot, all_top, all_sum, acc, keep, take;
    SnStmt **mark[16];
    int nmark;
    SnRef pair, batch, head, row; /* of the tile: batch x head of k, both alone, its first row */
    SnRef chunk, count;           /* of the chunk: its number, how many positions it has */
    SnRef part;                   /* where in `parts` it leaves what it gives; 0: it is merged at once */
} SnAttend;

/* ---- small phrases ---- */

static inline SnRef real(SnLower *l, double v)
{
    return sn_const_f32(l->s, (float)v);
}

static inline SnRef get(SnLower *l, int local, SnRef at)
{
    return sn_lower_load(l, local, SN_F32, at, 0);
}

static inline void put(SnLower *l, int local, SnRef at, SnRef value)
{
    sn_lower_store(l, local, SN_F32, at, value, 0);
}

/* row * stride + col */
static inline SnRef at(SnLower *l, SnRef row, int64_t stride, SnRef col)
{
    return i_add(l, i_mul(l, row, i_const(l, stride)), col);
}

static inline SnRef exp_of(SnLower *l, SnRef a, SnRef b)
{
    return sn_s1(l->s, SN_OP_EXP, sn_s2(l->s, SN_OP_SUB, a, b));
}

/* The greater one; of NaN, which makes NaN of p, nothing needs to be known. */
static inline SnRef greater(SnLower *l, SnRef a, SnRef b)
{
    return sn_s3(l->s, SN_OP_WHERE, i_lt(l, a, b), b, a);
}

/* Bits of a float as an i32 of the same order, and back. */
static inline SnRef ordered(SnLower *l, SnRef bits)
{
    const SnRef sign = sn_s2(l->s, SN_OP_SHR, bits, sn_const_scalar(l->s, SN_I32, (SnScalar){.i = 31}));
    const SnRef rest = sn_const_scalar(l->s, SN_I32, (SnScalar){.i = INT32_MAX});
    return sn_s2(l->s, SN_OP_XOR, bits, sn_s2(l->s, SN_OP_AND, sign, rest));
}

static inline int64_t whole_panels(int64_t n)
{
    return (n + SN_LANES - 1) / SN_LANES * SN_LANES;
}

static inline int open_local(SnLower *l, SnAttend *a, SnDtype dtype, int64_t count)
{
    return sn_kernel_local(&l->kb, dtype, count, &a->mark[a->nmark++]);
}

static inline void close_locals(SnLower *l, SnAttend *a, int from)
{
    while (a->nmark > from)
        sn_lower_close(l, a->mark[--a->nmark]);
}

static inline SnRef base_of(SnLower *l, const SnAttend *a)
{
    return i_mul(l, a->chunk, i_const(l, a->span));
}

static inline bool is_past(const SnAttend *a)
{
    return a->of[SN_ATTEND_PAGE] != 0;
}

/* The gradients of q, k and v? */
static inline bool is_grad(const SnAttend *a)
{
    return a->of[SN_ATTEND_UP] != 0;
}

/* ---- attend_body.c ---- */
/* Vectors of sums that registers hold, rows x panels, and some beside them: only that is up to the target. */
int64_t sn_attend_sums(const SnLower *l);
/* What registers hold at a time: rows x panels x lanes. */
typedef struct SnBody {
    int64_t nrow, npanel, width;
    SnStmt **mark[3];
    SnRef row, panel, lane, slot;
} SnBody;
void sn_body_open(SnLower *l, SnBody *b);
void sn_body_close(SnLower *l, const SnBody *b);
void sn_body_fill(SnLower *l, SnBody *b, int local); /* with zeros */
/* Calls emit for all of n columns, `npanel` panels at a time where there are so many. */
typedef void SnColumnsFn(SnLower *l, SnAttend *a, SnRef col, int64_t npanel, int64_t width, void *self);
void sn_attend_columns(SnLower *l, SnAttend *a, int64_t n, int64_t npanel, SnColumnsFn *emit, void *self);
/* The rows of a tile, as many at a time as the registers hold. */
SnRef sn_attend_open_rows(SnLower *l, const SnAttend *a, SnStmt ***mark);
void sn_attend_close_rows(SnLower *l, SnStmt **mark);

/* Row of the tile ▶ head of q and position; a row past the end is the last one. Returns the guard of what is
 * stored there. */
SnRef sn_attend_row(SnLower *l, const SnAttend *a, SnRef row, SnRef *head, SnRef *pos);
SnRef sn_attend_element(SnLower *l, const SnAttend *a, SnAttendOperand which, SnRef head, SnRef pos,
                        SnRef col, SnRef guard);
/* Of bias or mask, whose dims of 1 are broadcast and whose first ones may be missing. */
SnRef sn_attend_spread(SnLower *l, const SnAttend *a, SnAttendOperand which, const SnRef *point, SnRef guard);
/* The number of the tile ▶ batch, head of k, and what is left of it. */
SnRef sn_attend_take_tile(SnLower *l, SnAttend *a, SnRef n);
SnRef sn_attend_tiles(SnLower *l, const SnAttend *a, SnRef n); /* n for each batch and head of k: a grid */

uint32_t sn_attend_pack(SnLower *l, SnAttend *a, SnAttendOperand which); /* a kernel: k or v ▶ a temporary */
void sn_attend_load(SnLower *l, SnAttend *a, const SnAttendRows *rows);
/* Rows x panels of the chunk ▶ scores; of SN_ATTEND_UP: p ▶ gradients of scores. */
void sn_attend_multiply(SnLower *l, SnAttend *a, const SnAttendRows *rows);

/* ---- attend.c ---- */
/* acc of a row and column, of all positions of the chunk ▶ ACC, or the result where there is one chunk.
 * guard: of columns that exist. */
void sn_attend_put(SnLower *l, const SnAttend *a, SnRef row, SnRef col, SnRef acc, SnRef guard);

/* What a score becomes: scaled, biased, masked. point: batch, head, position of q, of k; guard: of positions
 * that exist, or 0. */
SnRef sn_attend_score(SnLower *l, const SnAttend *a, SnRef row, SnRef x, const SnRef *point, SnRef guard);

/* ---- attend_seen.c ---- */
/* The end of the positions that the rows of the tile see, or 0: they may see all. */
SnRef sn_attend_end(SnLower *l, const SnAttend *a);
/* Does a row, whose greatest scores lie in a LOCAL, see nothing? Then no position may be left out. */
SnRef sn_attend_is_blind(SnLower *l, const SnAttend *a, int top);

/* ---- attend_grad.c ---- */
SnRef sn_attend_stats_bytes(SnLower *l, const SnAttend *a);
SnRef sn_attend_stats(SnLower *l, const SnAttend *a, SnRef head, SnRef pos); /* where M is; L is behind it */
void sn_attend_open_up(SnLower *l,
                       SnAttend *a); /* LOCALs of rows of SN_ATTEND_UP and SN_ATTEND_DOT, filled */
void sn_attend_grad_keys(SnLower *l, SnAttend *a); /* the kernel over keys, begun */

/* ---- attend_past.c: keys and values in pages ---- */
void sn_past_range(SnLower *l, SnAttend *a); /* first_chunk and end of the tile */
SnRef sn_past_key(SnLower *l, const SnAttend *a, SnRef panel, SnRef lane, SnRef c); /* of the chunk */
SnRef sn_past_value(SnLower *l, const SnAttend *a, SnRef j, SnRef c);
/* x times the scale of position j of the chunk; x where there are no scales. */
SnRef sn_past_scaled(SnLower *l, const SnAttend *a, SnAttendOperand scale, SnRef j, SnRef x);
SnRef sn_past_position(SnLower *l, const SnAttend *a, SnRef row); /* of a row of the tile */
/* Positions [lo, hi) of the chunk are seen by a row; lo 0: from the first one. */
void sn_past_seen(SnLower *l, const SnAttend *a, SnRef row, SnRef *lo, SnRef *hi);
SnRef sn_past_slope(SnLower *l, const SnAttend *a, SnRef head, SnRef row, SnRef t); /* what is added at t */
SnRef sn_past_sink(SnLower *l, const SnAttend *a, SnRef row);

/* ---- attend_tile.c ---- */
void sn_attend_fit(SnLower *l, SnAttend *a);          /* fits_tiles and is_tiled, and then the span */
int64_t sn_attend_panel_bytes(const SnAttend *a);     /* of a panel of k in pairs */
SnRef sn_attend_value_bytes(SnLower *l, SnAttend *a); /* of all panels of v, a dim */
void sn_attend_pack_keys(SnLower *l, const SnAttend *a, int to, SnRef panel); /* one panel */
void sn_attend_pack_values(SnLower *l, SnAttend *a); /* a kernel; without a body on a target without tiles */
void sn_attend_open(SnLower *l, SnAttend *a);        /* query, score and weights */
void sn_attend_queries(SnLower *l, SnAttend *a);
void sn_attend_scores(SnLower *l, SnAttend *a);
void sn_attend_values(SnLower *l, SnAttend *a); /* weights x v, put where it goes */

#endif
