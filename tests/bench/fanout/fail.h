/* The end of a run that is worth nothing. */
#ifndef FAIL_H
#define FAIL_H

#include <stdio.h>
#include <stdlib.h>

static void fail(const char *what, const char *detail) {
    fprintf(stderr, "load: %s%s%s\n", what, *detail ? ": " : "", detail);
    exit(1);
}

#endif
