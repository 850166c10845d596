/* generate.c -- sn_model_generate: tensors in, sequences out, as generate() of Transformers. */
#include "frontends/tasks/generate.h"

#include "frontends/hf/adapter.h"
#include "runtime/context.h"
#include "runtime/tensor.h"

/* One call. */
typedef struct Call {
    SnModel *m;
    SnGenConfig config;
    SnArena arena;
    SnLm *lm;
    const SnView *ids;
    int64_t batch, seq, rows, length; /* length: tokens at which rows end */
    int64_t before;                   /* of seq and length: virtual ones, behind the padding */
    uint32_t slots;                   /* of a row: a guided one takes two */
    int32_t *prompt;                  /* [batch][seq] */
    uint32_t *npad;                   /* [batch] */
    int64_t *room;                    /* [batch]: tokens for which the model has positions */
    SnLmNumber number[SN_GEN_NUMBERS];
    uint32_t nnumber;
    float *logits, *scores; /* [rows][length - seq][vocabulary] */
    int64_t steps;          /* of them */
    size_t vocabulary;
    SnGenText *text; /* [rows], where there are stop strings */
    SnResults *out;
} Call;

/* ---- inputs ---- */

static int64_t element(const SnView *v, int64_t i)
{
    return sn_scalar_load(v->dtype, (const uint8_t *)v->data + i * (int64_t)sn_dtype_size(v->dtype)).i;
}

static bool is_matrix(const SnView *v)
{
    return v->ndim == 2 && !sn_dtype_is_float(v->dtype) && sn_view_is_dense(v) && !v->start;
}

static SnStatus read_padding(Call *c, const SnView *mask, SnError *err)
{
    if (!mask)
        return SN_OK;
    const int64_t seq = c->seq - c->before;
    SN_CHECK(is_matrix(mask) && mask->dims[0] == c->batch && mask->dims[1] == seq, err, SN_ESHAPE,
             "attention_mask: expected [%lld, %lld] as input_ids", (long long)c->batch, (long long)seq);
    for (int64_t b = 0; b < c->batch; b++) {
        int64_t n = 0;
        while (n < seq && element(mask, b * seq + n) == 0)
            n++;
        for (int64_t i = n; i < seq; i++)
            SN_CHECK(element(mask, b * seq + i) != 0, err, SN_EUNSUPPORTED,
                     "attention_mask: padding behind tokens, in row %lld", (long long)b);
        SN_CHECK(n < seq, err, SN_EINVAL, "attention_mask: row %lld has no tokens", (long long)b);
        c->npad[b] = (uint32_t)n;
    }
    return SN_OK;
}

static SnStatus read_inputs(Call *c, const SnView *ids, const SnView *mask, SnError *err)
{
    SN_CHECK(is_matrix(ids) && ids->dims[0] >= 1 && ids->dims[1] >= 1 && ids->dims[1] < (1 << 24), err,
             SN_ESHAPE, "input_ids: expected whole numbers [batch, seq]");
    c->batch = ids->dims[0];
    c->before = sn_gen_virtual(c->m);
    c->seq = c->before + ids->dims[1];
    c->prompt = sn_arena_array(&c->arena, (size_t)(c->batch * c->seq), sizeof *c->prompt);
    c->npad = sn_arena_array(&c->arena, (size_t)c->batch, sizeof *c->npad);
    c->room = sn_arena_array(&c->arena, (size_t)c->batch, sizeof *c->room);
    SN_CHECK(c->prompt && c->npad && c->room, err, SN_ENOMEM, "no memory for %lld rows", (long long)c->batch);
    SN_TRY(read_padding(c, mask, err));
    for (int64_t i = 0; i < c->batch * c->seq; i++) {
        const int64_t pad = c->npad[i / c->seq], at = i % c->seq;
        const int64_t from = at < pad ? at : at < pad + c->before ? pad : at - c->before;
        const int64_t id = element(ids, i / c->seq * ids->dims[1] + from);
        SN_TRY(sn_gen_check_id(c->m, id, err));
        c->prompt[i] = (int32_t)id;
    }
    return SN_OK;
}

/* ---- rows ---- */

static SnLmRow row_of(Call *c, int64_t i)
{
    const int64_t b = i / (c->rows / c->batch);
    c->number[c->nnumber - 1].value = (double)(c->config.seed + i);
    if (c->config.adapter.n > 1)
        c->number[c->nnumber - 2].value = (double)c->config.adapter.at[b];
    const SnIds *negative = &c->config.negative;
    return (SnLmRow){.ids = c->prompt + b * c->seq,
                     .guide = negative->n ? negative->at : c->prompt + (b + 1) * c->seq - 1,
                     .nguide = !c->config.is_guided ? 0
                               : negative->n        ? negative->n
                                                    : 1,
                     .nid = (uint32_t)c->seq,
                     .npad = c->npad[b],
                     .max_new = (uint32_t)(c->room[b] < c->length - c->seq ? c->room[b] : c->length - c->seq),
                     .stop = c->config.end.at,
                     .nstop = c->config.end.n,
                     .ndraft = (uint32_t)c->config.prompt_lookup_num_tokens,
                     .ngram = (uint32_t)c->config.max_matching_ngram_size,
                     .number = c->number,
                     .nnumber = c->nnumber};
}

static SnStatus open_driver(Call *c, SnError *err)
{
    const SnGenConfig *g = &c->config;
    const int64_t beams = g->num_beams, nend = g->end.n > 1 ? g->end.n : 1;
    SnProgram *program = NULL;
    SnGenProgram spec = {.config = g, .keep = beams > 1 ? (uint32_t)((nend + 1) * beams) : 0};
    const int64_t given = c->seq - c->before, length = sn_gen_max_length(c->m, g, given);
    SN_CHECK(length > given, err, SN_EINVAL, "%lld tokens, max_length is %lld", (long long)given,
             (long long)length);
    SN_CHECK(g->adapter.n <= 1 || g->adapter.n == c->batch, err, SN_EINVAL, "adapter_rows: %u of %lld rows",
             g->adapter.n, (long long)c->batch);
    c->length = c->before + length;
    c->rows = c->batch * (beams > 1 ? beams : g->num_return_sequences);
    c->slots = g->is_guided ? 2 : 1;
    SN_CHECK(c->rows * c->slots <= 4096 && c->length < (1 << 24), err, SN_EINVAL, "%lld rows of %lld tokens",
             (long long)c->rows, (long long)c->length);
    SN_TRY(sn_gen_program(c->m, &spec, &program, err));
    const bool counts_pads = c->m->adapter && sn_adapter_counts_pads(c->m->adapter);
    for (int64_t b = 0; b < c->batch; b++)
        SN_TRY(sn_gen_room(c->m, spec.places, c->seq - (counts_pads ? 0 : c->npad[b]), &c->room[b], err));
    c->nnumber = sn_gen_numbers(g, spec.number, spec.nnumber, g->seed, c->number);
    SnLmDesc d = {.struct_size = sizeof d,
                  .rows = (uint32_t)c->rows * c->slots,
                  .context = (uint32_t)(c->length + (g->negative.n > c->seq ? g->negative.n - c->seq : 0)),
                  .wanted = 1 + (uint32_t)g->prompt_lookup_num_tokens,
                  .has_beams = beams > 1};
    SN_TRY(sn_gen_adapter(c->m, &c->arena, &d, err));
    return sn_lm_create(program, &d, &c->lm, err);
}

/* ---- results ---- */

/* Room for what is kept of each step, once the vocabulary is known. */
static SnStatus keep_step(Call *c, const float *step, float **all, int64_t row, int64_t at, size_t vocabulary,
                          SnError *err)
{
    const size_t steps = (size_t)(c->length - c->seq);
    size_t n = 0;
    if (!step)
        return SN_OK;
    c->vocabulary = vocabulary;
    if (!*all) {
        SN_CHECK(sn_mul_size(steps * (size_t)c->rows, vocabulary, &n), err, SN_ENOMEM, "too many logits");
        *all = sn_arena_array(&c->arena, n, sizeof **all);
        SN_CHECK(*all, err, SN_ENOMEM, "no memory for %zu logits", n);
    }
    c->steps = at + 1 > c->steps ? at + 1 : c->steps;
    memcpy(*all + ((size_t)row * steps + (size_t)at) * vocabulary, step, vocabulary * sizeof *step);
    return SN_OK;
}

static SnStatus give_steps(Call *c, const char *name, const float *all, SnError *err)
{
    const int64_t dims[] = {c->rows, c->steps, (int64_t)c->vocabulary};
    SnView v = sn_view(SN_F32, NULL, 3, dims);
    if (!all)
        return SN_OK;
    SN_TRY(sn_results_reserve(c->out, name, &v, err));
    float *to = sn_results_find(c->out, name)->view.data;
    const size_t row = (size_t)(c->length - c->seq) * c->vocabulary, n = (size_t)c->steps * c->vocabulary;
    for (int64_t i = 0; i < c->rows; i++)
        memcpy(to + (size_t)i * n, all + (size_t)i * row, n * sizeof *to);
    return SN_OK;
}

static SnStatus give_sequences(Call *c, const int32_t *const *ids, const uint32_t *nid, int64_t rows,
                               int64_t pad, SnError *err)
{
    int64_t longest = 0;
    for (int64_t i = 0; i < rows; i++)
        longest = nid[i] > longest ? nid[i] : longest;
    longest -= c->before;
    const int64_t dims[] = {rows, longest};
    const SnView v = sn_view(SN_I64, NULL, 2, dims);
    SN_TRY(sn_results_create(c->m->ctx, 5, &c->out, err));
    SN_TRY(sn_results_reserve(c->out, "sequences", &v, err));
    int64_t *to = sn_results_find(c->out, "sequences")->view.data;
    for (int64_t i = 0; i < rows; i++)
        for (int64_t k = 0; k < longest; k++) {
            const int64_t at = k < c->npad[i / (rows / c->batch)] ? k : k + c->before;
            to[i * longest + k] = at < nid[i] ? ids[i][at] : pad;
        }
    SN_TRY(give_steps(c, "logits", c->logits, err));
    return give_steps(c, "scores", c->scores, err);
}

/* ---- one token after the other ---- */

static void end_all(Call *c)
{
    for (int64_t i = 0; i < c->rows; i++)
        sn_lm_end(c->lm, (uint32_t)i * c->slots);
}

static SnStatus take_tokens(Call *c, int64_t *step, SnError *err)
{
    SnLmToken t;
    while (sn_lm_token(c->lm, &t)) {
        const int64_t row = t.slot / c->slots, at = step[row]++;
        SN_TRY(keep_step(c, t.logits, &c->logits, row, at, t.vocabulary, err));
        SN_TRY(keep_step(c, t.scores, &c->scores, row, at, t.vocabulary, err));
        bool hit = false;
        const SnLmInfo info = sn_lm_info(c->lm, t.slot);
        if (c->text)
            SN_TRY(sn_gen_text(c->m, &c->text[row], info.ids, t.nid, t.is_last, NULL, &hit, err));
        if (hit)
            sn_lm_end(c->lm, t.slot);
    }
    return SN_OK;
}

static SnStatus begin_texts(Call *c, SnError *err)
{
    if (!c->config.stop)
        return SN_OK;
    c->text = sn_arena_array(&c->arena, (size_t)c->rows, sizeof *c->text);
    SN_CHECK(c->text, err, SN_ENOMEM, "no memory for %lld rows", (long long)c->rows);
    for (int64_t i = 0; i < c->rows; i++) {
        c->text[i].keep_special = c->text[i].keep_stop = true;
        SN_TRY(sn_gen_text_begin(&c->text[i], c->config.stop, (size_t)c->seq, &c->arena, err));
    }
    return SN_OK;
}

static SnStatus run_rows(Call *c, SnError *err)
{
    const uint64_t begin = sn_now_ns(), limit = (uint64_t)(c->config.max_time * 1e9);
    const size_t n = (size_t)c->rows;
    int64_t *step = sn_arena_array(&c->arena, n, sizeof *step);
    const int32_t **ids = sn_arena_array(&c->arena, n, sizeof *ids);
    uint32_t *nid = sn_arena_array(&c->arena, n, sizeof *nid);
    SN_CHECK(step && ids && nid, err, SN_ENOMEM, "no memory for %zu rows", n);
    for (int64_t i = 0; i < c->rows; i++) {
        const SnLmRow row = row_of(c, i);
        uint32_t slot;
        SN_TRY(sn_lm_add(c->lm, &row, &slot, NULL, err));
    }
    SN_TRY(begin_texts(c, err));
    while (sn_lm_is_busy(c->lm)) {
        bool done;
        SN_TRY(sn_lm_step(c->lm, 0, &done, err));
        SN_TRY(take_tokens(c, step, err));
        if (limit && sn_now_ns() - begin > limit)
            end_all(c);
    }
    for (int64_t i = 0; i < c->rows; i++) {
        const SnLmInfo info = sn_lm_info(c->lm, (uint32_t)i * c->slots);
        ids[i] = info.ids;
        nid[i] = info.nid;
    }
    return give_sequences(c, ids, nid, c->rows, c->config.pad, err);
}

/* ---- beams ---- */

/* A search as its steps are kept. */
typedef struct Search {
    Call *call;
    SnLmBeam *beam;
    int64_t row, step; /* its first row */
    SnStatus st;
    SnError *err;
} Search;

static void keep_beam(void *self, uint32_t beam, const float *logits, const float *scores,
                      uint32_t vocabulary)
{
    Search *s = self;
    Call *c = s->call;
    const int64_t row = s->row + beam;
    if (s->st == SN_OK)
        s->st = keep_step(c, logits, &c->logits, row, s->step, vocabulary, s->err);
    if (s->st == SN_OK)
        s->st = keep_step(c, scores, &c->scores, row, s->step, vocabulary, s->err);
    s->step += beam + 1 == (uint32_t)c->config.num_beams;
}

static SnStatus begin_search(Call *c, Search *s, int64_t b, SnError *err)
{
    const SnGenConfig *g = &c->config;
    *s = (Search){.call = c, .row = b * g->num_beams, .err = err};
    const SnLmBeamDesc d = {.row = row_of(c, s->row),
                            .beams = (uint32_t)g->num_beams,
                            .early_stopping = g->early_stopping,
                            .length_penalty = g->length_penalty,
                            .seen = g->output_logits || g->output_scores ? keep_beam : NULL,
                            .self = s};
    return sn_lm_beam_create(c->lm, &d, &s->beam, err);
}

/* beam_indices: the row that gave each token, -1 behind the end. */
static SnStatus give_paths(Call *c, const Search *search, const uint32_t *nid, SnError *err)
{
    const int64_t kept = c->config.num_return_sequences, rows = c->batch * kept;
    const int64_t steps = sn_results_find(c->out, "sequences")->view.dims[1] - c->seq + c->before;
    const SnView v = sn_view(SN_I32, NULL, 2, (int64_t[]){rows, steps});
    SN_TRY(sn_results_reserve(c->out, "beam_indices", &v, err));
    int32_t *to = sn_results_find(c->out, "beam_indices")->view.data;
    for (int64_t i = 0; i < rows; i++) {
        const int32_t *path = sn_lm_beam_path(search[i / kept].beam, (uint32_t)(i % kept));
        for (int64_t k = 0; k < steps; k++)
            to[i * steps + k] = k < nid[i] - c->seq ? path[k] + (int32_t)search[i / kept].row : -1;
    }
    return SN_OK;
}

static SnStatus run_beams(Call *c, SnError *err)
{
    const SnGenConfig *g = &c->config;
    const int64_t kept = g->num_return_sequences, rows = c->batch * kept;
    Search *search = sn_arena_array(&c->arena, (size_t)c->batch, sizeof *search);
    const int32_t **ids = sn_arena_array(&c->arena, (size_t)rows, sizeof *ids);
    uint32_t *nid = sn_arena_array(&c->arena, (size_t)rows, sizeof *nid);
    float *score = sn_arena_array(&c->arena, (size_t)rows, sizeof *score);
    bool done = false;
    SN_CHECK(search && ids && nid && score, err, SN_ENOMEM, "no memory for %lld rows", (long long)rows);
    for (int64_t b = 0; b < c->batch; b++)
        SN_TRY(begin_search(c, &search[b], b, err));
    while (!done)
        SN_TRY(sn_lm_beam_step(c->lm, &done, err));
    for (int64_t b = 0; b < c->batch; b++)
        SN_TRY(search[b].st);
    for (int64_t i = 0; i < rows; i++)
        ids[i] = sn_lm_beam_result(search[i / kept].beam, (uint32_t)(i % kept), &nid[i], &score[i]);
    const int64_t pad = g->end.n == 0 ? -1 : g->pad > 0 ? g->pad : g->end.at[0];
    SN_TRY(give_sequences(c, ids, nid, rows, pad, err));
    SN_TRY(give_paths(c, search, nid, err));
    const SnView v = sn_view(SN_F32, score, 1, &rows);
    return sn_results_add(c->out, "sequences_scores", &v, err);
}

SnStatus sn_model_generate(SnModel *m, const SnView *ids, const SnView *mask, const SnJson *config,
                           SnResults **out, SnError *err)
{
    Call c = {.m = m, .ids = ids};
    sn_arena_init(&c.arena, sn_allocator(m->ctx));
    SnStatus st = sn_gen_config(m, config, NULL, &c.arena, &c.config, err);
    if (st == SN_OK)
        st = read_inputs(&c, ids, mask, err);
    if (st == SN_OK)
        st = open_driver(&c, err);
    if (st == SN_OK)
        st = c.config.num_beams > 1 ? run_beams(&c, err) : run_rows(&c, err);
    if (st == SN_OK)
        *out = c.out;
    else
        sn_results_destroy(c.out);
    sn_lm_destroy(c.lm);
    sn_arena_clear(&c.arena);
    return st;
}
