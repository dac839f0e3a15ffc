// rmsnorm_partial_cpu: rmsnorm_partial.k with long vectors.
#define TV_WIDE
#include "rmsnorm_partial.k"
