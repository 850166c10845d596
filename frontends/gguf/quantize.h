/* quantize.h -- numbers as blocks of 256 whose scales have two levels. Plain blocks of 32 are graphs
 * (ops/quant.c); what is searched here depends on what was found before. */
#ifndef SN_GGUF_QUANTIZE_H
#define SN_GGUF_QUANTIZE_H

#include "frontends/gguf/gguf.h"

#define SN_K_BLOCK 256

/* x[256] ▶ a block; NULL: the type is none of Q4_K, Q5_K, Q6_K. */
typedef void SnQuantizeFn(const float *x, uint8_t *block);
SnQuantizeFn *sn_gguf_quantizer(const SnGgmlType *type);

#endif
