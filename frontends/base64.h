/* base64.h -- bytes as the 64 characters of RFC 4648, and back. */
#ifndef SN_BASE64_H
#define SN_BASE64_H

#include "runtime/bytes.h"

void sn_base64_put(SnText *out, SnBytes b); /* with padding */
/* Into the arena; padding may be missing. */
SN_MUST_CHECK SnStatus sn_base64_read(SnArena *arena, SnBytes text, SnBytes *out, SnError *err);

#endif
