/* parquet.h -- what reading and writing Parquet files share: numbers of the format, the tree of a schema.
 *
 * Apache Parquet, "parquet.thrift" and "Encodings.md", version 2.11. Melnik et al., "Dremel" (2010), for
 * levels. */
#ifndef SN_PARQUET_H
#define SN_PARQUET_H

#include "frontends/data/table.h"
#include "frontends/data/thrift.h"
#include "ops/media/codec.h"

enum { SN_PARQUET_DEPTH = 64 }; /* levels and groups inside of each other */

typedef enum SnParquetPhysical {
    SN_PARQUET_BOOLEAN = 0,
    SN_PARQUET_INT32 = 1,
    SN_PARQUET_INT64 = 2,
    SN_PARQUET_INT96 = 3,
    SN_PARQUET_FLOAT = 4,
    SN_PARQUET_DOUBLE = 5,
    SN_PARQUET_BYTES = 6,
    SN_PARQUET_FIXED = 7 /* bytes of one length */
} SnParquetPhysical;

typedef enum SnParquetEncoding {
    SN_PARQUET_PLAIN = 0,
    SN_PARQUET_PLAIN_DICTIONARY = 2,
    SN_PARQUET_RLE = 3,
    SN_PARQUET_BIT_PACKED = 4,
    SN_PARQUET_DELTA = 5,
    SN_PARQUET_DELTA_LENGTH = 6,
    SN_PARQUET_DELTA_BYTES = 7,
    SN_PARQUET_DICTIONARY = 8,
    SN_PARQUET_SPLIT = 9 /* BYTE_STREAM_SPLIT */
} SnParquetEncoding;

enum { SN_PARQUET_REQUIRED = 0, SN_PARQUET_OPTIONAL = 1, SN_PARQUET_REPEATED = 2 };
enum { SN_PARQUET_DATA_PAGE = 0, SN_PARQUET_DICTIONARY_PAGE = 2, SN_PARQUET_DATA_PAGE_V2 = 3 };

/* Fields of the union LogicalType. */
typedef enum SnParquetLogical {
    SN_PARQUET_STRING = 1,
    SN_PARQUET_MAP = 2,
    SN_PARQUET_LIST = 3,
    SN_PARQUET_ENUM = 4,
    SN_PARQUET_DECIMAL = 5,
    SN_PARQUET_DATE = 6,
    SN_PARQUET_TIME = 7,
    SN_PARQUET_TIMESTAMP = 8,
    SN_PARQUET_INTEGER = 10,
    SN_PARQUET_NULL = 11,
    SN_PARQUET_JSON = 12,
    SN_PARQUET_BSON = 13,
    SN_PARQUET_UUID = 14,
    SN_PARQUET_FLOAT16 = 15
} SnParquetLogical;

typedef struct SnParquetLeaf { /* a column of the file */
    SnParquetPhysical physical;
    uint32_t width; /* bytes of a value; 0: each has its own */
    bool is_decimal;
    int32_t scale;
    uint8_t max_def, max_rep;
    const char *name;
} SnParquetLeaf;

/* A type as levels say it. A row of it is there where the definition level is at least `def`: else it is
 * null, or something around it is. */
typedef struct SnParquetNode SnParquetNode;
struct SnParquetNode {
    const SnFeature *type; /* of what the file has: lists have no length here */
    uint32_t leaf;         /* the first one inside */
    uint8_t def;
    uint8_t item_def, item_rep; /* LIST: there is an item, and the next one */
    SnParquetNode *child;       /* as many as the type has */
};

typedef struct SnParquetChunk {
    SnCodec codec;
    int64_t nvalue;
    SnBytes pages;
} SnParquetChunk;
typedef struct SnParquetGroup {
    int64_t nrow;
    SnParquetChunk *chunk; /* a leaf each */
} SnParquetGroup;

typedef struct SnParquetMeta {
    uint32_t ncol, nleaf, ngroup;
    SnParquetLeaf *leaf;
    SnParquetNode *node; /* a column each */
    SnFeature *column;   /* as they become: with what Arrow and datasets say of them */
    SnParquetGroup *group;
} SnParquetMeta;
/* The footer of a file; all of it lies in the arena or the file. */
SN_MUST_CHECK SnStatus sn_parquet_meta(const SnDataFile *f, SnArena *arena, SnParquetMeta *out, SnError *err);

/* ---- values of pages (parquet_values.c) ---- */
typedef struct SnParquetValues { /* those that are there, one behind the other */
    const SnAllocator *memory;
    uint32_t width;       /* 0: bytes, whose ends are in `end` */
    SN_VEC(uint8_t) data; /* a bool is a byte */
    SN_VEC(int64_t) end;
    size_t n;
} SnParquetValues;
void sn_parquet_values_clear(SnParquetValues *v);

/* Each returns what is wrong, or NULL. */
const char *sn_parquet_decode(SnParquetEncoding e, SnParquetPhysical p, SnBytes page, size_t n,
                              SnParquetValues *out);
/* Values of the dictionary by the indices of a page. */
const char *sn_parquet_look_up(const SnParquetValues *dictionary, SnBytes page, size_t n,
                               SnParquetValues *out);
/* n levels of 0 .. most: runs, or all packed the old way (which has *page move past them). */
const char *sn_parquet_levels(SnBytes runs, unsigned most, size_t n, uint8_t *out);
const char *sn_parquet_old_levels(SnBytes *page, unsigned most, size_t n, uint8_t *out);

/* ---- a column chunk (parquet_pages.c) ---- */
typedef struct SnParquetColumn {
    SnParquetValues value;
    SN_VEC(uint8_t) def, rep; /* of nlevel; empty where a level can only be 0 */
    size_t nlevel;
} SnParquetColumn;
void sn_parquet_column_clear(SnParquetColumn *c);
SN_MUST_CHECK SnStatus sn_parquet_column(const SnAllocator *memory, const SnParquetLeaf *leaf,
                                         const SnParquetChunk *chunk, SnParquetColumn *out, SnError *err);

/* ---- writing (parquet_put.c) ---- */
typedef struct SnParquetOut { /* a leaf while a file is written */
    SnParquetLeaf leaf;
    const SnFeature *type;
    uint32_t column;
    uint32_t ndown; /* children on the way from the column to the leaf */
    uint32_t down[SN_PARQUET_DEPTH];
    SnBytes path[2 * SN_PARQUET_DEPTH]; /* names from the column to the leaf, "list" in between */
    uint32_t npath;
} SnParquetOut;
/* Writes the pages of the rows of an array, which begin at *at of the file; *at moves on. Appends its
 * ColumnChunk to `meta`; *total grows by its size before compression. */
SN_MUST_CHECK SnStatus sn_parquet_put(const SnParquetOut *o, const SnArray *a, SnOutFile *f, uint64_t *at,
                                      uint64_t *total, SnThriftOut *meta, SnError *err);

#endif
