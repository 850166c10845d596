/* lower_test.c -- the shape of lowered kernels: text, keys, what may be done in place. What they compute is
 * tested in tests/ops. */
#include "tests/unit/fixture.h"

#include <stdlib.h>

static int setup(void **state)
{
    return fixture_open(state, NULL);
}

static SnValue i64(Fixture *f, int64_t v)
{
    return sn_const_int(f->g, SN_I64, v);
}

static const SnTarget target = {.name = "interp", .vector_bytes = 64, .vector_count = 32};

static void fuse(Fixture *f)
{
    SnError err = {0};
    assert_ok(sn_graph_check(f->g, &err));
    f->pass.target = &target;
    assert_ok(sn_fuse(&f->pass, sn_graph_root(f->g), &f->is_stored, &err));
}

static SnLowered lower(Fixture *f, SnValue v)
{
    SnLowered out;
    SnError err = {0};
    assert_true(f->is_stored[v.ref]);
    assert_ok(sn_lower(&f->pass, v.ref, f->is_stored, &out, &err));
    return out;
}

static void assert_kernel(Fixture *f, const SnKernel *k, const char *name, const char *text)
{
    SnText t = {.memory = sn_allocator(f->ctx)};
    sn_kernel_print(k, &t);
    assert_string_equal(k->name, name);
    assert_string_equal(t.at, text);
    sn_text_clear(&t);
}

static void dense_elementwise_is_read_along_the_lanes(void **state)
{
    Fixture *f = (Fixture *)*state;
    SnGraph *g = f->g;
    const SnValue dims[] = {i64(f, 8), i64(f, 2), i64(f, 32)};
    const SnValue x = sn_input(g, "x", SN_F32, 3, dims);
    const SnValue flat = sn_reshape(g, x, 2, (SnValue[]){i64(f, 16), i64(f, 32)});
    const SnValue y = sn_mul(g, flat, flat);
    sn_output(g, "y", y);
    fuse(f);
    const SnLowered out = lower(f, y);
    assert_int_equal(out.nkernel, 1);
    assert_kernel(f, out.kernel[0].kernel, "map_mul_f32",
                  "kernel r w dims 0 {\n"
                  "  grid 1\n"
                  "  serial i1 32 {\n"
                  "    lanes i2 16 {\n"
                  "      %0 = (add (mul i1 16) i2)\n"
                  "      %1 = (load.f32 b0 %0)\n"
                  "      store.f32 b1 %0 (mul %1 %1)\n"
                  "    }\n"
                  "  }\n"
                  "}\n");
}

static void tail_is_guarded(void **state)
{
    Fixture *f = (Fixture *)*state;
    SnGraph *g = f->g;
    const SnValue n = i64(f, 20), x = sn_input(g, "x", SN_F32, 1, &n), y = sn_neg(g, x);
    sn_output(g, "y", y);
    fuse(f);
    assert_kernel(f, lower(f, y).kernel[0].kernel, "map_neg_f32",
                  "kernel r w dims 0 {\n"
                  "  grid 1\n"
                  "  lanes i1 16 {\n"
                  "    store.f32 b1 i1 (neg (load.f32 b0 i1))\n"
                  "  }\n"
                  "  lanes i2 16 {\n"
                  "    %0 = (add i2 16)\n"
                  "    %1 = (lt %0 20)\n"
                  "    store.f32 b1 %0 (neg (load.f32 b0 %0 %1)) when %1\n"
                  "  }\n"
                  "}\n");
}

static SnValue layer(Fixture *f, SnValue x, const char *weight, const char *bias)
{
    SnGraph *g = f->g;
    const int64_t dims[] = {32, 32};
    const SnValue w = sn_param(g, weight, SN_F32, 2, dims), b = sn_param(g, bias, SN_F32, 1, dims);
    return sn_tanh(g, sn_add(g, sn_contract(g, "nk,mk->nm", x, w, SN_F32), b));
}

static void equal_layers_give_equal_kernels(void **state)
{
    Fixture *f = (Fixture *)*state;
    SnGraph *g = f->g;
    const SnValue n = sn_symbol(g, "n", 1, 1000), x = sn_input(g, "x", SN_F32, 2, (SnValue[]){n, i64(f, 32)});
    const SnValue a = layer(f, x, "w1", "b1"), b = layer(f, a, "w2", "b2"), c = layer(f, b, "w3", "b3");
    sn_output(g, "c", c);
    fuse(f);
    const SnLowered first = lower(f, a), second = lower(f, b);
    assert_memory_equal(&first.kernel[0].kernel->key, &second.kernel[0].kernel->key, sizeof(SnHash128));
    assert_int_equal(first.kernel[0].dim[0], second.kernel[0].dim[0]);
}

static void update_may_be_in_place_unless_it_reads_its_base(void **state)
{
    Fixture *f = (Fixture *)*state;
    SnGraph *g = f->g;
    const SnValue n = i64(f, 64), four = i64(f, 4), at = i64(f, 7);
    const SnValue x = sn_input(g, "x", SN_F32, 1, &n), v = sn_input(g, "v", SN_F32, 1, &four);
    const SnValue clean = sn_update(g, x, v, &at);
    const SnValue own = sn_update(g, x, sn_slice_axis(g, x, 0, i64(f, 0), four), &at);
    const SnValue fresh = sn_update(g, sn_broadcast(g, sn_const(g, SN_F32, 0), 1, &n), v, &at);
    sn_output(g, "clean", clean);
    sn_output(g, "own", own);
    sn_output(g, "fresh", fresh);
    fuse(f);
    const SnLowered out = lower(f, clean);
    assert_int_equal(out.in_place, 0);
    assert_int_equal(out.nkernel, 2);
    assert_int_equal(out.kernel[1].kernel->nbuf, 2);
    assert_int_equal(lower(f, own).in_place, -1);
    assert_int_equal(lower(f, fresh).in_place, -1);
}

static void every_dim_is_one_parameter(void **state)
{
    Fixture *f = (Fixture *)*state;
    SnGraph *g = f->g;
    const SnValue n = sn_symbol(g, "n", 0, 1000), m = sn_symbol(g, "m", 0, 1000), dims[] = {n, m};
    const SnValue x = sn_input(g, "x", SN_F32, 2, dims), y = sn_permute(g, sn_add(g, x, x), (int[]){1, 0});
    sn_output(g, "y", y);
    fuse(f);
    const SnLoweredKernel k = lower(f, y).kernel[0];
    for (int i = 0; i < k.kernel->ndim; i++) {
        for (int j = 0; j < i; j++)
            assert_int_not_equal(k.dim[i], k.dim[j]);
    }
}

/* ---- no memory ---- */

typedef struct Failing {
    bool is_armed;
    uint32_t left; /* allocations that still succeed */
} Failing;

static void *failing_resize(void *self, void *ptr, size_t old_size, size_t new_size, size_t align)
{
    Failing *f = (Failing *)self;
    (void)align;
    if (new_size == 0) {
        free(ptr);
        return NULL;
    }
    if (f->is_armed && new_size > old_size) {
        if (f->left == 0)
            return NULL;
        f->left--;
    }
    return realloc(ptr, new_size);
}

/* Fuses and lowers everything that is stored and no input. */
static SnStatus lower_all(Fixture *f, SnError *err)
{
    SnStore *s = sn_graph_store(f->g);
    const SnRef root = sn_graph_root(f->g);
    SN_CHECK(root != 0, err, SN_ENOMEM, "no root");
    f->pass = (SnPass){.ctx = f->ctx, .cc = f->cc, .g = f->g, .s = s, .target = &target, .arena = &f->arena};
    SN_TRY(sn_fuse(&f->pass, root, &f->is_stored, err));
    for (SnRef r = 1; r <= root; r++) {
        SnLowered out;
        const uint16_t op = sn_term(s, r)->op;
        if (f->is_stored[r] && op != SN_OP_INPUT && op != SN_OP_GET)
            SN_TRY(sn_lower(&f->pass, r, f->is_stored, &out, err));
    }
    return SN_OK;
}

static void build_some(SnGraph *g)
{
    const SnValue n = sn_symbol(g, "n", 0, 1000), dims[] = {n, sn_const_int(g, SN_I64, 20)};
    const SnValue x = sn_input(g, "x", SN_F32, 2, dims), i = sn_input(g, "i", SN_I64, 1, &n);
    const SnValue y = sn_contract(g, "nk,mk->nm", x, x, SN_F32);
    const SnValue e = sn_exp(g, sn_sub(g, y, sn_max_of(g, y, -1)));
    sn_output(g, "e", sn_div(g, e, sn_sum_of(g, e, -1)));
    sn_output(g, "s", sn_get(g, sn_sort(g, 1, &x, 1, 1, true, 3), 0));
    sn_output(g, "t", sn_scatter(g, "add", x, 1, (int[]){0}, &i, sn_scan(g, "add", x, 0, false)));
    sn_output(g, "a", sn_argmax(g, x, 1, false));
}

static void no_memory_is_an_error_everywhere(void **state)
{
    static const SnOp *const no_ops[] = {NULL};
    const SnCompilerDesc desc = {.struct_size = sizeof desc, .ops = no_ops};
    SnStatus st = SN_ENOMEM;
    (void)state;
    for (uint32_t n = 0; st != SN_OK; n++) {
        Fixture f = {0};
        Failing memory = {.left = n};
        SnError err = {0};
        const SnContextDesc ctx = {.struct_size = sizeof ctx, .memory = {&memory, failing_resize}};
        assert_ok(sn_context_create(&ctx, &f.ctx, &err));
        assert_ok(sn_compiler_create(f.ctx, &desc, &f.cc, &err));
        assert_ok(sn_graph_create(f.cc, &f.g, &err));
        sn_arena_init(&f.arena, sn_allocator(f.ctx));
        build_some(f.g);
        memory.is_armed = true;
        st = lower_all(&f, &err);
        if (st != SN_OK && st != SN_ENOMEM)
            fail_msg("allocation %u: %s: %s", n, sn_status_name(st), err.message);
        memory.is_armed = false;
        assert_in_range(n, 0, 5000);
        sn_arena_clear(&f.arena);
        sn_graph_destroy(f.g);
        sn_compiler_destroy(f.cc);
        sn_context_destroy(f.ctx);
    }
}

#define lower_unit(name) cmocka_unit_test_setup_teardown(name, setup, fixture_close)

int main(void)
{
    const struct CMUnitTest tests[] = {
        lower_unit(dense_elementwise_is_read_along_the_lanes),
        lower_unit(tail_is_guarded),
        lower_unit(equal_layers_give_equal_kernels),
        lower_unit(update_may_be_in_place_unless_it_reads_its_base),
        lower_unit(every_dim_is_one_parameter),
        cmocka_unit_test(no_memory_is_an_error_everywhere),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
