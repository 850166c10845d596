/* grad.h -- what the files of reverse mode share. Internal to them. */
#ifndef SN_GRAD_H
#define SN_GRAD_H

#include "compiler/build.h"
#include "compiler/pass.h"

/* A function that is being differentiated: its terms are those below n. */
typedef struct SnGrad {
    SnPass *p;
    SnGraph *g;
    SnStore *s;
    SnRef n;
    bool *is_active; /* by ref: does it depend, through floats, on what is differentiated? */
    SnValue **d;     /* by ref: the gradient so far, one a child of a tuple; NULL or {0}: zero */
    SnError *err;
} SnGrad;

/* The gradient of operand i of r from d, that of r's result (one a child where it is a tuple, {0}: zero).
 * {0}: zero. */
typedef SnValue SnGradRule(const SnGrad *x, SnRef r, const SnValue *d, int i);

/* ---- grad.c ---- */
SnValue sn_grad_in(const SnGrad *x, SnRef r, int i); /* operand i of r as a value */
SnValue sn_grad_size(const SnGrad *x, int64_t v); /* an i64 */
SnValue sn_grad_zeros(const SnGrad *x, SnTypeId type);
/* Adds to the gradient of a term, or of a child of it. */
void sn_grad_add(SnGrad *x, SnRef to, int child, SnValue d);
/* Of a term that may be a tuple: d is one, too. */
void sn_grad_add_whole(SnGrad *x, SnRef to, SnValue d);
bool sn_grad_is_float(const SnStore *s, SnTypeId type); /* a tensor of floats */
/* FN(parameters of fn.., one for each result with `given`) -> tuple of the gradients of its parameters with
 * `want`. */
SnStatus sn_grad_vjp(const SnGrad *x, SnRef fn, const bool *given, const bool *want, SnRef *out);

/* ---- grad_rules.c ---- */
SnGradRule *sn_grad_rule(uint16_t op); /* NULL: nobody can differentiate it */

/* ---- grad_index.c: what moves elements to computed places ---- */
SnGradRule sn_grad_reduce, sn_grad_scan, sn_grad_gather, sn_grad_scatter, sn_grad_update, sn_grad_sort,
    sn_grad_compact;

/* ---- grad_flow.c: every operand at once ---- */
SnStatus sn_grad_loop(SnGrad *x, SnRef r);
SnStatus sn_grad_cond(SnGrad *x, SnRef r);
SnStatus sn_grad_call(SnGrad *x, SnRef r); /* with remat */

#endif
