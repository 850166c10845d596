/* index_fuzz.c -- any bytes as model.safetensors.index.json, beside one small file: refused with a message,
 * or every name it lists has a tensor. */
#define _XOPEN_SOURCE 700
#include "tests/fuzz/fuzz.h"

#include "frontends/hf/weights.h"

#include <unistd.h>

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
    char folder[] = "/tmp/sinter-fuzz-XXXXXX", path[128], index[128];
    SnContext *ctx = NULL;
    SnWeights *w = NULL;
    SnError err = {0};
    fuzz_require(mkdtemp(folder) != NULL && sn_context_create(NULL, &ctx, NULL) == SN_OK);
    (void)snprintf(path, sizeof path, "%s/s", folder);
    (void)snprintf(index, sizeof index, "%s/model.safetensors.index.json", folder);
    const SnBytes part[] = {sn_bytes(shard, sizeof shard - 1), sn_bytes(data, size)};
    fuzz_require(sn_file_write(ctx, path, &part[0], 1, NULL) == SN_OK);
    fuzz_require(sn_file_write(ctx, index, &part[1], 1, NULL) == SN_OK);
    if (sn_weights_open(ctx, folder, &w, &err) == SN_OK)
        check(w);
    else
        fuzz_require(err.message[0] != '\0');
    sn_weights_release(w);
    fuzz_require(unlink(path) == 0 && unlink(index) == 0 && rmdir(folder) == 0);
    sn_context_destroy(ctx);
    return 0;
}

FUZZ_MAIN("tests/fuzz/corpus/index");
