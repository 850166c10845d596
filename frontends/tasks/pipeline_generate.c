/* pipeline_generate.c -- the text-generation pipeline: prompts or chats in, texts that go on from them out.
 */
#include "frontends/tasks/generate.h"
#include "frontends/tasks/pipeline.h"

static const char own_args[] = "return_full_text return_tensors return_text prefix skip_special_tokens "
                               "clean_up_tokenization_spaces add_special_tokens stop_sequence truncation "
                               "continue_final_message tools documents batch_size num_workers";

typedef struct Writer {
    SnPipe *p;
    bool gives_full, gives_tokens, skips_special, adds_special;
    SnBytes prefix;
    const SnJson *config;
} Writer;

/* ---- arguments ---- */

static bool is_set(const SnJson *file, const SnPipe *p, const char *key)
{
    return sn_json_get(p->kwargs, key) || !sn_json_is_null(sn_json_get(file, key));
}

static void put(SnJson *object, const char *key, SnJson v)
{
    v.key = sn_bytes_str(key);
    object->u.child[object->n++] = v;
}

/* Keys of GenerationConfig among the arguments, and the defaults of the reference for what neither they nor
 * the folder say. */
static SnStatus read_config(Writer *w, SnError *err)
{
    SnPipe *p = w->p;
    const SnJson *file = NULL, *stop = sn_pipe_arg(p, "stop_sequence"), *sample;
    const uint32_t n = p->kwargs ? p->kwargs->n : 0;
    SnJson *all = sn_arena_array(&p->arena, n + 8, sizeof *all);
    SN_CHECK(all, err, SN_ENOMEM, "%s: no memory", p->task);
    SN_TRY(sn_gen_file(p->m, &p->arena, &file, err));
    *all = (SnJson){.kind = SN_JSON_OBJECT, .u.child = all + 1};
    for (uint32_t i = 0; i < n; i++)
        if (!sn_pipe_is_listed(p->kwargs->u.child[i].key, own_args))
            all->u.child[all->n++] = p->kwargs->u.child[i];
    if (stop)
        put(all, "stop_strings", *stop);
    if (!is_set(file, p, "do_sample"))
        put(all, "do_sample", (SnJson){.kind = SN_JSON_BOOL, .u.boolean = true});
    if (!is_set(file, p, "max_new_tokens") && !is_set(file, p, "max_length"))
        put(all, "max_new_tokens", (SnJson){.kind = SN_JSON_INT, .u.integer = 256});
    sample = sn_json_get(all, "do_sample");
    bool is_sampled = false;
    (void)sn_json_bool(sample ? sample : sn_json_get(file, "do_sample"), &is_sampled);
    if (is_sampled && !is_set(file, p, "temperature"))
        put(all, "temperature", (SnJson){.kind = SN_JSON_FLOAT, .u.number = 0.7});
    w->config = all;
    return SN_OK;
}

static SnStatus read_args(Writer *w, SnError *err)
{
    SnPipe *p = w->p;
    w->gives_full = w->skips_special = w->adds_special = true;
    SN_TRY(sn_pipe_bool(p, "return_full_text", &w->gives_full, err));
    SN_TRY(sn_pipe_bool(p, "return_tensors", &w->gives_tokens, err));
    SN_TRY(sn_pipe_bool(p, "skip_special_tokens", &w->skips_special, err));
    SN_TRY(sn_pipe_bool(p, "add_special_tokens", &w->adds_special, err));
    SN_TRY(sn_pipe_bool(p, "clean_up_tokenization_spaces", &p->tokenizer.cleans_up, err));
    SN_CHECK(!sn_pipe_arg(p, "truncation") && !sn_pipe_arg(p, "return_text"), err, SN_EUNSUPPORTED,
             "%s: arguments truncation and return_text", p->task);
    if (sn_pipe_arg(p, "prefix"))
        SN_TRY(sn_pipe_text(p, sn_pipe_arg(p, "prefix"), "prefix", &w->prefix, err));
    return read_config(w, err);
}

/* ---- prompts ---- */

/* Tokens of a prompt, i64[1, n]; *n of them are the prompt: without any, generation begins with bos. */
static SnStatus encode(Writer *w, SnBytes text, bool adds_special, SnView *ids, size_t *n, SnError *err)
{
    SnPipe *p = w->p;
    const SnTokenizeOptions o = {.struct_size = sizeof o, .no_special = !adds_special};
    SnEncoding *e = NULL;
    SN_TRY(sn_pipe_encode(p, &text, NULL, 1, &o, &e, err));
    int64_t *id = sn_arena_array(&p->arena, e->n + 1, sizeof *id);
    SN_CHECK(id, err, SN_ENOMEM, "%s: no memory for tokens", p->task);
    *n = e->n;
    for (size_t i = 0; i < e->n; i++)
        id[i] = e->ids[i];
    if (e->n == 0) {
        const SnJson *file = NULL;
        SN_TRY(sn_gen_file(p->m, &p->arena, &file, err));
        SN_CHECK(sn_json_int(sn_json_get(file, "bos_token_id"), id), err, SN_EINVAL,
                 "%s: an empty prompt, and no bos_token_id", p->task);
    }
    *ids = sn_view(SN_I64, id, 2, (const int64_t[]){1, e->n ? (int64_t)e->n : 1});
    return SN_OK;
}

/* ---- results ---- */

static SnStatus put_tokens(Writer *w, const int64_t *id, int64_t n)
{
    sn_text_printf(w->p->out, "{\"generated_token_ids\": [");
    for (int64_t i = 0; i < n; i++)
        sn_text_printf(w->p->out, "%s%lld", i ? ", " : "", (long long)id[i]);
    sn_text_printf(w->p->out, "]}");
    return SN_OK;
}

/* What a chat becomes: its messages, and the new one; or its last one, which goes on. */
static void put_messages(Writer *w, const SnJson *messages, bool goes_on, SnBytes text)
{
    SnText *out = w->p->out;
    const uint32_t kept = messages->n - goes_on;
    SnText all = {.memory = w->p->arena.memory};
    SnBytes role = sn_bytes_str("assistant"), before = {0};
    sn_text_add(out, "[", 1);
    for (uint32_t i = 0; i < kept; i++) {
        sn_json_put(out, &messages->u.child[i]);
        sn_text_add(out, ", ", 2);
    }
    if (goes_on) {
        (void)sn_json_string(sn_json_get(&messages->u.child[kept], "role"), &role);
        (void)sn_json_string(sn_json_get(&messages->u.child[kept], "content"), &before);
    }
    sn_text_add(&all, before.at ? (const char *)before.at : "", before.n);
    sn_text_add(&all, (const char *)text.at, text.n);
    sn_text_printf(out, "{\"role\": ");
    sn_json_put_string(out, role);
    sn_text_printf(out, ", \"content\": ");
    sn_json_put_string(out, sn_bytes(all.at ? all.at : "", all.n));
    sn_text_printf(out, "}]");
    out->failed = out->failed || all.failed;
    sn_text_clear(&all);
}

typedef struct Prompt {
    SnBytes text;           /* or: */
    const SnJson *messages; /* of a chat; NULL: none */
    bool goes_on;
} Prompt;

static SnStatus put_record(Writer *w, const Prompt *prompt, const int64_t *id, int64_t n, int64_t nprompt,
                           SnError *err)
{
    SnPipe *p = w->p;
    if (w->gives_tokens)
        return put_tokens(w, id, n);
    SnText text = {.memory = p->arena.memory};
    const bool is_whole = w->gives_full && !prompt->messages;
    if (is_whole)
        sn_text_add(&text, prompt->text.at ? (const char *)prompt->text.at : "", prompt->text.n);
    SnStatus st = sn_pipe_decode(p, id + nprompt, (size_t)(n - nprompt), w->skips_special, &text, err);
    if (st == SN_OK) {
        const SnBytes t = sn_bytes(text.at ? text.at : "", text.n);
        sn_text_printf(p->out, "{\"generated_text\": ");
        if (w->gives_full && prompt->messages)
            put_messages(w, prompt->messages, prompt->goes_on, t);
        else
            sn_json_put_string(p->out, t);
        sn_text_add(p->out, "}", 1);
    }
    sn_text_clear(&text);
    return st;
}

static SnStatus run_prompt(Writer *w, const Prompt *prompt, SnBytes text, bool adds_special, SnError *err)
{
    SnPipe *p = w->p;
    SnView ids;
    size_t n = 0;
    SnResults *r = NULL;
    SN_TRY(encode(w, text, adds_special, &ids, &n, err));
    SN_TRY(sn_model_generate(p->m, &ids, NULL, w->config, &r, err));
    const SnView *v = &sn_results_find(r, "sequences")->view;
    SnStatus st = SN_OK;
    sn_text_add(p->out, "[", 1);
    for (int64_t i = 0; st == SN_OK && i < v->dims[0]; i++) {
        sn_text_add(p->out, ", ", i ? 2 : 0);
        st = put_record(w, prompt, (const int64_t *)v->data + i * v->dims[1], v->dims[1], (int64_t)n, err);
    }
    sn_text_add(p->out, "]", 1);
    sn_results_destroy(r);
    return st;
}

static SnStatus run_text(Writer *w, const SnJson *input, SnError *err)
{
    Prompt prompt = {0};
    SnBytes all;
    SN_TRY(sn_pipe_text(w->p, input, "a prompt", &prompt.text, err));
    all = prompt.text;
    if (w->prefix.n) {
        SnText joined = {.memory = w->p->arena.memory};
        sn_text_add(&joined, (const char *)w->prefix.at, w->prefix.n);
        sn_text_add(&joined, (const char *)all.at, all.n);
        const char *own = joined.failed ? NULL : sn_arena_strndup(&w->p->arena, joined.at, joined.n);
        all = sn_bytes(own, joined.n);
        sn_text_clear(&joined);
        SN_CHECK(own, err, SN_ENOMEM, "%s: no memory for a prompt", w->p->task);
    }
    return run_prompt(w, &prompt, all, w->adds_special, err);
}

static bool is_chat(const SnJson *v)
{
    return v->kind == SN_JSON_ARRAY && v->n && sn_json_get(&v->u.child[0], "role");
}

/* The chat's own arguments, and whether its last message goes on: as it is said, or if it is the assistant's.
 */
static SnStatus chat_args(Writer *w, const SnJson *messages, Prompt *prompt, SnJson **out, SnError *err)
{
    static const char *const passed[] = {"tools", "documents"};
    SnPipe *p = w->p;
    SnJson *all = sn_arena_array(&p->arena, 5, sizeof *all);
    SN_CHECK(all, err, SN_ENOMEM, "%s: no memory", p->task);
    *all = (SnJson){.kind = SN_JSON_OBJECT, .u.child = all + 1};
    prompt->messages = messages;
    prompt->goes_on = sn_json_is(sn_json_get(&messages->u.child[messages->n - 1], "role"), "assistant");
    SN_TRY(sn_pipe_bool(p, "continue_final_message", &prompt->goes_on, err));
    put(all, "add_generation_prompt", (SnJson){.kind = SN_JSON_BOOL, .u.boolean = !prompt->goes_on});
    put(all, "continue_final_message", (SnJson){.kind = SN_JSON_BOOL, .u.boolean = prompt->goes_on});
    for (size_t i = 0; i < SN_COUNT(passed); i++)
        if (sn_pipe_arg(p, passed[i]))
            put(all, passed[i], *sn_pipe_arg(p, passed[i]));
    *out = all;
    return SN_OK;
}

static SnStatus run_chat(Writer *w, const SnJson *messages, SnError *err)
{
    Prompt prompt = {0};
    SnJson *args = NULL;
    SnChatText chat = {0};
    SN_TRY(chat_args(w, messages, &prompt, &args, err));
    SN_TRY(sn_model_chat_text(w->p->m, messages, args, &w->p->arena, &chat, err));
    return run_prompt(w, &prompt, chat.text, false, err);
}

static SnStatus run_input(Writer *w, const SnJson *input, SnError *err)
{
    return is_chat(input) ? run_chat(w, input, err) : run_text(w, input, err);
}

SnStatus sn_pipe_generate(SnPipe *p, SnError *err)
{
    Writer w = {.p = p};
    const SnJson *input = p->input;
    SN_TRY(read_args(&w, err));
    if (input->kind != SN_JSON_ARRAY || is_chat(input))
        return run_input(&w, input, err);
    SN_CHECK(input->n, err, SN_EINVAL, "%s: no prompts", p->task);
    sn_text_add(p->out, "[", 1);
    for (uint32_t i = 0; i < input->n; i++) {
        sn_text_add(p->out, ", ", i ? 2 : 0);
        SN_TRY(run_input(&w, &input->u.child[i], err));
    }
    sn_text_add(p->out, "]", 1);
    return SN_OK;
}
