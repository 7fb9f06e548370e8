// Status and Result<T> live in the public headers; inside the library they are included by this name.
#pragma once

#include "damask/status.h"  // IWYU pragma: export
