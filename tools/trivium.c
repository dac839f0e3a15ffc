// trivium: the program. A table of subcommands; the only place that ends the process.
#include "cmd.h"

#include "base/build.h"
#include "base/error.h"
#include "base/log.h"
#include "base/text.h"

#include <stdio.h>
#include <string.h>

static const struct tv_command_entry {
    const char *name;
    int (*run)(int argc, char **argv);
    const char *summary;
} commands[] = {
#define COMMAND(name, summary) {#name, cmd_##name, summary},
#include "commands.def"
#undef COMMAND
};

enum { COMMAND_COUNT = sizeof commands / sizeof *commands };

static void print_usage(FILE *out)
{
    fputs("usage: trivium COMMAND [ARGUMENT...]   (trivium COMMAND --help says more)\n\n", out);
    for (size_t i = 0; i < COMMAND_COUNT; i++)
        fprintf(out, "  %-10s %s\n", commands[i].name, commands[i].summary);
}

int main(int argc, char **argv)
{
    const char *names[COMMAND_COUNT];
    if (argc < 2) {
        print_usage(stderr);
        return 2;
    }
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0) {
        print_usage(stdout);
        return cmd_finish(TV_OK);
    }
    if (strcmp(argv[1], "--version") == 0) {
        printf("trivium %s, build %s\n", TV_VERSION, tv_build_id);
        return cmd_finish(TV_OK);
    }
    for (size_t i = 0; i < COMMAND_COUNT; i++) {
        if (strcmp(argv[1], commands[i].name) == 0)
            return commands[i].run(argc - 1, argv + 1);
        names[i] = commands[i].name;
    }
    const char *near = tv_nearest_name(argv[1], names, COMMAND_COUNT);
    tv_error("no command '%s'%s%s%s; see trivium --help", argv[1], near ? ": did you mean '" : "",
             near ? near : "", near ? "'?" : "");
    return 2;
}
