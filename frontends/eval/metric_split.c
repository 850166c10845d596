/* metric_split.c -- words of texts as the tokenizers of sacreBLEU and tercom divide them. */
#include "frontends/eval/metric_split.h"

#include "frontends/jinja/text.h"

const char *const sn_split_names[] = {"13a", "intl", "char", "zh", "none", NULL};

typedef enum Class {
    MARK,
    STOP,
    DIGIT,
    NO_DIGIT,
    DASH,
    PUNCT,
    NO_NUMBER,
    SYMBOL,
    CHINESE,
    CJK,
    ASIAN_PUNCT,
    SENTENCE_PUNCT
} Class;

/* What is done with each character of a class, or with each pair; text is read from the left, no character
 * twice. */
typedef struct Pass {
    enum { AROUND, DROP, AFTER_EACH, BEFORE_EACH } what; /* " x ", "", "x y ", " x y" */
    Class first, second;
} Pass;

static const Pass western[] = {{AROUND, MARK, 0},
                               {AFTER_EACH, NO_DIGIT, STOP},
                               {BEFORE_EACH, STOP, NO_DIGIT},
                               {AFTER_EACH, DIGIT, DASH}};
static const Pass international[] = {
    {AFTER_EACH, NO_NUMBER, PUNCT}, {BEFORE_EACH, PUNCT, NO_NUMBER}, {AROUND, SYMBOL, 0}};
static const Pass chinese[] = {{AROUND, CHINESE, 0}};
static const Pass asian[] = {{AROUND, CJK, 0}, {AROUND, ASIAN_PUNCT, 0}};
static const Pass no_punct[] = {{DROP, SENTENCE_PUNCT, 0}}, no_asian_punct[] = {{DROP, ASIAN_PUNCT, 0}};

typedef struct Range {
    uint32_t first, last;
} Range;
/* Two ranges of the reference are written with five hexadecimal digits, of which Python reads four: these are
 * what it compares with. */
static const Range chinese_ranges[] = {{0x3400, 0x4DB5}, {0x4E00, 0x9FBB}, {0xF900, 0xFA2D}, {0xFA30, 0xFA6A},
                                       {0xFA70, 0xFAD9}, {0x2001, 0x2A6D}, {0x2F81, 0x2FA1}, {0xFF00, 0xFFEF},
                                       {0x2E80, 0x2EFF}, {0x3000, 0x303F}, {0x31C0, 0x31EF}, {0x2F00, 0x2FDF},
                                       {0x2FF0, 0x2FFF}, {0x3100, 0x312F}, {0x31A0, 0x31BF}, {0xFE10, 0xFE1F},
                                       {0xFE30, 0xFE4F}, {0x2600, 0x27BF}, {0x3200, 0x33FF}};
static const Range cjk_ranges[] = {{0x4E00, 0x9FFF}, {0x3400, 0x4DBF}, {0x31C0, 0x31EF}, {0x2E80, 0x2EFF},
                                   {0x3300, 0x33FF}, {0xF900, 0xFAFF}, {0xFE30, 0xFE4F}, {0x3200, 0x3F22}};
static const Range asian_punct_ranges[] = {{0x3001, 0x3002}, {0x3008, 0x3011}, {0x3014, 0x301F},
                                           {0xFF61, 0xFF65}, {0x30FB, 0x30FB}, {0xFF0E, 0xFF0E},
                                           {0xFF0C, 0xFF0C}, {0xFF1F, 0xFF1F}, {0xFF1A, 0xFF1B},
                                           {0xFF01, 0xFF02}, {0xFF08, 0xFF09}};

static bool in_ranges(const Range *v, size_t n, uint32_t cp)
{
    for (size_t i = 0; i < n; i++)
        if (cp >= v[i].first && cp <= v[i].last)
            return true;
    return false;
}

static bool in_set(const SnCodeSet *s, uint32_t cp)
{
    uint32_t low = 0, high = s->n;
    while (low < high) {
        const uint32_t middle = low + (high - low) / 2;
        if (cp > s->at[2 * middle + 1])
            low = middle + 1;
        else
            high = middle;
    }
    return low < s->n && cp >= s->at[2 * low];
}

static bool is_of(const SnSplitter *s, Class class, uint32_t cp)
{
    switch (class) {
    case MARK:
        return (cp >= '{' && cp <= '~') || (cp >= '[' && cp <= '`') || (cp >= ' ' && cp <= '&') ||
               (cp >= '(' && cp <= '+') || (cp >= ':' && cp <= '@') || cp == '/';
    case STOP:
        return cp == '.' || cp == ',';
    case DIGIT:
        return cp >= '0' && cp <= '9';
    case NO_DIGIT:
        return cp < '0' || cp > '9';
    case DASH:
        return cp == '-';
    case PUNCT:
        return in_set(&s->punct, cp);
    case NO_NUMBER:
        return !in_set(&s->number, cp);
    case SYMBOL:
        return in_set(&s->symbol, cp);
    case CHINESE:
        return in_ranges(chinese_ranges, SN_COUNT(chinese_ranges), cp);
    case CJK:
        return in_ranges(cjk_ranges, SN_COUNT(cjk_ranges), cp);
    case ASIAN_PUNCT:
        return in_ranges(asian_punct_ranges, SN_COUNT(asian_punct_ranges), cp);
    case SENTENCE_PUNCT:
        return cp < 128 && cp > 0 && strchr(".,?:;!\"()", (int)cp) != NULL;
    }
    return false;
}

static bool apply(SnSplitter *s, const Pass *p, size_t npass, SnIds *text)
{
    for (; npass; npass--, p++) {
        SnIds out = {.at = sn_arena_array(&s->r->row, text->n + 1, 3 * sizeof *out.at)};
        if (!out.at)
            return false;
        for (size_t i = 0; i < text->n; i++) {
            const uint32_t c = text->at[i];
            const bool is_pair = p->what == AFTER_EACH || p->what == BEFORE_EACH;
            if (!is_of(s, p->first, c) ||
                (is_pair && (i + 1 == text->n || !is_of(s, p->second, text->at[i + 1])))) {
                out.at[out.n++] = c;
                continue;
            }
            if (p->what == AROUND || p->what == BEFORE_EACH)
                out.at[out.n++] = ' ';
            if (p->what != DROP) {
                out.at[out.n++] = c;
                out.at[out.n++] = ' ';
            }
            if (is_pair)
                out.at[out.n++] = text->at[++i];
            if (p->what == AFTER_EACH)
                out.at[out.n++] = ' ';
        }
        *text = out;
    }
    return true;
}

static bool replace(SnSplitter *s, SnIds *text, const char *from, const char *to)
{
    const size_t nfrom = strlen(from), nto = strlen(to);
    SnIds out = {.at = sn_arena_array(&s->r->row, text->n + text->n / nfrom * nto + 1, sizeof *out.at)};
    if (!out.at)
        return false;
    for (size_t i = 0; i < text->n;) {
        size_t k = 0;
        while (k < nfrom && i + k < text->n && text->at[i + k] == (uint8_t)from[k])
            k++;
        if (k < nfrom) {
            out.at[out.n++] = text->at[i++];
            continue;
        }
        for (size_t j = 0; j < nto; j++)
            out.at[out.n++] = (uint8_t)to[j];
        i += nfrom;
    }
    *text = out;
    return true;
}

static bool replace_all(SnSplitter *s, SnIds *text, const char *const (*pairs)[2], size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (!replace(s, text, pairs[i][0], pairs[i][1]))
            return false;
    return true;
}

static bool surround(SnSplitter *s, SnIds *text)
{
    SnIds out = {sn_arena_array(&s->r->row, text->n + 2, sizeof *out.at), text->n + 2};
    if (!out.at)
        return false;
    out.at[0] = out.at[out.n - 1] = ' ';
    if (text->n)
        memcpy(out.at + 1, text->at, text->n * sizeof *out.at);
    *text = out;
    return true;
}

#define ESCAPES                                                                                              \
    {"&quot;", "\""}, {"&amp;", "&"}, {"&lt;", "<"},                                                         \
    {                                                                                                        \
        "&gt;", ">"                                                                                          \
    }

static bool tercom(SnSplitter *s, SnIds *text)
{
    static const char *const joined[][2] = {{"\n-", ""}, {"\n", " "}, ESCAPES};
    if (s->normalizes && (!replace_all(s, text, joined, SN_COUNT(joined)) || !surround(s, text) ||
                          !apply(s, western, 1, text) || !replace(s, text, "'s ", " 's ") ||
                          !apply(s, western + 1, SN_COUNT(western) - 1, text) ||
                          (s->is_asian && !apply(s, asian, SN_COUNT(asian), text))))
        return false;
    return !s->drops_punct ||
           (apply(s, no_punct, 1, text) && (!s->is_asian || apply(s, no_asian_punct, 1, text)));
}

/* sacreBLEU divides a reference twice for this metric: the second time what was divided, with single blanks.
 */
static bool tercom_twice(SnSplitter *s, SnIds *text)
{
    size_t n = 0;
    if (!tercom(s, text))
        return false;
    for (size_t i = 0; i < text->n; i++) {
        const bool is_space = (sn_ji_code_flags(text->at[i]) & SN_JI_SPACE) != 0;
        if (!is_space)
            text->at[n++] = text->at[i];
        else if (n > 0 && text->at[n - 1] != ' ')
            text->at[n++] = ' ';
    }
    text->n = n > 0 && text->at[n - 1] == ' ' ? n - 1 : n;
    return tercom(s, text);
}

static bool mteval(SnSplitter *s, SnIds *text)
{
    static const char *const joined[][2] = {{"<skipped>", ""}, {"-\n", ""}, {"\n", " "}, ESCAPES};
    return replace_all(s, text, joined, SN_COUNT(joined)) && surround(s, text) &&
           apply(s, western, SN_COUNT(western), text);
}

/* Each character is a word. */
static bool spread(SnSplitter *s, SnIds *text)
{
    SnIds out = {sn_arena_array(&s->r->row, text->n + 1, 2 * sizeof *out.at), 2 * text->n};
    for (size_t i = 0; out.at && i < text->n; i++) {
        out.at[2 * i] = text->at[i];
        out.at[2 * i + 1] = ' ';
    }
    *text = out;
    return out.at != NULL;
}

SnStatus sn_splitter_open(SnMetricRun *r, SnSplit how, SnSplitter *out)
{
    *out = (SnSplitter){.r = r, .how = how};
    if (how != SN_SPLIT_INTL)
        return SN_OK;
    const bool is_known = sn_set_named(r->arena, &out->punct, sn_bytes_str("P")) &&
                          sn_set_named(r->arena, &out->number, sn_bytes_str("N")) &&
                          sn_set_named(r->arena, &out->symbol, sn_bytes_str("S"));
    SN_CHECK(is_known && !out->punct.failed && !out->number.failed && !out->symbol.failed, r->err, SN_ENOMEM,
             "%s: no memory", r->name);
    return SN_OK;
}

SnStatus sn_splitter_words(SnSplitter *s, SnTrie *t, SnBytes text, SnIds *out)
{
    SnIds c = {0};
    bool fits =
        (!s->lowers || sn_metric_lower(&s->r->row, text, &text)) && sn_metric_codes(&s->r->row, text, &c);
    while (fits && c.n && (sn_ji_code_flags(c.at[c.n - 1]) & SN_JI_SPACE) != 0)
        c.n--;
    switch (s->how) {
    case SN_SPLIT_13A:
        fits = fits && mteval(s, &c);
        break;
    case SN_SPLIT_INTL:
        fits = fits && apply(s, international, SN_COUNT(international), &c);
        break;
    case SN_SPLIT_CHAR:
        fits = fits && spread(s, &c);
        break;
    case SN_SPLIT_ZH:
        fits = fits && apply(s, chinese, 1, &c) && apply(s, western, SN_COUNT(western), &c);
        break;
    case SN_SPLIT_TERCOM:
        fits = fits && (s->is_reference ? tercom_twice : tercom)(s, &c);
        break;
    case SN_SPLIT_NONE:
        break;
    }
    SN_CHECK(fits && sn_metric_words(&s->r->row, t, c, out), s->r->err, SN_ENOMEM, "%s: no memory",
             s->r->name);
    return SN_OK;
}
