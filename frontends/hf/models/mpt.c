/* mpt.c -- MPT: pre-norm decoder without biases, with ALiBi, perhaps with queries, keys and values clipped.
 * As Transformers has it: qk_ln, alibi_bias_max and learned positions change nothing.
 *
 * MosaicML 2023, "Introducing MPT-7B". */
#include "frontends/hf/layers.h"

#include "ops/ops.h"

/* A number of attn_config. */
static double number(const SnBuild *b, const char *key, double otherwise)
{
    return sn_json_number_of(sn_config_get(b->config, "attn_config"), key, otherwise);
}

/* A query that sees nothing is spread evenly over all keys by scores that are filled in: it learns of none.
 */
static SnValue seeing(SnBuild *b, SnValue q)
{
    SnGraph *g = b->g;
    const SnValue mask = sn_nn_input(b, "attention_mask"), one = sn_const_int(g, SN_I64, 1);
    if (!b->trained || !mask.ref || b->before)
        return q;
    const SnValue seen = sn_cumsum(g, sn_cast(g, mask, SN_I64), 1, false, false);
    const SnValue sees = sn_reshape(g, sn_ge(g, seen, one), 4, (SnValue[]){b->batch, one, b->seq, one});
    return sn_where(g, sees, q, sn_const(g, sn_value_dtype(g, q), 0));
}

static SnValue layer(SnBuild *b, SnValue x, int64_t i)
{
    (void)i;
    const double clip = number(b, "clip_qkv", 0);
    const int64_t heads = sn_nn_int(b, "num_attention_heads", 16, 1, 1 << 16);
    const double share = number(b, "attn_pdrop", 0);
    const SnAttn attn = {.heads = heads,
                         .o = "attn.out_proj",
                         .scale = number(b, "softmax_scale", 0),
                         .causal = true,
                         .slopes = sn_nn_alibi_slopes(b, heads),
                         .dropout = share};
    SnValue qkv = sn_nn_linear(b, "attn.Wqkv", sn_nn_ln(b, "norm_1", x));
    if (clip != 0)
        qkv = sn_clamp(b->g, qkv, -clip, clip);
    SnQkv parts = sn_nn_split_qkv(b, qkv, heads, heads, false);
    parts.q = seeing(b, parts.q);
    const SnValue seen = sn_nn_attend_qkv(b, &attn, parts);
    x = sn_add(b->g, x, sn_nn_dropout(b, seen, share));
    const SnValue h = sn_nn_ln(b, "norm_2", x);
    return sn_add(b->g, x,
                  sn_nn_dropout(b, sn_nn_gpt_mlp(b, "ffn.up_proj", "ffn.down_proj", "gelu", h), share));
}

static SnValue embed(SnBuild *b, SnValue words)
{
    b->max_seq = sn_nn_int(b, "max_seq_len", 2048, 1, INT32_MAX);
    return words;
}

static const SnFamily mpt = {.encoder = sn_nn_decode,
                             .words = sn_nn_lm_head,
                             .layer = layer,
                             .norm = sn_nn_ln,
                             .table = "wte",
                             .layers = "blocks",
                             .last = "norm_f",
                             .embed = embed,
                             .nlayer = 24};

const SnArch sn_arch_mpt[] = {
    {"mpt", "MptModel", "feature-extraction", "transformer", sn_head_hidden, &mpt},
    {"mpt", "MptForCausalLM", "text-generation", "transformer", sn_head_next_word, &mpt},
    {"mpt", "MptForSequenceClassification", "text-classification", "transformer", sn_head_last, &mpt},
    {"mpt", "MptForTokenClassification", "token-classification", "transformer", sn_head_token, &mpt},
    {"mpt", "MptForQuestionAnswering", "question-answering", "transformer", sn_head_question, &mpt},
    {0},
};
