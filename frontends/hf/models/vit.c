/* vit.c -- ViT: patches of an image as words of an encoder that normalises before each block.
 *
 * Dosovitskiy et al. 2020, arXiv:2010.11929. */
#include "frontends/hf/layers.h"

#include "ops/ops.h"

/* A class token before the patches, row by row; each has its place. */
static SnValue embeddings(SnBuild *b)
{
    SnGraph *g = b->g;
    sn_scope_push(g, "vit.embeddings");
    const SnValue pixels = sn_nn_pixels(b), table = sn_nn_param(b, "position_embeddings");
    sn_scope_push(g, "patch_embeddings.projection");
    const SnValue w = sn_nn_param(b, "weight");
    sn_scope_pop(g);
    const int64_t patch = sn_nn_dim(b, w, 2), width = sn_nn_dim(b, w, 0);
    if (patch != sn_nn_dim(b, w, 3))
        sn_graph_fail(g, SN_EUNSUPPORTED, "%s: patches of %lld x %lld", b->config->path, (long long)patch,
                      (long long)sn_nn_dim(b, w, 3));
    const SnValue x = sn_nn_conv2d(b, "patch_embeddings.projection", pixels, patch, 0);
    const int64_t n = sn_nn_dim(b, x, 1) * sn_nn_dim(b, x, 2), places = sn_nn_dim(b, table, 1) - 1;
    if (n != places)
        sn_graph_fail(g, SN_ESHAPE, "pixel_values: %lld patches, the model has %lld", (long long)n,
                      (long long)places);
    b->seq = sn_size(b->g, n + 1);
    const SnValue rows[] = {b->batch, sn_size(b->g, n), sn_size(b->g, width)},
                  one[] = {b->batch, sn_size(b->g, 1), sn_size(b->g, width)};
    const SnValue all[] = {sn_broadcast(g, sn_nn_param(b, "cls_token"), 3, one), sn_reshape(g, x, 3, rows)};
    const SnValue y = sn_add(g, sn_concat(g, 2, all, 1), table);
    sn_scope_pop(g);
    return y;
}

static SnValue dropout(SnBuild *b, SnValue x)
{
    return sn_nn_dropout(b, x, sn_config_float(b->config, "hidden_dropout_prob", 0));
}

static SnValue layer(SnBuild *b, SnValue x, int64_t i)
{
    const SnAttn attn = {.heads = sn_nn_int(b, "num_attention_heads", 12, 1, 1 << 16),
                         .q = "attention.attention.query",
                         .k = "attention.attention.key",
                         .v = "attention.attention.value",
                         .o = "attention.output.dense",
                         .dropout = sn_config_float(b->config, "attention_probs_dropout_prob", 0)};
    const char *act = sn_config_string(b->config, "hidden_act", "gelu");
    const double eps = sn_nn_eps(b);
    (void)i;
    const SnValue seen = sn_nn_attention(b, &attn, sn_nn_layer_norm(b, "layernorm_before", x, eps));
    x = sn_add(b->g, dropout(b, seen), x);
    const SnValue h = sn_nn_linear(b, "intermediate.dense", sn_nn_layer_norm(b, "layernorm_after", x, eps));
    const SnValue y = sn_nn_linear(b, "output.dense", sn_nn_act(b, act, h));
    return sn_add(b->g, dropout(b, y), x);
}

static SnValue encoder(SnBuild *b)
{
    const int64_t n = sn_nn_int(b, "num_hidden_layers", 12, 0, SN_MAX_LAYERS);
    SnValue x = dropout(b, embeddings(b));
    sn_scope_push(b->g, "vit");
    x = sn_nn_layers(b, "encoder.layer", n, layer, x);
    sn_nn_numbered(b, "hidden_states", n, x);
    x = sn_nn_layer_norm(b, "layernorm", x, sn_nn_eps(b));
    sn_scope_pop(b->g);
    return x;
}

static SnValue pooled(SnBuild *b, SnValue x)
{
    const char *act = sn_config_string(b->config, "pooler_act", "tanh");
    const int64_t n = sn_nn_int(b, "pooler_output_size", 0, 0, 1 << 20);
    return sn_nn_act(b, act, sn_nn_head_linear(b, "vit.pooler.dense", sn_nn_first_token(b, x), n, true));
}

static const SnFamily vit = {.encoder = encoder, .pooled = pooled},
                      vit_classes = {.encoder = encoder, .pooled = sn_nn_first_token};

const SnArch sn_arch_vit[] = {
    {"vit", "ViTModel", "image-feature-extraction", "vit", sn_head_hidden_pooled, &vit},
    {"vit", "ViTForImageClassification", "image-classification", "vit", sn_head_sequence, &vit_classes, true},
    {0},
};
