/* bad_input_test.c -- model folders that are cut, flipped, incomplete or wrong, and inputs that make no
 * sense: a status with a message or a result, and nothing leaks. Meant for sanitizers.
 *
 * Some of the many ways to damage a file; all of them when run with the argument "all". */
#include "tests/embed/embed_model.h"
#include "tests/unit/unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { LARGEST = 1 << 26, MOST = 1 << 16 };

static bool all;
static char folder[64];
static SnContext *host; /* for files that the test itself reads and writes */

/* ---- one try ---- */

typedef struct Try {
    EmbedMemory memory;
    SnContext *ctx;
    SnCompiler *cc;
    SnModel *model;
    SnError err;
} Try;

/* What goes wrong must have a name, and must not be called our own bug. */
static void judge(const Try *t, const char *what, SnStatus st)
{
    if (st == SN_EINTERNAL)
        fail_msg("%s: %s: %s", what, sn_status_name(st), t->err.message);
    if (st != SN_OK && (t->err.message[0] == '\0' || t->err.code != st))
        fail_msg("%s: %s without a message", what, sn_status_name(st));
    if (strchr(t->err.message, '\n'))
        fail_msg("%s: more than a line: %s", what, t->err.message);
}

static SnStatus try_begin(Try *t, const char *what)
{
    static const SnModelOptions o = {.struct_size = sizeof o, .device = "interp"};
    *t = (Try){.memory = {.largest = LARGEST}};
    const SnContextDesc d = {.struct_size = sizeof d, .memory = embed_allocator(&t->memory)};
    const SnCompilerDesc cd = {.struct_size = sizeof cd, .ops = sn_all_ops, .backends = sn_all_backends};
    assert_int_equal(sn_context_create(&d, &t->ctx, &t->err), SN_OK);
    assert_int_equal(sn_compiler_create(t->ctx, &cd, &t->cc, &t->err), SN_OK);
    const SnStatus st = sn_model_open(t->cc, folder, &o, &t->model, &t->err);
    judge(t, what, st);
    return st;
}

static void try_end(Try *t, const char *what)
{
    sn_model_close(t->model);
    sn_compiler_destroy(t->cc);
    sn_context_destroy(t->ctx);
    if (t->memory.live || t->memory.wrong)
        fail_msg("%s: %llu blocks leak; %s", what, (unsigned long long)t->memory.live,
                 t->memory.wrong ? t->memory.wrong : "");
}

static bool forward(Try *t, const char *what, const SnNamedTensor *in, size_t n)
{
    SnResults *r = NULL;
    const SnStatus st = sn_model_forward(t->model, in, n, NULL, 0, &r, &t->err);
    judge(t, what, st);
    sn_results_destroy(r);
    return st == SN_OK;
}

static bool embed(Try *t, const char *what, const SnBytes *text, size_t n)
{
    SnResults *r = NULL;
    const SnStatus st = sn_model_embed(t->model, text, n, &r, &t->err);
    judge(t, what, st);
    sn_results_destroy(r);
    return st == SN_OK;
}

static bool tokenize(Try *t, const char *what, const SnBytes *text, size_t n)
{
    const SnTokenizeOptions o = {.struct_size = sizeof o, .pad = true};
    SnArena arena;
    SnEncoding *e = NULL;
    sn_arena_init(&arena, sn_allocator(t->ctx));
    const SnStatus st = sn_model_tokenize(t->model, text, NULL, n, &o, &arena, &e, &t->err);
    judge(t, what, st);
    sn_arena_clear(&arena);
    return st == SN_OK;
}

/* Whatever part of the folder is damaged, all calls are made; did all pass? */
static bool try_folder(const char *what)
{
    static int64_t ids[3] = {2, 5, 3};
    const SnBytes text[] = {sn_bytes_str("Hello world, a 12.5"), sn_bytes_str("don't [PAD] x")};
    const SnNamedTensor in = {"input_ids", sn_view(SN_I64, ids, 2, (int64_t[]){1, 3})};
    Try t;
    bool ok = try_begin(&t, what) == SN_OK;
    if (ok) {
        SnText json = {.memory = sn_allocator(t.ctx)};
        judge(&t, what, sn_model_inspect(t.model, &json, &t.err));
        sn_text_clear(&json);
        ok = tokenize(&t, what, text, 2);
        ok = embed(&t, what, text, 2) && ok;
        ok = forward(&t, what, &in, 1) && ok;
    }
    try_end(&t, what);
    return ok;
}

/* ---- damage to files ---- */

static char *path_of(const char *file)
{
    static char path[256];
    (void)snprintf(path, sizeof path, "%s/%s", folder, file);
    return path;
}

static size_t read_file(const char *file, uint8_t *to)
{
    FILE *f = fopen(path_of(file), "rb");
    assert_non_null(f);
    const size_t n = fread(to, 1, MOST, f);
    assert_true(n < MOST && fclose(f) == 0);
    return n;
}

static void write_file(const char *file, const void *data, size_t n)
{
    SnError err;
    const SnBytes b = sn_bytes(data, n);
    assert_ok(sn_file_write(host, path_of(file), &b, 1, &err));
}

/* Cut after each byte (small files) or some; then one bit of each byte, or of some, flipped. */
static void damage_file(const char *file, size_t nflip)
{
    static uint8_t good[MOST], bad[MOST];
    char what[128];
    const size_t n = read_file(file, good);
    const size_t cut = all || n < 200 ? 1 : n / 50, flip = all || n < nflip ? 1 : n / nflip;
    for (size_t i = 0; i < n; i += cut) {
        (void)snprintf(what, sizeof what, "%s cut to %zu bytes", file, i);
        write_file(file, good, i);
        (void)try_folder(what);
    }
    for (size_t i = 0; i < n; i += flip) {
        const unsigned bit = (unsigned)(i / flip) % 8;
        memcpy(bad, good, n);
        bad[i] ^= (uint8_t)(1u << bit);
        (void)snprintf(what, sizeof what, "%s with bit %u of byte %zu flipped", file, bit, i);
        write_file(file, bad, n);
        (void)try_folder(what);
    }
    assert_int_equal(unlink(path_of(file)), 0);
    (void)try_folder("a missing file");
    write_file(file, good, n);
    assert_true(try_folder("a whole folder"));
}

static void damaged_files_give_a_status(void **state)
{
    (void)state;
    static const char *const files[] = {"config.json",
                                        "tokenizer.json",
                                        "tokenizer_config.json",
                                        "modules.json",
                                        "sentence_bert_config.json",
                                        "1_Pooling/config.json",
                                        "2_Dense/config.json",
                                        "2_Dense/model.safetensors"};
    for (size_t i = 0; i < SN_COUNT(files); i++)
        damage_file(files[i], 20);
    damage_file("model.safetensors", 30);
}

static void damaged_vocab_gives_a_status(void **state)
{
    (void)state;
    static const char vocab[] = "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\nhello\nw\n##ld\na\nd\n##\xC3\xB6\nx\n";
    static uint8_t good[MOST];
    const size_t n = read_file("tokenizer.json", good);
    assert_int_equal(unlink(path_of("tokenizer.json")), 0);
    write_file("vocab.txt", vocab, sizeof vocab - 1);
    damage_file("vocab.txt", 20);
    assert_int_equal(unlink(path_of("vocab.txt")), 0);
    write_file("tokenizer.json", good, n);
}

/* The same tensors in a file of their own, and an index that names it. */
static void damaged_index_gives_a_status(void **state)
{
    (void)state;
    static uint8_t good[MOST];
    const size_t n = read_file("model.safetensors", good);
    SnError err;
    SnResults *r = NULL;
    SnText index = {.memory = sn_allocator(host)};
    assert_ok(sn_tensors_load(host, path_of("model.safetensors"), &r, &err));
    sn_text_printf(&index, "{\"metadata\":{\"total_size\":1},\"weight_map\":{");
    for (size_t i = 0; i < sn_results_count(r); i++)
        sn_text_printf(&index, "%s\"%s\":\"s.safetensors\"", i ? "," : "", sn_results_get(r, i)->name);
    sn_text_printf(&index, "}}");
    sn_results_destroy(r);
    assert_false(index.failed);
    write_file("s.safetensors", good, n);
    write_file("model.safetensors.index.json", index.at, index.n);
    sn_text_clear(&index);
    assert_int_equal(unlink(path_of("model.safetensors")), 0);
    assert_true(try_folder("a sharded model"));
    damage_file("model.safetensors.index.json", 20);
    assert_int_equal(unlink(path_of("s.safetensors")), 0);
    assert_false(try_folder("an index without its file"));
    assert_int_equal(unlink(path_of("model.safetensors.index.json")), 0);
    write_file("model.safetensors", good, n);
}

/* ---- what is whole but wrong ---- */

static void wrong_tensors_give_a_status(void **state)
{
    (void)state;
    static uint8_t good[MOST];
    static SnNamedTensor t[64];
    char what[128];
    SnError err;
    SnResults *r = NULL;
    const size_t size = read_file("model.safetensors", good);
    assert_ok(sn_tensors_load(host, path_of("model.safetensors"), &r, &err));
    const size_t n = sn_results_count(r);
    assert_true(n < SN_COUNT(t));
    for (size_t i = 0; i < 3 * n; i++) {
        const size_t k = i % n;
        for (size_t j = 0; j < n; j++)
            t[j] = *sn_results_get(r, j);
        (void)snprintf(what, sizeof what, "%s %s",
                       i < n       ? "no"
                       : i < 2 * n ? "a shorter"
                                   : "an f16",
                       t[k].name);
        if (i < n)
            t[k] = t[n - 1];
        else if (i < 2 * n)
            t[k].view.dims[0]--;
        else
            t[k].view.dtype = SN_F16;
        assert_ok(sn_tensors_save(host, path_of("model.safetensors"), t, i < n ? n - 1 : n, &err));
        (void)try_folder(what);
    }
    sn_results_destroy(r);
    write_file("model.safetensors", good, size);
}

/* Each number of config.json replaced. */
static void wrong_config_gives_a_status(void **state)
{
    (void)state;
    static const char *const values[] = {"0",     "-1",    "7",    "1000000000", "9223372036854775807",
                                         "1e300", "\"x\"", "null", "[]",         "2.5"};
    static uint8_t good[MOST];
    char bad[4096], what[128];
    const size_t n = read_file("config.json", good);
    for (size_t i = 0; i + 1 < n; i++) {
        if (good[i] != ':')
            continue;
        size_t end = i + 1;
        while (end < n && good[end] != ',' && good[end] != '}')
            end++;
        for (size_t k = 0; k < SN_COUNT(values); k++) {
            const int len = snprintf(bad, sizeof bad, "%.*s%s%.*s", (int)i + 1, (const char *)good, values[k],
                                     (int)(n - end), (const char *)good + end);
            (void)snprintf(what, sizeof what, "config.json with %s at %zu", values[k], i + 1);
            write_file("config.json", bad, (size_t)len);
            (void)try_folder(what);
        }
    }
    write_file("config.json", good, n);
}

/* ---- inputs ---- */

static void odd_texts_give_a_result(void **state)
{
    (void)state;
    static char longest[20001];
    static const char nul[] = "a\0b";
    for (size_t i = 0; i + 1 < sizeof longest; i++)
        longest[i] = i % 5 ? 'x' : ' ';
    const SnBytes text[] = {sn_bytes_str(""),
                            sn_bytes_str(" \t\n"),
                            sn_bytes_str("\xFF\xFE\x80"),
                            sn_bytes_str("\xC3"),
                            sn_bytes_str("\xED\xA0\x80\xF4\x90\x80\x80\xC0\xAF"),
                            sn_bytes(nul, sizeof nul - 1),
                            sn_bytes(NULL, 0),
                            sn_bytes_str("\xE4\xB8\xAD\xF0\x9F\x98\x80\xCC\x81\xE2\x80\x8D"),
                            sn_bytes(longest, sizeof longest - 1),
                            sn_bytes(longest + 1, 4000)};
    Try t;
    assert_int_equal(try_begin(&t, "texts"), SN_OK);
    (void)tokenize(&t, "no texts", NULL, 0);
    (void)embed(&t, "no texts", NULL, 0);
    for (size_t i = 0; i < SN_COUNT(text); i++) {
        SnResults *r = NULL;
        (void)tokenize(&t, "an odd text", &text[i], 1);
        assert_int_equal(sn_model_embed(t.model, &text[i], 1, &r, &t.err), SN_OK);
        assert_int_equal(sn_results_get(r, 0)->view.dims[0], 1);
        sn_results_destroy(r);
    }
    (void)tokenize(&t, "odd texts", text, SN_COUNT(text));
    (void)embed(&t, "odd texts", text, SN_COUNT(text));
    try_end(&t, "texts");
}

static void odd_options_give_a_status(void **state)
{
    (void)state;
    const SnBytes text[] = {sn_bytes_str("Hello world, a 12.5")};
    static const SnTokenizeOptions options[] = {
        {.truncation = SN_TRUNCATE_LONGEST_FIRST, .max_length = 1},
        {.truncation = SN_TRUNCATE_LONGEST_FIRST, .max_length = -5},
        {.truncation = SN_TRUNCATE_LONGEST_FIRST, .max_length = INT64_MAX},
        {.truncation = SN_TRUNCATE_LONGEST_FIRST, .max_length = 8, .stride = 100},
        {.truncation = SN_TRUNCATE_LONGEST_FIRST, .max_length = 8, .stride = -1},
        {.truncation = SN_TRUNCATE_ONLY_SECOND, .max_length = 4},
        {.pad = true, .pad_length = -1},
        {.pad = true, .pad_length = INT64_MAX},
        {.pad = true, .pad_multiple = INT64_MAX},
        {.pad = true, .pad_multiple = -8},
        {.pad = true, .pad_token = "no such token"},
        {.pad = true, .pad_token = ""},
    };
    Try t;
    assert_int_equal(try_begin(&t, "options"), SN_OK);
    for (size_t i = 0; i < SN_COUNT(options); i++) {
        SnArena arena;
        SnEncoding *e = NULL;
        SnTokenizeOptions o = options[i];
        o.struct_size = sizeof o;
        sn_arena_init(&arena, sn_allocator(t.ctx));
        judge(&t, "options", sn_model_tokenize(t.model, text, NULL, 1, &o, &arena, &e, &t.err));
        sn_arena_clear(&arena);
    }
    static const int64_t ids[] = {-1, 27, 1000000, INT64_MAX, INT64_MIN, 3000000000};
    for (size_t i = 0; i < SN_COUNT(ids); i++) {
        SnText back = {.memory = sn_allocator(t.ctx)};
        judge(&t, "ids", sn_model_decode(t.model, &ids[i], 1, false, &back, &t.err));
        sn_text_clear(&back);
    }
    try_end(&t, "options");
}

static void odd_tensors_give_a_status(void **state)
{
    (void)state;
    static int64_t wide[64], far[4] = {2, 27, -1, INT64_MAX}, good[4] = {2, 5, 6, 3};
    static float real[64];
    const SnNamedTensor one[] = {
        {"input_ids", sn_view(SN_I64, far, 2, (int64_t[]){1, 4})},
        {"input_ids", sn_view(SN_I64, far + 1, 2, (int64_t[]){1, 1})},
        {"input_ids", sn_view(SN_I64, wide, 2, (int64_t[]){1, 64})},
        {"input_ids", sn_view(SN_I64, wide, 2, (int64_t[]){0, 4})},
        {"input_ids", sn_view(SN_I64, wide, 2, (int64_t[]){1, 0})},
        {"input_ids", sn_view(SN_I64, wide, 2, (int64_t[]){-1, 4})},
        {"input_ids", sn_view(SN_I64, wide, 2, (int64_t[]){(int64_t)1 << 40, (int64_t)1 << 40})},
        {"input_ids", sn_view(SN_I64, wide, 1, (int64_t[]){4})},
        {"input_ids", sn_view(SN_I64, wide, 0, NULL)},
        {"input_ids", sn_view(SN_I64, wide, 3, (int64_t[]){1, 2, 2})},
        {"input_ids", sn_view(SN_F32, real, 2, (int64_t[]){1, 4})},
        {"input_ids", sn_view(SN_BOOL, wide, 2, (int64_t[]){1, 4})},
        {"input_ids", sn_view(SN_I32, (uint8_t *)wide + 1, 2, (int64_t[]){1, 4})},
        {"inputs_embeds", sn_view(SN_F32, real, 3, (int64_t[]){1, 2, 7})},
        {"attention_mask", sn_view(SN_I64, wide, 2, (int64_t[]){1, 4})},
        {"pixel_values", sn_view(SN_F32, real, 4, (int64_t[]){1, 1, 8, 8})},
        {"", sn_view(SN_F32, real, 1, (int64_t[]){1})},
    };
    const SnNamedTensor two[][2] = {
        {{"input_ids", sn_view(SN_I64, good, 2, (int64_t[]){1, 4})},
         {"attention_mask", sn_view(SN_I64, wide, 2, (int64_t[]){1, 3})}},
        {{"input_ids", sn_view(SN_I64, good, 2, (int64_t[]){1, 4})},
         {"attention_mask", sn_view(SN_I64, wide, 2, (int64_t[]){2, 4})}},
        {{"input_ids", sn_view(SN_I64, good, 2, (int64_t[]){1, 4})},
         {"token_type_ids", sn_view(SN_I64, far, 2, (int64_t[]){1, 4})}},
        {{"input_ids", sn_view(SN_I64, good, 2, (int64_t[]){1, 4})},
         {"position_ids", sn_view(SN_I64, far, 2, (int64_t[]){1, 4})}},
        {{"input_ids", sn_view(SN_I64, good, 2, (int64_t[]){1, 4})},
         {"input_ids", sn_view(SN_I64, good, 2, (int64_t[]){1, 4})}},
    };
    static const char *const wants[] = {"logits",          "",
                                        "hidden_states.9", "hidden_states.-1",
                                        "attentions.x",    "hidden_states.99999999999999999999"};
    Try t;
    assert_int_equal(try_begin(&t, "tensors"), SN_OK);
    (void)forward(&t, "no tensors", NULL, 0);
    for (size_t i = 0; i < SN_COUNT(one); i++)
        (void)forward(&t, "an odd tensor", &one[i], 1);
    for (size_t i = 0; i < SN_COUNT(two); i++)
        (void)forward(&t, "odd tensors", two[i], 2);
    for (size_t i = 0; i < SN_COUNT(wants); i++) {
        SnResults *r = NULL;
        const SnStatus st = sn_model_forward(t.model, two[0], 1, &wants[i], 1, &r, &t.err);
        judge(&t, "an output", st);
        assert_int_not_equal(st, SN_OK);
        sn_results_destroy(r);
    }
    /* Still good for what makes sense. */
    SnResults *r = NULL;
    assert_int_equal(sn_model_forward(t.model, two[0], 1, NULL, 0, &r, &t.err), SN_OK);
    sn_results_destroy(r);
    try_end(&t, "tensors");
}

/* ---- */

static int setup(void **state)
{
    (void)state;
    SnError err = {0};
    const bool ok =
        sn_context_create(NULL, &host, &err) == SN_OK && embed_model_create(host, folder, &err) == SN_OK;
    if (!ok)
        print_error("%s\n", err.message);
    return ok ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    embed_folder_remove(folder);
    sn_context_destroy(host);
    return 0;
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(odd_texts_give_a_result),      cmocka_unit_test(odd_options_give_a_status),
        cmocka_unit_test(odd_tensors_give_a_status),    cmocka_unit_test(wrong_config_gives_a_status),
        cmocka_unit_test(wrong_tensors_give_a_status),  cmocka_unit_test(damaged_files_give_a_status),
        cmocka_unit_test(damaged_vocab_gives_a_status), cmocka_unit_test(damaged_index_gives_a_status),
    };
    all = argc > 1 && strcmp(argv[1], "all") == 0;
    return cmocka_run_group_tests(tests, setup, teardown);
}
