/* Inner loops of qatviz_nn.c with the vector instructions of the machine, where the compiler offers them; else those of
 * qatviz_nn_cortex_m.h. Every variant computes the same integers: int32 sums of products of int16, which do not depend on their order.
 *
 * AVX2 is used if the processor has it, whatever the program is compiled for. To define QATVIZ_NN_NO_AVX2 excludes it,
 * QATVIZ_NN_PORTABLE all vector instructions.
 */
#ifndef QATVIZ_NN_VECTORS_H
#define QATVIZ_NN_VECTORS_H

#include <stdint.h>
#include <string.h>

#if defined(QATVIZ_NN_PORTABLE)
#define VECTOR 1
#elif defined(__SSE2__) || defined(_M_X64)
#include <emmintrin.h>
#define VECTOR 8
/* GCC for Windows misaligns vectors of AVX on the stack; AVX2 reads shifts of 8 bits. */
#if defined(__GNUC__) && defined(__x86_64__) && !defined(_WIN32) && !defined(QATVIZ_NN_NO_AVX2) \
    && !defined(QATVIZ_NN_USE_CMSIS_NN)
#include <immintrin.h>
#define QATVIZ_NN_AVX2 __attribute__((target("avx2")))
#endif
#elif defined(__ARM_NEON)
#include <arm_neon.h>
#define VECTOR 8
#else
#define VECTOR 1
#endif

/* Codes of a loop of constant length, which compilers turn into vector instructions without further options. */
#define LANES 16
/* Channels whose sums are computed at once, so that an input code is loaded once for them. */
#define GROUP 4

#if VECTOR == 1
/* See qatviz_nn_cortex_m.h. */
#elif defined(__ARM_NEON)
typedef int32x4_t qnn_vector;
#define LOAD(from) vld1q_s16(from)
#define ZERO() vdupq_n_s32(0)
#define ADD_PRODUCTS(sums, a, b) \
    vmlal_s16(vmlal_s16(sums, vget_low_s16(a), vget_low_s16(b)), vget_high_s16(a), vget_high_s16(b))

static int32x2_t halves(qnn_vector a)
{
    return vadd_s32(vget_low_s32(a), vget_high_s32(a));
}

static void put_totals(qnn_vector a, qnn_vector b, qnn_vector c, qnn_vector d, int32_t *totals)
{
    vst1q_s32(totals, vcombine_s32(vpadd_s32(halves(a), halves(b)), vpadd_s32(halves(c), halves(d))));
}
#else
typedef __m128i qnn_vector;
#define LOAD(from) _mm_loadu_si128((const __m128i *)(const void *)(from))
#define ZERO() _mm_setzero_si128()
#define ADD_PRODUCTS(sums, a, b) _mm_add_epi32(sums, _mm_madd_epi16(a, b))

/* The four numbers of each vector are added: once transposed, this is a sum of four vectors. */
static void put_totals(qnn_vector a, qnn_vector b, qnn_vector c, qnn_vector d, int32_t *totals)
{
    qnn_vector low = _mm_add_epi32(_mm_unpacklo_epi32(a, b), _mm_unpackhi_epi32(a, b));
    qnn_vector high = _mm_add_epi32(_mm_unpacklo_epi32(c, d), _mm_unpackhi_epi32(c, d));
    _mm_storeu_si128((__m128i *)(void *)totals,
                     _mm_add_epi32(_mm_unpacklo_epi64(low, high), _mm_unpackhi_epi64(low, high)));
}
#endif

#if VECTOR > 1
/* Add to sums[c] the products of codes and of row c of weights; length is a multiple of LANES, rows one of GROUP. */
static void add_dots(const int16_t *codes, const int16_t *weights, int32_t length, int32_t rows, int64_t *sums)
{
    int32_t row, i, totals[GROUP];
    for (row = 0; row < rows; row += GROUP, weights += GROUP * length) {
        const int16_t *second = weights + length, *third = second + length, *fourth = third + length;
        qnn_vector a = ZERO(), b = ZERO(), c = ZERO(), d = ZERO();
        for (i = 0; i < length; i += VECTOR) {
            a = ADD_PRODUCTS(a, LOAD(codes + i), LOAD(weights + i));
            b = ADD_PRODUCTS(b, LOAD(codes + i), LOAD(second + i));
            c = ADD_PRODUCTS(c, LOAD(codes + i), LOAD(third + i));
            d = ADD_PRODUCTS(d, LOAD(codes + i), LOAD(fourth + i));
        }
        put_totals(a, b, c, d, totals);
        for (i = 0; i < GROUP; i++)
            sums[row + i] += totals[i];
    }
}
#endif

/* Codes of 4 bits, two per byte, with an offset, as int16; return their number, a multiple of 32 up to `count`. */
static int32_t widen_packed(const uint8_t *packed, int32_t count, int32_t offset, int16_t *wide)
{
    int32_t i = 0;
#if VECTOR == 8 && !defined(__ARM_NEON)
    const __m128i zero = _mm_setzero_si128(), nibble = _mm_set1_epi8(15), sign = _mm_set1_epi16(8);
    const __m128i more = _mm_set1_epi16((int16_t)(offset - 8));
    for (; i + 32 <= count; i += 32) {
        __m128i pairs = LOAD(packed + i / 2), low = _mm_and_si128(pairs, nibble), codes[2];
        __m128i high = _mm_and_si128(_mm_srli_epi16(pairs, 4), nibble), *to = (__m128i *)(void *)(wide + i);
        int k;
        codes[0] = _mm_unpacklo_epi8(low, high);
        codes[1] = _mm_unpackhi_epi8(low, high);
        /* A number of 4 bits in two's complement is (bits ^ 8) - 8. */
        for (k = 0; k < 2; k++) {
            low = _mm_xor_si128(_mm_unpacklo_epi8(codes[k], zero), sign);
            high = _mm_xor_si128(_mm_unpackhi_epi8(codes[k], zero), sign);
            _mm_storeu_si128(to + 2 * k, _mm_add_epi16(low, more));
            _mm_storeu_si128(to + 2 * k + 1, _mm_add_epi16(high, more));
        }
    }
#else
    (void)packed, (void)count, (void)offset, (void)wide;
#endif
    return i;
}

/* Add to LANES sums the products of codes, with an offset, and weights. */
FAST
static void add_products(const int8_t *restrict codes, int32_t offset, const int16_t *restrict weights,
                         int32_t *restrict sums)
{
    int16_t wide[LANES];
    int32_t i;
    for (i = 0; i < LANES; i++)
        wide[i] = (int16_t)(codes[i] + offset);
    for (i = 0; i < LANES; i++)
        sums[i] += wide[i] * weights[i];
}

/* Replace LANES codes by larger ones. */
FAST
static void keep_largest(const int8_t *restrict codes, int8_t *restrict found)
{
    int32_t i;
    for (i = 0; i < LANES; i++)
        found[i] = codes[i] > found[i] ? codes[i] : found[i];
}

#ifdef QATVIZ_NN_AVX2
QATVIZ_NN_AVX2 static __m256i wide_at(const void *from)
{
    return _mm256_loadu_si256((const __m256i *)from);
}

QATVIZ_NN_AVX2 static __m256i products(__m256i sums, const int16_t *a, const int16_t *b)
{
    return _mm256_add_epi32(sums, _mm256_madd_epi16(wide_at(a), wide_at(b)));
}

/* As add_dots. */
QATVIZ_NN_AVX2 static void add_dots_avx2(const int16_t *codes, const int16_t *weights, int32_t length, int32_t rows,
                                         int64_t *sums)
{
    int32_t row, i;
    for (row = 0; row < rows; row += GROUP, weights += GROUP * length) {
        const int16_t *second = weights + length, *third = second + length, *fourth = third + length;
        __m256i a = _mm256_setzero_si256(), b = a, c = a, d = a;
        for (i = 0; i < length; i += 16) {
            a = products(a, codes + i, weights + i);
            b = products(b, codes + i, second + i);
            c = products(c, codes + i, third + i);
            d = products(d, codes + i, fourth + i);
        }
        /* Twice sums of neighbours: each half has a part of the four totals. */
        a = _mm256_hadd_epi32(_mm256_hadd_epi32(a, b), _mm256_hadd_epi32(c, d));
        a = _mm256_cvtepi32_epi64(_mm_add_epi32(_mm256_castsi256_si128(a), _mm256_extracti128_si256(a, 1)));
        _mm256_storeu_si256((__m256i *)(void *)(sums + row), _mm256_add_epi64(wide_at(sums + row), a));
    }
}

/* As add_products, for all taps of a row of a window: `step` codes apart; weights LANES apart. */
QATVIZ_NN_AVX2 static void add_taps_avx2(const int8_t *codes, int32_t step, int32_t taps, int32_t offset,
                                         const int16_t *weights, int32_t *sums)
{
    __m256i low = wide_at(sums), high = wide_at(sums + 8), more = _mm256_set1_epi16((int16_t)offset);
    for (; taps > 0; taps--, codes += step, weights += LANES) {
        __m256i a = _mm256_cvtepi8_epi16(_mm_loadu_si128((const __m128i *)(const void *)codes)), b = wide_at(weights);
        a = _mm256_add_epi16(a, more);
        low = _mm256_add_epi32(low, _mm256_mullo_epi32(_mm256_cvtepi16_epi32(_mm256_castsi256_si128(a)),
                                                       _mm256_cvtepi16_epi32(_mm256_castsi256_si128(b))));
        high = _mm256_add_epi32(high, _mm256_mullo_epi32(_mm256_cvtepi16_epi32(_mm256_extracti128_si256(a, 1)),
                                                         _mm256_cvtepi16_epi32(_mm256_extracti128_si256(b, 1))));
    }
    _mm256_storeu_si256((__m256i *)(void *)sums, low);
    _mm256_storeu_si256((__m256i *)(void *)(sums + 8), high);
}

/* Codes of 8 bits of sums, GROUP at a time: clamp(round(sum * multiplier * 2^(shift - 31)) + offset); return their
 * number, a multiple of GROUP up to `count`. Each step is that of requantize and put_code. */
QATVIZ_NN_AVX2 static int32_t put_codes_avx2(const int64_t *sums, const int32_t *multiplier, const int8_t *shift,
                                             int32_t count, int32_t offset, int32_t low, int32_t high, int8_t *codes)
{
    const __m256i zero = _mm256_setzero_si256(), one = _mm256_set1_epi64x(1);
    const __m256i even = _mm256_setr_epi32(0, 2, 4, 6, 0, 2, 4, 6);
    const __m256i least = _mm256_set1_epi64x(low), most = _mm256_set1_epi64x(high), more = _mm256_set1_epi64x(offset);
    int32_t i;
    for (i = 0; i + GROUP <= count; i += GROUP) {
        int32_t four;
        __m128i packed;
        __m256i value = wide_at(sums + i), right, sign;
        __m256i factor = _mm256_cvtepi32_epi64(_mm_loadu_si128((const __m128i *)(const void *)(multiplier + i)));
        memcpy(&four, shift + i, sizeof four);
        right = _mm256_sub_epi64(_mm256_set1_epi64x(31), _mm256_cvtepi8_epi64(_mm_cvtsi32_si128(four)));
        /* A product of 64 bits from those of the lower and the upper 32 bits. */
        value = _mm256_add_epi64(_mm256_mul_epu32(value, factor),
                                 _mm256_slli_epi64(_mm256_mul_epu32(_mm256_srli_epi64(value, 32), factor), 32));
        value = _mm256_add_epi64(value, _mm256_sllv_epi64(one, _mm256_sub_epi64(right, one)));
        sign = _mm256_cmpgt_epi64(zero, value);
        value = _mm256_xor_si256(_mm256_srlv_epi64(_mm256_xor_si256(value, sign), right), sign);
        value = _mm256_add_epi64(value, more);
        value = _mm256_blendv_epi8(value, least, _mm256_cmpgt_epi64(least, value));
        value = _mm256_blendv_epi8(value, most, _mm256_cmpgt_epi64(value, most));
        packed = _mm256_castsi256_si128(_mm256_permutevar8x32_epi32(value, even));
        packed = _mm_packs_epi16(_mm_packs_epi32(packed, packed), packed);
        four = _mm_cvtsi128_si32(packed);
        memcpy(codes + i, &four, sizeof four);
    }
    return i;
}
#endif

#endif
