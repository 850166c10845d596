/* peft_file.c -- adapters as files: opened, made, changed, written. */
#include "frontends/training/peft_state.h"

#include "runtime/hash.h"
#include "runtime/tensor.h"

#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>

#define CONFIG  "adapter_config.json"
#define WEIGHTS "adapter_model.safetensors"

/* ---- open ---- */

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

SnStatus sn_peft_begin(SnModel *m, const char *name, SnAdapter **out, SnError *err)
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

SnStatus sn_peft_try(SnAdapter *a, SnError *err)
{
    SnModelProgram p = {0};
    SnAdapter *before = a->m->adapter;
    const bool was_merged = a->m->is_merged;
    const char *const *usual = NULL, *name[8] = {0};
    size_t n = sn_input_names(a->m, &usual);
    memcpy(name, usual, n * sizeof *name);
    if (sn_adapter_rows(a))
        name[n++] = "adapter_rows";
    sn_model_adapt(a->m, a, false);
    const SnStatus st = sn_model_fill_forward(a->m, name, n, NULL, 0, &p, err);
    sn_graph_destroy(p.graph);
    sn_model_adapt(a->m, before, was_merged);
    return st;
}

SnStatus sn_adapter_open(SnModel *m, const char *folder, SnAdapter **out, SnError *err)
{
    SnAdapter *a = NULL;
    SnBytes bytes = {0};
    SN_TRY(sn_peft_begin(m, folder, &a, err));
    SnStatus st = a->folder ? sn_folder_open(m->ctx, folder, &a->files, err)
                            : sn_fail(err, SN_ENOMEM, "%s: no memory", folder);
    if (st == SN_OK)
        st = sn_folder_read(a->files, CONFIG, &bytes, err);
    if (st == SN_OK && !bytes.at)
        st = sn_fail(err, SN_EIO, "%s: no " CONFIG, folder);
    if (st == SN_OK)
        st = sn_peft_read_config(a, bytes, err);
    if (st == SN_OK)
        st = open_weights(a, err);
    if (st == SN_OK)
        st = sn_peft_try(a, err);
    if (st == SN_OK)
        st = sn_peft_take(a, false, err);
    if (st == SN_OK)
        *out = a;
    else
        sn_adapter_close(a);
    return st;
}

/* ---- make ---- */

SnWeights *sn_peft_weights(SnAdapter *a)
{
    SnError err = {0};
    if (!a->weights && sn_weights_open_all(a->m->ctx, NULL, 0, &a->weights, &err) != SN_OK)
        return NULL;
    return a->weights;
}

SnStatus sn_peft_results(SnAdapter *a, const int64_t *ids, int64_t n, const char *const *want, size_t nwant,
                         bool merged, SnResults **out, SnError *err)
{
    static const int64_t none[] = {0};
    SnModel *m = a->m;
    SnAdapter *before = m->adapter;
    const bool was_merged = m->is_merged;
    const int64_t dims[] = {1, ids ? n : 1};
    const SnNamedTensor in = {"input_ids", sn_view(SN_I64, (void *)(uintptr_t)(ids ? ids : none), 2, dims)};
    const bool is_first = m->program.n == 0;
    sn_model_adapt(m, a, merged);
    const SnStatus st = sn_model_forward(m, &in, 1, want, nwant, out, err);
    sn_model_adapt(m, before, was_merged);
    if (is_first)
        sn_model_drop_programs(m); /* the model has not run yet */
    return st;
}

SnStatus sn_peft_modules(const SnAdapter *a, SnArena *arena, const char *kind, const char *const *ends,
                         size_t nend, const char *const **out, size_t *n, SnError *err)
{
    const size_t count = sn_weights_count(a->weights), prefix = strlen(a->prefix);
    const char **all = sn_arena_array(arena, count + 1, sizeof *all);
    *n = 0;
    for (size_t i = 0; all && i < count; i++) {
        const SnBytes name = sn_weights_at(a->weights, i)->name;
        for (size_t k = 0; k < nend; k++) {
            const size_t end = strlen(ends[k]);
            if (name.n <= prefix + end || memcmp(name.at + name.n - end, ends[k], end) != 0 ||
                memcmp(name.at, a->prefix, prefix) != 0)
                continue;
            all[*n] = sn_arena_printf(arena, "%s%.*s", kind, (int)(name.n - prefix - end),
                                      (const char *)name.at + prefix);
            (*n)++;
        }
    }
    SN_CHECK(all && !arena->failed, err, SN_ENOMEM, "%s: no memory", a->folder);
    *out = all;
    return SN_OK;
}

/* DoRA begins with the lengths of the rows of each matrix. */
static SnStatus measure_rows(SnAdapter *a, SnError *err)
{
    static const char *const end[] = {".lora_magnitude_vector"};
    SnArena arena;
    SnResults *r = NULL;
    const char *const *want = NULL;
    size_t n = 0;
    sn_arena_init(&arena, sn_allocator(a->m->ctx));
    SnStatus st = sn_peft_modules(a, &arena, "norm.", end, 1, &want, &n, err);
    if (st == SN_OK && n)
        st = sn_peft_results(a, NULL, 0, want, n, false, &r, err);
    for (size_t i = 0; st == SN_OK && i < n; i++) {
        const SnView *v = &sn_results_find(r, want[i])->view;
        const char *name = sn_arena_printf(&arena, "%s%s%s", a->prefix, want[i] + strlen("norm."), end[0]);
        st = name ? sn_weights_add(a->weights, name, SN_F32, v->ndim, v->dims, v->data, err)
                  : sn_fail(err, SN_ENOMEM, "%s: no memory", a->folder);
    }
    sn_results_destroy(r);
    sn_arena_clear(&arena);
    return st;
}

/* Tokens that a prompt begins with: those of a text again and again, or any. */
static SnStatus first_tokens(SnAdapter *a, int64_t *ids, SnError *err)
{
    SnArena arena;
    SnEncoding *e = NULL;
    SnModel *from = NULL;
    SnBytes text, path;
    const bool is_text = sn_json_is(sn_json_get(a->config, "prompt_tuning_init"), "TEXT");
    const int64_t vocabulary = sn_config_int(&a->m->config, "vocab_size", 1);
    uint64_t state = sn_hash64("prompt_embeddings", 17, a->seed);
    for (int64_t i = 0; !is_text && i < a->tokens; i++)
        ids[i] = (int64_t)(sn_nn_uniform(&state) * (double)vocabulary);
    if (!is_text)
        return SN_OK;
    SN_CHECK(sn_json_string(sn_json_get(a->config, "prompt_tuning_init_text"), &text) && text.n, err,
             SN_EINVAL, "%s: prompt_tuning_init TEXT without prompt_tuning_init_text", a->folder);
    const bool is_other = sn_json_string(sn_json_get(a->config, "tokenizer_name_or_path"), &path);
    sn_arena_init(&arena, sn_allocator(a->m->ctx));
    SnStatus st = is_other ? sn_model_open(a->m->cc, (const char *)path.at, NULL, &from, err) : SN_OK;
    if (st == SN_OK)
        st = sn_model_tokenize(from ? from : a->m, &text, NULL, 1, NULL, &arena, &e, err);
    if (st == SN_OK && e->n == 0)
        st = sn_fail(err, SN_EINVAL, "%s: prompt_tuning_init_text has no tokens", a->folder);
    for (int64_t i = 0; st == SN_OK && i < a->tokens; i++)
        ids[i] = e->ids[(size_t)i % e->n];
    sn_model_close(from);
    sn_arena_clear(&arena);
    return st;
}

/* A prompt that begins as words of the model. */
static SnStatus copy_words(SnAdapter *a, SnError *err)
{
    static const char *const want[] = {"words.0"};
    SnArena arena;
    SnResults *r = NULL;
    if (strcmp(a->type_name, "PROMPT_TUNING") != 0 ||
        sn_json_is(sn_json_get(a->config, "prompt_tuning_init"), "RANDOM"))
        return SN_OK;
    sn_arena_init(&arena, sn_allocator(a->m->ctx));
    int64_t *ids = sn_arena_array(&arena, (size_t)a->tokens, sizeof *ids);
    SnStatus st = ids ? first_tokens(a, ids, err) : sn_fail(err, SN_ENOMEM, "%s: no memory", a->folder);
    if (st == SN_OK)
        st = sn_peft_results(a, ids, a->tokens, want, 1, false, &r, err);
    if (st == SN_OK) {
        const SnView *v = &sn_results_find(r, want[0])->view;
        st = sn_weights_add(a->weights, "prompt_embeddings", SN_F32, 2, v->dims + 1, v->data, err);
    }
    sn_results_destroy(r);
    sn_arena_clear(&arena);
    return st;
}

/* Does it change anything? Copies alone do not. */
static SnStatus check_made(SnAdapter *a, SnError *err)
{
    static const char *const end[] = {".lora_A.weight", ".lora_embedding_A", ".ia3_l"}, *const table[] = {
                                                                                            "." SN_PEFT_ROWS};
    const SnJson *rows = sn_json_get(a->config, "trainable_token_indices");
    const size_t least = sn_json_is_null(rows) ? 0 : rows->kind == SN_JSON_OBJECT ? rows->n : 1;
    SnArena arena;
    const char *const *name = NULL;
    size_t n = 0, ntable = 0;
    sn_arena_init(&arena, sn_allocator(a->m->ctx));
    SnStatus st = sn_peft_modules(a, &arena, "", end, SN_COUNT(end), &name, &n, err);
    if (st == SN_OK)
        st = sn_peft_modules(a, &arena, "", table, 1, &name, &ntable, err);
    sn_arena_clear(&arena);
    SN_TRY(st);
    SN_CHECK(n || a->tokens, err, SN_EINVAL, "adapter: %s has none of target_modules", a->m->folder);
    SN_CHECK(ntable >= least, err, SN_EINVAL, "adapter: trainable_token_indices: %s has %zu of %zu tables",
             a->m->folder, ntable, least);
    return SN_OK;
}

SnStatus sn_adapter_create(SnModel *m, const SnJson *config, uint64_t seed, SnAdapter **out, SnError *err)
{
    SnAdapter *a = NULL;
    SnText text = {.memory = sn_allocator(m->ctx)};
    SN_TRY(sn_peft_begin(m, "adapter", &a, err));
    sn_json_put(&text, config);
    const char *own = text.failed ? NULL : sn_arena_strndup(&a->arena, text.at, text.n);
    a->seed = seed;
    a->is_new = true;
    SnStatus st = own && a->folder && sn_peft_weights(a) ? sn_peft_read_config(a, sn_bytes_str(own), err)
                                                         : sn_fail(err, SN_ENOMEM, "adapter: no memory");
    if (st == SN_OK)
        st = sn_peft_try(a, err);
    a->is_new = false;
    if (st == SN_OK)
        st = check_made(a, err);
    if (st == SN_OK)
        st = sn_peft_take(a, true, err);
    if (st == SN_OK)
        st = measure_rows(a, err);
    if (st == SN_OK)
        st = copy_words(a, err);
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

bool sn_adapter_is_copy(SnBytes name)
{
    return name.n > 8 && memcmp(name.at, "adapter.", 8) == 0;
}

size_t sn_adapter_count(const SnAdapter *a)
{
    return a->weights ? sn_weights_count(a->weights) : 0;
}

const char *sn_adapter_tensor(const SnAdapter *a, size_t i, SnView *out)
{
    const SnStTensor *t = sn_weights_at(a->weights, i);
    *out = sn_view(t->dtype, (void *)(uintptr_t)t->bytes.at, t->ndim, t->dims);
    return (const char *)t->name.at;
}

bool sn_adapter_keeps(const SnAdapter *a, const char *name)
{
    const SnBytes s = sn_bytes_str(name);
    return (sn_peft_is_encoder(s) || sn_peft_is_doubled(a, s)) && sn_weights_find(a->weights, name);
}

bool sn_adapter_keeps_any(const SnAdapter *a)
{
    for (size_t i = 0; i < sn_adapter_count(a); i++)
        if (sn_adapter_keeps(a, (const char *)sn_weights_at(a->weights, i)->name.at))
            return true;
    return false;
}

int64_t sn_adapter_tokens(const SnAdapter *a)
{
    return a->tokens;
}

bool sn_adapter_counts_pads(const SnAdapter *a)
{
    return a->type == SN_PEFT_PROMPT;
}

int64_t sn_adapter_rows(const SnAdapter *a)
{
    const SnStTensor *t = a->weights ? sn_weights_find(a->weights, SN_PEFT_COLUMNS) : NULL;
    return t ? t->dims[0] - 1 : 0;
}

uint64_t sn_adapter_signature(const SnAdapter *a, SnAdapterForm form)
{
    SnText t = {.memory = sn_allocator(a->m->ctx)};
    if (form != SN_ADAPTER_INPUTS)
        return a->id;
    for (uint32_t i = 0; i < a->config->n; i++) {
        const SnJson *v = &a->config->u.child[i];
        if (sn_is_one_of(v->key, "base_model_name_or_path revision auto_mapping inference_mode peft_version"))
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

/* Numbers of a tensor of the model: codes of 4 bits are two a byte, what lies beside them is none. */
static uint64_t weights_in(const SnWeights *w, const SnStTensor *t)
{
    static const char end[] = ".weight";
    char name[SN_PEFT_NAME] = "";
    for (size_t n = sizeof end - 1; n < t->name.n && n < sizeof name; n++)
        if (t->name.at[n] == '.' && memcmp(t->name.at + n - sizeof end + 1, end, sizeof end - 1) == 0)
            memcpy(name, t->name.at, n);
    const SnStTensor *codes = sn_weights_find(w, name);
    return codes && codes->dtype == SN_U8 ? 0 : sn_st_count(t) * (t->dtype == SN_U8 ? 2 : 1);
}

/* Does the adapter have the weight beside this bias too? */
static bool is_whole(const SnAdapter *a, SnBytes bias)
{
    char name[SN_PEFT_NAME];
    if (bias.n + 3 > sizeof name)
        return false;
    memcpy(name, bias.at, bias.n);
    memcpy(name + bias.n - strlen("bias"), "weight", sizeof "weight");
    return sn_weights_find(a->weights, name) != NULL;
}

SnStatus sn_adapter_report(const SnAdapter *a, SnText *line, SnError *err)
{
    const bool has_biases = !sn_json_is_null(sn_json_get(a->config, "bias")) &&
                            !sn_json_is(sn_json_get(a->config, "bias"), "none");
    uint64_t own = 0, more = 0, base = 0;
    for (size_t i = 0; i < sn_weights_count(a->weights); i++) {
        const SnStTensor *t = sn_weights_at(a->weights, i);
        const bool is_table = sn_bytes_ends(t->name, ".base_layer.weight") || sn_peft_is_taken(t->name);
        const bool is_bias = has_biases && sn_bytes_ends(t->name, ".bias") &&
                             !sn_bytes_ends(t->name, ".lora_B.bias") && !is_whole(a, t->name);
        own += is_table ? 0 : sn_st_count(t);
        more += is_table || is_bias ? 0 : sn_st_count(t); /* biases are the model's own */
    }
    for (size_t i = 0; i < sn_weights_count(a->m->weights); i++) {
        const SnStTensor *t = sn_weights_at(a->m->weights, i);
        base += sn_adapter_is_copy(t->name) ? 0 : weights_in(a->m->weights, t);
    }
    const uint64_t all = more + base;
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
        if (v->dtype == t->dtype && sn_weights_is_made(a->weights, t->name))
            memcpy((void *)(uintptr_t)t->bytes.at, v->data, t->bytes.n);
        else
            SN_TRY(sn_weights_add(a->weights, state[i].name, v->dtype, v->ndim, v->dims, v->data, err));
    }
    a->id = ++a->m->nadapter;
    return SN_OK;
}

SnStatus sn_adapter_save(SnAdapter *a, const char *folder, SnError *err)
{
    static const char *const metadata[][2] = {{"format", "pt"}};
    const SnStWriteOptions o = {.metadata = metadata, .nmetadata = 1};
    const size_t count = sn_weights_count(a->weights);
    char path[SN_PATH_SIZE];
    SnArena arena;
    SnEvalResult *prompts = NULL;
    size_t n = 0;
    SnText t = {.memory = sn_allocator(a->m->ctx)};
    SN_CHECK(!sn_adapter_rows(a), err, SN_EUNSUPPORTED, "%s: it is several adapters", folder);
    sn_arena_init(&arena, t.memory);
    SnStWrite *w = sn_arena_array(&arena, count + 1, sizeof *w);
    SnStatus st = w ? sn_peft_prompts(a, &prompts, err) : sn_fail(err, SN_ENOMEM, "%s: no memory", folder);
    if (st == SN_OK && prompts)
        w[n++] = (SnStWrite){.name = "prompt_embeddings", .view = sn_eval_get(prompts, 0)->view};
    for (size_t i = 0; st == SN_OK && i < count; i++) {
        const SnStTensor *x = sn_weights_at(a->weights, i);
        if (sn_peft_is_encoder(x->name) || sn_peft_is_taken(x->name))
            continue;
        w[n].name = sn_arena_strndup(&arena, (const char *)x->name.at, x->name.n);
        w[n].view = sn_view(x->dtype, (void *)(uintptr_t)x->bytes.at, x->ndim, x->dims);
        if (sn_peft_is_doubled(a, x->name))
            st = sn_peft_double(a, x, &arena, &w[n].view, err);
        if (!w[n++].name)
            st = sn_fail(err, SN_ENOMEM, "%s: no memory", folder);
    }
    if (st == SN_OK && mkdir(folder, 0777) != 0 && errno != EEXIST)
        st = sn_fail(err, SN_EIO, "%s: cannot write: %s", folder, strerror(errno));
    if (st == SN_OK && snprintf(path, sizeof path, "%s/" WEIGHTS, folder) >= SN_PATH_SIZE)
        st = sn_fail(err, SN_EINVAL, "%s: the path is too long", folder);
    if (st == SN_OK)
        st = sn_safetensors_write(a->m->ctx, path, w, n, &o, err);
    sn_peft_put_config(a, &t);
    const SnBytes bytes = sn_bytes(t.at, t.n);
    if (st == SN_OK && t.failed)
        st = sn_fail(err, SN_ENOMEM, "%s: no memory", folder);
    if (st == SN_OK && snprintf(path, sizeof path, "%s/" CONFIG, folder) >= SN_PATH_SIZE)
        st = sn_fail(err, SN_EINVAL, "%s: the path is too long", folder);
    if (st == SN_OK)
        st = sn_file_write(a->m->ctx, path, &bytes, 1, err);
    sn_eval_destroy(prompts);
    sn_text_clear(&t);
    sn_arena_clear(&arena);
    return st;
}
