/* source.h -- what source_emit.c and source_host.c share. */
#ifndef SN_SOURCE_H
#define SN_SOURCE_H

#include "tests/embed/embed.h"

enum { SOURCE_SEED = 11, SOURCE_WIDTH = 4, SOURCE_TEXTS = 3 };
static const char *const source_text[SOURCE_TEXTS] = {"hello world", "",
                                                      "a hello that is longer, and odd: \xff"};

typedef struct SourceExpected {
    EmbedOutput small;
    float vector[SOURCE_TEXTS][SOURCE_WIDTH];
} SourceExpected;

#endif
