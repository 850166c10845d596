/* rewrite_test.c -- every rule by the lines of tests/text/rules: what BEFORE becomes, and that both sides
 * compute the same. */
#include "compiler/eval.h"
#include "compiler/pass.h"
#include "compiler/rewrite.h"
#include "compiler/text.h"
#include "tests/unit/unit.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

static const SnRule *const tables[] = {sn_rules_algebra, sn_rules_tensor, NULL};
enum { MOST_RULES = 400 };

typedef struct Fixture {
    SnContext *ctx;
    SnCompiler *cc;
    SnText preamble;
    uint32_t hits[MOST_RULES]; /* by place in the tables */
} Fixture;

static int setup(void **state)
{
    static Fixture f;
    static const SnOp *const none[] = {NULL};
    const SnCompilerDesc desc = {.struct_size = sizeof desc, .ops = none};
    SnError err;
    *state = &f;
    assert_ok(sn_context_create(NULL, &f.ctx, &err));
    assert_ok(sn_compiler_create(f.ctx, &desc, &f.cc, &err));
    f.preamble.memory = sn_allocator(f.ctx);
    return 0;
}

static int teardown(void **state)
{
    Fixture *f = (Fixture *)*state;
    sn_text_clear(&f->preamble);
    sn_compiler_destroy(f->cc);
    sn_context_destroy(f->ctx);
    return 0;
}

/* ---- inputs ---- */

#define INPUTS                                                                                               \
    "x: f32[3], y: f32[3], z: f32[3], h: f16[3], i: i64[3], j: i64[3], b: i8[3], u: u8[3], p: bool[3], q: "  \
    "bool[3], "                                                                                              \
    "m: f32[2,3], l: list<u8>[3]"

typedef struct Inputs {
    float f32[4][6];
    uint16_t f16[3];
    int64_t i64[2][3], start[3], len[3];
    int8_t i8[3];
    uint8_t u8[3], flag[2][3];
    SnNamedView view[12];
} Inputs;

static uint64_t random_next(uint64_t *seed)
{
    *seed = *seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return *seed >> 33;
}

/* tame: finite floats of moderate size, as fast mathematics expects. */
static float random_float(uint64_t *seed, bool tame)
{
    static const float odd[] = {0.0F, -0.0F, 1.0F, -1.0F, INFINITY, -INFINITY, NAN, 1e-30F, 3e38F, 0.5F};
    const uint64_t r = random_next(seed);
    if (!tame && r % 3 == 0)
        return odd[r / 3 % SN_COUNT(odd)];
    return (float)(r % 4000 + 1) / (tame ? 1000.0F : 64.0F) - (tame ? 0.0F : 30.0F);
}

static int64_t random_int(uint64_t *seed)
{
    static const int64_t odd[] = {0, 1, -1, INT64_MAX, INT64_MIN, 7};
    const uint64_t r = random_next(seed);
    return r % 3 == 0 ? odd[r / 3 % SN_COUNT(odd)] : (int64_t)(r % 100) - 50;
}

static void fill_inputs(Inputs *in, uint64_t *seed, bool tame)
{
    for (int k = 0; k < 4; k++) {
        for (int i = 0; i < 6; i++)
            in->f32[k][i] = random_float(seed, tame);
    }
    for (int i = 0; i < 3; i++) {
        in->f16[i] = sn_f32_to_f16(random_float(seed, tame));
        in->i64[0][i] = random_int(seed);
        in->i64[1][i] = random_int(seed);
        in->i8[i] = (int8_t)random_int(seed);
        in->u8[i] = (uint8_t)random_int(seed);
        in->flag[0][i] = random_next(seed) % 2;
        in->flag[1][i] = random_next(seed) % 2;
        in->start[i] = i;
        in->len[i] = 3 - i;
    }
    const int64_t d[2] = {2, 3};
    SnView list = sn_view(SN_U8, in->u8, 1, d + 1);
    list.start = in->start;
    list.len = in->len;
    list.child_count = 3;
    const SnNamedView view[] = {
        {"x", sn_view(SN_F32, in->f32[0], 1, d + 1)},   {"y", sn_view(SN_F32, in->f32[1], 1, d + 1)},
        {"z", sn_view(SN_F32, in->f32[2], 1, d + 1)},   {"h", sn_view(SN_F16, in->f16, 1, d + 1)},
        {"i", sn_view(SN_I64, in->i64[0], 1, d + 1)},   {"j", sn_view(SN_I64, in->i64[1], 1, d + 1)},
        {"b", sn_view(SN_I8, in->i8, 1, d + 1)},        {"u", sn_view(SN_U8, in->u8, 1, d + 1)},
        {"p", sn_view(SN_BOOL, in->flag[0], 1, d + 1)}, {"q", sn_view(SN_BOOL, in->flag[1], 1, d + 1)},
        {"m", sn_view(SN_F32, in->f32[3], 2, d)},       {"l", list}};
    memcpy(in->view, view, sizeof view);
}

/* ---- one line ---- */

/* Entries @e0, @e1 ... with one result each; equal ones are one term. */
static SnGraph *parse(Fixture *f, const char *const *expr, int n)
{
    SnGraph *g = NULL;
    SnError err;
    SnText text = {.memory = sn_allocator(f->ctx)};
    sn_text_printf(&text, "%s", f->preamble.at != NULL ? f->preamble.at : "");
    for (int i = 0; i < n; i++)
        sn_text_printf(&text, "entry @e%d(" INPUTS ") {\n  ret out: %s\n}\n", i, expr[i]);
    assert_ok(sn_graph_create(f->cc, &g, &err));
    assert_ok(sn_graph_parse(g, expr[0], sn_bytes(text.at, text.n), &err));
    sn_text_clear(&text);
    return g;
}

static SnRef simplify(Fixture *f, SnStore *s, SnRef root, uint32_t flags)
{
    SnArena arena;
    SnError err;
    SnRewriter *w = NULL;
    SnRef out = 0;
    sn_arena_init(&arena, sn_allocator(f->ctx));
    assert_ok(sn_rewriter_create(s, &arena, tables, flags, &w, &err));
    assert_ok(sn_rewrite(w, root, &out, &err));
    const SnRule *rule;
    uint32_t nhit, place;
    for (uint32_t i = 0; (rule = sn_rewriter_rule(w, i, &nhit)) != NULL; i++) {
        place = 0;
        for (const SnRule *const *t = tables; *t != NULL; t++) {
            for (const SnRule *row = *t; row->before != NULL; row++, place++) {
                if (row == rule)
                    f->hits[place] += nhit;
            }
        }
    }
    sn_rewriter_destroy(w);
    sn_arena_clear(&arena);
    return out;
}

static SnText print(Fixture *f, SnStore *s, SnRef entry)
{
    SnError err;
    SnText t = {.memory = sn_allocator(f->ctx)};
    SnRef root;
    assert_ok(sn_term_build(s, SN_OP_PROGRAM, 0, &entry, 1, &root, &err));
    assert_ok(sn_root_print(f->cc, s, root, &t, &err));
    return t;
}

/* fast: about; pow too, since the product is the more accurate side. */
static bool same_value(SnDtype d, SnScalar a, SnScalar b, bool fast)
{
    if (!sn_dtype_is_float(d))
        return a.u == b.u;
    if (isnan(a.f) || isnan(b.f))
        return isnan(a.f) && isnan(b.f);
    if (fast && isfinite(a.f) && isfinite(b.f))
        return fabs(a.f - b.f) <= 1e-4 * fabs(b.f) + 1e-4;
    return a.u == b.u;
}

static void assert_same_results(const char *line, const SnEvalResult *a, const SnEvalResult *b, bool fast)
{
    const bool about = fast || strstr(line, "pow") != NULL;
    assert_int_equal(sn_eval_count(a), sn_eval_count(b));
    for (size_t k = 0; k < sn_eval_count(a); k++) {
        const SnView *x = &sn_eval_get(a, k)->view, *y = &sn_eval_get(b, k)->view;
        int64_t n = 1;
        assert_int_equal(x->dtype, y->dtype);
        assert_int_equal(x->ndim, y->ndim);
        for (int i = 0; i < x->ndim; i++) {
            assert_int_equal(x->dims[i], y->dims[i]);
            n *= x->dims[i];
        }
        for (int64_t i = 0; i < n && x->start == NULL; i++) {
            const size_t at = (size_t)i * sn_dtype_size(x->dtype);
            const SnScalar va = sn_scalar_load(x->dtype, (const char *)x->data + at);
            const SnScalar vb = sn_scalar_load(y->dtype, (const char *)y->data + at);
            if (!same_value(x->dtype, va, vb, about))
                fail_msg("%s: element %d: %g before, %g after", line, (int)i, va.f, vb.f);
        }
    }
}

static void assert_same_meaning(const char *line, SnGraph *g, SnRef root, bool fast)
{
    uint64_t seed = 7;
    for (int round = 0; round < 20; round++) {
        Inputs in;
        SnError err;
        SnEvalResult *a = NULL, *b = NULL;
        fill_inputs(&in, &seed, fast);
        assert_ok(sn_eval(g, root, "e0", in.view, SN_COUNT(in.view), &a, &err));
        assert_ok(sn_eval(g, root, "e1", in.view, SN_COUNT(in.view), &b, &err));
        assert_same_results(line, a, b, fast);
        sn_eval_destroy(a);
        sn_eval_destroy(b);
    }
}

static void check_line(Fixture *f, const char *line, size_t n)
{
    char text[512];
    assert_true(n < sizeof text);
    memcpy(text, line, n);
    text[n] = '\0';
    const bool fast = strncmp(text, "fast ", 5) == 0;
    const char *expr = text + (fast ? 5 : 0), *arrow = strstr(expr, " => ");
    if (arrow == NULL)
        fail_msg("no arrow: %s", text);
    text[arrow - text] = '\0';
    SnGraph *g = parse(f, (const char *const[]){expr, arrow + 4}, 2);
    SnStore *s = sn_graph_store(g);
    const SnRef root = sn_graph_root(g), before = sn_term(s, root)->arg[0], after = sn_term(s, root)->arg[1];
    const SnRef simple = simplify(f, s, before, fast ? SN_FAST_MATH : 0);
    if (sn_term(s, simple)->arg[0] != sn_term(s, after)->arg[0]) {
        const SnText got = print(f, s, simple), want = print(f, s, after);
        fail_msg("%s => %s\n--- got\n%s--- want\n%s", expr, arrow + 4, got.at, want.at);
    }
    assert_same_meaning(expr, g, root, fast);
    sn_graph_destroy(g);
}

static void check_file(Fixture *f, const char *path)
{
    SnFile *file = NULL;
    SnError err;
    assert_ok(sn_file_open(f->ctx, path, &file, &err));
    SnBytes rest = sn_file_bytes(file);
    sn_text_clear(&f->preamble);
    while (rest.n > 0) {
        const uint8_t *end = (const uint8_t *)memchr(rest.at, '\n', rest.n);
        const size_t n = end != NULL ? (size_t)(end - rest.at) : rest.n, skip = n + (end != NULL);
        if (n > 1 && rest.at[0] == '|')
            sn_text_printf(&f->preamble, "%.*s\n", (int)n - 1, (const char *)rest.at + 1);
        else if (n > 0 && rest.at[0] != ';')
            check_line(f, (const char *)rest.at, n);
        rest = sn_bytes(rest.at + skip, rest.n - skip);
    }
    sn_file_release(file);
}

/* ---- tests ---- */

static void algebra_lines(void **state)
{
    check_file((Fixture *)*state, "tests/text/rules/algebra.txt");
}

static void tensor_lines(void **state)
{
    check_file((Fixture *)*state, "tests/text/rules/tensor.txt");
}

/* The builder takes tuples apart itself: these terms only passes make. */
static void tuples_come_apart(void **state)
{
    Fixture *f = (Fixture *)*state;
    SnGraph *g = parse(f, (const char *const[]){"%x"}, 1);
    SnStore *s = sn_graph_store(g);
    SnError err;
    const SnRef x = sn_input(g, "a", SN_F32, 0, NULL).ref, y = sn_input(g, "c", SN_I32, 0, NULL).ref;
    SnRef tuple, get;
    assert_ok(sn_term_build(s, SN_OP_TUPLE, 0, (SnRef[]){x, y}, 2, &tuple, &err));
    assert_ok(sn_term_build(s, SN_OP_GET, sn_attrs_make(s, &SN_INT("index", 1), 1), &tuple, 1, &get, &err));
    assert_int_equal(simplify(f, s, get, 0), y);
    const SnTypeId type = sn_term(s, tuple)->type;
    const SnRef whole =
        sn_term_make(s, SN_OP_PARAM, type, sn_attrs_make(s, &SN_STRING("name", "t"), 1), NULL, 0);
    SnRef part[2];
    for (int i = 0; i < 2; i++)
        assert_ok(
            sn_term_build(s, SN_OP_GET, sn_attrs_make(s, &SN_INT("index", i), 1), &whole, 1, &part[i], &err));
    assert_ok(sn_term_build(s, SN_OP_TUPLE, 0, part, 2, &tuple, &err));
    assert_int_equal(simplify(f, s, tuple, 0), whole);
    sn_graph_destroy(g);
}

static void every_rule_has_a_line(void **state)
{
    const Fixture *f = (const Fixture *)*state;
    uint32_t place = 0, nmissing = 0;
    for (const SnRule *const *t = tables; *t != NULL; t++) {
        for (const SnRule *row = *t; row->before != NULL; row++, place++) {
            assert_true(place < MOST_RULES);
            if (f->hits[place] == 0) {
                print_message("no line applies %s\n", row->before);
                nmissing++;
            }
        }
    }
    assert_int_equal(nmissing, 0);
}

static void pattern_errors_are_told(void **state)
{
    Fixture *f = (Fixture *)*state;
    static const char *const bad[] = {
        "(sub ?x", "(nothing ?x)", "?x", "(add ?X 1)", "(add ?x:complex 0)", "(add ?x 1e3)", "(add .. ?x)"};
    SnGraph *g = parse(f, (const char *const[]){"%x"}, 1);
    for (size_t i = 0; i < SN_COUNT(bad); i++) {
        const SnRule rules[] = {{bad[i], "?x"}, {0}}, *const list[] = {rules, NULL};
        SnArena arena;
        SnError err;
        SnRewriter *w = NULL;
        sn_arena_init(&arena, sn_allocator(f->ctx));
        assert_fails(SN_EINTERNAL, sn_rewriter_create(sn_graph_store(g), &arena, list, 0, &w, &err));
        sn_arena_clear(&arena);
    }
    sn_graph_destroy(g);
}

/* A chain of a hundred thousand terms: no recursion on depth. */
static void deep_graph_is_rewritten(void **state)
{
    Fixture *f = (Fixture *)*state;
    SnGraph *g = parse(f, (const char *const[]){"%x"}, 1);
    SnStore *s = sn_graph_store(g);
    SnError err;
    const SnValue three = sn_const_int(g, SN_I64, 3);
    const SnValue x = sn_input(g, "deep", SN_F32, 1, &three);
    SnRef at = x.ref;
    const SnRef zero = sn_const(g, SN_F32, -0.0).ref;
    SnRef zeros;
    assert_ok(sn_term_build(s, SN_OP_BROADCAST, 0, (SnRef[]){zero, three.ref}, 2, &zeros, &err));
    for (int i = 0; i < 100000; i++)
        assert_ok(sn_term_build(s, i % 2 != 0 ? SN_OP_ADD : SN_OP_NEG, 0, (SnRef[]){at, zeros}, 1 + i % 2,
                                &at, &err));
    assert_int_equal(simplify(f, s, at, 0), x.ref);
    sn_graph_destroy(g);
}

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

static void lack_of_memory_is_an_error(void **state)
{
    static const char *const exprs[] = {
        "add (mul (sub %x %y) (exp 1.5)) (cast (mod %i 3) f32)",
        "reshape (reshape (permute (broadcast %x [2,3]) perm=[1,0]) [6]) [3,2]",
        "add (const i64 [3] {1, 2, 3}) (const i64 [3] {4, 5, 6})"};
    static const SnOp *const none[] = {NULL};
    const SnCompilerDesc desc = {.struct_size = sizeof desc, .ops = none};
    (void)state;
    bool is_done = false;
    for (int n = 0; !is_done; n++) {
        Scarce scarce = {.left = INT32_MAX};
        const SnContextDesc context = {.struct_size = sizeof context, .memory = {&scarce, scarce_resize}};
        Fixture f = {0};
        SnError err;
        SnArena arena;
        SnRef out;
        assert_ok(sn_context_create(&context, &f.ctx, &err));
        assert_ok(sn_compiler_create(f.ctx, &desc, &f.cc, &err));
        SnGraph *g = parse(&f, exprs, SN_COUNT(exprs));
        SnPass pass = {.ctx = f.ctx, .cc = f.cc, .g = g, .s = sn_graph_store(g), .arena = &arena};
        const SnRef root = sn_graph_root(g);
        sn_arena_init(&arena, sn_allocator(f.ctx));
        scarce.left = n;
        const SnStatus st = sn_pass_simplify(&pass, root, &out, &err);
        is_done = !scarce.has_failed;
        /* Where only folding lacked memory, the term stays. */
        if (st != SN_OK && (is_done || st != SN_ENOMEM))
            fail_msg("allocation %d failed: %s: %s", n, sn_status_name(st), err.message);
        sn_arena_clear(&arena);
        sn_graph_destroy(g);
        sn_compiler_destroy(f.cc);
        sn_context_destroy(f.ctx);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(algebra_lines),
        cmocka_unit_test(tensor_lines),
        cmocka_unit_test(tuples_come_apart),
        cmocka_unit_test(every_rule_has_a_line),
        cmocka_unit_test(pattern_errors_are_told),
        cmocka_unit_test(deep_graph_is_rewritten),
        cmocka_unit_test(lack_of_memory_is_an_error),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
