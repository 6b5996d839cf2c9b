// How a matrix lies in memory so that a product reads it once, forwards: rows in blocks of W lanes, blocks in panels of 4, 2
// or 1 that one pass over the input computes together. A panel of P blocks is [in][P][W] (float32) or [in / 4][P][W][4] (int8).
#pragma once
#include <cstddef>

namespace las {

constexpr int PAD = 16;   // the widest register, in lanes: vectors are padded with zeros, so that loops have no remainder
constexpr int PANEL = 4;  // blocks in the widest panel

constexpr int round_up(int x, int multiple) { return (x + multiple - 1) / multiple * multiple; }

// Blocks in the panel that starts at `block`: as many as fit of 4, 2, 1.
constexpr int panel_at(int block, int blocks) {
  const int left = blocks - block;
  return left >= PANEL ? PANEL : left >= 2 ? 2 : 1;
}

// Where weight (row, i) of an (out, in) matrix lies; `group` inputs of a row lie together (4 of int8).
inline size_t place_in_panels(int out, int in, int lanes, int row, int i, int group) {
  const int block = row / lanes, blocks = out / lanes;
  int first = 0;
  while (first + panel_at(first, blocks) <= block) first += panel_at(first, blocks);
  const size_t panel = panel_at(first, blocks);
  const size_t position = (size_t(i / group) * panel + (block - first)) * lanes + row % lanes;
  return size_t(first) * in * lanes + position * group + i % group;
}

}  // namespace las
