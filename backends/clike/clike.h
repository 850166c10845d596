/* clike.h -- kernel IR as text of a language like C. */
#ifndef SN_CLIKE_H
#define SN_CLIKE_H

#include "backends/backends.h"

/* What differs between the languages; the printer is one. */
typedef struct SnDialect {
    const char *name;
    const char *head;         /* types, and what the language calls differently */
    const char *kernel;       /* before a kernel's name; #: lanes */
    const char *read, *write; /* declare parameter b#: C takes it from an array, OpenCL as an argument */
    const char *dim;          /* declares d# */
    const char *wide;         /* suffix of a 64-bit constant */
    const char *shared;       /* storage of a LOCAL that lanes share */
    const char *barrier;      /* statement */
    bool is_grouped;          /* a tile is a work group, a lane one of its items; else both are loops */
    bool has_tiles;           /* matrix unit, as functions */
} SnDialect;
extern const SnDialect sn_dialect_c, sn_dialect_opencl;

/* What comes once before kernels. has_f64: say no for a device without. */
void sn_clike_prelude(const SnDialect *d, bool has_f64, SnText *out);
/* A kernel that was expanded. *lanes: items of a work group (1 where the dialect has none). */
SN_MUST_CHECK SnStatus sn_clike_print(const SnDialect *d, const SnKernel *k, const char *symbol, SnText *out,
                                      uint32_t *lanes, SnError *err);
bool sn_clike_uses_f64(const SnKernel *k, SnArena *scratch);
/* SnBackend.emit: C text of one level, without thunks (emission.c). */
SN_MUST_CHECK SnStatus sn_clike_emit(SnContext *ctx, const SnTarget *t, const SnObjectParts *o, uint8_t **at,
                                     size_t *n, SnError *err);

/* ---- how a tile maps to a work group (group.c) ---- */
typedef enum SnLocalPlace {
    SN_LOCAL_SHARED,  /* one array for the group */
    SN_LOCAL_COPIED,  /* never indexed by a lane: each item computes its own copy */
    SN_LOCAL_PER_LANE /* indexed by lane + lanes * e: each item holds its elements, indexed by e */
} SnLocalPlace;

typedef struct SnGroup {
    uint32_t lanes;      /* the widest LANES loop */
    SnLocalPlace *place; /* of each LOCAL */
    bool *before;        /* of each statement, in order of appearance: a barrier stands before it */
    bool *after;         /* of each loop: a barrier ends its body */
} SnGroup;
/* Arena memory. */
SN_MUST_CHECK SnStatus sn_group_plan(const SnKernel *k, const SnRef *term, uint32_t nterm,
                                     const bool *is_lane, SnArena *arena, SnGroup *out, SnError *err);

#endif
