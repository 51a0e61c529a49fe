# Every library is a Debian package; deploy/setup installs them all.
find_package(PkgConfig REQUIRED)
find_package(Threads REQUIRED)
find_package(OpenMP REQUIRED COMPONENTS C)
# Not by its CMake package: that one asks for OpenCL's headers, which we have no use for.
find_path(DNNL_INCLUDE_FOLDER oneapi/dnnl/dnnl.h REQUIRED)
find_library(DNNL_LIBRARY dnnl REQUIRED)
add_library(DNNL::dnnl UNKNOWN IMPORTED)
set_target_properties(DNNL::dnnl PROPERTIES
    IMPORTED_LOCATION ${DNNL_LIBRARY} INTERFACE_INCLUDE_DIRECTORIES ${DNNL_INCLUDE_FOLDER})
file(STRINGS ${DNNL_INCLUDE_FOLDER}/oneapi/dnnl/dnnl_version.h line REGEX "define DNNL_VERSION_MAJOR")
string(REGEX REPLACE ".* " "" DNNL_VERSION_MAJOR "${line}")
# Nor this one by pkg-config: Debian 13's file asks for protobuf's, which its shared library hides.
find_path(SENTENCEPIECE_INCLUDE_FOLDER sentencepiece_processor.h REQUIRED)
find_library(SENTENCEPIECE_LIBRARY sentencepiece REQUIRED)
find_library(SENTENCEPIECE_TRAIN_LIBRARY sentencepiece_train REQUIRED)
add_library(SentencePiece::sentencepiece INTERFACE IMPORTED)
set_target_properties(SentencePiece::sentencepiece PROPERTIES
    INTERFACE_LINK_LIBRARIES "${SENTENCEPIECE_TRAIN_LIBRARY};${SENTENCEPIECE_LIBRARY}"
    INTERFACE_INCLUDE_DIRECTORIES ${SENTENCEPIECE_INCLUDE_FOLDER})
find_package(MPI REQUIRED COMPONENTS C)
pkg_check_modules(UV REQUIRED IMPORTED_TARGET libuv)
pkg_check_modules(SQLITE REQUIRED IMPORTED_TARGET sqlite3)
pkg_check_modules(ZSTD REQUIRED IMPORTED_TARGET libzstd)
pkg_check_modules(ZLIB REQUIRED IMPORTED_TARGET zlib)
pkg_check_modules(JANSSON REQUIRED IMPORTED_TARGET jansson)
pkg_check_modules(YAML REQUIRED IMPORTED_TARGET yaml-0.1)
pkg_check_modules(CRYPTO REQUIRED IMPORTED_TARGET libcrypto)
pkg_check_modules(EXPAT REQUIRED IMPORTED_TARGET expat)
if(REMORA_TESTS STREQUAL AUTO)
    pkg_check_modules(CMOCKA IMPORTED_TARGET cmocka)
elseif(REMORA_TESTS)
    pkg_check_modules(CMOCKA REQUIRED IMPORTED_TARGET cmocka)
endif()
