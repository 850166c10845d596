/* table.h -- the inside of a dataset: what readers make, and what operations share. */
#ifndef SN_TABLE_H
#define SN_TABLE_H

#include "frontends/data/dataset.h"
#include "runtime/cache.h"
#include "runtime/dtype.h"
#include "runtime/hash.h"

typedef struct SnColumn {
    SnFeature type;
    uint32_t nchunk;
    const SnArray *chunk;
    const int64_t *first; /* [nchunk + 1]: rows before each chunk */
    const int64_t *order; /* the row of the chunks that each row is; NULL: base, base + 1, .. */
    int64_t base;
} SnColumn;

typedef struct SnOwned { /* of the context's memory, aligned as vectors are */
    void *at;
    size_t size;
} SnOwned;

struct SnDataset {
    SnContext *ctx;
    uint32_t refs;
    SnArena arena; /* columns, types, arrays */
    SN_VEC(SnOwned) block;
    SN_VEC(SnFile *) file;
    SN_VEC(SnDataset *) of; /* whose memory this one uses */
    void *held;             /* what else it stands on */
    void (*release_held)(void *held);
    int64_t nrow;
    uint32_t ncol;
    SnColumn *col;
    uint64_t fingerprint; /* of what it was made from; rows gathered on the way (batch.c) have none */
};

/* A dataset of ncol columns that are all zero. */
SN_MUST_CHECK SnStatus sn_table_create(SnContext *ctx, uint32_t ncol, SnDataset **out, SnError *err);
/* The columns, rows and fingerprint of d, whose memory it keeps; room for `more` columns. */
SN_MUST_CHECK SnStatus sn_table_derive(const SnDataset *d, uint32_t more, SnDataset **out, SnError *err);
SN_MUST_CHECK SnStatus sn_table_keep(SnDataset *d, const SnDataset *of, SnError *err);
SN_MUST_CHECK SnStatus sn_table_keep_file(SnDataset *d, SnFile *f, SnError *err);
/* Takes a block; on failure it is freed. */
SN_MUST_CHECK SnStatus sn_table_own(SnDataset *d, void *at, size_t size, SnError *err);
/* Memory that lives as long as the dataset, zeroed. */
SN_MUST_CHECK SnStatus sn_table_alloc(SnDataset *d, size_t n, size_t size, void *out, SnError *err);
/* The end of an operation: d is *out, or gone where st is not SN_OK. */
SnStatus sn_table_finish(SnStatus st, SnDataset *d, SnDataset **out);
/* The order of rows `row` (NULL: first, first + 1, ..; first -1: they live as long as d) of every column of
 * d, which was derived; columns that had one order have one again. */
SN_MUST_CHECK SnStatus sn_table_reorder(SnDataset *d, const int64_t *row, int64_t first, int64_t n,
                                        SnError *err);
/* Numbers the rows of a column's chunks. */
SN_MUST_CHECK SnStatus sn_table_chunks(SnDataset *d, uint32_t column, const SnArray *chunk, uint32_t nchunk,
                                       int64_t *nrow, SnError *err);
/* Mapped files give their memory back, and are read again when they are looked at: for who goes through all
 * rows, every SN_TABLE_PART of them. */
enum { SN_TABLE_PART = 65536 };
void sn_table_forget(const SnDataset *d);
void sn_table_stamp(SnDataset *d, const char *op, const void *args, size_t n);
uint64_t sn_stamp(uint64_t fingerprint, const char *op, const void *args, size_t n);

/* sn_dataset_view, where a null is whatever stands there. */
SN_MUST_CHECK SnStatus sn_table_view(const SnDataset *d, uint32_t column, int64_t first, int64_t n,
                                     SnArena *arena, SnView *out, SnError *err);

/* Where a row of a column lies. */
static inline int64_t sn_column_row(const SnColumn *c, int64_t row)
{
    return c->order ? c->order[row] : c->base + row;
}
SnCell sn_column_at(const SnColumn *c, int64_t row);

static inline bool sn_array_valid(const SnArray *a, int64_t i)
{
    const int64_t at = a->offset + i;
    return !a->valid || (a->valid[at >> 3] >> (at & 7) & 1) != 0;
}
static inline int64_t sn_array_offset(const SnArray *a, int64_t i)
{
    return a->type->is_wide ? ((const int64_t *)a->offsets)[a->offset + i]
                            : ((const int32_t *)a->offsets)[a->offset + i];
}

/* ---- types (feature.c) ---- */
/* A type with a copy of all it names. */
bool sn_feature_copy(SnArena *arena, const SnFeature *f, SnFeature *out);
bool sn_feature_equal(const SnFeature *a, const SnFeature *b); /* names of labels and columns aside */
/* "int64", "string", "timestamp[s]"; false: no such type of plain values. */
bool sn_feature_named(SnBytes name, SnFeature *out);
const char *sn_feature_name(const SnFeature *f); /* the same the other way; NULL: not of plain values */
/* {"dtype": "int64", "_type": "Value"} and what else Features.to_dict gives. */
void sn_feature_json(SnText *t, const SnFeature *f);
void sn_features_json(SnText *t, const SnFeature *f, uint32_t n, size_t stride);
/* A type as Features.to_dict has it, or short: "int64", ["int64"], {"a": "int64"}. The name is not set. */
SN_MUST_CHECK SnStatus sn_feature_read(SnArena *arena, const SnJson *v, SnFeature *out, SnError *err);
/* Gives a type, which the data have, the names of labels that Features as JSON have for it. */
SN_MUST_CHECK SnStatus sn_feature_parse(SnArena *arena, const SnJson *v, SnFeature *f, SnError *err);

/* ---- days and times, which a type's unit tells (dates.c) ---- */
bool sn_date_named(const char *unit, SnFeature *out); /* which it lends; false: no such type */
/* v of one type as of another, either of which may be a whole number; false: it is no such value. */
bool sn_date_cast(const SnFeature *from, const SnFeature *to, int64_t v, int64_t *out);
bool sn_date_spell(SnText *t, const SnFeature *type, int64_t v); /* false: of a zone that is not known here */
/* "2012-01-31", with " 12:30" or "T12:30:59", a fraction of up to ndigit digits and a zone behind it:
 * 10^-ndigit seconds since 1970. */
bool sn_date_parse(SnBytes s, int ndigit, int64_t *out, bool *has_zone);
bool sn_date_of_text(SnBytes s, const SnFeature *to, int64_t *out);

/* ---- columns while they are written (builder.c) ---- */
typedef struct SnBuilder SnBuilder;
struct SnBuilder {
    const SnAllocator *memory;
    SnFeature type; /* kind NULL until something else comes */
    SnBytes key;
    int64_t n, nnull;
    SN_VEC(uint8_t) valid; /* a byte a row */
    SN_VEC(uint8_t) data;
    SN_VEC(int64_t) end; /* TEXT, BINARY, LIST: where each row ends */
    SN_VEC(SnBuilder *) child;
    SnMap field; /* STRUCT: child by key */
    bool failed;
};
void sn_builder_clear(SnBuilder *b);
void sn_builder_null(SnBuilder *b);
void sn_builder_text(SnBuilder *b, SnBytes s);                     /* kind is TEXT or BINARY */
void sn_builder_raw(SnBuilder *b, const void *value);              /* dtype of the type; bool is a byte */
void sn_builder_values(SnBuilder *b, const void *value, size_t n); /* n of them, none null */
SnBuilder *sn_builder_child(SnBuilder *b, SnBytes key);            /* key is borrowed; NULL: no memory */
/* A row of a LIST, whose items were added to its child, or of a STRUCT: fields without one get a null. */
void sn_builder_row(SnBuilder *b);
void sn_builder_become(SnBuilder *b, const SnFeature *type); /* from NULL; rows so far stay null */
bool sn_builder_like(SnBuilder *b, const SnFeature *type);   /* with what stands inside; false: no memory */
void sn_builder_cell(SnBuilder *b, SnCell c);                /* a copy; its type has the form of that of b */
/* What it holds as an array of d; is then empty. A STRUCT without fields and a column of nulls are fine. */
SN_MUST_CHECK SnStatus sn_builder_end(SnBuilder *b, SnDataset *d, SnArray *out, SnError *err);

/* The children of a STRUCT, or others, as columns of nrow rows. */
SN_MUST_CHECK SnStatus sn_builders_end(SnBuilder *const *b, size_t n, SnContext *ctx, int64_t nrow,
                                       SnDataset **out, SnError *err);

/* What a builder holds as the column at `column`, without an order. */
SN_MUST_CHECK SnStatus sn_table_put(SnDataset *d, uint32_t column, SnBuilder *b, SnError *err);
/* Copies rows: one array a column (batch.c). */
SN_MUST_CHECK SnStatus sn_table_gather(const SnDataset *d, int64_t first, int64_t n, SnDataset **out,
                                       SnError *err);

/* ---- rows that come a part after the other, as one dataset (map_cache.c) ---- */
typedef enum SnRowsPlace {
    SN_ROWS_MEMORY,
    SN_ROWS_LENT, /* in a file that serves this once */
    SN_ROWS_KEPT  /* in the cache, by the fingerprint */
} SnRowsPlace;
typedef struct SnRows {
    SnContext *ctx;
    uint64_t fingerprint;
    SnArena arena; /* of the types */
    SnFeature *type;
    uint32_t ncol;
    int64_t nrow;
    bool is_free;  /* parts keep their own types */
    bool is_other; /* one could not be cast */
    bool is_writing;
    SnCacheDraft draft;
    SN_VEC(SnDataset *) part; /* those in memory */
} SnRows;
SN_MUST_CHECK SnStatus sn_rows_find(SnContext *ctx, uint64_t fingerprint, SnDataset **out, bool *found,
                                    SnError *err);
void sn_rows_begin(SnRows *r, SnContext *ctx, uint64_t fingerprint, SnRowsPlace place);
/* Takes a part, which has one array a column. It is cast to the types of the first one. */
SN_MUST_CHECK SnStatus sn_rows_add(SnRows *r, SnDataset *part, SnError *err);
SN_MUST_CHECK SnStatus sn_rows_end(SnRows *r, SnDataset **out, SnError *err);
void sn_rows_clear(SnRows *r);
enum { SN_ROWS_LEAST = 1000 }; /* fewer are made again as fast as they are found */
/* What fn makes of rows [first, first + n) of d, `each` of them after the other; with no rows it is asked
 * once. From the cache, where rows of this fingerprint were made before. */
typedef SnStatus SnPartFn(void *self, int64_t first, int64_t n, SnDataset **out, SnError *err);
SN_MUST_CHECK SnStatus sn_rows_make(const SnDataset *d, uint64_t fingerprint, int64_t each, SnPartFn *fn,
                                    void *self, SnDataset **out, SnError *err);
/* Such rows as columns of `to`, which has the fingerprint, a row for each of d and room for them. */
SN_MUST_CHECK SnStatus sn_rows_make_columns(const SnDataset *d, SnDataset *to, int64_t each, SnPartFn *fn,
                                            void *self, SnError *err);

/* Casts a part, whose first row is row0, to the types of what stands before it, as datasets does: columns and
 * fields that it lacks are null. What does not fit is SN_EINVAL, named by row and column (recast.c). */
SN_MUST_CHECK SnStatus sn_table_conform(SnDataset **part, const SnFeature *type, uint32_t ncol, int64_t row0,
                                        SnError *err);

/* ---- readers: a file's rows as a dataset, without a fingerprint; or a part after the other ---- */
enum {
    SN_PART_BYTES = 10 << 20
}; /* of a file that is a part; types are inferred from each, as in datasets */
typedef struct SnDataFile {
    SnContext *ctx;
    SnFile *file;
    const char *path;
    SnBytes bytes; /* of the file, or what they are when decompressed */
    const SnDataOptions *o;
    bool is_whole; /* all of it is one part */
} SnDataFile;
SN_MUST_CHECK SnStatus sn_read_json_rows(const SnDataFile *f, SnRows *to, SnError *err);
SN_MUST_CHECK SnStatus sn_read_csv(const SnDataFile *f, SnRows *to, SnError *err);
SN_MUST_CHECK SnStatus sn_read_text(const SnDataFile *f, SnRows *to, SnError *err);
SN_MUST_CHECK SnStatus sn_read_parquet(const SnDataFile *f, SnRows *to, SnError *err);
SN_MUST_CHECK SnStatus sn_read_arrow(const SnDataFile *f, SnDataset **out, SnError *err);
SN_MUST_CHECK SnStatus sn_read_idx(const SnDataFile *f, SnDataset **out, SnError *err);

/* ---- writers: to an open file ---- */
SN_MUST_CHECK SnStatus sn_write_json_rows(const SnDataset *d, SnOutFile *f, SnError *err);
SN_MUST_CHECK SnStatus sn_write_json_list(const SnDataset *d, SnOutFile *f, SnError *err);
SN_MUST_CHECK SnStatus sn_write_csv(const SnDataset *d, SnOutFile *f, SnError *err);
SN_MUST_CHECK SnStatus sn_write_tsv(const SnDataset *d, SnOutFile *f, SnError *err);
SN_MUST_CHECK SnStatus sn_write_text(const SnDataset *d, SnOutFile *f, SnError *err);
SN_MUST_CHECK SnStatus sn_write_parquet(const SnDataset *d, SnOutFile *f, SnError *err);
SN_MUST_CHECK SnStatus sn_write_arrow(const SnDataset *d, SnOutFile *f, SnError *err);

/* Parts of splits, which open gives whole (split.c). */
typedef SnStatus SnSplitFn(void *self, SnBytes name, SnDataset **out, SnError *err);
SN_MUST_CHECK SnStatus sn_split_open(const char *spec, SnSplitFn *open, void *self, SnDataset **out,
                                     SnError *err);

/* Files of one format (readers.c), and whether there is one for a name. */
SN_MUST_CHECK SnStatus sn_read_files(SnContext *ctx, const char *const *path, size_t npath,
                                     const SnDataOptions *o, SnDataset **out, SnError *err);
bool sn_data_has_format(const char *path);
/* Folders of other files (data_folder.c). */
SN_MUST_CHECK SnStatus sn_data_folder_open(SnContext *ctx, const char *folder, const SnDataOptions *o,
                                           SnDataset **out, SnError *err);

/* Folders of save_to_disk (saved.c). */
bool sn_saved_is(const char *folder);
SN_MUST_CHECK SnStatus sn_saved_open(SnContext *ctx, const char *folder, const char *split, SnDataset **out,
                                     SnError *err);
SN_MUST_CHECK SnStatus sn_saved_write(const SnDataset *d, const char *folder, SnError *err);

/* NumPy's default_rng(seed): PCG64 seeded by SeedSequence (draw.c). */
typedef struct SnDraw {
    uint64_t hi, lo, inc_hi, inc_lo;
    uint32_t spare;
    bool has_spare;
} SnDraw;
SnDraw sn_draw(uint64_t seed);
uint64_t sn_draw_u64(SnDraw *r);
double sn_draw_f64(SnDraw *r);                               /* [0, 1) */
void sn_draw_permutation(SnDraw *r, int64_t *at, int64_t n); /* of 0 .. n - 1 */
/* choice(n, size=k, replace=False), of n up to 10,000. */
void sn_draw_choice(SnDraw *r, int64_t n, int64_t k, int64_t *out);

#endif
