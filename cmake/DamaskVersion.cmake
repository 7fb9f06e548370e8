# version.cc for src/base: the version, and the commit where the tree is a git checkout (a tarball has none), "-dirty" after it
# where followed files differ from it. Read when CMake runs: in `make build` always, else in the first build after the commit has
# changed, so that only an edit since then goes unmarked. version.cc is written, and compiled, only where it says something new.

# What git prints for these arguments, "" where it fails. A checkout that belongs to another user (sudo make, a container) is
# still ours to ask.
function(damask_git out)
  execute_process(
    COMMAND ${GIT_EXECUTABLE} -c safe.directory=* -C ${PROJECT_SOURCE_DIR} ${ARGN}
    OUTPUT_VARIABLE answer
    OUTPUT_STRIP_TRAILING_WHITESPACE
    ERROR_QUIET)
  set(${out} "${answer}" PARENT_SCOPE)
endfunction()

# HEAD changes with the branch, its log with every commit. Worktrees have their own of both, not below .git.
function(damask_configure_again_after_commits)
  damask_git(git_dir rev-parse --absolute-git-dir)
  foreach(file ${git_dir}/HEAD ${git_dir}/logs/HEAD)
    if(EXISTS ${file})
      set_property(DIRECTORY ${PROJECT_SOURCE_DIR} APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${file})
    endif()
  endforeach()
endfunction()

set(DAMASK_GIT_COMMIT "")
# A tarball below somebody else's checkout is not that checkout.
if(EXISTS ${PROJECT_SOURCE_DIR}/.git)
  find_package(Git QUIET)
  if(Git_FOUND)
    damask_git(DAMASK_GIT_COMMIT rev-parse --short=9 HEAD)
    damask_git(changes status --porcelain --untracked-files=no)
    damask_configure_again_after_commits()
  endif()
endif()
set(DAMASK_VERSION_STRING ${PROJECT_VERSION})
if(DAMASK_GIT_COMMIT)
  string(APPEND DAMASK_VERSION_STRING "+${DAMASK_GIT_COMMIT}")
  if(changes)
    string(APPEND DAMASK_VERSION_STRING "-dirty")
  endif()
endif()
configure_file(${PROJECT_SOURCE_DIR}/src/base/version.cc.in ${PROJECT_BINARY_DIR}/generated/version.cc @ONLY)
