// rmsnorm_grad_add_cpu: rmsnorm_grad_add.k with long vectors.
#define TV_WIDE
#include "rmsnorm_grad_add.k"
