// Fuzzing of the configuration: no input may crash it, and what it accepts must survive printing.
// clang -fsanitize=fuzzer,address,undefined, with src/base/*.c, src/formats/*.c and their
// libraries.
#include "formats/config.h"

#include <stdint.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    tv_config first, second;
    tv_text text = {0}, again = {0};
    tv_config_init(&first);
    tv_config_init(&second);
    if (tv_config_parse(&first, data, size, "input") == TV_OK && tv_config_check(&first) == TV_OK) {
        tv_config_print(&first, size % 2, &text);
        tv_err err = tv_config_parse(&second, (const uint8_t *)text.data, text.length, "printed");
        TV_CHECK(err == TV_OK, "%s\n%s", tv_error_message(), text.data);
        TV_CHECK(tv_config_check(&second) == TV_OK, "%s", tv_error_message());
        tv_config_print(&second, size % 2, &again);
        TV_CHECK(strcmp(text.data, again.data) == 0, "not stable:\n%s\n%s", text.data, again.data);
    }
    tv_text_finish(&text);
    tv_text_finish(&again);
    tv_config_finish(&first);
    tv_config_finish(&second);
    return 0;
}
