/* bpe.c -- the BPE model of tokenizer.json: merges to a hash of pairs of ids. */
#include "frontends/tokenizer/read.h"
#include "ops/host/tok.h"

#include <inttypes.h>
#include <stdio.h>

enum { GROUP = SN_DRAFT_FIND / 2 };

typedef struct Merge {
    uint32_t a, b, id;
} Merge;

struct SnDraftMerges {
    Merge *at;
    uint32_t n;
};

/* ---- reading ------------------------------------------------------------------------------------------ */

/* "a b" or ["a", "b"]; false: neither, or the walk failed. */
static bool read_pair(SnJsonWalk *w, SnBytes part[2])
{
    SnBytes text;
    if (!sn_json_take_string(w, &text))
        return sn_json_take_pair(w, part);
    const uint8_t *space = text.n > 0 ? memchr(text.at, ' ', text.n) : NULL;
    if (space == NULL)
        return false;
    part[0] = sn_bytes(text.at, (size_t)(space - text.at));
    part[1] = sn_bytes(space + 1, text.n - part[0].n - 1);
    return part[1].n == 0 || memchr(part[1].at, ' ', part[1].n) == NULL;
}

/* Merges often are in the order of the tokens that they make, several of one following each other. */
static uint32_t find_joined(const SnTokDraft *d, SnBytes a, SnBytes b, uint32_t last)
{
    for (uint32_t id = last; id <= last + 1; id++)
        if (sn_draft_is(d, id, a, b))
            return id;
    return sn_draft_joined(d, a, b);
}

static SnStatus find_merges(const SnTokDraft *d, const SnBytes *part, uint32_t n, SnError *err)
{
    struct SnDraftMerges *m = d->merges;
    uint32_t id[2 * GROUP], last = m->n > 0 ? m->at[m->n - 1].id : 0;
    sn_draft_find(d, part, 2 * n, id);
    for (uint32_t i = 0; i < n; i++) {
        const SnBytes a = part[2 * (size_t)i], b = part[2 * (size_t)i + 1];
        const size_t skip = d->prefix.n < b.n ? d->prefix.n : b.n;
        last = find_joined(d, a, sn_bytes(b.at + skip, b.n - skip), last);
        SN_CHECK(id[2 * i] != SN_TOK_NONE && id[2 * i + 1] != SN_TOK_NONE && last != SN_TOK_NONE, err,
                 SN_EFORMAT, "merges: %.*s and %.*s, or one of them, are not in the vocabulary",
                 (int)(a.n < 100 ? a.n : 100), (const char *)a.at, (int)(b.n < 100 ? b.n : 100),
                 (const char *)b.at);
        m->at[m->n++] = (Merge){id[2 * i], id[2 * i + 1], last};
    }
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

static SnStatus read_groups(SnTokDraft *d, SnJsonWalk *w, SnError *err)
{
    SnBytes part[2 * GROUP], key;
    bool has_more = sn_json_open(w);
    while (has_more) {
        uint32_t n = 0;
        while (n < GROUP && (has_more = sn_json_more(w, &key))) {
            const bool is_pair = read_pair(w, &part[2 * (size_t)n++]);
            SN_CHECK(is_pair || w->st != SN_OK, err, SN_EFORMAT, "merges: one is not two tokens");
            SN_TRY(w->st);
        }
        SN_TRY(find_merges(d, part, n, err));
    }
    return w->st;
}

SnStatus sn_draft_read_merges(SnTokDraft *d, SnBytes text, const SnJson *merges, SnError *err)
{
    SnJsonWalk w;
    SN_CHECK(d->unk.at == NULL || sn_draft_token(d, d->unk) != SN_TOK_NONE, err, SN_EFORMAT,
             "unk_token is not in the vocabulary");
    SN_CHECK(merges != NULL && merges->kind == SN_JSON_LATER && merges->u.string.at[0] == '[', err,
             SN_EFORMAT, "merges is not an array");
    d->merges = sn_arena_alloc(d->arena, sizeof *d->merges);
    if (d->merges != NULL) /* a merge has one string, or two */
        d->merges->at = sn_arena_array(d->arena, (size_t)merges->n + 1, sizeof *d->merges->at);
    SN_CHECK(d->merges != NULL && d->merges->at != NULL, err, SN_ENOMEM, "no memory for merges");
    sn_json_walk(&w, d->arena, "tokenizer.json", text, merges, err);
    const SnStatus st = read_groups(d, &w, err), end = sn_json_walk_end(&w);
    return st != SN_OK ? st : end;
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
    uint32_t nbyte = 0;
    if ((d->model_flags & (SN_TOK_BYTE_LEVEL | SN_TOK_IGNORE_MERGES)) || d->prefix.n + d->suffix.n > 0)
        return false;
    for (uint32_t i = 0; i < 256 && (d->model_flags & SN_TOK_BYTE_FALLBACK); i++) {
        char text[8];
        (void)snprintf(text, sizeof text, "<0x%02X>", i);
        nbyte += sn_draft_token(d, sn_bytes_str(text)) != SN_TOK_NONE;
    }
    const uint32_t unk = d->unk.at != NULL ? sn_draft_token(d, d->unk) : SN_TOK_NONE;
    for (uint32_t i = 0; i < d->merges->n; i++) {
        const Merge m = d->merges->at[i];
        if (is_byte_token(d->vocab[m.a]) || is_byte_token(d->vocab[m.b]) || m.a == unk || m.b == unk)
            return false;
    }
    return nbyte == 256 || (unk != SN_TOK_NONE && !(d->model_flags & SN_TOK_FUSE_UNK));
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
    if (prefix.n + text.n + suffix.n > ROOM)
        return SN_TOK_NONE;
    if (prefix.n > 0)
        memcpy(all, prefix.at, prefix.n);
    memcpy(all + prefix.n, text.at, text.n);
    if (suffix.n > 0)
        memcpy(all + prefix.n + text.n, suffix.at, suffix.n);
    return sn_draft_token(d, sn_bytes(all, prefix.n + text.n + suffix.n));
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
    const Merge *all = d->merges->at;
    for (uint32_t i = 0; i < d->merges->n; i++) {
        const Merge m = all[i], soon = all[i + GROUP < d->merges->n ? i + GROUP : i];
        const uint64_t pair = (uint64_t)m.a << t->id_bits | m.b;
        __builtin_prefetch(&slot[sn_tok_pair_slot((uint64_t)soon.a << t->id_bits | soon.b) & mask], 1);
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
