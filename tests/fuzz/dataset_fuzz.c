/* dataset_fuzz.c -- any bytes as a data file, whose format the first one picks: refused with a message, or
 * its rows can be read, and are the same after they were written as Arrow, or as Parquet where they were
 * that, and read back. Memory is limited: a short file may say that it has many rows. */
#define _GNU_SOURCE
#include "tests/fuzz/fuzz.h"

#include "frontends/data/dataset.h"

#include <sys/mman.h>

enum { MOST_ROWS = 1000 };

typedef struct Budget {
    size_t left;
} Budget;

static void *resize(void *self, void *ptr, size_t old_size, size_t new_size, size_t align)
{
    Budget *b = self;
    if (new_size > old_size && new_size - old_size > b->left)
        return NULL;
    b->left = b->left + old_size - new_size;
    if (new_size == 0) {
        free(ptr);
        return NULL;
    }
    void *to = aligned_alloc(align < 16 ? 16 : align, (new_size + 63) / 64 * 64);
    fuzz_require(to != NULL);
    if (ptr)
        memcpy(to, ptr, old_size < new_size ? old_size : new_size);
    free(ptr);
    return to;
}

static SnText print_rows(const SnAllocator *memory, const SnDataset *d)
{
    SnText t = {.memory = memory};
    for (int64_t row = 0; row < sn_dataset_rows(d); row++)
        for (uint32_t i = 0; i < sn_dataset_columns(d); i++)
            fuzz_require(sn_cell_json(&t, sn_dataset_cell(d, i, row)));
    return t;
}

static void write_back(SnContext *ctx, const SnDataset *d, const char *format)
{
    Scratch folder;
    char name[16], path[256];
    const char *const paths[] = {path};
    const SnDataOptions o = {.struct_size = sizeof o, .format = format};
    SnDataset *again = NULL;
    SnError err = {0};
    (void)snprintf(name, sizeof name, "d.%s", format);
    scratch_open(&folder);
    scratch_path(&folder, name, path);
    fuzz_require(sn_dataset_save(d, path, &err) == SN_OK);
    fuzz_require(sn_dataset_open(ctx, paths, 1, &o, &again, &err) == SN_OK);
    SnText a = print_rows(sn_allocator(ctx), d), b = print_rows(sn_allocator(ctx), again);
    fuzz_require(a.n == b.n && (a.n == 0 || memcmp(a.at, b.at, a.n) == 0));
    sn_text_clear(&a);
    sn_text_clear(&b);
    sn_dataset_release(again);
    scratch_close(&folder);
}

/* Batches are refused with a message, or are views. */
static void look(SnContext *ctx, const SnDataset *d)
{
    SnArena arena;
    SnView v;
    sn_arena_init(&arena, sn_allocator(ctx));
    for (uint32_t i = 0; i < sn_dataset_columns(d); i++) {
        SnError err = {0};
        SnDataset *sorted = NULL;
        fuzz_require(sn_dataset_view(d, i, 0, sn_dataset_rows(d), &arena, &v, &err) == SN_OK ||
                     err.message[0]);
        if (sn_dataset_sort(d, sn_dataset_feature(d, i)->name, false, false, &sorted, &err) == SN_OK)
            fuzz_require(sn_dataset_view(sorted, i, 0, sn_dataset_rows(d), &arena, &v, &err) == SN_OK ||
                         err.message[0]);
        sn_dataset_release(sorted);
    }
    sn_arena_clear(&arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const formats[] = {"csv", "jsonl", "json", "text", "arrow", "idx", "tsv", "parquet"};
    SnContext *ctx = NULL;
    SnDataset *d = NULL;
    SnError err = {0};
    char path[64];
    const char *const paths[] = {path};
    Budget budget = {(size_t)1 << 29};
    const SnContextDesc desc = {.struct_size = sizeof desc, .memory = {&budget, resize}};
    if (size == 0)
        return 0;
    const SnDataOptions o = {
        .struct_size = sizeof o, .format = formats[data[0] % 8], .no_header = data[0] & 0x80};
    const int fd = memfd_create("data", 0);
    fuzz_require(fd >= 0 && write(fd, data + 1, size - 1) == (ssize_t)size - 1);
    (void)snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    fuzz_require(sn_context_create(&desc, &ctx, NULL) == SN_OK);
    if (sn_dataset_open(ctx, paths, 1, &o, &d, &err) != SN_OK) {
        fuzz_require(err.message[0] != '\0');
    } else if (sn_dataset_rows(d) <= MOST_ROWS) {
        look(ctx, d);
        write_back(ctx, d, strcmp(o.format, "parquet") == 0 ? o.format : "arrow");
    }
    sn_dataset_release(d);
    sn_context_destroy(ctx);
    (void)close(fd);
    return 0;
}

FUZZ_MAIN("tests/fuzz/corpus/dataset");
