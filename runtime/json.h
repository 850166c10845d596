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
    SN_JSON_OBJECT,
    SN_JSON_LATER /* a container that was not read: u.string is its text, n the strings in it */
} SnJsonKind;

typedef struct SnJson SnJson;
struct SnJson {
    SnJsonKind kind;
    uint32_t n; /* ARRAY, OBJECT: children; LATER: strings; FLOAT: digits */
    union {
        bool boolean;
        int64_t integer; /* INT: what fits an i64; other integers are FLOAT */
        struct {
            double number;
            const char *digits; /* n of them, if an integer was too large for INT: its text */
        };
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
/* The text of a file. */
SN_MUST_CHECK SnStatus sn_json_read(SnContext *ctx, SnArena *arena, const char *path, SnJson **out,
                                    SnError *err);

/* The same, but containers with one of these keys (the last is NULL) that are members of the root's members
 * are SN_JSON_LATER. Strings lie in the text where they have no escapes, and then no
 * NUL follows. */
SN_MUST_CHECK SnStatus sn_json_parse_some(SnArena *arena, const char *name, SnBytes text,
                                          const char *const *later, SnJson **out, SnError *err);

/* Goes through the values of an SN_JSON_LATER one by one; a failure sticks. Strings lie as those of
 * sn_json_parse_some. */
typedef struct SnJsonWalk {
    SnArena *arena;
    const char *name;
    SnBytes text; /* all of it, for messages */
    SnReader r;
    char *strings;            /* decoded strings go here; NULL: see above */
    const char *const *later; /* NULL: none */
    uint64_t is_object;       /* bit i: the container at depth i + 1 is one */
    uint32_t depth;
    bool is_first; /* nothing was read of the container */
    SN_VEC(SnJson) stack;
    SnStatus st;
    SnError *err;
} SnJsonWalk;

void sn_json_walk(SnJsonWalk *w, SnArena *arena, const char *name, SnBytes text, const SnJson *later,
                  SnError *err);
bool sn_json_open(SnJsonWalk *w); /* goes into the container that comes next; false: none does */
bool sn_json_more(SnJsonWalk *w, SnBytes *key); /* is there one more value in it? Else goes out of it */
bool sn_json_take(SnJsonWalk *w, SnJson *v);    /* reads the value that comes next, without its key */
bool sn_json_take_string(SnJsonWalk *w, SnBytes *out); /* false: failed, or it is something else */
bool sn_json_take_pair(SnJsonWalk *w, SnBytes out[2]); /* an array of two strings; the same */
SN_MUST_CHECK SnStatus sn_json_walk_end(SnJsonWalk *w);

const SnJson *sn_json_get(const SnJson *object, const char *key); /* NULL: absent or not an object */
const SnJson *sn_json_at(const SnJson *array, uint32_t i);        /* NULL: past the end or not an array */
bool sn_json_is_null(const SnJson *v);                            /* NULL counts as null */
bool sn_json_int(const SnJson *v, int64_t *out);                  /* false: not an integral number */
bool sn_json_number(const SnJson *v, double *out);
bool sn_json_bool(const SnJson *v, bool *out);
bool sn_json_string(const SnJson *v, SnBytes *out);
bool sn_json_is(const SnJson *v, const char *text); /* a string equal to text */
/* A field of an object; otherwise where it is absent or of another kind. */
bool sn_json_bool_of(const SnJson *object, const char *key, bool otherwise);
int64_t sn_json_int_of(const SnJson *object, const char *key, int64_t otherwise);
double sn_json_number_of(const SnJson *object, const char *key, double otherwise);
SnBytes sn_json_string_of(const SnJson *object, const char *key, const char *otherwise);

/* A decimal number as JSON spells it, correctly rounded, whatever the locale; false: not one, or not all of
 * it. */
bool sn_parse_f64(SnBytes text, double *out);

/* Writing. Floats print shortest form that reads back equal as a double (sn_json_put_f32: as a float). */
void sn_json_put_string(SnText *t, SnBytes s);
void sn_json_put_int(SnText *t, int64_t v);
void sn_json_put_f64(SnText *t, double v);
void sn_json_put_f32(SnText *t, float v);
void sn_json_put(SnText *t, const SnJson *v);
void sn_json_put_member(SnText *t, const SnJson *v); /* "key": value */

#endif
