/* trainer.c -- a tokenizer.json and texts to another tokenizer.json: its words are counted as its
 * normalizer and pre-tokenizer make them, its model's vocabulary is made anew, and ids elsewhere in the file
 * follow. */
#include "frontends/tokenizer_train.h"

#include "frontends/tokenizer/save.h"
#include "frontends/tokenizer/tokenizer.h"
#include "frontends/tokenizer/train/train.h"

#include <inttypes.h>
#include <stdio.h>

struct SnTokenizerTrainer {
    SnContext *ctx;
    SnArena arena;
    SnJson *root, *model;    /* of tokenizer.json */
    SnJson *added;           /* its added_tokens to be */
    const SnTokTable *table; /* what makes words */
    SnTrainPlan plan;
    SnTrainWords words;
    void *work; /* of sn_tok_each_word */
    size_t room;
};

/* ---- JSON ---- */

static SnJson *member(SnJson *object, const char *key)
{
    for (uint32_t i = object && object->kind == SN_JSON_OBJECT ? object->n : 0; i-- > 0;)
        if (sn_bytes_is(object->u.child[i].key, key))
            return &object->u.child[i];
    return NULL;
}

/* false: no memory. */
static bool set_member(SnArena *arena, SnJson *object, const char *key, SnJson v)
{
    v.key = sn_bytes_str(key);
    SnJson *old = member(object, key);
    if (old) {
        *old = v;
        return true;
    }
    SnJson *more = sn_arena_array(arena, (size_t)object->n + 1, sizeof *more);
    if (!more)
        return false;
    if (object->n)
        memcpy(more, object->u.child, object->n * sizeof *more);
    more[object->n++] = v;
    object->u.child = more;
    return true;
}

static SnJson json_string(SnBytes s)
{
    return s.at ? (SnJson){.kind = SN_JSON_STRING, .u.string = s} : (SnJson){.kind = SN_JSON_NULL};
}

static SnJson json_int(int64_t v)
{
    return (SnJson){.kind = SN_JSON_INT, .u.integer = v};
}

static SnJson json_list(SnJsonKind kind, size_t n, SnJson *child)
{
    return (SnJson){.kind = kind, .n = (uint32_t)n, .u.child = child};
}

/* ---- the tokenizer ---- */

static bool find_model(const SnJson *model, SnTrainModel *out)
{
    static const struct {
        const char *type, *field; /* the field tells the type where that is missing */
    } row[] = {[SN_TRAIN_BPE] = {"BPE", "merges"},
               [SN_TRAIN_WORDPIECE] = {"WordPiece", "continuing_subword_prefix"},
               [SN_TRAIN_UNIGRAM] = {"Unigram", "unk_id"},
               [SN_TRAIN_WORDLEVEL] = {"WordLevel", "unk_token"}};
    const SnJson *type = sn_json_get(model, "type");
    for (size_t i = 0; i < SN_COUNT(row); i++)
        if (type ? sn_json_is(type, row[i].type) : sn_json_get(model, row[i].field) != NULL) {
            *out = (SnTrainModel)i;
            return true;
        }
    return false;
}

/* A tokenizer with the same steps and no vocabulary. */
static SnStatus make_table(SnTokenizerTrainer *t, SnError *err)
{
    static const char *const model[] = {
        "{\"type\":\"WordLevel\",\"vocab\":{},\"unk_token\":\"\"}",
        "{\"type\":\"BPE\",\"dropout\":null,\"unk_token\":null,\"continuing_subword_prefix\":null,"
        "\"end_of_word_suffix\":null,\"fuse_unk\":false,\"byte_fallback\":false,\"vocab\":{},\"merges\":[]}"};
    static const char *const parts[] = {"normalizer", "pre_tokenizer"};
    SnText text = {.memory = t->words.memory};
    sn_text_printf(&text, "{\"version\":\"1.0\",\"added_tokens\":[],\"model\":%s",
                   model[t->plan.model == SN_TRAIN_BPE]);
    for (size_t i = 0; i < SN_COUNT(parts); i++) {
        const SnJson *part = sn_json_get(t->root, parts[i]);
        sn_text_printf(&text, ",\"%s\":", parts[i]);
        if (part)
            sn_json_put(&text, part);
        else
            sn_text_printf(&text, "null");
    }
    sn_text_printf(&text, "}");
    SnBytes table = {NULL, 0};
    SnStatus st = text.failed ? sn_fail(err, SN_ENOMEM, "no memory for a tokenizer") : SN_OK;
    const SnTokenizerFiles files = {.folder = "tokenizer", .tokenizer = sn_bytes(text.at, text.n)};
    if (st == SN_OK)
        st = sn_tokenizer_load(t->ctx, &files, &t->arena, &table, err);
    t->table = (const SnTokTable *)(const void *)table.at;
    t->plan.is_byte_level = st == SN_OK && (t->table->model_flags & SN_TOK_BYTE_LEVEL);
    sn_text_clear(&text);
    return st;
}

/* What the vocabulary that there was leaves: as train_new_from_iterator of Transformers. */
static SnStatus keep_parts(SnTokenizerTrainer *t, SnError *err)
{
    SnTrainPlan *p = &t->plan;
    const SnJson *vocab = sn_json_get(t->model, "vocab"), *added = sn_json_get(t->root, "added_tokens");
    SnJson kept = json_list(SN_JSON_ARRAY, 0, NULL);
    int64_t unk;
    bool is_special;
    if (p->model == SN_TRAIN_UNIGRAM && sn_json_int(sn_json_get(t->model, "unk_id"), &unk) && unk >= 0 &&
        unk < vocab->n)
        (void)sn_json_string(sn_json_at(&vocab->u.child[unk], 0), &p->unk);
    if (p->model == SN_TRAIN_BPE) {
        (void)sn_json_string(sn_json_get(t->model, "continuing_subword_prefix"), &p->prefix);
        (void)sn_json_string(sn_json_get(t->model, "end_of_word_suffix"), &p->suffix);
    }
    const uint32_t nadded = added && added->kind == SN_JSON_ARRAY ? added->n : 0;
    kept.u.child = sn_arena_array(&t->arena, (size_t)nadded + 1, sizeof *kept.u.child);
    SN_CHECK(kept.u.child, err, SN_ENOMEM, "no memory for added tokens");
    for (uint32_t i = 0; i < nadded; i++)
        if (p->model == SN_TRAIN_UNIGRAM ||
            (sn_json_bool(sn_json_get(&added->u.child[i], "special"), &is_special) && is_special))
            kept.u.child[kept.n++] = added->u.child[i];
    SN_CHECK(set_member(&t->arena, t->root, "added_tokens", kept), err, SN_ENOMEM,
             "no memory for added tokens");
    if (p->is_byte_level)
        SN_TRY(sn_train_byte_alphabet(&t->arena, p, err));
    return sn_train_add_special(&kept, &t->arena, p, err);
}

/* Special tokens of the options are added tokens, too; one that was there takes the new flags. */
static SnStatus add_tokens(SnTokenizerTrainer *t, const SnJson *options, bool is_anew, SnError *err)
{
    static const char *const flags[] = {"single_word", "lstrip", "rstrip", "normalized", "special"};
    const SnJson *old = sn_json_get(t->root, "added_tokens"), *more = sn_json_get(options, "special_tokens");
    const uint32_t nold = old && old->kind == SN_JSON_ARRAY ? old->n : 0;
    const uint32_t nmore = more && more->kind == SN_JSON_ARRAY ? more->n : 0;
    SnJson all = json_list(SN_JSON_ARRAY, 0, sn_arena_array(&t->arena, (size_t)nold + nmore + 1, sizeof all));
    bool ok = all.u.child != NULL;
    for (uint32_t i = 0; ok && i < nold + nmore; i++) {
        const SnJson *v = i < nold ? &old->u.child[i] : &more->u.child[i - nold];
        SnBytes content;
        SnJson token = json_list(SN_JSON_OBJECT, 0, NULL);
        if (!sn_json_string(v, &content) && !sn_json_string(sn_json_get(v, "content"), &content))
            continue;
        ok = set_member(&t->arena, &token, "content", json_string(content));
        for (size_t k = 0; ok && k < SN_COUNT(flags); k++) {
            SnJson flag = {.kind = SN_JSON_BOOL};
            (void)sn_json_bool(sn_json_get(v, flags[k]), &flag.u.boolean);
            if (k + 1 == SN_COUNT(flags) && (is_anew || i >= nold))
                flag.u.boolean = true;
            ok = set_member(&t->arena, &token, flags[k], flag);
        }
        all.u.child[all.n++] = token;
    }
    ok = ok && set_member(&t->arena, t->root, "added_tokens", all);
    SN_CHECK(ok, err, SN_ENOMEM, "no memory for added tokens");
    return SN_OK;
}

static SnStatus begin(SnTokenizerTrainer *t, SnBytes text, const SnJson *options, SnError *err)
{
    SnTrainPlan *p = &t->plan;
    SN_TRY(sn_json_parse(&t->arena, "tokenizer.json", text, &t->root, err));
    t->model = member(t->root, "model");
    SN_CHECK(t->model && find_model(t->model, &p->model), err, SN_EFORMAT,
             "tokenizer.json has no model that can be trained: BPE, WordPiece, Unigram or WordLevel");
    const SnJson *vocab = sn_json_get(t->model, "vocab");
    SN_CHECK(vocab && vocab->kind == (p->model == SN_TRAIN_UNIGRAM ? SN_JSON_ARRAY : SN_JSON_OBJECT), err,
             SN_EFORMAT, "tokenizer.json: the model has no vocab");
    *p = (SnTrainPlan){.model = p->model,
                       .vocab_size = p->model == SN_TRAIN_UNIGRAM ? 8000 : 30000,
                       .limit_alphabet = -1,
                       .max_token_length = -1,
                       .n_sub_iterations = 2,
                       .max_piece_length = 16,
                       .seed_size = 1000000,
                       .shrinking_factor = 0.75,
                       .prefix = p->model == SN_TRAIN_WORDPIECE ? sn_bytes_str("##") : sn_bytes(NULL, 0)};
    SN_TRY(make_table(t, err));
    /* A Unigram is never quite empty. */
    const bool is_anew = vocab->n > (p->model == SN_TRAIN_UNIGRAM);
    if (is_anew)
        SN_TRY(keep_parts(t, err));
    SN_TRY(sn_train_options(options, &t->arena, p, err));
    if (is_anew && p->is_byte_level)
        SN_TRY(sn_train_byte_alphabet(&t->arena, p, err));
    return add_tokens(t, options, is_anew, err);
}

SnStatus sn_tokenizer_trainer_create(SnContext *ctx, SnBytes tokenizer, const SnJson *options,
                                     SnTokenizerTrainer **out, SnError *err)
{
    const SnAllocator *memory = sn_allocator(ctx);
    SnTokenizerTrainer *t = sn_alloc_zero(memory, sizeof *t, 64);
    SN_CHECK(t, err, SN_ENOMEM, "no memory for a trainer");
    t->ctx = ctx;
    t->words.memory = memory;
    sn_arena_init(&t->arena, memory);
    const SnStatus st = begin(t, tokenizer, options, err);
    if (st != SN_OK)
        sn_tokenizer_trainer_destroy(t);
    else
        *out = t;
    return st;
}

void sn_tokenizer_trainer_destroy(SnTokenizerTrainer *t)
{
    if (!t)
        return;
    const SnAllocator *memory = t->words.memory;
    sn_train_words_clear(&t->words);
    sn_free(memory, t->work, SN_TOK_WORDS_WORK(t->room), 64);
    sn_arena_clear(&t->arena);
    sn_free(memory, t, sizeof *t, 64);
}

/* ---- texts ---- */

static bool put_word(void *self, SnBytes word)
{
    return sn_train_words_add(self, word);
}

static bool makes_text(const SnTokTable *t)
{
    bool makes = sn_tok_count(t, SN_TOK_NORMALIZE) > 0;
    for (uint32_t i = 0; i < sn_tok_count(t, SN_TOK_SPLIT); i++)
        makes |= sn_tok_SPLIT(t)[i].kind == SN_SPLIT_SIGN || sn_tok_has_passes(t, &sn_tok_SPLIT(t)[i]);
    return makes;
}

SnStatus sn_tokenizer_trainer_feed(SnTokenizerTrainer *t, SnBytes text, SnError *err)
{
    enum { MOST = 1 << 29 };
    const SnAllocator *memory = t->words.memory;
    const uint64_t room = (makes_text(t->table) ? (uint64_t)text.n * t->table->facts.grow : 0) + SN_TOK_RUN;
    SN_CHECK(text.n < MOST && room < MOST, err, SN_ESHAPE, "a text of %zu bytes is too long to train on",
             text.n);
    SN_CHECK(sn_utf8_valid(text), err, SN_EFORMAT, "the text is not UTF-8");
    if (room > t->room) {
        sn_free(memory, t->work, SN_TOK_WORDS_WORK(t->room), 64);
        t->room = (size_t)room + (size_t)room / 2;
        t->work = sn_alloc(memory, SN_TOK_WORDS_WORK(t->room), 64);
        t->room = t->work ? t->room : 0;
        SN_CHECK(t->work, err, SN_ENOMEM, "no memory for a text of %zu bytes", text.n);
    }
    if (sn_tok_each_word(t->table, text, t->work, t->room, put_word, &t->words))
        return SN_OK;
    SN_CHECK(!t->words.is_full, err, SN_ESHAPE, "more than %zu different words are too many to train on",
             t->words.all.n);
    return sn_fail(err, SN_ENOMEM, "no memory for more than %zu different words", t->words.all.n);
}

SnStatus sn_tokenizer_trainer_feed_file(SnTokenizerTrainer *t, const char *path, SnError *err)
{
    enum { FORGET = 16 << 20 };
    SnFile *file = NULL;
    SnStatus st = sn_file_open(t->ctx, path, &file, err);
    if (st != SN_OK)
        return st;
    const SnBytes all = sn_file_bytes(file);
    size_t forgotten = 0, line = 1;
    for (size_t at = 0, n; st == SN_OK && at < all.n; at += n, line++) {
        const uint8_t *end = memchr(all.at + at, '\n', all.n - at);
        n = end ? (size_t)(end - all.at) + 1 - at : all.n - at;
        st = sn_tokenizer_trainer_feed(t, sn_bytes(all.at + at, n), err);
        if (st == SN_OK && at + n - forgotten > FORGET) {
            (void)sn_file_forget(file, sn_bytes(all.at + forgotten, at + n - forgotten));
            forgotten = at + n;
        }
    }
    if (st != SN_OK) {
        char where[1024];
        (void)snprintf(where, sizeof where, "%s: line %zu", path, line - 1);
        st = sn_fail_in(err, st, where);
    }
    sn_file_release(file);
    return st;
}

/* ---- the new file ---- */

static bool set_vocab(SnTokenizerTrainer *t, const SnTrainVocab *v)
{
    SnArena *arena = &t->arena;
    const bool is_unigram = t->plan.model == SN_TRAIN_UNIGRAM;
    SnJson *all = sn_arena_array(arena, v->n + 1, sizeof *all);
    SnJson *pair = sn_arena_array(arena, is_unigram ? 2 * v->n + 1 : 1, sizeof *pair);
    size_t n = 0;
    for (size_t i = 0; all && pair && i < v->n; i++) {
        if (is_unigram) {
            pair[2 * i] = json_string(v->token[i]);
            pair[2 * i + 1] = (SnJson){.kind = SN_JSON_FLOAT, .u.number = v->score[i]};
            all[n++] = json_list(SN_JSON_ARRAY, 2, pair + 2 * i);
        } else if (v->token[i].at) {
            all[n] = json_int((int64_t)i);
            all[n++].key = v->token[i];
        }
    }
    return all && pair &&
           set_member(arena, t->model, "vocab",
                      json_list(is_unigram ? SN_JSON_ARRAY : SN_JSON_OBJECT, n, all));
}

static bool set_merges(SnTokenizerTrainer *t, const SnTrainVocab *v)
{
    SnJson *all = sn_arena_array(&t->arena, v->nmerge + 1, sizeof *all);
    SnJson *pair = sn_arena_array(&t->arena, 2 * v->nmerge + 1, sizeof *pair);
    for (size_t i = 0; all && pair && i < v->nmerge; i++) {
        pair[2 * i] = json_string(v->token[v->merge[i][0]]);
        pair[2 * i + 1] = json_string(v->token[v->merge[i][1]]);
        all[i] = json_list(SN_JSON_ARRAY, 2, pair + 2 * i);
    }
    return all && pair && set_member(&t->arena, t->model, "merges", json_list(SN_JSON_ARRAY, v->nmerge, all));
}

static bool set_model(SnTokenizerTrainer *t, const SnTrainVocab *v)
{
    SnArena *arena = &t->arena;
    bool ok = set_vocab(t, v);
    switch (t->plan.model) {
    case SN_TRAIN_BPE:
        return ok && set_merges(t, v) &&
               set_member(arena, t->model, "continuing_subword_prefix", json_string(t->plan.prefix)) &&
               set_member(arena, t->model, "end_of_word_suffix", json_string(t->plan.suffix));
    case SN_TRAIN_WORDPIECE:
        return ok && (!t->plan.prefix.at ||
                      set_member(arena, t->model, "continuing_subword_prefix", json_string(t->plan.prefix)));
    case SN_TRAIN_UNIGRAM:
        return ok &&
               set_member(arena, t->model, "unk_id",
                          v->unk_id < 0 ? (SnJson){.kind = SN_JSON_NULL} : json_int(v->unk_id)) &&
               set_member(arena, t->model, "byte_fallback", (SnJson){.kind = SN_JSON_BOOL});
    case SN_TRAIN_WORDLEVEL:
        break;
    }
    return ok;
}

/* The id of a token: of the vocabulary, else where it will stand behind it as an added one. */
static SnStatus find_id(const SnTokenizerTrainer *t, const SnTrainVocab *v, const SnJson *token, int64_t *id,
                        SnError *err)
{
    const SnJson *added = sn_json_get(t->root, "added_tokens"), *a;
    SnBytes s = {NULL, 0};
    *id = 0;
    SN_CHECK(sn_json_string(token, &s), err, SN_EFORMAT, "post_processor: a token is no string");
    for (size_t i = v->n; i-- > 0;)
        if (v->token[i].at && sn_bytes_equal(v->token[i], s)) {
            *id = (int64_t)i;
            return SN_OK;
        }
    SN_CHECK(t->plan.model != SN_TRAIN_WORDLEVEL, err, SN_EFORMAT, "post_processor: %.*s is no token",
             s.n < 100 ? (int)s.n : 100, (const char *)s.at);
    int64_t next = (int64_t)v->n;
    for (uint32_t i = 0; (a = sn_json_at(added, i)); i++) {
        SnBytes content = {NULL, 0};
        bool is_known = false;
        (void)sn_json_string(sn_json_get(a, "content"), &content);
        for (size_t k = 0; k < v->n && !is_known; k++)
            is_known = v->token[k].at && sn_bytes_equal(v->token[k], content);
        *id = next;
        if (!is_known && sn_bytes_equal(content, s))
            return SN_OK;
        next += !is_known;
    }
    return sn_fail(err, SN_EFORMAT, "post_processor: %.*s is no token", s.n < 100 ? (int)s.n : 100,
                   (const char *)s.at);
}

/* Ids of a template's tokens, and of cls and sep: ["[CLS]", 101]. */
static SnStatus set_ids(SnTokenizerTrainer *t, const SnTrainVocab *v, SnJson *part, SnError *err)
{
    static const char *const names[] = {"cls", "sep"};
    SnJson *all = member(part, "special_tokens"), *parts = member(part, "processors");
    for (uint32_t i = 0; parts && parts->kind == SN_JSON_ARRAY && i < parts->n; i++)
        SN_TRY(set_ids(t, v, &parts->u.child[i], err));
    for (uint32_t i = 0; all && all->kind == SN_JSON_OBJECT && i < all->n; i++) {
        const SnJson *tokens = sn_json_get(&all->u.child[i], "tokens");
        SnJson *ids = member(&all->u.child[i], "ids");
        for (uint32_t k = 0; ids && ids->kind == SN_JSON_ARRAY && k < ids->n; k++) {
            int64_t id;
            SN_TRY(find_id(t, v, sn_json_at(tokens, k), &id, err));
            ids->u.child[k] = json_int(id);
        }
    }
    for (size_t i = 0; i < SN_COUNT(names); i++) {
        SnJson *pair = member(part, names[i]);
        int64_t id;
        if (!pair || pair->kind != SN_JSON_ARRAY || pair->n != 2)
            continue;
        SN_TRY(find_id(t, v, &pair->u.child[0], &id, err));
        pair->u.child[1] = json_int(id);
    }
    return SN_OK;
}

SnStatus sn_tokenizer_trainer_finish(SnTokenizerTrainer *t, SnText *json, SnError *err)
{
    static SnTrainFn *const train[] = {[SN_TRAIN_BPE] = sn_train_bpe,
                                       [SN_TRAIN_WORDPIECE] = sn_train_bpe,
                                       [SN_TRAIN_UNIGRAM] = sn_train_unigram,
                                       [SN_TRAIN_WORDLEVEL] = sn_train_word_level};
    SnTrainVocab v = {0};
    SN_TRY(train[t->plan.model](&t->plan, &t->words, &t->arena, &v, err));
    SN_CHECK(set_model(t, &v), err, SN_ENOMEM, "no memory for a vocabulary");
    SN_TRY(set_ids(t, &v, member(t->root, "post_processor"), err));
    return sn_tokenizer_json_put(t->root, true, NULL, json, err);
}
