/* pass.h -- the passes and what they share. compile.c has the list in order.
 *
 *   grad     terms grad ▶ calls of functions that return gradients too
 *   expand   composites ▶ their definition; of a host term operand 0 becomes its scratch bytes
 *   inline   calls ▶ the bodies; bodies of loop and cond get the dims of their call site
 *   flatten  lists ▶ (start, len, child) tensors, tuples ▶ leaves: after it every value that a kernel or host
 * op touches is a tensor term; several results are read by get. Host terms get the attributes `in` and `out`
 * (prims.def) that say how leaves make views again
 *   pack     contracts read panels
 *   hoist    work on parameters alone ▶ a load entry
 *   fuse     decides which tensor terms are stored in memory; the rest is computed where it is used
 *   lower    a stored term ▶ kernels */
#ifndef SN_PASS_H
#define SN_PASS_H

#include "compiler/graph.h"
#include "compiler/target.h"
#include "runtime/program.h"

/* In SnPass.flags, besides those of SnCompileOptions: what the stages so far have left behind, for sn_verify.
 */
#define SN_PASS_EXPANDED (1u << 16) /* no composites */
#define SN_PASS_INLINED  (1u << 17) /* no calls */
#define SN_PASS_FLAT     (1u << 18) /* no lists, no tuples in tuples */
#define SN_PASS_GRAD     (1u << 19) /* there were gradients: for compile.c */

/* An input of an entry as the graph declares it, whether or not the passes find that nothing needs it. */
typedef struct SnDeclared {
    const char *entry;
    SnRef input;
} SnDeclared;

typedef struct SnPass {
    SnContext *ctx;
    SnCompiler *cc;
    SnGraph *g; /* for expanding composites */
    SnStore *s;
    const SnTarget *target; /* that is lowered for now */
    const SnTarget *level;  /* all that are: one, or those of an object */
    uint32_t nlevel;
    uint32_t flags;
    SnArena *arena; /* dies after the compilation */
    const SnDeclared *declared;
    size_t ndeclared;
} SnPass;

/* Each takes the program term and returns the new one. */
typedef SnStatus SnPassFn(SnPass *p, SnRef root, SnRef *out, SnError *err);
SnPassFn sn_pass_simplify; /* rewrite.c with rules_*.c */
SnPassFn sn_pass_grad;     /* grad.c */
SnPassFn sn_pass_expand;   /* expand.c */
SnPassFn sn_pass_inline;   /* inline.c */
SnPassFn sn_pass_flatten;  /* flatten.c */
SnPassFn sn_pass_pack;     /* pack.c */
SnPassFn sn_pass_hoist;    /* hoist.c */
/* Marks everything below root, the dims of types included: one flag a ref up to root, in the pass's arena.
 * NULL: no memory. */
bool *sn_reach(SnPass *p, SnRef root, bool enter_functions);
SN_MUST_CHECK SnStatus sn_verify(SnPass *p, SnRef root,
                                 SnError *err); /* verify.c: after every pass in debug builds */

/* ---- specialise.c: before all passes ---- */
/* The program with copies of entries in which symbols are fixed. The copies are entries with attributes base
 * (whose copy it is), symbols and values. text: SnCompileOptions.specialise, or NULL. */
SN_MUST_CHECK SnStatus sn_specialise(SnPass *p, const char *text, SnRef root, SnRef *out, SnError *err);

/* ---- inline.c ---- */
/* A function without calls but those whose gradient computes them again. */
SN_MUST_CHECK SnStatus sn_inline_for_grad(SnPass *p, SnRef fn, SnRef *out, SnError *err);

/* ---- expand.c ---- */
/* A function without composites but those that have a gradient of their own. */
SN_MUST_CHECK SnStatus sn_expand_for_grad(SnPass *p, SnRef fn, SnRef *out, SnError *err);

/* ---- expand.c: composites that the target has a loop nest for. They stay, as roots that are lowered ---- */
struct SnLower;
typedef struct SnClaim {
    const char *name;
    bool (*accepts)(const SnStore *s, SnRef r); /* else it is expanded like any other */
    void (*lower)(struct SnLower *l, SnRef r);
    /* A letter an operand: o its elements are read once, r several times, s once for each query and key. */
    const char *use;
    bool is_update;  /* the result may be made where operand 0 lies */
    bool is_product; /* what is made of each element of the result can be computed in its kernel */
} SnClaim;
/* Of a composite; NULL: none. */
const SnClaim *sn_claim_of(const SnPass *p, SnRef r);
/* update, scatter, or a claim that changes its first operand. */
bool sn_is_update(const SnPass *p, SnRef r);
/* contract, or a claim that is lowered as one. */
bool sn_is_product(const SnPass *p, SnRef r);

/* ---- hoist.c ---- */
/* The last entry, where there is one: it makes what the others name as parameters
 * SN_PACKED_PREFIX 0 and on. */
#define SN_LOAD_ENTRY "@load"
/* By ref: bytes of the parameters that a tensor is computed from where it depends on nothing but them and
 * constants, by ops that hoist moves, and its dims are constants; else -1. A copy, which is kept in their
 * place, counts as one. Arena memory. */
SN_MUST_CHECK SnStatus sn_weight_bytes(SnPass *p, SnRef root, int64_t **out, SnError *err);
/* The program without its load entry, and a program of that alone (0: there is none). */
SN_MUST_CHECK SnStatus sn_split_load(SnPass *p, SnRef root, SnRef *main, SnRef *load, SnError *err);

/* ---- order.c: of a program with gradients ---- */
/* The program laid out so that little is alive at a time, `most` bytes or less if that can be (0: what costs
 * next to nothing is computed again, and no more). shape: sizes of symbols, or NULL; is_stored: of the
 * program as it is. *peak: what it will be, about. */
SN_MUST_CHECK SnStatus sn_order(SnPass *p, const bool *is_stored, const char *shape, uint64_t most,
                                SnRef root, SnRef *out, uint64_t *peak, SnError *err);

/* ---- fuse.c ---- */
/* is_stored[r]: term r has a buffer (inputs, params, carries, args, consts with data, results of roots,
 * results of the entry and of bodies). One entry a ref, arena memory. */
SN_MUST_CHECK SnStatus sn_fuse(SnPass *p, SnRef root, bool **is_stored, SnError *err);
/* Units of work to compute an element of r again, its operands not counted. */
int sn_fuse_cost(const SnStore *s, SnRef r);

/* ---- fuse_row.c: a reduction that is not stored is computed once a row of the kernel that uses it ---- */
#define SN_ROW_UNIT  (-1) /* an axis of 1 */
#define SN_ROW_OTHER (-2)
typedef struct SnRowAxes {
    bool is_known;
    int8_t at[SN_MAX_RANK]; /* the axis of the kernel's result that an axis runs along, or UNIT, or OTHER */
} SnRowAxes;
/* A named combiner over the last axes of one operand. */
bool sn_row_is_reduce(const SnStore *s, SnRef r);
/* Axes of the result of a kernel; and of operand i of a user, joined with what is known of its other uses. */
SnRowAxes sn_row_axes(const SnStore *s, SnRef home);
void sn_row_axes_join(const SnStore *s, SnRef user, int i, const SnRowAxes *of_user, SnRowAxes *of_operand);
/* Behind the last axis of the kernel that r runs along; -1: r runs along something else. */
int sn_row_split(const SnStore *s, SnRef r, const SnRowAxes *axes);

/* ---- fuse_tail.c: a product that is not stored is computed in the kernel of the map that uses it ---- */
#define SN_TAIL_MOVES 8
typedef struct SnTail {
    SnRef product;
    SnRef move[SN_TAIL_MOVES]; /* terms from the product up to the map that move its elements */
    int nmove;
} SnTail;
/* Below a stored term: this product, or (0) the one that is not stored. Terms before it may be undecided. */
bool sn_tail_find(const SnPass *p, const bool *is_stored, SnRef home, SnRef product, SnTail *out);

/* ---- fuse_panel.c: a dear value that many rows share is computed in the kernel that uses it ---- */
#define SN_PANELS      4
#define SN_PANEL_COUNT 512 /* elements of a panel, at most */
typedef struct SnPanel {
    SnRef r;
    SnRowAxes axes;
    int from, count; /* its first axis, its elements */
} SnPanel;
typedef struct SnPanels {
    SnPanel at[SN_PANELS];
    int n;
    uint32_t rows; /* bits: axes of the map along which their other axes run */
} SnPanels;
/* Below a map, from this ref on. Terms before it may be undecided. false: none. */
bool sn_panels_find(const SnStore *s, const bool *is_stored, SnRef home, SnRef least, SnPanels *out);

/* ---- count.c ---- */
/* Operations that a term asks for, its operands not counted; a dim. */
SnRef sn_flops_of(SnStore *s, SnRef r);

/* ---- lower.c ---- */
/* What buffer parameter i of a kernel is. */
typedef enum SnBufKind { SN_BUF_VALUE, SN_BUF_RESULT, SN_BUF_TEMP } SnBufKind;
typedef struct SnBufUse {
    SnBufKind kind;
    SnRef value; /* VALUE: a stored tensor term that is read */
    uint32_t
        index; /* RESULT: which leaf of the lowered term (0 unless it is a tuple); TEMP: which temporary */
} SnBufUse;

typedef struct SnLoweredKernel {
    SnKernel *kernel;
    const SnKernel **form; /* of sn_reuse_lower: one for each level of the pass, the first is `kernel` */
    SnBufUse buf[SN_KERNEL_BUFFERS];
    SnRef dim[SN_KERNEL_DIMS]; /* the dim term that each i64 parameter is bound to */
    SnRef grid;                /* number of tiles as a dim term */
} SnLoweredKernel;

typedef struct SnLowered {
    SnLoweredKernel *kernel; /* run in order */
    uint32_t nkernel;
    SnRef *temp; /* size in bytes of each temporary, a dim term */
    uint32_t ntemp;
    /* operand index whose buffer may become the result's (update, scatter), or -1. Then kernel[0] is the copy
     * of that operand and nothing else: it is left out where the result is made in place. */
    int in_place;
    bool is_over; /* it takes what it overwrites from the result itself */
} SnLowered;

/* Lowers a stored root (not loop, cond, host or a leaf) with everything unstored that feeds it. Arena memory.
 */
SN_MUST_CHECK SnStatus sn_lower(SnPass *p, SnRef root, const bool *is_stored, SnLowered *out, SnError *err);
/* Likewise; a kernel takes the dims of that of `like` (NULL: none), in their order, before others of its own.
 * over: a value where the result is to be made (0: none); where that cannot be, out->is_over is false. */
SN_MUST_CHECK SnStatus sn_lower_like(SnPass *p, SnRef root, const bool *is_stored, SnRef over,
                                     const SnLowered *like, SnLowered *out, SnError *err);

/* ---- reuse.c ---- */
typedef struct SnLoweredForm {
    const SnRef *term; /* what it is built of, by number */
    uint32_t nterm;
    SnLowered low;
} SnLoweredForm;

/* What was lowered so far, by form. */
typedef struct SnReuse {
    SnPass *p;
    const bool *is_stored;
    uint32_t nstored;
    SnMap at; /* form ▶ index of `known` */
    SN_VEC(SnLoweredForm) known;
    /* the form being written, and its terms */
    SN_VEC(uint32_t) form;
    SN_VEC(SnRef) term;
    uint32_t *number; /* by ref: its place in `term` + 1; 0: none */
    bool failed;      /* no memory */
} SnReuse;

void sn_reuse_init(SnReuse *u, SnPass *p, const bool *is_stored, uint32_t n);
void sn_reuse_clear(SnReuse *u);
/* sn_lower for every level of the pass, or the kernels of a term that is built alike: what sn_lower makes of
 * a root may depend on nothing but its cone, is_stored in it, the types of what is stored, and the target.
 * Forms of a kernel differ in nothing but their code: they have the same buffers, dims and grid. */
SN_MUST_CHECK SnStatus sn_reuse_lower(SnReuse *u, SnRef root, SnRef over, SnLowered *out, SnError *err);

#endif
