/* unigram.c -- Unigram: many pieces at first, whose probabilities are fitted to the words (EM), and of
 * which those go that the likelihood misses least, until few enough are left.
 *
 * The first pieces are the characters and the substrings of words that two or more characters follow. They
 * are found by sorting all suffixes of the words a character at a time; a group of suffixes that parts is a
 * node of their suffix tree.
 *
 * Kudo, "Subword Regularization" (2018), section 3.2; sums, thresholds and their order are the reference's,
 * so pieces and scores are, too. Characters whose scores are equal, or that no piece is left of, are in any
 * order there, a hash table's; here they go by their codes.
 */
#include "frontends/tokenizer/train/train.h"
#include "ops/host/tok.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>

#define NONE UINT32_MAX

typedef struct Piece {
    const uint32_t *at; /* n characters, as in the text */
    uint32_t n, node;
    double score;
} Piece;
typedef SN_VEC(Piece) Pieces;

typedef struct Node { /* of a lattice: a piece over characters begin .. end */
    uint32_t begin, end, id;
    uint32_t next; /* the next one with this end */
    uint32_t from; /* the node before it in the best way to its end */
    double score, best;
} Node;

typedef struct Way {      /* the end of a way through a lattice */
    uint32_t node, next;  /* next: the way behind it, in Unigram.way */
    double whole, behind; /* the score of the best one with this end; of the end without the node */
} Way;

typedef struct Edge { /* of the trie */
    uint64_t key;     /* node << 32 | character; 0: free */
    uint32_t to;
} Edge;

typedef struct Unigram {
    const SnTrainPlan *plan;
    const SnTrainWords *words;
    const SnAllocator *memory;
    SnArena *arena;
    SnTrainChars chars; /* character i + 1 of the text is chars[i] */
    uint32_t *text;     /* the words, a 0 behind each; a NUL in them is one, too */
    size_t ntext;
    uint32_t *start; /* of the words */
    Pieces piece;    /* piece 0 is the unknown one */
    double min_score;
    Edge *edge;
    size_t nedge;              /* a power of two */
    SN_VEC(uint32_t) piece_of; /* of nodes, or NONE */
    SN_VEC(Node) lattice;
    double *alpha, *beta; /* of places in a word */
    uint32_t *first;      /* node that ends at a place, in the order of the lattice */
    size_t longest;       /* characters of a word, or of a piece */
    SN_VEC(Way) agenda;   /* a heap */
    SN_VEC(Way) way;      /* that were taken from it */
} Unigram;

/* ---- the text ---- */

static bool number_chars(Unigram *u, uint32_t **number)
{
    SnTrainPlan seen = *u->plan;
    seen.nalphabet = 0;
    *number = sn_alloc_zero(u->memory, ((size_t)SN_CP_LAST + 1) * sizeof **number, 64);
    if (!*number || !sn_train_chars(&seen, u->words, &u->chars))
        return false;
    for (size_t i = 0; i < u->chars.n; i++)
        (*number)[u->chars.at[i].code] = u->chars.at[i].code ? (uint32_t)i + 1 : 0;
    return true;
}

static bool read_text(Unigram *u)
{
    const size_t nword = u->words->all.n, most = u->words->pool.n + nword + 1;
    uint32_t *number = NULL;
    u->text = sn_alloc(u->memory, most * sizeof *u->text, 64);
    u->start = sn_alloc(u->memory, (nword + 1) * sizeof *u->start, 64);
    const bool ok = u->text && u->start && number_chars(u, &number);
    u->longest = (size_t)u->plan->max_piece_length;
    for (size_t i = 0; ok && i < nword; i++) {
        const SnBytes word = sn_train_word(u->words, i);
        u->start[i] = (uint32_t)u->ntext;
        for (size_t at = 0; at < word.n;)
            u->text[u->ntext++] = number[sn_train_char(u->plan, word, &at)];
        u->longest = u->ntext - u->start[i] > u->longest ? u->ntext - u->start[i] : u->longest;
        u->text[u->ntext++] = 0;
    }
    if (ok)
        u->start[nword] = (uint32_t)u->ntext;
    sn_free(u->memory, number, ((size_t)SN_CP_LAST + 1) * sizeof *number, 64);
    return ok;
}

/* ---- first pieces ---- */

typedef struct Seed {
    const uint32_t *at;
    uint32_t n, score;
} Seed;

typedef struct Group { /* suffixes that begin with the same `depth` characters */
    uint32_t begin, end, depth;
} Group;

typedef struct Suffixes {
    const uint32_t *text;
    uint64_t *key, *spare; /* character << 32 | place */
    uint32_t *count, nchar;
    SN_VEC(Group) stack;
    SN_VEC(Seed) seed;
} Suffixes;

static int by_key(const void *x, const void *y)
{
    const uint64_t a = *(const uint64_t *)x, b = *(const uint64_t *)y;
    return a < b ? -1 : a > b;
}

static void sort_keys(Suffixes *s, uint64_t *key, uint32_t n)
{
    if (n <= 16) {
        for (uint32_t i = 1; i < n; i++) {
            const uint64_t k = key[i];
            uint32_t to = i;
            for (; to > 0 && key[to - 1] > k; to--)
                key[to] = key[to - 1];
            key[to] = k;
        }
        return;
    }
    if (n < s->nchar) {
        qsort(key, n, sizeof *key, by_key);
        return;
    }
    uint32_t sum = 0;
    memset(s->count, 0, s->nchar * sizeof *s->count);
    for (uint32_t i = 0; i < n; i++)
        s->count[key[i] >> 32]++;
    for (uint32_t c = 0, here; c < s->nchar; c++, sum += here) {
        here = s->count[c];
        s->count[c] = sum;
    }
    for (uint32_t i = 0; i < n; i++)
        s->spare[s->count[key[i] >> 32]++] = key[i];
    memcpy(key, s->spare, n * sizeof *key);
}

static bool part_group(Suffixes *s, const SnAllocator *memory, Group g, uint32_t most)
{
    uint64_t *key = s->key + g.begin;
    const uint32_t n = g.end - g.begin;
    for (uint32_t i = 0; i < n; i++)
        key[i] = (uint64_t)s->text[(uint32_t)key[i] + g.depth] << 32 | (uint32_t)key[i];
    sort_keys(s, key, n);
    const bool parts = key[0] >> 32 != key[n - 1] >> 32;
    bool ok = true;
    if (parts && g.depth > 1)
        ok = sn_vec_push(memory, &s->seed, (Seed){s->text + (uint32_t)key[0], g.depth, n * g.depth});
    for (uint32_t i = 0, end; ok && g.depth < most && i < n; i = end) {
        for (end = i + 1; end < n && key[end] >> 32 == key[i] >> 32;)
            end++;
        if (key[i] >> 32 && end - i > 1)
            ok = sn_vec_push(memory, &s->stack, (Group){g.begin + i, g.begin + end, g.depth + 1});
    }
    return ok;
}

/* More of the text first, then the later string. */
static int by_cover(const void *x, const void *y)
{
    const Seed *a = x, *b = y;
    if (a->score != b->score)
        return a->score > b->score ? -1 : 1;
    for (uint32_t i = 0; i < a->n && i < b->n; i++)
        if (a->at[i] != b->at[i])
            return a->at[i] > b->at[i] ? -1 : 1;
    return a->n > b->n ? -1 : a->n < b->n;
}

static bool find_substrings(const Unigram *u, Suffixes *s)
{
    uint32_t n = 0;
    for (size_t i = 0; i < u->ntext; i++)
        if (u->text[i])
            s->key[n++] = i;
    bool ok = n < 2 || sn_vec_push(u->memory, &s->stack, (Group){0, n, 0});
    while (ok && s->stack.n)
        ok = part_group(s, u->memory, s->stack.at[--s->stack.n], (uint32_t)u->plan->max_piece_length);
    if (ok && s->seed.n)
        qsort(s->seed.at, s->seed.n, sizeof *s->seed.at, by_cover);
    return ok;
}

static int by_frequency(const void *x, const void *y)
{
    const SnTrainChar *a = x, *b = y;
    if (a->count != b->count)
        return a->count > b->count ? -1 : 1;
    return a->code > b->code ? -1 : a->code < b->code;
}

static bool add_chars(Unigram *u)
{
    SnTrainChar *order = sn_arena_array(u->arena, u->chars.n + 1, sizeof *order);
    uint32_t *one = sn_arena_array(u->arena, u->chars.n + 1, sizeof *one);
    bool ok = order && one;
    for (size_t i = 0; ok && i < u->chars.n; i++)
        order[i] = (SnTrainChar){(uint32_t)i + 1, u->chars.at[i].code ? u->chars.at[i].count : 0};
    if (ok && u->chars.n)
        qsort(order, u->chars.n, sizeof *order, by_frequency);
    for (size_t i = 0; ok && i < u->chars.n && order[i].count; i++) {
        one[i] = order[i].code;
        ok = sn_vec_push(u->memory, &u->piece,
                         (Piece){.at = one + i, .n = 1, .score = (double)order[i].count});
    }
    return ok;
}

static bool add_seeds(Unigram *u, const Suffixes *s)
{
    const Piece unknown = {.score = (double)NAN};
    double sum = 0;
    bool ok = sn_vec_push(u->memory, &u->piece, unknown) && add_chars(u);
    for (size_t i = 0; ok && i < s->seed.n && (i == 0 || u->piece.n <= (uint64_t)u->plan->seed_size); i++)
        ok = sn_vec_push(u->memory, &u->piece,
                         (Piece){.at = s->seed.at[i].at, .n = s->seed.at[i].n, .score = s->seed.at[i].score});
    for (size_t i = 1; i < u->piece.n; i++)
        sum += u->piece.at[i].score;
    const double all = log(sum);
    for (size_t i = 1; i < u->piece.n; i++)
        u->piece.at[i].score = log(u->piece.at[i].score) - all;
    return ok;
}

static bool make_seeds(Unigram *u)
{
    const SnAllocator *memory = u->memory;
    const size_t n = u->ntext + 1, nchar = u->chars.n + 1;
    Suffixes s = {.text = u->text, .nchar = (uint32_t)nchar};
    s.key = sn_alloc(memory, n * sizeof *s.key, 64);
    s.spare = sn_alloc(memory, n * sizeof *s.spare, 64);
    s.count = sn_alloc(memory, nchar * sizeof *s.count, 64);
    const bool ok = s.key && s.spare && s.count && find_substrings(u, &s) && add_seeds(u, &s);
    sn_free(memory, s.key, n * sizeof *s.key, 64);
    sn_free(memory, s.spare, n * sizeof *s.spare, 64);
    sn_free(memory, s.count, nchar * sizeof *s.count, 64);
    sn_vec_clear(memory, &s.stack);
    sn_vec_clear(memory, &s.seed);
    return ok;
}

/* ---- the trie ---- */

static Edge *find_edge(const Unigram *u, uint32_t node, uint32_t c)
{
    const uint64_t key = (uint64_t)node << 32 | c;
    size_t k = (size_t)sn_tok_hash_end(key) & (u->nedge - 1);
    while (u->edge[k].key && u->edge[k].key != key)
        k = (k + 1) & (u->nedge - 1);
    return &u->edge[k];
}

/* Of the pieces that there are. A character is not 0, so no key is. */
static bool make_trie(Unigram *u)
{
    size_t total = 1, n = 1024;
    for (size_t i = 1; i < u->piece.n; i++)
        total += u->piece.at[i].n;
    while (n < 2 * total)
        n *= 2;
    sn_free(u->memory, u->edge, u->nedge * sizeof *u->edge, 64);
    u->nedge = n;
    u->edge = sn_alloc_zero(u->memory, n * sizeof *u->edge, 64);
    u->piece_of.n = 0;
    bool ok = u->edge && sn_vec_push(u->memory, &u->piece_of, NONE);
    for (size_t i = 1; ok && i < u->piece.n; i++) {
        Piece *p = &u->piece.at[i];
        p->node = 0;
        for (uint32_t k = 0; ok && k < p->n; k++) {
            Edge *e = find_edge(u, p->node, p->at[k]);
            if (!e->key) {
                *e = (Edge){(uint64_t)p->node << 32 | p->at[k], (uint32_t)u->piece_of.n};
                ok = sn_vec_push(u->memory, &u->piece_of, NONE);
            }
            p->node = e->to;
        }
        if (ok)
            u->piece_of.at[p->node] = (uint32_t)i;
    }
    return ok;
}

static void set_min_score(Unigram *u)
{
    u->min_score = (double)INFINITY;
    for (size_t i = 1; i < u->piece.n; i++)
        u->min_score = u->piece.at[i].score < u->min_score ? u->piece.at[i].score : u->min_score;
    u->min_score = u->piece.n > 1 ? u->min_score : 0;
}

/* ---- lattices ---- */

/* All pieces in n characters, by their begin, then shorter ones first. */
static bool make_lattice(Unigram *u, const uint32_t *text, uint32_t n)
{
    const double unknown_penalty = 10;
    u->lattice.n = 0;
    for (uint32_t i = 0; i < n; i++) {
        bool has_single = false;
        uint32_t node = 0;
        for (uint32_t k = i; k < n && text[k]; k++) {
            const Edge *e = find_edge(u, node, text[k]);
            if (!e->key)
                break;
            node = e->to;
            const uint32_t id = u->piece_of.at[node];
            if (id == NONE)
                continue;
            has_single |= k == i;
            if (!sn_vec_push(u->memory, &u->lattice, (Node){i, k + 1, id, .score = u->piece.at[id].score}))
                return false;
        }
        if (!has_single && !sn_vec_push(u->memory, &u->lattice,
                                        (Node){i, i + 1, 0, .score = u->min_score - unknown_penalty}))
            return false;
    }
    return true;
}

static double log_sum(double x, double y)
{
    const double low = x > y ? y : x, high = x > y ? x : y;
    return high > low + 50 ? high : high + log(exp(low - high) + 1);
}

/* Adds how often each piece is to be expected in n characters that come `count` times. */
static void add_expected(Unigram *u, uint32_t n, double count, double *expected)
{
    const Node *all = u->lattice.at;
    const size_t nnode = u->lattice.n;
    for (uint32_t i = 0; i <= n; i++)
        u->alpha[i] = u->beta[i] = (double)NAN;
    u->alpha[0] = u->beta[n] = 0;
    for (size_t i = 0; i < nnode; i++) {
        const Node *k = &all[i];
        const double v = k->score + u->alpha[k->begin];
        u->alpha[k->end] = isnan(u->alpha[k->end]) ? v : log_sum(u->alpha[k->end], v);
    }
    for (size_t last = nnode, first; last > 0; last = first) {
        for (first = last - 1; first > 0 && all[first - 1].begin == all[last - 1].begin;)
            first--;
        double *beta = &u->beta[all[first].begin];
        for (size_t i = first; i < last; i++) {
            const double v = all[i].score + u->beta[all[i].end];
            *beta = i == first ? v : log_sum(*beta, v);
        }
    }
    const double z = u->alpha[n];
    for (size_t i = 0; i < nnode; i++)
        expected[all[i].id] += count * exp(u->alpha[all[i].begin] + all[i].score + u->beta[all[i].end] - z);
}

/* The node that the best way to a place ends with, as seen from one with a score that begins there; ties are
 * broken after rounding, by order. */
static uint32_t best_before(const Unigram *u, uint32_t place, double score, double *best)
{
    uint32_t found = NONE;
    *best = score;
    for (uint32_t i = place ? u->first[place] : NONE; i != NONE; i = u->lattice.at[i].next) {
        const double v = u->lattice.at[i].best + score;
        if (found != NONE && !(v > *best))
            continue;
        found = i;
        *best = v;
    }
    return found;
}

/* Finds the best way to each node; returns the last node of the best one through n characters. */
static uint32_t find_best(Unigram *u, uint32_t n)
{
    uint32_t *last = (uint32_t *)u->alpha;
    double best;
    for (uint32_t i = 0; i <= n; i++)
        u->first[i] = NONE;
    for (uint32_t i = 0; i < u->lattice.n; i++) {
        Node *k = &u->lattice.at[i];
        uint32_t *to = u->first[k->end] == NONE ? &u->first[k->end] : &u->lattice.at[last[k->end]].next;
        *to = last[k->end] = i;
        k->next = NONE;
        k->from = best_before(u, k->begin, k->score, &k->best);
    }
    return best_before(u, n, 0, &best);
}

/* ---- the two best ways ---- */

static void rise(Way *heap, size_t i)
{
    const Way w = heap[i];
    for (; i > 0 && !(w.whole < heap[(i - 1) / 4].whole); i = (i - 1) / 4)
        heap[i] = heap[(i - 1) / 4];
    heap[i] = w;
}

/* The hole at the root goes down to the end, and the last one up from there: ties are the reference's. */
static Way take_best(Unigram *u)
{
    Way *heap = u->agenda.at;
    const Way top = heap[0], last = heap[--u->agenda.n];
    const size_t n = u->agenda.n;
    size_t i = 0;
    for (size_t first; n > 0 && (first = 4 * i + 1) < n;) {
        size_t best = first;
        for (size_t k = first + 1; k < n && k < first + 4; k++)
            best = heap[best].whole < heap[k].whole ? k : best;
        heap[i] = heap[best];
        i = best;
    }
    if (n > 0) {
        heap[i] = last;
        rise(heap, i);
    }
    return top;
}

static bool add_way(Unigram *u, Way w)
{
    if (!sn_vec_push(u->memory, &u->agenda, w))
        return false;
    rise(u->agenda.at, u->agenda.n - 1);
    return true;
}

/* The best ways through the lattice of n characters, up to two: way[i] is the begin, in u->way. */
static bool find_two(Unigram *u, uint32_t n, uint32_t way[2], uint32_t *nway)
{
    const uint32_t end = NONE - 1;
    *nway = 0;
    u->agenda.n = u->way.n = 0;
    (void)find_best(u, n);
    bool ok = add_way(u, (Way){.node = end, .next = NONE});
    while (ok && *nway < 2 && u->agenda.n) {
        const Way top = take_best(u);
        const uint32_t at = (uint32_t)u->way.n;
        const bool is_end = top.node == end;
        if (top.node == NONE) {
            way[(*nway)++] = top.next;
            continue;
        }
        const double behind = top.behind + (is_end ? 0 : u->lattice.at[top.node].score);
        const uint32_t place = is_end ? n : u->lattice.at[top.node].begin;
        ok = sn_vec_push(u->memory, &u->way, top);
        if (ok && place == 0)
            ok = add_way(u, (Way){NONE, at, behind, behind});
        for (uint32_t i = place ? u->first[place] : NONE; ok && i != NONE; i = u->lattice.at[i].next)
            ok = add_way(u, (Way){i, at, u->lattice.at[i].best + behind, behind});
    }
    return ok;
}

/* ---- expectation, maximisation ---- */

static double digamma(double x)
{
    double result = 0;
    for (; x < 7; x += 1)
        result -= 1 / x;
    x -= 0.5;
    const double xx = 1 / x, xx2 = xx * xx, xx4 = xx2 * xx2;
    return result + (log(x) + (1.0 / 24) * xx2 - 7.0 / 960 * xx4 + (31.0 / 8064) * xx4 * xx2 -
                     (127.0 / 30720) * xx4 * xx4);
}

/* Pieces that are hardly expected go. */
static void maximize(Unigram *u, const double *expected)
{
    size_t n = 1;
    double sum = 0;
    for (size_t i = 1; i < u->piece.n; i++) {
        Piece p = u->piece.at[i];
        u->piece_of.at[p.node] = NONE;
        if (expected[i] < 0.5)
            continue;
        p.score = expected[i];
        sum += p.score;
        u->piece_of.at[p.node] = (uint32_t)n;
        u->piece.at[n++] = p;
    }
    const double all = digamma(sum);
    u->piece.n = n;
    for (size_t i = 1; i < n; i++)
        u->piece.at[i].score = digamma(u->piece.at[i].score) - all;
    set_min_score(u);
}

static bool iterate(Unigram *u)
{
    const size_t size = u->piece.n * sizeof(double);
    double *expected = sn_alloc_zero(u->memory, size, 64);
    bool ok = expected != NULL;
    for (size_t i = 0; ok && i < u->words->all.n; i++) {
        const uint32_t n = u->start[i + 1] - u->start[i] - 1;
        ok = make_lattice(u, u->text + u->start[i], n);
        if (ok)
            add_expected(u, n, (double)u->words->all.at[i].count, expected);
    }
    if (ok)
        maximize(u, expected);
    sn_free(u->memory, expected, size, 64);
    return ok;
}

/* ---- pruning ---- */

typedef struct Pruned {
    double *freq; /* of pieces in the best ways through all words */
    double sum, nword;
    SN_VEC(Piece) kept;
    SN_VEC(uint32_t) instead; /* the pieces of the best way that has not this one */
} Pruned;

typedef struct Loss {
    double loss;
    size_t id;
} Loss;

static int by_loss(const void *x, const void *y)
{
    const Loss *a = x, *b = y;
    if (a->loss != b->loss)
        return a->loss > b->loss ? -1 : 1;
    return a->id < b->id ? -1 : a->id > b->id;
}

static bool count_best(Unigram *u, Pruned *p)
{
    for (size_t i = 0; i < u->words->all.n; i++) {
        const uint32_t n = u->start[i + 1] - u->start[i] - 1;
        const double count = (double)u->words->all.at[i].count;
        if (!make_lattice(u, u->text + u->start[i], n))
            return false;
        p->nword += count;
        for (uint32_t k = find_best(u, n); k != NONE; k = u->lattice.at[k].from)
            p->freq[u->lattice.at[k].id] += count;
    }
    for (size_t i = 0; i < u->piece.n; i++)
        p->sum += p->freq[i];
    return true;
}

typedef enum Fate { KEPT, DROPPED, WEIGHED } Fate;

/* What becomes of a piece; WEIGHED: *loss is what the likelihood loses without it. As in the reference, the
 * sum grows by the number of all pieces, where that of the pieces instead was meant. */
static bool weigh(Unigram *u, Pruned *p, size_t id, Fate *fate, double *loss)
{
    const Piece *piece = &u->piece.at[id];
    const double freq = p->freq[id];
    uint32_t way[2], nway;
    p->instead.n = 0;
    if (!make_lattice(u, piece->at, piece->n) || !find_two(u, piece->n, way, &nway))
        return false;
    const bool is_best = nway == 1 || u->lattice.at[u->way.at[way[0]].node].end == piece->n;
    for (uint32_t k = way[nway - 1]; nway > 1 && is_best && u->way.at[k].next != NONE; k = u->way.at[k].next)
        if (!sn_vec_push(u->memory, &p->instead, u->lattice.at[u->way.at[k].node].id))
            return false;
    *fate = freq == 0 && !is_best ? DROPPED : !p->instead.n ? KEPT : freq == 0 ? DROPPED : WEIGHED;
    if (*fate != WEIGHED)
        return true;
    const double all = log(p->sum), own = log(freq) - all;
    const double all_other = log(p->sum + freq * (double)(u->piece.n - 1));
    double parts = 0;
    for (size_t i = 0; i < p->instead.n; i++)
        parts += log(p->freq[p->instead.at[i]] + freq) - all_other;
    *loss = freq / p->nword * (own - parts);
    return true;
}

static bool choose(Unigram *u, Pruned *p, size_t most)
{
    Loss *weighed = sn_alloc(u->memory, u->piece.n * sizeof *weighed, 64);
    size_t n = 0;
    bool ok = weighed && sn_vec_push(u->memory, &p->kept, u->piece.at[0]);
    for (size_t i = 1; ok && i < u->piece.n; i++) {
        Fate fate = DROPPED;
        Loss l = {.id = i};
        ok = weigh(u, p, i, &fate, &l.loss);
        if (ok && fate == WEIGHED)
            weighed[n++] = l;
        else if (ok && fate == KEPT)
            ok = sn_vec_push(u->memory, &p->kept, u->piece.at[i]);
    }
    if (ok && n)
        qsort(weighed, n, sizeof *weighed, by_loss);
    for (size_t i = 0; ok && i < n && p->kept.n != most; i++)
        ok = sn_vec_push(u->memory, &p->kept, u->piece.at[weighed[i].id]);
    sn_free(u->memory, weighed, u->piece.n * sizeof *weighed, 64);
    return ok;
}

static bool prune(Unigram *u, size_t desired)
{
    const size_t shrunk = (size_t)((double)u->piece.n * u->plan->shrinking_factor);
    const size_t size = u->piece.n * sizeof(double);
    Pruned p = {.freq = sn_alloc_zero(u->memory, size, 64)};
    const bool ok = p.freq && count_best(u, &p) && choose(u, &p, shrunk > desired ? shrunk : desired);
    if (ok) {
        memcpy(u->piece.at, p.kept.at, p.kept.n * sizeof *p.kept.at);
        u->piece.n = p.kept.n;
    }
    sn_free(u->memory, p.freq, size, 64);
    sn_vec_clear(u->memory, &p.kept);
    sn_vec_clear(u->memory, &p.instead);
    set_min_score(u);
    return ok && make_trie(u);
}

static bool fit(Unigram *u)
{
    const size_t desired = (size_t)u->plan->vocab_size * 11 / 10;
    bool ok = make_trie(u);
    set_min_score(u);
    for (size_t before = SIZE_MAX; ok && before > u->piece.n;) {
        for (int64_t i = 0; ok && i < u->plan->n_sub_iterations; i++)
            ok = iterate(u);
        if (u->piece.n <= desired)
            break;
        before = u->piece.n;
        ok = ok && prune(u, desired);
    }
    return ok;
}

/* ---- the vocabulary ---- */

typedef struct Scored {
    SnBytes token;
    double score;
    size_t order;
} Scored;

static int by_score(const void *x, const void *y)
{
    const Scored *a = x, *b = y;
    if (a->score != b->score)
        return a->score > b->score ? -1 : 1;
    return a->order < b->order ? -1 : a->order > b->order;
}

static bool spell(const Unigram *u, const Piece *p, SnBytes *out)
{
    uint8_t *text = sn_arena_alloc(u->arena, 4 * (size_t)p->n + 1);
    size_t n = 0;
    for (uint32_t i = 0; text && i < p->n; i++)
        n += sn_tok_put_char(u->chars.at[p->at[i] - 1].code, text + n);
    *out = sn_bytes(text, n);
    return text != NULL;
}

/* Required characters come first, also those that no piece is left of. */
static size_t put_required(const Unigram *u, const SnTrainChars *required, Scored *out)
{
    double penalty = 0;
    for (size_t i = 0, c = 0; i < required->n; i++) {
        uint8_t *text = sn_arena_alloc(u->arena, 4);
        uint32_t id = NONE;
        if (!text)
            return SIZE_MAX;
        while (c < u->chars.n && u->chars.at[c].code < required->at[i].code)
            c++;
        if (c < u->chars.n && u->chars.at[c].code == required->at[i].code && required->at[i].code) {
            const Edge *e = find_edge(u, 0, (uint32_t)c + 1);
            id = e->key ? u->piece_of.at[e->to] : NONE;
        }
        out[i] = (Scored){sn_bytes(text, sn_tok_put_char(required->at[i].code, text)), 0, i};
        out[i].score = id != NONE ? u->piece.at[id].score : u->min_score + penalty;
        penalty += id != NONE ? 0 : 0.0001;
    }
    return required->n;
}

/* Until there are `most` with the required ones; all where these are as many. */
static size_t put_pieces(const Unigram *u, size_t n, size_t most, Scored *out)
{
    for (size_t i = 1; i < u->piece.n; i++) {
        const Piece *p = &u->piece.at[i];
        out[n] = (Scored){.score = p->score, .order = n};
        if (p->n == 1)
            continue;
        if (!spell(u, p, &out[n].token))
            return SIZE_MAX;
        if (sn_bytes_is(out[n].token, "<UNK>"))
            continue;
        if (++n == most)
            break;
    }
    return n;
}

static SnStatus put_vocab(const Unigram *u, const SnTrainChars *required, SnTrainVocab *out, SnError *err)
{
    const SnTrainPlan *p = u->plan;
    out->unk_id = p->unk.at ? 0 : -1;
    bool is_new = p->unk.at != NULL;
    for (size_t i = p->nspecial; i-- > 0;)
        if (p->unk.at && sn_bytes_equal(p->special[i], p->unk)) {
            out->unk_id = (int64_t)i;
            is_new = false;
        }
    const size_t nfirst = p->nspecial + is_new, most = (size_t)p->vocab_size - nfirst;
    Scored *all = sn_arena_array(u->arena, required->n + u->piece.n + 1, sizeof *all);
    size_t n = all ? put_required(u, required, all) : SIZE_MAX;
    n = n != SIZE_MAX ? put_pieces(u, n, most, all) : n;
    out->token = n != SIZE_MAX ? sn_arena_array(u->arena, nfirst + n + 1, sizeof *out->token) : NULL;
    out->score = n != SIZE_MAX ? sn_arena_array(u->arena, nfirst + n + 1, sizeof *out->score) : NULL;
    SN_CHECK(out->token && out->score, err, SN_ENOMEM, "no memory for a vocabulary");
    if (n)
        qsort(all, n, sizeof *all, by_score);
    if (is_new)
        out->token[out->n++] = p->unk;
    for (size_t i = 0; i < p->nspecial; i++)
        out->token[out->n++] = p->special[i];
    for (size_t i = 0; i < n; i++) {
        out->token[out->n] = all[i].token;
        out->score[out->n++] = all[i].score;
    }
    return SN_OK;
}

static SnStatus train(Unigram *u, const SnTrainChars *required, SnTrainVocab *out, SnError *err)
{
    SN_CHECK(required->n <= (uint64_t)u->plan->vocab_size &&
                 u->plan->nspecial < (uint64_t)u->plan->vocab_size,
             err, SN_EINVAL, "vocab_size %" PRId64 " has no room for %zu special tokens and %zu characters",
             u->plan->vocab_size, u->plan->nspecial, required->n);
    SN_CHECK(u->words->pool.n + u->words->all.n < UINT32_MAX, err, SN_ESHAPE,
             "words of %zu bytes are too many to train on", u->words->pool.n);
    bool ok = read_text(u);
    u->alpha = sn_alloc(u->memory, (u->longest + 1) * sizeof *u->alpha, 64);
    u->beta = sn_alloc(u->memory, (u->longest + 1) * sizeof *u->beta, 64);
    u->first = sn_alloc(u->memory, (u->longest + 1) * sizeof *u->first, 64);
    ok = ok && u->alpha && u->beta && u->first && make_seeds(u) && fit(u);
    SN_CHECK(ok, err, SN_ENOMEM, "no memory to train on %zu words", u->words->all.n);
    return put_vocab(u, required, out, err);
}

SnStatus sn_train_unigram(const SnTrainPlan *p, const SnTrainWords *w, SnArena *arena, SnTrainVocab *out,
                          SnError *err)
{
    const SnAllocator *memory = w->memory;
    Unigram u = {.plan = p, .words = w, .memory = memory, .arena = arena};
    SnTrainChars required = {0};
    SnStatus st = SN_OK;
    if (!sn_train_chars(p, w, &required))
        st = sn_fail(err, SN_ENOMEM, "no memory for characters");
    else
        st = train(&u, &required, out, err);
    sn_vec_clear(memory, &required);
    sn_vec_clear(memory, &u.chars);
    sn_vec_clear(memory, &u.piece);
    sn_vec_clear(memory, &u.piece_of);
    sn_vec_clear(memory, &u.lattice);
    sn_free(memory, u.text, (w->pool.n + w->all.n + 1) * sizeof *u.text, 64);
    sn_free(memory, u.start, (w->all.n + 1) * sizeof *u.start, 64);
    sn_free(memory, u.edge, u.nedge * sizeof *u.edge, 64);
    sn_free(memory, u.alpha, (u.longest + 1) * sizeof *u.alpha, 64);
    sn_free(memory, u.beta, (u.longest + 1) * sizeof *u.beta, 64);
    sn_free(memory, u.first, (u.longest + 1) * sizeof *u.first, 64);
    sn_vec_clear(memory, &u.agenda);
    sn_vec_clear(memory, &u.way);
    return st;
}
