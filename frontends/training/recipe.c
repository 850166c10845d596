/* recipe.c -- names of optimizers and schedules, as Transformers has them, to rows of ops/optim.c: a row a
 * name. */
#include "frontends/training/recipe.h"

#include <ctype.h>
#include <math.h>

/* ---- optimizers ---- */

typedef struct NamedAttr {
    const char *argument, *attr;
} NamedAttr;

#define BETAS                                                                                                \
    {"adam_beta1", "beta1"},                                                                                 \
    {                                                                                                        \
        "adam_beta2", "beta2"                                                                                \
    }
#define ADAM                                                                                                 \
    {                                                                                                        \
        BETAS,                                                                                               \
        {                                                                                                    \
            "adam_epsilon", "eps"                                                                            \
        }                                                                                                    \
    }

static const struct Optim {
    const char *name, *op;
    bool is_8bit;
    NamedAttr attr[4];
    const char *off; /* a flag that is false here unless optim_args says otherwise; NULL: none */
} optims[] = {
    {"adamw_torch", "adamw", false, ADAM},
    {"adamw_torch_fused", "adamw", false, ADAM},
    {"paged_adamw_32bit", "adamw", false, ADAM},
    {"adamw_8bit", "adamw", true, ADAM},
    {"adamw_bnb_8bit", "adamw", true, ADAM},
    {"paged_adamw_8bit", "adamw", true, ADAM},
    {"ademamix", "ademamix", false, ADAM},
    {"paged_ademamix_32bit", "ademamix", false, ADAM},
    {"ademamix_8bit", "ademamix", true, ADAM},
    {"paged_ademamix_8bit", "ademamix", true, ADAM},
    {"lion_32bit", "lion", false, {BETAS}},
    {"paged_lion_32bit", "lion", false, {BETAS}},
    {"lion_8bit", "lion", true, {BETAS}},
    {"paged_lion_8bit", "lion", true, {BETAS}},
    {"sgd", "sgd", false, {{NULL, NULL}}},
    {"adagrad", "adagrad", false, {{NULL, NULL}}},
    {"rmsprop", "rmsprop", false, {{NULL, NULL}}},
    {"rmsprop_bnb", "rmsprop", false, {{NULL, NULL}}},
    {"rmsprop_bnb_32bit", "rmsprop", false, {{NULL, NULL}}},
    {"rmsprop_bnb_8bit", "rmsprop", true, {{NULL, NULL}}},
    {"adafactor", "adafactor", false, {{NULL, NULL}}, "scale_parameter"},
};

static SnStatus add(SnAttr *all, int *n, SnAttr attr, SnError *err)
{
    for (int i = 0; i < *n; i++)
        if (strcmp(all[i].name, attr.name) == 0) {
            all[i] = attr;
            return SN_OK;
        }
    SN_CHECK(*n < SN_OPTIM_ATTRS, err, SN_EINVAL, "%s: too many numbers", attr.name);
    all[(*n)++] = attr;
    return SN_OK;
}

static SnStatus set(SnArena *a, SnOptimizer *o, SnBytes key, double v, bool is_flag, SnError *err)
{
    const char *name = sn_arena_strndup(a, (const char *)key.at, key.n);
    SN_CHECK(name, err, SN_ENOMEM, "training: no memory");
    return add(o->attr, &o->nattr, is_flag ? SN_INT(name, v != 0) : SN_FLOAT(name, v), err);
}

/* betas: [b1, b2], eps: [eps, eps_scale] */
static SnStatus set_list(SnArena *a, SnOptimizer *o, const SnJson *list, SnError *err)
{
    static const struct {
        const char *key, *attr[3];
    } rows[] = {{"betas", {"beta1", "beta2", "beta3"}}, {"eps", {"eps", "eps_scale", NULL}}};
    const size_t i = SN_FIND_ROW(rows, key, list->key);
    SN_CHECK(i < SN_COUNT(rows), err, SN_EINVAL, "optim_args: %.*s: expected a number",
             (int)(list->key.n < 80 ? list->key.n : 80), (const char *)list->key.at);
    for (uint32_t k = 0; k < list->n && k < 3 && rows[i].attr[k]; k++) {
        double v = 0;
        SN_CHECK(sn_json_number(sn_json_at(list, k), &v), err, SN_EINVAL, "optim_args: %s: expected numbers",
                 rows[i].key);
        SN_TRY(set(a, o, sn_bytes_str(rows[i].attr[k]), v, false, err));
    }
    return SN_OK;
}

/* "key=value,key=value" */
static SnStatus set_words(SnArena *a, SnOptimizer *o, SnBytes text, SnError *err)
{
    for (size_t at = 0; at < text.n;) {
        size_t end = at, mid = SIZE_MAX;
        for (; end < text.n && text.at[end] != ','; end++)
            if (text.at[end] == '=')
                mid = end;
        const SnBytes value = {text.at + mid + 1, mid < end ? end - mid - 1 : 0};
        double v = 0;
        const bool is_word = sn_bytes_is(value, "true") || sn_bytes_is(value, "True") ||
                             sn_bytes_is(value, "false") || sn_bytes_is(value, "False");
        SN_CHECK(mid < end && (is_word || sn_parse_f64(value, &v)), err, SN_EINVAL,
                 "optim_args: expected key=number in %.*s", (int)(end - at < 80 ? end - at : 80),
                 (const char *)text.at + at);
        while (at < mid && text.at[at] == ' ')
            at++;
        SN_TRY(set(a, o, (SnBytes){text.at + at, mid - at}, is_word ? value.n == 4 : v, is_word, err));
        at = end + 1;
    }
    return SN_OK;
}

static SnStatus set_more(SnArena *a, SnOptimizer *o, const SnJson *more, SnError *err)
{
    if (more && more->kind == SN_JSON_STRING)
        return set_words(a, o, more->u.string, err);
    for (uint32_t k = 0; more && more->kind == SN_JSON_OBJECT && k < more->n; k++) {
        const SnJson *v = &more->u.child[k];
        double x = 0;
        if (v->kind == SN_JSON_ARRAY || (v->kind != SN_JSON_BOOL && !sn_json_number(v, &x)))
            SN_TRY(set_list(a, o, v, err));
        else
            SN_TRY(
                set(a, o, v->key, v->kind == SN_JSON_BOOL ? v->u.boolean : x, v->kind == SN_JSON_BOOL, err));
    }
    return SN_OK;
}

SnStatus sn_recipe_optimizer(SnArena *a, const SnJson *args, SnOptimizer *out, SnError *err)
{
    SnOptimizer o = {0};
    const char *name = sn_arg_string(args, "optim");
    const size_t i = SN_FIND_ROW(optims, name, sn_bytes_str(name));
    SN_CHECK(i < SN_COUNT(optims), err, SN_EUNSUPPORTED, "optim %s: not yet", name);
    o.op = optims[i].op;
    o.is_8bit = optims[i].is_8bit;
    o.attr[o.nattr++] = SN_FLOAT("weight_decay", sn_arg_number(args, "weight_decay"));
    if (optims[i].off)
        o.attr[o.nattr++] = SN_INT(optims[i].off, 0);
    for (const NamedAttr *n = optims[i].attr; n->argument; n++)
        o.attr[o.nattr++] = SN_FLOAT(n->attr, sn_arg_number(args, n->argument));
    SN_TRY(set_more(a, &o, sn_arg(args, "optim_args"), err));
    *out = o;
    return SN_OK;
}

/* ---- schedules ---- */

typedef enum Kind { NUMBER, RATE, WORD } Kind; /* RATE: as a share of learning_rate */

#define UNSET ((double)NAN) /* the op's own */

static const struct Schedule {
    const char *name, *kind; /* NULL: it is told */
    bool has_warmup, has_end;
    struct {
        const char *key, *attr;
        Kind kind;
        double otherwise;
    } set[8];
} schedules[] = {
    {"linear", "linear", true, true, {{NULL, NULL, NUMBER, 0}}},
    {"cosine", "cosine", true, true, {{"num_cycles", "num_cycles", NUMBER, 0.5}}},
    {"cosine_with_restarts", "restarts", true, true, {{"num_cycles", "num_cycles", NUMBER, 1}}},
    {"polynomial",
     "polynomial",
     true,
     true,
     {{"power", "power", NUMBER, 1}, {"lr_end", "lr_end", RATE, 1e-7}}},
    {"constant", "constant", false, false, {{NULL, NULL, NUMBER, 0}}},
    {"constant_with_warmup", "constant", true, false, {{NULL, NULL, NUMBER, 0}}},
    {"reduce_lr_on_plateau", /* who tells it knows these */
     NULL,
     false,
     false,
     {{"mode", NULL, WORD, 0},
      {"factor", NULL, NUMBER, UNSET},
      {"patience", NULL, NUMBER, UNSET},
      {"threshold", NULL, NUMBER, UNSET},
      {"threshold_mode", NULL, WORD, 0},
      {"cooldown", NULL, NUMBER, UNSET},
      {"min_lr", NULL, NUMBER, UNSET},
      {"eps", NULL, NUMBER, UNSET}}},
    {"inverse_sqrt", "inverse_sqrt", true, false, {{"timescale", "timescale", NUMBER, UNSET}}},
    {"cosine_with_min_lr",
     "cosine",
     true,
     true,
     {{"num_cycles", "num_cycles", NUMBER, 0.5},
      {"min_lr_rate", "min_lr_rate", NUMBER, UNSET},
      {"min_lr", "min_lr_rate", RATE, UNSET}}},
    {"cosine_warmup_with_min_lr",
     "cosine_warmup",
     true,
     true,
     {{"num_cycles", "num_cycles", NUMBER, 0.5},
      {"min_lr_rate", "min_lr_rate", NUMBER, UNSET},
      {"min_lr", "min_lr_rate", RATE, UNSET},
      {"warmup_lr_rate", "warmup_lr_rate", NUMBER, UNSET}}},
    {"warmup_stable_decay",
     "stable",
     true,
     true,
     {{"num_decay_steps", "decay_steps", NUMBER, 0},
      {"num_stable_steps", "stable_steps", NUMBER, UNSET},
      {"warmup_type", "warmup_type", WORD, 0},
      {"decay_type", "decay_type", WORD, 0},
      {"min_lr_ratio", "min_lr_rate", NUMBER, UNSET},
      {"num_cycles", "num_cycles", NUMBER, UNSET}}},
};

static SnStatus set_schedule(SnArena *a, const struct Schedule *s, int i, const SnJson *more, SnLrSchedule *r,
                             SnError *err)
{
    const char *attr = s->set[i].attr;
    const SnJson *v = sn_json_get(more, s->set[i].key);
    SnBytes word;
    double x = s->set[i].otherwise;
    if (s->set[i].kind == WORD) {
        if (!sn_json_string(v, &word))
            return SN_OK;
        const char *own = sn_arena_strndup(a, (const char *)word.at, word.n);
        SN_CHECK(own, err, SN_ENOMEM, "training: no memory");
        return add(r->attr, &r->nattr, SN_STRING(attr, own), err);
    }
    (void)sn_json_number(v, &x);
    return isnan(x) ? SN_OK
                    : add(r->attr, &r->nattr, SN_FLOAT(attr, s->set[i].kind == RATE ? x / r->lr : x), err);
}

static const struct Schedule *find_schedule(const SnJson *args)
{
    const size_t i = SN_FIND_ROW(schedules, name, sn_bytes_str(sn_arg_string(args, "lr_scheduler_type")));
    return i < SN_COUNT(schedules) ? &schedules[i] : NULL;
}

bool sn_recipe_ends(const SnJson *args)
{
    const struct Schedule *s = find_schedule(args);
    return s && s->has_end;
}

/* Every key must be one of the schedule's, and of its kind. */
static SnStatus check_schedule(const struct Schedule *s, const SnJson *more, SnError *err)
{
    SN_CHECK(!more || more->kind == SN_JSON_OBJECT, err, SN_EINVAL,
             "lr_scheduler_kwargs: expected an object");
    for (uint32_t i = 0; more && i < more->n; i++) {
        const SnJson *v = &more->u.child[i];
        size_t k = 0;
        double x = 0;
        while (k < SN_COUNT(s->set) && s->set[k].key && !sn_bytes_is(v->key, s->set[k].key))
            k++;
        SN_CHECK(k < SN_COUNT(s->set) && s->set[k].key, err, SN_EINVAL, "lr_scheduler_kwargs: %s has no %.*s",
                 s->name, (int)(v->key.n < 80 ? v->key.n : 80), (const char *)v->key.at);
        SN_CHECK(sn_json_is_null(v) ||
                     (s->set[k].kind == WORD ? v->kind == SN_JSON_STRING : sn_json_number(v, &x)),
                 err, SN_EINVAL, "lr_scheduler_kwargs: %s: expected a %s", s->set[k].key,
                 s->set[k].kind == WORD ? "word" : "number");
    }
    return SN_OK;
}

SnStatus sn_recipe_schedule(SnArena *a, const SnJson *args, SnLrSchedule *out, SnError *err)
{
    SnLrSchedule r = {.lr = sn_arg_number(args, "learning_rate")};
    const struct Schedule *s = find_schedule(args);
    SN_CHECK(s, err, SN_EUNSUPPORTED, "lr_scheduler_type %s: not yet",
             sn_arg_string(args, "lr_scheduler_type"));
    SN_TRY(check_schedule(s, sn_arg(args, "lr_scheduler_kwargs"), err));
    if (s->kind == NULL) {
        r.is_told = true;
        *out = r;
        return SN_OK;
    }
    r.attr[r.nattr++] = SN_STRING("kind", s->kind);
    r.attr[r.nattr++] = SN_FLOAT("warmup", s->has_warmup ? sn_arg_number(args, "warmup_steps") : 0);
    if (s->has_end)
        r.attr[r.nattr++] = SN_FLOAT("total", sn_arg_number(args, "max_steps"));
    for (int k = 0; k < (int)SN_COUNT(s->set) && s->set[k].key; k++)
        SN_TRY(set_schedule(a, s, k, sn_arg(args, "lr_scheduler_kwargs"), &r, err));
    *out = r;
    return SN_OK;
}

SnStatus sn_recipe_resolved(SnArena *a, const SnJson *config, int64_t max_steps, const SnJson **out,
                            SnError *err)
{
    SnText text = {.memory = a->memory};
    const bool is_share = sn_arg(config, "warmup_ratio") != NULL;
    const double told = sn_arg_number(config, is_share ? "warmup_ratio" : "warmup_steps");
    const double warmup = told < 1 || is_share ? ceil(told * (double)max_steps) : told;
    SnJson *json = NULL;
    sn_text_add(&text, "{", 1);
    for (uint32_t i = 0; config && i < config->n; i++) {
        sn_json_put_string(&text, config->u.child[i].key);
        sn_text_add(&text, ":", 1);
        sn_json_put(&text, &config->u.child[i]);
        sn_text_add(&text, ",", 1);
    }
    if (max_steps <= 0 && !sn_arg(config, "lr_scheduler_type"))
        sn_text_printf(&text, "\"lr_scheduler_type\": \"constant_with_warmup\", ");
    sn_text_printf(&text, "\"max_steps\": %.17g, \"warmup_steps\": %.17g}", (double)max_steps, warmup);
    const char *own = text.failed ? NULL : sn_arena_strndup(a, text.at, text.n);
    sn_text_clear(&text);
    SN_CHECK(own, err, SN_ENOMEM, "training: no memory");
    SN_TRY(sn_json_parse(a, "config", sn_bytes_str(own), &json, err));
    *out = json;
    return SN_OK;
}

/* ---- decay ---- */

/* Trainer.get_decay_parameter_names. */
bool sn_training_decays(void *self, const char *name)
{
    static const char *const without[] = {"bias", "layernorm", "rmsnorm", "_norm.", ".norm.", "ln_", ".ln"};
    char lower[256];
    size_t n = 0;
    (void)self;
    for (; name[n] && n + 1 < sizeof lower; n++)
        lower[n] = (char)tolower((unsigned char)name[n]);
    lower[n] = 0;
    for (size_t i = 0; i < SN_COUNT(without); i++)
        if (strstr(lower, without[i]))
            return false;
    return strncmp(lower, "norm.", 5) != 0;
}
