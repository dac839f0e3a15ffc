// trivium prepare: text to token shards.
#include "cmd.h"

#include "base/log.h"
#include "base/text.h"
#include "data/prepare.h"

#include <inttypes.h>
#include <stdio.h>

static const char help[] =
    "usage: trivium prepare --tokenizer bytes|PATH --out DIR [--val 0.1] [--force] INPUT...\n\n"
    "Turns text into token shards in DIR/train and DIR/val. An INPUT is a text file (UTF-8),\n"
    "JSONL with a \"text\" in each line, or a directory of *.txt, *.md and *.jsonl. A directory\n"
    "with train.txt and val.txt, as trivium corpus writes it, keeps that division.\n\n"
    "  --tokenizer T  bytes, a llama2.c tokenizer.bin, or a model's directory (default bytes)\n"
    "  --out DIR      where to; must be missing or empty\n"
    "  --val F        the last part of each document that is held for validation (default 0.1)\n"
    "  --loss-after M learns only what follows M in a line (bytes only; exercises: \"A:\")\n"
    "  --force        replaces DIR if trivium prepare made it\n"
    "  --json         the summary on stdout\n";

static tv_err run(int argc, char **argv)
{
    const char *out = NULL, *tokenizer = "bytes", *val = "0.1", *loss_after = NULL;
    bool force = false, json = false, done;
    int positional;
    const cmd_option known[] = {
        {.name = "out", .value = &out},    {.name = "tokenizer", .value = &tokenizer},
        {.name = "val", .value = &val},    {.name = "loss-after", .value = &loss_after},
        {.name = "force", .flag = &force}, {.name = "json", .flag = &json}};
    TV_TRY(cmd_parse(argc, argv, known, sizeof known / sizeof *known, help, &positional, &done));
    if (done)
        return TV_OK;
    if (!out || positional == 0)
        return tv_fail(TV_EUSAGE, "%s is missing; see trivium prepare --help",
                       out ? "INPUT" : "--out DIR");
    tv_prepare_options options = {
        .tokenizer = tokenizer,
        .out = out,
        .force = force,
        .loss_after = loss_after,
        .inputs = (const char *const *)(argv + 1),
        .input_count = (size_t)positional,
    };
    if (!tv_parse_double(val, &options.val))
        return tv_fail(TV_EUSAGE, "--val %s: not a number such as 0.1", val);
    tv_prepare_summary summary;
    tv_text report = {0};
    tv_err err = tv_prepare(&options, &summary, &report);
    if (err == TV_OK)
        tv_info("%s: %" PRIu64 " bytes in %" PRIu64 " documents gave %" PRIu64
                " tokens to train and %" PRIu64 " to validate with",
                out, summary.bytes, summary.documents, summary.train_tokens, summary.val_tokens);
    if (err == TV_OK && json && (fputs(report.data, stdout) < 0 || fflush(stdout) != 0))
        err = tv_fail_errno("cannot write to standard output");
    tv_text_finish(&report);
    return err;
}

int cmd_prepare(int argc, char **argv)
{
    return cmd_finish(run(argc, argv));
}
