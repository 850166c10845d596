/* specialise_test.c -- copies of entries for certain dims: taken when inputs have them, with equal bits, and
 * seen by nobody; what their text may say. */
#include "runtime/instance.h"
#include "tests/unit/rig.h"
#include "tests/unit/scratch.h"
#include "tests/unit/unit.h"

static const char text[] = "program @p\n"
                           "dims b in 1..8, s in 1..64\n"
                           "carry sum: f32[4] = 0\n"
                           "entry @main(x: f32[b,s,4], unused: i64[s]) {\n"
                           "  %t = add sum (reduce add (mul x x) axes=[0,1])\n"
                           "  ret y: (div (exp x) 2.0), t: %t\n"
                           "  next sum = %t\n"
                           "}\n"
                           "entry @other(z: f32[4]) { ret w: (mul z 2.0) }\n";

static SnStatus open_program(Rig *r, const char *target, const char *specialise, SnError *err)
{
    rig_open(r, target, NULL);
    const SnCompileOptions o = {.struct_size = sizeof o, .target = target, .specialise = specialise};
    SN_TRY(sn_graph_parse(r->g, "test", sn_bytes_str(text), err));
    SN_TRY(sn_compile(r->cc, r->g, &o, &r->p, err));
    return sn_instance_create(r->p, NULL, &r->s, err);
}

static void bind(Rig *r, int64_t b, int64_t s)
{
    static float x[8 * 64 * 4];
    SnError err;
    for (int i = 0; i < 8 * 64 * 4; i++)
        x[i] = (float)(i % 37) / 8 - 2;
    const SnView v = sn_view(SN_F32, x, 3, (int64_t[]){b, s, 4});
    assert_ok(sn_bind(r->s, "x", &v, &err));
}

static bool takes_copy(Rig *r, int64_t b, int64_t s)
{
    SnError err;
    bind(r, b, s);
    assert_ok(sn_run(r->s, &err));
    return r->s->entry != r->s->base;
}

static void copies_are_taken_by_dims(void **state)
{
    SnError err;
    Rig r = {0};
    const char *name = NULL;
    assert_ok(open_program(&r, *state, "s=1; b=1,4", &err));
    assert_true(takes_copy(&r, 1, 1));
    assert_true(takes_copy(&r, 4, 1));
    assert_false(takes_copy(&r, 2, 1));
    assert_false(takes_copy(&r, 1, 2));
    assert_true(sn_program_entry(r.p, 1, &name));
    assert_string_equal(name, "other");
    assert_false(sn_program_entry(r.p, 2, &name));
    assert_ok(sn_entry(r.s, "other", &err));
    const SnView z = sn_view(SN_F32, (float[4]){1, 2, 3, 4}, 1, (int64_t[]){4});
    SnView w;
    assert_ok(sn_bind(r.s, "z", &z, &err));
    assert_ok(sn_run(r.s, &err));
    assert_ok(sn_result(r.s, "w", &w, &err));
    assert_true(((const float *)w.data)[3] == 8);
    rig_close(&r);
}

/* The same runs with and without copies: results and carries have equal bytes. */
static void copies_have_the_bits_of_their_entry(void **state)
{
    static const int64_t shape[][2] = {{1, 1}, {3, 5}, {1, 1}, {4, 1}, {1, 64}, {4, 1}};
    SnError err;
    Rig r[2] = {{0}, {0}};
    assert_ok(open_program(&r[0], *state, NULL, &err));
    assert_ok(open_program(&r[1], *state, " s=1 ; b=1, 4", &err));
    for (size_t i = 0; i < SN_COUNT(shape); i++) {
        for (int k = 0; k < 2; k++) {
            bind(&r[k], shape[i][0], shape[i][1]);
            assert_ok(sn_run(r[k].s, &err));
        }
        static const char *const result[] = {"y", "t"};
        for (int n = 0; n < 2; n++) {
            SnView a, b;
            assert_ok(sn_result(r[0].s, result[n], &a, &err));
            assert_ok(sn_result(r[1].s, result[n], &b, &err));
            assert_int_equal(a.ndim, b.ndim);
            const int64_t count = n == 0 ? shape[i][0] * shape[i][1] * 4 : 4;
            assert_memory_equal(a.data, b.data, (size_t)count * sizeof(float));
        }
    }
    rig_close(&r[0]);
    rig_close(&r[1]);
}

/* A shape that is reserved is the one of the copy: a run of it allocates nothing more. */
static void reserve_plans_the_copy(void **state)
{
    SnError err;
    Rig r = {0};
    SnMemoryUse before, after, planned;
    assert_ok(open_program(&r, *state, "s=1", &err));
    assert_ok(sn_reserve(r.s, "b=2,s=1", &err));
    sn_instance_memory(r.s, &before);
    assert_true(takes_copy(&r, 2, 1));
    sn_instance_memory(r.s, &after);
    assert_int_equal(before.scratch_bytes, after.scratch_bytes);
    assert_ok(sn_program_plan(r.p, "main", "b=2,s=1", &planned, &err));
    assert_int_equal(planned.scratch_bytes, after.scratch_bytes);
    rig_close(&r);
}

static void malformed_choices_are_refused(void **state)
{
    static const struct {
        const char *text;
        SnStatus code;
    } bad[] = {{"s", SN_EINVAL},
               {"=1", SN_EINVAL},
               {"s=", SN_EINVAL},
               {"s=x", SN_EINVAL},
               {"s=1,", SN_EINVAL},
               {"s=1 2", SN_EINVAL},
               {"s=-1", SN_EINVAL},
               {"s=65", SN_ESHAPE},
               {"s=1;b=9", SN_ESHAPE},
               {"s=1,2,3,4,5;b=1,2,3,4", SN_EINVAL},
               {"a=1;b=1;c=1;d=1;s=1", SN_EINVAL}};
    for (size_t i = 0; i < SN_COUNT(bad); i++) {
        SnError err;
        Rig r = {0};
        if (open_program(&r, *state, bad[i].text, &err) != bad[i].code)
            fail_msg("\"%s\": %s", bad[i].text, err.message);
        rig_close(&r);
    }
}

static void a_star_is_any_size(void **state)
{
    SnError err;
    Rig r = {0};
    assert_ok(open_program(&r, *state, "b=1,*; s=1", &err));
    assert_true(takes_copy(&r, 1, 1));
    const SnEntryRow *const first = r.s->entry;
    assert_true(takes_copy(&r, 3, 1));
    assert_ptr_not_equal(r.s->entry, first);
    assert_false(takes_copy(&r, 1, 2));
    rig_close(&r);
}

/* A symbol that no entry has changes nothing. */
static void other_symbols_are_ignored(void **state)
{
    SnError err;
    Rig r = {0};
    assert_ok(open_program(&r, *state, "pages=1", &err));
    assert_false(takes_copy(&r, 1, 1));
    rig_close(&r);
}

#ifdef SN_TEST_LLVM
/* Entries that share a weight, its panels, a carry and a symbol bound at create, in a shared object. */
static const char shared_text[] = "program @p\n"
                                  "dims s in 1..64, pages in 1..9 at create\n"
                                  "param w: f32[32,16]\n"
                                  "carry held: f32[pages,32] = 0\n"
                                  "entry @put(x: f32[s,16], at: i64[s]) {\n"
                                  "  %h = scatter set held axes=[0] at (contract \"si,oi->so\" x w acc=f32)\n"
                                  "  ret n: (reduce add at axes=[0])\n"
                                  "  next held = %h\n"
                                  "}\n"
                                  "entry @get(x: f32[s,16]) {\n"
                                  "  %y = contract \"si,oi->so\" x w acc=f32\n"
                                  "  ret y: (add %y (reduce add held axes=[0] keep))\n"
                                  "}\n";

static bool find_weight(void *self, const char *name, SnSourceTensor *out)
{
    static float w[32 * 16];
    for (int i = 0; i < 32 * 16; i++)
        w[i] = (float)(i % 11) - 5;
    *out = (SnSourceTensor){.dtype = SN_F32, .ndim = 2, .dims = {32, 16}, .bytes = sn_bytes(w, sizeof w)};
    (void)self;
    return strcmp(name, "w") == 0;
}

/* Puts rows of x one by one, then gets at s = 1. Returns element 0 of y. */
static float run_shared(SnProgram *p, bool *copied)
{
    const SnInstanceDesc desc = {.struct_size = sizeof desc, .ndim = 1, .dim = {{"pages", 3}}};
    SnInstance *s = NULL;
    SnError err;
    SnView y;
    float x[16], first = 0;
    assert_ok(sn_instance_create(p, &desc, &s, &err));
    for (int64_t at = 0; at < 3; at++) {
        for (int i = 0; i < 16; i++)
            x[i] = (float)(i + at);
        const SnView vx = sn_view(SN_F32, x, 2, (int64_t[]){1, 16}),
                     va = sn_view(SN_I64, &at, 1, (int64_t[]){1});
        assert_ok(sn_entry(s, "put", &err));
        assert_ok(sn_bind(s, "x", &vx, &err));
        assert_ok(sn_bind(s, "at", &va, &err));
        assert_ok(sn_run(s, &err));
        *copied = s->entry != s->base;
        assert_ok(sn_entry(s, "get", &err));
        assert_ok(sn_bind(s, "x", &vx, &err));
        assert_ok(sn_run(s, &err));
        *copied = *copied && s->entry != s->base;
    }
    assert_ok(sn_result(s, "y", &y, &err));
    first = ((const float *)y.data)[0];
    sn_instance_destroy(s);
    return first;
}

static void entries_of_a_shared_object_share_weights_and_carries(void **state)
{
    const SnSource source = {.find = find_weight};
    const SnCompileOptions o = {.struct_size = sizeof o, .specialise = "s=1"};
    SnProgramInfo info;
    SnError err;
    Rig r = {0};
    Scratch dir;
    char path[256];
    bool copied = false;
    rig_open(&r, *state, NULL);
    sn_graph_source(r.g, &source);
    assert_ok(sn_graph_parse(r.g, "test", sn_bytes_str(shared_text), &err));
    assert_ok(sn_compile(r.cc, r.g, &o, &r.p, &err));
    const float just_in_time = run_shared(r.p, &copied);
    assert_true(copied);
    sn_program_info(r.p, &info);
    assert_int_equal(info.packed_bytes, 32 * 16 * sizeof(float));
    sn_program_release(r.p);
    scratch_open(&dir);
    scratch_path(&dir, "shared.so", path);
    assert_ok(sn_emit(r.cc, r.g, &o, path, &err));
    assert_ok(sn_program_open(r.ctx, path, &r.p, &err));
    assert_true(run_shared(r.p, &copied) == just_in_time);
    assert_true(copied);
    sn_program_info(r.p, &info);
    assert_int_equal(info.packed_bytes, 32 * 16 * sizeof(float));
    rig_close(&r);
    scratch_close(&dir);
}
#endif

int main(void)
{
    static char target[] = SN_TEST_NATIVE;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_prestate(copies_are_taken_by_dims, target),
        cmocka_unit_test_prestate(copies_have_the_bits_of_their_entry, target),
        cmocka_unit_test_prestate(reserve_plans_the_copy, target),
        cmocka_unit_test_prestate(malformed_choices_are_refused, target),
        cmocka_unit_test_prestate(a_star_is_any_size, target),
        cmocka_unit_test_prestate(other_symbols_are_ignored, target),
#ifdef SN_TEST_LLVM
        cmocka_unit_test_prestate(entries_of_a_shared_object_share_weights_and_carries, target),
#endif
    };
    return cmocka_run_group_tests_name("specialise", tests, NULL, NULL);
}
