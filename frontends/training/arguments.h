/* arguments.h -- what a training is told: a JSON object of keys of one table, and their defaults. */
#ifndef SN_TRAIN_ARGUMENTS_H
#define SN_TRAIN_ARGUMENTS_H

#include "frontends/training.h"

/* The value of a key, else its default. config may be NULL; the key must stand in the table. */
const SnJson *sn_arg(const SnJson *config, const char *key); /* NULL: absent or null */
bool sn_arg_bool(const SnJson *config, const char *key);
int64_t sn_arg_int(const SnJson *config, const char *key);
double sn_arg_number(const SnJson *config, const char *key);
const char *sn_arg_string(const SnJson *config, const char *key); /* lives as long as config; NULL: null */
/* Null, or its default. */
bool sn_arg_is_usual(const SnTrainKey *k, const SnJson *v);
/* Edits that make b of a: insertions, removals, replacements. */
size_t sn_arg_distance(SnBytes a, const char *b);

#endif
