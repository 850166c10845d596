/* export_tokens.c -- tokenizer.json and its companions as the metadata of a GGUF file. */
#include "frontends/gguf/export.h"
#include "frontends/gguf/splits.h"
#include "frontends/tokenizer/spm.h"

#include <stdio.h>

typedef struct Tokens {
    SnContext *ctx;
    SnFolder *folder;
    const SnConfig *config;
    const SnJson *json, *model, *own; /* tokenizer.json, its model, tokenizer_config.json */
    SnJson *text, *type, *score;      /* by id */
    uint32_t n;
    bool is_told; /* by the keys of tokenizer.ggml: all of it */
    SnGgufMeta *meta;
    SnArena arena;
} Tokens;

static bool is_type(const SnJson *o, const char *type)
{
    return sn_json_is(sn_json_get(o, "type"), type);
}

/* The steps of a component: itself, or those of a sequence. */
static const SnJson *step_at(const SnJson *o, const char *list, uint32_t i)
{
    if (is_type(o, "Sequence"))
        return sn_json_at(sn_json_get(o, list), i);
    return i == 0 && !sn_json_is_null(o) ? o : NULL;
}

static const SnJson *find_step(const SnJson *o, const char *list, const char *type)
{
    const SnJson *s;
    for (uint32_t i = 0; (s = step_at(o, list, i)) != NULL; i++)
        if (is_type(s, type))
            return s;
    return NULL;
}

/* ---- vocabulary ---- */

static void set(Tokens *t, int64_t id, SnBytes text, SnPieceType type)
{
    if (id < 0 || id >= t->n)
        return;
    t->text[id] = (SnJson){.kind = SN_JSON_STRING, .u.string = text};
    t->type[id] = (SnJson){.kind = SN_JSON_INT, .u.integer = (int64_t)type};
}

static bool is_byte(SnBytes s)
{
    return s.n == 6 && memcmp(s.at, "<0x", 3) == 0 && s.at[5] == '>';
}

static int64_t largest_id(const Tokens *t)
{
    const SnJson *vocab = sn_json_get(t->model, "vocab"), *added = sn_json_get(t->json, "added_tokens");
    int64_t most = -1, id = 0;
    if (vocab && vocab->kind == SN_JSON_ARRAY)
        most = (int64_t)vocab->n - 1;
    for (uint32_t i = 0; vocab && vocab->kind == SN_JSON_OBJECT && i < vocab->n; i++)
        if (sn_json_int(&vocab->u.child[i], &id) && id > most)
            most = id;
    for (uint32_t i = 0; added && i < added->n; i++)
        if (sn_json_int(sn_json_get(sn_json_at(added, i), "id"), &id) && id > most)
            most = id;
    return most;
}

static void read_vocab(Tokens *t, bool has_bytes)
{
    const SnJson *vocab = sn_json_get(t->model, "vocab");
    for (uint32_t i = 0; vocab && i < vocab->n; i++) {
        const SnJson *v = &vocab->u.child[i];
        SnBytes text = v->key;
        int64_t id = i;
        double score = 0;
        if (vocab->kind == SN_JSON_ARRAY) {
            (void)sn_json_string(sn_json_at(v, 0), &text);
            (void)sn_json_number(sn_json_at(v, 1), &score);
        } else if (!sn_json_int(v, &id)) {
            continue;
        }
        set(t, id, text, has_bytes && is_byte(text) ? SN_PIECE_BYTE : SN_PIECE_NORMAL);
        if (id >= 0 && id < t->n)
            t->score[id].u.number = score;
    }
    const SnJson *added = sn_json_get(t->json, "added_tokens");
    for (uint32_t i = 0; added && i < added->n; i++) {
        const SnJson *a = sn_json_at(added, i);
        int64_t id = -1;
        SnBytes text;
        const bool is_special = sn_json_bool_of(a, "special", false);
        if (sn_json_int(sn_json_get(a, "id"), &id) && sn_json_string(sn_json_get(a, "content"), &text))
            set(t, id, text, is_special ? SN_PIECE_CONTROL : SN_PIECE_USER);
    }
}

static SnStatus open_vocab(Tokens *t, bool has_bytes, SnError *err)
{
    const char *path = sn_folder_path(t->folder);
    const int64_t most = largest_id(t), given = sn_config_int(t->config, "vocab_size", 0);
    SN_CHECK(most >= 0 && most < (1 << 26) && given <= 1 << 26, err, SN_EFORMAT, "%s: tokenizer.json: no ids",
             path);
    t->n = (uint32_t)(given > most + 1 ? given : most + 1);
    t->text = sn_arena_array(&t->arena, t->n, sizeof *t->text);
    t->type = sn_arena_array(&t->arena, t->n, sizeof *t->type);
    t->score = sn_arena_array(&t->arena, t->n, sizeof *t->score);
    SN_CHECK(t->text && t->type && t->score, err, SN_ENOMEM, "%s: no memory for %u tokens", path, t->n);
    for (uint32_t i = 0; i < t->n; i++)
        t->score[i].kind = SN_JSON_FLOAT;
    read_vocab(t, has_bytes);
    for (uint32_t i = 0; i < t->n; i++) {
        if (t->text[i].kind == SN_JSON_STRING)
            continue;
        const char *name = sn_arena_printf(&t->arena, "[PAD%u]", i);
        SN_CHECK(name, err, SN_ENOMEM, "%s: no memory for %u tokens", path, t->n);
        set(t, i, sn_bytes_str(name), SN_PIECE_UNUSED);
    }
    return SN_OK;
}

static int64_t id_of(const Tokens *t, const SnJson *name)
{
    SnBytes text;
    if (!sn_json_string(name, &text) && !sn_json_string(sn_json_get(name, "content"), &text))
        return -1;
    for (uint32_t i = 0; i < t->n; i++)
        if (sn_bytes_equal(t->text[i].u.string, text))
            return i;
    return -1;
}

/* ---- kinds ---- */

/* "merges" is a list of pairs or, in older files, of texts with a space. */
static SnStatus put_merges(Tokens *t, SnError *err)
{
    const SnJson *merges = sn_json_get(t->model, "merges");
    if (sn_json_at(merges, 0) && sn_json_at(merges, 0)->kind == SN_JSON_STRING) {
        sn_gguf_put(t->meta, "tokenizer.ggml.merges", SN_GGUF_STRING, merges);
        return SN_OK;
    }
    const uint32_t n = merges && merges->kind == SN_JSON_ARRAY ? merges->n : 0;
    SnJson *row = sn_arena_array(&t->arena, (size_t)n + 1, sizeof *row);
    SN_CHECK(row, err, SN_ENOMEM, "no memory for %u merges", n);
    for (uint32_t i = 0; i < n; i++) {
        SnBytes a = sn_bytes("", 0), b = a;
        (void)sn_json_string(sn_json_at(sn_json_at(merges, i), 0), &a);
        (void)sn_json_string(sn_json_at(sn_json_at(merges, i), 1), &b);
        const char *both = sn_arena_printf(&t->arena, "%.*s %.*s", (int)a.n, (const char *)a.at, (int)b.n,
                                           (const char *)b.at);
        SN_CHECK(both, err, SN_ENOMEM, "no memory for %u merges", n);
        row[i] = (SnJson){.kind = SN_JSON_STRING, .u.string = sn_bytes_str(both)};
    }
    const SnJson all = {.kind = SN_JSON_ARRAY, .n = n, .u.child = row};
    sn_gguf_put(t->meta, "tokenizer.ggml.merges", SN_GGUF_STRING, &all);
    return SN_OK;
}

static bool is_empty(const SnJson *v)
{
    SnBytes text;
    return sn_json_is_null(v) || (sn_json_string(v, &text) && text.n == 0);
}

/* As splits.h has it; "?" stands for what it does not have. */
static const char *split_of(const SnJson *step)
{
    const bool inverts = sn_json_bool_of(step, "invert", false);
    SnBytes regex = sn_bytes("?", 1);
    if (is_type(step, "ByteLevel"))
        return sn_split_gpt2;
    if (is_type(step, "Digits") && sn_json_bool_of(step, "individual_digits", false))
        return "digits";
    if (is_type(step, "Split") && sn_json_is(sn_json_get(step, "behavior"), inverts ? "Removed" : "Isolated"))
        (void)sn_json_string(sn_json_get(sn_json_get(step, "pattern"), "Regex"), &regex);
    return (const char *)regex.at;
}

static SnStatus put_pre(Tokens *t, SnError *err)
{
    const char *step[SN_SPLIT_STEPS + 1];
    size_t n = 0;
    const SnJson *s, *pre = sn_json_get(t->json, "pre_tokenizer");
    t->is_told = sn_json_is_null(sn_json_get(t->json, "normalizer")) &&
                 is_empty(sn_json_get(t->model, "continuing_subword_prefix")) &&
                 is_empty(sn_json_get(t->model, "end_of_word_suffix"));
    for (uint32_t i = 0; n <= SN_SPLIT_STEPS && (s = step_at(pre, "pretokenizers", i)) != NULL; i++) {
        const bool use_regex = sn_json_bool_of(s, "use_regex", true);
        t->is_told = t->is_told && !sn_json_bool_of(s, "add_prefix_space", false);
        if (use_regex || !is_type(s, "ByteLevel"))
            step[n++] = split_of(s);
    }
    const SnBytes known = sn_gguf_split_name(step, n, sn_json_bool_of(t->model, "ignore_merges", false));
    const SnJson name = {.kind = SN_JSON_STRING, .u.string = known.n ? known : sn_bytes_str("huggingface")};
    t->is_told = t->is_told && known.n;
    sn_gguf_put_text(t->meta, "tokenizer.ggml.model", "gpt2");
    sn_gguf_put(t->meta, "tokenizer.ggml.pre", SN_GGUF_STRING, &name);
    return put_merges(t, err);
}

/* Pieces that are merged early have the better score. */
static SnStatus score_merges(Tokens *t, SnError *err)
{
    const SnJson *merges = sn_json_get(t->model, "merges");
    SnMap ids;
    SnStatus st = SN_OK;
    sn_map_init(&ids, sn_allocator(t->ctx));
    for (uint32_t i = 0; st == SN_OK && i < t->n; i++)
        if (!sn_map_put(&ids, t->text[i].u.string, i))
            st = sn_fail(err, SN_ENOMEM, "no memory for %u tokens", t->n);
    for (uint32_t i = merges && merges->kind == SN_JSON_ARRAY ? merges->n : 0; st == SN_OK && i-- > 0;) {
        const SnJson *m = sn_json_at(merges, i);
        SnText whole = {.memory = sn_allocator(t->ctx)};
        SnBytes part;
        uint32_t id;
        for (uint32_t k = 0; k < 2; k++)
            if (sn_json_string(sn_json_at(m, k), &part))
                sn_text_add(&whole, (const char *)part.at, part.n);
        if (sn_json_string(m, &part)) {
            const uint8_t *space = part.n ? memchr(part.at + 1, ' ', part.n - 1) : NULL;
            const size_t n = space ? (size_t)(space - part.at) : part.n;
            sn_text_add(&whole, (const char *)part.at, n);
            if (space)
                sn_text_add(&whole, (const char *)space + 1, part.n - n - 1);
        }
        if (whole.n && sn_map_get(&ids, sn_bytes(whole.at, whole.n), &id))
            t->score[id].u.number = -(double)i - 1;
        sn_text_clear(&whole);
    }
    sn_map_clear(&ids);
    return st;
}

static void put_bool(Tokens *t, const char *key, bool v)
{
    const SnJson flag = {.kind = SN_JSON_BOOL, .u.boolean = v};
    sn_gguf_put(t->meta, key, SN_GGUF_BOOL, &flag);
}

static SnStatus put_pieces(Tokens *t, bool is_bpe, SnError *err)
{
    const SnJson *normal = sn_json_get(t->json, "normalizer");
    const SnJson *space = find_step(sn_json_get(t->json, "pre_tokenizer"), "pretokenizers", "Metaspace");
    const bool prepends = find_step(normal, "normalizers", "Prepend") ||
                          (space && !sn_json_is(sn_json_get(space, "prepend_scheme"), "never"));
    sn_gguf_put_text(t->meta, "tokenizer.ggml.model", is_bpe ? "llama" : "t5");
    sn_gguf_put_text(t->meta, "tokenizer.ggml.pre", "default");
    put_bool(t, "tokenizer.ggml.add_space_prefix", prepends);
    t->is_told = is_bpe && !(space && prepends); /* which does so where no blank is there yet */
    if (is_bpe)
        SN_TRY(score_merges(t, err));
    else
        put_bool(t, "tokenizer.ggml.remove_extra_whitespaces", normal != NULL);
    return SN_OK;
}

/* ---- the rest ---- */

static void put_ids(Tokens *t, int64_t *bos, int64_t *eos)
{
    static const struct {
        const char *token, *id, *gguf;
    } row[] = {{"bos_token", "bos_token_id", "tokenizer.ggml.bos_token_id"},
               {"eos_token", "eos_token_id", "tokenizer.ggml.eos_token_id"},
               {"unk_token", NULL, "tokenizer.ggml.unknown_token_id"},
               {"pad_token", "pad_token_id", "tokenizer.ggml.padding_token_id"}};
    for (size_t i = 0; i < SN_COUNT(row); i++) {
        int64_t id = id_of(t, sn_json_get(t->own, row[i].token));
        const SnJson *given = row[i].id ? sn_config_get(t->config, row[i].id) : NULL;
        if (given && given->kind == SN_JSON_ARRAY)
            given = sn_json_at(given, 0);
        if (id < 0 && (!sn_json_int(given, &id) || id >= t->n))
            id = -1;
        if (id >= 0)
            sn_gguf_put_int(t->meta, row[i].gguf, id);
        *(i == 0 ? bos : eos) = i < 2 ? id : *eos;
    }
}

/* Does the template put this token in front of a text, or behind it? */
static bool adds(const Tokens *t, int64_t id, bool behind)
{
    const SnJson *post =
        find_step(sn_json_get(t->json, "post_processor"), "processors", "TemplateProcessing");
    const SnJson *single = sn_json_get(post, "single");
    if (!single || single->kind != SN_JSON_ARRAY || single->n == 0 || id < 0)
        return false;
    const SnJson *token = sn_json_get(sn_json_at(single, behind ? single->n - 1 : 0), "SpecialToken");
    return token && id_of(t, sn_json_get(token, "id")) == id;
}

/* Does the post-processor do more than that? */
static bool is_plain(const Tokens *t, int64_t bos, int64_t eos)
{
    const SnJson *s, *post = sn_json_get(t->json, "post_processor");
    for (uint32_t i = 0; (s = step_at(post, "processors", i)) != NULL; i++) {
        const SnJson *single = sn_json_get(s, "single");
        const uint32_t n = single && single->kind == SN_JSON_ARRAY ? single->n : 0;
        const bool is_template = is_type(s, "TemplateProcessing");
        if (!is_template && !is_type(s, "ByteLevel"))
            return false;
        if (is_template && n != 1u + adds(t, bos, false) + adds(t, eos, true))
            return false;
    }
    return true;
}

/* What its keys cannot say is in the file as a whole. */
static SnStatus put_whole(Tokens *t, SnError *err)
{
    SnBytes text;
    SN_TRY(sn_folder_read(t->folder, "tokenizer.json", &text, err));
    const SnJson file = {.kind = SN_JSON_STRING, .u.string = text};
    sn_gguf_put(t->meta, "tokenizer.huggingface.json", SN_GGUF_STRING, &file);
    return SN_OK;
}

static SnStatus put_chat(Tokens *t, SnError *err)
{
    SnBytes text;
    SN_TRY(sn_folder_read(t->folder, "chat_template.jinja", &text, err));
    const SnJson file = {.kind = SN_JSON_STRING, .u.string = text};
    const SnJson *own = sn_json_get(t->own, "chat_template");
    if (text.at)
        sn_gguf_put(t->meta, "tokenizer.chat_template", SN_GGUF_STRING, &file);
    else if (own && own->kind == SN_JSON_STRING)
        sn_gguf_put(t->meta, "tokenizer.chat_template", SN_GGUF_STRING, own);
    return SN_OK;
}

static SnStatus put_tokenizer(Tokens *t, SnError *err)
{
    const SnJson *pre = sn_json_get(t->json, "pre_tokenizer");
    const bool is_bpe = is_type(t->model, "BPE"), is_unigram = is_type(t->model, "Unigram");
    const bool is_byte_level = is_bpe && find_step(pre, "pretokenizers", "ByteLevel");
    int64_t bos = -1, eos = -1;
    SN_CHECK(is_bpe || is_unigram, err, SN_EUNSUPPORTED, "%s: tokenizer.json: its model is no BPE or Unigram",
             sn_folder_path(t->folder));
    SN_TRY(open_vocab(t, !is_byte_level, err));
    SN_TRY(is_byte_level ? put_pre(t, err) : put_pieces(t, is_bpe, err));
    const int64_t unk = id_of(t, sn_json_get(t->model, "unk_token"));
    if (!is_byte_level && unk >= 0)
        t->type[unk].u.integer = SN_PIECE_UNKNOWN;
    const SnJson text = {.kind = SN_JSON_ARRAY, .n = t->n, .u.child = t->text};
    const SnJson type = {.kind = SN_JSON_ARRAY, .n = t->n, .u.child = t->type};
    const SnJson score = {.kind = SN_JSON_ARRAY, .n = t->n, .u.child = t->score};
    sn_gguf_put(t->meta, "tokenizer.ggml.tokens", SN_GGUF_STRING, &text);
    sn_gguf_put(t->meta, "tokenizer.ggml.token_type", SN_GGUF_I32, &type);
    if (!is_byte_level)
        sn_gguf_put(t->meta, "tokenizer.ggml.scores", SN_GGUF_F32, &score);
    put_ids(t, &bos, &eos);
    put_bool(t, "tokenizer.ggml.add_bos_token", adds(t, bos, false));
    put_bool(t, "tokenizer.ggml.add_eos_token", adds(t, eos, true));
    if (!t->is_told || !is_plain(t, bos, eos))
        SN_TRY(put_whole(t, err));
    return put_chat(t, err);
}

static SnStatus parse(Tokens *t, const char *name, const SnJson **out, SnError *err)
{
    SnBytes bytes;
    SnJson *json = NULL;
    SN_TRY(sn_folder_read(t->folder, name, &bytes, err));
    if (bytes.at)
        SN_TRY(sn_json_parse(&t->arena, name, bytes, &json, err));
    *out = json;
    return SN_OK;
}

SnStatus sn_gguf_export_tokenizer(SnContext *ctx, SnFolder *folder, const SnConfig *c, SnGgufMeta *m,
                                  SnError *err)
{
    Tokens t = {.ctx = ctx, .folder = folder, .config = c, .meta = m};
    sn_arena_init(&t.arena, sn_allocator(ctx));
    SnStatus st = parse(&t, "tokenizer.json", &t.json, err);
    if (st == SN_OK)
        st = parse(&t, "tokenizer_config.json", &t.own, err);
    t.model = sn_json_get(t.json, "model");
    if (st == SN_OK && t.json)
        st = put_tokenizer(&t, err);
    sn_arena_clear(&t.arena);
    return st;
}
