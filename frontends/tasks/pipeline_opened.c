/* pipeline_opened.c -- programs that were compiled ahead of time, in the place of pipelines: what they give,
 * as the reference's pipelines print it. */
#include "frontends/tasks/pipeline.h"

SnStatus sn_pipe_opened_run(SnPipe *p, SnBytes text, const SnBytes *pair, SnResults **out, SnError *err)
{
    SnNamedTensor in[2] = {{.name = "text"}, {.name = "pair"}};
    const bool takes_pair = p->m->opened->program->typed->has_pair;
    SN_CHECK(takes_pair == (pair != NULL), err, SN_EINVAL, "%s: takes %s", p->m->folder,
             takes_pair ? "two texts" : "one text");
    SN_TRY(sn_text_view(&p->arena, &text, 1, &in[0].view, err));
    if (pair)
        SN_TRY(sn_text_view(&p->arena, pair, 1, &in[1].view, err));
    return sn_model_run(p->m, p->m->opened, in, pair ? 2 : 1, out, err);
}

SnStatus sn_pipe_opened_scores(SnPipe *p, const SnBytes *text, const SnBytes *pair, size_t n, SnPipeRow **out,
                               SnError *err)
{
    *out = sn_arena_array(&p->arena, n, sizeof **out);
    SN_CHECK(*out, err, SN_ENOMEM, "%s: no memory for scores", p->task);
    for (size_t i = 0; i < n; i++) {
        SnResults *r = NULL;
        SN_TRY(sn_pipe_opened_run(p, text[i], pair[i].at ? &pair[i] : NULL, &r, err));
        const SnView *v = &sn_results_find(r, "scores")->view;
        const size_t width = (size_t)v->dims[1];
        float *score = sn_arena_array(&p->arena, width, sizeof *score);
        if (score)
            memcpy(score, v->data, width * sizeof *score);
        (*out)[i] = (SnPipeRow){score, 1, width};
        sn_results_destroy(r);
        SN_CHECK(score, err, SN_ENOMEM, "%s: no memory for scores", p->task);
    }
    return SN_OK;
}

/* ---- windows ---- */

static const int32_t *copy_row(SnPipe *p, const SnResults *r, const char *name, size_t i, size_t *n)
{
    const SnView *v = &sn_results_find(r, name)->view;
    *n = (size_t)v->len[i];
    int32_t *out = sn_arena_array(&p->arena, *n + 1, sizeof *out);
    if (out && *n)
        memcpy(out, (const int32_t *)v->data + v->start[i], *n * sizeof *out);
    return out;
}

/* Window i and its logits. */
static SnStatus answer_window(SnPipe *p, const SnResults *r, size_t i, SnEncoding *e, SnPipeRow row[2],
                              SnError *err)
{
    static const char *const name[] = {"start", "end"};
    size_t n;
    e->ids = copy_row(p, r, "ids", i, &e->n);
    e->word_ids = copy_row(p, r, "word_ids", i, &n);
    e->sequence_ids = copy_row(p, r, "sequence", i, &n);
    e->offsets = copy_row(p, r, "offsets", i, &n);
    for (int k = 0; k < 2; k++) {
        const SnView *v = &sn_results_find(r, name[k])->view;
        float *x = sn_arena_array(&p->arena, e->n + 1, sizeof *x);
        if (x)
            memcpy(x, (const float *)v->data + i * (size_t)v->dims[1], e->n * sizeof *x);
        row[k] = (SnPipeRow){x, e->n, 1};
    }
    SN_CHECK(!p->arena.failed, err, SN_ENOMEM, "%s: no memory for tokens", p->task);
    return SN_OK;
}

SnStatus sn_pipe_opened_answer(SnPipe *p, SnBytes question, SnBytes context, SnEncoding **out,
                               SnPipeRow **row, size_t *n, SnError *err)
{
    SnResults *r = NULL;
    SN_TRY(sn_pipe_opened_run(p, question, &context, &r, err));
    *n = (size_t)sn_results_find(r, "start")->view.dims[0];
    *out = sn_arena_array(&p->arena, *n + 1, sizeof **out);
    *row = sn_arena_array(&p->arena, 2 * *n + 1, sizeof **row);
    SnStatus st = *out && *row ? SN_OK : sn_fail(err, SN_ENOMEM, "%s: no memory for windows", p->task);
    for (size_t i = 0; st == SN_OK && i < *n; i++)
        st = answer_window(p, r, i, &(*out)[i], *row + 2 * i, err);
    sn_results_destroy(r);
    return st;
}

/* ---- vectors ---- */

SnStatus sn_pipe_embed(SnPipe *p, SnError *err)
{
    SnBytes *text = NULL;
    SnResults *r = NULL;
    size_t n = 0;
    SN_TRY(sn_pipe_texts(p, &text, &n, err));
    SN_TRY(sn_model_embed(p->m, text, n, &r, err));
    const SnView *v = &sn_results_get(r, 0)->view;
    for (int64_t i = 0; i < v->dims[0]; i++)
        for (int64_t k = 0; k < v->dims[1]; k++) {
            sn_text_printf(p->out, "%s", k ? ", " : i ? "], [" : "[[");
            sn_json_put_f64(p->out, (double)((const float *)v->data)[i * v->dims[1] + k]);
        }
    sn_text_printf(p->out, "]]");
    sn_results_destroy(r);
    return SN_OK;
}

/* ---- fill-mask ---- */

/* The text with a token in the place of the first mask, as the tokenizer's decoder puts it. */
static SnStatus put_sequence(SnPipe *p, SnBytes text, SnBytes mask, SnBytes token, SnError *err)
{
    const SnTokTable *table = (const SnTokTable *)(const void *)p->m->tokenizer.at;
    size_t at = 0;
    while (at + mask.n < text.n && memcmp(text.at + at, mask.at, mask.n) != 0)
        at++;
    size_t before = at;
    while (before > 0 && text.at[before - 1] == ' ')
        before--;
    const size_t room = 4 * token.n + 2;
    uint8_t *out = sn_arena_alloc(&p->arena, text.n + room);
    void *work = sn_arena_alloc(&p->arena, SN_TOK_SPELL_WORK(room));
    SN_CHECK(out && work, err, SN_ENOMEM, "%s: no memory for a text", p->task);
    const SnBytes s = sn_tok_spelled(table, token, before == 0, work, room);
    SN_CHECK(s.at, err, SN_EUNSUPPORTED, "%s: the tokenizer's decoder", p->m->folder);
    memcpy(out, text.at, before);
    memcpy(out + before, s.at, s.n);
    const size_t n = before + s.n;
    const size_t rest = text.n - (at + mask.n < text.n ? at + mask.n : text.n);
    memcpy(out + n, text.at + text.n - rest, rest);
    sn_json_put_string(p->out, sn_bytes(out, n + rest));
    return SN_OK;
}

static SnStatus fill_text(SnPipe *p, SnBytes text, SnError *err)
{
    const SnTokenizerFacts f = sn_tokenizer_facts(p->m->tokenizer);
    const SnBytes mask = sn_tokenizer_text(p->m->tokenizer, f.name[SN_TOK_MASK]);
    SnResults *r = NULL;
    SN_TRY(sn_pipe_opened_run(p, text, NULL, &r, err));
    const int32_t *id = sn_results_find(r, "ids")->view.data;
    const float *score = sn_results_find(r, "scores")->view.data;
    const int64_t n = sn_results_find(r, "ids")->view.dims[1],
                  masks = *(const int64_t *)sn_results_find(r, "masks")->view.data;
    SnStatus st = masks == 1 ? SN_OK
                             : sn_fail(err, SN_EINVAL, "%s: a text with %lld of %.*s, expected one", p->task,
                                       (long long)masks, (int)mask.n, (const char *)mask.at);
    sn_text_add(p->out, "[", 1);
    for (int64_t i = 0; st == SN_OK && i < n; i++) {
        const SnBytes token = sn_tokenizer_text(p->m->tokenizer, (uint32_t)id[i]);
        sn_text_printf(p->out, "%s{\"score\": ", i ? ", " : "");
        sn_json_put_f64(p->out, (double)score[i]);
        sn_text_printf(p->out, ", \"token\": %d, \"token_str\": ", id[i]);
        sn_json_put_string(p->out, token);
        sn_text_printf(p->out, ", \"sequence\": ");
        st = put_sequence(p, text, mask, token, err);
        sn_text_add(p->out, "}", 1);
    }
    sn_text_add(p->out, "]", 1);
    sn_results_destroy(r);
    return st;
}

SnStatus sn_pipe_opened_fill(SnPipe *p, SnError *err)
{
    SnBytes *text = NULL;
    size_t n = 0;
    SN_TRY(sn_pipe_texts(p, &text, &n, err));
    sn_text_add(p->out, "[", n > 1 ? 1 : 0);
    for (size_t i = 0; i < n; i++) {
        sn_text_add(p->out, ", ", i ? 2 : 0);
        SN_TRY(fill_text(p, text[i], err));
    }
    sn_text_add(p->out, "]", n > 1 ? 1 : 0);
    return SN_OK;
}

/* ---- text-generation ---- */

static int take_text(void *user, const char *text, size_t n)
{
    sn_text_add(user, text, n);
    return 0;
}

/* A text, or a conversation of one message; *message: what is said. */
static SnStatus read_message(SnPipe *p, const SnJson *input, bool *is_chat, SnBytes *message, SnError *err)
{
    const SnJson *only = input->kind == SN_JSON_ARRAY && input->n == 1 ? &input->u.child[0] : NULL;
    *is_chat = sn_json_is(sn_json_get(only, "role"), "user");
    SN_CHECK(sn_json_string(*is_chat ? sn_json_get(only, "content") : input, message), err, SN_EUNSUPPORTED,
             "%s: compiled, takes a text, or a list of one message of the user", p->m->folder);
    return SN_OK;
}

SnStatus sn_pipe_opened_say(SnPipe *p, SnError *err)
{
    bool is_chat = false, is_full = true;
    SnBytes message;
    SnText text = {.memory = p->arena.memory};
    const SnTypedChat *chat = p->m->opened->program->typed->chat;
    SN_TRY(sn_pipe_bool(p, "return_full_text", &is_full, err));
    SN_TRY(read_message(p, p->input, &is_chat, &message, err));
    if (is_full && !is_chat && !*chat->answer) /* it goes on with the text */
        sn_text_add(&text, (const char *)message.at, message.n);
    SnStatus st = sn_model_forget(p->m, err);
    if (st == SN_OK)
        st = sn_model_say(p->m, message, take_text, &text, err);
    const bool has_messages = is_full && is_chat;
    sn_text_printf(p->out, "[{\"generated_text\": ");
    if (has_messages) {
        sn_text_add(p->out, "[", 1);
        sn_json_put(p->out, sn_json_at(p->input, 0));
        sn_text_printf(p->out, ", {\"role\": \"assistant\", \"content\": ");
    }
    sn_json_put_string(p->out, sn_bytes(text.at ? text.at : "", text.n));
    sn_text_printf(p->out, has_messages ? "}]}]" : "}]");
    p->out->failed = p->out->failed || text.failed;
    sn_text_clear(&text);
    return st;
}
