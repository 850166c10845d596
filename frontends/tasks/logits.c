/* logits.c -- logits processors: GenerationConfig ▶ ops, in order. */
#include "frontends/tasks/logits.h"

#include "frontends/model.h"
#include "ops/host/greenlist.h"
#include "ops/ops.h"
#include "runtime/hash.h"

#include <inttypes.h>
#include <math.h>

#define ABOVE_ZERO 1e-30
#define BELOW_ONE  0.99999999
#define MOST       1e9

typedef struct Row Row;
typedef void BuildFn(SnLogits *l, const Row *row);

typedef enum Stage { PROCESSOR, WARPER, NORM } Stage;
typedef enum Value { NUMBER, COUNT, LIST, FLAG } Value; /* COUNT: a whole number */

struct Row {
    Stage stage;
    const char *class_name;
    const char *key, *argument; /* in GenerationConfig, and of the constructor */
    Value value;
    double off; /* NUMBER, COUNT: asks for nothing */
    double lo, hi;
    BuildFn *build;
};

/* ---- what the config says ---- */

/* The row's own value, in a config or among the arguments of a class. */
static const SnJson *own(const SnLogits *l, const Row *row)
{
    return sn_json_get(l->config, l->is_class && row->argument ? row->argument : row->key);
}

static SnValue given(const SnLogits *l, const char *key)
{
    return sn_named_value(l->given, l->ngiven, key);
}

static BuildFn constrain;
static bool is_asked(const SnLogits *l, const Row *row)
{
    const SnJson *v = own(l, row);
    bool flag = false;
    double x = 0;
    if (row->build == constrain)
        return l->allowed.ref != 0;
    if (given(l, row->key).ref)
        return true;
    if (row->value == FLAG)
        return sn_json_bool(v, &flag) && flag;
    return !sn_json_is_null(v) && (row->value == LIST || !sn_json_number(v, &x) || x != row->off);
}

static void fail(SnLogits *l, const char *key, const char *expected)
{
    sn_graph_fail(l->g, SN_EINVAL, "%s: %s is not %s", l->name, key, expected);
}

static SnValue in_rows(SnLogits *l, SnValue x) /* one number for all rows */
{
    const SnValue batch = sn_dim(l->g, l->scores, 0);
    return sn_broadcast(l->g, x, 1, &batch);
}

#define OUT_OF_RANGE "%s: %s is not %s from %g to %g"

static bool is_within(const Row *row, double x)
{
    return x >= row->lo && x <= row->hi;
}

static SnValue number(SnLogits *l, const Row *row)
{
    const SnValue v = given(l, row->key);
    double x = 0;
    int64_t i = 0;
    if (v.ref)
        return v;
    const bool is_read = row->value == COUNT ? sn_json_int(own(l, row), &i) : sn_json_number(own(l, row), &x);
    if (row->value == COUNT)
        x = (double)i;
    if (!is_read || !is_within(row, x))
        return sn_graph_fail(l->g, SN_EINVAL, OUT_OF_RANGE, l->name, row->key,
                             row->value == COUNT ? "a whole number" : "a number", row->lo, row->hi);
    return in_rows(l, row->value == COUNT ? sn_const_int(l->g, SN_I64, i) : sn_const(l->g, SN_F32, x));
}

/* An integer argument that is not the row's own. */
static SnValue whole(SnLogits *l, const char *key, SnValue otherwise)
{
    int64_t v = 0;
    const SnJson *j = sn_json_get(l->config, key);
    if (sn_json_is_null(j))
        return otherwise;
    if (!sn_json_int(j, &v) || v < 0)
        fail(l, key, "a whole number");
    return in_rows(l, sn_const_int(l->g, SN_I64, v));
}

static int64_t keep(SnLogits *l)
{
    int64_t v = l->keep > 1 ? l->keep : 1;
    const SnJson *j = sn_json_get(l->config, "min_tokens_to_keep");
    if (j && (!sn_json_int(j, &v) || v < 1)) {
        fail(l, "min_tokens_to_keep", "a number from 1 on");
        v = 1;
    }
    return v;
}

#define MAX_TOKENS (1 << 20)

/* A token id or a list of them, i64[n]. */
static SnValue token_list(SnLogits *l, const char *key, const SnJson *v)
{
    const bool is_list = v && v->kind == SN_JSON_ARRAY;
    const int64_t n = is_list ? v->n : 1;
    SnArena arena;
    SnValue out = sn_none();
    bool is_right = n > 0 && n <= MAX_TOKENS;
    sn_arena_init(&arena, sn_allocator(sn_compiler_context(sn_graph_compiler(l->g))));
    int64_t *id = is_right ? sn_arena_array(&arena, (size_t)n, sizeof *id) : NULL;
    for (int64_t i = 0; id && i < n; i++)
        is_right = sn_json_int(is_list ? sn_json_at(v, (uint32_t)i) : v, &id[i]) && id[i] >= 0 && is_right;
    if (!is_right)
        fail(l, key, "a token or a list of tokens");
    else if (!id)
        out = sn_graph_fail(l->g, SN_ENOMEM, "%s: no memory for %s", l->name, key);
    else
        out = sn_const_data(l->g, SN_I64, 1, &n, id);
    sn_arena_clear(&arena);
    return out;
}

static SnValue end_tokens(SnLogits *l)
{
    return token_list(l, "eos_token_id", sn_json_get(l->config, "eos_token_id"));
}

static bool has_end(const SnLogits *l)
{
    return !sn_json_is_null(sn_json_get(l->config, "eos_token_id"));
}

/* ---- words: lists of tokens as one table ---- */

typedef struct Words {
    SnArena arena;
    SnMap row;             /* a list of tokens counts once, with the bias that stands last */
    int64_t n, width, *id; /* [n][width], -1 in front of what is shorter */
    float *bias;
} Words;

static bool read_word(Words *w, const SnJson *word, int64_t i)
{
    bool is_right = word && word->kind == SN_JSON_ARRAY && word->n > 0;
    for (int64_t j = 0; is_right && j < w->width; j++) {
        int64_t *at = &w->id[i * w->width + j];
        const int64_t k = j - (w->width - word->n);
        *at = -1;
        is_right = k < 0 || (sn_json_int(sn_json_at(word, (uint32_t)k), at) && *at >= 0);
    }
    return is_right;
}

static bool put_word(Words *w, float bias)
{
    const SnBytes key = {(const uint8_t *)(w->id + w->n * w->width), (size_t)w->width * sizeof *w->id};
    uint32_t row = (uint32_t)w->n;
    if (!sn_map_get(&w->row, key, &row) && !sn_map_put(&w->row, key, row))
        return false;
    w->n += row == w->n;
    w->bias[row] = bias;
    return true;
}

static const SnJson *word_of(const SnJson *list, uint32_t i, bool has_bias)
{
    const SnJson *item = sn_json_at(list, i);
    return has_bias ? sn_json_at(item, 0) : item;
}

static bool is_end(SnLogits *l, const SnJson *word)
{
    const SnJson *end = sn_json_get(l->config, "eos_token_id");
    int64_t a = -1, b = -2;
    if (!word || word->n != 1 || !sn_json_int(sn_json_at(word, 0), &a))
        return false;
    if (end && end->kind != SN_JSON_ARRAY)
        return sn_json_int(end, &b) && a == b;
    for (uint32_t i = 0; end && i < end->n; i++)
        if (sn_json_int(sn_json_at(end, i), &b) && a == b)
            return true;
    return false;
}

static bool read_words(SnLogits *l, Words *w, const SnJson *list, bool has_bias)
{
    double bias = -HUGE_VAL;
    w->width = 1;
    for (uint32_t i = 0; i < list->n; i++) {
        const SnJson *word = word_of(list, i, has_bias);
        if (word && word->kind == SN_JSON_ARRAY && word->n > w->width)
            w->width = word->n;
    }
    w->id = list->n * (uint64_t)w->width <= MAX_TOKENS
                ? sn_arena_array(&w->arena, list->n * (size_t)w->width + 1, sizeof *w->id)
                : NULL;
    w->bias = sn_arena_array(&w->arena, (size_t)list->n + 1, sizeof *w->bias);
    for (uint32_t i = 0; w->id && w->bias && i < list->n; i++) {
        const SnJson *word = word_of(list, i, has_bias);
        if (!has_bias && is_end(l, word))
            continue;
        if (!read_word(w, word, w->n) ||
            (has_bias && !sn_json_number(sn_json_at(sn_json_at(list, i), 1), &bias)) ||
            !put_word(w, (float)bias))
            return false;
    }
    return w->id && w->bias;
}

static void words(SnLogits *l, const Row *row, bool has_bias)
{
    Words w = {0};
    const SnJson *list = own(l, row);
    const SnAllocator *memory = sn_allocator(sn_compiler_context(sn_graph_compiler(l->g)));
    sn_arena_init(&w.arena, memory);
    sn_map_init(&w.row, memory);
    if (!list || list->kind != SN_JSON_ARRAY || list->n == 0 || !read_words(l, &w, list, has_bias)) {
        fail(l, row->key, has_bias ? "a list of [tokens, bias]" : "a list of lists of tokens");
    } else if (w.n) {
        const SnValue id = sn_const_data(l->g, SN_I64, 2, (const int64_t[]){w.n, w.width}, w.id);
        const SnValue bias = sn_const_data(l->g, SN_F32, 1, &w.n, w.bias);
        l->scores = sn_logits_sequence_bias(l->g, l->scores, l->ids, l->length, id, bias);
    }
    sn_map_clear(&w.row);
    sn_arena_clear(&w.arena);
}

/* ---- processors ---- */

/* Sanchez et al. 2023, arXiv:2306.17806. */
static void guidance(SnLogits *l, const Row *row)
{
    if (!l->free.ref) {
        sn_graph_fail(l->g, SN_EUNSUPPORTED, "%s: %s with beams", l->name, row->key);
        return;
    }
    const SnValue own_scores = sn_log_softmax(l->g, l->scores, -1), other = sn_log_softmax(l->g, l->free, -1);
    const SnValue column[] = {sn_dim(l->g, l->scores, 0), sn_const_int(l->g, SN_I64, 1)};
    const SnValue by = sn_reshape(l->g, number(l, row), 2, column);
    l->scores = sn_add(l->g, sn_mul(l->g, by, sn_sub(l->g, own_scores, other)), other);
}

/* Where nothing of what is allowed is left, all of it comes back; De Cao et al. 2021, arXiv:2010.00904. */
static void constrain(SnLogits *l, const Row *row)
{
    SnGraph *g = l->g;
    const SnValue zero = sn_const(g, SN_F32, 0), never = sn_const(g, SN_F32, -HUGE_VAL);
    (void)row;
    l->scores = sn_where(g, l->allowed, l->scores, never);
    const SnValue best = sn_reduce(g, "max", l->scores, 1, &(int){1}, true);
    if (l->keep <= 1)
        l->scores = sn_where(g, sn_eq(g, best, never), sn_where(g, l->allowed, zero, never), l->scores);
}

static void sequence_bias(SnLogits *l, const Row *row)
{
    words(l, row, true);
}

static void bad_words(SnLogits *l, const Row *row)
{
    words(l, row, false);
}

static void repetition(SnLogits *l, const Row *row)
{
    const SnValue first = whole(l, "prompt_ignore_length", l->first);
    l->scores = sn_logits_repetition(l->g, l->scores, l->ids, l->length, number(l, row), first);
}

static void source_repetition(SnLogits *l, const Row *row)
{
    if (!l->source.ref)
        return;
    const SnValue inverse = sn_reciprocal(l->g, number(l, row));
    l->scores = sn_logits_repetition(l->g, l->scores, l->source, l->source_length, inverse, sn_none());
}

static int64_t ngram(SnLogits *l, const Row *row)
{
    int64_t n = 1;
    (void)number(l, row);
    (void)sn_json_int(own(l, row), &n);
    return n;
}

static void no_repeat(SnLogits *l, const Row *row)
{
    l->scores =
        sn_logits_no_repeat_ngram(l->g, l->scores, l->ids, l->length, sn_none(), sn_none(), ngram(l, row));
}

static void source_no_repeat(SnLogits *l, const Row *row)
{
    if (l->source.ref)
        l->scores = sn_logits_no_repeat_ngram(l->g, l->scores, l->ids, l->length, l->source, l->source_length,
                                              ngram(l, row));
}

static void ban(SnLogits *l, SnValue tokens, SnValue rows)
{
    l->scores = sn_logits_ban(l->g, l->scores, tokens, rows);
}

/* min_new_tokens takes its place. */
static void min_length(SnLogits *l, const Row *row)
{
    if (has_end(l) && (l->is_class || sn_json_is_null(sn_json_get(l->config, "min_new_tokens"))))
        ban(l, end_tokens(l), sn_lt(l->g, l->length, number(l, row)));
}

static void min_new_tokens(SnLogits *l, const Row *row)
{
    const SnValue prompt = whole(l, "prompt_length_to_skip", l->prompt);
    if (has_end(l))
        ban(l, end_tokens(l), sn_lt(l->g, sn_sub(l->g, l->length, prompt), number(l, row)));
}

static void forced_first(SnLogits *l, const Row *row)
{
    const SnValue is_first = sn_eq(l->g, l->length, sn_const_int(l->g, SN_I64, 1));
    l->scores = sn_logits_force(l->g, l->scores, token_list(l, row->key, own(l, row)), is_first);
}

static void forced_last(SnLogits *l, const Row *row)
{
    const SnValue one = sn_const_int(l->g, SN_I64, 1), never = in_rows(l, sn_const_int(l->g, SN_I64, -1));
    const SnValue limit = l->limit.ref ? l->limit : whole(l, "max_length", never);
    const SnValue last = sn_sub(l->g, limit, one);
    l->scores =
        sn_logits_force(l->g, l->scores, token_list(l, row->key, own(l, row)), sn_eq(l->g, l->length, last));
}

static void no_infinities(SnLogits *l, const Row *row)
{
    (void)row;
    l->scores = sn_logits_finite(l->g, l->scores);
}

static void decay(SnLogits *l, const Row *row)
{
    const SnJson *pair = own(l, row);
    int64_t start = 0;
    double factor = 1;
    if (!sn_json_int(sn_json_at(pair, 0), &start) || !sn_json_number(sn_json_at(pair, 1), &factor) ||
        !has_end(l)) {
        fail(l, row->key, "[start, factor] beside an eos_token_id");
        return;
    }
    const SnValue prompt = whole(l, "input_ids_seq_length", l->prompt);
    const SnValue from = sn_add(l->g, prompt, sn_const_int(l->g, SN_I64, start));
    l->scores = sn_logits_decay(l->g, l->scores, l->length, end_tokens(l), from,
                                in_rows(l, sn_const(l->g, SN_F32, factor)));
}

static SnValue every_row(SnLogits *l)
{
    return sn_eq(l->g, l->length, l->length);
}

static void suppress(SnLogits *l, const Row *row)
{
    ban(l, token_list(l, row->key, own(l, row)), every_row(l));
}

static void suppress_first(SnLogits *l, const Row *row)
{
    const SnValue one = sn_const_int(l->g, SN_I64, 1), zero = sn_const_int(l->g, SN_I64, 0);
    SnValue begin = whole(l, "begin_index", l->prompt);
    if (!sn_json_is_null(sn_json_get(l->config, "forced_bos_token_id")))
        begin = sn_add(l->g, begin, sn_where(l->g, sn_gt(l->g, begin, one), zero, one));
    ban(l, token_list(l, row->key, own(l, row)), sn_eq(l->g, l->length, begin));
}

/* The arguments are those that the class takes from the model's GenerationConfig. */
static void timestamps(SnLogits *l, const Row *row)
{
    int64_t none = -1, end = -1, initial = -1;
    const SnJson *own_end = sn_json_get(l->config, "eos_token_id");
    if (sn_json_is_null(own_end))
        own_end = sn_json_get(l->config, "bos_token_id");
    const SnJson *most = sn_json_get(l->config, "max_initial_timestamp_index");
    if (!sn_json_int(sn_json_get(l->config, "no_timestamps_token_id"), &none) || none < 0 ||
        !sn_json_int(own_end, &end) || end < 0 ||
        (!sn_json_is_null(most) && (!sn_json_int(most, &initial) || initial < 0))) {
        fail(l, row->key, "beside no_timestamps_token_id and one eos_token_id");
        return;
    }
    const SnValue begin = whole(l, "begin_index", l->prompt);
    l->scores = sn_logits_timestamps(l->g, l->scores, l->ids, l->length, begin, none, end, initial);
}

/* ---- warpers ---- */

static void temperature(SnLogits *l, const Row *row)
{
    l->scores = sn_logits_temperature(l->g, l->scores, number(l, row));
}

static void top_h(SnLogits *l, const Row *row)
{
    l->scores = sn_logits_top_h(l->g, l->scores, number(l, row));
}

static void top_k(SnLogits *l, const Row *row)
{
    int64_t k = 0;
    const int64_t least = keep(l);
    if (!given(l, row->key).ref && sn_json_int(own(l, row), &k))
        k = k > least ? k : least;
    l->scores = sn_logits_top_k(l->g, l->scores, number(l, row), least, k);
}

#define WARPER_WITH_KEEP(name)                                                                               \
    static void name(SnLogits *l, const Row *row)                                                            \
    {                                                                                                        \
        l->scores = sn_logits_##name(l->g, l->scores, number(l, row), keep(l));                              \
    }
WARPER_WITH_KEEP(top_p)
WARPER_WITH_KEEP(min_p)
WARPER_WITH_KEEP(typical)
WARPER_WITH_KEEP(epsilon)
WARPER_WITH_KEEP(eta)

/* ---- watermarks ---- */

/* A number of the object that a watermark is; otherwise what it is by default. */
static double mark_number(SnLogits *l, const SnJson *mark, const char *key, double otherwise, double lo,
                          double hi)
{
    double x = otherwise;
    const SnJson *v = sn_json_get(mark, key);
    if (!sn_json_is_null(v) && (!sn_json_number(v, &x) || !(x >= lo && x <= hi)))
        fail(l, key, "a number that a watermark can have");
    return x;
}

static bool is_synthid(const SnJson *mark)
{
    return sn_json_get(mark, "ngram_len") != NULL;
}

static void greenlist(SnLogits *l, const Row *row)
{
    const SnJson *mark = l->is_class ? l->config : own(l, row);
    const SnJson *scheme = sn_json_get(mark, "seeding_scheme");
    const bool is_self = sn_json_is(scheme, "selfhash");
    if (is_synthid(mark))
        return;
    if (mark->kind != SN_JSON_OBJECT ||
        (!sn_json_is_null(scheme) && !is_self && !sn_json_is(scheme, "lefthash")))
        fail(l, row->key, "an object whose seeding_scheme is lefthash or selfhash");
    const double ratio = mark_number(l, mark, "greenlist_ratio", 0.25, 1e-9, BELOW_ONE);
    const double bias = mark_number(l, mark, "bias", 2, -MOST, MOST);
    const double key = mark_number(l, mark, "hashing_key", 15485863, 0, UINT32_MAX);
    const double width = mark_number(l, mark, "context_width", 1, 1, 4096);
    l->scores = sn_logits_watermark(l->g, l->scores, l->ids, l->length, ratio, bias, (int64_t)key,
                                    (int64_t)width, is_self);
}

/* torch.randint(0, 2, [n]) under a seed, u8[n]. */
static SnValue sampling_table(SnLogits *l, int64_t n, uint32_t seed)
{
    SnTwister t;
    SnArena arena;
    sn_arena_init(&arena, sn_allocator(sn_compiler_context(sn_graph_compiler(l->g))));
    uint8_t *at = sn_arena_alloc(&arena, (size_t)n);
    sn_twister_seed(&t, seed);
    for (int64_t i = 0; at && i < n; i++)
        at[i] = sn_twister_next(&t) & 1;
    const SnValue out = at ? sn_const_data(l->g, SN_U8, 1, &n, at)
                           : sn_graph_fail(l->g, SN_ENOMEM, "%s: no memory for a table", l->name);
    sn_arena_clear(&arena);
    return out;
}

static void synthid(SnLogits *l, const Row *row)
{
    enum { DEPTH = 64 };
    int64_t key[DEPTH], depth = 0;
    const SnJson *mark = l->is_class ? l->config : own(l, row), *list = sn_json_get(mark, "keys");
    if (!is_synthid(mark))
        return;
    bool is_right = list && list->kind == SN_JSON_ARRAY && list->n >= 1 && list->n <= DEPTH;
    for (; is_right && depth < list->n; depth++)
        is_right = sn_json_int(sn_json_at(list, (uint32_t)depth), &key[depth]);
    if (!is_right || sn_json_bool_of(mark, "debug_mode", false)) {
        fail(l, "keys", "a list of up to 64 numbers, or debug_mode is on");
        return;
    }
    const double ngram = mark_number(l, mark, "ngram_len", 0, 2, 64);
    const double seed = mark_number(l, mark, "sampling_table_seed", 0, 0, UINT32_MAX);
    const double size = mark_number(l, mark, "sampling_table_size", 65536, 1, 16777216);
    const double history = mark_number(l, mark, "context_history_size", 1024, 0, MOST);
    l->scores = sn_logits_synthid(l->g, l->scores, l->ids, l->length, l->prompt,
                                  sampling_table(l, (int64_t)size, (uint32_t)seed),
                                  sn_const_data(l->g, SN_I64, 1, &depth, key), (int64_t)ngram, depth,
                                  (int64_t)history, sn_json_bool_of(mark, "skip_first_ngram_calls", false));
}

static void normalize(SnLogits *l, const Row *row)
{
    (void)row;
    l->scores = sn_log_softmax(l->g, l->scores, -1);
}

static const Row rows[] = {
    {PROCESSOR, NULL, "guidance_scale", NULL, NUMBER, 1, -MOST, MOST, guidance},
    {PROCESSOR, "SequenceBiasLogitsProcessor", "sequence_bias", NULL, LIST, 0, 0, 0, sequence_bias},
    {PROCESSOR, "EncoderRepetitionPenaltyLogitsProcessor", "encoder_repetition_penalty", "penalty", NUMBER, 1,
     ABOVE_ZERO, MOST, source_repetition},
    {PROCESSOR, "RepetitionPenaltyLogitsProcessor", "repetition_penalty", "penalty", NUMBER, 1, ABOVE_ZERO,
     MOST, repetition},
    {PROCESSOR, "NoRepeatNGramLogitsProcessor", "no_repeat_ngram_size", "ngram_size", COUNT, 0, 1, 4096,
     no_repeat},
    {PROCESSOR, "EncoderNoRepeatNGramLogitsProcessor", "encoder_no_repeat_ngram_size", "encoder_ngram_size",
     COUNT, 0, 1, 4096, source_no_repeat},
    {PROCESSOR, "NoBadWordsLogitsProcessor", "bad_words_ids", NULL, LIST, 0, 0, 0, bad_words},
    {PROCESSOR, "MinLengthLogitsProcessor", "min_length", NULL, COUNT, 0, 0, MOST, min_length},
    {PROCESSOR, "MinNewTokensLengthLogitsProcessor", "min_new_tokens", NULL, COUNT, 0, 0, MOST,
     min_new_tokens},
    {PROCESSOR, NULL, "prefix_allowed_tokens_fn", NULL, FLAG, 0, 0, 0, constrain},
    {PROCESSOR, "ForcedBOSTokenLogitsProcessor", "forced_bos_token_id", "bos_token_id", LIST, 0, 0, 0,
     forced_first},
    {PROCESSOR, "ForcedEOSTokenLogitsProcessor", "forced_eos_token_id", "eos_token_id", LIST, 0, 0, 0,
     forced_last},
    {PROCESSOR, "InfNanRemoveLogitsProcessor", "remove_invalid_values", NULL, FLAG, 0, 0, 0, no_infinities},
    {PROCESSOR, "ExponentialDecayLengthPenalty", "exponential_decay_length_penalty", NULL, LIST, 0, 0, 0,
     decay},
    {PROCESSOR, "SuppressTokensLogitsProcessor", "suppress_tokens", NULL, LIST, 0, 0, 0, suppress},
    {PROCESSOR, "SuppressTokensAtBeginLogitsProcessor", "begin_suppress_tokens", NULL, LIST, 0, 0, 0,
     suppress_first},
    {PROCESSOR, "WhisperTimeStampLogitsProcessor", "return_timestamps", NULL, FLAG, 0, 0, 0, timestamps},
    {WARPER, "TemperatureLogitsWarper", "temperature", NULL, NUMBER, 1, ABOVE_ZERO, MOST, temperature},
    {WARPER, "TopHLogitsWarper", "top_h", NULL, NUMBER, (double)NAN, ABOVE_ZERO, 1, top_h},
    {WARPER, "TopKLogitsWarper", "top_k", NULL, COUNT, 0, 1, MOST, top_k},
    {WARPER, "TopPLogitsWarper", "top_p", NULL, NUMBER, 1, 0, 1, top_p},
    {WARPER, "MinPLogitsWarper", "min_p", NULL, NUMBER, (double)NAN, 0, 1, min_p},
    {WARPER, "TypicalLogitsWarper", "typical_p", "mass", NUMBER, 1, ABOVE_ZERO, BELOW_ONE, typical},
    {WARPER, "EpsilonLogitsWarper", "epsilon_cutoff", "epsilon", NUMBER, 0, ABOVE_ZERO, BELOW_ONE, epsilon},
    {WARPER, "EtaLogitsWarper", "eta_cutoff", "epsilon", NUMBER, 0, ABOVE_ZERO, BELOW_ONE, eta},
    {NORM, "WatermarkLogitsProcessor", "watermarking_config", NULL, LIST, 0, 0, 0, greenlist},
    {NORM, "SynthIDTextWatermarkLogitsProcessor", "watermarking_config", NULL, LIST, 0, 0, 0, synthid},
    {NORM, "LogitNormalization", "renormalize_logits", NULL, FLAG, 0, 0, 0, normalize},
};

void sn_logits_build(SnLogits *l, bool is_sampled)
{
    for (size_t i = 0; i < SN_COUNT(rows); i++)
        if ((rows[i].stage != WARPER || is_sampled) && is_asked(l, &rows[i]))
            rows[i].build(l, &rows[i]);
}

/* What a class leaves in the place of tokens that it removes. */
static void refill(SnLogits *l)
{
    double fill = 0;
    const SnValue never = sn_const(l->g, SN_F32, -HUGE_VAL);
    if (sn_json_number(sn_json_get(l->config, "filter_value"), &fill))
        l->scores = sn_where(l->g, sn_eq(l->g, l->scores, never), sn_const(l->g, SN_F32, fill), l->scores);
}

void sn_logits_build_class(SnLogits *l, const char *class_name)
{
    for (size_t i = 0; i < SN_COUNT(rows); i++)
        if (rows[i].class_name && strcmp(rows[i].class_name, class_name) == 0) {
            rows[i].build(l, &rows[i]);
            refill(l);
            return;
        }
    sn_graph_fail(l->g, SN_EUNSUPPORTED, "logits processor %s", class_name);
}

bool sn_logits_asks(const SnJson *config, const char *key, bool is_sampled)
{
    const SnLogits l = {.config = config};
    for (size_t i = 0; i < SN_COUNT(rows); i++)
        if (strcmp(rows[i].key, key) == 0)
            return (rows[i].stage != WARPER || is_sampled) && is_asked(&l, &rows[i]);
    return false;
}

SnStatus sn_logits_check(const SnJson *config, bool is_sampled, const char *name, SnError *err)
{
    const SnLogits l = {.config = config};
    for (size_t i = 0; i < SN_COUNT(rows); i++) {
        const Row *r = &rows[i];
        double x = 0;
        int64_t n = 0;
        if ((r->stage == WARPER && !is_sampled) || (r->value != NUMBER && r->value != COUNT) ||
            !is_asked(&l, r))
            continue;
        const bool is_read = r->value == COUNT ? sn_json_int(own(&l, r), &n) : sn_json_number(own(&l, r), &x);
        SN_CHECK(is_read && is_within(r, r->value == COUNT ? (double)n : x), err, SN_EINVAL, OUT_OF_RANGE,
                 name, r->key, r->value == COUNT ? "a whole number" : "a number", r->lo, r->hi);
    }
    return SN_OK;
}

const char *sn_logits_number(size_t i)
{
    for (size_t k = 0; k < SN_COUNT(rows); k++)
        if ((rows[k].value == NUMBER || rows[k].build == top_k) && i-- == 0)
            return rows[k].key;
    return NULL;
}

/* ---- some of them, in the order given ---- */

static SnStatus build_chain(SnGraph *g, const SnJson *chain, const SnView *ids, const SnView *scores,
                            SnError *err)
{
    SnLogits l = {.g = g, .is_class = true};
    const SnValue batch = sn_const_int(g, SN_I64, scores->dims[0]), n = sn_const_int(g, SN_I64, ids->dims[1]);
    const SnValue vocab = sn_const_int(g, SN_I64, scores->dims[1]);
    l.scores = sn_input(g, "scores", scores->dtype, 2, (SnValue[]){batch, vocab});
    l.ids = sn_cast(g, sn_input(g, "ids", ids->dtype, 2, (SnValue[]){batch, n}), SN_I64);
    l.length = sn_broadcast(g, n, 1, &batch);
    l.prompt = l.length;
    for (uint32_t i = 0; i < chain->n; i++) {
        SnBytes name;
        const SnJson *item = sn_json_at(chain, i);
        SN_CHECK(sn_json_string(sn_json_get(item, "class"), &name), err, SN_EINVAL,
                 "logits processor %u has no class", i);
        l.name = (const char *)name.at;
        l.config = sn_json_get(item, "kwargs");
        sn_logits_build_class(&l, l.name);
    }
    sn_output(g, "scores", l.scores);
    sn_output(g, "softmax", sn_softmax(g, l.scores, -1));
    return sn_graph_check(g, err);
}

static SnStatus run_chain(SnContext *ctx, SnProgram *program, const SnView *ids, const SnView *scores,
                          SnResults **out, SnError *err)
{
    static const char *const name[] = {"scores", "softmax"};
    SnInstance *s = NULL;
    SnResults *r = NULL;
    SN_TRY(sn_instance_create(program, NULL, &s, err));
    SnStatus st = sn_bind(s, "ids", ids, err);
    if (st == SN_OK)
        st = sn_bind(s, "scores", scores, err);
    if (st == SN_OK)
        st = sn_run(s, err);
    if (st == SN_OK)
        st = sn_results_create(ctx, SN_COUNT(name), &r, err);
    for (size_t i = 0; st == SN_OK && i < SN_COUNT(name); i++) {
        SnView v;
        st = sn_result(s, name[i], &v, err);
        if (st == SN_OK)
            st = sn_results_add(r, name[i], &v, err);
    }
    sn_instance_destroy(s);
    return sn_results_finish(st, r, out);
}

SnStatus sn_logits_process(SnCompiler *cc, const char *device, const SnJson *chain, const SnView *ids,
                           const SnView *scores, SnResults **out, SnError *err)
{
    SnGraph *g = NULL;
    SnProgram *program = NULL;
    const SnCompileOptions o = {.struct_size = sizeof o, .target = device};
    SN_CHECK(chain && chain->kind == SN_JSON_ARRAY, err, SN_EINVAL, "logits processors are no array");
    SN_CHECK(ids->ndim == 2 && scores->ndim == 2 && ids->dims[0] == scores->dims[0], err, SN_ESHAPE,
             "ids and scores are not [batch, n] and [batch, vocab]");
    SN_TRY(sn_graph_create(cc, &g, err));
    SnStatus st = build_chain(g, chain, ids, scores, err);
    if (st == SN_OK)
        st = sn_compile(cc, g, &o, &program, err);
    sn_graph_destroy(g);
    if (st == SN_OK)
        st = run_chain(sn_compiler_context(cc), program, ids, scores, out, err);
    sn_program_release(program);
    return st;
}
