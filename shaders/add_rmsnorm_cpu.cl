// add_rmsnorm_cpu: add_rmsnorm.k with long vectors.
#define TV_WIDE
#include "add_rmsnorm.k"
