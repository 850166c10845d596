/* chat_parse_test.c -- answers as messages. chat_parse_test FILE: rows of JSON {schema, prefix, text, tools}
 * to messages or {"error"}, a line each, for tests/ref/random_responses.py. */
#include "frontends/hf/chat_parse.h"
#include "tests/unit/unit.h"

#include <stdio.h>

#define IM  "<|im_start|>assistant\n"
#define HDR "<|start_header_id|>assistant<|end_header_id|>\n\n"

/* By the chat template that it is of. */
static const struct {
    const char *mark, *prefix, *text, *want;
} known[] = {
    {"<tool_call>", IM "<think>\n",
     "a\n</think>\n\nx\n<tool_call>\n{\"name\": \"f\", \"arguments\": {\"k\": [1, "
     "2.5]}}\n</tool_call><|im_end|>",
     "{\"role\": \"assistant\", \"reasoning_content\": \"a\", \"content\": \"x\", \"tool_calls\": "
     "[{\"type\": "
     "\"function\", \"function\": {\"name\": \"f\", \"arguments\": {\"k\": [1, 2.5]}}}]}"},
    {"<tool_call> <function=", IM,
     "<tool_call>\n<function=f>\n<parameter=a>\n 7 \n</parameter>\n</function>\n</tool_call>",
     "{\"role\": \"assistant\", \"tool_calls\": [{\"type\": \"function\", \"function\": {\"name\": \"f\", "
     "\"arguments\": {\"a\": \"7\"}}}]}"},
    {"<|python_tag|>", HDR, "{\"name\": \"f\", \"parameters\": {\"x\": \"1\"}}<|eot_id|>",
     "{\"role\": \"assistant\", \"tool_calls\": [{\"type\": \"function\", \"function\": {\"name\": \"f\", "
     "\"arguments\": {\"x\": \"1\"}}}]}"},
    {"<|python_tag|>", HDR,
     "<|python_tag|>{\"name\": \"f\", \"parameters\": {}}; {\"name\": \"g\", \"parameters\": {}}<|eom_id|>",
     "{\"role\": \"assistant\", \"tool_calls\": [{\"type\": \"function\", \"function\": {\"name\": \"f\", "
     "\"arguments\": {}}}, {\"type\": \"function\", \"function\": {\"name\": \"g\", \"arguments\": {}}}]}"},
    {"<|python_tag|>", HDR, "<|python_tag|>print(1)<|eom_id|>",
     "{\"role\": \"assistant\", \"code\": \"print(1)\"}"},
    {"<|python_tag|>", HDR, "{\"name\": \"Bob\"}; so.<|eot_id|>",
     "{\"role\": \"assistant\", \"content\": \"{\\\"name\\\": \\\"Bob\\\"}; so.\"}"},
    {"[TOOL_CALLS]", "[INST] x[/INST]", "[TOOL_CALLS] [{\"name\": \"f\", \"arguments\": {\"q\": 1}}]</s>",
     "{\"role\": \"assistant\", \"tool_calls\": [{\"type\": \"function\", \"function\": {\"name\": \"f\", "
     "\"arguments\": {\"q\": 1}}}]}"},
    {"[TOOL_CALLS][ARGS]", "[INST] x[/INST]",
     "See.[TOOL_CALLS]f[ARGS]{}[TOOL_CALLS]g[CALL_ID]a1[ARGS]{\"b\": 2}</s>",
     "{\"role\": \"assistant\", \"content\": \"See.\", \"tool_calls\": [{\"type\": \"function\", "
     "\"function\": "
     "{\"name\": \"f\", \"arguments\": {}}}, {\"type\": \"function\", \"function\": {\"name\": \"g\", "
     "\"arguments\": {\"b\": 2}}}]}"},
    {"<|channel|><|message|>", "<|start|>assistant",
     "<|channel|>analysis<|message|>Think.<|end|><|start|>assistant<|channel|>commentary to=functions.f "
     "<|constrain|>json<|message|>{\"city\":\"Rome\"}<|call|>",
     "{\"role\": \"assistant\", \"reasoning_content\": \"Think.\", \"tool_calls\": [{\"type\": \"function\", "
     "\"function\": {\"name\": \"f\", \"arguments\": {\"city\": \"Rome\"}}}]}"},
    {"<|channel|><|message|>", "<|start|>assistant",
     "<|channel|>analysis<|message|>Hm.<|end|><|start|>assistant<|channel|>final<|message|>Hi.<|return|>",
     "{\"role\": \"assistant\", \"reasoning_content\": \"Hm.\", \"content\": \"Hi.\"}"},
    {"</think>", IM "<think>\n", "Hm.\n</think>\n\nParis.<|im_end|>",
     "{\"role\": \"assistant\", \"reasoning_content\": \"Hm.\", \"content\": \"Paris.\"}"},
};

static SnStatus parse_row(SnArena *a, const SnJson *row, SnText *out, SnError *err)
{
    SnBytes text = {0}, prefix = {0};
    SnJson message;
    (void)sn_json_string(sn_json_get(row, "text"), &text);
    (void)sn_json_string(sn_json_get(row, "prefix"), &prefix);
    SN_TRY(
        sn_chat_parse(a, sn_json_get(row, "schema"), prefix, text, sn_json_get(row, "tools"), &message, err));
    sn_json_put(out, &message);
    return SN_OK;
}

/* A row, from text. */
static SnStatus parse(SnArena *a, const char *json, SnText *out, SnError *err)
{
    SnJson *row = NULL;
    SN_TRY(sn_json_parse(a, "row", sn_bytes_str(json), &row, err));
    return parse_row(a, row, out, err);
}

typedef struct Fixture {
    SnContext *ctx;
    SnArena arena;
    SnText out;
} Fixture;

static void begin(Fixture *f)
{
    assert_int_equal(sn_context_create(NULL, &f->ctx, NULL), SN_OK);
    sn_arena_init(&f->arena, sn_allocator(f->ctx));
    f->out = (SnText){.memory = sn_allocator(f->ctx)};
}

static void end(Fixture *f)
{
    sn_text_clear(&f->out);
    sn_arena_clear(&f->arena);
    sn_context_destroy(f->ctx);
}

static void known_families_are_parsed(void **state)
{
    Fixture f;
    SnError err;
    (void)state;
    begin(&f);
    for (size_t i = 0; i < SN_COUNT(known); i++) {
        SnJson *schema = NULL, message;
        const char *own = sn_chat_schema(sn_bytes_str(known[i].mark));
        assert_non_null(own);
        assert_ok(sn_json_parse(&f.arena, "schema", sn_bytes_str(own), &schema, &err));
        assert_ok(sn_chat_parse(&f.arena, schema, sn_bytes_str(known[i].prefix), sn_bytes_str(known[i].text),
                                NULL, &message, &err));
        f.out.n = 0;
        sn_json_put(&f.out, &message);
        assert_string_equal(f.out.at, known[i].want);
    }
    assert_null(sn_chat_schema(sn_bytes_str("{{ messages }}")));
    end(&f);
}

static void arguments_are_cast_by_schemas_of_tools(void **state)
{
    Fixture f;
    SnError err;
    (void)state;
    begin(&f);
    assert_ok(parse(
        &f.arena,
        "{\"schema\": {\"start_anchor\": \"A\", \"fields\": {\"c\": {\"open_pattern\": \"<(?P<n>\\\\w+)>\", "
        "\"content\": \"kv-lines\", \"transform\": {\"function\": {\"name\": \"{n}\", \"arguments\": "
        "\"{content}\"}}}}}, \"prefix\": \"\", \"text\": \"<f>a: 3.0\\nb: x\\nc: 1\\nd: 2.50\\ne: None\", "
        "\"tools\": [{\"name\": \"f\", \"parameters\": {\"properties\": {\"a\": {\"type\": \"integer\"}, "
        "\"b\": "
        "{\"type\": \"integer\"}, \"c\": {\"type\": \"boolean\"}, \"d\": {\"type\": \"number\"}, \"e\": "
        "{\"type\": "
        "\"integer\", \"nullable\": true}}}}]}",
        &f.out, &err));
    assert_string_equal(f.out.at,
                        "{\"c\": {\"function\": {\"name\": \"f\", \"arguments\": {\"a\": 3, \"b\": \"x\", "
                        "\"c\": true, \"d\": 2.5, \"e\": null}}}}");
    end(&f);
}

static void wrong_schemas_are_refused(void **state)
{
    static const char *const fields[] = {"{}",
                                         "{\"a\": {\"open\": \"\"}}",
                                         "{\"a\": {\"open\": \"x\", \"open_pattern\": \"y\"}}",
                                         "{\"a\": {}, \"b\": {}}",
                                         "{\"a\": {\"open_pattern\": \"(\"}}",
                                         "{\"a\": {\"open_pattern\": \"(?P<n>x)\"}}",
                                         "{\"a\": {\"content\": \"yaml\"}}",
                                         "{\"a\": {\"transform\": \"so {content}\"}}",
                                         "{\"a\": {\"join\": \",\"}}",
                                         "{\"a\": {\"other\": 1}}"};
    Fixture f;
    (void)state;
    begin(&f);
    for (size_t i = 0; i < SN_COUNT(fields); i++) {
        SnError err;
        char row[256];
        (void)snprintf(row, sizeof row,
                       "{\"schema\": {\"start_anchor\": \"A\", \"fields\": %s}, \"text\": \"\"}", fields[i]);
        assert_fails(SN_EFORMAT, parse(&f.arena, row, &f.out, &err));
    }
    end(&f);
}

/* Patterns that a backtracking machine would try for ages. */
static void slow_patterns_end(void **state)
{
    Fixture f;
    SnError err;
    (void)state;
    begin(&f);
    SnText row = f.out;
    sn_text_printf(&row, "{\"schema\": {\"start_anchor\": \"A\", \"fields\": {\"a\": {\"open_pattern\": "
                         "\"(?:(?:x*)*y|(?:x|x)*z)\"}}}, \"text\": \"");
    for (int i = 0; i < 20000; i++)
        sn_text_add(&row, "x", 1);
    sn_text_printf(&row, "\"}");
    assert_ok(parse(&f.arena, row.at, &f.out, &err));
    assert_string_equal(f.out.at, "{}");
    sn_text_clear(&row);
    end(&f);
}

static int run_file(const char *path)
{
    Fixture f;
    SnError err = {0};
    SnFile *file = NULL;
    begin(&f);
    SnStatus st = sn_file_open(f.ctx, path, &file, &err);
    for (SnBytes left = st == SN_OK ? sn_file_bytes(file) : (SnBytes){0}; left.n;) {
        SnArena arena;
        SnJson *row = NULL;
        const uint8_t *line = memchr(left.at, '\n', left.n);
        const size_t n = line ? (size_t)(line - left.at) : left.n;
        sn_arena_init(&arena, f.out.memory);
        f.out.n = 0;
        st = sn_json_parse(&arena, "row", sn_bytes(left.at, n), &row, &err);
        if (st != SN_OK || parse_row(&arena, row, &f.out, &err) != SN_OK) {
            f.out.n = 0;
            sn_text_printf(&f.out, "{\"error\": ");
            sn_json_put_string(&f.out, sn_bytes_str(err.message));
            sn_text_printf(&f.out, "}");
        }
        (void)printf("%s\n", f.out.at);
        sn_arena_clear(&arena);
        left = sn_bytes(left.at + n + (line != NULL), left.n - n - (line != NULL));
    }
    sn_file_release(file);
    end(&f);
    return file ? 0 : 1;
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(known_families_are_parsed),
        cmocka_unit_test(arguments_are_cast_by_schemas_of_tools),
        cmocka_unit_test(wrong_schemas_are_refused),
        cmocka_unit_test(slow_patterns_end),
    };
    return argc > 1 ? run_file(argv[1]) : cmocka_run_group_tests(tests, NULL, NULL);
}
