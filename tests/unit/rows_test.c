/* rows_test.c -- what is one kernel: how many kernels a program has, and the bytes of the buffers that they
 * are given. A program that reads each input and writes each result once has no others. */
#include "ops/ops.h"
#include "runtime/instance.h"
#include "tests/unit/unit.h"

#include "compiler/graph.h"

#define MAX_INPUTS 8

typedef struct Case {
    const char *name, *text;
    int nkernel;    /* that touch as much as the largest result has */
    int nsmall;     /* others */
    uint64_t bytes; /* of the buffers of the large ones */
} Case;

#define ENTRY(text) "program @p\nentry @main(" text "\n"

static const Case cases[] = {
    {"softmax", ENTRY("x: f32[64,384]) { ret y: softmax x axis=-1 }"), 1, 0, 2 * 64 * 384 * 4},
    {"softmax of bf16", ENTRY("x: bf16[64,384]) { ret y: softmax x axis=-1 }"), 1, 0, 2 * 64 * 384 * 2},
    {"softmax of short rows", ENTRY("x: f32[900,32]) { ret y: softmax x axis=-1 }"), 1, 0, 2 * 900 * 32 * 4},
    {"masked softmax",
     ENTRY("x: f32[2,3,40,48], m: f32[2,1,1,48]) { ret y: softmax (add (mul x 0.125) m) axis=-1 }"), 1, 0,
     (2 * 2 * 3 * 40 * 48 + 2 * 48) * 4},
    {"layer norm and residual",
     ENTRY("x: f32[64,384], r: f32[64,384], w: f32[384], b: f32[384]) { ret y: layer_norm (add x r) w b }"),
     1, 0, (3 * 64 * 384 + 2 * 384) * 4},
    {"RMS norm, SiLU and product",
     ENTRY("x: f32[64,512], u: f32[64,512], w: f32[512]) { ret y: mul (silu (rms_norm x w)) u }"), 1, 0,
     (3 * 64 * 512 + 512) * 4},
    {"GELU and bias", ENTRY("x: f32[64,1536], b: f32[1536]) { ret y: gelu (add x (broadcast b [64,1536])) }"),
     1, 0, (2 * 64 * 1536 + 1536) * 4},
    {"rotary and cast",
     ENTRY("x: f32[1,32,70,64], pos: i32[1,70], f: f32[1,32]) { ret y: cast (rope x pos f) to=bf16 }"), 1, 0,
     32 * 70 * 64 * (4 + 2) + 70 * 4 + 32 * 4},
    {"rotary and cast of heads side by side",
     ENTRY("x: f32[1,70,32,64], pos: i32[1,70], f: f32[1,32]) {\n"
           "ret y: cast (permute (rope (permute x perm=[0,2,1,3]) pos f) perm=[0,2,1,3]) to=bf16 }"),
     1, 0, 32 * 70 * 64 * (4 + 2) + 70 * 4 + 32 * 4},
    {"rotary of pairs",
     ENTRY("x: f32[3,8,70,48], pos: i64[3,70], f: f32[3,24]) { ret y: rope x pos f pairs=true }"), 1, 0,
     2 * 3 * 8 * 70 * 48 * 4 + 3 * 70 * 8 + 3 * 24 * 4},
    {"a dear factor of groups",
     ENTRY("x: f32[40,6,96], w: f32[40,1,96]) { ret y: mul x (broadcast (exp w) [40,6,96]) }"), 1, 0,
     2 * 40 * 6 * 96 * 4 + 40 * 96 * 4},
    {"log of a sum", ENTRY("x: f32[64,384]) { ret y: logsumexp x axis=-1 }"), 1, 0, (64 * 384 + 64) * 4},
};

/* ---- a program ---- */

typedef struct Run {
    SnContext *ctx;
    SnCompiler *cc;
    SnGraph *g;
    SnProgram *program;
    SnInstance *instance;
    void *input[MAX_INPUTS];
} Run;

static void bind_zeros(Run *r)
{
    SnError err;
    SnSlotInfo info;
    for (uint32_t i = 0; sn_program_input(r->program, NULL, i, &info); i++) {
        size_t size = sn_dtype_size(info.dtype);
        for (int k = 0; k < info.ndim; k++)
            size *= (size_t)info.dims[k];
        assert_true(i < MAX_INPUTS);
        r->input[i] = test_calloc(size, 1);
        const SnView v = sn_view(info.dtype, r->input[i], info.ndim, info.dims);
        assert_ok(sn_bind(r->instance, info.name, &v, &err));
    }
}

static void open_run(Run *r, const char *text)
{
    SnError err;
    const SnCompilerDesc desc = {.struct_size = sizeof desc, .ops = sn_all_ops, .backends = sn_all_backends};
    const SnCompileOptions o = {.struct_size = sizeof o, .target = "interp"};
    *r = (Run){0};
    assert_ok(sn_context_create(NULL, &r->ctx, &err));
    assert_ok(sn_compiler_create(r->ctx, &desc, &r->cc, &err));
    assert_ok(sn_graph_create(r->cc, &r->g, &err));
    const SnStatus st = sn_graph_parse(r->g, "test", sn_bytes_str(text), &err);
    if (st != SN_OK)
        fail_msg("%s", err.message);
    assert_ok(sn_compile(r->cc, r->g, &o, &r->program, &err));
    assert_ok(sn_instance_create(r->program, NULL, &r->instance, &err));
    bind_zeros(r);
    assert_ok(sn_run(r->instance, &err));
}

static void close_run(Run *r)
{
    sn_instance_destroy(r->instance);
    sn_program_release(r->program);
    sn_graph_destroy(r->g);
    sn_compiler_destroy(r->cc);
    sn_context_destroy(r->ctx);
    for (int i = 0; i < MAX_INPUTS; i++)
        test_free(r->input[i]);
}

/* Of the buffers that step i is given. */
static uint64_t bytes_of(const Run *r, const SnStepRow *step)
{
    const SnImage *m = r->program->image;
    const uint32_t *operand = SN_ROWS(m, uint32_t, operand) + step->buffer.first;
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < step->buffer.count; i++)
        bytes += (uint64_t)r->instance->plan.reg[SN_ROWS(m, SnBufferRow, buffer)[operand[i]].size_reg];
    return bytes;
}

static void check_case(void **state)
{
    const Case *c = (const Case *)*state;
    Run r;
    open_run(&r, c->text);
    SnView y;
    SnError err;
    assert_ok(sn_result(r.instance, "y", &y, &err));
    uint64_t least = sn_dtype_size(y.dtype), bytes = 0;
    for (int i = 0; i < y.ndim; i++)
        least *= (uint64_t)y.dims[i];
    int nkernel = 0, nsmall = 0;
    const SnImage *m = r.program->image;
    for (uint32_t i = 0; i < m->step.count; i++) {
        const SnStepRow *step = &SN_ROWS(m, SnStepRow, step)[i];
        assert_int_equal(step->kind, SN_STEP_KERNEL);
        const uint64_t n = bytes_of(&r, step);
        nkernel += n >= least;
        nsmall += n < least;
        bytes += n >= least ? n : 0;
    }
    close_run(&r);
    assert_int_equal(nkernel, c->nkernel);
    assert_int_equal(nsmall, c->nsmall);
    assert_int_equal(bytes, c->bytes);
}

int main(void)
{
    struct CMUnitTest tests[SN_COUNT(cases)];
    for (size_t i = 0; i < SN_COUNT(cases); i++)
        tests[i] = (struct CMUnitTest){cases[i].name, check_case, NULL, NULL, (void *)(uintptr_t)&cases[i]};
    return _cmocka_run_group_tests("rows", tests, SN_COUNT(cases), NULL, NULL);
}
