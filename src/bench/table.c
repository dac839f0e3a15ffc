// Tables of text.
#include "bench/table.h"

#include "base/memory.h"

#include <math.h>
#include <stdio.h>

const char *tv_bench_number(double value, char text[32])
{
    if (!isfinite(value)) {
        snprintf(text, 32, "-");
        return text;
    }
    int digits = value == 0 ? 1 : (int)floor(log10(fabs(value))) + 1;
    snprintf(text, 32, "%.*f", digits >= 4 ? 0 : digits > 0 ? 4 - digits : 3, value);
    return text;
}

const tv_table_style tv_table_plain = {false, ""}, tv_table_page = {true, "- "};

void tv_table_row(const tv_table_style *style, const tv_table_column *columns, size_t count,
                  const char *const *cells, tv_text *out)
{
    for (size_t i = 0; i < count; i++) {
        if (style->page)
            tv_text_printf(out, "| %s ", cells[i]);
        else
            tv_text_printf(out, "%s%*s", i > 0 ? " " : "",
                           i > 0 ? columns[i].width : -columns[i].width, cells[i]);
    }
    while (!style->page && out->length > 0 && out->data[out->length - 1] == ' ')
        out->data[--out->length] = 0;
    tv_text_puts(out, style->page ? "|\n" : "\n");
}

void tv_table_head(const tv_table_style *style, const tv_table_column *columns, size_t count,
                   tv_text *out)
{
    const char **titles = tv_alloc(count, sizeof *titles);
    for (size_t i = 0; i < count; i++)
        titles[i] = columns[i].title;
    tv_table_row(style, columns, count, titles, out);
    tv_free(titles);
    if (!style->page)
        return;
    for (size_t i = 0; i < count; i++)
        tv_text_puts(out, i > 0 ? "|--:" : "|---");
    tv_text_puts(out, "|\n");
}
