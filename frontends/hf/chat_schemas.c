/* chat_schemas.c -- response templates of models whose tokenizers have none: how a family writes thoughts and tool
 * calls, by what its chat template writes.
 *
 * Those of Qwen and Gemma 4 are what Transformers 5.23 serves with (cli/serving/utils.py); the others are in its
 * language, after the chat templates that the models are published with. */
#include "frontends/hf/chat_parse.h"

/* clang-format off */
static const struct {
    const char *mark[2], *schema; /* texts of the chat template; the second may be NULL */
} known[] = {
    {{"<tool_call>", "<function="},
     "{\"defaults\":{\"role\":\"assistant\"},\"start_anchor\":\"<|im_start|>assistant\\n\",\"fields\":"
     "{"
     "\"reasoning_content\":{\"open\":\"<think>\",\"close\":\"</think>\",\"content\":\"text\"},"
     "\"tool_calls\":{\"open_pattern\":\"\\\\s*<tool_call>\\\\s*<function=(?P<name>[^>\\\\n]+)>\",\"cl"
     "ose_pattern\":\"</function>\\\\s*</tool_call>\",\"repeats\":true,\"content\":\"xml-inline\",\"co"
     "ntent_args\":{\"tag_pattern\":\"<parameter=(?P<key>[^>\\\\n]+)>\\\\s*(?P<value>.*?)\\\\s*</param"
     "eter>\"},\"transform\":{\"type\":\"function\",\"function\":{\"name\":\"{name}\",\"arguments\":\""
     "{content}\"}}},"
     "\"content\":{\"close_pattern\":\"\\\\s*(?:<\\\\|im_end\\\\|>|<\\\\|endoftext\\\\|>)\",\"content"
     "\":\"text\"}}}"},
    {{"<tool_call>", NULL},
     "{\"defaults\":{\"role\":\"assistant\"},\"start_anchor\":\"<|im_start|>assistant\\n\",\"fields\":"
     "{"
     "\"reasoning_content\":{\"open\":\"<think>\",\"close\":\"</think>\",\"content\":\"text\"},"
     "\"tool_calls\":{\"open_pattern\":\"\\\\s*<tool_call>\",\"close\":\"</tool_call>\",\"repeats\":tr"
     "ue,\"content\":\"json\",\"transform\":{\"type\":\"function\",\"function\":\"{content}\"}},"
     "\"content\":{\"close_pattern\":\"\\\\s*(?:<\\\\|im_end\\\\|>|<\\\\|endoftext\\\\|>|<\\\\|eot_id"
     "\\\\|>)\",\"content\":\"text\"}}}"},
    {{"<|tool_call>", "<|channel>"},
     "{\"defaults\":{\"role\":\"assistant\"},\"start_anchor\":[\"<|turn>model\\n\",\"<tool_response|>"
     "\"],\"fields\":{"
     "\"reasoning_content\":{\"open\":\"<|channel>thought\\n\",\"close\":\"<channel|>\",\"content\":\""
     "text\"},"
     "\"tool_calls\":{\"open_pattern\":\"<\\\\|tool_call>call:(?P<name>\\\\w+)\",\"close\":\"<tool_cal"
     "l|>\",\"repeats\":true,\"content\":\"json\",\"content_args\":{\"unquoted_keys\":true,\"string_de"
     "lims\":[[\"<|\\\"|>\",\"<|\\\"|>\"]]},\"transform\":{\"type\":\"function\",\"function\":{\"name"
     "\":\"{name}\",\"arguments\":\"{content}\"}}},"
     "\"content\":{\"close\":[\"<turn|>\",\"<|tool_response>\",\"<eos>\"],\"content\":\"text\"}}}"},
    {{"<|channel|>", "<|message|>"},
     "{\"defaults\":{\"role\":\"assistant\"},\"start_anchor\":\"<|start|>assistant\",\"fields\":{"
     "\"reasoning_content\":{\"open_pattern\":\"(?:<\\\\|start\\\\|>assistant)?<\\\\|channel\\\\|>anal"
     "ysis<\\\\|message\\\\|>\",\"close\":[\"<|end|>\",\"<|return|>\"],\"repeats\":true,\"join\":\"\\n"
     "\",\"content\":\"text\"},"
     "\"tool_calls\":{\"open_pattern\":\"(?:<\\\\|start\\\\|>assistant)?(?:<\\\\|channel\\\\|>(?:comme"
     "ntary|analysis) to=functions\\\\.(?P<name>[\\\\w.-]+)| to=functions\\\\.(?P<name>[\\\\w.-]+)<\\"
     "\\|channel\\\\|>(?:commentary|analysis))[^<]*(?:<\\\\|constrain\\\\|>\\\\w+)?<\\\\|message\\\\|>"
     "\",\"close\":[\"<|call|>\",\"<|end|>\",\"<|return|>\"],\"repeats\":true,\"content\":\"json\",\"c"
     "ontent_args\":{\"allow_non_json\":true},\"transform\":{\"type\":\"function\",\"function\":{\"nam"
     "e\":\"{name}\",\"arguments\":\"{content}\"}}},"
     "\"content\":{\"open_pattern\":\"(?:<\\\\|start\\\\|>assistant)?<\\\\|channel\\\\|>(?:final|comme"
     "ntary)(?! to=)[^<]*(?:<\\\\|constrain\\\\|>\\\\w+)?<\\\\|message\\\\|>\",\"close\":[\"<|end|>\","
     "\"<|return|>\"],\"repeats\":true,\"join\":\"\\n\",\"content\":\"text\"}}}"},
    {{"[TOOL_CALLS]", "[ARGS]"},
     "{\"defaults\":{\"role\":\"assistant\"},\"start_anchor\":\"[/INST]\",\"fields\":{"
     "\"reasoning_content\":{\"open\":\"[THINK]\",\"close\":\"[/THINK]\",\"content\":\"text\"},"
     "\"tool_calls\":{\"open_pattern\":\"\\\\[TOOL_CALLS\\\\]\\\\s*(?P<name>[\\\\w.-]+)(?:\\\\[CALL_ID"
     "\\\\]\\\\w+)?\\\\[ARGS\\\\]\",\"close_pattern\":\"(?=\\\\[TOOL_CALLS\\\\])|</s>|\\\\Z\",\"repeat"
     "s\":true,\"content\":\"json\",\"transform\":{\"type\":\"function\",\"function\":{\"name\":\"{nam"
     "e}\",\"arguments\":\"{content}\"}}},"
     "\"content\":{\"close\":\"</s>\",\"content\":\"text\"}}}"},
    {{"[TOOL_CALLS]", NULL},
     "{\"defaults\":{\"role\":\"assistant\"},\"start_anchor\":\"[/INST]\",\"fields\":{"
     "\"tool_calls\":{\"open\":\"[TOOL_CALLS]\",\"close_pattern\":\"</s>|\\\\Z\",\"content\":\"json\","
     "\"transform_each\":true,\"transform\":{\"type\":\"function\",\"function\":{\"name\":\"{name}\","
     "\"arguments\":\"{arguments}\"}}},"
     "\"content\":{\"close\":\"</s>\",\"content\":\"text\"}}}"},
    {{"<|python_tag|>", NULL},
     "{\"defaults\":{\"role\":\"assistant\"},\"start_anchor\":\"<|start_header_id|>assistant<|end_head"
     "er_id|>\\n\\n\",\"fields\":{"
     "\"tool_calls\":{\"open_pattern\":\"(?:^|<\\\\|python_tag\\\\|>|;)\\\\s*(?=\\\\{\\\\s*\\\"(?:name"
     "|type)\\\"[^{]*\\\"parameters\\\")\",\"close_pattern\":\"(?=;\\\\s*\\\\{)|<\\\\|eom_id\\\\|>|<\\"
     "\\|eot_id\\\\|>|\\\\Z\",\"repeats\":true,\"content\":\"json\",\"transform\":{\"type\":\"function"
     "\",\"function\":{\"name\":\"{content.name}\",\"arguments\":\"{content.parameters}\"}}},"
     "\"code\":{\"open_pattern\":\"<\\\\|python_tag\\\\|>(?!\\\\s*\\\\{)\",\"close\":[\"<|eom_id|>\","
     "\"<|eot_id|>\"],\"content\":\"text\"},"
     "\"content\":{\"close\":[\"<|eot_id|>\",\"<|eom_id|>\"],\"content\":\"text\"}}}"},
    {{"\357\275\234tool\342\226\201call\342\226\201begin", NULL},
     "{\"defaults\":{\"role\":\"assistant\"},\"start_anchor\":\"<\357\275\234Assistant\357\275\234>\","
     "\"fields\":{"
     "\"reasoning_content\":{\"open\":\"<think>\",\"close\":\"</think>\",\"content\":\"text\"},"
     "\"tool_calls\":{\"open_pattern\":\"\\\\s*(?:<\357\275\234tool\342\226\201calls\342\226\201begin"
     "\357\275\234>)?\\\\s*<\357\275\234tool\342\226\201call\342\226\201begin\357\275\234>function<"
     "\357\275\234tool\342\226\201sep\357\275\234>(?P<name>[^\\\\n]+)\\\\n```json\\\\n\",\"close_patte"
     "rn\":\"\\\\s*```<\357\275\234tool\342\226\201call\342\226\201end\357\275\234>(?:\\\\s*<"
     "\357\275\234tool\342\226\201calls\342\226\201end\357\275\234>)?\",\"repeats\":true,\"content\":"
     "\"json\",\"transform\":{\"type\":\"function\",\"function\":{\"name\":\"{name}\",\"arguments\":\""
     "{content}\"}}},"
     "\"content\":{\"close_pattern\":\"\\\\s*<\357\275\234end\342\226\201of\342\226\201sentence"
     "\357\275\234>\",\"content\":\"text\"}}}"},
    {{"</think>", NULL},
     "{\"defaults\":{\"role\":\"assistant\"},\"start_anchor_pattern\":\"<\\\\|im_start\\\\|>assistant("
     "?:\\\\n|<\\\\|im_sep\\\\|>)|<[|\357\275\234]Assistant[|\357\275\234]>\",\"fields\":{"
     "\"reasoning_content\":{\"open\":\"<think>\",\"close\":\"</think>\",\"content\":\"text\"},"
     "\"content\":{\"close_pattern\":\"\\\\s*(?:<\\\\|im_end\\\\|>|<\\\\|endoftext\\\\|>|<[|"
     "\357\275\234]end[^>]*>)\",\"content\":\"text\"}}}"},
};
/* clang-format on */

static bool has(SnBytes text, const char *what)
{
    const size_t n = what ? strlen(what) : 0;
    for (size_t i = 0; i + n <= text.n && what; i++)
        if (memcmp(text.at + i, what, n) == 0)
            return true;
    return !what;
}

const char *sn_chat_schema(SnBytes chat_template)
{
    for (size_t i = 0; i < SN_COUNT(known); i++)
        if (has(chat_template, known[i].mark[0]) && has(chat_template, known[i].mark[1]))
            return known[i].schema;
    return NULL;
}
