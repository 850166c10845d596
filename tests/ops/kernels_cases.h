/* kernels_cases.h -- hand-written kernels and what to run them on. */
#ifndef SN_KERNELS_CASES_H
#define SN_KERNELS_CASES_H

#include "runtime/dtype.h"

typedef enum SnTestFill {
    SN_FILL_ZERO,
    SN_FILL_SMALL, /* between -2 and 2, or any bits of an integer */
    SN_FILL_BELOW, /* integers from 0 to `below` - 1 */
    SN_FILL_NASTY  /* 8-byte words: zeros, ones, extremes, NaN and infinities of every dtype */
} SnTestFill;

typedef struct SnTestBuffer {
    SnDtype dtype; /* how it is filled and compared; SN_NODTYPE: no further buffers */
    int64_t count;
    SnTestFill fill;
    int64_t below;
} SnTestBuffer;

typedef struct SnTestKernel {
    const char *name, *text;
    SnTestBuffer buffer[16];
    int64_t dims[8];
    int64_t grid; /* tiles to run */
} SnTestKernel;

extern const SnTestKernel sn_test_kernels[]; /* ends with a row without name */

#endif
