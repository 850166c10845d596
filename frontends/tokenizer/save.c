/* save.c -- tokenizer files as the library saves them: tokenizer.json in the order of its fields,
 * tokenizer_config.json, special_tokens_map.json, chat_template.jinja.
 *
 * tokenizer.json is written as the reference writes what it read: old forms become today's, vocabularies go
 * by id, floats are Rust's. A file of one line stays one. */
#include "frontends/tokenizer/save.h"

#include "runtime/hash.h"
#include "runtime/json.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

/* ---- JSON as serde writes it ---- */

typedef struct Writer {
    SnText *out;
    bool is_pretty, is_empty; /* is_empty: nothing was put in the container yet */
    int depth;
} Writer;

static void new_line(Writer *w)
{
    if (w->is_pretty)
        sn_text_printf(w->out, "\n%*s", 2 * w->depth, "");
}

static void open_container(Writer *w, char bracket)
{
    sn_text_add(w->out, &bracket, 1);
    w->depth++;
    w->is_empty = true;
}

static void close_container(Writer *w, char bracket)
{
    w->depth--;
    if (!w->is_empty)
        new_line(w);
    sn_text_add(w->out, &bracket, 1);
    w->is_empty = false;
}

static void next_element(Writer *w)
{
    if (!w->is_empty)
        sn_text_add(w->out, ",", 1);
    new_line(w);
    w->is_empty = false;
}

static void put_key(Writer *w, SnBytes key)
{
    next_element(w);
    sn_json_put_string(w->out, key);
    sn_text_printf(w->out, w->is_pretty ? ": " : ":");
}

/* What the reference reads where a file has v in its shortest form: digits as a whole number, rounded, and
 * that by a power of ten, rounded again. */
static double reread(const SnText *shortest)
{
    uint64_t digits = 0;
    long exponent = 0;
    bool in_fraction = false;
    const char *c = shortest->at;
    for (; c && *c && *c != 'e'; c++) {
        in_fraction |= *c == '.';
        if (*c < '0' || *c > '9')
            continue;
        digits = digits * 10 + (uint64_t)(*c - '0');
        exponent -= in_fraction;
    }
    exponent += c && *c ? strtol(c + 1, NULL, 10) : 0;
    const double by = pow(10, (double)labs(exponent)), v = (double)digits;
    return (shortest->at && shortest->at[0] == '-' ? -1 : 1) * (exponent < 0 ? v / by : v * by);
}

/* Rust writes 0.00001 and 1e-7 where Python writes 1e-05 and 1e-07. */
static void put_float(SnText *out, double v)
{
    SnText t = {.memory = out->memory};
    sn_json_put_f64(&t, v);
    v = reread(&t);
    t.n = 0;
    sn_json_put_f64(&t, v);
    const char *e = t.at ? strchr(t.at, 'e') : NULL;
    if (!e) {
        sn_text_add(out, t.at ? t.at : "", t.n);
    } else if (strcmp(e, "e-05") == 0) {
        sn_text_printf(out, "%s0.0000", v < 0 ? "-" : "");
        for (const char *c = t.at; c < e; c++)
            if (*c >= '0' && *c <= '9')
                sn_text_add(out, c, 1);
    } else {
        sn_text_printf(out, "%.*s%s", (int)(e - t.at) + 2, t.at, e[2] == '0' ? e + 3 : e + 2);
    }
    out->failed |= t.failed;
    sn_text_clear(&t);
}

static void put_value(Writer *w, const SnJson *v)
{
    if (!v) {
        sn_text_printf(w->out, "null");
        return;
    }
    if (v->kind == SN_JSON_FLOAT) {
        put_float(w->out, v->u.number);
        return;
    }
    if (v->kind != SN_JSON_ARRAY && v->kind != SN_JSON_OBJECT) {
        sn_json_put(w->out, v);
        return;
    }
    const bool is_object = v->kind == SN_JSON_OBJECT;
    open_container(w, is_object ? '{' : '[');
    for (uint32_t i = 0; i < v->n; i++) {
        if (is_object)
            put_key(w, v->u.child[i].key);
        else
            next_element(w);
        put_value(w, &v->u.child[i]);
    }
    close_container(w, is_object ? '}' : ']');
}

/* ---- parts ---- */

/* Fields in their order, NAME or NAME=what stands for it where it is absent. */
typedef struct Part {
    const char *type, *fields;
} Part;

static const Part normalizers[] = {
    {"BertNormalizer", "clean_text handle_chinese_chars strip_accents lowercase"},
    {"Strip", "strip_left strip_right"},
    {"Sequence", "normalizers"},
    {"Precompiled", "precompiled_charsmap"},
    {"Replace", "pattern content"},
    {"Prepend", "prepend"},
    {NULL, NULL}};
static const Part pre_tokenizers[] = {{"ByteLevel", "add_prefix_space trim_offsets use_regex=true"},
                                      {"CharDelimiterSplit", "delimiter"},
                                      {"Metaspace", "replacement prepend_scheme=\"always\" split=true"},
                                      {"Split", "pattern behavior invert"},
                                      {"Punctuation", "behavior=\"Isolated\""},
                                      {"Sequence", "pretokenizers"},
                                      {"Digits", "individual_digits"},
                                      {"FixedLength", "length"},
                                      {NULL, NULL}};
static const Part post_processors[] = {{"RobertaProcessing", "sep cls trim_offsets add_prefix_space"},
                                       {"BertProcessing", "sep cls"},
                                       {"ByteLevel", "add_prefix_space trim_offsets use_regex=true"},
                                       {"TemplateProcessing", "single pair special_tokens"},
                                       {"Sequence", "processors"},
                                       {NULL, NULL}};
static const Part decoders[] = {{"BPEDecoder", "suffix"},
                                {"ByteLevel", "add_prefix_space trim_offsets use_regex=true"},
                                {"WordPiece", "prefix cleanup"},
                                {"Metaspace", "replacement prepend_scheme=\"always\" split=true"},
                                {"CTC", "pad_token word_delimiter_token cleanup"},
                                {"Sequence", "decoders"},
                                {"Replace", "pattern content"},
                                {"Strip", "content start stop"},
                                {NULL, NULL}};
static const Part models[] = {
    {"BPE",
     "dropout=null unk_token=null continuing_subword_prefix=null end_of_word_suffix=null fuse_unk=false "
     "byte_fallback=false ignore_merges=false vocab merges"},
    {"WordPiece", "unk_token continuing_subword_prefix max_input_chars_per_word vocab"},
    {"Unigram", "unk_id=null vocab byte_fallback=false"},
    {"WordLevel", "vocab unk_token"},
    {NULL, NULL}};

static bool has_fields(const SnJson *v, const char *fields)
{
    for (const char *at = fields; *at;) {
        const size_t n = strcspn(at, " "), name = strcspn(at, " =");
        bool found = name < n; /* it may be absent */
        for (uint32_t i = 0; i < v->n; i++)
            found |= v->u.child[i].key.n == name && memcmp(v->u.child[i].key.at, at, name) == 0;
        if (!found)
            return false;
        at += n + (at[n] == ' ');
    }
    return true;
}

/* NULL: a part without fields. Where the file names no type, its fields do. */
static const Part *find_part(const Part *parts, const SnJson *v)
{
    const SnJson *type = sn_json_get(v, "type");
    for (; parts->type; parts++)
        if (type ? sn_json_is(type, parts->type) : v->kind == SN_JSON_OBJECT && has_fields(v, parts->fields))
            return parts;
    return NULL;
}

static int by_id(const void *x, const void *y)
{
    const SnJson *a = *(const SnJson *const *)x, *b = *(const SnJson *const *)y;
    return a->u.integer < b->u.integer ? -1 : a->u.integer > b->u.integer;
}

static int by_key(const void *x, const void *y)
{
    const SnBytes a = (*(const SnJson *const *)x)->key, b = (*(const SnJson *const *)y)->key;
    return sn_bytes_compare(a, b);
}

/* An object with its members sorted. */
static void put_sorted(Writer *w, const SnJson *v, int (*compare)(const void *, const void *))
{
    const SnAllocator *memory = w->out->memory;
    SN_VEC(const SnJson *) all = {0};
    for (uint32_t i = 0; v && v->kind == SN_JSON_OBJECT && i < v->n; i++)
        w->out->failed |= !sn_vec_push(memory, &all, &v->u.child[i]);
    if (all.n)
        qsort(all.at, all.n, sizeof *all.at, compare);
    open_container(w, '{');
    for (size_t i = 0; i < all.n; i++) {
        put_key(w, all.at[i]->key);
        put_value(w, all.at[i]);
    }
    close_container(w, '}');
    sn_vec_clear(memory, &all);
}

/* Pairs; "a b" is an old form of them. */
static void put_merges(Writer *w, const SnJson *v)
{
    open_container(w, '[');
    for (uint32_t i = 0; v && v->kind == SN_JSON_ARRAY && i < v->n; i++) {
        SnBytes s;
        next_element(w);
        if (!sn_json_string(&v->u.child[i], &s)) {
            put_value(w, &v->u.child[i]);
            continue;
        }
        const uint8_t *space = memchr(s.at, ' ', s.n);
        const size_t n = space ? (size_t)(space - s.at) : s.n, skip = space ? n + 1 : n;
        open_container(w, '[');
        next_element(w);
        sn_json_put_string(w->out, sn_bytes(s.at, n));
        next_element(w);
        sn_json_put_string(w->out, sn_bytes(s.at + skip, s.n - skip));
        close_container(w, ']');
    }
    close_container(w, ']');
}

/* Pieces and their scores, which are floats also where the file has integers. */
static void put_scores(Writer *w, const SnJson *v)
{
    open_container(w, '[');
    for (uint32_t i = 0; i < v->n; i++) {
        double score = 0;
        next_element(w);
        open_container(w, '[');
        next_element(w);
        put_value(w, sn_json_at(&v->u.child[i], 0));
        next_element(w);
        (void)sn_json_number(sn_json_at(&v->u.child[i], 1), &score);
        put_float(w->out, score);
        close_container(w, ']');
    }
    close_container(w, ']');
}

static void put_part(Writer *w, const Part *parts, const SnJson *v);

static void put_parts(Writer *w, const Part *parts, const SnJson *v)
{
    open_container(w, '[');
    for (uint32_t i = 0; v && v->kind == SN_JSON_ARRAY && i < v->n; i++) {
        next_element(w);
        put_part(w, parts, &v->u.child[i]);
    }
    close_container(w, ']');
}

static void put_field(Writer *w, const Part *parts, const SnJson *v, SnBytes name, SnBytes usual)
{
    const SnJson *field = NULL;
    bool prefix = true;
    for (uint32_t i = 0; i < v->n; i++)
        if (sn_bytes_equal(v->u.child[i].key, name))
            field = &v->u.child[i];
    put_key(w, name);
    if (sn_is_one_of(name, "normalizers pretokenizers processors decoders"))
        put_parts(w, parts, field);
    else if (sn_bytes_is(name, "merges"))
        put_merges(w, field);
    else if (sn_bytes_is(name, "vocab") && field && field->kind == SN_JSON_ARRAY)
        put_scores(w, field);
    else if (sn_bytes_is(name, "vocab"))
        put_sorted(w, field, by_id);
    else if (sn_bytes_is(name, "special_tokens"))
        put_sorted(w, field, by_key);
    else if (!field && sn_bytes_is(name, "prepend_scheme") &&
             sn_json_bool(sn_json_get(v, "add_prefix_space"), &prefix) && !prefix)
        sn_text_printf(w->out, "\"never\"");
    else if (!field && usual.n)
        sn_text_add(w->out, (const char *)usual.at, usual.n);
    else
        put_value(w, field);
}

static void put_part(Writer *w, const Part *parts, const SnJson *v)
{
    if (sn_json_is_null(v) || v->kind != SN_JSON_OBJECT) {
        put_value(w, v);
        return;
    }
    const Part *part = find_part(parts, v);
    const SnJson *type = sn_json_get(v, "type");
    open_container(w, '{');
    put_key(w, sn_bytes_str("type"));
    if (type)
        put_value(w, type);
    else
        sn_json_put_string(w->out, sn_bytes_str(part ? part->type : ""));
    for (const char *at = part ? part->fields : ""; *at;) {
        const size_t n = strcspn(at, " "), name = strcspn(at, " =");
        put_field(w, parts, v, sn_bytes(at, name),
                  name < n ? sn_bytes(at + name + 1, n - name - 1) : sn_bytes(NULL, 0));
        at += n + (at[n] == ' ');
    }
    close_container(w, '}');
}

/* ---- added tokens ---- */

static void put_added(Writer *w, int64_t id, const SnAddedToken *t)
{
    const struct {
        const char *key;
        bool on;
    } flag[] = {{"single_word", t->single_word},
                {"lstrip", t->lstrip},
                {"rstrip", t->rstrip},
                {"normalized", t->normalized},
                {"special", t->special}};
    next_element(w);
    open_container(w, '{');
    put_key(w, sn_bytes_str("id"));
    sn_json_put_int(w->out, id);
    put_key(w, sn_bytes_str("content"));
    sn_json_put_string(w->out, sn_bytes_str(t->content));
    for (size_t i = 0; i < SN_COUNT(flag); i++) {
        put_key(w, sn_bytes_str(flag[i].key));
        sn_text_printf(w->out, flag[i].on ? "true" : "false");
    }
    close_container(w, '}');
}

typedef struct Added {
    int64_t id;
    SnAddedToken token;
} Added;

static int added_by_id(const void *x, const void *y)
{
    const Added *a = x, *b = y;
    return a->id < b->id ? -1 : a->id > b->id;
}

static SnAddedToken token_of(const SnJson *v, SnBytes content)
{
    return (SnAddedToken){.content = (const char *)content.at,
                          .single_word = sn_json_bool_of(v, "single_word", false),
                          .lstrip = sn_json_bool_of(v, "lstrip", false),
                          .rstrip = sn_json_bool_of(v, "rstrip", false),
                          .normalized = sn_json_bool_of(v, "normalized", false),
                          .special = sn_json_bool_of(v, "special", false)};
}

/* Ids of the tokens of the model. */
static bool map_vocab(SnMap *ids, const SnJson *vocab)
{
    SnBytes s;
    int64_t id;
    bool ok = true;
    for (uint32_t i = 0; vocab && i < vocab->n && ok; i++) {
        const SnJson *v = &vocab->u.child[i];
        if (vocab->kind == SN_JSON_ARRAY && sn_json_string(sn_json_at(v, 0), &s))
            ok = sn_map_put(ids, s, i);
        else if (vocab->kind == SN_JSON_OBJECT && sn_json_int(v, &id))
            ok = sn_map_put(ids, v->key, (uint32_t)id);
    }
    return ok;
}

typedef struct AddedList {
    SN_VEC(Added) at;
    SnMap model;
    int64_t next;
} AddedList;

/* As the reference: the id of what it has already, else the next one. */
static bool add_token(const SnAllocator *memory, AddedList *l, SnAddedToken t)
{
    uint32_t known;
    if (!t.content || !t.content[0])
        return true;
    for (size_t i = 0; i < l->at.n; i++)
        if (strcmp(l->at.at[i].token.content, t.content) == 0) {
            l->at.at[i].token = t;
            return true;
        }
    const bool is_known = sn_map_get(&l->model, sn_bytes_str(t.content), &known);
    const Added a = {is_known ? (int64_t)known : l->next, t};
    l->next += !is_known;
    return sn_vec_push(memory, &l->at, a);
}

static void put_all_added(Writer *w, const SnJson *root, const SnTokenizerEdits *edits)
{
    const SnJson *all = sn_json_get(root, "added_tokens");
    const SnJson *vocab = sn_json_get(sn_json_get(root, "model"), "vocab");
    const SnAllocator *memory = w->out->memory;
    AddedList list = {.next = 0};
    sn_map_init(&list.model, memory);
    bool ok = map_vocab(&list.model, vocab);
    list.next = list.model.n;
    for (uint32_t i = 0; ok && all && all->kind == SN_JSON_ARRAY && i < all->n; i++) {
        SnBytes content = {0};
        (void)sn_json_string(sn_json_get(&all->u.child[i], "content"), &content);
        ok = add_token(memory, &list, token_of(&all->u.child[i], content));
    }
    for (size_t i = 0; ok && edits && i < edits->nadded; i++)
        ok = add_token(memory, &list, edits->added[i]);
    w->out->failed |= !ok;
    if (list.at.n)
        qsort(list.at.at, list.at.n, sizeof *list.at.at, added_by_id);
    open_container(w, '[');
    for (size_t i = 0; i < list.at.n; i++)
        put_added(w, list.at.at[i].id, &list.at.at[i].token);
    close_container(w, ']');
    sn_vec_clear(memory, &list.at);
    sn_map_clear(&list.model);
}

static void put_fields(Writer *w, const SnJson *v, const char *fields)
{
    const Part part = {"", fields};
    if (sn_json_is_null(v)) {
        sn_text_printf(w->out, "null");
        return;
    }
    open_container(w, '{');
    for (const char *at = fields; *at;) {
        const size_t n = strcspn(at, " "), name = strcspn(at, " =");
        put_field(w, &part, v, sn_bytes(at, name),
                  name < n ? sn_bytes(at + name + 1, n - name - 1) : sn_bytes(NULL, 0));
        at += n + (at[n] == ' ');
    }
    close_container(w, '}');
}

static void put_tokenizer(Writer *w, const SnJson *root, const SnTokenizerEdits *edits)
{
    static const struct {
        const char *key;
        const Part *parts;
    } rest[] = {{"normalizer", normalizers},
                {"pre_tokenizer", pre_tokenizers},
                {"post_processor", post_processors},
                {"decoder", decoders},
                {"model", models}};
    open_container(w, '{');
    put_key(w, sn_bytes_str("version"));
    sn_text_printf(w->out, "\"1.0\"");
    put_key(w, sn_bytes_str("truncation"));
    put_fields(w, sn_json_get(root, "truncation"), "direction=\"Right\" max_length strategy stride");
    put_key(w, sn_bytes_str("padding"));
    put_fields(w, sn_json_get(root, "padding"),
               "strategy direction pad_to_multiple_of pad_id pad_type_id pad_token");
    put_key(w, sn_bytes_str("added_tokens"));
    put_all_added(w, root, edits);
    for (size_t i = 0; i < SN_COUNT(rest); i++) {
        put_key(w, sn_bytes_str(rest[i].key));
        put_part(w, rest[i].parts, sn_json_get(root, rest[i].key));
    }
    close_container(w, '}');
}

SnStatus sn_tokenizer_json_put(const SnJson *root, bool is_pretty, const SnTokenizerEdits *edits, SnText *out,
                               SnError *err)
{
    Writer w = {.out = out, .is_pretty = is_pretty};
    SN_CHECK(root->kind == SN_JSON_OBJECT, err, SN_EFORMAT, "tokenizer.json is no object");
    put_tokenizer(&w, root, edits);
    SN_CHECK(!out->failed, err, SN_ENOMEM, "no memory for tokenizer.json");
    return SN_OK;
}

SnStatus sn_tokenizer_json_save(SnArena *arena, SnBytes text, const SnTokenizerEdits *edits, SnText *out,
                                SnError *err)
{
    SnJson *root = NULL;
    SN_TRY(sn_json_parse(arena, "tokenizer.json", text, &root, err));
    return sn_tokenizer_json_put(root, memchr(text.at, '\n', text.n < 64 ? text.n : 64) != NULL, edits, out,
                                 err);
}

/* ---- the other files ---- */

static const char *const token_names[] = {"bos_token", "eos_token", "unk_token", "sep_token",
                                          "pad_token", "cls_token", "mask_token"};

static const char *edited(const SnTokenizerEdits *edits, SnBytes key)
{
    for (size_t i = 0; edits && i < edits->nname; i++)
        if (sn_bytes_is(key, edits->names[i].key))
            return edits->names[i].token;
    return NULL;
}

/* Members of config by name, and the names that were set; chat_template has a file of its own, and another
 * tokenizer.json has its ids. */
static void put_config(Writer *w, const SnJson *config, const SnTokenizerEdits *edits)
{
    const SnAllocator *memory = w->out->memory;
    SN_VEC(SnJson) all = {0};
    for (uint32_t i = 0; config && config->kind == SN_JSON_OBJECT && i < config->n; i++) {
        const SnJson *v = &config->u.child[i];
        if (!edited(edits, v->key) && !sn_bytes_is(v->key, "chat_template") &&
            !(edits && edits->tokenizer.at && sn_bytes_is(v->key, "added_tokens_decoder")))
            w->out->failed |= !sn_vec_push(memory, &all, *v);
    }
    for (size_t i = 0; edits && i < edits->nname; i++)
        w->out->failed |= !sn_vec_push(memory, &all,
                                       (SnJson){.kind = SN_JSON_STRING,
                                                .u.string = sn_bytes_str(edits->names[i].token),
                                                .key = sn_bytes_str(edits->names[i].key)});
    put_sorted(w, &(SnJson){.kind = SN_JSON_OBJECT, .n = (uint32_t)all.n, .u.child = all.at}, by_key);
    sn_text_add(w->out, "\n", 1);
    sn_vec_clear(memory, &all);
}

static void put_special_map(Writer *w, const SnJson *config, const SnJson *map, const SnTokenizerEdits *edits)
{
    open_container(w, '{');
    for (size_t i = 0; i < SN_COUNT(token_names); i++) {
        const SnBytes key = sn_bytes_str(token_names[i]);
        const SnJson *v = sn_json_get(config, token_names[i]), *old = sn_json_get(map, token_names[i]);
        const char *set = edited(edits, key);
        if (!set && sn_json_is_null(v) && sn_json_is_null(old))
            continue;
        put_key(w, key);
        if (set)
            sn_json_put_string(w->out, sn_bytes_str(set));
        else
            put_value(w, sn_json_is_null(old) ? v : old);
    }
    close_container(w, '}');
    sn_text_add(w->out, "\n", 1);
}

typedef struct Saver {
    SnContext *ctx;
    SnFolder *folder;
    const char *out;
    const SnTokenizerEdits *edits;
    SnArena arena;
    SnText text;
} Saver;

static SnStatus read_json(Saver *s, const char *name, SnJson **out, SnError *err)
{
    SnBytes text;
    *out = NULL;
    SN_TRY(sn_folder_read(s->folder, name, &text, err));
    return text.at ? sn_json_parse(&s->arena, name, text, out, err) : SN_OK;
}

static SnStatus write_file(Saver *s, const char *name, SnBytes bytes, SnError *err)
{
    const char *path = sn_arena_printf(&s->arena, "%s/%s", s->out, name);
    SN_CHECK(path && !s->text.failed, err, SN_ENOMEM, "%s: no memory for %s", s->out, name);
    SN_TRY(sn_file_write(s->ctx, path, &bytes, 1, err));
    s->text.n = 0;
    return SN_OK;
}

static SnBytes written(const Saver *s)
{
    return sn_bytes(s->text.at, s->text.n);
}

static SnStatus save_all(Saver *s, SnError *err)
{
    SnBytes text, template;
    SnJson *config = NULL, *map = NULL;
    SN_TRY(sn_folder_read(s->folder, "tokenizer.json", &text, err));
    SN_TRY(read_json(s, "tokenizer_config.json", &config, err));
    SN_TRY(read_json(s, "special_tokens_map.json", &map, err));
    SN_TRY(sn_folder_read(s->folder, "chat_template.jinja", &template, err));
    if (s->edits && s->edits->tokenizer.at) {
        sn_text_add(&s->text, (const char *)s->edits->tokenizer.at, s->edits->tokenizer.n);
        SN_TRY(write_file(s, "tokenizer.json", written(s), err));
    } else if (text.at) {
        SN_TRY(sn_tokenizer_json_save(&s->arena, text, s->edits, &s->text, err));
        SN_TRY(write_file(s, "tokenizer.json", written(s), err));
    } else {
        SN_TRY(sn_folder_read(s->folder, "vocab.txt", &text, err));
        SN_CHECK(text.at, err, SN_EIO, "%s: no tokenizer", sn_folder_path(s->folder));
        SN_TRY(write_file(s, "vocab.txt", text, err));
    }
    Writer w = {.out = &s->text, .is_pretty = true};
    put_config(&w, config, s->edits);
    SN_TRY(write_file(s, "tokenizer_config.json", written(s), err));
    put_special_map(&w, config, map, s->edits);
    SN_TRY(write_file(s, "special_tokens_map.json", written(s), err));
    if (!template.at)
        (void)sn_json_string(sn_json_get(config, "chat_template"), &template);
    return template.at ? write_file(s, "chat_template.jinja", template, err) : SN_OK;
}

SnStatus sn_tokenizer_save(SnContext *ctx, const char *model, const char *folder,
                           const SnTokenizerEdits *edits, SnError *err)
{
    Saver s = {.ctx = ctx, .out = folder, .edits = edits, .text = {.memory = sn_allocator(ctx)}};
    SN_CHECK(mkdir(folder, 0777) == 0 || errno == EEXIST, err, SN_EIO, "%s: cannot make the folder", folder);
    SN_TRY(sn_folder_open(ctx, model, &s.folder, err));
    sn_arena_init(&s.arena, sn_allocator(ctx));
    const SnStatus st = save_all(&s, err);
    sn_text_clear(&s.text);
    sn_arena_clear(&s.arena);
    sn_folder_close(s.folder);
    return st;
}
