/* jinja.h -- templates of the Jinja language over JSON values, as chat templates use it.
 *
 * Results are those of jinja2 3.1.6: its immutable sandbox with trim_blocks, lstrip_blocks and loop controls,
 * and what Transformers adds to it ({% generation %}, tojson without escapes of HTML, raise_exception,
 * strftime_now). A template may be hostile: parsing and rendering have limits on depth, steps, memory and
 * size.
 *
 * Left out, and refused by name: extends, include, import, autoescape, and methods of str that need other
 * types (encode, translate, maketrans). Integers end at 32,768 bits, those in decimal at 4,300 digits. */
#ifndef SN_JINJA_H
#define SN_JINJA_H

#include "runtime/json.h"

typedef struct SnJinja SnJinja;

/* text: valid UTF-8. The template lives in the arena, for which the caller may have set a limit; the text
 * need not stay. name is for messages. */
SN_MUST_CHECK SnStatus sn_jinja_parse(SnArena *arena, const char *name, SnBytes text, SnJinja **out,
                                      SnError *err);

typedef struct SnJinjaSpan { /* code points of the output */
    uint64_t begin, end;
} SnJinjaSpan;
typedef SN_VEC(SnJinjaSpan) SnJinjaSpans;

typedef struct SnJinjaRender {
    const SnJson *const *vars; /* objects: variables; of two of one name the later */
    size_t nvars;
    int64_t now;        /* seconds since 1970, for strftime_now; 0: the clock */
    uint64_t seed;      /* of the filter random and lipsum() */
    uint64_t max_steps; /* 0: the usual limits */
    size_t max_memory, max_size;
    SnJinjaSpans *spans; /* what {% generation %} wrote; or NULL */
} SnJinjaRender;

/* Appends to out. raise_exception of the template: SN_EINVAL, and its text is the message, as it stands; any
 * other message begins with the template's name and a line. */
SN_MUST_CHECK SnStatus sn_jinja_render(const SnJinja *t, const SnJinjaRender *o, SnText *out, SnError *err);

#endif
