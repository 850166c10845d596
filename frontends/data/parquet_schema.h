/* parquet_schema.h -- the schema of a Parquet file as it stands in the footer: a tree, depth first. */
#ifndef SN_PARQUET_SCHEMA_H
#define SN_PARQUET_SCHEMA_H

#include "frontends/data/parquet.h"

typedef struct SnParquetElement {
    SnBytes name;
    int physical, repetition, converted; /* -1: not given */
    int64_t width, nchild, scale;
    SnParquetLogical logical; /* 0: not given */
    int unit;                 /* TIME, TIMESTAMP: 1 milli-, 2 micro-, 3 nanoseconds */
    bool is_utc, is_signed;   /* TIMESTAMP; INTEGER */
    int bits;                 /* INTEGER */
} SnParquetElement;

/* Fills the columns, nodes and leaves of *out; elements as in the file, the root first. */
SN_MUST_CHECK SnStatus sn_parquet_schema(SnArena *arena, const char *path, const SnParquetElement *element,
                                         size_t n, SnParquetMeta *out, SnError *err);

#endif
