/* conform_train.c -- cases of kind train: gradients, and steps of an optimizer. */
#include "tests/conform.h"

#include "frontends/training.h"

#include <stdio.h>

#define MAX_INPUTS 64

/* Members of an object but some that are numbers, strings or lists of numbers. */
static void add_members(SnText *text, const SnJson *o, const char *const *known, size_t nknown)
{
    const char *separator = "";
    for (uint32_t i = 0; o && i < o->n; i++) {
        const SnJson *j = &o->u.child[i];
        double v = 0;
        bool is_known = false;
        for (size_t k = 0; k < nknown; k++)
            is_known = is_known || sn_bytes_is(j->key, known[k]);
        if (is_known && (j->kind != SN_JSON_ARRAY || sn_bytes_is(j->key, "betas")))
            continue;
        if (j->kind == SN_JSON_NULL || j->kind == SN_JSON_OBJECT)
            continue;
        sn_text_printf(text, "%s\"%.*s\": ", separator, (int)j->key.n, (const char *)j->key.at);
        if (j->kind == SN_JSON_BOOL)
            sn_text_printf(text, "%s", j->u.boolean ? "true" : "false");
        else if (j->kind == SN_JSON_STRING)
            sn_text_printf(text, "\"%.*s\"", (int)j->u.string.n, (const char *)j->u.string.at);
        else if (sn_json_number(j, &v))
            sn_text_printf(text, "%.17g", v);
        else {
            for (uint32_t k = 0; k < j->n; k++)
                if (sn_json_number(sn_json_at(j, k), &v))
                    sn_text_printf(text, "%s%.17g", k ? ", " : "[", v);
            sn_text_printf(text, j->n ? "]" : "[]");
        }
        separator = ", ";
    }
}

/* The case's own words as those of TrainingArguments. */
static SnStatus arguments(Conform *c, const SnJson *training, const SnJson **out, SnError *err)
{
    static const struct {
        const char *type, *optim;
    } names[] = {{"adamw", "adamw_torch"}, {"lion", "lion_32bit"}};
    static const char *const known[] = {"type",     "lr",           "betas",         "eps",
                                        "schedule", "warmup_steps", "schedule_args", "weight_decay"};
    const SnJson *o = sn_json_get(training, "optimizer"), *betas = sn_json_get(o, "betas"),
                 *kwargs = sn_json_get(o, "schedule_args"), *norm = sn_json_get(training, "max_grad_norm");
    SnText text = {.memory = sn_allocator(c->ctx)};
    const char *optim = conform_string(c, sn_json_get(o, "type")),
               *schedule = conform_string(c, sn_json_get(o, "schedule"));
    double v = 0, w = 0;
    SN_CHECK(optim && schedule, err, SN_EFORMAT, "%s: no optimizer", c->dir);
    for (size_t i = 0; i < SN_COUNT(names); i++)
        optim = strcmp(optim, names[i].type) == 0 ? names[i].optim : optim;
    sn_text_printf(&text, "{\"optim\": \"%s\", \"lr_scheduler_type\": \"%s\"", optim, schedule);
    static const char *const numbers[][3] = {{"lr", "learning_rate"},
                                             {"weight_decay", "weight_decay"},
                                             {"eps", "adam_epsilon"},
                                             {"warmup_steps", "warmup_steps"}};
    for (size_t i = 0; i < SN_COUNT(numbers); i++)
        if (sn_json_number(sn_json_get(o, numbers[i][0]), &v))
            sn_text_printf(&text, ", \"%s\": %.17g", numbers[i][1], v);
    if (sn_json_number(sn_json_at(betas, 0), &v) && sn_json_number(sn_json_at(betas, 1), &w))
        sn_text_printf(&text, ", \"adam_beta1\": %.17g, \"adam_beta2\": %.17g", v, w);
    else if (strcmp(optim, "lion_32bit") == 0)
        sn_text_printf(&text, ", \"adam_beta2\": 0.99"); /* its own; TrainingArguments say 0.999 */
    if (sn_json_number(sn_json_get(training, "steps"), &v))
        sn_text_printf(&text, ", \"max_steps\": %.17g", v);
    if (sn_json_number(sn_json_get(training, "gradient_accumulation_steps"), &v))
        sn_text_printf(&text, ", \"gradient_accumulation_steps\": %.17g", v);
    bool is_set = false;
    static const char *const flags[] = {"bf16", "fp16"};
    for (size_t i = 0; i < SN_COUNT(flags); i++)
        if (sn_json_bool(sn_json_get(training, flags[i]), &is_set) && is_set)
            sn_text_printf(&text, ", \"%s\": true", flags[i]);
    if (sn_json_number(sn_json_get(training, "label_smoothing_factor"), &v))
        sn_text_printf(&text, ", \"label_smoothing_factor\": %.17g", v);
    sn_text_printf(&text, ", \"max_grad_norm\": %.17g, \"optim_args\": {", sn_json_number(norm, &v) ? v : 0);
    add_members(&text, o, known, SN_COUNT(known));
    sn_text_printf(&text, "}, \"lr_scheduler_kwargs\": {");
    add_members(&text, kwargs, NULL, 0);
    sn_text_printf(&text, "}}");
    SnJson *json = NULL;
    char *own = text.failed ? NULL : sn_arena_strndup(&c->arena, text.at, text.n);
    sn_text_clear(&text);
    SN_CHECK(own, err, SN_ENOMEM, "%s: no memory", c->dir);
    SN_TRY(sn_json_parse(&c->arena, c->dir, sn_bytes_str(own), &json, err));
    *out = json;
    return SN_OK;
}

static bool decays(void *self, const char *name)
{
    const SnJson *list = sn_json_get(sn_json_get(((Conform *)self)->spec, "training"), "no_decay");
    for (uint32_t i = 0; list && i < list->n; i++)
        if (sn_json_is(sn_json_at(list, i), name))
            return false;
    return true;
}

/* Micro-batches [first, first + n) of the inputs: [..] of one, [n, ..] of several. */
void conform_pick(const SnNamedTensor *all, size_t nin, int64_t first, int64_t n, SnNamedTensor *out)
{
    for (size_t i = 0; i < nin; i++) {
        const SnView *v = &all[i].view;
        int64_t dims[SN_MAX_RANK], count = 1;
        for (int k = 1; k < v->ndim; k++)
            count *= v->dims[k];
        memcpy(dims, v->dims, sizeof dims);
        dims[0] = n;
        const uint8_t *data = (const uint8_t *)v->data + (size_t)(first * count) * sn_dtype_size(v->dtype);
        out[i] =
            (SnNamedTensor){all[i].name, sn_view(v->dtype, (void *)(uintptr_t)data,
                                                 n == 1 ? v->ndim - 1 : v->ndim, n == 1 ? dims + 1 : dims)};
    }
}

static SnStatus add_numbers(Conform *c, const char *name, const double *v, int64_t n, SnError *err)
{
    const SnView view = sn_view(SN_F64, (void *)(uintptr_t)v, 1, &n);
    return conform_add(c, name, &view, SN_F64, err);
}

static SnStatus add_state(Conform *c, SnTraining *t, SnError *err)
{
    SnResults *r = NULL;
    SN_TRY(sn_training_state(t, &r, err));
    SnStatus st = SN_OK;
    const SnJson *outputs = sn_json_get(sn_json_at(sn_json_get(c->spec, "calls"), 0), "outputs");
    for (size_t i = 0; st == SN_OK && i < sn_results_count(r); i++) {
        const SnNamedTensor *tensor = sn_results_get(r, i);
        const char *name = sn_arena_printf(&c->arena, "final.%s", tensor->name);
        if (name && sn_json_get(outputs, name))
            st = conform_add(c, name, &tensor->view, SN_F32, err);
    }
    sn_results_destroy(r);
    return st;
}

static SnStatus run_steps(Conform *c, SnTraining *t, const SnNamedTensor *in, size_t nin, int64_t steps,
                          int64_t times, SnError *err)
{
    double *v = sn_arena_array(&c->arena, (size_t)steps * 3 + 1, sizeof *v);
    SN_CHECK(v, err, SN_ENOMEM, "%s: no memory", c->dir);
    for (int64_t i = 0; i < steps; i++) {
        SnNamedTensor batch[MAX_INPUTS];
        SnTrainingStep s;
        conform_pick(in, nin, i * times, times, batch);
        SN_TRY(sn_training_step(t, batch, nin, &s, err));
        v[i] = s.loss;
        v[steps + i] = s.grad_norm;
        v[2 * steps + i] = s.learning_rate;
    }
    SN_TRY(add_numbers(c, "losses", v, steps, err));
    SN_TRY(add_numbers(c, "grad_norms", v + steps, steps, err));
    SN_TRY(add_numbers(c, "learning_rates", v + 2 * steps, steps, err));
    return add_state(c, t, err);
}

SnStatus conform_steps(Conform *c, SnModel *m, const SnNamedTensor *in, size_t nin, SnError *err)
{
    const SnJson *training = sn_json_get(c->spec, "training");
    SnNamedTensor one[MAX_INPUTS];
    int64_t steps = 0, times = 1;
    SnTraining *t = NULL;
    SnTrainingDesc d = {.struct_size = sizeof d,
                        .sample = one,
                        .decays = decays,
                        .self = c,
                        .keeps_all = true,
                        .narrows_tables = true};
    SN_CHECK(sn_json_int(sn_json_get(training, "steps"), &steps) && steps > 0 && steps < 10000, err,
             SN_EFORMAT, "%s: no steps", c->dir);
    (void)sn_json_int(sn_json_get(training, "gradient_accumulation_steps"), &times);
    for (size_t i = 0; i < nin; i++)
        SN_CHECK(in[i].view.ndim > 1 && in[i].view.dims[0] == steps * times, err, SN_EFORMAT,
                 "%s: input %s has no %lld micro-batches", c->dir, in[i].name, (long long)(steps * times));
    conform_pick(in, nin, 0, 1, one);
    d.nsample = nin;
    bool by_items = false; /* num_items_in_batch of Trainer */
    (void)sn_json_bool(sn_json_get(training, "average_by_items"), &by_items);
    d.is_mean_of_batches = !by_items;
    SN_TRY(arguments(c, training, &d.args, err));
    SN_TRY(sn_training_create(m, &d, &t, err));
    const SnStatus st = run_steps(c, t, in, nin, steps, times, err);
    sn_training_destroy(t);
    return st;
}

SnStatus conform_train(Conform *c, SnError *err)
{
    const SnJson *call = sn_json_at(sn_json_get(c->spec, "calls"), 0);
    const char *folder = conform_string(c, sn_json_get(c->spec, "model"));
    SnNamedTensor in[MAX_INPUTS];
    size_t nin = 0;
    SnModel *m = NULL;
    if (sn_json_is(sn_json_get(call, "op"), "loss_and_grads"))
        return conform_forward(c, err);
    SN_CHECK(folder && sn_json_is(sn_json_get(call, "op"), "train"), err, SN_EUNSUPPORTED,
             "calls other than loss_and_grads and train");
    SN_TRY(conform_model(c, folder, c->dtype != SN_NODTYPE ? c->dtype : SN_F32, &m, err));
    SnStatus st = conform_inputs(c, sn_json_get(call, "inputs"), in, &nin, err);
    if (st == SN_OK)
        st = conform_steps(c, m, in, nin, err);
    sn_model_close(m);
    return st;
}
