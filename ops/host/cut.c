/* cut.c -- cutting a text fast into words that are independent, and looking for them in the cache.
 *
 * Two kinds of tokenizer allow it: those with one pattern whose matches and gaps are the words, and BPE
 * without a pre-tokenizer. There no merge goes over a place between two characters that no merge joins, so
 * the text is cut at these: such words give the same ids as the whole. A space stands for the sign that takes
 * its place; only the model gets to see that. */
#include "ops/host/encode.h"

enum { BATCH = 128 };

typedef struct Ends { /* of words, one after the other */
    uint32_t n, at[SN_TOK_WALK_ENDS];
} Ends;

static bool is_pattern(const SnTokTable *t, const SnTokSplit *s)
{
    if (s->kind != SN_SPLIT_REGEX || s->behavior != SN_SPLIT_ISOLATED)
        return false;
    const SnTokPattern p = sn_tok_pattern(t, s->arg);
    bool may_be_empty = p.behind != NULL;
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
    if (nstep == 1 && is_pattern(e->t, s))
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

static size_t match_end(const SnTokPattern *p, SnBytes text, size_t at)
{
    SnTokMatcher m = sn_tok_matcher(p, at);
    for (size_t size; m.row != 0 && m.at < text.n; m.at += size) {
        const uint32_t edge = p->edge[m.row + sn_tok_class_at(p, text.at + m.at, text.n - m.at, &size)];
        m.last = edge & 1 ? m.at : m.last;
        m.row = edge >> 1;
    }
    if (m.row != 0 && (p->edge[m.row] & 1))
        m.last = text.n;
    return m.last == SN_TOK_NO_MATCH ? sn_tok_gap_end(p, text, at) : m.last;
}

static void cut_pattern(const SnTokPattern *p, SnBytes text, size_t at, Ends *e)
{
    e->n = sn_tok_walk(p, text, at, e->at);
    const bool is_walk = e->n > 0;
    while (!is_walk && e->n < BATCH && at < text.n) {
        at = match_end(p, text, at);
        e->at[e->n++] = (uint32_t)at;
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

static inline uint32_t code_at(SnBytes text, size_t at, uint32_t space, size_t *size)
{
    *size = text.at[at] < 0x80 ? 1 : sn_tok_char_size(text.at + at, text.n - at);
    const uint32_t code = sn_tok_code_point(text.at + at, *size);
    return code == ' ' ? space : code;
}

static inline bool is_joined(const uint8_t *bits, uint32_t a, uint32_t b)
{
    const uint32_t bit = sn_tok_junction(a, b);
    return bits[bit >> 3] >> (bit & 7) & 1;
}

static void cut_junctions(const SnTokTable *t, SnBytes text, size_t at, Ends *e)
{
    const uint8_t *bits = sn_tok_JUNCTION(t);
    const uint32_t space = sign_of(t).code;
    uint32_t n = 0, last = 0;
    for (size_t begin = at, size; n < BATCH && at < text.n; at += size) {
        const uint32_t code = code_at(text, at, space, &size);
        e->at[n] = (uint32_t)at;
        n += at > begin && !is_joined(bits, last, code);
        last = code;
    }
    if (n < BATCH)
        e->at[n++] = (uint32_t)text.n;
    e->n = n;
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
    size_t n = 0, nspace = w->has_sign;
    for (size_t i = 0; replaces && i < word.n; i++)
        nspace += word.at[i] == ' ';
    if (nspace == 0)
        return word;
    if (word.n > e->room || nspace > (e->room - word.n) / sign.text.n)
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

typedef struct Batch { /* words that the cache may know are fetched all together */
    SnWordKey key[BATCH];
    SnWordFew *set[BATCH]; /* NULL: of a long word, whose hash the key is */
} Batch;

static void fetch(const SnWordCache *c, SnBytes text, size_t at, const uint32_t *end, size_t n, Batch *b)
{
    for (size_t i = 0; i < n; at = end[i++]) {
        if (end[i] - at <= SN_WORD_SHORT) {
            b->key[i] = sn_word_key(text.at + at, end[i] - at, text.n - at);
            b->set[i] = sn_word_set(c, b->key[i]);
            sn_prefetch(b->set[i]);
        } else {
            b->key[i].low = sn_word_hash(sn_bytes(text.at + at, end[i] - at));
            b->set[i] = NULL;
            sn_prefetch(sn_word_line(c, b->key[i].low));
        }
    }
}

/* From word i on, which begins at `at`: gives the cache some words that it does not know; returns how far it
 * looked. */
static size_t learn(const SnTokEncoder *e, SnBytes text, size_t at, const uint32_t *end, size_t i, size_t n)
{
    SnTokGroup g = {.n = 0};
    for (; i < n && g.n < SN_TOK_GROUP; at = end[i++]) {
        const SnBytes word = sn_bytes(text.at + at, end[i] - at);
        bool is_known = word.n > SN_TOK_GROUP_SIZE || sn_word_has(&e->cache, word, text.n - at);
        for (size_t k = 0; k < g.n && !is_known; k++)
            is_known = sn_bytes_equal(g.word[k], word);
        if (!is_known)
            g.word[g.n++] = word;
    }
    sn_tok_group_bpe(e->t, &g);
    for (size_t k = 0; k < g.n; k++)
        if (g.count[k] != SIZE_MAX)
            sn_word_keep(&e->cache, g.word[k], g.id[k], g.count[k]);
    return i;
}

/* Puts the words that the cache knows up to one that it does not; returns how many. */
static size_t put_known(const SnWordCache *c, SnBytes text, size_t at, const Batch *b, const uint32_t *end,
                        size_t i, size_t n, SnTokSink *out)
{
    size_t nid = out->n;
    for (; i < n && out->max - nid >= SN_WORD_MOST; at = end[i++]) {
        const SnBytes word = sn_bytes(text.at + at, end[i] - at);
        const SnWordFew *few = b->set[i] != NULL ? sn_word_find(c, b->set[i], b->key[i]) : NULL;
        size_t count;
        if (few != NULL)
            count = sn_word_put(few, out->id + nid);
        else
            count = sn_word_copy_long(c, b->set[i] == NULL ? b->key[i].low : sn_word_hash(word), word,
                                      out->id + nid, out->max - nid);
        if (count == SIZE_MAX)
            break;
        nid += count;
    }
    out->n = nid;
    return i;
}

static SnStatus put_words(SnTokEncoder *e, SnTokWords *w, SnTokSink *out, const uint32_t *end, size_t n,
                          SnError *err)
{
    const SnBytes text = w->split.text;
    const Sign sign = w->cut == SN_TOK_CUT_JUNCTIONS ? sign_of(e->t) : (Sign){.code = ' '};
    const bool learns =
        e->cache.few != NULL && w->cut == SN_TOK_CUT_PATTERN && e->t->model == SN_TOK_BPE && !e->in_unit;
    size_t learnt = 0;
    Batch b;
    if (e->cache.few != NULL)
        fetch(&e->cache, text, w->cut_at, end, n, &b);
    for (size_t i = 0; i < n; i++) {
        w->has_sign = w->cut_at == 0 && takes_sign(w, &sign, text);
        if (e->cache.few != NULL && !w->has_sign) {
            const size_t known = put_known(&e->cache, text, w->cut_at, &b, end, i, n, out);
            w->cut_at = known > i ? end[known - 1] : w->cut_at;
            i = known;
        }
        if (i == n)
            break;
        w->word = (SnTokEvent){w->cut_at, end[i], false};
        w->cut_at = end[i];
        if (learns && i >= learnt)
            learnt = learn(e, text, w->word.begin, end, i, n);
        SN_TRY(sn_tok_words_one(e, w, out, err));
    }
    return SN_OK;
}

/* ---- lines: where spaces are few, most words are one character, and a line may be known as a whole ------
 */

static bool may_cut(const SnTokTable *t, SnBytes text, size_t at)
{
    const uint32_t space = sign_of(t).code;
    size_t last = at - 1, size;
    if (sn_tok_is_tail(text.at[at]))
        return false;
    while (sn_tok_is_tail(text.at[last]))
        last--;
    return !is_joined(sn_tok_JUNCTION(t), code_at(text, last, space, &size), code_at(text, at, space, &size));
}

/* The line that begins at `at`, or a part of it; {NULL, 0}: it is not worth it. */
static SnBytes line_at(const SnTokTable *t, SnBytes text, size_t at)
{
    enum { LEAST = 16, MOST = 2048, SPACES = 1, JOINED = 64 };
    const size_t left = text.n - at, most = left < MOST ? left : MOST;
    const uint8_t *const p = text.at + at, *newline = memchr(p, '\n', most);
    const size_t least = newline != NULL ? (size_t)(newline - p) + 1 : most;
    uint8_t nspace = 0;
    for (size_t i = 0; i < LEAST && least >= LEAST; i++)
        nspace = (uint8_t)(nspace + (p[i] == ' '));
    if (least < LEAST || nspace > SPACES)
        return sn_bytes(NULL, 0);
    for (size_t n = least; n < least + JOINED; n++)
        if (n == left || may_cut(t, text, at + n))
            return sn_bytes(p, n);
    return sn_bytes(NULL, 0);
}

/* Begins a line, if there is none; true: it is known, and was put. */
static bool put_line(const SnTokEncoder *e, SnTokWords *w, SnTokSink *out)
{
    if (w->line_end > 0 || e->cache.few == NULL || e->in_unit || w->cut_at == 0)
        return false;
    const SnBytes line = line_at(e->t, w->split.text, w->cut_at);
    if (line.n == 0)
        return false;
    const size_t end = w->cut_at + line.n;
    const size_t n =
        sn_word_copy_long(&e->cache, sn_word_hash(line), line, out->id + out->n, out->max - out->n);
    if (n != SIZE_MAX) {
        out->n += n;
        w->cut_at = end;
        return true;
    }
    w->line = w->cut_at;
    w->line_end = end;
    w->line_id = out->n;
    return false;
}

static void keep_line(const SnTokEncoder *e, SnTokWords *w, const SnTokSink *out)
{
    if (w->line_end == 0 || w->cut_at < w->line_end)
        return;
    sn_word_keep(&e->cache, sn_bytes(w->split.text.at + w->line, w->line_end - w->line), out->id + w->line_id,
                 out->n - w->line_id);
    w->line_end = 0;
}

SnStatus sn_tok_cut_run(SnTokEncoder *e, SnTokWords *w, SnTokSink *out, SnError *err)
{
    const bool has_pattern = w->cut == SN_TOK_CUT_PATTERN;
    SnTokPattern p = has_pattern ? sn_tok_pattern(e->t, w->split.step[0].arg) : (SnTokPattern){0};
    const SnBytes text = w->split.text;
    Ends ends;
    p.has_v3 = e->h->has_v3;
    if (w->in_word)
        SN_TRY(sn_tok_words_one(e, w, out, err));
    for (keep_line(e, w, out); w->cut_at < text.n; keep_line(e, w, out)) {
        const size_t begin = w->cut_at;
        ends.n = 0;
        if (has_pattern)
            cut_pattern(&p, text, begin, &ends);
        else if (!put_line(e, w, out))
            cut_junctions(e->t, sn_bytes(text.at, w->line_end > 0 ? w->line_end : text.n), begin, &ends);
        for (uint32_t i = 0, n; i < ends.n; i += n) {
            n = ends.n - i < BATCH ? ends.n - i : BATCH;
            SN_TRY(put_words(e, w, out, ends.at + i, n, err));
        }
        if (sn_tok_due(&e->clock, w->cut_at - begin))
            return SN_AGAIN;
    }
    return SN_OK;
}

/* ---- words alone -------------------------------------------------------------------------------------- */

static bool each_match(const SnTokPattern *p, SnBytes text, SnTokWordFn *put, void *self)
{
    Ends ends;
    for (size_t at = 0; at < text.n;) {
        cut_pattern(p, text, at, &ends);
        for (uint32_t i = 0; i < ends.n; at = ends.at[i++])
            if (!put(self, sn_bytes(text.at + at, ends.at[i] - at)))
                return false;
    }
    return true;
}

bool sn_tok_each_word(const SnTokTable *t, SnBytes text, void *work, size_t room, SnTokWordFn *put,
                      void *self)
{
    uint8_t *own = (uint8_t *)work + 24 * room;
    SnTokNorm norm;
    sn_tok_norm_init(&norm, t, work, room, false);
    if (norm.nstep > 0 && !(norm.keeps_ascii && sn_tok_ascii(text))) {
        SnTokOut out = {.text = own, .max_text = room};
        for (SnTokPlace at = {0, 0}; at.byte < text.n;)
            if (!sn_tok_norm_run(&norm, text.at, &at, text.n, &out))
                return false;
        text = sn_bytes(own, out.ntext);
    }
    SnTokClock clock = {0};
    SnTokSplitter s = {.t = t,
                       .step = sn_tok_SPLIT(t),
                       .nstep = sn_tok_count(t, SN_TOK_SPLIT),
                       .ascii = sn_tok_ASCII(t) + 128,
                       .clock = &clock,
                       .signed_text = own + room,
                       .signed_room = room,
                       .made = work};
    if (s.nstep == 1 && is_pattern(t, s.step)) {
        const SnTokPattern p = sn_tok_pattern(t, s.step->arg);
        return each_match(&p, text, put, self);
    }
    SnTokEvent word;
    SnTokSplitResult r;
    sn_tok_split_begin(&s, text, true);
    while ((r = sn_tok_split_next(&s, &word)) == SN_TOK_SPLIT_WORD)
        if (word.end > word.begin && !put(self, sn_bytes(s.text.at + word.begin, word.end - word.begin)))
            return false;
    return r == SN_TOK_SPLIT_END;
}
