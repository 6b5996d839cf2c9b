# vivado -mode batch -source build_vivado.tcl      a Zynq-7000 whose processor feeds the chip through a DMA
# A starting point that was never run: no Vivado was at hand. Look through the block design before building on it.
# It wants what run_hls.tcl exports. Settings, as environment variables: LAS_PART, LAS_CLOCK (ns).
proc setting {name default} {
  if {[info exists ::env($name)]} { return $::env($name) }
  return $default
}

set part [setting LAS_PART xc7z020clg400-1]
set megahertz [expr {1000.0 / [setting LAS_CLOCK 10]}]

create_project -force las_vivado las_vivado -part $part
set_property ip_repo_paths las_hls_project/solution/impl/ip [current_project]
update_ip_catalog
create_bd_design las

create_bd_cell -type ip -vlnv xilinx.com:ip:processing_system7 ps
set_property -dict [list CONFIG.PCW_USE_S_AXI_HP0 1 CONFIG.PCW_FPGA0_PERIPHERAL_FREQMHZ $megahertz] [get_bd_cells ps]
apply_bd_automation -rule xilinx.com:bd_rule:processing_system7 \
  -config {make_external "FIXED_IO, DDR"} [get_bd_cells ps]

create_bd_cell -type ip -vlnv xilinx.com:ip:axi_dma dma
set_property -dict [list CONFIG.c_include_sg 0 CONFIG.c_sg_include_stscntrl_strm 0 \
  CONFIG.c_m_axis_mm2s_tdata_width 8 CONFIG.c_s_axis_s2mm_tdata_width 8] [get_bd_cells dma]
create_bd_cell -type ip -vlnv xilinx.com:hls:las_hls chip

connect_bd_intf_net [get_bd_intf_pins dma/M_AXIS_MM2S] [get_bd_intf_pins chip/in_r]
connect_bd_intf_net [get_bd_intf_pins chip/out_r] [get_bd_intf_pins dma/S_AXIS_S2MM]

foreach slave {dma/S_AXI_LITE chip/s_axi_control} {
  apply_bd_automation -rule xilinx.com:bd_rule:axi4 \
    -config {Master "/ps/M_AXI_GP0" Clk "Auto"} [get_bd_intf_pins $slave]
}
foreach master {/dma/M_AXI_MM2S /dma/M_AXI_S2MM} {
  apply_bd_automation -rule xilinx.com:bd_rule:axi4 \
    -config [list Master $master Slave /ps/S_AXI_HP0 Clk Auto] [get_bd_intf_pins ps/S_AXI_HP0]
}

assign_bd_address
validate_bd_design
save_bd_design
make_wrapper -files [get_files las.bd] -top -import
launch_runs impl_1 -to_step write_bitstream -jobs 4
wait_on_run impl_1
