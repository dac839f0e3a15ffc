// OpenCL: which device it is: its place on the PCI bus and its UUID.
#include "cl_internal.h"

#include <stdio.h>
#include <string.h>
#include <xxhash.h>

// cl_nv_device_attribute_query, not in the common headers.
enum {
    NV_PCI_BUS_ID = 0x4008,
    NV_PCI_SLOT_ID = 0x4009, // device in the upper bits, function in the lower three
    NV_PCI_DOMAIN_ID = 0x400A,
};

typedef struct pci_place {
    cl_uint domain, bus, device, function;
} pci_place;

static bool ask(const tv_cl_api *cl, cl_device_id device, cl_device_info what, void *value,
                size_t size)
{
    return cl->clGetDeviceInfo(device, what, size, value, NULL) == CL_SUCCESS;
}

static bool place_khr(const tv_cl_api *cl, cl_device_id device, pci_place *place)
{
    cl_device_pci_bus_info_khr bus;
    if (!tv_cl_has_extension(cl, device, "cl_khr_pci_bus_info") ||
        !ask(cl, device, CL_DEVICE_PCI_BUS_INFO_KHR, &bus, sizeof bus))
        return false;
    *place = (pci_place){bus.pci_domain, bus.pci_bus, bus.pci_device, bus.pci_function};
    return true;
}

static bool place_nvidia(const tv_cl_api *cl, cl_device_id device, pci_place *place)
{
    cl_uint slot;
    if (!tv_cl_has_extension(cl, device, "cl_nv_device_attribute_query") ||
        !ask(cl, device, NV_PCI_BUS_ID, &place->bus, sizeof place->bus) ||
        !ask(cl, device, NV_PCI_SLOT_ID, &slot, sizeof slot))
        return false;
    if (!ask(cl, device, NV_PCI_DOMAIN_ID, &place->domain, sizeof place->domain))
        place->domain = 0;
    place->device = slot >> 3;
    place->function = slot & 7;
    return true;
}

static bool place_amd(const tv_cl_api *cl, cl_device_id device, pci_place *place)
{
    cl_device_topology_amd topology;
    if (!tv_cl_has_extension(cl, device, "cl_amd_device_attribute_query") ||
        !ask(cl, device, CL_DEVICE_TOPOLOGY_AMD, &topology, sizeof topology) ||
        topology.raw.type != CL_DEVICE_TOPOLOGY_TYPE_PCIE_AMD)
        return false;
    *place = (pci_place){0, (uint8_t)topology.pcie.bus, (uint8_t)topology.pcie.device,
                         (uint8_t)topology.pcie.function};
    return true;
}

static bool own_uuid(const tv_cl_api *cl, cl_device_id device, uint8_t uuid[16])
{
    static const uint8_t none[16];
    return tv_cl_has_extension(cl, device, "cl_khr_device_uuid") &&
           ask(cl, device, CL_DEVICE_UUID_KHR, uuid, sizeof none) &&
           memcmp(uuid, none, sizeof none) != 0;
}

static void hash_uuid(const char *text, size_t length, uint8_t uuid[16])
{
    XXH128_canonical_t digest;
    XXH128_canonicalFromHash(&digest, XXH3_128bits(text, length));
    memcpy(uuid, digest.digest, sizeof digest.digest);
}

static bool is_taken(const uint8_t uuid[16], const tv_cl_physical *others, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (memcmp(others[i].info.uuid, uuid, sizeof others[i].info.uuid) == 0)
            return true;
    return false;
}

void tv_cl_identify(const tv_cl_api *cl, tv_cl_physical *physical, const tv_cl_physical *others,
                    size_t count)
{
    tv_device_info *info = &physical->info;
    cl_device_id device = physical->handle;
    pci_place place;
    if (place_khr(cl, device, &place) || place_nvidia(cl, device, &place) ||
        place_amd(cl, device, &place))
        snprintf(info->pci, sizeof info->pci, "%04x:%02x:%02x.%x", (unsigned)place.domain & 0xFFFF,
                 (unsigned)place.bus & 0xFF, (unsigned)place.device & 0xFF,
                 (unsigned)place.function & 0xF);
    tv_text name = {0};
    if (info->pci[0])
        tv_text_printf(&name, "pci %s", info->pci);
    else
        tv_text_printf(&name, "%s\n%s\n%s\n%u", physical->platform_version, info->name,
                       info->driver, (unsigned)info->index);
    if (!own_uuid(cl, device, info->uuid))
        hash_uuid(name.data, name.length, info->uuid);
    // Two platforms may drive one device, and a driver may give one UUID twice.
    while (is_taken(info->uuid, others, count)) {
        tv_text_printf(&name, "\n%s\n%u", physical->platform_version, (unsigned)info->index);
        hash_uuid(name.data, name.length, info->uuid);
    }
    tv_text_finish(&name);
}
