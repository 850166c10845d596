/* model.c -- runs a model, or one kernel, when told to, so that a driver can alternate it with others in
 * small slices.
 *
 *   model MODEL DTYPE THREADS forward IN.safetensors [WANT]
 *   model MODEL DTYPE THREADS embed TEXTS
 *   model - DTYPE THREADS CASE OF
 *
 * forward: named tensors to hidden states, or to a named output. embed: lines of a file to vectors. CASE: a
 * kernel of cases.h.
 *
 * Prints "ready {...}" once compiled and run, then answers lines: "run N" with N times in milliseconds,
 * "save FILE" with "saved" (a .safetensors file of the last results), "limits" with those of this machine.
 * Its threads are parked while nothing is asked. */
#include "tests/bench/cases.h"
#include "tests/bench/machine.h"

#include <stdio.h>
#include <stdlib.h>

typedef struct Bench {
    Machine m;
    SnModel *model;
    SnProgram *program; /* and its instance: lent by the model or by the case; NULL: embed */
    SnInstance *instance;
    Case single;
    SnResults *in, *out; /* out: of embed */
    SnArena arena;
    SnBytes *text;
    size_t ntext;
} Bench;

static SnStatus open_model(Bench *b, char **arg, SnError *err)
{
    const SnDtype dtype = strcmp(arg[2], "bf16") == 0 ? SN_BF16 : SN_F32;
    const SnModelOptions o = {.struct_size = sizeof o, .dtype = dtype, .device = "cpu"};
    SN_TRY(machine_open(&b->m, (uint32_t)strtoul(arg[3], NULL, 10), (SnTrace){0}, err));
    sn_arena_init(&b->arena, sn_allocator(b->m.ctx));
    return strcmp(arg[1], "-") == 0 ? SN_OK : sn_model_open(b->m.cc, arg[1], &o, &b->model, err);
}

static SnStatus prepare_forward(Bench *b, const char *path, const char *want, SnError *err)
{
    const char *name[16];
    SN_TRY(sn_tensors_load(b->m.ctx, path, &b->in, err));
    const size_t n = sn_results_count(b->in);
    SN_CHECK(n >= 1 && n <= SN_COUNT(name), err, SN_EINVAL, "%s: %zu tensors", path, n);
    for (size_t i = 0; i < n; i++)
        name[i] = sn_results_get(b->in, i)->name;
    SnPrepared p;
    SN_TRY(sn_model_prepare(b->model, name, n, &want, 1, &p, err));
    b->program = p.program;
    b->instance = p.instance;
    for (size_t i = 0; i < n; i++)
        SN_TRY(sn_bind(b->instance, name[i], &sn_results_get(b->in, i)->view, err));
    return SN_OK;
}

static SnStatus read_texts(Bench *b, const char *path, SnError *err)
{
    char line[65536];
    FILE *f = fopen(path, "rb");
    SN_CHECK(f, err, SN_EIO, "%s: cannot be read", path);
    b->text = sn_arena_array(&b->arena, 4096, sizeof *b->text);
    while (b->text && b->ntext < 4096 && fgets(line, sizeof line, f)) {
        const size_t n = strcspn(line, "\r\n");
        b->text[b->ntext++] = sn_bytes(sn_arena_strndup(&b->arena, line, n), n);
    }
    (void)fclose(f);
    SN_CHECK(b->text && !b->arena.failed, err, SN_ENOMEM, "no memory for texts");
    return SN_OK;
}

static SnStatus prepare(Bench *b, char **arg, const char *want, SnError *err)
{
    if (strcmp(arg[4], "forward") == 0)
        return prepare_forward(b, arg[5], want, err);
    if (strcmp(arg[4], "embed") == 0)
        return read_texts(b, arg[5], err);
    SN_TRY(case_open(&b->single, b->m.cc, &b->arena, arg[4], arg[5], err));
    b->program = b->single.program;
    b->instance = b->single.instance;
    return SN_OK;
}

static SnStatus run(Bench *b, SnError *err)
{
    if (b->instance)
        return sn_run(b->instance, err);
    sn_results_destroy(b->out);
    b->out = NULL;
    return sn_model_embed(b->model, b->text, b->ntext, &b->out, err);
}

static SnStatus answer_run(Bench *b, long n, SnError *err)
{
    for (long i = 0; i < n; i++) {
        const uint64_t begin = sn_now_ns();
        SN_TRY(run(b, err));
        (void)printf("%s%.6f", i ? " " : "", (double)(sn_now_ns() - begin) / 1e6);
    }
    (void)printf("\n");
    return SN_OK;
}

static SnStatus answer_save(Bench *b, const char *path, SnError *err)
{
    SnSlotInfo slot;
    SnNamedTensor t = {0};
    if (b->out) {
        t = *sn_results_get(b->out, 0);
    } else if (sn_program_output(b->program, NULL, 0, &slot)) {
        t.name = slot.name;
        SN_TRY(sn_result(b->instance, slot.name, &t.view, err));
    }
    SN_TRY(sn_tensors_save(b->m.ctx, path, &t, 1, err));
    (void)printf("saved\n");
    return SN_OK;
}

static SnStatus answer_limits(Bench *b, SnError *err)
{
    SnLimits l;
    SN_TRY(sn_compiler_limits(b->m.cc, &l, err));
    (void)printf("{\"f32_GFLOPs\": %.1f, \"bf16_GFLOPs\": %.1f, \"sets\": [", l.f32_gflops, l.bf16_gflops);
    for (int i = 0; i < SN_LIMIT_SETS; i++)
        (void)printf("%s{\"bytes\": %llu, \"read_GBps\": %.2f, \"copy_GBps\": %.2f}", i ? ", " : "",
                     (unsigned long long)l.memory[i].bytes, l.memory[i].read_gbps, l.memory[i].copy_gbps);
    (void)printf("]}\n");
    return SN_OK;
}

static SnStatus serve(Bench *b, SnError *err)
{
    char line[4096];
    while (fgets(line, sizeof line, stdin)) {
        line[strcspn(line, "\n")] = 0;
        if (strncmp(line, "run ", 4) == 0)
            SN_TRY(answer_run(b, strtol(line + 4, NULL, 10), err));
        else if (strncmp(line, "save ", 5) == 0)
            SN_TRY(answer_save(b, line + 5, err));
        else if (strcmp(line, "limits") == 0)
            SN_TRY(answer_limits(b, err));
        else
            return sn_fail(err, SN_EINVAL, "expected run N, save FILE or limits, found %s", line);
        (void)fflush(stdout);
    }
    return SN_OK;
}

int main(int argc, char **argv)
{
    Bench b = {0};
    SnError err = {0};
    if (argc < 6) {
        (void)fputs("model MODEL|- DTYPE THREADS forward|embed|CASE OF [WANT]\n", stderr);
        return 2;
    }
    const uint64_t begin = sn_now_ns();
    SnStatus st = open_model(&b, argv, &err);
    const uint64_t opened = sn_now_ns();
    if (st == SN_OK)
        st = prepare(&b, argv, argc > 6 ? argv[6] : "last_hidden_state", &err);
    const uint64_t compiled = sn_now_ns();
    if (st == SN_OK)
        st = run(&b, &err);
    if (st == SN_OK) {
        (void)printf(
            "ready {\"level\": \"%s\", \"load_ms\": %.3f, \"compile_ms\": %.3f, \"first_ms\": %.3f}\n",
            sn_context_cpu_level(b.m.ctx), (double)(opened - begin) / 1e6, (double)(compiled - opened) / 1e6,
            (double)(sn_now_ns() - compiled) / 1e6);
        (void)fflush(stdout);
        st = serve(&b, &err);
    }
    if (st != SN_OK)
        (void)fprintf(stderr, "model: %s\n", err.message);
    sn_results_destroy(b.out);
    sn_results_destroy(b.in);
    case_close(&b.single);
    sn_model_close(b.model);
    if (b.m.ctx)
        sn_arena_clear(&b.arena);
    machine_close(&b.m);
    return st != SN_OK;
}
