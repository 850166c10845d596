/* pipeline_tag.c -- token-classification: a label for each token, or entities grouped from them. */
#include "frontends/tasks/pipeline.h"

typedef enum Strategy {
    STRATEGY_NONE,
    STRATEGY_SIMPLE,
    STRATEGY_FIRST,
    STRATEGY_AVERAGE,
    STRATEGY_MAX
} Strategy;

typedef struct Tagger {
    Strategy strategy;
    const SnJson *ignored; /* array of labels; NULL: "O" */
    bool has_stride;
    SnBytes prefix; /* of tokens that continue a word; n 0: the tokenizer has none */
    int32_t unk;
} Tagger;

/* A token, a word, or a group of them. */
typedef struct Entity {
    SnBytes word, label; /* label: of config.json, or without B- and I- for a group */
    const float *scores; /* of all labels, for a token */
    float score;
    int64_t start, end; /* code points of the text */
    size_t index;       /* of the token in its window */
    bool is_subword;
} Entity;
typedef SN_VEC(Entity) Entities;

/* ---- tokens ---- */

/* Does the token go on with the word before it? */
static bool continues_word(const Tagger *t, const SnCodePoints *text, SnBytes token, int64_t start,
                           int64_t end)
{
    if (t->prefix.n)
        return sn_utf8_count(token) != sn_utf8_count(sn_pipe_slice(text, start, end));
    const SnBytes around = sn_pipe_slice(text, start - 1, start + 1);
    return start > 0 && (around.n == 0 || !memchr(around.at, ' ', around.n));
}

static SnStatus tokens_of(SnPipe *p, const Tagger *t, const SnCodePoints *text, const SnEncoding *e,
                          const SnPipeRow *row, Entities *out, SnError *err)
{
    const size_t width = row->width;
    float *scores = sn_arena_array(&p->arena, row->n * width + 1, sizeof *scores);
    SN_CHECK(scores && sn_vec_reserve(p->arena.memory, out, e->n), err, SN_ENOMEM, "%s: no memory for tokens",
             p->task);
    for (size_t i = 0; i < e->n; i++) {
        float *own = scores + i * width;
        if (e->special_mask[i])
            continue;
        sn_pipe_softmax(row->at + i * width, own, width);
        const size_t best = sn_pipe_argmax(own, width);
        const int64_t start = e->offsets[2 * i], end = e->offsets[2 * i + 1];
        const bool is_unknown = e->ids[i] == t->unk;
        out->at[out->n++] = (Entity){
            .word = is_unknown ? sn_pipe_slice(text, start, end) : e->tokens[i],
            .label = sn_pipe_label(p, best),
            .scores = own,
            .score = own[best],
            .start = start,
            .end = end,
            .index = i,
            .is_subword = !is_unknown && continues_word(t, text, e->tokens[i], start, end),
        };
    }
    return SN_OK;
}

/* ---- words and groups ---- */

/* What the tokenizer's decoder makes of the words of n entities. */
static SnStatus join_words(SnPipe *p, const Entity *e, size_t n, SnBytes *out, SnError *err)
{
    const SnTokTable *table = (const SnTokTable *)(const void *)p->m->tokenizer.at;
    size_t size = 0;
    for (size_t i = 0; i < n; i++)
        SN_CHECK(sn_add_size(size, e[i].word.n + 2, &size), err, SN_ENOMEM, "%s: no memory", p->task);
    uint8_t *text = sn_arena_alloc(&p->arena, size + 1);
    void *work = sn_arena_alloc(&p->arena, SN_TOK_SPELL_WORK(size + 1));
    SN_CHECK(text && work, err, SN_ENOMEM, "%s: no memory for a word", p->task);
    *out = sn_bytes(text, 0);
    for (size_t i = 0; i < n; i++) {
        const SnBytes s = sn_tok_spelled(table, e[i].word, i == 0, work, size + 1);
        SN_CHECK(s.at && s.n <= size - out->n, err, SN_EUNSUPPORTED, "%s: the tokenizer's decoder",
                 p->m->folder);
        memcpy(text + out->n, s.at, s.n);
        out->n += s.n;
    }
    return SN_OK;
}

/* Mean scores of n tokens. */
static const float *mean_scores(SnPipe *p, const Entity *e, size_t n, size_t width)
{
    float *mean = sn_arena_array(&p->arena, width + 1, sizeof *mean);
    for (size_t k = 0; mean && k < width; k++) {
        float sum = 0;
        for (size_t i = 0; i < n; i++)
            sum += e[i].scores[k];
        mean[k] = sum / (float)n;
    }
    return mean;
}

/* The n tokens of a word, as one. */
static SnStatus word_of(SnPipe *p, Strategy strategy, const Entity *e, size_t n, size_t width, Entity *out,
                        SnError *err)
{
    const float *scores = e[0].scores;
    float highest = e[0].score;
    for (size_t i = 1; strategy == STRATEGY_MAX && i < n; i++)
        if (e[i].score > highest) {
            highest = e[i].score;
            scores = e[i].scores;
        }
    if (strategy == STRATEGY_AVERAGE)
        scores = mean_scores(p, e, n, width);
    SN_CHECK(scores, err, SN_ENOMEM, "%s: no memory for scores", p->task);
    const size_t best = sn_pipe_argmax(scores, width);
    *out = (Entity){
        .label = sn_pipe_label(p, best), .score = scores[best], .start = e[0].start, .end = e[n - 1].end};
    return join_words(p, e, n, &out->word, err);
}

/* Tokens to words, in place. */
static SnStatus words_of(SnPipe *p, Strategy strategy, size_t width, Entities *v, SnError *err)
{
    size_t nword = 0;
    for (size_t i = 0, n; i < v->n; i += n) {
        Entity word;
        for (n = 1; i + n < v->n && v->at[i + n].is_subword;)
            n++;
        SN_TRY(word_of(p, strategy, v->at + i, n, width, &word, err));
        v->at[nword++] = word;
    }
    v->n = nword;
    return SN_OK;
}

static bool begins_entity(SnBytes label)
{
    return label.n >= 2 && label.at[0] == 'B' && label.at[1] == '-';
}

/* The label without B- or I-. */
static SnBytes tag_of(SnBytes label)
{
    const bool has_mark = label.n >= 2 && (label.at[0] == 'B' || label.at[0] == 'I') && label.at[1] == '-';
    return has_mark ? sn_bytes(label.at + 2, label.n - 2) : label;
}

/* What follows the first dash. */
static SnBytes group_name(SnBytes label)
{
    const uint8_t *dash = label.n ? memchr(label.at, '-', label.n) : NULL;
    return dash ? sn_bytes(dash + 1, label.n - (size_t)(dash + 1 - label.at)) : label;
}

/* Neighbours of one tag to groups, in place; B- begins a new one. Words are joined, or parts of the text. */
static SnStatus groups_of(SnPipe *p, const SnCodePoints *text, Entities *v, SnError *err)
{
    size_t ngroup = 0;
    for (size_t i = 0, n; i < v->n; i += n) {
        const Entity *e = v->at + i;
        float sum = e[0].score;
        for (n = 1; i + n < v->n && !begins_entity(e[n].label) &&
                    sn_bytes_equal(tag_of(e[n].label), tag_of(e[n - 1].label));
             n++)
            sum += e[n].score;
        Entity group = {.label = group_name(e[0].label),
                        .score = sum / (float)n,
                        .start = e[0].start,
                        .end = e[n - 1].end};
        group.word = sn_pipe_slice(text, group.start, group.end);
        if (!p->m->opened)
            SN_TRY(join_words(p, e, n, &group.word, err));
        v->at[ngroup++] = group;
    }
    v->n = ngroup;
    return SN_OK;
}

/* ---- windows that overlap ---- */

static bool is_ignored(const Tagger *t, SnBytes label)
{
    SnBytes s = {0};
    if (!t->ignored)
        return sn_bytes_is(label, "O");
    for (uint32_t i = 0; i < t->ignored->n; i++)
        if (sn_json_string(&t->ignored->u.child[i], &s) && sn_bytes_equal(s, label))
            return true;
    return false;
}

static void drop_ignored(const Tagger *t, Entities *v)
{
    size_t n = 0;
    for (size_t i = 0; i < v->n; i++)
        if (!is_ignored(t, v->at[i].label))
            v->at[n++] = v->at[i];
    v->n = n;
}

/* Sorts by start, equal ones as they are. Windows are sorted already: few moves. */
static void sort_by_start(Entities *v)
{
    for (size_t i = 1; i < v->n; i++) {
        const Entity e = v->at[i];
        size_t k = i;
        for (; k > 0 && v->at[k - 1].start > e.start; k--)
            v->at[k] = v->at[k - 1];
        v->at[k] = e;
    }
}

/* Of entities that overlap the longer one stays, of equally long ones the likelier. An empty first one comes
 * twice, as in the reference. */
static SnStatus merge_windows(SnPipe *p, Entities *v, SnError *err)
{
    Entities out = {0};
    if (v->n == 0)
        return SN_OK;
    sort_by_start(v);
    SN_CHECK(sn_vec_reserve(p->arena.memory, &out, v->n + 1), err, SN_ENOMEM, "%s: no memory", p->task);
    Entity last = v->at[0];
    for (size_t i = 0; i < v->n; i++) {
        const Entity *e = &v->at[i];
        const int64_t gain = (e->end - e->start) - (last.end - last.start);
        if (last.start > e->start || e->start >= last.end) {
            out.at[out.n++] = last;
            last = *e;
        } else if (gain > 0 || (gain == 0 && e->score > last.score))
            last = *e;
    }
    out.at[out.n++] = last;
    sn_vec_clear(p->arena.memory, v);
    *v = out;
    return SN_OK;
}

/* ---- results ---- */

static void put_entities(SnText *out, const Entities *v, bool is_plain)
{
    sn_text_add(out, "[", 1);
    for (size_t i = 0; i < v->n; i++) {
        const Entity *e = &v->at[i];
        sn_text_printf(out, "%s{\"%s\": ", i ? ", " : "", is_plain ? "entity" : "entity_group");
        sn_json_put_string(out, e->label);
        sn_text_printf(out, ", \"score\": ");
        sn_json_put_f64(out, (double)e->score);
        if (is_plain)
            sn_text_printf(out, ", \"index\": %zu", e->index);
        sn_text_printf(out, ", \"word\": ");
        sn_json_put_string(out, e->word);
        sn_text_printf(out, ", \"start\": %lld, \"end\": %lld}", (long long)e->start, (long long)e->end);
    }
    sn_text_add(out, "]", 1);
}

/* The entities of one window join those of the text. */
static SnStatus tag_window(SnPipe *p, const Tagger *t, const SnCodePoints *text, const SnEncoding *e,
                           const SnPipeRow *row, Entities *all, SnError *err)
{
    Entities v = {0};
    SnStatus st = tokens_of(p, t, text, e, row, &v, err);
    if (st == SN_OK && t->strategy > STRATEGY_SIMPLE)
        st = words_of(p, t->strategy, row->width, &v, err);
    if (st == SN_OK && t->strategy > STRATEGY_NONE)
        st = groups_of(p, text, &v, err);
    drop_ignored(t, &v);
    if (st == SN_OK && !sn_vec_reserve(p->arena.memory, all, v.n))
        st = sn_fail(err, SN_ENOMEM, "%s: no memory for entities", p->task);
    for (size_t i = 0; st == SN_OK && i < v.n; i++)
        all->at[all->n++] = v.at[i];
    sn_vec_clear(p->arena.memory, &v);
    return st;
}

static SnStatus tag_text(SnPipe *p, const Tagger *t, SnBytes text, const SnEncoding *const *window, size_t n,
                         const SnPipeRow *row, SnError *err)
{
    Entities all = {0};
    SnCodePoints points;
    SN_TRY(sn_pipe_code_points(p, text, &points, err));
    SnStatus st = SN_OK;
    for (size_t i = 0; st == SN_OK && i < n; i++)
        st = tag_window(p, t, &points, window[i], &row[i], &all, err);
    if (st == SN_OK && n > 1)
        st = merge_windows(p, &all, err);
    if (st == SN_OK)
        put_entities(p->out, &all, t->strategy == STRATEGY_NONE);
    sn_vec_clear(p->arena.memory, &all);
    return st;
}

static SnStatus read_tagger(SnPipe *p, Tagger *t, SnTokenizeOptions *o, SnError *err)
{
    static const char *const names[] = {"none", "simple", "first", "average", "max"};
    const SnTokTable *table = (const SnTokTable *)(const void *)p->m->tokenizer.at;
    const int64_t limit = sn_text_limit(p->m);
    size_t strategy = STRATEGY_NONE;
    SN_TRY(sn_pipe_word(p, "aggregation_strategy", names, SN_COUNT(names), &strategy, err));
    SN_TRY(sn_pipe_int(p, "stride", 0, &o->stride, err));
    *t = (Tagger){.strategy = (Strategy)strategy,
                  .ignored = sn_pipe_arg(p, "ignore_labels"),
                  .has_stride = sn_pipe_arg(p, "stride") != NULL,
                  .prefix = sn_bytes(sn_tok_POOL(table) + table->prefix_at, table->prefix_size),
                  .unk = (int32_t)table->facts.name[SN_TOK_UNK]};
    SN_CHECK(!t->ignored || t->ignored->kind == SN_JSON_ARRAY, err, SN_EINVAL,
             "%s: ignore_labels is no list of labels", p->task);
    SN_CHECK(limit == 0 || o->stride < limit, err, SN_EINVAL,
             "%s: stride is %lld, the tokenizer's texts have at most %lld tokens", p->task,
             (long long)o->stride, (long long)limit);
    SN_CHECK(!t->has_stride || strategy != STRATEGY_NONE || !sn_pipe_arg(p, "aggregation_strategy"), err,
             SN_EINVAL, "%s: stride with the aggregation_strategy none", p->task);
    return SN_OK;
}

SnStatus sn_pipe_tag(SnPipe *p, SnError *err)
{
    static const char *const want[] = {"logits"};
    SnTokenizeOptions o = {.struct_size = sizeof o, .truncation = SN_TRUNCATE_LONGEST_FIRST};
    Tagger t;
    SnBytes *text = NULL;
    SnEncoding *first = NULL;
    SnPipeRow *row = NULL;
    size_t n = 0, nwindow = 0, at = 0;
    SN_TRY(read_tagger(p, &t, &o, err));
    SN_TRY(sn_pipe_texts(p, &text, &n, err));
    SN_TRY(sn_pipe_encode(p, text, NULL, n, &o, &first, err));
    for (size_t i = 0; i < n; i++)
        for (const SnEncoding *e = &first[i]; e; e = t.has_stride ? e->overflow : NULL)
            nwindow++;
    const SnEncoding **window = sn_arena_array(&p->arena, nwindow, sizeof *window);
    SN_CHECK(window, err, SN_ENOMEM, "%s: no memory for %zu windows", p->task, nwindow);
    for (size_t i = 0; i < n; i++)
        for (const SnEncoding *e = &first[i]; e; e = t.has_stride ? e->overflow : NULL)
            window[at++] = e;
    SN_TRY(sn_pipe_forward(p, window, nwindow, want, 1, SN_PIPE_TOKENS, &row, err));
    const bool is_list = p->input->kind == SN_JSON_ARRAY;
    at = 0;
    for (size_t i = 0, count; i < n; i++, at += count) {
        count = 1;
        for (const SnEncoding *e = &first[i]; t.has_stride && e->overflow; e = e->overflow)
            count++;
        sn_text_printf(p->out, "%s", i ? ", " : is_list ? "[" : "");
        SN_TRY(tag_text(p, &t, text[i], window + at, count, row + at, err));
    }
    sn_text_add(p->out, "]", is_list ? 1 : 0);
    return SN_OK;
}

/* ---- compiled ahead of time ---- */

/* Words are parts of the text: its program has no need of the tokens. */
static SnStatus opened_tokens(SnPipe *p, const SnCodePoints *text, const SnResults *r, Entities *out,
                              SnError *err)
{
    const SnView *special = &sn_results_find(r, "special")->view;
    const int32_t *is_special = (const int32_t *)special->data + special->start[0];
    const SnView *offsets = &sn_results_find(r, "offsets")->view;
    const int32_t *at = (const int32_t *)offsets->data + offsets->start[0];
    const int32_t *label = sn_results_find(r, "label")->view.data;
    const float *score = sn_results_find(r, "score")->view.data;
    const size_t n = (size_t)special->len[0];
    SN_CHECK(sn_vec_reserve(p->arena.memory, out, n), err, SN_ENOMEM, "%s: no memory for tokens", p->task);
    for (size_t i = 0; i < n; i++)
        if (!is_special[i])
            out->at[out->n++] = (Entity){.word = sn_pipe_slice(text, at[2 * i], at[2 * i + 1]),
                                         .label = sn_pipe_label(p, (size_t)label[i]),
                                         .score = score[i],
                                         .start = at[2 * i],
                                         .end = at[2 * i + 1],
                                         .index = i};
    return SN_OK;
}

static SnStatus tag_opened(SnPipe *p, const Tagger *t, SnBytes text, SnError *err)
{
    SnResults *r = NULL;
    SnCodePoints points;
    Entities v = {0};
    SN_TRY(sn_pipe_code_points(p, text, &points, err));
    SN_TRY(sn_pipe_opened_run(p, text, NULL, &r, err));
    SnStatus st = opened_tokens(p, &points, r, &v, err);
    if (st == SN_OK && t->strategy != STRATEGY_NONE)
        st = groups_of(p, &points, &v, err);
    drop_ignored(t, &v);
    if (st == SN_OK)
        put_entities(p->out, &v, t->strategy == STRATEGY_NONE);
    sn_vec_clear(p->arena.memory, &v);
    sn_results_destroy(r);
    return st;
}

SnStatus sn_pipe_opened_tag(SnPipe *p, SnError *err)
{
    SnTokenizeOptions o = {.struct_size = sizeof o};
    Tagger t;
    SnBytes *text = NULL;
    size_t n = 0;
    SN_TRY(read_tagger(p, &t, &o, err));
    SN_CHECK(t.strategy <= STRATEGY_SIMPLE, err, SN_EUNSUPPORTED,
             "%s: aggregation_strategy of a compiled model: none or simple", p->task);
    SN_TRY(sn_pipe_texts(p, &text, &n, err));
    const bool is_list = p->input->kind == SN_JSON_ARRAY;
    for (size_t i = 0; i < n; i++) {
        sn_text_printf(p->out, "%s", i ? ", " : is_list ? "[" : "");
        SN_TRY(tag_opened(p, &t, text[i], err));
    }
    sn_text_add(p->out, "]", is_list ? 1 : 0);
    return SN_OK;
}
