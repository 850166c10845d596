/* regex.h -- regular expressions of tokenizers, metrics and files of other kinds: sets of code points, syntax
 * trees, matches.
 *
 * The syntax is Oniguruma's (Ruby), as far as it can be decided by machines that read a text once in each
 * direction; anything else is SN_EUNSUPPORTED and named. */
#ifndef SN_REGEX_H
#define SN_REGEX_H

#include "runtime/bytes.h"
#include "runtime/memory.h"

/* ---- sets (regex_set.c): sorted ranges that do not touch; a failed one is kept as such until the end
 * ------- */

typedef struct SnCodeSet {
    uint32_t *at; /* first, last of each range */
    uint32_t n, cap;
    bool failed; /* no memory */
} SnCodeSet;

void sn_set_add(SnArena *a, SnCodeSet *s, uint32_t first, uint32_t last);
void sn_set_add_all(SnArena *a, SnCodeSet *s, const SnCodeSet *more);
SnCodeSet sn_set_not(SnArena *a, const SnCodeSet *s);
SnCodeSet sn_set_and(SnArena *a, const SnCodeSet *x, const SnCodeSet *y);
bool sn_set_equal(const SnCodeSet *x, const SnCodeSet *y);
/* Adds what differs from a member in case only. */
void sn_set_fold(SnArena *a, SnCodeSet *s);
/* \s, \w, \d or \h by its letter. false: there is none. */
bool sn_set_escape(SnArena *a, SnCodeSet *s, char letter);
/* A general category, a script, or a class of POSIX, in any case, without spaces, hyphens and underscores.
 * false: there is none. */
bool sn_set_named(SnArena *a, SnCodeSet *s, SnBytes name);

/* ---- trees (regex_parse.c) ---------------------------------------------------------------------------- */

typedef enum SnRegexKind {
    SN_RE_SET,    /* one character of the set */
    SN_RE_LOOK,   /* nothing, if the next character is in the set, or where ends the text has no more */
    SN_RE_ALL,    /* the children, one after the other */
    SN_RE_ANY,    /* one of the children, the first that leads to a match */
    SN_RE_REPEAT, /* the child min to max times */
    SN_RE_AHEAD,  /* nothing, where the child matches, or `inverts`: where it does not */
    SN_RE_BEHIND, /* nothing, where a match of the child ends, or `inverts`: where none does (not of Python)
                   */
    SN_RE_GROUP,  /* the child; what it matched has a name (of Python alone, as the one that follows) */
    SN_RE_BEGIN   /* nothing, where the text begins */
} SnRegexKind;

typedef struct SnRegexNode {
    SnRegexKind kind;
    bool ends, is_lazy, is_possessive, inverts;
    SnBytes name;
    SnCodeSet set;
    uint32_t min, max; /* max SN_RE_MORE: any number */
    struct SnRegexNode *child, *next;
} SnRegexNode;
#define SN_RE_MORE 0xFFFFFFFFu

SN_MUST_CHECK SnStatus sn_regex_parse(SnArena *a, SnBytes pattern, SnRegexNode **out, SnError *err);
/* Python's syntax, with DOTALL: named groups, look-ahead of any length, ^ and \Z. */
SN_MUST_CHECK SnStatus sn_regex_parse_python(SnArena *a, SnBytes pattern, SnRegexNode **out, SnError *err);

/* ---- matches (regex_match.c): by backtracking that visits no place twice --------------------------------
 */

#define SN_RE_GROUPS 16
typedef struct SnRegex SnRegex;
typedef struct SnRegexMatch {
    size_t begin, end; /* bytes */
    struct {
        size_t begin, end; /* end below begin: it took no part */
    } group[SN_RE_GROUPS];
} SnRegexMatch;
SN_MUST_CHECK SnStatus sn_regex_compile(SnArena *a, SnBytes pattern, SnRegex **out, SnError *err);
/* Names of groups, each once. */
uint32_t sn_regex_names(const SnRegex *r, const SnBytes **out);
/* The first match that begins at `from` or behind it, in Python's order of choice. */
SN_MUST_CHECK SnStatus sn_regex_search(SnArena *a, const SnRegex *r, SnBytes text, size_t from,
                                       SnRegexMatch *out, bool *found, SnError *err);

/* ---- the walk (regex_walk.c) -------------------------------------------------------------------------- */

typedef struct SnRegexDfa { /* see SnTokRegex */
    const uint32_t *edge;
    const uint8_t *class; /* of all blocks */
    size_t nchar;
    uint32_t nclass, nstate;
} SnRegexDfa;

/* The edges that find all matches, of *nout states; 0: there is no such machine, because the pattern leaves
 * text out or is too large. Behind them *npair edges a state of two characters, where those are few. */
SN_MUST_CHECK SnStatus sn_regex_walk(SnArena *work, SnArena *keep, const SnRegexDfa *d, uint32_t **out,
                                     uint32_t *nout, uint32_t *npair, SnError *err);

#endif
