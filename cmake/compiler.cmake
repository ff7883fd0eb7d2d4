# One place for the language, the warnings and the sanitizers. Every target of ours links amqpvsock_options.
set(CMAKE_C_STANDARD 17)
set(CMAKE_C_STANDARD_REQUIRED ON)
set(CMAKE_C_EXTENSIONS ON) # accept4, SO_PEERCRED, inotify: this is Linux software
set(CMAKE_RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/bin)
set(CMAKE_LIBRARY_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/lib)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
# Asserts state our own invariants and stay on, so no NDEBUG.
set(CMAKE_C_FLAGS_RELWITHDEBINFO "-O2 -g")
set(CMAKE_C_FLAGS_RELEASE "-O2")

add_library(amqpvsock_options INTERFACE)
target_compile_definitions(amqpvsock_options INTERFACE _GNU_SOURCE AMQPVSOCK_VERSION="${PROJECT_VERSION}")
target_include_directories(amqpvsock_options INTERFACE ${PROJECT_SOURCE_DIR})
target_compile_options(amqpvsock_options INTERFACE
  -Wall -Wextra -Wconversion -Wshadow -Werror -Wstrict-prototypes -Wmissing-prototypes -Wvla
  -fno-omit-frame-pointer)

if(AMQPVSOCK_SANITIZE)
  target_compile_options(amqpvsock_options INTERFACE
    -fsanitize=${AMQPVSOCK_SANITIZE} -fno-sanitize-recover=all)
  target_link_options(amqpvsock_options INTERFACE -fsanitize=${AMQPVSOCK_SANITIZE})
endif()
if(AMQPVSOCK_FUZZ)
  # Coverage feedback for the code under test; the fuzz targets add the driver itself.
  target_compile_options(amqpvsock_options INTERFACE -fsanitize=fuzzer-no-link)
  target_link_options(amqpvsock_options INTERFACE -fsanitize=fuzzer-no-link)
endif()
if(AMQPVSOCK_COVERAGE)
  target_compile_options(amqpvsock_options INTERFACE --coverage)
  target_link_options(amqpvsock_options INTERFACE --coverage)
endif()
