#include <exception>
#include <new>
#include <string>
#include <vector>

#include "cli/command.h"
#include "cli/exit_code.h"
#include "cli/interrupt.h"
#include "cli/output.h"

int main(int argc, char** argv) {
  using namespace damask::cli;  // NOLINT(google-build-using-namespace): main is this namespace's front door
  InstallSignalHandlers();
  int exit_code = kExitFailed;
  try {
    exit_code = RunProgram(std::vector<std::string>(argv + (argc > 0 ? 1 : 0), argv + argc));
  } catch (const std::bad_alloc&) {
    PrintError("out of memory");
  } catch (const std::exception& error) {
    PrintError(std::string("this is a bug in damask: ") + error.what());
  }
  return FinishOutput(exit_code);
}
