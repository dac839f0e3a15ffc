// Tokenizers: opening by path or directory, the "bytes" kind, and what all kinds share.
#include "data/tokenizer_kind.h"

#include "base/file.h"
#include "base/memory.h"

#include <jansson.h>
#include <string.h>
#include <xxhash.h>

enum { BYTES_BOS = 256, BYTES_EOS = 257, BYTES_VOCAB = 258 };
enum { FILE_LIMIT = 256 << 20 };

static const char bytes_file[] = "{\"type\": \"bytes\"}\n";

void tv_ids_append(tv_ids *ids, uint32_t id)
{
    TV_RESERVE(ids->ids, ids->capacity, ids->count + 1);
    ids->ids[ids->count++] = id;
}

void tv_ids_finish(tv_ids *ids)
{
    tv_free(ids->ids);
    *ids = (tv_ids){0};
}

static void bytes_encode(const tv_tokenizer *tokenizer, const char *text, size_t length,
                         tv_ids *ids)
{
    (void)tokenizer;
    TV_RESERVE(ids->ids, ids->capacity, ids->count + length);
    for (size_t i = 0; i < length; i++)
        ids->ids[ids->count + i] = (uint8_t)text[i];
    ids->count += length;
}

static void bytes_decode(const tv_tokenizer *tokenizer, uint32_t previous, uint32_t token,
                         tv_text *text)
{
    (void)tokenizer;
    (void)previous;
    char byte = (char)token;
    tv_text_append(text, &byte, 1);
}

static const tv_tokenizer_kind bytes_kind = {
    .name = "bytes",
    .file_name = "tokenizer.trivium.json",
    .encode = bytes_encode,
    .decode = bytes_decode,
};

static tv_tokenizer *bytes_create(void)
{
    tv_tokenizer *tokenizer = tv_alloc(1, sizeof *tokenizer);
    *tokenizer = (tv_tokenizer){
        .kind = &bytes_kind,
        .vocab_size = BYTES_VOCAB,
        .bos = BYTES_BOS,
        .eos = BYTES_EOS,
        .hash = XXH3_64bits(bytes_file, sizeof bytes_file - 1),
        .file = (uint8_t *)tv_strdup(bytes_file),
        .file_size = sizeof bytes_file - 1,
    };
    return tokenizer;
}

static tv_err parse_json(const char *path, const uint8_t *data, size_t size,
                         tv_tokenizer **tokenizer)
{
    json_error_t error;
    json_t *root = json_loadb((const char *)data, size, JSON_REJECT_DUPLICATES, &error);
    if (!root)
        return tv_fail(TV_EFORMAT, "%s: line %d: not JSON: %s", path, error.line, error.text);
    const char *type = json_string_value(json_object_get(root, "type"));
    tv_err err = TV_OK;
    if (type && strcmp(type, "bytes") == 0)
        *tokenizer = bytes_create();
    else if (type)
        err = tv_fail(TV_EFORMAT, "%s: no tokenizer of type '%.40s'; known is 'bytes'", path, type);
    else
        err = tv_fail(TV_EFORMAT,
                      "%s: has no \"type\"; only Trivium's own tokenizer.trivium.json and "
                      "llama2.c's tokenizer.bin are read",
                      path);
    json_decref(root);
    return err;
}

static tv_err open_file(const char *path, tv_tokenizer **tokenizer)
{
    uint8_t *data;
    size_t size;
    TV_TRY(tv_file_read(path, FILE_LIMIT, &data, &size));
    tv_err err = tv_ends_with(path, ".json")
                     ? parse_json(path, data, size, tokenizer)
                     : tv_tokenizer_parse_llama2c(path, data, size, tokenizer);
    tv_free(data);
    return err;
}

tv_err tv_tokenizer_open(const char *path, size_t vocab_size_limit, tv_tokenizer **tokenizer)
{
    *tokenizer = NULL;
    if (strcmp(path, "bytes") == 0)
        *tokenizer = bytes_create();
    else if (tv_path_is_dir(path))
        return tv_tokenizer_open_model(path, vocab_size_limit, tokenizer);
    else
        TV_TRY(open_file(path, tokenizer));
    size_t size = (*tokenizer)->vocab_size;
    if (vocab_size_limit && size > vocab_size_limit) {
        tv_tokenizer_destroy(tokenizer);
        return tv_fail(TV_EFORMAT, "%s: %zu tokens, but the model's vocabulary has only %zu", path,
                       size, vocab_size_limit);
    }
    return TV_OK;
}

// Appends the path of the directory's tokenizer; leaves `path` empty where there is none.
static tv_err find_file(const char *directory, tv_text *path)
{
    static const char *const fixed[] = {"tokenizer.trivium.json", "tokenizer.bin"};
    for (size_t i = 0; i < 2; i++)
        if (tv_path_exists(tv_path_join(path, directory, fixed[i])))
            return TV_OK;
    tv_text_clear(path);
    tv_names names;
    TV_TRY(tv_list_dir(directory, &names));
    tv_err err = TV_OK;
    for (size_t i = 0; i < names.count && err == TV_OK; i++) {
        if (!tv_starts_with(names.names[i], "tok") || !tv_ends_with(names.names[i], ".bin"))
            continue;
        if (path->length)
            err = tv_fail(TV_EFORMAT, "%s: several tokenizers: %s and %s; name the one to use",
                          directory, tv_path_base(path->data), names.names[i]);
        else
            tv_path_join(path, directory, names.names[i]);
    }
    tv_names_finish(&names);
    return err;
}

tv_err tv_tokenizer_open_model(const char *directory, size_t vocab_size_limit,
                               tv_tokenizer **tokenizer)
{
    tv_text path = {0};
    *tokenizer = NULL;
    tv_err err = find_file(directory, &path);
    if (err == TV_OK && path.length == 0)
        err = tv_fail(TV_EFORMAT,
                      "%s: no tokenizer: neither tokenizer.trivium.json nor tokenizer.bin "
                      "nor tok*.bin",
                      directory);
    else if (err == TV_OK)
        err = tv_tokenizer_open(path.data, vocab_size_limit, tokenizer);
    tv_text_finish(&path);
    return err;
}

tv_err tv_tokenizer_open_data(const char *directory, tv_tokenizer **tokenizer)
{
    tv_text path = {0}, parent = {0};
    *tokenizer = NULL;
    tv_err err = find_file(directory, &path);
    if (err == TV_OK && path.length == 0)
        err = find_file(tv_path_join(&parent, directory, ".."), &path);
    if (err == TV_OK && path.length == 0)
        err = tv_fail(TV_EFORMAT, "%s: no tokenizer there nor in the directory above", directory);
    else if (err == TV_OK)
        err = tv_tokenizer_open(path.data, 0, tokenizer);
    tv_text_finish(&path);
    tv_text_finish(&parent);
    return err;
}

void tv_tokenizer_destroy(tv_tokenizer **tokenizer)
{
    tv_tokenizer *t = *tokenizer;
    if (!t)
        return;
    if (t->kind->destroy)
        t->kind->destroy(t);
    tv_free(t->file);
    tv_free(t);
    *tokenizer = NULL;
}

tv_err tv_tokenizer_save(const tv_tokenizer *tokenizer, const char *directory)
{
    tv_text path = {0};
    tv_err err = tv_file_write(tv_path_join(&path, directory, tokenizer->kind->file_name),
                               tokenizer->file, tokenizer->file_size);
    tv_text_finish(&path);
    return err;
}

void tv_tokenizer_encode(const tv_tokenizer *tokenizer, const char *text, size_t length, bool bos,
                         tv_ids *ids)
{
    if (bos)
        tv_ids_append(ids, tokenizer->bos);
    if (length)
        tokenizer->kind->encode(tokenizer, text, length, ids);
}

void tv_tokenizer_decode(const tv_tokenizer *tokenizer, uint32_t previous, uint32_t token,
                         tv_text *text)
{
    if (token == tokenizer->bos || token == tokenizer->eos)
        return;
    if (token >= tokenizer->vocab_size)
        tv_text_puts(text, "\xEF\xBF\xBD");
    else
        tokenizer->kind->decode(tokenizer, previous, token, text);
}

void tv_tokenizer_decode_all(const tv_tokenizer *tokenizer, const uint32_t *ids, size_t count,
                             tv_text *text)
{
    for (size_t i = 0; i < count; i++)
        tv_tokenizer_decode(tokenizer, i ? ids[i - 1] : tokenizer->bos, ids[i], text);
}

const char *tv_tokenizer_name(const tv_tokenizer *tokenizer)
{
    return tokenizer->kind->name;
}

size_t tv_tokenizer_vocab_size(const tv_tokenizer *tokenizer)
{
    return tokenizer->vocab_size;
}

bool tv_tokenizer_starts_with_bos(const tv_tokenizer *tokenizer)
{
    return tokenizer->kind->starts_with_bos;
}

uint32_t tv_tokenizer_bos(const tv_tokenizer *tokenizer)
{
    return tokenizer->bos;
}

uint32_t tv_tokenizer_eos(const tv_tokenizer *tokenizer)
{
    return tokenizer->eos;
}

uint64_t tv_tokenizer_hash(const tv_tokenizer *tokenizer)
{
    return tokenizer->hash;
}
