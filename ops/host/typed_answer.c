/* typed_answer.c -- the answer to a question: the likeliest part of its context.
 *
 * As the question-answering pipeline of Transformers finds it: probabilities of being the first and the last
 * token over those that may be; the best products of two up to 15 tokens apart; widened to whole words; equal
 * words (whatever their case) of all windows are one answer, whose score is the sum. */
#include "ops/host/typed_text.h"
#include "ops/host/unicode.h"

#include <math.h>

enum {
    NBEST = 12,   /* spans of a window that are looked at: those of the reference for one answer */
    NANSWER = 64, /* different answers of all windows; further ones replace the least likely */
    REACH = SN_TYPED_MAX_ANSWER
};

typedef struct Window {
    SnTypedRow ids, offsets, word_ids, sequence;
    const float *start, *end; /* logits */
    int64_t n;
    int32_t cls;
} Window;

typedef struct Best {
    int64_t first, last; /* tokens, both in */
    float score;
} Best;

typedef struct Answer {
    size_t begin, end; /* bytes of the context */
    double score;
} Answer;

typedef struct Answers {
    SnTypedCursor context;
    size_t n;
    Answer at[NANSWER];
} Answers;

/* ---- probabilities ---- */

/* A softmax whose values are made when they are needed. */
typedef struct Softmax {
    const float *logit;
    float max;
    double sum;
} Softmax;

static bool may_be(const Window *w, int64_t i)
{
    return w->sequence.at[i] == 1 || w->ids.at[i] == w->cls;
}

static float masked(const Window *w, const float *logit, int64_t i)
{
    return may_be(w, i) ? logit[i] : -10000.0f;
}

static Softmax softmax(const Window *w, const float *logit)
{
    Softmax s = {.logit = logit, .max = masked(w, logit, 0)};
    for (int64_t i = 1; i < w->n; i++)
        s.max = masked(w, logit, i) > s.max ? masked(w, logit, i) : s.max;
    for (int64_t i = 0; i < w->n; i++)
        s.sum += (double)expf(masked(w, logit, i) - s.max);
    return s;
}

/* The first token stands for "no answer" and begins or ends none. */
static float probability(const Window *w, const Softmax *s, int64_t i)
{
    return i == 0 ? 0 : (float)((double)expf(masked(w, s->logit, i) - s->max) / s->sum);
}

/* ---- spans of a window ---- */

/* Keeps the NBEST best, equal ones in the order they come in. */
static void keep_best(Best *best, size_t *n, Best b)
{
    if (*n == NBEST && b.score <= best[NBEST - 1].score)
        return;
    size_t i = *n < NBEST ? (*n)++ : NBEST - 1;
    for (; i > 0 && best[i - 1].score < b.score; i--)
        best[i] = best[i - 1];
    best[i] = b;
}

static size_t best_spans(const Window *w, Best best[NBEST])
{
    const Softmax start = softmax(w, w->start), end = softmax(w, w->end);
    float last[REACH]; /* probabilities of the tokens from i on, token k at k % REACH */
    size_t n = 0;
    for (int64_t i = 0; i < REACH - 1 && i < w->n; i++)
        last[i] = probability(w, &end, i);
    for (int64_t i = 0; i < w->n; i++) {
        const float first = probability(w, &start, i);
        if (i + REACH - 1 < w->n)
            last[(i + REACH - 1) % REACH] = probability(w, &end, i + REACH - 1);
        for (int64_t k = i; k < i + REACH && k < w->n; k++)
            keep_best(best, &n, (Best){i, k, first * last[k % REACH]});
    }
    return n;
}

/* ---- answers ---- */

/* Characters of the word of the context that a token belongs to; false: it belongs to none. */
static bool word_range(const Window *w, int64_t token, int64_t range[2])
{
    const int32_t word = w->sequence.at[token] < 0 ? -1 : w->word_ids.at[token];
    bool found = false;
    for (int64_t i = 0; word >= 0 && i < w->n; i++) {
        if (w->sequence.at[i] != 1 || w->word_ids.at[i] != word)
            continue;
        if (!found)
            range[0] = w->offsets.at[2 * i];
        range[1] = w->offsets.at[2 * i + 1];
        found = true;
    }
    return found;
}

static Answer answer_of(const Window *w, const Best *b, SnTypedCursor *context)
{
    int64_t first[2] = {0}, last[2] = {0};
    const bool by_word = word_range(w, b->first, first) && word_range(w, b->last, last);
    Answer a = {.score = (double)b->score};
    a.begin = sn_typed_byte(context, by_word ? first[0] : w->offsets.at[2 * b->first]);
    a.end = sn_typed_byte(context, by_word ? last[1] : w->offsets.at[2 * b->last + 1]);
    a.end = a.end < a.begin ? a.begin : a.end;
    return a;
}

static SnBytes text_of(const Answers *v, const Answer *a)
{
    return sn_bytes(v->context.text.at + a->begin, a->end - a->begin);
}

bool sn_equal_in_lower_case(SnBytes a, SnBytes b)
{
    SnReader x = sn_reader(a), y = sn_reader(b);
    while (x.left && y.left) {
        const uint32_t cx = sn_read_utf8(&x), cy = sn_read_utf8(&y);
        if (cx != cy && (cx > SN_CP_LAST || cy > SN_CP_LAST ||
                         (int64_t)cx + sn_code_class(cx)->lower != (int64_t)cy + sn_code_class(cy)->lower))
            return false;
    }
    return !x.left && !y.left;
}

static void add_answer(Answers *v, const Answer *a)
{
    size_t least = 0;
    for (size_t i = 0; i < v->n; i++) {
        if (sn_equal_in_lower_case(text_of(v, &v->at[i]), text_of(v, a))) {
            v->at[i].score += a->score;
            return;
        }
        least = v->at[i].score < v->at[least].score ? i : least;
    }
    if (v->n < NANSWER)
        v->at[v->n++] = *a;
    else if (a->score > v->at[least].score)
        v->at[least] = *a;
}

static void answer_window(const Window *w, Answers *v)
{
    Best best[NBEST];
    const size_t n = best_spans(w, best);
    for (size_t i = 0; i < n; i++) {
        const Answer a = answer_of(w, &best[i], &v->context);
        if (best[i].score > 0 && may_be(w, best[i].first) && may_be(w, best[i].last))
            add_answer(v, &a);
    }
}

/* ---- results ---- */

static SnStatus find_window(SnTyped *t, const SnView *start, const SnView *end, int64_t row, Window *out)
{
    static const char *const names[] = {"ids", "offsets", "word_ids", "sequence"};
    Window w = {.start = (const float *)start->data + row * start->dims[1],
                .end = (const float *)end->data + row * start->dims[1]};
    SnTypedRow *const field[] = {&w.ids, &w.offsets, &w.word_ids, &w.sequence};
    for (size_t i = 0; i < SN_COUNT(names); i++)
        SN_TRY(sn_typed_row(t, SN_TYPED_ANSWER, names[i], row, field[i]));
    w.n = w.ids.n;
    SN_CHECK(w.n > 0 && w.n <= start->dims[1] && w.offsets.n == 2 * w.n && w.word_ids.n == w.n &&
                 w.sequence.n == w.n,
             &t->err, SN_EFORMAT, "outputs of a window of %lld tokens differ in length", (long long)w.n);
    w.cls = (int32_t)sn_tokenizer_facts(sn_typed_tokenizer(t)).name[SN_TOK_CLS];
    *out = w;
    return SN_OK;
}

/* How many rows are windows. */
static SnStatus count_windows(SnTyped *t, int64_t rows, int64_t *out)
{
    SnView v = {0};
    *out = rows;
    if (!sn_instance_slot(t->instance, t->instance->entry->output, "count"))
        return SN_OK;
    SN_TRY(sn_typed_find(t, SN_TYPED_ANSWER, "count", SN_I64, false, 0, &v));
    const int64_t n = *(const int64_t *)v.data;
    *out = n < rows ? n : rows;
    return SN_OK;
}

static SnStatus find_answers(SnTyped *t, Answers *v)
{
    SnView start = {0}, end = {0};
    int64_t n = 0;
    SN_TRY(sn_typed_find(t, SN_TYPED_ANSWER, "start", SN_F32, false, 2, &start));
    SN_TRY(sn_typed_rows(t, SN_TYPED_ANSWER, "end", SN_F32, start.dims[1], &end));
    SN_CHECK(start.dims[0] == end.dims[0] && sn_typed_tokenizer(t).n, &t->err, SN_EFORMAT,
             "this model has no tokenizer, or start and end differ");
    SN_TRY(count_windows(t, start.dims[0], &n));
    *v = (Answers){.context.text = sn_bytes(t->text[1].at, (size_t)t->text[1].n)};
    for (int64_t i = 0; i < n; i++) {
        Window w = {0};
        SN_TRY(find_window(t, &start, &end, i, &w));
        answer_window(&w, v);
    }
    return SN_OK;
}

SnStatus sn_typed_span(SnTyped *t, SnTypedSpan *out)
{
    Answers v;
    if (!out)
        return sn_typed_fail(t, SN_EINVAL, "no place for the answer");
    SN_TRY(find_answers(t, &v));
    Answer best = {0};
    for (size_t i = 0; i < v.n; i++)
        best = v.at[i].score > best.score ? v.at[i] : best;
    *out = (SnTypedSpan){.begin = best.begin, .end = best.end, .score = (float)best.score};
    return SN_OK;
}

SnStatus sn_typed_answer(SnTyped *t, const char *question, size_t nquestion, const char *context,
                         size_t ncontext, SnTypedSpan *out)
{
    SN_TRY(sn_typed_begin_pair(t, question, nquestion, context, ncontext));
    SN_TRY(sn_typed_run(t));
    return sn_typed_span(t, out);
}
