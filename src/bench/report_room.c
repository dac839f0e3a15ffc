// What a report says of the ranks, their calls and their strategies: as text, and as JSON.
#include "bench/room.h"

#include "bench/table.h"
#include "formats/json.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

// ------------------------------------------------------------------------------------------ text

static uint32_t count_hosts(const tv_bench_room *room)
{
    uint32_t hosts = 0;
    for (uint32_t r = 0; r < room->count; r++) {
        bool known = false;
        for (uint32_t k = 0; k < r && !known; k++)
            known = strcmp(room->members[k].host, room->members[r].host) == 0;
        hosts += !known;
    }
    return hosts;
}

static void add_ranks(const tv_bench_room *room, const tv_table_style *style, tv_text *out)
{
    const tv_table_column columns[] = {{"rank", 6},           {"host", 12},   {"sequences", 10},
                                       {"micro-batches", 14}, {"ms each", 9}, {"update ms", 10},
                                       {"copy ms", 9},        {"device", 30}};
    size_t count = room->predicted ? 8 : 2;
    tv_table_head(style, columns, count, out);
    for (uint32_t r = 0; r < room->count; r++) {
        char rank[16], share[16] = "", batches[24] = "", micro[32], update[32], copy[32];
        const tv_bench_member *m = &room->members[r];
        tv_predict_rank none = {0};
        const tv_predict_rank *p = room->predicted ? &room->ranks[r] : &none;
        char device[300];
        snprintf(rank, sizeof rank, "%u", r);
        snprintf(share, sizeof share, "%u", p->share);
        snprintf(batches, sizeof batches, "%u x %u", p->batches, m->micro_batch);
        snprintf(device, sizeof device, "%s (%s)", m->device, m->driver);
        tv_table_row(style, columns, count,
                     (const char *[]){rank, m->host, share, batches,
                                      tv_bench_number(1e3 * p->micro, micro),
                                      tv_bench_number(1e3 * p->update, update),
                                      tv_bench_number(1e3 * p->copy, copy), device},
                     out);
    }
    tv_text_printf(out, "\n%s%u ranks on %u host%s\n", style->item, room->count, count_hosts(room),
                   count_hosts(room) == 1 ? "" : "s");
}

static void add_calls(const tv_bench_report *report, const tv_table_style *style, tv_text *out)
{
    const tv_table_column columns[] = {
        {"call", 24}, {"ms", 9}, {"MB/s sent", 10}, {"% of link", 10}};
    tv_table_head(style, columns, 4, out);
    for (size_t i = 0; i < report->count; i++) {
        const tv_bench_result *r = &report->results[i];
        char ms[32], rate[32], part[32];
        if (r->kind != TV_BENCH_COLLECTIVE)
            continue;
        tv_table_row(style, columns, 4,
                     (const char *[]){r->name, tv_bench_number(1e3 * r->travel.seconds, ms),
                                      tv_bench_number(r->rate.median, rate),
                                      tv_bench_number(100 * r->travel.of_link, part)},
                     out);
    }
    tv_text_puts(out, "\n");
}

static void add_line(const char *name, const tv_line *line, const char *unit,
                     const tv_table_style *style, tv_text *out)
{
    tv_text_printf(out, "%s%s: %.4g ms + %.4g ms for each 10^6 %s; a point deviates by %.0f %%\n",
                   style->item, name, 1e3 * line->fixed, 1e9 * line->slope, unit,
                   100 * line->worst);
}

static void add_lines(const tv_bench_room *room, const tv_table_style *style, tv_text *out)
{
    char outer[32];
    tv_text_printf(out, "%sthe slowest link does %.4g MB/s one way; a meeting takes %.4g us\n",
                   style->item, 1e-6 * room->link, 1e6 * room->meeting);
    add_line("all-reduce", &room->sum, "bytes", style, out);
    add_line("reduce-scatter", &room->scatter, "bytes", style, out);
    add_line("all-gather", &room->gather, "bytes", style, out);
    snprintf(outer, sizeof outer, "outer %s", room->wire);
    if (room->wire[0])
        add_line(outer, &room->outer, "values", style, out);
}

static void add_inputs(const tv_bench_room *room, const tv_table_style *style, tv_text *out)
{
    const tv_predict_job *job = &room->job;
    uint64_t parcels = 0;
    for (size_t i = 0; i < job->bucket_count; i++)
        parcels += job->buckets[i].parcels;
    tv_text_printf(out, "%spredicted for: %s\n%sgradients: %zu bucket%s in %llu calls, there after",
                   style->item, room->model, style->item, job->bucket_count,
                   job->bucket_count == 1 ? "" : "s", (unsigned long long)parcels);
    for (size_t i = 0; i < job->bucket_count && i < 8; i++)
        tv_text_printf(out, " %.0f", 100 * room->done[i]);
    tv_text_printf(out,
                   "%s %% of rank 0's micro-batch\n%sdiloco: %llu steps between averages in %llu "
                   "fragment%s, each behind %llu steps, %.4g bits a value, %s steps\n",
                   job->bucket_count > 8 ? " ..." : "", style->item,
                   (unsigned long long)job->diloco.interval,
                   (unsigned long long)job->diloco.fragments, job->diloco.fragments == 1 ? "" : "s",
                   (unsigned long long)job->diloco.overlap, job->diloco.bits,
                   job->diloco.equal ? "equal" : "by speed");
}

static void add_predictions(const tv_bench_room *room, const tv_table_style *style, tv_text *out)
{
    const tv_table_column columns[] = {
        {"predicted step", 16}, {"MB sent", 9},      {"compute ms", 11}, {"network ms", 11},
        {"hidden ms", 10},      {"step ms", 9},      {"tokens/s", 9},    {"% computing", 12},
        {"measured ms", 12},    {"of predicted", 13}};
    tv_table_head(style, columns, 10, out);
    for (size_t i = 0; i < room->strategy_count; i++) {
        const tv_prediction *p = &room->predictions[i];
        char sent[32], computing[32], network[32], hidden[32], step[32], tokens[32], use[32],
            measured[32], ratio[32];
        tv_table_row(style, columns, 10,
                     (const char *[]){tv_predict_strategy_at(i)->name,
                                      tv_bench_number(1e-6 * p->sent, sent),
                                      tv_bench_number(1e3 * p->computing, computing),
                                      tv_bench_number(1e3 * p->network, network),
                                      tv_bench_number(1e3 * p->hidden, hidden),
                                      tv_bench_number(1e3 * p->seconds, step),
                                      tv_bench_number(tv_predict_rate(p), tokens),
                                      tv_bench_number(100 * tv_predict_use(p), use),
                                      tv_bench_number(1e3 * room->measured[i], measured),
                                      tv_bench_number(room->measured[i] / p->seconds, ratio)},
                     out);
    }
    tv_text_printf(out, "\n%s%s\n", style->item, room->advice);
}

void tv_bench_room_text(const tv_bench_report *report, const struct tv_table_style *style,
                        tv_text *out)
{
    const tv_bench_room *room = report->room;
    add_ranks(room, style, out);
    tv_text_puts(out, "\n");
    add_calls(report, style, out);
    add_lines(room, style, out);
    if (!room->predicted) {
        tv_text_printf(out, "%sfor predictions, name the run's CONFIG.yaml\n", style->item);
        return;
    }
    add_inputs(room, style, out);
    tv_text_puts(out, "\n");
    add_predictions(room, style, out);
}

// ------------------------------------------------------------------------------------------ JSON

static json_t *of_number(double value)
{
    return isfinite(value) ? json_real(value) : json_null();
}

static json_t *of_line(const tv_line *line, const char *unit)
{
    return json_pack("{s:o, s:o, s:s, s:o}", "fixed_seconds", of_number(line->fixed),
                     "seconds_per_unit", of_number(line->slope), "unit", unit, "worst_deviation",
                     of_number(line->worst));
}

static json_t *of_rank(const tv_bench_room *room, uint32_t rank)
{
    const tv_bench_member *m = &room->members[rank];
    json_t *object = json_pack("{s:s}", "host", m->host);
    if (!room->predicted)
        return object;
    const tv_predict_rank *p = &room->ranks[rank];
    json_t *computes = json_pack(
        "{s:s, s:s, s:I, s:I, s:I, s:o, s:o, s:o}", "device", m->device, "driver", m->driver,
        "sequences", (json_int_t)p->share, "micro_batch", (json_int_t)m->micro_batch,
        "micro_batches", (json_int_t)p->batches, "micro_batch_seconds", of_number(p->micro),
        "update_seconds", of_number(p->update), "copy_seconds", of_number(p->copy));
    json_object_update(object, computes);
    json_decref(computes);
    return object;
}

static json_t *of_strategy(const tv_bench_room *room, size_t i)
{
    const tv_predict_strategy *s = tv_predict_strategy_at(i);
    const tv_prediction *p = &room->predictions[i];
    return json_pack(
        "{s:s, s:s, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "strategy", s->name, "settings",
        s->settings, "sent_bytes", of_number(p->sent), "compute_seconds", of_number(p->computing),
        "network_seconds", of_number(p->network), "hidden_seconds", of_number(p->hidden), "seconds",
        of_number(p->seconds), "tokens", of_number(p->tokens), "tokens_per_second",
        of_number(tv_predict_rate(p)), "measured_seconds", of_number(room->measured[i]));
}

static json_t *of_prediction(const tv_bench_room *room)
{
    json_t *strategies = json_array(), *buckets = json_array();
    for (size_t i = 0; i < room->strategy_count; i++)
        json_array_append_new(strategies, of_strategy(room, i));
    for (size_t i = 0; i < room->job.bucket_count; i++)
        json_array_append_new(buckets, json_pack("{s:I, s:I}", "elements",
                                                 (json_int_t)room->buckets[i].elements, "calls",
                                                 (json_int_t)room->buckets[i].parcels));
    return json_pack("{s:s, s:I, s:I, s:o, s:o, s:s}", "model", room->model, "parameters",
                     (json_int_t)room->job.elements, "weight_bytes",
                     (json_int_t)room->job.weight_bytes, "buckets", buckets, "strategies",
                     strategies, "advice", room->advice);
}

json_t *tv_bench_room_json(const tv_bench_room *room)
{
    json_t *ranks = json_array();
    for (uint32_t r = 0; r < room->count; r++)
        json_array_append_new(ranks, of_rank(room, r));
    json_t *object =
        json_pack("{s:o, s:o, s:o, s:o, s:o, s:o}", "ranks", ranks, "link_bytes_per_second",
                  of_number(room->link), "meeting_seconds", of_number(room->meeting), "all_reduce",
                  of_line(&room->sum, "bytes"), "reduce_scatter", of_line(&room->scatter, "bytes"),
                  "all_gather", of_line(&room->gather, "bytes"));
    if (room->wire[0])
        json_object_set_new(object, "outer", of_line(&room->outer, "values"));
    if (room->predicted)
        json_object_set_new(object, "prediction", of_prediction(room));
    return object;
}
