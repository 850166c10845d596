/* jinja_fuzz.c -- any bytes as a template: refused with a message, or rendered to valid UTF-8 of bounded
 * size, twice the same. */
#include "tests/fuzz/fuzz.h"

#include "frontends/jinja/jinja.h"

static const char vars[] =
    "{\"messages\": [{\"role\": \"system\", \"content\": \"Be \\u00e9\"}, {\"role\": \"user\", \"content\":"
    " [{\"type\": \"text\", \"text\": \"<b>\\ud83d\\ude00</b>\"}, {\"type\": \"image\"}]}, {\"role\": "
    "\"assistant\","
    " \"tool_calls\": [{\"function\": {\"name\": \"f\", \"arguments\": {\"x\": 1.5}}}]}], \"tools\": null,"
    " \"add_generation_prompt\": true, \"bos_token\": \"<s>\", \"i\": -7, \"l\": [3, 1, 2], \"d\": {\"a\": "
    "1}}";

static SnStatus render(const SnJinja *t, const SnJson *v, SnText *out, SnError *err)
{
    SnJinjaSpans spans = {0};
    const SnJinjaRender o = {.vars = &v,
                             .nvars = 1,
                             .now = 1700000000,
                             .max_steps = 20000,
                             .max_memory = 4 << 20,
                             .max_size = 1 << 20,
                             .spans = &spans};
    const SnStatus st = sn_jinja_render(t, &o, out, err);
    for (size_t i = 0; st == SN_OK && i < spans.n; i++)
        fuzz_require(spans.at[i].begin <= spans.at[i].end && spans.at[i].end <= out->n);
    sn_vec_clear(out->memory, &spans);
    return st;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    SnContext *ctx = NULL;
    SnArena arena;
    SnJson *v = NULL;
    SnJinja *t = NULL;
    SnError err = {0};
    fuzz_require(sn_context_create(NULL, &ctx, NULL) == SN_OK);
    sn_arena_init(&arena, sn_allocator(ctx));
    arena.limit = (size_t)64 << 20;
    fuzz_require(sn_json_parse(&arena, "vars", sn_bytes_str(vars), &v, &err) == SN_OK);
    SnText once = {.memory = sn_allocator(ctx)}, twice = {.memory = sn_allocator(ctx)};
    if (sn_utf8_valid(sn_bytes(data, size))) {
        SnStatus st = sn_jinja_parse(&arena, "fuzz", sn_bytes(data, size), &t, &err);
        if (st == SN_OK)
            st = render(t, v, &once, &err);
        fuzz_require(st == SN_OK || t == NULL || render(t, v, &twice, &err) == st);
        if (st == SN_OK) {
            fuzz_require(sn_utf8_valid(sn_bytes(once.at, once.n)) && once.n <= 1 << 20);
            fuzz_require(render(t, v, &twice, &err) == SN_OK && once.n == twice.n &&
                         (once.n == 0 || memcmp(once.at, twice.at, once.n) == 0));
        }
    }
    sn_text_clear(&once);
    sn_text_clear(&twice);
    sn_arena_clear(&arena);
    sn_context_destroy(ctx);
    return 0;
}

FUZZ_MAIN("tests/fuzz/corpus/jinja");
