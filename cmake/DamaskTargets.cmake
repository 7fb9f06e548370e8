# How a folder of src/ becomes a library, and how tests are declared. Flags stay generic x86-64: only kernel files that name an
# instruction set get it, file by file (damask_isa), so nothing wider leaks into start-up code.

set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
if(PROJECT_IS_TOP_LEVEL AND NOT CMAKE_BUILD_TYPE)
  set(CMAKE_BUILD_TYPE Release CACHE STRING "" FORCE)
endif()

# Compiled objects are kept where ccache is installed, and serve every checkout (paths are hashed relative to the source folder); a
# launcher named on the command line or in the environment wins.
find_program(DAMASK_CCACHE ccache)
if(DAMASK_CCACHE AND NOT CMAKE_CXX_COMPILER_LAUNCHER)
  set(CMAKE_CXX_COMPILER_LAUNCHER ${CMAKE_COMMAND} -E env CCACHE_BASEDIR=${PROJECT_SOURCE_DIR} CCACHE_NOHASHDIR=1 ${DAMASK_CCACHE})
endif()

add_library(damask_flags INTERFACE)
target_include_directories(damask_flags INTERFACE ${PROJECT_SOURCE_DIR}/src ${PROJECT_SOURCE_DIR}/include)
target_compile_options(damask_flags INTERFACE -Wall -Wextra -Wshadow -Wno-psabi -Wno-missing-field-initializers)
# GCC 12 warns of "a" + std::string(...), wrongly (its bug 105651).
target_compile_options(damask_flags INTERFACE $<$<CXX_COMPILER_ID:GNU>:-Wno-restrict>)
# Under sanitizers it also warns of variables of its own <regex> and <functional> (its manual: "may yield false positives").
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU" AND CMAKE_CXX_FLAGS MATCHES "-fsanitize")
  target_compile_options(damask_flags INTERFACE -Wno-maybe-uninitialized)
endif()
if(DAMASK_WERROR)
  target_compile_options(damask_flags INTERFACE -Werror)
endif()

# damask_library(NAME [APART] SOURCES a.cc ... DEPENDS folder ... LINK target ...): src/NAME as the static library damask_NAME.
# APART: no part of what is installed, and built only where something links it.
function(damask_library name)
  cmake_parse_arguments(ARG "APART" "" "SOURCES;DEPENDS;LINK" ${ARGN})
  add_library(damask_${name} STATIC ${ARG_SOURCES})
  target_link_libraries(damask_${name} PRIVATE damask_flags)
  foreach(dependency ${ARG_DEPENDS})
    target_link_libraries(damask_${name} PUBLIC damask_${dependency})
  endforeach()
  target_link_libraries(damask_${name} PUBLIC ${ARG_LINK})
  if(ARG_APART)
    set_target_properties(damask_${name} PROPERTIES EXCLUDE_FROM_ALL ON)
  else()
    set_property(GLOBAL APPEND PROPERTY DAMASK_LIBRARIES damask_${name})
  endif()
endfunction()

# damask_embed(x.S MACRO path [MACRO path]...): x.S takes the files `path` (below the repository's root) in with .incbin, by the
# names MACRO, and is assembled again when one of them changes.
function(damask_embed source)
  set(files)
  set(definitions)
  while(ARGN)
    list(POP_FRONT ARGN macro path)
    list(APPEND files ${PROJECT_SOURCE_DIR}/${path})
    list(APPEND definitions "${macro}=\"${PROJECT_SOURCE_DIR}/${path}\"")
  endwhile()
  set_source_files_properties(${source} PROPERTIES OBJECT_DEPENDS "${files}" COMPILE_DEFINITIONS "${definitions}")
endfunction()

# damask_isa("-mavx512f ..." a.cc ...): flags for single kernel files of the calling folder. Optimised in every build, and
# without the checks of each pointer, which the address sanitizer's own make unneeded: attention with AVX2 took 50 times as long.
function(damask_isa flags)
  if(CMAKE_SYSTEM_PROCESSOR MATCHES "x86_64|AMD64")
    if(CMAKE_CXX_FLAGS MATCHES "-fsanitize")
      string(APPEND flags " -fno-sanitize=null,alignment,pointer-overflow,object-size")
    endif()
    set_source_files_properties(${ARGN} PROPERTIES COMPILE_FLAGS "${flags} -O3")
    list(JOIN ARGN "|" names)
    string(REPLACE "." "[.]" names "${names}")
    set_property(GLOBAL APPEND PROPERTY DAMASK_ISA_FILES "${names}")  # a regular expression of alternatives, for a test
  endif()
endfunction()

# damask_test(folder_name SOURCES x_test.cc ... DEPENDS folder ...): one GoogleTest program, registered with CTest as a whole.
function(damask_test name)
  cmake_parse_arguments(ARG "" "TIMEOUT" "SOURCES;DEPENDS;LINK" ${ARGN})
  add_executable(${name} ${ARG_SOURCES})
  target_include_directories(${name} PRIVATE ${PROJECT_SOURCE_DIR})
  target_compile_definitions(${name} PRIVATE DAMASK_SOURCE_DIR="${PROJECT_SOURCE_DIR}")
  # A quarter off the compile time of every test; what they test is built with the preset's own flags.
  target_compile_options(${name} PRIVATE -O1)
  target_link_libraries(${name} PRIVATE damask_flags damask_test_support GTest::gtest GTest::gtest_main ${ARG_LINK})
  foreach(dependency ${ARG_DEPENDS})
    target_link_libraries(${name} PRIVATE damask_${dependency})
  endforeach()
  if(ARG_DEPENDS MATCHES "kernels|policies|model|engine")
    target_link_libraries(${name} PRIVATE damask_test_tiles)
  endif()
  add_test(NAME ${name} COMMAND ${name})
  if(NOT ARG_TIMEOUT)
    set(ARG_TIMEOUT 1500)  # with sanitizers on two busy cores; a test that hangs is found all the same
  endif()
  set_tests_properties(${name} PROPERTIES TIMEOUT ${ARG_TIMEOUT})
endfunction()
