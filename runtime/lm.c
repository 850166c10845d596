/* lm.c -- drivers of decoders: life, rows, what rows know already. */
#include "runtime/lm_state.h"

#include "runtime/program.h"

#include <stdio.h>

#define MAX_ROWS    4096u
#define MAX_CONTEXT (1u << 24)
#define MAX_WANTED  256u

static const char *const entry_name[SN_LM_ENTRIES] = {"fill", "next",      "beam",
                                                      "copy", "copy_near", "copy_state"};

/* Inputs that the driver itself knows. */
static bool is_own(const char *name)
{
    return sn_is_one_of(sn_bytes_str(name),
                        "ids pos slot reach page near_page places history length first prompt "
                        "limit other allowed score from to");
}

/* ---- create, destroy ---- */

static SnLmInput *find_number(SnLm *lm, const char *name)
{
    for (uint32_t i = 0; i < lm->ninput; i++)
        if (strcmp(lm->input[i].name, name) == 0)
            return &lm->input[i];
    return NULL;
}

static void store_number(const SnLmInput *in, uint8_t to[8], double value)
{
    const SnScalar x = {.f = value};
    sn_scalar_store(in->dtype, to, sn_scalar_cast(SN_F64, in->dtype, x, false));
}

static SnStatus add_number(SnLm *lm, SnLmEntry entry, const SnSlotInfo *info, SnError *err)
{
    SnLmInput *in = find_number(lm, info->name);
    if (!in) {
        SN_CHECK(lm->ninput < SN_LM_NUMBERS, err, SN_EUNSUPPORTED, "a decoder with more than %d numbers",
                 SN_LM_NUMBERS);
        SN_CHECK(info->ndim == 1 && !info->is_list, err, SN_EUNSUPPORTED, "input %s: expected [batch]",
                 info->name);
        in = &lm->input[lm->ninput++];
        *in = (SnLmInput){.name = info->name,
                          .dtype = info->dtype,
                          .value = sn_arena_array(&lm->arena, lm->rows, 8),
                          .stage = sn_arena_array(&lm->arena, lm->rows, 8)};
    }
    SN_CHECK(in->dtype == info->dtype, err, SN_EUNSUPPORTED, "input %s: has two dtypes", info->name);
    in->entries |= 1u << entry;
    return SN_OK;
}

static const SnLmTensor *find_tensor(const SnLmDesc *d, const char *name)
{
    for (uint32_t i = 0; d && i < d->ntensor; i++)
        if (strcmp(d->tensor[i].name, name) == 0)
            return &d->tensor[i];
    return NULL;
}

static SnStatus read_entries(SnLm *lm, const SnLmDesc *d, SnError *err)
{
    SnSlotInfo info;
    for (uint32_t e = 0; e < SN_LM_ENTRIES; e++) {
        lm->has[e] = sn_image_entry(lm->program->image, entry_name[e]) != NULL;
        for (uint32_t i = 0; lm->has[e] && sn_program_input(lm->program, entry_name[e], i, &info); i++)
            if (e == SN_LM_FILL && strcmp(info.name, "first") == 0)
                lm->counts_pads = true;
            else if (strcmp(info.name, "allowed") == 0 && info.ndim == 3 && info.dims[2] > 0)
                lm->vocabulary = (uint32_t)info.dims[2];
            else if (!is_own(info.name) && !find_tensor(d, info.name))
                SN_TRY(add_number(lm, (SnLmEntry)e, &info, err));
    }
    SN_CHECK(lm->has[SN_LM_FILL] && lm->has[SN_LM_NEXT], err, SN_EUNSUPPORTED,
             "a program without entries fill and next is no decoder");
    return SN_OK;
}

/* The least value of an `at create` symbol, by which a program tells a number; 0: it has no such symbol. */
static uint32_t least_of(const SnProgram *p, const char *name)
{
    const SnSymbolRow *row = SN_ROWS(p->image, SnSymbolRow, symbol);
    const SnRange r = p->image->create_symbol;
    for (uint32_t i = r.first; i < r.first + r.count; i++)
        if (strcmp(sn_image_string(p->image, row[i].name), name) == 0)
            return (uint32_t)row[i].lo;
    return 0;
}

static SnStatus read_desc(SnLm *lm, const SnLmDesc *d, SnError *err)
{
    const SnLmDesc zero = {0};
    d = d ? d : &zero;
    lm->rows = d->rows ? d->rows : 1;
    lm->context = d->context ? d->context : 2048;
    lm->chunk = d->chunk ? d->chunk : SN_LM_CHUNK;
    lm->wanted = d->wanted ? d->wanted : 1;
    SN_CHECK(lm->rows <= MAX_ROWS && lm->context <= MAX_CONTEXT && lm->wanted <= MAX_WANTED, err, SN_EINVAL,
             "decoder: %u rows of %u tokens with %u wanted, at most %u, %u, %u", lm->rows, lm->context,
             lm->wanted, MAX_ROWS, MAX_CONTEXT, MAX_WANTED);
    lm->is_whole = least_of(lm->program, "whole") != 0;
    lm->chunk = lm->chunk < lm->context && !lm->is_whole ? lm->chunk : lm->context;
    lm->chunks = (lm->context + SN_LM_PAGE - 1) / SN_LM_PAGE;
    const uint64_t all = (uint64_t)lm->chunks * lm->rows;
    SN_CHECK(all <= INT32_MAX, err, SN_EINVAL, "decoder: %u rows of %u tokens", lm->rows, lm->context);
    const uint32_t pages = d->pages ? d->pages : (uint32_t)all;
    const uint32_t least = least_of(lm->program, "near_pages");
    SN_CHECK(pages >= lm->chunks && pages <= INT32_MAX, err, SN_EINVAL,
             "decoder: %u pages, %u are needed for one row of %u tokens", pages, lm->chunks, lm->context);
    const uint32_t side = lm->rows * lm->wanted;
    lm->turn = least_of(lm->program, "turn");
    lm->tokens = side > lm->chunk ? side : lm->chunk;
    lm->pool[SN_LM_FAR].pages = pages;
    if (least) {
        const uint32_t one = lm->chunk > lm->wanted ? lm->chunk : lm->wanted;
        const uint32_t near = sn_lm_near_pages(least, lm->rows, one, lm->chunks);
        lm->window = least * SN_LM_PAGE;
        lm->pool[SN_LM_NEAR].pages = near > least ? near : least;
    }
    return SN_OK;
}

static SnStatus make_pools(SnLm *lm, SnError *err)
{
    SnArena *a = &lm->arena;
    const size_t n = (size_t)lm->rows * lm->chunks;
    for (uint32_t k = 0; k < SN_LM_KINDS; k++) {
        SnLmPool *p = &lm->pool[k];
        int32_t *table = sn_arena_array(a, n, sizeof *table);
        p->ref = sn_arena_array(a, (size_t)p->pages + 1, sizeof *p->ref);
        p->spare = sn_arena_array(a, (size_t)p->pages + 1, sizeof *p->spare);
        lm->round.page[k] = sn_arena_array(a, n, sizeof *table);
        SN_CHECK(!a->failed, err, SN_ENOMEM, "decoder: no memory for %u pages", p->pages);
        memset(table, 0xFF, n * sizeof *table); /* -1 */
        for (uint32_t i = 0; i < lm->rows; i++)
            lm->slot[i].table[k] = table + (size_t)i * lm->chunks;
        for (uint32_t i = p->pages; i-- > 0;)
            p->spare[p->nspare++] = i;
    }
    return SN_OK;
}

static SnStatus make_tables(SnLm *lm, bool has_beams, SnError *err)
{
    SnArena *a = &lm->arena;
    SnLmRound *r = &lm->round;
    const size_t rows = lm->rows, side = rows * lm->wanted;
    lm->history = sn_arena_array(a, rows * lm->context, sizeof *lm->history);
    lm->slot = sn_arena_array(a, rows, sizeof *lm->slot);
    if (has_beams)
        lm->shadow =
            sn_arena_array(a, rows * ((size_t)lm->context + SN_LM_KINDS * lm->chunks), sizeof *lm->shadow);
    r->slot = sn_arena_array(a, rows, sizeof *r->slot);
    r->count = sn_arena_array(a, rows, sizeof *r->count);
    r->guess = sn_arena_array(a, rows, sizeof *r->guess);
    r->ids = sn_arena_array(a, lm->tokens, sizeof *r->ids);
    r->pos = sn_arena_array(a, lm->tokens, sizeof *r->pos);
    r->number = sn_arena_array(a, 6 * rows, sizeof *r->number);
    if (lm->vocabulary)
        r->allowed = sn_arena_array(a, side, lm->vocabulary * sizeof *r->allowed);
    r->places = sn_arena_array(a, side, sizeof *r->places);
    r->length = sn_arena_array(a, side, sizeof *r->length);
    r->score = sn_arena_array(a, rows, sizeof *r->score);
    lm->draft_slot = sn_arena_array(a, rows, sizeof *lm->draft_slot);
    for (uint32_t i = 0; i < SN_LM_COPIES; i++)
        lm->move[i] = (SnLmMoves){.from = sn_arena_array(a, rows, sizeof *lm->move->from),
                                  .to = sn_arena_array(a, rows, sizeof *lm->move->to)};
    SN_CHECK(!a->failed, err, SN_ENOMEM, "decoder: no memory for %u rows of %u tokens", lm->rows,
             lm->context);
    for (uint32_t i = 0; i < lm->rows; i++)
        lm->slot[i] = (SnLmSlot){.ids = lm->history + (size_t)i * lm->context};
    return make_pools(lm, err);
}

/* Plans for all runs that there can be: a plan serves every shape that is no larger. Entries have copies for
 * one token a row, and of one row. */
static SnStatus plan_all(SnLm *lm, SnError *err)
{
    const struct {
        uint32_t batch, seq, wanted;
    } run[] = {{1, lm->chunk, 1}, {1, 1, 1}, {lm->rows, 1, 1}, {lm->rows, lm->wanted, lm->wanted}};
    char shape[96];
    for (uint32_t e = 0; e < SN_LM_ENTRIES; e++)
        for (uint32_t i = 0; lm->has[e] && i < SN_COUNT(run); i++) {
            (void)snprintf(shape, sizeof shape, "batch=%u,seq=%u,wanted=%u,moves=%u", run[i].batch,
                           run[i].seq, run[i].wanted, lm->rows);
            SN_TRY(sn_entry(lm->instance, entry_name[e], err));
            SN_TRY(sn_reserve(lm->instance, shape, err));
        }
    return SN_OK;
}

/* What is bound once stays bound. */
static SnStatus bind_tensors(SnLm *lm, const SnLmDesc *d, SnError *err)
{
    SnSlotInfo info;
    for (uint32_t e = 0; d && d->ntensor && e < SN_LM_ENTRIES; e++) {
        if (lm->has[e])
            SN_TRY(sn_entry(lm->instance, entry_name[e], err));
        for (uint32_t i = 0; lm->has[e] && sn_program_input(lm->program, entry_name[e], i, &info); i++) {
            const SnLmTensor *t = find_tensor(d, info.name);
            if (t)
                SN_TRY(sn_bind(lm->instance, t->name, &t->view, err));
        }
    }
    return SN_OK;
}

static SnStatus make_instance(SnLm *lm, SnError *err)
{
    static const char *const symbol[] = {"pages",   "near_pages", "chunks", "slots",
                                         "context", "turn",       "whole"};
    const int64_t value[] = {lm->pool[SN_LM_FAR].pages,
                             lm->pool[SN_LM_NEAR].pages,
                             lm->chunks,
                             lm->rows,
                             lm->context,
                             lm->turn,
                             lm->chunk};
    SnInstanceDesc d = {.struct_size = sizeof d, .ndim = SN_COUNT(symbol)};
    for (uint32_t i = 0; i < d.ndim; i++) {
        d.dim[i].symbol = symbol[i];
        d.dim[i].value = value[i];
    }
    SN_TRY(sn_instance_create(lm->program, &d, &lm->instance, err));
    return plan_all(lm, err);
}

SnStatus sn_lm_create(SnProgram *p, const SnLmDesc *desc, SnLm **out, SnError *err)
{
    SnLm *lm = sn_alloc_zero(&p->ctx->memory, sizeof *lm, _Alignof(max_align_t));
    SN_CHECK(lm, err, SN_ENOMEM, "decoder: no memory");
    lm->ctx = p->ctx;
    lm->program = sn_program_retain(p);
    sn_arena_init(&lm->arena, &p->ctx->memory);
    SnStatus st = read_desc(lm, desc, err);
    if (st == SN_OK)
        st = read_entries(lm, desc, err);
    if (st == SN_OK)
        st = make_tables(lm, desc && desc->has_beams, err);
    if (st == SN_OK)
        st = make_instance(lm, err);
    if (st == SN_OK)
        st = bind_tensors(lm, desc, err);
    if (st == SN_OK)
        *out = lm;
    else
        sn_lm_destroy(lm);
    return st;
}

void sn_lm_destroy(SnLm *lm)
{
    if (!lm)
        return;
    while (lm->beam)
        sn_lm_beam_destroy(lm->beam);
    sn_instance_destroy(lm->instance);
    sn_program_release(lm->program);
    SnContext *ctx = lm->ctx;
    sn_arena_clear(&lm->arena);
    sn_free(&ctx->memory, lm, sizeof *lm, _Alignof(max_align_t));
}

SnInstance *sn_lm_instance(SnLm *lm)
{
    return lm->instance;
}

static SnStatus state_of(const SnProgram *p, uint32_t pages, uint32_t near_pages, uint32_t slots,
                         uint64_t *out, SnError *err)
{
    SnMemoryUse use;
    char text[160];
    (void)snprintf(
        text, sizeof text,
        "pages=%u,near_pages=%u,slots=%u,turn=%u,whole=1,chunks=1,context=1,batch=1,seq=1,wanted=1", pages,
        near_pages, slots, least_of(p, "turn"));
    SN_TRY(sn_program_plan(p, "fill", text, &use, err));
    *out = use.state_bytes;
    return SN_OK;
}

SnStatus sn_lm_sizes(const SnProgram *p, SnLmSizes *out, SnError *err)
{
    const uint32_t least = least_of(p, "near_pages");
    uint64_t none, pages, near, slots;
    SN_TRY(state_of(p, 64, least, 1, &none, err));
    SN_TRY(state_of(p, 128, least, 1, &pages, err));
    SN_TRY(state_of(p, 64, least ? least + 64 : 0, 1, &near, err));
    SN_TRY(state_of(p, 64, least, 65, &slots, err));
    *out = (SnLmSizes){.page_bytes = (pages - none) / 64,
                       .near_page_bytes = (near - none) / 64,
                       .row_bytes = (slots - none) / 64,
                       .window_pages = least};
    return SN_OK;
}

/* ---- rows ---- */

static bool is_far(const SnLm *lm, uint32_t npos)
{
    return lm->turn && npos > lm->turn;
}

/* Are the numbers that make a past the same? */
static bool is_alike(const SnLm *lm, const SnLmSlot *o, const SnLmRow *row)
{
    if (lm->counts_pads && o->npad != row->npad)
        return false;
    for (uint32_t i = 0; i < lm->ninput; i++) {
        const SnLmInput *in = &lm->input[i];
        uint8_t own[8] = {0};
        for (uint32_t k = 0; k < row->nnumber; k++)
            if (strcmp(row->number[k].name, in->name) == 0)
                store_number(in, own, row->number[k].value);
        if (in->entries & 1u << SN_LM_FILL && memcmp(own, in->value + 8 * (size_t)(o - lm->slot), 8) != 0)
            return false;
    }
    return true;
}

/* Positions whose past o has and whose tokens are the same. */
static uint32_t count_common(const SnLm *lm, const SnLmSlot *o, const SnLmRow *row)
{
    const uint32_t most = row->nid - row->npad - 1, known = o->nid - o->npad;
    uint32_t n = 0, end = o->fed < most ? o->fed : most;
    end = end < known ? end : known;
    if (o->use == SN_LM_FREE || o->use == SN_LM_SEARCHED || lm->is_whole ||
        o->is_far != is_far(lm, most + 1) || !is_alike(lm, o, row))
        return 0;
    while (n < end && o->ids[o->npad + n] == row->ids[row->npad + n])
        n++;
    n = sn_lm_knows(lm, o, n) ? n : 0;
    /* A state is that behind all of them. */
    return lm->has[SN_LM_COPY_STATE] && (n != o->fed || o->use != SN_LM_KNOWN) ? 0 : n;
}

static SnLmSlot *find_free(SnLm *lm)
{
    SnLmSlot *known = NULL;
    for (uint32_t i = 0; i < lm->rows; i++) {
        SnLmSlot *s = &lm->slot[i];
        if (s->use == SN_LM_FREE)
            return s;
        if (s->use == SN_LM_KNOWN && (!known || s->since < known->since))
            known = s;
    }
    return known;
}

/* The slot for a row; *nkept positions of it are known there. One that was dropped goes on itself where most
 * of it is of use, or nothing else is free; else the row begins with the same pages. */
static SnLmSlot *choose_slot(SnLm *lm, const SnLmRow *row, uint32_t *nkept)
{
    SnLmSlot *source = NULL, *to = find_free(lm);
    *nkept = 0;
    for (uint32_t i = 0; i < lm->rows; i++) {
        const uint32_t n = count_common(lm, &lm->slot[i], row);
        if (n > *nkept) {
            *nkept = n;
            source = &lm->slot[i];
        }
    }
    if (!source || !to)
        return to;
    if (source->use == SN_LM_KNOWN &&
        (to->use != SN_LM_FREE || 2 * *nkept >= source->fed || lm->has[SN_LM_COPY_STATE]))
        to = source;
    if (to == source) {
        sn_lm_release(lm, to, (*nkept + SN_LM_PAGE - 1) / SN_LM_PAGE);
        to->fed = *nkept;
        return to;
    }
    sn_lm_release(lm, to, 0);
    sn_lm_share(lm, to, source, *nkept);
    return to;
}

SnStatus sn_lm_check_row(const SnLm *lm, const SnLmRow *row, SnError *err)
{
    SN_CHECK(row->ids && row->nid > row->npad, err, SN_EINVAL, "a row without tokens");
    SN_CHECK(row->nid < lm->context, err, SN_ESHAPE,
             "a row of %u tokens, and the next ones: there is room for %u", row->nid, lm->context);
    SN_CHECK(row->ndraft < lm->wanted, err, SN_EINVAL, "%u tokens to guess, at most %u", row->ndraft,
             lm->wanted - 1);
    SN_CHECK(row->ndraft == 0 || !lm->has[SN_LM_COPY_STATE], err, SN_EUNSUPPORTED,
             "guessing with a recurrent model");
    SN_CHECK(!row->allow || lm->vocabulary, err, SN_EUNSUPPORTED,
             "a decoder that was made without constraints");
    const uint32_t room = lm->context - row->nid,
                   most = row->max_new && row->max_new < room ? row->max_new : room;
    SN_CHECK(row->nguide == 0 || (row->ndraft == 0 && row->nguide <= lm->context - most), err, SN_ESHAPE,
             "%u tokens that guide and %u more: there is room for %u, and none for guesses", row->nguide,
             most, lm->context);
    return SN_OK;
}

static void set_row(SnLm *lm, SnLmSlot *s, SnLmUse use, const SnLmRow *row, uint32_t nkept)
{
    const uint32_t room = lm->context - row->nid, slot = (uint32_t)(s - lm->slot);
    memcpy(s->ids, row->ids, row->nid * sizeof *s->ids);
    *s = (SnLmSlot){.use = use,
                    .ids = s->ids,
                    .table = {s->table[SN_LM_FAR], s->table[SN_LM_NEAR]},
                    .nid = row->nid,
                    .nprompt = row->nid,
                    .npad = row->npad,
                    .nkept = nkept,
                    .fed = nkept,
                    .end = row->nid + (row->max_new && row->max_new < room ? row->max_new : room),
                    .ndraft = row->ndraft,
                    .ngram = row->ngram ? row->ngram : 2,
                    .stop = row->stop,
                    .nstop = row->nstop,
                    .is_far = is_far(lm, row->nid - row->npad),
                    .twin = SN_LM_NONE,
                    .allow = row->allow,
                    .allow_self = row->allow_self,
                    .since = ++lm->clock};
    for (uint32_t i = 0; i < lm->ninput; i++)
        memset(lm->input[i].value + 8 * (size_t)slot, 0, 8);
    for (uint32_t i = 0; i < row->nnumber; i++)
        sn_lm_set(lm, slot, row->number[i].name, row->number[i].value);
}

SnLmSlot *sn_lm_take(SnLm *lm, SnLmUse use, const SnLmRow *row)
{
    SnLmSlot *s = find_free(lm);
    if (!s)
        return NULL;
    sn_lm_release(lm, s, 0);
    set_row(lm, s, use, row, 0);
    return s;
}

/* A slot for a row, with what is known of it. */
static SnLmSlot *place(SnLm *lm, SnLmUse use, const SnLmRow *row)
{
    uint32_t known = 0;
    SnLmSlot *s = choose_slot(lm, row, &known);
    if (!s)
        return NULL;
    if (known == 0)
        sn_lm_release(lm, s, 0);
    set_row(lm, s, use, row, known);
    return s;
}

SnStatus sn_lm_add(SnLm *lm, const SnLmRow *row, uint32_t *slot, uint32_t *nkept, SnError *err)
{
    SN_TRY(sn_lm_check_row(lm, row, err));
    SN_CHECK(!sn_lm_is_open(lm), err, SN_EINVAL, "a step is not done");
    SnLmSlot *s = place(lm, SN_LM_LIVE, row);
    SN_CHECK(s, err, SN_ENOMEM, "all %u rows are taken", lm->rows);
    *slot = (uint32_t)(s - lm->slot);
    if (nkept)
        *nkept = s->nkept;
    if (row->nguide == 0)
        return SN_OK;
    const SnLmRow guide = {
        .ids = row->guide, .nid = row->nguide, .number = row->number, .nnumber = row->nnumber};
    SnLmSlot *twin = place(lm, SN_LM_LED, &guide);
    if (!twin) {
        sn_lm_drop(lm, *slot);
        return sn_fail(err, SN_ENOMEM, "all %u rows are taken, one that is guided takes two", lm->rows);
    }
    s->twin = (uint32_t)(twin - lm->slot);
    twin->twin = *slot;
    return SN_OK;
}

void sn_lm_set(SnLm *lm, uint32_t slot, const char *name, double value)
{
    SnLmInput *in = find_number(lm, name);
    if (in && slot < lm->rows)
        store_number(in, in->value + 8 * (size_t)slot, value);
}

bool sn_lm_has_room(const SnLm *lm)
{
    for (uint32_t i = 0; i < lm->rows; i++)
        if (lm->slot[i].use == SN_LM_FREE || lm->slot[i].use == SN_LM_KNOWN)
            return true;
    return false;
}

void sn_lm_end(SnLm *lm, uint32_t slot)
{
    const SnLmRound *r = &lm->round;
    SnLmSlot *s = slot < lm->rows ? &lm->slot[slot] : NULL;
    if (!s || (s->use != SN_LM_LIVE && s->use != SN_LM_DONE))
        return;
    s->use = SN_LM_DONE;
    if (r->is_open || r->shown_row >= r->nrow || r->slot[r->shown_row] != slot)
        return;
    s->nid -= s->fresh - r->shown;
    s->fresh = r->shown;
    if (s->fed > s->nid - s->npad)
        s->fed = s->nid - s->npad;
}

void sn_lm_drop(SnLm *lm, uint32_t slot)
{
    SnLmSlot *s = slot < lm->rows ? &lm->slot[slot] : NULL;
    if (!s || (s->use != SN_LM_LIVE && s->use != SN_LM_DONE))
        return;
    if (s->twin != SN_LM_NONE)
        lm->slot[s->twin].use = SN_LM_KNOWN;
    s->use = SN_LM_KNOWN;
    s->twin = SN_LM_NONE;
    s->since = ++lm->clock;
    s->stop = NULL;
    s->nstop = 0;
}

SnLmInfo sn_lm_info(const SnLm *lm, uint32_t slot)
{
    if (slot >= lm->rows)
        return (SnLmInfo){.is_done = true};
    const SnLmSlot *s = &lm->slot[slot];
    return (SnLmInfo){.ids = s->ids,
                      .nid = s->nid,
                      .nprompt = s->nprompt,
                      .npad = s->npad,
                      .nkept = s->nkept,
                      .ndraft = s->nguessed,
                      .naccepted = s->naccepted,
                      .is_done = s->use != SN_LM_LIVE};
}

bool sn_lm_is_busy(const SnLm *lm)
{
    for (uint32_t i = 0; i < lm->rows; i++)
        if (lm->slot[i].use == SN_LM_LIVE)
            return true;
    return false;
}
