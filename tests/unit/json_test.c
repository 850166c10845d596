/* json_test.c -- reading, hostile texts, numbers both ways. */
#include "runtime/context.h"
#include "runtime/json.h"

#include "tests/unit/unit.h"

#include <float.h>
#include <locale.h>
#include <math.h>

static SnStatus parse(SnArena *arena, SnBytes text, SnJson **out, SnError *err)
{
    sn_arena_clear(arena);
    return sn_json_parse(arena, "t.json", text, out, err);
}

static void json_writes_what_it_read(void **state)
{
    (void)state;
    /* Text, and what Python's json.dumps(json.loads(text), ensure_ascii=False) prints. */
    static const char *const cases[][2] = {
        {"null", "null"},
        {" [ ] ", "[]"},
        {"{\"a\":[1,-2,{\"b\":true}],\"c\":false}", "{\"a\": [1, -2, {\"b\": true}], \"c\": false}"},
        {"[1.0,1e3,0.1,-0.0,1e-5,1e16,1E+2,123456789012345680.0]",
         "[1.0, 1000.0, 0.1, -0.0, 1e-05, 1e+16, 100.0, 1.2345678901234568e+17]"},
        {"[9223372036854775807,-9223372036854775808]", "[9223372036854775807, -9223372036854775808]"},
        {"[9223372036854775808,-123456789012345678901234567890]",
         "[9223372036854775808, -123456789012345678901234567890]"},
        {"[NaN,Infinity,-Infinity,1e999]", "[NaN, Infinity, -Infinity, Infinity]"},
        {"\"\\u00e4\\ud83d\\ude00\\n\\\"\\\\\\/\\u0001\\t\"",
         "\"\xC3\xA4\xF0\x9F\x98\x80\\n\\\"\\\\/\\u0001\\t\""},
        {"\"\\ud83dx\\ude00\"", "\"\xEF\xBF\xBDx\xEF\xBF\xBD\""},
        {"\"\\ud83d\\ud83d\\ude00\"", "\"\xEF\xBF\xBD\xF0\x9F\x98\x80\""},
    };
    SnArena arena;
    SnError err;
    SnJson *v = NULL;
    sn_arena_init(&arena, &sn_default_allocator);
    for (size_t i = 0; i < SN_COUNT(cases); i++) {
        SnText t = {.memory = &sn_default_allocator};
        assert_ok(parse(&arena, sn_bytes_str(cases[i][0]), &v, &err));
        sn_json_put(&t, v);
        assert_string_equal(t.at, cases[i][1]);
        sn_text_clear(&t);
    }
    sn_arena_clear(&arena);
}

static void json_malformed_fails(void **state)
{
    (void)state;
    static const char *const cases[] = {"",
                                        " ",
                                        "nul",
                                        "[1,]",
                                        "[1 2]",
                                        "{\"a\" 1}",
                                        "{a:1}",
                                        "{\"a\":}",
                                        "01",
                                        "1.",
                                        ".5",
                                        "-",
                                        "1e",
                                        "+1",
                                        "[",
                                        "\"abc",
                                        "\"\\x\"",
                                        "\"\\u12\"",
                                        "\"\n\"",
                                        "[1]]",
                                        "'a'",
                                        "{\"a\":1,}",
                                        "\xEF\xBB\xBF[]",
                                        "\"\xED\xA0\x80\"",
                                        "\"\xFF\"",
                                        "nan",
                                        "\"\\u123g\""};
    SnArena arena;
    SnError err;
    SnJson *v = NULL;
    sn_arena_init(&arena, &sn_default_allocator);
    for (size_t i = 0; i < SN_COUNT(cases); i++)
        assert_fails(SN_EFORMAT, parse(&arena, sn_bytes_str(cases[i]), &v, &err));
    assert_null(v);
    assert_fails(SN_EFORMAT, parse(&arena, sn_bytes("\"a\\\0\"", 5), &v, &err));
    assert_fails(SN_EFORMAT, parse(&arena, sn_bytes_str("[1,\n  x]"), &v, &err));
    assert_string_equal(err.message, "t.json: line 2, column 3: expected a value");
    sn_arena_clear(&arena);
}

static void json_depth_64_passes_65_fails(void **state)
{
    (void)state;
    char text[2 * 65];
    SnArena arena;
    SnError err;
    SnJson *v = NULL;
    sn_arena_init(&arena, &sn_default_allocator);
    for (size_t depth = 64; depth <= 65; depth++) {
        memset(text, '[', depth);
        memset(text + depth, ']', depth);
        const SnBytes b = sn_bytes(text, 2 * depth);
        if (depth == 64)
            assert_ok(parse(&arena, b, &v, &err));
        else
            assert_fails(SN_EFORMAT, parse(&arena, b, &v, &err));
    }
    sn_arena_clear(&arena);
}

static void json_memory_is_bounded_by_text(void **state)
{
    (void)state;
    SnArena arena;
    SnError err;
    SnJson *v = NULL;
    SnText t = {.memory = &sn_default_allocator};
    sn_arena_init(&arena, &sn_default_allocator);
    sn_text_add(&t, "[", 1);
    for (int i = 0; i < 20000; i++)
        sn_text_printf(&t, "%s{},[],\"\",[1]", i == 0 ? "" : ",");
    sn_text_add(&t, "]", 1);
    assert_ok(sn_json_parse(&arena, "t", sn_bytes(t.at, t.n), &v, &err));
    assert_int_equal(v->n, 80000);
    assert_true(arena.used < 100 * t.n);
    sn_arena_clear(&arena);
    arena.limit = 1000;
    assert_fails(SN_ENOMEM, sn_json_parse(&arena, "t", sn_bytes(t.at, t.n), &v, &err));
    sn_text_clear(&t);
    sn_arena_clear(&arena);
}

static SnStatus walk_values(SnArena *arena, const char *text, SnText *out, SnError *err)
{
    static const char *const later[] = {"vocab", "merges", NULL};
    SnJson *root, v;
    SnJsonWalk w;
    SnBytes key, s;
    SN_TRY(sn_json_parse_some(arena, "t.json", sn_bytes_str(text), later, &root, err));
    const SnJson *all = sn_json_get(sn_json_get(root, "model"), "vocab");
    sn_text_printf(out, "%d %u:", all->kind == SN_JSON_LATER, all->n);
    sn_json_walk(&w, arena, "t.json", sn_bytes_str(text), all, err);
    for (bool is_in = sn_json_open(&w); is_in && sn_json_more(&w, &key);) {
        sn_text_printf(out, " %.*s=", (int)key.n, (const char *)key.at);
        if (sn_json_open(&w)) {
            while (sn_json_more(&w, &key) && sn_json_take_string(&w, &s))
                sn_text_printf(out, "<%.*s>", (int)s.n, (const char *)s.at);
        } else if (sn_json_take(&w, &v)) {
            sn_json_put(out, &v);
        }
    }
    return sn_json_walk_end(&w);
}

static void json_left_for_later_is_walked(void **state)
{
    (void)state;
    static const struct {
        const char *text, *values, *message; /* NULL: none */
    } cases[] = {
        {"{\"vocab\": [1], \"model\": {\"x\": {\"vocab\": {}}, \"vocab\": {\"a\": 1, \"\\u00e4\\\"}\": "
         "-2.5}}}",
         "1 2: a=1 \xC3\xA4\"}=-2.5", NULL},
        {"{\"model\":{\"vocab\":[[\"a\",\"\\n]\"] , [ ],\"b\",[\"c\"]]}}", "1 4: =<a><\n]> = =\"b\" =<c>",
         NULL},
        {"{\"model\": {\"vocab\": [\"a\", [1]]}}", NULL, "t.json: line 1, column 28: expected ',' or ']'"},
        {"{\"model\": {\"vocab\": [\"a\\x\"]}}", NULL, "t.json: line 1, column 26: bad escape in a string"},
        {"{\"model\": {\"vocab\": [1,]}}", NULL, "t.json: line 1, column 24: expected a value"},
        {"{\"model\": {\"vocab\": {1}}}", NULL, "t.json: line 1, column 22: expected a key"},
        {"{\"model\": {\"vocab\": [\"a}", NULL, "t.json: line 1, column 25: expected ',' or '}'"},
    };
    SnArena arena;
    sn_arena_init(&arena, &sn_default_allocator);
    for (size_t i = 0; i < SN_COUNT(cases); i++) {
        SnError err = {0};
        SnText t = {.memory = &sn_default_allocator};
        const SnStatus st = walk_values(&arena, cases[i].text, &t, &err);
        assert_int_equal(st, cases[i].message != NULL ? SN_EFORMAT : SN_OK);
        assert_string_equal(cases[i].message != NULL ? err.message : t.at,
                            cases[i].message != NULL ? cases[i].message : cases[i].values);
        sn_text_clear(&t);
    }
    sn_arena_clear(&arena);
}

static void json_accessors_check_kinds(void **state)
{
    (void)state;
    SnArena arena;
    SnError err;
    SnJson *v = NULL;
    int64_t i;
    double f;
    bool b;
    SnBytes s;
    sn_arena_init(&arena, &sn_default_allocator);
    assert_ok(
        parse(&arena,
              sn_bytes_str("{\"a\":1,\"f\":8.0,\"g\":0.5,\"s\":\"x\\u0000y\",\"n\":null,\"a\":2,\"t\":true,"
                           "\"big\":9223372036854775808}"),
              &v, &err));
    assert_true(sn_json_int(sn_json_get(v, "a"), &i) && i == 2);
    assert_true(sn_json_int(sn_json_get(v, "f"), &i) && i == 8);
    assert_false(sn_json_int(sn_json_get(v, "g"), &i));
    assert_false(sn_json_int(sn_json_get(v, "big"), &i));
    assert_true(sn_json_number(sn_json_get(v, "a"), &f) && f == 2.0);
    assert_true(sn_json_string(sn_json_get(v, "s"), &s) && s.n == 3 && s.at[1] == 0 && s.at[3] == 0);
    assert_true(sn_json_is_null(sn_json_get(v, "n")) && sn_json_is_null(sn_json_get(v, "absent")));
    assert_true(sn_json_bool(sn_json_get(v, "t"), &b) && b);
    assert_false(sn_json_bool(sn_json_get(v, "a"), &b));
    assert_false(sn_json_is(sn_json_get(v, "s"), "x"));
    assert_null(sn_json_at(v, 0));
    assert_null(sn_json_get(NULL, "a"));
    sn_arena_clear(&arena);
}

static void number_parse_is_exact(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        double value;
    } cases[] = {
        {"0.1", 0.1},
        {"123456789012345678901234567890", 123456789012345678901234567890.0},
        {"2.2250738585072011e-308", 0x0.fffffffffffffp-1022},
        {"9007199254740993", 9007199254740992.0},
        {"9007199254740993.0000000000000000000000000000000000000000000000001", 9007199254740994.0},
        {"5e-324", 0x1p-1074},
        {"2.4703282292062327e-324", 0.0},
        {"1e400", (double)INFINITY},
        {"-1e-400", -0.0},
        {"0.000000000000000000000000000000000000001e39", 1.0},
        {"1e99999999999999999999", (double)INFINITY},
        {"0e99999999999999999999", 0.0},
    };
    double v;
    for (size_t i = 0; i < SN_COUNT(cases); i++) {
        assert_true(sn_parse_f64(sn_bytes_str(cases[i].text), &v));
        if (v != cases[i].value)
            fail_msg("%s: %a", cases[i].text, v);
    }
    /* 2^53 + 1 and a one in digit 1,000: above the tie, so it rounds up. */
    char text[1100] = "9007199254740993.";
    memset(text + 17, '0', 1000);
    strcpy(text + 1017, "1");
    assert_true(sn_parse_f64(sn_bytes_str(text), &v));
    assert_true(v == 9007199254740994.0);
    assert_false(sn_parse_f64(sn_bytes_str("1 "), &v));
    assert_false(sn_parse_f64(sn_bytes_str("0x1"), &v));
}

static void number_print_is_shortest(void **state)
{
    (void)state;
    /* Python's repr, and numpy's of float32. */
    static const struct {
        double value;
        const char *f64, *f32;
    } cases[] = {
        {0.5, "0.5", "0.5"},
        {2.0, "2.0", "2.0"},
        {-0.0001, "-0.0001", "-0.0001"},
        {1e-05, "1e-05", "1e-05"},
        {1e15, "1000000000000000.0", NULL},
        {1e16, "1e+16", "1e+16"},
        {1234567.0, "1234567.0", "1234567.0"},
        {0x1p-44, "5.684341886080802e-14", "5.684342e-14"},
        {0.1, "0.1", "0.1"},
        {(double)0.1f, "0.10000000149011612", "0.1"},
        {0x1p-1074, "5e-324", NULL},
        {DBL_MAX, "1.7976931348623157e+308", NULL},
        {(double)FLT_MAX, "3.4028234663852886e+38", "3.4028235e+38"},
        {0x1p-149, "1.401298464324817e-45", "1e-45"},
        {1e23, "1e+23", "1e+23"},
    };
    for (size_t i = 0; i < SN_COUNT(cases); i++) {
        SnText t = {.memory = &sn_default_allocator};
        sn_json_put_f64(&t, cases[i].value);
        assert_string_equal(t.at, cases[i].f64);
        sn_text_clear(&t);
        if (cases[i].f32 == NULL)
            continue;
        sn_json_put_f32(&t, (float)cases[i].value);
        assert_string_equal(t.at, cases[i].f32);
        sn_text_clear(&t);
    }
}

static void number_random_bits_round_trip(void **state)
{
    (void)state;
    uint64_t bits = 42;
    SnText t = {.memory = &sn_default_allocator};
    for (int i = 0; i < 20000; i++) {
        bits = bits * 6364136223846793005u + 1442695040888963407u;
        double v, got;
        memcpy(&v, &bits, sizeof v);
        if (!isfinite(v))
            continue;
        t.n = 0;
        sn_json_put_f64(&t, v);
        assert_true(sn_parse_f64(sn_bytes(t.at, t.n), &got));
        if (memcmp(&got, &v, sizeof v) != 0)
            fail_msg("%a printed as %s", v, t.at);
        const float f = (float)v;
        if (!isfinite(f))
            continue;
        t.n = 0;
        sn_json_put_f32(&t, f);
        assert_true(sn_parse_f64(sn_bytes(t.at, t.n), &got));
        assert_true((float)got == f);
    }
    sn_text_clear(&t);
}

static void number_ignores_locale(void **state)
{
    (void)state;
    /* A locale with a decimal comma, where the machine has one. */
    const bool changed = setlocale(LC_NUMERIC, "de_DE.UTF-8") != NULL;
    number_parse_is_exact(state);
    number_print_is_shortest(state);
    setlocale(LC_NUMERIC, "C");
    if (!changed)
        skip();
}

static void string_ill_formed_is_repaired_in_writing(void **state)
{
    (void)state;
    SnText t = {.memory = &sn_default_allocator};
    sn_json_put_string(&t, sn_bytes_str("a\xE2\x82z\x7F"));
    assert_string_equal(t.at, "\"a\xEF\xBF\xBDz\x7F\"");
    sn_text_clear(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(json_writes_what_it_read),
        cmocka_unit_test(json_malformed_fails),
        cmocka_unit_test(json_depth_64_passes_65_fails),
        cmocka_unit_test(json_memory_is_bounded_by_text),
        cmocka_unit_test(json_left_for_later_is_walked),
        cmocka_unit_test(json_accessors_check_kinds),
        cmocka_unit_test(number_parse_is_exact),
        cmocka_unit_test(number_print_is_shortest),
        cmocka_unit_test(number_random_bits_round_trip),
        cmocka_unit_test(number_ignores_locale),
        cmocka_unit_test(string_ill_formed_is_repaired_in_writing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
