/* conform_quant.c -- cases of kind quant: tensors to the block formats of GGML, and back; the tensors of a
 * GGUF file. */
#include "tests/conform.h"

#include "frontends/gguf/gguf.h"
#include "ops/ops.h"

#include <ctype.h>

typedef struct Blocks {
    Conform *c;
    const SnJson *call;
    const SnStTensor *in;
    char format[16]; /* "q8_0"; f16 and bf16 are dtypes */
    SnGraph *g;
    SnProgram *p;
    SnInstance *s;
} Blocks;

static void set_format(Blocks *b, const char *type)
{
    for (size_t i = 0; i + 1 < sizeof b->format && type[i]; i++)
        b->format[i] = (char)tolower((unsigned char)type[i]);
}

static SnStatus read_call(Blocks *b, SnError *err)
{
    Conform *c = b->c;
    const char *type = conform_string(c, sn_json_get(b->call, "type"));
    const SnJson *inputs = sn_json_get(b->call, "inputs");
    const char *name = inputs && inputs->n == 1 ? conform_string(c, &inputs->u.child[0]) : NULL;
    b->in = name ? sn_safetensors_find(&c->input, name) : NULL;
    SN_CHECK(type && strlen(type) < sizeof b->format && b->in && b->in->ndim > 0, err, SN_EFORMAT,
             "%s: a call without type or input", c->dir);
    set_format(b, type);
    return SN_OK;
}

static SnDtype plain_dtype(const Blocks *b)
{
    return strcmp(b->format, "f32") == 0    ? SN_F32
           : strcmp(b->format, "f16") == 0  ? SN_F16
           : strcmp(b->format, "bf16") == 0 ? SN_BF16
                                            : SN_NODTYPE;
}

static SnValue to_bytes(Blocks *b, SnValue x)
{
    const SnDtype to = plain_dtype(b);
    return to == SN_NODTYPE ? sn_quantize_blocks(b->g, x, b->format)
                            : sn_bitcast(b->g, sn_cast(b->g, x, to), SN_U8);
}

static SnValue from_bytes(Blocks *b, SnValue bytes)
{
    const SnDtype from = plain_dtype(b);
    return from == SN_NODTYPE ? sn_dequantize_blocks(b->g, bytes, b->format)
                              : sn_cast(b->g, sn_bitcast(b->g, bytes, from), SN_F32);
}

static bool is_back(const Blocks *b)
{
    return !b->call || sn_json_is(sn_json_get(b->call, "op"), "gguf_dequantize");
}

static SnStatus build(Blocks *b, SnError *err)
{
    SnValue dims[SN_MAX_RANK];
    for (int i = 0; i < b->in->ndim; i++)
        dims[i] = sn_const_int(b->g, SN_I64, b->in->dims[i]);
    const SnValue x = sn_input(b->g, "x", b->in->dtype, b->in->ndim, dims);
    const SnValue bytes = is_back(b) ? x : to_bytes(b, x);
    if (!is_back(b))
        sn_output(b->g, "bytes", bytes);
    sn_output(b->g, "dequantized", from_bytes(b, bytes));
    const SnCompileOptions o = {.struct_size = sizeof o,
                                .target = strcmp(b->c->device, "auto") == 0 ? NULL : b->c->device};
    SN_TRY(sn_compile(b->c->cc, b->g, &o, &b->p, err));
    return sn_instance_create(b->p, NULL, &b->s, err);
}

static SnStatus run(Blocks *b, SnError *err)
{
    void *data = sn_arena_alloc(&b->c->arena, b->in->bytes.n + 1); /* aligned, as the file need not be */
    SN_CHECK(data, err, SN_ENOMEM, "%s: no memory", b->c->dir);
    memcpy(data, b->in->bytes.at, b->in->bytes.n);
    const SnView view = sn_view(b->in->dtype, data, b->in->ndim, b->in->dims);
    SN_TRY(sn_bind(b->s, "x", &view, err));
    return sn_run(b->s, err);
}

static SnStatus take(Blocks *b, const char *output, const char *name, SnError *err)
{
    SnView out;
    SN_TRY(sn_result(b->s, output, &out, err));
    return conform_add(b->c, name, &out, out.dtype, err);
}

static SnStatus take_outputs(Blocks *b, SnError *err)
{
    const SnJson *outputs = sn_json_get(b->call, "outputs");
    SN_CHECK(outputs && outputs->kind == SN_JSON_OBJECT, err, SN_EFORMAT, "%s: no outputs", b->c->dir);
    for (uint32_t i = 0; i < outputs->n; i++) {
        const SnJson *j = &outputs->u.child[i];
        const char *name = conform_string(b->c, sn_json_get(j, "tensor"));
        const char *key = sn_arena_strndup(&b->c->arena, (const char *)j->key.at, j->key.n);
        SN_CHECK(name && key, err, SN_EFORMAT, "%s: no tensor for an output", b->c->dir);
        SN_TRY(take(b, key, name, err));
    }
    return SN_OK;
}

/* name: of a file's tensor; NULL: results of a call. */
static SnStatus run_blocks(Blocks *b, const char *name, SnError *err)
{
    SnStatus st = sn_graph_create(b->c->cc, &b->g, err);
    if (st == SN_OK)
        st = build(b, err);
    if (st == SN_OK)
        st = run(b, err);
    if (st == SN_OK)
        st = name ? take(b, "dequantized", name, err) : take_outputs(b, err);
    sn_instance_destroy(b->s);
    sn_program_release(b->p);
    sn_graph_destroy(b->g);
    return st;
}

static SnStatus run_tensor(Conform *c, const SnGgufTensor *t, SnError *err)
{
    SnStTensor in = {.dtype = SN_U8, .ndim = t->ndim, .bytes = t->bytes};
    Blocks b = {.c = c, .in = &in};
    int64_t rows = 1;
    const char *name = sn_arena_strndup(&c->arena, (const char *)t->name.at, t->name.n);
    SN_CHECK(name && t->ndim > 0, err, SN_EFORMAT, "%s: a tensor without dims", c->dir);
    set_format(&b, t->type->name);
    memcpy(in.dims, t->dims, sizeof t->dims);
    for (int i = 0; i + 1 < t->ndim; i++)
        rows *= t->dims[i];
    in.dims[t->ndim - 1] = rows > 0 ? (int64_t)t->bytes.n / rows : 0;
    return run_blocks(&b, name, err);
}

static SnStatus run_file(Conform *c, const char *file, SnError *err)
{
    const char *path = NULL;
    SnGguf f;
    SN_TRY(conform_path(c, file, &path, err));
    SN_TRY(sn_gguf_open(c->ctx, path, &f, err));
    SnStatus st = SN_OK;
    for (size_t i = 0; st == SN_OK && i < f.ntensor; i++)
        st = run_tensor(c, &f.tensor[i], err);
    sn_gguf_close(&f);
    return st;
}

static SnStatus run_call(Conform *c, const SnJson *call, SnError *err)
{
    Blocks b = {.c = c, .call = call};
    SN_CHECK(is_back(&b) || sn_json_is(sn_json_get(call, "op"), "gguf_quantize"), err, SN_EUNSUPPORTED,
             "calls of another op");
    SN_TRY(read_call(&b, err));
    return run_blocks(&b, NULL, err);
}

SnStatus conform_quant(Conform *c, SnError *err)
{
    const SnJson *calls = sn_json_get(c->spec, "calls");
    const char *file = conform_string(c, sn_json_get(c->spec, "file"));
    if (file && !calls)
        return run_file(c, file, err);
    SN_CHECK(calls && calls->kind == SN_JSON_ARRAY, err, SN_EFORMAT, "%s: no calls", c->dir);
    for (uint32_t i = 0; i < calls->n; i++)
        SN_TRY(run_call(c, &calls->u.child[i], err));
    return SN_OK;
}
