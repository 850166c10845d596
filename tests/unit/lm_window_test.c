/* lm_window_test.c -- layers that look back no farther than a window keep a ring of pages: what a row gets is
 * what it gets where everything is kept, in chunks, among others, from prefixes, with guesses and with beams.
 *
 * The models are the Llama of a golden case under other names. Its head is made at random. */
#include "backends/backends.h"
#include "ops/ops.h"
#include "tests/unit/lm_program.h"
#include "tests/unit/scratch.h"
#include "tests/unit/unit.h"

#define FOLDER  "tests/golden/forward/llama-seqcls/model"
#define WORDS   24
#define CONTEXT 1700u

static const struct {
    const char *title, *config;
    bool is_mixed;
} models[] = {
    {"all_layers", "\"model_type\": \"mistral\"", false},
    {"one_of_two_layers",
     "\"model_type\": \"smollm3\", \"use_sliding_window\": true, \"no_rope_layers\": [1, 1], "
     "\"layer_types\": [\"full_attention\", \"sliding_attention\"]",
     true},
};

static const char config_text[] =
    "{%s, \"sliding_window\": 100, \"hidden_size\": 8, \"head_dim\": 4, \"intermediate_size\": 12, "
    "\"num_attention_heads\": 2, \"num_key_value_heads\": 1, \"num_hidden_layers\": 2, \"vocab_size\": 24, "
    "\"rms_norm_eps\": 1e-6, \"max_position_embeddings\": 4096, \"dtype\": \"float32\", \"rope_theta\": "
    "10000.0}";

typedef struct Room {
    Scratch folder;
    SnContext *ctx;
    SnCompiler *cc;
    SnModel *model;
    SnProgram *greedy, *beams;
} Room;

static int32_t prompt[CONTEXT];

static void copy_weights(const Scratch *to)
{
    static uint8_t bytes[1 << 16];
    FILE *f = fopen(FOLDER "/model.safetensors", "rb");
    assert_non_null(f);
    const size_t n = fread(bytes, 1, sizeof bytes, f);
    assert_true(n > 0 && n < sizeof bytes);
    fclose(f);
    scratch_write(to, "model.safetensors", bytes, n);
}

static void open_room(Room *r, size_t model)
{
    static const SnContextDesc desc = {.struct_size = sizeof desc};
    static const SnCompilerDesc compiler = {
        .struct_size = sizeof compiler, .ops = sn_all_ops, .backends = sn_all_backends};
    static const SnModelOptions o = {.struct_size = sizeof o, .task = "text-generation"};
    char text[1024];
    uint32_t seed = 5;
    SnError err;
    scratch_open(&r->folder);
    (void)snprintf(text, sizeof text, config_text, models[model].config);
    scratch_text(&r->folder, "config.json", text);
    copy_weights(&r->folder);
    assert_ok(sn_context_create(&desc, &r->ctx, &err));
    assert_ok(sn_compiler_create(r->ctx, &compiler, &r->cc, &err));
    assert_ok(sn_model_open(r->cc, r->folder.dir, &o, &r->model, &err));
    r->greedy = lm_program(r->ctx, r->model, "{\"output_logits\": true}", 0);
    r->beams = lm_program(r->ctx, r->model, "{\"num_beams\": 3}", 6);
    for (uint32_t i = 0; i < CONTEXT; i++) {
        seed = seed * 1664525u + 1013904223u;
        prompt[i] = (int32_t)(seed >> 24) % WORDS;
    }
}

static void close_room(Room *r)
{
    sn_model_close(r->model);
    sn_compiler_destroy(r->cc);
    sn_context_destroy(r->ctx);
    scratch_close(&r->folder);
}

/* ---- rows ---- */

typedef struct Run {
    int32_t ids[CONTEXT];
    uint32_t nid, nkept;
    uint64_t logits;
} Run;

static SnLm *open_lm(SnProgram *p, SnLmDesc d)
{
    SnLm *lm = NULL;
    SnError err;
    d.struct_size = sizeof d;
    d.context = CONTEXT;
    assert_ok(sn_lm_create(p, &d, &lm, &err));
    return lm;
}

static uint32_t add(SnLm *lm, uint32_t n, uint32_t max_new, uint32_t ndraft)
{
    const SnLmRow row = {.ids = prompt, .nid = n, .max_new = max_new, .ndraft = ndraft};
    uint32_t slot = 99;
    SnError err;
    assert_ok(sn_lm_add(lm, &row, &slot, NULL, &err));
    return slot;
}

static void run_all(SnLm *lm, Run *run)
{
    while (sn_lm_is_busy(lm)) {
        SnLmToken t;
        SnError err;
        bool done = false;
        assert_ok(sn_lm_step(lm, 0, &done, &err));
        while (sn_lm_token(lm, &t))
            run[t.slot].logits ^= sn_hash64(t.logits, t.vocabulary * sizeof(float), t.nid);
    }
}

static void finish(SnLm *lm, uint32_t slot, Run *run)
{
    const SnLmInfo info = sn_lm_info(lm, slot);
    memcpy(run->ids, info.ids, info.nid * sizeof *run->ids);
    run->nid = info.nid;
    run->nkept = info.nkept;
    sn_lm_drop(lm, slot);
}

static void run_one(SnLm *lm, uint32_t n, uint32_t max_new, uint32_t ndraft, Run *run)
{
    memset(run, 0, 4 * sizeof *run);
    const uint32_t slot = add(lm, n, max_new, ndraft);
    run_all(lm, run);
    run[0].logits = run[slot].logits;
    finish(lm, slot, run);
}

static void assert_same(const Run *a, const Run *b)
{
    assert_int_equal(a->nid, b->nid);
    assert_memory_equal(a->ids, b->ids, a->nid * sizeof *a->ids);
    assert_int_equal(a->logits, b->logits);
}

/* ---- tests ---- */

static void sizes_count_pages_of_both_kinds(Room *r, bool is_mixed)
{
    SnLmSizes size;
    SnError err;
    const uint64_t layer = 2u * 256 * 4 * sizeof(float);
    assert_ok(sn_lm_sizes(r->greedy, &size, &err));
    assert_int_equal(size.window_pages, 2);
    assert_int_equal(size.near_page_bytes, is_mixed ? layer : 2 * layer);
    assert_int_equal(size.page_bytes, is_mixed ? layer : 0);
    assert_int_equal(sn_lm_near_pages(2, 3, 64, 100), 12);
}

/* Chunks of 64 in a ring of four pages, and all in one chunk, which keeps seven. */
static void a_ring_equals_the_whole_past(Room *r)
{
    static Run ring[4], whole[4];
    SnLm *a = open_lm(r->greedy, (SnLmDesc){.chunk = 64}),
         *b = open_lm(r->greedy, (SnLmDesc){.chunk = CONTEXT});
    static const uint32_t length[] = {1500, 1024, 1025, 700, 511, 3};
    for (size_t i = 0; i < SN_COUNT(length); i++) {
        run_one(a, length[i], 40, 0, ring);
        run_one(b, length[i], 40, 0, whole);
        assert_same(&ring[0], &whole[0]);
    }
    sn_lm_destroy(a);
    sn_lm_destroy(b);
}

/* A row that goes on behind its end is not fed again; one that turns off within the window neither; farther
 * back its past is gone. */
static void prefixes_are_kept_as_far_as_they_are_there(Room *r)
{
    static Run run[4], alone[4];
    static const struct {
        uint32_t from, n;
        bool is_kept;
    } turn[] = {{1200, 1300, true}, {1300, 1290, true}, {1290, 1200, true}, {1200, 300, false}};
    SnLm *lm = open_lm(r->greedy, (SnLmDesc){.chunk = 64});
    for (size_t i = 0; i < SN_COUNT(turn); i++) {
        run_one(lm, turn[i].from, 1, 0, run);
        run_one(lm, turn[i].n, 20, 0, run);
        const uint32_t common = turn[i].n - 1 < turn[i].from ? turn[i].n - 1 : turn[i].from;
        assert_int_equal(run[0].nkept, turn[i].is_kept ? common : 0);
        SnLm *other = open_lm(r->greedy, (SnLmDesc){.chunk = 200});
        run_one(other, turn[i].n, 20, 0, alone);
        sn_lm_destroy(other);
        assert_same(&run[0], &alone[0]);
    }
    sn_lm_destroy(lm);
}

static void rows_side_by_side_equal_alone(Room *r)
{
    static Run both[4], one[4];
    static const uint32_t length[] = {900, 1400, 30};
    SnLm *lm = open_lm(r->greedy, (SnLmDesc){.rows = 3, .chunk = 100});
    SnLm *alone = open_lm(r->greedy, (SnLmDesc){.chunk = 64});
    memset(both, 0, sizeof both);
    for (uint32_t i = 0; i < 3; i++)
        assert_int_equal(add(lm, length[i], 250, 0), i);
    run_all(lm, both);
    for (uint32_t i = 0; i < 3; i++) {
        finish(lm, i, &both[i]);
        run_one(alone, length[i], 250, 0, one);
        assert_same(&both[i], &one[0]);
    }
    sn_lm_destroy(lm);
    sn_lm_destroy(alone);
}

static void guesses_change_nothing(Room *r)
{
    static Run guessed[4], plain[4];
    SnLm *a = open_lm(r->greedy, (SnLmDesc){.chunk = 64, .wanted = 8});
    SnLm *b = open_lm(r->greedy, (SnLmDesc){.chunk = 64});
    run_one(a, 1000, 400, 7, guessed);
    run_one(b, 1000, 400, 0, plain);
    assert_int_equal(guessed[0].nid, plain[0].nid);
    assert_memory_equal(guessed[0].ids, plain[0].ids, plain[0].nid * sizeof *plain[0].ids);
    sn_lm_destroy(a);
    sn_lm_destroy(b);
}

static void search(Room *r, uint32_t chunk, Run out[3], float score[3])
{
    const SnLmBeamDesc d = {
        .row = {.ids = prompt, .nid = 1000, .max_new = 300}, .beams = 3, .length_penalty = 1};
    SnLm *lm = open_lm(r->beams, (SnLmDesc){.rows = 3, .chunk = chunk, .has_beams = true});
    SnLmBeam *b = NULL;
    SnError err;
    bool done = false;
    assert_ok(sn_lm_beam_create(lm, &d, &b, &err));
    while (!done)
        assert_ok(sn_lm_beam_step(lm, &done, &err));
    for (uint32_t i = 0; i < 3; i++) {
        const int32_t *ids = sn_lm_beam_result(b, i, &out[i].nid, &score[i]);
        memcpy(out[i].ids, ids, out[i].nid * sizeof *ids);
    }
    sn_lm_beam_destroy(b);
    sn_lm_destroy(lm);
}

static void beams_share_rings(Room *r)
{
    static Run ring[3], whole[3];
    float a[3], b[3];
    search(r, 64, ring, a);
    search(r, CONTEXT, whole, b);
    assert_memory_equal(a, b, sizeof a);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(ring[i].nid, whole[i].nid);
        assert_memory_equal(ring[i].ids, whole[i].ids, ring[i].nid * sizeof *ring[i].ids);
    }
}

static void windows_keep_rings(void **state)
{
    const size_t model = (size_t)(uintptr_t)*state;
    Room r = {.ctx = NULL};
    open_room(&r, model);
    sizes_count_pages_of_both_kinds(&r, models[model].is_mixed);
    a_ring_equals_the_whole_past(&r);
    prefixes_are_kept_as_far_as_they_are_there(&r);
    rows_side_by_side_equal_alone(&r);
    guesses_change_nothing(&r);
    beams_share_rings(&r);
    close_room(&r);
}

int main(void)
{
    struct CMUnitTest tests[SN_COUNT(models)];
    for (size_t i = 0; i < SN_COUNT(models); i++)
        tests[i] = (struct CMUnitTest){models[i].title, windows_keep_rings, NULL, NULL, (void *)(uintptr_t)i};
    return cmocka_run_group_tests_name("lm_window", tests, NULL, NULL);
}
