/* charsmap.c -- SentencePiece's precompiled character map, and the grapheme clusters it is asked about.
 *
 * As in the reference, a cluster of less than six bytes is looked up as a whole, and what the map has for its
 * shortest beginning stands for all of it; else each of its characters is looked up.
 *
 * Unicode Standard Annex #29, "Unicode Text Segmentation"; Yata, "Darts-clone" (the units' layout). */
#include "ops/host/normal.h"

/* ---- clusters ----------------------------------------------------------------------------------------- */

static SnBreak break_of(const SnTokTable *t, uint32_t cp)
{
    return (SnBreak)(sn_form(t, cp) & SN_FORM_BREAK);
}

static bool extends(SnBreak b)
{
    return b == SN_BREAK_EXTEND || b == SN_BREAK_LINKER || b == SN_BREAK_CONJUNCT;
}

static bool is_control(SnBreak b)
{
    return b == SN_BREAK_CR || b == SN_BREAK_LF || b == SN_BREAK_CONTROL;
}

/* Rules GB6 to GB8. */
static bool joins_hangul(SnBreak a, SnBreak b)
{
    if (a == SN_BREAK_L)
        return b == SN_BREAK_L || b == SN_BREAK_V || b == SN_BREAK_LV || b == SN_BREAK_LVT;
    if (a == SN_BREAK_LV || a == SN_BREAK_V)
        return b == SN_BREAK_V || b == SN_BREAK_T;
    return (a == SN_BREAK_LVT || a == SN_BREAK_T) && b == SN_BREAK_T;
}

typedef struct Cluster {
    bool is_picto;    /* Extended_Pictographic Extend* ends here, or (with last ZWJ) one before it */
    bool is_conjunct; /* a consonant and marks of conjuncts end here */
    bool has_linker;  /* ... among them a linker */
    size_t nindicator;
} Cluster;

static bool joins(const Cluster *s, SnBreak a, SnBreak b)
{
    if (a == SN_BREAK_CR)
        return b == SN_BREAK_LF;
    if (is_control(a) || is_control(b))
        return false;
    if (joins_hangul(a, b) || extends(b) || b == SN_BREAK_ZWJ || b == SN_BREAK_SPACING ||
        a == SN_BREAK_PREPEND)
        return true;
    if (b == SN_BREAK_CONSONANT && s->is_conjunct && s->has_linker)
        return true;
    if (b == SN_BREAK_PICTO && a == SN_BREAK_ZWJ && s->is_picto)
        return true;
    return a == SN_BREAK_INDICATOR && b == SN_BREAK_INDICATOR && s->nindicator % 2 == 1;
}

static void enter(Cluster *s, SnBreak b)
{
    const bool is_mark = b == SN_BREAK_LINKER || b == SN_BREAK_CONJUNCT || b == SN_BREAK_ZWJ;
    s->is_picto = b == SN_BREAK_PICTO || (s->is_picto && (extends(b) || b == SN_BREAK_ZWJ));
    s->is_conjunct = b == SN_BREAK_CONSONANT || (s->is_conjunct && is_mark);
    s->has_linker = s->is_conjunct && b != SN_BREAK_CONSONANT && (s->has_linker || b == SN_BREAK_LINKER);
    s->nindicator = b == SN_BREAK_INDICATOR ? s->nindicator + 1 : 0;
}

size_t sn_tok_cluster(const SnTokTable *t, const SnTokChar *c, size_t n)
{
    Cluster s = {.is_picto = false};
    SnBreak a = break_of(t, c[0].code);
    enter(&s, a);
    size_t i = 1;
    for (; i < n; i++) {
        const SnBreak b = break_of(t, c[i].code);
        if (!joins(&s, a, b))
            break;
        enter(&s, b);
        a = b;
    }
    return i;
}

/* ---- the map ------------------------------------------------------------------------------------------ */

enum { WHOLE = 6 }; /* bytes; longer clusters are looked up by character */

/* What the map has for the shortest beginning of key; at NULL: nothing. */
static SnBytes find(const SnCharsmap *map, const uint8_t *key, size_t n)
{
    const SnBytes nothing = {NULL, 0};
    if (map->nunit == 0)
        return nothing;
    uint32_t at = sn_charsmap_offset(map->unit[0]);
    for (size_t i = 0; i < n && key[i] != 0; i++) {
        at ^= key[i];
        if (at >= map->nunit || (map->unit[at] & 0x800000FFu) != key[i])
            return nothing;
        const uint32_t unit = map->unit[at];
        at ^= sn_charsmap_offset(unit);
        if (!(unit & SN_CHARSMAP_LEAF))
            continue;
        const uint32_t value = at < map->nunit ? map->unit[at] & 0x7FFFFFFFu : UINT32_MAX;
        if (value >= map->text.n || sn_tok_is_tail(map->text.at[value]))
            return value == map->text.n ? sn_bytes(map->text.at, 0) : nothing;
        const uint8_t *begin = map->text.at + value, *end = memchr(begin, 0, map->text.n - value);
        return sn_bytes(begin, end != NULL ? (size_t)(end - begin) : map->text.n - value);
    }
    return nothing;
}

typedef struct Out {
    SnTokChar *at;
    size_t n, cap;
    bool is_full;
} Out;

static void put(Out *o, SnTokChar c)
{
    o->is_full |= o->n == o->cap;
    if (!o->is_full)
        o->at[o->n++] = c;
}

/* Writes `to` for `nold` characters: the last ones are said to be put in where it is longer; where it is
 * shorter, the last character written, whichever it is, drops the rest. */
static void replace(Out *o, size_t nold, SnBytes to)
{
    size_t nnew = 0, size;
    for (size_t i = 0; i < to.n; i += size, nnew++) {
        size = sn_tok_char_size(to.at + i, to.n - i);
        put(o, (SnTokChar){sn_tok_code_point(to.at + i, size), 0});
    }
    for (size_t i = nold; i < nnew && !o->is_full; i++)
        o->at[o->n - 1 - (i - nold)].from = 1;
    if (nnew < nold && o->n > 0)
        o->at[o->n - 1].from -= (int32_t)(nold - nnew);
}

size_t sn_tok_map(const SnCharsmap *map, const SnTokChar *src, size_t n, SnTokChar *dst, size_t cap,
                  int32_t empty)
{
    Out o = {.at = dst, .cap = cap};
    bool is_changed = false;
    for (size_t i = 0, count; i < n; i += count) {
        uint8_t key[WHOLE * 4];
        size_t size = 0;
        count = sn_tok_cluster(map->t, src + i, n - i);
        for (size_t k = 0; k < count && size < WHOLE; k++)
            size += sn_tok_put_char(src[i + k].code, key + size);
        SnBytes to = size < WHOLE ? find(map, key, size) : sn_bytes(NULL, 0);
        if (to.at != NULL) {
            replace(&o, count, to);
            is_changed = true;
            continue;
        }
        for (size_t k = 0; k < count; k++) {
            size = sn_tok_put_char(src[i + k].code, key);
            to = find(map, key, size);
            is_changed |= to.at != NULL;
            if (to.at != NULL)
                replace(&o, 1, to);
            else
                put(&o, (SnTokChar){src[i + k].code, 0});
        }
    }
    if (o.is_full)
        return SIZE_MAX;
    if (is_changed)
        sn_tok_place(src, n, dst, o.n, empty);
    else
        memcpy(dst, src, n * sizeof *dst);
    return o.n;
}
