// Build-time program: writes the C file that holds all kernels (src/device/kernels.h).
//
//     tv_embed MANIFEST OUTPUT
//
// The manifest has one line per row of the table:
//     spirv NAME FLAVOR FILE          a SPIR-V module; its descriptors are read from the module
//     opencl NAME FILE [DEFINE...]    an OpenCL C text; its #include "..." lines are resolved,
//                                     and #line directives tell where each part comes from
//
// SPIR-V numbers are from the Khronos specification, version 1.3.
#include "device/kernels.h"

#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_ROWS = 1024, MAX_DESCRIPTORS = 64, MAX_INCLUDES = 64, MAX_PATH = 4096 };

typedef struct row {
    char name[64], defines[1024];
    unsigned flavor, width, group;
    size_t words; // of SPIR-V, 0: an OpenCL row
    tv_descriptor descriptors[MAX_DESCRIPTORS];
    size_t descriptor_count;
    unsigned shared_bytes, shared_lane_bytes;
} row;

__attribute__((noreturn, format(printf, 1, 2))) static void die(const char *format, ...)
{
    va_list list;
    va_start(list, format);
    fputs("tv_embed: ", stderr);
    vfprintf(stderr, format, list);
    fputc('\n', stderr);
    va_end(list);
    exit(1);
}

// The whole file with a zero byte after it; the caller frees it.
static char *read_file(const char *path, size_t *size)
{
    FILE *file = fopen(path, "rb");
    if (!file || fseek(file, 0, SEEK_END) != 0)
        die("%s: %s", path, strerror(errno));
    long length = ftell(file);
    rewind(file);
    char *data = length < 0 ? NULL : calloc((size_t)length + 4, 1);
    if (!data || fread(data, 1, (size_t)length, file) != (size_t)length)
        die("%s: cannot be read", path);
    fclose(file);
    *size = (size_t)length;
    return data;
}

// ------------------------------------------------------------------------------ SPIR-V

enum {
    OP_TYPE_INT = 21,
    OP_TYPE_FLOAT = 22,
    OP_TYPE_VECTOR = 23,
    OP_TYPE_IMAGE = 25,
    OP_TYPE_ARRAY = 28,
    OP_TYPE_POINTER = 32,
    OP_CONSTANT = 43,
    OP_SPEC_CONSTANT = 50,
    OP_VARIABLE = 59,
    OP_LOAD = 61,
    OP_ACCESS_CHAIN = 65,
    OP_IN_BOUNDS_ACCESS_CHAIN = 66,
    OP_DECORATE = 71,
    DECORATION_SPEC_ID = 1,
    DECORATION_BINDING = 33,
    STORAGE_UNIFORM_CONSTANT = 0,
    STORAGE_WORKGROUP = 4,
    STORAGE_BUFFER = 12,
    FORMAT_RGBA32F = 1,
    FORMAT_R32F = 3,
    FORMAT_R32UI = 33,
    FORMAT_RG32UI = 35,
};

// What is known of one result id.
typedef struct spirv_id {
    unsigned binding, spec_id; // + 1; 0: none
    unsigned format;           // of an image type
    unsigned pointee;          // of a pointer type
    unsigned kind;             // of a variable with a binding: tv_descriptor_kind + 1
    unsigned bytes;            // of a type; where per_lane, of one element
    bool per_lane;             // an array with an element for each lane
    unsigned value;            // of a constant
    bool used;
} spirv_id;

static unsigned texel_kind(const char *path, unsigned format)
{
    switch (format) {
    case FORMAT_R32F:
        return TV_DESCRIPTOR_TEXEL_R32F;
    case FORMAT_RGBA32F:
        return TV_DESCRIPTOR_TEXEL_RGBA32F;
    case FORMAT_R32UI:
        return TV_DESCRIPTOR_TEXEL_R32UI;
    case FORMAT_RG32UI:
        return TV_DESCRIPTOR_TEXEL_RG32UI;
    default:
        die("%s: an image of format %u; r32f, rgba32f, r32ui and rg32ui are known", path, format);
    }
}

static void note_declaration(const char *path, spirv_id *ids, const uint32_t *w, row *r)
{
    switch (w[0] & 0xFFFF) {
    case OP_DECORATE:
        if (w[2] == DECORATION_BINDING)
            ids[w[1]].binding = w[3] + 1;
        else if (w[2] == DECORATION_SPEC_ID)
            ids[w[1]].spec_id = w[3] + 1;
        break;
    case OP_TYPE_INT:
    case OP_TYPE_FLOAT:
        ids[w[1]].bytes = w[2] / 8;
        break;
    case OP_TYPE_VECTOR:
        ids[w[1]].bytes = w[3] * ids[w[2]].bytes;
        break;
    case OP_CONSTANT:
        ids[w[2]].value = w[3];
        break;
    case OP_TYPE_ARRAY: // a length that is no plain constant is the group's
        ids[w[1]].per_lane = ids[w[3]].value == 0;
        ids[w[1]].bytes = ids[w[2]].bytes * (ids[w[3]].value ? ids[w[3]].value : 1);
        break;
    case OP_TYPE_IMAGE:
        ids[w[1]].format = w[8];
        break;
    case OP_TYPE_POINTER:
        ids[w[1]].pointee = w[3];
        break;
    case OP_SPEC_CONSTANT:
        if (ids[w[2]].spec_id == 1)
            r->group = w[3];
        break;
    case OP_VARIABLE:
        if (w[3] == STORAGE_BUFFER) {
            ids[w[2]].kind = TV_DESCRIPTOR_STORAGE + 1;
        } else if (w[3] == STORAGE_UNIFORM_CONSTANT) {
            ids[w[2]].kind = 1 + texel_kind(path, ids[ids[w[1]].pointee].format);
        } else if (w[3] == STORAGE_WORKGROUP) {
            const spirv_id *type = &ids[ids[w[1]].pointee];
            *(type->per_lane ? &r->shared_lane_bytes : &r->shared_bytes) += type->bytes;
        }
        break;
    default:
        break;
    }
}

// A module that reads through texel buffers is of that flavour, whatever it was built from.
static void add_descriptor(const char *path, row *r, unsigned binding, unsigned kind)
{
    if (kind != TV_DESCRIPTOR_STORAGE)
        r->flavor |= TV_FLAVOR_TEXEL;
    for (size_t i = 0; i < r->descriptor_count; i++) {
        if (r->descriptors[i].binding != binding)
            continue;
        if (r->descriptors[i].kind != kind)
            die("%s: binding %u is used in two ways", path, binding);
        return; // two views of one buffer
    }
    if (r->descriptor_count == MAX_DESCRIPTORS)
        die("%s: more than %d descriptors", path, MAX_DESCRIPTORS);
    r->descriptors[r->descriptor_count++] =
        (tv_descriptor){.binding = (uint8_t)binding, .kind = (uint8_t)kind};
}

// Fills the row's group size and its descriptors: the variables that some instruction touches.
static void reflect(const char *path, const uint32_t *words, size_t count, row *r)
{
    if (count < 5 || words[0] != 0x07230203u)
        die("%s: is not a SPIR-V module", path);
    unsigned bound = words[3];
    spirv_id *ids = calloc(bound, sizeof *ids);
    if (!ids)
        die("out of memory");
    for (size_t at = 5; at < count;) {
        const uint32_t *w = words + at;
        unsigned op = w[0] & 0xFFFF, length = w[0] >> 16;
        if (length == 0 || length > count - at)
            die("%s: is cut off", path);
        note_declaration(path, ids, w, r);
        if (op == OP_LOAD || op == OP_ACCESS_CHAIN || op == OP_IN_BOUNDS_ACCESS_CHAIN)
            ids[w[3]].used = true;
        at += length;
    }
    for (unsigned id = 0; id < bound; id++) {
        if (ids[id].binding && ids[id].kind && ids[id].used)
            add_descriptor(path, r, ids[id].binding - 1, ids[id].kind - 1);
    }
    free(ids);
}

static void write_spirv(FILE *out, const char *path, size_t index, row *r)
{
    size_t size;
    char *data = read_file(path, &size);
    uint32_t *words = malloc(size + 4);
    if (!words)
        die("out of memory");
    memcpy(words, data, size);
    r->words = size / 4;
    reflect(path, words, r->words, r);
    fprintf(out, "static const uint32_t spirv_%zu[] = { // %s\n", index, r->name);
    for (size_t i = 0; i < r->words; i++)
        fprintf(out, "0x%x,%s", (unsigned)words[i], i % 12 == 11 ? "\n" : "");
    fputs("};\n", out);
    if (r->descriptor_count > 0) {
        fprintf(out, "static const tv_descriptor descriptors_%zu[] = {", index);
        for (size_t i = 0; i < r->descriptor_count; i++)
            fprintf(out, "{%u, %u}, ", r->descriptors[i].binding, r->descriptors[i].kind);
        fputs("};\n", out);
    }
    free(words);
    free(data);
}

// ------------------------------------------------------------------------------ OpenCL C

typedef struct text {
    FILE *out;
    size_t bytes;
    char included[MAX_INCLUDES][MAX_PATH];
    size_t included_count;
} text;

static void write_bytes(text *t, const char *data, size_t size)
{
    for (size_t i = 0; i < size; i++)
        fprintf(t->out, "%d,%s", data[i], ++t->bytes % 24 == 0 ? "\n" : "");
}

// Tells the compiler where the next line comes from, so that its messages do.
static void write_place(text *t, const char *path, unsigned line)
{
    char place[MAX_PATH + 32];
    const char *slash = strrchr(path, '/');
    int length = snprintf(place, sizeof place, "#line %u \"%s\"\n", line, slash ? slash + 1 : path);
    write_bytes(t, place, (size_t)length);
}

// Writes the file's text; each file that it includes takes the place of its first #include line.
static void write_text(text *t, const char *path)
{
    for (size_t i = 0; i < t->included_count; i++) {
        if (strcmp(t->included[i], path) == 0)
            return;
    }
    if (t->included_count == MAX_INCLUDES)
        die("%s: more than %d files", path, MAX_INCLUDES);
    snprintf(t->included[t->included_count++], MAX_PATH, "%s", path);
    size_t size;
    char *data = read_file(path, &size);
    unsigned number = 1;
    write_place(t, path, number);
    for (char *line = data; *line; number++) {
        size_t length = strcspn(line, "\n");
        length += line[length] == '\n';
        char name[256], next[MAX_PATH];
        if (sscanf(line, "#include \"%255[^\"]\"", name) == 1) {
            const char *slash = strrchr(path, '/');
            int folder = slash ? (int)(slash - path + 1) : 0;
            if (snprintf(next, sizeof next, "%.*s%s", folder, path, name) >= MAX_PATH)
                die("%s: too long a path", name);
            write_text(t, next);
            write_place(t, path, number + 1);
        } else {
            write_bytes(t, line, length);
        }
        line += length;
    }
    free(data);
}

static void write_opencl(FILE *out, const char *path, size_t index, const row *r)
{
    static text t;
    t = (text){.out = out};
    fprintf(out, "static const char opencl_%zu[] = { // %s\n", index, r->name);
    write_text(&t, path);
    fputs("0};\n", out);
}

// ------------------------------------------------------------------------------ the table

// The subgroup size that a name ends in: matmul_s8 is written for 8 lanes.
static unsigned width_of(const char *name)
{
    const char *suffix = strrchr(name, '_');
    unsigned width = 0;
    char rest;
    return suffix && sscanf(suffix, "_s%u%c", &width, &rest) == 1 ? width : 0;
}

static void read_row(char *line, FILE *out, size_t index, row *r)
{
    char *kind = strtok(line, " "), *name = strtok(NULL, " ");
    if (!kind || !name)
        die("a line of the manifest has fewer than two words");
    snprintf(r->name, sizeof r->name, "%s", name);
    r->width = width_of(name);
    if (strcmp(kind, "spirv") == 0) {
        const char *flavor = strtok(NULL, " "), *path = strtok(NULL, "");
        if (!flavor || !path)
            die("%s: no flavour or file in the manifest", name);
        r->flavor = (unsigned)strtoul(flavor, NULL, 10);
        write_spirv(out, path, index, r);
        if (r->flavor & TV_FLAVOR_COOP) // sizes come from constants: the lowering sees to them
            r->shared_bytes = r->shared_lane_bytes = 0;
    } else if (strcmp(kind, "opencl") == 0) {
        const char *path = strtok(NULL, " "), *defines = strtok(NULL, "");
        if (!path)
            die("%s: no file in the manifest", name);
        snprintf(r->defines, sizeof r->defines, "%s", defines ? defines : "");
        write_opencl(out, path, index, r);
    } else {
        die("%s: a row of unknown kind '%s'", name, kind);
    }
}

static void write_row(FILE *out, size_t i, const row *r)
{
    fprintf(out, "    {\"%s\", %u, %u, %u, %u, %u, ", r->name, r->flavor, r->width, r->group,
            r->shared_bytes, r->shared_lane_bytes);
    if (r->words == 0)
        fprintf(out, "NULL, 0, NULL, 0, opencl_%zu, \"%s\"},\n", i, r->defines);
    else if (r->descriptor_count == 0)
        fprintf(out, "spirv_%zu, %zu, NULL, 0, NULL, NULL},\n", i, r->words);
    else
        fprintf(out, "spirv_%zu, %zu, descriptors_%zu, %zu, NULL, NULL},\n", i, r->words, i,
                r->descriptor_count);
}

// The OpenCL row has no reflection: it takes what is known from the SPIR-V rows before it, of which
// the plainest flavour uses as much shared memory.
static void borrow_facts(row *rows, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        row *r = &rows[i];
        for (size_t j = i; r->words == 0 && j-- > 0 && strcmp(rows[j].name, r->name) == 0;) {
            r->group = rows[j].group;
            r->shared_bytes = rows[j].shared_bytes;
            r->shared_lane_bytes = rows[j].shared_lane_bytes;
        }
    }
}

int main(int argc, char **argv)
{
    static row rows[MAX_ROWS];
    if (argc != 3)
        die("usage: tv_embed MANIFEST OUTPUT");
    size_t size, count = 0;
    char *manifest = read_file(argv[1], &size), *rest = manifest, *line;
    FILE *out = fopen(argv[2], "wb");
    if (!out)
        die("%s: %s", argv[2], strerror(errno));
    fputs("// The kernels. Generated by tools/embed.c; do not edit.\n"
          "#include \"device/kernels.h\"\n\n",
          out);
    while ((line = strsep(&rest, "\n"))) {
        if (*line == 0)
            continue;
        if (count == MAX_ROWS)
            die("more than %d kernels", MAX_ROWS);
        read_row(line, out, count, &rows[count]);
        count++;
    }
    borrow_facts(rows, count);
    fputs("\nconst tv_kernel_code tv_kernel_codes[] = {\n", out);
    for (size_t i = 0; i < count; i++)
        write_row(out, i, &rows[i]);
    fprintf(out, "};\nconst size_t tv_kernel_code_count = %zu;\n", count);
    if (fclose(out) != 0)
        die("%s: %s", argv[2], strerror(errno));
    free(manifest);
    return 0;
}
