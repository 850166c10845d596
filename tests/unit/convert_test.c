/* convert_test.c -- models in other formats and vocabularies: rows in their order, blocks as ggml's, parts of
 * tensors, new tokens. Against the real libraries: tests/ref/convert.py, weights.py. */
#include "frontends/gguf/quantize.h"
#include "frontends/hf/pickle.h"
#include "frontends/model.h"

#include "runtime/hash.h"
#include "tests/unit/rig.h"
#include "tests/unit/scratch.h"
#include "tests/unit/unit.h"

#include <math.h>

enum { VOCAB = 6, WIDE = 32, HIGH = 64 };

static const char config[] =
    "{\"model_type\":\"llama\",\"architectures\":[\"LlamaForCausalLM\"],\"hidden_size\":32,"
    "\"num_attention_heads\":4,\"num_key_value_heads\":2,\"num_hidden_layers\":1,\"intermediate_size\":64,"
    "\"vocab_size\":6,\"rms_norm_eps\":1e-5,\"tie_word_embeddings\":false,\"dtype\":\"float32\"}";

/* Tensors of one layer, rows and columns (0: a vector). */
static const struct {
    const char *name;
    int64_t rows, cols;
} shapes[] = {
    {"model.embed_tokens.weight", VOCAB, WIDE},
    {"lm_head.weight", VOCAB, WIDE},
    {"model.norm.weight", WIDE, 0},
    {"model.layers.0.input_layernorm.weight", WIDE, 0},
    {"model.layers.0.post_attention_layernorm.weight", WIDE, 0},
    {"model.layers.0.self_attn.q_proj.weight", WIDE, WIDE},
    {"model.layers.0.self_attn.k_proj.weight", WIDE / 2, WIDE},
    {"model.layers.0.self_attn.k_proj.bias", WIDE / 2, 0},
    {"model.layers.0.self_attn.v_proj.weight", WIDE / 2, WIDE},
    {"model.layers.0.self_attn.o_proj.weight", WIDE, WIDE},
    {"model.layers.0.mlp.gate_proj.weight", HIGH, WIDE},
    {"model.layers.0.mlp.up_proj.weight", HIGH, WIDE},
    {"model.layers.0.mlp.down_proj.weight", WIDE, HIGH},
};

static float number(size_t i)
{
    return (float)((double)(sn_hash64(&i, sizeof i, 1) >> 11) * 0x1p-53 - 0.5);
}

static void write_model(const Rig *r, const Scratch *s)
{
    static float data[SN_COUNT(shapes)][HIGH * WIDE];
    SnStWrite w[SN_COUNT(shapes)];
    SnError err;
    char path[256];
    memset(w, 0, sizeof w);
    for (size_t i = 0; i < SN_COUNT(shapes); i++) {
        const int64_t dims[] = {shapes[i].rows, shapes[i].cols};
        for (size_t k = 0; k < HIGH * WIDE; k++)
            data[i][k] = number(i * HIGH * WIDE + k);
        w[i].name = shapes[i].name;
        w[i].view = sn_view(SN_F32, data[i], shapes[i].cols ? 2 : 1, dims);
    }
    scratch_text(s, "config.json", config);
    scratch_path(s, "model.safetensors", path);
    assert_ok(sn_safetensors_write(r->ctx, path, w, SN_COUNT(w), NULL, &err));
}

static void open_model(const Rig *r, const char *path, SnModel **m)
{
    const SnModelOptions o = {.struct_size = sizeof o, .device = SN_TEST_NATIVE};
    SnError err;
    assert_ok(sn_model_open(r->cc, path, &o, m, &err));
}

static void convert(const Rig *r, const char *from, const char *format, uint64_t shard, const char *to)
{
    const SnConvertOptions o = {.struct_size = sizeof o, .format = format, .max_shard_size = shard};
    SnModel *m = NULL;
    SnError err;
    open_model(r, from, &m);
    assert_ok(sn_model_convert(m, &o, to, &err));
    sn_model_close(m);
}

static void close_folder(const Scratch *parent, const char *name)
{
    Scratch s;
    assert_true(snprintf(s.dir, sizeof s.dir, "%s/%s", parent->dir, name) < (int)sizeof s.dir);
    scratch_close(&s);
}

/* Tensors of both are equal within slack. */
static void compare_weights(const Rig *r, const char *a, const char *b, float slack)
{
    SnWeights *x = NULL, *y = NULL;
    SnError err;
    assert_ok(sn_weights_open(r->ctx, a, &x, &err));
    assert_ok(sn_weights_open(r->ctx, b, &y, &err));
    assert_int_equal(sn_weights_count(x), sn_weights_count(y));
    for (size_t i = 0; i < SN_COUNT(shapes); i++) {
        const SnStTensor *t = sn_weights_find(x, shapes[i].name), *u = sn_weights_find(y, shapes[i].name);
        assert_non_null(u);
        assert_int_equal(t->bytes.n, u->bytes.n);
        for (size_t k = 0; k < t->bytes.n / sizeof(float); k++) {
            float v[2];
            memcpy(&v[0], t->bytes.at + k * sizeof *v, sizeof *v);
            memcpy(&v[1], u->bytes.at + k * sizeof *v, sizeof *v);
            if (!(fabsf(v[0] - v[1]) <= slack))
                fail_msg("%s: element %zu is %g, expected %g", shapes[i].name, k, (double)v[1], (double)v[0]);
        }
    }
    sn_weights_release(x);
    sn_weights_release(y);
}

static void models_survive_gguf_and_shards(void **state)
{
    static const struct {
        const char *format;
        float slack;
    } ways[] = {{NULL, 0}, {"bf16", 0x1p-9f}, {"q8_0", 0.004f}, {"q4_1", 0.04f}};
    Rig r = {0};
    Scratch s;
    char gguf[256], back[256], shards[256];
    (void)state;
    rig_open(&r, SN_TEST_NATIVE, NULL);
    scratch_open(&s);
    write_model(&r, &s);
    scratch_path(&s, "m.gguf", gguf);
    scratch_path(&s, "back", back);
    scratch_path(&s, "shards", shards);
    for (size_t i = 0; i < SN_COUNT(ways); i++) {
        convert(&r, s.dir, ways[i].format, 0, gguf);
        convert(&r, gguf, "f32", 0, back);
        compare_weights(&r, s.dir, back, ways[i].slack);
        convert(&r, back, NULL, 20000, shards);
        compare_weights(&r, back, shards, 0);
        close_folder(&s, "back");
        close_folder(&s, "shards");
    }
    scratch_close(&s);
    rig_close(&r);
}

static void blocks_in_folders_are_read(void **state)
{
    Rig r = {0};
    Scratch s;
    SnWeights *w = NULL;
    SnError err;
    char blocks[256], back[256];
    (void)state;
    rig_open(&r, SN_TEST_NATIVE, NULL);
    scratch_open(&s);
    write_model(&r, &s);
    scratch_path(&s, "blocks", blocks);
    scratch_path(&s, "back", back);
    convert(&r, s.dir, "q8", 0, blocks);
    assert_ok(sn_weights_open(r.ctx, blocks, &w, &err));
    assert_string_equal(sn_weights_find(w, "model.layers.0.mlp.up_proj.weight")->format, "Q8_0");
    assert_string_equal(sn_weights_find(w, "model.embed_tokens.weight")->format, "F32");
    sn_weights_release(w);
    convert(&r, blocks, "f32", 0, back);
    compare_weights(&r, s.dir, back, 0.004f);
    close_folder(&s, "blocks");
    close_folder(&s, "back");
    scratch_close(&s);
    rig_close(&r);
}

static void conversions_that_cannot_be_fail(void **state)
{
    static const struct {
        const char *format, *to;
    } rows[] = {{NULL, "m.onnx"}, {"q9", "m.gguf"}};
    Rig r = {0};
    Scratch s;
    char to[256];
    (void)state;
    rig_open(&r, SN_TEST_NATIVE, NULL);
    scratch_open(&s);
    write_model(&r, &s);
    for (size_t i = 0; i < SN_COUNT(rows); i++) {
        const SnConvertOptions o = {.struct_size = sizeof o, .format = rows[i].format};
        SnModel *m = NULL;
        SnError err;
        open_model(&r, s.dir, &m);
        scratch_path(&s, rows[i].to, to);
        assert_int_equal(sn_model_convert(m, &o, to, &err), SN_EUNSUPPORTED);
        assert_false(sn_file_exists(to));
        sn_model_close(m);
    }
    scratch_close(&s);
    rig_close(&r);
}

static void embeddings_are_resized(void **state)
{
    const SnResizeOptions o = {.struct_size = sizeof o, .pad_multiple = 4};
    Rig r = {0};
    Scratch s;
    SnModel *m = NULL;
    SnWeights *w = NULL;
    SnError err;
    char to[256];
    (void)state;
    rig_open(&r, SN_TEST_NATIVE, NULL);
    scratch_open(&s);
    write_model(&r, &s);
    scratch_path(&s, "to", to);
    open_model(&r, s.dir, &m);
    assert_ok(sn_model_resize_embeddings(m, 9, &o, &err));
    assert_ok(sn_model_convert(m, NULL, to, &err));
    assert_int_equal(sn_config_int(&m->config, "vocab_size", 0), 12);
    assert_ok(sn_weights_open(r.ctx, to, &w, &err));
    for (size_t i = 0; i < 2; i++) {
        const SnStTensor *t = sn_weights_find(w, shapes[i].name);
        float sum = 0, v = 0;
        assert_int_equal(t->dims[0], 12);
        for (size_t k = 0; k < VOCAB * WIDE; k += WIDE) {
            memcpy(&v, t->bytes.at + k * sizeof v, sizeof v);
            assert_true(v == number(i * HIGH * WIDE + k));
            sum += v;
        }
        memcpy(&v, t->bytes.at + 11 * WIDE * sizeof v, sizeof v);
        assert_true(fabsf(v - sum / (float)VOCAB) < 1e-6f);
    }
    assert_int_equal(sn_model_resize_embeddings(m, -1, NULL, &err), SN_EINVAL);
    sn_weights_release(w);
    sn_model_close(m);
    close_folder(&s, "to");
    scratch_close(&s);
    rig_close(&r);
}

/* That the bits are those of ggml is seen by tests/ref/kblocks.py; here numbers come back within a step. */
static void k_blocks_come_near(void **state)
{
    static const struct {
        const char *type;
        float step;
    } rows[] = {{"Q4_K", 1.0f / 15}, {"Q5_K", 1.0f / 31}, {"Q6_K", 1.0f / 32}};
    float x[SN_K_BLOCK], y[SN_K_BLOCK];
    uint8_t block[256], again[256];
    Rig r = {0};
    SnError err;
    (void)state;
    for (size_t i = 0; i < SN_K_BLOCK; i++)
        x[i] = number(i);
    for (size_t k = 0; k < SN_COUNT(rows); k++) {
        const SnGgmlType *type = sn_ggml_type_named(rows[k].type);
        const char *format = k == 0 ? "q4_k" : k == 1 ? "q5_k" : "q6_k";
        SnView v;
        const int64_t dims[] = {1, type->bytes};
        memset(again, 0xAA, sizeof again);
        sn_gguf_quantizer(type)(x, block);
        sn_gguf_quantizer(type)(x, again);
        assert_memory_equal(block, again, type->bytes);
        assert_int_equal(again[type->bytes], 0xAA);
        rig_open(&r, "interp", NULL);
        const SnValue size[] = {sn_const_int(r.g, SN_I64, 1), sn_const_int(r.g, SN_I64, type->bytes)};
        sn_output(r.g, "y", sn_dequantize_blocks(r.g, sn_input(r.g, "x", SN_U8, 2, size), format));
        assert_ok(rig_compile(&r, NULL, &err));
        v = sn_view(SN_U8, block, 2, dims);
        assert_ok(sn_bind(r.s, "x", &v, &err));
        assert_ok(sn_run(r.s, &err));
        assert_ok(sn_result(r.s, "y", &v, &err));
        memcpy(y, v.data, sizeof y);
        for (size_t i = 0; i < SN_K_BLOCK; i++)
            if (fabsf(x[i] - y[i]) > rows[k].step)
                fail_msg("%s: %g became %g", rows[k].type, (double)x[i], (double)y[i]);
        rig_close(&r);
    }
    assert_null(sn_gguf_quantizer(sn_ggml_type_named("Q8_0")));
}

static void pickles_of_other_things_are_refused(void **state)
{
    static const uint8_t text[] = "PK\x05\x06 is no archive of ours";
    SnContext *ctx = NULL;
    SnSafetensors f;
    SnError err;
    (void)state;
    assert_int_equal(sn_context_create(NULL, &ctx, NULL), SN_OK);
    for (size_t n = 0; n <= sizeof text; n++)
        assert_int_equal(sn_pickle_parse(ctx, "f", sn_bytes(text, n), &f, &err), SN_EFORMAT);
    sn_context_destroy(ctx);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(models_survive_gguf_and_shards),
        cmocka_unit_test(conversions_that_cannot_be_fail),
        cmocka_unit_test(embeddings_are_resized),
        cmocka_unit_test(blocks_in_folders_are_read),
        cmocka_unit_test(k_blocks_come_near),
        cmocka_unit_test(pickles_of_other_things_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
