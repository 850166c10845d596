/* words.c -- the words of a stretch of text to ids, and where they are in the text. */
#include "ops/host/encode.h"

static SnStatus full(const SnTokSink *out, SnError *err)
{
    return sn_fail(err, SN_ESHAPE, "tok_encode: ids have more than their bound of %zu", out->max);
}

/* What there is to say of token i but its offsets; text is its own, or {NULL, 0}. */
static bool put_about(SnTokSink *out, size_t i, SnBytes text)
{
    out->word_id[i] = out->word;
    if (out->about == NULL)
        return true;
    if (text.n > out->max_own - out->nown)
        return false;
    int32_t *about = out->about + 3 * i;
    about[0] = out->word;
    about[1] = (int32_t)(out->nown - out->row_own);
    if (text.n > 0)
        memcpy(out->own + out->nown, text.at, text.n);
    out->nown += text.n;
    about[2] = (int32_t)(out->nown - out->row_own);
    out->word_id[i] = out->first_number + (int32_t)(i - out->row_id);
    return true;
}

SnStatus sn_tok_words_put(const SnTokEncoder *e, SnTokSink *out, uint32_t id, SnBytes text, int32_t begin,
                          int32_t end, SnError *err)
{
    if (out->n == out->max)
        return full(out, err);
    if (e->places) {
        sn_tok_trim_own(e->t, text, &begin, &end);
        out->offset[2 * out->n] = begin;
        out->offset[2 * out->n + 1] = end;
        if (!put_about(out, out->n, text))
            return full(out, err);
    }
    out->id[out->n++] = (int32_t)id;
    out->word += !out->is_word;
    return SN_OK;
}

/* ---- places ------------------------------------------------------------------------------------------- */

static int32_t from_of(const SnTokStretch *s, size_t character)
{
    return s->from != NULL ? s->from[character] : s->first + (int32_t)character;
}

/* Unknown text of a Unigram is its own token. */
static bool is_own_text(const SnTokTable *t, int32_t id)
{
    return t->model == SN_TOK_UNIGRAM && (uint32_t)id == t->unk;
}

/* Bytes of a word that lie under a token. Bytes that become nothing take no place, as in the reference, where
 * a byte is a character of one or two bytes: so what follows them lies under bytes before it. */
typedef struct Span {
    const uint32_t *byte; /* BYTE, where some of the word's became nothing; else NULL */
    SnBytes word;
    size_t begin, end; /* of the token */
    size_t kept,
        kept_at;     /* the bytes read so far, and how long those that became something are as characters */
    size_t under_at; /* how long the bytes before `begin` are */
} Span;

static Span span_of(const SnTokEncoder *e, const SnTokWords *w, size_t n)
{
    const SnTokTable *t = e->t;
    const SnBytes word = sn_bytes(w->split.text.at + w->word.begin, w->word.end - w->word.begin);
    const bool drops = (t->model_flags & SN_TOK_BYTE_LEVEL) && t->unk == SN_TOK_NONE;
    return (Span){drops && n > 0 && e->end[n - 1] < word.n ? sn_tok_BYTE(t) : NULL, word};
}

static size_t sign_size(uint8_t byte)
{
    return byte > 0x20 && byte < 0x7F ? 1 : 2;
}

/* The next token, of n bytes that became something. */
static void move_span(Span *s, size_t n)
{
    if (s->byte == NULL) {
        s->begin = s->end;
        s->end += n;
        return;
    }
    const size_t at = s->kept_at;
    for (size_t last = s->word.n - 1; n > 0; s->kept++) {
        const uint32_t place = (s->kept > 0) | (uint32_t)(s->kept == last) << 1;
        if (s->byte[256 * place + s->word.at[s->kept]] == SN_TOK_NONE)
            continue;
        s->kept_at += sign_size(s->word.at[s->kept]);
        n--;
    }
    for (size_t size; s->under_at + (size = sign_size(s->word.at[s->begin])) <= at; s->begin++)
        s->under_at += size;
    size_t under = s->under_at;
    for (s->end = s->begin; under < s->kept_at; s->end++)
        under += sign_size(s->word.at[s->end]);
}

/* Offsets of the word's tokens, whose ends lie in e->end. */
static bool put_places(const SnTokEncoder *e, SnTokWords *w, const SnTokStretch *s, SnTokSink *out)
{
    const SnTokSplitter *k = &w->split;
    size_t base = 0, sign = 0, before = 0;
    if (w->turn != k->turn)
        w->at = (SnTokPlace){0, 0};
    w->turn = k->turn;
    if (k->is_signed) { /* a character of it is one of the stretch, the first one twice where the sign was put
                         */
        sn_tok_seek(&w->plain, s->at, k->signed_begin);
        base = w->plain.character;
        sign = k->has_sign ? 1 : 0;
    }
    Span span = span_of(e, w, out->n - w->first);
    for (size_t i = w->first; i < out->n; i++) {
        const size_t size = e->end[i - w->first] - before;
        before += size;
        if (size == 0 && i > w->first) { /* one of several tokens for one place */
            memcpy(out->offset + 2 * i, out->offset + 2 * (i - 1), 2 * sizeof *out->offset);
            if (!put_about(out, i, sn_bytes(NULL, 0)))
                return false;
            continue;
        }
        move_span(&span, size);
        const size_t begin = w->word.begin + span.begin, end = w->word.begin + span.end;
        sn_tok_seek(&w->at, k->text.at, begin);
        const bool is_inside = begin < end && sn_tok_is_tail(k->text.at[begin]);
        size_t first = w->at.character - (is_inside && w->at.character > 0);
        sn_tok_seek(&w->at, k->text.at, end);
        size_t last = w->at.character > first ? w->at.character - 1 : first;
        first = base + (first > sign ? first - sign : 0);
        last = base + (last > sign ? last - sign : 0);
        out->offset[2 * i] = sn_tok_begin(from_of(s, first));
        out->offset[2 * i + 1] = sn_tok_end(from_of(s, last));
        const bool is_own = is_own_text(e->t, out->id[i]);
        const SnBytes text = sn_bytes(k->text.at + begin, end - begin);
        if (is_own)
            sn_tok_trim_own(e->t, text, &out->offset[2 * i], &out->offset[2 * i + 1]);
        if (!put_about(out, i, is_own ? text : sn_bytes(NULL, 0)))
            return false;
    }
    return true;
}

/* ---- words -------------------------------------------------------------------------------------------- */

static SnTokModelFn *const models[SN_TOK_MODEL_END] = {[SN_TOK_WORDPIECE] = sn_tok_run_wordpiece,
                                                       [SN_TOK_BPE] = sn_tok_run_bpe,
                                                       [SN_TOK_UNIGRAM] = sn_tok_run_unigram,
                                                       [SN_TOK_WORDLEVEL] = sn_tok_run_wordlevel};

SnTokModelFn *sn_tok_model(uint32_t model)
{
    return model < SN_TOK_MODEL_END ? models[model] : NULL;
}

static SnStatus run_model(SnTokEncoder *e, SnTokWords *w, SnTokSink *out, SnError *err)
{
    SnBytes word = sn_bytes(w->split.text.at + w->word.begin, w->word.end - w->word.begin);
    if (w->cut == SN_TOK_CUT_JUNCTIONS) {
        word = sn_tok_cut_word(e, w, word);
        if (word.at == NULL)
            return full(out, err);
    }
    SnTokWork work = {.at = e->work, .step = w->step, .clock = &e->clock};
    SnTokIds ids = {.id = out->id + w->first,
                    .end = e->places ? e->end : NULL,
                    .n = out->n - w->first,
                    .max = out->max - w->first};
    ids.max = e->places && ids.max > e->room ? e->room : ids.max;
    const SnStatus st = models[e->t->model](e->t, word, &work, &ids, err);
    w->step = work.step;
    out->n = w->first + ids.n;
    return st;
}

void sn_tok_words_begin(const SnTokEncoder *e, SnTokWords *w, const SnTokStretch *s)
{
    *w = (SnTokWords){.split = {.t = e->t,
                                .step = sn_tok_SPLIT(e->t),
                                .nstep = sn_tok_count(e->t, SN_TOK_SPLIT),
                                .ascii = sn_tok_ASCII(e->t) + 128,
                                .signed_text = e->signed_text,
                                .signed_room = e->room,
                                .made = e->made},
                      .cut = sn_tok_cut_kind(e)};
    if (w->cut == SN_TOK_CUT_NOT)
        sn_tok_split_begin(&w->split, sn_bytes(s->at, s->n), s->is_first);
    else
        sn_tok_cut_begin(w, s);
}

SnStatus sn_tok_words_one(SnTokEncoder *e, SnTokWords *w, SnTokSink *out, SnError *err)
{
    const SnBytes word = sn_bytes(w->split.text.at + w->word.begin, w->word.end - w->word.begin);
    const bool is_cached = !e->places && !e->in_unit && e->cache.few != NULL && !w->has_sign;
    if (!w->in_word) {
        const size_t n = is_cached ? sn_word_copy(&e->cache, word, w->split.text.n - w->word.begin,
                                                  out->id + out->n, out->max - out->n)
                                   : SIZE_MAX;
        w->first = out->n;
        w->step = 0;
        if (n != SIZE_MAX) {
            out->n += n;
            return SN_OK;
        }
        w->in_word = true;
    }
    SN_TRY(run_model(e, w, out, err));
    w->in_word = false;
    if (is_cached)
        sn_word_keep(&e->cache, word, out->id + w->first, out->n - w->first);
    return SN_OK;
}

/* ---- words of many steps ------------------------------------------------------------------------------ */

static SnStatus run_steps(SnTokEncoder *e, SnTokWords *w, const SnTokStretch *s, SnTokSink *out, SnError *err)
{
    for (;;) {
        if (!w->in_word) {
            if (sn_tok_due(&e->clock, 16))
                return SN_AGAIN;
            const SnTokSplitResult r = sn_tok_split_next(&w->split, &w->word);
            if (r == SN_TOK_SPLIT_AGAIN)
                return SN_AGAIN;
            if (r == SN_TOK_SPLIT_END)
                return SN_OK;
            if (r == SN_TOK_SPLIT_FULL)
                return full(out, err);
        }
        SN_TRY(sn_tok_words_one(e, w, out, err));
        if (e->places && !put_places(e, w, s, out))
            return full(out, err);
        out->word += !out->is_word;
    }
}

SnStatus sn_tok_words_run(SnTokEncoder *e, SnTokWords *w, const SnTokStretch *s, SnTokSink *out, SnError *err)
{
    w->split.clock = &e->clock;
    return w->cut == SN_TOK_CUT_NOT ? run_steps(e, w, s, out, err) : sn_tok_cut_run(e, w, out, err);
}
