/* libmlx imports cblas_{s,d,c}gemm; the OpenBLAS on PyPI exports them under a prefix. lasmlx/_blas.py loads this library
   first, fills in the three pointers, and the dynamic linker then resolves MLX's imports to these. */
typedef void (*real_gemm)(int, int, int, int, int, int, float, const float *, int, const float *, int, float, float *, int);
typedef void (*double_gemm)(int, int, int, int, int, int, double, const double *, int, const double *, int, double, double *,
                            int);
typedef void (*complex_gemm)(int, int, int, int, int, int, const void *, const void *, int, const void *, int, const void *,
                             void *, int);

real_gemm lasmlx_sgemm;
double_gemm lasmlx_dgemm;
complex_gemm lasmlx_cgemm;

void cblas_sgemm(int order, int ta, int tb, int m, int n, int k, float alpha, const float *a, int lda, const float *b,
                 int ldb, float beta, float *c, int ldc) {
  lasmlx_sgemm(order, ta, tb, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc);
}
void cblas_dgemm(int order, int ta, int tb, int m, int n, int k, double alpha, const double *a, int lda, const double *b,
                 int ldb, double beta, double *c, int ldc) {
  lasmlx_dgemm(order, ta, tb, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc);
}
void cblas_cgemm(int order, int ta, int tb, int m, int n, int k, const void *alpha, const void *a, int lda, const void *b,
                 int ldb, const void *beta, void *c, int ldc) {
  lasmlx_cgemm(order, ta, tb, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc);
}
