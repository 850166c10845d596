/* generate_config_test.c -- GenerationConfig: which layer counts, what is refused, and writing it back. */
#include "frontends/tasks/generate.h"

#include "backends/backends.h"
#include "ops/ops.h"
#include "tests/unit/scratch.h"
#include "tests/unit/unit.h"

typedef struct Room {
    SnContext *ctx;
    SnCompiler *cc;
    Scratch dir;
    SnArena arena;
    SnModel *model;
} Room;

static void open_room(Room *r, const char *config, const char *file)
{
    SnError err;
    const SnContextDesc desc = {.struct_size = sizeof desc};
    const SnCompilerDesc compiler = {
        .struct_size = sizeof compiler, .ops = sn_all_ops, .backends = sn_all_backends};
    *r = (Room){0};
    scratch_open(&r->dir);
    scratch_text(&r->dir, "config.json", config);
    if (file)
        scratch_text(&r->dir, "generation_config.json", file);
    assert_ok(sn_context_create(&desc, &r->ctx, &err));
    assert_ok(sn_compiler_create(r->ctx, &compiler, &r->cc, &err));
    sn_arena_init(&r->arena, sn_allocator(r->ctx));
    assert_ok(sn_model_open(r->cc, r->dir.dir, NULL, &r->model, &err));
}

static void close_room(Room *r)
{
    sn_model_close(r->model);
    sn_arena_clear(&r->arena);
    sn_compiler_destroy(r->cc);
    sn_context_destroy(r->ctx);
    scratch_close(&r->dir);
}

static const SnJson *parse(Room *r, const char *text)
{
    SnJson *json = NULL;
    SnError err;
    assert_ok(sn_json_parse(&r->arena, "options", sn_bytes_str(text), &json, &err));
    return json;
}

static SnGenConfig read_config(Room *r, const char *options)
{
    SnGenConfig c;
    SnError err;
    assert_ok(sn_gen_config(r->model, options ? parse(r, options) : NULL, NULL, &r->arena, &c, &err));
    return c;
}

static SnStatus status_of(Room *r, const char *options)
{
    SnGenConfig c;
    return sn_gen_config(r->model, parse(r, options), NULL, &r->arena, &c, NULL);
}

static void defaults_are_those_of_the_library(void **state)
{
    (void)state;
    Room r;
    open_room(&r, "{\"model_type\": \"llama\"}", NULL);
    const SnGenConfig c = read_config(&r, NULL);
    assert_int_equal(c.num_beams, 1);
    assert_int_equal(c.early_stopping, SN_LM_EARLY_FALSE);
    assert_true(c.length_penalty == 1);
    assert_false(c.do_sample);
    assert_int_equal(c.pad, -1);
    assert_int_equal(c.end.n, 0);
    assert_int_equal(sn_gen_max_length(r.model, &c, 7), 27);
    close_room(&r);
}

static void call_beats_file_beats_config(void **state)
{
    (void)state;
    Room r;
    open_room(
        &r, "{\"model_type\": \"llama\", \"eos_token_id\": 9, \"num_beams\": 7}",
        "{\"num_beams\": 4, \"eos_token_id\": [2, 5], \"max_new_tokens\": 9, \"early_stopping\": \"never\"}");
    SnGenConfig c = read_config(&r, "{\"num_beams\": 3, \"max_new_tokens\": null, \"max_length\": 30}");
    assert_int_equal(c.num_beams, 3);
    assert_int_equal(c.end.n, 2);
    assert_int_equal(c.end.at[1], 5);
    assert_int_equal(c.pad, 2);
    assert_int_equal(c.early_stopping, SN_LM_EARLY_NEVER);
    assert_int_equal(sn_gen_max_length(r.model, &c, 7), 30);
    c = read_config(&r, NULL);
    assert_int_equal(c.num_beams, 4);
    assert_int_equal(sn_gen_max_length(r.model, &c, 7), 16);
    close_room(&r);
    open_room(&r, "{\"model_type\": \"llama\", \"eos_token_id\": 9, \"max_position_embeddings\": 20}", NULL);
    c = read_config(&r, NULL);
    assert_int_equal(c.end.at[0], 9);
    assert_int_equal(sn_gen_max_length(r.model, &c, 7), 20);
    close_room(&r);
}

static void wrong_values_are_refused(void **state)
{
    (void)state;
    static const struct {
        const char *options;
        SnStatus status;
    } rows[] = {
        {"{\"max_new_tokens\": 0}", SN_EINVAL},
        {"{\"num_beams\": 2.5}", SN_EINVAL},
        {"{\"early_stopping\": \"maybe\"}", SN_EINVAL},
        {"{\"eos_token_id\": [\"x\"]}", SN_EINVAL},
        {"{\"do_sample\": 1}", SN_EINVAL},
        {"{\"num_return_sequences\": 2}", SN_EINVAL},
        {"{\"stop_strings\": 3}", SN_EINVAL},
        {"{\"penalty_alpha\": 0.5}", SN_EUNSUPPORTED},
        {"{\"num_beams\": 4, \"num_beam_groups\": 2}", SN_EUNSUPPORTED},
        {"{\"dola_layers\": \"high\"}", SN_EUNSUPPORTED},
        {"{\"negative_prompt_ids\": [4, -1]}", SN_EINVAL},
        {"{\"max_length\": 1e300}", SN_EINVAL},
        {"{\"max_new_tokens\": 9223372036854775807}", SN_EINVAL},
        {"{\"num_beams\": 2147483648}", SN_EINVAL},
        {"[1]", SN_EINVAL},
    };
    Room r;
    open_room(&r, "{\"model_type\": \"llama\"}", NULL);
    for (size_t i = 0; i < SN_COUNT(rows); i++)
        assert_int_equal(status_of(&r, rows[i].options), rows[i].status);
    close_room(&r);
}

static void it_is_written_as_it_was_read(void **state)
{
    (void)state;
    static const char file[] =
        "{\n  \"do_sample\": true,\n  \"eos_token_id\": [2, 5],\n  \"lang_to_id\": {\"de\": 4},\n"
        "  \"temperature\": 0.6\n}\n";
    Room r;
    SnError err;
    open_room(&r, "{\"model_type\": \"llama\"}", file);
    SnText text = {.memory = sn_allocator(r.ctx)};
    assert_ok(sn_model_generation_config(r.model, NULL, &text, &err));
    const SnJson *again = parse(&r, text.at);
    assert_int_equal(again->n, 4);
    assert_non_null(sn_json_get(again, "lang_to_id"));
    text.n = 0;
    assert_ok(
        sn_model_generation_config(r.model, parse(&r, "{\"temperature\": null, \"top_k\": 5}"), &text, &err));
    again = parse(&r, text.at);
    assert_null(sn_json_get(again, "temperature"));
    assert_non_null(sn_json_get(again, "top_k"));
    sn_text_clear(&text);
    close_room(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(defaults_are_those_of_the_library),
        cmocka_unit_test(call_beats_file_beats_config),
        cmocka_unit_test(wrong_values_are_refused),
        cmocka_unit_test(it_is_written_as_it_was_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
