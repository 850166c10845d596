/* tokenizer_save_test.c -- tokenizer.json as the reference saves it; the expected texts are the reference's.
 * Every tokenizer.json in SN_SHARED (default ../shared), which the reference wrote, is written back byte for
 * byte. */
#include "frontends/tokenizer/save.h"
#include "tests/unit/unit.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>

static void assert_saved(const char *json, const SnTokenizerEdits *edits, const char *want)
{
    SnContext *ctx = NULL;
    SnArena arena;
    SnError err = {0};
    assert_ok(sn_context_create(NULL, &ctx, &err));
    sn_arena_init(&arena, sn_allocator(ctx));
    SnText out = {.memory = sn_allocator(ctx)};
    assert_ok(sn_tokenizer_json_save(&arena, sn_bytes_str(json), edits, &out, &err));
    assert_string_equal(out.at, want);
    sn_text_clear(&out);
    sn_arena_clear(&arena);
    sn_context_destroy(ctx);
}

#define HEAD "{\"version\":\"1.0\",\"truncation\":null,\"padding\":null,\"added_tokens\":["
#define REST "],\"normalizer\":null,\"pre_tokenizer\":"

static void old_forms_become_new_ones(void **state)
{
    (void)state;
    assert_saved(
        "{\"model\":{\"dropout\":0.1,\"unk_token\":null,\"vocab\":{\"b\":5,\"a\":0,\"ab\":2},\"merges\":"
        "[\"a b\"]},\"pre_tokenizer\":{\"type\":\"Metaspace\",\"replacement\":\"_\",\"str_rep\":\"_\","
        "\"add_prefix_space\":true}}",
        NULL,
        HEAD REST
        "{\"type\":\"Metaspace\",\"replacement\":\"_\",\"prepend_scheme\":\"always\",\"split\":"
        "true},\"post_processor\":null,\"decoder\":null,\"model\":{\"type\":\"BPE\","
        "\"dropout\":0.1,\"unk_token\":null,\"continuing_subword_prefix\":null,"
        "\"end_of_word_suffix\":null,\"fuse_unk\":false,\"byte_fallback\":false,"
        "\"ignore_merges\":false,\"vocab\":{\"a\":0,\"ab\":2,\"b\":5},\"merges\":[[\"a\",\"b\"]]}}");
}

static void floats_are_those_of_the_reference(void **state)
{
    (void)state;
    assert_saved(
        "{\"model\":{\"type\":\"Unigram\",\"unk_id\":0,\"vocab\":[[\"a\",-1e-7],[\"b\",-100],[\"c\",1e-5],"
        "[\"d\",-0.12250038218850623]]}}",
        NULL,
        HEAD REST
        "null,\"post_processor\":null,\"decoder\":null,\"model\":{\"type\":\"Unigram\",\"unk_id\":0,"
        "\"vocab\":[[\"a\",-1e-7],[\"b\",-100.0],[\"c\",0.00001],[\"d\",-0.12250038218850624]],"
        "\"byte_fallback\":false}}");
}

static void added_tokens_get_ids(void **state)
{
    (void)state;
    const SnAddedToken added[] = {{.content = "b", .special = true}, {.content = "<x>", .lstrip = true}};
    const SnTokenizerEdits edits = {.struct_size = sizeof edits, .added = added, .nadded = 2};
    assert_saved(
        "{\"model\":{\"type\":\"WordLevel\",\"vocab\":{\"a\":0,\"b\":1},\"unk_token\":\"a\"}}", &edits,
        HEAD "{\"id\":1,\"content\":\"b\",\"single_word\":false,\"lstrip\":false,\"rstrip\":false,"
             "\"normalized\":false,\"special\":true},{\"id\":2,\"content\":\"<x>\",\"single_word\":false,"
             "\"lstrip\":true,\"rstrip\":false,\"normalized\":false,\"special\":false}" REST
             "null,\"post_processor\":null,\"decoder\":null,\"model\":{\"type\":\"WordLevel\",\"vocab\":{"
             "\"a\":0,\"b\":1},\"unk_token\":\"a\"}}");
}

static void check_file(SnContext *ctx, const char *path)
{
    SnArena arena;
    SnError err = {0};
    SnFile *file = NULL;
    sn_arena_init(&arena, sn_allocator(ctx));
    assert_ok(sn_file_open(ctx, path, &file, &err));
    const SnBytes want = sn_file_bytes(file);
    SnText out = {.memory = sn_allocator(ctx)};
    assert_ok(sn_tokenizer_json_save(&arena, want, NULL, &out, &err));
    size_t i = 0;
    while (i < want.n && i < out.n && (uint8_t)out.at[i] == want.at[i])
        i++;
    if (i < want.n || out.n != want.n)
        fail_msg("%s: %zu bytes become %zu, others from byte %zu on", path, want.n, out.n, i);
    sn_text_clear(&out);
    sn_file_release(file);
    sn_arena_clear(&arena);
}

static void files_are_written_back(void **state)
{
    (void)state;
    SnError err = {0};
    char path[512];
    int n = 0;
    SnContext *ctx = NULL;
    const char *shared = getenv("SN_SHARED") != NULL ? getenv("SN_SHARED") : "../shared";
    (void)snprintf(path, sizeof path, "%s/tokenizers", shared);
    DIR *d = opendir(path);
    if (d == NULL)
        skip();
    assert_ok(sn_context_create(NULL, &ctx, &err));
    for (const struct dirent *e = readdir(d); e != NULL; e = readdir(d)) {
        (void)snprintf(path, sizeof path, "%s/tokenizers/%s/tokenizer.json", shared, e->d_name);
        if (!sn_file_exists(path))
            continue;
        check_file(ctx, path);
        n++;
    }
    assert_true(n > 5);
    closedir(d);
    sn_context_destroy(ctx);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(old_forms_become_new_ones),
        cmocka_unit_test(floats_are_those_of_the_reference),
        cmocka_unit_test(added_tokens_get_ids),
        cmocka_unit_test(files_are_written_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
