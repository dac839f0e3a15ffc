// Tokenizers: text to token ids and back. Two kinds: "bytes" and llama2.c's tokenizer.bin.
#ifndef TV_DATA_TOKENIZER_H
#define TV_DATA_TOKENIZER_H

#include "base/error.h"
#include "base/text.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct tv_tokenizer tv_tokenizer;

// No token: `previous` of the first token that is decoded.
#define TV_NO_TOKEN 0xFFFFFFFFu

// A growing array of token ids. {0} is empty.
typedef struct tv_ids {
    uint32_t *ids;
    size_t count, capacity;
} tv_ids;
void tv_ids_append(tv_ids *ids, uint32_t id);
void tv_ids_finish(tv_ids *ids); // frees, and writes {0}

// Opens "bytes", a tokenizer file (llama2.c's layout, or a tokenizer.trivium.json), or a directory
// that holds one (tv_tokenizer_open_model). `vocab_size_limit` is 0 or the vocabulary size of the
// model: a tokenizer with more tokens than that is TV_EFORMAT (fewer is allowed: padded models).
// TV_EIO if a file cannot be read, TV_EFORMAT if it is none or broken.
tv_err tv_tokenizer_open(const char *path, size_t vocab_size_limit, tv_tokenizer **tokenizer);

// The tokenizer of a model directory: tokenizer.trivium.json, else tokenizer.bin, else the only
// file named tok*.bin. TV_EFORMAT where there is none, or several tok*.bin.
tv_err tv_tokenizer_open_model(const char *directory, size_t vocab_size_limit,
                               tv_tokenizer **tokenizer);

// The tokenizer that lies with token shards: in `directory` or, for DIR/train, in DIR.
tv_err tv_tokenizer_open_data(const char *directory, tv_tokenizer **tokenizer);

// A llama2.c tokenizer from memory (copied): int32 longest token, then for each token float32
// score, int32 length, bytes. Tokens 0, 1, 2 are <unk>, BOS, EOS; 3 to 258 are <0x00> to <0xFF>.
// `name` stands in error lines. TV_EFORMAT if it breaks the layout.
tv_err tv_tokenizer_parse_llama2c(const char *name, const uint8_t *data, size_t size,
                                  tv_tokenizer **tokenizer);

void tv_tokenizer_destroy(tv_tokenizer **tokenizer);

// Writes the tokenizer into a model or data directory, so that tv_tokenizer_open_model finds it.
tv_err tv_tokenizer_save(const tv_tokenizer *tokenizer, const char *directory);

// Appends the ids of `text`, with BOS before them if asked. Any bytes are allowed.
// "bytes": ids 0 to 255 are the bytes. llama2.c: as sentencepiece's BPE does, a space is put
// before a text that is not empty; then, as long as two neighbours join to a token, the pair whose
// token has the best score is joined, the leftmost of equals first; what is not in the vocabulary
// falls back to byte tokens.
void tv_tokenizer_encode(const tv_tokenizer *tokenizer, const char *text, size_t length, bool bos,
                         tv_ids *ids);

// Appends the bytes of one token. `previous` is the token before it: after BOS, llama2.c drops a
// leading space. BOS and EOS have no bytes; an id outside the vocabulary gives U+FFFD.
void tv_tokenizer_decode(const tv_tokenizer *tokenizer, uint32_t previous, uint32_t token,
                         tv_text *text);
// All tokens, as generation from BOS shows them.
void tv_tokenizer_decode_all(const tv_tokenizer *tokenizer, const uint32_t *ids, size_t count,
                             tv_text *text);

const char *tv_tokenizer_name(const tv_tokenizer *tokenizer); // "bytes" or "llama2.c"
size_t tv_tokenizer_vocab_size(const tv_tokenizer *tokenizer);
uint32_t tv_tokenizer_bos(const tv_tokenizer *tokenizer);
uint32_t tv_tokenizer_eos(const tv_tokenizer *tokenizer);
// Whether every text is meant to start with BOS, as sentencepiece models are trained.
bool tv_tokenizer_starts_with_bos(const tv_tokenizer *tokenizer);
uint64_t tv_tokenizer_hash(const tv_tokenizer *tokenizer); // identifies the vocabulary

#endif
