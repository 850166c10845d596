/* workload.c -- opens a model for plan and bench: its shape from the command line, its inputs from a fixed
 * stream of numbers. */
#include "tools/workload.h"

#include <errno.h>
#include <stdlib.h>

static const struct {
    const char *name;
    int64_t value;
} usual_dims[] = {{"batch", 1}, {"seq", 128}, {"choices", 2}};

/* ---- the shape ---- */

int64_t workload_dim(const Workload *w, const char *name, int64_t otherwise)
{
    for (int i = 0; i < w->ndim; i++)
        if (strcmp(w->dim[i].name, name) == 0)
            return w->dim[i].value;
    return otherwise;
}

int workload_shape(Workload *w, const char *shape)
{
    for (const char *at = shape; at && *at;) {
        const char *eq = strchr(at, '=');
        char *end = NULL;
        errno = 0;
        const long long v = eq ? strtoll(eq + 1, &end, 10) : 0;
        if (!eq || eq == at || end == eq + 1 || errno || (*end != ',' && *end != 0) || v < 0)
            return usage_error(w->a, "--shape: expected NAME=NUMBER,... found \"%s\"", shape);
        if (w->ndim == WORKLOAD_DIMS)
            return usage_error(w->a, "--shape: more than %d dims", WORKLOAD_DIMS);
        w->dim[w->ndim].name = sn_arena_strndup(&w->arena, at, (size_t)(eq - at));
        w->dim[w->ndim].value = v;
        if (!w->dim[w->ndim++].name)
            return report_memory();
        at = *end ? end + 1 : end;
    }
    return EXIT_DONE;
}

static bool has_symbol(const SnProgram *p, const char *name)
{
    SnSlotInfo slot;
    for (uint32_t i = 0; sn_program_input(p, NULL, i, &slot); i++)
        for (int32_t d = 0; d < slot.ndim; d++)
            if (slot.symbol[d] && strcmp(slot.symbol[d], name) == 0)
                return true;
    return false;
}

/* A dim that the line does not name has its usual size, or what fits the model. */
static int add_dim(Workload *w, const char *name)
{
    if (workload_dim(w, name, -1) >= 0)
        return EXIT_DONE;
    for (size_t i = 0; i < SN_COUNT(usual_dims); i++) {
        if (strcmp(usual_dims[i].name, name) != 0 || w->ndim == WORKLOAD_DIMS)
            continue;
        const int64_t most = strcmp(name, "seq") == 0 && w->p.max_seq ? w->p.max_seq : INT64_MAX;
        w->dim[w->ndim].name = usual_dims[i].name;
        w->dim[w->ndim++].value = usual_dims[i].value < most ? usual_dims[i].value : most;
        return EXIT_DONE;
    }
    return usage_error(w->a, "--shape does not say what %s is", name);
}

static int print_shape(Workload *w)
{
    int n = 0;
    for (int i = 0; i < w->ndim && n >= 0 && n < (int)sizeof w->shape; i++)
        n += snprintf(w->shape + n, sizeof w->shape - (size_t)n, "%s%s=%lld", i ? "," : "", w->dim[i].name,
                      (long long)w->dim[i].value);
    return n < (int)sizeof w->shape ? EXIT_DONE : usage_error(w->a, "--shape: the names are too long");
}

static int complete_shape(Workload *w)
{
    SnSlotInfo slot;
    int status = EXIT_DONE;
    for (int i = 0; i < w->ndim; i++)
        if (!has_symbol(w->p.program, w->dim[i].name))
            return usage_error(w->a, "--shape: the model has no dim %s", w->dim[i].name);
    for (uint32_t i = 0; status == EXIT_DONE && sn_program_input(w->p.program, NULL, i, &slot); i++)
        for (int32_t d = 0; status == EXIT_DONE && d < slot.ndim; d++)
            if (slot.symbol[d])
                status = add_dim(w, slot.symbol[d]);
    const int64_t seq = workload_dim(w, "seq", 0);
    if (status == EXIT_DONE && w->p.max_seq && seq > w->p.max_seq) {
        (void)fprintf(stderr, "sinter: %s: seq is %lld, the model has %lld positions\n", w->a->at[0],
                      (long long)seq, (long long)w->p.max_seq);
        return EXIT_FAILED;
    }
    return status == EXIT_DONE ? print_shape(w) : status;
}

/* ---- life ---- */

static double ms_since(uint64_t ns)
{
    return (double)(sn_now_ns() - ns) / 1e6;
}

static bool is_embed(const char *task)
{
    return task && strcmp(task, "embed") == 0;
}

int workload_open(const Args *a, const char *task, const char *shape, Workload *w)
{
    static const char *const hidden[] = {"last_hidden_state"};
    SnError err = {0};
    *w = (Workload){.a = a};
    uint64_t begin = sn_now_ns();
    int status = session_open(a, a->at[0], is_embed(task) ? NULL : task, &w->s);
    w->load_ms = ms_since(begin);
    if (status != EXIT_DONE)
        return status;
    sn_arena_init(&w->arena, sn_allocator(w->s.ctx));
    status = workload_shape(w, shape);
    if (status != EXIT_DONE || is_embed(task))
        return status;
    /* A base model is asked for what a head reads of it. */
    const bool is_base = strcmp(sn_model_task(w->s.model), "feature-extraction") == 0;
    begin = sn_now_ns();
    const SnStatus st = sn_model_prepare(w->s.model, NULL, 0, hidden, is_base, &w->p, &err);
    w->compile_ms = ms_since(begin);
    return st == SN_OK ? complete_shape(w) : report(a->at[0], st, &err);
}

void workload_close(Workload *w)
{
    sn_arena_clear(&w->arena);
    session_close(&w->s);
}

/* ---- inputs ---- */

/* Ids are spread over the table, so that rows come from memory as they do for texts. */
static void fill(const Workload *w, const char *name, SnDtype dtype, void *data, int64_t n)
{
    const bool is_id = strcmp(name, "input_ids") == 0;
    uint64_t x = 88172645463325252u;
    for (int64_t i = 0; i < n; i++) {
        SnScalar v = {.i = is_id ? 0 : strcmp(name, "attention_mask") == 0};
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        if (is_id && w->p.nid > 0)
            v.i = (int64_t)(x % (uint64_t)w->p.nid);
        if (sn_dtype_is_float(dtype))
            v.f = (double)(x >> 11) / (double)(UINT64_C(1) << 52) - 1;
        sn_scalar_store(dtype, (uint8_t *)data + (size_t)i * sn_dtype_size(dtype), v);
    }
}

static SnStatus bind_input(Workload *w, const SnSlotInfo *slot, SnError *err)
{
    int64_t dims[SN_MAX_RANK], n = 1;
    SN_CHECK(!slot->is_list && !slot->is_object, err, SN_EUNSUPPORTED, "input %s is no tensor", slot->name);
    for (int32_t d = 0; d < slot->ndim; d++) {
        dims[d] = slot->symbol[d] ? workload_dim(w, slot->symbol[d], 1) : slot->dims[d];
        SN_CHECK(dims[d] >= 0 && (dims[d] == 0 || n <= ((int64_t)1 << 40) / dims[d]), err, SN_ESHAPE,
                 "input %s: dim %d is %lld", slot->name, d, (long long)dims[d]);
        n *= dims[d];
    }
    void *data = sn_arena_alloc(&w->arena, (size_t)n * sn_dtype_size(slot->dtype) + 64);
    SN_CHECK(data, err, SN_ENOMEM, "input %s: no memory", slot->name);
    fill(w, slot->name, slot->dtype, data, n);
    const SnView v = sn_view(slot->dtype, data, slot->ndim, dims);
    return sn_bind(w->p.instance, slot->name, &v, err);
}

static SnStatus count_tokens(Workload *w, SnBytes text, int64_t *out, SnError *err)
{
    SnArena arena;
    SnEncoding *e = NULL;
    const SnTokenizeOptions o = {.struct_size = sizeof o};
    sn_arena_init(&arena, sn_allocator(w->s.ctx));
    const SnStatus st = sn_model_tokenize(w->s.model, &text, NULL, 1, &o, &arena, &e, err);
    if (st == SN_OK)
        *out = (int64_t)e->n;
    sn_arena_clear(&arena);
    return st;
}

/* A text of words that is at least `seq` tokens long, special tokens included. */
static SnStatus make_text(Workload *w, int64_t seq, size_t row, SnBytes *out, SnError *err)
{
    static const char *const word[] = {"the", "house", "of",   "a",    "man",  "was",   "in",   "water",
                                       "and", "his",   "work", "with", "time", "world", "that", "people"};
    SnText t = {.memory = sn_allocator(w->s.ctx)};
    SnStatus st = SN_OK;
    int64_t have = 0;
    for (size_t i = row; st == SN_OK && have < seq && !t.failed; i++) {
        sn_text_printf(&t, "%s%s", t.n ? " " : "", word[i % SN_COUNT(word)]);
        st = count_tokens(w, sn_bytes(t.at, t.n), &have, err);
    }
    const char *own = t.failed ? NULL : sn_arena_strndup(&w->arena, t.at ? t.at : "", t.n);
    *out = sn_bytes(own, t.n);
    sn_text_clear(&t);
    SN_CHECK(st != SN_OK || own, err, SN_ENOMEM, "no memory for texts");
    return st;
}

static SnStatus make_texts(Workload *w, SnError *err)
{
    const int64_t batch = workload_dim(w, "batch", 1), seq = workload_dim(w, "seq", 128);
    SN_CHECK(batch >= 1 && batch <= 4096 && seq >= 1 && seq <= 4096, err, SN_ESHAPE,
             "texts: batch and seq are 1 to 4096, found %lld and %lld", (long long)batch, (long long)seq);
    w->text = sn_arena_array(&w->arena, (size_t)batch, sizeof *w->text);
    SN_CHECK(w->text, err, SN_ENOMEM, "no memory for texts");
    for (int64_t i = 0; i < batch; i++)
        SN_TRY(make_text(w, seq, (size_t)i, &w->text[i], err));
    w->ndim = 2;
    w->dim[0].name = "batch";
    w->dim[0].value = batch;
    w->dim[1].name = "seq";
    w->dim[1].value = seq;
    return SN_OK;
}

int workload_start(Workload *w)
{
    SnError err = {0};
    SnSlotInfo slot;
    SnStatus st = SN_OK;
    int status = EXIT_DONE;
    if (!w->p.program) {
        st = make_texts(w, &err);
        status = st == SN_OK ? print_shape(w) : EXIT_DONE;
    }
    for (uint32_t i = 0; st == SN_OK && w->p.program && sn_program_input(w->p.program, NULL, i, &slot); i++)
        st = bind_input(w, &slot, &err);
    const uint64_t begin = sn_now_ns();
    if (st == SN_OK && status == EXIT_DONE)
        st = workload_run(w, &err);
    w->first_ms = ms_since(begin);
    return st == SN_OK ? status : report(w->a->at[0], st, &err);
}

SnStatus workload_run(Workload *w, SnError *err)
{
    SnResults *r = NULL;
    if (w->p.program)
        return sn_run(w->p.instance, err);
    const SnStatus st = sn_model_embed(w->s.model, w->text, (size_t)workload_dim(w, "batch", 1), &r, err);
    sn_results_destroy(r);
    return st;
}
