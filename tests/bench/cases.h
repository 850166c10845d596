/* cases.h -- single kernels that bench times without a model. */
#ifndef SN_BENCH_CASES_H
#define SN_BENCH_CASES_H

#include "frontends/hub.h"

typedef struct Case {
    SnProgram *program;
    SnInstance *instance;
    SnResults *file; /* of a product */
} Case;

/* "product FILE.safetensors": y[m, n] = x[m, k] w[n, k]^T, w a parameter, in the dtype of both; or a case of
 * the table in cases.c on ROWSxWIDTH elements, "softmax 8192x1024". */
SN_MUST_CHECK SnStatus case_open(Case *c, SnCompiler *cc, SnArena *arena, const char *name, const char *of,
                                 SnError *err);
void case_close(Case *c);

#endif
