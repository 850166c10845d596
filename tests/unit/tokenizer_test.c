/* tokenizer_test.c -- tokenizer files to tables: what is read, what is refused, and with which words. */
#include "tests/unit/tokenize_run.h"
#include "tests/unit/unit.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

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

static SnStatus load(Fixture *f, const char *json, const char *vocab, const char *config, SnBytes *table,
                     SnError *err)
{
    SnTokenizerFiles files = {.folder = "folder"};
    if (json != NULL)
        files.tokenizer = sn_bytes_str(json);
    if (vocab != NULL)
        files.vocab = sn_bytes_str(vocab);
    if (config != NULL)
        files.config = sn_bytes_str(config);
    return sn_tokenizer_load(f->ctx, &files, &f->arena, table, err);
}

static void assert_refused(Fixture *f, const char *json, SnStatus code, const char *word)
{
    SnError err;
    SnBytes table = {NULL, 0};
    assert_fails(code, load(f, json, NULL, NULL, &table, &err));
    assert_null(table.at);
    if (strstr(err.message, word) == NULL)
        fail_msg("\"%s\" does not say \"%s\"", err.message, word);
    assert_non_null(strstr(err.message, "folder: "));
}

static void assert_ids(Fixture *f, SnBytes table, const char *text, const int32_t *want, int64_t n)
{
    SnError err;
    RunResult r = {.nagain = 0};
    const int64_t size = (int64_t)strlen(text), zero = 0;
    const SnView row = run_row(SN_U8, (void *)(uintptr_t)text, &size, &zero);
    assert_ok(run_encode(&f->arena, table, &row, NULL, &(RunOptions){.max_length = -1}, &r, &err));
    assert_int_equal(r.out[RUN_IDS].len[0], n);
    assert_memory_equal(r.out[RUN_IDS].data, want, (size_t)n * sizeof *want);
}

#define MODEL(vocab)                                                                                         \
    "\"model\":{\"type\":\"WordPiece\",\"unk_token\":\"u\",\"continuing_subword_prefix\":\"##\","            \
    "\"max_input_chars_per_word\":9,\"vocab\":" vocab "}"

/* ---- vocab.txt ------------------------------------------------------------------------------------------
 */

static const char vocab_txt[] = "[PAD]\n[UNK]\n[CLS]\r\n[SEP]\nhello \nw\xC3\xB6rld\nworld\nhello\n##s";

static void vocab_txt_makes_a_bert_tokenizer(void **state)
{
    Fixture *f = *state;
    SnError err;
    SnBytes table;
    assert_ok(load(f, NULL, vocab_txt, NULL, &table, &err));
    /* hello has the later of its two lines; there are 8 tokens, so that the new [MASK] meets ##s at 8 */
    assert_ids(f, table, "Hellos W\xC3\xB6rld [MASK]", (const int32_t[]){2, 7, 8, 6, 8, 3}, 6);
    const SnTokenizerFacts facts = sn_tokenizer_facts(table);
    assert_int_equal(facts.vocab_size, 9);
    assert_int_equal(facts.name[SN_TOK_MASK], 8);
    assert_true(sn_bytes_is(sn_tokenizer_text(table, 8), "[MASK]"));
    assert_int_equal(facts.name[SN_TOK_BOS], SN_TOK_NONE);
    assert_int_equal(facts.added_single, 2);
    assert_int_equal(facts.added_pair, 3);
    assert_null(sn_tokenizer_text(table, 4).at);
    assert_true(sn_tokenizer_is_special(table, 8));
    assert_false(sn_tokenizer_is_special(table, 7));
}

static void tokenizer_config_changes_a_vocab_txt(void **state)
{
    Fixture *f = *state;
    SnError err;
    SnBytes table;
    assert_ok(load(f, NULL, vocab_txt,
                   "{\"do_lower_case\":false,\"model_max_length\":77,\"sep_token\":{\"content\":\"</s>\"},"
                   "\"tokenize_chinese_chars\":false}",
                   &table, &err));
    assert_ids(f, table, "hellos w\xC3\xB6rld Hello", (const int32_t[]){2, 7, 8, 5, 1, 8}, 6);
    assert_int_equal(sn_tokenizer_facts(table).max_length, 77);
    assert_ok(load(f, NULL, vocab_txt, "{\"do_lower_case\":true,\"strip_accents\":false}", &table, &err));
    assert_ids(f, table, "W\xC3\x96RLD", (const int32_t[]){2, 5, 3}, 3);
}

static void listed_tokens_are_added_in_the_order_of_their_ids(void **state)
{
    Fixture *f = *state;
    SnError err;
    SnBytes table;
#define FLAGS(l, norm)                                                                                       \
    "\"lstrip\":" #l ",\"normalized\":" #norm ",\"rstrip\":false,\"single_word\":false,\"special\":false"
    assert_ok(load(f, NULL, vocab_txt,
                   "{\"added_tokens_decoder\":{\"10\":{\"content\":\"<b>\"," FLAGS(
                       true, true) "},\"9\":{\"content\":"
                                   "\"[MASK]\"," FLAGS(true, false) "}}}",
                   &table, &err));
    assert_ids(f, table, "Hellos  <b> W\xC3\xB6rld   [MASK] <B>", (const int32_t[]){2, 7, 8, 9, 6, 8, 9, 3},
               8);
    assert_fails(SN_EFORMAT, load(f, NULL, vocab_txt, "{\"added_tokens_decoder\":{\"x\":{}}}", &table, &err));
    assert_fails(SN_EUNSUPPORTED,
                 load(f, NULL, vocab_txt, "{\"tokenizer_class\":\"MPNetTokenizerFast\"}", &table, &err));
}

static void a_vocab_txt_must_be_text(void **state)
{
    SnError err;
    SnBytes table;
    assert_fails(SN_EFORMAT, load(*state, NULL, "a\xFF", NULL, &table, &err));
    assert_fails(SN_EIO, load(*state, NULL, NULL, "{}", &table, &err));
}

/* ---- tokenizer.json -------------------------------------------------------------------------------------
 */

static void parts_that_are_not_built_are_named(void **state)
{
    Fixture *f = *state;
    assert_refused(f, "{\"model\":{\"type\":\"BPE2\",\"vocab\":{}}}", SN_EUNSUPPORTED, "model BPE2");
    assert_refused(f, "{" MODEL("{}") ",\"normalizer\":{\"type\":\"Upper\"}}", SN_EUNSUPPORTED,
                   "normalizer Upper");
    assert_refused(
        f,
        "{" MODEL(
            "{}") ",\"pre_tokenizer\":{\"type\":\"Sequence\",\"pretokenizers\":[{\"type\":\"ByteLevel\"}]}}",
        SN_EUNSUPPORTED, "pre-tokenizer ByteLevel");
    assert_refused(f, "{" MODEL("{}") ",\"post_processor\":{\"type\":\"Other\"}}", SN_EUNSUPPORTED,
                   "post-processor Other");
    assert_refused(f, "{\"version\":\"2.0\"," MODEL("{}") "}", SN_EUNSUPPORTED, "version");
}

static void malformed_files_are_refused(void **state)
{
    Fixture *f = *state;
    assert_refused(f, "{", SN_EFORMAT, "tokenizer.json");
    assert_refused(f, "{\"model\":{\"type\":\"WordPiece\"}}", SN_EFORMAT, "unk_token");
    assert_refused(f, "{" MODEL("[]") "}", SN_EFORMAT, "vocab");
    assert_refused(f, "{" MODEL("{\"a\":1.5}") "}", SN_EFORMAT, "vocab");
    assert_refused(f, "{" MODEL("{\"a\":-1}") "}", SN_EFORMAT, "vocab");
    assert_refused(f, "{" MODEL("{\"a\":16777216}") "}", SN_EFORMAT, "vocab");
    assert_refused(f, "{" MODEL("{\"a\":3,\"b\":3}") "}", SN_EFORMAT, "id 3");
    assert_refused(f, "{" MODEL("{}") ",\"normalizer\":{\"type\":\"BertNormalizer\"}}", SN_EFORMAT,
                   "clean_text");
    assert_refused(f, "{" MODEL("{}") ",\"added_tokens\":[{\"content\":\"x\"}]}", SN_EFORMAT, "single_word");
    assert_refused(f, "{" MODEL("{}") ",\"padding\":{\"strategy\":3}}", SN_EFORMAT, "Fixed");
    assert_refused(
        f,
        "{" MODEL("{}") ",\"post_processor\":{\"type\":\"TemplateProcessing\",\"single\":[{\"SpecialToken\":"
                        "{\"id\":\"S\",\"type_id\":0}}],\"pair\":[],\"special_tokens\":{}}}",
        SN_EFORMAT, "special token S");
}

static void ids_of_added_tokens_follow_the_vocabulary(void **state)
{
    Fixture *f = *state;
    SnError err;
    SnBytes table;
    /* The vocabulary counts two tokens, so the first new one has id 2, and hides the one that was there. */
    assert_ok(load(
        f,
        "{" MODEL("{\"u\":0,\"b\":2}") ",\"added_tokens\":[{\"id\":7,\"content\":\"x\",\"single_word\":false,"
                                       "\"lstrip\":false,\"rstrip\":false,\"normalized\":false,\"special\":"
                                       "false}]}",
        NULL, NULL, &table, &err));
    assert_int_equal(sn_tokenizer_id(table, sn_bytes_str("x")), 2);
    assert_int_equal(sn_tokenizer_id(table, sn_bytes_str("b")), 2);
    assert_int_equal(sn_tokenizer_id(table, sn_bytes_str("c")), SN_TOK_NONE);
    assert_true(sn_bytes_is(sn_tokenizer_text(table, 2), "x"));
    assert_ids(f, table, "b", (const int32_t[]){2}, 1);
}

static void truncation_and_padding_are_facts(void **state)
{
    Fixture *f = *state;
    SnError err;
    SnBytes table;
    assert_ok(load(
        f,
        "{" MODEL("{}") ",\"truncation\":{\"direction\":\"Left\",\"max_length\":6,\"strategy\":\"OnlyFirst\","
                        "\"stride\":2},\"padding\":{\"strategy\":{\"Fixed\":8},\"direction\":\"Left\","
                        "\"pad_to_multiple_of\":4,\"pad_id\":5,\"pad_type_id\":1,\"pad_token\":\"p\"}}",
        NULL, NULL, &table, &err));
    const SnTokenizerFacts facts = sn_tokenizer_facts(table);
    assert_memory_equal(&facts.truncation, (&(SnTokTruncation){6, 2, SN_TOK_ONLY_FIRST, 1}),
                        sizeof facts.truncation);
    assert_memory_equal(&facts.padding, (&(SnTokPadding){1, 8, 4, 5, 1, 1}), sizeof facts.padding);
}

static void delimiters_go_where_their_behavior_says(void **state)
{
    static const struct {
        const char *behavior;
        int32_t ids[6], n;
    } rows[] = {
        {"Removed", {0, 0}, 2},
        {"Isolated", {1, 0, 1, 1, 0}, 5},
        {"MergedWithPrevious", {1, 3, 1, 0}, 4},
        {"MergedWithNext", {2, 1, 2}, 3},
        {"Contiguous", {1, 0, 4, 0}, 4},
    };
    Fixture *f = *state;
    for (size_t i = 0; i < SN_COUNT(rows); i++) {
        SnError err;
        SnBytes table;
        const char *json = sn_arena_printf(
            &f->arena,
            "{" MODEL("{\"a\":0,\"-\":1,\"-a\":2,\"a-\":3,\"--\":4}") ",\"pre_tokenizer\":{"
                                                                      "\"type\":\"Punctuation\",\"behavior\":"
                                                                      "\"%s\"}}",
            rows[i].behavior);
        assert_ok(load(f, json, NULL, NULL, &table, &err));
        assert_ids(f, table, "-a--a", rows[i].ids, rows[i].n);
    }
}

static void scripts_are_parted(void **state)
{
    Fixture *f = *state;
    SnError err;
    SnBytes table;
    assert_ok(load(
        f,
        "{" MODEL(
            "{\"?\":0,\"x \":1,\"\xE4\xB8\xAD\xE3\x81\x8B\xE3\x83\xBC \":2,\", \":3}") ",\"pre_tokenizer\":{"
                                                                                       "\"type\":"
                                                                                       "\"UnicodeScripts\"}}",
        NULL, NULL, &table, &err));
    /* Spaces go with what is before them, at the begin with nothing; kana are like Han. */
    assert_ids(f, table, "  x \xE4\xB8\xAD\xE3\x81\x8B\xE3\x83\xBC x , ", (const int32_t[]){1, 2, 1, 3}, 4);
}

/* ---- memory ---------------------------------------------------------------------------------------------
 */

static void *failing_resize(void *self, void *ptr, size_t old_size, size_t new_size, size_t align)
{
    int *left = self;
    (void)old_size;
    (void)align;
    if (new_size == 0) {
        free(ptr);
        return NULL;
    }
    return (*left)-- > 0 ? realloc(ptr, new_size) : NULL;
}

static void no_memory_is_an_ordinary_error(void **state)
{
    (void)state;
    int left = 0;
    const SnContextDesc desc = {.struct_size = sizeof desc,
                                .memory = {.self = &left, .resize = failing_resize}};
    const SnTokenizerFiles files = {
        .folder = "folder", .vocab = sn_bytes_str(vocab_txt), .config = sn_bytes_str("{}")};
    SnStatus st = SN_ENOMEM;
    for (int n = 0; st == SN_ENOMEM && n < 1000; n++) {
        SnContext *ctx = NULL;
        SnArena arena;
        SnBytes table;
        SnError err = {0};
        left = 100;
        assert_int_equal(sn_context_create(&desc, &ctx, &err), SN_OK);
        sn_arena_init(&arena, sn_allocator(ctx));
        left = n;
        st = sn_tokenizer_load(ctx, &files, &arena, &table, &err);
        assert_true(st == SN_OK || (st == SN_ENOMEM && err.message[0] != '\0'));
        sn_arena_clear(&arena);
        sn_context_destroy(ctx);
    }
    assert_int_equal(st, SN_OK);
}

static void a_cached_table_is_the_one_that_was_made(void **state)
{
    Fixture *f = *state;
    SnError err;
    SnBytes made, first, second, other;
    char dir[] = "/tmp/sinter-test-XXXXXX", path[128];
    const SnTokenizerFiles files = {.folder = "folder", .vocab = sn_bytes_str(vocab_txt)};
    SnTokenizerFiles cased = files;
    cased.config = sn_bytes_str("{\"do_lower_case\": false}");
    assert_non_null(mkdtemp(dir));
    const SnContextDesc desc = {.struct_size = sizeof desc, .cache_dir = dir};
    Fixture c;
    assert_ok(sn_context_create(&desc, &c.ctx, &err));
    sn_arena_init(&c.arena, sn_allocator(c.ctx));
    assert_ok(sn_tokenizer_load(f->ctx, &files, &f->arena, &made, &err));
    assert_ok(sn_tokenizer_load(c.ctx, &files, &c.arena, &first, &err));
    assert_ok(sn_tokenizer_load(c.ctx, &files, &c.arena, &second, &err));
    assert_ok(sn_tokenizer_load(c.ctx, &cased, &c.arena, &other, &err));
    assert_true(sn_bytes_equal(made, first) && sn_bytes_equal(made, second));
    assert_false(sn_bytes_equal(made, other));
    assert_int_equal((uintptr_t)second.at % SN_TOK_ALIGN, 0);
    int nblob = 0;
    DIR *d = opendir(dir);
    for (struct dirent *e = readdir(d); e != NULL; e = readdir(d)) {
        if (e->d_name[0] == '.')
            continue;
        nblob++;
        snprintf(path, sizeof path, "%s/%.80s", dir, e->d_name);
        assert_int_equal(unlink(path), 0);
    }
    closedir(d);
    assert_int_equal(nblob, 2);
    assert_int_equal(rmdir(dir), 0);
    sn_arena_clear(&c.arena);
    sn_context_destroy(c.ctx);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(vocab_txt_makes_a_bert_tokenizer),
        cmocka_unit_test(tokenizer_config_changes_a_vocab_txt),
        cmocka_unit_test(listed_tokens_are_added_in_the_order_of_their_ids),
        cmocka_unit_test(a_vocab_txt_must_be_text),
        cmocka_unit_test(parts_that_are_not_built_are_named),
        cmocka_unit_test(malformed_files_are_refused),
        cmocka_unit_test(ids_of_added_tokens_follow_the_vocabulary),
        cmocka_unit_test(truncation_and_padding_are_facts),
        cmocka_unit_test(delimiters_go_where_their_behavior_says),
        cmocka_unit_test(scripts_are_parted),
        cmocka_unit_test(no_memory_is_an_ordinary_error),
        cmocka_unit_test(a_cached_table_is_the_one_that_was_made),
    };
    return cmocka_run_group_tests(tests, open_fixture, close_fixture);
}
