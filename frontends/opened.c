/* opened.c -- models that were compiled ahead of time: a shared object in the place of a folder. */
#include "frontends/model.h"

static const char *const tasks[SN_TYPED_KIND_COUNT] = {
    [SN_TYPED_TENSORS] = "tensors",
    [SN_TYPED_EMBED] = "embed",
    [SN_TYPED_CLASSIFY] = "text-classification",
    [SN_TYPED_TAG] = "token-classification",
    [SN_TYPED_ANSWER] = "question-answering",
    [SN_TYPED_FILL] = "fill-mask",
    [SN_TYPED_CHAT] = "text-generation",
    [SN_TYPED_TRAIN] = "train",
};

/* The program's own tables: none, if it takes no text. */
static SnBytes find_tokenizer(const SnImage *m)
{
    const SnObjectRow *row = SN_ROWS(m, SnObjectRow, object);
    for (uint32_t i = 0; i < m->object.count; i++)
        if (strcmp(sn_image_string(m, row[i].class_name), "tokenizer") == 0)
            return sn_bytes((const uint8_t *)m + row[i].offset, row[i].size);
    return (SnBytes){0};
}

SnStatus sn_model_open_program(SnModel *m, SnError *err)
{
    SnModelProgram *p = sn_arena_alloc(&m->arena, sizeof *p);
    SN_CHECK(p && sn_vec_push(sn_allocator(m->ctx), &m->program, p), err, SN_ENOMEM, "%s: no memory",
             m->folder);
    p->key = "opened";
    SN_TRY(sn_program_open(m->ctx, m->folder, &p->program, err));
    const SnTypedDesc *typed = p->program->typed;
    SN_CHECK(!typed || typed->kind < SN_TYPED_KIND_COUNT, err, SN_EUNSUPPORTED, "%s: a program of kind %u",
             m->folder, typed->kind);
    if (!typed || typed->kind != SN_TYPED_CHAT) /* a conversation has its own instance */
        SN_TRY(sn_instance_create(p->program, NULL, &p->instance, err));
    m->opened = p;
    m->tokenizer = find_tokenizer(p->program->image);
    return SN_OK;
}

SnTypedKind sn_opened_kind(const SnModel *m)
{
    const SnTypedDesc *typed = m->opened->program->typed;
    return typed ? (SnTypedKind)typed->kind : SN_TYPED_TENSORS;
}

const char *sn_opened_task(const SnModel *m)
{
    return tasks[sn_opened_kind(m)];
}

SnStatus sn_opened_need(const SnModel *m, SnTypedKind kind, SnError *err)
{
    SN_CHECK(sn_opened_kind(m) == kind, err, SN_EUNSUPPORTED, "%s: compiled for %s, not for %s", m->folder,
             sn_opened_task(m), tasks[kind]);
    return SN_OK;
}

/* ---- conversations ---- */

bool sn_model_talks(const SnModel *m)
{
    return m->opened && sn_opened_kind(m) == SN_TYPED_CHAT;
}

static SnStatus open_talk(SnModel *m, SnError *err)
{
    char message[sizeof err->message] = "";
    const char *level = sn_context_cpu_level(m->ctx);
    const SnTypedHost host = {.struct_size = sizeof host,
                              .abi = SN_ABI,
                              .flags = strcmp(level, "amx") == 0 ? SN_USE_AMX : 0,
                              .memory = *sn_allocator(m->ctx),
                              .jobs = *sn_jobs(m->ctx),
                              .cpu_level = level,
                              .message = message,
                              .message_size = sizeof message};
    SN_CHECK(sn_model_talks(m), err, SN_EUNSUPPORTED, "%s: no program of a model that talks", m->folder);
    const SnStatus st = m->talk ? SN_OK : sn_typed_create(&host, &m->talk, m->opened->program->typed);
    return st == SN_OK ? SN_OK : sn_fail(err, st, "%s: %s", m->folder, message);
}

SnStatus sn_model_say(SnModel *m, SnBytes message, SnTypedSink *take, void *user, SnError *err)
{
    SN_TRY(open_talk(m, err));
    const SnStatus st = sn_typed_say(m->talk, (const char *)message.at, message.n, take, user);
    return st == SN_OK ? SN_OK : sn_fail(err, st, "%s: %s", m->folder, sn_typed_error(m->talk));
}

SnStatus sn_model_forget(SnModel *m, SnError *err)
{
    SN_TRY(open_talk(m, err));
    const SnStatus st = sn_typed_forget(m->talk);
    return st == SN_OK ? SN_OK : sn_fail(err, st, "%s: %s", m->folder, sn_typed_error(m->talk));
}

/* ---- inspect ---- */

static void put_name(SnText *t, const char *key, const char *value)
{
    sn_text_printf(t, "\"%s\":", key);
    sn_json_put_string(t, sn_bytes_str(value));
}

static void put_slot(SnText *t, const SnSlotInfo *s)
{
    sn_text_add(t, "{", 1);
    put_name(t, "name", s->name);
    sn_text_printf(t, ",\"dtype\":\"%s\",\"list\":%s,\"shape\":[", sn_dtype(s->dtype)->name,
                   s->is_list ? "true" : "false");
    for (int32_t i = 0; i < s->ndim; i++) {
        sn_text_add(t, ",", i ? 1 : 0);
        if (s->symbol[i])
            sn_json_put_string(t, sn_bytes_str(s->symbol[i]));
        else if (s->dims[i] >= 0)
            sn_text_printf(t, "%lld", (long long)s->dims[i]);
        else
            sn_text_printf(t, "null");
    }
    sn_text_printf(t, "]}");
}

static void put_entry(SnText *t, const SnProgram *p, const char *entry)
{
    SnSlotInfo s;
    sn_text_add(t, "{", 1);
    put_name(t, "name", entry);
    sn_text_printf(t, ",\"inputs\":[");
    for (uint32_t i = 0; sn_program_input(p, entry, i, &s); i++) {
        sn_text_add(t, ",", i ? 1 : 0);
        put_slot(t, &s);
    }
    sn_text_printf(t, "],\"outputs\":[");
    for (uint32_t i = 0; sn_program_output(p, entry, i, &s); i++) {
        sn_text_add(t, ",", i ? 1 : 0);
        put_slot(t, &s);
    }
    sn_text_printf(t, "]}");
}

SnStatus sn_opened_inspect(SnModel *m, SnText *json, SnError *err)
{
    const SnProgram *p = m->opened->program;
    const SnTypedDesc *typed = p->typed;
    const char *entry = NULL;
    SnProgramInfo info;
    sn_program_info(p, &info);
    sn_text_add(json, "{", 1);
    put_name(json, "task", sn_opened_task(m));
    if (typed && typed->width)
        sn_text_printf(json, ",\"width\":%u", typed->width);
    for (uint32_t i = 0; typed && typed->label && i < typed->width; i++) {
        sn_text_printf(json, "%s", i ? "," : ",\"labels\":[");
        sn_json_put_string(json, sn_bytes_str(typed->label[i]));
        sn_text_add(json, "]", i + 1 == typed->width);
    }
    if (typed && typed->max_text)
        sn_text_printf(json, ",\"max_text\":%u", typed->max_text);
    sn_text_printf(json, ",\"weight_bytes\":%llu,\"entries\":[",
                   (unsigned long long)(info.weight_bytes + info.packed_bytes));
    for (uint32_t i = 0; sn_program_entry(p, i, &entry); i++) {
        sn_text_add(json, ",", i ? 1 : 0);
        put_entry(json, p, entry);
    }
    sn_text_printf(json, "]}");
    SN_CHECK(!json->failed, err, SN_ENOMEM, "%s: no memory", m->folder);
    return SN_OK;
}
