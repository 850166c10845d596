/* pipeline.c -- sn_model_pipeline: the table of tasks, and what they share. */
#include "frontends/tasks/pipeline.h"
#include "frontends/tasks/program.h"

#include <math.h>
#include <stdio.h>

#define MAX_SHOWN       80   /* bytes of a text in a message */
#define MAX_ROWS        32   /* windows in a batch */
#define MAX_TOKENS      8192 /* of a batch */
#define MAX_WIDE_TOKENS 512  /* of a batch whose outputs are as wide as the vocabulary */

/* ---- tasks ---- */

typedef struct Task {
    const char *name;
    SnPipeRun *run;
    const char *args;  /* names of its arguments; NULL: it looks for itself */
    SnPipeRun *opened; /* on a model that was compiled ahead of time; NULL: it cannot */
    const char *opened_args;
} Task;

#define ANSWER_ARGS "topk top_k max_answer_len handle_impossible_answer align_to_words"
#define TAG_ARGS    "aggregation_strategy ignore_labels"
static const Task tasks[] = {
    {"fill-mask", sn_pipe_fill_mask, "targets top_k tokenizer_kwargs", sn_pipe_opened_fill, ""},
    {"text-classification", sn_pipe_classify, NULL, sn_pipe_classify, "top_k"},
    {"sentiment-analysis", sn_pipe_classify, NULL, sn_pipe_classify, "top_k"},
    {"token-classification", sn_pipe_tag, TAG_ARGS " stride", sn_pipe_opened_tag, TAG_ARGS},
    {"ner", sn_pipe_tag, TAG_ARGS " stride", sn_pipe_opened_tag, TAG_ARGS},
    {"feature-extraction", sn_pipe_extract, "truncation tokenize_kwargs return_tensors", NULL, NULL},
    {"question-answering", sn_pipe_answer, ANSWER_ARGS " padding doc_stride max_seq_len max_question_len",
     sn_pipe_answer, ANSWER_ARGS},
    {"zero-shot-classification", sn_pipe_zero_shot, "candidate_labels hypothesis_template multi_label", NULL,
     NULL},
    {"text-generation", sn_pipe_generate, NULL, sn_pipe_opened_say, "return_full_text"},
    {"embed", sn_pipe_embed, "", sn_pipe_embed, ""},
};
#undef ANSWER_ARGS
#undef TAG_ARGS

static const Task *find_task(const char *name)
{
    const size_t i = SN_FIND_ROW(tasks, name, sn_bytes_str(name));
    return i < SN_COUNT(tasks) ? &tasks[i] : NULL;
}

static SnStatus check_args(const SnPipe *p, const char *args, SnError *err)
{
    const SnJson *k = p->kwargs;
    SN_CHECK(!k || k->kind == SN_JSON_OBJECT, err, SN_EINVAL, "%s: the arguments are no object", p->task);
    for (uint32_t i = 0; k && args && i < k->n; i++)
        SN_CHECK(sn_is_one_of(k->u.child[i].key, args) ||
                     sn_is_one_of(k->u.child[i].key, "batch_size num_workers"),
                 err, SN_EUNSUPPORTED, "%s: argument %.*s", p->task, sn_pipe_shown(k->u.child[i].key),
                 (const char *)k->u.child[i].key.at);
    return SN_OK;
}

SnStatus sn_model_pipeline(SnModel *m, const char *task, const SnJson *input, const SnJson *kwargs,
                           SnText *json, SnError *err)
{
    const char *name = task ? task : sn_model_task(m);
    const Task *t = find_task(name);
    SnPipeRun *const run = !t ? NULL : m->opened ? t->opened : t->run;
    SN_CHECK(m->config.json || m->opened, err, SN_EIO, "%s: no config.json", m->folder);
    SN_CHECK(run, err, SN_EUNSUPPORTED, "%s: task %s", m->folder, *name ? name : m->config.architecture);
    const size_t begin = json->n;
    SnPipe p = {
        .m = m, .task = name, .head = sn_task_head(name), .input = input, .kwargs = kwargs, .out = json};
    SN_TRY(check_args(&p, m->opened ? t->opened_args : t->args, err));
    SN_TRY(m->opened ? sn_opened_need(m, sn_task_kind(name), err) : sn_text_need(m, err));
    if (!m->opened)
        SN_TRY(sn_model_need(m, err));
    sn_arena_init(&p.arena, sn_allocator(m->ctx));
    SnStatus st = sn_text_config(m, &p.tokenizer, err);
    if (st == SN_OK)
        st = run(&p, err);
    if (st == SN_OK && json->failed)
        st = sn_fail(err, SN_ENOMEM, "%s: no memory for the result", name);
    if (st != SN_OK && json->at) {
        json->n = begin;
        json->at[begin] = 0;
    }
    sn_arena_clear(&p.arena);
    return st;
}

/* ---- arguments ---- */

const SnJson *sn_pipe_arg(const SnPipe *p, const char *name)
{
    const SnJson *v = sn_json_get(p->kwargs, name);
    return sn_json_is_null(v) ? NULL : v;
}

SnStatus sn_pipe_int(const SnPipe *p, const char *name, int64_t least, int64_t *out, SnError *err)
{
    const SnJson *v = sn_pipe_arg(p, name);
    SN_CHECK(!v || (v->kind == SN_JSON_INT && v->u.integer >= least && v->u.integer <= INT32_MAX), err,
             SN_EINVAL, "%s: %s is no whole number from %lld to %d", p->task, name, (long long)least,
             INT32_MAX);
    *out = v ? v->u.integer : *out;
    return SN_OK;
}

SnStatus sn_pipe_bool(const SnPipe *p, const char *name, bool *out, SnError *err)
{
    const SnJson *v = sn_pipe_arg(p, name);
    SN_CHECK(!v || sn_json_bool(v, out), err, SN_EINVAL, "%s: %s is neither true nor false", p->task, name);
    return SN_OK;
}

/* The reference takes its words in any case. */
static bool is_word(SnBytes s, const char *word)
{
    bool same = s.n == strlen(word);
    for (size_t i = 0; same && i < s.n; i++)
        same = (s.at[i] >= 'A' && s.at[i] <= 'Z' ? s.at[i] | 0x20 : s.at[i]) == (uint8_t)word[i];
    return same;
}

SnStatus sn_pipe_word(const SnPipe *p, const char *name, const char *const *word, size_t n, size_t *out,
                      SnError *err)
{
    const SnJson *v = sn_pipe_arg(p, name);
    SnBytes given = {0};
    if (!v)
        return SN_OK;
    SN_CHECK(sn_json_string(v, &given), err, SN_EINVAL, "%s: %s is no string", p->task, name);
    for (size_t i = 0; i < n; i++)
        if (is_word(given, word[i])) {
            *out = i;
            return SN_OK;
        }
    return sn_fail(err, SN_EINVAL, "%s: %s is \"%.*s\", which is none of its values", p->task, name,
                   sn_pipe_shown(given), (const char *)given.at);
}

/* An argument of the tokenizer that is true, false, null or a word; index of the word, 0 for false, 1 for
 * true.
 */
static SnStatus choose(const SnPipe *p, const SnJson *v, const char *name, const char *const *word, size_t n,
                       size_t *out, SnError *err)
{
    bool flag = false;
    *out = 0;
    if (sn_json_is_null(v) || sn_json_bool(v, &flag)) {
        *out = flag;
        return SN_OK;
    }
    for (size_t i = 0; i < n; i++)
        if (sn_json_is(v, word[i])) {
            *out = i;
            return SN_OK;
        }
    return sn_fail(err, SN_EINVAL, "%s: %s has a value that it cannot have", p->task, name);
}

static SnStatus set_lengths(const SnPipe *p, const SnJson *object, SnTokenizeOptions *o, SnError *err)
{
    static const char *const names[] = {"max_length", "stride", "pad_to_multiple_of"};
    int64_t *const field[] = {&o->max_length, &o->stride, &o->pad_multiple};
    for (size_t i = 0; i < SN_COUNT(names); i++) {
        const SnJson *v = sn_json_get(object, names[i]);
        const int64_t least = i == 1 ? 0 : 1;
        if (sn_json_is_null(v))
            continue;
        SN_CHECK(v->kind == SN_JSON_INT && v->u.integer >= least && v->u.integer <= INT32_MAX, err, SN_EINVAL,
                 "%s: %s is no whole number from %lld to %d", p->task, names[i], (long long)least, INT32_MAX);
        *field[i] = v->u.integer;
    }
    return SN_OK;
}

SnStatus sn_pipe_tokenizer_args(const SnPipe *p, const SnJson *object, const char *own, SnTokenizeOptions *o,
                                SnError *err)
{
    static const char known[] = "padding truncation max_length stride pad_to_multiple_of add_special_tokens "
                                "batch_size num_workers return_tensors";
    static const char *const strategy[] = {"do_not_truncate", "longest_first", "only_first", "only_second"};
    static const char *const padding[] = {"do_not_pad", "longest", "max_length"};
    size_t cut = 0, fill = 0;
    bool special = true;
    SN_CHECK(!object || object->kind == SN_JSON_OBJECT, err, SN_EINVAL,
             "%s: the tokenizer's arguments are no object", p->task);
    for (uint32_t i = 0; object && i < object->n; i++) {
        const SnBytes key = object->u.child[i].key;
        SN_CHECK(sn_is_one_of(key, known) || sn_is_one_of(key, own), err, SN_EUNSUPPORTED,
                 "%s: argument %.*s", p->task, sn_pipe_shown(key), (const char *)key.at);
    }
    const SnJson *truncation = sn_json_get(object, "truncation");
    SN_TRY(choose(p, truncation, "truncation", strategy, SN_COUNT(strategy), &cut, err));
    SN_TRY(choose(p, sn_json_get(object, "padding"), "padding", padding, SN_COUNT(padding), &fill, err));
    SN_TRY(set_lengths(p, object, o, err));
    const SnJson *v = sn_json_get(object, "add_special_tokens");
    SN_CHECK(!v || sn_json_bool(v, &special), err, SN_EINVAL,
             "%s: add_special_tokens is neither true nor false", p->task);
    if (sn_json_is_null(truncation) && o->max_length && fill == 0)
        cut = SN_TRUNCATE_LONGEST_FIRST;
    if (fill == 2)
        o->pad_length = o->max_length ? o->max_length : sn_text_limit(p->m);
    o->truncation = (SnTruncation)cut;
    o->no_special = !special;
    o->pad = o->pad_length > 0 || (fill != 0 && o->pad_multiple);
    return SN_OK;
}

/* ---- texts ---- */

int sn_pipe_shown(SnBytes text)
{
    size_t n = text.n < MAX_SHOWN ? text.n : MAX_SHOWN;
    while (n > 0 && n < text.n && (text.at[n] & 0xC0) == 0x80)
        n--;
    return (int)n;
}

SnStatus sn_pipe_text(SnPipe *p, const SnJson *v, const char *what, SnBytes *out, SnError *err)
{
    SnBytes s = {0};
    SnText repaired = {.memory = p->arena.memory};
    SN_CHECK(sn_json_string(v, &s), err, SN_EINVAL, "%s: %s is no string", p->task, what);
    if (sn_utf8_valid(s)) {
        *out = s.at ? s : sn_bytes("", 0);
        return SN_OK;
    }
    char *copy = sn_utf8_repair(&repaired, s) ? sn_arena_strndup(&p->arena, repaired.at, repaired.n) : NULL;
    *out = sn_bytes(copy, repaired.n);
    sn_text_clear(&repaired);
    SN_CHECK(copy, err, SN_ENOMEM, "%s: no memory for a text", p->task);
    return SN_OK;
}

SnStatus sn_pipe_texts(SnPipe *p, SnBytes **out, size_t *n, SnError *err)
{
    const SnJson *in = p->input;
    const bool is_list = in->kind == SN_JSON_ARRAY;
    SN_CHECK(!is_list || in->n > 0, err, SN_EINVAL, "%s: an empty list of inputs", p->task);
    *n = is_list ? in->n : 1;
    *out = sn_arena_array(&p->arena, *n, sizeof **out);
    SN_CHECK(*out, err, SN_ENOMEM, "%s: no memory for %zu texts", p->task, *n);
    for (size_t i = 0; i < *n; i++)
        SN_TRY(sn_pipe_text(p, is_list ? &in->u.child[i] : in, "an input", &(*out)[i], err));
    return SN_OK;
}

SnStatus sn_pipe_encode(SnPipe *p, const SnBytes *text, const SnBytes *pair, size_t n,
                        const SnTokenizeOptions *o, SnEncoding **out, SnError *err)
{
    size_t npair = 0;
    SnTokenizeOptions own = *o;
    own.truncate_left = p->tokenizer.cuts_left;
    own.pad_left = p->tokenizer.pads_left;
    for (size_t i = 0; pair && i < n; i++)
        npair += pair[i].at != NULL;
    /* The reference fills up each text on its own. */
    if (!o->pad && (npair == 0 || npair == n))
        return sn_text_encode(p->m, text, npair ? pair : NULL, n, &own, &p->arena, out, err);
    *out = sn_arena_array(&p->arena, n, sizeof **out);
    SN_CHECK(*out, err, SN_ENOMEM, "%s: no memory for tokens", p->task);
    for (size_t i = 0; i < n; i++) {
        SnEncoding *one = NULL;
        const SnBytes *other = npair && pair[i].at ? &pair[i] : NULL;
        SN_TRY(sn_text_encode(p->m, &text[i], other, 1, &own, &p->arena, &one, err));
        (*out)[i] = *one;
    }
    return SN_OK;
}

SnStatus sn_pipe_code_points(SnPipe *p, SnBytes text, SnCodePoints *out, SnError *err)
{
    size_t n = 0;
    uint32_t *at = text.n < UINT32_MAX ? sn_arena_array(&p->arena, text.n + 1, sizeof *at) : NULL;
    SN_CHECK(at, err, SN_ENOMEM, "%s: no memory for a text of %zu bytes", p->task, text.n);
    for (size_t i = 0; i < text.n; i++)
        if ((text.at[i] & 0xC0) != 0x80)
            at[n++] = (uint32_t)i;
    at[n] = (uint32_t)text.n;
    *out = (SnCodePoints){text, at, n};
    return SN_OK;
}

SnBytes sn_pipe_slice(const SnCodePoints *c, int64_t begin, int64_t end)
{
    const int64_t n = (int64_t)c->n, last = end < n ? end : n;
    const int64_t first = begin < last ? (begin < 0 ? 0 : begin) : last;
    if (last <= 0)
        return sn_bytes("", 0);
    return sn_bytes(c->text.at + c->at[first], c->at[last] - c->at[first]);
}

/* ---- the model ---- */

/* How many windows from the first on make the next batch, and their longest. */
static size_t batch_size(const SnEncoding *const *window, size_t n, size_t most, size_t *longest)
{
    size_t count = 0;
    *longest = 0;
    while (count < n && count < MAX_ROWS) {
        const size_t len = window[count]->n > *longest ? window[count]->n : *longest;
        if (count > 0 && len * (count + 1) > most)
            break;
        *longest = len;
        count++;
    }
    return count;
}

static SnStatus fill_inputs(SnPipe *p, SnArena *arena, const SnEncoding *const *window, size_t n, size_t seq,
                            SnNamedTensor in[3], SnError *err)
{
    static const char *const names[] = {"input_ids", "attention_mask", "token_type_ids"};
    const SnTokenizerFacts f = sn_tokenizer_facts(p->m->tokenizer);
    const int64_t pad = f.name[SN_TOK_PAD] == SN_TOK_NONE ? 0 : f.name[SN_TOK_PAD];
    int64_t *data[3];
    for (int k = 0; k < 3; k++) {
        data[k] = sn_arena_array(arena, n * seq, sizeof *data[k]);
        SN_CHECK(data[k], err, SN_ENOMEM, "%s: no memory for %zu tokens", p->task, n * seq);
        in[k] = (SnNamedTensor){names[k], sn_view(SN_I64, data[k], 2, (int64_t[]){(int64_t)n, (int64_t)seq})};
    }
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < seq; j++) {
            const bool is_token = j < window[i]->n;
            data[0][i * seq + j] = is_token ? window[i]->ids[j] : pad;
            data[1][i * seq + j] = is_token ? window[i]->attention_mask[j] : 0;
            data[2][i * seq + j] = is_token ? window[i]->type_ids[j] : 0;
        }
    return SN_OK;
}

/* Copies what belongs to window i. */
static SnStatus take_row(SnPipe *p, const SnView *v, size_t i, const SnEncoding *e, int64_t keep,
                         SnPipeRow *out, SnError *err)
{
    const bool is_whole = keep == SN_PIPE_WINDOW;
    const int ndim = v->ndim;
    SN_CHECK(v->dtype == SN_F32 && (ndim == 2 || (ndim == 3 && !is_whole)), err, SN_EINTERNAL,
             "%s: an output of %d dims", p->task, ndim);
    const size_t width = ndim == 3 ? (size_t)v->dims[2] : is_whole ? (size_t)v->dims[1] : 1;
    const size_t from = is_whole ? i : i * (size_t)v->dims[1], n = is_whole ? 1 : e->n;
    size_t kept = 0;
    for (size_t j = 0; j < n; j++)
        kept += keep < 0 || e->ids[j] == keep;
    float *to = sn_arena_array(&p->arena, kept * width + 1, sizeof *to);
    SN_CHECK(to, err, SN_ENOMEM, "%s: no memory for outputs", p->task);
    *out = (SnPipeRow){to, kept, width};
    for (size_t j = 0; j < n; j++)
        if (keep < 0 || e->ids[j] == keep) {
            memcpy(to, (const float *)v->data + (from + j) * width, width * sizeof *to);
            to += width;
        }
    return SN_OK;
}

static SnStatus run_batch(SnPipe *p, const SnEncoding *const *window, size_t n, size_t seq,
                          const char *const *want, size_t nwant, int64_t keep, SnPipeRow *out, SnError *err)
{
    SnArena arena;
    SnNamedTensor in[3];
    SnResults *r = NULL;
    sn_arena_init(&arena, sn_allocator(p->m->ctx));
    const char *head = strcmp(p->m->arch->task, p->head) == 0 ? NULL : p->head;
    SnStatus st = fill_inputs(p, &arena, window, n, seq, in, err);
    if (st == SN_OK)
        st = sn_model_forward_head(p->m, head, in, p->tokenizer.gives_types ? 3 : 2, want, nwant, &r, err);
    for (size_t i = 0; st == SN_OK && i < n; i++)
        for (size_t k = 0; st == SN_OK && k < nwant; k++)
            st =
                take_row(p, &sn_results_find(r, want[k])->view, i, window[i], keep, &out[i * nwant + k], err);
    sn_results_destroy(r);
    sn_arena_clear(&arena);
    return st;
}

SnStatus sn_pipe_forward(SnPipe *p, const SnEncoding *const *window, size_t n, const char *const *want,
                         size_t nwant, int64_t keep, SnPipeRow **out, SnError *err)
{
    *out = sn_arena_array(&p->arena, n, nwant * sizeof **out);
    SN_CHECK(*out, err, SN_ENOMEM, "%s: no memory for outputs", p->task);
    for (size_t at = 0, count, seq; at < n; at += count) {
        count = batch_size(window + at, n - at, keep < 0 ? MAX_TOKENS : MAX_WIDE_TOKENS, &seq);
        SN_CHECK(seq > 0, err, SN_EINVAL, "%s: a text without tokens", p->task);
        SN_TRY(run_batch(p, window + at, count, seq, want, nwant, keep, *out + at * nwant, err));
    }
    return SN_OK;
}

SnBytes sn_pipe_label(SnPipe *p, size_t i)
{
    const char *s =
        p->m->opened ? p->m->opened->program->typed->label[i] : sn_config_label(&p->m->config, (int64_t)i);
    if (!s)
        s = sn_arena_printf(&p->arena, "LABEL_%zu", i);
    return s ? sn_bytes_str(s) : (SnBytes){0};
}

/* ---- numbers ---- */

size_t sn_pipe_argmax(const float *x, size_t n)
{
    size_t best = 0;
    for (size_t i = 1; i < n; i++)
        if (x[i] > x[best])
            best = i;
    return best;
}

void sn_pipe_softmax(const float *x, float *y, size_t n)
{
    const float max = n ? x[sn_pipe_argmax(x, n)] : 0;
    double sum = 0;
    for (size_t i = 0; i < n; i++) {
        y[i] = expf(x[i] - max);
        sum += (double)y[i];
    }
    for (size_t i = 0; i < n; i++)
        y[i] = (float)((double)y[i] / sum);
}

size_t *sn_pipe_rank(SnArena *arena, const float *x, size_t n)
{
    size_t *order = sn_arena_array(arena, n + 1, sizeof *order),
           *aux = sn_arena_array(arena, n + 1, sizeof *aux);
    if (!order || !aux)
        return NULL;
    for (size_t i = 0; i < n; i++)
        order[i] = i;
    for (size_t width = 1; width < n; width *= 2) {
        for (size_t lo = 0; lo < n; lo += 2 * width) {
            const size_t mid = lo + width < n ? lo + width : n, hi = mid + width < n ? mid + width : n;
            for (size_t i = lo, j = mid, k = lo; k < hi; k++)
                aux[k] = i < mid && (j >= hi || !(x[order[j]] > x[order[i]])) ? order[i++] : order[j++];
        }
        memcpy(order, aux, n * sizeof *order);
    }
    return order;
}
