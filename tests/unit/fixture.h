/* fixture.h -- an empty graph of one test, and what passes over it need and give. */
#ifndef SN_TESTS_FIXTURE_H
#define SN_TESTS_FIXTURE_H

#include "compiler/eval.h"
#include "compiler/pass.h"
#include "tests/unit/unit.h"

typedef struct Fixture {
    SnContext *ctx;
    SnCompiler *cc;
    SnGraph *g;
    SnStore *s;
    SnArena arena;
    SnPass pass;
    SnRef root;      /* that a pass gave */
    bool *is_stored; /* that fuse gave: by term */
    SnEvalResult *result;
} Fixture;

/* A graph over the ops of tables (NULL: primitives alone). */
static inline int fixture_open(void **state, const SnOp *const *tables)
{
    static Fixture f;
    static const SnOp *const none[] = {NULL};
    const SnCompilerDesc desc = {.struct_size = sizeof desc, .ops = tables ? tables : none};
    SnError err;
    f = (Fixture){0};
    assert_ok(sn_context_create(NULL, &f.ctx, &err));
    assert_ok(sn_compiler_create(f.ctx, &desc, &f.cc, &err));
    assert_ok(sn_graph_create(f.cc, &f.g, &err));
    f.s = sn_graph_store(f.g);
    sn_arena_init(&f.arena, sn_allocator(f.ctx));
    f.pass = (SnPass){.ctx = f.ctx, .cc = f.cc, .g = f.g, .s = f.s, .arena = &f.arena};
    *state = &f;
    return 0;
}

static inline int fixture_close(void **state)
{
    Fixture *f = *state;
    sn_eval_destroy(f->result);
    sn_arena_clear(&f->arena);
    sn_graph_destroy(f->g);
    sn_compiler_destroy(f->cc);
    sn_context_destroy(f->ctx);
    return 0;
}

#endif
