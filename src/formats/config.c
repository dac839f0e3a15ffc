// Configuration: defaults, overrides, checks over several keys, and the model it describes.
#include "formats/config.h"

#include "formats/settings.h"

#include <ctype.h>
#include <string.h>

void tv_config_init(tv_config *config)
{
    *config = (tv_config){0};
    for (size_t i = 0; i < TV_SETTING_COUNT; i++) {
        tv_err err = tv_setting_assign_text(config, &tv_settings[i], NULL, tv_settings[i].initial);
        TV_CHECK(err == TV_OK, "%s", tv_error_message());
    }
}

void tv_config_finish(tv_config *config)
{
    tv_arena_finish(&config->arena);
    *config = (tv_config){0};
}

const char *tv_config_key(size_t index)
{
    return index < TV_SETTING_COUNT ? tv_settings[index].path : NULL;
}

tv_err tv_config_set(tv_config *config, const char *assignment)
{
    static const char where[] = "command line";
    const char *equals = strchr(assignment, '=');
    if (!equals || equals == assignment)
        return tv_fail(TV_EUSAGE, "%s: '%s' is not key=value", where, assignment);
    char *path = tv_strdup(assignment);
    path[equals - assignment] = 0;
    const tv_setting *setting = tv_setting_find(path);
    tv_err err = setting ? tv_setting_assign_text(config, setting, where, equals + 1)
                         : tv_setting_unknown(where, path);
    tv_free(path);
    return err;
}

void tv_config_env_name(const char *key, tv_text *name)
{
    tv_text_puts(name, "TRIVIUM_");
    for (const char *c = key; *c; c++)
        tv_text_printf(name, "%c", *c == '.' ? '_' : toupper((unsigned char)*c));
}

// A misspelled variable is silently without effect, so one that opens like a section's is an error.
// Others that open with TRIVIUM_ are not ours to judge.
static tv_err check_variable(const char *variable)
{
    const char *names[TV_SETTING_COUNT];
    tv_text all[TV_SETTING_COUNT] = {0};
    bool ours = false;
    for (size_t i = 0; i < TV_SETTING_COUNT; i++) {
        tv_text prefix = {0};
        tv_config_env_name(tv_settings[i].section, &prefix);
        ours = ours || (tv_settings[i].section[0] && tv_starts_with(variable, prefix.data));
        tv_text_finish(&prefix);
        tv_config_env_name(tv_settings[i].path, &all[i]);
        names[i] = all[i].data;
    }
    tv_err err = TV_OK;
    if (ours) {
        const char *near = tv_nearest_name(variable, names, TV_SETTING_COUNT);
        err = tv_fail(TV_EUSAGE, "environment: %s: names no key%s%s%s", variable,
                      near ? "; did you mean " : "", near ? near : "", near ? "?" : "");
    }
    for (size_t i = 0; i < TV_SETTING_COUNT; i++)
        tv_text_finish(&all[i]);
    return err;
}

static const tv_setting *find_variable(const char *variable)
{
    const tv_setting *found = NULL;
    tv_text name = {0};
    for (size_t i = 0; i < TV_SETTING_COUNT && !found; i++) {
        tv_text_clear(&name);
        tv_config_env_name(tv_settings[i].path, &name);
        if (strcmp(name.data, variable) == 0)
            found = &tv_settings[i];
    }
    tv_text_finish(&name);
    return found;
}

static tv_err load_variable(tv_config *config, const char *entry)
{
    const char *equals = strchr(entry, '=');
    if (!equals || !tv_starts_with(entry, "TRIVIUM_"))
        return TV_OK;
    char *variable = tv_strdup(entry);
    variable[equals - entry] = 0;
    const tv_setting *setting = find_variable(variable);
    tv_text where = {0};
    tv_text_printf(&where, "environment: %s", variable);
    tv_err err = setting ? tv_setting_assign_text(config, setting, where.data, equals + 1)
                         : check_variable(variable);
    tv_text_finish(&where);
    tv_free(variable);
    return err;
}

tv_err tv_config_load_env(tv_config *config, char *const *environment)
{
    for (; *environment; environment++)
        TV_TRY(load_variable(config, *environment));
    return TV_OK;
}

static tv_model_type model_type(const tv_config *config)
{
    return strcmp(config->model.type, "llama") == 0 ? TV_MODEL_LLAMA : TV_MODEL_GPT2;
}

static bool is_dropout(const char *path)
{
    return tv_ends_with(path, "_pdrop");
}

// model.from brings its own sizes; beside it only its type and dropout may be set.
static bool fits_from(const char *path)
{
    return strcmp(path, "model.from") == 0 || strcmp(path, "model.type") == 0 || is_dropout(path);
}

bool tv_config_is_diloco(const tv_config *config)
{
    return strcmp(config->trainer.strategy, "diloco") == 0;
}

static bool is_powersgd(const tv_config *config)
{
    return strcmp(config->trainer.gradient_compression, "powersgd") == 0;
}

static bool is_of_powersgd(const tv_setting *setting)
{
    return strncmp(setting->path, "trainer.powersgd_", strlen("trainer.powersgd_")) == 0;
}

bool tv_setting_in_use(const tv_config *config, const tv_setting *setting)
{
    if (is_of_powersgd(setting))
        return is_powersgd(config);
    if (strcmp(setting->section, "diloco.") == 0)
        return tv_config_is_diloco(config);
    if (strcmp(setting->section, "model.") != 0)
        return true;
    if (config->model.from[0])
        return fits_from(setting->path) && (strcmp(setting->path, "model.from") == 0 ||
                                            tv_setting_is_set(config, setting->path));
    return setting->model == TV_SETTING_ALL_MODELS || setting->model == (int)model_type(config);
}

static tv_err check_keys(const tv_config *config)
{
    for (size_t i = 0; i < TV_SETTING_COUNT; i++) {
        const tv_setting *s = &tv_settings[i];
        if (!config->set_by[i] || tv_setting_in_use(config, s))
            continue;
        if (strcmp(s->section, "diloco.") == 0)
            return tv_fail(TV_EUSAGE, "%s: %s: only trainer.strategy diloco uses it, this is %s",
                           config->set_by[i], s->path, config->trainer.strategy);
        if (is_of_powersgd(s))
            return tv_fail(TV_EUSAGE,
                           "%s: %s: only trainer.gradient_compression powersgd uses it, this is %s",
                           config->set_by[i], s->path, config->trainer.gradient_compression);
        if (config->model.from[0])
            return tv_fail(TV_EUSAGE,
                           "%s: %s: cannot be set beside model.from, whose config.json decides it",
                           config->set_by[i], s->path);
        return tv_fail(TV_EUSAGE, "%s: %s: unknown key for model.type %s; only %s has it",
                       config->set_by[i], s->path, config->model.type,
                       tv_model_type_name((tv_model_type)s->model));
    }
    return TV_OK;
}

// "file.yaml:12: trainer.max_steps", or the key alone where it has its default.
static tv_err fail_at(const tv_config *config, const char *path, const char *message)
{
    const char *place = tv_setting_place(config, path);
    return tv_fail(TV_EUSAGE, "%s%s%s: %s", place ? place : "", place ? ": " : "", path, message);
}

static tv_err check_schedule(const tv_config *c)
{
    bool wsd = strcmp(c->lr_scheduler.name, "wsd") == 0;
    bool constant = strcmp(c->lr_scheduler.name, "constant") == 0;
    if (wsd && c->lr_scheduler.decay_steps < 1)
        return fail_at(c, "lr_scheduler.decay_steps", "wsd needs at least 1 step to descend in");
    if (!wsd && c->lr_scheduler.decay_steps)
        return fail_at(c, "lr_scheduler.decay_steps", "only lr_scheduler.name wsd uses it");
    if (c->lr_scheduler.warmup_steps > c->trainer.max_steps - c->lr_scheduler.decay_steps)
        return fail_at(c, "lr_scheduler.warmup_steps",
                       wsd ? "warm-up and decay_steps together are longer than trainer.max_steps"
                           : "the warm-up is longer than trainer.max_steps");
    if (!constant && c->lr_scheduler.min_lr > c->optimizer.lr)
        return fail_at(c, "lr_scheduler.min_lr", "is above optimizer.lr");
    return TV_OK;
}

static tv_err check_balance(const tv_config *c)
{
    const tv_word_doubles *balance = &c->trainer.balance;
    double sum = 0;
    for (size_t i = 0; i < balance->list.count; i++)
        sum += balance->list.items[i];
    if (balance->word || sum > 0)
        return TV_OK;
    return fail_at(c, "trainer.balance", "no weight is above 0, so that no rank would take work");
}

// Errors of powersgd are those of gradients that stay whole until they travel.
static tv_err check_compression(const tv_config *c)
{
    const char *strategy = c->trainer.strategy;
    if (!is_powersgd(c) || (strcmp(strategy, "zero2") != 0 && strcmp(strategy, "fsdp") != 0))
        return TV_OK;
    return fail_at(c, "trainer.gradient_compression",
                   "powersgd needs trainer.strategy ddp or zero1; zero2 and fsdp take bf16");
}

// Of a model cut into fragments one is exchanged at a time.
static tv_err check_diloco(const tv_config *c)
{
    if (tv_config_is_diloco(c) && strcmp(c->trainer.gradient_compression, "none") != 0)
        return fail_at(c, "trainer.gradient_compression",
                       "with trainer.strategy diloco no gradients travel; diloco.compression says "
                       "how what travels is packed");
    if (c->diloco.fragments > c->diloco.sync_every_n_steps)
        return fail_at(c, "diloco.fragments", "is above diloco.sync_every_n_steps");
    if (c->diloco.overlap_steps > c->diloco.sync_every_n_steps / c->diloco.fragments)
        return fail_at(c, "diloco.overlap_steps",
                       "an exchange must be over before the next one, after "
                       "diloco.sync_every_n_steps / diloco.fragments steps");
    return TV_OK;
}

static void fill_gpt2(const tv_config *config, tv_model_config *out)
{
    out->layers = (uint32_t)config->model.n_layer;
    out->heads = out->kv_heads = (uint32_t)config->model.n_head;
    out->width = (uint32_t)config->model.n_embd;
    out->inner =
        config->model.n_inner == TV_AUTO ? 4 * out->width : (uint32_t)config->model.n_inner;
    out->positions = (uint32_t)config->model.n_positions;
    out->norm_epsilon = config->model.layer_norm_epsilon;
    out->resid_pdrop = config->model.resid_pdrop;
    out->embd_pdrop = config->model.embd_pdrop;
}

static void fill_llama(const tv_config *config, tv_model_config *out)
{
    out->layers = (uint32_t)config->model.num_hidden_layers;
    out->heads = (uint32_t)config->model.num_attention_heads;
    out->kv_heads = config->model.num_key_value_heads == TV_AUTO
                        ? out->heads
                        : (uint32_t)config->model.num_key_value_heads;
    out->width = (uint32_t)config->model.hidden_size;
    out->inner = (uint32_t)config->model.intermediate_size;
    out->positions = (uint32_t)config->model.max_position_embeddings;
    out->norm_epsilon = config->model.rms_norm_eps;
    out->rope_theta = config->model.rope_theta;
}

static tv_err fill_model(const tv_config *config, tv_model_config *out)
{
    *out = (tv_model_config){
        .type = model_type(config),
        .vocab_size = config->model.vocab_size == TV_AUTO ? 0 : (uint32_t)config->model.vocab_size,
        .tie_embeddings = config->model.tie_word_embeddings,
        .initializer_range = config->model.initializer_range,
        .bos_token_id = -1,
        .eos_token_id = -1,
    };
    if (out->type == TV_MODEL_LLAMA)
        fill_llama(config, out);
    else
        fill_gpt2(config, out);
    TV_TRY(tv_model_config_check(out, "model"));
    out->head_size = out->width / out->heads;
    return TV_OK;
}

static tv_err read_model(const tv_config *config, const char *from_config, tv_model_config *out)
{
    TV_TRY(tv_model_config_read(from_config, out));
    const char *type = tv_model_type_name(out->type);
    if (tv_setting_is_set(config, "model.type") && strcmp(config->model.type, type) != 0)
        return tv_fail(TV_EUSAGE, "%s: model.type: %s, but %s says %s; remove the key",
                       tv_setting_place(config, "model.type"), config->model.type, from_config,
                       type);
    for (size_t i = 0; i < TV_SETTING_COUNT; i++)
        if (config->set_by[i] && is_dropout(tv_settings[i].path) && out->type != TV_MODEL_GPT2)
            return tv_fail(TV_EUSAGE, "%s: %s: %s is a %s, which has no dropout", config->set_by[i],
                           tv_settings[i].path, from_config, type);
    if (tv_setting_is_set(config, "model.resid_pdrop"))
        out->resid_pdrop = config->model.resid_pdrop;
    if (tv_setting_is_set(config, "model.embd_pdrop"))
        out->embd_pdrop = config->model.embd_pdrop;
    return TV_OK;
}

tv_err tv_config_model(const tv_config *config, const char *from_config, tv_model_config *out)
{
    if (config->model.from[0])
        TV_TRY(read_model(config, from_config, out));
    else
        TV_TRY(fill_model(config, out));
    if (config->data.seq_len > (int64_t)out->positions) {
        const char *place = tv_setting_place(config, "data.seq_len");
        return tv_fail(TV_EUSAGE, "%s%sdata.seq_len: %lld is longer than the model's %u positions",
                       place ? place : "", place ? ": " : "", (long long)config->data.seq_len,
                       out->positions);
    }
    return TV_OK;
}

tv_err tv_config_check(const tv_config *config)
{
    tv_model_config model;
    TV_TRY(check_keys(config));
    TV_TRY(check_schedule(config));
    TV_TRY(check_compression(config));
    TV_TRY(check_diloco(config));
    if (config->trainer.micro_batch_size > config->trainer.global_batch_size)
        return fail_at(config, "trainer.micro_batch_size", "is above trainer.global_batch_size");
    TV_TRY(check_balance(config));
    if (config->model.from[0])
        return TV_OK; // its sizes are known once its config.json has been read
    return tv_config_model(config, NULL, &model);
}
