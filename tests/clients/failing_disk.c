/* Preloaded: a disk that fails while a file exists. SYNC_FAILS names it for syncs (EIO, as on a dying disk),
   READ_ONLY for writes into files (EROFS, as after an error of the file system). */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdlib.h>
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
