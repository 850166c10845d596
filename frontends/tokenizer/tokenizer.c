/* tokenizer.c -- tokenizer files of a folder to a table: tokenizer.json, or the vocab.txt of BERT. */
#include "frontends/tokenizer/draft.h"
#include "frontends/tokenizer/spm.h"
#include "ops/host/unicode.h"
#include "runtime/cache.h"

#include <inttypes.h>
#include <stdlib.h>

static const struct {
    const char *key, *usual;
} names[SN_TOK_NNAME] = {
    [SN_TOK_BOS] = {"bos_token", ""},         [SN_TOK_EOS] = {"eos_token", ""},
    [SN_TOK_UNK] = {"unk_token", "[UNK]"},    [SN_TOK_SEP] = {"sep_token", "[SEP]"},
    [SN_TOK_PAD] = {"pad_token", "[PAD]"},    [SN_TOK_CLS] = {"cls_token", "[CLS]"},
    [SN_TOK_MASK] = {"mask_token", "[MASK]"},
};

/* Part of the cache key: raise it when equal files become another table. */
#define READER_VERSION 10u

typedef struct Config {
    const SnJson *config, *special; /* NULL: no such file */
} Config;

/* A named token is a string, or an object with its content. */
static SnBytes token_name(const Config *c, SnTokName which)
{
    const SnJson *files[2] = {c->config, c->special};
    for (int i = 0; i < 2; i++) {
        const SnJson *v = sn_json_get(files[i], names[which].key);
        SnBytes s;
        if (sn_json_string(v, &s) || sn_json_string(sn_json_get(v, "content"), &s))
            return s;
    }
    return sn_bytes_str(names[which].usual);
}

static void read_facts(SnTokDraft *d, const Config *c)
{
    for (int i = 0; i < SN_TOK_NNAME; i++)
        d->facts.name[i] = sn_draft_id(d, token_name(c, (SnTokName)i));
    if (d->facts.name[SN_TOK_UNK] == SN_TOK_NONE)
        d->facts.name[SN_TOK_UNK] = sn_draft_id(d, d->unk);
    int64_t max;
    /* No limit is written as 10^30 there. */
    if (sn_json_int(sn_json_get(c->config, "model_max_length"), &max) && max > 0 && max < 1000000000)
        d->facts.max_length = (uint64_t)max;
}

/* ---- vocab.txt ---------------------------------------------------------------------------------------- */

static size_t trimmed(const uint8_t *line, size_t n)
{
    while (n > 0) {
        size_t begin = n - 1;
        while (begin > 0 && n - begin < 4 && (line[begin] & 0xC0) == 0x80)
            begin--;
        SnReader r = sn_reader(sn_bytes(line + begin, n - begin));
        const uint32_t cp = sn_read_utf8(&r);
        if (cp == SN_UTF8_BAD || !(sn_code_class(cp)->flags & SN_CP_SPACE))
            break;
        n = begin;
    }
    return n;
}

/* One token a line, its number is the id; a token that comes twice has the later one. */
static SnStatus read_lines(SnTokDraft *d, SnBytes text, SnError *err)
{
    SN_CHECK(sn_utf8_valid(text), err, SN_EFORMAT, "vocab.txt is not UTF-8");
    const SnBytes none = {NULL, 0};
    size_t nline = 0;
    for (size_t i = 0; i < text.n; i++)
        nline += text.at[i] == '\n';
    SN_CHECK(nline < SN_TOK_MAX_IDS, err, SN_EFORMAT, "vocab.txt has %zu lines", nline);
    SN_CHECK(sn_draft_expect_tokens(d, nline + 1), err, SN_ENOMEM, "no memory for a vocabulary");
    for (size_t at = 0; at < text.n;) {
        const uint8_t *line = text.at + at, *end = memchr(line, '\n', text.n - at);
        const size_t n = end != NULL ? (size_t)(end - line) : text.n - at;
        const SnBytes token = sn_bytes(line, trimmed(line, n));
        uint32_t before;
        SN_CHECK(sn_draft_put_token(d, token, sn_draft_hash(token, none), d->nvocab, &before), err, SN_ENOMEM,
                 "no memory for a vocabulary");
        if (before != SN_TOK_NONE)
            d->vocab[before] = none;
        at += n + 1;
    }
    return SN_OK;
}

typedef struct Listed {
    int64_t id;
    const SnJson *token;
} Listed;

static int by_id(const void *x, const void *y)
{
    const Listed *a = x, *b = y;
    return a->id < b->id ? -1 : a->id > b->id;
}

/* added_tokens_decoder of tokenizer_config.json, {"5": {"content": ...}}: added in the order of the ids. */
static SnStatus add_listed(SnTokDraft *d, const SnJson *all, SnError *err)
{
    if (all == NULL || all->kind != SN_JSON_OBJECT)
        return SN_OK;
    Listed *list = sn_arena_array(d->arena, (size_t)all->n + 1, sizeof *list);
    SN_CHECK(list != NULL, err, SN_ENOMEM, "no memory for added tokens");
    for (uint32_t i = 0; i < all->n; i++) {
        const SnBytes key = all->u.child[i].key;
        list[i].token = &all->u.child[i];
        for (size_t k = 0; k < key.n; k++) {
            SN_CHECK(key.at[k] >= '0' && key.at[k] <= '9' && k < 9, err, SN_EFORMAT,
                     "added_tokens_decoder: a key is no id");
            list[i].id = 10 * list[i].id + (key.at[k] - '0');
        }
    }
    qsort(list, all->n, sizeof *list, by_id);
    for (uint32_t i = 0; i < all->n; i++)
        SN_TRY(sn_draft_add_json(d, list[i].token, err));
    return SN_OK;
}

static SnStatus add_names(SnTokDraft *d, const Config *c, SnError *err)
{
    for (int i = 0; i < SN_TOK_NNAME; i++) {
        const SnDraftToken t = {.content = token_name(c, (SnTokName)i), .is_special = true};
        uint32_t listed;
        if (!sn_map_get(&d->added_index, t.content, &listed))
            SN_TRY(sn_draft_add(d, &t, err));
    }
    return SN_OK;
}

static void read_flag(const SnJson *config, const char *key, bool *out)
{
    bool v;
    if (sn_json_bool(sn_json_get(config, key), &v))
        *out = v;
}

/* The tokens between the pieces of BERT's template, as BertTokenizer makes it. */
static SnStatus set_template(SnTokDraft *d, const Config *c, SnError *err)
{
    const uint32_t cls = sn_draft_id(d, token_name(c, SN_TOK_CLS)),
                   sep = sn_draft_id(d, token_name(c, SN_TOK_SEP));
    const SnTokPiece pieces[] = {{SN_TOK_TOKEN, 0, cls},
                                 {SN_TOK_FIRST, 0, 0},
                                 {SN_TOK_TOKEN, 0, sep},
                                 {SN_TOK_SECOND, 1, 0},
                                 {SN_TOK_TOKEN, 1, sep}};
    SN_CHECK(cls != SN_TOK_NONE && sep != SN_TOK_NONE, err, SN_EFORMAT, "cls_token or sep_token is empty");
    d->pair = sn_arena_alloc(d->arena, sizeof pieces);
    SN_CHECK(d->pair != NULL, err, SN_ENOMEM, "no memory for a template");
    memcpy(d->pair, pieces, sizeof pieces);
    d->single = d->pair;
    d->nsingle = 3;
    d->npair = 5;
    return SN_OK;
}

static SnStatus read_vocab_txt(SnTokDraft *d, SnBytes text, const Config *c, SnError *err)
{
    SN_TRY(read_lines(d, text, err));
    d->next_id = d->ntoken;
    bool lower = true, cjk = true;
    read_flag(c->config, "do_lower_case", &lower);
    read_flag(c->config, "tokenize_chinese_chars", &cjk);
    bool strip = lower;
    read_flag(c->config, "strip_accents", &strip);
    d->unk = token_name(c, SN_TOK_UNK);
    d->prefix = sn_bytes_str("##");
    d->kind = SN_TOK_WORDPIECE;
    d->max_word_chars = 100;
    const SnNormKind steps[] = {SN_NORM_CLEAN, SN_NORM_CJK, SN_NORM_NFD, SN_NORM_STRIP_NONSPACING,
                                SN_NORM_LOWER};
    const bool is_on[] = {true, cjk, strip, strip, lower};
    for (size_t i = 0; i < SN_COUNT(steps); i++)
        if (is_on[i])
            d->step[d->nstep++].kind = steps[i];
    d->split[0] = (SnTokSplit){.flags = SN_CP_SPACE, .code_point = SN_TOK_NONE, .behavior = SN_SPLIT_REMOVED};
    d->split[1] =
        (SnTokSplit){.flags = SN_CP_PUNCT, .code_point = SN_TOK_NONE, .behavior = SN_SPLIT_ISOLATED};
    d->nsplit = 2;
    d->decode[d->ndecode++] = (SnDraftDecode){
        .step = {.kind = SN_TOK_DECODE_WORDPIECE, .flags = SN_TOK_DECODE_CLEANUP}, .text = d->prefix};
    SN_TRY(add_listed(d, sn_json_get(c->config, "added_tokens_decoder"), err));
    SN_TRY(add_names(d, c, err));
    return set_template(d, c, err);
}

/* ---- files -------------------------------------------------------------------------------------------- */

static SnStatus read_files(SnTokDraft *d, const SnTokenizerFiles *f, SnArena *arena, SnBytes *table,
                           SnError *err)
{
    SnJson *config = NULL, *special = NULL;
    if (f->config.at != NULL)
        SN_TRY(sn_json_parse(d->arena, "tokenizer_config.json", f->config, &config, err));
    if (f->special_tokens.at != NULL)
        SN_TRY(sn_json_parse(d->arena, "special_tokens_map.json", f->special_tokens, &special, err));
    const Config c = {config, special};
    if (f->tokenizer.at != NULL)
        SN_TRY(sn_draft_read_json(d, f->tokenizer, err));
    else {
        SN_TRY(sn_vocab_check_class(f->folder, config, err));
        SN_TRY(read_vocab_txt(d, f->vocab, &c, err));
    }
    read_facts(d, &c);
    for (uint32_t i = 0; i < d->nsingle; i++)
        d->facts.added_single += d->single[i].kind == SN_TOK_TOKEN;
    for (uint32_t i = 0; i < d->npair; i++)
        d->facts.added_pair += d->pair[i].kind == SN_TOK_TOKEN;
    return sn_draft_write(d, arena, table, err);
}

static SnStatus make_table(SnContext *ctx, const SnTokenizerFiles *files, SnArena *arena, SnBytes *table,
                           SnError *err)
{
    const SnAllocator *memory = sn_allocator(ctx);
    SnArena work;
    sn_arena_init(&work, memory);
    SnTokDraft d = {.arena = &work};
    sn_map_init(&d.added_index, memory);
    sn_map_init(&d.special, memory);
    SnStatus st = read_files(&d, files, arena, table, err);
    if (st != SN_OK)
        st = sn_fail_in(err, st, files->folder);
    sn_map_clear(&d.added_index);
    sn_map_clear(&d.special);
    sn_arena_clear(&work);
    return st;
}

/* ---- cache -------------------------------------------------------------------------------------------- */

static SnHash128 table_key(const SnTokenizerFiles *f)
{
    const SnBytes part[] = {f->tokenizer, f->vocab, f->config, f->special_tokens};
    SnHash128 hash[SN_COUNT(part) + 1] = {{SN_TOK_MAGIC, (uint64_t)SN_TOK_VERSION << 32 | READER_VERSION}};
    for (size_t i = 0; i < SN_COUNT(part); i++)
        if (part[i].at != NULL)
            hash[i + 1] = sn_hash128(part[i].at, part[i].n, 1);
    return sn_hash128(hash, sizeof hash, 0);
}

static bool cached_table(SnContext *ctx, SnHash128 key, SnArena *arena, SnBytes *table)
{
    SnFile *file = NULL;
    SnBytes blob;
    if (!sn_cache_get(ctx, key, &file, &blob))
        return false;
    const bool is_good = sn_tokenizer_check(blob, NULL) == SN_OK;
    uint8_t *copy = is_good ? sn_arena_alloc(arena, blob.n + SN_TOK_ALIGN) : NULL;
    if (copy != NULL) {
        copy += (SN_TOK_ALIGN - (uintptr_t)copy % SN_TOK_ALIGN) % SN_TOK_ALIGN;
        memcpy(copy, blob.at, blob.n);
        *table = sn_bytes(copy, blob.n);
    }
    sn_file_release(file);
    return copy != NULL;
}

SnStatus sn_tokenizer_load(SnContext *ctx, const SnTokenizerFiles *files, SnArena *arena, SnBytes *table,
                           SnError *err)
{
    SN_CHECK(files->tokenizer.at != NULL || files->vocab.at != NULL, err, SN_EIO,
             "%s: no tokenizer.json and no vocab.txt", files->folder);
    const SnHash128 key = table_key(files);
    if (cached_table(ctx, key, arena, table))
        return SN_OK;
    SN_TRY(make_table(ctx, files, arena, table, err));
    (void)sn_cache_put(ctx, key, *table);
    return SN_OK;
}

SnStatus sn_tokenizer_open(SnContext *ctx, SnFolder *folder, SnArena *arena, SnBytes *table, SnError *err)
{
    SnTokenizerFiles f = {.folder = sn_folder_path(folder)};
    SN_TRY(sn_folder_read(folder, "tokenizer.json", &f.tokenizer, err));
    SN_TRY(sn_folder_read(folder, "vocab.txt", &f.vocab, err));
    SN_TRY(sn_folder_read(folder, "tokenizer_config.json", &f.config, err));
    SN_TRY(sn_folder_read(folder, "special_tokens_map.json", &f.special_tokens, err));
    return sn_tokenizer_load(ctx, &f, arena, table, err);
}
