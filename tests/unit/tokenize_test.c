/* tokenize_test.c -- the tokenizer ops on a small vocabulary; the expected values are the reference's. */
#include "tests/unit/tokenize_run.h"
#include "tests/unit/unit.h"

typedef struct Fixture {
    SnContext *ctx;
    SnArena arena;
} Fixture;

static int open_fixture(void **state)
{
    static Fixture f;
    if (sn_context_create(NULL, &f.ctx, NULL) != SN_OK)
        return -1;
    sn_arena_init(&f.arena, sn_allocator(f.ctx));
    *state = &f;
    return 0;
}

static int close_fixture(void **state)
{
    Fixture *f = *state;
    sn_arena_clear(&f->arena);
    sn_context_destroy(f->ctx);
    return 0;
}

/* ---- tokenizers of the tests --------------------------------------------------------------------------- */

#define MODEL                                                                                                \
    "\"model\":{\"type\":\"WordPiece\",\"unk_token\":\"[UNK]\",\"continuing_subword_prefix\":\"##\","        \
    "\"max_input_chars_per_word\":12,\"vocab\":{\"[PAD]\":0,\"[UNK]\":1,\"[CLS]\":2,\"[SEP]\":3,\"[MASK]\":" \
    "4,\"hello\":5,\"he\":6,\"##llo\":7,\"##l\":8,\"wor\":9,\"##ld\":10,\",\":11,\"e\":12,\"\xE4\xB8\xAD\":" \
    "13,\"a\":14,\"b\":15,\"c\":16,\"d\":17,\"f\":18,\"##a\":19,\"'\":20,\"s\":21,\"i\":22,\"n't\":23}}"
#define SPECIAL(id, name)                                                                                    \
    "{\"id\":" #id ",\"content\":\"" name "\",\"single_word\":false,\"lstrip\":false,\"rstrip\":false,"      \
    "\"normalized\":false,\"special\":true}"
#define SPECIALS                                                                                             \
    SPECIAL(0, "[PAD]")                                                                                      \
    "," SPECIAL(1, "[UNK]") "," SPECIAL(2, "[CLS]") "," SPECIAL(3, "[SEP]") "," SPECIAL(4, "[MASK]")
#define BERT                                                                                                 \
    "\"normalizer\":{\"type\":\"BertNormalizer\",\"clean_text\":true,\"handle_chinese_chars\":true,"         \
    "\"strip_accents\":null,\"lowercase\":true},\"pre_tokenizer\":{\"type\":\"BertPreTokenizer\"}"
#define POST                                                                                                 \
    "\"post_processor\":{\"type\":\"BertProcessing\",\"sep\":[\"[SEP]\",3],\"cls\":[\"[CLS]\",2]},"          \
    "\"decoder\":{\"type\":\"WordPiece\",\"prefix\":\"##\",\"cleanup\":true}"
#define PLAIN "{" MODEL "," BERT "," POST ",\"added_tokens\":[" SPECIALS "]}"

static SnBytes load(Fixture *f, const char *json)
{
    SnError err;
    SnBytes table;
    const SnTokenizerFiles files = {.folder = "test", .tokenizer = sn_bytes_str(json)};
    assert_ok(sn_tokenizer_load(f->ctx, &files, &f->arena, &table, &err));
    return table;
}

/* ---- running ------------------------------------------------------------------------------------------- */

static const RunOptions whole = {.max_length = -1};

static SnStatus encode(Fixture *f, SnBytes table, const char *text, const char *pair, const RunOptions *o,
                       RunResult *r, SnError *err)
{
    int64_t *n = sn_arena_array(&f->arena, 3, sizeof *n);
    n[0] = (int64_t)strlen(text);
    n[1] = pair != NULL ? (int64_t)strlen(pair) : 0;
    const SnView a = run_row(SN_U8, (void *)(uintptr_t)text, &n[0], &n[2]);
    const SnView b = run_row(SN_U8, (void *)(uintptr_t)pair, &n[1], &n[2]);
    *r = (RunResult){.nagain = 0};
    return run_encode(&f->arena, table, &a, pair != NULL ? &b : NULL, o, r, err);
}

static void assert_window(const RunResult *r, int which, int64_t window, const int32_t *want, int64_t n)
{
    const SnView *v = &r->out[which];
    assert_int_equal(v->len[window], n);
    const int32_t *got = (const int32_t *)v->data + v->start[window];
    for (int64_t i = 0; i < n; i++)
        if (got[i] != want[i])
            fail_msg("window %d, element %d: %d, expected %d", (int)window, (int)i, (int)got[i],
                     (int)want[i]);
}

#define assert_row(r, which, window, ...)                                                                    \
    assert_window((r), (which), (window), (const int32_t[]){__VA_ARGS__},                                    \
                  (int64_t)SN_COUNT(((const int32_t[]){__VA_ARGS__})))

static int64_t count_of(const RunResult *r)
{
    return *(const int64_t *)r->out[RUN_COUNT].data;
}

/* ---- words ----------------------------------------------------------------------------------------------
 */

static void words_become_their_longest_pieces(void **state)
{
    Fixture *f = *state;
    SnError err;
    RunResult r;
    assert_ok(encode(f, load(f, PLAIN), "Hello, hel world", NULL, &whole, &r, &err));
    assert_row(&r, RUN_IDS, 0, 2, 5, 11, 6, 8, 9, 10, 3);
    assert_row(&r, RUN_OFFSET, 0, 0, 0, 0, 5, 5, 6, 7, 9, 9, 10, 11, 14, 14, 16, 0, 0);
    assert_row(&r, RUN_WORD_ID, 0, -1, 0, 1, 2, 2, 3, 3, -1);
    assert_row(&r, RUN_SPECIAL, 0, 1, 0, 0, 0, 0, 0, 0, 1);
    assert_row(&r, RUN_SEQUENCE, 0, -1, 0, 0, 0, 0, 0, 0, -1);
}

static void words_without_pieces_are_unknown_as_a_whole(void **state)
{
    Fixture *f = *state;
    SnError err;
    RunResult r;
    /* The second one has pieces, but 13 characters. */
    assert_ok(encode(f, load(f, PLAIN), "hellox aaaaaaaaaaaaa aaa", NULL, &whole, &r, &err));
    assert_row(&r, RUN_IDS, 0, 2, 1, 1, 14, 19, 19, 3);
    assert_row(&r, RUN_OFFSET, 0, 0, 0, 0, 6, 7, 20, 21, 22, 22, 23, 23, 24, 0, 0);
}

static void a_missing_unknown_token_is_an_error_when_needed(void **state)
{
    Fixture *f = *state;
    SnError err;
    RunResult r;
    const SnBytes table =
        load(f, "{\"model\":{\"type\":\"WordPiece\",\"unk_token\":\"?\",\"continuing_subword_prefix\":"
                "\"##\",\"max_input_chars_per_word\":9,\"vocab\":{\"a\":0}}}");
    assert_ok(encode(f, table, "a", NULL, &whole, &r, &err));
    assert_fails(SN_EINVAL, encode(f, table, "b", NULL, &whole, &r, &err));
}

static void normalising_keeps_offsets_in_the_text(void **state)
{
    Fixture *f = *state;
    SnError err;
    RunResult r;
    /* accent, ideograph, dropped control, combining mark, decomposed capital */
    assert_ok(encode(f, load(f, PLAIN), "h\xC3\xA9llo\xE4\xB8\xADHE\x01\xCC\x81LLO", NULL, &whole, &r, &err));
    assert_row(&r, RUN_IDS, 0, 2, 5, 13, 5, 3);
    assert_row(&r, RUN_OFFSET, 0, 0, 0, 0, 5, 5, 6, 6, 13, 0, 0);
}

static void malformed_bytes_count_as_replacement_characters(void **state)
{
    Fixture *f = *state;
    SnError err;
    RunResult r;
    /* one, one (cut short), two, three: as bytes.decode(errors="replace") */
    assert_ok(encode(f, load(f, PLAIN),
                     "a\xFF"
                     "b\xE2\x82"
                     "c\xC0\xAF"
                     "d\xED\xA0\x80 e",
                     NULL, &whole, &r, &err));
    assert_row(&r, RUN_IDS, 0, 2, 1, 12, 3);
    assert_row(&r, RUN_OFFSET, 0, 0, 0, 0, 8, 12, 13, 0, 0);
}

/* ---- normalised text ------------------------------------------------------------------------------------
 */

static void assert_normalized(Fixture *f, const char *json, const char *text, const char *want)
{
    const SnBytes table = load(f, json);
    const size_t n = strlen(text), cap = 4 * n + SN_TOK_RUN;
    uint8_t *out = sn_arena_alloc(&f->arena, cap);
    const size_t size = sn_tok_normalize_text((const SnTokTable *)(const void *)table.at, sn_bytes(text, n),
                                              sn_arena_array(&f->arena, cap, 24), cap, sn_bytes(out, cap));
    assert_int_equal(size, strlen(want));
    assert_memory_equal(out, want, size);
}

#define NFD "{" MODEL ",\"normalizer\":{\"type\":\"NFD\"}}"

static void marks_are_put_in_canonical_order(void **state)
{
    assert_normalized(*state, NFD, "a\xCC\x81\xCC\xA3", "a\xCC\xA3\xCC\x81");
    assert_normalized(*state, NFD, "\xE1\xB9\xA9", "s\xCC\xA3\xCC\x87");
    assert_normalized(*state, NFD, "\xEA\xB0\x81", "\xE1\x84\x80\xE1\x85\xA1\xE1\x86\xA8");
    assert_normalized(*state, "{" MODEL ",\"normalizer\":{\"type\":\"Lowercase\"}}", "\xC4\xB0\xCE\xA3",
                      "i\xCC\x87\xCF\x83");
}

static void many_marks_are_put_in_canonical_order(void **state)
{
    enum { PAIRS = 300 };
    char text[4 * PAIRS + 1], want[4 * PAIRS + 1];
    for (int i = 0; i < PAIRS; i++) {
        memcpy(text + 4 * i, "\xCC\x81\xCC\xA3", 4);
        memcpy(want + 2 * i, "\xCC\xA3", 2);
        memcpy(want + 2 * PAIRS + 2 * i, "\xCC\x81", 2);
    }
    text[4 * PAIRS] = want[4 * PAIRS] = '\0';
    assert_normalized(*state, NFD, text, want);
}

/* ---- added tokens ---------------------------------------------------------------------------------------
 */

#define ADDED(content, flags)                                                                                \
    "{" MODEL "," BERT "," POST ",\"added_tokens\":[" SPECIALS ",{\"id\":99,\"content\":\"" content          \
    "\"," flags "}]}"
#define FLAGS(word, l, r, norm)                                                                              \
    "\"single_word\":" #word ",\"lstrip\":" #l ",\"rstrip\":" #r ",\"normalized\":" #norm ",\"special\":"    \
    "false"

static void added_tokens_are_cut_out_of_the_text(void **state)
{
    Fixture *f = *state;
    SnError err;
    RunResult r;
    /* Its id is the next free one, not the file's. */
    assert_ok(encode(f, load(f, ADDED("<x>", FLAGS(false, false, false, false))), "a<x>b <X>", NULL, &whole,
                     &r, &err));
    assert_row(&r, RUN_IDS, 0, 2, 14, 24, 15, 1, 1, 1, 3);
    assert_ok(encode(f, load(f, ADDED("<x>", FLAGS(false, true, true, false))), "a  <x> b", NULL, &whole, &r,
                     &err));
    assert_row(&r, RUN_OFFSET, 0, 0, 0, 0, 1, 1, 7, 7, 8, 0, 0);
    assert_ok(encode(f, load(f, ADDED("el", FLAGS(true, false, false, false))), "hello el", NULL, &whole, &r,
                     &err));
    assert_row(&r, RUN_IDS, 0, 2, 5, 24, 3);
}

static void normalized_added_tokens_are_found_after_normalising(void **state)
{
    Fixture *f = *state;
    SnError err;
    RunResult r;
    const SnBytes table = load(f, ADDED("\xC3\x89tat", FLAGS(false, false, false, true)));
    assert_ok(encode(f, table, "a ETAT\xC3\xA9tat", NULL, &whole, &r, &err));
    assert_row(&r, RUN_IDS, 0, 2, 14, 24, 24, 3);
    assert_row(&r, RUN_OFFSET, 0, 0, 0, 0, 1, 2, 6, 6, 10, 0, 0);
    assert_int_equal(sn_tokenizer_id(table, sn_bytes_str("\xC3\x89tat")), 24);
    assert_true(sn_bytes_is(sn_tokenizer_text(table, 24), "etat"));
}

static void roberta_trims_added_tokens(void **state)
{
    Fixture *f = *state;
    SnError err;
    RunResult r;
    static const char json[] =
        "{" MODEL "," BERT ",\"post_processor\":{\"type\":\"RobertaProcessing\",\"sep\":[\"s\",3],"
        "\"cls\":[\"c\",2],\"trim_offsets\":true,\"add_prefix_space\":true},\"added_tokens\":[{\"id\":24,"
        "\"content\":\"<x>\"," FLAGS(false, true, true, false) "}]}";
    assert_ok(encode(f, load(f, json), " <x>  <x> a", "  <x>", &whole, &r, &err));
    assert_row(&r, RUN_IDS, 0, 2, 24, 24, 14, 3, 3, 24, 3);
    assert_row(&r, RUN_OFFSET, 0, 0, 0, 0, 4, 6, 9, 10, 11, 0, 0, 0, 0, 2, 5, 0, 0);
    assert_row(&r, RUN_TYPE, 0, 0, 0, 0, 0, 0, 0, 0, 0);
}

static void roberta_trims_added_tokens_that_are_white_space(void **state)
{
    Fixture *f = *state;
    SnError err;
    RunResult r;
    static const char json[] =
        "{\"model\":{\"type\":\"WordLevel\",\"unk_token\":\"?\",\"vocab\":{\"?\":0,\"a\":1}},"
        "\"post_processor\":{\"type\":\"RobertaProcessing\",\"sep\":[\"a\",1],\"cls\":[\"?\",0],"
        "\"trim_offsets\":true,\"add_prefix_space\":true},\"added_tokens\":[{\"id\":2,\"content\":\"  "
        "\"," FLAGS(false, true, true, true) "}]}";
    assert_ok(encode(f, load(f, json), "a    a", NULL, &whole, &r, &err));
    assert_row(&r, RUN_IDS, 0, 0, 1, 2, 1, 1);
    assert_row(&r, RUN_OFFSET, 0, 0, 0, 0, 1, 5, 5, 5, 6, 0, 0);
}

static void bytes_that_become_nothing_take_no_place(void **state)
{
    Fixture *f = *state;
    SnError err;
    RunResult r;
    static const char json[] =
        "{\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0,\"b\":1,\"c\":2},\"merges\":[]},\"pre_tokenizer\":"
        "{\"type\":\"ByteLevel\",\"add_prefix_space\":false,\"trim_offsets\":false,\"use_regex\":true}}";
    assert_ok(encode(f, load(f, json),
                     "a \xC3\xA9"
                     "abc",
                     NULL, &whole, &r, &err));
    assert_row(&r, RUN_IDS, 0, 0, 0, 1, 2);
    assert_row(&r, RUN_OFFSET, 0, 0, 1, 1, 2, 1, 2, 2, 3);
}

static void the_longest_added_token_wins(void **state)
{
    Fixture *f = *state;
    SnError err;
    RunResult r;
    const SnBytes table = load(f, "{" MODEL "," BERT "," POST ",\"added_tokens\":[" SPECIAL(
                                      5, "xa") "," SPECIAL(6, "x") "," SPECIAL(7, "xab") "]}");
    assert_ok(encode(f, table, "xxaxabxac", NULL, &whole, &r, &err));
    assert_row(&r, RUN_IDS, 0, 2, 25, 24, 26, 24, 16, 3);
}

/* ---- windows --------------------------------------------------------------------------------------------
 */

static void long_texts_become_overlapping_windows(void **state)
{
    Fixture *f = *state;
    SnError err;
    RunResult r;
    const SnBytes table = load(f, PLAIN);
    RunOptions o = {.max_length = 5, .stride = 1, .windows = 4};
    assert_ok(encode(f, table, "a b c d e f", NULL, &o, &r, &err));
    assert_int_equal(count_of(&r), 3);
    assert_row(&r, RUN_IDS, 0, 2, 14, 15, 16, 3);
    assert_row(&r, RUN_IDS, 1, 2, 16, 17, 12, 3);
    assert_row(&r, RUN_IDS, 2, 2, 12, 18, 3);
    assert_int_equal(r.out[RUN_IDS].len[3], 0);
    assert_int_equal(((const int32_t *)r.out[RUN_ROW].data)[3], -1);
    o.left = true;
    assert_ok(encode(f, table, "a b c d e f", NULL, &o, &r, &err));
    assert_row(&r, RUN_IDS, 0, 2, 17, 12, 18, 3);
    assert_row(&r, RUN_IDS, 2, 2, 14, 15, 3);
    o.windows = 1;
    assert_ok(encode(f, table, "a b c d e f", NULL, &o, &r, &err));
    assert_int_equal(count_of(&r), 3); /* more than there is room for */
}

static void pairs_are_cut_longest_first(void **state)
{
    Fixture *f = *state;
    SnError err;
    RunResult r;
    const RunOptions o = {.max_length = 7, .windows = 9};
    assert_ok(encode(f, load(f, PLAIN), "a b c", "d e f", &o, &r, &err));
    assert_int_equal(count_of(&r), 4);
    assert_row(&r, RUN_IDS, 0, 2, 14, 15, 3, 17, 12, 3);
    assert_row(&r, RUN_TYPE, 0, 0, 0, 0, 0, 1, 1, 1);
    assert_row(&r, RUN_SEQUENCE, 0, -1, 0, 0, -1, 1, 1, -1);
    assert_row(&r, RUN_IDS, 1, 2, 16, 3, 17, 12, 3);
    assert_row(&r, RUN_IDS, 2, 2, 16, 3, 18, 3);
    assert_row(&r, RUN_IDS, 3, 2, 14, 15, 3, 18, 3);
}

static void truncation_fails_where_the_reference_does(void **state)
{
    Fixture *f = *state;
    SnError err;
    RunResult r;
    const SnBytes table = load(f, PLAIN);
    const RunOptions second = {.max_length = 4, .strategy = SN_TOK_ONLY_SECOND};
    assert_fails(SN_EINVAL, encode(f, table, "a b c", NULL, &second, &r, &err));
    assert_fails(SN_EINVAL, encode(f, table, "a b c", "d", &second, &r, &err));
    const RunOptions stride = {.max_length = 4, .stride = 2};
    assert_fails(SN_EINVAL, encode(f, table, "a b c", NULL, &stride, &r, &err));
    assert_ok(encode(f, table, "a b", NULL, &stride, &r, &err));
    const RunOptions wide = {.max_length = 4, .stride = 3};
    assert_fails(SN_EINVAL, encode(f, table, "a", NULL, &wide, &r, &err));
    const RunOptions tiny = {.max_length = 1};
    assert_ok(encode(f, table, "a b c", NULL, &tiny, &r, &err));
    assert_int_equal(r.out[RUN_IDS].len[0], 5);
}

static void without_a_template_texts_are_joined(void **state)
{
    Fixture *f = *state;
    SnError err;
    RunResult r;
    assert_ok(encode(f, load(f, "{" MODEL "," BERT "}"), "a b", "c", &whole, &r, &err));
    assert_row(&r, RUN_IDS, 0, 14, 15, 16);
    assert_row(&r, RUN_TYPE, 0, 0, 0, 1);
    assert_row(&r, RUN_SEQUENCE, 0, 0, 0, 1);
}

static void lengths_are_rounded_up(void **state)
{
    (void)state;
    assert_int_equal(sn_tokens_pad_length(4, 0, 3), 6);
    assert_int_equal(sn_tokens_pad_length(4, 8, 0), 8);
}

/* ---- decoding -------------------------------------------------------------------------------------------
 */

static void assert_decodes(Fixture *f, SnBytes table, const int32_t *ids, int64_t n, bool skip_special,
                           const char *want)
{
    SnError err;
    SnView out;
    const int64_t zero = 0;
    const SnView row = run_row(SN_I32, (void *)(uintptr_t)ids, &n, &zero);
    assert_ok(run_decode(&f->arena, table, &row, skip_special, &out, &err));
    assert_int_equal(out.len[0], (int64_t)strlen(want));
    assert_memory_equal(out.data, want, strlen(want));
}

static void ids_decode_to_text(void **state)
{
    Fixture *f = *state;
    const SnBytes table = load(f, PLAIN);
    const int32_t ids[] = {2, 10, 5, 11, 9, 10, 23, 20, 1000, 3};
    assert_decodes(f, table, ids, 10, false, "[CLS]ld hello, worldn't ' [SEP]");
    assert_decodes(f, table, ids, 10, true, "##ld hello, worldn't '");
    assert_decodes(f, load(f, "{" MODEL "}"), ids, 5, false, "[CLS] ##ld hello , wor");
}

/* What depends on its place in a row, or on neighbours: the first and last token, bytes, ends that are taken
 * off. */
static void tokens_decode_by_their_places(void **state)
{
    Fixture *f = *state;
#define VOCAB                                                                                                \
    "{\"model\":{\"type\":\"WordLevel\",\"unk_token\":\"a\",\"vocab\":{\"a\":0,\"\xE2\x96\x81\":1,"          \
    "\"\xE2\x96\x81"                                                                                         \
    "b\":2,\"<0xE4>\":3,\"<0xB8>\":4,\"<0xAD>\":5,\"x</w>\":6,\"\xC3\xA4\":7,\"\xC2\xB8\":"                  \
    "8,\"\xC2\xAD!\":9,\"longer than what is copied at once, and more\":10}},\"decoder\":"
#define FALLS "{\"type\":\"ByteFallback\"}"
    static const struct {
        const char *json, *text;
        int32_t n, ids[6];
    } cases[] = {
        {VOCAB "{\"type\":\"Metaspace\",\"replacement\":\"\xE2\x96\x81\",\"prepend_scheme\":\"always\"}}",
         "b b ",
         4,
         {99, 2, 2, 1}},
        {VOCAB "{\"type\":\"BPEDecoder\",\"suffix\":\"</w>\"}}", "x ax", 4, {6, 0, 6, 99}},
        {VOCAB FALLS "}",
         "\xE4\xB8\xAD"
         "a\xEF\xBF\xBD\xEF\xBF\xBD",
         6,
         {3, 4, 5, 0, 3, 4}},
        {VOCAB "{\"type\":\"Sequence\",\"decoders\":[" FALLS
               ",{\"type\":\"Fuse\"},{\"type\":\"Strip\",\"content\":"
               "\"a\",\"start\":1,\"stop\":2}]}}",
         "\xEF\xBF\xBDlonger than what is copied at once, and more",
         5,
         {0, 4, 10, 0, 0}},
    };
    for (size_t i = 0; i < SN_COUNT(cases); i++)
        assert_decodes(f, load(f, cases[i].json), cases[i].ids, cases[i].n, false, cases[i].text);
    /* Signs for the bytes E4, B8, AD: a character, then parts of one. */
    const SnBytes bytes = load(f, VOCAB "{\"type\":\"ByteLevel\"}}");
    assert_decodes(f, bytes, (int32_t[]){7, 8, 0, 7, 99, 8, 7}, 7, false,
                   "\xEF\xBF\xBD"
                   "a\xEF\xBF\xBD\xEF\xBF\xBD");
#undef VOCAB
#undef FALLS
}

static void a_negative_id_does_not_decode(void **state)
{
    Fixture *f = *state;
    SnError err;
    SnView out;
    int32_t id = -1;
    const int64_t one = 1, zero = 0;
    const SnView row = run_row(SN_I32, &id, &one, &zero);
    assert_fails(SN_EINVAL, run_decode(&f->arena, load(f, PLAIN), &row, false, &out, &err));
    const SnBytes other = load(f, "{" MODEL ",\"decoder\":{\"type\":\"Fuse\"}}");
    assert_fails(SN_EINVAL, run_decode(&f->arena, other, &row, false, &out, &err));
}

/* ---- limits ---------------------------------------------------------------------------------------------
 */

static void a_deadline_does_not_change_results(void **state)
{
    enum { REPEAT = 3000 };
    Fixture *f = *state;
    SnError err;
    RunResult r, again;
    static const char part[] = "h\xC3\xA9llo, [MASK] w\xFF world aaaaaaaaaaaa";
    char *text = sn_arena_alloc(&f->arena, REPEAT * sizeof part + 1);
    for (size_t i = 0; i < REPEAT; i++)
        memcpy(text + i * (sizeof part - 1), part, sizeof part - 1);
    const SnBytes table = load(f, ADDED("aaa", FLAGS(false, false, false, true)));
    const RunOptions o = {.max_length = 100, .windows = 1000, .stride = 7};
    RunOptions hurried = o;
    hurried.deadline_ns = 1;
    assert_ok(encode(f, table, text, NULL, &o, &r, &err));
    assert_ok(encode(f, table, text, NULL, &hurried, &again, &err));
    assert_int_equal(r.nagain, 0);
    assert_true(again.nagain > 50);
    assert_true(count_of(&r) > 100);
    assert_int_equal(count_of(&again), count_of(&r));
    for (int64_t w = 0; w < count_of(&r); w++)
        for (int i = RUN_IDS; i <= RUN_SEQUENCE; i++)
            assert_window(&again, i, w, (const int32_t *)r.out[i].data + r.out[i].start[w], r.out[i].len[w]);
}

static void rows_that_share_their_bytes_may_exceed_the_bound(void **state)
{
    enum { ROWS = 100 };
    Fixture *f = *state;
    SnError err;
    RunResult r = {.nagain = 0};
    char text[] = "hello";
    int64_t start[ROWS] = {0}, len[ROWS];
    for (int i = 0; i < ROWS; i++)
        len[i] = 5;
    SnView v = {.data = text,
                .dtype = SN_U8,
                .ndim = 1,
                .dims = {ROWS},
                .start = start,
                .len = len,
                .child_count = 5};
    assert_fails(SN_ESHAPE, run_encode(&f->arena, load(f, PLAIN), &v, NULL, &whole, &r, &err));
    len[0] = 6;
    v.dims[0] = 1;
    assert_fails(SN_ESHAPE, run_encode(&f->arena, load(f, PLAIN), &v, NULL, &whole, &r, &err));
}

/* run_encode compares with and without a cache. In the vocabulary a merge goes over ends of lines, over a
 * space, and over one kind of word alone. */
static void lines_of_few_spaces_are_known_as_a_whole(void **state)
{
    enum { LINES = 40 };
    Fixture *f = *state;
    SnError err;
    RunResult r;
    const SnBytes table =
        load(f, "{\"model\":{\"type\":\"BPE\",\"unk_token\":\"u\",\"vocab\":{\"u\":0,\"\xE3\x81\x82\":1,"
                "\"\xE3\x81\x84\":2,\"\\n\":3,\"x\":4,\"\\n\\n\":5,\"\\nx\":6,\"\xE3\x81\x82x\":7,"
                "\"x \":8,\" \":9},\"merges\":[[\"\\n\",\"\\n\"],[\"\\n\",\"x\"],[\"\xE3\x81\x82\",\"x\"],"
                "[\"x\",\" \"]]}}");
    static const char *const parts[] = {"\xE3\x81\x82", "\xE3\x81\x84", "x", "x x",
                                        "\xE4\xB8\xAD", "\n",           "y"};
    static const char *const ends[] = {"\n", "\n\n", "\n\n\n", "\nx", "\r\n", " \n"};
    SnText text = {.memory = sn_allocator(f->ctx)};
    uint32_t seed = 1;
    for (int i = 0; i < LINES; i++) {
        seed = i % 3 == 2 ? seed : (uint32_t)i; /* some come again */
        const uint32_t nparts = seed % 7 == 0 ? 2500 : 10 + seed;
        for (uint32_t k = 0, h = seed; k < nparts; k++, h = h * 1664525u + 1013904223u)
            sn_text_printf(&text, "%s", parts[(h >> 16) % (k % 97 == 0 ? 7 : 5)]);
        sn_text_printf(&text, "%s", ends[seed % SN_COUNT(ends)]);
    }
    assert_false(text.failed);
    assert_ok(encode(f, table, text.at, NULL, &whole, &r, &err));
    sn_text_clear(&text);
}

static void damaged_tables_are_refused(void **state)
{
    Fixture *f = *state;
    SnError err;
    const SnBytes table = load(f, PLAIN);
    uint8_t *copy = sn_arena_alloc(&f->arena, table.n);
    SnTokTable *t = (SnTokTable *)(void *)copy;
    memcpy(copy, table.at, table.n);
    assert_ok(sn_tokenizer_check(sn_bytes(copy, table.n), &err));
    assert_fails(SN_EFORMAT, sn_tokenizer_check(sn_bytes(copy, table.n - 1), &err));
    assert_fails(SN_EFORMAT, sn_tokenizer_check(sn_bytes(copy, 10), &err));
    for (int s = 0; s < SN_TOK_NSECTION; s++) {
        memcpy(copy, table.at, table.n);
        t->section[s].count = 0xFFFFFFFF;
        assert_fails(SN_EFORMAT, sn_tokenizer_check(sn_bytes(copy, table.n), &err));
        memcpy(copy, table.at, table.n);
        t->section[s].at = (uint32_t)table.n + 64;
        assert_fails(SN_EFORMAT, sn_tokenizer_check(sn_bytes(copy, table.n), &err));
    }
    memcpy(copy, table.at, table.n);
    ((uint32_t *)(void *)(copy + t->section[SN_TOK_TEXT].at))[3] = 0xFFFFFF;
    assert_fails(SN_EFORMAT, sn_tokenizer_check(sn_bytes(copy, table.n), &err));
    memcpy(copy, table.at, table.n);
    for (uint32_t i = 0; i < t->section[SN_TOK_SLOT].count; i++)
        ((uint64_t *)(void *)(copy + t->section[SN_TOK_SLOT].at))[i] = 1;
    assert_fails(SN_EFORMAT, sn_tokenizer_check(sn_bytes(copy, table.n), &err)); /* a search would not end */
}

static void damaged_walks_are_refused(void **state)
{
    Fixture *f = *state;
    SnError err;
    const SnBytes table =
        load(f, "{\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0},\"merges\":[]},\"pre_tokenizer\":{\"type\":"
                "\"ByteLevel\",\"add_prefix_space\":false,\"trim_offsets\":false,\"use_regex\":true}}");
    uint8_t *copy = sn_arena_alloc(&f->arena, table.n);
    const SnTokTable *t = (const SnTokTable *)(const void *)copy;
    memcpy(copy, table.at, table.n);
    SnTokRegex *r = (SnTokRegex *)(void *)(copy + t->section[SN_TOK_REGEX].at);
    uint32_t *edge = (uint32_t *)(void *)(copy + t->section[SN_TOK_EDGE].at);
    const SnTokRegex good = *r;
    assert_int_equal(good.npair, good.nclass * good.nclass);
    const SnTokRegex wrong[] = {{.npair = 1}, {.pairs = 1}, {.nwalk = 1}, {.nclass = 1}};
    for (size_t i = 0; i < SN_COUNT(wrong); i++) {
        r->npair += wrong[i].npair;
        r->pairs += wrong[i].pairs;
        r->nwalk += wrong[i].nwalk;
        r->nclass += wrong[i].nclass;
        assert_fails(SN_EFORMAT, sn_tokenizer_check(sn_bytes(copy, table.n), &err));
        *r = good;
    }
    assert_ok(sn_tokenizer_check(sn_bytes(copy, table.n), &err));
    for (uint32_t i = 0; i < good.npair * good.nwalk; i += 7) {
        const uint32_t was = edge[good.pairs + i];
        edge[good.pairs + i] = good.nwalk * good.npair << 2 * SN_TOK_WALK_BITS;
        assert_fails(SN_EFORMAT, sn_tokenizer_check(sn_bytes(copy, table.n), &err));
        edge[good.pairs + i] = was;
    }
}

static void damaged_normalisation_forms_are_refused(void **state)
{
    Fixture *f = *state;
    SnError err;
    const SnBytes table = load(f, "{" MODEL ",\"normalizer\":{\"type\":\"NFKC\"}}");
    uint8_t *copy = sn_arena_alloc(&f->arena, table.n);
    SnTokTable *t = (SnTokTable *)(void *)copy;
    for (int s = SN_TOK_FORM_FIRST; s <= SN_TOK_COMPOSE_TO; s++) {
        memcpy(copy, table.at, table.n);
        const size_t next = s == SN_TOK_COMPOSE_TO ? table.n : t->section[s + 1].at;
        const bool is_free = s == SN_TOK_FORM_SECOND || s == SN_TOK_NFD_LOW || s == SN_TOK_NFKD_LOW ||
                             s == SN_TOK_COMPOSE_PAIR;
        memset(copy + t->section[s].at, 0xFF, next - t->section[s].at);
        const SnStatus status = sn_tokenizer_check(sn_bytes(copy, table.n), &err);
        assert_int_equal(status, is_free ? SN_OK : SN_EFORMAT);
        memcpy(copy, table.at, table.n);
        t->section[s].count = 0;
        assert_fails(SN_EFORMAT, sn_tokenizer_check(sn_bytes(copy, table.n), &err));
    }
    assert_int_equal(((const SnTokTable *)(const void *)load(f, PLAIN).at)->section[SN_TOK_NFKD_POOL].count,
                     0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(words_become_their_longest_pieces),
        cmocka_unit_test(words_without_pieces_are_unknown_as_a_whole),
        cmocka_unit_test(a_missing_unknown_token_is_an_error_when_needed),
        cmocka_unit_test(normalising_keeps_offsets_in_the_text),
        cmocka_unit_test(malformed_bytes_count_as_replacement_characters),
        cmocka_unit_test(marks_are_put_in_canonical_order),
        cmocka_unit_test(many_marks_are_put_in_canonical_order),
        cmocka_unit_test(added_tokens_are_cut_out_of_the_text),
        cmocka_unit_test(normalized_added_tokens_are_found_after_normalising),
        cmocka_unit_test(roberta_trims_added_tokens),
        cmocka_unit_test(roberta_trims_added_tokens_that_are_white_space),
        cmocka_unit_test(bytes_that_become_nothing_take_no_place),
        cmocka_unit_test(the_longest_added_token_wins),
        cmocka_unit_test(long_texts_become_overlapping_windows),
        cmocka_unit_test(pairs_are_cut_longest_first),
        cmocka_unit_test(truncation_fails_where_the_reference_does),
        cmocka_unit_test(without_a_template_texts_are_joined),
        cmocka_unit_test(lengths_are_rounded_up),
        cmocka_unit_test(ids_decode_to_text),
        cmocka_unit_test(tokens_decode_by_their_places),
        cmocka_unit_test(a_negative_id_does_not_decode),
        cmocka_unit_test(a_deadline_does_not_change_results),
        cmocka_unit_test(rows_that_share_their_bytes_may_exceed_the_bound),
        cmocka_unit_test(lines_of_few_spaces_are_known_as_a_whole),
        cmocka_unit_test(damaged_tables_are_refused),
        cmocka_unit_test(damaged_walks_are_refused),
        cmocka_unit_test(damaged_normalisation_forms_are_refused),
    };
    return cmocka_run_group_tests(tests, open_fixture, close_fixture);
}
