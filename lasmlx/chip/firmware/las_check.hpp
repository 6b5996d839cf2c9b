// How a step is checked on a computer: against the vectors of las_vectors.hpp, or by writing its logits to a file.
#pragma once
#include <cstdio>

#include "las_chip.hpp"
#include "las_vectors.hpp"

namespace las {

// How many logits differ from the vectors.
LAS_INLINE long differing_logits() {
  static State state;
  static Lane logits[256];
  long differ = 0;
  las_reset(state);
  for (int i = 0; i < VECTORS; ++i) {
    las_step(state, vector_bytes[i], logits);
    for (int j = 0; j < 256; ++j) differ += logits[j] != vector_logits[i][j];
  }
  std::printf("%ld of %ld logits differ over %d bytes\n", differ, 256L * VECTORS, VECTORS);
  return differ;
}

// One line of 256 integers for every byte of a file.
LAS_INLINE bool write_logits(const char* bytes_path, const char* logits_path) {
  std::FILE* bytes = std::fopen(bytes_path, "rb");
  std::FILE* out = bytes ? std::fopen(logits_path, "w") : nullptr;
  if (!out) {
    std::fprintf(stderr, "cannot open %s\n", bytes ? logits_path : bytes_path);
    return false;
  }
  static State state;
  static Lane logits[256];
  las_reset(state);
  for (int byte; (byte = std::fgetc(bytes)) != EOF;) {
    las_step(state, uint8_t(byte), logits);
    for (int j = 0; j < 256; ++j) std::fprintf(out, "%d%c", int(logits[j]), j < 255 ? ' ' : '\n');
  }
  std::fclose(bytes);
  return std::fclose(out) == 0;
}

}  // namespace las
