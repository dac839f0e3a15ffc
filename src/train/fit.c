// Fitting: graphs of several sizes, and what the device has room for.
#include "train/fit.h"

#include "base/memory.h"

#include <stdio.h>
#include <string.h>

// Larger micro-batches than this many tokens gain nothing and cost memory.
enum { BUSY_TOKENS_CPU = 4096, BUSY_TOKENS_GPU = 16384 };

// Ranks that are to be balanced have several micro-batches each, of no fewer tokens than these: the
// more there are, the closer shares come to speeds.
enum { BALANCE_BATCHES = 8, BALANCE_TOKENS_CPU = 512, BALANCE_TOKENS_GPU = 4096 };

static tv_sharded level_of(const tv_session *s)
{
    tv_sharded level = tv_strategy_sharded(s->strategy);
    if (tv_comm_size(s->comm) == 1)
        return TV_SHARDED_NONE;
    return s->alone && level > TV_SHARDED_OPTIMIZER ? TV_SHARDED_OPTIMIZER : level;
}

// What may be changed so that a run fits.
typedef struct sizes {
    uint32_t micro_batch, seq_len;
    bool offload;
    tv_recompute recompute;
} sizes;

static tv_step_graph *build(const tv_session *s, sizes z)
{
    const tv_config *c = s->config;
    tv_step_options options = {.batch = z.micro_batch,
                               .time = z.seq_len,
                               .beta1 = c->optimizer.betas.items[0],
                               .beta2 = c->optimizer.betas.items[1],
                               .epsilon = (float)c->optimizer.eps,
                               .weight_decay = (float)c->optimizer.weight_decay,
                               .precision = s->precision,
                               .moments = s->moments,
                               .recompute = z.recompute,
                               .logit_bytes = tv_logit_bytes(tv_device_get_info(s->device)),
                               .single = z.micro_batch == s->global_batch,
                               .update = true,
                               .ranks = s->apart ? 1 : tv_comm_size(s->comm),
                               .rank = tv_comm_rank(s->comm),
                               .shares = s->shares,
                               .sharded = level_of(s),
                               .offload_optimizer = z.offload,
                               .offload_activations = c->trainer.offload_activations,
                               .bucket_bytes = (uint64_t)(c->trainer.bucket_cap_mb * (1 << 20))};
    return tv_step_graph_create(&s->model_config, &options);
}

// Of the host's memory, this rank's part.
static uint64_t host_share(const tv_session *s)
{
    return tv_device_get_info(s->device)->caps.host_memory / tv_comm_local_size(s->comm);
}

// Whether a plan of that size fits; *memory is what it takes, nothing where it cannot be placed.
static bool fits(const tv_session *s, sizes z, tv_plan_memory *memory)
{
    const tv_caps *caps = &tv_device_get_info(s->device)->caps;
    tv_step_graph *graph = build(s, z);
    *memory = (tv_plan_memory){0};
    bool placed = tv_plan_measure(graph->graph, caps, memory) == TV_OK;
    tv_step_graph_destroy(&graph);
    return placed && memory->total <= caps->memory && memory->host <= host_share(s);
}

// The first of smaller micro-batches, recomputing, offloading and shorter sequences that fits;
// false: none does. Offloading is of no use where the host's memory and the device's are one.
static bool find_fitting(const tv_session *s, sizes z, sizes *found, tv_plan_memory *memory)
{
    tv_device_class class = tv_device_get_info(s->device)->device_class;
    *found = z;
    for (found->micro_batch /= 2; found->micro_batch > 0; found->micro_batch /= 2)
        if (fits(s, *found, memory))
            return true;
    *found = (sizes){1, z.seq_len, z.offload, TV_RECOMPUTE_BLOCK};
    if (fits(s, *found, memory))
        return true;
    *found = (sizes){1, z.seq_len, true, z.recompute};
    if (!z.offload && (class == TV_CLASS_DISCRETE || class == TV_CLASS_VIRTUAL) &&
        fits(s, *found, memory))
        return true;
    *found = (sizes){1, z.seq_len / 2, z.offload, z.recompute};
    for (; found->seq_len > 0; found->seq_len /= 2)
        if (fits(s, *found, memory))
            return true;
    return false;
}

static void describe_change(sizes from, sizes to, char *text, size_t size)
{
    if (to.seq_len != from.seq_len)
        snprintf(text, size, "data.seq_len=%u with trainer.micro_batch_size=1", to.seq_len);
    else if (to.recompute != from.recompute)
        snprintf(text, size,
                 "trainer.activation_checkpointing=block with trainer.micro_batch_size=1");
    else if (to.offload != from.offload)
        snprintf(text, size, "trainer.offload_optimizer=true with trainer.micro_batch_size=1");
    else
        snprintf(text, size, "trainer.micro_batch_size=%u", to.micro_batch);
}

static tv_err does_not_fit(const tv_session *s, sizes z, const tv_plan_memory *memory)
{
    const tv_caps *caps = &tv_device_get_info(s->device)->caps;
    char need[48] = "a buffer larger than the device allocates", have[32], would[32], change[80];
    sizes other;
    tv_plan_memory smaller;
    bool host = memory->total <= caps->memory && memory->host > host_share(s);
    if (memory->total)
        tv_format_bytes(host ? memory->host : memory->total, need);
    tv_format_bytes(host ? host_share(s) : caps->memory, have);
    if (host)
        return tv_fail(TV_EMEMORY,
                       "what is offloaded needs %s of the host's memory, this rank's part of "
                       "which is %s; choose optimizer.state_precision=bf16, a smaller "
                       "trainer.micro_batch_size or a smaller model",
                       need, have);
    if (!find_fitting(s, z, &other, &smaller))
        return tv_fail(TV_EMEMORY, "training needs %s, the device has %s; choose a smaller model",
                       need, have);
    tv_format_bytes(smaller.total, would);
    describe_change(z, other, change, sizeof change);
    return tv_fail(TV_EMEMORY, "training needs %s, the device has %s; %s would fit (%s)", need,
                   have, change, would);
}

bool tv_fit_equal_shares(const tv_session *s)
{
    const tv_word_doubles *balance = &s->config->trainer.balance;
    return s->apart ? balance->word != NULL : balance->word && strcmp(balance->word, "equal") == 0;
}

// The largest micro-batch that is of use.
static uint32_t useful_micro_batch(const tv_session *s)
{
    bool cpu = tv_device_get_info(s->device)->device_class == TV_CLASS_CPU;
    uint32_t ranks = tv_comm_size(s->comm);
    size_t busy = (size_t)(cpu ? BUSY_TOKENS_CPU : BUSY_TOKENS_GPU) / s->seq_len;
    size_t least = (size_t)(cpu ? BALANCE_TOKENS_CPU : BALANCE_TOKENS_GPU) / s->seq_len;
    size_t share = s->global_batch / ranks; // larger ones leave ranks idle
    size_t most = tv_min_size(busy, share);
    if (ranks > 1 && !tv_fit_equal_shares(s))
        most = tv_min_size(most, tv_max_size(share / BALANCE_BATCHES, least));
    return (uint32_t)tv_max_size(most, 1);
}

static sizes sizes_of(const tv_session *s, uint32_t micro_batch)
{
    const tv_config *c = s->config;
    return (sizes){micro_batch, s->seq_len, c->trainer.offload_optimizer,
                   tv_recompute_parse(c->trainer.activation_checkpointing)};
}

tv_err tv_fit_micro_batch(tv_session *s, uint32_t wanted)
{
    tv_plan_memory memory = {0};
    uint32_t most = useful_micro_batch(s);
    if (wanted && s->global_batch % wanted != 0)
        return tv_fail(TV_EUSAGE,
                       "trainer.micro_batch_size=%u does not divide trainer.global_batch_size=%u",
                       wanted, s->global_batch);
    s->micro_batch = wanted;
    if (wanted && !fits(s, sizes_of(s, wanted), &memory))
        return does_not_fit(s, sizes_of(s, wanted), &memory);
    for (uint32_t batch = s->global_batch; !s->micro_batch && batch > 0; batch--)
        if (s->global_batch % batch == 0 && batch <= most && fits(s, sizes_of(s, batch), &memory))
            s->micro_batch = batch;
    return s->micro_batch ? TV_OK : does_not_fit(s, sizes_of(s, 1), &memory);
}

tv_step_graph *tv_fit_build(const tv_session *s)
{
    return build(s, sizes_of(s, s->micro_batch));
}
