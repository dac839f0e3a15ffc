// UTF-8: strict decoding (RFC 3629) and encoding.
#include "base/text.h"

size_t tv_utf8_next(const uint8_t *bytes, size_t length, uint32_t *code)
{
    static const uint32_t smallest[] = {0, 0, 0x80, 0x800, 0x10000};
    if (length == 0)
        return 0;
    uint32_t c = bytes[0];
    size_t n = c < 0x80 ? 1 : c >= 0xF0 && c < 0xF8 ? 4 : c >= 0xE0 && c < 0xF0 ? 3 : 2;
    if (n == 1) {
        if (code)
            *code = c;
        return 1;
    }
    if (c < 0xC2 || c >= 0xF8 || n > length)
        return 0;
    c &= 0xFFu >> (n + 1);
    for (size_t i = 1; i < n; i++) {
        if ((bytes[i] & 0xC0) != 0x80)
            return 0;
        c = c << 6 | (bytes[i] & 0x3Fu);
    }
    if (c < smallest[n] || c > 0x10FFFF || (c >= 0xD800 && c < 0xE000))
        return 0;
    if (code)
        *code = c;
    return n;
}

bool tv_utf8_valid(const uint8_t *bytes, size_t length, size_t *bad_offset)
{
    for (size_t i = 0; i < length;) {
        size_t n = tv_utf8_next(bytes + i, length - i, NULL);
        if (n == 0) {
            if (bad_offset)
                *bad_offset = i;
            return false;
        }
        i += n;
    }
    return true;
}

size_t tv_utf8_encode(uint32_t code, char out[4])
{
    if (code < 0x80) {
        out[0] = (char)code;
        return 1;
    }
    size_t n = code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
    for (size_t i = n - 1; i > 0; i--) {
        out[i] = (char)(0x80 | (code & 0x3F));
        code >>= 6;
    }
    out[0] = (char)((0xF00u >> n & 0xFF) | code);
    return n;
}
