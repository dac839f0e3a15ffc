// Connections between ranks: hosts often have several addresses, some of which (of bridges for
// virtual machines and containers) are the same on all of them. So whoever answers says who he is;
// and as several addresses may lead to him, the caller then says which connection it keeps.
#include "dist/dial.h"

#include "base/clock.h"
#include "base/memory.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { BACKLOG = 1024, ANSWER_SECONDS = 2 };

size_t tv_dial_addresses(uint32_t addresses[TV_ADDRESSES_MAX])
{
    struct ifaddrs *list = NULL;
    size_t count = 0;
    if (getifaddrs(&list) != 0)
        return 0;
    for (int loopback = 0; loopback < 2; loopback++)
        for (const struct ifaddrs *i = list; i && count < TV_ADDRESSES_MAX; i = i->ifa_next) {
            bool wanted = i->ifa_addr && i->ifa_addr->sa_family == AF_INET &&
                          i->ifa_flags & IFF_UP && !(i->ifa_flags & IFF_LOOPBACK) == !loopback;
            if (wanted)
                addresses[count++] =
                    ((const struct sockaddr_in *)(const void *)i->ifa_addr)->sin_addr.s_addr;
        }
    freeifaddrs(list);
    return count;
}

static int new_socket(void)
{
    int one = 1, s = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (s >= 0)
        setsockopt(s, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    return s;
}

static struct sockaddr_in place(uint32_t address, uint16_t port)
{
    struct sockaddr_in place;
    memset(&place, 0, sizeof place);
    place.sin_family = AF_INET;
    place.sin_addr.s_addr = address;
    place.sin_port = htons(port);
    return place;
}

tv_err tv_dial_listen(uint16_t *port, int *sock)
{
    struct sockaddr_in at = place(htonl(INADDR_ANY), *port);
    socklen_t size = sizeof at;
    int one = 1, s = new_socket();
    if (s < 0)
        return tv_fail_errno("cannot make a socket");
    setsockopt(s, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (bind(s, (struct sockaddr *)&at, size) != 0 || listen(s, BACKLOG) != 0 ||
        getsockname(s, (struct sockaddr *)&at, &size) != 0) {
        tv_err err = tv_fail_errno("cannot listen at port %u", *port);
        close(s);
        return err;
    }
    *port = ntohs(at.sin_port);
    *sock = s;
    return TV_OK;
}

static int milliseconds_until(double deadline)
{
    double left = deadline - tv_now_seconds();
    return left > 0 ? (int)(1e3 * left) + 1 : 0;
}

// A whole hello, as it comes in one piece; false where something else comes, or nothing.
static bool receive(int s, tv_hello *hello)
{
    return recv(s, hello, sizeof *hello, MSG_DONTWAIT) == (ssize_t)sizeof *hello;
}

static bool send_hello(int s, const tv_hello *hello)
{
    return send(s, hello, sizeof *hello, MSG_DONTWAIT | MSG_NOSIGNAL) == (ssize_t)sizeof *hello;
}

typedef enum stage { CLOSED, CONNECTING, ASKED, ANSWERED } stage;

// What an event brings a connection to.
static stage advance(stage now, int s, const tv_hello *hello)
{
    tv_hello answer;
    int error = 0;
    socklen_t size = sizeof error;
    if (now == CONNECTING && getsockopt(s, SOL_SOCKET, SO_ERROR, &error, &size) == 0 &&
        error == 0 && send_hello(s, hello))
        return ASKED;
    bool mine = now == ASKED && receive(s, &answer) && answer.job == hello->job &&
                answer.from == hello->to && answer.to == hello->from;
    return mine ? ANSWERED : CLOSED;
}

int tv_dial(const uint32_t *addresses, size_t count, uint16_t port, const tv_hello *hello,
            double deadline)
{
    struct pollfd polls[TV_ADDRESSES_MAX];
    stage stages[TV_ADDRESSES_MAX];
    int found = -1;
    size_t open = 0;
    count = tv_min_size(count, TV_ADDRESSES_MAX);
    for (size_t i = 0; i < count; i++) {
        struct sockaddr_in at = place(addresses[i], port);
        polls[i] = (struct pollfd){.fd = new_socket(), .events = POLLOUT};
        stages[i] = CONNECTING;
        if (polls[i].fd >= 0)
            connect(polls[i].fd, (struct sockaddr *)&at, sizeof at); // poll says how it went
        open += polls[i].fd >= 0;
    }
    while (open && found < 0 && poll(polls, count, milliseconds_until(deadline)) > 0)
        for (size_t i = 0; i < count; i++) {
            if (polls[i].fd < 0 || !polls[i].revents)
                continue;
            stages[i] = advance(stages[i], polls[i].fd, hello);
            polls[i].events = POLLIN;
            if (stages[i] == ANSWERED && found < 0 && send_hello(polls[i].fd, hello)) {
                found = polls[i].fd;
            } else if (stages[i] != ASKED) {
                close(polls[i].fd);
                open--;
            } else {
                continue;
            }
            polls[i].fd = -1;
        }
    for (size_t i = 0; i < count; i++)
        if (polls[i].fd >= 0)
            close(polls[i].fd);
    return found;
}

// A hello that is for us and comes soon.
static bool await_hello(int s, uint64_t job, uint32_t to, tv_hello *hello)
{
    struct pollfd waiting = {.fd = s, .events = POLLIN};
    return poll(&waiting, 1, 1000 * ANSWER_SECONDS) > 0 && receive(s, hello) && hello->job == job &&
           hello->to == to;
}

// Answers a new connection; true where it is kept.
static bool answer(int s, uint64_t job, uint32_t to, uint32_t *from)
{
    tv_hello hello;
    if (!await_hello(s, job, to, &hello))
        return false;
    *from = hello.from;
    return send_hello(s, &(tv_hello){.job = job, .from = to, .to = hello.from}) &&
           await_hello(s, job, to, &hello);
}

int tv_dial_accept(int sock, uint64_t job, uint32_t to, uint32_t *from, double deadline)
{
    struct pollfd waiting = {.fd = sock, .events = POLLIN};
    while (poll(&waiting, 1, milliseconds_until(deadline)) > 0) {
        int one = 1, s = accept4(sock, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (s < 0)
            continue;
        setsockopt(s, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        if (answer(s, job, to, from))
            return s;
        close(s);
    }
    return -1;
}
