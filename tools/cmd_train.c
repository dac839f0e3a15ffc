// trivium train: a run from its configuration.
#include "cmd.h"

#include "base/file.h"
#include "base/log.h"
#include "base/stop.h"
#include "base/text.h"
#include "data/tokenizer.h"
#include "device/device.h"
#include "dist/comm.h"
#include "explain.h"
#include "formats/config.h"
#include "plan/plan.h"
#include "train/run_dir.h"
#include "train/step_graph.h"
#include "train/strategy.h"
#include "train/trainer.h"

#include <stdio.h>
#include <string.h>

static const char help[] =
    "usage: trivium train CONFIG.yaml [KEY=VALUE ...] [--device D] [--mask M] [--resume "
    "auto|PATH]\n"
    "       trivium train --print-config [CONFIG.yaml] [KEY=VALUE ...]\n"
    "       trivium train --print-memory CONFIG.yaml [KEY=VALUE ...] [--device D]\n"
    "       trivium train --explain CONFIG.yaml [KEY=VALUE ...] [--device D] [--mask M]\n"
    "\n"
    "Trains the model that CONFIG.yaml describes and writes run_dir: metrics.jsonl, metrics.csv,\n"
    "loss.png, log.txt, checkpoints/. Keys are those of the file (trainer.max_steps=50); they can\n"
    "also come from the environment (TRIVIUM_TRAINER_MAX_STEPS=50). The command line wins.\n"
    "\n"
    "  --device D        auto, an index of `trivium devices`, a UUID, or a part of a name\n"
    "  --mask M          makes the device look poorer (no-f16,range=128M,...)\n"
    "  --share-device    lets several ranks use one device\n"
    "  --no-selftest     does not check first that the device computes correctly\n"
    "  --no-tune         takes kernels by guess and does not time which are faster (GPUs)\n"
    "  --resume auto     goes on from the run's newest valid checkpoint, if it has one\n"
    "  --resume PATH     goes on from that run or checkpoint\n"
    "  --print-config    prints every key with its value and meaning, and ends\n"
    "  --print-memory    prints what each precision would take in the device's memory, what\n"
    "                    activation checkpointing saves, and what each of several ranks takes,\n"
    "                    and ends; --device null needs no device\n"
    "  --explain         prints the plan of a step, what each kernel takes on random ids, and "
    "what\n"
    "                    the device could do, and ends; needs no data, writes nothing\n"
    "  --quiet           only warnings and errors\n"
    "\n"
    "Ctrl-C saves a checkpoint and ends with exit code 75; a second one ends at once.\n"
    "\n"
    "mpirun --bind-to none -n N trivium train ... trains on N devices; --device A,B names those "
    "of\n"
    "a machine, one for each of its ranks. kill -USR2 of mpirun is the Ctrl-C of such a run.\n";

// File, environment, KEY=VALUE, options: later ones win.
static tv_err load(char **arguments, int count, const char *device, const char *mask,
                   bool need_file, tv_config *config)
{
    bool found;
    TV_TRY(cmd_load_config(arguments, count, device, mask, config, &found));
    if (found || !need_file)
        return TV_OK;
    return tv_fail(TV_EUSAGE, "trivium train needs a CONFIG.yaml; trivium train --print-config "
                              "prints one to start from");
}

static tv_err print_config(const tv_config *config)
{
    tv_text text = {0};
    tv_config_print(config, true, &text);
    bool written = fputs(text.data, stdout) >= 0 && fflush(stdout) == 0;
    tv_err err = written ? TV_OK : tv_fail_errno("cannot write to standard output");
    tv_text_finish(&text);
    return err;
}

// -------------------------------------------------------------------------------------- memory

static tv_err read_model_config(const tv_config *config, tv_model_config *model)
{
    tv_text folder = {0}, path = {0};
    tv_tokenizer *tokenizer = NULL;
    tv_err err = TV_OK;
    if (config->model.from[0])
        err = tv_model_folder(config->model.from, &folder);
    if (err == TV_OK && folder.length)
        tv_path_join(&path, folder.data, "config.json");
    if (err == TV_OK)
        err = tv_config_model(config, path.data, model);
    if (err == TV_OK && model->vocab_size == 0)
        err = tv_tokenizer_open_data(config->data.train, &tokenizer);
    if (tokenizer)
        model->vocab_size = (uint32_t)tv_tokenizer_vocab_size(tokenizer);
    tv_tokenizer_destroy(&tokenizer);
    tv_text_finish(&folder);
    tv_text_finish(&path);
    return err;
}

// `first` and `second`: what the row stands for.
static tv_err print_memory_row(const char *first, const char *second, const tv_model_config *model,
                               const tv_step_options *options, const tv_caps *caps,
                               uint64_t *reference)
{
    static const tv_kind shown[] = {TV_WEIGHT, TV_MASTER, TV_GRADIENT, TV_OPTIMIZER, TV_ACTIVATION};
    tv_plan_memory memory;
    tv_step_graph *graph = tv_step_graph_create(model, options);
    tv_err err = tv_plan_measure(graph->graph, caps, &memory);
    tv_step_graph_destroy(&graph);
    if (err != TV_OK)
        return err;
    if (*reference == 0)
        *reference = memory.total;
    uint64_t other = memory.total;
    printf("%-11s %-5s", first, second);
    for (size_t i = 0; i < sizeof shown / sizeof *shown; i++) {
        printf(" %11.1f", (double)memory.bytes[shown[i]] / 0x1p20);
        other -= memory.bytes[shown[i]];
    }
    printf(" %7.1f %9.1f %6.1f %% %9.1f\n", (double)other / 0x1p20, (double)memory.total / 0x1p20,
           100 * (double)memory.total / (double)*reference, (double)memory.host / 0x1p20);
    return TV_OK;
}

static void print_memory_head(const char *first, const char *second)
{
    printf("%-11s %-5s %11s %11s %11s %11s %11s %7s %9s %8s %9s\n", first, second, "weights",
           "masters", "gradients", "optimizer", "activations", "other", "total", "share", "host");
}

static tv_err print_precisions(const tv_model_config *model, tv_step_options options,
                               const tv_caps *caps)
{
    uint64_t reference = 0;
    print_memory_head("precision", "state");
    for (int precision = 0; precision < TV_PRECISION_COUNT; precision++)
        for (int i = 0; i < 2; i++) {
            options.precision = (tv_precision)precision;
            options.moments = i ? TV_BF16 : TV_F32;
            TV_TRY(print_memory_row(tv_precision_get_info(options.precision)->name,
                                    tv_moment_dtype_name(options.moments), model, &options, caps,
                                    &reference));
        }
    return TV_OK;
}

// The configured precision, of which nothing is measured to choose one.
static tv_err take_precision(const tv_config *config, tv_step_options *options)
{
    TV_TRY(tv_precision_parse(config->trainer.precision, &options->precision));
    TV_TRY(tv_moment_dtype_parse(config->optimizer.state_precision, &options->moments));
    if (options->precision == TV_PRECISION_AUTO)
        options->precision = TV_PRECISION_32_TRUE;
    return TV_OK;
}

static tv_err print_recomputations(const tv_model_config *model, tv_step_options options,
                                   const tv_caps *caps)
{
    uint64_t reference = 0;
    printf("\nwith trainer.activation_checkpointing, in %s\n",
           tv_precision_get_info(options.precision)->name);
    print_memory_head("checkpoints", "on");
    for (int i = 0; i <= TV_RECOMPUTE_COUNT; i++) { // the last mode twice
        options.offload_activations = i == TV_RECOMPUTE_COUNT;
        options.recompute = options.offload_activations ? TV_RECOMPUTE_BLOCK : (tv_recompute)i;
        TV_TRY(print_memory_row(tv_recompute_name(options.recompute),
                                options.offload_activations ? "host" : "dev", model, &options, caps,
                                &reference));
    }
    return TV_OK;
}

// What each rank needs.
static tv_err print_strategies(const tv_config *config, const tv_model_config *model,
                               tv_step_options options, const tv_caps *caps)
{
    static const uint32_t ranks[] = {1, 2, 4};
    static const tv_strategy shown[] = {TV_STRATEGY_DDP, TV_STRATEGY_ZERO1, TV_STRATEGY_ZERO2,
                                        TV_STRATEGY_FSDP};
    uint64_t reference = 0;
    options.bucket_bytes = (uint64_t)(config->trainer.bucket_cap_mb * (1 << 20));
    printf("\neach of several ranks of one kind, in %s\n",
           tv_precision_get_info(options.precision)->name);
    print_memory_head("strategy", "ranks");
    for (int i = 0; i < 12; i++) {
        char count[16];
        tv_strategy strategy = shown[i / 3];
        options.ranks = ranks[i % 3];
        options.sharded = options.ranks > 1 ? tv_strategy_sharded(strategy) : TV_SHARDED_NONE;
        snprintf(count, sizeof count, "%u", options.ranks);
        TV_TRY(
            print_memory_row(tv_strategy_name(strategy), count, model, &options, caps, &reference));
    }
    return TV_OK;
}

static tv_err print_memory_tables(const tv_config *config, const tv_device_info *info)
{
    tv_model_config model;
    bool given = config->trainer.micro_batch_size != TV_AUTO;
    TV_TRY(read_model_config(config, &model));
    tv_step_options options = {.batch = given ? (uint32_t)config->trainer.micro_batch_size : 1,
                               .time = (uint32_t)config->data.seq_len,
                               .recompute =
                                   tv_recompute_parse(config->trainer.activation_checkpointing),
                               .offload_optimizer = config->trainer.offload_optimizer,
                               .offload_activations = config->trainer.offload_activations,
                               .update = true};
    printf("%s, vocabulary %u, on %s: MiB for %u x %u tokens at a time%s\n",
           tv_model_type_name(model.type), model.vocab_size, info->name, options.batch,
           options.time, given ? "" : " (trainer.micro_batch_size is auto)");
    TV_TRY(print_precisions(&model, options, &info->caps));
    TV_TRY(take_precision(config, &options));
    TV_TRY(print_recomputations(&model, options, &info->caps));
    return print_strategies(config, &model, options, &info->caps);
}

static tv_err print_memory(const tv_config *config)
{
    tv_device *device = NULL;
    const char *mask = config->mask;
    TV_TRY(tv_device_open(config->device, mask[0] ? mask : NULL, &device));
    tv_err err = print_memory_tables(config, tv_device_get_info(device));
    tv_device_close(&device);
    return err;
}

// ------------------------------------------------------------------------------------ training

// A word of a command line, quoted where a shell would read it as something else.
static void append_word(tv_text *line, const char *word)
{
    static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
                                "-_./=:,+@%";
    tv_text_puts(line, " ");
    if (*word && word[strspn(word, plain)] == 0) {
        tv_text_puts(line, word);
        return;
    }
    tv_text_puts(line, "'");
    for (; *word; word++)
        if (*word == '\'')
            tv_text_puts(line, "'\\''");
        else
            tv_text_append(line, word, 1);
    tv_text_puts(line, "'");
}

// How to go on with a run that was stopped or whose device was lost.
static void say_how_to_resume(char **arguments, int count, const char *device, const char *mask,
                              const char *resume)
{
    const char *const options[][2] = {{"--device", device}, {"--mask", mask}, {"--resume", resume}};
    tv_text line = {0};
    for (int i = 0; i < count; i++)
        append_word(&line, arguments[i]);
    for (size_t i = 0; i < sizeof options / sizeof *options; i++) {
        if (!options[i][1])
            continue;
        append_word(&line, options[i][0]);
        append_word(&line, options[i][1]);
    }
    tv_info("go on with: trivium train%s", line.data);
    tv_text_finish(&line);
}

// `err`: what reading the command line and the configuration came to, on this rank.
static tv_err train_on_ranks(const tv_config *config, tv_train_options *options, tv_err err)
{
    tv_err opened = tv_comm_open(&options->comm);
    if (opened != TV_OK)
        return opened;
    if (tv_comm_rank(options->comm) > 0)
        tv_log_set_level(TV_LOG_ERROR); // rank 0 speaks for all
    err = tv_comm_agree(options->comm, err);
    if (err != TV_OK)
        return err;
    tv_stop_install();
    return tv_comm_agree(options->comm, tv_train(config, options));
}

int cmd_train(int argc, char **argv)
{
    const char *device = NULL, *mask = NULL;
    tv_train_options train = {0};
    bool print = false, memory = false, explain = false, done = false;
    int count = 0;
    const cmd_option options[] = {{.name = "device", .value = &device},
                                  {.name = "mask", .value = &mask},
                                  {.name = "resume", .value = &train.resume},
                                  {.name = "share-device", .flag = &train.share_device},
                                  {.name = "print-config", .flag = &print},
                                  CMD_NO_SELFTEST,
                                  CMD_NO_TUNE,
                                  {.name = "explain", .flag = &explain},
                                  {.name = "print-memory", .flag = &memory}};
    tv_err err =
        cmd_parse(argc, argv, options, sizeof options / sizeof *options, help, &count, &done);
    if (done)
        return cmd_finish(err);
    tv_config config;
    tv_config_init(&config);
    if (err == TV_OK)
        err = load(argv + 1, count, device, mask, !print, &config);
    if (err == TV_OK && !print)
        err = tv_config_check(&config);
    if (print || memory || explain) {
        if (err == TV_OK && print)
            err = print_config(&config);
        else if (err == TV_OK)
            err = memory ? print_memory(&config) : explain_run(&config);
        tv_config_finish(&config);
        return cmd_finish(err);
    }
    err = train_on_ranks(&config, &train, err);
    bool speaks = tv_comm_rank(train.comm) == 0;
    int code = cmd_finish_ranks(&train.comm, err);
    if (speaks && (err == TV_ESTOP || err == TV_ELOST)) {
        bool saved = !train.resume || tv_run_has_checkpoints(config.run_dir);
        say_how_to_resume(argv + 1, count, device, mask, saved ? "auto" : train.resume);
    }
    tv_config_finish(&config);
    return code;
}
