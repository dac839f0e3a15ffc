// References of ops in double precision.
#include "conformance/reference.h"

#include "base/memory.h"
#include "graph/ops.h"

#include <math.h>
#include <string.h>

static const double *x_of(const tv_trial *t, uint32_t leaf)
{
    return t->leaves[leaf].x;
}

static const uint32_t *words_of(const tv_trial *t, uint32_t leaf)
{
    return t->leaves[leaf].words;
}

static double step_float(const tv_trial *t, uint32_t leaf, uint32_t word)
{
    float value;
    memcpy(&value, &t->leaves[leaf].words[word], sizeof value);
    return value;
}

// ------------------------------------------------------------------------------------ elementwise

void tv_ref_copy(const tv_trial *t, double *const *y)
{
    for (size_t i = 0; i < t->leaves[0].count; i++)
        y[0][i] = x_of(t, 0)[i];
}

void tv_ref_add(const tv_trial *t, double *const *y)
{
    const double *a = x_of(t, 0), *b = x_of(t, 1);
    for (size_t i = 0; i < t->leaves[0].count; i++)
        y[0][i] = a[i] + b[i];
}

static double gelu(double x)
{
    return 0.5 * x * (1 + tanh(sqrt(2 / M_PI) * (x + 0.044715 * x * x * x)));
}

void tv_ref_gelu(const tv_trial *t, double *const *y)
{
    const double *x = x_of(t, 0);
    for (size_t i = 0; i < t->leaves[0].count; i++)
        y[0][i] = gelu(x[i]);
}

void tv_ref_swiglu(const tv_trial *t, double *const *y)
{
    const uint32_t rows = t->row->size[0], width = t->row->size[1];
    for (uint32_t r = 0; r < rows; r++)
        for (uint32_t c = 0; c < width; c++) {
            const double *x = x_of(t, 0) + (size_t)r * 2 * width;
            y[0][(size_t)r * width + c] = x[c] / (1 + exp(-x[c])) * x[width + c];
        }
}

// Which elements stay is decided by exactly the same bits as on the device.
void tv_ref_dropout(const tv_trial *t, double *const *y)
{
    const tv_attrs *attrs = &t->graph->nodes[0]->attrs;
    const uint32_t *step = words_of(t, 1), *samples = words_of(t, 2);
    size_t each = t->leaves[0].count / t->row->size[0];
    for (size_t e = 0; e < t->leaves[0].count; e++) {
        uint32_t i = (uint32_t)(e % each), word[4];
        uint32_t counter[4] = {i / 4, attrs->site, samples[e / each], step[TV_STEP_STEP]};
        tv_philox((uint32_t[]){step[TV_STEP_SEED_LOW], step[TV_STEP_SEED_HIGH]}, counter, word);
        bool stays = (word[i % 4] >> 8) * 0x1p-24 >= attrs->rate;
        y[0][e] = stays ? x_of(t, 0)[e] / (1 - (double)attrs->rate) : 0;
    }
}

void tv_ref_dropout_add(const tv_trial *t, double *const *y)
{
    tv_ref_dropout(t, y);
    for (size_t e = 0; e < t->leaves[0].count; e++)
        y[0][e] += x_of(t, 3)[e];
}

void tv_ref_rope(const tv_trial *t, double *const *y)
{
    const tv_attrs *a = &t->graph->nodes[0]->attrs;
    const tv_tensor *x = t->leaves[0].tensor;
    uint32_t half = a->head_size / 2, position = words_of(t, 2)[TV_STEP_POSITION];
    memcpy(y[0], x_of(t, 0), t->leaves[0].count * sizeof **y);
    for (uint32_t r = 0; r < x->rows; r++)
        for (uint32_t h = 0; h < a->rotated; h++)
            for (uint32_t i = 0; i < half; i++) {
                size_t at = (size_t)r * x->columns + h * a->head_size + i;
                const double *angle = x_of(t, 1) + (r % a->time + position) * a->head_size;
                double u = x_of(t, 0)[at], v = x_of(t, 0)[at + half];
                y[0][at] = u * angle[i] - v * angle[half + i];
                y[0][at + half] = v * angle[i] + u * angle[half + i];
            }
}

void tv_ref_posadd(const tv_trial *t, double *const *y)
{
    const tv_tensor *x = t->leaves[0].tensor;
    uint32_t time = t->row->size[1], position = words_of(t, 2)[TV_STEP_POSITION];
    for (uint32_t r = 0; r < x->rows; r++)
        for (uint32_t c = 0; c < x->columns; c++)
            y[0][r * x->columns + c] =
                x_of(t, 0)[r * x->columns + c] + x_of(t, 1)[(r % time + position) * x->columns + c];
}

void tv_ref_embed(const tv_trial *t, double *const *y)
{
    uint32_t rows = t->row->size[0], width = t->row->size[1];
    for (uint32_t r = 0; r < rows; r++)
        memcpy(y[0] + (size_t)r * width, x_of(t, 1) + (size_t)words_of(t, 0)[r] * width,
               width * sizeof **y);
}

// ------------------------------------------------------------------------------------------ norms

// Mean (0 for RMSNorm) and 1 / root of the mean square of what is left.
static void statistics(const tv_trial *t, const double *x, uint32_t width, bool centre,
                       double *mean, double *rstd)
{
    double sum = 0, square = 0;
    for (uint32_t c = 0; c < width && centre; c++)
        sum += x[c];
    *mean = sum / width;
    for (uint32_t c = 0; c < width; c++)
        square += (x[c] - *mean) * (x[c] - *mean);
    *rstd = 1 / sqrt(square / width + t->graph->nodes[0]->attrs.epsilon);
}

void tv_ref_layernorm(const tv_trial *t, double *const *y)
{
    uint32_t rows = t->row->size[0], width = t->row->size[1];
    for (uint32_t r = 0; r < rows; r++) {
        const double *x = x_of(t, 0) + (size_t)r * width;
        double mean, rstd;
        statistics(t, x, width, true, &mean, &rstd);
        for (uint32_t c = 0; c < width; c++)
            y[0][(size_t)r * width + c] = (x[c] - mean) * rstd * x_of(t, 1)[c] + x_of(t, 2)[c];
        y[1][2 * r] = mean;
        y[1][2 * r + 1] = rstd;
    }
}

void tv_ref_rmsnorm(const tv_trial *t, double *const *y)
{
    uint32_t rows = t->row->size[0], width = t->row->size[1];
    for (uint32_t r = 0; r < rows; r++) {
        const double *x = x_of(t, 0) + (size_t)r * width;
        double mean;
        statistics(t, x, width, false, &mean, &y[1][r]);
        for (uint32_t c = 0; c < width; c++)
            y[0][(size_t)r * width + c] = x[c] * y[1][r] * x_of(t, 1)[c];
    }
}

static void ref_add_norm(const tv_trial *t, double *const *y, bool centre)
{
    uint32_t rows = t->row->size[0], width = t->row->size[1];
    const double *w = x_of(t, 2), *b = centre ? x_of(t, 3) : NULL;
    for (uint32_t r = 0; r < rows; r++) {
        size_t row = (size_t)r * width;
        double mean, rstd;
        for (size_t i = row; i < row + width; i++)
            y[2][i] = x_of(t, 0)[i] + x_of(t, 1)[i];
        statistics(t, y[2] + row, width, centre, &mean, &rstd);
        for (uint32_t c = 0; c < width; c++)
            y[0][row + c] = (y[2][row + c] - (b ? mean : 0)) * rstd * w[c] + (b ? b[c] : 0);
        if (b)
            y[1][2 * r] = mean;
        y[1][b ? 2 * r + 1 : r] = rstd;
    }
}

void tv_ref_add_layernorm(const tv_trial *t, double *const *y)
{
    ref_add_norm(t, y, true);
}

void tv_ref_add_rmsnorm(const tv_trial *t, double *const *y)
{
    ref_add_norm(t, y, false);
}

// x, w, statistics (mean and rstd, or rstd alone), dy, more: the formulas of the kernels.
void tv_ref_norm_grad_add(const tv_trial *t, double *const *y)
{
    uint32_t rows = t->row->size[0], width = t->row->size[1];
    bool centre = t->row->op == TV_OP_LAYERNORM_GRAD_ADD;
    for (uint32_t r = 0; r < rows; r++) {
        const double *x = x_of(t, 0) + (size_t)r * width, *dy = x_of(t, 3) + (size_t)r * width;
        double mean = centre ? x_of(t, 2)[2 * r] : 0, g_mean = 0, slope = 0;
        double rstd = x_of(t, 2)[centre ? 2 * r + 1 : r];
        for (uint32_t c = 0; c < width; c++) {
            double g = dy[c] * x_of(t, 1)[c];
            g_mean += centre ? g / width : 0;
            slope += g * (x[c] - mean) * rstd / width;
        }
        for (uint32_t c = 0; c < width; c++)
            y[0][(size_t)r * width + c] =
                x_of(t, 4)[(size_t)r * width + c] +
                rstd * (dy[c] * x_of(t, 1)[c] - g_mean - (x[c] - mean) * rstd * slope);
    }
}

// ------------------------------------------------------------------------ products and attention

// One row [inner] by the weight of that leaf, [inner, outer] or transposed, plus the bias behind it
// if there is one.
static void multiply_row(const tv_trial *t, const double *x, uint32_t inner, uint32_t outer,
                         uint32_t leaf, double *out)
{
    bool transposed = t->row->size[3] == TV_NT;
    const double *w = x_of(t, leaf), *bias = t->leaf_count > leaf + 1 ? x_of(t, leaf + 1) : NULL;
    for (uint32_t n = 0; n < outer; n++)
        out[n] = bias ? bias[n] : 0;
    for (uint32_t k = 0; k < inner; k++)
        for (uint32_t n = 0; n < outer; n++)
            out[n] += x[k] * (transposed ? w[(size_t)n * inner + k] : w[(size_t)k * outer + n]);
}

void tv_ref_linear(const tv_trial *t, double *const *y)
{
    uint32_t inner = t->row->size[1], outer = t->row->size[2];
    for (size_t r = 0; r < t->row->size[0]; r++)
        multiply_row(t, x_of(t, 0) + r * inner, inner, outer, 1, y[0] + r * outer);
}

void tv_ref_batched(const tv_trial *t, double *const *y)
{
    size_t m = t->row->size[1], n = t->row->size[2], k = t->row->size[3];
    bool tn = t->row->size[4] == TV_TN, nt = t->row->size[4] == TV_NT;
    for (size_t member = 0; member < t->row->size[0]; member++) {
        const double *a = x_of(t, 0) + member * m * k, *b = x_of(t, 1) + member * k * n;
        for (size_t i = 0; i < m * n; i++) {
            double sum = 0;
            for (size_t j = 0; j < k; j++)
                sum +=
                    a[tn ? j * m + i / n : i / n * k + j] * b[nt ? i % n * k + j : j * n + i % n];
            y[0][member * m * n + i] = sum;
        }
    }
}

void tv_ref_mlp(const tv_trial *t, double *const *y)
{
    uint32_t width = t->row->size[1], inner = t->row->size[2];
    double *h = tv_alloc(inner, sizeof *h);
    for (size_t r = 0; r < t->row->size[0]; r++) {
        multiply_row(t, x_of(t, 0) + r * width, width, inner, 1, h);
        for (uint32_t i = 0; i < inner; i++)
            h[i] = gelu(h[i]);
        multiply_row(t, h, inner, width, 3, y[0] + r * width);
    }
    tv_free(h);
}

double tv_ref_probabilities(const tv_ref_query *query, double *p)
{
    const double *q = query->q, *k = query->k;
    double high = -INFINITY, sum = 0;
    for (uint32_t j = 0; j <= query->last; j++) {
        p[j] = 0;
        for (uint32_t d = 0; d < query->size; d++)
            p[j] += q[d] * k[j * query->pitch + d];
        p[j] /= sqrt(query->size);
        high = fmax(high, p[j]);
    }
    for (uint32_t j = 0; j <= query->last; j++)
        sum += p[j] = exp(p[j] - high);
    for (uint32_t j = 0; j <= query->last; j++)
        p[j] /= sum;
    return high + log(sum);
}

// o [size] = the values, weighted. Returns the scores' logsumexp.
static double attend(const tv_ref_query *query, double *o)
{
    double *p = tv_alloc(query->last + 1, sizeof *p), lse = tv_ref_probabilities(query, p);
    memset(o, 0, query->size * sizeof *o);
    for (uint32_t j = 0; j <= query->last; j++)
        for (uint32_t d = 0; d < query->size; d++)
            o[d] += p[j] * query->v[j * query->pitch + d];
    tv_free(p);
    return lse;
}

tv_ref_query tv_ref_query_of(const tv_trial *t, uint32_t row, uint32_t head)
{
    uint32_t time = t->row->size[1], heads = t->row->size[2], kv_heads = t->row->size[3];
    uint32_t size = t->row->size[4], batch = row / time, last = row % time;
    size_t pitch = (size_t)(heads + 2 * kv_heads) * size;
    const double *first = x_of(t, 0) + batch * time * pitch;
    const double *k = first + (size_t)(heads + head / (heads / kv_heads)) * size;
    return (tv_ref_query){.q = first + last * pitch + (size_t)head * size,
                          .k = k,
                          .v = k + (size_t)kv_heads * size,
                          .pitch = pitch,
                          .last = last,
                          .size = size};
}

void tv_ref_attention(const tv_trial *t, double *const *y)
{
    uint32_t time = t->row->size[1], heads = t->row->size[2], size = t->row->size[4];
    for (uint32_t r = 0; r < t->row->size[0] * time; r++)
        for (uint32_t h = 0; h < heads; h++) {
            tv_ref_query query = tv_ref_query_of(t, r, h);
            y[1][(r / time * heads + h) * time + r % time] =
                attend(&query, y[0] + ((size_t)r * heads + h) * size);
        }
}

void tv_ref_attention_cached(const tv_trial *t, double *const *y)
{
    uint32_t rows = t->row->size[0], heads = t->row->size[1], kv_heads = t->row->size[2];
    uint32_t size = t->row->size[3], position = words_of(t, 1)[TV_STEP_POSITION];
    size_t width = (size_t)kv_heads * size, pitch = heads * size + 2 * width;
    for (int kv = 0; kv < 2; kv++) { // the caches are the outputs 1 and 2
        memcpy(y[1 + kv], x_of(t, 2 + kv), t->leaves[2 + kv].count * sizeof **y);
        for (uint32_t r = 0; r < rows; r++)
            memcpy(y[1 + kv] + (position + r) * width,
                   x_of(t, 0) + r * pitch + heads * size + kv * width, width * sizeof **y);
    }
    for (uint32_t r = 0; r < rows; r++)
        for (uint32_t h = 0; h < heads; h++) {
            size_t head = (size_t)(h / (heads / kv_heads)) * size;
            tv_ref_query query = {.q = x_of(t, 0) + r * pitch + h * size,
                                  .k = y[1] + head,
                                  .v = y[2] + head,
                                  .pitch = width,
                                  .last = position + r,
                                  .size = size};
            attend(&query, y[0] + ((size_t)r * heads + h) * size);
        }
}

void tv_ref_logits(const tv_trial *t, uint32_t row, double *logits)
{
    uint32_t width = t->row->size[1], vocabulary = t->row->size[2];
    const double *x = x_of(t, 0) + (size_t)row * width;
    for (uint32_t v = 0; v < vocabulary; v++) {
        const double *w = x_of(t, 1) + (size_t)v * width;
        logits[v] = 0;
        for (uint32_t c = 0; c < width; c++)
            logits[v] += x[c] * w[c];
    }
}

void tv_ref_loss(const tv_trial *t, double *const *y)
{
    uint32_t rows = t->row->size[0], vocabulary = t->row->size[2];
    double *logits = tv_alloc(vocabulary, sizeof *logits);
    for (uint32_t r = 0; r < rows; r++) {
        uint32_t target = words_of(t, 2)[r];
        double high = -INFINITY, sum = 0;
        y[0][r] = 0;
        if (target == TV_IGNORE_TARGET)
            continue;
        tv_ref_logits(t, r, logits);
        for (uint32_t v = 0; v < vocabulary; v++)
            high = fmax(high, logits[v]);
        for (uint32_t v = 0; v < vocabulary; v++)
            sum += exp(logits[v] - high);
        y[0][r] = log(sum) + high - logits[target];
    }
    tv_free(logits);
}

// ------------------------------------------------------------------------- ops without gradient

void tv_ref_fill(const tv_trial *t, double *const *y)
{
    for (size_t i = 0; i < t->leaves[0].count; i++)
        y[0][i] = t->graph->nodes[0]->attrs.value;
}

void tv_ref_reduce_sum(const tv_trial *t, double *const *y)
{
    y[0][0] = t->graph->nodes[0]->attrs.accumulate ? x_of(t, 1)[0] : 0;
    for (size_t i = 0; i < t->leaves[0].count; i++)
        y[0][0] += x_of(t, 0)[i];
}

void tv_ref_sumsq(const tv_trial *t, double *const *y)
{
    const tv_attrs *attrs = &t->graph->nodes[0]->attrs;
    memcpy(y[0], x_of(t, 1), t->leaves[1].count * sizeof **y);
    for (size_t i = 0; i < t->leaves[0].count; i++) {
        double *part = &y[0][attrs->offset + i / attrs->block];
        *part = (i % attrs->block ? *part : 0) + x_of(t, 0)[i] * x_of(t, 0)[i];
    }
}

void tv_ref_grad_norm(const tv_trial *t, double *const *y)
{
    double sum = 0, clip = step_float(t, 0, TV_STEP_CLIP);
    double unscale = step_float(t, 0, TV_STEP_UNSCALE);
    for (uint32_t leaf = 1; leaf < t->leaf_count; leaf++)
        for (size_t i = 0; i < t->leaves[leaf].count; i++)
            sum += x_of(t, leaf)[i] * x_of(t, leaf)[i];
    double norm = sqrt(sum) * unscale;
    memset(y[0], 0, TV_STAT_WORDS * sizeof **y);
    y[0][TV_STAT_NORM] = norm;
    y[0][TV_STAT_COEFFICIENT] = unscale * (clip > 0 ? fmin(1, clip / (norm + 1e-6)) : 1);
    y[0][TV_STAT_FINITE] = 1;
}

// In exact arithmetic, one step of torch.optim.AdamW.
void tv_ref_adamw(const tv_trial *t, double *const *y)
{
    const tv_attrs *a = &t->graph->nodes[0]->attrs;
    double lr = step_float(t, 4, TV_STEP_LR), correct1 = step_float(t, 4, TV_STEP_CORRECT1);
    double correct2 = step_float(t, 4, TV_STEP_CORRECT2);
    bool finite = x_of(t, 3)[TV_STAT_FINITE] != 0, has_master = t->output_count > 3;
    for (size_t i = 0; i < t->leaves[0].count; i++) {
        double g = (double)t->leaves[0].prefill[i] * x_of(t, 3)[TV_STAT_COEFFICIENT];
        double w = has_master ? x_of(t, 5)[i] : x_of(t, 0)[i];
        double m = a->beta1 * x_of(t, 1)[i] + (1 - a->beta1) * g;
        double v = a->beta2 * x_of(t, 2)[i] + (1 - a->beta2) * g * g;
        double updated =
            w * (1 - lr * a->weight_decay) - lr / correct1 * m / (sqrt(v) / correct2 + a->epsilon);
        y[0][i] = finite ? updated : x_of(t, 0)[i];
        y[1][i] = finite ? m : x_of(t, 1)[i];
        y[2][i] = finite ? v : x_of(t, 2)[i];
        if (has_master)
            y[3][i] = finite ? updated : w;
    }
}

void tv_ref_colsum(const tv_trial *t, double *const *y)
{
    const tv_attrs *attrs = &t->graph->nodes[0]->attrs;
    const tv_tensor *x = t->leaves[0].tensor, *out = t->outputs[0];
    for (size_t i = 0; i < t->leaves[1].count; i++)
        y[0][i] = attrs->accumulate ? x_of(t, 1)[i] : 0;
    for (uint32_t r = 0; r < x->rows; r++)
        for (uint32_t c = 0; c < out->columns; c++)
            y[0][(size_t)(r / attrs->block) * out->columns + c] +=
                x_of(t, 0)[(size_t)r * x->columns + attrs->offset + c];
}

void tv_ref_layernorm_partial(const tv_trial *t, double *const *y)
{
    uint32_t rows = t->row->size[0], width = t->row->size[1], block = t->row->size[2];
    memset(y[0], 0, (size_t)tv_tensor_count(t->outputs[0]) * sizeof **y);
    for (uint32_t r = 0; r < rows; r++)
        for (uint32_t c = 0; c < width; c++) {
            const double *stats = x_of(t, 1) + 2 * r;
            double *part = y[0] + (size_t)(r / block) * 2 * width;
            double dy = x_of(t, 2)[(size_t)r * width + c];
            part[c] += dy * (x_of(t, 0)[(size_t)r * width + c] - stats[0]) * stats[1];
            part[width + c] += dy;
        }
}

void tv_ref_rmsnorm_partial(const tv_trial *t, double *const *y)
{
    uint32_t rows = t->row->size[0], width = t->row->size[1], block = t->row->size[2];
    memset(y[0], 0, (size_t)tv_tensor_count(t->outputs[0]) * sizeof **y);
    for (uint32_t r = 0; r < rows; r++)
        for (uint32_t c = 0; c < width; c++)
            y[0][(size_t)(r / block) * width + c] += x_of(t, 2)[(size_t)r * width + c] *
                                                     x_of(t, 0)[(size_t)r * width + c] *
                                                     x_of(t, 1)[r];
}

void tv_ref_posadd_grad(const tv_trial *t, double *const *y)
{
    uint32_t rows = t->leaves[0].tensor->rows, width = t->row->size[2], time = t->row->size[1];
    memcpy(y[0], x_of(t, 1), t->leaves[1].count * sizeof **y);
    for (uint32_t r = 0; r < rows; r++)
        for (uint32_t c = 0; c < width; c++)
            y[0][(size_t)(r % time) * width + c] += x_of(t, 0)[(size_t)r * width + c];
}

void tv_ref_embed_grad(const tv_trial *t, double *const *y)
{
    uint32_t rows = t->row->size[0], width = t->row->size[1];
    memcpy(y[0], x_of(t, 3), t->leaves[3].count * sizeof **y);
    for (uint32_t r = 0; r < rows; r++)
        for (uint32_t c = 0; c < width; c++)
            y[0][(size_t)words_of(t, 0)[r] * width + c] += x_of(t, 2)[(size_t)r * width + c];
}
