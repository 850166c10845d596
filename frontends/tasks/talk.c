/* talk.c -- the program of a model that talks: the entries of the decoder, and between text and tokens
 * `tokens` and `text`. */
#include "frontends/tasks/talk.h"

#include "frontends/hf/chat_linear.h"
#include "frontends/tasks/generate.h"
#include "ops/ops.h"

#define USUAL_CONTEXT 2048
#define WORD_CACHE    (1 << 16) /* bytes: messages are short */

struct SnTalk {
    SnTypedChat chat;
    SnGenConfig config;
    SnGenProgram spec;
    SnGenText text; /* its stop strings */
    const char *number[SN_GEN_NUMBERS];
    double value[SN_GEN_NUMBERS];
};

/* ---- what is known before the graph ---- */

static SnStatus choose_context(const SnModel *m, const SnTaskProgram *t, uint32_t asked, uint32_t *out,
                               SnError *err)
{
    const uint32_t most = t->limit > 0 && t->limit < UINT32_MAX ? (uint32_t)t->limit : 0;
    SN_CHECK(!most || asked <= most, err, SN_ESHAPE, "%s: a context of %u tokens, the model has %u",
             m->folder, asked, most);
    *out = asked ? asked : most && most < USUAL_CONTEXT ? most : USUAL_CONTEXT;
    return SN_OK;
}

/* Tokens that the tokenizer puts before a text. */
static SnStatus find_begin(SnModel *m, SnArena *arena, SnTypedChat *c, SnError *err)
{
    const SnBytes text = sn_bytes_str("a");
    const SnTokenizeOptions with = {.struct_size = sizeof with},
                            without = {.struct_size = sizeof without, .no_special = true};
    SnEncoding *full = NULL, *bare = NULL;
    SN_TRY(sn_text_encode(m, &text, NULL, 1, &with, arena, &full, err));
    SN_TRY(sn_text_encode(m, &text, NULL, 1, &without, arena, &bare, err));
    const size_t n = full->n - bare->n;
    SN_CHECK(full->n >= bare->n && memcmp(full->ids + n, bare->ids, bare->n * sizeof *bare->ids) == 0, err,
             SN_EUNSUPPORTED, "%s: its tokenizer puts tokens behind texts", m->folder);
    c->begin = full->ids;
    c->nbegin = (uint32_t)n;
    return SN_OK;
}

static SnStatus read_config(SnModel *m, SnArena *arena, struct SnTalk *talk, SnError *err)
{
    SnGenConfig *g = &talk->config;
    SN_TRY(sn_gen_config(m, NULL, NULL, arena, g, err));
    SN_CHECK(g->num_beams == 1, err, SN_EUNSUPPORTED, "%s: ahead of time with beams", m->folder);
    SN_TRY(sn_gen_text_begin(&talk->text, g->stop, 0, arena, err));
    g->output_logits = g->output_scores = false;
    talk->spec = (SnGenProgram){.config = g};
    talk->chat.stop = g->end.at;
    talk->chat.nstop = g->end.n;
    talk->chat.max_new =
        g->max_new_tokens > 0 && g->max_new_tokens < INT32_MAX ? (uint32_t)g->max_new_tokens : 0;
    return SN_OK;
}

SnStatus sn_talk_open(SnModel *m, SnTaskProgram *t, uint32_t context, const char *system, SnArena *arena,
                      SnError *err)
{
    SnChatLinear form = {0};
    struct SnTalk *talk = sn_arena_alloc(arena, sizeof *talk);
    SN_CHECK(talk, err, SN_ENOMEM, "%s: no memory", m->folder);
    *talk = (struct SnTalk){.chat.token_size = sn_tokenizer_facts(m->tokenizer).token_size};
    SN_TRY(choose_context(m, t, context, &talk->chat.context, err));
    SN_TRY(sn_chat_linear(m, system, arena, &form, err));
    SN_CHECK(form.has || !system, err, SN_EINVAL, "%s: a system text, and no chat template", m->folder);
    talk->chat.first = form.first;
    talk->chat.next = form.next;
    talk->chat.answer = form.answer;
    talk->chat.past_first = form.past_first;
    talk->chat.past_next = form.past_next;
    talk->chat.said = form.said;
    talk->chat.forgets = form.forgets;
    talk->chat.trims = form.trims;
    if (!form.has)
        SN_TRY(find_begin(m, arena, &talk->chat, err));
    SN_TRY(read_config(m, arena, talk, err));
    t->talk = talk;
    return SN_OK;
}

/* ---- the graph ---- */

static void fill_tokens(SnModel *m, SnGraph *g, SnValue tok)
{
    const SnValue one = sn_const_int(g, SN_I64, 1);
    const SnAttr attr[] = {SN_INT("memo", WORD_CACHE)};
    sn_entry_begin(g, "tokens");
    const SnValue text = sn_input_list(g, "text", SN_U8, 1, &one);
    const SnValue in[] = {tok, text, sn_text_room(m, g, tok, text)};
    sn_output(g, "ids", sn_get(g, sn_op(g, "tok_encode", in, 3, attr, SN_COUNT(attr)), 0));
}

/* The stop strings as a list; none: sn_none(). */
static SnValue stop_list(SnGraph *g, const SnView *stop)
{
    if (!stop->ndim)
        return sn_none();
    return sn_list(g, sn_const_data(g, SN_I64, 1, stop->dims, stop->start),
                   sn_const_data(g, SN_I64, 1, stop->dims, stop->len),
                   sn_const_data(g, SN_U8, 1, &stop->child_count, stop->data));
}

static void fill_text(SnModel *m, SnGraph *g, SnValue tok, const SnView *stop)
{
    const SnValue held[] = {sn_const_int(g, SN_I64, 1), sn_const_int(g, SN_I64, SN_TOK_HOLD_SIZE)};
    sn_entry_begin(g, "text");
    SnTextStream s = {.tok = tok,
                      .hold = sn_carry(g, "hold", sn_broadcast(g, sn_const_int(g, SN_U8, 0), 2, held)),
                      .stop = stop_list(g, stop)};
    sn_text_stream(m, g, &s);
    sn_output(g, "text", s.text);
    sn_output(g, "hit", s.hit);
    sn_next(g, s.hold, s.next);
}

void sn_talk_fill(SnModel *m, SnGraph *g, SnModelProgram *p, void *user)
{
    struct SnTalk *talk = ((SnTaskProgram *)user)->talk;
    sn_gen_fill(m, g, p, &talk->spec);
    p->specialise = "batch=1; seq=1,*; wanted=1"; /* one conversation */
    const SnValue tok = sn_object(g, "tokenizer", "tokenizer", m->tokenizer);
    fill_tokens(m, g, tok);
    fill_text(m, g, tok, &talk->text.stop);
}

const SnTypedChat *sn_talk_chat(SnTaskProgram *t)
{
    SnLmNumber number[SN_GEN_NUMBERS];
    struct SnTalk *talk = t->talk;
    const uint32_t n =
        sn_gen_numbers(&talk->config, talk->spec.number, talk->spec.nnumber, talk->config.seed, number);
    for (uint32_t i = 0; i < n; i++) {
        talk->number[i] = number[i].name;
        talk->value[i] = number[i].value;
    }
    talk->chat.number = talk->number;
    talk->chat.value = talk->value;
    talk->chat.nnumber = n;
    if (t->limit > 0 && t->limit < talk->chat.context)
        talk->chat.context = (uint32_t)t->limit;
    return &talk->chat;
}
