// Subcommands that read a configuration, and those that run on several ranks: what they share.
#include "cmd.h"

#include "base/text.h"

#include <string.h>
#include <unistd.h>

static bool is_assignment(const char *argument)
{
    const char *equals = strchr(argument, '='), *slash = strchr(argument, '/');
    return equals && (!slash || equals < slash);
}

tv_err cmd_load_config(char **arguments, int count, const char *device, const char *mask,
                       tv_config *config, bool *found)
{
    const char *file = NULL;
    *found = false;
    for (int i = 0; i < count; i++) {
        if (is_assignment(arguments[i]))
            continue;
        if (file)
            return tv_fail(TV_EUSAGE, "two configurations: %s and %s; name one", file,
                           arguments[i]);
        file = arguments[i];
        *found = true;
        TV_TRY(tv_config_load_file(config, file));
    }
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

int cmd_finish_ranks(tv_comm **comm, tv_err err)
{
    bool broken = tv_comm_is_broken(*comm);
    if (broken)
        tv_comm_settle(*comm);
    int code = broken || tv_comm_rank(*comm) == 0 ? cmd_finish(err) : tv_exit_code(err);
    if (broken)
        tv_comm_abort(*comm, code);
    tv_comm_close(comm);
    return code;
}
