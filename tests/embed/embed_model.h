/* embed_model.h -- what the tests of the public API compile: a program made by the builder, and a model. */
#ifndef SN_EMBED_MODEL_H
#define SN_EMBED_MODEL_H

#include "frontends/hub.h"
#include "tests/embed/embed.h"

/* With weights, lists, a loop, a cond, a measured dim and a carry.
 * Inputs x f32[n, 16] and ids, lists of i32 [n]; outputs y f32[n, 16], ids i32[n, longest], total f32[],
 * and the stream energy f32[layers]. */
void embed_graph(SnGraph *g);

enum { EMBED_VOCAB = 27, EMBED_HIDDEN = 8 };

/* A BERT of 1 to 99 layers with tokenizer, pooling, dense and normalize, in a new folder below /tmp whose name
 * is put into folder. */
SN_MUST_CHECK SnStatus embed_layers_create(SnContext *ctx, int layers, char folder[64], SnError *err);
SN_MUST_CHECK SnStatus embed_model_create(SnContext *ctx, char folder[64], SnError *err); /* of one layer */
void embed_folder_remove(const char *folder); /* with all that is in it */

#endif
