/* clike.c -- prints kernels as C or OpenCL C.
 *
 * A term becomes one line, `const f32 v7 = add_f32(v3, v5);`: at the top of the outermost loop in which all
 * of its indices are known, since divisions have branches that compilers leave where they are; one that reads
 * memory, in front of the statement that uses it. Lanes do not talk within a LANES loop, so in C it is a
 * plain loop around its statements; in OpenCL lanes are work items (group.c). No name looks like a type: b8,
 * f32 and i64 are types, so buffers are p8, indices x64 and arrays of a fold y32. */
#include "backends/clike/clike.h"

#include "compiler/scalar.h"

#include <inttypes.h>

typedef struct Printer {
    const SnDialect *d;
    const SnKernel *k;
    const SnStore *s;
    SnText *out;
    SnError *err;
    SnRef *term;
    uint32_t nterm;
    bool *is_lane;               /* of each term */
    bool *is_used;               /* of each term: by this statement, or by those of this body */
    bool *is_known;              /* of each term: its value is a constant, or has a name here */
    uint32_t *hoisted, nhoisted; /* terms that loops around have at their tops */
    SnGroup group;
    const SnStmt *lanes; /* the LANES loop around */
    uint32_t nstmt;
    int depth;
} Printer;

static uint32_t at(const Printer *p, SnRef r)
{
    return sn_kernel_term_find(p->term, p->nterm, r);
}

static const char *type_name(SnDtype d)
{
    return d == SN_BOOL ? "b8" : sn_dtype(d)->name;
}

static void indent(const Printer *p)
{
    sn_text_printf(p->out, "%*s", 4 * p->depth, "");
}

static void line(const Printer *p, const char *text)
{
    indent(p);
    sn_text_printf(p->out, "%s\n", text);
}

static void open_block(Printer *p)
{
    line(p, "{");
    p->depth++;
}

static void close_block(Printer *p)
{
    p->depth--;
    line(p, "}");
}

/* A line of the dialect, with n for every #. */
static void put(const Printer *p, const char *pattern, int n)
{
    for (const char *c = pattern; *c != '\0'; c++) {
        if (*c == '#')
            sn_text_printf(p->out, "%d", n);
        else
            sn_text_add(p->out, c, 1);
    }
}

/* ---- terms ---- */

static void print_const(const Printer *p, SnDtype d, SnScalar v)
{
    const char *type = type_name(d);
    const bool is_float = d == SN_F32 || d == SN_F64;
    unsigned char byte[8] = {0};
    uint64_t bits = 0;
    sn_scalar_store(d, byte, v);
    for (size_t i = sn_dtype_size(d); i-- > 0;)
        bits = bits << 8 | byte[i];
    if (is_float && v.f > -1e6 && v.f < 1e6 && v.f == (double)(int64_t)v.f && !(v.f == 0 && v.u != 0))
        sn_text_printf(p->out, "(%s)%" PRId64, type, (int64_t)v.f);
    else if (is_float)
        sn_text_printf(p->out, "bits_%s(0x%" PRIx64 "%s)", type, bits, d == SN_F64 ? p->d->wide : "u");
    else if (sn_dtype(d)->kind == SN_KIND_INT && v.i > -1000000 && v.i < 1000000)
        sn_text_printf(p->out, "(%s)%" PRId64, type, v.i);
    else
        sn_text_printf(p->out, "(%s)0x%" PRIx64 "%s", type, bits, p->d->wide);
}

static void print_operand(const Printer *p, SnRef r)
{
    const SnTerm *t = sn_term(p->s, r);
    SnScalar v;
    if (sn_is_const(p->s, r, &v))
        print_const(p, sn_dtype_of(p->s, r), v);
    else if (r == p->k->tile)
        sn_text_printf(p->out, "t");
    else if (t->op == SN_OP_INDEX)
        sn_text_printf(p->out, "x%" PRId64, sn_attr_int(p->s, r, "id", 0));
    else if (t->op == SN_OP_KDIM)
        sn_text_printf(p->out, "d%" PRId64, sn_attr_int(p->s, r, "id", 0));
    else
        sn_text_printf(p->out, "v%u", at(p, r));
}

static SnLocalPlace place_of(const Printer *p, int64_t buf)
{
    return p->d->is_grouped ? p->group.place[buf - p->k->nbuf] : SN_LOCAL_SHARED;
}

/* Element of a LOCAL: of one that lies in the items, lane + lanes * e becomes e. */
static void print_element(const Printer *p, int64_t buf, SnRef index)
{
    sn_text_printf(p->out, "l%" PRId64 "[", buf);
    if (place_of(p, buf) != SN_LOCAL_PER_LANE) {
        sn_text_printf(p->out, "(u64)");
        print_operand(p, index);
    } else {
        const SnLanes l = {p->s, p->term, p->nterm, p->is_lane, p->lanes->var};
        SnAffine x = {.is_known = true};
        sn_affine_add(&l, &x, index, 1);
        sn_text_printf(p->out, "%" PRId64, x.constant / (int64_t)p->group.lanes);
        for (int i = 0; i < x.n; i++) {
            sn_text_printf(p->out, " + %" PRId64 " * ", x.scale[i] / (int64_t)p->group.lanes);
            print_operand(p, x.atom[i]);
        }
    }
    sn_text_printf(p->out, "]");
}

static void print_load(const Printer *p, SnRef r, const SnTerm *t)
{
    const int64_t buf = sn_attr_int(p->s, r, "buf", 0);
    const SnDtype d = sn_dtype_of(p->s, r);
    if (t->narg == 2) {
        print_operand(p, t->arg[1]);
        sn_text_printf(p->out, " ? ");
    }
    if (buf >= p->k->nbuf) {
        print_element(p, buf, t->arg[0]);
    } else {
        sn_text_printf(p->out, "load_%s(p%" PRId64 ", ", type_name(d), buf);
        print_operand(p, t->arg[0]);
        sn_text_printf(p->out, ")%s", d == SN_BOOL ? " != 0" : "");
    }
    if (t->narg == 2)
        sn_text_printf(p->out, " : (%s)0", type_name(d));
}

static void print_cast(const Printer *p, SnRef r, SnDtype from, SnDtype to)
{
    const char *to_name = type_name(to), *from_name = type_name(from);
    const SnRef x = sn_term(p->s, r)->arg[0];
    const char *after = ")";
    if (sn_kernel_is_narrow(to)) {
        sn_text_printf(p->out, "narrow_%s(", to_name);
        after = sn_attr_int(p->s, r, "sat", 0) != 0 ? ", 1)" : ", 0)";
    } else if (sn_kernel_is_narrow(from)) {
        sn_text_printf(p->out, "widen_%s(", from_name);
    } else if (to == SN_BOOL) {
        sn_text_printf(p->out, "(b8)(");
        after = " != 0)";
    } else if (sn_dtype_is_float(from) && sn_dtype_is_int(to)) {
        sn_text_printf(p->out, "to_%s_%s(", to_name, from_name);
    } else {
        sn_text_printf(p->out, "(%s)(", to_name);
    }
    print_operand(p, x);
    sn_text_printf(p->out, "%s", after);
}

static void print_bitcast(const Printer *p, SnRef x, SnDtype from, SnDtype to)
{
    const bool to_float = to == SN_F32 || to == SN_F64, from_float = from == SN_F32 || from == SN_F64;
    const char *word = sn_dtype_size(to) == 8 ? "u64" : "u32";
    if (to_float && from_float)
        sn_text_printf(p->out, "(");
    else if (to_float)
        sn_text_printf(p->out, "bits_%s((%s)", type_name(to), word);
    else if (from_float)
        sn_text_printf(p->out, "(%s)bits_of_%s(", type_name(to), type_name(from));
    else
        sn_text_printf(p->out, "(%s)(", type_name(to));
    print_operand(p, x);
    sn_text_printf(p->out, ")");
}

static void print_call(const Printer *p, const SnTerm *t, SnDtype operand)
{
    sn_text_printf(p->out, "%s", sn_prim(t->op)->name);
    if (sn_op_is_elementwise(t->op))
        sn_text_printf(p->out, "_%s", type_name(operand));
    for (int i = 0; i < t->narg; i++) {
        sn_text_printf(p->out, i == 0 ? "(" : ", ");
        print_operand(p, t->arg[i]);
    }
    sn_text_printf(p->out, ")");
}

/* Declares v and folds in an array of its own: what is folded stays as it is. */
static void print_fold(const Printer *p, SnRef r, uint32_t pos)
{
    const char *type = type_name(sn_dtype_of(p->s, r));
    const int64_t n = sn_attr_int(p->s, r, "n", 1), buf = sn_attr_int(p->s, r, "buf", 0);
    indent(p);
    sn_text_printf(p->out, "%s y%u[%" PRId64 "];\n", type, pos, n);
    indent(p);
    sn_text_printf(p->out, "for (int j = 0; j < %" PRId64 "; j++) y%u[j] = l%" PRId64 "[j + ", n, pos, buf);
    print_operand(p, sn_term(p->s, r)->arg[0]);
    sn_text_printf(p->out, "];\n");
    indent(p);
    sn_text_printf(p->out,
                   "for (int h = %" PRId64 "; h > 0; h /= 2) for (int j = 0; j < h; j++) "
                   "y%u[j] = %s_%s(y%u[j], y%u[j + h]);\n",
                   n / 2, pos, sn_attr_string(p->s, r, "fn"), type, pos, pos);
    indent(p);
    sn_text_printf(p->out, "const %s v%u = y%u[0];\n", type, pos, pos);
}

static SnStatus print_term(const Printer *p, uint32_t pos)
{
    const SnRef r = p->term[pos];
    const SnTerm *t = sn_term(p->s, r);
    const SnDtype d = sn_dtype_of(p->s, r);
    const SnDtype operand = t->narg > 0 ? sn_dtype_of(p->s, t->arg[0]) : SN_NODTYPE;
    if (t->op == SN_OP_FOLD) {
        print_fold(p, r, pos);
        return SN_OK;
    }
    indent(p);
    sn_text_printf(p->out, "const %s v%u = ", type_name(d), pos);
    switch (t->op) {
    case SN_OP_LOAD:
        print_load(p, r, t);
        break;
    case SN_OP_CAST:
        SN_CHECK(operand == SN_F32 || d == SN_F32 ||
                     (!sn_kernel_is_narrow(operand) && !sn_kernel_is_narrow(d)),
                 p->err, SN_EINTERNAL, "kernel %s: cast from %s to %s was not expanded", p->k->name,
                 sn_dtype(operand)->name, sn_dtype(d)->name);
        print_cast(p, r, operand, d);
        break;
    case SN_OP_BITCAST:
        print_bitcast(p, t->arg[0], operand, d);
        break;
    case SN_OP_WHERE:
        print_operand(p, t->arg[0]);
        sn_text_printf(p->out, " ? ");
        print_operand(p, t->arg[1]);
        sn_text_printf(p->out, " : ");
        print_operand(p, t->arg[2]);
        break;
    default:
        SN_CHECK(!sn_op_expands(t->op) && !sn_kernel_is_narrow(operand), p->err, SN_EINTERNAL,
                 "kernel %s: %s of %s was not expanded", p->k->name, sn_prim(t->op)->name,
                 sn_dtype(operand)->name);
        print_call(p, t, operand);
        break;
    }
    sn_text_printf(p->out, ";\n");
    return SN_OK;
}

static void use_operands(const Printer *p, const SnStmt *s)
{
    const SnRef root[] = {s->a, s->b, s->g};
    for (size_t i = 0; i < SN_COUNT(root); i++)
        if (root[i] != 0)
            p->is_used[at(p, root[i])] = true;
}

static void use_body(const Printer *p, const SnStmt *body)
{
    for (const SnStmt *s = body; s != NULL; s = s->next) {
        use_operands(p, s);
        use_body(p, s->body);
    }
}

/* What used terms are made of is used. */
static void use_arguments(const Printer *p)
{
    for (uint32_t i = p->nterm; i-- > 0;) {
        const SnTerm *t = sn_term(p->s, p->term[i]);
        for (int j = 0; p->is_used[i] && j < t->narg; j++)
            p->is_used[at(p, t->arg[j])] = true;
    }
}

/* What the operands of a statement need, operands first. */
static SnStatus print_terms(const Printer *p, const SnStmt *s)
{
    memset(p->is_used, 0, p->nterm * sizeof *p->is_used);
    use_operands(p, s);
    use_arguments(p);
    for (uint32_t i = 0; i < p->nterm; i++)
        if (p->is_used[i] && !p->is_known[i] && sn_term(p->s, p->term[i])->narg > 0)
            SN_TRY(print_term(p, i));
    return SN_OK;
}

/* Is it the same whenever it is computed below here? Scalar ops are defined for all operands. */
static bool can_hoist(const Printer *p, const SnTerm *t)
{
    bool is_known = t->narg > 0 && t->op != SN_OP_LOAD && t->op != SN_OP_FOLD;
    for (int j = 0; is_known && j < t->narg; j++)
        is_known = p->is_known[at(p, t->arg[j])];
    return is_known;
}

/* At the top of a body: what it and all in it can have there. */
static SnStatus hoist(Printer *p, const SnStmt *body)
{
    memset(p->is_used, 0, p->nterm * sizeof *p->is_used);
    use_body(p, body);
    use_arguments(p);
    for (uint32_t i = 0; i < p->nterm; i++) {
        if (!p->is_used[i] || p->is_known[i] || !can_hoist(p, sn_term(p->s, p->term[i])))
            continue;
        SN_TRY(print_term(p, i));
        p->is_known[i] = true;
        p->hoisted[p->nhoisted++] = i;
    }
    return SN_OK;
}

/* ---- statements ---- */

static SnStatus print_body(Printer *p, const SnStmt *body);

/* The body of a loop over tiles, or of one in them. */
static SnStatus print_inner(Printer *p, SnRef var, const SnStmt *body)
{
    const uint32_t nhoisted = p->nhoisted, index = at(p, var);
    p->is_known[index] = true;
    SN_TRY(hoist(p, body));
    SN_TRY(print_body(p, body));
    p->is_known[index] = false;
    while (p->nhoisted > nhoisted)
        p->is_known[p->hoisted[--p->nhoisted]] = false;
    return SN_OK;
}

static SnStatus print_lanes(Printer *p, const SnStmt *s)
{
    const int64_t id = sn_attr_int(p->s, s->var, "id", 0);
    int64_t n = 0;
    (void)sn_is_const_i64(p->s, s->a, &n);
    indent(p);
    if (!p->d->is_grouped)
        sn_text_printf(p->out,
                       "LANES for (i64 x%" PRId64 " = 0; x%" PRId64 " < %" PRId64 "; x%" PRId64 "++) {\n", id,
                       id, n, id);
    else if (n < (int64_t)p->group.lanes)
        sn_text_printf(p->out, "if (lane < %" PRId64 ") {\n", n);
    else
        sn_text_printf(p->out, "{\n");
    p->depth++;
    if (p->d->is_grouped) {
        indent(p);
        sn_text_printf(p->out, "const i64 x%" PRId64 " = lane;\n", id);
    }
    p->lanes = s;
    SN_TRY(print_inner(p, s->var, s->body));
    p->lanes = NULL;
    close_block(p);
    return SN_OK;
}

static SnStatus print_loop(Printer *p, const SnStmt *s, uint32_t number)
{
    if (s->loop == SN_LOOP_LANES)
        return print_lanes(p, s);
    const int64_t id = sn_attr_int(p->s, s->var, "id", 0);
    open_block(p);
    SN_TRY(print_terms(p, s));
    indent(p);
    sn_text_printf(p->out, "const i64 n%" PRId64 " = ", id);
    print_operand(p, s->a);
    sn_text_printf(p->out, ";\n");
    indent(p);
    sn_text_printf(p->out, "%sfor (i64 x%" PRId64 " = 0; x%" PRId64 " < n%" PRId64 "; x%" PRId64 "++) {\n",
                   s->loop == SN_LOOP_UNROLL && !p->d->is_grouped ? "UNROLL " : "", id, id, id, id);
    p->depth++;
    SN_TRY(print_inner(p, s->var, s->body));
    if (p->d->is_grouped && p->group.after[number])
        line(p, p->d->barrier);
    close_block(p);
    close_block(p);
    return SN_OK;
}

static SnStatus print_if(Printer *p, const SnStmt *s)
{
    open_block(p);
    SN_TRY(print_terms(p, s));
    indent(p);
    sn_text_printf(p->out, "if (");
    print_operand(p, s->a);
    sn_text_printf(p->out, ") {\n");
    p->depth++;
    SN_TRY(print_body(p, s->body));
    close_block(p);
    close_block(p);
    return SN_OK;
}

static SnStatus print_store(Printer *p, const SnStmt *s)
{
    const bool is_local = s->buf >= p->k->nbuf;
    /* Outside of lanes the first item writes what the others see. */
    if (p->d->is_grouped && p->lanes == NULL && !(is_local && place_of(p, s->buf) == SN_LOCAL_COPIED))
        line(p, "if (lane == 0)");
    open_block(p);
    SN_TRY(print_terms(p, s));
    indent(p);
    if (s->g != 0) {
        sn_text_printf(p->out, "if (");
        print_operand(p, s->g);
        sn_text_printf(p->out, ") ");
    }
    if (is_local) {
        print_element(p, s->buf, s->a);
        sn_text_printf(p->out, " = ");
        print_operand(p, s->b);
        sn_text_printf(p->out, ";\n");
    } else {
        sn_text_printf(p->out, "store_%s(p%u, ", type_name(s->dtype), s->buf);
        print_operand(p, s->a);
        sn_text_printf(p->out, ", ");
        print_operand(p, s->b);
        sn_text_printf(p->out, ");\n");
    }
    close_block(p);
    return SN_OK;
}

/* A shared LOCAL of a group is declared at the top of the kernel. */
static void print_array(const Printer *p, const SnStmt *s)
{
    int64_t n = 0;
    (void)sn_is_const_i64(p->s, s->a, &n);
    const SnLocalPlace place = place_of(p, s->buf);
    if (place == SN_LOCAL_PER_LANE)
        n = (n + p->group.lanes - 1) / p->group.lanes;
    indent(p);
    sn_text_printf(p->out, "%s%s l%u[%" PRId64 "];\n", place == SN_LOCAL_SHARED ? p->d->shared : "",
                   type_name(s->dtype), s->buf, n);
}

static void print_shared(const Printer *p, const SnStmt *body)
{
    for (const SnStmt *s = body; s != NULL; s = s->next) {
        if (s->kind == SN_STMT_LOCAL && place_of(p, s->buf) == SN_LOCAL_SHARED)
            print_array(p, s);
        print_shared(p, s->body);
    }
}

static SnStatus print_local(Printer *p, const SnStmt *s)
{
    open_block(p);
    if (!p->d->is_grouped || place_of(p, s->buf) != SN_LOCAL_SHARED)
        print_array(p, s);
    SN_TRY(print_body(p, s->body));
    close_block(p);
    return SN_OK;
}

static SnStatus print_tile(Printer *p, const SnStmt *s)
{
    SN_CHECK(p->d->has_tiles, p->err, SN_EUNSUPPORTED, "kernel %s: %s has no matrix unit", p->k->name,
             p->d->name);
    const bool is_load = s->tile_op == SN_TILE_LOAD;
    open_block(p);
    SN_TRY(print_terms(p, s));
    indent(p);
    switch (s->tile_op) {
    case SN_TILE_ZERO:
        sn_text_printf(p->out, "tile_zero(tile[%u]);\n", s->tile[0]);
        break;
    case SN_TILE_DOT:
        sn_text_printf(p->out, "tile_dot_%s(tile[%u], tile[%u], tile[%u]);\n", sn_dtype(s->dtype)->name,
                       s->tile[0], s->tile[1], s->tile[2]);
        break;
    case SN_TILE_LOAD:
    case SN_TILE_STORE:
        sn_text_printf(p->out, "tile_%s(tile[%u], %s%u, ", is_load ? "load" : "store", s->tile[0],
                       s->buf < p->k->nbuf ? "p" : "l", s->buf);
        print_operand(p, s->a);
        sn_text_printf(p->out, ", ");
        print_operand(p, s->b);
        sn_text_printf(p->out, ");\n");
        break;
    }
    close_block(p);
    return SN_OK;
}

static SnStatus print_stmt(Printer *p, const SnStmt *s, uint32_t number)
{
    switch (s->kind) {
    case SN_STMT_LOOP:
        return print_loop(p, s, number);
    case SN_STMT_IF:
        return print_if(p, s);
    case SN_STMT_STORE:
        return print_store(p, s);
    case SN_STMT_LOCAL:
        return print_local(p, s);
    case SN_STMT_TILE:
        return print_tile(p, s);
    }
    return SN_OK;
}

static SnStatus print_body(Printer *p, const SnStmt *body)
{
    for (const SnStmt *s = body; s != NULL; s = s->next) {
        const uint32_t number = p->nstmt++;
        if (p->d->is_grouped && p->group.before[number])
            line(p, p->d->barrier);
        SN_TRY(print_stmt(p, s, number));
    }
    return SN_OK;
}

/* ---- kernels ---- */

static bool has_tiles(const SnStmt *body)
{
    for (const SnStmt *s = body; s != NULL; s = s->next)
        if (s->kind == SN_STMT_TILE || has_tiles(s->body))
            return true;
    return false;
}

static void print_parameters(const Printer *p)
{
    for (int i = 0; i < p->k->nbuf; i++)
        put(p, p->k->buf[i].is_written ? p->d->write : p->d->read, i);
    for (int i = 0; i < p->k->ndim; i++)
        put(p, p->d->dim, i);
}

static SnStatus print_kernel(Printer *p, const char *symbol)
{
    sn_text_printf(p->out, "\n");
    put(p, p->d->kernel, (int)p->group.lanes);
    sn_text_printf(p->out, "%s(", symbol);
    if (p->d->is_grouped) {
        print_parameters(p);
        sn_text_printf(p->out, "const i64 first)\n{\n    const i64 t = first + (i64)get_group_id(0);\n"
                               "    const i64 lane = (i64)get_local_id(0);\n");
        p->depth = 1;
        print_shared(p, p->k->body);
        SN_TRY(print_inner(p, p->k->tile, p->k->body));
    } else {
        sn_text_printf(p->out,
                       "void *const *buffers, const i64 *dims, i64 first, i64 last)\n{\n    (void)dims;\n");
        print_parameters(p);
        if (has_tiles(p->k->body))
            sn_text_printf(p->out, "    u8 tile[8][1024];\n");
        sn_text_printf(p->out, "    for (i64 t = first; t < last; t++) {\n");
        p->depth = 2;
        SN_TRY(print_inner(p, p->k->tile, p->k->body));
        sn_text_printf(p->out, "    }\n");
    }
    sn_text_printf(p->out, "}\n");
    return SN_OK;
}

static void find_lanes(const Printer *p, const SnStmt *body)
{
    for (const SnStmt *s = body; s != NULL; s = s->next) {
        if (s->kind == SN_STMT_LOOP && s->loop == SN_LOOP_LANES)
            p->is_lane[at(p, s->var)] = true;
        find_lanes(p, s->body);
    }
}

static SnStatus print_all(Printer *p, const char *symbol, SnArena *arena)
{
    p->term = sn_kernel_terms(p->k, arena, &p->nterm);
    p->is_lane = (bool *)sn_arena_array(arena, p->nterm, sizeof *p->is_lane);
    p->is_used = (bool *)sn_arena_array(arena, p->nterm, sizeof *p->is_used);
    p->is_known = (bool *)sn_arena_array(arena, p->nterm, sizeof *p->is_known);
    p->hoisted = (uint32_t *)sn_arena_array(arena, p->nterm, sizeof *p->hoisted);
    SN_CHECK(p->term != NULL && p->is_lane != NULL && p->is_used != NULL && p->is_known != NULL &&
                 p->hoisted != NULL,
             p->err, SN_ENOMEM, "kernel %s: no memory", p->k->name);
    find_lanes(p, p->k->body);
    for (uint32_t i = 0; i < p->nterm; i++) {
        const SnTerm *t = sn_term(p->s, p->term[i]);
        p->is_known[i] = t->narg == 0 && t->op != SN_OP_INDEX;
        for (int j = 0; j < t->narg; j++)
            p->is_lane[i] |= p->is_lane[at(p, t->arg[j])];
    }
    if (p->d->is_grouped)
        SN_TRY(sn_group_plan(p->k, p->term, p->nterm, p->is_lane, arena, &p->group, p->err));
    SN_TRY(print_kernel(p, symbol));
    SN_CHECK(!p->out->failed, p->err, SN_ENOMEM, "kernel %s: no memory", p->k->name);
    return SN_OK;
}

SnStatus sn_clike_print(const SnDialect *d, const SnKernel *k, const char *symbol, SnText *out,
                        uint32_t *lanes, SnError *err)
{
    Printer p = {.d = d, .k = k, .s = k->store, .out = out, .err = err, .group = {.lanes = 1}};
    SnArena arena;
    sn_arena_init(&arena, out->memory);
    const SnStatus st = print_all(&p, symbol, &arena);
    sn_arena_clear(&arena);
    if (st == SN_OK)
        *lanes = p.group.lanes;
    return st;
}

bool sn_clike_uses_f64(const SnKernel *k, SnArena *scratch)
{
    uint32_t n = 0;
    const SnRef *term = sn_kernel_terms(k, scratch, &n);
    for (uint32_t i = 0; term != NULL && i < n; i++)
        if (sn_dtype_of(k->store, term[i]) == SN_F64)
            return true;
    return false;
}
