/* decode_steps.c -- the decoders of tokenizer.json: each makes a list of strings of a list of strings. */
#include "ops/host/decode.h"

typedef struct Work { /* of one step */
    const SnTokTable *t;
    const SnTokDecodeStep *step;
    const SnTokStrings *in;
    SnTokStrings *out;
} Work;

/* ---- strings ------------------------------------------------------------------------------------------ */

static void put(SnTokStrings *s, SnBytes b)
{
    s->is_full |= b.n > s->room - s->size;
    if (s->is_full || b.n == 0)
        return;
    memcpy(s->text + s->size, b.at, b.n);
    s->size += b.n;
}

static void end_string(SnTokStrings *s)
{
    s->is_full |= s->n == s->max;
    if (!s->is_full)
        s->end[s->n++] = (uint32_t)s->size;
}

static SnBytes string_at(const SnTokStrings *s, size_t i)
{
    const size_t begin = i > 0 ? s->end[i - 1] : 0;
    return sn_bytes(s->text + begin, s->end[i] - begin);
}

/* The string that is being made. */
static SnBytes last_string(const SnTokStrings *s)
{
    const size_t begin = s->n > 0 ? s->end[s->n - 1] : 0;
    return sn_bytes(s->text + begin, s->size - begin);
}

static SnBytes pool(const Work *w, uint32_t at, uint32_t size)
{
    return sn_bytes(sn_tok_POOL(w->t) + at, size);
}

/* Puts s with every `from` replaced; where that is empty it is found between all characters. */
static void put_replaced(SnTokStrings *out, SnBytes s, SnBytes from, SnBytes to)
{
    for (size_t i = 0, size; i < s.n; i += size) {
        const bool is_match = sn_tok_begins(sn_bytes(s.at + i, s.n - i), from);
        if (is_match)
            put(out, to);
        size = is_match && from.n > 0 ? from.n : sn_tok_char_size(s.at + i, s.n - i);
        if (!is_match || from.n == 0)
            put(out, sn_bytes(s.at + i, size));
    }
    if (from.n == 0)
        put(out, to);
}

/* The same, of the string that is being made; to is not longer. */
static void replace_last(SnTokStrings *s, const char *from, const char *to)
{
    const SnBytes text = last_string(s), a = sn_bytes_str(from), b = sn_bytes_str(to);
    uint8_t *at = s->text + (s->size - text.n);
    size_t n = 0;
    for (size_t i = 0; i < text.n;) {
        if (sn_tok_begins(sn_bytes(at + i, text.n - i), a)) {
            memcpy(at + n, b.at, b.n);
            n += b.n;
            i += a.n;
        } else {
            at[n++] = at[i++];
        }
    }
    s->size -= text.n - n;
}

static void clean_up(SnTokStrings *s)
{
    static const struct {
        const char *from, *to;
    } cleanups[] = {
        {" .", "."},   {" ?", "?"},     {" !", "!"},     {" ,", ","},
        {" ' ", "'"},  {" n't", "n't"}, {" 'm", "'m"},   {" do not", " don't"},
        {" 's", "'s"}, {" 've", "'ve"}, {" 're", "'re"},
    };
    const SnBytes text = last_string(s);
    bool may_be = false; /* all begin with a space and one of a few characters */
    for (size_t i = 0; i + 1 < text.n && !may_be; i++)
        may_be = text.at[i] == ' ' && text.at[i + 1] != '\0' && strchr(".?!,'nd", text.at[i + 1]) != NULL;
    if (!may_be)
        return;
    for (size_t i = 0; i < SN_COUNT(cleanups); i++)
        replace_last(s, cleanups[i].from, cleanups[i].to);
}

/* ---- steps -------------------------------------------------------------------------------------------- */

static void step_join(const Work *w)
{
    for (size_t i = 0; i < w->in->n; i++) {
        put(w->out, sn_bytes(" ", i > 0));
        put(w->out, string_at(w->in, i));
    }
    end_string(w->out);
}

static void step_fuse(const Work *w)
{
    put(w->out, sn_bytes(w->in->text, w->in->size));
    end_string(w->out);
}

static void step_bpe(const Work *w)
{
    for (size_t i = 0; i < w->in->n; i++) {
        put_replaced(w->out, string_at(w->in, i), pool(w, w->step->at, w->step->size),
                     sn_bytes(" ", i + 1 < w->in->n));
        end_string(w->out);
    }
}

static void step_wordpiece(const Work *w)
{
    const SnBytes prefix = pool(w, w->step->at, w->step->size);
    for (size_t i = 0; i < w->in->n; i++) {
        SnBytes s = string_at(w->in, i);
        const bool joins = i > 0 && sn_tok_begins(s, prefix);
        put(w->out, sn_bytes(" ", i > 0 && !joins));
        put(w->out, joins ? sn_bytes(s.at + prefix.n, s.n - prefix.n) : s);
        if (w->step->flags & SN_TOK_DECODE_CLEANUP)
            clean_up(w->out);
        end_string(w->out);
    }
}

/* A text of bytes may be malformed: what makes no character becomes U+FFFD. */
static void put_repaired(SnTokStrings *out, SnBytes s)
{
    while (s.n > 0) {
        const size_t good = sn_utf8_prefix(s);
        put(out, sn_bytes(s.at, good));
        s = sn_bytes(s.at + good, s.n - good);
        if (s.n == 0)
            break;
        const size_t bad = sn_utf8_size(s);
        put(out, sn_bytes("\xEF\xBF\xBD", 3));
        s = sn_bytes(s.at + bad, s.n - bad);
    }
}

/* The byte a character stands for, or -1. */
static int byte_of(uint32_t cp)
{
    if ((cp > 0x20 && cp < 0x7F) || (cp > 0xA0 && cp < 0x100 && cp != 0xAD))
        return (int)cp;
    if (cp < 0x100 || cp > 0x143)
        return -1;
    return (int)(cp <= 0x120 ? cp - 0x100 : cp <= 0x142 ? cp - 0xA2 : 0xAD);
}

static inline int byte_at(const uint8_t *s, size_t left, size_t *size)
{
    *size = s[0] < 0x80 ? 1 : 2;
    if (s[0] < 0x80)
        return s[0] > 0x20 && s[0] < 0x7F ? s[0] : -1;
    return s[0] >= 0xC2 && s[0] <= 0xC5 && left > 1 ? byte_of(sn_tok_code_point(s, 2)) : -1;
}

/* In place: a string of nothing but signs for bytes becomes these. */
static size_t to_bytes(uint8_t *s, size_t n)
{
    size_t begin = 0, size;
    while (begin < n && s[begin] > 0x20 && s[begin] < 0x7F) /* stand for themselves */
        begin++;
    for (size_t i = begin; i < n; i += size)
        if (byte_at(s + i, n - i, &size) < 0)
            return n;
    size_t m = begin;
    for (size_t i = begin; i < n; i += size)
        s[m++] = (uint8_t)byte_at(s + i, n - i, &size);
    return m;
}

static void step_bytes(const Work *w)
{
    uint8_t *text = w->in->text;
    size_t n = 0;
    for (size_t i = 0, begin = 0; i < w->in->n; begin = w->in->end[i++]) {
        const size_t size = to_bytes(text + begin, w->in->end[i] - begin);
        memmove(text + n, text + begin, size);
        n += size;
    }
    put_repaired(w->out, sn_bytes(text, n));
    end_string(w->out);
}

static void step_metaspace(const Work *w)
{
    const SnBytes sign = pool(w, w->step->at, w->step->size);
    for (size_t i = 0; i < w->in->n; i++) {
        const bool is_dropped = i == 0 && (w->step->flags & SN_TOK_DECODE_PREFIXED);
        put_replaced(w->out, string_at(w->in, i), sign, sn_bytes(" ", !is_dropped));
        end_string(w->out);
    }
}

static void step_ctc(const Work *w)
{
    const SnBytes pad = pool(w, w->step->at, w->step->size),
                  delimiter = pool(w, w->step->to, w->step->to_size);
    const bool cleans = w->step->flags & SN_TOK_DECODE_CLEANUP;
    for (size_t i = 0; i < w->in->n; i++) {
        const SnBytes s = string_at(w->in, i);
        if (i > 0 && sn_bytes_equal(s, string_at(w->in, i - 1)))
            continue;
        put_replaced(w->out, s, pad, sn_bytes("", 0));
        if (cleans) {
            /* What was cleaned up goes behind itself once more, and then in its place. */
            clean_up(w->out);
            const SnBytes clean = last_string(w->out);
            const size_t begin = w->out->size - clean.n;
            put_replaced(w->out, clean, delimiter, sn_bytes(" ", 1));
            if (!w->out->is_full) {
                memmove(w->out->text + begin, w->out->text + begin + clean.n, w->out->size - begin - clean.n);
                w->out->size -= clean.n;
            }
        }
        if (last_string(w->out).n > 0)
            end_string(w->out);
    }
}

static void put_regex_replaced(const Work *w, SnBytes s, SnBytes to)
{
    size_t last = SIZE_MAX;
    for (size_t i = 0; s.n > 0 && i <= s.n;) {
        const size_t end = sn_tok_match(w->t, w->step->at, s, i);
        if (end != SN_TOK_NO_MATCH && (end > i || last != i)) {
            put(w->out, to);
            i = last = end;
            continue;
        }
        const size_t size = i < s.n ? sn_tok_char_size(s.at + i, s.n - i) : 1;
        put(w->out, sn_bytes(s.at + i, i < s.n ? size : 0));
        i += size;
    }
}

static void step_replace(const Work *w)
{
    const SnBytes to = pool(w, w->step->to, w->step->to_size);
    for (size_t i = 0; i < w->in->n; i++) {
        const SnBytes s = string_at(w->in, i);
        if (w->step->kind == SN_TOK_DECODE_REPLACE_REGEX)
            put_regex_replaced(w, s, to);
        else if (s.n > 0)
            put_replaced(w->out, s, pool(w, w->step->at, w->step->size), to);
        end_string(w->out);
    }
}

/* Takes so many of a character off both ends. */
static SnBytes stripped(const SnTokTable *t, const SnTokDecodeStep *step, SnBytes s)
{
    const SnBytes sign = sn_bytes(sn_tok_POOL(t) + step->at, step->size);
    size_t end = s.n, begin = 0;
    for (uint32_t k = 0; k < step->begin && sn_tok_begins(sn_bytes(s.at + begin, s.n - begin), sign); k++)
        begin += sign.n;
    for (uint32_t k = 0;
         k < step->end && end >= sign.n && sn_tok_begins(sn_bytes(s.at + end - sign.n, sign.n), sign); k++)
        end -= sign.n;
    return sn_bytes(s.at + begin, end > begin ? end - begin : 0);
}

static void step_strip(const Work *w)
{
    for (size_t i = 0; i < w->in->n; i++) {
        put(w->out, stripped(w->t, w->step, string_at(w->in, i)));
        end_string(w->out);
    }
}

static int hex_digit(uint8_t c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* The byte that a token like <0x0A> stands for, or -1. */
static int fallback_byte(SnBytes s)
{
    if (s.n != 6 || memcmp(s.at, "<0x", 3) != 0 || s.at[5] != '>' || hex_digit(s.at[4]) < 0)
        return -1;
    if (s.at[3] == '+')
        return hex_digit(s.at[4]);
    return hex_digit(s.at[3]) < 0 ? -1 : 16 * hex_digit(s.at[3]) + hex_digit(s.at[4]);
}

/* Bytes in a row become one string, or where they are malformed an U+FFFD each. */
static void end_bytes(SnTokStrings *out)
{
    const SnBytes bytes = last_string(out);
    if (bytes.n == 0)
        return;
    if (sn_utf8_valid(bytes)) {
        end_string(out);
        return;
    }
    out->size -= bytes.n;
    for (size_t i = 0; i < bytes.n; i++) {
        put(out, sn_bytes("\xEF\xBF\xBD", 3));
        end_string(out);
    }
}

static void step_fallback(const Work *w)
{
    for (size_t i = 0; i < w->in->n; i++) {
        const SnBytes s = string_at(w->in, i);
        const int byte = fallback_byte(s);
        if (byte >= 0) {
            const uint8_t one = (uint8_t)byte;
            put(w->out, sn_bytes(&one, 1));
            continue;
        }
        end_bytes(w->out);
        put(w->out, s);
        end_string(w->out);
    }
    end_bytes(w->out);
}

static void (*const steps[SN_TOK_DECODE_NKIND])(const Work *) = {
    [SN_TOK_DECODE_JOIN] = step_join,
    [SN_TOK_DECODE_FUSE] = step_fuse,
    [SN_TOK_DECODE_BPE] = step_bpe,
    [SN_TOK_DECODE_WORDPIECE] = step_wordpiece,
    [SN_TOK_DECODE_BYTES] = step_bytes,
    [SN_TOK_DECODE_METASPACE] = step_metaspace,
    [SN_TOK_DECODE_CTC] = step_ctc,
    [SN_TOK_DECODE_REPLACE] = step_replace,
    [SN_TOK_DECODE_REPLACE_REGEX] = step_replace,
    [SN_TOK_DECODE_STRIP] = step_strip,
    [SN_TOK_DECODE_FALLBACK] = step_fallback,
};

/* ---- the list ----------------------------------------------------------------------------------------- */

void sn_tok_decode_init(SnTokDecodeWork *w, void *work, size_t n, size_t size)
{
    uint32_t *end = work;
    uint8_t *text = (uint8_t *)(end + 2 * (n + 1));
    w->a = (SnTokStrings){.text = text, .end = end, .max = n + 1, .room = size};
    w->b = (SnTokStrings){.text = text + size, .end = end + n + 1, .max = n + 1, .room = size};
}

static void clear_strings(SnTokStrings *s)
{
    s->n = s->size = 0;
    s->is_full = false;
}

/* Runs the first nstep steps; returns the strings they end in. */
static SnTokStrings *run_steps(const SnTokTable *t, SnTokDecodeWork *work, uint32_t nstep)
{
    SnTokStrings *in = &work->a, *to = &work->b;
    for (uint32_t i = 0; i < nstep && !in->is_full; i++) {
        clear_strings(to);
        const Work w = {t, &sn_tok_DECODE(t)[i], in, to};
        steps[w.step->kind](&w);
        SnTokStrings *const swap = in;
        in = to;
        to = swap;
    }
    return in;
}

SnStatus sn_tok_decode_list(const SnTokTable *t, SnTokDecodeWork *work, const int32_t *ids, size_t n,
                            bool skip_special, SnBytes *out, SnError *err)
{
    const SnBytes table = sn_bytes(t, t->size);
    clear_strings(&work->a);
    for (size_t i = 0; i < n; i++) {
        SN_CHECK(ids[i] >= 0, err, SN_EINVAL, "tok_decode: id %" PRId32 " at %zu of a row", ids[i], i);
        const SnBytes token = sn_tokenizer_text(table, (uint32_t)ids[i]);
        if (token.at == NULL || (skip_special && sn_tokenizer_is_special(table, (uint32_t)ids[i])))
            continue;
        put(&work->a, token);
        end_string(&work->a);
    }
    const SnTokStrings *all = run_steps(t, work, sn_tok_count(t, SN_TOK_DECODE));
    SN_CHECK(!all->is_full, err, SN_ESHAPE, "tok_decode: the text needs more than its bound of %zu bytes",
             all->room);
    *out = sn_bytes(all->text, all->size);
    return SN_OK;
}

/* ---- spelling ----------------------------------------------------------------------------------------- */

SnTokSpelling sn_tok_spelling(const SnTokTable *t)
{
    const uint32_t n = sn_tok_count(t, SN_TOK_DECODE);
    SnTokSpelling p = {.is_possible = n > 0};
    bool is_one = false;
    for (uint32_t i = 0; i < n; i++) {
        const SnTokDecodeStep *s = &sn_tok_DECODE(t)[i];
        if (is_one || p.end == SN_TOK_DECODE_FALLBACK) {
            p.is_possible &= s->kind == SN_TOK_DECODE_FUSE || (s->kind == SN_TOK_DECODE_STRIP && is_one);
            is_one = true;
            continue;
        }
        is_one =
            s->kind == SN_TOK_DECODE_FUSE || s->kind == SN_TOK_DECODE_JOIN || s->kind == SN_TOK_DECODE_BYTES;
        if (is_one || s->kind == SN_TOK_DECODE_FALLBACK)
            p.end = s->kind;
        p.nstep += p.end == 0;
        p.is_possible &= s->kind != SN_TOK_DECODE_CTC;
        p.odd_first |= s->kind == SN_TOK_DECODE_JOIN || s->kind == SN_TOK_DECODE_WORDPIECE ||
                       (s->kind == SN_TOK_DECODE_METASPACE && (s->flags & SN_TOK_DECODE_PREFIXED));
        p.odd_last |= s->kind == SN_TOK_DECODE_BPE;
    }
    const bool has_bytes = p.end == SN_TOK_DECODE_BYTES || p.end == SN_TOK_DECODE_FALLBACK;
    p.is_possible &= p.odd_first + p.odd_last + has_bytes < 2;
    return p;
}

/* The step that ends spelling, in place; there is room for a byte more. */
static SnBytes end_spelling(const SnTokSpelling *p, uint8_t *at, size_t n, bool is_behind, bool *is_part)
{
    const int byte = p->end == SN_TOK_DECODE_FALLBACK ? fallback_byte(sn_bytes(at, n)) : -1;
    *is_part = byte >= 0;
    if (byte >= 0) {
        at[0] = (uint8_t)byte;
        return sn_bytes(at, 1);
    }
    if (p->end == SN_TOK_DECODE_BYTES) {
        n = to_bytes(at, n);
    } else if (p->end == SN_TOK_DECODE_JOIN && is_behind) {
        memmove(at + 1, at, n++);
        at[0] = ' ';
    }
    return sn_bytes(at, n);
}

SnBytes sn_tok_spell(const SnTokTable *t, const SnTokSpelling *p, SnTokDecodeWork *work, SnBytes token,
                     SnTokPosition position, bool *is_part)
{
    clear_strings(&work->a);
    if (position == SN_TOK_BEHIND)
        end_string(&work->a);
    put(&work->a, token);
    end_string(&work->a);
    if (position == SN_TOK_BEFORE)
        end_string(&work->a);
    SnTokStrings *all = run_steps(t, work, p->nstep);
    *is_part = false;
    if (all->is_full || all->size == all->room)
        return sn_bytes(NULL, 0);
    const SnBytes s = string_at(all, position == SN_TOK_BEHIND);
    return end_spelling(p, all->text + (s.at - all->text), s.n, position == SN_TOK_BEHIND, is_part);
}

SnBytes sn_tok_strip_ends(const SnTokTable *t, const SnTokSpelling *p, SnBytes text)
{
    for (uint32_t i = p->nstep; i < sn_tok_count(t, SN_TOK_DECODE); i++) {
        const SnTokDecodeStep *s = &sn_tok_DECODE(t)[i];
        if (s->kind == SN_TOK_DECODE_STRIP)
            text = stripped(t, s, text);
    }
    return text;
}

SnBytes sn_tok_spelled(const SnTokTable *t, SnBytes token, bool is_first, void *work, size_t size)
{
    const SnTokSpelling p = sn_tok_spelling(t);
    SnTokDecodeWork w;
    bool is_part;
    sn_tok_decode_init(&w, work, 2, size);
    return p.is_possible && !p.odd_last
               ? sn_tok_spell(t, &p, &w, token, is_first ? SN_TOK_ALONE : SN_TOK_BEHIND, &is_part)
               : sn_bytes(NULL, 0);
}

/* One token into `spell`, which has room for `left` bytes; at NULL: too few. */
static SnBytes fill_one(const SnTokTable *t, const SnTokSpelling *p, SnTokDecodeWork *work, SnBytes token,
                        uint8_t *spell, size_t left, bool *is_part)
{
    if (p->nstep > 0) {
        const SnBytes s =
            sn_tok_spell(t, p, work, token, p->odd_last ? SN_TOK_BEFORE : SN_TOK_BEHIND, is_part);
        if (s.at == NULL || s.n > left)
            return sn_bytes(NULL, 0);
        return sn_bytes(memcpy(spell, s.at, s.n), s.n);
    }
    if (token.n >= left)
        return sn_bytes(NULL, 0);
    memcpy(spell, token.at, token.n);
    return end_spelling(p, spell, token.n, true, is_part);
}

size_t sn_tok_fill_spelling(const SnTokTable *t, void *work, uint32_t *at, uint8_t *spell, size_t size)
{
    const SnBytes table = sn_bytes(t, t->size);
    const SnTokSpelling p = sn_tok_spelling(t);
    SnTokDecodeWork w;
    size_t n = 0;
    sn_tok_decode_init(&w, work, 2, t->facts.token_size + 1);
    for (uint32_t id = 0; p.is_possible && id < t->facts.vocab_size; id++) {
        const SnBytes token = sn_tokenizer_text(table, id);
        bool is_part = false;
        SnBytes s = token;
        if (token.at != NULL)
            s = fill_one(t, &p, &w, token, spell + n, size - n, &is_part);
        if (n > SN_TOK_SPELL_MASK || (token.at != NULL && s.at == NULL))
            return 0;
        at[id] = (uint32_t)n | (token.at == NULL ? SN_TOK_SPELL_NONE : 0) |
                 (is_part ? SN_TOK_SPELL_PART : 0) |
                 (sn_tokenizer_is_special(table, id) ? SN_TOK_SPELL_SPECIAL : 0);
        n += s.n;
    }
    at[t->facts.vocab_size] = (uint32_t)n;
    return p.is_possible && n <= SN_TOK_SPELL_MASK && size - n >= SN_TOK_SPELL_SLACK ? n + SN_TOK_SPELL_SLACK
                                                                                     : 0;
}
