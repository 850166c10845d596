/* quant.h -- weights in blocks: what a block format is taken apart into, and put together from. Internal to
 * ops/.
 *
 * One canonical form for all formats. A row of k weights is blocks of 32 or 256; weight i of a block is
 *
 *   (coarse * scale[i / group]) * (codes[i] - zero) + (coarse_low * low[i / group])
 *
 * in f32; codes have `bits` bits; coarse, low and coarse_low may be absent (one, zero, one). */
#ifndef SN_QUANT_H
#define SN_QUANT_H

#include "ops/help.h"

/* [rows, blocks, ..]; none where the format has no such part. */
typedef struct SnBlocks {
    SnValue codes;              /* u8[.., block] */
    SnValue scale, low;         /* of a group: f16, u8 or i8 [.., block / group] */
    SnValue coarse, coarse_low; /* of a block, or of several: f16 or bf16 [rows, .., 1] */
} SnBlocks;

typedef struct SnBlockFormat {
    const char *name;
    int block, bytes; /* weights of a block, and the bytes it has in a file; 0: no file has it */
    int bits, zero, group;
    SnBlocks (*read)(SnGraph *g, SnValue bytes);      /* u8[rows, blocks, bytes]; NULL: has none */
    SnValue (*write)(SnGraph *g, const SnBlocks *of); /* the same back; NULL: is only read */
    SnBlocks (*quantize)(SnGraph *g, SnValue w);      /* f32[rows, blocks, block]; NULL: is only read */
} SnBlockFormat;

/* By its name, "q4_k"; NULL: none, which sticks to the graph. */
const SnBlockFormat *sn_block_format(SnGraph *g, const char *name);
/* f32[rows, blocks, block] */
SnValue sn_block_values(SnGraph *g, const SnBlockFormat *f, const SnBlocks *of);
/* F[.., n * per] ▶ [rows, n, per]; an error where the last axis is no multiple. */
SnValue sn_in_blocks(SnGraph *g, SnValue x, int per);

#endif
