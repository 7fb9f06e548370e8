// The best of many blocks by looking at few of them (HiP): neighbours are taken to score alike.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

namespace damask::policies {

// Memory is kept between uses.
class TreeSearch {
 public:
  // scores[i] of blocks[i].
  using Score = std::function<void(std::span<const uint32_t> blocks, float* scores)>;

  // About the `count` best of blocks [begin, end), ascending. `count` nodes cut the range into equal parts; round by round
  // every node is split in the middle, the block at the middle of each half speaks for it, and the `count` best halves stay,
  // until they are single blocks. All blocks where there are no more than `count`, the very best where there are at most twice
  // as many: then every block is looked at. Of equal scores the lower index stays. Looks at 2 count log2((end - begin) / count)
  // blocks.
  std::span<const uint32_t> Find(uint32_t begin, uint32_t end, uint32_t count, const Score& score);

 private:
  struct Node {
    uint32_t begin = 0;
    uint32_t end = 0;
  };

  // Gives whether some node has more than one block.
  bool Split();

  std::vector<Node> nodes_;
  std::vector<Node> halves_;
  std::vector<uint32_t> middles_;
  std::vector<float> scores_;
  std::vector<uint32_t> best_;
  std::vector<uint32_t> found_;
};

}  // namespace damask::policies
