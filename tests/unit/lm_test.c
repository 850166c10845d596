/* lm_test.c -- the driver of decoders: what a row gets does not depend on chunks, neighbours, pages, slices
 * or guesses; beams; what it refuses.
 *
 * The model is the Llama of a golden case, 24 words, with a head that is made at random. */
#include "backends/backends.h"
#include "ops/ops.h"
#include "tests/unit/lm_program.h"

#include <stdlib.h>

#define FOLDER "tests/golden/forward/llama-seqcls/model"
#define WORDS  24
#define MOST   400 /* tokens of a row */

typedef struct Room {
    SnContext *ctx;
    SnCompiler *cc;
    SnModel *model;
    SnProgram *greedy, *drawn, *beams;
    size_t ncall; /* of the allocator */
} Room;

static Room room;

static void *count_resize(void *self, void *ptr, size_t old_size, size_t new_size, size_t align)
{
    Room *r = self;
    r->ncall++;
    (void)old_size;
    if (new_size == 0) {
        free(ptr);
        return NULL;
    }
    const size_t to_align = align < 16 ? 16 : align;
    void *to = aligned_alloc(to_align, (new_size + to_align - 1) / to_align * to_align);
    if (to && ptr)
        memcpy(to, ptr, old_size < new_size ? old_size : new_size);
    if (to)
        free(ptr);
    return to;
}

static int open_room(void **state)
{
    (void)state;
    SnError err;
    const SnContextDesc desc = {.struct_size = sizeof desc, .memory = {&room, count_resize}};
    const SnCompilerDesc compiler = {
        .struct_size = sizeof compiler, .ops = sn_all_ops, .backends = sn_all_backends};
    const SnModelOptions o = {.struct_size = sizeof o, .task = "text-generation", .device = "interp"};
    if (sn_context_create(&desc, &room.ctx, &err) != SN_OK ||
        sn_compiler_create(room.ctx, &compiler, &room.cc, &err) != SN_OK ||
        sn_model_open(room.cc, FOLDER, &o, &room.model, &err) != SN_OK)
        return 1;
    room.greedy =
        lm_program(room.ctx, room.model, "{\"output_logits\": true, \"repetition_penalty\": 1.2}", 0);
    room.drawn = lm_program(room.ctx, room.model, "{\"do_sample\": true, \"temperature\": 3.0}", 0);
    room.beams = lm_program(room.ctx, room.model, "{\"num_beams\": 3}", 6);
    return 0;
}

static int close_room(void **state)
{
    (void)state;
    sn_model_close(room.model);
    sn_compiler_destroy(room.cc);
    sn_context_destroy(room.ctx);
    return 0;
}

/* ---- rows ---- */

static int32_t prompt[MOST];

static void fill_prompt(uint32_t seed)
{
    for (uint32_t i = 0; i < MOST; i++) {
        seed = seed * 1664525u + 1013904223u;
        prompt[i] = (int32_t)(seed >> 24) % WORDS;
    }
}

typedef struct Run {
    int32_t ids[MOST];
    uint32_t nid, nkept, ndraft, naccepted;
    uint64_t logits; /* hash of all */
} Run;

static const SnLmNumber numbers[] = {{"repetition_penalty", 1.2}, {"temperature", 3.0}, {"seed", 7}};

static SnLmRow row_of(uint32_t n, uint32_t max_new)
{
    return (SnLmRow){.ids = prompt, .nid = n, .max_new = max_new, .number = numbers, .nnumber = 3};
}

static SnLm *open_lm(SnProgram *p, SnLmDesc d)
{
    SnLm *lm = NULL;
    SnError err;
    d.struct_size = sizeof d;
    d.context = d.context ? d.context : MOST;
    assert_ok(sn_lm_create(p, &d, &lm, &err));
    return lm;
}

static uint32_t add(SnLm *lm, const SnLmRow *row)
{
    uint32_t slot = 99;
    SnError err;
    assert_ok(sn_lm_add(lm, row, &slot, NULL, &err));
    return slot;
}

static void step(SnLm *lm, uint64_t budget_ns, Run *run)
{
    bool done = false;
    SnLmToken t;
    SnError err;
    while (!done)
        assert_ok(sn_lm_step(lm, budget_ns, &done, &err));
    while (sn_lm_token(lm, &t))
        if (t.logits)
            run[t.slot].logits ^= sn_hash64(t.logits, t.vocabulary * sizeof(float), t.nid);
}

static void finish(SnLm *lm, uint32_t slot, Run *run)
{
    const SnLmInfo info = sn_lm_info(lm, slot);
    assert_true(info.is_done);
    memcpy(run->ids, info.ids, info.nid * sizeof *run->ids);
    run->nid = info.nid;
    run->nkept = info.nkept;
    run->ndraft = info.ndraft;
    run->naccepted = info.naccepted;
}

static void run_all(SnLm *lm, uint64_t budget_ns, Run *run)
{
    while (sn_lm_is_busy(lm))
        step(lm, budget_ns, run);
}

static Run run_alone(SnProgram *p, SnLmDesc d, const SnLmRow *row, uint64_t budget_ns)
{
    Run run[1] = {0};
    SnLm *lm = open_lm(p, d);
    assert_int_equal(add(lm, row), 0);
    run_all(lm, budget_ns, run);
    finish(lm, 0, run);
    sn_lm_destroy(lm);
    return run[0];
}

static void assert_same(const Run *a, const Run *b)
{
    assert_int_equal(a->nid, b->nid);
    assert_memory_equal(a->ids, b->ids, a->nid * sizeof *a->ids);
    assert_int_equal(a->logits, b->logits);
}

/* ---- what changes nothing ---- */

static void lm_prompt_in_chunks_equals_whole(void **state)
{
    (void)state;
    fill_prompt(1);
    const SnLmRow row = row_of(270, 6);
    const Run whole = run_alone(room.greedy, (SnLmDesc){.chunk = 300}, &row, 0);
    const uint32_t chunks[] = {1, 7, 64, 256, 269};
    assert_int_equal(whole.nid, 276);
    for (size_t i = 0; i < SN_COUNT(chunks); i++) {
        if (chunks[i] == 1 && i) /* slow */
            continue;
        const SnLmRow part = row_of(chunks[i] == 1 ? 20 : 270, 6);
        const Run a = run_alone(room.greedy, (SnLmDesc){.chunk = chunks[i]}, &part, 0);
        const Run b = chunks[i] == 1 ? run_alone(room.greedy, (SnLmDesc){.chunk = 300}, &part, 0) : whole;
        assert_same(&a, &b);
    }
}

static void lm_slices_equal_whole_steps(void **state)
{
    (void)state;
    fill_prompt(2);
    const SnLmRow row = row_of(9, 5);
    const Run a = run_alone(room.greedy, (SnLmDesc){0}, &row, 0);
    const Run b = run_alone(room.greedy, (SnLmDesc){0}, &row, 1);
    assert_same(&a, &b);
}

/* Rows of many lengths, which begin and end at any time, through a few slots and fewer pages. */
static void serve(SnProgram *p, SnLmDesc d)
{
    enum { ROWS = 12 };
    static Run alone[ROWS], beside[ROWS], now[ROWS];
    uint32_t slot_of[ROWS], next = 0, ndone = 0;
    SnLm *lm = open_lm(p, d);
    for (uint32_t i = 0; i < ROWS; i++) {
        fill_prompt(100 + i);
        const SnLmRow row = row_of(1 + i * 7 % 30, 3 + i % 5);
        alone[i] = run_alone(p, (SnLmDesc){.context = d.context}, &row, 0);
        slot_of[i] = SN_LM_NONE;
    }
    memset(now, 0, sizeof now);
    while (ndone < ROWS) {
        for (; next < ROWS && sn_lm_has_room(lm); next++) {
            fill_prompt(100 + next);
            const SnLmRow row = row_of(1 + next * 7 % 30, 3 + next % 5);
            slot_of[next] = add(lm, &row);
            now[slot_of[next]] = (Run){0};
        }
        step(lm, 0, now);
        for (uint32_t i = 0; i < next; i++)
            if (slot_of[i] != SN_LM_NONE && sn_lm_info(lm, slot_of[i]).is_done) {
                beside[i] = now[slot_of[i]];
                finish(lm, slot_of[i], &beside[i]);
                sn_lm_drop(lm, slot_of[i]);
                slot_of[i] = SN_LM_NONE;
                ndone++;
            }
    }
    for (uint32_t i = 0; i < ROWS; i++)
        assert_same(&alone[i], &beside[i]);
    sn_lm_destroy(lm);
}

static void lm_rows_beside_others_equal_rows_alone(void **state)
{
    (void)state;
    serve(room.greedy, (SnLmDesc){.rows = 4, .context = 64, .chunk = 8});
    serve(room.drawn, (SnLmDesc){.rows = 3, .context = 64});
}

static void lm_rows_without_pages_wait_and_go_on(void **state)
{
    (void)state;
    serve(room.greedy, (SnLmDesc){.rows = 4, .context = 64, .pages = 2});
}

static void lm_rows_that_begin_alike_share_pages(void **state)
{
    (void)state;
    Run run[2] = {0};
    SnLm *lm = open_lm(room.greedy, (SnLmDesc){.rows = 2});
    fill_prompt(5);
    const SnLmRow first = row_of(260, 4);
    (void)add(lm, &first);
    step(lm, 0, run);
    prompt[259] = (prompt[259] + 1) % WORDS; /* both write into the second page from here on */
    const SnLmRow second = row_of(260, 4);
    assert_int_equal(add(lm, &second), 1);
    assert_int_equal(sn_lm_info(lm, 1).nkept, 259);
    run_all(lm, 0, run);
    finish(lm, 0, &run[0]);
    finish(lm, 1, &run[1]);
    const Run b = run_alone(room.greedy, (SnLmDesc){0}, &second, 0);
    fill_prompt(5);
    const Run a = run_alone(room.greedy, (SnLmDesc){0}, &first, 0);
    assert_same(&a, &run[0]);
    assert_same(&b, &run[1]);
    sn_lm_destroy(lm);
}

static void lm_row_that_goes_on_feeds_new_tokens_only(void **state)
{
    (void)state;
    Run run[1] = {0};
    int32_t ids[MOST];
    SnLm *lm = open_lm(room.greedy, (SnLmDesc){0});
    fill_prompt(6);
    const SnLmRow first = row_of(12, 5);
    (void)add(lm, &first);
    run_all(lm, 0, run);
    finish(lm, 0, run);
    sn_lm_drop(lm, 0);
    memcpy(ids, run->ids, run->nid * sizeof *ids);
    memcpy(ids + run->nid, prompt, 3 * sizeof *ids);
    SnLmRow second = row_of(run->nid + 3, 5);
    second.ids = ids;
    *run = (Run){0};
    (void)add(lm, &second);
    assert_int_equal(sn_lm_info(lm, 0).nkept, 16);
    run_all(lm, 0, run);
    finish(lm, 0, run);
    const Run alone = run_alone(room.greedy, (SnLmDesc){0}, &second, 0);
    assert_same(&alone, run);
    sn_lm_destroy(lm);
}

static void lm_guesses_change_no_token(void **state)
{
    (void)state;
    SnProgram *const p[] = {room.greedy, room.drawn};
    for (int i = 0; i < 40; i++)
        prompt[i] = i % 4 + 3;
    for (size_t i = 0; i < SN_COUNT(p); i++) {
        SnLmRow row = row_of(40, 40);
        const Run plain = run_alone(p[i], (SnLmDesc){0}, &row, 0);
        row.ndraft = 4;
        const Run guessed = run_alone(p[i], (SnLmDesc){.wanted = 5}, &row, 0);
        assert_int_equal(plain.nid, guessed.nid);
        assert_memory_equal(plain.ids, guessed.ids, plain.nid * sizeof *plain.ids);
        assert_true(guessed.ndraft > 0);
        assert_true(guessed.naccepted <= guessed.ndraft);
    }
}

/* By itself, all of whose guesses are right, and by draws, few of which are. */
static void lm_guesses_of_another_model_change_no_token(void **state)
{
    (void)state;
    SnProgram *const drafts[] = {room.beams, room.drawn};
    Run plain[2];
    for (uint32_t k = 0; k < 2; k++) {
        fill_prompt(30 + k);
        const SnLmRow row = row_of(5 + 20 * k, 12);
        plain[k] = run_alone(room.greedy, (SnLmDesc){0}, &row, 0);
    }
    for (size_t i = 0; i < 2 * SN_COUNT(drafts); i++) {
        Run run[2] = {0};
        SnError err;
        SnLm *draft = open_lm(drafts[i / 2], (SnLmDesc){.rows = 2, .chunk = 8});
        SnLm *lm = open_lm(room.greedy, (SnLmDesc){.rows = 2, .wanted = 4});
        assert_ok(sn_lm_assist(lm, draft, &err));
        for (uint32_t k = 0; k < 2; k++) {
            fill_prompt(30 + k);
            SnLmRow row = row_of(5 + 20 * k, 12);
            row.ndraft = 3;
            assert_int_equal(add(lm, &row), k);
        }
        run_all(lm, i % 2, run);
        for (uint32_t k = 0; k < 2; k++) {
            finish(lm, k, &run[k]);
            assert_same(&plain[k], &run[k]);
            assert_true(run[k].ndraft > 0);
        }
        sn_lm_destroy(lm);
        sn_lm_destroy(draft);
    }
}

/* ---- draws ---- */

static void lm_draws_depend_on_the_seed_alone(void **state)
{
    (void)state;
    SnLmNumber other[] = {{"temperature", 3.0}, {"seed", 7}};
    fill_prompt(8);
    SnLmRow row = row_of(5, 30);
    row.number = other;
    row.nnumber = 2;
    const Run a = run_alone(room.drawn, (SnLmDesc){0}, &row, 0);
    const Run b = run_alone(room.drawn, (SnLmDesc){.chunk = 2}, &row, 0);
    assert_same(&a, &b);
    other[1].value = 8;
    const Run c = run_alone(room.drawn, (SnLmDesc){0}, &row, 0);
    assert_memory_not_equal(a.ids, c.ids, a.nid * sizeof *a.ids);
}

/* ---- ends ---- */

static void lm_row_ends_at_a_stop_token(void **state)
{
    (void)state;
    fill_prompt(9);
    SnLmRow row = row_of(6, 20);
    const Run all = run_alone(room.greedy, (SnLmDesc){0}, &row, 0);
    row.stop = &all.ids[10];
    row.nstop = 1;
    uint32_t first = 6;
    while (all.ids[first] != all.ids[10])
        first++;
    const Run cut = run_alone(room.greedy, (SnLmDesc){0}, &row, 0);
    assert_int_equal(cut.nid, first + 1);
    assert_memory_equal(all.ids, cut.ids, cut.nid * sizeof *cut.ids);
}

static void lm_row_fills_its_context(void **state)
{
    (void)state;
    fill_prompt(10);
    const SnLmRow row = row_of(6, 0);
    assert_int_equal(run_alone(room.greedy, (SnLmDesc){.context = 16}, &row, 0).nid, 16);
}

static void lm_refuses_what_it_cannot_do(void **state)
{
    (void)state;
    uint32_t slot;
    bool done = false;
    SnError err;
    SnLm *lm = open_lm(room.greedy, (SnLmDesc){.context = 16}), *none = NULL;
    SnLmBeam *beam = NULL;
    const SnLmRow empty = row_of(0, 1), longer = row_of(16, 1), row = row_of(4, 2);
    SnLmRow guesses = row;
    guesses.ndraft = 1;
    assert_int_equal(sn_lm_add(lm, &empty, &slot, NULL, &err), SN_EINVAL);
    assert_int_equal(sn_lm_add(lm, &longer, &slot, NULL, &err), SN_ESHAPE);
    assert_int_equal(sn_lm_add(lm, &guesses, &slot, NULL, &err), SN_EINVAL);
    assert_int_equal(sn_lm_beam_create(lm, &(SnLmBeamDesc){.row = row, .beams = 1}, &beam, &err),
                     SN_EUNSUPPORTED);
    assert_ok(sn_lm_step(lm, 0, &done, &err));
    assert_true(done);
    assert_ok(sn_lm_add(lm, &row, &slot, NULL, &err));
    assert_false(sn_lm_has_room(lm));
    assert_int_equal(sn_lm_add(lm, &row, &slot, NULL, &err), SN_ENOMEM);
    sn_lm_destroy(lm);
    const SnLmDesc few = {.struct_size = sizeof few, .context = 600, .pages = 2};
    assert_int_equal(sn_lm_create(room.greedy, &few, &none, &err), SN_EINVAL);
}

/* ---- memory ---- */

static void lm_steps_allocate_nothing(void **state)
{
    (void)state;
    Run run[4] = {0};
    SnLm *lm = open_lm(room.greedy, (SnLmDesc){.rows = 4, .context = 64, .chunk = 8});
    const size_t before = room.ncall;
    for (uint32_t i = 0; i < 6; i++) {
        fill_prompt(i);
        const SnLmRow row = row_of(3 + 5 * i, 4);
        if (!sn_lm_has_room(lm))
            sn_lm_drop(lm, i % 4);
        (void)add(lm, &row);
        step(lm, 0, run);
    }
    run_all(lm, 0, run);
    assert_int_equal(room.ncall, before);
    sn_lm_destroy(lm);
}

static void lm_sizes_are_those_of_pages(void **state)
{
    (void)state;
    SnLmSizes size = {.row_bytes = 1};
    SnError err;
    assert_ok(sn_lm_sizes(room.greedy, &size, &err));
    /* layers, keys and values, positions, width */
    assert_int_equal(size.page_bytes, 2 * 2 * 256 * 4 * sizeof(float));
    assert_int_equal(size.row_bytes + size.near_page_bytes + size.window_pages, 0);
}

/* ---- beams ---- */

static void search(SnLm *lm, SnLmEarly early, Run out[3], float score[3])
{
    SnLmBeam *b = NULL;
    SnError err;
    bool done = false;
    const SnLmBeamDesc d = {.row = row_of(7, 6), .beams = 3, .early_stopping = early, .length_penalty = 1};
    assert_ok(sn_lm_beam_create(lm, &d, &b, &err));
    while (!done)
        assert_ok(sn_lm_beam_step(lm, &done, &err));
    for (uint32_t i = 0; i < 3; i++) {
        const int32_t *ids = sn_lm_beam_result(b, i, &out[i].nid, &score[i]);
        memcpy(out[i].ids, ids, out[i].nid * sizeof *ids);
    }
    sn_lm_beam_destroy(b);
}

static void beams_fall_in_score_and_do_not_depend_on_chunks(void **state)
{
    (void)state;
    Run a[3] = {0}, b[3] = {0};
    float x[3], y[3];
    fill_prompt(11);
    SnLm *whole = open_lm(room.beams, (SnLmDesc){.rows = 3, .has_beams = true});
    SnLm *parts = open_lm(room.beams, (SnLmDesc){.rows = 5, .chunk = 2, .has_beams = true});
    for (SnLmEarly e = SN_LM_EARLY_FALSE; e <= SN_LM_EARLY_NEVER; e++) {
        search(whole, e, a, x);
        search(parts, e, b, y);
        assert_true(x[0] >= x[1] && x[1] >= x[2]);
        for (int i = 0; i < 3; i++) {
            assert_same(&a[i], &b[i]);
            assert_memory_equal(&x[i], &y[i], sizeof x[i]);
        }
    }
    sn_lm_destroy(whole);
    sn_lm_destroy(parts);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lm_prompt_in_chunks_equals_whole),
        cmocka_unit_test(lm_slices_equal_whole_steps),
        cmocka_unit_test(lm_rows_beside_others_equal_rows_alone),
        cmocka_unit_test(lm_rows_without_pages_wait_and_go_on),
        cmocka_unit_test(lm_rows_that_begin_alike_share_pages),
        cmocka_unit_test(lm_row_that_goes_on_feeds_new_tokens_only),
        cmocka_unit_test(lm_guesses_change_no_token),
        cmocka_unit_test(lm_guesses_of_another_model_change_no_token),
        cmocka_unit_test(lm_draws_depend_on_the_seed_alone),
        cmocka_unit_test(lm_row_ends_at_a_stop_token),
        cmocka_unit_test(lm_row_fills_its_context),
        cmocka_unit_test(lm_refuses_what_it_cannot_do),
        cmocka_unit_test(lm_steps_allocate_nothing),
        cmocka_unit_test(lm_sizes_are_those_of_pages),
        cmocka_unit_test(beams_fall_in_score_and_do_not_depend_on_chunks),
    };
    return cmocka_run_group_tests(tests, open_room, close_room);
}
