/* peft_weighted.c -- several LoRA adapters as one: add_weighted_adapter of PEFT, or all beside each other,
 * one for each row of a batch: their products as one, whose columns a row masks.
 *
 * Ties: Yadav et al. 2023, arXiv:2306.01708. DARE: Yu et al. 2023, arXiv:2311.03099. */
#include "frontends/training/peft_state.h"

#include "frontends/training/arguments.h"
#include "runtime/tensor.h"

#include <math.h>

#define MOST_ADAPTERS 64
#define MAX_RANK      4096

typedef enum Way { LINEAR, CAT, ROWS, SVD, TIES, DARE_LINEAR, DARE_TIES, PRUNE } Way;
static const struct {
    const char *name;
    Way way;
    bool is_whole; /* products are joined, not their factors, and decomposed again */
} ways[] = {{"linear", LINEAR, false},
            {"cat", CAT, false},
            {"rows", ROWS, false},
            {"svd", SVD, true},
            {"ties", TIES, false},
            {"dare_linear", DARE_LINEAR, false},
            {"dare_ties", DARE_TIES, false},
            {"magnitude_prune", PRUNE, false},
            {"ties_svd", TIES, true},
            {"dare_linear_svd", DARE_LINEAR, true},
            {"dare_ties_svd", DARE_TIES, true},
            {"magnitude_prune_svd", PRUNE, true}};

typedef struct Mix {
    SnAdapter *const *from;
    double weight[MOST_ADAPTERS];
    size_t n;
    Way way;
    bool is_whole;
    double density;
    bool by_frequency; /* majority_sign_method */
    int64_t rank;
    SnAdapter *out;
    SnGraph *g; /* takes errors of patterns */
    uint64_t state;
    SnArena arena, work; /* work: of a module */
} Mix;

static SnStatus no_memory(SnError *err)
{
    return sn_fail(err, SN_ENOMEM, "adapters: no memory");
}

/* ---- numbers of one matrix of several adapters ---- */

/* The k-th largest of n magnitudes. */
static float kth(float *v, int64_t n, int64_t k)
{
    int64_t lo = 0, hi = n - 1;
    while (lo < hi) {
        const float pivot = v[(lo + hi) / 2];
        int64_t i = lo, j = hi;
        while (i <= j) {
            for (; v[i] > pivot; i++)
                ;
            for (; v[j] < pivot; j--)
                ;
            if (i <= j) {
                const float x = v[i];
                v[i++] = v[j];
                v[j--] = x;
            }
        }
        if (k <= j)
            hi = j;
        else if (k >= i)
            lo = i;
        else
            break;
    }
    return v[k];
}

/* Keeps the share `density` of what is largest; of equal ones, the first. */
static bool prune(Mix *x, float *v, int64_t n)
{
    const int64_t keep = (int64_t)(x->density * (double)n);
    float *size = sn_arena_array(&x->work, (size_t)n + 1, sizeof *size);
    if (!size || x->density >= 1)
        return size != NULL;
    for (int64_t i = 0; i < n; i++)
        size[i] = fabsf(v[i]);
    const float least = keep ? kth(size, n, keep - 1) : 0;
    int64_t equal = keep;
    for (int64_t i = 0; i < n; i++)
        equal -= fabsf(v[i]) > least;
    for (int64_t i = 0; i < n; i++)
        if (keep == 0 || fabsf(v[i]) < least || (fabsf(v[i]) == least && equal-- <= 0))
            v[i] = 0;
    return true;
}

static void drop(Mix *x, float *v, int64_t n)
{
    for (int64_t i = 0; x->density < 1 && i < n; i++)
        v[i] = sn_nn_uniform(&x->state) < x->density ? (float)((double)v[i] / x->density) : 0;
}

/* One element of all: where ties are, those of the sign that the most have. */
static double join(const Mix *x, float *const *v, const double *weight, size_t n, int64_t i)
{
    double sum = 0, sign = 0;
    int64_t kept = 0;
    const bool has_ties = x->way == TIES || x->way == DARE_TIES;
    for (size_t k = 0; has_ties && k < n; k++)
        sign += x->by_frequency ? (v[k][i] > 0) - (v[k][i] < 0) : (double)v[k][i];
    for (size_t k = 0; k < n; k++) {
        const bool agrees = !has_ties || (sign >= 0 ? v[k][i] > 0 : v[k][i] < 0);
        sum += agrees ? (double)v[k][i] * weight[k] : 0;
        kept += agrees;
    }
    return has_ties ? sum / (double)(kept ? kept : 1) : sum;
}

static bool mix(Mix *x, float *const *v, const double *weight, size_t n, int64_t count, float *out)
{
    for (size_t k = 0; k < n; k++) {
        if ((x->way == TIES || x->way == PRUNE) && !prune(x, v[k], count))
            return false;
        if (x->way == DARE_LINEAR || x->way == DARE_TIES)
            drop(x, v[k], count);
    }
    for (int64_t i = 0; i < count; i++)
        out[i] = (float)join(x, v, weight, n, i);
    return true;
}

/* ---- modules ---- */

/* The largest rank that an adapter has. */
static int64_t rank_of(const SnAdapter *a)
{
    const SnJson *patterns = sn_json_get(a->config, "rank_pattern");
    int64_t most = sn_peft_int(a, "r", 8), v = 0;
    for (uint32_t i = 0; patterns && patterns->kind == SN_JSON_OBJECT && i < patterns->n; i++)
        most = sn_json_int(&patterns->u.child[i], &v) && v > most ? v : most;
    return most;
}

static float *floats(Mix *x, const SnStTensor *t)
{
    const size_t size = sn_dtype_size(t->dtype), n = t->bytes.n / size;
    float *v = sn_arena_array(&x->work, n + 1, sizeof *v);
    for (size_t i = 0; v && i < n; i++)
        v[i] =
            (float)sn_scalar_cast(t->dtype, SN_F64, sn_scalar_load(t->dtype, t->bytes.at + i * size), false)
                .f;
    return v;
}

/* What an adapter has of a module: *has; dims of the others are checked. */
static SnStatus read_part(Mix *x, size_t k, const char *module, const char *const *ends, int64_t *in,
                          int64_t *out, SnPeftPart *p, bool *has, SnError *err)
{
    SnAdapter *own = x->from[k];
    SnBuild b = {.g = x->g, .adapter = own, .arena = &x->work};
    const SnStTensor *t[2];
    for (int i = 0; i < 2; i++) {
        const char *name = sn_arena_printf(&x->work, "%s%s%s", own->prefix, module, ends[i]);
        t[i] = name ? sn_weights_find(own->weights, name) : NULL;
    }
    *has = t[0] && t[1];
    if (!*has)
        return SN_OK;
    *p = (SnPeftPart){
        .a = floats(x, t[0]), .b = floats(x, t[1]), .rank = t[0]->dims[0], .given = x->weight[k]};
    p->weight = sn_peft_scale(&b, module, p->rank);
    for (size_t i = 0; x->way == ROWS && i < k; i++)
        p->at += rank_of(x->from[i]);
    if (!p->a || !p->b)
        return no_memory(err);
    *in = *in ? *in : t[0]->dims[1];
    *out = *out ? *out : t[1]->dims[0];
    SN_CHECK(t[0]->dims[1] == *in && t[1]->dims[0] == *out, err, SN_ESHAPE, "%s: %s has other dims",
             own->folder, module);
    SN_CHECK(x->way == CAT || x->way == ROWS || x->is_whole || p->rank == x->rank, err, SN_EINVAL,
             "%s: %s: rank %lld, the others have %lld", own->folder, module, (long long)p->rank,
             (long long)x->rank);
    return sn_graph_check(x->g, err);
}

/* The product of each, then what is joined of them as one of a lower rank. */
static bool fill_whole(Mix *x, const SnPeftPart *part, size_t n, int64_t in, int64_t out, float *a, float *b)
{
    float *v[MOST_ADAPTERS], *sum = sn_arena_array(&x->work, (size_t)(out * in), sizeof *sum);
    double weight[MOST_ADAPTERS];
    for (size_t k = 0; k < n; k++) {
        const SnPeftPart *p = &part[k];
        weight[k] = p->given;
        v[k] = sn_arena_array(&x->work, (size_t)(out * in), sizeof *v[k]);
        for (int64_t i = 0; v[k] && i < out * in; i++) {
            double dot = 0;
            for (int64_t r = 0; r < p->rank; r++)
                dot += (double)p->b[i / in * p->rank + r] * (double)p->a[r * in + i % in];
            v[k][i] = (float)(dot * p->weight);
        }
    }
    return sum && !x->work.failed && mix(x, v, weight, n, out * in, sum) &&
           sn_peft_nearest(&x->work, sum, out, in, x->rank, a, b);
}

static bool fill(Mix *x, SnPeftPart *part, size_t n, int64_t in, int64_t out, float *a, float *b)
{
    float *v[2][MOST_ADAPTERS];
    double weight[2][MOST_ADAPTERS];
    int64_t at = 0;
    if (x->is_whole && x->way != SVD)
        return fill_whole(x, part, n, in, out, a, b);
    for (size_t k = 0; k < n; k++)
        part[k].weight *= part[k].given;
    if (x->way == SVD)
        return sn_peft_best(&x->work, part, n, in, out, x->rank, a, b);
    for (size_t k = 0; x->way <= ROWS && x->way >= CAT && k < n; at += part[k++].rank) {
        const SnPeftPart *p = &part[k];
        const int64_t first = x->way == CAT ? at : p->at;
        for (int64_t i = 0; i < p->rank * in; i++)
            a[first * in + i] = (float)((double)p->a[i] * p->weight);
        for (int64_t i = 0; i < out * p->rank; i++)
            b[i / p->rank * x->rank + first + i % p->rank] = p->b[i];
    }
    for (size_t k = 0; k < n; k++) {
        const double root = sqrt(fabs(part[k].weight));
        v[0][k] = part[k].a;
        v[1][k] = part[k].b;
        weight[0][k] = part[k].weight < 0 ? -root : root;
        weight[1][k] = root;
    }
    return x->way == CAT || x->way == ROWS ||
           (mix(x, v[0], weight[0], n, x->rank * in, a) && mix(x, v[1], weight[1], n, out * x->rank, b));
}

static SnStatus mix_module(Mix *x, const char *module, const char *const *ends, SnError *err)
{
    SnPeftPart part[MOST_ADAPTERS];
    int64_t in = 0, out = 0;
    size_t n = 0;
    for (size_t k = 0; k < x->n; k++) {
        bool has = false;
        SN_TRY(read_part(x, k, module, ends, &in, &out, &part[n], &has, err));
        n += has;
    }
    float *a = sn_arena_array(&x->work, (size_t)(x->rank * in), sizeof *a),
          *b = sn_arena_array(&x->work, (size_t)(out * x->rank), sizeof *b);
    const char *name[2];
    for (int i = 0; i < 2; i++)
        name[i] = sn_arena_printf(&x->work, "%s%s%s", x->out->prefix, module, ends[i]);
    if (!a || !b || !name[0] || !name[1] || !fill(x, part, n, in, out, a, b))
        return no_memory(err);
    SN_TRY(sn_weights_add(x->out->weights, name[0], SN_F32, 2, (int64_t[]){x->rank, in}, a, err));
    return sn_weights_add(x->out->weights, name[1], SN_F32, 2, (int64_t[]){out, x->rank}, b, err);
}

static SnStatus mix_all(Mix *x, SnError *err)
{
    static const char *const ends[][2] = {{".lora_A.weight", ".lora_B.weight"},
                                          {".lora_embedding_A", ".lora_embedding_B"}};
    for (size_t k = 0; k < x->n; k++)
        for (size_t e = 0; e < SN_COUNT(ends); e++) {
            const char *const *module = NULL;
            size_t n = 0;
            SN_TRY(sn_peft_modules(x->from[k], &x->arena, "", ends[e], 1, &module, &n, err));
            for (size_t i = 0; i < n; i++) {
                const char *name =
                    sn_arena_printf(&x->arena, "%s%s%s", x->out->prefix, module[i], ends[e][0]);
                if (!name)
                    return no_memory(err);
                if (!sn_weights_find(x->out->weights, name))
                    SN_TRY(mix_module(x, module[i], ends[e], err));
                sn_arena_clear(&x->work);
            }
        }
    return SN_OK;
}

/* ---- the config of the whole ---- */

static SnStatus read_weights(Mix *x, const SnJson *list, SnError *err)
{
    SN_CHECK(!list || (list->kind == SN_JSON_ARRAY && list->n == x->n), err, SN_EINVAL,
             "adapters: weights: expected %zu numbers", x->n);
    for (uint32_t i = 0; list && i < list->n; i++)
        SN_CHECK(sn_json_number(sn_json_at(list, i), &x->weight[i]), err, SN_EINVAL,
                 "adapters: weights: number %u is none", i);
    return SN_OK;
}

static SnStatus read_options(Mix *x, const SnJson *o, SnError *err)
{
    static const char known[] = "combination_type|weights|svd_rank|density|majority_sign_method";
    const SnJson *way = sn_json_get(o, "combination_type"), *sign = sn_json_get(o, "majority_sign_method");
    for (uint32_t i = 0; o && o->kind == SN_JSON_OBJECT && i < o->n; i++)
        SN_CHECK(sn_is_one_of(o->u.child[i].key, known), err, SN_EUNSUPPORTED, "adapters: %.*s: expected %s",
                 (int)(o->u.child[i].key.n < 80 ? o->u.child[i].key.n : 80),
                 (const char *)o->u.child[i].key.at, known);
    size_t i = 0;
    while (i < SN_COUNT(ways) && !(way ? sn_json_is(way, ways[i].name) : ways[i].way == SVD))
        i++;
    SN_CHECK(i < SN_COUNT(ways), err, SN_EUNSUPPORTED,
             "adapters: combination_type: expected rows, linear, cat, svd, or ties, dare_linear, dare_ties, "
             "magnitude_prune, perhaps with _svd");
    x->way = x->n == 1 && ways[i].way != ROWS ? LINEAR : ways[i].way;
    x->is_whole = x->way != LINEAR && ways[i].is_whole;
    x->by_frequency = sn_json_is(sign, "frequency");
    x->density = -1;
    (void)sn_json_number(sn_json_get(o, "density"), &x->density);
    SN_CHECK(x->way <= SVD || (x->density >= 0 && x->density <= 1), err, SN_EINVAL,
             "adapters: density: expected 0 to 1");
    for (size_t k = 0; k < x->n; k++) {
        const int64_t r = rank_of(x->from[k]);
        x->rank = x->way == CAT || x->way == ROWS ? x->rank + r : r > x->rank ? r : x->rank;
    }
    if (x->is_whole)
        (void)sn_json_int(sn_json_get(o, "svd_rank"), &x->rank);
    SN_CHECK(x->rank >= 1 && x->rank <= MAX_RANK, err, SN_EINVAL, "adapters: rank %lld", (long long)x->rank);
    return read_weights(x, sn_json_get(o, "weights"), err);
}

/* Each module that one of them has, by its whole name. */
static SnStatus put_modules(Mix *x, SnText *t, SnError *err)
{
    static const char *const ends[] = {".lora_A.weight", ".lora_embedding_A"};
    const char *between = "[";
    for (size_t k = 0; k < x->n; k++) {
        const char *const *module = NULL;
        size_t n = 0;
        SN_TRY(sn_peft_modules(x->from[k], &x->arena, "", ends, SN_COUNT(ends), &module, &n, err));
        for (size_t i = 0; i < n; i++, between = ", ") {
            sn_text_printf(t, "%s", between);
            sn_json_put_string(t, sn_bytes_str(module[i]));
        }
    }
    sn_text_printf(t, "]");
    return SN_OK;
}

static SnStatus put_targets(Mix *x, SnText *t, SnError *err)
{
    if (x->way == ROWS)
        return put_modules(x, t, err);
    const SnJson *first = sn_json_get(x->from[0]->config, "target_modules");
    const bool is_pattern = first && first->kind == SN_JSON_STRING;
    bool has = false;
    sn_text_printf(t, is_pattern ? "\"" : "[");
    for (size_t k = 0; k < x->n; k++) {
        const SnJson *v = sn_json_get(x->from[k]->config, "target_modules");
        SN_CHECK(v && (v->kind == SN_JSON_STRING) == is_pattern, err, SN_EINVAL,
                 "adapters: target_modules are patterns of some, lists of others");
        if (is_pattern) {
            SnText one = {.memory = t->memory};
            sn_json_put_string(&one, v->u.string);
            sn_text_printf(t, "%s(%.*s)", k ? "|" : "", (int)one.n - 2, one.at + 1);
            sn_text_clear(&one);
        }
        for (uint32_t i = 0; !is_pattern && i < v->n; i++, has = true) {
            sn_text_printf(t, has ? ", " : "");
            sn_json_put(t, sn_json_at(v, i));
        }
    }
    sn_text_printf(t, is_pattern ? "\"" : "]");
    return SN_OK;
}

static SnStatus put_config(Mix *x, SnText *t, SnError *err)
{
    static const char own[] = "r|lora_alpha|target_modules|alpha_pattern|rank_pattern",
                      of_modules[] = "use_rslora|exclude_modules|layers_to_transform|layers_pattern";
    const SnJson *c = x->from[0]->config;
    sn_text_printf(t,
                   "{\"r\": %lld, \"lora_alpha\": %lld, \"alpha_pattern\": {}, \"rank_pattern\": {}, "
                   "\"target_modules\": ",
                   (long long)x->rank, (long long)x->rank);
    SN_TRY(put_targets(x, t, err));
    for (uint32_t i = 0; i < c->n; i++) {
        if (sn_is_one_of(c->u.child[i].key, own) ||
            (x->way == ROWS && sn_is_one_of(c->u.child[i].key, of_modules)))
            continue;
        sn_text_printf(t, ", ");
        sn_json_put_string(t, c->u.child[i].key);
        sn_text_printf(t, ": ");
        sn_json_put(t, &c->u.child[i]);
    }
    sn_text_printf(t, "}");
    return SN_OK;
}

static SnStatus check_kinds(const Mix *x, SnError *err)
{
    for (size_t k = 0; k < x->n; k++) {
        const SnAdapter *a = x->from[k];
        SN_CHECK(a->type == SN_PEFT_LORA && a->taken == SN_PEFT_NOTHING && !sn_peft_is_on(a, "use_dora") &&
                     !sn_peft_is_on(a, "lora_bias") &&
                     sn_json_is_null(sn_json_get(a->config, "modules_to_save")) &&
                     sn_json_is_null(sn_json_get(a->config, "trainable_token_indices")) &&
                     sn_json_is_null(sn_json_get(a->config, "target_parameters")) &&
                     !sn_json_is(sn_json_get(a->config, "bias"), "all") &&
                     !sn_json_is(sn_json_get(a->config, "bias"), "lora_only"),
                 err, SN_EUNSUPPORTED,
                 "%s: only LoRA without DoRA, biases, modules_to_save, rows of tables, pissa and olora is "
                 "combined",
                 a->folder);
        SN_CHECK(a->m == x->from[0]->m, err, SN_EINVAL, "%s: it is of another model", a->folder);
    }
    return SN_OK;
}

/* Row 0 has no columns, row k those of the k-th adapter. */
static SnStatus add_columns(Mix *x, SnError *err)
{
    float *v = sn_arena_array(&x->work, (x->n + 1) * (size_t)x->rank, sizeof *v);
    const int64_t dims[] = {(int64_t)x->n + 1, x->rank};
    if (!v)
        return no_memory(err);
    for (int64_t k = 0, at = 0; k < (int64_t)x->n; k++)
        for (const int64_t end = at + rank_of(x->from[k]); at < end; at++)
            v[(k + 1) * x->rank + at] = 1;
    return sn_weights_add(x->out->weights, SN_PEFT_COLUMNS, SN_F32, 2, dims, v, err);
}

SnStatus sn_adapter_combine(SnAdapter *const *a, const double *weight, size_t n, const SnJson *options,
                            SnAdapter **out, SnError *err)
{
    Mix x = {.from = a, .n = n};
    SN_CHECK(n >= 1 && n <= MOST_ADAPTERS, err, SN_EINVAL, "%zu adapters, allowed 1 to %d", n, MOST_ADAPTERS);
    for (size_t k = 0; k < n; k++)
        x.weight[k] = weight ? weight[k] : 1;
    SN_TRY(check_kinds(&x, err));
    SN_TRY(read_options(&x, options, err));
    SnModel *m = a[0]->m;
    SnText text = {.memory = sn_allocator(m->ctx)};
    SN_TRY(sn_peft_begin(m, "combined", &x.out, err));
    sn_arena_init(&x.arena, text.memory);
    sn_arena_init(&x.work, text.memory);
    SnStatus st = put_config(&x, &text, err);
    if (st == SN_OK && (text.failed || !sn_peft_weights(x.out)))
        st = no_memory(err);
    if (st == SN_OK)
        st = sn_peft_read_config(x.out, sn_bytes(text.at, text.n), err);
    if (st == SN_OK)
        st = sn_graph_create(m->cc, &x.g, err);
    if (st == SN_OK)
        st = mix_all(&x, err);
    if (st == SN_OK && x.way == ROWS)
        st = add_columns(&x, err);
    if (st == SN_OK)
        st = sn_peft_try(x.out, err);
    sn_graph_destroy(x.g);
    sn_text_clear(&text);
    sn_arena_clear(&x.work);
    sn_arena_clear(&x.arena);
    if (st == SN_OK)
        *out = x.out;
    else
        sn_adapter_close(x.out);
    return st;
}
