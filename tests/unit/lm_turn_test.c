/* lm_turn_test.c -- a decoder that turns otherwise beyond a length (longrope of Phi-3): a row that grows over
 * it gets what it gets as a prompt of that length, alone, from a prefix, with guesses and with beams. */
#include "backends/backends.h"
#include "ops/ops.h"
#include "tests/unit/lm_program.h"
#include "tests/unit/rig.h"

#define FOLDER  "tests/golden/forward/phi3-longrope/model"
#define TURN    4u
#define CONTEXT 16u

typedef struct Room {
    SnContext *ctx;
    SnCompiler *cc;
    SnModel *model;
    SnProgram *greedy, *beams;
} Room;

static int open_room(void **state)
{
    static Room r;
    static const SnContextDesc desc = {.struct_size = sizeof desc};
    static const SnCompilerDesc compiler = {
        .struct_size = sizeof compiler, .ops = sn_all_ops, .backends = sn_all_backends};
    static const SnModelOptions o = {.struct_size = sizeof o, .task = "text-generation", .device = "interp"};
    SnError err;
    assert_ok(sn_context_create(&desc, &r.ctx, &err));
    assert_ok(sn_compiler_create(r.ctx, &compiler, &r.cc, &err));
    assert_ok(sn_model_open(r.cc, FOLDER, &o, &r.model, &err));
    r.greedy = lm_program(r.ctx, r.model, "{\"output_logits\": true}", 0);
    r.beams = lm_program(r.ctx, r.model, "{\"num_beams\": 2}", 4);
    *state = &r;
    return 0;
}

static int close_room(void **state)
{
    Room *r = *state;
    sn_model_close(r->model);
    sn_compiler_destroy(r->cc);
    sn_context_destroy(r->ctx);
    return 0;
}

static SnLm *open_lm(SnProgram *p, SnLmDesc d)
{
    SnLm *lm = NULL;
    SnError err;
    d.struct_size = sizeof d;
    d.context = CONTEXT;
    assert_ok(sn_lm_create(p, &d, &lm, &err));
    return lm;
}

/* ids[0, n) and what comes up to `to` tokens; the logits of the last one. */
static uint32_t run(SnLm *lm, int32_t ids[CONTEXT], uint32_t n, uint32_t to, uint32_t ndraft,
                    uint64_t *logits)
{
    const SnLmRow row = {.ids = ids, .nid = n, .max_new = to - n, .ndraft = ndraft};
    uint32_t slot = 0, nkept = 0;
    SnError err;
    assert_ok(sn_lm_add(lm, &row, &slot, &nkept, &err));
    while (sn_lm_is_busy(lm)) {
        SnLmToken t;
        bool done = false;
        assert_ok(sn_lm_step(lm, 0, &done, &err));
        while (sn_lm_token(lm, &t))
            *logits = sn_hash64(t.logits, t.vocabulary * sizeof(float), 0);
    }
    const SnLmInfo info = sn_lm_info(lm, slot);
    assert_int_equal(info.nid, to);
    memcpy(ids, info.ids, to * sizeof *ids);
    sn_lm_drop(lm, slot);
    return nkept;
}

static const int32_t prompt[CONTEXT] = {3, 7, 20};

/* Each token is that of a prompt which was as long at once. */
static void a_row_that_grows_equals_one_fed_at_once(void **state)
{
    const Room *r = *state;
    int32_t grown[CONTEXT], once[CONTEXT];
    for (uint32_t to = 4; to < CONTEXT; to++) {
        uint64_t a = 0, b = 0;
        SnLm *lm = open_lm(r->greedy, (SnLmDesc){.chunk = 2}), *alone = open_lm(r->greedy, (SnLmDesc){0});
        memcpy(grown, prompt, sizeof grown);
        (void)run(lm, grown, 3, to, 0, &a);
        memcpy(once, grown, sizeof once);
        (void)run(alone, once, to - 1, to, 0, &b);
        assert_memory_equal(grown, once, to * sizeof *once);
        assert_int_equal(a, b);
        sn_lm_destroy(lm);
        sn_lm_destroy(alone);
    }
}

static void a_prefix_serves_rows_on_its_side_alone(void **state)
{
    const Room *r = *state;
    int32_t ids[CONTEXT];
    uint64_t logits = 0;
    SnLm *lm = open_lm(r->greedy, (SnLmDesc){0});
    memcpy(ids, prompt, sizeof ids);
    assert_int_equal(run(lm, ids, 3, 4, 0, &logits), 0);
    assert_int_equal(run(lm, ids, TURN, TURN + 1, 0, &logits), 3);
    assert_int_equal(run(lm, ids, TURN + 1, TURN + 2, 0, &logits), 0);
    assert_int_equal(run(lm, ids, TURN + 2, TURN + 3, 0, &logits), TURN + 1);
    assert_int_equal(run(lm, ids, TURN, TURN + 1, 0, &logits), 0);
    sn_lm_destroy(lm);
}

static void guesses_change_nothing(void **state)
{
    const Room *r = *state;
    int32_t guessed[CONTEXT] = {5, 5, 5}, plain[CONTEXT] = {5, 5, 5};
    uint64_t logits = 0;
    SnLm *a = open_lm(r->greedy, (SnLmDesc){.wanted = 5}), *b = open_lm(r->greedy, (SnLmDesc){0});
    (void)run(a, guessed, 3, CONTEXT - 1, 4, &logits);
    (void)run(b, plain, 3, CONTEXT - 1, 0, &logits);
    assert_memory_equal(guessed, plain, (CONTEXT - 1) * sizeof *plain);
    sn_lm_destroy(a);
    sn_lm_destroy(b);
}

static float search(const Room *r, uint32_t chunk, uint32_t beams, const int32_t *from, int32_t ids[CONTEXT])
{
    const SnLmBeamDesc d = {
        .row = {.ids = from, .nid = 3, .max_new = 10}, .beams = beams, .length_penalty = 1};
    SnLm *lm = open_lm(r->beams, (SnLmDesc){.rows = 2, .chunk = chunk, .has_beams = true});
    SnLmBeam *b = NULL;
    SnError err;
    uint32_t nid = 0;
    float score = 0;
    assert_ok(sn_lm_beam_create(lm, &d, &b, &err));
    for (bool done = false; !done;)
        assert_ok(sn_lm_beam_step(lm, &done, &err));
    memcpy(ids, sn_lm_beam_result(b, 0, &nid, &score), 13 * sizeof *ids);
    assert_int_equal(nid, 13);
    sn_lm_beam_destroy(b);
    sn_lm_destroy(lm);
    return score;
}

static void beams_are_fed_again_in_any_chunks(void **state)
{
    int32_t a[CONTEXT] = {0}, b[CONTEXT] = {0};
    const float x = search(*state, 1, 2, prompt, a), y = search(*state, CONTEXT, 2, prompt, b);
    assert_memory_equal(a, b, sizeof a);
    assert_memory_equal(&x, &y, sizeof x);
}

static void one_beam_goes_as_a_row_does(void **state)
{
    const Room *r = *state;
    for (int32_t i = 1; i < 20; i++) {
        int32_t row[CONTEXT] = {i, 2 * i % 23, 7}, beam[CONTEXT] = {i, 2 * i % 23, 7};
        uint64_t logits = 0;
        SnLm *lm = open_lm(r->greedy, (SnLmDesc){0});
        (void)search(r, CONTEXT, 1, row, beam);
        (void)run(lm, row, 3, 13, 0, &logits);
        assert_memory_equal(row, beam, 13 * sizeof *row);
        sn_lm_destroy(lm);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_row_that_grows_equals_one_fed_at_once),
        cmocka_unit_test(a_prefix_serves_rows_on_its_side_alone),
        cmocka_unit_test(guesses_change_nothing),
        cmocka_unit_test(beams_are_fed_again_in_any_chunks),
        cmocka_unit_test(one_beam_goes_as_a_row_does),
    };
    return cmocka_run_group_tests_name("lm_turn", tests, open_room, close_room);
}
