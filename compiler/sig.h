/* sig.h -- op signatures: what a row says about its operands, attributes and results.
 *
 *   layer_norm(x: F[..,n], weight: F[n]?; eps: f64 = 1e-5) -> F[..,n]
 *
 *   type     F[..]  list<u8>[b]  object<tokenizer>  any
 *   dtype    a name (f32), or a variable: F float, I int, B bool, T any; F2, I2 ... are further variables.
 * One variable is one dtype in all operands dims     n (one name, one dim in all operands), 3, `..` (any
 * leading dims, the same in all operands), `*` (alone: any dims; all such operands broadcast together, and
 * `*` in a result is what they give) ? *      after a type: may be absent; any number of them (last operand
 * only) attrs    int, bool, f64, str, dtype, ints; with `= default`, or else required result   a type, (a:
 * type, b: type) for a tuple, or ? for "what the expansion gives". There a dtype may also be the name of a
 * dtype attribute, a dim that of an int attribute or of a dim operand (w: i64[]) */
#ifndef SN_SIG_H
#define SN_SIG_H

#include "compiler/type.h"

#define SN_SIG_OPERANDS 16
#define SN_SIG_ATTRS    16
#define SN_SIG_RESULTS  8

typedef enum SnSigKind { SN_SIG_TENSOR, SN_SIG_LIST, SN_SIG_OBJECT, SN_SIG_ANY } SnSigKind;
typedef enum SnSigDimKind { SN_SIG_NAME, SN_SIG_NUMBER, SN_SIG_REST, SN_SIG_FREE, SN_SIG_WILD } SnSigDimKind;

typedef struct SnSigDim {
    SnSigDimKind kind;
    const char *name; /* NAME */
    int64_t number;   /* NUMBER */
} SnSigDim;

typedef struct SnSigType {
    SnSigKind kind;
    const char *text;  /* as written, for messages */
    const char *dtype; /* as written */
    SnDtype fixed;     /* or SN_NODTYPE: a variable or an attribute */
    int ndim;
    SnSigDim dim[SN_MAX_RANK];
    const char *class_name; /* OBJECT */
} SnSigType;

typedef struct SnSigOperand {
    const char *name; /* of a result: may be NULL */
    SnSigType type;
    bool is_optional, is_variadic;
} SnSigOperand;

typedef enum SnSigAttrKind {
    SN_SIG_INT,
    SN_SIG_BOOL,
    SN_SIG_F64,
    SN_SIG_STR,
    SN_SIG_DTYPE,
    SN_SIG_INTS,
    SN_SIG_ATTR_KINDS
} SnSigAttrKind;

typedef struct SnSigAttr {
    SnSigAttrKind kind;
    bool is_required;
    SnAttr value; /* name, kind and default */
} SnSigAttr;

typedef struct SnSig {
    const char *name;
    SnSigOperand operand[SN_SIG_OPERANDS];
    int noperand;
    SnSigAttr attr[SN_SIG_ATTRS];
    int nattr;
    SnSigOperand result[SN_SIG_RESULTS];
    int nresult;
    bool is_tuple; /* results in parentheses */
    bool is_open;  /* "-> ?" */
} SnSig;

/* Strings of *out live in the arena. */
SN_MUST_CHECK SnStatus sn_sig_parse(SnArena *arena, const char *text, SnSig *out, SnError *err);
const char *sn_sig_attr_kind(SnSigAttrKind kind); /* "int", "bool", ... */

/* ---- calls (match.c) ---- */

/* Fills out[sig->nattr], in the order of the signature, from the given attributes and the defaults. */
SN_MUST_CHECK SnStatus sn_sig_attrs(const SnSig *sig, const SnAttr *given, int n, SnAttr *out, SnError *err);

/* What the variables of a signature are in a call. */
typedef struct SnSigMatch {
    const SnSig *sig;
    const SnRef *in;
    int nin;
    const SnAttr *attr; /* as sn_sig_attrs fills them */
    struct {
        const char *name;
        SnDtype dtype;
        int operand;
    } var[SN_SIG_OPERANDS];
    int nvar;
    struct {
        const char *name;
        SnRef dim;
        int operand;
    } dim[SN_SIG_OPERANDS * 4];
    int ndim;
    SnRef rest[SN_MAX_RANK], free[SN_MAX_RANK];
    int nrest, nfree;
    int rest_operand; /* which operand bound `..`; -1: none yet */
} SnSigMatch;

/* in: one ref an operand of the signature (further ones for a variadic); 0 or a NONE term where one is
 * absent. */
SN_MUST_CHECK SnStatus sn_sig_match(SnStore *s, const SnSig *sig, const SnRef *in, int nin,
                                    const SnAttr *attr, SnSigMatch *out, SnError *err);
/* Result type of a matched call; not for open signatures. */
SN_MUST_CHECK SnStatus sn_sig_result(SnStore *s, const SnSigMatch *m, SnTypeId *out, SnError *err);

/* Right-aligned broadcast of dims b into a; false: they do not fit. Dims are equal where they are provably
 * so. */
bool sn_dims_broadcast(SnStore *s, int *na, SnRef *a, int nb, const SnRef *b);

#endif
