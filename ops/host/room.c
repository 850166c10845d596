/* room.c -- tok_room: how many bytes and tokens a text becomes at most, told before anything is made of it.
 *
 * The table has for characters how long one of them gets (SN_TOK_WIDTH), so one look at a text gives a bound
 * that is near what it needs, where the longest that any text may get is many times as much. */
#include "ops/host/tok.h"

enum { CHUNK = 64 };

typedef struct State {
    int64_t row, room;
    size_t at; /* of the row */
} State;

_Static_assert(sizeof(State) <= SN_TOK_ROOM_SCRATCH, "SN_TOK_ROOM_SCRATCH");

typedef struct Widths {
    const uint8_t *at;
    size_t low, replacement; /* the widest up to the space; of U+FFFD */
    uint8_t odd[4];          /* ASCII above the space that is wider than 1: where added tokens begin */
    uint32_t nodd;
    bool is_plain;  /* these are all of it */
    bool is_narrow; /* and no other character is wider than its UTF-8 */
    bool has_v3;
} Widths;

/* Not worth asking for a short text. */
static bool is_narrow(const uint8_t *width)
{
    bool is = true;
    for (uint32_t c = 0x80; c < 0x110000; c += 128)
        is &= width[SN_TOK_WIDTH_OF(c)] <= (c < 0x800 ? 2 : c < 0x10000 ? 3 : 4);
    return is;
}

static Widths widths_of(const SnTokTable *t, bool is_long, bool has_v3)
{
    Widths w = {.at = sn_tok_WIDTH(t), .is_plain = true, .has_v3 = has_v3};
    for (uint32_t c = 0; c < 128; c++) {
        w.low = c <= ' ' && w.at[c] > w.low ? w.at[c] : w.low;
        w.is_plain &= c <= ' ' || w.at[c] == 1 || w.nodd < SN_COUNT(w.odd);
        if (w.is_plain && c > ' ' && w.at[c] > 1)
            w.odd[w.nodd++] = (uint8_t)c;
    }
    w.replacement = w.at[SN_TOK_WIDTH_OF(0xFFFD)];
    w.is_narrow = is_long && w.is_plain && is_narrow(w.at);
    return w;
}

/* What n bytes, at most CHUNK, need beyond one each, where they are not narrower. */
static inline size_t beyond(const Widths *w, const uint8_t *p, size_t n)
{
    uint8_t nlow = 0;
    for (size_t i = 0; i < n; i++)
        nlow = (uint8_t)(nlow + (p[i] <= ' '));
    size_t sum = (w->low - 1) * nlow;
    for (uint32_t k = 0; k < w->nodd; k++) {
        uint8_t count = 0;
        for (size_t i = 0; i < n; i++)
            count = (uint8_t)(count + (p[i] == w->odd[k]));
        sum += (w->at[w->odd[k]] - 1u) * count;
    }
    return sum;
}

/* Adds the bytes of well-formed UTF-8 that there are up to `stop`, and what spaces need; returns where they
 * end. */
static size_t add_narrow(const Widths *w, SnBytes text, size_t at, size_t stop, size_t *room)
{
    const uint8_t *p = text.at + at;
    const size_t n = sn_utf8_prefix_on(sn_bytes(p, (stop < text.n ? stop : text.n) - at), w->has_v3);
    size_t i = 0;
    for (; n - i >= CHUNK; i += CHUNK)
        *room += CHUNK + beyond(w, p + i, CHUNK);
    *room += n - i + beyond(w, p + i, n - i);
    return at + n;
}

/* false: not all of the chunk is ASCII. */
static inline bool add_ascii(const Widths *w, const uint8_t *p, size_t *room)
{
    uint8_t all = 0;
    for (int i = 0; i < CHUNK; i++)
        all |= p[i];
    if (all >= 0x80)
        return false;
    *room += CHUNK + beyond(w, p, CHUNK);
    return true;
}

/* Adds what the characters from `at` on need, up to a little behind `stop`; returns where it stopped. */
static size_t add_row(const Widths *w, SnBytes text, size_t at, size_t stop, size_t *room)
{
    while (at < stop) {
        const size_t begin = at;
        at = w->is_narrow ? add_narrow(w, text, at, stop, room) : at;
        if (at > begin)
            continue;
        if (w->is_plain && text.n - at >= CHUNK && add_ascii(w, text.at + at, room)) {
            at += CHUNK;
            continue;
        }
        const size_t end = text.n - at < CHUNK ? text.n : at + CHUNK;
        for (size_t size, bad; at < end; at += size) {
            size = sn_tok_well_formed(text.at + at, text.n - at, &bad);
            *room +=
                size == 0 ? w->replacement : w->at[SN_TOK_WIDTH_OF(sn_tok_code_point(text.at + at, size))];
            size = size == 0 ? bad : size;
        }
    }
    return at;
}

SnStatus sn_tok_room(const SnHostCall *h, SnError *err)
{
    enum { STRETCH = 1 << 14 };
    const SnTokTable *t = sn_tok_table(h);
    const SnView *text = &h->in[1];
    State *st = h->scratch;
    SnTokClock clock = {.deadline_ns = h->deadline_ns};
    const bool is_known = sn_tok_count(t, SN_TOK_WIDTH) > 0;
    const Widths w = is_known ? widths_of(t, text->child_count > STRETCH, h->has_v3) : (Widths){.at = NULL};
    const int64_t most = (int64_t)t->facts.grow * text->child_count;
    for (; is_known && st->row < text->dims[0]; st->row++, st->at = 0) {
        int64_t start, n;
        SN_TRY(sn_tok_row(text, st->row, &start, &n, err));
        const SnBytes row = sn_bytes(sn_tok_u8(text, start), (size_t)n);
        size_t room = st->at == 0 ? SN_TOK_ROW_ROOM : 0;
        while (st->at < row.n && !clock.is_due) {
            const size_t begin = st->at;
            st->at = add_row(&w, row, begin, row.n - begin < STRETCH ? row.n : begin + STRETCH, &room);
            (void)sn_tok_due(&clock, st->at - begin);
        }
        st->room += (int64_t)room;
        if (st->at < row.n)
            return SN_AGAIN;
    }
    *(int64_t *)h->out[0].data = is_known && st->room < most ? st->room : most;
    return SN_OK;
}
