/* metric_test.c -- metrics: values that are known, arguments and inputs that are wrong. */
#include "frontends/eval.h"
#include "runtime/context.h"

#include "tests/unit/unit.h"

#include <stdio.h>

static SnStatus compute(const char *name, const char *text, char *out, size_t size)
{
    SnArena arena;
    SnContext *ctx = NULL;
    SnJson *json = NULL;
    SnError err = {0};
    const SnContextDesc desc = {.struct_size = sizeof desc};
    assert_int_equal(sn_context_create(&desc, &ctx, &err), SN_OK);
    sn_arena_init(&arena, sn_allocator(ctx));
    SnText result = {.memory = sn_allocator(ctx)};
    assert_int_equal(sn_json_parse(&arena, "input", sn_bytes_str(text), &json, &err), SN_OK);
    const SnStatus st = sn_metric_compute(ctx, name, json, &result, &err);
    (void)snprintf(out, size, "%s", st == SN_OK ? result.at : err.message);
    sn_text_clear(&result);
    sn_arena_clear(&arena);
    sn_context_destroy(ctx);
    return st;
}

static void metric_known_inputs_give_known_values(void **state)
{
    static const char *const rows[][3] = {
        {"accuracy", "{\"predictions\": [0, 1, 1, 0], \"references\": [0, 1, 0, 0]}", "{\"accuracy\": 0.75}"},
        {"f1", "{\"predictions\": [0, 1, 1, 0], \"references\": [0, 1, 1, 0], \"average\": null}",
         "{\"f1\": [1.0, 1.0]}"},
        {"precision", "{\"predictions\": [0, 0], \"references\": [1, 0], \"zero_division\": 1}",
         "{\"precision\": 1.0}"},
        {"mse", "{\"predictions\": [1, 2], \"references\": [1, 4]}", "{\"mse\": 2.0}"},
        {"perplexity", "{\"losses\": [0, [0, 0]]}",
         "{\"perplexities\": [1.0, 1.0], \"mean_perplexity\": 1.0}"},
        {"wer", "{\"predictions\": [\"a  b x\"], \"references\": [\"a b c d\"]}", "{\"wer\": 0.5}"},
        {"wer", "{\"predictions\": [\"a b\"], \"references\": [\"\"]}", "{\"wer\": 2.0}"},
        {"bleu", "{\"predictions\": [\"a b c d.\"], \"references\": [[\"a b c d.\", \"x\"]]}",
         "{\"bleu\": 1.0, \"precisions\": [1.0, 1.0, 1.0, 1.0], \"brevity_penalty\": 1.0, \"length_ratio\": "
         "5.0, "
         "\"translation_length\": 5, \"reference_length\": 1}"},
        {"chrf", "{\"predictions\": [\"\"], \"references\": [\"a\"]}",
         "{\"score\": 0.0, \"char_order\": 6, \"word_order\": 0, \"beta\": 2.0, \"signature\": "
         "\"nrefs:1|case:mixed|eff:yes|nc:6|nw:0|space:no|version:2.6.0\"}"},
        {"ter", "{\"predictions\": [\"c a b\"], \"references\": [\"a b c\"]}",
         "{\"score\": 33.33333333333333, \"num_edits\": 1, \"ref_length\": 3.0}"},
        {"rouge",
         "{\"predictions\": [\"the cats\"], \"references\": [\"a cat\"], \"rouge_types\": [\"rouge1\"], "
         "\"use_stemmer\": true}",
         "{\"rouge1\": 0.5}"},
        {"seqeval", "{\"predictions\": [[\"B-A\", \"O\"]], \"references\": [[\"B-A\", \"B-B\"]]}",
         "{\"A\": {\"precision\": 1.0, \"recall\": 1.0, \"f1\": 1.0, \"number\": 1}, \"B\": {\"precision\": "
         "0.0, "
         "\"recall\": 0.0, \"f1\": 0.0, \"number\": 1}, \"overall_precision\": 1.0, \"overall_recall\": 0.5, "
         "\"overall_f1\": 0.6666666666666666, \"overall_accuracy\": 0.5}"},
        {"cer", "{\"predictions\": [\" ab\"], \"references\": [\"abcd \"]}", "{\"cer\": 0.5}"},
        {"exact_match",
         "{\"predictions\": [\"\u00c4!1\"], \"references\": [\"\u00e4\"], \"ignore_case\": true, "
         "\"ignore_punctuation\": true, \"ignore_numbers\": true}",
         "{\"exact_match\": 1.0}"},
        {"squad",
         "{\"predictions\": [{\"id\": \"1\", \"prediction_text\": \"the  Cat!\"}], \"references\": [{\"id\": "
         "\"1\", \"answers\": {\"text\": [\"dog\", \"a cat\"]}}]}",
         "{\"exact_match\": 100.0, \"f1\": 100.0}"},
        {"squad_v2",
         "{\"predictions\": [{\"id\": \"1\", \"prediction_text\": \"the cat\", \"no_answer_probability\": "
         "0.5}, "
         "{\"id\": \"2\", \"prediction_text\": \"dog\", \"no_answer_probability\": 0.25}], \"references\": "
         "[{\"id\": \"1\", \"answers\": {\"text\": [\"a black cat\"]}}, {\"id\": \"2\", \"answers\": "
         "{\"text\": []}}]}",
         "{\"exact\": 0.0, \"f1\": 33.33333333333333, \"total\": 2, \"HasAns_exact\": 0.0, \"HasAns_f1\": "
         "66.66666666666666, \"HasAns_total\": 1, \"NoAns_exact\": 0.0, \"NoAns_f1\": 0.0, \"NoAns_total\": "
         "1, "
         "\"best_exact\": 50.0, \"best_exact_thresh\": 0.0, \"best_f1\": 50.0, \"best_f1_thresh\": 0.0}"},
        {"pearsonr", "{\"predictions\": [1, 1], \"references\": [1, 4]}", "{\"pearsonr\": NaN}"},
    };
    char out[512];
    (void)state;
    for (size_t i = 0; i < SN_COUNT(rows); i++) {
        assert_int_equal(compute(rows[i][0], rows[i][1], out, sizeof out), SN_OK);
        assert_string_equal(out, rows[i][2]);
    }
}

static void metric_wrong_inputs_fail(void **state)
{
    static const char *const rows[][3] = {
        {"accuracy", "[]", "accuracy: expected an object"},
        {"accuracy", "{\"predictions\": [1], \"references\": [1, 2]}",
         "accuracy: 1 predictions, but 2 references"},
        {"accuracy", "{\"predictions\": [], \"references\": []}", "accuracy: predictions is empty"},
        {"accuracy", "{\"predictions\": [\"a\"], \"references\": [1]}",
         "accuracy: strings and numbers are mixed at predictions[0]"},
        {"f1", "{\"predictions\": [1], \"references\": [1], \"average\": \"mix\"}",
         "f1: average cannot be 'mix'"},
        {"recall", "{\"predictions\": [2, 3], \"references\": [2, 3]}",
         "recall: pos_label is none of the labels"},
        {"mae", "{\"predictions\": [NaN], \"references\": [1]}", "mae: predictions[0] is no finite number"},
        {"perplexity", "{\"losses\": [[]]}", "perplexity: losses[0] is empty"},
        {"cer", "{\"predictions\": [1], \"references\": [\"\"]}", "cer: expected a string at 0"},
        {"squad", "{\"predictions\": [1], \"references\": [\"\"]}", "squad: expected a string at 0"},
        {"bleu", "{\"predictions\": [\"a\"], \"references\": [[]]}", "bleu: references[0] is empty"},
        {"bleu", "{\"predictions\": [\"a\"], \"references\": [\"a\"], \"max_order\": 33}",
         "bleu: max_order is no whole number from 1 to 32"},
        {"sacrebleu", "{\"predictions\": [\"a\"], \"references\": [\"a\"], \"tokenize\": \"spm\"}",
         "sacrebleu: tokenize cannot be 'spm'"},
        {"rouge", "{\"predictions\": [\"a\"], \"references\": [\"a\"], \"rouge_types\": [\"rouge0\"]}",
         "rouge: 'rouge0' is none of rouge1 to rouge9, rougeL, rougeLsum"},
        {"seqeval", "{\"predictions\": [[\"B-A\"]], \"references\": [[]]}",
         "seqeval: predictions[0] has 1 tags, its reference 0"},
        {"seqeval", "{\"predictions\": [[\"X-A\"]], \"references\": [[\"B-A\"]], \"mode\": \"strict\"}",
         "seqeval: tag 'X-A' is not of scheme IOB2"},
        {"nonesuch", "{}", "nonesuch: no such metric"},
    };
    char out[512];
    (void)state;
    for (size_t i = 0; i < SN_COUNT(rows); i++) {
        assert_int_not_equal(compute(rows[i][0], rows[i][1], out, sizeof out), SN_OK);
        assert_string_equal(out, rows[i][2]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(metric_known_inputs_give_known_values),
        cmocka_unit_test(metric_wrong_inputs_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
