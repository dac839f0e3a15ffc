// Subcommands: each cmd_NAME takes its own argv (argv[0] is its name) and returns the exit code.
#ifndef TV_TOOLS_CMD_H
#define TV_TOOLS_CMD_H

#include "base/error.h"
#include "dist/comm.h"
#include "formats/config.h"

#include <stdbool.h>
#include <stddef.h>

#define COMMAND(name, summary) int cmd_##name(int argc, char **argv);
#include "commands.def"
#undef COMMAND

// Prints the error line of a failed call, if it failed, and returns the exit code for it.
int cmd_finish(tv_err err);

// One option of a subcommand: "--name VALUE", "--name=VALUE", or a flag.
typedef struct cmd_option {
    const char *name;      // without dashes
    const char **value;    // receives VALUE, or
    bool *flag;            // is set true, or
    const char *turns_off; // an environment variable that becomes 0
} cmd_option;

// The rows of --no-selftest, for commands that open devices, and --no-tune, for those that plan:
// cmd_parse carries them out by setting TRIVIUM_SELFTEST and TRIVIUM_TUNE to 0 (see
// device/selftest.h, plan/tune.h).
#define CMD_NO_SELFTEST                                                                            \
    {                                                                                              \
        .name = "no-selftest", .turns_off = "TRIVIUM_SELFTEST"                                     \
    }
#define CMD_NO_TUNE                                                                                \
    {                                                                                              \
        .name = "no-tune", .turns_off = "TRIVIUM_TUNE"                                             \
    }

// Takes the options out of argv; what is left are `*positional` arguments at argv[1...]. Handles
// --help (prints `help` on stdout, *done = true) and --quiet. Unknown options are TV_EUSAGE with
// the nearest name. "--" ends the options.
tv_err cmd_parse(int argc, char **argv, const cmd_option *options, size_t option_count,
                 const char *help, int *positional, bool *done);

// Loads a CONFIG.yaml, where one of the arguments is a file (*found), TRIVIUM_... variables,
// KEY=VALUE arguments, and the options (NULL where not given): later ones win.
tv_err cmd_load_config(char **arguments, int count, const char *device, const char *mask,
                       tv_config *config, bool *found);

// cmd_finish for a job, which it closes. An error that all ranks agree on is printed once; where
// they lost each other, each prints its own and ends the job.
int cmd_finish_ranks(tv_comm **comm, tv_err err);

#endif
