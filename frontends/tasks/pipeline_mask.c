/* pipeline_mask.c -- fill-mask: the likeliest tokens at each mask. */
#include "frontends/tasks/pipeline.h"

typedef struct Mask {
    int64_t top_k;
    const int32_t *target; /* NULL: every token */
    size_t ntarget;
    uint32_t mask, pad; /* ids; pad may be SN_TOK_NONE */
} Mask;

/* ---- targets ---- */

/* The id of a token; of a text that is none the token that is left when it is cut to one. */
static SnStatus find_target(SnPipe *p, SnBytes target, int32_t *id, bool *found, SnError *err)
{
    static const SnTokenizeOptions plain = {.struct_size = sizeof plain, .no_special = true};
    SnEncoding *e = NULL;
    const uint32_t token = sn_tokenizer_id(p->m->tokenizer, target);
    *found = token != SN_TOK_NONE;
    *id = *found ? (int32_t)token : 0;
    if (*found)
        return SN_OK;
    SN_TRY(sn_pipe_encode(p, &target, NULL, 1, &plain, &e, err));
    *found = e->n > 0;
    *id = !*found ? 0 : e->ids[p->tokenizer.cuts_left ? e->n - 1 : 0];
    sn_log_write(p->m->ctx, SN_LOG_WARN, "fill-mask: target %.*s is not in the vocabulary: %s",
                 sn_pipe_shown(target), (const char *)target.at,
                 *found ? "one of its tokens is taken" : "left out");
    return SN_OK;
}

static SnStatus read_targets(SnPipe *p, Mask *k, SnError *err)
{
    const SnJson *v = sn_pipe_arg(p, "targets");
    if (!v)
        return SN_OK;
    const bool is_list = v->kind == SN_JSON_ARRAY;
    const size_t n = is_list ? v->n : 1;
    int32_t *id = sn_arena_array(&p->arena, n + 1, sizeof *id);
    SN_CHECK(id, err, SN_ENOMEM, "%s: no memory for %zu targets", p->task, n);
    for (size_t i = 0; i < n; i++) {
        SnBytes target;
        bool found = false;
        SN_TRY(sn_pipe_text(p, is_list ? &v->u.child[i] : v, "a target", &target, err));
        SN_TRY(find_target(p, target, &id[k->ntarget], &found, err));
        for (size_t j = 0; found && j < k->ntarget; j++)
            found = id[j] != id[k->ntarget];
        k->ntarget += found;
    }
    SN_CHECK(k->ntarget, err, SN_EINVAL, "%s: none of the targets is a token", p->task);
    k->target = id;
    return SN_OK;
}

/* ---- results ---- */

static size_t replace_all(char *text, size_t n, const char *from, const char *to)
{
    const size_t nfrom = strlen(from), nto = strlen(to);
    size_t out = 0;
    for (size_t i = 0; i < n;) {
        const bool hit = n - i >= nfrom && memcmp(text + i, from, nfrom) == 0;
        if (hit)
            memcpy(text + out, to, nto);
        else
            text[out] = text[i];
        out += hit ? nto : 1;
        i += hit ? nfrom : 1;
    }
    return out;
}

/* As the reference cleans up what a tokenizer with clean_up_tokenization_spaces decodes. */
static void clean_up(SnText *t)
{
    static const char *const pair[][2] = {{" .", "."},     {" ?", "?"},     {" !", "!"},   {" ,", ","},
                                          {" ' ", "'"},    {" n't", "n't"}, {" 'm", "'m"}, {" 's", "'s"},
                                          {" 've", "'ve"}, {" 're", "'re"}};
    for (size_t i = 0; t->at && i < SN_COUNT(pair); i++)
        t->n = replace_all(t->at, t->n, pair[i][0], pair[i][1]);
}

SnStatus sn_pipe_decode(SnPipe *p, const int64_t *id, size_t n, bool skip_special, SnText *out, SnError *err)
{
    SnText t = {.memory = p->arena.memory};
    const SnStatus st = sn_model_decode(p->m, id, n, skip_special, &t, err);
    if (st == SN_OK && p->tokenizer.cleans_up)
        clean_up(&t);
    if (st == SN_OK)
        sn_text_add(out, t.at ? t.at : "", t.n);
    sn_text_clear(&t);
    return st;
}

static SnStatus put_decoded(SnPipe *p, const int64_t *id, size_t n, bool skip_special, SnError *err)
{
    SnText t = {.memory = p->arena.memory};
    const SnStatus st = sn_pipe_decode(p, id, n, skip_special, &t, err);
    if (st == SN_OK)
        sn_json_put_string(p->out, sn_bytes(t.at ? t.at : "", t.n));
    sn_text_clear(&t);
    return st;
}

/* One token in the place of a mask; the text is read without padding. */
static SnStatus put_token(SnPipe *p, const Mask *k, const SnEncoding *e, size_t place, bool is_only,
                          int32_t token, float score, SnError *err)
{
    size_t n = 0;
    const int64_t single = token;
    int64_t *id = sn_arena_array(&p->arena, e->n, sizeof *id);
    SN_CHECK(id, err, SN_ENOMEM, "%s: no memory for tokens", p->task);
    for (size_t i = 0; i < e->n; i++) {
        id[n] = i == place ? token : e->ids[i];
        n += id[n] != (int64_t)k->pad;
    }
    sn_text_printf(p->out, "{\"score\": ");
    sn_json_put_f64(p->out, (double)score);
    sn_text_printf(p->out, ", \"token\": %d, \"token_str\": ", token);
    SN_TRY(put_decoded(p, &single, 1, false, err));
    sn_text_printf(p->out, ", \"sequence\": ");
    SN_TRY(put_decoded(p, id, n, is_only, err));
    sn_text_add(p->out, "}", 1);
    return SN_OK;
}

static SnStatus put_mask(SnPipe *p, const Mask *k, const SnEncoding *e, size_t place, bool is_only,
                         const float *logits, size_t nvocab, SnError *err)
{
    const size_t n = k->target ? k->ntarget : nvocab;
    float *prob = sn_arena_array(&p->arena, nvocab, sizeof *prob), *score = prob;
    SN_CHECK(prob, err, SN_ENOMEM, "%s: no memory for scores", p->task);
    sn_pipe_softmax(logits, prob, nvocab);
    if (k->target) {
        score = sn_arena_array(&p->arena, n, sizeof *score);
        for (size_t i = 0; score && i < n; i++) {
            SN_CHECK((size_t)k->target[i] < nvocab, err, SN_EINVAL, "%s: target %d of %zu tokens", p->task,
                     k->target[i], nvocab);
            score[i] = prob[k->target[i]];
        }
    }
    const size_t *order = score ? sn_pipe_rank(&p->arena, score, n) : NULL;
    SN_CHECK(order, err, SN_ENOMEM, "%s: no memory for scores", p->task);
    const size_t top = k->target && n < (size_t)k->top_k ? n : (size_t)k->top_k;
    SN_CHECK(top <= n, err, SN_EINVAL, "%s: top_k is %zu, there are %zu tokens", p->task, top, n);
    sn_text_add(p->out, "[", 1);
    for (size_t i = 0; i < top; i++) {
        const int32_t token = k->target ? k->target[order[i]] : (int32_t)order[i];
        sn_text_add(p->out, ", ", i ? 2 : 0);
        SN_TRY(put_token(p, k, e, place, is_only, token, score[order[i]], err));
    }
    sn_text_add(p->out, "]", 1);
    return SN_OK;
}

static SnStatus put_text(SnPipe *p, const Mask *k, const SnEncoding *e, const SnPipeRow *row, SnError *err)
{
    const bool is_only = row->n == 1;
    size_t nth = 0;
    sn_text_add(p->out, "[", is_only ? 0 : 1);
    for (size_t i = 0; i < e->n; i++) {
        if (e->ids[i] != (int32_t)k->mask)
            continue;
        sn_text_add(p->out, ", ", nth ? 2 : 0);
        SN_TRY(put_mask(p, k, e, i, is_only, row->at + nth++ * row->width, row->width, err));
    }
    sn_text_add(p->out, "]", is_only ? 0 : 1);
    return SN_OK;
}

SnStatus sn_pipe_fill_mask(SnPipe *p, SnError *err)
{
    static const char *const want[] = {"logits"};
    SnTokenizeOptions o = {.struct_size = sizeof o};
    const SnTokenizerFacts f = sn_tokenizer_facts(p->m->tokenizer);
    Mask k = {.top_k = 5, .mask = f.name[SN_TOK_MASK], .pad = f.name[SN_TOK_PAD]};
    SnBytes *text = NULL;
    SnEncoding *e = NULL;
    size_t n = 0;
    SN_CHECK(k.mask != SN_TOK_NONE, err, SN_EINVAL, "%s: the tokenizer has no mask token", p->m->folder);
    SN_TRY(sn_pipe_int(p, "top_k", 0, &k.top_k, err));
    SN_TRY(read_targets(p, &k, err));
    SN_TRY(sn_pipe_tokenizer_args(p, sn_pipe_arg(p, "tokenizer_kwargs"), "", &o, err));
    SN_TRY(sn_pipe_texts(p, &text, &n, err));
    SN_TRY(sn_pipe_encode(p, text, NULL, n, &o, &e, err));
    sn_text_add(p->out, "[", n > 1 ? 1 : 0);
    for (size_t i = 0; i < n; i++) {
        SnPipeRow *row = NULL;
        size_t nmask = 0;
        for (size_t j = 0; j < e[i].n; j++)
            nmask += e[i].ids[j] == (int32_t)k.mask;
        const SnBytes name = sn_tokenizer_text(p->m->tokenizer, k.mask);
        SN_CHECK(nmask, err, SN_EINVAL, "%s: no %.*s in input %zu", p->task, (int)name.n,
                 (const char *)name.at, i);
        SN_TRY(sn_pipe_forward(p, (const SnEncoding *[]){&e[i]}, 1, want, 1, k.mask, &row, err));
        sn_text_add(p->out, ", ", i ? 2 : 0);
        SN_TRY(put_text(p, &k, &e[i], row, err));
    }
    sn_text_add(p->out, "]", n > 1 ? 1 : 0);
    return SN_OK;
}
