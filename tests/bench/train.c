/* train.c -- steps of a training when told to, so that a driver can alternate them with others.
 *
 *   train MODEL BATCH.safetensors THREADS DTYPE [steps] [ADAPTER.json]
 *
 * With a config of PEFT's kind, what is trained is a new adapter of it.
 * Prints "ready" once compiled, then answers lines: "run N" with N times in milliseconds, "loss" with the
 * last loss, "peak" with the most memory that the process had, in bytes, "limits" with what the machine can
 * do: that takes memory of its own. steps: where the time of each "run" went, by kernel, in its place. */
#include "tests/bench/cases.h"
#include "tests/bench/machine.h"
#include "tests/bench/steps.h"

#include "frontends/peft.h"
#include "frontends/training.h"

#include <stdio.h>
#include <stdlib.h>

typedef struct Bench {
    Machine m;
    SnModel *model;
    SnResults *in;
    SnNamedTensor *batch;
    size_t nbatch;
    SnArena arena;
    SnAdapter *adapter;
    SnTraining *training;
    SnTrainingStep last;
    double gflops;
    bool has_steps;
    const char *config; /* of an adapter, or NULL */
    Steps steps;
} Bench;

static SnStatus open_adapter(Bench *b, const char *path, SnError *err)
{
    SnFile *file = NULL;
    SnJson *config = NULL;
    SN_TRY(sn_file_open(b->m.ctx, path, &file, err));
    SnStatus st = sn_json_parse(&b->arena, path, sn_file_bytes(file), &config, err);
    if (st == SN_OK)
        st = sn_adapter_create(b->model, config, 1, &b->adapter, err);
    sn_file_release(file);
    if (st == SN_OK)
        sn_model_adapt(b->model, b->adapter, false);
    return st;
}

static SnStatus open_training(Bench *b, char **arg, SnError *err)
{
    static const char args[] = "{\"learning_rate\": 1e-3, \"lr_scheduler_type\": \"constant\", "
                               "\"weight_decay\": 0.1, \"max_grad_norm\": 1}";
    const SnDtype dtype = strcmp(arg[4], "bf16") == 0 ? SN_BF16 : SN_F32;
    const SnModelOptions o = {.struct_size = sizeof o, .dtype = dtype, .device = "cpu"};
    SnTrainingDesc d = {.struct_size = sizeof d};
    SnJson *json = NULL;
    SN_TRY(machine_open(&b->m, (uint32_t)strtoul(arg[3], NULL, 10),
                        (SnTrace){&b->steps, b->has_steps ? steps_event : NULL}, err));
    sn_arena_init(&b->arena, sn_allocator(b->m.ctx));
    SN_TRY(sn_model_open(b->m.cc, arg[1], &o, &b->model, err));
    if (b->config)
        SN_TRY(open_adapter(b, b->config, err));
    SN_TRY(sn_tensors_load(b->m.ctx, arg[2], &b->in, err));
    b->nbatch = sn_results_count(b->in);
    b->batch = sn_arena_array(&b->arena, b->nbatch + 1, sizeof *b->batch);
    SN_CHECK(b->batch, err, SN_ENOMEM, "no memory for a batch");
    for (size_t i = 0; i < b->nbatch; i++)
        b->batch[i] = *sn_results_get(b->in, i);
    SN_TRY(sn_json_parse(&b->arena, "arguments", sn_bytes_str(args), &json, err));
    d.args = json;
    d.sample = b->batch;
    d.nsample = b->nbatch;
    return sn_training_create(b->model, &d, &b->training, err);
}

static SnStatus answer_run(Bench *b, long n, SnError *err)
{
    steps_begin(&b->steps);
    for (long i = 0; i < n; i++) {
        const uint64_t begin = sn_now_ns();
        steps_next(&b->steps);
        SN_TRY(sn_training_step(b->training, b->batch, b->nbatch, &b->last, err));
        if (!b->has_steps)
            (void)printf("%s%.6f", i ? " " : "", (double)(sn_now_ns() - begin) / 1e6);
    }
    if (b->has_steps)
        steps_print(&b->steps, b->gflops);
    (void)printf("\n");
    return SN_OK;
}

static void answer_peak(void)
{
    char line[256];
    unsigned long long kib = 0;
    FILE *f = fopen("/proc/self/status", "r");
    while (f && fgets(line, sizeof line, f))
        if (strncmp(line, "VmHWM:", 6) == 0)
            kib = strtoull(line + 6, NULL, 10);
    if (f)
        (void)fclose(f);
    (void)printf("%llu\n", kib * 1024);
}

static SnStatus answer_limits(Bench *b, SnError *err)
{
    SnLimits l;
    SN_TRY(sn_compiler_limits(b->m.cc, &l, err));
    (void)printf("{\"f32_GFLOPs\": %.1f, \"bf16_GFLOPs\": %.1f}\n", l.f32_gflops, l.bf16_gflops);
    return SN_OK;
}

static SnStatus serve(Bench *b, SnError *err)
{
    char line[256];
    SnLimits l;
    if (b->has_steps) {
        SN_TRY(sn_compiler_limits(b->m.cc, &l, err));
        b->gflops = l.f32_gflops;
    }
    (void)printf("ready\n");
    (void)fflush(stdout);
    while (fgets(line, sizeof line, stdin)) {
        if (strncmp(line, "run ", 4) == 0)
            SN_TRY(answer_run(b, strtol(line + 4, NULL, 10), err));
        else if (strncmp(line, "loss", 4) == 0)
            (void)printf("%.9g\n", b->last.loss);
        else if (strncmp(line, "peak", 4) == 0)
            answer_peak();
        else if (strncmp(line, "limits", 6) == 0)
            SN_TRY(answer_limits(b, err));
        (void)fflush(stdout);
    }
    return SN_OK;
}

int main(int argc, char **argv)
{
    static Bench b;
    SnError err = {0};
    if (argc < 5 || argc > 7) {
        (void)fprintf(stderr, "usage: train MODEL BATCH.safetensors THREADS DTYPE [steps] [ADAPTER.json]\n");
        return 2;
    }
    b.has_steps = argc > 5 && strcmp(argv[5], "steps") == 0;
    b.config = argc > 5 + b.has_steps ? argv[5 + b.has_steps] : NULL;
    SnStatus st = open_training(&b, argv, &err);
    if (st == SN_OK)
        st = serve(&b, &err);
    if (st != SN_OK)
        (void)fprintf(stderr, "%s\n", err.message);
    sn_training_destroy(b.training);
    sn_results_destroy(b.in);
    sn_adapter_close(b.adapter);
    sn_model_close(b.model);
    if (b.m.ctx)
        sn_arena_clear(&b.arena);
    machine_close(&b.m);
    return st == SN_OK ? 0 : 1;
}
