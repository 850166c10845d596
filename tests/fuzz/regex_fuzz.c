/* regex_fuzz.c -- any bytes as a pattern: refused with a message, or it cuts text the same way in one go, in
 * pieces of time and without places. */
#include "tests/fuzz/fuzz.h"

#include "frontends/tokenizer/draft.h"
#include "tests/unit/tokenize_run.h"

static const char sample[] =
    "Hello, w\xC3\xB6rld's 123 \xE4\xB8\xAD\xE6\x96\x87  \n\t aaab\xCC\x81 [x-y] {2} $ \xF0\x9F\x98\x80 ";

static void cut(SnArena *a, SnBytes table, SnBytes text)
{
    const int64_t n = (int64_t)text.n, zero = 0;
    const SnView row = run_row(SN_U8, (void *)(uintptr_t)text.at, &n, &zero), tok = run_table(table);
    SnView out[3];
    SnError err = {0};
    uint32_t nagain = 0;
    fuzz_require(run_words(a, &tok, &row, out, 1, &nagain, &err) == SN_OK);
}

static void compile(SnArena *a, SnBytes pattern, SnSplitBehavior behavior, bool is_literal)
{
    const SnBytes unknown = sn_bytes_str("?"), none = {NULL, 0};
    SnTokDraft d = {.arena = a, .kind = SN_TOK_WORDLEVEL, .unk = unknown, .nsplit = 1};
    uint32_t before;
    SnError err = {0};
    SnBytes table;
    sn_map_init(&d.added_index, a->memory);
    sn_map_init(&d.special, a->memory);
    for (int i = 0; i < SN_TOK_NNAME; i++)
        d.facts.name[i] = SN_TOK_NONE;
    d.split[0] = (SnTokSplit){.kind = SN_SPLIT_REGEX, .code_point = SN_TOK_NONE, .behavior = behavior};
    fuzz_require(sn_draft_put_token(&d, unknown, sn_draft_hash(unknown, none), 0, &before));
    if (sn_draft_add_regex(&d, pattern, is_literal ? SN_PATTERN_TEXT : SN_PATTERN_SPLIT, &d.split[0].arg,
                           &err) != SN_OK) {
        fuzz_require(err.message[0] != '\0');
    } else {
        fuzz_require(sn_draft_write(&d, a, &table, &err) == SN_OK);
        cut(a, table, sn_bytes(sample, sizeof sample - 1));
        cut(a, table, pattern);
    }
    sn_map_clear(&d.added_index);
    sn_map_clear(&d.special);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    enum { MOST = 400 };
    SnContext *ctx = NULL;
    SnArena arena;
    if (size == 0 || size > MOST)
        return 0;
    fuzz_require(sn_context_create(NULL, &ctx, NULL) == SN_OK);
    sn_arena_init(&arena, sn_allocator(ctx));
    compile(&arena, sn_bytes(data + 1, size - 1), data[0] % SN_SPLIT_NBEHAVIOR, data[0] >= 0x80);
    sn_arena_clear(&arena);
    sn_context_destroy(ctx);
    return 0;
}

FUZZ_MAIN("tests/fuzz/corpus/regex");
