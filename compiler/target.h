/* target.h -- facts about a device, and what a backend offers. */
#ifndef SN_TARGET_H
#define SN_TARGET_H

#include "compiler/kernel.h"
#include "runtime/program.h"

typedef struct SnTarget {
    const char *name;                      /* "cpu", "interp", "clike", "opencl" */
    const char *level;                     /* CPU: "v3", "v4", "v4d", "amx" */
    uint32_t vector_bytes;                 /* of a register */
    uint32_t vector_count;                 /* registers */
    uint32_t l1_bytes, l2_bytes, l3_bytes; /* l3: the last one; 0: none, or nothing is known of it */
    bool has_dot4, has_dot2, has_tiles;
    bool fits_tiles;        /* some level of the program has tiles: its grids are shaped for them */
    bool exact;             /* SN_EXACT: no tiles, no dot2, no estimates */
    uint32_t group_lanes;   /* GPU: largest work group; 0 on a CPU */
    const char *module_dir; /* of a backend's own shared module, as in SnCompilerDesc; set by the caller */
} SnTarget;

/* Facts of a CPU level on any machine that has it: "v3", "v4", "v4d", "amx" (target.c). */
SN_MUST_CHECK SnStatus sn_target_of_level(const char *level, SnTarget *out, SnError *err);

/* ---- what an object is made of (aot/aot.c) ---- */
typedef struct SnObjectData {
    const char *symbol; /* NULL: internal */
    bool is_hidden;     /* the symbol is not exported from what the object is linked into */
    SnBytes bytes;
    uint32_t align;
    const struct SnObjectReloc {
        size_t offset;      /* of an 8-byte pointer in bytes */
        const char *symbol; /* what it points to; it may be defined elsewhere */
    } * reloc;
    size_t nreloc;
} SnObjectData;

/* A function that calls another with all its arguments and one more. */
typedef struct SnObjectThunk {
    const char *symbol, *target;
    const char *last; /* symbol whose address is passed as argument number `arg` (0 .. 5); NULL: none */
    uint32_t arg;
} SnObjectThunk;

typedef struct SnObjectParts {
    const char *const *level; /* nlevel names, lowest first */
    uint32_t nlevel;
    /* [nlevel][nkernel]. Where a symbol is the one of the level before, its code is, and exists once. */
    const SnKernel *const *kernel;
    const char *const *symbol;
    uint32_t nkernel;
    const SnObjectData *data;
    uint32_t ndata;
    const SnObjectThunk *thunk;
    uint32_t nthunk;
} SnObjectParts;

typedef struct SnBackend SnBackend;
struct SnBackend {
    const char *name;
    const char *module; /* shared module to open, beside libsinter; NULL: linked in, and symbol too */
    const char *symbol; /* the SnBackendFn in it, which returns the backend with its functions */
    /* Facts of this machine or device; t->exact is set by the caller. */
    SnStatus (*probe)(SnContext *ctx, int index, SnTarget *t, SnError *err);
    /* Kernels to callable code, now. The kernels need not outlive the call. */
    SnStatus (*build)(SnContext *ctx, const SnTarget *t, const SnKernel *const *k, uint32_t n, SnModule **out,
                      SnError *err);
    /* Kernels that were built before, by their keys; *out NULL: they are not all there. NULL: it keeps none. */
    SnStatus (*find)(SnContext *ctx, const SnTarget *t, const SnHash128 *key, uint32_t n, SnModule **out,
                     SnError *err);
    /* A relocatable object (ELF, or C text) in memory of the context's allocator: sn_free(at, n, 1). Kernels
     * are hidden. NULL: it cannot. */
    SnStatus (*emit)(SnContext *ctx, const SnTarget *t, const SnObjectParts *o, uint8_t **at, size_t *n,
                     SnError *err);
};

/* ---- modules (module.c) ---- */
typedef const char *SnModuleBuildFn(void);
SN_API SnModuleBuildFn sn_module_build; /* exported by every module: the build id of its headers */
/* Opens DIR/FILE (dir NULL: the loader's search path) and finds a symbol in it; a module of another build is
 * refused. stays: closing it leaves it in memory. */
SN_MUST_CHECK SnStatus sn_module_open(SnContext *ctx, const char *dir, const char *file, const char *symbol,
                                      bool stays, void **module, void **out, SnError *err);

typedef const SnBackend *SnBackendFn(void);
SN_API SnBackendFn sn_opencl_backend; /* exported by sinter-opencl.so */

#endif
