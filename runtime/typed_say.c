/* typed_say.c -- typed contexts that talk: messages in, answers out as they come.
 *
 * The conversation is a list of tokens: those of all messages and answers so far. A message is put between
 * the parts of the model's SnTypedChat, becomes tokens by the entry `tokens`, and joins the list; the driver
 * (runtime/lm.h) feeds what it does not know yet, and the entry `text` makes characters of the tokens that it
 * gives. All entries run on the driver's instance, one after the other. */
#include "runtime/typed_context.h"

#include "runtime/hostcall.h"

#include <stdio.h>

#define LEAD            16 /* tokens of a prompt that what follows joins (tok_stream) */
#define MOST_TEXT_BYTES ((size_t)1 << 30)

/* ---- life ---- */

static SnStatus reserve(SnTyped *t, const char *entry, const char *dim, size_t n, SnError *err)
{
    char shape[64];
    (void)snprintf(shape, sizeof shape, "%s=%zu", dim, n);
    SN_TRY(sn_entry(t->instance, entry, err));
    return sn_reserve(t->instance, shape, err);
}

static size_t longer(const char *a, const char *b)
{
    const size_t na = strlen(a), nb = strlen(b);
    return na > nb ? na : nb;
}

/* Bytes around a message, whether or not it is answered. */
static size_t frame_of(const SnTypedChat *c)
{
    const size_t now = longer(c->first, c->next) + strlen(c->answer);
    const size_t past = c->said ? longer(c->past_first, c->past_next) + strlen(c->said) : 0;
    return now > past ? now : past;
}

/* What tok_stream can give for so many tokens in all. */
static SnStatus text_size(const SnTyped *t, size_t *out, SnError *err)
{
    size_t n = 0;
    SN_CHECK(sn_mul_size((size_t)t->talk.context + 64, (size_t)t->desc->chat->token_size + 1, &n) &&
                 n < MOST_TEXT_BYTES,
             err, SN_EUNSUPPORTED, "%u tokens of up to %u bytes", t->talk.context, t->desc->chat->token_size);
    *out = n + 256;
    return SN_OK;
}

static SnStatus make_driver(SnTyped *t, const char *shape, SnError *err)
{
    SnTypedTalk *k = &t->talk;
    const int64_t asked = shape ? sn_shape_value(shape, "context") : -1;
    SN_CHECK(t->desc->chat && asked <= INT32_MAX && asked != 0, err, SN_EINVAL, "a shape of no conversation");
    k->context = asked > 0 ? (uint32_t)asked : t->desc->chat->context;
    k->slot = SN_LM_NONE;
    const SnLmDesc d = {.struct_size = sizeof d, .context = k->context};
    SN_TRY(sn_lm_create(t->program, &d, &k->lm, err));
    t->instance = sn_lm_instance(k->lm);
    return SN_OK;
}

SnStatus sn_typed_talk_create(SnTyped *t, const char *shape, SnError *err)
{
    SnTypedTalk *k = &t->talk;
    SnTypedText *x = &t->text[0];
    SN_TRY(make_driver(t, shape, err));
    SN_TRY(text_size(t, &k->size, err));
    for (int i = 0; i < (t->desc->chat->said ? 2 : 1); i++) {
        x[i].size = t->desc->max_text + frame_of(t->desc->chat);
        x[i].at = sn_alloc(&t->memory, x[i].size, 1);
        SN_CHECK(x[i].at, err, SN_ENOMEM, "no memory for a text of %zu bytes", x[i].size);
    }
    k->ids = sn_alloc(&t->memory, k->context * sizeof *k->ids, _Alignof(int32_t));
    k->text = sn_alloc(&t->memory, k->size, 1);
    SN_CHECK(k->ids && k->text, err, SN_ENOMEM, "no memory for a conversation of %u tokens", k->context);
    SN_TRY(reserve(t, "tokens", "text.size", x->size, err));
    SN_TRY(reserve(t, "text", "count", LEAD, err));
    t->is_planned = true;
    return SN_OK;
}

void sn_typed_talk_destroy(SnTyped *t)
{
    SnTypedTalk *k = &t->talk;
    if (!k->lm)
        return;
    sn_lm_destroy(k->lm);
    t->instance = NULL;
    sn_free(&t->memory, k->ids, k->context * sizeof *k->ids, _Alignof(int32_t));
    sn_free(&t->memory, k->text, k->size, 1);
}

/* ---- the conversation ---- */

static bool is_stop(const SnTypedChat *c, int32_t id)
{
    for (uint32_t i = 0; i < c->nstop; i++)
        if (c->stop[i] == id)
            return true;
    return false;
}

/* What was said joins the conversation. A run of it may be open: it gives nothing. */
static void end_answer(SnTyped *t)
{
    SnTypedTalk *k = &t->talk;
    if (k->slot == SN_LM_NONE)
        return;
    sn_lm_end(k->lm, k->slot);
    const SnLmInfo info = sn_lm_info(k->lm, k->slot);
    k->nid = info.nid;
    if (info.nid > info.nprompt && is_stop(t->desc->chat, info.ids[info.nid - 1]))
        k->nid--;
    memcpy(k->ids, info.ids, k->nid * sizeof *k->ids);
    sn_lm_drop(k->lm, k->slot);
    k->slot = SN_LM_NONE;
    k->answered = info.nprompt;
    if (k->nforgot > k->nid - k->answered)
        k->nforgot = k->nid - k->answered;
    k->nid -= k->nforgot;
    memmove(k->ids + k->answered, k->ids + k->answered + k->nforgot, (k->nid - k->answered) * sizeof *k->ids);
}

static bool is_space(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

static void put(SnTypedText *x, const char *s, size_t n)
{
    if (n)
        memcpy(x->at + x->n, s, n);
    x->n += (int64_t)n;
}

SnStatus sn_typed_talk_begin(SnTyped *t, const char *utf8, size_t n)
{
    const SnTypedChat *c = t->desc->chat;
    SnTypedTalk *k = &t->talk;
    SnTypedText *x = &t->text[0];
    size_t all;
    if (!utf8 && n)
        return sn_typed_fail(t, SN_EINVAL, "a text of %zu bytes at NULL", n);
    for (; c->trims && n && is_space(*utf8); n--)
        utf8++;
    while (c->trims && n && is_space(utf8[n - 1]))
        n--;
    if (!sn_add_size(n, frame_of(c), &all))
        return sn_typed_fail(t, SN_ESHAPE, "a text of %zu bytes", n);
    SN_TRY(sn_typed_room(t, x, all));
    end_answer(t);
    k->recalls = k->recalls || k->is_past;
    k->is_past = false;
    const char *before = k->nid ? c->next : c->first;
    x->n = 0;
    put(x, before, k->before = strlen(before));
    put(x, utf8, n);
    put(x, c->answer, strlen(c->answer));
    k->ntext = k->ntaken = k->thought = 0;
    k->nsaid = k->nforgot = 0;
    k->phase = SN_TYPED_HEARD;
    atomic_store(&k->is_cancelled, false);
    return SN_OK;
}

SnStatus sn_typed_forget(SnTyped *t)
{
    if (t->desc->kind != SN_TYPED_CHAT)
        return sn_typed_fail(t, SN_EINVAL, "this model keeps no conversation");
    end_answer(t);
    t->talk.nid = 0;
    t->talk.is_past = t->talk.recalls = false;
    t->talk.ntext = t->talk.ntaken = 0;
    t->talk.phase = SN_TYPED_SILENT;
    return SN_OK;
}

/* ---- text ---- */

/* Tokens to characters; end as tok_stream has it. *stops: an answer has said a stop string. */
static SnStatus add_text(SnTyped *t, const int32_t *id, uint32_t n, int32_t end, bool *stops, SnError *err)
{
    SnTypedTalk *k = &t->talk;
    SnView out = {0}, hit = {0};
    const SnView ids = sn_view(SN_I32, (void *)(uintptr_t)id, 2, (int64_t[]){1, n});
    const SnView ends = sn_view(SN_I32, &end, 1, (int64_t[]){1});
    SN_TRY(sn_entry(t->instance, "text", err));
    SN_TRY(sn_bind(t->instance, "new", &ids, err));
    SN_TRY(sn_bind(t->instance, "end", &ends, err));
    k->holds = true;
    SN_TRY(sn_run(t->instance, err));
    k->holds = end <= 0;
    if (!stops)
        return SN_OK;
    SN_TRY(sn_result(t->instance, "hit", &hit, err));
    *stops = *(const int32_t *)hit.data >= 0;
    SN_TRY(sn_result(t->instance, "text", &out, err));
    const size_t size = (size_t)out.len[0];
    SN_CHECK(size <= k->size - k->ntext, err, SN_ESHAPE, "an answer of more than %zu bytes", k->size);
    if (size)
        memcpy(k->text + k->ntext, (const char *)out.data + out.start[0], size);
    k->ntext += size;
    return SN_OK;
}

SnStatus sn_typed_text(SnTyped *t, const char **text, size_t *n)
{
    SnTypedTalk *k = &t->talk;
    if (t->desc->kind != SN_TYPED_CHAT || !text || !n)
        return sn_typed_fail(t, SN_EINVAL, text && n ? "this model says nothing" : "no place for the text");
    *text = k->text + k->ntaken;
    *n = k->ntext - k->ntaken;
    k->ntaken = k->ntext;
    return SN_OK;
}

/* ---- steps ---- */

static SnStatus begin_tokens(SnTyped *t, SnTypedPhase phase, SnError *err)
{
    SnTypedText *x = &t->text[phase == SN_TYPED_RECALLS];
    SnView v = sn_view(SN_U8, x->at, 1, (int64_t[]){1});
    v.start = &x->start;
    v.len = &x->n;
    v.child_count = x->n;
    t->instance->running = false; /* a text that was not read to its end is forgotten */
    SN_TRY(sn_entry(t->instance, "tokens", err));
    SN_TRY(sn_bind(t->instance, "text", &v, err));
    t->talk.phase = phase;
    return SN_OK;
}

/* The tokens of the last message that was answered, in the place of those that it had before. */
static SnStatus take_past(SnTyped *t, SnError *err)
{
    SnTypedTalk *k = &t->talk;
    const uint32_t answer = k->nid - k->answered;
    SnView ids = {0};
    SN_TRY(sn_result(t->instance, "ids", &ids, err));
    const uint64_t all = (uint64_t)k->turn + (uint64_t)ids.len[0] + answer;
    SN_CHECK(all < k->context, err, SN_ESHAPE, "a conversation of %llu tokens: there is room for %u",
             (unsigned long long)all, k->context);
    const uint32_t answered = (uint32_t)(all - answer);
    memmove(k->ids + answered, k->ids + k->answered, answer * sizeof *k->ids);
    memcpy(k->ids + k->turn, (const int32_t *)ids.data + ids.start[0], (answered - k->turn) * sizeof *k->ids);
    k->nid = (uint32_t)all;
    k->recalls = false;
    return begin_tokens(t, SN_TYPED_READS, err);
}

/* The tokens of the message behind those of the conversation: *n of all. */
static SnStatus take_tokens(SnTyped *t, uint32_t *n, SnError *err)
{
    const SnTypedChat *c = t->desc->chat;
    SnTypedTalk *k = &t->talk;
    SnView ids = {0};
    SN_TRY(sn_result(t->instance, "ids", &ids, err));
    const uint32_t before = k->nid ? k->nid : c->nbegin;
    const uint64_t all = (uint64_t)before + (uint64_t)ids.len[0];
    SN_CHECK(all < k->context, err, SN_ESHAPE,
             "a conversation of %llu tokens, and its answer: there is room for %u", (unsigned long long)all,
             k->context);
    if (k->nid == 0 && c->nbegin)
        memcpy(k->ids, c->begin, c->nbegin * sizeof *k->ids);
    if (ids.len[0])
        memcpy(k->ids + before, (const int32_t *)ids.data + ids.start[0],
               (size_t)ids.len[0] * sizeof *k->ids);
    *n = (uint32_t)all;
    return SN_OK;
}

/* The message as it stands once it is answered. */
static SnStatus keep_message(SnTyped *t)
{
    const SnTypedChat *c = t->desc->chat;
    const SnTypedText *now = &t->text[0];
    SnTypedText *past = &t->text[1];
    if (!c->said)
        return SN_OK;
    const char *before = t->talk.nid ? c->past_next : c->past_first;
    SN_TRY(sn_typed_room(t, past, now->size));
    past->n = 0;
    put(past, before, strlen(before));
    put(past, now->at + t->talk.before, (size_t)now->n - t->talk.before - strlen(c->answer));
    put(past, c->said, strlen(c->said));
    t->talk.turn = t->talk.nid;
    t->talk.is_past = true;
    return SN_OK;
}

/* The row of the answer, and what its first characters join. */
static SnStatus begin_answer(SnTyped *t, SnError *err)
{
    static const int32_t none = -1;
    const SnTypedChat *c = t->desc->chat;
    SnTypedTalk *k = &t->talk;
    SnLmNumber number[32];
    uint32_t n = 0;
    SN_TRY(take_tokens(t, &n, err));
    SN_CHECK(c->nnumber <= SN_COUNT(number), err, SN_EUNSUPPORTED, "%u numbers", c->nnumber);
    for (uint32_t i = 0; i < c->nnumber; i++)
        number[i] = (SnLmNumber){c->number[i], c->value[i]};
    const SnLmRow row = {.ids = k->ids,
                         .nid = n,
                         .max_new = c->max_new,
                         .stop = c->stop,
                         .nstop = c->nstop,
                         .number = number,
                         .nnumber = c->nnumber};
    if (k->holds)
        SN_TRY(add_text(t, &none, 1, 1, NULL, err));
    const uint32_t lead = n < LEAD ? n : LEAD;
    SN_TRY(add_text(t, k->ids + n - lead, lead, -1, NULL, err));
    SN_TRY(sn_lm_add(k->lm, &row, &k->slot, NULL, err));
    k->phase = SN_TYPED_SAYS;
    return keep_message(t);
}

/* How much of the answer is a thought, now that its text has grown from `from` bytes. */
static void note_thought(SnTypedTalk *k, uint32_t forgets, size_t from)
{
    static const char mark[] = "</think>";
    const size_t n = sizeof mark - 1;
    for (size_t at = k->ntext; forgets && at > from; at--)
        if (at >= n && memcmp(k->text + at - n, mark, n) == 0) {
            k->nforgot = k->nsaid;
            k->thought = at;
            break;
        }
    if (!k->nforgot || forgets != SN_TYPED_FORGETS_LINES || k->ntext == from)
        return;
    while (k->thought < k->ntext && k->text[k->thought] == '\n')
        k->thought++;
    if (k->thought == k->ntext)
        k->nforgot = k->nsaid;
}

static SnStatus take_token(SnTyped *t, SnError *err)
{
    SnTypedTalk *k = &t->talk;
    SnLmToken token;
    bool stops = false;
    while (k->phase == SN_TYPED_SAYS && sn_lm_token(k->lm, &token)) {
        const size_t ntext = k->ntext;
        SN_TRY(add_text(t, &token.id, 1, token.is_last, &stops, err));
        k->nsaid++;
        note_thought(k, t->desc->chat->forgets, ntext);
        if (token.is_last || stops)
            k->phase = SN_TYPED_SAID;
    }
    if (k->phase == SN_TYPED_SAID)
        end_answer(t);
    return SN_OK;
}

/* A run, or a part of it. */
static SnStatus run_some(SnTyped *t, uint64_t budget_ns, SnError *err)
{
    SnTypedTalk *k = &t->talk;
    bool done = false;
    SN_CHECK(!atomic_load(&k->is_cancelled), err, SN_ECANCELLED, "cancelled");
    switch (k->phase) {
    case SN_TYPED_HEARD:
        /* Nobody waits for a run of the answer before. */
        if (sn_lm_is_open(k->lm) && sn_lm_step(k->lm, budget_ns, &done, err) == SN_OK && !done)
            return SN_OK;
        return begin_tokens(t, k->recalls ? SN_TYPED_RECALLS : SN_TYPED_READS, err);
    case SN_TYPED_RECALLS:
        SN_TRY(sn_run_some(t->instance, budget_ns, &done, err));
        return done ? take_past(t, err) : SN_OK;
    case SN_TYPED_READS:
        SN_TRY(sn_run_some(t->instance, budget_ns, &done, err));
        return done ? begin_answer(t, err) : SN_OK;
    case SN_TYPED_SAYS:
        SN_TRY(sn_lm_step(k->lm, budget_ns, &done, err));
        return done ? take_token(t, err) : SN_OK;
    case SN_TYPED_SILENT:
    case SN_TYPED_SAID:
        break;
    }
    return SN_OK;
}

static SnStatus advance(SnTyped *t, uint64_t budget_ns)
{
    const SnStatus st = run_some(t, budget_ns, &t->err);
    if (st != SN_OK)
        t->talk.phase = SN_TYPED_SILENT;
    return st;
}

SnStatus sn_typed_talk_step(SnTyped *t, uint64_t budget_ns)
{
    SnTypedTalk *k = &t->talk;
    const uint64_t begin = sn_now_ns();
    uint64_t left = budget_ns;
    if (k->phase == SN_TYPED_SILENT)
        return sn_typed_fail(t, SN_EINVAL, "no message was begun");
    while (k->phase != SN_TYPED_SAID) {
        SN_TRY(advance(t, left));
        const uint64_t spent = sn_now_ns() - begin;
        if (budget_ns && spent >= budget_ns)
            break;
        left = budget_ns ? budget_ns - spent : 0;
    }
    return k->phase == SN_TYPED_SAID ? SN_OK : SN_TYPED_AGAIN;
}

/* ---- all in one call ---- */

SnStatus sn_typed_say(SnTyped *t, const char *utf8, size_t n, SnTypedSink *sink, void *user)
{
    SnTypedTalk *k = &t->talk;
    if (t->desc->kind != SN_TYPED_CHAT || !sink)
        return sn_typed_fail(t, SN_EINVAL, sink ? "this model says nothing" : "nobody takes the text");
    SN_TRY(sn_typed_talk_begin(t, utf8, n));
    while (k->phase != SN_TYPED_SAID) {
        const char *text = NULL;
        size_t size = 0;
        SN_TRY(advance(t, 0));
        SN_TRY(sn_typed_text(t, &text, &size));
        if (size && sink(user, text, size)) {
            end_answer(t);
            k->phase = SN_TYPED_SAID;
        }
    }
    return SN_OK;
}
