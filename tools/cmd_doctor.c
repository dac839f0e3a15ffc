// trivium doctor: checks what training needs, and says how to mend what is missing.
#include "cmd.h"

#include "base/file.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/text.h"
#include "device/device.h"
#include "dist/comm.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>

static const char help[] =
    "usage: trivium doctor [--device D]\n"
    "\n"
    "Checks drivers, loader, permissions, MPI and disk, one line each, and says how to mend what\n"
    "is missing. Exits with 1 if training would not work here.\n"
    "\n"
    "  --device D  the device to try, by index, UUID or name (default: the best)\n";

static const uint64_t DISK_ENOUGH = UINT64_C(2) << 30;

enum { ELEMENTS = 1003 };

typedef enum verdict {
    GOOD,
    OPTIONAL, // missing, but training works without
    BAD,
} verdict;

// One line: what was looked at, how it is, and what to do about it.
static bool report(verdict found, const char *what, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static bool report(verdict found, const char *what, const char *format, ...)
{
    static const char *const words[] = {[GOOD] = "ok", [OPTIONAL] = "--", [BAD] = "MISSING"};
    va_list args;
    va_start(args, format);
    printf("%-8s %-12s ", words[found], what);
    vprintf(format, args);
    putchar('\n');
    va_end(args);
    return found != BAD;
}

// One of the two is enough.
static bool check_loaders(void)
{
    static const struct {
        const char *api, *file, *package;
    } loaders[] = {{"vulkan", "libvulkan.so.1", "libvulkan1"},
                   {"opencl", "libOpenCL.so.1", "ocl-icd-libopencl1"}};
    size_t found = 0;
    for (size_t i = 0; i < 2; i++) {
        void *loader = dlopen(loaders[i].file, RTLD_NOW | RTLD_LOCAL);
        if (loader) {
            report(GOOD, loaders[i].api, "%s", loaders[i].file);
            dlclose(loader);
            found++;
        } else {
            report(OPTIONAL, loaders[i].api, "%s is not installed: install %s", loaders[i].file,
                   loaders[i].package);
        }
    }
    return found > 0 || report(BAD, "loader", "neither Vulkan's nor OpenCL's is installed");
}

static bool check_devices(size_t *hardware)
{
    tv_device_info *infos;
    size_t count, usable = 0;
    *hardware = 0;
    if (tv_device_list(&infos, &count) != TV_OK)
        return report(BAD, "devices", "%s", tv_error_message());
    for (size_t i = 0; i < count; i++) {
        usable += !infos[i].problem[0];
        *hardware += !infos[i].problem[0] && infos[i].device_class != TV_CLASS_CPU;
    }
    tv_free(infos);
    if (usable == 0)
        return report(BAD, "devices",
                      "%zu found, none usable: install the driver of your GPU, or "
                      "mesa-vulkan-drivers or pocl-opencl-icd, which run without one",
                      count);
    if (*hardware == 0)
        return report(OPTIONAL, "devices",
                      "%zu found, no GPU among them: training works, but slowly", count);
    return report(GOOD, "devices", "%zu found, %zu usable, %zu of them GPUs", count, usable,
                  *hardware);
}

// A GPU that its driver may not open does not show up at all.
static void check_permissions(void)
{
    tv_names names = {0};
    tv_text path = {0};
    const char *denied = NULL;
    size_t nodes = 0;
    if (!tv_path_is_dir("/dev/dri") || tv_list_dir("/dev/dri", &names) != TV_OK) {
        report(OPTIONAL, "permissions", "no /dev/dri: the kernel has no driver of a GPU");
        return;
    }
    for (size_t i = 0; i < names.count; i++) {
        if (!tv_starts_with(names.names[i], "renderD"))
            continue;
        tv_text_clear(&path);
        nodes++;
        if (access(tv_path_join(&path, "/dev/dri", names.names[i]), R_OK | W_OK) != 0)
            denied = names.names[i];
    }
    if (denied)
        report(OPTIONAL, "permissions",
               "/dev/dri/%s is closed to you: sudo usermod -aG render $USER, then log in "
               "again",
               denied);
    else
        report(GOOD, "permissions", "%zu render nodes in /dev/dri, all open to you", nodes);
    tv_text_finish(&path);
    tv_names_finish(&names);
}

// y = 1.5 + 2 over a length that fills no group; `*wrong` elements came out otherwise.
static tv_err try_kernels(tv_device *device, tv_program *program, tv_buffer *buffer, size_t *wrong)
{
    enum { PITCH = 4096 };
    static const float values[] = {1.5f, 2};
    const tv_kernel *fill, *add;
    float read[ELEMENTS];
    tv_dispatch dispatch = {.groups = {1, 1, 1}, .args = {.u = {ELEMENTS}}, .label = "doctor"};
    TV_TRY(tv_device_kernel(device, &(tv_kernel_choice){.name = "fill"}, &fill));
    TV_TRY(tv_device_kernel(device, &(tv_kernel_choice){.name = "add"}, &add));
    tv_binding window = {buffer, 0, sizeof read, TV_WRITE};
    for (uint64_t i = 0; i < 2; i++) {
        window.offset = i * PITCH;
        dispatch.kernel = fill;
        dispatch.bindings[0] = window;
        dispatch.binding_count = 1;
        dispatch.args.f[0] = values[i];
        tv_program_dispatch(program, &dispatch);
    }
    tv_program_barrier(program);
    dispatch.kernel = add;
    dispatch.binding_count = 3;
    for (uint64_t i = 0; i < 3; i++)
        dispatch.bindings[i] =
            (tv_binding){buffer, i * PITCH, sizeof read, i < 2 ? TV_READ : TV_WRITE};
    tv_program_dispatch(program, &dispatch);
    TV_TRY(tv_program_finish(program));
    TV_TRY(tv_program_run(program));
    TV_TRY(tv_program_wait(program, TV_MARK_END, 0));
    TV_TRY(tv_buffer_read(buffer, 2 * PITCH, read, sizeof read));
    *wrong = 0;
    for (size_t i = 0; i < ELEMENTS; i++)
        *wrong += read[i] != values[0] + values[1];
    return TV_OK;
}

static bool check_kernels(const char *which)
{
    tv_device *device = NULL;
    tv_buffer *buffer = NULL;
    tv_program *program = NULL;
    size_t wrong = 0;
    bool fine;
    tv_err err = tv_device_open(which, NULL, &device);
    if (err == TV_OK)
        err = tv_buffer_create(device, 3 * 4096, &buffer);
    if (err == TV_OK)
        err = tv_program_create(device, &program);
    if (err == TV_OK)
        err = try_kernels(device, program, buffer, &wrong);
    if (err != TV_OK)
        fine = report(BAD, "kernels", "%s", tv_error_message());
    else if (wrong)
        fine = report(BAD, "kernels", "%s computed %zu of %d sums wrongly: upgrade its driver (%s)",
                      tv_device_get_info(device)->name, wrong, ELEMENTS,
                      tv_device_get_info(device)->driver);
    else
        fine = report(GOOD, "kernels", "%s computes correctly", tv_device_get_info(device)->name);
    tv_program_destroy(&program);
    tv_buffer_destroy(&buffer);
    tv_device_close(&device);
    return fine;
}

static void check_validation(const char *which)
{
    tv_device *device = NULL;
    setenv("TRIVIUM_VALIDATE", "1", 1);
    tv_err err = tv_device_open(which, NULL, &device);
    unsetenv("TRIVIUM_VALIDATE");
    tv_device_close(&device);
    if (err == TV_OK)
        report(GOOD, "validation", "the validation layer is installed");
    else
        report(OPTIONAL, "validation",
               "no validation layer, which only tests need: install vulkan-validationlayers");
}

static void check_cache(void)
{
    tv_text path = {0};
    tv_err err = tv_cache_dir(&path);
    size_t length = path.length;
    if (err == TV_OK) {
        tv_text_printf(&path, "/doctor-%ld", (long)getpid());
        err = tv_file_write(path.data, "ok", 2);
    }
    if (err == TV_OK) {
        unlink(path.data);
        report(GOOD, "cache", "%.*s can be written", (int)length, path.data);
    } else {
        report(OPTIONAL, "cache",
               "compiled kernels are not kept: %s (set XDG_CACHE_HOME to a directory of yours)",
               tv_error_message());
    }
    tv_text_finish(&path);
}

static void check_disk(void)
{
    struct statvfs disk;
    char room[32];
    if (access(".", W_OK) != 0) {
        report(OPTIONAL, "disk", "this directory cannot be written: runs have to go elsewhere");
    } else if (statvfs(".", &disk) != 0) {
        report(OPTIONAL, "disk", "the free space here cannot be told");
    } else {
        uint64_t bytes = (uint64_t)disk.f_bavail * disk.f_frsize;
        tv_format_bytes(bytes, room);
        if (bytes < DISK_ENOUGH)
            report(OPTIONAL, "disk", "only %s are free here, and checkpoints are large", room);
        else
            report(GOOD, "disk", "%s are free here", room);
    }
}

static void check_mpi(void)
{
    char library[128];
    tv_comm_describe(library);
    if (strcmp(library, "not built in") == 0)
        report(OPTIONAL, "mpi", "not built in, so one device per run: build with -DTV_MPI=ON");
    else
        report(GOOD, "mpi", "%s", library);
}

int cmd_doctor(int argc, char **argv)
{
    const char *which = NULL;
    const cmd_option options[] = {{.name = "device", .value = &which}};
    int positional;
    bool done;
    tv_err err = cmd_parse(argc, argv, options, 1, help, &positional, &done);
    if (err != TV_OK || done)
        return cmd_finish(err);
    if (positional > 0)
        return cmd_finish(tv_fail(TV_EUSAGE, "trivium doctor takes no '%s'", argv[1]));
    size_t hardware;
    bool fine = check_loaders();
    fine = check_devices(&hardware) && fine;
    if (hardware == 0)
        check_permissions();
    fine = check_kernels(which) && fine;
    check_validation(which);
    check_cache();
    check_disk();
    check_mpi();
    fflush(stdout);
    if (!fine)
        return cmd_finish(tv_fail(TV_ENODEVICE, "training would not work here; see MISSING above"));
    return 0;
}
