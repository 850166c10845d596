/* interp_test.c -- the interpreter: its fast loops against the definition of every op, bounds, lanes. */
#include "backends/backends.h"
#include "backends/clike/clike.h"
#include "backends/interp/interp.h"
#include "tests/unit/unit.h"

#include <stdio.h>
#include <stdlib.h>

typedef struct Fixture {
    SnContext *ctx;
    SnStore *s;
    SnArena arena;
    SnModule *m;
} Fixture;

static int setup(void **state)
{
    static Fixture f;
    SnError err = {0};
    f = (Fixture){0};
    assert_ok(sn_context_create(NULL, &f.ctx, &err));
    assert_ok(sn_store_create(f.ctx, &f.s, &err));
    sn_arena_init(&f.arena, sn_allocator(f.ctx));
    *state = &f;
    return 0;
}

static int teardown(void **state)
{
    Fixture *f = (Fixture *)*state;
    if (f->m != NULL)
        f->m->destroy(f->m);
    sn_arena_clear(&f->arena);
    sn_store_destroy(f->s);
    sn_context_destroy(f->ctx);
    return 0;
}

static void build(Fixture *f, const char *text)
{
    SnError err = {0};
    SnKernel *k;
    SnTarget t;
    if (f->m != NULL)
        f->m->destroy(f->m);
    f->m = NULL;
    assert_ok(sn_kernel_parse(f->s, &f->arena, "test", sn_bytes_str(text), &k, &err));
    assert_ok(sn_kernel_verify(k, &err));
    assert_ok(sn_backend_interp.probe(f->ctx, 0, &t, &err));
    assert_ok(sn_backend_interp.build(f->ctx, &t, (const SnKernel *const *)&k, 1, &f->m, &err));
}

/* ---- ops ---- */

static const uint64_t nasty[] = {0,
                                 1,
                                 2,
                                 31,
                                 32,
                                 63,
                                 64,
                                 UINT64_MAX,
                                 UINT64_MAX - 6,
                                 0x7F,
                                 0x80,
                                 0x7FFF,
                                 0x8000,
                                 0x7FFFFFFF,
                                 0x80000000u,
                                 0x3F800000,
                                 0xBFC00000u,
                                 0x40200000,
                                 0x7F800000,
                                 0xFF800000u,
                                 0x7FC00000,
                                 0x00000001u,
                                 0x3C00,
                                 0xC248,
                                 0x7E00,
                                 0x3FF0000000000000u,
                                 0xC004000000000000u,
                                 0x7FF0000000000000u,
                                 0x7FF8000000000000u,
                                 0x8000000000000000u,
                                 0x43E0000000000000u,
                                 0x3FB999999999999Au};

static bool same(SnDtype d, const unsigned char *a, const unsigned char *b)
{
    if (sn_dtype_is_float(d)) {
        const double x = sn_scalar_load(d, a).f, y = sn_scalar_load(d, b).f;
        if (x != x && y != y)
            return true;
    }
    return memcmp(a, b, sn_dtype_size(d)) == 0;
}

static void check_op(uint16_t op, SnDtype d, SnDtype to)
{
    unsigned char frame[64];
    const SnCode in = {.op = op, .dtype = d, .to = to, .lanes = 1, .dst = 48, .a = 0, .b = 16, .c = 32};
    const int narg = sn_prim(op)->min_arg;
    for (size_t i = 0; i < SN_COUNT(nasty) * SN_COUNT(nasty); i++) {
        SnScalar arg[3], v;
        const uint64_t word[3] = {nasty[i % SN_COUNT(nasty)], nasty[i / SN_COUNT(nasty)],
                                  nasty[i * 7 % SN_COUNT(nasty)]};
        for (int j = 0; j < narg; j++) {
            memcpy(frame + 16 * j, &word[j], 8);
            if (d == SN_BOOL)
                frame[16 * j] &= 1;
            arg[j] = sn_scalar_load(d, frame + 16 * j);
        }
        if (op == SN_OP_CAST)
            v = sn_scalar_cast(d, to, arg[0], false);
        else if (!sn_scalar_apply(op, d, arg, &v))
            return;
        unsigned char want[8] = {0};
        sn_scalar_store(to, want, v);
        sn_interp_eval(op, d, to)(&in, frame);
        if (!same(to, frame + 48, want))
            fail_msg("%s of %s to %s: %llx %llx", sn_prim(op)->name, sn_dtype(d)->name, sn_dtype(to)->name,
                     (unsigned long long)word[0], (unsigned long long)word[1]);
    }
}

static void ops_are_as_defined(void **state)
{
    (void)state;
    for (uint16_t op = SN_OP_NEG; op <= SN_OP_FMA; op++) {
        if (op == SN_OP_CAST || op == SN_OP_BITCAST || op == SN_OP_WHERE)
            continue;
        for (SnDtype d = SN_BOOL; d < SN_DTYPE_COUNT; d++)
            check_op(op, d, op == SN_OP_LT || op == SN_OP_EQ ? SN_BOOL : d);
    }
}

static void casts_are_as_defined(void **state)
{
    (void)state;
    for (SnDtype from = SN_BOOL; from < SN_DTYPE_COUNT; from++) {
        for (SnDtype to = SN_BOOL; to < SN_DTYPE_COUNT; to++)
            check_op(SN_OP_CAST, from, to);
    }
}

/* ---- kernels ---- */

static void lanes_are_evaluated_before_they_are_stored(void **state)
{
    Fixture *f = (Fixture *)*state;
    SnError err = {0};
    int32_t x[8] = {1, 2, 3, 4, 5, 6, 7, 8};
    void *const buf[] = {x};
    const uint64_t size[] = {sizeof x};
    /* Guarded, so that the verifier cannot know: lane i takes what lane i + 1 had. */
    build(f, "kernel w dims 0 { grid 1 lanes i1 8 { store.i32 b0 i1 (load.i32 b0 (add i1 1) (lt i1 7)) } }");
    assert_ok(f->m->run(f->m, 0, buf, size, NULL, 0, 1, &err));
    const int32_t want[8] = {2, 3, 4, 5, 6, 7, 8, 0};
    assert_memory_equal(x, want, sizeof x);
}

static void loops_nest_and_extents_are_taken_once(void **state)
{
    Fixture *f = (Fixture *)*state;
    SnError err = {0};
    int64_t x[4] = {3, 0, -1, 100};
    void *const buf[] = {x};
    const uint64_t size[] = {sizeof x};
    const int64_t dims[] = {5};
    build(f, "kernel w dims 1 { grid 1 serial i1 (load.i64 b0 0) { unroll i2 2 { serial i3 d0 {"
             " store.i64 b0 0 (add (load.i64 b0 0) 1) store.i64 b0 1 (add (load.i64 b0 1) i3) } } }"
             " serial i4 (load.i64 b0 2) { store.i64 b0 3 0 } }");
    assert_ok(f->m->run(f->m, 0, buf, size, dims, 0, 1, &err));
    const int64_t want[4] = {33, 60, -1, 100};
    assert_memory_equal(x, want, sizeof x);
}

static void tiles_run_in_any_parts(void **state)
{
    Fixture *f = (Fixture *)*state;
    SnError err = {0};
    int64_t x[6] = {0};
    void *const buf[] = {x};
    const uint64_t size[] = {sizeof x};
    build(f, "kernel w dims 0 { grid 6 store.i64 b0 t (add (load.i64 b0 t) (mul t t)) }");
    assert_ok(f->m->run(f->m, 0, buf, size, NULL, 4, 6, &err));
    assert_ok(f->m->run(f->m, 0, buf, size, NULL, 0, 4, &err));
    const int64_t want[6] = {0, 1, 4, 9, 16, 25};
    assert_memory_equal(x, want, sizeof x);
}

static void fold_halves(void **state)
{
    Fixture *f = (Fixture *)*state;
    SnError err = {0};
    /* (1e8 + -1e8) + (1 + 1), not from left to right. */
    float x[5] = {1e8F, 1.0F, -1e8F, 1.0F, 0.0F};
    void *const buf[] = {x};
    const uint64_t size[] = {sizeof x};
    build(f, "kernel w dims 0 { grid 1 local.f32 b1 4 { lanes i1 4 { store.f32 b1 i1 (load.f32 b0 i1) }"
             " store.f32 b0 4 (fold.f32.add.4 b1 0) } }");
    assert_ok(f->m->run(f->m, 0, buf, size, NULL, 0, 1, &err));
    assert_true(x[4] == 2.0F);
}

static void outside_of_a_buffer_is_told(void **state)
{
    Fixture *f = (Fixture *)*state;
    SnError err = {0};
    static const struct {
        const char *body, *why;
    } bad[] = {
        {"store.f32 b0 4 0:f32", "store to buffer 0[4] of 4 f32"},
        {"store.f32 b0 -1 0:f32", "store to buffer 0[-1] of 4 f32"},
        {"store.i64 b0 0 (load.i64 b0 2)", "load of buffer 0[2] of 2 i64"},
        {"lanes i1 8 { store.f32 b0 i1 0:f32 }", "store to buffer 0[4]"},
        {"local.f32 b1 4 { store.f32 b0 0 (load.f32 b1 4 false) store.f32 b0 0 (load.f32 b1 (add t 4) (lt t "
         "0)) }",
         "load of buffer 1[4] of 4 f32"},
        {"local.f32 b1 4 { store.f32 b1 (add t 4) 0:f32 }", "store to buffer 1[4] of 4 f32"},
        {"local.f32 b1 4 { store.f32 b0 0 (fold.f32.add.4 b1 1) }", "load of buffer 1[1] of 4 f32"},
        {"tile.load 0 b0 0 64", "tile row 0"},
    };
    for (size_t i = 0; i < SN_COUNT(bad); i++) {
        char text[400];
        float x[4] = {0};
        void *const buf[] = {x};
        const uint64_t size[] = {sizeof x};
        (void)snprintf(text, sizeof text, "kernel w dims 0 { grid 1 %s }", bad[i].body);
        build(f, text);
        assert_fails(SN_EINTERNAL, f->m->run(f->m, 0, buf, size, NULL, 0, 1, &err));
        if (strstr(err.message, bad[i].why) == NULL || strstr(err.message, "kernel test") == NULL)
            fail_msg("%s: %s", bad[i].body, err.message);
    }
}

static void guarded_off_reads_and_writes_nothing(void **state)
{
    Fixture *f = (Fixture *)*state;
    SnError err = {0};
    float x[4] = {1, 2, 3, 4};
    void *const buf[] = {x};
    const uint64_t size[] = {sizeof x};
    build(f, "kernel w dims 0 { grid 1 lanes i1 16 { %g = (lt i1 2)"
             " store.f32 b0 (mul i1 1000000) (load.f32 b0 (mul i1 1000000) %g) when (lt i1 1) }"
             " lanes i2 4 { %g = (lt i2 2) store.f32 b0 i2 (load.f32 b0 (add i2 (where %g 0 99)) %g) } }");
    assert_ok(f->m->run(f->m, 0, buf, size, NULL, 0, 0, &err));
    SnStatus st = f->m->run(f->m, 0, buf, size, NULL, 0, 1, &err);
    assert_int_equal(st, SN_EINTERNAL); /* lane 1 of the first loop reads outside */
    build(f, "kernel w dims 0 { grid 1 lanes i2 4 { %g = (lt i2 2)"
             " store.f32 b0 i2 (load.f32 b0 (add i2 (where %g 0 99)) %g) } }");
    assert_ok(f->m->run(f->m, 0, buf, size, NULL, 0, 1, &err));
    const float want[4] = {1, 2, 0, 0};
    assert_memory_equal(x, want, sizeof x);
}

static void local_starts_as_nan(void **state)
{
    Fixture *f = (Fixture *)*state;
    SnError err = {0};
    float x[1] = {0};
    void *const buf[] = {x};
    const uint64_t size[] = {sizeof x};
    build(f, "kernel w dims 0 { grid 1 local.f32 b1 4 { store.f32 b0 0 (load.f32 b1 2) } }");
    assert_ok(f->m->run(f->m, 0, buf, size, NULL, 0, 1, &err));
    assert_true(x[0] != x[0]);
}

static void tile_dot_sums_in_order(void **state)
{
    Fixture *f = (Fixture *)*state;
    SnError err = {0};
    uint16_t a[16 * 32], b[16 * 32];
    float c[16 * 16];
    uint8_t a8[16 * 64], b8[16 * 64];
    int32_t c8[16 * 16];
    for (int i = 0; i < 16 * 32; i++) {
        a[i] = sn_f32_to_bf16((float)(i % 7));
        b[i] = sn_f32_to_bf16((float)(i % 5) - 2);
    }
    for (int i = 0; i < 16 * 64; i++) {
        a8[i] = (uint8_t)(i * 3);
        b8[i] = (uint8_t)(i * 5);
    }
    void *const buf[] = {a, b, c, a8, b8, c8};
    const uint64_t size[] = {sizeof a, sizeof b, sizeof c, sizeof a8, sizeof b8, sizeof c8};
    build(f, "kernel r r w r r w dims 0 { grid 1 tile.zero 0 tile.load 1 b0 0 64 tile.load 2 b1 0 64"
             " tile.dot.bf16 0 1 2 tile.store 0 b2 0 64 tile.zero 3 tile.load 4 b3 0 64 tile.load 5 b4 0 64"
             " tile.dot.u8 3 4 5 tile.store 3 b5 0 64 }");
    assert_ok(f->m->run(f->m, 0, buf, size, NULL, 0, 1, &err));
    for (int m = 0; m < 16; m++) {
        for (int n = 0; n < 16; n++) {
            float want = 0;
            int32_t want8 = 0;
            for (int k = 0; k < 32; k++)
                want += sn_bf16_to_f32(a[m * 32 + k]) * sn_bf16_to_f32(b[k / 2 * 32 + 2 * n + k % 2]);
            for (int k = 0; k < 64; k++)
                want8 += a8[m * 64 + k] * (int8_t)b8[k / 4 * 64 + 4 * n + k % 4];
            assert_true(c[m * 16 + n] == want);
            assert_int_equal(c8[m * 16 + n], want8);
        }
    }
}

static void frame_too_large_is_unsupported(void **state)
{
    Fixture *f = (Fixture *)*state;
    SnError err = {0};
    SnText text = {.memory = sn_allocator(f->ctx)};
    SnKernel *k;
    SnTarget t;
    sn_text_printf(&text, "kernel w dims 0 { grid 1 lanes i1 1024 { ");
    for (int i = 0; i < 40; i++)
        sn_text_printf(&text, "store.i64 b0 (mul i1 %d) 0 ", i + 3);
    sn_text_printf(&text, "} }");
    assert_ok(sn_kernel_parse(f->s, &f->arena, "wide", sn_bytes(text.at, text.n), &k, &err));
    sn_text_clear(&text);
    assert_ok(sn_backend_interp.probe(f->ctx, 0, &t, &err));
    assert_fails(SN_EUNSUPPORTED,
                 sn_backend_interp.build(f->ctx, &t, (const SnKernel *const *)&k, 1, &f->m, &err));
}

/* ---- memory that runs out ---- */

typedef struct Memory {
    size_t left; /* allocations until it says no */
    size_t live; /* bytes */
} Memory;

static void *resize(void *self, void *ptr, size_t old_size, size_t new_size, size_t align)
{
    Memory *m = (Memory *)self;
    (void)align;
    if (new_size == 0) {
        free(ptr);
        m->live -= old_size;
        return NULL;
    }
    if (m->left == 0)
        return NULL;
    m->left--;
    void *p = realloc(ptr, new_size);
    assert_non_null(p);
    m->live += new_size - old_size;
    return p;
}

/* Everything that is made of a kernel, with a store and an arena of its own. */
static SnStatus make_all(SnContext *ctx, SnStore *s, SnArena *arena, SnError *err)
{
    const char *text = "kernel r w dims 1 { grid 1 local.f32 b2 64 { lanes i1 64 { %x = (load.f16 b0 i1)"
                       " store.f32 b2 i1 (exp (cast.f32 (mul %x %x))) }"
                       " store.f32 b1 t (tanh (fold.f32.add.64 b2 0)) } }";
    SnKernel *k;
    SnModule *m = NULL;
    uint32_t lanes;
    SnText out = {.memory = sn_allocator(ctx)};
    SN_TRY(sn_kernel_parse(s, arena, "test", sn_bytes_str(text), &k, err));
    SN_TRY(sn_kernel_expand(k, arena, err));
    SN_TRY(sn_backend_interp.build(ctx, NULL, (const SnKernel *const *)&k, 1, &m, err));
    m->destroy(m);
    SnStatus st = sn_clike_print(&sn_dialect_c, k, "f", &out, &lanes, err);
    if (st == SN_OK)
        st = sn_clike_print(&sn_dialect_opencl, k, "f", &out, &lanes, err);
    sn_text_clear(&out);
    return st;
}

static void no_memory_is_told_wherever_it_ends(void **state)
{
    (void)state;
    SnStatus st = SN_ENOMEM;
    for (size_t n = 0; st != SN_OK; n++) {
        Memory memory = {.left = SIZE_MAX};
        const SnContextDesc desc = {.struct_size = sizeof desc, .memory = {&memory, resize}};
        SnError err = {0};
        SnContext *ctx;
        SnStore *s;
        SnArena arena;
        assert_ok(sn_context_create(&desc, &ctx, &err));
        assert_ok(sn_store_create(ctx, &s, &err));
        sn_arena_init(&arena, sn_allocator(ctx));
        memory.left = n;
        st = make_all(ctx, s, &arena, &err);
        if (st != SN_OK && st != SN_ENOMEM)
            fail_msg("after %zu allocations: %s: %s", n, sn_status_name(st), err.message);
        assert_true(n < 1000);
        sn_arena_clear(&arena);
        sn_store_destroy(s);
        sn_context_destroy(ctx);
        assert_int_equal(memory.live, 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ops_are_as_defined),
        cmocka_unit_test(casts_are_as_defined),
        cmocka_unit_test_setup_teardown(lanes_are_evaluated_before_they_are_stored, setup, teardown),
        cmocka_unit_test_setup_teardown(loops_nest_and_extents_are_taken_once, setup, teardown),
        cmocka_unit_test_setup_teardown(tiles_run_in_any_parts, setup, teardown),
        cmocka_unit_test_setup_teardown(fold_halves, setup, teardown),
        cmocka_unit_test_setup_teardown(outside_of_a_buffer_is_told, setup, teardown),
        cmocka_unit_test_setup_teardown(guarded_off_reads_and_writes_nothing, setup, teardown),
        cmocka_unit_test_setup_teardown(local_starts_as_nan, setup, teardown),
        cmocka_unit_test_setup_teardown(tile_dot_sums_in_order, setup, teardown),
        cmocka_unit_test(no_memory_is_told_wherever_it_ends),
        cmocka_unit_test_setup_teardown(frame_too_large_is_unsupported, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
