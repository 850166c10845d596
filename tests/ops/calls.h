/* calls.h -- calls of composites on random operands, made from their signatures. */
#ifndef SN_TESTS_CALLS_H
#define SN_TESTS_CALLS_H

#include "compiler/compiler.h"
#include "compiler/eval.h"
#include "ops/ops.h"

#define CALLS_VALUES 12288

typedef struct Calls { /* one op, one way */
    SnContext *ctx;
    SnCompiler *cc;
    const SnOpRow *row;
    SnDtype f; /* what the variable F is */
    bool has_optional;
    double lo, hi; /* floats lie between */
    uint64_t random;
    SnNamedView in[SN_SIG_OPERANDS];
    size_t nin;
    char name[SN_SIG_OPERANDS][24];
    uint8_t data[SN_SIG_OPERANDS][CALLS_VALUES * 8];
} Calls;

void calls_open(Calls *r);
void calls_close(Calls *r);
/* Lists, objects, host ops, blocks of weights, and what keeps other dims than a parameter have tests of their
 * own. */
bool calls_covers(const SnOpRow *row);
double calls_random(Calls *r); /* in 0..1 */
/* The call of r->row; its inputs x0.. are r->in, and in[] by operand ({0}: not given). Names of dims stand
 * for small sizes, given as symbols. */
SnValue calls_build(Calls *r, SnGraph *g, SnValue *in);

#endif
