/* table.c -- writes tokenizer tables. */
#include "frontends/tokenizer/draft.h"
#include "ops/host/normal.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum { BYTES = 256, MOST_SPELLED = 1 << 20 };

/* ---- added tokens ------------------------------------------------------------------------------------- */

uint32_t sn_draft_id(const SnTokDraft *d, SnBytes content)
{
    uint32_t i;
    if (sn_map_get(&d->added_index, content, &i))
        return d->added[i].id;
    return sn_draft_token(d, content);
}

static bool make_room(SnTokDraft *d)
{
    if (d->nadded < d->cap_added)
        return true;
    const uint32_t cap = d->cap_added == 0 ? 16 : 2 * d->cap_added;
    SnDraftToken *more = sn_arena_array(d->arena, cap, sizeof *more);
    if (more == NULL)
        return false;
    if (d->nadded > 0)
        memcpy(more, d->added, d->nadded * sizeof *more);
    d->added = more;
    d->cap_added = cap;
    return true;
}

SnStatus sn_draft_add(SnTokDraft *d, const SnDraftToken *token, SnError *err)
{
    SnDraftToken t = *token;
    if (t.content.n == 0)
        return SN_OK;
    SN_CHECK(t.content.n <= 1 << 16, err, SN_EFORMAT, "added token of %zu bytes", t.content.n);
    t.match = t.content;
    bool ok = make_room(d) && (!t.is_special || sn_map_put(&d->special, t.content, 1));
    uint32_t i = d->nadded;
    t.id = sn_draft_id(d, t.content);
    if (t.id == SN_TOK_NONE)
        t.id = d->next_id++;
    SN_CHECK(t.id < SN_TOK_MAX_IDS, err, SN_EFORMAT, "added token has id %" PRIu32, t.id);
    if (ok && !sn_map_get(&d->added_index, t.content, &i)) {
        i = d->nadded++;
        ok = sn_map_put(&d->added_index, t.content, i);
    }
    SN_CHECK(ok, err, SN_ENOMEM, "no memory for added tokens");
    d->added[i] = t;
    return SN_OK;
}

static const uint8_t element_size[SN_TOK_NSECTION] = {
#define SN_X(NAME, T) [SN_TOK_##NAME] = sizeof(T),
    SN_TOK_SECTIONS(SN_X)
#undef SN_X
};

/* ---- sizes -------------------------------------------------------------------------------------------- */

typedef struct Writer {
    const SnTokDraft *d;
    SnTokTable *t;
    uint32_t pool; /* bytes of it written */
    const SnDraftToken **raw, **normed, **by_id;
    uint32_t nraw, nnormed;
} Writer;

static SnBytes decoded(const SnDraftToken *a)
{
    return a->is_normalized ? a->match : a->content;
}

static int by_match(const void *x, const void *y)
{
    const SnDraftToken *a = *(const SnDraftToken *const *)x, *b = *(const SnDraftToken *const *)y;
    const size_t n = a->match.n < b->match.n ? a->match.n : b->match.n;
    const int order = n == 0 ? 0 : memcmp(a->match.at, b->match.at, n);
    if (order != 0 || a->match.n != b->match.n)
        return order != 0 ? order : a->match.n < b->match.n ? -1 : 1;
    return a->id < b->id ? -1 : a->id > b->id;
}

static uint32_t id_count(const SnTokDraft *d)
{
    uint32_t n = d->nvocab;
    for (uint32_t i = 0; i < d->nadded; i++)
        n = d->added[i].id >= n ? d->added[i].id + 1 : n;
    return n;
}

/* Names that are to be normalised are: by a table that has the normaliser and nothing else. */
static SnStatus normalize_names(const SnTokDraft *d, SnError *err)
{
    bool is_needed = false;
    for (uint32_t i = 0; i < d->nadded; i++)
        is_needed |= d->added[i].is_normalized;
    if (!is_needed || d->nstep == 0)
        return SN_OK;
    SnTokDraft bare = {.arena = d->arena, .kind = SN_TOK_WORDLEVEL, .nstep = d->nstep, .regexes = d->regexes};
    memcpy(bare.step, d->step, sizeof bare.step);
    for (int i = 0; i < SN_TOK_NNAME; i++)
        bare.facts.name[i] = SN_TOK_NONE;
    SnBytes table;
    uint32_t grow;
    SN_TRY(sn_draft_growth(d, &grow, err));
    SN_TRY(sn_draft_write(&bare, d->arena, &table, err));
    for (uint32_t i = 0; i < d->nadded; i++) {
        SnDraftToken *t = &d->added[i];
        const size_t cap = (size_t)grow * t->content.n + SN_TOK_RUN;
        void *scratch = t->is_normalized ? sn_arena_array(d->arena, cap, 24) : NULL;
        uint8_t *out = t->is_normalized ? sn_arena_alloc(d->arena, cap) : NULL;
        if (!t->is_normalized)
            continue;
        SN_CHECK(scratch != NULL && out != NULL, err, SN_ENOMEM, "no memory for added tokens");
        const size_t n = sn_tok_normalize_text((const SnTokTable *)(const void *)table.at, t->content,
                                               scratch, cap, sn_bytes(out, cap));
        SN_CHECK(n != SIZE_MAX, err, SN_EFORMAT, "an added token becomes too long");
        t->match = sn_bytes(out, n);
    }
    return SN_OK;
}

static SnStatus sort_added(Writer *w, SnError *err)
{
    const SnTokDraft *d = w->d;
    SN_TRY(normalize_names(d, err));
    w->raw = sn_arena_array(d->arena, d->nadded + 1, sizeof *w->raw);
    w->normed = sn_arena_array(d->arena, d->nadded + 1, sizeof *w->normed);
    w->by_id = sn_arena_array(d->arena, (size_t)id_count(d) + 1, sizeof *w->by_id);
    SN_CHECK(w->raw != NULL && w->normed != NULL && w->by_id != NULL, err, SN_ENOMEM,
             "no memory for added tokens");
    for (uint32_t i = 0; i < d->nadded; i++) {
        w->by_id[d->added[i].id] = &d->added[i];
        if (d->added[i].is_normalized)
            w->normed[w->nnormed++] = &d->added[i];
        else
            w->raw[w->nraw++] = &d->added[i];
    }
    qsort(w->raw, w->nraw, sizeof(const SnDraftToken *), by_match);
    qsort(w->normed, w->nnormed, sizeof(const SnDraftToken *), by_match);
    return SN_OK;
}

static size_t pool_size(const SnTokDraft *d)
{
    size_t n = d->prefix.n + d->suffix.n + d->sign.n;
    for (uint32_t i = 0; i < d->ndecode; i++)
        n += d->decode[i].text.n + d->decode[i].to.n;
    for (uint32_t i = 0; i < d->nstep; i++)
        n += d->step[i].text.n + d->step[i].to.n;
    for (uint32_t i = 0; i < d->nvocab; i++)
        n += d->vocab[i].n;
    for (uint32_t i = 0; i < d->nadded; i++)
        n += 2 * d->added[i].content.n + d->added[i].match.n;
    return n;
}

static size_t unit_count(const SnTokDraft *d)
{
    size_t n = 0;
    for (uint32_t i = 0; i < d->nstep; i++)
        n += d->step[i].nunit;
    return n;
}

/* Most that the ids can be spelled in. */
static size_t spelling_size(const SnTokDraft *d, size_t nid)
{
    const double growth = sn_draft_decode_growth(d), most = 4;
    return (size_t)((growth < most ? growth : most) * (double)pool_size(d)) + nid + SN_TOK_SPELL_SLACK;
}

static void normal_sizes(const SnTokDraft *d, size_t count[SN_TOK_NSECTION])
{
    uint32_t reads = 0;
    for (uint32_t i = 0; i < d->nstep; i++)
        reads |= sn_tok_norm_reads(d->step[i].kind);
    for (const SnNormalPart *p = sn_normal_parts; p < sn_normal_parts + SN_NORMAL_PARTS; p++)
        count[p->section] = reads & p->reads ? p->count : 0;
}

static SnStatus make_table(Writer *w, SnArena *arena, SnError *err)
{
    const SnTokDraft *d = w->d;
    const size_t nid = id_count(d);
    size_t count[SN_TOK_NSECTION] = {
        [SN_TOK_POOL] = pool_size(d),
        [SN_TOK_TEXT] = nid + 1,
        [SN_TOK_FLAG] = nid,
        [SN_TOK_SLOT] = d->nslot > 0 ? d->nslot : 1,
        [SN_TOK_RAW] = w->nraw,
        [SN_TOK_RAW_FIRST] = 257,
        [SN_TOK_NORMED] = w->nnormed,
        [SN_TOK_NORMED_FIRST] = 257,
        [SN_TOK_NORMALIZE] = d->nstep,
        [SN_TOK_SPLIT] = d->nsplit,
        [SN_TOK_SINGLE] = d->nsingle,
        [SN_TOK_PAIR] = d->npair,
        [SN_TOK_ASCII] = 256,
        [SN_TOK_CHARSMAP] = unit_count(d),
        [SN_TOK_DECODE] = d->ndecode,
        [SN_TOK_TRIE] = d->ntrie,
        [SN_TOK_SCORE] = d->score != NULL ? nid + 1 : 0,
        [SN_TOK_BYTE] = d->score != NULL ? BYTES : 0,
        [SN_TOK_PREFIX] = d->kind == SN_TOK_WORDPIECE ? SN_TOK_PREFIXES / 8 : 0,
        [SN_TOK_WIDTH] = d->nstep + d->nsplit > 0 ? SN_TOK_WIDTHS : 0,
        [SN_TOK_SPELL_AT] = d->ndecode > 0 ? nid + 1 : 0,
        [SN_TOK_SPELL] = d->ndecode > 0 ? spelling_size(d, nid) : 0,
    };
    sn_draft_regex_sizes(d, count);
    sn_draft_bpe_sizes(d, count);
    normal_sizes(d, count);
    size_t at[SN_TOK_NSECTION], size = sizeof(SnTokTable);
    for (int s = 0; s < SN_TOK_NSECTION; s++) {
        SN_CHECK(sn_align_size(size, SN_TOK_ALIGN, &at[s]) && count[s] < UINT32_MAX / 16, err, SN_EFORMAT,
                 "the tokenizer is too large");
        size = at[s] + count[s] * element_size[s];
    }
    SN_CHECK(size <= UINT32_MAX, err, SN_EFORMAT, "the tokenizer is too large");
    uint8_t *bytes = sn_arena_alloc(arena, size + SN_TOK_ALIGN);
    SN_CHECK(bytes != NULL, err, SN_ENOMEM, "no memory for a tokenizer of %zu bytes", size);
    bytes += (SN_TOK_ALIGN - (uintptr_t)bytes % SN_TOK_ALIGN) % SN_TOK_ALIGN;
    w->t = (SnTokTable *)(void *)bytes;
    w->t->size = (uint32_t)size;
    for (int s = 0; s < SN_TOK_NSECTION; s++) {
        w->t->section[s].at = (uint32_t)at[s];
        w->t->section[s].count = (uint32_t)count[s];
    }
    w->t->facts = d->facts;
    w->t->facts.vocab_size = (uint32_t)nid;
    return sn_draft_growth(d, &w->t->facts.grow, err);
}

/* ---- sections ----------------------------------------------------------------------------------------- */

/* The table being written; sn_tok_NAME gives its sections as const. */
static void *section(const Writer *w, SnTokSectionName s)
{
    return (uint8_t *)w->t + w->t->section[s].at;
}

static uint32_t put_text(Writer *w, SnBytes s)
{
    const uint32_t at = w->pool;
    if (s.n > 0)
        memcpy((uint8_t *)section(w, SN_TOK_POOL) + at, s.at, s.n);
    w->pool += (uint32_t)s.n;
    return at;
}

static void put_vocabulary(Writer *w)
{
    const SnTokDraft *d = w->d;
    uint32_t *text = section(w, SN_TOK_TEXT), unused;
    uint8_t *flag = section(w, SN_TOK_FLAG);
    SnTokenizerFacts *facts = &w->t->facts;
    for (uint32_t id = 0; id < facts->vocab_size; id++) {
        const SnDraftToken *a = w->by_id[id];
        const SnBytes model = id < d->nvocab ? d->vocab[id] : sn_bytes(NULL, 0);
        const SnBytes s = model.at != NULL || a == NULL ? model : a->content;
        text[id] = put_text(w, s);
        size_t size = s.n;
        if (model.at != NULL) {
            flag[id] = SN_TOK_IN_MODEL;
        }
        if (a != NULL) {
            flag[id] |= SN_TOK_ADDED;
            flag[id] |= sn_bytes_equal(s, decoded(a)) ? 0 : SN_TOK_RENAMED;
            flag[id] |= sn_map_get(&d->special, decoded(a), &unused) ? SN_TOK_SPECIAL : 0;
            size = decoded(a).n > size ? decoded(a).n : size;
        }
        facts->token_size = size > facts->token_size ? (uint32_t)size : facts->token_size;
    }
    text[facts->vocab_size] = w->pool;
    if (d->nslot > 0)
        memcpy(section(w, SN_TOK_SLOT), d->slot, d->nslot * sizeof *d->slot);
}

static void put_added(Writer *w, SnTokSectionName where, const SnDraftToken *const *all, uint32_t n)
{
    SnTokAdded *out = section(w, where);
    uint32_t *first = section(w, where + 1);
    for (uint32_t i = 0; i < n; i++) {
        const SnDraftToken *a = all[i];
        out[i] = (SnTokAdded){a->id,
                              a->flags,
                              put_text(w, a->match),
                              (uint32_t)a->match.n,
                              put_text(w, a->content),
                              (uint32_t)a->content.n};
        for (uint32_t c = a->match.n > 0 ? a->match.at[0] + 1u : 0; c < 257; c++)
            first[c] = i + 1;
    }
}

static void put_normal(Writer *w)
{
    for (const SnNormalPart *p = sn_normal_parts; p < sn_normal_parts + SN_NORMAL_PARTS; p++)
        memcpy(section(w, p->section), p->at, sn_tok_count(w->t, p->section) * element_size[p->section]);
}

static void put_steps(Writer *w)
{
    const SnTokDraft *d = w->d;
    SnTokNormStep *out = section(w, SN_TOK_NORMALIZE);
    uint32_t *unit = section(w, SN_TOK_CHARSMAP), nunit = 0;
    uint8_t *ascii = section(w, SN_TOK_ASCII);
    for (uint32_t i = 0; i < d->nstep; i++) {
        const SnDraftNorm *s = &d->step[i];
        out[i] = (SnTokNormStep){s->kind, s->at, (uint32_t)s->text.n, 0, (uint32_t)s->to.n, nunit, s->nunit};
        if (s->text.n > 0 && s->kind != SN_NORM_REPLACE_REGEX)
            out[i].at = put_text(w, s->text);
        out[i].to = put_text(w, s->to);
        if (s->nunit > 0)
            memcpy(unit + nunit, s->unit, s->nunit * sizeof *unit);
        nunit += s->nunit;
    }
    sn_tok_fill_ascii(w->t, ascii);
    for (uint32_t c = 0; c < 128; c++)
        for (uint32_t i = 0; i < d->nsplit; i++)
            if ((sn_code_class(c)->flags & d->split[i].flags) || c == d->split[i].code_point)
                ascii[128 + c] |= (uint8_t)(1u << i);
}

/* A sign makes of each byte that it replaces as many as it has, and of a part as many more. */
static void put_splits(Writer *w)
{
    const SnTokDraft *d = w->d;
    SnTokSplit *out = section(w, SN_TOK_SPLIT);
    SnTokenizerFacts *facts = &w->t->facts;
    for (uint32_t i = 0; i < d->nsplit; i++) {
        out[i] = d->split[i];
        if (out[i].kind != SN_SPLIT_SIGN)
            continue;
        out[i].at = put_text(w, d->sign);
        out[i].size = (uint32_t)d->sign.n;
        facts->grow = facts->grow * (out[i].arg & SN_SIGN_REPLACES ? out[i].size : 1) + out[i].size;
    }
}

static void put_decoder(Writer *w)
{
    const SnTokDraft *d = w->d;
    SnTokDecodeStep *out = section(w, SN_TOK_DECODE);
    for (uint32_t i = 0; i < d->ndecode; i++) {
        const SnDraftDecode *s = &d->decode[i];
        out[i] = s->step;
        if (s->step.kind != SN_TOK_DECODE_REPLACE_REGEX)
            out[i].at = put_text(w, s->text);
        out[i].size = (uint32_t)s->text.n;
        out[i].to = put_text(w, s->to);
        out[i].to_size = (uint32_t)s->to.n;
    }
    SnTokenizerFacts *f = &w->t->facts;
    const double size = sn_draft_decode_growth(d) * f->token_size + 1;
    f->token_size = size < INT32_MAX / 2 ? (uint32_t)size : INT32_MAX / 2;
}

/* The last sections: what they do not need is given back. */
static SnStatus put_spelling(Writer *w, SnError *err)
{
    SnTokTable *t = w->t;
    const size_t room = (size_t)t->facts.token_size + 1;
    size_t n = 0;
    if (sn_tok_count(t, SN_TOK_SPELL_AT) > 0 && room <= MOST_SPELLED) {
        void *work = sn_arena_alloc(w->d->arena, SN_TOK_SPELL_WORK(room));
        SN_CHECK(work != NULL, err, SN_ENOMEM, "no memory for tokens of %zu bytes", room);
        n = sn_tok_fill_spelling(t, work, section(w, SN_TOK_SPELL_AT), section(w, SN_TOK_SPELL),
                                 sn_tok_count(t, SN_TOK_SPELL));
    }
    if (n == 0) {
        t->section[SN_TOK_SPELL].at = t->section[SN_TOK_SPELL_AT].at;
        t->section[SN_TOK_SPELL_AT].count = 0;
    }
    t->section[SN_TOK_SPELL].count = (uint32_t)n;
    t->size = t->section[SN_TOK_SPELL].at + (uint32_t)n;
    return SN_OK;
}

static void put_prefixes(Writer *w)
{
    const SnTokDraft *d = w->d;
    uint8_t *bits = section(w, SN_TOK_PREFIX);
    for (uint32_t id = 0; d->kind == SN_TOK_WORDPIECE && id < d->nvocab; id++) {
        uint64_t h = SN_TOK_HASH;
        for (size_t i = 0; i < d->vocab[id].n; i++) {
            h = sn_tok_hash(h, d->vocab[id].at[i]);
            const uint32_t bit = sn_tok_prefix_bit(h);
            bits[bit >> 3] |= (uint8_t)(1u << (bit & 7));
        }
    }
}

static void put_unigram(Writer *w)
{
    const SnTokDraft *d = w->d;
    if (d->score == NULL)
        return;
    double *score = section(w, SN_TOK_SCORE);
    memcpy(score, d->score, d->nvocab * sizeof *score);
    score[w->t->facts.vocab_size] = d->unk_score;
    memcpy(section(w, SN_TOK_TRIE), d->trie, d->ntrie * sizeof *d->trie);
    uint32_t *byte = section(w, SN_TOK_BYTE);
    for (uint32_t i = 0; i < BYTES; i++) {
        char name[8];
        const int n = snprintf(name, sizeof name, "<0x%02X>", i);
        byte[i] = sn_draft_token(d, sn_bytes(name, (size_t)n));
    }
}

static void put_rest(Writer *w)
{
    const SnTokDraft *d = w->d;
    SnTokTable *t = w->t;
    t->magic = SN_TOK_MAGIC;
    t->version = SN_TOK_VERSION;
    t->model = d->kind;
    t->flags = d->flags;
    t->model_flags = d->model_flags;
    t->ntrim = d->ntrim;
    t->trim_prefix = d->trim_prefix;
    t->unk = d->kind == SN_TOK_UNIGRAM ? d->unk_id - 1 : sn_draft_token(d, d->unk);
    t->model_token_size = d->longest;
    t->max_word_chars = d->max_word_chars;
    t->prefix_at = put_text(w, d->prefix);
    t->prefix_size = (uint32_t)d->prefix.n;
    t->suffix_at = put_text(w, d->suffix);
    t->suffix_size = (uint32_t)d->suffix.n;
    put_decoder(w);
    put_unigram(w);
    put_prefixes(w);
    sn_draft_put_regexes(d, section(w, SN_TOK_REGEX), section(w, SN_TOK_BLOCK), section(w, SN_TOK_CLASS),
                         section(w, SN_TOK_EDGE));
    put_normal(w);
    put_steps(w);
    put_splits(w);
    if (t->facts.grow == 1 || !sn_draft_widths(d, t, section(w, SN_TOK_WIDTH)))
        t->section[SN_TOK_WIDTH].count = 0;
    if (d->nsingle > 0)
        memcpy(section(w, SN_TOK_SINGLE), d->single, d->nsingle * sizeof *d->single);
    if (d->npair > 0)
        memcpy(section(w, SN_TOK_PAIR), d->pair, d->npair * sizeof *d->pair);
}

/* A sign before a text and in place of its spaces, as normaliser steps of a BPE that has nothing else: as a
 * step of the pre-tokenizer it costs less, and texts can be cut. */
static void move_sign(SnTokDraft *d)
{
    const SnDraftNorm *last = d->nstep > 0 ? &d->step[d->nstep - 1] : NULL;
    const bool prepends = d->nstep == 2 && d->step[0].kind == SN_NORM_PREPEND;
    if (d->kind != SN_TOK_BPE || d->nsplit > 0 || last == NULL || d->nstep > 1u + prepends ||
        last->kind != SN_NORM_REPLACE || !sn_bytes_equal(last->text, sn_bytes_str(" ")) || last->to.n == 0 ||
        sn_utf8_size(last->to) != last->to.n || (prepends && !sn_bytes_equal(d->step[0].text, last->to)))
        return;
    for (uint32_t i = 0; i < d->nadded; i++)
        if (d->added[i].is_normalized)
            return;
    d->sign = last->to;
    d->split[d->nsplit++] =
        (SnTokSplit){.kind = SN_SPLIT_SIGN,
                     .code_point = SN_TOK_NONE,
                     .arg = SN_SIGN_REPLACES | (prepends ? SN_SIGN_PREPENDS | SN_SIGN_ALWAYS : 0)};
    d->nstep = 0;
}

/* May texts be cut behind white space, before anything is done to them? Where white space parts words anyway,
 * and no step looks over a space that a printing ASCII character follows. */
static bool has_units(const SnTokDraft *d)
{
    static const char *const patterns[] = {" {2,}", " +", "\\s+", "\\s{2,}"};
    const SnTokSplit *first = &d->split[0];
    if (d->nsplit == 0 || first->kind != SN_SPLIT_CLASS || first->flags != SN_CP_SPACE ||
        first->code_point != SN_TOK_NONE || first->behavior != SN_SPLIT_REMOVED || first->inverts)
        return false;
    for (uint32_t i = 0; i < d->nsplit; i++)
        if (d->split[i].kind == SN_SPLIT_SIGN && (d->split[i].arg & SN_SIGN_FIRST))
            return false;
    bool adds_spaces = false;
    for (uint32_t i = 0; i < d->nstep; i++) {
        const SnDraftNorm *s = &d->step[i];
        bool is_known = s->kind != SN_NORM_REPLACE_REGEX;
        adds_spaces |= s->kind == SN_NORM_CJK;
        for (size_t k = 0; k < SN_COUNT(patterns); k++) /* what becomes a space still parts words */
            is_known |= sn_bytes_equal(s->text, sn_bytes_str(patterns[k])) && sn_bytes_is(s->to, " ");
        is_known &= s->kind != SN_NORM_REPLACE || s->text.n > 0;
        for (size_t k = 0; k < s->text.n && s->kind == SN_NORM_REPLACE; k++)
            is_known &= s->text.at[k] > ' ';
        if (!is_known || s->kind == SN_NORM_PREPEND || s->kind == SN_NORM_BYTES ||
            (adds_spaces && s->kind == SN_NORM_REPLACE_REGEX))
            return false;
    }
    return true;
}

SnStatus sn_draft_write(const SnTokDraft *draft, SnArena *arena, SnBytes *table, SnError *err)
{
    SnTokDraft own = *draft;
    SnTokDraft *const d = &own;
    Writer w = {.d = d};
    move_sign(d);
    d->flags |= has_units(d) ? SN_TOK_UNITS : 0;
    SN_TRY(sort_added(&w, err));
    SN_TRY(make_table(&w, arena, err));
    put_vocabulary(&w);
    put_added(&w, SN_TOK_RAW, w.raw, w.nraw);
    put_added(&w, SN_TOK_NORMED, w.normed, w.nnormed);
    put_rest(&w);
    SN_TRY(put_spelling(&w, err));
    SN_TRY(sn_draft_put_bpe(d, w.t, section(&w, SN_TOK_MERGE), section(&w, SN_TOK_MERGED),
                            section(&w, SN_TOK_BYTE), section(&w, SN_TOK_JUNCTION), err));
    *table = sn_bytes(w.t, w.t->size);
    return sn_tokenizer_check(*table, err);
}
