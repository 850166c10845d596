/* attend.h -- what attend.c, attend_tile.c and attend_past.c share: an attention and the tile of it that is
 * computed.
 * Internal to them. */
#ifndef SN_ATTEND_H
#define SN_ATTEND_H

#include "compiler/lower.h"

#define SN_ATTEND_FOLD 32 /* virtual lanes of the sum of p; panels are made for so many positions */
#define SN_ATTEND_ROWS 16 /* of a tile where the matrix unit may compute it */

typedef enum SnAttendOperand {
    SN_ATTEND_Q,
    SN_ATTEND_K,
    SN_ATTEND_V,
    SN_ATTEND_BIAS,
    SN_ATTEND_MASK,
    SN_ATTEND_PAGE, /* of attention over a past, as the next ones; k and v are caches there */
    SN_ATTEND_POS,
    SN_ATTEND_SLOPES,
    SN_ATTEND_SINKS,
    SN_ATTEND_KEY_SCALE, /* of each position, where k and v are whole numbers */
    SN_ATTEND_VALUE_SCALE,
    SN_ATTEND_OPERANDS
} SnAttendOperand;

typedef struct SnAttend {
    SnRef of[SN_ATTEND_OPERANDS];   /* 0: not given */
    const SnType *to;               /* [b, s, h, e] */
    SnRef heads, keys;              /* of k; its positions. Dims, as the next ones */
    SnRef group, rows;              /* heads of q that share one of k; rows of those */
    SnRef npanel, nfold;            /* of 16 and of FOLD positions */
    int64_t dim, width;             /* of q and k; of v */
    int64_t span;                   /* positions of a chunk */
    int64_t grid_rows;              /* of a tile of the grid */
    int64_t nrow;                   /* of them at a time */
    int64_t body_rows, body_panels; /* computed in registers */
    bool fits_tiles, is_tiled;      /* the matrix unit can compute it, and does on this target */
    bool is_merged;                 /* there may be several chunks */
    uint32_t temp, value_temp;
    float scale, cap;
    int64_t window;                          /* positions that a query sees; 0: all before it */
    SnRef first_chunk, end;                  /* of a past: what the tile sees */
    int panels, value_panels, parts, result; /* buffers */
    /* LOCALs: rows of q, of scores, of p as bf16; m and l by row; M, L, ACC and the factors of ACC and acc */
    int query, score, weights, top, sum, all_top, all_sum, acc, keep, take;
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

/* ---- attend.c ---- */
/* Row of the tile ▶ head of q and position; a row past the end is the last one. Returns the guard of what is
 * stored there. */
SnRef sn_attend_row(SnLower *l, const SnAttend *a, SnRef row, SnRef *head, SnRef *pos);
/* The number of the tile ▶ batch, head of k, and what is left of it. */
SnRef sn_attend_take_tile(SnLower *l, SnAttend *a, SnRef n);
SnRef sn_attend_tiles(SnLower *l, const SnAttend *a, SnRef n); /* n for each batch and head of k: a grid */
/* acc of a row and column, of all positions of the chunk ▶ ACC, or the result where there is one chunk.
 * guard: of columns that exist. */
void sn_attend_put(SnLower *l, const SnAttend *a, SnRef row, SnRef col, SnRef acc, SnRef guard);

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
