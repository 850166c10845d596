/* tokenize_run.h -- runs the tokenizer ops as a plan would: storage at the stated bounds, scratch zeroed,
 * called again on SN_AGAIN. */
#ifndef SN_TOKENIZE_RUN_H
#define SN_TOKENIZE_RUN_H

#include "frontends/tokenizer/tokenizer.h"
#include "runtime/cpu.h"

typedef struct RunOptions {
    int64_t max_length, stride, strategy; /* max_length -1: no truncation */
    bool left, no_special;
    int64_t windows;      /* 0: main windows only */
    uint64_t deadline_ns; /* 1: always past */
} RunOptions;

enum {
    RUN_IDS,
    RUN_TYPE,
    RUN_SPECIAL,
    RUN_OFFSET,
    RUN_WORD_ID,
    RUN_SEQUENCE,
    RUN_ROW,
    RUN_COUNT,
    RUN_NRESULT
};

#define RUN_MEMO (1 << 16)

typedef struct RunResult {
    SnView out[RUN_NRESULT]; /* of tok_window */
    uint32_t nagain;         /* how often an op ran out of time */
} RunResult;

static inline SnView run_list(SnArena *a, SnDtype dtype, int64_t rows, int64_t bound)
{
    SnView v = {.dtype = dtype, .ndim = 1, .dims = {rows}, .child_count = bound};
    v.data = sn_arena_alloc(a, (size_t)bound * sn_dtype_size(dtype) + 1);
    v.start = sn_arena_array(a, (size_t)rows + 1, sizeof *v.start);
    v.len = sn_arena_array(a, (size_t)rows + 1, sizeof *v.len);
    if (v.data == NULL || v.start == NULL || v.len == NULL)
        v.child_count = -1;
    return v;
}

static inline SnStatus run_op(SnArena *a, SnHostFn *fn, SnHostCall h, size_t scratch_size, uint32_t *nagain,
                              SnError *err)
{
    for (uint32_t i = 0; i < h.nout; i++)
        SN_CHECK(h.out[i].child_count >= 0, err, SN_ENOMEM, "no memory for a result");
    uint8_t *scratch = sn_arena_alloc(a, scratch_size + 64);
    SN_CHECK(scratch != NULL, err, SN_ENOMEM, "no memory for scratch");
    h.scratch = scratch + (64 - (uintptr_t)scratch % 64) % 64;
    h.scratch_size = scratch_size;
    SnStatus st;
    while ((st = fn(&h, err)) == SN_AGAIN)
        ++*nagain;
    return st;
}

static inline SnStatus run_room(SnArena *a, const SnView in[2], uint64_t deadline_ns, int64_t *room,
                                SnError *err)
{
    const SnView out = sn_view(SN_I64, room, 0, NULL);
    uint32_t nagain = 0;
    const SnHostCall h = {.in = in, .nin = 2, .out = &out, .nout = 1, .deadline_ns = deadline_ns};
    return run_op(a, sn_tok_room, h, SN_TOK_ROOM_SCRATCH, &nagain, err);
}

static inline bool run_has_v3(void)
{
    SnCpuLevel level;
    bool refused;
    return sn_cpu_choose(NULL, 0, &level, &refused, NULL) == SN_OK && level >= SN_CPU_V3;
}

/* Texts to ids, offsets, word ids; memo may be NULL, then without a cache of words and by code for any CPU.
 */
static inline SnStatus run_tokens(SnArena *a, const SnView *table, const SnView *text, bool places,
                                  void *memo, SnView out[5], uint64_t deadline_ns, uint32_t *nagain,
                                  SnError *err)
{
    const int64_t b = text->dims[0], n = text->child_count;
    int64_t room = 0;
    const SnView in[] = {*table, *text, sn_view(SN_I64, &room, 0, NULL)};
    const SnScalar attr[] = {{.i = places}, {.i = memo != NULL ? RUN_MEMO : 0}, {.i = 0}};
    SN_TRY(run_room(a, in, deadline_ns, &room, err));
    for (int i = 0; i < 5; i++)
        out[i] = run_list(a, i == 4 ? SN_U8 : SN_I32, b, i > (places ? 2 : 0) ? 0 : room * (i == 1 ? 2 : 1));
    return run_op(a, sn_tok_encode,
                  (SnHostCall){.in = in,
                               .nin = 3,
                               .out = out,
                               .nout = 5,
                               .attr = attr,
                               .nattr = SN_COUNT(attr),
                               .memo = memo,
                               .memo_size = memo != NULL ? RUN_MEMO : 0,
                               .deadline_ns = deadline_ns,
                               .has_v3 = memo != NULL && run_has_v3()},
                  SN_TOK_ENCODE_SCRATCH(n, room), nagain, err);
}

/* The same; ids alone, with a cache that is empty and then is not, must be these. */
static inline SnStatus run_words(SnArena *a, const SnView *table, const SnView *text, SnView out[3],
                                 uint64_t deadline_ns, uint32_t *nagain, SnError *err)
{
    SnView bare[5], full[5];
    uint8_t *memo = sn_arena_alloc(a, RUN_MEMO + 64);
    memset(out, 0, 3 * sizeof *out);
    uint32_t unused = 0;
    SN_CHECK(memo != NULL, err, SN_ENOMEM, "no memory for a cache");
    memo += (64 - (uintptr_t)memo % 64) % 64;
    SN_TRY(run_tokens(a, table, text, true, NULL, full, deadline_ns, nagain, err));
    memcpy(out, full, 3 * sizeof *out);
    for (int i = 0; i < 3; i++) {
        SN_TRY(run_tokens(a, table, text, false, i == 0 ? NULL : memo, bare, i == 1 ? 1 : 0, &unused, err));
        for (int64_t r = 0; r < text->dims[0]; r++) {
            const size_t n = (size_t)out[0].len[r] * sizeof(int32_t);
            SN_CHECK(bare[0].len[r] == out[0].len[r] &&
                         (n == 0 || memcmp((int32_t *)bare[0].data + bare[0].start[r],
                                           (int32_t *)out[0].data + out[0].start[r], n) == 0),
                     err, SN_EINTERNAL, "row %d: ids with and without places differ", (int)r);
        }
    }
    return SN_OK;
}

static inline SnView run_table(SnBytes table)
{
    return (SnView){
        .data = (void *)(uintptr_t)table.at, .dtype = SN_U8, .ndim = 1, .dims = {(int64_t)table.n}};
}

/* Texts, or pairs of texts, to windows. pair may be NULL. */
static inline SnStatus run_encode(SnArena *a, SnBytes table, const SnView *text, const SnView *pair,
                                  const RunOptions *o, RunResult *r, SnError *err)
{
    const SnView tok = run_table(table);
    SnView in[7] = {tok};
    SN_TRY(run_words(a, &tok, text, in + 1, o->deadline_ns, &r->nagain, err));
    if (pair != NULL)
        SN_TRY(run_words(a, &tok, pair, in + 4, o->deadline_ns, &r->nagain, err));
    const SnTokenizerFacts facts = sn_tokenizer_facts(table);
    const int64_t added = pair != NULL ? facts.added_pair : facts.added_single, b = text->dims[0];
    const int64_t w = o->windows > 0 ? o->windows : b, longest = o->max_length > 0 ? o->max_length : 0;
    const int64_t bound = o->windows * longest + in[1].child_count + in[4].child_count + b * added;
    for (int i = RUN_IDS; i <= RUN_SEQUENCE; i++)
        r->out[i] = run_list(a, SN_I32, w, bound * (i == RUN_OFFSET ? 2 : 1));
    r->out[RUN_ROW] = sn_view(SN_I32, sn_arena_array(a, (size_t)w + 1, 4), 1, &w);
    r->out[RUN_COUNT] = sn_view(SN_I64, sn_arena_alloc(a, 8), 0, NULL);
    const SnScalar attr[] = {{.i = o->max_length},  {.i = o->stride},  {.i = o->strategy}, {.i = o->left},
                             {.i = !o->no_special}, {.i = o->windows}, {.i = added}};
    return run_op(a, sn_tok_window,
                  (SnHostCall){.in = in,
                               .nin = pair != NULL ? 7 : 4,
                               .out = r->out,
                               .nout = RUN_NRESULT,
                               .attr = attr,
                               .nattr = SN_COUNT(attr),
                               .deadline_ns = o->deadline_ns},
                  SN_TOK_WINDOW_SCRATCH, &r->nagain, err);
}

static inline SnStatus run_decode(SnArena *a, SnBytes table, const SnView *ids, bool skip_special,
                                  SnView *out, SnError *err)
{
    const SnView in[] = {run_table(table), *ids};
    const int64_t size = sn_tokenizer_facts(table).token_size;
    *out = run_list(a, SN_U8, ids->dims[0], ids->child_count * (size + 1));
    const SnScalar attr[] = {{.i = skip_special}, {.i = size}};
    uint32_t nagain = 0;
    return run_op(a, sn_tok_decode,
                  (SnHostCall){.in = in, .nin = 2, .out = out, .nout = 1, .attr = attr, .nattr = 2},
                  SN_TOK_DECODE_SCRATCH(ids->child_count, size), &nagain, err);
}

/* A list of one row. */
static inline SnView run_row(SnDtype dtype, void *data, const int64_t *n, const int64_t *zero)
{
    return (SnView){
        .data = data, .dtype = dtype, .ndim = 1, .dims = {1}, .start = zero, .len = n, .child_count = *n};
}

#endif
