// rmsnorm_cpu: rmsnorm.k with long vectors.
#define TV_WIDE
#include "rmsnorm.k"
