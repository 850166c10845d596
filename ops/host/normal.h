/* normal.h -- normalisation forms, grapheme clusters and character maps. Private to ops/host.
 *
 * The tables are in normal_table.c, made by tools/normal_table.py. */
#ifndef SN_NORMAL_H
#define SN_NORMAL_H

#include "ops/host/tok.h"

typedef enum SnBreak { /* Grapheme_Cluster_Break, with what emoji and conjuncts need */
                       SN_BREAK_OTHER,
                       SN_BREAK_CR,
                       SN_BREAK_LF,
                       SN_BREAK_CONTROL,
                       SN_BREAK_EXTEND,
                       SN_BREAK_LINKER,   /* Extend, Indic_Conjunct_Break=Linker */
                       SN_BREAK_CONJUNCT, /* Extend, Indic_Conjunct_Break=Extend */
                       SN_BREAK_ZWJ,
                       SN_BREAK_INDICATOR,
                       SN_BREAK_PREPEND,
                       SN_BREAK_SPACING,
                       SN_BREAK_L,
                       SN_BREAK_V,
                       SN_BREAK_T,
                       SN_BREAK_LV,
                       SN_BREAK_LVT,
                       SN_BREAK_PICTO,     /* Extended_Pictographic */
                       SN_BREAK_CONSONANT, /* Indic_Conjunct_Break=Consonant */
} SnBreak;

#define SN_FORM_BREAK    31u
#define SN_FORM_COMPAT   32u /* its NFKD is not its NFD */
#define SN_FORM_SECOND   64u /* may compose with what stands before it (but for Hangul) */
#define SN_COMPOSE_COUNT 940

extern const uint8_t sn_form_first[], sn_form_second[];
extern const uint16_t sn_nfkd_block[], sn_nfkd_at[];
extern const uint8_t sn_nfkd_low[];
extern const uint32_t sn_nfkd_pool[];
extern const uint64_t sn_compose_pair[]; /* first << 21 | second, sorted */
extern const uint32_t sn_compose_to[];

/* cp is at most SN_CP_LAST. */
static inline uint8_t sn_form(uint32_t cp)
{
    return sn_form_second[(uint32_t)sn_form_first[cp >> SN_CP_BLOCK_BITS] << SN_CP_BLOCK_BITS |
                          (cp & ((1u << SN_CP_BLOCK_BITS) - 1))];
}

typedef enum SnForm { SN_FORM_NFD = 1, SN_FORM_NFKD, SN_FORM_NFC, SN_FORM_NFKC } SnForm;

/* A step that adds, joins and drops characters writes, in place of `from`, what became of the characters of
 * src: positive for a character put in, else one replaced and so many dropped behind it. sn_tok_place turns
 * that into places; `empty` is the place of what stands before the first one. */
void sn_tok_place(const SnTokChar *src, size_t n, SnTokChar *dst, size_t m, int32_t empty);

/* Brings n characters into a form, at most cap of them; spare is like dst. SIZE_MAX: they are more. */
size_t sn_tok_form(SnForm form, const SnTokChar *src, size_t n, SnTokChar *dst, SnTokChar *spare, size_t cap);

/* How many of the n > 0 characters make the first grapheme cluster. Unicode Standard Annex #29. */
size_t sn_tok_cluster(const SnTokChar *c, size_t n);

typedef struct SnCharsmap { /* SentencePiece's precompiled map: a double array, strings that end in NUL */
    const uint32_t *unit;
    uint32_t nunit;
    SnBytes text;
} SnCharsmap;

/* Replaces clusters and characters by what the map has for them. */
size_t sn_tok_map(const SnCharsmap *map, const SnTokChar *src, size_t n, SnTokChar *dst, size_t cap,
                  int32_t empty);

#endif
