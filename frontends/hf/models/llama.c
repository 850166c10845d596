/* llama.c -- Llama and its kin: pre-norm decoders with rotary positions, grouped heads and gated MLPs.
 *
 * Llama: Touvron et al. 2023, arXiv:2302.13971. Mistral: Jiang et al. 2023, arXiv:2310.06825. Qwen2: Yang et
 * al. 2024, arXiv:2407.10671. Qwen3: Yang et al. 2025, arXiv:2505.09388. Granite: Mishra et al. 2024,
 * arXiv:2405.04324. SmolLM3 leaves some layers without positions: Kazemnejad et al. 2023, arXiv:2305.19466.
 * Phi-3.5-MoE: Abdin et al. 2024, arXiv:2404.14219. Helium: Kyutai 2025. ERNIE 4.5: Baidu 2025. Seed-OSS:
 * ByteDance 2025. Arcee: AFM-4.5B, 2025. Biases are there where the checkpoint has them. */
#include "frontends/hf/moe.h"

#include "ops/ops.h"

/* ---- which layers look back no farther than sliding_window ---- */

static int64_t no_window(SnBuild *b, int64_t layer)
{
    (void)b;
    (void)layer;
    return 0;
}

static int64_t every_layer(SnBuild *b, int64_t layer)
{
    (void)layer;
    return sn_nn_int(b, "sliding_window", 0, 0, INT64_MAX);
}

static int64_t every_layer_by_type(SnBuild *b, int64_t layer)
{
    return sn_nn_window(b, layer, true);
}

static bool uses_window(const SnBuild *b)
{
    return sn_config_bool(b->config, "use_sliding_window", false);
}

static int64_t every_layer_in_use(SnBuild *b, int64_t layer)
{
    return uses_window(b) ? every_layer(b, layer) : 0;
}

static int64_t last_layers(SnBuild *b, int64_t layer)
{
    return uses_window(b) ? sn_nn_window(b, layer, layer >= sn_config_int(b->config, "max_window_layers", 28))
                          : 0;
}

static int64_t first_layers_in_turn(SnBuild *b, int64_t layer)
{
    const int64_t limit = sn_config_int(b->config, "max_window_layers", 28);
    return uses_window(b) ? sn_nn_window(b, layer, layer % 2 == 0 && layer < limit) : 0;
}

/* no_rope_layers has 1 where positions are; else every so many layers goes without. */
static bool has_positions(SnBuild *b, int64_t layer)
{
    const SnJson *list = sn_config_get(b->config, "no_rope_layers");
    const int64_t interval = sn_config_int(b->config, "no_rope_layer_interval", 4);
    int64_t v = interval > 0 ? (layer + 1) % interval : 1;
    (void)sn_json_int(sn_json_at(list, (uint32_t)layer), &v);
    return v != 0;
}

static int64_t layers_without_positions(SnBuild *b, int64_t layer)
{
    return uses_window(b) ? sn_nn_window(b, layer, !has_positions(b, layer)) : 0;
}

/* ---- MLPs ---- */

static SnValue dense(SnBuild *b, SnValue x, int64_t layer)
{
    (void)layer;
    return sn_nn_gated_mlp(b, "mlp", x);
}

static SnValue ungated(SnBuild *b, SnValue x, int64_t layer)
{
    (void)layer;
    return sn_nn_gpt_mlp(b, "mlp.up_proj", "mlp.down_proj", "relu2", x);
}

static SnValue mixtral(SnBuild *b, SnValue x, int64_t layer)
{
    (void)layer;
    const bool is_published = sn_nn_param_or_none(b, "block_sparse_moe.gate.weight").ref != 0;
    sn_scope_push(b->g, is_published ? "block_sparse_moe" : "mlp");
    x = sn_nn_jitter(b, x, sn_config_float(b->config, "router_jitter_noise", 0));
    const SnValue logits = sn_moe_router(b, "gate", x);
    const int64_t k = sn_nn_int(b, "num_experts_per_tok", 2, 1, sn_nn_dim(b, logits, -1));
    const SnValue y = sn_moe_mix(b, "experts", sn_moe_choose(b, logits, k, true), sn_moe_mixtral, x);
    sn_scope_pop(b->g);
    return y;
}

static SnValue phimoe(SnBuild *b, SnValue x, int64_t layer)
{
    (void)layer;
    const bool is_published = sn_nn_param_or_none(b, "block_sparse_moe.gate.weight").ref != 0;
    const double jitter = sn_config_float(b->config, "router_jitter_noise", 0.01);
    sn_scope_push(b->g, is_published ? "block_sparse_moe" : "mlp");
    x = sn_nn_jitter(b, x, sn_config_float(b->config, "input_jitter_noise", 0));
    const SnValue logits = sn_moe_router(b, is_published ? "gate" : "router", x);
    const SnValue y = sn_moe_mix(b, "experts", sn_moe_choose_sparse(b, logits, jitter), sn_moe_mixtral, x);
    sn_scope_pop(b->g);
    return y;
}

static SnValue granite_experts(SnBuild *b, const SnExpertRows *rows, SnValue x)
{
    const SnValue both = sn_nn_param(b, "input_linear.weight");
    return sn_moe_fused(b, rows, x, both, sn_nn_param(b, "output_linear.weight"));
}

static SnValue granite_moe(SnBuild *b, SnValue x, int64_t layer)
{
    (void)layer;
    const SnValue logits = sn_moe_router(b, "block_sparse_moe.router.layer", x);
    const int64_t k = sn_nn_int(b, "num_experts_per_tok", 2, 1, sn_nn_dim(b, logits, -1));
    return sn_moe_mix(b, "block_sparse_moe", sn_moe_choose_first(b, logits, k), granite_experts, x);
}

static bool is_listed(const SnJson *list, int64_t v)
{
    int64_t at;
    for (uint32_t i = 0; list && i < list->n; i++)
        if (sn_json_int(sn_json_at(list, i), &at) && at == v)
            return true;
    return false;
}

/* Experts in every so many layers, and perhaps one whose weight is a question of its own. */
static SnValue qwen_moe(SnBuild *b, SnValue x, int64_t layer)
{
    const int64_t step = sn_nn_int(b, "decoder_sparse_step", 1, 1, INT64_MAX);
    if (is_listed(sn_config_get(b->config, "mlp_only_layers"), layer) || (layer + 1) % step != 0 ||
        sn_config_int(b->config, "num_experts", 1) == 0)
        return dense(b, x, layer);
    sn_scope_push(b->g, "mlp");
    const SnValue logits = sn_moe_router(b, "gate", x);
    const int64_t k = sn_nn_int(b, "num_experts_per_tok", 8, 1, sn_nn_dim(b, logits, -1));
    const bool is_normed = sn_config_bool(b->config, "norm_topk_prob", false);
    SnValue y = sn_moe_mix(b, "experts", sn_moe_choose(b, logits, k, is_normed), sn_moe_gated, x);
    if (strcmp(b->arch->type, "qwen2_moe") == 0) {
        const SnValue weight = sn_sigmoid(b->g, sn_nn_linear(b, "shared_expert_gate", x));
        y = sn_add(b->g, y, sn_mul(b->g, weight, sn_nn_gated_mlp(b, "shared_expert", x)));
    }
    sn_scope_pop(b->g);
    return y;
}

/* ---- kinds ---- */

typedef struct Kind {
    const char *type;
    double theta; /* where the config has none */
    int64_t (*window)(SnBuild *b, int64_t layer);
    SnLayerFn *mlp;
    double scale; /* of scores; 0: 1 / sqrt(head_dim) */
    bool has_head_norms, skips_positions;
    bool pairs; /* dims turn as in GPT-J */
    double dropout;
} Kind;

static const Kind kinds[] = {
    {"llama", 1e4, no_window, dense},
    {"arcee", 1e4, no_window, ungated},
    {"ernie4_5", 5e5, no_window, dense, .pairs = true},
    {"granite", 1e4, no_window, dense, .scale = 1},
    {"granitemoe", 1e4, no_window, granite_moe, .scale = 1},
    {"helium", 1e5, no_window, dense, .pairs = true},
    {"seed_oss", 1e4, no_window, dense, .dropout = 0.1},
    {"mistral", 1e4, every_layer, dense},
    {"mixtral", 1e6, every_layer, mixtral},
    {"ministral", 1e4, every_layer_by_type, dense},
    {"phimoe", 1e6, every_layer, phimoe},
    {"qwen2", 1e4, last_layers, dense},
    {"qwen2_moe", 1e4, first_layers_in_turn, qwen_moe},
    {"qwen3", 1e4, last_layers, dense, .has_head_norms = true},
    {"qwen3_moe", 1e4, every_layer_in_use, qwen_moe, .has_head_norms = true},
    {"smollm3", 2e6, layers_without_positions, dense, .skips_positions = true},
};

static const Kind *kind_of(const SnBuild *b)
{
    const Kind *k = kinds;
    while (strcmp(k->type, b->arch->type) != 0)
        k++;
    return k;
}

/* ---- the model ---- */

static SnValue layer(SnBuild *b, SnValue x, int64_t i)
{
    const Kind *kind = kind_of(b);
    SnNormFn *norm = b->arch->family->norm;
    const double residual = sn_config_float(b->config, "residual_multiplier", 1);
    SnRope rope = sn_nn_rope_heads(b, kind->theta, 0);
    rope.pairs |= kind->pairs;
    SnAttn attn = sn_nn_causal(b, kind->skips_positions && !has_positions(b, i) ? NULL : &rope);
    attn.window = kind->window(b, i);
    attn.scale = sn_config_float(b->config, "attention_multiplier", kind->scale);
    attn.norm = kind->has_head_norms ? sn_nn_rms : NULL;
    attn.dropout = sn_config_float(b->config, "attention_dropout", kind->dropout);
    const double share = sn_config_float(b->config, "residual_dropout", kind->dropout);
    SnValue seen = sn_nn_self_attention(b, &attn, norm(b, "input_layernorm", x));
    seen = sn_nn_dropout(b, seen, share);
    x = sn_add(b->g, x, sn_nn_times(b, seen, residual));
    SnValue thought = kind->mlp(b, norm(b, "post_attention_layernorm", x), i);
    thought = sn_nn_dropout(b, thought, share);
    return sn_add(b->g, x, sn_nn_times(b, thought, residual));
}

static SnValue embed(SnBuild *b, SnValue words)
{
    return sn_nn_times(b, words, sn_config_float(b->config, "embedding_multiplier", 1));
}

static SnValue words(SnBuild *b, SnValue x)
{
    return sn_nn_times(b, sn_nn_lm_head(b, x), 1 / sn_config_float(b->config, "logits_scaling", 1));
}

static SnValue phimoe_norm(SnBuild *b, const char *name, SnValue x)
{
    return sn_nn_layer_norm(b, name, x, sn_config_float(b->config, "rms_norm_eps", 1e-5));
}

static const SnFamily llama = {
    .encoder = sn_nn_decode, .words = words, .layer = layer, .norm = sn_nn_rms, .embed = embed};
static const SnFamily phimoe_family = {.encoder = sn_nn_decode,
                                       .words = sn_nn_lm_head_biased,
                                       .layer = layer,
                                       .norm = phimoe_norm,
                                       .refeeds = true};

#define CLASSES(type, Name, question_prefix)                                                                 \
    SN_DECODER_ROWS(type, Name, &llama), SN_SEQUENCE_ROW(type, Name, &llama),                                \
        SN_TOKEN_ROW(type, Name, &llama), SN_QUESTION_ROW(type, Name, question_prefix, &llama)

/* clang-format off */
const SnArch sn_arch_llama[] = {
    CLASSES("llama", "Llama", "transformer"),
    CLASSES("mistral", "Mistral", "model"),
    CLASSES("mixtral", "Mixtral", "model"),
    CLASSES("ministral", "Ministral", "transformer"),
    CLASSES("qwen2", "Qwen2", "transformer"),
    CLASSES("qwen2_moe", "Qwen2Moe", "model"),
    CLASSES("qwen3", "Qwen3", "transformer"),
    CLASSES("qwen3_moe", "Qwen3Moe", "transformer"),
    CLASSES("smollm3", "SmolLM3", "transformer"),
    CLASSES("seed_oss", "SeedOss", "transformer"),
    CLASSES("arcee", "Arcee", "transformer"),
    SN_DECODER_ROWS("phimoe", "Phimoe", &phimoe_family),
    SN_SEQUENCE_ROW("phimoe", "Phimoe", &phimoe_family),
    SN_DECODER_ROWS("helium", "Helium", &llama),
    SN_SEQUENCE_ROW("helium", "Helium", &llama),
    SN_TOKEN_ROW("helium", "Helium", &llama),
    SN_DECODER_ROWS("ernie4_5", "Ernie4_5", &llama),
    SN_DECODER_ROWS("granite", "Granite", &llama),
    SN_DECODER_ROWS("granitemoe", "GraniteMoe", &llama),
    {0},
};
/* clang-format on */
