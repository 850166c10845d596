/* twin.c -- see twin.h. */
#include "tests/ops/twin.h"

#include "ops/ops.h"
#include "runtime/instance.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#define RUBBISH  0xA5
#define FOREVER  0xFFFFFFFEu
#define F32_NEAR 2e-5
#define F16_NEAR 2e-2

uint32_t twin_random(Twin *t, uint32_t below)
{
    t->random ^= t->random << 13;
    t->random ^= t->random >> 7;
    t->random ^= t->random << 17;
    return (uint32_t)(t->random >> 33) % below;
}

static void complain(const Twin *t, const char *what, const char *who)
{
    fail_msg("%s: run %s: %s: %s", t->title, t->run, who, what);
}

/* ---- sizes and ranges ---- */

/* The text behind "NAME=" in "a=1 b=2..3"; NULL: not there. */
static const char *find_setting(const char *text, const char *name)
{
    const size_t n = strlen(name);
    for (const char *at = text; *at;) {
        if (strncmp(at, name, n) == 0 && at[n] == '=')
            return at + n + 1;
        at += strcspn(at, " ");
        at += strspn(at, " ");
    }
    return NULL;
}

typedef struct Sizes {
    const SnStore *s;
    const char *text;
} Sizes;

static bool symbol_size(void *self, SnRef leaf, int64_t *value)
{
    const Sizes *z = self;
    const char *name = sn_attr_string(z->s, leaf, "name");
    const char *at = name ? find_setting(z->text, name) : NULL;
    *value = at ? strtoll(at, NULL, 10) : 0;
    return at != NULL;
}

static void value_range(const char *text, const char *name, int64_t *lo, int64_t *hi)
{
    const char *at = find_setting(text, name);
    *lo = -4;
    *hi = 4;
    if (!at)
        return;
    char *end = NULL;
    *lo = *hi = strtoll(at, &end, 10);
    if (strncmp(end, "..", 2) == 0)
        *hi = strtoll(end + 2, NULL, 10);
}

/* ---- inputs ---- */

static void fill(Twin *t, SnDtype dtype, void *at, int64_t n, int64_t lo, int64_t hi)
{
    for (int64_t i = 0; i < n; i++) {
        const int64_t v = lo + (int64_t)twin_random(t, (uint32_t)(hi - lo + 1));
        const SnScalar s =
            sn_scalar_cast(SN_I64, dtype, (SnScalar){.i = dtype == SN_BOOL ? v & 1 : v}, false);
        sn_scalar_store(dtype, (uint8_t *)at + (size_t)i * sn_dtype_size(dtype), s);
    }
}

static void *scratch(Twin *t, int64_t n, size_t size)
{
    void *at = sn_arena_array(&t->arena, (size_t)n + 16, size);
    assert_non_null(at);
    return at;
}

/* Often dense; else columns first, or every other element, and aligned to no more than an element. */
static void add_tensor(Twin *t, const char *name, SnDtype dtype, int ndim, const int64_t *dims, int64_t lo,
                       int64_t hi)
{
    const int64_t apart = twin_random(t, 4) == 0 ? 2 : 1;
    const bool is_turned = twin_random(t, 3) == 0;
    int64_t count = 1, stride = apart;
    for (int i = 0; i < ndim; i++)
        count *= dims[i];
    uint8_t *at = scratch(t, count * apart, sn_dtype_size(dtype));
    at += sn_dtype_size(dtype) * twin_random(t, 4);
    fill(t, dtype, at, count * apart, lo, hi);
    SnView v = sn_view(dtype, at, ndim, dims);
    for (int i = 0; (is_turned || apart > 1) && i < ndim; i++) {
        const int axis = is_turned ? i : ndim - 1 - i;
        v.strides[axis] = stride;
        stride *= dims[axis];
    }
    t->in[t->nin++] = (SnNamedView){name, v};
}

static void add_list(Twin *t, const char *name, SnDtype dtype, int ndim, const int64_t *dims, int64_t size,
                     int64_t lo, int64_t hi)
{
    int64_t count = 1;
    for (int i = 0; i < ndim; i++)
        count *= dims[i];
    void *child = scratch(t, size, sn_dtype_size(dtype));
    int64_t *start = scratch(t, count, sizeof *start), *len = scratch(t, count, sizeof *len);
    fill(t, dtype, child, size, lo, hi);
    for (int64_t i = 0; i < count; i++) {
        start[i] = (int64_t)twin_random(t, (uint32_t)size + 1);
        len[i] = (int64_t)twin_random(t, (uint32_t)(size - start[i] < 4 ? size - start[i] : 4) + 1);
    }
    SnView v = sn_view(dtype, child, ndim, dims);
    v.start = start;
    v.len = len;
    v.child_count = size;
    t->in[t->nin++] = (SnNamedView){name, v};
}

static void add_input(Twin *t, const SnStore *s, SnRef r, const char *run)
{
    const SnType *type = sn_type_of(s, r);
    const char *name = sn_attr_string(s, r, "name");
    Sizes sizes = {s, run};
    int64_t dims[SN_MAX_RANK], lo, hi, size = 0;
    assert_true(t->nin < TWIN_VALUES);
    value_range(run, name, &lo, &hi);
    for (int i = 0; i < type->ndim; i++)
        if (!sn_dim_eval(s, type->dims[i], symbol_size, &sizes, &dims[i]))
            complain(t, "an input has a dim of unknown size", name);
    if (type->kind == SN_TYPE_TENSOR) {
        add_tensor(t, name, type->dtype, type->ndim, dims, lo, hi);
        return;
    }
    if (!sn_dim_eval(s, type->bound, symbol_size, &sizes, &size))
        complain(t, "a list of unknown size", name);
    add_list(t, name, type->dtype, type->ndim, dims, size, lo, hi);
}

static void add_inputs(Twin *t, const char *entry, const char *run)
{
    const SnStore *s = sn_graph_store(t->g);
    const SnRef root = sn_graph_root(t->g);
    bool *need = sn_arena_array(&t->arena, root + 1u, 1);
    assert_non_null(need);
    for (int i = 0; i < sn_term(s, root)->narg; i++) {
        const SnRef e = sn_term(s, root)->arg[i];
        if (!entry || strcmp(entry, sn_attr_string(s, e, "name")) == 0) {
            need[e] = true;
            break;
        }
    }
    for (SnRef r = root; r > 0; r--)
        for (int i = 0; need[r] && i < sn_term(s, r)->narg; i++)
            need[sn_term(s, r)->arg[i]] = true;
    for (SnRef r = 1; r <= root; r++)
        if (need[r] && sn_term(s, r)->op == SN_OP_INPUT)
            add_input(t, s, r, run);
}

/* ---- the evaluator's side ---- */

static int64_t count_of(const SnView *v)
{
    int64_t n = 1;
    for (int i = 0; i < v->ndim; i++)
        n *= v->dims[i];
    return n;
}

static void *copy_of(const void *at, size_t n)
{
    void *copy = test_malloc(n + 1);
    if (n)
        memcpy(copy, at, n);
    return copy;
}

static void free_named(SnNamedView *v)
{
    test_free((void *)(uintptr_t)v->name);
    test_free(v->view.data);
    test_free((void *)(uintptr_t)v->view.start);
    test_free((void *)(uintptr_t)v->view.len);
}

static void clear_state(Twin *t)
{
    for (size_t i = 0; i < t->nstate; i++)
        free_named(&t->state[i]);
    t->nstate = 0;
}

/* What the evaluator gives for carries; a carry that an entry leaves alone keeps its value. */
static void set_state(Twin *t, const SnNamedView *v)
{
    SnNamedView own = {copy_of(v->name, strlen(v->name) + 1), v->view};
    const int64_t n = v->view.start ? v->view.child_count : count_of(&v->view);
    own.view.data = copy_of(v->view.data, (size_t)n * sn_dtype_size(v->view.dtype));
    if (v->view.start) {
        own.view.start = copy_of(v->view.start, (size_t)count_of(&v->view) * sizeof(int64_t));
        own.view.len = copy_of(v->view.len, (size_t)count_of(&v->view) * sizeof(int64_t));
    }
    size_t at = 0;
    while (at < t->nstate && strcmp(t->state[at].name, v->name) != 0)
        at++;
    assert_true(at < TWIN_VALUES);
    if (at < t->nstate)
        free_named(&t->state[at]);
    else
        t->nstate++;
    t->state[at] = own;
}

/* ---- comparing ---- */

static bool is_near(SnDtype d, double a, double b)
{
    if (isnan(a) || isnan(b) || isinf(a) || isinf(b))
        return a == b || (isnan(a) && isnan(b));
    const double near = d == SN_F16 || d == SN_BF16 ? F16_NEAR : d == SN_F64 ? 1e-9 : F32_NEAR;
    return fabs(a - b) <= near * (1 + fabs(b));
}

static void compare_elements(const Twin *t, const char *who, const char *name, SnDtype d, const void *a,
                             const void *b, int64_t n, bool exact)
{
    for (int64_t i = 0; i < n; i++) {
        const size_t at = (size_t)i * sn_dtype_size(d);
        const SnScalar x = sn_scalar_load(d, (const uint8_t *)a + at),
                       y = sn_scalar_load(d, (const uint8_t *)b + at);
        const bool is_float = sn_dtype_is_float(d);
        if (is_float && !exact ? is_near(d, x.f, y.f) : x.u == y.u)
            continue;
        if (is_float)
            fail_msg("%s: run %s: %s: %s[%lld] is %.9g, expected %.9g", t->title, t->run, who, name,
                     (long long)i, x.f, y.f);
        fail_msg("%s: run %s: %s: %s[%lld] is %lld, expected %lld", t->title, t->run, who, name, (long long)i,
                 (long long)x.i, (long long)y.i);
    }
}

static void compare_views(const Twin *t, const char *who, const char *name, const SnView *a, const SnView *b,
                          bool exact)
{
    bool same = a->dtype == b->dtype && a->ndim == b->ndim && !a->start == !b->start;
    for (int i = 0; same && i < a->ndim; i++)
        same = a->dims[i] == b->dims[i];
    if (!same)
        fail_msg("%s: run %s: %s: %s has rank %d, dims %lld %lld, expected %d, %lld %lld", t->title, t->run,
                 who, name, a->ndim, (long long)a->dims[0], (long long)a->dims[1], b->ndim,
                 (long long)b->dims[0], (long long)b->dims[1]);
    if (!a->start) {
        compare_elements(t, who, name, a->dtype, a->data, b->data, count_of(a), exact);
        return;
    }
    for (int64_t i = 0; i < count_of(a); i++) {
        const size_t size = sn_dtype_size(a->dtype);
        compare_elements(t, who, "length", SN_I64, &a->len[i], &b->len[i], 1, true);
        if (a->start[i] < 0 || a->start[i] + a->len[i] > a->child_count)
            complain(t, "a list element lies outside of its child", who);
        compare_elements(t, who, name, a->dtype, (const uint8_t *)a->data + (size_t)a->start[i] * size,
                         (const uint8_t *)b->data + (size_t)b->start[i] * size, a->len[i], exact);
    }
}

/* ---- instances ---- */

static void spoil(SnInstance *s)
{
    for (uint32_t i = 0; i < s->image->nsegment; i++)
        if (s->plan.block[i].at)
            memset(s->plan.block[i].at, RUBBISH, (size_t)s->plan.block[i].size);
}

/* Without sharing every scratch buffer lives from the first step to the last. */
static void set_sharing(Twin *t, int target, bool shares)
{
    const SnImage *m = t->program[target]->image;
    SnBufferRow *row = (SnBufferRow *)(uintptr_t)SN_ROWS(m, SnBufferRow, buffer);
    memcpy(row, t->rows[target], m->buffer.count * sizeof *row);
    for (uint32_t i = 0; !shares && i < m->buffer.count; i++) {
        row[i].first = 0;
        row[i].last = FOREVER;
    }
}

static SnStatus run_instance(Twin *t, int which, const char *entry, SnError *err)
{
    SnInstance *s = t->instance[which];
    const bool is_sliced = twin_random(t, 4) == 0;
    const uint64_t random = t->random;
    bool done = false;
    if (entry)
        SN_TRY(sn_entry(s, entry, err));
    spoil(s);
    set_sharing(t, which / 2, which % 2 == 0);
    for (size_t i = 0; i < t->nin; i++)
        SN_TRY(sn_bind(s, t->in[i].name, &t->in[i].view, err));
    if (!is_sliced)
        return sn_run(s, err);
    SnStatus st = SN_OK;
    while (st == SN_OK && !done)
        st = sn_run_some(s, 1 + twin_random(t, 20000), &done, err);
    t->random = random; /* how many slices there are depends on the time */
    return st;
}

static const char *instance_name(const Twin *t, int i)
{
    static const char *const how[] = {"", " without sharing"};
    static char name[64];
    snprintf(name, sizeof name, "%s%s", t->target[i / 2], how[i % 2]);
    return name;
}

/* Results of instance i against those of the evaluator and, bit by bit, of instance 0. */
static void check_results(Twin *t, int i, const char *entry, const SnEvalResult *want)
{
    SnError err;
    SnSlotInfo info;
    for (uint32_t k = 0; sn_program_output(t->program[i / 2], entry, k, &info); k++) {
        const SnNamedView *e = sn_eval_get(want, k);
        SnView got, first;
        for (size_t j = 0; e && strcmp(e->name, info.name) != 0; j++)
            e = sn_eval_get(want, j);
        if (!e)
            complain(t, "the evaluator has no such result", info.name);
        assert_ok(sn_result(t->instance[i], info.name, &got, &err));
        assert_ok(sn_result(t->instance[0], info.name, &first, &err));
        compare_views(t, instance_name(t, i), info.name, &got, &e->view, false);
        compare_views(t, instance_name(t, i), info.name, &got, &first, true);
    }
}

static SnStatus run_all(Twin *t, const char *entry)
{
    SnError err, eval_err;
    SnEvalResult *want = NULL;
    SnNamedView all[3 * TWIN_VALUES];
    memcpy(all, t->in, t->nin * sizeof *all);
    memcpy(all + t->nin, t->state, t->nstate * sizeof *all);
    memcpy(all + t->nin + t->nstate, t->given, t->ngiven * sizeof *all);
    const SnStatus expected =
        sn_eval(t->g, sn_graph_root(t->g), entry, all, t->nin + t->nstate + t->ngiven, &want, &eval_err);
    for (int i = 0; i < 2 * t->ntarget; i++) {
        const SnStatus st = run_instance(t, i, entry, &err);
        if (st != expected)
            fail_msg("%s: run %s: %s: %s (%s), expected %s (%s)", t->title, t->run, instance_name(t, i),
                     sn_status_name(st), st ? err.message : "", sn_status_name(expected),
                     expected ? eval_err.message : "");
        if (st == SN_OK)
            check_results(t, i, entry, want);
    }
    SnSlotInfo info;
    uint32_t nresult = 0;
    while (sn_program_output(t->program[0], entry, nresult, &info))
        nresult++;
    for (size_t i = nresult; expected == SN_OK && i < sn_eval_count(want); i++)
        set_state(t, sn_eval_get(want, i));
    if (expected == SN_OK)
        sn_eval_destroy(want);
    return expected;
}

SnStatus twin_run(Twin *t, const char *run)
{
    char entry[32] = "";
    snprintf(t->run, sizeof t->run, "%s", run);
    if (*run == '@') {
        const size_t n = strcspn(run + 1, " ");
        snprintf(entry, sizeof entry, "%.*s", (int)n, run + 1);
        run += 1 + n;
        run += strspn(run, " ");
    }
    sn_arena_init(&t->arena, sn_allocator(t->ctx[0]));
    t->nin = 0;
    add_inputs(t, *entry ? entry : NULL, run);
    const SnStatus st = run_all(t, *entry ? entry : NULL);
    sn_arena_clear(&t->arena);
    return st;
}

void twin_reset(Twin *t)
{
    SnError err;
    clear_state(t);
    for (int i = 0; i < 2 * t->ntarget; i++)
        assert_ok(sn_reset(t->instance[i], &err));
}

/* ---- life ---- */

void twin_open(Twin *t, const char *title, const char *const *target, int ntarget, uint64_t seed)
{
    SnError err;
    *t = (Twin){
        .title = title, .target = target, .ntarget = ntarget, .random = seed * 0x9E3779B97F4A7C15u + 1};
    const SnCompilerDesc desc = {.struct_size = sizeof desc, .ops = sn_all_ops, .backends = sn_all_backends};
    assert_true(ntarget <= TWIN_TARGETS);
    for (int i = 0; i < 2; i++) {
        const SnContextDesc host = {.struct_size = sizeof host, .cpu_level = i == 0 ? NULL : "v3"};
        assert_ok(sn_context_create(&host, &t->ctx[i], &err));
        assert_ok(sn_compiler_create(t->ctx[i], &desc, &t->cc[i], &err));
    }
    assert_ok(sn_graph_create(t->cc[0], &t->g, &err));
}

void twin_compile(Twin *t, const char *create)
{
    SnError err;
    SnInstanceDesc desc = {.struct_size = sizeof desc};
    for (const char *at = create ? create : ""; *at; desc.ndim++) {
        const size_t n = strcspn(at, "=");
        assert_true(desc.ndim < SN_COUNT(t->create) && at[n] == '=');
        snprintf(t->create_name[desc.ndim], sizeof t->create_name[0], "%.*s", (int)n, at);
        desc.dim[desc.ndim].symbol = t->create_name[desc.ndim];
        desc.dim[desc.ndim].value = strtoll(at + n + 1, NULL, 10);
        t->create[desc.ndim] = desc.dim[desc.ndim].value;
        t->given[t->ngiven++] =
            (SnNamedView){t->create_name[desc.ndim], sn_view(SN_I64, &t->create[desc.ndim], 0, NULL)};
        at += strcspn(at, " ");
        at += strspn(at, " ");
    }
    for (int i = 0; i < t->ntarget; i++) {
        const bool is_v3 = strcmp(t->target[i], "v3") == 0;
        const SnCompileOptions o = {.struct_size = sizeof o, .target = is_v3 ? "cpu" : t->target[i]};
        const SnStatus st = sn_compile(t->cc[is_v3], t->g, &o, &t->program[i], &err);
        if (st != SN_OK)
            fail_msg("%s: %s: %s (%s)", t->title, t->target[i], sn_status_name(st), err.message);
        SnInstance **s = &t->instance[2 * i];
        assert_ok(sn_instance_create(t->program[i], create ? &desc : NULL, &s[0], &err));
        assert_ok(sn_instance_create(t->program[i], create ? &desc : NULL, &s[1], &err));
        const SnImage *m = t->program[i]->image;
        t->rows[i] = copy_of(SN_ROWS(m, SnBufferRow, buffer), m->buffer.count * sizeof(SnBufferRow));
    }
}

void twin_close(Twin *t)
{
    clear_state(t);
    for (int i = 0; i < 2 * t->ntarget; i++)
        sn_instance_destroy(t->instance[i]);
    for (int i = 0; i < t->ntarget; i++) {
        sn_program_release(t->program[i]);
        test_free(t->rows[i]);
    }
    sn_graph_destroy(t->g);
    for (int i = 0; i < 2; i++) {
        sn_compiler_destroy(t->cc[i]);
        sn_context_destroy(t->ctx[i]);
    }
}
