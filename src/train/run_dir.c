// Run directories: where a run's files lie, and finding a model or the newest valid checkpoint.
#include "train/run_dir.h"

#include "base/file.h"
#include "base/log.h"
#include "base/memory.h"
#include "formats/manifest.h"

#include <stdlib.h>
#include <string.h>

#define CHECKPOINTS "checkpoints"
#define STEP_PREFIX "step-"

void tv_checkpoint_path(const char *run_dir, uint64_t step, tv_text *path)
{
    tv_text_printf(path, "%s/" CHECKPOINTS "/" STEP_PREFIX "%08llu", run_dir,
                   (unsigned long long)step);
}

// The step in a checkpoint's name; false for other names, those of unfinished ones among them.
static bool parse_name(const char *name, uint64_t *step)
{
    return tv_starts_with(name, STEP_PREFIX) && tv_parse_u64(name + strlen(STEP_PREFIX), step);
}

static int newest_first(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? 1 : x > y ? -1 : 0;
}

typedef struct steps {
    uint64_t *items;
    size_t count, capacity;
} steps;

// The steps of all complete-looking checkpoints, newest first. A missing folder has none.
static tv_err list_steps(const char *run_dir, steps *out)
{
    *out = (steps){0};
    tv_text folder = {0};
    tv_names names = {0};
    tv_path_join(&folder, run_dir, CHECKPOINTS);
    tv_err err = tv_path_is_dir(folder.data) ? tv_list_dir(folder.data, &names) : TV_OK;
    for (size_t i = 0; i < names.count; i++) {
        uint64_t step;
        if (!parse_name(names.names[i], &step))
            continue;
        TV_RESERVE(out->items, out->capacity, out->count + 1);
        out->items[out->count++] = step;
    }
    if (out->count)
        qsort(out->items, out->count, sizeof *out->items, newest_first);
    tv_names_finish(&names);
    tv_text_finish(&folder);
    return err;
}

static tv_err verify(const char *folder)
{
    tv_manifest manifest;
    TV_TRY(tv_manifest_read(folder, &manifest));
    tv_err err = tv_manifest_verify(&manifest, folder);
    tv_manifest_finish(&manifest);
    return err;
}

tv_err tv_checkpoint_newest(const char *run_dir, tv_text *path, bool *found)
{
    steps list;
    *found = false;
    tv_err err = list_steps(run_dir, &list);
    for (size_t i = 0; i < list.count && !*found; i++) {
        tv_text_clear(path);
        tv_checkpoint_path(run_dir, list.items[i], path);
        if (verify(path->data) == TV_OK)
            *found = true;
        else
            tv_warn("skipped checkpoint %s: %s", path->data, tv_error_message());
    }
    tv_free(list.items);
    return err;
}

tv_err tv_model_folder(const char *path, tv_text *folder)
{
    tv_text file = {0};
    tv_err err = TV_OK;
    bool found;
    tv_text_clear(folder);
    if (!tv_path_is_dir(path)) {
        err = tv_fail(
            TV_EIO, "%s: no such folder; name a run, a checkpoint or a Hugging Face folder", path);
    } else if (tv_path_exists(tv_path_join(&file, path, "model.safetensors"))) {
        tv_text_puts(folder, path);
        if (tv_path_exists(tv_path_join(&file, path, TV_MANIFEST_NAME)))
            err = verify(path);
    } else if (tv_path_is_dir(tv_path_join(&file, path, CHECKPOINTS))) {
        err = tv_checkpoint_newest(path, folder, &found);
        if (err == TV_OK && !found)
            err = tv_fail(TV_EFORMAT, "%s: the run holds no valid checkpoint", path);
    } else {
        err = tv_fail(TV_EFORMAT, "%s: holds neither model.safetensors nor checkpoints", path);
    }
    tv_text_finish(&file);
    return err;
}

// "step-00000200.tmp", and "loss.png.tmp-4711" of a writer.
static bool is_unfinished(const char *name)
{
    const char *dash = strrchr(name, '-');
    uint64_t process;
    return tv_ends_with(name, ".tmp") ||
           (dash && dash - name > 4 && tv_starts_with(dash - 4, ".tmp-") &&
            tv_parse_u64(dash + 1, &process));
}

static tv_err remove_unfinished(const char *folder)
{
    tv_text path = {0};
    tv_names names = {0};
    tv_err err = tv_path_is_dir(folder) ? tv_list_dir(folder, &names) : TV_OK;
    for (size_t i = 0; i < names.count && err == TV_OK; i++)
        if (is_unfinished(names.names[i]))
            err = tv_remove_tree(tv_path_join(&path, folder, names.names[i]));
    tv_names_finish(&names);
    tv_text_finish(&path);
    return err;
}

tv_err tv_checkpoints_prune(const char *run_dir, uint64_t step, uint64_t keep)
{
    tv_text path = {0}, folder = {0};
    steps list;
    uint64_t kept = 0;
    tv_err err = list_steps(run_dir, &list);
    for (size_t i = 0; i < list.count && err == TV_OK; i++) {
        if (list.items[i] <= step && kept < keep) {
            kept++;
            continue;
        }
        tv_text_clear(&path);
        tv_checkpoint_path(run_dir, list.items[i], &path);
        err = tv_remove_tree(path.data);
    }
    if (err == TV_OK)
        err = remove_unfinished(run_dir);
    if (err == TV_OK)
        err = remove_unfinished(tv_path_join(&folder, run_dir, CHECKPOINTS));
    tv_text_finish(&folder);
    tv_text_finish(&path);
    tv_free(list.items);
    return err;
}

bool tv_run_has_checkpoints(const char *run_dir)
{
    steps list;
    bool any = list_steps(run_dir, &list) == TV_OK && list.count > 0;
    tv_free(list.items);
    return any;
}

bool tv_run_holds(const char *run_dir, const char *folder)
{
    tv_text own = {0};
    char *run = realpath(tv_path_join(&own, run_dir, CHECKPOINTS), NULL);
    char *place = realpath(folder, NULL);
    size_t length = run ? strlen(run) : 0;
    bool holds = run && place && tv_starts_with(place, run) && place[length] == '/';
    free(run);
    free(place);
    tv_text_finish(&own);
    return holds;
}
