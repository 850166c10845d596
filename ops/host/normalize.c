/* normalize.c -- normalising text, one run after the other.
 *
 * Every step acts on one code point at a time, but for the canonical ordering of marks, which does not reach
 * over an ASCII character. So a text is a row of runs: ASCII runs go through a table of 128 bytes, other runs
 * (so many code points, and the marks that follow) go through the steps one after the other.
 *
 * Alignment follows the reference: a character that a step adds stands for the same code point of the text as
 * the one before it, and reordered marks take the code points of the positions they end up in.
 *
 * Unicode Standard Annex #15, "Unicode Normalization Forms"; the Unicode Standard, section 3.12 (Hangul). */
#include "ops/host/tok.h"

#define ADDED 0x80000000u /* on a code point: a step put it in after another one */
#define CODE  0x1FFFFFu

enum { RUN_CHARS = SN_TOK_RUN / 8, ASCII_RUN = 4096, NORDER = 256, FEW_MARKS = 24 };

static uint8_t order_of(const SnTokChar *c)
{
    return sn_code_class(c->code & CODE)->order;
}

/* ---- steps: each takes n characters from src to dst and returns how many come out -----------------------
 */

static uint32_t decompose(uint32_t cp, uint32_t out[4])
{
    enum { HANGUL = 0xAC00, NHANGUL = 11172, L = 0x1100, V = 0x1161, T = 0x11A7, NVT = 588, NT = 28 };
    if (cp - HANGUL < NHANGUL) {
        const uint32_t i = cp - HANGUL, t = i % NT;
        out[0] = L + i / NVT;
        out[1] = V + i % NVT / NT;
        out[2] = T + t;
        return t != 0 ? 3 : 2;
    }
    const uint32_t block = cp >> 8;
    for (uint32_t i = sn_nfd_block[block]; i < sn_nfd_block[block + 1]; i++) {
        if (sn_nfd_low[i] == (cp & 0xFF)) {
            const uint32_t n = (uint32_t)(sn_nfd_at[i + 1] - sn_nfd_at[i]);
            memcpy(out, sn_nfd_pool + sn_nfd_at[i], n * sizeof *out);
            return n;
        }
    }
    out[0] = cp;
    return 1;
}

/* Stable, by combining class: insertion for a few marks, counting for many. */
static void sort_marks(SnTokChar *mark, size_t n, SnTokChar *spare)
{
    if (n <= FEW_MARKS) {
        for (size_t i = 1; i < n; i++) {
            const SnTokChar m = mark[i];
            size_t j = i;
            for (; j > 0 && order_of(&mark[j - 1]) > order_of(&m); j--)
                mark[j] = mark[j - 1];
            mark[j] = m;
        }
        return;
    }
    size_t at[NORDER + 1] = {0};
    for (size_t i = 0; i < n; i++)
        at[order_of(&mark[i]) + 1]++;
    for (size_t i = 0; i < NORDER; i++)
        at[i + 1] += at[i];
    for (size_t i = 0; i < n; i++)
        spare[at[order_of(&mark[i])]++] = mark[i];
    memcpy(mark, spare, n * sizeof *mark);
}

static size_t step_nfd(const SnTokChar *src, size_t n, SnTokChar *dst, SnTokChar *spare)
{
    size_t m = 0, marks = 0; /* marks: where the row of marks that ends here begins */
    for (size_t i = 0; i < n; i++) {
        uint32_t part[4] = {src[i].code};
        const bool is_whole = !(sn_code_class(src[i].code)->flags & SN_CP_DECOMPOSES);
        const uint32_t npart = is_whole ? 1 : decompose(src[i].code, part);
        for (uint32_t k = 0; k < npart; k++) {
            dst[m] = (SnTokChar){part[k] | (k > 0 ? ADDED : 0), 0};
            if (order_of(&dst[m++]) == 0) {
                sort_marks(dst + marks, m - 1 - marks, spare);
                marks = m;
            }
        }
    }
    sort_marks(dst + marks, m - marks, spare);
    size_t taken = 0;
    for (size_t i = 0; i < m; i++) {
        taken += (dst[i].code & ADDED) == 0 || taken == 0;
        dst[i] = (SnTokChar){dst[i].code & CODE, src[taken - 1].from};
    }
    return m;
}

static size_t step_cjk(const SnTokChar *src, size_t n, SnTokChar *dst)
{
    size_t m = 0;
    for (size_t i = 0; i < n; i++) {
        const bool apart = sn_code_class(src[i].code)->flags & SN_CP_CJK;
        const SnTokChar space = {' ', src[i].from};
        if (apart)
            dst[m++] = space;
        dst[m++] = src[i];
        if (apart)
            dst[m++] = space;
    }
    return m;
}

static size_t step_lower(const SnTokChar *src, size_t n, SnTokChar *dst)
{
    size_t m = 0;
    for (size_t i = 0; i < n; i++) {
        const uint32_t cp = src[i].code;
        dst[m++] = (SnTokChar){(uint32_t)((int32_t)cp + sn_code_class(cp)->lower), src[i].from};
        if (cp == SN_DOTTED_I)
            dst[m++] = (SnTokChar){0x307, src[i].from};
    }
    return m;
}

static size_t step_drop(const SnTokChar *src, size_t n, SnTokChar *dst, uint32_t flags)
{
    size_t m = 0;
    for (size_t i = 0; i < n; i++)
        if (!(sn_code_class(src[i].code)->flags & flags))
            dst[m++] = src[i];
    return m;
}

static size_t step_clean(const SnTokChar *src, size_t n, SnTokChar *dst)
{
    const size_t m = step_drop(src, n, dst, SN_CP_DROP);
    for (size_t i = 0; i < m; i++)
        if (sn_code_class(dst[i].code)->flags & SN_CP_SPACE)
            dst[i].code = ' ';
    return m;
}

static size_t run_step(SnNormStep step, const SnTokChar *src, size_t n, SnTokChar *dst, SnTokChar *spare)
{
    switch (step) {
    case SN_NORM_CLEAN:
        return step_clean(src, n, dst);
    case SN_NORM_CJK:
        return step_cjk(src, n, dst);
    case SN_NORM_NFD:
        return step_nfd(src, n, dst, spare);
    case SN_NORM_STRIP_NONSPACING:
        return step_drop(src, n, dst, SN_CP_NONSPACING);
    case SN_NORM_STRIP_MARKS:
        return step_drop(src, n, dst, SN_CP_MARK);
    case SN_NORM_LOWER:
        return step_lower(src, n, dst);
    case SN_NORM_NSTEP:
        break;
    }
    return 0;
}

/* Runs all steps over the n characters of buf[0]; returns the buffer they end up in. */
static const SnTokChar *run_steps(const SnTokNorm *m, size_t *n)
{
    SnTokChar *src = m->buf[0], *dst = m->buf[1];
    for (uint32_t i = 0; i < m->nstep; i++) {
        *n = run_step((SnNormStep)m->step[i], src, *n, dst, m->buf[2]);
        SnTokChar *const swap = src;
        src = dst;
        dst = swap;
    }
    return src;
}

/* ---- runs --------------------------------------------------------------------------------------------- */

void sn_tok_fill_ascii(const uint32_t *step, uint32_t nstep, const SnTokSplit *split, uint32_t nsplit,
                       uint8_t ascii[256])
{
    enum { FEW = 8 };
    SnTokChar buf[3][FEW];
    const SnTokNorm m = {.step = step, .nstep = nstep, .buf = {buf[0], buf[1], buf[2]}};
    for (uint32_t c = 0; c < 128; c++) {
        size_t n = 1;
        buf[0][0] = (SnTokChar){c, 0};
        const SnTokChar *out = run_steps(&m, &n);
        ascii[c] = n == 0 ? SN_TOK_NOTHING : (uint8_t)out->code;
        ascii[128 + c] = 0;
        for (uint32_t i = 0; i < nsplit; i++)
            if ((sn_code_class(c)->flags & split[i].flags) || c == split[i].code_point)
                ascii[128 + c] |= (uint8_t)(1u << i);
    }
}

static bool ascii_run(const SnTokNorm *m, const uint8_t *text, SnTokPlace *at, size_t end, SnTokOut *out)
{
    const uint8_t *src = text + at->byte;
    const size_t most = end - at->byte < ASCII_RUN ? end - at->byte : ASCII_RUN;
    size_t n = 0;
    while (n < most && src[n] < 0x80)
        n++;
    if (n > out->max_text - out->ntext || n > out->max_from - out->nfrom)
        return false;
    uint8_t *dst = out->text + out->ntext;
    int32_t *from = out->from + out->nfrom;
    size_t k = 0;
    for (size_t i = 0; i < n; i++) {
        dst[k] = m->ascii[src[i]];
        from[k] = (int32_t)(at->character + i);
        k += dst[k] != SN_TOK_NOTHING;
    }
    out->ntext += k;
    out->nfrom += k;
    at->byte += n;
    at->character += n;
    return true;
}

static size_t put_char(uint32_t cp, uint8_t out[4])
{
    if (cp < 0x80) {
        out[0] = (uint8_t)cp;
        return 1;
    }
    const size_t n = cp < 0x800 ? 2u : cp < 0x10000 ? 3u : 4u;
    for (size_t i = n - 1; i > 0; i--, cp >>= 6)
        out[i] = (uint8_t)(0x80 | (cp & 0x3F));
    out[0] = (uint8_t)((0xF00u >> n & 0xF0u) | cp);
    return n;
}

static size_t char_room(uint32_t cp)
{
    return cp < 0x80 ? 1u : cp < 0x800 ? 2u : cp < 0x10000 ? 3u : 4u;
}

/* Marks on both sides of a character come together where a step drops it: only what stays parts runs. */
static bool ends_run(const SnTokNorm *m, uint32_t cp, size_t n)
{
    if (cp < 0x80)
        return m->ascii[cp] != SN_TOK_NOTHING;
    const SnCodeClass *c = sn_code_class(cp);
    return n >= RUN_CHARS && c->order == 0 && !(c->flags & (SN_CP_DROP | SN_CP_MARK | SN_CP_NONSPACING));
}

bool sn_tok_norm_run(const SnTokNorm *m, const uint8_t *text, SnTokPlace *at, size_t end, SnTokOut *out)
{
    if (text[at->byte] < 0x80)
        return ascii_run(m, text, at, end, out);
    SnTokChar *run = m->buf[0];
    size_t n = 0;
    while (at->byte < end) {
        const size_t size = sn_tok_char_size(text + at->byte, end - at->byte);
        const uint32_t cp = sn_tok_code_point(text + at->byte, size);
        if (ends_run(m, cp, n))
            break;
        run[n++] = (SnTokChar){cp, (int32_t)at->character++};
        at->byte += size;
    }
    const SnTokChar *done = run_steps(m, &n);
    size_t size = 0;
    for (size_t i = 0; i < n; i++)
        size += char_room(done[i].code);
    if (size > out->max_text - out->ntext || n > out->max_from - out->nfrom)
        return false;
    for (size_t i = 0; i < n; i++) {
        out->ntext += put_char(done[i].code, out->text + out->ntext);
        out->from[out->nfrom++] = done[i].from;
    }
    return true;
}

size_t sn_tok_normalize_text(const uint32_t *step, uint32_t nstep, SnBytes text, void *scratch, uint8_t *out,
                             int32_t *from)
{
    uint8_t ascii[256];
    sn_tok_fill_ascii(step, nstep, NULL, 0, ascii);
    SnTokNorm m = {.step = step, .nstep = nstep, .ascii = ascii};
    sn_tok_norm_buffers(&m, scratch, text.n);
    SnTokOut o = {out, from, 0, 0, 3 * text.n, 2 * text.n};
    SnTokPlace at = {0, 0};
    while (at.byte < text.n && sn_tok_norm_run(&m, text.at, &at, text.n, &o))
        ;
    return o.ntext;
}
