/* typed_run.c -- runs of typed contexts: texts in, steps, results that are numbers, state, traces. */
#include "runtime/typed_context.h"

#include "runtime/context.h"

/* ---- texts ---- */

/* More than there is: only where the host lends memory. */
SnStatus sn_typed_room(SnTyped *t, SnTypedText *x, size_t n)
{
    if (n <= x->size)
        return SN_OK;
    if (t->block)
        return sn_typed_fail(t, SN_ESHAPE, "a text of %zu bytes: the block of this context has room for %zu",
                             n, x->size);
    char *at = sn_resize(&t->memory, x->at, x->size, n, 1);
    if (!at)
        return sn_typed_fail(t, SN_ENOMEM, "no memory for a text of %zu bytes", n);
    x->at = at;
    x->size = n;
    return SN_OK;
}

static SnStatus check_texts(SnTyped *t, uint32_t ntext, const SnBytes *text)
{
    static const char *const takes[] = {"one text", "two texts"};
    const bool is_answer = t->desc->kind == SN_TYPED_ANSWER;
    if (t->desc->kind == SN_TYPED_TENSORS || t->desc->kind == SN_TYPED_TRAIN)
        return sn_typed_fail(t, SN_EINVAL, "this model takes tensors: bind them");
    if (!t->entry[ntext - 1])
        return sn_typed_fail(t, SN_EINVAL, "this model takes %s", takes[ntext == 1]);
    for (uint32_t i = 0; i < ntext; i++) {
        if (!text[i].at && text[i].n)
            return sn_typed_fail(t, SN_EINVAL, "a text of %zu bytes at NULL", text[i].n);
        if (is_answer && text[i].n == 0)
            return sn_typed_fail(t, SN_EINVAL, "the %s is empty", i == 0 ? "question" : "context");
    }
    return SN_OK;
}

static SnStatus begin(SnTyped *t, uint32_t ntext, const SnBytes *text)
{
    static const char *const input[] = {"text", "pair"};
    SnStatus st = check_texts(t, ntext, text);
    for (uint32_t i = 0; st == SN_OK && i < ntext; i++)
        st = sn_typed_room(t, &t->text[i], text[i].n);
    if (st != SN_OK)
        return st;
    /* Between tiles nothing is held: a run that is not done is just forgotten. */
    t->instance->running = t->has_text = t->is_done = false;
    st = sn_entry(t->instance, t->entry[ntext - 1], &t->err);
    for (uint32_t i = 0; st == SN_OK && i < ntext; i++) {
        SnTypedText *x = &t->text[i];
        if (text[i].n)
            memcpy(x->at, text[i].at, text[i].n);
        x->n = (int64_t)text[i].n;
        SnView v = sn_view(SN_U8, x->at, 1, (int64_t[]){1});
        v.start = &x->start;
        v.len = &x->n;
        v.child_count = x->n;
        st = sn_bind(t->instance, input[i], &v, &t->err);
    }
    t->has_text = st == SN_OK;
    return st;
}

SnStatus sn_typed_begin(SnTyped *t, const char *utf8, size_t n)
{
    if (t->desc->kind == SN_TYPED_CHAT)
        return sn_typed_talk_begin(t, utf8, n);
    return begin(t, 1, &(SnBytes){(const uint8_t *)utf8, n});
}

SnStatus sn_typed_begin_pair(SnTyped *t, const char *a, size_t na, const char *b, size_t nb)
{
    return begin(t, 2, (SnBytes[]){{(const uint8_t *)a, na}, {(const uint8_t *)b, nb}});
}

/* ---- steps ---- */

static SnStatus go_on(SnTyped *t, uint64_t budget_ns)
{
    bool done = false;
    if (t->desc->kind == SN_TYPED_CHAT)
        return sn_typed_talk_step(t, budget_ns);
    if (t->has_text && t->is_done)
        return SN_OK;
    t->is_done = false;
    const SnStatus st = sn_run_some(t->instance, budget_ns, &done, &t->err);
    t->is_done = st == SN_OK && done;
    return st == SN_OK && !done ? SN_TYPED_AGAIN : st;
}

SnStatus sn_typed_step(SnTyped *t, uint64_t budget_ns)
{
    if (t->desc->kind == SN_TYPED_TRAIN && !t->instance->running)
        SN_TRY(sn_entry(t->instance, "step", &t->err));
    return go_on(t, budget_ns);
}

SnStatus sn_typed_run(SnTyped *t)
{
    return go_on(t, 0);
}

void sn_typed_cancel(SnTyped *t)
{
    atomic_store(&t->talk.is_cancelled, true);
    sn_cancel(t->instance);
}

/* ---- results ---- */

SnStatus sn_typed_find(SnTyped *t, SnTypedKind kind, const char *output, SnDtype dtype, bool is_list,
                       int ndim, SnView *out)
{
    SnError *err = &t->err;
    SnView v = {0};
    SN_CHECK(t->desc->kind == (uint32_t)kind, err, SN_EINVAL, "this model has no %s", output);
    SN_CHECK(t->has_text && t->is_done, err, SN_EINVAL, "no run of a text has ended since the last begin");
    SN_TRY(sn_result(t->instance, output, &v, err));
    SN_CHECK(v.dtype == dtype && (v.start != NULL) == is_list && v.ndim == ndim &&
                 (ndim == 0 || v.dims[0] > 0),
             err, SN_EFORMAT, "output %s is not as it should be", output);
    *out = v;
    return SN_OK;
}

SnStatus sn_typed_rows(SnTyped *t, SnTypedKind kind, const char *output, SnDtype dtype, int64_t width,
                       SnView *out)
{
    SnView v = {0};
    SN_TRY(sn_typed_find(t, kind, output, dtype, false, 2, &v));
    SN_CHECK(v.dims[1] == width, &t->err, SN_EFORMAT, "output %s has rows of %lld, expected %lld", output,
             (long long)v.dims[1], (long long)width);
    *out = v;
    return SN_OK;
}

static SnStatus copy_row(SnTyped *t, SnTypedKind kind, const char *output, float *out)
{
    SnView v = {0};
    if (!out)
        return sn_typed_fail(t, SN_EINVAL, "no place for the %s", output);
    SN_TRY(sn_typed_rows(t, kind, output, SN_F32, t->desc->width, &v));
    memcpy(out, v.data, t->desc->width * sizeof *out);
    return SN_OK;
}

SnStatus sn_typed_vector(SnTyped *t, float *out)
{
    return copy_row(t, SN_TYPED_EMBED, "embeddings", out);
}

SnStatus sn_typed_scores(SnTyped *t, float *out)
{
    return copy_row(t, SN_TYPED_CLASSIFY, "scores", out);
}

SnStatus sn_typed_embed(SnTyped *t, const char *utf8, size_t n, float *out)
{
    SN_TRY(sn_typed_begin(t, utf8, n));
    SN_TRY(sn_typed_run(t));
    return sn_typed_vector(t, out);
}

SnStatus sn_typed_classify(SnTyped *t, const char *utf8, size_t n, float *scores)
{
    SN_TRY(sn_typed_begin(t, utf8, n));
    SN_TRY(sn_typed_run(t));
    return sn_typed_scores(t, scores);
}

SnStatus sn_typed_classify_pair(SnTyped *t, const char *a, size_t na, const char *b, size_t nb, float *scores)
{
    SN_TRY(sn_typed_begin_pair(t, a, na, b, nb));
    SN_TRY(sn_typed_run(t));
    return sn_typed_scores(t, scores);
}

/* ---- by name ---- */

/* The driver of a conversation has its own order. */
static SnStatus check_names(SnTyped *t)
{
    const bool talks = t->desc->kind == SN_TYPED_CHAT;
    return talks ? sn_typed_fail(t, SN_EINVAL, "this model talks: begin a message") : SN_OK;
}

/* What is bound or planned by name has nothing to do with texts that were begun. */
static SnStatus by_name(SnTyped *t, SnStatus st)
{
    if (st == SN_OK)
        t->has_text = t->is_done = false;
    return st;
}

SnStatus sn_typed_entry(SnTyped *t, const char *entry)
{
    SN_TRY(check_names(t));
    return by_name(t, sn_entry(t->instance, entry, &t->err));
}

/* The entry of a training that has the input. */
static SnStatus find_entry(SnTyped *t, const char *input)
{
    const SnImage *m = t->program->image;
    const SnEntryRow *e = SN_ROWS(m, SnEntryRow, entry);
    for (uint32_t i = 0; t->desc->kind == SN_TYPED_TRAIN && i < m->entry.count; i++)
        if (sn_instance_slot(t->instance, e[i].input, input))
            return sn_entry(t->instance, sn_image_string(m, e[i].name), &t->err);
    return SN_OK;
}

SnStatus sn_typed_bind(SnTyped *t, const char *input, const SnView *view)
{
    SN_TRY(check_names(t));
    SN_TRY(find_entry(t, input));
    return by_name(t, sn_bind(t->instance, input, view, &t->err));
}

SnStatus sn_typed_reserve(SnTyped *t, const char *shape)
{
    SN_TRY(check_names(t));
    return by_name(t, sn_reserve(t->instance, shape, &t->err));
}

SnStatus sn_typed_result(SnTyped *t, const char *output, SnView *out)
{
    SN_TRY(check_names(t));
    return sn_result(t->instance, output, out, &t->err);
}

/* ---- training ---- */

static SnStatus run_entry(SnTyped *t, const char *entry)
{
    if (t->desc->kind != SN_TYPED_TRAIN)
        return sn_typed_fail(t, SN_EINVAL, "this model does not train");
    SN_TRY(by_name(t, sn_entry(t->instance, entry, &t->err)));
    return go_on(t, 0);
}

SnStatus sn_typed_eval(SnTyped *t)
{
    return run_entry(t, "eval");
}

SnStatus sn_typed_state(SnTyped *t)
{
    return run_entry(t, "state");
}

SnStatus sn_typed_restore(SnTyped *t)
{
    return run_entry(t, "restore");
}

SnStatus sn_typed_reset(SnTyped *t)
{
    SN_TRY(check_names(t));
    SN_TRY(by_name(t, sn_reset(t->instance, &t->err)));
    return t->desc->kind == SN_TYPED_TRAIN ? run_entry(t, "begin") : SN_OK;
}

/* ---- state ---- */

SnStatus sn_typed_state_save(SnTyped *t, void *to, size_t *size)
{
    SN_TRY(check_names(t));
    return sn_state_save(t->instance, to, size, &t->err);
}

SnStatus sn_typed_state_load(SnTyped *t, const void *from, size_t size)
{
    SN_TRY(check_names(t));
    return by_name(t, sn_state_load(t->instance, from, size, &t->err));
}

/* ---- traces ---- */

static void trace_both(void *self, const SnTraceEvent *e)
{
    SnTyped *t = self;
    const SnTrace own = sn_trace_hook(&t->writer);
    own.event(own.self, e);
    if (t->trace.event)
        t->trace.event(t->trace.self, e);
}

SnStatus sn_typed_trace_begin(SnTyped *t)
{
    if (t->is_tracing)
        return sn_typed_fail(t, SN_EINVAL, "a trace was begun already");
    sn_trace_init(&t->writer, &t->scratch);
    t->ctx->trace = (SnTrace){t, trace_both};
    t->is_tracing = true;
    return SN_OK;
}

SnStatus sn_typed_trace_end(SnTyped *t, const char *path)
{
    SnContext files = *t->ctx;
    if (!t->is_tracing)
        return sn_typed_fail(t, SN_EINVAL, "no trace was begun");
    files.memory = t->scratch;
    const SnStatus st = sn_trace_write(&files, &t->writer, path, &t->err);
    t->ctx->trace = t->trace;
    t->is_tracing = false;
    sn_trace_clear(&t->writer);
    return st;
}
