// gelu_cpu: gelu.k with long vectors.
#define TV_WIDE
#include "gelu.k"
