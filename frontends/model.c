/* model.c -- opens model folders, builds their graphs, keeps what was compiled for them. */
#include "frontends/model.h"

#include "frontends/hf/adapter.h"

#include <inttypes.h>
#include <stdio.h>

/* ---- open, close ---- */

static SnStatus open_config(SnModel *m, SnError *err)
{
    SnBytes bytes;
    SN_TRY(sn_folder_read(m->files, "config.json", &bytes, err));
    const char *path = sn_arena_printf(&m->arena, "%s/config.json", m->folder);
    SN_CHECK(path, err, SN_ENOMEM, "%s: no memory", m->folder);
    return sn_config_parse(m->ctx, path, bytes, &m->config, err);
}

/* "auto" is the CPU. */
static const char *device_of(const SnModelOptions *o)
{
    return o && o->device && strcmp(o->device, "auto") != 0 ? o->device : "cpu";
}

static const char *copy_or_none(SnModel *m, const char *s)
{
    return s ? sn_arena_strndup(&m->arena, s, strlen(s)) : NULL;
}

/* What weights become, by the name that people give it. */
static const struct Quant {
    const char *name, *linear, *head; /* block formats; NULL: as stored */
} quants[] = {{"none", NULL, NULL},
              {"q8", "q8_0", "q8_0"},
              {"q4", "q4", "q8_0"},
              {"nf4", "nf4", NULL},
              {"nf4-double", "nf4-double", NULL}};

static SnStatus choose_quant(SnModel *m, const char *name, SnError *err)
{
    const size_t i = SN_FIND_ROW(quants, name, sn_bytes_str(name));
    SN_CHECK(i < SN_COUNT(quants), err, SN_EINVAL,
             "%s: quant: expected none, q8, q4, nf4 or nf4-double, found \"%s\"", m->folder, name);
    m->quant = quants[i].linear;
    m->head_quant = quants[i].head;
    return SN_OK;
}

static SnStatus copy_options(SnModel *m, const char *folder, const SnModelOptions *o, SnError *err)
{
    const char *device = device_of(o), *task = o ? sn_task_head(o->task) : NULL;
    m->folder = sn_arena_strndup(&m->arena, folder, strlen(folder));
    m->device = sn_arena_strndup(&m->arena, device, strlen(device));
    m->head = copy_or_none(m, task);
    m->emit_dir = copy_or_none(m, o ? o->emit_dir : NULL);
    m->emit_levels = copy_or_none(m, o ? o->emit_levels : NULL);
    SN_CHECK(!m->arena.failed, err, SN_ENOMEM, "%s: no memory", folder);
    if (!o)
        return SN_OK;
    SN_CHECK(o->dtype == SN_NODTYPE || sn_dtype_is_float(o->dtype), err, SN_EINVAL,
             "%s: cannot compute in %s", folder, sn_dtype(o->dtype)->name);
    SN_CHECK(o->kv_dtype == SN_NODTYPE || o->kv_dtype == SN_I8 ||
                 (sn_dtype_is_float(o->kv_dtype) && o->kv_dtype != SN_F64),
             err, SN_EINVAL, "%s: cannot keep keys and values as %s", folder, sn_dtype(o->kv_dtype)->name);
    SN_CHECK(o->num_labels >= 0, err, SN_EINVAL, "%s: %lld labels", folder, (long long)o->num_labels);
    m->dtype = o->dtype;
    m->kv_dtype = o->kv_dtype;
    m->flags = o->flags;
    m->num_labels = o->num_labels;
    return o->quant ? choose_quant(m, o->quant, err) : SN_OK;
}

/* What there is: a program in text form, a config, or only a tokenizer. */
static SnStatus open_files(SnModel *m, SnBytes gguf, SnError *err)
{
    const size_t n = strlen(m->folder);
    if (gguf.at) {
        SN_TRY(sn_folder_lend(m->ctx, m->folder, gguf, &m->files, err));
        return open_config(m, err);
    }
    if (n > 3 && strcmp(m->folder + n - 3, ".so") == 0)
        return sn_model_open_program(m, err);
    if (n > 3 && strcmp(m->folder + n - 3, ".sn") == 0)
        return sn_file_open(m->ctx, m->folder, &m->text, err);
    SN_CHECK(sn_file_exists(m->folder), err, SN_EIO, "%s: there is no such file or folder", m->folder);
    SN_TRY(sn_folder_open(m->ctx, m->folder, &m->files, err));
    if (sn_folder_has(m->files, "config.json"))
        return open_config(m, err);
    SN_CHECK(sn_folder_has(m->files, "tokenizer.json") || sn_folder_has(m->files, "vocab.txt"), err, SN_EIO,
             "%s: no config.json, tokenizer.json or vocab.txt: not a model folder", m->folder);
    return SN_OK;
}

SnStatus sn_model_open(SnCompiler *cc, const char *folder, const SnModelOptions *o, SnModel **out,
                       SnError *err)
{
    SnContext *ctx = sn_compiler_context(cc);
    SnModel *m = sn_alloc_zero(sn_allocator(ctx), sizeof *m, _Alignof(max_align_t));
    SN_CHECK(m, err, SN_ENOMEM, "%s: no memory", folder);
    m->ctx = ctx;
    m->cc = cc;
    sn_arena_init(&m->arena, sn_allocator(ctx));
    SnStatus st = copy_options(m, folder, o, err);
    if (st == SN_OK)
        st = open_files(m, o ? o->gguf : sn_bytes(NULL, 0), err);
    if (st == SN_OK)
        *out = m;
    else
        sn_model_close(m);
    return st;
}

static void close_program(SnModelProgram *p)
{
    sn_eval_destroy(p->evaluated);
    sn_graph_destroy(p->graph);
    sn_instance_destroy(p->instance);
    sn_program_release(p->program);
}

void sn_model_drop_programs(SnModel *m)
{
    for (size_t i = 0; i < m->program.n; i++)
        close_program(m->program.at[i]);
    m->program.n = 0;
}

void sn_model_close(SnModel *m)
{
    if (!m)
        return;
    sn_typed_destroy(m->talk);
    sn_model_drop_programs(m);
    sn_vec_clear(sn_allocator(m->ctx), &m->program);
    if (m->config.json)
        sn_config_clear(&m->config);
    sn_weights_release(m->weights);
    sn_folder_close(m->files);
    sn_file_release(m->text);
    sn_arena_clear(&m->arena);
    sn_free(sn_allocator(m->ctx), m, sizeof *m, _Alignof(max_align_t));
}

/* ---- what it is ---- */

const SnArch *sn_arch_find(const char *type, const char *name_or_task)
{
    for (size_t i = 0; sn_all_archs[i]; i++)
        for (const SnArch *a = sn_all_archs[i]; a->type; a++)
            if (strcmp(a->type, type) == 0 &&
                (!name_or_task || strcmp(a->name, name_or_task) == 0 || strcmp(a->task, name_or_task) == 0))
                return a;
    return NULL;
}

bool sn_arch_list(size_t i, const char **model_type, const char **class_name, const char **task)
{
    for (size_t k = 0; sn_all_archs[k]; k++)
        for (const SnArch *a = sn_all_archs[k]; a->type; a++)
            if (i-- == 0) {
                *model_type = a->type;
                *class_name = a->name;
                *task = a->task;
                return true;
            }
    return false;
}

/* The head that was asked for, else the one that config.json names, else the base model. */
static const SnArch *arch_of(const SnModel *m)
{
    if (!m->config.json)
        return NULL;
    const char *name = m->head ? m->head : *m->config.architecture ? m->config.architecture : NULL;
    return sn_arch_find(m->config.model_type, name);
}

const char *sn_model_task(const SnModel *m)
{
    const SnArch *a = arch_of(m);
    return m->opened ? sn_opened_task(m) : a ? a->task : "";
}

/* Checkpoints that do not say their dtype are what their first float tensor is. */
static SnDtype dtype_of(const SnModel *m)
{
    if (m->config.dtype != SN_NODTYPE)
        return m->config.dtype;
    for (size_t i = 0; i < sn_weights_count(m->weights); i++)
        if (sn_dtype_is_float(sn_weights_at(m->weights, i)->dtype))
            return sn_weights_at(m->weights, i)->dtype;
    return SN_F32;
}

SnStatus sn_model_need(SnModel *m, SnError *err)
{
    if (m->arch)
        return SN_OK;
    SN_CHECK(!m->text, err, SN_EUNSUPPORTED, "%s: a program has no task", m->folder);
    SN_CHECK(!m->opened, err, SN_EUNSUPPORTED, "%s: it is compiled: only %s can be run", m->folder,
             sn_opened_task(m));
    SN_CHECK(m->config.json, err, SN_EIO, "%s: no config.json", m->folder);
    const SnArch *arch = arch_of(m);
    SN_CHECK(arch || !sn_arch_find(m->config.model_type, NULL), err, SN_EUNSUPPORTED, "%s: %s of %s",
             m->folder, m->head ? m->head : m->config.architecture, m->config.model_type);
    SN_CHECK(arch, err, SN_EUNSUPPORTED, "%s: model type %s", m->folder, m->config.model_type);
    if (!m->weights)
        SN_TRY(sn_weights_open_folder(m->ctx, m->files, &m->weights, err));
    m->arch = arch;
    if (m->dtype == SN_NODTYPE)
        m->dtype = m->quant ? SN_F32 : dtype_of(m);
    if (m->kv_dtype == SN_NODTYPE)
        m->kv_dtype = m->dtype;
    return SN_OK;
}

/* ---- graphs ---- */

static void warn_made(const SnModel *m, const SnText *made)
{
    if (made->n)
        sn_log_write(m->ctx, SN_LOG_WARN, "%s: not in the checkpoint and made at random: %s", m->folder,
                     made->at);
}

void sn_model_build(SnModel *m, SnGraph *g, SnModelPart *part)
{
    const SnAllocator *memory = sn_allocator(m->ctx);
    const SnArch *arch = part->head ? sn_arch_find(m->config.model_type, part->head) : m->arch;
    SnBuild b = {.g = g,
                 .config = &m->config,
                 .weights = m->weights,
                 .arch = arch,
                 .arena = &m->arena,
                 .dtype = part->dtype != SN_NODTYPE ? part->dtype : m->dtype,
                 .quant = m->quant,
                 .head_quant = m->head_quant,
                 .want = part->want,
                 .nwant = part->nwant,
                 .num_labels = m->num_labels,
                 .past = part->past,
                 .trained = part->trained,
                 .form = part->form,
                 .noise = part->noise,
                 .neftune_alpha = part->neftune_alpha,
                 .adapter = m->adapter,
                 .adapter_form = part->trained         ? SN_ADAPTER_LEARNT
                                 : part->takes_adapter ? SN_ADAPTER_INPUTS
                                                       : SN_ADAPTER_MERGED,
                 .made = {.memory = memory}};
    if (!arch) {
        sn_graph_fail(g, SN_EUNSUPPORTED, "%s: %s of %s", m->folder, part->head, m->config.model_type);
        return;
    }
    for (size_t i = 0; i < part->nin; i++)
        if (!sn_vec_push(memory, &b.in, part->in[i]))
            sn_graph_fail(g, SN_ENOMEM, "%s: no memory for inputs", m->folder);
    arch->build(&b);
    for (size_t i = 0; i < part->nwant; i++)
        if (!sn_named_value(b.out.at, b.out.n, part->want[i]).ref)
            sn_graph_fail(g, SN_EUNSUPPORTED, "%s: no output %s from these inputs", arch->name,
                          part->want[i]);
    if (b.adapter && !part->head)
        sn_adapter_built(&b);
    if (sn_graph_check(g, NULL) == SN_OK)
        warn_made(m, &b.made);
    SnIdRange *range = sn_arena_array(&m->arena, b.range.n + 1, sizeof *range);
    if (range && b.range.n)
        memcpy(range, b.range.at, b.range.n * sizeof *range);
    part->range = range;
    part->nrange = range ? b.range.n : 0;
    part->max_seq = b.max_seq && b.adapter && !b.past ? b.max_seq - sn_adapter_tokens(b.adapter) : b.max_seq;
    part->out = b.out;
    sn_text_clear(&b.made);
    sn_vec_clear(memory, &b.in);
    sn_vec_clear(memory, &b.range);
    sn_vec_clear(memory, &b.adapted);
}

void sn_model_part_clear(SnModel *m, SnModelPart *part)
{
    sn_vec_clear(sn_allocator(m->ctx), &part->out);
}

/* ---- programs ---- */

SnStatus sn_model_fill(SnModel *m, SnModelFill *fill, void *user, SnModelProgram *p, SnError *err)
{
    SN_TRY(sn_graph_create(m->cc, &p->graph, err));
    if (m->weights)
        sn_graph_source(p->graph, sn_weights_source(m->weights));
    m->arena.failed = m->config.arena.failed = false;
    fill(m, p->graph, p, user);
    /* Config values and names that are missing for lack of memory have defaults. */
    SN_CHECK(!m->arena.failed && !m->config.arena.failed, err, SN_ENOMEM, "%s: no memory for a graph",
             m->folder);
    return sn_graph_check(p->graph, err);
}

/* A file whose name is that of the program. */
static SnStatus compile_ahead(SnModel *m, SnModelProgram *p, SnError *err)
{
    const SnCompileOptions o = {.struct_size = sizeof o,
                                .flags = m->flags & SN_EXACT,
                                .target = m->device,
                                .specialise = p->specialise,
                                .shape = p->shape,
                                .memory_budget = p->memory_budget,
                                .levels = m->emit_levels};
    const SnHash128 folder = sn_hash128(m->folder, strlen(m->folder),
                                        (uint64_t)m->kv_dtype << 40 | (uint64_t)m->dtype << 32 | m->flags);
    const uint64_t quant = m->quant ? sn_hash64(m->quant, strlen(m->quant), 0) : 0;
    const SnHash128 id = sn_hash128(p->key, strlen(p->key), folder.lo ^ quant ^ p->adapter);
    char path[SN_PATH_SIZE];
    SN_CHECK(strcmp(m->device, "cpu") == 0, err, SN_EUNSUPPORTED, "%s: ahead of time for device %s",
             m->folder, m->device);
    SN_CHECK(snprintf(path, sizeof path, "%s/p%016" PRIx64 ".so", m->emit_dir, id.lo) < SN_PATH_SIZE, err,
             SN_EINVAL, "%s: the path is too long", m->emit_dir);
    SN_TRY(sn_emit(m->cc, p->graph, &o, path, err));
    return sn_program_open(m->ctx, path, &p->program, err);
}

static SnStatus compile(SnModel *m, SnModelProgram *p, SnError *err)
{
    const SnCompileOptions o = {.struct_size = sizeof o,
                                .flags = m->flags & SN_EXACT,
                                .target = m->device,
                                .specialise = p->specialise,
                                .shape = p->shape,
                                .memory_budget = p->memory_budget};
    if (strcmp(m->device, "eval") == 0)
        return SN_OK;
    SN_TRY(m->emit_dir ? compile_ahead(m, p, err) : sn_compile(m->cc, p->graph, &o, &p->program, err));
    if (p->program->image->create_symbol.count == 0)
        SN_TRY(sn_instance_create(p->program, NULL, &p->instance, err));
    sn_graph_destroy(p->graph);
    p->graph = NULL;
    return SN_OK;
}

bool sn_model_takes_adapter(const SnModel *m)
{
    return m->adapter && !m->is_merged && strcmp(m->device, "eval") != 0;
}

void sn_model_key(const SnModel *m, SnText *key)
{
    if (sn_model_takes_adapter(m))
        sn_text_printf(key, "@%016" PRIx64 " ", sn_adapter_signature(m->adapter, SN_ADAPTER_INPUTS));
}

SnModelProgram *sn_model_find_program(const SnModel *m, const char *key)
{
    const uint64_t own = m->adapter ? sn_adapter_signature(m->adapter, SN_ADAPTER_MERGED) : 0;
    for (size_t i = 0; i < m->program.n; i++)
        if (strcmp(m->program.at[i]->key, key) == 0 && (*key == '@' || m->program.at[i]->adapter == own))
            return m->program.at[i];
    return NULL;
}

SnStatus sn_model_program(SnModel *m, const char *key, SnModelFill *fill, void *user, SnModelProgram **out,
                          SnError *err)
{
    *out = sn_model_find_program(m, key);
    if (*out)
        return SN_OK;
    SnModelProgram *p = sn_arena_alloc(&m->arena, sizeof *p);
    SN_CHECK(p, err, SN_ENOMEM, "%s: no memory for a program", m->folder);
    p->key = sn_arena_strndup(&m->arena, key, strlen(key));
    p->adapter = m->adapter ? sn_adapter_signature(m->adapter, SN_ADAPTER_MERGED) : 0;
    SN_CHECK(p->key, err, SN_ENOMEM, "%s: no memory for a program", m->folder);
    SnStatus st = sn_model_fill(m, fill, user, p, err);
    if (st == SN_OK)
        st = compile(m, p, err);
    if (st == SN_OK && !sn_vec_push(sn_allocator(m->ctx), &m->program, p))
        st = sn_fail(err, SN_ENOMEM, "%s: no memory for a program", m->folder);
    if (st == SN_OK)
        *out = p;
    else
        close_program(p);
    return st;
}

/* ---- inspect ---- */

static void put_tensor(SnText *t, const SnStTensor *w)
{
    sn_text_printf(t, "{\"name\":");
    sn_json_put_string(t, w->name);
    sn_text_printf(t, ",\"dtype\":\"%s\",\"shape\":[", w->format);
    for (int i = 0; i < w->ndim; i++)
        sn_text_printf(t, "%s%lld", i ? "," : "", (long long)w->dims[i]);
    sn_text_printf(t, "]}");
}

static void put_weights(SnText *t, const SnWeights *w)
{
    uint64_t count = 0, size = 0;
    sn_text_printf(t, ",\"tensors\":[");
    for (size_t i = 0; i < sn_weights_count(w); i++) {
        const SnStTensor *x = sn_weights_at(w, i);
        uint64_t n = 1;
        for (int k = 0; k < x->ndim; k++)
            n *= (uint64_t)x->dims[k]; /* the file holds as many: it was checked */
        count += n;
        size += x->bytes.n;
        if (i)
            sn_text_add(t, ",", 1);
        put_tensor(t, x);
    }
    sn_text_printf(t, "],\"parameters\":%llu,\"weight_bytes\":%llu", (unsigned long long)count,
                   (unsigned long long)size);
}

static void put_text(SnText *t, const char *key, const char *value)
{
    sn_text_printf(t, "\"%s\":", key);
    if (value)
        sn_json_put_string(t, sn_bytes_str(value));
    else
        sn_text_printf(t, "null");
    sn_text_add(t, ",", 1);
}

SnStatus sn_model_inspect(SnModel *m, SnText *json, SnError *err)
{
    if (m->opened)
        return sn_opened_inspect(m, json, err);
    const SnArch *a = arch_of(m);
    if (sn_weights_has(m->files) && !m->weights)
        SN_TRY(sn_weights_open_folder(m->ctx, m->files, &m->weights, err));
    sn_text_add(json, "{", 1);
    put_text(json, "model_type", m->config.model_type);
    put_text(json, "architecture", a ? a->name : m->config.architecture);
    put_text(json, "task", a ? a->task : NULL);
    put_text(json, "dtype", m->weights ? sn_dtype(dtype_of(m))->name : NULL);
    put_text(json, "tokenizer",
             sn_folder_has(m->files, "tokenizer.json") ? "tokenizer.json"
             : sn_folder_has(m->files, "vocab.txt")    ? "vocab.txt"
                                                       : NULL);
    sn_text_printf(json, "\"supported\":%s,\"config\":", a ? "true" : "false");
    if (m->config.json)
        sn_json_put(json, m->config.json);
    else
        sn_text_printf(json, "null");
    if (m->weights)
        put_weights(json, m->weights);
    sn_text_add(json, "}", 1);
    SN_CHECK(!json->failed, err, SN_ENOMEM, "%s: no memory", m->folder);
    return SN_OK;
}
