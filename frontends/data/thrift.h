/* thrift.h -- Thrift's compact protocol: structs field by field, as the metadata of Parquet files are
 * written.
 *
 * Apache Thrift, "Thrift compact protocol encoding". */
#ifndef SN_THRIFT_H
#define SN_THRIFT_H

#include "runtime/bytes.h"

typedef enum SnThriftType {
    SN_THRIFT_TRUE = 1, /* of a field: its value, too */
    SN_THRIFT_FALSE = 2,
    SN_THRIFT_I8 = 3,
    SN_THRIFT_I16 = 4,
    SN_THRIFT_I32 = 5,
    SN_THRIFT_I64 = 6,
    SN_THRIFT_F64 = 7,
    SN_THRIFT_BINARY = 8,
    SN_THRIFT_LIST = 9,
    SN_THRIFT_SET = 10,
    SN_THRIFT_MAP = 11,
    SN_THRIFT_STRUCT = 12
} SnThriftType;

/* ---- reading: r.bad sticks, and everything is 0 then ---- */
typedef struct SnThrift {
    SnReader r;
    int depth; /* of what is skipped */
} SnThrift;
typedef struct SnThriftField { /* of the struct that is read; begin with {0} */
    int id;
    SnThriftType type;
} SnThriftField;
/* The next field; false: the end of the struct. Each must be taken or skipped. */
bool sn_thrift_next(SnThrift *t, SnThriftField *f);
void sn_thrift_skip(SnThrift *t, SnThriftType type);
/* Each takes the field if it is of the type, else skips it and returns `otherwise`, or nothing. */
int64_t sn_thrift_int(SnThrift *t, const SnThriftField *f, int64_t otherwise);
bool sn_thrift_bool(SnThrift *t, const SnThriftField *f);
SnBytes sn_thrift_binary(SnThrift *t, const SnThriftField *f);
bool sn_thrift_is_struct(SnThrift *t, const SnThriftField *f);
/* How many items there are, of which each takes at least a byte: 0 where they are of another type. */
size_t sn_thrift_list(SnThrift *t, const SnThriftField *f, SnThriftType item);
SnBytes sn_thrift_item(SnThrift *t);    /* of a list of binaries */
uint64_t sn_thrift_varint(SnThrift *t); /* also what Parquet's pages begin runs with */
int64_t sn_thrift_zigzag(SnThrift *t);  /* an item of a list of numbers */

/* ---- writing ---- */
typedef struct SnThriftOut {
    SnText *to;
    int last[16]; /* the field before, of each open struct */
    int depth;
} SnThriftOut;
void sn_thrift_begin(SnThriftOut *o, int id); /* a struct; id 0: an item of a list */
void sn_thrift_end(SnThriftOut *o);
void sn_thrift_put_i32(SnThriftOut *o, int id, int64_t v);
void sn_thrift_put_i64(SnThriftOut *o, int id, int64_t v);
void sn_thrift_put_bool(SnThriftOut *o, int id, bool v);
void sn_thrift_put_i8(SnThriftOut *o, int id, int8_t v);
void sn_thrift_put_binary(SnThriftOut *o, int id, SnBytes v); /* id 0: an item of a list */
void sn_thrift_put_list(SnThriftOut *o, int id, SnThriftType item, size_t n);
void sn_thrift_put_item(SnThriftOut *o, int64_t v); /* of a list of numbers */
void sn_thrift_put_varint(SnText *t, uint64_t v);

#endif
