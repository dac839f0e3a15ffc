// Checkpoints: a folder that Hugging Face transformers opens, with the trainer's state beside it.
//   model.safetensors config.json tokenizer*   the model
//   optimizer.safetensors trainer.json         what resuming needs
//   diloco.safetensors                         the ranks' state where they train apart
//   powersgd.safetensors                       what they have not sent yet of compressed gradients
//   manifest.json                              sizes and checksums of all of these, written last
#ifndef TV_TRAIN_CHECKPOINT_H
#define TV_TRAIN_CHECKPOINT_H

#include "base/error.h"
#include "base/text.h"
#include "data/tokenizer.h"
#include "dist/balance.h"
#include "formats/config.h"
#include "model/model.h"
#include "plan/plan.h"
#include "report/logger.h"
#include "train/collect.h"
#include "train/precision.h"
#include "train/weights.h"

// What was found out about a rank.
typedef struct tv_rank_state {
    uint32_t micro_batch;
    tv_balance_cost cost; // 0 where not known
} tv_rank_state;

// Where a run stands. Random numbers and data order follow from it and the configuration.
// tv_session_enter makes one ready for its first step.
typedef struct tv_train_state {
    uint64_t step;             // optimizer steps done, skipped ones included
    uint64_t updates;          // steps that changed the weights: AdamW's t
    uint64_t tokens;           // trained on
    uint64_t skipped;          // non-finite steps
    uint64_t skipped_in_a_row; // those that a lower loss scale may mend are not counted
    tv_loss_scale loss_scale;  // of the next step
    uint32_t micro_batch;      // that was in use, by rank 0: another one would round differently
    uint32_t global_batch, seq_len;
    uint64_t seed;
    tv_precision precision;
    tv_dtype moments;                 // storage of the optimizer's state
    double seconds;                   // trained for
    tv_rank_state ranks[TV_LIST_MAX]; // of several ranks
    uint32_t rank_count;              // 0: one rank, or more than fit
    tv_logger_sizes logs;
} tv_train_state;

typedef struct tv_checkpoint_parts {
    tv_plan *plan;
    tv_collect collect; // what is read of tensors that are sharded
    const tv_model *model;
    tv_moments moments;
    const tv_tokenizer *tokenizer;
    // Writes further files into the folder when saving; NULL: there are none.
    tv_err (*write_more)(void *context, const char *folder);
    void *context;
} tv_checkpoint_parts;

// Writes RUN/checkpoints/step-N: into step-N.tmp, everything fsynced, manifest last, then renamed.
// A crash at any point leaves the older checkpoints as they were. TV_ENOSPC removes the half. For
// rank 0; the others serve parts->collect.
tv_err tv_checkpoint_save(const char *run_dir, tv_checkpoint_parts *parts,
                          const tv_train_state *state);

// The state in a checkpoint folder (trainer.json).
tv_err tv_checkpoint_read_state(const char *folder, tv_train_state *state);
// Weights and moments of a checkpoint folder, and what parts->collect.powersgd keeps.
tv_err tv_checkpoint_load(const char *folder, const tv_checkpoint_parts *parts);

#endif
