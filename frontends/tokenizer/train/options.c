/* options.c -- options of the trainers of tokenizers, by their names there. */
#include "frontends/tokenizer/train/train.h"
#include "ops/host/unicode.h"

#include <inttypes.h>
#include <stddef.h>

enum {
    BPE = 1 << SN_TRAIN_BPE,
    PIECE = 1 << SN_TRAIN_WORDPIECE,
    UNIGRAM = 1 << SN_TRAIN_UNIGRAM,
    LEVEL = 1 << SN_TRAIN_WORDLEVEL
};

typedef enum OptionKind { INT, MAYBE_INT, FLOAT, STRING, TOKENS, ALPHABET, IGNORED } OptionKind;

static const struct Option {
    const char *name;
    OptionKind kind;
    unsigned models;
    size_t at; /* in the plan */
    int64_t least, most;
} all[] = {
    {"vocab_size", INT, BPE | PIECE | UNIGRAM | LEVEL, offsetof(SnTrainPlan, vocab_size), 0, 1 << 28},
    {"min_frequency", INT, BPE | PIECE | LEVEL, offsetof(SnTrainPlan, min_frequency), 0, INT64_MAX},
    {"special_tokens", TOKENS, BPE | PIECE | UNIGRAM | LEVEL, 0, 0, 0},
    {"limit_alphabet", MAYBE_INT, BPE | PIECE, offsetof(SnTrainPlan, limit_alphabet), 0, INT64_MAX},
    {"initial_alphabet", ALPHABET, BPE | PIECE | UNIGRAM, 0, 0, 0},
    {"max_token_length", MAYBE_INT, BPE, offsetof(SnTrainPlan, max_token_length), 0, INT64_MAX},
    {"continuing_subword_prefix", STRING, BPE | PIECE, offsetof(SnTrainPlan, prefix), 0, 0},
    {"end_of_word_suffix", STRING, BPE | PIECE, offsetof(SnTrainPlan, suffix), 0, 0},
    {"unk_token", STRING, UNIGRAM, offsetof(SnTrainPlan, unk), 0, 0},
    {"shrinking_factor", FLOAT, UNIGRAM, offsetof(SnTrainPlan, shrinking_factor), 0, 1},
    {"n_sub_iterations", INT, UNIGRAM, offsetof(SnTrainPlan, n_sub_iterations), 1, 1000},
    {"max_piece_length", INT, UNIGRAM, offsetof(SnTrainPlan, max_piece_length), 1, 256},
    {"seed_size", INT, UNIGRAM, offsetof(SnTrainPlan, seed_size), 1, 1 << 28},
    {"show_progress", IGNORED, BPE | PIECE | UNIGRAM | LEVEL, 0, 0, 0},
};

static SnStatus read_int(const struct Option *o, const SnJson *v, SnTrainPlan *p, SnError *err)
{
    int64_t n = -1;
    if (o->kind != MAYBE_INT || !sn_json_is_null(v))
        SN_CHECK(sn_json_int(v, &n) && n >= o->least && n <= o->most, err, SN_EINVAL,
                 "%s is not a number from %" PRId64 " to %" PRId64, o->name, o->least, o->most);
    memcpy((char *)p + o->at, &n, sizeof n);
    return SN_OK;
}

static SnStatus read_float(const struct Option *o, const SnJson *v, SnTrainPlan *p, SnError *err)
{
    double x;
    SN_CHECK(sn_json_number(v, &x) && x > 0 && x < 1, err, SN_EINVAL, "%s is not between 0 and 1", o->name);
    memcpy((char *)p + o->at, &x, sizeof x);
    return SN_OK;
}

static SnStatus read_string(const struct Option *o, const SnJson *v, SnTrainPlan *p, SnError *err)
{
    SnBytes s = {NULL, 0};
    SN_CHECK(sn_json_is_null(v) || (sn_json_string(v, &s) && s.n <= 1 << 16), err, SN_EINVAL,
             "%s is not a string of up to 65536 bytes", o->name);
    memcpy((char *)p + o->at, &s, sizeof s);
    return SN_OK;
}

static SnStatus read_alphabet(const SnJson *v, SnArena *arena, SnTrainPlan *p, SnError *err)
{
    if (sn_json_is(v, "ByteLevel"))
        return sn_train_byte_alphabet(arena, p, err);
    SN_CHECK(v->kind == SN_JSON_ARRAY, err, SN_EINVAL,
             "initial_alphabet is neither an array nor \"ByteLevel\"");
    uint32_t *more = sn_arena_array(arena, p->nalphabet + v->n + 1, sizeof *more);
    SN_CHECK(more, err, SN_ENOMEM, "no memory for an alphabet");
    for (size_t i = 0; i < p->nalphabet; i++)
        more[i] = p->alphabet[i];
    for (uint32_t i = 0; i < v->n; i++) {
        SnBytes s;
        SN_CHECK(sn_json_string(&v->u.child[i], &s), err, SN_EINVAL,
                 "initial_alphabet: element %" PRIu32 " is not a string", i);
        SnReader r = sn_reader(s);
        const uint32_t code = s.n ? sn_read_utf8(&r) : SN_UTF8_BAD;
        if (code != SN_UTF8_BAD) /* of an empty string nothing is taken, of others the first character */
            more[p->nalphabet++] = code;
    }
    p->alphabet = more;
    return SN_OK;
}

static bool has_special(const SnTrainPlan *p, SnBytes token)
{
    for (size_t i = 0; i < p->nspecial; i++)
        if (sn_bytes_equal(p->special[i], token))
            return true;
    return false;
}

SnStatus sn_train_add_special(const SnJson *v, SnArena *arena, SnTrainPlan *p, SnError *err)
{
    SN_CHECK(v->kind == SN_JSON_ARRAY, err, SN_EINVAL, "special_tokens is not an array");
    SnBytes *more = sn_arena_array(arena, p->nspecial + v->n + 1, sizeof *more);
    SN_CHECK(more, err, SN_ENOMEM, "no memory for special tokens");
    for (size_t i = 0; i < p->nspecial; i++)
        more[i] = p->special[i];
    p->special = more;
    for (uint32_t i = 0; i < v->n; i++) {
        const SnJson *t = &v->u.child[i];
        SnBytes s;
        SN_CHECK((sn_json_string(t, &s) || sn_json_string(sn_json_get(t, "content"), &s)) && s.n <= 1 << 16,
                 err, SN_EINVAL, "special_tokens: element %" PRIu32 " is no token of up to 65536 bytes", i);
        if (s.n && !has_special(p, s))
            more[p->nspecial++] = s;
    }
    return SN_OK;
}

static SnStatus read_option(const struct Option *o, const SnJson *v, SnArena *arena, SnTrainPlan *p,
                            SnError *err)
{
    switch (o->kind) {
    case INT:
    case MAYBE_INT:
        return read_int(o, v, p, err);
    case FLOAT:
        return read_float(o, v, p, err);
    case STRING:
        return read_string(o, v, p, err);
    case TOKENS:
        return sn_train_add_special(v, arena, p, err);
    case ALPHABET:
        return read_alphabet(v, arena, p, err);
    case IGNORED:
        break;
    }
    return SN_OK;
}

static SnStatus unknown_option(SnBytes name, unsigned model, SnError *err)
{
    char names[512];
    size_t n = 0;
    for (size_t i = 0; i < SN_COUNT(all); i++)
        for (const char *c = all[i].models & model && all[i].kind != IGNORED ? all[i].name : ""; *c; c++) {
            if (c == all[i].name && n)
                names[n++] = ' ';
            names[n++] = *c;
        }
    return sn_fail(err, SN_EINVAL, "%.*s is no option of this model's trainer; there are: %.*s",
                   name.n < 100 ? (int)name.n : 100, (const char *)name.at, (int)n, names);
}

SnStatus sn_train_options(const SnJson *options, SnArena *arena, SnTrainPlan *p, SnError *err)
{
    const unsigned model = 1u << p->model;
    SN_CHECK(!options || options->kind == SN_JSON_OBJECT, err, SN_EINVAL, "options are no object");
    for (uint32_t i = 0; options && i < options->n; i++) {
        const SnJson *v = &options->u.child[i];
        size_t k = 0;
        while (k < SN_COUNT(all) && !(sn_bytes_is(v->key, all[k].name) && (all[k].models & model)))
            k++;
        if (k == SN_COUNT(all))
            return unknown_option(v->key, model, err);
        SN_TRY(read_option(&all[k], v, arena, p, err));
    }
    return SN_OK;
}
