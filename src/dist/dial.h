// Connections between ranks beside MPI, over IPv4: addresses of this machine, and finding out which
// of another's addresses leads to the wanted rank.
#ifndef TV_DIST_DIAL_H
#define TV_DIST_DIAL_H

#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { TV_ADDRESSES_MAX = 16 };

// What a connection opens with, and is answered with. `job` is the same on all ranks of a job, and
// on no other's.
typedef struct tv_hello {
    uint64_t job;
    uint32_t from, to; // ranks
} tv_hello;

// This machine's addresses, those of loopback last; in network byte order.
size_t tv_dial_addresses(uint32_t addresses[TV_ADDRESSES_MAX]);

// A socket that listens at *port, at any free one where that is 0.
tv_err tv_dial_listen(uint16_t *port, int *socket);

// Tries all addresses at once until `deadline` (tv_now_seconds). -1 where none led to the rank.
int tv_dial(const uint32_t *addresses, size_t count, uint16_t port, const tv_hello *hello,
            double deadline);

// The next connection whose hello is for this rank and job; *from is whose. -1 after `deadline`.
int tv_dial_accept(int socket, uint64_t job, uint32_t to, uint32_t *from, double deadline);

#endif
