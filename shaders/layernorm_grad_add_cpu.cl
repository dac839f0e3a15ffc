// layernorm_grad_add_cpu: layernorm_grad_add.k with long vectors.
#define TV_WIDE
#include "layernorm_grad_add.k"
