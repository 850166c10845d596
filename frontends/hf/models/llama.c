/* llama.c -- Llama: pre-norm decoder with rotary positions, grouped heads and a gated MLP.
 *
 * Touvron et al. 2023, arXiv:2302.13971. */
#include "frontends/hf/layers.h"

#include "ops/ops.h"

static double eps(const SnBuild *b)
{
    return sn_config_float(b->config, "rms_norm_eps", 1e-6);
}

static SnValue mlp(SnBuild *b, SnValue x)
{
    const char *act = sn_config_string(b->config, "hidden_act", "silu");
    const SnValue gate = sn_nn_act(b, act, sn_nn_linear(b, "mlp.gate_proj", x));
    return sn_nn_linear(b, "mlp.down_proj", sn_mul(b->g, gate, sn_nn_linear(b, "mlp.up_proj", x)));
}

static SnValue layer(SnBuild *b, SnValue x, int64_t i)
{
    (void)i;
    const int64_t heads = sn_nn_int(b, "num_attention_heads", 32, 1, 1 << 16);
    const int64_t width = sn_nn_int(b, "hidden_size", 4096, 1, 1 << 24);
    const int64_t head_dim = sn_nn_int(b, "head_dim", width / heads, 1, 1 << 16);
    const SnRope rope = sn_nn_rope_of(b, NULL, sn_config_float(b->config, "rope_theta", 10000), head_dim);
    const SnAttn attn = {.heads = heads,
                         .kv_heads = sn_nn_int(b, "num_key_value_heads", heads, 1, heads),
                         .q = "q_proj",
                         .k = "k_proj",
                         .v = "v_proj",
                         .o = "o_proj",
                         .rope = &rope,
                         .causal = true};
    const SnValue h = sn_nn_rms_norm(b, "input_layernorm", x, eps(b));
    sn_scope_push(b->g, "self_attn");
    x = sn_add(b->g, x, sn_nn_attention(b, &attn, h));
    sn_scope_pop(b->g);
    return sn_add(b->g, x, mlp(b, sn_nn_rms_norm(b, "post_attention_layernorm", x, eps(b))));
}

static SnValue decoder(SnBuild *b)
{
    const int64_t n = sn_nn_int(b, "num_hidden_layers", 32, 0, SN_MAX_LAYERS);
    sn_nn_begin(b);
    sn_scope_push(b->g, "%s", b->arch->prefix);
    SnValue x = sn_nn_layers(b, "layers", n, layer, sn_nn_words(b, "embed_tokens"));
    x = sn_nn_rms_norm(b, "norm", x, eps(b));
    sn_scope_pop(b->g);
    sn_nn_numbered(b, "hidden_states", n, x);
    return x;
}

static void model(SnBuild *b)
{
    sn_nn_output(b, "last_hidden_state", decoder(b));
}

static void causal_lm(SnBuild *b)
{
    sn_nn_next_token(
        b, sn_nn_decoder(b, "lm_head", "model.embed_tokens", (const char *const[]){NULL}, decoder(b)));
}

/* The last token that is no padding answers for its row. */
static void sequence(SnBuild *b)
{
    SnGraph *g = b->g;
    const SnValue x = decoder(b), ids = sn_nn_input(b, "input_ids"), dims[] = {b->batch, b->seq};
    const int64_t pad = sn_config_int(b->config, "pad_token_id", -1);
    SnValue counts = sn_iota(g, SN_I64, 1, 2, dims);
    if (ids.ref && pad >= 0)
        counts = sn_where(g, sn_ne(g, ids, sn_const_int(g, SN_I64, pad)), counts, sn_const_int(g, SN_I64, 0));
    const SnValue at[] = {sn_iota(g, SN_I64, 0, 1, dims), sn_reduce(g, "max", counts, 1, &(int){1}, false)};
    const SnValue last = sn_gather(g, x, 2, (const int[]){0, 1}, at, NULL);
    sn_nn_classify(b, sn_nn_head_linear(b, "score", last, sn_nn_labels(b), false));
}

static void token(SnBuild *b)
{
    sn_nn_tag(b, sn_nn_head_linear(b, "score", decoder(b), sn_nn_labels(b), true));
}

static void question(SnBuild *b)
{
    sn_nn_answer(b, sn_nn_head_linear(b, "qa_outputs", decoder(b), 2, true));
}

const SnArch sn_arch_llama[] = {
    {"llama", "LlamaModel", "feature-extraction", "model", model},
    {"llama", "LlamaForCausalLM", "text-generation", "model", causal_lm},
    {"llama", "LlamaForSequenceClassification", "text-classification", "model", sequence},
    {"llama", "LlamaForTokenClassification", "token-classification", "model", token},
    {"llama", "LlamaForQuestionAnswering", "question-answering", "transformer", question},
    {0},
};
