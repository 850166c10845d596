/* rig.h -- a program from its graph to an instance, for tests of running. */
#ifndef SN_TESTS_RIG_H
#define SN_TESTS_RIG_H

#include "compiler/graph.h"
#include "ops/ops.h"
#include "tests/unit/unit.h"

#ifdef SN_TEST_LLVM
#define SN_TEST_NATIVE "cpu"
#else
#define SN_TEST_NATIVE "interp"
#endif

typedef struct Rig {
    SnContext *ctx;
    SnCompiler *cc;
    SnGraph *g;
    SnProgram *p;
    SnInstance *s;
    SnPool *pool;
    const char *target;
    uint64_t copied; /* bytes written by copies, kernels and steps: of a test that traces */
} Rig;

/* Up to an empty graph. desc NULL: all defaults. */
static inline void rig_open(Rig *r, const char *target, const SnContextDesc *desc)
{
    const SnCompilerDesc cd = {.struct_size = sizeof cd, .ops = sn_all_ops, .backends = sn_all_backends};
    SnError err;
    r->target = target;
    assert_ok(sn_context_create(desc, &r->ctx, &err));
    assert_ok(sn_compiler_create(r->ctx, &cd, &r->cc, &err));
    assert_ok(sn_graph_create(r->cc, &r->g, &err));
}

/* What was built, or what the text says (NULL: nothing more), compiled, and an instance of it. */
SN_MUST_CHECK static inline SnStatus rig_compile(Rig *r, const char *text, SnError *err)
{
    const SnCompileOptions o = {.struct_size = sizeof o, .target = r->target};
    if (text != NULL)
        SN_TRY(sn_graph_parse(r->g, "test", sn_bytes_str(text), err));
    SN_TRY(sn_compile(r->cc, r->g, &o, &r->p, err));
    return sn_instance_create(r->p, NULL, &r->s, err);
}

static inline void rig_close(Rig *r)
{
    sn_instance_destroy(r->s);
    sn_program_release(r->p);
    sn_graph_destroy(r->g);
    sn_compiler_destroy(r->cc);
    sn_context_destroy(r->ctx);
    sn_pool_destroy(r->pool);
}

#endif
