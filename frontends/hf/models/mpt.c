/* mpt.c -- MPT: pre-norm decoder without biases, with ALiBi, perhaps with queries, keys and values clipped.
 * As Transformers has it: qk_ln, alibi_bias_max and learned positions change nothing.
 *
 * MosaicML 2023, "Introducing MPT-7B". */
#include "frontends/hf/layers.h"

#include "ops/ops.h"

/* A number of attn_config. */
static double number(const SnBuild *b, const char *key, double otherwise)
{
    double v = otherwise;
    return sn_json_number(sn_json_get(sn_config_get(b->config, "attn_config"), key), &v) ? v : otherwise;
}

static SnValue layer(SnBuild *b, SnValue x, int64_t i)
{
    (void)i;
    const double eps = sn_nn_gpt_eps(b), clip = number(b, "clip_qkv", 0);
    const int64_t heads = sn_nn_int(b, "num_attention_heads", 16, 1, 1 << 16);
    const SnAttn attn = {.heads = heads,
                         .o = "attn.out_proj",
                         .scale = number(b, "softmax_scale", 0),
                         .causal = true,
                         .slopes = sn_nn_alibi_slopes(b, heads)};
    SnValue qkv = sn_nn_linear(b, "attn.Wqkv", sn_nn_layer_norm(b, "norm_1", x, eps));
    if (clip != 0)
        qkv = sn_clamp(b->g, qkv, -clip, clip);
    x = sn_add(b->g, x, sn_nn_attend_qkv(b, &attn, sn_nn_split_qkv(b, qkv, heads, heads, false)));
    const SnValue h = sn_nn_layer_norm(b, "norm_2", x, eps);
    return sn_add(b->g, x, sn_nn_gpt_mlp(b, "ffn.up_proj", "ffn.down_proj", "gelu", h));
}

static SnValue decoder(SnBuild *b)
{
    sn_nn_begin(b);
    b->max_seq = sn_nn_int(b, "max_seq_len", 2048, 1, INT32_MAX);
    sn_scope_push(b->g, "%s", b->arch->prefix);
    const SnValue x = sn_nn_stack(b, "blocks", layer, "norm_f", sn_nn_words(b, "wte"));
    sn_scope_pop(b->g);
    return x;
}

static SnValue words(SnBuild *b, SnValue x)
{
    return sn_nn_gpt_logits(b, "wte", x);
}

static const SnFamily mpt = {.encoder = decoder, .words = words};

const SnArch sn_arch_mpt[] = {
    {"mpt", "MptModel", "feature-extraction", "transformer", sn_head_hidden, &mpt},
    {"mpt", "MptForCausalLM", "text-generation", "transformer", sn_head_next_word, &mpt},
    {"mpt", "MptForSequenceClassification", "text-classification", "transformer", sn_head_last, &mpt},
    {"mpt", "MptForTokenClassification", "token-classification", "transformer", sn_head_token, &mpt},
    {"mpt", "MptForQuestionAnswering", "question-answering", "transformer", sn_head_question, &mpt},
    {0},
};
