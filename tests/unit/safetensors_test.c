/* safetensors_test.c -- accepts and refuses what safetensors 0.8.0 does, and writes what it writes. */
#include "frontends/hf/safetensors.h"

#include "runtime/context.h"
#include "tests/unit/unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define ENTRY(name, dtype, shape, from, to)                                                                  \
    "\"" name "\":{\"dtype\":\"" dtype "\",\"shape\":" shape ",\"data_offsets\":[" #from "," #to "]}"
#define HEADER(text) .header = text, .header_size = sizeof(text) - 1

/* Each file: eight bytes of header size (or `said`), the header, data_size zeros; `missing` bytes are cut
 * off. Whether the library takes it was found by giving it these bytes. */
static const struct {
    const char *name, *header;
    size_t header_size;
    uint64_t said;
    size_t data_size, missing;
    bool accepted;
} files[] = {
    {.name = "good", HEADER("{" ENTRY("a", "F32", "[2]", 0, 8) "}"), .data_size = 8, .accepted = true},
    {.name = "no_tensors", HEADER("{}"), .accepted = true},
    {.name = "leading_space",
     HEADER(" {" ENTRY("a", "F32", "[2]", 0, 8) "}"),
     .data_size = 8,
     .accepted = true},
    {.name = "trailing_spaces",
     HEADER("{" ENTRY("a", "F32", "[2]", 0, 8) "}   "),
     .data_size = 8,
     .accepted = true},
    {.name = "trailing_newline",
     HEADER("{" ENTRY("a", "F32", "[2]", 0, 8) "}\n"),
     .data_size = 8,
     .accepted = true},
    {.name = "unknown_key",
     HEADER("{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8],\"x\":[1,{\"y\":null}]}}"),
     .data_size = 8,
     .accepted = true},
    {.name = "equal_duplicate_names",
     HEADER("{" ENTRY("a", "F32", "[2]", 0, 8) "," ENTRY("a", "F32", "[2]", 0, 8) "}"),
     .data_size = 8,
     .accepted = true},
    {.name = "metadata_strings",
     HEADER("{\"__metadata__\":{\"k\":\"v\"}," ENTRY("a", "F32", "[2]", 0, 8) "}"),
     .data_size = 8,
     .accepted = true},
    {.name = "metadata_null",
     HEADER("{\"__metadata__\":null," ENTRY("a", "F32", "[2]", 0, 8) "}"),
     .data_size = 8,
     .accepted = true},
    {.name = "rank_0", HEADER("{" ENTRY("a", "F32", "[]", 0, 4) "}"), .data_size = 4, .accepted = true},
    {.name = "empty_tensor", HEADER("{" ENTRY("a", "F32", "[0]", 0, 0) "}"), .accepted = true},
    {.name = "empty_tensor_between",
     HEADER("{" ENTRY("a", "F32", "[1]", 0, 4) "," ENTRY("b", "F32", "[0,3]", 4,
                                                         4) "," ENTRY("c", "F32", "[1]", 4, 8) "}"),
     .data_size = 8,
     .accepted = true},
    {.name = "f4_even", HEADER("{" ENTRY("a", "F4", "[6]", 0, 3) "}"), .data_size = 3, .accepted = true},
    {.name = "f6_times_4",
     HEADER("{" ENTRY("a", "F6_E2M3", "[4]", 0, 3) "}"),
     .data_size = 3,
     .accepted = true},
    {.name = "keys_out_of_order",
     HEADER("{" ENTRY("b", "F32", "[1]", 4, 8) "," ENTRY("a", "F32", "[1]", 0, 4) "}"),
     .data_size = 8,
     .accepted = true},
    {.name = "empty_name", HEADER("{" ENTRY("", "F32", "[2]", 0, 8) "}"), .data_size = 8, .accepted = true},
    {.name = "nul_in_name",
     HEADER("{" ENTRY("a\\u0000b", "F32", "[2]", 0, 8) "}"),
     .data_size = 8,
     .accepted = true},
    {.name = "unaligned_data",
     HEADER("{" ENTRY("a", "U8", "[1]", 0, 1) "," ENTRY("b", "F32", "[1]", 1, 5) "}"),
     .data_size = 5,
     .accepted = true},
    {.name = "empty_file", .missing = 8, HEADER("")},
    {.name = "seven_bytes", .missing = 1, HEADER("")},
    {.name = "length_beyond_file",
     HEADER("{" ENTRY("a", "F32", "[2]", 0, 8) "}"),
     .said = 1000,
     .data_size = 8},
    {.name = "length_too_large",
     HEADER("{" ENTRY("a", "F32", "[2]", 0, 8) "}"),
     .said = 100000001,
     .data_size = 8},
    {.name = "trailing_nul", HEADER("{" ENTRY("a", "F32", "[2]", 0, 8) "}\000"), .data_size = 8},
    {.name = "array_as_header", HEADER("[]")},
    {.name = "hole",
     HEADER("{" ENTRY("a", "F32", "[1]", 0, 4) "," ENTRY("b", "F32", "[1]", 8, 12) "}"),
     .data_size = 12},
    {.name = "overlap",
     HEADER("{" ENTRY("a", "F32", "[2]", 0, 8) "," ENTRY("b", "F32", "[1]", 4, 8) "}"),
     .data_size = 8},
    {.name = "extra_data", HEADER("{" ENTRY("a", "F32", "[2]", 0, 8) "}"), .data_size = 9},
    {.name = "short_data", HEADER("{" ENTRY("a", "F32", "[2]", 0, 8) "}"), .data_size = 7},
    {.name = "end_before_start", HEADER("{" ENTRY("a", "F32", "[1]", 4, 0) "}"), .data_size = 4},
    {.name = "shape_and_size_differ", HEADER("{" ENTRY("a", "F32", "[3]", 0, 8) "}"), .data_size = 8},
    {.name = "negative_offset", HEADER("{" ENTRY("a", "F32", "[2]", -8, 0) "}"), .data_size = 8},
    {.name = "float_in_shape", HEADER("{" ENTRY("a", "F32", "[2.0]", 0, 8) "}"), .data_size = 8},
    {.name = "shape_overflow",
     HEADER("{" ENTRY("a", "F32", "[4294967296,4294967296,2]", 0, 8) "}"),
     .data_size = 8},
    {.name = "unknown_dtype", HEADER("{" ENTRY("a", "F31", "[2]", 0, 8) "}"), .data_size = 8},
    {.name = "lower_case_dtype", HEADER("{" ENTRY("a", "f32", "[2]", 0, 8) "}"), .data_size = 8},
    {.name = "duplicate_name_leaves_hole",
     HEADER("{" ENTRY("a", "F32", "[2]", 0, 8) "," ENTRY("a", "F32", "[1]", 4, 8) "}"),
     .data_size = 8},
    {.name = "duplicate_field",
     HEADER("{\"a\":{\"dtype\":\"F32\",\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}}"),
     .data_size = 8},
    {.name = "metadata_integer",
     HEADER("{\"__metadata__\":{\"k\":1}," ENTRY("a", "F32", "[2]", 0, 8) "}"),
     .data_size = 8},
    {.name = "bad_utf8", HEADER("{" ENTRY("\377", "F32", "[2]", 0, 8) "}"), .data_size = 8},
    {.name = "f4_odd", HEADER("{" ENTRY("a", "F4", "[5]", 0, 3) "}"), .data_size = 3},
    {.name = "offset_2_64_minus_1",
     HEADER("{" ENTRY("a", "F32", "[2]", 0, 18446744073709551615) "}"),
     .data_size = 8},
    {.name = "three_offsets",
     HEADER("{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8,8]}}"),
     .data_size = 8},
};

typedef struct Bytes {
    uint8_t at[512];
    size_t n;
} Bytes;

static Bytes make_file(size_t i)
{
    Bytes b = {.n = 8 + files[i].header_size + files[i].data_size};
    const uint64_t size = files[i].said ? files[i].said : files[i].header_size;
    assert_true(b.n <= sizeof b.at);
    for (int k = 0; k < 8; k++)
        b.at[k] = (uint8_t)(size >> (8 * k));
    memcpy(b.at + 8, files[i].header, files[i].header_size);
    b.n -= files[i].missing;
    return b;
}

static SnContext *make_context(void)
{
    SnContext *ctx = NULL;
    assert_int_equal(sn_context_create(NULL, &ctx, NULL), SN_OK);
    return ctx;
}

static void safetensors_decides_as_the_library(void **state)
{
    (void)state;
    SnContext *ctx = make_context();
    assert_int_equal(SN_COUNT(files), 42);
    for (size_t i = 0; i < SN_COUNT(files); i++) {
        SnSafetensors f = {0};
        SnError err = {0};
        const Bytes b = make_file(i);
        const SnStatus st = sn_safetensors_parse(ctx, files[i].name, sn_bytes(b.at, b.n), &f, &err);
        if ((st == SN_OK) != files[i].accepted)
            fail_msg("%s: %s %s", files[i].name, sn_status_name(st), err.message);
        assert_true(st == SN_OK || st == SN_EFORMAT);
        if (st == SN_OK)
            sn_safetensors_close(&f);
    }
    sn_context_destroy(ctx);
}

/* Every beginning of every good file, from memory of just that size. */
static void safetensors_cut_off_anywhere_fails(void **state)
{
    (void)state;
    SnContext *ctx = make_context();
    for (size_t i = 0; i < SN_COUNT(files); i++) {
        const Bytes b = make_file(i);
        for (size_t n = 0; files[i].accepted && n < b.n; n++) {
            SnSafetensors f = {0};
            uint8_t *part = malloc(n + 1);
            memcpy(part, b.at, n);
            assert_int_not_equal(sn_safetensors_parse(ctx, "cut", sn_bytes(part, n), &f, NULL), SN_OK);
            free(part);
        }
    }
    sn_context_destroy(ctx);
}

static void safetensors_finds_tensors_in_order_of_data(void **state)
{
    (void)state;
    static const char header[] = "{" ENTRY("b", "F32", "[1]", 4, 8) "," ENTRY("a", "I16", "[2,1]", 0, 4) "}";
    SnContext *ctx = make_context();
    SnSafetensors f = {0};
    SnError err;
    uint8_t at[128] = {sizeof header - 1};
    memcpy(at + 8, header, sizeof header - 1);
    at[8 + sizeof header - 1] = 7;
    assert_ok(sn_safetensors_parse(ctx, "f", sn_bytes(at, 8 + sizeof header - 1 + 8), &f, &err));
    assert_int_equal(f.ntensor, 2);
    assert_true(sn_bytes_is(f.tensor[0].name, "a"));
    const SnStTensor *a = sn_safetensors_find(&f, "a");
    assert_ptr_equal(a, &f.tensor[0]);
    assert_int_equal(a->dtype, SN_I16);
    assert_int_equal(a->ndim, 2);
    assert_int_equal(a->dims[0], 2);
    assert_int_equal(a->bytes.n, 4);
    assert_int_equal(a->bytes.at[0], 7);
    assert_null(sn_safetensors_find(&f, "c"));
    sn_safetensors_close(&f);
    sn_context_destroy(ctx);
}

/* The bytes are those of safetensors.numpy.save of the same four arrays. */
static void safetensors_writes_the_bytes_of_the_library(void **state)
{
    (void)state;
    static const char want[] =
        "\340\0\0\0\0\0\0\0{" ENTRY("b", "I64", "[2]", 0, 16) "," ENTRY("A", "F32", "[]", 16, 20) "," ENTRY(
            "a", "F32", "[1,1]", 20, 24) "," ENTRY("c", "U8", "[1]", 24,
                                                   25) "}    \1\0\0\0\0\0\0\0\2\0\0\0\0\0\0\0"
                                                       "\0\0@@\0\0\300?\7";
    SnContext *ctx = make_context();
    SnFile *file = NULL;
    SnError err;
    int64_t b[] = {1, 2};
    float a = 1.5f, scalar = 3;
    uint8_t c = 7;
    const SnStWrite w[] = {
        {"b", sn_view(SN_I64, b, 1, (const int64_t[]){2})},
        {"a", sn_view(SN_F32, &a, 2, (const int64_t[]){1, 1})},
        {"c", sn_view(SN_U8, &c, 1, (const int64_t[]){1})},
        {"A", sn_view(SN_F32, &scalar, 0, NULL)},
    };
    char path[] = "/tmp/sinter-test-XXXXXX";
    const int fd = mkstemp(path);
    assert_true(fd >= 0);
    close(fd);
    assert_ok(sn_safetensors_write(ctx, path, w, SN_COUNT(w), NULL, &err));
    assert_ok(sn_file_open(ctx, path, &file, &err));
    assert_int_equal(sn_file_bytes(file).n, sizeof want - 1);
    assert_memory_equal(sn_file_bytes(file).at, want, sizeof want - 1);
    sn_file_release(file);
    assert_int_equal(unlink(path), 0);
    sn_context_destroy(ctx);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(safetensors_decides_as_the_library),
        cmocka_unit_test(safetensors_cut_off_anywhere_fails),
        cmocka_unit_test(safetensors_finds_tensors_in_order_of_data),
        cmocka_unit_test(safetensors_writes_the_bytes_of_the_library),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
