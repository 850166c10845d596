/* answers.c -- questions, contexts and answers as SQuAD has them become windows: run_qa.py's features.
 *
 * Rajpurkar et al. 2016, arXiv:1606.05250. */
#include "frontends/training/collate.h"

#include "frontends/tasks/text.h"

#define CHUNK 256 /* rows that are tokenized at once */

/* What is read of a row: code points of the context that are the answer. */
typedef struct Answer {
    int64_t start, end; /* start -1: there is none */
} Answer;

typedef struct Answers {
    const SnCollate *c;
    const SnDataset *d;
    const SnTrainColumns *column;
    const char *what;
    int64_t field[2]; /* of answers: text, answer_start */
    int64_t cls, bos; /* tokens, or -1 */
    bool is_context_first, is_scored;
    SnArena arena; /* of a chunk */
} Answers;

static SnStatus no_memory(const Answers *a, SnError *err)
{
    return sn_fail(err, SN_ENOMEM, "%s: no memory for windows", a->what);
}

/* Lists of texts, or of whole numbers; those that are all empty are of nothing. */
static int64_t text_field(const SnFeature *f)
{
    for (uint32_t i = 0; f->kind == SN_DATA_STRUCT && i < f->nchild; i++)
        if (strcmp(f->child[i].name, "text") == 0)
            return i;
    return -1;
}

int64_t sn_answers_count(const SnDataset *d, const SnTrainColumns *column, int64_t row)
{
    const SnCell cell = sn_dataset_cell(d, (uint32_t)column->label, row);
    const int64_t field = text_field(cell.array->type);
    SnCell first;
    return sn_cell_is_null(cell) || field < 0 ? 0
                                              : sn_cell_list(sn_cell_field(cell, (uint32_t)field), &first);
}

static bool is_list(const SnFeature *f, bool of_texts)
{
    const SnFeature *each = f->kind == SN_DATA_LIST ? f->child : f;
    if (f->kind != SN_DATA_LIST || each->kind == SN_DATA_NULL)
        return f->kind == SN_DATA_LIST;
    return of_texts ? each->kind == SN_DATA_TEXT
                    : each->kind == SN_DATA_NUMBER && !sn_dtype_is_float(each->dtype);
}

static SnStatus find_fields(Answers *a, SnError *err)
{
    static const char *const names[] = {"text", "answer_start"};
    const SnFeature *f = sn_dataset_feature(a->d, (uint32_t)a->column->label);
    a->field[0] = a->field[1] = -1;
    for (uint32_t i = 0; f->kind == SN_DATA_STRUCT && i < f->nchild; i++)
        for (int k = 0; k < 2; k++)
            if (is_list(&f->child[i], k == 0) && strcmp(f->child[i].name, names[k]) == 0)
                a->field[k] = i;
    SN_CHECK(a->field[0] >= 0 && a->field[1] >= 0, err, SN_EINVAL,
             "%s: column %s: expected {\"text\": [texts], \"answer_start\": [whole numbers]}", a->what,
             f->name);
    return SN_OK;
}

/* The first of a row's answers. */
static SnStatus read_answer(const Answers *a, int64_t row, SnBytes context, Answer *out, SnError *err)
{
    const SnCell cell = sn_dataset_cell(a->d, (uint32_t)a->column->label, row);
    SnCell text = {0}, start = {0};
    *out = (Answer){-1, -1};
    if (sn_cell_is_null(cell))
        return SN_OK;
    const int64_t ntext = sn_cell_list(sn_cell_field(cell, (uint32_t)a->field[0]), &text),
                  nstart = sn_cell_list(sn_cell_field(cell, (uint32_t)a->field[1]), &start);
    SN_CHECK(ntext == nstart, err, SN_EINVAL, "%s: row %lld: %lld answers begin at %lld places", a->what,
             (long long)row, (long long)ntext, (long long)nstart);
    if (nstart == 0)
        return SN_OK;
    const SnBytes s = sn_cell_bytes(text);
    const int64_t at = sn_cell_int(start), n = (int64_t)sn_utf8_count(s),
                  all = (int64_t)sn_utf8_count(context);
    SN_CHECK(s.at && !sn_cell_is_null(start) && at >= 0 && n <= all && at <= all - n, err, SN_EINVAL,
             "%s: row %lld: the answer is no part of its context", a->what, (long long)row);
    *out = (Answer){at, at + n};
    return SN_OK;
}

/* The first such token; e->n: there is none. */
static size_t find(const SnEncoding *e, int64_t id)
{
    size_t i = 0;
    while (i < e->n && e->ids[i] != id)
        i++;
    return i;
}

/* Where the answer stands in a window: its first and last token; where it does not, both are that of the
 * class. An answer in the last word ends there: run_qa.py's search for its start goes on to the padding. */
static void place(const Answers *a, const SnEncoding *e, const Answer *answer, int32_t out[2])
{
    const int32_t side = a->is_context_first ? 0 : 1;
    size_t first = 0, last = e->n, cls = find(e, a->cls);
    if (cls == e->n)
        cls = find(e, a->bos);
    cls = cls == e->n ? 0 : cls;
    out[0] = out[1] = (int32_t)cls;
    while (first < last && e->sequence_ids[first] != side)
        first++;
    while (last > first && e->sequence_ids[last - 1] != side)
        last--;
    if (answer->start < 0 || first == last || e->offsets[2 * first] > answer->start ||
        e->offsets[2 * last - 1] < answer->end)
        return;
    const size_t begin = first;
    for (size_t i = begin; i < last && e->offsets[2 * i] <= answer->start; i++)
        out[0] = (int32_t)i;
    while (last > begin && e->offsets[2 * last - 1] >= answer->end)
        last--;
    out[1] = (int32_t)last;
}

static SnStatus add_window(const Answers *a, const SnEncoding *e, const Answer *answer, int64_t row,
                           SnTrainRows *out, SnError *err)
{
    const SnCollate *c = a->c;
    const SnAllocator *memory = sn_allocator(c->ctx);
    int32_t at[2];
    const int32_t side = a->is_context_first ? 0 : 1;
    for (size_t i = 0; a->is_scored && i < e->n; i++) {
        const bool is_context = e->sequence_ids[i] == side;
        if (!sn_vec_push(memory, &out->place, is_context ? (int32_t)e->offsets[2 * i] : -1) ||
            !sn_vec_push(memory, &out->place, is_context ? (int32_t)e->offsets[2 * i + 1] : -1))
            return no_memory(a, err);
    }
    if (a->is_scored && !sn_vec_push(memory, &out->example, row))
        return no_memory(a, err);
    for (size_t i = 0; i < e->n; i++) {
        SN_CHECK(e->ids[i] >= 0 && (!c->vocabulary || e->ids[i] < c->vocabulary), err, SN_EINVAL,
                 "%s: row %lld: token %d; the model has %lld", a->what, (long long)row, e->ids[i],
                 (long long)c->vocabulary);
        if (!sn_vec_push(memory, &out->ids, e->ids[i]) ||
            (c->gives_types && !sn_vec_push(memory, &out->types, e->type_ids[i])))
            return no_memory(a, err);
    }
    place(a, e, answer, at);
    if (!sn_vec_push(memory, &out->labels, at[0]) || !sn_vec_push(memory, &out->labels, at[1]) ||
        !sn_vec_push(memory, &out->start, (int64_t)out->ids.n))
        return no_memory(a, err);
    out->n++;
    return SN_OK;
}

static SnBytes strip_left(SnBytes s)
{
    while (s.n && (s.at[0] == ' ' || (s.at[0] >= '\t' && s.at[0] <= '\r')))
        s = (SnBytes){s.at + 1, s.n - 1};
    return s;
}

static SnStatus read_chunk(Answers *a, int64_t first, int64_t n, SnTrainRows *out, SnError *err)
{
    const SnTokenizeOptions o = {.struct_size = sizeof o,
                                 .truncation =
                                     a->is_context_first ? SN_TRUNCATE_ONLY_FIRST : SN_TRUNCATE_ONLY_SECOND,
                                 .max_length = a->c->most,
                                 .stride = sn_arg_int(a->c->config, "doc_stride")};
    SnBytes *question = sn_arena_array(&a->arena, (size_t)n, sizeof *question),
            *context = sn_arena_array(&a->arena, (size_t)n, sizeof *context);
    Answer *answer = sn_arena_array(&a->arena, (size_t)n, sizeof *answer);
    SnEncoding *e = NULL;
    if (!question || !context || !answer)
        return no_memory(a, err);
    for (int64_t i = 0; i < n; i++) {
        question[i] = strip_left(sn_cell_bytes(sn_dataset_cell(a->d, (uint32_t)a->column->text, first + i)));
        context[i] = sn_cell_bytes(sn_dataset_cell(a->d, (uint32_t)a->column->pair, first + i));
        SN_TRY(read_answer(a, first + i, context[i], &answer[i], err));
    }
    SN_TRY(sn_model_tokenize(a->c->text, a->is_context_first ? context : question,
                             a->is_context_first ? question : context, (size_t)n, &o, &a->arena, &e, err));
    for (int64_t i = 0; i < n; i++)
        for (const SnEncoding *w = &e[i]; w; w = w->overflow)
            SN_TRY(add_window(a, w, &answer[i], first + i, out, err));
    return SN_OK;
}

SnStatus sn_answers_read(const SnCollate *c, const SnDataset *d, const SnTrainColumns *column,
                         const char *what, bool is_scored, SnTrainRows *out, SnError *err)
{
    const SnTokenizerFacts f = sn_tokenizer_facts(c->text->tokenizer);
    Answers a = {.c = c, .d = d, .column = column, .what = what, .is_scored = is_scored};
    SnTextConfig text;
    SN_TRY(sn_text_config(c->text, &text, err));
    SN_TRY(find_fields(&a, err));
    a.is_context_first = text.pads_left;
    a.cls = f.name[SN_TOK_CLS] == SN_TOK_NONE ? -1 : (int64_t)f.name[SN_TOK_CLS];
    a.bos = f.name[SN_TOK_BOS] == SN_TOK_NONE ? -1 : (int64_t)f.name[SN_TOK_BOS];
    if (!sn_vec_push(sn_allocator(c->ctx), &out->start, 0))
        return no_memory(&a, err);
    SnStatus st = SN_OK;
    for (int64_t at = 0, n = sn_dataset_rows(d); st == SN_OK && at < n; at += CHUNK) {
        sn_arena_init(&a.arena, sn_allocator(c->ctx));
        st = read_chunk(&a, at, n - at < CHUNK ? n - at : CHUNK, out, err);
        sn_arena_clear(&a.arena);
    }
    return st;
}
