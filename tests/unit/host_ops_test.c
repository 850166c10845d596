/* host_ops_test.c -- lists to padded tensors, and the capacities that rows of host ops state. */
#include "ops/host/tokenize.h"
#include "ops/ops.h"
#include "tests/unit/fixture.h"

static int setup(void **state)
{
    return fixture_open(state, sn_all_ops);
}

static void assert_type(SnGraph *g, SnValue v, const char *expected)
{
    SnText t = {.memory = sn_allocator(sn_store_context(sn_graph_store(g)))};
    SnError err = {0};
    assert_ok(sn_graph_check(g, &err));
    sn_type_print(sn_graph_store(g), sn_term(sn_graph_store(g), v.ref)->type, &t);
    assert_string_equal(t.at, expected);
    sn_text_clear(&t);
}

static SnValue list(SnGraph *g, const char *name, SnDtype dtype)
{
    return sn_input_list(g, name, dtype, 1, (const SnValue[]){sn_symbol(g, "b", 0, 64)});
}

/* [[5, 6, 7], [], [8]], whose parts do not lie in order. */
static const int32_t child[] = {8, 99, 5, 6, 7};
static const int64_t start[] = {2, 0, 0}, len[] = {3, 0, 1};

static void run(Fixture *f)
{
    SnError err = {0};
    const int64_t rows = 3;
    SnView v = sn_view(SN_I32, (void *)(uintptr_t)child, 1, &rows);
    v.start = start;
    v.len = len;
    v.child_count = SN_COUNT(child);
    const SnNamedView in = {"x", v};
    const SnRef root = sn_graph_root(f->g);
    assert_ok(sn_graph_check(f->g, &err));
    assert_ok(sn_eval(f->g, root, "main", &in, 1, &f->result, &err));
}

static void expect(const Fixture *f, size_t i, const int64_t *dims, int ndim, const int32_t *values)
{
    const SnView *const v = &sn_eval_get(f->result, i)->view;
    int64_t n = 1;
    assert_int_equal(v->ndim, ndim);
    for (int k = 0; k < ndim; k++) {
        assert_int_equal(v->dims[k], dims[k]);
        n *= dims[k];
    }
    for (int64_t k = 0; k < n; k++) {
        const size_t at = (size_t)k * sn_dtype_size(v->dtype);
        assert_int_equal(sn_scalar_load(v->dtype, (const uint8_t *)v->data + at).i, values[k]);
    }
}

static void lists_are_padded_to_the_longest(void **state)
{
    Fixture *const f = *state;
    SnGraph *const g = f->g;
    const SnValue x = list(g, "x", SN_I32);
    const SnValue width = sn_measure(g, sn_list_max_len(g, x), sn_const_int(g, SN_I64, 16));
    sn_output(g, "right", sn_pad_list(g, x, width, -1, false));
    sn_output(g, "left", sn_pad_list(g, x, width, 0, true));
    sn_output(g, "mask", sn_pad_mask(g, x, width, SN_I64, false));
    sn_output(g, "left_mask", sn_pad_mask(g, x, width, SN_I32, true));
    sn_output(g, "len", sn_list_len(g, x));
    run(f);
    const int64_t dims[] = {3, 3};
    expect(f, 0, dims, 2, (const int32_t[]){5, 6, 7, -1, -1, -1, 8, -1, -1});
    expect(f, 1, dims, 2, (const int32_t[]){5, 6, 7, 0, 0, 0, 0, 0, 8});
    expect(f, 2, dims, 2, (const int32_t[]){1, 1, 1, 0, 0, 0, 1, 0, 0});
    expect(f, 3, dims, 2, (const int32_t[]){1, 1, 1, 0, 0, 0, 0, 0, 1});
    expect(f, 4, dims, 1, (const int32_t[]){3, 0, 1});
}

static void lists_are_cut_to_a_width(void **state)
{
    Fixture *const f = *state;
    const SnValue x = list(f->g, "x", SN_I32);
    sn_output(f->g, "y", sn_pad_list(f->g, x, sn_const_int(f->g, SN_I64, 2), 0, false));
    run(f);
    expect(f, 0, (const int64_t[]){3, 2}, 2, (const int32_t[]){5, 6, 0, 0, 8, 0});
}

static void rows_state_capacities(void **state)
{
    SnGraph *const g = ((Fixture *)*state)->g;
    const SnValue tok = sn_object(g, "tok", "tokenizer", sn_bytes_str("table")), text = list(g, "t", SN_U8);
    const SnValue size = {sn_value_type(g, text)->bound, 0}, three = sn_const_int(g, SN_I64, 3);
    const SnValue bare =
        sn_op_tok_encode(g, tok, text, sn_mul(g, size, three), (SnValue){0}, false, 1 << 20, 0);
    assert_type(
        g, bare,
        "tuple<ids: list<i32>[b] max=3*t.size, offset: list<i32>[b] max=0, word_id: list<i32>[b] max=0, "
        "about: list<i32>[b] max=0, own: list<u8>[b] max=0>");
    const SnValue room = sn_measure(g, sn_op_tok_room(g, tok, text), sn_mul(g, size, three));
    assert_type(g, sn_get(g, sn_op_tok_encode(g, tok, text, room, (SnValue){0}, true, 0, 0), 4),
                "list<u8>[b] max=0");
    const SnValue ids = sn_op_tok_encode(g, tok, text, sn_add(g, size, size), (SnValue){0}, true, 0, 0);
    assert_type(g, sn_get(g, ids, 1), "list<i32>[b] max=4*t.size");
    const SnValue in[] = {sn_get(g, ids, 0), sn_get(g, ids, 1), sn_get(g, ids, 2)};
    const SnValue none = sn_none();
    const SnValue out =
        sn_op_tok_window(g, tok, in[0], in[1], in[2], none, none, none, 128, 0, 0, false, true, 0, 2);
    assert_type(g, sn_get(g, out, 0), "list<i32>[b] max=2*b+2*t.size");
    assert_type(g, sn_get(g, out, 3), "list<i32>[b] max=4*b+4*t.size");
    assert_type(g, sn_get(g, out, 6), "i32[b]");
    assert_type(g, sn_get(g, out, 7), "i64");
    const SnValue wide =
        sn_op_tok_window(g, tok, in[0], in[1], in[2], none, none, none, 8, 2, 0, false, true, 5, 0);
    assert_type(g, sn_get(g, wide, 5), "list<i32>[5] max=2*t.size+40");
    assert_type(g, sn_op_tok_decode(g, tok, in[0], true, 7), "list<u8>[b] max=16*t.size");
}

int main(void)
{
#define CASE(fn) cmocka_unit_test_setup_teardown(fn, setup, fixture_close)
    const struct CMUnitTest tests[] = {
        CASE(lists_are_padded_to_the_longest),
        CASE(lists_are_cut_to_a_width),
        CASE(rows_state_capacities),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
