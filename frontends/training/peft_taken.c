/* peft_taken.c -- adapters that begin as a part of the model's own matrices, which is taken out of those.
 *
 * The model stays as it is: what was taken out, b0 a0, stands beside what learns and is subtracted where it
 * is used. Files have b a - b0 a0, a LoRA of twice the rank, which any model of these weights takes; it is
 * the form of PEFT's path_initial_model_for_weight_conversion. A file that PEFT wrote without it has b a
 * alone. */
#include "frontends/training/peft_state.h"

#include "runtime/tensor.h"

#include <math.h>

#define MAX_ROUNDS 1000

bool sn_peft_is_taken(SnBytes name)
{
    return sn_bytes_ends(name, "." SN_PEFT_TAKEN_A) || sn_bytes_ends(name, "." SN_PEFT_TAKEN_B);
}

bool sn_peft_reads_taken(SnAdapter *a, const SnJson *v)
{
    static const char begin[] = "pissa_niter_";
    SnBytes s;
    size_t at = sizeof begin - 1;
    a->taken = sn_json_is(v, "pissa")   ? SN_PEFT_PISSA
               : sn_json_is(v, "olora") ? SN_PEFT_OLORA
                                        : SN_PEFT_NOTHING;
    if (a->taken != SN_PEFT_NOTHING)
        return true;
    if (!sn_json_string(v, &s) || s.n <= at || memcmp(s.at, begin, at) != 0)
        return false;
    for (a->rounds = 0; at < s.n && s.at[at] >= '0' && s.at[at] <= '9' && a->rounds <= MAX_ROUNDS; at++)
        a->rounds = 10 * a->rounds + s.at[at] - '0';
    if (at < s.n || a->rounds > MAX_ROUNDS)
        return false;
    a->taken = SN_PEFT_ROUNDS;
    return true;
}

/* ---- what is taken ---- */

static SnStatus take_one(SnAdapter *a, SnGraph *g, SnArena *work, const char *module, const SnView *w,
                         bool is_new, SnError *err)
{
    static const char *const ends[][2] = {{SN_PEFT_TAKEN_A, SN_PEFT_TAKEN_B},
                                          {"lora_A.weight", "lora_B.weight"}};
    SnBuild b = {.g = g, .adapter = a, .arena = work};
    const char *name = sn_arena_printf(work, "%s%s." SN_PEFT_TAKEN_A, a->prefix, module);
    const SnStTensor *t = name ? sn_weights_find(a->weights, name) : NULL;
    SN_CHECK(t, err, SN_ENOMEM, "%s: no memory", a->folder);
    SnPeftPart p = {.rank = t->dims[0]};
    p.weight = sn_peft_scale(&b, module, p.rank);
    SN_TRY(sn_graph_check(g, err));
    SN_CHECK(sn_peft_part(work, a, w->data, w->dims[0], w->dims[1], &p), err, SN_ENOMEM, "%s: no memory",
             a->folder);
    for (int i = 0; i < (is_new ? 2 : 1); i++)
        for (int k = 0; k < 2; k++) {
            const int64_t dims[] = {k ? w->dims[0] : p.rank, k ? p.rank : w->dims[1]};
            name = sn_arena_printf(work, "%s%s.%s", a->prefix, module, ends[i][k]);
            SN_CHECK(name, err, SN_ENOMEM, "%s: no memory", a->folder);
            SN_TRY(sn_weights_add(a->weights, name, SN_F32, 2, dims, k ? p.b : p.a, err));
        }
    return SN_OK;
}

SnStatus sn_peft_take(SnAdapter *a, bool is_new, SnError *err)
{
    static const char *const end[] = {"." SN_PEFT_TAKEN_A};
    SnArena arena, work;
    SnResults *r = NULL;
    SnGraph *g = NULL;
    const char *const *want = NULL;
    size_t n = 0;
    if (a->taken == SN_PEFT_NOTHING)
        return SN_OK;
    sn_arena_init(&arena, sn_allocator(a->m->ctx));
    sn_arena_init(&work, sn_allocator(a->m->ctx));
    SnStatus st = sn_peft_modules(a, &arena, "whole.", end, 1, &want, &n, err);
    if (st == SN_OK)
        st = sn_graph_create(a->m->cc, &g, err);
    if (st == SN_OK && n)
        st = sn_peft_results(a, NULL, 0, want, n, false, &r, err);
    for (size_t i = 0; st == SN_OK && i < n; i++) {
        st = take_one(a, g, &work, want[i] + strlen("whole."), &sn_results_find(r, want[i])->view, is_new,
                      err);
        sn_arena_clear(&work);
    }
    sn_results_destroy(r);
    sn_graph_destroy(g);
    sn_arena_clear(&work);
    sn_arena_clear(&arena);
    return st;
}

/* ---- files ---- */

bool sn_peft_is_doubled(const SnAdapter *a, SnBytes name)
{
    return a->taken != SN_PEFT_NOTHING &&
           (sn_bytes_ends(name, ".lora_A.weight") || sn_bytes_ends(name, ".lora_B.weight") ||
            sn_bytes_ends(name, ".lora_embedding_A") || sn_bytes_ends(name, ".lora_embedding_B"));
}

static float number(const SnStTensor *t, int64_t i)
{
    const uint8_t *at = t->bytes.at + (size_t)i * sn_dtype_size(t->dtype);
    return (float)sn_scalar_cast(t->dtype, SN_F64, sn_scalar_load(t->dtype, at), false).f;
}

SnStatus sn_peft_double(const SnAdapter *a, const SnStTensor *t, SnArena *arena, SnView *out, SnError *err)
{
    const bool is_down = sn_bytes_ends(t->name, "_A.weight") || sn_bytes_ends(t->name, "_A");
    const int64_t rows = t->dims[0], cols = t->dims[1];
    const char *name = sn_arena_printf(arena, "%.*s", (int)t->name.n, (const char *)t->name.at);
    if (name && sn_bytes_ends(t->name, ".weight"))
        name = sn_arena_printf(arena, "%.*sinitial", (int)(t->name.n - strlen("weight")), name);
    const SnStTensor *taken = name && !sn_bytes_ends(t->name, "g_A") && !sn_bytes_ends(t->name, "g_B")
                                  ? sn_weights_find(a->weights, name)
                                  : NULL; /* tables begin as nothing */
    SN_CHECK(t->ndim == 2, err, SN_ESHAPE, "%s: %.*s: found %d dims", a->folder, (int)t->name.n,
             (const char *)t->name.at, t->ndim);
    float *v = sn_arena_array(arena, (size_t)(2 * rows * cols) + 1, sizeof *v);
    SN_CHECK(v && name, err, SN_ENOMEM, "%s: no memory", a->folder);
    SN_CHECK(!taken || (taken->ndim == 2 && taken->dims[0] == rows && taken->dims[1] == cols), err, SN_ESHAPE,
             "%s: %s has other dims", a->folder, name);
    for (int64_t i = 0; i < rows * cols; i++) {
        const int64_t at = is_down ? i : i / cols * 2 * cols + i % cols;
        v[at] = number(t, i);
        if (taken)
            v[at + (is_down ? rows * cols : cols)] = is_down ? number(taken, i) : -number(taken, i);
    }
    *out = sn_view(SN_F32, v, 2, is_down ? (int64_t[]){2 * rows, cols} : (int64_t[]){rows, 2 * cols});
    return SN_OK;
}

/* Numbers, or those of an object, times one. */
static void put_times(SnText *t, const SnJson *v, double times)
{
    double x = 0;
    if (sn_json_number(v, &x)) {
        x *= times;
        if (x == floor(x) && fabs(x) < 1e15)
            sn_text_printf(t, "%lld", (long long)x);
        else
            sn_json_put_f64(t, x);
    } else if (v->kind == SN_JSON_OBJECT) {
        sn_text_printf(t, "{");
        for (uint32_t i = 0; i < v->n; i++) {
            sn_text_printf(t, i ? ", " : "");
            sn_json_put_string(t, v->u.child[i].key);
            sn_text_printf(t, ": ");
            put_times(t, &v->u.child[i], times);
        }
        sn_text_printf(t, "}");
    } else {
        sn_json_put(t, v);
    }
}

void sn_peft_put_config(const SnAdapter *a, SnText *t)
{
    const double alpha = sn_peft_is_on(a, "use_rslora") ? sqrt(2.0) : 2;
    static const char *const usual[] = {"r", "lora_alpha"};
    const SnJson *c = a->config;
    const char *between = "";
    if (a->taken == SN_PEFT_NOTHING) {
        sn_json_put(t, c);
        return;
    }
    sn_text_printf(t, "{");
    for (uint32_t i = 0; i < c->n; i++) {
        const SnJson *v = &c->u.child[i];
        if (sn_json_is_null(v) && (sn_bytes_is(v->key, usual[0]) || sn_bytes_is(v->key, usual[1])))
            continue;
        sn_text_printf(t, "%s\n  ", between);
        between = ",";
        sn_json_put_string(t, v->key);
        sn_text_printf(t, ": ");
        if (sn_bytes_is(v->key, "init_lora_weights"))
            sn_text_printf(t, "true");
        else if (sn_bytes_is(v->key, "r") || sn_bytes_is(v->key, "rank_pattern"))
            put_times(t, v, 2);
        else if (sn_bytes_is(v->key, "lora_alpha") || sn_bytes_is(v->key, "alpha_pattern"))
            put_times(t, v, alpha);
        else
            sn_json_put(t, v);
    }
    for (size_t k = 0; k < SN_COUNT(usual); k++)
        if (sn_json_is_null(sn_json_get(c, usual[k])))
            sn_text_printf(t, ",\n  \"%s\": %.17g", usual[k], 8 * (k ? alpha : 2));
    sn_text_printf(t, "\n}\n");
}
