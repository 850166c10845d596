/* splits.c -- the patterns behind the names of tokenizer.ggml.pre.
 *
 * Names are those of llama.cpp (src/llama-vocab.cpp); patterns are those of the tokenizer.json that each name
 * was given to, whose texts are split likewise. */
#include "frontends/gguf/splits.h"

#define SHORT "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
#define FIRST "[^\\r\\n\\p{L}\\p{N}]?"
#define UPPER "[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]"
#define LOWER "[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]"
#define OTHER " ?[^\\s\\p{L}\\p{N}]+"
#define BLANK "\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"
#define CASED FIRST UPPER "*" LOWER "+" SHORT "?|" FIRST UPPER "+" LOWER "*" SHORT "?|"
#define ASIAN                                                                                                \
    "[\u4E00-\u9FFF\u3400-\u4DBF\u8C48-\uFAFF\u3040-\u309F\u30A0-\u30FF\uFF65-\uFF9F\u2F00-\u2FDF"           \
    "\u0E40-\u0E7F\u0E80-\u0EFF\u1780-\u17FF\u1000-\u109F\uAA60-\uAA7F\uA9E0-\uA9FF\uAC00-\uD7AF"            \
    "\u1100-\u11FF]+"
#define NO_HAN  "(?!\\p{Han})"
#define K2_UP   "(?:" NO_HAN UPPER ")"
#define K2_LOW  "(?:" NO_HAN LOWER ")"
#define CHINESE "[一-龥ࠀ-一가-퟿]+"
#define JAPAN   "[一-龥぀-ゟ゠-ヿ]+"
#define MARKED                                                                                               \
    "[!\"#$%&'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+|[^\\r\\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+| "    \
    "?[\\p{P}\\p{S}]+"
#define LATIN                                                                                                \
    "\\s?[A-Za-z\u00B5\u00C0-\u00D6\u00D8-\u00F6\u00F8-\u01BA\u01BC-\u01BF\u01C4-\u0293\u0295-\u02AF\u0370-" \
    "\u0373\u0376\u0377\u037B-\u037D\u037F\u0386\u0388-\u038A\u038C\u038E-\u03A1\u03A3-\u03F5\u03F7-"        \
    "\u0481\u048A-\u052F\u0531-\u0556\u10A0-\u10C5\u13A0-\u13F5\u13F8-\u13FD\u1C90-\u1CBA\u1CBD-"            \
    "\u1CBF\u1D00-\u1D2B\u1D6B-\u1D77\u1D79-\u1D9A\u1E00-\u1F15\u1F18-\u1F1D\u1F20-\u1F45\u1F48-"            \
    "\u1F4D\u1F50-\u1F57\u1F59\u1F5B\u1F5D\u1F5F-\u1F7D\u1F80-\u1FB4\u1FB6-\u1FBC\u1FBE\u1FC2-\u1FC4\u1FC6-" \
    "\u1FCC\u1FD0-\u1FD3\u1FD6-\u1FDB\u1FE0-\u1FEC\u1FF2-\u1FF4\u1FF6-\u1FFC\u2102\u2107\u210A-"             \
    "\u2113\u2115\u2119-\u211D\u2124\u2126\u2128\u212A-\u212D\u212F-\u2134\u2139\u213C-\u213F\u2145-"        \
    "\u2149\u214E\u2183\u2184\u2C00-\u2C7B\u2C7E-\u2CE4\u2CEB-\u2CEE\u2CF2\u2CF3\uA640-\uA66D\uA680-"        \
    "\uA69B\uA722-\uA76F\uA771-\uA787\uA78B-\uA78E\uAB70-\uABBF\uFB00-\uFB06\uFB13-\uFB17\uFF21-"            \
    "\uFF3A\uFF41-\uFF5A\U00010400-\U0001044F\U000104B0-\U000104D3\U000104D8-\U000104FB\U00010C80-"          \
    "\U00010CB2\U00010CC0-\U00010CF2\U000118A0-\U000118DF\U0001E900-\U0001E943]+"

/* Steps are patterns, one after the other; "digits": each digit by itself. */
static const SnGgufSplit splits[] = {
    {" gpt-2 gpt2 phi-2 jina-es jina-de gigachat jina-v2-es jina-v2-de a.x-4.0 mellum modern-bert jina-v1-en "
     "jina-v2-code roberta-bpe exaone4 mpt olmo jais trillion granite-docling ",
     {sn_split_gpt2},
     0},
    {" smollm starcoder refact command-r codeshell granite-code exaone minerva-7b mellum2 ",
     {"digits", sn_split_gpt2},
     0},
    {" default ", {"[\\p{P}\\$\\+<=>\\^~\\|]+", sn_split_gpt2, "\\p{N}+", "[0-9][0-9][0-9]"}, 0},
    {" llama-bpe llama3 llama-v3 falcon3 falcon-h1 pixtral midm-2.0 lfm2 jina-v5-nano ",
     {sn_split_cl100k},
     SN_GGUF_ADDS_BOS | SN_GGUF_WHOLE},
    {" dbrx smaug-bpe chatglm-bpe ", {sn_split_cl100k}, 0},
    {" glm4 glm5 ", {sn_split_cl100k}, SN_GGUF_WHOLE},
    {" jais-2 ",
     {SHORT
      "|" FIRST "\\p{L}+|\\p{N}{1,3}|" OTHER
      "[\\r\\n]*|\\s*[\\r\\n]+|\\s{512}(?!\\S)|\\s{256}(?!\\S)|\\s{128}(?!\\S)|"
      "\\s{64}(?!\\S)|\\s{32}(?!\\S)|\\s{16}(?!\\S)|\\s{8}(?!\\S)|\\s{4}(?!\\S)|\\s{1,2}(?!\\S)|\\s{1}"},
     0},
    {" qwen2 deepseek-r1-qwen kormo f2llmv2 stablelm2 megrez hunyuan solar-open grok-2 ",
     {sn_split_qwen2},
     0},
    {" qwen35 ", {SHORT "|" FIRST "[\\p{L}\\p{M}]+|\\p{N}| ?[^\\s\\p{L}\\p{M}\\p{N}]+[\\r\\n]*|" BLANK}, 0},
    {" ufakzeka ", {FIRST "\\p{L}+|\\p{N}|" OTHER "[\\r\\n]*|" BLANK}, 0},
    {" laguna ", {"[^\\n]+|[\\n]+", sn_split_qwen2}, 0},
    {" seed-coder ", {SHORT "|" FIRST "\\p{L}+|\\p{N}{1}| ?[^\\s\\p{L}\\p{N}\\r\\n]+|" BLANK}, 0},
    {" bailingmoe bailingmoe2 llada-moe ",
     {"'(?i:[sdmt]|ll|ve|re)|[^\\r\\n\\p{L}\\p{N}]?+\\p{L}+|\\p{N}| "
      "?[^\\s\\p{L}\\p{N}]++[\\r\\n]*|\\s*[\\r\\n]|\\s+(?!\\S)|\\s+"},
     0},
    {" exaone-moe ",
     {SHORT "|" FIRST "(?:\\p{L}\\p{M}*(?: \\p{L}\\p{M}*)*)+|\\p{N}|" OTHER
            "[\\r\\n/]?|\\s*[\\r\\n]|\\s+(?!\\S)|\\s+"},
     0},
    {" minicpm5 ",
     {"\\p{N}{1,3}", SHORT "|" FIRST "\\p{L}+|\\p{N}+|" OTHER "[\\r\\n]*|" BLANK},
     SN_GGUF_WHOLE},
    {" tekken ",
     {FIRST UPPER "*" LOWER "+|" FIRST UPPER "+" LOWER "*|\\p{N}|" OTHER "[\\r\\n/]*|" BLANK},
     SN_GGUF_ADDS_BOS | SN_GGUF_WHOLE},
    {" gpt-4o llama4 kanana2 talkie minimax-m2 ", {sn_split_o200k}, 0},
    {" granite-embed-multi-97m ", {sn_split_o200k}, SN_GGUF_WHOLE},
    {" youtu ",
     {"[가-힣ㄱ-ㆎ]+|[！…“”‘’—：；，、-〿︰-﹏]+|[ㄅ-ㄯ]+|" JAPAN,
      CASED "\\p{N}|" OTHER "[\\r\\n/]*|" BLANK},
     SN_GGUF_WHOLE},
    {" kimi-k2 ",
     {"[\\p{Han}]+|" FIRST K2_UP "*" K2_LOW "+" SHORT "?|" FIRST K2_UP "+" K2_LOW "*" SHORT
      "?|\\p{N}{1,3}|" OTHER "[\\r\\n]*|" BLANK},
     0},
    {" falcon ", {"[\\p{P}\\$\\+<=>\\^~\\|`]+", sn_split_gpt2, "[0-9][0-9][0-9]"}, 0},
    {" bloom poro-chat gpt3-finnish ", {" ?[^(\\s|.,!?…。，、।۔،)]+"}, 0},
    {" viking ", {" ?[^(\\s|.,!?…。，、।۔،)]+", "\\p{N}"}, 0},
    {" deepseek-v3 hunyuan-dense joyai-llm hy_v4 ", {"\\p{N}{1,3}", JAPAN, MARKED "[\\r\\n]*|" BLANK}, 0},
    {" afmoe ", {"\\p{N}{1,3}(?=(?:\\p{N}{3})*(?!\\p{N}))", ASIAN, MARKED "[\\r\\n]*|" BLANK}, 0},
    {" tiny_aya cohere2moe ", {"\\d{1,3}(?=(?:\\d{3})*\\b)", sn_split_o200k}, 0},
    {" superbpe ", {"\\p{N}+", "(?=(\\d{3})+(?!\\d))"}, 0},
    {" gemma4 granite-embed-multi-311m sarvam-moe ", {NULL}, SN_GGUF_PLAIN},
    {" whitespace ", {NULL}, SN_GGUF_PLAIN | SN_GGUF_BLANKS},
    {" spark2_5 ", {"\\p{N}{1,3}", JAPAN, MARKED "|[\\r\\n]|\\s+(?!\\S)|\\s+", "\\p{N}"}, 0},
    {" deepseek-llm ",
     {"[\\r\\n]", LATIN, "\\s?[!-/:-~！-／：-～‘-‟　-。]+", "\\s+$", CHINESE, "\\p{N}+"},
     0},
    {" deepseek-coder ", {"[\\r\\n]", "\\s?\\p{L}+", "\\s?\\p{P}+", CHINESE, "\\p{N}"}, 0},
    {" chameleon ",
     {"<sentinel:[0-9]+>", "(IMGIMG)((A|B|C|D|E|F|G|H|I){1,4})Z", "([\\t\\n]|    |  )", "\\p{N}",
      "[\\p{P}!-/:-@\\[-`{-~]", sn_split_gpt2},
     SN_GGUF_ADDS_BOS},
};

const SnGgufSplit *sn_gguf_split_find(SnBytes name)
{
    if (name.n == 0 || memchr(name.at, ' ', name.n))
        return NULL;
    for (size_t i = 0; i < SN_COUNT(splits); i++)
        for (const char *p = splits[i].names; *++p;) {
            const size_t n = strcspn(p, " ");
            if (n == name.n && memcmp(p, name.at, n) == 0)
                return &splits[i];
            p += n;
        }
    return NULL;
}

static bool are_steps(const SnGgufSplit *s, const char *const *step, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (i == SN_SPLIT_STEPS || !s->step[i] || strcmp(s->step[i], step[i]) != 0)
            return false;
    return n == SN_SPLIT_STEPS || (n > 0 && !s->step[n]);
}

SnBytes sn_gguf_split_name(const char *const *step, size_t n, bool is_whole)
{
    SnBytes found = sn_bytes("", 0);
    for (size_t i = SN_COUNT(splits); i--;) {
        const bool is_so = ((splits[i].flags & SN_GGUF_WHOLE) != 0) == is_whole;
        if (are_steps(&splits[i], step, n) && (is_so || !found.n))
            found = sn_bytes(splits[i].names + 1, strcspn(splits[i].names + 1, " "));
    }
    return found;
}
