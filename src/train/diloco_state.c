// DiLoCo: checkpoints. diloco.safetensors lies beside the shared parameters and holds
//   shared, momentum         of the outer optimizer
//   numbers [ranks, ...]     what a rank counts
//   rank.N.*                 arrays of rank N; those that hold nothing of interest are left out
// Rank 0 writes it, and asks the others for theirs piece by piece.
#include "train/diloco.h"

#include "base/file.h"
#include "base/log.h"
#include "base/memory.h"
#include "dist/wish.h"
#include "formats/safetensors.h"
#include "train/diloco_parts.h"

#include <stdio.h>
#include <string.h>

#define FILE_NAME "diloco.safetensors"

// Columns of `numbers`; behind them the marks of the fragments.
enum {
    UPDATES,
    SKIPPED_IN_A_ROW,
    LOSS_SCALE, // 0 where the loss is not scaled
    GOOD_STEPS,
    TRAINED,
    LOSS,
    GRAD_NORM,
    LOCAL_STEPS,
    SPEED,
    PENDING, // number of the fragment, from 1
    SENT_STEP,
    MERGE_STEP,
    COLUMNS
};

typedef enum kind { ERROR, MEAN_ERROR, FIRST, SECOND, OWN, SENT, KINDS } array_kind;
static const char *const kind_names[KINDS] = {"error",      "mean_error", "exp_avg",
                                              "exp_avg_sq", "parameters", "sent"};

typedef struct item {
    const void *values; // NULL: an array of a rank
    uint32_t rank;
    array_kind kind;
} item;

typedef struct saving {
    tv_diloco *d;
    uint64_t step;
    double *numbers; // [ranks][columns]
    float *arrays[KINDS];
    item *items; // of the file
} saving;

static size_t columns_of(const tv_diloco *d)
{
    return COLUMNS + d->fragment_count;
}

// Values that the rank adds up in exchanges, of all fragments.
static uint64_t piece_count(const tv_diloco *d, uint32_t rank)
{
    uint64_t count = 0, first, end;
    for (size_t f = 0; f < d->fragment_count; f++) {
        tv_outer_piece(d->fragments[f].count, rank, tv_comm_size(d->session->comm), &first, &end);
        count += end - first;
    }
    return count;
}

// Copies them from their places into one array, or back.
static void copy_pieces(tv_diloco *d, float *pieces, bool back)
{
    uint64_t first, end;
    tv_comm *comm = d->session->comm;
    for (size_t f = 0; f < d->fragment_count; f++) {
        tv_outer_piece(d->fragments[f].count, tv_comm_rank(comm), tv_comm_size(comm), &first, &end);
        float *place = d->mean_error + d->fragments[f].first + first;
        size_t size = (size_t)(end - first) * sizeof *place;
        if (size)
            memcpy(back ? place : pieces, back ? pieces : place, size);
        pieces += end - first;
    }
}

static uint64_t array_count(const tv_diloco *d, array_kind kind, uint32_t rank)
{
    if (kind == SENT)
        return d->pending ? d->pending->count : 0;
    return kind == MEAN_ERROR ? piece_count(d, rank) : d->count;
}

static bool is_saved(const saving *s, array_kind kind)
{
    switch (kind) {
    case ERROR:
    case MEAN_ERROR:
        return s->d->rule.wire != TV_WIRE_F32;
    case OWN:
        return s->step != s->d->shared_step;
    case SENT:
        return s->d->pending != NULL;
    default:
        return true;
    }
}

// ----------------------------------------------------------------------------------------- saving

static void write_numbers(const tv_diloco *d, const tv_train_state *state, double *numbers)
{
    uint32_t rank = tv_comm_rank(d->session->comm);
    bool scaled = tv_precision_get_info(d->session->precision)->scaled;
    numbers[UPDATES] = (double)state->updates;
    numbers[SKIPPED_IN_A_ROW] = (double)state->skipped_in_a_row;
    numbers[LOSS_SCALE] = scaled ? state->loss_scale.value : 0;
    numbers[GOOD_STEPS] = (double)state->loss_scale.good_steps;
    numbers[TRAINED] = (double)d->trained;
    numbers[LOSS] = d->loss;
    numbers[GRAD_NORM] = d->grad_norm;
    numbers[LOCAL_STEPS] = (double)d->local_steps[rank];
    numbers[SPEED] = d->speeds[rank];
    numbers[PENDING] = d->pending ? (double)(d->pending - d->fragments + 1) : 0;
    numbers[SENT_STEP] = (double)d->sent_step;
    numbers[MERGE_STEP] = (double)d->merge_step;
    for (size_t f = 0; f < d->fragment_count; f++)
        numbers[COLUMNS + f] = (double)d->fragments[f].mark;
}

// Everything into host memory, so that nothing can fail while rank 0 asks; and the shared
// parameters onto the device, from which the model is saved.
static tv_err gather_own(saving *s)
{
    tv_diloco *d = s->d;
    tv_step_graph *graph = d->session->graph;
    uint32_t rank = tv_comm_rank(d->session->comm);
    TV_TRY(tv_diloco_show_shared(d, s->step));
    TV_TRY(tv_moments_read(d->session->plan, graph->model, graph->first_moments,
                           s->arrays[FIRST] = tv_alloc(d->count, sizeof(float))));
    TV_TRY(tv_moments_read(d->session->plan, graph->model, graph->second_moments,
                           s->arrays[SECOND] = tv_alloc(d->count, sizeof(float))));
    s->arrays[MEAN_ERROR] = tv_alloc(piece_count(d, rank), sizeof(float));
    copy_pieces(d, s->arrays[MEAN_ERROR], false);
    s->arrays[ERROR] = d->error;
    s->arrays[OWN] = d->kept;
    s->arrays[SENT] = d->pending ? d->own + d->pending->first : NULL;
    return TV_OK;
}

static void free_saving(saving *s)
{
    tv_free(s->arrays[FIRST]);
    tv_free(s->arrays[SECOND]);
    tv_free(s->arrays[MEAN_ERROR]);
    tv_free(s->numbers);
    tv_free(s->items);
}

// Wishes are for values of an array of one rank, other than rank 0.
static tv_err answer(void *context, const tv_wish *wish, float *out)
{
    const saving *s = context;
    tv_comm *comm = s->d->session->comm;
    bool mine = wish->rank == tv_comm_rank(comm);
    return tv_wish_send(comm, wish, mine ? s->arrays[wish->what] + wish->first : NULL, out);
}

static tv_err fetch(void *context, size_t index, size_t offset, void *out, size_t size)
{
    saving *s = context;
    const item *wanted = &s->items[index];
    const void *values = wanted->values;
    if (!values && wanted->rank == 0)
        values = s->arrays[wanted->kind];
    if (values) {
        memcpy(out, (const char *)values + offset, size);
        return TV_OK;
    }
    tv_wish wish = {.what = wanted->kind,
                    .rank = wanted->rank,
                    .first = offset / sizeof(float),
                    .count = size / sizeof(float)};
    return tv_wish_for(s->d->session->comm, &wish, answer, s, out);
}

static size_t list_items(saving *s, tv_arena *arena, tv_safetensors_spec *specs)
{
    const tv_diloco *d = s->d;
    uint32_t ranks = tv_comm_size(d->session->comm);
    size_t count = 3;
    specs[0] = (tv_safetensors_spec){"shared", TV_ST_F32, 1, {d->count}};
    specs[1] = (tv_safetensors_spec){"momentum", TV_ST_F32, 1, {d->count}};
    specs[2] = (tv_safetensors_spec){"numbers", TV_ST_F64, 2, {ranks, columns_of(d)}};
    s->items[0].values = d->shared;
    s->items[1].values = d->momentum;
    s->items[2].values = s->numbers;
    for (uint32_t r = 0; r < ranks; r++)
        for (array_kind k = 0; k < KINDS; k++) {
            if (!is_saved(s, k))
                continue;
            const char *name = tv_arena_printf(arena, "rank.%u.%s", r, kind_names[k]);
            s->items[count] = (item){.rank = r, .kind = k};
            specs[count++] = (tv_safetensors_spec){name, TV_ST_F32, 1, {array_count(d, k, r)}};
        }
    return count;
}

static tv_err write_file(void *context, const char *folder)
{
    saving *s = context;
    size_t most = 3 + (size_t)tv_comm_size(s->d->session->comm) * KINDS;
    tv_arena arena = {0};
    tv_text path = {0};
    tv_safetensors_spec *specs = tv_alloc(most, sizeof *specs);
    s->items = tv_alloc(most, sizeof *s->items);
    size_t count = list_items(s, &arena, specs);
    tv_err err = tv_safetensors_write(tv_path_join(&path, folder, FILE_NAME), specs, count, NULL, 0,
                                      fetch, s, NULL);
    tv_free(specs);
    tv_text_finish(&path);
    tv_arena_finish(&arena);
    return err;
}

static tv_err save_together(saving *s, const char *run_dir, const tv_train_state *state)
{
    tv_diloco *d = s->d;
    tv_comm *comm = d->session->comm;
    size_t columns = columns_of(d);
    s->numbers = tv_alloc(tv_comm_size(comm) * columns, sizeof *s->numbers);
    double *mine = tv_alloc(columns, sizeof *mine);
    write_numbers(d, state, mine);
    tv_err err = tv_comm_gather(comm, mine, columns * sizeof *mine, s->numbers);
    tv_free(mine);
    TV_TRY(err);
    if (tv_comm_rank(comm) > 0)
        return tv_wish_serve(comm, answer, s);
    tv_checkpoint_parts parts = tv_session_parts(d->session);
    parts.write_more = write_file;
    parts.context = s;
    err = tv_checkpoint_save(run_dir, &parts, state);
    tv_err told = tv_comm_is_broken(comm) ? TV_OK : tv_wish_end(comm);
    return err == TV_OK ? told : err;
}

tv_err tv_diloco_save(tv_diloco *d, const char *run_dir, const tv_train_state *state)
{
    saving s = {.d = d, .step = state->step};
    tv_err err = tv_comm_agree(d->session->comm, gather_own(&s));
    if (err == TV_OK)
        err = save_together(&s, run_dir, state);
    if (err == TV_OK)
        err = tv_diloco_show_own(d, state->step);
    free_saving(&s);
    return err;
}

// -------------------------------------------------------------------------------------- restoring

static tv_err read_array(const tv_safetensors *file, const char *name, uint64_t count, float *out)
{
    const tv_safetensor *tensor;
    TV_TRY(tv_safetensors_get(file, name, &tensor));
    if (tensor->count != count)
        return tv_fail(TV_EFORMAT, "%s: %s has %zu values, this model needs %llu", file->file, name,
                       tensor->count, (unsigned long long)count);
    return tv_safetensors_read_f32(tensor, out, tensor->count);
}

// *found is false, and `out` as it was, where there is none.
static tv_err read_own(tv_diloco *d, const tv_safetensors *file, array_kind kind, float *out,
                       bool *found)
{
    char name[64];
    uint32_t rank = tv_comm_rank(d->session->comm);
    snprintf(name, sizeof name, "rank.%u.%s", rank, kind_names[kind]);
    *found = tv_safetensors_find(file, name) != NULL;
    return *found ? read_array(file, name, array_count(d, kind, rank), out) : TV_OK;
}

static tv_err restore_numbers(tv_diloco *d, const char *file, const double *all,
                              tv_train_state *state)
{
    size_t columns = columns_of(d);
    uint32_t rank = tv_comm_rank(d->session->comm);
    const double *mine = all + rank * columns;
    for (size_t i = 0; i < columns * tv_comm_size(d->session->comm); i++)
        if (i % columns != LOSS && i % columns != GRAD_NORM && !(all[i] >= 0 && all[i] < 1e300))
            return tv_fail(TV_EFORMAT, "%s: numbers has a value out of range", file);
    if (mine[PENDING] > (double)d->fragment_count)
        return tv_fail(TV_EFORMAT, "%s: there is no fragment %.0f", file, mine[PENDING]);
    for (uint32_t r = 0; r < tv_comm_size(d->session->comm); r++) {
        d->local_steps[r] =
            (uint64_t)tv_min_size((size_t)all[r * columns + LOCAL_STEPS], d->interval);
        d->speeds[r] = all[r * columns + SPEED];
    }
    state->updates = (uint64_t)mine[UPDATES];
    state->skipped_in_a_row = (uint64_t)mine[SKIPPED_IN_A_ROW];
    if (tv_precision_get_info(d->session->precision)->scaled && mine[LOSS_SCALE] >= 1)
        state->loss_scale =
            (tv_loss_scale){.value = mine[LOSS_SCALE], .good_steps = (uint32_t)mine[GOOD_STEPS]};
    d->trained = (uint64_t)mine[TRAINED];
    d->loss = mine[LOSS];
    d->grad_norm = mine[GRAD_NORM];
    d->pending = mine[PENDING] > 0 ? &d->fragments[(size_t)mine[PENDING] - 1] : NULL;
    d->sent_step = (uint64_t)mine[SENT_STEP];
    d->merge_step = (uint64_t)mine[MERGE_STEP];
    for (size_t f = 0; f < d->fragment_count; f++)
        d->fragments[f].mark = (uint64_t)mine[COLUMNS + f];
    return TV_OK;
}

static tv_err restore_arrays(tv_diloco *d, const tv_safetensors *file)
{
    tv_session *s = d->session;
    const tv_model *model = s->graph->model;
    bool found;
    TV_TRY(read_own(d, file, ERROR, d->error, &found));
    TV_TRY(read_own(d, file, MEAN_ERROR, d->kept, &found));
    if (found)
        copy_pieces(d, d->kept, true);
    if (d->pending)
        TV_TRY(read_own(d, file, SENT, d->own + d->pending->first, &found));
    TV_TRY(read_own(d, file, FIRST, d->kept, &found));
    if (found)
        TV_TRY(tv_moments_write(s->plan, model, s->graph->first_moments, d->kept));
    TV_TRY(read_own(d, file, SECOND, d->kept, &found));
    if (found)
        TV_TRY(tv_moments_write(s->plan, model, s->graph->second_moments, d->kept));
    TV_TRY(read_own(d, file, OWN, d->kept, &found));
    if (!found)
        return TV_OK;
    d->shared_step = UINT64_MAX; // the device holds others from here on
    return tv_weights_write(s->plan, model, 0, model->weight_count, d->kept);
}

static tv_err restore(tv_diloco *d, const tv_safetensors *file, tv_train_state *state)
{
    const tv_safetensor *numbers;
    size_t ranks = tv_comm_size(d->session->comm), columns = columns_of(d);
    TV_TRY(read_array(file, "shared", d->count, d->shared));
    TV_TRY(read_array(file, "momentum", d->count, d->momentum));
    TV_TRY(tv_safetensors_get(file, "numbers", &numbers));
    if (numbers->rank != 2 || numbers->dtype != TV_ST_F64 || numbers->shape[1] < COLUMNS)
        return tv_fail(TV_EFORMAT, "%s: numbers is no table of ranks", file->file);
    if (numbers->shape[0] != ranks || numbers->shape[1] != columns) {
        tv_warn("the checkpoint is of %zu ranks and %zu fragments, this run has %zu and %zu: it "
                "goes on from the shared parameters and their momentum; what ranks had trained "
                "since the last average, and the optimizer state of all ranks but the first, is "
                "lost",
                numbers->shape[0], numbers->shape[1] - COLUMNS, ranks, d->fragment_count);
        return TV_OK;
    }
    double *all = tv_alloc(numbers->count, sizeof *all);
    memcpy(all, numbers->data, numbers->size);
    tv_err err = restore_numbers(d, file->file, all, state);
    tv_free(all);
    return err == TV_OK ? restore_arrays(d, file) : err;
}

tv_err tv_diloco_restore(tv_diloco *d, const char *folder, tv_train_state *state)
{
    tv_text path = {0};
    tv_safetensors file = {0};
    tv_err err = TV_OK;
    tv_path_join(&path, folder, FILE_NAME);
    if (tv_path_exists(path.data)) { // else it is a checkpoint of another strategy
        err = tv_safetensors_open(path.data, &file);
        if (err == TV_OK)
            err = restore(d, &file, state);
        tv_safetensors_close(&file);
    }
    tv_text_finish(&path);
    return err;
}
