/* post.c -- the post_processor of tokenizer.json: templates around texts, and trimmed offsets.
 *
 * As the reference does, a part is told by its fields where its type does not matter there. */
#include "frontends/tokenizer/read.h"

#include <inttypes.h>

typedef struct Post {
    struct Template {
        SnTokPiece *piece;
        uint32_t n, cap;
    } single, pair;
    bool is_set; /* by a processor that adds tokens */
} Post;

typedef struct Template Template;

static SnStatus add_piece(SnTokDraft *d, Template *t, SnTokPiece piece, SnError *err)
{
    if (t->n == t->cap) {
        const uint32_t cap = t->cap == 0 ? 8 : 2 * t->cap;
        SnTokPiece *more = sn_arena_array(d->arena, cap, sizeof *more);
        SN_CHECK(more != NULL, err, SN_ENOMEM, "no memory for a template");
        if (t->n > 0)
            memcpy(more, t->piece, t->n * sizeof *more);
        t->piece = more;
        t->cap = cap;
    }
    for (uint32_t i = 0; piece.kind != SN_TOK_TOKEN && i < t->n; i++)
        SN_CHECK(t->piece[i].kind != piece.kind, err, SN_EUNSUPPORTED,
                 "post-processor TemplateProcessing with a sequence twice is not supported");
    t->piece[t->n++] = piece;
    return SN_OK;
}

static SnStatus add_special(SnTokDraft *d, Template *t, const SnJson *piece, const SnJson *special,
                            SnError *err)
{
    SnTokPiece p = {.kind = SN_TOK_TOKEN};
    SnBytes name;
    SN_TRY(read_string(piece, "id", &name, err));
    SN_TRY(read_u32(piece, "type_id", &p.type_id, err));
    const SnJson *found = NULL;
    for (uint32_t i = 0; special != NULL && special->kind == SN_JSON_OBJECT && i < special->n; i++)
        found = sn_bytes_equal(special->u.child[i].key, name) ? &special->u.child[i] : found;
    const SnJson *ids = sn_json_get(found, "ids");
    SN_CHECK(ids != NULL && ids->kind == SN_JSON_ARRAY, err, SN_EFORMAT,
             "special token %.*s of a template has no ids", (int)(name.n < 100 ? name.n : 100),
             (const char *)name.at);
    for (uint32_t i = 0; i < ids->n; i++) {
        int64_t id;
        SN_CHECK(sn_json_int(sn_json_at(ids, i), &id) && id >= 0 && id <= INT32_MAX, err, SN_EFORMAT,
                 "special token of a template has a bad id");
        p.id = (uint32_t)id;
        SN_TRY(add_piece(d, t, p, err));
    }
    return SN_OK;
}

static SnStatus read_template(SnTokDraft *d, const SnJson *all, const SnJson *special, Template *t,
                              SnError *err)
{
    SN_CHECK(all != NULL && all->kind == SN_JSON_ARRAY, err, SN_EFORMAT, "template is not an array");
    for (uint32_t i = 0; i < all->n; i++) {
        const SnJson *v = sn_json_at(all, i), *sequence = sn_json_get(v, "Sequence");
        if (sequence == NULL) {
            SN_TRY(add_special(d, t, sn_json_get(v, "SpecialToken"), special, err));
            continue;
        }
        SnTokPiece p = {.kind = SN_TOK_FIRST};
        SN_TRY(read_choice(sequence, "id", "A B", &p.kind, err));
        SN_TRY(read_u32(sequence, "type_id", &p.type_id, err));
        SN_TRY(add_piece(d, t, p, err));
    }
    return SN_OK;
}

static SnStatus read_named_id(const SnJson *v, const char *key, uint32_t *id, SnError *err)
{
    int64_t i;
    SN_CHECK(sn_json_int(sn_json_at(sn_json_get(v, key), 1), &i) && i >= 0 && i <= INT32_MAX, err, SN_EFORMAT,
             "post-processor: %s is not a token and its id", key);
    *id = (uint32_t)i;
    return SN_OK;
}

static SnStatus read_trim(SnTokDraft *d, const SnJson *v, SnError *err)
{
    bool trim, prefix_space;
    SN_TRY(read_bool(v, "trim_offsets", &trim, err));
    SN_TRY(read_bool(v, "add_prefix_space", &prefix_space, err));
    SN_CHECK(!trim || d->ntrim < SN_TOK_TRIMS, err, SN_EUNSUPPORTED,
             "post-processor that trims offsets more than %u times is not supported", SN_TOK_TRIMS);
    d->trim_prefix |= trim && prefix_space ? 1u << d->ntrim : 0;
    d->ntrim += trim;
    return SN_OK;
}

/* BERT: cls A sep, cls A sep B sep. RoBERTa: a second sep between the texts, and all types 0. */
static SnStatus read_cls_sep(SnTokDraft *d, const SnJson *v, Post *post, SnError *err)
{
    const bool is_roberta =
        sn_json_get(v, "trim_offsets") != NULL && sn_json_get(v, "add_prefix_space") != NULL;
    SnTokPiece cls = {.kind = SN_TOK_TOKEN}, sep = cls, first = {.kind = SN_TOK_FIRST},
               second = {.kind = SN_TOK_SECOND};
    SN_TRY(read_named_id(v, "cls", &cls.id, err));
    SN_TRY(read_named_id(v, "sep", &sep.id, err));
    SnTokPiece last = sep;
    second.type_id = last.type_id = is_roberta ? 0 : 1;
    const SnTokPiece pieces[] = {cls, first, sep, sep, second, last};
    for (uint32_t i = 0; i < SN_COUNT(pieces); i++) {
        if (i < 3)
            SN_TRY(add_piece(d, &post->single, pieces[i], err));
        if (i != 3 || is_roberta)
            SN_TRY(add_piece(d, &post->pair, pieces[i], err));
    }
    d->flags |= is_roberta ? SN_TOK_OVERFLOW_ZEROS : 0;
    return is_roberta ? read_trim(d, v, err) : SN_OK;
}

static SnStatus read_part(SnTokDraft *d, const SnJson *v, Post *post, SnError *err)
{
    const SnJson *part, *all = sn_json_get(v, "processors");
    const bool is_cls_sep = sn_json_get(v, "sep") != NULL && sn_json_get(v, "cls") != NULL;
    if (is_type(v, "ByteLevel"))
        return read_trim(d, v, err);
    if (is_type(v, "Sequence") && all != NULL && all->kind == SN_JSON_ARRAY) {
        for (uint32_t i = 0; (part = sn_json_at(all, i)) != NULL; i++)
            SN_TRY(read_part(d, part, post, err));
        return SN_OK;
    }
    if (!is_cls_sep && !is_type(v, "TemplateProcessing") && sn_json_get(v, "single") == NULL)
        return unsupported(err, "post-processor", v);
    SN_CHECK(!post->is_set, err, SN_EUNSUPPORTED,
             "post-processor Sequence of two templates is not supported");
    post->is_set = true;
    if (is_cls_sep)
        return read_cls_sep(d, v, post, err);
    const SnJson *special = sn_json_get(v, "special_tokens");
    SN_TRY(read_template(d, sn_json_get(v, "single"), special, &post->single, err));
    return read_template(d, sn_json_get(v, "pair"), special, &post->pair, err);
}

SnStatus sn_draft_read_post_processor(SnTokDraft *d, const SnJson *v, SnError *err)
{
    Post post = {.is_set = false};
    if (sn_json_is_null(v)) {
        d->flags |= SN_TOK_NO_TEMPLATE;
        return SN_OK;
    }
    SN_TRY(read_part(d, v, &post, err));
    const SnTokPiece first = {.kind = SN_TOK_FIRST}, second = {.kind = SN_TOK_SECOND, .type_id = 1};
    if (!post.is_set) {
        SN_TRY(add_piece(d, &post.single, first, err));
        SN_TRY(add_piece(d, &post.pair, first, err));
        SN_TRY(add_piece(d, &post.pair, second, err));
    }
    d->single = post.single.piece;
    d->nsingle = post.single.n;
    d->pair = post.pair.piece;
    d->npair = post.pair.n;
    return SN_OK;
}
