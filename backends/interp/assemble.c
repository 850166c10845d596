/* assemble.c -- kernel ▶ instructions of the interpreter.
 *
 * A pure term (indices, dims, constants) is evaluated once, where the innermost of its loops begins; what
 * depends on a load once per statement. Places in the frame are handed out as on a stack: those of a loop
 * until it ends, those of a statement until the next. */
#include "backends/interp/interp.h"

#include "compiler/scalar.h"

#define PROLOGUE 0u /* levels: once a call, once a tile, then loops in order of appearance */
#define TILE     1u

typedef struct Place {
    uint32_t at;    /* in the frame */
    uint32_t lanes; /* 1: the same for all */
    uint32_t level; /* of a pure term: that of its innermost loop */
    bool is_pure;
    bool is_ready; /* its value is in the frame here */
    bool is_used;  /* by this statement */
} Place;

typedef struct Local {
    uint32_t at, size; /* in the frame */
} Local;

typedef struct Assembler {
    const SnKernel *k;
    const SnStore *s;
    SnArena *arena;
    SnError *err;
    SnRef *term;
    Place *place;
    bool *is_lane; /* of each term: depends on a lane */
    uint32_t nterm;
    Local *local;
    SN_VEC(SnCode) code;
    uint32_t nlevel;
    size_t frame, frame_most; /* bytes in use, and at most */
    uint32_t tiles;           /* where the tile registers lie */
    bool has_tiles;
    SnRef lane; /* index of the LANES loop around; 0: none */
} Assembler;

static uint32_t at(const Assembler *x, SnRef r)
{
    return sn_kernel_term_find(x->term, x->nterm, r);
}

static Place *place_of(const Assembler *x, SnRef r)
{
    return &x->place[at(x, r)];
}

/* Beyond the frame nothing is written: the kernel is refused in the end. */
static uint32_t reserve(Assembler *x, size_t size, uint64_t count)
{
    const size_t begin = (x->frame + 15) / 16 * 16;
    const size_t n = count < SN_INTERP_FRAME ? (size_t)count : SN_INTERP_FRAME;
    x->frame = begin + size * n;
    if (x->frame > x->frame_most)
        x->frame_most = x->frame;
    return (uint32_t)(begin <= SN_INTERP_FRAME ? begin : SN_INTERP_FRAME);
}

static SnStatus emit(Assembler *x, SnCode code)
{
    SN_CHECK(sn_vec_push(x->arena->memory, &x->code, code), x->err, SN_ENOMEM, "kernel %s: no memory",
             x->k->name);
    return SN_OK;
}

/* ---- facts about terms ---- */

/* Levels of loops in order of appearance: of two that hold a statement, the inner one has the higher. */
static void number_loops(Assembler *x, const SnStmt *body)
{
    for (const SnStmt *s = body; s != NULL; s = s->next) {
        if (s->kind == SN_STMT_LOOP) {
            Place *p = place_of(x, s->var);
            int64_t n = 1;
            p->level = ++x->nlevel;
            if (s->loop == SN_LOOP_LANES && sn_is_const_i64(x->s, s->a, &n))
                p->lanes = (uint32_t)n;
        }
        x->has_tiles |= s->kind == SN_STMT_TILE;
        number_loops(x, s->body);
    }
}

static void find_facts(Assembler *x)
{
    for (uint32_t i = 0; i < x->nterm; i++) {
        const SnTerm *t = sn_term(x->s, x->term[i]);
        Place *p = &x->place[i];
        p->lanes = p->lanes != 0 ? p->lanes : 1;
        p->is_pure = t->op != SN_OP_LOAD && t->op != SN_OP_FOLD;
        for (int j = 0; j < t->narg; j++) {
            const Place *arg = place_of(x, t->arg[j]);
            p->lanes = arg->lanes > p->lanes ? arg->lanes : p->lanes;
            p->level = arg->level > p->level ? arg->level : p->level;
            p->is_pure = p->is_pure && arg->is_pure;
        }
        x->is_lane[i] = p->lanes > 1;
    }
}

/* ---- terms ---- */

/* The place of operand i and how it moves from lane to lane. */
static void set_operand(const Assembler *x, SnCode *c, int i, SnRef r)
{
    const Place *p = place_of(x, r);
    uint32_t *const where[] = {&c->a, &c->b, &c->c};
    SN_ASSERT(p->is_ready);
    *where[i] = p->at;
    c->step[i] = p->lanes > 1 ? (uint32_t)sn_dtype_size(sn_dtype_of(x->s, r)) : 0;
}

static void set_buffer(const Assembler *x, SnCode *c, int64_t buf)
{
    c->buf = (int)buf;
    if (buf < x->k->nbuf)
        return;
    const Local *l = &x->local[buf - x->k->nbuf];
    c->is_local = true;
    c->base = l->at;
    c->size = l->size;
}

/* Do the lanes of an index follow each other? */
static bool is_run(const Assembler *x, SnRef index)
{
    const SnLanes l = {x->s, x->term, x->nterm, x->is_lane, x->lane};
    SnAffine a = {.is_known = true};
    if (x->lane == 0)
        return false;
    sn_affine_add(&l, &a, index, 1);
    return a.is_known && a.lane == 1;
}

static SnStatus emit_fold(Assembler *x, SnCode c, SnRef r)
{
    const char *fn = sn_attr_string(x->s, r, "fn");
    const uint64_t n = (uint64_t)sn_attr_int(x->s, r, "n", 1);
    for (uint16_t op = SN_OP_ADD; op <= SN_OP_XOR; op++)
        if (strcmp(sn_prim(op)->name, fn) == 0)
            c.op = op;
    set_buffer(x, &c, sn_attr_int(x->s, r, "buf", 0));
    c.kind = SN_CODE_FOLD;
    c.eval = sn_interp_eval(c.op, c.dtype, c.dtype);
    c.c = reserve(x, sn_dtype_size(c.dtype), n);
    c.imm = n;
    return emit(x, c);
}

static SnStatus emit_term(Assembler *x, uint32_t pos)
{
    const SnRef r = x->term[pos];
    const SnTerm *t = sn_term(x->s, r);
    Place *p = &x->place[pos];
    SnCode c = {.lanes = p->lanes, .op = t->op, .to = sn_dtype_of(x->s, r)};
    SnScalar v = {.u = 0};
    c.dtype = c.to;
    p->at = c.dst = reserve(x, sn_dtype_size(c.to), p->lanes);
    p->is_ready = true;
    for (int i = 0; i < t->narg; i++)
        set_operand(x, &c, i, t->arg[i]);
    switch (t->op) {
    case SN_OP_CONST:
        (void)sn_is_const(x->s, r, &v);
        sn_scalar_store(c.to, &c.imm, v);
        c.kind = SN_CODE_CONST;
        return emit(x, c);
    case SN_OP_KDIM:
        c.kind = SN_CODE_DIM;
        c.imm = (uint64_t)sn_attr_int(x->s, r, "id", 0);
        return emit(x, c);
    case SN_OP_LOAD:
        c.kind = SN_CODE_LOAD;
        c.has_guard = t->narg == 2;
        c.is_run = !c.has_guard && c.step[0] != 0 && is_run(x, t->arg[0]);
        c.c = c.b;
        c.step[2] = c.step[1];
        set_buffer(x, &c, sn_attr_int(x->s, r, "buf", 0));
        return emit(x, c);
    case SN_OP_FOLD:
        return emit_fold(x, c, r);
    default:
        SN_CHECK(!sn_op_expands(t->op), x->err, SN_EINTERNAL, "kernel %s: %s was not expanded", x->k->name,
                 sn_prim(t->op)->name);
        c.kind = SN_CODE_EVAL;
        c.dtype = sn_dtype_of(x->s, t->arg[t->op == SN_OP_WHERE ? 1 : 0]);
        c.saturates = sn_attr_int(x->s, r, "sat", 0) != 0;
        c.eval = sn_interp_eval(t->op, c.dtype, c.to);
        return emit(x, c);
    }
}

/* Pure terms of a level, where it begins. Indices have their places already. */
static SnStatus emit_level(Assembler *x, uint32_t level)
{
    for (uint32_t i = 0; i < x->nterm; i++) {
        const Place *p = &x->place[i];
        if (p->is_pure && p->level == level && !p->is_ready)
            SN_TRY(emit_term(x, i));
    }
    return SN_OK;
}

/* What the operands of a statement need besides. */
static SnStatus emit_operands(Assembler *x, const SnRef *root, int nroot)
{
    uint32_t top = 0;
    for (uint32_t i = 0; i < x->nterm; i++) {
        x->place[i].is_used = false;
        x->place[i].is_ready = x->place[i].is_ready && x->place[i].is_pure;
    }
    for (int i = 0; i < nroot; i++) {
        if (root[i] == 0)
            continue;
        const uint32_t pos = at(x, root[i]);
        x->place[pos].is_used = true;
        top = pos + 1 > top ? pos + 1 : top;
    }
    for (uint32_t i = top; i-- > 0;) {
        const SnTerm *t = sn_term(x->s, x->term[i]);
        for (int j = 0; x->place[i].is_used && j < t->narg; j++)
            place_of(x, t->arg[j])->is_used = true;
    }
    for (uint32_t i = 0; i < top; i++)
        if (x->place[i].is_used && !x->place[i].is_ready)
            SN_TRY(emit_term(x, i));
    return SN_OK;
}

/* ---- statements ---- */

static SnStatus emit_body(Assembler *x, const SnStmt *body);

/* The places of a level that ends are no values any more. */
static void close_level(Assembler *x, uint32_t level)
{
    for (uint32_t i = 0; i < x->nterm; i++)
        if (x->place[i].level == level)
            x->place[i].is_ready = false;
}

static SnStatus emit_loop(Assembler *x, const SnStmt *s)
{
    Place *var = place_of(x, s->var);
    const uint32_t level = var->level;
    SN_TRY(emit_operands(x, &s->a, 1));
    SnCode c = {.kind = SN_CODE_LANES, .dtype = SN_I64, .lanes = var->lanes};
    c.dst = var->at = reserve(x, sizeof(int64_t), var->lanes);
    var->is_ready = true;
    if (s->loop == SN_LOOP_LANES) {
        SN_TRY(emit(x, c));
        SN_TRY(emit_level(x, level));
        x->lane = s->var;
        SN_TRY(emit_body(x, s->body));
        x->lane = 0;
        close_level(x, level);
        return SN_OK;
    }
    set_operand(x, &c, 0, s->a);
    c.kind = SN_CODE_LOOP;
    c.b = reserve(x, sizeof(int64_t), 1); /* the extent stays as it was at the start */
    const size_t loop = x->code.n;
    SN_TRY(emit(x, c));
    SN_TRY(emit_level(x, level));
    SN_TRY(emit_body(x, s->body));
    c.kind = SN_CODE_NEXT;
    c.imm = loop + 1;
    SN_TRY(emit(x, c));
    x->code.at[loop].imm = x->code.n;
    close_level(x, level);
    return SN_OK;
}

static SnStatus emit_if(Assembler *x, const SnStmt *s)
{
    SN_TRY(emit_operands(x, &s->a, 1));
    SnCode c = {.kind = SN_CODE_IF, .lanes = 1};
    set_operand(x, &c, 0, s->a);
    const size_t branch = x->code.n;
    SN_TRY(emit(x, c));
    SN_TRY(emit_body(x, s->body));
    x->code.at[branch].imm = x->code.n;
    return SN_OK;
}

static SnStatus emit_store(Assembler *x, const SnStmt *s)
{
    const SnRef root[] = {s->a, s->b, s->g};
    SnCode c = {.kind = SN_CODE_STORE, .dtype = s->dtype, .lanes = 1, .has_guard = s->g != 0};
    SN_TRY(emit_operands(x, root, 3));
    for (int i = 0; i < 3 && root[i] != 0; i++) {
        const uint32_t lanes = place_of(x, root[i])->lanes;
        c.lanes = lanes > c.lanes ? lanes : c.lanes;
        set_operand(x, &c, i, root[i]);
    }
    c.is_run = !c.has_guard && c.step[0] != 0 && c.step[1] != 0 && is_run(x, s->a);
    set_buffer(x, &c, s->buf);
    return emit(x, c);
}

static SnStatus emit_local(Assembler *x, const SnStmt *s)
{
    Local *l = &x->local[s->buf - x->k->nbuf];
    int64_t n = 0;
    (void)sn_is_const_i64(x->s, s->a, &n);
    const size_t before = x->frame;
    l->at = reserve(x, sn_dtype_size(s->dtype), n > 0 ? (uint64_t)n : 0);
    l->size = x->frame - before <= SN_INTERP_FRAME ? (uint32_t)(x->frame - l->at) : 0;
    SN_TRY(emit(x, (SnCode){.kind = SN_CODE_LOCAL, .dst = l->at, .imm = l->size}));
    return emit_body(x, s->body);
}

static SnStatus emit_tile(Assembler *x, const SnStmt *s)
{
    const SnRef root[] = {s->a, s->b};
    SnCode c = {.kind = SN_CODE_TILE, .dtype = s->dtype, .tile_op = s->tile_op, .lanes = 1};
    SN_TRY(emit_operands(x, root, 2));
    for (int i = 0; i < 2 && root[i] != 0; i++)
        set_operand(x, &c, i, root[i]);
    c.imm = c.b;
    if (s->tile_op == SN_TILE_LOAD || s->tile_op == SN_TILE_STORE)
        set_buffer(x, &c, s->buf);
    c.dst = x->tiles + s->tile[0] * SN_INTERP_TILE;
    c.b = x->tiles + s->tile[1] * SN_INTERP_TILE;
    c.c = x->tiles + s->tile[2] * SN_INTERP_TILE;
    return emit(x, c);
}

static SnStatus emit_body(Assembler *x, const SnStmt *body)
{
    for (const SnStmt *s = body; s != NULL; s = s->next) {
        const size_t frame = x->frame;
        SnStatus st = SN_OK;
        switch (s->kind) {
        case SN_STMT_LOOP:
            st = emit_loop(x, s);
            break;
        case SN_STMT_IF:
            st = emit_if(x, s);
            break;
        case SN_STMT_STORE:
            st = emit_store(x, s);
            break;
        case SN_STMT_LOCAL:
            st = emit_local(x, s);
            break;
        case SN_STMT_TILE:
            st = emit_tile(x, s);
            break;
        }
        x->frame = frame;
        SN_TRY(st);
    }
    return SN_OK;
}

/* ---- kernels ---- */

static SnStatus assemble(Assembler *x, SnCodeKernel *out)
{
    const SnKernel *k = x->k;
    Place *tile = place_of(x, k->tile);
    tile->level = TILE;
    x->nlevel = TILE;
    number_loops(x, k->body);
    find_facts(x);
    if (x->has_tiles)
        x->tiles = reserve(x, SN_INTERP_TILE, 8);
    SN_TRY(emit_level(x, PROLOGUE));
    out->tile_code = (uint32_t)x->code.n;
    out->tile_slot = tile->at = reserve(x, sizeof(int64_t), 1);
    tile->is_ready = true;
    SN_TRY(emit_level(x, TILE));
    SN_TRY(emit_body(x, k->body));
    SN_CHECK(x->frame_most <= SN_INTERP_FRAME, x->err, SN_EUNSUPPORTED,
             "kernel %s: needs %zu bytes, interp has %d", k->name, x->frame_most, SN_INTERP_FRAME);
    SnCode *code = (SnCode *)sn_arena_array(x->arena, x->code.n, sizeof *code);
    out->name = sn_arena_strndup(x->arena, k->name, strlen(k->name));
    SN_CHECK(code != NULL && out->name != NULL, x->err, SN_ENOMEM, "kernel %s: no memory", k->name);
    if (x->code.n > 0)
        memcpy(code, x->code.at, x->code.n * sizeof *code);
    out->code = code;
    out->ncode = (uint32_t)x->code.n;
    return SN_OK;
}

SnStatus sn_interp_assemble(const SnKernel *k, SnArena *arena, SnCodeKernel *out, SnError *err)
{
    Assembler x = {.k = k, .s = k->store, .arena = arena, .err = err};
    SnArena scratch;
    sn_arena_init(&scratch, arena->memory);
    x.term = sn_kernel_terms(k, &scratch, &x.nterm);
    x.place = (Place *)sn_arena_array(&scratch, x.nterm, sizeof *x.place);
    x.is_lane = (bool *)sn_arena_array(&scratch, x.nterm, sizeof *x.is_lane);
    x.local = (Local *)sn_arena_array(&scratch, (size_t)k->nlocal, sizeof *x.local);
    SnStatus st;
    if (x.term != NULL && x.place != NULL && x.is_lane != NULL && x.local != NULL)
        st = assemble(&x, out);
    else
        st = sn_fail(err, SN_ENOMEM, "kernel %s: no memory", k->name);
    sn_vec_clear(arena->memory, &x.code);
    sn_arena_clear(&scratch);
    return st;
}
