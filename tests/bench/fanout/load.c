/* The load of bench-fanout: opens streams of server-sent events, publishes, and sees what arrives where.
 *
 *   connect ─► every stream open ─► warm up ─► measure: publish, read all, until everybody has everything
 *
 * Closed loop (no --rate): so many events at once, and the next ones when each client has all of these. Open
 * loop (--rate): by the clock, whatever has arrived. One thread, one epoll. The CPU of the servers is read from
 * /proc right before the first event that counts and right after its last delivery. Every article is counted
 * by its framing and must carry the number that is due on its connection: what is lost, repeated or out of
 * order ends the run. All on 127.0.0.1, in bounded time.
 *
 *   cc -O2 -o load load.c; tests/bench/fanout/load.py calls it and knows the options
 *
 * On standard output: one JSON object. Exit 1 with a line on standard error where the run is worth nothing.
 */
#define _GNU_SOURCE
#include <math.h>
#include <poll.h>
#include <sys/resource.h>
#include <sys/timerfd.h>

#include "net.h"
#include "options.h"
#include "proc.h"
#include "publisher.h"
#include "stream.h"

#define READ_BYTES (1 << 18)
#define REPLAY_READ_BYTES (1 << 16)   /* at a time: the live streams must not wait for this client's own work */
#define EVENTS_AT_ONCE 1024
#define HANDSHAKES_AT_ONCE 64
#define STALLED_BUFFER_BYTES 4096
#define MAX_SAMPLES 8000000u
#define SETTLE_US 100000

struct connection {
    int fd;
    uint64_t marks_before;            /* gzip: of what comes before the first article */
    bool is_open, is_replay;
    struct stream stream;
};

static struct connection *connections; /* the live ones, then the one that replays */
static int connection_count;
static struct connection *reading_now;
static struct reading reading_rule;
static char buffer[READ_BYTES];

static float *samples;                 /* seconds from publishing to arrival */
static size_t sample_count;
static uint64_t delivered;             /* to live connections, over all of them */
static double read_at, deadline;
static int timer = -1;

static double servers_cpu(void) {
    double sum = 0;
    for (int i = 0; i < opt.pid_count; i++) sum += cpu_of(opt.pids[i]);
    return sum;
}

static double own_cpu(void) {
    struct rusage u;
    getrusage(RUSAGE_SELF, &u);
    return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) +
           (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) * 1e-6;
}

/* ── connections ─────────────────────────────────────────────────────────────────────────────── */

static void send_request(int fd, const char *target) {
    char request[2048];
    int len = snprintf(request, sizeof request,
                       "GET %s HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nAccept: text/event-stream\r\n%s%s\r\n", target,
                       opt.port, opt.is_gzip ? "Accept-Encoding: gzip\r\n" : "", opt.headers);
    if (len >= (int)sizeof request) fail("the request is too long", "");
    if (write(fd, request, (size_t)len) != len) fail("can't send the request", strerror(errno));
}

static void open_stream(int index, const char *target, uint64_t first_number) {
    struct connection *c = &connections[index];
    c->fd = connect_to(opt.port, 0);
    stream_start(&c->stream, first_number, opt.lanes);
    if (index == 0 && opt.keep_path && !(c->stream.keep = fopen(opt.keep_path, "wb")))
        fail("can't write what is kept", strerror(errno));
    send_request(c->fd, target);
    fcntl(c->fd, F_SETFL, O_NONBLOCK);
    watch(c->fd, EPOLLIN, (uint32_t)index, EPOLL_CTL_ADD);
}

static int open_now(void) {
    int count = 0;
    for (int i = 0; i < connection_count; i++) count += connections[i].is_open;
    return count;
}

static void take_from(struct connection *c) {
    ssize_t len = read(c->fd, buffer, c->is_replay ? REPLAY_READ_BYTES : READ_BYTES);
    if (len < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (len <= 0) {
        char detail[96];
        snprintf(detail, sizeof detail, "connection %d after %llu articles: %s", (int)(c - connections),
                 (unsigned long long)c->stream.articles, len ? strerror(errno) : "a clean end");
        fail("a stream has ended", detail);
    }
    uint64_t marks = c->stream.marks;
    reading_now = c;
    read_at = now();
    stream_take(&c->stream, &reading_rule, buffer, (size_t)len);
    if (!c->is_open) {
        c->is_open = stream_is_open(&c->stream);
        if (c->is_open && opt.is_gzip && !c->stream.is_gzip) fail("gzip was asked for and is not served", "");
        c->marks_before = c->stream.marks;
    } else if (c->stream.is_gzip && !c->is_replay) {
        delivered += c->stream.marks - marks;
    }
}

static void arrived(void *context, uint64_t number) {
    (void)context;
    if (reading_now->is_replay) return;
    delivered++;
    if (number < opt.first || number >= opt.first + published) fail("an article that was not published", "");
    if (number >= opt.first + opt.warmup && sample_count < MAX_SAMPLES)
        samples[sample_count++] = (float)(read_at - published_at[number - opt.first]);
}

/* ── the loop ────────────────────────────────────────────────────────────────────────────────── */

/* Waits once and takes what is there; how often the timer has gone off. */
static uint64_t turn(void) {
    struct epoll_event events[EVENTS_AT_ONCE];
    uint64_t ticks = 0;
    int count = epoll_wait(poller, events, EVENTS_AT_ONCE, 100);
    if (count < 0 && errno != EINTR) fail("epoll_wait", strerror(errno));
    for (int i = 0; i < count; i++) {
        uint32_t tag = events[i].data.u32;
        if (tag == TAG_PUBLISHER) {
            if (events[i].events & EPOLLOUT) flush_outgoing();
            if (events[i].events & ~(uint32_t)EPOLLOUT) take_replies();
        } else if (tag == TAG_TIMER) {
            if (read(timer, &ticks, sizeof ticks) < 0) ticks = 0;
        } else {
            take_from(&connections[tag]);
        }
    }
    if (now() > deadline) {
        char detail[128];
        snprintf(detail, sizeof detail, "%llu of %llu deliveries within %.0f s", (unsigned long long)delivered,
                 (unsigned long long)(published * (uint64_t)opt.clients), opt.timeout_s);
        fail("given up", detail);
    }
    return ticks;
}

static bool all_have_all(void) { return delivered >= published * (uint64_t)opt.clients; }

static void closed_loop(uint64_t count) {
    while (count) {
        uint64_t burst = count < (uint64_t)opt.burst ? count : (uint64_t)opt.burst;
        publish(burst);
        count -= burst;
        while (!all_have_all()) turn();
    }
}

static void start_timer(void) {
    long interval_ns = lround(1e9 / opt.rate);
    struct timespec interval = {.tv_sec = interval_ns / 1000000000, .tv_nsec = interval_ns % 1000000000};
    struct itimerspec when = {.it_interval = interval, .it_value = interval};
    timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    if (timer < 0 || timerfd_settime(timer, 0, &when, NULL)) fail("no timer", strerror(errno));
    watch(timer, EPOLLIN, TAG_TIMER, EPOLL_CTL_ADD);
}

/* Has read all that was published before the live events. */
static bool replay_is_done(void) { return connections[opt.clients].stream.articles >= opt.first; }

/* With a replay: until it has come to the live events, and `count` at most. */
static void open_loop(uint64_t count) {
    start_timer();
    while (count && !(opt.replay_target && replay_is_done())) {
        uint64_t ticks = turn();
        uint64_t due = ticks < count ? ticks : count;
        if (due) publish(due);
        count -= due;
    }
    close(timer);
    while (!all_have_all()) turn();
}

/* ── the parts of a run ──────────────────────────────────────────────────────────────────────── */

static void open_live(void) {
    int begun = 0, open;
    while ((open = open_now()) < opt.clients) {
        while (begun < opt.clients && begun - open < HANDSHAKES_AT_ONCE) {
            connection_count = begun + 1;
            open_stream(begun++, opt.target, opt.first);
        }
        turn();
    }
}

/* They ask, and take nothing: their sockets hold a few kB, the rest is the server's. */
static struct pollfd *open_stalled(void) {
    struct pollfd *stalled = calloc((size_t)opt.stalled + 1, sizeof *stalled);
    for (int i = 0; i < opt.stalled; i++) {
        stalled[i].fd = connect_to(opt.port, STALLED_BUFFER_BYTES);
        stalled[i].events = POLLIN;
        send_request(stalled[i].fd, opt.target);
        if (poll(&stalled[i], 1, 10000) != 1) fail("a client that stalls got no head", "");
    }
    return stalled;
}

static int still_open(struct pollfd *stalled) {
    int open = 0;
    for (int i = 0; i < opt.stalled; i++) {
        stalled[i].events = POLLRDHUP;
        open += poll(&stalled[i], 1, 0) == 0;
    }
    return open;
}

static int by_size(const void *a, const void *b) {
    float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

static double quantile_ms(double q) {
    if (!sample_count) return 0;
    size_t at = (size_t)(q * (double)sample_count);
    return (double)samples[at < sample_count ? at : sample_count - 1] * 1e3;
}

/* Whether every gzip stream has as many blocks as the one that is kept, which is inflated afterwards. */
static bool marks_agree(void) {
    for (int i = 1; i < opt.clients; i++)
        if (connections[i].stream.marks - connections[i].marks_before !=
            connections[0].stream.marks - connections[0].marks_before)
            return false;
    return true;
}

static uint64_t body_bytes(void) {
    uint64_t sum = 0;
    for (int i = 0; i < opt.clients; i++) sum += connections[i].stream.body_bytes;
    return sum;
}

static void idle(void) {
    printf("{\"clients\": %d}\n", opt.clients);
    fflush(stdout);
    while (read(STDIN_FILENO, buffer, sizeof buffer) > 0) {}
}

static void measure(void) {
    load_records();
    published_at = calloc(opt.warmup + opt.events + 1, sizeof *published_at);
    samples = malloc(MAX_SAMPLES * sizeof *samples);
    if (!published_at || !samples) fail("no memory", "");
    open_publisher();
    struct pollfd *stalled = open_stalled();
    closed_loop(opt.warmup);
    usleep(SETTLE_US);                /* what the server does behind the last delivery */
    if (opt.replay_target) {
        struct connection *replay = &connections[connection_count++];
        replay->is_replay = true;
        open_stream(opt.clients, opt.replay_target, 0);
    }

    uint64_t delivered_before = delivered, bytes_before = body_bytes();
    double own_before = own_cpu(), cpu_before = servers_cpu(), began = now();
    if (opt.rate > 0)
        open_loop(opt.events);
    else
        closed_loop(opt.events);
    double wall = now() - began, cpu = servers_cpu() - cpu_before, own = own_cpu() - own_before;
    bool is_exact = delivered == published * (uint64_t)opt.clients && (!opt.is_gzip || marks_agree());

    qsort(samples, sample_count, sizeof *samples, by_size);
    printf("{\"clients\": %d, \"events\": %llu, \"deliveries\": %llu, \"wall_s\": %.6f, \"server_cpu_s\": %.9f,"
           " \"client_cpu_s\": %.6f, \"body_bytes\": %llu, \"p50_ms\": %.3f, \"p99_ms\": %.3f,"
           " \"max_ms\": %.3f, \"stalled_open\": %d, \"replayed\": %llu, \"replayed_bytes\": %llu,"
           " \"is_exact\": %s}\n",
           opt.clients, (unsigned long long)(published - opt.warmup),
           (unsigned long long)(delivered - delivered_before), wall, cpu, own,
           (unsigned long long)(body_bytes() - bytes_before), quantile_ms(0.5), quantile_ms(0.99),
           quantile_ms(1), still_open(stalled),
           opt.replay_target ? (unsigned long long)connections[opt.clients].stream.articles : 0,
           opt.replay_target ? (unsigned long long)connections[opt.clients].stream.body_bytes : 0,
           is_exact ? "true" : "false");
}

int main(int argc, char **argv) {
    read_options(argc, argv);
    deadline = now() + opt.timeout_s;
    poller = epoll_create1(EPOLL_CLOEXEC);
    connections = calloc((size_t)opt.clients + 1, sizeof *connections);
    if (poller < 0 || !connections) fail("no epoll, or no memory", strerror(errno));
    reading_rule = (struct reading){.lanes = opt.lanes, .article = arrived};
    open_live();
    if (opt.is_idle)
        idle();
    else
        measure();
    if (connections[0].stream.keep && fclose(connections[0].stream.keep)) fail("can't keep the body", "");
    return 0;
}
