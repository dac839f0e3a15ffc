// The build: what tells two programs of one version apart.
#ifndef TV_BASE_BUILD_H
#define TV_BASE_BUILD_H

// 16 hexadecimal digits: a hash of all sources and of the compiler (tools/build_id.cmake).
extern const char tv_build_id[17];

#endif
