// Ranks: what they must have in common, and who takes which device.
// Every call with a tv_comm that is not NULL is collective (dist/comm.h).
#ifndef TV_TRAIN_RANKS_H
#define TV_TRAIN_RANKS_H

#include "base/text.h"
#include "device/device.h"
#include "dist/comm.h"
#include "formats/config.h"

// All ranks must hold the same short text; TV_ENET, with the same line on every rank, names the
// first that differs from rank 0. `what` it is: "version".
tv_err tv_ranks_compare(tv_comm *comm, const char *what, const char *value);

// The version and build of the program, and the configuration but for device, mask and
// trainer.offload_*, which are a rank's own.
tv_err tv_ranks_compare_setup(tv_comm *comm, const tv_config *config);

// The device of this rank, for tv_device_open, of the configured one. "A,B": one per local rank.
// "auto" with several local ranks: the usable GPUs one after the other, CPUs where there are none.
// Local; TV_EUSAGE where the list is too short.
tv_err tv_ranks_choose_device(const tv_comm *comm, const char *configured, tv_text *which);

// TV_EUSAGE, on every rank, where two ranks opened one device, be it through two APIs, and `shared`
// does not allow it.
tv_err tv_ranks_compare_devices(tv_comm *comm, const tv_device_info *info, bool shared);

tv_err tv_ranks_any(tv_comm *comm, bool *flag); // true where it is on any rank

// Rank 0's text, on every rank.
tv_err tv_ranks_send_text(tv_comm *comm, tv_text *text);

#endif
