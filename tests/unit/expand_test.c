/* expand_test.c -- the expand pass: composites disappear, host rows become host calls, endless rows are cut.
 */
#include "ops/ops.h"
#include "tests/unit/fixture.h"

#include <stdlib.h>

static SnValue forever(SnGraph *g, const SnCall *c)
{
    return sn_op(g, "forever", (const SnValue[]){sn_exp(g, c->in[0])}, 1, NULL, 0);
}

static SnStatus run_nothing(const SnHostCall *h, SnError *err)
{
    (void)h;
    (void)err;
    return SN_OK;
}

static SnRef two_bytes_each(SnGraph *g, const SnCall *c)
{
    return sn_mul(g, sn_dim(g, c->in[0], 0), sn_const_int(g, SN_I64, 2)).ref;
}

static SnValue twice_host(SnGraph *g, const SnCall *c)
{
    const SnValue once = sn_op(g, "host_op", c->in, 1, (const SnAttr[]){SN_INT("zeta", 5)}, 1);
    return sn_op(g, "host_op", &once, 1, (const SnAttr[]){SN_FLOAT("alpha", 2), SN_INT("zeta", 6)}, 2);
}

static const SnOp test_ops[] = {
    {.sig = "forever(x: F[..]) -> F[..]", .expand = forever},
    {.sig = "host_op(x: F[n], y: F[n]?; zeta: int, alpha: f64 = 0.5) -> F[n]",
     .run = run_nothing,
     .symbol = "run_nothing",
     .scratch = two_bytes_each},
    {.sig = "twice_host(x: F[n]) -> F[n]", .expand = twice_host},
    {0},
};

static int setup(void **state)
{
    const SnOp *tables[32];
    size_t n = 0;
    for (; sn_all_ops[n] != NULL; n++) {
        assert_true(n + 2 < SN_COUNT(tables));
        tables[n] = sn_all_ops[n];
    }
    tables[n] = test_ops;
    tables[n + 1] = NULL;
    return fixture_open(state, tables);
}

static SnValue input(Fixture *f, const char *name)
{
    return sn_input(f->g, name, SN_F32, 1, (const SnValue[]){sn_symbol(f->g, "n", 1, 64)});
}

static SnStatus expand(Fixture *f, SnValue result, SnError *err)
{
    sn_output(f->g, "y", result);
    SN_TRY(sn_graph_check(f->g, err));
    return sn_pass_expand(&f->pass, sn_graph_root(f->g), &f->root, err);
}

/* How many terms of an op lie below the root; op SN_PRIM_COUNT: any composite. */
static int count(const Fixture *f, uint16_t op)
{
    bool *const seen = calloc((size_t)f->root + 1, sizeof *seen);
    int n = 0;
    assert_non_null(seen);
    seen[f->root] = true;
    for (SnRef r = f->root; r > 0; r--) {
        const SnTerm *const t = sn_term(f->s, r);
        if (!seen[r])
            continue;
        n += op == SN_PRIM_COUNT ? t->op >= SN_PRIM_COUNT : t->op == op;
        for (int i = 0; i < t->narg; i++)
            seen[t->arg[i]] = true;
    }
    free(seen);
    return n;
}

static void chain_becomes_primitives(void **state)
{
    Fixture *const f = *state;
    SnError err;
    SnValue x = input(f, "x");
    for (int i = 0; i < 200; i++)
        x = sn_softmax(f->g, x, 0);
    assert_ok(expand(f, x, &err));
    assert_int_equal(count(f, SN_PRIM_COUNT), 0);
    assert_int_equal(count(f, SN_OP_EXP), 200);
}

static void definitions_nest(void **state)
{
    Fixture *const f = *state;
    SnError err;
    assert_ok(expand(f, sn_quick_gelu(f->g, sn_relu2(f->g, input(f, "x"))), &err));
    assert_int_equal(count(f, SN_PRIM_COUNT), 0);
    assert_int_equal(count(f, SN_OP_MAX), 1);
}

static void function_bodies_are_expanded(void **state)
{
    Fixture *const f = *state;
    SnError err;
    const SnValue x = input(f, "x");
    sn_fn_begin(f->g, "body");
    const SnValue a = sn_fn_arg(f->g, sn_term(f->s, x.ref)->type);
    const SnValue fn = sn_fn_end(f->g, sn_gelu(f->g, a));
    assert_ok(expand(f, sn_call(f->g, fn, 1, &x), &err));
    assert_int_equal(count(f, SN_PRIM_COUNT), 0);
    assert_int_equal(count(f, SN_OP_FN), 1);
    assert_int_equal(count(f, SN_OP_ERF), 1);
}

static void host_rows_become_host_calls(void **state)
{
    Fixture *const f = *state;
    SnError err;
    assert_ok(expand(f, sn_op(f->g, "twice_host", (const SnValue[]){input(f, "x")}, 1, NULL, 0), &err));
    assert_int_equal(count(f, SN_PRIM_COUNT), 0);
    assert_int_equal(count(f, SN_OP_HOST), 2);
    const SnRef result = sn_term(f->s, sn_term(f->s, sn_term(f->s, f->root)->arg[0])->arg[0])->arg[0];
    assert_int_equal(sn_term(f->s, result)->op, SN_OP_HOST);
    assert_string_equal(sn_attr_string(f->s, result, "op"), "host_op");
    assert_int_equal(sn_attr_int(f->s, result, "zeta", 0), 6);
    assert_true(sn_attr_float(f->s, result, "alpha", 0) == 2);
    const SnRef scratch = sn_term(f->s, result)->arg[0];
    assert_true(sn_is_dim(f->s, scratch));
    assert_int_equal(sn_term(f->s, result)->narg, 2);
}

static void endless_expansion_names_the_op(void **state)
{
    Fixture *const f = *state;
    SnError err;
    const SnValue y = sn_op(f->g, "forever", (const SnValue[]){input(f, "x")}, 1, NULL, 0);
    assert_fails(SN_EINVAL, expand(f, y, &err));
    assert_string_equal(err.message, "forever: its expansion never ends");
}

/* ---- failing allocations ---- */

typedef struct Scarce {
    int left; /* allocations that still succeed */
    bool has_failed;
} Scarce;

static void *scarce_resize(void *self, void *ptr, size_t old_size, size_t new_size, size_t align)
{
    Scarce *const s = self;
    (void)old_size;
    (void)align;
    if (new_size == 0) {
        free(ptr);
        return NULL;
    }
    s->has_failed = s->has_failed || s->left-- <= 0;
    return s->has_failed ? NULL : realloc(ptr, new_size);
}

/* A graph with a bit of everything. */
static SnStatus build_and_expand(Fixture *f, SnError *err)
{
    const SnCompilerDesc desc = {.struct_size = sizeof desc, .ops = sn_all_ops};
    SN_TRY(sn_compiler_create(f->ctx, &desc, &f->cc, err));
    SN_TRY(sn_graph_create(f->cc, &f->g, err));
    f->s = sn_graph_store(f->g);
    f->pass = (SnPass){.ctx = f->ctx, .cc = f->cc, .g = f->g, .s = f->s, .arena = &f->arena};
    const SnValue x = input(f, "x"), w = sn_param(f->g, "w", SN_F32, 2, (const int64_t[]){4, 8});
    const SnValue m = sn_compact(f->g, x, sn_gt(f->g, x, sn_const(f->g, SN_F32, 0)), sn_none());
    sn_scope_push(f->g, "model");
    sn_fn_begin(f->g, "body");
    const SnValue i = sn_fn_arg(f->g, sn_type_scalar(f->s, SN_I64));
    const SnValue y = sn_fn_arg(f->g, sn_term(f->s, m.ref)->type);
    const SnValue z = sn_softmax(f->g, sn_add(f->g, y, sn_cast(f->g, sn_dim(f->g, w, 0), SN_F32)), 0);
    const SnValue body = sn_fn_end(f->g, sn_tuple(f->g, 1, &z, NULL));
    (void)i;
    const SnValue bound = sn_const_int(f->g, SN_I64, 3);
    const SnValue out = sn_loop(f->g, body, sn_none(), bound, 1, &m, 0, NULL);
    sn_output(f->g, "w", sn_linear(f->g, sn_gelu(f->g, w), w, sn_none()));
    return expand(f, sn_get(f->g, out, 0), err);
}

static void lack_of_memory_is_an_error(void **state)
{
    (void)state;
    bool is_done = false;
    for (int n = 1; !is_done; n++) {
        Scarce scarce = {.left = n};
        const SnContextDesc desc = {.struct_size = sizeof desc, .memory = {&scarce, scarce_resize}};
        Fixture f = {0};
        SnError err = {0};
        if (sn_context_create(&desc, &f.ctx, &err) != SN_OK)
            continue;
        sn_arena_init(&f.arena, sn_allocator(f.ctx));
        const SnStatus st = build_and_expand(&f, &err);
        is_done = !scarce.has_failed;
        if (is_done && st != SN_OK)
            fail_msg("%s", err.message);
        if (!is_done && st != SN_ENOMEM)
            fail_msg("allocation %d failed: %s: %s", n, sn_status_name(st), err.message);
        sn_arena_clear(&f.arena);
        sn_graph_destroy(f.g);
        sn_compiler_destroy(f.cc);
        sn_context_destroy(f.ctx);
    }
}

int main(void)
{
#define CASE(fn) cmocka_unit_test_setup_teardown(fn, setup, fixture_close)
    const struct CMUnitTest tests[] = {
        CASE(chain_becomes_primitives),       CASE(definitions_nest),
        CASE(function_bodies_are_expanded),   CASE(host_rows_become_host_calls),
        CASE(endless_expansion_names_the_op), cmocka_unit_test(lack_of_memory_is_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
