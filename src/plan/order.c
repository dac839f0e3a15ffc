// Order: each dispatch runs as early as what it depends on allows, so that there are as few
// barriers as the longest chain of dependencies needs. Memory that is reused is a dependency, too.
#include "plan/lower.h"

static bool conflict(const tv_binding *a, const tv_binding *b)
{
    return a->buffer == b->buffer && a->offset < b->offset + b->size &&
           b->offset < a->offset + a->size && ((a->access | b->access) & TV_WRITE);
}

static bool depends(const tv_dispatch *later, const tv_dispatch *earlier)
{
    for (uint32_t i = 0; i < later->binding_count; i++)
        for (uint32_t j = 0; j < earlier->binding_count; j++)
            if (conflict(&later->bindings[i], &earlier->bindings[j]))
                return true;
    return false;
}

void tv_find_levels(const tv_dispatch *dispatches, size_t count, uint32_t *levels)
{
    for (size_t i = 0; i < count; i++) {
        levels[i] = 0;
        for (size_t j = i; j-- > 0;)
            if (levels[j] >= levels[i] && depends(&dispatches[i], &dispatches[j]))
                levels[i] = levels[j] + 1;
    }
}
