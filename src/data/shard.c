// Token shards: writing in a stream, mapping, checking.
#include "data/shard.h"

#include "base/memory.h"

#include <inttypes.h>
#include <string.h>
#include <xxhash.h>

enum { VERSION = 1 };

static const char magic[8] = {'T', 'V', 'T', 'O', 'K', 'E', 'N', 'S'};

struct tv_shard_writer {
    char *directory;
    uint32_t bytes_per_id, vocab_size, number;
    uint64_t hash;
    size_t limit, count, capacity; // ids
    uint8_t *ids;                  // `count` ids as the file holds them; capacity in bytes
};

static void put_le(uint8_t *bytes, uint64_t value, size_t size)
{
    for (size_t i = 0; i < size; i++)
        bytes[i] = (uint8_t)(value >> (8 * i));
}

static uint64_t get_le(const uint8_t *bytes, size_t size)
{
    uint64_t value = 0;
    for (size_t i = 0; i < size; i++)
        value |= (uint64_t)bytes[i] << (8 * i);
    return value;
}

// Where the mark of an id without loss stands in a file, 0 where there is no room for it.
static uint32_t mark_bit(uint32_t bytes_per_id, uint32_t vocab_size)
{
    if (bytes_per_id == 4)
        return TV_NO_LOSS;
    return vocab_size <= 1 << 15 ? 1 << 15 : 0;
}

void tv_shard_writer_create(const char *directory, const tv_tokenizer *tokenizer,
                            size_t shard_tokens, tv_shard_writer **writer)
{
    size_t vocab_size = tv_tokenizer_vocab_size(tokenizer);
    tv_shard_writer *w = tv_alloc(1, sizeof *w);
    *w = (tv_shard_writer){
        .directory = tv_strdup(directory),
        .bytes_per_id = vocab_size <= 1 << 16 ? 2 : 4,
        .vocab_size = (uint32_t)vocab_size,
        .hash = tv_tokenizer_hash(tokenizer),
        .limit = shard_tokens ? shard_tokens : TV_SHARD_TOKENS,
    };
    *writer = w;
}

static tv_err write_file(const char *path, const uint8_t *head, const uint8_t *ids, size_t size)
{
    tv_writer *file;
    TV_TRY(tv_writer_open(path, &file));
    tv_err err = tv_writer_write(file, head, TV_SHARD_HEAD);
    if (err == TV_OK && size)
        err = tv_writer_write(file, ids, size);
    if (err == TV_OK)
        return tv_writer_commit(&file);
    tv_writer_abandon(&file);
    return err;
}

static tv_err write_shard(tv_shard_writer *w, bool last)
{
    uint8_t head[TV_SHARD_HEAD] = {0};
    size_t size = w->count * w->bytes_per_id;
    memcpy(head, magic, sizeof magic);
    put_le(head + 8, VERSION, 4);
    put_le(head + 12, w->bytes_per_id, 4);
    put_le(head + 16, w->vocab_size, 4);
    put_le(head + 20, w->number, 4);
    put_le(head + 24, w->hash, 8);
    put_le(head + 32, w->count, 8);
    put_le(head + 40, XXH3_64bits(w->ids, size), 8);
    put_le(head + 48, last, 4);
    put_le(head + 56, XXH3_64bits(head, 56), 8);
    tv_text path = {0};
    tv_text_printf(&path, "%s/%04" PRIu32 ".tokens", w->directory, w->number);
    tv_err err = write_file(path.data, head, w->ids, size);
    tv_text_finish(&path);
    w->number++;
    w->count = 0;
    return err;
}

tv_err tv_shard_writer_write(tv_shard_writer *writer, const uint32_t *ids, size_t count)
{
    tv_shard_writer *w = writer;
    for (size_t i = 0; i < count;) {
        if (w->count == w->limit)
            TV_TRY(write_shard(w, false));
        size_t n = tv_min_size(count - i, w->limit - w->count);
        TV_RESERVE(w->ids, w->capacity, (w->count + n) * w->bytes_per_id);
        for (size_t end = i + n; i < end; i++, w->count++) {
            uint32_t id = ids[i] & ~TV_NO_LOSS;
            TV_CHECK(id < w->vocab_size, "id %" PRIu32 " outside the vocabulary", id);
            if (id != ids[i])
                id |= mark_bit(w->bytes_per_id, w->vocab_size);
            put_le(w->ids + w->count * w->bytes_per_id, id, w->bytes_per_id);
        }
    }
    return TV_OK;
}

tv_err tv_shard_writer_commit(tv_shard_writer **writer)
{
    tv_err err = write_shard(*writer, true);
    tv_shard_writer_destroy(writer);
    return err;
}

void tv_shard_writer_destroy(tv_shard_writer **writer)
{
    if (!*writer)
        return;
    tv_free((*writer)->directory);
    tv_free((*writer)->ids);
    tv_free(*writer);
    *writer = NULL;
}

static tv_err parse_head(const char *name, const uint8_t *data, size_t size, tv_shard *shard)
{
    if (size < TV_SHARD_HEAD || memcmp(data, magic, sizeof magic) != 0)
        return tv_fail(TV_EFORMAT, "%s: no token shard (%zu bytes); trivium prepare makes them",
                       name, size);
    if (get_le(data + 8, 4) != VERSION)
        return tv_fail(TV_EFORMAT,
                       "%s: version %" PRIu64 " of the shard format; this program reads %d", name,
                       get_le(data + 8, 4), VERSION);
    if (get_le(data + 56, 8) != XXH3_64bits(data, 56))
        return tv_fail(TV_EFORMAT, "%s: the head is damaged (its checksum differs)", name);
    shard->bytes_per_id = (uint32_t)get_le(data + 12, 4);
    shard->vocab_size = (uint32_t)get_le(data + 16, 4);
    shard->number = (uint32_t)get_le(data + 20, 4);
    shard->hash = get_le(data + 24, 8);
    shard->count = get_le(data + 32, 8);
    shard->last = get_le(data + 48, 4) != 0;
    if (shard->bytes_per_id != 2 && shard->bytes_per_id != 4)
        return tv_fail(TV_EFORMAT, "%s: %" PRIu32 " bytes per id; 2 or 4 are possible", name,
                       shard->bytes_per_id);
    size_t payload = size - TV_SHARD_HEAD;
    if (payload % shard->bytes_per_id || payload / shard->bytes_per_id != shard->count)
        return tv_fail(TV_EFORMAT,
                       "%s: the head says %" PRIu64 " ids of %" PRIu32
                       " bytes, but %zu bytes follow it",
                       name, shard->count, shard->bytes_per_id, payload);
    return TV_OK;
}

static uint32_t id_at(const tv_shard *shard, uint64_t index)
{
    const uint8_t *bytes = shard->mapping.data + TV_SHARD_HEAD + index * shard->bytes_per_id;
    uint32_t id = (uint32_t)bytes[0] | (uint32_t)bytes[1] << 8;
    if (shard->bytes_per_id == 4)
        id |= (uint32_t)bytes[2] << 16 | (uint32_t)bytes[3] << 24;
    uint32_t mark = id & mark_bit(shard->bytes_per_id, shard->vocab_size);
    return mark ? (id ^ mark) | TV_NO_LOSS : id;
}

tv_err tv_shard_parse(const char *name, const uint8_t *data, size_t size, tv_shard *shard)
{
    *shard = (tv_shard){0};
    TV_TRY(parse_head(name, data, size, shard));
    if (get_le(data + 40, 8) != XXH3_64bits(data + TV_SHARD_HEAD, size - TV_SHARD_HEAD))
        return tv_fail(TV_EFORMAT, "%s: the ids are damaged (their checksum differs)", name);
    shard->mapping = (tv_mapping){data, size};
    for (uint64_t i = 0; i < shard->count; i++)
        if ((id_at(shard, i) & ~TV_NO_LOSS) >= shard->vocab_size)
            return tv_fail(TV_EFORMAT,
                           "%s: id %" PRIu32 " at position %" PRIu64
                           " is outside the vocabulary of %" PRIu32,
                           name, id_at(shard, i) & ~TV_NO_LOSS, i, shard->vocab_size);
    return TV_OK;
}

tv_err tv_shard_open(const char *path, const tv_tokenizer *tokenizer, tv_shard *shard)
{
    tv_mapping mapping;
    *shard = (tv_shard){0};
    TV_TRY(tv_mapping_open(path, &mapping));
    tv_err err = tv_shard_parse(path, mapping.data, mapping.size, shard);
    if (err == TV_OK && tokenizer && tv_tokenizer_hash(tokenizer) != shard->hash)
        err = tv_fail(TV_EFORMAT,
                      "%s: made with another vocabulary (%" PRIu32 " tokens, hash %016" PRIx64
                      ") than the tokenizer '%s' (%zu tokens, hash %016" PRIx64
                      "); prepare the data again",
                      path, shard->vocab_size, shard->hash, tv_tokenizer_name(tokenizer),
                      tv_tokenizer_vocab_size(tokenizer), tv_tokenizer_hash(tokenizer));
    if (err != TV_OK) {
        tv_mapping_close(&mapping);
        *shard = (tv_shard){0};
    }
    return err;
}

void tv_shard_close(tv_shard *shard)
{
    tv_mapping_close(&shard->mapping);
    *shard = (tv_shard){0};
}

void tv_shard_read(const tv_shard *shard, uint64_t first, size_t count, uint32_t *ids)
{
    for (size_t i = 0; i < count; i++)
        ids[i] = id_at(shard, first + i);
}
