// Which of many changes keep a limit, found by trying them together: all at once, else one half and then the other, and halves
// of those.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>

#include "base/status.h"

namespace damask::engine {

// Makes the changes of items [begin, end) and says whether they may stay; where they may not it has taken them back.
using TakeItems = std::function<Result<bool>(size_t begin, size_t end)>;

// Offers items [0, items), the first ones first, in at most `most_tries` calls of `take`. What fails must fail, too, once more
// has been taken: then, with enough calls, no item is left that could still be taken. Errors: those of `take`.
Status TakeByHalves(size_t items, uint64_t most_tries, const TakeItems& take);

}  // namespace damask::engine
