// The curriculum: the list of kinds, one problem, the split, and the files.
#include "data/curriculum.h"

#include "base/file.h"
#include "base/memory.h"
#include "data/exercise.h"
#include "data/exercise_kinds.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

enum {
    HELD_OUT_OF = 10,    // one problem in so many is held out
    DRAWS_MAX = 20000,   // without a problem of the wanted sort: the kind has none
    VAL_OF = 20,         // val.txt has one byte for so many of train.txt, but at most
    VAL_MAX = 256 << 10, // this many
    EXERCISES = 360,     // in exercises.jsonl, over all kinds
};
enum { STREAM_TRAIN, STREAM_VAL, STREAM_EXERCISES };

static const tv_exercise_room *const rooms[] = {&tv_room_numbers, &tv_room_measures, &tv_room_words,
                                                &tv_room_logic};
enum { ROOMS = sizeof rooms / sizeof *rooms };

size_t tv_curriculum_kinds(void)
{
    size_t count = 0;
    for (size_t i = 0; i < ROOMS; i++)
        count += rooms[i]->count;
    return count;
}

static const tv_exercise_kind *get_kind(size_t index)
{
    for (size_t i = 0; i < ROOMS; i++) {
        if (index < rooms[i]->count)
            return &rooms[i]->kinds[index];
        index -= rooms[i]->count;
    }
    tv_bug(__FILE__, __LINE__, "no such kind of exercise");
}

int tv_curriculum_levels(void)
{
    int levels = 0;
    for (size_t i = 0; i < tv_curriculum_kinds(); i++)
        if (get_kind(i)->level > levels)
            levels = get_kind(i)->level;
    return levels;
}

const char *tv_curriculum_kind_name(size_t kind)
{
    return get_kind(kind)->name;
}

int tv_curriculum_kind_level(size_t kind)
{
    return get_kind(kind)->level;
}

static int compare_numbers(const void *a, const void *b)
{
    long x = *(const long *)a, y = *(const long *)b;
    return (x > y) - (x < y);
}

static int compare_words(const void *a, const void *b)
{
    return strcmp(a, b);
}

static void write_content(const tv_exercise_kind *kind, const tv_slots *slots, tv_text *content)
{
    tv_slots sorted = *slots;
    if (kind->any_order) {
        qsort(sorted.n, (size_t)kind->numbers, sizeof *sorted.n, compare_numbers);
        qsort(sorted.s, (size_t)kind->words, sizeof *sorted.s, compare_words);
    }
    tv_text_clear(content);
    tv_text_puts(content, kind->topic);
    for (int i = 0; i < kind->numbers; i++)
        tv_text_printf(content, "|%ld", sorted.n[i]);
    for (int i = 0; i < kind->words; i++)
        tv_text_printf(content, "|%s", sorted.s[i]);
}

static bool is_held_out(const tv_text *content)
{
    return XXH3_64bits(content->data, content->length) % HELD_OUT_OF == 0;
}

// Whether some kind of its topic asks a op b: only then a step can give a problem away.
static bool is_askable(char operation, long a, long b)
{
    long low = a < b ? a : b, high = a < b ? b : a;
    switch (operation) {
    case '+':
        return a + b <= 20 || (low >= 2 && high >= 10 && high <= 99) || (low > 100 && high < 900);
    case '-':
        return a <= 99;
    case '*':
        return low >= 2 && (high <= 12 || (low <= 9 && high <= 99 && high % 10 != 0));
    default:
        return b >= 2 && b <= 12 && a <= 12 * b;
    }
}

// Whether a step "a op b = c" of a solution is a problem that is held out.
static bool states_held_out(const char *solution)
{
    static const char operations[] = "+-*/";
    static const char *const topics[] = {"add", "subtract", "multiply", "divide"};
    bool found = false;
    tv_text content = {0};
    for (const char *at = solution; at && !found; at = strstr(at, ", ")) {
        char *end;
        at += strspn(at, ", ");
        long a = strtol(at, &end, 10), b;
        const char *operation =
            end > at && end[0] == ' ' && end[1] ? strchr(operations, end[1]) : NULL;
        if (!operation || end[2] != ' ')
            continue;
        b = strtol(end + 3, &end, 10);
        bool swap = (*operation == '+' || *operation == '*') && b < a;
        tv_text_clear(&content);
        tv_text_printf(&content, "%s|%ld|%ld", topics[operation - operations], swap ? b : a,
                       swap ? a : b);
        found = is_askable(*operation, a, b) && is_held_out(&content);
    }
    tv_text_finish(&content);
    return found;
}

void tv_curriculum_generate(size_t kind, tv_rng *rng, tv_problem *problem)
{
    const tv_exercise_kind *k = get_kind(kind);
    tv_slots slots = {0};
    uint32_t count = 0;
    k->draw(rng, &slots);
    while (k->phrasings[count])
        count++;
    tv_text_clear(&problem->prompt);
    tv_text_puts(&problem->prompt, "Q: ");
    tv_template_fill(k->phrasings[tv_rng_below(rng, count)], &slots, &problem->prompt);
    tv_text_puts(&problem->prompt, " A:");
    tv_text_clear(&problem->solution);
    bool solved = k->solve(&slots, &problem->solution);
    TV_CHECK(solved, "%s draws what it cannot solve: %s", k->name, problem->prompt.data);
    write_content(k, &slots, &problem->content);
    problem->held_out = !slots.fact && is_held_out(&problem->content);
    problem->states_held_out = states_held_out(problem->solution.data);
}

void tv_problem_finish(tv_problem *problem)
{
    tv_text_finish(&problem->prompt);
    tv_text_finish(&problem->solution);
    tv_text_finish(&problem->content);
}

static const tv_exercise_kind *find_kind(const char *name)
{
    for (size_t i = 0; i < tv_curriculum_kinds(); i++)
        if (strcmp(get_kind(i)->name, name) == 0)
            return get_kind(i);
    return NULL;
}

bool tv_curriculum_check(const char *kind, const char *prompt, const char *answer)
{
    const tv_exercise_kind *k = find_kind(kind);
    if (!k || !tv_starts_with(prompt, "Q: ") || !tv_ends_with(prompt, " A:"))
        return false;
    tv_text question = {0}, solution = {0};
    tv_slots slots;
    bool right = false;
    tv_text_append(&question, prompt + 3, strlen(prompt) - 6);
    for (size_t i = 0; k->phrasings[i] && !right; i++) {
        tv_text_clear(&solution);
        if (!tv_template_match(k->phrasings[i], question.data, &slots) ||
            !k->solve(&slots, &solution))
            continue;
        size_t length;
        const char *final = tv_exercise_final(solution.data, &length);
        tv_text expected = {0};
        tv_text_append(&expected, final, length);
        right = tv_exercise_match(answer, expected.data);
        tv_text_finish(&expected);
    }
    tv_text_finish(&question);
    tv_text_finish(&solution);
    return right;
}

// The kinds of a level (0: all) that have problems of the wanted sort.
typedef struct choice {
    size_t *kinds;
    size_t count;
} choice;

// Draws until the problem belongs where it is wanted; false where the kind has none such.
static bool draw_problem(size_t kind, bool held_out, tv_rng *rng, tv_problem *problem)
{
    for (int i = 0; i < DRAWS_MAX; i++) {
        tv_curriculum_generate(kind, rng, problem);
        if (problem->held_out == held_out && (held_out || !problem->states_held_out))
            return true;
    }
    return false;
}

static choice choose_kinds(int level, bool held_out)
{
    choice chosen = {tv_alloc(tv_curriculum_kinds(), sizeof(size_t)), 0};
    tv_problem problem = {0};
    for (size_t i = 0; i < tv_curriculum_kinds(); i++) {
        tv_rng rng = tv_rng_init(0, i);
        if ((level == 0 || get_kind(i)->level == level) &&
            draw_problem(i, held_out, &rng, &problem))
            chosen.kinds[chosen.count++] = i;
    }
    tv_problem_finish(&problem);
    return chosen;
}

static tv_err write_lines(tv_writer *file, const tv_curriculum_options *options, bool held_out,
                          uint64_t size, uint64_t *bytes, uint64_t *lines)
{
    choice chosen = choose_kinds(options->level, held_out);
    tv_rng rng = tv_rng_init(options->seed, held_out ? STREAM_VAL : STREAM_TRAIN);
    tv_problem problem = {0};
    tv_text line = {0};
    tv_err err = TV_OK;
    *bytes = *lines = 0;
    while (err == TV_OK) {
        size_t kind = chosen.kinds[tv_rng_below(&rng, (uint32_t)chosen.count)];
        bool found = draw_problem(kind, held_out, &rng, &problem);
        TV_CHECK(found, "no more problems of kind %s", get_kind(kind)->name);
        tv_text_clear(&line);
        tv_text_printf(&line, "%s %s\n", problem.prompt.data, problem.solution.data);
        if (*bytes + line.length > size)
            break;
        err = tv_writer_write(file, line.data, line.length);
        *bytes += line.length;
        ++*lines;
    }
    tv_problem_finish(&problem);
    tv_text_finish(&line);
    tv_free(chosen.kinds);
    return err;
}

static bool was_seen(const uint64_t *seen, size_t count, uint64_t hash)
{
    for (size_t i = 0; i < count; i++)
        if (seen[i] == hash)
            return true;
    return false;
}

static tv_err write_exercise(tv_writer *file, size_t kind, const tv_problem *problem)
{
    size_t length;
    const char *final = tv_exercise_final(problem->solution.data, &length);
    tv_text line = {0};
    tv_text_printf(&line, "{\"kind\": \"%s\", \"level\": %d, \"prompt\": ", get_kind(kind)->name,
                   get_kind(kind)->level);
    tv_text_json_string(&line, problem->prompt.data, problem->prompt.length);
    tv_text_puts(&line, ", \"answer\": ");
    tv_text_json_string(&line, final, length);
    tv_text_puts(&line, "}\n");
    tv_err err = tv_writer_write(file, line.data, line.length);
    tv_text_finish(&line);
    return err;
}

// Held-out problems, each once, the same number of each kind as far as it has so many.
static tv_err write_exercises(tv_writer *file, const tv_curriculum_options *options, size_t *count)
{
    choice chosen = choose_kinds(options->level, true);
    size_t each = EXERCISES / chosen.count;
    uint64_t *seen = tv_alloc(each, sizeof *seen);
    tv_problem problem = {0};
    tv_err err = TV_OK;
    *count = 0;
    for (size_t i = 0; i < chosen.count && err == TV_OK; i++) {
        size_t found = 0;
        tv_rng rng = tv_rng_init(options->seed, STREAM_EXERCISES + i);
        for (int draws = 0; draws < DRAWS_MAX && found < each && err == TV_OK; draws++) {
            tv_curriculum_generate(chosen.kinds[i], &rng, &problem);
            uint64_t hash = XXH3_64bits(problem.content.data, problem.content.length);
            if (!problem.held_out || was_seen(seen, found, hash))
                continue;
            seen[found++] = hash;
            err = write_exercise(file, chosen.kinds[i], &problem);
        }
        *count += found;
    }
    tv_problem_finish(&problem);
    tv_free(seen);
    tv_free(chosen.kinds);
    return err;
}

static tv_err write_readme(tv_writer *file, const tv_curriculum_options *options,
                           const tv_curriculum_summary *summary)
{
    tv_text text = {0}, level = {0};
    if (options->level)
        tv_text_printf(&level, "%d", options->level);
    else
        tv_text_puts(&level, "all");
    tv_text_printf(
        &text,
        "Trivium's curriculum: exercises with worked answers, made by a program.\n"
        "seed %" PRIu64 ", level %s\n\n"
        "train.txt        %" PRIu64 " problems, %" PRIu64 " bytes\n"
        "val.txt          %" PRIu64 " problems that are held out: none of them is in train.txt,\n"
        "                 in whatever words\n"
        "exercises.jsonl  %zu of the held-out problems, each once, to be answered by a model\n\n"
        "A line is a prompt that ends in \"A:\", a space, and the solution. The answer is what\n"
        "follows \"#### \", or the whole solution where that mark is missing.\n"
        "The same seed, size and level give the same files.\n",
        options->seed, level.data, summary->train_lines, summary->train_bytes, summary->val_lines,
        summary->exercises);
    tv_err err = tv_writer_write(file, text.data, text.length);
    tv_text_finish(&text);
    tv_text_finish(&level);
    return err;
}

enum { FILE_TRAIN, FILE_VAL, FILE_EXERCISES, FILE_README, FILES };

static tv_err write_files(tv_writer *files[FILES], const tv_curriculum_options *options,
                          tv_curriculum_summary *summary)
{
    uint64_t val = options->size / VAL_OF;
    val = val < TV_CURRICULUM_SIZE_MIN ? TV_CURRICULUM_SIZE_MIN : val > VAL_MAX ? VAL_MAX : val;
    TV_TRY(write_lines(files[FILE_TRAIN], options, false, options->size, &summary->train_bytes,
                       &summary->train_lines));
    TV_TRY(
        write_lines(files[FILE_VAL], options, true, val, &summary->val_bytes, &summary->val_lines));
    TV_TRY(write_exercises(files[FILE_EXERCISES], options, &summary->exercises));
    return write_readme(files[FILE_README], options, summary);
}

tv_err tv_curriculum_write(const char *directory, const tv_curriculum_options *options,
                           tv_curriculum_summary *summary)
{
    static const char *const names[FILES] = {"train.txt", "val.txt", "exercises.jsonl",
                                             "README.txt"};
    if (options->size < TV_CURRICULUM_SIZE_MIN)
        return tv_fail(TV_EUSAGE, "a curriculum of %" PRIu64 " bytes is too small; at least %d",
                       options->size, TV_CURRICULUM_SIZE_MIN);
    if (options->level < 0 || options->level > tv_curriculum_levels())
        return tv_fail(TV_EUSAGE, "no level %d; there are 1 to %d, or all", options->level,
                       tv_curriculum_levels());
    tv_writer *files[FILES] = {0};
    tv_text path = {0};
    *summary = (tv_curriculum_summary){0};
    tv_err err = tv_make_dirs(directory);
    for (int i = 0; i < FILES && err == TV_OK; i++)
        err = tv_writer_open(tv_path_join(&path, directory, names[i]), &files[i]);
    if (err == TV_OK)
        err = write_files(files, options, summary);
    for (int i = 0; i < FILES; i++) {
        if (err == TV_OK)
            err = tv_writer_commit(&files[i]);
        tv_writer_abandon(&files[i]);
    }
    tv_text_finish(&path);
    for (size_t i = 0; i < tv_curriculum_kinds(); i++)
        summary->kinds += options->level == 0 || get_kind(i)->level == options->level;
    return err;
}
