/* scalar.h -- the one definition of exp, log, sin, cos, tanh, erf and pow, as expansions into scalar terms.
 *
 * eval, interp and every code generator use these, never libm: so all give the same bits. f32 error is at
 * most 2 ULP over the whole range (1 ULP where cheap), f64 at most 4; f16 and bf16 go through f32.
 * Intermediate values stay normal: results of exp and pow that would be subnormal are 0. Special values are
 * those of C. sin and cos reduce f32 arguments of any size; f64 ones from 2^50 on, where neighbours are an
 * eighth apart, give NaN. */
#ifndef SN_SCALAR_H
#define SN_SCALAR_H

#include "compiler/term.h"

/* x (and y for pow) are scalar terms of a float dtype; op is EXP LOG SIN COS TANH ERF POW. */
SnRef sn_scalar_expand(SnStore *s, uint16_t op, SnRef x, SnRef y);
static inline bool sn_op_expands(uint16_t op)
{
    return op == SN_OP_EXP || op == SN_OP_LOG || op == SN_OP_SIN || op == SN_OP_COS || op == SN_OP_TANH ||
           op == SN_OP_ERF || op == SN_OP_POW;
}

/* Evaluates any elementwise op on scalars, expanding where needed: for eval. The plan caches expansions. */
typedef struct SnScalarPlan SnScalarPlan;
SN_MUST_CHECK SnStatus sn_scalar_plan_create(SnContext *ctx, SnScalarPlan **out, SnError *err);
void sn_scalar_plan_destroy(SnScalarPlan *p);
SN_MUST_CHECK SnStatus sn_scalar_eval(SnScalarPlan *p, uint16_t op, SnDtype dtype, const SnScalar *arg,
                                      SnScalar *out, SnError *err);

#endif
