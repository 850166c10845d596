/* term.h -- the one node store: graphs, dims and kernel scalar expressions are terms.
 *
 * Terms are hash-consed: equal terms have equal refs. Operands have smaller refs than their user, so a loop
 * over refs is a topological order. Terms never change and die with the store. */
#ifndef SN_TERM_H
#define SN_TERM_H

#include "runtime/dtype.h"
#include "runtime/hash.h"

typedef uint32_t SnRef;    /* 0 is the error term */
typedef uint32_t SnTypeId; /* index into the type table (type.h); 0 is no type */
typedef uint32_t SnAttrId; /* index into the attribute records; 0 is none */

typedef enum SnPrim {
    SN_OP_ERROR = 0,
#define SN_PRIM(NAME, ...) SN_OP_##NAME,
#include "compiler/prims.def"
#undef SN_PRIM
    SN_PRIM_COUNT /* composites follow: SN_PRIM_COUNT + row */
} SnPrim;

typedef enum SnPrimKind {
    SN_PRIM_LEAF,
    SN_PRIM_UNARY,
    SN_PRIM_BINARY,
    SN_PRIM_TERNARY,
    SN_PRIM_MOVE,
    SN_PRIM_REDUCE,
    SN_PRIM_PRODUCT,
    SN_PRIM_INDEXED,
    SN_PRIM_STRUCT,
    SN_PRIM_LIST,
    SN_PRIM_HOST,
    SN_PRIM_DEVICE,
    SN_PRIM_META,
    SN_PRIM_KERNEL
} SnPrimKind;

typedef struct SnPrimInfo {
    const char *name;
    int8_t min_arg, max_arg;
    SnPrimKind kind;
    const char *doc;
} SnPrimInfo;
const SnPrimInfo *sn_prim(uint16_t op); /* op < SN_PRIM_COUNT */
uint16_t sn_prim_named(SnBytes name);   /* SN_OP_ERROR: none */
uint16_t sn_combiner(const char *fn);   /* of reduce, scan, fold and scatter; SN_OP_ERROR: none, or NULL */
static inline bool sn_op_is_elementwise(uint16_t op)
{
    return op >= SN_OP_NEG && op <= SN_OP_FMA;
}

typedef struct SnTerm {
    uint16_t op;
    uint16_t narg;
    SnTypeId type;
    SnAttrId attr;
    uint32_t hash;
    SnRef arg[];
} SnTerm;

/* ---- attributes ---- */
typedef enum SnAttrKind {
    SN_ATTR_INT,    /* u.i; also bool */
    SN_ATTR_FLOAT,  /* u.f */
    SN_ATTR_STRING, /* u.s */
    SN_ATTR_DTYPE,  /* u.d */
    SN_ATTR_INTS,   /* u.ints */
    SN_ATTR_NAMES,  /* u.names */
    SN_ATTR_SCALAR, /* u.scalar: value of a const, in the term's dtype */
    SN_ATTR_DATA    /* u.data: bytes; identity is the bytes */
} SnAttrKind;

typedef struct SnAttr {
    const char *name;
    SnAttrKind kind;
    union {
        int64_t i;
        double f;
        const char *s;
        SnDtype d;
        SnScalar scalar;
        struct {
            const int64_t *at;
            int n;
        } ints;
        struct {
            const char *const *at;
            int n;
        } names;
        SnBytes data;
    } u;
} SnAttr;

#define SN_INT(name_, v)    ((SnAttr){.name = (name_), .kind = SN_ATTR_INT, .u.i = (v)})
#define SN_FLOAT(name_, v)  ((SnAttr){.name = (name_), .kind = SN_ATTR_FLOAT, .u.f = (v)})
#define SN_STRING(name_, v) ((SnAttr){.name = (name_), .kind = SN_ATTR_STRING, .u.s = (v)})
#define SN_DTYPE(name_, v)  ((SnAttr){.name = (name_), .kind = SN_ATTR_DTYPE, .u.d = (v)})
#define SN_INTS(name_, v, n_)                                                                                \
    ((SnAttr){.name = (name_), .kind = SN_ATTR_INTS, .u.ints = {.at = (v), .n = (n_)}})
#define SN_NAMES(name_, v, n_)                                                                               \
    ((SnAttr){.name = (name_), .kind = SN_ATTR_NAMES, .u.names = {.at = (v), .n = (n_)}})

/* ---- store ---- */
typedef struct SnStore SnStore;
SN_MUST_CHECK SnStatus sn_store_create(SnContext *ctx, SnStore **out, SnError *err);
void sn_store_destroy(SnStore *s);
SnContext *sn_store_context(const SnStore *s);
SnArena *sn_store_arena(SnStore *s);    /* lives as long as the store */
bool sn_store_failed(const SnStore *s); /* memory ran out: sticky, makers return 0 */
void sn_store_fail(SnStore *s);         /* says that memory ran out elsewhere, in work on these terms */

uint32_t sn_store_count(const SnStore *s); /* refs are 1 .. count - 1 */
/* Of all terms, types and attributes, in the order in which they were made. */
SnHash128 sn_store_hash(const SnStore *s);
const SnTerm *sn_term(const SnStore *s, SnRef r);
void sn_sort_refs(SnRef *at, size_t n); /* operands come before what uses them */
#define SN_MAX_ATTRS 24                 /* of one term */
/* Attributes are copied, sorted by name; strings and data are copied once. */
SnAttrId sn_attrs_make(SnStore *s, const SnAttr *attr, int n);
const SnAttr *sn_attrs(const SnStore *s, SnAttrId id, int *n);
const SnAttr *sn_attrs_find(const SnStore *s, SnAttrId id, const char *name);
const SnAttr *sn_attr(const SnStore *s, SnRef r, const char *name); /* NULL: absent */
int64_t sn_attr_int(const SnStore *s, SnRef r, const char *name, int64_t otherwise);
double sn_attr_float(const SnStore *s, SnRef r, const char *name, double otherwise);
const char *sn_attr_string(const SnStore *s, SnRef r, const char *name); /* NULL: absent */
/* Is this result of an entry marked `stream`? */
bool sn_entry_streams(const SnStore *s, SnRef entry, const char *result);
const char *sn_intern(SnStore *s, const char *text,
                      size_t n); /* one copy of equal strings; NULL: no memory */

/* The raw maker: finds or adds. Commutative ops get constants last and operands sorted. Types are the
 * caller's word; sn_term_build (type.h) infers them. 0 when memory ran out or an operand is 0. */
SnRef sn_term_make(SnStore *s, uint16_t op, SnTypeId type, SnAttrId attr, const SnRef *arg, int narg);
/* The same as a new term, which stands behind all others, though there may be an equal one: order.c. */
SnRef sn_term_fresh(SnStore *s, uint16_t op, SnTypeId type, SnAttrId attr, const SnRef *arg, int narg);

/* ---- scalars, as used in dims and kernels ---- */
SnRef sn_const_scalar(SnStore *s, SnDtype dtype, SnScalar value);
SnRef sn_const_i64(SnStore *s, int64_t v);
SnRef sn_const_f32(SnStore *s, float v);
SnRef sn_const_bool(SnStore *s, bool v);
bool sn_is_const(const SnStore *s, SnRef r, SnScalar *value); /* scalar const */
bool sn_is_const_i64(const SnStore *s, SnRef r, int64_t *value);
SnDtype sn_dtype_of(const SnStore *s, SnRef r); /* of a tensor or list; SN_NODTYPE otherwise */

/* Scalar makers with local simplification (folding, identities): one maker for kernel index arithmetic, the
 * math expansions and dims. Operands are scalars of equal dtype. */
SnRef sn_s1(SnStore *s, uint16_t op, SnRef a);
SnRef sn_s2(SnStore *s, uint16_t op, SnRef a, SnRef b);
SnRef sn_s3(SnStore *s, uint16_t op, SnRef a, SnRef b, SnRef c);
SnRef sn_s_cast(SnStore *s, SnDtype to, SnRef a);
SnRef sn_s_bitcast(SnStore *s, SnDtype to, SnRef a);
SnRef sn_s_not(SnStore *s, SnRef a);
/* value of an elementwise scalar op on constants: the one definition (fold, eval and interp share it) of
 * every elementwise primitive except exp log sin cos tanh erf pow, which expand first (scalar.h). */
bool sn_scalar_apply(uint16_t op, SnDtype dtype, const SnScalar *arg, SnScalar *out);

#endif
