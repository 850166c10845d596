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
    SnHash128 program;    /* of the text of the load program */
    SnPacked blob;
} SnLoaded;

/* One compilation: init, steps, then the image (image.c) and what the backend makes of x.kernel; clear. */
typedef struct SnCompilation {
    SnPass pass;
    SnTarget target;       /* of this machine: what the load program runs on */
    const SnTarget *level; /* what kernels are made for; NULL: the target */
    uint32_t nlevel;
    const SnBackend *backend;
    const char *specialise, *shape;
    uint64_t memory_budget;
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

/* One of the graph's weights, or what the load program made, read where it is; one that is not aligned to its
 * dtype is copied. */
SN_MUST_CHECK SnStatus sn_compilation_weight(SnArena *arena, const SnSourceTensor *w, const char *name,
                                             const void **at, uint64_t *copied, SnError *err);

/* ---- keep.c: programs that were compiled before ---- */
typedef struct SnKept {
    SnHash128 key;
    bool has_key; /* false: it cannot be kept, or found */
} SnKept;
/* *out NULL: it is not in the cache, or something that it needs is not. c was initialised and nothing else.
 */
SN_MUST_CHECK SnStatus sn_kept_find(SnCompilation *c, SnKept *kept, SnArena *arena, SnProgram **out,
                                    SnError *err);
void sn_kept_add(const SnCompilation *c, const SnKept *kept, const SnImage *image);

/* ---- load.c ---- */
/* Of a blob in the cache; program: SnLoaded.program. false: the source has no identity. */
bool sn_loaded_key(const SnSource *source, SnHash128 program, uint64_t flags, SnHash128 *key);
/* Runs the program of a load entry, or finds what it once made; fills c->loaded. */
SN_MUST_CHECK SnStatus sn_compilation_load(SnCompilation *c, SnRef load, SnError *err);

#endif
