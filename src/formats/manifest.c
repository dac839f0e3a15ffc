// Manifest: writing, reading and verifying manifest.json.
#include "formats/manifest.h"

#include "base/file.h"
#include "formats/json.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { VERSION = 1, SIZE_LIMIT = 16 << 20, NAME_MAX_BYTES = 255 };

// Names from a file must not lead out of the folder.
static bool is_plain_name(const char *name)
{
    return name[0] && strlen(name) <= NAME_MAX_BYTES && !strchr(name, '/') &&
           strcmp(name, ".") != 0 && strcmp(name, "..") != 0;
}

static bool is_xxh3(const char *text)
{
    return strlen(text) == 32 && strspn(text, "0123456789abcdef") == 32;
}

static const tv_manifest_fact *find_fact(const tv_manifest *manifest, const char *key)
{
    for (size_t i = 0; i < manifest->fact_count; i++)
        if (strcmp(manifest->facts[i].key, key) == 0)
            return &manifest->facts[i];
    return NULL;
}

const tv_manifest_file *tv_manifest_find_file(const tv_manifest *manifest, const char *name)
{
    for (size_t i = 0; i < manifest->file_count; i++)
        if (strcmp(manifest->files[i].name, name) == 0)
            return &manifest->files[i];
    return NULL;
}

void tv_manifest_add_file(tv_manifest *manifest, const char *name, const tv_checksum *sum)
{
    TV_CHECK(is_plain_name(name), "'%s' is no plain file name", name);
    TV_CHECK(!tv_manifest_find_file(manifest, name), "two files '%s' in a manifest", name);
    TV_RESERVE(manifest->files, manifest->file_capacity, manifest->file_count + 1);
    manifest->files[manifest->file_count++] =
        (tv_manifest_file){tv_arena_printf(&manifest->arena, "%s", name), *sum};
}

static void add_fact(tv_manifest *manifest, const char *key, const char *text, int64_t number)
{
    TV_CHECK(!find_fact(manifest, key), "two facts '%s' in a manifest", key);
    TV_RESERVE(manifest->facts, manifest->fact_capacity, manifest->fact_count + 1);
    manifest->facts[manifest->fact_count++] = (tv_manifest_fact){
        tv_arena_printf(&manifest->arena, "%s", key),
        text ? tv_arena_printf(&manifest->arena, "%s", text) : NULL,
        number,
    };
}

void tv_manifest_add_int(tv_manifest *manifest, const char *key, int64_t value)
{
    add_fact(manifest, key, NULL, value);
}

void tv_manifest_add_string(tv_manifest *manifest, const char *key, const char *value)
{
    add_fact(manifest, key, value, 0);
}

bool tv_manifest_get_int(const tv_manifest *manifest, const char *key, int64_t *value)
{
    const tv_manifest_fact *fact = find_fact(manifest, key);
    if (!fact || fact->text)
        return false;
    *value = fact->number;
    return true;
}

const char *tv_manifest_get_string(const tv_manifest *manifest, const char *key)
{
    const tv_manifest_fact *fact = find_fact(manifest, key);
    return fact ? fact->text : NULL;
}

static void put_string(tv_text *text, const char *string)
{
    tv_text_json_string(text, string, strlen(string));
}

tv_err tv_manifest_write(const tv_manifest *manifest, const char *directory)
{
    tv_text text = {0}, path = {0};
    tv_text_printf(&text, "{\n  \"version\": %d,\n  \"facts\": {", VERSION);
    for (size_t i = 0; i < manifest->fact_count; i++) {
        const tv_manifest_fact *fact = &manifest->facts[i];
        tv_text_puts(&text, i ? ",\n    " : "\n    ");
        put_string(&text, fact->key);
        tv_text_puts(&text, ": ");
        if (fact->text)
            put_string(&text, fact->text);
        else
            tv_text_printf(&text, "%lld", (long long)fact->number);
    }
    tv_text_puts(&text, "\n  },\n  \"files\": {");
    for (size_t i = 0; i < manifest->file_count; i++) {
        const tv_manifest_file *file = &manifest->files[i];
        tv_text_puts(&text, i ? ",\n    " : "\n    ");
        put_string(&text, file->name);
        tv_text_printf(&text, ": {\"size\": %llu, \"xxh3\": \"%s\"}",
                       (unsigned long long)file->sum.size, file->sum.xxh3);
    }
    tv_text_puts(&text, "\n  }\n}\n");
    tv_err err =
        tv_file_write(tv_path_join(&path, directory, TV_MANIFEST_NAME), text.data, text.length);
    tv_text_finish(&path);
    tv_text_finish(&text);
    return err;
}

static tv_err read_facts(tv_manifest *manifest, json_t *facts, const char *file)
{
    const char *key;
    json_t *value;
    if (!json_is_object(facts))
        return tv_fail(TV_EFORMAT, "%s: facts: missing, or not an object", file);
    json_object_foreach(facts, key, value)
    {
        if (json_is_integer(value))
            tv_manifest_add_int(manifest, key, json_integer_value(value));
        else if (json_is_string(value))
            tv_manifest_add_string(manifest, key, json_string_value(value));
        else
            return tv_fail(TV_EFORMAT, "%s: facts: '%s' is neither an integer nor a string", file,
                           key);
    }
    return TV_OK;
}

static tv_err read_files(tv_manifest *manifest, json_t *files, const char *file)
{
    const char *name;
    json_t *value;
    if (!json_is_object(files))
        return tv_fail(TV_EFORMAT, "%s: files: missing, or not an object", file);
    json_object_foreach(files, name, value)
    {
        int64_t size = -1;
        const char *xxh3 = "";
        tv_checksum sum = {0};
        if (!is_plain_name(name))
            return tv_fail(TV_EFORMAT, "%s: files: '%s' is not a plain file name", file, name);
        if (!json_is_object(value))
            return tv_fail(TV_EFORMAT, "%s: files: '%s' is not an object", file, name);
        TV_TRY(tv_json_int(value, file, "size", 0, INT64_MAX, &size));
        TV_TRY(tv_json_string(value, file, "xxh3", &xxh3));
        if (size < 0 || !is_xxh3(xxh3))
            return tv_fail(TV_EFORMAT, "%s: files: '%s' lacks its size or its xxh3", file, name);
        sum.size = (uint64_t)size;
        memcpy(sum.xxh3, xxh3, sizeof sum.xxh3);
        tv_manifest_add_file(manifest, name, &sum);
    }
    return TV_OK;
}

static tv_err read_root(tv_manifest *manifest, json_t *root, const char *file)
{
    int64_t version = 0;
    TV_TRY(tv_json_int(root, file, "version", 0, INT64_MAX, &version));
    if (version != VERSION)
        return tv_fail(TV_EFORMAT, "%s: version %lld, this program reads version %d", file,
                       (long long)version, VERSION);
    TV_TRY(read_facts(manifest, json_object_get(root, "facts"), file));
    return read_files(manifest, json_object_get(root, "files"), file);
}

tv_err tv_manifest_parse(const uint8_t *data, size_t size, const char *file, tv_manifest *out)
{
    json_t *root;
    *out = (tv_manifest){0};
    TV_TRY(tv_json_parse(data, size, file, &root));
    tv_err err = read_root(out, root, file);
    json_decref(root);
    if (err != TV_OK)
        tv_manifest_finish(out);
    return err;
}

tv_err tv_manifest_read(const char *directory, tv_manifest *out)
{
    uint8_t *data;
    size_t size;
    tv_text path = {0};
    *out = (tv_manifest){0};
    tv_path_join(&path, directory, TV_MANIFEST_NAME);
    tv_err err = tv_file_read(path.data, SIZE_LIMIT, &data, &size);
    if (err == TV_OK) {
        err = tv_manifest_parse(data, size, path.data, out);
        tv_free(data);
    }
    tv_text_finish(&path);
    return err;
}

void tv_manifest_finish(tv_manifest *manifest)
{
    tv_free(manifest->files);
    tv_free(manifest->facts);
    tv_arena_finish(&manifest->arena);
    *manifest = (tv_manifest){0};
}

static tv_err verify_file(const tv_manifest_file *file, const char *path)
{
    struct stat info;
    tv_checksum sum;
    // lstat: a link would lead out of the folder.
    if (lstat(path, &info) != 0)
        return tv_fail(TV_EFORMAT, "%s: missing from the checkpoint; use another checkpoint", path);
    if (!S_ISREG(info.st_mode))
        return tv_fail(TV_EFORMAT, "%s: not a regular file; use another checkpoint", path);
    if ((uint64_t)info.st_size != file->sum.size)
        return tv_fail(TV_EFORMAT,
                       "%s: %llu bytes, the manifest says %llu; damaged, use another checkpoint",
                       path, (unsigned long long)info.st_size, (unsigned long long)file->sum.size);
    TV_TRY(tv_checksum_file(path, &sum));
    if (strcmp(sum.xxh3, file->sum.xxh3) != 0)
        return tv_fail(TV_EFORMAT,
                       "%s: checksum %s, the manifest says %s; damaged, use another checkpoint",
                       path, sum.xxh3, file->sum.xxh3);
    return TV_OK;
}

tv_err tv_manifest_verify(const tv_manifest *manifest, const char *directory)
{
    tv_text path = {0};
    tv_err err = TV_OK;
    for (size_t i = 0; i < manifest->file_count && err == TV_OK; i++) {
        tv_text_clear(&path);
        err = verify_file(&manifest->files[i],
                          tv_path_join(&path, directory, manifest->files[i].name));
    }
    tv_text_finish(&path);
    return err;
}
