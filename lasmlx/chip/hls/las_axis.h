// A beat of an 8-bit AXI stream: that of Vitis where there is one, else as much of it as a C simulation needs.
#pragma once
#if __has_include("ap_axi_sdata.h")
#include "ap_axi_sdata.h"

using LasBeat = ap_axiu<8, 0, 0, 0>;
#else
#include "ap_int.h"

struct LasBeat {
  ap_uint<8> data;
  ap_uint<1> keep, strb, last;
};
#endif
