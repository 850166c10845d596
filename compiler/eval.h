/* eval.h -- evaluates graphs on host tensors, plainly: constant folding, and the oracle that shares nothing
 * with lowering. Understands every primitive; composites are expanded first, host ops are called. Slow and
 * right. */
#ifndef SN_EVAL_H
#define SN_EVAL_H

#include "compiler/graph.h"

typedef struct SnNamedView {
    const char *name;
    SnView view;
} SnNamedView;

typedef struct SnEvalResult SnEvalResult; /* owns its views */

/* root: a program term (sn_graph_root). Binds dims from the inputs. */
SN_MUST_CHECK SnStatus sn_eval(SnGraph *g, SnRef root, const char *entry, const SnNamedView *in, size_t nin,
                               SnEvalResult **out, SnError *err);
size_t sn_eval_count(const SnEvalResult *r);
const SnNamedView *sn_eval_get(const SnEvalResult *r, size_t i);
void sn_eval_destroy(SnEvalResult *r);

/* Value of a term without inputs (constants, iotas, elementwise on them): for folding. false: it is not
 * constant, or larger than max_count elements. Bytes are dense, in arena memory. */
bool sn_eval_const(SnStore *s, SnRef r, int64_t max_count, SnArena *arena, SnBytes *out);

#endif
