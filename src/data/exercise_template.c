// The curriculum: phrasings filled and read back, drawing, and number words.
#include "data/exercise_kinds.h"

#include "base/error.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

static const char *const names[] = {"Ann", "Ben",  "Cara", "Dan", "Eva",  "Finn", "Gina", "Hugo",
                                    "Ivy", "Jack", "Kim",  "Leo", "Mia",  "Nina", "Omar", "Pia",
                                    "Raj", "Sara", "Tom",  "Uma", "Vera", "Will", "Yan",  "Zoe"};
static const char *const things[] = {"apples", "pens",    "books",  "cards",   "stones", "eggs",
                                     "shells", "stamps",  "coins",  "marbles", "plums",  "nuts",
                                     "beads",  "pencils", "sticks", "buttons", "pears",  "cups"};
static const char *const small[] = {"zero",    "one",     "two",       "three",    "four",
                                    "five",    "six",     "seven",     "eight",    "nine",
                                    "ten",     "eleven",  "twelve",    "thirteen", "fourteen",
                                    "fifteen", "sixteen", "seventeen", "eighteen", "nineteen"};
static const char *const tens[] = {"",      "",      "twenty",  "thirty", "forty",
                                   "fifty", "sixty", "seventy", "eighty", "ninety"};

void tv_template_fill(const char *phrasing, const tv_slots *slots, tv_text *text)
{
    for (const char *at = phrasing; *at; at++) {
        size_t slot = strchr("#@$", *at) ? (size_t)(at[1] - '1') : TV_SLOTS;
        if (slot >= TV_SLOTS) {
            tv_text_append(text, at, 1);
            continue;
        }
        if (*at == '$')
            tv_text_puts(text, slots->s[slot]);
        else
            tv_text_printf(text, *at == '#' ? "%ld" : "%02ld", slots->n[slot]);
        at++;
    }
}

// The slots read so far, and which of them are.
typedef struct reading {
    tv_slots *slots;
    bool has_number[TV_SLOTS], has_word[TV_SLOTS];
} reading;

static bool match(const char *phrasing, const char *text, reading *r);

static bool match_number(const char *phrasing, const char *text, reading *r)
{
    size_t slot = (size_t)(phrasing[1] - '1'), digits = strspn(text, "0123456789");
    if (digits == 0 || digits > 9 || (*phrasing == '@' && digits != 2))
        return false;
    if (*phrasing == '#' && digits > 1 && text[0] == '0')
        return false;
    long value = 0;
    for (size_t i = 0; i < digits; i++)
        value = value * 10 + (text[i] - '0');
    if (r->has_number[slot] && r->slots->n[slot] != value)
        return false;
    r->has_number[slot] = true;
    r->slots->n[slot] = value;
    return match(phrasing + 2, text + digits, r);
}

// Tries the shortest word first, then longer ones: what follows decides.
static bool match_word(const char *phrasing, const char *text, reading *r)
{
    size_t slot = (size_t)(phrasing[1] - '1');
    char *word = r->slots->s[slot];
    if (r->has_word[slot]) {
        size_t length = strlen(word);
        return strncmp(text, word, length) == 0 && match(phrasing + 2, text + length, r);
    }
    for (size_t n = 1; n < TV_WORD_MAX; n++) {
        unsigned char last = (unsigned char)text[n - 1];
        if (!isalpha(last) && !(n > 1 && (last == ' ' || last == '-')))
            break;
        memcpy(word, text, n);
        word[n] = 0;
        r->has_word[slot] = true;
        if (match(phrasing + 2, text + n, r))
            return true;
        r->has_word[slot] = false;
    }
    return false;
}

static bool match(const char *phrasing, const char *text, reading *r)
{
    reading saved = *r;
    bool found;
    if ((*phrasing == '#' || *phrasing == '@') && isdigit((unsigned char)phrasing[1]))
        found = match_number(phrasing, text, r);
    else if (*phrasing == '$' && isdigit((unsigned char)phrasing[1]))
        found = match_word(phrasing, text, r);
    else if (*phrasing == 0)
        found = *text == 0;
    else
        found = *phrasing == *text && match(phrasing + 1, text + 1, r);
    if (!found)
        *r = saved;
    return found;
}

bool tv_template_match(const char *phrasing, const char *text, tv_slots *slots)
{
    memset(slots, 0, sizeof *slots);
    return match(phrasing, text, &(reading){.slots = slots});
}

long tv_draw(tv_rng *rng, long low, long high)
{
    return low + (long)tv_rng_below(rng, (uint32_t)(high - low) + 1);
}

void tv_set_word(tv_slots *slots, size_t slot, const char *word)
{
    TV_CHECK(strlen(word) < TV_WORD_MAX, "'%s' is too long for a slot", word);
    snprintf(slots->s[slot], TV_WORD_MAX, "%s", word);
}

void tv_draw_names(tv_rng *rng, tv_slots *slots, size_t first, size_t count)
{
    size_t total = sizeof names / sizeof *names;
    uint64_t key = tv_rng_u32(rng);
    for (size_t i = 0; i < count; i++)
        tv_set_word(slots, first + i, names[tv_permute(i, total, key)]);
}

void tv_draw_thing(tv_rng *rng, tv_slots *slots, size_t slot)
{
    tv_set_word(slots, slot, TV_PICK(rng, things));
}

void tv_step(tv_text *text, long a, char operation, long b, long result)
{
    tv_text_printf(text, "%s%ld %c %ld = %ld", text->length ? ", " : "", a, operation, b, result);
}

void tv_number_words(long number, tv_text *text)
{
    TV_CHECK(number >= 0 && number < 10000, "no words for %ld", number);
    if (number >= 1000)
        tv_text_printf(text, "%s thousand", small[number / 1000]);
    if (number >= 1000 && number % 1000)
        tv_text_puts(text, number % 1000 < 100 ? " and " : " ");
    if (number >= 1000 && number % 1000 == 0)
        return;
    number %= 1000;
    if (number >= 100)
        tv_text_printf(text, "%s hundred", small[number / 100]);
    if (number >= 100 && number % 100 == 0)
        return;
    if (number >= 100)
        tv_text_puts(text, " and ");
    number %= 100;
    if (number < 20)
        tv_text_puts(text, small[number]);
    else
        tv_text_printf(text, "%s%s%s", tens[number / 10], number % 10 ? "-" : "",
                       number % 10 ? small[number % 10] : "");
}

static long find_word(const char *word, size_t length, const char *const *list, long count)
{
    for (long i = 0; i < count; i++)
        if (strlen(list[i]) == length && strncmp(list[i], word, length) == 0)
            return i;
    return -1;
}

long tv_words_number(const char *words)
{
    long total = 0, part = 0;
    bool any = false;
    while (*words) {
        size_t length = strcspn(words, " -");
        long unit = find_word(words, length, small, 20), ten = find_word(words, length, tens, 10);
        if (unit >= 0)
            part += unit;
        else if (ten >= 2)
            part += 10 * ten;
        else if (length == 7 && strncmp(words, "hundred", 7) == 0)
            part *= 100;
        else if (length == 8 && strncmp(words, "thousand", 8) == 0) {
            total = part * 1000;
            part = 0;
        } else if (!(length == 3 && strncmp(words, "and", 3) == 0))
            return -1;
        if (part > 9999)
            return -1;
        any = true;
        words += length + (words[length] != 0);
    }
    return any ? total + part : -1;
}
