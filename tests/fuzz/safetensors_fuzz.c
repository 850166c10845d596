/* safetensors_fuzz.c -- any bytes as a safetensors file: refused with a message, or its tensors lie in it
 * one behind the other, are found by name, and are the same after they were written and read back. */
#include "tests/fuzz/fuzz.h"

#include "frontends/hf/safetensors.h"

enum { MOST_WRITTEN = 4 };

static void check(const SnSafetensors *f, SnBytes file)
{
    const uint8_t *at = f->ntensor ? f->tensor[0].bytes.at : NULL;
    unsigned sum = 0;
    for (size_t i = 0; i < f->ntensor; i++) {
        const SnStTensor *t = &f->tensor[i];
        uint64_t count = 1;
        char name[64];
        fuzz_require(t->bytes.at == at && t->bytes.at >= file.at && t->ndim <= SN_MAX_RANK);
        fuzz_require(t->bytes.n <= file.n - (size_t)(t->bytes.at - file.at));
        at += t->bytes.n;
        for (int d = 0; d < t->ndim; d++)
            count *= (uint64_t)t->dims[d];
        fuzz_require(t->dtype == SN_NODTYPE || count * sn_dtype_size(t->dtype) == t->bytes.n);
        for (size_t k = 0; k < t->bytes.n; k++)
            sum += t->bytes.at[k];
        if (t->name.n >= sizeof name || memchr(t->name.at, 0, t->name.n))
            continue;
        memcpy(name, t->name.at, t->name.n);
        name[t->name.n] = '\0';
        fuzz_require(sn_safetensors_find(f, name) == t);
    }
    fuzz_require(sum + 1 != 0 && (f->ntensor == 0 || at == file.at + file.n));
}

/* Files of a few tensors, all of dtypes and names that can be written. */
static size_t to_write(const SnSafetensors *f, SnArena *arena, SnStWrite out[MOST_WRITTEN])
{
    for (size_t i = 0; i < f->ntensor; i++) {
        const SnStTensor *t = &f->tensor[i];
        if (f->ntensor > MOST_WRITTEN || t->dtype == SN_NODTYPE || memchr(t->name.at, 0, t->name.n) ||
            sn_bytes_is(t->name, "__metadata__"))
            return 0;
        out[i] = (SnStWrite){.name = sn_arena_strndup(arena, (const char *)t->name.at, t->name.n),
                             .view = sn_view(t->dtype, (void *)(uintptr_t)t->bytes.at, t->ndim, t->dims)};
    }
    return f->ntensor;
}

static void write_back(SnContext *ctx, const SnSafetensors *f)
{
    Scratch folder;
    char path[256];
    SnStWrite tensor[MOST_WRITTEN];
    SnSafetensors again;
    SnArena arena;
    SnError err;
    sn_arena_init(&arena, sn_allocator(ctx));
    const size_t n = to_write(f, &arena, tensor);
    if (n > 0) {
        scratch_open(&folder);
        scratch_path(&folder, "t", path);
        fuzz_require(sn_safetensors_write(ctx, path, tensor, n, NULL, &err) == SN_OK);
        fuzz_require(sn_safetensors_open(ctx, path, &again, &err) == SN_OK && again.ntensor == n);
        check(&again, sn_file_bytes(again.file));
        for (size_t i = 0; i < n; i++) {
            const SnStTensor *t = sn_safetensors_find(&again, tensor[i].name);
            fuzz_require(t != NULL && sn_bytes_equal(t->bytes, f->tensor[i].bytes));
        }
        sn_safetensors_close(&again);
        scratch_close(&folder);
    }
    sn_arena_clear(&arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    SnContext *ctx = NULL;
    SnSafetensors f;
    SnError err = {0};
    fuzz_require(sn_context_create(NULL, &ctx, NULL) == SN_OK);
    if (sn_safetensors_parse(ctx, "fuzz", sn_bytes(data, size), &f, &err) == SN_OK) {
        check(&f, sn_bytes(data, size));
        write_back(ctx, &f);
        sn_safetensors_close(&f);
    } else {
        fuzz_require(err.message[0] != '\0');
    }
    sn_context_destroy(ctx);
    return 0;
}

FUZZ_MAIN("tests/fuzz/corpus/safetensors");
