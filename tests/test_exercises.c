// Tests of the curriculum's exercises: every answer against an independent solution of its prompt,
// worked steps, number words, and the checker.
#include "base/memory.h"
#include "base/rng.h"
#include "data/curriculum.h"
#include "data/exercise.h"

#include <ctype.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define COUNT(array) (sizeof(array) / sizeof *(array))

// What a prompt says, read without knowing its phrasing: its numbers and its words, in order.
typedef struct reading {
    long n[16];
    size_t numbers;
    char words[40][24];
    size_t count;
} reading;

static reading read_prompt(const char *prompt)
{
    reading r = {0};
    for (const char *at = prompt; *at;) {
        if (isdigit((unsigned char)*at)) {
            char *end;
            r.n[r.numbers++] = strtol(at, &end, 10);
            at = end;
        } else if (isalpha((unsigned char)*at)) {
            size_t length = 0;
            while (isalpha((unsigned char)at[length]))
                length++;
            assert_true(length < sizeof r.words[0] && r.count < COUNT(r.words));
            memcpy(r.words[r.count++], at, length);
            at += length;
        } else {
            at++;
        }
        assert_true(r.numbers < COUNT(r.n));
    }
    return r;
}

static size_t find_word(const reading *r, const char *word) // SIZE_MAX if it is not there
{
    for (size_t i = 0; i < r->count; i++)
        if (strcmp(r->words[i], word) == 0)
            return i;
    return SIZE_MAX;
}

static bool has(const reading *r, const char *word)
{
    return find_word(r, word) != SIZE_MAX;
}

static void put(tv_text *text, long number)
{
    tv_text_printf(text, "%ld", number);
}

static long low(const reading *r)
{
    return r->n[0] < r->n[1] ? r->n[0] : r->n[1];
}

static long high(const reading *r)
{
    return r->n[0] + r->n[1] - low(r);
}

static void sum(const reading *r, tv_text *out)
{
    put(out, r->n[0] + r->n[1]);
}

static void difference(const reading *r, tv_text *out)
{
    put(out, high(r) - low(r));
}

static void product(const reading *r, tv_text *out)
{
    put(out, r->n[0] * r->n[1]);
}

static void quotient(const reading *r, tv_text *out)
{
    put(out, high(r) / low(r));
}

static void larger_or_smaller(const reading *r, tv_text *out)
{
    put(out, has(r, "larger") ? high(r) : low(r));
}

static void yes_if_so(const reading *r, tv_text *out)
{
    bool first_is_more = r->n[0] > r->n[1];
    tv_text_puts(out, first_is_more == has(r, "more") ? "yes" : "no");
}

static void even_or_odd(const reading *r, tv_text *out)
{
    tv_text_puts(out, r->n[0] & 1 ? "odd" : "even");
}

static void next_of_three(const reading *r, tv_text *out)
{
    put(out, r->n[2] + (r->n[2] - r->n[0]) / 2);
}

static void next_of_four(const reading *r, tv_text *out)
{
    const long *n = r->n;
    bool factors = n[1] * n[1] == n[0] * n[2] && n[2] * n[2] == n[1] * n[3];
    put(out, factors ? n[3] * n[3] / n[2] : 3 * n[3] - 3 * n[2] + n[1]); // else differences
}

static void part_of(const reading *r, tv_text *out)
{
    static const char *const parts[] = {"half", "third", "quarter", "fifth", "tenth"};
    static const long by[] = {2, 3, 4, 5, 10};
    for (size_t i = 0; i < COUNT(parts); i++)
        if (has(r, parts[i]))
            put(out, r->n[0] / by[i]);
}

static void product_and_more(const reading *r, tv_text *out)
{
    put(out, r->n[0] * r->n[1] + r->n[2]);
}

static void sum_times(const reading *r, tv_text *out)
{
    put(out, (r->n[0] + r->n[1]) * r->n[2]);
}

static void by_rate(const reading *r, tv_text *out)
{
    put(out, r->n[1] * r->n[2] / r->n[0]);
}

static void rest_of_money(const reading *r, tv_text *out)
{
    put(out, r->n[2] - r->n[0] * r->n[1]);
}

static void minutes(const reading *r, tv_text *out)
{
    put(out, 60 * r->n[0] + r->n[1]);
}

static void minutes_between(const reading *r, tv_text *out)
{
    put(out, 60 * (r->n[2] - r->n[0]) + r->n[3] - r->n[1]);
}

static void cents(tv_text *out, long amount)
{
    tv_text_printf(out, "%ld.%ld%ld", amount / 100, amount / 10 % 10, amount % 10);
}

static void change(const reading *r, tv_text *out)
{
    cents(out, labs(100 * r->n[0] + r->n[1] - 100 * r->n[2] - r->n[3]));
}

static void total(const reading *r, tv_text *out)
{
    cents(out, 100 * (r->n[0] + r->n[2]) + r->n[1] + r->n[3]);
}

static void unit(const reading *r, tv_text *out)
{
    long factor = has(r, "mm") ? 10 : has(r, "cm") ? 100 : 1000;
    put(out, factor * r->n[0] + (r->numbers > 1 ? r->n[1] : 0));
}

static const char *const days[] = {"Sunday",   "Monday", "Tuesday", "Wednesday",
                                   "Thursday", "Friday", "Saturday"};

static void weekday(const reading *r, tv_text *out)
{
    long by = r->numbers ? r->n[0] : 1, day = 0;
    while (!has(r, days[day]))
        day++;
    for (; by > 0; by--)
        day = has(r, "after") ? (day == 6 ? 0 : day + 1) : (day == 0 ? 6 : day - 1);
    tv_text_puts(out, days[day]);
}

static long value_of_word(const char *word)
{
    static const char *const words[] = {
        "zero",     "one",     "two",     "three",     "four",     "five",     "six",
        "seven",    "eight",   "nine",    "ten",       "eleven",   "twelve",   "thirteen",
        "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen", "twenty",
        "thirty",   "forty",   "fifty",   "sixty",     "seventy",  "eighty",   "ninety"};
    for (long i = 0; i < (long)COUNT(words); i++)
        if (strcmp(words[i], word) == 0)
            return i <= 20 ? i : 10 * (i - 18);
    return -1;
}

static long value_of_words(const reading *r) // other words than numbers count nothing
{
    long value = 0;
    for (size_t i = 0; i < r->count; i++) {
        long word = value_of_word(r->words[i]);
        if (word >= 0)
            value += word;
        else if (strcmp(r->words[i], "hundred") == 0)
            value += value % 1000 * 99;
        else if (strcmp(r->words[i], "thousand") == 0)
            value *= 1000;
    }
    return value;
}

static void digits(const reading *r, tv_text *out)
{
    put(out, value_of_words(r));
}

static void article(const reading *r, tv_text *out)
{
    const char *noun = "";
    for (size_t i = 0; i < r->count; i++) {
        char word[32];
        snprintf(word, sizeof word, " %s ", r->words[i]);
        if (!strstr(" Q A a an or Is it ", word))
            noun = r->words[i];
    }
    tv_text_puts(out, strchr("aeiou", noun[0]) ? "an" : "a");
}

static void agreement(const reading *r, tv_text *out)
{
    static const char *const singular = " He She It Dad Mum Kim Tom ";
    char subject[32];
    snprintf(subject, sizeof subject, " %s ", r->words[1]);
    size_t form = strstr(singular, subject) ? r->count - 2 : 2; // the last word, or the first
    tv_text_puts(out, r->words[form]);
}

// The words before and after "is ... than": who comes first in each statement.
static void first_or_last(const reading *r, tv_text *out)
{
    const char *more = "taller older faster heavier", *most = "tallest oldest fastest heaviest";
    const char *asked = r->words[r->count - 2]; // before "A"
    bool top = strstr(most, asked) || strstr(more, asked), rising = false;
    char above[4][24], below[4][24];
    size_t pairs = 0;
    for (size_t i = 1; i + 1 < r->count; i++)
        if (strcmp(r->words[i], "than") == 0) {
            strcpy(above[pairs], r->words[i - 3]);
            strcpy(below[pairs++], r->words[i + 1]);
            rising = strstr(more, r->words[i - 1]) != NULL;
        }
    for (size_t i = 0; i < pairs; i++) { // who is above somebody and below nobody, or the reverse
        const char *person = top == rising ? above[i] : below[i];
        bool end = true;
        for (size_t j = 0; j < pairs; j++)
            end = end && strcmp(person, top == rising ? below[j] : above[j]) != 0;
        if (end && !out->length)
            tv_text_puts(out, person);
    }
}

static void follows(const reading *r, tv_text *out)
{
    // "All cats are green. Tom is a cat. Is Tom green?": the trait is the word after "are".
    const char *trait = r->words[find_word(r, "are") + 1], *asked = r->words[r->count - 2];
    bool asks_trait = strcmp(trait, asked) == 0;
    tv_text_puts(out, has(r, "No") ? "no" : asks_trait ? "yes" : "not certain");
}

static const struct {
    const char *kind;
    void (*solve)(const reading *, tv_text *);
} solvers[] = {
    {"add", sum},
    {"add_large", sum},
    {"long_add", sum},
    {"subtract", difference},
    {"subtract_large", difference},
    {"multiply", product},
    {"long_multiply", product},
    {"divide", quotient},
    {"compare", larger_or_smaller},
    {"truth", yes_if_so},
    {"parity", even_or_odd},
    {"next", next_of_three},
    {"sequence", next_of_four},
    {"part", part_of},
    {"two_step", product_and_more},
    {"bracket", sum_times},
    {"rate", by_rate},
    {"shopping", rest_of_money},
    {"hours", minutes},
    {"duration", minutes_between},
    {"journey", minutes_between},
    {"change", change},
    {"total", total},
    {"units", unit},
    {"mixed_units", unit},
    {"weekday", weekday},
    {"weekday_in", weekday},
    {"to_digits", digits},
    {"to_digits_large", digits},
    {"article", article},
    {"agree", agreement},
    {"order", first_or_last},
    {"chain", first_or_last},
    {"chain_long", first_or_last},
    {"syllogism", follows},
    {"inference", follows},
};

static size_t kind_named(const char *name)
{
    for (size_t i = 0; i < tv_curriculum_kinds(); i++)
        if (strcmp(tv_curriculum_kind_name(i), name) == 0)
            return i;
    fail_msg("no kind %s", name);
    return 0;
}

static void test_answers_equal_an_independent_solution(void **state)
{
    (void)state;
    tv_problem problem = {0};
    for (size_t i = 0; i < COUNT(solvers); i++) {
        size_t kind = kind_named(solvers[i].kind);
        tv_rng rng = tv_rng_init(17, i);
        for (int round = 0; round < 500; round++) {
            tv_text expected = {0};
            tv_curriculum_generate(kind, &rng, &problem);
            reading r = read_prompt(problem.prompt.data);
            solvers[i].solve(&r, &expected);
            if (!tv_exercise_match(problem.solution.data, expected.data))
                fail_msg("%s %s, but expected %s", problem.prompt.data, problem.solution.data,
                         expected.data);
            tv_text_finish(&expected);
        }
    }
    tv_problem_finish(&problem);
}

// Number words are judged by reading the answer; worked steps by computing them.
static void test_words_and_steps(void **state)
{
    (void)state;
    tv_problem problem = {0};
    size_t steps = 0;
    for (size_t kind = 0; kind < tv_curriculum_kinds(); kind++) {
        tv_rng rng = tv_rng_init(19, kind);
        for (int round = 0; round < 300; round++) {
            tv_curriculum_generate(kind, &rng, &problem);
            if (strstr(tv_curriculum_kind_name(kind), "to_words")) {
                reading asked = read_prompt(problem.prompt.data);
                reading answer = read_prompt(problem.solution.data);
                assert_int_equal(value_of_words(&answer), asked.n[0]);
            }
            long a, b, c, last = 0;
            char op;
            int used;
            const char *at = problem.solution.data;
            bool any = false;
            while (sscanf(at, "%ld %c %ld = %ld%n", &a, &op, &b, &c, &used) == 4) {
                assert_int_equal(op == '+'   ? a + b
                                 : op == '-' ? a - b
                                 : op == '*' ? a * b
                                             : a / b,
                                 c);
                last = c;
                any = true;
                steps++;
                at += used;
                at += strspn(at, ", ");
            }
            if (any) {
                tv_text final = {0};
                put(&final, last);
                assert_true(tv_exercise_match(problem.solution.data, final.data));
                assert_non_null(strstr(problem.solution.data, " #### "));
                tv_text_finish(&final);
            }
        }
    }
    assert_true(steps > 3000);
    tv_problem_finish(&problem);
}

static void test_lines_and_checks(void **state)
{
    (void)state;
    int levels[8] = {0};
    tv_problem problem = {0}, other = {0};
    for (size_t kind = 0; kind < tv_curriculum_kinds(); kind++) {
        const char *name = tv_curriculum_kind_name(kind);
        tv_rng rng = tv_rng_init(23, kind);
        assert_int_equal(kind_named(name), kind); // names are unique
        levels[tv_curriculum_kind_level(kind)]++;
        for (int round = 0; round < 300; round++) {
            tv_curriculum_generate(kind, &rng, &problem);
            const char *prompt = problem.prompt.data, *solution = problem.solution.data;
            assert_true(tv_starts_with(prompt, "Q: ") && tv_ends_with(prompt, " A:"));
            assert_null(strpbrk(prompt, "\n\r\t#$@"));
            assert_null(strpbrk(solution, "\n\r\t$@"));
            if (tv_curriculum_kind_level(kind) == 1)
                assert_in_range(problem.prompt.length + problem.solution.length + 2, 1,
                                TV_CURRICULUM_LEVEL1_LINE);
            size_t length;
            const char *final = tv_exercise_final(solution, &length);
            if (!tv_curriculum_check(name, prompt, solution) ||
                !tv_curriculum_check(name, prompt, final))
                fail_msg("%s is not accepted: %s %s", name, prompt, solution);
            assert_true(length > 0);
            assert_false(tv_curriculum_check(name, prompt, ""));
            tv_text wrong = {0};
            tv_text_printf(&wrong, "%s0", final);
            assert_false(tv_curriculum_check(name, prompt, wrong.data));
            assert_false(tv_curriculum_check(name, prompt + 1, solution));
            tv_text_finish(&wrong);
            tv_rng again = tv_rng_init(23, 1000 + (uint64_t)round), same = again;
            tv_curriculum_generate(kind, &again, &problem);
            tv_curriculum_generate(kind, &same, &other);
            assert_string_equal(problem.prompt.data, other.prompt.data);
            assert_string_equal(problem.solution.data, other.solution.data);
        }
    }
    assert_int_equal(tv_curriculum_levels(), 4);
    assert_true(levels[1] >= 5 && levels[2] >= 10 && levels[3] >= 10 && levels[4] >= 5 &&
                levels[0] == 0);
    assert_false(tv_curriculum_check("no such kind", "Q: 1 + 1 = ? A:", "2"));
    assert_false(tv_curriculum_check("add", "Q: 1 + 1 A:", "2"));
    assert_false(tv_curriculum_check("divide", "Q: 6 / 0 = ? A:", "0"));
    assert_true(tv_curriculum_check("add", "Q: 999999999 + 1 = ? A:", "1000000000"));
    assert_false(tv_curriculum_check("add", "Q: 9999999999 + 1 = ? A:", "10000000000"));
    tv_problem_finish(&problem);
    tv_problem_finish(&other);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_answers_equal_an_independent_solution),
        cmocka_unit_test(test_words_and_steps),
        cmocka_unit_test(test_lines_and_checks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
