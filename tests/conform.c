/* conform.c -- runs one fixture case through the public API.
 *
 *   conform CASE_DIR OUT [--check] [--device D] [--dtype T] [--threads N] [--exact] [--via-so]
 *
 * Writes every result that case.json names to OUT. With --check (OUT may then be left out) it compares them
 * with what the case expects. With --via-so every program is compiled to a shared object first and run from
 * that. Exit: 0 done, 1 failed, 2 wrong command line, 3 not supported by this build. */
#include "tests/conform.h"

#include "backends/backends.h"
#include "ops/ops.h"
#include "runtime/tensor.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static const struct {
    const char *name;
    ConformKind *run;
    ConformCompare *compare;
} kinds[] = {
    {"forward", conform_forward, conform_compare},   {"logits", conform_logits, conform_compare},
    {"generate", conform_generate, conform_compare}, {"quant", conform_quant, conform_compare},
    {"sentence", conform_sentence, conform_compare}, {"pipeline", conform_pipeline, conform_compare_data},
    {"chat", conform_chat, conform_compare_chat},    {"train", conform_train, conform_compare},
    {"peft", conform_peft, conform_compare},         {"metrics", conform_metrics, conform_compare_data},
};

SnStatus conform_path(Conform *c, const char *file, const char **out, SnError *err)
{
    *out = sn_arena_printf(&c->arena, "%s/%s", c->dir, file);
    SN_CHECK(*out, err, SN_ENOMEM, "%s: no memory", c->dir);
    return SN_OK;
}

SnStatus conform_json(Conform *c, const char *name, const SnJson **out, SnError *err)
{
    const char *path = NULL;
    SnFile *file = NULL;
    SnJson *json = NULL;
    SN_TRY(conform_path(c, name, &path, err));
    SN_TRY(sn_file_open(c->ctx, path, &file, err));
    const SnStatus st = sn_json_parse(&c->arena, path, sn_file_bytes(file), &json, err);
    sn_file_release(file);
    *out = json;
    return st;
}

SnStatus conform_model(Conform *c, const char *folder, SnDtype dtype, SnModel **out, SnError *err)
{
    const char *path = NULL;
    SN_TRY(conform_path(c, folder, &path, err));
    const SnModelOptions o = {.struct_size = sizeof o,
                              .flags = c->flags,
                              .device = c->device,
                              .dtype = dtype,
                              .quant = conform_string(c, sn_json_get(c->spec, "quant")),
                              .emit_dir = c->so_dir,
                              .emit_levels = sn_context_cpu_level(c->ctx)};
    return sn_model_open(c->cc, path, &o, out, err);
}

SnStatus conform_add(Conform *c, const char *name, const SnView *v, SnDtype dtype, SnError *err)
{
    int64_t count = 0;
    SN_CHECK(sn_view_count(v, &count) && sn_view_is_dense(v), err, SN_EINTERNAL, "%s: not dense", name);
    const size_t from = sn_dtype_size(v->dtype), to = sn_dtype_size(dtype);
    const char *own = sn_arena_strndup(&c->arena, name, strlen(name));
    uint8_t *data = sn_arena_array(&c->arena, (size_t)count + 1, to);
    SN_CHECK(own && data, err, SN_ENOMEM, "%s: no memory", name);
    for (size_t i = 0; i < (size_t)count; i++) {
        const SnScalar x = sn_scalar_load(v->dtype, (const uint8_t *)v->data + i * from);
        sn_scalar_store(dtype, data + i * to, sn_scalar_cast(v->dtype, dtype, x, false));
    }
    const SnStWrite w = {own, sn_view(dtype, data, v->ndim, v->dims)};
    SN_CHECK(sn_vec_push(sn_allocator(c->ctx), &c->result, w), err, SN_ENOMEM, "%s: no memory", name);
    return SN_OK;
}

const char *conform_string(Conform *c, const SnJson *v)
{
    SnBytes s;
    return sn_json_string(v, &s) ? sn_arena_strndup(&c->arena, (const char *)s.at, s.n) : NULL;
}

static SnStatus open_case(Conform *c, SnError *err)
{
    const char *inputs = NULL;
    SN_TRY(conform_json(c, "case.json", &c->spec, err));
    SN_TRY(conform_path(c, "inputs.safetensors", &inputs, err));
    return sn_file_exists(inputs) ? sn_safetensors_open(c->ctx, inputs, &c->input, err) : SN_OK;
}

static SnStatus run_case(Conform *c, bool *passed, SnError *err)
{
    SN_TRY(open_case(c, err));
    const char *kind = conform_string(c, sn_json_get(c->spec, "kind"));
    SN_CHECK(kind, err, SN_EFORMAT, "%s/case.json: no kind", c->dir);
    size_t i = 0;
    while (i < SN_COUNT(kinds) && strcmp(kinds[i].name, kind) != 0)
        i++;
    SN_CHECK(i < SN_COUNT(kinds), err, SN_EUNSUPPORTED, "cases of kind %s", kind);
    SN_TRY(kinds[i].run(c, err));
    const SnBytes data = sn_bytes(c->data.at, c->data.n);
    if (c->out && c->data.n)
        SN_TRY(sn_file_write(c->ctx, c->out, &data, 1, err));
    else if (c->out)
        SN_TRY(sn_safetensors_write(c->ctx, c->out, c->result.at, c->result.n, NULL, err));
    return c->check ? kinds[i].compare(c, passed, err) : SN_OK;
}

static void write_log(void *self, SnLogLevel level, const char *message)
{
    (void)self;
    if (level <= SN_LOG_WARN || getenv("SINTER_DUMP"))
        (void)fprintf(stderr, "conform: %s\n", message);
}

static int run_with(Conform *c, const SnContextDesc *desc)
{
    SnError err = {0};
    bool passed = true;
    SnStatus st = sn_context_create(desc, &c->ctx, &err);
    if (st == SN_OK) {
        const SnCompilerDesc compiler = {
            .struct_size = sizeof compiler, .ops = sn_all_ops, .backends = sn_all_backends};
        sn_arena_init(&c->arena, sn_allocator(c->ctx));
        c->data.memory = sn_allocator(c->ctx);
        st = sn_compiler_create(c->ctx, &compiler, &c->cc, &err);
    }
    if (st == SN_OK)
        st = run_case(c, &passed, &err);
    if (st == SN_EUNSUPPORTED)
        (void)printf("unsupported: %s\n", err.message);
    else if (st != SN_OK)
        (void)fprintf(stderr, "conform: %s: %s\n", c->dir, err.message);
    if (c->input.ntensor || c->input.file)
        sn_safetensors_close(&c->input);
    if (c->ctx) {
        sn_vec_clear(sn_allocator(c->ctx), &c->result);
        sn_text_clear(&c->data);
        sn_arena_clear(&c->arena);
    }
    sn_compiler_destroy(c->cc);
    sn_context_destroy(c->ctx);
    return st == SN_EUNSUPPORTED ? 3 : st != SN_OK || !passed ? 1 : 0;
}

/* Removes a folder of files. */
static void remove_folder(const char *folder)
{
    char path[512];
    DIR *d = opendir(folder);
    for (const struct dirent *e = d ? readdir(d) : NULL; e; e = readdir(d))
        if (e->d_name[0] != '.' && snprintf(path, sizeof path, "%s/%s", folder, e->d_name) < (int)sizeof path)
            (void)unlink(path);
    if (d)
        (void)closedir(d);
    (void)rmdir(folder);
}

static int usage(const char *what)
{
    (void)fprintf(stderr,
                  "conform: %s\nusage: conform CASE_DIR OUT [--check] [--device auto|cpu|interp|clike|eval] "
                  "[--dtype f32|bf16|f16] [--threads N] [--exact] [--via-so]\n",
                  what);
    return 2;
}

static SnDtype parse_dtype(const char *name)
{
    return strcmp(name, "f32") == 0    ? SN_F32
           : strcmp(name, "bf16") == 0 ? SN_BF16
           : strcmp(name, "f16") == 0  ? SN_F16
                                       : SN_NODTYPE;
}

int main(int argc, char **argv)
{
    Conform c = {.device = "auto"};
    SnContextDesc desc = {.struct_size = sizeof desc, .log = {NULL, write_log}};
    SnPool *pool = NULL;
    unsigned long threads = 1;
    char dir[] = "/tmp/sinter-conform-XXXXXX";
    for (int i = 1; i < argc; i++) {
        const char *a = argv[i], *value = i + 1 < argc ? argv[i + 1] : "";
        if (strcmp(a, "--check") == 0)
            c.check = true;
        else if (strcmp(a, "--exact") == 0)
            c.flags |= SN_EXACT;
        else if (strcmp(a, "--device") == 0 && *value)
            c.device = argv[++i];
        else if (strcmp(a, "--threads") == 0 && *value)
            threads = strtoul(argv[++i], NULL, 10);
        else if (strcmp(a, "--dtype") == 0 && (strcmp(value, "auto") == 0 || parse_dtype(value)))
            c.dtype = parse_dtype(argv[++i]);
        else if (strcmp(a, "--via-so") == 0)
            c.so_dir = dir;
        else if (a[0] == '-' || c.out)
            return usage(a);
        else if (c.dir)
            c.out = a;
        else
            c.dir = a;
    }
    if (!c.dir || (!c.out && !c.check) || threads < 1 || threads > 1024)
        return usage("expected a case and a file to write");
    if (threads > 1 && sn_pool_create((uint32_t)threads, &pool, NULL) == SN_OK)
        desc.jobs = sn_pool_jobs(pool);
    if (!mkdtemp(dir))
        return usage("no folder in /tmp");
    desc.cache_dir = c.so_dir ? NULL : dir; /* calls of a case share their kernels */
    const int rc = run_with(&c, &desc);
    remove_folder(dir);
    sn_pool_destroy(pool);
    return rc;
}
