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

static SnValue words(SnBuild *b, SnValue x)
{
    return sn_nn_decoder(b, "lm_head", "model.embed_tokens", (const char *const[]){NULL}, x);
}

static const SnFamily llama = {.encoder = decoder, .words = words};

const SnArch sn_arch_llama[] = {
    {"llama", "LlamaModel", "feature-extraction", "model", sn_head_hidden, &llama},
    {"llama", "LlamaForCausalLM", "text-generation", "model", sn_head_next_word, &llama},
    {"llama", "LlamaForSequenceClassification", "text-classification", "model", sn_head_last, &llama},
    {"llama", "LlamaForTokenClassification", "token-classification", "model", sn_head_token_score, &llama},
    {"llama", "LlamaForQuestionAnswering", "question-answering", "transformer", sn_head_question, &llama},
    {0},
};
