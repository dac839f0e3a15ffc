// Directories and paths: making, listing, removing, renaming durably.
#include "base/file.h"

#include "base/memory.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

bool tv_path_exists(const char *path)
{
    return access(path, F_OK) == 0;
}

bool tv_path_is_dir(const char *path)
{
    struct stat info;
    return stat(path, &info) == 0 && S_ISDIR(info.st_mode);
}

tv_err tv_make_dirs(const char *path)
{
    tv_text part = {0};
    tv_err err = TV_OK;
    for (const char *at = path; err == TV_OK && *at;) {
        const char *slash = strchr(at + 1, '/');
        size_t length = slash ? (size_t)(slash - path) : strlen(path);
        tv_text_clear(&part);
        tv_text_append(&part, path, length);
        if (mkdir(part.data, 0777) != 0 && !(errno == EEXIST && tv_path_is_dir(part.data)))
            err = tv_fail_errno("cannot create directory %s", part.data);
        at = path + length;
    }
    tv_text_finish(&part);
    return err;
}

tv_err tv_remove_tree(const char *path)
{
    struct stat info;
    if (lstat(path, &info) != 0)
        return errno == ENOENT ? TV_OK : tv_fail_errno("cannot remove %s", path);
    if (!S_ISDIR(info.st_mode))
        return unlink(path) == 0 ? TV_OK : tv_fail_errno("cannot remove %s", path);
    tv_names names = {0};
    TV_TRY(tv_list_dir(path, &names));
    tv_err err = TV_OK;
    for (size_t i = 0; i < names.count && err == TV_OK; i++) {
        tv_text child = {0};
        err = tv_remove_tree(tv_path_join(&child, path, names.names[i]));
        tv_text_finish(&child);
    }
    tv_names_finish(&names);
    if (err == TV_OK && rmdir(path) != 0)
        err = tv_fail_errno("cannot remove %s", path);
    return err;
}

tv_err tv_sync_dir(const char *path)
{
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return tv_fail_errno("cannot open directory %s", path);
    // Some network file systems cannot fsync a directory; they order renames themselves.
    tv_err err = fsync(fd) == 0 || errno == EINVAL ? TV_OK : tv_fail_errno("cannot sync %s", path);
    close(fd);
    return err;
}

tv_err tv_rename(const char *from, const char *to)
{
    if (rename(from, to) != 0)
        return tv_fail_errno("cannot rename %s to %s", from, to);
    tv_text parent = {0};
    const char *slash = strrchr(to, '/');
    tv_text_append(&parent, to, slash ? (size_t)(slash - to) : 0);
    tv_err err = tv_sync_dir(!slash ? "." : parent.length ? parent.data : "/");
    tv_text_finish(&parent);
    return err;
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

tv_err tv_list_dir(const char *path, tv_names *names)
{
    *names = (tv_names){0};
    DIR *directory = opendir(path);
    if (!directory)
        return tv_fail_errno("cannot list %s", path);
    for (struct dirent *entry; (entry = readdir(directory));) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        TV_RESERVE(names->names, names->capacity, names->count + 1);
        names->names[names->count++] = tv_strdup(entry->d_name);
    }
    closedir(directory);
    if (names->count)
        qsort(names->names, names->count, sizeof *names->names, compare_names);
    return TV_OK;
}

void tv_names_finish(tv_names *names)
{
    for (size_t i = 0; i < names->count; i++)
        tv_free(names->names[i]);
    tv_free(names->names);
    *names = (tv_names){0};
}

const char *tv_path_join(tv_text *text, const char *directory, const char *name)
{
    tv_text_clear(text);
    tv_text_printf(text, "%s%s%s", directory, tv_ends_with(directory, "/") ? "" : "/", name);
    return text->data;
}

const char *tv_path_base(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

tv_err tv_cache_dir(tv_text *path)
{
    const char *xdg = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
    if (xdg && xdg[0] == '/')
        tv_text_printf(path, "%s/trivium", xdg);
    else if (home && home[0])
        tv_text_printf(path, "%s/.cache/trivium", home);
    else
        return tv_fail(TV_EIO, "no cache directory: neither XDG_CACHE_HOME nor HOME is set");
    return tv_make_dirs(path->data);
}
