/* codegen.h -- inside the LLVM code generator: what codegen.c, index.c, lanes.c, arith.c, convert.c,
 * divide.c, amx.c and object.c share.
 *
 * A term becomes one LLVM value: a scalar where it is the same for all lanes, else a vector with one element
 * a lane. bool is i1 (i8 in memory); f16, bf16 and f8 are held as integers of their bits until they are cast.
 * Errors stick to the generator: what follows is poison of the right type, and the module is thrown away. */
#ifndef SN_CODEGEN_H
#define SN_CODEGEN_H

#include "compiler/kernel.h"
#include "runtime/cpu.h"

#include <llvm-c/Core.h>

#define SN_GEN_LANES 64          /* widest vector */
#define SN_GEN_DEPTH 160         /* nesting of scopes: two a loop, one an IF */
#define SN_GEN_STACK (64 * 1024) /* bytes of LOCALs: host job stacks are small */
#define SN_GEN_STMTS (1 << 17)   /* statements after unrolling */

/* How often a term is evaluated: placement follows from it. */
typedef enum SnGenEffect {
    SN_GEN_PURE,  /* once, in front of the outermost loop in which its indices are bound */
    SN_GEN_READ,  /* loads what nobody writes: likewise, where it is certain to be needed */
    SN_GEN_STATE, /* loads what the kernel writes: once per statement */
} SnGenEffect;

/* Facts about a term and its value in the kernel at hand. */
typedef struct SnGenNode {
    uint32_t kernel; /* serial of the kernel that the rest is about */
    SnRef lane;      /* the lane index that it depends on; 0: the same for all lanes */
    SnRef at_lane0;  /* the term with that index replaced by its value in lane 0; 0: not made yet */
    SnRef unrolled;  /* the term with unrolled indices replaced by constants, as of `epoch` */
    uint32_t epoch;
    uint32_t scope; /* serial of the scope (STATE: statement) in which value may be used */
    uint8_t depth;  /* of that scope */
    uint8_t level;  /* depth at which it would be evaluated, as found in scope level_scope */
    uint32_t level_scope;
    uint32_t counted; /* the last count that met it */
    uint8_t width;    /* of a lane index: lanes */
    uint8_t factor;   /* of an index: a power of two that divides it; 0: not known */
    SnGenEffect effect;
    bool is_unrolled; /* depends on the index of an unrolled loop */
    LLVMValueRef value, splat;
} SnGenNode;

typedef struct SnGenScope {
    uint32_t serial;
    int floor;          /* depth of the outermost scope around that runs whenever this one does */
    LLVMValueRef leave; /* the branch into the scope inside: code of this depth goes before it */
    bool is_rare;       /* what the scope around could hold stays in it */
} SnGenScope;

typedef struct SnGen {
    const SnAllocator *memory;
    LLVMContextRef llvm;
    LLVMModuleRef module;
    LLVMBuilderRef b;
    SnError *err;
    SnStatus status;
    SnCpuLevel level;

    const SnKernel *k;
    SnStore *s;
    LLVMValueRef fn;
    LLVMBasicBlockRef block;  /* where code goes now */
    SN_VEC(SnGenNode) node;   /* by ref */
    SN_VEC(LLVMValueRef) buf; /* pointers to parameters, then LOCALs; NULL: not used yet */
    SnGenScope scope[SN_GEN_DEPTH];
    int open;   /* depth of the innermost scope; 0 is the function */
    int top;    /* depth that code goes to: less than open for what is placed further out */
    SnRef lane; /* index of the open LANES loop, and its width; 0 outside */
    uint32_t width;
    uint32_t kernel, serial, statement, epoch, count, nstmt;
    bool streams; /* some store passes by the caches */
    size_t stack;
    LLVMValueRef tiles; /* memory of the tile registers, at levels that have none */
} SnGen;

void sn_gen_clear(SnGen *g); /* what it has allocated; llvm, module and b are the caller's */
/* Adds the kernel to the module as an external function. */
SN_MUST_CHECK SnStatus sn_gen_kernel(SnGen *g, const SnKernel *k, SnCpuLevel level, const char *symbol);

/* ---- codegen.c ---- */
void sn_gen_fail(SnGen *g, SnStatus code, const char *format, ...) SN_PRINTF(3, 4);
LLVMTypeRef sn_gen_type(const SnGen *g, SnDtype d, uint32_t width); /* width 0: scalar */
LLVMTypeRef sn_gen_memory_type(const SnGen *g, SnDtype d, uint32_t width);
LLVMTypeRef sn_gen_vector(LLVMTypeRef element, uint32_t width); /* width 0: element */
LLVMValueRef sn_gen_int(LLVMTypeRef type, uint64_t v);          /* of an integer type or vector of it */
LLVMValueRef sn_gen_real(LLVMTypeRef type, double v);           /* of a float type or vector of it */
LLVMValueRef sn_gen_iota(LLVMTypeRef element, uint32_t width, int64_t first, int64_t step);
LLVMValueRef sn_gen_splat(SnGen *g, LLVMValueRef v, uint32_t width);
LLVMValueRef sn_gen_intrinsic(SnGen *g, const char *name, LLVMTypeRef *overload, size_t noverload,
                              LLVMValueRef *arg, unsigned narg);
LLVMBasicBlockRef sn_gen_block(SnGen *g);          /* a new block */
void sn_gen_enter(SnGen *g, LLVMBasicBlockRef to); /* code goes to its end from now on */
void sn_gen_place(SnGen *g, int depth);            /* or to the end of what was emitted at a depth */
void sn_gen_function(SnGen *g, const char *name, LLVMTypeRef type); /* starts a function of g->level */
LLVMValueRef sn_gen_buffer(SnGen *g, int64_t buf);                  /* where it lies */

const SnGenNode *sn_gen_facts(SnGen *g, SnRef r);
SnRef sn_gen_unrolled(SnGen *g, SnRef r); /* with unrolled indices as constants; 0 for 0 */
SnRef sn_gen_at_lane0(SnGen *g, SnRef r);
SnRef sn_gen_make(SnGen *g, uint16_t op, SnRef a, SnRef b); /* an i64 term */
LLVMValueRef sn_gen_value(SnGen *g, SnRef r); /* scalar, or vector where it depends on the lane */
LLVMValueRef sn_gen_wide(SnGen *g, SnRef r, uint32_t width); /* vector; width 0: scalar */

/* ---- lanes.c ---- */
LLVMValueRef sn_gen_load(SnGen *g, SnRef r);
LLVMValueRef sn_gen_fold(SnGen *g, SnRef r);
void sn_gen_store(SnGen *g, const SnStmt *s);
/* ---- index.c ---- */
/* Is i64 term r, beside what all lanes share, a constant multiple of the lane? */
bool sn_gen_stride(SnGen *g, SnRef r, int64_t *stride);
/* The vector of an i64 index, or of a comparison of one, without arithmetic on all lanes; NULL: r is
 * something else. */
LLVMValueRef sn_gen_index(SnGen *g, SnRef r, uint32_t width);

/* ---- amx.c ---- */
bool sn_gen_has_tiles(const SnStmt *body);
void sn_gen_tiles_begin(SnGen *g); /* at the start of the kernel function */
void sn_gen_tiles_end(SnGen *g);   /* and at its end */
void sn_gen_tile(SnGen *g, const SnStmt *s);

/* ---- arith.c ---- operands have the width of the result; the condition of where may be scalar ---- */
LLVMValueRef sn_gen_arith(SnGen *g, uint16_t op, SnDtype d, LLVMValueRef *x, uint32_t width);
LLVMValueRef sn_gen_dot4(SnGen *g, LLVMValueRef acc, LLVMValueRef a, LLVMValueRef b, uint32_t width);
LLVMValueRef sn_gen_dot2(SnGen *g, LLVMValueRef acc, LLVMValueRef a, LLVMValueRef b, uint32_t width);
/* Two bf16 x two bf16 in packed words, added one after the other. */
LLVMValueRef sn_gen_pair_fma(SnGen *g, LLVMValueRef acc, LLVMValueRef a, LLVMValueRef b, uint32_t width);

/* ---- convert.c ---- */
LLVMValueRef sn_gen_cast(SnGen *g, SnDtype from, SnDtype to, bool saturate, LLVMValueRef v, uint32_t width);

/* ---- divide.c ---- */
LLVMValueRef sn_gen_int_divide(SnGen *g, SnDtype d, LLVMValueRef a, LLVMValueRef b, bool want_mod);
LLVMValueRef sn_gen_float_mod(SnGen *g, SnDtype d, LLVMValueRef a, LLVMValueRef b, uint32_t width);

#endif
