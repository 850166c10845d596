/* contract.h -- what lower_contract.c, gemm.c and gemm_tile.c share: the labels of a product, and its tile.
 * Internal to them. */
#ifndef SN_CONTRACT_H
#define SN_CONTRACT_H

#include "compiler/lower.h"

typedef struct SnLabels {
    int n;
    char at[SN_MAX_RANK];
} SnLabels;

/* A group of labels with one index over all of them. */
typedef struct SnLabelGroup {
    int n;
    char label[SN_MAX_RANK];
    SnRef dims[SN_MAX_RANK];
    SnRef count; /* a dim */
} SnLabelGroup;

/* Products of bf16 that the matrix unit can sum: what level there is decides whether it does, but not how
 * large a tile is. */
typedef struct SnTileFit {
    bool fit, is_used;
    int side;           /* the operand that owns the rows */
    int64_t row_stride; /* elements from one row to the next; 0: not always as many */
} SnTileFit;

/* A product with weights in blocks (ops/quant_linear.c says what it means). */
typedef struct SnBlockProduct {
    SnRef rows, codes;                    /* u32[m, blocks, 12]; u32[panel, blocks, bits, 16] */
    SnRef scale, coarse, low, coarse_low; /* [panel, group, 16]; 0: absent */
    int64_t blocks, bits, halves;         /* groups of a block: 1 or 2 */
    int64_t per_coarse, per_coarse_low;   /* groups that share a coarse number */
    int64_t zero;                         /* the code of 0 */
} SnBlockProduct;

/* A tile is `rows` x `panels * width` outputs: the same on all targets. A body computes `body_rows` x
 * `body_panels * width` of them in registers. */
typedef struct SnContract {
    SnRef operand[2];
    SnLabels of[2], result;
    SnDtype acc, to;
    SnLabelGroup outer, row, lane, summed; /* outer: one value a tile */
    int64_t rows, panels, width;
    int64_t body_rows, body_panels;
    int64_t tall_rows; /* of a body one panel wide, where not all rows of the tile are there; 0: none */
    int64_t ahead;     /* what lies along the lanes is asked for so many bytes before; 0: it is not */
    bool has_panels;   /* that are panels, whose k lies side by side */
    SnTileFit tiles;
    bool is_strided; /* what is loaded along the lanes does not lie side by side */
    char pair;       /* the innermost k where that is 2 and lies behind the lane: words of two bf16 or f16 */
    bool is_ragged;  /* the last panel may not be whole */
    SnRef npanel;    /* a dim */
    SnBlockProduct *blocks; /* NULL: an ordinary product */
    SnRef group;            /* i64[rows]: which part of operand 1 each is for; 0: all of it */
    int64_t ngroup;
    SnRef part;                         /* of the rows at hand */
    SnTail tail;                        /* what the root makes of the product */
    SnRef first_row, nrow, first_panel; /* of the tile at hand */
    bool is_direct;                     /* the sums are the result */
    int sums;                           /* it, or a LOCAL: the outputs of a tile, by row */
    SnRef point[128];                   /* by label: its index where the walk is now */
} SnContract;

/* ---- lower_contract.c ---- */
void sn_contract_rows(SnLower *l, SnContract *c, SnRef row); /* the walk goes to a row */
/* It goes to a lane of a panel; returns the guard of what is stored there. */
SnRef sn_contract_lanes(SnLower *l, SnContract *c, SnRef panel, SnRef lane);
/* An operand at the point of the walk, in the dtype of the sum. */
SnRef sn_contract_element(SnLower *l, const SnContract *c, int side, SnRef guard);
/* The element of the result at the point of the walk. */
SnRef sn_contract_place(SnLower *l, const SnContract *c);

/* ---- gemm.c ---- */
void sn_gemm_shape(SnLower *l, SnContract *c); /* rows .. body_panels */
void sn_gemm_tile(SnLower *l, SnContract *c);  /* computes c->sums */

/* ---- gemm_quant.c ---- */
/* Labels, and c->blocks, which it is given; then rows .. body_panels; then c->sums. */
void sn_blocks_read(SnLower *l, SnContract *c, SnRef r);
void sn_blocks_shape(SnLower *l, SnContract *c);
void sn_blocks_tile(SnLower *l, SnContract *c);

/* ---- gemm_tile.c ---- */
void sn_tiles_find(SnLower *l, SnContract *c); /* c->tiles; the operands were read */
void sn_tiles_emit(SnLower *l,
                   SnContract *c); /* computes c->sums, which have room for whole blocks of rows */

#endif
