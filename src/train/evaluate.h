// Evaluation of a finished model: loss over data, and exact answers to exercises.
#ifndef TV_TRAIN_EVALUATE_H
#define TV_TRAIN_EVALUATE_H

#include "base/error.h"
#include "data/exercise.h"
#include "device/device.h"
#include "train/generator.h"

typedef struct tv_evaluation {
    double loss; // nats per token
    uint64_t tokens;
    uint32_t seq_len;
} tv_evaluation;

// Mean loss of the model in `folder` over the shards in `data`, in sequences of `seq_len` tokens
// (0: the length it was trained with, or its whole context). `limit`: at most so many tokens, 0:
// all.
tv_err tv_evaluate_loss(const char *folder, const char *data, uint32_t seq_len, uint64_t limit,
                        tv_device *device, tv_evaluation *evaluation);

// One answered exercise; `written` is what the model wrote, up to the line's end.
typedef void tv_answer_hook(void *context, const tv_exercise *exercise, const char *written,
                            bool correct);

// Greedy answers to the first `limit` exercises (0: all), spread evenly over the list; counts exact
// matches. `hook` may be NULL.
tv_err tv_evaluate_exercises(tv_generator *generator, const tv_exercises *exercises, size_t limit,
                             tv_answer_hook *hook, void *context, size_t *asked, size_t *correct);

#endif
