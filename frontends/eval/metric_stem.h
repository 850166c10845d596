/* metric_stem.h -- stems of English words. */
#ifndef SN_METRIC_STEM_H
#define SN_METRIC_STEM_H

#include "runtime/bytes.h"

/* In place, a word of a to z and digits; returns its length, which is not larger than n. */
size_t sn_metric_stem(char *word, size_t n);

#endif
