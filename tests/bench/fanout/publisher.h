/* Who appends. To a raw port: a length and a record each, all that is due in one write. By POST: one after the
 * other on one connection, each after the reply to the one before, as clients of HTTP do. */
#ifndef PUBLISHER_H
#define PUBLISHER_H

#include <fcntl.h>
#include <unistd.h>

#include "fail.h"
#include "net.h"
#include "options.h"
#include "stream.h"

#define MAX_RECORDS 1024

struct record { char *bytes; size_t len, number_at; };

static struct record records[MAX_RECORDS];
static size_t record_count;
static int publisher = -1;
static char *outgoing;                 /* a burst, as far as the server has not taken it */
static size_t outgoing_len, outgoing_at, outgoing_room;
static size_t *post_ends;              /* where each POST of the burst ends in it */
static size_t post_count, posts_begun, posts_answered, post_room;
static char reply_line[256];
static size_t reply_len;

static uint64_t published;
static double *published_at;           /* by number, above the first one */

static void load_records(void) {
    char digits[32];
    int digit_count = snprintf(digits, sizeof digits, "%llu", NUMBER_BASE);
    FILE *file = fopen(opt.records_path, "rb");
    if (!file) fail("can't read the records", strerror(errno));
    uint32_t size;
    while (fread(&size, sizeof size, 1, file) == 1) {
        if (record_count == MAX_RECORDS) fail("too many records", opt.records_path);
        struct record *record = &records[record_count++];
        record->len = ntohl(size);
        record->bytes = malloc(record->len);
        if (!record->bytes || fread(record->bytes, 1, record->len, file) != record->len)
            fail("a record is cut off", opt.records_path);
        char *at = memmem(record->bytes, record->len, digits, (size_t)digit_count);
        if (!at) fail("a record has no place for its number", opt.records_path);
        record->number_at = (size_t)(at - record->bytes);
    }
    fclose(file);
    if (!record_count) fail("no records", opt.records_path);
}

static void queue_bytes(const void *bytes, size_t len) {
    if (outgoing_len + len > outgoing_room) {
        outgoing_room = (outgoing_len + len) * 2;
        outgoing = realloc(outgoing, outgoing_room);
        if (!outgoing) fail("no memory", "");
    }
    memcpy(outgoing + outgoing_len, bytes, len);
    outgoing_len += len;
}

static void end_post(void) {
    if (post_count == post_room) {
        post_room = post_room ? post_room * 2 : 64;
        post_ends = realloc(post_ends, post_room * sizeof *post_ends);
        if (!post_ends) fail("no memory", "");
    }
    post_ends[post_count++] = outgoing_len;
}

static void queue_event(uint64_t number) {
    struct record *record = &records[number % record_count];
    char digits[32];
    snprintf(digits, sizeof digits, "%llu", (unsigned long long)(NUMBER_BASE + number));
    memcpy(record->bytes + record->number_at, digits, NUMBER_DIGITS);
    if (opt.is_post) {
        char head[512];
        int len = snprintf(head, sizeof head,
                           "POST %s HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
                           "Content-Length: %zu\r\n\r\n",
                           opt.publish_target, record->len);
        queue_bytes(head, (size_t)len);
    } else {
        uint32_t size = htonl((uint32_t)record->len);
        queue_bytes(&size, sizeof size);
    }
    queue_bytes(record->bytes, record->len);
    if (opt.is_post) end_post();
}

/* How far may be written now. */
static size_t sendable(void) {
    if (!opt.is_post) return outgoing_len;
    if (posts_begun == posts_answered && posts_begun < post_count) posts_begun++;
    return posts_begun ? post_ends[posts_begun - 1] : 0;
}

/* As much as the server takes now; the rest when it is writable, or has replied. */
static void flush_outgoing(void) {
    size_t end = sendable();
    while (outgoing_at < end) {
        ssize_t sent = write(publisher, outgoing + outgoing_at, end - outgoing_at);
        if (sent < 0 && errno == EAGAIN) {
            watch(publisher, EPOLLIN | EPOLLOUT, TAG_PUBLISHER, EPOLL_CTL_MOD);
            return;
        }
        if (sent < 0) fail("can't publish", strerror(errno));
        outgoing_at += (size_t)sent;
    }
    if (outgoing_at == outgoing_len && posts_answered == post_count)
        outgoing_at = outgoing_len = post_count = posts_begun = posts_answered = 0;
    watch(publisher, EPOLLIN, TAG_PUBLISHER, EPOLL_CTL_MOD);
}

static void publish(uint64_t count) {
    double at = now();
    for (uint64_t i = 0; i < count; i++) {
        published_at[published] = at;
        queue_event(opt.first + published++);
    }
    flush_outgoing();
}

/* Of the replies to POSTs only the status lines are looked at. */
static void take_replies(void) {
    char replies[4096];
    ssize_t len = read(publisher, replies, sizeof replies);
    if (len < 0 && errno == EAGAIN) return;
    if (len <= 0) fail("the publisher's connection has ended", len ? strerror(errno) : "");
    for (ssize_t i = 0; i < len; i++) {
        if (replies[i] != '\n') {
            if (reply_len < sizeof reply_line - 1) reply_line[reply_len++] = replies[i];
            continue;
        }
        reply_line[reply_len] = 0;
        char *status = strstr(reply_line, "HTTP/1.");  /* behind the end of a body without a newline */
        if (status) {
            if (strlen(status) < 10 || status[9] != '2') fail("not published", status);
            posts_answered++;
        }
        reply_len = 0;
    }
    flush_outgoing();
}

static void open_publisher(void) {
    publisher = connect_to(opt.publish_port, 0);
    fcntl(publisher, F_SETFL, O_NONBLOCK);
    watch(publisher, EPOLLIN, TAG_PUBLISHER, EPOLL_CTL_ADD);
}

#endif
