/* peft_weighted.c -- several LoRA adapters as one: add_weighted_adapter of PEFT.
 *
 * Ties: Yadav et al. 2023, arXiv:2306.01708. DARE: Yu et al. 2023, arXiv:2311.03099. */
#include "frontends/training/peft_state.h"

#include "runtime/tensor.h"

#include <math.h>

#define MOST_ADAPTERS 64
#define MAX_RANK      4096

typedef enum Way { LINEAR, CAT, SVD, TIES, DARE_LINEAR, DARE_TIES, PRUNE } Way;
static const char *const ways[] = {"linear",         "cat", "svd", "ties", "dare_linear", "dare_ties",
                                   "magnitude_prune"};

typedef struct Mix {
    SnAdapter *const *from;
    const double *weight;
    size_t n;
    Way way;
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
        if (x->way == TIES || x->way == PRUNE) {
            if (!prune(x, v[k], count))
                return false;
        } else if (x->way != LINEAR) {
            drop(x, v[k], count);
        }
    }
    for (int64_t i = 0; i < count; i++)
        out[i] = (float)join(x, v, weight, n, i);
    return true;
}

/* ---- modules ---- */

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
    const double alpha = sn_peft_pattern(&b, "alpha_pattern", "lora_alpha", module, 8);
    *p = (SnPeftPart){.a = floats(x, t[0]), .b = floats(x, t[1]), .rank = t[0]->dims[0]};
    p->weight =
        x->weight[k] * alpha / (sn_peft_is_on(own, "use_rslora") ? sqrt((double)p->rank) : (double)p->rank);
    if (!p->a || !p->b)
        return no_memory(err);
    *in = *in ? *in : t[0]->dims[1];
    *out = *out ? *out : t[1]->dims[0];
    SN_CHECK(t[0]->dims[1] == *in && t[1]->dims[0] == *out, err, SN_ESHAPE, "%s: %s has other dims",
             own->folder, module);
    SN_CHECK(x->way == CAT || x->way == SVD || p->rank == x->rank, err, SN_EINVAL,
             "%s: %s: rank %lld, the others have %lld", own->folder, module, (long long)p->rank,
             (long long)x->rank);
    return sn_graph_check(x->g, err);
}

static bool fill(Mix *x, SnPeftPart *part, size_t n, int64_t in, int64_t out, float *a, float *b)
{
    float *v[2][MOST_ADAPTERS];
    double weight[2][MOST_ADAPTERS];
    int64_t at = 0;
    if (x->way == SVD)
        return sn_peft_best(&x->work, part, n, in, out, x->rank, a, b);
    for (size_t k = 0; x->way == CAT && k < n; at += part[k++].rank) {
        for (int64_t i = 0; i < part[k].rank * in; i++)
            a[at * in + i] = (float)((double)part[k].a[i] * part[k].weight);
        for (int64_t i = 0; i < out * part[k].rank; i++)
            b[i / part[k].rank * x->rank + at + i % part[k].rank] = part[k].b[i];
    }
    for (size_t k = 0; k < n; k++) {
        const double root = sqrt(fabs(part[k].weight));
        v[0][k] = part[k].a;
        v[1][k] = part[k].b;
        weight[0][k] = part[k].weight < 0 ? -root : root;
        weight[1][k] = root;
    }
    return x->way == CAT ||
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

/* The largest rank that an adapter has. */
static int64_t rank_of(const SnAdapter *a)
{
    const SnJson *patterns = sn_json_get(a->config, "rank_pattern");
    int64_t most = sn_peft_int(a, "r", 8), v = 0;
    for (uint32_t i = 0; patterns && patterns->kind == SN_JSON_OBJECT && i < patterns->n; i++)
        most = sn_json_int(&patterns->u.child[i], &v) && v > most ? v : most;
    return most;
}

static SnStatus read_options(Mix *x, const SnJson *o, SnError *err)
{
    static const char *const known[] = {"combination_type", "svd_rank", "density", "majority_sign_method"};
    const SnJson *way = sn_json_get(o, "combination_type"), *sign = sn_json_get(o, "majority_sign_method");
    for (uint32_t i = 0; o && o->kind == SN_JSON_OBJECT && i < o->n; i++) {
        size_t k = 0;
        while (k < SN_COUNT(known) && !sn_bytes_is(o->u.child[i].key, known[k]))
            k++;
        SN_CHECK(k < SN_COUNT(known), err, SN_EUNSUPPORTED, "adapters: %.*s: expected %s, %s, %s or %s",
                 (int)(o->u.child[i].key.n < 80 ? o->u.child[i].key.n : 80),
                 (const char *)o->u.child[i].key.at, known[0], known[1], known[2], known[3]);
    }
    size_t i = 0;
    while (way && i < SN_COUNT(ways) && !sn_json_is(way, ways[i]))
        i++;
    SN_CHECK(i < SN_COUNT(ways), err, SN_EUNSUPPORTED,
             "adapters: combination_type: expected linear, cat, svd, ties, dare_linear, dare_ties or "
             "magnitude_prune");
    x->way = x->n == 1 ? LINEAR : way ? (Way)i : SVD;
    x->by_frequency = sn_json_is(sign, "frequency");
    x->density = -1;
    (void)sn_json_number(sn_json_get(o, "density"), &x->density);
    SN_CHECK(x->way <= SVD || (x->density >= 0 && x->density <= 1), err, SN_EINVAL,
             "adapters: density: expected 0 to 1");
    for (size_t k = 0; k < x->n; k++) {
        const int64_t r = rank_of(x->from[k]);
        x->rank = x->way == CAT ? x->rank + r : r > x->rank ? r : x->rank;
    }
    if (x->way == SVD)
        (void)sn_json_int(sn_json_get(o, "svd_rank"), &x->rank);
    SN_CHECK(x->rank >= 1 && x->rank <= MAX_RANK, err, SN_EINVAL, "adapters: rank %lld", (long long)x->rank);
    return SN_OK;
}

static SnStatus put_targets(const Mix *x, SnText *t, SnError *err)
{
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

static SnStatus put_config(const Mix *x, SnText *t, SnError *err)
{
    static const char *const own[] = {"r", "lora_alpha", "target_modules", "alpha_pattern", "rank_pattern"};
    const SnJson *c = x->from[0]->config;
    sn_text_printf(t,
                   "{\"r\": %lld, \"lora_alpha\": %lld, \"alpha_pattern\": {}, \"rank_pattern\": {}, "
                   "\"target_modules\": ",
                   (long long)x->rank, (long long)x->rank);
    SN_TRY(put_targets(x, t, err));
    for (uint32_t i = 0; i < c->n; i++) {
        bool is_own = false;
        for (size_t k = 0; k < SN_COUNT(own); k++)
            is_own = is_own || sn_bytes_is(c->u.child[i].key, own[k]);
        if (is_own)
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
                     !sn_json_is(sn_json_get(a->config, "bias"), "all") &&
                     !sn_json_is(sn_json_get(a->config, "bias"), "lora_only"),
                 err, SN_EUNSUPPORTED,
                 "%s: only LoRA without DoRA, biases, modules_to_save, pissa and olora is combined",
                 a->folder);
        SN_CHECK(a->m == x->from[0]->m, err, SN_EINVAL, "%s: it is of another model", a->folder);
    }
    return SN_OK;
}

SnStatus sn_adapter_combine(SnAdapter *const *a, const double *weight, size_t n, const SnJson *options,
                            SnAdapter **out, SnError *err)
{
    Mix x = {.from = a, .weight = weight, .n = n};
    SN_CHECK(n >= 1 && n <= MOST_ADAPTERS, err, SN_EINVAL, "%zu adapters, allowed 1 to %d", n, MOST_ADAPTERS);
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
