// Scores: what their roundings do to attention's outputs, in first order.
//
// A rounding loses a part of a score s, not of its softmax: e = u |s| makes exp(s) exp(e) times as
// large. Normal inputs have scores of a few units, which the other roundings cover (judge.c).
// Inputs that are spread have thousands: where two keys are about as probable, e is then nearly all
// of an output's error.
//
// s_j = scale q k_j sums D products. Its roundings are about u sqrt(D/2) of the size of its partial
// sums, which is |s_j|, or that of a sum of such products with random signs where that is more:
// some of them may cancel. A few more stand around it: of q scale, of s_j - max, and of what exp
// makes of it. With sum of p_j = 1, o = sum of p_j v_j moves by the sum of p_j e_j (v_j - o), and
// the logsumexp by that of p_j e_j. Errors of different keys are independent.
#include "conformance/scores.h"

#include "base/memory.h"
#include "conformance/reference.h"

#include <math.h>

// The error that the score of key j may usually have. Twice what the comment above counts, as for
// everything that is added up.
static double lost_of(const tv_ref_query *query, uint32_t j)
{
    double sum = 0, squares = 0, size = query->size;
    for (uint32_t d = 0; d < query->size; d++) {
        double product = query->q[d] * query->k[j * query->pitch + d];
        sum += product;
        squares += product * product;
    }
    return tv_rounding(TV_F32) * (8 + 2 * sqrt(0.5 * size)) * fmax(fabs(sum), sqrt(squares)) /
           sqrt(size);
}

// o [size] and *lse: how far a query's own results may usually be moved.
static void move(const tv_ref_query *query, double *o, double *lse)
{
    double *p = tv_alloc(query->last + 1, sizeof *p), *lost = tv_alloc(query->last + 1, sizeof *p);
    double squares = 0;
    tv_ref_probabilities(query, p);
    for (uint32_t j = 0; j <= query->last; j++) {
        lost[j] = p[j] * lost_of(query, j);
        squares += lost[j] * lost[j];
    }
    *lse = sqrt(squares);
    for (uint32_t d = 0; d < query->size; d++) {
        const double *v = query->v + d;
        double mean = 0;
        squares = 0;
        for (uint32_t j = 0; j <= query->last; j++)
            mean += p[j] * v[j * query->pitch];
        for (uint32_t j = 0; j <= query->last; j++)
            squares += pow(lost[j] * (v[j * query->pitch] - mean), 2);
        o[d] = sqrt(squares);
    }
    tv_free(lost);
    tv_free(p);
}

void tv_scores_move(const tv_trial *t, double *const *moved)
{
    uint32_t time = t->row->size[1], heads = t->row->size[2], size = t->row->size[4];
    if (t->row->op != TV_OP_ATTENTION || t->row->spread == 0)
        return;
    for (uint32_t r = 0; r < t->row->size[0] * time; r++)
        for (uint32_t h = 0; h < heads; h++) {
            tv_ref_query query = tv_ref_query_of(t, r, h);
            move(&query, moved[0] + ((size_t)r * heads + h) * size,
                 &moved[1][(r / time * heads + h) * time + r % time]);
        }
}
