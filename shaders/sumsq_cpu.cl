// sumsq_cpu: sumsq.k with long vectors.
#define TV_WIDE
#include "sumsq.k"
