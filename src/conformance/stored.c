// What is stored on the way: bounds for each op, in first order.
//
// One rounding loses at most u |v|, u = 2^-11 (f16) or 2^-8 (bf16). Errors of different elements
// are independent and of mean 0, so that sums of them grow as the root of the sum of squares: here
// of the most that each may lose, which is about 2.5 standard deviations, since roundings are
// spread evenly and most values lie above the power of 2 where u |v| is reached. Twice that is
// allowed for, as for floats (judge.c).
//
// Matrix units that belong to a group take attention's probabilities and their gradients in 16 bits
// (shaders/coop), as flash attention does; elsewhere these are floats.
//
// Otherwise only these 16-bit tensors lie between what a case writes and what it reads back:
// attention's o, the loss's dlogits, the sum that a norm is taken of, and what two products with a
// GELU between them hand on. Statistics, logits and partial sums are floats in every storage type.
#include "conformance/stored.h"

#include "base/memory.h"
#include "conformance/reference.h"
#include "graph/ops.h"

#include <math.h>

static double mean_square(const double *x, size_t count)
{
    double sum = 0;
    for (size_t i = 0; i < count; i++)
        sum += x[i] * x[i];
    return sum / (double)count;
}

static double largest(const double *x, size_t count)
{
    double most = 0;
    for (size_t i = 0; i < count; i++)
        most = fmax(most, fabs(x[i]));
    return most;
}

// The backward pass reads o again: delta = sum of do o over a head inherits o's roundings. Times
// the scale, delta's error reaches dq_t as a multiple of the mean of the keys under p_t, and dk_j
// as one of p_tj q_t. No row of p has a sum of squares above 1, so for each t and head the squares
// of either are at most those of one key, or query. Some rows of dk get several times the mean:
// elements are allowed 8 times the root mean square, as in judge.c.
static tv_bound attention(const tv_trial *t)
{
    const tv_leaf *qkv = &t->leaves[0];
    const tv_attrs *attrs = &t->graph->nodes[0]->attrs;
    size_t count = (size_t)tv_tensor_count(t->outputs[0]);
    double *y[] = {tv_alloc(count, sizeof **y),
                   tv_alloc((size_t)tv_tensor_count(t->outputs[1]), sizeof **y)};
    double squares = 0;
    tv_ref_attention(t, y);
    for (size_t i = 0; i < count; i++)
        squares += pow(t->seed[i] * y[0][i], 2);
    tv_free(y[0]);
    tv_free(y[1]);
    double reach = 2 * attrs->head_size * mean_square(qkv->x, qkv->count) / (double)qkv->count;
    double rms = tv_rounding(t->storage) * (double)attrs->scale * sqrt(squares * reach);
    return (tv_bound){2 * rms, 8 * rms};
}

// Adds the squares of what is lost of dlogits = scale (p - onehot): row by row, column by column.
static void lost_dlogits(const tv_trial *t, double *rows, double *columns)
{
    uint32_t vocabulary = t->leaves[1].tensor->rows;
    double *p = tv_alloc(vocabulary, sizeof *p), u = tv_rounding(t->storage);
    for (uint32_t r = 0; r < t->leaves[0].tensor->rows; r++) {
        uint32_t target = t->leaves[2].words[r];
        double high = -INFINITY, sum = 0;
        if (target == TV_IGNORE_TARGET)
            continue;
        tv_ref_logits(t, r, p);
        for (uint32_t v = 0; v < vocabulary; v++)
            high = fmax(high, p[v]);
        for (uint32_t v = 0; v < vocabulary; v++)
            sum += p[v] = exp(p[v] - high);
        for (uint32_t v = 0; v < vocabulary; v++) {
            double dlogit = TV_CASE_LOSS_SCALE * (p[v] / sum - (v == target));
            double lost = u * fabs(dlogit) + tv_ulp(t->storage, 0) / 2;
            rows[r] += lost * lost;
            columns[v] += lost * lost;
        }
    }
    tv_free(p);
}

// dx[r] sums dlogits of row r times w, dw[v] those of column v times x. The columns differ much:
// an element gets twice what the largest one may lose, with the largest factor throughout.
static tv_bound cross_entropy(const tv_trial *t, uint32_t leaf)
{
    const tv_leaf *other = &t->leaves[1 - leaf];
    uint32_t rows = t->leaves[0].tensor->rows, vocabulary = t->leaves[1].tensor->rows;
    double *lost[] = {tv_alloc(rows, sizeof **lost), tv_alloc(vocabulary, sizeof **lost)};
    uint32_t count = leaf == 0 ? rows : vocabulary;
    double sum = 0;
    lost_dlogits(t, lost[0], lost[1]);
    for (uint32_t i = 0; i < count; i++)
        sum += lost[leaf][i];
    tv_bound bound = {2 * sqrt(sum / count * mean_square(other->x, other->count)),
                      2 * sqrt(largest(lost[leaf], count)) * largest(other->x, other->count)};
    tv_free(lost[0]);
    tv_free(lost[1]);
    return bound;
}

// The norm is taken of the sum s itself, its gradient of what is stored of it. With n = (s - mean)
// rstd and g = dy w, dx = rstd (g - mean(g) - n mean(g n)): a lost part of n gets there as a
// multiple of mean(g n), and through that mean as one of n. dw sums dy n.
static tv_bound add_norm(const tv_trial *t, uint32_t leaf)
{
    uint32_t rows = t->row->size[0], width = t->row->size[1];
    bool centre = t->row->op == TV_OP_ADD_LAYERNORM;
    size_t count = (size_t)rows * width, losses = leaf == 2 ? width : count;
    double *y[] = {tv_alloc(count, sizeof **y), tv_alloc(2 * (size_t)rows, sizeof **y),
                   tv_alloc(count, sizeof **y)};
    double *lost = tv_alloc(losses, sizeof *lost), u = tv_rounding(t->storage), sum = 0;
    t->row->reference(t, y);
    for (uint32_t r = 0; r < rows; r++) {
        double mean = centre ? y[1][2 * r] : 0, rstd = y[1][centre ? 2 * r + 1 : r];
        double slope = 0, squares = 0;
        for (uint32_t c = 0; c < width; c++) {
            double s = y[2][(size_t)r * width + c], g = t->seed[(size_t)r * width + c];
            if (leaf == 2)
                lost[c] += pow(g * rstd * u * s, 2);
            g *= t->leaves[2].x[c] / width;
            slope += g * (s - mean) * rstd;
            squares += pow(g * rstd * u * s, 2);
        }
        for (uint32_t c = 0; c < width && leaf != 2; c++) {
            double s = y[2][(size_t)r * width + c], n = (s - mean) * rstd;
            lost[(size_t)r * width + c] =
                rstd * rstd * (pow(rstd * u * s * slope, 2) + n * n * squares);
        }
    }
    for (size_t i = 0; i < losses; i++)
        sum += lost[i];
    tv_bound bound = {2 * sqrt(sum / (double)losses), 2 * sqrt(largest(lost, losses))};
    for (int i = 0; i < 3; i++)
        tv_free(y[i]);
    tv_free(lost);
    return leaf == 3 ? (tv_bound){0, 0} : bound;
}

static bool is_mlp(const tv_trial *t)
{
    return t->row->op == TV_OP_MATMUL && t->leaf_count == 5;
}

// y = gelu(p) w2, p = x w1 + b1: leaves x, w1, b1, w2, b2. No value of gelu(p), which y and dw2 sum
// up, exceeds that of p. dp = dh gelu'(p) inherits roundings of dh, of itself and of p; the slope
// is at most 1.13, and |p gelu''(p)| below 0.8: at most 3 u |dh|.
static tv_bound mlp(const tv_trial *t, bool gradient, uint32_t leaf)
{
    double rows = t->row->size[0], width = t->row->size[1], inner = t->row->size[2], of[5], lost;
    for (int i = 0; i < 5; i++)
        of[i] = mean_square(t->leaves[i].x, t->leaves[i].count);
    double p = width * of[0] * of[1] + of[2], dy = 0;
    for (size_t i = 0; gradient && i < tv_tensor_count(t->outputs[0]); i++)
        dy += t->seed[i] * t->seed[i] / (rows * width);
    double dp = 9 * width * of[3] * dy;
    if (!gradient)
        lost = inner * p * of[3];
    else
        lost = leaf == 0   ? inner * dp * of[1]
               : leaf == 1 ? rows * dp * of[0]
               : leaf == 2 ? rows * dp
               : leaf == 3 ? rows * p * dy
                           : 0;
    double rms = tv_rounding(t->storage) * sqrt(lost);
    return (tv_bound){2 * rms, 8 * rms};
}

// o sums p_j v_j over keys, with sum of p_j = 1: roundings of p lose at most u |p_j v_j| each, so
// at most u times the largest |v|, and in the mean no more than one p of 1 does.
tv_bound tv_stored_in_output(const tv_trial *t, uint32_t output, const tv_trial_result *result)
{
    if (is_mlp(t) && t->storage != TV_F32)
        return mlp(t, false, 0);
    if (!result->matrix_units || t->storage == TV_F32 || output != 0 ||
        t->row->op != TV_OP_ATTENTION)
        return (tv_bound){0, 0};
    const tv_leaf *qkv = &t->leaves[0];
    double u = tv_rounding(t->storage);
    return (tv_bound){2 * u * sqrt(mean_square(qkv->x, qkv->count)),
                      u * largest(qkv->x, qkv->count)};
}

tv_bound tv_stored_in_gradient(const tv_trial *t, uint32_t leaf)
{
    if (t->storage != TV_F32 && t->row->op == TV_OP_ATTENTION)
        return attention(t);
    if (t->storage != TV_F32 && t->row->op == TV_OP_LINEAR_CROSS_ENTROPY)
        return cross_entropy(t, leaf);
    if (t->storage != TV_F32 &&
        (t->row->op == TV_OP_ADD_LAYERNORM || t->row->op == TV_OP_ADD_RMSNORM))
        return add_norm(t, leaf);
    if (t->storage != TV_F32 && is_mlp(t))
        return mlp(t, true, leaf);
    return (tv_bound){0, 0};
}
