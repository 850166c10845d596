/* gpt2.c -- GPT-2: pre-norm decoder with learned positions; its projections are stored [in, out].
 *
 * Radford et al. 2019, "Language Models are Unsupervised Multitask Learners". */
#include "frontends/hf/layers.h"

#include "ops/ops.h"

#include <math.h>

/* Scores may be divided by the number of the layer too (Mistral's GPT-2, for training in f16). */
static double scale(SnBuild *b, int64_t head_dim, int64_t layer)
{
    const bool by_width = sn_config_bool(b->config, "scale_attn_weights", true);
    const bool by_layer = sn_config_bool(b->config, "scale_attn_by_inverse_layer_idx", false);
    return (by_width ? 1 / sqrt((double)head_dim) : 1) / (by_layer ? (double)layer + 1 : 1);
}

static SnValue resid(SnBuild *b, SnValue x)
{
    return sn_nn_dropout(b, x, sn_config_float(b->config, "resid_pdrop", 0.1));
}

static SnValue mlp(SnBuild *b, SnValue x)
{
    const char *act = sn_config_string(b->config, "hidden_act", "gelu_new");
    return resid(b, sn_nn_conv1d(b, "mlp.c_proj", sn_nn_act(b, act, sn_nn_conv1d(b, "mlp.c_fc", x))));
}

static SnValue layer(SnBuild *b, SnValue x, int64_t i)
{
    const int64_t heads = sn_nn_int(b, "num_attention_heads", 12, 1, 1 << 16);
    const SnValue h = sn_nn_ln(b, "ln_1", x);
    const SnQkv qkv = sn_nn_split_qkv(b, sn_nn_conv1d(b, "attn.c_attn", h), heads, heads, false);
    const SnAttn attn = {.heads = heads,
                         .scale = scale(b, sn_nn_dim(b, qkv.q, 3), i),
                         .causal = true,
                         .dropout = sn_config_float(b->config, "attn_pdrop", 0.1)};
    x = sn_add(b->g, x, resid(b, sn_nn_conv1d(b, "attn.c_proj", sn_nn_attend_qkv(b, &attn, qkv))));
    return sn_add(b->g, x, mlp(b, sn_nn_ln(b, "ln_2", x)));
}

static SnValue embed(SnBuild *b, SnValue words)
{
    return sn_nn_dropout(b, sn_nn_gpt_places(b, words), sn_config_float(b->config, "embd_pdrop", 0.1));
}

static const SnFamily gpt2 = SN_GPT_FAMILY(sn_nn_lm_head, "wte", embed, 12);

const SnArch sn_arch_gpt2[] = {
    {"gpt2", "GPT2Model", "feature-extraction", "transformer", sn_head_hidden, &gpt2},
    {"gpt2", "GPT2LMHeadModel", "text-generation", "transformer", sn_head_next_word, &gpt2},
    {"gpt2", "GPT2ForSequenceClassification", "text-classification", "transformer", sn_head_last, &gpt2},
    {"gpt2", "GPT2ForTokenClassification", "token-classification", "transformer", sn_head_token, &gpt2},
    {"gpt2", "GPT2ForQuestionAnswering", "question-answering", "transformer", sn_head_question, &gpt2},
    {0},
};
