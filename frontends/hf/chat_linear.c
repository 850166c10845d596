/* chat_linear.c -- a chat template as constant text around messages, for programs that have no templates:
 * found by rendering messages that occur nowhere else, and checked with other ones. */
#include "frontends/hf/chat_linear.h"

#define MOST_TEXTS 5

typedef struct Form {
    SnModel *m;
    const char *system;
    SnArena *arena;
    SnChatLinear *out; /* its past parts are not NULL */
    SnError *err;
} Form;

static SnStatus no_memory(const Form *f)
{
    return sn_fail(f->err, SN_ENOMEM, "%s: no memory for a chat", f->m->folder);
}

/* ---- rendering ---- */

static SnJson string(const char *key, const char *text)
{
    return (SnJson){.kind = SN_JSON_STRING, .key = sn_bytes_str(key), .u.string = sn_bytes_str(text)};
}

static SnStatus add_message(const Form *f, SnJson *to, const char *role, const char *text)
{
    SnJson *field = sn_arena_array(f->arena, 2, sizeof *field);
    if (!field)
        return no_memory(f);
    field[0] = string("role", role);
    field[1] = string("content", text);
    *to = (SnJson){.kind = SN_JSON_OBJECT, .n = 2, .u.child = field};
    return SN_OK;
}

/* n texts: of the user, of the assistant, of the user ..; n is odd. */
static SnStatus render(const Form *f, const char *const *text, uint32_t n, SnBytes *out)
{
    SnJson message[MOST_TEXTS + 1], flag = {.kind = SN_JSON_BOOL, .u.boolean = true};
    SnJson all = {.kind = SN_JSON_ARRAY, .u.child = message};
    const SnJson args = {.kind = SN_JSON_OBJECT, .n = 1, .u.child = &flag};
    SnChatText chat = {0};
    flag.key = sn_bytes_str("add_generation_prompt");
    if (f->system)
        SN_TRY(add_message(f, &message[all.n++], "system", f->system));
    for (uint32_t i = 0; i < n; i++)
        SN_TRY(add_message(f, &message[all.n++], i % 2 ? "assistant" : "user", text[i]));
    SN_TRY(sn_model_chat_text(f->m, &all, &args, f->arena, &chat, f->err));
    *out = chat.text;
    return SN_OK;
}

/* ---- the form ---- */

/* Takes what comes before `mark` off a text, and the mark; NULL: it is not there. */
static const char *take(const Form *f, SnBytes *text, const char *mark)
{
    const size_t n = strlen(mark);
    size_t at = 0;
    while (at + n <= text->n && memcmp(text->at + at, mark, n) != 0)
        at++;
    if (at + n > text->n)
        return NULL;
    const char *before = sn_arena_strndup(f->arena, (const char *)text->at, at);
    *text = sn_bytes(text->at + at + n, text->n - at - n);
    return before;
}

static bool is_space(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

static bool is_blank(const char *s)
{
    while (is_space(*s))
        s++;
    return !*s;
}

static SnStatus find_parts(Form *f)
{
    static const char *const mark[] = {"QzUserAz", "QzModelBz", "QzUserCz", "QzModelDz", "QzUserEz"};
    SnChatLinear *o = f->out;
    SnBytes one, all;
    const char *said = NULL;
    SN_TRY(render(f, mark, 1, &one));
    SN_TRY(render(f, mark, 5, &all));
    o->first = take(f, &one, mark[0]);
    o->answer = sn_arena_strndup(f->arena, (const char *)one.at, one.n);
    o->past_first = take(f, &all, mark[0]);
    o->said = o->past_first ? take(f, &all, mark[1]) : NULL;
    o->past_next = o->said ? take(f, &all, mark[2]) : NULL;
    said = o->past_next ? take(f, &all, mark[3]) : NULL;
    o->next = said ? take(f, &all, mark[4]) : NULL;
    SN_CHECK(o->first && o->answer && o->next && !f->arena->failed, f->err,
             f->arena->failed ? SN_ENOMEM : SN_EUNSUPPORTED,
             "%s: its chat template gives messages not as they are, so it cannot go ahead of time",
             f->m->folder);
    return SN_OK;
}

static bool takes(SnBytes *text, const char *part, size_t n)
{
    if (text->n < n || memcmp(text->at, part, n) != 0)
        return false;
    *text = sn_bytes(text->at + n, text->n - n);
    return true;
}

/* Does the form give the template's text? */
static SnStatus holds(const Form *f, const char *const *text, uint32_t n, bool *out)
{
    const SnChatLinear *o = f->out;
    SnBytes all;
    SN_TRY(render(f, text, n, &all));
    *out = true;
    for (uint32_t i = 0; *out && i < n; i++) {
        const bool is_last = i + 1 == n;
        const char *s = text[i], *first = is_last ? o->first : o->past_first;
        const char *before = i == 0 ? first : i % 2 ? o->said : is_last ? o->next : o->past_next;
        *out = takes(&all, before, strlen(before)) && takes(&all, s, strlen(s));
    }
    *out = *out && takes(&all, o->answer, strlen(o->answer)) && all.n == 0;
    return SN_OK;
}

/* One, two and three turns of texts that templates like to look at. One that does something to white space
 * around messages gets them without. */
static SnStatus check(const Form *f)
{
    static const char *const plain[] = {"Hello, who are you?", "I'm <b>a</b> {{ model }}.\n\n- one\n- two",
                                        "\xC3\xA9t\xC3\xA9 {% if %} & \"so\" 'on' \\n", "x",
                                        "user: no\n\n\nassistant: yes"};
    static const char *const spaced[] = {"  both\n", "answer", "\n one\t"};
    bool is_so = true;
    for (uint32_t n = 1; n <= SN_COUNT(plain) && is_so; n += 2)
        SN_TRY(holds(f, plain, n, &is_so));
    SN_CHECK(is_so, f->err, SN_EUNSUPPORTED,
             "%s: its chat template is more than text around messages, so it cannot go ahead of time",
             f->m->folder);
    SN_TRY(holds(f, spaced, SN_COUNT(spaced), &is_so));
    f->out->trims = !is_so;
    return SN_OK;
}

/* What of an answer that has thoughts is left of it. */
static SnStatus find_thoughts(const Form *f)
{
    static const char *const text[] = {"QzUserAz", "<think>\nQzThoughtBz\n</think>\n\nQzModelCz", "QzUserDz"};
    SnBytes all;
    SN_TRY(render(f, text, SN_COUNT(text), &all));
    SnBytes rest = all;
    const bool keeps = take(f, &rest, "QzThoughtBz") != NULL;
    const char *before = take(f, &all, "QzModelCz");
    const size_t n = before ? strlen(before) : 0;
    SN_CHECK(keeps || before, f->err, SN_EUNSUPPORTED,
             "%s: its chat template leaves out answers with thoughts, so it cannot go ahead of time",
             f->m->folder);
    if (!keeps)
        f->out->forgets =
            n >= 2 && memcmp(before + n - 2, "\n\n", 2) == 0 ? SN_TYPED_FORGETS : SN_TYPED_FORGETS_LINES;
    return SN_OK;
}

/* An answered message that is as it was has no other parts: what the assistant says may begin with white
 * space that the template has there. */
static void drop_past(SnChatLinear *o)
{
    const size_t n = strlen(o->answer);
    if (strcmp(o->first, o->past_first) == 0 && strcmp(o->next, o->past_next) == 0 &&
        strncmp(o->said, o->answer, n) == 0 && is_blank(o->said + n))
        o->past_first = o->past_next = o->said = NULL;
}

SnStatus sn_chat_linear(SnModel *m, const char *system, SnArena *arena, SnChatLinear *out, SnError *err)
{
    Form f = {.m = m, .system = system, .arena = arena, .out = out, .err = err};
    *out = (SnChatLinear){.first = "", .next = "", .answer = ""};
    SN_TRY(sn_model_has_chat(m, arena, &out->has, err));
    if (!out->has)
        return SN_OK;
    SN_TRY(find_parts(&f));
    SN_TRY(check(&f));
    SN_TRY(find_thoughts(&f));
    drop_past(out);
    return SN_OK;
}
