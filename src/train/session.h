// A session: everything that a run has open - device, data, model, plan - ready for its first step.
#ifndef TV_TRAIN_SESSION_H
#define TV_TRAIN_SESSION_H

#include "base/error.h"
#include "data/batch.h"
#include "data/tokenizer.h"
#include "device/device.h"
#include "dist/balance.h"
#include "dist/carrier.h"
#include "dist/comm.h"
#include "dist/exchange.h"
#include "dist/handout.h"
#include "formats/config.h"
#include "plan/plan.h"
#include "train/checkpoint.h"
#include "train/precision.h"
#include "train/schedule.h"
#include "train/step_graph.h"
#include "train/strategy.h"

typedef struct tv_session {
    const tv_config *config; // not owned
    tv_comm *comm;           // not owned; NULL for one rank
    tv_model_config model_config;
    tv_schedule schedule;
    tv_device *device;
    bool device_is_lent; // it is not the session's to close
    tv_tokenizer *tokenizer;
    tv_dataset *train, *val; // val: NULL without validation data
    tv_step_graph *graph;
    tv_plan *plan;
    uint32_t global_batch, micro_batch, seq_len; // micro_batch: this rank's
    tv_balance balance;                          // what each rank computes of a global batch
    bool alone;                                  // see tv_session_options
    bool apart; // ranks train by themselves, each on its share of the batch (train/diloco.h)
    tv_precision precision;
    const char *precision_reason; // why `auto` became it; NULL where it was configured
    tv_dtype moments;             // storage of the optimizer's state
    tv_strategy strategy;         // of several ranks
    const char *strategy_reason;  // why `auto` became it; NULL where it was configured
    double *shares;               // [ranks] of the optimizer's state, where it is sharded
    // The global batch of the current step: ids and targets [global_batch * seq_len].
    uint32_t *ids, *targets, *samples;
    double started;        // the step's first micro-batch, in tv_now_seconds
    tv_balance_cost taken; // by this rank: .batch of this step, .fixed of the one before it
    bool rebalanced;       // by the latest step
    bool stop;             // a rank was asked to stop before the latest step's update; not apart
    tv_exchange *exchange; // of gradients; NULL for one rank, and where a carrier takes them
    tv_carrier *carrier;   // of passes in sections; NULL where they are not
    tv_handout *handout;   // of what owners updated; NULL where weights have none, or stay there
    tv_powersgd *powersgd; // trainer.gradient_compression; NULL: another one
    uint64_t sent;         // bytes, by this rank in the latest step
} tv_session;

typedef struct tv_session_options {
    const char *model_folder; // NULL: the model as configured; else model.from or a checkpoint
    uint32_t micro_batch;     // of this rank. 0: the largest that fits, leaves work for all ranks,
                              // and is no larger than what keeps the device busy
    const tv_train_state *resumed; // NULL: a new run; else `auto` keeps its precision, and ranks
                                   // start with the shares that they had
    tv_comm *comm;
    bool share_device; // several ranks may use one device
    bool synthetic;    // no data is opened: the caller makes the batches of tv_session_train
    bool alone; // plans steps with other ranks, but takes them without: each computes its share,
                // and has all of the weights and gradients, whatever the strategy
    tv_device *device; // NULL: opened as configured; else the caller's, which outlives the session
    const tv_stages *stages; // hear what it is at; may be NULL
} tv_session_options;

// Opens all of it, on every rank. Weights are not set. Errors say what would fit where memory does
// not suffice. TV_ENET where the ranks' data differs.
tv_err tv_session_open(const tv_config *config, const tv_session_options *options,
                       tv_session *session);
void tv_session_close(tv_session *session);

// Makes `state` (all zero, or a checkpoint's) that of this session: its sizes, its formats, and a
// loss scale, which goes on where it was or starts as configured.
void tv_session_enter(const tv_session *session, tv_train_state *state);

// What a checkpoint keeps of the ranks: their micro-batches, and how long these took.
void tv_session_note_ranks(const tv_session *session, tv_train_state *state);

tv_checkpoint_parts tv_session_parts(const tv_session *session);

// What one optimizer step did.
typedef struct tv_step_report {
    double loss;      // nats per valid token
    double grad_norm; // before clipping
    double lr;
    double loss_scale; // that the step used; 1 where the loss is not scaled
    uint64_t tokens;   // of the batch, those without loss included
    bool finite;       // false: the step was skipped
} tv_step_report;

// Trains on what lies in session->ids, targets and samples and counts the step in `state`. Every
// rank holds the whole global batch and computes its share of it; the gradients are summed, and
// every rank makes the same update. A step is finite, or skipped, on all ranks alike: what is not
// finite in one rank's gradient is not finite in the sum. So all have one loss scale, which a step
// adapts. Where ranks train apart each makes an update of its own, from its share, and the report
// is about that.
tv_err tv_session_train(tv_session *session, tv_train_state *state, tv_step_report *report);

// Where this rank has failed with `err` since the ranks met last: takes its part in the others'
// next step, number `step`, which ends there with this error on all ranks.
tv_err tv_session_give_up(tv_session *session, uint64_t step, tv_err err);

// The same as tv_session_train, on the batch of state->step from the training data.
tv_err tv_session_step(tv_session *session, tv_train_state *state, tv_step_report *report);

// The mean loss over the first `batches` global batches of the validation data (all where fewer, or
// where it is TV_AUTO), in nats per token. Each rank computes a part of it; all get the mean.
tv_err tv_session_validate(tv_session *session, int64_t batches, double *loss);

#endif
