// metal::vec, type traits, numeric_limits: what metal_type_traits and metal_limits declare.
#pragma once
namespace metal {
typedef ::size_t size_t;
template <typename T, int N>
using vec = T __attribute__((ext_vector_type(N)));

template <typename T, T v>
struct integral_constant {
  static constexpr constant T value = v;
  typedef T value_type;
  constexpr operator T() const { return v; }
};
typedef integral_constant<bool, true> true_type;
typedef integral_constant<bool, false> false_type;
template <typename A, typename B>
struct is_same : false_type {};
template <typename A>
struct is_same<A, A> : true_type {};
template <typename A, typename B>
static constexpr constant bool is_same_v = is_same<A, B>::value;
template <bool C, typename T = void>
struct enable_if {};
template <typename T>
struct enable_if<true, T> {
  typedef T type;
};
template <bool C, typename T = void>
using enable_if_t = typename enable_if<C, T>::type;
template <bool C, typename A, typename B>
struct conditional {
  typedef A type;
};
template <typename A, typename B>
struct conditional<false, A, B> {
  typedef B type;
};
template <bool C, typename A, typename B>
using conditional_t = typename conditional<C, A, B>::type;
template <typename T>
struct remove_cv {
  typedef T type;
};
template <typename T>
struct remove_cv<const T> {
  typedef T type;
};
template <typename T>
struct remove_cv<const constant T> {
  typedef T type;
};
template <typename T>
struct remove_cv<const device T> {
  typedef T type;
};
template <typename T>
struct remove_cv<device T> {
  typedef T type;
};
template <typename T>
struct remove_cv<threadgroup T> {
  typedef T type;
};
template <typename T>
struct remove_cv<const threadgroup T> {
  typedef T type;
};
template <typename T>
using remove_cv_t = typename remove_cv<T>::type;
template <typename T>
struct remove_reference {
  typedef T type;
};
template <typename T>
struct remove_reference<T&> {
  typedef T type;
};
template <typename T>
using remove_reference_t = typename remove_reference<T>::type;
template <typename... B>
struct _disjunction : false_type {};
template <typename B, typename... R>
struct _disjunction<B, R...> : conditional_t<B::value, true_type, _disjunction<R...>> {};
template <typename... B>
using disjunction = _disjunction<B...>;
#define MSL_TRAIT(n, ...)                  \
  template <typename T>                    \
  struct n : _disjunction<__VA_ARGS__> {}; \
  template <typename T>                    \
  static constexpr constant bool n##_v = n<T>::value;
MSL_TRAIT(is_floating_point, is_same<T, float>, is_same<T, half>, is_same<T, bfloat>)
MSL_TRAIT(is_integral, is_same<T, bool>, is_same<T, char>, is_same<T, int8_t>, is_same<T, uchar>, is_same<T, short>,
          is_same<T, ushort>, is_same<T, int>, is_same<T, uint>, is_same<T, long>, is_same<T, ulong>)
MSL_TRAIT(is_arithmetic, is_floating_point<T>, is_integral<T>)
MSL_TRAIT(is_unsigned, is_same<T, bool>, is_same<T, uchar>, is_same<T, ushort>, is_same<T, uint>, is_same<T, ulong>)
MSL_TRAIT(is_signed, is_floating_point<T>, is_same<T, int8_t>, is_same<T, char>, is_same<T, short>, is_same<T, int>,
          is_same<T, long>)
template <typename A, typename B>
struct is_convertible {
  static constexpr constant bool value = __is_convertible_to(A, B);
};
template <typename A, typename B>
static constexpr constant bool is_convertible_v = is_convertible<A, B>::value;
template <typename T>
struct make_unsigned;
template <>
struct make_unsigned<int> {
  typedef uint type;
};
template <>
struct make_unsigned<long> {
  typedef ulong type;
};
template <>
struct make_unsigned<uint> {
  typedef uint type;
};
template <>
struct make_unsigned<short> {
  typedef ushort type;
};
template <typename T>
using make_unsigned_t = typename make_unsigned<T>::type;

template <typename T>
struct numeric_limits;
#define MSL_FLOAT_LIMITS(T, mx, mn, ep, dg, inf, nan) \
  template <>                                         \
  struct numeric_limits<T> {                          \
    static constexpr T max() { return mx; }           \
    static constexpr T lowest() { return -mx; }       \
    static constexpr T min() { return mn; }           \
    static constexpr T epsilon() { return ep; }       \
    static constexpr T infinity() { return inf; }     \
    static constexpr T quiet_NaN() { return nan; }    \
    static constexpr constant int digits = dg;        \
    static constexpr constant bool is_signed = true;  \
  };
MSL_FLOAT_LIMITS(float, 0x1.fffffep127f, 0x1p-126f, 0x1p-23f, 24, __builtin_inff(), __builtin_nanf(""))
MSL_FLOAT_LIMITS(half, (half)65504.0f, (half)0x1p-14f, (half)0x1p-10f, 11, (half)__builtin_inff(),
                 (half)__builtin_nanf(""))
MSL_FLOAT_LIMITS(bfloat, (bfloat)0x1.fep127f, (bfloat)0x1p-126f, (bfloat)0x1p-7f, 8, (bfloat)__builtin_inff(),
                 (bfloat)__builtin_nanf(""))
#define MSL_INTEGER_LIMITS(T, mn, mx)                                 \
  template <>                                                         \
  struct numeric_limits<T> {                                          \
    static constexpr T max() { return mx; }                           \
    static constexpr T min() { return mn; }                           \
    static constexpr T lowest() { return mn; }                        \
    static constexpr T infinity() { return 0; }                       \
    static constexpr constant int digits = sizeof(T) * 8 - (mn != 0); \
  };
MSL_INTEGER_LIMITS(bool, 0, 1)
MSL_INTEGER_LIMITS(char, -128, 127) MSL_INTEGER_LIMITS(int8_t, -128, 127) MSL_INTEGER_LIMITS(uchar, 0, 255)
    MSL_INTEGER_LIMITS(short, -32768, 32767) MSL_INTEGER_LIMITS(ushort, 0, 65535)
        MSL_INTEGER_LIMITS(int, (-2147483647 - 1), 2147483647) MSL_INTEGER_LIMITS(uint, 0, 4294967295u)
            MSL_INTEGER_LIMITS(long, (-9223372036854775807L - 1), 9223372036854775807L)
                MSL_INTEGER_LIMITS(ulong, 0, 18446744073709551615ul)
}  // namespace metal
