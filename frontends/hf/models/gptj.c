/* gptj.c -- GPT-J: attention and MLP side by side under one norm, neighbouring dims of a head turn together.
 *
 * Wang & Komatsuzaki 2021, github.com/kingoflolz/mesh-transformer-jax. */
#include "frontends/hf/layers.h"

#include "ops/ops.h"

static SnValue layer(SnBuild *b, SnValue x, int64_t i)
{
    (void)i;
    const int64_t width = sn_nn_dim(b, x, 2), heads = sn_nn_int(b, "num_attention_heads", 16, 1, 1 << 16);
    SnRope rope = sn_nn_rope_plain(b, 10000, sn_nn_int(b, "rotary_dim", 64, 1, width));
    rope.pairs = true;
    const SnAttn attn = {.heads = heads,
                         .q = "q_proj",
                         .k = "k_proj",
                         .v = "v_proj",
                         .o = "out_proj",
                         .rope = &rope,
                         .causal = true,
                         .dropout = sn_config_float(b->config, "attn_pdrop", 0)};
    const double resid = sn_config_float(b->config, "resid_pdrop", 0);
    const SnValue h = sn_nn_ln(b, "ln_1", x);
    sn_scope_push(b->g, "attn");
    x = sn_add(b->g, x, sn_nn_dropout(b, sn_nn_attention(b, &attn, h), resid));
    sn_scope_pop(b->g);
    return sn_add(b->g, x,
                  sn_nn_dropout(b, sn_nn_gpt_mlp(b, "mlp.fc_in", "mlp.fc_out", "gelu_new", h), resid));
}

static SnValue embed(SnBuild *b, SnValue words)
{
    return sn_nn_dropout(b, sn_nn_gpt_types(b, words), sn_config_float(b->config, "embd_pdrop", 0));
}

static const SnFamily gptj = SN_GPT_FAMILY(sn_nn_lm_head_biased, "wte", embed, 28);

const SnArch sn_arch_gptj[] = {
    {"gptj", "GPTJModel", "feature-extraction", "transformer", sn_head_hidden, &gptj},
    {"gptj", "GPTJForCausalLM", "text-generation", "transformer", sn_head_next_word, &gptj},
    {"gptj", "GPTJForSequenceClassification", "text-classification", "transformer", sn_head_last, &gptj},
    {"gptj", "GPTJForQuestionAnswering", "question-answering", "transformer", sn_head_question, &gptj},
    {0},
};
