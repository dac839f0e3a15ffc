// dropout_cpu: dropout.k with long vectors.
#define TV_WIDE
#include "dropout.k"
