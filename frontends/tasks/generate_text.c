/* generate_text.c -- texts of tokens that come one after the other, and where a stop string ends them: a
 * program of tok_stream, whose hold is kept here between its runs. */
#include "frontends/tasks/generate.h"

#include <stdio.h>

#define MOST_STOPS 1024

/* ---- the program ---- */

static void fill(SnModel *m, SnGraph *g, SnModelProgram *p, void *user)
{
    const SnGenText *t = user;
    const SnValue held[] = {sn_const_int(g, SN_I64, 1), sn_const_int(g, SN_I64, SN_TOK_HOLD_SIZE)};
    const SnValue stops = sn_symbol(g, "stops", 1, MOST_STOPS);
    SnTextStream s = {.tok = sn_object(g, "tokenizer", "tokenizer", m->tokenizer),
                      .hold = sn_input(g, "hold", SN_U8, 2, held),
                      .stop = t->stop.ndim ? sn_input_list(g, "stop", SN_U8, 1, &stops) : sn_none(),
                      .keep_special = t->keep_special,
                      .keep_stop = t->keep_stop};
    (void)p;
    sn_text_stream(m, g, &s);
    sn_output(g, "text", s.text);
    sn_output(g, "next", s.next);
    sn_output(g, "hit", s.hit);
}

static SnStatus run(SnModel *m, SnGenText *t, const int32_t *ids, size_t n, int32_t end, SnResults **out,
                    SnError *err)
{
    SnModelProgram *p = NULL;
    char key[32];
    const int64_t dims[] = {1, (int64_t)n}, held[] = {1, SN_TOK_HOLD_SIZE};
    const SnNamedTensor in[] = {{"hold", sn_view(SN_U8, t->hold, 2, held)},
                                {"new", sn_view(SN_I32, (void *)(uintptr_t)ids, 2, dims)},
                                {"end", sn_view(SN_I32, &end, 1, dims)},
                                {"stop", t->stop}};
    (void)snprintf(key, sizeof key, "stream %d %d %d", t->keep_special, t->keep_stop, t->stop.ndim);
    SN_TRY(sn_text_need(m, err));
    SN_TRY(sn_model_program(m, key, fill, t, &p, err));
    SN_TRY(sn_model_run(m, p, in, SN_COUNT(in) - !t->stop.ndim, out, err));
    memcpy(t->hold, sn_results_find(*out, "next")->view.data, sizeof t->hold);
    return SN_OK;
}

/* ---- texts ---- */

SnStatus sn_gen_text_begin(SnGenText *t, const SnJson *stop, size_t nprompt, SnArena *arena, SnError *err)
{
    const uint32_t n = !stop ? 0 : stop->kind == SN_JSON_STRING ? 1 : stop->n;
    SnBytes *text = sn_arena_array(arena, (size_t)n + 1, sizeof *text);
    SN_CHECK(text, err, SN_ENOMEM, "no memory for stop strings");
    SN_CHECK(n <= MOST_STOPS, err, SN_EINVAL, "stop_strings: %u, at most %d", n, MOST_STOPS);
    for (uint32_t i = 0; i < n; i++)
        SN_CHECK(sn_json_string(stop->kind == SN_JSON_STRING ? stop : sn_json_at(stop, i), &text[i]) &&
                     text[i].n >= 1 && text[i].n <= SN_TOK_HOLD_TEXT,
                 err, SN_EINVAL, "stop_strings: expected strings of 1 to %d bytes", SN_TOK_HOLD_TEXT);
    t->upto = nprompt;
    return n ? sn_text_view(arena, text, n, &t->stop, err) : SN_OK;
}

SnStatus sn_gen_text(SnModel *m, SnGenText *t, const int32_t *ids, size_t n, bool is_last, SnText *out,
                     bool *hit, SnError *err)
{
    SnResults *r = NULL;
    if (!t->is_begun) {
        const size_t lead = t->upto < SN_TOK_LEAD ? t->upto : SN_TOK_LEAD;
        SN_TRY(run(m, t, ids + t->upto - lead, lead, -1, &r, err));
        sn_results_destroy(r);
        t->is_begun = true;
    }
    SN_TRY(run(m, t, ids + t->upto, n - t->upto, is_last, &r, err));
    const SnView *text = &sn_results_find(r, "text")->view;
    if (out)
        sn_text_add(out, (const char *)text->data + text->start[0], (size_t)text->len[0]);
    *hit = *(const int32_t *)sn_results_find(r, "hit")->view.data >= 0;
    t->upto = n;
    sn_results_destroy(r);
    SN_CHECK(!out || !out->failed, err, SN_ENOMEM, "no memory for text");
    return SN_OK;
}
