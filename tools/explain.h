// trivium train --explain: cmd_explain.c has it.
#ifndef TV_TOOLS_EXPLAIN_H
#define TV_TOOLS_EXPLAIN_H

#include "base/error.h"
#include "formats/config.h"

// Prints the plan of a step of this run, runs steps on synthetic data, and says what each of its
// dispatches takes. Reads no data but a tokenizer where the model's vocabulary is not given.
tv_err explain_run(const tv_config *config);

#endif
