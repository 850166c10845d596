/* ahead.c -- training ahead of time: the program of session.c in a file, for hosts without a compiler. */
#include "frontends/training/recipe.h"

#include "runtime/typed.h"

#define USUAL_SEQ 128 /* tokens of a row that a context makes room for */

/* Where nobody counts rows, steps are what the config says, or the rate does not end. */
static SnStatus read_args(SnArena *a, const SnJson *config, const SnJson **out, SnError *err)
{
    const int64_t steps = sn_arg_int(config, "max_steps");
    const double warmup = sn_arg_number(config, "warmup_steps");
    if (steps <= 0) {
        SN_CHECK(!sn_arg(config, "lr_scheduler_type") || !sn_recipe_ends(config), err, SN_EINVAL,
                 "config: lr_scheduler_type %s ends at max_steps, which is not given",
                 sn_arg_string(config, "lr_scheduler_type"));
        SN_CHECK(!sn_arg(config, "warmup_ratio") && (warmup <= 0 || warmup >= 1), err, SN_EINVAL,
                 "config: warmup is a share of max_steps, which is not given");
    }
    return sn_recipe_resolved(a, config, steps, out, err);
}

static SnStatus usual_inputs(const SnModel *m, SnArena *a, const SnEmitOptions *o, SnTrainingDesc *d,
                             SnError *err)
{
    const char *const *name = o->input;
    size_t n = o->ninput ? o->ninput : sn_input_names(m, &name);
    n = o->ninput || n < 2 ? n : 2; /* what a decoder reads follows from its labels */
    SnNamedTensor *sample = sn_arena_array(a, n + 1, sizeof *sample);
    SN_CHECK(sample, err, SN_ENOMEM, "training: no memory");
    for (size_t i = 0; i < n; i++)
        sample[i] = sn_input_usual(m, name[i]);
    if (!o->ninput)
        sample[n++] = sn_input_usual(m, "labels");
    d->sample = sample;
    d->nsample = n;
    return SN_OK;
}

static const char *usual_shape(SnArena *a, const SnJson *args, const SnModelProgram *p)
{
    const char *key = sn_arg(args, "block_size") ? "block_size" : "max_length";
    const int64_t batch = sn_arg_int(args, "per_device_train_batch_size"),
                  most = sn_arg(args, key) ? sn_arg_int(args, key) : USUAL_SEQ;
    const int64_t micros = sn_arg_int(args, "gradient_accumulation_steps");
    return sn_arena_printf(a, micros > 1 ? "batch=%lld,seq=%lld,micro=%lld" : "batch=%lld,seq=%lld",
                           (long long)batch, (long long)(p->max_seq && p->max_seq < most ? p->max_seq : most),
                           (long long)micros);
}

static SnStatus emit(SnModel *m, SnTrainingDesc *d, const SnEmitOptions *o, const char *path, SnArena *a,
                     SnModelProgram *p, SnError *err)
{
    SnTrainSpec spec = {0};
    SnTask what = {.kind = SN_TYPED_TRAIN};
    SN_TRY(read_args(a, d->args, &d->args, err));
    if (!d->nsample)
        SN_TRY(usual_inputs(m, a, o, d, err));
    SN_TRY(sn_train_spec(m, a, d, &spec, err));
    SN_TRY(sn_model_fill(m, sn_train_fill, &spec, p, err));
    what.shape = usual_shape(a, d->args, p);
    SN_CHECK(what.shape, err, SN_ENOMEM, "training: no memory");
    p->shape = what.shape;
    return sn_model_emit_program(m, p, &what, o, path, err);
}

SnStatus sn_training_emit(SnModel *m, const SnTrainingDesc *d, const SnEmitOptions *o, const char *path,
                          SnError *err)
{
    static const SnEmitOptions plain = {.struct_size = sizeof plain};
    SnTrainingDesc own = *d;
    SnModelProgram p = {0};
    SnArena arena;
    SN_TRY(sn_model_need(m, err));
    sn_arena_init(&arena, sn_allocator(m->ctx));
    const SnStatus st = emit(m, &own, o ? o : &plain, path, &arena, &p, err);
    sn_graph_destroy(p.graph);
    sn_arena_clear(&arena);
    return st;
}
