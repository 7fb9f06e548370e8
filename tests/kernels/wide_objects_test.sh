#!/bin/sh
# wide_objects_test.sh NM a.o ...: objects compiled for a wider instruction set may define no weak function. Those are what several
# files hold a copy of (inline functions and templates that were not inlined), and the linker keeps one copy for the whole program:
# should it be theirs, a CPU without that instruction set ends with SIGILL in plain code. Nor may they define what runs at the
# program's start, on any CPU: initialisers of globals.
set -eu
nm=$1
shift
[ $# -ge 20 ] || { echo "only $# objects were given: has the list of kernel files come apart?"; exit 1; }
failed=0
for object in "$@"; do
  weak=$("$nm" -C --defined-only "$object" | sed -n -e 's/^[0-9a-f]* W //p' -e '/_GLOBAL__sub_I_/p')
  if [ -n "$weak" ]; then
    echo "$(basename "$object") defines what the linker may take for all files, or what runs at the start:"
    echo "$weak" | sed 's/^/  /'
    failed=1
  fi
done
[ $failed = 0 ] && echo "$# objects define no weak function and no start-up code"
exit $failed
