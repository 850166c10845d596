/* normal.c -- the normalizer of tokenizer.json: 14 types to the steps of a table.
 *
 * As the reference does, a part without a type is told by its fields. */
#include "frontends/base64.h"
#include "frontends/tokenizer/draft.h"
#include "ops/host/normal.h"

#define MOST_GROWTH 4096.0

SnStatus sn_draft_add_norm(SnTokDraft *d, SnDraftNorm step, SnError *err)
{
    SN_CHECK(d->nstep < SN_TOK_NORMS, err, SN_EUNSUPPORTED,
             "normalizer of more than %u steps is not supported", SN_TOK_NORMS);
    SN_CHECK(
        step.text.n < 1 << 24 &&
                step.to.n<1 << 16, err, SN_EFORMAT, "normalizer: a text of %zu bytes", step.text.n> step.to.n
            ? step.text.n
            : step.to.n);
    d->step[d->nstep++] = step;
    return SN_OK;
}

static SnStatus add_kind(SnTokDraft *d, SnNormKind kind, SnError *err)
{
    return sn_draft_add_norm(d, (SnDraftNorm){.kind = kind}, err);
}

static SnStatus read_flag(const SnJson *v, const char *key, bool *out, SnError *err)
{
    SN_CHECK(sn_json_bool(sn_json_get(v, key), out), err, SN_EFORMAT, "normalizer: %s is not true or false",
             key);
    return SN_OK;
}

static SnStatus read_text(const SnJson *v, const char *key, SnBytes *out, SnError *err)
{
    SN_CHECK(sn_json_string(sn_json_get(v, key), out), err, SN_EFORMAT, "normalizer: %s is not a string",
             key);
    return SN_OK;
}

/* ---- types -------------------------------------------------------------------------------------------- */

static SnStatus read_bert(SnTokDraft *d, const SnJson *v, SnError *err)
{
    bool clean, cjk, lower;
    SN_TRY(read_flag(v, "clean_text", &clean, err));
    SN_TRY(read_flag(v, "handle_chinese_chars", &cjk, err));
    SN_TRY(read_flag(v, "lowercase", &lower, err));
    bool strip = lower;
    if (!sn_json_is_null(sn_json_get(v, "strip_accents")))
        SN_TRY(read_flag(v, "strip_accents", &strip, err));
    if (clean)
        SN_TRY(add_kind(d, SN_NORM_CLEAN, err));
    if (cjk)
        SN_TRY(add_kind(d, SN_NORM_CJK, err));
    if (strip) {
        SN_TRY(add_kind(d, SN_NORM_NFD, err));
        SN_TRY(add_kind(d, SN_NORM_STRIP_NONSPACING, err));
    }
    return lower ? add_kind(d, SN_NORM_LOWER, err) : SN_OK;
}

static SnStatus read_strip(SnTokDraft *d, const SnJson *v, SnError *err)
{
    bool left, right;
    SN_TRY(read_flag(v, "strip_left", &left, err));
    SN_TRY(read_flag(v, "strip_right", &right, err));
    const uint32_t sides = (left ? SN_NORM_LEFT : 0) | (right ? SN_NORM_RIGHT : 0);
    return sn_draft_add_norm(d, (SnDraftNorm){.kind = SN_NORM_STRIP, .at = sides}, err);
}

static SnStatus read_prepend(SnTokDraft *d, const SnJson *v, SnError *err)
{
    SnDraftNorm s = {.kind = SN_NORM_PREPEND};
    SN_TRY(read_text(v, "prepend", &s.text, err));
    return sn_draft_add_norm(d, s, err);
}

static SnStatus read_replace(SnTokDraft *d, const SnJson *v, SnError *err)
{
    const SnJson *pattern = sn_json_get(v, "pattern");
    SnDraftNorm s = {.kind = SN_NORM_REPLACE};
    SN_TRY(read_text(v, "content", &s.to, err));
    if (sn_json_get(pattern, "Regex") == NULL) {
        SN_TRY(read_text(pattern, "String", &s.text, err));
        return sn_draft_add_norm(d, s, err);
    }
    s.kind = SN_NORM_REPLACE_REGEX;
    SN_TRY(read_text(pattern, "Regex", &s.text, err));
    SN_TRY(sn_draft_add_regex(d, s.text, SN_PATTERN_REGEX, &s.at, err));
    return sn_draft_add_norm(d, s, err);
}

static SnStatus read_charsmap(SnTokDraft *d, const SnJson *v, SnError *err)
{
    SnBytes text, blob;
    SN_TRY(read_text(v, "precompiled_charsmap", &text, err));
    const SnStatus st = sn_base64_read(d->arena, text, &blob, err);
    if (st != SN_OK)
        return sn_fail_in(err, st, "precompiled_charsmap");
    return sn_draft_add_charsmap(d, blob, err);
}

SnStatus sn_draft_add_charsmap(SnTokDraft *d, SnBytes blob, SnError *err)
{
    SnReader r = sn_reader(blob);
    const uint32_t size = sn_read_u32le(&r);
    SN_CHECK(!r.bad && size % 4 == 0 && size <= r.left, err, SN_EFORMAT,
             "character map of %zu bytes says it has %u bytes of units", blob.n, size);
    SnDraftNorm s = {.kind = SN_NORM_CHARSMAP, .nunit = size / 4};
    uint32_t *unit = sn_arena_array(d->arena, (size_t)s.nunit + 1, sizeof *unit);
    SN_CHECK(unit != NULL, err, SN_ENOMEM, "no memory for a character map");
    for (uint32_t i = 0; i < s.nunit; i++)
        unit[i] = sn_read_u32le(&r);
    s.unit = unit;
    s.text = sn_bytes(blob.at + (blob.n - r.left), r.left);
    SN_CHECK(sn_utf8_valid(s.text), err, SN_EFORMAT, "the strings of a character map are not UTF-8");
    return sn_draft_add_norm(d, s, err);
}

static SnStatus read_sequence(SnTokDraft *d, const SnJson *v, SnError *err)
{
    const SnJson *part, *all = sn_json_get(v, "normalizers");
    SN_CHECK(all != NULL && all->kind == SN_JSON_ARRAY, err, SN_EFORMAT, "normalizers is not an array");
    for (uint32_t i = 0; (part = sn_json_at(all, i)) != NULL; i++)
        SN_TRY(sn_draft_read_normalizer(d, part, err));
    return SN_OK;
}

SnStatus sn_draft_read_normalizer(SnTokDraft *d, const SnJson *v, SnError *err)
{
    static const struct {
        const char *type;
        SnNormKind kind;
    } simple[] = {{"NFD", SN_NORM_NFD},   {"NFKD", SN_NORM_NFKD},       {"NFC", SN_NORM_NFC},
                  {"NFKC", SN_NORM_NFKC}, {"Lowercase", SN_NORM_LOWER}, {"StripAccents", SN_NORM_STRIP_MARKS},
                  {"Nmt", SN_NORM_NMT},   {"ByteLevel", SN_NORM_BYTES}};
    static const struct {
        const char *type, *field; /* that a part without a type has */
        SnStatus (*read)(SnTokDraft *, const SnJson *, SnError *);
    } other[] = {
        {"BertNormalizer", "clean_text", read_bert}, {"Strip", "strip_left", read_strip},
        {"Sequence", "normalizers", read_sequence},  {"Precompiled", "precompiled_charsmap", read_charsmap},
        {"Replace", "pattern", read_replace},        {"Prepend", "prepend", read_prepend}};
    if (sn_json_is_null(v))
        return SN_OK;
    const SnJson *type = sn_json_get(v, "type");
    SnBytes name = sn_bytes_str("without a type");
    (void)sn_json_string(type, &name);
    for (size_t i = 0; i < SN_COUNT(simple); i++)
        if (sn_json_is(type, simple[i].type))
            return add_kind(d, simple[i].kind, err);
    for (size_t i = 0; i < SN_COUNT(other); i++)
        if (sn_json_is(type, other[i].type) || (type == NULL && sn_json_get(v, other[i].field) != NULL))
            return other[i].read(d, v, err);
    return sn_fail(err, SN_EUNSUPPORTED, "normalizer %.*s is not supported", name.n < 100 ? (int)name.n : 100,
                   (const char *)name.at);
}

/* ---- growth ------------------------------------------------------------------------------------------- */

enum { LONGEST_KEY = 5, MOST_WIDTH = 200 };

typedef struct Walk {
    const SnDraftNorm *map;
    uint64_t left; /* nodes to visit: a double array that is none may have circles */
    double ratio;
    uint8_t key[LONGEST_KEY];
    uint8_t *width; /* see sn_draft_widths, NULL: not asked for; no_width: there are none */
    uint32_t sign;
    bool no_width;
} Walk;

/* White space in a text, whose places signs may take. */
static uint32_t count_spaces(SnBytes s)
{
    uint32_t n = 0;
    for (size_t i = 0, size; i < s.n; i += size) {
        size = sn_tok_char_size(s.at + i, s.n - i);
        n += (sn_code_class(sn_tok_code_point(s.at + i, size))->flags & SN_CP_SPACE) != 0;
    }
    return n;
}

/* What a key becomes counts for its first character, where it is longer than the key. */
static void widen(Walk *w, size_t n, SnBytes to)
{
    const size_t need = to.n + (size_t)w->sign * count_spaces(to),
                 size = sn_tok_char_size(w->key, LONGEST_KEY);
    if (need <= n)
        return;
    w->no_width |= need > MOST_WIDTH || size > n || (size == 1 && n > 1);
    uint8_t *width = &w->width[SN_TOK_WIDTH_OF(sn_tok_code_point(w->key, size))];
    *width = need > *width ? (uint8_t)need : *width;
}

/* All keys whose beginnings are no keys, `depth` bytes so far: longer ones are never asked for. */
static bool walk(Walk *w, uint32_t at, uint32_t depth)
{
    for (uint32_t c = 1; c < 256 && depth < LONGEST_KEY; c++) {
        const uint32_t child = at ^ c, *unit = w->map->unit;
        if (child >= w->map->nunit || (unit[child] & 0x800000FFu) != c)
            continue;
        if (w->left-- == 0)
            return false;
        const uint32_t next = child ^ sn_charsmap_offset(unit[child]);
        w->key[depth] = (uint8_t)c;
        if (!(unit[child] & SN_CHARSMAP_LEAF)) {
            if (!walk(w, next, depth + 1))
                return false;
            continue;
        }
        const uint32_t value = next < w->map->nunit ? unit[next] & 0x7FFFFFFFu : UINT32_MAX;
        if (value >= w->map->text.n)
            continue;
        const uint8_t *begin = w->map->text.at + value, *end = memchr(begin, 0, w->map->text.n - value);
        const size_t n = end != NULL ? (size_t)(end - begin) : w->map->text.n - value;
        const double ratio = (double)n / (depth + 1);
        w->ratio = ratio > w->ratio ? ratio : w->ratio;
        if (w->width != NULL)
            widen(w, depth + 1, sn_bytes(begin, n));
    }
    return true;
}

static SnStatus charsmap_ratio(const SnDraftNorm *s, double *ratio, SnError *err)
{
    Walk w = {.map = s, .left = 2 * (uint64_t)s->nunit, .ratio = 1};
    SN_CHECK(s->nunit == 0 || walk(&w, sn_charsmap_offset(s->unit[0]), 0), err, SN_EFORMAT,
             "the units of a character map run in circles");
    *ratio = w.ratio;
    return SN_OK;
}

/* Can a pattern match nothing? Yes where that is not easily seen. */
static bool may_be_empty(SnBytes pattern)
{
    for (size_t i = 0; i < pattern.n; i++) {
        const char c = (char)pattern.at[i], next = i + 1 < pattern.n ? (char)pattern.at[i + 1] : '\0';
        if (strchr("*?|^$(", c) != NULL || (c == '{' && strchr("0,", next) != NULL) ||
            (c == '\\' && strchr("bBAzZG", next) != NULL))
            return true;
    }
    return pattern.n == 0;
}

/* Bytes out for a byte in, of one step alone. */
static SnStatus ratio_of(const SnDraftNorm *s, double *ratio, SnError *err)
{
    const double from = (double)s->text.n, to = (double)s->to.n;
    *ratio = 1;
    if (s->kind == SN_NORM_CJK)
        *ratio = 5.0 / 3;
    else if (s->kind == SN_NORM_BYTES)
        *ratio = 2;
    else if (s->kind == SN_NORM_PREPEND)
        *ratio = 1 + from;
    else if (s->kind == SN_NORM_CHARSMAP)
        return charsmap_ratio(s, ratio, err);
    else if (s->kind == SN_NORM_REPLACE)
        *ratio = from == 0 ? 1 + 2 * to : to > from ? to / from : 1;
    else if (s->kind == SN_NORM_REPLACE_REGEX)
        *ratio = may_be_empty(s->text) ? 1 + 2 * to : to > 1 ? to : 1;
    return SN_OK;
}

SnStatus sn_draft_growth(const SnTokDraft *d, uint32_t *grow, SnError *err)
{
    /* Normalisation forms and lower case do not multiply: once brought into one, a character grows no
     * further. */
    bool has_form = false, has_compat = false, has_lower = false;
    double all = 1;
    for (uint32_t i = 0; i < d->nstep; i++) {
        const SnNormKind kind = d->step[i].kind;
        double ratio;
        SN_TRY(ratio_of(&d->step[i], &ratio, err));
        all *= ratio;
        has_form |= kind == SN_NORM_NFD || kind == SN_NORM_NFC;
        has_compat |= kind == SN_NORM_NFKD || kind == SN_NORM_NFKC;
        has_lower |= kind == SN_NORM_LOWER;
        SN_CHECK(all <= MOST_GROWTH, err, SN_EUNSUPPORTED,
                 "normalizer that makes a text more than %g times as long is not supported", MOST_GROWTH);
    }
    all *= (has_compat ? 11 : has_form ? 3 : 1) * (has_lower ? 1.5 : 1);
    *grow = (uint32_t)all + (all > (uint32_t)all);
    return SN_OK;
}

/* ---- widths ------------------------------------------------------------------------------------------- */

typedef struct Steps { /* of a normaliser: what they do to characters one by one */
    const SnTokTable *t;
    const SnDraftNorm *map;
    uint32_t form, sign; /* form: a character that it changes becomes so many times as long */
    bool has_lower, has_cjk, has_compat;
    bool parts; /* white space of any kind is gone, and parts what signs come before */
} Steps;

/* May it put white space where there was none? A pattern that is not known might. */
static bool adds_space(const SnDraftNorm *s)
{
    static const char *const patterns[] = {" {2,}", " +", "\\s+", "\\s{2,}"};
    bool is_space = s->kind == SN_NORM_REPLACE && count_spaces(s->text) >= count_spaces(s->to);
    for (size_t i = 0; i < SN_COUNT(patterns) && s->kind == SN_NORM_REPLACE_REGEX; i++)
        is_space |= sn_bytes_is(s->text, patterns[i]);
    return count_spaces(s->to) > 0 && !is_space;
}

static bool read_step(Steps *all, const SnDraftNorm *s)
{
    switch (s->kind) {
    case SN_NORM_NFC:
    case SN_NORM_NFD:
        all->form = all->form > 3 ? all->form : 3;
        return true;
    case SN_NORM_NFKC:
    case SN_NORM_NFKD:
        all->form = 11;
        all->has_compat = true;
        return true;
    case SN_NORM_LOWER:
        all->has_lower = true;
        return true;
    case SN_NORM_CJK:
        all->has_cjk = true;
        return true;
    case SN_NORM_CHARSMAP:
        if (all->map != NULL)
            return false;
        all->map = s;
        return true;
    case SN_NORM_REPLACE:
        return s->text.n > 0 && s->to.n <= s->text.n && (all->sign == 0 || !adds_space(s));
    case SN_NORM_REPLACE_REGEX:
        return !may_be_empty(s->text) && s->to.n <= 1 && (all->sign == 0 || !adds_space(s));
    case SN_NORM_PREPEND:
    case SN_NORM_BYTES:
    case SN_NORM_NMT:
        return false;
    default:
        return true;
    }
}

/* Signs stand for white space, or before parts that nothing but white space parts. */
static bool read_steps(const SnTokDraft *d, Steps *all)
{
    uint32_t at = 0;
    while (at < d->nsplit && d->split[at].kind != SN_SPLIT_SIGN)
        at++;
    all->sign = at < d->nsplit ? (uint32_t)d->sign.n : 0;
    all->parts = at > 0;
    for (uint32_t i = 0; i < at && at < d->nsplit; i++) {
        const SnTokSplit *s = &d->split[i];
        if (s->kind != SN_SPLIT_CLASS || s->flags != SN_CP_SPACE || s->code_point != SN_TOK_NONE ||
            s->behavior != SN_SPLIT_REMOVED || s->inverts)
            return false;
    }
    for (uint32_t i = 0; i < d->nstep; i++)
        if (!read_step(all, &d->step[i]))
            return false;
    return all->map == NULL || (all->form == 1 && !all->has_lower && !all->has_cjk);
}

/* The widest of 128 characters beyond ASCII. */
static uint32_t block_width(const Steps *s, uint32_t first)
{
    enum { MOST_SPACES = 3 }; /* that one character decomposes to */
    bool is_changed = false, is_cjk = false, is_space = false, is_lower = false;
    for (uint32_t cp = first; cp < first + 128; cp++) {
        const SnCodeClass *c = sn_code_class(cp);
        is_changed |= s->form > 1 && ((c->flags & SN_CP_DECOMPOSES) ||
                                      (s->has_compat && (sn_form(s->t, cp) & SN_FORM_COMPAT)));
        is_cjk |= s->has_cjk && (c->flags & SN_CP_CJK);
        is_space |= s->parts && (c->flags & SN_CP_SPACE);
        is_lower |= s->has_lower && c->lower != 0;
    }
    uint8_t byte[4];
    uint32_t width = (uint32_t)sn_tok_put_char(first, byte) * (is_changed ? s->form : 1);
    width += is_lower || (s->has_lower && is_changed) ? (width + 1) / 2 : 0;
    return width + (is_cjk ? 2 + 2 * s->sign : 0) +
           (is_changed && s->has_compat ? MOST_SPACES : is_space) * s->sign;
}

/* A text begins anew behind an added token. */
static void widen_added(const SnTokDraft *d, uint32_t sign, uint8_t *width)
{
    bool begins[256] = {false};
    uint8_t byte[4];
    for (uint32_t i = 0; i < d->nadded; i++) {
        const SnBytes s = d->added[i].is_normalized ? d->added[i].match : d->added[i].content;
        begins[s.n > 0 ? s.at[0] : 0] = true;
    }
    for (uint32_t cp = 0; cp <= SN_CP_LAST; cp += cp < 128 ? 1 : 128) {
        (void)sn_tok_put_char(cp, byte);
        width[SN_TOK_WIDTH_OF(cp)] = (uint8_t)(width[SN_TOK_WIDTH_OF(cp)] + (begins[byte[0]] ? sign : 0));
    }
}

bool sn_draft_widths(const SnTokDraft *d, const SnTokTable *t, uint8_t *width)
{
    Steps s = {.t = t, .form = 1};
    if (!read_steps(d, &s))
        return false;
    for (uint32_t c = 0; c < 128; c++)
        width[c] =
            (uint8_t)(1 + (c == ' ' || (s.parts && (sn_code_class(c)->flags & SN_CP_SPACE)) ? s.sign : 0));
    for (uint32_t b = 1; b <= SN_CP_LAST >> 7; b++) {
        const bool is_same = b > 16 && b != 512 && sn_code_first[b] == sn_code_first[b - 1] && !s.has_compat;
        width[128 + b] = is_same ? width[127 + b] : (uint8_t)block_width(&s, b << 7);
    }
    if (s.map != NULL) {
        Walk w = {.map = s.map, .left = 2 * (uint64_t)s.map->nunit, .width = width, .sign = s.sign};
        if (s.map->nunit > 0 && (!walk(&w, sn_charsmap_offset(s.map->unit[0]), 0) || w.no_width))
            return false;
    }
    if (s.sign > 0)
        widen_added(d, s.sign, width);
    return true;
}
