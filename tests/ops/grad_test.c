/* grad_test.c -- gradients of every primitive and composite, against central differences in f64 on interp.
 *
 * The loss is sum(y + y * y) over the floats of what is differentiated; along a random direction v it must
 * change as sum(gradient * v) says. SEED=N repeats a run. */
#include "tests/ops/calls.h"
#include "tests/unit/unit.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#define STEP       1e-6
#define TOLERANCE  2e-6
#define DIRECTIONS 3

static uint64_t seed = 1;

/* ---- running ---- */

typedef struct Loss { /* a compiled loss and its inputs; d0.. are the gradients of those that are floats */
    Calls *r;
    const char *title;
    SnInstance *instance;
    double *d[SN_SIG_OPERANDS]; /* by input; NULL: no float */
    double *v, *saved;
} Loss;

static int64_t count_of(const SnView *v)
{
    int64_t n = 1;
    for (int i = 0; i < v->ndim; i++)
        n *= v->dims[i];
    return n;
}

static double run(Loss *l)
{
    SnError err = {0};
    SnView y;
    SnStatus st = SN_OK;
    for (size_t i = 0; i < l->r->nin && st == SN_OK; i++)
        st = sn_bind(l->instance, l->r->in[i].name, &l->r->in[i].view, &err);
    if (st == SN_OK)
        st = sn_run(l->instance, &err);
    if (st == SN_OK)
        st = sn_result(l->instance, "loss", &y, &err);
    if (st != SN_OK)
        fail_msg("%s: %s", l->title, err.message);
    return *(const double *)y.data;
}

static void read_gradients(Loss *l)
{
    SnError err;
    for (size_t i = 0; i < l->r->nin; i++) {
        const SnView *x = &l->r->in[i].view;
        char name[32];
        SnView d;
        if (x->dtype != SN_F64)
            continue;
        snprintf(name, sizeof name, "d%zu", i);
        assert_ok(sn_result(l->instance, name, &d, &err));
        assert_int_equal(count_of(&d), count_of(x));
        l->d[i] = malloc((size_t)count_of(x) * sizeof(double) + 1);
        memcpy(l->d[i], d.data, (size_t)count_of(x) * sizeof(double));
    }
}

/* How the loss changes along a random direction of input i, and how the gradient says it does. */
static void check_direction(Loss *l, size_t i)
{
    const SnView *x = &l->r->in[i].view;
    double *at = (double *)(uintptr_t)x->data, expected = 0, size = 1;
    const int64_t n = count_of(x);
    double v[CALLS_VALUES], saved[CALLS_VALUES];
    memcpy(saved, at, (size_t)n * sizeof *at);
    for (int64_t k = 0; k < n; k++) {
        v[k] = calls_random(l->r) * 2 - 1;
        expected += v[k] * l->d[i][k];
        size += fabs(v[k] * l->d[i][k]);
        at[k] = saved[k] + STEP * v[k];
    }
    const double up = run(l);
    for (int64_t k = 0; k < n; k++)
        at[k] = saved[k] - STEP * v[k];
    const double down = run(l), found = (up - down) / (2 * STEP);
    memcpy(at, saved, (size_t)n * sizeof *at);
    if (!(fabs(found - expected) <= TOLERANCE * (size + fabs(up))))
        fail_msg("%s (seed %llu): gradient of input %zu gives %.9g, differences give %.9g", l->title,
                 (unsigned long long)seed, i, expected, found);
}

/* A graph whose outputs are loss, d0, d1 .. false: there is no loss for these operands. */
static bool check_graph(Calls *r, SnGraph *g, const char *title)
{
    const SnCompileOptions options = {.struct_size = sizeof options, .target = "interp"};
    Loss l = {.r = r, .title = title};
    SnProgram *program = NULL;
    SnError err = {0};
    SnStatus st = sn_compile(r->cc, g, &options, &program, &err);
    if (st == SN_OK)
        st = sn_instance_create(program, NULL, &l.instance, &err);
    if (st != SN_OK)
        fail_msg("%s: %s", title, err.message);
    const bool is_defined = !isnan(run(&l));
    if (is_defined)
        read_gradients(&l);
    for (size_t i = 0; i < r->nin; i++)
        for (int k = 0; l.d[i] && k < DIRECTIONS; k++)
            check_direction(&l, i);
    for (size_t i = 0; i < r->nin; i++)
        free(l.d[i]);
    sn_instance_destroy(l.instance);
    sn_program_release(program);
    return is_defined;
}

/* ---- composites ---- */

static SnValue sum_up(SnGraph *g, SnValue y)
{
    const SnType *t = sn_value_type(g, y);
    SnValue sum = sn_const(g, SN_F64, 0);
    for (int i = 0; i < t->nchild; i++)
        sum = sn_add(g, sum, sum_up(g, sn_get(g, y, i)));
    if (t->nchild > 0 || !sn_dtype_is_float(t->dtype))
        return sum;
    const SnValue z = sn_cast(g, y, SN_F64), zero = sn_const(g, SN_F64, 0);
    const SnValue x = sn_where(g, sn_eq(g, z, sn_const(g, SN_F64, -HUGE_VAL)), zero, z);
    return sn_reduce(g, "add", sn_add(g, x, sn_mul(g, x, x)), 0, NULL, false);
}

static bool composite(Calls *r)
{
    SnGraph *g = NULL;
    SnError err = {0};
    SnValue in[SN_SIG_OPERANDS], wrt[SN_SIG_OPERANDS];
    char name[16];
    int n = 0;
    assert_ok(sn_graph_create(r->cc, &g, &err));
    sn_fn_begin(g, "loss");
    const SnValue fn = sn_fn_end(g, sum_up(g, calls_build(r, g, in)));
    for (int i = 0; i < r->row->sig.noperand; i++)
        if (in[i].ref && sn_value_dtype(g, in[i]) == SN_F64)
            wrt[n++] = in[i];
    const SnValue y = sn_grad(g, fn, 0, NULL, n, wrt);
    sn_output(g, "loss", sn_get(g, y, 0));
    for (int i = 0, k = 0; i < (int)r->nin; i++) {
        snprintf(name, sizeof name, "d%d", i);
        if (r->in[i].view.dtype == SN_F64)
            sn_output(g, name, sn_get(g, sn_get(g, y, 1), k++));
    }
    if (sn_graph_check(g, &err) != SN_OK)
        fail_msg("%s: %s", r->row->sig.name, err.message);
    const bool is_defined = check_graph(r, g, r->row->sig.name);
    sn_graph_destroy(g);
    return is_defined;
}

/* What computes in f32 whatever it is given cannot be told by differences. */
static bool is_exact(const SnOpRow *row)
{
    return strcmp(row->sig.name, "logits_synthid") != 0;
}

static void composites_match_differences(void **state)
{
    static Calls r;
    (void)state;
    calls_open(&r);
    r.f = SN_F64;
    for (uint32_t i = 0; sn_compiler_op(r.cc, i) != NULL; i++) {
        r.row = sn_compiler_row_of(r.cc, (uint16_t)(SN_PRIM_COUNT + i));
        for (int way = 0; way < 2 && calls_covers(r.row) && is_exact(r.row); way++) {
            r.has_optional = way == 0;
            r.random = seed * 0x9E3779B97F4A7C15u + i + 1;
            r.lo = -2;
            const bool is_defined = composite(&r);
            r.lo = 0.1;
            assert_true(is_defined || composite(&r));
        }
    }
    calls_close(&r);
}

/* ---- primitives ---- */

static const struct {
    const char *name, *in, *before, *y; /* before: functions that y names */
} primitives[] = {
    {"neg abs", "x: f64[7]", "", "mul (neg x) (abs x)"},
    {"floor round", "x: f64[7]", "", "mul (floor x) (mul (round x) x)"},
    {"exp log", "x: f64[7]", "", "log (add (exp x) 1.5)"},
    {"exp far", "x: f64[7]", "", "div x (add (exp (mul (add (mul x x) 1.0) 800.0)) 1.0)"},
    {"sin cos", "x: f64[7]", "", "mul (sin x) (cos x)"},
    {"sqrt", "x: f64[7]", "", "sqrt (add (mul x x) 0.25)"},
    {"tanh erf", "x: f64[7]", "", "mul (tanh x) (erf x)"},
    {"cast", "x: f64[7]", "", "cast (mul x (cast (cast x to=i32) to=f64)) to=f64"},
    {"add sub", "x: f64[3,2], y: f64[3,2]", "", "sub (add x y) (mul y 3.0)"},
    {"mul div", "x: f64[3,2], y: f64[3,2]", "", "div (mul x y) (add (mul y y) 0.5)"},
    {"mod", "x: f64[7], y: f64[7]", "", "mod x (add (abs y) 0.3)"},
    {"min max", "x: f64[7], y: f64[7]", "", "add (min x y) (mul (max x y) (max x 0.1))"},
    {"pow", "x: f64[7], y: f64[7]", "", "pow (add (abs x) 0.2) y"},
    {"where", "x: f64[7], y: f64[7]", "", "where (lt x y) (mul x y) (sin y)"},
    {"fma", "x: f64[7], y: f64[7], z: f64[7]", "", "fma x y z"},
    {"reshape permute flip", "x: f64[2,3,4]", "",
     "flip (permute (reshape x [4,3,2]) perm=[2,0,1]) axes=[0,2]"},
    {"broadcast", "x: f64[3,1], v: f64, y: f64[2,3,4]", "",
     "add (mul (broadcast x [2,3,4]) y) (broadcast v [2,3,4])"},
    {"slice", "x: f64[6,5]", "", "slice x [1,0] [2,5] steps=[2,1]"},
    {"slice at a value", "x: f64[6,5], i: i64", "", "slice x [i,1] [2,3]"},
    {"slice beyond", "x: f64[6], i: i64", "", "slice x [add (mul i 7) 2] [3]"},
    {"pad", "x: f64[5,3], v: f64", "", "pad x [1,2] [2,0] v interior=[1,0]"},
    {"pad by less", "x: f64[5,3]", "", "pad x [-1,2] [-2,-1] 0.5"},
    {"concat", "x: f64[2,3], y: f64[2,2]", "", "concat x y x axis=1"},
    {"window", "x: f64[2,9]", "", "window x axis=1 size=3 stride=2 dilation=1"},
    {"window far", "x: f64[9,2]", "", "window x axis=0 size=3 stride=1 dilation=2"},
    {"window side by side", "x: f64[2,10,2]", "", "window x axis=1 size=3 stride=3 dilation=1"},
    {"reduce add", "x: f64[3,4,2]", "", "reduce add x axes=[0,2]"},
    {"reduce add kept", "x: f64[3,4]", "", "reduce add x axes=[1] keep"},
    {"reduce mul", "x: f64[3,4,2]", "", "reduce mul x axes=[0,2]"},
    {"reduce mul of zeros", "x: f64[3,4]", "", "reduce mul (mul x (cast (lt 0.0 x) to=f64)) axes=[1] keep"},
    {"reduce max", "x: f64[3,4]", "", "reduce max x axes=[0]"},
    {"reduce min of equals", "x: f64[4]", "", "reduce min (concat x x axis=0)"},
    {"scan add", "x: f64[3,4]", "", "add (scan add x axis=1) (scan add x axis=0 reverse)"},
    {"scan mul", "x: f64[3,4]", "", "add (scan mul x axis=1) (scan mul x axis=0 reverse)"},
    {"scan max", "x: f64[3,4]", "", "add (scan max x axis=1) (scan max x axis=0 reverse)"},
    {"scan min", "x: f64[9]", "", "mul (scan min x axis=0) x"},
    {"argmax", "x: f64[3,4]", "", "gather x axes=[0,1] (iota [3]) (argmax x axis=1) oob=clamp"},
    {"contract", "x: f64[3,4], y: f64[4,5]", "", "contract \"ij,jk->ki\" x y acc=f64"},
    {"contract in rows", "x: f64[2,3,4], y: f64[2,5,4]", "", "contract \"bij,bkj->bik\" x y acc=f64"},
    {"conv2d", "x: f64[2,5,4,3], w: f64[2,3,3,2], b: f64[2]", "", "conv2d x w b"},
    {"conv2d far", "x: f64[1,6,5,2], w: f64[3,2,3,3]", "", "conv2d x w none stride=2 padding=1"},
    {"conv2d of points", "x: f64[2,5,4,3], w: f64[2,3,1,1]", "", "conv2d x w none stride=2"},
    {"max_pool2d", "x: f64[1,6,5,2]", "", "max_pool2d x size=3 stride=2 padding=1"},
    {"contract alone", "x: f64[2,3,4], y: f64[2,5]", "", "contract \"bij,bk->ik\" x y acc=f64"},
    {"gather", "x: f64[5,3], i: i64[4]", "", "gather x axes=[0] i oob=clamp"},
    {"gather beyond", "x: f64[2,3], i: i64[4]", "", "gather x axes=[0] (sub (mul i 2) 1) oob=clamp"},
    {"gather of nothing", "x: f64[2,3], i: i64[4]", "", "gather x axes=[0] (sub (mul i 2) 1) oob=zero"},
    {"gather twice", "x: f64[2,3,4], i: i64[5,1], j: i64[2]", "", "gather x axes=[2,0] i j oob=clamp"},
    {"scatter add", "x: f64[3,2], i: i64[5], u: f64[5,2]", "", "scatter add x axes=[0] i u"},
    {"scatter set", "x: f64[3,2], i: i64[5], u: f64[5,2]", "", "scatter set x axes=[0] i u"},
    {"scatter max", "x: f64[3,2], i: i64[5], u: f64[5,2]", "", "scatter max x axes=[0] i u"},
    {"scatter min", "x: f64[3], i: i64[5], u: f64[5]", "", "scatter min x axes=[0] (sub i 1) u"},
    {"scatter mul", "x: f64[3], i: i64[5]", "", "scatter mul x axes=[0] i (cast (add i 1) to=f64)"},
    {"update", "x: f64[5,3], u: f64[2,3], i: i64", "", "update x u [i,0]"},
    {"update beyond", "x: f64[5], u: f64[2]", "", "update x u [7]"},
    {"sort", "x: f64[3,5], u: f64[3,5]", "",
     "mul (sort keys=(x) with=(u) axis=1 desc).1 (sort keys=(x) axis=1).0"},
    {"sort some", "x: f64[9]", "", "(sort keys=(x) axis=0 desc limit=4).0"},
    {"compact", "x: f64[6,2], u: f64[6]", "", "reduce add (mul (compact x (lt 0.0 u) max=6) 2.0) axes=[0]"},
    {"tuple", "x: f64[3], y: f64[2]", "", "concat (tuple x (tuple y x)).1.0 (tuple x y).0 axis=0"},
    {"call", "x: f64[3], y: f64[3]", "fn @g(a: f64[3], b: f64[3]) { ret = tuple (mul a b) (sin a) }\n",
     "mul (call @g (x, y)).0 (call @g (y, x)).1"},
    {"grad", "x: f64[3]", "fn @g(a: f64[3]) { ret = reduce add (mul (mul a a) (sin a)) }\n",
     "(grad @g wrt=[0] (x)).1.0"},
    {"loop", "x: f64[3], u: f64[4,3], k: f64[3]",
     "fn @g(i: i64, a: f64[3], r: f64[3], k: f64[3]) { ret = tuple (sin (add (mul a k) r)) | (mul a r) }\n",
     "add (reduce add (loop bound=4 body=@g (x) scan(u); k).1 axes=[0]) (loop bound=4 body=@g (x) scan(u); "
     "k).0"},
    {"loop that ends", "x: f64[3], k: f64[3]",
     "fn @w(i: i64, a: f64[3], k: f64[3]) { ret = lt i 3 }\n"
     "fn @g(i: i64, a: f64[3], k: f64[3]) { ret = tuple (mul a (add k (cast i to=f64))) | (sin a) }\n",
     "add (reduce add (loop bound=7 while=@w body=@g (x); k).1 axes=[0]) (loop bound=7 while=@w body=@g (x); "
     "k).0"},
    {"cond", "x: f64[3], y: f64[3], b: i64",
     "fn @t(x: f64[3], y: f64[3]) { ret = tuple (mul x y) x }\n"
     "fn @e(x: f64[3], y: f64[3]) { ret = tuple (sin x) (mul x x) }\n",
     "mul (cond (lt b 1) @t @e (x, y)).0 (cond (lt 0 b) @t @e (x, y)).1"},
};

/* The inputs of "x: f64[2,3], i: i64" with random values. */
static void read_inputs(Calls *r, const char *in)
{
    r->nin = 0;
    for (const char *at = in; *at;) {
        SnView *v = &r->in[r->nin].view;
        int64_t dims[SN_MAX_RANK], n = 1;
        char dtype[8];
        int used = 0, ndim = 0;
        assert_int_equal(sscanf(at, " %23[^:]: %7[a-z0-9]%n", r->name[r->nin], dtype, &used), 2);
        for (at += used; *at == '[' || (*at == ',' && ndim > 0 && at[1] != ' '); ndim++) {
            assert_int_equal(sscanf(at + 1, "%" SCNd64 "%n", &dims[ndim], &used), 1);
            n *= dims[ndim];
            at += 1 + used;
        }
        at += *at == ']';
        at += *at == ',';
        *v = sn_view(strcmp(dtype, "f64") == 0 ? SN_F64 : SN_I64, r->data[r->nin], ndim, dims);
        r->in[r->nin].name = r->name[r->nin];
        for (int64_t i = 0; i < n; i++) {
            const double x = calls_random(r);
            if (v->dtype == SN_F64)
                ((double *)(void *)r->data[r->nin])[i] = x * 4 - 2;
            else
                ((int64_t *)(void *)r->data[r->nin])[i] = (int64_t)(x * 3);
        }
        r->nin++;
    }
}

/* The names of the inputs, and the places of floats among them. */
static void write_program(Calls *r, size_t row, SnText *text)
{
    sn_text_printf(text,
                   "program @p\n%sfn @loss(%s) { %%out = %s\n  ret = reduce add (add %%out (mul %%out %%out)) "
                   "}\nentry @main(%s) {\n",
                   primitives[row].before, primitives[row].in, primitives[row].y, primitives[row].in);
    const char *separator = "";
    sn_text_printf(text, "  %%d = grad @loss wrt=[");
    for (size_t i = 0; i < r->nin; i++)
        if (r->in[i].view.dtype == SN_F64) {
            sn_text_printf(text, "%s%zu", separator, i);
            separator = ",";
        }
    sn_text_printf(text, "] (");
    for (size_t i = 0; i < r->nin; i++)
        sn_text_printf(text, "%s%s", i ? ", " : "", r->name[i]);
    sn_text_printf(text, ")\n  ret loss: %%d.0");
    for (size_t i = 0, k = 0; i < r->nin; i++)
        if (r->in[i].view.dtype == SN_F64)
            sn_text_printf(text, ", d%zu: %%d.1.%zu", i, k++);
    sn_text_printf(text, "\n}\n");
}

static bool run_row(Calls *r, size_t i)
{
    SnGraph *g = NULL;
    SnError err = {0};
    SnText text = {.memory = sn_allocator(r->ctx)};
    r->random = seed * 0x9E3779B97F4A7C15u + i + 1;
    read_inputs(r, primitives[i].in);
    write_program(r, i, &text);
    assert_ok(sn_graph_create(r->cc, &g, &err));
    if (sn_graph_parse(g, primitives[i].name, sn_bytes_str(text.at), &err) != SN_OK)
        fail_msg("%s: %s\n%s", primitives[i].name, err.message, text.at);
    const bool is_defined = check_graph(r, g, primitives[i].name);
    sn_graph_destroy(g);
    sn_text_clear(&text);
    return is_defined;
}

static void primitives_match_differences(void **state)
{
    static Calls r;
    (void)state;
    calls_open(&r);
    for (size_t i = 0; i < SN_COUNT(primitives); i++) {
        if (!getenv("ONLY") || strcmp(getenv("ONLY"), primitives[i].name) == 0)
            assert_true(run_row(&r, i));
    }
    calls_close(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(primitives_match_differences),
                                       cmocka_unit_test(composites_match_differences)};
    if (getenv("SEED") != NULL)
        seed = strtoull(getenv("SEED"), NULL, 10);
    return cmocka_run_group_tests_name("grad", tests, NULL, NULL);
}
