/* metric_split.h -- texts into words, as the tokenizers of sacreBLEU and tercom divide them. */
#ifndef SN_METRIC_SPLIT_H
#define SN_METRIC_SPLIT_H

#include "frontends/eval/metric.h"
#include "frontends/tokenizer/regex.h"

typedef enum SnSplit {
    SN_SPLIT_13A,
    SN_SPLIT_INTL,
    SN_SPLIT_CHAR,
    SN_SPLIT_ZH,
    SN_SPLIT_NONE,
    SN_SPLIT_TERCOM
} SnSplit;
extern const char *const sn_split_names[]; /* sacreBLEU's, those before TERCOM; the last is NULL */

typedef struct SnSplitter {
    SnMetricRun *r;
    SnSplit how;
    bool lowers, normalizes, drops_punct, is_asian, is_reference; /* all but the first: tercom */
    SnCodeSet punct, number, symbol;
} SnSplitter;
SnStatus sn_splitter_open(SnMetricRun *r, SnSplit how, SnSplitter *out);
/* Words in the memory of the row, by their numbers in t. */
SnStatus sn_splitter_words(SnSplitter *s, SnTrie *t, SnBytes text, SnIds *out);

#endif
