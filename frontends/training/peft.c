/* peft.c -- what adapters compute: beside the products of a model, in front of its words, or in front of the
 * keys and values of its layers.
 *
 * LoRA: Hu et al. 2021, arXiv:2106.09685. rsLoRA: Kalajdzievski 2023, arXiv:2312.03732. DoRA: Liu et al.
 * 2024, arXiv:2402.09353. (IA)^3: Liu et al. 2022, arXiv:2205.05638. Prompts: Lester et al. 2021,
 * arXiv:2104.08691. Prefixes: Li & Liang 2021, arXiv:2101.00190. Names, shapes and formulas are those of
 * PEFT. */
#include "frontends/training/peft_state.h"

#include "ops/ops.h"

#include <math.h>
#include <stdio.h>

#define NAME_SIZE 512
#define PREFIX    "base_model.model."
#define MAX_RANK  65536

static SnValue size(SnBuild *b, int64_t n)
{
    return sn_const_int(b->g, SN_I64, n);
}

/* ---- tensors ---- */

/* As a parameter of the model's own file: what is merged or begins to learn. */
static SnValue as_param(SnBuild *b, const char *name, const SnStTensor *t)
{
    SnError err = {0};
    char own[NAME_SIZE];
    const int n = snprintf(own, sizeof own, "adapter.%llu.%s", (unsigned long long)b->adapter->id, name);
    SnStatus st = n < NAME_SIZE ? SN_OK : sn_fail(&err, SN_EUNSUPPORTED, "%s: the name is too long", name);
    if (st == SN_OK && !sn_weights_find(b->weights, own))
        st = sn_weights_add(b->weights, own, t->dtype, t->ndim, t->dims, t->bytes.at, &err);
    return st == SN_OK ? sn_param(b->g, own, t->dtype, t->ndim, t->dims)
                       : sn_graph_fail(b->g, st, "%s", err.message);
}

static SnValue as_input(SnBuild *b, const char *name, const SnStTensor *t)
{
    SnValue dims[SN_MAX_RANK], v = sn_named_value(b->adapted.at, b->adapted.n, name);
    if (v.ref)
        return v;
    const uint32_t inside = sn_outside_begin(b->g);
    for (int i = 0; i < t->ndim; i++)
        dims[i] = size(b, t->dims[i]);
    v = sn_input(b->g, name, t->dtype, t->ndim, dims);
    sn_outside_end(b->g, inside);
    const char *own = sn_arena_strndup(b->arena, name, strlen(name));
    if (!own || !sn_vec_push(b->arena->memory, &b->adapted, (SnNamedValue){own, v}))
        return sn_graph_fail(b->g, SN_ENOMEM, "%s: no memory", name);
    return v;
}

/* f32, or none where the adapter has no such tensor. */
static SnValue tensor(SnBuild *b, const char *name)
{
    SnAdapter *a = b->adapter;
    const SnStTensor *t = a->weights ? sn_weights_find(a->weights, name) : NULL;
    uint32_t at = 0;
    if (!t)
        return sn_none();
    if (!sn_map_get(&a->seen, t->name, &at) && sn_map_put(&a->seen, t->name, 0))
        a->asked++;
    const uint32_t inside = sn_outside_begin(b->g);
    SnValue v = b->adapter_form == SN_ADAPTER_INPUTS ? as_input(b, name, t) : as_param(b, name, t);
    v = sn_cast(b->g, b->adapter_form == SN_ADAPTER_LEARNT ? sn_nn_trained(b, name, v) : v, SN_F32);
    sn_outside_end(b->g, inside);
    return v;
}

/* The name of a module in PEFT's words; a base model has no prefix. */
static const char *plain(const SnBuild *b, const char *path)
{
    const size_t n = strlen(b->arch->prefix);
    const bool is_base = strcmp(b->arch->task, "feature-extraction") == 0;
    return is_base && strncmp(path, b->arch->prefix, n) == 0 && path[n] == '.' ? path + n + 1 : path;
}

static bool join(SnBuild *b, const char *module, const char *name, char out[NAME_SIZE])
{
    if (snprintf(out, NAME_SIZE, PREFIX "%s.%s", module, name) < NAME_SIZE)
        return true;
    sn_graph_fail(b->g, SN_EUNSUPPORTED, "%s: the name is too long", module);
    return false;
}

/* A tensor [rows, cols] of the module at hand; cols 0: [rows]. A new adapter makes it: normal numbers times
 * spread, from mean on. */
typedef struct Wanted {
    const char *name;
    int64_t rows, cols;
    float mean, spread;
} Wanted;

static SnStatus make(SnAdapter *a, const char *name, const Wanted *w, SnError *err)
{
    const size_t n = (size_t)w->rows * (size_t)(w->cols ? w->cols : 1);
    const int64_t dims[] = {w->rows, w->cols};
    const SnAllocator *memory = sn_allocator(a->m->ctx);
    float *data = sn_alloc(memory, n * sizeof *data, _Alignof(max_align_t));
    SN_CHECK(data, err, SN_ENOMEM, "%s: no memory", name);
    uint64_t state = sn_hash64(name, strlen(name), a->seed);
    for (size_t i = 0; i < n; i++)
        data[i] = w->spread != 0 ? w->mean + w->spread * sn_nn_normal(&state) : w->mean;
    const SnStatus st = sn_weights_add(a->weights, name, SN_F32, w->cols ? 2 : 1, dims, data, err);
    sn_free(memory, data, n * sizeof *data, _Alignof(max_align_t));
    return st;
}

static SnValue need(SnBuild *b, const char *module, Wanted w)
{
    SnAdapter *a = b->adapter;
    char name[NAME_SIZE];
    SnError err = {0};
    if (!join(b, module, w.name, name))
        return sn_none();
    const SnStTensor *t = sn_weights_find(a->weights, name);
    if (!t && a->is_new) {
        if (make(a, name, &w, &err) != SN_OK)
            return sn_graph_fail(b->g, err.code, "%s", err.message);
        t = sn_weights_find(a->weights, name);
    }
    if (!t)
        return sn_graph_fail(b->g, SN_EFORMAT, "%s: no tensor %s", a->folder, name);
    if (t->ndim != (w.cols ? 2 : 1) || t->dims[0] != w.rows || (w.cols && t->dims[1] != w.cols))
        return sn_graph_fail(b->g, SN_ESHAPE,
                             "%s: tensor %s: found %d dims, %lld x %lld, expected %lld x %lld", a->folder,
                             name, t->ndim, (long long)t->dims[0], (long long)(t->ndim > 1 ? t->dims[1] : 1),
                             (long long)w.rows, (long long)(w.cols ? w.cols : 1));
    return tensor(b, name);
}

SnValue sn_adapter_param(SnBuild *b, const char *full)
{
    char name[NAME_SIZE];
    const char *path = plain(b, full), *dot = strrchr(path, '.');
    if (snprintf(name, sizeof name, PREFIX "%s", path) >= NAME_SIZE)
        return sn_none();
    const SnValue v = tensor(b, name);
    if (v.ref || !dot)
        return v;
    const int n = (int)(dot - path);
    return snprintf(name, sizeof name, PREFIX "%.*s.base_layer%s", n, path, dot) < NAME_SIZE ? tensor(b, name)
                                                                                             : sn_none();
}

/* ---- products ---- */

typedef struct Product {
    SnBuild *b;
    const char *module, *quant;
    SnValue x, w, bias;
    int64_t in, out;
    bool is_merged;
} Product;

/* w and bias of the module are other ones: the product with those, and what they are for who asks. */
static SnValue merged(const Product *p, SnValue w, SnValue bias, bool turned)
{
    SnBuild *b = p->b;
    const SnValue all[] = {w, bias};
    static const char *const part[] = {"weight", "bias"};
    char name[NAME_SIZE];
    for (int i = 0; i < 2; i++)
        if (all[i].ref && all[i].ref != (i ? p->bias.ref : p->w.ref) &&
            snprintf(name, sizeof name, "merged.%s.%s", p->module, part[i]) < NAME_SIZE && b->nwant &&
            sn_nn_wants(b, name)) {
            const uint32_t inside = sn_outside_begin(b->g);
            sn_nn_output(b, name, i == 0 && turned ? sn_permute(b->g, w, (const int[]){1, 0}) : all[i]);
            sn_outside_end(b->g, inside);
        }
    return sn_nn_product(b, p->quant, p->x, sn_cast(b->g, w, b->dtype),
                         bias.ref ? sn_cast(b->g, bias, b->dtype) : bias);
}

static SnValue wide(SnBuild *b, SnValue x)
{
    return sn_cast(b->g, x, SN_F32);
}

static SnValue times(SnBuild *b, SnValue x, double s)
{
    return sn_mul(b->g, x, sn_const(b->g, SN_F32, s));
}

typedef struct Lora {
    SnValue a, b, bias, magnitude;
    double scale;
} Lora;

static bool is_on(const Product *p, const char *key)
{
    bool v = false;
    return sn_json_bool(sn_json_get(p->b->adapter->config, key), &v) && v;
}

static bool read_lora(const Product *p, Lora *l)
{
    SnBuild *b = p->b;
    const double r = sn_peft_pattern(b, "rank_pattern", "r", p->module, 8);
    const double alpha = sn_peft_pattern(b, "alpha_pattern", "lora_alpha", p->module, 8);
    if (!(r >= 1 && r <= MAX_RANK && r == floor(r))) {
        sn_graph_fail(b->g, SN_EFORMAT, "%s: %s: rank %g, allowed 1 to %d", b->adapter->folder, p->module, r,
                      MAX_RANK);
        return false;
    }
    const int64_t rank = (int64_t)r;
    l->scale = alpha / (is_on(p, "use_rslora") ? sqrt(r) : r);
    l->a =
        need(b, p->module, (Wanted){"lora_A.weight", rank, p->in, 0, (float)(1 / sqrt(3 * (double)p->in))});
    l->b = need(b, p->module, (Wanted){"lora_B.weight", p->out, rank, 0, 0});
    l->bias = l->magnitude = sn_none();
    if (is_on(p, "lora_bias"))
        l->bias = need(b, p->module, (Wanted){"lora_B.bias", p->out, 0, 0, 0});
    if (is_on(p, "use_dora"))
        l->magnitude = need(b, p->module, (Wanted){"lora_magnitude_vector", p->out, 0, 1, 0});
    return sn_graph_check(b->g, NULL) == SN_OK;
}

/* w + scale * b a, [out, in] */
static SnValue with_delta(const Product *p, const Lora *l)
{
    SnGraph *g = p->b->g;
    const SnValue delta = sn_linear(g, l->b, sn_permute(g, l->a, (const int[]){1, 0}), sn_none());
    return sn_add(g, wide(p->b, p->w), times(p->b, delta, l->scale));
}

/* What DoRA stretches each row of w by, [out]. */
static SnValue stretch(const Product *p, const Lora *l)
{
    SnGraph *g = p->b->g;
    const SnValue squares = sn_reduce(g, "add", sn_square(g, with_delta(p, l)), 1, &(int){1}, false);
    return sn_div(g, l->magnitude, sn_stop_gradient(g, sn_sqrt(g, squares)));
}

static SnValue merge_lora(const Product *p, const Lora *l, bool turned)
{
    SnGraph *g = p->b->g;
    const uint32_t inside = sn_outside_begin(g);
    SnValue w = with_delta(p, l), bias = p->bias;
    if (l->magnitude.ref) {
        const SnValue column[] = {size(p->b, p->out), size(p->b, 1)};
        w = sn_mul(g, w, sn_reshape(g, stretch(p, l), 2, column));
    }
    if (l->bias.ref) {
        const SnValue more = times(p->b, l->bias, l->scale);
        bias = bias.ref ? sn_add(g, wide(p->b, bias), more) : more;
    }
    sn_outside_end(g, inside);
    return merged(p, w, bias, turned);
}

static SnValue lora(const Product *p, bool turned)
{
    SnBuild *b = p->b;
    SnGraph *g = b->g;
    Lora l;
    if (!read_lora(p, &l))
        return sn_none();
    if (p->is_merged)
        return merge_lora(p, &l, turned);
    const SnValue narrow = sn_linear(g, wide(b, p->x), l.a, sn_none());
    const SnValue more = times(b, sn_linear(g, narrow, l.b, l.bias), l.scale);
    if (!l.magnitude.ref) {
        const SnValue y = sn_nn_product(b, p->quant, p->x, p->w, p->bias);
        return sn_cast(g, sn_add(g, wide(b, y), more), sn_value_dtype(g, y));
    }
    const SnValue y = sn_nn_product(b, p->quant, p->x, p->w, sn_none());
    SnValue z = sn_mul(g, sn_add(g, wide(b, y), more), stretch(p, &l));
    if (p->bias.ref)
        z = sn_add(g, z, wide(b, p->bias));
    return sn_cast(g, z, sn_value_dtype(g, y));
}

/* Is the module's end one of feedforward_modules? */
static bool scales_input(const Product *p)
{
    const SnJson *list = sn_json_get(p->b->adapter->config, "feedforward_modules");
    const size_t n = strlen(p->module);
    SnBytes s;
    for (uint32_t i = 0; list && list->kind == SN_JSON_ARRAY && i < list->n; i++)
        if (sn_json_string(sn_json_at(list, i), &s) && s.n <= n &&
            memcmp(p->module + n - s.n, s.at, s.n) == 0)
            return true;
    return false;
}

static SnValue ia3(const Product *p, bool turned)
{
    SnBuild *b = p->b;
    SnGraph *g = b->g;
    const bool is_in = scales_input(p);
    const Wanted shape = {"ia3_l", is_in ? 1 : p->out, is_in ? p->in : 1, 1, 0};
    const SnValue l = need(b, p->module, shape), n = size(b, is_in ? p->in : p->out);
    if (!l.ref)
        return sn_none();
    if (p->is_merged) {
        const uint32_t inside = sn_outside_begin(g);
        const SnValue w = sn_mul(g, wide(b, p->w), l);
        SnValue bias = p->bias;
        if (bias.ref && !is_in)
            bias = sn_mul(g, wide(b, bias), sn_reshape(g, l, 1, &n));
        sn_outside_end(g, inside);
        return merged(p, w, bias, turned);
    }
    const SnValue flat = sn_reshape(g, l, 1, &n);
    if (is_in) {
        const SnValue x = sn_cast(g, sn_mul(g, wide(b, p->x), flat), sn_value_dtype(g, p->x));
        return sn_nn_product(b, p->quant, x, p->w, p->bias);
    }
    const SnValue y = sn_nn_product(b, p->quant, p->x, p->w, p->bias);
    return sn_cast(g, sn_mul(g, wide(b, y), flat), sn_value_dtype(g, y));
}

SnValue sn_nn_adapted(SnBuild *b, const char *quant, SnValue x, SnValue w, SnValue bias, bool turned)
{
    bool is_target = false;
    const SnAdapter *a = b->adapter;
    const char *module = a ? plain(b, sn_scope_path(b->g)) : NULL;
    if (!a || sn_graph_check(b->g, NULL) != SN_OK || (a->type != SN_PEFT_LORA && a->type != SN_PEFT_IA3) ||
        !sn_peft_targets(b, module, &is_target) || !is_target)
        return sn_nn_product(b, quant, x, w, bias);
    const Product p = {.b = b,
                       .module = module,
                       .quant = quant,
                       .x = x,
                       .w = w,
                       .bias = bias,
                       .in = sn_nn_dim(b, w, 1),
                       .out = sn_nn_dim(b, w, 0),
                       .is_merged = b->adapter_form == SN_ADAPTER_MERGED && !sn_nn_in_blocks(b, w)};
    return a->type == SN_PEFT_LORA ? lora(&p, turned) : ia3(&p, turned);
}

/* ---- virtual tokens ---- */

/* x [batch, seq] behind n columns of a number. */
static SnValue behind(SnBuild *b, SnValue x, int64_t n, int64_t number)
{
    const SnValue dims[] = {sn_dim(b->g, x, 0), size(b, n)};
    const SnValue both[] = {sn_broadcast(b->g, sn_const_int(b->g, sn_value_dtype(b->g, x), number), 2, dims),
                            x};
    return sn_concat(b->g, 2, both, 1);
}

void sn_adapter_begin(SnBuild *b)
{
    static const struct {
        const char *name;
        int64_t number;
        bool with_past; /* keys of the past count too */
    } inputs[] = {{"attention_mask", 1, true}, {"token_type_ids", 0, false}, {"labels", -100, false}};
    const SnAdapter *a = b->adapter;
    const bool is_prompt = a->type == SN_PEFT_PROMPT;
    if (!is_prompt && a->type != SN_PEFT_PREFIX)
        return;
    if (b->past) {
        sn_graph_fail(b->g, SN_EUNSUPPORTED, "%s: %s for text that is generated", a->folder, a->type_name);
        return;
    }
    const bool tags = strcmp(b->arch->task, "text-generation") == 0;
    if (is_prompt)
        b->prompted = sn_nn_input(b, "input_ids");
    else
        b->before = a->tokens;
    for (size_t i = 0; i < b->in.n; i++)
        for (size_t k = 0; k < SN_COUNT(inputs); k++)
            if (strcmp(b->in.at[i].name, inputs[k].name) == 0 && (is_prompt || inputs[k].with_past) &&
                (k != 2 || tags) && sn_rank(b->g, b->in.at[i].value) == 2)
                b->in.at[i].value = behind(b, b->in.at[i].value, a->tokens, inputs[k].number);
}

SnValue sn_adapter_words(SnBuild *b, SnValue words)
{
    SnGraph *g = b->g;
    const SnValue prompt = tensor(b, "prompt_embeddings");
    const int64_t width = sn_nn_dim(b, words, 2);
    if (prompt.ref && sn_nn_dim(b, prompt, 1) != width)
        return sn_graph_fail(g, SN_ESHAPE, "%s: prompt_embeddings of width %lld, words have %lld",
                             b->adapter->folder, (long long)sn_nn_dim(b, prompt, 1), (long long)width);
    const SnValue dims[] = {sn_dim(g, words, 0), size(b, b->adapter->tokens), size(b, width)};
    const SnValue both[] = {sn_cast(g, sn_broadcast(g, prompt, 3, dims), sn_value_dtype(g, words)), words};
    return sn_concat(g, 2, both, 1);
}

SnValue sn_adapter_past(SnBuild *b, SnValue x, bool is_value)
{
    SnGraph *g = b->g;
    const SnValue all = tensor(b, "prompt_embeddings"), n = size(b, b->before);
    const int64_t heads = sn_nn_dim(b, x, 1), d = sn_nn_dim(b, x, 3), width = sn_nn_dim(b, all, 1);
    const int64_t at = (2 * b->layer + is_value) * heads * d;
    if (sn_graph_check(g, NULL) != SN_OK)
        return sn_none();
    if (at + heads * d > width || width % (2 * heads * d) != 0)
        return sn_graph_fail(
            g, SN_ESHAPE, "%s: prompt_embeddings of width %lld: layer %lld keeps %lld x %lld",
            b->adapter->folder, (long long)width, (long long)b->layer, (long long)heads, (long long)d);
    const SnValue own = sn_slice_axis(g, all, 1, size(b, at), size(b, heads * d));
    const SnValue split[] = {n, size(b, heads), size(b, d)};
    const SnValue turned = sn_permute(g, sn_reshape(g, own, 3, split), (const int[]){1, 0, 2});
    const SnValue dims[] = {sn_dim(g, x, 0), size(b, heads), n, size(b, d)};
    const SnValue both[] = {sn_cast(g, sn_broadcast(g, turned, 4, dims), sn_value_dtype(g, x)), x};
    return sn_concat(g, 2, both, 2);
}

void sn_adapter_built(SnBuild *b)
{
    SnAdapter *a = b->adapter;
    uint32_t at = 0;
    for (size_t i = 0;
         a->weights && a->asked < sn_weights_count(a->weights) && i < sn_weights_count(a->weights); i++) {
        const SnBytes name = sn_weights_at(a->weights, i)->name;
        if (!sn_map_get(&a->seen, name, &at)) {
            sn_graph_fail(b->g, SN_EFORMAT,
                          "%s: tensor %.*s: the model has no such module, or it is none of target_modules",
                          a->folder, (int)name.n, (const char *)name.at);
            return;
        }
    }
}
