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
    uint32_t depth, nleaf;    /* of the tree of children; sn_type_make fills them in */
} SnType;

#define SN_MAX_TYPE_DEPTH 64
#define SN_MAX_TYPE_LEAF  65536
/* Hash-consed; arrays are copied. 0: no memory, or children nested or numerous beyond the limits. */
SnTypeId sn_type_make(SnStore *s, const SnType *t);
const SnType *sn_type(const SnStore *s, SnTypeId id);
const SnType *sn_type_of(const SnStore *s, SnRef r);
/* The loop that a value is stacked rows of, 0: it is not. */
SnRef sn_stacking_loop(const SnStore *s, SnRef value);
SnTypeId sn_type_tensor(SnStore *s, SnDtype dtype, int ndim, const SnRef *dims);
SnTypeId sn_type_scalar(SnStore *s, SnDtype dtype);
SnTypeId sn_type_list(SnStore *s, SnDtype dtype, int ndim, const SnRef *dims, SnRef bound);
SnTypeId sn_type_tuple(SnStore *s, int n, const SnTypeId *child, const char *const *names);
/* "f32[b,4*n]", "list<u8>[b] max=64", "tuple<...>", "object<tokenizer>" */
void sn_type_print(const SnStore *s, SnTypeId id, SnText *out);
void sn_dim_print(const SnStore *s, SnRef dim, SnText *out);
/* The same with the caller's names for symbols and measures; namer NULL: as above. */
typedef void SnDimNamer(void *self, SnRef leaf, SnText *out);
void sn_type_write(const SnStore *s, SnTypeId id, int depth, SnDimNamer *namer, void *self, SnText *out);
void sn_dim_write(const SnStore *s, SnRef dim, SnDimNamer *namer, void *self, SnText *out);
/* "expected A, found B" */
SnStatus sn_type_mismatch(const SnStore *s, SnTypeId want, SnTypeId found, SnError *err);
bool sn_type_fits(const SnStore *s, SnTypeId want, SnTypeId found); /* equal, dims provably */

/* ---- dims: canonical makers ---- */
/* Is the term made of const, dim, measure and arithmetic only? Then it may stand in a type. */
bool sn_is_dim(const SnStore *s, SnRef r);
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
SnRef sn_dim_op(SnStore *s, uint16_t op, SnRef a, SnRef b); /* ADD SUB MUL IDIV MOD MIN MAX by number */
/* Value under a binding of its leaves (dim and measure terms); false: a leaf is unbound. */
bool sn_dim_eval(const SnStore *s, SnRef dim, bool (*leaf)(void *self, SnRef leaf, int64_t *value),
                 void *self, int64_t *out);

/* ---- unification: the dims of a function, or of a signature, against those of a call ---- */
#define SN_MAX_BINDINGS 64
typedef struct SnBindings {
    int n;
    SnRef symbol[SN_MAX_BINDINGS], value[SN_MAX_BINDINGS];
} SnBindings;
/* Binds the symbols of pattern so that it equals actual, solving sums for one symbol. *bad: which one failed.
 */
SN_MUST_CHECK SnStatus sn_types_unify(SnStore *s, const SnTypeId *pattern, const SnTypeId *actual, int n,
                                      SnBindings *b, int *bad, SnError *err);
bool sn_dim_unify(SnStore *s, SnRef pattern, SnRef actual, SnBindings *b);
SnRef sn_dim_bind(SnStore *s, SnRef dim, const SnBindings *b); /* replaces bound symbols, all at once */
/* The type with every dim mapped; 0 when map gives 0. */
typedef SnRef SnDimMap(void *self, SnRef dim);
SnTypeId sn_type_map_dims(SnStore *s, SnTypeId id, SnDimMap *map, void *self);

/* ---- inference: the shape rules of prims.c ---- */
bool sn_prim_has_rule(
    uint16_t prim); /* else the type is what its maker said: leaves, host calls, kernel scalars */
/* Checks operands and attributes of a primitive and gives the result type. */
SN_MUST_CHECK SnStatus sn_infer(SnStore *s, uint16_t prim, SnAttrId attr, const SnRef *arg, int narg,
                                SnTypeId *out, SnError *err);
/* Infers and makes; arithmetic on dims gives a canonical dim. Leaves (input, param, const, arg, ...) need
 * sn_term_make. */
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
    int64_t site; /* not 0: measures that have no attribute `site` get this one */
} SnSubst;
/* r over other operands, with other attributes, and where its type is its maker's word, with mapped dims. */
SN_MUST_CHECK SnStatus sn_term_again(SnStore *s, SnRef r, SnAttrId attr, const SnRef *arg, SnDimMap *map,
                                     void *self, SnRef *out, SnError *err);
/* A map for all refs of the store as it is now. */
SN_MUST_CHECK SnStatus sn_subst_begin(SnSubst *x, SnStore *s, SnArena *arena, SnError *err);
SN_MUST_CHECK SnStatus sn_subst(SnSubst *x, SnRef root, SnRef *out, SnError *err);

#endif
