// swiglu_grad_cpu: swiglu_grad.k with long vectors.
#define TV_WIDE
#include "swiglu_grad.k"
