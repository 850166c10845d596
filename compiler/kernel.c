/* kernel.c -- builds kernels: statements are appended to the open body, terms are made in the store. */
#include "compiler/kernel.h"

SnRef sn_kernel_index(SnKernelBuild *b)
{
    SnStore *s = b->k->store;
    const SnAttr id = SN_INT("id", b->nindex++);
    return sn_term_make(s, SN_OP_INDEX, sn_type_scalar(s, SN_I64), sn_attrs_make(s, &id, 1), NULL, 0);
}

bool sn_kernel_begin(SnKernelBuild *b, SnStore *s, SnArena *arena, const char *name)
{
    *b = (SnKernelBuild){.arena = arena};
    b->k = (SnKernel *)sn_arena_alloc(arena, sizeof *b->k);
    if (b->k == NULL)
        return false;
    b->tail = &b->k->body;
    b->k->store = s;
    b->k->name = sn_arena_strndup(arena, name, strlen(name));
    b->k->tile = sn_kernel_index(b);
    return b->k->name != NULL && b->k->tile != 0;
}

int sn_kernel_buffer(SnKernelBuild *b, bool is_written)
{
    SnKernel *k = b->k;
    SN_ASSERT(k->nlocal == 0);
    if (k->nbuf == SN_KERNEL_BUFFERS)
        return -1;
    k->buf[k->nbuf].is_written = is_written;
    return k->nbuf++;
}

SnRef sn_kernel_dim(SnKernelBuild *b)
{
    SnKernel *k = b->k;
    if (k->ndim == SN_KERNEL_DIMS)
        return 0;
    const SnAttr id = SN_INT("id", k->ndim++);
    return sn_term_make(k->store, SN_OP_KDIM, sn_type_scalar(k->store, SN_I64),
                        sn_attrs_make(k->store, &id, 1), NULL, 0);
}

/* ---- statements ---- */

static SnStmt *append(SnKernelBuild *b, SnStmt stmt)
{
    SnStmt *s = (SnStmt *)sn_arena_alloc(b->arena, sizeof *s);
    if (s == NULL) {
        b->failed = true;
        return NULL;
    }
    *s = stmt;
    *b->tail = s;
    b->tail = &s->next;
    return s;
}

/* Statements go into s from now on; *mark is where those behind it will go. */
static void open_body(SnKernelBuild *b, SnStmt *s, SnStmt ***mark)
{
    *mark = b->tail;
    if (s != NULL)
        b->tail = &s->body;
}

SnRef sn_kernel_loop(SnKernelBuild *b, SnLoopKind kind, SnRef extent, SnStmt ***mark)
{
    const SnRef var = sn_kernel_index(b);
    open_body(b, append(b, (SnStmt){.kind = SN_STMT_LOOP, .loop = kind, .var = var, .a = extent}), mark);
    return var;
}

void sn_kernel_if(SnKernelBuild *b, SnRef cond, SnStmt ***mark)
{
    open_body(b, append(b, (SnStmt){.kind = SN_STMT_IF, .a = cond}), mark);
}

int sn_kernel_local(SnKernelBuild *b, SnDtype dtype, int64_t count, SnStmt ***mark)
{
    SnKernel *k = b->k;
    const int buf = k->nbuf + k->nlocal;
    SN_ASSERT(buf < UINT16_MAX);
    k->nlocal++;
    const SnRef n = sn_const_i64(k->store, count);
    open_body(b, append(b, (SnStmt){.kind = SN_STMT_LOCAL, .dtype = dtype, .buf = (uint16_t)buf, .a = n}),
              mark);
    return buf;
}

void sn_kernel_close(SnKernelBuild *b, SnStmt **mark)
{
    b->tail = mark;
}

/* Is the guard known? *value is what it is; no guard is true. */
static bool is_known_guard(const SnStore *s, SnRef guard, bool *value)
{
    SnScalar v = {.i = 1};
    if (guard != 0 && (sn_dtype_of(s, guard) != SN_BOOL || !sn_is_const(s, guard, &v)))
        return false;
    *value = v.i != 0;
    return true;
}

void sn_kernel_store(SnKernelBuild *b, int buf, SnDtype dtype, SnRef index, SnRef value, SnRef guard)
{
    sn_kernel_stream(b, buf, dtype, index, value, guard, 0);
}

void sn_kernel_stream(SnKernelBuild *b, int buf, SnDtype dtype, SnRef index, SnRef value, SnRef guard,
                      SnRef stream)
{
    bool streams = false;
    if (is_known_guard(b->k->store, stream, &streams) && !streams)
        stream = 0;
    SN_ASSERT(buf >= 0 && buf < UINT16_MAX);
    bool is_kept = true;
    if (is_known_guard(b->k->store, guard, &is_kept))
        guard = 0;
    if (!is_kept)
        return;
    append(b, (SnStmt){.kind = SN_STMT_STORE,
                       .dtype = dtype,
                       .buf = (uint16_t)buf,
                       .a = index,
                       .b = value,
                       .g = guard,
                       .stream = stream});
}

void sn_kernel_tile(SnKernelBuild *b, SnTileOp op, SnDtype dtype, const uint8_t tile[3], int buf,
                    SnRef offset, SnRef stride)
{
    append(b, (SnStmt){.kind = SN_STMT_TILE,
                       .tile_op = op,
                       .dtype = dtype,
                       .buf = (uint16_t)buf,
                       .tile = {tile[0], tile[1], tile[2]},
                       .a = offset,
                       .b = stride});
}

/* ---- terms ---- */

SnRef sn_kernel_load(SnKernelBuild *b, int buf, SnDtype dtype, SnRef index, SnRef guard)
{
    SnStore *s = b->k->store;
    bool is_read = true;
    if (is_known_guard(s, guard, &is_read))
        guard = 0;
    if (!is_read)
        return sn_const_scalar(s, dtype, (SnScalar){.u = 0});
    const SnAttr at = SN_INT("buf", buf);
    const SnRef arg[2] = {index, guard};
    return sn_term_make(s, SN_OP_LOAD, sn_type_scalar(s, dtype), sn_attrs_make(s, &at, 1), arg,
                        guard != 0 ? 2 : 1);
}

SnRef sn_kernel_ahead(SnStore *s, SnRef load, int64_t bytes)
{
    const SnTerm *t = sn_term(s, load);
    const SnAttr at[] = {SN_INT("ahead", bytes), SN_INT("buf", sn_attr_int(s, load, "buf", 0))};
    const SnRef arg[2] = {t->arg[0], t->narg > 1 ? t->arg[1] : 0};
    return sn_term_make(s, SN_OP_LOAD, t->type, sn_attrs_make(s, at, SN_COUNT(at)), arg, t->narg);
}

SnRef sn_kernel_fold(SnKernelBuild *b, int buf, SnDtype dtype, const char *fn, SnRef index, int64_t n)
{
    SnStore *s = b->k->store;
    const SnAttr at[] = {SN_INT("buf", buf), SN_STRING("fn", fn), SN_INT("n", n)};
    return sn_term_make(s, SN_OP_FOLD, sn_type_scalar(s, dtype), sn_attrs_make(s, at, SN_COUNT(at)), &index,
                        1);
}

/* ---- the end ---- */

SnStatus sn_kernel_finish(SnKernel *k, SnError *err)
{
#ifndef NDEBUG
    SN_TRY(sn_kernel_verify(k, err));
#endif
    SnText text = {.memory = sn_allocator(sn_store_context(k->store))};
    sn_kernel_print(k, &text);
    const bool failed = text.failed;
    if (!failed)
        k->key = sn_hash128(text.at, text.n, 0);
    sn_text_clear(&text);
    SN_CHECK(!failed, err, SN_ENOMEM, "kernel %s: no memory to print it", k->name);
    return SN_OK;
}

SnStatus sn_kernel_end(SnKernelBuild *b, SnRef grid, SnError *err)
{
    SN_CHECK(!b->failed && !sn_store_failed(b->k->store), err, SN_ENOMEM, "kernel %s: no memory to build it",
             b->k->name);
    b->k->grid = grid;
    return sn_kernel_finish(b->k, err);
}

/* ---- what a kernel is made of ---- */

typedef struct Marks {
    uint64_t *word;
    SnRef top;
} Marks;

static void mark(Marks *m, SnRef r)
{
    m->word[r / 64] |= (uint64_t)(r != 0) << (r % 64); /* 0 is no term */
    if (r > m->top)
        m->top = r;
}

static void mark_body(Marks *m, const SnStmt *body)
{
    for (const SnStmt *s = body; s != NULL; s = s->next) {
        const SnRef used[] = {s->var, s->a, s->b, s->g, s->stream};
        for (size_t i = 0; i < SN_COUNT(used); i++)
            mark(m, used[i]);
        mark_body(m, s->body);
    }
}

/* A kernel is made of few of the store's terms: whole words of marks are empty. */
SnRef *sn_kernel_terms(const SnKernel *k, SnArena *arena, uint32_t *n)
{
    const SnAllocator *a = arena->memory;
    const size_t size = (sn_store_count(k->store) / 64 + 1) * sizeof(uint64_t);
    Marks m = {.word = (uint64_t *)sn_alloc_zero(a, size, sizeof(uint64_t))};
    if (m.word == NULL)
        return NULL;
    mark(&m, k->grid);
    mark(&m, k->tile);
    mark_body(&m, k->body);
    uint32_t count = 0;
    for (SnRef w = m.top / 64 + 1; w-- > 0;) {
        for (uint32_t bit = m.word[w] != 0 ? 64 : 0; bit-- > 0;) {
            if ((m.word[w] >> bit & 1) == 0)
                continue;
            count++;
            const SnTerm *t = sn_term(k->store, w * 64 + bit);
            for (int i = 0; i < t->narg; i++)
                mark(&m, t->arg[i]);
        }
    }
    SnRef *ref = (SnRef *)sn_arena_array(arena, count, sizeof *ref);
    *n = 0;
    for (SnRef w = 0; ref != NULL && w <= m.top / 64; w++) {
        for (uint32_t bit = 0; bit < 64 && m.word[w] >> bit != 0; bit++)
            if ((m.word[w] >> bit & 1) != 0)
                ref[(*n)++] = w * 64 + bit;
    }
    sn_free(a, m.word, size, sizeof(uint64_t));
    return ref;
}

uint32_t sn_kernel_term_find(const SnRef *terms, uint32_t n, SnRef r)
{
    uint32_t lo = 0, hi = n;
    while (lo < hi) {
        const uint32_t mid = lo + (hi - lo) / 2;
        if (terms[mid] < r)
            lo = mid + 1;
        else
            hi = mid;
    }
    SN_ASSERT(lo < n && terms[lo] == r);
    return lo;
}

/* ---- elements that are overwritten ---- */

#define OTHERS UINT32_MAX

/* What is loaded of a buffer to compute each term: nothing (0), the element at one index, or OTHERS. */
typedef struct Loads {
    const SnRef *term;
    uint32_t n;
    SnRef *at;
    int buf;
} Loads;

static SnRef loads_of(const Loads *x, SnRef r)
{
    return r == 0 ? 0 : x->at[sn_kernel_term_find(x->term, x->n, r)];
}

static SnRef both_loads(SnRef a, SnRef b)
{
    return a == 0 || a == b ? b : b == 0 ? a : OTHERS;
}

static bool is_own(const Loads *x, const SnStmt *body)
{
    bool is = true;
    for (const SnStmt *s = body; s != NULL && is; s = s->next) {
        const SnRef rest = loads_of(x, s->a) | loads_of(x, s->g) | loads_of(x, s->stream);
        const SnRef value = loads_of(x, s->b);
        const bool is_over = s->kind == SN_STMT_STORE && s->buf == x->buf && value == s->a;
        is = rest == 0 && (value == 0 || is_over) && is_own(x, s->body);
    }
    return is;
}

SnStatus sn_kernel_overwrites(const SnKernel *k, int buf, SnArena *arena, bool *out, SnError *err)
{
    const SnStore *s = k->store;
    Loads x = {.buf = buf};
    x.term = sn_kernel_terms(k, arena, &x.n);
    x.at = (SnRef *)sn_arena_array(arena, x.n, sizeof *x.at);
    SN_CHECK(x.term != NULL && x.at != NULL, err, SN_ENOMEM, "kernel %s: no memory", k->name);
    for (uint32_t i = 0; i < x.n; i++) {
        const SnTerm *t = sn_term(s, x.term[i]);
        for (int j = 0; j < t->narg; j++)
            x.at[i] = both_loads(x.at[i], loads_of(&x, t->arg[j]));
        if (t->op == SN_OP_LOAD && sn_attr_int(s, x.term[i], "buf", -1) == buf)
            x.at[i] = x.at[i] == 0 ? t->arg[0] : OTHERS;
    }
    *out = is_own(&x, k->body);
    return SN_OK;
}
