// rope_cpu: rope.k with long vectors.
#define TV_WIDE
#include "rope.k"
