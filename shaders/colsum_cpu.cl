// colsum_cpu: colsum.k with long vectors.
#define TV_WIDE
#include "colsum.k"
