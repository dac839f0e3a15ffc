// rmsnorm_grad_cpu: rmsnorm_grad.k with long vectors.
#define TV_WIDE
#include "rmsnorm_grad.k"
