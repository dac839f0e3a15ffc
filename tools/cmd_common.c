// Subcommands: what they share: option parsing and the one line of an error.
#include "cmd.h"

#include "base/log.h"
#include "base/memory.h"
#include "base/text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int cmd_finish(tv_err err)
{
    // A write before this one may have failed; errno is then still its.
    if (err == TV_OK && (fflush(stdout) != 0 || ferror(stdout)))
        err = tv_fail_errno("cannot write to standard output");
    if (err != TV_OK)
        tv_error("%s", tv_error_message());
    return tv_exit_code(err);
}

static const cmd_option *find_option(const char *name, size_t length, const cmd_option *options,
                                     size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (strlen(options[i].name) == length && strncmp(options[i].name, name, length) == 0)
            return &options[i];
    return NULL;
}

static tv_err unknown_option(const char *command, const char *name, const cmd_option *options,
                             size_t count)
{
    const char **names = tv_alloc(count + 2, sizeof *names);
    for (size_t i = 0; i < count; i++)
        names[i] = options[i].name;
    names[count] = "help";
    names[count + 1] = "quiet";
    const char *near = tv_nearest_name(name, names, count + 2);
    tv_free(names);
    if (near)
        return tv_fail(TV_EUSAGE, "trivium %s: no option --%s; did you mean --%s?", command, name,
                       near);
    return tv_fail(TV_EUSAGE, "trivium %s: no option --%s; see trivium %s --help", command, name,
                   command);
}

tv_err cmd_parse(int argc, char **argv, const cmd_option *options, size_t option_count,
                 const char *help, int *positional, bool *done)
{
    int kept = 0;
    bool only_positional = false;
    *done = false;
    for (int i = 1; i < argc; i++) {
        const char *arg = argv[i];
        if (only_positional || arg[0] != '-' || arg[1] == 0) {
            argv[1 + kept++] = argv[i];
            continue;
        }
        const char *name = arg + strspn(arg, "-"), *equals = strchr(name, '=');
        size_t length = equals ? (size_t)(equals - name) : strlen(name);
        const cmd_option *option = find_option(name, length, options, option_count);
        if (strcmp(arg, "--") == 0) {
            only_positional = true;
        } else if (strcmp(arg, "--help") == 0 || strcmp(arg, "-h") == 0) {
            fputs(help, stdout);
            *done = true;
            return TV_OK;
        } else if (strcmp(arg, "--quiet") == 0) {
            tv_log_set_level(TV_LOG_WARN);
        } else if (!option) {
            return unknown_option(argv[0], name, options, option_count);
        } else if (!option->value) {
            if (equals)
                return tv_fail(TV_EUSAGE, "trivium %s: --%s takes no value", argv[0], option->name);
            if (option->flag)
                *option->flag = true;
            else
                setenv(option->turns_off, "0", 1);
        } else if (equals) {
            *option->value = equals + 1;
        } else if (i + 1 < argc) {
            *option->value = argv[++i];
        } else {
            return tv_fail(TV_EUSAGE, "trivium %s: --%s needs a value", argv[0], option->name);
        }
    }
    *positional = kept;
    return TV_OK;
}
