/* split.c -- the pre-tokenizer: patterns, and a text to words.
 *
 * A pre-tokenizer is a row of steps; each takes a stretch of text, finds what delimits and says what becomes
 * of it. The steps are nested generators: each cuts what the one above it gives, one stretch at a time.
 * Within a step, events (a delimiter, or what lies between two) become parts as its behavior says. */
#include "ops/host/split.h"

/* ---- patterns ----------------------------------------------------------------------------------------- */

SnTokPattern sn_tok_pattern(const SnTokTable *t, uint32_t regex)
{
    const SnTokRegex *r = &sn_tok_REGEX(t)[regex];
    const uint8_t *class = sn_tok_CLASS(t) + r->classes;
    const uint16_t *block = sn_tok_BLOCK(t) + r->blocks;
    const uint32_t *edge = sn_tok_EDGE(t), *behind = r->nbehind > 0 ? edge + r->passes : NULL;
    return (SnTokPattern){.block = block,
                          .class = class,
                          .ascii = class + 128 * (size_t)block[0],
                          .edge = edge + r->edges,
                          .walk = r->nwalk > 0 ? edge + r->walks : NULL,
                          .pair = r->npair > 0 ? edge + r->pairs : NULL,
                          .nclass = r->nclass,
                          .behind = behind,
                          .ahead = behind != NULL ? behind + (size_t)r->nread * r->nbehind : NULL};
}

bool sn_tok_match_on(const SnTokPattern *p, SnBytes text, SnTokMatcher *m, SnTokClock *clock)
{
    enum { STRETCH = 4096 };
    while (m->row != 0 && m->at < text.n) {
        const size_t begin = m->at, stop = text.n - m->at < STRETCH ? text.n : m->at + STRETCH;
        for (size_t size; m->row != 0 && m->at < stop; m->at += size) {
            uint32_t class = sn_tok_class_at(p, text.at + m->at, text.n - m->at, &size);
            class = p->made != NULL ? p->made[m->at] : class;
            const uint32_t edge = p->edge[m->row + class];
            m->last = edge & 1 ? m->at : m->last;
            m->row = edge >> 1;
        }
        if (clock != NULL && sn_tok_due(clock, m->at - begin))
            return false;
    }
    if (m->row != 0 && (p->edge[m->row + (p->made != NULL ? p->made[text.n] : 0)] & 1))
        m->last = text.n;
    m->row = 0;
    return true;
}

/* The passes over text from `begin` on; false: out of time. */
static bool run_passes(const SnTokPattern *p, SnBytes text, size_t begin, uint8_t *made, SnTokPass *s,
                       SnTokClock *clock)
{
    enum { BITS = SN_TOK_PASS_BITS, CLASS = (1 << BITS) - 1 };
    while (!s->is_back) {
        size_t size = 1;
        const bool is_end = s->at == text.n;
        const uint32_t class = is_end ? 0 : sn_tok_class_at(p, text.at + s->at, text.n - s->at, &size),
                       edge = p->behind[s->row + class];
        made[s->at] = edge & CLASS;
        *s = is_end ? (SnTokPass){s->at, 0, true, false}
                    : (SnTokPass){s->at + size, edge >> BITS, false, false};
        if (sn_tok_due(clock, size))
            return false;
    }
    while (!s->is_done) {
        const uint32_t edge = p->ahead[s->row + made[s->at]];
        made[s->at] = edge & CLASS;
        s->row = edge >> BITS;
        s->is_done = s->at == begin;
        while (s->at > begin && sn_tok_is_tail(text.at[--s->at]))
            ;
        if (sn_tok_due(clock, 1))
            return false;
    }
    return true;
}

size_t sn_tok_gap_end(const SnTokPattern *p, SnBytes text, size_t at)
{
    SnTokMatcher m;
    do {
        at += sn_tok_char_size(text.at + at, text.n - at);
        m = sn_tok_matcher(p, at);
        (void)sn_tok_match_on(p, text, &m, NULL);
    } while (at < text.n && m.last == SN_TOK_NO_MATCH);
    return at;
}

size_t sn_tok_match(const SnTokTable *t, uint32_t regex, SnBytes text, size_t at)
{
    const SnTokPattern p = sn_tok_pattern(t, regex);
    SnTokMatcher m = sn_tok_matcher(&p, at);
    (void)sn_tok_match_on(&p, text, &m, NULL);
    return m.last;
}

/* ---- events ------------------------------------------------------------------------------------------- */

typedef enum Next { GOT, NO_MORE, OUT_OF_TIME } Next;

static inline bool is_delimiter(const SnTokSplitter *s, uint32_t step, const uint8_t *p, size_t left,
                                size_t *size)
{
    if (*p < 0x80) {
        *size = 1;
        return s->ascii[*p] >> step & 1;
    }
    *size = sn_tok_char_size(p, left);
    const uint32_t cp = sn_tok_code_point(p, *size);
    return (sn_code_class(cp)->flags & s->step[step].flags) != 0 || cp == s->step[step].code_point;
}

static Next class_event(SnTokSplitter *s, uint32_t step, SnTokLevel *l, SnTokEvent *e)
{
    size_t size = 0;
    const uint8_t *text = s->text.at;
    while (l->scan < l->end && !is_delimiter(s, step, text + l->scan, l->end - l->scan, &size)) {
        l->scan += size;
        if (sn_tok_due(s->clock, size))
            return OUT_OF_TIME;
    }
    *e = (SnTokEvent){l->at, l->scan, false};
    if (l->scan == l->at) {
        l->scan += size;
        *e = (SnTokEvent){l->at, l->scan, true};
    }
    l->at = l->scan;
    return GOT;
}

/* Matches as Oniguruma lists them: an empty one right behind another is none. */
static Next regex_event(SnTokSplitter *s, uint32_t step, SnTokLevel *l, SnTokEvent *e)
{
    SnTokPattern p = sn_tok_pattern(s->t, s->step[step].arg);
    const SnBytes text = sn_bytes(s->text.at, l->end);
    uint8_t *made = s->made + step * s->signed_room;
    if (p.behind != NULL && !run_passes(&p, text, l->begin, made, &l->pass, s->clock))
        return OUT_OF_TIME;
    p.made = p.behind != NULL ? made : NULL;
    while (!l->found) {
        if (!l->runs)
            l->matcher = sn_tok_matcher(&p, l->scan);
        l->runs = !sn_tok_match_on(&p, text, &l->matcher, s->clock);
        if (l->runs)
            return OUT_OF_TIME;
        const size_t end = l->matcher.last;
        l->found = end != SN_TOK_NO_MATCH && !(end == l->scan && l->after_match);
        if (l->found)
            break;
        if (l->scan == l->end)
            break;
        l->scan += sn_tok_char_size(text.at + l->scan, l->end - l->scan);
        l->after_match = false;
        if (sn_tok_due(s->clock, 4))
            return OUT_OF_TIME;
    }
    if (l->scan > l->at || !l->found) {
        *e = (SnTokEvent){l->at, l->scan, false};
        l->at = l->scan;
        return GOT;
    }
    *e = (SnTokEvent){l->scan, l->matcher.last, true};
    l->at = l->scan = l->matcher.last;
    l->found = false;
    l->after_match = true;
    return GOT;
}

static Next whole_event(SnTokLevel *l, SnTokEvent *e)
{
    *e = (SnTokEvent){l->at, l->end, false};
    l->at = l->end;
    return GOT;
}

static Next fixed_event(SnTokSplitter *s, uint32_t step, SnTokLevel *l, SnTokEvent *e)
{
    for (uint32_t i = 0; i < s->step[step].arg && l->scan < l->end; i++)
        l->scan += sn_tok_char_size(s->text.at + l->scan, l->end - l->scan);
    *e = (SnTokEvent){l->at, l->scan, false};
    l->at = l->scan;
    return GOT;
}

static Next next_event(SnTokSplitter *s, uint32_t step, SnTokLevel *l, SnTokEvent *e)
{
    if (l->at == l->end && !l->found)
        return NO_MORE;
    const SnTokSplit *k = &s->step[step];
    const Next n = k->kind == SN_SPLIT_CLASS   ? class_event(s, step, l, e)
                   : k->kind == SN_SPLIT_REGEX ? regex_event(s, step, l, e)
                   : k->kind == SN_SPLIT_FIXED ? fixed_event(s, step, l, e)
                                               : whole_event(l, e);
    e->is_match ^= n == GOT && k->inverts;
    return n;
}

/* ---- parts -------------------------------------------------------------------------------------------- */

/* May the event after one join it? */
static bool joins(uint32_t behavior, const SnTokEvent *e, const SnTokEvent *next)
{
    switch (behavior) {
    case SN_SPLIT_CONTIGUOUS:
        return e->is_match == next->is_match;
    case SN_SPLIT_WITH_PREVIOUS:
        return !e->is_match && next->is_match;
    case SN_SPLIT_WITH_NEXT:
        return e->is_match && !next->is_match;
    default:
        return false;
    }
}

/* The next part of the stretch of a level, in l->now. Where time runs out, what was read stays there. */
static Next next_part(SnTokSplitter *s, uint32_t step, SnTokLevel *l)
{
    const uint32_t behavior = s->step[step].behavior;
    for (;;) {
        if (!l->has_now && l->has_next) {
            l->now = l->next;
            l->has_now = true;
            l->has_next = false;
        }
        if (!l->has_now) {
            const Next n = next_event(s, step, l, &l->now);
            if (n != GOT)
                return n;
            l->has_now = true;
        }
        if (behavior == SN_SPLIT_REMOVED && l->now.is_match) {
            l->has_now = false;
            continue;
        }
        while (behavior >= SN_SPLIT_WITH_PREVIOUS) {
            if (!l->has_next) {
                const Next n = next_event(s, step, l, &l->next);
                if (n == OUT_OF_TIME)
                    return n;
                l->has_next = n == GOT;
            }
            if (!l->has_next || !joins(behavior, &l->now, &l->next))
                break;
            l->now.end = l->next.end;
            l->has_next = false;
            if (behavior != SN_SPLIT_CONTIGUOUS)
                break;
        }
        l->has_now = false;
        return GOT;
    }
}

/* ---- the sign ----------------------------------------------------------------------------------------- */

/* Writes a part with its sign to the splitter's own text, which the levels below it cut. */
static bool put_sign(SnTokSplitter *s, const SnTokSplit *k, SnTokEvent part)
{
    const uint8_t *sign = sn_tok_POOL(s->t) + k->at, *from = s->text.at + part.begin;
    const size_t n = part.end - part.begin;
    uint8_t *to = s->signed_text;
    size_t nspace = 0;
    for (size_t i = 0; i < n && (k->arg & SN_SIGN_REPLACES); i++)
        nspace += from[i] == ' ';
    if (n > s->signed_room || (1 + nspace) * (size_t)k->size > s->signed_room - n)
        return false;
    const bool is_there = (n >= k->size && memcmp(from, sign, k->size) == 0) ||
                          ((k->arg & SN_SIGN_REPLACES) && n > 0 && from[0] == ' ');
    s->has_sign = (k->arg & SN_SIGN_PREPENDS) && (!is_there || (k->arg & SN_SIGN_ALWAYS)) && n > 0 &&
                  (!(k->arg & SN_SIGN_FIRST) || (part.begin == 0 && s->is_first));
    if (s->has_sign) {
        memcpy(to, sign, k->size);
        to += k->size;
    }
    if (!(k->arg & SN_SIGN_REPLACES)) {
        memcpy(to, from, n);
        to += n;
    }
    for (size_t i = 0; i < n && (k->arg & SN_SIGN_REPLACES); i++) {
        if (from[i] != ' ') {
            *to++ = from[i];
            continue;
        }
        memcpy(to, sign, k->size);
        to += k->size;
    }
    s->is_signed = true;
    s->turn++;
    s->plain = s->text;
    s->signed_begin = part.begin;
    s->text = sn_bytes(s->signed_text, (size_t)(to - s->signed_text));
    return true;
}

/* ---- words -------------------------------------------------------------------------------------------- */

/* Gives a part to the next step. */
static void push(SnTokSplitter *s, SnTokEvent part)
{
    const SnTokSplit *k = &s->step[s->depth];
    if (k->kind == SN_SPLIT_SIGN) {
        s->is_full |= !put_sign(s, k, part);
        if (s->is_full)
            return;
        part = (SnTokEvent){0, s->text.n, false};
    }
    s->is_full |= part.end >= s->signed_room && sn_tok_has_passes(s->t, k);
    s->level[s->depth++] = (SnTokLevel){
        .begin = part.begin, .at = part.begin, .scan = part.begin, .end = part.end, .pass.at = part.begin};
}

static void pop(SnTokSplitter *s)
{
    if (s->step[--s->depth].kind == SN_SPLIT_SIGN)
        s->text = s->plain;
}

void sn_tok_split_begin(SnTokSplitter *s, SnBytes text, bool is_first)
{
    s->text = text;
    s->is_first = is_first;
    s->depth = 0;
    s->is_full = false;
    s->is_whole = s->nstep == 0 && text.n > 0;
    if (s->nstep > 0)
        push(s, (SnTokEvent){0, text.n, false});
}

SnTokSplitResult sn_tok_split_next(SnTokSplitter *s, SnTokEvent *word)
{
    if (s->is_whole) {
        s->is_whole = false;
        *word = (SnTokEvent){0, s->text.n, false};
        return SN_TOK_SPLIT_WORD;
    }
    while (s->depth > 0 && !s->is_full) {
        SnTokLevel *l = &s->level[s->depth - 1];
        const Next n = next_part(s, s->depth - 1, l);
        if (n == OUT_OF_TIME)
            return SN_TOK_SPLIT_AGAIN;
        if (n == NO_MORE) {
            pop(s);
        } else if (l->now.begin < l->now.end) {
            if (s->depth == s->nstep) {
                *word = l->now;
                return SN_TOK_SPLIT_WORD;
            }
            push(s, l->now);
        }
    }
    return s->is_full ? SN_TOK_SPLIT_FULL : SN_TOK_SPLIT_END;
}

bool sn_tok_has_passes(const SnTokTable *t, const SnTokSplit *s)
{
    return s->kind == SN_SPLIT_REGEX && sn_tok_REGEX(t)[s->arg].nbehind > 0;
}

/* ---- checking ----------------------------------------------------------------------------------------- */

static bool check_pairs(const SnTokTable *t, const SnTokRegex *r)
{
    const uint32_t nedge = sn_tok_count(t, SN_TOK_EDGE), npair = r->npair;
    if (r->nwalk == 0 || r->nclass > 256 || npair != r->nclass * r->nclass || r->pairs > nedge ||
        r->nwalk > (nedge - r->pairs) / npair || r->nwalk > SN_TOK_WALK_PAIRS / npair)
        return false;
    for (uint32_t i = 0; i < npair * r->nwalk; i++) {
        const uint32_t row = sn_tok_EDGE(t)[r->pairs + i] >> 2 * SN_TOK_WALK_BITS;
        if (row % npair != 0 || row / npair >= r->nwalk)
            return false;
    }
    return true;
}

/* The edges of a pass, which makes fewer than nmade classes. */
static bool check_pass(const SnTokTable *t, uint32_t at, uint32_t nclass, uint32_t nstate, uint32_t nmade)
{
    const uint32_t nedge = sn_tok_count(t, SN_TOK_EDGE);
    if (at > nedge || nclass == 0 || nstate == 0 || nstate > (nedge - at) / nclass)
        return false;
    for (uint32_t i = 0; i < nclass * nstate; i++) {
        const uint32_t edge = sn_tok_EDGE(t)[at + i], row = edge >> SN_TOK_PASS_BITS;
        if (row % nclass != 0 || row / nclass >= nstate || (edge & ((1u << SN_TOK_PASS_BITS) - 1)) >= nmade)
            return false;
    }
    return true;
}

static bool check_regex(const SnTokTable *t, const SnTokRegex *r)
{
    const uint32_t nblock = sn_tok_count(t, SN_TOK_BLOCK), nclass = sn_tok_count(t, SN_TOK_CLASS),
                   nedge = sn_tok_count(t, SN_TOK_EDGE);
    if (r->blocks > nblock || nblock - r->blocks < SN_TOK_BLOCKS || r->classes > nclass ||
        r->nblock > (nclass - r->classes) / 128 || r->nclass == 0 || r->nstate == 0 || r->edges > nedge ||
        r->nclass > nedge - r->edges || r->nstate > (nedge - r->edges) / r->nclass - 1)
        return false;
    for (uint32_t i = 0; i < SN_TOK_BLOCKS; i++)
        if (sn_tok_BLOCK(t)[r->blocks + i] >= r->nblock)
            return false;
    for (uint32_t i = 0; i < 128 * r->nblock; i++)
        if (sn_tok_CLASS(t)[r->classes + i] >= (r->nbehind > 0 ? r->nread : r->nclass))
            return false;
    for (uint32_t i = 0; i < r->nclass * (r->nstate + 1); i++) {
        const uint32_t row = sn_tok_EDGE(t)[r->edges + i] >> 1;
        if (row % r->nclass != 0 || row / r->nclass > r->nstate)
            return false;
    }
    if (r->walks > nedge || r->nwalk > (nedge - r->walks) / r->nclass)
        return false;
    for (uint32_t i = 0; i < r->nclass * r->nwalk; i++) {
        const uint32_t row = sn_tok_EDGE(t)[r->walks + i] >> SN_TOK_WALK_BITS;
        if (row % r->nclass != 0 || row / r->nclass >= r->nwalk)
            return false;
    }
    return (r->npair == 0 || check_pairs(t, r)) &&
           (r->nbehind == 0 ||
            (r->nwalk == 0 && check_pass(t, r->passes, r->nread, r->nbehind, r->nmiddle) &&
             check_pass(t, r->passes + r->nread * r->nbehind, r->nmiddle, r->nahead, r->nclass)));
}

static bool check_split(const SnTokTable *t, const SnTokSplit *s)
{
    const uint32_t pool = sn_tok_count(t, SN_TOK_POOL);
    if (s->kind >= SN_SPLIT_NKIND || s->behavior >= SN_SPLIT_NBEHAVIOR || s->inverts > 1)
        return false;
    if (s->kind == SN_SPLIT_SIGN) {
        const SnBytes sign = sn_bytes(sn_tok_POOL(t) + s->at, s->size);
        return s->at <= pool && s->size <= pool - s->at && s->size > 0 && sn_utf8_valid(sign) &&
               sn_utf8_size(sign) == s->size;
    }
    return (s->kind != SN_SPLIT_REGEX || s->arg < sn_tok_count(t, SN_TOK_REGEX)) &&
           (s->kind != SN_SPLIT_FIXED || s->arg > 0);
}

bool sn_tok_check_splits(const SnTokTable *t)
{
    uint32_t nsign = 0;
    for (uint32_t i = 0; i < sn_tok_count(t, SN_TOK_REGEX); i++)
        if (!check_regex(t, &sn_tok_REGEX(t)[i]))
            return false;
    for (uint32_t i = 0; i < sn_tok_count(t, SN_TOK_SPLIT); i++) {
        if (!check_split(t, &sn_tok_SPLIT(t)[i]))
            return false;
        nsign += sn_tok_SPLIT(t)[i].kind == SN_SPLIT_SIGN;
    }
    return nsign <= 1 && sn_tok_count(t, SN_TOK_REGEX) <= SN_TOK_REGEXES;
}
