// Subcommands: each cmd_NAME takes its own argv (argv[0] is its name) and returns the exit code.
#ifndef TV_TOOLS_CMD_H
#define TV_TOOLS_CMD_H

#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>

#define COMMAND(name, summary) int cmd_##name(int argc, char **argv);
#include "commands.def"
#undef COMMAND

// Prints the error line of a failed call, if it failed, and returns the exit code for it.
int cmd_finish(tv_err err);

// One option of a subcommand: "--name VALUE", "--name=VALUE", or a flag where `flag` is set.
typedef struct cmd_option {
    const char *name;   // without dashes
    const char **value; // receives VALUE, or
    bool *flag;         // is set true
} cmd_option;

// The row of --no-selftest, for commands that open devices; cmd_parse carries it out by setting
// TRIVIUM_SELFTEST (see device/selftest.h).
#define CMD_NO_SELFTEST                                                                            \
    {                                                                                              \
        .name = "no-selftest"                                                                      \
    }

// Takes the options out of argv; what is left are `*positional` arguments at argv[1...]. Handles
// --help (prints `help` on stdout, *done = true) and --quiet. Unknown options are TV_EUSAGE with
// the nearest name. "--" ends the options.
tv_err cmd_parse(int argc, char **argv, const cmd_option *options, size_t option_count,
                 const char *help, int *positional, bool *done);

#endif
