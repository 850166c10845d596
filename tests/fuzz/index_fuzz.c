/* index_fuzz.c -- any bytes as model.safetensors.index.json, beside one small file: refused with a message,
 * or every name it lists has a tensor. */
#include "tests/fuzz/fuzz.h"

#include "frontends/hf/weights.h"

/* Tensors a, u8[2], and b, u8[0], in the file "s". */
static const char shard[] = "\x6C\0\0\0\0\0\0\0"
                            "{\"a\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[0,2]},"
                            "\"b\":{\"dtype\":\"U8\",\"shape\":[0],\"data_offsets\":[2,2]}}   hi";

static void check(SnWeights *w)
{
    const SnSource *s = sn_weights_source(w);
    SnSourceTensor t;
    for (size_t i = 0; i < sn_weights_count(w); i++)
        fuzz_require(sn_weights_at(w, i)->bytes.n ==
                     (sn_weights_find(w, "a") == sn_weights_at(w, i) ? 2 : 0));
    s->retain(s->self);
    fuzz_require(!s->find(s->self, "absent", &t));
    s->release(s->self);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    Scratch folder;
    SnContext *ctx = NULL;
    SnWeights *w = NULL;
    SnError err = {0};
    fuzz_require(sn_context_create(NULL, &ctx, NULL) == SN_OK);
    scratch_open(&folder);
    scratch_write(&folder, "s", shard, sizeof shard - 1);
    scratch_write(&folder, "model.safetensors.index.json", data, size);
    if (sn_weights_open(ctx, folder.dir, &w, &err) == SN_OK)
        check(w);
    else
        fuzz_require(err.message[0] != '\0');
    sn_weights_release(w);
    scratch_close(&folder);
    sn_context_destroy(ctx);
    return 0;
}

FUZZ_MAIN("tests/fuzz/corpus/index");
