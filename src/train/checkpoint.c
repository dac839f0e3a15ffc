// Checkpoints: writing one so that a crash never costs an older one, and reading it back.
#include "train/checkpoint.h"

#include "base/file.h"
#include "base/memory.h"
#include "formats/checksum.h"
#include "formats/json.h"
#include "formats/manifest.h"
#include "formats/model_config.h"
#include "train/powersgd_state.h"
#include "train/run_dir.h"

#include <stdio.h>

#define STATE_NAME "trainer.json"

// trainer.json: X(key, member, largest).
#define STATE_FIELDS(X)                                                                            \
    X("step", step, INT64_MAX)                                                                     \
    X("updates", updates, INT64_MAX)                                                               \
    X("tokens", tokens, INT64_MAX)                                                                 \
    X("skipped", skipped, INT64_MAX)                                                               \
    X("skipped_in_a_row", skipped_in_a_row, INT64_MAX)                                             \
    X("micro_batch_size", micro_batch, UINT32_MAX)                                                 \
    X("global_batch_size", global_batch, UINT32_MAX)                                               \
    X("seq_len", seq_len, UINT32_MAX)                                                              \
    X("seed", seed, INT64_MAX)                                                                     \
    X("metrics_jsonl_bytes", logs.bytes[TV_LOGGER_JSONL], INT64_MAX)                               \
    X("metrics_csv_bytes", logs.bytes[TV_LOGGER_CSV], INT64_MAX)

// Keys that checkpoints did not always have.
#define PRECISION_KEY "precision"
#define MOMENTS_KEY "state_precision"
#define SCALE_KEY "loss_scale"
#define GOOD_STEPS_KEY "loss_scale_good_steps"
#define RANKS_KEY "ranks" // of a run with several

static void put_ranks(const tv_train_state *state, tv_text *text)
{
    if (state->rank_count == 0)
        return;
    tv_text_puts(text, "  \"" RANKS_KEY "\": [");
    for (uint32_t r = 0; r < state->rank_count; r++) {
        const tv_rank_state *rank = &state->ranks[r];
        tv_text_printf(text,
                       "%s\n    {\"micro_batch_size\": %u, \"micro_batch_seconds\": ", r ? "," : "",
                       rank->micro_batch);
        tv_text_double(text, rank->cost.batch);
        tv_text_puts(text, ", \"update_seconds\": ");
        tv_text_double(text, rank->cost.fixed);
        tv_text_puts(text, "}");
    }
    tv_text_puts(text, "\n  ],\n");
}

static tv_err write_state(const char *path, const tv_train_state *state)
{
    tv_text text = {0};
    tv_text_puts(&text, "{\n");
#define PRINT(key, member, largest)                                                                \
    tv_text_printf(&text, "  \"" key "\": %llu,\n", (unsigned long long)state->member);
    STATE_FIELDS(PRINT)
#undef PRINT
    tv_text_printf(&text, "  \"" PRECISION_KEY "\": \"%s\",\n",
                   tv_precision_get_info(state->precision)->name);
    tv_text_printf(&text, "  \"" MOMENTS_KEY "\": \"%s\",\n", tv_moment_dtype_name(state->moments));
    tv_text_puts(&text, "  \"" SCALE_KEY "\": ");
    tv_text_double(&text, state->loss_scale.value);
    tv_text_printf(&text, ",\n  \"" GOOD_STEPS_KEY "\": %llu,\n",
                   (unsigned long long)state->loss_scale.good_steps);
    put_ranks(state, &text);
    tv_text_printf(&text, "  \"seconds\": %.3f\n}\n", state->seconds);
    tv_err err = tv_file_write(path, text.data, text.length);
    tv_text_finish(&text);
    return err;
}

static tv_err read_precision(const json_t *root, const char *path, tv_train_state *state)
{
    const char *precision = tv_precision_get_info(TV_PRECISION_32_TRUE)->name;
    const char *moments = tv_moment_dtype_name(TV_F32);
    int64_t good_steps = 0;
    state->loss_scale.value = 1;
    TV_TRY(tv_json_string(root, path, PRECISION_KEY, &precision));
    TV_TRY(tv_json_string(root, path, MOMENTS_KEY, &moments));
    TV_TRY(tv_json_double(root, path, SCALE_KEY, 1, 1e38, &state->loss_scale.value));
    TV_TRY(tv_json_int(root, path, GOOD_STEPS_KEY, 0, TV_LOSS_SCALE_INTERVAL - 1, &good_steps));
    state->loss_scale.good_steps = (uint64_t)good_steps;
    if (tv_precision_parse(precision, &state->precision) != TV_OK ||
        state->precision == TV_PRECISION_AUTO)
        return tv_fail(TV_EFORMAT, "%s: " PRECISION_KEY ": there is no '%s'", path, precision);
    if (tv_moment_dtype_parse(moments, &state->moments) != TV_OK)
        return tv_fail(TV_EFORMAT, "%s: " MOMENTS_KEY ": there is no '%s'", path, moments);
    return TV_OK;
}

static tv_err read_ranks(const json_t *root, const char *path, tv_train_state *state)
{
    const json_t *list = json_object_get(root, RANKS_KEY);
    if (!list)
        return TV_OK;
    size_t count = json_array_size(list);
    if (count < 2 || count > TV_LIST_MAX)
        return tv_fail(TV_EFORMAT, "%s: " RANKS_KEY ": not a list of 2 to %d", path, TV_LIST_MAX);
    for (size_t r = 0; r < count; r++) {
        const json_t *item = json_array_get(list, r);
        tv_rank_state *rank = &state->ranks[r];
        int64_t micro_batch = 0;
        if (!json_is_object(item))
            return tv_fail(TV_EFORMAT, "%s: " RANKS_KEY ": not a list of objects", path);
        TV_TRY(tv_json_int(item, path, "micro_batch_size", 1, UINT32_MAX, &micro_batch));
        TV_TRY(tv_json_double(item, path, "micro_batch_seconds", 0, 1e15, &rank->cost.batch));
        TV_TRY(tv_json_double(item, path, "update_seconds", 0, 1e15, &rank->cost.fixed));
        if (micro_batch == 0)
            return tv_fail(TV_EFORMAT, "%s: " RANKS_KEY ": no micro_batch_size", path);
        rank->micro_batch = (uint32_t)micro_batch;
    }
    state->rank_count = (uint32_t)count;
    return TV_OK;
}

static tv_err read_fields(const json_t *root, const char *path, tv_train_state *state)
{
#define READ(key, member, largest)                                                                 \
    do {                                                                                           \
        int64_t value = -1;                                                                        \
        TV_TRY(tv_json_int(root, path, key, 0, largest, &value));                                  \
        if (value < 0)                                                                             \
            return tv_fail(TV_EFORMAT, "%s: no %s", path, key);                                    \
        state->member = (unsigned long long)value;                                                 \
    } while (0);
    STATE_FIELDS(READ)
#undef READ
    TV_TRY(read_precision(root, path, state));
    TV_TRY(read_ranks(root, path, state));
    return tv_json_double(root, path, "seconds", 0, 1e15, &state->seconds);
}

tv_err tv_checkpoint_read_state(const char *folder, tv_train_state *state)
{
    tv_text path = {0};
    json_t *root = NULL;
    *state = (tv_train_state){0};
    tv_path_join(&path, folder, STATE_NAME);
    tv_err err = tv_json_read(path.data, 1 << 20, &root);
    if (err == TV_OK)
        err = read_fields(root, path.data, state);
    json_decref(root);
    tv_text_finish(&path);
    return err;
}

// Everything but the manifest.
static tv_err write_files(const char *folder, tv_checkpoint_parts *parts,
                          const tv_train_state *state)
{
    tv_err err;
    tv_text path = {0};
    TV_GOTO(done, tv_weights_save(&parts->collect, parts->model,
                                  tv_path_join(&path, folder, "model.safetensors"), NULL));
    TV_GOTO(done, tv_moments_save(&parts->collect, parts->model, &parts->moments,
                                  tv_path_join(&path, folder, "optimizer.safetensors"), NULL));
    TV_GOTO(done, tv_model_config_write(&parts->model->config,
                                        tv_path_join(&path, folder, "config.json")));
    TV_GOTO(done, write_state(tv_path_join(&path, folder, STATE_NAME), state));
    TV_GOTO(done, tv_tokenizer_save(parts->tokenizer, folder));
    TV_GOTO(done, tv_powersgd_save(&parts->collect, folder));
    err = parts->write_more ? parts->write_more(parts->context, folder) : TV_OK;
done:
    tv_text_finish(&path);
    return err;
}

// Lists what lies in the folder. Sums are taken from the disk, so that they also cover the writing.
static tv_err write_manifest(const char *folder, const tv_train_state *state)
{
    tv_manifest manifest = {0};
    tv_names names = {0};
    tv_text path = {0};
    tv_err err = tv_list_dir(folder, &names);
    for (size_t i = 0; i < names.count && err == TV_OK; i++) {
        tv_checksum sum;
        err = tv_checksum_file(tv_path_join(&path, folder, names.names[i]), &sum);
        if (err == TV_OK)
            tv_manifest_add_file(&manifest, names.names[i], &sum);
    }
    tv_manifest_add_int(&manifest, "step", (int64_t)state->step);
    tv_manifest_add_string(&manifest, "trivium", TV_VERSION);
    if (err == TV_OK)
        err = tv_manifest_write(&manifest, folder);
    tv_manifest_finish(&manifest);
    tv_names_finish(&names);
    tv_text_finish(&path);
    return err;
}

tv_err tv_checkpoint_save(const char *run_dir, tv_checkpoint_parts *parts,
                          const tv_train_state *state)
{
    tv_err err;
    tv_text final = {0}, temporary = {0};
    tv_checkpoint_path(run_dir, state->step, &final);
    tv_text_printf(&temporary, "%s.tmp", final.data);
    TV_GOTO(done, tv_remove_tree(temporary.data));
    TV_GOTO(done, tv_make_dirs(temporary.data));
    TV_GOTO(failed, write_files(temporary.data, parts, state));
    TV_GOTO(failed, write_manifest(temporary.data, state));
    TV_GOTO(failed, tv_sync_dir(temporary.data));
    TV_GOTO(failed, tv_remove_tree(final.data)); // of this very step, from before a resume
    TV_GOTO(failed, tv_rename(temporary.data, final.data));
    goto done;
failed : {
    char reason[512];
    snprintf(reason, sizeof reason, "%s", tv_error_message());
    tv_remove_tree(temporary.data); // what it says is not the cause
    err = tv_fail(err, "checkpoint of step %llu not saved: %s", (unsigned long long)state->step,
                  reason);
}
done:
    tv_text_finish(&final);
    tv_text_finish(&temporary);
    return err;
}

tv_err tv_checkpoint_load(const char *folder, const tv_checkpoint_parts *parts)
{
    tv_text path = {0};
    tv_path_join(&path, folder, "model.safetensors");
    tv_err err = tv_weights_load(parts->plan, parts->model, path.data);
    tv_path_join(&path, folder, "optimizer.safetensors");
    if (err == TV_OK)
        err = tv_moments_load(parts->plan, parts->model, &parts->moments, path.data);
    if (err == TV_OK)
        err = tv_powersgd_restore(&parts->collect, folder);
    tv_text_finish(&path);
    return err;
}
