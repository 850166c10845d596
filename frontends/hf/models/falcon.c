/* falcon.c -- Falcon: attention and MLP side by side; one key and value for all heads, or, in the new
 * architecture, for a group of them; rotary positions or ALiBi.
 *
 * Almazrouei et al. 2023, arXiv:2311.16867. */
#include "frontends/hf/layers.h"

#include "ops/ops.h"

#include <math.h>

static bool flag(const SnBuild *b, const char *key, bool otherwise)
{
    return sn_config_bool(b->config, key, otherwise);
}

static SnValue attention(SnBuild *b, SnValue h, bool is_new)
{
    const int64_t heads = sn_nn_int(b, "num_attention_heads", 71, 1, 1 << 16);
    const int64_t kv_heads = is_new                         ? sn_nn_int(b, "num_kv_heads", heads, 1, heads)
                             : flag(b, "multi_query", true) ? 1
                                                            : heads;
    const SnValue fused = sn_nn_linear(b, "self_attention.query_key_value", h);
    const SnQkv qkv = sn_nn_split_qkv(b, fused, heads, kv_heads, true);
    const int64_t head_dim = sn_nn_dim(b, qkv.q, 3);
    SnAttn attn = {.heads = heads, .kv_heads = kv_heads, .o = "self_attention.dense", .causal = true};
    SnRope rope;
    if (flag(b, "alibi", false)) {
        /* Slopes and what they add are bf16, then scaled with the scores. The library's eager attention,
         * which is the reference, adds it in the mask and then once more; its sdpa does so once. */
        attn.slopes = sn_cast(b->g, sn_nn_alibi_slopes(b, heads), SN_BF16);
        attn.alibi_scale = 2 / sqrt((double)head_dim);
        attn.alibi_counts = true;
        attn.dropout = sn_config_float(b->config, "attention_dropout", 0); /* nowhere else, as the library */
    } else {
        rope = sn_nn_rope_of(b, NULL, sn_config_float(b->config, "rope_theta", 10000), head_dim);
        attn.rope = &rope;
    }
    return sn_nn_attend_qkv(b, &attn, qkv);
}

static SnValue layer(SnBuild *b, SnValue x, int64_t i)
{
    (void)i;
    const bool is_new = flag(b, "new_decoder_architecture", false);
    const bool has_two = is_new && sn_config_int(b->config, "num_ln_in_parallel_attn", 2) == 2;
    const SnValue h = sn_nn_ln(b, has_two ? "ln_attn" : "input_layernorm", x);
    const bool is_parallel = is_new || flag(b, "parallel_attn", true);
    const SnValue said = attention(b, h, is_new);
    SnValue m = has_two ? sn_nn_ln(b, "ln_mlp", x) : h;
    if (!is_parallel) {
        x = sn_add(b->g, x, sn_nn_dropout(b, said, sn_config_float(b->config, "attention_dropout", 0)));
        m = sn_nn_ln(b, "post_attention_layernorm", x);
    }
    SnValue y = sn_nn_gpt_mlp(b, "mlp.dense_h_to_4h", "mlp.dense_4h_to_h", "gelu", m);
    y = is_parallel ? sn_add(b->g, y, said) : y;
    return sn_add(b->g, x, sn_nn_dropout(b, y, sn_config_float(b->config, "hidden_dropout", 0)));
}

static const SnFamily falcon = SN_GPT_FAMILY(sn_nn_lm_head, "word_embeddings", NULL, 32);

const SnArch sn_arch_falcon[] = {
    {"falcon", "FalconModel", "feature-extraction", "transformer", sn_head_hidden, &falcon},
    {"falcon", "FalconForCausalLM", "text-generation", "transformer", sn_head_next_word, &falcon},
    {"falcon", "FalconForSequenceClassification", "text-classification", "transformer", sn_head_last,
     &falcon},
    {"falcon", "FalconForTokenClassification", "token-classification", "transformer", sn_head_token, &falcon},
    {"falcon", "FalconForQuestionAnswering", "question-answering", "transformer", sn_head_question, &falcon},
    {0},
};
