// The words of the Metal language that OpenCL spells otherwise, its scalar and vector types, its constants.
#pragma once
#pragma OPENCL EXTENSION cl_khr_fp16 : enable
#define __METAL__ 1
#define __METAL_VERSION__ 320
#define METAL_FUNC inline __attribute__((always_inline))
#define device __global
#define constant __constant
#define threadgroup __local
#define thread __private
#define threadgroup_imageblock
// OpenCL keywords that are ordinary identifiers in MSL
#define local __msl_id_local
#define global __msl_id_global
#define generic __msl_id_generic
#define pipe __msl_id_pipe
#define uniform __msl_id_uniform
// MSL keywords / operators that OpenCL C++ would accept but Metal refuses
#define double msl_error_no_double_in_metal
#define goto msl_error_no_goto_in_metal

typedef signed char int8_t;
typedef unsigned char uint8_t;
typedef short int16_t;
typedef unsigned short uint16_t;
typedef int int32_t;
typedef unsigned int uint32_t;
typedef long int64_t;
typedef unsigned long uint64_t;
typedef unsigned char uchar;
typedef unsigned short ushort;
typedef unsigned int uint;
typedef unsigned long ulong;
typedef unsigned long size_t;
typedef long ptrdiff_t;
typedef __bf16 bfloat;
#ifndef MSL_FC
#define MSL_FC(n) 0
#endif
#define M_LN10_F 2.30258509299404568402f
#define INFINITY (__builtin_inff())
#define NAN (__builtin_nanf(""))
#define MAXFLOAT 3.402823466e+38f
#define HUGE_VALF INFINITY
#define M_PI_F 3.14159265358979323846f
#define M_1_PI_F 0.31830988618379067154f
#define M_PI_2_F 1.57079632679489661923f
#define M_E_F 2.71828182845904523536f
#define M_LN2_F 0.69314718055994530942f
#define M_LOG2E_F 1.44269504088896340736f
#define M_SQRT2_F 1.41421356237309504880f
#define M_2_SQRTPI_F 1.12837916709551257390f

#define MSL_VECTORS(T)                                \
  typedef T T##2 __attribute__((ext_vector_type(2))); \
  typedef T T##3 __attribute__((ext_vector_type(3))); \
  typedef T T##4 __attribute__((ext_vector_type(4)));
MSL_VECTORS(float)
MSL_VECTORS(half) MSL_VECTORS(int) MSL_VECTORS(uint) MSL_VECTORS(short) MSL_VECTORS(ushort) MSL_VECTORS(char)
    MSL_VECTORS(uchar) MSL_VECTORS(long) MSL_VECTORS(ulong) typedef bfloat bfloat2 __attribute__((ext_vector_type(2)));
typedef bfloat bfloat4 __attribute__((ext_vector_type(4)));
