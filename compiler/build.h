/* build.h -- inside of the graph builder: what build.c, closure.c, build_ops.c, build_call.c and expand.c
 * share. */
#ifndef SN_BUILD_H
#define SN_BUILD_H

#include "compiler/compiler.h"

/* A function, being built or finished. An outer value that is used becomes a further parameter. */
typedef struct SnFnScope {
    const char *name;
    uint32_t parent;
    bool is_open;
    uint32_t nexplicit;
    SN_VEC(SnRef) arg;      /* ARG terms: those of sn_fn_arg, then one a captured value */
    SN_VEC(SnRef) captured; /* terms of the parent; captured.at[i] is what arg.at[nexplicit + i] stands for */
    SN_VEC(SnRef) measure;  /* measures of outer scopes that were used as dims here */
} SnFnScope;

typedef struct SnNamedRef {
    const char *name;
    SnRef ref;
} SnNamedRef;

typedef struct SnEntryBuild {
    const char *name;
    SN_VEC(SnNamedRef) output;
    SN_VEC(const char *) stream; /* names of outputs */
    SN_VEC(SnRef) next;          /* carry, next, carry, next ... */
} SnEntryBuild;

struct SnGraph {
    SnCompiler *cc;
    const SnAllocator *memory;
    SnStore *s;
    SnError error; /* the sticky one; SN_OK: none yet */
    bool has_source;
    SnSource source;
    SnText path;
    SN_VEC(size_t) path_mark; /* length of the path before each push */
    SN_VEC(SnFnScope) scope;  /* by id; [0] is the entry's */
    uint32_t current;         /* the innermost open scope */
    SnMap leaf;               /* "input:x" ▶ ref */
    SN_VEC(SnRef) measured;   /* pairs: a measure, the symbol that stands for it inside functions */
    SN_VEC(SnEntryBuild) entry;
    size_t entry_now;
};

/* Is the graph without error? Makes lack of memory sticky. */
bool sn_graph_ok(SnGraph *g);
SnValue sn_graph_no_memory(SnGraph *g);
/* Makes *err the graph's error, with the op, its operand types and the scope path. */
SnValue sn_graph_fail_op(SnGraph *g, const SnError *err, const char *op, const SnRef *in, int nin);

/* The term of a value in the current scope: captures what lies outside. 0: an error, which is sticky now. */
SnRef sn_use(SnGraph *g, SnValue v);
SnRef sn_use_optional(SnGraph *g, SnValue v); /* {0} is a NONE term */
/* The dim that a value is, in the current scope; constants of any integer dtype count. */
SnRef sn_use_dim(SnGraph *g, const char *op, SnValue v);
SnValue sn_here(const SnGraph *g, SnRef r); /* as a value of the current scope */
bool sn_is_none(const SnStore *s, SnRef r);

/* A primitive over terms of the current scope; infers its type. */
SnValue sn_make(SnGraph *g, SnPrim op, const SnAttr *attr, int nattr, const SnRef *in, int nin);

/* cond over in[0..n): where its functions give different dims, those become measured. */
SnValue sn_make_cond(SnGraph *g, SnRef *in, int n);

/* Makes elementwise operands fit for each other: constants and dims adapt, int becomes float beside a float,
 * then dims are broadcast. false: an error, which is sticky now. */
bool sn_fit(SnGraph *g, SnPrim op, SnRef *in, int nin);
/* A scalar constant or dim can take another dtype without anyone asking for a cast. 0: it does not fit. */
bool sn_is_adaptable(const SnStore *s, SnRef r);
SnRef sn_adapt(SnGraph *g, SnRef r, SnDtype to);

/* The call that a composite term is; it lives in the arena. */
SN_MUST_CHECK SnStatus sn_call_of(SnGraph *g, SnRef r, SnArena *arena, const SnOpRow **row, SnCall *out,
                                  SnError *err);

#endif
