// Preparing: text files, JSONL and directories of them become token shards.
//
// DIR/train and DIR/val hold the shards, DIR/data.json says what they are, the tokenizer lies
// beside it. A document is a text file or a line's "text" in a JSONL file. Its last part, `val` of
// its bytes, goes to val, the rest to train; each part becomes BOS, its tokens, EOS.
// A directory with train.txt and val.txt (a curriculum) keeps that division, whatever `val` says;
// its exercises.jsonl is copied.
// With `loss_after`, only what follows that mark in a line is learnt: the rest of the line, up to
// and with the mark, is read but carries no loss. Lines without it are learnt wholly.
#ifndef TV_DATA_PREPARE_H
#define TV_DATA_PREPARE_H

#include "base/error.h"
#include "base/text.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct tv_prepare_options {
    const char *tokenizer;  // for tv_tokenizer_open
    const char *out;        // DIR; must be missing or empty, unless
    bool force;             // it was made by tv_prepare and is to be replaced
    double val;             // 0 <= val < 1
    const char *loss_after; // NULL, or the mark; for the "bytes" tokenizer only
    const char *const *inputs;
    size_t input_count;
    size_t shard_tokens; // 0: the default
} tv_prepare_options;

typedef struct tv_prepare_summary {
    uint64_t documents, bytes, train_tokens, val_tokens;
} tv_prepare_summary;

// Everything is written beside `out` and renamed at the end, so that `out` is complete or
// untouched. `report` receives the content of data.json (appended). TV_EUSAGE; TV_EIO; TV_EFORMAT
// for text that is not UTF-8, naming file and byte, or JSONL without "text"; TV_EDATA for no text.
tv_err tv_prepare(const tv_prepare_options *options, tv_prepare_summary *summary, tv_text *report);

#endif
