/* text.c -- facts about code points by binary search, and UTF-8 that is known to be valid. */
#include "frontends/jinja/text.h"

static const SnJiCodeRun *run_of(uint32_t cp)
{
    uint32_t low = 0, high = sn_ji_ncode_runs;
    while (high - low > 1) {
        const uint32_t mid = (low + high) / 2;
        if (sn_ji_code_runs[mid].first <= cp)
            low = mid;
        else
            high = mid;
    }
    return &sn_ji_code_runs[low];
}

uint32_t sn_ji_code_flags(uint32_t cp)
{
    return run_of(cp)->flags;
}

int sn_ji_code_case(uint32_t cp, SnJiCase to, uint32_t out[3])
{
    const SnJiCodeRun *run = run_of(cp);
    out[0] = (uint32_t)((int32_t)cp + run->to[to]);
    if (!(run->flags & SN_JI_SPECIAL))
        return 1;
    uint32_t i = 0;
    int n = 0;
    while (i + 1 < sn_ji_ncode_specials && sn_ji_code_specials[i].cp != cp)
        i++;
    while (n < 3 && sn_ji_code_specials[i].to[to][n]) {
        out[n] = sn_ji_code_specials[i].to[to][n];
        n++;
    }
    return n;
}

/* Something cased before it, nothing cased after it. */
static bool is_final_sigma(const char *text, const char *end, const char *at, const char *after)
{
    uint32_t flags = 0;
    while (at > text) {
        flags = sn_ji_code_flags(sn_ji_code_before(&at));
        if (!(flags & SN_JI_IGNORABLE))
            break;
    }
    if (!(flags & SN_JI_CASED) || flags & SN_JI_IGNORABLE)
        return false;
    for (flags = 0; after < end;) {
        flags = sn_ji_code_flags(sn_ji_next_code(&after));
        if (!(flags & SN_JI_IGNORABLE))
            break;
    }
    return !(flags & SN_JI_CASED) || flags & SN_JI_IGNORABLE;
}

int sn_ji_case_at(const char *text, const char *end, const char *at, SnJiCase to, uint32_t out[3])
{
    const char *after = at;
    const uint32_t cp = sn_ji_next_code(&after);
    const int n = sn_ji_code_case(cp, to, out);
    if (cp == 0x3A3 && to == SN_JI_TO_LOWER && is_final_sigma(text, end, at, after))
        out[0] = 0x3C2;
    return n;
}

uint32_t sn_ji_next_code(const char **p)
{
    const uint8_t *s = (const uint8_t *)*p;
    const int more = s[0] < 0x80 ? 0 : s[0] < 0xE0 ? 1 : s[0] < 0xF0 ? 2 : 3;
    uint32_t cp = more == 0 ? s[0] : s[0] & (0x3Fu >> more);
    for (int i = 1; i <= more; i++)
        cp = cp << 6 | (s[i] & 0x3Fu);
    *p += more + 1;
    return cp;
}

uint32_t sn_ji_code_before(const char **p)
{
    const char *at;
    do
        --*p;
    while (((uint8_t) * *p & 0xC0) == 0x80);
    at = *p;
    return sn_ji_next_code(&at);
}

uint32_t sn_ji_count_codes(const char *at, size_t n)
{
    return (uint32_t)sn_utf8_count(sn_bytes(at, n));
}
