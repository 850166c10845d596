/* sinter.h -- run compiled tensor programs inside your own program.
 *
 * A context holds the host's hooks: memory, jobs (threads), log. A program is what the compiler made of a
 * model: constant data and code. An instance is one running copy of it: carried state and scratch memory.
 *
 * Rules for hosts
 *   - What can fail returns SnStatus and fills *err; err may be NULL. Outputs are written on success only.
 *   - destroy and release functions take NULL.
 *   - A context or an instance is used by one thread at a time; different instances of one program may run on
 *     different threads at once. sn_cancel and sn_stop may be called from any thread.
 *   - `parallel` is never called from inside a job; jobs never block, allocate or log. `memory` and `log` are
 *     called only on the thread that called sinter. There is no thread-local or global state.
 *   - sn_run allocates nothing after the first run at a given shape.
 *   - A model file that is truncated while it is mapped faults as any mapping does: the host avoids it. */
#ifndef SN_SINTER_H
#define SN_SINTER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define SN_API        __attribute__((visibility("default")))
#define SN_MUST_CHECK __attribute__((warn_unused_result))
#else
#define SN_API
#define SN_MUST_CHECK
#endif

#define SN_VERSION  "0.1.0"
#define SN_MAX_RANK 12

/* ---- errors ------------------------------------------------------------------------------------------- */

typedef enum SnStatus {
    SN_OK = 0,
    SN_EINVAL,       /* the caller passed something wrong: fix the call */
    SN_ENOMEM,       /* the host allocator said no: free something and retry */
    SN_EIO,          /* file, network or device I/O failed: retry may help */
    SN_EFORMAT,      /* a file or message is malformed: it will never work */
    SN_ESHAPE,       /* shapes or dtypes do not fit */
    SN_EUNSUPPORTED, /* understood, but this build or device cannot do it */
    SN_EDEVICE,      /* a driver failed: recreate the device */
    SN_ECANCELLED,   /* the host asked to stop */
    SN_EINTERNAL     /* a bug in sinter */
} SnStatus;

typedef struct SnError {
    SnStatus code;
    char message[500]; /* UTF-8; names the file, tensor or op at fault */
} SnError;

/* "SN_EFORMAT" for SN_EFORMAT; "SN_E?" for what is no status. */
SN_API const char *sn_status_name(SnStatus code);

/* ---- dtypes ------------------------------------------------------------------------------------------- */

/* X(NAME, text, bytes, DLPack code, bits, ONNX code, safetensors name or NULL) */
#define SN_DTYPES(X)                                                                                         \
    X(BOOL, "bool", 1, 6, 8, 9, "BOOL")                                                                      \
    X(I8, "i8", 1, 0, 8, 3, "I8")                                                                            \
    X(I16, "i16", 2, 0, 16, 5, "I16")                                                                        \
    X(I32, "i32", 4, 0, 32, 6, "I32")                                                                        \
    X(I64, "i64", 8, 0, 64, 7, "I64")                                                                        \
    X(U8, "u8", 1, 1, 8, 2, "U8")                                                                            \
    X(U16, "u16", 2, 1, 16, 4, "U16")                                                                        \
    X(U32, "u32", 4, 1, 32, 12, "U32")                                                                       \
    X(U64, "u64", 8, 1, 64, 13, "U64")                                                                       \
    X(F16, "f16", 2, 2, 16, 10, "F16")                                                                       \
    X(BF16, "bf16", 2, 4, 16, 16, "BF16")                                                                    \
    X(F32, "f32", 4, 2, 32, 1, "F32")                                                                        \
    X(F64, "f64", 8, 2, 64, 11, "F64")                                                                       \
    X(F8E4M3FN, "f8e4m3fn", 1, 10, 8, 17, "F8_E4M3")                                                         \
    X(F8E5M2, "f8e5m2", 1, 12, 8, 19, "F8_E5M2")                                                             \
    X(F8E4M3FNUZ, "f8e4m3fnuz", 1, 11, 8, 18, "F8_E4M3FNUZ")                                                 \
    X(F8E5M2FNUZ, "f8e5m2fnuz", 1, 13, 8, 20, "F8_E5M2FNUZ")                                                 \
    X(F8E8M0, "f8e8m0", 1, 14, 8, 24, "F8_E8M0")

typedef enum SnDtype {
    SN_NODTYPE = 0,
#define SN_X(NAME, ...) SN_##NAME,
    SN_DTYPES(SN_X)
#undef SN_X
        SN_DTYPE_COUNT
} SnDtype;

/* ---- host hooks --------------------------------------------------------------------------------------- */

/* ptr NULL allocates, new_size 0 frees (and returns NULL). align is a power of two. NULL means no memory; the
 * old block is then untouched. */
typedef struct SnAllocator {
    void *self;
    void *(*resize)(void *self, void *ptr, size_t old_size, size_t new_size, size_t align);
} SnAllocator;

/* Runs fn(arg, i) for every i < count, on any threads, in any order, and returns when all are done. */
typedef struct SnJobs {
    void *self;
    uint32_t width; /* how many run at once; 0 counts as 1 */
    void (*parallel)(void *self, uint32_t count, void (*fn)(void *arg, uint32_t i), void *arg);
} SnJobs;

typedef enum SnLogLevel { SN_LOG_ERROR, SN_LOG_WARN, SN_LOG_INFO, SN_LOG_DEBUG } SnLogLevel;

typedef struct SnLog {
    void *self;
    void (*write)(void *self, SnLogLevel level, const char *message);
} SnLog;

/* One event of a run: a step began and ended. Called on the thread inside sn_run. */
typedef struct SnTraceEvent {
    const char *name; /* kernel or host op; "copy", "control" */
    uint32_t step;
    int64_t tiles;
    uint64_t begin_ns, end_ns, bytes;
    uint64_t flops; /* floating-point operations that the graph asks for; an fma is two */
} SnTraceEvent;

typedef struct SnTrace {
    void *self;
    void (*event)(void *self, const SnTraceEvent *e);
} SnTrace;

#define SN_USE_AMX 1u /* ask the kernel for matrix-unit permission in sn_context_create (see the manual) */
#define SN_EXACT   2u /* the same bits on every CPU level */

typedef struct SnContextDesc {
    uint32_t struct_size;  /* sizeof(SnContextDesc): the struct may grow at its end */
    uint32_t flags;        /* SN_USE_AMX */
    SnAllocator memory;    /* zero: malloc */
    SnJobs jobs;           /* zero: the calling thread; sn_pool_create(n) makes a pool on request */
    SnLog log;             /* zero: silent */
    SnTrace trace;         /* zero: none */
    const char *cache_dir; /* NULL: no kernel cache on disk */
    const char *cpu_level; /* NULL: the best of this machine; "v3", "v4", "v4d", "amx" to force a lower one */
} SnContextDesc;

typedef struct SnContext SnContext;

/* Copies *desc. desc NULL means all defaults. */
SN_API SN_MUST_CHECK SnStatus sn_context_create(const SnContextDesc *desc, SnContext **out, SnError *err);
SN_API void sn_context_destroy(SnContext *ctx);                /* after everything made from it */
SN_API const char *sn_context_cpu_level(const SnContext *ctx); /* "v3", "v4", "v4d", "amx", or "base" */

/* A pool of width - 1 threads that help the caller; width 0: one for each CPU. They spin 20 us for new work,
 * then sleep. Two callers at once are fine: the second works alone. The pool's own memory is malloc's. */
typedef struct SnPool SnPool;
SN_API SN_MUST_CHECK SnStatus sn_pool_create(uint32_t width, SnPool **out, SnError *err);
SN_API void sn_pool_destroy(SnPool *pool);
SN_API SnJobs sn_pool_jobs(SnPool *pool);

/* ---- views of data ------------------------------------------------------------------------------------ */

/* Borrowed data. A list (a string is a list of u8) has start and len: element i of the list tensor is
 * data[start[i] .. start[i] + len[i]), counted in elements of dtype. */
typedef struct SnView {
    void *data;
    SnDtype dtype;
    int32_t ndim;
    int64_t dims[SN_MAX_RANK];
    int64_t strides[SN_MAX_RANK]; /* in elements; all 0 means dense row-major */
    const int64_t *start, *len;   /* lists only, dense over dims; else NULL */
    int64_t child_count;          /* lists only: elements in data */
} SnView;

/* Dense row-major view; dims are copied. */
SN_API SnView sn_view(SnDtype dtype, void *data, int ndim, const int64_t *dims);

/* ---- programs and instances --------------------------------------------------------------------------- */

typedef struct SnProgramDesc SnProgramDesc;
typedef struct SnProgram SnProgram;
typedef struct SnInstance SnInstance;

/* A program compiled ahead of time and linked in; *desc must outlive it. */
SN_API SN_MUST_CHECK SnStatus sn_program_link(SnContext *ctx, const SnProgramDesc *desc, SnProgram **out,
                                              SnError *err);
/* A program in a shared object that was compiled ahead of time (sn_emit). The file is checked whole before it
 * is loaded, so that one that is cut off, damaged, foreign or of another abi is a status; its weights are
 * checked where they lie, inside or in the file beside it that it names. It is loaded on its own (RTLD_LOCAL)
 * and runs in the caller's runtime; the one inside it serves its typed functions. It is unloaded when the
 * last reference to the program goes; the file can be replaced by another (renamed, not written over) at any
 * time, and opened again under the same name while the old one runs. Besides SN_ENOMEM:
 *   - SN_EIO: there is no such file, or it cannot be read.
 *   - SN_EFORMAT: it is no program of ours, or damaged, or has other weights than it was compiled with.
 *   - SN_EUNSUPPORTED: another abi, no code for this machine, or the system does not load it. */
SN_API SN_MUST_CHECK SnStatus sn_program_open(SnContext *ctx, const char *path, SnProgram **out,
                                              SnError *err);
SN_API SnProgram *sn_program_retain(SnProgram *p);
SN_API void sn_program_release(SnProgram *p);

/* What an input, result or carry is. `symbol[i]` is the name of dim i, or NULL where dims[i] is its number
 * (or, where both are absent, -1: computed). */
typedef struct SnSlotInfo {
    const char *name;
    SnDtype dtype;
    bool is_list, is_object;
    bool is_unused; /* an input that no result depends on: it need not be bound */
    bool is_stream; /* a result whose rows can be read while the run goes on */
    int32_t ndim;
    int64_t dims[SN_MAX_RANK];
    const char *symbol[SN_MAX_RANK];
} SnSlotInfo;

/* i-th entry, input or result of an entry; false past the end. */
SN_API bool sn_program_entry(const SnProgram *p, uint32_t i, const char **name);
SN_API bool sn_program_input(const SnProgram *p, const char *entry, uint32_t i, SnSlotInfo *out);
SN_API bool sn_program_output(const SnProgram *p, const char *entry, uint32_t i, SnSlotInfo *out);

/* Bytes that a program holds for all of its instances. */
typedef struct SnProgramInfo {
    uint64_t weight_bytes; /* parameters that runs read as they lie in their file */
    uint64_t packed_bytes; /* what was made of parameters beforehand: panels, casts */
    bool packed_is_cached; /* sn_compile found that in the cache */
    bool is_cached;        /* and all the rest too: nothing was compiled */
} SnProgramInfo;
SN_API void sn_program_info(const SnProgram *p, SnProgramInfo *out);

typedef struct SnInstanceDesc {
    uint32_t struct_size;
    uint32_t ndim;
    struct {
        const char *symbol;
        int64_t value;
    } dim[16]; /* `at create` symbols */
} SnInstanceDesc;

/* Owns carried state and scratch; retains the program. desc may be NULL. */
SN_API SN_MUST_CHECK SnStatus sn_instance_create(SnProgram *p, const SnInstanceDesc *desc, SnInstance **out,
                                                 SnError *err);
SN_API void sn_instance_destroy(SnInstance *s);

/* Which entry the next run runs; default: the first. */
SN_API SN_MUST_CHECK SnStatus sn_entry(SnInstance *s, const char *entry, SnError *err);
/* Plan now for "batch=8,seq=512": later runs up to that shape allocate nothing. */
SN_API SN_MUST_CHECK SnStatus sn_reserve(SnInstance *s, const char *shape, SnError *err);
/* Borrows *view's data until the run ends (the struct itself is copied). The data of an input must be aligned
 * to its dtype. */
SN_API SN_MUST_CHECK SnStatus sn_bind(SnInstance *s, const char *input, const SnView *view, SnError *err);
SN_API SN_MUST_CHECK SnStatus sn_run(SnInstance *s, SnError *err);
/* Runs until done or until budget_ns have passed; stops between tiles. Same bits as sn_run. */
SN_API SN_MUST_CHECK SnStatus sn_run_some(SnInstance *s, uint64_t budget_ns, bool *done, SnError *err);
/* Any thread; the run returns SN_ECANCELLED at the next tile. Carries are then undefined, as after any run
 * that failed: they are changed where they lie. */
SN_API void sn_cancel(SnInstance *s);
SN_API void sn_stop(SnInstance *s); /* any thread; the outermost loop ends after this iteration */
/* Lends a result; valid until the next run, bind or destroy. */
SN_API SN_MUST_CHECK SnStatus sn_result(SnInstance *s, const char *output, SnView *out, SnError *err);

/* Carries back to their initial values. */
SN_API SN_MUST_CHECK SnStatus sn_reset(SnInstance *s, SnError *err);
/* Carried state as bytes, between runs: one memcpy and a layout hash. *size is in and out; to NULL asks. */
SN_API SN_MUST_CHECK SnStatus sn_state_save(SnInstance *s, void *to, size_t *size, SnError *err);
SN_API SN_MUST_CHECK SnStatus sn_state_load(SnInstance *s, const void *from, size_t size, SnError *err);

/* Rows of a stream result that are ready now: [first, first + view->dims[0]). */
typedef void SnRowsFn(void *user, uint64_t first, const SnView *rows);
SN_API SN_MUST_CHECK SnStatus sn_rows(SnInstance *s, const char *output, uint64_t first, SnView *out,
                                      SnError *err);
SN_API SN_MUST_CHECK SnStatus sn_on_rows(SnInstance *s, const char *output, SnRowsFn *fn, void *user,
                                         SnError *err);

/* Bytes an instance holds now. */
typedef struct SnMemoryUse {
    uint64_t weight_bytes, packed_bytes, scratch_bytes, state_bytes, table_bytes;
    uint32_t steps;
} SnMemoryUse;
SN_API void sn_instance_memory(const SnInstance *s, SnMemoryUse *out);
/* i-th buffer of the entry's plan as it is now: bytes [offset, offset + size) of the block of its segment,
 * from step `first` to step `last`. false past the end. */
typedef struct SnPlannedBuffer {
    uint64_t offset, size;
    uint32_t segment, first, last;
} SnPlannedBuffer;
SN_API bool sn_instance_buffer(const SnInstance *s, uint32_t i, SnPlannedBuffer *out);
/* Bytes and steps of an instance after sn_reserve at this shape, without making one: nothing runs and no
 * block is allocated. entry NULL: the first. The shape names `at create` symbols too. */
SN_API SN_MUST_CHECK SnStatus sn_program_plan(const SnProgram *p, const char *entry, const char *shape,
                                              SnMemoryUse *out, SnError *err);

#ifdef __cplusplus
}
#endif
#endif
