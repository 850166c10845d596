/* detokenize.c -- tok_decode: ids to text. */
#include "ops/host/tok.h"

typedef struct State {
    int64_t row;
    size_t id;      /* of the row */
    size_t written; /* tokens of the row */
    size_t ntext, row_text;
} State;

_Static_assert(sizeof(State) <= SN_TOK_DECODE_SCRATCH, "SN_TOK_DECODE_SCRATCH");

/* What the WordPiece decoder's cleanup replaces, in this order, within one token and the space before it. */
static const struct {
    const char *from, *to;
} cleanups[] = {
    {" .", "."},   {" ?", "?"},           {" !", "!"},   {" ,", ","},     {" ' ", "'"},    {" n't", "n't"},
    {" 'm", "'m"}, {" do not", " don't"}, {" 's", "'s"}, {" 've", "'ve"}, {" 're", "'re"},
};

/* Replaces all of `from`, left to right, in place; to is not longer. Returns the new length. */
static size_t replace(uint8_t *text, size_t n, SnBytes from, SnBytes to)
{
    size_t out = 0;
    for (size_t i = 0; i < n;) {
        if (n - i >= from.n && memcmp(text + i, from.at, from.n) == 0) {
            memcpy(text + out, to.at, to.n);
            out += to.n;
            i += from.n;
        } else
            text[out++] = text[i++];
    }
    return out;
}

static bool begins_with(SnBytes s, SnBytes prefix)
{
    return s.n >= prefix.n && memcmp(s.at, prefix.at, prefix.n) == 0;
}

size_t sn_tok_put(const SnTokTable *t, SnBytes token, bool is_first, uint8_t *out)
{
    const SnBytes prefix = sn_bytes(sn_tok_POOL(t) + t->decoder_at, t->decoder_size);
    const bool is_wordpiece = t->decoder == SN_TOK_DECODE_WORDPIECE;
    const bool joins = !is_first && is_wordpiece && begins_with(token, prefix);
    const size_t skip = joins ? prefix.n : 0;
    size_t n = 0;
    if (!is_first && !joins)
        out[n++] = ' ';
    memcpy(out + n, token.at + skip, token.n - skip);
    n += token.n - skip;
    if (is_wordpiece && (t->flags & SN_TOK_CLEANUP) && memchr(out, ' ', n) != NULL)
        for (size_t i = 0; i < SN_COUNT(cleanups); i++)
            n = replace(out, n, sn_bytes_str(cleanups[i].from), sn_bytes_str(cleanups[i].to));
    return n;
}

static SnStatus run_row(const SnHostCall *h, State *st, const int32_t *ids, size_t n, SnTokClock *clock,
                        SnError *err)
{
    const SnView *out = &h->out[0];
    const SnTokTable *t = sn_tok_table(h);
    const SnBytes table = sn_bytes(t, t->size);
    const bool skip_special = h->attr[0].i != 0;
    for (; st->id < n; st->id++) {
        if (sn_tok_due(clock, 16))
            return SN_AGAIN;
        const int32_t id = ids[st->id];
        SN_CHECK(id >= 0, err, SN_EINVAL, "tok_decode: id %" PRId32 " at %zu of row %" PRId64, id, st->id,
                 st->row);
        const SnBytes token = sn_tokenizer_text(table, (uint32_t)id);
        if (token.at == NULL || (skip_special && sn_tokenizer_is_special(table, (uint32_t)id)))
            continue;
        SN_TRY(sn_tok_room(out, (int64_t)st->ntext, (int64_t)token.n + 1, "text", err));
        st->ntext += sn_tok_put(t, token, st->written++ == 0, (uint8_t *)out->data + st->ntext);
    }
    return SN_OK;
}

SnStatus sn_tok_decode(const SnHostCall *h, SnError *err)
{
    State *st = h->scratch;
    const SnTokTable *t = sn_tok_table(h);
    const SnView *ids = &h->in[1];
    SnTokClock clock = {.deadline_ns = h->deadline_ns};
    SN_CHECK(t->decoder != SN_TOK_DECODE_OTHER, err, SN_EUNSUPPORTED,
             "tokenizer: decoder %.*s is not supported", (int)t->decoder_size,
             (const char *)sn_tok_POOL(t) + t->decoder_at);
    for (; st->row < ids->dims[0]; st->row++) {
        int64_t at, n;
        SN_TRY(sn_tok_row(ids, st->row, &at, &n, err));
        SN_TRY(run_row(h, st, sn_tok_i32(ids, at), (size_t)n, &clock, err));
        sn_tok_end_row(&h->out[0], st->row, (int64_t)st->row_text, (int64_t)st->ntext);
        st->row_text = st->ntext;
        st->id = st->written = 0;
    }
    return SN_OK;
}
