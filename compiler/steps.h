/* steps.h -- from lowered terms to the image of a program: what steps.c, flow.c, host_step.c,
 * slots.c and image.c share. */
#ifndef SN_STEPS_H
#define SN_STEPS_H

#include "compiler/pass.h"
#include "runtime/program.h"

/* A function being laid out: where its parameters lie, and where each of its stored terms does. */
typedef struct SnFrame {
    const uint32_t *arg; /* buffer of each parameter */
    const bool
        *is_owned; /* likewise: may be overwritten once it was read for the last time; NULL: none may */
    uint32_t narg;
    const uint32_t *target; /* of each result: the buffer that it should be made in, or SN_NONE; NULL: any */
    uint32_t ntarget;
    SnRef body;
    SN_VEC(uint32_t) at;    /* by ref: first of its results in `home` + 1; 0: none */
    SN_VEC(uint32_t) home;  /* buffers */
    const uint32_t *last;   /* by ref: the last term that reads it, SN_NONE: who called does */
    SN_VEC(uint32_t) until; /* by buffer: the last term that reads what lies there; 0: none of this frame's */
} SnFrame;

typedef struct SnLoopReg {
    SnRef loop;
    uint32_t reg; /* counts its iterations */
} SnLoopReg;

typedef struct SnSteps {
    SnPass *p;
    SnStore *s;
    const SnAllocator *memory;
    const SnSource *source;
    bool *is_stored; /* by ref */
    uint32_t nstored;
    bool failed; /* no memory */

    /* tables of the image */
    SnText string, data;
    SnMap string_at, data_at; /* by text; by hash of the bytes */
    SN_VEC(SnInstr) instr;
    SN_VEC(uint32_t) instr_point; /* beside instr */
    SN_VEC(SnCheckRow) check;
    SN_VEC(uint32_t) check_point; /* beside check */
    uint32_t npoint;
    SN_VEC(SnSymbolRow) symbol;
    SN_VEC(SnBufferRow) buffer;
    SN_VEC(SnSlotRow) slot;
    SN_VEC(SnParamRow) param;
    SN_VEC(SnObjectRow) object;
    SN_VEC(SnKernelRow) kernel_row;
    SN_VEC(SnStepRow) step;
    SN_VEC(uint32_t) operand;
    SN_VEC(SnHostRow) host;
    SN_VEC(SnHostSlotRow) host_slot;
    SN_VEC(SnScalar) attr;
    SN_VEC(SnEntryRow) entry;
    SN_VEC(SnVariantRow) variant;
    SnRange carry, create_symbol;

    /* code */
    SN_VEC(const SnKernel *) kernel; /* distinct ones, each in p->nlevel forms, one after the other */
    SnMap kernel_at;                 /* key ▶ index */
    SnReuse reuse;
    SnRef *counted; /* by ref: the root that counted it last */
    SN_VEC(SnRef) todo;
    SN_VEC(const SnOp *) host_fn;  /* distinct rows */
    SN_VEC(SnSourceTensor) weight; /* beside param */

    /* registers of the entry being laid out */
    SN_VEC(uint32_t) reg_point; /* by register: the point that sets it */
    SN_VEC(uint32_t) reg_of;    /* by ref of a dim: register + 1; 0: none */
    SN_VEC(uint32_t) leaf_at;   /* by ref of a leaf: buffer + 1 */
    SN_VEC(SnRef) inputs;
    SN_VEC(SnLoopReg) loop; /* loops of the entry itself */
    uint32_t point;         /* of the code being laid out */
    uint32_t base;          /* first point of the entry */
    uint32_t segment;       /* counted over all entries */
    uint32_t depth;         /* of loops and conds */
} SnSteps;

/* ---- image.c ---- */
uint32_t sn_steps_string(SnSteps *x, const char *text);
/* The register that holds a dim, 0 .. n; SN_NONE and *err on failure. */
SN_MUST_CHECK SnStatus sn_steps_reg(SnSteps *x, SnRef dim, uint32_t *reg, SnError *err);
/* A new register that `point` sets. */
uint32_t sn_steps_new_reg(SnSteps *x, uint32_t point);
SN_MUST_CHECK SnStatus sn_steps_check(SnSteps *x, SnRef a, SnRef b, const char *what, SnError *err);
/* The image, in memory of the arena. */
SN_MUST_CHECK SnStatus sn_steps_image(SnSteps *x, SnArena *arena, SnImage **out, SnError *err);

/* ---- steps.c ---- */
void sn_steps_init(SnSteps *x, SnPass *p, const SnSource *source, bool *is_stored, uint32_t n);
void sn_steps_clear(SnSteps *x);
/* Lays out every entry of a flattened program. */
SN_MUST_CHECK SnStatus sn_steps_program(SnSteps *x, SnRef root, SnError *err);

SN_MUST_CHECK SnStatus sn_steps_new_buffer(SnSteps *x, SnBufferKind kind, uint32_t index, SnRef bytes,
                                           uint32_t *out, SnError *err);
/* A buffer for a tensor. In a loop it holds as much as the dims can be there. */
SN_MUST_CHECK SnStatus sn_steps_buffer(SnSteps *x, SnBufferKind kind, uint32_t index, SnTypeId type,
                                       uint32_t *out, SnError *err);
/* Places for the results of a term: those that are wanted there, else fresh buffers. */
SN_MUST_CHECK SnStatus sn_steps_results(SnSteps *x, SnFrame *f, SnRef ref, SnError *err);
/* Likewise for leaf i alone, of the given type. */
SN_MUST_CHECK SnStatus sn_steps_result(SnSteps *x, SnFrame *f, SnRef ref, uint32_t i, SnTypeId type,
                                       uint32_t *out, SnError *err);
/* Where result i of a term that was laid out lies. */
static inline uint32_t sn_steps_home(const SnFrame *f, SnRef ref, uint32_t i)
{
    return f->home.at[f->at.at[ref] - 1 + i];
}
/* A step uses the buffer: it lives until then at least. */
void sn_steps_touch(SnSteps *x, uint32_t buffer, uint32_t step);
/* Where a value that is stored lies. */
SN_MUST_CHECK SnStatus sn_steps_lookup(SnSteps *x, SnFrame *f, SnRef value, uint32_t *out, SnError *err);
/* Likewise of leaf i of a value, which may be a tuple. */
SN_MUST_CHECK SnStatus sn_steps_leaf(SnSteps *x, SnFrame *f, SnRef ref, uint32_t i, uint32_t *out,
                                     SnError *err);
/* Appends a step that uses these buffers and registers; its number is x->step.n - 1. */
SN_MUST_CHECK SnStatus sn_steps_push(SnSteps *x, SnStepRow row, const uint32_t *buffer, uint32_t nbuffer,
                                     const uint32_t *reg, uint32_t nreg, SnError *err);
SN_MUST_CHECK SnStatus sn_steps_copy(SnSteps *x, uint32_t to, uint32_t from, SnTypeId type, SnError *err);
/* The steps of a closed function with the parameters and targets of f; its results, flattened, in
 * result[0..n). Clears f. */
SN_MUST_CHECK SnStatus sn_steps_function(SnSteps *x, SnRef fn, SnFrame *f, uint32_t *result, uint32_t nresult,
                                         SnError *err);
/* The leaves of a type: itself, or its children. */
uint32_t sn_steps_leaves(const SnStore *s, SnTypeId type, const SnTypeId **leaf, SnTypeId *self);
/* Constant bytes, aligned; equal ones exist once. Their offset from the start of the data. */
uint32_t sn_steps_data(SnSteps *x, const void *at, size_t n);

/* ---- count.c ---- */
/* What a lowered term does: its operations, and how many bytes it takes of each stored value. Dims. */
typedef struct SnCount {
    SnRef flops;
    int n;
    SnRef value[SN_KERNEL_BUFFERS], bytes[SN_KERNEL_BUFFERS];
} SnCount;
SN_MUST_CHECK SnStatus sn_steps_count(SnSteps *x, SnRef root, SnCount *c, SnError *err);
/* Registers of operations and bytes of one of its kernels, into the row of the step. */
SN_MUST_CHECK SnStatus sn_steps_count_kernel(SnSteps *x, SnRef root, const SnLowered *low, uint32_t kernel,
                                             const SnCount *c, SnStepRow *row, SnError *err);

/* ---- inplace.c ---- */
/* Updates and what they are made of: an operand that reads what is updated is stored first. */
SN_MUST_CHECK SnStatus sn_store_updates(SnPass *p, bool *is_stored, uint32_t nstored, SnError *err);
/* What will be read until when, of the terms that root needs. */
SN_MUST_CHECK SnStatus sn_frame_begin(SnSteps *x, SnFrame *f, SnRef root, const bool *need,
                                      const bool *in_function, SnError *err);
void sn_frame_clear(SnSteps *x, SnFrame *f);
/* The results of a term lie in these buffers from now on; is_made: it wrote them. */
SN_MUST_CHECK SnStatus sn_frame_set(SnSteps *x, SnFrame *f, SnRef ref, const uint32_t *buffer, uint32_t n,
                                    bool is_made, SnError *err);
/* A get was reached: it may be read for longer than the term it is a result of. */
SN_MUST_CHECK SnStatus sn_frame_get(SnSteps *x, SnFrame *f, SnRef get, SnError *err);
/* Is nothing that lies in the buffer read by terms from `at` on? */
bool sn_frame_is_free(const SnFrame *f, uint32_t buffer, SnRef at);
/* The free buffer that result i of a term should be made in; SN_NONE: there is none. */
uint32_t sn_frame_target(const SnSteps *x, const SnFrame *f, SnRef ref, uint32_t i);
/* The buffer of the operand that an update or scatter may overwrite; SN_NONE: it needs a copy. */
SN_MUST_CHECK SnStatus sn_frame_in_place(SnSteps *x, SnFrame *f, SnRef ref, const SnLowered *low,
                                         uint32_t *out, SnError *err);
/* Likewise the buffer of the carry whose new value a map is, where nothing but the map reads that from there
 * on; *low: its kernels then. */
SN_MUST_CHECK SnStatus sn_frame_overwrite(SnSteps *x, SnFrame *f, SnRef ref, SnLowered *low, uint32_t *out,
                                          SnError *err);
/* Which parameter result i of a function is, perhaps after updates; -1: none. */
int64_t sn_updated_param(const SnSteps *x, SnRef fn, uint32_t i);
/* to[i] <- from[i], all at once. */
SN_MUST_CHECK SnStatus sn_steps_move(SnSteps *x, const uint32_t *to, uint32_t *from, const SnTypeId *type,
                                     uint32_t n, SnError *err);

/* ---- host_step.c ---- */
SN_MUST_CHECK SnStatus sn_steps_host(SnSteps *x, SnFrame *f, SnRef ref, SnError *err);

/* ---- slots.c ---- */
/* Lists what the entries of a graph declare: what an entry reads, and what none does, which is every entry's.
 */
SN_MUST_CHECK SnStatus sn_declare_inputs(SnPass *p, SnRef root, SnError *err);
SN_MUST_CHECK SnStatus sn_steps_inputs(SnSteps *x, SnRef entry, SnRange *out, SnError *err);
SN_MUST_CHECK SnStatus sn_steps_outputs(SnSteps *x, SnFrame *f, SnRef entry, SnRange *out, SnError *err);
SN_MUST_CHECK SnStatus sn_steps_carries(SnSteps *x, SnRef root, SnError *err);

/* ---- flow.c ---- */
SN_MUST_CHECK SnStatus sn_steps_loop(SnSteps *x, SnFrame *f, SnRef ref, SnError *err);
SN_MUST_CHECK SnStatus sn_steps_cond(SnSteps *x, SnFrame *f, SnRef ref, SnError *err);

#endif
