/* tokenizer_fuzz.c -- any bytes as a tokenizer.json: refused with a message, or text goes through it. Then
 * the table is damaged: it is refused, or text goes through that. */
#include "tests/fuzz/fuzz.h"

#include "tests/unit/tokenize_run.h"

enum { NDAMAGE = 64, TAIL = 200 };

static const char sample[] =
    "Hello, [MASK] w\xC3\xB6rld\xCC\xA3\xCC\x81 \xE4\xB8\xAD\xE6\x96\x87\xEA\xB0\x81 a\xFF\xE2\x82 "
    "x\t\xC2\xBD 12.5 \xC4\xB0 don't [X]  ";

/* A length is right for the bounds of this plan, or an error; the ids are below what the table has room for.
 */
static void run_text(SnArena *a, SnBytes table, SnBytes text)
{
    const int64_t n = (int64_t)text.n, zero = 0;
    const SnView row = run_row(SN_U8, (void *)(uintptr_t)text.at, &n, &zero);
    const RunOptions options[] = {{.max_length = -1},
                                  {.max_length = 9, .stride = 1, .windows = 20, .deadline_ns = 1},
                                  {.max_length = 5, .left = true, .no_special = true, .windows = 3}};
    for (size_t i = 0; i < SN_COUNT(options); i++) {
        RunResult r = {.nagain = 0};
        SnView decoded;
        SnError err = {0};
        if (run_encode(a, table, &row, i == 1 ? &row : NULL, &options[i], &r, &err) != SN_OK ||
            run_decode(a, table, &r.out[RUN_IDS], i == 0, &decoded, &err) != SN_OK)
            fuzz_require(err.message[0] != '\0');
    }
}

static void run_all(SnArena *a, SnBytes table, SnBytes tail)
{
    run_text(a, table, sn_bytes(sample, sizeof sample - 1));
    run_text(a, table, tail);
    const SnTokenizerFacts facts = sn_tokenizer_facts(table);
    for (uint32_t id = 0; id < facts.vocab_size && id < 300; id++)
        (void)sn_tokenizer_id(table, sn_tokenizer_text(table, id));
}

static void damage(SnArena *a, SnBytes table, SnBytes tail)
{
    uint8_t *copy = sn_arena_alloc(a, table.n + SN_TOK_ALIGN);
    fuzz_require(copy != NULL);
    copy += (SN_TOK_ALIGN - (uintptr_t)copy % SN_TOK_ALIGN) % SN_TOK_ALIGN;
    uint64_t seed = tail.n;
    for (int i = 0; i < NDAMAGE; i++) {
        memcpy(copy, table.at, table.n);
        for (size_t k = 0; k < 3; k++) {
            seed = seed * 6364136223846793005u + 1442695040888963407u +
                   (tail.n > 0 ? tail.at[(size_t)i % tail.n] : 0);
            const size_t range = i % 2 == 0 && table.n > sizeof(SnTokTable) ? sizeof(SnTokTable) : table.n;
            copy[(seed >> 33) % range] = (uint8_t)(seed >> 25);
        }
        SnError err = {0};
        SnArena work;
        sn_arena_init(&work, a->memory);
        if (sn_tokenizer_check(sn_bytes(copy, table.n), &err) == SN_OK &&
            ((const SnTokTable *)(const void *)copy)->facts.token_size < 1 << 16)
            run_all(&work, sn_bytes(copy, ((const SnTokTable *)(const void *)copy)->size), tail);
        sn_arena_clear(&work);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    SnContext *ctx = NULL;
    SnArena arena;
    SnBytes table;
    SnError err = {0};
    fuzz_require(sn_context_create(NULL, &ctx, NULL) == SN_OK);
    sn_arena_init(&arena, sn_allocator(ctx));
    const SnTokenizerFiles files = {.folder = "fuzz", .tokenizer = sn_bytes(data, size)};
    const SnBytes tail = size < TAIL ? sn_bytes(data, size) : sn_bytes(data + size - TAIL, TAIL);
    const SnStatus st = sn_tokenizer_load(ctx, &files, &arena, &table, &err);
    if (st == SN_OK) {
        run_all(&arena, table, tail);
        damage(&arena, table, tail);
    } else {
        fuzz_require(err.message[0] != '\0');
    }
    sn_arena_clear(&arena);
    sn_context_destroy(ctx);
    return 0;
}

FUZZ_MAIN("tests/fuzz/corpus/tokenizer");
