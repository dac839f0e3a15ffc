// Batches: sequences of token shards, a pure function of (seed, step, sample).
// B batch, T time (seq_len), N ids in all shards. Window w holds the ids w*T ... w*T + T: T inputs
// and, one later, T targets. There are W = (N - 1) / T whole windows; a window may span shards.
#ifndef TV_DATA_BATCH_H
#define TV_DATA_BATCH_H

#include "data/tokenizer.h"

typedef struct tv_dataset tv_dataset;

// A target that counts in no loss; the kernels know it as TV_IGNORE_TARGET. Ids that shards mark as
// without loss become this where they are targets.
#define TV_NO_TARGET 0xFFFFFFFFu

// Opens all shards of `directory` (0000.tokens, ...) and checks every byte of them. `tokenizer`
// may be NULL: then they only have to agree with each other. TV_EIO, TV_EFORMAT for a damaged,
// missing or foreign shard, TV_EDATA where there are fewer than seq_len + 1 ids.
tv_err tv_dataset_open(const char *directory, size_t seq_len, const tv_tokenizer *tokenizer,
                       tv_dataset **dataset);
void tv_dataset_close(tv_dataset **dataset);

uint64_t tv_dataset_tokens(const tv_dataset *dataset);     // N
uint64_t tv_dataset_windows(const tv_dataset *dataset);    // W
uint32_t tv_dataset_vocab_size(const tv_dataset *dataset); // of the shards
uint64_t tv_dataset_vocab_hash(const tv_dataset *dataset); // tv_tokenizer_hash of the tokenizer
uint64_t tv_dataset_checksum(const tv_dataset *dataset);   // of all that the shards hold
uint64_t tv_dataset_order_rows(const tv_dataset *dataset); // rows of one pass in order

// The window of one sample: sample `step * global_batch + sample` of the run. Its epoch is that
// number divided by W; each epoch visits every window once, in an order of its own.
uint64_t tv_dataset_window(const tv_dataset *dataset, uint64_t seed, uint64_t step,
                           uint32_t global_batch, uint32_t sample);

// Training rows: samples first_sample ... first_sample + count - 1 of step `step`.
// inputs [count][T], targets [count][T]; sample_ids [count] (may be NULL) receives each sample's
// number within the step, from 0 to global_batch - 1: the key of its random numbers.
// Requires first_sample + count <= global_batch.
void tv_dataset_fill(const tv_dataset *dataset, uint64_t seed, uint64_t step, uint32_t global_batch,
                     uint32_t first_sample, uint32_t count, uint32_t *inputs, uint32_t *targets,
                     uint32_t *sample_ids);

// Validation rows: row r is window r. The row behind the whole windows holds the ids that are left;
// rows further behind hold none. Positions without an id have input 0 and target TV_NO_TARGET, so
// that tv_dataset_order_rows() rows count every target of the data exactly once.
void tv_dataset_fill_order(const tv_dataset *dataset, uint64_t first_row, uint32_t count,
                           uint32_t *inputs, uint32_t *targets);

// How many of the targets carry loss.
uint64_t tv_count_targets(const uint32_t *targets, size_t count);

// order [n] receives the indices 0 ... n-1 sorted by ids[index]; equal ids keep their order.
// n < 2^32.
void tv_sort_by_id(const uint32_t *ids, size_t n, uint32_t *order);

#endif
