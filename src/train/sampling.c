// Sampling: a token from logits.
#include "train/generator.h"

#include "base/memory.h"

#include <math.h>
#include <stdlib.h>

typedef struct candidate {
    uint32_t token;
    double weight;
} candidate;

static uint32_t greedy(const float *logits, uint32_t vocabulary)
{
    uint32_t best = 0;
    for (uint32_t i = 1; i < vocabulary; i++)
        if (logits[i] > logits[best])
            best = i;
    return best;
}

static int heavier_first(const void *a, const void *b)
{
    const candidate *x = a, *y = b;
    if (x->weight != y->weight)
        return x->weight < y->weight ? 1 : -1;
    return x->token < y->token ? -1 : 1;
}

uint32_t tv_sample(const float *logits, uint32_t vocabulary, const tv_sampling *sampling,
                   uint64_t position)
{
    uint32_t best = greedy(logits, vocabulary), count = vocabulary;
    if (sampling->temperature <= 0)
        return best;
    candidate *candidates = tv_alloc(vocabulary, sizeof *candidates);
    double total = 0, kept = 0;
    for (uint32_t i = 0; i < vocabulary; i++)
        candidates[i] =
            (candidate){i, exp(((double)logits[i] - (double)logits[best]) / sampling->temperature)};
    qsort(candidates, vocabulary, sizeof *candidates, heavier_first);
    if (sampling->top_k && sampling->top_k < count)
        count = sampling->top_k;
    for (uint32_t i = 0; i < count; i++)
        total += candidates[i].weight;
    uint32_t last = 0; // the smallest set of likeliest tokens that holds top_p
    for (kept = candidates[0].weight; last + 1 < count && kept < sampling->top_p * total;)
        kept += candidates[++last].weight;
    tv_rng rng = tv_rng_init(sampling->seed, position);
    double rest = tv_rng_uniform(&rng) * kept;
    uint32_t chosen = 0;
    while (chosen < last && rest >= candidates[chosen].weight)
        rest -= candidates[chosen++].weight;
    uint32_t token = candidates[chosen].token;
    tv_free(candidates);
    return token;
}
