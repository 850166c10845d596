/* conform_peft.c -- cases of kind peft: a saved adapter beside its model, merged, and trained on. */
#include "tests/conform.h"

#include "frontends/peft.h"
#include "frontends/training.h"

#define MAX_INPUTS 64

/* Outputs of micro-batch 0 that the case asks for, under names with a prefix taken off. */
static SnStatus forward(Conform *c, SnModel *m, const SnNamedTensor *in, size_t nin, const char *const *want,
                        const char *const *as, size_t n, SnError *err)
{
    SnResults *r = NULL;
    if (n == 0)
        return SN_OK;
    SN_TRY(sn_model_forward(m, in, nin, want, n, &r, err));
    SnStatus st = SN_OK;
    for (size_t i = 0; st == SN_OK && i < n; i++) {
        SnView v = sn_results_find(r, want[i])->view;
        if (v.ndim == 0)
            v = sn_view(v.dtype, v.data, 1, (const int64_t[]){1});
        st = conform_add(c, as[i], &v, SN_F32, err);
    }
    sn_results_destroy(r);
    return st;
}

static SnStatus run(Conform *c, SnModel *m, SnAdapter *a, const SnJson *call, SnError *err)
{
    static const char *const plain[] = {"logits", "loss"}, *const base[] = {"base_logits"};
    const SnJson *outputs = sn_json_get(call, "outputs");
    SnNamedTensor in[MAX_INPUTS], one[MAX_INPUTS];
    size_t nin = 0, n = 0;
    SN_CHECK(outputs && outputs->kind == SN_JSON_OBJECT, err, SN_EFORMAT, "%s: no outputs", c->dir);
    const char **want = sn_arena_array(&c->arena, (size_t)outputs->n + 1, sizeof *want),
               **as = sn_arena_array(&c->arena, (size_t)outputs->n + 1, sizeof *as);
    SN_CHECK(want && as, err, SN_ENOMEM, "%s: no memory", c->dir);
    SN_TRY(conform_inputs(c, sn_json_get(call, "inputs"), in, &nin, err));
    conform_pick(in, nin, 0, 1, one);
    SN_TRY(forward(c, m, one, nin, plain, base, 1, err));
    sn_model_adapt(m, a, false);
    SN_TRY(forward(c, m, one, nin, plain, plain, 2, err));
    for (uint32_t i = 0; i < outputs->n; i++) {
        const SnBytes key = outputs->u.child[i].key;
        const char *name = sn_arena_strndup(&c->arena, (const char *)key.at, key.n);
        SN_CHECK(name, err, SN_ENOMEM, "%s: no memory", c->dir);
        if (strncmp(name, "merged", 6) != 0)
            continue;
        as[n] = name;
        want[n++] = strcmp(name, "merged_logits") == 0 ? "logits" : name;
    }
    sn_model_adapt(m, a, true);
    SN_TRY(forward(c, m, one, nin, want, as, n, err));
    sn_model_adapt(m, a, false);
    return sn_json_get(outputs, "losses") ? conform_steps(c, m, in, nin, err) : SN_OK;
}

SnStatus conform_peft(Conform *c, SnError *err)
{
    const SnJson *call = sn_json_at(sn_json_get(c->spec, "calls"), 0);
    const char *folder = conform_string(c, sn_json_get(c->spec, "model")),
               *own = conform_string(c, sn_json_get(c->spec, "adapter")), *path = NULL;
    SnModel *m = NULL;
    SnAdapter *a = NULL;
    SN_CHECK(folder && own && sn_json_is(sn_json_get(call, "op"), "adapter_forward_merge_train"), err,
             SN_EUNSUPPORTED, "calls other than adapter_forward_merge_train");
    SN_TRY(conform_path(c, own, &path, err));
    SN_TRY(conform_model(c, folder, c->dtype != SN_NODTYPE ? c->dtype : SN_F32, &m, err));
    SnStatus st = sn_adapter_open(m, path, &a, err);
    if (st == SN_OK)
        st = run(c, m, a, call, err);
    sn_adapter_close(a);
    sn_model_close(m);
    return st;
}
