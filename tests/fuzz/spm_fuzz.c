/* spm_fuzz.c -- any bytes as a SentencePiece model: refused with a message, or a well-formed tokenizer.json.
 */
#include "tests/fuzz/fuzz.h"

#include "frontends/tokenizer/spm.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    SnContext *ctx = NULL;
    SnArena arena;
    SnSpm spm;
    SnJson *json = NULL;
    SnError err = {0};
    fuzz_require(sn_context_create(NULL, &ctx, NULL) == SN_OK);
    SnText text = {.memory = sn_allocator(ctx)};
    sn_arena_init(&arena, sn_allocator(ctx));
    if (sn_spm_parse(&arena, "f", sn_bytes(data, size), &spm, &err) == SN_OK) {
        fuzz_require(sn_spm_write(sn_allocator(ctx), "f", &spm, &text, &err) == SN_OK);
        fuzz_require(sn_json_parse(&arena, "made", sn_bytes(text.at, text.n), &json, NULL) == SN_OK);
    } else {
        fuzz_require(err.message[0] != '\0');
    }
    sn_text_clear(&text);
    sn_arena_clear(&arena);
    sn_context_destroy(ctx);
    return 0;
}

FUZZ_MAIN("tests/fuzz/corpus/spm");
