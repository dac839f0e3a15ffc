// cross_entropy_cpu: cross_entropy.k with long vectors.
#define TV_WIDE
#include "cross_entropy.k"
