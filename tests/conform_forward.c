/* conform_forward.c -- cases of kind forward: named tensors through sn_model_forward. */
#include "tests/conform.h"

#include <stdio.h>

#define MAX_INPUTS 64

/* Arguments that say how to return, not what. */
static bool is_ignored(SnBytes key)
{
    static const char *const names[] = {"use_cache", "return_dict", "return_loss"};
    for (size_t i = 0; i < SN_COUNT(names); i++)
        if (sn_bytes_is(key, names[i]))
            return true;
    return key.n > 7 && memcmp(key.at, "output_", 7) == 0;
}

static SnStatus check_kwargs(const SnJson *kwargs, SnError *err)
{
    for (uint32_t i = 0; kwargs && kwargs->kind == SN_JSON_OBJECT && i < kwargs->n; i++) {
        const SnBytes key = kwargs->u.child[i].key;
        SN_CHECK(is_ignored(key), err, SN_EUNSUPPORTED, "argument %.*s", (int)key.n, (const char *)key.at);
    }
    return SN_OK;
}

SnStatus conform_inputs(Conform *c, const SnJson *inputs, SnNamedTensor *in, size_t *n, SnError *err)
{
    for (uint32_t i = 0; inputs && i < inputs->n; i++) {
        const SnJson *j = &inputs->u.child[i];
        const char *name = sn_arena_strndup(&c->arena, (const char *)j->key.at, j->key.n);
        const char *tensor = conform_string(c, j);
        const SnStTensor *t = tensor ? sn_safetensors_find(&c->input, tensor) : NULL;
        SN_CHECK(name && t && *n < MAX_INPUTS, err, SN_EFORMAT, "%s: no tensor for %.*s", c->dir,
                 (int)j->key.n, (const char *)j->key.at);
        SN_CHECK(t->dtype != SN_NODTYPE, err, SN_EUNSUPPORTED, "inputs of dtype %s", t->format);
        void *data = sn_arena_alloc(&c->arena, t->bytes.n + 1); /* aligned, as the file need not be */
        SN_CHECK(data, err, SN_ENOMEM, "%s: no memory", c->dir);
        memcpy(data, t->bytes.at, t->bytes.n);
        in[(*n)++] = (SnNamedTensor){name, sn_view(t->dtype, data, t->ndim, t->dims)};
    }
    return SN_OK;
}

/* "bfloat16" as case.json writes it; results are f32 otherwise. */
static SnDtype stored_dtype(const Conform *c, const char *tensor)
{
    const SnJson *dtype = sn_json_get(sn_json_get(sn_json_get(c->spec, "outputs"), tensor), "dtype");
    return sn_json_is(dtype, "bfloat16") ? SN_BF16 : sn_json_is(dtype, "float16") ? SN_F16 : SN_F32;
}

/* Runs one call in a dtype; suffix "" or "@bf16". */
static SnStatus run_call(Conform *c, SnModel *m, const SnJson *call, const char *suffix, SnError *err)
{
    SnNamedTensor in[MAX_INPUTS];
    size_t nin = 0;
    SnResults *r = NULL;
    const SnJson *outputs = sn_json_get(call, "outputs");
    const SnJson *op = sn_json_get(call, "op");
    SN_CHECK(sn_json_is(op, "forward") || sn_json_is(op, "loss_and_grads"), err, SN_EUNSUPPORTED,
             "calls other than forward and loss_and_grads");
    SN_TRY(check_kwargs(sn_json_get(call, "kwargs"), err));
    SN_TRY(conform_inputs(c, sn_json_get(call, "inputs"), in, &nin, err));
    SN_CHECK(outputs && outputs->kind == SN_JSON_OBJECT && outputs->n, err, SN_EFORMAT, "%s: no outputs",
             c->dir);
    const char **want = sn_arena_array(&c->arena, outputs->n, sizeof *want);
    SN_CHECK(want, err, SN_ENOMEM, "%s: no memory", c->dir);
    for (uint32_t i = 0; i < outputs->n; i++) {
        const SnBytes key = outputs->u.child[i].key;
        want[i] = sn_arena_strndup(&c->arena, (const char *)key.at, key.n);
        SN_CHECK(want[i], err, SN_ENOMEM, "%s: no memory", c->dir);
    }
    SnStatus st = sn_model_forward(m, in, nin, want, outputs->n, &r, err);
    for (uint32_t i = 0; st == SN_OK && i < outputs->n; i++) {
        const char *plain = conform_string(c, sn_json_get(&outputs->u.child[i], "tensor"));
        const char *name = plain ? sn_arena_printf(&c->arena, "%s%s", plain, suffix) : NULL;
        const SnNamedTensor *t = sn_results_find(r, want[i]);
        SnView v = t ? t->view : (SnView){0};
        if (v.ndim == 0 && !sn_json_is(op, "forward")) /* cases of training list their losses */
            v = sn_view(v.dtype, v.data, 1, (const int64_t[]){1});
        st = name && t ? conform_add(c, name, &v, stored_dtype(c, name), err)
                       : sn_fail(err, SN_EFORMAT, "%s: no tensor named for %s", c->dir, want[i]);
    }
    sn_results_destroy(r);
    return st;
}

static SnStatus run_calls(Conform *c, SnDtype dtype, const char *suffix, SnError *err)
{
    SnModel *m = NULL;
    const char *folder = conform_string(c, sn_json_get(c->spec, "model"));
    const SnJson *calls = sn_json_get(c->spec, "calls");
    SN_CHECK(folder && calls && calls->kind == SN_JSON_ARRAY, err, SN_EFORMAT,
             "%s/case.json: no model or calls", c->dir);
    SnStatus st = conform_model(c, folder, dtype, &m, err);
    for (uint32_t i = 0; st == SN_OK && i < calls->n; i++)
        st = run_call(c, m, &calls->u.child[i], suffix, err);
    sn_model_close(m);
    return st;
}

SnStatus conform_forward(Conform *c, SnError *err)
{
    static const struct {
        const char *stored, *suffix;
        SnDtype dtype;
    } low[] = {{"bf16", "@bf16", SN_BF16}, {"f16", "@f16", SN_F16}};
    SN_TRY(run_calls(c, c->dtype != SN_NODTYPE ? c->dtype : SN_F32, "", err));
    for (size_t i = 0; i < SN_COUNT(low); i++)
        if (sn_json_is(sn_json_get(c->spec, "dtype"), low[i].stored))
            SN_TRY(run_calls(c, low[i].dtype, low[i].suffix, err));
    return SN_OK;
}
