/* perplexity.c -- how surprised a decoder is by texts. */
#include "frontends/eval.h"
#include "frontends/model.h"

#include <math.h>

typedef struct Texts {
    SnModel *m;
    SnArena arena;
    const SnJson *list;
    bool starts;
    int64_t start; /* the id before each text */
} Texts;

static SnStatus read_start(Texts *t, SnError *err)
{
    SnJson *config = NULL;
    SnText text = {.memory = sn_allocator(t->m->ctx)};
    SnStatus st = sn_model_generation_config(t->m, NULL, &text, err);
    if (st == SN_OK)
        st = sn_json_parse(&t->arena, "generation config", sn_bytes(text.at, text.n), &config, err);
    if (st == SN_OK && !sn_json_int(sn_json_get(config, "bos_token_id"), &t->start))
        st = sn_fail(err, SN_EFORMAT, "%s: has no bos_token_id; add_start_token must be false", t->m->folder);
    sn_text_clear(&text);
    return st;
}

static SnStatus read_texts(Texts *t, const SnJson *input, SnError *err)
{
    const SnJson *starts = sn_json_get(input, "add_start_token");
    t->list = sn_json_get(input, "predictions");
    t->starts = true;
    SN_CHECK(t->list && t->list->kind == SN_JSON_ARRAY && t->list->n > 0, err, SN_EFORMAT,
             "perplexity: expected predictions, a list of texts");
    SN_CHECK(sn_json_is_null(starts) || sn_json_bool(starts, &t->starts), err, SN_EFORMAT,
             "perplexity: add_start_token is neither true nor false");
    return t->starts ? read_start(t, err) : SN_OK;
}

/* The mean negative log likelihood of a text's tokens but the first. */
static SnStatus loss_of(const Texts *t, uint32_t i, double *out, SnError *err)
{
    const SnTokenizeOptions o = {.struct_size = sizeof o, .no_special = true, .ids_only = true};
    static const char *const want[] = {"loss"};
    SnArena arena;
    SnBytes text = {0};
    SnEncoding *e = NULL;
    SnResults *r = NULL;
    SN_CHECK(sn_json_string(&t->list->u.child[i], &text), err, SN_EFORMAT,
             "perplexity: predictions[%u] is no text", i);
    sn_arena_init(&arena, sn_allocator(t->m->ctx));
    SnStatus st = sn_model_tokenize(t->m, &text, NULL, 1, &o, &arena, &e, err);
    const size_t n = st == SN_OK ? e->n + t->starts : 0;
    int64_t *ids = st == SN_OK ? sn_arena_array(&arena, n + 1, sizeof *ids) : NULL;
    if (st == SN_OK && !ids)
        st = sn_fail(err, SN_ENOMEM, "perplexity: no memory");
    if (st == SN_OK && n < 2)
        st = sn_fail(err, SN_EFORMAT, "perplexity: predictions[%u] has %zu tokens, at least 2 are needed", i,
                     n);
    if (st == SN_OK) {
        ids[0] = t->start;
        for (size_t k = 0; k < e->n; k++)
            ids[k + t->starts] = e->ids[k];
        const SnView v = sn_view(SN_I64, ids, 2, (const int64_t[]){1, (int64_t)n});
        st = sn_model_forward(t->m, (const SnNamedTensor[]){{"input_ids", v}, {"labels", v}}, 2, want, 1, &r,
                              err);
    }
    if (st == SN_OK)
        *out = (double)*(const float *)sn_results_find(r, "loss")->view.data;
    sn_results_destroy(r);
    sn_arena_clear(&arena);
    return st;
}

static SnStatus put_all(const Texts *t, SnText *json, SnError *err)
{
    double sum = 0, loss = 0;
    for (uint32_t i = 0; i < t->list->n; i++) {
        SN_TRY(loss_of(t, i, &loss, err));
        sn_text_printf(json, i ? ", " : "{\"perplexities\": [");
        sn_json_put_f64(json, exp(loss));
        sum += exp(loss);
    }
    sn_text_printf(json, "], \"mean_perplexity\": ");
    sn_json_put_f64(json, sum / t->list->n);
    sn_text_add(json, "}", 1);
    SN_CHECK(!json->failed, err, SN_ENOMEM, "perplexity: no memory");
    return SN_OK;
}

SnStatus sn_model_perplexity(SnModel *m, const SnJson *input, SnText *json, SnError *err)
{
    Texts t = {.m = m};
    const size_t begin = json->n;
    sn_arena_init(&t.arena, sn_allocator(m->ctx));
    SnStatus st = read_texts(&t, input, err);
    if (st == SN_OK)
        st = put_all(&t, json, err);
    if (st != SN_OK)
        json->n = begin;
    sn_arena_clear(&t.arena);
    return st;
}
