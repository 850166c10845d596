/* peft_config.c -- what an adapter's config says: its keys, and which modules it is for. */
#include "frontends/training/peft_state.h"

#include "frontends/tokenizer/regex.h"
#include "frontends/training/arguments.h"

#include <ctype.h>
#include <math.h>
#include <stdlib.h>

#define MAX_TOKENS 65536

/* ---- keys ---- */

enum { LORA = 1, IA3 = 2, PROMPT = 4, PREFIX = 8, ENCODED = 16, TUNED = LORA | IA3 };
enum { VIRTUAL = PROMPT | PREFIX | ENCODED, ALL = TUNED | VIRTUAL };
typedef enum Use {
    READ,
    FREE,
    OFF
} Use; /* FREE: says nothing about numbers; OFF: what is refused when it is on */

/* Keys of the configs of PEFT 0.21 and their defaults. */
static const struct Key {
    const char *name;
    unsigned types;
    Use use;
    const char *otherwise;
} keys[] = {
    {"task_type", ALL, READ, "null"},
    {"peft_type", ALL, READ, NULL},
    {"auto_mapping", ALL, FREE, "null"},
    {"peft_version", ALL, FREE, "\"0.21.2\""},
    {"base_model_name_or_path", ALL, FREE, "null"},
    {"revision", ALL, FREE, "null"},
    {"inference_mode", ALL, FREE, "true"},
    {"r", LORA, READ, "8"},
    {"target_modules", TUNED, READ, "null"},
    {"exclude_modules", TUNED, READ, "null"},
    {"lora_alpha", LORA, READ, "8"},
    {"lora_dropout", LORA, READ, "0.0"},
    {"fan_in_fan_out", TUNED, FREE, "false"}, /* known by the architecture */
    {"bias", LORA, READ, "\"none\""},
    {"use_rslora", LORA, READ, "false"},
    {"modules_to_save", ALL, READ, "null"},
    {"init_lora_weights", LORA, READ, "true"},
    {"layers_to_transform", LORA, READ, "null"},
    {"layers_pattern", LORA, READ, "null"},
    {"rank_pattern", LORA, READ, "{}"},
    {"alpha_pattern", LORA, READ, "{}"},
    {"use_dora", LORA, READ, "false"},
    {"lora_bias", LORA, READ, "false"},
    {"target_parameters", LORA, READ, "null"},
    {"trainable_token_indices", LORA, READ, "null"},
    {"alora_invocation_tokens", LORA, OFF, "null"},
    {"layer_replication", LORA, OFF, "null"},
    {"use_qalora", LORA, OFF, "false"},
    {"use_bdlora", LORA, OFF, "null"},
    {"arrow_config", LORA, OFF, "null"},
    {"kasa_config", LORA, OFF, "null"},
    {"monteclora_config", LORA, OFF, "null"},
    {"velora_config", LORA, OFF, "null"},
    {"corda_config", LORA, OFF, "null"},
    {"loftq_config", LORA, OFF, "{}"},
    {"ensure_weight_tying", LORA, OFF, "false"},
    {"megatron_config", LORA, OFF, "null"},
    {"megatron_core", LORA, FREE, "\"megatron.core\""},
    {"qalora_group_size", LORA, FREE, "16"},
    {"runtime_config", LORA, FREE, NULL},
    {"eva_config", LORA, FREE, "null"},
    {"lora_ga_config", LORA, FREE, "null"},
    {"feedforward_modules", IA3, READ, "null"},
    {"init_ia3_weights", IA3, READ, "true"},
    {"num_virtual_tokens", VIRTUAL, READ, "null"},
    {"token_dim", VIRTUAL, FREE, "null"},
    {"num_transformer_submodules", VIRTUAL, FREE, "null"},
    {"num_attention_heads", VIRTUAL, FREE, "null"},
    {"num_layers", VIRTUAL, READ, "null"},
    {"prompt_tuning_init", PROMPT, READ, "\"RANDOM\""},
    {"prompt_tuning_init_text", PROMPT, READ, "null"},
    {"tokenizer_name_or_path", PROMPT, READ, "null"},
    {"tokenizer_kwargs", PROMPT, OFF, "null"},
    {"encoder_hidden_size", PREFIX | ENCODED, READ, "null"},
    {"prefix_projection", PREFIX, READ, "false"},
    {"init_weights", PREFIX, READ, "null"},
    {"encoder_reparameterization_type", ENCODED, READ, "\"MLP\""},
    {"encoder_num_layers", ENCODED, READ, "2"},
    {"encoder_dropout", ENCODED, READ, "0.0"},
};

static const struct {
    const char *name;
    SnPeftType type;
    unsigned mask;
} types[] = {{"LORA", SN_PEFT_LORA, LORA},
             {"IA3", SN_PEFT_IA3, IA3},
             {"PROMPT_TUNING", SN_PEFT_PROMPT, PROMPT},
             {"P_TUNING", SN_PEFT_PROMPT, ENCODED},
             {"PREFIX_TUNING", SN_PEFT_PREFIX, PREFIX}};

/* Values of keys that are words, split by |; of others null. */
static const struct {
    const char *key, *choice;
} choices[] = {{"task_type", "CAUSAL_LM|SEQ_CLS|TOKEN_CLS|QUESTION_ANS|FEATURE_EXTRACTION|SEQ_2_SEQ_LM"},
               {"bias", "none|all|lora_only"},
               {"prompt_tuning_init", "RANDOM|TEXT|SAMPLE_VOCAB"},
               {"encoder_reparameterization_type", "MLP|LSTM"},
               {"init_weights", "zero"}};

/* What a model's modules are if nobody says, as PEFT has it; after |, those of IA3, then its feed-forward. */
static const struct {
    const char *model, *lora, *ia3, *forward;
} usual[] = {{"gpt2", "c_attn", "c_attn,mlp.c_proj", "mlp.c_proj"},
             {"bloom", "query_key_value", "query_key_value,mlp.dense_4h_to_h", "mlp.dense_4h_to_h"},
             {"opt", "q_proj,v_proj", "q_proj,k_proj,fc2", "fc2"},
             {"gptj", "q_proj,v_proj", "q_proj,v_proj,fc_out", "fc_out"},
             {"gpt_neox", "query_key_value", "query_key_value,dense_4h_to_h", "dense_4h_to_h"},
             {"gpt_neo", "q_proj,v_proj", "q_proj,v_proj,c_proj", "c_proj"},
             {"gpt_bigcode", "c_attn", "c_attn,mlp.c_proj", "mlp.c_proj"},
             {"bert", "query,value", "key,value,output.dense", "output.dense"},
             {"roberta", "query,value", "key,value,output.dense", "output.dense"},
             {"xlm-roberta", "query,value", NULL, NULL},
             {"electra", "query,value", NULL, NULL},
             {"deberta-v2", "query_proj,value_proj", "key_proj,value_proj,output.dense", "output.dense"},
             {"llama", "q_proj,v_proj", "k_proj,v_proj,down_proj", "down_proj"},
             {"mistral", "q_proj,v_proj", "k_proj,v_proj,down_proj", "down_proj"},
             {"mixtral", "q_proj,v_proj", NULL, NULL},
             {"falcon", "query_key_value", "query_key_value,dense_4h_to_h", "dense_4h_to_h"},
             {"stablelm", "q_proj,v_proj", NULL, NULL},
             {"phi", "q_proj,v_proj,fc1,fc2", "q_proj,v_proj,fc2", "fc2"},
             {"gemma", "q_proj,v_proj", "q_proj,v_proj,down_proj", "down_proj"},
             {"gemma2", "q_proj,v_proj", "q_proj,v_proj,down_proj", "down_proj"},
             {"gemma3_text", "q_proj,v_proj", "q_proj,v_proj,down_proj", "down_proj"},
             {"qwen2", "q_proj,v_proj", "q_proj,v_proj,down_proj", "down_proj"},
             {"qwen3", "q_proj,v_proj", "q_proj,v_proj,down_proj", "down_proj"}};

bool sn_peft_is_on(const SnAdapter *a, const char *key)
{
    return sn_json_bool_of(a->config, key, false);
}

int64_t sn_peft_int(const SnAdapter *a, const char *key, int64_t otherwise)
{
    return sn_json_int_of(a->config, key, otherwise);
}

static bool is_off(const SnJson *v)
{
    return sn_json_is_null(v) || (v->kind == SN_JSON_BOOL && !v->u.boolean) ||
           ((v->kind == SN_JSON_ARRAY || v->kind == SN_JSON_OBJECT) && v->n == 0);
}

static SnStatus check_choice(const SnAdapter *a, SnError *err)
{
    for (size_t i = 0; i < SN_COUNT(choices); i++) {
        const SnJson *v = sn_json_get(a->config, choices[i].key);
        SnBytes s = {0};
        const bool is_word = sn_json_string(v, &s);
        SN_CHECK(sn_json_is_null(v) || (is_word && sn_is_one_of(s, choices[i].choice)), err, SN_EINVAL,
                 "%s: %s: expected %s, found %.*s", a->folder, choices[i].key, choices[i].choice,
                 (int)(s.n < 80 ? s.n : 80), is_word ? (const char *)s.at : "");
    }
    return SN_OK;
}

/* Experts are one parameter of three dims; other parameters are of linear layers, which are modules as well.
 */
static SnStatus check_experts(const SnAdapter *a, SnError *err)
{
    static const char *const ends[] = {"gate_up_proj", "down_proj"};
    const SnJson *list = sn_json_get(a->config, "target_parameters");
    double share = 0;
    SnBytes s = {0};
    if (sn_json_is_null(list))
        return SN_OK;
    SN_CHECK(list->kind == SN_JSON_ARRAY, err, SN_EINVAL, "%s: target_parameters: expected a list",
             a->folder);
    (void)sn_json_number(sn_json_get(a->config, "lora_dropout"), &share);
    for (uint32_t i = 0; i < list->n; i++) {
        bool is_known = false;
        for (size_t k = 0; sn_json_string(sn_json_at(list, i), &s) && k < SN_COUNT(ends); k++)
            is_known = is_known || sn_bytes_ends(s, ends[k]);
        SN_CHECK(is_known, err, SN_EUNSUPPORTED,
                 "%s: target_parameters: expected gate_up_proj or down_proj of experts, found %.*s",
                 a->folder, (int)(s.n < 80 ? s.n : 80), s.n ? (const char *)s.at : "");
        SN_CHECK(share == 0 && !sn_peft_is_on(a, "use_dora") && !sn_peft_is_on(a, "lora_bias") &&
                     a->taken == SN_PEFT_NOTHING,
                 err, SN_EINVAL,
                 "%s: target_parameters with lora_dropout, use_dora, lora_bias, pissa or olora", a->folder);
    }
    return SN_OK;
}

/* Beginnings that a file's tensors do not undo: with those its base is another one. */
static SnStatus check_init(SnAdapter *a, SnError *err)
{
    static const char *const kept[] = {"gaussian", "eva", "orthogonal", "lora_ga", "mica"};
    const SnJson *v = sn_json_get(a->config, "init_lora_weights");
    bool is_known = sn_json_is_null(v) || v->kind == SN_JSON_BOOL || sn_peft_reads_taken(a, v);
    for (size_t i = 0; i < SN_COUNT(kept) && !is_known; i++)
        is_known = (!a->is_new || i == 0) && sn_json_is(v, kept[i]);
    SN_CHECK(is_known, err, SN_EUNSUPPORTED,
             "%s: init_lora_weights: expected true, false, gaussian, pissa, pissa_niter_N or olora",
             a->folder);
    SN_CHECK(
        a->taken != SN_PEFT_ROUNDS || a->is_new, err, SN_EUNSUPPORTED,
        "%s: init_lora_weights pissa_niter: no file has what it took out of the model; PEFT writes a LoRA "
        "of it with path_initial_model_for_weight_conversion",
        a->folder);
    const SnJson *rows = sn_json_get(a->config, "trainable_token_indices");
    SN_CHECK(sn_json_is_null(rows) || rows->kind == SN_JSON_ARRAY || rows->kind == SN_JSON_OBJECT, err,
             SN_EINVAL, "%s: trainable_token_indices: expected a list, or lists by modules", a->folder);
    SN_TRY(check_experts(a, err));
    SN_CHECK(a->taken == SN_PEFT_NOTHING || !sn_peft_is_on(a, "lora_bias"), err, SN_EINVAL,
             "%s: init_lora_weights with lora_bias: expected true or false", a->folder);
    SN_CHECK(!sn_peft_is_on(a, "use_dora") || !sn_peft_is_on(a, "lora_bias"), err, SN_EINVAL,
             "%s: use_dora with lora_bias", a->folder);
    return SN_OK;
}

static SnStatus check_numbers(const SnAdapter *a, SnError *err)
{
    static const struct {
        const char *key;
        double least, most;
        bool is_whole;
    } ranges[] = {{"r", 1, 65536, true},
                  {"lora_alpha", -1e6, 1e6, false},
                  {"lora_dropout", 0, 1, false},
                  {"encoder_dropout", 0, 1, false},
                  {"encoder_hidden_size", 1, 65536, true},
                  {"encoder_num_layers", 1, 16, true},
                  {"num_virtual_tokens", 1, MAX_TOKENS, true},
                  {"num_layers", 1, SN_MAX_LAYERS, true}};
    for (size_t i = 0; i < SN_COUNT(ranges); i++) {
        const SnJson *v = sn_json_get(a->config, ranges[i].key);
        double x = (double)NAN;
        (void)sn_json_number(v, &x);
        SN_CHECK(sn_json_is_null(v) ||
                     (x >= ranges[i].least && x <= ranges[i].most && (!ranges[i].is_whole || x == floor(x))),
                 err, SN_EINVAL, "%s: %s: expected %g to %g", a->folder, ranges[i].key, ranges[i].least,
                 ranges[i].most);
    }
    return SN_OK;
}

static SnStatus check_keys(const SnAdapter *a, unsigned mask, SnError *err)
{
    const SnJson *c = a->config;
    for (uint32_t i = 0; i < c->n; i++) {
        const SnJson *v = &c->u.child[i];
        const int n = (int)(v->key.n < 80 ? v->key.n : 80);
        const char *near = "";
        size_t best = SIZE_MAX, k = 0;
        for (; k < SN_COUNT(keys) && !(sn_bytes_is(v->key, keys[k].name) && keys[k].types & mask); k++) {
            const size_t d = keys[k].types & mask ? sn_arg_distance(v->key, keys[k].name) : SIZE_MAX;
            near = d < best ? keys[k].name : near;
            best = d < best ? d : best;
        }
        SN_CHECK(k < SN_COUNT(keys) || (!a->is_new && is_off(v)), err,
                 a->is_new ? SN_EINVAL : SN_EUNSUPPORTED,
                 "%s: no key %.*s of peft_type %s; the nearest one is %s", a->folder, n,
                 (const char *)v->key.at, a->type_name, near);
        SN_CHECK(k == SN_COUNT(keys) || keys[k].use != OFF || is_off(v), err, SN_EUNSUPPORTED, "%s: %s",
                 a->folder, keys[k].name);
    }
    return SN_OK;
}

/* ---- a new config ---- */

static void put_list(SnText *t, const SnJson *list, const char *more)
{
    sn_text_printf(t, "[");
    for (uint32_t i = 0; list && list->kind == SN_JSON_ARRAY && i < list->n; i++) {
        sn_text_printf(t, i ? ", " : "");
        sn_json_put(t, sn_json_at(list, i));
    }
    for (const char *at = more; *at;) {
        const size_t n = strcspn(at, ",");
        sn_text_printf(t, t->at[t->n - 1] == '[' ? "" : ", ");
        sn_json_put_string(t, sn_bytes(at, n));
        at += n + (at[n] == ',');
    }
    sn_text_printf(t, "]");
}

/* What PEFT puts in the place of a key that is not given. */
static void put_value(const SnAdapter *a, const struct Key *k, SnText *t)
{
    const SnJson *v = sn_json_get(a->config, k->name), *task = sn_json_get(a->config, "task_type");
    const char *more = sn_json_is(task, "SEQ_CLS") || sn_json_is(task, "TOKEN_CLS") ? "classifier,score"
                       : sn_json_is(task, "QUESTION_ANS")                           ? "qa_outputs"
                                                                                    : NULL;
    const char *list = NULL;
    for (size_t i = 0; i < SN_COUNT(usual); i++)
        if (strcmp(usual[i].model, a->m->config.model_type) == 0)
            list = strcmp(k->name, "feedforward_modules") == 0 ? usual[i].forward
                   : strcmp(k->name, "target_modules") != 0    ? NULL
                   : a->type == SN_PEFT_LORA                   ? usual[i].lora
                                                               : usual[i].ia3;
    if (strcmp(k->name, "modules_to_save") == 0 && more)
        put_list(t, v, more);
    else if (strcmp(k->name, "inference_mode") == 0)
        sn_text_printf(t, "true");
    else if (!sn_json_is_null(v))
        sn_json_put(t, v);
    else if (list)
        put_list(t, NULL, list);
    else if (strcmp(k->name, "base_model_name_or_path") == 0)
        sn_json_put_string(t, sn_bytes_str(a->m->folder));
    else
        sn_text_printf(t, "%s", k->otherwise);
}

static SnStatus complete(SnAdapter *a, unsigned mask, SnError *err)
{
    SnText t = {.memory = sn_allocator(a->m->ctx)};
    SnJson *json = NULL;
    sn_text_printf(&t, "{");
    for (size_t i = 0; i < SN_COUNT(keys); i++) {
        if (!(keys[i].types & mask) ||
            (!keys[i].otherwise && sn_json_is_null(sn_json_get(a->config, keys[i].name))))
            continue;
        sn_text_printf(&t, "%s\n  \"%s\": ", t.n > 1 ? "," : "", keys[i].name);
        put_value(a, &keys[i], &t);
    }
    sn_text_printf(&t, "\n}\n");
    const char *own = t.failed ? NULL : sn_arena_strndup(&a->arena, t.at, t.n);
    sn_text_clear(&t);
    SN_CHECK(own, err, SN_ENOMEM, "%s: no memory", a->folder);
    SN_TRY(sn_json_parse(&a->arena, a->folder, sn_bytes_str(own), &json, err));
    a->config = json;
    SN_CHECK(!(mask & TUNED) || !is_off(sn_json_get(json, "target_modules")) ||
                 !is_off(sn_json_get(json, "target_parameters")),
             err, SN_EINVAL, "%s: target_modules is not given, and model type %s has no usual ones",
             a->folder, a->m->config.model_type);
    SN_CHECK(!(mask & VIRTUAL) || sn_peft_int(a, "num_virtual_tokens", 0) > 0, err, SN_EINVAL,
             "%s: num_virtual_tokens is not given", a->folder);
    return SN_OK;
}

SnStatus sn_peft_read_config(SnAdapter *a, SnBytes bytes, SnError *err)
{
    SnJson *json = NULL;
    SnBytes s;
    SN_TRY(sn_json_parse(&a->arena, a->folder, bytes, &json, err));
    SN_CHECK(json->kind == SN_JSON_OBJECT, err, SN_EFORMAT, "%s: the config is no object", a->folder);
    a->config = json;
    a->type_name = sn_json_string(sn_json_get(json, "peft_type"), &s)
                       ? sn_arena_strndup(&a->arena, (const char *)s.at, s.n)
                       : "";
    SN_CHECK(a->type_name, err, SN_ENOMEM, "%s: no memory", a->folder);
    const size_t i = SN_FIND_ROW(types, name, sn_bytes_str(a->type_name));
    SN_CHECK(i < SN_COUNT(types), err, SN_EUNSUPPORTED,
             "%s: peft_type \"%.80s\": expected LORA, IA3, PROMPT_TUNING, P_TUNING or PREFIX_TUNING",
             a->folder, a->type_name);
    a->type = types[i].type;
    a->prefix = types[i].mask & TUNED ? "base_model.model." : "base_model.";
    SN_TRY(check_keys(a, types[i].mask, err));
    SN_TRY(check_choice(a, err));
    SN_TRY(check_numbers(a, err));
    SN_TRY(check_init(a, err));
    if (a->is_new)
        SN_TRY(complete(a, types[i].mask, err));
    a->tokens = sn_peft_int(a, "num_virtual_tokens", 0);
    return SN_OK;
}

/* ---- which modules ---- */

static bool ends_with(const char *module, SnBytes end, bool whole)
{
    const size_t n = strlen(module);
    if (end.n > n || memcmp(module + n - end.n, end.at, end.n) != 0)
        return false;
    return !whole || n == end.n || module[n - end.n - 1] == '.';
}

/* re.fullmatch, of a pattern with something around it. */
static bool matches(SnBuild *b, const char *before, SnBytes pattern, const char *after, const char *text,
                    SnRegexMatch *m)
{
    SnArena work;
    SnRegex *regex = NULL;
    SnError err = {0};
    bool found = false;
    sn_arena_init(&work, b->arena->memory);
    const char *all =
        sn_arena_printf(&work, "^%s(?:%.*s)%s\\Z", before, (int)pattern.n, (const char *)pattern.at, after);
    SnStatus st = all ? sn_regex_compile(&work, sn_bytes_str(all), &regex, &err)
                      : sn_fail(&err, SN_ENOMEM, "%s: no memory", b->adapter->folder);
    if (st == SN_OK)
        st = sn_regex_search(&work, regex, sn_bytes_str(text), 0, m, &found, &err);
    if (st != SN_OK)
        sn_graph_fail(b->g, st, "%s: %.*s: %s", b->adapter->folder, (int)pattern.n, (const char *)pattern.at,
                      err.message);
    sn_arena_clear(&work);
    return st == SN_OK && found && m->begin == 0;
}

bool sn_peft_is_named(SnBuild *b, const char *key, const char *module, bool whole)
{
    const SnJson *v = sn_json_get(b->adapter->config, key);
    SnRegexMatch m;
    SnBytes s;
    if (sn_json_string(v, &s))
        return matches(b, "", s, "", module, &m);
    for (uint32_t i = 0; v && v->kind == SN_JSON_ARRAY && i < v->n; i++)
        if (sn_json_string(sn_json_at(v, i), &s) && ends_with(module, s, whole))
            return true;
    return false;
}

/* The first number of a path behind a part of one of these names; NULL: of any. -1: there is none. */
static int64_t layer_of(const char *module, const SnJson *names)
{
    const SnJson one = names ? *names : (SnJson){0};
    const uint32_t n = names && names->kind == SN_JSON_ARRAY ? names->n : names ? 1 : 0;
    const char *part = module;
    for (const char *dot = strchr(module, '.'); dot; part = dot + 1, dot = strchr(dot + 1, '.')) {
        char *end = NULL;
        const long long i = dot[1] >= '0' && dot[1] <= '9' ? strtoll(dot + 1, &end, 10) : -1;
        bool is_named = n == 0 && part != module;
        for (uint32_t k = 0; k < n; k++) {
            SnBytes s;
            const bool is_string =
                sn_json_string(one.kind == SN_JSON_ARRAY ? sn_json_at(names, k) : names, &s);
            is_named = is_named || (is_string && s.n == (size_t)(dot - part) && memcmp(s.at, part, s.n) == 0);
        }
        if (is_named && i >= 0 && *end == '.')
            return i;
    }
    return -1;
}

static bool has_layer(const SnAdapter *a, const char *module)
{
    const SnJson *layers = sn_json_get(a->config, "layers_to_transform");
    const SnJson *names = sn_json_get(a->config, "layers_pattern");
    int64_t v = 0;
    if (sn_json_is_null(layers) || (layers->kind == SN_JSON_ARRAY && layers->n == 0))
        return true;
    if (sn_json_is_null(names) || (names->kind == SN_JSON_ARRAY && names->n == 0))
        names = NULL;
    const int64_t own = layer_of(module, names);
    if (sn_json_int(layers, &v))
        return own == v;
    for (uint32_t i = 0; i < layers->n; i++)
        if (sn_json_int(sn_json_at(layers, i), &v) && own == v)
            return true;
    return false;
}

/* Heads that a task trains whole, and that all-linear leaves out. */
static bool is_head(const SnAdapter *a, const char *module)
{
    const SnBytes name = sn_bytes_str(module);
    return sn_is_one_of(name, "lm_head embed_out cls.predictions.decoder") ||
           (sn_is_one_of(name, "score classifier") &&
            sn_json_is(sn_json_get(a->config, "task_type"), "SEQ_CLS"));
}

static bool is_all_linear(SnBytes s)
{
    static const char all[] = "all-linear";
    size_t i = 0;
    while (i < s.n && i < sizeof all - 1 && tolower(s.at[i]) == all[i])
        i++;
    return i == s.n && i == sizeof all - 1;
}

bool sn_peft_targets(SnBuild *b, const char *module, bool is_linear, bool *is_target)
{
    const SnAdapter *a = b->adapter;
    const SnJson *targets = sn_json_get(a->config, "target_modules");
    const SnJson *saved = sn_json_get(a->config, "modules_to_save");
    SnRegexMatch m;
    SnBytes s;
    *is_target = false;
    if (sn_peft_is_named(b, "exclude_modules", module, true))
        return true;
    for (uint32_t i = 0; saved && saved->kind == SN_JSON_ARRAY && i < saved->n; i++)
        if (sn_json_string(sn_json_at(saved, i), &s) && matches(b, "(?:.*\\.)?", s, "(?:\\..*)?", module, &m))
            return true;
    if (sn_json_string(targets, &s)) {
        *is_target = is_all_linear(s) ? is_linear && !is_head(a, module) : matches(b, "", s, "", module, &m);
        return sn_graph_check(b->g, NULL) == SN_OK;
    }
    for (uint32_t i = 0; targets && targets->kind == SN_JSON_ARRAY && i < targets->n; i++) {
        if (!sn_json_string(sn_json_at(targets, i), &s))
            continue;
        *is_target = *is_target || (s.n == strlen(module) && ends_with(module, s, true)) ||
                     (ends_with(module, s, true) && has_layer(a, module));
    }
    return sn_graph_check(b->g, NULL) == SN_OK;
}

double sn_peft_pattern(SnBuild *b, const char *patterns, const char *key, const char *module,
                       double otherwise)
{
    const SnJson *c = b->adapter->config, *list = sn_json_get(c, patterns);
    double v = sn_json_number_of(c, key, otherwise);
    SnRegexMatch m;
    for (uint32_t i = 0; list && list->kind == SN_JSON_OBJECT && i < list->n; i++)
        if (matches(b, "(?:.*\\.)?", list->u.child[i].key, "", module, &m))
            return sn_json_number(&list->u.child[i], &v) ? v : otherwise;
    return v;
}
