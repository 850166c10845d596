/* tok_paths_test.c -- ids alone, which are made by walks, cut texts and a cache of words, are those that come
 * with places: for every tokenizer in SN_SHARED (default ../shared), on stretches of its texts as they are
 * and with bytes changed. Exit status 77, skipped, where the folder is not there. */
#include "tests/unit/tokenize_run.h"
#include "tests/unit/unit.h"

#include <dirent.h>
#include <stdlib.h>

#define STRETCHES 30 /* of a text */
#define LONGEST   12000

typedef struct Paths {
    const char *shared;
    SnContext *ctx;
    SnArena arena; /* of a tokenizer */
    SnArena work;  /* of a stretch */
    uint32_t random;
} Paths;

static uint32_t random_below(Paths *p, size_t n)
{
    p->random = p->random * 1664525u + 1013904223u;
    return (p->random >> 8) % (uint32_t)n;
}

/* What borders of words are about, and bytes that are no UTF-8. */
static void change(Paths *p, uint8_t *at, size_t n)
{
    static const uint8_t odd[] = " \n\t\r'.,09aZ_<|>\0\xC2\xE2\x96\x81\xF0\x9F\xFF";
    for (size_t i = 0; i < n / 24; i++)
        at[random_below(p, n)] = odd[random_below(p, sizeof odd - 1)];
}

static void check_stretch(Paths *p, SnBytes table, SnBytes text, bool is_changed, const char *place)
{
    SnError err = {0};
    SnView words[3];
    uint32_t nagain = 0;
    const size_t n = random_below(p, LONGEST) + 1, most = n < text.n ? n : text.n;
    const size_t from = random_below(p, text.n - most + 1);
    uint8_t *at = (uint8_t *)sn_arena_strndup(&p->work, (const char *)text.at + from, most);
    assert_non_null(at);
    if (is_changed)
        change(p, at, most);
    int64_t start = 0, len = (int64_t)most;
    const SnView tok = run_table(table), row = {.dtype = SN_U8,
                                                .data = at,
                                                .ndim = 1,
                                                .dims = {1},
                                                .start = &start,
                                                .len = &len,
                                                .child_count = len};
    if (run_words(&p->work, &tok, &row, words, 0, &nagain, &err) != SN_OK)
        fail_msg("%s, %zu bytes from %zu on%s: %s", place, most, from, is_changed ? ", changed" : "",
                 err.message);
    sn_arena_clear(&p->work);
}

static void check_text(Paths *p, SnBytes table, const char *tokenizer, const char *path)
{
    SnError err;
    SnFile *file = NULL;
    assert_ok(sn_file_open(p->ctx, path, &file, &err));
    const char *place = sn_arena_printf(&p->arena, "%s: %s", tokenizer, path);
    assert_non_null(place);
    for (int i = 0; i < STRETCHES; i++)
        check_stretch(p, table, sn_file_bytes(file), i % 2 != 0, place);
    sn_file_release(file);
}

static bool is_name(const struct dirent *e)
{
    return e->d_name[0] != '.';
}

static void check_tokenizer(Paths *p, const char *name)
{
    SnError err;
    SnFile *file = NULL;
    SnBytes table;
    const char *path = sn_arena_printf(&p->arena, "%s/tokenizers/%s/tokenizer.json", p->shared, name);
    if (!sn_file_exists(path))
        return;
    assert_ok(sn_file_open(p->ctx, path, &file, &err));
    const SnTokenizerFiles files = {.folder = name, .tokenizer = sn_file_bytes(file)};
    assert_ok(sn_tokenizer_load(p->ctx, &files, &p->arena, &table, &err));
    path = sn_arena_printf(&p->arena, "%s/text", p->shared);
    DIR *d = opendir(path);
    assert_non_null(d);
    for (const struct dirent *e = readdir(d); e != NULL; e = readdir(d)) {
        path = sn_arena_printf(&p->arena, "%s/text/%s", p->shared, e->d_name);
        if (is_name(e))
            check_text(p, table, name, path);
    }
    closedir(d);
    sn_file_release(file);
    sn_arena_clear(&p->arena);
}

static void every_tokenizer(void **state)
{
    Paths *p = *state;
    int n = 0;
    const char *path = sn_arena_printf(&p->arena, "%s/tokenizers", p->shared);
    DIR *d = opendir(path);
    assert_non_null(d);
    for (const struct dirent *e = readdir(d); e != NULL; e = readdir(d)) {
        if (is_name(e))
            check_tokenizer(p, e->d_name);
        n += is_name(e);
    }
    closedir(d);
    assert_true(n > 5);
}

int main(void)
{
    Paths p = {.shared = getenv("SN_SHARED") != NULL ? getenv("SN_SHARED") : "../shared", .random = 1};
    if (sn_context_create(NULL, &p.ctx, NULL) != SN_OK)
        return 1;
    sn_arena_init(&p.arena, sn_allocator(p.ctx));
    sn_arena_init(&p.work, sn_allocator(p.ctx));
    const char *path = sn_arena_printf(&p.arena, "%s/text/README.txt", p.shared);
    const bool is_there = path != NULL && sn_file_exists(path);
    const struct CMUnitTest tests[] = {cmocka_unit_test_prestate(every_tokenizer, &p)};
    const int failed = is_there ? cmocka_run_group_tests(tests, NULL, NULL) : 77;
    sn_arena_clear(&p.work);
    sn_arena_clear(&p.arena);
    sn_context_destroy(p.ctx);
    return failed;
}
