/* save.h -- writes tokenizer files; sn_tokenizer_save is in frontends/hub.h. */
#ifndef SN_TOKENIZER_SAVE_H
#define SN_TOKENIZER_SAVE_H

#include "frontends/hf/folder.h"
#include "frontends/hub.h"

/* tokenizer.json as the reference saves it. */
SN_MUST_CHECK SnStatus sn_tokenizer_json_save(SnArena *arena, SnBytes text, const SnTokenizerEdits *edits,
                                              SnText *out, SnError *err);
/* The same of what was parsed. */
SN_MUST_CHECK SnStatus sn_tokenizer_json_put(const SnJson *root, bool is_pretty,
                                             const SnTokenizerEdits *edits, SnText *out, SnError *err);

#endif
