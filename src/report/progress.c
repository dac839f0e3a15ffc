// Progress: formatting (pure) and drawing.
#include "report/progress.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/memory.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

enum { BAR_LEAST = 10, BAR_MOST = 40, PIECES_MOST = 10, COLUMNS_DEFAULT = 80 };

#define REDRAW_S 0.1 // between two drawings on a terminal
#define PLAIN_S 10.0 // between two lines elsewhere

struct tv_progress {
    tv_metrics latest;
    uint64_t max_steps, timed_from; // timed_from: the step at which `timed` was taken
    double started, timed;          // `timed`: end of the first step, whose start-up is not typical
    double drawn;                   // when something was last written
    const char *stage;              // the latest stage's name, not owned
    bool terminal, stepped;
    bool pending; // something has changed since a line was written for good
    bool on_line; // the terminal's line holds our text
};

// ---------------------------------------------------------------------------------- formatting

// A piece of the line; when the line is too long, the piece with the highest `drop` goes first.
typedef struct piece {
    char text[48];
    int drop;
} piece;

typedef struct pieces {
    piece list[PIECES_MOST];
    size_t count;
} pieces;

__attribute__((format(printf, 3, 4))) static void add_piece(pieces *all, int drop,
                                                            const char *format, ...)
{
    TV_CHECK(all->count < PIECES_MOST, "more than %d pieces in a progress line", PIECES_MOST);
    piece *added = &all->list[all->count++];
    va_list args;
    va_start(args, format);
    vsnprintf(added->text, sizeof added->text, format, args);
    va_end(args);
    added->drop = drop;
}

static void format_rate(double rate, char out[16])
{
    static const struct {
        double unit;
        const char *suffix;
    } units[] = {{1e9, "G"}, {1e6, "M"}, {1e3, "k"}, {1, ""}};
    size_t i = 0;
    while (i < 3 && rate < units[i].unit)
        i++;
    double value = rate / units[i].unit;
    snprintf(out, 16, value < 100 ? "%.1f%s" : "%.0f%s", value, units[i].suffix);
}

static void add_values(pieces *all, const tv_progress_view *view)
{
    const tv_metrics *metrics = view->metrics;
    char text[32], rate[16];
    if (isfinite(metrics->loss))
        add_piece(all, 1, "loss %.4f", metrics->loss);
    if (isfinite(metrics->val_loss))
        add_piece(all, 4, "val %.4f", metrics->val_loss);
    if (isfinite(metrics->lr))
        add_piece(all, 6, "lr %.2e", metrics->lr);
    if (isfinite(metrics->loss_scale))
        add_piece(all, 7, "scale %.10g", metrics->loss_scale);
    if (isfinite(metrics->tokens_per_s) && metrics->tokens_per_s >= 0) {
        format_rate(metrics->tokens_per_s, rate);
        add_piece(all, 3, "%s tokens/s", rate);
    }
    if (isfinite(view->elapsed)) {
        tv_format_duration(view->elapsed, text);
        add_piece(all, 5, "%s", text);
    }
    if (isfinite(view->remaining)) {
        tv_format_duration(view->remaining, text);
        add_piece(all, 2, "%s left", text);
    }
}

// Columns of all pieces with two spaces between them.
static size_t pieces_columns(const pieces *all)
{
    size_t columns = all->count ? 2 * (all->count - 1) : 0;
    for (size_t i = 0; i < all->count; i++)
        columns += strlen(all->list[i].text);
    return columns;
}

static void drop_least(pieces *all)
{
    size_t least = 0;
    for (size_t i = 1; i < all->count; i++)
        if (all->list[i].drop > all->list[least].drop)
            least = i;
    for (size_t i = least + 1; i < all->count; i++)
        all->list[i - 1] = all->list[i];
    all->count--;
}

static void append_pieces(const pieces *all, tv_text *line)
{
    for (size_t i = 0; i < all->count; i++)
        tv_text_printf(line, "%s%s", i ? "  " : "", all->list[i].text);
}

static void append_bar(double done, size_t columns, tv_text *line)
{
    size_t inner = columns - 2, full = (size_t)(done * (double)inner);
    tv_text_puts(line, "[");
    for (size_t i = 0; i < inner; i++)
        tv_text_puts(line, i < full ? "=" : i == full ? ">" : " ");
    tv_text_puts(line, "]  ");
}

static double fraction_done(const tv_progress_view *view)
{
    if (view->max_steps == 0 || view->metrics->step >= view->max_steps)
        return 1;
    return (double)view->metrics->step / (double)view->max_steps;
}

void tv_progress_format_bar(const tv_progress_view *view, size_t columns, tv_text *line)
{
    pieces all = {0};
    double done = fraction_done(view);
    size_t start = line->length;
    add_piece(&all, 0, "%3d%%", (int)(100 * done));
    add_piece(&all, 0, "%" PRIu64 "/%" PRIu64, view->metrics->step, view->max_steps);
    add_values(&all, view);
    while (all.count > 2 && pieces_columns(&all) > columns)
        drop_least(&all);
    size_t used = pieces_columns(&all);
    tv_text_printf(line, "%s  ", all.list[0].text);
    if (columns >= used + BAR_LEAST + 2)
        append_bar(done, tv_min_size(columns - used - 2, BAR_MOST), line);
    memmove(&all.list[0], &all.list[1], (all.count - 1) * sizeof all.list[0]);
    all.count--;
    append_pieces(&all, line);
    if (line->length - start > columns) {
        line->length = start + columns;
        line->data[line->length] = 0;
    }
}

void tv_progress_format_plain(const tv_progress_view *view, tv_text *line)
{
    pieces all = {0};
    add_piece(&all, 0, "step %" PRIu64 "/%" PRIu64, view->metrics->step, view->max_steps);
    add_values(&all, view);
    append_pieces(&all, line);
}

// ------------------------------------------------------------------------------------- drawing

static bool is_silent(void)
{
    return tv_log_get_level() < TV_LOG_INFO;
}

static size_t terminal_columns(void)
{
    struct winsize size;
    bool known = ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 1;
    return (known ? size.ws_col : COLUMNS_DEFAULT) - 1u; // the last column would wrap the cursor
}

// Replaces what the terminal's line holds; a NULL text only clears it.
static void redraw(tv_progress *progress, const char *text)
{
    fprintf(stderr, "\r\033[K%s", text ? text : "");
    fflush(stderr);
    progress->on_line = text != NULL;
    progress->drawn = tv_now_seconds();
}

static void draw(tv_progress *progress, bool for_good)
{
    double now = tv_now_seconds();
    uint64_t step = progress->latest.step, timed = step - progress->timed_from;
    double left = step < progress->max_steps ? (double)(progress->max_steps - step) : 0;
    tv_progress_view view = {
        .metrics = &progress->latest,
        .max_steps = progress->max_steps,
        .elapsed = now - progress->started,
        .remaining = left == 0 || timed == 0 ? NAN : left * (now - progress->timed) / (double)timed,
    };
    tv_text line = {0};
    if (progress->terminal) {
        tv_progress_format_bar(&view, terminal_columns(), &line);
        redraw(progress, line.data);
        if (for_good) {
            fputc('\n', stderr);
            progress->on_line = false;
        }
    } else {
        tv_progress_format_plain(&view, &line);
        tv_info("%s", line.data);
        progress->drawn = now;
    }
    progress->pending = progress->terminal && !for_good;
    tv_text_finish(&line);
}

tv_progress *tv_progress_create(uint64_t first_step, uint64_t max_steps, bool bar)
{
    tv_progress *progress = tv_alloc(1, sizeof *progress);
    progress->latest = tv_metrics_none(first_step);
    progress->max_steps = max_steps;
    progress->terminal = bar && isatty(STDERR_FILENO);
    progress->started = tv_now_seconds();
    return progress;
}

void tv_progress_destroy(tv_progress **progress)
{
    if (!*progress)
        return;
    if ((*progress)->on_line)
        redraw(*progress, NULL);
    tv_free(*progress);
    *progress = NULL;
}

void tv_progress_stage(tv_progress *progress, const char *what, size_t done, size_t total)
{
    bool begins = !progress->stage || strcmp(progress->stage, what) != 0;
    double pause = progress->terminal ? REDRAW_S : PLAIN_S;
    progress->stage = what;
    bool at_once = begins && progress->terminal;
    if (is_silent() || (!at_once && tv_now_seconds() - progress->drawn < pause))
        return;
    tv_text line = {0};
    tv_text_puts(&line, what);
    if (total)
        tv_text_printf(&line, " %zu/%zu", done, total);
    if (progress->terminal) {
        size_t columns = tv_min_size(line.length, terminal_columns());
        line.data[columns] = 0;
        redraw(progress, line.data);
    } else {
        tv_info("%s", line.data);
        progress->drawn = tv_now_seconds();
    }
    tv_text_finish(&line);
}

static void keep_known(double *kept, double value)
{
    if (!isnan(value))
        *kept = value;
}

void tv_progress_update(tv_progress *progress, const tv_metrics *metrics)
{
    double now = tv_now_seconds();
    tv_metrics *latest = &progress->latest;
    latest->step = metrics->step;
    keep_known(&latest->loss, metrics->loss);
    keep_known(&latest->val_loss, metrics->val_loss);
    keep_known(&latest->lr, metrics->lr);
    keep_known(&latest->tokens_per_s, metrics->tokens_per_s);
    keep_known(&latest->loss_scale, metrics->loss_scale);
    if (!progress->stepped) {
        progress->stepped = true;
        progress->timed_from = metrics->step;
        progress->timed = now;
        progress->drawn = 0; // the first step shows at once
    }
    progress->pending = true;
    if (!is_silent() && now - progress->drawn >= (progress->terminal ? REDRAW_S : PLAIN_S))
        draw(progress, false);
}

void tv_progress_finish(tv_progress *progress)
{
    if (progress->pending && !is_silent())
        draw(progress, true);
}
