/* cache_test.c -- the blob store on a folder of its own; the trace writer. */
#include "runtime/cache.h"
#include "runtime/context.h"
#include "runtime/json.h"
#include "runtime/trace.h"

#include "tests/unit/unit.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

typedef struct Folder {
    char dir[64], cache[80];
    SnContext *ctx;
} Folder;

static void folder_open(Folder *f)
{
    SnError err;
    snprintf(f->dir, sizeof f->dir, "/tmp/sinter-test-XXXXXX");
    assert_non_null(mkdtemp(f->dir));
    snprintf(f->cache, sizeof f->cache, "%s/a/b", f->dir);
    assert_ok(sn_context_create(&(SnContextDesc){.struct_size = sizeof(SnContextDesc), .cache_dir = f->cache},
                                &f->ctx, &err));
}

static int count_and_maybe_remove(const char *path, bool remove)
{
    int n = 0;
    char name[512];
    DIR *d = opendir(path);
    assert_non_null(d);
    for (struct dirent *e = readdir(d); e != NULL; e = readdir(d)) {
        if (e->d_name[0] == '.')
            continue;
        n++;
        snprintf(name, sizeof name, "%s/%s", path, e->d_name);
        if (remove)
            assert_int_equal(unlink(name), 0);
    }
    closedir(d);
    return n;
}

static void folder_close(Folder *f)
{
    char parent[80];
    snprintf(parent, sizeof parent, "%s/a", f->dir);
    (void)count_and_maybe_remove(f->cache, true);
    assert_int_equal(rmdir(f->cache) | rmdir(parent) | rmdir(f->dir), 0);
    sn_context_destroy(f->ctx);
}

static SnHash128 key(uint64_t i)
{
    return (SnHash128){i, ~i};
}

static void cache_gives_back_what_was_put(void **state)
{
    (void)state;
    Folder f;
    SnFile *file = NULL;
    SnBytes blob;
    folder_open(&f);
    assert_false(sn_cache_get(f.ctx, key(1), &file, &blob));
    assert_true(sn_cache_put(f.ctx, key(1), sn_bytes_str("kernel")));
    assert_true(sn_cache_put(f.ctx, key(2), sn_bytes("", 0)));
    assert_true(sn_cache_get(f.ctx, key(1), &file, &blob));
    assert_true(sn_bytes_is(blob, "kernel"));
    assert_int_equal((uintptr_t)blob.at % 64, 0);
    sn_file_release(file);
    assert_true(sn_cache_get(f.ctx, key(2), &file, &blob));
    assert_int_equal(blob.n, 0);
    sn_file_release(file);
    assert_false(sn_cache_get(f.ctx, key(3), &file, &blob));
    struct stat st;
    assert_int_equal(stat(f.cache, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0700);
    folder_close(&f);
}

static void blob_file(const Folder *f, uint64_t i, char out[160])
{
    snprintf(out, 160, "%s/%016llx%016llx.blob", f->cache, (unsigned long long)~i, (unsigned long long)i);
}

static void cache_damaged_blob_is_removed(void **state)
{
    (void)state;
    static const long change_at[] = {0, 20, 36, 50, 66}; /* magic, key, checksum, size, blob */
    Folder f;
    SnFile *file = NULL;
    SnBytes blob;
    char path[160];
    folder_open(&f);
    blob_file(&f, 7, path);
    for (size_t i = 0; i < SN_COUNT(change_at); i++) {
        assert_true(sn_cache_put(f.ctx, key(7), sn_bytes_str("kernel")));
        FILE *out = fopen(path, "r+b");
        assert_non_null(out);
        assert_int_equal(fseek(out, change_at[i], SEEK_SET), 0);
        assert_int_equal(fputc(0xEE, out), 0xEE);
        assert_int_equal(fclose(out), 0);
        assert_false(sn_cache_get(f.ctx, key(7), &file, &blob));
        assert_false(sn_file_exists(path));
    }
    assert_true(sn_cache_put(f.ctx, key(7), sn_bytes_str("kernel")));
    assert_int_equal(truncate(path, 40), 0);
    assert_false(sn_cache_get(f.ctx, key(7), &file, &blob));
    folder_close(&f);
}

static void cache_folder_of_others_is_ignored(void **state)
{
    (void)state;
    Folder f;
    SnFile *file = NULL;
    SnBytes blob;
    folder_open(&f);
    assert_true(sn_cache_put(f.ctx, key(1), sn_bytes_str("kernel")));
    assert_int_equal(chmod(f.cache, 0750), 0);
    assert_false(sn_cache_get(f.ctx, key(1), &file, &blob));
    assert_false(sn_cache_put(f.ctx, key(2), sn_bytes_str("kernel")));
    assert_int_equal(count_and_maybe_remove(f.cache, false), 1);
    assert_int_equal(chmod(f.cache, 0700), 0);
    folder_close(&f);

    SnError err;
    SnContext *ctx = NULL;
    assert_ok(sn_context_create(NULL, &ctx, &err));
    assert_false(sn_cache_put(ctx, key(1), sn_bytes_str("kernel")));
    assert_false(sn_cache_get(ctx, key(1), &file, &blob));
    sn_cache_prune(ctx, 0);
    sn_context_destroy(ctx);
}

static void cache_prune_removes_longest_unused(void **state)
{
    (void)state;
    Folder f;
    SnFile *file = NULL;
    SnBytes blob;
    char path[160], other[160];
    folder_open(&f);
    for (uint64_t i = 0; i < 4; i++) {
        assert_true(sn_cache_put(f.ctx, key(i), sn_bytes_str("0123456789abcdef")));
        blob_file(&f, i, path);
        const struct timespec old[2] = {{.tv_sec = 1000 + (time_t)i}, {.tv_sec = 1000 + (time_t)i}};
        assert_int_equal(utimensat(AT_FDCWD, path, old, 0), 0);
    }
    assert_true(sn_cache_get(f.ctx, key(0), &file, &blob)); /* used just now */
    sn_file_release(file);
    snprintf(other, sizeof other, "%s/notes.txt", f.cache);
    FILE *out = fopen(other, "w");
    assert_non_null(out);
    assert_int_equal(fclose(out), 0);
    sn_cache_prune(f.ctx, 2 * 80);
    for (uint64_t i = 0; i < 4; i++) {
        blob_file(&f, i, path);
        assert_int_equal(sn_file_exists(path), i == 0 || i == 3);
    }
    assert_true(sn_file_exists(other));
    folder_close(&f);
}

static void trace_writes_json(void **state)
{
    (void)state;
    Folder f;
    SnError err;
    SnArena arena;
    SnTraceWriter w;
    SnFile *file = NULL;
    SnJson *v = NULL;
    char path[160];
    folder_open(&f);
    assert_true(sn_cache_put(f.ctx, key(1), sn_bytes_str("x")));
    snprintf(path, sizeof path, "%s/trace.json", f.cache);
    sn_arena_init(&arena, &sn_default_allocator);
    sn_trace_init(&w, &sn_default_allocator);
    const SnTrace hook = sn_trace_hook(&w);
    hook.event(hook.self, &(SnTraceEvent){.name = "a\"b", .begin_ns = 5000, .end_ns = 6500, .tiles = 4});
    hook.event(hook.self,
               &(SnTraceEvent){.name = "c", .step = 1, .begin_ns = 7001, .end_ns = 7002, .bytes = 9});
    assert_ok(sn_trace_write(f.ctx, &w, path, &err));
    assert_ok(sn_file_open(f.ctx, path, &file, &err));
    assert_ok(sn_json_parse(&arena, path, sn_file_bytes(file), &v, &err));
    double at;
    assert_int_equal(v->n, 2);
    assert_true(sn_json_is(sn_json_get(sn_json_at(v, 0), "name"), "a\"b"));
    assert_true(sn_json_number(sn_json_get(sn_json_at(v, 0), "dur"), &at) && at == 1.5);
    assert_true(sn_json_number(sn_json_get(sn_json_at(v, 1), "ts"), &at) && at == 2.001);
    sn_file_release(file);
    sn_trace_clear(&w);
    sn_arena_clear(&arena);
    folder_close(&f);
}

/* A blob as large as one whose checksum is over parts of it. */
static void draft_is_found_once_it_is_committed(void **state)
{
    (void)state;
    Folder f;
    SnFile *file = NULL;
    SnBytes blob;
    SnCacheDraft d;
    static const size_t sizes[] = {1, 5000, ((size_t)64 << 20) + 12345};
    folder_open(&f);
    for (uint64_t i = 0; i < SN_COUNT(sizes); i++) {
        assert_true(sn_cache_begin(f.ctx, key(i), sizes[i], &d));
        assert_int_equal((uintptr_t)d.at % 64, 0);
        memset(d.at, 3, sizes[i]);
        assert_false(sn_cache_get(f.ctx, key(i), &file, &blob));
        assert_true(sn_cache_commit(f.ctx, &d, &file, &blob));
        assert_int_equal(blob.n, sizes[i]);
        assert_int_equal(blob.at[0] + blob.at[sizes[i] - 1], 6);
        sn_file_release(file);
        assert_true(sn_cache_get(f.ctx, key(i), &file, &blob));
        assert_int_equal(blob.n, sizes[i]);
        assert_int_equal(blob.at[0] + blob.at[sizes[i] - 1], 6);
        sn_file_release(file);
    }
    assert_true(sn_cache_begin(f.ctx, key(9), 100, &d));
    assert_int_equal(count_and_maybe_remove(f.cache, false), 4);
    sn_cache_give_up(&d);
    sn_cache_give_up(&d);
    assert_int_equal(count_and_maybe_remove(f.cache, false), 3);
    assert_false(sn_cache_begin(f.ctx, key(9), SIZE_MAX, &d));
    /* one that grows, and one that is lent */
    for (uint64_t i = 0; i < 2; i++) {
        assert_true(sn_cache_begin_growing(f.ctx, key(20 + i), &d));
        assert_true(sn_cache_grow(&d, sn_bytes("one ", 4)));
        assert_true(sn_cache_grow(&d, sn_bytes("two three", 9)));
        d.size -= 6;
        d.is_lent = i == 1;
        assert_true(sn_cache_commit(f.ctx, &d, &file, &blob));
        assert_true(sn_bytes_is(blob, "one two"));
        sn_file_release(file);
        assert_int_equal(sn_cache_get(f.ctx, key(20 + i), &file, &blob), i == 0);
        if (i == 0) {
            assert_true(sn_bytes_is(blob, "one two"));
            sn_file_release(file);
        }
    }
    assert_true(sn_cache_begin_growing(f.ctx, key(30), &d));
    sn_cache_give_up(&d);
    assert_int_equal(count_and_maybe_remove(f.cache, false), 4);
    folder_close(&f);
}

static void blob_without_a_name_serves_once(void **state)
{
    (void)state;
    Folder f;
    SnFile *file = NULL;
    SnBytes blob;
    SnCacheDraft d;
    char path[256];
    folder_open(&f);
    assert_true(sn_cache_begin(f.ctx, key(1), 10, &d));
    snprintf(path, sizeof path, "%s/%s", f.cache, strrchr(d.path.at, '/') + 1);
    assert_int_equal(mkdir(path, 0700), 0); /* no file can take this name */
    d.at[9] = 7;
    assert_true(sn_cache_commit(f.ctx, &d, &file, &blob));
    assert_int_equal(blob.at[9], 7);
    sn_file_release(file);
    assert_int_equal(rmdir(path), 0);
    assert_int_equal(count_and_maybe_remove(f.cache, false), 0);
    folder_close(&f);
}

static void large_blob_without_its_pages_is_damaged(void **state)
{
    (void)state;
    Folder f;
    SnFile *file = NULL;
    SnBytes blob;
    SnCacheDraft d;
    char path[256];
    const size_t size = (size_t)70 << 20;
    static const uint8_t zeros[4096];
    folder_open(&f);
    assert_true(sn_cache_begin(f.ctx, key(1), size, &d));
    snprintf(path, sizeof path, "%s", d.path.at);
    memset(d.at, 1, size);
    assert_true(sn_cache_commit(f.ctx, &d, &file, &blob));
    sn_file_release(file);
    const int fd = open(path, O_WRONLY);
    assert_true(fd >= 0);
    for (off_t at = 8 << 20; at < 10 << 20; at += (off_t)sizeof zeros)
        assert_int_equal(pwrite(fd, zeros, sizeof zeros, at), sizeof zeros);
    assert_int_equal(close(fd), 0);
    assert_false(sn_cache_get(f.ctx, key(1), &file, &blob));
    folder_close(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(draft_is_found_once_it_is_committed),
        cmocka_unit_test(blob_without_a_name_serves_once),
        cmocka_unit_test(large_blob_without_its_pages_is_damaged),
        cmocka_unit_test(cache_gives_back_what_was_put),
        cmocka_unit_test(cache_damaged_blob_is_removed),
        cmocka_unit_test(cache_folder_of_others_is_ignored),
        cmocka_unit_test(cache_prune_removes_longest_unused),
        cmocka_unit_test(trace_writes_json),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
