/* so_train_test.c -- a step of training in a shared object: the numbers of a training just in time, bit for
 * bit; in slices; resumed from another's state; nothing allocated after create. */
#include "frontends/training.h"
#include "tests/embed/embed.h"
#include "tests/embed/so/so.h"
#include "tests/unit/scratch.h"
#include "tests/unit/unit.h"

#include "backends/backends.h"
#include "ops/ops.h"

enum { ROWS = 4, SEQ = 12, STEPS = 10, WORDS = 117, LABELS = 3, NIN = 3 };

#define ARGS                                                                                                 \
    "{\"learning_rate\": 0.01, \"max_steps\": 20, \"warmup_steps\": 2, \"weight_decay\": 0.01, "             \
    "\"per_device_train_batch_size\": 4, \"max_length\": 12}"

typedef struct Batch {
    int64_t ids[ROWS * SEQ], mask[ROWS * SEQ], labels[ROWS];
} Batch;

static struct {
    Scratch dir;
    SnContext *ctx;
    SnCompiler *cc;
    SnModel *model;
    SnArena arena;
    SnJson *args;
    SnTraining *training; /* just in time */
    char path[256];
    Batch batch[STEPS];
    SnTrainingStep want[STEPS];
    SnResults *middle, *last, *eval; /* state after half of the steps, and all; outputs of the last batch */
} t;
static SnError err;

static const char *const inputs[NIN] = {"input_ids", "attention_mask", "labels"};

static void views(Batch *b, SnView out[NIN])
{
    static const int64_t dims[] = {ROWS, SEQ};
    out[0] = sn_view(SN_I64, b->ids, 2, dims);
    out[1] = sn_view(SN_I64, b->mask, 2, dims);
    out[2] = sn_view(SN_I64, b->labels, 1, dims);
}

static void named(Batch *b, SnNamedTensor out[NIN])
{
    SnView v[NIN];
    views(b, v);
    for (int i = 0; i < NIN; i++)
        out[i] = (SnNamedTensor){inputs[i], v[i]};
}

static void fill_batches(void)
{
    uint32_t seed = 1;
    for (int s = 0; s < STEPS; s++)
        for (int i = 0; i < ROWS * SEQ; i++) {
            t.batch[s].ids[i] = 5 + (int64_t)((embed_noise(&seed) + 1) / 2 * (WORDS - 5));
            t.batch[s].mask[i] = i % SEQ < 5 + i / SEQ;
            t.batch[s].labels[i / SEQ] = (i / SEQ + s) % LABELS;
        }
}

static void train_just_in_time(void)
{
    SnNamedTensor in[NIN];
    named(&t.batch[0], in);
    const SnTrainingDesc d = {
        .struct_size = sizeof d, .args = t.args, .sample = in, .nsample = NIN, .decays = sn_training_decays};
    assert_ok(sn_training_create(t.model, &d, &t.training, &err));
    for (int i = 0; i < STEPS; i++) {
        named(&t.batch[i], in);
        assert_ok(sn_training_step(t.training, in, NIN, &t.want[i], &err));
        if (i + 1 == STEPS / 2)
            assert_ok(sn_training_state(t.training, &t.middle, &err));
    }
    assert_ok(sn_training_state(t.training, &t.last, &err));
    assert_ok(sn_training_eval(t.training, in, NIN, &t.eval, &err));
    assert_true(t.want[0].loss != t.want[STEPS - 1].loss);
}

static int setup(void **state)
{
    (void)state;
    const SnCompilerDesc cd = {.struct_size = sizeof cd, .ops = sn_all_ops, .backends = sn_all_backends};
    const SnTrainingDesc d = {.struct_size = sizeof d, .decays = sn_training_decays};
    SnTrainingDesc ahead = d;
    scratch_open(&t.dir);
    scratch_path(&t.dir, "step.so", t.path);
    assert_ok(sn_context_create(NULL, &t.ctx, &err));
    assert_ok(sn_compiler_create(t.ctx, &cd, &t.cc, &err));
    assert_ok(
        sn_model_open(t.cc, "tests/golden/pipeline/text-classification-bert/model", NULL, &t.model, &err));
    sn_arena_init(&t.arena, sn_allocator(t.ctx));
    assert_ok(sn_json_parse(&t.arena, "args", sn_bytes_str(ARGS), &t.args, &err));
    fill_batches();
    train_just_in_time();
    ahead.args = t.args;
    assert_ok(sn_training_emit(t.model, &ahead, NULL, t.path, &err));
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    sn_results_destroy(t.middle);
    sn_results_destroy(t.last);
    sn_results_destroy(t.eval);
    sn_training_destroy(t.training);
    sn_model_close(t.model);
    sn_arena_clear(&t.arena);
    sn_compiler_destroy(t.cc);
    sn_context_destroy(t.ctx);
    scratch_close(&t.dir);
    return 0;
}

static SnTyped *create(const So *so, EmbedMemory *m)
{
    SnTyped *typed = NULL;
    char message[200] = "";
    const SnTypedHost host = {.struct_size = sizeof host,
                              .abi = SN_ABI,
                              .memory = embed_allocator(m),
                              .cpu_level = sn_context_cpu_level(t.ctx),
                              .message = message,
                              .message_size = sizeof message};
    if (so->create(&host, &typed) != SN_OK)
        fail_msg("create: %s", message);
    return typed;
}

static double number(const So *so, SnTyped *typed, const char *name)
{
    SnView v;
    if (so->result(typed, name, &v) != SN_OK)
        fail_msg("%s: %s", name, so->error(typed));
    return v.dtype == SN_F64 ? *(const double *)v.data : (double)*(const float *)v.data;
}

static void bind_batch(const So *so, SnTyped *typed, Batch *b, const char *prefix)
{
    SnView v[NIN];
    views(b, v);
    for (int i = 0; i < NIN; i++) {
        char name[64];
        (void)snprintf(name, sizeof name, "%s%s", prefix, inputs[i]);
        if (so->bind(typed, name, &v[i]) != SN_OK)
            fail_msg("%s: %s", name, so->error(typed));
    }
}

/* Steps [first, STEPS) give what they give just in time; budget_ns 0: each in one go. */
static void run_steps(const So *so, SnTyped *typed, int first, uint64_t budget_ns)
{
    for (int i = first; i < STEPS; i++) {
        int slices = 1;
        SnStatus st = SN_OK;
        bind_batch(so, typed, &t.batch[i], "");
        for (; (st = so->step(typed, budget_ns)) == SN_TYPED_AGAIN; slices++)
            if (slices == 1)
                assert_int_equal(so->eval(typed), SN_EINVAL);
        if (st != SN_OK)
            fail_msg("step %d: %s", i, so->error(typed));
        assert_true(budget_ns == 0 || slices > 1);
        assert_true(number(so, typed, "loss") == t.want[i].loss);
        assert_true(number(so, typed, "grad_norm") == t.want[i].grad_norm);
        assert_true(number(so, typed, "learning_rate") == t.want[i].learning_rate);
    }
}

static void check_results(const So *so, SnTyped *typed, const SnResults *want)
{
    assert_true(sn_results_count(want) > 0);
    for (size_t i = 0; i < sn_results_count(want); i++) {
        const SnNamedTensor *w = sn_results_get(want, i);
        SnView v;
        size_t count = 1;
        if (so->result(typed, w->name, &v) != SN_OK)
            fail_msg("%s: %s", w->name, so->error(typed));
        for (int k = 0; k < v.ndim; k++)
            count *= (size_t)v.dims[k];
        assert_int_equal(v.ndim, w->view.ndim);
        assert_memory_equal(v.data, w->view.data, count * sn_dtype_size(v.dtype));
    }
}

static void steps_give_the_bits_of_just_in_time(void **state)
{
    (void)state;
    So so = so_open(t.path);
    EmbedMemory m = {0};
    SnTyped *typed = create(&so, &m);
    const uint64_t count = m.count;
    assert_int_equal(so.desc->kind, SN_TYPED_TRAIN);
    run_steps(&so, typed, 0, 0);
    assert_int_equal(so.state(typed), SN_OK);
    check_results(&so, typed, t.last);
    bind_batch(&so, typed, &t.batch[STEPS - 1], "eval.");
    assert_int_equal(so.eval(typed), SN_OK);
    check_results(&so, typed, t.eval);
    assert_int_equal(m.count, count);
    so.destroy(typed);
    assert_int_equal(m.live, 0);
    assert_null(m.wrong);
    so_close(&so);
}

static void slices_and_new_beginnings_too(void **state)
{
    (void)state;
    So so = so_open(t.path);
    EmbedMemory m = {0};
    SnTyped *typed = create(&so, &m);
    const uint64_t count = m.count;
    run_steps(&so, typed, 0, 1);
    assert_int_equal(so.reset(typed), SN_OK);
    run_steps(&so, typed, 0, 0);
    assert_int_equal(m.count, count);
    so.destroy(typed);
    so_close(&so);
}

static void a_state_goes_on(void **state)
{
    (void)state;
    So so = so_open(t.path);
    EmbedMemory m = {0};
    SnTyped *typed = create(&so, &m);
    for (size_t i = 0; i < sn_results_count(t.middle); i++) {
        const SnNamedTensor *w = sn_results_get(t.middle, i);
        assert_int_equal(so.bind(typed, w->name, &w->view), SN_OK);
    }
    assert_int_equal(so.restore(typed), SN_OK);
    run_steps(&so, typed, STEPS / 2, 0);
    so.destroy(typed);
    so_close(&so);
}

static void wrong_calls_are_refused(void **state)
{
    (void)state;
    So so = so_open(t.path);
    EmbedMemory m = {0};
    SnTyped *typed = create(&so, &m);
    SnView v[NIN];
    views(&t.batch[0], v);
    assert_int_equal(so.step(typed, 0), SN_EINVAL);
    assert_non_null(strstr(so.error(typed), "is not bound"));
    assert_int_equal(so.bind(typed, "pixels", &v[0]), SN_EINVAL);
    assert_int_equal(so.restore(typed), SN_EINVAL);
    run_steps(&so, typed, 0, 0);
    so.destroy(typed);
    so_close(&so);
}

static void expect_refused(const char *args, const char *says)
{
    SnTrainingDesc d = {.struct_size = sizeof d, .decays = sn_training_decays};
    SnJson *json = NULL;
    char path[256];
    scratch_path(&t.dir, "wrong.so", path);
    assert_ok(sn_json_parse(&t.arena, "args", sn_bytes_str(args), &json, &err));
    d.args = json;
    assert_fails(SN_EINVAL, sn_training_emit(t.model, &d, NULL, path, &err));
    assert_non_null(strstr(err.message, says));
}

static void rates_that_end_need_an_end(void **state)
{
    (void)state;
    expect_refused("{\"lr_scheduler_type\": \"cosine\"}", "max_steps");
    expect_refused("{\"warmup_steps\": 0.1}", "max_steps");
    expect_refused("{\"warmup_ratio\": 0.1}", "max_steps");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(steps_give_the_bits_of_just_in_time),
        cmocka_unit_test(slices_and_new_beginnings_too),
        cmocka_unit_test(a_state_goes_on),
        cmocka_unit_test(wrong_calls_are_refused),
        cmocka_unit_test(rates_that_end_need_an_end),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
