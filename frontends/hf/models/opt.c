/* opt.c -- OPT: GPT-2 with rectifiers, whose words may be narrower than its layers, and whose positions count
 * what the mask lets through.
 *
 * Zhang et al. 2022, arXiv:2205.01068. */
#include "frontends/hf/layers.h"

#include "ops/ops.h"

static SnValue norm(SnBuild *b, const char *name, SnValue x)
{
    if (sn_config_bool(b->config, "layer_norm_elementwise_affine", true))
        return sn_nn_layer_norm(b, name, x, 1e-5);
    return sn_layer_norm(b->g, x, sn_none(), sn_none(), 1e-5);
}

static bool is_pre_norm(const SnBuild *b)
{
    return sn_config_bool(b->config, "do_layer_norm_before", true);
}

static SnValue dropout(SnBuild *b, SnValue x)
{
    return sn_nn_dropout(b, x, sn_config_float(b->config, "dropout", 0.1));
}

/* Norms come before each part, or after its residual (the 350m). */
static SnValue layer(SnBuild *b, SnValue x, int64_t i)
{
    (void)i;
    const SnAttn attn = {.heads = sn_nn_int(b, "num_attention_heads", 12, 1, 1 << 16),
                         .q = "q_proj",
                         .k = "k_proj",
                         .v = "v_proj",
                         .o = "out_proj",
                         .causal = true,
                         .dropout = sn_config_float(b->config, "attention_dropout", 0)};
    const SnValue before = x;
    SnValue h = is_pre_norm(b) ? norm(b, "self_attn_layer_norm", x) : x;
    sn_scope_push(b->g, "self_attn");
    x = sn_add(b->g, x, dropout(b, sn_nn_attention(b, &attn, h)));
    sn_scope_pop(b->g);
    if (!is_pre_norm(b))
        x = norm(b, "self_attn_layer_norm", x);
    h = is_pre_norm(b) ? norm(b, "final_layer_norm", x) : x;
    x = sn_add(b->g, x, dropout(b, sn_nn_gpt_mlp(b, "fc1", "fc2", "relu", h)));
    x = is_pre_norm(b) ? x : norm(b, "final_layer_norm", x);
    return sn_nn_layerdrop(b, before, x, sn_config_float(b->config, "layerdrop", 0));
}

/* The projections between words and layers, where their widths differ. */
static SnValue project(SnBuild *b, const char *name, SnValue x)
{
    sn_scope_push(b->g, "%s", name);
    const SnValue w = sn_nn_param_or_none(b, "weight");
    sn_scope_pop(b->g);
    return w.ref ? sn_nn_linear(b, name, x) : x;
}

static SnValue decoder(SnBuild *b)
{
    const int64_t n = sn_nn_int(b, "num_hidden_layers", 12, 0, SN_MAX_LAYERS);
    sn_nn_begin(b);
    sn_scope_push(b->g, "model.decoder");
    SnValue x = project(b, "project_in", sn_nn_words(b, "embed_tokens", sn_nn_pad(b, 1)));
    x = sn_add(b->g, x, sn_nn_learned_places(b, "embed_positions", sn_nn_counted_place(b), 2));
    x = sn_nn_layers(b, "layers", n, layer, x);
    if (is_pre_norm(b) && !sn_config_bool(b->config, "_remove_final_layer_norm", false))
        x = norm(b, "final_layer_norm", x);
    x = project(b, "project_out", x);
    sn_scope_pop(b->g);
    sn_nn_numbered(b, "hidden_states", n, x);
    return x;
}

static SnValue words(SnBuild *b, SnValue x)
{
    return sn_nn_lm_head_of(b, "decoder.embed_tokens", x);
}

static const SnFamily opt = {.encoder = decoder, .words = words};

const SnArch sn_arch_opt[] = {
    {"opt", "OPTModel", "feature-extraction", "model", sn_head_hidden, &opt},
    {"opt", "OPTForCausalLM", "text-generation", "model", sn_head_next_word, &opt},
    {"opt", "OPTForSequenceClassification", "text-classification", "model", sn_head_last, &opt},
    {"opt", "OPTForQuestionAnswering", "question-answering", "model", sn_head_question, &opt},
    {0},
};
