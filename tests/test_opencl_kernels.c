// What only the OpenCL backend has: a compiler at run time, its messages and its cache on disk, and
// drivers that may be missing.
#include "harness/harness.h"

#include "base/file.h"
#include "base/memory.h"
#include "device/backend.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <xxhash.h>

// The backend's kernels are compiled into a cache of their own, so that each test sees it empty.
static char cache[64];

static int open_with_cache(void **state)
{
    snprintf(cache, sizeof cache, "/tmp/trivium-opencl-XXXXXX");
    if (!mkdtemp(cache))
        return -1;
    setenv("XDG_CACHE_HOME", cache, 1);
    return tv_test_setup(state);
}

static int close_with_cache(void **state)
{
    int failed = tv_test_teardown(state);
    return failed || tv_remove_tree(cache) != TV_OK ? -1 : 0;
}

static const tv_kernel_code *row_of(tv_device *device, const char *name)
{
    const tv_kernel_code *code = device->backend->kernel_find(device, name);
    assert_non_null(code);
    assert_non_null(code->opencl);
    return code;
}

// Compiles a text instead of the row's own.
static tv_err compile(tv_device *device, const tv_kernel_code *row, const char *text)
{
    tv_kernel_code code = *row;
    tv_kernel_choice choice = {.name = code.name, .group = code.group, .constants = {64, 1, 1, 1}};
    tv_kernel *kernel = NULL;
    code.opencl = text;
    tv_err err = device->backend->kernel_create(device, &code, &choice, &kernel);
    if (err == TV_OK) {
        kernel->device = device;
        device->backend->kernel_destroy(kernel);
    }
    return err;
}

// --------------------------------------------------------------------------------------- messages

static unsigned line_in_file(const char *file, const char *text)
{
    char path[512];
    uint8_t *data;
    size_t size;
    snprintf(path, sizeof path, TV_TEST_DATA "/../shaders/%s", file);
    assert_ok(tv_file_read(path, 1 << 20, &data, &size));
    const char *found = strstr((const char *)data, text);
    assert_non_null(found);
    unsigned line = 1;
    for (const char *at = (const char *)data; at < found; at++)
        line += *at == '\n';
    tv_free(data);
    return line;
}

static void compilers_name_the_place(void **state)
{
    static const struct {
        const char *kernel, *file, *text;
    } cases[] = {
        {"matmul_nt", "matmul.k", "float4 acc[16]"}, // after the includes
        {"fill", "fill.k", "TV_MAIN"},
        {"matmul_nt", "tv_opencl.h", "float tv_tree_sum("}, // after an include of the include
        {"matmul_nt", "tv_half.h", "return "},
    };
    tv_device *device = *state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const tv_kernel_code *code = row_of(device, cases[i].kernel);
        char *text = tv_strdup(code->opencl), marker[64], place[64];
        snprintf(marker, sizeof marker, "\"%s\"\n", cases[i].file);
        char *found = strstr(text, marker);
        for (char *next = found; next; next = strstr(next + 1, marker))
            found = next; // the part after the last include
        assert_non_null(found);
        found = strstr(found, cases[i].text);
        assert_non_null(found);
        *found = '@'; // no character of the language
        snprintf(place, sizeof place, "%s:%u", cases[i].file,
                 line_in_file(cases[i].file, cases[i].text));
        assert_error(compile(device, code, text), TV_EDEVICE, cases[i].kernel);
        assert_error(TV_EDEVICE, TV_EDEVICE, place);
        assert_null(strchr(tv_error_message(), '\n'));
        tv_free(text);
    }
}

static void kernels_that_do_not_fit_are_refused(void **state)
{
    static const struct {
        const char *text, *says;
    } cases[] = {
        {"__kernel void other(__global float *x) { x[0] = 0; }", "CL_INVALID_KERNEL_NAME"},
        {"__kernel void fill() {}", "0 arguments"},
        {"__kernel void fill(int a, int b, int c, int d, int e, int f, int g, int h, int i, int j) "
         "{}",
         "10 arguments"},
        {"int", "kernel 'fill'"},
        {"", "kernel 'fill'"},
    };
    tv_device *device = *state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_error(compile(device, row_of(device, "fill"), cases[i].text), TV_EDEVICE,
                     cases[i].says);
}

// ------------------------------------------------------------------------------------------ cache

// The only file of the cache; fails where there is another number of them.
static void find_cached(tv_text *path)
{
    tv_text folder = {0};
    tv_names names = {0};
    tv_text_printf(&folder, "%s/trivium/opencl", cache);
    assert_ok(tv_list_dir(folder.data, &names));
    assert_int_equal(names.count, 1);
    assert_true(tv_ends_with(names.names[0], ".bin"));
    tv_path_join(path, folder.data, names.names[0]);
    tv_names_finish(&names);
    tv_text_finish(&folder);
}

static void empty_cache(void)
{
    tv_text folder = {0};
    tv_text_printf(&folder, "%s/trivium/opencl", cache);
    assert_ok(tv_remove_tree(folder.data));
    tv_text_finish(&folder);
}

// A file as the backend writes it.
static void write_cached(const char *path, const void *binary, size_t size, bool damaged)
{
    tv_text file = {0};
    XXH128_canonical_t sum;
    XXH128_canonicalFromHash(&sum, XXH3_128bits(binary, size));
    sum.digest[0] ^= damaged;
    tv_text_append(&file, &sum, sizeof sum);
    tv_text_append(&file, binary, size);
    assert_ok(tv_file_write(path, file.data, file.length));
    tv_text_finish(&file);
}

static void binaries_are_kept(void **state)
{
    static const char garbage[] = "no driver has ever made such a binary";
    static const struct {
        const char *what;
        size_t size;
        bool damaged;
    } cases[] = {
        {"refused", sizeof garbage, false}, {"damaged", sizeof garbage, true}, {"empty", 0, false}};
    tv_device *device = *state;
    const tv_kernel_code *code = row_of(device, "fill");
    tv_text path = {0};
    uint8_t *binary, *again;
    size_t size, size_again;
    empty_cache();
    assert_ok(compile(device, code, code->opencl));
    find_cached(&path);
    assert_ok(tv_file_read(path.data, 1 << 26, &binary, &size));
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        write_cached(path.data, garbage, cases[i].size, cases[i].damaged);
        if (compile(device, code, code->opencl) != TV_OK)
            fail_msg("%s: %s", cases[i].what, tv_error_message());
        assert_ok(tv_file_read(path.data, 1 << 26, &again, &size_again));
        if (size_again < size / 2) // drivers need not write the same bytes twice
            fail_msg("%s: not replaced", cases[i].what);
        tv_free(again);
    }
    // Another text does not find it.
    assert_error(compile(device, code, "int"), TV_EDEVICE, "fill");
    tv_free(binary);
    tv_text_finish(&path);
}

// That the cache is read shows where the right file holds the wrong kernel.
static void binaries_are_used(void **state)
{
    tv_device *device = *state;
    const tv_kernel_code *fill = row_of(device, "fill"), *add = row_of(device, "add");
    tv_text path = {0};
    uint8_t *file;
    size_t size;
    empty_cache();
    assert_ok(compile(device, add, add->opencl));
    find_cached(&path);
    assert_ok(tv_file_read(path.data, 1 << 26, &file, &size));
    tv_text_finish(&path);
    empty_cache();
    assert_ok(compile(device, fill, fill->opencl));
    find_cached(&path);
    assert_ok(tv_file_write(path.data, file, size));
    assert_error(compile(device, fill, fill->opencl), TV_EDEVICE, "CL_INVALID_KERNEL_NAME");
    tv_free(file);
    tv_text_finish(&path);
}

static void works_without_a_cache(void **state)
{
    tv_device *device = *state;
    const tv_kernel_code *code = row_of(device, "fill");
    setenv("XDG_CACHE_HOME", "/dev/null", 1);
    tv_err err = compile(device, code, code->opencl);
    setenv("XDG_CACHE_HOME", cache, 1);
    assert_ok(err);
}

static void drivers_may_keep_their_own(void **state)
{
    tv_device *device = *state;
    const tv_kernel_code *code = row_of(device, "fill");
    tv_text folder = {0};
    tv_text_printf(&folder, "%s/trivium/opencl", cache);
    empty_cache();
    setenv("TRIVIUM_OPENCL_CACHE", "0", 1);
    tv_err err = compile(device, code, code->opencl);
    unsetenv("TRIVIUM_OPENCL_CACHE");
    assert_ok(err);
    assert_false(tv_path_exists(folder.data));
    tv_text_finish(&folder);
}

// --------------------------------------------------------------------------------------- programs

static void missing_bindings_are_noticed(void **state)
{
    tv_device *device = *state;
    const tv_kernel *add;
    tv_buffer *buffer;
    tv_program *program;
    assert_ok(tv_device_kernel(device, &(tv_kernel_choice){.name = "add"}, &add));
    assert_ok(tv_buffer_create(device, 4096, &buffer));
    assert_ok(tv_program_create(device, &program));
    tv_dispatch dispatch = {.kernel = add,
                            .bindings = {{buffer, 0, 1024, TV_READ}, {buffer, 1024, 1024, TV_READ}},
                            .binding_count = 2,
                            .groups = {1, 1, 1},
                            .label = "two of three"};
    tv_program_dispatch(program, &dispatch);
    assert_error(tv_program_finish(program), TV_EDEVICE, "two of three: kernel 'add'");
    tv_program_destroy(&program);
    tv_buffer_destroy(&buffer);
}

// ------------------------------------------------------------------------------------ enumeration

static void devices_are_told_apart(void **state)
{
    tv_device_info infos[16];
    size_t count;
    tv_device *device = *state;
    assert_ok(device->backend->enumerate(infos, 16, &count));
    assert_true(count > 0);
    for (size_t i = 0; i < count; i++) {
        assert_string_equal(infos[i].backend, "opencl");
        assert_int_equal(infos[i].index, i);
        for (size_t j = 0; j < i; j++)
            assert_memory_not_equal(infos[i].uuid, infos[j].uuid, sizeof infos[i].uuid);
    }
    tv_device_info again[16];
    assert_ok(device->backend->enumerate(again, 16, &count));
    for (size_t i = 0; i < count; i++)
        assert_memory_equal(infos[i].uuid, again[i].uuid, sizeof again[i].uuid);
    assert_ok(device->backend->enumerate(infos, 0, &count));
    assert_int_equal(count, 0);
}

// The ICD loader finds drivers through files in a folder; here that one is empty.
static void no_driver_is_no_error(void **state)
{
    char command[1024], line[512];
    bool listed = false;
    (void)state;
    snprintf(command, sizeof command, "OCL_ICD_VENDORS=%s/ '%s' devices", cache, TV_PROGRAM);
    FILE *output = popen(command, "r");
    assert_non_null(output);
    while (fgets(line, sizeof line, output))
        listed = listed || strstr(line, "opencl:");
    assert_int_equal(pclose(output), 0);
    assert_false(listed);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(compilers_name_the_place),
        cmocka_unit_test(kernels_that_do_not_fit_are_refused),
        cmocka_unit_test(binaries_are_kept),
        cmocka_unit_test(binaries_are_used),
        cmocka_unit_test(works_without_a_cache),
        cmocka_unit_test(drivers_may_keep_their_own),
        cmocka_unit_test(missing_bindings_are_noticed),
        cmocka_unit_test(devices_are_told_apart),
        cmocka_unit_test(no_driver_is_no_error),
    };
    return cmocka_run_group_tests(tests, open_with_cache, close_with_cache);
}
