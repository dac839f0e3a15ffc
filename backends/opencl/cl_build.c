// OpenCL: compiling a text, and what the compiler has to say about it.
#include "cl_internal.h"

#include "base/log.h"
#include "base/memory.h"

#include <string.h>

// ------------------------------------------------------------------------------------------- log

static char *build_log(const tv_cl_device *device, cl_program program)
{
    size_t size = 0;
    const tv_cl_api *cl = &device->cl;
    cl->clGetProgramBuildInfo(program, device->physical.handle, CL_PROGRAM_BUILD_LOG, 0, NULL,
                              &size);
    char *log = tv_alloc(size + 1, 1);
    if (size > 0)
        cl->clGetProgramBuildInfo(program, device->physical.handle, CL_PROGRAM_BUILD_LOG, size, log,
                                  NULL);
    return log;
}

// A line that says "error:", else one that mentions an error, else the first one with text.
static int weight(const char *line)
{
    if (strstr(line, "error:"))
        return 3;
    if (tv_contains_nocase(line, "error"))
        return 2;
    return line[strspn(line, " \t\r")] != 0;
}

// Prints the log and points at its most telling line. Cuts the log into lines.
static const char *read_log(char *log)
{
    const char *best = "the compiler does not say why";
    int heaviest = 0;
    for (char *line = strsep(&log, "\n"); line; line = strsep(&log, "\n")) {
        tv_debug("opencl: %s", line);
        if (weight(line) > heaviest) {
            heaviest = weight(line);
            best = line + strspn(line, " \t");
        }
    }
    return best;
}

// -------------------------------------------------------------------------------------- programs

// Drivers' codes for a program that does not compile are many, and none means anything else here.
static tv_err build(const tv_cl_device *device, cl_program program, const char *options)
{
    cl_int status =
        device->cl.clBuildProgram(program, 1, &device->physical.handle, options, NULL, NULL);
    if (status == CL_SUCCESS)
        return TV_OK;
    char *log = build_log(device, program);
    tv_debug("opencl: clBuildProgram: %s (%d), options %s", tv_cl_status_text(status), (int)status,
             options);
    tv_err err = tv_fail(TV_EDEVICE, "%s", read_log(log));
    tv_free(log);
    return err;
}

// Takes over `made`: into *program, or released where it cannot be built.
static tv_err finish_build(const tv_cl_device *device, cl_program made, const char *options,
                           cl_program *program)
{
    tv_err err = build(device, made, options);
    if (err == TV_OK)
        *program = made;
    else
        device->cl.clReleaseProgram(made);
    return err;
}

static tv_err build_source(const tv_cl_device *device, const char *text, const char *options,
                           cl_program *program)
{
    cl_int status;
    cl_program made =
        device->cl.clCreateProgramWithSource(device->context, 1, &text, NULL, &status);
    TV_TRY(tv_cl_status(status, "clCreateProgramWithSource"));
    return finish_build(device, made, options, program);
}

static tv_err build_binary(const tv_cl_device *device, const uint8_t *binary, size_t size,
                           const char *options, cl_program *program)
{
    cl_int status;
    cl_program made = device->cl.clCreateProgramWithBinary(
        device->context, 1, &device->physical.handle, &size, &binary, NULL, &status);
    TV_TRY(tv_cl_status(status, "clCreateProgramWithBinary"));
    return finish_build(device, made, options, program);
}

static void keep_binary(const tv_cl_device *device, cl_program program, const char *path)
{
    size_t size = 0;
    const tv_cl_api *cl = &device->cl;
    if (cl->clGetProgramInfo(program, CL_PROGRAM_BINARY_SIZES, sizeof size, &size, NULL) !=
            CL_SUCCESS ||
        size == 0)
        return;
    uint8_t *binary = tv_alloc(size, 1);
    if (cl->clGetProgramInfo(program, CL_PROGRAM_BINARIES, sizeof binary, &binary, NULL) ==
        CL_SUCCESS)
        tv_cl_cache_save(path, binary, size);
    tv_free(binary);
}

static bool build_cached(const tv_cl_device *device, const char *path, const char *options,
                         cl_program *program)
{
    size_t size;
    uint8_t *binary = tv_cl_cache_load(path, &size);
    if (!binary)
        return false;
    tv_err err = build_binary(device, binary, size, options, program);
    tv_free(binary);
    if (err != TV_OK) {
        tv_debug("%s: refused by the driver (%s); compiling afresh", path, tv_error_message());
        tv_cl_cache_remove(path);
    }
    return err == TV_OK;
}

tv_err tv_cl_build(const tv_cl_device *device, const char *text, const char *options,
                   cl_program *program)
{
    tv_text path = {0};
    tv_err err = TV_OK;
    tv_cl_cache_path(device, text, options, &path);
    if (!path.data || !build_cached(device, path.data, options, program)) {
        err = build_source(device, text, options, program);
        if (err == TV_OK && path.data)
            keep_binary(device, *program, path.data);
    }
    tv_text_finish(&path);
    return err;
}
