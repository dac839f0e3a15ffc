// Tests of data/curriculum: the split into training and validation, and the files.
#include "base/file.h"
#include "base/memory.h"
#include "base/rng.h"
#include "data/curriculum.h"
#include "data/exercise.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cmocka.h>

#define COUNT(array) (sizeof(array) / sizeof *(array))

typedef struct fixture {
    char directory[64];
} fixture;

static int setup(void **state)
{
    fixture *f = tv_alloc(1, sizeof *f);
    strcpy(f->directory, "/tmp/trivium-corpus-XXXXXX");
    *state = f;
    return mkdtemp(f->directory) ? 0 : -1;
}

static int teardown(void **state)
{
    fixture *f = *state;
    tv_err err = tv_remove_tree(f->directory);
    tv_free(f);
    return err == TV_OK ? 0 : -1;
}

static size_t kind_named(const char *name)
{
    for (size_t i = 0; i < tv_curriculum_kinds(); i++)
        if (strcmp(tv_curriculum_kind_name(i), name) == 0)
            return i;
    fail_msg("no kind %s", name);
    return 0;
}

// The first two numbers of a prompt.
static void read_two(const char *prompt, long n[2])
{
    const char *at = prompt;
    for (int i = 0; i < 2; i++) {
        char *end;
        at += strcspn(at, "0123456789");
        n[i] = strtol(at, &end, 10);
        assert_true(end > at);
        at = end;
    }
}

// A problem is held out or not whatever its words, its order and its kind: told by its numbers.
static void test_the_split_follows_the_numbers(void **state)
{
    (void)state;
    enum { MOST = 1000 };
    static const char *const topics[][3] = {{"add", "add_large", "long_add"},
                                            {"subtract", "subtract_large", NULL},
                                            {"multiply", "long_multiply", NULL},
                                            {"divide", NULL, NULL}};
    uint8_t *known = tv_alloc((size_t)MOST * MOST, 1); // 1 in training, 2 held out
    tv_problem problem = {0};
    for (size_t t = 0; t < COUNT(topics); t++) {
        size_t distinct[3] = {0}, again = 0;
        memset(known, 0, (size_t)MOST * MOST);
        for (size_t k = 0; k < 3 && topics[t][k]; k++) {
            size_t kind = kind_named(topics[t][k]);
            tv_rng rng = tv_rng_init(29, k);
            for (int round = 0; round < 20000; round++) {
                tv_curriculum_generate(kind, &rng, &problem);
                long n[2];
                read_two(problem.prompt.data, n);
                uint8_t side = problem.held_out ? 2 : 1;
                uint8_t *seen = &known[n[n[1] > n[0]] * MOST + n[n[1] <= n[0]]]; // larger, smaller
                again += *seen != 0;
                distinct[side] += *seen == 0;
                assert_true(*seen == 0 || *seen == side);
                *seen = side;
            }
        }
        assert_true(again > 1000); // the same problem came in several phrasings
        double part = (double)distinct[2] / (double)(distinct[1] + distinct[2]);
        assert_true(part > 0.04 && part < 0.18);
    }
    tv_problem_finish(&problem);
    tv_free(known);
}

typedef struct sided_prompt {
    char *prompt;
    bool held_out;
} sided_prompt;

static int compare_prompts(const void *a, const void *b)
{
    return strcmp(((const sided_prompt *)a)->prompt, ((const sided_prompt *)b)->prompt);
}

// Kinds whose texts coincide must agree on the side.
static void test_equal_prompts_are_on_one_side(void **state)
{
    (void)state;
    enum { EACH = 2000 };
    size_t count = tv_curriculum_kinds() * EACH, equal = 0;
    sided_prompt *all = tv_alloc(count, sizeof *all);
    tv_problem problem = {0};
    for (size_t i = 0; i < count; i++) {
        tv_rng rng = tv_rng_init(31, i);
        tv_curriculum_generate(i / EACH, &rng, &problem);
        all[i] = (sided_prompt){tv_strdup(problem.prompt.data), problem.held_out};
    }
    qsort(all, count, sizeof *all, compare_prompts);
    for (size_t i = 1; i < count; i++) {
        if (strcmp(all[i - 1].prompt, all[i].prompt) != 0)
            continue;
        equal++;
        if (all[i - 1].held_out != all[i].held_out)
            fail_msg("on both sides: %s", all[i].prompt);
    }
    assert_true(equal > 1000);
    for (size_t i = 0; i < count; i++)
        tv_free(all[i].prompt);
    tv_free(all);
    tv_problem_finish(&problem);
}

static void write_corpus(const fixture *f, const char *name, uint64_t size, uint64_t seed,
                         int level)
{
    tv_text path = {0};
    tv_curriculum_summary summary;
    const tv_curriculum_options options = {size, seed, level};
    assert_int_equal(
        tv_curriculum_write(tv_path_join(&path, f->directory, name), &options, &summary), TV_OK);
    assert_in_range(summary.train_bytes, size - 200, size);
    tv_text_finish(&path);
}

static char *read_text(const fixture *f, const char *name)
{
    tv_text path = {0};
    uint8_t *data;
    size_t size;
    assert_int_equal(tv_file_read(tv_path_join(&path, f->directory, name), 1 << 28, &data, &size),
                     TV_OK);
    tv_text_finish(&path);
    return (char *)data;
}

static void test_same_options_same_files(void **state)
{
    const fixture *f = *state;
    static const char *const files[] = {"train.txt", "val.txt", "exercises.jsonl", "README.txt"};
    write_corpus(f, "one", 100000, 4, 0);
    write_corpus(f, "two", 100000, 4, 0);
    write_corpus(f, "other", 100000, 5, 0);
    for (size_t i = 0; i < COUNT(files); i++) {
        tv_text a = {0}, b = {0}, c = {0};
        tv_path_join(&a, "one", files[i]);
        tv_path_join(&b, "two", files[i]);
        tv_path_join(&c, "other", files[i]);
        char *one = read_text(f, a.data), *two = read_text(f, b.data),
             *other = read_text(f, c.data);
        assert_string_equal(one, two);
        assert_string_not_equal(one, other);
        tv_free(one);
        tv_free(two);
        tv_free(other);
        tv_text_finish(&a);
        tv_text_finish(&b);
        tv_text_finish(&c);
    }
}

static int compare_lines(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

// Cuts `text` into lines, sorted.
static char **sort_lines(char *text, size_t *count)
{
    char **lines = NULL;
    size_t capacity = 0;
    *count = 0;
    for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n")) {
        TV_RESERVE(lines, capacity, *count + 1);
        lines[(*count)++] = line;
    }
    qsort(lines, *count, sizeof *lines, compare_lines);
    return lines;
}

static void test_validation_is_not_in_training(void **state)
{
    const fixture *f = *state;
    tv_text path = {0};
    tv_exercises exercises;
    write_corpus(f, "large", 4 << 20, 1, 0);
    char *train = read_text(f, "large/train.txt"), *val = read_text(f, "large/val.txt");
    // Held-out sums are nowhere stated, be it as a step of another problem.
    tv_path_join(&path, f->directory, "large/exercises.jsonl");
    assert_int_equal(tv_exercises_load(path.data, &exercises), TV_OK);
    size_t sums = 0;
    for (size_t i = 0; i < exercises.count; i++) {
        const tv_exercise *e = &exercises.items[i];
        if (strcmp(e->kind, "add") != 0 && strcmp(e->kind, "add_large") != 0)
            continue;
        long n[2];
        read_two(e->prompt, n);
        for (int swapped = 0; swapped < 2; swapped++) {
            tv_text stated = {0};
            tv_text_printf(&stated, " %ld + %ld = %ld", n[swapped], n[1 - swapped], n[0] + n[1]);
            assert_null(strstr(train, stated.data));
            tv_text_clear(&stated);
            tv_text_printf(&stated, " %ld plus %ld =", n[swapped], n[1 - swapped]);
            assert_null(strstr(train, stated.data));
            tv_text_finish(&stated);
        }
        sums++;
    }
    assert_true(sums >= 10);
    size_t train_count, val_count;
    char **train_lines = sort_lines(train, &train_count), **val_lines = sort_lines(val, &val_count);
    assert_true(train_count > 50000 && val_count > 1000);
    for (size_t i = 0; i < val_count; i++)
        assert_null(
            bsearch(&val_lines[i], train_lines, train_count, sizeof *train_lines, compare_lines));
    tv_free(train_lines);
    tv_free(val_lines);
    tv_free(train);
    tv_free(val);
    tv_exercises_finish(&exercises);
    tv_text_finish(&path);
}

static void test_exercises_are_few_hundred_and_right(void **state)
{
    const fixture *f = *state;
    for (int level = 0; level <= 4; level++) {
        tv_exercises exercises;
        tv_text path = {0}, name = {0};
        tv_text_printf(&name, "level%d", level);
        write_corpus(f, name.data, 50000, 1, level);
        tv_text_printf(&path, "%s/%s/exercises.jsonl", f->directory, name.data);
        assert_int_equal(tv_exercises_load(path.data, &exercises), TV_OK);
        assert_in_range(exercises.count, 100, 400);
        for (size_t i = 0; i < exercises.count; i++) {
            const tv_exercise *e = &exercises.items[i];
            assert_true(level == 0 || e->level == level);
            assert_true(tv_curriculum_check(e->kind, e->prompt, e->answer));
            assert_true(tv_exercise_match(e->answer, e->answer));
            for (size_t j = 0; j < i; j++)
                assert_string_not_equal(e->prompt, exercises.items[j].prompt);
        }
        tv_exercises_finish(&exercises);
        tv_text_finish(&path);
        tv_text_finish(&name);
    }
}

static void test_what_cannot_be_written(void **state)
{
    const fixture *f = *state;
    static const tv_curriculum_options bad[] = {
        {0, 1, 1}, {4095, 1, 1}, {8192, 1, -1}, {8192, 1, 5}};
    tv_curriculum_summary summary;
    tv_text path = {0};
    tv_path_join(&path, f->directory, "bad");
    for (size_t i = 0; i < COUNT(bad); i++)
        assert_int_equal(tv_curriculum_write(path.data, &bad[i], &summary), TV_EUSAGE);
    assert_false(tv_path_exists(path.data));
    const tv_curriculum_options good = {1 << 20, 1, 0};
    assert_int_equal(tv_curriculum_write("/dev/null/corpus", &good, &summary), TV_EIO);

    struct rlimit old, small; // a disk that is full after 100 kB
    void (*handler)(int) = signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
    small = old;
    small.rlim_cur = 100000;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    tv_err err = tv_curriculum_write(path.data, &good, &summary);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
    signal(SIGXFSZ, handler);
    assert_int_equal(err, TV_ENOSPC);
    tv_names names;
    assert_int_equal(tv_list_dir(path.data, &names), TV_OK);
    assert_int_equal(names.count, 0); // nothing half-written
    tv_names_finish(&names);
    tv_text_finish(&path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_split_follows_the_numbers),
        cmocka_unit_test(test_equal_prompts_are_on_one_side),
        cmocka_unit_test(test_same_options_same_files),
        cmocka_unit_test(test_validation_is_not_in_training),
        cmocka_unit_test(test_exercises_are_few_hundred_and_right),
        cmocka_unit_test(test_what_cannot_be_written),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
