/* parquet_schema.c -- the schema of a Parquet file as types of columns, and at which levels they are there.
 *
 * Apache Parquet, "LogicalTypes.md": nested types with their older spellings, too. */
#include "frontends/data/parquet_schema.h"

typedef struct Build {
    SnArena *arena;
    const char *path;
    const SnParquetElement *element;
    size_t n, at; /* the next element */
    SnParquetMeta *out;
    SnError *err;
} Build;

typedef struct Place { /* levels of what stands around */
    unsigned def, rep;
    int depth;
} Place;

/* ---- leaves ---- */

/* ConvertedType, the older annotation, as the newer one says it. */
static const SnParquetElement converted[] = {
    [0] = {.logical = SN_PARQUET_STRING},
    [1] = {.logical = SN_PARQUET_MAP},
    [2] = {.logical = SN_PARQUET_MAP},
    [3] = {.logical = SN_PARQUET_LIST},
    [4] = {.logical = SN_PARQUET_ENUM},
    [5] = {.logical = SN_PARQUET_DECIMAL},
    [6] = {.logical = SN_PARQUET_DATE},
    [7] = {.logical = SN_PARQUET_TIME, .unit = 1},
    [8] = {.logical = SN_PARQUET_TIME, .unit = 2},
    [9] = {.logical = SN_PARQUET_TIMESTAMP, .unit = 1, .is_utc = true},
    [10] = {.logical = SN_PARQUET_TIMESTAMP, .unit = 2, .is_utc = true},
    [11] = {.logical = SN_PARQUET_INTEGER, .bits = 8},
    [12] = {.logical = SN_PARQUET_INTEGER, .bits = 16},
    [13] = {.logical = SN_PARQUET_INTEGER, .bits = 32},
    [14] = {.logical = SN_PARQUET_INTEGER, .bits = 64},
    [15] = {.logical = SN_PARQUET_INTEGER, .bits = 8, .is_signed = true},
    [16] = {.logical = SN_PARQUET_INTEGER, .bits = 16, .is_signed = true},
    [17] = {.logical = SN_PARQUET_INTEGER, .bits = 32, .is_signed = true},
    [18] = {.logical = SN_PARQUET_INTEGER, .bits = 64, .is_signed = true},
    [19] = {.logical = SN_PARQUET_JSON},
    [20] = {.logical = SN_PARQUET_BSON},
};

static SnParquetElement annotated(const SnParquetElement *e)
{
    SnParquetElement to = *e;
    if (e->logical || e->converted < 0 || (size_t)e->converted >= SN_COUNT(converted))
        return to;
    const SnParquetElement *c = &converted[e->converted];
    to.logical = c->logical;
    to.unit = c->unit;
    to.bits = c->bits;
    to.is_utc = c->is_utc;
    to.is_signed = c->is_signed;
    return to;
}

/* How values are stored, and what they are without an annotation. */
static const struct {
    SnDataKind kind;
    SnDtype dtype;
    uint32_t width;
} physicals[] = {
    [SN_PARQUET_BOOLEAN] = {SN_DATA_NUMBER, SN_BOOL, 1},
    [SN_PARQUET_INT32] = {SN_DATA_NUMBER, SN_I32, 4},
    [SN_PARQUET_INT64] = {SN_DATA_NUMBER, SN_I64, 8},
    [SN_PARQUET_INT96] = {SN_DATA_NUMBER, SN_I64, 12},
    [SN_PARQUET_FLOAT] = {SN_DATA_NUMBER, SN_F32, 4},
    [SN_PARQUET_DOUBLE] = {SN_DATA_NUMBER, SN_F64, 8},
    [SN_PARQUET_BYTES] = {SN_DATA_BINARY, SN_NODTYPE, 0},
    [SN_PARQUET_FIXED] = {SN_DATA_BINARY, SN_NODTYPE, 0},
};

static bool integer_type(const SnParquetElement *e, SnFeature *type)
{
    static const SnDtype dtype[2][4] = {{SN_U8, SN_U16, SN_U32, SN_U64}, {SN_I8, SN_I16, SN_I32, SN_I64}};
    for (int i = 0; i < 4; i++)
        if (e->bits == 8 << i && (e->bits == 64) == (e->physical == SN_PARQUET_INT64))
            type->dtype = dtype[e->is_signed][i];
    return e->physical == SN_PARQUET_INT32 || e->physical == SN_PARQUET_INT64;
}

static bool time_type(const SnParquetElement *e, SnFeature *type)
{
    static const char *const times[] = {NULL, "time32[ms]", "time64[us]", "time64[ns]"},
                             *const stamps[2][4] = {{NULL, "timestamp[ms]", "timestamp[us]", "timestamp[ns]"},
                                                    {NULL, "timestamp[ms, tz=UTC]", "timestamp[us, tz=UTC]",
                                                     "timestamp[ns, tz=UTC]"}};
    if (e->unit < 1 || e->unit > 3)
        return false;
    const bool is_stamp = e->logical == SN_PARQUET_TIMESTAMP;
    type->unit = is_stamp ? stamps[e->is_utc][e->unit] : times[e->unit];
    return e->physical == (is_stamp || e->unit > 1 ? SN_PARQUET_INT64 : SN_PARQUET_INT32);
}

static bool decimal_type(const SnParquetElement *e, SnParquetLeaf *leaf, SnFeature *type)
{
    enum { MOST_SCALE = 76, MOST_WIDTH = 32 };
    *type = (SnFeature){.name = type->name, .kind = SN_DATA_TEXT};
    leaf->is_decimal = true;
    leaf->scale = (int32_t)e->scale;
    return e->scale >= 0 && e->scale <= MOST_SCALE && leaf->width <= MOST_WIDTH &&
           (e->physical == SN_PARQUET_INT32 || e->physical == SN_PARQUET_INT64 ||
            e->physical == SN_PARQUET_BYTES || e->physical == SN_PARQUET_FIXED);
}

/* false: an annotation that does not fit what is stored. Decimals become texts: no number here is as long. */
static bool leaf_type(const SnParquetElement *e, SnParquetLeaf *leaf, SnFeature *type)
{
    const bool is_bytes = e->physical == SN_PARQUET_BYTES;
    switch ((int)e->logical) {
    case SN_PARQUET_STRING:
    case SN_PARQUET_JSON:
        type->kind = SN_DATA_TEXT;
        return is_bytes;
    case SN_PARQUET_INTEGER:
        return integer_type(e, type);
    case SN_PARQUET_DATE:
        type->unit = "date32";
        return e->physical == SN_PARQUET_INT32;
    case SN_PARQUET_TIME:
    case SN_PARQUET_TIMESTAMP:
        return time_type(e, type);
    case SN_PARQUET_DECIMAL:
        return decimal_type(e, leaf, type);
    case SN_PARQUET_FLOAT16:
        type->kind = SN_DATA_NUMBER;
        type->dtype = SN_F16;
        return e->physical == SN_PARQUET_FIXED && e->width == 2;
    case SN_PARQUET_NULL:
        type->kind = SN_DATA_NULL;
        type->dtype = SN_NODTYPE;
        return true;
    default:
        if (e->physical == SN_PARQUET_INT96)
            type->unit = "timestamp[ns]";
        return true;
    }
}

static SnStatus build_leaf(Build *b, const SnParquetElement *e, Place p, SnFeature *type, SnParquetNode *node)
{
    enum { MOST_WIDTH = 1 << 20 };
    SN_CHECK(e->physical >= 0 && (size_t)e->physical < SN_COUNT(physicals), b->err, SN_EFORMAT,
             "%s: column %s has no type", b->path, type->name);
    SnParquetLeaf *leaf = &b->out->leaf[b->out->nleaf];
    *leaf = (SnParquetLeaf){.physical = (SnParquetPhysical)e->physical,
                            .width = physicals[e->physical].width,
                            .max_def = (uint8_t)p.def,
                            .max_rep = (uint8_t)p.rep,
                            .name = type->name};
    if (e->physical == SN_PARQUET_FIXED) {
        SN_CHECK(e->width > 0 && e->width <= MOST_WIDTH, b->err, SN_EFORMAT,
                 "%s: column %s: values of %lld bytes", b->path, type->name, (long long)e->width);
        leaf->width = (uint32_t)e->width;
    }
    type->kind = physicals[e->physical].kind;
    type->dtype = physicals[e->physical].dtype;
    SN_CHECK(leaf_type(e, leaf, type), b->err, SN_EFORMAT, "%s: column %s: its type does not fit its values",
             b->path, type->name);
    node->leaf = b->out->nleaf++;
    return SN_OK;
}

/* ---- the tree ---- */

static SnStatus build(Build *b, Place p, bool is_item, SnFeature *type, SnParquetNode *node);

static SnStatus children(Build *b, size_t n, SnFeature *type, SnParquetNode *node)
{
    SnFeature *child = sn_arena_array(b->arena, n, sizeof *child);
    node->child = sn_arena_array(b->arena, n, sizeof *node->child);
    SN_CHECK(child && node->child, b->err, SN_ENOMEM, "%s: no memory", b->path);
    type->child = child;
    type->nchild = (uint32_t)n;
    return SN_OK;
}

static bool is_named(SnBytes name, SnBytes of, const char *ending)
{
    const size_t n = strlen(ending);
    return name.n == of.n + n && memcmp(name.at, of.at, of.n) == 0 && memcmp(name.at + of.n, ending, n) == 0;
}

/* Is the repeated element itself what the list holds? Else it stands around it. */
static bool is_own_item(const SnParquetElement *list, const SnParquetElement *repeated)
{
    if (list->logical == SN_PARQUET_MAP)
        return true;
    return repeated->nchild != 1 || is_named(repeated->name, sn_bytes("", 0), "array") ||
           is_named(repeated->name, list->name, "_tuple");
}

/* The element at b->at is repeated. */
static SnStatus build_list(Build *b, const SnParquetElement *list, Place p, SnFeature *type,
                           SnParquetNode *node)
{
    type->kind = SN_DATA_LIST;
    SN_TRY(children(b, 1, type, node));
    SN_CHECK(p.def + 1 < SN_PARQUET_DEPTH && p.rep + 1 < SN_PARQUET_DEPTH, b->err, SN_EFORMAT,
             "%s: column %s: lists are too deep", b->path, type->name);
    p.def++;
    p.rep++;
    node->item_def = (uint8_t)p.def;
    node->item_rep = (uint8_t)p.rep;
    SnFeature *item = (SnFeature *)(uintptr_t)type->child;
    if (list && !is_own_item(list, &b->element[b->at])) {
        b->at++;
        SN_TRY(build(b, p, false, item, node->child));
    } else {
        SN_TRY(build(b, p, true, item, node->child));
    }
    item->name = "element";
    node->leaf = node->child->leaf;
    return SN_OK;
}

static SnStatus build_struct(Build *b, const SnParquetElement *e, Place p, SnFeature *type,
                             SnParquetNode *node)
{
    type->kind = SN_DATA_STRUCT;
    SN_CHECK(e->nchild > 0 && (uint64_t)e->nchild <= b->n - b->at, b->err, SN_EFORMAT,
             "%s: column %s: %lld fields", b->path, type->name, (long long)e->nchild);
    SN_TRY(children(b, (size_t)e->nchild, type, node));
    for (uint32_t i = 0; i < type->nchild; i++)
        SN_TRY(build(b, p, false, (SnFeature *)(uintptr_t)&type->child[i], &node->child[i]));
    node->leaf = node->child->leaf;
    return SN_OK;
}

/* The next element; is_item: its repetition is told already. */
static SnStatus build(Build *b, Place p, bool is_item, SnFeature *type, SnParquetNode *node)
{
    SN_CHECK(b->at < b->n, b->err, SN_EFORMAT, "%s: the schema is cut off", b->path);
    const SnParquetElement e = annotated(&b->element[b->at]);
    SN_CHECK(sn_utf8_valid(e.name) && ++p.depth < SN_PARQUET_DEPTH && p.def + 1 < SN_PARQUET_DEPTH, b->err,
             SN_EFORMAT, "%s: column %u: its name is no UTF-8, or it is too deep", b->path, b->out->ncol);
    *type = (SnFeature){.name = sn_arena_strndup(b->arena, (const char *)e.name.at, e.name.n)};
    SN_CHECK(type->name, b->err, SN_ENOMEM, "%s: no memory", b->path);
    node->type = type;
    node->def = (uint8_t)p.def;
    if (!is_item && e.repetition == SN_PARQUET_REPEATED)
        return build_list(b, NULL, p, type, node);
    p.def += !is_item && e.repetition == SN_PARQUET_OPTIONAL;
    node->def = (uint8_t)p.def;
    b->at++;
    if (e.nchild <= 0)
        return build_leaf(b, &e, p, type, node);
    const bool is_list = (e.logical == SN_PARQUET_LIST || e.logical == SN_PARQUET_MAP) && e.nchild == 1 &&
                         b->at < b->n && b->element[b->at].repetition == SN_PARQUET_REPEATED;
    return is_list ? build_list(b, &e, p, type, node) : build_struct(b, &e, p, type, node);
}

SnStatus sn_parquet_schema(SnArena *arena, const char *path, const SnParquetElement *element, size_t n,
                           SnParquetMeta *out, SnError *err)
{
    Build b = {arena, path, element, n, 1, out, err};
    SN_CHECK(n > 0 && element[0].nchild >= 0 && (uint64_t)element[0].nchild < n && n < UINT32_MAX, err,
             SN_EFORMAT, "%s: no schema", path);
    const size_t ncol = (size_t)element[0].nchild;
    out->leaf = sn_arena_array(arena, n, sizeof *out->leaf);
    out->node = sn_arena_array(arena, ncol + 1, sizeof *out->node);
    out->column = sn_arena_array(arena, ncol + 1, sizeof *out->column);
    SnFeature *type = sn_arena_array(arena, ncol + 1, sizeof *type);
    SN_CHECK(out->leaf && out->node && out->column && type, err, SN_ENOMEM, "%s: no memory", path);
    for (; out->ncol < ncol; out->ncol++)
        SN_TRY(build(&b, (Place){0}, false, &type[out->ncol], &out->node[out->ncol]));
    SN_CHECK(b.at == n, err, SN_EFORMAT, "%s: %zu elements of the schema belong to nothing", path, n - b.at);
    memcpy(out->column, type, ncol * sizeof *type);
    return SN_OK;
}
