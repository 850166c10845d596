/* adapter_fuzz.c -- any bytes as the config of an adapter, new or beside tensors, and as its tensors: refused
 * with a message, or it fits the model. Nothing is compiled. */
#include "tests/fuzz/fuzz.h"

#include "backends/backends.h"
#include "frontends/peft.h"
#include "ops/ops.h"

#define MODEL "tests/golden/forward/llama-seqcls/model"
#define MOST  20000 /* numbers of a rank or a width that are worth trying: more only take memory */

static const char config[] =
    "{\"peft_type\": \"LORA\", \"task_type\": \"CAUSAL_LM\", \"r\": 2, \"target_modules\": [\"q_proj\"]}";

static void check(SnStatus st, SnAdapter *a, const SnError *err)
{
    fuzz_require((st == SN_OK) == (a != NULL) && (st == SN_OK || err->message[0] != 0));
    sn_adapter_close(a);
}

/* Numbers that only ask for much memory are left out. */
static bool is_small(const SnJson *v)
{
    double x = 0;
    for (uint32_t i = 0; (v->kind == SN_JSON_OBJECT || v->kind == SN_JSON_ARRAY) && i < v->n; i++)
        if (!is_small(&v->u.child[i]))
            return false;
    return !sn_json_number(v, &x) || !(x > MOST);
}

static void make(SnModel *m, const uint8_t *data, size_t size, SnContext *ctx)
{
    SnArena arena;
    SnJson *json = NULL;
    SnAdapter *a = NULL;
    SnError err = {0};
    sn_arena_init(&arena, sn_allocator(ctx));
    if (sn_json_parse(&arena, "config", sn_bytes(data, size), &json, &err) == SN_OK && is_small(json) &&
        !sn_json_get(json, "tokenizer_name_or_path") &&
        !sn_json_is(sn_json_get(json, "prompt_tuning_init"), "TEXT")) {
        const SnStatus st = sn_adapter_create(m, json, 0, &a, &err);
        check(st, a, &err);
    }
    sn_arena_clear(&arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const SnCompilerDesc compiler = {
        .struct_size = sizeof compiler, .ops = sn_all_ops, .backends = sn_all_backends};
    const SnModelOptions o = {.struct_size = sizeof o, .task = "text-generation", .device = "interp"};
    SnContext *ctx = NULL;
    SnCompiler *cc = NULL;
    SnModel *m = NULL;
    SnAdapter *a = NULL;
    SnError err = {0};
    Scratch f;
    const bool is_config = size > 0 && data[0] == '{';
    fuzz_require(sn_context_create(NULL, &ctx, NULL) == SN_OK);
    fuzz_require(sn_compiler_create(ctx, &compiler, &cc, NULL) == SN_OK);
    fuzz_require(sn_model_open(cc, MODEL, &o, &m, &err) == SN_OK);
    scratch_open(&f);
    if (is_config)
        make(m, data, size, ctx);
    scratch_write(&f, "adapter_config.json", is_config ? (const void *)data : config,
                  is_config ? size : sizeof config - 1);
    if (!is_config)
        scratch_write(&f, "adapter_model.safetensors", data, size);
    else if (sn_adapter_create(m, &(SnJson){.kind = SN_JSON_OBJECT}, 0, &a, &err) == SN_OK)
        fuzz_require(false); /* it has no peft_type */
    const SnStatus st = sn_adapter_open(m, f.dir, &a, &err);
    check(st, a, &err);
    scratch_close(&f);
    sn_model_close(m);
    sn_compiler_destroy(cc);
    sn_context_destroy(ctx);
    return 0;
}

FUZZ_MAIN("tests/fuzz/corpus/adapter");
