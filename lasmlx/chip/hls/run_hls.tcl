# vitis_hls -f run_hls.tcl                         C simulation, synthesis, co-simulation, IP
# Settings, as environment variables: LAS_PART, LAS_CLOCK (ns), LAS_PARALLEL (products a clock), LAS_STEPS.
proc setting {name default} {
  if {[info exists ::env($name)]} { return $::env($name) }
  return $default
}

set part [setting LAS_PART xc7z020clg400-1]
set clock [setting LAS_CLOCK 10]
set flags "-std=c++14 -DLAS_PARALLEL=[setting LAS_PARALLEL 4]"
set steps [setting LAS_STEPS "csim csynth cosim export"]

open_project -reset las_hls_project
set_top las_hls
add_files las_hls.cpp -cflags $flags
add_files -tb las_hls_test.cpp -cflags $flags
open_solution -reset -flow_target vivado solution
set_part $part
create_clock -period $clock -name default

if {"csim" in $steps} { csim_design }
if {"csynth" in $steps} { csynth_design }
if {"cosim" in $steps} { cosim_design }
if {"export" in $steps} { export_design -format ip_catalog -output las_hls_ip.zip }
exit
