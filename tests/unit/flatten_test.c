/* flatten_test.c -- programs mean the same before and after inline, and after flatten. */
#include "compiler/build.h"
#include "tests/unit/fixture.h"

#include <stdlib.h>

#define MAX_INPUT 16
#define LIST_SIZE 24 /* elements of the child of every list input */

static struct Inputs {                                 /* of one test */
    SnNamedView whole[MAX_INPUT], flat[3 * MAX_INPUT]; /* before and after flatten */
    size_t nwhole, nflat;
    uint32_t random;
} in;

static int setup(void **state)
{
    in = (struct Inputs){.random = 1};
    return fixture_open(state, NULL);
}

/* ---- inputs ---- */

static uint32_t random_below(uint32_t n)
{
    in.random = in.random * 1664525u + 1013904223u;
    return (in.random >> 8) % n;
}

/* b is 3, n is 4, t is 5; the size of a list is LIST_SIZE. */
static bool symbol_value(void *self, SnRef leaf, int64_t *value)
{
    const Fixture *f = (const Fixture *)self;
    const char *name = sn_attr_string(f->s, leaf, "name");
    if (name == NULL)
        return false;
    *value = strstr(name, ".size") != NULL ? LIST_SIZE : name[0] == 'b' ? 3 : name[0] == 'n' ? 4 : 5;
    return true;
}

static void *random_data(Fixture *f, SnDtype d, int64_t n, uint32_t below)
{
    uint8_t *at = (uint8_t *)sn_arena_array(&f->arena, (size_t)n, 8);
    for (int64_t i = 0; i < n; i++) {
        const uint32_t v = random_below(d == SN_BOOL ? 2 : below);
        const SnScalar s = sn_dtype_is_float(d) ? (SnScalar){.f = v / 4.0 - 2} : (SnScalar){.i = v};
        sn_scalar_store(d, at + (size_t)i * sn_dtype_size(d), s);
    }
    return at;
}

static const char *part_name(Fixture *f, const char *name, const char *part)
{
    return sn_arena_printf(&f->arena, "%s%s", name, part);
}

static void add_input(Fixture *f, SnRef r)
{
    const SnType *t = sn_type_of(f->s, r);
    const char *name = sn_attr_string(f->s, r, "name");
    int64_t dims[SN_MAX_RANK], count = 1, size = LIST_SIZE;
    for (int i = 0; i < t->ndim; i++) {
        assert_true(sn_dim_eval(f->s, t->dims[i], symbol_value, f, &dims[i]));
        count *= dims[i];
    }
    SnNamedView *v = &in.whole[in.nwhole++];
    assert_true(in.nwhole <= MAX_INPUT);
    if (t->kind == SN_TYPE_TENSOR) {
        *v = (SnNamedView){name, sn_view(t->dtype, random_data(f, t->dtype, count, 16), t->ndim, dims)};
        in.flat[in.nflat++] = *v;
        return;
    }
    int64_t *len = (int64_t *)random_data(f, SN_I64, count, 4);
    int64_t *start = (int64_t *)random_data(f, SN_I64, count, LIST_SIZE - 4);
    void *child = random_data(f, t->dtype, size, 100);
    *v = (SnNamedView){name, sn_view(t->dtype, child, t->ndim, dims)};
    v->view.start = start;
    v->view.len = len;
    v->view.child_count = size;
    in.flat[in.nflat++] = (SnNamedView){part_name(f, name, ".start"), sn_view(SN_I64, start, t->ndim, dims)};
    in.flat[in.nflat++] = (SnNamedView){part_name(f, name, ".len"), sn_view(SN_I64, len, t->ndim, dims)};
    in.flat[in.nflat++] = (SnNamedView){name, sn_view(t->dtype, child, 1, &size)};
}

/* ---- comparing ---- */

static const SnView *find(const SnEvalResult *r, const char *name)
{
    for (size_t i = 0; i < sn_eval_count(r); i++) {
        if (strcmp(sn_eval_get(r, i)->name, name) == 0)
            return &sn_eval_get(r, i)->view;
    }
    fail_msg("there is no result %s", name);
    return NULL;
}

static int64_t count_of(const SnView *v)
{
    int64_t n = 1;
    for (int i = 0; i < v->ndim; i++)
        n *= v->dims[i];
    return n;
}

static void assert_same_dims(const SnView *a, const SnView *b)
{
    assert_int_equal(a->ndim, b->ndim);
    for (int i = 0; i < a->ndim; i++)
        assert_int_equal(a->dims[i], b->dims[i]);
}

/* The lists of a against start, len and child of b: same elements, wherever they lie. */
static void assert_same_lists(Fixture *f, const SnNamedView *a, const SnEvalResult *b)
{
    const SnView *start = find(b, part_name(f, a->name, ".start")),
                 *len = find(b, part_name(f, a->name, ".len"));
    const SnView *child = find(b, a->name), *v = &a->view;
    const size_t size = sn_dtype_size(v->dtype);
    assert_same_dims(v, start);
    assert_int_equal(child->ndim, 1);
    assert_int_equal(child->dtype, v->dtype);
    for (int64_t i = 0; i < count_of(v); i++) {
        int64_t at, n;
        memcpy(&at, (const char *)start->data + i * 8, 8);
        memcpy(&n, (const char *)len->data + i * 8, 8);
        assert_int_equal(n, v->len[i]);
        assert_true(n == 0 || (at >= 0 && at + n <= child->dims[0]));
        if (n > 0)
            assert_memory_equal((const char *)child->data + (size_t)at * size,
                                (const char *)v->data + (size_t)v->start[i] * size, (size_t)n * size);
    }
}

static void assert_same(Fixture *f, const SnEvalResult *want, const SnEvalResult *found, bool is_flat)
{
    for (size_t i = 0; i < sn_eval_count(want); i++) {
        const SnNamedView *a = sn_eval_get(want, i);
        if (a->view.start != NULL && is_flat) {
            assert_same_lists(f, a, found);
            continue;
        }
        const SnView *b = find(found, a->name);
        assert_same_dims(&a->view, b);
        assert_int_equal(a->view.dtype, b->dtype);
        if (a->view.start == NULL)
            assert_memory_equal(a->view.data, b->data, (size_t)count_of(b) * sn_dtype_size(b->dtype));
    }
}

static void assert_keeps_meaning(Fixture *f, const char *text)
{
    SnEvalResult *want = NULL, *inlined = NULL, *flat = NULL;
    SnError err;
    assert_ok(sn_graph_parse(f->g, "test", sn_bytes_str(text), &err));
    SnRef root = sn_graph_root(f->g);
    for (SnRef r = 1; r <= root; r++) {
        if (sn_term(f->s, r)->op == SN_OP_INPUT)
            add_input(f, r);
    }
    assert_ok(sn_eval(f->g, root, "main", in.whole, in.nwhole, &want, &err));
    assert_ok(sn_pass_inline(&f->pass, root, &root, &err));
    f->pass.flags |= SN_PASS_INLINED;
    assert_ok(sn_verify(&f->pass, root, &err));
    assert_ok(sn_eval(f->g, root, "main", in.whole, in.nwhole, &inlined, &err));
    assert_same(f, want, inlined, false);
    assert_ok(sn_pass_flatten(&f->pass, root, &root, &err));
    f->pass.flags |= SN_PASS_FLAT;
    assert_ok(sn_verify(&f->pass, root, &err));
    assert_ok(sn_eval(f->g, root, "main", in.flat, in.nflat, &flat, &err));
    assert_same(f, want, flat, true);
    sn_eval_destroy(want);
    sn_eval_destroy(inlined);
    sn_eval_destroy(flat);
}

/* ---- programs ---- */

#define PROGRAM(name, text)                                                                                  \
    static void name(void **state)                                                                           \
    {                                                                                                        \
        assert_keeps_meaning((Fixture *)*state, text);                                                       \
    }

PROGRAM(calls_of_calls_bind_dims,
        "fn @double(x: f32[k]) { ret = concat x x axis=0 }\n"
        "fn @both(x: f32[k], y: f32[m]) { ret = tuple (call @double x) (call @double y) }\n"
        "entry @main(x: f32[n], y: f32[t]) {\n"
        "  %1 = call @both x y\n"
        "  %2 = call @both y (call @double x)\n"
        "  ret a: %1.0, b: %1.1, c: %2.1, d: (mul %2.0 %1.1)\n"
        "}\n")

PROGRAM(swapped_symbols_do_not_capture,
        "dims n in 1..9, t in 1..9\n"
        "fn @f(x: f32[n,t]) { ret = mul (permute x perm=[1,0]) n }\n"
        "entry @main(x: f32[n,t]) { ret y: (call @f (call @f x)), z: (call @f x) }\n")

PROGRAM(loops_stack_rows_and_carry_tuples,
        "dims t in 1..9\n"
        "fn @more(i: i64, c: f32[k], p: tuple<f32, i64>; s: f32) { ret = lt %i 4 }\n"
        "fn @body(i: i64, c: f32[k], p: tuple<f32, i64>, x: f32[k]; s: f32) {\n"
        "  %n = add %c (mul %x %s)\n"
        "  %m = reduce max %n\n"
        "  ret = tuple %n (tuple %m (add %p.1 i)) | %n, (add %p.0 1)\n"
        "}\n"
        "entry @main(x: f32[t,n], s: f32) {\n"
        "  %z = broadcast 0.0 [n]\n"
        "  %l = loop bound=t while=@more body=@body (%z, tuple s 3) scan(x); s\n"
        "  %u = loop bound=t body=@body (%z, tuple s 3) scan(x); s\n"
        "  ret c: %l.0, m: %l.1.0, i: %l.1.1, rows: %l.2, tops: %l.3, trips: %l.4, u: %u.2\n"
        "}\n")

PROGRAM(nested_loops_capture, "fn @inner(j: i64, a: f32[k]; x: f32[k], i: i64) {\n"
                              "  ret = tuple (add %a (mul %x (cast (add i j) f32)))\n"
                              "}\n"
                              "fn @outer(i: i64, a: f32[k], x: f32[k]) {\n"
                              "  %l = loop bound=3 body=@inner (a); x, i\n"
                              "  ret = tuple %l.0 | %l.1\n"
                              "}\n"
                              "entry @main(x: f32[t,n]) {\n"
                              "  %l = loop bound=t body=@outer (broadcast 1.0 [n]) scan(x)\n"
                              "  ret a: %l.0, r: %l.1\n"
                              "}\n")

PROGRAM(conds_give_tuples,
        "fn @a(x: f32[k], l: list<u8>[m] max=q) { ret = tuple (neg x) (tuple l (reduce add x)) }\n"
        "fn @b(x: f32[k], l: list<u8>[m] max=q) { ret = tuple x (tuple (flip l axes=[0]) 2.0) }\n"
        "entry @main(x: f32[n], p: bool, l: list<u8>[b]) {\n"
        "  %c = cond p @a @b (x, l)\n"
        "  %d = cond (not p) @a @b (x, l)\n"
        "  ret x: %c.0, l: %c.1.0, s: %c.1.1, y: %d.0, m: %d.1.0\n"
        "}\n")

PROGRAM(lists_move, "entry @main(l: list<u8>[b,n], i: i64[t], j: i64, m: bool[b], c: bool[b,n]) {\n"
                    "  ret a: (reshape l [n*b]), p: (permute l perm=[1,0]), f: (flip l axes=[1])\n"
                    "  ret g: (gather l axes=[0] (mod i b)), z: (gather l axes=[1] (i)), k: (compact l m)\n"
                    "  ret s: (slice l [1,j] [2,2]), r: (broadcast (reshape l [1,b,n]) [2,b,n])\n"
                    "  ret w: (where c l (flip l axes=[0])), n: (get l 1)\n"
                    "}\n")

PROGRAM(lists_join,
        "entry @main(l: list<i32>[b], k: list<i32>[n], c: bool[b], t: list<i32>[b]) {\n"
        "  %j = concat l k l axis=0\n"
        "  ret j: %j, w: (where c l t), both: (concat (where c t l) %j axis=0), same: (concat l l axis=0)\n"
        "}\n")

PROGRAM(lists_pack, "entry @main(l: list<i32>[b], k: list<i32>[n]) {\n"
                    "  %j = concat k l axis=0\n"
                    "  %o = offsets %j\n"
                    "  ret o: %o, v: (values %j max=100), s: (reduce add (values l) axes=[0])\n"
                    "  ret list: (list (slice %o [0] [b+n]) (get %j 1) (values %j max=100))\n"
                    "}\n")

PROGRAM(
    lists_in_tuples_and_functions,
    "fn @swap(p: tuple<x: list<i32>[m] max=q, y: f32[m]>) { ret = tuple (add p.1 1) (flip p.0 axes=[0]) }\n"
    "entry @main(l: list<i32>[b], y: f32[b]) {\n"
    "  %s = call @swap (tuple l y names=[\"x\", \"y\"])\n"
    "  ret y: %s.0, l: %s.1, v: (values %s.1)\n"
    "}\n")

PROGRAM(lists_carried_and_captured,
        "fn @body(i: i64, c: list<u8>[m] max=q; s: list<u8>[m] max=q) {\n"
        "  ret = tuple (flip c axes=[0]) | (reduce add (get c 1)), (get (gather s axes=[0] (i)) 1)\n"
        "}\n"
        "entry @main(l: list<u8>[b]) {\n"
        "  %s = loop bound=b body=@body (l); l\n"
        "  ret l: %s.0, n: %s.1, m: %s.2\n"
        "}\n")

PROGRAM(measured_dims_cross_loops, "fn @body(i: i64, a: i32[k]; x: i32[k]) { ret = tuple (add a x) | a }\n"
                                   "entry @main(l: list<i32>[b]) {\n"
                                   "  %v = values l max=100\n"
                                   "  %s = loop bound=3 body=@body (%v); %v\n"
                                   "  ret v: %s.0, r: %s.1, s: (reduce add %s.1)\n"
                                   "}\n")

PROGRAM(lists_stack_as_rows,
        "fn @body(i: i64, c: i64; l: list<u8>[m] max=q) {\n"
        "  ret = tuple (add c 1) | (flip (slice l [i] [2]) axes=[0]), (gather l axes=[0] (i))\n"
        "}\n"
        "fn @more(i: i64, c: i64; l: list<u8>[m] max=q) { ret = lt i 1 }\n"
        "entry @main(l: list<u8>[b]) {\n"
        "  %s = loop bound=2 body=@body (0); l\n"
        "  %w = loop bound=2 while=@more body=@body (0); l\n"
        "  ret l: %s.1, k: %s.2, v: (values %s.2 max=50), w: (get %w.2 1)\n"
        "}\n")

PROGRAM(lists_scan, "fn @body(i: i64, c: i64, r: list<i32>[m] max=q, x: i64) {\n"
                    "  ret = tuple (add c (reduce add (get r 1))) | (flip r axes=[0]), x\n"
                    "}\n"
                    "entry @main(l: list<i32>[b,n], x: i64[b]) {\n"
                    "  %s = loop bound=b body=@body (0) scan(l, x)\n"
                    "  ret n: %s.0, r: %s.1, x: %s.2\n"
                    "}\n")

PROGRAM(carries_keep_their_entries, "dims b in 1..9\n"
                                    "carry k: i32[b] = 3\n"
                                    "carry h: list<u8>[b] max=8 = []\n"
                                    "entry @main(x: i32[b]) {\n"
                                    "  ret s: (add k x), h: (flip h axes=[0])\n"
                                    "  next k = (add k x), h = (flip h axes=[0])\n"
                                    "}\n")

/* ---- lack of memory ---- */

static void *scarce_resize(void *self, void *ptr, size_t old_size, size_t new_size, size_t align)
{
    uint32_t *left = (uint32_t *)self;
    (void)old_size;
    (void)align;
    if (new_size == 0) {
        free(ptr);
        return NULL;
    }
    if (*left == 0)
        return NULL;
    (*left)--;
    return realloc(ptr, new_size);
}

/* Inlines, flattens and verifies with room for n allocations. */
static SnStatus run_passes(const char *text, uint32_t n)
{
    static const SnOp *const tables[] = {NULL};
    const SnCompilerDesc compiler = {.struct_size = sizeof compiler, .ops = tables};
    uint32_t left = UINT32_MAX;
    const SnContextDesc desc = {.struct_size = sizeof desc, .memory = {&left, scarce_resize}};
    Fixture f = {0};
    SnError err;
    assert_ok(sn_context_create(&desc, &f.ctx, &err));
    assert_ok(sn_compiler_create(f.ctx, &compiler, &f.cc, &err));
    assert_ok(sn_graph_create(f.cc, &f.g, &err));
    sn_arena_init(&f.arena, sn_allocator(f.ctx));
    assert_ok(sn_graph_parse(f.g, "test", sn_bytes_str(text), &err));
    SnRef root = sn_graph_root(f.g);
    f.pass = (SnPass){.ctx = f.ctx, .cc = f.cc, .g = f.g, .s = sn_graph_store(f.g), .arena = &f.arena};
    left = n;
    SnStatus st = sn_pass_inline(&f.pass, root, &root, &err);
    if (st == SN_OK)
        st = sn_pass_flatten(&f.pass, root, &root, &err);
    if (st == SN_OK)
        st = sn_verify(&f.pass, root, &err);
    left = UINT32_MAX;
    sn_arena_clear(&f.arena);
    sn_graph_destroy(f.g);
    sn_compiler_destroy(f.cc);
    sn_context_destroy(f.ctx);
    return st;
}

static void lack_of_memory_is_an_error_at_every_allocation(void **state)
{
    static const char text[] = "fn @body(i: i64, c: i64, r: list<i32>[m] max=q, x: i64) {\n"
                               "  ret = tuple (add c (reduce add (get r 1))) | (flip r axes=[0]), x\n"
                               "}\n"
                               "fn @twice(x: i64[k]) { ret = tuple (concat x x axis=0) x }\n"
                               "entry @main(l: list<i32>[b,n], x: i64[b]) {\n"
                               "  %s = loop bound=b body=@body (0) scan(l, x)\n"
                               "  %j = concat (reshape l [b*n]) (reshape l [b*n]) axis=0\n"
                               "  ret n: %s.0, r: %s.1, t: (call @twice %s.2), v: (values %j)\n"
                               "}\n";
    (void)state;
    SnStatus st = SN_ENOMEM;
    uint32_t n = 0;
    for (; st == SN_ENOMEM && n < 5000; n++)
        st = run_passes(text, n);
    assert_int_equal(st, SN_OK);
    assert_in_range(n, 5, 5000);
}

#define flatten_unit_test(t) cmocka_unit_test_setup_teardown(t, setup, fixture_close)

int main(void)
{
    const struct CMUnitTest tests[] = {
        flatten_unit_test(calls_of_calls_bind_dims),
        flatten_unit_test(swapped_symbols_do_not_capture),
        flatten_unit_test(loops_stack_rows_and_carry_tuples),
        flatten_unit_test(nested_loops_capture),
        flatten_unit_test(conds_give_tuples),
        flatten_unit_test(lists_move),
        flatten_unit_test(lists_join),
        flatten_unit_test(lists_pack),
        flatten_unit_test(lists_in_tuples_and_functions),
        flatten_unit_test(lists_carried_and_captured),
        flatten_unit_test(measured_dims_cross_loops),
        flatten_unit_test(lists_stack_as_rows),
        flatten_unit_test(lists_scan),
        flatten_unit_test(carries_keep_their_entries),
        cmocka_unit_test(lack_of_memory_is_an_error_at_every_allocation),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
