/* lm_round.c -- runs of a decoder: which rows take part, what is bound, what becomes of the results. */
#include "runtime/lm_state.h"

static const char *const entry_name[SN_LM_ENTRIES] = {"fill", "next",      "beam",
                                                      "copy", "copy_near", "copy_state"};

static uint32_t left_of(const SnLmSlot *s) /* tokens whose past is not there */
{
    return s->nid - s->npad - s->fed;
}

/* ---- making a round ---- */

void sn_lm_round_begin(SnLm *lm, SnLmEntry entry)
{
    SnLmRound *r = &lm->round;
    r->entry = entry;
    r->nrow = r->shown_row = r->shown = 0;
    r->seq = r->wanted = 1;
}

void sn_lm_round_add(SnLm *lm, uint32_t slot, uint32_t to, uint32_t guess)
{
    SnLmRound *r = &lm->round;
    const SnLmSlot *s = &lm->slot[slot];
    const uint32_t count = to - s->npad - s->fed;
    r->slot[r->nrow] = slot;
    r->count[r->nrow] = count;
    r->guess[r->nrow++] = guess;
    r->seq = count > r->seq ? count : r->seq;
    r->wanted = guess + 1 > r->wanted ? guess + 1 : r->wanted;
}

/* Does a row have a next token to come, or does it guide one? */
static bool goes_on(const SnLm *lm, const SnLmSlot *s)
{
    return s->use == SN_LM_LIVE || (s->use == SN_LM_LED && lm->slot[s->twin].use == SN_LM_LIVE);
}

/* Is a row short of one token, and what guides it too? */
static bool is_ready(const SnLm *lm, const SnLmSlot *s)
{
    return s->use == SN_LM_LIVE && left_of(s) == 1 &&
           (s->twin == SN_LM_NONE || left_of(&lm->slot[s->twin]) == 1);
}

/* The row that came first among those that are to be fed more than a token; NULL: none. */
static SnLmSlot *find_fed(SnLm *lm)
{
    SnLmSlot *first = NULL;
    for (uint32_t i = 0; i < lm->rows; i++) {
        SnLmSlot *s = &lm->slot[i];
        if (goes_on(lm, s) && left_of(s) > 1 && (!first || s->since < first->since))
            first = s;
    }
    return first;
}

/* A chunk of a prompt; the last one gives the next token too, but where two rows give it together: those that
 * are fed at once have their last token then, and once more. */
static bool feed(SnLm *lm, SnLmSlot *s)
{
    const bool is_pair = s->twin != SN_LM_NONE;
    const uint32_t left = left_of(s) - (is_pair && !lm->is_whole),
                   count = left < lm->chunk ? left : lm->chunk;
    sn_lm_round_begin(lm, count == left_of(s) && !is_pair ? SN_LM_NEXT : SN_LM_FILL);
    if (!sn_lm_hold(lm, s, s->fed + count))
        return false; /* no row of this round */
    sn_lm_round_add(lm, (uint32_t)(s - lm->slot), s->npad + s->fed + count, 0);
    return true;
}

/* The row that guides the last one of the round joins it, or neither does. */
static void join_twin(SnLm *lm, SnLmSlot *s)
{
    SnLmSlot *twin = &lm->slot[s->twin];
    if (sn_lm_hold(lm, twin, twin->nid)) {
        sn_lm_round_add(lm, s->twin, twin->nid, 0);
        return;
    }
    lm->round.nrow--;
    sn_lm_release(lm, s, s->fed / SN_LM_PAGE);
}

/* All rows that are short of one token. */
static bool go_on(SnLm *lm)
{
    sn_lm_round_begin(lm, SN_LM_NEXT);
    for (uint32_t i = 0; i < lm->rows; i++) {
        SnLmSlot *s = &lm->slot[i];
        if (!is_ready(lm, s) || !sn_lm_hold(lm, s, s->nid - s->npad + s->nguess))
            continue;
        sn_lm_round_add(lm, i, s->nid + s->nguess, s->nguess);
        if (s->twin != SN_LM_NONE)
            join_twin(lm, s);
    }
    return lm->round.nrow > 0;
}

static bool is_any_ready(const SnLm *lm)
{
    for (uint32_t i = 0; i < lm->rows; i++)
        if (is_ready(lm, &lm->slot[i]))
            return true;
    return false;
}

void sn_lm_turn(SnLm *lm, SnLmSlot *s)
{
    if (lm->turn == 0 || s->is_far || s->nid - s->npad <= lm->turn)
        return;
    sn_lm_release(lm, s, 0);
    s->is_far = true;
}

/* Prompts and next tokens take turns, so that neither waits for all of the other. *done: there is a round, or
 * nothing to do; else guesses are not done. */
static SnStatus choose(SnLm *lm, uint64_t budget_ns, bool *done, SnError *err)
{
    for (uint32_t i = 0; i < lm->rows; i++)
        if (goes_on(lm, &lm->slot[i]))
            sn_lm_turn(lm, &lm->slot[i]);
    SnLmSlot *s = find_fed(lm);
    const bool is_ready = is_any_ready(lm);
    *done = true;
    lm->round.nrow = 0;
    if (!lm->is_drafting)
        lm->has_fed = s && (!lm->has_fed || !is_ready);
    if (lm->has_fed && feed(lm, s))
        return SN_OK;
    lm->has_fed = false;
    if (is_ready)
        SN_TRY(sn_lm_guess(lm, budget_ns, done, err));
    if (!*done || go_on(lm) || !s)
        return SN_OK;
    lm->has_fed = feed(lm, s);
    return SN_OK;
}

/* ---- binding ---- */

static void lay_tokens(SnLm *lm)
{
    SnLmRound *r = &lm->round;
    const uint32_t rows = lm->rows;
    for (uint32_t i = 0; i < r->nrow; i++) {
        const SnLmSlot *s = &lm->slot[r->slot[i]];
        int64_t *ids = r->ids + (size_t)i * r->seq, *pos = r->pos + (size_t)i * r->seq;
        for (uint32_t k = 0; k < r->seq; k++) {
            ids[k] = k < r->count[i] ? s->ids[s->npad + s->fed + k] : 0;
            pos[k] = k < r->count[i] ? (int64_t)s->fed + k : -1;
        }
        for (uint32_t k = 0; k < r->wanted; k++) { /* behind the last one: the same again */
            const uint32_t j = k < r->guess[i] ? k : r->guess[i];
            r->places[(size_t)i * r->wanted + k] = (int64_t)r->count[i] - 1 - r->guess[i] + j;
            r->length[(size_t)i * r->wanted + k] = (int64_t)s->npad + s->fed + r->count[i] - r->guess[i] + j;
        }
        for (uint32_t k = 0; k < SN_LM_KINDS; k++)
            memcpy(r->page[k] + (size_t)i * lm->chunks, s->table[k], lm->chunks * sizeof **s->table);
        const bool is_led = s->use != SN_LM_LED && s->twin != SN_LM_NONE;
        const int64_t number[] = {
            r->slot[i], (int64_t)s->nid - s->npad + r->guess[i], s->npad, s->nprompt, s->end, i + is_led};
        for (uint32_t k = 0; k < SN_COUNT(number); k++)
            r->number[(size_t)k * rows + i] = number[k];
    }
}

/* An input that the entry lacks, or does not need, is passed over. */
static SnStatus bind(SnLm *lm, const char *name, SnDtype dtype, void *data, int ndim, int64_t a, int64_t b,
                     SnError *err)
{
    SnInstance *s = lm->instance;
    const SnSlotRow *slot = sn_instance_slot(s, s->entry->input, name);
    if (!slot || slot->is_unused)
        return SN_OK;
    const SnView v = sn_view(dtype, data, ndim, (int64_t[]){a, b});
    return sn_bind(s, name, &v, err);
}

static SnStatus bind_numbers(SnLm *lm, SnError *err)
{
    static const char *const own[] = {"slot", "reach", "first", "prompt", "limit", "other"};
    SnLmRound *r = &lm->round;
    for (uint32_t k = 0; k < SN_COUNT(own); k++)
        SN_TRY(bind(lm, own[k], SN_I64, r->number + (size_t)k * lm->rows, 1, r->nrow, 0, err));
    for (uint32_t k = 0; k < lm->ninput; k++) {
        SnLmInput *in = &lm->input[k];
        const size_t size = sn_dtype_size(in->dtype);
        if (!(in->entries & 1u << r->entry))
            continue;
        for (uint32_t i = 0; i < r->nrow; i++)
            memcpy(in->stage + i * size, in->value + 8 * (size_t)r->slot[i], size);
        SN_TRY(bind(lm, in->name, in->dtype, in->stage, 1, r->nrow, 0, err));
    }
    return SN_OK;
}

/* What may follow each place of each row. */
static SnStatus bind_allowed(SnLm *lm, SnError *err)
{
    SnLmRound *r = &lm->round;
    const size_t vocabulary = lm->vocabulary;
    for (uint32_t i = 0; i < r->nrow * r->wanted; i++) {
        const SnLmSlot *s = &lm->slot[r->slot[i / r->wanted]];
        bool *allowed = r->allowed + i * vocabulary;
        memset(allowed, s->allow == NULL, vocabulary * sizeof *allowed);
        if (!s->allow)
            continue;
        s->allow(s->allow_self, s->ids, (uint32_t)r->length[i], allowed, lm->vocabulary);
        SN_CHECK(memchr(allowed, true, vocabulary), err, SN_EINVAL,
                 "no token is allowed behind %lld of a row", (long long)r->length[i]);
    }
    const int64_t dims[] = {r->nrow, r->wanted, lm->vocabulary};
    const SnView v = sn_view(SN_BOOL, r->allowed, 3, dims);
    return sn_bind(lm->instance, "allowed", &v, err);
}

static SnStatus bind_round(SnLm *lm, SnError *err)
{
    SnLmRound *r = &lm->round;
    lay_tokens(lm);
    SN_TRY(sn_entry(lm->instance, entry_name[r->entry], err));
    SN_TRY(bind(lm, "ids", SN_I64, r->ids, 2, r->nrow, r->seq, err));
    SN_TRY(bind(lm, "pos", SN_I64, r->pos, 2, r->nrow, r->seq, err));
    SN_TRY(bind(lm, "page", SN_I32, r->page[SN_LM_FAR], 2, r->nrow, lm->chunks, err));
    SN_TRY(bind(lm, "near_page", SN_I32, r->page[SN_LM_NEAR], 2, r->nrow, lm->chunks, err));
    SN_TRY(bind(lm, "places", SN_I64, r->places, 2, r->nrow, r->wanted, err));
    SN_TRY(bind(lm, "length", SN_I64, r->length, 2, r->nrow, r->wanted, err));
    SN_TRY(bind(lm, "history", SN_I32, lm->history, 2, lm->rows, lm->context, err));
    SN_TRY(bind(lm, "score", SN_F32, r->score, 1, r->nrow, 0, err));
    if (lm->vocabulary && r->entry != SN_LM_FILL)
        SN_TRY(bind_allowed(lm, err));
    return bind_numbers(lm, err);
}

static SnStatus bind_moves(SnLm *lm, const SnLmMoves *m, SnError *err)
{
    SN_TRY(sn_entry(lm->instance, entry_name[lm->round.part], err));
    SN_TRY(bind(lm, "from", SN_I64, m->from, 1, m->n, 0, err));
    return bind(lm, "to", SN_I64, m->to, 1, m->n, 0, err);
}

/* ---- results ---- */

bool sn_lm_stops(const SnLmSlot *s, int32_t id)
{
    for (uint32_t i = 0; i < s->nstop; i++)
        if (s->stop[i] == id)
            return true;
    return false;
}

/* Tokens that a row got: as many drafts as are right, and one more. Their past is that of the drafts. */
static void take_tokens(SnLmSlot *s, const int32_t *id, uint32_t guess)
{
    const uint32_t before = s->nid;
    uint32_t right = 0;
    for (uint32_t j = 0; j <= guess; j++) {
        const bool is_right = j < guess && s->ids[s->nid] == id[j];
        s->ids[s->nid++] = id[j];
        if (sn_lm_stops(s, id[j]) || s->nid >= s->end)
            s->use = SN_LM_DONE;
        if (s->use == SN_LM_DONE || !is_right)
            break;
        right++;
    }
    s->fresh = s->nid - before;
    s->fed = before - s->npad + right;
    s->nguess = 0;
    s->nguessed += guess;
    s->naccepted += right;
}

void sn_lm_lead(SnLm *lm, const SnLmSlot *s)
{
    SnLmSlot *twin = &lm->slot[s->twin];
    twin->fed = twin->nid;
    twin->ids[twin->nid++] = s->ids[s->nid - 1];
}

/* The state of a row is not that of the tokens that it has: nobody goes on from it. */
static void lose_state(SnLm *lm, uint32_t slot)
{
    if (lm->has[SN_LM_COPY_STATE])
        lm->slot[slot].fed = 0;
}

/* A pick below 0 is none: there are scores that are no numbers. */
static SnStatus check_ids(const SnLmRound *r, SnError *err)
{
    const int32_t *id = r->id.data;
    for (uint32_t i = 0; i < r->nrow * r->wanted; i++)
        SN_CHECK(id[i] >= 0, err, SN_EINVAL, "a next token's scores are no numbers (NaN), behind %lld tokens",
                 (long long)r->length[i]);
    return SN_OK;
}

/* What guides a beam has logits only: its scores may be anything. */
static SnStatus check_scores(const SnLm *lm, SnError *err)
{
    const SnLmRound *r = &lm->round;
    const float *x = r->scores.data;
    for (uint32_t i = 0; i < r->nrow; i++)
        for (int64_t k = 0; k < r->scores.dims[1]; k++, x++)
            SN_CHECK(*x == *x || lm->slot[r->slot[i]].use == SN_LM_LED, err, SN_EINVAL,
                     "the scores of a beam are no numbers (NaN)");
    return SN_OK;
}

static SnStatus take_results(SnLm *lm, SnError *err)
{
    SnLmRound *r = &lm->round;
    r->id = r->logits = r->scores = r->order = r->all = (SnView){0};
    if (r->entry == SN_LM_FILL) {
        SnLmSlot *s = &lm->slot[r->slot[0]];
        s->fed += r->count[0] - (r->count[0] == left_of(s));
        s->fresh = 0;
        return SN_OK;
    }
    if (sn_instance_slot(lm->instance, lm->instance->entry->output, "logits"))
        SN_TRY(sn_result(lm->instance, "logits", &r->logits, err));
    if (sn_instance_slot(lm->instance, lm->instance->entry->output, "scores"))
        SN_TRY(sn_result(lm->instance, "scores", &r->scores, err));
    if (sn_instance_slot(lm->instance, lm->instance->entry->output, "all"))
        SN_TRY(sn_result(lm->instance, "all", &r->all, err));
    if (r->entry != SN_LM_NEXT) {
        SN_TRY(sn_result(lm->instance, "order", &r->order, err));
        SN_TRY(check_scores(lm, err));
        return sn_result(lm->instance, "best", &r->id, err);
    }
    SN_TRY(sn_result(lm->instance, "id", &r->id, err));
    SN_TRY(check_ids(r, err));
    for (uint32_t i = 0; i < r->nrow; i++) { /* one that was ended or dropped meanwhile gets none */
        SnLmSlot *s = &lm->slot[r->slot[i]];
        s->fresh = 0;
        if (s->use == SN_LM_LIVE) {
            take_tokens(s, (const int32_t *)r->id.data + (size_t)i * r->wanted, r->guess[i]);
            if (s->twin != SN_LM_NONE)
                sn_lm_lead(lm, s);
        } else if (s->use != SN_LM_LED) {
            lose_state(lm, r->slot[i]);
        }
    }
    return SN_OK;
}

/* ---- steps ---- */

/* What must be copied first, then the run itself. */
static SnStatus bind_part(SnLm *lm, SnError *err)
{
    SnLmRound *r = &lm->round;
    for (uint32_t i = 0; i < SN_LM_COPIES; i++)
        if (lm->move[i].n) {
            r->part = (SnLmEntry)(SN_LM_COPY + i);
            return bind_moves(lm, &lm->move[i], err);
        }
    r->part = r->entry;
    return bind_round(lm, err);
}

static SnStatus run_parts(SnLm *lm, uint64_t budget_ns, bool *done, SnError *err)
{
    SnLmRound *r = &lm->round;
    if (!r->is_open)
        SN_TRY(bind_part(lm, err));
    r->is_open = true;
    SN_TRY(sn_run_some(lm->instance, budget_ns, done, err));
    while (*done && r->part != r->entry) {
        lm->move[r->part - SN_LM_COPY].n = 0;
        SN_TRY(bind_part(lm, err));
        SN_TRY(sn_run_some(lm->instance, budget_ns, done, err));
    }
    return *done ? take_results(lm, err) : SN_OK;
}

SnStatus sn_lm_round_run(SnLm *lm, uint64_t budget_ns, bool *done, SnError *err)
{
    *done = false;
    const SnStatus st = run_parts(lm, budget_ns, done, err);
    for (uint32_t i = 0; st != SN_OK && i < lm->round.nrow; i++)
        lose_state(lm, lm->round.slot[i]);
    if (st != SN_OK || *done)
        lm->round.is_open = false;
    return st;
}

SnStatus sn_lm_step(SnLm *lm, uint64_t budget_ns, bool *done, SnError *err)
{
    if (!lm->round.is_open) {
        SN_TRY(choose(lm, budget_ns, done, err));
        if (!*done)
            return SN_OK;
        SN_CHECK(lm->round.nrow || !sn_lm_is_busy(lm), err, SN_ENOMEM,
                 "no pages for a row: %u of them are taken", lm->pool[SN_LM_FAR].pages);
        if (lm->round.nrow == 0)
            return SN_OK;
    }
    return sn_lm_round_run(lm, budget_ns, done, err);
}

bool sn_lm_is_open(const SnLm *lm)
{
    return lm->round.is_open || lm->is_drafting;
}

bool sn_lm_is_feeding(const SnLm *lm)
{
    return lm->has_fed;
}

bool sn_lm_token(SnLm *lm, SnLmToken *out)
{
    SnLmRound *r = &lm->round;
    while (!r->is_open && r->entry == SN_LM_NEXT && r->shown_row < r->nrow &&
           r->shown == lm->slot[r->slot[r->shown_row]].fresh) {
        r->shown_row++;
        r->shown = 0;
    }
    if (r->is_open || r->entry != SN_LM_NEXT || r->shown_row >= r->nrow)
        return false;
    const SnLmSlot *s = &lm->slot[r->slot[r->shown_row]];
    const int64_t vocabulary = r->logits.data ? r->logits.dims[2] : r->scores.data ? r->scores.dims[2] : 0;
    const size_t at = ((size_t)r->shown_row * r->wanted + r->shown) * (size_t)vocabulary;
    *out = (SnLmToken){.slot = r->slot[r->shown_row],
                       .id = s->ids[s->nid - s->fresh + r->shown],
                       .nid = s->nid - s->fresh + r->shown + 1,
                       .is_last = s->use != SN_LM_LIVE && r->shown + 1 == s->fresh,
                       .logits = r->logits.data ? (const float *)r->logits.data + at : NULL,
                       .scores = r->scores.data ? (const float *)r->scores.data + at : NULL,
                       .vocabulary = (uint32_t)vocabulary};
    r->shown++;
    return true;
}
