/* modernbert.c -- ModernBERT: a pre-norm encoder with rotary positions, gated MLPs, and layers that see all
 * or only their neighbourhood in turn.
 *
 * Warner et al. 2024, arXiv:2412.13663. */
#include "frontends/hf/layers.h"

#include "ops/ops.h"

static double eps(const SnBuild *b)
{
    return sn_config_float(b->config, "norm_eps", 1e-5);
}

static SnValue part(SnBuild *b, SnValue x, int64_t i, int64_t n)
{
    const SnValue width = sn_idiv(b->g, sn_dim(b->g, x, -1), sn_const_int(b->g, SN_I64, n));
    return sn_slice_axis(b->g, x, -1, sn_mul(b->g, width, sn_const_int(b->g, SN_I64, i)), width);
}

/* layer_types; older configs say how often a layer sees everything. */
static bool is_local(const SnBuild *b, int64_t layer)
{
    const SnJson *types = sn_config_get(b->config, "layer_types");
    const int64_t period = sn_config_int(b->config, "global_attn_every_n_layers", 3);
    return types ? sn_json_is(sn_json_at(types, (uint32_t)layer), "sliding_attention")
                 : period > 0 && layer % period != 0;
}

static SnValue attention(SnBuild *b, SnValue x, bool local)
{
    const int64_t heads = sn_nn_int(b, "num_attention_heads", 12, 1, 1 << 16);
    const int64_t width = sn_nn_int(b, "hidden_size", 768, 1, 1 << 24);
    const double theta = local ? sn_config_float(b->config, "local_rope_theta", 1e4)
                               : sn_config_float(b->config, "global_rope_theta", 1.6e5);
    const SnRope rope =
        sn_nn_rope_of(b, local ? "sliding_attention" : "full_attention", theta, width / heads);
    const int64_t around = sn_nn_int(b, "local_attention", 128, 0, 1 << 24) / 2;
    const double share = sn_config_float(b->config, "attention_dropout", 0);
    const SnAttn attn = {.heads = heads, .window = local ? around + 1 : 0, .dropout = share};
    const SnValue qkv = sn_nn_linear(b, "attn.Wqkv", x);
    const SnValue q = sn_nn_rope(b, &rope, sn_nn_split_heads(b, part(b, qkv, 0, 3), heads));
    const SnValue k = sn_nn_rope(b, &rope, sn_nn_split_heads(b, part(b, qkv, 1, 3), heads));
    const SnValue v = sn_nn_split_heads(b, part(b, qkv, 2, 3), heads);
    const SnValue y = sn_nn_merge_heads(b, sn_nn_attend(b, &attn, q, k, v));
    return sn_nn_dropout(b, sn_nn_linear(b, "attn.Wo", y), share);
}

static SnValue layer(SnBuild *b, SnValue x, int64_t i)
{
    const char *act = sn_config_string(b->config, "hidden_act", "gelu");
    const SnValue h = i == 0 ? x : sn_nn_layer_norm(b, "attn_norm", x, eps(b));
    x = sn_add(b->g, x, attention(b, h, is_local(b, i)));
    const SnValue wide = sn_nn_linear(b, "mlp.Wi", sn_nn_layer_norm(b, "mlp_norm", x, eps(b)));
    const SnValue gated = sn_mul(b->g, sn_nn_act(b, act, part(b, wide, 0, 2)), part(b, wide, 1, 2));
    const SnValue kept = sn_nn_dropout(b, gated, sn_config_float(b->config, "mlp_dropout", 0));
    return sn_add(b->g, x, sn_nn_linear(b, "mlp.Wo", kept));
}

static SnValue encoder(SnBuild *b)
{
    const int64_t n = sn_nn_int(b, "num_hidden_layers", 22, 0, SN_MAX_LAYERS);
    sn_nn_begin(b);
    SnValue x = sn_nn_words(b, "model.embeddings.tok_embeddings", sn_nn_pad(b, 50283));
    x = sn_nn_layer_norm(b, "model.embeddings.norm", x, eps(b));
    x = sn_nn_dropout(b, x, sn_config_float(b->config, "embedding_dropout", 0));
    x = sn_nn_layers(b, "model.layers", n, layer, x);
    x = sn_nn_layer_norm(b, "model.final_norm", x, eps(b));
    sn_nn_numbered(b, "hidden_states", n, x);
    return x;
}

static SnValue head(SnBuild *b, SnValue x)
{
    const bool bias = sn_config_bool(b->config, "classifier_bias", false);
    x = sn_nn_head_linear(b, "head.dense", x, 0, bias);
    x = sn_nn_act(b, sn_config_string(b->config, "classifier_activation", "gelu"), x);
    return sn_nn_head_norm(b, "head.norm", x, eps(b), sn_config_bool(b->config, "norm_bias", false));
}

static SnValue dropped_head(SnBuild *b, SnValue x)
{
    return sn_nn_dropout(b, head(b, x), sn_config_float(b->config, "classifier_dropout", 0));
}

/* The mean of the tokens, or one token: the first, or (first_real) the first that is no padding. */
static SnValue pooled(SnBuild *b, SnValue x, bool first_real)
{
    SnGraph *g = b->g;
    const char *how = sn_config_string(b->config, "classifier_pooling", "cls");
    const SnValue mask = sn_nn_input(b, "attention_mask"), dims[] = {b->batch, b->seq};
    if (strcmp(how, "mean") == 0)
        return sn_mean_pool(g, x, mask.ref ? mask : sn_broadcast(g, sn_const_int(g, SN_I64, 1), 2, dims));
    if (strcmp(how, "cls") != 0)
        return sn_graph_fail(g, SN_EUNSUPPORTED, "%s: classifier_pooling %s", b->config->path, how);
    if (!first_real || !mask.ref)
        return sn_nn_first_token(b, x);
    const SnValue at[] = {sn_iota(g, SN_I64, 0, 1, dims), sn_argmax(g, mask, 1, false)};
    return sn_gather(g, x, 2, (const int[]){0, 1}, at, NULL);
}

static void masked_lm(SnBuild *b)
{
    const bool has_bias = sn_config_bool(b->config, "decoder_bias", true);
    const char *const bias[] = {has_bias ? "decoder.bias" : NULL, NULL};
    const SnValue x = head(b, sn_nn_wanted_places(b, encoder(b)));
    sn_nn_tag(b, sn_nn_decoder(b, "decoder", "model.embeddings.tok_embeddings", bias, x));
}

static void sequence(SnBuild *b)
{
    const SnValue x = dropped_head(b, pooled(b, encoder(b), false));
    sn_nn_classify(b, sn_nn_head_linear(b, "classifier", x, sn_nn_labels(b), true));
}

static void token(SnBuild *b)
{
    sn_nn_tag(b, sn_nn_head_linear(b, "classifier", dropped_head(b, encoder(b)), sn_nn_labels(b), true));
}

static void question(SnBuild *b)
{
    sn_nn_answer(b, sn_nn_head_linear(b, "classifier", dropped_head(b, encoder(b)), 2, true));
}

static void choice(SnBuild *b)
{
    const SnValue x = dropped_head(b, pooled(b, encoder(b), true));
    sn_nn_choose(b, sn_nn_head_linear(b, "classifier", x, 1, true));
}

static const SnFamily modernbert = {.encoder = encoder};

const SnArch sn_arch_modernbert[] = {
    {"modernbert", "ModernBertModel", "feature-extraction", "model", sn_head_hidden, &modernbert},
    {"modernbert", "ModernBertForMaskedLM", "fill-mask", "model", masked_lm, .takes_items = true},
    {"modernbert", "ModernBertForSequenceClassification", "text-classification", "model", sequence},
    {"modernbert", "ModernBertForTokenClassification", "token-classification", "model", token},
    {"modernbert", "ModernBertForQuestionAnswering", "question-answering", "model", question},
    {"modernbert", "ModernBertForMultipleChoice", "multiple-choice", "model", choice},
    {0},
};
