# damask_version.h for src/base/version.cc: the version, and the commit where the tree is a git checkout (a tarball has none).
# Read when CMake runs; `make build` always runs it, so a program made that way names the commit it was built from.
set(DAMASK_GIT_COMMIT "")
if(EXISTS ${PROJECT_SOURCE_DIR}/.git)
  find_package(Git QUIET)
  if(Git_FOUND)
    # A checkout that belongs to another user (sudo make, a container) is still ours to ask.
    execute_process(
      COMMAND ${GIT_EXECUTABLE} -c safe.directory=* -C ${PROJECT_SOURCE_DIR} rev-parse --short=9 HEAD
      OUTPUT_VARIABLE DAMASK_GIT_COMMIT
      OUTPUT_STRIP_TRAILING_WHITESPACE
      ERROR_QUIET)
  endif()
endif()
set(DAMASK_VERSION_STRING ${PROJECT_VERSION})
if(DAMASK_GIT_COMMIT)
  string(APPEND DAMASK_VERSION_STRING "+${DAMASK_GIT_COMMIT}")
endif()
configure_file(${PROJECT_SOURCE_DIR}/src/base/version.cc.in ${PROJECT_BINARY_DIR}/generated/version.cc @ONLY)
