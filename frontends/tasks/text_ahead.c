/* text_ahead.c -- the tokenizer's host ops, called without a program: operands and results lie in an arena at
 * the bounds that tokenize.h says. */
#include "frontends/tasks/text_ahead.h"

#include "ops/host/tokenize.h"

typedef struct Layout {
    SnTextAhead *a;
    const SnModel *m;
    bool has_words, failed, has_places;
} Layout;

static void *take(Layout *l, size_t n, size_t size)
{
    void *at = sn_arena_array(&l->a->arena, n + 1, size);
    l->failed = l->failed || !at;
    return at;
}

/* A list over n rows with room for so many elements. */
static SnView list(Layout *l, SnDtype dtype, int64_t n, int64_t room)
{
    SnView v = sn_view(dtype, take(l, (size_t)room, sn_dtype_size(dtype)), 1, &n);
    v.start = take(l, (size_t)n, sizeof(int64_t));
    v.len = take(l, (size_t)n, sizeof(int64_t));
    v.child_count = room;
    return v;
}

static SnView table_view(const SnModel *m)
{
    return sn_view(SN_U8, (void *)(uintptr_t)m->tokenizer.at, 1, &(int64_t){(int64_t)m->tokenizer.n});
}

static void add_step(Layout *l, SnHostFn *fn, const SnView *in, uint32_t nin, const SnView *out,
                     uint32_t nout, const SnScalar *attr, uint32_t nattr, size_t scratch)
{
    SnTextAhead *a = l->a;
    SnView *views = take(l, nin + nout, sizeof *views);
    SnScalar *attrs = take(l, nattr, sizeof *attrs);
    uint8_t *work = take(l, scratch + 64, 1);
    if (l->failed)
        return;
    memcpy(views, in, nin * sizeof *in);
    memcpy(views + nin, out, nout * sizeof *out);
    memcpy(attrs, attr, nattr * sizeof *attr);
    a->fn[a->nstep] = fn;
    a->call[a->nstep++] = (SnHostCall){.in = views,
                                       .nin = nin,
                                       .out = views + nin,
                                       .nout = nout,
                                       .attr = attrs,
                                       .nattr = nattr,
                                       .scratch = work + (64 - ((uintptr_t)work & 63)) % 64,
                                       .scratch_size = scratch};
}

/* ids, offsets and word ids of texts whose bytes are copied to `text`: three views. */
static void add_encode(Layout *l, const SnView *text, const int64_t *words, int64_t n, SnView *out)
{
    enum { PLACES, MEMO, ABOUT, NATTR };
    const int64_t room = text->child_count * (int64_t)sn_tokenizer_facts(l->m->tokenizer).grow;
    const bool places = words != NULL || l->has_places;
    const SnView of[] = {table_view(l->m), *text, sn_view(SN_I64, take(l, 1, 8), 0, NULL),
                         sn_view(SN_I64, (void *)(uintptr_t)words, 1, &n)};
    const SnView result[] = {list(l, SN_I32, n, room), list(l, SN_I32, n, places ? 2 * room : 0),
                             list(l, SN_I32, n, places ? room : 0), list(l, SN_I32, n, 0),
                             list(l, SN_U8, n, 0)};
    const SnScalar attr[NATTR] = {[PLACES] = {.i = places}};
    if (of[2].data)
        *(int64_t *)of[2].data = room;
    memcpy(out, result, 3 * sizeof *out);
    add_step(l, sn_tok_encode, of, words ? 4 : 3, result, SN_COUNT(result), attr, NATTR,
             SN_TOK_ENCODE_SCRATCH(text->child_count, room));
}

static void add_window(Layout *l, const SnTokenizeOptions *o, const SnView *parts, uint32_t nparts, int64_t n)
{
    const SnTokenizerFacts f = sn_tokenizer_facts(l->m->tokenizer);
    const bool is_pair = nparts > 3;
    const int64_t added = is_pair ? f.added_pair : f.added_single;
    const int64_t room = parts[0].child_count + (is_pair ? parts[3].child_count : 0) + n * added;
    SnView of[7] = {table_view(l->m)};
    memcpy(of + 1, parts, nparts * sizeof *parts);
    const SnView result[] = {list(l, SN_I32, n, room),
                             list(l, SN_I32, n, room),
                             list(l, SN_I32, n, room),
                             list(l, SN_I32, n, 2 * room),
                             list(l, SN_I32, n, room),
                             list(l, SN_I32, n, room),
                             sn_view(SN_I32, take(l, (size_t)n, 4), 1, &n),
                             sn_view(SN_I64, take(l, 1, 8), 0, NULL)};
    const bool cuts = o->truncation != SN_TRUNCATE_NONE && o->max_length > 0;
    const SnScalar attr[] = {{.i = cuts ? o->max_length : -1},
                             {.i = 0},
                             {.i = SN_TOK_LONGEST_FIRST},
                             {.i = 0},
                             {.i = !o->no_special},
                             {.i = 0},
                             {.i = added}};
    l->a->ids = result[0];
    l->a->types = result[1];
    l->a->special = result[2];
    l->a->offsets = result[3];
    l->a->word_ids = result[4];
    add_step(l, sn_tok_window, of, 1 + nparts, result, SN_COUNT(result), attr, SN_COUNT(attr),
             SN_TOK_WINDOW_SCRATCH);
}

/* Where n texts will be copied to, from `at` of the bytes on. */
static SnView place_texts(Layout *l, const SnBytes *text, size_t n, size_t at, size_t size)
{
    SnView v = sn_view(SN_U8, l->a->bytes + at, 1, &(int64_t){(int64_t)n});
    int64_t *start = take(l, n, sizeof *start), *len = take(l, n, sizeof *len), sum = 0;
    for (size_t i = 0; !l->failed && i < n; i++) {
        start[i] = sum;
        len[i] = (int64_t)text[i].n;
        sum += len[i];
    }
    v.start = start;
    v.len = len;
    v.child_count = (int64_t)size;
    return v;
}

SnStatus sn_text_ahead_begin(SnTextAhead *a, const SnModel *m, const SnTokenizeOptions *o,
                             const SnBytes *text, const SnBytes *pair, size_t n, bool has_places,
                             SnError *err)
{
    size_t nword = n, size[2] = {0, 0};
    SnArena arena = a->arena;
    if (!arena.memory)
        sn_arena_init(&arena, sn_allocator(m->ctx));
    sn_arena_reset(&arena);
    *a = (SnTextAhead){.arena = arena, .n = (int64_t)n, .st = SN_OK};
    Layout l = {.a = a, .m = m, .has_words = o->words != NULL, .has_places = has_places};
    for (size_t i = 0, sum = 0; o->words && i < n; i++)
        nword = sum += (size_t)o->words[i];
    nword = o->words && n == 0 ? 0 : nword;
    SnBytes *all = take(&l, nword + (pair ? n : 0), sizeof *all);
    for (size_t i = 0; i < nword; i++)
        SN_CHECK(sn_add_size(size[0], text[i].n, &size[0]) && size[0] < INT32_MAX / 64, err, SN_ESHAPE,
                 "texts of more than %d bytes in a batch", INT32_MAX / 64);
    for (size_t i = 0; pair && i < n; i++)
        SN_CHECK(sn_add_size(size[1], pair[i].n, &size[1]) && size[1] < INT32_MAX / 64, err, SN_ESHAPE,
                 "texts of more than %d bytes in a batch", INT32_MAX / 64);
    a->bytes = take(&l, size[0] + size[1], 1);
    SN_CHECK(!l.failed, err, SN_ENOMEM, "no memory for texts of %zu bytes", size[0] + size[1]);
    memcpy(all, text, nword * sizeof *all);
    if (pair)
        memcpy(all + nword, pair, n * sizeof *all);
    a->text = all;
    a->ntext = nword + (pair ? n : 0);
    SnView parts[6];
    const SnView first = place_texts(&l, text, nword, 0, size[0]);
    add_encode(&l, &first, o->words, (int64_t)n, parts);
    if (pair) {
        const SnView second = place_texts(&l, pair, n, size[0], size[1]);
        add_encode(&l, &second, NULL, (int64_t)n, parts + 3);
    }
    add_window(&l, o, parts, pair ? 6 : 3, (int64_t)n);
    SN_CHECK(!l.failed, err, SN_ENOMEM, "no memory for tokens of %zu bytes", size[0] + size[1]);
    return SN_OK;
}

bool sn_text_ahead_go(SnTextAhead *a, uint64_t deadline_ns)
{
    while (a->ncopied < a->ntext) {
        const SnBytes s = a->text[a->ncopied++];
        if (s.n)
            memcpy(a->bytes + a->copied, s.at, s.n);
        a->copied += s.n;
        if (deadline_ns && sn_now_ns() >= deadline_ns)
            return false;
    }
    while (a->st == SN_OK && a->step < a->nstep) {
        SnHostCall *c = &a->call[a->step];
        c->deadline_ns = deadline_ns;
        const SnStatus st = a->fn[a->step](c, &a->err);
        if (st == SN_AGAIN)
            return false;
        a->st = st;
        a->step += st == SN_OK;
        if (deadline_ns && sn_now_ns() >= deadline_ns)
            break;
    }
    return a->st != SN_OK || a->step == a->nstep;
}

void sn_text_ahead_clear(SnTextAhead *a)
{
    if (a->arena.memory)
        sn_arena_clear(&a->arena);
    *a = (SnTextAhead){.n = 0};
}
