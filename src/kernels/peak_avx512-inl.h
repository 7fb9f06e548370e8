// Loops of one instruction over 24 registers of 512 bits, written in assembler so that no compiler moves, merges or spills
// anything. The first registers are zeroed: products of denormals or infinities could be slower.
#pragma once

#define DAMASK_FOUR(instruction, a, b, c, d)                                                            \
  instruction " %%zmm0, %%zmm1, %%zmm" #a "\n" instruction " %%zmm0, %%zmm1, %%zmm" #b "\n" instruction \
              " %%zmm0, %%zmm1, %%zmm" #c "\n" instruction " %%zmm0, %%zmm1, %%zmm" #d "\n"

#define DAMASK_TWENTY_FOUR(instruction)    \
  DAMASK_FOUR(instruction, 8, 9, 10, 11)   \
  DAMASK_FOUR(instruction, 12, 13, 14, 15) \
  DAMASK_FOUR(instruction, 16, 17, 18, 19) \
  DAMASK_FOUR(instruction, 20, 21, 22, 23) \
  DAMASK_FOUR(instruction, 24, 25, 26, 27) \
  DAMASK_FOUR(instruction, 28, 29, 30, 31)

#define DAMASK_LOOP(instruction)                                                                                          \
  asm volatile("vpxorq %%zmm0, %%zmm0, %%zmm0\n vpxorq %%zmm1, %%zmm1, %%zmm1\n" ::: "xmm0", "xmm1");                     \
  for (size_t i = 0; i < iterations; ++i) {                                                                               \
    asm volatile(DAMASK_TWENTY_FOUR(instruction)::                                                                        \
                     : "xmm8", "xmm9", "xmm10", "xmm11", "xmm12", "xmm13", "xmm14", "xmm15", "xmm16", "xmm17", "xmm18",   \
                       "xmm19", "xmm20", "xmm21", "xmm22", "xmm23", "xmm24", "xmm25", "xmm26", "xmm27", "xmm28", "xmm29", \
                       "xmm30", "xmm31");                                                                                 \
  }
