/* cut.c -- cutting a text fast into words that are independent, and looking for them in the cache.
 *
 * Two kinds of tokenizer allow it: those with one pattern whose matches and gaps are the words, and BPE
 * without a pre-tokenizer. There no merge goes over a place between two characters that no merge joins, so
 * the text is cut at these: such words give the same ids as the whole. A space stands for the sign that takes
 * its place; only the model gets to see that. */
#include "ops/host/encode.h"

enum { BATCH = 128 };

typedef struct Batch {
    uint32_t n;
    size_t end[BATCH + 1];
    uint64_t hash[BATCH];
} Batch;

static bool is_pattern(const SnTokEncoder *e, const SnTokSplit *s)
{
    if (s->kind != SN_SPLIT_REGEX || s->behavior != SN_SPLIT_ISOLATED)
        return false;
    const SnTokPattern p = sn_tok_pattern(e->t, s->arg);
    bool may_be_empty = false;
    for (uint32_t class = 0; class < p.nclass; class ++)
        may_be_empty |= p.edge[p.nclass + class] & 1;
    return !may_be_empty;
}

SnTokCut sn_tok_cut_kind(const SnTokEncoder *e)
{
    const uint32_t nstep = sn_tok_count(e->t, SN_TOK_SPLIT);
    const SnTokSplit *s = sn_tok_SPLIT(e->t);
    if (e->places || nstep > 1)
        return SN_TOK_CUT_NOT;
    if (nstep == 1 && is_pattern(e, s))
        return SN_TOK_CUT_PATTERN;
    return e->t->model == SN_TOK_BPE && sn_tok_count(e->t, SN_TOK_JUNCTION) > 0 &&
                   (nstep == 0 || s->kind == SN_SPLIT_SIGN)
               ? SN_TOK_CUT_JUNCTIONS
               : SN_TOK_CUT_NOT;
}

void sn_tok_cut_begin(SnTokWords *w, const SnTokStretch *s)
{
    w->split.text = sn_bytes(s->at, s->n);
    w->is_first = s->is_first;
}

/* ---- ends of words: of those from `at` on, as many as a batch has room for ------------------------------
 */

static void cut_pattern(const SnTokPattern *p, SnBytes text, size_t at, Batch *b)
{
    for (b->n = 0; b->n < BATCH && at < text.n; b->end[b->n++] = at) {
        SnTokMatcher m = sn_tok_matcher(p, at);
        for (size_t size; m.row != 0 && m.at < text.n; m.at += size) {
            const uint32_t edge = p->edge[m.row + sn_tok_class_at(p, text.at + m.at, text.n - m.at, &size)];
            m.last = edge & 1 ? m.at : m.last;
            m.row = edge >> 1;
        }
        if (m.row != 0 && (p->edge[m.row] & 1))
            m.last = text.n;
        if (m.last == SN_TOK_NO_MATCH)
            m.last = sn_tok_gap_end(p, text, at);
        at = m.last;
    }
}

typedef struct Sign {
    SnBytes text;
    uint32_t code, how; /* code: what a space stands for */
} Sign;

static Sign sign_of(const SnTokTable *t)
{
    const SnTokSplit *s = sn_tok_SPLIT(t);
    if (sn_tok_count(t, SN_TOK_SPLIT) == 0)
        return (Sign){.code = ' '};
    const SnBytes text = sn_bytes(sn_tok_POOL(t) + s->at, s->size);
    const uint32_t code = sn_tok_code_point(text.at, text.n);
    return (Sign){text, s->arg & SN_SIGN_REPLACES ? code : ' ', s->arg};
}

static void cut_junctions(const SnTokTable *t, SnBytes text, size_t at, Batch *b)
{
    const uint8_t *bits = sn_tok_JUNCTION(t);
    const uint32_t space = sign_of(t).code;
    uint32_t n = 0, last = 0;
    for (size_t begin = at, size; n < BATCH && at < text.n; at += size) {
        size = text.at[at] < 0x80 ? 1 : sn_tok_char_size(text.at + at, text.n - at);
        uint32_t code = sn_tok_code_point(text.at + at, size);
        code = code == ' ' ? space : code;
        const uint32_t bit = sn_tok_junction(last, code);
        b->end[n] = at;
        n += at > begin && !(bits[bit >> 3] >> (bit & 7) & 1);
        last = code;
    }
    if (n < BATCH)
        b->end[n++] = text.n;
    b->n = n;
}

/* ---- the sign ----------------------------------------------------------------------------------------- */

static bool takes_sign(const SnTokWords *w, const Sign *sign, SnBytes text)
{
    if (!(sign->how & SN_SIGN_PREPENDS))
        return false;
    const bool is_there = (text.n >= sign->text.n && memcmp(text.at, sign->text.at, sign->text.n) == 0) ||
                          ((sign->how & SN_SIGN_REPLACES) && text.at[0] == ' ');
    return (!is_there || (sign->how & SN_SIGN_ALWAYS)) && (!(sign->how & SN_SIGN_FIRST) || w->is_first);
}

SnBytes sn_tok_cut_word(const SnTokEncoder *e, SnTokWords *w, SnBytes word)
{
    const Sign sign = sign_of(e->t);
    const bool replaces = sign.how & SN_SIGN_REPLACES;
    size_t n = 0;
    if (!w->has_sign && (!replaces || memchr(word.at, ' ', word.n) == NULL))
        return word;
    if (word.n + 1 > e->room / sign.text.n)
        return sn_bytes(NULL, 0);
    if (w->has_sign) {
        memcpy(e->signed_text, sign.text.at, sign.text.n);
        n = sign.text.n;
    }
    for (size_t i = 0; i < word.n; i++) {
        const bool is_space = replaces && word.at[i] == ' ';
        const SnBytes s = is_space ? sign.text : sn_bytes(&word.at[i], 1);
        memcpy(e->signed_text + n, s.at, s.n);
        n += s.n;
    }
    return sn_bytes(e->signed_text, n);
}

/* ---- ids ---------------------------------------------------------------------------------------------- */

/* The words that the cache may know are fetched all together. */
static void fetch(const SnTokCache *c, SnBytes text, size_t at, Batch *b)
{
    for (uint32_t i = 0; i < b->n; at = b->end[i++]) {
        const size_t n = b->end[i] - at;
        if (n > SN_WORD_SHORT)
            continue;
        const SnTokKey k = sn_tok_key(text.at + at, n, text.n - at);
        b->hash[i] = sn_tok_key_hash(&k);
        __builtin_prefetch(&c->few[2 * (b->hash[i] & c->few_mask)]);
        __builtin_prefetch(&c->few[2 * (b->hash[i] & c->few_mask) + 1]);
    }
}

static SnStatus put_batch(SnTokEncoder *e, SnTokWords *w, SnTokSink *out, const Batch *b, SnError *err)
{
    const SnBytes text = w->split.text;
    const Sign sign = w->cut == SN_TOK_CUT_JUNCTIONS ? sign_of(e->t) : (Sign){.code = ' '};
    for (uint32_t i = 0; i < b->n; i++) {
        const size_t at = w->cut_at, n = b->end[i] - at;
        const SnTokShort *known = NULL;
        w->has_sign = at == 0 && takes_sign(w, &sign, text);
        if (n <= SN_WORD_SHORT && e->cache.few != NULL && out->max - out->n > SN_WORD_IDS && !w->has_sign) {
            const SnTokKey k = sn_tok_key(text.at + at, n, text.n - at);
            known = sn_tok_cache_find(&e->cache, b->hash[i], &k, n);
        }
        w->cut_at = b->end[i];
        if (known != NULL) {
            memcpy(out->id + out->n, known->id, (SN_WORD_IDS + 1) * sizeof *out->id);
            out->n += known->count;
            continue;
        }
        w->word = (SnTokEvent){at, b->end[i], false};
        SN_TRY(sn_tok_words_one(e, w, out, err));
    }
    return SN_OK;
}

SnStatus sn_tok_cut_run(SnTokEncoder *e, SnTokWords *w, SnTokSink *out, SnError *err)
{
    const bool has_pattern = w->cut == SN_TOK_CUT_PATTERN;
    const SnTokPattern p = has_pattern ? sn_tok_pattern(e->t, w->split.step[0].arg) : (SnTokPattern){0};
    const SnBytes text = w->split.text;
    Batch b;
    if (w->in_word)
        SN_TRY(sn_tok_words_one(e, w, out, err));
    while (w->cut_at < text.n) {
        const size_t begin = w->cut_at;
        if (has_pattern)
            cut_pattern(&p, text, begin, &b);
        else
            cut_junctions(e->t, text, begin, &b);
        if (e->cache.few != NULL)
            fetch(&e->cache, text, begin, &b);
        SN_TRY(put_batch(e, w, out, &b, err));
        if (sn_tok_due(&e->clock, w->cut_at - begin))
            return SN_AGAIN;
    }
    return SN_OK;
}
