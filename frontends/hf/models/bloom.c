/* bloom.c -- BLOOM: pre-norm decoder whose words are normalised too and whose positions are ALiBi's alone.
 *
 * Le Scao et al. 2022, arXiv:2211.05100. */
#include "frontends/hf/adapter.h"

#include "ops/ops.h"

/* A way out of a block. The library's sum of slices, slow_but_exact, leaves out its bias. */
static SnValue out(SnBuild *b, const char *name, SnValue x)
{
    if (!sn_config_bool(b->config, "slow_but_exact", false) ||
        sn_config_int(b->config, "pretraining_tp", 1) < 2)
        return sn_nn_linear(b, name, x);
    sn_scope_push(b->g, "%s", name);
    const SnValue w = sn_nn_narrow(b, sn_nn_param(b, "weight"));
    const SnValue y = sn_nn_adapted(b, b->quant, x, w, sn_none(), false);
    sn_scope_pop(b->g);
    return y;
}

static SnValue layer(SnBuild *b, SnValue x, int64_t i)
{
    (void)i;
    const int64_t heads = sn_nn_int(b, "num_attention_heads", 8, 1, 1 << 16);
    const bool from_norm = sn_config_bool(b->config, "apply_residual_connection_post_layernorm", false);
    const SnAttn attn = {.heads = heads,
                         .causal = true,
                         .slopes = sn_nn_alibi_slopes(b, heads),
                         .alibi_counts = true,
                         .dropout = sn_config_float(b->config, "attention_dropout", 0)};
    const double hidden = sn_config_float(b->config, "hidden_dropout", 0);
    SnValue h = sn_nn_ln(b, "input_layernorm", x);
    const SnValue fused = sn_nn_linear(b, "self_attention.query_key_value", h);
    const SnQkv qkv = sn_nn_split_qkv(b, fused, heads, heads, true);
    const SnValue seen = out(b, "self_attention.dense", sn_nn_attend_qkv(b, &attn, qkv));
    x = sn_add(b->g, from_norm ? h : x, sn_nn_dropout(b, seen, hidden));
    h = sn_nn_ln(b, "post_attention_layernorm", x);
    const SnValue wide = sn_nn_act(b, "gelu_pytorch_tanh", sn_nn_linear(b, "mlp.dense_h_to_4h", h));
    const SnValue y = out(b, "mlp.dense_4h_to_h", wide);
    return sn_add(b->g, from_norm ? h : x, sn_nn_dropout(b, y, hidden));
}

static SnValue embed(SnBuild *b, SnValue words)
{
    return sn_nn_ln(b, "word_embeddings_layernorm", words);
}

static const SnFamily bloom = SN_GPT_FAMILY(sn_nn_lm_head, "word_embeddings", embed, 2);

const SnArch sn_arch_bloom[] = {
    {"bloom", "BloomModel", "feature-extraction", "transformer", sn_head_hidden, &bloom},
    {"bloom", "BloomForCausalLM", "text-generation", "transformer", sn_head_next_word, &bloom},
    {"bloom", "BloomForSequenceClassification", "text-classification", "transformer", sn_head_last, &bloom},
    {"bloom", "BloomForTokenClassification", "token-classification", "transformer", sn_head_token, &bloom},
    {"bloom", "BloomForQuestionAnswering", "question-answering", "transformer", sn_head_question, &bloom},
    {0},
};
