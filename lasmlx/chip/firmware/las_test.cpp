// las_test: compares with the compiled-in vectors. las_test BYTES LOGITS: writes the logits of a file's bytes.
#include "las_check.hpp"

int main(int count, char** arguments) {
  if (count == 3) return !las::write_logits(arguments[1], arguments[2]);
  return las::differing_logits() != 0;
}
