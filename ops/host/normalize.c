/* normalize.c -- normalising text: the steps of a normaliser, one after the other over a run of characters.
 *
 * Where every step acts on characters near each other, a text is a row of runs: ASCII that no step joins with
 * anything goes through a table of 128 bytes, other runs (so many characters, and what may join with them) go
 * through the steps. Where a step looks further, the run is the whole text.
 *
 * Alignment follows the reference: each character stands for one character of the text, or for none at a
 * place
 * (~place, below 0). */
#include "ops/host/normal.h"

enum { RUN_CHARS = SN_TOK_RUN / 8, ASCII_RUN = 4096 };

typedef struct Work { /* of one run */
    const SnTokNorm *m;
    const SnTokNormStep *step;
    const SnTokChar *src;
    size_t n;
    SnTokChar *dst, *spare;
    int32_t empty; /* the place of nothing at the beginning */
} Work;

/* ---- steps: each takes n characters from src to dst and returns how many come out; SIZE_MAX: too many ----
 */

static uint16_t flags_of(const SnTokChar *c)
{
    return sn_code_class(c->code)->flags;
}

static size_t drop(const Work *w, uint32_t flags)
{
    size_t m = 0;
    for (size_t i = 0; i < w->n; i++)
        if (!(flags_of(&w->src[i]) & flags))
            w->dst[m++] = w->src[i];
    return m;
}

static size_t step_nonspacing(const Work *w)
{
    return drop(w, SN_CP_NONSPACING);
}

static size_t step_marks(const Work *w)
{
    return drop(w, SN_CP_MARK);
}

static size_t step_clean(const Work *w)
{
    const size_t m = drop(w, SN_CP_DROP);
    for (size_t i = 0; i < m; i++)
        if (flags_of(&w->dst[i]) & SN_CP_SPACE)
            w->dst[i].code = ' ';
    return m;
}

static size_t step_nmt(const Work *w)
{
    enum { DROP = 1, SPACE };
    size_t m = 0;
    for (size_t i = 0; i < w->n; i++) {
        const uint32_t c = w->src[i].code;
        const bool is_space = c == 9 || c == 10 || c == 12 || c == 13 || c == 0x1680 ||
                              (c >= 0x200B && c <= 0x200F) || c == 0x2028 || c == 0x2029 || c == 0x2581 ||
                              c == 0xFEFF || c == 0xFFFD;
        if (!is_space && c != 0 && (c < 0x20 || c == 0x7F || c == 0x8F || c == 0x9F))
            continue;
        w->dst[m++] = (SnTokChar){is_space ? ' ' : c, w->src[i].from};
    }
    return m;
}

static size_t step_cjk(const Work *w)
{
    size_t m = 0;
    for (size_t i = 0; i < w->n; i++) {
        const bool apart = flags_of(&w->src[i]) & SN_CP_CJK;
        const SnTokChar space = {' ', w->src[i].from};
        if (w->m->cap - m < 3)
            return SIZE_MAX;
        if (apart)
            w->dst[m++] = space;
        w->dst[m++] = w->src[i];
        if (apart)
            w->dst[m++] = space;
    }
    return m;
}

static size_t step_lower(const Work *w)
{
    size_t m = 0;
    for (size_t i = 0; i < w->n; i++) {
        const uint32_t cp = w->src[i].code;
        if (w->m->cap - m < 2)
            return SIZE_MAX;
        w->dst[m++] = (SnTokChar){(uint32_t)((int32_t)cp + sn_code_class(cp)->lower), w->src[i].from};
        if (cp == SN_DOTTED_I)
            w->dst[m++] = (SnTokChar){0x307, w->src[i].from};
    }
    return m;
}

static size_t form(const Work *w, SnForm f)
{
    return sn_tok_form(w->m->t, f, w->src, w->n, w->dst, w->spare, w->m->cap);
}

static size_t step_nfd(const Work *w)
{
    return form(w, SN_FORM_NFD);
}

static size_t step_nfkd(const Work *w)
{
    return form(w, SN_FORM_NFKD);
}

static size_t step_nfc(const Work *w)
{
    return form(w, SN_FORM_NFC);
}

static size_t step_nfkc(const Work *w)
{
    return form(w, SN_FORM_NFKC);
}

static size_t step_strip(const Work *w)
{
    size_t begin = 0, end = w->n;
    while ((w->step->at & SN_NORM_LEFT) && begin < end && (flags_of(&w->src[begin]) & SN_CP_SPACE))
        begin++;
    while ((w->step->at & SN_NORM_RIGHT) && end > begin && (flags_of(&w->src[end - 1]) & SN_CP_SPACE))
        end--;
    memcpy(w->dst, w->src + begin, (end - begin) * sizeof *w->dst);
    return end - begin;
}

static SnBytes pool(const Work *w, uint32_t at, uint32_t size)
{
    return sn_bytes(sn_tok_POOL(w->m->t) + at, size);
}

/* Writes text at dst[m], all of it standing for one place. */
static size_t put_text(const Work *w, size_t m, SnBytes text, int32_t from)
{
    for (size_t i = 0, size; i < text.n; i += size) {
        if (m == w->m->cap)
            return SIZE_MAX;
        size = sn_tok_char_size(text.at + i, text.n - i);
        w->dst[m++] = (SnTokChar){sn_tok_code_point(text.at + i, size), from};
    }
    return m;
}

/* Text before the first character stands for what that one stands for. */
static size_t step_prepend(const Work *w)
{
    if (w->n == 0)
        return 0;
    const SnBytes text = pool(w, w->step->at, w->step->size);
    const size_t m = put_text(w, 0, text, w->src[0].from);
    if (m == SIZE_MAX || w->m->cap - m < w->n)
        return SIZE_MAX;
    memcpy(w->dst + m, w->src, w->n * sizeof *w->dst);
    if (text.n == 0)
        w->dst[0].from = w->empty;
    return m + w->n;
}

static size_t step_bytes(const Work *w)
{
    size_t m = 0;
    for (size_t i = 0; i < w->n; i++) {
        uint8_t byte[4];
        const size_t size = sn_tok_put_char(w->src[i].code, byte);
        if (w->m->cap - m < size)
            return SIZE_MAX;
        for (size_t k = 0; k < size; k++)
            w->dst[m++] = (SnTokChar){sn_tok_byte_char(byte[k]), w->src[i].from};
    }
    return m;
}

static size_t step_charsmap(const Work *w)
{
    const SnTokNormStep *s = w->step;
    const SnCharsmap map = {w->m->t, sn_tok_CHARSMAP(w->m->t) + s->unit, s->nunit, pool(w, s->at, s->size)};
    return sn_tok_map(&map, w->src, w->n, w->dst, w->m->cap, w->empty);
}

/* Where the match at byte `at` ends, or SN_TOK_NO_MATCH. */
static size_t match(const Work *w, SnBytes text, size_t at)
{
    if (w->step->kind == SN_NORM_REPLACE_REGEX)
        return sn_tok_match(w->m->t, w->step->at, text, at);
    const SnBytes literal = pool(w, w->step->at, w->step->size);
    const bool is_equal =
        literal.n <= text.n - at && (literal.n == 0 || !memcmp(text.at + at, literal.at, literal.n));
    return is_equal ? at + literal.n : SN_TOK_NO_MATCH;
}

/* Each match, from left to right, becomes the content, which stands for the last character of the match; a
 * match of nothing does not follow another match. */
static size_t step_replace(const Work *w)
{
    const SnBytes content = pool(w, w->step->to, w->step->to_size);
    uint8_t *bytes = (uint8_t *)w->spare;
    size_t size = 0, m = 0, last = SIZE_MAX;
    for (size_t i = 0; i < w->n; i++)
        size += sn_tok_put_char(w->src[i].code, bytes + size);
    for (size_t i = 0, at = 0; w->n > 0 && i <= w->n;) {
        const size_t end = match(w, sn_bytes(bytes, size), at);
        if (end != SN_TOK_NO_MATCH && (end > at || last != at)) {
            for (; at < end; i++)
                at += sn_tok_char_size(bytes + at, size - at);
            last = end;
            m = put_text(w, m, content, i == 0 ? w->empty : w->src[i - 1].from);
        } else if (i == w->n) {
            break;
        } else {
            at += sn_tok_char_size(bytes + at, size - at);
            m = m == w->m->cap ? SIZE_MAX : m + 1;
            if (m != SIZE_MAX)
                w->dst[m - 1] = w->src[i++];
        }
        if (m == SIZE_MAX)
            break;
    }
    return m;
}

static const struct {
    size_t (*run)(const Work *);
    bool is_local;  /* acts on characters near each other, if places are asked for too */
    bool joins;     /* may act on an ASCII character and what stands beside it */
    bool keeps_far; /* is the same on both sides of a character that can_cut allows */
    uint8_t reads;  /* SN_READS_ */
} kinds[SN_NORM_NKIND] = {
    [SN_NORM_CLEAN] = {step_clean, true, false, true},
    [SN_NORM_CJK] = {step_cjk, true, false, true},
    [SN_NORM_NFD] = {step_nfd, true, false, true, SN_READS_NFD},
    [SN_NORM_STRIP_NONSPACING] = {step_nonspacing, true, false, true},
    [SN_NORM_STRIP_MARKS] = {step_marks, true, false, true},
    [SN_NORM_LOWER] = {step_lower, true, false, true},
    [SN_NORM_NFKD] = {step_nfkd, true, false, true, SN_READS_FORM | SN_READS_NFD | SN_READS_NFKD},
    [SN_NORM_NFC] = {step_nfc, true, true, true, SN_READS_FORM | SN_READS_NFD | SN_READS_COMPOSE},
    [SN_NORM_NFKC] = {step_nfkc, true, true, true,
                      SN_READS_FORM | SN_READS_NFD | SN_READS_NFKD | SN_READS_COMPOSE},
    [SN_NORM_NMT] = {step_nmt, true, false, false},
    [SN_NORM_BYTES] = {step_bytes, true, false, true},
    [SN_NORM_CHARSMAP] = {step_charsmap, false, true, false, SN_READS_FORM},
    [SN_NORM_STRIP] = {step_strip, false, true, false},
    [SN_NORM_PREPEND] = {step_prepend, false, true, false},
    [SN_NORM_REPLACE] = {step_replace, false, true, false},
    [SN_NORM_REPLACE_REGEX] = {step_replace, false, true, false},
};

uint32_t sn_tok_norm_reads(uint32_t kind)
{
    return kinds[kind].reads;
}

/* Runs all steps over the n characters of buf[0]; returns the buffer they end up in, NULL: too many. */
static const SnTokChar *run_steps(const SnTokNorm *m, size_t *n, int32_t empty)
{
    SnTokChar *src = m->buf[0], *dst = m->buf[1];
    for (uint32_t i = 0; i < m->nstep; i++) {
        const Work w = {m, &m->step[i], src, *n, dst, m->buf[2], empty};
        *n = kinds[m->step[i].kind].run(&w);
        if (*n == SIZE_MAX)
            return NULL;
        SnTokChar *const swap = src;
        src = dst;
        dst = swap;
    }
    return src;
}

/* ---- ASCII -------------------------------------------------------------------------------------------- */

void sn_tok_fill_ascii(const SnTokTable *t, uint8_t ascii[128])
{
    enum { FEW = 256 };
    SnTokChar buf[3][FEW];
    const SnTokNorm m = {.t = t,
                         .step = sn_tok_NORMALIZE(t),
                         .nstep = sn_tok_count(t, SN_TOK_NORMALIZE),
                         .buf = {buf[0], buf[1], buf[2]},
                         .cap = FEW};
    for (uint32_t c = 0; c < 128; c++) {
        size_t n = 1;
        buf[0][0] = (SnTokChar){c, 0};
        const SnTokChar *out = run_steps(&m, &n, 0);
        ascii[c] = out != NULL && n == 0 ? SN_TOK_NOTHING : SN_TOK_ODD;
        if (out != NULL && n == 1 && out->code < 0x80)
            ascii[c] = (uint8_t)out->code;
    }
    for (uint32_t i = 0; i < m.nstep; i++)
        if (m.step[i].kind == SN_NORM_CHARSMAP)
            ascii['\r'] = SN_TOK_ODD; /* with a line feed it makes one cluster */
}

static bool is_plain(const SnTokNorm *m, uint32_t cp) /* ASCII that stays one ASCII character */
{
    return cp < 0x80 && m->ascii[cp] < 0x80;
}

/* false: nothing to run here, or (with *is_full) no room. */
static bool ascii_run(const SnTokNorm *m, const uint8_t *text, SnTokPlace *at, size_t end, SnTokOut *out,
                      bool *is_full)
{
    const uint8_t *src = text + at->byte;
    const size_t left = end - at->byte, most = left < ASCII_RUN ? left : ASCII_RUN;
    size_t n = 0, k = 0;
    while (n < most && src[n] < 0x80 && m->ascii[src[n]] != SN_TOK_ODD)
        n++;
    /* What follows may join with the last one that stays. */
    bool is_joined = m->joins && n < left && !is_plain(m, src[n]);
    while (is_joined && n > 0)
        is_joined = !is_plain(m, src[--n]);
    *is_full = n > out->max_text - out->ntext || (out->from != NULL && n > out->max_from - out->nfrom);
    if (n == 0 || *is_full)
        return false;
    uint8_t *dst = out->text + out->ntext;
    int32_t *from = out->from != NULL ? out->from + out->nfrom : NULL;
    for (size_t i = 0; i < n; i++) {
        dst[k] = m->ascii[src[i]];
        if (from != NULL)
            from[k] = (int32_t)(at->character + i);
        k += dst[k] != SN_TOK_NOTHING;
    }
    out->ntext += k;
    out->nfrom += k;
    at->byte += n;
    at->character += n;
    return true;
}

/* ---- runs --------------------------------------------------------------------------------------------- */

/* May a run of n characters that ends with `last` be parted from cp? */
static bool can_cut(const SnTokNorm *m, uint32_t last, uint32_t cp, size_t n)
{
    if (!m->is_local)
        return false;
    if (cp < 0x80)
        return is_plain(m, cp) && (!m->joins || is_plain(m, last));
    if (n < RUN_CHARS || !m->keeps_far)
        return false;
    /* Marks on both sides of a character come together where a step drops it: only what stays parts runs. */
    const SnCodeClass *c = sn_code_class(cp);
    const uint8_t f = sn_tok_count(m->t, SN_TOK_FORM_FIRST) > 0 ? sn_form(m->t, cp) : 0;
    const uint8_t b = f & SN_FORM_BREAK;
    const uint32_t moves = SN_CP_DROP | SN_CP_MARK | SN_CP_NONSPACING | SN_CP_DECOMPOSES;
    return c->order == 0 && !(c->flags & moves) && !(f & (SN_FORM_COMPAT | SN_FORM_SECOND)) &&
           b != SN_BREAK_V && b != SN_BREAK_T;
}

static size_t char_room(uint32_t cp)
{
    return cp < 0x80 ? 1u : cp < 0x800 ? 2u : cp < 0x10000 ? 3u : 4u;
}

bool sn_tok_norm_run(const SnTokNorm *m, const uint8_t *text, SnTokPlace *at, size_t end, SnTokOut *out)
{
    bool is_full = false;
    if (m->is_local && (ascii_run(m, text, at, end, out, &is_full) || is_full))
        return !is_full;
    SnTokChar *run = m->buf[0];
    const int32_t empty = ~(int32_t)at->character;
    size_t n = 0, size = 0;
    for (uint32_t cp = 0; at->byte < end && n < m->cap; at->byte += size) {
        const uint32_t last = cp;
        size = sn_tok_char_size(text + at->byte, end - at->byte);
        cp = sn_tok_code_point(text + at->byte, size);
        if (n > 0 && can_cut(m, last, cp, n))
            break;
        run[n++] = (SnTokChar){cp, (int32_t)at->character++};
    }
    const SnTokChar *done = run_steps(m, &n, empty);
    if (done == NULL)
        return false;
    size = 0;
    for (size_t i = 0; i < n; i++)
        size += char_room(done[i].code);
    if (size > out->max_text - out->ntext || (out->from != NULL && n > out->max_from - out->nfrom))
        return false;
    for (size_t i = 0; i < n; i++) {
        out->ntext += sn_tok_put_char(done[i].code, out->text + out->ntext);
        if (out->from != NULL)
            out->from[out->nfrom] = done[i].from;
        out->nfrom++;
    }
    return true;
}

/* Is it a replacement of one character? */
static bool is_single(const SnTokTable *t, const SnTokNormStep *s)
{
    const uint8_t *p = sn_tok_POOL(t) + s->at;
    return s->kind == SN_NORM_REPLACE && s->size > 0 && sn_tok_char_size(p, s->size) == s->size;
}

void sn_tok_norm_init(SnTokNorm *m, const SnTokTable *t, void *scratch, size_t cap, bool places)
{
    *m = (SnTokNorm){.t = t,
                     .step = sn_tok_NORMALIZE(t),
                     .nstep = sn_tok_count(t, SN_TOK_NORMALIZE),
                     .ascii = sn_tok_ASCII(t),
                     .cap = cap,
                     .is_local = true,
                     .keeps_far = true};
    for (size_t i = 0; i < SN_COUNT(m->buf); i++)
        m->buf[i] = (SnTokChar *)scratch + i * cap;
    for (uint32_t i = 0; i < m->nstep; i++) {
        const uint32_t kind = m->step[i].kind;
        const bool single = is_single(t, &m->step[i]);
        /* Only the places that a map gives depend on what is far away. */
        m->is_local &= kinds[kind].is_local || single || (kind == SN_NORM_CHARSMAP && !places);
        m->joins |= kinds[kind].joins && !single;
        m->keeps_far &= kinds[kind].keeps_far;
    }
    m->keeps_ascii = m->is_local;
    for (uint32_t c = 0; c < 128; c++)
        m->keeps_ascii &= m->ascii[c] == c;
    m->is_nfc = m->nstep == 1 && m->step[0].kind == SN_NORM_NFC;
}

bool sn_tok_norm_keeps(const SnTokNorm *m, SnBytes text)
{
    if (m->nstep == 0 || sn_tok_ascii(text))
        return m->nstep == 0 || m->keeps_ascii;
    for (size_t i = 0, size; i < text.n && m->is_nfc; i += size) {
        size = sn_tok_ascii_begin(text.at + i, text.n - i);
        if (size > 0)
            continue;
        size = sn_tok_char_size(text.at + i, text.n - i);
        if (!(sn_form(m->t, sn_tok_code_point(text.at + i, size)) & SN_FORM_KEPT))
            return false;
    }
    return m->is_nfc;
}

size_t sn_tok_normalize_text(const SnTokTable *t, SnBytes text, void *scratch, size_t cap, SnBytes out)
{
    SnTokNorm m;
    sn_tok_norm_init(&m, t, scratch, cap, false);
    SnTokOut o = {.text = (uint8_t *)(uintptr_t)out.at, .max_text = out.n};
    SnTokPlace at = {0, 0};
    while (at.byte < text.n)
        if (!sn_tok_norm_run(&m, text.at, &at, text.n, &o))
            return SIZE_MAX;
    return o.ntext;
}
