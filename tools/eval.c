/* eval.c -- `sinter eval`: a metric of a file of predictions and references. */
#include "tools/command.h"

#include "frontends/eval.h"

static void list_metrics(void)
{
    const char *name = NULL;
    for (size_t i = 0; (name = sn_metric_name(i)) != NULL; i++)
        (void)printf("%s\n", name);
}

int command_eval(const Args *a)
{
    SnJson *input = NULL;
    SnBytes text = {0};
    Session s = {0};
    if (a->n == 1 && strcmp(a->at[0], "list") == 0) {
        list_metrics();
        return EXIT_DONE;
    }
    if (a->n != 2)
        return usage_error(a, "expected METRIC FILE, or list");
    const char *model = arg_value(a, "--model");
    if (model && strcmp(a->at[0], "perplexity") != 0)
        return usage_error(a, "--model is for perplexity");
    int rc = session_open(a, model, NULL, &s);
    SnText out = {.memory = s.arena.memory};
    if (rc == EXIT_DONE)
        rc = read_file(&s.arena, a->at[1], &text);
    if (rc == EXIT_DONE) {
        SnStatus st = sn_json_parse(&s.arena, a->at[1], text, &input, &s.err);
        if (st == SN_OK)
            st = model ? sn_model_perplexity(s.model, input, &out, &s.err)
                       : sn_metric_compute(s.ctx, a->at[0], input, &out, &s.err);
        if (st == SN_OK)
            (void)printf("%s\n", out.at);
        rc = report(NULL, st, &s.err);
    }
    sn_text_clear(&out);
    session_close(&s);
    return rc;
}
