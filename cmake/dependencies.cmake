# All from Debian; README.md says why each is here. uthash is header-only and has no pkg-config file.
find_package(PkgConfig REQUIRED)
pkg_check_modules(LIBUV REQUIRED IMPORTED_TARGET libuv)
pkg_check_modules(LIBSYSTEMD REQUIRED IMPORTED_TARGET libsystemd)
pkg_check_modules(INIH REQUIRED IMPORTED_TARGET inih)
find_path(UTHASH_INCLUDE_DIR uthash.h REQUIRED)
if(BUILD_TESTING)
  pkg_check_modules(CMOCKA REQUIRED IMPORTED_TARGET cmocka)
endif()
