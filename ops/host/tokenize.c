/* tokenize.c -- tokenizer tables: checking them, looking tokens up, padding.
 *
 * The vocabulary is an open-addressing hash of FNV-1a values: FNV goes byte by byte, so the words-to-ids ops
 * hash all prefixes of a word in one pass.
 *
 * Fowler, Noll, Vo, "FNV hash" (1991). */
#include "ops/host/tok.h"

#include <inttypes.h>

/* ---- looking up --------------------------------------------------------------------------------------- */

static SnBytes token_bytes(const SnTokTable *t, uint32_t id)
{
    const uint32_t *text = sn_tok_TEXT(t);
    return sn_bytes(sn_tok_POOL(t) + text[id], text[id + 1] - text[id]);
}

static bool begins_with(const uint8_t *at, SnBytes s)
{
    return s.n == 0 || memcmp(at, s.at, s.n) == 0;
}

uint32_t sn_tok_find(const SnTokTable *t, uint64_t h, SnBytes prefix, SnBytes rest)
{
    const uint64_t *slot = sn_tok_SLOT(t);
    const uint32_t mask = sn_tok_count(t, SN_TOK_SLOT) - 1;
    for (uint32_t i = (uint32_t)(h >> 32) & mask; slot[i] != 0; i = (i + 1) & mask) {
        if (slot[i] >> 32 != h >> 32)
            continue;
        const uint32_t id = (uint32_t)slot[i] - 1;
        const SnBytes token = token_bytes(t, id);
        if (token.n == prefix.n + rest.n && begins_with(token.at, prefix) &&
            begins_with(token.at + prefix.n, rest))
            return id;
    }
    return SN_TOK_NONE;
}

static const SnTokTable *table_of(SnBytes table)
{
    return (const SnTokTable *)(const void *)table.at;
}

SnTokenizerFacts sn_tokenizer_facts(SnBytes table)
{
    return table_of(table)->facts;
}

/* Added tokens come before the model's, and decode as what they are matched by. */
static const SnTokAdded *added_by_id(const SnTokTable *t, SnTokSectionName s, const SnTokAdded *all,
                                     uint32_t id)
{
    for (uint32_t i = 0; i < sn_tok_count(t, s); i++)
        if (all[i].id == id)
            return &all[i];
    return NULL;
}

SnBytes sn_tokenizer_text(SnBytes table, uint32_t id)
{
    const SnTokTable *t = table_of(table);
    if (id >= t->facts.vocab_size || sn_tok_FLAG(t)[id] == 0)
        return sn_bytes(NULL, 0);
    if (sn_tok_FLAG(t)[id] & SN_TOK_RENAMED) {
        const SnTokAdded *a = added_by_id(t, SN_TOK_NORMED, sn_tok_NORMED(t), id);
        if (a == NULL)
            a = added_by_id(t, SN_TOK_RAW, sn_tok_RAW(t), id);
        if (a != NULL)
            return sn_bytes(sn_tok_POOL(t) + a->at, a->size);
    }
    return token_bytes(t, id);
}

SnBytes sn_tokenizer_token(SnBytes table, uint32_t id)
{
    const SnTokTable *t = table_of(table);
    return id < t->facts.vocab_size && sn_tok_FLAG(t)[id] ? token_bytes(t, id) : sn_bytes(NULL, 0);
}

bool sn_tokenizer_is_special(SnBytes table, uint32_t id)
{
    const SnTokTable *t = table_of(table);
    return id < t->facts.vocab_size && (sn_tok_FLAG(t)[id] & SN_TOK_SPECIAL);
}

bool sn_tokenizer_has_template(SnBytes table)
{
    return !(table_of(table)->flags & SN_TOK_NO_TEMPLATE);
}

static uint32_t added_by_name(const SnTokTable *t, SnTokSectionName s, const SnTokAdded *all, SnBytes name)
{
    for (uint32_t i = 0; i < sn_tok_count(t, s); i++)
        if (sn_bytes_equal(sn_bytes(sn_tok_POOL(t) + all[i].content_at, all[i].content_size), name))
            return all[i].id;
    return SN_TOK_NONE;
}

uint32_t sn_tokenizer_id(SnBytes table, SnBytes token)
{
    const SnTokTable *t = table_of(table);
    uint32_t id = added_by_name(t, SN_TOK_RAW, sn_tok_RAW(t), token);
    if (id == SN_TOK_NONE)
        id = added_by_name(t, SN_TOK_NORMED, sn_tok_NORMED(t), token);
    if (id != SN_TOK_NONE)
        return id;
    uint64_t h = SN_TOK_HASH;
    for (size_t i = 0; i < token.n; i++)
        h = sn_tok_hash(h, token.at[i]);
    return sn_tok_find(t, sn_tok_hash_end(h), sn_bytes("", 0), token);
}

/* ---- checking ----------------------------------------------------------------------------------------- */

static const uint8_t element_size[SN_TOK_NSECTION] = {
#define SN_X(NAME, T) [SN_TOK_##NAME] = sizeof(T),
    SN_TOK_SECTIONS(SN_X)
#undef SN_X
};

static bool in_pool(const SnTokTable *t, uint32_t at, uint32_t size)
{
    const uint32_t pool = sn_tok_count(t, SN_TOK_POOL);
    return at <= pool && size <= pool - at;
}

static bool is_id_or_none(const SnTokTable *t, uint32_t id)
{
    return id == SN_TOK_NONE || id < t->facts.vocab_size;
}

static bool check_sections(const SnTokTable *t)
{
    for (int s = 0; s < SN_TOK_NSECTION; s++) {
        const uint32_t at = t->section[s].at, count = t->section[s].count;
        if (at % SN_TOK_ALIGN != 0 || at < sizeof *t || at > t->size ||
            count > (t->size - at) / element_size[s])
            return false;
    }
    const uint32_t nid = t->facts.vocab_size;
    return nid <= SN_TOK_MAX_IDS && sn_tok_count(t, SN_TOK_TEXT) == nid + 1 &&
           sn_tok_count(t, SN_TOK_FLAG) == nid && sn_tok_count(t, SN_TOK_RAW_FIRST) == 257 &&
           sn_tok_count(t, SN_TOK_NORMED_FIRST) == 257 && sn_tok_count(t, SN_TOK_NORMALIZE) <= SN_TOK_NORMS &&
           (sn_tok_count(t, SN_TOK_WIDTH) == 0 || sn_tok_count(t, SN_TOK_WIDTH) == SN_TOK_WIDTHS) &&
           sn_tok_count(t, SN_TOK_SPLIT) <= SN_TOK_STEPS && sn_tok_count(t, SN_TOK_ASCII) == 256;
}

static bool check_vocabulary(const SnTokTable *t)
{
    const uint32_t nid = t->facts.vocab_size, nslot = sn_tok_count(t, SN_TOK_SLOT);
    const uint32_t *text = sn_tok_TEXT(t);
    for (uint32_t i = 0; i < nid; i++)
        if (text[i] > text[i + 1])
            return false;
    if (!in_pool(t, 0, text[nid]) || nslot == 0 || (nslot & (nslot - 1)) != 0)
        return false;
    bool has_free_slot = false;
    for (uint32_t i = 0; i < nslot; i++) {
        const uint64_t v = sn_tok_SLOT(t)[i];
        has_free_slot |= v == 0;
        if (v != 0 && (uint32_t)v - 1 >= nid)
            return false;
    }
    return has_free_slot;
}

static bool check_added(const SnTokTable *t, SnTokSectionName s, const SnTokAdded *all, const uint32_t *first)
{
    const uint32_t n = sn_tok_count(t, s);
    for (uint32_t i = 0; i < n; i++)
        if (all[i].id >= t->facts.vocab_size || !in_pool(t, all[i].at, all[i].size) ||
            !in_pool(t, all[i].content_at, all[i].content_size) || all[i].size > t->facts.token_size)
            return false;
    for (int c = 0; c < 256; c++)
        if (first[c] > first[c + 1])
            return false;
    return first[256] <= n;
}

static bool check_norm(const SnTokTable *t, const SnTokNormStep *s)
{
    const bool has_pool = s->kind != SN_NORM_STRIP && s->kind != SN_NORM_REPLACE_REGEX;
    return s->kind > 0 && s->kind < SN_NORM_NKIND && in_pool(t, s->to, s->to_size) &&
           (!has_pool || in_pool(t, s->at, s->size)) &&
           (s->kind != SN_NORM_REPLACE_REGEX || s->at < sn_tok_count(t, SN_TOK_REGEX)) &&
           s->unit <= sn_tok_count(t, SN_TOK_CHARSMAP) &&
           s->nunit <= sn_tok_count(t, SN_TOK_CHARSMAP) - s->unit;
}

static bool check_steps(const SnTokTable *t)
{
    for (uint32_t i = 0; i < sn_tok_count(t, SN_TOK_NORMALIZE); i++)
        if (!check_norm(t, &sn_tok_NORMALIZE(t)[i]))
            return false;
    for (uint32_t c = 0; c < 128; c++)
        if (sn_tok_ASCII(t)[c] > SN_TOK_ODD)
            return false;
    return true;
}

static bool check_decoder(const SnTokTable *t)
{
    for (uint32_t i = 0; i < sn_tok_count(t, SN_TOK_DECODE); i++) {
        const SnTokDecodeStep *s = &sn_tok_DECODE(t)[i];
        const bool is_regex = s->kind == SN_TOK_DECODE_REPLACE_REGEX;
        const bool has_sign = s->kind == SN_TOK_DECODE_STRIP || s->kind == SN_TOK_DECODE_METASPACE;
        if (s->kind == 0 || s->kind >= SN_TOK_DECODE_NKIND || !in_pool(t, s->to, s->to_size) ||
            (is_regex ? s->at >= sn_tok_count(t, SN_TOK_REGEX) : !in_pool(t, s->at, s->size)) ||
            (has_sign && s->size == 0))
            return false;
    }
    return true;
}

static bool check_spelling(const SnTokTable *t)
{
    const uint32_t n = sn_tok_count(t, SN_TOK_SPELL_AT), *at = sn_tok_SPELL_AT(t);
    if (n == 0)
        return true;
    if (n != t->facts.vocab_size + 1)
        return false;
    for (uint32_t i = 0; i + 1 < n; i++)
        if ((at[i] & SN_TOK_SPELL_MASK) > (at[i + 1] & SN_TOK_SPELL_MASK))
            return false;
    return (at[n - 1] & SN_TOK_SPELL_MASK) + SN_TOK_SPELL_SLACK <= sn_tok_count(t, SN_TOK_SPELL);
}

static bool check_wordpiece(const SnTokTable *t)
{
    return t->model != SN_TOK_WORDPIECE || sn_tok_count(t, SN_TOK_PREFIX) == SN_TOK_PREFIXES / 8;
}

static bool check_unigram(const SnTokTable *t)
{
    const uint32_t nid = t->facts.vocab_size, nword = sn_tok_count(t, SN_TOK_TRIE);
    if (t->model != SN_TOK_UNIGRAM)
        return true;
    if (sn_tok_count(t, SN_TOK_SCORE) != nid + 1 || nword < 2 || nword % 2 != 0)
        return false;
    for (uint32_t i = 1; i < nword; i += 2) {
        const uint32_t id = sn_tok_TRIE(t)[i] & SN_TOK_NO_PIECE;
        if (id != SN_TOK_NO_PIECE && id >= nid)
            return false;
    }
    return !(t->model_flags & SN_TOK_BYTE_FALLBACK) || sn_tok_count(t, SN_TOK_BYTE) >= 256;
}

static bool check_template(const SnTokTable *t, SnTokSectionName s, const SnTokPiece *piece, uint32_t nadded)
{
    uint32_t count[3] = {0, 0, 0};
    for (uint32_t i = 0; i < sn_tok_count(t, s); i++) {
        if (piece[i].kind > SN_TOK_TOKEN || piece[i].type_id > INT32_MAX || piece[i].id > INT32_MAX)
            return false;
        count[piece[i].kind]++;
    }
    return count[SN_TOK_FIRST] <= 1 && count[SN_TOK_SECOND] <= (s == SN_TOK_PAIR ? 1u : 0u) &&
           count[SN_TOK_TOKEN] == nadded;
}

static bool check_names(const SnTokTable *t)
{
    for (int i = 0; i < SN_TOK_NNAME; i++)
        if (!is_id_or_none(t, t->facts.name[i]))
            return false;
    uint32_t longest = 0;
    for (uint32_t i = 0; i < t->facts.vocab_size; i++) {
        const uint32_t size = sn_tok_TEXT(t)[i + 1] - sn_tok_TEXT(t)[i];
        longest = size > longest ? size : longest;
    }
    return longest <= t->facts.token_size && t->ntrim <= SN_TOK_TRIMS && is_id_or_none(t, t->unk) &&
           in_pool(t, t->prefix_at, t->prefix_size) && in_pool(t, t->suffix_at, t->suffix_size) &&
           t->facts.truncation.strategy <= SN_TOK_ONLY_SECOND;
}

SnStatus sn_tokenizer_check(SnBytes table, SnError *err)
{
    SN_CHECK((uintptr_t)table.at % _Alignof(SnTokTable) == 0, err, SN_EINVAL, "tokenizer table: not aligned");
    const SnTokTable *t = table_of(table);
    SN_CHECK(table.n >= sizeof *t && t->magic == SN_TOK_MAGIC, err, SN_EFORMAT, "tokenizer table: no header");
    SN_CHECK(t->version == SN_TOK_VERSION, err, SN_EFORMAT,
             "tokenizer table: version %" PRIu32 ", expected %u", t->version, SN_TOK_VERSION);
    SN_CHECK(sn_tok_model(t->model) != NULL, err, SN_EUNSUPPORTED, "tokenizer table: model %" PRIu32,
             t->model);
    SN_CHECK(t->size <= table.n && check_sections(t), err, SN_EFORMAT, "tokenizer table: bad sections");
    SN_CHECK(check_vocabulary(t), err, SN_EFORMAT, "tokenizer table: bad vocabulary");
    SN_CHECK(check_added(t, SN_TOK_RAW, sn_tok_RAW(t), sn_tok_RAW_FIRST(t)) &&
                 check_added(t, SN_TOK_NORMED, sn_tok_NORMED(t), sn_tok_NORMED_FIRST(t)),
             err, SN_EFORMAT, "tokenizer table: bad added tokens");
    SN_CHECK(check_steps(t), err, SN_EFORMAT, "tokenizer table: bad steps");
    SN_CHECK(sn_tok_check_forms(t), err, SN_EFORMAT, "tokenizer table: bad normalisation forms");
    SN_CHECK(check_decoder(t) && check_spelling(t), err, SN_EFORMAT, "tokenizer table: bad decoder");
    SN_CHECK(check_unigram(t) && check_wordpiece(t), err, SN_EFORMAT, "tokenizer table: bad pieces");
    SN_CHECK(check_template(t, SN_TOK_SINGLE, sn_tok_SINGLE(t), t->facts.added_single) &&
                 check_template(t, SN_TOK_PAIR, sn_tok_PAIR(t), t->facts.added_pair),
             err, SN_EFORMAT, "tokenizer table: bad template");
    SN_CHECK(sn_tok_check_splits(t), err, SN_EFORMAT, "tokenizer table: bad patterns");
    SN_CHECK(t->model != SN_TOK_BPE || sn_tok_check_bpe(t), err, SN_EFORMAT, "tokenizer table: bad merges");
    SN_CHECK(check_names(t), err, SN_EFORMAT, "tokenizer table: bad options");
    return SN_OK;
}

/* ---- padding ------------------------------------------------------------------------------------------ */

int64_t sn_tokens_pad_length(int64_t longest, int64_t fixed, int64_t multiple)
{
    const int64_t length = fixed > 0 ? fixed : longest;
    return multiple > 0 && length % multiple != 0 ? length + (multiple - length % multiple) : length;
}
