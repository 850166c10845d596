/* transcode.c -- pieces of a tensor go through a small program: bytes or numbers in, numbers or blocks out.
 *
 * There is a program for each pair of forms. What a piece takes is read from the map into a buffer, row by
 * row in the order that is wanted, and given back to the system, so that memory holds no more than a piece.
 */
#include "frontends/transcode.h"

#include "compiler/compiler.h"
#include "frontends/gguf/quantize.h"
#include "ops/ops.h"
#include "runtime/tensor.h"

#include <ctype.h>

#define PIECE 1048576 /* numbers */

typedef struct Program {
    const SnGgmlType *from, *to;
    float shift;
    bool is_decay;
    int64_t unit; /* numbers of a row of its operand */
    SnProgram *program;
    SnInstance *instance;
} Program;

struct SnTranscoder {
    SnContext *ctx;
    SnCompiler *cc;
    const char *device;
    SnWeights *weights;
    SN_VEC(Program *) program;
    uint8_t *in, *blocks; /* a piece: what programs take, and K blocks */
    size_t in_size;
    size_t blocks_size;
    SnArena arena;
};

SnStatus sn_transcoder_create(SnCompiler *cc, const char *device, SnWeights *w, SnTranscoder **out,
                              SnError *err)
{
    SnContext *ctx = sn_compiler_context(cc);
    SnTranscoder *t = sn_alloc_zero(sn_allocator(ctx), sizeof *t, _Alignof(max_align_t));
    SN_CHECK(t, err, SN_ENOMEM, "no memory to convert");
    *t = (SnTranscoder){.ctx = ctx, .cc = cc, .device = device, .weights = w};
    sn_arena_init(&t->arena, sn_allocator(ctx));
    *out = t;
    return SN_OK;
}

void sn_transcoder_destroy(SnTranscoder *t)
{
    if (!t)
        return;
    const SnAllocator *a = sn_allocator(t->ctx);
    for (size_t i = 0; i < t->program.n; i++) {
        sn_instance_destroy(t->program.at[i]->instance);
        sn_program_release(t->program.at[i]->program);
    }
    sn_vec_clear(a, &t->program);
    sn_free(a, t->in, t->in_size, _Alignof(max_align_t));
    sn_free(a, t->blocks, t->blocks_size, _Alignof(max_align_t));
    sn_arena_clear(&t->arena);
    sn_free(a, t, sizeof *t, _Alignof(max_align_t));
}

/* ---- shapes ---- */

const SnGgmlType *sn_number_type(const char *format)
{
    static const SnGgmlType more[] = {{.name = "F8_E4M3", .dtype = SN_F8E4M3FN, .block = 1, .bytes = 1},
                                      {.name = "F8_E5M2", .dtype = SN_F8E5M2, .block = 1, .bytes = 1},
                                      {.name = "F8_E4M3FNUZ", .dtype = SN_F8E4M3FNUZ, .block = 1, .bytes = 1},
                                      {.name = "F8_E5M2FNUZ", .dtype = SN_F8E5M2FNUZ, .block = 1, .bytes = 1},
                                      {.name = "F8_E8M0", .dtype = SN_F8E8M0, .block = 1, .bytes = 1}};
    const size_t i = SN_FIND_ROW(more, name, sn_bytes_str(format));
    return i < SN_COUNT(more) ? &more[i] : sn_ggml_type_named(format);
}

bool sn_is_recodable(const SnStTensor *t)
{
    const SnGgmlType *type = sn_number_type(t->format);
    return type && (type->dtype == SN_NODTYPE || sn_dtype_is_float(type->dtype));
}

/* A part as rows, of one number each where those of a bias change places; false: an overflow. */
static bool shape_of(const SnStTensor *t, SnRowOrder order, int64_t *rows, int64_t *cols)
{
    int64_t n = 1;
    if (t->ndim == 1 && order != SN_ROWS_KEPT) {
        *rows = t->dims[0];
        *cols = 1;
        return true;
    }
    for (int i = 0; i + 1 < t->ndim; i++)
        if (!sn_mul_i64(n, t->dims[i], &n))
            return false;
    *rows = n;
    *cols = t->ndim ? t->dims[t->ndim - 1] : 1;
    return true;
}

bool sn_recode_size(const SnRecode *r, size_t *out)
{
    int64_t rows, cols;
    size_t n;
    if (r->to == NULL)
        return sn_mul_size(r->part[0]->bytes.n, r->npart, out);
    if (!shape_of(r->part[0], r->order, &rows, &cols))
        return false;
    const int64_t width = r->order == SN_TRANSPOSED ? rows : cols;
    return width % r->to->block == 0 && sn_mul_size((size_t)rows, (size_t)cols, &n) &&
           sn_mul_size(n, r->npart, &n) && sn_mul_size(n / r->to->block, r->to->bytes, out);
}

/* ---- programs ---- */

/* "Q4_K" ▶ "q4_k" */
static void lower(const char *name, char out[16])
{
    size_t i = 0;
    for (; name[i] && i < 15; i++)
        out[i] = (char)tolower((unsigned char)name[i]);
    out[i] = 0;
}

static void build(SnGraph *g, const Program *p)
{
    char format[16];
    const bool is_blocks = p->from->dtype == SN_NODTYPE;
    const int64_t width = is_blocks ? p->unit / p->from->block * p->from->bytes : p->unit;
    const SnValue dims[] = {sn_symbol(g, "m", 1, INT32_MAX), sn_const_int(g, SN_I64, width)};
    SnValue x = sn_input(g, "x", is_blocks ? SN_U8 : p->from->dtype, 2, dims);
    if (is_blocks) {
        lower(p->from->name, format);
        x = sn_dequantize_blocks(g, x, format);
    }
    if (p->shift != 0)
        x = sn_add(g, sn_cast(g, x, SN_F32), sn_const(g, SN_F32, (double)p->shift));
    if (p->is_decay)
        x = sn_neg(g, sn_exp(g, sn_cast(g, x, SN_F32)));
    if (p->to->dtype == SN_F8E4M3FN) /* it has no infinity: the largest instead, as PyTorch does it */
        x = sn_max(g, sn_min(g, sn_cast(g, x, SN_F32), sn_const(g, SN_F32, 448)), sn_const(g, SN_F32, -448));
    lower(p->to->name, format);
    if (p->to->dtype != SN_NODTYPE)
        x = sn_cast(g, x, p->to->dtype);
    else if (sn_gguf_quantizer(p->to))
        x = sn_cast(g, x, SN_F32);
    else
        x = sn_quantize_blocks(g, sn_cast(g, x, SN_F32), format);
    sn_output(g, "y", x);
}

static SnStatus compile(SnTranscoder *t, Program *p, SnError *err)
{
    const SnCompileOptions o = {.struct_size = sizeof o, .target = t->device};
    SnGraph *g = NULL;
    SN_TRY(sn_graph_create(t->cc, &g, err));
    build(g, p);
    SnStatus st = sn_graph_check(g, err);
    if (st == SN_OK)
        st = sn_compile(t->cc, g, &o, &p->program, err);
    if (st == SN_OK)
        st = sn_instance_create(p->program, NULL, &p->instance, err);
    sn_graph_destroy(g);
    return st;
}

static SnStatus find_program(SnTranscoder *t, const Program *like, Program **out, SnError *err)
{
    for (size_t i = 0; i < t->program.n; i++) {
        Program *p = t->program.at[i];
        if (p->from == like->from && p->to == like->to && p->unit == like->unit &&
            p->is_decay == like->is_decay && memcmp(&p->shift, &like->shift, sizeof p->shift) == 0) {
            *out = p;
            return SN_OK;
        }
    }
    Program *p = sn_arena_alloc(&t->arena, sizeof *p);
    SN_CHECK(p && sn_vec_push(sn_allocator(t->ctx), &t->program, p), err, SN_ENOMEM,
             "no memory for a program");
    *p = *like;
    *out = p;
    return compile(t, p, err);
}

/* ---- pieces ---- */

static SnStatus reserve(SnTranscoder *t, uint8_t **at, size_t *size, size_t need, SnError *err)
{
    if (need <= *size)
        return SN_OK;
    uint8_t *p = sn_resize(sn_allocator(t->ctx), *at, *size, need, _Alignof(max_align_t));
    SN_CHECK(p, err, SN_ENOMEM, "no memory for %zu bytes of a tensor", need);
    *at = p;
    *size = need;
    return SN_OK;
}

/* Where row i of the result lies in a part. */
static int64_t row_from(const SnRecode *r, int64_t rows, int64_t i)
{
    const int64_t size = r->groups > 0 ? rows / r->groups : rows, half = size / 2, group = i / size;
    const int64_t at = i % size, q = r->q_rows, kv = r->kv_rows;
    switch (r->order) {
    case SN_ROWS_TO_PAIRS:
        return group * size + at % 2 * half + at / 2;
    case SN_ROWS_FROM_PAIRS:
        return group * size + at % half * 2 + at / half;
    case SN_ROWS_TO_PARTS:
        if (i < r->groups * q)
            return i / q * size + i % q;
        i -= r->groups * q;
        return i % (r->groups * kv) / kv * size + q + i / (r->groups * kv) * kv + i % kv;
    case SN_ROWS_FROM_PARTS:
        if (at < q)
            return group * q + at;
        return r->groups * q + (at - q) / kv * r->groups * kv + group * kv + (at - q) % kv;
    case SN_ROWS_KEPT:
    case SN_TRANSPOSED:
        break;
    }
    return i;
}

/* Can the order be kept for rows of this number? */
static bool fits(const SnRecode *r, int64_t rows)
{
    const bool is_pairs = r->order == SN_ROWS_TO_PAIRS || r->order == SN_ROWS_FROM_PAIRS;
    const bool is_parts = r->order == SN_ROWS_TO_PARTS || r->order == SN_ROWS_FROM_PARTS;
    if ((is_pairs || is_parts) && (r->groups <= 0 || rows % r->groups != 0))
        return false;
    if (is_parts)
        return r->q_rows > 0 && r->kv_rows > 0 && r->q_rows + 2 * r->kv_rows == rows / r->groups;
    return !is_pairs || rows / r->groups % 2 == 0;
}

static void read_rows(SnTranscoder *t, const SnRecode *r, const SnStTensor *part, int64_t rows, int64_t first,
                      int64_t n)
{
    const SnSource *s = sn_weights_source(t->weights);
    const size_t size = part->bytes.n / (size_t)rows;
    for (int64_t i = 0; i < n; i++) {
        const uint8_t *from = part->bytes.at + (size_t)row_from(r, rows, first + i) * size;
        memcpy(t->in + (size_t)i * size, from, size);
    }
    if (r->order == SN_ROWS_KEPT)
        s->forget(s->self, sn_bytes(part->bytes.at + (size_t)first * size, (size_t)n * size));
}

/* Columns [first, first + n) as rows, of plain numbers. */
static void read_columns(SnTranscoder *t, const SnStTensor *part, int64_t rows, int64_t cols, int64_t first,
                         int64_t n)
{
    const size_t size = sn_dtype_size(part->dtype);
    for (int64_t i = 0; i < n; i++)
        for (int64_t k = 0; k < rows; k++)
            memcpy(t->in + (size_t)(i * rows + k) * size,
                   part->bytes.at + (size_t)(k * cols + first + i) * size, size);
}

typedef struct Blocks {
    SnQuantizeFn *fn;
    const float *x;
    uint8_t *to;
    size_t bytes, n, share;
} Blocks;

static void quantize_share(void *arg, uint32_t i)
{
    const Blocks *b = arg;
    const size_t end = (i + 1) * b->share;
    for (size_t k = i * b->share; k < b->n && k < end; k++)
        b->fn(b->x + k * SN_K_BLOCK, b->to + k * b->bytes);
}

static SnStatus put_k_blocks(SnTranscoder *t, const SnGgmlType *to, const float *x, size_t n, SnOutFile *out,
                             SnError *err)
{
    const SnJobs *jobs = sn_jobs(t->ctx);
    Blocks b = {.fn = sn_gguf_quantizer(to), .x = x, .bytes = to->bytes, .n = n, .share = 16};
    SN_TRY(reserve(t, &t->blocks, &t->blocks_size, n * to->bytes, err));
    b.to = t->blocks;
    jobs->parallel(jobs->self, (uint32_t)((n + b.share - 1) / b.share), quantize_share, &b);
    return sn_out_add(out, sn_bytes(t->blocks, n * to->bytes), err);
}

/* n numbers that lie in the buffer, through a program; *y is lent until the next run. */
static SnStatus run_piece(SnTranscoder *t, const Program *like, size_t n, SnView *y, SnError *err)
{
    const SnGgmlType *from = like->from;
    const uint32_t block = from->block > like->to->block ? from->block : like->to->block;
    Program *p = NULL, key = *like;
    const bool is_blocks = from->dtype == SN_NODTYPE;
    key.unit = n % SN_K_BLOCK == 0 ? SN_K_BLOCK : n % block == 0 ? block : 1;
    SN_TRY(find_program(t, &key, &p, err));
    const int64_t dims[] = {(int64_t)n / p->unit, is_blocks ? p->unit / from->block * from->bytes : p->unit};
    const SnView x = sn_view(is_blocks ? SN_U8 : from->dtype, t->in, 2, dims);
    SN_TRY(sn_bind(p->instance, "x", &x, err));
    SN_TRY(sn_run(p->instance, err));
    return sn_result(p->instance, "y", y, err);
}

static SnStatus put_piece(SnTranscoder *t, const SnRecode *r, const SnGgmlType *from, size_t n,
                          SnOutFile *out, SnError *err)
{
    const Program like = {.from = from, .to = r->to, .shift = r->shift, .is_decay = r->is_decay};
    SnView y;
    int64_t count = 0;
    SN_TRY(run_piece(t, &like, n, &y, err));
    if (sn_gguf_quantizer(r->to))
        return put_k_blocks(t, r->to, y.data, n / SN_K_BLOCK, out, err);
    SN_CHECK(sn_view_count(&y, &count), err, SN_EINTERNAL, "a piece without a size");
    return sn_out_add(out, sn_bytes(y.data, (size_t)count * sn_dtype_size(y.dtype)), err);
}

/* All of a tensor in blocks as numbers: columns of blocks cannot be read. */
static SnStatus unpack(SnTranscoder *t, const SnStTensor *part, SnStTensor *out, SnError *err)
{
    const Program like = {.from = sn_ggml_type_named(part->format), .to = sn_ggml_type_named("F32")};
    const size_t step = PIECE / like.from->block * like.from->bytes;
    const size_t count = part->bytes.n / like.from->bytes * like.from->block;
    SnView y;
    SN_TRY(reserve(t, &t->blocks, &t->blocks_size, count * sizeof(float), err));
    SN_TRY(reserve(t, &t->in, &t->in_size, step, err));
    for (size_t at = 0, to = 0; at < part->bytes.n; at += step) {
        const size_t size = part->bytes.n - at < step ? part->bytes.n - at : step;
        const size_t n = size / like.from->bytes * like.from->block;
        memcpy(t->in, part->bytes.at + at, size);
        SN_TRY(run_piece(t, &like, n, &y, err));
        memcpy(t->blocks + to, y.data, n * sizeof(float));
        to += n * sizeof(float);
    }
    *out = *part;
    out->format = "F32";
    out->dtype = SN_F32;
    out->bytes = sn_bytes(t->blocks, count * sizeof(float));
    return SN_OK;
}

/* Rows of less than a byte for each number may begin within a byte. */
static SnStatus put_bytes(SnTranscoder *t, SnBytes bytes, SnOutFile *out, SnError *err)
{
    const SnSource *s = sn_weights_source(t->weights);
    for (size_t at = 0, n = 0; at < bytes.n; at += n) {
        n = bytes.n - at < 4 * PIECE ? bytes.n - at : 4 * PIECE;
        SN_TRY(sn_out_add(out, sn_bytes(bytes.at + at, n), err));
        s->forget(s->self, sn_bytes(bytes.at + at, n));
    }
    return SN_OK;
}

static SnStatus put_part(SnTranscoder *t, const SnRecode *r, const SnStTensor *part, SnOutFile *out,
                         SnError *err)
{
    const SnGgmlType *from = sn_number_type(part->format);
    const bool is_turned = r->order == SN_TRANSPOSED;
    SnStTensor plain;
    int64_t rows, cols;
    if (part->bytes.n == 0)
        return SN_OK;
    if (r->order == SN_ROWS_KEPT && (!r->to || (from == r->to && r->shift == 0 && !r->is_decay)))
        return put_bytes(t, part->bytes, out, err);
    if (is_turned && part->dtype == SN_NODTYPE) {
        SN_TRY(unpack(t, part, &plain, err));
        part = &plain;
        from = sn_ggml_type_named("F32");
    }
    SN_CHECK(shape_of(part, r->order, &rows, &cols) && fits(r, rows), err, SN_ESHAPE,
             "tensor %.*s: its rows do not fit the numbers of heads", (int)part->name.n,
             (const char *)part->name.at);
    const int64_t width = is_turned ? rows : cols, height = is_turned ? cols : rows;
    const int64_t step = width >= PIECE ? 1 : PIECE / width;
    const size_t row_size = part->bytes.n / (size_t)height;
    const bool is_copy = !r->to || (from == r->to && r->shift == 0 && !r->is_decay);
    SN_TRY(reserve(t, &t->in, &t->in_size, (size_t)(step < height ? step : height) * row_size, err));
    for (int64_t i = 0; i < height; i += step) {
        const int64_t n = height - i < step ? height - i : step;
        if (is_turned)
            read_columns(t, part, rows, cols, i, n);
        else
            read_rows(t, r, part, rows, i, n);
        SN_TRY(is_copy ? sn_out_add(out, sn_bytes(t->in, (size_t)n * row_size), err)
                       : put_piece(t, r, from, (size_t)(n * width), out, err));
    }
    const SnSource *s = sn_weights_source(t->weights);
    s->forget(s->self, part->bytes);
    return SN_OK;
}

SnStatus sn_transcode(SnTranscoder *t, const SnRecode *r, SnOutFile *out, SnError *err)
{
    for (size_t i = 0; i < r->npart; i++)
        SN_TRY(put_part(t, r, r->part[i], out, err));
    return SN_OK;
}
