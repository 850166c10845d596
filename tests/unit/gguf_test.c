/* gguf_test.c -- the GGUF container: what is written is read back; what is malformed is refused by name. */
#include "frontends/gguf/convert.h"
#include "frontends/gguf/export.h"
#include "frontends/gguf/splits.h"

#include "tests/unit/scratch.h"
#include "tests/unit/unit.h"

static int open_context(void **state)
{
    return sn_context_create(NULL, (SnContext **)state, NULL) == SN_OK ? 0 : 1;
}

static int close_context(void **state)
{
    sn_context_destroy(*state);
    return 0;
}

static SnJson key_int(const char *key, int64_t v)
{
    return (SnJson){.kind = SN_JSON_INT, .u.integer = v, .key = sn_bytes_str(key)};
}

static SnJson string(const char *v)
{
    return (SnJson){.kind = SN_JSON_STRING, .u.string = sn_bytes_str(v)};
}

static void metadata_and_tensors_survive(void **state)
{
    SnContext *ctx = *state;
    static const float numbers[6] = {1, -2, 3.5f, 0, 1e30f, -0.0f};
    static uint8_t blocks[2 * 34];
    SnJson words[] = {string("a"), string("bc"),
                      string("d\xC3\xA9"
                             "f")};
    SnJson scores[] = {{.kind = SN_JSON_FLOAT, .u.number = -1.5}, {.kind = SN_JSON_INT, .u.integer = 2}};
    SnJson types[] = {{.kind = SN_JSON_INT, .u.integer = -1}, {.kind = SN_JSON_INT, .u.integer = 3}};
    const SnJson is_true = {.kind = SN_JSON_BOOL, .u.boolean = true};
    const SnJson word_array = {.kind = SN_JSON_ARRAY, .n = 3, .u.child = words};
    const SnJson score_array = {.kind = SN_JSON_ARRAY, .n = 2, .u.child = scores};
    const SnJson type_array = {.kind = SN_JSON_ARRAY, .n = 2, .u.child = types};
    const SnJson none = {.kind = SN_JSON_ARRAY};
    SnGgufMeta meta = {.text = {.memory = sn_allocator(ctx)}};
    const SnGgufTensor tensor[] = {
        {sn_bytes_str("x"), sn_ggml_type(0), 2, {2, 3}, sn_bytes(numbers, sizeof numbers)},
        {sn_bytes_str("q"), sn_ggml_type(8), 2, {2, 32}, sn_bytes(blocks, sizeof blocks)},
    };
    Scratch s;
    SnGguf f;
    SnError err;
    char path[256];
    for (size_t i = 0; i < sizeof blocks; i++)
        blocks[i] = (uint8_t)i;
    scratch_open(&s);
    scratch_path(&s, "t.gguf", path);
    sn_gguf_put_int(&meta, "a.u32", 4000000000);
    sn_gguf_put(&meta, "a.bool", SN_GGUF_BOOL, &is_true);
    sn_gguf_put(&meta, "a.words", SN_GGUF_STRING, &word_array);
    sn_gguf_put(&meta, "a.scores", SN_GGUF_F32, &score_array);
    sn_gguf_put(&meta, "a.types", SN_GGUF_I32, &type_array);
    sn_gguf_put(&meta, "a.none", SN_GGUF_STRING, &none);
    sn_gguf_put(&meta, "a.null", SN_GGUF_STRING, NULL);
    assert_ok(sn_gguf_write(ctx, path, &meta, tensor, SN_COUNT(tensor), NULL, NULL, &err));
    sn_text_clear(&meta.text);
    assert_ok(sn_gguf_open(ctx, path, &f, &err));
    assert_int_equal(f.metadata->n, 6);
    assert_int_equal(f.pair[0].n, 8 + 5 + 4 + 4);
    int64_t i;
    double x;
    bool b;
    assert_true(sn_json_int(sn_json_get(f.metadata, "a.u32"), &i) && i == 4000000000);
    assert_true(sn_json_bool(sn_json_get(f.metadata, "a.bool"), &b) && b);
    assert_true(sn_json_is(sn_json_at(sn_json_get(f.metadata, "a.words"), 2), "d\xC3\xA9"
                                                                              "f"));
    assert_true(sn_json_number(sn_json_at(sn_json_get(f.metadata, "a.scores"), 0), &x) && x == -1.5);
    assert_true(sn_json_int(sn_json_at(sn_json_get(f.metadata, "a.types"), 0), &i) && i == -1);
    assert_int_equal(sn_json_get(f.metadata, "a.none")->n, 0);
    assert_int_equal(f.ntensor, 2);
    const SnGgufTensor *q = sn_gguf_find(&f, "q");
    assert_non_null(q);
    assert_string_equal(q->type->name, "Q8_0");
    assert_int_equal(q->dims[0], 2);
    assert_memory_equal(q->bytes.at, blocks, sizeof blocks);
    assert_memory_equal(sn_gguf_find(&f, "x")->bytes.at, numbers, sizeof numbers);
    sn_gguf_close(&f);
    scratch_close(&s);
}

/* Little-endian words of a header: magic, version, tensors, keys. */
static const struct {
    const char *what;
    uint32_t word[14];
    size_t size;
    SnStatus status;
} broken[] = {
    {"another magic", {0x46554748, 3, 0, 0, 0, 0}, 24, SN_EFORMAT},
    {"a version of the future", {0x46554747, 4, 0, 0, 0, 0}, 24, SN_EUNSUPPORTED},
    {"more tensors than bytes", {0x46554747, 3, 0, 1, 0, 0}, 24, SN_EFORMAT},
    {"more keys than bytes", {0x46554747, 3, 0, 0, 0xFFFFFFFF, 0xFFFFFFFF}, 24, SN_EFORMAT},
    {"a key longer than the file", {0x46554747, 3, 0, 0, 1, 0, 9, 0, 0x61616161, 4}, 40, SN_EFORMAT},
    {"metadata of no type", {0x46554747, 3, 0, 0, 1, 0, 4, 0, 0x61616161, 13, 0}, 44, SN_EFORMAT},
    {"an array longer than the file",
     {0x46554747, 3, 0, 0, 1, 0, 4, 0, 0x61616161, 9, 4, 9, 0},
     52,
     SN_EFORMAT},
};

static void malformed_files_are_refused(void **state)
{
    for (size_t i = 0; i < SN_COUNT(broken); i++) {
        SnGguf f;
        SnError err = {0};
        const SnStatus st = sn_gguf_parse(*state, "f", sn_bytes(broken[i].word, broken[i].size), &f, &err);
        if (st != broken[i].status)
            fail_msg("%s: %s", broken[i].what, err.message);
    }
}

/* Every way to cut a good file short. */
static void files_cut_short_are_refused(void **state)
{
    static const uint8_t blocks[34];
    SnGgufMeta meta = {.text = {.memory = sn_allocator(*state)}};
    const SnGgufTensor tensor = {
        sn_bytes_str("q"), sn_ggml_type(8), 1, {32}, sn_bytes(blocks, sizeof blocks)};
    Scratch s;
    SnFile *file = NULL;
    SnGguf f;
    SnError err;
    char path[256];
    scratch_open(&s);
    scratch_path(&s, "t.gguf", path);
    sn_gguf_put_int(&meta, "k", 7);
    assert_ok(sn_gguf_write(*state, path, &meta, &tensor, 1, NULL, NULL, &err));
    sn_text_clear(&meta.text);
    assert_ok(sn_file_open(*state, path, &file, &err));
    const SnBytes all = sn_file_bytes(file);
    const size_t padded = all.n - (32 - 34 % 32);
    for (size_t n = 0; n < padded; n++)
        assert_true(sn_gguf_parse(*state, "f", sn_bytes(all.at, n), &f, &err) == SN_EFORMAT);
    assert_ok(sn_gguf_parse(*state, "f", sn_bytes(all.at, padded), &f, &err));
    sn_gguf_close(&f);
    sn_file_release(file);
    scratch_close(&s);
}

typedef struct Seen {
    int n;
    bool has_expert, has_norm;
} Seen;

static SnStatus see(void *user, const SnGgufTensor *t, const SnGgufName *as, SnError *err)
{
    Seen *s = user;
    (void)t;
    (void)err;
    s->n++;
    s->has_expert = s->has_expert || sn_bytes_is(as->name, "model.layers.12.mlp.experts.1.up_proj.weight");
    s->has_norm = s->has_norm || sn_bytes_is(as->name, "model.norm.weight");
    return SN_OK;
}

static void names_are_those_of_checkpoints(void **state)
{
    static const float zeros[8];
    SnJson arch = string("qwen3moe");
    arch.key = sn_bytes_str("general.architecture");
    SnJson child[] = {arch, key_int("qwen3moe.expert_count", 2), key_int("qwen3moe.block_count", 13)};
    SnGgufTensor tensor[] = {
        {sn_bytes_str("output_norm.weight"), sn_ggml_type(0), 1, {8}, sn_bytes(zeros, sizeof zeros)},
        {sn_bytes_str("blk.12.ffn_up_exps.weight"),
         sn_ggml_type(0),
         3,
         {2, 2, 2},
         sn_bytes(zeros, sizeof zeros)},
    };
    const SnJson metadata = {.kind = SN_JSON_OBJECT, .n = SN_COUNT(child), .u.child = child};
    const SnGguf f = {.metadata = &metadata, .tensor = tensor, .ntensor = SN_COUNT(tensor)};
    SnArena arena;
    Seen seen = {0};
    SnError err;
    sn_arena_init(&arena, sn_allocator(*state));
    assert_ok(sn_gguf_each("f", &f, &arena, see, &seen, &err));
    assert_int_equal(seen.n, 3);
    assert_true(seen.has_expert && seen.has_norm);
    sn_arena_clear(&arena);
}

static SnStatus see_state(void *user, const SnGgufTensor *t, const SnGgufName *as, SnError *err)
{
    static const char *const name[] = {"backbone.layers.0.mixer.A_log", "backbone.layers.0.mixer.dt_bias",
                                       "backbone.layers.0.mixer.conv1d.weight",
                                       "backbone.layers.0.mixer.conv1d.bias"};
    static const SnGgufShape shape[] = {SN_GGUF_COLUMN, SN_GGUF_AS_IS, SN_GGUF_NO_MIDDLE, SN_GGUF_AS_IS};
    int *n = user;
    (void)t;
    (void)err;
    assert_true(sn_bytes_is(as->name, name[*n]));
    assert_int_equal(as->shape, shape[*n]);
    assert_int_equal(as->is_decay, *n == 0);
    ++*n;
    return SN_OK;
}

static void state_spaces_have_names_and_shapes_of_their_own(void **state)
{
    static const float zeros[8];
    SnJson arch = string("mamba2");
    arch.key = sn_bytes_str("general.architecture");
    const SnBytes bytes = sn_bytes(zeros, sizeof zeros);
    SnGgufTensor tensor[] = {
        {sn_bytes_str("blk.0.ssm_a"), sn_ggml_type(0), 2, {8, 1}, bytes},
        {sn_bytes_str("blk.0.ssm_dt.bias"), sn_ggml_type(0), 1, {8}, bytes},
        {sn_bytes_str("blk.0.ssm_conv1d.weight"), sn_ggml_type(0), 2, {2, 4}, bytes},
        {sn_bytes_str("blk.0.ssm_conv1d.bias"), sn_ggml_type(0), 1, {8}, bytes},
    };
    const SnJson metadata = {.kind = SN_JSON_OBJECT, .n = 1, .u.child = &arch};
    const SnGguf f = {.metadata = &metadata, .tensor = tensor, .ntensor = SN_COUNT(tensor)};
    SnArena arena;
    SnError err;
    int n = 0;
    sn_arena_init(&arena, sn_allocator(*state));
    assert_ok(sn_gguf_each("f", &f, &arena, see_state, &n, &err));
    assert_int_equal(n, SN_COUNT(tensor));
    sn_arena_clear(&arena);
}

/* MambaConfig: time_step_rank is ceil(hidden_size / 16) where it is "auto" or not there. */
static void sizes_of_state_spaces_are_made_where_none_is_given(void **state)
{
    SnContext *ctx = *state;
    static const struct {
        const char *config;
        int64_t rank, inner;
    } cases[] = {
        {"{\"model_type\":\"mamba\",\"hidden_size\":40,\"time_step_rank\":\"auto\"}", 3, 80},
        {"{\"model_type\":\"mamba\",\"hidden_size\":32,\"expand\":3}", 2, 96},
        {"{\"model_type\":\"falcon_mamba\",\"hidden_size\":40,\"time_step_rank\":5,\"intermediate_size\":64}",
         5, 64},
    };
    Scratch s;
    SnError err;
    char path[256];
    scratch_open(&s);
    scratch_path(&s, "m.gguf", path);
    for (size_t i = 0; i < SN_COUNT(cases); i++) {
        SnConfig config;
        const SnGgufArch *arch;
        SnGgufMeta meta = {.text = {.memory = sn_allocator(ctx)}};
        SnGguf f;
        int64_t rank, inner;
        assert_ok(sn_config_parse(ctx, "config.json", sn_bytes_str(cases[i].config), &config, &err));
        assert_ok(sn_gguf_export_arch(&config, &arch, &err));
        sn_gguf_export_config(&config, arch, &meta);
        assert_ok(sn_gguf_write(ctx, path, &meta, NULL, 0, NULL, NULL, &err));
        assert_ok(sn_gguf_open(ctx, path, &f, &err));
        assert_true(sn_json_int(sn_json_get(f.metadata, "mamba.ssm.time_step_rank"), &rank));
        assert_true(sn_json_int(sn_json_get(f.metadata, "mamba.ssm.inner_size"), &inner));
        assert_int_equal(rank, cases[i].rank);
        assert_int_equal(inner, cases[i].inner);
        sn_gguf_close(&f);
        sn_text_clear(&meta.text);
        sn_config_clear(&config);
    }
    scratch_close(&s);
}

static SnJson keyed(const char *key, SnJson v)
{
    v.key = sn_bytes_str(key);
    return v;
}

static void names_of_splits_are_known_or_refused(void **state)
{
    SnContext *ctx = *state;
    SnJson words[] = {string("a"), string("b"), string("ab")}, merges[] = {string("a b")};
    SnJson row[] = {
        keyed("tokenizer.ggml.model", string("gpt2")), keyed("tokenizer.ggml.pre", string("kimi-k2")),
        keyed("tokenizer.ggml.tokens", (SnJson){.kind = SN_JSON_ARRAY, .n = 3, .u.child = words}),
        keyed("tokenizer.ggml.merges", (SnJson){.kind = SN_JSON_ARRAY, .n = 1, .u.child = merges}),
        keyed("tokenizer.huggingface.json", string("{\"model\": 1}"))};
    SnJson all = {.kind = SN_JSON_OBJECT, .n = 4, .u.child = row};
    const SnGguf f = {.metadata = &all};
    SnText text = {.memory = sn_allocator(ctx)};
    SnError err;
    assert_ok(sn_gguf_tokenizer(ctx, "f", &f, &text, &err));
    assert_non_null(strstr(text.at, "\\\\p{Han}"));
    row[1].u.string = sn_bytes_str("kimi");
    assert_int_equal(sn_gguf_tokenizer(ctx, "f", &f, &text, &err), SN_EUNSUPPORTED);
    assert_string_equal(err.message, "f: tokenizer.ggml.pre is 'kimi', whose split is not known");
    /* The whole file, where there is one. */
    all.n = 5;
    text.n = 0;
    assert_ok(sn_gguf_tokenizer(ctx, "f", &f, &text, &err));
    assert_string_equal(text.at, "{\"model\": 1}");
    sn_text_clear(&text);
    assert_null(sn_gguf_split_find(sn_bytes_str("")));
    assert_null(sn_gguf_split_find(sn_bytes_str("gpt-2 gpt2")));
    const char *const step[] = {"digits", sn_split_gpt2, "x"};
    assert_true(sn_bytes_is(sn_gguf_split_name(step, 2, false), "smollm"));
    assert_int_equal(sn_gguf_split_name(step, 3, false).n, 0);
    const char *const cl100k[] = {sn_split_cl100k};
    assert_true(sn_bytes_is(sn_gguf_split_name(cl100k, 1, true), "llama-bpe"));
    assert_true(sn_bytes_is(sn_gguf_split_name(cl100k, 1, false), "dbrx"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_of_splits_are_known_or_refused),
        cmocka_unit_test(metadata_and_tensors_survive),
        cmocka_unit_test(malformed_files_are_refused),
        cmocka_unit_test(files_cut_short_are_refused),
        cmocka_unit_test(names_are_those_of_checkpoints),
        cmocka_unit_test(state_spaces_have_names_and_shapes_of_their_own),
        cmocka_unit_test(sizes_of_state_spaces_are_made_where_none_is_given),
    };
    return cmocka_run_group_tests(tests, open_context, close_context);
}
