/* json_fuzz.c -- any bytes as JSON: refused with a message, or what is printed parses to what prints the
 * same. */
#include "tests/fuzz/fuzz.h"

#include "runtime/json.h"

static void look(const SnJson *v, int depth)
{
    int64_t i;
    double d;
    bool b;
    SnBytes s;
    (void)sn_json_int(v, &i);
    (void)sn_json_bool(v, &b);
    (void)sn_json_is(v, "x");
    fuzz_require(depth <= 64 &&
                 (!sn_json_number(v, &d) || v->kind == SN_JSON_INT || v->kind == SN_JSON_FLOAT));
    if (sn_json_string(v, &s))
        fuzz_require(s.at[s.n] == 0);
    for (uint32_t k = 0; (v->kind == SN_JSON_ARRAY || v->kind == SN_JSON_OBJECT) && k < v->n; k++)
        look(&v->u.child[k], depth + 1);
    (void)sn_json_get(v, "a");
    fuzz_require(sn_json_at(v, UINT32_MAX) == NULL);
}

static SnText print(const SnAllocator *a, const SnJson *v)
{
    SnText t = {.memory = a};
    sn_json_put(&t, v);
    fuzz_require(!t.failed);
    return t;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    SnContext *ctx = NULL;
    SnArena arena;
    SnJson *v = NULL, *again = NULL;
    SnError err = {0};
    double number;
    fuzz_require(sn_context_create(NULL, &ctx, NULL) == SN_OK);
    sn_arena_init(&arena, sn_allocator(ctx));
    (void)sn_parse_f64(sn_bytes(data, size), &number);
    if (sn_json_parse(&arena, "fuzz", sn_bytes(data, size), &v, &err) == SN_OK) {
        look(v, 0);
        SnText once = print(sn_allocator(ctx), v);
        fuzz_require(sn_json_parse(&arena, "again", sn_bytes(once.at, once.n), &again, &err) == SN_OK);
        SnText twice = print(sn_allocator(ctx), again);
        fuzz_require(once.n == twice.n && memcmp(once.at, twice.at, once.n) == 0);
        sn_text_clear(&once);
        sn_text_clear(&twice);
    } else {
        fuzz_require(err.message[0] != '\0');
    }
    sn_arena_clear(&arena);
    sn_context_destroy(ctx);
    return 0;
}

FUZZ_MAIN("tests/fuzz/corpus/json");
