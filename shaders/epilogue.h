// What the matmul kernels do to a finished sum s, of that type, before it goes to c, as the upper
// half of their constant 4, LAYOUT, says (args.h). `other` is a second matrix of the shape of c:
// get is its part at that place, and put writes other_ there.
#include "gelu.h"

#define EPILOGUE (LAYOUT >> TV_EPILOGUE_BIT)

#define FINISH(type, s, get, put)                                                                  \
    if (EPILOGUE == TV_EPILOGUE_GELU)                                                              \
        s = GELU(s);                                                                               \
    if (EPILOGUE == TV_EPILOGUE_GELU_KEEP) {                                                       \
        type other_ = GELU(s);                                                                     \
        put;                                                                                       \
    }                                                                                              \
    if (EPILOGUE == TV_EPILOGUE_GELU_GRAD) {                                                       \
        type other_ = get, logistic_ = LOGISTIC(other_);                                           \
        s *= SLOPE(other_, logistic_);                                                             \
    }
