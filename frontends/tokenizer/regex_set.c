/* regex_set.c -- sets of code points, as sorted ranges. */
#include "frontends/tokenizer/regex.h"
#include "frontends/tokenizer/regex_table.h"

#include <stdlib.h>
#include <string.h>

#define LAST 0x10FFFFu

static void push(SnArena *a, SnCodeSet *s, uint32_t first, uint32_t last)
{
    if (s->n == s->cap) {
        const uint32_t cap = s->cap == 0 ? 8 : 2 * s->cap;
        uint32_t *more = sn_arena_array(a, cap, 2 * sizeof *more);
        s->failed |= more == NULL;
        if (more == NULL)
            return;
        if (s->n > 0)
            memcpy(more, s->at, 2 * (size_t)s->n * sizeof *more);
        s->at = more;
        s->cap = cap;
    }
    s->at[2 * (size_t)s->n] = first;
    s->at[2 * (size_t)s->n + 1] = last;
    s->n++;
}

static int by_first(const void *x, const void *y)
{
    const uint32_t a = *(const uint32_t *)x, b = *(const uint32_t *)y;
    return a < b ? -1 : a > b;
}

static void normalize(SnCodeSet *s)
{
    uint32_t n = 0;
    if (s->n > 1)
        qsort(s->at, s->n, 2 * sizeof *s->at, by_first);
    for (uint32_t i = 0; i < s->n; i++) {
        const uint32_t first = s->at[2 * i], last = s->at[2 * i + 1];
        if (n > 0 && first <= s->at[2 * n - 1] + 1) {
            s->at[2 * n - 1] = last > s->at[2 * n - 1] ? last : s->at[2 * n - 1];
            continue;
        }
        s->at[2 * n] = first;
        s->at[2 * n + 1] = last;
        n++;
    }
    s->n = n;
}

void sn_set_add(SnArena *a, SnCodeSet *s, uint32_t first, uint32_t last)
{
    push(a, s, first, last);
    normalize(s);
}

void sn_set_add_all(SnArena *a, SnCodeSet *s, const SnCodeSet *more)
{
    s->failed |= more->failed;
    for (uint32_t i = 0; i < more->n; i++)
        push(a, s, more->at[2 * i], more->at[2 * i + 1]);
    normalize(s);
}

SnCodeSet sn_set_not(SnArena *a, const SnCodeSet *s)
{
    SnCodeSet out = {.failed = s->failed};
    uint32_t next = 0;
    for (uint32_t i = 0; i < s->n; i++) {
        if (s->at[2 * i] > next)
            push(a, &out, next, s->at[2 * i] - 1);
        next = s->at[2 * i + 1] + 1;
    }
    if (next <= LAST)
        push(a, &out, next, LAST);
    return out;
}

SnCodeSet sn_set_and(SnArena *a, const SnCodeSet *x, const SnCodeSet *y)
{
    SnCodeSet out = sn_set_not(a, x);
    const SnCodeSet rest = sn_set_not(a, y);
    sn_set_add_all(a, &out, &rest);
    return sn_set_not(a, &out);
}

bool sn_set_equal(const SnCodeSet *x, const SnCodeSet *y)
{
    return x->n == y->n && (x->n == 0 || memcmp(x->at, y->at, 2 * (size_t)x->n * sizeof *x->at) == 0);
}

static bool contains(const SnCodeSet *s, uint32_t cp)
{
    uint32_t lo = 0, hi = s->n;
    while (lo < hi) {
        const uint32_t mid = lo + (hi - lo) / 2;
        if (s->at[2 * mid + 1] < cp)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo < s->n && s->at[2 * lo] <= cp;
}

void sn_set_fold(SnArena *a, SnCodeSet *s)
{
    for (size_t from = 0; from < 2; from++) {
        SnCodeSet more = {.failed = false};
        for (size_t i = 0; i < sn_regex_nfold; i++) {
            const uint32_t *pair = sn_regex_folds + 2 * i;
            if (contains(s, pair[from]) && !contains(s, pair[1 - from]))
                push(a, &more, pair[1 - from], pair[1 - from]);
        }
        sn_set_add_all(a, s, &more);
    }
}

/* ---- names -------------------------------------------------------------------------------------------- */

static bool is_filler(char c)
{
    return c == ' ' || c == '-' || c == '_';
}

static char lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c + 32) : c;
}

static bool is_named(SnBytes s, const char *name)
{
    size_t i = 0;
    for (;;) {
        while (i < s.n && is_filler((char)s.at[i]))
            i++;
        while (is_filler(*name))
            name++;
        if (i == s.n || *name == '\0')
            return i == s.n && *name == '\0';
        if (lower((char)s.at[i++]) != lower(*name++))
            return false;
    }
}

/* Adds the runs of a partition whose index is in the bits, or is `index`. */
static void add_runs(SnArena *a, SnCodeSet *s, const uint32_t *runs, uint32_t n, uint32_t bits,
                     uint32_t index)
{
    for (uint32_t i = 0; i < n; i++) {
        const uint32_t k = runs[i] & 0xFF;
        if (k == index || (k < 32 && (bits >> k & 1)))
            push(a, s, runs[i] >> 8, i + 1 < n ? (runs[i + 1] >> 8) - 1 : LAST);
    }
    normalize(s);
}

/* The categories that a name stands for, as bits; 0: it is no category. */
static uint32_t categories_of(SnBytes name)
{
    static const struct {
        const char *name;
        char letter;
    } groups[] = {{"L", 'L'},      {"Letter", 'L'},    {"M", 'M'},           {"Mark", 'M'}, {"N", 'N'},
                  {"Number", 'N'}, {"P", 'P'},         {"Punctuation", 'P'}, {"S", 'S'},    {"Symbol", 'S'},
                  {"Z", 'Z'},      {"Separator", 'Z'}, {"C", 'C'},           {"Other", 'C'}};
    char letter = 0;
    uint32_t bits = 0;
    for (size_t i = 0; i < SN_COUNT(groups); i++)
        letter = is_named(name, groups[i].name) ? groups[i].letter : letter;
    for (uint32_t k = 0; sn_regex_category_names[k] != NULL; k++)
        if (is_named(name, sn_regex_category_names[k]) || sn_regex_category_names[k][0] == letter)
            bits |= 1u << k;
    return bits;
}

static void add_set(SnArena *a, SnCodeSet *s, uint32_t i)
{
    for (uint32_t k = sn_regex_set_first[i]; k < sn_regex_set_first[i + 1]; k += 2)
        push(a, s, sn_regex_set_rest[k], sn_regex_set_rest[k + 1]);
    add_runs(a, s, sn_regex_categories, sn_regex_ncategory, sn_regex_set_categories[i], SN_RE_MORE);
}

bool sn_set_escape(SnArena *a, SnCodeSet *s, char letter)
{
    for (uint32_t i = 0; i < SN_REGEX_ESCAPES; i++) {
        if (sn_regex_set_names[i][0] == letter) {
            add_set(a, s, i);
            return true;
        }
    }
    return false;
}

bool sn_set_named(SnArena *a, SnCodeSet *s, SnBytes name)
{
    const uint32_t bits = categories_of(name);
    for (uint32_t i = SN_REGEX_ESCAPES; sn_regex_set_names[i] != NULL && bits == 0; i++) {
        if (is_named(name, sn_regex_set_names[i])) {
            add_set(a, s, i);
            return true;
        }
    }
    if (bits != 0) {
        add_runs(a, s, sn_regex_categories, sn_regex_ncategory, bits, SN_RE_MORE);
        return true;
    }
    for (uint32_t i = 0; sn_regex_script_names[i] != NULL; i++) {
        if (is_named(name, sn_regex_script_names[i])) {
            add_runs(a, s, sn_regex_scripts, sn_regex_nscript, 0, i);
            return true;
        }
    }
    return false;
}
