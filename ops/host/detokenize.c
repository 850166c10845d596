/* detokenize.c -- tok_decode: ids to text. */
#include "ops/host/decode.h"

typedef struct State {
    int64_t row;
    size_t id;      /* of the row */
    size_t written; /* tokens of the row */
    size_t ntext, row_text;
} State;

_Static_assert(sizeof(State) <= 128, "SN_TOK_DECODE_SCRATCH");

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

bool sn_tok_can_put(const SnTokTable *t)
{
    const uint32_t kind = sn_tok_count(t, SN_TOK_DECODE) == 1 ? sn_tok_DECODE(t)->kind : SN_TOK_DECODE_NKIND;
    return kind == SN_TOK_DECODE_JOIN || kind == SN_TOK_DECODE_WORDPIECE;
}

size_t sn_tok_put(const SnTokTable *t, SnBytes token, bool is_first, uint8_t *out)
{
    const SnTokDecodeStep *s = sn_tok_DECODE(t);
    const SnBytes prefix = sn_bytes(sn_tok_POOL(t) + s->at, s->size);
    const bool is_wordpiece = s->kind == SN_TOK_DECODE_WORDPIECE;
    const bool joins = !is_first && is_wordpiece && begins_with(token, prefix);
    const size_t skip = joins ? prefix.n : 0;
    size_t n = 0;
    if (!is_first && !joins)
        out[n++] = ' ';
    memcpy(out + n, token.at + skip, token.n - skip);
    n += token.n - skip;
    if (is_wordpiece && (s->flags & SN_TOK_DECODE_CLEANUP) && memchr(out, ' ', n) != NULL)
        for (size_t i = 0; i < SN_COUNT(cleanups); i++)
            n = replace(out, n, sn_bytes_str(cleanups[i].from), sn_bytes_str(cleanups[i].to));
    return n;
}

/* Where tokens depend on each other the row is decoded as a whole. */
static SnStatus run_list(const SnHostCall *h, State *st, const int32_t *ids, size_t n, SnError *err)
{
    SnTokDecodeWork work;
    SnBytes text;
    const size_t room = (h->scratch_size - SN_TOK_DECODE_SCRATCH(h->in[1].child_count, -1)) / 2;
    sn_tok_decode_init(&work, st + 1, n, room);
    SN_TRY(sn_tok_decode_list(sn_tok_table(h), &work, ids, n, h->attr[0].i != 0, &text, err));
    SN_TRY(sn_tok_room(&h->out[0], (int64_t)st->ntext, (int64_t)text.n, "text", err));
    if (text.n > 0)
        memcpy((uint8_t *)h->out[0].data + st->ntext, text.at, text.n);
    st->ntext += text.n;
    return SN_OK;
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
    const bool is_list = !sn_tok_can_put(t);
    for (; st->row < ids->dims[0]; st->row++) {
        int64_t at, n;
        SN_TRY(sn_tok_row(ids, st->row, &at, &n, err));
        if (clock.is_due)
            return SN_AGAIN;
        SN_TRY(is_list ? run_list(h, st, sn_tok_i32(ids, at), (size_t)n, err)
                       : run_row(h, st, sn_tok_i32(ids, at), (size_t)n, &clock, err));
        (void)sn_tok_due(&clock, is_list ? 16 * (size_t)n : 0);
        sn_tok_end_row(&h->out[0], st->row, (int64_t)st->row_text, (int64_t)st->ntext);
        st->row_text = st->ntext;
        st->id = st->written = 0;
    }
    return SN_OK;
}
