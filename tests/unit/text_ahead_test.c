/* text_ahead_test.c -- texts that are tokenized a little at a time have the tokens that they have at once. */
#include "frontends/tasks/text_ahead.h"

#include "tests/unit/scratch.h"
#include "tests/unit/unit.h"

static const char tokenizer[] =
    "{\"version\":\"1.0\",\"added_tokens\":[{\"id\":0,\"content\":\"[CLS]\",\"special\":true,\"normalized\":"
    "false,"
    "\"lstrip\":false,\"rstrip\":false,\"single_word\":false},{\"id\":1,\"content\":\"[SEP]\",\"special\":"
    "true,"
    "\"normalized\":false,\"lstrip\":false,\"rstrip\":false,\"single_word\":false}],\"normalizer\":null,"
    "\"pre_tokenizer\":{\"type\":\"Whitespace\"},\"post_processor\":{\"type\":\"BertProcessing\",\"sep\":[\"["
    "SEP]\",1],"
    "\"cls\":[\"[CLS]\",0]},\"decoder\":null,\"model\":{\"type\":\"WordPiece\",\"unk_token\":\"[UNK]\","
    "\"continuing_subword_prefix\":\"##\",\"max_input_chars_per_word\":100,\"vocab\":{\"[CLS]\":0,\"[SEP]\":"
    "1,"
    "\"[UNK]\":2,\"a\":3,\"##b\":4,\"b\":5,\"c\":6,\"##c\":7}}}";

typedef struct World {
    SnContext *ctx;
    SnCompiler *cc;
    SnModel *m;
    Scratch scratch;
    SnArena arena;
} World;

static int begin(void **state)
{
    static World w;
    SnError err;
    const SnCompilerDesc cd = {.struct_size = sizeof cd, .ops = sn_all_ops, .backends = sn_all_backends};
    const SnModelOptions o = {.struct_size = sizeof o, .device = "interp"};
    w = (World){.ctx = NULL};
    *state = &w;
    scratch_open(&w.scratch);
    scratch_text(&w.scratch, "tokenizer.json", tokenizer);
    assert_ok(sn_context_create(NULL, &w.ctx, &err));
    assert_ok(sn_compiler_create(w.ctx, &cd, &w.cc, &err));
    assert_ok(sn_model_open(w.cc, w.scratch.dir, &o, &w.m, &err));
    assert_ok(sn_text_need(w.m, &err));
    sn_arena_init(&w.arena, sn_allocator(w.ctx));
    return 0;
}

static int end(void **state)
{
    World *w = *state;
    sn_arena_clear(&w->arena);
    sn_model_close(w->m);
    sn_compiler_destroy(w->cc);
    sn_context_destroy(w->ctx);
    scratch_close(&w->scratch);
    return 0;
}

static void assert_row(const SnView *list, size_t i, const int32_t *want, size_t n)
{
    assert_int_equal(list->len[i], n);
    assert_memory_equal((const int32_t *)list->data + list->start[i], want, n * sizeof *want);
}

static void assert_same(World *w, const SnTokenizeOptions *o, const SnBytes *text, const SnBytes *pair,
                        size_t n)
{
    SnError err;
    SnEncoding *e = NULL;
    SnTextAhead a = {.n = 0};
    int slices = 0;
    assert_ok(sn_model_tokenize(w->m, text, pair, n, o, &w->arena, &e, &err));
    assert_ok(sn_text_ahead_begin(&a, w->m, o, text, pair, n, false, &err));
    while (!sn_text_ahead_go(&a, 1)) /* always too late: as little as can be */
        slices++;
    assert_int_equal(a.st, SN_OK);
    assert_true(slices >= (int)n);
    for (size_t i = 0; i < n; i++) {
        assert_row(&a.ids, i, e[i].ids, e[i].n);
        assert_row(&a.types, i, e[i].type_ids, e[i].n);
        assert_row(&a.special, i, e[i].special_mask, e[i].n);
        if (o->words)
            assert_row(&a.word_ids, i, e[i].word_ids, e[i].n);
    }
    sn_text_ahead_clear(&a);
}

static void text_ahead_has_the_tokens_of_tokenize(void **state)
{
    World *w = *state;
    const SnBytes text[] = {sn_bytes_str("a b"), sn_bytes_str(""), sn_bytes_str("abc c abab b c c"),
                            sn_bytes_str("zz a")};
    const SnBytes pair[] = {sn_bytes_str("c"), sn_bytes_str("b b"), sn_bytes_str("c c c c c"),
                            sn_bytes_str("")};
    const SnTokenizeOptions all = {.struct_size = sizeof all}, cut = {.struct_size = sizeof cut,
                                                                      .truncation = SN_TRUNCATE_LONGEST_FIRST,
                                                                      .max_length = 6};
    assert_same(w, &all, text, NULL, 4);
    assert_same(w, &all, text, pair, 4);
    assert_same(w, &cut, text, NULL, 4);
    assert_same(w, &cut, text, pair, 4);
}

static void text_ahead_numbers_words(void **state)
{
    const int64_t words[] = {2, 0, 1};
    const SnBytes text[] = {sn_bytes_str("abc"), sn_bytes_str("b"), sn_bytes_str("zz")};
    const SnTokenizeOptions o = {.struct_size = sizeof o, .words = words};
    assert_same(*state, &o, text, NULL, 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(text_ahead_has_the_tokens_of_tokenize, begin, end),
        cmocka_unit_test_setup_teardown(text_ahead_numbers_words, begin, end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
