/* regex_table.h -- what the regular expressions of the reference know of each code point.
 *
 * The tables are in regex_table.c, made by tools/regex_table.py. */
#ifndef SN_REGEX_TABLE_H
#define SN_REGEX_TABLE_H

#include <stdint.h>

/* Runs of code points: (first << 8 | index of the name), sorted. */
extern const char *const sn_regex_category_names[], *const sn_regex_script_names[];
extern const uint32_t sn_regex_categories[], sn_regex_ncategory, sn_regex_scripts[], sn_regex_nscript;

/* The same, of the scripts that the pre-tokenizer UnicodeScripts splits at; 0 goes with what is before it. */
extern const uint32_t sn_regex_split_scripts[], sn_regex_nsplit_script, sn_regex_split_kinds;

/* Other sets, the first ones are escapes: bits of categories, and the ranges [set_first[i], set_first[i + 1])
 * of set_rest: pairs. */
#define SN_REGEX_ESCAPES 4
extern const char *const sn_regex_set_names[];
extern const uint32_t sn_regex_set_categories[], sn_regex_set_first[], sn_regex_set_rest[];

/* Pairs (a, b): a is like b where case is ignored; b is the lowest of those that are alike. */
extern const uint32_t sn_regex_folds[], sn_regex_nfold;

#endif
