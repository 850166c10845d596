/* tokenizer_bpe.c -- the BPE model of tokenizer.json: merges to a hash of pairs of ids. */
#include "frontends/hf/tokenizer_read.h"
#include "ops/host/tok.h"

#include <inttypes.h>
#include <stdio.h>

enum { MAX_TOKEN = 1 << 16, GROUP = 16 };

typedef struct Merge {
    uint32_t a, b, id;
} Merge;

struct SnDraftMerges {
    Merge *at;
    uint32_t n;
};

/* ---- reading ------------------------------------------------------------------------------------------ */

/* "a b" or ["a", "b"]. */
static bool parts_of(const SnJson *merge, SnBytes part[2])
{
    SnBytes text;
    if (!sn_json_string(merge, &text))
        return merge->kind == SN_JSON_ARRAY && merge->n == 2 &&
               sn_json_string(sn_json_at(merge, 0), &part[0]) &&
               sn_json_string(sn_json_at(merge, 1), &part[1]);
    const uint8_t *space = text.n > 0 ? memchr(text.at, ' ', text.n) : NULL;
    if (space == NULL)
        return false;
    part[0] = sn_bytes(text.at, (size_t)(space - text.at));
    part[1] = sn_bytes(space + 1, text.n - part[0].n - 1);
    return part[1].n == 0 || memchr(part[1].at, ' ', part[1].n) == NULL;
}

/* The two tokens of a merge, and the one that they become, whose bytes go to text. */
static SnStatus tokens_of(const SnTokDraft *d, const SnJson *v, uint8_t *text, SnBytes token[3], SnError *err)
{
    SN_CHECK(parts_of(v, token), err, SN_EFORMAT, "merges: one is not two tokens");
    const size_t skip = d->prefix.n < token[1].n ? d->prefix.n : token[1].n;
    token[2] = sn_bytes(text, token[0].n + token[1].n - skip);
    SN_CHECK(token[2].n <= MAX_TOKEN, err, SN_EFORMAT, "merges: a token of %zu bytes", token[2].n);
    if (token[0].n > 0)
        memcpy(text, token[0].at, token[0].n);
    if (token[1].n > skip)
        memcpy(text + token[0].n, token[1].at + skip, token[1].n - skip);
    return SN_OK;
}

static SnStatus fetch_merge(const SnTokDraft *d, const SnJson *v, uint8_t *text, SnError *err)
{
    SnBytes token[3];
    SN_TRY(tokens_of(d, v, text, token, err));
    for (size_t i = 0; i < SN_COUNT(token); i++)
        sn_map_fetch(&d->model, token[i]);
    return SN_OK;
}

static SnStatus read_merge(const SnTokDraft *d, const SnJson *v, uint8_t *text, Merge *out, SnError *err)
{
    SnBytes token[3];
    SN_TRY(tokens_of(d, v, text, token, err));
    SN_CHECK(sn_map_get(&d->model, token[0], &out->a) && sn_map_get(&d->model, token[1], &out->b) &&
                 sn_map_get(&d->model, token[2], &out->id),
             err, SN_EFORMAT, "merges: %.*s or one of its two parts is not in the vocabulary",
             (int)(token[2].n < 100 ? token[2].n : 100), (const char *)text);
    return SN_OK;
}

/* A string, or nothing. */
static SnStatus read_text(const SnJson *v, const char *key, SnBytes *out, SnError *err)
{
    return sn_json_is_null(sn_json_get(v, key)) ? SN_OK : read_string(v, key, out, err);
}

SnStatus sn_draft_read_bpe(SnTokDraft *d, const SnJson *v, SnError *err)
{
    static const struct {
        const char *key;
        uint32_t flag;
    } flags[] = {{"fuse_unk", SN_TOK_FUSE_UNK},
                 {"byte_fallback", SN_TOK_BYTE_FALLBACK},
                 {"ignore_merges", SN_TOK_IGNORE_MERGES}};
    double dropout = 0;
    d->kind = SN_TOK_BPE;
    (void)sn_json_number(sn_json_get(v, "dropout"), &dropout);
    SN_CHECK(dropout == 0, err, SN_EUNSUPPORTED, "model BPE with dropout is not supported");
    SN_TRY(read_text(v, "unk_token", &d->unk, err));
    SN_TRY(read_text(v, "continuing_subword_prefix", &d->prefix, err));
    SN_TRY(read_text(v, "end_of_word_suffix", &d->suffix, err));
    for (size_t i = 0; i < SN_COUNT(flags); i++) {
        bool on = false;
        if (!sn_json_is_null(sn_json_get(v, flags[i].key)))
            SN_TRY(read_bool(v, flags[i].key, &on, err));
        d->model_flags |= on ? flags[i].flag : 0;
    }
    SN_CHECK(!(d->model_flags & SN_TOK_BYTE_FALLBACK) || d->prefix.n + d->suffix.n == 0, err, SN_EUNSUPPORTED,
             "model BPE with byte_fallback and a prefix or suffix is not supported");
    return SN_OK;
}

SnStatus sn_draft_read_merges(SnTokDraft *d, const SnJson *model, SnError *err)
{
    struct SnDraftMerges *m = sn_arena_alloc(d->arena, sizeof *m);
    uint8_t *text = sn_arena_alloc(d->arena, MAX_TOKEN);
    const SnJson *all = sn_json_get(model, "merges");
    uint32_t id;
    SN_CHECK(d->unk.at == NULL || sn_map_get(&d->model, d->unk, &id), err, SN_EFORMAT,
             "unk_token is not in the vocabulary");
    SN_CHECK(all != NULL && all->kind == SN_JSON_ARRAY, err, SN_EFORMAT, "merges is not an array");
    if (m != NULL)
        *m = (struct SnDraftMerges){sn_arena_array(d->arena, (size_t)all->n + 1, sizeof *m->at), all->n};
    SN_CHECK(m != NULL && m->at != NULL && text != NULL, err, SN_ENOMEM, "no memory for %" PRIu32 " merges",
             all->n);
    d->merges = m;
    for (uint32_t i = 0; i < m->n; i++) { /* look-ups wait for memory: they are announced a group at a time */
        for (uint32_t k = i; i % GROUP == 0 && k < m->n && k < i + GROUP; k++)
            SN_TRY(fetch_merge(d, &all->u.child[k], text, err));
        SN_TRY(read_merge(d, &all->u.child[i], text, &m->at[i], err));
    }
    return SN_OK;
}

/* ---- writing ------------------------------------------------------------------------------------------ */

static bool is_byte_token(SnBytes s)
{
    return s.n == 6 && memcmp(s.at, "<0x", 3) == 0 && s.at[5] == '>';
}

/* Do the merges alone say where a text may be cut? Not where symbols are no characters of the text, or what
 * is unknown becomes one token or none. */
static bool has_junctions(const SnTokDraft *d)
{
    uint32_t nbyte = 0, unk = SN_TOK_NONE, id;
    if ((d->model_flags & (SN_TOK_BYTE_LEVEL | SN_TOK_IGNORE_MERGES)) || d->prefix.n + d->suffix.n > 0)
        return false;
    for (uint32_t i = 0; i < 256 && (d->model_flags & SN_TOK_BYTE_FALLBACK); i++) {
        char text[8];
        (void)snprintf(text, sizeof text, "<0x%02X>", i);
        nbyte += sn_map_get(&d->model, sn_bytes_str(text), &id);
    }
    const bool has_unk = d->unk.at != NULL && sn_map_get(&d->model, d->unk, &unk);
    for (uint32_t i = 0; i < d->merges->n; i++) {
        const Merge m = d->merges->at[i];
        if (is_byte_token(d->vocab[m.a]) || is_byte_token(d->vocab[m.b]) || m.a == unk || m.b == unk)
            return false;
    }
    return nbyte == 256 || (has_unk && !(d->model_flags & SN_TOK_FUSE_UNK));
}

static void put_junctions(const SnTokDraft *d, uint8_t *bits)
{
    memset(bits, 0, SN_TOK_JUNCTIONS / 8);
    for (uint32_t i = 0; i < d->merges->n; i++) {
        const SnBytes a = d->vocab[d->merges->at[i].a], b = d->vocab[d->merges->at[i].b];
        size_t last = a.n;
        do
            last -= last > 0;
        while (last > 0 && sn_tok_is_tail(a.at[last]));
        if (a.n == 0 || b.n == 0)
            continue;
        const uint32_t x = sn_tok_code_point(a.at + last, a.n - last),
                       y = sn_tok_code_point(b.at, sn_tok_char_size(b.at, b.n)), bit = sn_tok_junction(x, y);
        bits[bit >> 3] |= (uint8_t)(1u << (bit & 7));
    }
}

void sn_draft_bpe_sizes(const SnTokDraft *d, size_t count[SN_TOK_NSECTION])
{
    if (d->merges == NULL)
        return;
    size_t nslot = 16;
    while (nslot < 5 * (size_t)d->merges->n / 3)
        nslot *= 2;
    count[SN_TOK_MERGE] = nslot;
    count[SN_TOK_JUNCTION] = has_junctions(d) ? SN_TOK_JUNCTIONS / 8 : 0;
    count[SN_TOK_MERGED] = d->merges->n;
    count[SN_TOK_BYTE] = SN_TOK_BYTES;
}

static uint32_t id_of(const SnTokDraft *d, SnBytes prefix, SnBytes text, SnBytes suffix)
{
    enum { ROOM = 256 };
    uint8_t all[ROOM];
    uint32_t id;
    if (prefix.n + text.n + suffix.n > ROOM)
        return SN_TOK_NONE;
    if (prefix.n > 0)
        memcpy(all, prefix.at, prefix.n);
    memcpy(all + prefix.n, text.at, text.n);
    if (suffix.n > 0)
        memcpy(all + prefix.n + text.n, suffix.at, suffix.n);
    return sn_map_get(&d->model, sn_bytes(all, prefix.n + text.n + suffix.n), &id) ? id : SN_TOK_NONE;
}

static void put_bytes(const SnTokDraft *d, uint32_t *byte)
{
    const SnBytes none = {NULL, 0};
    for (uint32_t i = 0; i < SN_TOK_BYTES; i++) {
        const uint8_t b = (uint8_t)i;
        char text[8];
        size_t n = 1;
        text[0] = (char)b;
        byte[i] = SN_TOK_NONE;
        if (d->model_flags & SN_TOK_BYTE_LEVEL) {
            uint8_t sign[4];
            n = sn_tok_put_char(sn_tok_byte_char(b), sign);
            byte[i] = id_of(d, i & 256 ? d->prefix : none, sn_bytes(sign, n), i & 512 ? d->suffix : none);
            continue;
        }
        if (i < 256)
            n = (size_t)snprintf(text, sizeof text, "<0x%02X>", i);
        if (i < 256 + 128)
            byte[i] = id_of(d, none, sn_bytes(text, n), none);
    }
}

SnStatus sn_draft_put_bpe(const SnTokDraft *d, SnTokTable *t, uint64_t *slot, uint32_t *merged,
                          uint32_t *byte, uint8_t *junction, SnError *err)
{
    if (d->merges == NULL)
        return SN_OK;
    const uint32_t mask = sn_tok_count(t, SN_TOK_MERGE) - 1;
    t->id_bits = 1;
    while (t->id_bits < 31 && d->nvocab >> t->id_bits != 0)
        t->id_bits++;
    const uint32_t rank_bits = 64 - 2 * t->id_bits;
    SN_CHECK(rank_bits >= 32 || d->merges->n >> rank_bits == 0, err, SN_EUNSUPPORTED,
             "a vocabulary of %" PRIu32 " tokens with %" PRIu32 " merges is not supported", d->nvocab,
             d->merges->n);
    memset(slot, 0xFF, ((size_t)mask + 1) * sizeof *slot);
    for (uint32_t i = 0; i < d->merges->n; i++) {
        const Merge m = d->merges->at[i];
        const uint64_t pair = (uint64_t)m.a << t->id_bits | m.b;
        uint32_t k = sn_tok_pair_slot(pair) & mask;
        while (slot[k] != SN_TOK_FREE_PAIR && slot[k] >> rank_bits != pair)
            k = (k + 1) & mask;
        slot[k] = pair << rank_bits | i;
        merged[i] = m.id;
    }
    put_bytes(d, byte);
    if (sn_tok_count(t, SN_TOK_JUNCTION) > 0)
        put_junctions(d, junction);
    return SN_OK;
}
