/* primitives_test.c -- every primitive through fuse, lower and the interpreter, against sn_eval.
 *
 * Sums are compared by tolerance, everything else bit by bit. */
#include "tests/ops/lowered.h"

#define SIZES_SMALL "n=1 m=1 k=1 b=1"
#define SIZES_ODD   "n=17 m=5 k=3 b=2"
#define SIZES_LANES "n=32 m=64 k=16 b=2"
#define SIZES_LONG  "n=35 m=130 k=33 b=2"
#define SIZES_EMPTY "n=0 m=5 k=3 b=2"
#define SIZES_NONE  "n=5 m=0 k=0 b=2"

static const char *const all_sizes[] = {SIZES_SMALL, SIZES_ODD,   SIZES_LANES,
                                        SIZES_LONG,  SIZES_EMPTY, SIZES_NONE};

#define F32_SUM 1e-4
#define F16_SUM 2e-2

static SnValue in(Lowered *t, const char *name, const char *dims)
{
    return lowered_input(t, name, t->spec->dtype != SN_NODTYPE ? t->spec->dtype : SN_F32, dims);
}

static SnValue dim(Lowered *t, const char *text)
{
    return lowered_dim(t, &text);
}

static SnValue i64(Lowered *t, int64_t v)
{
    return sn_const_int(t->g, SN_I64, v);
}

static void check_some_sizes(LoweredSpec spec, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        spec.sizes = all_sizes[i];
        spec.seed = 1 + i;
        lowered_check(&spec);
    }
}

static void check_sizes(LoweredSpec spec)
{
    check_some_sizes(spec, SN_COUNT(all_sizes));
}

/* ---- elementwise ---- */

static const SnDtype floats[] = {SN_F32, SN_F64, SN_F16, SN_BF16};
static const SnDtype ints[] = {SN_I8, SN_I16, SN_I32, SN_I64, SN_U8, SN_U16, SN_U32, SN_U64};

static void unary_build(Lowered *t)
{
    lowered_out(t, sn_op(t->g, t->spec->fn, (SnValue[]){in(t, "x", "n,m")}, 1, NULL, 0));
}

static void binary_build(Lowered *t)
{
    const SnValue x = in(t, "x", "n,m"), y = in(t, "y", "n,m");
    lowered_out(t, sn_op(t->g, t->spec->fn, (SnValue[]){x, y}, 2, NULL, 0));
}

static void check_names(const char *const *names, size_t n, LoweredCase *build, const SnDtype *dtypes,
                        size_t ndtype)
{
    for (size_t i = 0; i < n; i++) {
        for (size_t k = 0; k < ndtype; k++) {
            const LoweredSpec spec = {.name = "op",
                                      .build = build,
                                      .fn = names[i],
                                      .dtype = dtypes[k],
                                      .has_special = true,
                                      .sizes = SIZES_ODD,
                                      .seed = i * 16 + k};
            lowered_check(&spec);
        }
    }
}

static void elementwise_floats_match_eval(void **state)
{
    static const char *const unary[] = {"neg", "abs", "floor", "round", "exp", "log",
                                        "sin", "cos", "sqrt",  "tanh",  "erf"};
    static const char *const binary[] = {"add", "sub", "mul", "div", "mod", "min", "max", "pow", "lt", "eq"};
    (void)state;
    check_names(unary, SN_COUNT(unary), unary_build, floats, SN_COUNT(floats));
    check_names(binary, SN_COUNT(binary), binary_build, floats, SN_COUNT(floats));
}

static void elementwise_integers_match_eval(void **state)
{
    static const char *const unary[] = {"neg", "abs", "not"};
    static const char *const binary[] = {"add", "sub", "mul", "idiv", "mod", "min", "max",
                                         "and", "or",  "xor", "shl",  "shr", "lt",  "eq"};
    static const char *const logic[] = {"and", "or", "xor", "eq"};
    static const char *const no[] = {"not"};
    const SnDtype boolean = SN_BOOL;
    (void)state;
    check_names(unary, SN_COUNT(unary), unary_build, ints, SN_COUNT(ints));
    check_names(binary, SN_COUNT(binary), binary_build, ints, SN_COUNT(ints));
    check_names(logic, SN_COUNT(logic), binary_build, &boolean, 1);
    check_names(no, 1, unary_build, &boolean, 1);
}

static void casts_build(Lowered *t)
{
    const SnValue x = in(t, "x", "n,m");
    static const SnDtype to[] = {SN_F32, SN_F64, SN_F16, SN_BF16, SN_I8, SN_I64, SN_U8, SN_BOOL};
    for (size_t i = 0; i < SN_COUNT(to); i++)
        lowered_out(t, sn_cast(t->g, x, to[i]));
}

static void casts_match_eval(void **state)
{
    static const SnDtype from[] = {SN_F32, SN_F64, SN_F16, SN_BF16, SN_I8, SN_I64, SN_U8, SN_U64, SN_BOOL};
    (void)state;
    for (size_t i = 0; i < SN_COUNT(from); i++) {
        const LoweredSpec spec = {.name = "casts",
                                  .build = casts_build,
                                  .dtype = from[i],
                                  .has_special = true,
                                  .sizes = SIZES_ODD,
                                  .seed = i};
        lowered_check(&spec);
    }
}

static void bitcast_build(Lowered *t)
{
    const SnValue words = lowered_input(t, "w", SN_U32, "n,m"), bytes = lowered_input(t, "b", SN_U8, "n,8");
    lowered_out(t, sn_bitcast(t->g, words, SN_F32));
    lowered_out(t, sn_bitcast(t->g, words, SN_U8));
    lowered_out(t, sn_bitcast(t->g, bytes, SN_U32));
    lowered_out(t, sn_bitcast(t->g, sn_add(t->g, bytes, bytes), SN_I64));
    lowered_out(t, sn_bitcast(t->g, sn_add(t->g, words, words), SN_I16));
}

static void fused_build(Lowered *t)
{
    SnGraph *g = t->g;
    const SnValue x = in(t, "x", "n,m"), bias = in(t, "b", "m"), scale = in(t, "s", "n,1");
    const SnValue y = sn_mul(g, sn_add(g, x, bias), scale);
    const SnValue gate = sn_div(g, y, sn_add(g, sn_const(g, SN_F32, 1), sn_exp(g, sn_neg(g, y))));
    lowered_out(t, sn_where(g, sn_lt(g, y, x), gate, sn_fma(g, x, y, gate)));
    lowered_out(t, sn_add(g, sn_exp(g, sn_mul(g, scale, scale)), x));
    lowered_out(t, sn_add(g, sn_exp(g, sn_mul(g, bias, bias)), x));
}

static void constants_build(Lowered *t)
{
    SnGraph *g = t->g;
    const SnValue n = dim(t, "n"), m = dim(t, "m");
    const SnValue dims[] = {n, m, i64(t, 3)};
    static const float data[6] = {1, 2, 3, 4, 5, 6};
    lowered_out(t, in(t, "y", "n,m")); /* tells the sizes */
    lowered_out(t, sn_iota(g, SN_I32, 0, 3, dims));
    lowered_out(t, sn_iota(g, SN_F32, 1, 3, dims));
    lowered_out(t, sn_iota(g, SN_I64, 2, 3, dims));
    lowered_out(t, sn_broadcast(g, sn_const(g, SN_F32, 1.5), 3, dims));
    lowered_out(t, sn_const_data(g, SN_F32, 2, (const int64_t[]){2, 3}, data));
    lowered_out(t, sn_add(g, sn_iota(g, SN_F32, 0, 3, dims),
                          sn_const_data(g, SN_F32, 1, (const int64_t[]){3}, data)));
    lowered_out(t, sn_add(g, sn_mul(g, n, m), lowered_input(t, "x", SN_I64, "")));
    lowered_out(t, sn_add(g, sn_mul(g, n, m), i64(t, 7)));
}

static void fused_expressions_match_eval(void **state)
{
    (void)state;
    check_sizes((LoweredSpec){.name = "bitcast", .build = bitcast_build});
    check_sizes((LoweredSpec){.name = "fused", .build = fused_build, .has_special = true});
    check_sizes((LoweredSpec){.name = "constants", .build = constants_build});
}

/* ---- movement ---- */

static void reshape_build(Lowered *t)
{
    SnGraph *g = t->g;
    const SnValue x = in(t, "x", "b,n,12"), b = dim(t, "b"), n = dim(t, "n");
    const SnValue heads = sn_reshape(g, x, 4, (SnValue[]){b, n, i64(t, 3), i64(t, 4)});
    const SnValue swapped = sn_permute(g, heads, (int[]){0, 2, 1, 3});
    const SnValue flat = sn_reshape(g, swapped, 1, (SnValue[]){sn_mul(g, sn_mul(g, b, n), i64(t, 12))});
    lowered_out(t, heads);
    lowered_out(t, swapped);
    lowered_out(t, flat);
    lowered_out(t, sn_reshape(g, sn_exp(g, x), 2, (SnValue[]){sn_mul(g, b, n), i64(t, 12)}));
    lowered_out(t, sn_reshape(g, sn_permute(g, x, (int[]){2, 1, 0}), 2,
                              (SnValue[]){i64(t, 6), sn_mul(g, i64(t, 2), sn_mul(g, n, b))}));
    lowered_out(t,
                sn_reshape(g, sn_permute(g, swapped, (int[]){0, 2, 1, 3}), 3, (SnValue[]){b, n, i64(t, 12)}));
}

static void permute_build(Lowered *t)
{
    const SnValue x = in(t, "x", "n,m,3,b");
    static const int perms[][4] = {{0, 1, 2, 3}, {3, 2, 1, 0}, {1, 0, 2, 3}, {0, 2, 1, 3}, {2, 3, 0, 1}};
    for (size_t i = 0; i < SN_COUNT(perms); i++)
        lowered_out(t, sn_permute(t->g, x, perms[i]));
}

static void broadcast_build(Lowered *t)
{
    SnGraph *g = t->g;
    const SnValue dims[] = {dim(t, "b"), dim(t, "n"), dim(t, "m")};
    lowered_out(t, sn_broadcast(g, in(t, "x", "m"), 3, dims));
    lowered_out(t, sn_broadcast(g, in(t, "y", "n,1"), 3, dims));
    lowered_out(t, sn_broadcast(g, in(t, "z", "b,1,m"), 3, dims));
    lowered_out(t, sn_broadcast(g, sn_tanh(g, in(t, "w", "b,1,m")), 3, dims));
    lowered_out(t, sn_broadcast(g, in(t, "u", ""), 3, dims));
}

static void slice_build(Lowered *t)
{
    SnGraph *g = t->g;
    const SnValue x = in(t, "x", "n,20"), n = dim(t, "n"), zero = i64(t, 0);
    const SnValue at = lowered_index(t, "at", SN_I64, "", -4, 30);
    lowered_out(t, sn_slice(g, x, (SnValue[]){zero, i64(t, 3)}, (SnValue[]){n, i64(t, 10)}, NULL));
    lowered_out(t,
                sn_slice(g, x, (SnValue[]){zero, i64(t, 1)}, (SnValue[]){n, i64(t, 7)}, (int64_t[]){1, 3}));
    lowered_out(t, sn_slice(g, x, (SnValue[]){at, at}, (SnValue[]){n, i64(t, 5)}, NULL));
    lowered_out(t, sn_slice(g, sn_exp(g, x), (SnValue[]){zero, sn_add(g, at, at)},
                            (SnValue[]){sn_idiv(g, n, i64(t, 2)), i64(t, 17)}, NULL));
}

static void pad_build(Lowered *t)
{
    SnGraph *g = t->g;
    const SnValue x = in(t, "x", "n,m"), n = dim(t, "n"), zero = i64(t, 0);
    const SnValue fill = in(t, "fill", ""), nil = sn_const(g, SN_F32, 0);
    lowered_out(t, sn_pad(g, x, (SnValue[]){i64(t, 2), i64(t, 1)}, (SnValue[]){i64(t, 3), zero}, nil, NULL));
    lowered_out(t, sn_pad(g, x, (SnValue[]){zero, i64(t, -1)}, (SnValue[]){n, i64(t, 2)}, fill, NULL));
    lowered_out(t, sn_pad(g, sn_exp(g, x), (SnValue[]){i64(t, 1), i64(t, 2)}, (SnValue[]){i64(t, 1), zero},
                          fill, (int64_t[]){2, 1}));
    const SnValue wide =
        sn_pad(g, x, (SnValue[]){i64(t, 4), i64(t, 4)}, (SnValue[]){i64(t, 4), i64(t, 4)}, nil, NULL);
    lowered_out(t, sn_pad(g, wide, (SnValue[]){i64(t, -2), i64(t, -6)}, (SnValue[]){i64(t, -3), i64(t, 1)},
                          fill, NULL));
}

static void flip_concat_build(Lowered *t)
{
    SnGraph *g = t->g;
    const SnValue x = in(t, "x", "n,m"), y = in(t, "y", "n,k"), z = in(t, "z", "b,m");
    const SnValue wide = sn_concat(g, 3, (SnValue[]){x, y, sn_exp(g, x)}, 1);
    lowered_out(t, wide);
    lowered_out(t, sn_concat(g, 2, (SnValue[]){x, z}, 0));
    lowered_out(t, sn_neg(g, sn_concat(g, 2, (SnValue[]){x, sn_tanh(g, z)}, 0)));
    lowered_out(t, sn_flip(g, x, 2, (int[]){0, 1}));
    lowered_out(t, sn_add(g, x, sn_flip(g, x, 1, (int[]){1})));
    lowered_out(t, sn_concat(g, 6, (SnValue[]){x, x, y, x, y, x}, 1));
    lowered_out(t, sn_exp(g, sn_concat(g, 6, (SnValue[]){z, x, z, x, z, x}, 0)));
}

static void window_build(Lowered *t)
{
    SnGraph *g = t->g;
    const SnValue x = in(t, "x", "b,20,k");
    lowered_out(t, sn_window(g, x, 1, 3, 1, 1));
    lowered_out(t, sn_window(g, x, 1, 3, 2, 4));
    lowered_out(t, sn_window(g, sn_window(g, sn_exp(g, x), 1, 5, 3, 1), 1, 2, 1, 2));
}

static void movement_matches_eval(void **state)
{
    (void)state;
    check_sizes((LoweredSpec){.name = "reshape", .build = reshape_build});
    check_sizes((LoweredSpec){.name = "permute", .build = permute_build, .dtype = SN_U8});
    check_sizes((LoweredSpec){.name = "broadcast", .build = broadcast_build});
    check_sizes((LoweredSpec){.name = "slice", .build = slice_build});
    check_sizes((LoweredSpec){.name = "pad", .build = pad_build});
    check_sizes((LoweredSpec){.name = "flip and concat", .build = flip_concat_build, .dtype = SN_F32});
    check_sizes((LoweredSpec){.name = "window", .build = window_build});
}

/* ---- indexed ---- */

static void gather_build(Lowered *t)
{
    SnGraph *g = t->g;
    const SnValue x = in(t, "x", "11,m,7");
    const SnValue rows = lowered_index(t, "rows", SN_I32, "n,2", -3, 14);
    const SnValue cols = lowered_index(t, "cols", SN_U8, "2", 0, 9);
    lowered_out(t, sn_gather(g, x, 1, (int[]){0}, &rows, "clamp"));
    lowered_out(t, sn_gather(g, x, 1, (int[]){0}, &rows, "zero"));
    lowered_out(t, sn_gather(g, x, 2, (int[]){0, 2}, (SnValue[]){rows, cols}, "zero"));
    lowered_out(t, sn_gather(g, sn_add(g, x, x), 2, (int[]){2, 0}, (SnValue[]){cols, rows}, "clamp"));
    lowered_out(t, sn_gather(g, sn_exp(g, x), 1, (int[]){2}, (SnValue[]){sn_mul(g, cols, cols)}, "zero"));
}

static void scatter_build(Lowered *t)
{
    SnGraph *g = t->g;
    const SnValue base = in(t, "x", "9,m,4"), rows = lowered_index(t, "rows", SN_I64, "n", -2, 11);
    const SnValue cols = lowered_index(t, "cols", SN_I64, "n", 0, 4);
    const SnValue up = in(t, "u", "n,m,4"), other = in(t, "v", "n,m"), one = in(t, "w", "n,9");
    lowered_out(t, sn_scatter(g, t->spec->fn, base, 1, (int[]){0}, &rows, up));
    lowered_out(t, sn_scatter(g, t->spec->fn, base, 2, (int[]){0, 2}, (SnValue[]){rows, cols}, other));
    lowered_out(t, sn_scatter(g, t->spec->fn, sn_reduce(g, "max", base, 1, (int[]){1}, false), 1, (int[]){1},
                              &cols, one));
    const SnValue zeros = sn_broadcast(g, sn_cast(g, sn_const(g, SN_F32, 0), t->spec->dtype), 2,
                                       (SnValue[]){i64(t, 9), dim(t, "m")});
    lowered_out(t, sn_scatter(g, t->spec->fn, zeros, 1, (int[]){0}, &rows, sn_add(g, other, other)));
}

static void update_build(Lowered *t)
{
    SnGraph *g = t->g;
    const SnValue base = in(t, "x", "b,20,m"), value = in(t, "v", "b,4,m"), zero = i64(t, 0);
    const SnValue at = lowered_index(t, "at", SN_I64, "", -4, 30);
    lowered_out(t, sn_update(g, base, value, (SnValue[]){zero, at, zero}));
    lowered_out(t, sn_update(g, base, sn_exp(g, value), (SnValue[]){zero, i64(t, 18), at}));
    const SnValue part = sn_slice_axis(g, base, 1, i64(t, 2), i64(t, 3));
    lowered_out(t, sn_update(g, base, part, (SnValue[]){zero, at, zero}));
}

static void sort_build(Lowered *t)
{
    SnGraph *g = t->g;
    const bool desc = t->spec->axis == 1;
    const SnValue key = lowered_index(t, "k", t->spec->dtype, "n,m", 0, 6), second = in(t, "s", "n,m");
    const SnValue row = sn_iota(g, SN_I64, 1, 2, (SnValue[]){dim(t, "n"), dim(t, "m")});
    const SnValue a = sn_sort(g, 2, (SnValue[]){key, row}, 1, t->spec->axis, desc, 0);
    const SnValue b = sn_sort(g, 3, (SnValue[]){key, second, row}, 2, t->spec->axis, desc, 3);
    lowered_out(t, sn_get(g, a, 0));
    lowered_out(t, sn_get(g, a, 1));
    lowered_out(t, sn_get(g, b, 0));
    lowered_out(t, sn_get(g, b, 1));
    lowered_out(t, sn_get(g, b, 2));
    lowered_out(
        t, sn_get(g,
                  sn_sort(g, 1, (SnValue[]){sn_abs(g, sn_slice_axis(g, second, 0, i64(t, 0), dim(t, "n")))},
                          1, 0, false, 0),
                  0));
}

static void compact_build(Lowered *t)
{
    SnGraph *g = t->g;
    const SnValue x = in(t, "x", "n,m"), mask = lowered_input(t, "mask", SN_BOOL, "n");
    lowered_out(t, sn_compact(g, x, mask, dim(t, "n")));
    lowered_out(t, sn_compact(g, sn_exp(g, x), sn_not(g, mask), dim(t, "n")));
    lowered_out(t, sn_compact(g, sn_iota(g, SN_I64, 0, 1, (SnValue[]){dim(t, "n")}), mask, dim(t, "n")));
}

static void indexed_matches_eval(void **state)
{
    static const char *const fns[] = {"set", "add", "mul", "min", "max"};
    static const SnDtype dtypes[] = {SN_F32, SN_I32, SN_U8};
    (void)state;
    check_sizes((LoweredSpec){.name = "gather", .build = gather_build});
    for (size_t i = 0; i < SN_COUNT(fns); i++) {
        for (size_t k = 0; k < SN_COUNT(dtypes); k++)
            check_sizes(
                (LoweredSpec){.name = "scatter", .build = scatter_build, .fn = fns[i], .dtype = dtypes[k]});
    }
    check_sizes((LoweredSpec){.name = "update", .build = update_build});
    for (int axis = 0; axis < 2; axis++) {
        check_sizes((LoweredSpec){
            .name = "sort", .build = sort_build, .dtype = SN_F32, .axis = axis, .has_special = true});
        check_sizes((LoweredSpec){
            .name = "sort", .build = sort_build, .dtype = SN_F16, .axis = axis, .has_special = true});
        check_sizes((LoweredSpec){.name = "sort", .build = sort_build, .dtype = SN_I8, .axis = axis});
        check_sizes((LoweredSpec){.name = "sort", .build = sort_build, .dtype = SN_U64, .axis = axis});
    }
    check_sizes((LoweredSpec){.name = "compact", .build = compact_build});
}

/* ---- reductions ---- */

static void reduce_build(Lowered *t)
{
    SnGraph *g = t->g;
    const SnValue x = in(t, "x", "n,b,m");
    const char *fn = t->spec->fn;
    lowered_out(t, sn_reduce(g, fn, x, 1, (int[]){2}, false));
    lowered_out(t, sn_reduce(g, fn, x, 1, (int[]){0}, true));
    lowered_out(t, sn_reduce(g, fn, x, 1, (int[]){1}, false));
    lowered_out(t, sn_reduce(g, fn, x, 2, (int[]){1, 2}, false));
    lowered_out(t, sn_reduce(g, fn, x, 2, (int[]){0, 2}, true));
    lowered_out(t, sn_reduce(g, fn, x, 2, (int[]){0, 1}, false));
    lowered_out(t, sn_reduce(g, fn, x, 3, (int[]){0, 1, 2}, false));
    lowered_out(t, sn_reduce(g, fn, sn_permute(g, x, (int[]){2, 0, 1}), 1, (int[]){2}, false));
}

static void scan_build(Lowered *t)
{
    const SnValue x = in(t, "x", "n,b,m");
    for (int axis = 0; axis < 3; axis++) {
        lowered_out(t, sn_scan(t->g, t->spec->fn, x, axis, false));
        lowered_out(t, sn_scan(t->g, t->spec->fn, x, axis, true));
    }
}

static void check_combiners(const char *const *fns, size_t n, SnDtype dtype, double tolerance)
{
    for (size_t i = 0; i < n; i++) {
        check_sizes((LoweredSpec){
            .name = "reduce", .build = reduce_build, .fn = fns[i], .dtype = dtype, .tolerance = tolerance});
        check_sizes((LoweredSpec){
            .name = "scan", .build = scan_build, .fn = fns[i], .dtype = dtype, .tolerance = tolerance});
    }
}

static void reductions_match_eval(void **state)
{
    static const char *const sums[] = {"add", "mul", "min", "max"}, *const bits[] = {"and", "or", "xor"};
    (void)state;
    check_combiners(sums, 4, SN_F32, F32_SUM);
    check_combiners(sums, 4, SN_F64, F32_SUM);
    check_combiners(sums, 4, SN_F16, F16_SUM);
    check_combiners(sums, 4, SN_BF16, 10 * F16_SUM);
    check_combiners(sums, 4, SN_I32, 0);
    check_combiners(sums, 4, SN_U8, 0);
    check_combiners(bits, 3, SN_I16, 0);
    check_combiners(bits, 3, SN_BOOL, 0);
}

/* (a, b) after (c, d): the composition of affine maps. */
static SnValue affine_fn(Lowered *t)
{
    SnGraph *g = t->g;
    sn_fn_begin(g, "affine");
    const SnTypeId f32 = sn_type_scalar(sn_graph_store(g), SN_F32);
    SnValue arg[4];
    for (int i = 0; i < 4; i++)
        arg[i] = sn_fn_arg(g, f32);
    const SnValue scale = sn_mul(g, arg[0], arg[2]), shift = sn_add(g, sn_mul(g, arg[1], arg[2]), arg[3]);
    return sn_fn_end(g, sn_tuple(g, 2, (SnValue[]){scale, shift}, NULL));
}

static void function_build(Lowered *t)
{
    SnGraph *g = t->g;
    const SnValue fn = affine_fn(t), a = in(t, "a", "n,b,m"), b = in(t, "b", "n,b,m");
    const SnValue operand[] = {fn, a, b, sn_const(g, SN_F32, 1), sn_const(g, SN_F32, 0)};
    for (int axis = 0; axis < 3; axis++) {
        const int64_t one = axis;
        const SnAttr scan[] = {SN_STRING("fn", "fn"), SN_INT("axis", axis), SN_INT("reverse", axis == 1)};
        const SnAttr reduce[] = {SN_STRING("fn", "fn"), SN_INTS("axes", &one, 1), SN_INT("keep", axis == 0)};
        const SnValue s = sn_op(g, "scan", operand, 5, scan, 3),
                      r = sn_op(g, "reduce", operand, 5, reduce, 3);
        lowered_out(t, sn_get(g, s, 1));
        lowered_out(t, sn_get(g, r, axis % 2));
    }
}

static void argmax_build(Lowered *t)
{
    SnGraph *g = t->g;
    const SnValue x = in(t, "x", "b,m,n"), nan = lowered_input(t, "y", t->spec->dtype, "m,k");
    lowered_out(t, sn_argmax(g, x, 0, false));
    lowered_out(t, sn_argmax(g, x, 1, true));
    lowered_out(t, sn_argmax(g, nan, 1, false));
    lowered_out(t, sn_argmax(g, nan, 0, false));
    lowered_out(t, sn_argmax(g,
                             sn_broadcast(g, sn_cast(g, sn_const(g, SN_F32, -200), t->spec->dtype), 1,
                                          (SnValue[]){dim(t, "m")}),
                             0, false));
}

static void functions_and_argmax_match_eval(void **state)
{
    static const SnDtype dtypes[] = {SN_F32, SN_F64, SN_F16, SN_BF16, SN_I8, SN_U32, SN_I64};
    (void)state;
    check_sizes((LoweredSpec){.name = "function", .build = function_build, .tolerance = F32_SUM});
    for (size_t i = 0; i < SN_COUNT(dtypes); i++)
        check_some_sizes(
            (LoweredSpec){.name = "argmax", .build = argmax_build, .dtype = dtypes[i], .has_special = true},
            SN_COUNT(all_sizes) - 1); /* nothing is greatest of nothing */
}

static void whole_build(Lowered *t)
{
    const SnValue x = in(t, "x", "n,m");
    lowered_out(t, sn_reduce(t->g, "add", x, 2, (int[]){0, 1}, false));
    lowered_out(t, sn_reduce(t->g, "max", sn_mul(t->g, x, x), 2, (int[]){0, 1}, true));
}

static void whole_tensor_sums_use_pieces(void **state)
{
    (void)state;
    lowered_check(
        &(LoweredSpec){.name = "whole", .build = whole_build, .sizes = "n=300 m=501", .tolerance = F32_SUM});
    lowered_check(
        &(LoweredSpec){.name = "whole", .build = whole_build, .sizes = "n=256 m=256", .tolerance = F32_SUM});
    lowered_check(
        &(LoweredSpec){.name = "whole", .build = whole_build, .sizes = "n=3 m=5", .tolerance = F32_SUM});
    lowered_check(
        &(LoweredSpec){.name = "whole", .build = whole_build, .sizes = "n=0 m=5", .tolerance = F32_SUM});
}

/* ---- contract ---- */

static void contract_build(Lowered *t)
{
    SnGraph *g = t->g;
    const SnDtype d = t->spec->dtype;
    const SnValue x = in(t, "x", "n,k"), w = in(t, "w", "k,m"), wt = in(t, "wt", "m,k"),
                  q = in(t, "q", "b,n,4,k");
    const SnValue k = in(t, "k", "b,m,4,k"), v = in(t, "v", "k");
    lowered_out(t, sn_contract(g, "nk,km->nm", x, w, d));
    lowered_out(t, sn_contract(g, "nk,mk->nm", x, wt, d));
    lowered_out(t, sn_contract(g, "nk,mk->mn", x, wt, d));
    lowered_out(t, sn_contract(g, "nk,k->n", x, v, d));
    lowered_out(t, sn_contract(g, "bqhd,bkhd->bhqk", q, k, d));
    lowered_out(t, sn_contract(g, "k,k->", v, v, d));
    lowered_out(t, sn_contract(g, "k,m->km", v, in(t, "u", "m"), d));
    lowered_out(t, sn_contract(g, "nk,bmhk->bhmn", x, k, d));
}

static void contract_more_build(Lowered *t)
{
    SnGraph *g = t->g;
    const SnDtype d = t->spec->dtype;
    const SnValue x = in(t, "x", "n,k"), y = in(t, "y", "n,k"), z = in(t, "z", "b,k,m"),
                  u = in(t, "u", "b,n,k");
    lowered_out(t, sn_contract(g, "nk,nk->nk", x, y, d));
    lowered_out(t, sn_contract(g, "nk,bkm->n", x, z, d));
    lowered_out(t, sn_contract(g, "bnk,bkm->nm", u, z, d));
    lowered_out(t, sn_contract(g, "bnk,nk->bk", u, x, d));
    lowered_out(t, sn_contract(g, "nk,bkm->bnm", sn_add(g, x, y),
                               sn_permute(g, sn_permute(g, z, (int[]){0, 2, 1}), (int[]){0, 2, 1}), d));
    const SnValue cast = sn_cast(g, sn_permute(g, y, (int[]){1, 0}), d);
    lowered_out(t, sn_contract(g, "nk,km->nm", x, cast, d));
}

static void mixed_build(Lowered *t)
{
    const SnValue x = lowered_input(t, "x", SN_U8, "n,k"), w = lowered_input(t, "w", SN_I8, "m,k");
    lowered_out(t, sn_contract(t->g, "nk,mk->nm", x, w, SN_I32));
    const SnValue h = lowered_input(t, "h", SN_BF16, "n,k"), f = lowered_input(t, "f", SN_BF16, "k,m");
    lowered_out(t, sn_contract(t->g, "nk,km->nm", h, f, SN_F32));
}

static void convolution_build(Lowered *t)
{
    SnGraph *g = t->g;
    const SnValue x = in(t, "x", "b,9,10,4"), w = in(t, "w", "3,3,4,m"), one = i64(t, 1), zero = i64(t, 0);
    const SnValue lo[] = {zero, one, one, zero};
    const SnValue padded = sn_pad(g, x, lo, lo, sn_const(g, SN_F32, 0), NULL);
    const SnValue view = sn_window(g, sn_window(g, padded, 1, 3, 1, 1), 2, 3, 2, 1);
    lowered_out(t, sn_contract(g, "bhwcyx,yxco->bhwo", view, w, SN_F32));
}

static void contractions_match_eval(void **state)
{
    static const SnDtype dtypes[] = {SN_F32, SN_F64, SN_I32, SN_F16, SN_BF16};
    static const double tolerance[] = {F32_SUM, F32_SUM, 0, F16_SUM, 10 * F16_SUM};
    (void)state;
    for (size_t i = 0; i < SN_COUNT(dtypes); i++) {
        const LoweredSpec spec = {
            .name = "contract", .build = contract_build, .dtype = dtypes[i], .tolerance = tolerance[i]};
        LoweredSpec more = spec;
        more.build = contract_more_build;
        more.name = "contract more";
        check_sizes(spec);
        check_sizes(more);
    }
    check_sizes((LoweredSpec){.name = "mixed", .build = mixed_build, .tolerance = F32_SUM});
    check_sizes((LoweredSpec){.name = "convolution", .build = convolution_build, .tolerance = F32_SUM});
}

/* One row of many, and a row alone. */
static void alone_build(Lowered *t)
{
    SnGraph *g = t->g;
    const SnValue x = in(t, "x", "n,k"), w = in(t, "w", "m,k"), row = i64(t, 7), one = i64(t, 1);
    const SnValue alone = sn_slice_axis(g, x, 0, row, one);
    lowered_out(t, sn_slice_axis(g, sn_contract(g, "nk,mk->nm", x, w, SN_F32), 0, row, one));
    lowered_out(t, sn_contract(g, "nk,mk->nm", alone, w, SN_F32));
    const SnValue vector = sn_reshape(g, alone, 1, (SnValue[]){dim(t, "k")});
    lowered_out(t, sn_contract(g, "k,mk->m", vector, w, SN_F32));
    lowered_out(t, sn_contract(g, "mk,k->m", w, vector, SN_F32));
    lowered_out(t, sn_slice_axis(g, sn_sum_of(g, x, 1), 0, row, one));
    lowered_out(t, sn_sum_of(g, alone, 1));
    lowered_out(t, sn_slice_axis(g, sn_sum_of(g, sn_permute(g, x, (int[]){1, 0}), 0), 1, row, one));
    lowered_out(t, sn_sum_of(g, sn_permute(g, alone, (int[]){1, 0}), 0));
}

static void row_alone_has_the_bits_of_a_row_among_others(void **state)
{
    (void)state;
    lowered_check(&(LoweredSpec){.name = "alone",
                                 .build = alone_build,
                                 .sizes = "n=20 m=37 k=301",
                                 .tolerance = F32_SUM,
                                 .has_pairs = true});
}

/* ---- limits ---- */

static void rank_build(Lowered *t)
{
    SnGraph *g = t->g;
    const SnValue x = in(t, "x", "a,b,c,d,e,f,g,h"), y = in(t, "y", "h,g,f,e,d,c,b,a");
    const SnValue turned = sn_permute(g, x, (int[]){7, 6, 5, 4, 3, 2, 1, 0});
    lowered_out(t, sn_add(g, turned, sn_exp(g, y)));
    lowered_out(t, sn_contract(g, "abcdefgh,hgfedcba->aceg", x, y, SN_F32));
    lowered_out(t, sn_reduce(g, "max", turned, 4, (int[]){0, 2, 4, 6}, false));
}

static void long_build(Lowered *t)
{
    SnGraph *g = t->g;
    const SnValue x = in(t, "x", "b,n"),
                  row = sn_iota(g, SN_I64, 1, 2, (SnValue[]){dim(t, "b"), dim(t, "n")});
    const SnValue sorted = sn_sort(g, 2, (SnValue[]){x, row}, 1, 1, true, 0);
    lowered_out(t, sn_get(g, sorted, 0));
    lowered_out(t, sn_get(g, sorted, 1));
    lowered_out(t, sn_scan(g, "max", x, 1, true));
    lowered_out(t, sn_argmax(g, x, 1, false));
    lowered_out(t, sn_exp(g, sn_permute(g, x, (int[]){1, 0})));
}

static void limits_match_eval(void **state)
{
    (void)state;
    lowered_check(&(LoweredSpec){.name = "rank",
                                 .build = rank_build,
                                 .sizes = "a=2 b=3 c=2 d=1 e=3 f=2 g=2 h=3",
                                 .tolerance = F32_SUM});
    lowered_check(&(LoweredSpec){.name = "long", .build = long_build, .sizes = "b=2 n=9001"});
}

/* ---- whole layers ---- */

static SnValue softmax(Lowered *t, SnValue x)
{
    SnGraph *g = t->g;
    const SnValue e = sn_exp(g, sn_sub(g, x, sn_max_of(g, x, -1)));
    return sn_div(g, e, sn_sum_of(g, e, -1));
}

static void attention_build(Lowered *t)
{
    SnGraph *g = t->g;
    const SnValue x = in(t, "x", "b,n,12"), w = in(t, "w", "12,36"), b = dim(t, "b"), n = dim(t, "n");
    const SnValue qkv = sn_reshape(g, sn_contract(g, "bnd,de->bne", x, w, SN_F32), 5,
                                   (SnValue[]){b, n, i64(t, 3), i64(t, 2), i64(t, 6)});
    SnValue part[3];
    for (int i = 0; i < 3; i++)
        part[i] = sn_reshape(g, sn_slice_axis(g, qkv, 2, i64(t, i), i64(t, 1)), 4,
                             (SnValue[]){b, n, i64(t, 2), i64(t, 6)});
    const SnValue dims[] = {n, n}, rows = sn_iota(g, SN_I32, 0, 2, dims),
                  cols = sn_iota(g, SN_I32, 1, 2, dims);
    const SnValue scores = sn_contract(g, "bqhd,bkhd->bhqk", part[0], part[1], SN_F32);
    const SnValue masked = sn_where(g, sn_lt(g, rows, cols), sn_const(g, SN_F32, -1e9),
                                    sn_mul(g, scores, sn_const(g, SN_F32, 0.4)));
    const SnValue mixed = sn_contract(g, "bhqk,bkhd->bqhd", softmax(t, masked), part[2], SN_F32);
    lowered_out(t, sn_add(g, x, sn_reshape(g, mixed, 3, (SnValue[]){b, n, i64(t, 12)})));
}

static void norm_build(Lowered *t)
{
    SnGraph *g = t->g;
    const SnValue x = in(t, "x", "b,n,m"), m = sn_cast(g, dim(t, "m"), SN_F32);
    const SnValue mean = sn_div(g, sn_sum_of(g, x, -1), m), d = sn_sub(g, x, mean);
    const SnValue var = sn_div(g, sn_sum_of(g, sn_mul(g, d, d), -1), m);
    const SnValue y = sn_div(g, d, sn_sqrt(g, sn_add(g, var, sn_const(g, SN_F32, 1e-5))));
    lowered_out(t, sn_add(g, sn_mul(g, y, in(t, "w", "m")), in(t, "c", "m")));
    lowered_out(t, softmax(t, x));
    lowered_out(t, softmax(t, sn_permute(g, x, (int[]){0, 2, 1})));
}

static void layers_match_eval(void **state)
{
    (void)state;
    check_sizes((LoweredSpec){.name = "norm", .build = norm_build, .tolerance = F32_SUM});
    check_sizes((LoweredSpec){.name = "attention", .build = attention_build, .tolerance = F32_SUM});
}

/* ---- random graphs ---- */

static SnValue random_move(Lowered *t, SnValue x)
{
    SnGraph *g = t->g;
    const SnValue rows = sn_dim(g, x, 0), cols = sn_dim(g, x, 1), one = i64(t, 1), zero = i64(t, 0);
    const SnValue two = i64(t, 2);
    switch (lowered_random(t, 8)) {
    case 0:
        return sn_permute(g, x, (int[]){1, 0});
    case 1:
        return sn_flip(g, x, 1, (int[]){(int)lowered_random(t, 2)});
    case 2:
        return sn_pad(g, x, (SnValue[]){one, zero}, (SnValue[]){zero, two}, sn_const(g, SN_F32, 0.5), NULL);
    case 3:
        return sn_concat(g, 2, (SnValue[]){x, sn_neg(g, x)}, (int)lowered_random(t, 2));
    case 4:
        return sn_reshape(g, x, 2, (SnValue[]){one, sn_mul(g, rows, cols)});
    case 5:
        x = sn_pad(g, x, (SnValue[]){zero, two}, (SnValue[]){zero, two}, sn_const(g, SN_F32, 0), NULL);
        return sn_reduce(g, "max", sn_window(g, x, 1, 3, 1, 1), 1, (int[]){2}, false);
    case 6:
        return sn_slice(g, x, (SnValue[]){zero, one},
                        (SnValue[]){rows, sn_max(g, sn_sub(g, cols, one), zero)}, NULL);
    default:
        return sn_gather(g, x, 1, (int[]){0}, (SnValue[]){lowered_index(t, "i", SN_I64, "k", -2, 9)}, "zero");
    }
}

static SnValue random_step(Lowered *t, SnValue x, bool *has_index)
{
    SnGraph *g = t->g;
    switch (lowered_random(t, 9)) {
    case 0:
        return sn_tanh(g, x);
    case 1:
        return sn_mul(g, x, x);
    case 2:
        return sn_sub(g, x, sn_max_of(g, x, (int)lowered_random(t, 2)));
    case 3:
        return sn_cast(g, sn_cast(g, x, SN_BF16), SN_F32);
    case 4:
        return sn_add(g, x, sn_slice_axis(g, x, 1, i64(t, 0), i64(t, 1)));
    case 5:
        return sn_scan(g, "max", x, (int)lowered_random(t, 2), false);
    default:
        if (*has_index)
            return sn_neg(g, x);
        const size_t before = t->nin;
        const SnValue y = random_move(t, x);
        *has_index = t->nin > before;
        return y;
    }
}

static void random_build(Lowered *t)
{
    SnValue x = in(t, "x", "n,m"), middle = x;
    bool has_index = false;
    const uint32_t n = 3 + lowered_random(t, 8);
    for (uint32_t i = 0; i < n; i++) {
        x = random_step(t, x, &has_index);
        middle = i == n / 2 ? x : middle;
    }
    lowered_out(t, x);
    lowered_out(t, sn_exp(t->g, sn_neg(t->g, sn_abs(t->g, middle))));
}

static void random_graphs_match_eval(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 60; seed++)
        lowered_check(&(LoweredSpec){.name = "random",
                                     .build = random_build,
                                     .sizes = seed % 2 == 0 ? "n=7 m=21 k=4" : "n=2 m=3 k=5",
                                     .seed = seed});
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(elementwise_floats_match_eval),
        cmocka_unit_test(elementwise_integers_match_eval),
        cmocka_unit_test(casts_match_eval),
        cmocka_unit_test(fused_expressions_match_eval),
        cmocka_unit_test(movement_matches_eval),
        cmocka_unit_test(indexed_matches_eval),
        cmocka_unit_test(reductions_match_eval),
        cmocka_unit_test(functions_and_argmax_match_eval),
        cmocka_unit_test(whole_tensor_sums_use_pieces),
        cmocka_unit_test(contractions_match_eval),
        cmocka_unit_test(layers_match_eval),
        cmocka_unit_test(random_graphs_match_eval),
        cmocka_unit_test(row_alone_has_the_bits_of_a_row_among_others),
        cmocka_unit_test(limits_match_eval),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
