/* program.h -- what a compiled model is: constant data (the image) and code.
 *
 * The image is one position-free block: a header, then tables of fixed-size rows that name each other by
 * index. The same bytes lie in the heap after sn_compile, in an object file after sn_emit, and in the cache.
 * Code is found through SnProgramDesc (ahead of time) or SnModule (just in time).
 *
 * Running is a walk over steps. Dims are i64 registers: `instr` computes them from symbols (bound by inputs)
 * and measured values, a point at a time: point 0 of an entry when a run begins, one more after each measure.
 * Buffers are sized by a register and belong to the segment in which they are first written; a measure
 * outside of loops begins a segment. */
#ifndef SN_PROGRAM_H
#define SN_PROGRAM_H

#include "runtime/hash.h"
#include "runtime/hostcall.h"

#include <stdatomic.h>

#define SN_ABI         8u
#define SN_IMAGE_MAGIC 0x47494e53u /* "SNIG" */
#define SN_NONE        0xFFFFFFFFu

/* Tiles first..last of a kernel, any part of its grid, in any order. */
typedef void SnKernelFn(void *const *buffers, const int64_t *dims, int64_t first, int64_t last);

/* Kernels as callable code. Calls with disjoint tile ranges may run at once. */
typedef struct SnModule SnModule;
struct SnModule {
    void (*destroy)(SnModule *m);
    /* Runs tiles first..last of kernel i. sizes: bytes of each buffer (interp checks, opencl copies). */
    SnStatus (*run)(SnModule *m, uint32_t i, void *const *buffers, const uint64_t *sizes, const int64_t *dims,
                    int64_t first, int64_t last, SnError *err);
    SnKernelFn *const *fn;     /* native code: fn[i] may be called directly; else NULL */
    uint32_t nkernel, ncached; /* ncached: how many came from the cache */
    bool is_whole;             /* a call takes all tiles of a step, on one thread: a device behind copies */
};

struct SnProgramDesc {
    uint32_t abi;    /* SN_ABI */
    uint32_t nlevel; /* CPU levels inside */
    const void *image;
    uint64_t image_size;
    const char *const *level;  /* nlevel names */
    SnKernelFn *const *kernel; /* [nlevel][nkernel] */
    SnHostFn *const *host;     /* [nhost] */
    const void *weights;       /* parameters at their offsets, page-aligned; NULL: in a file beside */
    const char *weights_file;  /* its name, looked for in the folder of the file this code is in; or NULL */
    uint64_t weights_size;     /* bytes of all parameters, wherever they are */
    SnHash128 weights_hash;    /* sn_weights_hash of them */
    const struct SnTypedDesc *typed; /* what it does for people (typed.h), or NULL */
};

/* ---- what a shared object says of itself: a note (type SN_NOTE_TYPE) of owner SN_NOTE_OWNER ---- */
#define SN_NOTE_OWNER "sinter"
#define SN_NOTE_TYPE  1u
typedef struct SnNote {
    uint32_t abi;
    uint32_t levels;                   /* bit i: there is code for SnCpuLevel i */
    uint64_t size;                     /* address where the last segment ends */
    uint64_t weights_at, weights_size; /* address, bytes; 0: none inside */
    SnHash128 weights_hash;
    char program[128]; /* symbol of the SnProgramDesc; ends with 0 */
    SnHash128 hash;    /* sn_note_hash */
} SnNote;
/* Of the note itself (without `hash`), of what is loaded but headers and weights, and of where it goes; not
 * of where it lies in the file, which strip may change. file: up to the weights at least; its program headers
 * were checked (open.c). */
SnHash128 sn_note_hash(SnBytes file, const SnNote *note);

/* ---- parameters in a file beside the program: a head, then the bytes (weights.c) ---- */
#define SN_WEIGHTS_MAGIC "sinter weights\n"
typedef struct SnWeightsHead {
    char magic[16];
    uint64_t size; /* bytes that follow */
    SnHash128 hash;
    uint64_t unused[3];
} SnWeightsHead;
/* Of bytes that come in parts: all of them up to 4 MiB, else 256 pages spread over them: what it finds is a
 * copy that broke off or other weights, in a time that does not grow with them. */
SnHash128 sn_weights_hash(const SnBytes *part, size_t npart);
/* Maps and checks the file of d that lies in the folder of `origin`; NULL: in that of the library or program
 * that d lies in. *at lives as long as *file. */
SN_MUST_CHECK SnStatus sn_weights_map(SnContext *ctx, const SnProgramDesc *d, const char *origin,
                                      SnFile **file, const void **at, SnError *err);
/* sn_program_link with an origin, as above. */
SN_MUST_CHECK SnStatus sn_program_link_from(SnContext *ctx, const SnProgramDesc *desc, const char *origin,
                                            SnProgram **out, SnError *err);

/* ---- the image ---- */
typedef struct SnSpan { /* a table: offset in bytes from the image, count of rows */
    uint32_t offset, count;
} SnSpan;

typedef enum SnInstrOp {
    SN_I_CONST,
    SN_I_ADD,
    SN_I_SUB,
    SN_I_MUL,
    SN_I_IDIV,
    SN_I_MOD,
    SN_I_MIN,
    SN_I_MAX
} SnInstrOp;
typedef struct SnInstr {
    uint32_t op, dst, a, b;
    int64_t imm;
} SnInstr;

typedef struct SnRange { /* rows [first, first + count) of a table */
    uint32_t first, count;
} SnRange;

typedef struct SnPoint { /* instrs to evaluate, then pairs of registers that must be equal */
    SnRange instr, check;
} SnPoint;
typedef struct SnCheckRow {
    uint32_t a, b; /* registers */
    uint32_t what; /* string */
} SnCheckRow;

typedef struct SnSymbolRow {
    uint32_t name, reg;
    int64_t lo, hi;
    uint32_t at_create;
    uint32_t is_optional; /* only inputs that nothing needs have it */
} SnSymbolRow;

typedef enum SnBufferKind {
    SN_BUFFER_SCRATCH,
    SN_BUFFER_INPUT,  /* index: bound pointer */
    SN_BUFFER_PARAM,  /* index: param row */
    SN_BUFFER_DATA,   /* index: byte offset in the image */
    SN_BUFFER_OBJECT, /* index: object row */
    SN_BUFFER_CARRY   /* index: carry slot */
} SnBufferKind;
typedef struct SnBufferRow {
    uint32_t kind, index;
    uint32_t size_reg;    /* bytes */
    uint32_t segment;     /* SCRATCH */
    uint32_t bytes;       /* DATA: its size */
    uint32_t first, last; /* SCRATCH: steps between which it lives */
    uint32_t dtype;       /* SN_NODTYPE: no tensor */
} SnBufferRow;

typedef struct SnSlotRow { /* an input, result or carry */
    uint32_t name;
    uint32_t dtype, ndim;
    uint32_t is_list, is_object;
    uint32_t is_unused;             /* input: nothing needs it, and it has no buffer */
    uint32_t buffer, start, len;    /* of a list: child, starts, lengths; else the last two are SN_NONE */
    uint32_t child_reg;             /* list: elements of the child */
    uint32_t stream_reg;            /* result: rows that are ready, or SN_NONE */
    uint32_t init;                  /* carry: image offset of its initial bytes, SN_NONE: zeros */
    uint32_t init_size;             /* carry: bytes there; repeated to fill it */
    uint32_t dim_reg[SN_MAX_RANK];  /* registers */
    uint32_t dim_name[SN_MAX_RANK]; /* symbol, string, or SN_NONE */
} SnSlotRow;

typedef struct SnParamRow {
    uint32_t name, dtype, ndim, reserved;
    int64_t dims[SN_MAX_RANK];
    uint64_t size, offset; /* bytes; where it lies in SnProgramDesc.weights */
} SnParamRow;

typedef struct SnObjectRow {
    uint32_t name, class_name, offset, size; /* bytes in the image, 64-byte aligned */
} SnObjectRow;

typedef struct SnKernelRow {
    uint32_t name;
    uint32_t nbuf, ndim, written; /* written: bit i: buffer i is */
    SnHash128 key;
} SnKernelRow;

#define SN_MAX_JOINED 3 /* kernels that run beside another one */
typedef enum SnStepKind {
    SN_STEP_KERNEL, /* a = kernel, b = grid register; c, d = registers of operations and bytes; buffers, dims
                     */
    SN_STEP_HOST, /* a = host row, b = scratch buffer or SN_NONE; buffers: operands then results as host slots
                   */
    SN_STEP_COPY, /* buffers[0] <- buffers[1], a = bytes register, b/c = register that multiplies it into the
                     offset of destination/source, or SN_NONE */
    SN_STEP_ZERO, /* buffers[0] = 0, a = bytes register */
    SN_STEP_MEASURE,     /* register a = scalar in buffers[0] of dtype d; b = bound register or SN_NONE; c =
                            point; e = name */
    SN_STEP_SET,         /* register a = b (immediate) */
    SN_STEP_INC,         /* register a += 1; rows of streams are ready */
    SN_STEP_PUT,         /* i64 scalar in buffers[0] = register a */
    SN_STEP_BRANCH_GE,   /* register a >= register b: go to step c */
    SN_STEP_BRANCH_ZERO, /* bool in buffers[0] is false: go to step c; d: an outermost while, sn_stop counts
                            as false */
    SN_STEP_JUMP,        /* go to step c */
    SN_STEP_BELOW        /* the run fails unless register a < register b; e = what a is */
} SnStepKind;
typedef struct SnStepRow {
    uint32_t kind;
    uint32_t a, b, c, d, e;
    uint32_t begins_segment; /* MEASURE: outside of loops */
    uint32_t njoined;        /* KERNEL: how many kernels behind it may run at the same time */
    SnRange buffer;          /* in `operand` */
    SnRange dim;             /* in `operand`: registers */
} SnStepRow;

typedef enum SnHostSlotKind { SN_HOST_TENSOR, SN_HOST_LIST, SN_HOST_OBJECT } SnHostSlotKind;
typedef struct SnHostSlotRow { /* how buffers of a host step make one view */
    uint32_t kind, dtype, ndim;
    uint32_t buffer[3];            /* tensor or object: [0]; list: start, len, child */
    uint32_t child_reg;            /* list, object: elements */
    uint32_t dim_reg[SN_MAX_RANK]; /* registers */
} SnHostSlotRow;
typedef struct SnHostRow {
    uint32_t name, symbol; /* op; C symbol of its function */
    uint32_t fn;           /* index in SnProgramDesc.host */
    uint32_t nin, nout;    /* rows of `host_slot`, in this order from first */
    uint32_t first;
    SnRange attr;           /* in `attr` */
    uint64_t memo_at, memo; /* what it keeps: place among the memos of all rows, which lie in order; bytes */
} SnHostRow;

typedef struct SnEntryRow {
    uint32_t name;
    SnRange step, input, output; /* inputs and outputs: rows of `slot` */
    SnRange symbol;
    uint32_t point;  /* evaluated when a run begins */
    SnRange segment; /* of buffers; the first begins with the run, the others after a measure */
} SnEntryRow;

/* A copy of an entry for inputs with certain dims: same inputs and results, in the same order. */
#define SN_VARIANT_DIMS 4
typedef struct SnVariantRow {
    uint32_t base, ndim; /* row of `entry` */
    struct {
        uint32_t symbol, reserved; /* string */
        int64_t value;
    } dim[SN_VARIANT_DIMS];
    SnEntryRow entry;
} SnVariantRow;

typedef struct SnImage {
    uint32_t magic, abi, size, nreg;
    SnSpan string; /* bytes, each text ends with 0 */
    SnSpan instr, point, check, symbol, buffer, slot, param, object, kernel, step, operand, host, host_slot,
        attr, entry, variant;
    SnSpan data;                         /* bytes: constants and objects, 64-byte aligned */
    SnRange carry;                       /* rows of `slot` */
    SnRange create_symbol;               /* rows of `symbol` */
    uint32_t create_point;               /* evaluated when an instance is made: sizes of carries */
    uint32_t nhost_fn, nsegment, ninput; /* ninput: bound pointers */
} SnImage;

/* Row arrays of an image. */
#define SN_ROWS(image, type, table)                                                                          \
    ((const type *)(const void *)((const uint8_t *)(image) + (image)->table.offset))
static inline const char *sn_image_string(const SnImage *m, uint32_t at)
{
    return (const char *)m + m->string.offset + at;
}

/* ---- programs ---- */
/* Results of a load program: on the heap, or in a mapped file of the cache. */
typedef struct SnPacked {
    void *heap; /* SN_PACKED_ALIGN; or: */
    SnFile *file;
    size_t heap_size;
    bool is_cached; /* found, not made */
} SnPacked;
#define SN_PACKED_ALIGN  64u
#define SN_PACKED_PREFIX "@load." /* parameters of such names are results of the load program */
static inline bool sn_is_packed_name(const char *name)
{
    return strncmp(name, SN_PACKED_PREFIX, sizeof SN_PACKED_PREFIX - 1) == 0;
}
void sn_packed_clear(SnPacked *p, const SnContext *ctx);

struct SnProgram {
    SnContext *ctx;
    _Atomic uint32_t nref;
    const SnImage *image;
    SnModule *module;      /* owned, or NULL */
    SnKernelFn *const *fn; /* native code, or NULL */
    const char *level;     /* the CPU level of code that was made ahead of time, or NULL */
    SnHostFn *const *host;
    const void **param;                  /* where each parameter lies */
    uint64_t weight_bytes, packed_bytes; /* as they came; made of them, or copied to be aligned */
    SnPacked packed;
    bool is_cached;                  /* no pass ran: it was found (compiler/keep.c) */
    SnFile *weights;                 /* beside: the parameters, or NULL */
    const struct SnTypedDesc *typed; /* of one that was made ahead of time, or NULL */
    SnArena arena;                   /* image, host table, param table and copied weights of a JIT program */
    bool has_arena;
    void (*release)(
        void *owner); /* called with `owner` when the program dies: the weights' source; or NULL */
    void *owner;
};

/* Just in time: takes the module and (on success) the arena that holds image, host and param tables. */
SN_MUST_CHECK SnStatus sn_program_create(SnContext *ctx, const SnImage *image, SnModule *module,
                                         SnHostFn *const *host, const void **param, SnArena *arena,
                                         SnProgram **out, SnError *err);
const SnEntryRow *sn_image_entry(const SnImage *m, const char *name); /* NULL: the first */
/* Checks head, size and that every table lies inside; rows are trusted as the code beside them is. */
SN_MUST_CHECK SnStatus sn_image_check(const void *image, uint64_t size, SnError *err);

#endif
