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
static uint32_t four_codes(const int8_t *from)
{
    uint32_t codes;
    memcpy(&codes, from, sizeof codes);
    return codes;
}

/* The second and the fourth of four codes as int16, plus a pair of offsets; GCC makes two instructions of it. */
static int16x2_t odd_codes(uint32_t codes, int16x2_t offsets)
{
    __asm__("sxtab16 %0, %1, %2, ror #8" : "=r"(codes) : "r"(offsets), "r"(codes));
    return (int16x2_t)codes;
}

static int16x2_t odd_weights(uint32_t codes)
{
    __asm__("sxtb16 %0, %1, ror #8" : "=r"(codes) : "r"(codes));
    return (int16x2_t)codes;
}

static int16x2_t twice(int32_t offset)
{
    return (int16x2_t)((uint32_t)offset << 16 | ((uint32_t)offset & 0xffff));
}
#endif

/* Prepare codes of a window for add_dots; return where they are: here, or in `memory`. */
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
static int32_t window_total(const window_code *codes, int32_t count, int32_t offset)
{
    int32_t i, total = OFFSET_APART ? count * offset : 0;
    for (i = 0; i < count; i++)
        total += codes[i];
    return total;
}

/* What add_dots lacks of a sum, which is the same for all windows. */
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
static void add_dots(const window_code *codes, const int8_t *weights, int32_t stride, int32_t count, int32_t rows,
                     int32_t *sums)
{
    for (; rows >= ROWS; rows -= ROWS, weights += ROWS * stride, sums += ROWS)
        add_four_dots(codes, weights, stride, count, sums);
    for (; rows > 0; rows--, weights += stride, sums++)
        *sums = add_dot(codes, weights, count, *sums);
}

/* Taps of a window that are within the image, of a depthwise convolution: distances in codes. */
typedef struct {
    int32_t rows, columns, input_row, input_column, weights_row, weights_column;
} inner_taps;

/* Channels whose depthwise sums are computed at once; 0: there are no instructions for it. */
#if defined(QATVIZ_NN_MVE)
#define QUICK_CHANNELS 8

/* Add to sums[0 .. QUICK_CHANNELS - 1] the products of each channel's taps. */
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
