// Batches: windows over mapped shards, their order, and the stable sort of ids.
#include "data/batch.h"

#include "base/file.h"
#include "base/memory.h"
#include "base/rng.h"
#include "data/shard.h"

#include <inttypes.h>
#include <string.h>
#include <xxhash.h>

struct tv_dataset {
    tv_shard *shards;
    uint64_t *first; // number of each shard's first id
    size_t shard_count, capacity, first_capacity;
    size_t seq_len;
    uint64_t tokens, windows;
};

static tv_err add_shard(tv_dataset *d, const char *path, const tv_tokenizer *tokenizer)
{
    tv_shard shard;
    TV_TRY(tv_shard_open(path, tokenizer, &shard));
    const tv_shard *zero = d->shards;
    tv_err err = TV_OK;
    if (shard.number != d->shard_count)
        err =
            tv_fail(TV_EFORMAT, "%s: its head says that it is shard %" PRIu32, path, shard.number);
    else if (zero && (zero->hash != shard.hash || zero->vocab_size != shard.vocab_size))
        err = tv_fail(TV_EFORMAT,
                      "%s: made with another vocabulary (%" PRIu32 " tokens, hash %016" PRIx64
                      ") than shard 0 (%" PRIu32 " tokens, hash %016" PRIx64 ")",
                      path, shard.vocab_size, shard.hash, zero->vocab_size, zero->hash);
    if (err != TV_OK) {
        tv_shard_close(&shard);
        return err;
    }
    TV_RESERVE(d->shards, d->capacity, d->shard_count + 1);
    TV_RESERVE(d->first, d->first_capacity, d->shard_count + 1);
    d->first[d->shard_count] = d->tokens;
    d->shards[d->shard_count++] = shard;
    d->tokens += shard.count;
    return TV_OK;
}

static tv_err add_shards(tv_dataset *d, const char *directory, const tv_tokenizer *tokenizer)
{
    tv_text path = {0};
    tv_err err = TV_OK;
    do {
        tv_text_clear(&path);
        tv_text_printf(&path, "%s/%04zu.tokens", directory, d->shard_count);
        if (tv_path_exists(path.data))
            err = add_shard(d, path.data, tokenizer);
        else if (!tv_path_is_dir(directory))
            err = tv_fail(TV_EIO, "%s: no such directory of token shards; trivium prepare makes it",
                          directory);
        else
            err = tv_fail(TV_EFORMAT, "%s is missing%s", path.data,
                          d->shard_count ? ", and the shard before it is not the last"
                                         : "; trivium prepare makes token shards");
    } while (err == TV_OK && !d->shards[d->shard_count - 1].last);
    tv_text_finish(&path);
    return err;
}

tv_err tv_dataset_open(const char *directory, size_t seq_len, const tv_tokenizer *tokenizer,
                       tv_dataset **dataset)
{
    *dataset = NULL;
    if (seq_len == 0)
        return tv_fail(TV_EUSAGE, "data.seq_len is 0; it must be at least 1");
    tv_dataset *d = tv_alloc(1, sizeof *d);
    d->seq_len = seq_len;
    tv_err err = add_shards(d, directory, tokenizer);
    if (err == TV_OK && d->tokens < 2)
        err = tv_fail(TV_EDATA, "%s: %" PRIu64 " tokens are too few to learn from", directory,
                      d->tokens);
    else if (err == TV_OK && d->tokens - 1 < seq_len)
        err = tv_fail(TV_EDATA,
                      "%s: %" PRIu64 " tokens are too few for seq_len %zu; the largest possible "
                      "seq_len is %" PRIu64,
                      directory, d->tokens, seq_len, d->tokens - 1);
    if (err != TV_OK) {
        tv_dataset_close(&d);
        return err;
    }
    d->windows = (d->tokens - 1) / seq_len;
    *dataset = d;
    return TV_OK;
}

void tv_dataset_close(tv_dataset **dataset)
{
    tv_dataset *d = *dataset;
    if (!d)
        return;
    for (size_t i = 0; i < d->shard_count; i++)
        tv_shard_close(&d->shards[i]);
    tv_free(d->shards);
    tv_free(d->first);
    tv_free(d);
    *dataset = NULL;
}

uint64_t tv_dataset_tokens(const tv_dataset *dataset)
{
    return dataset->tokens;
}

uint64_t tv_dataset_windows(const tv_dataset *dataset)
{
    return dataset->windows;
}

uint32_t tv_dataset_vocab_size(const tv_dataset *dataset)
{
    return dataset->shards[0].vocab_size;
}

uint64_t tv_dataset_vocab_hash(const tv_dataset *dataset)
{
    return dataset->shards[0].hash;
}

uint64_t tv_dataset_checksum(const tv_dataset *dataset)
{
    uint64_t sum = 0; // each shard's head carries the checksum of its ids
    for (size_t i = 0; i < dataset->shard_count; i++)
        sum = XXH3_64bits_withSeed(dataset->shards[i].mapping.data, TV_SHARD_HEAD, sum);
    return sum;
}

uint64_t tv_dataset_order_rows(const tv_dataset *dataset)
{
    return dataset->windows + ((dataset->tokens - 1) % dataset->seq_len != 0);
}

// Ids first ... first + count - 1 of the whole data, which has them.
static void read_ids(const tv_dataset *d, uint64_t first, size_t count, uint32_t *ids)
{
    size_t low = 0, high = d->shard_count;
    while (high - low > 1) { // the last shard that begins at or before `first`
        size_t middle = low + (high - low) / 2;
        if (d->first[middle] <= first)
            low = middle;
        else
            high = middle;
    }
    for (size_t i = low; count > 0; i++) {
        uint64_t inside = first - d->first[i];
        size_t n = tv_min_size(count, (size_t)(d->shards[i].count - inside));
        tv_shard_read(&d->shards[i], inside, n, ids);
        first += n;
        ids += n;
        count -= n;
    }
}

static uint64_t epoch_key(uint64_t seed, uint64_t epoch)
{
    uint32_t key[2] = {(uint32_t)seed, (uint32_t)(seed >> 32)}, words[4];
    // The third word keeps these numbers apart from other uses of the same seed.
    uint32_t counter[4] = {(uint32_t)epoch, (uint32_t)(epoch >> 32), 0x65706F63u, 0};
    tv_philox(key, counter, words);
    return (uint64_t)words[1] << 32 | words[0];
}

uint64_t tv_dataset_window(const tv_dataset *dataset, uint64_t seed, uint64_t step,
                           uint32_t global_batch, uint32_t sample)
{
    uint64_t number = step * global_batch + sample, windows = dataset->windows;
    return tv_permute(number % windows, windows, epoch_key(seed, number / windows));
}

// `count` ids from `first` on as inputs, and those one later as targets.
static void read_window(const tv_dataset *dataset, uint64_t first, size_t count, uint32_t *inputs,
                        uint32_t *targets)
{
    read_ids(dataset, first, count, inputs);
    read_ids(dataset, first + 1, count, targets);
    for (size_t i = 0; i < count; i++) {
        inputs[i] &= ~TV_NO_LOSS;
        targets[i] = targets[i] & TV_NO_LOSS ? TV_NO_TARGET : targets[i];
    }
}

void tv_dataset_fill(const tv_dataset *dataset, uint64_t seed, uint64_t step, uint32_t global_batch,
                     uint32_t first_sample, uint32_t count, uint32_t *inputs, uint32_t *targets,
                     uint32_t *sample_ids)
{
    size_t T = dataset->seq_len;
    TV_CHECK(first_sample <= global_batch && count <= global_batch - first_sample,
             "samples %" PRIu32 " + %" PRIu32 " of a batch of %" PRIu32, first_sample, count,
             global_batch);
    for (uint32_t i = 0; i < count; i++) {
        uint64_t window = tv_dataset_window(dataset, seed, step, global_batch, first_sample + i);
        read_window(dataset, window * T, T, inputs + i * T, targets + i * T);
        if (sample_ids)
            sample_ids[i] = first_sample + i;
    }
}

uint64_t tv_count_targets(const uint32_t *targets, size_t count)
{
    uint64_t valid = 0;
    for (size_t i = 0; i < count; i++)
        valid += targets[i] != TV_NO_TARGET;
    return valid;
}

void tv_dataset_fill_order(const tv_dataset *dataset, uint64_t first_row, uint32_t count,
                           uint32_t *inputs, uint32_t *targets)
{
    size_t T = dataset->seq_len;
    for (uint32_t i = 0; i < count; i++, inputs += T, targets += T) {
        uint64_t row = first_row + i;
        size_t n = row < dataset->windows ? T : 0;
        if (row == dataset->windows)
            n = (size_t)((dataset->tokens - 1) % T);
        if (n)
            read_window(dataset, row * T, n, inputs, targets);
        memset(inputs + n, 0, (T - n) * sizeof *inputs);
        memset(targets + n, 0xFF, (T - n) * sizeof *targets); // TV_NO_TARGET
    }
}

void tv_sort_by_id(const uint32_t *ids, size_t n, uint32_t *order)
{
    uint32_t *other = tv_alloc(n ? n : 1, sizeof *other), *from = order, *to = other;
    for (size_t i = 0; i < n; i++)
        order[i] = (uint32_t)i;
    for (unsigned shift = 0; shift < 32; shift += 8) { // radix sort, lowest digit first
        size_t start[257] = {0};
        for (size_t i = 0; i < n; i++)
            start[(ids[i] >> shift & 0xFF) + 1]++;
        for (size_t digit = 0; digit < 256; digit++)
            start[digit + 1] += start[digit];
        for (size_t i = 0; i < n; i++)
            to[start[ids[from[i]] >> shift & 0xFF]++] = from[i];
        uint32_t *swap = from;
        from = to;
        to = swap;
    }
    tv_free(other); // four passes: the result is back in `order`
}
