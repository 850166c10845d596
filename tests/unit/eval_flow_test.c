/* eval_flow_test.c -- inputs, params, carries, functions, loops, lists and host ops under eval. */
#include "tests/unit/eval_case.h"

#include <stdlib.h>

/* ---- ops of the test ---- */

static SnValue twice_expand(SnGraph *g, const SnCall *c)
{
    return sn_add(g, c->in[0], c->in[0]);
}

/* Each string backwards, `times` copies; asks once to be called again. */
static SnStatus mirror_run(const SnHostCall *h, SnError *err)
{
    const SnView *in = &h->in[0], *out = &h->out[0];
    int64_t at = 0;
    char *calls = (char *)h->scratch;
    SN_CHECK(h->scratch_size == 8 && (uintptr_t)h->scratch % 64 == 0, err, SN_EINTERNAL,
             "mirror: bad scratch");
    if ((*calls)++ == 0)
        return SN_AGAIN;
    for (int64_t i = 0; i < in->dims[0]; i++) {
        sn_out_start(out)[i] = at;
        for (int64_t t = 0; t < h->attr[0].i; t++) {
            for (int64_t k = in->len[i] - 1; k >= 0; k--) {
                SN_CHECK(at < out->child_count, err, SN_ESHAPE, "mirror: too long");
                ((char *)out->data)[at++] = ((const char *)in->data)[in->start[i] + k];
            }
        }
        sn_out_len(out)[i] = at - out->start[i];
    }
    return SN_OK;
}

static SnStatus mirror_infer(SnGraph *g, const SnCall *c, SnTypeId *out, SnError *err)
{
    (void)err;
    SnStore *s = sn_graph_store(g);
    const SnType *t = sn_value_type(g, c->in[0]);
    *out = sn_type_list(s, SN_U8, t->ndim, t->dims,
                        sn_dim_mul(s, t->bound, sn_const_i64(s, sn_call_int(c, "times"))));
    return SN_OK;
}

static SnRef mirror_scratch(SnGraph *g, const SnCall *c)
{
    (void)c;
    return sn_const_i64(sn_graph_store(g), 8);
}

static const SnOp test_ops[] = {
    {.sig = "twice(x: F[..]) -> F[..]", .expand = twice_expand},
    {.sig = "mirror(x: list<u8>[n]; times: int = 1) -> ?",
     .run = mirror_run,
     .infer = mirror_infer,
     .scratch = mirror_scratch},
    {0},
};

static int setup(void **state)
{
    static const SnOp *const tables[] = {test_ops, NULL};
    static Case c;
    case_begin(&c, tables);
    *state = &c;
    return 0;
}

static int teardown(void **state)
{
    case_end(*state);
    return 0;
}

/* ---- leaves ---- */

static void input_binds_symbols(void **state)
{
    Case *c = *state;
    const SnValue n = sn_symbol(c->g, "n", 1, 100);
    const SnValue twice = sn_mul(c->g, n, dim(c, 2));
    const SnValue x = sn_input(c->g, "x", SN_F32, 1, &twice), y = sn_input(c->g, "y", SN_F32, 1, &n);
    float data[] = {1, 2, 3, 4};
    give(c, "x", sn_view(SN_F32, data, 1, (const int64_t[]){4}));
    give(c, "y", sn_view(SN_F32, data, 1, (const int64_t[]){2}));
    const SnValue back = sn_reshape(c->g, x, 2, (SnValue[]){n, dim(c, 2)});
    const int a0[] = {0};
    expect_f32(c, sn_reduce(c->g, "add", back, 1, a0, false), D(2), F(4, 6));
    expect_f32(c, y, D(2), F(1, 2));
    expect_ints(c, n, NO_DIMS, I(2));
    c->in[1].view.dims[0] = 3;
    expect_error(c, SN_ESHAPE, y);
    c->nin = 1;
    expect_error(c, SN_EINVAL, y);
}

static void input_strided_is_read_in_order(void **state)
{
    Case *c = *state;
    const SnValue dims[] = {dim(c, 2), dim(c, 2)};
    const SnValue x = sn_input(c->g, "x", SN_F32, 2, dims);
    float data[] = {1, 2, 3, 4};
    SnView v = sn_view(SN_F32, data, 2, (const int64_t[]){2, 2});
    v.strides[0] = 1;
    v.strides[1] = 2;
    give(c, "x", v);
    expect_f32(c, sn_neg(c->g, x), D(2, 2), F(-1, -3, -2, -4));
}

static void symbol_given_by_name(void **state)
{
    Case *c = *state;
    const SnValue n = sn_symbol(c->g, "n", 0, 9);
    int64_t three = 3;
    expect_error(c, SN_EINVAL, sn_iota(c->g, SN_I64, 0, 1, &n));
    give(c, "n", sn_view(SN_I64, &three, 0, NULL));
    expect_ints(c, sn_iota(c->g, SN_I64, 0, 1, &n), D(3), I(0, 1, 2));
}

static bool find_weight(void *self, const char *name, SnSourceTensor *out)
{
    if (strcmp(name, "w") != 0)
        return false;
    /* One byte off: files do not align. */
    *out = (SnSourceTensor){SN_F32, 1, {2}, sn_bytes((const char *)self + 1, 8)};
    return true;
}

static void param_comes_from_source(void **state)
{
    Case *c = *state;
    char bytes[9];
    memcpy(bytes + 1, F(5, 6), 8);
    const SnSource source = {.self = bytes, .find = find_weight};
    sn_graph_source(c->g, &source);
    const int64_t two = 2, three = 3;
    const SnValue w = sn_param(c->g, "w", SN_F32, 1, &two);
    expect_f32(c, sn_add(c->g, w, w), D(2), F(10, 12));
    expect_error(c, SN_EINVAL, sn_param(c->g, "v", SN_F32, 1, &three));
}

static void carry_starts_and_goes_on(void **state)
{
    Case *c = *state;
    const SnValue at = sn_carry(c->g, "at", sn_const_int(c->g, SN_I64, 10));
    sn_next(c->g, at, sn_add(c->g, at, sn_const_int(c->g, SN_I64, 1)));
    expect_ints(c, at, NO_DIMS, I(10));
    const SnNamedView *next = sn_eval_get(c->r, sn_eval_count(c->r) - 1);
    assert_string_equal(next->name, "at");
    assert_int_equal(*(const int64_t *)next->view.data, 11);
    int64_t now = *(const int64_t *)next->view.data;
    give(c, "at", sn_view(SN_I64, &now, 0, NULL));
    expect_ints(c, at, NO_DIMS, I(11));
}

/* ---- composites, functions ---- */

static void composite_expands(void **state)
{
    Case *c = *state;
    const SnValue x = f32(c, D(2), F(1, 2));
    expect_f32(c, sn_op(c->g, "twice", &x, 1, NULL, 0), D(2), F(2, 4));
}

/* fn(x: f32[m]) = x * s + m, s captured, m its own dim. */
static SnValue scale_fn(Case *c, SnValue s)
{
    SnStore *store = sn_graph_store(c->g);
    const SnRef m = sn_dim_symbol(store, "m", 0, 100, false);
    sn_fn_begin(c->g, "scale");
    const SnValue x = sn_fn_arg(c->g, sn_type_tensor(store, SN_F32, 1, &m));
    const SnValue n = sn_cast(c->g, sn_dim(c->g, x, 0), SN_F32);
    return sn_fn_end(c->g, sn_add(c->g, sn_mul(c->g, x, s), n));
}

static void call_binds_dims_and_captures(void **state)
{
    Case *c = *state;
    const SnValue fn = scale_fn(c, f32(c, D(1), F(10)));
    const SnValue x = f32(c, D(2), F(1, 2)), y = f32(c, D(3), F(1, 2, 3));
    expect_f32(c, sn_call(c->g, fn, 1, &x), D(2), F(12, 22));
    expect_f32(c, sn_call(c->g, fn, 1, &y), D(3), F(13, 23, 33));
}

static void cond_takes_one_branch(void **state)
{
    Case *c = *state;
    SnStore *s = sn_graph_store(c->g);
    sn_fn_begin(c->g, "then");
    SnValue x = sn_fn_arg(c->g, sn_type_scalar(s, SN_F32));
    const SnValue then_fn = sn_fn_end(c->g, sn_neg(c->g, x));
    sn_fn_begin(c->g, "else");
    x = sn_fn_arg(c->g, sn_type_scalar(s, SN_F32));
    const SnValue else_fn = sn_fn_end(c->g, sn_add(c->g, x, x));
    const SnValue p = sn_input(c->g, "p", SN_BOOL, 0, NULL), three = sn_const(c->g, SN_F32, 3);
    uint8_t flag = 1;
    give(c, "p", sn_view(SN_BOOL, &flag, 0, NULL));
    const SnValue y = sn_cond(c->g, p, then_fn, else_fn, 1, &three);
    expect_f32(c, y, NO_DIMS, F(-3));
    flag = 0;
    expect_f32(c, y, NO_DIMS, F(6));
}

/* ---- loops ---- */

/* carried sum += row; row out = sum * k (captured). while sum < limit, if there is a limit. */
static SnValue sum_loop(Case *c, SnValue rows, SnValue bound, SnValue k, SnValue limit)
{
    SnStore *s = sn_graph_store(c->g);
    const SnTypeId index = sn_type_scalar(s, SN_I64), scalar = sn_type_scalar(s, SN_F32);
    SnValue test = sn_none();
    sn_fn_begin(c->g, "body");
    (void)sn_fn_arg(c->g, index);
    const SnValue sum = sn_fn_arg(c->g, scalar), row = sn_fn_arg(c->g, scalar), next = sn_add(c->g, sum, row);
    const SnValue body = sn_fn_end(c->g, sn_tuple(c->g, 2, (SnValue[]){next, sn_mul(c->g, next, k)}, NULL));
    if (limit.ref != 0) {
        sn_fn_begin(c->g, "while");
        (void)sn_fn_arg(c->g, index);
        const SnValue now = sn_fn_arg(c->g, scalar);
        test = sn_fn_end(c->g, sn_lt(c->g, now, limit));
    }
    const SnValue zero = sn_const(c->g, SN_F32, 0);
    return sn_loop(c->g, body, test, bound, 1, &zero, 1, &rows);
}

static void loop_carries_scans_and_stacks(void **state)
{
    Case *c = *state;
    const SnValue rows = f32(c, D(4), F(1, 2, 3, 4)), k = sn_neg(c->g, f32(c, D(1), F(-2)));
    const SnValue scalar_k = sn_reshape(c->g, k, 0, NULL);
    SnValue r = sum_loop(c, rows, dim(c, 4), scalar_k, sn_none());
    expect_f32(c, sn_get(c->g, r, 0), NO_DIMS, F(10));
    expect_f32(c, sn_get(c->g, r, 1), D(4), F(2, 6, 12, 20));
    expect_ints(c, sn_get(c->g, r, 2), NO_DIMS, I(4));
    r = sum_loop(c, rows, dim(c, 4), scalar_k, sn_const(c->g, SN_F32, 3));
    expect_f32(c, sn_get(c->g, r, 0), NO_DIMS, F(3));
    expect_f32(c, sn_get(c->g, r, 1), D(4), F(2, 6, 0, 0));
    expect_ints(c, sn_get(c->g, r, 2), NO_DIMS, I(2));
}

static void loop_without_trips(void **state)
{
    Case *c = *state;
    const SnValue rows = f32(c, D(2), F(1, 2)), none = f32(c, D(0), F(0)), k = sn_const(c->g, SN_F32, 1);
    SnValue r = sum_loop(c, rows, dim(c, 2), k, sn_const(c->g, SN_F32, -1));
    expect_f32(c, sn_get(c->g, r, 0), NO_DIMS, F(0));
    expect_f32(c, sn_get(c->g, r, 1), D(2), F(0, 0));
    expect_ints(c, sn_get(c->g, r, 2), NO_DIMS, I(0));
    r = sum_loop(c, none, dim(c, 0), k, sn_none());
    expect_f32(c, sn_get(c->g, r, 1), D(0), F(0));
}

static void loop_needs_as_many_rows_as_trips(void **state)
{
    Case *c = *state;
    const SnValue n = sn_symbol(c->g, "n", 0, 9), rows = sn_input(c->g, "x", SN_F32, 1, &n);
    float data[] = {1, 2};
    give(c, "x", sn_view(SN_F32, data, 1, (const int64_t[]){2}));
    const SnValue r = sum_loop(c, rows, dim(c, 3), sn_const(c->g, SN_F32, 1), sn_none());
    expect_error(c, SN_ESHAPE, sn_get(c->g, r, 0));
}

static void combiner_function_reduces_and_scans(void **state)
{
    Case *c = *state;
    SnStore *s = sn_graph_store(c->g);
    const SnTypeId scalar = sn_type_scalar(s, SN_F32);
    sn_fn_begin(c->g, "affine"); /* (a, b) then (p, q): x -> p (a x + b) + q */
    SnValue in[4];
    for (int i = 0; i < 4; i++)
        in[i] = sn_fn_arg(c->g, scalar);
    const SnValue slope = sn_mul(c->g, in[0], in[2]);
    const SnValue offset = sn_add(c->g, sn_mul(c->g, in[2], in[1]), in[3]);
    const SnValue fn = sn_fn_end(c->g, sn_tuple(c->g, 2, (SnValue[]){slope, offset}, NULL));
    const SnValue xs[] = {fn, f32(c, D(3), F(2, 3, 4)), f32(c, D(3), F(1, 1, 1)), sn_const(c->g, SN_F32, 1),
                          sn_const(c->g, SN_F32, 0)};
    const SnAttr reduce[] = {SN_STRING("fn", "fn"), SN_INTS("axes", I(0), 1)};
    const SnAttr scan[] = {SN_STRING("fn", "fn"), SN_INT("axis", 0)};
    const SnValue r = sn_op(c->g, "reduce", xs, 5, reduce, 2), t = sn_op(c->g, "scan", xs, 5, scan, 2);
    expect_f32(c, sn_get(c->g, r, 0), NO_DIMS, F(24));
    expect_f32(c, sn_get(c->g, r, 1), NO_DIMS, F(17));
    expect_f32(c, sn_get(c->g, t, 0), D(3), F(2, 6, 24));
    expect_f32(c, sn_get(c->g, t, 1), D(3), F(1, 4, 17));
}

static void measure_beyond_bound_fails(void **state)
{
    Case *c = *state;
    const SnValue n = sn_input(c->g, "n", SN_I32, 0, NULL), m = sn_measure(c->g, n, dim(c, 4));
    int32_t v = 3;
    give(c, "n", sn_view(SN_I32, &v, 0, NULL));
    expect_ints(c, sn_iota(c->g, SN_I64, 0, 1, &m), D(3), I(0, 1, 2));
    v = 5;
    expect_error(c, SN_ESHAPE, m);
    v = -1;
    expect_error(c, SN_ESHAPE, m);
}

/* ---- lists ---- */

static SnValue words(Case *c)
{
    static char text[] = "onetwothree";
    static int64_t start[] = {0, 3, 6}, len[] = {3, 3, 5};
    const SnValue n = dim(c, 3);
    SnView v = sn_view(SN_U8, text, 1, (const int64_t[]){3});
    v.start = start;
    v.len = len;
    v.child_count = 11;
    if (c->nin == 0)
        give(c, "words", v);
    return sn_input_list(c->g, "words", SN_U8, 1, &n);
}

static SnValue letters(Case *c)
{
    const SnValue child = sn_cast(c->g, i64(c, D(4), I('a', 'b', 'c', 'd')), SN_U8);
    return sn_list(c->g, i64(c, D(3), I(0, 0, 2)), i64(c, D(3), I(1, 2, 2)), child);
}

static void lists_move_by_start_and_len(void **state)
{
    Case *c = *state;
    const SnValue w = words(c), i = i64(c, D(4), I(2, 0, -1, 5));
    const int a0[] = {0};
    expect_text(c, w, "one|two|three");
    expect_text(c, letters(c), "a|ab|cd");
    expect_text(c, sn_gather(c->g, w, 1, a0, &i, "clamp"), "three|one|one|three");
    expect_text(c, sn_gather(c->g, w, 1, a0, &i, "zero"), "three|one||");
    expect_text(c, sn_flip(c->g, w, 1, a0), "three|two|one");
    expect_text(c, sn_concat(c->g, 2, (SnValue[]){w, letters(c)}, 0), "one|two|three|a|ab|cd");
    expect_text(c, sn_concat(c->g, 2, (SnValue[]){w, w}, 0), "one|two|three|one|two|three");
    expect_text(c, sn_where(c->g, flags(c, D(3), B(1, 0, 0)), w, letters(c)), "one|ab|cd");
    expect_text(c, sn_compact(c->g, w, flags(c, D(3), B(0, 1, 1)), dim(c, 3)), "two|three");
    expect_text(c, sn_slice_axis(c->g, w, 0, dim(c, 1), dim(c, 2)), "two|three");
}

static void lists_come_apart(void **state)
{
    Case *c = *state;
    const SnValue w = letters(c);
    expect_ints(c, sn_get(c->g, w, 1), D(3), I(1, 2, 2));
    expect_ints(c, sn_op(c->g, "offsets", &w, 1, NULL, 0), D(4), I(0, 1, 3, 5));
    const SnValue m = dim(c, 5);
    expect_ints(c, sn_op(c->g, "values", (SnValue[]){w, m}, 2, NULL, 0), D(5), I('a', 'a', 'b', 'c', 'd'));
    const SnValue bad = sn_list(c->g, i64(c, D(1), I(3)), i64(c, D(1), I(2)),
                                sn_cast(c->g, i64(c, D(4), I(1, 2, 3, 4)), SN_U8));
    expect_error(c, SN_ESHAPE, bad);
}

static void input_list_outside_child_fails(void **state)
{
    Case *c = *state;
    const SnValue w = words(c);
    c->in[0].view.child_count = 10;
    expect_error(c, SN_ESHAPE, w);
}

static void loop_stacks_lists(void **state)
{
    Case *c = *state;
    SnStore *s = sn_graph_store(c->g);
    sn_fn_begin(c->g, "row");
    const SnValue i = sn_fn_arg(c->g, sn_type_scalar(s, SN_I64));
    const SnValue one = sn_const_int(c->g, SN_I64, 1), n = sn_add(c->g, i, one);
    const SnValue child = sn_cast(c->g, i64(c, D(3), I('x', 'y', 'z')), SN_U8);
    const SnValue row = sn_list(c->g, sn_sub(c->g, one, one), n, child);
    const SnValue body = sn_fn_end(c->g, sn_tuple(c->g, 1, &row, NULL));
    const SnValue r = sn_loop(c->g, body, sn_none(), dim(c, 3), 0, NULL, 0, NULL);
    expect_text(c, sn_get(c->g, r, 0), "x|xy|xyz");
}

static void host_op_gets_capacity_and_scratch(void **state)
{
    Case *c = *state;
    const SnValue w = words(c);
    const SnAttr times = SN_INT("times", 2);
    expect_text(c, sn_op(c->g, "mirror", &w, 1, NULL, 0), "eno|owt|eerht");
    expect_text(c, sn_op(c->g, "mirror", &w, 1, &times, 1), "enoeno|owtowt|eerhteerht");
}

/* ---- folding ---- */

static void const_folds_pure_terms_only(void **state)
{
    Case *c = *state;
    SnStore *s = sn_graph_store(c->g);
    const SnValue n = dim(c, 3), x = sn_iota(c->g, SN_F32, 0, 1, &n), y = sn_exp(c->g, sn_add(c->g, x, x));
    SnArena arena;
    SnBytes bytes;
    sn_arena_init(&arena, sn_allocator(c->ctx));
    assert_true(sn_eval_const(s, y.ref, 3, &arena, &bytes));
    assert_int_equal(bytes.n, 12);
    float got[3];
    memcpy(got, bytes.at, sizeof got);
    assert_true(got[0] == 1.0F && got[1] == 7.38905621F);
    assert_false(sn_eval_const(s, y.ref, 2, &arena, &bytes));
    const SnValue in = sn_input(c->g, "x", SN_F32, 1, &n);
    assert_false(sn_eval_const(s, sn_neg(c->g, in).ref, 100, &arena, &bytes));
    sn_arena_clear(&arena);
}

/* ---- memory ---- */

typedef struct Scarce {
    int left; /* allocations that still succeed */
    bool has_failed;
} Scarce;

static void *scarce_resize(void *self, void *ptr, size_t old_size, size_t new_size, size_t align)
{
    Scarce *s = (Scarce *)self;
    (void)old_size;
    (void)align;
    if (new_size == 0) {
        free(ptr);
        return NULL;
    }
    s->has_failed = s->has_failed || s->left-- <= 0;
    return s->has_failed ? NULL : realloc(ptr, new_size);
}

/* A loop, a list, a sum, a sort, an expansion and a host op. */
static void build_some(Case *c)
{
    const SnValue n = sn_const_int(c->g, SN_I64, 300), w = words(c);
    const SnValue x = sn_exp(c->g, sn_iota(c->g, SN_F32, 0, 1, &n)), k = sn_const(c->g, SN_F32, 1);
    const SnValue r = sum_loop(c, x, n, k, sn_const(c->g, SN_F32, 100));
    const SnValue sorted = sn_sort(c->g, 1, &x, 1, 0, true, 0);
    sn_output(c->g, "stack", sn_get(c->g, r, 1));
    sn_output(c->g, "dot", sn_contract(c->g, "i,i->", x, sn_get(c->g, sorted, 0), SN_F32));
    sn_output(c->g, "text", sn_op(c->g, "mirror", &w, 1, NULL, 0));
}

static void lack_of_memory_is_an_error(void **state)
{
    static const SnOp *const tables[] = {test_ops, NULL};
    const SnCompilerDesc desc = {.struct_size = sizeof desc, .ops = tables};
    (void)state;
    bool is_done = false;
    for (int n = 0; !is_done; n++) {
        Scarce scarce = {.left = INT32_MAX};
        const SnContextDesc context = {.struct_size = sizeof context, .memory = {&scarce, scarce_resize}};
        Case c = {0};
        SnError err;
        assert_ok(sn_context_create(&context, &c.ctx, &err));
        assert_ok(sn_compiler_create(c.ctx, &desc, &c.cc, &err));
        assert_ok(sn_graph_create(c.cc, &c.g, &err));
        build_some(&c);
        const SnRef root = sn_graph_root(c.g);
        assert_ok(sn_graph_check(c.g, &err));
        scarce.left = n;
        const SnStatus st = sn_eval(c.g, root, NULL, c.in, c.nin, &c.r, &err);
        is_done = !scarce.has_failed;
        if (st != (is_done ? SN_OK : SN_ENOMEM))
            fail_msg("allocation %d failed: %s: %s", n, sn_status_name(st), err.message);
        case_end(&c);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(input_binds_symbols, setup, teardown),
        cmocka_unit_test_setup_teardown(input_strided_is_read_in_order, setup, teardown),
        cmocka_unit_test_setup_teardown(symbol_given_by_name, setup, teardown),
        cmocka_unit_test_setup_teardown(param_comes_from_source, setup, teardown),
        cmocka_unit_test_setup_teardown(carry_starts_and_goes_on, setup, teardown),
        cmocka_unit_test_setup_teardown(composite_expands, setup, teardown),
        cmocka_unit_test_setup_teardown(call_binds_dims_and_captures, setup, teardown),
        cmocka_unit_test_setup_teardown(cond_takes_one_branch, setup, teardown),
        cmocka_unit_test_setup_teardown(loop_carries_scans_and_stacks, setup, teardown),
        cmocka_unit_test_setup_teardown(loop_without_trips, setup, teardown),
        cmocka_unit_test_setup_teardown(loop_needs_as_many_rows_as_trips, setup, teardown),
        cmocka_unit_test_setup_teardown(combiner_function_reduces_and_scans, setup, teardown),
        cmocka_unit_test_setup_teardown(measure_beyond_bound_fails, setup, teardown),
        cmocka_unit_test_setup_teardown(lists_move_by_start_and_len, setup, teardown),
        cmocka_unit_test_setup_teardown(lists_come_apart, setup, teardown),
        cmocka_unit_test_setup_teardown(input_list_outside_child_fails, setup, teardown),
        cmocka_unit_test_setup_teardown(loop_stacks_lists, setup, teardown),
        cmocka_unit_test_setup_teardown(host_op_gets_capacity_and_scratch, setup, teardown),
        cmocka_unit_test_setup_teardown(const_folds_pure_terms_only, setup, teardown),
        cmocka_unit_test(lack_of_memory_is_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
