/* verify_test.c -- the verifier accepts what the passes make, and names the term that is wrong. */
#include "compiler/build.h"
#include "tests/unit/fixture.h"

static SnValue expand_half(SnGraph *g, const SnCall *c)
{
    return sn_mul(g, c->in[0], sn_const(g, SN_F32, 0.5));
}

static const SnOp ops[] = {{.sig = "half(x: F[..]) -> F[..]", .expand = expand_half}, {0}};

static int setup(void **state)
{
    static const SnOp *const tables[] = {ops, NULL};
    return fixture_open(state, tables);
}

static SnRef parse(Fixture *f, const char *text)
{
    SnError err;
    assert_ok(sn_graph_parse(f->g, "test", sn_bytes_str(text), &err));
    return sn_graph_root(f->g);
}

static SnRef input(Fixture *f, SnTypeId type)
{
    return sn_term_make(f->s, SN_OP_INPUT, type, sn_attrs_make(f->s, &SN_STRING("name", "q"), 1), NULL, 0);
}

/* A program whose only output is r. */
static SnRef program(Fixture *f, SnRef r)
{
    SnStore *s = f->s;
    const char *names[] = {"out"};
    const SnTypeId type = sn_term(s, r)->type, tuple = sn_type_tuple(s, 1, &type, names);
    const SnRef t =
        sn_term_make(s, SN_OP_TUPLE, tuple, sn_attrs_make(s, &SN_NAMES("names", names, 1), 1), &r, 1);
    const SnRef e =
        sn_term_make(s, SN_OP_ENTRY, tuple, sn_attrs_make(s, &SN_STRING("name", "main"), 1), &t, 1);
    return sn_term_make(s, SN_OP_PROGRAM, 0, 0, &e, 1);
}

static void assert_finds(Fixture *f, SnRef root, const char *part)
{
    SnError err;
    assert_fails(SN_EINTERNAL, sn_verify(&f->pass, root, &err));
    if (strstr(err.message, part) == NULL)
        fail_msg("\"%s\" lacks \"%s\"", err.message, part);
}

static void programs_of_all_stages_pass(void **state)
{
    Fixture *f = (Fixture *)*state;
    SnError err;
    SnRef root = parse(f, "dims b in 1..9, t in 1..9\n"
                          "carry k: f32[3] = 0\n"
                          "fn @cell(i: i64, c: f32[n], x: f32[n]; w: f32[n]) {\n"
                          "  ret = tuple (half (add c (mul x w))) | c\n"
                          "}\n"
                          "fn @twice(x: f32[n]) { ret = add x x }\n"
                          "entry @main(x: f32[t,3], l: list<u8>[b], w: f32[3]) {\n"
                          "  %s = loop bound=t body=@cell (k) scan(x); w\n"
                          "  ret y: %s.1, l: (flip l axes=[0]), z: (call @twice (call @twice w))\n"
                          "  next k = %s.0\n"
                          "}\n");
    assert_ok(sn_verify(&f->pass, root, &err));
    assert_ok(sn_pass_expand(&f->pass, root, &root, &err));
    f->pass.flags |= SN_PASS_EXPANDED;
    assert_ok(sn_verify(&f->pass, root, &err));
    assert_ok(sn_pass_inline(&f->pass, root, &root, &err));
    f->pass.flags |= SN_PASS_INLINED;
    assert_ok(sn_verify(&f->pass, root, &err));
    assert_ok(sn_pass_flatten(&f->pass, root, &root, &err));
    f->pass.flags |= SN_PASS_FLAT;
    assert_ok(sn_verify(&f->pass, root, &err));
}

static void stage_left_behind_is_found(void **state)
{
    Fixture *f = (Fixture *)*state;
    const SnRef root = parse(f, "fn @id(x: f32[n]) { ret = half x }\n"
                                "entry @main(x: f32[4], l: list<u8>[2]) { ret y: (call @id x), l: l }\n");
    f->pass.flags = SN_PASS_EXPANDED;
    assert_finds(f, root, "(half): a composite after expand");
    f->pass.flags = SN_PASS_INLINED;
    assert_finds(f, root, "(call): a call after inline");
    f->pass.flags = SN_PASS_FLAT;
    assert_finds(f, root, "(input): a list or nested tuple after flatten");
}

static void wrong_type_is_found(void **state)
{
    Fixture *f = (Fixture *)*state;
    SnStore *s = f->s;
    const SnRef four = sn_const_i64(s, 4), five = sn_const_i64(s, 5);
    const SnTypeId t4 = sn_type_tensor(s, SN_F32, 1, &four), t5 = sn_type_tensor(s, SN_F32, 1, &five);
    const SnRef x = input(f, t4);
    assert_finds(f, program(f, sn_term_make(s, SN_OP_NEG, t5, 0, &x, 1)),
                 "(neg): expected f32[4], found f32[5]");
    const SnRef xy[2] = {
        x, sn_term_make(s, SN_OP_INPUT, t5, sn_attrs_make(s, &SN_STRING("name", "y"), 1), NULL, 0)};
    assert_finds(f, program(f, sn_term_make(s, SN_OP_SUB, t4, 0, xy, 2)),
                 "(sub): sub: operand 2: expected f32[4], found f32[5]");
    assert_finds(f, x, "the root is no program");
}

static void open_function_is_found(void **state)
{
    Fixture *f = (Fixture *)*state;
    SnStore *s = f->s;
    const SnTypeId t = sn_type_scalar(s, SN_F32);
    const SnRef arg[2] = {sn_term_make(s, SN_OP_ARG, t, sn_attrs_make(s, &SN_INT("index", 0), 1), NULL, 0),
                          sn_term_make(s, SN_OP_ARG, t, sn_attrs_make(s, &SN_INT("index", 7), 1), NULL, 0)};
    const SnRef sum = sn_term_make(s, SN_OP_ADD, t, 0, arg, 2), parts[2] = {sum, arg[0]};
    SnRef fn = 0, call = 0;
    SnError err;
    assert_ok(sn_term_build(s, SN_OP_FN, 0, parts, 2, &fn, &err));
    assert_ok(sn_term_build(s, SN_OP_CALL, 0, (const SnRef[]){fn, input(f, t)}, 2, &call, &err));
    assert_finds(f, program(f, call), "(fn): parameter 7");
    assert_finds(f, program(f, sum), "(entry): parameter");
}

static void bad_leaves_are_found(void **state)
{
    Fixture *f = (Fixture *)*state;
    SnStore *s = f->s;
    const SnRef four = sn_const_i64(s, 4);
    const SnTypeId t = sn_type_tensor(s, SN_F32, 1, &four);
    const SnAttr data = {.name = "data", .kind = SN_ATTR_DATA, .u.data = sn_bytes("12345678", 8)};
    assert_finds(f, program(f, sn_term_make(s, SN_OP_CONST, t, sn_attrs_make(s, &data, 1), NULL, 0)),
                 "(const): 8 bytes, expected 16");
    assert_finds(f, program(f, sn_term_make(s, SN_OP_INPUT, t, 0, NULL, 0)), "(input): has no name");
    assert_finds(f, program(f, sn_term_make(s, SN_OP_INDEX, sn_type_scalar(s, SN_I64), 0, NULL, 0)),
                 "(index): belongs in kernels only");
}

#define verify_unit_test(t) cmocka_unit_test_setup_teardown(t, setup, fixture_close)

int main(void)
{
    const struct CMUnitTest tests[] = {
        verify_unit_test(programs_of_all_stages_pass), verify_unit_test(stage_left_behind_is_found),
        verify_unit_test(wrong_type_is_found),         verify_unit_test(open_function_is_found),
        verify_unit_test(bad_leaves_are_found),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
