// A session: everything that a run has open - device, data, model, plan - ready for its first step.
#ifndef TV_TRAIN_SESSION_H
#define TV_TRAIN_SESSION_H

#include "base/error.h"
#include "data/batch.h"
#include "data/tokenizer.h"
#include "device/device.h"
#include "formats/config.h"
#include "plan/plan.h"
#include "train/checkpoint.h"
#include "train/schedule.h"
#include "train/step_graph.h"

typedef struct tv_session {
    const tv_config *config; // not owned
    tv_model_config model_config;
    tv_schedule schedule;
    tv_device *device;
    tv_tokenizer *tokenizer;
    tv_dataset *train, *val; // val: NULL without validation data
    tv_step_graph *graph;
    tv_plan *plan;
    uint32_t global_batch, micro_batch, seq_len;
    // The global batch of the current step: ids and targets [global_batch * seq_len].
    uint32_t *ids, *targets, *samples;
} tv_session;

// Opens all of it: the model as configured, or of `model_folder` where not NULL (model.from, or the
// checkpoint to resume). `micro_batch` 0 chooses the largest that fits, up to a size that keeps the
// device busy. Weights are not set. Errors say what would fit where memory does not suffice.
tv_err tv_session_open(const tv_config *config, const char *model_folder, uint32_t micro_batch,
                       tv_session *session);
void tv_session_close(tv_session *session);

tv_checkpoint_parts tv_session_parts(const tv_session *session);

// What one optimizer step did.
typedef struct tv_step_report {
    double loss;      // nats per valid token
    double grad_norm; // before clipping
    double lr;
    uint64_t tokens; // valid targets
    bool finite;     // false: the step was skipped
} tv_step_report;

// Trains on what lies in session->ids, targets and samples and counts the step in `state`.
tv_err tv_session_train(tv_session *session, tv_train_state *state, tv_step_report *report);

// The same on the batch of state->step from the training data.
tv_err tv_session_step(tv_session *session, tv_train_state *state, tv_step_report *report);

// The mean loss over the first `batches` global batches of the validation data (all where fewer, or
// where it is TV_AUTO), in nats per token.
tv_err tv_session_validate(tv_session *session, int64_t batches, double *loss);

#endif
