/* base64.c -- RFC 4648, section 4. */
#include "frontends/base64.h"

static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

void sn_base64_put(SnText *out, SnBytes b)
{
    for (size_t i = 0; i < b.n; i += 3) {
        const size_t left = b.n - i;
        const uint32_t v = (uint32_t)b.at[i] << 16 | (left > 1 ? (uint32_t)b.at[i + 1] << 8 : 0) |
                           (left > 2 ? b.at[i + 2] : 0u);
        const char four[4] = {digits[v >> 18], digits[v >> 12 & 63], left > 1 ? digits[v >> 6 & 63] : '=',
                              left > 2 ? digits[v & 63] : '='};
        sn_text_add(out, four, 4);
    }
}

static uint32_t digit_of(uint8_t c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return 26u + c - 'a';
    if (c >= '0' && c <= '9')
        return 52u + c - '0';
    return c == '+' ? 62 : c == '/' ? 63 : 64;
}

SnStatus sn_base64_read(SnArena *arena, SnBytes text, SnBytes *out, SnError *err)
{
    size_t n = text.n, m = 0;
    while (n > 0 && text.n - n < 2 && text.at[n - 1] == '=')
        n--;
    uint8_t *bytes = sn_arena_alloc(arena, text.n / 4 * 3 + 4);
    SN_CHECK(bytes != NULL, err, SN_ENOMEM, "no memory for %zu bytes", text.n);
    for (size_t i = 0; i < n; i += 4) {
        uint32_t bits = 0;
        const size_t few = n - i < 4 ? n - i : 4;
        for (size_t k = 0; k < few; k++) {
            const uint32_t digit = digit_of(text.at[i + k]);
            SN_CHECK(digit < 64, err, SN_EFORMAT, "byte %zu is not base64", i + k);
            bits |= digit << (18 - 6 * k);
        }
        for (size_t k = 0; k + 1 < few; k++)
            bytes[m++] = (uint8_t)(bits >> (16 - 8 * k));
    }
    *out = sn_bytes(bytes, m);
    return SN_OK;
}
