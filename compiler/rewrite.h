/* rewrite.h -- rules that make terms simpler, as data.
 *
 * A rule is a pattern and what it becomes: {"(sub ?x 0)", "?x"}. In a pattern
 *   (op a b ..)   a term of this op; `..` stands for any further operands
 *   ?x            any term; a repeated name is the same term. ?x:int ?x:signed ?x:unsigned ?x:float ?x:bool
 * want that dtype #k            a constant: a scalar, or one that was broadcast 0 -1 0.5 inf true false   a
 * constant of this value; 0 is not -0 and on the right side a number is a constant with the type of the whole
 * term.
 *
 * Laws: (1) the right side is never more expensive than the left; (2) no commuting rules: constants come last
 * and operands are sorted when terms are built, so a rule that looks into one of two operands is written for
 * both orders; (3) a rule is local, it looks down only; (4) every rule has a line in tests/text/rules/; (5)
 * float rules that change rounding, signed zeros or NaN are `fast`; (6) rules must terminate: each decreases
 * the number of terms, or keeps it and the cost. */
#ifndef SN_REWRITE_H
#define SN_REWRITE_H

#include "compiler/graph.h"

typedef struct SnRewriter SnRewriter;

typedef struct SnMatch {
    SnRewriter *w;
    SnStore *s;
    SnRef root;    /* the term that matched */
    SnRef var[26]; /* by letter; 0: not in the pattern */
} SnMatch;

typedef struct SnRule {
    const char *before;
    const char *after;               /* or: */
    SnRef (*make)(const SnMatch *m); /* 0: not this time */
    bool (*when)(const SnMatch *m);  /* optional */
    bool fast;                       /* only under SN_FAST_MATH */
} SnRule;

/* Each ends with a row without `before`. */
extern const SnRule sn_rules_algebra[]; /* rules_algebra.c */
extern const SnRule sn_rules_tensor[];  /* rules_tensor.c */

/* tables: NULL-terminated. Everything lies in the arena but the scalar plan, which destroy gives back. */
SN_MUST_CHECK SnStatus sn_rewriter_create(SnStore *s, SnArena *arena, const SnRule *const *tables,
                                          uint32_t flags, SnRewriter **out, SnError *err);
void sn_rewriter_destroy(SnRewriter *w);
/* Everything below root, operands first, each term to a fixed point. */
SN_MUST_CHECK SnStatus sn_rewrite(SnRewriter *w, SnRef root, SnRef *out, SnError *err);
/* One term whose operands are simple. 0: no memory. */
SnRef sn_rewrite_term(SnRewriter *w, SnRef r);
/* i-th rule and how often it was applied; NULL past the end. */
const SnRule *sn_rewriter_rule(const SnRewriter *w, uint32_t i, uint32_t *nhit);

/* ---- for hooks ---- */
static inline SnRef sn_match_var(const SnMatch *m, char name)
{
    return m->var[name - 'a'];
}
/* A term of this op with operands as they are, simplified. 0: it does not fit together, or no memory. */
SnRef sn_match_build(const SnMatch *m, uint16_t op, SnAttrId attr, const SnRef *arg, int narg);
SnRef sn_match_const(const SnMatch *m, SnScalar v); /* with the type of the root */
/* Is the term one value everywhere? Looks through broadcasts and reshapes. */
bool sn_is_splat(const SnStore *s, SnRef r, SnScalar *v);

#endif
