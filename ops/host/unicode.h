/* unicode.h -- facts about code points, as the reference tokenizer has them.
 *
 * The tables are in unicode_table.c, made by tools/unicode_table.py. */
#ifndef SN_UNICODE_H
#define SN_UNICODE_H

#include "runtime/bytes.h"

#define SN_CP_SPACE      1u   /* White_Space */
#define SN_CP_DROP       2u   /* what BERT's clean_text removes: controls, unassigned, NUL, U+FFFD */
#define SN_CP_NONSPACING 4u   /* what BERT's strip_accents removes */
#define SN_CP_MARK       8u   /* what StripAccents removes */
#define SN_CP_PUNCT      16u  /* ASCII punctuation and symbols, and general category P */
#define SN_CP_NUMERIC    32u  /* Nd, Nl, No */
#define SN_CP_WORD       64u  /* \w of regular expressions */
#define SN_CP_CJK        128u /* ideographs that BERT sets apart */
#define SN_CP_DECOMPOSES 256u /* its NFD is not itself */

typedef struct SnCodeClass {
    int32_t lower;  /* lower case is this much further */
    uint16_t flags; /* SN_CP_ */
    uint8_t order;  /* rank of its combining class (of the first of its NFD); 0: a starter */
} SnCodeClass;

#define SN_CP_BLOCK_BITS 7
#define SN_CP_LAST       0x10FFFFu
#define SN_DOTTED_I      0x130u /* the only one whose lower case has two code points: i, U+0307 */

extern const SnCodeClass sn_code_classes[];
extern const uint8_t sn_code_first[], sn_code_second[];

/* cp is at most SN_CP_LAST. */
static inline const SnCodeClass *sn_code_class(uint32_t cp)
{
    const uint32_t block = sn_code_first[cp >> SN_CP_BLOCK_BITS];
    const uint32_t low = cp & ((1u << SN_CP_BLOCK_BITS) - 1);
    return &sn_code_classes[sn_code_second[block << SN_CP_BLOCK_BITS | low]];
}

/* Do two texts differ in case only, character by character? */
bool sn_equal_in_lower_case(SnBytes a, SnBytes b);

#endif
