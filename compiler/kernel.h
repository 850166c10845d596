/* kernel.h -- kernel IR: a loop tree over scalar terms, run once per tile of a grid.
 *
 * Five statements, three loop kinds; ARCHITECTURE section 8 has the rules that sn_kernel_verify checks.
 * Scalar expressions are terms of the store that the kernel was made in. The printed form depends on nothing
 * but the kernel (ids are numbered in order of appearance), and its hash is the cache key. */
#ifndef SN_KERNEL_H
#define SN_KERNEL_H

#include "compiler/type.h"

#define SN_KERNEL_BUFFERS 16
#define SN_KERNEL_DIMS    64

typedef enum SnStmtKind {
    SN_STMT_LOOP,
    SN_STMT_IF,    /* condition is the same for all lanes */
    SN_STMT_STORE, /* buffer, index, value, guard */
    SN_STMT_LOCAL, /* scratch array, alive in `body`; registers when every index is a constant after unrolling
                    */
    SN_STMT_TILE   /* matrix unit: zero, load, dot, store */
} SnStmtKind;

typedef enum SnLoopKind {
    SN_LOOP_SERIAL, /* extent is any term, loads included */
    SN_LOOP_UNROLL, /* constant extent; the index is substituted by constants */
    SN_LOOP_LANES   /* constant extent; independent iterations: vector lanes on a CPU, work items on a GPU */
} SnLoopKind;

/* A tile register holds 16 rows of 64 bytes. tile[] = {accumulator, a, b}; zero, load and store use tile[0].
 */
typedef enum SnTileOp {
    SN_TILE_ZERO,
    SN_TILE_LOAD, /* row r from byte offset a + r * b of buf */
    SN_TILE_DOT,  /* dtype BF16: f32 c[m][n] += sum_k a[m][k] * b[k/2][2n + k%2]; U8: i32, u8 a, i8 b, k/4 */
    SN_TILE_STORE
} SnTileOp;

typedef struct SnStmt SnStmt;
struct SnStmt {
    SnStmtKind kind;
    SnLoopKind loop;
    SnTileOp tile_op;
    SnDtype dtype;   /* STORE, LOCAL: element type; TILE: of the operands of a dot, BF16 or U8 */
    uint16_t buf;    /* STORE, LOCAL, TILE; LOCALs are numbered after the parameters */
    uint8_t tile[3]; /* TILE: which tile registers */
    SnRef var;       /* LOOP: the index, an INDEX term */
    /* LOOP: a = extent. IF: a = condition. STORE: a = index, b = value, g = guard or 0. LOCAL: a = element
     * count (a constant). TILE: a = byte offset, b = byte stride. */
    SnRef a, b, g;
    SnRef stream; /* STORE: where it holds, past the caches: it is not read soon. A hint; 0: none */
    SnStmt *body; /* LOOP, IF, LOCAL */
    SnStmt *next;
};

typedef struct SnKernelBuffer {
    bool is_written;
} SnKernelBuffer;

typedef struct SnKernel {
    SnStore *store;
    const char *name; /* contract_f32_add: what it does, for profilers; not part of the key */
    SnHash128 key;    /* of the printed kernel; backends add target and code generator version */
    SnRef grid;       /* number of tiles, a term over kdim; i64 */
    SnRef tile;       /* the INDEX term that the body sees */
    SnStmt *body;
    int nbuf; /* parameters; LOCALs are nbuf, nbuf + 1, ... */
    SnKernelBuffer buf[SN_KERNEL_BUFFERS];
    int ndim; /* i64 parameters */
    int nlocal;
} SnKernel;

/* ---- building: statements come from the arena and are appended to the open body ---- */
typedef struct SnKernelBuild {
    SnKernel *k;
    SnArena *arena;
    SnStmt **tail; /* where the next statement goes */
    uint32_t nindex;
    bool failed; /* no memory */
} SnKernelBuild;

/* Starts a kernel; ends with sn_kernel_end, which numbers, verifies (debug) and keys it. */
bool sn_kernel_begin(SnKernelBuild *b, SnStore *s, SnArena *arena, const char *name);
int sn_kernel_buffer(SnKernelBuild *b, bool is_written); /* its number; -1: too many. Before any LOCAL */
SnRef sn_kernel_dim(SnKernelBuild *b);                   /* a new KDIM term; 0: too many */
SnRef sn_kernel_index(SnKernelBuild *b); /* a new INDEX term that no loop has: of what is only looked at */
/* Opens a loop and returns its index; statements go into it until sn_kernel_close(b, mark). */
SnRef sn_kernel_loop(SnKernelBuild *b, SnLoopKind kind, SnRef extent, SnStmt ***mark);
void sn_kernel_if(SnKernelBuild *b, SnRef cond, SnStmt ***mark);
int sn_kernel_local(SnKernelBuild *b, SnDtype dtype, int64_t count, SnStmt ***mark); /* its buffer number */
void sn_kernel_close(SnKernelBuild *b, SnStmt **mark);
void sn_kernel_store(SnKernelBuild *b, int buf, SnDtype dtype, SnRef index, SnRef value, SnRef guard);
/* The store, past the caches where the condition holds: the same for all lanes. */
void sn_kernel_stream(SnKernelBuild *b, int buf, SnDtype dtype, SnRef index, SnRef value, SnRef guard,
                      SnRef stream);
/* What an op does not use is ignored: see SnTileOp. */
void sn_kernel_tile(SnKernelBuild *b, SnTileOp op, SnDtype dtype, const uint8_t tile[3], int buf,
                    SnRef offset, SnRef stride);
SnRef sn_kernel_load(SnKernelBuild *b, int buf, SnDtype dtype, SnRef index, SnRef guard);
/* The load, which asks for the memory so many bytes behind what it reads too. Never changes a value. */
SnRef sn_kernel_ahead(SnStore *s, SnRef load, int64_t bytes);
SnRef sn_kernel_fold(SnKernelBuild *b, int buf, SnDtype dtype, const char *fn, SnRef index, int64_t n);
SN_MUST_CHECK SnStatus sn_kernel_end(SnKernelBuild *b, SnRef grid, SnError *err);

/* ---- what a kernel is made of ---- */
/* The terms a kernel uses, ascending: operands come before their users. NULL: no memory. */
SnRef *sn_kernel_terms(const SnKernel *k, SnArena *arena, uint32_t *n);
uint32_t sn_kernel_term_find(const SnRef *terms, uint32_t n, SnRef r); /* its position; r must be there */
/* Is what the kernel loads of a buffer always the element that the same statement stores there? */
SN_MUST_CHECK SnStatus sn_kernel_overwrites(const SnKernel *k, int buf, SnArena *arena, bool *out,
                                            SnError *err);
/* Dtype of an elementwise op, DOT4 or DOT2 on these operands (CAST and BITCAST: `to`); SN_NODTYPE: they do
 * not fit. */
SnDtype sn_kernel_result(const SnStore *s, uint16_t op, const SnRef *arg, int narg, SnDtype to);
bool sn_kernel_is_narrow(
    SnDtype d); /* f16, bf16, f8: loaded, stored, cast to and from f32, never computed with */

/* An index as constant + lane * (index of a LANES loop) + sum of scale * atom; atoms are the same in all
 * lanes.
 */
#define SN_AFFINE_ATOMS 8
typedef struct SnAffine { /* init: {.is_known = true} */
    int64_t constant, lane;
    SnRef atom[SN_AFFINE_ATOMS];
    int64_t scale[SN_AFFINE_ATOMS];
    int n;
    bool is_known;
} SnAffine;
typedef struct SnLanes {
    const SnStore *s;
    const SnRef *term; /* of the kernel */
    uint32_t nterm;
    const bool *is_lane; /* of each term: depends on a lane */
    SnRef var;
} SnLanes;
void sn_affine_add(const SnLanes *l, SnAffine *x, SnRef r, int64_t scale); /* x += scale * r */

/* ---- text form, verifier, transforms ---- */
/* Grammar in kernel_text.c. */
void sn_kernel_print(const SnKernel *k, SnText *out);
SN_MUST_CHECK SnStatus sn_kernel_parse(SnStore *s, SnArena *arena, const char *name, SnBytes text,
                                       SnKernel **out, SnError *err);
SN_MUST_CHECK SnStatus sn_kernel_verify(const SnKernel *k, SnError *err);
/* Verifies (debug) and sets the key: after the statements were changed. */
SN_MUST_CHECK SnStatus sn_kernel_finish(SnKernel *k, SnError *err);
/* schedule.c: exp, log, sin, cos, tanh, erf, pow ▶ add, mul, fma, floor and bit operations (scalar.h); f16,
 * bf16 and f8 arithmetic ▶ f32 with casts. After it only ops that every backend has remain. */
SN_MUST_CHECK SnStatus sn_kernel_expand(SnKernel *k, SnArena *arena, SnError *err);

#endif
