# Writes OUTPUT, a C file with the id of this build: a hash of the sources in ROOT and of COMPILER.
# The same sources give the same id wherever they lie, and whenever they are built.
file(GLOB_RECURSE FILES RELATIVE ${ROOT} ${ROOT}/src/* ${ROOT}/backends/* ${ROOT}/shaders/*
     ${ROOT}/tools/*.c ${ROOT}/tools/*.h ${ROOT}/tools/*.def)
list(SORT FILES)
set(ALL "${COMPILER}\n")
foreach(FILE ${FILES})
  file(SHA256 ${ROOT}/${FILE} SUM)
  string(APPEND ALL "${FILE} ${SUM}\n")
endforeach()
string(SHA256 ID "${ALL}")
string(SUBSTRING ${ID} 0 16 ID)
file(WRITE ${OUTPUT} "// The id of this build, by tools/build_id.cmake.\n"
     "#include \"base/build.h\"\n\nconst char tv_build_id[17] = \"${ID}\";\n")
