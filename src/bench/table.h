// Tables of text: for a terminal, or for a page in Markdown. Inside this room.
#ifndef TV_BENCH_TABLE_H
#define TV_BENCH_TABLE_H

#include "base/text.h"

// Four digits, or all of those before the point; "-" for what is not finite. Returns `text`.
const char *tv_bench_number(double value, char text[32]);

// How lines look.
typedef struct tv_table_style {
    bool page;
    const char *item; // before a line of a list
} tv_table_style;

extern const tv_table_style tv_table_plain, tv_table_page;

typedef struct tv_table_column {
    const char *title;
    int width; // on a terminal; the first column is set left, the others right
} tv_table_column;

void tv_table_head(const tv_table_style *style, const tv_table_column *columns, size_t count,
                   tv_text *out);
void tv_table_row(const tv_table_style *style, const tv_table_column *columns, size_t count,
                  const char *const *cells, tv_text *out);

#endif
