/* string.c -- what methods and filters of text are made of. */
#include "frontends/jinja/run.h"

size_t sn_ji_byte_of(SnJiText s, size_t index)
{
    if (index >= s.count)
        return s.n;
    if (s.count == s.n)
        return index;
    const char *p = s.at;
    while (index--)
        (void)sn_ji_next_code(&p);
    return (size_t)(p - s.at);
}

SnStatus sn_ji_slice_text(SnJiRun *r, SnJiValue v, int64_t begin, int64_t n, int64_t step, SnJiValue *out)
{
    const SnJiText s = v.u.text;
    const bool is_safe = v.is_safe;
    if (step == 1 || n < 2) {
        const size_t from = sn_ji_byte_of(s, n ? (size_t)begin : 0);
        const SnJiText rest = {s.at + from, s.n - (uint32_t)from, s.count - (n ? (uint32_t)begin : 0)};
        *out = sn_ji_text_value(rest.at, sn_ji_byte_of(rest, (size_t)n));
        out->is_safe = is_safe;
        return sn_ji_spend(r, s.n / 64);
    }
    const SnJiMark outer = sn_ji_begin(r);
    const char *p = s.at + sn_ji_byte_of(s, (size_t)begin);
    for (int64_t i = 0; i < n; i++) {
        const char *q = p;
        (void)sn_ji_next_code(&q);
        sn_ji_add(r, p, (size_t)(q - p));
        for (int64_t k = 0; k < (step < 0 ? -step : step) && i + 1 < n; k++)
            if (step < 0)
                (void)sn_ji_code_before(&p);
            else
                (void)sn_ji_next_code(&p);
    }
    SN_TRY(sn_ji_take(r, outer, out));
    out->is_safe = is_safe;
    return sn_ji_spend(r, s.n / 16);
}

/* ---- case ---- */

static void put_case(SnJiRun *r, SnJiText s, const char *at, SnJiCase to)
{
    uint32_t mapped[3];
    const int n = sn_ji_case_at(s.at, s.at + s.n, at, to, mapped);
    for (int i = 0; i < n; i++)
        sn_ji_add_code(r, mapped[i]);
}

SnStatus sn_ji_case(SnJiRun *r, SnJiText s, SnJiCase to, SnJiValue *out)
{
    const SnJiMark outer = sn_ji_begin(r);
    for (const char *p = s.at; p < s.at + s.n; (void)sn_ji_next_code(&p))
        put_case(r, s, p, to);
    SN_TRY(sn_ji_spend(r, s.n / 8));
    return sn_ji_take(r, outer, out);
}

/* Lower case of the upper case, but for Cherokee, which folds to its older capitals, and three others. */
static void put_folded(SnJiRun *r, uint32_t cp)
{
    const bool is_small = cp >= 0xAB70 && cp <= 0xABBF, is_late = cp >= 0x13F8 && cp <= 0x13FD;
    uint32_t upper[3], lower[3];
    if (is_small || is_late || (cp >= 0x13A0 && cp <= 0x13F5) || cp == 0x131) {
        sn_ji_add_code(r, is_small ? cp - 0xAB70 + 0x13A0 : is_late ? cp - 8 : cp);
        return;
    }
    const int n = sn_ji_code_case(cp == 0x1E9E ? 0xDF : cp, SN_JI_TO_UPPER, upper);
    for (int i = 0; i < n; i++)
        for (int k = 0, m = sn_ji_code_case(upper[i], SN_JI_TO_LOWER, lower); k < m; k++)
            sn_ji_add_code(r, lower[k]);
}

SnStatus sn_ji_fold(SnJiRun *r, SnJiText s, SnJiValue *out)
{
    const SnJiMark outer = sn_ji_begin(r);
    for (const char *p = s.at; p < s.at + s.n;)
        put_folded(r, sn_ji_next_code(&p));
    SN_TRY(sn_ji_spend(r, s.n / 4));
    return sn_ji_take(r, outer, out);
}

/* The case of each code point depends on whether the one before it was cased. */
SnStatus sn_ji_mixed_case(SnJiRun *r, SnJiText s, SnJiMixedCase form, SnJiValue *out)
{
    const SnJiMark outer = sn_ji_begin(r);
    bool was_cased = false;
    for (const char *p = s.at; p < s.at + s.n;) {
        const char *at = p;
        const uint32_t cp = sn_ji_next_code(&p), flags = sn_ji_code_flags(cp);
        SnJiCase to = SN_JI_TO_LOWER;
        if (form == SN_JI_TITLE_CASE)
            to = was_cased ? SN_JI_TO_LOWER : SN_JI_TO_TITLE;
        else if (form == SN_JI_CAPITALIZE)
            to = at == s.at ? SN_JI_TO_TITLE : SN_JI_TO_LOWER;
        else if (flags & SN_JI_LOWER)
            to = SN_JI_TO_UPPER;
        if (form == SN_JI_SWAP_CASE && !(flags & (SN_JI_LOWER | SN_JI_UPPER)))
            sn_ji_add(r, at, (size_t)(p - at));
        else
            put_case(r, s, at, to);
        was_cased = (flags & (SN_JI_UPPER | SN_JI_LOWER | SN_JI_TITLE)) != 0;
    }
    SN_TRY(sn_ji_spend(r, s.n / 8));
    return sn_ji_take(r, outer, out);
}

/* ---- strip, split ---- */

static bool is_stripped(uint32_t cp, const SnJiText *chars)
{
    if (!chars)
        return (sn_ji_code_flags(cp) & SN_JI_SPACE) != 0;
    for (const char *p = chars->at; p < chars->at + chars->n;)
        if (sn_ji_next_code(&p) == cp)
            return true;
    return false;
}

SnJiText sn_ji_strip(SnJiText s, const SnJiText *chars, int sides)
{
    const char *begin = s.at, *end = s.at + s.n;
    while (sides & 1 && begin < end) {
        const char *next = begin;
        if (!is_stripped(sn_ji_next_code(&next), chars))
            break;
        begin = next;
    }
    while (sides & 2 && end > begin) {
        const char *before = end;
        if (!is_stripped(sn_ji_code_before(&before), chars))
            break;
        end = before;
    }
    const uint32_t n = (uint32_t)(end - begin);
    return (SnJiText){begin, n, n == s.n ? s.count : sn_ji_count_codes(begin, n)};
}

static bool is_line_end(uint32_t cp)
{
    return (cp >= 0xA && cp <= 0xD) || (cp >= 0x1C && cp <= 0x1E) || cp == 0x85 || cp == 0x2028 ||
           cp == 0x2029;
}

SnStatus sn_ji_split_lines(SnJiRun *r, SnJiText s, bool keeps_ends, SnJiValue *out)
{
    const char *p = s.at, *end = s.at + s.n, *begin = s.at;
    SN_TRY(sn_ji_list(r, SN_JI_LIST, 0, out));
    while (p < end) {
        const char *at = p;
        const uint32_t cp = sn_ji_next_code(&p);
        if (!is_line_end(cp))
            continue;
        p += cp == '\r' && p < end && *p == '\n';
        SN_TRY(sn_ji_append(r, *out, sn_ji_text_value(begin, (size_t)((keeps_ends ? p : at) - begin))));
        begin = p;
    }
    return begin < end ? sn_ji_append(r, *out, sn_ji_text_value(begin, (size_t)(end - begin))) : SN_OK;
}

/* ---- searching: byte offsets; SIZE_MAX: nowhere ---- */

/* Comparing far takes steps, as texts can be made for it. */
static bool is_at(SnJiRun *r, const char *at, SnJiText what)
{
    const size_t first = what.n < 16 ? what.n : 16;
    if (memcmp(at, what.at, first) != 0)
        return false;
    const uint64_t cost = what.n / 64;
    r->steps -= cost < r->steps ? cost : r->steps;
    return memcmp(at + first, what.at + first, what.n - first) == 0;
}

size_t sn_ji_find_text(SnJiRun *r, SnJiText s, SnJiText what, size_t from, size_t to)
{
    for (size_t i = from; what.n <= to && i <= to - what.n && r->steps; i++)
        if (is_at(r, s.at + i, what))
            return i;
    return SIZE_MAX;
}

size_t sn_ji_find_last(SnJiRun *r, SnJiText s, SnJiText what, size_t from, size_t to)
{
    for (size_t i = to; i >= from + what.n && r->steps; i--)
        if (is_at(r, s.at + i - what.n, what))
            return i - what.n;
    return SIZE_MAX;
}

SnStatus sn_ji_replace(SnJiRun *r, SnJiText s, SnJiText from, SnJiText to, int64_t most, SnJiValue *out)
{
    const SnJiMark outer = sn_ji_begin(r);
    size_t at = 0;
    for (int64_t i = 0; most < 0 || i < most; i++) {
        /* Nothing is found before every code point, and at the end. */
        size_t found = from.n ? sn_ji_find_text(r, s, from, at, s.n) : at;
        if (from.n == 0 && i > 0) {
            if (at >= s.n)
                break;
            const char *p = s.at + at;
            (void)sn_ji_next_code(&p);
            found = (size_t)(p - s.at);
        }
        if (found == SIZE_MAX)
            break;
        sn_ji_add(r, s.at + at, found - at);
        sn_ji_add(r, to.at, to.n);
        at = found + from.n;
        if (r->text->failed)
            break;
    }
    sn_ji_add(r, s.at + at, s.n - at);
    SN_TRY(sn_ji_take(r, outer, out));
    return sn_ji_spend(r, s.n / 8);
}

SnStatus sn_ji_escape(SnJiRun *r, SnJiValue v, SnJiValue *out)
{
    static const struct {
        char from;
        const char *to;
    } entities[] = {{'&', "&amp;"}, {'>', "&gt;"}, {'<', "&lt;"}, {'\'', "&#39;"}, {'"', "&#34;"}};
    SN_TRY(sn_ji_str(r, v, out));
    if (out->is_safe)
        return SN_OK;
    const SnJiText s = out->u.text;
    const SnJiMark outer = sn_ji_begin(r);
    for (uint32_t i = 0; i < s.n; i++) {
        size_t k = 0;
        while (k < SN_COUNT(entities) && entities[k].from != s.at[i])
            k++;
        if (k < SN_COUNT(entities))
            sn_ji_add(r, entities[k].to, strlen(entities[k].to));
        else
            sn_ji_add(r, &s.at[i], 1);
    }
    SN_TRY(sn_ji_take(r, outer, out));
    out->is_safe = true;
    return sn_ji_spend(r, s.n / 8);
}
