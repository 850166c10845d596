/* Updates in place: what is copied, counted by the trace, and that nothing is overwritten too early. */
#include "tests/unit/rig.h"

#include <stdio.h>

enum { PAGES = 16, WIDTH = 32, CACHE = PAGES * WIDTH * 4, ROW = WIDTH * 4 };

static void count_copy(void *self, const SnTraceEvent *e)
{
    Rig *r = self;
    if (strncmp(e->name, "copy", 4) == 0)
        r->copied += e->bytes / 2; /* an equal number was read */
}

static void rig_start(Rig *r, const char *target, const char *text)
{
    SnError err;
    *r = (Rig){0};
    const SnContextDesc desc = {.struct_size = sizeof desc, .trace = {r, count_copy}};
    rig_open(r, target, &desc);
    assert_ok(rig_compile(r, text, &err));
}

static void bind_row(Rig *r, float first)
{
    static float x[WIDTH];
    SnError err;
    for (int i = 0; i < WIDTH; i++)
        x[i] = first + (float)i;
    const SnView v = sn_view(SN_F32, x, 2, (int64_t[]){1, WIDTH});
    assert_ok(sn_bind(r->s, "x", &v, &err));
}

static void bind_i64(Rig *r, const char *name, const int64_t *value)
{
    SnError err;
    const SnView v = sn_view(SN_I64, (void *)(uintptr_t)value, 0, NULL);
    assert_ok(sn_bind(r->s, name, &v, &err));
}

/* One run; returns bytes that were copied. */
static uint64_t run(Rig *r)
{
    SnError err;
    r->copied = 0;
    assert_ok(sn_run(r->s, &err));
    return r->copied;
}

static float result(Rig *r, const char *name, int64_t i)
{
    SnError err;
    SnView v;
    assert_ok(sn_result(r->s, name, &v, &err));
    return ((const float *)v.data)[i];
}

/* A cache of keys as a decoder has it: one row a run, read as a whole. */
static void carried_cache_is_updated_without_a_copy(void **state)
{
    Rig r;
    rig_start(&r, *state,
              "program @p\n"
              "carry k: f32[16,32] = 0\n"
              "carry len: i64 = 0\n"
              "entry @main(x: f32[1,32]) {\n"
              "  %k = update k x [len, 0]\n"
              "  ret s: (reduce add %k axes=[0]), n: len\n"
              "  next k = %k, len = add len 1\n"
              "}\n");
    float sum = 0;
    for (int i = 0; i < PAGES; i++) {
        bind_row(&r, (float)i);
        sum += (float)i + 5;
        assert_true(run(&r) < ROW);
        assert_true(result(&r, "s", 5) == sum);
    }
    rig_close(&r);
}

static void scatter_into_a_carry_makes_no_copy(void **state)
{
    Rig r;
    const int64_t at = 3;
    rig_start(&r, *state,
              "program @p\n"
              "carry k: f32[16,32] = 1\n"
              "entry @main(x: f32[1,32], i: i64) {\n"
              "  %k = scatter add k axes=[0] (reshape i [1]) x\n"
              "  ret s: (reduce add %k axes=[0])\n"
              "  next k = %k\n"
              "}\n");
    bind_row(&r, 0);
    bind_i64(&r, "i", &at);
    for (int i = 1; i < 4; i++) {
        assert_int_equal(run(&r), 0);
        assert_true(result(&r, "s", 2) == 16 + 2 * (float)i);
    }
    rig_close(&r);
}

/* The cache of a loop of decoding steps: through loops, conds and the entry. */
static void cache_goes_through_loops_and_conds_in_place(void **state)
{
    Rig r;
    const int64_t n = 5;
    rig_start(&r, *state,
              "program @p\n"
              "dims t in 0..64\n"
              "carry k: f32[16,32] = 0\n"
              "fn @put(k: f32[16,32], x: f32[1,32], i: i64) { ret = update k x [i, 0] }\n"
              "fn @twice(k: f32[16,32], x: f32[1,32], i: i64) { ret = update (update k x [i, 0]) (mul x 2.0) "
              "[i, 0] }\n"
              "fn @inner(j: i64, k: f32[16,32]; x: f32[1,32], i: i64) {\n"
              "  ret = tuple (cond (lt i 2) @put @twice (k, (add x (cast j f32)), i))\n"
              "}\n"
              "fn @outer(i: i64, k: f32[16,32]; x: f32[1,32]) {\n"
              "  %l = loop bound=3 body=@inner (k); x, i\n"
              "  ret = tuple %l.0 | (reduce add %l.0 axes=[0])\n"
              "}\n"
              "entry @main(x: f32[1,32], n: i64) {\n"
              "  %l = loop bound=(measure n max=16) body=@outer (k); x\n"
              "  ret s: (reduce add %l.0 axes=[0]), rows: %l.1\n"
              "  next k = %l.0\n"
              "}\n");
    bind_row(&r, 1);
    bind_i64(&r, "n", &n);
    const uint64_t copied = run(&r);
    assert_true(copied < CACHE);
    assert_true(result(&r, "s", 4) == 2 * (5 + 2) + 3 * 2 * (5 + 2));
    assert_true(result(&r, "rows", 4) == 7);
    assert_true(result(&r, "rows", 3 * WIDTH + 4) == 2 * 7 + 2 * 14);
    rig_close(&r);
}

static void value_that_is_read_later_is_kept(void **state)
{
    static const char *const late[] = {
        /* by a result, in another shape, by another update, by the body of a loop */
        "  ret s: (reduce add k axes=[0]), t: (reduce add (add %n k) axes=[0])\n",
        "  %f = reshape k [512]\n"
        "  ret s: (reduce add (reshape %f [16,32]) axes=[0]), t: (reduce add (add %n k) axes=[0]), f: %f\n",
        "  %u = update k (sub x (sub x 1.0)) [i, 0]\n"
        "  ret s: (reduce add (sub (add %u %n) %n) axes=[0]), t: (reduce add (add %n k) axes=[0])\n",
        "  %l = loop bound=2 body=@read (0.0); k\n"
        "  ret s: (reduce add k axes=[0]), t: (mul (reduce add (add %n k) axes=[0]) %l.0)\n",
    };
    const int64_t at = 0;
    for (size_t i = 0; i < 2 * SN_COUNT(late); i++) {
        const bool is_changed = i >= SN_COUNT(late);
        char text[1200];
        Rig r;
        (void)snprintf(text, sizeof text,
                       "program @p\ncarry k: f32[16,32] = 1\n"
                       "fn @read(j: i64, a: f32; k: f32[16,32]) { ret = tuple (reduce max k axes=[0,1]) }\n"
                       "entry @main(x: f32[1,32], i: i64) {\n  %%n = update k x [i, 0]\n%s  next k = %s\n}\n",
                       late[i % SN_COUNT(late)], is_changed ? "%n" : "k");
        rig_start(&r, *state, text);
        bind_row(&r, 7);
        bind_i64(&r, "i", &at);
        for (int k = 0; k < (is_changed ? 1 : 2); k++) {
            (void)run(&r);
            assert_true(result(&r, "s", 0) == 16);
            assert_true(result(&r, "t", 0) == 16 + 15 + 7);
        }
        rig_close(&r);
    }
}

static void updates_read_from_what_is_updated_are_set_aside(void **state)
{
    Rig r;
    rig_start(
        &r, *state,
        "program @p\n"
        "carry k: f32[16,32] = 0\n"
        "entry @main(x: f32[1,32]) {\n"
        "  %a = update k (slice k [0, 0] [15, 32]) [1, 0]\n"
        "  %b = update %a x [0, 0]\n"
        "  %c = scatter set %b axes=[0] (sub 15 (iota [16] axis=0)) (gather %b axes=[0] (iota [16] axis=0))\n"
        "  ret y: %c\n"
        "  next k = %c\n"
        "}\n");
    float model[PAGES] = {0};
    for (int n = 0; n < 5; n++) {
        bind_row(&r, (float)n + 1);
        (void)run(&r);
        memmove(model + 1, model, sizeof model - sizeof *model);
        model[0] = (float)n + 1;
        for (int i = 0; i < PAGES / 2; i++) {
            const float t = model[i];
            model[i] = model[PAGES - 1 - i];
            model[PAGES - 1 - i] = t;
        }
        for (int i = 0; i < PAGES; i++)
            assert_true(result(&r, "y", i * WIDTH) == model[i]);
    }
    rig_close(&r);
}

static void carry_that_an_entry_does_not_change_is_not_written(void **state)
{
    SnError err;
    Rig r;
    const int64_t at = 2;
    rig_start(
        &r, *state,
        "program @p\n"
        "carry k: f32[16,32] = 1\n"
        "entry @look(x: f32[1,32], i: i64) {\n  ret s: (reduce add (update k x [i, 0]) axes=[0])\n}\n"
        "entry @put(x: f32[1,32], i: i64) {\n  %k = update k x [i, 0]\n  ret s: (reduce add %k axes=[0])\n"
        "  next k = %k\n}\n");
    bind_row(&r, 9);
    bind_i64(&r, "i", &at);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(run(&r), CACHE);
        assert_true(result(&r, "s", 0) == 15 + 9);
    }
    assert_ok(sn_entry(r.s, "put", &err));
    bind_row(&r, 9);
    bind_i64(&r, "i", &at);
    assert_int_equal(run(&r), 0);
    assert_true(result(&r, "s", 0) == 15 + 9);
    rig_close(&r);
}

/* What a body makes is made where the loop carries it, when the old value is no longer needed; else it goes
 * home. */
static void new_values_of_a_loop_are_made_at_home(void **state)
{
    Rig r;
    rig_start(&r, *state,
              "program @p\n"
              "fn @body(i: i64, a: f32[16,32], b: f32[1,32]) {\n"
              "  %s = reduce add a axes=[0] keep\n"
              "  %n = scan add (add (broadcast b [16,32]) 1.0) axis=0\n"
              "  ret = tuple %n %s\n"
              "}\n"
              "entry @main(x: f32[1,32]) {\n"
              "  %l = loop bound=4 body=@body ((broadcast 1.0 [16,32]), x)\n"
              "  ret a: %l.0, b: %l.1\n"
              "}\n");
    bind_row(&r, 1);
    float a[PAGES], b = 3;
    for (int i = 0; i < PAGES; i++)
        a[i] = 1;
    for (int n = 0; n < 4; n++) {
        float sum = 0, step = b + 1;
        for (int i = 0; i < PAGES; i++) {
            sum += a[i];
            a[i] = step * (float)(i + 1);
        }
        b = sum;
    }
    assert_true(run(&r) <= 5 * ROW); /* b: the first value, and one copy home an iteration */
    assert_true(result(&r, "a", 3 * WIDTH + 2) == a[3]);
    assert_true(result(&r, "b", 2) == b);
    rig_close(&r);
}

/* A moment and what it moves: each is made where it was. Not what reads other elements of itself, nor two
 * that read each other. */
static void maps_are_made_where_they_were(void **state)
{
    Rig r;
    SnError err;
    rig_start(&r, *state,
              "program @p\n"
              "carry m: f32[16,32] = 0\n"
              "carry w: f32[16,32] = 1\n"
              "entry @main(x: f32[1,32]) {\n"
              "  %m = add (mul m 0.5) (broadcast x [16, 32])\n"
              "  ret s: (reduce add %m axes=[0])\n"
              "  next m = %m, w = sub w %m\n"
              "}\n"
              "entry @look() {\n"
              "  ret w: w\n"
              "}\n");
    bind_row(&r, 1);
    assert_int_equal(run(&r), 0);
    assert_int_equal(run(&r), 0);
    assert_true(result(&r, "s", 1) == 16 * (2 * 0.5f + 2));
    assert_ok(sn_entry(r.s, "look", &err));
    (void)run(&r);
    assert_true(result(&r, "w", 1) == 1 - 2 - 3);
    rig_close(&r);
    rig_start(&r, *state,
              "program @p\n"
              "carry a: f32[16,32] = 1\n"
              "carry b: f32[16,32] = 2\n"
              "carry c: f32[4,4] = 0\n"
              "entry @main(x: f32[1,32]) {\n"
              "  ret n: 1:i64\n"
              "  next a = add b (broadcast x [16, 32]), b = add a (broadcast x [16, 32]), "
              "       c = add (permute c perm=[1, 0]) (broadcast (iota [4] axis=0 dtype=f32) [4, 4])\n"
              "}\n"
              "entry @look() {\n"
              "  ret a: a, b: b, c: c\n"
              "}\n");
    bind_row(&r, 0);
    (void)run(&r);
    (void)run(&r);
    assert_ok(sn_entry(r.s, "look", &err));
    (void)run(&r);
    assert_true(result(&r, "a", 3) == 1 + 2 * 3 && result(&r, "b", 3) == 2 + 2 * 3);
    assert_true(result(&r, "c", 1) == 1 && result(&r, "c", 4) == 1 && result(&r, "c", 5) == 2);
    rig_close(&r);
}

#define BOTH(test) cmocka_unit_test_prestate(test, interp), cmocka_unit_test_prestate(test, native)

int main(void)
{
    static char native[] = SN_TEST_NATIVE, interp[] = "interp";
    const struct CMUnitTest tests[] = {
        BOTH(carried_cache_is_updated_without_a_copy),
        BOTH(scatter_into_a_carry_makes_no_copy),
        BOTH(cache_goes_through_loops_and_conds_in_place),
        BOTH(value_that_is_read_later_is_kept),
        BOTH(updates_read_from_what_is_updated_are_set_aside),
        BOTH(carry_that_an_entry_does_not_change_is_not_written),
        BOTH(new_values_of_a_loop_are_made_at_home),
        BOTH(maps_are_made_where_they_were),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
