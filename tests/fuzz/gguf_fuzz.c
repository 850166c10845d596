/* gguf_fuzz.c -- any bytes as a GGUF file: refused with a message, or what it holds is within it, and the
 * files of a folder that are made of it are well formed. */
#include "tests/fuzz/fuzz.h"

#include "frontends/gguf/convert.h"

static SnStatus see(void *user, const SnGgufTensor *t, const SnGgufName *as, SnError *err)
{
    size_t *left = user;
    (void)err;
    fuzz_require(as->name.n > 0 && as->part < as->nparts && t->bytes.n % (size_t)as->nparts == 0);
    /* A tensor of a thousand experts has a thousand names: enough of them were seen. */
    return --*left ? SN_OK : SN_ECANCELLED;
}

static void check_text(SnContext *ctx, SnStatus st, SnText *text, const SnError *err)
{
    SnArena arena;
    SnJson *json = NULL;
    sn_arena_init(&arena, sn_allocator(ctx));
    if (st == SN_OK)
        fuzz_require(sn_json_parse(&arena, "made", sn_bytes(text->at, text->n), &json, NULL) == SN_OK);
    else
        fuzz_require(err->message[0] != '\0');
    sn_arena_clear(&arena);
    sn_text_clear(text);
}

static void check_folder(SnContext *ctx, const SnGguf *f)
{
    SnText text = {.memory = sn_allocator(ctx)};
    SnError err = {0};
    SnArena arena;
    size_t left = 4096;
    check_text(ctx, sn_gguf_config("f", f, &text, &err), &text, &err);
    if (sn_gguf_has_tokenizer(f)) {
        check_text(ctx, sn_gguf_tokenizer(ctx, "f", f, &text, &err), &text, &err);
        check_text(ctx, sn_gguf_tokenizer_config("f", f, &text, &err), &text, &err);
    }
    sn_arena_init(&arena, sn_allocator(ctx));
    const SnStatus st = sn_gguf_each("f", f, &arena, see, &left, &err);
    fuzz_require(st == SN_OK || st == SN_ECANCELLED || err.message[0] != 0);
    sn_arena_clear(&arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    SnContext *ctx = NULL;
    SnGguf f;
    SnError err = {0};
    fuzz_require(sn_context_create(NULL, &ctx, NULL) == SN_OK);
    if (sn_gguf_parse(ctx, "f", sn_bytes(data, size), &f, &err) == SN_OK) {
        for (size_t i = 0; i < f.ntensor; i++)
            fuzz_require(f.tensor[i].bytes.at >= data &&
                         f.tensor[i].bytes.at + f.tensor[i].bytes.n <= data + size);
        check_folder(ctx, &f);
        sn_gguf_close(&f);
    } else {
        fuzz_require(err.message[0] != '\0');
    }
    sn_context_destroy(ctx);
    return 0;
}

FUZZ_MAIN("tests/fuzz/corpus/gguf");
