/* lm_draft.c -- tokens that are guessed, to be checked in one run: by what was there before, or by a smaller
 * model.
 *
 * A row's tokens are what they would be without: a guess that is another one is thrown away. Leviathan et al.
 * 2023, arXiv:2211.17192; Saxena 2023, prompt lookup decoding. */
#include "runtime/lm_state.h"

/* How many of a row can be guessed: those that it may still get but one, and have room. */
static uint32_t room_of(const SnLm *lm, const SnLmSlot *s)
{
    const uint32_t left = s->end - s->nid - 1, space = lm->context - s->nid,
                   near = lm->turn + s->npad - s->nid;
    uint32_t most = left < space ? left : space;
    if (lm->turn && !s->is_far && near < most) /* guesses are of the past that the row has now */
        most = near;
    return s->ndraft < most ? s->ndraft : most;
}

/* The tokens that came after the last n-gram where it stood before, the longest n first. */
static uint32_t look_up(const SnLm *lm, SnLmSlot *s)
{
    const int32_t *ids = s->ids + s->npad;
    const uint32_t n = s->nid - s->npad, most = room_of(lm, s);
    for (uint32_t gram = s->ngram; most > 0 && gram > 0; gram--)
        for (uint32_t at = 0; at + gram < n; at++) {
            if (memcmp(ids + at, ids + n - gram, gram * sizeof *ids) != 0)
                continue;
            const uint32_t from = at + gram, count = n - from < most ? n - from : most;
            memcpy(s->ids + s->nid, ids + from, count * sizeof *ids);
            return count;
        }
    return 0;
}

/* ---- a smaller model ---- */

SnStatus sn_lm_assist(SnLm *lm, SnLm *draft, SnError *err)
{
    SN_CHECK(draft->rows >= lm->rows && draft->context >= lm->context, err, SN_EINVAL,
             "a draft of %u rows of %u tokens, for %u of %u", draft->rows, draft->context, lm->rows,
             lm->context);
    SN_CHECK(!lm->round.is_open, err, SN_EINVAL, "a step is not done");
    lm->draft = draft;
    return SN_OK;
}

static bool is_ready(const SnLmSlot *s)
{
    return s->use == SN_LM_LIVE && s->nid - s->npad - s->fed == 1 && s->ndraft > 0;
}

/* A row of the draft has the numbers of its own: its seed too. */
static void copy_numbers(SnLm *lm, uint32_t slot)
{
    for (uint32_t i = 0; i < lm->ninput; i++)
        for (uint32_t k = 0; k < lm->draft->ninput; k++)
            if (strcmp(lm->input[i].name, lm->draft->input[k].name) == 0 &&
                lm->input[i].dtype == lm->draft->input[k].dtype)
                memcpy(lm->draft->input[k].value + 8 * (size_t)lm->draft_slot[slot],
                       lm->input[i].value + 8 * (size_t)slot, 8);
}

/* The draft's rows know what the rows have in common with what they were: only new tokens are fed there. */
static SnStatus begin(SnLm *lm, SnError *err)
{
    for (uint32_t i = 0; i < lm->rows; i++) {
        SnLmSlot *s = &lm->slot[i];
        lm->draft_slot[i] = SN_LM_NONE;
        if (!is_ready(s) || room_of(lm, s) == 0)
            continue;
        const SnLmRow row = {.ids = s->ids, .nid = s->nid, .npad = s->npad, .max_new = room_of(lm, s)};
        SN_TRY(sn_lm_add(lm->draft, &row, &lm->draft_slot[i], NULL, err));
        copy_numbers(lm, i);
    }
    lm->is_drafting = true;
    return SN_OK;
}

static void collect(SnLm *lm)
{
    for (uint32_t i = 0; i < lm->rows; i++) {
        SnLmSlot *s = &lm->slot[i];
        if (lm->draft_slot[i] == SN_LM_NONE)
            continue;
        const SnLmInfo info = sn_lm_info(lm->draft, lm->draft_slot[i]);
        if (is_ready(s) && info.nprompt == s->nid) {
            s->nguess = info.nid - info.nprompt;
            memcpy(s->ids + s->nid, info.ids + info.nprompt, s->nguess * sizeof *s->ids);
        }
        sn_lm_drop(lm->draft, lm->draft_slot[i]);
    }
    lm->is_drafting = false;
}

SnStatus sn_lm_guess(SnLm *lm, uint64_t budget_ns, bool *done, SnError *err)
{
    *done = true;
    if (!lm->draft) {
        for (uint32_t i = 0; i < lm->rows; i++)
            if (is_ready(&lm->slot[i]))
                lm->slot[i].nguess = look_up(lm, &lm->slot[i]);
        return SN_OK;
    }
    if (!lm->is_drafting)
        SN_TRY(begin(lm, err));
    const uint64_t end = budget_ns ? sn_now_ns() + budget_ns : 0;
    for (uint64_t left = budget_ns; *done && sn_lm_is_busy(lm->draft);) { /* one slice at least */
        SN_TRY(sn_lm_step(lm->draft, left, done, err));
        const uint64_t now = end ? sn_now_ns() : 0;
        if (end && now >= end)
            break;
        left = end - now;
    }
    *done = !sn_lm_is_busy(lm->draft);
    if (*done)
        collect(lm);
    return SN_OK;
}
