// Settings: the table behind the configuration, and typed values. Used by config*.c only.
#ifndef TV_FORMATS_SETTINGS_H
#define TV_FORMATS_SETTINGS_H

#include "formats/config.h"

typedef enum tv_setting_kind {
    TV_KIND_BOOL,
    TV_KIND_INT,
    TV_KIND_AUTO_INT,
    TV_KIND_DOUBLE,
    TV_KIND_STRING,
    TV_KIND_DOUBLES,
    TV_KIND_STRINGS,
    TV_KIND_WORD_DOUBLES,
} tv_setting_kind;

enum { TV_CHOICES_MAX = 8 };

typedef struct tv_setting_limits {
    double low, high; // of numbers; both 0: none
    bool open_low, open_high;
    bool needed;                         // a string that must not be empty
    size_t count;                        // of a list; 0: any
    const char *choices[TV_CHOICES_MAX]; // of strings; the first NULL: any
} tv_setting_limits;

typedef struct tv_setting {
    const char *path, *section; // "trainer.max_steps", "trainer." (empty at the top)
    tv_setting_kind kind;
    size_t offset; // in tv_config
    const char *initial, *meaning;
    tv_setting_limits limits;
    int model; // a tv_model_type, or TV_SETTING_ALL_MODELS
} tv_setting;

enum { TV_SETTING_ALL_MODELS = -1 };

extern const tv_setting tv_settings[TV_SETTING_COUNT];

// A value as it was written: one scalar, or a list of them.
typedef struct tv_setting_value {
    const char *items[TV_LIST_MAX];
    size_t count;
    bool list, quoted;
} tv_setting_value;

const tv_setting *tv_setting_find(const char *path); // NULL where there is none
bool tv_setting_is_section(const char *name);

// The TV_EUSAGE line for a key that does not exist, with the nearest one that does.
tv_err tv_setting_unknown(const char *where, const char *path);
// "an integer", "a list of numbers": for "expected ...".
const char *tv_setting_expected(const tv_setting *setting);

// Checks the value, stores it and remembers `where` (NULL: a default). `text`: a value in one line,
// lists with commas between, brackets optional.
tv_err tv_setting_assign(tv_config *config, const tv_setting *setting, const char *where,
                         const tv_setting_value *value);
tv_err tv_setting_assign_text(tv_config *config, const tv_setting *setting, const char *where,
                              const char *text);

// false for keys that the chosen model, or model.from, has no use for.
bool tv_setting_in_use(const tv_config *config, const tv_setting *setting);

bool tv_setting_is_set(const tv_config *config, const char *path);
// Where a key was set, for error lines.
const char *tv_setting_place(const tv_config *config, const char *path);

#endif
