// The chip behind AXI streams: bytes in, the likeliest next bytes out.
#pragma once
#define LAS_HLS
#include "ap_int.h"
#include "hls_stream.h"
#include "las_axis.h"
#include "las_chip.hpp"

// Reads bytes until TLAST, and answers each with the likeliest next byte; TLAST comes out where it went in.
// The state is kept from call to call: ``reset`` starts a new text, as the first call does anyway.
void las_hls(hls::stream<LasBeat>& in, hls::stream<LasBeat>& out, bool reset);
