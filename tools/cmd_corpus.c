// trivium corpus: writes the embedded curriculum.
#include "cmd.h"

#include "base/log.h"
#include "base/text.h"
#include "data/curriculum.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static const char help[] =
    "usage: trivium corpus --out DIR [--size 2M] [--seed 1] [--level 1|2|3|4|all] [--json]\n\n"
    "Writes exercises that Trivium makes itself, with worked answers: train.txt, val.txt,\n"
    "exercises.jsonl (held-out problems to examine a model with) and README.txt.\n\n"
    "  --out DIR     where to\n"
    "  --size BYTES  of train.txt, at most (64K, 2M, ...; default 2M)\n"
    "  --seed N      the same seed gives the same files (default 1)\n"
    "  --level L     1 (easiest) to 4, or all (default)\n"
    "  --json        a summary on stdout\n";

static tv_err parse_options(const char *size, const char *seed, const char *level,
                            tv_curriculum_options *options)
{
    uint64_t number;
    if (!tv_parse_bytes(size, &options->size))
        return tv_fail(TV_EUSAGE, "--size %s: not a size such as 64K or 2M", size);
    if (!tv_parse_u64(seed, &options->seed))
        return tv_fail(TV_EUSAGE, "--seed %s: not a whole number from 0 up", seed);
    options->level = 0;
    if (strcmp(level, "all") == 0)
        return TV_OK;
    if (!tv_parse_u64(level, &number) || number < 1 || number > (uint64_t)tv_curriculum_levels())
        return tv_fail(TV_EUSAGE, "--level %s: there are levels 1 to %d, and all", level,
                       tv_curriculum_levels());
    options->level = (int)number;
    return TV_OK;
}

static tv_err print_json(const tv_curriculum_summary *summary)
{
    printf("{\"train_bytes\": %" PRIu64 ", \"train_lines\": %" PRIu64 ", \"val_bytes\": %" PRIu64
           ", \"val_lines\": %" PRIu64 ", \"exercises\": %zu, \"kinds\": %zu}\n",
           summary->train_bytes, summary->train_lines, summary->val_bytes, summary->val_lines,
           summary->exercises, summary->kinds);
    return fflush(stdout) == 0 ? TV_OK : tv_fail_errno("cannot write to standard output");
}

static tv_err run(int argc, char **argv)
{
    const char *out = NULL, *size = "2M", *seed = "1", *level = "all";
    bool json = false, done;
    int positional;
    const cmd_option known[] = {{.name = "out", .value = &out},
                                {.name = "size", .value = &size},
                                {.name = "seed", .value = &seed},
                                {.name = "level", .value = &level},
                                {.name = "json", .flag = &json}};
    TV_TRY(cmd_parse(argc, argv, known, sizeof known / sizeof *known, help, &positional, &done));
    if (done)
        return TV_OK;
    if (!out || positional)
        return tv_fail(TV_EUSAGE, "%s; usage: trivium corpus --out DIR",
                       out ? "corpus takes no arguments" : "--out DIR is missing");
    tv_curriculum_options options;
    tv_curriculum_summary summary;
    TV_TRY(parse_options(size, seed, level, &options));
    TV_TRY(tv_curriculum_write(out, &options, &summary));
    tv_info("%s: %" PRIu64 " problems of %zu kinds to learn, %" PRIu64
            " to validate, %zu to examine",
            out, summary.train_lines, summary.kinds, summary.val_lines, summary.exercises);
    return json ? print_json(&summary) : TV_OK;
}

int cmd_corpus(int argc, char **argv)
{
    return cmd_finish(run(argc, argv));
}
