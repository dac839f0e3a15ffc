// trivium validate: the loss of a model, and its accuracy on exercises.
#include "cmd.h"

#include "base/file.h"
#include "base/log.h"
#include "base/text.h"
#include "train/evaluate.h"
#include "train/run_dir.h"

#include <math.h>
#include <stdio.h>

static const char help[] =
    "usage: trivium validate MODEL --data DIR [--exercises] [--seq-len T] [--max-tokens N]\n"
    "                        [--limit N] [--show N] [--json] [--device D] [--mask M]\n"
    "\n"
    "Prints the mean loss (nats per token) and the perplexity of MODEL (a run, a checkpoint or a\n"
    "Hugging Face folder) over token shards. DIR is a folder of shards, or one that `trivium\n"
    "prepare` wrote: then its val part is used.\n"
    "\n"
    "  --exercises       also asks the curriculum's held-out problems (DIR/exercises.jsonl) and\n"
    "                    prints the share of exactly right answers\n"
    "  --limit N         asks N of them, spread evenly (0: all)\n"
    "  --show N          prints N of them, spread evenly, with the model's answers\n"
    "  --seq-len T       tokens per sequence (as trained, or the model's whole context)\n"
    "  --max-tokens N    at most about N tokens of the data (0: all)\n"
    "  --json            one JSON object on stdout\n"
    "  --no-selftest     does not check first that the device computes correctly\n";

typedef struct request {
    const char *model, *data, *device, *mask;
    uint64_t seq_len, max_tokens, limit, show;
    bool exercises, json;
} request;

typedef struct outcome {
    tv_evaluation loss;
    size_t asked, correct;
} outcome;

// Which of `count` answers are shown: `wanted` of them, spread evenly.
typedef struct shown {
    uint64_t wanted, count, index;
    FILE *out;
} shown;

static void show_answer(void *context, const tv_exercise *exercise, const char *written,
                        bool correct)
{
    shown *s = context;
    uint64_t i = s->index++;
    if ((i + 1) * s->wanted / s->count == i * s->wanted / s->count)
        return;
    fprintf(s->out, "%s%s   [%s%s%s]\n", exercise->prompt, written, correct ? "right" : "wrong",
            correct ? "" : ", expected ", correct ? "" : exercise->answer);
}

static tv_err ask(const request *r, const char *folder, tv_device *device, outcome *out)
{
    tv_text path = {0};
    tv_exercises exercises = {0};
    tv_generator *generator = NULL;
    shown s = {.wanted = r->show, .out = r->json ? stderr : stdout};
    tv_path_join(&path, r->data, "exercises.jsonl");
    tv_err err = tv_exercises_load(path.data, &exercises);
    s.count = r->limit && r->limit < exercises.count ? r->limit : exercises.count;
    if (err == TV_OK)
        err = tv_generator_open(folder, device, &generator);
    if (err == TV_OK)
        err = tv_evaluate_exercises(generator, &exercises, r->limit, show_answer, &s, &out->asked,
                                    &out->correct);
    tv_generator_close(&generator);
    tv_exercises_finish(&exercises);
    tv_text_finish(&path);
    return err;
}

static void print_outcome(const request *r, const outcome *out)
{
    double perplexity = exp(out->loss.loss), accuracy = (double)out->correct / (double)out->asked;
    if (r->json) {
        printf("{\"loss\": %.9g, \"perplexity\": %.9g, \"tokens\": %llu, \"seq_len\": %u",
               out->loss.loss, perplexity, (unsigned long long)out->loss.tokens, out->loss.seq_len);
        if (r->exercises)
            printf(", \"exercises\": %zu, \"correct\": %zu, \"accuracy\": %.6f", out->asked,
                   out->correct, accuracy);
        puts("}");
        return;
    }
    printf("loss %.4f nats per token, perplexity %.3f (%llu tokens, sequences of %u)\n",
           out->loss.loss, perplexity, (unsigned long long)out->loss.tokens, out->loss.seq_len);
    if (r->exercises)
        printf("exercises: %zu of %zu exactly right (%.1f %%)\n", out->correct, out->asked,
               100 * accuracy);
}

static tv_err run(const request *r)
{
    tv_text folder = {0}, data = {0};
    tv_device *device = NULL;
    outcome out = {0};
    if (!tv_path_is_dir(tv_path_join(&data, r->data, "val"))) {
        tv_text_clear(&data);
        tv_text_puts(&data, r->data);
    }
    tv_err err = tv_model_folder(r->model, &folder);
    if (err == TV_OK)
        err = tv_device_open(r->device, r->mask, &device);
    if (err == TV_OK)
        err = tv_evaluate_loss(folder.data, data.data, (uint32_t)r->seq_len, r->max_tokens, device,
                               &out.loss);
    if (err == TV_OK && r->exercises)
        err = ask(r, folder.data, device, &out);
    if (err == TV_OK)
        print_outcome(r, &out);
    tv_device_close(&device);
    tv_text_finish(&folder);
    tv_text_finish(&data);
    return err;
}

int cmd_validate(int argc, char **argv)
{
    request r = {0};
    const char *counts[4] = {0};
    uint64_t *const values[4] = {&r.seq_len, &r.max_tokens, &r.limit, &r.show};
    bool done;
    int count;
    const cmd_option options[] = {
        {.name = "seq-len", .value = &counts[0]}, {.name = "max-tokens", .value = &counts[1]},
        {.name = "limit", .value = &counts[2]},   {.name = "show", .value = &counts[3]},
        {.name = "data", .value = &r.data},       {.name = "device", .value = &r.device},
        {.name = "mask", .value = &r.mask},       {.name = "exercises", .flag = &r.exercises},
        {.name = "json", .flag = &r.json},        CMD_NO_SELFTEST};
    tv_err err =
        cmd_parse(argc, argv, options, sizeof options / sizeof *options, help, &count, &done);
    if (err != TV_OK || done)
        return cmd_finish(err);
    for (int i = 0; i < 4; i++)
        if (counts[i] && (!tv_parse_u64(counts[i], values[i]) || *values[i] > UINT32_MAX))
            return cmd_finish(tv_fail(TV_EUSAGE, "--%s: expected an integer from 0 to %u, got '%s'",
                                      options[i].name, UINT32_MAX, counts[i]));
    if (count != 1 || !r.data)
        return cmd_finish(tv_fail(TV_EUSAGE, "trivium validate needs one MODEL and --data DIR; see "
                                             "trivium validate --help"));
    r.model = argv[1];
    return cmd_finish(run(&r));
}
