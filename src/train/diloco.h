// DiLoCo (arXiv 2311.08105): ranks train apart, each on its share of every global batch, and
// average what they have learned every diloco.sync_every_n_steps. With fragments the parts of the
// model take turns; with overlap an exchange goes on behind training (arXiv 2501.18512).
//
// Steps are counted alike on all ranks: slower ones leave out some of them. Between two meetings no
// rank hears of another. All calls but open and close are collective where ranks meet.
#ifndef TV_TRAIN_DILOCO_H
#define TV_TRAIN_DILOCO_H

#include "base/text.h"
#include "train/session.h"

typedef struct tv_diloco tv_diloco;

// For a session whose weights lie on the device, the same on all ranks. `folder` is the checkpoint
// that they are from, or NULL: what it holds of this rank becomes the rank's, and its `state`. A
// warning says what is lost where it is from another number of ranks. TV_EUSAGE where a rank would
// have no work, or the model fewer weights than there are fragments.
tv_err tv_diloco_open(tv_session *session, const char *folder, tv_train_state *state,
                      tv_diloco **diloco);
void tv_diloco_close(tv_diloco **diloco);

// Whether ranks exchange something behind that step, and so meet.
bool tv_diloco_is_due(const tv_diloco *diloco, uint64_t step);

// One step, without hearing of other ranks unless it is due or they all `meet` for another reason.
// Then the report has the means of all ranks and the tokens since the last meeting, which are
// counted in `state` only then; else it is this rank's, without tokens.
tv_err tv_diloco_step(tv_diloco *diloco, tv_train_state *state, bool meet, tv_step_report *report);

// A line for the log that was not taken yet, into an empty text; false where there is none.
bool tv_diloco_take_news(tv_diloco *diloco, tv_text *line);

// tv_session_validate of the shared parameters, behind that step.
tv_err tv_diloco_validate(tv_diloco *diloco, uint64_t step, int64_t batches, double *loss);

// tv_checkpoint_save of the shared parameters and of all ranks' state; rank 0 writes.
tv_err tv_diloco_save(tv_diloco *diloco, const char *run_dir, const tv_train_state *state);

#endif
