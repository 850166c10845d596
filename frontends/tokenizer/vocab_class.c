/* vocab_class.c -- tokenizer classes, a row each: what makes a tokenizer.json of a SentencePiece model, or of
 * vocab.json and merges.txt.
 *
 * What is written is what Transformers 5.23 makes of such a folder and its tokenizer_config.json. */
#include "frontends/tokenizer/spm.h"

#include "runtime/hash.h"

#include <inttypes.h>
#include <stdio.h>

#define SPACE "\xE2\x96\x81"

/* Words are parted by spaces. Of pieces, ~ before one: its score is -100; NAME#7-9: three, NAME<7> ..
 * NAME<9>. Steps of the normalizer are letters, see put_normalizer; of templates, those of roles: b(os),
 * e(os), s(ep), c(ls), l(anguage), A and B with their type; <words> are tokens; R: RobertaProcessing. */
struct SnVocabClass {
    const char *class;       /* without Tokenizer; some that are alike */
    const char *head, *tail; /* pieces in front, in place of the first `skip`, and behind */
    uint32_t skip;
    int8_t unk; /* id of the unknown piece; -1: as the model says, or where the name is */
    const char *normalizer;
    const char *pre; /* a letter, see put_pre_tokenizer */
    const char *suffix;
    const char *single, *pair;
    const char *names;      /* of bos eos unk sep pad cls mask; -: none */
    const char *more;       /* further special tokens */
    const char *mask_flags; /* l: lstrip, n: normalized */
    bool adds_head, adds_tail, is_bpe, drops_prefix,
        trims_prefix; /* drops_prefix: decoded texts begin without a space */
    bool lowers, keeps_accents, user_is_special;
};

#define MBART_LANGUAGES                                                                                      \
    "ar_AR cs_CZ de_DE en_XX es_XX et_EE fi_FI fr_XX gu_IN hi_IN it_IT ja_XX kk_KZ ko_KR lt_LT lv_LV my_MM " \
    "ne_NP nl_XX ro_RO ru_RU si_LK tr_TR vi_VN zh_CN "
#define ROBERTA_NAMES "<s> </s> <unk> </s> <pad> <s> <mask>"
#define BERT_NAMES    "[CLS] [SEP] <unk> [SEP] <pad> [CLS] [MASK]"
#define GPT2_NAMES    "<|endoftext|> <|endoftext|> <|endoftext|> - - - -"
#define FAIRSEQ       "<s> <pad> </s> <unk>"

static const SnVocabClass classes[] = {
    {"Albert", .unk = -1, .normalizer = "qklm", .pre = "w", .single = "c A0 s", .pair = "c A0 s B1 s1",
     .names = BERT_NAMES, .lowers = true},
    {"FNet", .unk = -1, .normalizer = "mb", .pre = "", .single = "A0", .pair = "A0 B1", .names = BERT_NAMES},
    {"XLMRoberta", .head = FAIRSEQ, .tail = "<mask>", .skip = 3, .unk = 3, .normalizer = "m", .pre = "w",
     .single = "c A0 s", .pair = "c A0 s s B0 s", .names = ROBERTA_NAMES},
    {"LayoutXLM", .head = FAIRSEQ, .tail = "<mask>", .skip = 3, .unk = 3, .normalizer = "rS", .pre = "m",
     .single = "c A0 s", .pair = "c A0 s s B0 s", .names = ROBERTA_NAMES, .mask_flags = "l"},
    {"Camembert", .head = "<s>NOTUSED <pad> </s>NOTUSED <unk> ~<unk>NOTUSED", .tail = "<mask>", .skip = 1,
     .unk = 3, .normalizer = "m", .pre = "w", .single = "c A0 s", .pair = "c A0 s s B0 s",
     .names = ROBERTA_NAMES, .mask_flags = "l"},
    {"Barthez", .unk = 3, .normalizer = "n", .pre = "m", .single = "A0", .pair = "A0 B1",
     .names = ROBERTA_NAMES, .mask_flags = "l"},
    {"DebertaV2", .unk = -1, .normalizer = "n", .pre = "p", .single = "c A0 s", .pair = "c A0 s B1 s1",
     .names = "[CLS] [SEP] [UNK] [SEP] [PAD] [CLS] [MASK]"},
    {"MBart50", .head = FAIRSEQ,
     .tail = MBART_LANGUAGES "af_ZA az_AZ bn_IN fa_IR he_IL hr_HR id_ID ka_GE km_KH mk_MK ml_IN mn_MN mr_IN "
                             "pl_PL ps_AF pt_XX sv_SE sw_KE ta_IN te_IN th_TH tl_XX uk_UA ur_PK xh_ZA gl_ES "
                             "sl_SI <mask>",
     .skip = 3, .unk = 3, .normalizer = "ms", .pre = "m", .single = "l A0 e", .pair = "l A0 B0 e",
     .names = ROBERTA_NAMES, .mask_flags = "l", .adds_tail = true},
    {"MBart", .head = FAIRSEQ, .tail = MBART_LANGUAGES "<mask>", .skip = 3, .unk = 3, .normalizer = "",
     .pre = "w", .single = "A0 e l", .pair = "A0 B0 e l", .names = ROBERTA_NAMES, .mask_flags = "l",
     .adds_tail = true},
    {"Nllb", .head = FAIRSEQ, .skip = 3, .unk = 3, .normalizer = "ms", .pre = "m", .single = "l A0 e",
     .pair = "l A0 B0 e", .names = ROBERTA_NAMES, .mask_flags = "ln", .is_bpe = true},
    {"XLNet", .unk = -1, .normalizer = "qklm", .pre = "w", .single = "A0 s c2", .pair = "A0 s B1 s1 c2",
     .names = "<s> </s> <unk> <sep> <pad> <cls> <mask>", .mask_flags = "l"},
    {"Reformer", .unk = -1, .normalizer = "ms", .pre = "m", .single = "A0", .pair = "A0 B1",
     .names = "- </s> <unk> - - - -", .is_bpe = true},
    {"RemBert", .unk = 2, .normalizer = "qsm", .pre = "m", .single = "A0", .pair = "A0 B1",
     .names = BERT_NAMES, .keeps_accents = true, .user_is_special = true},
    {"Pegasus", .head = "<pad> </s> <mask_1> <mask_2> ~<unk_#2-102>", .skip = 2, .unk = -1,
     .normalizer = "ms", .pre = "m", .single = "A0 e", .pair = "A0 B0 e",
     .names = "- </s> <unk> - <pad> - <mask_2>", .adds_head = true},
    {"T5", .tail = "<extra_id_#99-0>", .unk = 2, .normalizer = "m", .pre = "w", .single = "A0 e",
     .pair = "A0 e B0 e", .names = "- </s> <unk> - <pad> - -", .adds_tail = true},
    {"Udop", .unk = -1, .normalizer = "", .pre = "w", .single = "A0 e", .pair = "A0 e B0 e",
     .names = "- </s> <unk> </s> <pad> - -"},
    {"BigBird", .unk = -1, .normalizer = "S", .pre = "m", .single = "c A0 s", .pair = "c A0 s B1 s1",
     .names = "<s> </s> <unk> [SEP] <pad> [CLS] [MASK]", .mask_flags = "l"},
    {"XGLM", .unk = 3, .normalizer = "ms", .pre = "m", .single = "e A0", .pair = "e A0 e e B0",
     .names = "<s> </s> <unk> </s> <pad> <s> -", .more = "<madeupword#0-6>"},
    {"MLuke", .unk = -1, .normalizer = "q", .pre = "m", .single = "c A0 s", .pair = "c A0 s s B1 s1",
     .names = ROBERTA_NAMES, .mask_flags = "l",
     .more = SPACE "<ent> " SPACE "<ent2> [UNK] [PAD] [MASK] [MASK2]"},
    {"CodeLlama", .unk = -1, .normalizer = "", .pre = "f", .single = "b A0", .pair = "b A0 b1 B1",
     .names = "<s> </s> <unk> - - - -",
     .more = SPACE "<PRE> " SPACE "<MID> " SPACE "<SUF> " SPACE "<EOT> <FILL_ME>", .is_bpe = true,
     .drops_prefix = true},
    {"Gemma", .unk = -1, .normalizer = "b", .pre = "g", .single = "A0", .pair = "A0 B1",
     .names = "<bos> <eos> <unk> - <pad> - <mask>", .is_bpe = true},
    /* vocab.json and merges.txt */
    {"GPT2", .pre = "B", .single = "A0", .pair = "A0 B1", .names = GPT2_NAMES},
    {"CodeGen", .pre = "B", .single = "A0", .pair = "A0 B1", .names = GPT2_NAMES},
    {"Roberta Bart Longformer LED Mvp", .pre = "B", .single = "R", .names = ROBERTA_NAMES},
    {"LayoutLMv3", .pre = "P", .single = "R", .names = ROBERTA_NAMES},
    {"Luke", .pre = "B", .single = "R", .names = ROBERTA_NAMES,
     .more = "<ent> <ent2> [UNK] [PAD] [MASK] [MASK2]", .trims_prefix = true},
    {"Blenderbot", .pre = "P", .single = "A0", .pair = "A0 B1", .names = ROBERTA_NAMES, .mask_flags = "l"},
    {"Deberta", .pre = "B", .single = "c A0 s", .pair = "c A0 s s B0 s",
     .names = "[CLS] [SEP] [UNK] [SEP] [PAD] [CLS] [MASK]"},
    {"Qwen2", .normalizer = "N", .pre = "Q", .single = "A0", .pair = "A0 B1",
     .names = "- <|endoftext|> <|endoftext|> - <|endoftext|> - -"},
    {"GPTNeoX", .normalizer = "N", .pre = "B", .single = "A0", .pair = "A0 B1",
     .names = "<|endoftext|> <|endoftext|> <|endoftext|> - <|padding|> - -"},
    {"Cohere", .normalizer = "N", .pre = "D", .single = "A0", .pair = "A0 B1",
     .names = "<BOS_TOKEN> <|END_OF_TURN_TOKEN|> <UNK> <SEP> <PAD> <CLS> <MASK_TOKEN>"},
    {"CLIP", .normalizer = "NtL", .pre = "C", .single = "R",
     .names = "<|startoftext|> <|endoftext|> <|endoftext|> - <|endoftext|> - -", .suffix = "</w>"},
    {"Whisper", .pre = "B", .single = "<|startoftranscript|> <|notimestamps|> A0 e",
     .pair = "<|startoftranscript|> <|notimestamps|> A0 B1 e1",
     .names = "<|endoftext|> <|endoftext|> <|endoftext|> - - - -"},
    {"Herbert", .normalizer = "h", .pre = "H", .single = "c A0 s", .pair = "c A0 s B1 s1",
     .names = "<s> - <unk> </s> <pad> <s> <mask>", .suffix = "</w>"},
    {"OpenAIGPT", .normalizer = "o", .pre = "H", .single = "A0", .pair = "A0 B1",
     .names = "- - <unk> - - - -", .suffix = "</w>"},
};

static SnBytes next_word(const char **at)
{
    *at += strspn(*at, " ");
    const size_t n = strcspn(*at, " ");
    const SnBytes word = sn_bytes(*at, n);
    *at += n;
    return word;
}

/* What the library makes of a class that it does not know. */
const SnVocabClass sn_vocab_pairs = {
    .class = "", .pre = "B", .single = "A0", .pair = "A0 B1", .names = "- - - - - - -"};
const SnVocabClass sn_vocab_other = {.class = "",
                                     .unk = -1,
                                     .normalizer = "mb",
                                     .pre = "",
                                     .single = "A0",
                                     .pair = "A0 B1",
                                     .names = "- - <unk> - - - -"};

const SnVocabClass *sn_vocab_class(SnBytes name)
{
    for (size_t i = 0; i < SN_COUNT(classes); i++) {
        const char *words = classes[i].class;
        for (SnBytes w = next_word(&words); w.n > 0; w = next_word(&words))
            if (name.n >= w.n + 9 && memcmp(name.at, w.at, w.n) == 0 &&
                memcmp(name.at + w.n, "Tokenizer", 9) == 0)
                return &classes[i];
    }
    return NULL;
}

SnStatus sn_vocab_check_class(const char *path, const SnJson *config, SnError *err)
{
    static const char *const others[] = {"Funnel", "M2M100", "MPNet", "RoFormer", "SeamlessM4T", "Splinter"};
    SnBytes name = {0};
    (void)sn_json_string(sn_json_get(config, "tokenizer_class"), &name);
    for (size_t i = 0; i < SN_COUNT(others); i++)
        SN_CHECK(name.n < strlen(others[i]) || memcmp(name.at, others[i], strlen(others[i])) != 0, err,
                 SN_EUNSUPPORTED, "%s: %.*s without tokenizer.json is not supported", path, (int)name.n,
                 (const char *)name.at);
    return SN_OK;
}

/* ---- pieces ---- */

typedef struct Own { /* a vocabulary being made */
    const SnAllocator *memory;
    SnArena *arena;
    const char *path;
    const SnVocabClass *row;
    const SnJson *config;
    SN_VEC(SnPiece) piece;
    SN_VEC(uint32_t) added; /* those that are added tokens too, by when they are */
    SnMap id, is_added;     /* by text */
    SnBytes name[7];        /* of bos ... mask; n 0: none */
    bool failed;
} Own;

static uint32_t put_piece(Own *o, SnBytes text, float score, uint32_t type)
{
    const uint32_t id = (uint32_t)o->piece.n;
    uint32_t found;
    o->failed |= !sn_vec_push(o->memory, &o->piece, (SnPiece){text, score, type});
    if (text.at && !sn_map_get(&o->id, text, &found))
        o->failed |= !sn_map_put(&o->id, text, id);
    return id;
}

/* An added token: where there is no such piece, one behind all of them. */
static void put_token(Own *o, SnBytes text, uint32_t type)
{
    uint32_t id, unused;
    if (text.n == 0 || sn_map_get(&o->is_added, text, &unused))
        return;
    if (!sn_map_get(&o->id, text, &id))
        id = put_piece(o, text, 0, SN_PIECE_UNUSED);
    o->failed |=
        !sn_map_put(&o->is_added, text, type == SN_PIECE_USER) || !sn_vec_push(o->memory, &o->added, id);
}

/* NAME#7-9> as it is written: calls put for each. */
static void put_words(Own *o, const char *words, bool is_piece, bool is_added)
{
    for (SnBytes w = next_word(&words); w.n > 0; w = next_word(&words)) {
        const bool is_low = w.at[0] == '~';
        const float score = is_low ? -100.0f : 0.0f;
        w = is_low ? sn_bytes(w.at + 1, w.n - 1) : w;
        const uint8_t *mark = memchr(w.at, '#', w.n);
        int first = 0, last = 0, n = mark ? (int)(mark - w.at) : 0;
        if (mark && sscanf((const char *)mark, "#%d-%d", &first, &last) != 2)
            o->failed = true;
        for (int i = first, step = first <= last ? 1 : -1;; i += step) {
            const char *text = mark ? sn_arena_printf(o->arena, w.at[0] == '<' ? "%.*s%d>" : "%.*s%d", n,
                                                      (const char *)w.at, i)
                                    : sn_arena_strndup(o->arena, (const char *)w.at, w.n);
            o->failed |= !text;
            if (o->failed)
                return;
            if (is_piece)
                (void)put_piece(o, sn_bytes_str(text), score, SN_PIECE_NORMAL);
            if (is_added)
                put_token(o, sn_bytes_str(text), SN_PIECE_CONTROL);
            if (i == last)
                break;
        }
    }
}

static void read_names(Own *o)
{
    static const char *const key[] = {"bos_token", "eos_token", "unk_token", "sep_token",
                                      "pad_token", "cls_token", "mask_token"};
    const char *words = o->row->names;
    for (size_t i = 0; i < SN_COUNT(key); i++) {
        const SnJson *v = sn_json_get(o->config, key[i]);
        const SnBytes usual = next_word(&words);
        if (!sn_json_string(v, &o->name[i]) && !sn_json_string(sn_json_get(v, "content"), &o->name[i]))
            o->name[i] = sn_bytes_is(usual, "-") ? sn_bytes(NULL, 0) : usual;
    }
}

static void make_pieces(Own *o, const SnSpm *spm)
{
    const SnVocabClass *row = o->row;
    read_names(o);
    if (row->head)
        put_words(o, row->head, true, false);
    for (uint32_t i = row->skip; i < spm->n; i++) {
        const uint32_t type = row->user_is_special && spm->piece[i].type == SN_PIECE_USER
                                  ? SN_PIECE_CONTROL
                                  : spm->piece[i].type;
        (void)put_piece(o, spm->piece[i].text, spm->piece[i].score, type);
    }
    if (row->tail)
        put_words(o, row->tail, true, false);
    for (uint32_t i = row->skip; i < spm->n; i++)
        if (spm->piece[i].type == SN_PIECE_CONTROL || spm->piece[i].type == SN_PIECE_USER)
            put_token(o, spm->piece[i].text, row->user_is_special ? SN_PIECE_CONTROL : spm->piece[i].type);
}

static void add_list(Own *o, const SnJson *all)
{
    for (uint32_t i = 0; all && all->kind == SN_JSON_ARRAY && i < all->n; i++) {
        SnBytes text;
        if (sn_json_string(&all->u.child[i], &text) ||
            sn_json_string(sn_json_get(&all->u.child[i], "content"), &text))
            put_token(o, text, SN_PIECE_CONTROL);
    }
}

static void make_added(Own *o)
{
    const SnVocabClass *row = o->row;
    if (row->adds_head)
        put_words(o, row->head, false, true);
    if (row->adds_tail)
        put_words(o, row->tail, false, true);
    for (size_t i = 0; i < SN_COUNT(o->name); i++)
        put_token(o, o->name[i], SN_PIECE_CONTROL);
    if (row->more)
        put_words(o, row->more, false, true);
    add_list(o, sn_json_get(o->config, "additional_special_tokens"));
    add_list(o, sn_json_get(o->config, "extra_special_tokens"));
    const SnJson *all = sn_json_get(o->config, "added_tokens_decoder");
    for (uint32_t i = 0; all && all->kind == SN_JSON_OBJECT && i < all->n; i++) {
        SnBytes text;
        const bool is_special = sn_json_bool_of(&all->u.child[i], "special", false);
        if (sn_json_string(sn_json_get(&all->u.child[i], "content"), &text))
            put_token(o, text, is_special ? SN_PIECE_CONTROL : SN_PIECE_USER);
    }
}

/* ---- parts ---- */

/* What tokenizer_config.json says of an added token. */
static const SnJson *said_of(const Own *o, SnBytes text)
{
    const SnJson *all = sn_json_get(o->config, "added_tokens_decoder");
    SnBytes content;
    for (uint32_t i = 0; all && all->kind == SN_JSON_OBJECT && i < all->n; i++)
        if (sn_json_string(sn_json_get(&all->u.child[i], "content"), &content) &&
            sn_bytes_equal(content, text))
            return &all->u.child[i];
    return NULL;
}

static void put_added_token(const Own *o, uint32_t id, SnText *out)
{
    static const char *const key[] = {"single_word", "lstrip", "rstrip", "normalized", "special"};
    const SnBytes text = o->piece.at[id].text;
    const char *flags = o->row->mask_flags ? o->row->mask_flags : "";
    const bool is_mask =
        o->name[6].n > 0 && sn_bytes_equal(text, o->name[6]) && o->piece.at[id].type != SN_PIECE_CONTROL;
    uint32_t is_user = 0;
    (void)sn_map_get(&o->is_added, text, &is_user);
    bool on[SN_COUNT(key)] = {false, is_mask && strchr(flags, 'l'), false, is_mask && strchr(flags, 'n'),
                              !is_user};
    const SnJson *said = said_of(o, text);
    sn_text_printf(out, "{\"id\":%" PRIu32 ",\"content\":", id);
    sn_json_put_string(out, text);
    for (size_t i = 0; i < SN_COUNT(key); i++) {
        (void)sn_json_bool(sn_json_get(said, key[i]), &on[i]);
        sn_text_printf(out, ",\"%s\":%s", key[i], on[i] ? "true" : "false");
    }
    sn_text_printf(out, "}");
}

static void put_added_tokens(const Own *o, SnText *out)
{
    sn_text_printf(out, "\"added_tokens\":[");
    for (size_t i = 0; i < o->added.n; i++) {
        sn_text_printf(out, i ? "," : "");
        put_added_token(o, o->added.at[i], out);
    }
    sn_text_printf(out, "],");
}

static void put_replace(SnText *out, bool is_regex, const char *from, const char *to)
{
    sn_text_printf(out, "{\"type\":\"Replace\",\"pattern\":{\"%s\":", is_regex ? "Regex" : "String");
    sn_json_put_string(out, sn_bytes_str(from));
    sn_text_printf(out, "},\"content\":");
    sn_json_put_string(out, sn_bytes_str(to));
    sn_text_printf(out, "}");
}

static void put_step(const SnSpm *spm, char step, SnText *out)
{
    switch (step) {
    case 'q': /* quotes */
        put_replace(out, false, "``", "\"");
        sn_text_printf(out, ",");
        put_replace(out, false, "''", "\"");
        break;
    case 'k':
        sn_text_printf(out, "{\"type\":\"NFKD\"},{\"type\":\"StripAccents\"}");
        break;
    case 'l':
    case 'L':
        sn_text_printf(out, "{\"type\":\"Lowercase\"}");
        break;
    case 'm':
        sn_put_charsmap(out, spm->charsmap);
        break;
    case 's':
        put_replace(out, true, " {2,}", " ");
        break;
    case 'S':
        put_replace(out, true, " {2,}", SPACE);
        break;
    case 'n':
        put_replace(out, true, "\\s{2,}|[\\n\\r\\t]", " ");
        sn_text_printf(out,
                       ",{\"type\":\"NFC\"},{\"type\":\"Strip\",\"strip_left\":false,\"strip_right\":true}");
        break;
    case 'N':
        sn_text_printf(out, "{\"type\":\"NFC\"}");
        break;
    case 't':
        put_replace(out, true, "\\s+", " ");
        break;
    case 'h':
    case 'o':
        sn_text_printf(out,
                       "{\"type\":\"BertNormalizer\",\"clean_text\":true,\"handle_chinese_chars\":true,"
                       "\"strip_accents\":%s,\"lowercase\":%s}",
                       step == 'h' ? "false" : "null", step == 'h' ? "false" : "true");
        break;
    case 'r':
        sn_text_printf(out, "{\"type\":\"Strip\",\"strip_left\":false,\"strip_right\":true}");
        break;
    default: /* b */
        put_replace(out, false, " ", SPACE);
    }
}

static void put_normalizer(const Own *o, const SnSpm *spm, SnText *out)
{
    const bool is_on['z' + 1] = {['k'] = !sn_json_bool_of(o->config, "keep_accents", o->row->keeps_accents),
                                 ['l'] = sn_json_bool_of(o->config, "do_lower_case", o->row->lowers),
                                 ['m'] = spm->charsmap.n > 0};
    bool is_first = true;
    sn_text_printf(out, "\"normalizer\":{\"type\":\"Sequence\",\"normalizers\":[");
    for (const char *s = o->row->normalizer; s && *s; s++) {
        if (strchr("klm", *s) && !is_on[(unsigned char)*s])
            continue;
        sn_text_printf(out, is_first ? "" : ",");
        put_step(spm, *s, out);
        is_first = false;
    }
    sn_text_printf(out, "]},");
}

static bool is_byte_level(const Own *o)
{
    return o->row->pre[0] && strchr("BPQCD", o->row->pre[0]);
}

static bool has_prefix_space(const Own *o)
{
    return sn_json_bool_of(o->config, "add_prefix_space", !is_byte_level(o) || o->row->pre[0] == 'P');
}

static void put_metaspace(const Own *o, SnText *out)
{
    const bool is_whole = o->row->pre[0] == 'f';
    sn_text_printf(
        out, "{\"type\":\"Metaspace\",\"replacement\":\"" SPACE "\",\"prepend_scheme\":\"%s\",\"split\":%s}",
        !has_prefix_space(o)                                       ? "never"
        : is_whole && !sn_json_bool_of(o->config, "legacy", false) ? "first"
                                                                   : "always",
        is_whole ? "false" : "true");
}

static void put_split(SnText *out, const char *pattern, const char *how)
{
    sn_text_printf(out, "{\"type\":\"Split\",\"pattern\":{\"Regex\":");
    sn_json_put_string(out, sn_bytes_str(pattern));
    sn_text_printf(out, "},%s},", how);
}

static void put_pre_tokenizer(const Own *o, SnText *out)
{
    static const char clip[] =
        "<\\|startoftext\\|>|<\\|endoftext\\|>|'s|'t|'re|'ve|'m|'ll|'d|[\\p{L}]+|[\\p{N}]|"
        "[^\\s\\p{L}\\p{N}]+";
    const char pre = o->row->pre[0];
    sn_text_printf(out, "\"pre_tokenizer\":{\"type\":\"Sequence\",\"pretokenizers\":[");
    if (pre == 'w')
        sn_text_printf(out, "{\"type\":\"WhitespaceSplit\"},");
    if (pre == 'p' && sn_json_bool_of(o->config, "split_by_punct", false))
        sn_text_printf(out, "{\"type\":\"Punctuation\",\"behavior\":\"Isolated\"},");
    if (pre == 'D')
        sn_text_printf(out, "{\"type\":\"Digits\",\"individual_digits\":true},");
    if (pre == 'Q')
        put_split(out, sn_split_qwen2, "\"behavior\":\"Isolated\",\"invert\":false");
    if (pre == 'C')
        put_split(out, clip, "\"behavior\":\"Removed\",\"invert\":true");
    if (pre == 'g')
        sn_text_printf(out, "{\"type\":\"Split\",\"pattern\":{\"String\":\" \"},\"behavior\":"
                            "\"MergedWithPrevious\",\"invert\":false}");
    else if (pre == 'H')
        sn_text_printf(out, "{\"type\":\"BertPreTokenizer\"}");
    else if (is_byte_level(o))
        sn_text_printf(
            out, "{\"type\":\"ByteLevel\",\"add_prefix_space\":%s,\"trim_offsets\":true,\"use_regex\":%s}",
            has_prefix_space(o) ? "true" : "false", pre == 'Q' ? "false" : "true");
    else if (pre)
        put_metaspace(o, out);
    sn_text_printf(out, "]},");
}

static void put_decoder(const Own *o, const SnSpm *spm, SnText *out)
{
    const char pre = o->row->pre[0];
    sn_text_printf(out, "\"decoder\":");
    if (pre == 'H') {
        sn_text_printf(out, "{\"type\":\"BPEDecoder\",\"suffix\":\"</w>\"}");
    } else if (is_byte_level(o)) {
        sn_text_printf(out, "{\"type\":\"ByteLevel\",\"add_prefix_space\":true,\"trim_offsets\":true,"
                            "\"use_regex\":true}");
    } else if (pre && !strchr("fg", pre)) {
        put_metaspace(o, out);
    } else {
        sn_text_printf(out, "{\"type\":\"Sequence\",\"decoders\":[");
        put_replace(out, false, SPACE, " ");
        if (pre || spm->byte_fallback)
            sn_text_printf(out, ",{\"type\":\"ByteFallback\"},{\"type\":\"Fuse\"}");
        if (o->row->drops_prefix && has_prefix_space(o))
            sn_text_printf(out, ",{\"type\":\"Strip\",\"content\":\" \",\"start\":1,\"stop\":0}");
        sn_text_printf(out, "]}");
    }
    sn_text_printf(out, ",");
}

/* The token of a word of a template. */
static SnBytes token_of(const Own *o, SnBytes word)
{
    static const char roles[] = "be-s-c";
    const char *role = strchr(roles, word.at[0]);
    SnBytes language = sn_bytes_str(strcmp(o->row->class, "Nllb") == 0 ? "eng_Latn" : "en_XX");
    if (word.at[0] == 'l') {
        (void)sn_json_string(sn_json_get(o->config, "src_lang"), &language);
        return language;
    }
    return role ? o->name[role - roles] : word;
}

static bool is_text(SnBytes word)
{
    return word.at[0] == 'A' || word.at[0] == 'B';
}

static void put_side(const Own *o, const char *words, SnText *out)
{
    bool is_first = true;
    for (SnBytes w = next_word(&words); w.n > 0; w = next_word(&words)) {
        const char type = w.n == 2 ? (char)w.at[1] : '0';
        sn_text_printf(out, is_first ? "{\"%s\":{\"id\":" : ",{\"%s\":{\"id\":",
                       is_text(w) ? "Sequence" : "SpecialToken");
        sn_json_put_string(out, is_text(w) ? sn_bytes(w.at, 1) : token_of(o, w));
        sn_text_printf(out, ",\"type_id\":%c}}", type);
        is_first = false;
    }
}

static uint32_t id_of(const Own *o, SnBytes token, uint32_t unk)
{
    uint32_t id;
    return sn_map_get(&o->id, token, &id) ? id : unk;
}

/* The tokens of a template, each once. */
static void put_special_tokens(Own *o, const char *words, uint32_t unk, SnText *out)
{
    SnMap used;
    uint32_t id;
    sn_map_init(&used, o->memory);
    for (SnBytes w = next_word(&words); w.n > 0; w = next_word(&words)) {
        const SnBytes key = is_text(w) ? sn_bytes(NULL, 0) : token_of(o, w);
        if (is_text(w) || sn_map_get(&used, key, &id))
            continue;
        sn_text_printf(out, used.n ? "," : "");
        sn_json_put_string(out, key);
        sn_text_printf(out, ":{\"id\":");
        sn_json_put_string(out, key);
        sn_text_printf(out, ",\"ids\":[%" PRIu32 "],\"tokens\":[", id_of(o, key, unk));
        sn_json_put_string(out, key);
        sn_text_printf(out, "]}");
        o->failed |= !sn_map_put(&used, key, 1);
    }
    sn_map_clear(&used);
}

static void put_roberta(const Own *o, uint32_t unk, SnText *out)
{
    const bool is_clip = o->row->pre[0] == 'C';
    const SnBytes sep = o->name[is_clip ? 1 : 3], cls = o->name[is_clip ? 0 : 5];
    sn_text_printf(out, "\"post_processor\":{\"type\":\"RobertaProcessing\",\"sep\":[");
    sn_json_put_string(out, sep);
    sn_text_printf(out, ",%" PRIu32 "],\"cls\":[", id_of(o, sep, unk));
    sn_json_put_string(out, cls);
    sn_text_printf(out, ",%" PRIu32 "],\"trim_offsets\":%s,\"add_prefix_space\":%s},", id_of(o, cls, unk),
                   is_clip ? "false" : "true",
                   o->row->trims_prefix || has_prefix_space(o) ? "true" : "false");
}

/* The rows that have no tokens around texts may be told to have them. */
static void put_template(Own *o, uint32_t unk, SnText *out)
{
    static const char *const around[2][2][2] = {{{NULL, NULL}, {"A0 e", "A0 e B1 e1"}},
                                                {{"b A0", "b A0 b1 B1"}, {"b A0 e", "b A0 e b1 B1 e1"}}};
    const bool is_plain = strcmp(o->row->single, "A0") == 0;
    const bool bos = is_plain && sn_json_bool_of(o->config, "add_bos_token", false) && o->name[0].n,
               eos = is_plain && sn_json_bool_of(o->config, "add_eos_token", false) && o->name[1].n;
    const char *single = around[bos][eos][0], *pair = around[bos][eos][1];
    if (o->row->single[0] == 'R') {
        put_roberta(o, unk, out);
        return;
    }
    single = single ? single : o->row->single;
    pair = pair ? pair : o->row->pair;
    sn_text_printf(out, "\"post_processor\":{\"type\":\"TemplateProcessing\",\"single\":[");
    put_side(o, single, out);
    sn_text_printf(out, "],\"pair\":[");
    put_side(o, pair, out);
    sn_text_printf(out, "],\"special_tokens\":{");
    put_special_tokens(o, pair, unk, out);
    sn_text_printf(out, "}},");
}

/* merges.txt, a pair a line. */
static void put_merge_lines(SnBytes text, SnText *out)
{
    bool is_first = true;
    sn_text_printf(out, ",\"merges\":[");
    for (size_t at = 0; at < text.n;) {
        const uint8_t *end = memchr(text.at + at, '\n', text.n - at);
        size_t n = end ? (size_t)(end - text.at) - at : text.n - at;
        const SnBytes line = sn_bytes(text.at + at, n && text.at[at + n - 1] == '\r' ? n - 1 : n);
        const bool is_version = at == 0 && line.n > 8 && memcmp(line.at, "#version", 8) == 0;
        at += n + 1;
        if (line.n == 0 || is_version)
            continue;
        sn_text_printf(out, is_first ? "" : ",");
        sn_json_put_string(out, line);
        is_first = false;
    }
    sn_text_add(out, "]", 1);
}

/* Pieces with their ids, or with their scores. */
static void put_pieces(const Own *o, uint32_t n, bool is_bpe, SnText *out)
{
    bool is_first = true;
    for (uint32_t i = 0; i < n; i++) {
        if (!o->piece.at[i].text.at)
            continue;
        sn_text_printf(out, is_bpe ? (is_first ? "" : ",") : (is_first ? "[" : ",["));
        sn_json_put_string(out, o->piece.at[i].text);
        is_first = false;
        if (is_bpe) {
            sn_text_printf(out, ":%" PRIu32, i);
            continue;
        }
        sn_text_printf(out, ",");
        sn_json_put_f64(out, (double)o->piece.at[i].score);
        sn_text_printf(out, "]");
    }
}

static SnStatus put_bpe(Own *o, const SnSpm *spm, uint32_t nmodel, uint32_t unk, SnText *out, SnError *err)
{
    const char pre = o->row->pre[0];
    const bool has_unk = !is_byte_level(o) || pre == 'C';
    const bool has_bytes = pre == 'f' || pre == 'g' || (!pre && spm->byte_fallback);
    sn_text_printf(out, "\"model\":{\"type\":\"BPE\",\"dropout\":null,\"unk_token\":");
    if (has_unk)
        sn_json_put_string(out, o->row->suffix ? o->name[2]
                                : unk < nmodel ? o->piece.at[unk].text
                                               : o->name[2]);
    else
        sn_text_printf(out, "null");
    sn_text_printf(out, ",\"continuing_subword_prefix\":null,\"end_of_word_suffix\":");
    if (o->row->suffix)
        sn_json_put_string(out, sn_bytes_str(o->row->suffix));
    else
        sn_text_printf(out, "null");
    sn_text_printf(out, ",\"fuse_unk\":%s,\"byte_fallback\":%s,\"ignore_merges\":false,\"vocab\":{",
                   has_unk && !o->row->suffix ? "true" : "false", has_bytes ? "true" : "false");
    put_pieces(o, nmodel, true, out);
    sn_text_printf(out, "}");
    if (spm->merges.at)
        put_merge_lines(spm->merges, out);
    else
        SN_TRY(sn_put_merges(o->memory, o->path, o->piece.at, nmodel, false, out, err));
    sn_text_printf(out, "}}");
    return SN_OK;
}

static SnStatus put_model(Own *o, const SnSpm *spm, uint32_t nmodel, uint32_t unk, SnText *out, SnError *err)
{
    if (o->row->is_bpe || spm->merges.at || (spm->is_bpe && !o->row->pre[0]))
        return put_bpe(o, spm, nmodel, unk, out, err);
    sn_text_printf(
        out, "\"model\":{\"type\":\"Unigram\",\"unk_id\":%" PRIu32 ",\"byte_fallback\":false,\"vocab\":[",
        unk);
    put_pieces(o, nmodel, false, out);
    sn_text_printf(out, "]}}");
    return SN_OK;
}

static SnStatus write_class(Own *o, const SnSpm *spm, SnText *out, SnError *err)
{
    make_pieces(o, spm);
    const uint32_t nmodel = (uint32_t)o->piece.n;
    make_added(o);
    SN_CHECK(!o->failed, err, SN_ENOMEM, "%s: no memory for pieces", o->path);
    uint32_t unk = (uint32_t)o->row->unk;
    if (spm->merges.at || o->row->unk < 0)
        unk = 0;
    if (o->row->unk < 0 && (o->row->head == NULL || !sn_map_get(&o->id, o->name[2], &unk)))
        unk = spm->unk >= 0 ? (uint32_t)spm->unk : 0;
    sn_text_printf(out, "{\"version\":\"1.0\",\"truncation\":null,\"padding\":null,");
    put_added_tokens(o, out);
    put_normalizer(o, spm, out);
    put_pre_tokenizer(o, out);
    put_template(o, unk, out);
    put_decoder(o, spm, out);
    SN_TRY(put_model(o, spm, nmodel, unk, out, err));
    SN_CHECK(!out->failed, err, SN_ENOMEM, "%s: no memory for a tokenizer", o->path);
    return SN_OK;
}

SnStatus sn_vocab_write_class(const SnAllocator *memory, const char *path, const SnVocabClass *class,
                              const SnJson *config, const SnSpm *spm, SnText *out, SnError *err)
{
    SnArena arena;
    sn_arena_init(&arena, memory);
    Own o = {.memory = memory, .arena = &arena, .path = path, .row = class, .config = config};
    sn_map_init(&o.id, memory);
    sn_map_init(&o.is_added, memory);
    const SnStatus st = write_class(&o, spm, out, err);
    sn_map_clear(&o.id);
    sn_map_clear(&o.is_added);
    sn_vec_clear(memory, &o.piece);
    sn_vec_clear(memory, &o.added);
    sn_arena_clear(&arena);
    return st;
}
