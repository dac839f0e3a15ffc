// The watchdog without MPI: which rank speaks about which loss, connections that find the right
// rank, and the faults that tests ask for.
#include "harness/harness.h"

#include "base/clock.h"
#include "base/fault.h"
#include "dist/dial.h"
#include "dist/verdict.h"

#include <arpa/inet.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { RANKS = 6 };
#define NOW 1000.0

static const tv_watch_limits limits = {.silence = 15, .delay = 100};

// Two ranks on each of three hosts, all of them well; hubs are ranks 0, 2 and 4.
static void set_up(tv_pulse ranks[RANKS])
{
    static const char *const hosts[] = {"a", "a", "b", "b", "c", "c"};
    for (uint32_t r = 0; r < RANKS; r++)
        ranks[r] = (tv_pulse){.host = hosts[r], .watched = true, .heard = NOW - 0.5};
    tv_choose_hubs(ranks, RANKS);
}

static tv_verdict find(const tv_pulse ranks[RANKS], uint32_t self)
{
    tv_pulse seen[RANKS];
    memcpy(seen, ranks, sizeof seen);
    for (uint32_t r = 0; r < RANKS; r++)
        seen[r].watched = r != self && (seen[r].hub || seen[self].hub);
    return tv_find_verdict(seen, RANKS, self, &limits, NOW);
}

// Who of those that live speaks now; -1: nobody.
static int speaker(const tv_pulse ranks[RANKS])
{
    int who = -1;
    for (uint32_t self = 0; self < RANKS; self++)
        if (!ranks[self].ended && NOW - ranks[self].heard <= limits.silence &&
            find(ranks, self).loss != TV_LOSS_NONE) {
            assert_int_equal(who, -1);
            who = (int)self;
        }
    return who;
}

static void hubs(void **state)
{
    tv_pulse ranks[RANKS];
    (void)state;
    set_up(ranks);
    for (uint32_t r = 0; r < RANKS; r++)
        assert_int_equal(ranks[r].hub, r % 2 == 0);
    for (uint32_t r = 0; r < RANKS; r++)
        ranks[r].host = "one";
    tv_choose_hubs(ranks, RANKS);
    for (uint32_t r = 0; r < RANKS; r++)
        assert_int_equal(ranks[r].hub, r < 2);
    static const char *const many[] = {"a", "b", "c", "d", "e", "f"};
    for (uint32_t r = 0; r < RANKS; r++)
        ranks[r].host = many[r];
    tv_choose_hubs(ranks, RANKS);
    for (uint32_t r = 0; r < RANKS; r++)
        assert_int_equal(ranks[r].hub, r < TV_HUBS_MAX);
}

static void a_rank_ended(void **state)
{
    tv_pulse ranks[RANKS];
    (void)state;
    set_up(ranks);
    assert_int_equal(speaker(ranks), -1);
    ranks[3].ended = true;
    ranks[3].heard = NOW;
    assert_int_equal(speaker(ranks), 0); // at once
    tv_verdict v = find(ranks, 0);
    assert_int_equal(v.loss, TV_LOSS_ENDED);
    assert_int_equal(v.rank, 3);
    assert_int_equal(v.others, 0);
    ranks[1].ended = true; // which mpirun did
    ranks[1].heard = NOW + 0.1;
    v = find(ranks, 0);
    assert_int_equal(v.rank, 3);
    assert_int_equal(v.others, 1);
    ranks[1].left = ranks[3].left = true; // they had said so
    assert_int_equal(speaker(ranks), -1);
    set_up(ranks);
    ranks[0].ended = true;
    ranks[0].heard = NOW;
    assert_int_equal(speaker(ranks), 2);
    ranks[0].heard = NOW - 4; // and if rank 2 does not say it
    assert_int_equal(find(ranks, 4).rank, 0);
    assert_int_equal(find(ranks, 4).loss, TV_LOSS_ENDED);
}

static void a_rank_is_silent(void **state)
{
    tv_pulse ranks[RANKS];
    (void)state;
    set_up(ranks);
    ranks[5].heard = NOW - 14;
    assert_int_equal(speaker(ranks), -1);
    ranks[5].heard = NOW - 16;
    assert_int_equal(speaker(ranks), 0);
    ranks[4].heard = NOW - 14; // the other one of its host, a moment later
    tv_verdict v = find(ranks, 0);
    assert_int_equal(v.loss, TV_LOSS_SILENT);
    assert_int_equal(v.rank, 5);
    assert_int_equal(v.others, 1);
    ranks[4].heard = NOW - 16.1;
    v = find(ranks, 0);
    assert_int_equal(v.rank, 4);
    assert_int_equal(v.others, 1);
    assert_true(v.seconds > 16 && v.seconds < 16.2);
    set_up(ranks);
    ranks[0].heard = NOW - 16; // it is not heard, but rank 1 is
    assert_int_equal(speaker(ranks), 2);
    ranks[2].heard = NOW - 16;
    assert_int_equal(speaker(ranks), 4);
    ranks[4].heard = NOW - 16.5; // no hub is left: one of the others, and first of all rank 1
    assert_int_equal(speaker(ranks), -1);
    ranks[0].heard = ranks[2].heard = ranks[4].heard = NOW - 17.5;
    assert_int_equal(speaker(ranks), 1);
}

static void a_rank_is_late(void **state)
{
    tv_pulse ranks[RANKS];
    (void)state;
    set_up(ranks);
    for (uint32_t r = 0; r < RANKS; r++) {
        ranks[r].waiting = r != 1 && r != 3;
        ranks[r].since = 99;
        ranks[r].waits = 7;
    }
    assert_int_equal(speaker(ranks), -1);
    ranks[3].waits = 6;
    for (uint32_t r = 0; r < RANKS; r++)
        ranks[r].since = 101;
    assert_int_equal(speaker(ranks), 0);
    tv_verdict v = find(ranks, 0);
    assert_int_equal(v.loss, TV_LOSS_LATE);
    assert_int_equal(v.rank, 3);
    assert_int_equal(v.others, 1);
    for (uint32_t r = 0; r < RANKS; r++) // they all compile kernels
        ranks[r].waiting = false;
    assert_int_equal(speaker(ranks), -1);
    for (uint32_t r = 0; r < RANKS; r++)
        ranks[r].waiting = true;
    assert_int_equal(find(ranks, 0).loss, TV_LOSS_STUCK);
    ranks[4].since = 5; // it just got on
    assert_int_equal(speaker(ranks), -1);
}

static void lines(void **state)
{
    static const struct {
        tv_verdict verdict;
        const char *says;
    } cases[] = {
        {{TV_LOSS_ENDED, 3, 0, 0}, "rank 3 on b ended without a word"},
        {{TV_LOSS_SILENT, 3, 1, 15.4}, "rank 3 on b (and 1 other) has not been heard for 15 s"},
        {{TV_LOSS_LATE, 3, 2, 1800}, "rank 3 on b (and 2 others) has let the others wait"},
        {{TV_LOSS_STUCK, 0, 5, 1800}, "rank 0 on a (and 5 others) have waited for one another"},
    };
    tv_pulse ranks[RANKS];
    char line[512];
    (void)state;
    set_up(ranks);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        tv_verdict_line(&cases[i].verdict, ranks, line);
        assert_ptr_equal(strstr(line, cases[i].says), line);
        assert_non_null(strstr(line, "--resume auto"));
    }
}

// ------------------------------------------------------------------------------------ connections

typedef struct answering {
    pthread_t thread;
    int listener, socket;
    uint64_t job;
    uint32_t self, from;
} answering;

static void *answer(void *argument)
{
    answering *a = argument;
    a->socket = tv_dial_accept(a->listener, a->job, a->self, &a->from, tv_now_seconds() + 5);
    return NULL;
}

static void the_right_rank_answers(void **state)
{
    // Rank 7 of job 5 listens at a port where rank 8 is looked for first, on several addresses.
    uint32_t addresses[TV_ADDRESSES_MAX];
    uint16_t port = 0;
    answering a = {.job = 5, .self = 7};
    char byte = 0;
    (void)state;
    size_t count = tv_dial_addresses(addresses);
    assert_true(count > 0);
    assert_int_equal(addresses[count - 1] & htonl(0xff000000), htonl(0x7f000000));
    assert_ok(tv_dial_listen(&port, &a.listener));
    assert_true(port > 0);
    assert_int_equal(pthread_create(&a.thread, NULL, answer, &a), 0);
    double soon = tv_now_seconds() + 4;
    assert_int_equal(tv_dial(addresses, count, port, &(tv_hello){5, 2, 8}, soon), -1);
    assert_int_equal(tv_dial(addresses, count, port, &(tv_hello){6, 2, 7}, soon), -1);
    int s = tv_dial(addresses, count, port, &(tv_hello){5, 2, 7}, soon);
    assert_true(s >= 0);
    pthread_join(a.thread, NULL);
    assert_true(a.socket >= 0);
    assert_int_equal(a.from, 2);
    assert_int_equal(send(s, "x", 1, 0), 1);
    close(s);
    for (int tries = 0; recv(a.socket, &byte, 1, MSG_DONTWAIT) != 1 && tries < 1000; tries++)
        usleep(1000);
    assert_int_equal(byte, 'x');
    close(a.socket);
    close(a.listener);
    // Nobody listens any more; and a listener may stay alone.
    assert_int_equal(tv_dial(addresses, count, port, &(tv_hello){5, 2, 7}, soon), -1);
    port = 0;
    assert_ok(tv_dial_listen(&port, &a.listener));
    assert_int_equal(tv_dial_accept(a.listener, 5, 7, &a.from, tv_now_seconds() + 0.05), -1);
    uint16_t taken = port;
    int other;
    assert_int_equal(tv_dial_listen(&taken, &other), TV_EIO);
    assert_non_null(strstr(tv_error_message(), "cannot listen at port"));
    close(a.listener);
}

// ----------------------------------------------------------------------------------------- faults

static void faults(void **state)
{
    tv_fault fault;
    (void)state;
    assert_true(tv_fault_parse("kill:1:20", &fault));
    assert_true(fault.kind == TV_FAULT_KILL && fault.rank == 1 && fault.step == 20);
    assert_true(tv_fault_parse("stop:0:3", &fault) && fault.kind == TV_FAULT_STOP);
    assert_true(tv_fault_parse("hang:12:1", &fault) && fault.kind == TV_FAULT_HANG);
    assert_true(tv_fault_parse("drift:1:7", &fault) && fault.kind == TV_FAULT_DRIFT);
    static const char *const bad[] = {NULL,
                                      "",
                                      "lost:3",
                                      "kill",
                                      "kill:",
                                      "kill:1",
                                      "kill:1:",
                                      "kill:x:1",
                                      "kill:1:1:1",
                                      "kill:-1:1",
                                      "kill:1111111111111111111111111111111:1"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_false(tv_fault_parse(bad[i], &fault));
    setenv("TRIVIUM_FAULT", "kill:1:20", 1);
    tv_fault_strike(1, 19);
    tv_fault_strike(0, 20);
    unsetenv("TRIVIUM_FAULT");
    tv_fault_strike(1, 20);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hubs),
        cmocka_unit_test(a_rank_ended),
        cmocka_unit_test(a_rank_is_silent),
        cmocka_unit_test(a_rank_is_late),
        cmocka_unit_test(lines),
        cmocka_unit_test(the_right_rank_answers),
        cmocka_unit_test(faults),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
