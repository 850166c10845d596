/* pickle_fuzz.c -- any bytes as what torch.save wrote, and as the pickle in such a file: refused with a
 * message, or its tensors lie in memory that is theirs. */
#include "tests/fuzz/fuzz.h"

#include "frontends/hf/pickle.h"

static void check(SnContext *ctx, SnBytes file)
{
    SnSafetensors f;
    SnError err = {0};
    unsigned sum = 0;
    if (sn_pickle_parse(ctx, "f", file, &f, &err) != SN_OK) {
        fuzz_require(err.message[0] != '\0');
        return;
    }
    for (size_t i = 0; i < f.ntensor; i++) {
        const SnStTensor *t = &f.tensor[i];
        uint64_t count = 1;
        for (int d = 0; d < t->ndim; d++)
            count *= (uint64_t)t->dims[d];
        fuzz_require(count * sn_dtype_size(t->dtype) == t->bytes.n);
        for (size_t k = 0; k < t->bytes.n; k++)
            sum += t->bytes.at[k];
    }
    fuzz_require(sum + 1 != 0);
    sn_safetensors_close(&f);
}

static void put(SnText *t, uint64_t v, int bytes)
{
    for (int i = 0; i < bytes; i++) {
        char c = 0;
        if (i < 8)
            c = (char)(v >> (8 * i));
        sn_text_add(t, &c, 1);
    }
}

static void put_entry(SnText *t, SnText *dir, const char *name, const uint8_t *data, size_t size)
{
    const size_t at = t->n, n = strlen(name);
    put(t, 0x04034B50, 4);
    put(t, 0, 22);
    put(t, n, 2);
    put(t, 0, 2);
    sn_text_add(t, name, n);
    sn_text_add(t, (const char *)data, size);
    put(dir, 0x02014B50, 4);
    put(dir, 0, 16);
    put(dir, size, 4);
    put(dir, size, 4);
    put(dir, n, 2);
    put(dir, 0, 12);
    put(dir, at, 4);
    sn_text_add(dir, name, n);
}

/* An archive with this pickle and two storages. */
static void wrap(SnContext *ctx, const uint8_t *data, size_t size)
{
    static const uint8_t zeros[64];
    SnText t = {.memory = sn_allocator(ctx)}, dir = {.memory = sn_allocator(ctx)};
    put_entry(&t, &dir, "a/data.pkl", data, size);
    put_entry(&t, &dir, "a/data/0", zeros, sizeof zeros);
    put_entry(&t, &dir, "a/data/1", zeros, 8);
    const size_t at = t.n;
    sn_text_add(&t, dir.at, dir.n);
    put(&t, 0x06054B50, 4);
    put(&t, 0, 4);
    put(&t, 3, 2);
    put(&t, 3, 2);
    put(&t, dir.n, 4);
    put(&t, at, 4);
    put(&t, 0, 2);
    if (!t.failed && !dir.failed)
        check(ctx, sn_bytes(t.at, t.n));
    sn_text_clear(&t);
    sn_text_clear(&dir);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    SnContext *ctx = NULL;
    fuzz_require(sn_context_create(NULL, &ctx, NULL) == SN_OK);
    check(ctx, sn_bytes(data, size));
    wrap(ctx, data, size);
    sn_context_destroy(ctx);
    return 0;
}

FUZZ_MAIN("tests/fuzz/corpus/pickle");
