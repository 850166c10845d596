/* peft.c -- what adapters compute beside the products and tables of a model, and how their tensors come into
 * its graph.
 *
 * LoRA: Hu et al. 2021, arXiv:2106.09685. rsLoRA: Kalajdzievski 2023, arXiv:2312.03732. DoRA: Liu et al.
 * 2024, arXiv:2402.09353. (IA)^3: Liu et al. 2022, arXiv:2205.05638. Names, shapes, formulas and the numbers
 * that new tensors begin with are those of PEFT. */
#include "frontends/training/peft_state.h"

#include "ops/ops.h"

#include <math.h>
#include <stdio.h>

#define NAME_SIZE SN_PEFT_NAME
#define MAX_RANK  65536

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
        dims[i] = sn_size(b->g, t->dims[i]);
    v = sn_input(b->g, name, t->dtype, t->ndim, dims);
    sn_outside_end(b->g, inside);
    const char *own = sn_arena_strndup(b->arena, name, strlen(name));
    if (!own || !sn_vec_push(b->arena->memory, &b->adapted, (SnNamedValue){own, v}))
        return sn_graph_fail(b->g, SN_ENOMEM, "%s: no memory", name);
    return v;
}

/* f32, or none where the adapter has no such tensor. What is kept beside its change does not learn. */
static SnValue tensor(SnBuild *b, const char *name)
{
    SnAdapter *a = b->adapter;
    const SnStTensor *t = a->weights ? sn_weights_find(a->weights, name) : NULL;
    const bool learns = b->adapter_form == SN_ADAPTER_LEARNT &&
                        !sn_bytes_ends(sn_bytes_str(name), ".base_layer.weight") &&
                        !sn_peft_is_taken(sn_bytes_str(name));
    uint32_t at = 0;
    if (!t)
        return sn_none();
    if (!sn_map_get(&a->seen, t->name, &at) && sn_map_put(&a->seen, t->name, 0))
        a->asked++;
    const uint32_t inside = sn_outside_begin(b->g);
    SnValue v = b->adapter_form == SN_ADAPTER_INPUTS ? as_input(b, name, t) : as_param(b, name, t);
    v = sn_cast(b->g, learns ? sn_nn_trained(b, name, v) : v, SN_F32);
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

/* ---- new tensors ---- */

static float number(const SnPeftWanted *w, uint64_t *state)
{
    if (w->init == SN_PEFT_NORMAL)
        return (float)w->size * sn_nn_normal(state);
    return (float)(w->init == SN_PEFT_FLAT ? w->size : w->size * (2 * sn_nn_uniform(state) - 1));
}

static SnStatus make(SnAdapter *a, const char *name, const SnPeftWanted *w, SnError *err)
{
    const int64_t dims[] = {w->rows, w->cols};
    const SnAllocator *memory = sn_allocator(a->m->ctx);
    size_t n = (size_t)w->rows, bytes = 0;
    SN_CHECK((!w->cols || sn_mul_size(n, (size_t)w->cols, &n)) && sn_mul_size(n, sizeof(float), &bytes), err,
             SN_ESHAPE, "%s: its size overflows", name);
    float *data = sn_alloc(memory, bytes, _Alignof(max_align_t));
    SN_CHECK(data, err, SN_ENOMEM, "%s: no memory", name);
    uint64_t state = sn_hash64(name, strlen(name), a->seed);
    for (size_t i = 0; i < n; i++)
        data[i] = number(w, &state);
    const SnStatus st = sn_weights_add(a->weights, name, SN_F32, w->cols ? 2 : 1, dims, data, err);
    sn_free(memory, data, bytes, _Alignof(max_align_t));
    return st;
}

SnValue sn_peft_need(SnBuild *b, const char *module, SnPeftWanted w)
{
    SnAdapter *a = b->adapter;
    char name[NAME_SIZE];
    SnError err = {0};
    const int n = module ? snprintf(name, sizeof name, "%s%s.%s", a->prefix, module, w.name)
                         : snprintf(name, sizeof name, "%s", w.name);
    if (n >= NAME_SIZE)
        return sn_graph_fail(b->g, SN_EUNSUPPORTED, "%s: the name is too long", module ? module : w.name);
    const SnStTensor *t = sn_weights_find(a->weights, name);
    if (!t && (a->is_new || sn_peft_is_taken(sn_bytes_str(name)))) {
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

/* ---- copies of the model's own parameters ---- */

/* Is it of a module that is learnt whole? */
static bool is_saved(SnBuild *b, const char *path)
{
    char module[NAME_SIZE];
    for (const char *dot = strchr(path, '.'); dot; dot = strchr(dot + 1, '.')) {
        (void)snprintf(module, sizeof module, "%.*s", (int)(dot - path), path);
        if (sn_peft_is_named(b, "modules_to_save", module, false))
            return true;
    }
    return false;
}

/* The weight of the module whose bias t is. */
static const SnStTensor *weight_beside(const SnBuild *b, const SnStTensor *t)
{
    char name[NAME_SIZE];
    const size_t n = t->name.n;
    if (n < 5 || n + 3 > sizeof name || memcmp(t->name.at + n - 4, "bias", 4) != 0)
        return NULL;
    memcpy(name, t->name.at, n);
    memcpy(name + n - 4, "weight", 7);
    return sn_weights_find(b->weights, name);
}

/* Under which name a new adapter has a copy of the parameter; false: it has none. */
static bool copy_name(SnBuild *b, const char *path, const SnStTensor *t, char out[NAME_SIZE])
{
    const SnAdapter *a = b->adapter;
    const SnJson *bias = sn_json_get(a->config, "bias");
    const SnStTensor *weight = weight_beside(b, t);
    char module[NAME_SIZE];
    const bool is_all = sn_json_is(bias, "all"), is_bias = is_all || sn_json_is(bias, "lora_only");
    bool is_target = false, is_copied = is_saved(b, path);
    if (!is_copied && is_bias && sn_bytes_ends(sn_bytes_str(path), ".bias")) {
        (void)snprintf(module, sizeof module, "%.*s", (int)(strlen(path) - 5), path);
        (void)sn_peft_targets(b, module, weight && weight->ndim == 2, &is_target);
        is_copied = is_all || is_target;
    }
    const char *dot = strrchr(path, '.');
    const int n =
        is_target ? snprintf(out, NAME_SIZE, "%s%.*s.base_layer%s", a->prefix, (int)(dot - path), path, dot)
                  : snprintf(out, NAME_SIZE, "%s%s", a->prefix, path);
    return is_copied && n < NAME_SIZE;
}

static SnStatus make_copy(SnAdapter *a, const char *name, const SnStTensor *t, SnError *err)
{
    const SnAllocator *memory = sn_allocator(a->m->ctx);
    const size_t size = sn_dtype_size(t->dtype);
    SN_CHECK(size && sn_dtype_is_float(t->dtype), err, SN_EUNSUPPORTED, "%s: a copy of weights of dtype %s",
             name, t->format);
    const size_t n = t->bytes.n / size;
    float *data = sn_alloc(memory, n * sizeof *data + 1, _Alignof(max_align_t));
    SN_CHECK(data, err, SN_ENOMEM, "%s: no memory", name);
    for (size_t i = 0; i < n; i++)
        data[i] =
            (float)sn_scalar_cast(t->dtype, SN_F64, sn_scalar_load(t->dtype, t->bytes.at + i * size), false)
                .f;
    const SnStatus st = sn_weights_add(a->weights, name, SN_F32, t->ndim, t->dims, data, err);
    sn_free(memory, data, n * sizeof *data + 1, _Alignof(max_align_t));
    return st;
}

SnValue sn_adapter_param(SnBuild *b, const char *full, const SnStTensor *t)
{
    char name[NAME_SIZE];
    SnError err = {0};
    const char *path = plain(b, full), *dot = strrchr(path, '.'), *prefix = b->adapter->prefix;
    if (snprintf(name, sizeof name, "%s%s", prefix, path) >= NAME_SIZE)
        return sn_none();
    SnValue v = tensor(b, name);
    if (v.ref || !dot)
        return v;
    const int n = (int)(dot - path);
    if (snprintf(name, sizeof name, "%s%.*s.base_layer%s", prefix, n, path, dot) < NAME_SIZE)
        v = tensor(b, name);
    if (v.ref || !b->adapter->is_new || !t || !copy_name(b, path, t, name))
        return v;
    return make_copy(b->adapter, name, t, &err) == SN_OK ? tensor(b, name)
                                                         : sn_graph_fail(b->g, err.code, "%s", err.message);
}

/* ---- rows of a table ---- */

static SnValue wide(SnBuild *b, SnValue x)
{
    return sn_cast(b->g, x, SN_F32);
}

/* Which rows of the module are the adapter's own; NULL: none. */
static const SnJson *own_rows(SnBuild *b, const char *module)
{
    const SnJson *v = sn_json_get(b->adapter->config, "trainable_token_indices");
    if (v && v->kind == SN_JSON_ARRAY)
        return b->words && strcmp(plain(b, b->words), module) == 0 ? v : NULL;
    for (uint32_t i = 0; v && v->kind == SN_JSON_OBJECT && i < v->n; i++) {
        const size_t n = strlen(module), end = v->u.child[i].key.n;
        if (n >= end && memcmp(module + n - end, v->u.child[i].key.at, end) == 0)
            return &v->u.child[i];
    }
    return NULL;
}

/* A new adapter begins with the rows that the model has. */
static SnStatus make_rows(SnAdapter *a, const char *module, const SnStTensor *t, const int64_t *row,
                          int64_t n, SnError *err)
{
    const size_t size = sn_dtype_size(t->dtype);
    const int64_t dims[] = {n, t->dims[1]};
    const char *name = sn_arena_printf(&a->arena, "%s%s." SN_PEFT_ROWS, a->prefix, module);
    float *v = sn_arena_array(&a->arena, (size_t)(n * dims[1]) + 1, sizeof *v);
    SN_CHECK(name && v, err, SN_ENOMEM, "%s: no memory", module);
    for (int64_t i = 0; i < n * dims[1]; i++) {
        const uint8_t *at = t->bytes.at + (size_t)(row[i / dims[1]] * dims[1] + i % dims[1]) * size;
        v[i] = (float)sn_scalar_cast(t->dtype, SN_F64, sn_scalar_load(t->dtype, at), false).f;
    }
    return sn_weights_find(a->weights, name) ? SN_OK
                                             : sn_weights_add(a->weights, name, SN_F32, 2, dims, v, err);
}

SnValue sn_adapter_row_values(SnBuild *b, const char *full, const SnStTensor *t, SnValue v)
{
    SnAdapter *a = b->adapter;
    const char *path = plain(b, full), *dot = strrchr(path, '.');
    char module[NAME_SIZE];
    SnError err = {0};
    if (!dot || strcmp(dot, ".weight") != 0 || dot - path >= NAME_SIZE || a->type != SN_PEFT_LORA)
        return v;
    (void)snprintf(module, sizeof module, "%.*s", (int)(dot - path), path);
    const SnJson *list = own_rows(b, module);
    const int64_t n = list && list->kind == SN_JSON_ARRAY ? list->n : 0;
    if (!list)
        return v;
    int64_t *row = sn_arena_array(b->arena, (size_t)n + 1, sizeof *row);
    bool fits = row && n > 0 && t->ndim == 2 && sn_dtype_is_float(t->dtype) && !sn_nn_in_blocks(b, v);
    for (uint32_t i = 0; fits && i < n; i++) {
        fits = sn_json_int(sn_json_at(list, i), &row[i]) && row[i] >= -t->dims[0] && row[i] < t->dims[0];
        row[i] += row[i] < 0 ? t->dims[0] : 0;
    }
    if (!fits)
        return sn_graph_fail(b->g, SN_EINVAL,
                             "%s: trainable_token_indices: %s: expected numbers of rows of a table of floats",
                             a->folder, module);
    if (a->is_new && make_rows(a, module, t, row, n, &err) != SN_OK)
        return sn_graph_fail(b->g, err.code, "%s", err.message);
    const SnValue own = sn_peft_need(b, module, (SnPeftWanted){SN_PEFT_ROWS, n, t->dims[1], SN_PEFT_FLAT, 0});
    const SnValue at = sn_const_data(b->g, SN_I64, 1, &n, row);
    const SnValue all = sn_scatter(b->g, "set", wide(b, v), 1, (const int[]){0}, &at, own);
    char name[NAME_SIZE];
    if (b->nwant && snprintf(name, sizeof name, "merged.%s.weight", module) < NAME_SIZE &&
        !sn_named_value(b->out.at, b->out.n, name).ref) /* a head reads the table once more */
        sn_nn_output(b, name, all);
    return all;
}

/* ---- products ---- */

typedef struct Product {
    SnBuild *b;
    const char *module, *quant;
    SnValue x, w, bias; /* w [out, in] */
    int64_t in, out;
    bool is_merged, is_turned; /* is_turned: the file has w the other way round */
} Product;

static SnValue times(SnBuild *b, SnValue x, double s)
{
    return sn_mul(b->g, x, sn_const(b->g, SN_F32, s));
}

static SnValue turn(SnBuild *b, SnValue x)
{
    return sn_permute(b->g, x, (const int[]){1, 0});
}

/* Gives KIND.MODULE.PART out, where it is asked for by name. */
static void tell(const Product *p, const char *kind, const char *part, SnValue v)
{
    char name[NAME_SIZE];
    if (p->b->nwant && snprintf(name, sizeof name, "%s.%s%s", kind, p->module, part) < NAME_SIZE)
        sn_nn_output(p->b, name, v);
}

/* The module with another w and bias, in the build's dtype. */
static Product merged(const Product *p, SnValue w, SnValue bias)
{
    SnBuild *b = p->b;
    Product q = *p;
    tell(p, "merged", ".weight", p->is_turned ? turn(b, w) : w);
    q.w = sn_cast(b->g, w, b->dtype);
    if (bias.ref && bias.ref != p->bias.ref) {
        tell(p, "merged", ".bias", bias);
        q.bias = sn_cast(b->g, bias, b->dtype);
    }
    return q;
}

static SnValue product(const Product *p, SnValue x, SnValue bias)
{
    return sn_nn_product(p->b, p->quant, x, p->w, bias);
}

typedef struct Lora {
    SnValue a, b, bias, magnitude, taken_a, taken_b;
    double scale;
} Lora;

/* What init_lora_weights says of [rows, cols]: numbers of a new nn.Linear, or others. */
static SnPeftWanted wanted(const SnAdapter *a, const char *name, int64_t rows, int64_t cols, bool is_down)
{
    const SnJson *init = sn_json_get(a->config, "init_lora_weights");
    bool is_usual = true;
    (void)sn_json_bool(init, &is_usual);
    if (!is_down && is_usual)
        return (SnPeftWanted){name, rows, cols, SN_PEFT_FLAT, 0};
    if (is_down && sn_json_is(init, "gaussian"))
        return (SnPeftWanted){name, rows, cols, SN_PEFT_NORMAL, 1 / (double)rows};
    return (SnPeftWanted){name, rows, cols, SN_PEFT_UNIFORM, 1 / sqrt((double)(cols ? cols : rows))};
}

static SnPeftWanted wanted_row(const SnAdapter *a, const char *name, int64_t rows, int64_t cols, bool is_up)
{
    const bool is_flat = !is_up && sn_json_bool_of(a->config, "init_lora_weights", true);
    return (SnPeftWanted){name, rows, cols, is_flat ? SN_PEFT_FLAT : SN_PEFT_NORMAL, is_flat ? 0 : 1};
}

double sn_peft_scale(SnBuild *b, const char *module, int64_t rank)
{
    const double alpha = sn_peft_pattern(b, "alpha_pattern", "lora_alpha", module, 8), r = (double)rank;
    return alpha / (sn_peft_is_on(b->adapter, "use_rslora") ? sqrt(r) : r);
}

/* Columns of narrow [batch, .., rank] that are of the adapter of each row; all, where there is one adapter.
 */
static SnValue of_rows(SnBuild *b, SnValue narrow)
{
    SnGraph *g = b->g;
    SnValue dims[SN_MAX_RANK];
    const int rank = sn_rank(g, narrow);
    if (!sn_adapter_rows(b->adapter))
        return narrow;
    const SnValue at = sn_nn_input(b, "adapter_rows");
    for (int i = 0; i < rank; i++)
        dims[i] = i == 0 ? sn_dim(g, at, 0) : sn_size(b->g, 1);
    dims[rank - 1] = sn_dim(g, narrow, rank - 1);
    const SnValue row = sn_gather(g, tensor(b, SN_PEFT_COLUMNS), 1, (const int[]){0}, &at, NULL);
    return sn_mul(g, narrow, sn_reshape(g, row, rank, dims));
}

/* What pissa and olora took out of w. */
static void read_taken(const Product *p, int64_t rank, Lora *l)
{
    SnBuild *b = p->b;
    const SnAdapter *a = b->adapter;
    const bool is_pissa = a->taken != SN_PEFT_OLORA;
    const char *why = sn_nn_in_blocks(b, p->w)        ? "weights in blocks"
                      : p->is_turned && !is_pissa     ? "a matrix that files have the other way round"
                      : rank > p->in || rank > p->out ? "r is more than the matrix has"
                      : is_pissa && !(l->scale > 0)   ? "lora_alpha: expected more than 0"
                                                      : NULL;
    if (why) {
        sn_graph_fail(b->g, SN_EUNSUPPORTED, "%s: %s: init_lora_weights %s: %s", a->folder, p->module,
                      is_pissa ? "pissa" : "olora", why);
        return;
    }
    l->taken_a = sn_peft_need(b, p->module, (SnPeftWanted){SN_PEFT_TAKEN_A, rank, p->in, SN_PEFT_FLAT, 0});
    l->taken_b = sn_peft_need(b, p->module, (SnPeftWanted){SN_PEFT_TAKEN_B, p->out, rank, SN_PEFT_FLAT, 0});
    const uint32_t scope = sn_adapter_outside(b);
    tell(p, "whole", "", wide(b, p->w));
    sn_adapter_inside(b, scope);
}

/* 0: an error. */
static int64_t rank_of(SnBuild *b, const char *module)
{
    const double r = sn_peft_pattern(b, "rank_pattern", "r", module, 8);
    if (r >= 1 && r <= MAX_RANK && r == floor(r))
        return (int64_t)r;
    sn_graph_fail(b->g, SN_EFORMAT, "%s: %s: rank %g, allowed 1 to %d", b->adapter->folder, module, r,
                  MAX_RANK);
    return 0;
}

static bool read_lora(const Product *p, bool is_table, Lora *l)
{
    SnBuild *b = p->b;
    const SnAdapter *a = b->adapter;
    const int64_t rank = rank_of(b, p->module);
    if (!rank)
        return false;
    *l = (Lora){.scale = sn_peft_scale(b, p->module, rank)};
    l->a = sn_peft_need(b, p->module,
                        is_table ? wanted_row(a, "lora_embedding_A", rank, p->in, false)
                                 : wanted(a, "lora_A.weight", rank, p->in, true));
    l->b = sn_peft_need(b, p->module,
                        is_table ? wanted_row(a, "lora_embedding_B", p->out, rank, true)
                                 : wanted(a, "lora_B.weight", p->out, rank, false));
    if (sn_peft_is_on(a, "lora_bias"))
        l->bias = sn_peft_need(b, p->module, wanted(a, "lora_B.bias", p->out, 0, false));
    if (sn_peft_is_on(a, "use_dora"))
        l->magnitude =
            sn_peft_need(b, p->module, (SnPeftWanted){"lora_magnitude_vector", p->out, 0, SN_PEFT_FLAT, 1});
    if (a->taken != SN_PEFT_NOTHING && !is_table)
        read_taken(p, rank, l);
    return sn_graph_check(b->g, NULL) == SN_OK;
}

/* w + scale * b a less what was taken out, [out, in] */
static SnValue with_delta(const Product *p, const Lora *l)
{
    SnGraph *g = p->b->g;
    SnValue delta = sn_linear(g, l->b, turn(p->b, l->a), sn_none());
    if (l->taken_a.ref)
        delta = sn_sub(g, delta, sn_linear(g, l->taken_b, turn(p->b, l->taken_a), sn_none()));
    return sn_add(g, wide(p->b, p->w), times(p->b, delta, l->scale));
}

/* The module's own product, without what was taken out. */
static SnValue rest(const Product *p, const Lora *l, SnValue x, SnValue bias)
{
    SnBuild *b = p->b;
    SnGraph *g = b->g;
    const SnValue y = product(p, x, bias);
    if (!l->taken_a.ref)
        return y;
    const SnValue narrow = sn_linear(g, wide(b, x), l->taken_a, sn_none());
    const SnValue less = times(b, sn_linear(g, narrow, l->taken_b, sn_none()), l->scale);
    return sn_cast(g, sn_sub(g, wide(b, y), less), sn_value_dtype(g, y));
}

/* What DoRA stretches each row of w by, [out]. */
static SnValue stretch(const Product *p, const Lora *l)
{
    SnBuild *b = p->b;
    SnGraph *g = b->g;
    const uint32_t scope = sn_adapter_outside(b);
    const SnValue squares = sn_reduce(g, "add", sn_square(g, with_delta(p, l)), 1, &(int){1}, false);
    const SnValue norm = sn_sqrt(g, squares);
    tell(p, "norm", "", norm);
    const SnValue y = sn_div(g, l->magnitude, sn_stop_gradient(g, norm));
    sn_adapter_inside(b, scope);
    return y;
}

static Product merge_lora(const Product *p, const Lora *l)
{
    SnBuild *b = p->b;
    SnGraph *g = b->g;
    const uint32_t scope = sn_adapter_outside(b);
    SnValue w = with_delta(p, l), bias = p->bias;
    if (l->magnitude.ref) {
        const SnValue column[] = {sn_size(g, p->out), sn_size(g, 1)};
        w = sn_mul(g, w, sn_reshape(g, stretch(p, l), 2, column));
    }
    if (l->bias.ref) {
        const SnValue more = times(p->b, l->bias, l->scale);
        bias = bias.ref ? sn_add(g, wide(p->b, bias), more) : more;
    }
    const Product q = merged(p, w, bias);
    sn_adapter_inside(b, scope);
    return q;
}

static SnValue lora(const Product *p)
{
    SnBuild *b = p->b;
    SnGraph *g = b->g;
    Lora l;
    if (!read_lora(p, false, &l))
        return sn_none();
    if (p->is_merged) {
        const Product q = merge_lora(p, &l);
        return product(&q, p->x, q.bias);
    }
    double share = 0;
    (void)sn_json_number(sn_json_get(b->adapter->config, "lora_dropout"), &share);
    const SnValue x = sn_nn_dropout(b, p->x, share),
                  narrow = of_rows(b, sn_linear(g, wide(b, x), l.a, sn_none()));
    const SnValue more = times(b, sn_linear(g, narrow, l.b, l.bias), l.scale);
    const SnValue y = rest(p, &l, p->x, l.magnitude.ref ? sn_none() : p->bias);
    SnValue z = sn_add(g, wide(b, y), more);
    if (l.magnitude.ref) { /* what is added to w x is seen through the dropout, all of it */
        const SnValue m = stretch(p, &l), one = sn_const(g, SN_F32, 1);
        z = sn_mul(g, z, m);
        if (x.ref != p->x.ref)
            z = sn_add(g, sn_add(g, wide(b, y), sn_mul(g, more, m)),
                       sn_mul(g, wide(b, rest(p, &l, x, sn_none())), sn_sub(g, m, one)));
        if (p->bias.ref)
            z = sn_add(g, z, wide(b, p->bias));
    }
    return sn_cast(g, z, sn_value_dtype(g, y));
}

static SnValue ia3(const Product *p)
{
    SnBuild *b = p->b;
    SnGraph *g = b->g;
    const bool is_in = sn_peft_is_named(b, "feedforward_modules", p->module, false);
    const SnPeftWanted shape = {"ia3_l", is_in ? 1 : p->out, is_in ? p->in : 1, SN_PEFT_FLAT, 1};
    const SnValue l = sn_peft_need(b, p->module, shape), n = sn_size(b->g, is_in ? p->in : p->out);
    if (!l.ref)
        return sn_none();
    if (p->is_merged) {
        const uint32_t scope = sn_adapter_outside(b);
        const SnValue bias =
            p->bias.ref && !is_in ? sn_mul(g, wide(b, p->bias), sn_reshape(g, l, 1, &n)) : p->bias;
        const Product q = merged(p, sn_mul(g, wide(b, p->w), l), bias);
        sn_adapter_inside(b, scope);
        return product(&q, p->x, q.bias);
    }
    const SnValue flat = sn_reshape(g, l, 1, &n);
    if (is_in)
        return product(p, sn_cast(g, sn_mul(g, wide(b, p->x), flat), sn_value_dtype(g, p->x)), p->bias);
    const SnValue y = product(p, p->x, p->bias);
    return sn_cast(g, sn_mul(g, wide(b, y), flat), sn_value_dtype(g, y));
}

/* The module of the scope at hand, if the adapter changes it; else NULL. */
static const char *target(SnBuild *b, bool is_linear)
{
    bool is_target = false;
    const SnAdapter *a = b->adapter;
    if (!a || sn_graph_check(b->g, NULL) != SN_OK ||
        (a->type != SN_PEFT_LORA && (a->type != SN_PEFT_IA3 || !is_linear)))
        return NULL;
    const char *module = plain(b, sn_scope_path(b->g));
    return sn_peft_targets(b, module, is_linear, &is_target) && is_target ? module : NULL;
}

static bool can_merge(SnBuild *b, SnValue w)
{
    return b->adapter_form == SN_ADAPTER_MERGED && !sn_nn_in_blocks(b, w) && !sn_adapter_rows(b->adapter);
}

SnValue sn_nn_adapted(SnBuild *b, const char *quant, SnValue x, SnValue w, SnValue bias, bool turned)
{
    const char *module = target(b, true);
    if (!module)
        return sn_nn_product(b, quant, x, w, bias);
    const Product p = {.b = b,
                       .module = module,
                       .quant = quant,
                       .x = x,
                       .w = w,
                       .bias = bias,
                       .in = sn_nn_dim(b, w, 1),
                       .out = sn_nn_dim(b, w, 0),
                       .is_turned = turned,
                       .is_merged = can_merge(b, w)};
    return b->adapter->type == SN_PEFT_LORA ? lora(&p) : ia3(&p);
}

SnValue sn_nn_adapted_rows(SnBuild *b, SnValue ids, SnValue table)
{
    SnGraph *g = b->g;
    Lora l;
    const char *module = target(b, false);
    if (!module)
        return sn_nn_lookup(b, ids, table);
    const uint32_t scope = sn_adapter_outside(b);
    const Product p = {.b = b,
                       .module = module,
                       .w = turn(b, table),
                       .in = sn_nn_dim(b, table, 0),
                       .out = sn_nn_dim(b, table, 1),
                       .is_turned = true,
                       .is_merged = can_merge(b, table)};
    sn_adapter_inside(b, scope);
    if (!read_lora(&p, true, &l))
        return sn_none();
    if (p.is_merged)
        return sn_nn_lookup(b, ids, turn(b, merge_lora(&p, &l).w));
    const SnValue y = sn_nn_lookup(b, ids, table), narrow = of_rows(b, sn_embedding(g, ids, turn(b, l.a)));
    SnValue z = sn_add(g, wide(b, y), times(b, sn_linear(g, narrow, l.b, sn_none()), l.scale));
    if (l.magnitude.ref)
        z = sn_mul(g, z, stretch(&p, &l));
    return sn_cast(g, z, sn_value_dtype(g, y));
}

/* The module at hand, as Transformers 5 calls it; base: the first of two parameters is wrapped by the second.
 */
static const char *experts_of(SnBuild *b, const char *name, const char **key)
{
    const char *path = plain(b, sn_scope_path(b->g)), *old = strstr(path, "block_sparse_moe.");
    const char *module =
        old ? sn_arena_printf(b->arena, "%.*smlp.%s", (int)(old - path), path, strchr(old, '.') + 1)
            : sn_arena_printf(b->arena, "%s", path);
    const char *down = sn_arena_printf(b->arena, "%s.down_proj", module ? module : "");
    *key = sn_arena_printf(b->arena, "%s.%s", module ? module : "", name);
    if (!module || !down || !*key) {
        sn_graph_fail(b->g, SN_ENOMEM, "%s: no memory", b->adapter->folder);
        return NULL;
    }
    if (!sn_peft_is_named(b, "target_parameters", *key, true))
        return NULL;
    const bool is_inner = strcmp(down, *key) != 0 && sn_peft_is_named(b, "target_parameters", down, true);
    return is_inner ? sn_arena_printf(b->arena, "%s.base_layer", module) : module;
}

SnValue sn_nn_adapted_experts(SnBuild *b, const char *name, SnValue x, SnValue y, SnValue expert,
                              int64_t nexpert)
{
    SnGraph *g = b->g;
    const SnAdapter *a = b->adapter;
    const char *key = NULL, *module = a->type == SN_PEFT_LORA && sn_graph_check(g, NULL) == SN_OK
                                          ? experts_of(b, name, &key)
                                          : NULL;
    if (!module)
        return y;
    if (b->adapter_form == SN_ADAPTER_MERGED || sn_adapter_rows(a))
        return sn_graph_fail(
            g, SN_EUNSUPPORTED,
            "%s: target_parameters: %s: adapters of experts stay beside them, one for all rows", a->folder,
            key);
    const int64_t rank = rank_of(b, key), in = sn_nn_dim(b, x, -1), out = sn_nn_dim(b, y, -1);
    SnPeftWanted down = wanted(a, "lora_A.weight", rank * nexpert, in, true);
    down.size *= down.init == SN_PEFT_NORMAL ? (double)nexpert : 1;
    const SnValue la = sn_peft_need(b, module, down),
                  lb = sn_peft_need(b, module, wanted(a, "lora_B.weight", out, rank * nexpert, false));
    const uint32_t scope = sn_adapter_outside(b);
    const SnValue rows[] = {sn_size(g, nexpert), sn_size(g, rank), sn_size(g, in)},
                  cols[] = {sn_size(g, out), sn_size(g, rank), sn_size(g, nexpert)};
    const SnValue narrow = sn_reshape(g, la, 3, rows),
                  back = sn_permute(g, sn_reshape(g, lb, 3, cols), (const int[]){2, 0, 1});
    sn_adapter_inside(b, scope);
    const SnValue h = sn_linear_grouped(g, wide(b, x), narrow, sn_none(), expert);
    const SnValue more =
        times(b, sn_linear_grouped(g, h, back, sn_none(), expert), sn_peft_scale(b, key, rank));
    return sn_cast(g, sn_add(g, wide(b, y), more), sn_value_dtype(g, y));
}

/* With bias "all" PEFT writes biases of modules that are saved whole a second time. */
static bool is_twin(const char *name)
{
    return strstr(name, ".modules_to_save.") || strstr(name, ".original_module.");
}

void sn_adapter_built(SnBuild *b)
{
    SnAdapter *a = b->adapter;
    uint32_t at = 0;
    for (size_t i = 0;
         a->weights && a->asked < sn_weights_count(a->weights) && i < sn_weights_count(a->weights); i++) {
        const SnBytes name = sn_weights_at(a->weights, i)->name;
        if (!sn_map_get(&a->seen, name, &at) && !is_twin((const char *)name.at)) {
            sn_graph_fail(b->g, SN_EFORMAT,
                          "%s: tensor %.*s: the model has no such module, or it is none of target_modules",
                          a->folder, (int)name.n, (const char *)name.at);
            return;
        }
    }
}
