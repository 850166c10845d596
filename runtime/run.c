/* run.c -- walks the steps of a program.
 *
 * The state of a run is the step, the next tile of it, and the registers: so a run may stop between any two
 * ranges of tiles and go on later with equal bits. It stops where the next tile would end behind the
 * deadline, as far as its cost is known, but never before one range is done. Nothing here allocates once a
 * shape was planned. */
#include "runtime/instance.h"
#include "runtime/watch.h"

#define MAX_KERNEL_BUFFERS 16
#define MAX_KERNEL_DIMS    64
#define ALONE_NS           4000   /* a step of less work is done before others could help */
#define RANGE_NS           500000 /* of work in a range at most: a thread that lost its CPU has one to end */
#define COST_PER_NS        16     /* unit of SnInstance.tile_cost */
#define MAX_PARTS          32     /* jobs that begin at places of their own */

/* ---- what steps cost: decides who runs them, never what they give ---- */

/* A lower cost is believed at once, a higher one by and by: a thread may have waited for its CPU. */
static void learn_cost(SnInstance *s, int64_t ntile, uint64_t work_ns)
{
    uint32_t *cost = &s->tile_cost[s->pc];
    uint64_t seen = work_ns * COST_PER_NS / (uint64_t)ntile + 1;
    if (*cost != 0 && seen > *cost)
        seen = *cost + (seen - *cost) / 8;
    *cost = seen < UINT32_MAX ? (uint32_t)seen : UINT32_MAX;
}

/* What a tile of the step is expected to take; 0 where that is not known. */
static uint64_t tile_ns(const SnInstance *s)
{
    return s->tile_cost[s->pc] / COST_PER_NS;
}

/* How many tiles of the step are work of that long; as many as there may be where that is not known. */
static int64_t tiles_in(const SnInstance *s, int64_t ns)
{
    const uint32_t cost = s->tile_cost[s->pc];
    return cost != 0 ? ns * COST_PER_NS / (int64_t)cost : INT64_MAX;
}

/* ---- kernel steps ---- */

/* Tiles of a job, next and end, 32 bits each; alone in a line of the cache. */
typedef struct Part {
    _Alignas(64) _Atomic uint64_t at;
} Part;

/* A kernel of a step. */
typedef struct KernelCall {
    uint32_t kernel;
    SnKernelFn *fn;
    void *buffer[MAX_KERNEL_BUFFERS];
    uint64_t size[MAX_KERNEL_BUFFERS];
    int64_t dim[MAX_KERNEL_DIMS];
    int64_t begin, end; /* its tiles among those of all calls */
} KernelCall;

/* Steps that run at the same time: their tiles are numbered one step after the other. */
typedef struct KernelRun {
    SnInstance *s;
    KernelCall call[1 + SN_MAX_JOINED];
    uint32_t ncall;
    bool is_whole, is_timed;
    int64_t end, share, most; /* tiles; a range is one of `share` parts of what is left, `most` at most */
    _Atomic int64_t next;
    Part part[MAX_PARTS];
    uint32_t npart;           /* 0: ranges are taken from `next` */
    uint32_t njob;            /* the one behind them has other work */
    _Atomic uint64_t work_ns; /* of all jobs, where it is timed */
    atomic_int status;
    atomic_flag failed;
    SnError *err;
} KernelRun;

static void run_call(KernelRun *k, KernelCall *c, int64_t first, int64_t last)
{
    if (c->fn) {
        c->fn(c->buffer, c->dim, first, last);
        return;
    }
    SnError err = {0};
    SnModule *m = k->s->program->module;
    const SnStatus st = m->run(m, c->kernel, c->buffer, c->size, c->dim, first, last, &err);
    if (st == SN_OK || atomic_flag_test_and_set(&k->failed))
        return;
    if (k->err)
        *k->err = err;
    atomic_store(&k->status, (int)st);
}

static void run_range(KernelRun *k, int64_t first, int64_t last)
{
    for (uint32_t i = 0; i < k->ncall; i++) {
        KernelCall *c = &k->call[i];
        const int64_t from = first > c->begin ? first : c->begin, to = last < c->end ? last : c->end;
        if (from < to)
            run_call(k, c, from - c->begin, to - c->begin);
    }
}

static uint64_t part_of(uint64_t next, uint64_t end)
{
    return next | end << 32;
}

/* A quarter of what a part has left from its front, or half of it from its back. */
static bool take_part(KernelRun *k, uint32_t i, bool is_own, int64_t *first, int64_t *last)
{
    uint64_t old = atomic_load_explicit(&k->part[i].at, memory_order_relaxed);
    for (;;) {
        const int64_t next = (int64_t)(uint32_t)old, end = (int64_t)(old >> 32), left = end - next;
        int64_t take = is_own ? (left + 3) / 4 : (left + 1) / 2;
        take = take > k->most ? k->most > 1 ? k->most : 1 : take;
        if (left <= 0)
            return false;
        *first = is_own ? next : end - take;
        *last = *first + take;
        const uint64_t now =
            is_own ? part_of((uint64_t)*last, (uint64_t)end) : part_of((uint64_t)next, (uint64_t)*first);
        if (atomic_compare_exchange_weak_explicit(&k->part[i].at, &old, now, memory_order_relaxed,
                                                  memory_order_relaxed))
            return true;
    }
}

/* Tiles side by side are weights side by side: each job walks a part of its own, which memory is fast at,
 * and then helps the others. */
static void run_parts(KernelRun *k, uint32_t job)
{
    int64_t first, last;
    for (uint32_t i = 0; i < k->npart; i++)
        while (!atomic_load_explicit(&k->s->cancel, memory_order_relaxed) &&
               take_part(k, (job + i) % k->npart, i == 0, &first, &last))
            run_range(k, first, last);
}

static bool is_done(const KernelRun *k)
{
    for (uint32_t i = 0; i < k->npart; i++) {
        const uint64_t at = atomic_load_explicit(&k->part[i].at, memory_order_relaxed);
        if ((uint32_t)at < at >> 32)
            return false;
    }
    return true;
}

/* Equal parts, where all tiles are to be done now. */
static void begin_parts(KernelRun *k, int64_t first, uint32_t n)
{
    const int64_t ntile = k->end - first;
    k->npart = k->s->deadline == 0 && n <= MAX_PARTS && k->end <= INT32_MAX ? n : 0;
    for (uint32_t i = 0; i < k->npart; i++) {
        const int64_t from = first + ntile * i / n, to = first + ntile * (i + 1) / n;
        atomic_init(&k->part[i].at, part_of((uint64_t)from, (uint64_t)to));
    }
    if (k->npart)
        atomic_init(&k->next, k->end);
}

/* Takes ranges until none is left or the time is up. Ranges that were taken are finished. */
static void run_ranges(KernelRun *k)
{
    const uint64_t deadline = k->s->deadline, ahead = tile_ns(k->s);
    while (!atomic_load_explicit(&k->s->cancel, memory_order_relaxed)) {
        /* Relaxed: the counter only hands out numbers; parallel() orders the tiles' memory. */
        const int64_t left = k->end - atomic_load_explicit(&k->next, memory_order_relaxed);
        int64_t take = deadline && !k->is_whole ? 1 : left / k->share;
        take = take > k->most ? k->most : take;
        take = take < 1 ? 1 : take;
        const int64_t first = atomic_fetch_add_explicit(&k->next, take, memory_order_relaxed);
        if (first >= k->end)
            break;
        run_range(k, first, first + take < k->end ? first + take : k->end);
        if (deadline && sn_now_ns() + ahead >= deadline)
            break;
    }
}

/* One job at a time; the flag orders what they write for each other. */
static void run_beside(SnContext *ctx)
{
    if (atomic_flag_test_and_set_explicit(&ctx->is_beside, memory_order_acquire))
        return;
    ctx->beside(ctx->beside_arg);
    atomic_flag_clear_explicit(&ctx->is_beside, memory_order_release);
}

static void run_tiles(void *arg, uint32_t job)
{
    KernelRun *k = arg;
    if (job == k->njob) {
        run_beside(k->s->ctx);
        return;
    }
    const uint64_t begin = k->is_timed ? sn_now_ns() : 0;
    const uint32_t env = sn_fpenv_begin();
    if (k->npart)
        run_parts(k, job);
    else
        run_ranges(k);
    sn_fpenv_end(env);
    if (k->is_timed)
        atomic_fetch_add_explicit(&k->work_ns, sn_now_ns() - begin, memory_order_relaxed);
}

static void begin_call(KernelRun *k, const SnStepRow *step)
{
    const SnInstance *s = k->s;
    const uint32_t *operand = SN_ROWS(s->image, uint32_t, operand);
    KernelCall *c = &k->call[k->ncall++];
    c->kernel = step->a;
    c->fn = s->program->fn ? s->program->fn[step->a] : NULL;
    c->begin = k->end;
    k->end += s->plan.reg[step->b];
    c->end = k->end;
    for (uint32_t i = 0; i < step->buffer.count; i++) {
        const SnPlanBuffer *b = &s->plan.buffer[operand[step->buffer.first + i]];
        c->buffer[i] = b->at;
        c->size[i] = b->size;
    }
    for (uint32_t i = 0; i < step->dim.count; i++)
        c->dim[i] = s->plan.reg[operand[step->dim.first + i]];
}

/* A trace shows each step by itself. */
static void begin_kernels(KernelRun *k, SnInstance *s, const SnStepRow *step, SnError *err)
{
    k->s = s;
    k->ncall = k->npart = 0;
    k->end = 0;
    k->is_whole = s->program->fn == NULL && s->program->module->is_whole;
    k->err = err;
    const uint32_t n = s->ctx->trace.event || s->watch || k->is_whole ? 0 : step->njoined;
    for (uint32_t i = 0; i <= n && i <= SN_MAX_JOINED; i++)
        begin_call(k, step + i);
    atomic_init(&k->next, s->tile);
    atomic_init(&k->work_ns, 0);
    atomic_init(&k->status, SN_OK);
    atomic_flag_clear(&k->failed);
}

static SnStatus run_kernel(SnInstance *s, const SnStepRow *step, bool *done, SnError *err)
{
    const SnJobs *jobs = &s->ctx->jobs;
    KernelRun k;
    begin_kernels(&k, s, step, err);
    const int64_t first = s->tile, ntile = k.end - first;
    const bool can_share = ntile > 1 && jobs->width > 1 && !k.is_whole;
    k.is_timed = can_share || (s->deadline && ntile > 0);
    k.njob = jobs->width;
    const int64_t alone = tiles_in(s, ALONE_NS);
    const bool is_shared = can_share && (alone == INT64_MAX || ntile > alone);
    k.share = is_shared ? 4 * (int64_t)jobs->width : 1;
    k.most = is_shared ? tiles_in(s, RANGE_NS) : INT64_MAX;
    if (is_shared)
        begin_parts(&k, first, jobs->width);
    if (is_shared)
        jobs->parallel(jobs->self, k.njob + (s->ctx->beside != NULL), run_tiles, &k);
    else if (ntile > 0)
        run_tiles(&k, 0);
    const SnStatus st = (SnStatus)atomic_load(&k.status);
    if (st != SN_OK)
        return st;
    SN_CHECK(!k.npart || is_done(&k), err, SN_ECANCELLED, "cancelled");
    const int64_t next = atomic_load(&k.next) < k.end ? atomic_load(&k.next) : k.end;
    if (k.is_timed && next > first)
        learn_cost(s, next - first, atomic_load(&k.work_ns));
    *done = next >= k.end;
    s->tile = *done ? 0 : next;
    s->pc += *done ? k.ncall : 0;
    return SN_OK;
}

/* ---- host steps ---- */

static SnView host_view(const SnInstance *s, const SnHostSlotRow *h)
{
    SnView v = {.dtype = (SnDtype)h->dtype, .ndim = (int32_t)h->ndim};
    for (uint32_t i = 0; i < h->ndim; i++)
        v.dims[i] = s->plan.reg[h->dim_reg[i]];
    v.data = s->plan.buffer[h->buffer[0]].at;
    if (h->kind == SN_HOST_LIST) {
        v.start = s->plan.buffer[h->buffer[0]].at;
        v.len = s->plan.buffer[h->buffer[1]].at;
        v.data = s->plan.buffer[h->buffer[2]].at;
        v.child_count = s->plan.reg[h->child_reg];
    } else if (h->kind == SN_HOST_OBJECT) {
        v.ndim = 1;
        v.dims[0] = (int64_t)s->plan.buffer[h->buffer[0]].size;
    }
    return v;
}

static SnStatus run_host(SnInstance *s, const SnStepRow *step, bool *done, SnError *err)
{
    const SnHostRow *h = SN_ROWS(s->image, SnHostRow, host) + step->a;
    const SnHostSlotRow *slot = SN_ROWS(s->image, SnHostSlotRow, host_slot) + h->first;
    for (uint32_t i = 0; i < h->nin + h->nout; i++)
        s->host_view[i] = host_view(s, &slot[i]);
    SnHostCall call = {.in = s->host_view,
                       .nin = h->nin,
                       .out = s->host_view + h->nin,
                       .nout = h->nout,
                       .attr = SN_ROWS(s->image, SnScalar, attr) + h->attr.first,
                       .nattr = h->attr.count,
                       .memo = h->memo ? s->memo + h->memo_at : NULL,
                       .memo_size = (size_t)h->memo,
                       .deadline_ns = s->deadline,
                       .has_v3 = s->program->ctx->cpu_level >= SN_CPU_V3};
    if (step->b != SN_NONE) {
        call.scratch = s->plan.buffer[step->b].at;
        call.scratch_size = (size_t)s->plan.buffer[step->b].size;
        if (s->tile == 0)
            memset(call.scratch, 0, call.scratch_size < SN_HOST_STATE ? call.scratch_size : SN_HOST_STATE);
    }
    const SnStatus st = s->program->host[h->fn](&call, err);
    *done = st != SN_AGAIN;
    s->tile = *done ? 0 : 1;
    return *done ? st : SN_OK;
}

/* ---- other steps ---- */

static uint8_t *copy_end(const SnInstance *s, uint32_t buffer, uint32_t times, int64_t bytes)
{
    const int64_t offset = times == SN_NONE ? 0 : s->plan.reg[times] * bytes;
    SN_ASSERT(offset >= 0 && (uint64_t)(offset + bytes) <= s->plan.buffer[buffer].size);
    return (uint8_t *)s->plan.buffer[buffer].at + offset;
}

static SnStatus run_measure(SnInstance *s, const SnStepRow *step, SnError *err)
{
    const uint32_t b = SN_ROWS(s->image, uint32_t, operand)[step->buffer.first];
    const SnScalar v = sn_scalar_load((SnDtype)step->d, s->plan.buffer[b].at);
    const int64_t bound = step->b == SN_NONE ? INT64_MAX : s->plan.reg[step->b];
    SN_CHECK(v.i >= 0 && v.i <= bound, err, SN_ESHAPE, "%s: measured %lld, allowed 0 to %lld",
             sn_instance_text(s, step->e), (long long)v.i, (long long)bound);
    sn_plan_set(&s->plan, step->a, v.i, step->b == SN_NONE ? INT64_MAX : s->plan.bucket[step->b]);
    SN_TRY(sn_plan_point(&s->plan, step->c, err));
    /* A measure at top level begins a segment; inside loops buffers are at the bound. */
    const SnRange seg = s->entry->segment;
    if (step->begins_segment && s->segment + 1 < seg.first + seg.count)
        SN_TRY(sn_plan_segment(&s->plan, ++s->segment, err));
    return SN_OK;
}

/* Steps that finish at once; sets the next step. */
static SnStatus run_small(SnInstance *s, const SnStepRow *step, SnError *err)
{
    const uint32_t *operand = SN_ROWS(s->image, uint32_t, operand) + step->buffer.first;
    SnPlan *p = &s->plan;
    uint32_t next = s->pc + 1;
    switch ((SnStepKind)step->kind) {
    case SN_STEP_COPY: {
        const int64_t bytes = p->reg[step->a];
        if (bytes > 0)
            memmove(copy_end(s, operand[0], step->b, bytes), copy_end(s, operand[1], step->c, bytes),
                    (size_t)bytes);
        break;
    }
    case SN_STEP_ZERO:
        memset(p->buffer[operand[0]].at, 0, (size_t)p->reg[step->a]);
        break;
    case SN_STEP_MEASURE:
        SN_TRY(run_measure(s, step, err));
        break;
    case SN_STEP_SET:
        p->reg[step->a] = p->bucket[step->a] = (int64_t)step->b;
        break;
    case SN_STEP_INC:
        p->reg[step->a]++;
        if (s->reader.n)
            sn_instance_show_rows(s, step->a);
        break;
    case SN_STEP_PUT:
        memcpy(p->buffer[operand[0]].at, &p->reg[step->a], sizeof(int64_t));
        break;
    case SN_STEP_BRANCH_GE:
        if (p->reg[step->a] >= p->reg[step->b])
            next = step->c;
        break;
    case SN_STEP_BRANCH_ZERO:
        if (*(const uint8_t *)p->buffer[operand[0]].at == 0 || (step->d && atomic_load(&s->stop)))
            next = step->c;
        break;
    case SN_STEP_JUMP:
        next = step->c;
        break;
    case SN_STEP_BELOW:
        SN_CHECK(p->reg[step->a] < p->reg[step->b], err, SN_ESHAPE, "%s: there is no row %lld of %lld",
                 sn_instance_text(s, step->e), (long long)p->reg[step->a], (long long)p->reg[step->b]);
        break;
    case SN_STEP_KERNEL:
    case SN_STEP_HOST:
        return sn_fail(err, SN_EINTERNAL, "step %u is no small step", s->pc);
    }
    s->pc = next;
    return SN_OK;
}

static void trace_step(const SnInstance *s, const SnStepRow *step, uint32_t pc, uint64_t begin)
{
    SnTraceEvent e = {.step = pc, .begin_ns = begin, .end_ns = sn_now_ns()};
    const uint32_t *operand = SN_ROWS(s->image, uint32_t, operand) + step->buffer.first;
    if (step->kind == SN_STEP_KERNEL) {
        e.name = sn_instance_text(s, SN_ROWS(s->image, SnKernelRow, kernel)[step->a].name);
        e.tiles = s->plan.reg[step->b];
        e.flops = (uint64_t)s->plan.reg[step->c];
        e.bytes = (uint64_t)s->plan.reg[step->d];
    } else if (step->kind == SN_STEP_HOST) {
        e.name = sn_instance_text(s, SN_ROWS(s->image, SnHostRow, host)[step->a].name);
    } else {
        e.name = step->kind == SN_STEP_COPY ? "copy" : "control";
    }
    for (uint32_t i = 0; i < step->buffer.count && step->kind != SN_STEP_KERNEL; i++)
        e.bytes +=
            step->kind == SN_STEP_COPY ? (uint64_t)s->plan.reg[step->a] : s->plan.buffer[operand[i]].size;
    s->ctx->trace.event(s->ctx->trace.self, &e);
}

SnStatus sn_instance_steps(SnInstance *s, bool *all_done, SnError *err)
{
    const SnStepRow *row = SN_ROWS(s->image, SnStepRow, step);
    const uint32_t end = s->entry->step.first + s->entry->step.count;
    while (s->pc < end) {
        SN_CHECK(!atomic_load(&s->cancel), err, SN_ECANCELLED, "cancelled");
        const SnStepRow *step = &row[s->pc];
        const uint64_t begin = s->ctx->trace.event ? sn_now_ns() : 0;
        const uint32_t pc = s->pc;
        bool done = true;
        if (s->watch)
            sn_watch_before(s, pc);
        if (step->kind == SN_STEP_KERNEL)
            SN_TRY(run_kernel(s, step, &done, err));
        else if (step->kind == SN_STEP_HOST)
            SN_TRY(run_host(s, step, &done, err));
        else
            SN_TRY(run_small(s, step, err));
        if (begin)
            trace_step(s, step, pc, begin);
        if (s->watch)
            sn_watch_after(s, step, pc);
        if (done && step->kind == SN_STEP_HOST)
            s->pc++;
        if (s->deadline && s->pc < end && sn_now_ns() + tile_ns(s) >= s->deadline)
            return SN_OK;
    }
    *all_done = true;
    return SN_OK;
}
