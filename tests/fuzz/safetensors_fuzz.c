/* safetensors_fuzz.c -- any bytes as a safetensors file: refused with a message, or its tensors lie in it
 * one behind the other, and are found by name. */
#include "tests/fuzz/fuzz.h"

#include "frontends/hf/safetensors.h"

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

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    SnContext *ctx = NULL;
    SnSafetensors f;
    SnError err = {0};
    fuzz_require(sn_context_create(NULL, &ctx, NULL) == SN_OK);
    if (sn_safetensors_parse(ctx, "fuzz", sn_bytes(data, size), &f, &err) == SN_OK) {
        check(&f, sn_bytes(data, size));
        sn_safetensors_close(&f);
    } else {
        fuzz_require(err.message[0] != '\0');
    }
    sn_context_destroy(ctx);
    return 0;
}

FUZZ_MAIN("tests/fuzz/corpus/safetensors");
