/* What the load is told; tests/bench/fanout/load.py says what each means. */
#ifndef OPTIONS_H
#define OPTIONS_H

#include <getopt.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fail.h"

#define MAX_PIDS 64
#define MAX_LANES 16

static struct {
    int port, publish_port, clients, stalled, burst;
    unsigned lanes;
    uint64_t events, warmup, first;
    double rate, timeout_s;
    bool is_gzip, is_idle, is_post;
    const char *target, *publish_target, *replay_target, *records_path, *keep_path;
    char headers[1024];
    int pids[MAX_PIDS], pid_count;
} opt = {.port = 0, .clients = 1, .burst = 1, .lanes = 1, .timeout_s = 60, .target = "/"};

static void add_header(const char *header) {
    size_t used = strlen(opt.headers);
    if (used + strlen(header) + 3 > sizeof opt.headers) fail("the headers are too long", "");
    snprintf(opt.headers + used, sizeof opt.headers - used, "%s\r\n", header);
}

static void read_options(int argc, char **argv) {
    static const struct option OPTIONS[] = {
        {"port", 1, 0, 'p'},           {"target", 1, 0, 't'},         {"header", 1, 0, 'h'},
        {"clients", 1, 0, 'c'},        {"gzip", 0, 0, 'z'},           {"keep", 1, 0, 'k'},
        {"idle", 0, 0, 'i'},           {"publish-port", 1, 0, 'q'},   {"post", 1, 0, 'P'},
        {"records", 1, 0, 'r'},        {"events", 1, 0, 'e'},         {"warmup", 1, 0, 'w'},
        {"burst", 1, 0, 'b'},          {"rate", 1, 0, 'R'},           {"lanes", 1, 0, 'l'},
        {"first", 1, 0, 'f'},          {"stalled", 1, 0, 's'},        {"replay", 1, 0, 'y'},
        {"pid", 1, 0, 'x'},            {"timeout", 1, 0, 'T'},        {0, 0, 0, 0}};
    for (int o; (o = getopt_long(argc, argv, "", OPTIONS, NULL)) != -1;) {
        switch (o) {
        case 'p': opt.port = atoi(optarg); break;
        case 't': opt.target = optarg; break;
        case 'h': add_header(optarg); break;
        case 'c': opt.clients = atoi(optarg); break;
        case 'z': opt.is_gzip = true; break;
        case 'k': opt.keep_path = optarg; break;
        case 'i': opt.is_idle = true; break;
        case 'q': opt.publish_port = atoi(optarg); break;
        case 'P': opt.is_post = true; opt.publish_target = optarg; break;
        case 'r': opt.records_path = optarg; break;
        case 'e': opt.events = strtoull(optarg, NULL, 10); break;
        case 'w': opt.warmup = strtoull(optarg, NULL, 10); break;
        case 'b': opt.burst = atoi(optarg); break;
        case 'R': opt.rate = atof(optarg); break;
        case 'l': opt.lanes = (unsigned)atoi(optarg); break;
        case 'f': opt.first = strtoull(optarg, NULL, 10); break;
        case 's': opt.stalled = atoi(optarg); break;
        case 'y': opt.replay_target = optarg; break;
        case 'x':
            if (opt.pid_count == MAX_PIDS) fail("too many processes", "");
            opt.pids[opt.pid_count++] = atoi(optarg);
            break;
        case 'T': opt.timeout_s = atof(optarg); break;
        default: exit(2);
        }
    }
    if (opt.clients < 1 || opt.burst < 1 || opt.lanes < 1 || opt.lanes > MAX_LANES)
        fail("--clients, --burst and --lanes are 1 at least, and there are 16 lanes at most", "");
}

#endif
