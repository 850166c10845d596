/* vocab_fuzz.c -- any bytes as vocab.txt, then behind a NUL each, tokenizer_config.json and
 * special_tokens_map.json: refused with a message, or a table that is whole. */
#include "tests/fuzz/fuzz.h"

#include "frontends/tokenizer/tokenizer.h"

static SnBytes take_part(SnBytes *rest)
{
    const uint8_t *nul = rest->n ? memchr(rest->at, 0, rest->n) : NULL;
    const SnBytes part = sn_bytes(rest->at, nul ? (size_t)(nul - rest->at) : rest->n);
    *rest = nul ? sn_bytes(nul + 1, rest->n - part.n - 1) : sn_bytes(rest->at, 0);
    return part.n ? part : (SnBytes){0}; /* no such file */
}

static void check(SnBytes table)
{
    SnError err = {0};
    fuzz_require(sn_tokenizer_check(table, &err) == SN_OK);
    const SnTokenizerFacts f = sn_tokenizer_facts(table);
    for (uint32_t id = 0; id < f.vocab_size && id < 300; id++)
        (void)sn_tokenizer_id(table, sn_tokenizer_text(table, id));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    SnContext *ctx = NULL;
    SnArena arena;
    SnBytes table = {0}, rest = sn_bytes(data, size);
    SnError err = {0};
    SnTokenizerFiles files = {.folder = "fuzz", .vocab = take_part(&rest)};
    files.config = take_part(&rest);
    files.special_tokens = take_part(&rest);
    fuzz_require(sn_context_create(NULL, &ctx, NULL) == SN_OK);
    sn_arena_init(&arena, sn_allocator(ctx));
    if (sn_tokenizer_load(ctx, &files, &arena, &table, &err) == SN_OK)
        check(table);
    else
        fuzz_require(err.message[0] != '\0');
    sn_arena_clear(&arena);
    sn_context_destroy(ctx);
    return 0;
}

FUZZ_MAIN("tests/fuzz/corpus/vocab");
