/* arrow.h -- what reading and writing Arrow IPC share: FlatBuffers, and numbers of the format.
 *
 * Apache Arrow, "Arrow Columnar Format", version 1.5; Schema.fbs, Message.fbs. */
#ifndef SN_ARROW_H
#define SN_ARROW_H

#include "frontends/data/table.h"

enum { SN_ARROW_DEPTH = 64 };

/* Tags of the union Type. */
typedef enum SnArrowType {
    SN_ARROW_NULL = 1,
    SN_ARROW_INT = 2,
    SN_ARROW_FLOAT = 3,
    SN_ARROW_BINARY = 4,
    SN_ARROW_UTF8 = 5,
    SN_ARROW_BOOL = 6,
    SN_ARROW_DATE = 8,
    SN_ARROW_TIME = 9,
    SN_ARROW_TIMESTAMP = 10,
    SN_ARROW_LIST = 12,
    SN_ARROW_STRUCT = 13,
    SN_ARROW_FIXED_LIST = 16,
    SN_ARROW_DURATION = 18,
    SN_ARROW_LARGE_BINARY = 19,
    SN_ARROW_LARGE_UTF8 = 20,
    SN_ARROW_LARGE_LIST = 21
} SnArrowType;
/* Tags of the union MessageHeader. */
enum { SN_ARROW_SCHEMA = 1, SN_ARROW_DICTIONARY = 2, SN_ARROW_BATCH = 3 };

/* Rows of fixed types; unit -1: any. The name is what datasets calls it. */
typedef struct SnArrowUnit {
    const char *name;
    SnArrowType type;
    SnDtype dtype;
    int16_t unit, bits; /* the table's fields 0 and 1; bits 0: it has none */
} SnArrowUnit;
extern const SnArrowUnit sn_arrow_units[];
extern const size_t sn_arrow_nunit;

/* The types that a schema message says, in the arena: for who reads another file that has one. A type that is
 * not known is null there. */
SN_MUST_CHECK SnStatus sn_arrow_schema(const SnDataFile *f, SnArena *arena, SnBytes message,
                                       const SnFeature **out, uint32_t *n, SnError *err);
/* The schema message of a stream of these columns, with what datasets says of them; false: no memory. */
bool sn_arrow_put_schema(const SnDataset *d, SnText *out);
/* A stream: its schema, batches, its end. Rows lie in one array a column, from its beginning. */
typedef struct SnArrowOut {
    SnStatus (*put)(void *self, SnBytes part, SnError *err);
    void *self;
} SnArrowOut;
SN_MUST_CHECK SnStatus sn_arrow_begin(const SnDataset *types, SnArrowOut to, SnError *err);
SN_MUST_CHECK SnStatus sn_arrow_rows(const SnDataset *rows, SnArrowOut to, SnError *err);
SN_MUST_CHECK SnStatus sn_arrow_end(SnArrowOut to, SnError *err);
void sn_features_info(SnText *t, const SnDataset *d); /* the value of the key "huggingface" */

#endif
