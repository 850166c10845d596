/* conform_chat.c -- cases of kind chat: messages to text, and to ids where the tokenizer is known. */
#include "tests/conform.h"

#include <stdio.h>

#define RAISED "TemplateError: "

static void put_key(SnText *t, SnBytes key, bool is_first)
{
    sn_text_add(t, ", ", is_first ? 0 : 2);
    sn_json_put_string(t, key);
    sn_text_add(t, ": ", 2);
}

/* kwargs of the row; tools and documents may stand beside them. */
static SnStatus kwargs_of(Conform *c, const SnJson *row, SnJson *out, SnError *err)
{
    static const char *const beside[] = {"tools", "documents"};
    const SnJson *kwargs = sn_json_get(row, "kwargs");
    const uint32_t n = kwargs ? kwargs->n : 0;
    SnJson *child = sn_arena_array(&c->arena, (size_t)n + SN_COUNT(beside), sizeof *child);
    SN_CHECK(child, err, SN_ENOMEM, "%s: no memory", c->dir);
    *out = (SnJson){.kind = SN_JSON_OBJECT, .u = {.child = child}};
    for (size_t i = 0; i < SN_COUNT(beside); i++)
        if (sn_json_get(row, beside[i]))
            child[out->n++] = *sn_json_get(row, beside[i]);
    for (uint32_t i = 0; i < n; i++)
        child[out->n++] = kwargs->u.child[i];
    return SN_OK;
}

static SnStatus put_ids(Conform *c, SnModel *m, SnBytes text, SnError *err)
{
    const SnTokenizeOptions o = {.struct_size = sizeof o, .no_special = true};
    SnEncoding *e = NULL;
    SN_TRY(sn_model_tokenize(m, &text, NULL, 1, &o, &c->arena, &e, err));
    put_key(&c->data, sn_bytes_str("expected_ids"), false);
    sn_text_add(&c->data, "[", 1);
    for (size_t i = 0; i < e->n; i++)
        sn_text_printf(&c->data, i ? ", %d" : "%d", e->ids[i]);
    sn_text_add(&c->data, "]", 1);
    return SN_OK;
}

static void put_spans(Conform *c, const SnChatText *chat)
{
    put_key(&c->data, sn_bytes_str("expected_spans"), false);
    sn_text_add(&c->data, "[", 1);
    for (size_t i = 0; i < chat->nspan; i++)
        sn_text_printf(&c->data, "%s[%llu, %llu]", i ? ", " : "", (unsigned long long)chat->span[i].begin,
                       (unsigned long long)chat->span[i].end);
    sn_text_add(&c->data, "]", 1);
}

/* The row with what came out in the place of all that is expected. */
static SnStatus run_row(Conform *c, SnModel *m, const SnJson *row, SnError *err)
{
    SnJson kwargs;
    SnChatText chat = {0};
    SnError failure = {0};
    SN_TRY(kwargs_of(c, row, &kwargs, err));
    const SnStatus st =
        sn_model_chat_text(m, sn_json_get(row, "messages"), &kwargs, &c->arena, &chat, &failure);
    sn_text_add(&c->data, "{", 1);
    for (uint32_t i = 0, n = 0; i < row->n; i++) {
        const SnJson *v = &row->u.child[i];
        if (v->key.n >= 8 && memcmp(v->key.at, "expected", 8) == 0)
            continue;
        put_key(&c->data, v->key, n++ == 0);
        sn_json_put(&c->data, v);
    }
    put_key(&c->data, sn_bytes_str(st == SN_OK ? "expected" : "expected_error"), false);
    if (st != SN_OK) {
        char message[sizeof failure.message + sizeof RAISED];
        (void)snprintf(message, sizeof message, RAISED "%s", failure.message);
        sn_json_put_string(&c->data, sn_bytes_str(message));
    } else {
        sn_json_put_string(&c->data, chat.text);
        if (sn_json_get(row, "expected_ids"))
            SN_TRY(put_ids(c, m, chat.text, err));
        if (sn_json_get(row, "expected_spans"))
            put_spans(c, &chat);
    }
    sn_text_add(&c->data, "}", 1);
    /* What a build lacks or runs out of is no property of the row. */
    return st == SN_ENOMEM || st == SN_EUNSUPPORTED || st == SN_EIO ? sn_fail(err, st, "%s", failure.message)
                                                                    : SN_OK;
}

static SnStatus run_rows(Conform *c, SnModel *m, const SnJson *rows, SnError *err)
{
    SN_CHECK(rows->kind == SN_JSON_ARRAY, err, SN_EFORMAT, "%s: rows is no array", c->dir);
    sn_text_add(&c->data, "[", 1);
    for (uint32_t i = 0; i < rows->n; i++) {
        sn_text_add(&c->data, ",\n ", i ? 3 : 0);
        SN_TRY(run_row(c, m, &rows->u.child[i], err));
    }
    sn_text_add(&c->data, "]", 1);
    return SN_OK;
}

SnStatus conform_chat(Conform *c, SnError *err)
{
    SnModel *m = NULL;
    const SnJson *data = NULL;
    const char *folder = conform_string(c, sn_json_get(c->spec, "model"));
    const char *file = conform_string(c, sn_json_get(c->spec, "data"));
    SN_CHECK(folder, err, SN_EFORMAT, "%s/case.json: no model", c->dir);
    SN_TRY(conform_json(c, file ? file : "data.json", &data, err));
    SnStatus st = conform_model(c, folder, c->dtype, &m, err);
    sn_text_add(&c->data, "{", 1);
    for (uint32_t i = 0; st == SN_OK && data->kind == SN_JSON_OBJECT && i < data->n; i++) {
        const SnJson *v = &data->u.child[i];
        put_key(&c->data, v->key, i == 0);
        if (sn_bytes_is(v->key, "rows"))
            st = run_rows(c, m, v, err);
        else
            sn_json_put(&c->data, v);
    }
    sn_text_add(&c->data, "}\n", 2);
    sn_model_close(m);
    if (st == SN_OK && c->data.failed)
        st = sn_fail(err, SN_ENOMEM, "%s: no memory", c->dir);
    return st;
}

/* ---- comparing ---- */

static bool same_text(const SnJson *a, const SnJson *b)
{
    SnBytes x = {0}, y = {0};
    return sn_json_string(a, &x) && sn_json_string(b, &y) && sn_bytes_equal(x, y);
}

static bool same_ids(const SnJson *a, const SnJson *b)
{
    bool is_same = a && b && a->kind == SN_JSON_ARRAY && b->kind == SN_JSON_ARRAY && a->n == b->n;
    for (uint32_t i = 0; is_same && i < a->n; i++) {
        int64_t x = 0, y = 0;
        is_same = sn_json_int(&a->u.child[i], &x) && sn_json_int(&b->u.child[i], &y) && x == y;
    }
    return is_same;
}

/* Only texts that the template raises are exact. */
static bool same_row(const SnJson *row, const SnJson *mine)
{
    const SnJson *failure = sn_json_get(row, "expected_error"), *own = sn_json_get(mine, "expected_error");
    SnBytes text = {0};
    if (failure) {
        const bool is_raised = sn_json_string(failure, &text) && text.n > sizeof RAISED - 1 &&
                               memcmp(text.at, RAISED, sizeof RAISED - 1) == 0;
        return own && (!is_raised || same_text(failure, own));
    }
    return same_text(sn_json_get(row, "expected"), sn_json_get(mine, "expected")) &&
           (!sn_json_get(row, "expected_ids") ||
            same_ids(sn_json_get(row, "expected_ids"), sn_json_get(mine, "expected_ids")));
}

SnStatus conform_compare_chat(Conform *c, bool *passed, SnError *err)
{
    const SnJson *data = NULL;
    const char *file = conform_string(c, sn_json_get(c->spec, "data"));
    SnJson *own = NULL;
    SN_TRY(conform_json(c, file ? file : "data.json", &data, err));
    SN_TRY(sn_json_parse(&c->arena, "results", sn_bytes(c->data.at, c->data.n), &own, err));
    const SnJson *rows = sn_json_get(data, "rows"), *mine = sn_json_get(own, "rows");
    SN_CHECK(rows && mine, err, SN_EFORMAT, "%s: no rows", c->dir);
    for (uint32_t i = 0; i < rows->n; i++) {
        const bool is_same = same_row(&rows->u.child[i], sn_json_at(mine, i));
        (void)printf("rows.%u%s\n", i, is_same ? "" : " DIFFERS");
        *passed = *passed && is_same;
    }
    return SN_OK;
}
