/* search.c -- hyperparameter_search of a config: which values each trial has, what it is worth, which is
 * best.
 *
 * Words are those of Trainer.hyperparameter_search and of Optuna's suggestions; the space, where none is
 * given, and the objective are Trainer's own. */
#include "frontends/training/arguments.h"

#include "frontends/data/table.h"

#include <math.h>

#define MOST_TRIALS 100000
#define TRIALS      20 /* where nobody told */

static const char key[] = "hyperparameter_search";
static const char usual[] =
    "{\"learning_rate\": {\"low\": 1e-6, \"high\": 1e-4, \"log\": true}, "
    "\"num_train_epochs\": {\"low\": 1, \"high\": 5, \"step\": 1}, \"seed\": {\"low\": 1, \"high\": 40}, "
    "\"per_device_train_batch_size\": [4, 8, 16, 32, 64]}";

typedef struct Trial {
    const char *chosen; /* an object */
    const SnJson *metrics;
    const char *why; /* it failed; or NULL */
    double objective;
} Trial;

struct SnSearch {
    SnContext *ctx;
    SnArena arena;
    const SnJson *config, *told, *space;
    Trial *trial;
    int64_t n;
    bool is_grid, maximizes;
};

static SnStatus no_memory(SnError *err)
{
    return sn_fail(err, SN_ENOMEM, "config: %s: no memory", key);
}

/* ---- the space ---- */

/* A key and what it may be: n values, or anything between low and high. */
typedef struct Axis {
    const SnTrainKey *key;
    const SnJson *list; /* or NULL */
    double low, high, step;
    bool is_log, is_whole;
    int64_t n; /* 0: not counted */
} Axis;

static const SnTrainKey *find_key(SnBytes name)
{
    const SnTrainKey *k = NULL;
    for (size_t i = 0; (k = sn_train_key(i)) != NULL; i++)
        if (sn_bytes_is(name, k->name))
            return k;
    return NULL;
}

static SnStatus read_range(const SnJson *v, Axis *out, SnError *err)
{
    for (uint32_t i = 0; i < v->n; i++)
        SN_CHECK(sn_is_one_of(v->u.child[i].key, "low high step log"), err, SN_EINVAL,
                 "config: %s: %s: expected low, high, step and log", key, out->key->name);
    const bool has = sn_json_number(sn_json_get(v, "low"), &out->low) &&
                     sn_json_number(sn_json_get(v, "high"), &out->high) && out->low <= out->high;
    (void)sn_json_number(sn_json_get(v, "step"), &out->step);
    (void)sn_json_bool(sn_json_get(v, "log"), &out->is_log);
    out->is_whole = out->key->kind == SN_KEY_INT;
    if (out->is_whole && out->step == 0 && !out->is_log)
        out->step = 1;
    SN_CHECK(has && (out->key->kind == SN_KEY_INT || out->key->kind == SN_KEY_FLOAT) && out->step >= 0 &&
                 (!out->is_log || (out->low > 0 && out->step == 0)),
             err, SN_EINVAL, "config: %s: %s: expected numbers low and high, step or log (above 0)", key,
             out->key->name);
    const double n = out->step > 0 ? floor((out->high - out->low) / out->step * (1 + 0x1p-40)) + 1 : 0;
    SN_CHECK(n <= MOST_TRIALS, err, SN_EINVAL, "config: %s: %s: more than %d values", key, out->key->name,
             MOST_TRIALS);
    out->n = (int64_t)n;
    return SN_OK;
}

static SnStatus read_axis(const SnSearch *s, const SnJson *v, Axis *out, SnError *err)
{
    *out = (Axis){.key = find_key(v->key)};
    SN_CHECK(out->key && strcmp(out->key->name, key) != 0 && strcmp(out->key->name, "output_dir") != 0, err,
             SN_EINVAL, "config: %s: %.*s is no key that can be searched", key,
             (int)(v->key.n < 64 ? v->key.n : 64), (const char *)v->key.at);
    if (v->kind == SN_JSON_OBJECT) {
        SN_TRY(read_range(v, out, err));
    } else {
        SN_CHECK(v->kind == SN_JSON_ARRAY && v->n > 0, err, SN_EINVAL,
                 "config: %s: %s: expected a list, or low and high", key, out->key->name);
        out->list = v;
        out->n = v->n;
    }
    SN_CHECK(out->n > 0 || !s->is_grid, err, SN_EINVAL, "config: %s: %s: a grid needs a list, or a step", key,
             out->key->name);
    return SN_OK;
}

/* Value i of those that are counted, or one between: at is from 0 to 1. */
static void put_value(SnText *out, const Axis *a, int64_t i, double at)
{
    double v = a->n        ? a->low + (double)i * a->step
               : a->is_log ? exp(log(a->low) + at * (log(a->high) - log(a->low)))
                           : a->low + at * (a->high - a->low);
    sn_text_printf(out, "%s\"%s\": ", out->n > 1 ? ", " : "", a->key->name);
    if (a->list)
        sn_json_put(out, &a->list->u.child[i]);
    else if (a->is_whole)
        sn_text_printf(out, "%lld", (long long)round(v));
    else
        sn_json_put_f64(out, v > a->high ? a->high : v);
}

/* ---- trials ---- */

static SnStatus count_trials(SnSearch *s, const Axis *axis, SnError *err)
{
    double all = 1;
    int64_t told = s->is_grid ? MOST_TRIALS : TRIALS;
    for (uint32_t i = 0; i < s->space->n && s->is_grid; i++)
        all *= (double)axis[i].n;
    if (sn_json_get(s->told, "n_trials"))
        SN_CHECK(sn_json_int(sn_json_get(s->told, "n_trials"), &told) && told > 0 && told <= MOST_TRIALS, err,
                 SN_EINVAL, "config: %s: n_trials: expected 1 to %d", key, MOST_TRIALS);
    s->n = s->is_grid && all < (double)told ? (int64_t)all : told;
    s->trial = sn_arena_array(&s->arena, (size_t)s->n, sizeof *s->trial);
    return s->trial ? SN_OK : no_memory(err);
}

static SnStatus choose(SnSearch *s, const Axis *axis, int64_t i, SnDraw *draw, SnError *err)
{
    SnText text = {.memory = sn_allocator(s->ctx)};
    int64_t place = i, below = 1;
    for (uint32_t k = 0; k < s->space->n && s->is_grid; k++)
        below *= axis[k].n;
    sn_text_add(&text, "{", 1);
    for (uint32_t k = 0; k < s->space->n; k++) {
        const Axis *a = &axis[k];
        const double at = s->is_grid ? 0 : sn_draw_f64(draw);
        below /= s->is_grid ? a->n : 1;
        put_value(&text, a, s->is_grid ? place / below : (int64_t)(at * (double)a->n), at);
        place %= below ? below : 1;
    }
    sn_text_add(&text, "}", 1);
    s->trial[i] = (Trial){.chosen = text.failed ? NULL : sn_arena_strndup(&s->arena, text.at, text.n),
                          .objective = (double)NAN};
    sn_text_clear(&text);
    return s->trial[i].chosen ? SN_OK : no_memory(err);
}

static SnStatus read_told(SnSearch *s, SnError *err)
{
    for (uint32_t i = 0; i < s->told->n; i++) {
        const SnBytes name = s->told->u.child[i].key;
        SN_CHECK(sn_is_one_of(name, "method space n_trials direction objective seed"), err, SN_EINVAL,
                 "config: %s: expected method, space, n_trials, direction, objective and seed, found %.*s",
                 key, (int)(name.n < 64 ? name.n : 64), (const char *)name.at);
    }
    const SnJson *method = sn_json_get(s->told, "method"), *direction = sn_json_get(s->told, "direction");
    s->is_grid = sn_json_is(method, "grid");
    s->maximizes = sn_json_is(direction, "maximize");
    SN_CHECK(sn_json_is_null(method) || s->is_grid || sn_json_is(method, "random"), err, SN_EINVAL,
             "config: %s: method: expected random or grid", key);
    SN_CHECK(sn_json_is_null(direction) || s->maximizes || sn_json_is(direction, "minimize"), err, SN_EINVAL,
             "config: %s: direction: expected minimize or maximize", key);
    s->space = sn_json_get(s->told, "space");
    if (sn_json_is_null(s->space)) {
        SnJson *own = NULL;
        SN_TRY(sn_json_parse(&s->arena, key, sn_bytes_str(usual), &own, err));
        s->space = own;
    }
    SN_CHECK(s->space->kind == SN_JSON_OBJECT && s->space->n > 0, err, SN_EINVAL,
             "config: %s: space: expected an object of keys", key);
    return SN_OK;
}

static SnStatus plan(SnSearch *s, SnError *err)
{
    int64_t seed = sn_arg_int(s->config, "seed");
    SN_CHECK(s->told->kind == SN_JSON_OBJECT, err, SN_EINVAL, "config: %s: expected an object", key);
    SN_TRY(read_told(s, err));
    (void)sn_json_int(sn_json_get(s->told, "seed"), &seed);
    SnDraw draw = sn_draw((uint64_t)seed);
    Axis *axis = sn_arena_array(&s->arena, s->space->n, sizeof *axis);
    if (!axis)
        return no_memory(err);
    for (uint32_t i = 0; i < s->space->n; i++)
        SN_TRY(read_axis(s, &s->space->u.child[i], &axis[i], err));
    SN_TRY(count_trials(s, axis, err));
    for (int64_t i = 0; i < s->n; i++)
        SN_TRY(choose(s, axis, i, &draw, err));
    return SN_OK;
}

SnStatus sn_search_create(SnContext *ctx, const SnJson *config, SnSearch **out, SnError *err)
{
    const SnJson *told = sn_arg(config, key);
    *out = NULL;
    if (!told)
        return SN_OK;
    SnSearch *s = sn_alloc_zero(sn_allocator(ctx), sizeof *s, _Alignof(max_align_t));
    if (!s)
        return no_memory(err);
    s->ctx = ctx;
    s->config = config;
    s->told = told;
    sn_arena_init(&s->arena, sn_allocator(ctx));
    const SnStatus st = plan(s, err);
    if (st != SN_OK)
        sn_search_destroy(s);
    else
        *out = s;
    return st;
}

void sn_search_destroy(SnSearch *s)
{
    if (!s)
        return;
    const SnAllocator *memory = sn_allocator(s->ctx);
    sn_arena_clear(&s->arena);
    sn_free(memory, s, sizeof *s, _Alignof(max_align_t));
}

int64_t sn_search_trials(const SnSearch *s)
{
    return s->n;
}

const char *sn_search_chosen(const SnSearch *s, int64_t trial)
{
    return s->trial[trial].chosen;
}

SnStatus sn_search_config(SnSearch *s, int64_t trial, const SnJson **out, SnError *err)
{
    SnText text = {.memory = sn_allocator(s->ctx)};
    SnJson *chosen = NULL, *config = NULL;
    SN_TRY(sn_json_parse(&s->arena, key, sn_bytes_str(s->trial[trial].chosen), &chosen, err));
    sn_text_printf(&text, "{\"output_dir\": ");
    const char *folder =
        sn_arena_printf(&s->arena, "%s/run-%lld", sn_arg_string(s->config, "output_dir"), (long long)trial);
    if (!folder)
        return no_memory(err);
    sn_json_put_string(&text, sn_bytes_str(folder));
    for (int part = 0; part < 2; part++) {
        const SnJson *from = part ? chosen : s->config;
        for (uint32_t i = 0; i < from->n; i++) {
            const SnJson *v = &from->u.child[i];
            bool is_left = part == 0 && (sn_bytes_is(v->key, key) || sn_bytes_is(v->key, "output_dir"));
            for (uint32_t k = 0; part == 0 && k < chosen->n; k++)
                is_left = is_left || sn_bytes_equal(v->key, chosen->u.child[k].key);
            if (is_left)
                continue;
            sn_text_printf(&text, ", ");
            sn_json_put_member(&text, v);
        }
    }
    sn_text_printf(&text, "}");
    const char *own = text.failed ? NULL : sn_arena_strndup(&s->arena, text.at, text.n);
    SnStatus st = own ? sn_json_parse(&s->arena, "config", sn_bytes_str(own), &config, err) : no_memory(err);
    sn_text_clear(&text);
    if (st == SN_OK)
        st = sn_train_config_check(config, err);
    *out = config;
    return st;
}

/* ---- what they are worth ---- */

/* default_compute_objective: the sum of all metrics, or the loss where there are none. */
static double sum_of(const SnJson *metrics)
{
    double sum = 0, loss = (double)NAN, v = 0;
    bool has = false;
    for (uint32_t i = 0; i < metrics->n; i++) {
        const SnJson *m = &metrics->u.child[i];
        if (!sn_json_number(m, &v) || sn_bytes_is(m->key, "epoch") || sn_bytes_is(m->key, "step") ||
            sn_bytes_ends(m->key, "_runtime") || sn_bytes_ends(m->key, "_per_second"))
            continue;
        if (sn_bytes_is(m->key, "eval_loss")) {
            loss = v;
            continue;
        }
        has = true;
        sum += v;
    }
    return has ? sum : loss;
}

SnStatus sn_search_report(SnSearch *s, int64_t trial, const SnText *metrics, const char *why, SnError *err)
{
    Trial *t = &s->trial[trial];
    SnBytes name;
    SnJson *json = NULL;
    if (why) {
        t->why = sn_arena_strndup(&s->arena, why, strlen(why));
        return t->why ? SN_OK : no_memory(err);
    }
    const char *own = sn_arena_strndup(&s->arena, metrics->at, metrics->n);
    if (!own)
        return no_memory(err);
    SN_TRY(sn_json_parse(&s->arena, "metrics", sn_bytes_str(own), &json, err));
    t->metrics = json;
    t->objective = sum_of(json);
    if (sn_json_string(sn_json_get(s->told, "objective"), &name)) {
        const bool has_prefix = name.n > 5 && memcmp(name.at, "eval_", 5) == 0;
        const char *full = sn_arena_printf(&s->arena, "%s%.*s", has_prefix ? "" : "eval_", (int)name.n,
                                           (const char *)name.at);
        SN_CHECK(full && sn_json_number(sn_json_get(json, full), &t->objective), err, SN_EINVAL,
                 "config: %s: objective: an evaluation has no %s", key, full ? full : "");
    }
    return SN_OK;
}

double sn_search_objective(const SnSearch *s, int64_t trial)
{
    return s->trial[trial].objective;
}

int64_t sn_search_best(const SnSearch *s)
{
    int64_t best = -1;
    for (int64_t i = 0; i < s->n; i++) {
        const double v = s->trial[i].objective, b = best < 0 ? 0 : s->trial[best].objective;
        if (!isnan(v) && (best < 0 || (s->maximizes ? v > b : v < b)))
            best = i;
    }
    return best;
}

static void put_trial(const SnSearch *s, int64_t i, bool with_metrics, SnText *out)
{
    const Trial *t = &s->trial[i];
    sn_text_printf(out, "{\"run_id\": \"%lld\", \"objective\": ", (long long)i);
    if (isnan(t->objective))
        sn_text_printf(out, "null");
    else
        sn_json_put_f64(out, t->objective);
    sn_text_printf(out, ", \"hyperparameters\": %s", t->chosen);
    if (with_metrics && t->metrics) {
        sn_text_printf(out, ", \"metrics\": ");
        sn_json_put(out, t->metrics);
    }
    if (t->why) {
        sn_text_printf(out, ", \"error\": ");
        sn_json_put_string(out, sn_bytes_str(t->why));
    }
    sn_text_printf(out, "}");
}

SnStatus sn_search_result(const SnSearch *s, SnText *json, SnError *err)
{
    const int64_t best = sn_search_best(s);
    sn_text_printf(json, "{\"direction\": \"%s\", \"best_run\": ", s->maximizes ? "maximize" : "minimize");
    if (best < 0)
        sn_text_printf(json, "null");
    else
        put_trial(s, best, false, json);
    sn_text_printf(json, ", \"trials\": [");
    for (int64_t i = 0; i < s->n; i++) {
        sn_text_printf(json, i ? ", " : "");
        put_trial(s, i, true, json);
    }
    sn_text_printf(json, "]}");
    return json->failed ? no_memory(err) : SN_OK;
}
