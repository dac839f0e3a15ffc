// Configuration: a training run's settings, from a YAML file, the environment and the command line.
#ifndef TV_FORMATS_CONFIG_H
#define TV_FORMATS_CONFIG_H

#include "base/error.h"
#include "base/memory.h"
#include "base/text.h"
#include "formats/model_config.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// An AUTO_INT that says `auto`.
#define TV_AUTO (-1)

enum { TV_LIST_MAX = 64 };

typedef struct tv_double_list {
    double items[TV_LIST_MAX];
    size_t count;
} tv_double_list;

typedef struct tv_string_list {
    const char *items[TV_LIST_MAX];
    size_t count;
} tv_string_list;

// A WORD_DOUBLES: a word, or numbers where it is NULL.
typedef struct tv_word_doubles {
    const char *word;
    tv_double_list list;
} tv_word_doubles;

enum {
#define SECTION(name)
#define SECTION_END(name)
#define SETTING(section, key, kind, initial, limits, models, meaning) +1
    TV_SETTING_COUNT = 0
#include "formats/settings.def"
#undef SETTING
#undef SECTION_END
#undef SECTION
};

// The members are the keys of settings.def: config.seed, config.trainer.max_steps, ... Strings are
// never NULL and belong to the arena; so do not copy a config and finish both.
#define TV_SETTING_BOOL bool
#define TV_SETTING_INT int64_t
#define TV_SETTING_AUTO_INT int64_t
#define TV_SETTING_DOUBLE double
#define TV_SETTING_STRING const char *
#define TV_SETTING_DOUBLES tv_double_list
#define TV_SETTING_STRINGS tv_string_list
#define TV_SETTING_WORD_DOUBLES tv_word_doubles
typedef struct tv_config {
#define SECTION(name) struct {
#define SECTION_END(name)                                                                          \
    }                                                                                              \
    name;
#define SETTING(section, key, kind, initial, limits, models, meaning) TV_SETTING_##kind key;
#include "formats/settings.def"
#undef SETTING
#undef SECTION_END
#undef SECTION
    const char *set_by[TV_SETTING_COUNT]; // "file.yaml:12"; NULL where it is the default
    tv_arena arena;
} tv_config;

// All defaults. Call it first, and tv_config_finish at the end, also after errors.
void tv_config_init(tv_config *config);
void tv_config_finish(tv_config *config);

// Later calls override earlier ones; the program's order is file, environment, command line. Errors
// are TV_EUSAGE and name the place, the key, and the nearest valid key or what was expected. After
// an error some keys may have been set. A file (at most 1 MiB) is YAML of sections with plain
// values and lists, without anchors, tags or several documents. TV_EIO where it cannot be read.
tv_err tv_config_load_file(tv_config *config, const char *path);
tv_err tv_config_parse(tv_config *config, const uint8_t *data, size_t size, const char *name);
tv_err tv_config_load_env(tv_config *config, char *const *environment); // NULL-terminated: environ
tv_err tv_config_set(tv_config *config, const char *assignment);        // "trainer.max_steps=50"

// The variable that sets a key: "trainer.max_steps" -> "TRIVIUM_TRAINER_MAX_STEPS". Appended.
void tv_config_env_name(const char *key, tv_text *name);

// The checks that need several keys; call it once everything is loaded. TV_EUSAGE.
tv_err tv_config_check(const tv_config *config);

// Whether ranks train apart and average now and then (trainer.strategy).
bool tv_config_is_diloco(const tv_config *config);

// The model to train: of the model section, or read from `from_config` (the path of the config.json
// that model.from leads to; ignored where model.from is empty), with dropout set here taking
// precedence. Checks that data.seq_len fits. vocab_size is 0 where it is `auto`.
tv_err tv_config_model(const tv_config *config, const char *from_config, tv_model_config *out);

// Appends YAML that tv_config_parse reads back to the same values. `explain`: every key, with its
// meaning; those that the present model has no use for as comments. Otherwise only the keys in use.
void tv_config_print(const tv_config *config, bool explain, tv_text *out);

// The table, for documentation and tests: the key of row `index`, in order; NULL behind the last.
const char *tv_config_key(size_t index);

#endif
