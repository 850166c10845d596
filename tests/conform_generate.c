/* conform_generate.c -- cases of kind `generate`. */
#include "tests/conform.h"

#include <stdio.h>

static const SnView *input_of(Conform *c, const SnJson *call, const char *name, SnView *v)
{
    SnBytes tensor;
    char text[256];
    if (!sn_json_string(sn_json_get(sn_json_get(call, "inputs"), name), &tensor) || tensor.n >= sizeof text)
        return NULL;
    memcpy(text, tensor.at, tensor.n);
    text[tensor.n] = 0;
    const SnStTensor *t = sn_safetensors_find(&c->input, text);
    if (!t)
        return NULL;
    *v = sn_view(t->dtype, (void *)(uintptr_t)t->bytes.at, t->ndim, t->dims);
    return v;
}

/* kwargs, and what the outputs ask for. */
static SnStatus config_of(Conform *c, const SnJson *call, const SnJson **out, SnError *err)
{
    static const char *const wants[][2] = {{"logits", "output_logits"}, {"scores", "output_scores"}};
    const SnJson *kwargs = sn_json_get(call, "kwargs"), *outputs = sn_json_get(call, "outputs");
    const uint32_t n = kwargs && kwargs->kind == SN_JSON_OBJECT ? kwargs->n : 0;
    SnJson *all = sn_arena_array(&c->arena, n + 3, sizeof *all);
    SN_CHECK(all, err, SN_ENOMEM, "%s: no memory", c->dir);
    *all = (SnJson){.kind = SN_JSON_OBJECT, .u.child = all + 1};
    for (uint32_t i = 0; i < n; i++)
        all->u.child[all->n++] = kwargs->u.child[i];
    for (size_t i = 0; i < SN_COUNT(wants); i++)
        if (sn_json_get(outputs, wants[i][0]))
            all->u.child[all->n++] =
                (SnJson){.kind = SN_JSON_BOOL, .u.boolean = true, .key = sn_bytes_str(wants[i][1])};
    *out = all;
    return SN_OK;
}

static SnStatus add_results(Conform *c, const SnJson *call, const SnResults *r, SnError *err)
{
    const SnJson *outputs = sn_json_get(call, "outputs");
    for (uint32_t i = 0; outputs && outputs->kind == SN_JSON_OBJECT && i < outputs->n; i++) {
        const SnJson *o = &outputs->u.child[i];
        const char *name = conform_string(c, sn_json_get(o, "tensor"));
        const SnNamedTensor *t = sn_results_find(r, (const char *)o->key.at);
        SN_CHECK(name, err, SN_EFORMAT, "%s/case.json: an output without tensor", c->dir);
        SN_CHECK(t, err, SN_EUNSUPPORTED, "output %.*s of generate", (int)o->key.n, (const char *)o->key.at);
        SN_TRY(conform_add(c, name, &t->view, t->view.dtype, err));
    }
    return SN_OK;
}

static SnStatus run_call(Conform *c, SnModel *m, const SnJson *call, SnError *err)
{
    SnView ids, mask;
    SnResults *r = NULL;
    const SnJson *config = NULL, *inputs = sn_json_get(call, "inputs");
    SN_CHECK(sn_json_is(sn_json_get(call, "op"), "generate"), err, SN_EUNSUPPORTED,
             "a call that is no generate");
    for (uint32_t i = 0; inputs && inputs->kind == SN_JSON_OBJECT && i < inputs->n; i++) {
        const SnBytes key = inputs->u.child[i].key;
        SN_CHECK(sn_bytes_is(key, "input_ids") || sn_bytes_is(key, "attention_mask"), err, SN_EUNSUPPORTED,
                 "input %.*s of generate", (int)key.n, (const char *)key.at);
    }
    SN_TRY(config_of(c, call, &config, err));
    SN_CHECK(input_of(c, call, "input_ids", &ids), err, SN_EUNSUPPORTED, "generate without input_ids");
    SN_TRY(sn_model_generate(m, &ids, input_of(c, call, "attention_mask", &mask), config, &r, err));
    const SnStatus st = add_results(c, call, r, err);
    sn_results_destroy(r);
    return st;
}

SnStatus conform_generate(Conform *c, SnError *err)
{
    SnModel *m = NULL;
    const SnJson *calls = sn_json_get(c->spec, "calls");
    const char *folder = conform_string(c, sn_json_get(c->spec, "model"));
    SN_CHECK(folder, err, SN_EFORMAT, "%s/case.json: no model", c->dir);
    SnStatus st = conform_model(c, folder, c->dtype != SN_NODTYPE ? c->dtype : SN_F32, &m, err);
    for (uint32_t i = 0; st == SN_OK && calls && i < calls->n; i++)
        st = run_call(c, m, &calls->u.child[i], err);
    sn_model_close(m);
    return st;
}
