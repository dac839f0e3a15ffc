// add_layernorm_cpu: add_layernorm.k with long vectors.
#define TV_WIDE
#include "add_layernorm.k"
