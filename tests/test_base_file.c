// Tests of base/file.h: reading, mapping, crash-safe writing, appending, directories, full disks.
#include "base/file.h"
#include "base/memory.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define COUNT(array) (sizeof(array) / sizeof *(array))

// A fresh directory per test, removed after it.
static int make_directory(void **state)
{
    char *path = tv_strdup("/tmp/trivium-base-XXXXXX");
    *state = path;
    return mkdtemp(path) ? 0 : -1;
}

static int remove_directory(void **state)
{
    tv_err err = tv_remove_tree(*state);
    tv_free(*state);
    return err == TV_OK ? 0 : -1;
}

static void assert_content(const char *path, const char *expected)
{
    uint8_t *data;
    size_t size;
    assert_int_equal(tv_file_read(path, 1 << 20, &data, &size), TV_OK);
    assert_int_equal(size, strlen(expected));
    assert_string_equal((char *)data, expected); // a zero byte stands behind it
    tv_free(data);
}

static size_t count_names(const char *directory)
{
    tv_names names;
    assert_int_equal(tv_list_dir(directory, &names), TV_OK);
    size_t count = names.count;
    tv_names_finish(&names);
    return count;
}

static void test_file_read_and_its_limit(void **state)
{
    tv_text path = {0};
    uint8_t *data = NULL;
    size_t size = 0;
    tv_path_join(&path, *state, "file");
    assert_int_equal(tv_file_write(path.data, "12345", 5), TV_OK);
    assert_content(path.data, "12345");
    assert_int_equal(tv_file_read(path.data, 5, &data, &size), TV_OK);
    tv_free(data);
    assert_int_equal(tv_file_read(path.data, 4, &data, &size), TV_EFORMAT);
    assert_non_null(strstr(tv_error_message(), path.data));
    assert_int_equal(tv_file_read("/proc/self/status", 1 << 20, &data, &size), TV_OK);
    assert_true(size > 100); // a file that says its size is 0
    tv_free(data);
    assert_int_equal(tv_file_read(*state, 100, &data, &size), TV_EIO); // a directory
    assert_int_equal(tv_file_read("/nonexistent/file", 100, &data, &size), TV_EIO);
    assert_non_null(strstr(tv_error_message(), "No such file"));
    tv_text_finish(&path);
}

static void test_mapping(void **state)
{
    tv_text path = {0};
    tv_mapping mapping;
    tv_path_join(&path, *state, "file");
    assert_int_equal(tv_file_write(path.data, "mapped", 6), TV_OK);
    assert_int_equal(tv_mapping_open(path.data, &mapping), TV_OK);
    assert_int_equal(mapping.size, 6);
    assert_memory_equal(mapping.data, "mapped", 6);
    tv_mapping_close(&mapping);
    assert_int_equal(tv_file_write(path.data, "", 0), TV_OK);
    assert_int_equal(tv_mapping_open(path.data, &mapping), TV_OK);
    assert_null(mapping.data);
    assert_int_equal(mapping.size, 0);
    tv_mapping_close(&mapping);
    assert_int_equal(tv_mapping_open("/nonexistent", &mapping), TV_EIO);
    tv_text_finish(&path);
}

static void test_writer_replaces_at_once(void **state)
{
    tv_text path = {0};
    tv_writer *writer = NULL;
    tv_path_join(&path, *state, "file");
    assert_int_equal(tv_file_write(path.data, "old", 3), TV_OK);
    assert_int_equal(tv_writer_open(path.data, &writer), TV_OK);
    assert_int_equal(tv_writer_write(writer, "new ", 4), TV_OK);
    assert_content(path.data, "old"); // nothing shows before the commit
    assert_int_equal(tv_writer_write(writer, "text", 4), TV_OK);
    assert_int_equal(tv_writer_commit(&writer), TV_OK);
    assert_null(writer);
    assert_content(path.data, "new text");
    assert_int_equal(count_names(*state), 1);
    tv_text_finish(&path);
}

static void test_writer_abandoned_leaves_nothing(void **state)
{
    tv_text path = {0};
    tv_writer *writer = NULL;
    tv_path_join(&path, *state, "file");
    tv_writer_abandon(&writer); // NULL inside
    assert_int_equal(tv_file_write(path.data, "old", 3), TV_OK);
    assert_int_equal(tv_writer_open(path.data, &writer), TV_OK);
    assert_int_equal(tv_writer_write(writer, "new", 3), TV_OK);
    tv_writer_abandon(&writer);
    assert_null(writer);
    assert_content(path.data, "old");
    assert_int_equal(count_names(*state), 1);
    assert_int_equal(tv_writer_open("/nonexistent/file", &writer), TV_EIO);
    tv_text_finish(&path);
}

static void test_writer_beyond_its_buffer(void **state)
{
    enum { SIZE = 3000017 };
    static const size_t pieces[] = {1, 70000, 262144, 5, 262143, 1000000};
    tv_text path = {0};
    tv_writer *writer = NULL;
    tv_mapping mapping;
    uint8_t *data = tv_alloc(SIZE, 1);
    for (size_t i = 0; i < SIZE; i++)
        data[i] = (uint8_t)(i * 2654435761u >> 13);
    assert_int_equal(tv_writer_open(tv_path_join(&path, *state, "file"), &writer), TV_OK);
    for (size_t at = 0, piece = 0; at < SIZE; piece++) {
        size_t size = tv_min_size(pieces[piece % COUNT(pieces)], SIZE - at);
        assert_int_equal(tv_writer_write(writer, data + at, size), TV_OK);
        at += size;
    }
    assert_int_equal(tv_writer_commit(&writer), TV_OK);
    assert_int_equal(tv_mapping_open(path.data, &mapping), TV_OK);
    assert_int_equal(mapping.size, SIZE);
    assert_memory_equal(mapping.data, data, SIZE);
    tv_mapping_close(&mapping);
    tv_free(data);
    tv_text_finish(&path);
}

// The temporary file's name is known, so a link there sends what is written to a full disk.
static void test_writer_on_a_full_disk(void **state)
{
    tv_text path = {0}, temporary = {0};
    tv_writer *writer = NULL;
    tv_path_join(&path, *state, "file");
    tv_text_printf(&temporary, "%s.tmp-%ld", path.data, (long)getpid());
    assert_int_equal(tv_file_write(path.data, "old", 3), TV_OK);
    assert_int_equal(symlink("/dev/full", temporary.data), 0);
    assert_int_equal(tv_writer_open(path.data, &writer), TV_OK);
    assert_int_equal(tv_writer_write(writer, "new", 3), TV_OK); // still in the buffer
    assert_int_equal(tv_writer_commit(&writer), TV_ENOSPC);
    assert_null(writer);
    assert_non_null(strstr(tv_error_message(), path.data));
    assert_content(path.data, "old");
    assert_int_equal(count_names(*state), 1);

    assert_int_equal(symlink("/dev/full", temporary.data), 0);
    static const char large[1 << 20];
    assert_int_equal(tv_file_write(path.data, large, sizeof large), TV_ENOSPC);
    assert_content(path.data, "old");
    assert_int_equal(count_names(*state), 1);
    tv_text_finish(&path);
    tv_text_finish(&temporary);
}

static void test_appender_keeps_what_it_is_told(void **state)
{
    tv_text path = {0};
    tv_appender *appender = NULL;
    tv_path_join(&path, *state, "log");
    tv_appender_close(&appender); // NULL inside
    assert_int_equal(tv_appender_open(path.data, 0, &appender), TV_OK);
    assert_int_equal(tv_appender_write(appender, "one\ntwo\n", 8), TV_OK);
    assert_content(path.data, "one\ntwo\n"); // without closing: it has reached the kernel
    assert_int_equal(tv_appender_size(appender), 8);
    tv_appender_close(&appender);
    assert_null(appender);

    assert_int_equal(tv_appender_open(path.data, 4, &appender), TV_OK);
    assert_int_equal(tv_appender_size(appender), 4);
    assert_int_equal(tv_appender_write(appender, "2\n", 2), TV_OK);
    tv_appender_close(&appender);
    assert_content(path.data, "one\n2\n");

    assert_int_equal(tv_appender_open(path.data, 1000, &appender), TV_OK); // nothing to cut
    assert_int_equal(tv_appender_size(appender), 6);
    tv_appender_close(&appender);
    assert_int_equal(tv_appender_open("/dev/full", 0, &appender), TV_OK);
    assert_int_equal(tv_appender_write(appender, "x", 1), TV_ENOSPC);
    assert_int_equal(tv_appender_size(appender), 0);
    tv_appender_close(&appender);
    assert_int_equal(tv_appender_open("/nonexistent/log", 0, &appender), TV_EIO);
    tv_text_finish(&path);
}

static void test_directories(void **state)
{
    tv_text path = {0}, file = {0};
    tv_names names;
    tv_path_join(&path, *state, "a//b/c");
    assert_int_equal(tv_make_dirs(path.data), TV_OK);
    assert_int_equal(tv_make_dirs(path.data), TV_OK); // again is no error
    assert_true(tv_path_is_dir(path.data));
    static const char *const made[] = {"z", "b", "a"};
    for (size_t i = 0; i < COUNT(made); i++)
        assert_int_equal(tv_file_write(tv_path_join(&file, path.data, made[i]), "", 0), TV_OK);
    assert_int_equal(tv_list_dir(path.data, &names), TV_OK);
    assert_int_equal(names.count, 3);
    for (size_t i = 0; i < 3; i++)
        assert_string_equal(names.names[i], made[2 - i]); // sorted
    tv_names_finish(&names);
    tv_path_join(&file, path.data, "z/below");
    assert_int_equal(tv_make_dirs(file.data), TV_EIO); // z is a file
    assert_int_equal(tv_list_dir("/nonexistent", &names), TV_EIO);
    tv_path_join(&path, *state, "a");
    assert_int_equal(tv_remove_tree(path.data), TV_OK);
    assert_false(tv_path_exists(path.data));
    assert_int_equal(tv_remove_tree(path.data), TV_OK); // missing is no error
    assert_string_equal(tv_path_base("x/y.png"), "y.png");
    assert_string_equal(tv_path_base("y.png"), "y.png");
    tv_text_finish(&path);
    tv_text_finish(&file);
}

static void test_remove_tree_does_not_follow_links(void **state)
{
    tv_text inside = {0}, outside = {0}, link = {0};
    tv_path_join(&outside, *state, "kept");
    tv_path_join(&inside, *state, "tree");
    assert_int_equal(tv_make_dirs(outside.data), TV_OK);
    assert_int_equal(tv_make_dirs(inside.data), TV_OK);
    assert_int_equal(symlink(outside.data, tv_path_join(&link, inside.data, "link")), 0);
    assert_int_equal(tv_remove_tree(inside.data), TV_OK);
    assert_true(tv_path_is_dir(outside.data));
    tv_text_finish(&inside);
    tv_text_finish(&outside);
    tv_text_finish(&link);
}

static void test_cache_directory(void **state)
{
    tv_text path = {0}, expected = {0};
    tv_path_join(&expected, *state, "trivium");
    assert_int_equal(setenv("XDG_CACHE_HOME", *state, 1), 0);
    assert_int_equal(tv_cache_dir(&path), TV_OK);
    assert_string_equal(path.data, expected.data);
    assert_true(tv_path_is_dir(path.data));
    assert_int_equal(unsetenv("XDG_CACHE_HOME"), 0);
    assert_int_equal(setenv("HOME", *state, 1), 0);
    tv_text_clear(&path);
    assert_int_equal(tv_cache_dir(&path), TV_OK);
    tv_path_join(&expected, *state, ".cache/trivium");
    assert_string_equal(path.data, expected.data);
    assert_int_equal(unsetenv("HOME"), 0);
    tv_text_clear(&path);
    assert_int_equal(tv_cache_dir(&path), TV_EIO);
    tv_text_finish(&path);
    tv_text_finish(&expected);
}

int main(void)
{
#define IN_DIRECTORY(test) cmocka_unit_test_setup_teardown(test, make_directory, remove_directory)
    const struct CMUnitTest tests[] = {
        IN_DIRECTORY(test_file_read_and_its_limit),
        IN_DIRECTORY(test_mapping),
        IN_DIRECTORY(test_writer_replaces_at_once),
        IN_DIRECTORY(test_writer_abandoned_leaves_nothing),
        IN_DIRECTORY(test_writer_beyond_its_buffer),
        IN_DIRECTORY(test_writer_on_a_full_disk),
        IN_DIRECTORY(test_appender_keeps_what_it_is_told),
        IN_DIRECTORY(test_directories),
        IN_DIRECTORY(test_remove_tree_does_not_follow_links),
        IN_DIRECTORY(test_cache_directory),
    };
    return cmocka_run_group_tests_name("file", tests, NULL, NULL);
}
