/* gpt_neo.c -- GPT-Neo: GPT-2 whose layers see everything or a window by turns, with scores as they are.
 *
 * Black et al. 2021, doi:10.5281/zenodo.5297715. */
#include "frontends/hf/layers.h"

#include "ops/ops.h"

/* attention_types: [[["global", "local"], 12], ...] says how often each pattern comes. */
static bool is_local(SnBuild *b, int64_t i)
{
    const SnJson *types = sn_config_get(b->config, "attention_types");
    if (!types)
        return i % 2 == 1;
    for (uint32_t k = 0; k < types->n; k++) {
        const SnJson *pattern = sn_json_at(sn_json_at(types, k), 0);
        int64_t times = 0;
        if (!sn_json_int(sn_json_at(sn_json_at(types, k), 1), &times) || times < 0 || times > SN_MAX_LAYERS)
            break;
        const int64_t n = pattern ? pattern->n : 0;
        if (i < n * times)
            return sn_json_is(sn_json_at(pattern, (uint32_t)(i % n)), "local");
        i -= n * times;
    }
    sn_graph_fail(b->g, SN_EFORMAT, "%s: attention_types do not reach all layers", b->config->path);
    return false;
}

static SnValue layer(SnBuild *b, SnValue x, int64_t i)
{
    const SnAttn attn = {.heads = sn_nn_int(b, "num_attention_heads", 16, 1, 1 << 16),
                         .q = "q_proj",
                         .k = "k_proj",
                         .v = "v_proj",
                         .o = "out_proj",
                         .scale = 1,
                         .window = is_local(b, i) ? sn_nn_int(b, "window_size", 256, 1, INT32_MAX) : 0,
                         .causal = true,
                         .stays_causal = true,
                         .dropout = sn_config_float(b->config, "attention_dropout", 0)};
    const double resid = sn_config_float(b->config, "resid_dropout", 0);
    const SnValue h = sn_nn_ln(b, "ln_1", x);
    sn_scope_push(b->g, "attn.attention");
    x = sn_add(b->g, x, sn_nn_dropout(b, sn_nn_attention(b, &attn, h), resid));
    sn_scope_pop(b->g);
    const SnValue m = sn_nn_ln(b, "ln_2", x);
    const SnValue thought = sn_nn_gpt_mlp(b, "mlp.c_fc", "mlp.c_proj", "gelu_new", m);
    return sn_add(b->g, x, sn_nn_dropout(b, thought, resid));
}

static SnValue embed(SnBuild *b, SnValue words)
{
    return sn_nn_dropout(b, sn_nn_gpt_places(b, words), sn_config_float(b->config, "embed_dropout", 0));
}

static const SnFamily neo = SN_GPT_FAMILY(sn_nn_lm_head, "wte", embed, 24);

const SnArch sn_arch_gpt_neo[] = {
    {"gpt_neo", "GPTNeoModel", "feature-extraction", "transformer", sn_head_hidden, &neo},
    {"gpt_neo", "GPTNeoForCausalLM", "text-generation", "transformer", sn_head_next_word, &neo},
    {"gpt_neo", "GPTNeoForSequenceClassification", "text-classification", "transformer", sn_head_last, &neo},
    {"gpt_neo", "GPTNeoForTokenClassification", "token-classification", "transformer", sn_head_token, &neo},
    {"gpt_neo", "GPTNeoForQuestionAnswering", "question-answering", "transformer", sn_head_question, &neo},
    {0},
};
