/* kernel_text.c -- the text form of kernels. A kernel prints to a text that parses back to it.
 *
 *   kernel r r w dims 1 {                      parameters: read or written buffers b0, b1, .., dims d0, ..
 *     grid (idiv (add d0 4095) 4096)
 *     serial i1 256 {                          serial, unroll or lanes; index, extent
 *       lanes i2 16 {
 *         %0 = (add (add (mul t 4096) (mul i1 16)) i2)          t is the tile
 *         %1 = (lt %0 d0)
 *         store.f32 b2 %0 (mul (load.f32 b0 %0 %1) 2:f32) when %1
 *       }
 *     }
 *   }
 *
 *   stmt = name "=" expr | "store." dtype buffer index value ["when" guard] ["stream" condition]
 *        | ("serial" | "unroll" | "lanes") index expr block | "if" expr block
 *        | "local." dtype buffer count block
 *        | "tile.zero" n | ("tile.load" | "tile.store") n buffer offset stride | "tile.dot" dtype n n n
 *   expr = constant | "t" | index | dim | name | "(" op expr* ")"
 *   op   = a primitive's name | ("cast." | "bitcast.") dtype | "cast." dtype ".sat" | "load." dtype ("."
 * ahead)? buffer | "fold." dtype "." fn "." n buffer
 *
 * A constant is an integer (i64), true, false, INTEGER:dtype, or #HEX:dtype (bits). Names hold until the next
 * statement that is not a definition; a load may have a guard after its index. A ; begins a comment. Printed,
 * everything is numbered in order of appearance and operands that commute are put in an order of their own,
 * so equal kernels print equal. */
#include "compiler/kernel.h"

#include <inttypes.h>
#include <stdio.h>

#define MAX_NESTING 64
#define MAX_HEIGHT  4 /* of an expression without a name */

static const char *const loop_name[] = {
    [SN_LOOP_SERIAL] = "serial", [SN_LOOP_UNROLL] = "unroll", [SN_LOOP_LANES] = "lanes"};
static const char *const tile_name[] = {[SN_TILE_ZERO] = "tile.zero",
                                        [SN_TILE_LOAD] = "tile.load",
                                        [SN_TILE_DOT] = "tile.dot",
                                        [SN_TILE_STORE] = "tile.store"};

static bool commutes(uint16_t op)
{
    return op == SN_OP_ADD || op == SN_OP_MUL || op == SN_OP_MIN || op == SN_OP_MAX || op == SN_OP_AND ||
           op == SN_OP_OR || op == SN_OP_XOR || op == SN_OP_EQ;
}

/* ---- printing ---- */

typedef struct Node { /* a term of the kernel */
    SnRef ref;
    uint16_t op;
    uint8_t narg, height;
    uint32_t arg[3]; /* positions, in print order */
    uint64_t hash;   /* of the structure: says the order of operands that commute */
    uint32_t number; /* INDEX: its loop's; a named term: its name */
    uint32_t uses;   /* in this statement */
    bool is_named, is_reached;
} Node;

typedef struct Frame { /* of the walk below a root */
    uint32_t pos, next;
} Frame;

typedef struct Printer {
    const SnKernel *k;
    const SnStore *s;
    SnText *out;
    SnRef *term;
    Node *node;
    Frame *stack;
    uint32_t *reached; /* by the statement: positions, operands first */
    uint32_t nterm, nreached;
    uint32_t *local; /* number of each LOCAL */
    uint32_t nloop, nlocal, nname;
    int depth;
} Printer;

static uint32_t at(const Printer *p, SnRef r)
{
    return sn_kernel_term_find(p->term, p->nterm, r);
}

static uint32_t buffer_number(const Printer *p, int64_t buf)
{
    const int64_t i = buf - p->k->nbuf;
    return i >= 0 && i < p->k->nlocal ? p->local[i] : (uint32_t)buf;
}

static void number_body(Printer *p, const SnStmt *body)
{
    for (const SnStmt *s = body; s != NULL; s = s->next) {
        if (s->kind == SN_STMT_LOOP)
            p->node[at(p, s->var)].number = ++p->nloop;
        if (s->kind == SN_STMT_LOCAL && s->buf >= p->k->nbuf && s->buf - p->k->nbuf < p->k->nlocal)
            p->local[s->buf - p->k->nbuf] = (uint32_t)p->k->nbuf + p->nlocal++;
        number_body(p, s->body);
    }
}

/* Operands lie before their users, so theirs are known. */
static void init_node(Printer *p, uint32_t pos)
{
    Node *n = &p->node[pos];
    const SnRef r = p->term[pos];
    const SnTerm *t = sn_term(p->s, r);
    SN_ASSERT(t->narg <= SN_COUNT(n->arg));
    n->ref = r;
    n->op = t->op;
    n->narg = (uint8_t)(t->narg < SN_COUNT(n->arg) ? t->narg : SN_COUNT(n->arg));
    for (int i = 0; i < n->narg; i++)
        n->arg[i] = at(p, t->arg[i]);
    if (commutes(n->op) && n->narg == 2) {
        const Node *a = &p->node[n->arg[0]], *b = &p->node[n->arg[1]];
        const bool a_const = a->op == SN_OP_CONST, b_const = b->op == SN_OP_CONST;
        if (a_const != b_const ? a_const : a->hash > b->hash) {
            const uint32_t first = n->arg[0];
            n->arg[0] = n->arg[1];
            n->arg[1] = first;
        }
    }
    SnScalar v = {.u = 0};
    (void)sn_is_const(p->s, r, &v);
    const bool has_buffer = n->op == SN_OP_LOAD || n->op == SN_OP_FOLD;
    const char *fn = sn_attr_string(p->s, r, "fn");
    const uint64_t part[] = {n->op,
                             sn_dtype_of(p->s, r),
                             v.u,
                             n->op == SN_OP_KDIM ? (uint64_t)sn_attr_int(p->s, r, "id", 0) : n->number,
                             has_buffer ? buffer_number(p, sn_attr_int(p->s, r, "buf", 0)) : 0,
                             (uint64_t)sn_attr_int(p->s, r, n->op == SN_OP_LOAD ? "ahead" : "n", 0),
                             (uint64_t)sn_attr_int(p->s, r, "sat", 0),
                             fn != NULL ? sn_hash64(fn, strlen(fn), 0) : 0};
    n->hash = sn_hash64(part, sizeof part, n->narg);
    for (int i = 0; i < n->narg; i++)
        n->hash = sn_hash64(&p->node[n->arg[i]].hash, sizeof n->hash, n->hash);
}

static void print_const(const Printer *p, SnDtype d, SnScalar v)
{
    const char *name = sn_dtype(d)->name;
    if (d == SN_BOOL) {
        sn_text_printf(p->out, v.i != 0 ? "true" : "false");
    } else if (d == SN_I64) {
        sn_text_printf(p->out, "%" PRId64, v.i);
    } else if (sn_dtype(d)->kind == SN_KIND_INT) {
        sn_text_printf(p->out, "%" PRId64 ":%s", v.i, name);
    } else if (sn_dtype(d)->kind == SN_KIND_UINT) {
        sn_text_printf(p->out, "%" PRIu64 ":%s", v.u, name);
    } else if (v.f > -1e6 && v.f < 1e6 && v.f == (double)(int64_t)v.f && !(v.f == 0 && v.u != 0)) {
        sn_text_printf(p->out, "%" PRId64 ":%s", (int64_t)v.f, name);
    } else {
        unsigned char byte[8] = {0};
        sn_scalar_store(d, byte, v);
        sn_text_printf(p->out, "#");
        for (size_t i = sn_dtype_size(d); i-- > 0;)
            sn_text_printf(p->out, "%02x", byte[i]);
        sn_text_printf(p->out, ":%s", name);
    }
}

static void print_op(const Printer *p, const Node *n)
{
    const char *dtype = sn_dtype(sn_dtype_of(p->s, n->ref))->name;
    const uint32_t buf = buffer_number(p, sn_attr_int(p->s, n->ref, "buf", 0));
    const int64_t ahead = sn_attr_int(p->s, n->ref, "ahead", 0);
    sn_text_printf(p->out, "(%s", sn_prim(n->op)->name);
    switch (n->op) {
    case SN_OP_CAST:
    case SN_OP_BITCAST:
        sn_text_printf(p->out, ".%s%s", dtype, sn_attr_int(p->s, n->ref, "sat", 0) != 0 ? ".sat" : "");
        break;
    case SN_OP_LOAD:
        sn_text_printf(p->out, ".%s", dtype);
        if (ahead > 0)
            sn_text_printf(p->out, ".%" PRId64, ahead);
        sn_text_printf(p->out, " b%u", buf);
        break;
    case SN_OP_FOLD:
        sn_text_printf(p->out, ".%s.%s.%" PRId64 " b%u", dtype, sn_attr_string(p->s, n->ref, "fn"),
                       sn_attr_int(p->s, n->ref, "n", 0), buf);
        break;
    default:
        break;
    }
}

/* Operands that have a name stand by it: recursion ends at MAX_HEIGHT. */
static void print_expr(const Printer *p, uint32_t pos, bool define)
{
    const Node *n = &p->node[pos];
    SnScalar v;
    if (n->is_named && !define) {
        sn_text_printf(p->out, "%%%u", n->number);
    } else if (sn_is_const(p->s, n->ref, &v)) {
        print_const(p, sn_dtype_of(p->s, n->ref), v);
    } else if (n->op == SN_OP_INDEX && n->ref == p->k->tile) {
        sn_text_printf(p->out, "t");
    } else if (n->op == SN_OP_INDEX) {
        sn_text_printf(p->out, "i%u", n->number);
    } else if (n->op == SN_OP_KDIM) {
        sn_text_printf(p->out, "d%" PRId64, sn_attr_int(p->s, n->ref, "id", 0));
    } else {
        print_op(p, n);
        for (int i = 0; i < n->narg; i++) {
            sn_text_add(p->out, " ", 1);
            print_expr(p, n->arg[i], false);
        }
        sn_text_add(p->out, ")", 1);
    }
}

static void indent(const Printer *p)
{
    sn_text_printf(p->out, "%*s", 2 * p->depth, "");
}

/* Adds what lies below root to the terms of the statement, operands first. */
static void reach(Printer *p, uint32_t root)
{
    uint32_t n = 0;
    p->stack[n++] = (Frame){root, 0};
    while (n > 0) {
        Frame *f = &p->stack[n - 1];
        Node *node = &p->node[f->pos];
        if (!node->is_reached && f->next < node->narg) {
            const uint32_t pos = node->arg[f->next++];
            if (!p->node[pos].is_reached)
                p->stack[n++] = (Frame){pos, 0};
            continue;
        }
        if (!node->is_reached)
            p->reached[p->nreached++] = f->pos;
        node->is_reached = true;
        n--;
    }
}

/* Which terms of a statement get names: those used twice, and those that end a deep expression. */
static void choose_names(Printer *p)
{
    for (uint32_t i = p->nreached; i-- > 0;) {
        const Node *n = &p->node[p->reached[i]];
        for (int j = 0; j < n->narg; j++)
            p->node[n->arg[j]].uses++;
    }
    for (uint32_t i = 0; i < p->nreached; i++) {
        Node *n = &p->node[p->reached[i]];
        n->height = 0;
        if (n->narg == 0)
            continue;
        for (int j = 0; j < n->narg; j++) {
            const Node *x = &p->node[n->arg[j]];
            const uint8_t height = x->is_named ? 1 : (uint8_t)(x->height + 1);
            n->height = height > n->height ? height : n->height;
        }
        n->is_named = n->uses > 1 || n->height > MAX_HEIGHT;
    }
}

/* A statement looks at its own terms only: a kernel has many of both. */
static void begin_stmt(Printer *p, const SnRef *root, int nroot)
{
    for (uint32_t i = 0; i < p->nreached; i++) {
        Node *n = &p->node[p->reached[i]];
        n->uses = 0;
        n->is_named = n->is_reached = false;
    }
    p->nreached = p->nname = 0;
    for (int i = 0; i < nroot; i++) {
        if (root[i] != 0) {
            p->node[at(p, root[i])].uses++;
            reach(p, at(p, root[i]));
        }
    }
    choose_names(p);
    for (uint32_t i = 0; i < p->nreached; i++) {
        Node *n = &p->node[p->reached[i]];
        if (n->is_named) {
            n->number = p->nname++;
            indent(p);
            sn_text_printf(p->out, "%%%u = ", n->number);
            print_expr(p, p->reached[i], true);
            sn_text_printf(p->out, "\n");
        }
    }
    indent(p);
}

static void print_operand(const Printer *p, SnRef r)
{
    if (r == 0)
        return;
    sn_text_add(p->out, " ", 1);
    print_expr(p, at(p, r), false);
}

static void print_tile(const Printer *p, const SnStmt *s)
{
    const bool is_dot = s->tile_op == SN_TILE_DOT;
    sn_text_printf(p->out, "%s%s%s %u", tile_name[s->tile_op], is_dot ? "." : "",
                   is_dot ? sn_dtype(s->dtype)->name : "", s->tile[0]);
    if (is_dot)
        sn_text_printf(p->out, " %u %u", s->tile[1], s->tile[2]);
    if (s->tile_op == SN_TILE_LOAD || s->tile_op == SN_TILE_STORE)
        sn_text_printf(p->out, " b%u", buffer_number(p, s->buf));
}

static void print_head(const Printer *p, const SnStmt *s)
{
    switch (s->kind) {
    case SN_STMT_LOOP:
        sn_text_printf(p->out, "%s i%u", loop_name[s->loop], p->node[at(p, s->var)].number);
        break;
    case SN_STMT_IF:
        sn_text_printf(p->out, "if");
        break;
    case SN_STMT_STORE:
        sn_text_printf(p->out, "store.%s b%u", sn_dtype(s->dtype)->name, buffer_number(p, s->buf));
        break;
    case SN_STMT_LOCAL:
        sn_text_printf(p->out, "local.%s b%u", sn_dtype(s->dtype)->name, buffer_number(p, s->buf));
        break;
    case SN_STMT_TILE:
        print_tile(p, s);
        break;
    }
}

static void print_body(Printer *p, const SnStmt *body)
{
    p->depth++;
    for (const SnStmt *s = body; s != NULL; s = s->next) {
        const SnRef root[] = {s->a, s->b, s->g, s->stream};
        begin_stmt(p, root, SN_COUNT(root));
        print_head(p, s);
        print_operand(p, s->a);
        print_operand(p, s->b);
        sn_text_printf(p->out, s->g != 0 ? " when" : "");
        print_operand(p, s->g);
        sn_text_printf(p->out, s->stream != 0 ? " stream" : "");
        print_operand(p, s->stream);
        if (s->kind == SN_STMT_LOOP || s->kind == SN_STMT_IF || s->kind == SN_STMT_LOCAL) {
            sn_text_printf(p->out, " {\n");
            print_body(p, s->body);
            indent(p);
            sn_text_printf(p->out, "}");
        }
        sn_text_printf(p->out, "\n");
    }
    p->depth--;
}

static void print_kernel(Printer *p)
{
    const SnKernel *k = p->k;
    number_body(p, k->body);
    for (uint32_t i = 0; i < p->nterm; i++)
        init_node(p, i);
    sn_text_printf(p->out, "kernel");
    for (int i = 0; i < k->nbuf; i++)
        sn_text_printf(p->out, k->buf[i].is_written ? " w" : " r");
    sn_text_printf(p->out, " dims %d {\n", k->ndim);
    p->depth = 1;
    begin_stmt(p, &k->grid, 1);
    sn_text_printf(p->out, "grid");
    print_operand(p, k->grid);
    sn_text_printf(p->out, "\n");
    p->depth = 0;
    print_body(p, k->body);
    sn_text_printf(p->out, "}\n");
}

void sn_kernel_print(const SnKernel *k, SnText *out)
{
    Printer p = {.k = k, .s = k->store, .out = out};
    SnArena arena;
    sn_arena_init(&arena, out->memory);
    p.term = sn_kernel_terms(k, &arena, &p.nterm);
    p.node = (Node *)sn_arena_array(&arena, p.nterm, sizeof *p.node);
    p.stack = (Frame *)sn_arena_array(&arena, (size_t)p.nterm + 1, sizeof *p.stack);
    p.reached = (uint32_t *)sn_arena_array(&arena, p.nterm, sizeof *p.reached);
    p.local = (uint32_t *)sn_arena_array(&arena, (size_t)k->nlocal, sizeof *p.local);
    if (p.term != NULL && p.node != NULL && p.stack != NULL && p.reached != NULL && p.local != NULL)
        print_kernel(&p);
    else
        out->failed = true;
    sn_arena_clear(&arena);
}

/* ---- parsing ---- */

typedef struct Name {
    SnBytes text;
    SnRef ref; /* an index or a definition; 0: a LOCAL */
    int buf;
} Name;

typedef struct Parser {
    SnKernelBuild b;
    SnStore *s;
    SnError *err;
    const char *file;
    SnBytes text;
    size_t pos, line;
    SnBytes token; /* a word, a brace or a parenthesis; empty at the end */
    SN_VEC(Name) name;
    size_t nscope; /* names of indices and LOCALs; definitions lie behind them */
} Parser;

#define SYNTAX(p, ...) return syntax((p), sn_fail((p)->err, SN_EFORMAT, __VA_ARGS__))

/* Says where, before what the message says. */
static SnStatus syntax(const Parser *p, SnStatus st)
{
    char where[160];
    (void)snprintf(where, sizeof where, "%.120s:%zu", p->file, p->line);
    return sn_fail_in(p->err, st, where);
}

static void advance(Parser *p)
{
    const uint8_t *c = p->text.at;
    bool in_comment = false;
    while (p->pos < p->text.n && (in_comment || c[p->pos] <= ' ' || c[p->pos] == ';')) {
        in_comment = c[p->pos] == '\n' ? false : in_comment || c[p->pos] == ';';
        p->line += c[p->pos++] == '\n';
    }
    const size_t first = p->pos;
    while (p->pos < p->text.n && c[p->pos] > ' ' && memchr("(){};", c[p->pos], 5) == NULL)
        p->pos++;
    if (p->pos == first && p->pos < p->text.n)
        p->pos++;
    p->token = sn_bytes(c + first, p->pos - first);
}

static bool accept(Parser *p, const char *word)
{
    const bool is = sn_bytes_is(p->token, word);
    if (is)
        advance(p);
    return is;
}

static SnStatus expect(Parser *p, const char *word)
{
    if (!accept(p, word))
        SYNTAX(p, "expected %s, found %.*s", word, (int)(p->token.n < 40 ? p->token.n : 40),
               (const char *)p->token.at);
    return SN_OK;
}

/* Takes what stands before the first dot off *word; all of it where there is none. */
static SnBytes split(SnBytes *word)
{
    const uint8_t *dot = word->n != 0 ? (const uint8_t *)memchr(word->at, '.', word->n) : NULL;
    const size_t n = dot != NULL ? (size_t)(dot - word->at) : word->n;
    const SnBytes head = sn_bytes(word->at, n);
    *word = dot != NULL ? sn_bytes(dot + 1, word->n - n - 1) : sn_bytes(word->at + n, 0);
    return head;
}

static bool parse_hex(SnBytes t, uint64_t *out)
{
    uint64_t v = 0;
    for (size_t i = 0; i < t.n; i++) {
        const uint8_t c = t.at[i];
        const int digit = c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
        if (digit < 0 || v >> 60 != 0)
            return false;
        v = v << 4 | (uint64_t)digit;
    }
    *out = v;
    return t.n > 0;
}

/* Magnitudes up to 2^64 - 1; a negative one wraps. */
static bool parse_integer(SnBytes t, uint64_t *out)
{
    const bool negative = t.n > 0 && t.at[0] == '-';
    uint64_t v = 0;
    for (size_t i = negative; i < t.n; i++) {
        const unsigned digit = (unsigned)t.at[i] - '0';
        if (digit > 9 || v > (UINT64_MAX - digit) / 10)
            return false;
        v = v * 10 + digit;
    }
    *out = negative ? 0 - v : v;
    return t.n > (size_t)negative;
}

static SnStatus parse_count(Parser *p, uint64_t most, uint64_t *out)
{
    if (!parse_integer(p->token, out) || *out > most)
        SYNTAX(p, "expected a number up to %" PRIu64, most);
    advance(p);
    return SN_OK;
}

static SnStatus parse_dtype(Parser *p, SnBytes word, SnDtype *out)
{
    *out = sn_dtype_find((const char *)word.at, word.n);
    if (*out == SN_NODTYPE)
        SYNTAX(p, "%.*s is no dtype", (int)(word.n < 40 ? word.n : 40), (const char *)word.at);
    return SN_OK;
}

/* b3: a parameter, or a LOCAL whose body this is. */
static SnStatus parse_buffer(Parser *p, int *out)
{
    uint64_t n = 0;
    for (size_t i = p->nscope; i-- > 0;) {
        if (p->name.at[i].ref == 0 && sn_bytes_equal(p->name.at[i].text, p->token)) {
            *out = p->name.at[i].buf;
            advance(p);
            return SN_OK;
        }
    }
    if (p->token.n < 2 || p->token.at[0] != 'b' ||
        !parse_integer(sn_bytes(p->token.at + 1, p->token.n - 1), &n) || n >= (uint64_t)p->b.k->nbuf)
        SYNTAX(p, "expected a buffer");
    *out = (int)n;
    advance(p);
    return SN_OK;
}

static SnStatus push_name(Parser *p, SnBytes text, SnRef ref, int buf)
{
    SN_CHECK(sn_vec_push(p->b.arena->memory, &p->name, (Name){text, ref, buf}), p->err, SN_ENOMEM,
             "no memory for names");
    return SN_OK;
}

static SnStatus parse_const(Parser *p, SnRef *out)
{
    SnBytes digits = p->token;
    SnDtype d = SN_I64;
    const uint8_t *colon = (const uint8_t *)memchr(digits.at, ':', digits.n);
    if (colon != NULL) {
        digits.n = (size_t)(colon - digits.at);
        SN_TRY(parse_dtype(p, sn_bytes(colon + 1, p->token.n - digits.n - 1), &d));
    }
    uint64_t u;
    SnScalar v;
    if (digits.n > 1 && digits.at[0] == '#' && parse_hex(sn_bytes(digits.at + 1, digits.n - 1), &u)) {
        unsigned char byte[8];
        for (int i = 0; i < 8; i++)
            byte[i] = (unsigned char)(u >> (8 * i));
        v = sn_scalar_load(d, byte);
    } else if (parse_integer(digits, &u)) {
        v = sn_dtype_is_float(d) ? sn_scalar_round_to(d, (SnScalar){.f = (double)(int64_t)u})
                                 : sn_scalar_round_to(d, (SnScalar){.u = u});
    } else {
        SYNTAX(p, "%.*s is unknown here", (int)(p->token.n < 40 ? p->token.n : 40),
               (const char *)p->token.at);
    }
    advance(p);
    *out = sn_const_scalar(p->s, d, v);
    return SN_OK;
}

static SnStatus parse_atom(Parser *p, SnRef *out)
{
    uint64_t n = 0;
    if (p->token.n == 0)
        SYNTAX(p, "the text ends within an expression");
    if (accept(p, "t")) {
        *out = p->b.k->tile;
    } else if (accept(p, "true")) {
        *out = sn_const_bool(p->s, true);
    } else if (accept(p, "false")) {
        *out = sn_const_bool(p->s, false);
    } else if (p->token.at[0] == 'd' && parse_integer(sn_bytes(p->token.at + 1, p->token.n - 1), &n) &&
               n < (uint64_t)p->b.k->ndim) {
        const SnAttr id = SN_INT("id", (int64_t)n);
        *out = sn_term_make(p->s, SN_OP_KDIM, sn_type_scalar(p->s, SN_I64), sn_attrs_make(p->s, &id, 1), NULL,
                            0);
        advance(p);
    } else {
        for (size_t i = p->name.n; i-- > 0;) {
            if (p->name.at[i].ref != 0 && sn_bytes_equal(p->name.at[i].text, p->token)) {
                *out = p->name.at[i].ref;
                advance(p);
                return SN_OK;
            }
        }
        return parse_const(p, out);
    }
    return SN_OK;
}

typedef struct OpWord { /* "fold.f32.add.64 b3" or "load.f32.8192 b3", taken apart */
    uint16_t op;
    SnDtype dtype;
    bool is_saturating;
    const char *fn;
    uint64_t n; /* of LOAD: bytes ahead */
    int buf;
} OpWord;

static SnStatus parse_op(Parser *p, OpWord *o)
{
    SnBytes word = p->token;
    const SnBytes name = split(&word);
    o->op = sn_prim_named(name);
    if (!sn_op_is_elementwise(o->op) && o->op < SN_OP_LOAD)
        SYNTAX(p, "%.*s is no scalar op", (int)(name.n < 40 ? name.n : 40), (const char *)name.at);
    if (o->op == SN_OP_CAST || o->op == SN_OP_BITCAST || o->op == SN_OP_LOAD || o->op == SN_OP_FOLD)
        SN_TRY(parse_dtype(p, split(&word), &o->dtype));
    if (o->op == SN_OP_CAST && sn_bytes_is(word, "sat")) {
        o->is_saturating = true;
        (void)split(&word);
    }
    if (o->op == SN_OP_FOLD) {
        const SnBytes fn = split(&word), n = split(&word);
        o->fn = sn_intern(p->s, (const char *)fn.at, fn.n);
        if (o->fn == NULL || !parse_integer(n, &o->n) || o->n > INT64_MAX)
            SYNTAX(p, "expected fold.DTYPE.FN.N");
    }
    if (o->op == SN_OP_LOAD && word.n != 0 && (!parse_integer(split(&word), &o->n) || o->n > INT64_MAX))
        SYNTAX(p, "expected load.DTYPE or load.DTYPE.AHEAD");
    if (word.n != 0)
        SYNTAX(p, "%s takes no suffix", sn_prim(o->op)->name);
    advance(p);
    return o->op == SN_OP_LOAD || o->op == SN_OP_FOLD ? parse_buffer(p, &o->buf) : SN_OK;
}

static SnStatus make_elementwise(Parser *p, const OpWord *o, const SnRef *arg, int narg, SnRef *out)
{
    const SnDtype d = sn_kernel_result(p->s, o->op, arg, narg, o->dtype);
    if (d == SN_NODTYPE)
        SYNTAX(p, "the operands do not fit %s", sn_prim(o->op)->name);
    const SnAttr attr[] = {SN_DTYPE("to", d), SN_INT("sat", 1)};
    const int nattr = o->is_saturating ? 2 : o->op == SN_OP_CAST || o->op == SN_OP_BITCAST ? 1 : 0;
    *out = sn_term_make(p->s, o->op, sn_type_scalar(p->s, d), sn_attrs_make(p->s, attr, nattr), arg, narg);
    return SN_OK;
}

static SnStatus parse_expr(Parser *p, int depth, SnRef *out)
{
    if (!accept(p, "("))
        return parse_atom(p, out);
    if (depth == MAX_NESTING)
        SYNTAX(p, "nested deeper than %d", MAX_NESTING);
    OpWord o = {.op = SN_OP_ERROR};
    SN_TRY(parse_op(p, &o));
    SnRef arg[3] = {0};
    int narg = 0;
    while (narg < 3 && !sn_bytes_is(p->token, ")"))
        SN_TRY(parse_expr(p, depth + 1, &arg[narg++]));
    SN_TRY(expect(p, ")"));
    if (o.op != SN_OP_LOAD && o.op != SN_OP_FOLD)
        return make_elementwise(p, &o, arg, narg, out);
    if (narg < sn_prim(o.op)->min_arg || narg > sn_prim(o.op)->max_arg)
        SYNTAX(p, "%s of %d operands", sn_prim(o.op)->name, narg);
    *out = o.op == SN_OP_LOAD ? sn_kernel_load(&p->b, o.buf, o.dtype, arg[0], arg[1])
                              : sn_kernel_fold(&p->b, o.buf, o.dtype, o.fn, arg[0], (int64_t)o.n);
    if (o.op == SN_OP_LOAD && o.n > 0 && sn_term(p->s, *out)->op == SN_OP_LOAD)
        *out = sn_kernel_ahead(p->s, *out, (int64_t)o.n);
    return SN_OK;
}

static SnStatus parse_body(Parser *p, int depth);

/* The block of a loop, condition or LOCAL; the names that came before it on its line hold in it. */
static SnStatus parse_block(Parser *p, size_t nscope, SnStmt **mark, int depth)
{
    SN_TRY(expect(p, "{"));
    SN_TRY(parse_body(p, depth + 1));
    p->name.n = p->nscope = nscope;
    sn_kernel_close(&p->b, mark);
    return SN_OK;
}

static SnStatus parse_loop(Parser *p, SnLoopKind kind, int depth)
{
    const size_t nscope = p->nscope;
    const SnBytes name = p->token;
    SnRef extent;
    SnStmt **mark;
    if (name.n < 2 || name.at[0] != 'i')
        SYNTAX(p, "expected an index");
    advance(p);
    SN_TRY(parse_expr(p, 0, &extent));
    p->name.n = nscope;
    SN_TRY(push_name(p, name, sn_kernel_loop(&p->b, kind, extent, &mark), 0));
    p->nscope = p->name.n;
    return parse_block(p, nscope, mark, depth);
}

static SnStatus parse_if(Parser *p, int depth)
{
    SnRef cond;
    SnStmt **mark;
    SN_TRY(parse_expr(p, 0, &cond));
    sn_kernel_if(&p->b, cond, &mark);
    p->name.n = p->nscope;
    return parse_block(p, p->nscope, mark, depth);
}

static SnStatus parse_local(Parser *p, SnDtype dtype, int depth)
{
    const size_t nscope = p->nscope;
    const SnBytes name = p->token;
    uint64_t n = 0;
    SnStmt **mark;
    if (name.n < 2 || name.at[0] != 'b')
        SYNTAX(p, "expected a buffer");
    advance(p);
    SN_TRY(parse_count(p, INT32_MAX, &n));
    if (p->b.k->nlocal >= UINT16_MAX - SN_KERNEL_BUFFERS - 1)
        SYNTAX(p, "too many LOCALs");
    p->name.n = nscope;
    SN_TRY(push_name(p, name, 0, sn_kernel_local(&p->b, dtype, (int64_t)n, &mark)));
    p->nscope = p->name.n;
    return parse_block(p, nscope, mark, depth);
}

static SnStatus parse_store(Parser *p, SnDtype dtype)
{
    int buf;
    SnRef index, value, guard = 0, stream = 0;
    SN_TRY(parse_buffer(p, &buf));
    SN_TRY(parse_expr(p, 0, &index));
    SN_TRY(parse_expr(p, 0, &value));
    if (accept(p, "when"))
        SN_TRY(parse_expr(p, 0, &guard));
    if (accept(p, "stream"))
        SN_TRY(parse_expr(p, 0, &stream));
    sn_kernel_stream(&p->b, buf, dtype, index, value, guard, stream);
    return SN_OK;
}

static SnStatus parse_tile(Parser *p, SnTileOp op, SnDtype dtype)
{
    uint8_t tile[3] = {0};
    int buf = 0;
    SnRef offset = 0, stride = 0;
    for (int i = 0; i < (op == SN_TILE_DOT ? 3 : 1); i++) {
        uint64_t n = 0;
        SN_TRY(parse_count(p, UINT8_MAX, &n));
        tile[i] = (uint8_t)n;
    }
    if (op == SN_TILE_LOAD || op == SN_TILE_STORE) {
        SN_TRY(parse_buffer(p, &buf));
        SN_TRY(parse_expr(p, 0, &offset));
        SN_TRY(parse_expr(p, 0, &stride));
    }
    sn_kernel_tile(&p->b, op, dtype, tile, buf, offset, stride);
    return SN_OK;
}

static SnStatus parse_definition(Parser *p)
{
    const SnBytes name = p->token;
    SnRef value;
    advance(p);
    SN_TRY(expect(p, "="));
    SN_TRY(parse_expr(p, 0, &value));
    return push_name(p, name, value, 0);
}

/* A statement whose word is "store.f32", "local.f32" or "tile.*". */
static SnStatus parse_dotted(Parser *p, int depth)
{
    SnBytes word = p->token;
    const SnBytes head = split(&word);
    SnDtype dtype = SN_NODTYPE;
    if (sn_bytes_is(head, "store") || sn_bytes_is(head, "local")) {
        SN_TRY(parse_dtype(p, word, &dtype));
        advance(p);
        return sn_bytes_is(head, "store") ? parse_store(p, dtype) : parse_local(p, dtype, depth);
    }
    for (size_t op = 0; op < SN_COUNT(tile_name) && sn_bytes_is(head, "tile"); op++) {
        SnBytes rest = word;
        if (!sn_bytes_is(split(&rest), tile_name[op] + strlen("tile.")))
            continue;
        if (op == SN_TILE_DOT)
            SN_TRY(parse_dtype(p, rest, &dtype));
        advance(p);
        return parse_tile(p, (SnTileOp)op, dtype);
    }
    SYNTAX(p, "expected a statement, found %.*s", (int)(p->token.n < 40 ? p->token.n : 40),
           (const char *)p->token.at);
}

static SnStatus parse_stmt(Parser *p, int depth)
{
    for (size_t kind = 0; kind < SN_COUNT(loop_name); kind++)
        if (accept(p, loop_name[kind]))
            return parse_loop(p, (SnLoopKind)kind, depth);
    return accept(p, "if") ? parse_if(p, depth) : parse_dotted(p, depth);
}

/* Up to the closing brace. */
static SnStatus parse_body(Parser *p, int depth)
{
    if (depth > MAX_NESTING)
        SYNTAX(p, "nested deeper than %d", MAX_NESTING);
    while (!accept(p, "}")) {
        if (p->token.n == 0)
            SYNTAX(p, "the text ends within a block");
        if (p->token.at[0] == '%') {
            SN_TRY(parse_definition(p));
            continue;
        }
        SN_TRY(parse_stmt(p, depth));
        p->name.n = p->nscope;
    }
    return SN_OK;
}

static SnStatus parse_kernel(Parser *p)
{
    uint64_t ndim = 0;
    SN_TRY(expect(p, "kernel"));
    for (;;) {
        const bool is_written = sn_bytes_is(p->token, "w");
        if (!is_written && !sn_bytes_is(p->token, "r"))
            break;
        if (sn_kernel_buffer(&p->b, is_written) < 0)
            SYNTAX(p, "more than %d buffers", SN_KERNEL_BUFFERS);
        advance(p);
    }
    SN_TRY(expect(p, "dims"));
    SN_TRY(parse_count(p, SN_KERNEL_DIMS, &ndim));
    p->b.k->ndim = (int)ndim;
    SN_TRY(expect(p, "{"));
    while (p->token.n != 0 && p->token.at[0] == '%')
        SN_TRY(parse_definition(p));
    SN_TRY(expect(p, "grid"));
    SN_TRY(parse_expr(p, 0, &p->b.k->grid));
    p->name.n = 0;
    SN_TRY(parse_body(p, 0));
    if (p->token.n != 0)
        SYNTAX(p, "text behind the kernel");
    return sn_kernel_end(&p->b, p->b.k->grid, p->err);
}

SnStatus sn_kernel_parse(SnStore *s, SnArena *arena, const char *name, SnBytes text, SnKernel **out,
                         SnError *err)
{
    Parser p = {.s = s, .err = err, .file = name, .text = text, .line = 1};
    SN_CHECK(sn_kernel_begin(&p.b, s, arena, name), err, SN_ENOMEM, "kernel %s: no memory", name);
    advance(&p);
    SnStatus st = parse_kernel(&p);
    /* Without memory terms are 0, which may have looked like an error of the text. */
    if (st != SN_OK && (p.b.failed || sn_store_failed(s)))
        st = sn_fail(err, SN_ENOMEM, "kernel %s: no memory", name);
    sn_vec_clear(arena->memory, &p.name);
    if (st == SN_OK)
        *out = p.b.k;
    return st;
}
