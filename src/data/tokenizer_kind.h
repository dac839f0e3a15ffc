// Tokenizers, inside: what a kind of tokenizer provides. Only tokenizer*.c include this.
#ifndef TV_DATA_TOKENIZER_KIND_H
#define TV_DATA_TOKENIZER_KIND_H

#include "data/tokenizer.h"

typedef struct tv_tokenizer_kind {
    const char *name;
    const char *file_name; // in a model directory
    bool starts_with_bos;
    void (*encode)(const tv_tokenizer *tokenizer, const char *text, size_t length, tv_ids *ids);
    void (*decode)(const tv_tokenizer *tokenizer, uint32_t previous, uint32_t token, tv_text *text);
    void (*destroy)(tv_tokenizer *tokenizer); // frees `vocabulary`
} tv_tokenizer_kind;

struct tv_tokenizer {
    const tv_tokenizer_kind *kind;
    size_t vocab_size;
    uint32_t bos, eos;
    uint64_t hash;
    uint8_t *file; // the content of kind->file_name, owned
    size_t file_size;
    void *vocabulary; // the kind's own
};

#endif
