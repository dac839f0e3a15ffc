// Token shards: NNNN.tokens files that hold the ids of a corpus, written in a stream, read mapped.
//
// Layout (little endian): 64 bytes of head, then `count` ids of 2 or 4 bytes. The top bit of an id
// says that predicting it carries no loss; vocabularies of 2^15 to 2^16 tokens have no such bit.
//    0  "TVTOKENS"         24  u64 vocabulary hash            48  u32 1 if the last shard, else 0
//    8  u32 version, 1     32  u64 count of ids               52  u32 0
//   12  u32 bytes per id   40  u64 XXH3-64 of the ids' bytes  56  u64 XXH3-64 of bytes 0 to 55
//   16  u32 vocabulary size
//   20  u32 number of the shard, from 0
#ifndef TV_DATA_SHARD_H
#define TV_DATA_SHARD_H

#include "base/file.h"
#include "data/tokenizer.h"

// In memory, the mark of an id whose prediction carries no loss.
#define TV_NO_LOSS 0x80000000u

enum { TV_SHARD_HEAD = 64, TV_SHARD_TOKENS = 16 << 20 };

// Writes DIR/0000.tokens, 0001.tokens, ... with at most `shard_tokens` ids each (0: a default of
// TV_SHARD_TOKENS). Holds one shard in memory. The directory must exist.
typedef struct tv_shard_writer tv_shard_writer;
void tv_shard_writer_create(const char *directory, const tv_tokenizer *tokenizer,
                            size_t shard_tokens, tv_shard_writer **writer);
tv_err tv_shard_writer_write(tv_shard_writer *writer, const uint32_t *ids, size_t count);
// Writes what is left, as the last shard. Destroys the writer, also on failure.
tv_err tv_shard_writer_commit(tv_shard_writer **writer);
void tv_shard_writer_destroy(tv_shard_writer **writer); // without the rest

// One shard, mapped.
typedef struct tv_shard {
    tv_mapping mapping;
    uint32_t bytes_per_id, vocab_size, number;
    bool last;
    uint64_t hash, count;
} tv_shard;

// Checks a shard in memory: head, size, checksum, and that every id is in the vocabulary.
// `name` stands in error lines. TV_EFORMAT, saying what is wrong.
tv_err tv_shard_parse(const char *name, const uint8_t *data, size_t size, tv_shard *shard);

// Maps and checks a file. TV_EFORMAT also where `tokenizer` (may be NULL) is another one than the
// shard was made with; the line names both.
tv_err tv_shard_open(const char *path, const tv_tokenizer *tokenizer, tv_shard *shard);
void tv_shard_close(tv_shard *shard);

// Copies `count` ids, with their TV_NO_LOSS marks, from `first` on; first + count <= shard->count.
void tv_shard_read(const tv_shard *shard, uint64_t first, size_t count, uint32_t *ids);

#endif
