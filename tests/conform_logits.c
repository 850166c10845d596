/* conform_logits.c -- cases of kind logits: processors as functions of (input_ids, scores). */
#include "tests/conform.h"

#include <stdio.h>

/* "NAME", or "NAME[:, :N]": its first N columns; aligned, as the file need not be. */
static SnStatus read_matrix(Conform *c, const char *text, SnView *out, SnError *err)
{
    long long n = -1;
    const size_t at = strcspn(text, "[");
    const char *name = sn_arena_strndup(&c->arena, text, at);
    const SnStTensor *t = name ? sn_safetensors_find(&c->input, name) : NULL;
    SN_CHECK(t && t->dtype != SN_NODTYPE && t->ndim == 2, err, SN_EFORMAT, "%s: no matrix %s", c->dir, text);
    if (text[at])
        SN_CHECK(sscanf(text + at, "[:, :%lld]", &n) == 1 && n > 0 && n <= t->dims[1], err, SN_EUNSUPPORTED,
                 "inputs like %s", text);
    const int64_t dims[] = {t->dims[0], n > 0 ? n : t->dims[1]};
    const size_t size = sn_dtype_size(t->dtype), from = (size_t)t->dims[1] * size,
                 to = (size_t)dims[1] * size;
    uint8_t *data = sn_arena_array(&c->arena, (size_t)dims[0] + 1, to + 1);
    SN_CHECK(data, err, SN_ENOMEM, "%s: no memory", c->dir);
    for (size_t i = 0; i < (size_t)dims[0]; i++)
        memcpy(data + i * to, t->bytes.at + i * from, to);
    *out = sn_view(t->dtype, data, 2, dims);
    return SN_OK;
}

static SnStatus run_call(Conform *c, const SnJson *call, SnError *err)
{
    SnView ids, scores;
    SnResults *r = NULL;
    const SnJson *inputs = sn_json_get(call, "inputs"), *outputs = sn_json_get(call, "outputs");
    const char *in[] = {conform_string(c, sn_json_get(inputs, "input_ids")),
                        conform_string(c, sn_json_get(inputs, "scores"))};
    SnJson one = *call; /* a call without a chain is its only processor */
    const SnJson alone = {.kind = SN_JSON_ARRAY, .n = 1, .u.child = &one};
    const SnJson *chain = sn_json_get(call, "chain");
    SN_CHECK(in[0] && in[1] && outputs, err, SN_EFORMAT, "%s: a call without tensors", c->dir);
    SN_CHECK(!c->so_dir, err, SN_EUNSUPPORTED, "processors by themselves in shared objects");
    SN_TRY(read_matrix(c, in[0], &ids, err));
    SN_TRY(read_matrix(c, in[1], &scores, err));
    SN_TRY(sn_logits_process(c->cc, strcmp(c->device, "auto") == 0 ? NULL : c->device, chain ? chain : &alone,
                             &ids, &scores, &r, err));
    SnStatus st = SN_OK;
    for (uint32_t i = 0; st == SN_OK && i < outputs->n; i++) {
        const SnJson *o = &outputs->u.child[i];
        const char *tensor = conform_string(c, sn_json_get(o, "tensor"));
        const char *name = sn_arena_strndup(&c->arena, (const char *)o->key.at, o->key.n);
        const SnNamedTensor *t = name ? sn_results_find(r, name) : NULL;
        st = tensor && t ? conform_add(c, tensor, &t->view, SN_F32, err)
                         : sn_fail(err, SN_EFORMAT, "%s: output %u is unknown", c->dir, i);
    }
    sn_results_destroy(r);
    return st;
}

SnStatus conform_logits(Conform *c, SnError *err)
{
    const SnJson *calls = sn_json_get(c->spec, "calls");
    for (uint32_t i = 0; calls && i < calls->n; i++)
        SN_TRY(run_call(c, sn_json_at(calls, i), err));
    return SN_OK;
}
