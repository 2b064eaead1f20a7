/* What /proc says of other processes. */
#ifndef PROC_H
#define PROC_H

#include <dirent.h>
#include <stdio.h>

/* Seconds that all threads of a process have run so far, in nanosecond steps; threads that have ended are
 * no longer in it. */
static double cpu_of(int pid) {
    char path[300];
    snprintf(path, sizeof path, "/proc/%d/task", pid);
    DIR *threads = opendir(path);
    if (!threads) return 0;
    double sum = 0;
    for (struct dirent *entry; (entry = readdir(threads));) {
        if (entry->d_name[0] == '.') continue;
        snprintf(path, sizeof path, "/proc/%d/task/%s/schedstat", pid, entry->d_name);
        FILE *file = fopen(path, "r");
        if (!file) continue;
        unsigned long long ran_ns = 0;
        if (fscanf(file, "%llu", &ran_ns) == 1) sum += (double)ran_ns * 1e-9;
        fclose(file);
    }
    closedir(threads);
    return sum;
}

#endif
