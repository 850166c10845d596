/* gradients.c -- a head whose loss is differentiated: it is built inside of a function of its parameters. */
#include "frontends/model.h"

#define PREFIX "grad."

static const char *gradient_of(const char *want)
{
    const size_t n = strlen(PREFIX);
    return strncmp(want, PREFIX, n) == 0 ? want + n : NULL;
}

bool sn_wants_gradients(const char *const *want, size_t n)
{
    bool has = false;
    for (size_t i = 0; i < n && !has; i++)
        has = gradient_of(want[i]) != NULL;
    return has;
}

/* tuple(loss, outputs..) */
static SnValue results_of(SnModel *m, SnGraph *g, const SnNamedValues *out)
{
    const SnValue loss = sn_named_value(out->at, out->n, "loss");
    SnValue *all = sn_arena_array(&m->arena, out->n + 1, sizeof *all);
    if (!all || !loss.ref)
        return sn_graph_fail(g, all ? SN_EINVAL : SN_ENOMEM,
                             all ? "%s: gradients need labels" : "%s: no memory", m->folder);
    all[0] = loss;
    for (size_t i = 0; i < out->n; i++)
        all[1 + i] = out->at[i].value;
    return sn_tuple(g, (int)out->n + 1, all, NULL);
}

/* The outputs of the function, and the gradients that are wanted, as outputs of the part. */
static void name_results(SnModel *m, SnGraph *g, SnModelPart *part, SnValue y, const SnNamedValues *leaf,
                         const char *const *want, size_t nwant)
{
    const SnAllocator *memory = sn_allocator(m->ctx);
    const SnValue result = sn_get(g, y, 0), d = sn_get(g, y, 1);
    for (size_t i = 0; i < part->out.n; i++)
        part->out.at[i].value = sn_get(g, result, (int)i + 1);
    for (size_t w = 0; w < nwant; w++) {
        const char *name = gradient_of(want[w]);
        const bool is_all = name && strcmp(name, "*") == 0;
        bool found = !name;
        for (size_t i = 0; name && i < leaf->n; i++) {
            if (!is_all && strcmp(leaf->at[i].name, name) != 0)
                continue;
            const char *full = sn_arena_printf(&m->arena, PREFIX "%s", leaf->at[i].name);
            found = full && sn_vec_push(memory, &part->out, (SnNamedValue){full, sn_get(g, d, (int)i)});
        }
        if (!found)
            sn_graph_fail(g, SN_EUNSUPPORTED, "%s: the loss reads no parameter %s", m->folder, name);
    }
}

void sn_model_build_gradients(SnModel *m, SnGraph *g, SnModelPart *part)
{
    const char *const *want = part->want;
    const size_t nwant = part->nwant;
    SnTrained trained = {0};
    const char **plain = sn_arena_array(&m->arena, nwant + 1, sizeof *plain);
    SnValue *wrt = NULL;
    if (!plain) {
        sn_graph_fail(g, SN_ENOMEM, "%s: no memory", m->folder);
        return;
    }
    size_t n = 0;
    plain[n++] = "loss";
    for (size_t i = 0; i < nwant; i++)
        if (!gradient_of(want[i]) && strcmp(want[i], plain[0]) != 0)
            plain[n++] = want[i];
    part->want = plain;
    part->nwant = n;
    part->trained = &trained;
    sn_fn_begin(g, "loss");
    sn_model_build(m, g, part);
    const SnValue fn = sn_fn_end(g, results_of(m, g, &part->out));
    wrt = sn_arena_array(&m->arena, trained.leaf.n + 1, sizeof *wrt);
    for (size_t i = 0; wrt && i < trained.leaf.n; i++)
        wrt[i] = trained.leaf.at[i].value;
    if (wrt)
        name_results(m, g, part, sn_grad(g, fn, 0, NULL, (int)trained.leaf.n, wrt), &trained.leaf, want,
                     nwant);
    else
        sn_graph_fail(g, SN_ENOMEM, "%s: no memory", m->folder);
    part->trained = NULL;
    sn_trained_clear(&trained, sn_allocator(m->ctx));
}
