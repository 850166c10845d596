/* gpt_neox.c -- GPT-NeoX, Pythia: attention and MLP side by side, rotary positions in a part of each head.
 *
 * Black et al. 2022, arXiv:2204.06745. */
#include "frontends/hf/adapter.h"

#include "ops/ops.h"

static SnValue dropout(SnBuild *b, SnValue x)
{
    return sn_nn_dropout(b, x, sn_config_float(b->config, "hidden_dropout", 0));
}

static SnValue layer(SnBuild *b, SnValue x, int64_t i)
{
    (void)i;
    const int64_t heads = sn_nn_int(b, "num_attention_heads", 64, 1, 1 << 16);
    SnValue h = sn_nn_ln(b, "input_layernorm", x);
    const SnQkv qkv = sn_nn_split_qkv(b, sn_nn_linear(b, "attention.query_key_value", h), heads, heads, true);
    const double theta = sn_config_float(b->config, "rope_theta", 10000);
    const SnRope rope = sn_nn_rope_part(b, NULL, theta, 0.25, sn_nn_dim(b, qkv.q, 3));
    const SnAttn attn = {.heads = heads,
                         .o = "attention.dense",
                         .rope = &rope,
                         .causal = true,
                         .dropout = sn_config_float(b->config, "attention_dropout", 0)};
    const SnValue seen = sn_add(b->g, x, dropout(b, sn_nn_attend_qkv(b, &attn, qkv)));
    const bool is_parallel = sn_config_bool(b->config, "use_parallel_residual", true);
    h = sn_nn_ln(b, "post_attention_layernorm", is_parallel ? x : seen);
    return sn_add(b->g, seen,
                  dropout(b, sn_nn_gpt_mlp(b, "mlp.dense_h_to_4h", "mlp.dense_4h_to_h", "gelu", h)));
}

/* The first checkpoints call their head embed_out. */
static SnValue words(SnBuild *b, SnValue x)
{
    sn_scope_push(b->g, "embed_out");
    const SnValue w = sn_nn_param_or_none(b, "weight");
    const SnValue y = w.ref ? sn_nn_adapted(b, b->head_quant, x, w, sn_none(), false) : sn_none();
    sn_scope_pop(b->g);
    return w.ref ? y : sn_nn_lm_head(b, x);
}

static const SnFamily neox = {.encoder = sn_nn_decode,
                              .words = words,
                              .layer = layer,
                              .norm = sn_nn_ln,
                              .table = "embed_in",
                              .last = "final_layer_norm",
                              .embed = dropout,
                              .nlayer = 44};

const SnArch sn_arch_gpt_neox[] = {
    {"gpt_neox", "GPTNeoXModel", "feature-extraction", "gpt_neox", sn_head_hidden, &neox},
    {"gpt_neox", "GPTNeoXForCausalLM", "text-generation", "gpt_neox", sn_head_next_word, &neox},
    {"gpt_neox", "GPTNeoXForSequenceClassification", "text-classification", "gpt_neox", sn_head_last, &neox},
    {"gpt_neox", "GPTNeoXForTokenClassification", "token-classification", "gpt_neox", sn_head_token, &neox},
    {"gpt_neox", "GPTNeoXForQuestionAnswering", "question-answering", "gpt_neox", sn_head_question, &neox},
    {0},
};
