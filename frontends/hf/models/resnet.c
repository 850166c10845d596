/* resnet.c -- ResNet: stages of convolutions, each of which adds to what it was given.
 *
 * He et al. 2015, arXiv:1512.03385. Strides are in the second convolution of a bottleneck, as in version 1.5.
 */
#include "frontends/hf/layers.h"

#include "ops/ops.h"

#define MAX_STAGES 64
#define MAX_WIDTH  (1 << 20)

/* convolution and norm; act NULL: nothing behind them. */
static SnValue unit(SnBuild *b, const char *name, SnValue x, int64_t kernel, int64_t stride, const char *act)
{
    sn_scope_push(b->g, "%s", name);
    x = sn_nn_batch_norm(b, "normalization", sn_nn_conv2d(b, "convolution", x, stride, kernel / 2));
    sn_scope_pop(b->g);
    return act ? sn_nn_act(b, act, x) : x;
}

static SnValue block(SnBuild *b, SnValue x, int64_t width, int64_t stride)
{
    const char *act = sn_config_string(b->config, "hidden_act", "relu"),
               *type = sn_config_string(b->config, "layer_type", "bottleneck");
    SnValue y = x;
    if (strcmp(type, "basic") == 0) {
        /* the first one has its own activation, whatever the config says */
        y = unit(b, "layer.0", y, 3, stride, "relu");
        y = unit(b, "layer.1", y, 3, 1, NULL);
    } else if (strcmp(type, "bottleneck") == 0) {
        const bool is_first = sn_config_bool(b->config, "downsample_in_bottleneck", false);
        y = unit(b, "layer.0", y, 1, is_first ? stride : 1, "relu");
        y = unit(b, "layer.1", y, 3, is_first ? 1 : stride, "relu");
        y = unit(b, "layer.2", y, 1, 1, NULL);
    } else {
        return sn_graph_fail(b->g, SN_EUNSUPPORTED, "%s: layer_type %s", b->config->path, type);
    }
    if (stride != 1 || sn_nn_dim(b, x, -1) != width)
        x = unit(b, "shortcut", x, 1, stride, NULL);
    return sn_nn_act(b, act, sn_add(b->g, y, x));
}

/* Number i of a list, or of what the library has. */
static int64_t item(SnBuild *b, const char *key, uint32_t i, const int64_t usual[4])
{
    const int64_t v = sn_config_item(b->config, key, i, usual[i % 4]);
    if (v < 1 || v > MAX_WIDTH)
        sn_graph_fail(b->g, SN_EFORMAT, "%s: %s has no number %u", b->config->path, key, i);
    return v;
}

static SnValue encoder(SnBuild *b)
{
    static const int64_t depths[] = {3, 4, 6, 3}, widths[] = {256, 512, 1024, 2048};
    const SnJson *list = sn_config_get(b->config, "depths");
    const uint32_t n = list ? list->n : SN_COUNT(depths);
    if (n < 1 || n > MAX_STAGES)
        return sn_graph_fail(b->g, SN_EFORMAT, "%s: %u depths", b->config->path, n);
    SnValue x = sn_nn_pixels(b);
    sn_scope_push(b->g, "resnet");
    x = unit(b, "embedder.embedder", x, 7, 2, sn_config_string(b->config, "hidden_act", "relu"));
    x = sn_max_pool2d(b->g, x, 3, 2, 1);
    for (uint32_t i = 0; i < n && sn_graph_check(b->g, NULL) == SN_OK; i++) {
        const bool halves = i > 0 || sn_config_bool(b->config, "downsample_in_first_stage", false);
        const int64_t depth = item(b, "depths", i, depths), width = item(b, "hidden_sizes", i, widths);
        sn_nn_numbered(b, "hidden_states", i, sn_nn_image(b, x));
        for (int64_t k = 0; k < depth && k < SN_MAX_LAYERS; k++) {
            sn_scope_push(b->g, "encoder.stages.%u.layers.%lld", i, (long long)k);
            x = block(b, x, width, k == 0 && halves ? 2 : 1);
            sn_scope_pop(b->g);
        }
    }
    sn_scope_pop(b->g);
    sn_nn_numbered(b, "hidden_states", n, sn_nn_image(b, x));
    return x;
}

/* [batch, width]: the mean of all places */
static SnValue pooled(SnBuild *b, SnValue x)
{
    return sn_mean(b->g, x, (const int64_t[]){1, 2}, 2, false);
}

static void model(SnBuild *b)
{
    const SnValue x = encoder(b), y = pooled(b, x), one = sn_const_int(b->g, SN_I64, 1);
    sn_nn_output(b, "last_hidden_state", sn_nn_image(b, x));
    sn_nn_output(b, "pooler_output",
                 sn_reshape(b->g, y, 4, (SnValue[]){b->batch, sn_dim(b->g, y, 1), one, one}));
}

static void classify(SnBuild *b)
{
    const SnValue x = pooled(b, encoder(b));
    sn_nn_classify(b, sn_nn_head_linear(b, "classifier.1", x, sn_nn_labels(b), true));
}

const SnArch sn_arch_resnet[] = {
    {"resnet", "ResNetModel", "image-feature-extraction", "resnet", model},
    {"resnet", "ResNetForImageClassification", "image-classification", "resnet", classify},
    {0},
};
