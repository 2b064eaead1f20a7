/* What one connection has been sent, taken apart as it comes in: HTTP, its chunks, then events.
 *
 *   bytes ─► head ─► chunk sizes ─► body ─┬► lines ─► events, each article by its number
 *                                         └► gzip: the marks that end its blocks
 *
 * Reads may end anywhere, so all that is begun is kept here between two of them. Nothing is stored of an
 * article but the beginning of its line, where its number stands: its name is "Page 1000000000000123".
 */
#ifndef STREAM_H
#define STREAM_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "fail.h"
#include "options.h"

#define LINE_BYTES 160        /* kept of a line of the head, or of a chunk's size */
#define FIRST_BYTES 64        /* kept of a line of the body: `data: {"name":"Page 1000000000000123` */
#define NUMBER_DIGITS 16
#define NUMBER_BASE 1000000000000000ULL

enum part { HEAD, CHUNK_SIZE, CHUNK, AFTER_CHUNK, UNTIL_CLOSE, ENDED };

struct stream {
    enum part part;
    int status;
    bool is_chunked, is_gzip;
    char line[LINE_BYTES];
    size_t line_len;
    uint64_t chunk_left;
    uint64_t body_bytes;

    char first[FIRST_BYTES];
    size_t first_len, body_line_len;
    bool has_data, is_named;
    uint64_t number;                /* of the event that is being read; NO_NUMBER before its data */

    uint64_t articles;
    uint64_t due[MAX_LANES];        /* the next number of each lane */
    uint64_t marks;                 /* gzip: blocks that were closed by a flush */
    unsigned mark_len;              /* of a mark that a read has cut in two */
    FILE *keep;                     /* gets the body, chunks taken off; NULL: nobody wants it */
};

#define NO_NUMBER UINT64_MAX

/* Called with the number of each article; its order was looked at before. */
typedef void (*on_article)(void *context, uint64_t number);

struct reading {
    unsigned lanes;                 /* number n is of lane n % lanes; within a lane they come in order */
    on_article article;
    void *context;
};

static void stream_start(struct stream *s, uint64_t first_number, unsigned lanes) {
    memset(s, 0, sizeof *s);
    s->number = NO_NUMBER;
    for (unsigned lane = 0; lane < lanes; lane++) {
        uint64_t above = (first_number + lanes - 1 - lane) / lanes * lanes + lane;
        s->due[lane] = above;       /* the lowest that is of this lane and not below the first */
    }
}

/* ── events ──────────────────────────────────────────────────────────────────────────────────── */

/* The first run of sixteen digits, as a number above the base; NO_NUMBER where there is none. */
static uint64_t number_in(const char *text, size_t len) {
    size_t digits = 0;
    uint64_t value = 0;
    for (size_t i = 0; i < len; i++) {
        if (text[i] < '0' || text[i] > '9') {
            digits = 0;
            value = 0;
            continue;
        }
        value = value * 10 + (uint64_t)(text[i] - '0');
        if (++digits == NUMBER_DIGITS) return value >= NUMBER_BASE ? value - NUMBER_BASE : NO_NUMBER;
    }
    return NO_NUMBER;
}

static void take_article(struct stream *s, const struct reading *r) {
    if (s->number == NO_NUMBER) fail("an event without a number in its name", "");
    uint64_t *due = &s->due[s->number % r->lanes];
    if (s->number != *due) {
        char detail[96];
        snprintf(detail, sizeof detail, "%llu came where %llu was due", (unsigned long long)s->number,
                 (unsigned long long)*due);
        fail("articles are lost, repeated or out of order", detail);
    }
    *due += r->lanes;
    s->articles++;
    r->article(r->context, s->number);
}

static void end_body_line(struct stream *s, const struct reading *r) {
    if (s->body_line_len == 0) {
        if (s->has_data && !s->is_named) take_article(s, r);
        s->has_data = s->is_named = false;
        s->number = NO_NUMBER;
    } else if (s->first_len >= 5 && !memcmp(s->first, "data:", 5)) {
        s->has_data = true;
        s->number = number_in(s->first, s->first_len);
    } else if (s->first_len >= 6 && !memcmp(s->first, "event:", 6)) {
        s->is_named = true;         /* cursor, gap, bye */
    }
    s->first_len = s->body_line_len = 0;
}

static void take_lines(struct stream *s, const struct reading *r, const char *at, const char *end) {
    while (at < end) {
        const char *newline = memchr(at, '\n', (size_t)(end - at));
        size_t len = (size_t)((newline ? newline : end) - at);
        size_t room = FIRST_BYTES - s->first_len, kept = len < room ? len : room;
        memcpy(s->first + s->first_len, at, kept);
        s->first_len += kept;
        s->body_line_len += len;
        if (!newline) return;
        end_body_line(s, r);
        at = newline + 1;
    }
}

/* ── gzip ────────────────────────────────────────────────────────────────────────────────────── */

/* Each flush, sync or full, ends with an empty stored block: 00 00 ff ff. */
static void take_marks(struct stream *s, const unsigned char *at, const unsigned char *end) {
    static const unsigned char MARK[4] = {0x00, 0x00, 0xff, 0xff};
    while (at < end) {
        if (s->mark_len == 0) {
            at = memchr(at, MARK[0], (size_t)(end - at));
            if (!at) return;
        }
        if (*at == MARK[s->mark_len]) {
            at++;
            if (++s->mark_len == sizeof MARK) {
                s->marks++;
                s->mark_len = 0;
            }
        } else if (s->mark_len == 2 && *at == 0x00) {
            at++;                   /* 00 00 00: the last two may begin one */
        } else {
            s->mark_len = 0;        /* and this byte is looked at again */
        }
    }
}

static void take_body(struct stream *s, const struct reading *r, const char *at, size_t len) {
    s->body_bytes += len;
    if (s->keep && fwrite(at, 1, len, s->keep) != len) fail("can't keep the body", "the disk is full?");
    if (s->is_gzip)
        take_marks(s, (const unsigned char *)at, (const unsigned char *)at + len);
    else
        take_lines(s, r, at, at + len);
}

/* ── HTTP ────────────────────────────────────────────────────────────────────────────────────── */

static void end_head_line(struct stream *s) {
    if (s->status == 0) {
        if (sscanf(s->line, "HTTP/1.%*d %d", &s->status) != 1 || s->status != 200)
            fail("the stream was refused", s->line);
    } else if (!strncasecmp(s->line, "transfer-encoding:", 18)) {
        s->is_chunked = strcasestr(s->line, "chunked") != NULL;
    } else if (!strncasecmp(s->line, "content-encoding:", 17)) {
        s->is_gzip = strcasestr(s->line, "gzip") != NULL;
    } else if (s->line_len == 0) {
        s->part = s->is_chunked ? CHUNK_SIZE : UNTIL_CLOSE;
    }
}

static void end_framing_line(struct stream *s) {
    while (s->line_len && s->line[s->line_len - 1] == '\r') s->line_len--;
    s->line[s->line_len] = 0;
    if (s->part == HEAD) {
        end_head_line(s);
    } else if (s->part == AFTER_CHUNK) {
        if (s->line_len) fail("a chunk is longer than it says", s->line);
        s->part = CHUNK_SIZE;
    } else {
        char *rest;
        s->chunk_left = strtoull(s->line, &rest, 16);
        if (rest == s->line || (*rest && *rest != ';')) fail("no chunk's size", s->line);
        s->part = s->chunk_left ? CHUNK : ENDED;
    }
    s->line_len = 0;
}

static void stream_take(struct stream *s, const struct reading *r, const char *at, size_t len) {
    const char *end = at + len;
    while (at < end) {
        size_t there = (size_t)(end - at);
        switch (s->part) {
        case CHUNK: {
            size_t taken = there < s->chunk_left ? there : (size_t)s->chunk_left;
            take_body(s, r, at, taken);
            at += taken;
            s->chunk_left -= taken;
            if (!s->chunk_left) s->part = AFTER_CHUNK;
            break;
        }
        case UNTIL_CLOSE:
            take_body(s, r, at, there);
            return;
        case ENDED:
            return;
        default: {
            const char *newline = memchr(at, '\n', there);
            size_t taken = (size_t)((newline ? newline : end) - at);
            size_t room = LINE_BYTES - 1 - s->line_len, kept = taken < room ? taken : room;
            memcpy(s->line + s->line_len, at, kept);
            s->line_len += kept;
            if (!newline) return;
            end_framing_line(s);
            at = newline + 1;
        }
        }
    }
}

/* Whether all is there that comes before the first article. */
static bool stream_is_open(const struct stream *s) {
    return s->part != HEAD && (!s->is_gzip || s->marks > 0);
}

#endif
