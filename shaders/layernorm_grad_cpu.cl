// layernorm_grad_cpu: layernorm_grad.k with long vectors.
#define TV_WIDE
#include "layernorm_grad.k"
