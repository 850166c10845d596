/* conform_quant.c -- cases of kind quant: tensors to the block formats of GGML, and back. */
#include "tests/conform.h"

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

static SnStatus read_call(Blocks *b, SnError *err)
{
    Conform *c = b->c;
    const char *type = conform_string(c, sn_json_get(b->call, "type"));
    const SnJson *inputs = sn_json_get(b->call, "inputs");
    const char *name = inputs && inputs->n == 1 ? conform_string(c, &inputs->u.child[0]) : NULL;
    b->in = name ? sn_safetensors_find(&c->input, name) : NULL;
    SN_CHECK(type && strlen(type) < sizeof b->format && b->in && b->in->ndim > 0, err, SN_EFORMAT,
             "%s: a call without type or input", c->dir);
    for (size_t i = 0; i <= strlen(type); i++)
        b->format[i] = (char)tolower((unsigned char)type[i]);
    return SN_OK;
}

static SnDtype plain_dtype(const Blocks *b)
{
    return strcmp(b->format, "f16") == 0 ? SN_F16 : strcmp(b->format, "bf16") == 0 ? SN_BF16 : SN_NODTYPE;
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

static SnStatus build(Blocks *b, SnError *err)
{
    const bool is_back = sn_json_is(sn_json_get(b->call, "op"), "gguf_dequantize");
    SnValue dims[SN_MAX_RANK];
    SN_CHECK(is_back || sn_json_is(sn_json_get(b->call, "op"), "gguf_quantize"), err, SN_EUNSUPPORTED,
             "calls of another op");
    for (int i = 0; i < b->in->ndim; i++)
        dims[i] = sn_const_int(b->g, SN_I64, b->in->dims[i]);
    const SnValue x = sn_input(b->g, "x", b->in->dtype, b->in->ndim, dims);
    const SnValue bytes = is_back ? x : to_bytes(b, x);
    if (!is_back)
        sn_output(b->g, "bytes", bytes);
    sn_output(b->g, "dequantized", from_bytes(b, bytes));
    const SnCompileOptions o = {.struct_size = sizeof o, .target = b->c->device};
    SN_TRY(sn_compile(b->c->cc, b->g, &o, &b->p, err));
    return sn_instance_create(b->p, NULL, &b->s, err);
}

static SnStatus run(Blocks *b, SnError *err)
{
    const SnJson *outputs = sn_json_get(b->call, "outputs");
    void *data = sn_arena_alloc(&b->c->arena, b->in->bytes.n + 1); /* aligned, as the file need not be */
    SN_CHECK(data && outputs && outputs->kind == SN_JSON_OBJECT, err, SN_EFORMAT, "%s: no outputs",
             b->c->dir);
    memcpy(data, b->in->bytes.at, b->in->bytes.n);
    const SnView view = sn_view(b->in->dtype, data, b->in->ndim, b->in->dims);
    SN_TRY(sn_bind(b->s, "x", &view, err));
    SN_TRY(sn_run(b->s, err));
    for (uint32_t i = 0; i < outputs->n; i++) {
        SnView out;
        const SnJson *j = &outputs->u.child[i];
        const char *name = conform_string(b->c, sn_json_get(j, "tensor"));
        const char *key = sn_arena_strndup(&b->c->arena, (const char *)j->key.at, j->key.n);
        SN_CHECK(name && key, err, SN_EFORMAT, "%s: no tensor for an output", b->c->dir);
        SN_TRY(sn_result(b->s, key, &out, err));
        SN_TRY(conform_add(b->c, name, &out, out.dtype, err));
    }
    return SN_OK;
}

SnStatus conform_quant(Conform *c, SnError *err)
{
    const SnJson *calls = sn_json_get(c->spec, "calls");
    SN_CHECK(calls && calls->kind == SN_JSON_ARRAY, err, SN_EUNSUPPORTED, "%s: no calls", c->dir);
    SN_CHECK(!sn_json_get(c->spec, "model"), err, SN_EUNSUPPORTED, "ONNX models");
    SnStatus st = SN_OK;
    for (uint32_t i = 0; st == SN_OK && i < calls->n; i++) {
        Blocks b = {.c = c, .call = &calls->u.child[i]};
        st = read_call(&b, err);
        if (st == SN_OK)
            st = sn_graph_create(c->cc, &b.g, err);
        if (st == SN_OK)
            st = build(&b, err);
        if (st == SN_OK)
            st = run(&b, err);
        sn_instance_destroy(b.s);
        sn_program_release(b.p);
        sn_graph_destroy(b.g);
    }
    return st;
}
