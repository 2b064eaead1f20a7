/* Sockets on loopback, and the one epoll. */
#ifndef NET_H
#define NET_H

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>

#include "fail.h"

enum { TAG_PUBLISHER = 0x7fffffff, TAG_TIMER = 0x7ffffffe };  /* other tags are numbers of connections */

static int poller;

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static void watch(int fd, uint32_t events, uint32_t tag, int how) {
    struct epoll_event e = {.events = events, .data.u32 = tag};
    if (epoll_ctl(poller, how, fd, &e)) fail("epoll_ctl", strerror(errno));
}

/* A blocking connect: the server's queue of handshakes is never overrun. `receive_bytes` 0: the usual buffer. */
static int connect_to(int port, int receive_bytes) {
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), yes = 1;
    if (fd < 0) fail("no socket (raise `ulimit -n`)", strerror(errno));
    if (receive_bytes) setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &receive_bytes, sizeof receive_bytes);
    if (connect(fd, (struct sockaddr *)&to, sizeof to)) fail("can't connect", strerror(errno));
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
    struct linger at_once = {.l_onoff = 1, .l_linger = 0};  /* leaves no port behind in TIME_WAIT */
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
    return fd;
}

#endif
