/* kernel_test.c -- building kernels, their text form, and what the verifier refuses. */
#include "compiler/kernel.h"
#include "tests/unit/unit.h"

#include <stdio.h>

typedef struct Fixture {
    SnContext *ctx;
    SnStore *s;
    SnArena arena;
} Fixture;

static int setup(void **state)
{
    static Fixture f;
    SnError err = {0};
    assert_ok(sn_context_create(NULL, &f.ctx, &err));
    assert_ok(sn_store_create(f.ctx, &f.s, &err));
    sn_arena_init(&f.arena, sn_allocator(f.ctx));
    *state = &f;
    return 0;
}

static int teardown(void **state)
{
    Fixture *f = (Fixture *)*state;
    sn_arena_clear(&f->arena);
    sn_store_destroy(f->s);
    sn_context_destroy(f->ctx);
    return 0;
}

/* b2[i] = b0[i] + b1[i] for i < d0, 64 elements a tile. */
static SnKernel *build_add(Fixture *f)
{
    SnError err = {0};
    SnKernelBuild b;
    SnStmt **outer, **inner;
    assert_true(sn_kernel_begin(&b, f->s, &f->arena, "add"));
    const int x = sn_kernel_buffer(&b, false), y = sn_kernel_buffer(&b, false),
              z = sn_kernel_buffer(&b, true);
    const SnRef n = sn_kernel_dim(&b);
    const SnRef i = sn_kernel_loop(&b, SN_LOOP_SERIAL, sn_const_i64(f->s, 4), &outer);
    const SnRef lane = sn_kernel_loop(&b, SN_LOOP_LANES, sn_const_i64(f->s, 16), &inner);
    const SnRef row = sn_s2(f->s, SN_OP_ADD, sn_s2(f->s, SN_OP_MUL, b.k->tile, sn_const_i64(f->s, 64)),
                            sn_s2(f->s, SN_OP_MUL, i, sn_const_i64(f->s, 16)));
    const SnRef at = sn_s2(f->s, SN_OP_ADD, row, lane), in = sn_s2(f->s, SN_OP_LT, at, n);
    const SnRef sum =
        sn_s2(f->s, SN_OP_ADD, sn_kernel_load(&b, x, SN_F32, at, in), sn_kernel_load(&b, y, SN_F32, at, in));
    sn_kernel_store(&b, z, SN_F32, at, sum, in);
    sn_kernel_close(&b, inner);
    sn_kernel_close(&b, outer);
    const SnRef grid =
        sn_s2(f->s, SN_OP_IDIV, sn_s2(f->s, SN_OP_ADD, n, sn_const_i64(f->s, 63)), sn_const_i64(f->s, 64));
    assert_ok(sn_kernel_end(&b, grid, &err));
    return b.k;
}

static void kernel_built_prints_and_parses_back(void **state)
{
    Fixture *f = (Fixture *)*state;
    SnError err = {0};
    SnKernel *k = build_add(f), *again;
    SnText text = {.memory = sn_allocator(f->ctx)}, second = {.memory = sn_allocator(f->ctx)};
    sn_kernel_print(k, &text);
    assert_non_null(strstr(text.at, "kernel r r w dims 1 {"));
    assert_non_null(strstr(text.at, "grid (idiv (add d0 63) 64)"));
    assert_non_null(strstr(text.at, "lanes i2 16 {"));
    assert_ok(sn_kernel_parse(f->s, &f->arena, "again", sn_bytes(text.at, text.n), &again, &err));
    sn_kernel_print(again, &second);
    assert_string_equal(text.at, second.at);
    assert_true(k->key.lo == again->key.lo && k->key.hi == again->key.hi);
    sn_text_clear(&text);
    sn_text_clear(&second);
}

static void kernel_in_another_store_has_the_same_key(void **state)
{
    Fixture *f = (Fixture *)*state;
    SnError err = {0};
    Fixture other = {.ctx = f->ctx};
    assert_ok(sn_store_create(f->ctx, &other.s, &err));
    sn_arena_init(&other.arena, sn_allocator(f->ctx));
    /* Other terms first, so that refs differ. */
    assert_int_not_equal(sn_const_i64(other.s, 63), 0);
    assert_int_not_equal(sn_const_f32(other.s, 0.5F), 0);
    const SnKernel *a = build_add(f), *b = build_add(&other);
    assert_true(a->key.lo == b->key.lo && a->key.hi == b->key.hi);
    sn_arena_clear(&other.arena);
    sn_store_destroy(other.s);
}

static SnStatus parse(Fixture *f, const char *text, SnKernel **out, SnError *err)
{
    return sn_kernel_parse(f->s, &f->arena, "test", sn_bytes_str(text), out, err);
}

static void kernel_text_of_every_statement_round_trips(void **state)
{
    Fixture *f = (Fixture *)*state;
    SnError err = {0};
    SnKernel *k;
    const char *text = "kernel r w dims 2 {\n"
                       "  grid d1\n"
                       "  local.f32 b2 64 {\n"
                       "    lanes i1 64 {\n"
                       "      store.f32 b2 i1 (load.f32.16384 b0 i1 (lt i1 d0))\n"
                       "    }\n"
                       "    if (lt t 3) {\n"
                       "      store.f32 b1 t (fold.f32.add.64 b2 0)\n"
                       "    }\n"
                       "    serial i2 (load.i64 b0 t) {\n"
                       "      unroll i3 4 {\n"
                       "        store.f8e4m3fn b1 i3 (cast.f8e4m3fn.sat (load.f32 b2 0)) when (lt i3 i2)\n"
                       "      }\n"
                       "    }\n"
                       "  }\n"
                       "  tile.zero 0\n"
                       "  tile.load 1 b0 (mul t 1024) 64\n"
                       "  tile.dot.bf16 0 1 1\n"
                       "  tile.store 0 b1 0 64\n"
                       "  store.f32 b1 0 #bf8ccccd:f32\n"
                       "  store.f16 b1 0 #8000:f16\n"
                       "  store.u64 b1 0 18446744073709551615:u64\n"
                       "  store.i8 b1 0 -128:i8\n"
                       "  store.bool b1 0 true\n"
                       "}\n";
    SnText out = {.memory = sn_allocator(f->ctx)};
    assert_ok(parse(f, text, &k, &err));
    sn_kernel_print(k, &out);
    assert_string_equal(out.at, text);
    sn_text_clear(&out);
}

static void kernel_text_shared_and_deep_terms_get_names(void **state)
{
    Fixture *f = (Fixture *)*state;
    SnError err = {0};
    SnKernel *k, *again;
    SnText out = {.memory = sn_allocator(f->ctx)}, second = {.memory = sn_allocator(f->ctx)};
    assert_ok(parse(f,
                    "kernel w dims 1 { ; a comment\n grid 1 %a = (sub d0 t) %b = (mul %a %a)\n"
                    "store.i64 b0 0 (sub (sub (sub (sub (sub (sub %b 1) d0) 2) d0) 3) t) }",
                    &k, &err));
    sn_kernel_print(k, &out);
    assert_non_null(strstr(out.at, "%0 = (sub d0 t)\n"));
    assert_ok(sn_kernel_parse(f->s, &f->arena, "again", sn_bytes(out.at, out.n), &again, &err));
    sn_kernel_print(again, &second);
    assert_string_equal(out.at, second.at);
    sn_text_clear(&out);
    sn_text_clear(&second);
}

static void kernel_text_malformed_fails(void **state)
{
    Fixture *f = (Fixture *)*state;
    SnError err = {0};
    SnKernel *k;
    static const char *const bad[] = {
        "",
        "kernel",
        "kernel w dims 65 { grid 1 }",
        "kernel w dims 0 { grid 1",
        "kernel w dims 0 { grid 1 } }",
        "kernel w dims 0 { grid d0 }",
        "kernel w dims 0 { grid i1 }",
        "kernel w dims 0 { grid (load.f32 b1 0) }",
        "kernel w dims 0 { grid 1 store.f33 b0 0 0:f32 }",
        "kernel w dims 0 { grid 1 store.f32 b0 0 (add 1 1:f32) }",
        "kernel w dims 0 { grid 1 store.f32 b0 0 (reduce 1) }",
        "kernel w dims 0 { grid 1 store.f32 b0 0 (exp 1:f32 2:f32) }",
        "kernel w dims 0 { grid 1 store.i64 b0 0 99999999999999999999 }",
        "kernel w dims 0 { grid 1 store.i64 b0 0 (add 1 }",
        "kernel w dims 0 { grid 1 %a = 1 store.i64 b0 0 %a store.i64 b0 0 %a }",
        "kernel w dims 0 { grid 1 serial i1 4 { } store.i64 b0 0 i1 }",
        "kernel w dims 0 { grid 1 local.f32 b1 4 { } store.f32 b1 0 0:f32 }",
        "kernel w dims 0 { grid 1 tile.dot.f32x 0 1 2 }",
        "kernel w dims 0 { grid 1 local.f32 b1 -1 { } }",
        "kernel r r r r r r r r r r r r r r r r r dims 0 { grid 1 }",
    };
    for (size_t i = 0; i < SN_COUNT(bad); i++) {
        err.message[0] = '\0';
        const SnStatus st = parse(f, bad[i], &k, &err);
        if (st != SN_EFORMAT || strncmp(err.message, "test:", 5) != 0)
            fail_msg("%s: %s %s", bad[i], sn_status_name(st), err.message);
    }
}

static void kernel_text_nested_too_deep_fails(void **state)
{
    Fixture *f = (Fixture *)*state;
    SnError err = {0};
    SnKernel *k;
    SnText text = {.memory = sn_allocator(f->ctx)};
    sn_text_printf(&text, "kernel w dims 0 { grid 1 store.i64 b0 0 ");
    for (int i = 0; i < 100000; i++)
        sn_text_printf(&text, "(add 1 ");
    assert_fails(SN_EFORMAT, sn_kernel_parse(f->s, &f->arena, "deep", sn_bytes(text.at, text.n), &k, &err));
    text.n = 0;
    sn_text_printf(&text, "kernel w dims 0 { grid 1 ");
    for (int i = 0; i < 100000; i++)
        sn_text_printf(&text, "if true { ");
    assert_fails(SN_EFORMAT, sn_kernel_parse(f->s, &f->arena, "deep", sn_bytes(text.at, text.n), &k, &err));
    sn_text_clear(&text);
}

/* What parses, but breaks a rule: each with a part of the message. */
static void kernel_that_breaks_a_rule_is_refused(void **state)
{
    Fixture *f = (Fixture *)*state;
    SnError err = {0};
    static const struct {
        const char *body, *why;
    } bad[] = {
        {"store.f32 b0 0 0:f32", "not written here"},
        {"store.f32 b1 0 1", "store of i64 as f32"},
        {"store.f32 b1 0:i32 0:f32", "index of a store is not i64"},
        {"store.f32 b1 0 0:f32 when 1", "guard of a store is not bool"},
        {"store.f32 b1 0 0:f32 stream 1", "what a store streams by"},
        {"lanes i1 4 { store.f32 b1 i1 0:f32 stream (lt i1 2) }", "what a store streams by"},
        {"store.f32 b1 0 (load.f32 b0 0:i32)", "index of a load is not i64"},
        {"store.f32 b1 0 (load.f32 b0 0 1)", "guard of a load is not bool"},
        {"local.f32 b2 4 { store.f32 b1 0 (cast.f32 (load.i32 b2 0)) }", "load of i32 from LOCAL 2 of f32"},
        {"local.f32 b2 4 { store.i32 b2 0 0:i32 }", "store of i32 as i32"},
        {"lanes i1 4 { serial i2 i1 { } }", "extent of a loop depends on a lane"},
        {"lanes i1 4 { if (lt i1 2) { } }", "depends on a lane"},
        {"lanes i1 4 { lanes i2 4 { } }", "LANES loop inside of another"},
        {"lanes i1 d0 { }", "constant extent"},
        {"unroll i1 0 { }", "constant extent"},
        {"lanes i1 2048 { }", "too many lanes"},
        {"serial i1 true { }", "extent of a loop is not i64"},
        {"if 1 { }", "condition is not bool"},
        {"serial i1 (idiv d0 (sub d0 1)) { }", "divisor may be less than 1"},
        {"serial i1 (mod d0 (load.i64 b0 0)) { }", "divisor may be less than 1"},
        {"local.f32 b2 0 { }", "without a constant size"},
        {"local.f32 b2 6145 { }", "more than 24576 bytes"},
        {"local.f32 b2 6144 { local.u8 b3 1 { } }", "more than 24576 bytes"},
        {"lanes i1 4 { local.f32 b2 4 { } }", "LOCAL inside of a LANES loop"},
        {"lanes i1 4 { tile.zero 0 }", "TILE inside of a LANES loop"},
        {"tile.zero 8", "tile register 8"},
        {"tile.dot.f32 0 1 2", "tile dot of f32"},
        {"tile.store 0 b0 0 64", "tile load or store of buffer 0"},
        {"local.f32 b2 6 { store.f32 b1 0 (fold.f32.add.6 b2 0) }", "fold of 6 elements"},
        {"local.f32 b2 4 { store.f32 b1 0 (fold.f32.add.8 b2 0) }", "fold of 8 elements"},
        {"local.f32 b2 4 { store.f32 b1 0 (fold.f32.sub.4 b2 0) }", "fold by sub"},
        {"local.f16 b2 4 { store.f16 b1 0 (fold.f16.add.4 b2 0) }", "not an f16"},
        {"lanes i1 4 { store.i64 b1 0 i1 }", "all lanes store to one element"},
        {"local.f32 b2 8 { lanes i1 4 { store.f32 b2 i1 (load.f32 b2 (add i1 1)) } }", "another lane stores"},
        {"local.f32 b2 8 { lanes i1 4 { store.f32 b2 i1 0:f32 store.f32 b1 i1 (load.f32 b2 0) } }",
         "another lane stores"},
        {"local.f32 b2 64 { serial i2 4 { lanes i1 16 { store.f32 b2 (add i1 (mul i2 16)) "
         "(load.f32 b2 (add (sub i1 1) (mul i2 16))) } } }",
         "another lane stores"},
    };
    for (size_t i = 0; i < SN_COUNT(bad); i++) {
        char text[400];
        SnKernel *k;
        (void)snprintf(text, sizeof text, "kernel r w dims 1 { grid 1 %s }", bad[i].body);
        err.message[0] = '\0';
        SnStatus st = parse(f, text, &k, &err);
        if (st == SN_OK) /* not a debug build */
            st = sn_kernel_verify(k, &err);
        if (st != SN_EINTERNAL || strstr(err.message, bad[i].why) == NULL)
            fail_msg("%s: %s %s", bad[i].body, sn_status_name(st), err.message);
    }
}

static void kernel_that_keeps_the_rules_is_accepted(void **state)
{
    Fixture *f = (Fixture *)*state;
    SnError err = {0};
    static const char *const good[] = {
        "serial i1 (idiv d0 (max (load.i64 b0 0) 1)) { }",
        "local.f32 b2 8 { lanes i1 4 { store.f32 b2 i1 (load.f32 b2 (add i1 4)) } }",
        ("local.f32 b2 64 { serial i2 4 { lanes i1 16 { store.f32 b2 (add i1 (mul i2 16)) "
         "(load.f32 b2 (add i1 (mul i2 16))) } } }"),
        "lanes i1 4 { if (lt (load.i64 b0 0) 2) { store.i64 b1 i1 i1 } }",
        "lanes i1 4 { store.i64 b1 0 i1 when (eq i1 3) }",
        "local.f32 b2 2048 { } local.f32 b3 4096 { }",
        "store.i64 b1 0 (idiv (load.i64 b0 0) (load.i64 b0 1))",
    };
    for (size_t i = 0; i < SN_COUNT(good); i++) {
        char text[400];
        SnKernel *k;
        (void)snprintf(text, sizeof text, "kernel r w dims 1 { grid 1 %s }", good[i]);
        assert_ok(parse(f, text, &k, &err));
        assert_ok(sn_kernel_verify(k, &err));
    }
}

static void kernel_index_of_two_loops_is_refused(void **state)
{
    Fixture *f = (Fixture *)*state;
    SnError err = {0};
    SnKernel *k;
    assert_ok(parse(f, "kernel w dims 0 { grid 1 serial i1 2 { } serial i2 2 { } }", &k, &err));
    k->body->next->var = k->body->var;
    assert_fails(SN_EINTERNAL, sn_kernel_verify(k, &err));
}

static void kernel_too_many_buffers_or_dims_is_told(void **state)
{
    Fixture *f = (Fixture *)*state;
    SnKernelBuild b;
    assert_true(sn_kernel_begin(&b, f->s, &f->arena, "many"));
    for (int i = 0; i < SN_KERNEL_BUFFERS; i++)
        assert_int_equal(sn_kernel_buffer(&b, false), i);
    assert_int_equal(sn_kernel_buffer(&b, false), -1);
    for (int i = 0; i < SN_KERNEL_DIMS; i++)
        assert_int_not_equal(sn_kernel_dim(&b), 0);
    assert_int_equal(sn_kernel_dim(&b), 0);
}

static void kernel_load_with_constant_guard_folds(void **state)
{
    Fixture *f = (Fixture *)*state;
    SnKernelBuild b;
    SnScalar v;
    assert_true(sn_kernel_begin(&b, f->s, &f->arena, "guard"));
    const int x = sn_kernel_buffer(&b, false);
    const SnRef zero = sn_const_i64(f->s, 0);
    assert_true(sn_is_const(f->s, sn_kernel_load(&b, x, SN_F32, zero, sn_const_bool(f->s, false)), &v));
    assert_int_equal(v.u, 0);
    assert_int_equal(sn_kernel_load(&b, x, SN_F32, zero, sn_const_bool(f->s, true)),
                     sn_kernel_load(&b, x, SN_F32, zero, 0));
    sn_kernel_store(&b, x, SN_I64, zero, zero, sn_const_bool(f->s, false));
    assert_null(b.k->body);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(kernel_built_prints_and_parses_back, setup, teardown),
        cmocka_unit_test_setup_teardown(kernel_in_another_store_has_the_same_key, setup, teardown),
        cmocka_unit_test_setup_teardown(kernel_text_of_every_statement_round_trips, setup, teardown),
        cmocka_unit_test_setup_teardown(kernel_text_shared_and_deep_terms_get_names, setup, teardown),
        cmocka_unit_test_setup_teardown(kernel_text_malformed_fails, setup, teardown),
        cmocka_unit_test_setup_teardown(kernel_text_nested_too_deep_fails, setup, teardown),
        cmocka_unit_test_setup_teardown(kernel_that_breaks_a_rule_is_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(kernel_that_keeps_the_rules_is_accepted, setup, teardown),
        cmocka_unit_test_setup_teardown(kernel_index_of_two_loops_is_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(kernel_too_many_buffers_or_dims_is_told, setup, teardown),
        cmocka_unit_test_setup_teardown(kernel_load_with_constant_guard_folds, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
