/* adapter_fuzz.c -- any bytes as the config of an adapter, new or beside tensors, and as its tensors: refused
 * with a message, or it fits the model. Nothing is compiled. */
#define _GNU_SOURCE
#include "tests/fuzz/fuzz.h"

#include "backends/backends.h"
#include "frontends/peft.h"
#include "ops/ops.h"

#include <unistd.h>

#define MODEL   "tests/golden/forward/llama-seqcls/model"
#define CONFIG  "adapter_config.json"
#define TENSORS "adapter_model.safetensors"
#define MOST    20000 /* numbers of a rank or a width that are worth trying: more only take memory */

static const char config[] =
    "{\"peft_type\": \"LORA\", \"task_type\": \"CAUSAL_LM\", \"r\": 2, \"target_modules\": [\"q_proj\"]}";

typedef struct Folder {
    char path[64], file[2][128];
} Folder;

static void put(const char *path, const void *at, size_t n)
{
    FILE *f = fopen(path, "wb");
    fuzz_require(f != NULL && fwrite(at, 1, n, f) == n && fclose(f) == 0);
}

static void open_folder(Folder *f)
{
    (void)snprintf(f->path, sizeof f->path, "/tmp/sinter-fuzz-XXXXXX");
    fuzz_require(mkdtemp(f->path) != NULL);
    (void)snprintf(f->file[0], sizeof f->file[0], "%s/" CONFIG, f->path);
    (void)snprintf(f->file[1], sizeof f->file[1], "%s/" TENSORS, f->path);
}

static void close_folder(const Folder *f)
{
    (void)unlink(f->file[0]);
    (void)unlink(f->file[1]);
    fuzz_require(rmdir(f->path) == 0);
}

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
    Folder f;
    const bool is_config = size > 0 && data[0] == '{';
    fuzz_require(sn_context_create(NULL, &ctx, NULL) == SN_OK);
    fuzz_require(sn_compiler_create(ctx, &compiler, &cc, NULL) == SN_OK);
    fuzz_require(sn_model_open(cc, MODEL, &o, &m, &err) == SN_OK);
    open_folder(&f);
    if (is_config)
        make(m, data, size, ctx);
    put(f.file[0], is_config ? (const void *)data : config, is_config ? size : sizeof config - 1);
    if (!is_config)
        put(f.file[1], data, size);
    else if (sn_adapter_create(m, &(SnJson){.kind = SN_JSON_OBJECT}, 0, &a, &err) == SN_OK)
        fuzz_require(false); /* it has no peft_type */
    const SnStatus st = sn_adapter_open(m, f.path, &a, &err);
    check(st, a, &err);
    close_folder(&f);
    sn_model_close(m);
    sn_compiler_destroy(cc);
    sn_context_destroy(ctx);
    return 0;
}

FUZZ_MAIN("tests/fuzz/corpus/adapter");
