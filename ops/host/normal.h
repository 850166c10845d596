/* normal.h -- normalisation forms, grapheme clusters and character maps. Private to ops/host.
 *
 * What they know of code points lies in sections of the tokenizer's table, those that its steps read: a front
 * end writes them, from a file that tools/normal_table.py makes. */
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

#define SN_FORM_BREAK  31u
#define SN_FORM_COMPAT 32u  /* its NFKD is not its NFD */
#define SN_FORM_SECOND 64u  /* may compose with what stands before it (but for Hangul) */
#define SN_FORM_KEPT   128u /* NFC leaves a text of such characters as it is */

/* Which sections a step reads. FORM: two stages over blocks of code points. NFD and NFKD: what the code
 * points LOW[BLOCK[b] .. BLOCK[b + 1]) of 256 from b << 8 become, number i POOL[AT[i] .. AT[i + 1]); NFKD has
 * those with SN_FORM_COMPAT. COMPOSE: PAIR is first << 21 | second, sorted. */
#define SN_READS_FORM    1u
#define SN_READS_NFD     2u
#define SN_READS_NFKD    4u
#define SN_READS_COMPOSE 8u
uint32_t sn_tok_norm_reads(uint32_t kind);

/* cp is at most SN_CP_LAST. */
static inline uint8_t sn_form(const SnTokTable *t, uint32_t cp)
{
    return sn_tok_FORM_SECOND(t)[(uint32_t)sn_tok_FORM_FIRST(t)[cp >> SN_CP_BLOCK_BITS] << SN_CP_BLOCK_BITS |
                                 (cp & ((1u << SN_CP_BLOCK_BITS) - 1))];
}

typedef enum SnForm { SN_FORM_NFD = 1, SN_FORM_NFKD, SN_FORM_NFC, SN_FORM_NFKC } SnForm;

/* A step that adds, joins and drops characters writes, in place of `from`, what became of the characters of
 * src: positive for a character put in, else one replaced and so many dropped behind it. sn_tok_place turns
 * that into places; `empty` is the place of what stands before the first one. */
void sn_tok_place(const SnTokChar *src, size_t n, SnTokChar *dst, size_t m, int32_t empty);

/* Brings n characters into a form, at most cap of them; spare is like dst. SIZE_MAX: they are more. */
size_t sn_tok_form(const SnTokTable *t, SnForm form, const SnTokChar *src, size_t n, SnTokChar *dst,
                   SnTokChar *spare, size_t cap);

/* How many of the n > 0 characters make the first grapheme cluster. Unicode Standard Annex #29. */
size_t sn_tok_cluster(const SnTokTable *t, const SnTokChar *c, size_t n);

typedef struct SnCharsmap { /* SentencePiece's precompiled map: a double array, strings that end in NUL */
    const SnTokTable *t;
    const uint32_t *unit;
    uint32_t nunit;
    SnBytes text;
} SnCharsmap;

/* Replaces clusters and characters by what the map has for them. */
size_t sn_tok_map(const SnCharsmap *map, const SnTokChar *src, size_t n, SnTokChar *dst, size_t cap,
                  int32_t empty);

#endif
