/* lower.h -- what lower*.c share: the kernel being built, iteration spaces, the scalar walk. Internal to
 * them.
 *
 * Nothing here returns a status: the first failure sticks to the SnLower, later calls do nothing and give 0.
 */
#ifndef SN_LOWER_H
#define SN_LOWER_H

#include "compiler/pass.h"

/* Constants of the format: the order of sums depends on the first two. */
#define SN_FOLD_LANES  64    /* virtual lanes of a reduction along a row */
#define SN_PIECE_COUNT 65536 /* elements of a partial sum of a whole tensor */
#define SN_LANES       16
#define SN_TILE_COUNT  4096 /* elements of a tile */
#define SN_FOLD_ARGS   4    /* operands of a reduction by a function */

/* An index that was taken apart: index[] of dims[] came from `whole`. Putting it together gives `whole`
 * again. */
typedef struct SnParts {
    SnRef whole;
    int n;
    SnRef dims[SN_MAX_RANK], index[SN_MAX_RANK];
} SnParts;
#define SN_LOWER_PARTS 64
#define SN_LOWER_BOUND 16

typedef struct SnLower {
    SnPass *p;
    SnStore *s;
    SnRef root;
    const bool *is_stored;
    SnLowered *out;
    SnRef over;            /* a value that is read where the result is; 0: none */
    const SnLowered *like; /* another form of it, or NULL */
    uint32_t kernel_cap, temp_cap;
    SnStatus status;
    SnError *err;
    /* the kernel being built */
    SnKernelBuild kb;
    SnKernel spare; /* stands in where there was no memory for one */
    SnLoweredKernel now;
    SnMap memo;  /* term, index, guard ▶ scalar */
    SnMap split; /* term ▶ sn_lower_read */
    SnParts parts[SN_LOWER_PARTS];
    int npart;
    struct {
        SnRef term, value;   /* value 0: an element of buf */
        int buf, from;       /* its index counts axes from here on */
        SnRef base;          /* and is behind this one; 0: none */
    } bound[SN_LOWER_BOUND]; /* roots computed inside of this kernel, and what they are where the walk is */
    int nbound;
    struct {
        SnRef of; /* an index, or 0: what is read from memory asks for what lies where it is more */
        int64_t by;
    } ahead;
    bool has_pieces;        /* what is read decides by the column where an element comes from: concat, pad */
    const char *op_name[3]; /* first fused ops, for the kernel's name */
    int nop_name;
    const SnRef *env; /* what the parameters of the combiner being applied stand for; NULL: none */
    int nenv;
    uint32_t env_id;
} SnLower;

void sn_lower_fail(SnLower *l, SnStatus code, const char *format, ...) SN_PRINTF(3, 4);

/* ---- one kernel ---- */
void sn_lower_begin(SnLower *l, const char *name);
void sn_lower_end(SnLower *l, SnRef grid); /* grid: a dim term */
int sn_lower_buffer(SnLower *l, SnBufKind kind, SnRef value, uint32_t index, bool is_written);
int sn_lower_result(SnLower *l, uint32_t leaf); /* bound and written */
uint32_t sn_lower_temp(SnLower *l, SnRef bytes);
SnRef sn_lower_dim(SnLower *l, SnRef dim);     /* constant or kernel parameter */
SnRef sn_lower_divisor(SnLower *l, SnRef dim); /* the same, at least 1 */
SnRef sn_lower_count(SnLower *l, int n, const SnRef *dims);
bool sn_lower_is_empty(SnLower *l, int n, const SnRef *dims); /* surely no elements: no body is needed */
SnRef sn_lower_ceil(SnLower *l, SnRef dim, int64_t by);       /* dims: ceil(dim / by) */
void sn_lower_store(SnLower *l, int buf, SnDtype dtype, SnRef index, SnRef value, SnRef guard);

/* ---- index arithmetic; refs are kernel scalars ---- */
static inline SnRef i_const(SnLower *l, int64_t v)
{
    return sn_const_i64(l->s, v);
}
#define SN_INDEX_BINARY(NAME, OP)                                                                            \
    static inline SnRef NAME(SnLower *l, SnRef a, SnRef b)                                                   \
    {                                                                                                        \
        return sn_s2(l->s, SN_OP_##OP, a, b);                                                                \
    }
SN_INDEX_BINARY(i_add, ADD)
SN_INDEX_BINARY(i_sub, SUB)
SN_INDEX_BINARY(i_mul, MUL)
SN_INDEX_BINARY(i_div, IDIV)
SN_INDEX_BINARY(i_mod, MOD)
SN_INDEX_BINARY(i_min, MIN)
SN_INDEX_BINARY(i_max, MAX)
SN_INDEX_BINARY(i_lt, LT)
#undef SN_INDEX_BINARY
static inline SnRef i_ge(SnLower *l, SnRef a, SnRef b)
{
    return sn_s_not(l->s, i_lt(l, a, b));
}
/* Both guards; 0 is no guard. */
static inline SnRef i_both(SnLower *l, SnRef a, SnRef b)
{
    return a == 0 ? b : b == 0 ? a : sn_s2(l->s, SN_OP_AND, a, b);
}
/* lo <= a < hi */
SnRef sn_lower_inside(SnLower *l, SnRef a, SnRef lo, SnRef hi);

/* Row-major index of a point, and back. */
SnRef sn_lower_join(SnLower *l, int n, const SnRef *dims, const SnRef *index);
void sn_lower_part(SnLower *l, SnRef whole, int n, const SnRef *dims, SnRef *index);

/* ---- the scalar walk (lower_walk.c) ---- */
/* The point of `to` where a point of `from` goes when both hold the same elements in row-major order. Returns
 * a guard, where that is known at run time only, or 0. */
SnRef sn_lower_regroup(SnLower *l, const SnType *from, const SnRef *at, const SnType *to, SnRef *index);
/* Binds the buffers that a term is computed from; call it for every operand before a LOCAL or a result is
 * made. Returns the first axis of the trailing ones that may be indexed as one. */
int sn_lower_read(SnLower *l, SnRef r);
/* Element `index` of a term. No buffer is touched where the guard is false (0: always true). */
SnRef sn_lower_scalar(SnLower *l, SnRef r, const SnRef *index, SnRef guard);
/* From now on every element of r that the walk asks for is `value`: r is a root that is not stored, and is
 * computed by this kernel once a row (a reduction) or once a tile (a product). Forgets what was walked. */
void sn_lower_bind(SnLower *l, SnRef r, SnRef value);
/* Likewise: every element of r lies in a buffer, in row-major order; NOWHERE: r is computed again. */
#define SN_LOWER_NOWHERE (-1)
void sn_lower_bind_buffer(SnLower *l, SnRef r, int buf);
/* Likewise: axes of r from this one on lie in a LOCAL from element `base` on, whatever the others are. */
void sn_lower_bind_panel(SnLower *l, SnRef r, int buf, int from, SnRef base);
/* Element `at` of a stored term or temporary in row-major order. */
SnRef sn_lower_load(SnLower *l, int buf, SnDtype dtype, SnRef at, SnRef guard);
/* How much r grows where x does by one; 0: not always as much, or less. */
int64_t sn_lower_slope(SnLower *l, SnRef r, SnRef x);
/* What is loaded, or loaded and widened: asks for the memory so many bytes behind it, too. */
SnRef sn_lower_ahead(SnLower *l, SnRef r, int64_t bytes);
/* Applies a function of scalars; nresult values. */
void sn_lower_apply(SnLower *l, SnRef fn, int narg, const SnRef *arg, int nresult, SnRef *result);
/* start of a slice of `extent` along an axis, clamped so that it fits */
SnRef sn_lower_start(SnLower *l, SnRef start, SnRef dim, SnRef extent);
/* Row of an axis of a gather or scatter: index operand k of a term as i64, at a point of the index dims. */
SnRef sn_lower_index(SnLower *l, SnRef index, int ndim, const SnRef *point, SnRef guard);

/* ---- iteration spaces (lower.c) ----
 * Points of dims[]: axes before `split` are rows, the others columns, with `width` columns at a time (16
 * lanes, or 1). A tile is about SN_TILE_COUNT elements of work. */
typedef struct SnSpace {
    int ndim, split, width;
    SnRef dims[SN_MAX_RANK];
    /* of the group being emitted */
    SnRef row[SN_MAX_RANK];
    SnRef first, limit; /* its first column; columns from limit on do not exist (0: all do) */
} SnSpace;
typedef void SnGroupFn(SnLower *l, const SnSpace *at, void *self);
/* Opens the loops, calls emit for each kind of group, returns the grid (a dim). work: steps per point, a dim.
 */
SnRef sn_lower_space(SnLower *l, SnSpace *at, SnRef work, SnGroupFn *emit, void *self);
/* Opens the loop over the columns of a group; gives point and lane, returns the guard. */
SnRef sn_lower_lanes(SnLower *l, const SnSpace *at, SnRef *index, SnRef *lane, SnStmt ***mark);
static inline void sn_lower_close(SnLower *l, SnStmt **mark)
{
    sn_kernel_close(&l->kb, mark);
}
/* Makes `split` reasonable: very small columns are joined with the rows. */
void sn_lower_space_fit(SnLower *l, SnSpace *at);

/* The columns of one row of r, computed and stored: at->row and dims are set. is_read: the kernel reads what
 * it stores there. */
void sn_lower_map_row(SnLower *l, SnSpace *at, SnRef r, int buf, bool is_read);

/* A kernel that copies: result[to + offset] = r, over the points of r. */
void sn_lower_map(SnLower *l, const char *name, SnRef r, uint32_t leaf, const SnType *to,
                  const SnRef *offset);

/* What a walk over a row computes on its way, at the same points: r is stored in buf, and read from there by
 * this walk and the later ones. The lanes of all walks meet the same elements. */
typedef struct SnSpill {
    SnRef r;
    int buf, from; /* its index counts axes from here on */
} SnSpill;
/* Elements that a reduction of rows combines, a dim; and one row of it, as its own kernel computes it, into
 * element `to` of a buffer. spill may be NULL. */
SnRef sn_lower_fold_count(SnLower *l, SnRef r);
void sn_lower_fold_row(SnLower *l, SnRef r, const SnRef *kept, int buf, SnRef to, const SnSpill *spill);

/* ---- roots ---- */
/* The kernel of a root with the reductions that it computes once a row; false: it has none. */
bool sn_lower_row(SnLower *l, SnRef root); /* lower_row.c */
/* The kernel of a root that is the tail of a product; false: it is not. */
bool sn_lower_tail(SnLower *l, SnRef root); /* lower_contract.c */
/* The kernel of a map with what many of its rows share; false: they share nothing. */
bool sn_lower_panels(SnLower *l, SnRef root); /* lower_panel.c */
typedef void SnLowerFn(SnLower *l, SnRef r);
SnLowerFn sn_lower_reduce, sn_lower_scan, sn_lower_argmax; /* lower_reduce.c */
SnLowerFn sn_lower_contract;                               /* lower_contract.c */
bool sn_grouped_accepts(const SnStore *s, SnRef r);
SnLowerFn sn_lower_attend, sn_lower_attend_grad, sn_lower_past; /* attend.c */
bool sn_attend_accepts(const SnStore *s, SnRef r);
bool sn_attend_grad_accepts(const SnStore *s, SnRef r);
bool sn_past_accepts(const SnStore *s, SnRef r);
/* First kernel of what changes a part of its base: result = base; and, once all kernels are made: the base
 * may become the result when that copy is all that reads it. */
void sn_lower_copy_base(SnLower *l, SnRef base);
void sn_lower_mark_in_place(SnLower *l, SnRef base);
SnLowerFn sn_lower_block_rows; /* gemm_quant.c */
bool sn_block_rows_accepts(const SnStore *s, SnRef r);
bool sn_blocks_accepts(const SnStore *s, SnRef r);
SnLowerFn sn_lower_cache; /* lower_cache.c */
bool sn_cache_accepts(const SnStore *s, SnRef r);
SnLowerFn sn_lower_state; /* lower_state.c */
bool sn_state_accepts(const SnStore *s, SnRef r);
SnLowerFn sn_lower_scatter, sn_lower_update, sn_lower_sort, sn_lower_compact; /* lower_index.c */

SnDtype sn_lower_acc(SnDtype d); /* what a dtype is summed in: f32 for narrower floats, else itself */

#endif
