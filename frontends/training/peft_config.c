/* peft_config.c -- adapters as files: opened, made, written, and which modules they are for. */
#include "frontends/training/peft_state.h"

#include "frontends/hf/regex.h"
#include "runtime/hash.h"
#include "runtime/tensor.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#define MAX_PATH_SIZE 4096
#define MAX_TOKENS    65536
#define CONFIG        "adapter_config.json"
#define WEIGHTS       "adapter_model.safetensors"

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

/* Is the module what a key of the config names: one pattern, or the ends of names? */
static bool is_named(SnBuild *b, const char *key, const char *module, bool whole)
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
    static const char *const heads[] = {"lm_head", "embed_out", "score", "classifier",
                                        "cls.predictions.decoder"};
    for (size_t i = 0; i < SN_COUNT(heads); i++)
        if (strcmp(module, heads[i]) == 0 &&
            (i != 2 && i != 3 ? true : sn_json_is(sn_json_get(a->config, "task_type"), "SEQ_CLS")))
            return true;
    return false;
}

bool sn_peft_targets(SnBuild *b, const char *module, bool *is_target)
{
    const SnAdapter *a = b->adapter;
    const SnJson *targets = sn_json_get(a->config, "target_modules");
    const SnJson *saved = sn_json_get(a->config, "modules_to_save");
    SnRegexMatch m;
    SnBytes s;
    *is_target = false;
    if (is_named(b, "exclude_modules", module, true))
        return true;
    for (uint32_t i = 0; saved && saved->kind == SN_JSON_ARRAY && i < saved->n; i++)
        if (sn_json_string(sn_json_at(saved, i), &s) && matches(b, "(?:.*\\.)?", s, "(?:\\..*)?", module, &m))
            return true;
    if (sn_json_string(targets, &s)) {
        *is_target = sn_bytes_is(s, "all-linear") ? !is_head(a, module) : matches(b, "", s, "", module, &m);
        return true;
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
    double v = otherwise;
    (void)sn_json_number(sn_json_get(c, key), &v);
    SnRegexMatch m;
    for (uint32_t i = 0; list && list->kind == SN_JSON_OBJECT && i < list->n; i++)
        if (matches(b, "(?:.*\\.)?", list->u.child[i].key, "", module, &m))
            return sn_json_number(&list->u.child[i], &v) ? v : otherwise;
    return v;
}

/* ---- open ---- */

static const struct {
    const char *name;
    SnPeftType type;
} types[] = {{"LORA", SN_PEFT_LORA},
             {"IA3", SN_PEFT_IA3},
             {"PROMPT_TUNING", SN_PEFT_PROMPT},
             {"P_TUNING", SN_PEFT_PROMPT},
             {"PREFIX_TUNING", SN_PEFT_PREFIX}};

static SnStatus read_config(SnAdapter *a, SnBytes bytes, SnError *err)
{
    SnJson *json = NULL;
    SnBytes s;
    SN_TRY(sn_json_parse(&a->arena, a->folder, bytes, &json, err));
    a->config = json;
    const char *name = sn_json_string(sn_json_get(json, "peft_type"), &s)
                           ? sn_arena_strndup(&a->arena, (const char *)s.at, s.n)
                           : "";
    SN_CHECK(name, err, SN_ENOMEM, "%s: no memory", a->folder);
    a->type_name = name;
    size_t i = 0;
    while (i < SN_COUNT(types) && strcmp(types[i].name, name) != 0)
        i++;
    SN_CHECK(i < SN_COUNT(types), err, SN_EUNSUPPORTED,
             "%s: peft_type \"%s\": expected LORA, IA3, PROMPT_TUNING, P_TUNING or PREFIX_TUNING", a->folder,
             name);
    a->type = types[i].type;
    static const char *const other[] = {"target_parameters",
                                        "trainable_token_indices",
                                        "alora_invocation_tokens",
                                        "layer_replication",
                                        "use_qalora",
                                        "use_bdlora"};
    for (size_t k = 0; k < SN_COUNT(other); k++) {
        const SnJson *v = sn_json_get(a->config, other[k]);
        const bool is_off = sn_json_is_null(v) || (v->kind == SN_JSON_BOOL && !v->u.boolean) ||
                            (v->kind == SN_JSON_ARRAY && v->n == 0);
        SN_CHECK(is_off, err, SN_EUNSUPPORTED, "%s: %s", a->folder, other[k]);
    }
    return SN_OK;
}

static SnStatus read_tokens(SnAdapter *a, SnError *err)
{
    const SnStTensor *t = a->weights ? sn_weights_find(a->weights, "prompt_embeddings") : NULL;
    if (a->type != SN_PEFT_PROMPT && a->type != SN_PEFT_PREFIX)
        return SN_OK;
    SN_CHECK(t, err, SN_EFORMAT, "%s: no tensor prompt_embeddings", a->folder);
    int64_t n = -1;
    (void)sn_json_int(sn_json_get(a->config, "num_virtual_tokens"), &n);
    SN_CHECK(t->ndim == 2 && t->dims[0] == n && n >= 1 && n <= MAX_TOKENS, err, SN_ESHAPE,
             "%s: prompt_embeddings: %d dims, the first is %lld, and num_virtual_tokens %lld", a->folder,
             t->ndim, (long long)(t->ndim ? t->dims[0] : 0), (long long)n);
    a->tokens = n;
    return SN_OK;
}

static SnStatus open_weights(SnAdapter *a, SnError *err)
{
    const char *path = sn_arena_printf(&a->arena, "%s/" WEIGHTS, a->folder);
    if (path && !sn_file_exists(path))
        path = sn_arena_printf(&a->arena, "%s/adapter_model.bin", a->folder);
    SN_CHECK(path, err, SN_ENOMEM, "%s: no memory", a->folder);
    SN_TRY(sn_weights_open_all(a->m->ctx, &path, 1, &a->weights, err));
    for (size_t i = 0; i < sn_weights_count(a->weights); i++) {
        const SnStTensor *t = sn_weights_at(a->weights, i);
        SN_CHECK(sn_dtype_is_float(t->dtype) && t->ndim >= 1 && t->ndim <= 4 && t->name.n < 400, err,
                 SN_EFORMAT, "%s: tensor %.*s: %s of %d dims is none of an adapter", a->folder,
                 (int)(t->name.n < 400 ? t->name.n : 400), (const char *)t->name.at, t->format, t->ndim);
    }
    return SN_OK;
}

static SnStatus create(SnModel *m, const char *name, SnAdapter **out, SnError *err)
{
    SN_TRY(sn_model_need(m, err));
    SnAdapter *a = sn_alloc_zero(sn_allocator(m->ctx), sizeof *a, _Alignof(max_align_t));
    SN_CHECK(a, err, SN_ENOMEM, "%s: no memory", name);
    a->m = m;
    sn_arena_init(&a->arena, sn_allocator(m->ctx));
    sn_map_init(&a->seen, sn_allocator(m->ctx));
    a->folder = sn_arena_strndup(&a->arena, name, strlen(name));
    a->id = ++m->nadapter;
    *out = a;
    return SN_OK;
}

/* Builds the model with it: shapes are checked against modules, and a new one's tensors are made. */
static SnStatus try_on(SnAdapter *a, SnError *err)
{
    SnModelProgram p = {0};
    SnAdapter *before = a->m->adapter;
    const bool was_merged = a->m->is_merged;
    sn_model_adapt(a->m, a, false);
    const SnStatus st = sn_model_fill_forward(a->m, NULL, 0, NULL, 0, &p, err);
    sn_graph_destroy(p.graph);
    sn_model_adapt(a->m, before, was_merged);
    return st;
}

SnStatus sn_adapter_open(SnModel *m, const char *folder, SnAdapter **out, SnError *err)
{
    SnAdapter *a = NULL;
    SnBytes bytes = {0};
    SN_TRY(create(m, folder, &a, err));
    SnStatus st = a->folder ? sn_folder_open(m->ctx, folder, &a->files, err)
                            : sn_fail(err, SN_ENOMEM, "%s: no memory", folder);
    if (st == SN_OK)
        st = sn_folder_read(a->files, CONFIG, &bytes, err);
    if (st == SN_OK && !bytes.at)
        st = sn_fail(err, SN_EIO, "%s: no " CONFIG, folder);
    if (st == SN_OK)
        st = read_config(a, bytes, err);
    if (st == SN_OK)
        st = open_weights(a, err);
    if (st == SN_OK)
        st = read_tokens(a, err);
    if (st == SN_OK)
        st = try_on(a, err);
    if (st == SN_OK)
        *out = a;
    else
        sn_adapter_close(a);
    return st;
}

SnWeights *sn_peft_weights(SnAdapter *a)
{
    SnError err = {0};
    if (!a->weights && sn_weights_open_all(a->m->ctx, NULL, 0, &a->weights, &err) != SN_OK)
        return NULL;
    return a->weights;
}

SnStatus sn_adapter_create(SnModel *m, const SnJson *config, uint64_t seed, SnAdapter **out, SnError *err)
{
    SnAdapter *a = NULL;
    SnText text = {.memory = sn_allocator(m->ctx)};
    SN_TRY(create(m, "adapter", &a, err));
    sn_json_put(&text, config);
    const char *own = text.failed ? NULL : sn_arena_strndup(&a->arena, text.at, text.n);
    a->seed = seed;
    a->is_new = true;
    SnStatus st = own && a->folder ? read_config(a, sn_bytes_str(own), err)
                                   : sn_fail(err, SN_ENOMEM, "adapter: no memory");
    if (st == SN_OK && a->type != SN_PEFT_LORA && a->type != SN_PEFT_IA3)
        st = sn_fail(err, SN_EUNSUPPORTED, "adapter: a new one of peft_type %s", a->type_name);
    if (st == SN_OK)
        st = sn_peft_weights(a) ? try_on(a, err) : sn_fail(err, SN_ENOMEM, "adapter: no memory");
    if (st == SN_OK && sn_weights_count(a->weights) == 0)
        st = sn_fail(err, SN_EINVAL, "adapter: %s has none of target_modules", m->folder);
    a->is_new = false;
    sn_text_clear(&text);
    if (st == SN_OK)
        *out = a;
    else
        sn_adapter_close(a);
    return st;
}

void sn_adapter_close(SnAdapter *a)
{
    if (!a)
        return;
    const SnAllocator *memory = sn_allocator(a->m->ctx);
    if (a->m->adapter == a)
        a->m->adapter = NULL;
    sn_weights_release(a->weights);
    sn_folder_close(a->files);
    sn_map_clear(&a->seen);
    sn_arena_clear(&a->arena);
    sn_free(memory, a, sizeof *a, _Alignof(max_align_t));
}

void sn_model_adapt(SnModel *m, SnAdapter *a, bool merged)
{
    m->adapter = a;
    m->is_merged = merged;
}

/* ---- what it is ---- */

bool sn_adapter_find(const SnAdapter *a, const char *name, SnView *out)
{
    const SnStTensor *t = a->weights ? sn_weights_find(a->weights, name) : NULL;
    if (!t)
        return false;
    *out = sn_view(t->dtype, (void *)(uintptr_t)t->bytes.at, t->ndim, t->dims);
    return true;
}

int64_t sn_adapter_tokens(const SnAdapter *a)
{
    return a->type == SN_PEFT_PROMPT ? a->tokens : 0;
}

uint64_t sn_adapter_signature(const SnAdapter *a, SnAdapterForm form)
{
    static const char *const free_keys[] = {"base_model_name_or_path", "revision", "auto_mapping",
                                            "inference_mode", "peft_version"};
    SnText t = {.memory = sn_allocator(a->m->ctx)};
    if (form != SN_ADAPTER_INPUTS)
        return a->id;
    for (uint32_t i = 0; i < a->config->n; i++) {
        const SnJson *v = &a->config->u.child[i];
        bool is_free = false;
        for (size_t k = 0; k < SN_COUNT(free_keys); k++)
            is_free = is_free || sn_bytes_is(v->key, free_keys[k]);
        if (is_free)
            continue;
        sn_json_put_string(&t, v->key);
        sn_json_put(&t, v);
    }
    for (size_t i = 0; a->weights && i < sn_weights_count(a->weights); i++) {
        const SnStTensor *x = sn_weights_at(a->weights, i);
        sn_text_printf(&t, "%.*s %s", (int)x->name.n, (const char *)x->name.at, x->format);
        for (int k = 0; k < x->ndim; k++)
            sn_text_printf(&t, " %lld", (long long)x->dims[k]);
    }
    const uint64_t h = t.failed ? a->id : sn_hash64(t.at, t.n, 0);
    sn_text_clear(&t);
    return h;
}

static void put_grouped(SnText *t, uint64_t v)
{
    if (v >= 1000) {
        put_grouped(t, v / 1000);
        sn_text_printf(t, ",%03u", (unsigned)(v % 1000));
    } else {
        sn_text_printf(t, "%u", (unsigned)v);
    }
}

static uint64_t elements(const SnWeights *w)
{
    uint64_t sum = 0;
    for (size_t i = 0; w && i < sn_weights_count(w); i++) {
        const SnStTensor *t = sn_weights_at(w, i);
        uint64_t n = strncmp((const char *)t->name.at, "adapter.", t->name.n < 8 ? t->name.n : 8) != 0;
        for (int k = 0; k < t->ndim; k++)
            n *= (uint64_t)t->dims[k];
        sum += n;
    }
    return sum;
}

SnStatus sn_adapter_report(const SnAdapter *a, SnText *line, SnError *err)
{
    const uint64_t own = elements(a->weights), all = own + elements(a->m->weights);
    sn_text_printf(line, "trainable params: ");
    put_grouped(line, own);
    sn_text_printf(line, " || all params: ");
    put_grouped(line, all);
    sn_text_printf(line, " || trainable%%: %.4f", all ? 100 * (double)own / (double)all : 0);
    SN_CHECK(!line->failed, err, SN_ENOMEM, "%s: no memory", a->folder);
    return SN_OK;
}

/* ---- change, save ---- */

SnStatus sn_adapter_set(SnAdapter *a, const SnNamedTensor *state, size_t n, SnError *err)
{
    for (size_t i = 0; i < n; i++) {
        const SnStTensor *t = sn_weights_find(a->weights, state[i].name);
        const SnView *v = &state[i].view;
        if (!t)
            continue;
        SN_CHECK(sn_dtype_is_float(v->dtype) && sn_view_is_dense(v) && v->ndim == t->ndim &&
                     memcmp(v->dims, t->dims, (size_t)t->ndim * sizeof *t->dims) == 0,
                 err, SN_ESHAPE, "%s: tensor %s has other dims", a->folder, state[i].name);
        SN_TRY(sn_weights_add(a->weights, state[i].name, v->dtype, v->ndim, v->dims, v->data, err));
    }
    a->id = ++a->m->nadapter;
    return SN_OK;
}

SnStatus sn_adapter_save(SnAdapter *a, const char *folder, SnError *err)
{
    static const char *const metadata[][2] = {{"format", "pt"}};
    const SnStWriteOptions o = {.metadata = metadata, .nmetadata = 1};
    const size_t n = sn_weights_count(a->weights);
    char path[MAX_PATH_SIZE];
    SnArena arena;
    SnText t = {.memory = sn_allocator(a->m->ctx)};
    sn_arena_init(&arena, t.memory);
    SnStWrite *w = sn_arena_array(&arena, n + 1, sizeof *w);
    SnStatus st = w ? SN_OK : sn_fail(err, SN_ENOMEM, "%s: no memory", folder);
    for (size_t i = 0; st == SN_OK && i < n; i++) {
        const SnStTensor *x = sn_weights_at(a->weights, i);
        w[i].name = sn_arena_strndup(&arena, (const char *)x->name.at, x->name.n);
        w[i].view = sn_view(x->dtype, (void *)(uintptr_t)x->bytes.at, x->ndim, x->dims);
        if (!w[i].name)
            st = sn_fail(err, SN_ENOMEM, "%s: no memory", folder);
    }
    if (st == SN_OK && mkdir(folder, 0777) != 0 && errno != EEXIST)
        st = sn_fail(err, SN_EIO, "%s: cannot write: %s", folder, strerror(errno));
    if (st == SN_OK && snprintf(path, sizeof path, "%s/" WEIGHTS, folder) >= MAX_PATH_SIZE)
        st = sn_fail(err, SN_EINVAL, "%s: the path is too long", folder);
    if (st == SN_OK)
        st = sn_safetensors_write(a->m->ctx, path, w, n, &o, err);
    sn_json_put(&t, a->config);
    const SnBytes bytes = sn_bytes(t.at, t.n);
    if (st == SN_OK && t.failed)
        st = sn_fail(err, SN_ENOMEM, "%s: no memory", folder);
    if (st == SN_OK && snprintf(path, sizeof path, "%s/" CONFIG, folder) >= MAX_PATH_SIZE)
        st = sn_fail(err, SN_EINVAL, "%s: the path is too long", folder);
    if (st == SN_OK)
        st = sn_file_write(a->m->ctx, path, &bytes, 1, err);
    sn_text_clear(&t);
    sn_arena_clear(&arena);
    return st;
}
