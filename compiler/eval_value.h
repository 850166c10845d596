/* eval_value.h -- inside of eval: values, frames, and what its files share.
 *
 * A value is a dense host view, a tuple of values, or (for an absent operand or a function) nothing. Values
 * live in the arena of the frame that made them: a call or an iteration has its own, and what it returns is
 * copied out before its arena is cleared. */
#ifndef SN_EVAL_VALUE_H
#define SN_EVAL_VALUE_H

#include "compiler/graph.h"
#include "compiler/scalar.h"

typedef struct SnEvalValue SnEvalValue;
struct SnEvalValue {
    SnTypeKind kind; /* TENSOR, OBJECT (u8[n]), LIST: view; TUPLE: child; 0: nothing */
    SnView view;
    int nchild;
    const SnEvalValue **child;
};

/* The terms that a function or entry needs, in an order that operands come first. */
typedef struct SnEvalCode {
    uint32_t n;
    SnRef *ref; /* ascending */
} SnEvalCode;

typedef struct SnEvalFrame SnEvalFrame;

typedef struct SnEval {
    SnGraph *g; /* NULL: folding, no params and no host ops */
    SnStore *s;
    SnContext *ctx;
    SnScalarPlan *plan; /* made when first needed */
    SnArena *arena;     /* of the current frame */
    SnArena code_arena;
    SnEvalCode **code; /* by function */
    uint32_t ncode;
    SnEvalFrame *frame; /* the innermost */
    int depth;
    int64_t max_count; /* largest tensor, 0: no limit */
    const struct SnNamedView *in;
    size_t nin;
    SnError *err;
} SnEval;

/* What an op sees. in[i] is the value of operand i. */
typedef struct SnEvalOp {
    SnEval *e;
    SnRef ref;
    const SnTerm *t;
    const SnEvalValue **in;
    SnEvalValue *out;
} SnEvalOp;
typedef SnStatus SnEvalFn(const SnEvalOp *x);

/* ---- values (eval_value.c) ---- */
SnStatus sn_eval_fail(const SnEvalOp *x, const char *format, ...)
    SN_PRINTF(2, 3); /* "op: FORMAT", SN_ESHAPE */
SnStatus sn_eval_no_memory(SnEval *e);
/* Gives *v zeroed dense storage. */
SN_MUST_CHECK SnStatus sn_eval_tensor(SnEval *e, SnDtype d, int ndim, const int64_t *dims, SnEvalValue *v);
/* The same dims and strides for start and len; the child is set by the caller. */
SN_MUST_CHECK SnStatus sn_eval_list(SnEval *e, SnDtype d, int ndim, const int64_t *dims, SnEvalValue *v);
SN_MUST_CHECK SnStatus sn_eval_copy(SnEval *e, const SnEvalValue *v, SnArena *to, SnEvalValue **out);
int64_t sn_eval_nelement(const SnEvalValue *v);
int64_t sn_eval_product(int n, const int64_t *dims);
SnScalar sn_eval_load(const SnEvalValue *v, int64_t i);
void sn_eval_store(const SnEvalValue *v, int64_t i, SnScalar x);
int64_t sn_eval_i64(const SnEvalValue *v); /* of an integer scalar; saturated */
void sn_eval_dims(const SnEvalOp *x, int first, int n, int64_t *dims);
bool sn_eval_same_dims(const SnEvalValue *a, const SnEvalValue *b);

/* A list seen as one of its i64 tensors (0: start, 1: len). */
SnEvalValue sn_eval_list_part(const SnEvalValue *v, int which);
/* One child for several lists; shift[i] is what the starts of list i grow by. */
SN_MUST_CHECK SnStatus sn_eval_join_children(SnEval *e, const SnEvalValue *const *list, int n, int64_t *shift,
                                             SnEvalValue *out);

/* Elements in an order of their own: element i lies at offset + sum(index * stride). */
typedef struct SnEvalWalk {
    int64_t offset, stride[SN_MAX_RANK];
} SnEvalWalk;
void sn_eval_strides(int ndim, const int64_t *dims, int64_t *stride); /* dense */
/* Counts an index of ndim dims up in row-major order; false: past the end. */
bool sn_eval_next(int ndim, const int64_t *dims, int64_t *index);
int64_t sn_eval_at(const SnEvalWalk *w, int ndim, const int64_t *index);
void sn_eval_move(int ndim, const int64_t *dims, size_t size, void *to, const SnEvalWalk *to_walk,
                  const void *from, const SnEvalWalk *from_walk);

/* ---- running (eval.c) ---- */
SN_MUST_CHECK SnStatus sn_eval_call(SnEval *e, SnRef fn, const SnEvalValue *const *arg, int narg, SnArena *to,
                                    SnEvalValue **out);
SN_MUST_CHECK SnStatus sn_eval_dim(SnEval *e, SnRef dim, int64_t *out); /* in the current frame */
SN_MUST_CHECK SnStatus sn_eval_scalar_op(SnEval *e, uint16_t op, SnDtype d, const SnScalar *arg,
                                         SnScalar *out);
/* Dims of the rows that fn gives from result `first` on, when it was never called: for loops without trips.
 */
SN_MUST_CHECK SnStatus sn_eval_row_types(SnEval *e, SnRef fn, const SnEvalValue *const *arg, int narg,
                                         int first, SnEvalValue *rows, int nrow);

/* ---- ops, by file ---- */
SnEvalFn sn_eval_elementwise, sn_eval_cast, sn_eval_bitcast, sn_eval_where, sn_eval_iota, sn_eval_measure;
SnEvalFn sn_eval_reshape, sn_eval_permute, sn_eval_broadcast, sn_eval_slice, sn_eval_pad, sn_eval_flip,
    sn_eval_concat, sn_eval_window, sn_eval_update;
SnEvalFn sn_eval_reduce, sn_eval_scan, sn_eval_argmax, sn_eval_contract;
SnEvalFn sn_eval_gather, sn_eval_scatter, sn_eval_sort, sn_eval_compact, sn_eval_offsets, sn_eval_values;
SnEvalFn sn_eval_tuple, sn_eval_get_child, sn_eval_make_list, sn_eval_same, sn_eval_call_op, sn_eval_loop,
    sn_eval_cond, sn_eval_host;

#endif
