/* config_fuzz.c -- any bytes as config.json: refused with a message, or every accessor gives something. */
#include "tests/fuzz/fuzz.h"

#include "frontends/hf/config.h"

static void ask(const SnConfig *c)
{
    static const char *const keys[] = {
        "hidden_size", "hidden_act", "dtype", "layer_norm_eps", "absent", "id2label", "tie_word_embeddings"};
    SnError err = {0};
    int64_t v = 0;
    fuzz_require(c->model_type != NULL && c->architecture != NULL);
    for (size_t i = 0; i < SN_COUNT(keys); i++) {
        (void)sn_config_int(c, keys[i], 1);
        (void)sn_config_float(c, keys[i], 1);
        (void)sn_config_bool(c, keys[i], true);
        fuzz_require(sn_config_string(c, keys[i], "otherwise") != NULL);
        if (sn_config_need(c, keys[i], 1000, &v, &err) == SN_OK)
            fuzz_require(v >= 1 && v <= 1000);
        else
            fuzz_require(err.message[0] != '\0');
    }
    (void)sn_config_labels(c);
    for (int64_t i = -1; i < 3; i++)
        (void)sn_config_label(c, i);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    SnContext *ctx = NULL;
    SnConfig c;
    SnError err = {0};
    fuzz_require(sn_context_create(NULL, &ctx, NULL) == SN_OK);
    if (sn_config_parse(ctx, "fuzz", sn_bytes(data, size), &c, &err) == SN_OK) {
        ask(&c);
        sn_config_clear(&c);
    } else {
        fuzz_require(err.message[0] != '\0');
    }
    sn_context_destroy(ctx);
    return 0;
}

FUZZ_MAIN("tests/fuzz/corpus/config");
