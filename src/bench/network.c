// The network between ranks: latency and bandwidth of links, and collective calls as training makes
// them. Everything that arrives is checked.
#include "bench/room.h"

#include "base/clock.h"
#include "base/fault.h"
#include "base/memory.h"
#include "dist/outer.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static const double SECONDS = 1;
static const uint64_t SMALLEST = 4 << 10, LARGEST = 64 << 20, LARGEST_OUTER = 16 << 20;
enum { GROWTH = 4, PAIRS_MOST = 16, TRIPS = 16, PATTERN = 7, SIZES_FEWEST = 3, SIZES_MOST = 16 };

typedef struct network {
    tv_comm *comm;
    uint32_t rank, ranks;
    const tv_bench_options *options;
    tv_bench_rule rule;
    tv_bench_report *report;
    tv_bench_room *room;
    uint64_t runs; // so far, for TRIVIUM_FAULT
} network;

// ------------------------------------------------------------------------------------- repeating

// All ranks hear of the same times, and so end after the same run.
tv_err tv_bench_repeat_together(tv_comm *comm, const tv_bench_rule *rule,
                                tv_bench_together_once *once, void *context, tv_bench_together *t)
{
    double *values = tv_alloc(rule->most, sizeof *values), passed = 0;
    size_t count = 0;
    tv_err err = TV_OK;
    t->wrong = 0;
    for (size_t run = 0; err == TV_OK; run++) {
        double seconds = 0;
        bool right = true;
        err = once(context, &seconds, &right);
        TV_GOTO(done, tv_comm_agree(comm, err));
        uint64_t told[] = {(uint64_t)(seconds * 1e9), right ? 0 : 1 + tv_comm_rank(comm)};
        TV_GOTO(done, tv_comm_max(comm, told, 2));
        t->wrong = told[1] > t->wrong ? told[1] : t->wrong;
        if (run < rule->warm_up)
            continue;
        values[count++] = (double)told[0] * 1e-9;
        passed += (double)told[0] * 1e-9;
        t->seconds = tv_bench_summarize(values, count, rule->tolerance);
        bool stable = t->seconds.stable && passed >= rule->seconds / 4;
        if (stable || (passed >= rule->seconds && count >= rule->fewest) || count == rule->most)
            break;
    }
done:
    tv_free(values);
    return err;
}

static void settle(tv_bench_result *result, const tv_bench_together *t, const char *what)
{
    result->good = t->wrong == 0;
    if (result->good)
        snprintf(result->check, sizeof result->check, "%s", what);
    else
        snprintf(result->check, sizeof result->check, "what arrived at rank %llu is wrong",
                 (unsigned long long)t->wrong - 1);
}

static tv_bench_summary microseconds(const tv_bench_summary *s)
{
    return (tv_bench_summary){.count = s->count,
                              .min = 1e6 * s->min,
                              .median = 1e6 * s->median,
                              .max = 1e6 * s->max,
                              .low = 1e6 * s->low,
                              .high = 1e6 * s->high,
                              .stable = s->stable};
}

static void tell(const network *n, const char *what)
{
    if (n->options->progress)
        n->options->progress(n->options->context, what);
}

// ----------------------------------------------------------------------------------------- links

typedef struct trip {
    network *network;
    uint32_t from, to;
    uint32_t *words;
    uint64_t bytes; // 0: only there and back
} trip;

static bool is_at(const trip *t, uint32_t rank)
{
    return t->network->rank == rank;
}

static uint32_t word_of(uint32_t from, uint64_t i)
{
    return (uint32_t)i * 2654435761u + from;
}

// A number goes there and comes back increased.
static tv_err trip_once(void *context, double *seconds, bool *right)
{
    trip *t = context;
    tv_comm *comm = t->network->comm;
    double start = 0;
    for (uint64_t i = 0; i < TRIPS + 2; i++) {
        uint64_t number = i, back = 0;
        if (i == 2)
            start = tv_now_seconds();
        if (is_at(t, t->from)) {
            TV_TRY(tv_comm_swap(comm, t->to, &number, sizeof number, NULL, 0));
            TV_TRY(tv_comm_swap(comm, t->to, NULL, 0, &back, sizeof back));
            *right = *right && back == number + 1;
        } else if (is_at(t, t->to)) {
            TV_TRY(tv_comm_swap(comm, t->from, NULL, 0, &back, sizeof back));
            back++;
            TV_TRY(tv_comm_swap(comm, t->from, &back, sizeof back, NULL, 0));
        }
    }
    if (is_at(t, t->from))
        *seconds = (tv_now_seconds() - start) / (2 * TRIPS);
    return TV_OK;
}

// Words go there, and a short answer comes back.
static tv_err load_once(void *context, double *seconds, bool *right)
{
    trip *t = context;
    network *n = t->network;
    uint64_t answer = 0, count = t->bytes / sizeof *t->words;
    if (is_at(t, t->from)) {
        for (uint64_t i = 0; i < count; i++)
            t->words[i] = word_of(t->from, i);
        double start = tv_now_seconds();
        TV_TRY(tv_comm_swap(n->comm, t->to, t->words, t->bytes, NULL, 0));
        TV_TRY(tv_comm_swap(n->comm, t->to, NULL, 0, &answer, sizeof answer));
        *seconds = tv_now_seconds() - start;
    } else if (is_at(t, t->to)) {
        memset(t->words, 0, t->bytes);
        TV_TRY(tv_comm_swap(n->comm, t->from, NULL, 0, t->words, t->bytes));
        TV_TRY(tv_comm_swap(n->comm, t->from, &answer, sizeof answer, NULL, 0));
        for (uint64_t i = 0; i < count; i++)
            *right = *right && t->words[i] == word_of(t->from, i);
    }
    return TV_OK;
}

static tv_err measure_latency(network *n, uint32_t a, uint32_t b)
{
    trip t = {.network = n, .from = a, .to = b};
    tv_bench_together together;
    tv_bench_result *r =
        tv_bench_report_add(n->report, TV_BENCH_LATENCY, "us", "latency %u-%u", a, b);
    tell(n, r->name);
    TV_TRY(tv_bench_repeat_together(n->comm, &n->rule, trip_once, &t, &together));
    settle(r, &together, "every number that came back");
    r->travel = (tv_bench_travel){sizeof(uint64_t), together.seconds.median, NAN};
    r->rate = microseconds(&together.seconds);
    return TV_OK;
}

// As much as takes a fifth of the time of a result.
static tv_err find_load(network *n, trip *t)
{
    const tv_bench_rule once = {.fewest = 1, .most = 1};
    tv_bench_together together;
    for (t->bytes = 1 << 20;; t->bytes *= GROWTH) {
        TV_TRY(tv_bench_repeat_together(n->comm, &once, load_once, t, &together));
        if (t->bytes >= LARGEST || together.seconds.median * 5 >= n->rule.seconds)
            return TV_OK;
    }
}

static tv_err measure_link(network *n, uint32_t from, uint32_t to, uint32_t *words)
{
    trip t = {.network = n, .from = from, .to = to, .words = words};
    tv_bench_together together;
    tv_bench_result *r =
        tv_bench_report_add(n->report, TV_BENCH_LINK, "MB/s", "link %u>%u", from, to);
    tell(n, r->name);
    TV_TRY(find_load(n, &t));
    TV_TRY(tv_bench_repeat_together(n->comm, &n->rule, load_once, &t, &together));
    settle(r, &together, "every word");
    r->rate = tv_bench_rates(&together.seconds, (double)t.bytes / 1e6);
    r->travel = (tv_bench_travel){(double)t.bytes, together.seconds.median, NAN};
    n->room->link = fmin(n->room->link, 1e6 * r->rate.median);
    return TV_OK;
}

// All pairs; of many ranks, rank 0 with the next ones, and neighbours.
static size_t choose_pairs(uint32_t ranks, uint32_t pairs[PAIRS_MOST][2])
{
    size_t count = 0;
    bool all = ranks * (ranks - 1) / 2 <= PAIRS_MOST;
    for (uint32_t a = 0; a < ranks; a++)
        for (uint32_t b = a + 1; b < ranks; b++) {
            bool near = a == 0 ? b <= PAIRS_MOST / 2 : b == a + 1;
            if (count == PAIRS_MOST || (!all && !near))
                continue;
            pairs[count][0] = a;
            pairs[count++][1] = b;
        }
    return count;
}

static tv_err measure_links(network *n)
{
    uint32_t pairs[PAIRS_MOST][2], *words = tv_alloc(LARGEST, 1);
    size_t count = choose_pairs(n->ranks, pairs);
    tv_err err = TV_OK;
    for (size_t i = 0; i < count && err == TV_OK; i++)
        err = measure_latency(n, pairs[i][0], pairs[i][1]);
    for (size_t i = 0; i < 2 * count && err == TV_OK; i++)
        err = measure_link(n, pairs[i / 2][i % 2], pairs[i / 2][1 - i % 2], words);
    tv_free(words);
    return err;
}

// -------------------------------------------------------------------------------- collective calls

enum { ARRAYS = 5 }; // of an outer exchange

// An array of `count` floats that all ranks work on; in an outer exchange, what they share.
typedef struct load {
    network *network;
    uint64_t count, first, own; // floats: of all, of this rank's piece
    uint64_t *pieces, *sizes;   // [ranks] floats, and bytes
    float *values;
    float sums[PATTERN];
    tv_outer_rule rule;
} load;

// Small whole numbers, whose sums are exact.
static float value_of(uint32_t rank, uint64_t i)
{
    return (float)((i + 3 * rank) % PATTERN + 1);
}

static void cut(load *l, uint64_t count)
{
    const network *n = l->network;
    l->count = count;
    for (uint32_t r = 0; r < n->ranks; r++) {
        uint64_t first = count * r / n->ranks;
        l->pieces[r] = count * (r + 1) / n->ranks - first;
        l->sizes[r] = l->pieces[r] * sizeof *l->values;
        l->first = r == n->rank ? first : l->first;
        l->own = r == n->rank ? l->pieces[r] : l->own;
    }
}

static void fill(const load *l)
{
    for (uint64_t i = 0; i < l->count; i++)
        l->values[i] = value_of(l->network->rank, i);
}

// A fault that the checks must see.
static void spoil(load *l)
{
    if (tv_fault_strike(l->network->rank, ++l->network->runs))
        l->values[l->first] += 1;
}

static bool is_sum(const load *l, uint64_t first, uint64_t count)
{
    bool right = true;
    for (uint64_t i = first; i < first + count; i++)
        right = right && l->values[i] == l->sums[i % PATTERN];
    return right;
}

static tv_err sum_once(void *context, double *seconds, bool *right)
{
    load *l = context;
    fill(l);
    TV_TRY(tv_comm_barrier(l->network->comm));
    double start = tv_now_seconds();
    TV_TRY(tv_comm_sum_f32(l->network->comm, l->values, l->count));
    *seconds = tv_now_seconds() - start;
    spoil(l);
    *right = is_sum(l, 0, l->count);
    return TV_OK;
}

static tv_err scatter_once(void *context, double *seconds, bool *right)
{
    load *l = context;
    fill(l);
    TV_TRY(tv_comm_barrier(l->network->comm));
    double start = tv_now_seconds();
    TV_TRY(tv_comm_reduce_scatter_f32(l->network->comm, l->values, l->pieces));
    *seconds = tv_now_seconds() - start;
    spoil(l);
    *right = is_sum(l, l->first, l->own);
    return TV_OK;
}

static tv_err gather_once(void *context, double *seconds, bool *right)
{
    load *l = context;
    memset(l->values, 0, l->count * sizeof *l->values);
    for (uint64_t i = l->first; i < l->first + l->own; i++)
        l->values[i] = value_of(l->network->rank, i);
    TV_TRY(tv_comm_barrier(l->network->comm));
    double start = tv_now_seconds();
    TV_TRY(tv_comm_all_gather(l->network->comm, l->values, l->sizes));
    *seconds = tv_now_seconds() - start;
    spoil(l);
    for (uint64_t i = 0, r = 0, end = l->pieces[0]; i < l->count; i++) {
        while (i == end)
            end += l->pieces[++r];
        *right = *right && l->values[i] == value_of((uint32_t)r, i);
    }
    return TV_OK;
}

// Rank r has come r + 1 from what all share, so they step by the mean of that.
static tv_err outer_once(void *context, double *seconds, bool *right)
{
    load *l = context;
    uint32_t ranks = l->network->ranks;
    float *own = l->values + l->count;
    tv_outer_part part = {.count = l->count,
                          .shared = l->values,
                          .own = own,
                          .momentum = own + l->count,
                          .error = own + 2 * l->count,
                          .mean_error = own + 3 * l->count};
    tv_outer_report report;
    memset(l->values, 0, ARRAYS * l->count * sizeof *own);
    for (uint64_t i = 0; i < l->count; i++)
        own[i] = -(float)(l->network->rank + 1);
    TV_TRY(tv_comm_barrier(l->network->comm));
    double start = tv_now_seconds();
    TV_TRY(tv_outer_step(l->network->comm, &l->rule, &part, 1, &report));
    *seconds = tv_now_seconds() - start;
    spoil(l);
    for (uint64_t i = 0; i < l->count; i++)
        *right = *right && fabs(l->values[i] + (ranks + 1) / 2.0) <= 1e-2 * ranks;
    return TV_OK;
}

static tv_err meet_once(void *context, double *seconds, bool *right)
{
    network *n = context;
    double start = tv_now_seconds();
    for (uint64_t i = 0; i < TRIPS; i++) {
        uint64_t largest = i + n->rank;
        TV_TRY(tv_comm_max(n->comm, &largest, 1));
        *right = *right && largest == i + n->ranks - 1;
    }
    *seconds = (tv_now_seconds() - start) / TRIPS;
    return TV_OK;
}

typedef struct call {
    const char *name;
    tv_bench_together_once *once;
    double trips;   // of a rank's part of the array: a sum goes there and back
    double bits;    // of a value on its way
    uint64_t scale; // values that a line counts as one: floats are counted in bytes
    tv_line *line;
} call;

// What a rank sends, per second: then the link's rate is the most.
static void rate(const network *n, const call *c, uint64_t count, const tv_bench_together *t,
                 tv_bench_result *r)
{
    double sent = c->trips * (n->ranks - 1) / n->ranks * (double)count * c->bits / 8;
    r->rate = tv_bench_rates(&t->seconds, sent / 1e6);
    r->travel = (tv_bench_travel){(double)count * sizeof(float), t->seconds.median,
                                  1e6 * r->rate.median / n->room->link};
    settle(r, t, "every element on every rank");
}

static tv_err measure_call(load *l, const call *c, uint64_t largest)
{
    network *n = l->network;
    double x[SIZES_MOST], y[SIZES_MOST];
    size_t count = 0;
    tv_bench_together together;
    for (uint64_t bytes = SMALLEST; bytes <= largest; bytes *= GROWTH) {
        char size[32];
        tv_format_bytes(bytes, size);
        cut(l, bytes / sizeof(float));
        tv_bench_result *r =
            tv_bench_report_add(n->report, TV_BENCH_COLLECTIVE, "MB/s", "%s %s", c->name, size);
        tell(n, r->name);
        TV_TRY(tv_bench_repeat_together(n->comm, &n->rule, c->once, l, &together));
        rate(n, c, l->count, &together, r);
        x[count] = (double)(bytes / c->scale);
        y[count++] = fmax(together.seconds.median, 1e-9);
        if (count >= SIZES_FEWEST && together.seconds.median > n->rule.seconds)
            break;
    }
    TV_CHECK(tv_line_fit_cost(x, y, count, c->line), "%s of one size", c->name);
    return TV_OK;
}

static tv_err measure_meeting(network *n)
{
    tv_bench_together together;
    tv_bench_result *r =
        tv_bench_report_add(n->report, TV_BENCH_LATENCY, "us", "meeting of all ranks");
    tell(n, r->name);
    TV_TRY(tv_bench_repeat_together(n->comm, &n->rule, meet_once, n, &together));
    settle(r, &together, "every number");
    n->room->meeting = together.seconds.median;
    r->rate = microseconds(&together.seconds);
    r->travel = (tv_bench_travel){sizeof(uint64_t), together.seconds.median, NAN};
    return TV_OK;
}

static void open_load(network *n, const tv_wire *wire, load *l)
{
    *l = (load){.network = n, .rule = {.wire = wire ? *wire : TV_WIRE_F32, .lr = 1}};
    l->pieces = tv_alloc(n->ranks, sizeof *l->pieces);
    l->sizes = tv_alloc(n->ranks, sizeof *l->sizes);
    l->values = tv_alloc(tv_max_size(LARGEST, wire ? ARRAYS * LARGEST_OUTER : 0), 1);
    for (uint64_t i = 0; i < PATTERN; i++)
        for (uint32_t r = 0; r < n->ranks; r++)
            l->sums[i] += value_of(r, i);
}

static void close_load(load *l)
{
    tv_free(l->pieces);
    tv_free(l->sizes);
    tv_free(l->values);
}

static tv_err measure_calls(network *n, const tv_wire *wire)
{
    static const char *const wires[TV_WIRES] = {"f32", "bf16", "int8", "int4"};
    tv_bench_room *room = n->room;
    const call calls[] = {
        {"all-reduce", sum_once, 2, 32, 1, &room->sum},
        {"reduce-scatter", scatter_once, 1, 32, 1, &room->scatter},
        {"all-gather", gather_once, 1, 32, 1, &room->gather},
    };
    load l;
    tv_err err = TV_OK;
    open_load(n, wire, &l);
    for (size_t i = 0; i < sizeof calls / sizeof *calls && err == TV_OK; i++)
        err = measure_call(&l, &calls[i], LARGEST);
    if (err == TV_OK && wire) {
        char name[24];
        snprintf(name, sizeof name, "outer %s", wires[*wire]);
        snprintf(room->wire, sizeof room->wire, "%s", wires[*wire]);
        call outer = {name, outer_once, 2, tv_wire_bits(*wire), sizeof(float), &room->outer};
        err = measure_call(&l, &outer, LARGEST_OUTER);
    }
    close_load(&l);
    return err;
}

// Which ranks there are, on which machines.
static tv_err introduce(tv_comm *comm, tv_bench_room *room)
{
    char host[sizeof room->members->host] = "", *all = tv_alloc(room->count, sizeof host);
    snprintf(host, sizeof host, "%s", tv_comm_host(comm));
    tv_err err = tv_comm_gather(comm, host, sizeof host, all);
    for (uint32_t r = 0; r < room->count; r++)
        memcpy(room->members[r].host, all + r * sizeof host, sizeof host);
    tv_free(all);
    return err;
}

tv_err tv_bench_network(tv_comm *comm, const tv_bench_options *options, const tv_wire *wire,
                        tv_bench_report *report)
{
    tv_bench_room *room = report->room = tv_alloc(1, sizeof *room);
    *room = (tv_bench_room){.count = tv_comm_size(comm), .link = INFINITY};
    room->members = tv_alloc(room->count, sizeof *room->members);
    network n = {.comm = comm,
                 .rank = tv_comm_rank(comm),
                 .ranks = room->count,
                 .options = options,
                 .rule = tv_bench_rule_of(options->seconds > 0 ? options->seconds : SECONDS),
                 .report = report,
                 .room = room};
    TV_TRY(introduce(comm, room));
    TV_TRY(measure_links(&n));
    TV_TRY(measure_meeting(&n));
    return measure_calls(&n, wire);
}
