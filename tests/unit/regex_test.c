/* regex_test.c -- patterns: where they cut, against what the reference cuts; what is refused. */
#include "frontends/tokenizer/draft.h"
#include "ops/host/split.h"
#include "tests/unit/tokenize_run.h"
#include "tests/unit/unit.h"

/* A tokenizer that only splits: its one token stands for every word. */
static SnStatus make(SnContext *ctx, SnArena *a, const char *pattern, uint32_t behavior, bool inverts,
                     SnBytes *table, SnError *err)
{
    const SnBytes unknown = sn_bytes_str("?"), none = {NULL, 0};
    SnTokDraft d = {.arena = a, .kind = SN_TOK_WORDLEVEL, .unk = unknown, .nsplit = 1};
    uint32_t before;
    sn_map_init(&d.added_index, sn_allocator(ctx));
    sn_map_init(&d.special, sn_allocator(ctx));
    for (int i = 0; i < SN_TOK_NNAME; i++)
        d.facts.name[i] = SN_TOK_NONE;
    d.split[0] = (SnTokSplit){
        .kind = SN_SPLIT_REGEX, .code_point = SN_TOK_NONE, .behavior = behavior, .inverts = inverts};
    SnStatus st =
        sn_draft_put_token(&d, unknown, sn_draft_hash(unknown, none), 0, &before) ? SN_OK : SN_ENOMEM;
    if (st == SN_OK)
        st = sn_draft_add_regex(&d, sn_bytes_str(pattern), SN_PATTERN_SPLIT, &d.split[0].arg, err);
    if (st == SN_OK)
        st = sn_draft_write(&d, a, table, err);
    sn_map_clear(&d.added_index);
    sn_map_clear(&d.special);
    return st;
}

static const struct {
    const char *pattern;
    SnSplitBehavior behavior;
    bool inverts;
    const char *text;
    int64_t n;
    int32_t offset[32];
} cases[] = {
    /* clang-format off */
    {"'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+", SN_SPLIT_ISOLATED, false, "Don't STOP'LL 12345  caf\303\251\314\201 \344\270\255\346\226\207 a\305\277 x\n\n y\t ", 15, {0, 3, 3, 5, 5, 10, 10, 11, 11, 13, 13, 19, 19, 20, 20, 25, 25, 26, 26, 29, 29, 32, 32, 34, 34, 36, 36, 38, 38, 40}},
    {"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+", SN_SPLIT_ISOLATED, false, "Don't STOP'LL 12345  caf\303\251\314\201 \344\270\255\346\226\207 a\305\277 x\n\n y\t ", 16, {0, 3, 3, 5, 5, 10, 10, 13, 13, 14, 14, 17, 17, 19, 19, 20, 20, 25, 25, 26, 26, 29, 29, 32, 32, 34, 34, 36, 36, 38, 38, 40}},
    {"'(?i:[sdmt]|ll|ve|re)|[^\\r\\n\\p{L}\\p{N}]?+\\p{L}++|\\p{N}{1,3}+| ?[^\\s\\p{L}\\p{N}]++[\\r\\n]*+|\\s++$|\\s*[\\r\\n]|\\s+(?!\\S)|\\s", SN_SPLIT_ISOLATED, false, "Don't STOP'LL 12345  caf\303\251\314\201 \344\270\255\346\226\207 a\305\277 x\n\n y\t  \n", 15, {0, 3, 3, 5, 5, 10, 10, 13, 13, 14, 14, 19, 19, 20, 20, 25, 25, 26, 26, 29, 29, 32, 32, 34, 34, 36, 36, 38, 38, 42}},
    {"[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]*[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]+[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+", SN_SPLIT_ISOLATED, false, "HelloWORLD It'S \307\205a //\n", 5, {0, 5, 5, 10, 10, 15, 15, 18, 18, 22}},
    {"\\s+", SN_SPLIT_REMOVED, false, " a  b c ", 3, {1, 2, 4, 5, 6, 7}},
    {"\\s+", SN_SPLIT_REMOVED, true, " a  b c ", 4, {0, 1, 2, 4, 5, 6, 7, 8}},
    {"\\d", SN_SPLIT_WITH_PREVIOUS, false, "1a2bb34", 4, {0, 1, 1, 3, 3, 6, 6, 7}},
    {"\\d", SN_SPLIT_WITH_NEXT, false, "1a2bb34", 4, {0, 2, 2, 5, 5, 6, 6, 7}},
    {"\\d", SN_SPLIT_CONTIGUOUS, false, "12a3bb45", 5, {0, 2, 2, 3, 3, 4, 4, 6, 6, 8}},
    {"\\d", SN_SPLIT_CONTIGUOUS, true, "12a3bb45", 5, {0, 2, 2, 3, 3, 4, 4, 6, 6, 8}},
    {"a|ab|abc", SN_SPLIT_ISOLATED, false, "abcab", 4, {0, 1, 1, 3, 3, 4, 4, 5}},
    {"(?:ab|a)(?:c|bcd)", SN_SPLIT_ISOLATED, false, "abcd xabc", 3, {0, 3, 3, 6, 6, 9}},
    {"x*", SN_SPLIT_ISOLATED, false, "axxb", 3, {0, 1, 1, 3, 3, 4}},
    {"[a-c&&[^b]]+", SN_SPLIT_ISOLATED, false, "abcacb", 4, {0, 1, 1, 2, 2, 5, 5, 6}},
    {"[^\\W\\d_]+", SN_SPLIT_ISOLATED, false, "ab_1c-\303\251", 5, {0, 2, 2, 4, 4, 5, 5, 6, 6, 7}},
    {"a{2,3}?", SN_SPLIT_ISOLATED, false, "aaaaa", 3, {0, 2, 2, 4, 4, 5}},
    {"a{2}?", SN_SPLIT_ISOLATED, false, "aaaaa", 3, {0, 2, 2, 4, 4, 5}},
    {"\\u4e2d|\\x{1F600}|\\x41", SN_SPLIT_ISOLATED, false, "A\344\270\255B\360\237\230\200", 4, {0, 1, 1, 2, 2, 3, 3, 4}},
    {"[[:punct:]]+|\\h+", SN_SPLIT_ISOLATED, false, "!?ff\302\241zz", 4, {0, 2, 2, 4, 4, 5, 5, 7}},
    {"b(?=c)|c(?![cd])", SN_SPLIT_ISOLATED, false, "bcbbccd c", 6, {0, 1, 1, 2, 2, 3, 3, 4, 4, 8, 8, 9}},
    {".+$", SN_SPLIT_ISOLATED, false, "ab\ncd", 3, {0, 2, 2, 3, 3, 5}},
    {"(?i)k|s", SN_SPLIT_ISOLATED, false, "aK\342\204\252\305\277Sb", 6, {0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6}},
    {"\\p{Han}+|\\p{^L}|\\P{Lu}", SN_SPLIT_ISOLATED, false, "\344\270\255Ab1", 4, {0, 1, 1, 2, 2, 3, 3, 4}},
    {"(?=(\\d{3})+(?!\\d))", SN_SPLIT_ISOLATED, false, "a1234567 12 345678\331\243", 5, {0, 2, 2, 5, 5, 13, 13, 16, 16, 19}},
    {"\\p{N}{1,3}(?=(?:\\p{N}{3})*\\b)", SN_SPLIT_ISOLATED, false, "12345678 x1234 12", 8, {0, 2, 2, 5, 5, 8, 8, 10, 10, 11, 11, 14, 14, 15, 15, 17}},
    {"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", SN_SPLIT_ISOLATED, false, "parseHTTPResponse", 3, {0, 5, 5, 9, 9, 17}},
    {"\\b\\w|\\B.|^ ", SN_SPLIT_ISOLATED, false, "ab -c\n d", 8, {0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7, 8}},
    {"(?<=ab|c+)d+|(?<!\\Ae)b(?=.*c)", SN_SPLIT_ISOLATED, false, "dabdd ebccd\nebc", 10, {0, 2, 2, 3, 3, 5, 5, 7, 7, 8, 8, 10, 10, 11, 11, 13, 13, 14, 14, 15}},
    {"(?:b?|\\w\\S)*\\B", SN_SPLIT_ISOLATED, false, "11121 b", 4, {0, 2, 2, 3, 3, 4, 4, 7}},
    {"a\\Z|(?<=^|\\s)x", SN_SPLIT_ISOLATED, false, "xa ax x\n xa\n", 7, {0, 1, 1, 6, 6, 7, 7, 9, 9, 10, 10, 11, 11, 12}},
    {"[]a-]+", SN_SPLIT_ISOLATED, false, "a]-b", 2, {0, 3, 3, 4}},
    /* clang-format on */
};

static void patterns_cut_as_the_reference_does(void **state)
{
    (void)state;
    for (size_t i = 0; i < SN_COUNT(cases); i++) {
        SnContext *ctx = NULL;
        SnArena a;
        SnError err = {0};
        SnBytes table;
        SnView out[3];
        uint32_t nagain = 0;
        const int64_t n = (int64_t)strlen(cases[i].text), zero = 0;
        const SnView text = run_row(SN_U8, (void *)(uintptr_t)cases[i].text, &n, &zero);
        assert_int_equal(sn_context_create(NULL, &ctx, NULL), SN_OK);
        sn_arena_init(&a, sn_allocator(ctx));
        assert_ok(make(ctx, &a, cases[i].pattern, cases[i].behavior, cases[i].inverts, &table, &err));
        const SnView tok = run_table(table);
        assert_ok(run_words(&a, &tok, &text, out, i % 2, &nagain, &err));
        const int32_t *got = out[1].data;
        if (out[1].len[0] != 2 * cases[i].n ||
            memcmp(got, cases[i].offset, (size_t)cases[i].n * 2 * sizeof *got) != 0)
            fail_msg("%s on %s", cases[i].pattern, cases[i].text);
        sn_arena_clear(&a);
        sn_context_destroy(ctx);
    }
}

/* Text of few different characters, so that matches are long and short, of several bytes and of one. */
static size_t fill_text(uint64_t *seed, uint8_t *text, size_t room)
{
    static const char *const parts[] = {
        "a",  "b",  "ab",   " ",     "  ",        "\n",           "\t",           "'s",
        "'l", "12", "A",    ".",     "/\r\n",     "\303\251",     "\343\200\200", "\360\237\230\200",
        "ac", "aB", "cccc", "\n   ", "x\314\201", "\344\270\255", "\t\t"};
    size_t n = 0;
    uint64_t last = 0;
    for (;;) {
        *seed = *seed * 6364136223846793005u + 1442695040888963407u;
        last = *seed >> 62 != 0 ? (*seed >> 33) % SN_COUNT(parts) : last;
        const size_t size = strlen(parts[last]);
        if (size > room - n)
            return n;
        memcpy(text + n, parts[last], size);
        n += size;
    }
}

static void check_walk(const SnTokPattern *p, const SnTokTable *t, SnBytes text, uint64_t seed)
{
    uint32_t end[SN_TOK_WALK_ENDS];
    for (size_t at = 0, n; (n = sn_tok_walk(p, text, at, end)) > 0;) {
        for (size_t i = 0; i < n; i++) {
            const size_t want = sn_tok_match(t, 0, text, at);
            if (end[i] != want)
                fail_msg("seed %llu: from %zu to %u, not to %zu", (unsigned long long)seed, at,
                         (unsigned)end[i], want);
            at = want;
        }
    }
}

static void a_walk_finds_one_match_after_another(void **state)
{
    static const char *const more[] = {"a*b|[\\S\\s]", "a+c?|(?:ab)+\\s|[\\S\\s]",
                                       "ab?c?d?\\n?|\\s+|[^a\\s]{1,2}|a"};
    static uint8_t bytes[6000];
    uint64_t seed = 1;
    (void)state;
    for (size_t i = 0; i < SN_COUNT(more) + 4; i++) {
        SnContext *ctx = NULL;
        SnArena a;
        SnError err = {0};
        SnBytes table;
        assert_int_equal(sn_context_create(NULL, &ctx, NULL), SN_OK);
        sn_arena_init(&a, sn_allocator(ctx));
        assert_ok(
            make(ctx, &a, i < 4 ? cases[i].pattern : more[i - 4], SN_SPLIT_ISOLATED, false, &table, &err));
        const SnTokTable *t = (const SnTokTable *)(const void *)table.at;
        const SnTokPattern p = sn_tok_pattern(t, 0);
        assert_non_null(p.walk);
        for (int k = 0; k < 60; k++) {
            const uint64_t begin = seed;
            const size_t n = fill_text(&seed, bytes, k % 2 ? sizeof bytes : 300 + 13 * (size_t)k);
            check_walk(&p, t, sn_bytes(bytes, n), begin);
        }
        sn_arena_clear(&a);
        sn_context_destroy(ctx);
    }
}

/* Each place's matches hang on what ends the text, through many calls that run out of time. */
static void a_long_text_is_read_from_both_ends(void **state)
{
    enum { N = 30000 };
    static uint8_t bytes[N + 1];
    (void)state;
    for (int k = 0; k < 2; k++) {
        SnContext *ctx = NULL;
        SnArena a;
        SnError err = {0};
        SnBytes table;
        SnView out[3];
        uint32_t nagain = 0;
        memset(bytes, '7', N);
        bytes[0] = 'x';
        const int64_t n = N - 1 + k, zero = 0;
        const SnView text = run_row(SN_U8, bytes, &n, &zero);
        assert_int_equal(sn_context_create(NULL, &ctx, NULL), SN_OK);
        sn_arena_init(&a, sn_allocator(ctx));
        assert_ok(make(ctx, &a, "(?<=[x7])(?=(?:\\d{3})+$)", SN_SPLIT_ISOLATED, false, &table, &err));
        const SnView tok = run_table(table);
        assert_ok(run_words(&a, &tok, &text, out, true, &nagain, &err));
        const int32_t *got = out[1].data;
        const int32_t first = (int32_t)((n - 1) % 3 + 1), parts = (int32_t)((n - 1) / 3 + 1);
        assert_int_equal(out[1].len[0], 2 * parts);
        for (int32_t i = 1; i < parts; i++)
            assert_int_equal(got[2 * i], first + 3 * (i - 1));
        assert_true(nagain > 10);
        sn_arena_clear(&a);
        sn_context_destroy(ctx);
    }
}

static void what_is_not_built_is_named(void **state)
{
    (void)state;
    static const struct {
        const char *pattern, *says;
        SnStatus status;
    } bad[] = {{"(?<=a(?=bc))b", "look-ahead", SN_EUNSUPPORTED},
               {"(?>a)", "atomic", SN_EUNSUPPORTED},
               {"(a)\\1", "\\1", SN_EUNSUPPORTED},
               {"(?:ab)++", "possessive", SN_EUNSUPPORTED},
               {"\\Gx", "\\G", SN_EUNSUPPORTED},
               {"\\p{Klingon}", "Klingon", SN_EUNSUPPORTED},
               {"(a", "(", SN_EFORMAT},
               {"a)", ")", SN_EFORMAT},
               {"[a", "[", SN_EFORMAT},
               {"*a", "repeat", SN_EFORMAT},
               {"[b-a]", "range", SN_EFORMAT},
               {"a{2000}", "1000", SN_EUNSUPPORTED},
               {"(?=(?:.{0,30}[a-f]|.{0,20}[c-k]|\\d.{0,40}[j-z]|\\w{0,30}){20})x", "large",
                SN_EUNSUPPORTED},
               {"((((((((a{99}){99}){99}){99})))))", "large", SN_EUNSUPPORTED}};
    for (size_t i = 0; i < SN_COUNT(bad); i++) {
        SnContext *ctx = NULL;
        SnArena a;
        SnError err = {0};
        SnBytes table;
        assert_int_equal(sn_context_create(NULL, &ctx, NULL), SN_OK);
        sn_arena_init(&a, sn_allocator(ctx));
        const SnStatus st = make(ctx, &a, bad[i].pattern, SN_SPLIT_ISOLATED, false, &table, &err);
        if (st != bad[i].status || strstr(err.message, bad[i].says) == NULL)
            fail_msg("%s: %s %s", bad[i].pattern, sn_status_name(st), err.message);
        sn_arena_clear(&a);
        sn_context_destroy(ctx);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(patterns_cut_as_the_reference_does),
        cmocka_unit_test(a_walk_finds_one_match_after_another),
        cmocka_unit_test(a_long_text_is_read_from_both_ends),
        cmocka_unit_test(what_is_not_built_is_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
