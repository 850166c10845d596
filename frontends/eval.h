/* eval.h -- metrics by the names, arguments and results of Hugging Face Evaluate. */
#ifndef SN_METRICS_H
#define SN_METRICS_H

#include "frontends/hub.h"

/* Computes a metric. input is an object: predictions, references and the metric's own arguments, as its
 * compute() takes them. Adds the result, an object, to *json. */
SN_API SN_MUST_CHECK SnStatus sn_metric_compute(SnContext *ctx, const char *name, const SnJson *input,
                                                SnText *json, SnError *err);
/* perplexity of texts by a decoder: {"predictions": [text ..], "add_start_token": true} adds {"perplexities":
 * [..], "mean_perplexity": ..}. */
SN_API SN_MUST_CHECK SnStatus sn_model_perplexity(SnModel *m, const SnJson *input, SnText *json,
                                                  SnError *err);
SN_API const char *sn_metric_name(size_t i); /* NULL: no more */

#endif
