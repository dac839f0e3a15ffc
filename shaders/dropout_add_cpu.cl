// dropout_add_cpu: dropout_add.k with long vectors.
#define TV_WIDE
#include "dropout_add.k"
