/* trainer_bridge.c -- for trainer_events.py: a training whose events are told to Python, which may set flags;
 * for random_batches.py: batches of its rows. */
#include "frontends/training/trainer.h"

#define FLAGS 5

/* flags: those of SnTrainerControl in their order. */
typedef void Tell(const char *event, int64_t step, double epoch, int32_t flags[FLAGS], const char *logs);
SN_API int trainer_bridge(const char *config, const char *device, const char *modules, Tell *tell,
                          char message[500]);

typedef void TellTensor(const char *name, int ndim, const int64_t *dims, const void *at);
SN_API int batch_bridge(const char *config, const char *modules, const int64_t *row, int64_t n, int64_t seed,
                        TellTensor *tell, char message[500]);

typedef struct Bridge {
    SnContext *ctx;
    Tell *tell;
    TellTensor *tensor;
    const int64_t *row;
    int64_t n, seed;
} Bridge;

static void hear(const Bridge *b, const char *event, const SnTrainerState *state, SnTrainerControl *c,
                 const SnJson *logs)
{
    bool *const flag[FLAGS] = {&c->should_training_stop, &c->should_epoch_stop, &c->should_save,
                               &c->should_evaluate, &c->should_log};
    SnText text = {.memory = sn_allocator(b->ctx)};
    int32_t flags[FLAGS];
    for (int i = 0; i < FLAGS; i++)
        flags[i] = *flag[i];
    if (logs)
        sn_json_put(&text, logs);
    b->tell(event, state->global_step, state->epoch, flags, text.at);
    for (int i = 0; i < FLAGS; i++)
        *flag[i] = flags[i] != 0;
    sn_text_clear(&text);
}

#define SN_X(NAME)                                                                                           \
    static void on_##NAME(void *self, const SnTrainerState *state, SnTrainerControl *control,                \
                          const SnJson *logs)                                                                \
    {                                                                                                        \
        hear(self, #NAME, state, control, logs);                                                             \
    }
SN_TRAINER_EVENTS(SN_X)
#undef SN_X

static SnStatus give_batch(const Bridge *b, SnTrainer *t, SnError *err)
{
    SnNamedTensor in[SN_TRAIN_INPUTS];
    size_t n = 0;
    SN_TRY(
        sn_train_source_batch(&t->train, b->row, b->n, 0, (uint64_t)b->seed, &t->batch_arena, in, &n, err));
    for (size_t i = 0; i < n; i++)
        b->tensor(in[i].name, in[i].view.ndim, in[i].view.dims, in[i].view.data);
    return SN_OK;
}

static SnStatus run(Bridge *b, SnArena *arena, const char *text, const char *device, const char *modules,
                    SnError *err)
{
    const SnTrainerCallback callback = {.self = b,
#define SN_X(NAME) .on_##NAME = on_##NAME,
                                        SN_TRAINER_EVENTS(SN_X)
#undef SN_X
    };
    const SnCompilerDesc cd = {
        .struct_size = sizeof cd, .ops = sn_all_ops, .backends = sn_all_backends, .module_dir = modules};
    SnCompiler *cc = NULL;
    SnTrainer *t = NULL;
    SnJson *config = NULL;
    SnText said = {.memory = sn_allocator(b->ctx)};
    SnStatus st = sn_json_parse(arena, "config", sn_bytes_str(text), &config, err);
    const SnTrainerDesc d = {
        .struct_size = sizeof d, .config = config, .device = device, .callback = &callback, .ncallback = 1};
    if (st == SN_OK)
        st = sn_compiler_create(b->ctx, &cd, &cc, err);
    if (st == SN_OK)
        st = sn_trainer_create(cc, &d, &t, err);
    if (st == SN_OK)
        st = b->tensor ? give_batch(b, t, err) : sn_trainer_train(t, &said, err);
    sn_trainer_destroy(t);
    sn_compiler_destroy(cc);
    sn_text_clear(&said);
    return st;
}

static int bridge(Bridge *b, const char *config, const char *device, const char *modules, char message[500])
{
    SnError err = {0};
    SnArena arena;
    SnStatus st = sn_context_create(NULL, &b->ctx, &err);
    if (st == SN_OK) {
        sn_arena_init(&arena, sn_allocator(b->ctx));
        st = run(b, &arena, config, device, modules, &err);
        sn_arena_clear(&arena);
        sn_context_destroy(b->ctx);
    }
    memcpy(message, err.message, sizeof err.message);
    return (int)st;
}

int trainer_bridge(const char *config, const char *device, const char *modules, Tell *tell, char message[500])
{
    Bridge b = {.tell = tell};
    return bridge(&b, config, device, modules, message);
}

static void hear_nothing(const char *event, int64_t step, double epoch, int32_t flags[FLAGS],
                         const char *logs)
{
    (void)event;
    (void)step;
    (void)epoch;
    (void)flags;
    (void)logs;
}

int batch_bridge(const char *config, const char *modules, const int64_t *row, int64_t n, int64_t seed,
                 TellTensor *tell, char message[500])
{
    Bridge b = {.tell = hear_nothing, .tensor = tell, .row = row, .n = n, .seed = seed};
    return bridge(&b, config, "interp", modules, message);
}
