/* chat_template.c -- messages to the text that a model was trained on, as apply_chat_template of
 * Transformers.
 *
 * The template is one of chat_template.jinja, additional_chat_templates/NAME.jinja, tokenizer_config.json (a
 * text, or a list of named ones) and chat_template.json of processors. */
#include "frontends/hf/chat_parse.h"
#include "frontends/jinja/jinja.h"
#include "frontends/model.h"

#include <dirent.h>
#include <stdio.h>

#define MAX_TEMPLATE  ((size_t)4 << 20)
#define MAX_NAMED     64
#define CONTINUED_TAG "CONTINUE_FINAL_MESSAGE_TAG "

typedef struct Named {
    SnBytes name, text;
} Named;

typedef struct Chat {
    SnModel *m;
    SnArena *arena;
    const SnJson *kwargs, *config; /* config: tokenizer_config.json, or NULL */
    Named template[MAX_NAMED];
    size_t ntemplate;
    bool is_single;    /* the templates are one without a name */
    SnBytes text;      /* of the one that is used */
    SnJson *messages;  /* as the template gets them */
    SnBytes continued; /* the end of the last message; at NULL: it is not continued */
    SnError *err;
} Chat;

static SnStatus no_memory(const Chat *c)
{
    return sn_fail(c->err, SN_ENOMEM, "%s: no memory for a chat", c->m->folder);
}

/* ---- files ---- */

/* A file of the model; {NULL, 0}: there is none. */
static SnStatus read_file(Chat *c, const char *name, SnBytes *out)
{
    *out = (SnBytes){0};
    return c->m->files ? sn_folder_read(c->m->files, name, out, c->err) : SN_OK;
}

static SnStatus read_json(Chat *c, const char *name, const SnJson **out)
{
    SnBytes text;
    SnJson *json = NULL;
    SN_TRY(read_file(c, name, &text));
    if (text.at)
        SN_TRY(sn_json_parse(c->arena, name, text, &json, c->err));
    *out = json;
    return SN_OK;
}

static SnStatus add_template(Chat *c, SnBytes name, SnBytes text)
{
    for (size_t i = 0; i < c->ntemplate; i++)
        if (sn_bytes_equal(c->template[i].name, name)) {
            c->template[i].text = text;
            return SN_OK;
        }
    SN_CHECK(c->ntemplate < MAX_NAMED, c->err, SN_EFORMAT, "%s: more than %d chat templates", c->m->folder,
             MAX_NAMED);
    c->template[c->ntemplate++] = (Named){name, text};
    return SN_OK;
}

static SnStatus read_named_file(Chat *c, const char *file)
{
    const size_t n = strlen(file);
    SnBytes text;
    if (n <= 6 || strcmp(file + n - 6, ".jinja") != 0)
        return SN_OK;
    const char *path = sn_arena_printf(c->arena, "additional_chat_templates/%s", file);
    const char *name = sn_arena_strndup(c->arena, file, n - 6);
    if (!path || !name)
        return no_memory(c);
    SN_TRY(read_file(c, path, &text));
    return add_template(c, sn_bytes_str(name), text);
}

static SnStatus read_template_files(Chat *c)
{
    SnBytes text;
    SN_TRY(read_file(c, "chat_template.jinja", &text));
    if (text.at)
        SN_TRY(add_template(c, sn_bytes_str("default"), text));
    const char *folder = sn_arena_printf(c->arena, "%s/additional_chat_templates", c->m->folder);
    if (!folder)
        return no_memory(c);
    DIR *dir = opendir(folder);
    SnStatus st = SN_OK;
    for (const struct dirent *e = dir ? readdir(dir) : NULL; e && st == SN_OK; e = readdir(dir))
        st = read_named_file(c, e->d_name);
    if (dir)
        (void)closedir(dir);
    c->is_single = text.at && c->ntemplate == 1;
    return st;
}

static SnStatus read_config_templates(Chat *c, const SnJson *v)
{
    SnBytes name, text;
    if (sn_json_string(v, &text)) {
        c->is_single = true;
        return add_template(c, sn_bytes_str("default"), text);
    }
    for (uint32_t i = 0; v && v->kind == SN_JSON_ARRAY && i < v->n; i++) {
        const SnJson *item = sn_json_at(v, i);
        SN_CHECK(sn_json_string(sn_json_get(item, "name"), &name) &&
                     sn_json_string(sn_json_get(item, "template"), &text),
                 c->err, SN_EFORMAT, "%s/tokenizer_config.json: chat template %u has no name or text",
                 c->m->folder, i);
        SN_TRY(add_template(c, name, text));
    }
    return SN_OK;
}

static SnStatus read_templates(Chat *c)
{
    SN_TRY(read_template_files(c));
    if (c->ntemplate == 0)
        SN_TRY(read_config_templates(c, sn_json_get(c->config, "chat_template")));
    if (c->ntemplate == 0) {
        const SnJson *legacy = NULL;
        SN_TRY(read_json(c, "chat_template.json", &legacy));
        SN_TRY(read_config_templates(c, sn_json_get(legacy, "chat_template")));
    }
    return SN_OK;
}

static const Named *find_template(const Chat *c, SnBytes name)
{
    for (size_t i = 0; i < c->ntemplate; i++)
        if (sn_bytes_equal(c->template[i].name, name))
            return &c->template[i];
    return NULL;
}

/* The argument chat_template is a name or a template; without it, tools choose. */
static SnStatus choose_template(Chat *c)
{
    SnBytes given;
    const bool has_tools = !sn_json_is_null(sn_json_get(c->kwargs, "tools"));
    const Named *t = NULL;
    if (sn_json_string(sn_json_get(c->kwargs, "chat_template"), &given)) {
        t = c->is_single ? NULL : find_template(c, given);
        c->text = t ? t->text : given;
        return SN_OK;
    }
    SN_CHECK(c->ntemplate, c->err, SN_EINVAL, "%s: there is no chat template", c->m->folder);
    t = has_tools && !c->is_single ? find_template(c, sn_bytes_str("tool_use")) : NULL;
    t = t ? t : find_template(c, sn_bytes_str("default"));
    SN_CHECK(t, c->err, SN_EINVAL, "%s: of %zu chat templates none is the default: name one", c->m->folder,
             c->ntemplate);
    c->text = t->text;
    return SN_OK;
}

/* ---- variables ---- */

/* Tokens by name: strings, or objects with their content. */
static SnStatus read_special(Chat *c, SnJson *out)
{
    static const char *const names[] = {"bos_token", "eos_token", "unk_token", "sep_token",
                                        "pad_token", "cls_token", "mask_token"};
    const SnJson *special = NULL;
    SN_TRY(read_json(c, "special_tokens_map.json", &special));
    SnJson *child = sn_arena_array(c->arena, SN_COUNT(names), sizeof *child);
    if (!child)
        return no_memory(c);
    *out = (SnJson){.kind = SN_JSON_OBJECT, .u = {.child = child}};
    for (size_t i = 0; i < SN_COUNT(names); i++) {
        const SnJson *v = sn_json_get(c->config, names[i]);
        SnBytes text;
        v = sn_json_is_null(v) ? sn_json_get(special, names[i]) : v;
        if (sn_json_string(v, &text) || sn_json_string(sn_json_get(v, "content"), &text))
            child[out->n++] =
                (SnJson){.kind = SN_JSON_STRING, .u = {.string = text}, .key = sn_bytes_str(names[i])};
    }
    return SN_OK;
}

/* What the caller gives beyond what has a meaning of its own here. */
static SnStatus read_extra(Chat *c, SnJson *out)
{
    static const char own[] =
        "chat_template tokenize padding truncation max_length return_tensors return_dict "
        "return_assistant_tokens_mask tokenizer_kwargs sanitize_control_tokens continue_final_message tools "
        "documents add_generation_prompt messages conversation";
    const uint32_t n = c->kwargs ? c->kwargs->n : 0;
    SnJson *child = sn_arena_array(c->arena, (size_t)n + 1, sizeof *child);
    if (!child)
        return no_memory(c);
    *out = (SnJson){.kind = SN_JSON_OBJECT, .u = {.child = child}};
    for (uint32_t i = 0; i < n; i++)
        if (!sn_is_one_of(c->kwargs->u.child[i].key, own))
            child[out->n++] = c->kwargs->u.child[i];
    return SN_OK;
}

static bool flag_of(const Chat *c, const char *name)
{
    bool v = false;
    int64_t n = 0;
    const SnJson *json = sn_json_get(c->kwargs, name);
    return sn_json_bool(json, &v) ? v : sn_json_int(json, &n) ? n != 0 : json && json->kind == SN_JSON_STRING;
}

/* messages, tools, documents, add_generation_prompt */
static SnStatus read_given(Chat *c, SnJson *out)
{
    SnJson *child = sn_arena_array(c->arena, 4, sizeof *child);
    if (!child)
        return no_memory(c);
    const SnJson none = {.kind = SN_JSON_NULL};
    const SnJson *tools = sn_json_get(c->kwargs, "tools"), *documents = sn_json_get(c->kwargs, "documents");
    const SnJson *prompt = sn_json_get(c->kwargs, "add_generation_prompt");
    *out = (SnJson){.kind = SN_JSON_OBJECT, .n = 4, .u = {.child = child}};
    child[0] = *c->messages;
    child[0].key = sn_bytes_str("messages");
    child[1] = tools ? *tools : none;
    child[1].key = sn_bytes_str("tools");
    child[2] = documents ? *documents : none;
    child[2].key = sn_bytes_str("documents");
    child[3] = prompt ? *prompt : (SnJson){.kind = SN_JSON_BOOL};
    child[3].key = sn_bytes_str("add_generation_prompt");
    return SN_OK;
}

/* ---- messages ---- */

static SnJson *find_key(SnJson *object, const char *key)
{
    for (uint32_t i = 0; i < object->n; i++)
        if (sn_bytes_is(object->u.child[i].key, key))
            return &object->u.child[i];
    return NULL;
}

static const char *const reasoning[] = {"reasoning_content", "thinking", "reasoning"};

/* Keys that are null are left out; what was thought is given under the names that templates know. */
static SnStatus copy_message(Chat *c, const SnJson *from, SnJson *to)
{
    SnJson *child = sn_arena_array(c->arena, (size_t)from->n + 2, sizeof *child);
    const SnJson *thought = NULL;
    uint32_t n = 1;
    if (!child)
        return no_memory(c);
    for (uint32_t i = 0; i < from->n; i++)
        if (from->u.child[i].kind != SN_JSON_NULL)
            child[n++] = from->u.child[i];
    /* The first place is for `thinking`, should it be missing. */
    *to = (SnJson){.kind = SN_JSON_OBJECT, .n = n - 1, .u = {.child = child + 1}};
    for (size_t i = 0; i < SN_COUNT(reasoning) && !thought; i++)
        thought = find_key(to, reasoning[i]);
    if (!thought)
        return SN_OK;
    const SnJson value = *thought;
    SnJson *standard = find_key(to, reasoning[0]);
    if (!standard)
        standard = &child[n++];
    *standard = value;
    standard->key = sn_bytes_str(reasoning[0]);
    const bool has_thinking = find_key(to, reasoning[1]) != NULL;
    if (!has_thinking) {
        child[0] = value;
        child[0].key = sn_bytes_str(reasoning[1]);
    }
    to->u.child = child + has_thinking;
    to->n = n - has_thinking;
    return SN_OK;
}

static SnStatus copy_messages(Chat *c, const SnJson *messages)
{
    SN_CHECK(messages && messages->kind == SN_JSON_ARRAY, c->err, SN_EINVAL, "messages are a list");
    SN_CHECK(messages->n, c->err, SN_EINVAL,
             "Cannot apply chat template to an empty conversation. Provide at least one message.");
    c->messages = sn_arena_array(c->arena, 1, sizeof *c->messages);
    SnJson *child = sn_arena_array(c->arena, messages->n, sizeof *child);
    if (!c->messages || !child)
        return no_memory(c);
    for (uint32_t i = 0; i < messages->n; i++) {
        SN_CHECK(messages->u.child[i].kind == SN_JSON_OBJECT, c->err, SN_EINVAL, "message %u is no object",
                 i);
        SN_TRY(copy_message(c, &messages->u.child[i], &child[i]));
    }
    *c->messages = (SnJson){.kind = SN_JSON_ARRAY, .n = messages->n, .u = {.child = child}};
    return SN_OK;
}

/* ---- a final message that goes on ---- */

static bool has_text(SnBytes text, SnBytes what)
{
    for (size_t i = 0; what.n <= text.n && i <= text.n - what.n; i++)
        if (memcmp(text.at + i, what.at, what.n) == 0)
            return true;
    return false;
}

static SnStatus add_tag(Chat *c, SnJson *v)
{
    const size_t n = v->u.string.n;
    char *text = sn_arena_alloc(c->arena, n + sizeof CONTINUED_TAG);
    if (!text)
        return no_memory(c);
    memcpy(text, v->u.string.at, n);
    memcpy(text + n, CONTINUED_TAG, sizeof CONTINUED_TAG);
    v->u.string = sn_bytes(text, n + sizeof CONTINUED_TAG - 1);
    return SN_OK;
}

/* The text of the last block of a content that has one. */
static SnStatus copy_blocks(Chat *c, SnJson *v, SnJson **text)
{
    SnJson *child = sn_arena_array(c->arena, (size_t)v->n + 1, sizeof *child);
    if (!child)
        return no_memory(c);
    memcpy(child, v->u.child, v->n * sizeof *child);
    v->u.child = child;
    for (uint32_t i = v->n; i-- > 0 && !*text;) {
        const SnJson block = child[i];
        if (block.kind != SN_JSON_OBJECT || !sn_json_get(&block, "text"))
            continue;
        SN_TRY(copy_message(c, &block, &child[i]));
        *text = find_key(&child[i], "text");
    }
    return SN_OK;
}

static bool is_reasoning(SnBytes field)
{
    return SN_FIND_WORD(reasoning, field) < SN_COUNT(reasoning);
}

static SnStatus tag_field(Chat *c, SnJson *message, const char *field)
{
    SnJson *v = find_key(message, field), *text = v;
    if (v->kind == SN_JSON_ARRAY) {
        text = NULL;
        SN_TRY(copy_blocks(c, v, &text));
        SN_CHECK(
            text, c->err, SN_EINVAL,
            "continue_final_message is set but we could not find any text to continue in the final message!");
    }
    SN_CHECK(text->kind == SN_JSON_STRING, c->err, SN_EINVAL, "the final message is no text");
    c->continued = text->u.string;
    return add_tag(c, text);
}

static SnStatus tag_message(Chat *c)
{
    SnJson *message = &c->messages->u.child[c->messages->n - 1];
    SnBytes field = sn_bytes_str("content");
    bool is_read = false;
    (void)sn_json_string(sn_json_get(c->kwargs, "continue_final_message"), &field);
    const char *name = sn_arena_strndup(c->arena, (const char *)field.at, field.n);
    if (!name)
        return no_memory(c);
    const SnJson *given = find_key(message, name);
    SN_CHECK(given, c->err, SN_EINVAL,
             "continue_final_message is set but the final message has no \"%s\" to continue!", name);
    const SnJson original = *given;
    const size_t nfield = is_reasoning(field) ? SN_COUNT(reasoning) : 1;
    for (size_t i = 0; i < nfield; i++) {
        const char *one = nfield > 1 ? reasoning[i] : name;
        const SnJson *v = find_key(message, one);
        if (!v || v->kind != original.kind ||
            (v->kind == SN_JSON_STRING && !sn_bytes_equal(v->u.string, original.u.string)))
            continue;
        is_read = is_read || has_text(c->text, sn_bytes_str(one));
        SN_TRY(tag_field(c, message, one));
    }
    SN_CHECK(is_read, c->err, SN_EINVAL,
             "continue_final_message is set to \"%s\" but this is not an accepted field in the chat_template",
             name);
    return SN_OK;
}

/* The text ends where the final message does. */
static SnStatus cut_at_tag(Chat *c, SnText *text)
{
    const size_t tag = sizeof CONTINUED_TAG - 2;
    size_t at = text->n;
    while (at > 0 && (text->n - at < tag || memcmp(text->at + at, CONTINUED_TAG, tag) != 0))
        at--;
    const bool is_there = text->n - at >= tag && memcmp(text->at + at, CONTINUED_TAG, tag) == 0;
    SN_CHECK(is_there && has_text(sn_bytes(text->at, text->n), sn_chat_strip(c->continued)), c->err,
             SN_EINVAL,
             "continue_final_message is set but the final message does not appear in the chat after applying "
             "the chat "
             "template! This can happen if the chat template deletes portions of the final message.");
    const bool keeps_space = text->n - at > tag && text->at[at + tag] == ' ';
    while (!keeps_space && at > 0 && sn_chat_is_blank((uint8_t)text->at[at - 1]))
        at--;
    text->n = at;
    text->at[text->n] = '\0';
    return SN_OK;
}

/* ---- all of it ---- */

static SnStatus prepare(Chat *c, const SnJson *messages, SnJson vars[3])
{
    const bool continues = flag_of(c, "continue_final_message");
    SN_CHECK(!continues || !flag_of(c, "add_generation_prompt"), c->err, SN_EINVAL,
             "continue_final_message and add_generation_prompt are not compatible.");
    SN_CHECK(!continues || !flag_of(c, "return_assistant_tokens_mask"), c->err, SN_EINVAL,
             "continue_final_message is not compatible with return_assistant_tokens_mask.");
    SN_TRY(read_json(c, "tokenizer_config.json", &c->config));
    SN_TRY(read_templates(c));
    SN_TRY(choose_template(c));
    SN_CHECK(c->text.n <= MAX_TEMPLATE, c->err, SN_EFORMAT, "%s: a chat template of %zu bytes", c->m->folder,
             c->text.n);
    SN_TRY(copy_messages(c, messages));
    if (continues)
        SN_TRY(tag_message(c));
    SN_TRY(read_special(c, &vars[0]));
    SN_TRY(read_extra(c, &vars[1]));
    return read_given(c, &vars[2]);
}

static SnStatus render(Chat *c, const SnJson vars[3], SnText *text, SnJinjaSpans *spans)
{
    SnJinja *t = NULL;
    SnArena tree;
    const SnJson *all[] = {&vars[0], &vars[1], &vars[2]};
    /* What a template draws goes by a variable that is called so. */
    int64_t seed = 0;
    for (size_t i = 0; i < SN_COUNT(all); i++)
        (void)sn_json_int(sn_json_get(all[i], "seed"), &seed);
    const SnJinjaRender o = {.vars = all, .nvars = SN_COUNT(all), .seed = (uint64_t)seed, .spans = spans};
    sn_arena_init(&tree, c->arena->memory);
    tree.limit = (size_t)256 << 20;
    SnStatus st = sn_jinja_parse(&tree, "chat template", c->text, &t, c->err);
    if (st == SN_OK)
        st = sn_jinja_render(t, &o, text, c->err);
    sn_arena_clear(&tree);
    return st == SN_OK && c->continued.at ? cut_at_tag(c, text) : st;
}

static SnStatus give(Chat *c, const SnText *text, const SnJinjaSpans *spans, SnChatText *out)
{
    const char *own = sn_arena_strndup(c->arena, text->at ? text->at : "", text->n);
    SnChatSpan *span = sn_arena_array(c->arena, spans->n + 1, sizeof *span);
    if (!own || !span)
        return no_memory(c);
    for (size_t i = 0; i < spans->n; i++)
        span[i] = (SnChatSpan){spans->at[i].begin, spans->at[i].end};
    *out = (SnChatText){.text = sn_bytes(own, text->n), .span = span, .nspan = spans->n};
    return SN_OK;
}

SnStatus sn_model_has_chat(SnModel *m, SnArena *arena, bool *has, SnError *err)
{
    Chat *c = sn_arena_alloc(arena, sizeof *c);
    SN_CHECK(c, err, SN_ENOMEM, "%s: no memory for a chat", m->folder);
    *c = (Chat){.m = m, .arena = arena, .err = err};
    SN_TRY(read_json(c, "tokenizer_config.json", &c->config));
    SN_TRY(read_templates(c));
    *has = c->ntemplate > 0;
    return SN_OK;
}

SnStatus sn_model_chat_text(SnModel *m, const SnJson *messages, const SnJson *kwargs, SnArena *arena,
                            SnChatText *out, SnError *err)
{
    SnJson vars[3];
    SnJinjaSpans spans = {0};
    SnText text = {.memory = arena->memory};
    Chat *c = sn_arena_alloc(arena, sizeof *c);
    SN_CHECK(c, err, SN_ENOMEM, "%s: no memory for a chat", m->folder);
    *c = (Chat){.m = m, .arena = arena, .kwargs = kwargs, .err = err};
    SnStatus st = prepare(c, messages, vars);
    if (st == SN_OK)
        st = render(c, vars, &text, &spans);
    if (st == SN_OK)
        st = give(c, &text, &spans, out);
    sn_text_clear(&text);
    sn_vec_clear(arena->memory, &spans);
    return st;
}

SnStatus sn_model_parse_response(SnModel *m, SnBytes text, SnBytes prefix, const SnJson *schema,
                                 const SnJson *tools, SnArena *arena, SnJson *out, SnError *err)
{
    Chat *c = sn_arena_alloc(arena, sizeof *c);
    SnJson *known = NULL;
    const SnJson kwargs = {.kind = SN_JSON_OBJECT};
    SN_CHECK(c, err, SN_ENOMEM, "%s: no memory for a message", m->folder);
    *c = (Chat){.m = m, .arena = arena, .kwargs = &kwargs, .err = err};
    SN_TRY(read_json(c, "tokenizer_config.json", &c->config));
    if (!schema)
        schema = sn_json_get(c->config, "response_template");
    if (sn_json_is_null(schema)) {
        SN_TRY(read_templates(c));
        SN_TRY(c->ntemplate ? choose_template(c) : SN_OK);
        const char *own = sn_chat_schema(c->text);
        SN_CHECK(own, err, SN_EUNSUPPORTED, "%s: this tokenizer has no response_template", m->folder);
        SN_TRY(sn_json_parse(arena, "response_template", sn_bytes_str(own), &known, err));
        schema = known;
    }
    return sn_chat_parse(arena, schema, prefix, text, tools, out, err);
}
