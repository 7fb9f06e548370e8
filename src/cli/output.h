// Standard output and standard error: results to the one, everything else to the other.
#pragma once

#include <string>
#include <string_view>

#include "base/status.h"
#include "report/run_json.h"

namespace damask::cli {

// Standard output. A failed write (a reader that has gone, a full disk) is remembered for FinishOutput.
void Write(std::string_view text);
// As Write, at once and fit for a terminal: where standard output is one, control characters that could move its cursor or set
// its title are left out.
void WriteLive(std::string_view text);
bool OutputBroken();

// One line with one object, always valid UTF-8.
void WriteJson(const report::Json& object);

// A figure of a table, with four significant digits however small it is: "0.0001234", "12.34", "123456".
std::string FourDigits(double value);

// "damask: error: ..." on standard error, one line.
void PrintError(std::string_view message);
void PrintError(const Status& status);

bool StdinIsTerminal();
bool StdoutIsTerminal();
bool StderrIsTerminal();

// Flushes standard output; `exit_code`, or kExitFailed where not everything could be written, with a message unless the reader
// has gone.
int FinishOutput(int exit_code);

}  // namespace damask::cli
