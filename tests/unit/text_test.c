/* text_test.c -- the text form: what it means, that it survives a round trip, and what it refuses. */
#include "compiler/text.h"
#include "tests/unit/unit.h"

#include <stdio.h>
#include <stdlib.h>

static SnValue expand_twice(SnGraph *g, const SnCall *c)
{
    return sn_mul(g, c->in[0], sn_const(g, SN_F32, sn_call_float(c, "by")));
}

static const SnOp ops[] = {
    {.sig = "twice(x: F[..], bias: F[..]?; by: f64 = 2.0, mode: str = \"up\", exact: bool = false, axes: "
            "ints = [0]) -> F[..]",
     .expand = expand_twice},
    {0},
};

typedef struct Fixture {
    SnContext *ctx;
    SnCompiler *cc;
} Fixture;

static int setup(void **state)
{
    static Fixture f;
    static const SnOp *const tables[] = {ops, NULL};
    const SnCompilerDesc desc = {.struct_size = sizeof desc, .ops = tables};
    *state = &f;
    SnError err;
    assert_ok(sn_context_create(NULL, &f.ctx, &err));
    assert_ok(sn_compiler_create(f.ctx, &desc, &f.cc, &err));
    return 0;
}

static int teardown(void **state)
{
    Fixture *f = (Fixture *)*state;
    sn_compiler_destroy(f->cc);
    sn_context_destroy(f->ctx);
    return 0;
}

static SnGraph *parse(Fixture *f, SnBytes text)
{
    SnGraph *g = NULL;
    SnError err;
    assert_ok(sn_graph_create(f->cc, &g, &err));
    assert_ok(sn_graph_parse(g, "test", text, &err));
    return g;
}

static SnText print(SnGraph *g)
{
    SnError err;
    SnText t = {.memory = g->memory};
    assert_ok(sn_graph_print(g, &t, &err));
    return t;
}

/* Parses and prints; what is printed must print to itself again. */
static void assert_prints(Fixture *f, const char *text, const char *want)
{
    SnGraph *g = parse(f, sn_bytes_str(text));
    SnText once = print(g);
    SnGraph *again = parse(f, sn_bytes(once.at, once.n));
    SnText twice = print(again);
    assert_string_equal(once.at, twice.at);
    if (want != NULL)
        assert_string_equal(once.at, want);
    sn_text_clear(&once);
    sn_text_clear(&twice);
    sn_graph_destroy(g);
    sn_graph_destroy(again);
}

static void assert_refuses(Fixture *f, const char *text, const char *message)
{
    SnGraph *g = NULL;
    SnError err;
    assert_ok(sn_graph_create(f->cc, &g, &err));
    const SnStatus st = sn_graph_parse(g, "test", sn_bytes_str(text), &err);
    assert_int_not_equal(st, SN_OK);
    assert_string_equal(err.message, message);
    assert_int_not_equal(sn_graph_check(g, NULL), SN_OK);
    sn_graph_destroy(g);
}

static void function_alone_becomes_the_entry(void **state)
{
    assert_prints((Fixture *)*state,
                  "; root mean square norm\n"
                  "fn @rms(x: f32[b,n], w: f32[n]) {\n"
                  "  %1 = mul %x %x\n"
                  "  %2 = reduce add %1 axes=[1] keep   ; sum of squares\n"
                  "  %3 = div 1 (sqrt (add (div %2 n) 1e-6))\n"
                  "  ret  = mul (mul %x %3) %w\n"
                  "}\n",
                  "dims b in 0..1099511627776\n"
                  "dims n in 0..1099511627776\n"
                  "fn @f0(a0: f32[b,n], a1: f32[n]) {\n"
                  "  %1 = mul %a0 %a0\n"
                  "  %2 = reduce add %1 axes=[1] keep\n"
                  "  %3 = cast n f32\n"
                  "  %4 = broadcast %3 [b,1]\n"
                  "  %5 = div %2 %4\n"
                  "  %6 = broadcast 1e-06 [b,1]\n"
                  "  %7 = add %5 %6\n"
                  "  %8 = sqrt %7\n"
                  "  %9 = broadcast 1.0 [b,1]\n"
                  "  %10 = div %9 %8\n"
                  "  %11 = broadcast %10 [b,n]\n"
                  "  %12 = mul %a0 %11\n"
                  "  %13 = broadcast %a1 [b,n]\n"
                  "  %14 = mul %12 %13\n"
                  "  ret = %14\n"
                  "}\n"
                  "entry @main(x: f32[b,n], w: f32[n]) {\n"
                  "  %1 = call @f0 x w\n"
                  "  ret out: %1\n"
                  "}\n");
}

static void loops_carries_and_captures(void **state)
{
    assert_prints((Fixture *)*state,
                  "program @count\n"
                  "dims b in 1..64 at create, t in 1..100\n"
                  "carry k: i32[b] = -1\n"
                  "carry hold: list<u8>[b] max=64 = []\n"
                  "param w: f32[3], model.v.0: f32[3]\n"
                  "fn @more(i: i64, c: f32[3]; s: f32) { ret = lt (reduce add c) s }\n"
                  "fn @body(i: i64, c: f32[3], x: f32[3]; s: f32) {\n"
                  "  %n = add %c (mul %x %s)\n"
                  "  ret = tuple %n | (reduce max %n axes=[0]), %i\n"
                  "}\n"
                  "fn @left(x: f32[n,3], s: f32) { ret = mul x s }\n"
                  "fn @right(x: f32[n,3], s: f32) { ret = x }\n"
                  "entry @main(x: f32[t,3], s: f32) {\n"
                  "  %l = loop bound=t while=@more body=@body (w) scan(x); s   ; rows\n"
                  "  ret sum: %l.0, top: %l.1, trips: %l.3, again: (cond (lt s 0) @left @right (x, s))\n"
                  "  next k = add k 1, hold = hold\n"
                  "}\n"
                  "entry @other(y: f32[3]) { ret y: (add y model.v.0) next k = k }\n",
                  "dims b in 1..64 at create\n"
                  "dims t in 1..100\n"
                  "dims n in 0..1099511627776\n"
                  "fn @f0(a0: i64, a1: f32[3], a2: f32) {\n"
                  "  %1 = reduce add %a1 axes=[0]\n"
                  "  %2 = lt %1 %a2\n"
                  "  ret = %2\n"
                  "}\n"
                  "fn @f1(a0: i64, a1: f32[3], a2: f32[3], a3: f32) {\n"
                  "  %1 = broadcast %a3 [3]\n"
                  "  %2 = mul %a2 %1\n"
                  "  %3 = add %a1 %2\n"
                  "  %4 = reduce max %3 axes=[0]\n"
                  "  %5 = tuple %3 %4 %a0\n"
                  "  ret = %5\n"
                  "}\n"
                  "fn @f2(a0: f32[n,3], a1: f32) {\n"
                  "  %1 = broadcast %a1 [n,3]\n"
                  "  %2 = mul %a0 %1\n"
                  "  ret = %2\n"
                  "}\n"
                  "fn @f3(a0: f32[n,3], a1: f32) {\n"
                  "  ret = %a0\n"
                  "}\n"
                  "carry k: i32[b] = -1\n"
                  "%1 = broadcast 0 [b]\n"
                  "%2 = broadcast 0:u8 [64]\n"
                  "%3 = list %1 %1 %2\n"
                  "carry hold: list<u8>[b] max=64 = %3\n"
                  "param w: f32[3]\n"
                  "param model.v.0: f32[3]\n"
                  "entry @main(x: f32[t,3], s: f32) {\n"
                  "  %1 = loop body=@f1 while=@f0 bound=t (w) scan(x); s\n"
                  "  %2 = lt s 0.0\n"
                  "  %3 = cond %2 @f2 @f3 x s\n"
                  "  %4 = broadcast 1:i32 [b]\n"
                  "  %5 = add k %4\n"
                  "  ret sum: %1.0, top: %1.1, trips: %1.3, again: %3\n"
                  "  next k = %5\n"
                  "  next hold = hold\n"
                  "}\n"
                  "entry @other(y: f32[3]) {\n"
                  "  %1 = add model.v.0 y\n"
                  "  ret y: %1\n"
                  "  next k = k\n"
                  "}\n");
}

/* Every primitive that has a form of its own, and names that need quotes. */
static const char every_primitive[] =
    "dims b in 1..8, s in 1..100, \"odd name\" in 0..9, \"exp\" in 1..2\n"
    "object tok: tokenizer = x\"00ff\"\n"
    "carry \"c 1\": f32 = 0.5\n"
    "param w: f32[3]\n"
    "fn @sum(a: f32, c: f32) { ret = add a c }\n"
    "fn @pair(a: f32[n]) { ret = tuple a (neg a) names=[\"x\", \"y\"] }\n"
    "entry @main(x: f32[b,s], i: i64, \"in put\": f32[\"odd name\"], tanh: f32[b,s], l: list<u8>[b], m: "
    "bool[b],\n"
    "            e: f32[\"exp\",s], h: f16, u: u64) {\n"
    "  %z = abs (neg %tanh)\n"
    "  %c0 = const 0 i32 [b,s]\n"
    "  %c1 = const f32 [2,3] {1, -2.5, 1e-3, inf, -inf, nan}\n"
    "  %c2 = const u8 [3] x\"00ff10\"\n"
    "  %c3 = const 7 i16\n"
    "  %i0 = iota [b,s] i32 axis=1\n"
    "  %ca = cast x f16\n"
    "  %ci = cast x i8 sat\n"
    "  %bc = bitcast %c2 i8\n"
    "  %rs = reshape x [s*b/s, s]\n"
    "  %r0 = reshape %c3 []\n"
    "  %pe = permute x perm=[1,0]\n"
    "  %br = broadcast (reshape m [b,1]) [2*b+1-b-1,s]\n"
    "  %sl = slice x [0,i] [b,1]\n"
    "  %s2 = slice x [0,0] [b,idiv(s, 2)] steps=[1,2]\n"
    "  %pa = pad x [0,1] [0,s] 0 interior=[0,1]\n"
    "  %fl = flip x axes=[0,-1]\n"
    "  %cc = concat x x (add x 1) axis=-1\n"
    "  %wi = window %c1 axis=1 size=2 stride=1\n"
    "  %re = reduce max x\n"
    "  %rf = reduce fn @sum x 0.0 axes=[1] keep\n"
    "  %sc = scan add x axis=1 reverse\n"
    "  %am = argmax x axis=0 keep\n"
    "  %co = contract \"bs,cs->bc\" x x acc=f32\n"
    "  %ga = gather x axes=[0,1] (%i0, mod %i0 2) oob=zero\n"
    "  %st = scatter add x axes=[0] (iota [b]) x\n"
    "  %up = update x (slice x [0,0] [1,1]) [i,min(s, 3)]\n"
    "  %so = sort keys=(x) with=(%i0) axis=1 desc limit=3\n"
    "  %cm = compact x m max=b\n"
    "  %me = measure i max=4*b\n"
    "  %ms = measure (cast i i32)\n"
    "  %io = iota [%me, %ms]\n"
    "  %va = values l max=1000\n"
    "  %of = offsets l\n"
    "  %li = list (get l 0) (get l 1) (get l 2)\n"
    "  %wh = where %br x 0.25\n"
    "  %fm = fma x x x\n"
    "  %hf = add h 0.1\n"
    "  %uu = add u 18446744073709551615:u64\n"
    "  %pr = call @pair (input \"in put\")\n"
    "  %di = mul (input \"in put\") (dim \"odd name\")\n"
    "  %tw = twice x by=3 exact axes=[1,2] mode=\"a b\"\n"
    "  %t2 = twice (param w) none mode=down\n"
    "  %tp = stop (copy e device=gpu0)\n"
    "  %cl = collective x kind=all_gather group=2\n"
    "  ret z: %z, c0: %c0, c1: %c1, c2: %bc, c3: %r0, ca: %ca, ci: %ci, rs: %rs, pe: %pe, br: %br, sl: %sl\n"
    "  ret s2: %s2, pa: %pa, fl: %fl, cc: %cc, wi: %wi, re: %re, rf: %rf, sc: %sc, am: %am, co: %co, ga: "
    "%ga\n"
    "  ret st: %st, up: %up, so: %so.1, cm: %cm, io: %io, va: %va, of: %of, li: %li, wh: %wh, fm: %fm, hf: "
    "%hf\n"
    "  ret uu: %uu, pr: %pr, di: %di, tw: %tw, t2: %t2, tp: %tp, cl: %cl, \"a name\": (carry \"c 1\"), tok: "
    "tok\n"
    "}\n";

static void every_primitive_survives(void **state)
{
    assert_prints((Fixture *)*state, every_primitive, NULL);
}

/* The same calls through the builder give the term that the printed text gives. */
static void builder_graph_parses_to_its_own_print(void **state)
{
    Fixture *f = (Fixture *)*state;
    SnGraph *g = NULL;
    SnError err;
    assert_ok(sn_graph_create(f->cc, &g, &err));
    const SnValue b = sn_symbol(g, "b", 1, 64), n = sn_symbol(g, "n", 1, 64), dims[2] = {b, n};
    const SnValue x = sn_input(g, "x", SN_F32, 2, dims), k = sn_carry(g, "k", sn_const_int(g, SN_I32, 7));
    const SnValue y = sn_where(g, sn_lt(g, x, sn_const(g, SN_F32, 0)), sn_exp(g, x), sn_const(g, SN_F32, 1));
    sn_output(g, "y", y);
    sn_output(g, "rows",
              sn_compact(g, y, sn_lt(g, sn_reduce(g, "add", x, 1, (int[]){1}, false), sn_const(g, SN_F32, 0)),
                         sn_none()));
    sn_next(g, k, sn_add(g, k, sn_const_int(g, SN_I32, 1)));
    SnText once = print(g);
    SnGraph *again = parse(f, sn_bytes(once.at, once.n));
    SnText twice = print(again);
    assert_string_equal(once.at, twice.at);
    sn_text_clear(&once);
    sn_text_clear(&twice);
    sn_graph_destroy(again);
    sn_graph_destroy(g);
}

static void errors_name_line_and_cause(void **state)
{
    static const char *const cases[][2] = {
        {"", "test:1: there is no entry and no function"},
        {"fn @f(x: f32[n]) {\n  ret = mul x y\n}\n", "test:2: unknown name y"},
        {"fn @f(x: f32[n]) {\n  ret = frob x\n}\n", "test:2: unknown name frob"},
        {"fn @f(x: f32[n]) {\n  ret = mul x x x\n}\n",
         "test:2: mul(f32[n], f32[n], f32[n]): 3 operands: expected 2"},
        {"fn @f(x: f32[n], y: f32[m]) {\n  %1 = add x y\n  ret = %1\n}\n",
         "test:2: add(f32[n], f32[m]): dims do not broadcast together"},
        {"fn @f(x: f32[n]) {\n  %1 = neg x\n  %1 = neg x\n  ret = %1\n}\n", "test:3: 1 is already there"},
        {"fn @f(x: f33) { ret = x }", "test:1: expected a type"},
        {"fn @f(x: f32) { ret = x } y", "test:1: expected the end of the line"},
        {"fn @f(x: f32) { ret = reduce add x axis=0 }", "test:1: reduce has no attribute axis"},
        {"fn @f(x: f32) { ret = add x 1.5:i32 }", "test:1: a float stands for i32"},
        {"fn @f(x: f32) { ret = add x 300:u8 }", "test:1: the integer does not fit u8"},
        {"fn @f(x: f32) { ret = x.0 }",
         "test:1: get(f32): operand 1: expected a tuple, or a list and index 0, 1 or 2, found f32"},
        {"entry @e(x: f32) {\n  ret y: x\n  next k = x\n}\n", "test:3: unknown name k"},
        {"dims b in 3..1\n", "test:1: the range is empty"},
        {"param w: f32[n]\n", "test:1: a param is a tensor with constant dims"},
        {"input x: f32[1,1,1,1,1,1,1,1,1,1,1,1,1]\n", "test:1: rank is beyond 12"},
        {"%1 = const f32 [3] {1, 2}\n", "test:1: 8 bytes for a constant of 12"},
        {"%1 = \"open\n", "test:1: a text does not end"},
        {"%1 = 99999999999999999999\n", "test:1: the integer does not fit 64 bits"},
        {"%1 = const 1 \x01\n", "test:1: unexpected character 0x01"},
        {"%1 = host host host\n", "test:1: host: expected the name of an op"},
    };
    for (size_t i = 0; i < SN_COUNT(cases); i++)
        assert_refuses((Fixture *)*state, cases[i][0], cases[i][1]);
}

static void nesting_is_limited(void **state)
{
    char text[2000];
    size_t n = (size_t)snprintf(text, sizeof text, "fn @f(x: f32) { ret = ");
    for (int i = 0; i < 300; i++)
        text[n++] = '(';
    text[n] = '\0';
    assert_refuses((Fixture *)*state, text, "test:1: nested deeper than 64");
    n = (size_t)snprintf(text, sizeof text, "fn @f(x: ");
    for (int i = 0; i < 200; i++)
        n += (size_t)snprintf(text + n, sizeof text - n, "tuple<");
    assert_refuses((Fixture *)*state, text, "test:1: nested deeper than 64");
    n = (size_t)snprintf(text, sizeof text, "input x: f32[");
    for (int i = 0; i < 300; i++)
        n += (size_t)snprintf(text + n, sizeof text - n, "-");
    assert_refuses((Fixture *)*state, text, "test:1: nested deeper than 64");
}

/* Whatever a prefix or a changed byte makes of the text, parsing ends, and says why. */
static void damaged_text_is_refused_or_read(void **state)
{
    Fixture *f = (Fixture *)*state;
    SnError err;
    for (size_t i = 0; i < 4 * sizeof every_primitive; i++) {
        char text[sizeof every_primitive];
        const size_t at = i % (sizeof every_primitive - 1);
        memcpy(text, every_primitive, sizeof text);
        if (i >= sizeof every_primitive)
            text[at] = " ;)%"[i / sizeof every_primitive];
        SnGraph *g = NULL;
        assert_ok(sn_graph_create(f->cc, &g, &err));
        const size_t n = i < sizeof every_primitive ? at : sizeof every_primitive - 1;
        if (sn_graph_parse(g, "test", sn_bytes(text, n), &err) != SN_OK)
            assert_int_equal(strncmp(err.message, "test:", 5), 0);
        sn_graph_destroy(g);
    }
}

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

static SnStatus parse_and_print(const SnContextDesc *desc)
{
    static const SnOp *const tables[] = {ops, NULL};
    const SnCompilerDesc compiler = {.struct_size = sizeof compiler, .ops = tables};
    SnContext *ctx = NULL;
    SnCompiler *cc = NULL;
    SnGraph *g = NULL;
    SnText text = {0};
    SnStatus st = sn_context_create(desc, &ctx, NULL);
    if (st == SN_OK)
        st = sn_compiler_create(ctx, &compiler, &cc, NULL);
    if (st == SN_OK)
        st = sn_graph_create(cc, &g, NULL);
    if (st == SN_OK)
        st = sn_graph_parse(g, "test", sn_bytes_str(every_primitive), NULL);
    if (st == SN_OK) {
        text.memory = sn_allocator(ctx);
        st = sn_graph_print(g, &text, NULL);
        sn_text_clear(&text);
    }
    sn_graph_destroy(g);
    sn_compiler_destroy(cc);
    sn_context_destroy(ctx);
    return st;
}

static void lack_of_memory_is_an_error_at_every_allocation(void **state)
{
    (void)state;
    SnStatus st = SN_ENOMEM;
    uint32_t n = 0;
    for (; st == SN_ENOMEM && n < 5000; n++) {
        uint32_t left = n;
        const SnContextDesc desc = {.struct_size = sizeof desc, .memory = {&left, scarce_resize}};
        st = parse_and_print(&desc);
    }
    assert_int_equal(st, SN_OK);
    assert_in_range(n, 50, 5000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(function_alone_becomes_the_entry),
        cmocka_unit_test(loops_carries_and_captures),
        cmocka_unit_test(every_primitive_survives),
        cmocka_unit_test(builder_graph_parses_to_its_own_print),
        cmocka_unit_test(errors_name_line_and_cause),
        cmocka_unit_test(nesting_is_limited),
        cmocka_unit_test(damaged_text_is_refused_or_read),
        cmocka_unit_test(lack_of_memory_is_an_error_at_every_allocation),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
