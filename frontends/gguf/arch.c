/* arch.c -- the rows of architectures, and names by patterns. */
#include "frontends/gguf/arch.h"

static const SnGgufPair keys[] = {
    {"context_length", "max_position_embeddings"},
    {"block_count", "num_hidden_layers"},
    {"embedding_length", "hidden_size"},
    {"feed_forward_length", "intermediate_size"},
    {"attention.head_count", "num_attention_heads"},
    {"attention.head_count_kv", "num_key_value_heads"},
    {"attention.key_length", "head_dim"},
    {"attention.layer_norm_rms_epsilon", "rms_norm_eps"},
    {"attention.layer_norm_epsilon", "layer_norm_eps"},
    {"attention.sliding_window", "sliding_window"},
    {"attn_logit_softcapping", "attn_logit_softcapping"},
    {"final_logit_softcapping", "final_logit_softcapping"},
    {"expert_count", "num_experts"},
    {"expert_used_count", "num_experts_per_tok"},
    {"expert_feed_forward_length", "moe_intermediate_size"},
    {"expert_shared_feed_forward_length", "shared_expert_intermediate_size"},
    {"vocab_size", "vocab_size"},
    {NULL, NULL},
};
static const SnGgufPair mixtral_keys[] = {{"expert_count", "num_local_experts"}, {NULL, NULL}};
static const SnGgufPair starcoder_keys[] = {{"attention.layer_norm_epsilon", "norm_epsilon"}, {NULL, NULL}};
static const SnGgufPair cohere_keys[] = {{"logit_scale", "logit_scale"}, {NULL, NULL}};
static const SnGgufPair granite_keys[] = {
    {"logit_scale", "logits_scaling"},
    {"residual_scale", "residual_multiplier"},
    {"embedding_scale", "embedding_multiplier"},
    {"attention.scale", "attention_multiplier"},
    {NULL, NULL},
};

static const SnGgufPair names[] = {
    {"token_embd", "model.embed_tokens"},
    {"output_norm", "model.norm"},
    {"output", "lm_head"},
    {"blk.#.attn_norm", "model.layers.#.input_layernorm"},
    {"blk.#.attn_q", "model.layers.#.self_attn.q_proj"},
    {"blk.#.attn_k", "model.layers.#.self_attn.k_proj"},
    {"blk.#.attn_v", "model.layers.#.self_attn.v_proj"},
    {"blk.#.attn_output", "model.layers.#.self_attn.o_proj"},
    {"blk.#.attn_q_norm", "model.layers.#.self_attn.q_norm"},
    {"blk.#.attn_k_norm", "model.layers.#.self_attn.k_norm"},
    {"blk.#.ffn_norm", "model.layers.#.post_attention_layernorm"},
    {"blk.#.ffn_gate", "model.layers.#.mlp.gate_proj"},
    {"blk.#.ffn_up", "model.layers.#.mlp.up_proj"},
    {"blk.#.ffn_down", "model.layers.#.mlp.down_proj"},
    {"blk.#.ffn_gate_inp", "model.layers.#.mlp.gate"},
    {"blk.#.ffn_gate_exps", "model.layers.#.mlp.experts.@.gate_proj"},
    {"blk.#.ffn_up_exps", "model.layers.#.mlp.experts.@.up_proj"},
    {"blk.#.ffn_down_exps", "model.layers.#.mlp.experts.@.down_proj"},
    {"blk.#.ffn_gate_inp_shexp", "model.layers.#.mlp.shared_expert_gate"},
    {"blk.#.ffn_gate_shexp", "model.layers.#.mlp.shared_expert.gate_proj"},
    {"blk.#.ffn_up_shexp", "model.layers.#.mlp.shared_expert.up_proj"},
    {"blk.#.ffn_down_shexp", "model.layers.#.mlp.shared_expert.down_proj"},
    {NULL, NULL},
};
static const SnGgufPair mixtral_names[] = {
    {"blk.#.ffn_gate_inp", "model.layers.#.block_sparse_moe.gate"},
    {"blk.#.ffn_gate_exps", "model.layers.#.block_sparse_moe.experts.@.w1"},
    {"blk.#.ffn_down_exps", "model.layers.#.block_sparse_moe.experts.@.w2"},
    {"blk.#.ffn_up_exps", "model.layers.#.block_sparse_moe.experts.@.w3"},
    {NULL, NULL},
};
static const SnGgufPair norms_behind[] = {
    {"blk.#.ffn_norm", "model.layers.#.pre_feedforward_layernorm"},
    {"blk.#.post_attention_norm", "model.layers.#.post_attention_layernorm"},
    {"blk.#.post_ffw_norm", "model.layers.#.post_feedforward_layernorm"},
    {NULL, NULL},
};
static const SnGgufPair phi_names[] = {
    {"output_norm", "model.final_layernorm"},
    {"blk.#.attn_output", "model.layers.#.self_attn.dense"},
    {"blk.#.ffn_up", "model.layers.#.mlp.fc1"},
    {"blk.#.ffn_down", "model.layers.#.mlp.fc2"},
    {NULL, NULL},
};
static const SnGgufPair phi3_names[] = {
    {"blk.#.attn_qkv", "model.layers.#.self_attn.qkv_proj"},
    {"blk.#.ffn_up", "model.layers.#.mlp.gate_up_proj"},
    {NULL, NULL},
};
static const SnGgufPair starcoder_names[] = {
    {"blk.#.ffn_up", "model.layers.#.mlp.c_fc"},
    {"blk.#.ffn_down", "model.layers.#.mlp.c_proj"},
    {NULL, NULL},
};

static const SnGgufPair gpt2_keys[] = {
    {"context_length", "n_positions"},
    {"embedding_length", "n_embd"},
    {"block_count", "n_layer"},
    {"attention.head_count", "n_head"},
    {"feed_forward_length", "n_inner"},
    {"attention.layer_norm_epsilon", "layer_norm_epsilon"},
    {NULL, NULL},
};
static const SnGgufPair gpt2_names[] = {
    {"token_embd", "transformer.wte"},
    {"position_embd", "transformer.wpe"},
    {"output_norm", "transformer.ln_f"},
    {"blk.#.attn_norm", "transformer.h.#.ln_1"},
    {"blk.#.attn_qkv", "transformer.h.#.attn.c_attn", SN_GGUF_TURNED},
    {"blk.#.attn_output", "transformer.h.#.attn.c_proj", SN_GGUF_TURNED},
    {"blk.#.ffn_norm", "transformer.h.#.ln_2"},
    {"blk.#.ffn_up", "transformer.h.#.mlp.c_fc", SN_GGUF_TURNED},
    {"blk.#.ffn_down", "transformer.h.#.mlp.c_proj", SN_GGUF_TURNED},
    {NULL, NULL},
};
static const SnGgufPair bloom_keys[] = {
    {"context_length", "seq_length"},
    {"block_count", "n_layer"},
    {"attention.head_count", "n_head"},
    {"attention.layer_norm_epsilon", "layer_norm_epsilon"},
    {NULL, NULL},
};
static const SnGgufPair bloom_names[] = {
    {"token_embd", "transformer.word_embeddings"},
    {"token_embd_norm", "transformer.word_embeddings_layernorm"},
    {"output_norm", "transformer.ln_f"},
    {"blk.#.attn_norm", "transformer.h.#.ln_mlp", SN_GGUF_BESIDE},
    {"blk.#.attn_norm", "transformer.h.#.input_layernorm"},
    {"blk.#.attn_qkv", "transformer.h.#.self_attention.query_key_value", SN_GGUF_BY_HEAD},
    {"blk.#.attn_output", "transformer.h.#.self_attention.dense"},
    {"blk.#.ffn_norm", "transformer.h.#.post_attention_layernorm"},
    {"blk.#.attn_norm_2", "transformer.h.#.ln_attn"},
    {"blk.#.ffn_up", "transformer.h.#.mlp.dense_h_to_4h"},
    {"blk.#.ffn_down", "transformer.h.#.mlp.dense_4h_to_h"},
    {NULL, NULL},
};
static const SnGgufPair falcon_keys[] = {
    {"attention.head_count_kv", "num_kv_heads"},
    {"attention.layer_norm_epsilon", "layer_norm_epsilon"},
    {NULL, NULL},
};
static const SnGgufPair neox_keys[] = {
    {"use_parallel_residual", "use_parallel_residual"},
    {NULL, NULL},
};
static const SnGgufPair neox_names[] = {
    {"token_embd", "gpt_neox.embed_in"},
    {"output_norm", "gpt_neox.final_layer_norm"},
    {"output", "embed_out"},
    {"blk.#.attn_norm", "gpt_neox.layers.#.input_layernorm"},
    {"blk.#.attn_qkv", "gpt_neox.layers.#.attention.query_key_value", SN_GGUF_BY_HEAD},
    {"blk.#.attn_output", "gpt_neox.layers.#.attention.dense"},
    {"blk.#.ffn_norm", "gpt_neox.layers.#.post_attention_layernorm"},
    {"blk.#.ffn_up", "gpt_neox.layers.#.mlp.dense_h_to_4h"},
    {"blk.#.ffn_down", "gpt_neox.layers.#.mlp.dense_4h_to_h"},
    {NULL, NULL},
};

/* What only attention has is hidden. */
#define STATE_KEYS                                                                                           \
    {"attention.head_count", "attention_heads"}, {"attention.key_length", "attention_head_dim"},             \
        {"feed_forward_length", "feed_forward"}, {"attention.layer_norm_epsilon", "attention_norm_eps"},     \
        {"attention.layer_norm_rms_epsilon", "layer_norm_epsilon"}, {"ssm.conv_kernel", "conv_kernel"},      \
    {                                                                                                        \
        "ssm.state_size", "state_size"                                                                       \
    }
#define STATE_NAMES                                                                                          \
    {"token_embd", "backbone.embeddings"}, {"token_embd", "backbone.embedding"},                             \
        {"output_norm", "backbone.norm_f"}, {"blk.#.attn_norm", "backbone.layers.#.norm"},                   \
        {"blk.#.ssm_in", "backbone.layers.#.mixer.in_proj"},                                                 \
        {"blk.#.ssm_conv1d", "backbone.layers.#.mixer.conv1d", SN_GGUF_SAME, SN_GGUF_NO_MIDDLE},             \
    {                                                                                                        \
        "blk.#.ssm_out", "backbone.layers.#.mixer.out_proj"                                                  \
    }
static const SnGgufPair mamba_keys[] = {STATE_KEYS,
                                        {"ssm.inner_size", "intermediate_size"},
                                        {"ssm.time_step_rank", "time_step_rank"},
                                        {NULL, NULL}};
static const SnGgufPair mamba_names[] = {STATE_NAMES,
                                         {"blk.#.ssm_x", "backbone.layers.#.mixer.x_proj"},
                                         {"blk.#.ssm_dt", "backbone.layers.#.mixer.dt_proj"},
                                         {"blk.#.ssm_a", "backbone.layers.#.mixer.A_log", SN_GGUF_DECAY},
                                         {"blk.#.ssm_d", "backbone.layers.#.mixer.D"},
                                         {NULL, NULL}};
static const SnGgufPair mamba2_keys[] = {
    STATE_KEYS, {"ssm.time_step_rank", "num_heads"}, {"ssm.group_count", "n_groups"}, {NULL, NULL}};
static const SnGgufPair mamba2_names[] = {
    STATE_NAMES,
    {"blk.#.ssm_dt.bias", "backbone.layers.#.mixer.dt_bias"},
    {"blk.#.ssm_a", "backbone.layers.#.mixer.A_log", SN_GGUF_DECAY, SN_GGUF_COLUMN},
    {"blk.#.ssm_d", "backbone.layers.#.mixer.D", SN_GGUF_SAME, SN_GGUF_COLUMN},
    {"blk.#.ssm_norm", "backbone.layers.#.mixer.norm", SN_GGUF_SAME, SN_GGUF_GROUPED},
    {NULL, NULL},
};

#define GELU_GATED ",\"hidden_act\":\"gelu_pytorch_tanh\",\"hidden_activation\":\"gelu_pytorch_tanh\""

static const SnGgufArch archs[] = {
    {"llama", "mixtral", "MixtralForCausalLM", SN_GGUF_PERMUTED | SN_GGUF_EXPERTS, mixtral_keys,
     mixtral_names, ""},
    {"llama", "llama", "LlamaForCausalLM", SN_GGUF_PERMUTED | SN_GGUF_NO_EXPERTS, NULL, NULL, ""},
    {"llama", "mistral", "MistralForCausalLM", SN_GGUF_PERMUTED | SN_GGUF_NO_EXPERTS, NULL, NULL, ""},
    {"qwen2", "qwen2", "Qwen2ForCausalLM", 0, NULL, NULL, ""},
    {"qwen2moe", "qwen2_moe", "Qwen2MoeForCausalLM", 0, NULL, NULL, ""},
    {"qwen3", "qwen3", "Qwen3ForCausalLM", 0, NULL, NULL, ""},
    {"qwen3moe", "qwen3_moe", "Qwen3MoeForCausalLM", 0, NULL, NULL, ",\"norm_topk_prob\":true"},
    {"gemma", "gemma", "GemmaForCausalLM", SN_GGUF_ONE_ADDED, NULL, NULL, GELU_GATED},
    {"gemma2", "gemma2", "Gemma2ForCausalLM", SN_GGUF_ONE_ADDED | SN_GGUF_GEMMA, NULL, norms_behind,
     GELU_GATED},
    {"gemma3", "gemma3_text", "Gemma3ForCausalLM", SN_GGUF_ONE_ADDED | SN_GGUF_GEMMA, NULL, norms_behind,
     GELU_GATED ",\"sliding_window_pattern\":6,\"rope_local_base_freq\":10000"},
    {"phi2", "phi", "PhiForCausalLM", 0, NULL, phi_names, ",\"hidden_act\":\"gelu_new\""},
    {"phimoe", "phimoe", "PhimoeForCausalLM", 0, mixtral_keys, mixtral_names, ""},
    {"phi3", "phi3", "Phi3ForCausalLM", 0, NULL, phi3_names, ""},
    {"stablelm", "stablelm", "StableLmForCausalLM", 0, NULL, NULL, ""},
    {"olmo2", "olmo2", "Olmo2ForCausalLM", 0, NULL, norms_behind, ""},
    {"starcoder2", "starcoder2", "Starcoder2ForCausalLM", 0, starcoder_keys, starcoder_names, ""},
    {"command-r", "cohere", "CohereForCausalLM", 0, cohere_keys, NULL, ""},
    {"granite", "granite", "GraniteForCausalLM", SN_GGUF_PERMUTED, granite_keys, NULL, ""},
    {"smollm3", "smollm3", "SmolLM3ForCausalLM", SN_GGUF_PERMUTED, NULL, NULL, ""},
    {"gpt2", "gpt2", "GPT2LMHeadModel", SN_GGUF_NO_ROPE | SN_GGUF_TIED, gpt2_keys, gpt2_names,
     ",\"conv1d_rows\":true"},
    {"bloom", "bloom", "BloomForCausalLM", SN_GGUF_NO_ROPE | SN_GGUF_TIED, bloom_keys, bloom_names,
     ",\"qkv_by_kind\":true"},
    {"falcon", "falcon", "FalconForCausalLM", SN_GGUF_TIED, falcon_keys, bloom_names,
     ",\"qkv_by_kind\":true,\"parallel_attn\":true,\"alibi\":false,\"bias\":false"},
    {"gptneox", "gpt_neox", "GPTNeoXForCausalLM", SN_GGUF_PART, neox_keys, neox_names,
     ",\"qkv_by_kind\":true"},
    {"mamba", "mamba", "MambaForCausalLM", SN_GGUF_NO_ROPE | SN_GGUF_TIED | SN_GGUF_STATES, mamba_keys,
     mamba_names, ""},
    {"mamba", "falcon_mamba", "FalconMambaForCausalLM", SN_GGUF_NO_ROPE | SN_GGUF_STATES, mamba_keys,
     mamba_names, ""},
    {"mamba2", "mamba2", "Mamba2ForCausalLM", SN_GGUF_NO_ROPE | SN_GGUF_STATES, mamba2_keys, mamba2_names,
     ""},
};

/* ---- rows ---- */

const SnGgufArch *sn_gguf_arch(const char *gguf, bool has_experts)
{
    for (size_t i = 0; i < SN_COUNT(archs); i++)
        if (strcmp(archs[i].gguf, gguf) == 0 &&
            !(archs[i].flags & (has_experts ? SN_GGUF_NO_EXPERTS : SN_GGUF_EXPERTS)))
            return &archs[i];
    return NULL;
}

const SnGgufArch *sn_gguf_arch_of_type(const char *model_type)
{
    for (size_t i = 0; i < SN_COUNT(archs); i++)
        if (strcmp(archs[i].type, model_type) == 0)
            return &archs[i];
    return NULL;
}

static const SnGgufPair *pair_at(const SnGgufPair *own, const SnGgufPair *common, size_t i)
{
    size_t n = 0;
    while (own && own[n].gguf)
        n++;
    if (i < n)
        return &own[i];
    while (i-- > n && common->gguf)
        common++;
    return common->gguf ? common : NULL;
}

const SnGgufPair *sn_gguf_key(const SnGgufArch *a, size_t i)
{
    return pair_at(a->key, keys, i);
}

const SnGgufPair *sn_gguf_name(const SnGgufArch *a, size_t i)
{
    return pair_at(a->name, names, i);
}

/* ---- names ---- */

static size_t digits(SnBytes s)
{
    size_t n = 0;
    while (n < s.n && s.at[n] >= '0' && s.at[n] <= '9')
        n++;
    return n;
}

bool sn_gguf_match(const char *pattern, SnBytes name, SnGgufMatch *out)
{
    size_t at = 0;
    for (const char *p = pattern; *p; p++) {
        if (*p == '#' || *p == '@') {
            const SnBytes number = sn_bytes(name.at + at, digits(sn_bytes(name.at + at, name.n - at)));
            *(*p == '#' ? &out->number : &out->part) = number;
            if (number.n == 0)
                return false;
            at += number.n;
        } else if (at >= name.n || name.at[at++] != (uint8_t)*p) {
            return false;
        }
    }
    return at == name.n;
}

SnStatus sn_gguf_fill(SnArena *arena, const char *pattern, const SnGgufMatch *m, SnBytes suffix, SnBytes *out,
                      SnError *err)
{
    SnText t = {.memory = arena->memory};
    for (const char *p = pattern; *p; p++) {
        const SnBytes number = *p == '#' ? m->number : m->part;
        if (*p == '#' || *p == '@')
            sn_text_add(&t, (const char *)number.at, number.n);
        else
            sn_text_add(&t, p, 1);
    }
    sn_text_add(&t, (const char *)suffix.at, suffix.n);
    const char *own = t.failed ? NULL : sn_arena_strndup(arena, t.at, t.n);
    *out = sn_bytes(own, own ? t.n : 0);
    sn_text_clear(&t);
    SN_CHECK(own, err, SN_ENOMEM, "no memory for a tensor's name");
    return SN_OK;
}

size_t sn_gguf_suffix(SnBytes name)
{
    static const char *const suffix[] = {".weight", ".bias"};
    for (size_t i = 0; i < SN_COUNT(suffix); i++)
        if (sn_bytes_ends(name, suffix[i]))
            return strlen(suffix[i]);
    return 0;
}
