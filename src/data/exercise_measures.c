// The curriculum: units, time and money.
#include "data/exercise_kinds.h"

#include <string.h>

#define N(i) (slots->n[(i)-1])
#define S(i) (slots->s[(i)-1])

static const struct {
    const char *small, *large;
    long factor;
} units[] = {
    {"mm", "cm", 10}, {"cm", "m", 100}, {"m", "km", 1000}, {"g", "kg", 1000}, {"ml", "l", 1000}};
enum { UNITS = sizeof units / sizeof *units };

static const char *const weekdays[] = {"Monday", "Tuesday",  "Wednesday", "Thursday",
                                       "Friday", "Saturday", "Sunday"};
static const char *const goods[] = {"book",   "pen",   "cake", "ball", "lamp", "map",
                                    "ticket", "juice", "kite", "soap", "toy",  "brush"};

static bool answer_number(tv_text *solution, long value)
{
    tv_text_printf(solution, "%ld", value);
    return true;
}

static long find_factor(const char *small, const char *large)
{
    for (size_t i = 0; i < UNITS; i++)
        if (strcmp(units[i].small, small) == 0 && strcmp(units[i].large, large) == 0)
            return units[i].factor;
    return 0;
}

static void draw_units(tv_rng *rng, tv_slots *slots)
{
    size_t which = tv_rng_below(rng, UNITS);
    tv_set_word(slots, 0, units[which].small);
    tv_set_word(slots, 1, units[which].large);
    N(1) = tv_draw(rng, 1, 50);
}

static bool solve_units(const tv_slots *slots, tv_text *solution)
{
    long factor = find_factor(S(1), S(2));
    return factor && answer_number(solution, N(1) * factor);
}

static void draw_metres(tv_rng *rng, tv_slots *slots)
{
    tv_set_word(slots, 0, "cm");
    tv_set_word(slots, 1, "m");
    N(1) = tv_draw(rng, 1, 99);
}

static bool solve_metres(const tv_slots *slots, tv_text *solution)
{
    return answer_number(solution, N(1) * find_factor("cm", "m"));
}

static void draw_mixed_units(tv_rng *rng, tv_slots *slots)
{
    draw_units(rng, slots);
    N(1) = tv_draw(rng, 1, 20);
    N(2) = tv_draw(rng, 1, find_factor(S(1), S(2)) - 1);
}

static bool solve_mixed_units(const tv_slots *slots, tv_text *solution)
{
    long factor = find_factor(S(1), S(2));
    return factor && answer_number(solution, N(1) * factor + N(2));
}

static long find_weekday(const char *name)
{
    for (long i = 0; i < 7; i++)
        if (strcmp(weekdays[i], name) == 0)
            return i;
    return -1;
}

static bool solve_weekday_by(const char *name, const char *direction, long days, tv_text *solution)
{
    long day = find_weekday(name);
    bool after = strcmp(direction, "after") == 0;
    if (day < 0 || (!after && strcmp(direction, "before") != 0))
        return false;
    long moved = after ? (day + days) % 7 : (day + 7 - days % 7) % 7;
    tv_text_puts(solution, weekdays[moved]);
    return true;
}

static void draw_weekday(tv_rng *rng, tv_slots *slots)
{
    tv_set_word(slots, 0, tv_rng_below(rng, 2) ? "after" : "before");
    tv_set_word(slots, 1, TV_PICK(rng, weekdays));
    slots->fact = true;
}

static bool solve_weekday(const tv_slots *slots, tv_text *solution)
{
    return solve_weekday_by(S(2), S(1), 1, solution);
}

static void draw_weekday_in(tv_rng *rng, tv_slots *slots)
{
    draw_weekday(rng, slots);
    slots->fact = false;
    N(1) = tv_draw(rng, 2, 20);
}

static bool solve_weekday_in(const tv_slots *slots, tv_text *solution)
{
    return solve_weekday_by(S(2), S(1), N(1), solution);
}

static void draw_hours(tv_rng *rng, tv_slots *slots)
{
    N(1) = tv_draw(rng, 1, 9);
    N(2) = tv_draw(rng, 1, 59);
}

static bool solve_hours(const tv_slots *slots, tv_text *solution)
{
    long minutes = N(1) * 60;
    tv_step(solution, N(1), '*', 60, minutes);
    tv_step(solution, minutes, '+', N(2), minutes + N(2));
    tv_text_printf(solution, " #### %ld", minutes + N(2));
    return true;
}

static bool is_time(long hour, long minute)
{
    return hour < 24 && minute < 60;
}

static void draw_clock(tv_rng *rng, tv_slots *slots)
{
    N(1) = tv_draw(rng, 1, 20);
    N(2) = 5 * tv_draw(rng, 0, 11);
    N(3) = 5 * tv_draw(rng, 1, 24);
}

static bool solve_clock(const tv_slots *slots, tv_text *solution)
{
    long minute = N(1) * 60 + N(2) + N(3);
    if (!is_time(N(1), N(2)))
        return false;
    tv_text_printf(solution, "%ld:%02ld", minute / 60 % 24, minute % 60);
    return true;
}

static void set_later(tv_slots *slots, long minutes)
{
    long end = N(1) * 60 + N(2) + minutes;
    N(3) = end / 60;
    N(4) = end % 60;
}

static void draw_duration(tv_rng *rng, tv_slots *slots)
{
    draw_clock(rng, slots);
    set_later(slots, 5 * tv_draw(rng, 1, 11));
}

static bool solve_duration(const tv_slots *slots, tv_text *solution)
{
    long minutes = N(3) * 60 + N(4) - N(1) * 60 - N(2);
    return is_time(N(1), N(2)) && is_time(N(3), N(4)) && minutes > 0 &&
           answer_number(solution, minutes);
}

static void draw_journey(tv_rng *rng, tv_slots *slots)
{
    N(1) = tv_draw(rng, 1, 18);
    N(2) = tv_draw(rng, 0, 59);
    set_later(slots, tv_draw(rng, 61, 299));
    tv_draw_names(rng, slots, 0, 1);
}

static bool solve_journey(const tv_slots *slots, tv_text *solution)
{
    long start = N(1) * 60, end = N(3) * 60;
    if (!is_time(N(1), N(2)) || !is_time(N(3), N(4)) || end + N(4) <= start + N(2))
        return false;
    tv_step(solution, N(3), '*', 60, end);
    tv_step(solution, end, '+', N(4), end + N(4));
    tv_step(solution, N(1), '*', 60, start);
    tv_step(solution, start, '+', N(2), start + N(2));
    long minutes = end + N(4) - start - N(2);
    tv_step(solution, end + N(4), '-', start + N(2), minutes);
    tv_text_printf(solution, " #### %ld", minutes);
    return true;
}

static bool answer_money(tv_text *solution, long cents)
{
    if (cents < 0)
        return false;
    tv_text_printf(solution, "%ld.%02ld", cents / 100, cents % 100);
    return true;
}

static void draw_goods(tv_rng *rng, tv_slots *slots)
{
    size_t count = sizeof goods / sizeof *goods;
    uint64_t key = tv_rng_u32(rng);
    tv_set_word(slots, 0, goods[tv_permute(0, count, key)]);
    tv_set_word(slots, 1, goods[tv_permute(1, count, key)]);
}

static void draw_change(tv_rng *rng, tv_slots *slots)
{
    static const long notes[] = {5, 10, 20};
    N(3) = TV_PICK(rng, notes);
    N(4) = 0;
    N(1) = tv_draw(rng, 0, N(3) - 1);
    N(2) = 5 * tv_draw(rng, 1, 19);
    draw_goods(rng, slots);
}

static bool solve_change(const tv_slots *slots, tv_text *solution)
{
    return answer_money(solution, N(3) * 100 + N(4) - N(1) * 100 - N(2));
}

static void draw_total(tv_rng *rng, tv_slots *slots)
{
    N(1) = tv_draw(rng, 0, 15);
    N(2) = 5 * tv_draw(rng, 1, 19);
    N(3) = tv_draw(rng, N(1), 15); // the dearer last, so that a sum has one form only
    N(4) = 5 * tv_draw(rng, N(3) > N(1) ? 1 : N(2) / 5, 19);
    draw_goods(rng, slots);
}

static bool solve_total(const tv_slots *slots, tv_text *solution)
{
    return answer_money(solution, N(3) * 100 + N(4) + N(1) * 100 + N(2));
}

static void draw_shopping(tv_rng *rng, tv_slots *slots)
{
    static const long notes[] = {20, 50, 100};
    N(3) = TV_PICK(rng, notes);
    N(1) = tv_draw(rng, 2, 9);
    N(2) = tv_draw(rng, 2, N(3) / N(1) < 12 ? N(3) / N(1) : 12);
    tv_draw_names(rng, slots, 0, 1);
    tv_draw_thing(rng, slots, 1);
}

static bool solve_shopping(const tv_slots *slots, tv_text *solution)
{
    long cost = N(1) * N(2);
    if (cost > N(3))
        return false;
    tv_step(solution, N(1), '*', N(2), cost);
    tv_step(solution, N(3), '-', cost, N(3) - cost);
    tv_text_printf(solution, " #### %ld", N(3) - cost);
    return true;
}

static const tv_exercise_kind kinds[] = {
    {"metres", "units", 1, 1, 2, false, TV_PHRASINGS("#1 m in cm?"), draw_metres, solve_metres},
    {"units", "units", 2, 1, 2, false,
     TV_PHRASINGS("How many $1 in #1 $2?", "#1 $2 = ? $1", "Give #1 $2 in $1."), draw_units,
     solve_units},
    {"weekday", "weekday", 2, 0, 2, false, TV_PHRASINGS("Day $1 $2?", "$1 $2?"), draw_weekday,
     solve_weekday},
    {"mixed_units", "mixed_units", 3, 2, 2, false,
     TV_PHRASINGS("How many $1 are #1 $2 and #2 $1?", "#1 $2 #2 $1 = ? $1",
                  "Write #1 $2 #2 $1 in $1."),
     draw_mixed_units, solve_mixed_units},
    {"weekday_in", "weekday_in", 3, 1, 2, false,
     TV_PHRASINGS("Which day is #1 days $1 $2?", "What day is it #1 days $1 $2?"), draw_weekday_in,
     solve_weekday_in},
    {"hours", "hours", 3, 2, 0, false,
     TV_PHRASINGS("How many minutes are #1 h #2 min?", "#1 h #2 min = ? min",
                  "A film lasts #1 h #2 min. How many minutes is that?"),
     draw_hours, solve_hours},
    {"clock", "clock", 3, 3, 0, false,
     TV_PHRASINGS("It is #1:@2. What time is it in #3 minutes?",
                  "#3 minutes after #1:@2, what time is it?",
                  "A lesson starts at #1:@2 and lasts #3 minutes. When does it end?"),
     draw_clock, solve_clock},
    {"duration", "duration", 3, 4, 0, false,
     TV_PHRASINGS("How many minutes from #1:@2 to #3:@4?",
                  "A bus leaves at #1:@2 and arrives at #3:@4. How many minutes is that?"),
     draw_duration, solve_duration},
    {"change", "change", 3, 4, 0, false,
     TV_PHRASINGS("A $1 costs #1.@2. You pay #3.@4. How much is the change?",
                  "You pay #3.@4 for a $1 at #1.@2. How much do you get back?"),
     draw_change, solve_change},
    {"total", "total", 3, 4, 0, false,
     TV_PHRASINGS("A $1 costs #1.@2 and a $2 #3.@4. How much together?",
                  "How much are a $1 at #1.@2 and a $2 at #3.@4?"),
     draw_total, solve_total},
    {"journey", "duration", 4, 4, 0, false,
     TV_PHRASINGS("A train leaves at #1:@2 and arrives at #3:@4. How many minutes does it take?",
                  "$1 works from #1:@2 to #3:@4. How many minutes is that?"),
     draw_journey, solve_journey},
    {"shopping", "shopping", 4, 3, 0, false,
     TV_PHRASINGS("$1 buys #1 $2 at #2 coins each and pays with #3 coins. How much is the change?",
                  "#1 $2 cost #2 coins each. How many of #3 coins are left?"),
     draw_shopping, solve_shopping},
};

const tv_exercise_room tv_room_measures = {kinds, sizeof kinds / sizeof *kinds};
