/* trainer_test.c -- the Trainer on images and texts that are made here: its events in their order, what
 * memory its steps take; sizes of images. */
#include "backends/backends.h"
#include "frontends/data/dataset.h"
#include "frontends/training.h"
#include "ops/media/picture.h"
#include "ops/ops.h"
#include "runtime/context.h"
#include "tests/unit/scratch.h"
#include "tests/unit/unit.h"

#include <stdatomic.h>

#ifdef SN_TEST_LLVM
#define DEVICE "cpu"
#else
#define DEVICE "interp"
#endif
#define SIDE 8
#define ROWS 8

typedef struct Room {
    atomic_int ncall; /* of the allocator, for memory */
    SnContext *ctx;
    SnCompiler *cc;
    SnArena arena;
    Scratch files;
    char told[256]; /* the last line of the log */
} Room;

static void hear_log(void *self, SnLogLevel level, const char *message)
{
    Room *r = self;
    if (level <= SN_LOG_WARN)
        (void)snprintf(r->told, sizeof r->told, "%s", message);
}

/* Dark ones and bright ones, by turns. */
static void write_images(const Scratch *s)
{
    uint8_t image[16 + ROWS * SIDE * SIDE] = {0, 0, 8, 3, 0, 0, 0, ROWS, 0, 0, 0, SIDE, 0, 0, 0, SIDE},
                                     label[8 + ROWS] = {0, 0, 8, 1, 0, 0, 0, ROWS};
    for (size_t i = 0; i < ROWS * SIDE * SIDE; i++)
        image[16 + i] = (uint8_t)(i / (SIDE * SIDE) % 2 * 128 + i % 64);
    for (size_t i = 0; i < ROWS; i++)
        label[8 + i] = i % 2;
    scratch_write(s, "images-ubyte", image, sizeof image);
    scratch_write(s, "labels-ubyte", label, sizeof label);
    scratch_text(
        s, "config.json",
        "{\"model_type\": \"resnet\", \"num_channels\": 1, \"embedding_size\": 4, \"hidden_sizes\": [4], "
        "\"depths\": [1], \"layer_type\": \"basic\"}");
}

static void *counting_resize(void *self, void *ptr, size_t old_size, size_t new_size, size_t align)
{
    Room *r = self;
    r->ncall += new_size > 0;
    return sn_default_allocator.resize(NULL, ptr, old_size, new_size, align);
}

static int open_room(void **state)
{
    static Room r;
    const SnContextDesc desc = {
        .struct_size = sizeof desc, .memory = {&r, counting_resize}, .log = {.self = &r, .write = hear_log}};
    const SnCompilerDesc d = {.struct_size = sizeof d, .ops = sn_all_ops, .backends = sn_all_backends};
    SnError err;
    r = (Room){0};
    assert_ok(sn_context_create(&desc, &r.ctx, &err));
    assert_ok(sn_compiler_create(r.ctx, &d, &r.cc, &err));
    sn_arena_init(&r.arena, sn_allocator(r.ctx));
    scratch_open(&r.files);
    write_images(&r.files);
    *state = &r;
    return 0;
}

static int close_room(void **state)
{
    Room *r = *state;
    scratch_close(&r->files);
    sn_arena_clear(&r->arena);
    sn_compiler_destroy(r->cc);
    sn_context_destroy(r->ctx);
    return 0;
}

/* more: members of the config. */
static const SnJson *config_of(Room *r, const char *more)
{
    SnJson *json = NULL;
    SnError err;
    const char *at = r->files.dir,
               *text = sn_arena_printf(&r->arena,
                                       "{\"init_from_config\": \"%s\", \"task\": \"image-classification\", "
                                       "\"train_file\": [\"%s/images-ubyte\", \"%s/labels-ubyte\"], "
                                       "\"validation_file\": [\"%s/images-ubyte\", \"%s/labels-ubyte\"], "
                                       "\"output_dir\": \"%s/out\", \"per_device_train_batch_size\": 2, "
                                       "\"report_to\": \"none\", %s}",
                                       at, at, at, at, at, at, more);
    assert_non_null(text);
    assert_ok(sn_json_parse(&r->arena, "config", sn_bytes_str(text), &json, &err));
    return json;
}

static void close_output(const Room *r, const char *const *folder, size_t n)
{
    Scratch s;
    for (size_t i = 0; i <= n; i++) {
        const int size = snprintf(s.dir, sizeof s.dir, "%s/out%s%s", r->files.dir, i < n ? "/" : "",
                                  i < n ? folder[i] : "");
        assert_in_range(size, 1, sizeof s.dir - 1);
        scratch_close(&s);
    }
}

/* ---- events ---- */

typedef struct Heard {
    char text[2048];
    size_t n;
    int64_t stops_at; /* should_epoch_stop is set at the end of this step */
} Heard;

#define SN_X(NAME)                                                                                           \
    static void on_##NAME(void *self, const SnTrainerState *state, SnTrainerControl *control,                \
                          const SnJson *logs)                                                                \
    {                                                                                                        \
        Heard *h = self;                                                                                     \
        h->n += (size_t)snprintf(h->text + h->n, sizeof h->text - h->n, #NAME "%lld%s ",                     \
                                 (long long)state->global_step, logs ? "*" : "");                            \
        if (strcmp(#NAME, "step_end") == 0 && state->global_step == h->stops_at)                             \
            control->should_epoch_stop = true;                                                               \
    }
SN_TRAINER_EVENTS(SN_X)
#undef SN_X

static void hear(Room *r, const char *more, Heard *h)
{
    const SnTrainerCallback callback = {.self = h,
#define SN_X(NAME) .on_##NAME = on_##NAME,
                                        SN_TRAINER_EVENTS(SN_X)
#undef SN_X
    };
    const SnTrainerDesc d = {.struct_size = sizeof d,
                             .config = config_of(r, more),
                             .device = "interp",
                             .callback = &callback,
                             .ncallback = 1};
    SnText said = {.memory = sn_allocator(r->ctx)};
    SnTrainer *t = NULL;
    SnError err;
    assert_ok(sn_trainer_create(r->cc, &d, &t, &err));
    assert_ok(sn_trainer_train(t, &said, &err));
    sn_trainer_destroy(t);
    sn_text_clear(&said);
}

#define STEP(AT, END)                                                                                        \
    "step_begin" AT " substep_end" AT " pre_optimizer_step" AT " optimizer_step" AT " step_end" END          \
    " log" END "* "
#define EVALUATION(AT) "prediction_step" AT " log" AT "* evaluate" AT "* "

/* As Trainer of Transformers gives them: tests/ref/trainer_events.py compares many such runs. */
static void events_come_in_their_order(void **state)
{
    static const char *const folder[] = {"checkpoint-2", "checkpoint-3"};
    Room *r = *state;
    Heard h = {.stops_at = -1};
    hear(r,
         "\"max_steps\": 3, \"gradient_accumulation_steps\": 2, \"logging_steps\": 1, \"save_steps\": 2, "
         "\"eval_strategy\": \"epoch\"",
         &h);
    assert_string_equal(h.text, "init_end0 train_begin0 epoch_begin0 " STEP("0", "1")
                                    STEP("1", "2") "save2 epoch_end2 " EVALUATION("2") "epoch_begin2 " STEP(
                                        "2", "3") "save3 epoch_end3 " EVALUATION("3") "log3* train_end3 ");
    close_output(r, folder, SN_COUNT(folder));
}

/* An epoch that a callback ends is an epoch; evaluations before the first step are not the best one. */
static void flags_of_callbacks_are_followed(void **state)
{
    Room *r = *state;
    Heard h = {.stops_at = 1};
    hear(r,
         "\"num_train_epochs\": 2, \"gradient_accumulation_steps\": 2, \"logging_steps\": 1, "
         "\"save_strategy\": "
         "\"no\", \"eval_strategy\": \"steps\", \"eval_steps\": 2, \"eval_on_start\": true, "
         "\"early_stopping_patience\": 1",
         &h);
    assert_string_equal(h.text, "init_end0 train_begin0 " EVALUATION("0") "epoch_begin0 " STEP(
                                    "0", "1") "epoch_end1 epoch_begin1 " STEP("1", "2") EVALUATION("2")
                                    STEP("2", "3") "epoch_end3 log3* train_end3 ");
    close_output(r, NULL, 0);
}

/* ---- images ---- */

/* Bytes of Pillow 13; tests/ref/pictures.py compares thousands. */
static void sizes_change_as_in_pillow(void **state)
{
    const Room *r = *state;
    static uint8_t bytes[] = {0, 255, 0, 9, 255, 0, 9, 0, 50, 60, 70, 80, 1, 2, 3, 4};
    static const uint8_t cubic[] = {130, 70, 11, 44, 26, 38}, linear[] = {89, 76, 48, 25, 26};
    const SnPicture x = {4, 4, 1, bytes};
    const SnAllocator *memory = sn_allocator(r->ctx);
    SnPicture y;
    SnError err;
    assert_ok(sn_picture_resize(memory, &x, 2, 3, SN_RESAMPLE_BICUBIC, &y, &err));
    assert_memory_equal(y.at, cubic, sizeof cubic);
    sn_picture_clear(memory, &y);
    assert_ok(sn_picture_resize(memory, &x, 1, 5, SN_RESAMPLE_BILINEAR, &y, &err));
    assert_memory_equal(y.at, linear, sizeof linear);
    sn_picture_clear(memory, &y);
    assert_fails(SN_EUNSUPPORTED, sn_picture_resize(memory, &x, 0, 5, SN_RESAMPLE_BOX, &y, &err));
    assert_fails(SN_EUNSUPPORTED, sn_picture_read(memory, sn_bytes("GIF89a", 6), 3, "row", &y, &err));
    assert_non_null(strstr(err.message, "neither PNG nor JPEG"));
}

/* ---- keys ---- */

/* All names of TrainingArguments are known: they are done, told of, or refused. */
static void keys_are_done_told_of_or_refused(void **state)
{
    static const char *const wrong[][2] = {
        {"\"push_to_hub\": true", "push_to_hub: only false"},
        {"\"deepspeed\": \"z.json\"", "deepspeed: only null"},
        {"\"hub_strateg\": \"end\"", "the nearest one is hub_strategy"},
        {"\"lerning_rate\": 1", "the nearest one is learning_rate"},
    };
    Room *r = *state;
    SnTrainer *t = NULL;
    SnError err;
    for (size_t i = 0; i < SN_COUNT(wrong); i++) {
        err = (SnError){0};
        assert_int_not_equal(sn_train_config_check(config_of(r, wrong[i][0]), &err), SN_OK);
        if (!strstr(err.message, wrong[i][1]))
            fail_msg("%s", err.message);
    }
    const SnTrainerDesc d = {
        .struct_size = sizeof d,
        .config =
            config_of(r, "\"tf32\": false, \"ddp_timeout\": 1800, \"push_to_hub\": false, \"debug\": \"\""),
        .device = "interp"};
    assert_ok(sn_trainer_create(r->cc, &d, &t, &err));
    assert_string_equal(r->told, "config: tf32 changes nothing: of other processors");
    sn_trainer_destroy(t);
    close_output(r, NULL, 0);
}

/* ---- trials ---- */

static void trials_are_what_the_space_says(void **state)
{
    static const char *const grid[] = {"{\"learning_rate\": 0.1, \"num_train_epochs\": 1.0}",
                                       "{\"learning_rate\": 0.1, \"num_train_epochs\": 1.5}",
                                       "{\"learning_rate\": 0.2, \"num_train_epochs\": 1.0}",
                                       "{\"learning_rate\": 0.2, \"num_train_epochs\": 1.5}"};
    static const char *const wrong[][2] = {
        {"{\"space\": {\"learning_rat\": [1]}}", "learning_rat is no key"},
        {"{\"space\": {\"seed\": {\"low\": 2, \"high\": 1}}}", "seed: expected numbers low and high"},
        {"{\"method\": \"grid\", \"space\": {\"learning_rate\": {\"low\": 1, \"high\": 2}}}", "a grid needs"},
        {"{\"n_trials\": 0}", "n_trials"},
        {"{\"trials\": 3}", "found trials"},
        {"3", "expected an object"}};
    Room *r = *state;
    SnSearch *s = NULL;
    SnError err;
    assert_ok(
        sn_search_create(r->ctx,
                         config_of(r, "\"hyperparameter_search\": {\"method\": \"grid\", \"space\": "
                                      "{\"learning_rate\": [0.1, 0.2], \"num_train_epochs\": {\"low\": 1, "
                                      "\"high\": 1.5, \"step\": 0.5}}}"),
                         &s, &err));
    assert_int_equal(sn_search_trials(s), SN_COUNT(grid));
    for (size_t i = 0; i < SN_COUNT(grid); i++)
        assert_string_equal(sn_search_chosen(s, (int64_t)i), grid[i]);
    SnText metrics = {.memory = sn_allocator(r->ctx)};
    sn_text_printf(&metrics, "{\"eval_loss\": 9, \"eval_f1\": 0.25, \"eval_accuracy\": 0.5, \"epoch\": 3, "
                             "\"eval_runtime\": 7, \"step\": 4}");
    assert_ok(sn_search_report(s, 2, &metrics, NULL, &err));
    assert_true(sn_search_objective(s, 2) == 0.75 && sn_search_best(s) == 2);
    sn_text_clear(&metrics);
    sn_search_destroy(s);
    for (size_t i = 0; i < SN_COUNT(wrong); i++) {
        const char *more = sn_arena_printf(&r->arena, "\"hyperparameter_search\": %s", wrong[i][0]);
        assert_fails(SN_EINVAL, sn_search_create(r->ctx, config_of(r, more), &s, &err));
        assert_non_null(strstr(err.message, wrong[i][1]));
    }
}

/* ---- memory ---- */

typedef struct Steps {
    Room *room;
    int before, nstep, ntaken; /* calls of the allocator between steps that follow others */
} Steps;

static void count_step(void *self, const SnTrainerState *state, SnTrainerControl *control, const SnJson *logs)
{
    Steps *s = self;
    (void)control, (void)logs;
    const int now = s->room->ncall;
    if (state->global_step > 4) {
        s->nstep++;
        s->ntaken += now - s->before;
    }
    s->before = now;
}

static void train_and_count(Room *r, const SnJson *config)
{
    Steps steps = {.room = r};
    const SnTrainerCallback callback = {.self = &steps, .on_step_begin = count_step};
    const SnTrainerDesc d = {
        .struct_size = sizeof d, .config = config, .device = DEVICE, .callback = &callback, .ncallback = 1};
    SnText said = {.memory = sn_allocator(r->ctx)};
    SnTrainer *t = NULL;
    SnError err;
    assert_ok(sn_trainer_create(r->cc, &d, &t, &err));
    assert_ok(sn_trainer_train(t, &said, &err));
    assert_in_range(steps.nstep, 10, 100);
    assert_int_equal(steps.ntaken, 0);
    sn_trainer_destroy(t);
    sn_text_clear(&said);
    close_output(r, NULL, 0);
}

#define QUIET "\"logging_steps\": 1000, \"save_strategy\": \"no\", \"disable_tqdm\": true"

/* Batches of mapped files: of images, and of texts in an Arrow file, tokenized beside the steps. */
static void steps_take_no_memory(void **state)
{
    Room *r = *state;
    SnJson *json = NULL;
    SnDataset *d = NULL;
    SnError err;
    char csv[256], arrow[256];
    const char *paths[] = {csv};
    train_and_count(r, config_of(r, "\"num_train_epochs\": 5, " QUIET));
    scratch_text(
        &r->files, "config.json",
        "{\"model_type\": \"bert\", \"vocab_size\": 4, \"hidden_size\": 8, \"num_hidden_layers\": 1, "
        "\"num_attention_heads\": 2, \"intermediate_size\": 8, \"max_position_embeddings\": 16}");
    scratch_text(
        &r->files, "tokenizer.json",
        "{\"model\": {\"type\": \"WordLevel\", \"unk_token\": \"?\", \"vocab\": {\"?\": 0, \"a\": 1, "
        "\"b\": 2}}, \"pre_tokenizer\": {\"type\": \"Whitespace\"}}");
    scratch_text(&r->files, "t.csv",
                 "text,label\na b,0\nb b a,1\na,0\nb a a b,1\na a,0\nb,1\na a a a a,0\nb b b,1\n");
    scratch_path(&r->files, "t.csv", csv);
    scratch_path(&r->files, "t.arrow", arrow);
    assert_ok(sn_dataset_open(r->ctx, paths, 1, NULL, &d, &err));
    assert_ok(sn_dataset_save(d, arrow, &err));
    sn_dataset_release(d);
    const char *text = sn_arena_printf(&r->arena,
                                       "{\"init_from_config\": \"%s\", \"task\": \"text-classification\", "
                                       "\"train_file\": \"%s\", \"output_dir\": "
                                       "\"%s/out\", \"per_device_train_batch_size\": 2, \"report_to\": "
                                       "\"none\", \"num_train_epochs\": 8, " QUIET "}",
                                       r->files.dir, arrow, r->files.dir);
    assert_non_null(text);
    assert_ok(sn_json_parse(&r->arena, "config", sn_bytes_str(text), &json, &err));
    train_and_count(r, json);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(events_come_in_their_order),     cmocka_unit_test(flags_of_callbacks_are_followed),
        cmocka_unit_test(sizes_change_as_in_pillow),      cmocka_unit_test(keys_are_done_told_of_or_refused),
        cmocka_unit_test(trials_are_what_the_space_says), cmocka_unit_test(steps_take_no_memory),
    };
    return cmocka_run_group_tests(tests, open_room, close_room);
}
