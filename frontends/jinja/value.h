/* value.h -- what expressions of a template are about: values of Python, and the run that makes them.
 *
 * Everything lives in the run's arena and dies with it. Strings are UTF-8 and know their code points. */
#ifndef SN_JINJA_VALUE_H
#define SN_JINJA_VALUE_H

#include "frontends/jinja/jinja.h"

typedef struct SnJiNode SnJiNode;
typedef struct SnJiRun SnJiRun;
typedef struct SnJiScope SnJiScope;
typedef struct SnJiValue SnJiValue;
typedef struct SnJiRow SnJiRow;

typedef enum SnJiKind {
    SN_JI_MISSING, /* no value at all: an argument that was not given, a variable that was never set */
    SN_JI_UNDEFINED,
    SN_JI_NONE,
    SN_JI_BOOL,
    SN_JI_INT,
    SN_JI_BIG, /* an integer that needs more than 64 bits */
    SN_JI_FLOAT,
    SN_JI_STRING,
    SN_JI_LIST,
    SN_JI_TUPLE,
    SN_JI_DICT,
    SN_JI_RANGE,
    SN_JI_VIEW, /* keys(), values(), items() of a dict */
    SN_JI_ITER, /* generators and iterators: gone through once */
    SN_JI_NAMESPACE,
    SN_JI_LOOP,
    SN_JI_MACRO,
    SN_JI_FUNCTION, /* a global, or a method with its object */
    SN_JI_CYCLER,
    SN_JI_JOINER
} SnJiKind;

typedef struct SnJiText {
    const char *at;
    uint32_t n, count; /* bytes, code points */
} SnJiText;

/* Digits of 32 bits, the least first; the last is not 0. */
typedef struct SnJiBig {
    const uint32_t *at;
    uint32_t n;
    bool is_negative;
} SnJiBig;

typedef struct SnJiList SnJiList;
typedef struct SnJiDict SnJiDict;
typedef struct SnJiRange SnJiRange;
typedef struct SnJiIter SnJiIter;
typedef struct SnJiLoop SnJiLoop;
typedef struct SnJiMacro SnJiMacro;
typedef struct SnJiBound SnJiBound;
typedef struct SnJiCycler SnJiCycler;

struct SnJiValue {
    uint8_t kind; /* SnJiKind */
    bool is_safe; /* STRING: Markup */
    union {
        bool boolean;
        int64_t integer;
        const SnJiBig *big;
        double number;
        SnJiText text;       /* STRING */
        const char *message; /* UNDEFINED */
        SnJiList *list;      /* LIST, TUPLE, VIEW; CYCLER's items */
        SnJiDict *dict;      /* DICT, NAMESPACE */
        SnJiRange *range;
        SnJiIter *iter;
        SnJiLoop *loop;
        SnJiMacro *macro;
        SnJiBound *bound;   /* FUNCTION */
        SnJiCycler *cycler; /* and JOINER */
    } u;
};

struct SnJiList {
    SnJiValue *at;
    size_t n, cap;
    const char *type; /* VIEW: "dict_keys" ... */
};

typedef struct SnJiPair {
    SnJiValue key, value;
} SnJiPair;
struct SnJiDict {
    SnJiPair *at; /* in the order of insertion */
    size_t n, cap;
    uint32_t *slot; /* of a hash table of 2 cap slots, index + 1; NULL while small */
};

struct SnJiRange {
    int64_t start, stop, step;
    size_t n;
};

struct SnJiIter {
    const SnJiValue *at;
    size_t n, pos;
    const char *type;
    SnError *late; /* what going past the last item comes to; or NULL */
};

struct SnJiCycler {
    SnJiValue *item; /* JOINER: the separator */
    size_t n, pos;
};

typedef struct SnJiKeyword {
    SnBytes name;
    SnJiValue value;
} SnJiKeyword;

typedef struct SnJiArgs {
    const SnJiValue *at;
    size_t n;
    const SnJiKeyword *kw;
    size_t nkw;
} SnJiArgs;

/* A filter, test, global, method or property. params, divided by spaces: name, then perhaps a type (`:i` an
 * integer, `:n` one or none, `:s` a string, `:t` one or none) and `?` where it may be left out, or `=` and
 * the integer it then is. "*": takes anything, and looks at args; "=": a property, called as it is read. */
#define SN_JI_MAX_PARAMS 6
typedef struct SnJiCall {
    SnJiRun *run;
    const SnJiRow *row;
    SnJiValue self;                /* what is filtered or tested, or whose method it is */
    SnJiValue v[SN_JI_MAX_PARAMS]; /* MISSING: not given, or none where that is allowed */
    SnJiArgs args;
} SnJiCall;
typedef SnStatus SnJiFn(SnJiCall *c, SnJiValue *out);
struct SnJiRow {
    const char *name;
    SnJiFn *call; /* NULL: refused by name; without params too: the sandbox hides it, it changes its object */
    const char *params;
    uint32_t how; /* tells apart the rows of one function */
    bool is_lazy; /* gives a generator: an error is one when that is gone through */
};

struct SnJiBound {
    const SnJiRow *row;
    SnJiValue self;
};

#endif
