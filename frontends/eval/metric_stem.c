/* metric_stem.c -- the stemmer of Porter ("An algorithm for suffix stripping", 1980), as NLTK extends it. */
#include "frontends/eval/metric_stem.h"

#include <string.h>

/* A word whose first n characters are looked at. */
typedef struct Word {
    char *at;
    size_t n;
} Word;

static bool is_consonant(const char *w, size_t i)
{
    bool is = true;
    for (size_t k = 0; k <= i; k++)
        is = w[k] == 'y' ? k == 0 || !is : strchr("aeiou", w[k]) == NULL;
    return is;
}

/* How often a vowel is before a consonant in the first n. */
static size_t measure(const char *w, size_t n)
{
    size_t count = 0;
    bool is = true;
    for (size_t k = 0; k < n; k++) {
        const bool was = is;
        is = w[k] == 'y' ? k == 0 || !was : strchr("aeiou", w[k]) == NULL;
        count += k > 0 && is && !was;
    }
    return count;
}

static bool has_vowel(const char *w, size_t n)
{
    for (size_t k = 0; k < n; k++)
        if (strchr("aeiou", w[k]) || (w[k] == 'y' && !is_consonant(w, k)))
            return true;
    return false;
}

/* Consonant, vowel, consonant other than w, x and y; or of two letters a vowel and a consonant. */
static bool ends_cvc(const char *w, size_t n)
{
    if (n == 2)
        return !is_consonant(w, 0) && is_consonant(w, 1);
    return n > 2 && is_consonant(w, n - 3) && !is_consonant(w, n - 2) && is_consonant(w, n - 1) &&
           !strchr("wxy", w[n - 1]);
}

static bool ends(const Word *w, const char *suffix)
{
    const size_t n = strlen(suffix);
    return w->n >= n && memcmp(w->at + w->n - n, suffix, n) == 0;
}

static void put(Word *w, size_t stem, const char *suffix)
{
    const size_t n = strlen(suffix);
    memcpy(w->at + stem, suffix, n);
    w->n = stem + n;
}

/* The first suffix that fits decides: it is replaced where the stem has more than `above` measures. */
typedef struct Rule {
    const char *suffix, *to;
} Rule;
static void apply(Word *w, const Rule *rules, size_t n, size_t above)
{
    for (size_t i = 0; i < n; i++)
        if (ends(w, rules[i].suffix)) {
            const size_t stem = w->n - strlen(rules[i].suffix),
                         measured = strcmp(rules[i].suffix, "logi") == 0 ? stem + 1 : stem;
            const bool is_kept =
                strcmp(rules[i].suffix, "ion") == 0 && (stem == 0 || !strchr("st", w->at[stem - 1]));
            if (measure(w->at, measured) > above && !is_kept)
                put(w, stem, rules[i].to);
            return;
        }
}

static void plurals(Word *w)
{
    if (ends(w, "ies"))
        put(w, w->n - 3, w->n == 4 ? "ie" : "i");
    else if (ends(w, "sses"))
        put(w, w->n - 4, "ss");
    else if (ends(w, "s") && !ends(w, "ss"))
        w->n--;
}

static void past_forms(Word *w)
{
    if (ends(w, "ied")) {
        put(w, w->n - 3, w->n == 4 ? "ie" : "i");
        return;
    }
    if (ends(w, "eed")) {
        w->n -= measure(w->at, w->n - 3) > 0;
        return;
    }
    const size_t stem = ends(w, "ed") ? w->n - 2 : ends(w, "ing") ? w->n - 3 : 0;
    if (stem == 0 || !has_vowel(w->at, stem))
        return;
    w->n = stem;
    const char last = w->at[stem - 1];
    if (ends(w, "at") || ends(w, "bl") || ends(w, "iz"))
        put(w, stem, "e");
    else if (stem > 1 && last == w->at[stem - 2] && is_consonant(w->at, stem - 1))
        w->n -= !strchr("lsz", last);
    else if (measure(w->at, stem) == 1 && ends_cvc(w->at, stem))
        put(w, stem, "e");
}

static void final_letters(Word *w)
{
    if (ends(w, "e")) {
        const size_t m = measure(w->at, w->n - 1);
        w->n -= m > 1 || (m == 1 && !ends_cvc(w->at, w->n - 1));
    }
    if (ends(w, "ll"))
        w->n -= measure(w->at, w->n - 1) > 1;
}

static bool irregular(Word *w)
{
    static const Rule forms[] = {
        {"sky", "sky"},        {"skies", "sky"},       {"dying", "die"},        {"lying", "lie"},
        {"tying", "tie"},      {"news", "news"},       {"innings", "inning"},   {"inning", "inning"},
        {"outings", "outing"}, {"outing", "outing"},   {"cannings", "canning"}, {"canning", "canning"},
        {"howe", "howe"},      {"proceed", "proceed"}, {"exceed", "exceed"},    {"succeed", "succeed"}};
    for (size_t i = 0; i < SN_COUNT(forms); i++)
        if (w->n == strlen(forms[i].suffix) && ends(w, forms[i].suffix)) {
            put(w, 0, forms[i].to);
            return true;
        }
    return false;
}

size_t sn_metric_stem(char *word, size_t n)
{
    static const Rule second[] = {
        {"ational", "ate"}, {"tional", "tion"}, {"enci", "ence"}, {"anci", "ance"}, {"izer", "ize"},
        {"bli", "ble"},     {"alli", "al"},     {"entli", "ent"}, {"eli", "e"},     {"ousli", "ous"},
        {"ization", "ize"}, {"ation", "ate"},   {"ator", "ate"},  {"alism", "al"},  {"iveness", "ive"},
        {"fulness", "ful"}, {"ousness", "ous"}, {"aliti", "al"},  {"iviti", "ive"}, {"biliti", "ble"},
        {"fulli", "ful"},   {"logi", "log"}};
    static const Rule third[] = {{"icate", "ic"}, {"ative", ""}, {"alize", "al"}, {"iciti", "ic"},
                                 {"ical", "ic"},  {"ful", ""},   {"ness", ""}};
    static const Rule fourth[] = {{"al", ""},   {"ance", ""}, {"ence", ""}, {"er", ""},    {"ic", ""},
                                  {"able", ""}, {"ible", ""}, {"ant", ""},  {"ement", ""}, {"ment", ""},
                                  {"ent", ""},  {"ion", ""},  {"ou", ""},   {"ism", ""},   {"ate", ""},
                                  {"iti", ""},  {"ous", ""},  {"ive", ""},  {"ize", ""}};
    Word w = {word, n};
    if (irregular(&w) || n <= 2)
        return w.n;
    plurals(&w);
    past_forms(&w);
    if (ends(&w, "y") && w.n > 2 && is_consonant(w.at, w.n - 2))
        w.at[w.n - 1] = 'i';
    if (ends(&w, "alli") && measure(w.at, w.n - 4) > 0)
        w.n -= 2;
    apply(&w, second, SN_COUNT(second), 0);
    apply(&w, third, SN_COUNT(third), 0);
    apply(&w, fourth, SN_COUNT(fourth), 1);
    final_letters(&w);
    return w.n;
}
