// Generation: one sequence at a time, through a key/value cache.
#ifndef TV_TRAIN_GENERATOR_H
#define TV_TRAIN_GENERATOR_H

#include "base/error.h"
#include "base/rng.h"
#include "data/tokenizer.h"
#include "device/device.h"
#include "formats/model_config.h"

typedef struct tv_generator tv_generator;

// Opens the model in a folder of config.json, model.safetensors and tokenizer (tv_model_folder).
// The device is not owned and must outlive the generator.
tv_err tv_generator_open(const char *folder, tv_device *device, tv_generator **generator);
void tv_generator_close(tv_generator **generator);

const tv_model_config *tv_generator_config(const tv_generator *generator);
const tv_tokenizer *tv_generator_tokenizer(const tv_generator *generator);
uint32_t tv_generator_position(const tv_generator *generator); // tokens fed since the reset

// Forgets the sequence.
void tv_generator_reset(tv_generator *generator);

// Feeds tokens (count > 0) behind those fed before. *logits [vocabulary] are those after the last
// one, valid until the next call. TV_EUSAGE if the model's context does not hold them.
tv_err tv_generator_feed(tv_generator *generator, const uint32_t *ids, size_t count,
                         const float **logits);

typedef struct tv_sampling {
    double temperature; // 0: greedy, the most likely token (the first of equals)
    uint32_t top_k;     // 0: all
    double top_p;       // 1: all (Holtzman et al., arXiv 1904.09751)
    uint64_t seed;
} tv_sampling;

// Draws the token at `position` from logits; the same numbers always give the same token.
uint32_t tv_sample(const float *logits, uint32_t vocabulary, const tv_sampling *sampling,
                   uint64_t position);

#endif
