/* pipeline_generate.c -- text-generation: texts or conversations, and what comes next. */
#include "frontends/tasks/generate.h"
#include "frontends/tasks/pipeline.h"

#define TOKENIZER_ARGS "add_special_tokens padding truncation max_length"
#define OWN_ARGS                                                                                             \
    "return_full_text return_tensors return_text clean_up_tokenization_spaces prefix "                       \
    "handle_long_generation stop_sequence truncation continue_final_message skip_special_tokens "            \
    "tokenizer_encode_kwargs tools documents add_special_tokens padding batch_size num_workers"

typedef enum Want { FULL_TEXT, NEW_TEXT, TOKENS } Want;

typedef struct Continue {
    Want want;
    bool keeps_special;
    bool is_cut;    /* "hole": a prompt loses its beginning where it is too long */
    SnBytes prefix; /* of every text */
    int64_t prefix_tokens;
    const SnJson *encode; /* tokenizer_encode_kwargs */
    const SnJson *given;  /* the call's keys of GenerationConfig, and what the pipeline adds */
    SnGenConfig config;   /* those over the folder's */
} Continue;

/* One input and its tokens. */
typedef struct Prompt {
    const SnJson *messages; /* NULL: a text */
    SnBytes text;
    bool continues; /* the last message */
    const int32_t *ids;
    size_t n;
} Prompt;

static SnStatus no_memory(const SnPipe *p, SnError *err)
{
    return sn_fail(err, SN_ENOMEM, "%s: no memory", p->task);
}

/* ---- objects ---- */

static void put_key(SnText *t, SnBytes key)
{
    sn_text_add(t, ", ", t->at[t->n - 1] == '{' ? 0 : 2);
    sn_json_put_string(t, key);
    sn_text_add(t, ": ", 2);
}

static void put_member(SnText *t, SnBytes key, const SnJson *value)
{
    put_key(t, key);
    sn_json_put(t, value);
}

/* Members whose names are in a list, or are in none. */
static void put_members(SnText *t, const SnJson *object, const char *list, bool is_listed)
{
    for (uint32_t i = 0; object && object->kind == SN_JSON_OBJECT && i < object->n; i++)
        if (sn_is_one_of(object->u.child[i].key, list) == is_listed)
            put_member(t, object->u.child[i].key, &object->u.child[i]);
}

/* The object that was written, in the arena; the text is cleared. */
static SnStatus close_object(SnPipe *p, SnText *t, const SnJson **out, SnError *err)
{
    SnJson *json = NULL;
    sn_text_add(t, "}", 1);
    const char *own = t->failed ? NULL : sn_arena_strndup(&p->arena, t->at, t->n);
    const SnStatus st =
        own ? sn_json_parse(&p->arena, "arguments", sn_bytes(own, t->n), &json, err) : no_memory(p, err);
    sn_text_clear(t);
    *out = json;
    return st;
}

static bool open_object(SnPipe *p, SnText *t)
{
    *t = (SnText){.memory = p->arena.memory};
    sn_text_add(t, "{", 1);
    return !t->failed;
}

/* ---- arguments ---- */

static SnStatus read_want(SnPipe *p, Continue *c, SnError *err)
{
    bool is_full = true, is_tensors = false, is_special = true;
    const bool has_full = sn_pipe_arg(p, "return_full_text"), has_tensors = sn_pipe_arg(p, "return_tensors");
    SN_CHECK(!has_full || (!has_tensors && !sn_pipe_arg(p, "return_text")), err, SN_EINVAL,
             "%s: return_full_text is mutually exclusive with return_text and return_tensors", p->task);
    SN_CHECK(!has_tensors || !sn_pipe_arg(p, "return_text"), err, SN_EINVAL,
             "%s: return_text is mutually exclusive with return_tensors", p->task);
    SN_TRY(sn_pipe_bool(p, "return_full_text", &is_full, err));
    SN_TRY(sn_pipe_bool(p, "return_tensors", &is_tensors, err));
    SN_TRY(sn_pipe_bool(p, "skip_special_tokens", &is_special, err));
    SN_TRY(sn_pipe_bool(p, "clean_up_tokenization_spaces", &p->tokenizer.cleans_up, err));
    c->want = has_tensors ? TOKENS : is_full ? FULL_TEXT : NEW_TEXT;
    c->keeps_special = !is_special || p->tokenizer.has_response;
    return SN_OK;
}

/* What the pipeline adds to keys that neither the call nor the folder has. */
static void put_defaults(const SnPipe *p, const SnJson *set, SnText *t)
{
    const SnTokenizerFacts f = sn_tokenizer_facts(p->m->tokenizer);
    const bool has_length = !sn_json_is_null(sn_json_get(set, "max_length")) &&
                            sn_json_is_null(sn_json_get(set, "max_new_tokens"));
    bool samples = true;
    const SnJson *sample = sn_json_get(set, "do_sample");
    if (!sn_json_is_null(sample))
        (void)sn_json_bool(sample, &samples);
    else
        sn_text_printf(t, ", \"do_sample\": true");
    if (!has_length && sn_json_is_null(sn_json_get(set, "max_new_tokens")))
        sn_text_printf(t, ", \"max_new_tokens\": 256");
    if (samples && sn_json_is_null(sn_json_get(set, "temperature")))
        sn_text_printf(t, ", \"temperature\": 0.7");
    if (f.name[SN_TOK_PAD] != SN_TOK_NONE && sn_json_is_null(sn_json_get(set, "pad_token_id")))
        sn_text_printf(t, ", \"pad_token_id\": %lld", (long long)f.name[SN_TOK_PAD]);
}

/* A length that counts the prompt counts the prefix too. */
static void put_length(const Continue *c, const char *length, const char *new_tokens, SnText *t)
{
    int64_t n = 0;
    if (c->prefix_tokens && sn_json_int(sn_json_get(c->config.json, length), &n) &&
        sn_json_is_null(sn_json_get(c->config.json, new_tokens)))
        sn_text_printf(t, ", \"%s\": %lld", length, (long long)(n + c->prefix_tokens));
}

static SnStatus read_config(SnPipe *p, Continue *c, SnError *err)
{
    SnText t;
    const SnJson *stop = sn_pipe_arg(p, "stop_sequence");
    if (!open_object(p, &t))
        return no_memory(p, err);
    put_members(&t, p->kwargs, OWN_ARGS, false);
    if (stop)
        put_member(&t, sn_bytes_str("stop_strings"), stop);
    SN_TRY(close_object(p, &t, &c->given, err));
    SN_TRY(sn_gen_config(p->m, c->given, NULL, &p->arena, &c->config, err));
    if (!open_object(p, &t))
        return no_memory(p, err);
    sn_text_printf(&t, "\"use_cache\": true");
    put_members(&t, c->given, "use_cache", false);
    put_defaults(p, c->config.json, &t);
    put_length(c, "max_length", "max_new_tokens", &t);
    put_length(c, "min_length", "min_new_tokens", &t);
    SN_TRY(close_object(p, &t, &c->given, err));
    return sn_gen_config(p->m, c->given, NULL, &p->arena, &c->config, err);
}

static SnStatus read_prefix(SnPipe *p, Continue *c, SnError *err)
{
    const SnTokenizeOptions plain = {.struct_size = sizeof plain, .no_special = true};
    const SnJson *prefix = sn_pipe_arg(p, "prefix");
    SnEncoding *e = NULL;
    if (!prefix)
        prefix = sn_json_get(p->m->config.json, "prefix");
    if (sn_json_is_null(prefix))
        return SN_OK;
    SN_TRY(sn_pipe_text(p, prefix, "prefix", &c->prefix, err));
    if (c->prefix.n)
        SN_TRY(sn_pipe_encode(p, &c->prefix, NULL, 1, &plain, &e, err));
    c->prefix_tokens = e ? (int64_t)e->n : 0;
    return SN_OK;
}

static SnStatus read_args(SnPipe *p, Continue *c, SnError *err)
{
    const SnJson *hole = sn_pipe_arg(p, "handle_long_generation");
    SN_CHECK(!hole || sn_json_is(hole, "hole"), err, SN_EINVAL,
             "%s: handle_long_generation is \"hole\" or nothing", p->task);
    c->is_cut = hole != NULL;
    c->encode = sn_pipe_arg(p, "tokenizer_encode_kwargs");
    SN_CHECK(!c->encode || c->encode->kind == SN_JSON_OBJECT, err, SN_EINVAL,
             "%s: tokenizer_encode_kwargs is no object", p->task);
    SN_TRY(read_want(p, c, err));
    SN_TRY(read_prefix(p, c, err));
    return read_config(p, c, err);
}

/* ---- tokens ---- */

/* The tokenizer's arguments: the call's, and tokenizer_encode_kwargs over them. */
static SnStatus tokenizer_args(SnPipe *p, const Continue *c, bool is_chat, SnTokenizeOptions *o, SnError *err)
{
    SnText t;
    const SnJson *object = NULL;
    if (!open_object(p, &t))
        return no_memory(p, err);
    sn_text_add(&t, "\"truncation\": false", is_chat ? 19 : 0);
    put_members(&t, p->kwargs, is_chat ? "padding truncation max_length" : TOKENIZER_ARGS, true);
    put_members(&t, c->encode, is_chat ? "padding truncation max_length" : "", is_chat);
    SN_TRY(close_object(p, &t, &object, err));
    SN_TRY(sn_pipe_tokenizer_args(p, object, "", o, err));
    o->no_special = o->no_special || is_chat;
    return SN_OK;
}

static SnStatus render(SnPipe *p, const Continue *c, Prompt *in, SnBytes *text, SnError *err)
{
    SnText t;
    SnChatText chat = {0};
    const SnJson *kwargs = NULL;
    const SnJson *last = &in->messages->u.child[in->messages->n - 1];
    in->continues = sn_json_is(sn_json_get(last, "role"), "assistant");
    SN_TRY(sn_pipe_bool(p, "continue_final_message", &in->continues, err));
    if (!open_object(p, &t))
        return no_memory(p, err);
    sn_text_printf(&t, "\"add_generation_prompt\": %s, \"continue_final_message\": %s",
                   in->continues ? "false" : "true", in->continues ? "true" : "false");
    put_members(&t, p->kwargs, "tools documents", true);
    put_members(&t, c->encode, "padding truncation max_length", false);
    SN_TRY(close_object(p, &t, &kwargs, err));
    SN_TRY(sn_model_chat_text(p->m, in->messages, kwargs, &p->arena, &chat, err));
    *text = chat.text;
    return SN_OK;
}

/* The end of a prompt that leaves room for the new tokens. */
static SnStatus cut(const SnPipe *p, const Continue *c, Prompt *in, SnError *err)
{
    const int64_t limit = sn_text_limit(p->m), n = (int64_t)in->n;
    const int64_t made = c->config.max_new_tokens >= 0 ? c->config.max_new_tokens : c->config.max_length - n;
    SN_CHECK(made >= 0, err, SN_EINVAL, "%s: it is not known how many new tokens there are", p->task);
    if (!limit || n + made <= limit)
        return SN_OK;
    SN_CHECK(limit > made, err, SN_EINVAL, "%s: %lld new tokens, the model has %lld", p->task,
             (long long)made, (long long)limit);
    in->ids += n - (limit - made);
    in->n = (size_t)(limit - made);
    return SN_OK;
}

static SnStatus encode(SnPipe *p, const Continue *c, Prompt *in, SnError *err)
{
    SnTokenizeOptions o = {.struct_size = sizeof o};
    SnEncoding *e = NULL;
    SnBytes text = in->text;
    if (in->messages)
        SN_TRY(render(p, c, in, &text, err));
    else if (c->prefix.n) {
        const char *both = sn_arena_printf(&p->arena, "%.*s%.*s", (int)c->prefix.n,
                                           (const char *)c->prefix.at, (int)text.n, (const char *)text.at);
        if (!both)
            return no_memory(p, err);
        text = sn_bytes_str(both);
    }
    SN_TRY(tokenizer_args(p, c, in->messages != NULL, &o, err));
    SN_TRY(sn_pipe_encode(p, &text, NULL, 1, &o, &e, err));
    in->ids = e->ids;
    in->n = e->n;
    return c->is_cut ? cut(p, c, in, err) : SN_OK;
}

/* ---- results ---- */

static void put_continued(SnPipe *p, const SnJson *message, SnBytes text)
{
    SnBytes before = {0};
    SnText all = {.memory = p->arena.memory};
    (void)sn_json_string(sn_json_get(message, "content"), &before);
    sn_text_add(&all, (const char *)before.at, before.n);
    sn_text_add(&all, (const char *)text.at, text.n);
    sn_text_printf(p->out, "{\"role\": ");
    sn_json_put(p->out, sn_json_get(message, "role"));
    sn_text_printf(p->out, ", \"content\": ");
    sn_json_put_string(p->out, sn_bytes(all.at, all.n));
    p->out->failed = p->out->failed || all.failed;
    sn_text_clear(&all);
}

/* The answer as the tokenizer's response_template has it. */
static SnStatus put_response(SnPipe *p, const int64_t *prompt, size_t n, SnBytes text, SnError *err)
{
    SnJson message;
    SnText prefix = {.memory = p->arena.memory};
    SnStatus st = sn_pipe_decode(p, prompt, n, false, &prefix, err);
    if (st == SN_OK)
        st = sn_model_parse_response(p->m, text, sn_bytes(prefix.at ? prefix.at : "", prefix.n), NULL,
                                     sn_pipe_arg(p, "tools"), &p->arena, &message, err);
    if (st == SN_OK)
        sn_json_put(p->out, &message);
    sn_text_clear(&prefix);
    return st;
}

static SnStatus put_chat(SnPipe *p, const Prompt *in, const int64_t *prompt, SnBytes text, SnError *err)
{
    const uint32_t n = in->messages->n - in->continues;
    sn_text_add(p->out, "[", 1);
    for (uint32_t i = 0; i < n; i++) {
        sn_json_put(p->out, &in->messages->u.child[i]);
        sn_text_add(p->out, ", ", i + 1 < in->messages->n || !in->continues ? 2 : 0);
    }
    if (in->continues) {
        put_continued(p, &in->messages->u.child[n], text);
        sn_text_add(p->out, "}", 1);
    } else if (p->tokenizer.has_response) {
        SN_TRY(put_response(p, prompt, in->n, text, err));
    } else {
        sn_text_printf(p->out, "{\"role\": \"assistant\", \"content\": ");
        sn_json_put_string(p->out, text);
        sn_text_add(p->out, "}", 1);
    }
    sn_text_add(p->out, "]", 1);
    return SN_OK;
}

static SnStatus put_text(SnPipe *p, const Continue *c, const Prompt *in, const int64_t *ids, size_t n,
                         SnError *err)
{
    SnText text = {.memory = p->arena.memory};
    sn_text_printf(p->out, "{\"generated_text\": ");
    if (c->want == FULL_TEXT && !in->messages)
        sn_text_add(&text, (const char *)in->text.at, in->text.n);
    SnStatus st = sn_pipe_decode(p, ids + in->n, n - in->n, !c->keeps_special, &text, err);
    const SnBytes all = sn_bytes(text.at ? text.at : "", text.n);
    if (st == SN_OK && c->want == FULL_TEXT && in->messages)
        st = put_chat(p, in, ids, all, err);
    else if (st == SN_OK)
        sn_json_put_string(p->out, all);
    sn_text_add(p->out, "}", 1);
    p->out->failed = p->out->failed || text.failed;
    sn_text_clear(&text);
    return st;
}

static SnStatus put_row(SnPipe *p, const Continue *c, const Prompt *in, const int64_t *ids, size_t n,
                        SnError *err)
{
    if (c->want != TOKENS)
        return put_text(p, c, in, ids, n, err);
    sn_text_printf(p->out, "{\"generated_token_ids\": [");
    for (size_t i = 0; i < n; i++)
        sn_text_printf(p->out, i ? ", %lld" : "%lld", (long long)ids[i]);
    sn_text_add(p->out, "]}", 2);
    return SN_OK;
}

static SnStatus run_prompt(SnPipe *p, const Continue *c, Prompt *in, SnError *err)
{
    SnResults *r = NULL;
    int64_t begin = -1;
    SN_TRY(encode(p, c, in, err));
    int32_t *ids = sn_arena_array(&p->arena, in->n + 1, sizeof *ids);
    if (!ids)
        return no_memory(p, err);
    /* Where there is nothing to go on from, a text begins. */
    SN_CHECK(in->n || sn_json_int(sn_json_get(c->config.json, "bos_token_id"), &begin), err, SN_EINVAL,
             "%s: no tokens, and no bos_token_id", p->task);
    ids[0] = (int32_t)begin;
    if (in->n)
        memcpy(ids, in->ids, in->n * sizeof *ids);
    const int64_t dims[] = {1, in->n ? (int64_t)in->n : 1};
    const SnView v = sn_view(SN_I32, ids, 2, dims);
    SN_TRY(sn_model_generate(p->m, &v, NULL, c->given, &r, err));
    const SnView *all = &sn_results_find(r, "sequences")->view;
    SnStatus st = SN_OK;
    sn_text_add(p->out, "[", 1);
    for (int64_t i = 0; st == SN_OK && i < all->dims[0]; i++) {
        sn_text_add(p->out, ", ", i ? 2 : 0);
        st = put_row(p, c, in, (const int64_t *)all->data + i * all->dims[1], (size_t)all->dims[1], err);
    }
    sn_text_add(p->out, "]", 1);
    sn_results_destroy(r);
    return st;
}

/* ---- inputs ---- */

static bool is_message(const SnJson *v)
{
    return sn_json_get(v, "role") && sn_json_get(v, "content");
}

static SnStatus read_input(SnPipe *p, const SnJson *v, Prompt *in, SnError *err)
{
    *in = (Prompt){0};
    if (v->kind != SN_JSON_ARRAY)
        return sn_pipe_text(p, v, "an input", &in->text, err);
    for (uint32_t i = 0; i < v->n; i++)
        SN_CHECK(is_message(&v->u.child[i]), err, SN_EINVAL,
                 "%s: a message without a role or without content", p->task);
    SN_CHECK(v->n, err, SN_EINVAL, "%s: an empty list of messages", p->task);
    in->messages = v;
    return SN_OK;
}

SnStatus sn_pipe_generate(SnPipe *p, SnError *err)
{
    Continue c = {0};
    Prompt in;
    const SnJson *input = p->input;
    const bool is_list = input->kind == SN_JSON_ARRAY && !is_message(sn_json_at(input, 0));
    SN_CHECK(!is_list || input->n, err, SN_EINVAL, "%s: an empty list of inputs", p->task);
    SN_TRY(read_args(p, &c, err));
    sn_text_add(p->out, "[", is_list);
    for (uint32_t i = 0; i < (is_list ? input->n : 1); i++) {
        sn_text_add(p->out, ", ", i ? 2 : 0);
        SN_TRY(read_input(p, is_list ? &input->u.child[i] : input, &in, err));
        SN_TRY(run_prompt(p, &c, &in, err));
    }
    sn_text_add(p->out, "]", is_list);
    return SN_OK;
}
