/* bytes_test.c -- the cursor, UTF-8, files. */
#include "runtime/bytes.h"
#include "runtime/cpu.h"

#include "tests/unit/unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static void reader_truncated_sticks(void **state)
{
    (void)state;
    const uint8_t data[] = {1, 2, 3, 4, 5, 6, 7};
    SnReader r = sn_reader(sn_bytes(data, sizeof data));
    assert_int_equal(sn_read_u8(&r), 1);
    assert_int_equal(sn_read_u16le(&r), 0x0302);
    assert_int_equal(sn_read_u32le(&r), 0x07060504);
    assert_false(r.bad);
    assert_int_equal(sn_read_u8(&r), 0);
    assert_true(r.bad);

    r = sn_reader(sn_bytes(data, sizeof data));
    assert_int_equal(sn_read_u64le(&r), 0);
    assert_true(r.bad);
    assert_int_equal(sn_read_u8(&r), 0);
    assert_false(sn_skip(&r, 0));
    assert_null(sn_take(&r, 1).at);
}

static void bytes_of_words_and_rows(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        int v;
    } rows[] = {{"one", 1}, {NULL, 0}, {"two", 2}};
    assert_int_equal(SN_FIND_ROW(rows, name, sn_bytes_str("two")), 2);
    assert_int_equal(SN_FIND_ROW(rows, name, sn_bytes_str("tw")), 3);
    assert_int_equal(SN_FIND_ROW(rows, name, sn_bytes(NULL, 0)), 3);
    assert_true(sn_is_one_of(sn_bytes_str("steps"), "no steps epoch"));
    assert_true(sn_is_one_of(sn_bytes_str("epoch"), "no|steps|epoch"));
    assert_false(sn_is_one_of(sn_bytes_str("step"), "no,steps,epoch"));
    assert_false(sn_is_one_of(sn_bytes_str("no steps"), "no steps epoch"));
    assert_false(sn_is_one_of(sn_bytes(NULL, 0), "no steps epoch"));
    assert_false(sn_is_one_of(sn_bytes_str(""), "no, steps"));
    assert_true(sn_is_one_of(sn_bytes_str("steps"), "no, steps"));
    const SnBytes s = sn_bytes_str("layer.weight");
    assert_true(sn_bytes_begins(s, "layer.") && sn_bytes_begins(s, "") && !sn_bytes_begins(s, "layers"));
    assert_true(sn_bytes_ends(s, ".weight") && sn_bytes_ends(s, "") && !sn_bytes_ends(s, "a.layer.weight"));
    assert_true(sn_bytes_begins(sn_bytes(NULL, 0), "") && !sn_bytes_ends(sn_bytes(NULL, 0), "a"));
    assert_true(sn_bytes_compare(s, sn_bytes_str("layer")) > 0);
    assert_true(sn_bytes_compare(s, sn_bytes_str("layer.z")) < 0);
    assert_int_equal(sn_bytes_compare(sn_bytes(NULL, 0), sn_bytes_str("")), 0);
    assert_int_equal(sn_utf8_count(sn_bytes_str("a\xC3\xA9\xF0\x9F\x98\x80")), 3);
}

static void utf8_every_code_point_round_trips(void **state)
{
    (void)state;
    for (uint32_t cp = 0; cp <= 0x110000; cp++) {
        char form[4];
        const int n = sn_utf8_put(cp, form);
        SnReader r = sn_reader(sn_bytes(form, (size_t)n));
        const bool is_char = cp <= 0x10FFFF && (cp < 0xD800 || cp > 0xDFFF);
        if (sn_read_utf8(&r) != (is_char ? cp : 0xFFFD) || r.left != 0 || r.bad)
            fail_msg("U+%04X", cp);
    }
}

static void utf8_ill_formed_takes_one_byte(void **state)
{
    (void)state;
    static const char *const bad[] = {"\x80",
                                      "\xC0\x80",
                                      "\xC1\xBF",
                                      "\xE0\x9F\xBF",
                                      "\xED\xA0\x80",
                                      "\xF0\x8F\xBF\xBF",
                                      "\xF4\x90\x80\x80",
                                      "\xF5\x80\x80\x80",
                                      "\xE2\x82",
                                      "\xFF"};
    for (size_t i = 0; i < SN_COUNT(bad); i++) {
        const SnBytes b = sn_bytes_str(bad[i]);
        SnReader r = sn_reader(b);
        assert_int_equal(sn_read_utf8(&r), SN_UTF8_BAD);
        assert_int_equal(r.left, b.n - 1);
        assert_false(r.bad);
        assert_false(sn_utf8_valid(b));
    }
    SnReader r = sn_reader(sn_bytes("", 0));
    assert_int_equal(sn_read_utf8(&r), 0);
    assert_true(r.bad);
    assert_true(
        sn_utf8_valid(sn_bytes_str("plain ascii, \xC3\xA4\xE2\x82\xAC\xF0\x9F\x98\x80 and more of it")));
}

#define FFFD "\xEF\xBF\xBD"

/* Long texts are looked at in chunks: one odd byte at every place, of all that may be odd there. */
static void utf8_prefix_ends_at_any_place(void **state)
{
    (void)state;
    enum { SIZE = 300 };
    static const char part[] =
        "a\xC3\xA4\xE2\x82\xAC\xF0\x9F\x98\x80\xE0\xA4\x95\xED\x95\x9C\xF4\x8F\xBF\xBFz";
    uint8_t text[SIZE];
    SnError err;
    SnCpuLevel level;
    bool refused;
    assert_ok(sn_cpu_choose(NULL, 0, &level, &refused, &err));
    const bool has_v3 = level >= SN_CPU_V3;
    for (size_t i = 0; i < SIZE; i++)
        text[i] = (uint8_t)part[i % (sizeof part - 1)];
    for (size_t at = 0; at < SIZE; at++) {
        const uint8_t was = text[at];
        for (uint32_t odd = 0; odd < 256; odd++) {
            SnReader r = {text, SIZE};
            size_t end = 0;
            text[at] = (uint8_t)odd;
            while (r.left > 0 && sn_read_utf8(&r) != SN_UTF8_BAD)
                end = SIZE - r.left;
            assert_int_equal(sn_utf8_prefix(sn_bytes(text, SIZE)), end);
            assert_int_equal(sn_utf8_prefix_on(sn_bytes(text, SIZE), has_v3), end);
        }
        text[at] = was;
    }
}

static void utf8_repair_marks_maximal_parts(void **state)
{
    (void)state;
    /* Expected texts: Python's bytes.decode("utf-8", "replace"). */
    static const char *const cases[][2] = {
        {"abc", "abc"},
        {"a\xE2\x82z", "a" FFFD "z"},
        {"\xF0\x9F\x98", FFFD},
        {"\xED\xA0\x80", FFFD FFFD FFFD},
        {"\xF4\x90\x80\x80", FFFD FFFD FFFD FFFD},
        {"\xC0\x80", FFFD FFFD},
        {"\xE1\x80\xE2\xF0\x91\x92\xF1\xBF\x41", FFFD FFFD FFFD FFFD "A"},
        {"", ""},
    };
    SnError err;
    SnContext *ctx = NULL;
    assert_ok(sn_context_create(NULL, &ctx, &err));
    for (size_t i = 0; i < SN_COUNT(cases); i++) {
        SnText t = {.memory = sn_allocator(ctx)};
        assert_true(sn_utf8_repair(&t, sn_bytes_str(cases[i][0])));
        assert_string_equal(t.at != NULL ? t.at : "", cases[i][1]);
        sn_text_clear(&t);
    }
    sn_context_destroy(ctx);
}

static void file_written_whole_and_mapped(void **state)
{
    (void)state;
    SnError err;
    SnContext *ctx = NULL;
    SnFile *f = NULL;
    char dir[] = "/tmp/sinter-test-XXXXXX", path[64];
    assert_non_null(mkdtemp(dir));
    snprintf(path, sizeof path, "%s/a.bin", dir);
    assert_ok(sn_context_create(NULL, &ctx, &err));
    assert_false(sn_file_exists(path));
    assert_fails(SN_EIO, sn_file_open(ctx, path, &f, &err));
    assert_non_null(strstr(err.message, path));
    assert_fails(SN_EIO, sn_file_open(ctx, dir, &f, &err));
    const SnBytes parts[] = {sn_bytes_str("first "), sn_bytes("", 0), sn_bytes_str("second")};
    assert_ok(sn_file_write(ctx, path, parts, 3, &err));
    assert_ok(sn_file_write(ctx, path, parts, 3, &err));
    assert_ok(sn_file_open(ctx, path, &f, &err));
    assert_true(sn_bytes_is(sn_file_bytes(f), "first second"));
    assert_string_equal(sn_file_path(f), path);
    uint64_t identity[4];
    sn_file_identity(f, identity);
    assert_int_equal(identity[2], 12);
    sn_file_release(sn_file_retain(f));
    assert_true(sn_bytes_is(sn_file_bytes(f), "first second"));
    sn_file_release(f);

    /* No memory of half-written files stays, and nothing is written into a folder that is not there. */
    assert_ok(sn_file_write(ctx, path, NULL, 0, &err));
    assert_ok(sn_file_open(ctx, path, &f, &err));
    assert_int_equal(sn_file_bytes(f).n, 0);
    sn_file_release(f);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(rmdir(dir), 0);
    assert_fails(SN_EIO, sn_file_write(ctx, path, parts, 1, &err));
    sn_file_release(NULL);
    sn_context_destroy(ctx);
}

static void file_special_read_and_not_replaced(void **state)
{
    (void)state;
    SnError err;
    SnContext *ctx = NULL;
    SnFile *f = NULL;
    assert_ok(sn_context_create(NULL, &ctx, &err));
    assert_ok(sn_file_open(ctx, "/proc/self/status", &f, &err));
    assert_true(sn_file_bytes(f).n > 100);
    sn_file_release(f);
    const SnBytes part = sn_bytes_str("x");
    assert_ok(sn_file_write(ctx, "/dev/null", &part, 1, &err));
    struct stat st;
    assert_int_equal(stat("/dev/null", &st), 0);
    assert_true(S_ISCHR(st.st_mode));
    sn_context_destroy(ctx);
}

static void lent_bytes_stay_where_they_are(void **state)
{
    (void)state;
    static const char text[] = "abcdef";
    SnError err;
    SnContext *ctx = NULL;
    SnFile *f[3];
    uint64_t identity[3][4];
    assert_ok(sn_context_create(NULL, &ctx, &err));
    for (size_t i = 0; i < 3; i++) {
        assert_ok(sn_file_lend(ctx, "inside", sn_bytes(text + i / 2, 3), &f[i], &err));
        sn_file_identity(f[i], identity[i]);
    }
    assert_ptr_equal(sn_file_bytes(f[0]).at, text);
    assert_string_equal(sn_file_path(f[0]), "inside");
    assert_memory_equal(identity[0], identity[1], sizeof identity[0]);
    assert_memory_not_equal(identity[0], identity[2], sizeof identity[0]);
    assert_true(sn_file_forget(f[0], sn_bytes(text, 3)));
    for (size_t i = 0; i < 3; i++)
        sn_file_release(f[i]);
    sn_context_destroy(ctx);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reader_truncated_sticks),
        cmocka_unit_test(bytes_of_words_and_rows),
        cmocka_unit_test(utf8_every_code_point_round_trips),
        cmocka_unit_test(utf8_ill_formed_takes_one_byte),
        cmocka_unit_test(utf8_prefix_ends_at_any_place),
        cmocka_unit_test(utf8_repair_marks_maximal_parts),
        cmocka_unit_test(file_written_whole_and_mapped),
        cmocka_unit_test(file_special_read_and_not_replaced),
        cmocka_unit_test(lent_bytes_stay_where_they_are),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
