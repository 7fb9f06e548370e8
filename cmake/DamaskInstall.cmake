# cmake --install: the program, one static library made of all folders of src/ but the command line, the public headers, and the
# files by which CMake and pkg-config find it.
include(GNUInstallDirs)
include(CMakePackageConfigHelpers)

# libdamask.a is merged from the folders' objects: a user links one file and sees none of the layers.
get_property(folder_libraries GLOBAL PROPERTY DAMASK_LIBRARIES)
list(TRANSFORM folder_libraries REPLACE "(.+)" "$<TARGET_OBJECTS:\\1>" OUTPUT_VARIABLE folder_objects)
add_library(damask_merged STATIC ${folder_objects})
set_target_properties(damask_merged PROPERTIES OUTPUT_NAME damask EXPORT_NAME damask LINKER_LANGUAGE CXX)
add_library(damask::damask ALIAS damask_merged)
target_compile_features(damask_merged INTERFACE cxx_std_20)
target_include_directories(damask_merged INTERFACE
  $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}/include> $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>)
# By plain names: the user's machine has its own paths, and the public headers need none of these.
set(DAMASK_LINK_NAMES fmt spdlog sentencepiece pcre2-8 hwy png xxhash)
target_link_libraries(damask_merged INTERFACE ${DAMASK_LINK_NAMES} Threads::Threads)

# A project that takes damask in installs its own things.
if(NOT DAMASK_INSTALL)
  return()
endif()

install(TARGETS damask_merged EXPORT damaskTargets ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR})
install(DIRECTORY ${PROJECT_SOURCE_DIR}/include/damask DESTINATION ${CMAKE_INSTALL_INCLUDEDIR} FILES_MATCHING PATTERN "*.h")
if(TARGET damask_cli)
  install(TARGETS damask_cli RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
endif()

set(package_dir ${CMAKE_INSTALL_LIBDIR}/cmake/damask)
install(EXPORT damaskTargets NAMESPACE damask:: DESTINATION ${package_dir})
configure_package_config_file(${PROJECT_SOURCE_DIR}/cmake/damaskConfig.cmake.in ${PROJECT_BINARY_DIR}/generated/damaskConfig.cmake
  INSTALL_DESTINATION ${package_dir})
# Before 1.0 every minor version may change the API.
write_basic_package_version_file(${PROJECT_BINARY_DIR}/generated/damaskConfigVersion.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/generated/damaskConfig.cmake ${PROJECT_BINARY_DIR}/generated/damaskConfigVersion.cmake
  DESTINATION ${package_dir})

# CMAKE_INSTALL_LIBDIR may have two levels (lib/x86_64-linux-gnu).
file(RELATIVE_PATH DAMASK_PC_PREFIX ${CMAKE_INSTALL_FULL_LIBDIR}/pkgconfig ${CMAKE_INSTALL_PREFIX})
file(RELATIVE_PATH DAMASK_PC_INCLUDE ${CMAKE_INSTALL_PREFIX} ${CMAKE_INSTALL_FULL_INCLUDEDIR})
list(TRANSFORM DAMASK_LINK_NAMES PREPEND "-l" OUTPUT_VARIABLE DAMASK_PC_LIBS)
list(JOIN DAMASK_PC_LIBS " " DAMASK_PC_LIBS)
configure_file(${PROJECT_SOURCE_DIR}/cmake/damask.pc.in ${PROJECT_BINARY_DIR}/generated/damask.pc @ONLY)
install(FILES ${PROJECT_BINARY_DIR}/generated/damask.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
