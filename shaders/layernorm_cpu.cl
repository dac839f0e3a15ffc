// layernorm_cpu: layernorm.k with long vectors.
#define TV_WIDE
#include "layernorm.k"
