/* tokenizer_train.h -- train tokenizers: texts in, tokenizer.json out.
 *
 * Everything but the model stays as it was; the vocabulary is made from the words of the texts, as the
 * tokenizer normalises and cuts them. Memory goes by the number of different words, not by the texts. Results
 * are those of Hugging Face tokenizers; where that goes by the order of a hash table, ours is said here:
 *   * ids of characters with continuing_subword_prefix or end_of_word_suffix (so of all of WordPiece): in the
 *     order in which words first come;
 *   * limit_alphabet, equally frequent characters: the lower code points stay;
 *   * Unigram sums in the order of words; required characters without a piece get theirs by code point. */
#ifndef SN_TOKENIZER_TRAIN_H
#define SN_TOKENIZER_TRAIN_H

#include "frontends/hub.h"

typedef struct SnTokenizerTrainer SnTokenizerTrainer;

/* tokenizer: text of a tokenizer.json. With an empty vocabulary it is trained as Tokenizer.train does; with
 * another one as train_new_from_iterator: special tokens, affixes and the alphabet of bytes are kept.
 * options: names of the trainers, an object or NULL: vocab_size, min_frequency, special_tokens (strings, or
 * objects as AddedToken), limit_alphabet, initial_alphabet (strings, or "ByteLevel"), max_token_length,
 * continuing_subword_prefix, end_of_word_suffix, unk_token, shrinking_factor, n_sub_iterations,
 * max_piece_length, seed_size. What the model's trainer has not is SN_EINVAL. */
SN_API SN_MUST_CHECK SnStatus sn_tokenizer_trainer_create(SnContext *ctx, SnBytes tokenizer,
                                                          const SnJson *options, SnTokenizerTrainer **out,
                                                          SnError *err);
SN_API void sn_tokenizer_trainer_destroy(SnTokenizerTrainer *t);
/* One text, UTF-8; nothing goes over from one to the next. */
SN_API SN_MUST_CHECK SnStatus sn_tokenizer_trainer_feed(SnTokenizerTrainer *t, SnBytes text, SnError *err);
/* The lines of a file, each with its end, which is how the reference reads files. */
SN_API SN_MUST_CHECK SnStatus sn_tokenizer_trainer_feed_file(SnTokenizerTrainer *t, const char *path,
                                                             SnError *err);
/* Trains on what was fed; json becomes tokenizer.json. Once for a trainer. */
SN_API SN_MUST_CHECK SnStatus sn_tokenizer_trainer_finish(SnTokenizerTrainer *t, SnText *json, SnError *err);

#endif
