// What travels between ranks in few bits, and the outer optimizer: alone, and on three ranks under
// mpirun, which run this very program with the argument "rank".
#include "harness/ranks.h"

#include "base/memory.h"
#include "dist/outer.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { RANKS = 3, COUNT = 1000, ROUNDS = 20 };

static char self[1024];

static void fill(uint64_t stream, float *values, size_t count)
{
    tv_rng_normals(7, stream, 0, 1, count, values);
}

// ----------------------------------------------------------------------------------- quantization

static void there_and_back(tv_wire wire, const float *values, size_t count, float *error,
                           float *arrived)
{
    uint32_t *packed = tv_alloc(tv_wire_words(wire, count), sizeof *packed);
    tv_wire_pack(wire, values, count, error, packed);
    tv_wire_unpack(wire, packed, count, arrived);
    tv_free(packed);
}

// Half a step of a block's scale, or of bfloat16; and what is lost is what is missing.
static void test_round_trip(void **state)
{
    static const size_t counts[] = {1, 5, 8, 255, 256, 257, COUNT};
    static const double steps[TV_WIRES] = {0, 0, 1.0 / 127, 1.0 / 7};
    (void)state;
    float values[COUNT], error[COUNT], arrived[COUNT];
    for (tv_wire wire = 0; wire < TV_WIRES; wire++)
        for (size_t c = 0; c < sizeof counts / sizeof *counts; c++) {
            fill(c, values, counts[c]);
            memset(error, 0, sizeof error);
            there_and_back(wire, values, counts[c], error, arrived);
            for (size_t i = 0; i < counts[c]; i++) {
                double most = 0;
                size_t block = i / TV_WIRE_BLOCK * TV_WIRE_BLOCK;
                for (size_t j = block; j < tv_min_size(block + TV_WIRE_BLOCK, counts[c]); j++)
                    most = fmax(most, fabs(values[j]));
                double bound =
                    wire == TV_WIRE_BF16 ? fabs(values[i]) / 256 : most * steps[wire] / 2;
                assert_true(fabs((double)values[i] - arrived[i]) <= bound * 1.0001);
                assert_true(values[i] - arrived[i] == error[i]);
            }
        }
}

static void test_words(void **state)
{
    (void)state;
    assert_int_equal(tv_wire_words(TV_WIRE_F32, 257), 257);
    assert_int_equal(tv_wire_words(TV_WIRE_BF16, 257), 129);
    assert_int_equal(tv_wire_words(TV_WIRE_INT8, 256), 65);
    assert_int_equal(tv_wire_words(TV_WIRE_INT8, 257), 65 + 2);
    assert_int_equal(tv_wire_words(TV_WIRE_INT4, 256 + 9), 33 + 3);
    assert_int_equal(tv_wire_words(TV_WIRE_INT4, 0), 0);
    assert_true(tv_wire_bits(TV_WIRE_INT8) == 8.125 && tv_wire_bits(TV_WIRE_F32) == 32);
    tv_wire wire;
    assert_ok(tv_wire_parse("int4", &wire));
    assert_int_equal(wire, TV_WIRE_INT4);
    assert_error(tv_wire_parse("int3", &wire), TV_EUSAGE, "int3");
}

// What is sent in many rounds adds up to what there was to send, but for the last error.
static void test_error_feedback(void **state)
{
    (void)state;
    for (tv_wire wire = 0; wire < TV_WIRES; wire++) {
        float values[COUNT], error[COUNT] = {0}, arrived[COUNT];
        double wanted[COUNT] = {0}, sent[COUNT] = {0};
        for (uint64_t round = 0; round < ROUNDS; round++) {
            fill(round, values, COUNT);
            there_and_back(wire, values, COUNT, error, arrived);
            for (size_t i = 0; i < COUNT; i++) {
                wanted[i] += values[i];
                sent[i] += arrived[i];
            }
        }
        for (size_t i = 0; i < COUNT; i++)
            assert_true(fabs(wanted[i] - sent[i] - error[i]) <= 1e-5);
    }
}

static void test_odd_values(void **state)
{
    (void)state;
    for (tv_wire wire = 0; wire < TV_WIRES; wire++) {
        float values[600] = {0}, error[600] = {0}, arrived[600];
        values[300] = 1; // zeros arrive as zeros, in a block of them and beside others
        there_and_back(wire, values, 600, error, arrived);
        for (size_t i = 0; i < 600; i++)
            assert_true(arrived[i] == values[i] && error[i] == 0);
        values[10] = 1e-40f; // too small for a scale: it waits
        there_and_back(wire, values, 600, error, arrived);
        assert_true(arrived[10] + error[10] == values[10]);
        values[300] = INFINITY; // other blocks do not suffer
        values[599] = NAN;
        there_and_back(wire, values, 600, error, arrived);
        assert_true(!isfinite(arrived[300]) && isnan(arrived[599]) && arrived[5] == 0);
        assert_true(error[300] == 0 && error[599] == 0);
    }
}

// ---------------------------------------------------------------------------------------- one rank

typedef struct outer {
    float shared[COUNT], momentum[COUNT], own[COUNT], error[COUNT], mean_error[COUNT];
} outer;

static tv_outer_part part_of(outer *o)
{
    return (tv_outer_part){COUNT, o->shared, o->momentum, o->own, o->error, o->mean_error};
}

// Nesterov momentum as PyTorch's SGD has it, in double precision.
static void test_momentum(void **state)
{
    (void)state;
    outer o = {{0}, {0}, {0}, {0}, {0}};
    double shared[COUNT], momentum[COUNT] = {0};
    tv_outer_rule rule = {TV_WIRE_F32, 0.7, 0.9};
    tv_outer_part part = part_of(&o);
    tv_outer_report report;
    fill(0, o.shared, COUNT);
    for (size_t i = 0; i < COUNT; i++)
        shared[i] = o.shared[i];
    for (uint64_t round = 1; round < 6; round++) {
        fill(round, o.own, COUNT);
        for (size_t i = 0; i < COUNT; i++) {
            double difference = shared[i] - o.own[i];
            momentum[i] = 0.9 * momentum[i] + difference;
            shared[i] -= 0.7 * (difference + 0.9 * momentum[i]);
        }
        assert_ok(tv_outer_step(NULL, &rule, &part, 5, &report));
        assert_int_equal(report.sent, 0);
        for (size_t i = 0; i < COUNT; i++)
            assert_true(fabs(shared[i] - o.shared[i]) < 1e-4);
    }
}

// Nothing but errors has changed then.
static void test_not_finite(void **state)
{
    (void)state;
    for (tv_wire wire = 0; wire < TV_WIRES; wire++) {
        outer o = {{0}, {0}, {0}, {0}, {0}};
        tv_outer_rule rule = {wire, 0.7, 0.9};
        tv_outer_part part = part_of(&o);
        tv_outer_report report;
        fill(1, o.own, COUNT);
        o.own[COUNT - 1] = NAN;
        assert_error(tv_outer_step(NULL, &rule, &part, 5, &report), TV_EDATA, "not finite");
        for (size_t i = 0; i < COUNT; i++)
            assert_true(o.shared[i] == 0 && o.momentum[i] == 0);
    }
}

static void test_pieces(void **state)
{
    (void)state;
    for (uint64_t count = 0; count < 3000; count += 37)
        for (uint32_t ranks = 1; ranks < 7; ranks++) {
            uint64_t at = 0, first, end;
            for (uint32_t r = 0; r < ranks; r++, at = end) {
                tv_outer_piece(count, r, ranks, &first, &end);
                assert_true(first == at && end >= first && (first % 256 == 0 || first == count));
            }
            assert_int_equal(at, count);
        }
    assert_true(tv_outer_bytes(TV_WIRE_INT8, 1024, 4) == 2 * 0.75 * 1024 * 8.125 / 8);
}

// -------------------------------------------------------------------------------------- three
// ranks

static void check_exchange(tv_comm *comm)
{
    static const uint64_t counts[RANKS] = {2, 0, 5};
    uint32_t rank = tv_comm_rank(comm), words[7], pieces[RANKS * 5];
    for (uint32_t i = 0; i < 7; i++)
        words[i] = 100 * rank + i;
    uint64_t sent = tv_comm_sent_bytes(comm);
    REQUIRE(tv_comm_exchange(comm, words, counts, pieces) == TV_OK);
    REQUIRE(tv_comm_sent_bytes(comm) - sent == 4 * (7 - counts[rank]));
    for (uint32_t r = 0; r < RANKS; r++)
        for (uint32_t i = 0; i < counts[rank]; i++)
            REQUIRE(pieces[r * counts[rank] + i] == 100 * r + (rank == 2 ? 2 : 0) + i);
}

static void check_collection(tv_comm *comm)
{
    static const uint64_t sizes[RANKS] = {1, 0, 3};
    char all[4] = "", mine[3] = {'a', 'a', 'a'};
    uint32_t rank = tv_comm_rank(comm);
    memset(mine, 'a' + (int)rank, sizeof mine);
    REQUIRE(tv_comm_collect(comm, mine, sizes, rank == 0 ? all : NULL) == TV_OK);
    REQUIRE(rank != 0 || memcmp(all, "accc", 4) == 0);
}

// A rank's parameters, which all know: some go up, some down.
static float own_of(uint32_t rank, uint64_t round, size_t i)
{
    return (float)sin((double)i * 0.37 + rank) * (float)(1 + round) + (float)rank;
}

// Averages of parameters by weight are what a rate of 1 without momentum comes to.
static void check_average(tv_comm *comm)
{
    static const double weights[RANKS] = {10, 30, 60};
    uint32_t rank = tv_comm_rank(comm);
    outer o = {{0}, {0}, {0}, {0}, {0}};
    tv_outer_rule rule = {TV_WIRE_F32, 1, 0};
    tv_outer_part part = part_of(&o);
    tv_outer_report report;
    for (uint64_t round = 0; round < 3; round++) {
        for (size_t i = 0; i < COUNT; i++)
            o.own[i] = own_of(rank, round, i);
        REQUIRE(tv_outer_step(comm, &rule, &part, (uint64_t)weights[rank], &report) == TV_OK);
        for (size_t i = 0; i < COUNT; i++) {
            double mean = 0;
            for (uint32_t r = 0; r < RANKS; r++)
                mean += weights[r] / 100 * own_of(r, round, i);
            REQUIRE(fabs(mean - o.shared[i]) < 1e-5);
        }
    }
}

// On all ranks the same bits; the sum of many steps is that of plain means; bytes as promised.
static void check_wires(tv_comm *comm, tv_wire wire)
{
    uint32_t rank = tv_comm_rank(comm);
    outer o = {{0}, {0}, {0}, {0}, {0}};
    float shared[RANKS][COUNT];
    double mean[COUNT] = {0}, bytes = tv_outer_bytes(wire, COUNT, RANKS);
    tv_outer_rule rule = {wire, 1, 0};
    tv_outer_part part = part_of(&o);
    tv_outer_report report;
    for (uint64_t round = 0; round < ROUNDS; round++) {
        for (size_t i = 0; i < COUNT; i++) {
            o.own[i] = o.shared[i] - own_of(rank, round, i);
            for (uint32_t r = 0; r < RANKS; r++)
                mean[i] += own_of(r, round, i) / (double)RANKS;
        }
        REQUIRE(tv_outer_step(comm, &rule, &part, 1, &report) == TV_OK);
        // Pieces are whole blocks, 1 + 1 + 2 of them here.
        REQUIRE(report.sent > bytes * 0.6 && report.sent < bytes * 1.6);
    }
    REQUIRE(tv_comm_gather(comm, o.shared, sizeof o.shared, shared) == TV_OK);
    REQUIRE(memcmp(shared[0], shared[rank], sizeof o.shared) == 0);
    // What was not sent yet is at most a step of the codes for values of up to 25.
    static const double left[TV_WIRES] = {1e-3, 0.4, 0.5, 9};
    for (size_t i = 0; i < COUNT; i++)
        REQUIRE(fabs(mean[i] + o.shared[i]) < left[wire]);
}

static void check_refusal(tv_comm *comm)
{
    outer o = {{0}, {0}, {0}, {0}, {0}};
    tv_outer_rule rule = {TV_WIRE_INT8, 1, 0};
    tv_outer_part part = part_of(&o);
    tv_outer_report report;
    o.own[77] = tv_comm_rank(comm) == 1 ? INFINITY : 0;
    REQUIRE(tv_outer_step(comm, &rule, &part, 1, &report) == TV_EDATA);
    REQUIRE(o.shared[77] == 0);
}

static int run_rank(void)
{
    tv_comm *comm;
    REQUIRE(tv_comm_open(&comm) == TV_OK);
    REQUIRE(tv_comm_size(comm) == RANKS);
    check_exchange(comm);
    check_collection(comm);
    check_average(comm);
    for (tv_wire wire = 0; wire < TV_WIRES; wire++)
        check_wires(comm, wire);
    check_refusal(comm);
    tv_comm_close(&comm);
    return 0;
}

static void test_three_ranks(void **state)
{
    (void)state;
    tv_test_require_mpirun();
    assert_int_equal(tv_test_mpirun(RANKS, self, "rank"), 0);
}

int main(int argc, char **argv)
{
    if (argc == 2 && strcmp(argv[1], "rank") == 0)
        return run_rank();
    snprintf(self, sizeof self, "%s", argv[0]);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip),     cmocka_unit_test(test_words),
        cmocka_unit_test(test_error_feedback), cmocka_unit_test(test_odd_values),
        cmocka_unit_test(test_momentum),       cmocka_unit_test(test_not_finite),
        cmocka_unit_test(test_pieces),         cmocka_unit_test(test_three_ranks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
