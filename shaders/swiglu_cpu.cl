// swiglu_cpu: swiglu.k with long vectors.
#define TV_WIDE
#include "swiglu.k"
