/* type.h -- types and symbolic dims.
 *
 * A dim is an i64 scalar term, kept in a canonical form (a sorted sum of products, then idiv, mod, min, max)
 * so that equal dims are mostly the same ref. */
#ifndef SN_TYPE_H
#define SN_TYPE_H

#include "compiler/term.h"

typedef enum SnTypeKind {
    SN_TYPE_TENSOR = 1,
    SN_TYPE_LIST,
    SN_TYPE_TUPLE,
    SN_TYPE_OBJECT,
    SN_TYPE_FN
} SnTypeKind;

typedef struct SnType {
    SnTypeKind kind;
    SnDtype dtype;            /* TENSOR, LIST (of the child) */
    int ndim;                 /* TENSOR, LIST */
    SnRef dims[SN_MAX_RANK];  /* TENSOR, LIST */
    SnRef bound;              /* LIST: capacity of the child in elements, a dim; 0: unknown yet */
    int nchild;               /* TUPLE, FN (result, args...) */
    const SnTypeId *child;    /* TUPLE, FN */
    const char *const *names; /* TUPLE: or NULL */
    const char *class_name;   /* OBJECT */
} SnType;

SnTypeId sn_type_make(SnStore *s, const SnType *t); /* hash-consed; arrays are copied; 0: no memory */
const SnType *sn_type(const SnStore *s, SnTypeId id);
const SnType *sn_type_of(const SnStore *s, SnRef r);
SnTypeId sn_type_tensor(SnStore *s, SnDtype dtype, int ndim, const SnRef *dims);
SnTypeId sn_type_scalar(SnStore *s, SnDtype dtype);
SnTypeId sn_type_list(SnStore *s, SnDtype dtype, int ndim, const SnRef *dims, SnRef bound);
SnTypeId sn_type_tuple(SnStore *s, int n, const SnTypeId *child, const char *const *names);
/* "f32[b,4*n]", "list<u8>[b] max=64", "tuple<...>", "object<tokenizer>" */
void sn_type_print(const SnStore *s, SnTypeId id, SnText *out);
void sn_dim_print(const SnStore *s, SnRef dim, SnText *out);

/* ---- dims: canonical makers ---- */
SnRef sn_dim_symbol(SnStore *s, const char *name, int64_t lo, int64_t hi, bool at_create);
SnRef sn_dim_add(SnStore *s, SnRef a, SnRef b);
SnRef sn_dim_sub(SnStore *s, SnRef a, SnRef b);
SnRef sn_dim_mul(SnStore *s, SnRef a, SnRef b);
SnRef sn_dim_div(SnStore *s, SnRef a, SnRef b); /* floor; exact where it divides symbolically */
SnRef sn_dim_mod(SnStore *s, SnRef a, SnRef b);
SnRef sn_dim_min(SnStore *s, SnRef a, SnRef b);
SnRef sn_dim_max(SnStore *s, SnRef a, SnRef b);
bool sn_dim_equal(const SnStore *s, SnRef a, SnRef b);                    /* provably */
void sn_dim_range(const SnStore *s, SnRef dim, int64_t *lo, int64_t *hi); /* saturated bounds */
/* Value under a binding of its leaves (dim and measure terms); false: a leaf is unbound. */
bool sn_dim_eval(const SnStore *s, SnRef dim, bool (*leaf)(void *self, SnRef leaf, int64_t *value),
                 void *self, int64_t *out);

/* ---- inference: the shape rules of prims.c ---- */
/* Checks operands and attributes of a primitive and gives the result type. */
SN_MUST_CHECK SnStatus sn_infer(SnStore *s, uint16_t prim, SnAttrId attr, const SnRef *arg, int narg,
                                SnTypeId *out, SnError *err);
/* Infers and makes; leaves (input, param, const, arg, ...) need sn_term_make. */
SN_MUST_CHECK SnStatus sn_term_build(SnStore *s, uint16_t prim, SnAttrId attr, const SnRef *arg, int narg,
                                     SnRef *out, SnError *err);

/* ---- substitution: the tool of passes ----
 * Rebuilds root with some terms replaced (`to` for `from`, dims inside types included), inferring types anew.
 * `map` has one entry a ref of the store (0: unchanged) and is extended as it goes. Does not enter functions
 * unless told. */
typedef struct SnSubst {
    SnStore *s;
    SnRef *map; /* arena memory of the pass; n entries */
    uint32_t n;
    bool enter_functions;
} SnSubst;
SN_MUST_CHECK SnStatus sn_subst(SnSubst *x, SnRef root, SnRef *out, SnError *err);

#endif
