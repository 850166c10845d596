/* chat.c -- the command `chat`: messages in, answers out as they are made.
 *
 * Every turn the whole conversation is rendered by the model's template; tokens that the generator still
 * knows are not fed again. A model that was compiled ahead of time keeps its conversation itself. At a
 * terminal SIGINT waits while the program works, is looked for between tokens, and ends an answer or a
 * half-written line; elsewhere it ends the program. */
#include "tools/command.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/select.h>
#include <unistd.h>

#define MAX_ANSWER  1024 /* tokens, unless the line says otherwise */
#define MAX_MESSAGE ((size_t)16 << 20)

typedef struct Chat {
    const Args *args;
    Session s;
    SnGenerator *generator;
    const SnJson *config; /* keys of GenerationConfig */
    SN_VEC(SnJson) message;
    SnText input;  /* what was read and not yet taken */
    int64_t takes; /* how often the last message was answered before */
    bool is_terminal, is_over;
    bool is_compiled; /* there is no generator */
} Chat;

static SnStatus no_memory(SnError *err)
{
    return sn_fail(err, SN_ENOMEM, "no memory for a conversation");
}

/* ---- the conversation ---- */

static SnStatus make_message(Chat *c, const char *role, SnBytes content, SnJson *out, SnError *err)
{
    SnJson *child = sn_arena_array(&c->s.arena, 2, sizeof *child);
    const char *own = sn_arena_strndup(&c->s.arena, content.n ? (const char *)content.at : "", content.n);
    if (!child || !own)
        return no_memory(err);
    child[0] = (SnJson){.kind = SN_JSON_STRING, .u.string = sn_bytes_str(role), .key = sn_bytes_str("role")};
    child[1] = (SnJson){
        .kind = SN_JSON_STRING, .u.string = sn_bytes(own, content.n), .key = sn_bytes_str("content")};
    *out = (SnJson){.kind = SN_JSON_OBJECT, .n = 2, .u.child = child};
    return SN_OK;
}

static SnStatus add_message(Chat *c, const char *role, SnBytes content, SnError *err)
{
    SnJson m;
    SN_TRY(make_message(c, role, content, &m, err));
    return sn_vec_push(c->s.arena.memory, &c->message, m) ? SN_OK : no_memory(err);
}

static bool is_from(const SnJson *message, const char *role)
{
    return sn_json_is(sn_json_get(message, "role"), role);
}

static bool has_system(const Chat *c)
{
    return c->message.n && is_from(&c->message.at[0], "system");
}

static SnJson history(const Chat *c)
{
    return (SnJson){.kind = SN_JSON_ARRAY, .n = (uint32_t)c->message.n, .u.child = c->message.at};
}

/* The tokens that the model goes on from. */
static SnStatus render(Chat *c, const SnJson *messages, SnArena *arena, SnEncoding **out, SnError *err)
{
    static const SnTokenizeOptions plain = {.struct_size = sizeof plain, .no_special = true};
    SnJson prompt = {.kind = SN_JSON_BOOL, .u.boolean = true, .key = sn_bytes_str("add_generation_prompt")};
    const SnJson kwargs = {.kind = SN_JSON_OBJECT, .n = 1, .u.child = &prompt};
    SnChatText text = {0};
    SN_TRY(sn_model_chat_text(c->s.model, messages, &kwargs, arena, &text, err));
    return sn_model_tokenize(c->s.model, &text.text, NULL, 1, &plain, arena, out, err);
}

/* ---- answers ---- */

/* Takes a SIGINT that waits. */
static bool is_interrupted(const Chat *c)
{
    sigset_t set, waiting;
    int number = 0;
    if (!c->is_terminal || sigpending(&waiting) != 0 || sigismember(&waiting, SIGINT) != 1)
        return false;
    (void)sigemptyset(&set);
    (void)sigaddset(&set, SIGINT);
    return sigwait(&set, &number) == 0;
}

/* Prints the answer to a request as it comes. */
static SnStatus stream(Chat *c, uint32_t request, SnText *answer, SnError *err)
{
    while (sn_generator_is_busy(c->generator)) {
        SnGenerated t;
        bool done = false, has = true;
        if (is_interrupted(c)) {
            sn_generator_drop(c->generator, request);
            break;
        }
        SN_TRY(sn_generator_step(c->generator, 0, &done, err));
        for (;;) {
            SN_TRY(sn_generator_next(c->generator, &t, &has, err));
            if (!has)
                break;
            sn_text_add(answer, (const char *)t.text.at, t.text.n);
            (void)fwrite(t.text.at, 1, t.text.n, stdout);
            (void)fflush(stdout);
        }
    }
    return answer->failed ? no_memory(err) : SN_OK;
}

static void print_rates(const Chat *c, const SnGeneratorStats *before)
{
    SnGeneratorStats s;
    sn_generator_stats(c->generator, &s);
    const uint64_t prompt = s.prompt_tokens - before->prompt_tokens;
    const uint64_t fed = prompt - (s.kept_tokens - before->kept_tokens);
    const uint64_t made = s.new_tokens - before->new_tokens;
    const double fed_s = (double)(s.prompt_ns - before->prompt_ns) * 1e-9;
    const double made_s = (double)(s.new_ns - before->new_ns) * 1e-9;
    (void)fprintf(stderr,
                  "sinter: fed %llu of %llu tokens in %.3f s, %llu new tokens in %.3f s: %.1f tokens/s\n",
                  (unsigned long long)fed, (unsigned long long)prompt, fed_s, (unsigned long long)made,
                  made_s, made_s > 0 ? (double)made / made_s : 0);
}

typedef struct Said {
    Chat *chat;
    SnText *text;
} Said;

static int take_piece(void *user, const char *text, size_t n)
{
    const Said *s = user;
    sn_text_add(s->text, text, n);
    (void)fwrite(text, 1, n, stdout);
    (void)fflush(stdout);
    return is_interrupted(s->chat);
}

static SnStatus answer_compiled(Chat *c, SnText *text, SnError *err)
{
    Said said = {c, text};
    SnBytes message = {0};
    (void)sn_json_string(sn_json_get(&c->message.at[c->message.n - 1], "content"), &message);
    const SnStatus st = sn_model_say(c->s.model, message, take_piece, &said, err);
    (void)printf("\n");
    (void)fflush(stdout);
    return st == SN_OK && text->failed ? no_memory(err) : st;
}

/* Another answer to the same message takes other random numbers. */
static SnStatus add_request(Chat *c, const SnEncoding *e, uint32_t *request, SnError *err)
{
    int64_t seed = 0;
    (void)sn_json_int(sn_json_get(c->config, "seed"), &seed);
    SnJson key = {.kind = SN_JSON_INT, .u.integer = seed + c->takes, .key = sn_bytes_str("seed")};
    const SnJson own = {.kind = SN_JSON_OBJECT, .n = 1, .u.child = &key};
    return sn_generator_add(c->generator, e->ids, e->n, c->takes ? &own : NULL, request, err);
}

static SnStatus answer(Chat *c, SnText *text, SnError *err)
{
    SnArena arena;
    SnEncoding *e = NULL;
    SnGeneratorStats before;
    uint32_t request = 0;
    const SnJson messages = history(c);
    if (c->is_compiled)
        return answer_compiled(c, text, err);
    sn_generator_stats(c->generator, &before);
    sn_arena_init(&arena, c->s.arena.memory);
    SnStatus st = render(c, &messages, &arena, &e, err);
    if (st == SN_OK)
        st = add_request(c, e, &request, err);
    sn_arena_clear(&arena);
    if (st == SN_OK) {
        st = stream(c, request, text, err);
        (void)printf("\n");
        (void)fflush(stdout);
    }
    if (st == SN_OK && c->args->verbose)
        print_rates(c, &before);
    return st;
}

/* The answer to the last message. */
static SnStatus go_on(Chat *c, SnError *err)
{
    SnText said = {.memory = c->s.arena.memory};
    SnStatus st = answer(c, &said, err);
    if (st == SN_OK)
        st = add_message(c, "assistant", sn_bytes(said.at, said.n), err);
    sn_text_clear(&said);
    return st;
}

/* A message and its answer; where there is none, the message is forgotten. */
static SnStatus say(Chat *c, SnBytes text, SnError *err)
{
    const size_t n = c->message.n;
    SN_TRY(add_message(c, "user", text, err));
    c->takes = 0;
    const SnStatus st = go_on(c, err);
    if (st != SN_OK)
        c->message.n = n;
    return st;
}

/* ---- parameters ---- */

static SnStatus open_generator(Chat *c, const SnJson *config, SnError *err)
{
    SnGenerator *g = NULL;
    int64_t context = 0;
    (void)sn_json_int(sn_json_get(config, "max_length"), &context);
    SN_CHECK(context >= 0 && context <= INT32_MAX, err, SN_EINVAL, "max_length: %lld tokens",
             (long long)context);
    const SnGeneratorDesc d = {
        .struct_size = sizeof d, .context = (uint32_t)context, .config = config, .cut_stop = true};
    SN_TRY(sn_generator_create(c->s.model, &d, &g, err));
    sn_generator_destroy(c->generator);
    c->generator = g;
    c->config = config;
    return SN_OK;
}

static void put_member(SnText *out, SnBytes key, const SnJson *value)
{
    sn_text_add(out, ", ", out->n > 1 ? 2 : 0);
    sn_json_put_string(out, key);
    sn_text_add(out, ": ", 2);
    sn_json_put(out, value);
}

/* config with one key more, or another value. */
static SnStatus with_key(Chat *c, const SnJson *config, SnBytes key, const SnJson *value, const SnJson **out,
                         SnError *err)
{
    SnText text = {.memory = c->s.arena.memory};
    SnJson *json = NULL;
    sn_text_add(&text, "{", 1);
    for (uint32_t i = 0; i < config->n; i++)
        if (!sn_bytes_equal(config->u.child[i].key, key))
            put_member(&text, config->u.child[i].key, &config->u.child[i]);
    put_member(&text, key, value);
    sn_text_add(&text, "}", 1);
    const char *own = text.failed ? NULL : sn_arena_strndup(&c->s.arena, text.at, text.n);
    SnStatus st =
        own ? sn_json_parse(&c->s.arena, "parameters", sn_bytes(own, text.n), &json, err) : no_memory(err);
    sn_text_clear(&text);
    *out = json;
    return st;
}

/* ---- commands ---- */

typedef SnStatus Act(Chat *c, SnBytes operand, SnError *err);
static Act act_help;

static SnStatus act_clear(Chat *c, SnBytes operand, SnError *err)
{
    (void)operand;
    c->message.n = has_system(c);
    return c->is_compiled ? sn_model_forget(c->s.model, err) : SN_OK;
}

static SnStatus act_regen(Chat *c, SnBytes operand, SnError *err)
{
    const size_t n = c->message.n;
    (void)operand;
    SN_CHECK(n && is_from(&c->message.at[n - 1], "assistant"), err, SN_EINVAL, "/regen: there is no answer");
    c->message.n--;
    c->takes++;
    const SnStatus st = go_on(c, err);
    c->message.n = n; /* the old answer, or the new one in its place */
    return st;
}

static SnStatus act_undo(Chat *c, SnBytes operand, SnError *err)
{
    (void)operand;
    const size_t least = has_system(c);
    SN_CHECK(c->message.n > least, err, SN_EINVAL, "/undo: nothing was said");
    while (c->message.n > least && !is_from(&c->message.at[--c->message.n], "user"))
        continue;
    return SN_OK;
}

static SnStatus act_system(Chat *c, SnBytes operand, SnError *err)
{
    SnJson m;
    SN_TRY(make_message(c, "system", operand, &m, err));
    if (!has_system(c)) {
        if (!sn_vec_reserve(c->s.arena.memory, &c->message, 1))
            return no_memory(err);
        memmove(c->message.at + 1, c->message.at, c->message.n++ * sizeof m);
    }
    c->message.at[0] = m;
    return SN_OK;
}

static const char *path_of(Chat *c, SnBytes operand)
{
    return operand.n ? sn_arena_strndup(&c->s.arena, (const char *)operand.at, operand.n) : NULL;
}

static SnStatus act_save(Chat *c, SnBytes operand, SnError *err)
{
    const SnJson all = history(c);
    const char *path = path_of(c, operand);
    SnText text = {.memory = c->s.arena.memory};
    SN_CHECK(path, err, SN_EINVAL, "/save: expected a file");
    sn_json_put(&text, &all);
    sn_text_add(&text, "\n", 1);
    const SnBytes part = sn_bytes(text.at, text.n);
    const SnStatus st = text.failed ? no_memory(err) : sn_file_write(c->s.ctx, path, &part, 1, err);
    sn_text_clear(&text);
    return st;
}

static SnStatus act_load(Chat *c, SnBytes operand, SnError *err)
{
    SnJson *all = NULL;
    SnBytes role;
    const char *path = path_of(c, operand);
    SN_CHECK(path, err, SN_EINVAL, "/load: expected a file");
    SN_TRY(sn_json_read(c->s.ctx, &c->s.arena, path, &all, err));
    SN_CHECK(all->kind == SN_JSON_ARRAY, err, SN_EFORMAT, "%s: no list of messages", path);
    for (uint32_t i = 0; i < all->n; i++)
        SN_CHECK(sn_json_string(sn_json_get(&all->u.child[i], "role"), &role), err, SN_EFORMAT,
                 "%s: message %u has no role", path, i);
    c->message.n = 0;
    if (!sn_vec_reserve(c->s.arena.memory, &c->message, (size_t)all->n + 1))
        return no_memory(err);
    if (all->n)
        memcpy(c->message.at, all->u.child, all->n * sizeof *all);
    c->message.n = all->n;
    return SN_OK;
}

static SnStatus act_set(Chat *c, SnBytes operand, SnError *err)
{
    const uint8_t *is = operand.n ? memchr(operand.at, '=', operand.n) : NULL;
    const size_t n = is ? (size_t)(is - operand.at) : 0;
    SnJson *parsed = NULL;
    const SnJson *config = NULL;
    SN_CHECK(n, err, SN_EINVAL, "/set: expected key=value");
    char *key = sn_arena_strndup(&c->s.arena, (const char *)operand.at, n);
    if (!key)
        return no_memory(err);
    for (char *k = key; *k; k++)
        *k = *k == '-' ? '_' : *k;
    const SnBytes value = sn_bytes(is + 1, operand.n - n - 1);
    const SnJson plain = {.kind = SN_JSON_STRING, .u.string = value};
    if (sn_json_parse(&c->s.arena, "value", value, &parsed, NULL) != SN_OK)
        parsed = NULL;
    SN_TRY(with_key(c, c->config, sn_bytes(key, n), parsed ? parsed : &plain, &config, err));
    return open_generator(c, config, err);
}

static SnStatus act_quit(Chat *c, SnBytes operand, SnError *err)
{
    (void)operand, (void)err;
    c->is_over = true;
    return SN_OK;
}

static const struct {
    const char *name, *operand, *does;
    Act *act;
    bool is_compiled; /* also of a model that was compiled ahead of time */
} acts[] = {
    {"/help", "", "this list", act_help, true},
    {"/clear", "", "forget what was said; the system message stays", act_clear, true},
    {"/undo", "", "forget the last message and its answer", act_undo, false},
    {"/regen", "", "another answer to the last message", act_regen, false},
    {"/system", "TEXT", "the system message", act_system, false},
    {"/set", "KEY=VALUE", "a key of GenerationConfig: temperature=0.7, do_sample=true", act_set, false},
    {"/save", "FILE", "write the conversation as JSON", act_save, true},
    {"/load", "FILE", "go on with a conversation", act_load, false},
    {"/quit", "", "end; so does the end of the input", act_quit, true},
};

static SnStatus act_help(Chat *c, SnBytes operand, SnError *err)
{
    (void)operand, (void)err;
    for (size_t i = 0; i < SN_COUNT(acts); i++)
        if (acts[i].is_compiled || !c->is_compiled)
            (void)printf("%-8s %-10s %s\n", acts[i].name, acts[i].operand, acts[i].does);
    return SN_OK;
}

/* ---- lines ---- */

static SnBytes trim(SnBytes s)
{
    while (s.n && (s.at[0] == ' ' || s.at[0] == '\t'))
        s = sn_bytes(s.at + 1, s.n - 1);
    while (s.n && (s.at[s.n - 1] == ' ' || s.at[s.n - 1] == '\t' || s.at[s.n - 1] == '\r'))
        s.n--;
    return s;
}

static SnStatus obey(Chat *c, SnBytes line, SnError *err)
{
    const uint8_t *space = memchr(line.at, ' ', line.n);
    const size_t n = space ? (size_t)(space - line.at) : line.n;
    for (size_t i = 0; i < SN_COUNT(acts); i++)
        if (sn_bytes_is(sn_bytes(line.at, n), acts[i].name)) {
            SN_CHECK(acts[i].is_compiled || !c->is_compiled, err, SN_EUNSUPPORTED,
                     "%s: the model is compiled", acts[i].name);
            return acts[i].act(c, trim(sn_bytes(line.at + n, line.n - n)), err);
        }
    return sn_fail(err, SN_EINVAL, "no command %.*s (/help)", (int)(n < 40 ? n : 40), (const char *)line.at);
}

/* Waits for input; *none: there will be none. A terminal's SIGINT ends the line that was begun. */
static SnStatus read_more(Chat *c, bool *none, SnError *err)
{
    char chunk[4096];
    fd_set in;
    sigset_t open;
    if (c->is_terminal) {
        (void)sigprocmask(SIG_BLOCK, NULL, &open);
        (void)sigdelset(&open, SIGINT);
        FD_ZERO(&in);
        FD_SET(STDIN_FILENO, &in);
        if (pselect(STDIN_FILENO + 1, &in, NULL, NULL, NULL, &open) < 0 && errno == EINTR) {
            c->input.n = 0;
            (void)printf("\n> ");
            (void)fflush(stdout);
            return SN_OK;
        }
    }
    const ssize_t n = read(STDIN_FILENO, chunk, sizeof chunk);
    SN_CHECK(n >= 0 || errno == EINTR, err, SN_EIO, "standard input: cannot read");
    *none = n == 0;
    if (n > 0)
        sn_text_add(&c->input, chunk, (size_t)n);
    SN_CHECK(c->input.n <= MAX_MESSAGE, err, SN_EINVAL, "a message of more than %zu bytes", MAX_MESSAGE);
    return c->input.failed ? no_memory(err) : SN_OK;
}

/* The next line in the arena; *has: there is one. */
static SnStatus read_line(Chat *c, SnBytes *line, bool *has, SnError *err)
{
    bool none = false;
    const char *end = NULL;
    if (c->is_terminal) {
        (void)printf("> ");
        (void)fflush(stdout);
    }
    while (!(end = c->input.n ? memchr(c->input.at, '\n', c->input.n) : NULL) && !none)
        SN_TRY(read_more(c, &none, err));
    const size_t n = end ? (size_t)(end - c->input.at) : c->input.n, taken = n + (end != NULL);
    *has = end || n;
    if (!*has)
        return SN_OK;
    const char *own = sn_arena_strndup(&c->s.arena, c->input.at, n);
    memmove(c->input.at, c->input.at + taken, c->input.n - taken);
    c->input.n -= taken;
    *line = trim(sn_bytes(own, n));
    return own ? SN_OK : no_memory(err);
}

/* At a terminal an error is told and the conversation goes on. */
static int converse(Chat *c)
{
    int status = EXIT_DONE;
    while (!c->is_over && status == EXIT_DONE) {
        SnError err = {0};
        SnBytes line = {0};
        bool has = false;
        SnStatus st = read_line(c, &line, &has, &err);
        const bool is_read = st == SN_OK;
        if (is_read && !has) {
            if (c->is_terminal)
                (void)printf("\n");
            break;
        }
        (void)is_interrupted(c);
        if (is_read && line.n)
            st = line.at[0] == '/' ? obey(c, line, &err) : say(c, line, &err);
        if (st != SN_OK) {
            const int code = report(c->args->at[0], st, &err);
            status = c->is_terminal && is_read ? EXIT_DONE : code;
        }
    }
    return status;
}

/* ---- life ---- */

static void on_interrupt(int number)
{
    (void)number;
}

static void hold_interrupts(void)
{
    struct sigaction wake = {.sa_handler = on_interrupt};
    sigset_t set;
    (void)sigemptyset(&wake.sa_mask);
    (void)sigaction(SIGINT, &wake, NULL);
    (void)sigemptyset(&set);
    (void)sigaddset(&set, SIGINT);
    (void)sigprocmask(SIG_BLOCK, &set, NULL);
}

/* A template that is missing is told before the weights are read. */
static SnStatus prepare(Chat *c, SnError *err)
{
    const char *system = arg_value(c->args, "--system");
    const SnJson usual = {.kind = SN_JSON_INT, .u.integer = MAX_ANSWER};
    const SnBytes key = sn_bytes_str("max_new_tokens");
    SnEncoding *e = NULL;
    c->is_compiled = sn_model_talks(c->s.model);
    SN_CHECK(!c->is_compiled || (!system && !c->config->n), err, SN_EUNSUPPORTED,
             "the model is compiled: how it talks is in it");
    if (c->is_compiled)
        return sn_model_forget(c->s.model, err);
    if (system)
        SN_TRY(add_message(c, "system", sn_bytes_str(system), err));
    SN_TRY(add_message(c, "user", sn_bytes_str("Hi"), err));
    const SnJson first = history(c);
    SN_TRY(render(c, &first, &c->s.arena, &e, err));
    c->message.n--;
    if (!sn_json_get(c->config, "max_new_tokens"))
        SN_TRY(with_key(c, c->config, key, &usual, &c->config, err));
    return open_generator(c, c->config, err);
}

int command_chat(const Args *a)
{
    Chat c = {.args = a, .is_terminal = isatty(STDIN_FILENO) && isatty(STDOUT_FILENO)};
    SnError err = {0};
    int status = session_open(a, a->at[0], "text-generation", &c.s);
    c.input.memory = c.s.arena.memory;
    if (status == EXIT_DONE)
        status = read_options(a, &c.s.arena, &c.config);
    if (status == EXIT_DONE) {
        const SnStatus st = prepare(&c, &err);
        status = report(a->at[0], st, &err);
    }
    if (status == EXIT_DONE && c.is_terminal)
        hold_interrupts();
    if (status == EXIT_DONE)
        status = converse(&c);
    sn_generator_destroy(c.generator);
    sn_vec_clear(c.s.arena.memory, &c.message);
    sn_text_clear(&c.input);
    session_close(&c.s);
    return status;
}
