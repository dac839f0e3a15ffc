// Preparing: walking the inputs, encoding, dividing, and putting the result in place.
#include "data/prepare.h"

#include "base/file.h"
#include "base/memory.h"
#include "data/shard.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { DEPTH_MAX = 32 };
#define DOCUMENT_MAX ((size_t)256 << 20)

typedef enum side { TRAIN, VAL, SIDES } side;
static const char *const side_names[SIDES] = {"train", "val"};

typedef struct preparation {
    const tv_prepare_options *options;
    tv_tokenizer *tokenizer;
    char *directory; // where everything is written before it is renamed
    tv_shard_writer *writers[SIDES];
    uint64_t tokens[SIDES], documents, bytes;
    tv_names sources; // files read
    tv_text exercises;
    tv_ids ids; // of one document
} preparation;

// Marks the ids of a text in bytes, which stand behind BOS: in each line up to the end of the mark.
static void mark_lines(const char *text, size_t length, const char *mark, uint32_t *ids)
{
    size_t mark_length = strlen(mark);
    for (size_t at = 0; at < length;) {
        const char *newline = memchr(text + at, '\n', length - at);
        size_t end = newline ? (size_t)(newline - text) + 1 : length;
        const char *found = memmem(text + at, end - at, mark, mark_length);
        size_t silent = found ? (size_t)(found - text) + mark_length : at;
        for (; at < silent; at++)
            ids[1 + at] |= TV_NO_LOSS;
        at = end;
    }
}

// A text as BOS, its tokens, EOS. An empty one is none.
static tv_err write_text(preparation *p, side to, const char *text, size_t length)
{
    if (length == 0)
        return TV_OK;
    p->ids.count = 0;
    tv_tokenizer_encode(p->tokenizer, text, length, true, &p->ids);
    if (p->options->loss_after)
        mark_lines(text, length, p->options->loss_after, p->ids.ids);
    tv_ids_append(&p->ids, tv_tokenizer_eos(p->tokenizer));
    p->tokens[to] += p->ids.count;
    return tv_shard_writer_write(p->writers[to], p->ids.ids, p->ids.count);
}

// The last `val` of the document goes to val; the cut is moved back to where a character begins.
static tv_err add_document(preparation *p, const char *text, size_t length, double val)
{
    size_t cut = length - (size_t)((double)length * val);
    while (cut > 0 && cut < length && ((uint8_t)text[cut] & 0xC0) == 0x80)
        cut--;
    p->documents++;
    p->bytes += length;
    TV_TRY(write_text(p, TRAIN, text, cut));
    return write_text(p, VAL, text + cut, length - cut);
}

static tv_err add_text(preparation *p, const char *path, const tv_mapping *file, double val)
{
    if (file->size > DOCUMENT_MAX)
        return tv_fail(TV_EUSAGE, "%s: a document of more than %zu MiB; split it, or use JSONL",
                       path, DOCUMENT_MAX >> 20);
    return add_document(p, (const char *)file->data, file->size, val);
}

static tv_err add_record(preparation *p, const char *path, size_t number, const char *line,
                         size_t length, double val)
{
    json_error_t error;
    json_t *root = json_loadb(line, length, 0, &error);
    if (!root)
        return tv_fail(TV_EFORMAT, "%s: line %zu: not JSON: %s", path, number, error.text);
    json_t *text = json_object_get(root, "text");
    tv_err err;
    if (!json_is_string(text))
        err = tv_fail(TV_EFORMAT, "%s: line %zu: no \"text\" with a string", path, number);
    else if (json_string_length(text) == 0)
        err = tv_fail(TV_EDATA, "%s: line %zu: \"text\" is empty", path, number);
    else
        err = add_document(p, json_string_value(text), json_string_length(text), val);
    json_decref(root);
    return err;
}

static tv_err add_records(preparation *p, const char *path, const tv_mapping *file, double val)
{
    const char *data = (const char *)file->data;
    size_t number = 1;
    for (size_t at = 0; at < file->size; number++) {
        const char *end = memchr(data + at, '\n', file->size - at);
        size_t length = end ? (size_t)(end - data) - at : file->size - at, blank = 0;
        while (blank < length && strchr(" \t\r", data[at + blank]) && data[at + blank])
            blank++;
        if (blank < length)
            TV_TRY(add_record(p, path, number, data + at, length, val));
        at += length + 1;
    }
    return TV_OK;
}

static tv_err add_mapped(preparation *p, const char *path, const tv_mapping *file, double val)
{
    size_t offset;
    if (file->size == 0)
        return tv_fail(TV_EDATA, "%s: is empty", path);
    if (!tv_utf8_valid(file->data, file->size, &offset))
        return tv_fail(TV_EFORMAT, "%s: byte %zu: not UTF-8; convert the file first", path, offset);
    TV_RESERVE(p->sources.names, p->sources.capacity, p->sources.count + 1);
    p->sources.names[p->sources.count++] = tv_strdup(path);
    return tv_ends_with(path, ".jsonl") ? add_records(p, path, file, val)
                                        : add_text(p, path, file, val);
}

static tv_err add_file(preparation *p, const char *path, double val)
{
    tv_mapping file;
    TV_TRY(tv_mapping_open(path, &file));
    tv_err err = add_mapped(p, path, &file, val);
    tv_mapping_close(&file);
    return err;
}

static bool is_text_name(const char *name)
{
    return tv_ends_with(name, ".txt") || tv_ends_with(name, ".md") || tv_ends_with(name, ".jsonl");
}

static tv_err add_directory(preparation *p, const char *path, int depth);

static tv_err add_path(preparation *p, const char *path, int depth)
{
    return tv_path_is_dir(path) ? add_directory(p, path, depth)
                                : add_file(p, path, p->options->val);
}

// A directory that divides itself into train.txt and val.txt.
static tv_err add_curriculum(preparation *p, const char *train, const char *val,
                             const char *exercises)
{
    TV_TRY(add_file(p, train, 0));
    TV_TRY(add_file(p, val, 1));
    if (!tv_path_exists(exercises))
        return TV_OK;
    tv_mapping file;
    TV_TRY(tv_mapping_open(exercises, &file));
    tv_text_append(&p->exercises, file.data, file.size);
    tv_mapping_close(&file);
    return TV_OK;
}

static tv_err add_entries(preparation *p, const char *path, int depth)
{
    tv_names names;
    tv_text child = {0};
    TV_TRY(tv_list_dir(path, &names));
    tv_err err = TV_OK;
    for (size_t i = 0; i < names.count && err == TV_OK; i++) {
        tv_path_join(&child, path, names.names[i]);
        if (tv_path_is_dir(child.data) || is_text_name(child.data))
            err = add_path(p, child.data, depth + 1);
    }
    tv_text_finish(&child);
    tv_names_finish(&names);
    return err;
}

static tv_err add_directory(preparation *p, const char *path, int depth)
{
    if (depth > DEPTH_MAX)
        return tv_fail(TV_EUSAGE, "%s: directories deeper than %d (a link in a circle?)", path,
                       DEPTH_MAX);
    tv_text train = {0}, val = {0}, exercises = {0};
    tv_path_join(&train, path, "train.txt");
    tv_path_join(&val, path, "val.txt");
    tv_path_join(&exercises, path, "exercises.jsonl");
    tv_err err = tv_path_exists(train.data) && tv_path_exists(val.data)
                     ? add_curriculum(p, train.data, val.data, exercises.data)
                     : add_entries(p, path, depth);
    tv_text_finish(&train);
    tv_text_finish(&val);
    tv_text_finish(&exercises);
    return err;
}

static tv_err add_inputs(preparation *p)
{
    for (size_t i = 0; i < p->options->input_count; i++) {
        uint64_t before = p->documents;
        TV_TRY(add_path(p, p->options->inputs[i], 0));
        if (p->documents == before)
            return tv_fail(TV_EDATA, "%s: no text in it (*.txt, *.md, *.jsonl)",
                           p->options->inputs[i]);
    }
    return TV_OK;
}

static void write_report(const preparation *p, tv_text *report)
{
    tv_text_printf(report,
                   "{\"tokenizer\": \"%s\", \"vocab_size\": %zu, \"vocab_hash\": \"%016" PRIx64
                   "\",\n \"documents\": %" PRIu64 ", \"bytes\": %" PRIu64
                   ", \"train_tokens\": %" PRIu64 ", \"val_tokens\": %" PRIu64 ",\n \"sources\": [",
                   tv_tokenizer_name(p->tokenizer), tv_tokenizer_vocab_size(p->tokenizer),
                   tv_tokenizer_hash(p->tokenizer), p->documents, p->bytes, p->tokens[TRAIN],
                   p->tokens[VAL]);
    for (size_t i = 0; i < p->sources.count; i++) {
        tv_text_puts(report, i ? ",\n  " : "\n  ");
        tv_text_json_string(report, p->sources.names[i], strlen(p->sources.names[i]));
    }
    tv_text_puts(report, "]}\n");
}

static tv_err write_in(const preparation *p, const char *name, const tv_text *content)
{
    tv_text path = {0};
    tv_err err =
        tv_file_write(tv_path_join(&path, p->directory, name), content->data, content->length);
    tv_text_finish(&path);
    return err;
}

static tv_err write_all(preparation *p, tv_text *report)
{
    for (int i = 0; i < SIDES; i++) {
        tv_text path = {0};
        tv_err err = tv_make_dirs(tv_path_join(&path, p->directory, side_names[i]));
        tv_shard_writer_create(path.data, p->tokenizer, p->options->shard_tokens, &p->writers[i]);
        tv_text_finish(&path);
        TV_TRY(err);
    }
    TV_TRY(add_inputs(p));
    for (int i = 0; i < SIDES; i++)
        TV_TRY(tv_shard_writer_commit(&p->writers[i]));
    TV_TRY(tv_tokenizer_save(p->tokenizer, p->directory));
    if (p->exercises.length)
        TV_TRY(write_in(p, "exercises.jsonl", &p->exercises));
    write_report(p, report);
    return write_in(p, "data.json", report); // last: it says that the directory is complete
}

// TV_OK if `out` may be written: missing, empty, or ours and to be replaced.
static tv_err check_out(const char *out, bool force)
{
    tv_names names;
    tv_text path = {0};
    if (!tv_path_exists(out))
        return TV_OK;
    TV_TRY(tv_list_dir(out, &names));
    size_t count = names.count;
    tv_names_finish(&names);
    bool ours = tv_path_exists(tv_path_join(&path, out, "data.json"));
    tv_text_finish(&path);
    if (count == 0 || (ours && force))
        return TV_OK;
    return ours ? tv_fail(TV_EUSAGE, "%s: holds prepared data; --force replaces it", out)
                : tv_fail(TV_EUSAGE, "%s: is not empty and was not made by trivium prepare", out);
}

// The old directory steps aside first and comes back if the new one cannot take its place.
static tv_err put_in_place(const char *made, const char *out)
{
    tv_text old = {0};
    bool replaces = tv_path_exists(out);
    tv_err err = TV_OK;
    tv_text_printf(&old, "%s.old", made);
    if (replaces)
        err = tv_rename(out, old.data);
    if (err == TV_OK) {
        err = tv_rename(made, out);
        if (err != TV_OK && replaces && rename(old.data, out) != 0)
            err = tv_fail_errno("the data is safe, but cannot rename %s to %s", old.data, out);
        else if (err == TV_OK)
            err = tv_remove_tree(old.data);
    }
    tv_text_finish(&old);
    return err;
}

static void prepare_finish(preparation *p)
{
    tv_tokenizer_destroy(&p->tokenizer);
    for (int i = 0; i < SIDES; i++)
        tv_shard_writer_destroy(&p->writers[i]);
    tv_names_finish(&p->sources);
    tv_text_finish(&p->exercises);
    tv_ids_finish(&p->ids);
    tv_free(p->directory);
}

tv_err tv_prepare(const tv_prepare_options *options, tv_prepare_summary *summary, tv_text *report)
{
    preparation p = {.options = options};
    tv_text out = {0}, made = {0};
    if (!(options->val >= 0 && options->val < 1))
        return tv_fail(TV_EUSAGE, "val is %g; it must be at least 0 and less than 1", options->val);
    TV_TRY(check_out(options->out, options->force));
    if (options->loss_after && strcmp(options->tokenizer, "bytes") != 0)
        return tv_fail(TV_EUSAGE, "--loss-after works with --tokenizer bytes only");
    if (options->loss_after && !options->loss_after[0])
        return tv_fail(TV_EUSAGE, "--loss-after is empty; give the text that answers follow");
    TV_TRY(tv_tokenizer_open(options->tokenizer, 0, &p.tokenizer));
    size_t length = strlen(options->out);
    while (length > 1 && options->out[length - 1] == '/')
        length--;
    tv_text_append(&out, options->out, length);
    tv_text_printf(&made, "%s.tmp-%ld", out.data, (long)getpid());
    p.directory = tv_strdup(made.data);
    tv_err err = write_all(&p, report);
    if (err == TV_OK)
        err = put_in_place(made.data, out.data);
    if (err != TV_OK) { // keep the line of the failure, not of the cleaning
        tv_text line = {0};
        tv_text_puts(&line, tv_error_message());
        tv_remove_tree(made.data);
        tv_fail(err, "%s", line.data);
        tv_text_finish(&line);
    }
    *summary = (tv_prepare_summary){p.documents, p.bytes, p.tokens[TRAIN], p.tokens[VAL]};
    prepare_finish(&p);
    tv_text_finish(&out);
    tv_text_finish(&made);
    return err;
}
