// Where a machine has software drivers only: which of them trains a model fastest.
#ifndef TV_TRAIN_FASTEST_H
#define TV_TRAIN_FASTEST_H

#include "base/error.h"
#include "base/text.h"
#include "formats/config.h"
#include "formats/model_config.h"

// Writes the name of the device (see tv_device_open) to the empty text `which` and says why in one
// line. Nothing is written where there is no choice: the configuration names a device, there is a
// GPU, there is one driver only, or the run is too short to be worth it.
//
// Each driver runs the passes of one layer and the head on a few tokens. The times are kept in the
// cache directory, by model, drivers and mask, so that the next run makes the same choice at once.
tv_err tv_fastest_device(const tv_config *config, const tv_model_config *model, tv_text *which);

#endif
