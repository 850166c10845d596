/* object_fuzz.c -- any bytes as a cached kernel object: refused with a message, or mapped. */
#include "tests/fuzz/fuzz.h"

#include "backends/llvm/llvm.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    SnContext *ctx = NULL;
    SnObjectCode *code = NULL;
    SnError err = {0};
    fuzz_require(sn_context_create(NULL, &ctx, &err) == SN_OK);
    if (sn_object_open(ctx, sn_bytes(data, size), &code, &err) == SN_OK)
        (void)sn_object_find(code, "k");
    else
        fuzz_require(err.message[0] != '\0');
    sn_object_close(code);
    sn_context_destroy(ctx);
    return 0;
}

FUZZ_MAIN("tests/fuzz/corpus/object");
