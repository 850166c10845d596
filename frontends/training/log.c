/* log.c -- lines of a log: into memory, JSON lines, and event files of TensorBoard.
 *
 * An event file is records of {size u64, its checksum, bytes, their checksum}; bytes are protobuf's Event:
 * wall_time 1, step 2, file_version 3, summary 5 {value 1 {tag 1, simple_value 2}}. Checksums are CRC-32C,
 * turned and with a constant added (tensorflow/core/lib/hash/crc32c.h). */
#include "frontends/training/log.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define MAX_TAG 128

static SnStatus append(const char *path, const void *at, size_t n, SnError *err)
{
    const int f = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
    SN_CHECK(f >= 0, err, SN_EIO, "%s: cannot write: %s", path, strerror(errno));
    const char *p = at;
    while (n > 0) {
        const ssize_t k = write(f, p, n);
        if (k < 0 && errno == EINTR)
            continue;
        if (k <= 0) {
            const int why = errno;
            (void)close(f);
            return sn_fail(err, SN_EIO, "%s: cannot write: %s", path, strerror(why));
        }
        p += k;
        n -= (size_t)k;
    }
    SN_CHECK(close(f) == 0, err, SN_EIO, "%s: cannot write: %s", path, strerror(errno));
    return SN_OK;
}

static double wall_time(void)
{
    struct timespec now = {0};
    (void)clock_gettime(CLOCK_REALTIME, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

/* ---- event files ---- */

static uint32_t checksum(const void *at, size_t n)
{
    const uint8_t *p = at;
    uint32_t c = 0xFFFFFFFFu;
    for (size_t i = 0; i < n; i++) {
        c ^= p[i];
        for (int k = 0; k < 8; k++)
            c = c >> 1 ^ (0x82F63B78u & (0u - (c & 1)));
    }
    c = ~c;
    return (c >> 15 | c << 17) + 0xA282EAD8u;
}

static void put_le(SnText *t, uint64_t v, int n)
{
    for (int i = 0; i < n; i++)
        sn_text_add(t, (const char[]){(char)(uint8_t)(v >> 8 * i)}, 1);
}

static void put_varint(SnText *t, uint64_t v)
{
    for (; v >= 0x80; v >>= 7)
        put_le(t, v | 0x80, 1);
    put_le(t, v, 1);
}

static void put_part(SnText *t, unsigned field, const void *at, size_t n)
{
    put_varint(t, field << 3 | 2);
    put_varint(t, n);
    sn_text_add(t, at, n);
}

static void put_scalar(SnText *summary, const char *tag, float v)
{
    SnText value = {.memory = summary->memory};
    uint32_t bits;
    memcpy(&bits, &v, sizeof bits);
    put_part(&value, 1, tag, strlen(tag));
    put_varint(&value, 2 << 3 | 5);
    put_le(&value, bits, 4);
    put_part(summary, 1, value.at, value.n);
    summary->failed = summary->failed || value.failed;
    sn_text_clear(&value);
}

/* An event with a summary, or the first one, with the file's version. */
static SnStatus put_event(const SnTrainLog *l, int64_t step, const SnText *summary, SnError *err)
{
    static const char version[] = "brain.Event:2";
    SnText event = {.memory = sn_allocator(l->ctx)}, record = {.memory = event.memory};
    const double now = wall_time();
    uint64_t bits;
    memcpy(&bits, &now, sizeof bits);
    put_varint(&event, 1 << 3 | 1);
    put_le(&event, bits, 8);
    put_varint(&event, 2 << 3);
    put_varint(&event, (uint64_t)step);
    if (summary)
        put_part(&event, 5, summary->at, summary->n);
    else
        put_part(&event, 3, version, sizeof version - 1);
    put_le(&record, event.n, 8);
    put_le(&record, record.failed ? 0 : checksum(record.at, 8), 4);
    sn_text_add(&record, event.at, event.n);
    put_le(&record, event.failed ? 0 : checksum(event.at, event.n), 4);
    const bool failed = event.failed || record.failed || (summary && summary->failed);
    const SnStatus st = failed ? sn_fail(err, SN_ENOMEM, "%s: no memory", l->events)
                               : append(l->events, record.at, record.n, err);
    sn_text_clear(&event);
    sn_text_clear(&record);
    return st;
}

/* eval_loss is eval/loss, all others are train/NAME. */
static SnStatus put_events(const SnTrainLog *l, const SnJson *entry, int64_t step, SnError *err)
{
    SnText summary = {.memory = sn_allocator(l->ctx)};
    for (uint32_t i = 0; i < entry->n; i++) {
        const SnJson *v = &entry->u.child[i];
        const bool is_eval = v->key.n > 5 && memcmp(v->key.at, "eval_", 5) == 0;
        char tag[MAX_TAG];
        size_t n = is_eval ? 5 : 6;
        double x = 0;
        if (!sn_json_number(v, &x) || v->key.n + n >= sizeof tag || sn_bytes_is(v->key, "step"))
            continue;
        memcpy(tag, is_eval ? "eval/" : "train/", n);
        memcpy(tag + n, v->key.at + (is_eval ? 5 : 0), v->key.n - (is_eval ? 5 : 0));
        n += v->key.n - (is_eval ? 5 : 0);
        tag[n] = 0;
        put_scalar(&summary, tag, (float)x);
    }
    const SnStatus st = put_event(l, step, &summary, err);
    sn_text_clear(&summary);
    return st;
}

/* ---- the log ---- */

SnStatus sn_train_log_begin(SnTrainLog *l, SnContext *ctx, SnArena *arena, const char *folder,
                            const char *events, SnError *err)
{
    *l = (SnTrainLog){.ctx = ctx, .history = {.memory = sn_allocator(ctx)}};
    l->lines = sn_arena_printf(arena, "%s/train_log.jsonl", folder);
    SN_CHECK(l->lines, err, SN_ENOMEM, "%s: no memory", folder);
    if (!events)
        return SN_OK;
    for (size_t i = 1; i <= strlen(events); i++) {
        const char *part = events[i] == '/' || events[i] == 0 ? sn_arena_strndup(arena, events, i) : NULL;
        SN_CHECK(!part || mkdir(part, 0777) == 0 || errno == EEXIST, err, SN_EIO, "%s: cannot write: %s",
                 events, strerror(errno));
    }
    l->events =
        sn_arena_printf(arena, "%s/events.out.tfevents.%.0f.%ld.sinter", events, wall_time(), (long)getpid());
    SN_CHECK(l->events, err, SN_ENOMEM, "%s: no memory", folder);
    return put_event(l, 0, NULL, err);
}

SnStatus sn_train_log_add(SnTrainLog *l, SnArena *arena, const char *members, int64_t step,
                          const SnJson **out, SnError *err)
{
    SnJson *json = NULL;
    const char *entry = sn_arena_printf(arena, "{%s, \"step\": %lld}\n", members, (long long)step);
    SN_CHECK(entry, err, SN_ENOMEM, "log: no memory");
    SN_TRY(sn_json_parse(arena, "log", sn_bytes_str(entry), &json, err));
    *out = json;
    sn_text_add(&l->history, ",\n", l->history.n ? 2 : 0);
    sn_text_add(&l->history, entry, strlen(entry) - 1);
    SN_CHECK(!l->history.failed, err, SN_ENOMEM, "log: no memory");
    SN_TRY(append(l->lines, entry, strlen(entry), err));
    return l->events ? put_events(l, json, step, err) : SN_OK;
}

void sn_train_log_end(SnTrainLog *l)
{
    sn_text_clear(&l->history);
}
