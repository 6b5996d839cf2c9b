// las_hls_test: compares the step and the streams with the vectors. las_hls_test BYTES LOGITS: writes logits.
#include "las_hls.h"

#include "las_check.hpp"

namespace {

// How many likeliest bytes or TLASTs differ, of the vectors first .. end - 1 sent as one packet.
int differing_beats(int first, int end, bool reset) {
  hls::stream<LasBeat> in("in"), out("out");
  LasBeat beat;
  for (int i = first; i < end; ++i) {
    beat.data = las::vector_bytes[i];
    beat.keep = beat.strb = 1;
    beat.last = i == end - 1;
    in.write(beat);
  }
  las_hls(in, out, reset);
  int differ = 0;
  for (int i = first; i < end; ++i) {
    const int32_t* logits = las::vector_logits[i];
    int likeliest = 0;
    for (int j = 1; j < 256; ++j)
      if (logits[j] > logits[likeliest]) likeliest = j;
    if (out.empty()) return differ + end - i;
    beat = out.read();
    differ += beat.data != likeliest || bool(beat.last) != (i == end - 1);
  }
  return differ + !out.empty();
}

// As one packet, then from a reset as two.
int differing_packets() {
  const int n = las::VECTORS, half = (n + 1) / 2;
  int differ = differing_beats(0, n, false) + differing_beats(0, half, true);
  if (half < n) differ += differing_beats(half, n, false);
  std::printf("%d of %d beats differ\n", differ, 2 * n);
  return differ;
}

}  // namespace

int main(int count, char** arguments) {
  if (count == 3) return !las::write_logits(arguments[1], arguments[2]);
  const bool packets = differing_packets() == 0, logits = las::differing_logits() == 0;
  return !(packets && logits);
}
