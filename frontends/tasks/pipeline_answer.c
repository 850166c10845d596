/* pipeline_answer.c -- question-answering: the likeliest spans of a context, as words of it. */
#include "frontends/tasks/pipeline.h"
#include "frontends/tasks/program.h"
#include "ops/host/unicode.h"

#include <math.h>

typedef struct Ask {
    int64_t top_k, max_answer, max_seq, stride;
    bool allows_none, whole_words;
    bool context_first; /* the tokenizer fills up on the left: the reference then puts the context first */
} Ask;

typedef struct Answer {
    double score;
    int64_t start, end; /* code points of the context */
    SnBytes text;
} Answer;
typedef SN_VEC(Answer) Answers;

typedef struct Span {
    size_t start, end; /* tokens, both in */
    float score;
} Span;

/* ---- spans of a window ---- */

/* Probabilities of being the first or last token, over those that may be. */
static float *probabilities(SnPipe *p, const float *logits, const bool *allowed, size_t n)
{
    float *x = sn_arena_array(&p->arena, n + 1, sizeof *x);
    for (size_t i = 0; x && i < n; i++)
        x[i] = allowed[i] ? logits[i] : -10000.0f;
    if (x)
        sn_pipe_softmax(x, x, n);
    return x;
}

/* The most likely spans of up to max_answer tokens; those that touch a token which may not be are dropped
 * afterwards, as in the reference. */
static SnStatus best_spans(SnPipe *p, const Ask *a, const float *start, const float *end, const bool *allowed,
                           size_t n, Span **out, size_t *nout, SnError *err)
{
    const size_t longest = (size_t)a->max_answer < n ? (size_t)a->max_answer : n;
    const size_t most = (size_t)(a->whole_words ? 2 * a->top_k + 10 : a->top_k);
    float *score = sn_arena_array(&p->arena, n * longest, sizeof *score);
    SN_CHECK(score, err, SN_ENOMEM, "%s: no memory for answers", p->task);
    for (size_t i = 0; i < n; i++)
        for (size_t k = 0; k < longest && i + k < n; k++)
            score[i * longest + k] = start[i] * end[i + k];
    const size_t *order = sn_pipe_rank(&p->arena, score, n * longest);
    const size_t count = most < n * longest ? most : n * longest;
    *out = sn_arena_array(&p->arena, count + 1, sizeof **out);
    SN_CHECK(order && *out, err, SN_ENOMEM, "%s: no memory for %zu answers", p->task, count);
    *nout = 0;
    for (size_t i = 0; i < count; i++) {
        const size_t first = order[i] / longest, last = first + order[i] % longest;
        if (last < n && (allowed[first] || first == 0) && (allowed[last] || last == 0))
            (*out)[(*nout)++] = (Span){first, last, score[order[i]]};
    }
    return SN_OK;
}

/* ---- answers ---- */

/* Code points of the word that a token belongs to; false: it belongs to none. */
static bool word_range(const SnEncoding *e, size_t token, int32_t sequence, int64_t range[2])
{
    const int32_t word = e->sequence_ids[token] < 0 ? -1 : e->word_ids[token];
    bool found = false;
    for (size_t i = 0; word >= 0 && i < e->n; i++) {
        if (e->sequence_ids[i] != sequence || e->word_ids[i] != word)
            continue;
        if (!found)
            range[0] = e->offsets[2 * i];
        range[1] = e->offsets[2 * i + 1];
        found = true;
    }
    return found;
}

static void answer_range(const Ask *a, const SnEncoding *e, const Span *s, int64_t *start, int64_t *end)
{
    const int32_t sequence = a->context_first ? 0 : 1;
    int64_t first[2] = {0}, last[2] = {0};
    const bool by_word =
        a->whole_words && word_range(e, s->start, sequence, first) && word_range(e, s->end, sequence, last);
    *start = by_word ? first[0] : e->offsets[2 * s->start];
    *end = by_word ? last[1] : e->offsets[2 * s->end + 1];
}

/* Spans of the same words, whatever their case, are one answer. */
static SnStatus add_answer(SnPipe *p, Answers *v, const Answer *a, SnError *err)
{
    for (size_t i = 0; i < v->n; i++)
        if (sn_equal_in_lower_case(v->at[i].text, a->text)) {
            v->at[i].score += a->score;
            return SN_OK;
        }
    SN_CHECK(sn_vec_push(p->arena.memory, v, *a), err, SN_ENOMEM, "%s: no memory for answers", p->task);
    return SN_OK;
}

/* row: start_logits and end_logits of the window. */
static SnStatus answer_window(SnPipe *p, const Ask *a, const SnCodePoints *context, const SnEncoding *e,
                              const SnPipeRow *row, double *none, Answers *v, SnError *err)
{
    const SnTokenizerFacts f = sn_tokenizer_facts(p->m->tokenizer);
    bool *allowed = sn_arena_array(&p->arena, e->n + 1, sizeof *allowed);
    Span *span = NULL;
    size_t nspan = 0;
    SN_CHECK(allowed, err, SN_ENOMEM, "%s: no memory for answers", p->task);
    for (size_t i = 0; i < e->n; i++)
        allowed[i] = a->context_first || e->sequence_ids[i] == 1 || e->ids[i] == (int32_t)f.name[SN_TOK_CLS];
    float *start = probabilities(p, row[0].at, allowed, e->n),
          *end = probabilities(p, row[1].at, allowed, e->n);
    SN_CHECK(start && end, err, SN_ENOMEM, "%s: no memory for answers", p->task);
    *none = fmin(*none, (double)(start[0] * end[0]));
    start[0] = end[0] = 0;
    SN_TRY(best_spans(p, a, start, end, allowed, e->n, &span, &nspan, err));
    for (size_t i = 0; i < nspan; i++) {
        Answer found = {.score = (double)span[i].score};
        answer_range(a, e, &span[i], &found.start, &found.end);
        found.text = sn_pipe_slice(context, found.start, found.end);
        SN_TRY(add_answer(p, v, &found, err));
    }
    return SN_OK;
}

/* By falling score; equal ones as they are. */
static void sort_answers(Answers *v)
{
    for (size_t i = 1; i < v->n; i++) {
        const Answer a = v->at[i];
        size_t k = i;
        for (; k > 0 && v->at[k - 1].score < a.score; k--)
            v->at[k] = v->at[k - 1];
        v->at[k] = a;
    }
}

static void put_answers(SnText *out, const Answers *v, size_t most)
{
    const size_t n = v->n < most ? v->n : most;
    sn_text_add(out, "[", n == 1 ? 0 : 1);
    for (size_t i = 0; i < n; i++) {
        const Answer *a = &v->at[i];
        sn_text_printf(out, "%s{\"score\": ", i ? ", " : "");
        sn_json_put_f64(out, a->score);
        sn_text_printf(out, ", \"start\": %lld, \"end\": %lld, \"answer\": ", (long long)a->start,
                       (long long)a->end);
        sn_json_put_string(out, a->text);
        sn_text_add(out, "}", 1);
    }
    sn_text_add(out, "]", n == 1 ? 0 : 1);
}

static SnStatus answer_all(SnPipe *p, const Ask *a, SnBytes context, const SnEncoding *window, size_t n,
                           const SnPipeRow *row, Answers *v, SnError *err)
{
    double none = 1000000;
    SnCodePoints points;
    SN_TRY(sn_pipe_code_points(p, context, &points, err));
    for (size_t i = 0; i < n; i++)
        SN_TRY(answer_window(p, a, &points, &window[i], row + 2 * i, &none, v, err));
    const Answer empty = {.score = none, .text = sn_bytes("", 0)};
    SN_CHECK(!a->allows_none || sn_vec_push(p->arena.memory, v, empty), err, SN_ENOMEM,
             "%s: no memory for answers", p->task);
    sort_answers(v);
    put_answers(p->out, v, (size_t)a->top_k);
    return SN_OK;
}

/* Windows and their logits. */
static SnStatus read_windows(SnPipe *p, const Ask *a, SnBytes question, SnBytes context, SnEncoding **out,
                             SnPipeRow **row, size_t *n, SnError *err)
{
    static const char *const want[] = {"start_logits", "end_logits"};
    const SnTokenizeOptions o = {.struct_size = sizeof o,
                                 .truncation =
                                     a->context_first ? SN_TRUNCATE_ONLY_FIRST : SN_TRUNCATE_ONLY_SECOND,
                                 .max_length = a->max_seq,
                                 .stride = a->stride};
    const SnBytes *first = a->context_first ? &context : &question;
    const SnBytes *second = a->context_first ? &question : &context;
    SnEncoding *e = NULL;
    SN_TRY(sn_pipe_encode(p, first, second, 1, &o, &e, err));
    for (const SnEncoding *w = e; w; w = w->overflow)
        ++*n;
    const SnEncoding **window = sn_arena_array(&p->arena, *n, sizeof *window);
    *out = sn_arena_array(&p->arena, *n, sizeof **out);
    SN_CHECK(window && *out, err, SN_ENOMEM, "%s: no memory for %zu windows", p->task, *n);
    for (size_t i = 0; i < *n; i++, e = e->overflow) {
        (*out)[i] = *e;
        window[i] = e;
    }
    return sn_pipe_forward(p, window, *n, want, 2, SN_PIPE_TOKENS, row, err);
}

static SnStatus answer_one(SnPipe *p, const Ask *a, SnBytes question, SnBytes context, SnError *err)
{
    SnEncoding *window = NULL;
    SnPipeRow *row = NULL;
    Answers v = {0};
    size_t n = 0;
    SN_TRY(p->m->opened ? sn_pipe_opened_answer(p, question, context, &window, &row, &n, err)
                        : read_windows(p, a, question, context, &window, &row, &n, err));
    const SnStatus st = answer_all(p, a, context, window, n, row, &v, err);
    sn_vec_clear(p->arena.memory, &v);
    return st;
}

/* ---- arguments ---- */

static SnStatus read_ask(const SnPipe *p, Ask *a, SnError *err)
{
    const int64_t limit = sn_text_limit(p->m);
    *a = (Ask){.top_k = 1, .max_answer = 15, .whole_words = true, .context_first = p->tokenizer.pads_left};
    a->max_seq = limit && limit < SN_ANSWER_SEQ ? limit : SN_ANSWER_SEQ;
    SN_TRY(sn_pipe_int(p, "topk", 1, &a->top_k, err));
    SN_TRY(sn_pipe_int(p, "top_k", 1, &a->top_k, err));
    SN_TRY(sn_pipe_int(p, "max_answer_len", 1, &a->max_answer, err));
    SN_TRY(sn_pipe_int(p, "max_seq_len", 1, &a->max_seq, err));
    SN_TRY(sn_pipe_bool(p, "handle_impossible_answer", &a->allows_none, err));
    SN_TRY(sn_pipe_bool(p, "align_to_words", &a->whole_words, err));
    a->stride = a->max_seq / 2 < SN_ANSWER_SHARE ? a->max_seq / 2 : SN_ANSWER_SHARE;
    SN_TRY(sn_pipe_int(p, "doc_stride", 0, &a->stride, err));
    SN_CHECK(a->stride <= a->max_seq, err, SN_EINVAL, "%s: doc_stride %lld is larger than max_seq_len %lld",
             p->task, (long long)a->stride, (long long)a->max_seq);
    return SN_OK;
}

typedef struct Example {
    SnBytes question, context;
} Example;

static SnStatus read_example(SnPipe *p, const SnJson *question, const SnJson *context, Example *out,
                             SnError *err)
{
    SN_TRY(sn_pipe_text(p, question, "question", &out->question, err));
    SN_TRY(sn_pipe_text(p, context, "context", &out->context, err));
    SN_CHECK(out->question.n && out->context.n, err, SN_EINVAL, "%s: an empty %s", p->task,
             out->question.n ? "context" : "question");
    return SN_OK;
}

/* {"question", "context"}, each a string or a list of them, or a list of such objects. */
static SnStatus read_examples(SnPipe *p, Example **out, size_t *n, SnError *err)
{
    const SnJson *in = p->input, *q = sn_json_get(in, "question"), *c = sn_json_get(in, "context");
    const SnJson *list = in->kind == SN_JSON_ARRAY ? in : q && q->kind == SN_JSON_ARRAY ? q : NULL;
    const bool has_contexts = in->kind == SN_JSON_OBJECT && c && c->kind == SN_JSON_ARRAY;
    *n = list ? list->n : 1;
    SN_CHECK(*n > 0, err, SN_EINVAL, "%s: an empty list of inputs", p->task);
    SN_CHECK(!has_contexts || (list == q && c->n == q->n), err, SN_EINVAL,
             "%s: not as many questions as contexts", p->task);
    *out = sn_arena_array(&p->arena, *n, sizeof **out);
    SN_CHECK(*out, err, SN_ENOMEM, "%s: no memory for %zu questions", p->task, *n);
    for (uint32_t i = 0; i < *n; i++) {
        const SnJson *x = list == in ? &in->u.child[i] : in;
        SN_CHECK(x->kind == SN_JSON_OBJECT, err, SN_EINVAL,
                 "%s: an input is no object {\"question\", \"context\"}", p->task);
        q = list && list != in ? &list->u.child[i] : sn_json_get(x, "question");
        c = sn_json_get(x, "context");
        SN_TRY(read_example(p, q, has_contexts ? sn_json_at(c, i) : c, &(*out)[i], err));
    }
    return SN_OK;
}

SnStatus sn_pipe_answer(SnPipe *p, SnError *err)
{
    Ask a;
    Example *x = NULL;
    size_t n = 0;
    p->tokenizer.gives_types = p->tokenizer.gives_types || p->tokenizer.is_generic;
    SN_TRY(read_ask(p, &a, err));
    SN_TRY(read_examples(p, &x, &n, err));
    sn_text_add(p->out, "[", n > 1 ? 1 : 0);
    for (size_t i = 0; i < n; i++) {
        sn_text_add(p->out, ", ", i ? 2 : 0);
        SN_TRY(answer_one(p, &a, x[i].question, x[i].context, err));
    }
    sn_text_add(p->out, "]", n > 1 ? 1 : 0);
    return SN_OK;
}
