/* json.h -- the one JSON reader and writer.
 *
 * Values live in the caller's arena; strings are decoded, carry lengths and may hold NUL. Objects keep the
 * order of the file. Duplicate keys: all are kept, sn_json_get finds the last one, as Python does. Depth
 * limit 64 (the reader does not recurse deeper). Accepts RFC 8259, plus NaN, Infinity and -Infinity as Python
 * writes them. */
#ifndef SN_JSON_H
#define SN_JSON_H

#include "runtime/bytes.h"

typedef enum SnJsonKind {
    SN_JSON_NULL,
    SN_JSON_BOOL,
    SN_JSON_INT,
    SN_JSON_FLOAT,
    SN_JSON_STRING,
    SN_JSON_ARRAY,
    SN_JSON_OBJECT
} SnJsonKind;

typedef struct SnJson SnJson;
struct SnJson {
    SnJsonKind kind;
    uint32_t n; /* ARRAY, OBJECT: children */
    union {
        bool boolean;
        int64_t integer; /* INT: what fits an i64; other integers are FLOAT */
        double number;
        SnBytes string;
        SnJson *child; /* ARRAY, OBJECT: n values in a row */
    } u;
    SnBytes key; /* in an OBJECT */
};

/* Text must be valid UTF-8 and hold one value and white space. name is for messages. Strings are followed by
 * a NUL byte. Escapes of lone surrogates become U+FFFD. Takes at most about 100 bytes of memory per byte of
 * text. */
SN_MUST_CHECK SnStatus sn_json_parse(SnArena *arena, const char *name, SnBytes text, SnJson **out,
                                     SnError *err);

const SnJson *sn_json_get(const SnJson *object, const char *key); /* NULL: absent or not an object */
const SnJson *sn_json_at(const SnJson *array, uint32_t i);        /* NULL: past the end or not an array */
bool sn_json_is_null(const SnJson *v);                            /* NULL counts as null */
bool sn_json_int(const SnJson *v, int64_t *out);                  /* false: not an integral number */
bool sn_json_number(const SnJson *v, double *out);
bool sn_json_bool(const SnJson *v, bool *out);
bool sn_json_string(const SnJson *v, SnBytes *out);
bool sn_json_is(const SnJson *v, const char *text); /* a string equal to text */

/* A decimal number as JSON spells it, correctly rounded, whatever the locale; false: not one, or not all of
 * it. */
bool sn_parse_f64(SnBytes text, double *out);

/* Writing. Floats print shortest form that reads back equal as a double (sn_json_put_f32: as a float). */
void sn_json_put_string(SnText *t, SnBytes s);
void sn_json_put_int(SnText *t, int64_t v);
void sn_json_put_f64(SnText *t, double v);
void sn_json_put_f32(SnText *t, float v);
void sn_json_put(SnText *t, const SnJson *v);

#endif
