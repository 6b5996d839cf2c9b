// A sequence through the network of liquid_network.h.
#include "ops/kernels/liquid_network.h"

namespace LAS_ISA {

void liquid_forward(const LiquidScan& a, int row0, int row1) {
  Network network(a);
  Recurrence<Network> rows(a, network, Network::inner(a));
  over_tiles(row0, row1, [&]<int R>(std::integral_constant<int, R>, int row) { rows.template forward<R>(row); });
}

void liquid_backward(const LiquidScanGrad& a, int part, int row0, int row1) {
  NetworkGrad network(a);
  Recurrence<NetworkGrad> rows(a.f, network, Network::inner(a.f));
  over_tiles(row0, row1, [&]<int R>(std::integral_constant<int, R>, int row) {
    rows.template backward<R>(row, a);
  });
  network.write(part);
}

}  // namespace LAS_ISA
