// A trial: a model that is trained for a while on random tokens.
#include "bench/trial.h"

#include "base/clock.h"
#include "base/rng.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

enum { CHECKED_STEPS = 2, SEED = 7 };
static const double LOSS_TOLERANCE = 0.1; // of the logarithm of the vocabulary

// ----------------------------------------------------------------------------------- configuration

static tv_err set_number(tv_config *config, const char *key, uint32_t value)
{
    char text[96];
    snprintf(text, sizeof text, "%s=%" PRIu32, key, value);
    return tv_config_set(config, text);
}

static tv_err set_gpt2(tv_config *c, const tv_bench_shape *s)
{
    TV_TRY(tv_config_set(c, "model.type=gpt2"));
    TV_TRY(set_number(c, "model.n_layer", s->layers));
    TV_TRY(set_number(c, "model.n_head", s->heads));
    TV_TRY(set_number(c, "model.n_embd", s->width));
    if (s->inner)
        TV_TRY(set_number(c, "model.n_inner", s->inner));
    return set_number(c, "model.n_positions", s->time);
}

static tv_err set_llama(tv_config *c, const tv_bench_shape *s)
{
    TV_TRY(tv_config_set(c, "model.type=llama"));
    TV_TRY(set_number(c, "model.num_hidden_layers", s->layers));
    TV_TRY(set_number(c, "model.num_attention_heads", s->heads));
    TV_TRY(set_number(c, "model.hidden_size", s->width));
    TV_TRY(set_number(c, "model.intermediate_size", s->inner ? s->inner : 4 * s->width));
    if (s->kv_heads)
        TV_TRY(set_number(c, "model.num_key_value_heads", s->kv_heads));
    if (s->untied)
        TV_TRY(tv_config_set(c, "model.tie_word_embeddings=false"));
    return set_number(c, "model.max_position_embeddings", s->time);
}

static tv_err configure(tv_config *c, const tv_bench_shape *s, const char *precision)
{
    char text[64];
    TV_TRY(s->llama ? set_llama(c, s) : set_gpt2(c, s));
    TV_TRY(set_number(c, "model.vocab_size", s->vocabulary));
    TV_TRY(set_number(c, "data.seq_len", s->time));
    TV_TRY(set_number(c, "trainer.global_batch_size", s->batch));
    TV_TRY(set_number(c, "trainer.micro_batch_size", s->batch));
    snprintf(text, sizeof text, "trainer.precision=%s", precision);
    TV_TRY(tv_config_set(c, text));
    TV_TRY(tv_config_set(c, "lr_scheduler.name=constant"));
    TV_TRY(set_number(c, "lr_scheduler.warmup_steps", 0));
    return tv_config_check(c);
}

tv_err tv_bench_trial_open(tv_device *device, const tv_bench_shape *shape, const char *precision,
                           tv_bench_trial *trial)
{
    tv_session_options options = {.micro_batch = shape->batch, .device = device, .synthetic = true};
    *trial = (tv_bench_trial){0};
    tv_config_init(&trial->config);
    TV_TRY(configure(&trial->config, shape, precision));
    return tv_session_open(&trial->config, &options, &trial->session);
}

void tv_bench_trial_close(tv_bench_trial *trial)
{
    tv_session_close(&trial->session);
    tv_config_finish(&trial->config);
    *trial = (tv_bench_trial){0};
}

// ------------------------------------------------------------------------------------------- steps

// Random tokens, others in each step.
static void fill_batch(tv_session *s, uint64_t step)
{
    uint32_t vocabulary = s->model_config.vocab_size;
    tv_rng rng = tv_rng_init(SEED, 1 + step);
    for (size_t i = 0; i < (size_t)s->global_batch * s->seq_len; i++) {
        s->ids[i] = tv_rng_below(&rng, vocabulary);
        s->targets[i] = tv_rng_below(&rng, vocabulary);
    }
    for (uint32_t i = 0; i < s->global_batch; i++)
        s->samples[i] = i;
}

tv_err tv_bench_trial_step(void *context, double *seconds)
{
    tv_bench_trial *t = context;
    fill_batch(&t->session, t->state.step);
    double start = tv_now_seconds();
    TV_TRY(tv_session_train(&t->session, &t->state, &t->last));
    *seconds = tv_now_seconds() - start;
    if (t->meter)
        tv_bench_meter_tick(t->meter);
    return TV_OK;
}

// As a new run begins.
static tv_err begin(tv_bench_trial *t)
{
    tv_checkpoint_parts parts = tv_session_parts(&t->session);
    TV_TRY(tv_weights_init(parts.plan, parts.model, SEED));
    TV_TRY(tv_moments_clear(parts.plan, parts.model, &parts.moments));
    t->state = (tv_train_state){0};
    tv_session_enter(&t->session, &t->state);
    return TV_OK;
}

// What the checked steps gave: losses, then gradient norms.
static tv_err first_steps(tv_bench_trial *t, double seen[2 * CHECKED_STEPS])
{
    double seconds;
    TV_TRY(begin(t));
    for (int i = 0; i < CHECKED_STEPS; i++) {
        TV_TRY(tv_bench_trial_step(t, &seconds));
        seen[i] = t->last.loss;
        seen[CHECKED_STEPS + i] = t->last.grad_norm;
    }
    return TV_OK;
}

tv_err tv_bench_trial_check(tv_bench_trial *t, bool *good, char why[160], double *loss)
{
    double seen[2 * CHECKED_STEPS], again[2 * CHECKED_STEPS];
    double expected = log(t->session.model_config.vocab_size);
    bool scaled = tv_precision_get_info(t->session.precision)->scaled;
    TV_TRY(first_steps(t, seen));
    TV_TRY(first_steps(t, again));
    bool same = memcmp(seen, again, sizeof seen) == 0, finite = true;
    // A loss scale that is still being found may make gradients overflow, but never a loss.
    for (int i = 0; i < (scaled ? CHECKED_STEPS : 2 * CHECKED_STEPS); i++)
        finite &= isfinite(seen[i]) != 0;
    bool near = fabs(seen[0] - expected) <= LOSS_TOLERANCE * expected;
    *good = same && finite && near;
    *loss = seen[0];
    snprintf(why, 160, "first loss %.4f, log of the vocabulary %.4f%s; losses %s; repeated: %s",
             seen[0], expected, near ? "" : ", too far apart", finite ? "finite" : "NOT FINITE",
             same ? "the same bits" : "OTHER BITS");
    return TV_OK;
}
