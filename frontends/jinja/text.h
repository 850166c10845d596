/* text.h -- code points and texts as Python's str has them. */
#ifndef SN_JINJA_TEXT_H
#define SN_JINJA_TEXT_H

#include "runtime/bytes.h"

#define SN_JI_ALPHA     1u
#define SN_JI_DECIMAL   2u
#define SN_JI_DIGIT     4u
#define SN_JI_NUMERIC   8u
#define SN_JI_SPACE     16u
#define SN_JI_UPPER     32u
#define SN_JI_LOWER     64u
#define SN_JI_PRINTABLE 128u
#define SN_JI_START     256u /* of an identifier */
#define SN_JI_WORD      512u /* \w */
#define SN_JI_CASED     1024u
#define SN_JI_IGNORABLE 2048u /* Case_Ignorable */
#define SN_JI_TITLE     4096u
#define SN_JI_SPECIAL   8192u /* a case of it has several code points */

typedef enum SnJiCase { SN_JI_TO_UPPER, SN_JI_TO_LOWER, SN_JI_TO_TITLE } SnJiCase;

/* Facts of the code points from `first` to the next run (unicode_table.c). */
typedef struct SnJiCodeRun {
    uint32_t first, flags;
    int32_t to[3]; /* by SnJiCase: that case is so much further */
} SnJiCodeRun;
typedef struct SnJiCodeSpecial {
    uint32_t cp, to[3][3]; /* 0: no more */
} SnJiCodeSpecial;
extern const SnJiCodeRun sn_ji_code_runs[];
extern const uint32_t sn_ji_ncode_runs;
extern const SnJiCodeSpecial sn_ji_code_specials[];
extern const uint32_t sn_ji_ncode_specials;

/* HTML's names and what they stand for, with \1 around each (entity_table.c); "#128": numbers that
 * stand for another character. */
extern const char sn_ji_entities[];

uint32_t sn_ji_code_flags(uint32_t cp);
int sn_ji_code_case(uint32_t cp, SnJiCase to, uint32_t out[3]); /* returns how many */
/* Of the code point at `at` in a text: a capital sigma that ends a word has a lower case of its own. */
int sn_ji_case_at(const char *text, const char *end, const char *at, SnJiCase to, uint32_t out[3]);

static inline unsigned sn_ji_digit(char c) /* of a base up to 36; 36: none */
{
    const char low = (char)(c | 32);
    return c >= '0' && c <= '9'       ? (unsigned)(c - '0')
           : low >= 'a' && low <= 'z' ? (unsigned)(low - 'a' + 10)
                                      : 36;
}
/* The code point at p, which is valid UTF-8; *p goes past it. */
uint32_t sn_ji_next_code(const char **p);
uint32_t sn_ji_code_before(const char **p); /* and back */
uint32_t sn_ji_count_codes(const char *at, size_t n);

#endif
