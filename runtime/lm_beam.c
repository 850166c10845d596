/* lm_beam.c -- beam search over rows of a driver.
 *
 * As GenerationMixin._beam_search of Transformers 5.23 does it, sums and comparisons in f32, so that the same
 * sequences win: candidates are the likeliest max(2, 1 + stops) * beams of all beams; those that end are kept
 * if they are among the first `beams`, by score / length^penalty; the best others go on. The graph gives each
 * beam's best candidates; beams share pages, and states are copied. */
#include "runtime/lm_state.h"

#include <math.h>

#define FAR -1.0e9f /* what is added to a score that must not win */

typedef struct Candidate {
    float score, key; /* key: the order in which they come; where they are drawn, not that of scores */
    uint32_t beam;
    int32_t id;
    bool ends;
} Candidate;

typedef struct Ended {
    float score;
    uint32_t nid, ids; /* ids: which row of `kept` */
    bool is_ended;
} Ended;

struct SnLmBeam {
    SnLm *lm;
    SnLmBeam *next;
    SnArena arena;
    uint32_t beams, slots, ncandidate; /* slots: of a beam */
    uint32_t length, nprompt;          /* length: tokens at which it ends */
    SnLmEarly early;
    double penalty;
    uint32_t *slot;
    float *score;                                  /* of the beams that go on */
    bool has_begun, can_improve, goes_on, is_done; /* goes_on: not all candidates have ended */
    Candidate *all, *best, *going;                 /* [beams * keep], [ncandidate], [ncandidate] */
    Ended *ended, *merged;                         /* [beams], [beams + ncandidate] */
    int32_t *kept, *path; /* [2 * beams][context], [2 * beams][new]: tokens, beams of those that ended */
    uint32_t *parent;     /* [new][beams]: from which each beam went on */
    void (*seen)(void *self, uint32_t beam, const float *logits, const float *scores, uint32_t vocabulary);
    void *self;
};

static SnLmSlot *slot_of(const SnLmBeam *b, uint32_t beam)
{
    return &b->lm->slot[b->slot[beam]];
}

/* ---- life ---- */

static SnStatus take_slots(SnLmBeam *b, const SnLmBeamDesc *d, SnError *err)
{
    SnLm *lm = b->lm;
    const SnLmRow guide = {
        .ids = d->row.guide, .nid = d->row.nguide, .number = d->row.number, .nnumber = d->row.nnumber};
    for (uint32_t i = 0; i < b->beams; i++) {
        SnLmSlot *s = sn_lm_take(lm, SN_LM_SEARCHED, &d->row);
        SnLmSlot *twin = s && b->slots > 1 ? sn_lm_take(lm, SN_LM_LED, &guide) : NULL;
        SN_CHECK(s, err, SN_ENOMEM, "all %u rows are taken, a search needs %u", lm->rows,
                 b->beams * b->slots);
        b->slot[i] = (uint32_t)(s - lm->slot);
        s->twin = twin ? (uint32_t)(twin - lm->slot) : SN_LM_NONE;
        if (twin)
            twin->twin = b->slot[i];
        for (uint32_t k = 0; k < d->row.nnumber; k++) /* beams draw numbers of their own */
            if (strcmp(d->row.number[k].name, "seed") == 0)
                sn_lm_set(lm, b->slot[i], "seed", d->row.number[k].value + i);
    }
    return SN_OK;
}

static SnStatus make_search(SnLmBeam *b, const SnLmBeamDesc *d, SnError *err)
{
    SnArena *a = &b->arena;
    const uint32_t nend = d->row.nstop, keep = (nend > 1 ? nend + 1 : 2) * d->beams;
    const size_t beams = d->beams, context = b->lm->context;
    const uint32_t room = b->lm->context - d->row.nid;
    b->beams = d->beams;
    b->slots = d->row.nguide ? 2 : 1;
    b->seen = d->seen;
    b->self = d->self;
    b->ncandidate = keep;
    b->early = d->early_stopping;
    b->penalty = d->length_penalty;
    b->nprompt = d->row.nid;
    b->length = d->row.nid + (d->row.max_new && d->row.max_new < room ? d->row.max_new : room);
    const size_t new = b->length - b->nprompt;
    b->can_improve = b->goes_on = true;
    b->path = sn_arena_array(a, 2 * beams * new, sizeof *b->path);
    b->parent = sn_arena_array(a, beams * new, sizeof *b->parent);
    b->slot = sn_arena_array(a, beams, sizeof *b->slot);
    b->score = sn_arena_array(a, beams, sizeof *b->score);
    b->all = sn_arena_array(a, beams * keep, sizeof *b->all);
    b->best = sn_arena_array(a, keep, sizeof *b->best);
    b->going = sn_arena_array(a, keep, sizeof *b->going);
    b->ended = sn_arena_array(a, beams, sizeof *b->ended);
    b->merged = sn_arena_array(a, beams + keep, sizeof *b->merged);
    b->kept = sn_arena_array(a, 2 * beams * context, sizeof *b->kept);
    SN_CHECK(!a->failed, err, SN_ENOMEM, "no memory for a search of %u beams", d->beams);
    for (uint32_t i = 0; i < b->beams; i++) {
        b->score[i] = i ? FAR : 0;
        b->ended[i] = (Ended){.score = FAR, .nid = b->nprompt, .ids = i};
        memcpy(b->kept + i * context, d->row.ids, d->row.nid * sizeof *b->kept);
    }
    return take_slots(b, d, err);
}

SnStatus sn_lm_beam_create(SnLm *lm, const SnLmBeamDesc *d, SnLmBeam **out, SnError *err)
{
    SN_CHECK(lm->has[SN_LM_BEAM] && lm->shadow, err, SN_EUNSUPPORTED,
             "a decoder that was made without beams");
    const uint64_t need = (uint64_t)d->beams * (d->row.nguide ? 2 : 1);
    SN_CHECK(need >= 1 && need <= lm->rows, err, SN_EINVAL, "%u beams, there are %u rows", d->beams,
             lm->rows);
    SN_TRY(sn_lm_check_row(lm, &d->row, err));
    SnLmBeam *b = sn_alloc_zero(&lm->ctx->memory, sizeof *b, _Alignof(max_align_t));
    SN_CHECK(b, err, SN_ENOMEM, "no memory for a search");
    b->lm = lm;
    sn_arena_init(&b->arena, &lm->ctx->memory);
    SnLmBeam **end = &lm->beam;
    while (*end)
        end = &(*end)->next;
    *end = b;
    const SnStatus st = make_search(b, d, err);
    if (st == SN_OK)
        *out = b;
    else
        sn_lm_beam_destroy(b);
    return st;
}

static void free_slot(SnLm *lm, SnLmSlot *s)
{
    sn_lm_release(lm, s, 0);
    s->use = SN_LM_FREE;
    s->twin = SN_LM_NONE;
}

void sn_lm_beam_destroy(SnLmBeam *b)
{
    if (!b)
        return;
    SnLm *lm = b->lm;
    for (uint32_t i = 0; i < lm->rows && b->slot && i < b->beams; i++)
        if (slot_of(b, i)->use == SN_LM_SEARCHED) {
            if (slot_of(b, i)->twin != SN_LM_NONE)
                free_slot(lm, &lm->slot[slot_of(b, i)->twin]);
            free_slot(lm, slot_of(b, i));
        }
    for (SnLmBeam **at = &lm->beam; *at; at = &(*at)->next)
        if (*at == b) {
            *at = b->next;
            break;
        }
    sn_arena_clear(&b->arena);
    sn_free(&lm->ctx->memory, b, sizeof *b, _Alignof(max_align_t));
}

const int32_t *sn_lm_beam_result(const SnLmBeam *b, uint32_t i, uint32_t *nid, float *score)
{
    const Ended *e = &b->ended[i < b->beams ? i : 0];
    *nid = e->nid;
    *score = e->score;
    return b->kept + (size_t)e->ids * b->lm->context;
}

const int32_t *sn_lm_beam_path(const SnLmBeam *b, uint32_t i)
{
    return b->path + (size_t)b->ended[i < b->beams ? i : 0].ids * (b->length - b->nprompt);
}

/* ---- choosing ---- */

/* By key, stable, falling: as few as these are, insertion is quick. */
static void sort_candidates(Candidate *c, uint32_t n)
{
    for (uint32_t i = 1; i < n; i++) {
        const Candidate x = c[i];
        uint32_t at = i;
        for (; at > 0 && c[at - 1].key < x.key; at--)
            c[at] = c[at - 1];
        c[at] = x;
    }
}

static void sort_ended(Ended *e, uint32_t n)
{
    for (uint32_t i = 1; i < n; i++) {
        const Ended x = e[i];
        uint32_t at = i;
        /* Of two alike the one that has ended. */
        for (; at > 0 && (e[at - 1].score < x.score ||
                          (e[at - 1].score == x.score && x.is_ended && !e[at - 1].is_ended));
             at--)
            e[at] = e[at - 1];
        e[at] = x;
    }
}

/* The likeliest candidates of the rows of this search, nrow from row on; each is followed by what guides it.
 */
static void find_candidates(SnLmBeam *b, uint32_t row, uint32_t nrow)
{
    const SnLmRound *r = &b->lm->round;
    const uint32_t keep = (uint32_t)r->id.dims[1];
    uint32_t n = 0;
    for (uint32_t i = 0; i < nrow; i++) {
        const size_t at = (size_t)(row + i * b->slots) * keep;
        const int32_t *id = (const int32_t *)r->id.data + at;
        const float *score = (const float *)r->scores.data + at, *key = (const float *)r->order.data + at;
        for (uint32_t k = 0; k < keep && k < b->ncandidate; k++)
            b->all[n++] = (Candidate){.score = score[k], .key = key[k], .beam = i, .id = id[k]};
    }
    /* In a first step the other beams have the same, far behind: where processors leave fewer than are
     * wanted. */
    for (uint32_t i = 1, first = n; nrow == 1 && i < b->beams; i++)
        for (uint32_t k = 0; k < first; k++, n++) {
            b->all[n] = b->all[k];
            b->all[n].score += FAR;
            b->all[n].key += FAR;
        }
    sort_candidates(b->all, n);
    b->ncandidate = n < b->ncandidate ? n : b->ncandidate;
    memcpy(b->best, b->all, b->ncandidate * sizeof *b->best);
    const SnLmSlot *s = slot_of(b, 0);
    for (uint32_t i = 0; i < b->ncandidate; i++)
        b->best[i].ends = s->nid + 1 >= b->length || sn_lm_stops(s, b->best[i].id);
}

/* A row of `kept` that none of the ended sequences has. */
static uint32_t find_room(const Ended *e, uint32_t n)
{
    for (uint32_t at = 0;; at++) {
        bool is_taken = false;
        for (uint32_t i = 0; i < n; i++)
            is_taken = is_taken || e[i].ids == at;
        if (!is_taken)
            return at;
    }
}

static void write_ended(SnLmBeam *b, Ended *e, const Candidate *c)
{
    const SnLmSlot *s = slot_of(b, c->beam);
    int32_t *to = b->kept + (size_t)e->ids * b->lm->context;
    memcpy(to, s->ids, s->nid * sizeof *to);
    to[s->nid] = c->id;
    e->nid = s->nid + 1;
    int32_t *path = b->path + (size_t)e->ids * (b->length - b->nprompt);
    uint32_t beam = c->beam;
    for (uint32_t i = s->nid - b->nprompt;; i--) {
        path[i] = (int32_t)beam;
        if (i == 0)
            break;
        beam = b->parent[(size_t)(i - 1) * b->beams + beam];
    }
}

static bool all_ended(const SnLmBeam *b)
{
    bool all = true;
    for (uint32_t i = 0; i < b->beams; i++)
        all = all && b->ended[i].is_ended;
    return all;
}

/* Candidates that end join those that ended before; the best stay. */
static void update_ended(SnLmBeam *b)
{
    const uint32_t grown = slot_of(b, 0)->nid + 1 - b->nprompt, beams = b->beams;
    const float by = (float)pow((double)grown, b->penalty);
    const bool is_full = b->early == SN_LM_EARLY_TRUE && all_ended(b);
    Ended *m = b->merged;
    memcpy(m, b->ended, beams * sizeof *m);
    for (uint32_t i = 0; i < b->ncandidate; i++) {
        const bool just_ended = b->best[i].ends && i < beams;
        float score = b->best[i].score / by;
        score += is_full ? FAR : 0;
        score += b->can_improve ? 0 : FAR;
        score += just_ended ? 0 : FAR;
        m[beams + i] = (Ended){.score = score, .nid = i, .ids = SN_LM_NONE, .is_ended = just_ended};
    }
    sort_ended(m, beams + b->ncandidate);
    for (uint32_t i = 0; i < beams; i++)
        if (m[i].ids == SN_LM_NONE) { /* nid is the candidate until its tokens are written */
            const Candidate *c = &b->best[m[i].nid];
            m[i].ids = find_room(m, beams);
            write_ended(b, &m[i], c);
        }
    memcpy(b->ended, m, beams * sizeof *m);
}

/* The best candidates that do not end. */
static void find_going(SnLmBeam *b)
{
    memcpy(b->going, b->best, b->ncandidate * sizeof *b->going);
    for (uint32_t i = 0; i < b->ncandidate; i++) {
        b->going[i].score += b->going[i].ends ? FAR : 0;
        b->going[i].key = b->going[i].score;
    }
    sort_candidates(b->going, b->ncandidate);
}

/* ---- beams change places ---- */

/* What a beam has, kept while they change places: its tokens and its tables. */
static void save_beam(SnLm *lm, const SnLmSlot *s, int32_t *to)
{
    memcpy(to, s->ids, s->nid * sizeof *to);
    for (uint32_t k = 0; k < SN_LM_KINDS; k++) {
        memcpy(to + lm->context + k * lm->chunks, s->table[k], lm->chunks * sizeof *to);
        for (uint32_t c = 0; c < lm->chunks; c++)
            if (s->table[k][c] >= 0)
                lm->pool[k].ref[s->table[k][c]]++;
    }
}

static void load_beam(SnLm *lm, SnLmSlot *s, const int32_t *from, uint32_t nid)
{
    sn_lm_release(lm, s, 0);
    memcpy(s->ids, from, nid * sizeof *from);
    for (uint32_t k = 0; k < SN_LM_KINDS; k++)
        memcpy(s->table[k], from + lm->context + k * lm->chunks, lm->chunks * sizeof *from);
}

static void move_beams(SnLmBeam *b)
{
    SnLm *lm = b->lm;
    const size_t row = (size_t)lm->context + SN_LM_KINDS * lm->chunks;
    const uint32_t nid = slot_of(b, 0)->nid, npad = slot_of(b, 0)->npad, fed = nid - npad;
    for (uint32_t i = 0; i < b->beams; i++)
        save_beam(lm, slot_of(b, b->going[i].beam), lm->shadow + i * row);
    for (uint32_t i = 0; i < b->beams; i++) {
        SnLmSlot *s = slot_of(b, i);
        load_beam(lm, s, lm->shadow + i * row, nid);
        s->ids[nid] = b->going[i].id;
        s->nid = nid + 1;
        s->fed = fed;
        b->score[i] = b->going[i].score;
        b->parent[(size_t)(nid - b->nprompt) * b->beams + i] = b->going[i].beam;
        if (s->twin != SN_LM_NONE)
            sn_lm_lead(lm, s);
        if (lm->has[SN_LM_COPY_STATE] && b->going[i].beam != i) {
            SnLmMoves *m = &lm->move[SN_LM_COPY_STATE - SN_LM_COPY];
            m->from[m->n] = b->slot[b->going[i].beam];
            m->to[m->n++] = b->slot[i];
        }
    }
}

/* Can the best beam still beat the worst that ended? */
static bool can_improve(const SnLmBeam *b)
{
    const uint32_t now = slot_of(b, 0)->nid - b->nprompt;
    const bool is_long = b->early == SN_LM_EARLY_NEVER && b->penalty > 0;
    const uint32_t most = is_long ? b->length - b->nprompt : now;
    const float best = b->score[0] / (float)pow((double)most, b->penalty);
    float worst = b->ended[0].score;
    for (uint32_t i = 1; i < b->beams; i++)
        worst = b->ended[i].score < worst ? b->ended[i].score : worst;
    for (uint32_t i = 0; i < b->beams; i++)
        if (best > (b->ended[i].is_ended ? worst : FAR))
            return true;
    return false;
}

/* All beams of a step; those of the first one are alike. */
static void show(const SnLmBeam *b, uint32_t row, uint32_t nrow)
{
    const SnView *logits = &b->lm->round.logits, *all = &b->lm->round.all;
    const int64_t v = logits->data ? logits->dims[2] : all->data ? all->dims[2] : 0;
    for (uint32_t i = 0; b->seen && i < b->beams; i++) {
        const size_t at = (row + (nrow > 1 ? i : 0) * b->slots) * (size_t)v;
        b->seen(b->self, i, logits->data ? (const float *)logits->data + at : NULL,
                all->data ? (const float *)all->data + at : NULL, (uint32_t)v);
    }
}

static void choose(SnLmBeam *b, uint32_t row, uint32_t nrow)
{
    show(b, row, nrow);
    find_candidates(b, row, nrow);
    b->goes_on = false;
    for (uint32_t i = 0; i < b->ncandidate; i++)
        b->goes_on = b->goes_on || !b->best[i].ends;
    find_going(b);
    update_ended(b);
    move_beams(b);
    b->can_improve = b->can_improve && can_improve(b);
    b->is_done =
        b->is_done || !b->can_improve || !b->goes_on || (b->early == SN_LM_EARLY_TRUE && all_ended(b));
}

/* ---- steps ---- */

static SnStatus run_round(SnLm *lm, SnError *err)
{
    bool done = false;
    while (!done)
        SN_TRY(sn_lm_round_run(lm, 0, &done, err));
    return SN_OK;
}

static SnStatus join(SnLmBeam *b, uint32_t slot, uint32_t to, float score, SnError *err)
{
    SnLm *lm = b->lm;
    SnLmSlot *s = &lm->slot[slot];
    SN_CHECK(sn_lm_hold(lm, s, to - s->npad), err, SN_ENOMEM, "no pages for %u beams", b->beams);
    lm->round.score[lm->round.nrow] = score;
    sn_lm_round_add(lm, slot, to, 0);
    return SN_OK;
}

/* Chunks of what a row lacks, but for what its next step takes: `most`. */
static SnStatus feed(SnLmBeam *b, uint32_t slot, uint32_t most, SnError *err)
{
    SnLm *lm = b->lm;
    const SnLmSlot *s = &lm->slot[slot];
    for (uint32_t left; (left = s->nid - s->npad - s->fed) > most;) {
        sn_lm_round_begin(lm, SN_LM_FILL);
        left -= !lm->is_whole;
        SN_TRY(join(b, slot, s->npad + s->fed + (left < lm->chunk ? left : lm->chunk), 0, err));
        SN_TRY(run_round(lm, err));
    }
    return SN_OK;
}

/* The prompt, by the first beam alone; and what guides each of them. */
static SnStatus begin(SnLmBeam *b, SnError *err)
{
    SnLm *lm = b->lm;
    SN_TRY(feed(b, b->slot[0], b->slots > 1 ? 1 : lm->chunk, err));
    for (uint32_t i = 0; b->slots > 1 && i < b->beams; i++)
        SN_TRY(feed(b, slot_of(b, i)->twin, 1, err));
    sn_lm_round_begin(lm, SN_LM_BEAM);
    SN_TRY(join(b, b->slot[0], slot_of(b, 0)->nid, 0, err));
    for (uint32_t i = 0; b->slots > 1 && i < b->beams; i++)
        SN_TRY(join(b, slot_of(b, i)->twin, lm->slot[slot_of(b, i)->twin].nid, 0, err));
    SN_TRY(run_round(lm, err));
    choose(b, 0, 1);
    b->has_begun = true;
    return SN_OK;
}

/* Is it part of the next step? One that has ended is, if somebody looks. */
static bool takes_part(const SnLmBeam *b)
{
    return !b->is_done || (b->seen && slot_of(b, 0)->nid < b->length);
}

/* Where a row has got longer than its past is for, another one is made. */
static SnStatus turn(SnLmBeam *b, uint32_t slot, SnError *err)
{
    sn_lm_turn(b->lm, &b->lm->slot[slot]);
    return feed(b, slot, 1, err);
}

static SnStatus go_on(SnLm *lm, SnError *err)
{
    uint32_t row = 0;
    for (SnLmBeam *b = lm->beam; b; b = b->next)
        for (uint32_t i = 0; takes_part(b) && i < b->beams; i++) {
            SN_TRY(turn(b, b->slot[i], err));
            if (b->slots > 1)
                SN_TRY(turn(b, slot_of(b, i)->twin, err));
        }
    sn_lm_round_begin(lm, SN_LM_BEAM);
    for (SnLmBeam *b = lm->beam; b; b = b->next)
        for (uint32_t i = 0; takes_part(b) && i < b->beams; i++) {
            const SnLmSlot *s = slot_of(b, i);
            SN_TRY(join(b, b->slot[i], s->nid, b->score[i], err));
            if (b->slots > 1)
                SN_TRY(join(b, s->twin, lm->slot[s->twin].nid, 0, err));
        }
    if (lm->round.nrow == 0)
        return SN_OK;
    SN_TRY(run_round(lm, err));
    for (SnLmBeam *b = lm->beam; b; b = b->next)
        if (takes_part(b)) {
            choose(b, row, b->beams);
            row += b->beams * b->slots;
        }
    return SN_OK;
}

/* Where somebody looks, all searches go on as long as one can improve, one is open and one has a beam. */
static bool all_done(const SnLm *lm)
{
    bool done = true, seen = false, can_improve = false, is_open = false, goes_on = false;
    for (const SnLmBeam *b = lm->beam; b; b = b->next) {
        done = done && b->is_done;
        seen = seen || b->seen;
        can_improve = can_improve || b->can_improve;
        is_open = is_open || b->early != SN_LM_EARLY_TRUE || !all_ended(b);
        goes_on = goes_on || b->goes_on;
    }
    return seen ? !can_improve || !is_open || !goes_on : done;
}

SnStatus sn_lm_beam_step(SnLm *lm, bool *done, SnError *err)
{
    bool is_new = false;
    SN_CHECK(!lm->round.is_open, err, SN_EINVAL, "a step is not done");
    for (SnLmBeam *b = lm->beam; b; b = b->next)
        if (!b->has_begun) {
            SN_TRY(begin(b, err));
            is_new = true;
        }
    if (!is_new)
        SN_TRY(go_on(lm, err));
    *done = all_done(lm);
    return SN_OK;
}
