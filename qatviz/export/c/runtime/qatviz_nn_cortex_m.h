/* Inner loops of qatviz_nn.c for 8-bit codes on processors without SSE2 and NEON: with Helium (MVE) or the DSP extension
 * of Cortex-M where the compiler offers them, else in plain C. Every variant computes the same integers. To define
 * QATVIZ_NN_PORTABLE excludes the instructions.
 *
 * Weights are read where they are stored: their rows take too much RAM to be kept in another form.
 */
#ifndef QATVIZ_NN_CORTEX_M_H
#define QATVIZ_NN_CORTEX_M_H

#include <stdint.h>
#include <string.h>

#include "qatviz_nn.h"

#if defined(__GNUC__) && !defined(QATVIZ_NN_PORTABLE) && defined(__ARM_FEATURE_MVE)
#include <arm_mve.h>
#define QATVIZ_NN_MVE
#elif defined(__GNUC__) && !defined(QATVIZ_NN_PORTABLE) && defined(__ARM_FEATURE_SIMD32) && !defined(__ARM_BIG_ENDIAN)
#include <arm_acle.h>
#define QATVIZ_NN_DSP
#endif

/* Channels whose sums are computed at once, so that an input code is loaded once for them. */
#define ROWS 4

/* 1 if the products of the input's offset are added apart from those of the codes, see offset_products. */
#ifdef QATVIZ_NN_MVE
#define OFFSET_APART 1
#else
#define OFFSET_APART 0
#endif

/* Codes of a window as add_dots reads them: MVE multiplies bytes and adds the offset's part of a sum once, other
 * variants int16 with the offset in them. */
#ifdef QATVIZ_NN_MVE
typedef int8_t window_code;
#else
typedef int16_t window_code;
#endif

#ifdef QATVIZ_NN_DSP
#define WINDOW_ALIGNED __attribute__((aligned(8)))
#else
#define WINDOW_ALIGNED
#endif

#ifdef QATVIZ_NN_DSP
FAST
static uint32_t four_codes(const int8_t *from)
{
    uint32_t codes;
    memcpy(&codes, from, sizeof codes);
    return codes;
}

/* Windows are aligned, so that several pairs are loaded at once. */
#define ALIGNED(codes) __builtin_assume_aligned(codes, 8)

/* The second and the fourth of four codes as int16, plus a pair of offsets; GCC makes two instructions of it. */
FAST
static int16x2_t odd_codes(uint32_t codes, int16x2_t offsets)
{
    __asm__("sxtab16 %0, %1, %2, ror #8" : "=r"(codes) : "r"(offsets), "r"(codes));
    return (int16x2_t)codes;
}

FAST
static int16x2_t odd_weights(uint32_t codes)
{
    __asm__("sxtb16 %0, %1, ror #8" : "=r"(codes) : "r"(codes));
    return (int16x2_t)codes;
}

static int16x2_t twice(int32_t offset)
{
    return (int16x2_t)((uint32_t)offset << 16 | ((uint32_t)offset & 0xffff));
}

/* Both numbers of a pair, of up to 12 bits. */
static int16x2_t times_16(uint32_t pair)
{
    return (int16x2_t)((pair << 4) & 0xfff0ffffu);
}
#endif

/* Prepare codes of a window for add_dots; return where they are: here, or in `memory`. */
FAST
static const window_code *window_codes(const int8_t *codes, int32_t count, int32_t offset, window_code *memory)
{
#ifdef QATVIZ_NN_MVE
    (void)count, (void)offset, (void)memory;
    return codes;
#else
    int32_t i = 0;
#ifdef QATVIZ_NN_DSP
    /* Of four codes the first and the third, then the second and the fourth, as SXTB16 yields those of the weights. */
    for (; i + 4 <= count; i += 4) {
        uint32_t four = four_codes(codes + i);
        int16x2_t pairs[2];
        pairs[0] = __sxtab16(twice(offset), (int8x4_t)four);
        pairs[1] = odd_codes(four, twice(offset));
        memcpy(memory + i, pairs, sizeof pairs);
    }
#endif
    for (; i < count; i++)
        memory[i] = (int16_t)(codes[i] + offset);
    return memory;
#endif
}

/* The sum of `count` input codes with their offset. */
static int32_t window_total(const int8_t *codes, int32_t count, int32_t offset)
{
    int32_t i, total = count * offset;
    for (i = 0; i < count; i++)
        total += codes[i];
    return total;
}

/* What add_dots lacks of a sum, which is the same for all windows. */
FAST
static int32_t offset_products(const int8_t *weights, int32_t count, int32_t offset)
{
#ifdef QATVIZ_NN_MVE
    int32_t sum = 0;
    for (; count > 0; count -= 16, weights += 16)
        sum = vaddvaq_s8(sum, vldrbq_z_s8(weights, vctp8q((uint32_t)count)));
    return sum * offset;
#else
    (void)weights, (void)count, (void)offset;
    return 0;
#endif
}

/* Add to sums[0 .. ROWS - 1] the products of `count` codes of a window and of rows of weights, `stride` apart. */
FAST
static void add_four_dots(const window_code *codes, const int8_t *weights, int32_t stride, int32_t count, int32_t *sums)
{
    const int8_t *second = weights + stride, *third = second + stride, *fourth = third + stride;
    int32_t a = sums[0], b = sums[1], c = sums[2], d = sums[3];
#ifdef QATVIZ_NN_MVE
    /* A loop with tail predication: loads set codes beyond the last to 0. */
    __asm__ volatile("wlstp.8 lr, %[count], 2f\n"
                     "1:\n"
                     "vldrb.8 q0, [%[codes]], #16\n"
                     "vldrb.8 q1, [%[first]], #16\n"
                     "vmladava.s8 %[a], q0, q1\n"
                     "vldrb.8 q2, [%[second]], #16\n"
                     "vmladava.s8 %[b], q0, q2\n"
                     "vldrb.8 q1, [%[third]], #16\n"
                     "vmladava.s8 %[c], q0, q1\n"
                     "vldrb.8 q2, [%[fourth]], #16\n"
                     "vmladava.s8 %[d], q0, q2\n"
                     "letp lr, 1b\n"
                     "2:\n"
                     : [codes] "+r"(codes), [first] "+r"(weights), [second] "+r"(second), [third] "+r"(third),
                       [fourth] "+r"(fourth), [a] "+Te"(a), [b] "+Te"(b), [c] "+Te"(c), [d] "+Te"(d)
                     : [count] "r"(count)
                     : "q0", "q1", "q2", "lr", "memory");
#else
#ifdef QATVIZ_NN_DSP
    const window_code *end = codes + count / 4 * 4;
    /* Two pointers and a distance: with four there are not enough registers. */
    for (; codes < end; codes += 4, weights += 4, third += 4) {
        int16x2_t pairs[2];
        uint32_t four = four_codes(weights);
        memcpy(pairs, codes, sizeof pairs);
        a = __smlad(odd_weights(four), pairs[1], __smlad(__sxtb16((int8x4_t)four), pairs[0], a));
        four = four_codes(weights + stride);
        b = __smlad(odd_weights(four), pairs[1], __smlad(__sxtb16((int8x4_t)four), pairs[0], b));
        four = four_codes(third);
        c = __smlad(odd_weights(four), pairs[1], __smlad(__sxtb16((int8x4_t)four), pairs[0], c));
        four = four_codes(third + stride);
        d = __smlad(odd_weights(four), pairs[1], __smlad(__sxtb16((int8x4_t)four), pairs[0], d));
    }
    second = weights + stride;
    fourth = third + stride;
    count %= 4;
#endif
    for (; count > 0; count--) {
        int32_t code = *codes++;
        a += code * *weights++;
        b += code * *second++;
        c += code * *third++;
        d += code * *fourth++;
    }
#endif
    sums[0] = a;
    sums[1] = b;
    sums[2] = c;
    sums[3] = d;
}

/* The same for one row. */
FAST
static int32_t add_dot(const window_code *codes, const int8_t *weights, int32_t count, int32_t sum)
{
#ifdef QATVIZ_NN_MVE
    for (; count > 0; count -= 16, codes += 16, weights += 16) {
        mve_pred16_t inside = vctp8q((uint32_t)count);
        sum = vmladavaq_s8(sum, vldrbq_z_s8(codes, inside), vldrbq_z_s8(weights, inside));
    }
#else
#ifdef QATVIZ_NN_DSP
    for (; count >= 4; count -= 4, codes += 4, weights += 4) {
        int16x2_t pairs[2];
        uint32_t four = four_codes(weights);
        memcpy(pairs, codes, sizeof pairs);
        sum = __smlad(odd_weights(four), pairs[1], __smlad(__sxtb16((int8x4_t)four), pairs[0], sum));
    }
#endif
    for (; count > 0; count--)
        sum += *codes++ * *weights++;
#endif
    return sum;
}

/* Add to sums[i] the products of `count` codes of a window and of row i of weights, `stride` apart. */
FAST
static void add_dots(const window_code *codes, const int8_t *weights, int32_t stride, int32_t count, int32_t rows,
                     int32_t *sums)
{
    for (; rows >= ROWS; rows -= ROWS, weights += ROWS * stride, sums += ROWS)
        add_four_dots(codes, weights, stride, count, sums);
    for (; rows > 0; rows--, weights += stride, sums++)
        *sums = add_dot(codes, weights, count, *sums);
}

#if defined(QATVIZ_NN_MVE) || defined(QATVIZ_NN_DSP)
/* Rows of an even number of weights of 4 bits, two per byte, are multiplied as they are. With Helium, a byte shifted to
 * the left by four, and its upper four bits, are 16 times its two weights.
 *
 * With the DSP extension, a byte whose lower weight is stored with 8 more is 16 * upper + lower + 8, which is multiplied
 * by the upper weight's code; for the rest, lower + 8 is multiplied by 16 times its own code minus that code. What is too
 * much is 128 times the sum of the lower weights' codes, for all rows alike. */
#define PACKED_ROWS 1
#ifdef QATVIZ_NN_MVE
#define UPPER_BITS 0xf0f0f0f0u
#endif

/* As window_codes, for add_packed_dots: `count`, which is even, codes in `memory`. Returns in *excess what the sums
 * of 16 times the products will have too much. */
FAST
static const window_code *packed_window(const int8_t *codes, int32_t count, int32_t offset, window_code *memory,
                                        int32_t *excess)
{
    int32_t i = 0, lower = 0;
#ifdef QATVIZ_NN_MVE
    /* Those of the lower four bits, then those of the upper ones. */
    for (; i + 32 <= count; i += 32) {
        int8x16x2_t pairs = vld2q_s8(codes + i);
        vstrbq_s8(memory + i / 2, pairs.val[0]);
        vstrbq_s8(memory + (count + i) / 2, pairs.val[1]);
    }
    for (; i < count; i += 2) {
        memory[i / 2] = codes[i];
        memory[(count + i) / 2] = codes[i + 1];
    }
    (void)offset;
#else
    /* Of eight codes the pairs (0, 4), (2, 6), 16 times and less (1, 5), (3, 7); then these. */
    for (; i + 8 <= count; i += 8) {
        uint32_t left = four_codes(codes + i), right = four_codes(codes + i + 4), pairs[4];
        uint32_t even = (uint32_t)__sxtab16(twice(offset), (int8x4_t)left), odd = (uint32_t)odd_codes(left, twice(offset));
        uint32_t next = (uint32_t)__sxtab16(twice(offset), (int8x4_t)right);
        pairs[0] = (even & 0xffff) | next << 16;
        pairs[1] = even >> 16 | (next & 0xffff0000u);
        next = (uint32_t)odd_codes(right, twice(offset));
        pairs[2] = (odd & 0xffff) | next << 16;
        pairs[3] = odd >> 16 | (next & 0xffff0000u);
        lower = __smlad((int16x2_t)pairs[0], twice(1), __smlad((int16x2_t)pairs[1], twice(1), lower));
        pairs[0] = (uint32_t)__ssub16(times_16(pairs[0]), (int16x2_t)pairs[2]);
        pairs[1] = (uint32_t)__ssub16(times_16(pairs[1]), (int16x2_t)pairs[3]);
        memcpy(memory + i, pairs, sizeof pairs);
    }
    for (; i < count; i++)
        memory[i] = (int16_t)(codes[i] + offset);
#endif
    *excess = 128 * lower;
    return memory;
}

/* As offset_products, for a row of packed weights. */
FAST
static int32_t packed_offset_products(const uint8_t *weights, int32_t count, int32_t offset)
{
#ifdef QATVIZ_NN_MVE
    int32_t sum = 0;
    for (count /= 2; count > 0; count -= 16, weights += 16) {
        int8x16_t pairs = vreinterpretq_s8_u8(vldrbq_z_u8(weights, vctp8q((uint32_t)count)));
        sum = vaddvaq_s8(vaddvaq_s8(sum, vshlq_n_s8(pairs, 4)), vandq_s8(pairs, vdupq_n_s8(-16)));
    }
    return sum / 16 * offset;
#else
    (void)weights, (void)count, (void)offset;
    return 0;
#endif
}

#ifdef QATVIZ_NN_DSP
/* Add the products of pairs of codes, those of lower weights first, and four bytes. */
FAST
static int32_t add_packed(uint32_t bytes, const int16x2_t *pairs, int32_t sum)
{
    uint32_t lower;
    bytes ^= 0x08080808u;
    lower = bytes & 0x0f0f0f0fu;
    sum = __smlad(odd_weights(lower), pairs[1], __smlad(__sxtb16((int8x4_t)lower), pairs[0], sum));
    return __smlad(odd_weights(bytes), pairs[3], __smlad(__sxtb16((int8x4_t)bytes), pairs[2], sum));
}

FAST
static int32_t packed_products(uint8_t pair, const window_code *codes)
{
    return codes[0] * (int8_t)(pair << 4) + codes[1] * (int8_t)(pair & 0xf0);
}
#endif

/* As add_four_dots, for packed weights, whose `stride` is in bytes; `count` is even, `excess` that of packed_window. */
FAST
static void add_four_packed_dots(const window_code *codes, const uint8_t *weights, int32_t stride, int32_t count,
                                 int32_t excess, int32_t *sums)
{
    const uint8_t *second = weights + stride, *third = second + stride, *fourth = third + stride;
    int32_t a = -excess, b = a, c = a, d = a;
#ifdef QATVIZ_NN_MVE
    const window_code *upper = codes + count / 2;
    __asm__ volatile("wlstp.8 lr, %[count], 2f\n"
                     "1:\n"
                     "vldrb.8 q0, [%[lower]], #16\n"
                     "vldrb.8 q1, [%[upper]], #16\n"
                     "vldrb.8 q2, [%[first]], #16\n"
                     "vshl.i8 q3, q2, #4\n"
                     "vmladava.s8 %[a], q0, q3\n"
                     "vand q2, q2, %q[mask]\n"
                     "vmladava.s8 %[a], q1, q2\n"
                     "vldrb.8 q2, [%[second]], #16\n"
                     "vshl.i8 q3, q2, #4\n"
                     "vmladava.s8 %[b], q0, q3\n"
                     "vand q2, q2, %q[mask]\n"
                     "vmladava.s8 %[b], q1, q2\n"
                     "vldrb.8 q2, [%[third]], #16\n"
                     "vshl.i8 q3, q2, #4\n"
                     "vmladava.s8 %[c], q0, q3\n"
                     "vand q2, q2, %q[mask]\n"
                     "vmladava.s8 %[c], q1, q2\n"
                     "vldrb.8 q2, [%[fourth]], #16\n"
                     "vshl.i8 q3, q2, #4\n"
                     "vmladava.s8 %[d], q0, q3\n"
                     "vand q2, q2, %q[mask]\n"
                     "vmladava.s8 %[d], q1, q2\n"
                     "letp lr, 1b\n"
                     "2:\n"
                     : [lower] "+r"(codes), [upper] "+r"(upper), [first] "+r"(weights), [second] "+r"(second),
                       [third] "+r"(third), [fourth] "+r"(fourth), [a] "+Te"(a), [b] "+Te"(b), [c] "+Te"(c),
                       [d] "+Te"(d)
                     : [count] "r"(count / 2), [mask] "w"(vdupq_n_u32(UPPER_BITS))
                     : "q0", "q1", "q2", "q3", "lr", "memory");
#else
    const window_code *end = codes + count / 8 * 8;
    for (; codes < end; codes += 8, weights += 4, third += 4) {
        int16x2_t pairs[4];
        memcpy(pairs, ALIGNED(codes), sizeof pairs);
        a = add_packed(four_codes((const int8_t *)weights), pairs, a);
        b = add_packed(four_codes((const int8_t *)weights + stride), pairs, b);
        c = add_packed(four_codes((const int8_t *)third), pairs, c);
        d = add_packed(four_codes((const int8_t *)third + stride), pairs, d);
    }
    second = weights + stride;
    fourth = third + stride;
    for (count %= 8; count > 0; count -= 2, codes += 2) {
        a += packed_products(*weights++, codes);
        b += packed_products(*second++, codes);
        c += packed_products(*third++, codes);
        d += packed_products(*fourth++, codes);
    }
#endif
    sums[0] += a / 16;
    sums[1] += b / 16;
    sums[2] += c / 16;
    sums[3] += d / 16;
}

/* As add_dots, for packed weights. */
FAST
static void add_packed_dots(const window_code *codes, const uint8_t *weights, int32_t stride, int32_t count,
                            int32_t rows, int32_t excess, int32_t *sums)
{
    for (; rows >= ROWS; rows -= ROWS, weights += ROWS * stride, sums += ROWS)
        add_four_packed_dots(codes, weights, stride, count, excess, sums);
    for (; rows > 0; rows--, weights += stride, sums++) {
        /* Few rows are left: the same one four times. */
        int32_t same[ROWS] = {0};
        add_four_packed_dots(codes, weights, 0, count, excess, same);
        *sums += same[0];
    }
}
#else
#define PACKED_ROWS 0
#endif

/* Taps of a window that are within the image, of a depthwise convolution: distances in codes. */
typedef struct {
    int32_t rows, columns, input_row, input_column, weights_row, weights_column;
} inner_taps;

/* Channels whose depthwise sums are computed at once; 0: there are no instructions for it. */
#if defined(QATVIZ_NN_MVE)
#define QUICK_CHANNELS 8

/* Add to sums[0 .. QUICK_CHANNELS - 1] the products of each channel's taps. */
FAST
static void add_taps_of_channels(const int8_t *codes, const int8_t *weights, const inner_taps *taps, int32_t offset,
                                 int32_t *sums)
{
    int32x4x2_t totals = vld2q_s32(sums);
    int32_t row, column;
    for (row = 0; row < taps->rows; row++) {
        const int8_t *from = codes + row * taps->input_row, *by = weights + row * taps->weights_row;
        for (column = taps->columns; column > 0; column--) {
            int16x8_t wide = vaddq_n_s16(vldrbq_s16(from), (int16_t)offset), factors = vldrbq_s16(by);
            totals.val[0] = vaddq_s32(totals.val[0], vmullbq_int_s16(wide, factors));
            totals.val[1] = vaddq_s32(totals.val[1], vmulltq_int_s16(wide, factors));
            from += taps->input_column;
            by += taps->weights_column;
        }
    }
    vst2q_s32(sums, totals);
}
#elif defined(QATVIZ_NN_DSP)
#define QUICK_CHANNELS 4

FAST
static void add_taps_of_channels(const int8_t *codes, const int8_t *weights, const inner_taps *taps, int32_t offset,
                                 int32_t *sums)
{
    int32_t a = sums[0], b = sums[1], c = sums[2], d = sums[3], row, column;
    for (row = 0; row < taps->rows; row++) {
        const int8_t *from = codes + row * taps->input_row, *by = weights + row * taps->weights_row;
        for (column = taps->columns; column > 0; column--) {
            uint32_t four = four_codes(from), factors = four_codes(by);
            int16x2_t even = __sxtab16(twice(offset), (int8x4_t)four), odd = odd_codes(four, twice(offset));
            int16x2_t first = __sxtb16((int8x4_t)factors), second = odd_weights(factors);
            a = __smlabb(even, first, a);
            b = __smlabb(odd, second, b);
            c = __smlatt(even, first, c);
            d = __smlatt(odd, second, d);
            from += taps->input_column;
            by += taps->weights_column;
        }
    }
    sums[0] = a;
    sums[1] = b;
    sums[2] = c;
    sums[3] = d;
}
#else
#define QUICK_CHANNELS 0
#endif

#ifdef QATVIZ_NN_MVE
/* Codes of sums: clamp(round(sum * multiplier * 2^(shift - 31)) + offset); return their number, a multiple of four. */
FAST
static int32_t put_codes(const int32_t *sums, const int32_t *multiplier, const qnn_shift *shift, int32_t count,
                         int32_t offset, int32_t low, int32_t high, int8_t *codes)
{
    const int32x4_t least = vdupq_n_s32(low), most = vdupq_n_s32(high);
    int32_t i;
    for (i = 0; i + 4 <= count; i += 4) {
#ifdef QATVIZ_NN_USE_CMSIS_NN
        int32x4_t left = vldrwq_s32(shift + i);
#else
        int32x4_t left = vldrbq_s32(shift + i);
#endif
        /* The upper half of a doubled product loses no bit that the result depends on, if it is shifted by at least one
         * bit more, with rounding. A sum that saturates is beyond all codes, whatever its multiplier. */
        int32x4_t right = vminq_s32(left, vdupq_n_s32(-1)), value = vldrwq_s32(sums + i);
        left = vsubq_s32(left, right);
        value = vqdmulhq_s32(vqshlq_s32(value, left), vldrwq_s32(multiplier + i));
        value = vaddq_n_s32(vrshlq_s32(value, right), offset);
        vstrbq_s32(codes + i, vminq_s32(vmaxq_s32(value, least), most));
    }
    return i;
}
#endif

#endif
