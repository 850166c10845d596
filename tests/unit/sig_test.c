/* sig_test.c -- op signatures: parsing, checking of calls, results, messages. */
#include "compiler/sig.h"
#include "tests/unit/unit.h"

#include <stdio.h>

typedef struct Fixture {
    SnContext *ctx;
    SnStore *s;
    SnSig sig;
    SnAttr attr[SN_SIG_ATTRS];
} Fixture;

static void open_fixture(Fixture *f, const char *text, const SnAttr *given, int ngiven)
{
    SnError err;
    *f = (Fixture){0};
    assert_ok(sn_context_create(NULL, &f->ctx, &err));
    assert_ok(sn_store_create(f->ctx, &f->s, &err));
    assert_ok(sn_sig_parse(sn_store_arena(f->s), text, &f->sig, &err));
    assert_ok(sn_sig_attrs(&f->sig, given, ngiven, f->attr, &err));
}

static void close_fixture(Fixture *f)
{
    sn_store_destroy(f->s);
    sn_context_destroy(f->ctx);
}

/* "f32 4 n": an input of this dtype and these dims; "list<u8> b": a list. */
static SnRef input(Fixture *f, const char *type)
{
    char text[64], *save = NULL;
    SnRef dims[SN_MAX_RANK];
    int ndim = 0;
    snprintf(text, sizeof text, "%s", type);
    const char *const head = strtok_r(text, " ", &save);
    const bool is_list = strncmp(head, "list<", 5) == 0;
    const SnDtype dtype =
        is_list ? sn_dtype_find(head + 5, strlen(head) - 6) : sn_dtype_find(head, strlen(head));
    for (const char *dim = strtok_r(NULL, " ", &save); dim != NULL; dim = strtok_r(NULL, " ", &save))
        dims[ndim++] = dim[0] >= '0' && dim[0] <= '9' ? sn_const_i64(f->s, dim[0] - '0')
                                                      : sn_dim_symbol(f->s, dim, 1, 64, false);
    const SnTypeId id = is_list ? sn_type_list(f->s, dtype, ndim, dims, sn_const_i64(f->s, 8))
                                : sn_type_tensor(f->s, dtype, ndim, dims);
    const SnAttrId name = sn_attrs_make(f->s, &SN_STRING("name", type), 1);
    return sn_term_make(f->s, SN_OP_INPUT, id, name, NULL, 0);
}

/* Result type of a call, or the message. Operand types are separated by commas; "-": absent. */
static void call(Fixture *f, const char *types, char *out, size_t size)
{
    char text[256], *save = NULL;
    SnRef in[SN_SIG_OPERANDS];
    SnError err = {0};
    SnSigMatch m;
    SnTypeId type = 0;
    int n = 0;
    snprintf(text, sizeof text, "%s", types);
    for (char *t = strtok_r(text, ",", &save); t != NULL; t = strtok_r(NULL, ",", &save))
        in[n++] = t[0] == '-' ? 0 : input(f, t);
    SnStatus st = sn_sig_match(f->s, &f->sig, in, n, f->attr, &m, &err);
    if (st == SN_OK)
        st = sn_sig_result(f->s, &m, &type, &err);
    SnText printed = {.memory = sn_allocator(f->ctx)};
    if (st == SN_OK)
        sn_type_print(f->s, type, &printed);
    snprintf(out, size, "%s", st == SN_OK ? printed.at : err.message);
    sn_text_clear(&printed);
}

static void expect(const char *sig, const SnAttr *given, int ngiven, const char *types, const char *result)
{
    Fixture f;
    char found[512];
    open_fixture(&f, sig, given, ngiven);
    call(&f, types, found, sizeof found);
    assert_string_equal(found, result);
    close_fixture(&f);
}

static void parse_all_parts(void **state)
{
    (void)state;
    Fixture f;
    open_fixture(
        &f,
        "f(x: T[b,n], w: F[n]?, o: object<tokenizer>, l: list<u8>[b], xs: I[..]*; eps: f64 = 1e-5, "
        "axis: int = -1, keep: bool = true, mode: str = \"a b\", to: dtype = f16, axes: ints = [1, -2]) "
        "-> (y: T[b, 3], i64[..])",
        NULL, 0);
    assert_string_equal(f.sig.name, "f");
    assert_int_equal(f.sig.noperand, 5);
    assert_true(f.sig.operand[1].is_optional);
    assert_false(f.sig.operand[0].is_optional);
    assert_true(f.sig.operand[4].is_variadic);
    assert_int_equal(f.sig.operand[2].type.kind, SN_SIG_OBJECT);
    assert_string_equal(f.sig.operand[2].type.class_name, "tokenizer");
    assert_int_equal(f.sig.operand[3].type.kind, SN_SIG_LIST);
    assert_int_equal(f.sig.operand[3].type.fixed, SN_U8);
    assert_string_equal(f.sig.operand[0].type.text, "T[b,n]");
    assert_int_equal(f.sig.nattr, 6);
    assert_true(f.attr[0].u.f == 1e-5);
    assert_int_equal(f.attr[1].u.i, -1);
    assert_int_equal(f.attr[2].u.i, 1);
    assert_string_equal(f.attr[3].u.s, "a b");
    assert_int_equal(f.attr[4].u.d, SN_F16);
    assert_int_equal(f.attr[5].u.ints.n, 2);
    assert_int_equal(f.attr[5].u.ints.at[1], -2);
    assert_int_equal(f.sig.nresult, 2);
    assert_string_equal(f.sig.result[0].name, "y");
    assert_int_equal(f.sig.result[0].type.dim[1].number, 3);
    close_fixture(&f);
}

static void parse_mistakes_name_the_column(void **state)
{
    (void)state;
    static const struct {
        const char *text, *message;
    } cases[] = {
        {"f(x: F[..)", "expected ] at column 10"},
        {"f(x F[..])", "expected : at column 6"},
        {"f(x: F[..]) -> F[..] x", "expected the end at column 22"},
        {"f(x: F[.., n, ..]) -> F[n]", "expected one .. only at column 17"},
        {"f(x: F[n, *]) -> F[n]", "expected * or ? alone at column 12"},
        {"f(x: F[..]*, y: F[..]) -> F[..]", "expected no further operand at column 15"},
        {"f(x: F[..]; a: float) -> F[..]", "expected int, bool, f64, str, dtype or ints at column 21"},
        {"f(x: F[..]; a: bool = 1) -> F[..]", "expected false at column 23"},
        {"", "expected a name at column 1"},
    };
    SnContext *ctx = NULL;
    SnError err;
    SnArena arena;
    SnSig sig;
    assert_ok(sn_context_create(NULL, &ctx, &err));
    sn_arena_init(&arena, sn_allocator(ctx));
    for (size_t i = 0; i < SN_COUNT(cases); i++) {
        assert_fails(SN_EINVAL, sn_sig_parse(&arena, cases[i].text, &sig, &err));
        assert_non_null(strstr(err.message, cases[i].message));
    }
    sn_arena_clear(&arena);
    sn_context_destroy(ctx);
}

static void results_follow_operands(void **state)
{
    (void)state;
    expect("f(x: F[..]) -> F[..]", NULL, 0, "f32 b 4", "f32[b,4]");
    expect("f(x: F[..]) -> F[..]", NULL, 0, "bf16", "bf16");
    expect("f(ids: I[..], w: T[v, d]) -> T[.., d]", NULL, 0, "i64 b s,f16 9 3", "f16[b,s,3]");
    expect("f(x: T[*], y: T[*]) -> bool[*]", NULL, 0, "f32 b 1 4,f32 5 1", "bool[b,5,4]");
    expect("f(x: F[.., n], w: F[n]?) -> (F[.., n], m: i32[n])", NULL, 0, "f32 2 4,-",
           "tuple<f32[2,4], i32[4]>");
    expect("f(x: F[b, c, ..], w: F[c]) -> F[.., c]", NULL, 0, "f32 2 3 h,f32 3", "f32[h,3]");
    expect("f(x: F[b, c, ..], w: F[c]) -> F[.., c]", NULL, 0, "f32 2 3,f32 3", "f32[3]");
    expect("f(x: T[?], y: T[?], z: T[n]) -> T[n]", NULL, 0, "i8 b 4,i8,i8 5", "i8[5]");
    expect("f(x: list<T>[b]) -> T[b, 2]", NULL, 0, "list<i32> b", "i32[b,2]");
    expect("f(x: F[..]; depth: int, to: dtype = f16) -> to[.., depth]", &SN_INT("depth", 7), 1, "f32 2",
           "f16[2,7]");
}

static void calls_that_do_not_fit_say_why(void **state)
{
    (void)state;
    expect("f(x: F[..]) -> F[..]", NULL, 0, "i32 b", "f: operand 1 (x): expected F[..], found i32[b]");
    expect("f(x: F[a, b]) -> F[a]", NULL, 0, "f32 4", "f: operand 1 (x): expected F[a, b], found f32[4]");
    expect("f(x: F[..], y: F[..]) -> F[..]", NULL, 0, "f32 4,f16 4",
           "f: operand 2 (y) is f16, but operand 1 (x) is f32");
    expect("f(x: F[.., n], w: F[n]) -> F[..]", NULL, 0, "f32 b 4,f32 5",
           "f: dim n is 4 in operand 1 (x) and 5 in operand 2 (w)");
    expect("f(x: F[..], y: F[..]) -> F[..]", NULL, 0, "f32 b,f32 c",
           "f: dim .. is b in operand 1 (x) and c in operand 2 (y)");
    expect("f(x: F[n, 3]) -> F[n]", NULL, 0, "f32 b 2", "f: operand 1 (x): expected F[n, 3], found f32[b,2]");
    expect("f(x: F[..], w: F[..]?, y: F[..]) -> F[..]", NULL, 0, "f32 4,-,-", "f: operand 3 (y) is missing");
    expect("f(x: F[..]) -> F[..]", NULL, 0, "f32 4,f32 4", "f: expected 1 operands, found 2");
    expect("f(x: T[*], y: T[*]) -> T[*]", NULL, 0, "f32 4,f32 5",
           "f: operand 2 (y): expected T[*], found f32[5]");
    expect("f(x: list<T>[b]) -> T[b]", NULL, 0, "i32 4",
           "f: operand 1 (x): expected list<T>[b], found i32[4]");
}

static void variadic_operands_share_variables(void **state)
{
    (void)state;
    expect("f(xs: T[..]*) -> T[..]", NULL, 0, "f32 4,f32 4,f32 4", "f32[4]");
    expect("f(xs: T[..]*) -> T[..]", NULL, 0, "f32 4,f32 4,i8 4",
           "f: operand 3 (xs) is i8, but operand 1 (xs) is f32");
}

static void attributes_are_checked(void **state)
{
    (void)state;
    Fixture f;
    SnError err;
    open_fixture(&f, "f(x: F[..]; eps: f64 = 1, axis: int) -> F[..]", &SN_INT("axis", 2), 1);
    const SnAttr whole[] = {SN_INT("axis", 0), SN_INT("eps", 3)};
    assert_ok(sn_sig_attrs(&f.sig, whole, 2, f.attr, &err));
    assert_int_equal(f.attr[0].kind, SN_ATTR_FLOAT);
    assert_true(f.attr[0].u.f == 3);
    assert_fails(SN_EINVAL, sn_sig_attrs(&f.sig, NULL, 0, f.attr, &err));
    assert_string_equal(err.message, "f: attribute axis is missing");
    assert_fails(SN_EINVAL, sn_sig_attrs(&f.sig, &SN_INT("axes", 0), 1, f.attr, &err));
    assert_string_equal(err.message, "f: no attribute axes");
    assert_fails(SN_EINVAL, sn_sig_attrs(&f.sig, &SN_STRING("axis", "x"), 1, f.attr, &err));
    assert_string_equal(err.message, "f: attribute axis must be of kind int");
    close_fixture(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(parse_all_parts),
        cmocka_unit_test(parse_mistakes_name_the_column),
        cmocka_unit_test(results_follow_operands),
        cmocka_unit_test(calls_that_do_not_fit_say_why),
        cmocka_unit_test(variadic_operands_share_variables),
        cmocka_unit_test(attributes_are_checked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
