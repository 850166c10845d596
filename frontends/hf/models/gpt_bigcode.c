/* gpt_bigcode.c -- GPT-2 with one key and one value for all heads (StarCoder, SantaCoder).
 *
 * Ben Allal et al. 2023, arXiv:2301.03988; multi-query attention: Shazeer 2019, arXiv:1911.02150. */
#include "frontends/hf/layers.h"

#include "ops/ops.h"

static SnValue layer(SnBuild *b, SnValue x, int64_t i)
{
    (void)i;
    const int64_t heads = sn_nn_int(b, "num_attention_heads", 12, 1, 1 << 16);
    const int64_t kv_heads = sn_config_bool(b->config, "multi_query", true) ? 1 : heads;
    const SnAttn attn = {.heads = heads,
                         .kv_heads = kv_heads,
                         .o = "attn.c_proj",
                         .scale = sn_config_bool(b->config, "scale_attn_weights", true) ? 0 : 1,
                         .causal = true,
                         .dropout = sn_config_float(b->config, "attn_pdrop", 0.1)};
    const double resid = sn_config_float(b->config, "resid_pdrop", 0.1);
    const SnValue h = sn_nn_ln(b, "ln_1", x);
    const SnQkv qkv = sn_nn_split_qkv(b, sn_nn_linear(b, "attn.c_attn", h), heads, kv_heads, true);
    x = sn_add(b->g, x, sn_nn_dropout(b, sn_nn_attend_qkv(b, &attn, qkv), resid));
    const SnValue m = sn_nn_ln(b, "ln_2", x);
    const SnValue thought = sn_nn_gpt_mlp(b, "mlp.c_fc", "mlp.c_proj", "gelu_pytorch_tanh", m);
    return sn_add(b->g, x, sn_nn_dropout(b, thought, resid));
}

static SnValue embed(SnBuild *b, SnValue words)
{
    return sn_nn_dropout(b, sn_nn_gpt_places(b, words), sn_config_float(b->config, "embd_pdrop", 0.1));
}

static const SnFamily big = SN_GPT_FAMILY(sn_nn_lm_head, "wte", embed, 12);

const SnArch sn_arch_gpt_bigcode[] = {
    {"gpt_bigcode", "GPTBigCodeModel", "feature-extraction", "transformer", sn_head_hidden, &big},
    {"gpt_bigcode", "GPTBigCodeForCausalLM", "text-generation", "transformer", sn_head_next_word, &big},
    {"gpt_bigcode", "GPTBigCodeForSequenceClassification", "text-classification", "transformer", sn_head_last,
     &big},
    {"gpt_bigcode", "GPTBigCodeForTokenClassification", "token-classification", "transformer", sn_head_token,
     &big},
    {0},
};
