// The helper by which the tests run programs: what it reports must be true, or the tests of the command line mean nothing.
#include "tests/run_program.h"

#include <csignal>

#include <gtest/gtest.h>

#include "tests/temp_dir.h"

namespace damask::test {
namespace {

TEST(RunProgram, KeepsBothOutputsAndTheExitCode) {
  const ProgramResult result = RunProgram({"sh", "-c", "echo out; echo err >&2; exit 3"});
  EXPECT_EQ(result.out, "out\n");
  EXPECT_EQ(result.err, "err\n");
  EXPECT_EQ(result.exit_code, 3);
  EXPECT_FALSE(result.timed_out);
}

TEST(RunProgram, GivesItsInputWholeHoweverLong) {
  ProgramRun run;
  run.args = {"cat"};
  run.stdin_text = std::string(3'000'000, 'x');
  EXPECT_EQ(RunProgram(run).out, run.stdin_text);
}

TEST(RunProgram, AnInputThatNobodyReadsHurtsNobody) {
  ProgramRun run;
  run.args = {"true"};
  run.stdin_text = std::string(3'000'000, 'x');
  EXPECT_EQ(RunProgram(run).exit_code, 0);
}

TEST(RunProgram, SetsTheEnvironmentAndTheFolder) {
  const TempDir dir;
  ProgramRun run;
  run.args = {"sh", "-c", "echo $DAMASK_X; pwd -P"};
  run.env = {{"DAMASK_X", "1"}};
  run.working_directory = dir.path();
  EXPECT_EQ(RunProgram(run).out, "1\n" + std::filesystem::canonical(dir.path()).string() + "\n");
}

TEST(RunProgram, KillsAtTheLimitWithItsChildren) {
  ProgramRun run;
  run.args = {"sh", "-c", "sleep 600 & sleep 600"};
  run.limit = std::chrono::milliseconds(200);
  const ProgramResult result = RunProgram(run);
  EXPECT_TRUE(result.timed_out);
  EXPECT_EQ(result.exit_code, 128 + SIGKILL);
}

TEST(RunProgram, SendsSignalsWhenTheProgramHasComeSoFar) {
  const TempDir dir;
  ProgramRun run;
  // The trap is set before the first line is written; the second signal waits for what the first one has done.
  run.args = {"sh", "-c", "trap 'echo caught > caught' USR1; echo ready; while :; do sleep 0.01; done"};
  run.working_directory = dir.path();
  run.signals = {{SIGUSR1, OutHas("ready\n")}, {SIGTERM, FileHas(dir.File("caught"), "caught\n")}};
  const ProgramResult result = RunProgram(run);
  EXPECT_EQ(result.exit_code, 128 + SIGTERM);
  EXPECT_EQ(ReadBytes(dir.File("caught")), "caught\n");
}

TEST(RunProgram, ASignalWhoseTimeNeverComesIsNotSent) {
  ProgramRun run;
  run.args = {"sh", "-c", "echo done >&2"};
  run.signals = {{SIGTERM, OutHas("never")}, {SIGTERM, ErrHas("done")}};
  EXPECT_EQ(RunProgram(run).exit_code, 0);
}

TEST(RunProgram, GivesATerminalToLookAtWhereItIsAskedFor) {
  ProgramRun run;
  run.args = {"sh", "-c", "test -t 2 && echo terminal; echo seen >&2"};
  EXPECT_EQ(RunProgram(run).out, "");
  run.err_is_terminal = true;
  const ProgramResult result = RunProgram(run);
  EXPECT_EQ(result.out, "terminal\n");
  EXPECT_EQ(result.err, "seen\r\n");
  EXPECT_EQ(result.exit_code, 0);
}

TEST(RunProgram, AProgramThatDoesNotExistIs127) { EXPECT_EQ(RunProgram({"/no/such/program"}).exit_code, 127); }

}  // namespace
}  // namespace damask::test
