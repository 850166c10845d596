/* json.c -- reads tokenizer.json, one function a part.
 *
 * A part that is not built is refused by name, but for the decoder, which is only missed when something is
 * decoded. */
#include "frontends/tokenizer/read.h"

#include <inttypes.h>

/* ---- model -------------------------------------------------------------------------------------------- */

/* Ids may leave gaps; tables have room for each id, so a small file must not ask for a large one. */
static int64_t most_ids(uint32_t ntoken)
{
    const uint64_t most = ((uint64_t)1 << 17) + 64 * (uint64_t)ntoken;
    return most < SN_TOK_MAX_IDS ? (int64_t)most : SN_TOK_MAX_IDS;
}

typedef struct Entry {
    SnBytes key;
    int64_t id;
    uint64_t hash;
} Entry;

/* A key that comes again counts as it comes last. */
static SnStatus put_entries(SnTokDraft *d, const Entry *e, uint32_t n, SnError *err)
{
    const SnBytes none = {NULL, 0};
    uint32_t before;
    for (uint32_t i = 0; i < n; i++) {
        const uint32_t id = (uint32_t)e[i].id;
        SN_CHECK(id >= d->nvocab || d->vocab[id].at == NULL || sn_draft_is(d, id, e[i].key, none), err,
                 SN_EFORMAT, "vocab: two tokens have id %" PRIu32, id);
        SN_CHECK(sn_draft_put_token(d, e[i].key, e[i].hash, id, &before), err, SN_ENOMEM,
                 "no memory for a vocabulary");
        if (before != SN_TOK_NONE && before != id)
            d->vocab[before] = none;
    }
    return SN_OK;
}

/* The places of tokens are fetched a group at a time. */
static SnStatus read_entries(SnTokDraft *d, SnJsonWalk *w, int64_t most, SnError *err)
{
    enum { GROUP = 16 };
    const SnBytes none = {NULL, 0};
    Entry e[GROUP];
    SnJson v;
    bool has_more = sn_json_open(w);
    while (has_more) {
        uint32_t n = 0;
        while (n < GROUP && (has_more = sn_json_more(w, &e[n].key) && sn_json_take(w, &v))) {
            const SnBytes key = e[n].key;
            SN_CHECK(sn_json_int(&v, &e[n].id) && e[n].id >= 0 && e[n].id < most, err, SN_EFORMAT,
                     "vocab: %.*s has no id from 0 to %lld", key.n < 100 ? (int)key.n : 100,
                     (const char *)key.at, (long long)most - 1);
            e[n].hash = sn_draft_hash(key, none);
            sn_draft_fetch(d, e[n++].hash);
        }
        SN_TRY(w->st);
        SN_TRY(put_entries(d, e, n, err));
    }
    return w->st;
}

static SnStatus read_vocab(SnTokDraft *d, SnBytes text, const SnJson *vocab, SnError *err)
{
    SnJsonWalk w;
    SN_CHECK(vocab != NULL && vocab->kind == SN_JSON_LATER && vocab->u.string.at[0] == '{', err, SN_EFORMAT,
             "vocab is not an object");
    SN_CHECK(sn_draft_expect_tokens(d, vocab->n), err, SN_ENOMEM, "no memory for a vocabulary");
    sn_json_walk(&w, d->arena, "tokenizer.json", text, vocab, err);
    const SnStatus st = read_entries(d, &w, most_ids(vocab->n), err), end = sn_json_walk_end(&w);
    return st != SN_OK ? st : end;
}

static SnStatus read_wordpiece(SnTokDraft *d, const SnJson *v, SnError *err)
{
    d->kind = SN_TOK_WORDPIECE;
    SN_TRY(read_string(v, "unk_token", &d->unk, err));
    SN_TRY(read_string(v, "continuing_subword_prefix", &d->prefix, err));
    return read_u32(v, "max_input_chars_per_word", &d->max_word_chars, err);
}

static SnStatus read_wordlevel(SnTokDraft *d, const SnJson *v, SnError *err)
{
    d->kind = SN_TOK_WORDLEVEL;
    return read_string(v, "unk_token", &d->unk, err);
}

static SnStatus read_model(SnTokDraft *d, SnBytes text, const SnJson *v, SnError *err)
{
    static const struct {
        const char *type, *field; /* the field tells the type where that is missing */
        SnStatus (*read)(SnTokDraft *d, const SnJson *v, SnError *err);
    } models[] = {{"BPE", "merges", sn_draft_read_bpe},
                  {"WordPiece", "continuing_subword_prefix", read_wordpiece},
                  {"WordLevel", "unk_token", read_wordlevel}};
    size_t i = 0;
    const bool has_type = sn_json_get(v, "type") != NULL;
    while (i < SN_COUNT(models) &&
           !(has_type ? is_type(v, models[i].type) : sn_json_get(v, models[i].field) != NULL))
        i++;
    const SnJson *vocab = sn_json_get(v, "vocab");
    const bool is_list = vocab != NULL && vocab->kind == SN_JSON_LATER && vocab->u.string.at[0] == '[';
    if (has_type ? is_type(v, "Unigram") : is_list)
        return sn_draft_read_unigram(d, text, v, err);
    if (i == SN_COUNT(models))
        return unsupported(err, "model", v);
    SN_TRY(models[i].read(d, v, err));
    SN_TRY(read_vocab(d, text, vocab, err));
    d->next_id = d->ntoken;
    return d->kind == SN_TOK_BPE ? sn_draft_read_merges(d, text, sn_json_get(v, "merges"), err) : SN_OK;
}

/* ---- added tokens ------------------------------------------------------------------------------------- */

SnStatus sn_draft_add_json(SnTokDraft *d, const SnJson *token, SnError *err)
{
    SnDraftToken t = {.flags = 0};
    bool single_word, lstrip, rstrip;
    SN_TRY(read_string(token, "content", &t.content, err));
    SN_TRY(read_bool(token, "single_word", &single_word, err));
    SN_TRY(read_bool(token, "lstrip", &lstrip, err));
    SN_TRY(read_bool(token, "rstrip", &rstrip, err));
    SN_TRY(read_bool(token, "normalized", &t.is_normalized, err));
    SN_TRY(read_bool(token, "special", &t.is_special, err));
    t.flags =
        (single_word ? SN_TOK_SINGLE_WORD : 0) | (lstrip ? SN_TOK_LSTRIP : 0) | (rstrip ? SN_TOK_RSTRIP : 0);
    return sn_draft_add(d, &t, err);
}

static SnStatus read_added(SnTokDraft *d, const SnJson *all, SnError *err)
{
    const SnJson *token;
    for (uint32_t i = 0; (token = sn_json_at(all, i)) != NULL; i++)
        SN_TRY(sn_draft_add_json(d, token, err));
    return SN_OK;
}

/* ---- the rest ----------------------------------------------------------------------------------------- */

static SnStatus read_truncation(SnTokTruncation *t, const SnJson *v, SnError *err)
{
    if (sn_json_is_null(v))
        return SN_OK;
    if (sn_json_get(v, "direction") != NULL)
        SN_TRY(read_choice(v, "direction", "Right Left", &t->left, err));
    SN_TRY(read_choice(v, "strategy", "LongestFirst OnlyFirst OnlySecond", &t->strategy, err));
    SN_TRY(read_u32(v, "stride", &t->stride, err));
    return read_u32(v, "max_length", &t->max_length, err);
}

static SnStatus read_padding(SnTokPadding *p, const SnJson *v, SnError *err)
{
    if (sn_json_is_null(v))
        return SN_OK;
    const SnJson *strategy = sn_json_get(v, "strategy");
    if (!sn_json_is(strategy, "BatchLongest"))
        SN_TRY(read_u32(strategy, "Fixed", &p->fixed, err));
    if (!sn_json_is_null(sn_json_get(v, "pad_to_multiple_of")))
        SN_TRY(read_u32(v, "pad_to_multiple_of", &p->multiple, err));
    SN_TRY(read_choice(v, "direction", "Right Left", &p->left, err));
    SN_TRY(read_u32(v, "pad_id", &p->id, err));
    SN_TRY(read_u32(v, "pad_type_id", &p->type_id, err));
    p->on = 1;
    return SN_OK;
}

SnStatus sn_draft_read_json(SnTokDraft *d, SnBytes text, SnError *err)
{
    static const char *const later[] = {"vocab", "merges", NULL};
    SnJson *root = NULL;
    SN_TRY(sn_json_parse_some(d->arena, "tokenizer.json", text, later, &root, err));
    const SnJson *version = sn_json_get(root, "version");
    SN_CHECK(version == NULL || sn_json_is(version, "1.0"), err, SN_EUNSUPPORTED,
             "version of tokenizer.json is not 1.0");
    SN_TRY(read_model(d, text, sn_json_get(root, "model"), err));
    SN_TRY(sn_draft_read_normalizer(d, sn_json_get(root, "normalizer"), err));
    SN_TRY(sn_draft_read_pre_tokenizer(d, sn_json_get(root, "pre_tokenizer"), err));
    SN_TRY(read_added(d, sn_json_get(root, "added_tokens"), err));
    SN_TRY(sn_draft_read_post_processor(d, sn_json_get(root, "post_processor"), err));
    SN_TRY(sn_draft_read_decoder(d, sn_json_get(root, "decoder"), err));
    SN_TRY(read_truncation(&d->facts.truncation, sn_json_get(root, "truncation"), err));
    return read_padding(&d->facts.padding, sn_json_get(root, "padding"), err);
}
