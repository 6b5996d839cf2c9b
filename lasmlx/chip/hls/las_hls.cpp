#include "las_hls.h"

void las_hls(hls::stream<LasBeat>& in, hls::stream<LasBeat>& out, bool reset) {
  using namespace las;
  LAS_PRAGMA(HLS INTERFACE mode=axis port=in)
  LAS_PRAGMA(HLS INTERFACE mode=axis port=out)
  LAS_PRAGMA(HLS INTERFACE mode=s_axilite port=reset)
  LAS_PRAGMA(HLS INTERFACE mode=s_axilite port=return)
  LAS_PRAGMA(HLS ARRAY_RESHAPE variable=in_proj_weight type=cyclic factor=LAS_PARALLEL dim=3)
  LAS_PRAGMA(HLS ARRAY_RESHAPE variable=x_proj_weight type=cyclic factor=LAS_PARALLEL dim=3)
  LAS_PRAGMA(HLS ARRAY_RESHAPE variable=dt_proj_weight type=complete dim=3)
  LAS_PRAGMA(HLS ARRAY_RESHAPE variable=out_proj_weight type=cyclic factor=LAS_PARALLEL dim=3)
  LAS_PRAGMA(HLS ARRAY_RESHAPE variable=head_weight type=cyclic factor=LAS_PARALLEL dim=2)
  LAS_PRAGMA(HLS ARRAY_RESHAPE variable=conv_weight type=complete dim=3)
  static State state;
  static bool fresh = true;
  LAS_PRAGMA(HLS ARRAY_RESHAPE variable=state.tail type=complete dim=3)
  LAS_PRAGMA(HLS BIND_STORAGE variable=state.tail type=ram_2p)
  LAS_PRAGMA(HLS BIND_STORAGE variable=state.h type=ram_2p)
  LAS_PRAGMA(HLS BIND_STORAGE variable=state.random type=ram_2p)
  if (reset || fresh) las_reset(state);
  fresh = false;
  LasBeat beat;
  do {
    Lane logits[256];
    beat = in.read();
    las_step(state, uint8_t(beat.data), logits);
    beat.data = las_argmax(logits);
    out.write(beat);
  } while (!beat.last);
}
