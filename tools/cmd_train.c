// trivium train: a run from its configuration.
#include "cmd.h"

#include "base/log.h"
#include "base/stop.h"
#include "base/text.h"
#include "dist/comm.h"
#include "formats/config.h"
#include "train/run_dir.h"
#include "train/trainer.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

static const char help[] =
    "usage: trivium train CONFIG.yaml [KEY=VALUE ...] [--device D] [--mask M] [--resume "
    "auto|PATH]\n"
    "       trivium train --print-config [CONFIG.yaml] [KEY=VALUE ...]\n"
    "\n"
    "Trains the model that CONFIG.yaml describes and writes run_dir: metrics.jsonl, metrics.csv,\n"
    "loss.png, log.txt, checkpoints/. Keys are those of the file (trainer.max_steps=50); they can\n"
    "also come from the environment (TRIVIUM_TRAINER_MAX_STEPS=50). The command line wins.\n"
    "\n"
    "  --device D        auto, an index of `trivium devices`, a UUID, or a part of a name\n"
    "  --mask M          makes the device look poorer (no-f16,range=128M,...)\n"
    "  --share-device    lets several ranks use one device\n"
    "  --resume auto     goes on from the run's newest valid checkpoint, if it has one\n"
    "  --resume PATH     goes on from that run or checkpoint\n"
    "  --print-config    prints every key with its value and meaning, and ends\n"
    "  --quiet           only warnings and errors\n"
    "\n"
    "Ctrl-C saves a checkpoint and ends with exit code 75; a second one ends at once.\n"
    "\n"
    "mpirun --bind-to none -n N trivium train ... trains on N devices; --device A,B names those "
    "of\n"
    "a machine, one for each of its ranks. kill -USR2 of mpirun is the Ctrl-C of such a run.\n";

static bool is_assignment(const char *argument)
{
    const char *equals = strchr(argument, '='), *slash = strchr(argument, '/');
    return equals && (!slash || equals < slash);
}

// File, environment, KEY=VALUE, options: later ones win.
static tv_err load(tv_config *config, char **arguments, int count, const char *device,
                   const char *mask, bool need_file)
{
    const char *file = NULL;
    for (int i = 0; i < count; i++) {
        if (is_assignment(arguments[i]))
            continue;
        if (file)
            return tv_fail(TV_EUSAGE, "two configurations: %s and %s; name one", file,
                           arguments[i]);
        file = arguments[i];
        TV_TRY(tv_config_load_file(config, file));
    }
    if (!file && need_file)
        return tv_fail(TV_EUSAGE, "trivium train needs a CONFIG.yaml; trivium train --print-config "
                                  "prints one to start from");
    TV_TRY(tv_config_load_env(config, environ));
    for (int i = 0; i < count; i++)
        if (is_assignment(arguments[i]))
            TV_TRY(tv_config_set(config, arguments[i]));
    tv_text text = {0};
    tv_err err = TV_OK;
    if (device) {
        tv_text_printf(&text, "device=%s", device);
        err = tv_config_set(config, text.data);
    }
    if (mask && err == TV_OK) {
        tv_text_clear(&text);
        tv_text_printf(&text, "mask=%s", mask);
        err = tv_config_set(config, text.data);
    }
    tv_text_finish(&text);
    return err;
}

static void print_config(const tv_config *config)
{
    tv_text text = {0};
    tv_config_print(config, true, &text);
    fputs(text.data, stdout);
    tv_text_finish(&text);
}

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

// An error that all ranks agree on is printed once; where they lost each other, each prints its own
// and ends the job.
static int finish_ranks(tv_comm **comm, tv_err err)
{
    bool broken = tv_comm_is_broken(*comm);
    int code = broken || tv_comm_rank(*comm) == 0 ? cmd_finish(err) : tv_exit_code(err);
    if (broken)
        tv_comm_abort(*comm, code);
    tv_comm_close(comm);
    return code;
}

int cmd_train(int argc, char **argv)
{
    const char *device = NULL, *mask = NULL;
    tv_train_options train = {0};
    bool print = false, done = false;
    int count = 0;
    const cmd_option options[] = {{.name = "device", .value = &device},
                                  {.name = "mask", .value = &mask},
                                  {.name = "resume", .value = &train.resume},
                                  {.name = "share-device", .flag = &train.share_device},
                                  {.name = "print-config", .flag = &print}};
    tv_err err =
        cmd_parse(argc, argv, options, sizeof options / sizeof *options, help, &count, &done);
    if (done)
        return cmd_finish(err);
    tv_config config;
    tv_config_init(&config);
    if (err == TV_OK)
        err = load(&config, argv + 1, count, device, mask, !print);
    if (err == TV_OK && !print)
        err = tv_config_check(&config);
    if (print) {
        if (err == TV_OK)
            print_config(&config);
        tv_config_finish(&config);
        return cmd_finish(err);
    }
    err = train_on_ranks(&config, &train, err);
    bool speaks = tv_comm_rank(train.comm) == 0;
    int code = finish_ranks(&train.comm, err);
    if (speaks && (err == TV_ESTOP || err == TV_ELOST)) {
        bool saved = !train.resume || tv_run_has_checkpoints(config.run_dir);
        say_how_to_resume(argv + 1, count, device, mask, saved ? "auto" : train.resume);
    }
    tv_config_finish(&config);
    return code;
}
