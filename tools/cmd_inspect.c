// trivium inspect: what is in a run, a checkpoint, a model folder or a safetensors file.
#include "cmd.h"

#include "base/file.h"
#include "base/memory.h"
#include "base/text.h"
#include "formats/manifest.h"
#include "formats/model_config.h"
#include "formats/safetensors.h"
#include "report/metrics.h"
#include "train/checkpoint.h"
#include "train/run_dir.h"

#include <stdio.h>

static const char help[] =
    "usage: trivium inspect PATH\n"
    "\n"
    "Prints what PATH holds: a run (its checkpoints and last metrics), a checkpoint or Hugging\n"
    "Face folder (model, state, files with their checksums verified), or a safetensors file (its\n"
    "tensors). Exit code 1 if something in it is damaged.\n";

static tv_err inspect_safetensors(const char *path)
{
    tv_safetensors file = {0};
    uint64_t elements = 0, bytes = 0;
    char size[32];
    tv_err err = tv_safetensors_open(path, &file);
    for (size_t i = 0; i < file.count && err == TV_OK; i++) {
        const tv_safetensor *t = &file.tensors[i];
        tv_text shape = {0};
        for (size_t d = 0; d < t->rank; d++)
            tv_text_printf(&shape, "%s%zu", d ? ", " : "", t->shape[d]);
        printf("  %-8s [%s] %s\n", tv_st_dtype_name(t->dtype), shape.length ? shape.data : "",
               t->name);
        tv_text_finish(&shape);
        elements += t->count;
        bytes += t->size;
    }
    for (size_t i = 0; i < file.metadata_count && err == TV_OK; i++)
        printf("  metadata %s = %s\n", file.metadata[i].key, file.metadata[i].value);
    tv_format_bytes(bytes, size);
    if (err == TV_OK)
        printf("%s: %zu tensors, %llu elements, %s\n", path, file.count,
               (unsigned long long)elements, size);
    tv_safetensors_close(&file);
    return err;
}

static tv_err inspect_config(const char *path)
{
    tv_model_config c;
    TV_TRY(tv_model_config_read(path, &c));
    printf("model: %s, %u layers, width %u, %u heads (%u key/value) of %u, feed-forward %u,\n"
           "       vocabulary %u, context %u, embedding %s\n",
           tv_model_type_name(c.type), c.layers, c.width, c.heads, c.kv_heads, c.head_size, c.inner,
           c.vocab_size, c.positions, c.tie_embeddings ? "tied" : "not tied");
    return TV_OK;
}

static tv_err inspect_manifest(const char *folder)
{
    tv_manifest manifest;
    TV_TRY(tv_manifest_read(folder, &manifest));
    for (size_t i = 0; i < manifest.file_count; i++)
        printf("  %12llu bytes  xxh3 %s  %s\n", (unsigned long long)manifest.files[i].sum.size,
               manifest.files[i].sum.xxh3, manifest.files[i].name);
    tv_err err = tv_manifest_verify(&manifest, folder);
    if (err == TV_OK)
        printf("checkpoint: complete, all checksums right\n");
    tv_manifest_finish(&manifest);
    return err;
}

static tv_err inspect_model(const char *folder)
{
    tv_text path = {0};
    tv_train_state state;
    tv_err err = inspect_config(tv_path_join(&path, folder, "config.json"));
    if (err == TV_OK && tv_path_exists(tv_path_join(&path, folder, "trainer.json"))) {
        err = tv_checkpoint_read_state(folder, &state);
        if (err == TV_OK)
            printf("state: step %llu, %llu tokens, %llu steps skipped, %.0f s of training\n",
                   (unsigned long long)state.step, (unsigned long long)state.tokens,
                   (unsigned long long)state.skipped, state.seconds);
    }
    if (err == TV_OK)
        err = inspect_safetensors(tv_path_join(&path, folder, "model.safetensors"));
    if (err == TV_OK && tv_path_exists(tv_path_join(&path, folder, TV_MANIFEST_NAME)))
        err = inspect_manifest(folder);
    tv_text_finish(&path);
    return err;
}

static tv_err inspect_metrics(const char *run)
{
    tv_metrics *lines = NULL;
    size_t count = 0;
    TV_TRY(tv_metrics_read(run, &lines, &count));
    double loss = NAN, val_loss = NAN;
    for (size_t i = 0; i < count; i++) {
        loss = isfinite(lines[i].loss) ? lines[i].loss : loss;
        val_loss = isfinite(lines[i].val_loss) ? lines[i].val_loss : val_loss;
    }
    if (count)
        printf("metrics: %zu lines up to step %llu, loss %.4f, validation loss %.4f\n", count,
               (unsigned long long)lines[count - 1].step, loss, val_loss);
    tv_free(lines);
    return TV_OK;
}

static tv_err inspect_run(const char *run)
{
    tv_text path = {0}, newest = {0};
    tv_names names = {0};
    bool found = false;
    tv_err err = TV_OK;
    if (tv_path_exists(tv_path_join(&path, run, "metrics.jsonl")))
        err = inspect_metrics(run);
    if (err == TV_OK)
        err = tv_list_dir(tv_path_join(&path, run, "checkpoints"), &names);
    for (size_t i = 0; i < names.count; i++)
        printf("  checkpoints/%s\n", names.names[i]);
    if (err == TV_OK)
        err = tv_checkpoint_newest(run, &newest, &found);
    if (err == TV_OK && !found)
        err = tv_fail(TV_EFORMAT, "%s: the run holds no valid checkpoint", run);
    if (err == TV_OK) {
        printf("newest valid checkpoint: %s\n", newest.data);
        err = inspect_model(newest.data);
    }
    tv_names_finish(&names);
    tv_text_finish(&newest);
    tv_text_finish(&path);
    return err;
}

static tv_err inspect(const char *target)
{
    tv_text path = {0};
    tv_err err;
    if (!tv_path_is_dir(target))
        err = inspect_safetensors(target);
    else if (tv_path_exists(tv_path_join(&path, target, "config.json")))
        err = inspect_model(target);
    else if (tv_path_is_dir(tv_path_join(&path, target, "checkpoints")))
        err = inspect_run(target);
    else
        err = tv_fail(TV_EFORMAT, "%s: neither a run nor a model folder", target);
    tv_text_finish(&path);
    return err;
}

int cmd_inspect(int argc, char **argv)
{
    bool done;
    int count;
    tv_err err = cmd_parse(argc, argv, NULL, 0, help, &count, &done);
    if (err != TV_OK || done)
        return cmd_finish(err);
    if (count != 1)
        return cmd_finish(tv_fail(TV_EUSAGE, "trivium inspect needs one PATH"));
    return cmd_finish(inspect(argv[1]));
}
