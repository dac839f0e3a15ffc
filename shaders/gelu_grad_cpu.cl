// gelu_grad_cpu: gelu_grad.k with long vectors.
#define TV_WIDE
#include "gelu_grad.k"
