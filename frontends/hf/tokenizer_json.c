/* tokenizer_json.c -- reads tokenizer.json, one function a part.
 *
 * A part that is not built is refused by name, but for the decoder, which is only missed when something is
 * decoded. */
#include "frontends/hf/tokenizer_read.h"

#include <inttypes.h>

/* ---- model -------------------------------------------------------------------------------------------- */

/* Ids may leave gaps; tables have room for each id, so a small file must not ask for a large one. */
static int64_t most_ids(uint32_t ntoken)
{
    const uint64_t most = ((uint64_t)1 << 17) + 64 * (uint64_t)ntoken;
    return most < SN_TOK_MAX_IDS ? (int64_t)most : SN_TOK_MAX_IDS;
}

static SnStatus read_vocab(SnTokDraft *d, const SnJson *vocab, SnError *err)
{
    SN_CHECK(vocab != NULL && vocab->kind == SN_JSON_OBJECT, err, SN_EFORMAT, "vocab is not an object");
    uint32_t n = 0;
    for (uint32_t i = 0; i < vocab->n; i++) {
        const SnJson *v = &vocab->u.child[i];
        int64_t id;
        SN_CHECK(sn_json_int(v, &id) && id >= 0 && id < most_ids(vocab->n), err, SN_EFORMAT,
                 "vocab: token %" PRIu32 " of %" PRIu32 " has no id from 0 to %lld", i, vocab->n,
                 (long long)most_ids(vocab->n) - 1);
        SN_CHECK(sn_map_put(&d->model, v->key, (uint32_t)id), err, SN_ENOMEM, "no memory for a vocabulary");
        n = id >= n ? (uint32_t)id + 1 : n;
    }
    d->vocab = sn_arena_array(d->arena, (size_t)n + 1, sizeof *d->vocab);
    SN_CHECK(d->vocab != NULL, err, SN_ENOMEM, "no memory for a vocabulary of %" PRIu32 " ids", n);
    d->nvocab = n;
    for (uint32_t i = 0; i < vocab->n; i++) {
        const SnJson *v = &vocab->u.child[i];
        uint32_t id;
        if (!sn_map_get(&d->model, v->key, &id) || v->u.integer != (int64_t)id)
            continue; /* the key comes again further down, and that one counts */
        SN_CHECK(d->vocab[id].at == NULL || sn_bytes_equal(d->vocab[id], v->key), err, SN_EFORMAT,
                 "vocab: two tokens have id %" PRIu32, id);
        d->vocab[id] = v->key;
    }
    return SN_OK;
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

static SnStatus read_model(SnTokDraft *d, const SnJson *v, SnError *err)
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
    if (has_type ? is_type(v, "Unigram") : vocab != NULL && vocab->kind == SN_JSON_ARRAY)
        return sn_draft_read_unigram(d, v, err);
    if (i == SN_COUNT(models))
        return unsupported(err, "model", v);
    SN_TRY(models[i].read(d, v, err));
    SN_TRY(read_vocab(d, vocab, err));
    d->next_id = d->model.n;
    return d->kind == SN_TOK_BPE ? sn_draft_read_merges(d, v, err) : SN_OK;
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
    SnJson *root = NULL;
    SN_TRY(sn_json_parse(d->arena, "tokenizer.json", text, &root, err));
    const SnJson *version = sn_json_get(root, "version");
    SN_CHECK(version == NULL || sn_json_is(version, "1.0"), err, SN_EUNSUPPORTED,
             "version of tokenizer.json is not 1.0");
    SN_TRY(read_model(d, sn_json_get(root, "model"), err));
    SN_TRY(sn_draft_read_normalizer(d, sn_json_get(root, "normalizer"), err));
    SN_TRY(sn_draft_read_pre_tokenizer(d, sn_json_get(root, "pre_tokenizer"), err));
    SN_TRY(read_added(d, sn_json_get(root, "added_tokens"), err));
    SN_TRY(sn_draft_read_post_processor(d, sn_json_get(root, "post_processor"), err));
    SN_TRY(sn_draft_read_decoder(d, sn_json_get(root, "decoder"), err));
    SN_TRY(read_truncation(&d->facts.truncation, sn_json_get(root, "truncation"), err));
    return read_padding(&d->facts.padding, sn_json_get(root, "padding"), err);
}
