/* tokenizer_train_test.c -- vocabularies of small texts; the expected ones are the reference's. */
#include "frontends/tokenizer_train.h"
#include "tests/unit/unit.h"

#include <string.h>

#define FILE_OF(MODEL)                                                                                       \
    "{\"version\":\"1.0\",\"added_tokens\":[],\"normalizer\":null,\"pre_tokenizer\":{\"type\":"              \
    "\"WhitespaceSplit\"},\"post_processor\":null,\"decoder\":null,\"model\":" MODEL "}"
#define BPE     FILE_OF("{\"type\":\"BPE\",\"vocab\":{},\"merges\":[]}")
#define LEVEL   FILE_OF("{\"type\":\"WordLevel\",\"vocab\":{},\"unk_token\":\"[UNK]\"}")
#define UNIGRAM FILE_OF("{\"type\":\"Unigram\",\"unk_id\":null,\"vocab\":[]}")
#define TRAINED                                                                                              \
    "{\"version\":\"1.0\",\"added_tokens\":[{\"id\":2,\"content\":\"<s>\",\"special\":true},"                \
    "{\"id\":3,\"content\":\"more\",\"special\":false}],\"post_processor\":{\"type\":"                       \
    "\"BertProcessing\",\"sep\":[\"<s>\",2],\"cls\":[\"<s>\",2]},\"model\":{\"type\":\"BPE\","               \
    "\"end_of_word_suffix\":\"_\",\"vocab\":{\"x\":0,\"y\":1},\"merges\":[]}}"
#define PIECE                                                                                                \
    FILE_OF("{\"type\":\"WordPiece\",\"unk_token\":\"[UNK]\",\"continuing_subword_prefix\":\"##\","          \
            "\"max_input_chars_per_word\":100,\"vocab\":{}}")

typedef struct Run {
    SnContext *ctx;
    SnArena arena;
    SnTokenizerTrainer *t;
    SnText json;
} Run;

static SnStatus begin(Run *r, const char *file, const char *options, SnError *err)
{
    SnJson *o = NULL;
    *r = (Run){0};
    assert_int_equal(sn_context_create(NULL, &r->ctx, err), SN_OK);
    r->json.memory = sn_allocator(r->ctx);
    sn_arena_init(&r->arena, sn_allocator(r->ctx));
    assert_int_equal(sn_json_parse(&r->arena, "options", sn_bytes_str(options), &o, err), SN_OK);
    return sn_tokenizer_trainer_create(r->ctx, sn_bytes_str(file), o, &r->t, err);
}

static void end(Run *r)
{
    sn_tokenizer_trainer_destroy(r->t);
    sn_text_clear(&r->json);
    sn_arena_clear(&r->arena);
    sn_context_destroy(r->ctx);
}

/* The model's member `key` after training on the text. */
static void assert_trained(const char *file, const char *options, const char *text, const char *key,
                           const char *want)
{
    Run r;
    SnError err = {0};
    SnJson *root = NULL;
    SnText got = {0};
    assert_ok(begin(&r, file, options, &err));
    assert_ok(sn_tokenizer_trainer_feed(r.t, sn_bytes_str(text), &err));
    assert_ok(sn_tokenizer_trainer_finish(r.t, &r.json, &err));
    assert_ok(sn_json_parse(&r.arena, "result", sn_bytes(r.json.at, r.json.n), &root, &err));
    const SnJson *v = sn_json_get(sn_json_get(root, "model"), key);
    got.memory = r.json.memory;
    sn_json_put(&got, v ? v : sn_json_get(root, key));
    assert_string_equal(got.at, want);
    sn_text_clear(&got);
    end(&r);
}

static const char words[] = "roses are red voilets are blue BERT is big and so is GPT-2";

static void pairs_merge_by_frequency(void **state)
{
    (void)state;
    assert_trained(BPE, "{\"min_frequency\": 2}", words, "merges",
                   "[[\"r\", \"e\"], [\"a\", \"re\"], [\"i\", \"s\"]]");
    assert_trained(BPE, "{\"vocab_size\": 23}", words, "merges", "[[\"r\", \"e\"]]");
    assert_trained(BPE, "{\"special_tokens\": [\"<s>\", \"a\"]}", "ab", "vocab",
                   "{\"<s>\": 0, \"a\": 1, \"b\": 2, \"ab\": 3}");
}

static void alphabet_has_limits(void **state)
{
    (void)state;
    assert_trained(BPE, "{\"limit_alphabet\": 2}", "abb acc d", "vocab",
                   "{\"a\": 0, \"b\": 1, \"ab\": 2, \"abb\": 3}");
    assert_trained(BPE, "{\"initial_alphabet\": [\"zy\", \"\", \"b\"]}", "a", "vocab",
                   "{\"a\": 0, \"b\": 1, \"z\": 2}");
    assert_trained(BPE, "{\"max_token_length\": 3}", "abcd abcd", "merges",
                   "[[\"a\", \"b\"], [\"c\", \"d\"]]");
}

static void affixes_mark_places(void **state)
{
    (void)state;
    assert_trained(PIECE, "{\"special_tokens\": [\"[UNK]\"]}", "aba ab", "vocab",
                   "{\"[UNK]\": 0, \"a\": 1, \"b\": 2, \"##b\": 3, \"##a\": 4, \"ab\": 5, \"aba\": 6}");
    assert_trained(BPE, "{\"end_of_word_suffix\": \"</w>\"}", "aba", "vocab",
                   "{\"a\": 0, \"b\": 1, \"a</w>\": 2, \"ab\": 3, \"aba</w>\": 4}");
}

static void words_go_by_count(void **state)
{
    (void)state;
    assert_trained(LEVEL, "{\"vocab_size\": 3, \"special_tokens\": [\"[UNK]\"]}", "c b a b d", "vocab",
                   "{\"[UNK]\": 0, \"b\": 1, \"a\": 2}");
}

static void pieces_fit_the_words(void **state)
{
    (void)state;
    assert_trained(UNIGRAM, "{\"vocab_size\": 8, \"unk_token\": \"<unk>\"}", "abab ab abab ab", "unk_id",
                   "0");
    assert_trained(UNIGRAM, "{\"vocab_size\": 8}", "a a", "vocab", "[[\"a\", 0.0]]");
}

/* "aa" would stay if only its own parts made the sum of frequencies grow. */
static void pieces_go_by_the_loss_without_them(void **state)
{
    static const char *const want[] = {"a", "b", "ab"};
    Run r;
    SnError err = {0};
    SnJson *root = NULL;
    (void)state;
    assert_ok(begin(&r, UNIGRAM, "{\"vocab_size\": 4, \"n_sub_iterations\": 1}", &err));
    assert_ok(sn_tokenizer_trainer_feed(r.t, sn_bytes_str("babb babb aaab aaab"), &err));
    assert_ok(sn_tokenizer_trainer_finish(r.t, &r.json, &err));
    assert_ok(sn_json_parse(&r.arena, "result", sn_bytes(r.json.at, r.json.n), &root, &err));
    const SnJson *vocab = sn_json_get(sn_json_get(root, "model"), "vocab");
    assert_int_equal(vocab->n, SN_COUNT(want));
    for (size_t i = 0; i < SN_COUNT(want); i++)
        assert_true(sn_bytes_is(vocab->u.child[i].u.child[0].u.string, want[i]));
    end(&r);
}

static void vocabularies_are_made_anew(void **state)
{
    (void)state;
    assert_trained(TRAINED, "{}", "ab", "vocab", "{\"<s>\": 0, \"a\": 1, \"b\": 2, \"b_\": 3, \"ab_\": 4}");
    assert_trained(TRAINED, "{}", "ab", "post_processor",
                   "{\"type\": \"BertProcessing\", \"sep\": [\"<s>\", 0], \"cls\": [\"<s>\", 0]}");
}

static void bad_options_are_named(void **state)
{
    static const struct {
        const char *options, *message;
    } row[] = {{"{\"vocab_sise\": 3}", "vocab_sise"},
               {"{\"unk_token\": \"a\"}", "unk_token"},
               {"{\"vocab_size\": -1}", "vocab_size"},
               {"{\"special_tokens\": [3]}", "special_tokens: element 0"},
               {"{\"end_of_word_suffix\": 3}", "end_of_word_suffix"},
               {"[]", "object"}};
    (void)state;
    for (size_t i = 0; i < SN_COUNT(row); i++) {
        Run r;
        SnError err = {0};
        assert_fails(SN_EINVAL, begin(&r, BPE, row[i].options, &err));
        assert_non_null(strstr(err.message, row[i].message));
        end(&r);
    }
}

static void bad_texts_and_files_fail(void **state)
{
    Run r;
    SnError err = {0};
    (void)state;
    assert_fails(SN_EFORMAT, begin(&r, "{\"model\": {\"type\": \"Other\"}}", "{}", &err));
    end(&r);
    assert_ok(begin(&r, BPE, "{}", &err));
    assert_fails(SN_EFORMAT, sn_tokenizer_trainer_feed(r.t, sn_bytes("a\xff", 2), &err));
    end(&r);
    assert_ok(begin(&r, UNIGRAM, "{\"vocab_size\": 2}", &err));
    assert_ok(sn_tokenizer_trainer_feed(r.t, sn_bytes_str("abc"), &err));
    assert_fails(SN_EINVAL, sn_tokenizer_trainer_finish(r.t, &r.json, &err));
    end(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pairs_merge_by_frequency),   cmocka_unit_test(alphabet_has_limits),
        cmocka_unit_test(affixes_mark_places),        cmocka_unit_test(words_go_by_count),
        cmocka_unit_test(pieces_fit_the_words),       cmocka_unit_test(pieces_go_by_the_loss_without_them),
        cmocka_unit_test(vocabularies_are_made_anew), cmocka_unit_test(bad_options_are_named),
        cmocka_unit_test(bad_texts_and_files_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
