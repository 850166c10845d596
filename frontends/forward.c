/* forward.c -- named tensors in, named tensors out: one program for each kind of input. */
#include "frontends/model.h"

#include "frontends/hf/adapter.h"

#include "runtime/tensor.h"

/* ---- results ---- */

struct SnResults {
    SnContext *ctx;
    SnArena arena; /* names and data */
    SnNamedTensor *tensor;
    size_t n;
};

size_t sn_results_count(const SnResults *r)
{
    return r->n;
}

const SnNamedTensor *sn_results_get(const SnResults *r, size_t i)
{
    return i < r->n ? &r->tensor[i] : NULL;
}

const SnNamedTensor *sn_results_find(const SnResults *r, const char *name)
{
    for (size_t i = 0; i < r->n; i++)
        if (strcmp(r->tensor[i].name, name) == 0)
            return &r->tensor[i];
    return NULL;
}

void sn_results_destroy(SnResults *r)
{
    if (!r)
        return;
    SnContext *ctx = r->ctx;
    sn_arena_clear(&r->arena);
    sn_free(sn_allocator(ctx), r, sizeof *r, _Alignof(max_align_t));
}

SnStatus sn_results_finish(SnStatus st, SnResults *r, SnResults **out)
{
    if (st == SN_OK)
        *out = r;
    else
        sn_results_destroy(r);
    return st;
}

SnStatus sn_results_create(SnContext *ctx, size_t n, SnResults **out, SnError *err)
{
    SnResults *r = sn_alloc_zero(sn_allocator(ctx), sizeof *r, _Alignof(max_align_t));
    SN_CHECK(r, err, SN_ENOMEM, "no memory for results");
    r->ctx = ctx;
    sn_arena_init(&r->arena, sn_allocator(ctx));
    r->tensor = sn_arena_array(&r->arena, n + 1, sizeof *r->tensor);
    if (!r->tensor) {
        sn_results_destroy(r);
        return sn_fail(err, SN_ENOMEM, "no memory for %zu results", n);
    }
    *out = r;
    return SN_OK;
}

static SnStatus add_list(SnResults *r, const char *name, const SnView *v, SnError *err);

SnStatus sn_results_reserve(SnResults *r, const char *name, const SnView *v, SnError *err)
{
    int64_t count = 0;
    SN_CHECK(sn_view_count(v, &count), err, SN_EINTERNAL, "result %s: its shape overflows", name);
    const size_t size = (size_t)count * sn_dtype_size(v->dtype);
    const char *own = sn_arena_strndup(&r->arena, name, strlen(name));
    void *data = sn_arena_alloc(&r->arena, size + 1);
    SN_CHECK(own && data, err, SN_ENOMEM, "result %s: no memory for %zu bytes", name, size);
    r->tensor[r->n++] = (SnNamedTensor){own, sn_view(v->dtype, data, v->ndim, v->dims)};
    return SN_OK;
}

SnStatus sn_results_add(SnResults *r, const char *name, const SnView *v, SnError *err)
{
    if (v->start)
        return add_list(r, name, v, err);
    SN_TRY(sn_results_reserve(r, name, v, err));
    const SnView *own = &r->tensor[r->n - 1].view;
    int64_t count = 0;
    (void)sn_view_count(own, &count);
    return sn_view_copy(v, own->data, (size_t)count * sn_dtype_size(v->dtype), err);
}

/* A list keeps its child whole: start and len are copied beside it. */
static SnStatus add_list(SnResults *r, const char *name, const SnView *v, SnError *err)
{
    int64_t rows = 1;
    for (int32_t i = 0; i < v->ndim; i++)
        rows *= v->dims[i];
    const size_t bytes = (size_t)rows * sizeof(int64_t),
                 size = (size_t)v->child_count * sn_dtype_size(v->dtype);
    const char *own = sn_arena_strndup(&r->arena, name, strlen(name));
    int64_t *start = sn_arena_alloc(&r->arena, bytes + 1), *len = sn_arena_alloc(&r->arena, bytes + 1);
    void *data = sn_arena_alloc(&r->arena, size + 1);
    SN_CHECK(own && start && len && data, err, SN_ENOMEM, "result %s: no memory for %zu bytes", name, size);
    if (rows) {
        memcpy(start, v->start, bytes);
        memcpy(len, v->len, bytes);
    }
    if (size)
        memcpy(data, v->data, size);
    SnNamedTensor *t = &r->tensor[r->n++];
    *t = (SnNamedTensor){own, *v};
    t->view.data = data;
    t->view.start = start;
    t->view.len = len;
    return SN_OK;
}

/* ---- one run ---- */

static const SnNamedTensor *find_input(const SnNamedTensor *in, size_t nin, const char *name)
{
    for (size_t i = 0; i < nin; i++)
        if (strcmp(in[i].name, name) == 0)
            return &in[i];
    return NULL;
}

static SnStatus evaluate(SnModelProgram *p, SnContext *ctx, const SnNamedTensor *in, size_t nin,
                         SnResults **out, SnError *err)
{
    SnArena arena;
    sn_arena_init(&arena, sn_allocator(ctx));
    SnNamedView *view = sn_arena_array(&arena, nin + 1, sizeof *view);
    SnStatus st = view ? SN_OK : sn_fail(err, SN_ENOMEM, "no memory for inputs");
    for (size_t i = 0; st == SN_OK && i < nin; i++)
        view[i] = (SnNamedView){in[i].name, in[i].view};
    sn_eval_destroy(p->evaluated);
    p->evaluated = NULL;
    if (st == SN_OK)
        st = sn_eval(p->graph, sn_graph_root(p->graph), NULL, view, nin, &p->evaluated, err);
    const size_t n = p->evaluated ? sn_eval_count(p->evaluated) : 0;
    if (st == SN_OK)
        st = sn_results_create(ctx, n, out, err);
    for (size_t i = 0; st == SN_OK && i < n; i++) {
        const SnNamedView *v = sn_eval_get(p->evaluated, i);
        st = sn_results_add(*out, v->name, &v->view, err);
    }
    sn_arena_clear(&arena);
    return st;
}

static SnStatus bind_inputs(const SnModel *m, SnModelProgram *p, const char *entry, const SnNamedTensor *in,
                            size_t nin, SnError *err)
{
    const size_t n = entry ? strlen(entry) : 0;
    SnSlotInfo slot;
    SnView own;
    for (uint32_t i = 0; sn_program_input(p->program, entry, i, &slot); i++) {
        const bool has_prefix = n > 0 && strncmp(slot.name, entry, n) == 0 && slot.name[n] == '.';
        const SnNamedTensor *t = find_input(in, nin, slot.name + (has_prefix ? n + 1 : 0));
        const bool is_own = !t && m->adapter && sn_adapter_find(m->adapter, slot.name, &own);
        SN_CHECK(t || is_own || slot.is_unused, err, SN_EINVAL, "input %s is not given", slot.name);
        if (t || is_own)
            SN_TRY(sn_bind(p->instance, slot.name, t ? &t->view : &own, err));
    }
    return SN_OK;
}

static SnStatus copy_results(SnContext *ctx, SnModelProgram *p, const char *entry, SnResults **out,
                             SnError *err)
{
    SnSlotInfo slot;
    uint32_t n = 0;
    while (sn_program_output(p->program, entry, n, &slot))
        n++;
    SN_TRY(sn_results_create(ctx, n, out, err));
    for (uint32_t i = 0; i < n && sn_program_output(p->program, entry, i, &slot); i++) {
        SnView v;
        SN_TRY(sn_result(p->instance, slot.name, &v, err));
        SN_TRY(sn_results_add(*out, slot.name, &v, err));
    }
    return SN_OK;
}

SnStatus sn_model_run_entry(SnModel *m, SnModelProgram *p, const char *entry, const SnNamedTensor *in,
                            size_t nin, SnResults **out, SnError *err)
{
    SnResults *r = NULL;
    if (entry)
        SN_TRY(sn_entry(p->instance, entry, err));
    SN_TRY(bind_inputs(m, p, entry, in, nin, err));
    SN_TRY(sn_run(p->instance, err));
    const SnStatus st = out ? copy_results(m->ctx, p, entry, &r, err) : SN_OK;
    if (st == SN_OK && out)
        *out = r;
    else
        sn_results_destroy(r);
    return st;
}

SnStatus sn_model_run(SnModel *m, SnModelProgram *p, const SnNamedTensor *in, size_t nin, SnResults **out,
                      SnError *err)
{
    SnResults *r = NULL;
    if (p->program)
        return sn_model_run_entry(m, p, NULL, in, nin, out, err);
    const SnStatus st = evaluate(p, m->ctx, in, nin, &r, err);
    return sn_results_finish(st, r, out);
}

/* ---- inputs ---- */

typedef enum InputKind {
    BY_TOKEN,  /* [batch, seq] or [batch, choices, seq] */
    BY_WIDTH,  /* the same and a width */
    BY_TARGET, /* [batch, target] */
    BY_IMAGE,  /* [batch, channels, height, width]: all but the first are the program's */
    BY_LABEL, /* [batch], [batch, n], or as BY_TOKEN or BY_TARGET where the head has a label for each token */
} InputKind;

static const struct {
    const char *name;
    InputKind kind;
} kinds[] = {
    {"input_ids", BY_TOKEN},           {"attention_mask", BY_TOKEN},
    {"token_type_ids", BY_TOKEN},      {"position_ids", BY_TOKEN},
    {"inputs_embeds", BY_WIDTH},       {"labels", BY_LABEL},
    {"start_positions", BY_LABEL},     {"end_positions", BY_LABEL},
    {"next_sentence_label", BY_LABEL}, {"sentence_order_label", BY_LABEL},
    {"decoder_input_ids", BY_TARGET},  {"decoder_attention_mask", BY_TARGET},
    {"pixel_values", BY_IMAGE},        {"adapter_rows", BY_LABEL},
};

/* Heads with a label for each token, of the input or of what is to come out. */
static const struct {
    const char *task;
    InputKind labels;
} labelled[] = {{"fill-mask", BY_TOKEN},
                {"token-classification", BY_TOKEN},
                {"text-generation", BY_TOKEN},
                {"pretraining", BY_TOKEN},
                {SN_TASK_SEQ2SEQ, BY_TARGET}};

static bool is_of_images(const SnArch *a)
{
    return strncmp(a->task, "image-", 6) == 0;
}

/* Of an input that the architecture has. arch NULL: of any; labels are BY_LABEL. */
static bool kind_of(const SnArch *arch, const char *name, InputKind *out)
{
    const size_t i = SN_FIND_ROW(kinds, name, sn_bytes_str(name));
    if (i == SN_COUNT(kinds))
        return false;
    *out = kinds[i].kind;
    if (arch && (is_of_images(arch) ? *out < BY_IMAGE : *out == BY_IMAGE))
        return false;
    if (arch && *out == BY_TARGET && !(arch->family && arch->family->has_target))
        return false;
    const size_t k = arch && strcmp(name, "labels") == 0
                         ? SN_FIND_ROW(labelled, task, sn_bytes_str(arch->task))
                         : SN_COUNT(labelled);
    if (k < SN_COUNT(labelled))
        *out = labelled[k].labels;
    return true;
}

/* A first dim of 1 stands for every row where other inputs have more. */
static const char *batch_symbol(const SnNamedTensor *t, const SnNamedTensor *in, size_t nin)
{
    for (size_t i = 0; i < nin; i++)
        if (t->view.ndim > 0 && in[i].view.ndim == t->view.ndim && t->view.dims[0] == 1 &&
            in[i].view.dims[0] != 1)
            return NULL;
    return "batch";
}

SnStatus sn_input_shape(const SnArch *arch, const SnNamedTensor *t, const SnNamedTensor *in, size_t nin,
                        SnInputShape *s, SnError *err)
{
    static const char *const plain[] = {"batch", "seq"}, *const chosen[] = {"batch", "choices", "seq"};
    static const struct {
        int least, most;
        const char *dims;
    } ranks[] = {[BY_TOKEN] = {2, 3, "[batch, seq] or [batch, choices, seq]"},
                 [BY_WIDTH] = {3, 4, "[batch, seq, width] or [batch, choices, seq, width]"},
                 [BY_TARGET] = {2, 2, "[batch, target]"},
                 [BY_IMAGE] = {4, 4, "[batch, channels, height, width]"},
                 [BY_LABEL] = {1, 2, "[batch] or [batch, labels]"}};
    const SnView *v = &t->view;
    InputKind kind = BY_TOKEN;
    SN_CHECK(kind_of(arch, t->name, &kind), err, SN_EUNSUPPORTED, "%s has no input %s", arch->name, t->name);
    SN_CHECK(v->ndim >= ranks[kind].least && v->ndim <= ranks[kind].most, err, SN_ESHAPE,
             "input %s: %d dims, expected %s", t->name, v->ndim, ranks[kind].dims);
    *s = (SnInputShape){.dtype = v->dtype, .ndim = v->ndim};
    for (int i = 0; i < v->ndim; i++) {
        s->dims[i] = v->dims[i];
        SN_CHECK(v->dims[i] >= 1, err, SN_ESHAPE, "input %s: dim %d is %lld", t->name, i,
                 (long long)v->dims[i]);
    }
    const int rank = v->ndim - (kind == BY_WIDTH);
    for (int i = 0; kind <= BY_WIDTH && i < rank; i++)
        s->symbol[i] = rank == 3 ? chosen[i] : plain[i];
    s->symbol[0] = strcmp(t->name, "position_ids") == 0 ? batch_symbol(t, in, nin) : "batch";
    if (kind == BY_TARGET)
        s->symbol[1] = "target";
    return SN_OK;
}

static void put_shape(SnText *key, const char *name, const SnInputShape *s)
{
    sn_text_printf(key, "%s:%s", name, sn_dtype(s->dtype)->name);
    for (int i = 0; i < s->ndim; i++)
        if (s->symbol[i])
            sn_text_printf(key, ",%s", s->symbol[i]);
        else
            sn_text_printf(key, ",%lld", (long long)s->dims[i]);
    sn_text_add(key, ";", 1);
}

/* ---- the program ---- */

typedef struct Request {
    const char *head; /* NULL: the model's own */
    const char *const *name;
    const SnInputShape *shape;
    size_t nin;
    const char *const *want;
    size_t nwant;
} Request;

SnValue sn_input_make(SnGraph *g, const char *name, const SnInputShape *s, bool has_micros)
{
    static const int64_t most = (int64_t)1 << 24;
    SnValue dims[SN_MAX_RANK];
    int n = 0;
    if (has_micros)
        dims[n++] = sn_symbol(g, "micro", 1, most);
    for (int i = 0; i < s->ndim && n < SN_MAX_RANK; i++)
        dims[n++] = s->symbol[i] ? sn_symbol(g, s->symbol[i], 1, most) : sn_const_int(g, SN_I64, s->dims[i]);
    const SnValue v = sn_input(g, name, s->dtype, n, dims);
    return sn_dtype_is_float(s->dtype) ? sn_cast(g, v, SN_F32) : sn_cast(g, v, SN_I64);
}

static void fill(SnModel *m, SnGraph *g, SnModelProgram *p, void *user)
{
    const Request *r = user;
    SnNamedValue *in = sn_arena_array(&m->arena, r->nin + 1, sizeof *in);
    if (!in) {
        sn_graph_fail(g, SN_ENOMEM, "no memory for inputs");
        return;
    }
    for (size_t i = 0; i < r->nin; i++) {
        const char *own = sn_arena_strndup(&m->arena, r->name[i], strlen(r->name[i]));
        in[i] = (SnNamedValue){own ? own : "", sn_input_make(g, r->name[i], &r->shape[i], false)};
    }
    SnModelPart part = {.head = r->head, .in = in, .nin = r->nin, .want = r->want, .nwant = r->nwant};
    part.takes_adapter = sn_model_takes_adapter(m);
    if (sn_wants_gradients(part.want, part.nwant))
        sn_model_build_gradients(m, g, &part);
    else
        sn_model_build(m, g, &part);
    for (size_t i = 0; i < part.out.n; i++)
        sn_output(g, part.out.at[i].name, part.out.at[i].value);
    p->range = part.range;
    p->nrange = part.nrange;
    p->max_seq = part.max_seq;
    sn_model_part_clear(m, &part);
}

/* ---- values ---- */

static SnStatus check_range(const SnIdRange *r, const SnNamedTensor *t, SnError *err)
{
    int64_t count = 0, index[SN_MAX_RANK] = {0};
    const SnView *v = &t->view;
    const size_t size = sn_dtype_size(v->dtype);
    SN_CHECK(sn_view_count(v, &count), err, SN_ESHAPE, "input %s: its shape overflows", t->name);
    const bool is_dense = sn_view_is_dense(v);
    for (int64_t n = 0; n < count; n++) {
        int64_t at = is_dense ? n : 0;
        for (int32_t d = 0; !is_dense && d < v->ndim; d++)
            at += index[d] * v->strides[d];
        const int64_t id = sn_scalar_load(v->dtype, (const uint8_t *)v->data + at * (int64_t)size).i;
        SN_CHECK((id >= 0 && id < r->rows) || (r->ignored && id == r->ignored), err, SN_EINVAL,
                 "input %s: %lld at place %lld is outside of the %lld rows of %s", t->name, (long long)id,
                 (long long)n, (long long)r->rows, r->table);
        for (int32_t d = v->ndim; d-- > 0 && ++index[d] == v->dims[d];)
            index[d] = 0;
    }
    return SN_OK;
}

static SnStatus check_values(const SnModelProgram *p, const SnNamedTensor *in, size_t nin, SnError *err)
{
    for (size_t i = 0; i < nin; i++) {
        InputKind kind = BY_LABEL;
        const SnView *v = &in[i].view;
        if (!kind_of(NULL, in[i].name, &kind) || kind > BY_WIDTH || !p->max_seq)
            continue;
        const int64_t seq = v->dims[v->ndim - 1 - (kind == BY_WIDTH)];
        SN_CHECK(seq <= p->max_seq, err, SN_ESHAPE, "input %s: %lld tokens, the model has %lld positions",
                 in[i].name, (long long)seq, (long long)p->max_seq);
    }
    for (size_t i = 0; i < p->nrange; i++) {
        const SnNamedTensor *t = find_input(in, nin, p->range[i].input);
        if (t)
            SN_TRY(check_range(&p->range[i], t, err));
    }
    return SN_OK;
}

static SnStatus find_program(SnModel *m, const Request *r, SnModelProgram **out, SnError *err)
{
    SnText key = {.memory = sn_allocator(m->ctx)};
    sn_model_key(m, &key);
    sn_text_printf(&key, "%s of ", r->head ? r->head : m->arch->name);
    for (size_t i = 0; i < r->nin; i++)
        put_shape(&key, r->name[i], &r->shape[i]);
    for (size_t i = 0; i < r->nwant; i++)
        sn_text_printf(&key, "%s%s", i ? " " : "> ", r->want[i]);
    const SnStatus st = key.failed ? sn_fail(err, SN_ENOMEM, "%s: no memory for a key", m->folder)
                                   : sn_model_program(m, key.at, fill, (void *)(uintptr_t)r, out, err);
    sn_text_clear(&key);
    return st;
}

/* ---- programs in text form ---- */

static void fill_text(SnModel *m, SnGraph *g, SnModelProgram *p, void *user)
{
    SnError err = {0};
    (void)p;
    (void)user;
    if (sn_graph_parse(g, m->folder, sn_file_bytes(m->text), &err) != SN_OK)
        (void)sn_graph_fail(g, err.code, "%s", err.message);
}

/* Keeps what is wanted, in that order. */
static SnStatus pick_results(const SnModel *m, SnResults *r, const char *const *want, size_t nwant,
                             SnError *err)
{
    SnNamedTensor *picked = sn_arena_array(&r->arena, nwant + 1, sizeof *picked);
    SN_CHECK(picked, err, SN_ENOMEM, "%s: no memory for results", m->folder);
    for (size_t i = 0; i < nwant; i++) {
        const SnNamedTensor *t = sn_results_find(r, want[i]);
        SN_CHECK(t, err, SN_EUNSUPPORTED, "%s: no output %s", m->folder, want[i]);
        picked[i] = *t;
    }
    r->tensor = picked;
    r->n = nwant;
    return SN_OK;
}

/* A program that stands for a folder. */
static SnStatus own_program(SnModel *m, SnModelProgram **out, SnError *err)
{
    SN_CHECK(!sn_model_talks(m), err, SN_EUNSUPPORTED, "%s: compiled to talk, not for tensors", m->folder);
    *out = m->opened;
    return m->opened ? SN_OK : sn_model_program(m, "text", fill_text, NULL, out, err);
}

static SnStatus forward_own(SnModel *m, const SnNamedTensor *in, size_t nin, const char *const *want,
                            size_t nwant, SnResults **out, SnError *err)
{
    SnModelProgram *p = NULL;
    SnResults *r = NULL;
    SN_TRY(own_program(m, &p, err));
    SN_TRY(sn_model_run(m, p, in, nin, &r, err));
    const SnStatus st = nwant ? pick_results(m, r, want, nwant, err) : SN_OK;
    return sn_results_finish(st, r, out);
}

/* ---- entry points ---- */

SnStatus sn_model_forward(SnModel *m, const SnNamedTensor *in, size_t nin, const char *const *want,
                          size_t nwant, SnResults **out, SnError *err)
{
    if (m->text || m->opened)
        return forward_own(m, in, nin, want, nwant, out, err);
    return sn_model_forward_head(m, NULL, in, nin, want, nwant, out, err);
}

SnStatus sn_model_forward_head(SnModel *m, const char *head, const SnNamedTensor *in, size_t nin,
                               const char *const *want, size_t nwant, SnResults **out, SnError *err)
{
    SnArena arena;
    SnModelProgram *p = NULL;
    SN_TRY(sn_model_need(m, err));
    const SnArch *arch = head ? sn_arch_find(m->config.model_type, head) : m->arch;
    SN_CHECK(arch, err, SN_EUNSUPPORTED, "%s: %s of %s", m->folder, head, m->config.model_type);
    sn_arena_init(&arena, sn_allocator(m->ctx));
    SnInputShape *shape = sn_arena_array(&arena, nin + 1, sizeof *shape);
    const char **name = sn_arena_array(&arena, nin + 1, sizeof *name);
    SnStatus st = shape && name ? SN_OK : sn_fail(err, SN_ENOMEM, "%s: no memory", m->folder);
    for (size_t i = 0; st == SN_OK && i < nin; i++) {
        name[i] = in[i].name;
        st = sn_input_shape(arch, &in[i], in, nin, &shape[i], err);
    }
    const Request r = {.head = head, .name = name, .shape = shape, .nin = nin, .want = want, .nwant = nwant};
    if (st == SN_OK)
        st = find_program(m, &r, &p, err);
    if (st == SN_OK)
        st = check_values(p, in, nin, err);
    if (st == SN_OK)
        st = sn_model_run(m, p, in, nin, out, err);
    sn_arena_clear(&arena);
    return st;
}

SnNamedTensor sn_input_usual(const SnModel *m, const char *name)
{
    static const int64_t one[SN_MAX_RANK] = {1, 1, 1};
    const SnJson *size = sn_config_get(&m->config, "image_size");
    int64_t image[SN_MAX_RANK] = {1, sn_config_int(&m->config, "num_channels", 3), 224, 224};
    for (uint32_t k = 0; size && k < 2; k++)
        (void)sn_json_int(size->kind == SN_JSON_ARRAY ? sn_json_at(size, k) : size, &image[2 + k]);
    InputKind kind = BY_TOKEN;
    (void)kind_of(m->arch, name, &kind);
    const int rank = kind == BY_LABEL                                ? 1
                     : kind == BY_IMAGE                              ? 4
                     : strcmp(m->arch->task, "multiple-choice") == 0 ? 3
                                                                     : 2;
    return (SnNamedTensor){name, kind == BY_IMAGE ? sn_view(SN_F32, NULL, rank, image)
                                                  : sn_view(SN_I64, NULL, rank, one)};
}

static SnStatus usual_shapes(const SnModel *m, const char *const *input, size_t n, SnInputShape *shape,
                             SnError *err)
{
    for (size_t i = 0; i < n; i++) {
        const SnNamedTensor t = sn_input_usual(m, input[i]);
        SN_TRY(sn_input_shape(m->arch, &t, NULL, 0, &shape[i], err));
    }
    return SN_OK;
}

static const char *const usual_inputs[] = {"input_ids", "attention_mask", "decoder_input_ids"},
                         *const usual_images[] = {"pixel_values"};

size_t sn_input_names(const SnModel *m, const char *const **name)
{
    const bool is_image = m->arch && is_of_images(m->arch);
    *name = is_image ? usual_images : usual_inputs;
    return is_image ? 1 : m->arch && m->arch->family && m->arch->family->has_target ? 3 : 2;
}

/* A request for inputs by name alone; its shapes are in the arena. Weights are needed where there is no text
 * form. */
static SnStatus usual_request(SnModel *m, SnArena *arena, Request *r, SnError *err)
{
    if (!m->text)
        SN_TRY(sn_model_need(m, err));
    if (r->nin == 0)
        r->nin = sn_input_names(m, &r->name);
    SnInputShape *shape = sn_arena_array(arena, r->nin, sizeof *shape);
    SN_CHECK(shape, err, SN_ENOMEM, "%s: no memory", m->folder);
    r->shape = shape;
    return m->text ? SN_OK : usual_shapes(m, r->name, r->nin, shape, err);
}

SnStatus sn_model_fill_forward(SnModel *m, const char *const *input, size_t ninput, const char *const *want,
                               size_t nwant, SnModelProgram *p, SnError *err)
{
    SnArena arena;
    Request r = {.name = input, .nin = ninput, .want = want, .nwant = nwant};
    sn_arena_init(&arena, sn_allocator(m->ctx));
    SnStatus st = usual_request(m, &arena, &r, err);
    if (st == SN_OK)
        st = sn_model_fill(m, m->text ? fill_text : fill, &r, p, err);
    sn_arena_clear(&arena);
    return st;
}

SnStatus sn_model_graph(SnModel *m, const char *const *input, size_t ninput, const char *const *want,
                        size_t nwant, SnText *text, SnError *err)
{
    SnModelProgram p = {0};
    SnStatus st = sn_model_fill_forward(m, input, ninput, want, nwant, &p, err);
    if (st == SN_OK)
        st = sn_graph_print(p.graph, text, err);
    sn_graph_destroy(p.graph);
    return st;
}

static void describe(const SnModelProgram *p, SnPrepared *out)
{
    *out = (SnPrepared){.program = p->program, .instance = p->instance, .max_seq = p->max_seq};
    for (size_t i = 0; i < p->nrange; i++)
        if (strcmp(p->range[i].input, "input_ids") == 0)
            out->nid = p->range[i].rows;
}

SnStatus sn_model_prepare(SnModel *m, const char *const *input, size_t ninput, const char *const *want,
                          size_t nwant, SnPrepared *out, SnError *err)
{
    SnArena arena;
    SnModelProgram *p = NULL;
    Request r = {.name = input, .nin = ninput, .want = want, .nwant = nwant};
    sn_arena_init(&arena, sn_allocator(m->ctx));
    SnStatus st = m->opened ? SN_OK : usual_request(m, &arena, &r, err);
    if (st == SN_OK)
        st = m->text || m->opened ? own_program(m, &p, err) : find_program(m, &r, &p, err);
    if (st == SN_OK && !p->program)
        st = sn_fail(err, SN_EUNSUPPORTED, "%s: nothing is compiled for device %s", m->folder, m->device);
    if (st == SN_OK)
        describe(p, out);
    sn_arena_clear(&arena);
    return st;
}
