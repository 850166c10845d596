/* generate_graph.c -- a decoder as the program that runtime/lm.h drives: entries fill, next, beam, copy,
 * copy_near, copy_state over the same weights and the same past.
 *
 * The model is built once for each entry, in its cached form (frontends/hf/past.c); what is done to its
 * logits is frontends/tasks/logits.c. A random number depends on the seed of its row and the place of its
 * token alone. */
#include "frontends/tasks/generate.h"

#include "frontends/hf/adapter.h"
#include "frontends/tasks/logits.h"
#include "ops/ops.h"

#include <stdio.h>

#define MAX_ROWS   4096
#define MAX_SEQ    (1 << 24)
#define MAX_WANTED 256

typedef struct Entry {
    SnModel *m;
    SnGraph *g;
    SnModelProgram *p;
    SnGenProgram *spec;
    SnPast past;
    SnValue batch, seq, wanted, context; /* dims */
} Entry;

/* ---- inputs ---- */

static SnValue of_row(Entry *e, const char *name, SnDtype dtype)
{
    return sn_input(e->g, name, dtype, 1, &e->batch);
}

/* How many rows, tokens, pages there are: the same in all entries. */
static void declare(Entry *e)
{
    SnGraph *g = e->g;
    e->batch = sn_symbol(g, "batch", 1, MAX_ROWS);
    e->seq = sn_symbol(g, "seq", 1, MAX_SEQ);
    e->wanted = sn_symbol(g, "wanted", 1, MAX_WANTED);
    e->context = sn_symbol_at_create(g, "context", 1, MAX_SEQ);
    e->past.pages = sn_symbol_at_create(g, "pages", 1, INT32_MAX);
    e->past.slots = sn_symbol_at_create(g, "slots", 1, MAX_ROWS);
    const int64_t window = sn_config_int(&e->m->config, "sliding_window", 0);
    e->past.window = window > 0 && window < MAX_SEQ ? window : 0;
    if (e->past.window)
        e->past.near_pages = sn_symbol_at_create(
            g, "near_pages", (e->past.window + SN_LM_PAGE - 1) / SN_LM_PAGE + 1, INT32_MAX);
    e->past.kv_dtype = e->m->kv_dtype;
}

/* The model over the next tokens of its rows; logits f32[batch, wanted, vocabulary]. */
static SnValue build_model(Entry *e, bool has_head)
{
    static const char *const want[] = {"logits"};
    SnGraph *g = e->g;
    const SnValue tokens[] = {e->batch, e->seq}, wanted[] = {e->batch, e->wanted};
    const SnValue pages[] = {e->batch, sn_symbol_at_create(g, "chunks", 1, MAX_SEQ)};
    const bool has_rows = e->m->adapter && sn_adapter_rows(e->m->adapter);
    const SnNamedValue in[] = {{"input_ids", sn_input(g, "ids", SN_I64, 2, tokens)},
                               {"adapter_rows", has_rows ? of_row(e, "adapter_rows", SN_I64) : sn_none()}};
    e->past.pos = sn_input(g, "pos", SN_I64, 2, tokens);
    e->past.page = sn_input(g, "page", SN_I32, 2, pages);
    e->past.near_page = e->past.window ? sn_input(g, "near_page", SN_I32, 2, pages) : sn_none();
    e->past.slot = of_row(e, "slot", SN_I64);
    e->past.reach = of_row(e, "reach", SN_I64);
    if (e->m->adapter && sn_adapter_counts_pads(e->m->adapter))
        e->past.pads = of_row(e, "first", SN_I64);
    const SnConfig *c = &e->m->config;
    const bool sees_ahead = !sn_config_bool(c, "is_causal", true);
    const bool is_guided = sn_logits_asks(e->spec->config->json, "guidance_scale", false);
    if (sn_config_get(c, "time_step_limit") || sn_config_bool(c, "use_bidirectional_attention", false) ||
        (sees_ahead &&
         !(is_guided && e->past.window))) /* a pair's last token would see less, run once more */
        e->past.given = sn_sub(g, of_row(e, "prompt", SN_I64), of_row(e, "first", SN_I64));
    e->past.places = has_head ? sn_input(g, "places", SN_I64, 2, wanted) : sn_none();
    SnModelPart part = {.head = "text-generation",
                        .in = in,
                        .nin = has_rows ? 2 : 1,
                        .want = want,
                        .nwant = has_head,
                        .past = &e->past,
                        .takes_adapter = sn_model_takes_adapter(e->m)};
    sn_model_build(e->m, g, &part);
    const SnValue logits = sn_named_value(part.out.at, part.out.n, "logits");
    e->p->max_seq = part.max_seq;
    sn_model_part_clear(e->m, &part);
    return logits;
}

/* A number of each row [batch] for each of its places, [batch * wanted]. */
static SnValue spread(Entry *e, SnValue x)
{
    SnGraph *g = e->g;
    const SnValue two[] = {e->batch, sn_size(e->g, 1)}, all[] = {e->batch, e->wanted};
    const SnValue n = sn_mul(g, e->batch, e->wanted);
    return sn_reshape(g, sn_broadcast(g, sn_reshape(g, x, 2, two), 2, all), 1, &n);
}

static void give_numbers(Entry *e, SnNamedValue *given)
{
    for (uint32_t i = 0; i < e->spec->nnumber; i++)
        given[i] = (SnNamedValue){e->spec->number[i], spread(e, of_row(e, e->spec->number[i], SN_F32))};
}

/* Scores of the rows that guide those of scores [batch * wanted, v]. */
static SnValue guiding(Entry *e, SnValue scores)
{
    SnGraph *g = e->g;
    const SnValue dims[] = {e->batch, e->wanted}, column[] = {e->batch, sn_size(e->g, 1)};
    const SnValue other = sn_reshape(g, sn_mul(g, of_row(e, "other", SN_I64), e->wanted), 2, column);
    const SnValue n = sn_dim(g, scores, 0);
    const SnValue at = sn_reshape(g, sn_add(g, other, sn_iota(g, SN_I64, 1, 2, dims)), 1, &n);
    return sn_gather(g, scores, 1, (const int[]){0}, &at, NULL);
}

/* logits [batch, wanted, v] ▶ scores f32[batch * wanted, v] of what may come next. */
static SnValue process(Entry *e, SnValue logits, SnValue *length)
{
    SnGraph *g = e->g;
    SnNamedValue given[SN_COUNT(e->spec->number)];
    const SnGenConfig *c = e->spec->config;
    const SnValue n = sn_mul(g, e->batch, e->wanted), places[] = {e->batch, e->wanted};
    const SnValue flat[] = {n, sn_dim(g, logits, 2)}, table[] = {e->past.slots, e->context};
    const SnValue history = sn_input(g, "history", SN_I32, 2, table), slot = spread(e, e->past.slot);
    give_numbers(e, given);
    *length = sn_reshape(g, sn_input(g, "length", SN_I64, 2, places), 1, &n);
    SnLogits l = {.g = g,
                  .name = e->m->folder,
                  .config = c->json,
                  .given = given,
                  .ngiven = e->spec->nnumber,
                  .scores = sn_reshape(g, logits, 2, flat),
                  .ids = sn_cast(g, sn_gather(g, history, 1, (const int[]){0}, &slot, NULL), SN_I64),
                  .length = *length,
                  .prompt = spread(e, of_row(e, "prompt", SN_I64)),
                  .first = spread(e, of_row(e, "first", SN_I64)),
                  .limit = spread(e, of_row(e, "limit", SN_I64)),
                  .source_length = spread(e, of_row(e, "prompt", SN_I64)),
                  .keep = c->num_beams > 1 ? (c->end.n ? c->end.n : 1) + 1 : 1};
    l.source = l.ids; /* what an encoder would read is the prompt */
    if (sn_logits_asks(c->json, "guidance_scale", false))
        l.free = guiding(e, l.scores);
    if (e->spec->is_constrained) {
        const SnValue all[] = {e->batch, e->wanted, flat[1]};
        l.allowed = sn_reshape(g, sn_input(g, "allowed", SN_BOOL, 3, all), 2, flat);
    }
    sn_logits_build(&l, c->do_sample);
    return l.scores;
}

static void output(Entry *e, const char *name, SnValue x)
{
    const SnValue dims[] = {e->batch, e->wanted, sn_dim(e->g, x, -1)};
    sn_output(e->g, name, sn_reshape(e->g, x, 3, dims));
}

/* u32[batch * wanted, 2]: of the row's seed. */
static SnValue key_of(Entry *e)
{
    SnGraph *g = e->g;
    const SnValue one[] = {sn_mul(g, e->batch, e->wanted), sn_size(e->g, 1)};
    const SnValue seed = sn_bitcast(g, spread(e, of_row(e, "seed", SN_I64)), SN_U64);
    const SnValue half[] = {
        sn_reshape(g, sn_cast(g, seed, SN_U32), 2, one),
        sn_reshape(g, sn_cast(g, sn_shr(g, seed, sn_const_int(g, SN_U64, 32)), SN_U32), 2, one)};
    return sn_concat(g, 2, half, 1);
}

/* Uniform numbers [batch * wanted]: of the row's seed, and where the token stands. */
static SnValue uniform(Entry *e, SnValue length)
{
    SnGraph *g = e->g;
    const SnValue one[] = {sn_mul(g, e->batch, e->wanted), sn_size(e->g, 1)};
    const SnValue place = sn_reshape(g, sn_cast(g, length, SN_U32), 2, one);
    const SnValue zero = sn_broadcast(g, sn_const_int(g, SN_U32, 0), 2, one);
    return sn_uniform(g, key_of(e), sn_concat(g, 2, (SnValue[]){place, zero}, 1));
}

/* What is added to log probabilities so that the best k of them are k draws without putting back, in order;
 * index is i64[batch * wanted, v]. Kool et al. 2019, arXiv:1903.06059. */
static SnValue gumbel(Entry *e, SnValue index, SnValue length)
{
    SnGraph *g = e->g;
    const SnValue rows = sn_dim(g, index, 0), v = sn_dim(g, index, 1), pair = sn_size(e->g, 2);
    const SnValue place[] = {rows, sn_size(e->g, 1)}, all[] = {rows, v, sn_size(e->g, 1)},
                  keys[] = {rows, sn_size(e->g, 1), pair};
    const SnValue at = sn_broadcast(g, sn_reshape(g, sn_cast(g, length, SN_U32), 2, place), 2, all);
    const SnValue count[] = {sn_reshape(g, at, 3, all), sn_reshape(g, sn_cast(g, index, SN_U32), 3, all)};
    const SnValue key = sn_broadcast(g, sn_reshape(g, key_of(e), 3, keys), 3, (SnValue[]){rows, v, pair});
    const SnValue u = sn_uniform(g, key, sn_concat(g, 2, count, 2)),
                  half = sn_const(g, SN_F32, 0.5 / 16777216);
    return sn_neg(g, sn_log(g, sn_neg(g, sn_log(g, sn_add(g, u, half)))));
}

/* ---- entries ---- */

static void fill(Entry *e)
{
    sn_entry_begin(e->g, "fill");
    (void)build_model(e, false);
}

static void next(Entry *e)
{
    SnGraph *g = e->g;
    const SnGenConfig *c = e->spec->config;
    const SnValue dims[] = {e->batch, e->wanted};
    SnValue length = sn_none();
    sn_entry_begin(g, "next");
    const SnValue logits = build_model(e, true), scores = process(e, logits, &length);
    const SnValue id =
        c->do_sample ? sn_categorical(g, scores, uniform(e, length)) : sn_argmax(g, scores, 1, false);
    /* Warpers may hide NaN, one processor takes it away. */
    const SnValue seen =
        sn_logits_asks(c->json, "remove_invalid_values", false)
            ? scores
            : sn_reshape(g, logits, 2, (SnValue[]){sn_dim(g, scores, 0), sn_dim(g, scores, 1)});
    const SnValue is_nan = sn_reduce(g, "or", sn_ne(g, seen, seen), 1, &(int){1}, false);
    const SnValue real_id = sn_where(g, is_nan, sn_const_int(g, SN_I64, -1), id);
    sn_output(g, "id", sn_cast(g, sn_reshape(g, real_id, 2, dims), SN_I32));
    if (c->output_logits)
        output(e, "logits", logits);
    if (c->output_scores)
        output(e, "scores", scores);
}

static void beam(Entry *e)
{
    SnGraph *g = e->g;
    SnValue length = sn_none();
    sn_entry_begin(g, "beam");
    const SnValue logits = build_model(e, true), scores = process(e, sn_log_softmax(g, logits, -1), &length);
    const SnValue column[] = {sn_dim(g, scores, 0), sn_size(e->g, 1)};
    const SnValue before = sn_reshape(g, spread(e, of_row(e, "score", SN_F32)), 2, column);
    const SnValue sum = sn_add(g, scores, before);
    const SnValue index = sn_iota(g, SN_I64, 1, 2, (SnValue[]){column[0], sn_dim(g, sum, 1)});
    const SnValue key = e->spec->config->do_sample ? sn_add(g, sum, gumbel(e, index, length)) : sum;
    const SnValue best = sn_sort(g, 3, (SnValue[]){key, index, sum}, 1, 1, true, e->spec->keep);
    sn_output(g, "best", sn_cast(g, sn_get(g, best, 1), SN_I32));
    sn_output(g, "scores", sn_get(g, best, 2));
    sn_output(g, "order", sn_get(g, best, 0));
    if (e->spec->config->output_logits)
        output(e, "logits", logits);
    if (e->spec->config->output_scores)
        output(e, "all", scores);
}

/* Pages, or states, that become others: all are read before one is written. */
static void copy(Entry *e, const char *name, SnPastKind kind)
{
    SnGraph *g = e->g;
    sn_entry_begin(g, name);
    const SnValue moves = sn_symbol(g, "moves", 1, INT32_MAX);
    const SnValue from = sn_input(g, "from", SN_I64, 1, &moves), to = sn_input(g, "to", SN_I64, 1, &moves);
    for (size_t i = 0; i < e->past.kept.n; i++) {
        const SnPastKept *k = &e->past.kept.at[i];
        if (k->kind != kind)
            continue;
        const SnValue rows = sn_gather(g, k->carry, 1, (const int[]){0}, &from, NULL);
        sn_next(g, k->carry, sn_scatter(g, "set", k->carry, 1, (const int[]){0}, &to, rows));
    }
}

static bool keeps(const Entry *e, SnPastKind kind)
{
    for (size_t i = 0; i < e->past.kept.n; i++)
        if (e->past.kept.at[i].kind == kind)
            return true;
    return false;
}

/* ---- one of each kind ---- */

/* Keys that the graph does not depend on. */
static bool is_of_runs(const char *key)
{
    return sn_is_one_of(sn_bytes_str(key),
                        "max_new_tokens max_length num_return_sequences seed stop_strings early_stopping "
                        "length_penalty max_time use_cache transformers_version num_beams "
                        "prompt_lookup_num_tokens max_matching_ngram_size num_assistant_tokens pad_token_id "
                        "negative_prompt_ids adapter_rows bos_token_id");
}

/* Numbers that the config asks for and that rows may have of their own. k of top_k bounds a sort, so it is
 * none of them. */
static void find_numbers(SnGenProgram *s)
{
    const char *key;
    double x;
    s->nnumber = 0;
    for (size_t i = 0; (key = sn_logits_number(i)) != NULL && s->nnumber < SN_COUNT(s->number); i++)
        if (strcmp(key, "top_k") != 0 && sn_json_number(sn_json_get(s->config->json, key), &x) &&
            sn_logits_asks(s->config->json, key, s->config->do_sample))
            s->number[s->nnumber++] = key;
}

void sn_gen_fill(SnModel *m, SnGraph *g, SnModelProgram *p, void *user)
{
    static const char *const copies[] = {"copy", "copy_near", "copy_state"};
    Entry e = {.m = m, .g = g, .p = p, .spec = user};
    p->specialise = "batch=1,*; seq=1; wanted=1"; /* one token a row, or of one row */
    find_numbers(e.spec);
    declare(&e);
    next(&e);
    for (size_t i = 0; i < SN_COUNT(copies); i++)
        if (keeps(&e, (SnPastKind)i))
            copy(&e, copies[i], (SnPastKind)i);
    fill(&e);
    if (e.spec->keep)
        beam(&e);
    sn_vec_clear(sn_allocator(m->ctx), &e.past.next);
    sn_vec_clear(sn_allocator(m->ctx), &e.past.kept);
}

static bool is_row_number(const SnGenProgram *s, const char *key)
{
    for (uint32_t i = 0; i < s->nnumber; i++)
        if (strcmp(s->number[i], key) == 0)
            return true;
    return false;
}

/* The member of an object whose key comes next, in their order; NULL: none does. */
static const SnJson *key_after(const SnJson *object, const SnJson *last)
{
    const SnJson *next = NULL;
    for (uint32_t i = 0; i < object->n; i++) {
        const SnJson *v = &object->u.child[i];
        const char *key = (const char *)v->key.at;
        if ((!last || strcmp(key, (const char *)last->key.at) > 0) &&
            (!next || strcmp(key, (const char *)next->key.at) < 0))
            next = v;
    }
    return next;
}

static void put_key(SnText *t, const SnGenProgram *spec)
{
    sn_text_printf(t, "generate keep=%u allowed=%d", spec->keep, spec->is_constrained);
    for (const SnJson *v = NULL; (v = key_after(spec->config->json, v)) != NULL;) {
        const char *key = (const char *)v->key.at;
        if (is_of_runs(key) || v->kind == SN_JSON_NULL)
            continue;
        sn_text_printf(t, " %s", key);
        if (!is_row_number(spec, key))
            sn_json_put(t, v);
    }
}

SnStatus sn_gen_program(SnModel *m, SnGenProgram *spec, SnProgram **out, SnError *err)
{
    SnText key = {.memory = sn_allocator(m->ctx)};
    SnModelProgram *p = NULL;
    SN_TRY(sn_model_need(m, err));
    find_numbers(spec);
    sn_model_key(m, &key);
    put_key(&key, spec);
    SnStatus st = key.failed ? sn_fail(err, SN_ENOMEM, "%s: no memory for a key", m->folder)
                             : sn_model_program(m, key.at, sn_gen_fill, spec, &p, err);
    sn_text_clear(&key);
    if (st == SN_OK && !p->program)
        st = sn_fail(err, SN_EUNSUPPORTED, "%s: generation on device %s", m->folder, m->device);
    if (st == SN_OK) {
        *out = p->program;
        spec->places = p->max_seq;
    }
    return st;
}

int64_t sn_gen_virtual(const SnModel *m)
{
    return m->adapter ? sn_adapter_tokens(m->adapter) : 0;
}

SnStatus sn_gen_adapter(const SnModel *m, SnArena *arena, SnLmDesc *out, SnError *err)
{
    const size_t n = sn_model_takes_adapter(m) ? sn_adapter_count(m->adapter) : 0;
    SnLmTensor *t = sn_arena_array(arena, n + 1, sizeof *t);
    SN_CHECK(t, err, SN_ENOMEM, "%s: no memory for an adapter", m->folder);
    for (size_t i = 0; i < n; i++)
        t[i].name = sn_adapter_tensor(m->adapter, i, &t[i].view);
    out->tensor = t;
    out->ntensor = (uint32_t)n;
    return SN_OK;
}

bool sn_gen_is_same(SnModel *m, SnGenProgram *a, SnGenProgram *b)
{
    SnText x = {.memory = sn_allocator(m->ctx)}, y = {.memory = sn_allocator(m->ctx)};
    find_numbers(a);
    find_numbers(b);
    put_key(&x, a);
    put_key(&y, b);
    const bool is_same = !x.failed && !y.failed && x.n == y.n && memcmp(x.at, y.at, x.n) == 0;
    sn_text_clear(&x);
    sn_text_clear(&y);
    return is_same;
}
