/* peft_merge.c -- merge_and_unload: an adapter's changes become the model's own weights. */
#include "frontends/training/peft_state.h"

#include "runtime/tensor.h"

#include <stdio.h>

typedef struct Merge {
    SnModel *m;
    SnAdapter *a;
    SnArena arena;
} Merge;

static SnStatus no_memory(const Merge *x, SnError *err)
{
    return sn_fail(err, SN_ENOMEM, "%s: no memory", x->a->folder);
}

/* ---- weights ---- */

static const SnStTensor *find(const Merge *x, const char *name)
{
    const SnBuild b = {.weights = x->m->weights, .arch = x->m->arch};
    return sn_nn_file_tensor(&b, name);
}

/* Numbers under the name that the file has for it, in the file's dtype. */
static SnStatus put(const Merge *x, const char *name, const SnStTensor *t, const SnView *v, SnError *err)
{
    const SnDtype dtype = t ? t->dtype : SN_F32;
    int64_t count = 0;
    size_t size = 0;
    const char *own = t ? (const char *)t->name.at : name;
    SN_CHECK(sn_dtype_is_float(dtype), err, SN_EUNSUPPORTED, "%s: %s: weights in blocks take nothing up",
             x->m->folder, name);
    SN_CHECK(sn_view_count(v, &count) && sn_mul_size((size_t)count, sn_dtype_size(dtype), &size), err,
             SN_ESHAPE, "%s: its size overflows", name);
    const SnAllocator *memory = sn_allocator(x->m->ctx);
    uint8_t *data = sn_alloc(memory, size + 1, _Alignof(max_align_t));
    if (!data)
        return no_memory(x, err);
    for (int64_t i = 0; i < count; i++) {
        const uint8_t *from = (const uint8_t *)v->data + (size_t)i * sn_dtype_size(v->dtype);
        sn_scalar_store(dtype, data + (size_t)i * sn_dtype_size(dtype),
                        sn_scalar_cast(v->dtype, dtype, sn_scalar_load(v->dtype, from), false));
    }
    const SnStatus st = sn_weights_add(x->m->weights, own, dtype, v->ndim, v->dims, data, err);
    sn_free(memory, data, size + 1, _Alignof(max_align_t));
    return st;
}

/* A head that shares the embedding keeps what it was, or what it became, as a matrix of its own. */
static SnStatus untie(Merge *x, const char *module, const SnStTensor *table, SnError *err)
{
    SnModel *m = x->m;
    SnJson *ties = (SnJson *)(uintptr_t)sn_json_get(m->config.json, "tie_word_embeddings");
    if (strcmp(m->arch->task, "text-generation") != 0 || find(x, "lm_head.weight"))
        return SN_OK;
    SN_CHECK(ties && ties->kind == SN_JSON_BOOL, err, SN_EUNSUPPORTED,
             "%s: %s shares its weights with the head, and config.json has no tie_word_embeddings", m->folder,
             module);
    ties->u.boolean = false;
    m->is_changed = true;
    if (!table)
        return SN_OK;
    const SnView v = sn_view(table->dtype, (void *)(uintptr_t)table->bytes.at, table->ndim, table->dims);
    return put(x, "lm_head.weight", NULL, &v, err);
}

/* ---- modules ---- */

/* What changes: the weight of each module, and the biases of some. */
static SnStatus list_changes(Merge *x, const char *const **out, size_t *n, SnError *err)
{
    static const char *const products[] = {".lora_A.weight", ".lora_embedding_A", ".ia3_l",
                                           ("." SN_PEFT_ROWS)},
                             *const biased[] = {".lora_B.bias"};
    const char *const *weight = NULL, *const *bias = NULL;
    size_t nweight = 0, nbias = 0;
    SN_TRY(sn_peft_modules(x->a, &x->arena, "merged.", products, SN_COUNT(products), &weight, &nweight, err));
    SN_TRY(sn_peft_modules(x->a, &x->arena, "merged.", biased, 1, &bias, &nbias, err));
    const char **all = sn_arena_array(&x->arena, 2 * nweight + nbias + 1, sizeof *all);
    if (!all)
        return no_memory(x, err);
    *n = 0;
    for (size_t i = 0; i < nweight; i++) {
        const char *module = weight[i] + strlen("merged."),
                   *name = sn_arena_printf(&x->arena, "%s.bias", module),
                   *l = sn_arena_printf(&x->arena, "%s%s.ia3_l", x->a->prefix, module);
        const SnStTensor *t = l ? sn_weights_find(x->a->weights, l) : NULL;
        all[(*n)++] = sn_arena_printf(&x->arena, "%s.weight", weight[i]);
        if (t && t->ndim == 2 && t->dims[1] == 1 && t->dims[0] > 1 && name && find(x, name))
            all[(*n)++] = sn_arena_printf(&x->arena, "%s.bias", weight[i]);
    }
    for (size_t i = 0; i < nbias; i++)
        all[(*n)++] = sn_arena_printf(&x->arena, "%s.bias", bias[i]);
    *out = all;
    return x->arena.failed ? no_memory(x, err) : SN_OK;
}

/* Rows of its own are those of a head that shares the table, too. */
static bool has_rows(const Merge *x, const char *weight)
{
    char own[SN_PEFT_NAME];
    const int n = (int)(strlen(weight) - strlen("weight"));
    return snprintf(own, sizeof own, "%s%.*s" SN_PEFT_ROWS, x->a->prefix, n, weight) < SN_PEFT_NAME &&
           sn_weights_find(x->a->weights, own);
}

static SnStatus take_modules(Merge *x, SnError *err)
{
    const char *const *want = NULL;
    SnResults *r = NULL;
    size_t n = 0;
    SN_TRY(list_changes(x, &want, &n, err));
    SnStatus st = n ? sn_peft_results(x->a, NULL, 0, want, n, true, &r, err) : SN_OK;
    for (size_t i = 0; st == SN_OK && i < n; i++) {
        const char *name = want[i] + strlen("merged.");
        const SnStTensor *t = find(x, name);
        const bool is_table =
            strstr(name, "embed_tokens.") || strstr(name, "wte.") || strstr(name, "lm_head.");
        if (is_table && !has_rows(x, name))
            st = untie(x, name, t, err);
        if (st == SN_OK && !t && !strstr(name, "lm_head."))
            st = sn_fail(err, SN_EUNSUPPORTED, "%s: %s: the model has none that could take it up",
                         x->a->folder, name);
        if (st == SN_OK)
            st = put(x, name, t, &sn_results_find(r, want[i])->view, err);
    }
    sn_results_destroy(r);
    return st;
}

/* Tensors that stand in the place of the model's own. */
static SnStatus take_copies(Merge *x, SnError *err)
{
    const size_t prefix = strlen(x->a->prefix);
    for (size_t i = 0; i < sn_weights_count(x->a->weights); i++) {
        const SnStTensor *own = sn_weights_at(x->a->weights, i);
        const char *name = (const char *)own->name.at;
        const char *base = strstr(name, ".base_layer.");
        if (own->name.n <= prefix || strstr(name, ".lora_") || strstr(name, ".ia3_l") ||
            strstr(name, "." SN_PEFT_ROWS) || strstr(name, ".modules_to_save.") ||
            strstr(name, ".original_module.") || (base && strcmp(base, ".base_layer.weight") == 0))
            continue;
        name = base ? sn_arena_printf(&x->arena, "%.*s%s", (int)(base - name - (ptrdiff_t)prefix),
                                      name + prefix, base + strlen(".base_layer"))
                    : name + prefix;
        if (!name)
            return no_memory(x, err);
        const SnView v = sn_view(own->dtype, (void *)(uintptr_t)own->bytes.at, own->ndim, own->dims);
        SN_TRY(put(x, name, find(x, name), &v, err));
    }
    return SN_OK;
}

SnStatus sn_model_merge(SnModel *m, SnAdapter *a, SnError *err)
{
    Merge x = {.m = m, .a = a};
    SN_CHECK(a->tokens == 0 && !sn_adapter_rows(a), err, SN_EUNSUPPORTED,
             "%s: %s has no weights that a model could take up", a->folder, a->type_name);
    SN_CHECK(m->program.n == 0, err, SN_EINVAL, "%s: it has run; merge an adapter first", m->folder);
    sn_arena_init(&x.arena, sn_allocator(m->ctx));
    SnStatus st = take_modules(&x, err);
    if (st == SN_OK)
        st = take_copies(&x, err);
    if (m->adapter == a)
        sn_model_adapt(m, NULL, false);
    sn_arena_clear(&x.arena);
    return st;
}
