/* generator.c -- requests of one model that run side by side: a queue in front of the driver's rows, and
 * texts behind them. */
#include "frontends/tasks/generate.h"

#include "runtime/context.h"

#define USUAL_CONTEXT 4096

typedef struct Request {
    const SnGenerator *of;
    uint32_t number, slot; /* slot SN_LM_NONE: it waits */
    uint64_t since_ns;
    SnArena arena; /* of what follows */
    const int32_t *ids;
    uint32_t nid, max_new;
    SnGenConfig config;
    SnGenText text;
    SnText piece;
    bool is_done;
} Request;

struct SnGenerator {
    SnModel *m;
    SnArena arena;
    SnGenConfig config;
    const char *number[16];
    uint32_t nnumber, context, nvirtual;
    bool keep_special, cut_stop, no_text;
    SnGeneratorDesc desc; /* its functions */
    SnLm *lm, *draft;
    uint32_t ndraft;           /* tokens that are guessed at a time */
    SN_VEC(Request *) request; /* in the order in which they came */
    uint32_t next_number;
    SnGeneratorStats stats;
};

/* ---- life ---- */

static uint32_t context_of(const SnModel *m, uint32_t asked)
{
    const int64_t own = sn_config_int(&m->config, "max_position_embeddings", 0);
    if (asked)
        return asked;
    return own > 0 && own < USUAL_CONTEXT ? (uint32_t)own : USUAL_CONTEXT;
}

static SnStatus pages_of(const SnProgram *p, const SnGeneratorDesc *d, bool is_guided, uint32_t context,
                         uint32_t *pages, SnError *err)
{
    SnLmSizes size;
    *pages = 0;
    if (!d->memory)
        return SN_OK;
    SN_TRY(sn_lm_sizes(p, &size, err));
    const uint64_t rows = (d->rows ? d->rows : 1) * (is_guided ? 2u : 1u),
                   one = (context + SN_LM_PAGE - 1) / SN_LM_PAGE;
    const uint32_t near =
        sn_lm_near_pages(size.window_pages, 1, d->chunk ? d->chunk : SN_LM_CHUNK, (uint32_t)one);
    const uint64_t row_bytes = size.row_bytes + size.near_page_bytes * near;
    const uint64_t left = d->memory > rows * row_bytes ? d->memory - rows * row_bytes : 0;
    const uint64_t n = size.page_bytes ? left / size.page_bytes : one * rows, most = one * rows;
    SN_CHECK(left > 0 && n >= one, err, SN_ENOMEM, "generator: %llu bytes, one row takes %llu",
             (unsigned long long)d->memory, (unsigned long long)(one * size.page_bytes + row_bytes));
    *pages = (uint32_t)(n < most ? n : most);
    return SN_OK;
}

SnStatus sn_model_kv_bytes(SnModel *m, uint64_t *out, SnError *err)
{
    static const SnJson none = {.kind = SN_JSON_OBJECT};
    SnLmSizes size = {0};
    SnArena arena;
    SnGenConfig config;
    SnProgram *program = NULL;
    SnGenProgram spec = {.config = &config};
    *out = 0;
    if (strcmp(sn_model_task(m), "text-generation") != 0)
        return SN_OK;
    sn_arena_init(&arena, sn_allocator(m->ctx));
    SnStatus st = sn_gen_config(m, NULL, &none, &arena, &config, err);
    if (st == SN_OK)
        st = sn_gen_program(m, &spec, &program, err);
    if (st == SN_OK)
        st = sn_lm_sizes(program, &size, err);
    sn_arena_clear(&arena);
    *out = (size.page_bytes + size.near_page_bytes) / SN_LM_PAGE;
    return st;
}

/* The assistant picks tokens as the model does. Where they are drawn, both use the same random numbers: what
 * the model draws is as without guesses, and often what was guessed. */
static SnStatus open_draft(SnGenerator *g, const SnGeneratorDesc *d, SnError *err)
{
    const SnLmDesc lm = {.struct_size = sizeof lm, .rows = d->rows, .context = g->context, .chunk = d->chunk};
    SnGenConfig config;
    SnProgram *program = NULL;
    SnGenProgram spec = {.config = &config};
    SN_TRY(sn_model_need(d->assistant, err));
    SN_TRY(sn_gen_config(d->assistant, NULL, g->config.json, &g->arena, &config, err));
    config.output_logits = config.output_scores = false;
    SN_TRY(sn_gen_program(d->assistant, &spec, &program, err));
    SN_TRY(sn_lm_create(program, &lm, &g->draft, err));
    return sn_lm_assist(g->lm, g->draft, err);
}

static SnStatus open_driver(SnGenerator *g, const SnGeneratorDesc *d, SnError *err)
{
    SnProgram *program = NULL;
    SnGenProgram spec = {.config = &g->config, .is_constrained = d->allow != NULL};
    if (g->config.is_guided && (d->assistant || g->config.prompt_lookup_num_tokens))
        return sn_fail(err, SN_EUNSUPPORTED, "%s: guessing tokens of requests that are guided", g->m->folder);
    SN_CHECK(g->config.num_beams == 1, err, SN_EUNSUPPORTED, "%s: a generator with beams", g->m->folder);
    SN_TRY(sn_gen_program(g->m, &spec, &program, err));
    memcpy(g->number, spec.number, sizeof g->number);
    g->nnumber = spec.nnumber;
    g->context = context_of(g->m, d->context);
    if (spec.places > 0 && spec.places < g->context)
        g->context = (uint32_t)spec.places + 1;
    g->ndraft =
        (uint32_t)(d->assistant ? g->config.num_assistant_tokens : g->config.prompt_lookup_num_tokens);
    SnLmDesc lm = {.struct_size = sizeof lm,
                   .rows = (d->rows ? d->rows : 1) * (g->config.is_guided ? 2 : 1),
                   .context = g->context,
                   .chunk = d->chunk,
                   .wanted = 1 + g->ndraft};
    SN_TRY(sn_gen_adapter(g->m, &g->arena, &lm, err));
    SN_TRY(pages_of(program, d, g->config.is_guided, g->context, &lm.pages, err));
    SN_TRY(sn_lm_create(program, &lm, &g->lm, err));
    return d->assistant ? open_draft(g, d, err) : SN_OK;
}

SnStatus sn_generator_create(SnModel *m, const SnGeneratorDesc *d, SnGenerator **out, SnError *err)
{
    static const SnGeneratorDesc usual = {.struct_size = sizeof usual};
    SnGenerator *g = sn_alloc_zero(sn_allocator(m->ctx), sizeof *g, _Alignof(max_align_t));
    SN_CHECK(g, err, SN_ENOMEM, "%s: no memory for a generator", m->folder);
    d = d ? d : &usual;
    g->m = m;
    g->desc = *d;
    g->keep_special = d->keep_special;
    g->cut_stop = d->cut_stop;
    g->no_text = d->no_text;
    g->nvirtual = (uint32_t)sn_gen_virtual(m);
    sn_arena_init(&g->arena, sn_allocator(m->ctx));
    SnStatus st = sn_model_need(m, err);
    if (st == SN_OK)
        st = sn_gen_config(m, d->config, NULL, &g->arena, &g->config, err);
    if (st == SN_OK)
        st = open_driver(g, d, err);
    if (st == SN_OK)
        *out = g;
    else
        sn_generator_destroy(g);
    return st;
}

static void free_request(SnGenerator *g, Request *r)
{
    if (!r)
        return;
    sn_text_clear(&r->piece);
    sn_arena_clear(&r->arena);
    sn_free(sn_allocator(g->m->ctx), r, sizeof *r, _Alignof(max_align_t));
}

void sn_generator_destroy(SnGenerator *g)
{
    if (!g)
        return;
    const SnAllocator *memory = sn_allocator(g->m->ctx);
    for (size_t i = 0; i < g->request.n; i++)
        free_request(g, g->request.at[i]);
    sn_vec_clear(memory, &g->request);
    sn_lm_destroy(g->lm);
    sn_lm_destroy(g->draft);
    sn_arena_clear(&g->arena);
    sn_free(memory, g, sizeof *g, _Alignof(max_align_t));
}

/* ---- requests ---- */

/* The generator's config with what the request says of keys that may differ. */
static SnStatus own_config(SnGenerator *g, Request *r, const SnJson *config, SnError *err)
{
    r->config = g->config;
    if (!config)
        return SN_OK;
    SN_TRY(sn_gen_config(g->m, config, g->config.json, &r->arena, &r->config, err));
    SnGenProgram own = {.config = &r->config}, all = {.config = &g->config};
    SN_CHECK(sn_gen_is_same(g->m, &own, &all), err, SN_EINVAL,
             "%s: a request whose config asks for other processors than its generator", g->m->folder);
    return SN_OK;
}

static SnStatus fill_request(SnGenerator *g, Request *r, const int32_t *ids, size_t n, const SnJson *config,
                             SnError *err)
{
    const size_t before = g->nvirtual;
    SN_CHECK(n >= 1 && before < g->context && n < g->context - before, err, SN_ESHAPE,
             "%zu tokens and the next ones: there is room for %u", n, g->context);
    int32_t *own = sn_arena_array(&r->arena, before + n, sizeof *own);
    SN_CHECK(own, err, SN_ENOMEM, "%s: no memory for a request", g->m->folder);
    for (size_t i = 0; i < before + n; i++) {
        own[i] = ids[i < before ? 0 : i - before];
        SN_TRY(sn_gen_check_id(g->m, own[i], err));
    }
    r->ids = own;
    r->nid = (uint32_t)(before + n);
    SN_TRY(own_config(g, r, config, err));
    const int64_t length = sn_gen_max_length(g->m, &r->config, (int64_t)n);
    SN_CHECK(length > (int64_t)n, err, SN_EINVAL, "%zu tokens, max_length is %lld", n, (long long)length);
    r->max_new = (uint32_t)(length - (int64_t)n);
    r->text = (SnGenText){.keep_special = g->keep_special, .keep_stop = !g->cut_stop};
    return sn_gen_text_begin(&r->text, r->config.stop, before + n, &r->arena, err);
}

SnStatus sn_generator_add(SnGenerator *g, const int32_t *ids, size_t n, const SnJson *config,
                          uint32_t *request, SnError *err)
{
    const SnAllocator *memory = sn_allocator(g->m->ctx);
    Request *r = sn_alloc_zero(memory, sizeof *r, _Alignof(max_align_t));
    SN_CHECK(r, err, SN_ENOMEM, "%s: no memory for a request", g->m->folder);
    sn_arena_init(&r->arena, memory);
    r->piece.memory = memory;
    r->slot = SN_LM_NONE;
    r->of = g;
    r->since_ns = sn_now_ns();
    SnStatus st = fill_request(g, r, ids, n, config, err);
    if (st == SN_OK && !sn_vec_push(memory, &g->request, r))
        st = sn_fail(err, SN_ENOMEM, "%s: no memory for a request", g->m->folder);
    if (st != SN_OK) {
        free_request(g, r);
        return st;
    }
    r->number = g->next_number++;
    if (request)
        *request = r->number;
    return SN_OK;
}

SnStatus sn_generator_add_text(SnGenerator *g, SnBytes prompt, const SnJson *config, uint32_t *request,
                               SnError *err)
{
    static const SnTokenizeOptions plain = {.struct_size = sizeof plain};
    SnArena arena;
    SnEncoding *e = NULL;
    sn_arena_init(&arena, sn_allocator(g->m->ctx));
    SnStatus st = sn_text_encode(g->m, &prompt, NULL, 1, &plain, &arena, &e, err);
    if (st == SN_OK)
        st = sn_generator_add(g, e->ids, e->n, config, request, err);
    sn_arena_clear(&arena);
    return st;
}

static void forget(SnGenerator *g, size_t i)
{
    Request *r = g->request.at[i];
    if (r->slot != SN_LM_NONE)
        sn_lm_drop(g->lm, r->slot);
    free_request(g, r);
    memmove(&g->request.at[i], &g->request.at[i + 1], (g->request.n - i - 1) * sizeof *g->request.at);
    g->request.n--;
}

static void forget_done(SnGenerator *g)
{
    for (size_t i = g->request.n; i-- > 0;)
        if (g->request.at[i]->is_done)
            forget(g, i);
}

void sn_generator_drop(SnGenerator *g, uint32_t request)
{
    for (size_t i = 0; i < g->request.n; i++)
        if (g->request.at[i]->number == request) {
            forget(g, i);
            return;
        }
}

bool sn_generator_is_busy(const SnGenerator *g)
{
    for (size_t i = 0; i < g->request.n; i++)
        if (!g->request.at[i]->is_done)
            return true;
    return false;
}

/* ---- steps ---- */

static void allow(void *self, const int32_t *ids, uint32_t nid, bool *allowed, uint32_t vocabulary)
{
    const Request *r = self;
    const uint32_t before = r->of->nvirtual;
    r->of->desc.allow(r->of->desc.self, r->number, ids + before, nid - before, allowed, vocabulary);
}

/* Has it gone on for max_time, or does its owner say that it is enough? */
static bool is_enough(const Request *r, const SnLmInfo *info, uint32_t nid)
{
    const SnGeneratorDesc *d = &r->of->desc;
    const double seconds = (double)(sn_now_ns() - r->since_ns) * 1e-9;
    return (r->config.max_time > 0 && seconds > r->config.max_time) ||
           (d->stop && d->stop(d->self, r->number, info->ids + r->of->nvirtual, nid - r->of->nvirtual));
}

static SnStatus admit(SnGenerator *g, SnError *err)
{
    for (size_t i = 0; i < g->request.n && sn_lm_has_room(g->lm); i++) {
        Request *r = g->request.at[i];
        SnLmNumber number[SN_GEN_NUMBERS];
        uint32_t kept = 0;
        if (r->slot != SN_LM_NONE)
            continue;
        const SnLmRow row = {.ids = r->ids,
                             .nid = r->nid,
                             .max_new = r->max_new,
                             .stop = r->config.end.at,
                             .nstop = r->config.end.n,
                             .ndraft = g->ndraft,
                             .ngram = (uint32_t)g->config.max_matching_ngram_size,
                             .guide = r->config.negative.n ? r->config.negative.at : &r->ids[r->nid - 1],
                             .nguide = !r->config.is_guided   ? 0
                                       : r->config.negative.n ? r->config.negative.n
                                                              : 1,
                             .allow = g->desc.allow ? allow : NULL,
                             .allow_self = r,
                             .number = number,
                             .nnumber =
                                 sn_gen_numbers(&r->config, g->number, g->nnumber, r->config.seed, number)};
        SN_TRY(sn_lm_add(g->lm, &row, &r->slot, &kept, err));
        g->stats.prompt_tokens += r->nid - g->nvirtual;
        g->stats.kept_tokens += kept;
    }
    return SN_OK;
}

SnStatus sn_generator_step(SnGenerator *g, uint64_t budget_ns, bool *done, SnError *err)
{
    if (!sn_lm_is_open(g->lm)) {
        forget_done(g);
        SN_TRY(admit(g, err));
    }
    const uint64_t begin = sn_now_ns();
    SN_TRY(sn_lm_step(g->lm, budget_ns, done, err));
    *(sn_lm_is_feeding(g->lm) ? &g->stats.prompt_ns : &g->stats.new_ns) += sn_now_ns() - begin;
    return SN_OK;
}

static Request *find_slot(const SnGenerator *g, uint32_t slot)
{
    for (size_t i = 0; i < g->request.n; i++)
        if (g->request.at[i]->slot == slot && !g->request.at[i]->is_done)
            return g->request.at[i];
    return NULL;
}

static void end_request(SnGenerator *g, Request *r)
{
    const SnLmInfo info = sn_lm_info(g->lm, r->slot);
    g->stats.guessed_tokens += info.ndraft;
    g->stats.accepted_tokens += info.naccepted;
    r->is_done = true;
}

SnStatus sn_generator_next(SnGenerator *g, SnGenerated *out, bool *has, SnError *err)
{
    SnLmToken t;
    Request *r = NULL;
    *has = false;
    forget_done(g);
    while (!r) { /* tokens of requests that were dropped are passed over */
        if (!sn_lm_token(g->lm, &t))
            return SN_OK;
        r = find_slot(g, t.slot);
    }
    const SnLmInfo info = sn_lm_info(g->lm, t.slot);
    const bool is_last = t.is_last || is_enough(r, &info, t.nid);
    bool hit = false;
    g->stats.new_tokens++;
    r->piece.n = 0;
    if (!g->no_text)
        SN_TRY(sn_gen_text(g->m, &r->text, info.ids, t.nid, is_last, &r->piece, &hit, err));
    if ((hit || is_last) && !t.is_last)
        sn_lm_end(g->lm, t.slot);
    if (hit || is_last)
        end_request(g, r);
    *out = (SnGenerated){.request = r->number,
                         .id = t.id,
                         .is_last = r->is_done,
                         .text = sn_bytes(r->piece.at ? r->piece.at : "", r->piece.n)};
    *has = true;
    return SN_OK;
}

void sn_generator_stats(const SnGenerator *g, SnGeneratorStats *out)
{
    *out = g->stats;
}

void sn_generator_memory(const SnGenerator *g, SnMemoryUse *out)
{
    sn_instance_memory(sn_lm_instance(g->lm), out);
}
