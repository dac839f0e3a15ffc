// trivium generate: text from a model.
#include "cmd.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/stop.h"
#include "base/text.h"
#include "train/generator.h"
#include "train/run_dir.h"

#include <stdio.h>
#include <string.h>

static const char help[] =
    "usage: trivium generate MODEL [--prompt TEXT] [--max-tokens N] [--greedy | --temperature T\n"
    "                        --top-k K --top-p P --seed S] [--device D] [--mask M]\n"
    "\n"
    "Continues TEXT and prints both on stdout; tokens per second go to stderr. MODEL is a run, a\n"
    "checkpoint or a Hugging Face folder. An empty prompt starts from the model's BOS token.\n"
    "\n"
    "  --max-tokens N    new tokens at most (256)\n"
    "  --greedy          always the most likely token\n"
    "  --temperature T   flattens (above 1) or sharpens (below 1) the distribution (0.8)\n"
    "  --top-k K         draws among the K likeliest tokens only (0: all)\n"
    "  --top-p P         draws among the likeliest tokens that together have probability P (1)\n"
    "  --seed S          the same seed gives the same text (1)\n"
    "  --device D        auto, an index of `trivium devices`, a UUID, or a part of a name\n"
    "  --no-selftest     does not check first that the device computes correctly\n"
    "  --quiet           no speed line\n";

typedef struct request {
    const char *prompt;
    uint64_t max_tokens;
    tv_sampling sampling;
} request;

// Option values as they were given, NULL where they were not.
typedef struct option_texts {
    const char *prompt, *max_tokens, *temperature, *top_k, *top_p, *seed;
    bool greedy;
} option_texts;

static tv_err parse_count(const char *name, const char *text, uint64_t low, uint64_t high,
                          uint64_t *value)
{
    if (text && (!tv_parse_u64(text, value) || *value < low || *value > high))
        return tv_fail(TV_EUSAGE, "--%s: expected an integer from %llu to %llu, got '%s'", name,
                       (unsigned long long)low, (unsigned long long)high, text);
    return TV_OK;
}

static tv_err parse_number(const char *name, const char *text, double low, double high,
                           double *value)
{
    if (text && (!tv_parse_double(text, value) || *value < low || *value > high))
        return tv_fail(TV_EUSAGE, "--%s: expected a number from %g to %g, got '%s'", name, low,
                       high, text);
    return TV_OK;
}

static tv_err parse_request(const option_texts *o, request *r)
{
    uint64_t top_k = 0;
    *r = (request){.prompt = o->prompt ? o->prompt : "",
                   .max_tokens = 256,
                   .sampling = {.temperature = 0.8, .top_p = 1, .seed = 1}};
    if (o->greedy && (o->temperature || o->top_k || o->top_p || o->seed))
        return tv_fail(TV_EUSAGE, "--greedy leaves nothing to --temperature, --top-k, --top-p or "
                                  "--seed; give one or the other");
    TV_TRY(parse_count("max-tokens", o->max_tokens, 1, UINT32_MAX, &r->max_tokens));
    TV_TRY(parse_number("temperature", o->temperature, 0, 1000, &r->sampling.temperature));
    TV_TRY(parse_count("top-k", o->top_k, 0, UINT32_MAX, &top_k));
    TV_TRY(parse_number("top-p", o->top_p, 0, 1, &r->sampling.top_p));
    TV_TRY(parse_count("seed", o->seed, 0, INT64_MAX, &r->sampling.seed));
    r->sampling.top_k = (uint32_t)top_k;
    if (o->greedy)
        r->sampling.temperature = 0;
    return TV_OK;
}

// Prints what is whole UTF-8, with U+FFFD for bytes that are none, and keeps what the next token
// may complete (not where it is the `last`).
static void print_whole(tv_text *pending, bool last)
{
    size_t whole = 0;
    while (whole < pending->length) {
        size_t left = pending->length - whole;
        const uint8_t *at = (const uint8_t *)pending->data + whole;
        size_t n = tv_utf8_next(at, left, NULL);
        if (n == 0 && !last && left < 4 && *at >= 0xC2)
            break; // perhaps the start of a sequence
        if (n)
            fwrite(at, 1, n, stdout);
        else
            fputs("\xEF\xBF\xBD", stdout);
        whole += n ? n : 1;
    }
    fflush(stdout);
    if (whole == 0)
        return;
    memmove(pending->data, pending->data + whole, pending->length - whole + 1);
    pending->length -= whole;
}

static tv_err generate(tv_generator *generator, const request *r)
{
    const tv_tokenizer *tokenizer = tv_generator_tokenizer(generator);
    const tv_model_config *config = tv_generator_config(generator);
    tv_ids ids = {0};
    tv_text pending = {0};
    const float *logits;
    bool bos = r->prompt[0] == 0 || tv_tokenizer_starts_with_bos(tokenizer);
    tv_tokenizer_encode(tokenizer, r->prompt, strlen(r->prompt), bos, &ids);
    double start = tv_now_seconds();
    tv_err err = tv_generator_feed(generator, ids.ids, ids.count, &logits);
    double fed = tv_now_seconds();
    size_t prompt_tokens = ids.count, made = 0;
    uint32_t previous = ids.ids[ids.count - 1];
    tv_ids_finish(&ids);
    if (err == TV_OK)
        fputs(r->prompt, stdout);
    while (err == TV_OK && made < r->max_tokens && !tv_stop_requested()) {
        uint32_t token =
            tv_sample(logits, config->vocab_size, &r->sampling, tv_generator_position(generator));
        if (token == tv_tokenizer_eos(tokenizer) || (int64_t)token == config->eos_token_id)
            break;
        tv_tokenizer_decode(tokenizer, previous, token, &pending);
        print_whole(&pending, false);
        previous = token;
        made++;
        if (tv_generator_position(generator) == config->positions) {
            tv_warn("stopped: the model's context of %u tokens is full", config->positions);
            break;
        }
        err = tv_generator_feed(generator, &token, 1, &logits);
    }
    double end = tv_now_seconds();
    if (err == TV_OK) {
        print_whole(&pending, true);
        putchar('\n');
        fflush(stdout);
        tv_info("%zu tokens, %.1f tokens/s (prompt: %zu tokens, %.1f tokens/s)", made,
                (double)made / (end - fed), prompt_tokens, (double)prompt_tokens / (fed - start));
    }
    tv_text_finish(&pending);
    return err;
}

static tv_err run(const char *model, const char *device_name, const char *mask, const request *r)
{
    tv_text folder = {0};
    tv_device *device = NULL;
    tv_generator *generator = NULL;
    tv_err err = tv_model_folder(model, &folder);
    if (err == TV_OK)
        err = tv_device_open(device_name, mask, &device);
    if (err == TV_OK)
        err = tv_generator_open(folder.data, device, &generator);
    if (err == TV_OK)
        err = generate(generator, r);
    tv_generator_close(&generator);
    tv_device_close(&device);
    tv_text_finish(&folder);
    return err;
}

int cmd_generate(int argc, char **argv)
{
    option_texts o = {0};
    const char *device = NULL, *mask = NULL;
    bool done;
    int count;
    const cmd_option options[] = {
        {.name = "prompt", .value = &o.prompt}, {.name = "max-tokens", .value = &o.max_tokens},
        {.name = "greedy", .flag = &o.greedy},  {.name = "temperature", .value = &o.temperature},
        {.name = "top-k", .value = &o.top_k},   {.name = "top-p", .value = &o.top_p},
        {.name = "seed", .value = &o.seed},     {.name = "device", .value = &device},
        {.name = "mask", .value = &mask},       CMD_NO_SELFTEST};
    request r;
    tv_err err =
        cmd_parse(argc, argv, options, sizeof options / sizeof *options, help, &count, &done);
    if (err != TV_OK || done)
        return cmd_finish(err);
    if (count != 1)
        return cmd_finish(tv_fail(TV_EUSAGE, "trivium generate needs one MODEL; see trivium "
                                             "generate --help"));
    err = parse_request(&o, &r);
    if (err == TV_OK) {
        tv_stop_install();
        err = run(argv[1], device, mask, &r);
    }
    return cmd_finish(err);
}
