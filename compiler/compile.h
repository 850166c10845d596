/* compile.h -- what sn_compile (compile.c), sn_emit (aot.c) and the load program (load.c) share. */
#ifndef SN_COMPILE_H
#define SN_COMPILE_H

#include "compiler/steps.h"

/* Results of the load program, one after the other in a blob; none: all zero. */
typedef struct SnLoaded {
    SnSource source;       /* finds them by name, and all else below */
    const SnSource *below; /* the graph's */
    uint32_t n;
    const char *const *name;
    SnSourceTensor *tensor;
    size_t *offset, size; /* of each in the blob; of the blob */
    SnPacked blob;
} SnLoaded;

/* One compilation: init, steps, then the image (image.c) and what the backend makes of x.kernel; clear. */
typedef struct SnCompilation {
    SnPass pass;
    SnTarget target;       /* of this machine: what the load program runs on */
    const SnTarget *level; /* what kernels are made for; NULL: the target */
    uint32_t nlevel;
    const SnBackend *backend;
    const char *specialise;
    SnArena work; /* dies with the compilation */
    SnLoaded loaded;
    SnSteps x;
} SnCompilation;

SN_MUST_CHECK SnStatus sn_compilation_init(SnCompilation *c, SnCompiler *cc, SnGraph *g,
                                           const SnCompileOptions *o, SnError *err);
void sn_compilation_clear(SnCompilation *c);
/* All passes, up to steps and kernels in c->x; runs the load program. */
SN_MUST_CHECK SnStatus sn_compilation_steps(SnCompilation *c, SnError *err);
/* Code for the kernels of x, and the program; takes the arena on success. */
SN_MUST_CHECK SnStatus sn_compilation_program(SnCompilation *c, SnSteps *x, SnArena *arena, SnProgram **out,
                                              SnError *err);

/* ---- load.c ---- */
/* Runs the program of a load entry, or finds what it once made; fills c->loaded. */
SN_MUST_CHECK SnStatus sn_compilation_load(SnCompilation *c, SnRef load, SnError *err);

#endif
