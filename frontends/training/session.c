/* session.c -- a training program and its instance, entry by entry. */
#include "frontends/training.h"

#include "frontends/training/recipe.h"

struct SnTraining {
    SnModel *m;
    SnModelProgram *program;
    SnArena arena;
    SnTrainSpec spec;
};

/* ---- arguments ---- */

static SnStatus read_inputs(SnTraining *t, const SnTrainingDesc *d, SnError *err)
{
    SnTrainSpec *s = &t->spec;
    SnInputShape *shape = sn_arena_array(&t->arena, d->nsample + 1, sizeof *shape);
    const char **name = sn_arena_array(&t->arena, d->nsample + 1, sizeof *name);
    SN_CHECK(shape && name, err, SN_ENOMEM, "training: no memory");
    for (size_t i = 0; i < d->nsample; i++) {
        SN_TRY(sn_input_shape(t->m->arch, &d->sample[i], d->sample, d->nsample, &shape[i], err));
        name[i] = sn_arena_strndup(&t->arena, d->sample[i].name, strlen(d->sample[i].name));
        SN_CHECK(name[i], err, SN_ENOMEM, "training: no memory");
    }
    s->input = name;
    s->shape = shape;
    s->ninput = d->nsample;
    return SN_OK;
}

static SnStatus read_spec(SnTraining *t, const SnTrainingDesc *d, SnError *err)
{
    SnTrainSpec *s = &t->spec;
    s->accumulate = sn_arg_int(d->args, "gradient_accumulation_steps");
    SN_CHECK(s->accumulate >= 1 && s->accumulate <= 4096, err, SN_EINVAL,
             "gradient_accumulation_steps: expected 1 to 4096, found %g",
             sn_arg_number(d->args, "gradient_accumulation_steps"));
    s->max_grad_norm = sn_arg_number(d->args, "max_grad_norm");
    s->smoothing = sn_arg_number(d->args, "label_smoothing_factor");
    s->is_mean_of_batches = d->is_mean_of_batches;
    s->dtype = sn_arg_bool(d->args, "bf16") ? SN_BF16 : sn_arg_bool(d->args, "fp16") ? SN_F16 : SN_NODTYPE;
    s->trains = d->trains;
    s->decays = d->decays;
    s->self = d->self;
    s->want = d->want;
    s->nwant = d->nwant;
    SN_TRY(sn_recipe_optimizer(&t->arena, d->args, &s->optimizer, err));
    SN_TRY(sn_recipe_schedule(&t->arena, d->args, &s->schedule, err));
    return read_inputs(t, d, err);
}

/* ---- a training ---- */

static SnStatus run(SnTraining *t, const char *entry, const SnNamedTensor *in, size_t nin, SnError *err)
{
    SnInstance *s = t->program->instance;
    SnSlotInfo slot;
    SN_TRY(sn_entry(s, entry, err));
    for (uint32_t i = 0; sn_program_input(t->program->program, entry, i, &slot); i++) {
        const char *name = strncmp(slot.name, "eval.", 5) == 0 ? slot.name + 5 : slot.name;
        size_t k = 0;
        while (k < nin && strcmp(in[k].name, name) != 0)
            k++;
        SN_CHECK(k < nin || slot.is_unused, err, SN_EINVAL, "%s: input %s is not given", entry, name);
        if (k < nin)
            SN_TRY(sn_bind(s, slot.name, &in[k].view, err));
    }
    return sn_run(s, err);
}

SnStatus sn_training_create(SnModel *m, const SnTrainingDesc *d, SnTraining **out, SnError *err)
{
    SN_TRY(sn_model_need(m, err));
    SnTraining *t = sn_alloc_zero(sn_allocator(m->ctx), sizeof *t, _Alignof(max_align_t));
    SN_CHECK(t, err, SN_ENOMEM, "training: no memory");
    t->m = m;
    sn_arena_init(&t->arena, sn_allocator(m->ctx));
    SnStatus st = read_spec(t, d, err);
    const char *key = sn_arena_printf(&t->arena, "training %p", (void *)t);
    if (st == SN_OK)
        st = key ? sn_model_program(m, key, sn_train_fill, &t->spec, &t->program, err)
                 : sn_fail(err, SN_ENOMEM, "training: no memory");
    if (st == SN_OK)
        st = run(t, "begin", NULL, 0, err);
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

static SnStatus results(SnTraining *t, const char *entry, SnResults **out, SnError *err)
{
    SnSlotInfo slot;
    uint32_t n = 0;
    SnResults *r = NULL;
    while (sn_program_output(t->program->program, entry, n, &slot))
        n++;
    SnStatus st = sn_results_create(t->m->ctx, n, &r, err);
    for (uint32_t i = 0; st == SN_OK && i < n && sn_program_output(t->program->program, entry, i, &slot);
         i++) {
        SnView v;
        st = sn_result(t->program->instance, slot.name, &v, err);
        if (st == SN_OK)
            st = sn_results_add(r, slot.name, &v, err);
    }
    if (st == SN_OK)
        *out = r;
    else
        sn_results_destroy(r);
    return st;
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
    SN_TRY(run(t, "step", in, nin, err));
    SN_TRY(scalar(t, "loss", &out->loss, err));
    SN_TRY(scalar(t, "grad_norm", &out->grad_norm, err));
    SN_TRY(scalar(t, "learning_rate", &out->learning_rate, err));
    double is_finite = 0;
    SN_TRY(scalar(t, "is_finite", &is_finite, err));
    out->is_finite = is_finite != 0;
    return SN_OK;
}

SnStatus sn_training_eval(SnTraining *t, const SnNamedTensor *in, size_t nin, SnResults **out, SnError *err)
{
    SN_TRY(run(t, "eval", in, nin, err));
    return results(t, "eval", out, err);
}

SnStatus sn_training_state(SnTraining *t, SnResults **out, SnError *err)
{
    SN_TRY(run(t, "state", NULL, 0, err));
    return results(t, "state", out, err);
}

SnStatus sn_training_restore(SnTraining *t, const SnNamedTensor *state, size_t n, SnError *err)
{
    return run(t, "restore", state, n, err);
}
