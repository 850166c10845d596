/* words.c -- words of a text and how often they come; their characters; the vocabulary that is words.
 */
#include "frontends/tokenizer/train/train.h"
#include "ops/host/tok.h"
#include "runtime/hash.h"

#include <stdlib.h>

/* ---- counting ---- */

static bool widen(SnTrainWords *w)
{
    const uint32_t n = w->nslot ? 2 * w->nslot : 1 << 14;
    uint32_t *slot = n ? sn_alloc_zero(w->memory, n * sizeof *slot, 64) : NULL;
    if (!slot)
        return false;
    for (size_t i = 0; i < w->all.n; i++) {
        uint32_t k = w->all.at[i].hash & (n - 1);
        while (slot[k])
            k = (k + 1) & (n - 1);
        slot[k] = (uint32_t)i + 1;
    }
    sn_free(w->memory, w->slot, w->nslot * sizeof *slot, 64);
    w->slot = slot;
    w->nslot = n;
    return true;
}

static bool is_word(const SnTrainWords *w, uint32_t i, uint32_t hash, SnBytes word)
{
    const SnTrainWord *e = &w->all.at[i];
    return e->hash == hash && e->n == word.n && memcmp(w->pool.at + e->at, word.at, word.n) == 0;
}

bool sn_train_words_add(SnTrainWords *w, SnBytes word)
{
    if (w->all.n >= w->nslot / 2 && !widen(w))
        return false;
    const uint32_t hash = (uint32_t)sn_hash64(word.at, word.n, 0);
    uint32_t k = hash & (w->nslot - 1);
    for (; w->slot[k]; k = (k + 1) & (w->nslot - 1))
        if (is_word(w, w->slot[k] - 1, hash, word)) {
            w->all.at[w->slot[k] - 1].count++;
            return true;
        }
    w->is_full = word.n > UINT32_MAX - w->pool.n || w->all.n >= 1u << 30;
    if (w->is_full || !sn_vec_reserve(w->memory, &w->pool, word.n) || !sn_vec_reserve(w->memory, &w->all, 1))
        return false;
    w->all.at[w->all.n++] =
        (SnTrainWord){.count = 1, .at = (uint32_t)w->pool.n, .n = (uint32_t)word.n, .hash = hash};
    memcpy(w->pool.at + w->pool.n, word.at, word.n);
    w->pool.n += word.n;
    w->slot[k] = (uint32_t)w->all.n;
    return true;
}

void sn_train_words_clear(SnTrainWords *w)
{
    sn_vec_clear(w->memory, &w->all);
    sn_vec_clear(w->memory, &w->pool);
    sn_free(w->memory, w->slot, w->nslot * sizeof *w->slot, 64);
    w->slot = NULL;
    w->nslot = 0;
}

/* ---- characters ---- */

uint32_t sn_train_char(const SnTrainPlan *p, SnBytes word, size_t *at)
{
    const uint8_t *c = word.at + *at;
    if (p->is_byte_level) {
        ++*at;
        return sn_tok_byte_char(*c);
    }
    const size_t n = sn_tok_char_size(c, word.n - *at);
    *at += n;
    return sn_tok_code_point(c, n);
}

SnStatus sn_train_byte_alphabet(SnArena *arena, SnTrainPlan *p, SnError *err)
{
    uint32_t *all = sn_arena_array(arena, 256, sizeof *all);
    SN_CHECK(all, err, SN_ENOMEM, "no memory for an alphabet");
    for (uint32_t i = 0; i < 256; i++)
        all[i] = sn_tok_byte_char((uint8_t)i);
    p->alphabet = all;
    p->nalphabet = 256;
    return SN_OK;
}

bool sn_train_chars(const SnTrainPlan *p, const SnTrainWords *w, SnTrainChars *out)
{
    enum { CODES = SN_CP_LAST + 1 };
    uint64_t *count = sn_alloc_zero(w->memory, CODES * sizeof *count, 64);
    bool ok = count != NULL;
    for (size_t i = 0; ok && i < w->all.n; i++)
        for (size_t at = 0; at < w->all.at[i].n;)
            count[sn_train_char(p, sn_train_word(w, i), &at)] += w->all.at[i].count;
    for (size_t i = 0; ok && i < p->nalphabet; i++)
        count[p->alphabet[i]] = UINT64_MAX;
    for (uint32_t c = 0; ok && c < CODES; c++)
        if (count[c])
            ok = sn_vec_push(w->memory, out, (SnTrainChar){c, count[c]});
    sn_free(w->memory, count, CODES * sizeof *count, 64);
    return ok;
}

/* ---- WordLevel: the words themselves ---- */

typedef struct Counted {
    SnBytes word;
    uint64_t count;
} Counted;

static int by_count(const void *x, const void *y)
{
    const Counted *a = x, *b = y;
    const size_t n = a->word.n < b->word.n ? a->word.n : b->word.n;
    if (a->count != b->count)
        return a->count > b->count ? -1 : 1;
    const int order = memcmp(a->word.at, b->word.at, n);
    return order != 0 ? order : a->word.n < b->word.n ? -1 : a->word.n > b->word.n;
}

/* A special token that is a word, too, has the id of the word, and none has the first. */
SnStatus sn_train_word_level(const SnTrainPlan *p, const SnTrainWords *w, SnArena *arena, SnTrainVocab *out,
                             SnError *err)
{
    const size_t most = w->all.n + p->nspecial;
    Counted *all = sn_arena_array(arena, w->all.n + 1, sizeof *all);
    out->token = sn_arena_array(arena, most + 1, sizeof *out->token);
    SnMap ids;
    sn_map_init(&ids, w->memory);
    bool ok = all && out->token;
    size_t n = 0;
    for (size_t i = 0; ok && i < w->all.n; i++)
        if (w->all.at[i].count >= (uint64_t)p->min_frequency)
            all[n++] = (Counted){sn_train_word(w, i), w->all.at[i].count};
    if (ok && n)
        qsort(all, n, sizeof *all, by_count);
    for (size_t i = 0; ok && i < p->nspecial + n && out->n < (uint64_t)p->vocab_size; i++) {
        const SnBytes token = i < p->nspecial ? p->special[i] : all[i - p->nspecial].word;
        uint32_t before;
        if (sn_map_get(&ids, token, &before))
            out->token[before] = sn_bytes(NULL, 0);
        ok = sn_map_put(&ids, token, (uint32_t)out->n);
        out->token[out->n++] = token;
    }
    sn_map_clear(&ids);
    SN_CHECK(ok, err, SN_ENOMEM, "no memory for a vocabulary of %zu words", n);
    return SN_OK;
}
