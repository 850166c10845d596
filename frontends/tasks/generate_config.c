/* generate_config.c -- GenerationConfig: what a folder says, and what a call says over it.
 *
 * As in transformers 5.23: keys of the call count, a null too; then generation_config.json, or config.json
 * where there is none; then the library's defaults. */
#include "frontends/tasks/generate.h"

#include "frontends/hf/adapter.h"
#include "frontends/tasks/logits.h"

#include <math.h>
#include <stddef.h>
#include <stdio.h>

typedef enum Kind { WHOLE, NUMBER, FLAG, TOKENS, EARLY, TEXTS } Kind;

/* Keys that are read here. */
static const struct {
    const char *key;
    Kind kind;
    size_t at; /* in SnGenConfig */
    double lo, hi, otherwise;
} keys[] = {
#define AT(field) offsetof(SnGenConfig, field)
    {"max_length", WHOLE, AT(max_length), 0, 1e9, -1},
    {"max_new_tokens", WHOLE, AT(max_new_tokens), 1, 1e9, -1},
    {"num_beams", WHOLE, AT(num_beams), 1, 256, 1},
    {"num_return_sequences", WHOLE, AT(num_return_sequences), 1, 256, 1},
    {"prompt_lookup_num_tokens", WHOLE, AT(prompt_lookup_num_tokens), 1, 64, 0},
    {"max_matching_ngram_size", WHOLE, AT(max_matching_ngram_size), 1, 64, 2},
    {"num_assistant_tokens", WHOLE, AT(num_assistant_tokens), 1, 64, 5},
    {"seed", WHOLE, AT(seed), 0, 9007199254740991, 0},
    {"pad_token_id", WHOLE, AT(pad), -1, 1e9, -1},
    {"do_sample", FLAG, AT(do_sample), 0, 0, 0},
    {"output_logits", FLAG, AT(output_logits), 0, 0, 0},
    {"output_scores", FLAG, AT(output_scores), 0, 0, 0},
    {"early_stopping", EARLY, AT(early_stopping), 0, 0, 0},
    {"length_penalty", NUMBER, AT(length_penalty), -1e9, 1e9, 1},
    {"max_time", NUMBER, AT(max_time), 0, 1e9, 0},
    {"eos_token_id", TOKENS, AT(end), 0, 0, 0},
    {"stop_strings", TEXTS, AT(stop), 0, 0, 0},
    {"negative_prompt_ids", TOKENS, AT(negative), 0, 0, 0},
    {"adapter_rows", TOKENS, AT(adapter), 0, 0, 0},
#undef AT
};

/* Those of processors (logits.c), and what nothing depends on. */
static const char other_keys[] =
    "min_length min_new_tokens use_cache temperature top_k top_p top_h min_p typical_p epsilon_cutoff "
    "eta_cutoff repetition_penalty encoder_repetition_penalty no_repeat_ngram_size "
    "encoder_no_repeat_ngram_size bad_words_ids sequence_bias renormalize_logits forced_bos_token_id "
    "forced_eos_token_id remove_invalid_values exponential_decay_length_penalty suppress_tokens "
    "begin_suppress_tokens guidance_scale watermarking_config bos_token_id decoder_start_token_id "
    "return_dict_in_generate output_attentions output_hidden_states transformers_version "
    "_from_model_config cache_implementation trust_remote_code disable_compile";

static bool is_known(SnBytes key)
{
    return SN_FIND_ROW(keys, key, key) < SN_COUNT(keys) || sn_is_one_of(key, other_keys);
}

/* ---- layers ---- */

typedef struct Merge {
    SnJson *at;
    uint32_t n;
} Merge;

static bool has_key(const Merge *m, SnBytes key)
{
    for (uint32_t i = 0; i < m->n; i++)
        if (sn_bytes_equal(m->at[i].key, key))
            return true;
    return false;
}

/* What a lower layer says of keys that no higher one has. keeps_null: null counts; keeps_all: also keys that
 * nothing here reads. */
static void add_layer(Merge *m, const SnJson *layer, bool keeps_null, bool keeps_all)
{
    for (uint32_t i = 0; layer && layer->kind == SN_JSON_OBJECT && i < layer->n; i++) {
        const SnJson *last = sn_json_get(layer, (const char *)layer->u.child[i].key.at);
        if (last && (keeps_all || is_known(last->key)) && !has_key(m, last->key) &&
            (keeps_null || !sn_json_is_null(last)))
            m->at[m->n++] = *last;
    }
}

static uint32_t count_keys(const SnJson *layer)
{
    return layer && layer->kind == SN_JSON_OBJECT ? layer->n : 0;
}

SnStatus sn_gen_file(SnModel *m, SnArena *arena, const SnJson **out, SnError *err)
{
    SnJson *json = NULL;
    const char *path = sn_arena_printf(arena, "%s/generation_config.json", m->folder);
    SN_CHECK(path, err, SN_ENOMEM, "%s: no memory", m->folder);
    *out = m->config.json;
    if (!sn_file_exists(path))
        return SN_OK;
    SN_TRY(sn_json_read(m->ctx, arena, path, &json, err));
    *out = json;
    return SN_OK;
}

static SnStatus merge(SnModel *m, const SnJson *options, const SnJson *base, bool has_usual, SnArena *arena,
                      const SnJson **out, SnError *err)
{
    static const uint8_t top_k[] = "top_k";
    const SnJson *file = base;
    const SnJson k = {.kind = SN_JSON_INT, .u.integer = 50, .key = sn_bytes(top_k, sizeof top_k - 1)};
    if (!base)
        SN_TRY(sn_gen_file(m, arena, &file, err));
    SnJson *all = sn_arena_alloc(arena, sizeof *all);
    Merge x = {sn_arena_array(arena, (size_t)count_keys(options) + count_keys(file) + 1, sizeof *x.at), 0};
    SN_CHECK(all && x.at, err, SN_ENOMEM, "%s: no memory", m->folder);
    for (uint32_t i = 0; i < count_keys(options); i++) {
        const SnBytes key = options->u.child[i].key;
        SN_CHECK(is_known(key), err, SN_EUNSUPPORTED, "%s: generation with %.*s", m->folder, (int)key.n,
                 (const char *)key.at);
    }
    add_layer(&x, options, true, false);
    add_layer(&x, file, base != NULL, !has_usual && file != m->config.json);
    if (has_usual && !has_key(&x, k.key))
        x.at[x.n++] = k;
    *all = (SnJson){.kind = SN_JSON_OBJECT, .n = x.n, .u.child = x.at};
    *out = all;
    return SN_OK;
}

/* ---- values ---- */

static bool read_tokens(const SnJson *v, SnArena *arena, SnIds *out)
{
    const bool is_list = v->kind == SN_JSON_ARRAY;
    const uint32_t n = is_list ? v->n : 1;
    int32_t *id = sn_arena_array(arena, (size_t)n + 1, sizeof *id);
    for (uint32_t i = 0; id && i < n; i++) {
        int64_t x = -1;
        if (!sn_json_int(is_list ? sn_json_at(v, i) : v, &x) || x < INT32_MIN || x > INT32_MAX)
            return false;
        id[i] = (int32_t)x;
    }
    *out = (SnIds){id, n};
    return id != NULL;
}

static bool read_early(const SnJson *v, SnLmEarly *out)
{
    bool flag = false;
    const bool is_never = sn_json_is(v, "never");
    if (!is_never && !sn_json_bool(v, &flag))
        return false;
    *out = is_never ? SN_LM_EARLY_NEVER : flag ? SN_LM_EARLY_TRUE : SN_LM_EARLY_FALSE;
    return true;
}

static bool read_value(const SnJson *v, size_t i, SnArena *arena, void *to)
{
    double x = 0;
    int64_t n = 0;
    switch (keys[i].kind) {
    case WHOLE:
        if (!sn_json_int(v, &n) || (double)n < keys[i].lo || (double)n > keys[i].hi)
            return false;
        memcpy(to, &n, sizeof n);
        return true;
    case NUMBER:
        if (!sn_json_number(v, &x) || !(x >= keys[i].lo && x <= keys[i].hi))
            return false;
        memcpy(to, &x, sizeof x);
        return true;
    case FLAG:
        return sn_json_bool(v, to);
    case TOKENS:
        return read_tokens(v, arena, to);
    case EARLY:
        return read_early(v, to);
    case TEXTS:
        memcpy(to, &v, sizeof v);
        return v->kind == SN_JSON_STRING || v->kind == SN_JSON_ARRAY;
    }
    return false;
}

static void set_default(size_t i, void *to)
{
    const int64_t n = (int64_t)keys[i].otherwise;
    if (keys[i].kind == WHOLE)
        memcpy(to, &n, sizeof n);
    else if (keys[i].kind == NUMBER)
        memcpy(to, &keys[i].otherwise, sizeof keys[i].otherwise);
}

static SnStatus refuse(const SnModel *m, size_t i, const SnArena *arena, SnError *err)
{
    static const char *const what[] = {[WHOLE] = "a whole number",
                                       [NUMBER] = "a number",
                                       [FLAG] = "true or false",
                                       [TOKENS] = "a whole number or a list of them",
                                       [EARLY] = "true, false or \"never\"",
                                       [TEXTS] = "a text or a list of them"};
    const bool has_range = keys[i].kind == WHOLE || keys[i].kind == NUMBER;
    SN_CHECK(!arena->failed, err, SN_ENOMEM, "%s: no memory", m->folder);
    SN_CHECK(!has_range, err, SN_EINVAL, "%s: %s is not %s from %g to %g", m->folder, keys[i].key,
             what[keys[i].kind], keys[i].lo, keys[i].hi);
    return sn_fail(err, SN_EINVAL, "%s: %s is not %s", m->folder, keys[i].key, what[keys[i].kind]);
}

static SnStatus check(const SnModel *m, const SnGenConfig *c, SnError *err)
{
    for (uint32_t i = 0; i < c->negative.n; i++)
        SN_TRY(sn_gen_check_id(m, c->negative.at[i], err));
    const int64_t most = m->adapter ? sn_adapter_rows(m->adapter) : 0;
    for (uint32_t i = 0; i < c->adapter.n; i++)
        SN_CHECK(most > 0 && c->adapter.at[i] >= 0 && c->adapter.at[i] <= most, err, SN_EINVAL,
                 "%s: adapter_rows: %d, there are %lld adapters of rows", m->folder, (int)c->adapter.at[i],
                 (long long)most);
    SN_TRY(sn_logits_check(c->json, c->do_sample, m->folder, err));
    SN_CHECK(c->num_return_sequences <= c->num_beams || (c->num_beams == 1 && c->do_sample), err, SN_EINVAL,
             "%s: %lld sequences are wanted of %lld beams", m->folder, (long long)c->num_return_sequences,
             (long long)c->num_beams);
    return SN_OK;
}

SnStatus sn_gen_config(SnModel *m, const SnJson *options, const SnJson *base, SnArena *arena,
                       SnGenConfig *out, SnError *err)
{
    SnGenConfig c = {0};
    SN_CHECK(!options || options->kind == SN_JSON_OBJECT, err, SN_EINVAL, "%s: options are no JSON object",
             m->folder);
    SN_TRY(merge(m, options, base, true, arena, &c.json, err));
    for (size_t i = 0; i < SN_COUNT(keys); i++) {
        const SnJson *v = sn_json_get(c.json, keys[i].key);
        void *to = (uint8_t *)&c + keys[i].at;
        set_default(i, to);
        if (!sn_json_is_null(v) && !read_value(v, i, arena, to))
            return refuse(m, i, arena, err);
    }
    if (c.pad < 0 && c.end.n)
        c.pad = c.end.at[0];
    c.is_guided = sn_logits_asks(c.json, "guidance_scale", false);
    SN_TRY(check(m, &c, err));
    *out = c;
    return SN_OK;
}

int64_t sn_gen_max_length(const SnModel *m, const SnGenConfig *c, int64_t nid)
{
    static const int64_t usual = 20;
    const int64_t places = sn_config_int(&m->config, "max_position_embeddings", 0);
    if (c->max_new_tokens >= 0)
        return nid + c->max_new_tokens;
    if (c->max_length >= 0)
        return c->max_length;
    return places > 0 && places < nid + usual ? places : nid + usual;
}

SnStatus sn_gen_check_id(const SnModel *m, int64_t id, SnError *err)
{
    const int64_t words = sn_config_int(&m->config, "vocab_size", 0);
    SN_CHECK(id >= 0 && id <= INT32_MAX && (words <= 0 || id < words), err, SN_EINVAL,
             "%s: %lld is no token, there are %lld", m->folder, (long long)id, (long long)words);
    return SN_OK;
}

SnStatus sn_gen_room(const SnModel *m, int64_t places, int64_t nid, int64_t *out, SnError *err)
{
    SN_CHECK(places <= 0 || nid <= places, err, SN_ESHAPE, "%s: %lld tokens, the model has %lld positions",
             m->folder, (long long)nid, (long long)places);
    *out = places > 0 ? places - nid + 1 : INT32_MAX;
    return SN_OK;
}

uint32_t sn_gen_numbers(const SnGenConfig *c, const char *const *name, uint32_t n, int64_t seed,
                        SnLmNumber out[SN_GEN_NUMBERS])
{
    for (uint32_t i = 0; i < n; i++) {
        out[i] = (SnLmNumber){.name = name[i]};
        (void)sn_json_number(sn_json_get(c->json, name[i]), &out[i].value);
    }
    out[n] = (SnLmNumber){"adapter_rows", c->adapter.n ? (double)c->adapter.at[0] : 0};
    out[n + 1] = (SnLmNumber){"seed", (double)seed};
    return n + 2;
}

SnStatus sn_model_generation_config(SnModel *m, const SnJson *options, SnText *json, SnError *err)
{
    SnArena arena;
    SnGenConfig c;
    const SnJson *all = NULL;
    sn_arena_init(&arena, sn_allocator(m->ctx));
    SnStatus st = sn_gen_config(m, options, NULL, &arena, &c, err);
    if (st == SN_OK)
        st = merge(m, options, NULL, false, &arena, &all, err);
    const char *before = "{";
    for (uint32_t i = 0; st == SN_OK && i < all->n; i++) {
        const SnJson *v = &all->u.child[i];
        if (v->kind == SN_JSON_NULL)
            continue;
        sn_text_printf(json, "%s\n  ", before);
        sn_json_put_member(json, v);
        before = ",";
    }
    if (st == SN_OK)
        sn_text_printf(json, "%s}\n", *before == ',' ? "\n" : "{");
    sn_arena_clear(&arena);
    SN_CHECK(st != SN_OK || !json->failed, err, SN_ENOMEM, "%s: no memory", m->folder);
    return st;
}
