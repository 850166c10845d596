/* model_fuzz.c -- any config.json on the weights of a small model: its graph is built or refused with a
 * message, whatever the numbers say. */
#include "tests/fuzz/fuzz.h"

#include "frontends/hf/layers.h"
#include "ops/ops.h"

/* Weights to go with each model type; the names of others are then not found, which is a way to fail too. */
static const char *const folders[][2] = {
    {"albert", "albert-pretraining"},
    {"bert", "bert-multi-label"},
    {"bloom", "bloom-norm-residual-qa"},
    {"deberta-v2", "deberta-v2-mlm"},
    {"distilbert", "distilbert-qa"},
    {"electra", "electra-mlm"},
    {"falcon", "falcon-new-seqcls"},
    {"gpt2", "gpt2-scaled-tokcls"},
    {"gpt_bigcode", "gpt-bigcode-mha-lm"},
    {"gpt_neo", "gpt-neo-local-lm"},
    {"gpt_neox", "gpt-neox-serial-tokcls"},
    {"gptj", "gptj-qa"},
    {"llama", "llama-seqcls"},
    {"mamba2", "mamba2-lm"},
    {"mpnet", "mpnet"},
    {"modernbert", "modernbert-mean"},
    {"mpt", "mpt-clip-lm"},
    {"opt", "opt-post-norm-lm"},
    {"cohere", "cohere"},
    {"deepseek_v3", "deepseek-v3"},
    {"gemma3_text", "gemma3-seqcls"},
    {"gpt_oss", "gpt-oss"},
    {"phi3", "phi3-longrope"},
    {"qwen2_moe", "qwen2-moe"},
    {"stablelm", "stablelm"},
    {"roberta", "roberta-seqcls"},
    {"camembert", "camembert-mlm"},
    {"xlm-roberta", "xlm-roberta-choice"},
};

static const char *folder_of(const char *type)
{
    for (size_t i = 0; i < SN_COUNT(folders); i++)
        if (strcmp(folders[i][0], type) == 0)
            return folders[i][1];
    return "bert-multi-label";
}

static void build(SnCompiler *cc, const SnConfig *config, const SnArch *arch, SnWeights *weights)
{
    SnContext *ctx = sn_compiler_context(cc);
    const SnAllocator *memory = sn_allocator(ctx);
    SnGraph *g = NULL;
    SnArena arena;
    SnError err = {0};
    fuzz_require(sn_graph_create(cc, &g, &err) == SN_OK);
    sn_graph_source(g, sn_weights_source(weights));
    sn_arena_init(&arena, memory);
    const SnValue dims[] = {sn_symbol(g, "batch", 1, 64), sn_symbol(g, "seq", 1, 64)};
    SnNamedValue in[] = {{"input_ids", sn_input(g, "input_ids", SN_I64, 2, dims)},
                         {"attention_mask", sn_input(g, "attention_mask", SN_I64, 2, dims)},
                         {"labels", sn_input(g, "labels", SN_I64, 1, dims)}};
    SnBuild b = {.g = g,
                 .config = config,
                 .weights = weights,
                 .arch = arch,
                 .arena = &arena,
                 .dtype = SN_F32,
                 .made = {.memory = memory}};
    for (size_t i = 0; i < SN_COUNT(in); i++)
        fuzz_require(sn_vec_push(memory, &b.in, in[i]));
    arch->build(&b);
    fuzz_require(sn_graph_check(g, &err) == SN_OK || err.message[0] != '\0');
    sn_vec_clear(memory, &b.in);
    sn_vec_clear(memory, &b.out);
    sn_vec_clear(memory, &b.range);
    sn_text_clear(&b.made);
    sn_arena_clear(&arena);
    sn_graph_destroy(g);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    SnContext *ctx = NULL;
    SnCompiler *cc = NULL;
    SnWeights *weights = NULL;
    SnConfig config;
    char path[256];
    const SnCompilerDesc desc = {.struct_size = sizeof desc, .ops = sn_all_ops};
    fuzz_require(sn_context_create(NULL, &ctx, NULL) == SN_OK);
    fuzz_require(sn_compiler_create(ctx, &desc, &cc, NULL) == SN_OK);
    if (sn_config_parse(ctx, "config.json", sn_bytes(data, size), &config, NULL) == SN_OK) {
        const SnArch *arch =
            sn_arch_find(config.model_type, *config.architecture ? config.architecture : NULL);
        (void)snprintf(path, sizeof path, "tests/golden/forward/%s/model", folder_of(config.model_type));
        if (arch) {
            fuzz_require(sn_weights_open(ctx, path, &weights, NULL) == SN_OK);
            build(cc, &config, arch, weights);
            sn_weights_release(weights);
        }
        sn_config_clear(&config);
    }
    sn_compiler_destroy(cc);
    sn_context_destroy(ctx);
    return 0;
}

FUZZ_MAIN("tests/fuzz/corpus/model");
