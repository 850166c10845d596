/* session.c -- a training program and its instance, entry by entry. */
#include "frontends/training.h"

#include "frontends/training/recipe.h"
#include "runtime/watch.h"

struct SnTraining {
    SnModel *m;
    SnModelProgram *program;
    SnArena arena;
    SnTrainSpec spec;
};

/* ---- arguments ---- */

static SnStatus read_inputs(const SnModel *m, SnArena *arena, const SnTrainingDesc *d, SnTrainSpec *s,
                            SnError *err)
{
    SnInputShape *shape = sn_arena_array(arena, d->nsample + 1, sizeof *shape);
    SN_CHECK(shape, err, SN_ENOMEM, "training: no memory");
    for (size_t i = 0; i < d->nsample; i++)
        SN_TRY(sn_input_shape(m->arch, &d->sample[i], d->sample, d->nsample, &shape[i], err));
    s->shape = shape;
    return SN_OK;
}

/* Sizes of symbols, "batch=8,seq=256": those that were told, or of the sample. */
static SnStatus read_shape(SnArena *arena, const SnTrainingDesc *d, SnTrainSpec *s, SnError *err)
{
    SnText text = {.memory = arena->memory};
    for (size_t i = 0; i < d->nsample; i++)
        for (int k = 0; k < s->shape[i].ndim; k++)
            if (s->shape[i].symbol[k])
                sn_text_printf(&text, "%s%s=%lld", text.n ? "," : "", s->shape[i].symbol[k],
                               (long long)s->shape[i].dims[k]);
    const char *sample = text.at ? text.at : "", *shape = d->shape ? d->shape : sample;
    s->budget_shape = text.failed          ? NULL
                      : s->accumulate == 1 ? sn_arena_strndup(arena, shape, strlen(shape))
                                           : sn_arena_printf(arena, "%s%smicro=%lld", shape,
                                                             *shape ? "," : "", (long long)s->accumulate);
    sn_text_clear(&text);
    SN_CHECK(s->budget_shape, err, SN_ENOMEM, "training: no memory");
    return SN_OK;
}

/* A number of bytes, or a text as "2GB". */
static SnStatus read_budget(SnArena *arena, const SnTrainingDesc *d, SnTrainSpec *s, SnError *err)
{
    const SnJson *v = sn_arg(d->args, "memory_budget");
    double bytes = 0;
    if (!v)
        return SN_OK;
    if (v->kind == SN_JSON_STRING)
        s->memory_budget = sn_parse_size(sn_arg_string(d->args, "memory_budget"));
    else if (sn_json_number(v, &bytes) && bytes >= 1 && bytes < 0x1p53)
        s->memory_budget = (uint64_t)bytes;
    SN_CHECK(s->memory_budget > 0, err, SN_EINVAL,
             "memory_budget: expected a number of bytes, or a size as \"2GB\"");
    return read_shape(arena, d, s, err);
}

SnStatus sn_train_spec(const SnModel *m, SnArena *arena, const SnTrainingDesc *d, SnTrainSpec *s,
                       SnError *err)
{
    s->desc = d;
    s->accumulate = sn_arg_int(d->args, "gradient_accumulation_steps");
    SN_CHECK(s->accumulate >= 1 && s->accumulate <= 4096, err, SN_EINVAL,
             "gradient_accumulation_steps: expected 1 to 4096, found %g",
             sn_arg_number(d->args, "gradient_accumulation_steps"));
    s->max_grad_norm = sn_arg_number(d->args, "max_grad_norm");
    s->smoothing = sn_arg_number(d->args, "label_smoothing_factor");
    s->neftune_alpha = sn_arg_number(d->args, "neftune_noise_alpha");
    s->seed = (uint64_t)sn_arg_int(d->args, "seed");
    s->dtype = sn_arg_bool(d->args, "bf16") ? SN_BF16 : sn_arg_bool(d->args, "fp16") ? SN_F16 : SN_NODTYPE;
    SN_TRY(sn_recipe_optimizer(arena, d->args, &s->optimizer, err));
    SN_TRY(sn_recipe_schedule(arena, d->args, &s->schedule, err));
    s->is_remat =
        sn_arg_bool(d->args, sn_arg(d->args, "activation_checkpointing") ? "activation_checkpointing"
                                                                         : "gradient_checkpointing");
    SN_TRY(read_inputs(m, arena, d, s, err));
    return read_budget(arena, d, s, err);
}

/* ---- a training ---- */

SnStatus sn_training_create(SnModel *m, const SnTrainingDesc *d, SnTraining **out, SnError *err)
{
    SN_TRY(sn_model_need(m, err));
    SnTraining *t = sn_alloc_zero(sn_allocator(m->ctx), sizeof *t, _Alignof(max_align_t));
    SN_CHECK(t, err, SN_ENOMEM, "training: no memory");
    t->m = m;
    sn_arena_init(&t->arena, sn_allocator(m->ctx));
    SnStatus st = sn_train_spec(m, &t->arena, d, &t->spec, err);
    const char *key = sn_arena_printf(&t->arena, "training %p", (void *)t);
    if (st == SN_OK)
        st = key ? sn_model_program(m, key, sn_train_fill, &t->spec, &t->program, err)
                 : sn_fail(err, SN_ENOMEM, "training: no memory");
    t->spec.desc = NULL; /* it is the caller's */
    if (st == SN_OK)
        st = sn_model_run_entry(m, t->program, "begin", NULL, 0, NULL, err);
    if (st == SN_OK)
        *out = t;
    else
        sn_training_destroy(t);
    return st;
}

void sn_training_destroy(SnTraining *t)
{
    if (!t)
        return;
    const SnAllocator *memory = sn_allocator(t->m->ctx);
    sn_arena_clear(&t->arena);
    sn_free(memory, t, sizeof *t, _Alignof(max_align_t));
}

int64_t sn_training_weights(const SnTraining *t)
{
    return t->spec.nweight;
}

static SnStatus scalar(SnTraining *t, const char *name, double *out, SnError *err)
{
    SnView v;
    SN_TRY(sn_result(t->program->instance, name, &v, err));
    *out = sn_scalar_cast(v.dtype, SN_F64, sn_scalar_load(v.dtype, v.data), false).f;
    return SN_OK;
}

SnStatus sn_training_step(SnTraining *t, const SnNamedTensor *in, size_t nin, SnTrainingStep *out,
                          SnError *err)
{
    SN_TRY(sn_model_run_entry(t->m, t->program, "step", in, nin, NULL, err));
    SN_TRY(scalar(t, "loss", &out->loss, err));
    SN_TRY(scalar(t, "grad_norm", &out->grad_norm, err));
    SN_TRY(scalar(t, "learning_rate", &out->learning_rate, err));
    double is_finite = 0;
    SN_TRY(scalar(t, "is_finite", &is_finite, err));
    out->is_finite = is_finite != 0;
    return SN_OK;
}

/* The step changed nothing and its inputs are still bound: it is run again. */
SnStatus sn_training_explain(SnTraining *t, SnText *out, SnError *err)
{
    SnWatch w;
    SN_TRY(sn_entry(t->program->instance, "step", err));
    SN_TRY(sn_run_watched(t->program->instance, &w, err));
    if (w.found)
        sn_text_printf(out, "first in %s%s%s", w.kernel, w.near ? " near " : "", w.near ? w.near : "");
    return SN_OK;
}

SnStatus sn_training_eval(SnTraining *t, const SnNamedTensor *in, size_t nin, SnResults **out, SnError *err)
{
    return sn_model_run_entry(t->m, t->program, "eval", in, nin, out, err);
}

SnStatus sn_training_rate(SnTraining *t, double rate, SnError *err)
{
    const SnNamedTensor in = {"rate", sn_view(SN_F64, &rate, 0, NULL)};
    SN_CHECK(t->spec.schedule.is_told, err, SN_EINVAL, "training: its schedule knows the rate");
    return sn_model_run_entry(t->m, t->program, "rate", &in, 1, NULL, err);
}

SnStatus sn_training_state(SnTraining *t, SnResults **out, SnError *err)
{
    return sn_model_run_entry(t->m, t->program, "state", NULL, 0, out, err);
}

SnStatus sn_training_restore(SnTraining *t, const SnNamedTensor *state, size_t n, SnError *err)
{
    return sn_model_run_entry(t->m, t->program, "restore", state, n, NULL, err);
}
