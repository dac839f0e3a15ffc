// The curriculum: arithmetic, comparing, number words and sequences.
#include "data/exercise_kinds.h"

#include <string.h>

#define N(i) (slots->n[(i)-1])
#define S(i) (slots->s[(i)-1])

static bool answer_number(tv_text *solution, long value)
{
    tv_text_printf(solution, "%ld", value);
    return true;
}

static void final_number(tv_text *solution, long value)
{
    tv_text_printf(solution, " #### %ld", value);
}

// Word problems need a name and things beside their numbers.
static void draw_decoration(tv_rng *rng, tv_slots *slots)
{
    tv_draw_names(rng, slots, 0, 1);
    tv_draw_thing(rng, slots, 1);
}

static void draw_add(tv_rng *rng, tv_slots *slots)
{
    N(1) = tv_draw(rng, 0, 20);
    N(2) = tv_draw(rng, 0, 20 - N(1));
}

static void draw_add_large(tv_rng *rng, tv_slots *slots)
{
    N(1) = tv_draw(rng, 10, 99);
    N(2) = tv_draw(rng, 2, 99);
    draw_decoration(rng, slots);
}

static bool solve_add(const tv_slots *slots, tv_text *solution)
{
    return answer_number(solution, N(1) + N(2));
}

static void draw_subtract(tv_rng *rng, tv_slots *slots)
{
    N(1) = tv_draw(rng, 0, 20);
    N(2) = tv_draw(rng, 0, N(1));
}

static void draw_subtract_large(tv_rng *rng, tv_slots *slots)
{
    N(1) = tv_draw(rng, 20, 99);
    N(2) = tv_draw(rng, 2, N(1));
    draw_decoration(rng, slots);
}

static bool solve_subtract(const tv_slots *slots, tv_text *solution)
{
    return N(2) <= N(1) && answer_number(solution, N(1) - N(2));
}

static void draw_multiply(tv_rng *rng, tv_slots *slots)
{
    N(1) = tv_draw(rng, 2, 12);
    N(2) = tv_draw(rng, 2, 12);
    draw_decoration(rng, slots);
}

static bool solve_multiply(const tv_slots *slots, tv_text *solution)
{
    return answer_number(solution, N(1) * N(2));
}

static void draw_divide(tv_rng *rng, tv_slots *slots)
{
    N(2) = tv_draw(rng, 2, 12);
    N(1) = N(2) * tv_draw(rng, 2, 12);
    draw_decoration(rng, slots);
}

static bool solve_divide(const tv_slots *slots, tv_text *solution)
{
    return N(2) > 0 && N(1) % N(2) == 0 && answer_number(solution, N(1) / N(2));
}

static void draw_compare(tv_rng *rng, tv_slots *slots)
{
    N(1) = tv_draw(rng, 0, 99);
    N(2) = (N(1) + tv_draw(rng, 1, 99)) % 100;
    tv_set_word(slots, 0, tv_rng_below(rng, 2) ? "larger" : "smaller");
}

static bool solve_compare(const tv_slots *slots, tv_text *solution)
{
    bool larger = strcmp(S(1), "larger") == 0;
    if (N(1) == N(2) || (!larger && strcmp(S(1), "smaller") != 0))
        return false;
    return answer_number(solution, (N(1) > N(2)) == larger ? N(1) : N(2));
}

static void draw_truth(tv_rng *rng, tv_slots *slots)
{
    draw_compare(rng, slots);
    tv_set_word(slots, 0, tv_rng_below(rng, 2) ? "more" : "less");
}

static bool solve_truth(const tv_slots *slots, tv_text *solution)
{
    bool more = strcmp(S(1), "more") == 0;
    if (!more && strcmp(S(1), "less") != 0)
        return false;
    tv_text_puts(solution, (more ? N(1) > N(2) : N(1) < N(2)) ? "yes" : "no");
    return true;
}

static void draw_parity(tv_rng *rng, tv_slots *slots)
{
    N(1) = tv_draw(rng, 0, 199);
}

static bool solve_parity(const tv_slots *slots, tv_text *solution)
{
    tv_text_puts(solution, N(1) % 2 ? "odd" : "even");
    return true;
}

static void draw_below_hundred(tv_rng *rng, tv_slots *slots)
{
    N(1) = tv_draw(rng, 0, 99);
    slots->fact = N(1) <= 20 || N(1) % 10 == 0;
}

static void draw_thousands(tv_rng *rng, tv_slots *slots)
{
    N(1) = tv_rng_below(rng, 3) ? tv_draw(rng, 100, 999) : tv_draw(rng, 1000, 9999);
}

static bool solve_to_words(const tv_slots *slots, tv_text *solution)
{
    if (N(1) > 9999)
        return false;
    tv_number_words(N(1), solution);
    return true;
}

static void set_number_words(tv_slots *slots)
{
    tv_text words = {0};
    tv_number_words(N(1), &words);
    tv_set_word(slots, 0, words.data);
    tv_text_finish(&words);
}

static void draw_words(tv_rng *rng, tv_slots *slots)
{
    draw_below_hundred(rng, slots);
    set_number_words(slots);
}

static void draw_thousands_words(tv_rng *rng, tv_slots *slots)
{
    draw_thousands(rng, slots);
    set_number_words(slots);
}

static bool solve_to_digits(const tv_slots *slots, tv_text *solution)
{
    long number = tv_words_number(S(1));
    return number >= 0 && answer_number(solution, number);
}

static void draw_next(tv_rng *rng, tv_slots *slots)
{
    static const long steps[] = {1, 2, 3, 5, 10};
    long step = TV_PICK(rng, steps);
    N(1) = tv_draw(rng, 0, 40);
    N(2) = N(1) + step;
    N(3) = N(2) + step;
}

static bool solve_next(const tv_slots *slots, tv_text *solution)
{
    long next = 2 * N(3) - N(2);
    return N(3) - N(2) == N(2) - N(1) && next >= 0 && answer_number(solution, next);
}

// Four terms: equal steps up or down, equal factors, or steps that grow by one.
static void draw_sequence(tv_rng *rng, tv_slots *slots)
{
    uint32_t rule = tv_rng_below(rng, 4);
    long step = tv_draw(rng, 2, 12), factor = tv_draw(rng, 2, 3);
    N(1) = rule == 1 ? tv_draw(rng, 50, 120) : rule == 2 ? tv_draw(rng, 1, 9) : tv_draw(rng, 0, 60);
    for (int i = 2; i <= 4; i++)
        N(i) = rule == 1   ? N(i - 1) - step
               : rule == 2 ? N(i - 1) * factor
               : rule == 3 ? N(i - 1) + step + i - 2
                           : N(i - 1) + step;
}

static bool solve_sequence(const tv_slots *slots, tv_text *solution)
{
    long a = N(2) - N(1), b = N(3) - N(2), c = N(4) - N(3), next = -1;
    if (a == b && b == c)
        next = N(4) + c;
    else if (N(1) > 0 && N(2) % N(1) == 0 && N(2) * (N(2) / N(1)) == N(3) &&
             N(3) * (N(2) / N(1)) == N(4))
        next = N(4) * (N(2) / N(1));
    else if (b == a + 1 && c == b + 1)
        next = N(4) + c + 1;
    return next >= 0 && answer_number(solution, next);
}

static const struct {
    const char *word;
    long part;
} parts[] = {{"half", 2}, {"third", 3}, {"quarter", 4}, {"fifth", 5}, {"tenth", 10}};
enum { PARTS = sizeof parts / sizeof *parts };

static void draw_part(tv_rng *rng, tv_slots *slots)
{
    size_t which = tv_rng_below(rng, PARTS);
    tv_set_word(slots, 0, parts[which].word);
    N(1) = parts[which].part * tv_draw(rng, 2, 30);
}

static bool solve_part(const tv_slots *slots, tv_text *solution)
{
    for (size_t i = 0; i < PARTS; i++)
        if (strcmp(S(1), parts[i].word) == 0 && N(1) % parts[i].part == 0)
            return answer_number(solution, N(1) / parts[i].part);
    return false;
}

static void draw_two_step(tv_rng *rng, tv_slots *slots)
{
    N(1) = tv_draw(rng, 2, 12);
    N(2) = tv_draw(rng, 2, 12);
    N(3) = tv_draw(rng, 2, 60);
    draw_decoration(rng, slots);
}

static bool solve_two_step(const tv_slots *slots, tv_text *solution)
{
    long product = N(1) * N(2), sum = product + N(3);
    tv_step(solution, N(1), '*', N(2), product);
    tv_step(solution, product, '+', N(3), sum);
    final_number(solution, sum);
    return true;
}

static bool solve_bracket(const tv_slots *slots, tv_text *solution)
{
    long sum = N(1) + N(2), product = sum * N(3);
    tv_step(solution, N(1), '+', N(2), sum);
    tv_step(solution, sum, '*', N(3), product);
    final_number(solution, product);
    return true;
}

static void draw_bracket(tv_rng *rng, tv_slots *slots)
{
    N(1) = tv_draw(rng, 2, 15);
    N(2) = tv_draw(rng, 2, 15);
    N(3) = tv_draw(rng, 2, 9);
    draw_decoration(rng, slots);
}

static void draw_long_add(tv_rng *rng, tv_slots *slots)
{
    N(1) = tv_draw(rng, 101, 899);
    N(2) = tv_draw(rng, 101, 899);
}

static bool solve_long_add(const tv_slots *slots, tv_text *solution)
{
    long high1 = N(1) / 100 * 100, low1 = N(1) % 100, high2 = N(2) / 100 * 100, low2 = N(2) % 100;
    tv_step(solution, high1, '+', high2, high1 + high2);
    tv_step(solution, low1, '+', low2, low1 + low2);
    tv_step(solution, high1 + high2, '+', low1 + low2, N(1) + N(2));
    final_number(solution, N(1) + N(2));
    return true;
}

static void draw_long_multiply(tv_rng *rng, tv_slots *slots)
{
    N(1) = tv_draw(rng, 2, 9) * 10 + tv_draw(rng, 1, 9);
    N(2) = tv_draw(rng, 3, 9);
    draw_decoration(rng, slots);
}

static bool solve_long_multiply(const tv_slots *slots, tv_text *solution)
{
    long ten = N(1) / 10 * 10, one = N(1) % 10;
    tv_step(solution, ten, '*', N(2), ten * N(2));
    tv_step(solution, one, '*', N(2), one * N(2));
    tv_step(solution, ten * N(2), '+', one * N(2), N(1) * N(2));
    final_number(solution, N(1) * N(2));
    return true;
}

static void draw_rate(tv_rng *rng, tv_slots *slots)
{
    long each = tv_draw(rng, 2, 9);
    N(1) = tv_draw(rng, 2, 9);
    N(2) = N(1) * each;
    N(3) = tv_draw(rng, 2, 12);
    tv_draw_thing(rng, slots, 0);
}

static bool solve_rate(const tv_slots *slots, tv_text *solution)
{
    if (N(1) == 0 || N(2) % N(1) != 0)
        return false;
    long each = N(2) / N(1);
    tv_step(solution, N(2), '/', N(1), each);
    tv_step(solution, each, '*', N(3), each * N(3));
    final_number(solution, each * N(3));
    return true;
}

// The first level: short questions about small numbers. Words that no phrasing shows make the
// problem the same as that of the kinds above, so that it lies on the same side.
static void draw_digits(tv_rng *rng, tv_slots *slots)
{
    N(1) = tv_draw(rng, 0, 9);
    N(2) = tv_draw(rng, 0, 9);
}

static void draw_one(tv_rng *rng, tv_slots *slots)
{
    N(1) = tv_draw(rng, 0, 99);
}

static bool solve_after(const tv_slots *slots, tv_text *solution)
{
    return answer_number(solution, N(1) + 1);
}

static bool solve_odd(const tv_slots *slots, tv_text *solution)
{
    tv_text_puts(solution, N(1) % 2 ? "yes" : "no");
    return true;
}

static void draw_two(tv_rng *rng, tv_slots *slots)
{
    N(1) = tv_draw(rng, 10, 99);
    N(2) = 10 + (N(1) - 10 + tv_draw(rng, 1, 89)) % 90;
}

static void draw_larger(tv_rng *rng, tv_slots *slots)
{
    draw_two(rng, slots);
    tv_set_word(slots, 0, "larger");
}

static bool solve_larger(const tv_slots *slots, tv_text *solution)
{
    return N(1) != N(2) && answer_number(solution, N(1) > N(2) ? N(1) : N(2));
}

static void draw_more(tv_rng *rng, tv_slots *slots)
{
    draw_two(rng, slots);
    tv_set_word(slots, 0, "more");
}

static bool solve_more(const tv_slots *slots, tv_text *solution)
{
    tv_text_puts(solution, N(1) > N(2) ? "yes" : "no");
    return true;
}

static const tv_exercise_kind kinds[] = {
    {"digits", "add", 1, 2, 0, true, TV_PHRASINGS("#1+#2?"), draw_digits, solve_add},
    {"after", "after", 1, 1, 0, false, TV_PHRASINGS("after #1?"), draw_one, solve_after},
    {"odd", "parity", 1, 1, 0, false, TV_PHRASINGS("#1 odd?"), draw_one, solve_odd},
    {"larger", "compare", 1, 2, 1, true, TV_PHRASINGS("larger: #1 #2?"), draw_larger, solve_larger},
    {"more", "truth", 1, 2, 1, true, TV_PHRASINGS("#1>#2?"), draw_more, solve_more},
    {"add", "add", 2, 2, 0, true,
     TV_PHRASINGS("#1 + #2 = ?", "#1 plus #2 = ?", "Add #1 and #2.", "Sum of #1 and #2?"), draw_add,
     solve_add},
    {"subtract", "subtract", 2, 2, 0, false,
     TV_PHRASINGS("#1 - #2 = ?", "#1 minus #2 = ?", "Take #2 from #1."), draw_subtract,
     solve_subtract},
    {"compare", "compare", 2, 2, 1, true,
     TV_PHRASINGS("Which is $1, #1 or #2?", "The $1 of #1 and #2?"), draw_compare, solve_compare},
    {"truth", "truth", 2, 2, 1, true, TV_PHRASINGS("Is #1 $1 than #2?", "#1 is $1 than #2, right?"),
     draw_truth, solve_truth},
    {"parity", "parity", 2, 1, 0, false, TV_PHRASINGS("Is #1 even or odd?", "Even or odd: #1?"),
     draw_parity, solve_parity},
    {"to_words", "to_words", 2, 1, 0, false,
     TV_PHRASINGS("#1 in words?", "Write #1 in words.", "Spell #1."), draw_below_hundred,
     solve_to_words},
    {"to_digits", "to_digits", 2, 0, 1, false, TV_PHRASINGS("$1 in digits?", "Write $1 in digits."),
     draw_words, solve_to_digits},
    {"next", "next", 2, 3, 0, false,
     TV_PHRASINGS("#1, #2, #3, ?", "#1, #2, #3, next?", "What follows #1, #2, #3?"), draw_next,
     solve_next},
    {"add_large", "add", 3, 2, 0, true,
     TV_PHRASINGS("#1 + #2 = ?", "What is #1 plus #2?", "Add #2 to #1.",
                  "$1 has #1 $2 and gets #2 more. How many $2 now?",
                  "There are #1 $2 in one box and #2 $2 in another. How many in all?"),
     draw_add_large, solve_add},
    {"subtract_large", "subtract", 3, 2, 0, false,
     TV_PHRASINGS("#1 - #2 = ?", "What is #1 minus #2?", "Take #2 from #1.",
                  "$1 has #1 $2 and gives away #2. How many $2 are left?",
                  "Of #1 $2 #2 are lost. How many are left?"),
     draw_subtract_large, solve_subtract},
    {"multiply", "multiply", 3, 2, 0, true,
     TV_PHRASINGS("#1 * #2 = ?", "#1 times #2 = ?", "Multiply #1 by #2.",
                  "$1 has #1 bags of #2 $2. How many $2?",
                  "How many $2 are in #1 boxes with #2 $2 each?"),
     draw_multiply, solve_multiply},
    {"divide", "divide", 3, 2, 0, false,
     TV_PHRASINGS("#1 / #2 = ?", "#1 divided by #2 = ?", "Divide #1 by #2.",
                  "#2 children share #1 $2. How many does each get?"),
     draw_divide, solve_divide},
    {"part", "part", 3, 1, 1, false,
     TV_PHRASINGS("What is a $1 of #1?", "Find a $1 of #1.", "How much is a $1 of #1?"), draw_part,
     solve_part},
    {"sequence", "sequence", 3, 4, 0, false,
     TV_PHRASINGS("#1, #2, #3, #4, ?", "What comes next: #1, #2, #3, #4?",
                  "Continue: #1, #2, #3, #4, ..."),
     draw_sequence, solve_sequence},
    {"to_words_large", "to_words", 3, 1, 0, false,
     TV_PHRASINGS("Write #1 in words.", "How do you spell #1?"), draw_thousands, solve_to_words},
    {"to_digits_large", "to_digits", 3, 0, 1, false,
     TV_PHRASINGS("Write $1 in digits.", "Which number is $1?"), draw_thousands_words,
     solve_to_digits},
    {"two_step", "two_step", 4, 3, 0, false,
     TV_PHRASINGS("#1 * #2 + #3 = ?", "Multiply #1 by #2, then add #3.",
                  "$1 buys #1 boxes of #2 $2 and finds #3 more. How many $2 now?",
                  "$1 packs #1 bags with #2 $2 each. #3 $2 are left over. How many were there?"),
     draw_two_step, solve_two_step},
    {"bracket", "bracket", 4, 3, 0, false,
     TV_PHRASINGS("(#1 + #2) * #3 = ?", "Add #1 and #2, then multiply by #3.",
                  "$1 gets #1 $2 in the morning and #2 at night. How many in #3 days?"),
     draw_bracket, solve_bracket},
    {"long_add", "add", 4, 2, 0, true,
     TV_PHRASINGS("#1 + #2 = ?", "Add #1 and #2.", "What is #1 plus #2?"), draw_long_add,
     solve_long_add},
    {"long_multiply", "multiply", 4, 2, 0, true,
     TV_PHRASINGS("#1 * #2 = ?", "Multiply #1 by #2.",
                  "$1 fills #2 boxes with #1 $2 each. How many $2 is that?"),
     draw_long_multiply, solve_long_multiply},
    {"rate", "rate", 4, 3, 0, false,
     TV_PHRASINGS("#1 $1 cost #2 coins. How much do #3 $1 cost?",
                  "If #1 $1 weigh #2 grams, how many grams do #3 $1 weigh?"),
     draw_rate, solve_rate},
};

const tv_exercise_room tv_room_numbers = {kinds, sizeof kinds / sizeof *kinds};
