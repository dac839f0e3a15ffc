// layernorm_partial_cpu: layernorm_partial.k with long vectors.
#define TV_WIDE
#include "layernorm_partial.k"
