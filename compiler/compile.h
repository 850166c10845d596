/* compile.h -- what sn_compile (compile.c) and sn_emit (aot.c) share. */
#ifndef SN_COMPILE_H
#define SN_COMPILE_H

#include "compiler/steps.h"

/* One compilation: init, steps, then the image (image.c) and what the backend makes of x.kernel; clear. */
typedef struct SnCompilation {
    SnPass pass;
    SnTarget target;
    const SnBackend *backend;
    SnArena work; /* dies with the compilation */
    SnSteps x;
} SnCompilation;

SN_MUST_CHECK SnStatus sn_compilation_init(SnCompilation *c, SnCompiler *cc, SnGraph *g,
                                           const SnCompileOptions *o, SnError *err);
void sn_compilation_clear(SnCompilation *c);
/* All passes, up to steps and kernels in c->x. */
SN_MUST_CHECK SnStatus sn_compilation_steps(SnCompilation *c, SnError *err);

#endif
