/* read.h -- fields of tokenizer.json. Private to frontends/tokenizer. */
#ifndef SN_TOKENIZER_READ_H
#define SN_TOKENIZER_READ_H

#include "frontends/tokenizer/draft.h"

static inline SnStatus unsupported(SnError *err, const char *part, const SnJson *v)
{
    SnBytes type = sn_bytes_str("without a type");
    (void)sn_json_string(sn_json_get(v, "type"), &type);
    const int n = type.n < 100 ? (int)type.n : 100;
    return sn_fail(err, SN_EUNSUPPORTED, "%s %.*s is not supported", part, n, (const char *)type.at);
}

static inline bool is_type(const SnJson *v, const char *type)
{
    return sn_json_is(sn_json_get(v, "type"), type);
}

static inline SnStatus read_bool(const SnJson *v, const char *key, bool *out, SnError *err)
{
    SN_CHECK(sn_json_bool(sn_json_get(v, key), out), err, SN_EFORMAT, "%s is not true or false", key);
    return SN_OK;
}

static inline SnStatus read_u32(const SnJson *v, const char *key, uint32_t *out, SnError *err)
{
    int64_t i;
    SN_CHECK(sn_json_int(sn_json_get(v, key), &i) && i >= 0 && i < UINT32_MAX, err, SN_EFORMAT,
             "%s is not a number from 0 to 2^32 - 2", key);
    *out = (uint32_t)i;
    return SN_OK;
}

static inline SnStatus read_string(const SnJson *v, const char *key, SnBytes *out, SnError *err)
{
    SN_CHECK(sn_json_string(sn_json_get(v, key), out), err, SN_EFORMAT, "%s is not a string", key);
    return SN_OK;
}

/* Which of the names, separated by spaces, a string is. */
static inline SnStatus read_choice(const SnJson *v, const char *key, const char *names, uint32_t *out,
                                   SnError *err)
{
    SnBytes s;
    SN_TRY(read_string(v, key, &s, err));
    *out = 0;
    for (const char *at = names; *at != '\0'; ++*out) {
        const size_t n = strcspn(at, " ");
        if (n == s.n && memcmp(at, s.at, n) == 0)
            return SN_OK;
        at += n + (at[n] == ' ');
    }
    return sn_fail(err, SN_EFORMAT, "%s is none of %s", key, names);
}

#endif
