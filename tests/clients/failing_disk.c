/* Preloaded: a disk that fails while a file exists. SYNC_FAILS names it for syncs (EIO, as on a dying disk),
   READ_ONLY for writes into files (EROFS, as after an error of the file system), READ_FAILS for reads (EIO): of all files, or of those octets of spool.db that it names ("from to"). */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <unistd.h>

static int wanted(const char *variable)
{
    const char *file = getenv(variable);
    return file && access(file, F_OK) == 0;
}

static int is_file(int fd)
{
    struct stat state;
    return fstat(fd, &state) == 0 && S_ISREG(state.st_mode);
}

static int fail(int error)
{
    errno = error;
    return -1;
}

int fsync(int fd)
{
    if (wanted("SYNC_FAILS"))
        return fail(EIO);
    return ((int (*)(int))dlsym(RTLD_NEXT, "fsync"))(fd);
}

int fdatasync(int fd)
{
    if (wanted("SYNC_FAILS"))
        return fail(EIO);
    return ((int (*)(int))dlsym(RTLD_NEXT, "fdatasync"))(fd);
}

ssize_t pwrite64(int fd, const void *octets, size_t length, off64_t offset)
{
    if (is_file(fd) && wanted("READ_ONLY"))
        return fail(EROFS);
    ssize_t (*real)(int, const void *, size_t, off64_t) = dlsym(RTLD_NEXT, "pwrite64");
    return real(fd, octets, length, offset);
}

ssize_t pwrite(int fd, const void *octets, size_t length, off_t offset)
{
    if (is_file(fd) && wanted("READ_ONLY"))
        return fail(EROFS);
    ssize_t (*real)(int, const void *, size_t, off_t) = dlsym(RTLD_NEXT, "pwrite");
    return real(fd, octets, length, offset);
}

static int reads_fail(int fd, off64_t at, size_t count)
{
    if (!wanted("READ_FAILS") || !is_file(fd))
        return 0;
    char link[64], path[512] = "";
    long from = 0, to = 0;
    FILE *range = fopen(getenv("READ_FAILS"), "r");
    int ranges = range ? fscanf(range, "%ld %ld", &from, &to) : 0;
    if (range)
        fclose(range);
    if (ranges < 2)
        return 1;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    if (readlink(link, path, sizeof path - 1) < 0 || !strstr(path, "/spool.db"))
        return 0;
    return path[strlen(path) - 1] == 'b' && at < to && at + (off64_t)count > from;
}

ssize_t read(int fd, void *octets, size_t count)
{
    if (reads_fail(fd, lseek64(fd, 0, SEEK_CUR), count))
        return fail(EIO);
    return ((ssize_t (*)(int, void *, size_t))dlsym(RTLD_NEXT, "read"))(fd, octets, count);
}

ssize_t pread(int fd, void *octets, size_t count, off_t at)
{
    if (reads_fail(fd, at, count))
        return fail(EIO);
    return ((ssize_t (*)(int, void *, size_t, off_t))dlsym(RTLD_NEXT, "pread"))(fd, octets, count, at);
}

ssize_t pread64(int fd, void *octets, size_t count, off64_t at)
{
    if (reads_fail(fd, at, count))
        return fail(EIO);
    return ((ssize_t (*)(int, void *, size_t, off64_t))dlsym(RTLD_NEXT, "pread64"))(fd, octets, count, at);
}

ssize_t copy_file_range(int in, off64_t *in_at, int out, off64_t *out_at, size_t count, unsigned flags)
{
    /* Whoever copies a file reads it in the end. */
    return fail(ENOSYS);
}
