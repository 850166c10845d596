/* error.c -- filling SnError, status names, the end of a broken invariant. */
#include "runtime/memory.h"

#include <stdio.h>
#include <stdlib.h>

static const char *const status_name[] = {
    [SN_OK] = "SN_OK",
    [SN_EINVAL] = "SN_EINVAL",
    [SN_ENOMEM] = "SN_ENOMEM",
    [SN_EIO] = "SN_EIO",
    [SN_EFORMAT] = "SN_EFORMAT",
    [SN_ESHAPE] = "SN_ESHAPE",
    [SN_EUNSUPPORTED] = "SN_EUNSUPPORTED",
    [SN_EDEVICE] = "SN_EDEVICE",
    [SN_ECANCELLED] = "SN_ECANCELLED",
    [SN_EINTERNAL] = "SN_EINTERNAL",
};

const char *sn_status_name(SnStatus code)
{
    const size_t i = (size_t)code;
    return i < SN_COUNT(status_name) ? status_name[i] : "SN_E?";
}

/* A message that does not fit is cut between characters: it stays valid UTF-8. */
static void cut_at_character(char *s, size_t n)
{
    size_t start = n;
    while (start > 0 && ((unsigned char)s[start - 1] & 0xC0u) == 0x80u)
        start--;
    if (start == 0)
        return;
    const unsigned char lead = (unsigned char)s[start - 1];
    const size_t want = lead >= 0xF0u ? 4 : lead >= 0xE0u ? 3 : lead >= 0xC0u ? 2 : 1;
    if (n - (start - 1) < want)
        s[start - 1] = '\0';
}

SnStatus sn_failv(SnError *err, SnStatus code, const char *format, va_list args)
{
    if (err == NULL)
        return code;
    /* Arguments may point into *err: format first, then copy. */
    char message[sizeof err->message];
    const int n = vsnprintf(message, sizeof message, format, args);
    if (n < 0)
        message[0] = '\0';
    else if ((size_t)n >= sizeof message)
        cut_at_character(message, sizeof message - 1);
    err->code = code;
    memcpy(err->message, message, sizeof message);
    return code;
}

SnStatus sn_fail(SnError *err, SnStatus code, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    sn_failv(err, code, format, args);
    va_end(args);
    return code;
}

SnStatus sn_fail_in(SnError *err, SnStatus code, const char *prefix)
{
    if (err == NULL)
        return code;
    return sn_fail(err, code, "%s: %s", prefix, err->message);
}

/* Debug and fuzz builds only: the one place that ends the process, and says where. */
void sn_assert_failed(const char *file, int line, const char *cond)
{
    fprintf(stderr, "sinter: %s:%d: broken invariant: %s\n", file, line, cond);
    abort();
}
