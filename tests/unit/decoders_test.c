/* decoders_test.c -- decoders: a row is the same alone, among others and beside padding; configs that say
 * what the weights do not have are refused.
 *
 * The models are those of golden cases: 24 words, 2 or 3 layers, 16 positions at most. */
#include "frontends/model.h"

#include "backends/backends.h"
#include "ops/ops.h"
#include "tests/unit/scratch.h"
#include "tests/unit/unit.h"

#include <math.h>

#define GOLDEN "tests/golden/forward/"
enum { TEXT = 5, SEQ = 8, ROWS = 2 };

typedef struct Room {
    SnContext *ctx;
    SnCompiler *cc;
} Room;

static Room room;

static int open_room(void **state)
{
    (void)state;
    const SnContextDesc desc = {.struct_size = sizeof desc};
    const SnCompilerDesc compiler = {
        .struct_size = sizeof compiler, .ops = sn_all_ops, .backends = sn_all_backends};
    return sn_context_create(&desc, &room.ctx, NULL) != SN_OK ||
           sn_compiler_create(room.ctx, &compiler, &room.cc, NULL) != SN_OK;
}

static int close_room(void **state)
{
    (void)state;
    sn_compiler_destroy(room.cc);
    sn_context_destroy(room.ctx);
    return 0;
}

static SnModel *open_model(const char *folder)
{
    SnModel *m = NULL;
    SnError err;
    const SnModelOptions o = {.struct_size = sizeof o, .device = "interp"};
    assert_ok(sn_model_open(room.cc, folder, &o, &m, &err));
    return m;
}

/* ---- rows ---- */

/* left: padding in front changes nothing either, since positions count from the text or are relative. (The
 * bias of Mamba's projection reaches its convolution, as in the library.) */
typedef struct Decoder {
    const char *folder;
    bool left;
} Decoder;

static const Decoder decoders[] = {
    {GOLDEN "bloom-norm-residual-qa/model", true},
    {GOLDEN "falcon-alibi-lm/model", true},
    {GOLDEN "falcon-new-seqcls/model", true},
    {GOLDEN "gpt-bigcode-mha-lm/model", false},
    {GOLDEN "gpt-bigcode-seqcls/model", false},
    {GOLDEN "gpt-neo-local-lm/model", false},
    {GOLDEN "gpt-neox-serial-tokcls/model", true},
    {GOLDEN "gpt2-scaled-tokcls/model", false},
    {GOLDEN "gptj-qa/model", true},
    {GOLDEN "mamba2-lm/model", false},
    {GOLDEN "mpt-clip-lm/model", true},
    {GOLDEN "opt-post-norm-lm/model", true},
    {GOLDEN "llama-seqcls/model", true},
    {GOLDEN "cohere/model", true},
    {GOLDEN "deepseek-v3/model", true},
    {GOLDEN "gemma3-seqcls/model", true},
    {GOLDEN "gpt-oss/model", true},
    {GOLDEN "qwen2-moe/model", true},
    {GOLDEN "stablelm/model", true},
};

/* hidden_states.1 of `seq` tokens in `rows` rows, the text of row 0 after `before` places of padding. */
static SnResults *states_of(SnModel *m, int64_t rows, int64_t seq, int64_t before)
{
    static const char *const want[] = {"hidden_states.1"};
    int64_t ids[ROWS * SEQ], mask[ROWS * SEQ];
    SnResults *r = NULL;
    SnError err;
    for (int64_t i = 0; i < rows * seq; i++) {
        const int64_t at = i - before;
        mask[i] = i >= seq || (at >= 0 && at < TEXT);
        ids[i] = mask[i] ? 5 + (i < seq ? at : i) : 0;
    }
    const SnNamedTensor in[] = {{"input_ids", sn_view(SN_I64, ids, 2, (const int64_t[]){rows, seq})},
                                {"attention_mask", sn_view(SN_I64, mask, 2, (const int64_t[]){rows, seq})}};
    assert_ok(sn_model_forward(m, in, 2, want, 1, &r, &err));
    return r;
}

static void assert_text_is_equal(const char *folder, const SnResults *alone, const SnResults *among,
                                 int64_t before)
{
    const SnView *a = &sn_results_get(alone, 0)->view, *b = &sn_results_get(among, 0)->view;
    const int64_t width = a->dims[2];
    assert_int_equal(b->dims[2], width);
    for (int64_t i = 0; i < TEXT * width; i++) {
        const float x = ((const float *)a->data)[i], y = ((const float *)b->data)[before * width + i];
        if (!(fabsf(x - y) <= 2e-5f))
            fail_msg("%s: %g alone, %g after %lld places", folder, (double)x, (double)y, (long long)before);
    }
}

static void decoder_rows_do_not_see_padding(void **state)
{
    (void)state;
    for (size_t i = 0; i < SN_COUNT(decoders); i++) {
        SnModel *m = open_model(decoders[i].folder);
        SnResults *alone = states_of(m, 1, TEXT, 0);
        for (int64_t before = 0; before <= (decoders[i].left ? SEQ - TEXT : 0); before += SEQ - TEXT) {
            SnResults *among = states_of(m, ROWS, SEQ, before);
            assert_text_is_equal(decoders[i].folder, alone, among, before);
            sn_results_destroy(among);
        }
        sn_results_destroy(alone);
        sn_model_close(m);
    }
}

/* ---- configs ---- */

typedef struct Damage {
    const char *name, *change; /* a case, and a member that comes after all others in its config.json */
    SnStatus status;
    const char *says;
} Damage;

static const Damage damages[] = {
    {"gpt2-scaled-tokcls", "\"n_head\":2", SN_OK, ""},
    {"gpt2-scaled-tokcls", "\"n_head\":3", SN_EFORMAT, "3 heads"},
    {"gpt2-scaled-tokcls", "\"n_head\":2147483648", SN_EFORMAT, "2147483648"},
    {"gpt2-scaled-tokcls", "\"n_layer\":3", SN_EFORMAT, "transformer.h.2"},
    {"gpt2-scaled-tokcls", "\"activation_function\":\"wave\"", SN_EUNSUPPORTED, "wave"},
    {"gpt2-scaled-tokcls", "\"activation_function\":\"prelu\"", SN_EFORMAT, "no weight of an activation"},
    {"gpt-bigcode-mha-lm", "\"multi_query\":true", SN_ESHAPE, "attn.c_proj"},
    {"gpt-neo-local-lm", "\"attention_types\":[[[\"local\"],2]]", SN_EFORMAT, "attention_types"},
    {"gpt-neo-local-lm", "\"attention_types\":[[[],9],7,[[\"local\"],-1]]", SN_EFORMAT, "attention_types"},
    {"gpt-neo-local-lm", "\"window_size\":0", SN_EFORMAT, "window_size"},
    {"gpt-neox-serial-tokcls", "\"num_attention_heads\":5", SN_EFORMAT, "5 heads"},
    {"gptj-qa", "\"rotary_dim\":0", SN_EFORMAT, "rotary_dim"},
    {"gptj-qa", "\"rotary_dim\":8", SN_ESHAPE, ""},
    {"opt-post-norm-lm", "\"num_hidden_layers\":-1", SN_EFORMAT, "num_hidden_layers"},
    {"bloom-norm-residual-qa", "\"n_head\":65536", SN_EFORMAT, "65536 heads"},
    {"falcon-new-seqcls", "\"num_kv_heads\":4", SN_EFORMAT, "4 of keys"},
    {"falcon-new-seqcls", "\"num_kv_heads\":0", SN_EFORMAT, "num_kv_heads"},
    {"falcon-new-seqcls", "\"new_decoder_architecture\":false", SN_EFORMAT, ""},
    {"mpt-clip-lm", "\"n_heads\":7", SN_EFORMAT, "7 heads"},
    {"mamba2-lm", "\"n_groups\":3", SN_EFORMAT, "3 groups"},
    {"mamba2-lm", "\"n_groups\":0", SN_EFORMAT, "n_groups"},
    {"mamba2-lm", "\"state_size\":50", SN_EFORMAT, "width"},
    {"llama-dynamic", "\"num_attention_heads\":2147483648", SN_EFORMAT, "num_attention_heads"},
    {"llama-dynamic", "\"num_key_value_heads\":3", SN_EFORMAT, "num_key_value_heads"},
    {"llama-dynamic", "\"head_dim\":3", SN_EFORMAT, "rotary positions"},
    {"llama-dynamic", "\"rope_scaling\":{\"rope_type\":\"wave\"}", SN_EUNSUPPORTED, "rope_type"},
    {"llama-dynamic", "\"rope_scaling\":{\"rope_theta\":-1}", SN_EFORMAT, "base -1"},
    {"phi3-longrope", "\"rope_scaling\":{\"type\":\"longrope\",\"short_factor\":[1]}", SN_EFORMAT,
     "short_factor"},
    {"cohere", "\"num_hidden_layers\":3", SN_EFORMAT, "model.layers.2"},
    {"deepseek-v3", "\"n_group\":3", SN_ESHAPE, ""},
    {"deepseek-v3", "\"n_group\":9", SN_EFORMAT, "n_group"},
    {"deepseek-v3", "\"num_experts_per_tok\":5", SN_EFORMAT, "num_experts_per_tok"},
    {"deepseek-v3", "\"qk_rope_head_dim\":6", SN_EFORMAT, "dims 2 to 8 of 6"},
    {"deepseek-v3", "\"kv_lora_rank\":5000", SN_EFORMAT, "dims 0 to 5000"},
    {"gpt-oss", "\"num_experts_per_tok\":0", SN_EFORMAT, "num_experts_per_tok"},
    {"gpt-oss", "\"sliding_window\":-4", SN_EFORMAT, "sliding_window"},
    {"qwen2-moe", "\"decoder_sparse_step\":0", SN_EFORMAT, "decoder_sparse_step"},
    {"qwen2-moe", "\"mlp_only_layers\":[]", SN_EFORMAT, "model.layers.0.mlp.gate"},
    {"stablelm", "\"num_attention_heads\":4", SN_EFORMAT, ""},
};

static void link_weights(const Scratch *s, const char *name)
{
    char path[256], from[512], root[256];
    assert_non_null(getcwd(root, sizeof root));
    snprintf(from, sizeof from, "%s/" GOLDEN "%s/model/model.safetensors", root, name);
    scratch_path(s, "model.safetensors", path);
    assert_int_equal(symlink(from, path), 0);
}

/* The config of a case, with a member behind its last one. */
static void write_config(const Scratch *s, const Damage *d)
{
    char path[256], text[8192];
    snprintf(path, sizeof path, GOLDEN "%s/model/config.json", d->name);
    FILE *f = fopen(path, "rb");
    assert_non_null(f);
    size_t n = fread(text, 1, sizeof text - 256, f);
    assert_int_equal(fclose(f), 0);
    while (n > 0 && text[n - 1] != '}')
        n--;
    assert_true(n > 0);
    snprintf(text + n - 1, sizeof text - n, ",%s}", d->change);
    scratch_text(s, "config.json", text);
}

static void decoder_wrong_configs_fail(void **state)
{
    (void)state;
    int64_t ids[] = {5, 6, 7, 8};
    const SnNamedTensor in = {"input_ids", sn_view(SN_I64, ids, 2, (const int64_t[]){1, SN_COUNT(ids)})};
    for (size_t i = 0; i < SN_COUNT(damages); i++) {
        Scratch s;
        SnResults *r = NULL;
        SnError err = {0};
        scratch_open(&s);
        link_weights(&s, damages[i].name);
        write_config(&s, &damages[i]);
        SnModel *m = open_model(s.dir);
        const SnStatus st = sn_model_forward(m, &in, 1, NULL, 0, &r, &err);
        if (st != damages[i].status || !strstr(err.message, damages[i].says))
            fail_msg("%s, %s: %s: %s", damages[i].name, damages[i].change, sn_status_name(st), err.message);
        sn_results_destroy(r);
        sn_model_close(m);
        scratch_close(&s);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(decoder_rows_do_not_see_padding),
        cmocka_unit_test(decoder_wrong_configs_fail),
    };
    return cmocka_run_group_tests(tests, open_room, close_room);
}
