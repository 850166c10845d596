/* Streams: rows of a loop, read between slices and from inside of a run. */
#include "compiler/pass.h"
#include "tests/unit/rig.h"

#include <stdlib.h>

enum { WIDTH = 3, LONGEST = 12 };

/* Each row of `sum` is a vector, each of `text` a list of its own length; `last` stops it before the bound.
 */
static const char program[] = "program @p\n"
                              "dims t in 0..12\n"
                              "fn @more(i: i64, h: f32[3]; last: i64) { ret = lt i last }\n"
                              "fn @body(i: i64, h: f32[3]; last: i64) {\n"
                              "  %s = add (mul h 0.5) (cast i f32)\n"
                              "  %c = cast (add (iota [4] axis=0) (mul i 4)) u8\n"
                              "  %l = list 0 (add 1 (mod i 4)) %c\n"
                              "  ret = tuple %s | %s, %l\n"
                              "}\n"
                              "entry @main(x: f32[t], h: f32[3], last: i64) {\n"
                              "  %l = loop bound=t while=@more body=@body (h); last\n"
                              "  ret stream sum: %l.1, stream text: %l.2, total: (reduce add x axes=[0]), "
                              "again: %l.1, trips: %l.3\n"
                              "}\n";

static Rig open_rig(const char *target)
{
    Rig r = {0};
    rig_open(&r, target, NULL);
    return r;
}

static void bind(Rig *r, const int64_t *last)
{
    static float x[LONGEST], h[WIDTH] = {1, -2, 3};
    SnError err;
    const SnView vx = sn_view(SN_F32, x, 1, (int64_t[]){LONGEST}),
                 vh = sn_view(SN_F32, h, 1, (int64_t[]){WIDTH});
    const SnView vlast = sn_view(SN_I64, (void *)(uintptr_t)last, 0, NULL);
    assert_ok(sn_bind(r->s, "x", &vx, &err));
    assert_ok(sn_bind(r->s, "h", &vh, &err));
    assert_ok(sn_bind(r->s, "last", &vlast, &err));
}

static void check_text(const SnView *v, uint64_t first)
{
    for (int64_t i = 0; i < v->dims[0]; i++) {
        const int64_t row = (int64_t)first + i;
        assert_int_equal(v->len[i], 1 + row % 4);
        assert_true(v->start[i] >= 0 && v->start[i] + v->len[i] <= v->child_count);
        for (int64_t k = 0; k < v->len[i]; k++)
            assert_int_equal(((const uint8_t *)v->data)[v->start[i] + k], 4 * row + k);
    }
}

static void rows_can_be_read_between_slices(void **state)
{
    SnError err;
    Rig r = open_rig(*state);
    SnView v, whole;
    const int64_t last[] = {9, 100, 0};
    assert_ok(rig_compile(&r, program, &err));
    assert_fails(SN_EINVAL, sn_rows(r.s, "sum", 0, &v, &err));
    for (size_t k = 0; k < SN_COUNT(last); k++) {
        const int64_t trips = last[k] < LONGEST ? last[k] : LONGEST;
        const float *lent = NULL;
        float seen[LONGEST * WIDTH];
        int64_t n = 0, polls_with_part = 0;
        bool done = false;
        bind(&r, &last[k]);
        while (!done) {
            assert_ok(sn_run_some(r.s, 1, &done, &err));
            assert_ok(sn_rows(r.s, "text", 0, &v, &err));
            check_text(&v, 0);
            assert_ok(sn_rows(r.s, "sum", (uint64_t)n, &v, &err));
            if (v.dims[0] > 0) {
                lent = lent ? lent : (const float *)v.data - n * WIDTH;
                assert_ptr_equal(v.data, lent + n * WIDTH);
                memcpy(seen + n * WIDTH, v.data, (size_t)(v.dims[0] * WIDTH) * sizeof *seen);
                n += v.dims[0];
            }
            polls_with_part += n > 0 && n < trips;
        }
        assert_int_equal(n, trips);
        assert_true(trips == 0 || polls_with_part > 0);
        assert_ok(sn_result(r.s, "sum", &whole, &err));
        assert_true(!lent || whole.data == lent); /* the loop stacked straight into the result */
        assert_memory_equal(whole.data, seen, (size_t)(trips * WIDTH) * sizeof *seen);
        assert_ok(sn_result(r.s, "again", &v, &err));
        assert_memory_equal(whole.data, v.data, LONGEST * WIDTH * sizeof *seen);
        assert_fails(SN_EINVAL, sn_rows(r.s, "sum", (uint64_t)trips + 1, &v, &err));
    }
    rig_close(&r);
}

typedef struct Reader {
    uint64_t next;
    uint32_t calls;
    float row[LONGEST * WIDTH];
} Reader;

static void read_sum(void *user, uint64_t first, const SnView *rows)
{
    Reader *to = user;
    assert_int_equal(first, to->next);
    memcpy(to->row + first * WIDTH, rows->data, (size_t)(rows->dims[0] * WIDTH) * sizeof *to->row);
    to->next += (uint64_t)rows->dims[0];
    to->calls++;
}

static void read_text(void *user, uint64_t first, const SnView *rows)
{
    check_text(rows, first);
    *(uint64_t *)user += (uint64_t)rows->dims[0];
}

static void readers_hear_of_each_row_and_change_no_bit(void **state)
{
    SnError err;
    Rig r = open_rig(*state);
    Reader sum = {0};
    SnView v;
    uint64_t text = 0;
    const int64_t last = 100;
    float alone[LONGEST * WIDTH];
    assert_ok(rig_compile(&r, program, &err));
    for (uint32_t i = 0; i < 5; i++) {
        SnSlotInfo info;
        assert_true(sn_program_output(r.p, NULL, i, &info));
        assert_int_equal(info.is_stream, strcmp(info.name, "sum") == 0 || strcmp(info.name, "text") == 0);
    }
    bind(&r, &last);
    assert_ok(sn_run(r.s, &err));
    assert_ok(sn_result(r.s, "sum", &v, &err));
    memcpy(alone, v.data, sizeof alone);
    assert_fails(SN_EINVAL, sn_on_rows(r.s, "again", read_sum, &sum, &err));
    assert_ok(sn_on_rows(r.s, "sum", read_sum, &sum, &err));
    assert_ok(sn_on_rows(r.s, "text", read_text, &text, &err));
    for (int i = 0; i < 2; i++) {
        sum.next = text = 0;
        sum.calls = 0;
        assert_ok(sn_run(r.s, &err));
        assert_int_equal(sum.next, LONGEST);
        assert_int_equal(sum.calls, LONGEST);
        assert_int_equal(text, LONGEST);
        assert_memory_equal(sum.row, alone, sizeof alone);
    }
    assert_ok(sn_on_rows(r.s, "sum", NULL, NULL, &err));
    assert_ok(sn_run(r.s, &err));
    assert_int_equal(sum.calls, LONGEST);
    rig_close(&r);
}

static void only_rows_of_a_loop_of_the_entry_stream(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "fn @body(i: i64, h: f32[3]) { ret = tuple h | h }\n"
        "entry @main(h: f32[3]) {\n  ret stream y: (neg (loop bound=4 body=@body (h)).1)\n}\n",
        "fn @body(i: i64, h: f32[3]) { ret = tuple h | h }\n"
        "entry @main(h: f32[3]) {\n  ret stream y: (loop bound=4 body=@body (h)).0\n}\n",
        "fn @body(i: i64, h: f32[3]) { ret = tuple h | h }\n"
        "fn @some(h: f32[3]) { ret = (loop bound=4 body=@body (h)).1 }\n"
        "fn @zero(h: f32[3]) { ret = broadcast 0.0 [4,3] }\n"
        "entry @main(h: f32[3], p: bool) {\n  ret stream y: (cond p @some @zero (h))\n}\n",
        "entry @main(h: f32[3]) {\n  ret stream y: h\n}\n",
    };
    SnError err;
    for (size_t i = 0; i < SN_COUNT(bad); i++) {
        Rig r = open_rig("interp");
        assert_fails(SN_EINVAL, rig_compile(&r, bad[i], &err));
        assert_string_equal(err.message, "stream y: must be stacked rows of a loop in the entry itself");
        rig_close(&r);
    }
    Rig r = open_rig("interp");
    assert_fails(SN_EINVAL, rig_compile(&r, "entry @main(h: f32) {\n  ret stream y: h\n}\n", &err));
    assert_non_null(strstr(err.message, "stream y: not a tensor or list with rows"));
    rig_close(&r);
}

static void a_loop_in_a_called_function_streams(void **state)
{
    SnError err;
    Rig r = open_rig(*state);
    float h[WIDTH] = {1, 2, 3};
    Reader sum = {0};
    assert_ok(rig_compile(&r,
                          "fn @body(i: i64, h: f32[3]) { ret = tuple (add h 1.0) | h }\n"
                          "fn @some(h: f32[3]) { ret = (loop bound=4 body=@body (h)).1 }\n"
                          "entry @main(h: f32[3]) {\n  ret stream y: (call @some h)\n}\n",
                          &err));
    const SnView v = sn_view(SN_F32, h, 1, (int64_t[]){WIDTH});
    assert_ok(sn_bind(r.s, "h", &v, &err));
    assert_ok(sn_on_rows(r.s, "y", read_sum, &sum, &err));
    assert_ok(sn_run(r.s, &err));
    assert_int_equal(sum.next, 4);
    for (int i = 0; i < 4 * WIDTH; i++)
        assert_true(sum.row[i] == h[i % WIDTH] + (float)(i / WIDTH));
    rig_close(&r);
}

static void text_form_keeps_the_mark(void **state)
{
    (void)state;
    SnError err;
    Rig r = open_rig("interp");
    SnText text = {.memory = sn_allocator(r.ctx)};
    assert_ok(sn_graph_parse(r.g, "test", sn_bytes_str(program), &err));
    assert_ok(sn_graph_print(r.g, &text, &err));
    assert_non_null(strstr(text.at, "ret stream sum: %"));
    assert_non_null(strstr(text.at, ", stream text: %"));
    assert_non_null(strstr(text.at, ", again: %"));
    sn_text_clear(&text);
    rig_close(&r);
}

static void verifier_wants_what_a_loop_stacks(void **state)
{
    (void)state;
    SnError err;
    Rig r = open_rig("interp");
    SnArena arena;
    sn_arena_init(&arena, sn_allocator(r.ctx));
    SnStore *s = sn_graph_store(r.g);
    const SnValue x = sn_input(r.g, "x", SN_F32, 1, (SnValue[]){sn_const_int(r.g, SN_I64, 4)});
    static const char *const name[] = {"y"}, *const other[] = {"z"};
    SnPass p = {.ctx = r.ctx, .cc = r.cc, .g = r.g, .s = s, .arena = &arena};
    for (int i = 0; i < 2; i++) {
        const SnAttr entry[] = {SN_STRING("name", "main"), SN_NAMES("streams", i ? other : name, 1)};
        SnRef tuple = 0, made = 0, root = 0;
        assert_ok(sn_term_build(s, SN_OP_TUPLE, sn_attrs_make(s, &SN_NAMES("names", name, 1), 1), &x.ref, 1,
                                &tuple, &err));
        assert_ok(sn_term_build(s, SN_OP_ENTRY, sn_attrs_make(s, entry, 2), &tuple, 1, &made, &err));
        assert_ok(sn_term_build(s, SN_OP_PROGRAM, 0, &made, 1, &root, &err));
        p.flags = i ? 0 : SN_PASS_EXPANDED | SN_PASS_INLINED | SN_PASS_FLAT;
        assert_fails(SN_EINTERNAL, sn_verify(&p, root, &err));
        assert_non_null(
            strstr(err.message, i ? "stream z is no result" : "stream y is not what a loop stacks"));
    }
    sn_arena_clear(&arena);
    rig_close(&r);
}

int main(void)
{
    static char native[] = SN_TEST_NATIVE, interp[] = "interp";
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_prestate(rows_can_be_read_between_slices, interp),
        cmocka_unit_test_prestate(rows_can_be_read_between_slices, native),
        cmocka_unit_test_prestate(readers_hear_of_each_row_and_change_no_bit, interp),
        cmocka_unit_test_prestate(readers_hear_of_each_row_and_change_no_bit, native),
        cmocka_unit_test_prestate(a_loop_in_a_called_function_streams, interp),
        cmocka_unit_test_prestate(a_loop_in_a_called_function_streams, native),
        cmocka_unit_test(only_rows_of_a_loop_of_the_entry_stream),
        cmocka_unit_test(text_form_keeps_the_mark),
        cmocka_unit_test(verifier_wants_what_a_loop_stacks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
