/* dataset.h -- datasets as columns: opened from files, changed without copies, read where they lie.
 *
 * A dataset is rows of named columns. A column is a list of Arrow arrays, in mapped files or in memory, and
 * perhaps an order over them: selecting, shuffling, sorting and splitting make new orders, never new columns.
 * Datasets do not change; operations make new ones, which keep what they stand on. Names, types, orders and
 * files are those of Hugging Face Datasets. */
#ifndef SN_DATASET_H
#define SN_DATASET_H

#include "frontends/data/arrow_c.h"
#include "frontends/hub.h"

/* ---- types ---- */
typedef enum SnDataKind {
    SN_DATA_NULL,
    SN_DATA_NUMBER, /* dtype; bool is a bit a row */
    SN_DATA_TEXT,   /* string, large_string */
    SN_DATA_BINARY, /* binary, large_binary */
    SN_DATA_LABEL,  /* ClassLabel: i64, and names */
    SN_DATA_LIST,   /* one child */
    SN_DATA_STRUCT  /* a child a field */
} SnDataKind;

typedef struct SnFeature SnFeature;
struct SnFeature {
    const char *name; /* of the column or field */
    SnDataKind kind;
    SnDtype dtype;    /* NUMBER, LABEL */
    const char *unit; /* NUMBER: "timestamp[s]" and the like, where the dtype is only how it is stored */
    bool is_wide;     /* TEXT, BINARY, LIST: 64-bit offsets */
    int64_t length;   /* LIST: of every row; 0: they differ */
    uint32_t nchild;  /* LIST, STRUCT */
    const SnFeature *child;
    const char
        *tag; /* as Features has it, where that is more than the type: {"_type": "Image"}; NULL: it is not */
    uint32_t nlabel; /* LABEL */
    const char *const *label;
};

/* ---- values: one Arrow array, and a place in it ---- */
typedef struct SnArray SnArray;
struct SnArray {
    const SnFeature *type;
    int64_t n, offset;    /* rows offset .. offset + n of the buffers */
    const uint8_t *valid; /* a bit a row; NULL: all are */
    const void *offsets;  /* i32 or i64 (is_wide): TEXT, BINARY, LIST without a length */
    const uint8_t *data;  /* NUMBER, LABEL, TEXT, BINARY; data_size bytes */
    size_t data_size;
    const SnArray *child;
};
typedef struct SnCell {
    const SnArray *array;
    int64_t at;
} SnCell;
bool sn_cell_is_null(SnCell c);
SnBytes sn_cell_bytes(SnCell c);                /* TEXT, BINARY; else {NULL, 0} */
int64_t sn_cell_int(SnCell c);                  /* NUMBER, LABEL; 0 where it is null */
double sn_cell_number(SnCell c);                /* the same; NaN where it is null */
int64_t sn_cell_list(SnCell c, SnCell *first);  /* LIST: how many; the others come behind the first */
SnCell sn_cell_field(SnCell c, uint32_t field); /* STRUCT */
bool sn_cell_json(SnText *t, SnCell c);         /* false: no memory */

/* ---- open and save ---- */
typedef struct SnDataset SnDataset;

typedef struct SnDataOptions {
    uint32_t struct_size;
    const char *format; /* "csv", "tsv", "json", "jsonl", "text", "arrow", "parquet", "idx"; of folders
                                   "imagefolder", "audiofolder"; NULL: by the names */
    const char *split;  /* "test", "train[:10%]+test[-5:]"; NULL: the only one, or train. Files are train */
    const char *const *names; /* csv: names of columns of a file without a header */
    size_t nname;
    bool no_header;        /* csv: columns are named "0", "1", .. where names does not */
    bool no_quotes;        /* csv: a quote is a character like others */
    char delimiter;        /* csv; 0: by the name, else a comma */
    const char *sample_by; /* text: "line" (NULL), "paragraph", "document" */
    const char *field;     /* json: the key of the list of rows */
} SnDataOptions;
/* Files of one format, in this order; or a folder: of load_from_disk, or of images, sounds or data files,
 * whose splits are told by names of folders or files (data_folder.c). o may be NULL. What is wrong in a file
 * is named with its path, row and column. */
SN_API SN_MUST_CHECK SnStatus sn_dataset_open(SnContext *ctx, const char *const *path, size_t npath,
                                              const SnDataOptions *o, SnDataset **out, SnError *err);
/* By the name's ending: .csv .tsv .json .jsonl .txt .arrow, or else a folder for load_from_disk. */
SN_API SN_MUST_CHECK SnStatus sn_dataset_save(const SnDataset *d, const char *path, SnError *err);
/* The batches of an Arrow C stream, where they lie; the stream is released here, its arrays with the dataset.
 * Their buffers are the host's word: offsets are not checked. */
SN_API SN_MUST_CHECK SnStatus sn_dataset_from_arrow(SnContext *ctx, struct ArrowArrayStream *stream,
                                                    SnDataset **out, SnError *err);
/* The rows as an Arrow C stream, which keeps d; who takes it calls its release. The context must outlive it.
 */
SN_API SN_MUST_CHECK SnStatus sn_dataset_to_arrow(SnDataset *d, struct ArrowArrayStream *out, SnError *err);
SN_API SnDataset *sn_dataset_retain(SnDataset *d);
SN_API void sn_dataset_release(SnDataset *d);

/* ---- read ---- */
SN_API int64_t sn_dataset_rows(const SnDataset *d);
SN_API uint32_t sn_dataset_columns(const SnDataset *d);
SN_API const SnFeature *sn_dataset_feature(const SnDataset *d, uint32_t column); /* NULL past the end */
SN_API void sn_dataset_features(const SnDataset *d, SnText *json);               /* Features.to_dict() */
SN_API SN_MUST_CHECK SnStatus sn_dataset_find(const SnDataset *d, const char *name, uint32_t *column,
                                              SnError *err); /* names the columns that there are */
SN_API SnCell sn_dataset_cell(const SnDataset *d, uint32_t column, int64_t row); /* both inside */
/* Rows [first, first + n) of a column of numbers, labels, texts or lists of numbers, for sn_bind: where they
 * lie in order in memory nothing is copied; else they are gathered into the arena, as are starts and lengths
 * of lists. A null is SN_EINVAL. Lives as long as the arena and d. */
SN_API SN_MUST_CHECK SnStatus sn_dataset_view(const SnDataset *d, uint32_t column, int64_t first, int64_t n,
                                              SnArena *arena, SnView *out, SnError *err);
/* XXH3 of what it was made from and how: equal for equal files (path, size, time, options) and operations
 * with equal arguments. What filters, maps and tokenizing made is found again by it in the context's cache.
 */
SN_API uint64_t sn_dataset_fingerprint(const SnDataset *d);

/* ---- orders ---- */
SN_API SN_MUST_CHECK SnStatus sn_dataset_select(const SnDataset *d, const int64_t *row, int64_t n,
                                                SnDataset **out,
                                                SnError *err); /* negative rows: from the end */
SN_API SN_MUST_CHECK SnStatus sn_dataset_slice(const SnDataset *d, int64_t first, int64_t n, SnDataset **out,
                                               SnError *err); /* no further than the end */
SN_API SN_MUST_CHECK SnStatus sn_dataset_shuffle(const SnDataset *d, uint64_t seed, SnDataset **out,
                                                 SnError *err); /* NumPy's default_rng(seed).permutation */
SN_API SN_MUST_CHECK SnStatus sn_dataset_sort(const SnDataset *d, const char *column, bool reverse,
                                              bool nulls_first, SnDataset **out, SnError *err);
/* test_size < 1: a share of the rows; else rows. Not shuffled where is_plain. out: train, test. */
SN_API SN_MUST_CHECK SnStatus sn_dataset_split(const SnDataset *d, double test_size, uint64_t seed,
                                               bool is_plain, SnDataset *out[2], SnError *err);
/* The same, each side with as many of each label of a column as it has in all: stratify_by_column. */
SN_API SN_MUST_CHECK SnStatus sn_dataset_split_by(const SnDataset *d, const char *column, double test_size,
                                                  uint64_t seed, SnDataset *out[2], SnError *err);
SN_API SN_MUST_CHECK SnStatus sn_dataset_shard(const SnDataset *d, int64_t nshard, int64_t index,
                                               bool contiguous, SnDataset **out, SnError *err);
/* The values of a column, each once, where they stand first; nulls are one. */
SN_API SN_MUST_CHECK SnStatus sn_dataset_unique(const SnDataset *d, const char *column, SnDataset **out,
                                                SnError *err);
SN_API SN_MUST_CHECK SnStatus sn_dataset_repeat(SnDataset *d, int64_t n, SnDataset **out, SnError *err);
SN_API SN_MUST_CHECK SnStatus sn_dataset_concatenate(SnDataset *const *part, size_t npart, SnDataset **out,
                                                     SnError *err); /* rows behind rows */
SN_API SN_MUST_CHECK SnStatus sn_dataset_join_columns(SnDataset *const *part, size_t npart, SnDataset **out,
                                                      SnError *err); /* columns beside columns */
typedef enum SnStopping {                                            /* stopping_strategy */
                          SN_STOP_AT_FIRST,                          /* first_exhausted */
                          SN_STOP_AT_ALL, /* all_exhausted: those that were before begin again */
                          SN_STOP_WITHOUT_REPLACEMENT
} SnStopping;
/* probability NULL: in turn; drawn with the seed. */
SN_API SN_MUST_CHECK SnStatus sn_dataset_interleave(SnDataset *const *part, size_t npart,
                                                    const double *probability, uint64_t seed, SnStopping when,
                                                    SnDataset **out, SnError *err);

/* ---- expressions ----
 * Those of Python over the columns of a row, compiled: "len(text) > 100 and label in [0, 1]" (formula.c). */
SN_API SN_MUST_CHECK SnStatus sn_dataset_filter(SnCompiler *cc, const SnDataset *d, const char *where,
                                                SnDataset **out, SnError *err);
/* Adds the column `name`: bool, int64 or float64; or replaces it, which keeps its type where that has room.
 */
SN_API SN_MUST_CHECK SnStatus sn_dataset_map(SnCompiler *cc, const SnDataset *d, const char *name,
                                             const char *expression, SnDataset **out, SnError *err);
/* Adds input_ids and attention_mask, lists of int32 and int8, and token_type_ids where with_types: the texts
 * of a column, and those of `pair` behind them (NULL: none). o may be NULL. */
SN_API SN_MUST_CHECK SnStatus sn_dataset_tokenize(SnModel *m, const SnDataset *d, const char *column,
                                                  const char *pair, const SnTokenizeOptions *o,
                                                  bool with_types, SnDataset **out, SnError *err);

/* ---- columns ---- */
SN_API SN_MUST_CHECK SnStatus sn_dataset_rename(const SnDataset *d, const char *from, const char *to,
                                                SnDataset **out, SnError *err);
SN_API SN_MUST_CHECK SnStatus sn_dataset_keep(const SnDataset *d, const char *const *name, size_t n,
                                              bool drop, SnDataset **out,
                                              SnError *err); /* select_, remove_columns */
/* Rows that are lists of `size` rows. */
SN_API SN_MUST_CHECK SnStatus sn_dataset_batch(const SnDataset *d, int64_t size, bool drop_last,
                                               SnDataset **out, SnError *err);
/* type: "int32", "string", "timestamp[ms]" .. or a feature as Features.to_dict() has it in JSON, or short:
 * {"a": "int32", "b": ["string"]}. A value that does not fit names its row. */
SN_API SN_MUST_CHECK SnStatus sn_dataset_cast(const SnDataset *d, const char *column, const char *type,
                                              SnDataset **out, SnError *err);
/* Objects become columns "a.b" of their fields, and so do those in them. */
SN_API SN_MUST_CHECK SnStatus sn_dataset_flatten(const SnDataset *d, SnDataset **out, SnError *err);
/* Labels of a column, or of lists of them, become those of these names, whatever their case. */
SN_API SN_MUST_CHECK SnStatus sn_dataset_align_labels(const SnDataset *d, const char *column,
                                                      const char *const *name, size_t n, SnDataset **out,
                                                      SnError *err);
/* class_encode_column: n 0: the values as texts, sorted; else a column of these names, or of numbers below n.
 */
SN_API SN_MUST_CHECK SnStatus sn_dataset_labels(const SnDataset *d, const char *column,
                                                const char *const *name, size_t n, SnDataset **out,
                                                SnError *err);

#endif
