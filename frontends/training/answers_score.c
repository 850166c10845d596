/* answers_score.c -- which answers the logits of windows say: run_qa.py's postprocess_qa_predictions, in its
 * arithmetic, as input of the metrics squad and squad_v2. */
#include "frontends/training/trainer.h"

#define NONE (-1)

SnStatus sn_answer_scores_begin(SnAnswerScores *s, const SnTrainSource *rows, SnError *err)
{
    const SnCollate *c = rows->c;
    const SnJson *told = sn_arg(c->config, "version_2_with_negative");
    *s = (SnAnswerScores){.rows = rows,
                          .most = sn_arg_int(c->config, "n_best_size"),
                          .example = NONE,
                          .predictions = {.memory = sn_allocator(c->ctx)},
                          .references = {.memory = sn_allocator(c->ctx)},
                          .said = {.memory = sn_allocator(c->ctx)}};
    sn_arena_init(&s->arena, sn_allocator(c->ctx));
    s->best = sn_arena_array(&s->arena, (size_t)s->most + 2, sizeof *s->best);
    s->first = sn_arena_array(&s->arena, (size_t)s->most + 1, sizeof *s->first);
    s->last = sn_arena_array(&s->arena, (size_t)s->most + 1, sizeof *s->last);
    SN_CHECK(s->best && s->first && s->last, err, SN_ENOMEM, "%s: no memory for answers", rows->what);
    s->allows_none = sn_arg_bool(c->config, "version_2_with_negative");
    for (int64_t i = 0; !told && !s->allows_none && i < sn_dataset_rows(rows->d); i++)
        s->allows_none = sn_answers_count(rows->d, &rows->column, i) == 0;
    return SN_OK;
}

void sn_answer_scores_clear(SnAnswerScores *s)
{
    if (!s->rows)
        return;
    sn_text_clear(&s->predictions);
    sn_text_clear(&s->references);
    sn_text_clear(&s->said);
    sn_arena_clear(&s->arena);
}

/* ---- windows ---- */

/* Places of the greatest ones, those first; of equal ones the later. */
static int64_t greatest(const float *v, int64_t n, int64_t most, int64_t *out)
{
    int64_t count = 0;
    for (int64_t i = 0; i < n; i++) {
        int64_t k = count;
        if (count == most && v[i] < v[out[count - 1]])
            continue;
        count += count < most;
        for (k = count - 1; k > 0 && v[i] >= v[out[k - 1]]; k--)
            out[k] = out[k - 1];
        out[k] = i;
    }
    return count;
}

/* The best ones stay, in their order; of equal ones those that came first. */
static void keep(SnAnswerScores *s, SnFoundAnswer a)
{
    if (s->n == s->most && !(a.score > s->best[s->n - 1].score))
        return;
    int64_t k = s->n == s->most ? s->n - 1 : s->n++;
    for (; k > 0 && a.score > s->best[k - 1].score; k--)
        s->best[k] = s->best[k - 1];
    s->best[k] = a;
}

static void look_at(SnAnswerScores *s, int64_t window, const float *start, const float *end, int64_t n)
{
    const SnTrainRows *w = &s->rows->windows;
    const int64_t longest = sn_arg_int(s->rows->c->config, "max_answer_length");
    const int64_t begin = w->start.at[window], size = w->start.at[window + 1] - begin;
    const int32_t *place = w->place.at + 2 * begin;
    const SnFoundAnswer none = {0, 0, start[0] + end[0], start[0], end[0]};
    const int64_t nfirst = greatest(start, n, s->most, s->first), nlast = greatest(end, n, s->most, s->last);
    if (!s->has_none || s->none.score > none.score)
        s->none = none;
    s->has_none = true;
    for (int64_t i = 0; i < nfirst; i++)
        for (int64_t k = 0; k < nlast; k++) {
            const int64_t a = s->first[i], b = s->last[k];
            if (a < size && b < size && place[2 * a] >= 0 && place[2 * b] >= 0 && b >= a &&
                b - a + 1 <= longest)
                keep(s, (SnFoundAnswer){place[2 * a], place[2 * b + 1], start[a] + end[b], start[a], end[b]});
        }
}

/* ---- examples ---- */

static SnBytes context_of(const SnAnswerScores *s)
{
    return sn_cell_bytes(sn_dataset_cell(s->rows->d, (uint32_t)s->rows->column.pair, s->example));
}

/* Code points [start, end) of the context. */
static SnBytes words_of(const SnAnswerScores *s, SnFoundAnswer a)
{
    const SnBytes text = context_of(s);
    size_t from = text.n, to = text.n;
    int64_t point = 0;
    for (size_t i = 0; i < text.n; i++) {
        if ((text.at[i] & 0xC0) == 0x80)
            continue;
        from = point == a.start && from == text.n ? i : from;
        to = point == a.end ? i : to;
        point++;
    }
    return from < to ? sn_bytes(text.at + from, to - from) : sn_bytes("", 0);
}

static SnBytes likeliest(SnAnswerScores *s)
{
    static const char empty[] = "empty"; /* as run_qa.py has it, where there is nothing else */
    const bool with_none = s->allows_none && s->has_none;
    bool has_none = false;
    if (with_none)
        keep(s, s->none);
    for (int64_t i = 0; i < s->n; i++)
        has_none = has_none || (s->best[i].start == 0 && s->best[i].end == 0);
    if (with_none && !has_none)
        s->best[s->n++] = s->none;
    int64_t i = 0;
    while (s->allows_none && i < s->n && words_of(s, s->best[i]).n == 0)
        i++;
    const bool is_made = s->n == 0 || (s->n == 1 && words_of(s, s->best[0]).n == 0);
    if (is_made && !s->allows_none)
        return sn_bytes_str(empty);
    if (i == s->n && !is_made)
        return sn_bytes("", 0);
    const SnFoundAnswer a = is_made ? (SnFoundAnswer){0} : s->best[i];
    const float more = s->none.score - a.start_logit - a.end_logit,
                least = (float)sn_arg_number(s->rows->c->config, "null_score_diff_threshold");
    return s->allows_none && more > least ? sn_bytes("", 0) : is_made ? sn_bytes_str(empty) : words_of(s, a);
}

/* The column id, or the number of the row. */
static void put_id(const SnAnswerScores *s, SnText *out)
{
    uint32_t column = 0;
    const bool has = sn_dataset_find(s->rows->d, "id", &column, NULL) == SN_OK &&
                     sn_dataset_feature(s->rows->d, column)->kind == SN_DATA_TEXT;
    sn_text_printf(out, "{\"id\": ");
    if (has)
        sn_json_put_string(out, sn_cell_bytes(sn_dataset_cell(s->rows->d, column, s->example)));
    else
        sn_text_printf(out, "\"%lld\"", (long long)s->example);
}

static SnStatus close_example(SnAnswerScores *s, SnError *err)
{
    const char *between = s->predictions.n ? ", " : "";
    if (s->example == NONE)
        return SN_OK;
    const SnBytes answer = likeliest(s);
    const SnCell cell = sn_dataset_cell(s->rows->d, (uint32_t)s->rows->column.label, s->example);
    sn_text_printf(&s->predictions, "%s", between);
    put_id(s, &s->predictions);
    put_id(s, &s->said);
    put_id(s, (sn_text_printf(&s->references, "%s", between), &s->references));
    sn_text_printf(&s->predictions, ", \"prediction_text\": ");
    sn_text_printf(&s->said, ", \"prediction_text\": ");
    sn_json_put_string(&s->predictions, answer);
    sn_json_put_string(&s->said, answer);
    sn_text_printf(&s->predictions, s->allows_none ? ", \"no_answer_probability\": 0.0}" : "}");
    sn_text_printf(&s->said, "}\n");
    sn_text_printf(&s->references, ", \"answers\": ");
    const bool ok = sn_cell_is_null(cell) || sn_cell_json(&s->references, cell);
    sn_text_printf(&s->references, sn_cell_is_null(cell) ? "{\"text\": [], \"answer_start\": []}}" : "}");
    SN_CHECK(ok && !s->predictions.failed && !s->references.failed && !s->said.failed, err, SN_ENOMEM,
             "%s: no memory for answers", s->rows->what);
    s->n = 0;
    s->has_none = false;
    return SN_OK;
}

SnStatus sn_answer_scores_add(SnAnswerScores *s, int64_t first, const SnView *start, const SnView *end,
                              SnError *err)
{
    const int64_t n = start->dims[1];
    for (int64_t i = 0; i < start->dims[0]; i++) {
        const int64_t example = s->rows->windows.example.at[first + i];
        if (example != s->example)
            SN_TRY(close_example(s, err));
        s->example = example;
        look_at(s, first + i, (const float *)start->data + i * n, (const float *)end->data + i * n, n);
    }
    return SN_OK;
}

SnStatus sn_answer_scores_end(SnAnswerScores *s, SnText *input, SnError *err)
{
    SN_TRY(close_example(s, err));
    s->example = NONE;
    sn_text_printf(input, "{\"predictions\": [%s], \"references\": [%s]}",
                   s->predictions.at ? s->predictions.at : "", s->references.at ? s->references.at : "");
    return SN_OK;
}
