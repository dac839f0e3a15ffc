// Communication: a run of one rank, launches that cannot work, and three ranks under mpirun, which
// run this very program with the argument "rank".
#include "harness/ranks.h"

#include "base/memory.h"
#include "base/worker.h"
#include "dist/comm.h"
#include "train/ranks.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { RANKS = 3, MANY = (1 << 20) + 12345 }; // more than is summed at a time

static char self[1024];

// ----------------------------------------------------------------------------------- every rank

// Values whose float sum depends on the order in which they are added.
static float value_of(uint32_t rank, size_t i)
{
    static const float sizes[] = {1, 1e-7f, 3e7f};
    return sizes[(rank + i) % RANKS] * (1 + (float)(i % 101) / 7);
}

static void check_sums(tv_comm *comm)
{
    uint32_t rank = tv_comm_rank(comm);
    float *values = tv_alloc(MANY, sizeof *values);
    for (size_t i = 0; i < MANY; i++)
        values[i] = value_of(rank, i);
    REQUIRE(tv_comm_sum_f32(comm, values, MANY) == TV_OK);
    for (size_t i = 0; i < MANY; i++) {
        double sum = value_of(0, i);
        for (uint32_t r = 1; r < RANKS; r++)
            sum += value_of(r, i);
        REQUIRE(values[i] == (float)sum);
    }
    for (size_t count = 0; count < 5; count++) { // fewer values than ranks, or none
        float few[4] = {1, 2, 3, 4};
        REQUIRE(tv_comm_sum_f32(comm, few, count < 4 ? count : 4) == TV_OK);
        for (size_t i = 0; i < 4; i++)
            REQUIRE(few[i] == (float)(i + 1) * (i < count ? RANKS : 1));
    }
    double two[2] = {0.1 * (rank + 1), rank};
    REQUIRE(tv_comm_sum_f64(comm, two, 2) == TV_OK);
    REQUIRE(two[0] == 0.1 + 0.2 + 0.1 * 3 && two[1] == 3);
    tv_free(values);
}

// Pieces of different sizes, one of them of more floats than travel at a time.
static void check_pieces(tv_comm *comm)
{
    static const uint64_t counts[RANKS] = {5, 0, MANY};
    const uint64_t sizes[RANKS] = {3, MANY, 0};
    uint32_t rank = tv_comm_rank(comm);
    uint64_t sent = tv_comm_sent_bytes(comm), own = rank == 0 ? 0 : 5;
    float *values = tv_alloc(MANY + 5, sizeof *values);
    for (size_t i = 0; i < MANY + 5; i++)
        values[i] = value_of(rank, i);
    REQUIRE(tv_comm_reduce_scatter_f32(comm, values, counts) == TV_OK);
    for (size_t i = 0; i < MANY + 5; i++) {
        double sum = value_of(0, i) + (double)value_of(1, i) + value_of(2, i);
        bool mine = rank != 1 && i >= own && i < own + counts[rank];
        REQUIRE(values[i] == (mine ? (float)sum : value_of(rank, i)));
    }
    REQUIRE(tv_comm_sent_bytes(comm) - sent == 4 * (MANY + 5 - counts[rank]));
    char *bytes = (char *)values;
    memset(bytes, (int)rank, 3 + MANY);
    REQUIRE(tv_comm_all_gather(comm, bytes, sizes) == TV_OK);
    for (size_t i = 0; i < 3 + MANY; i++)
        REQUIRE(bytes[i] == (i >= 3));
    tv_free(values);
}

// Round the ring, one after the other, and both ways at once.
static void check_swaps(tv_comm *comm)
{
    uint32_t rank = tv_comm_rank(comm);
    uint64_t sent = tv_comm_sent_bytes(comm);
    char *out = tv_alloc(MANY, 1), *in = tv_alloc(MANY, 1);
    memset(out, (int)rank + 1, MANY);
    for (uint32_t from = 0; from < RANKS; from++) {
        uint32_t to = (from + 1) % RANKS, number = 10 + from;
        if (rank == from)
            REQUIRE(tv_comm_swap(comm, to, &number, sizeof number, NULL, 0) == TV_OK);
        else if (rank == to)
            REQUIRE(tv_comm_swap(comm, from, NULL, 0, &number, sizeof number) == TV_OK);
        REQUIRE(number == 10 + from);
    }
    if (rank < 2) {
        REQUIRE(tv_comm_swap(comm, 1 - rank, out, MANY, in, MANY) == TV_OK);
        for (size_t i = 0; i < MANY; i++)
            REQUIRE(in[i] == (char)(2 - rank));
    }
    REQUIRE(tv_comm_sent_bytes(comm) == sent);
    tv_free(out);
    tv_free(in);
}

static tv_err sum_behind(void *context)
{
    float *values = tv_alloc(MANY, sizeof *values);
    for (size_t i = 0; i < MANY; i++)
        values[i] = 1;
    tv_err err = tv_comm_sum_f32(tv_comm_behind(context), values, MANY);
    for (size_t i = 0; i < MANY; i++)
        REQUIRE(values[i] == RANKS);
    tv_free(values);
    return err;
}

// Both lanes at once, and in another order on each rank.
static void check_behind(tv_comm *comm)
{
    tv_worker *worker;
    REQUIRE(tv_worker_create(&worker) == TV_OK);
    for (int i = 0; i < 5; i++)
        tv_worker_give(worker, sum_behind, comm);
    for (uint64_t i = 0; i < 200; i++) {
        uint64_t largest = i + tv_comm_rank(comm);
        REQUIRE(tv_comm_max(comm, &largest, 1) == TV_OK && largest == i + RANKS - 1);
    }
    REQUIRE(tv_worker_wait(worker, 0) == TV_OK);
    tv_worker_destroy(&worker);
}

static void check_data(tv_comm *comm)
{
    uint32_t rank = tv_comm_rank(comm), all[RANKS];
    char text[16] = "";
    snprintf(text, sizeof text, "from %u", rank);
    REQUIRE(tv_comm_broadcast(comm, text, sizeof text) == TV_OK);
    REQUIRE(strcmp(text, "from 0") == 0);
    REQUIRE(tv_comm_gather(comm, &rank, sizeof rank, all) == TV_OK);
    REQUIRE(all[0] == 0 && all[1] == 1 && all[2] == 2);
    uint64_t largest[2] = {rank, UINT64_MAX - rank};
    REQUIRE(tv_comm_max(comm, largest, 2) == TV_OK);
    REQUIRE(largest[0] == 2 && largest[1] == UINT64_MAX);
    bool flag = rank == 1;
    REQUIRE(tv_ranks_any(comm, &flag) == TV_OK && flag);
    REQUIRE(tv_comm_barrier(comm) == TV_OK);
}

// Rank 2 has the same GPU as rank 0, through another API.
static void check_devices(tv_comm *comm)
{
    uint32_t rank = tv_comm_rank(comm);
    tv_device_info info = {.device_class = TV_CLASS_DISCRETE, .index = rank};
    snprintf(info.backend, sizeof info.backend, "%s", rank == 2 ? "opencl" : "vulkan");
    snprintf(info.name, sizeof info.name, "card");
    info.uuid[0] = 1; // the driver gives all of them the same one
    snprintf(info.pci, sizeof info.pci, "0000:0%u:00.0", rank);
    REQUIRE(tv_ranks_compare_devices(comm, &info, false) == TV_OK);
    snprintf(info.pci, sizeof info.pci, "0000:0%u:00.0", rank % 2);
    REQUIRE(tv_ranks_compare_devices(comm, &info, true) == TV_OK);
    REQUIRE(tv_ranks_compare_devices(comm, &info, false) == TV_EUSAGE);
    REQUIRE(strstr(tv_error_message(), "ranks 0 and 2 on "));
    info = (tv_device_info){.device_class = TV_CLASS_CPU}; // nothing known but its name
    snprintf(info.name, sizeof info.name, "%s", rank ? "cpu" : "processor");
    REQUIRE(tv_ranks_compare_devices(comm, &info, false) == TV_EUSAGE);
    REQUIRE(strstr(tv_error_message(), "ranks 1 and 2 on "));
}

static void check_comparison(tv_comm *comm)
{
    check_devices(comm);
    REQUIRE(tv_ranks_compare(comm, "hat", "red") == TV_OK);
    REQUIRE(tv_ranks_compare(comm, "hat", tv_comm_rank(comm) == 2 ? "blue" : "red") == TV_ENET);
    REQUIRE(strstr(tv_error_message(), "rank 2 on ") && strstr(tv_error_message(), "blue"));
}

// Ranks 1 and 2 fail: all hear of rank 1, also those that go on to another agreement.
static void check_agreement(tv_comm *comm)
{
    uint32_t rank = tv_comm_rank(comm);
    REQUIRE(tv_comm_agree(comm, TV_OK) == TV_OK);
    tv_err err = rank == 0 ? TV_OK : tv_fail(rank == 1 ? TV_EDATA : TV_ELOST, "cause %u", rank);
    REQUIRE(tv_comm_agree(comm, err) == TV_EDATA);
    REQUIRE(strstr(tv_error_message(), "rank 1 on ") && strstr(tv_error_message(), ": cause 1"));
    REQUIRE(rank != 0 || tv_comm_agree(comm, TV_EDATA) == TV_EDATA); // alone: does not block
    REQUIRE(!tv_comm_is_broken(comm));
}

static int run_rank(void)
{
    tv_comm *comm;
    REQUIRE(tv_comm_open(&comm) == TV_OK);
    REQUIRE(tv_comm_size(comm) == RANKS && tv_comm_local_size(comm) == RANKS);
    REQUIRE(tv_comm_local_rank(comm) == tv_comm_rank(comm));
    check_sums(comm);
    check_pieces(comm);
    check_swaps(comm);
    check_behind(comm);
    check_data(comm);
    check_comparison(comm);
    check_agreement(comm);
    tv_comm_close(&comm);
    return 0;
}

// A rank that ends the job while the others wait for it.
static int run_abort(void)
{
    tv_comm *comm;
    REQUIRE(tv_comm_open(&comm) == TV_OK);
    if (tv_comm_rank(comm) == 1)
        tv_comm_abort(comm, 28);
    tv_comm_barrier(comm);
    return 0;
}

// ---------------------------------------------------------------------------------------- tests

static void test_one_rank(void **state)
{
    (void)state;
    tv_comm *comm;
    float values[2] = {1, 2};
    uint32_t mine = 7, all = 0;
    assert_ok(tv_comm_open(&comm));
    assert_null(comm);
    assert_int_equal(tv_comm_rank(comm), 0);
    assert_int_equal(tv_comm_size(comm), 1);
    assert_ok(tv_comm_sum_f32(comm, values, 2));
    assert_true(values[0] == 1 && values[1] == 2);
    assert_ok(tv_comm_gather(comm, &mine, sizeof mine, &all));
    assert_int_equal(all, 7);
    assert_int_equal(tv_comm_agree(comm, TV_EIO), TV_EIO);
    assert_ok(tv_comm_agree(comm, TV_OK));
    tv_comm_abort(comm, 1); // nothing to end
    tv_comm_close(&comm);
}

static void test_device_lists(void **state)
{
    (void)state;
    static const struct {
        const char *configured, *chosen;
    } cases[] = {{"auto", "auto"}, {"3", "3"}, {"vulkan:1, vulkan:0", "vulkan:1"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        tv_text which = {0};
        assert_ok(tv_ranks_choose_device(NULL, cases[i].configured, &which));
        assert_string_equal(which.data, cases[i].chosen);
        tv_text_finish(&which);
    }
}

static void test_launch_without_mpi(void **state)
{
    (void)state;
    tv_comm *comm;
    if (tv_test_has_mpi())
        skip();
    setenv("OMPI_COMM_WORLD_SIZE", "2", 1);
    assert_int_equal(tv_comm_open(&comm), TV_ENET);
    assert_non_null(strstr(tv_error_message(), "no MPI"));
    setenv("OMPI_COMM_WORLD_SIZE", "1", 1);
    assert_ok(tv_comm_open(&comm));
    unsetenv("OMPI_COMM_WORLD_SIZE");
}

static void test_three_ranks(void **state)
{
    (void)state;
    tv_test_require_mpirun();
    assert_int_equal(tv_test_mpirun(RANKS, self, "rank"), 0);
}

static void test_abort(void **state)
{
    (void)state;
    tv_test_require_mpirun();
    assert_int_equal(tv_test_mpirun(RANKS, self, "abort 2>/dev/null"), 28 << 8);
}

int main(int argc, char **argv)
{
    if (argc == 2 && strcmp(argv[1], "rank") == 0)
        return run_rank();
    if (argc == 2 && strcmp(argv[1], "abort") == 0)
        return run_abort();
    snprintf(self, sizeof self, "%s", argv[0]);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_rank),
        cmocka_unit_test(test_device_lists),
        cmocka_unit_test(test_launch_without_mpi),
        cmocka_unit_test(test_three_ranks),
        cmocka_unit_test(test_abort),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
