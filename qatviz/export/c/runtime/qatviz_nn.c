/* The reference runtime of models that qatviz exports as C; see qatviz_nn.h. */
#include "qatviz_nn.h"

#include <string.h>

#ifdef QATVIZ_NN_USE_CMSIS_NN
#include "qatviz_nn_cmsis.h"
#define BY_CMSIS_NN(kind, op, input, output) cmsis_##kind(op, input, output)
#else
#define BY_CMSIS_NN(kind, op, input, output) 0
#endif
/* Functions whose loops take most of the time, those of convolutions of 8 bits, are optimized for speed even if GCC
 * optimizes a program for size (-Os), unless QATVIZ_NN_SMALL is defined. */
#if defined(__GNUC__) && !defined(__clang__) && defined(__OPTIMIZE_SIZE__) && !defined(QATVIZ_NN_SMALL)
#define FAST __attribute__((optimize("O2")))
#else
#define FAST
#endif
#include "qatviz_nn_vectors.h"
#if VECTOR == 1
#include "qatviz_nn_cortex_m.h"
#endif

/* Size of the memory on the stack of a convolution: GROUP rows of weights and a window, each of TAPS int16; without
 * vector instructions a window of WINDOW int8 and int16, and as many rows of TAPS int8. */
#ifndef QATVIZ_NN_TAPS
#define QATVIZ_NN_TAPS (VECTOR > 1 ? 2304 : 256)
#endif
#define TAPS ((QATVIZ_NN_TAPS + 15) / 16 * 16)
#define WINDOW (3 * TAPS)
/* Largest number of weights of 4 bits of a depthwise convolution that are on the stack at once. */
#define UNPACKED (8 * TAPS)
/* Largest number of channels whose weights are on the stack at once. */
#define CHANNELS 64
/* Number of products of 8-bit codes, each at most 255 * 255, whose sum fits 32 bits. */
#define SHORT_SUM 32768
/* The same for sums with a bias, which is at most 2^30 for 8 bits. */
#define SHORT_SUM_WITH_BIAS 16384

/* ---- Codes ---- */

static int32_t code_at(const void *codes, qnn_storage storage, int32_t i)
{
    if (storage == QNN_INT8)
        return ((const int8_t *)codes)[i];
    if (storage == QNN_INT16) {
        int16_t code;
        memcpy(&code, (const char *)codes + (size_t)i * sizeof code, sizeof code);
        return code;
    }
    /* The four bits are a number in two's complement. */
    return (int32_t)(((((const uint8_t *)codes)[i >> 1] >> (4 * (i & 1))) & 15) ^ 8) - 8;
}

static void put_code(void *codes, qnn_storage storage, int32_t i, int64_t value, int32_t low, int32_t high)
{
    int32_t code = value < low ? low : value > high ? high : (int32_t)value;
    if (storage == QNN_INT8) {
        ((int8_t *)codes)[i] = (int8_t)code;
    } else {
        int16_t wide = (int16_t)code;
        memcpy((char *)codes + (size_t)i * sizeof wide, &wide, sizeof wide);
    }
}

static int32_t bytes_of(qnn_storage storage, int32_t count)
{
    return storage == QNN_INT16 ? 2 * count : count;
}

static int32_t count_of(const qnn_shape *shape)
{
    return shape->height * shape->width * shape->channels;
}

static int32_t min_of(int32_t a, int32_t b)
{
    return a < b ? a : b;
}

/* ---- Rounding ---- */

/* floor(value * 2^-bits): in C, shifts of negative numbers are implementation-defined. GCC and clang document those that
 * fill with the sign, one instruction. */
static int64_t floor_shift(int64_t value, int32_t bits)
{
#ifdef __GNUC__
    return value >> bits;
#else
    int64_t sign = -(int64_t)(value < 0);
    return ((value ^ sign) >> bits) ^ sign;
#endif
}

/* round(value * multiplier * 2^(shift - 31)), half up. The export guarantees that the product fits 63 bits. */
static int64_t requantize(int64_t value, int32_t multiplier, int32_t shift)
{
    int32_t right = 31 - shift;
    return floor_shift(value * multiplier + ((int64_t)1 << (right - 1)), right);
}

/* The same with a product that is rounded to a multiple of 2^shift first, half up, if shift is below 0; then to a whole
 * number, half away from zero. */
static int64_t rounded_twice(int64_t value, int32_t multiplier, int32_t shift)
{
    int64_t scaled = shift > 0 ? value * ((int64_t)1 << shift) : value;
    int64_t high = floor_shift(scaled * multiplier + ((int64_t)1 << 30), 31);
    return shift >= 0 ? high : floor_shift(high + ((int64_t)1 << (-shift - 1)) - (high < 0), -shift);
}

/* ---- Windows ---- */

/* Position of a window, and its taps that are within the image: top <= ky < bottom, left <= kx < right. */
typedef struct {
    int32_t y, x, top, bottom, left, right;
} window;

/* The taps along one axis that are within the image: *first <= tap < *last. */
FAST
static void taps_inside(int32_t start, int32_t taps, int32_t dilation, int32_t extent, int32_t *first, int32_t *last)
{
    *first = start < 0 ? (-start + dilation - 1) / dilation : 0;
    *last = start < extent ? min_of(taps, (extent - start + dilation - 1) / dilation) : 0;
}

/* ---- Convolutions ---- */

/* Codes with an offset as int16, which holds them: codes have 8 bits, offsets 9. */
FAST
static void widen(const int8_t *restrict codes, int32_t count, int32_t offset, int16_t *restrict wide)
{
    int32_t i = 0, k;
    for (; i + LANES <= count; i += LANES)
        for (k = 0; k < LANES; k++)
            wide[i + k] = (int16_t)(codes[i + k] + offset);
    for (; i < count; i++)
        wide[i] = (int16_t)(codes[i] + offset);
}

/* Codes from index `first` on, two per byte, as int8. */
FAST
static void unpack(const uint8_t *restrict packed, int32_t first, int32_t count, int8_t *restrict codes)
{
    int32_t i = 0, k;
    if (count > 0 && first % 2)
        codes[i++] = (int8_t)code_at(packed, QNN_INT4, first);
    packed += (first + i) / 2;
    first = i;
    for (; i + LANES <= count; i += LANES)
        for (k = 0; k < LANES / 2; k++) {
            uint8_t pair = packed[(i - first) / 2 + k];
            codes[i + 2 * k] = (int8_t)(((pair & 15) ^ 8) - 8);
            codes[i + 2 * k + 1] = (int8_t)(((pair >> 4) ^ 8) - 8);
        }
    for (; i < count; i++)
        codes[i] = (int8_t)code_at(packed, QNN_INT4, i - first);
}

/* Weights of 8 or 4 bits from index w on, with their offset. */
static void load_weights(const qnn_conv *op, int32_t w, int32_t count, int32_t offset, int16_t *wide)
{
    int8_t codes[8 * LANES];
    int32_t i, part;
    if (op->weights_storage == QNN_INT8) {
        widen((const int8_t *)op->weights + w, count, offset, wide);
        return;
    }
    i = count > 0 ? w % 2 : 0; /* the second code of a byte */
    if (i)
        wide[0] = (int16_t)(code_at(op->weights, QNN_INT4, w) + offset);
    i += widen_packed((const uint8_t *)op->weights + (w + i) / 2, count - i, offset, wide + i);
    for (; i < count; i += part) {
        part = min_of(count - i, (int32_t)sizeof codes);
        unpack(op->weights, w + i, part, codes);
        widen(codes, part, offset, wide + i);
    }
}

/* The sum of products of `count` input codes from x on and as many weights from w on. */
static int64_t dot(const qnn_conv *op, const void *input, int32_t x, int32_t w, int32_t count, int32_t weights_offset)
{
    int64_t sum = 0;
    int32_t i;
    if (op->in.storage == QNN_INT8 && op->weights_storage != QNN_INT16) {
        int8_t unpacked[4 * LANES];
        while (count > 0) {
            const int8_t *codes = (const int8_t *)input + x, *weights = (const int8_t *)op->weights + w;
            int32_t part = 0, length = min_of(count, SHORT_SUM);
            if (op->weights_storage == QNN_INT4) {
                length = min_of(count, (int32_t)sizeof unpacked);
                unpack(op->weights, w, length, unpacked);
                weights = unpacked;
            }
            for (i = 0; i < length; i++)
                part += (codes[i] + op->input_offset) * (weights[i] + weights_offset);
            sum += part;
            x += length;
            w += length;
            count -= length;
        }
        return sum;
    }
    for (i = 0; i < count; i++)
        sum += (int64_t)(code_at(input, op->in.storage, x + i) + op->input_offset)
             * (code_at(op->weights, op->weights_storage, w + i) + weights_offset);
    return sum;
}

static int64_t bias_of(const qnn_conv *op, int32_t channel)
{
    return op->wide_bias ? op->wide_bias[channel] : op->bias[channel];
}

/* The products of all taps of a window, for one channel of the output. */
typedef int64_t products_of(const qnn_conv *op, const void *input, const window *at, int32_t channel);

static int64_t all_products(const qnn_conv *op, const void *input, const window *at, int32_t channel)
{
    /* Neighbouring taps are contiguous in memory, unless dilated. */
    int32_t run = op->dilation_width == 1 ? op->kernel_width : 1;
    int32_t offset = op->weights_offset ? op->weights_offset[channel] : 0, ky, kx;
    int64_t sum = 0;
    for (ky = at->top; ky < at->bottom; ky++) {
        int32_t line = (at->y + ky * op->dilation_height) * op->in.width + at->x;
        int32_t tap = (channel * op->kernel_height + ky) * op->kernel_width;
        for (kx = at->left; kx < at->right; kx += run)
            sum += dot(op, input, (line + kx * op->dilation_width) * op->in.channels, (tap + kx) * op->in.channels,
                       min_of(run, at->right - kx) * op->in.channels, offset);
    }
    return sum;
}

static int64_t depthwise_products(const qnn_conv *op, const void *input, const window *at, int32_t channel)
{
    int32_t times = op->out.channels / op->in.channels;
    int32_t offset = op->weights_offset ? op->weights_offset[channel] : 0, ky, kx;
    int64_t sum = 0;
    for (ky = at->top; ky < at->bottom; ky++) {
        int32_t line = (at->y + ky * op->dilation_height) * op->in.width + at->x, tap = ky * op->kernel_width;
        for (kx = at->left; kx < at->right; kx++) {
            int32_t from = (line + kx * op->dilation_width) * op->in.channels + channel / times;
            int32_t weight = (tap + kx) * op->out.channels + channel;
            sum += (int64_t)(code_at(input, op->in.storage, from) + op->input_offset)
                 * (code_at(op->weights, op->weights_storage, weight) + offset);
        }
    }
    return sum;
}

/* Store the output codes of the sums of `count` channels from `channel` on; `place` is the index of the first. */
static void put_sums(const qnn_conv *op, void *output, int32_t place, int32_t channel, int32_t count,
                     const int64_t *sums)
{
    const int32_t *multiplier = op->multiplier + channel;
    const qnn_shift *shift = op->shift + channel;
    /* Copies: for all that a compiler knows, a stored code could change the originals. */
    int32_t offset = op->output_offset, low = op->activation_min, high = op->activation_max, c = 0;
    qnn_storage storage = op->out.storage;
#ifdef QATVIZ_NN_AVX2
    if (storage == QNN_INT8 && __builtin_cpu_supports("avx2"))
        c = put_codes_avx2(sums, multiplier, shift, count, offset, low, high, (int8_t *)output + place);
#endif
    for (; c < count; c++)
        put_code(output, storage, place + c, requantize(sums[c], multiplier[c], shift[c]) + offset, low, high);
}

#if VECTOR == 1

/* As requantize, for sums of 32 bits; the result may exceed them only if the shift is above -2. */
FAST
static int64_t requantize_short(int32_t sum, int32_t multiplier, int32_t shift)
{
    int32_t right = -1 - shift, high;
    if (right < 1)
        return requantize(sum, multiplier, shift);
    /* The lower half of the product does not change the result. */
    high = (int32_t)floor_shift((int64_t)sum * multiplier, 32);
    high += (int32_t)1 << (right - 1);
#ifdef __GNUC__
    return high >> right; /* see floor_shift; one instruction for 32 bits */
#else
    return floor_shift(high, right);
#endif
}

/* Store the output codes of the sums of `count` channels from `channel` on. */
FAST
static void put_short_sums(const qnn_conv *op, int8_t *output, int32_t channel, int32_t count, const int32_t *sums)
{
    const int32_t *multiplier = op->multiplier + channel;
    const qnn_shift *shift = op->shift + channel;
    int32_t offset = op->output_offset, low = op->activation_min, high = op->activation_max, c = 0;
#ifdef QATVIZ_NN_MVE
    c = put_codes(sums, multiplier, shift, count, offset, low, high, output);
#endif
    for (; c < count; c++)
        put_code(output, QNN_INT8, c, requantize_short(sums[c], multiplier[c], shift[c]) + offset, low, high);
}

#endif

FAST
static window window_at(const qnn_conv *op, int32_t row, int32_t column)
{
    window at;
    at.y = row * op->stride_height - op->pad_top;
    at.x = column * op->stride_width - op->pad_left;
    taps_inside(at.y, op->kernel_height, op->dilation_height, op->in.height, &at.top, &at.bottom);
    taps_inside(at.x, op->kernel_width, op->dilation_width, op->in.width, &at.left, &at.right);
    return at;
}

static void convolve(const qnn_conv *op, const void *input, void *output, products_of *products)
{
    int32_t row, column, channel, place = 0;
    for (row = 0; row < op->out.height; row++)
        for (column = 0; column < op->out.width; column++) {
            window at = window_at(op, row, column);
            for (channel = 0; channel < op->out.channels; channel++, place++) {
                int64_t sum = bias_of(op, channel) + products(op, input, &at, channel);
                put_sums(op, output, place, channel, 1, &sum);
            }
        }
}

/* ---- Convolutions of 8 bits ---- */

/* Taps of a window: as int16 with their offset, where vector instructions multiply these; else the codes. */
#if VECTOR > 1
typedef int16_t tap;
#else
typedef int8_t tap;
#endif

FAST
static void put_taps(const int8_t *codes, int32_t count, int32_t offset, tap *taps)
{
#if VECTOR > 1
    widen(codes, count, offset, taps);
#else
    (void)offset;
    memcpy(taps, codes, (size_t)count);
#endif
}

FAST
static void pad_taps(int32_t count, int32_t offset, tap *taps)
{
#if VECTOR > 1
    (void)offset;
    memset(taps, 0, (size_t)count * sizeof *taps);
#else
    memset(taps, -offset, (size_t)count);
#endif
}

/* `count` taps of a window from `first` on; those in the padding have the value 0. */
FAST
static void gather(const qnn_conv *op, const int8_t *input, int32_t top, int32_t left, int32_t first, int32_t count,
                   tap *taps)
{
    /* Taps of a row of the kernel are contiguous in memory, unless dilated. */
    int32_t run = op->dilation_width == 1 ? op->kernel_width : 1, pieces = op->kernel_width / run;
    int32_t channels = op->in.channels, length = run * channels, skipped = first ? first % length : 0;
    int32_t ky = first ? first / length / pieces : 0, kx = first ? first / length % pieces : 0;
    int32_t offset = op->input_offset;
    while (count > 0) {
        int32_t part = min_of(count, length - skipped), end = skipped + part;
        int32_t y = top + ky * op->dilation_height, x = left + kx * op->dilation_width;
        int32_t low = x < 0 ? min_of(-x * channels, end) : 0, high = min_of((op->in.width - x) * channels, end);
        low = low > skipped ? low : skipped;
        if (y < 0 || y >= op->in.height || high <= low) {
            pad_taps(part, offset, taps);
        } else {
            if (low > skipped)
                pad_taps(low - skipped, offset, taps);
            put_taps(input + (y * op->in.width + x) * channels + low, high - low, offset, taps + low - skipped);
            if (end > high)
                pad_taps(end - high, offset, taps + high - skipped);
        }
        taps += part;
        count -= part;
        skipped = 0;
        if (++kx == pieces) {
            kx = 0;
            ky++;
        }
    }
}

#if VECTOR > 1

/* The weights of taps from `first` on of some channels, one row per channel; `length` numbers each, the last of them 0.
 * Rows of 0 follow up to a multiple of GROUP. */
static void load_rows(const qnn_conv *op, int32_t channel, int32_t channels, int32_t first, int32_t count,
                      int32_t length, int16_t *rows)
{
    int32_t c, taps = op->kernel_height * op->kernel_width * op->in.channels;
    for (c = 0; c < channels; c++, rows += length) {
        int32_t offset = op->weights_offset ? op->weights_offset[channel + c] : 0;
        load_weights(op, (channel + c) * taps + first, count, offset, rows);
        memset(rows + count, 0, (size_t)(length - count) * sizeof *rows);
    }
    for (; c % GROUP; c++, rows += length)
        memset(rows, 0, (size_t)length * sizeof *rows);
}

static void add_all(const int16_t *codes, const int16_t *rows, int32_t length, int32_t count, int64_t *sums)
{
#ifdef QATVIZ_NN_AVX2
    if (__builtin_cpu_supports("avx2")) {
        add_dots_avx2(codes, rows, length, count, sums);
        return;
    }
#endif
    add_dots(codes, rows, length, count, sums);
}

/* A convolution whose input has 8 bits: windows and weights are converted to rows of int16 on the stack, without
 * padding and offsets, so that all that remains are sums of products. Rows of weights are kept for all windows, unless
 * they are longer than TAPS. */
static void convolve_rows(const qnn_conv *op, const int8_t *input, void *output)
{
    int16_t rows[GROUP * TAPS], codes[TAPS];
    int64_t sums[CHANNELS];
    int32_t taps = op->kernel_height * op->kernel_width * op->in.channels;
    int32_t length = min_of((taps + LANES - 1) / LANES * LANES, TAPS);
    int32_t most = min_of(GROUP * TAPS / length / GROUP * GROUP, CHANNELS), channel, row, column, first, c;
    for (channel = 0; channel < op->out.channels; channel += most) {
        int32_t channels = min_of(most, op->out.channels - channel), full = (channels + GROUP - 1) / GROUP * GROUP;
        if (taps <= length)
            load_rows(op, channel, channels, 0, taps, length, rows);
        for (row = 0; row < op->out.height; row++)
            for (column = 0; column < op->out.width; column++) {
                int32_t top = row * op->stride_height - op->pad_top, left = column * op->stride_width - op->pad_left;
                int32_t place = (row * op->out.width + column) * op->out.channels + channel;
                for (c = 0; c < full; c++)
                    sums[c] = c < channels ? bias_of(op, channel + c) : 0;
                for (first = 0; first < taps; first += length) {
                    int32_t count = min_of(length, taps - first);
                    if (taps > length)
                        load_rows(op, channel, channels, first, count, length, rows);
                    gather(op, input, top, left, first, count, codes);
                    memset(codes + count, 0, (size_t)(length - count) * sizeof *codes);
                    add_all(codes, rows, length, full, sums);
                }
                put_sums(op, output, place, channel, channels, sums);
            }
    }
}

#else

/* Rows of weights, `stride` bytes apart: int8, or two of 4 bits per byte. */
typedef struct {
    const int8_t *weights;
    int32_t stride;
    int packed;
} weight_rows;

/* Whether rows of weights of 4 bits are multiplied as they are stored; else they are unpacked. */
static int keeps_packed(const qnn_conv *op, int32_t taps)
{
    return PACKED_ROWS && op->weights_storage == QNN_INT4 && taps % 2 == 0;
}

/* The weights of `count` taps from `first` on, unpacked to `memory` where necessary. */
static weight_rows rows_of(const qnn_conv *op, int32_t channel, int32_t channels, int32_t first, int32_t count,
                           int8_t *memory)
{
    int32_t c, taps = op->kernel_height * op->kernel_width * op->in.channels;
    weight_rows rows = {memory, count, 0};
    if (op->weights_storage == QNN_INT8) {
        rows.weights = (const int8_t *)op->weights + channel * taps + first;
        rows.stride = taps;
    } else if (keeps_packed(op, taps)) {
        rows.weights = (const int8_t *)op->weights + (channel * taps + first) / 2;
        rows.stride = taps / 2;
        rows.packed = 1;
    } else {
        for (c = 0; c < channels; c++)
            unpack(op->weights, (channel + c) * taps + first, count, memory + c * count);
    }
    return rows;
}

/* Add what is the same for all windows to the sums that they start with. */
static void add_offset_products(weight_rows rows, int32_t count, int32_t channels, int32_t offset, int32_t *start)
{
    int32_t c;
    for (c = 0; c < channels; c++, rows.weights += rows.stride)
#if PACKED_ROWS
        if (rows.packed)
            start[c] += packed_offset_products((const uint8_t *)rows.weights, count, offset);
        else
#endif
            start[c] += offset_products(rows.weights, count, offset);
}

/* Add to sums the products of `count` taps of a window from `first` on. */
FAST
static void add_window(const qnn_conv *op, const int8_t *input, int32_t top, int32_t left, int32_t first, int32_t count,
                       weight_rows rows, int32_t channel, int32_t channels, int32_t *sums)
{
    int8_t taps[WINDOW];
    WINDOW_ALIGNED window_code memory[WINDOW];
    const int8_t *codes = taps;
    const window_code *window;
    int32_t c, total;
    if (op->kernel_height * op->kernel_width == 1)
        codes = input + (top * op->in.width + left) * op->in.channels + first;
    else
        gather(op, input, top, left, first, count, taps);
#if PACKED_ROWS
    if (rows.packed) {
        int32_t excess;
        window = packed_window(codes, count, op->input_offset, memory, &excess);
        add_packed_dots(window, (const uint8_t *)rows.weights, rows.stride, count, channels, excess, sums);
    } else
#endif
    {
        window = window_codes(codes, count, op->input_offset, memory);
        add_dots(window, rows.weights, rows.stride, count, channels, sums);
    }
    if (op->weights_offset) {
        total = window_total(codes, count, op->input_offset);
        for (c = 0; c < channels; c++)
            sums[c] += total * op->weights_offset[channel + c];
    }
}

/* A convolution of 8 bits with sums of 32: each window is multiplied by the weights of all channels. */
FAST
static void convolve_windows(const qnn_conv *op, const int8_t *input, int8_t *output)
{
    int8_t memory[ROWS * TAPS];
    int32_t start[CHANNELS], sums[CHANNELS];
    int32_t taps = op->kernel_height * op->kernel_width * op->in.channels;
    int unpacks = op->weights_storage == QNN_INT4 && !keeps_packed(op, taps);
    int32_t length = min_of(taps, unpacks ? TAPS : WINDOW);
    int32_t most = unpacks ? min_of(ROWS * TAPS / length, CHANNELS) : CHANNELS, channel, row, column, first, c;
    for (channel = 0; channel < op->out.channels; channel += most) {
        int32_t channels = min_of(most, op->out.channels - channel);
        weight_rows rows = rows_of(op, channel, channels, 0, length, memory);
        for (c = 0; c < channels; c++)
            start[c] = op->bias[channel + c];
        for (first = 0; first < taps && OFFSET_APART; first += length) {
            int32_t count = min_of(length, taps - first);
            rows = rows_of(op, channel, channels, first, count, memory);
            add_offset_products(rows, count, channels, op->input_offset, start);
        }
        for (row = 0; row < op->out.height; row++)
            for (column = 0; column < op->out.width; column++) {
                int32_t top = row * op->stride_height - op->pad_top, left = column * op->stride_width - op->pad_left;
                int32_t place = (row * op->out.width + column) * op->out.channels + channel;
                memcpy(sums, start, sizeof sums);
                for (first = 0; first < taps; first += length) {
                    int32_t count = min_of(length, taps - first);
                    if (taps > length)
                        rows = rows_of(op, channel, channels, first, count, memory);
                    add_window(op, input, top, left, first, count, rows, channel, channels, sums);
                }
                put_short_sums(op, output + place, channel, channels, sums);
            }
    }
}

#endif

/* Add to LANES sums the products of the taps of a row of a window, `step` codes apart; `count` of them are stored. */
FAST
static void add_taps(const int8_t *codes, int32_t count, int32_t step, int32_t taps, int32_t offset,
                     const int16_t *weights, int32_t *sums)
{
    int32_t i;
#ifdef QATVIZ_NN_AVX2
    if (count == LANES && __builtin_cpu_supports("avx2")) {
        add_taps_avx2(codes, step, taps, offset, weights, sums);
        return;
    }
#endif
    for (; taps > 0; taps--, codes += step, weights += LANES) {
        if (count == LANES)
            add_products(codes, offset, weights, sums);
        else
            for (i = 0; i < count; i++)
                sums[i] += (codes[i] + offset) * weights[i];
    }
}

/* A depthwise convolution of 8 bits with as many outputs as inputs: LANES channels at once. */
FAST
static void convolve_lanes(const qnn_conv *op, const int8_t *input, void *output)
{
    int16_t rows[TAPS];
    int64_t wide[LANES];
    int32_t taps = op->kernel_height * op->kernel_width, channels = op->out.channels;
    int32_t channel, row, column, tap, ky, i;
    for (channel = 0; channel < channels; channel += LANES) {
        int32_t count = min_of(LANES, channels - channel);
        for (tap = 0; tap < taps; tap++) {
            load_weights(op, tap * channels + channel, count, 0, rows + tap * LANES);
            for (i = 0; i < count && op->weights_offset; i++)
                rows[tap * LANES + i] = (int16_t)(rows[tap * LANES + i] + op->weights_offset[channel + i]);
            memset(rows + tap * LANES + count, 0, (size_t)(LANES - count) * sizeof *rows);
        }
        for (row = 0; row < op->out.height; row++)
            for (column = 0; column < op->out.width; column++) {
                window at = window_at(op, row, column);
                int32_t sums[LANES] = {0};
                for (ky = at.top; ky < at.bottom && at.left < at.right; ky++) {
                    int32_t x = at.x + at.left * op->dilation_width;
                    int32_t from = ((at.y + ky * op->dilation_height) * op->in.width + x) * channels + channel;
                    add_taps(input + from, count, op->dilation_width * channels, at.right - at.left, op->input_offset,
                             rows + (ky * op->kernel_width + at.left) * LANES, sums);
                }
                for (i = 0; i < count; i++)
                    wide[i] = bias_of(op, channel + i) + sums[i];
                put_sums(op, output, (row * op->out.width + column) * channels + channel, channel, count, wide);
            }
    }
}

#if VECTOR == 1 && QUICK_CHANNELS > 0

/* The same with instructions for QUICK_CHANNELS channels at once; the last ones are computed twice if their number is
 * no multiple of it. */
FAST
static void convolve_channels(const qnn_conv *op, const int8_t *input, const int8_t *weights, int8_t *output)
{
    int32_t channels = op->out.channels, row, column, channel;
    inner_taps taps;
    taps.input_row = op->dilation_height * op->in.width * channels;
    taps.input_column = op->dilation_width * channels;
    taps.weights_row = op->kernel_width * channels;
    taps.weights_column = channels;
    for (row = 0; row < op->out.height; row++)
        for (column = 0; column < op->out.width; column++, output += channels) {
            window at = window_at(op, row, column);
            int32_t y = at.y + at.top * op->dilation_height, x = at.x + at.left * op->dilation_width, from = 0, by = 0;
            taps.rows = at.bottom - at.top;
            taps.columns = at.right - at.left;
            if (taps.rows > 0 && taps.columns > 0) {
                from = (y * op->in.width + x) * channels;
                by = (at.top * op->kernel_width + at.left) * channels;
            }
            for (channel = 0; channel < channels; channel += QUICK_CHANNELS) {
                int32_t sums[QUICK_CHANNELS], c = min_of(channel, channels - QUICK_CHANNELS);
                memcpy(sums, op->bias + c, sizeof sums);
                add_taps_of_channels(input + from + c, weights + by + c, &taps, op->input_offset, sums);
                put_short_sums(op, output + c, c, QUICK_CHANNELS, sums);
            }
        }
}

static void convolve_unpacked_channels(const qnn_conv *op, const int8_t *input, int32_t count, int8_t *output)
{
    int8_t weights[UNPACKED];
    unpack(op->weights, 0, count, weights);
    convolve_channels(op, input, weights, output);
}

#endif

#if VECTOR == 1

/* Whether a convolution can be computed with sums of 32 bits, each of `taps` products. */
static int has_short_sums(const qnn_conv *op, int32_t taps)
{
    return op->in.storage == QNN_INT8 && op->out.storage == QNN_INT8 && op->weights_storage != QNN_INT16 && op->bias
        && taps <= SHORT_SUM_WITH_BIAS;
}

#endif

void qnn_conv2d(const qnn_conv *op, const void *input, void *output)
{
    if (BY_CMSIS_NN(conv2d, op, input, output))
        return;
#if VECTOR > 1
    if (op->in.storage == QNN_INT8 && op->weights_storage != QNN_INT16)
        convolve_rows(op, input, output);
#else
    if (has_short_sums(op, op->kernel_height * op->kernel_width * op->in.channels))
        convolve_windows(op, input, output);
#endif
    else
        convolve(op, input, output, all_products);
}

/* The products of all taps of a window with the weights of one channel, which read a part of the input's channels. */
static int64_t group_products(const qnn_grouped_conv *grouped, const void *input, const window *at, int32_t channel)
{
    const qnn_conv *op = &grouped->conv;
    int32_t channels = op->in.channels / grouped->groups, ky, kx;
    int32_t first = channel / (op->out.channels / grouped->groups) * channels;
    int32_t offset = op->weights_offset ? op->weights_offset[channel] : 0;
    int64_t sum = 0;
    for (ky = at->top; ky < at->bottom; ky++) {
        int32_t line = (at->y + ky * op->dilation_height) * op->in.width + at->x;
        int32_t tap = (channel * op->kernel_height + ky) * op->kernel_width;
        for (kx = at->left; kx < at->right; kx++)
            sum += dot(op, input, (line + kx * op->dilation_width) * op->in.channels + first, (tap + kx) * channels,
                       channels, offset);
    }
    return sum;
}

void qnn_grouped_conv2d(const qnn_grouped_conv *grouped, const void *input, void *output)
{
    const qnn_conv *op = &grouped->conv;
    int32_t row, column, channel, place = 0;
    for (row = 0; row < op->out.height; row++)
        for (column = 0; column < op->out.width; column++) {
            window at = window_at(op, row, column);
            for (channel = 0; channel < op->out.channels; channel++, place++) {
                int64_t sum = bias_of(op, channel) + group_products(grouped, input, &at, channel);
                put_sums(op, output, place, channel, 1, &sum);
            }
        }
}

void qnn_depthwise_conv2d(const qnn_conv *op, const void *input, void *output)
{
    int32_t taps = op->kernel_height * op->kernel_width;
    if (BY_CMSIS_NN(depthwise_conv2d, op, input, output))
        return;
#if VECTOR == 1 && QUICK_CHANNELS > 0
    if (has_short_sums(op, taps) && !op->weights_offset && op->in.channels == op->out.channels
        && op->out.channels >= QUICK_CHANNELS) {
        if (op->weights_storage == QNN_INT8) {
            convolve_channels(op, input, op->weights, output);
            return;
        }
        if (taps * op->out.channels <= UNPACKED) {
            convolve_unpacked_channels(op, input, taps * op->out.channels, output);
            return;
        }
    }
#endif
    if (op->in.storage == QNN_INT8 && op->weights_storage != QNN_INT16 && op->in.channels == op->out.channels
        && taps * LANES <= TAPS)
        convolve_lanes(op, input, output);
    else
        convolve(op, input, output, depthwise_products);
}

/* The input pixel of a tap of a transposed convolution, if there is one; else -1. */
static int32_t source_of(int32_t place, int32_t tap, int32_t stride, int32_t extent)
{
    int32_t at = place - tap;
    return at >= 0 && at % stride == 0 && at / stride < extent ? at / stride : -1;
}

void qnn_transposed_conv2d(const qnn_conv *op, const void *input, void *output)
{
    int32_t row, column, channel, ky, kx, i, place = 0, channels = op->in.channels;
    for (row = op->pad_top; row < op->out.height + op->pad_top; row++)
        for (column = op->pad_left; column < op->out.width + op->pad_left; column++)
            for (channel = 0; channel < op->out.channels; channel++, place++) {
                int64_t sum = bias_of(op, channel);
                int32_t offset = op->weights_offset ? op->weights_offset[channel] : 0;
                for (ky = 0; ky < op->kernel_height; ky++) {
                    int32_t y = source_of(row, ky, op->stride_height, op->in.height);
                    for (kx = 0; kx < op->kernel_width && y >= 0; kx++) {
                        int32_t x = source_of(column, kx, op->stride_width, op->in.width);
                        int32_t w = ((channel * op->kernel_height + ky) * op->kernel_width + kx) * channels;
                        int32_t from = (y * op->in.width + x) * channels;
                        if (x < 0)
                            continue;
                        for (i = 0; i < channels; i++)
                            sum += (int64_t)(code_at(input, op->in.storage, from + i) + op->input_offset)
                                   * (code_at(op->weights, op->weights_storage, w + i) + offset);
                    }
                }
                put_code(output, op->out.storage, place,
                         requantize(sum, op->multiplier[channel], op->shift[channel]) + op->output_offset,
                         op->activation_min, op->activation_max);
            }
}

/* ---- Pools ---- */

/* The output code of a window, for one channel. */
typedef int64_t code_of(const qnn_pool *op, const void *input, const window *at, int32_t channel);

static int64_t largest(const qnn_pool *op, const void *input, const window *at, int32_t channel)
{
    int32_t found = INT32_MIN, ky, kx;
    for (ky = at->top; ky < at->bottom; ky++)
        for (kx = at->left; kx < at->right; kx++) {
            int32_t from = ((at->y + ky) * op->in.width + at->x + kx) * op->in.channels + channel;
            int32_t code = code_at(input, op->in.storage, from);
            if (code > found)
                found = code;
        }
    return found;
}

static int64_t average(const qnn_pool *op, const void *input, const window *at, int32_t channel)
{
    int32_t count = (at->bottom - at->top) * (at->right - at->left), ky, kx;
    int64_t sum = 0;
    for (ky = at->top; ky < at->bottom; ky++)
        for (kx = at->left; kx < at->right; kx++) {
            int32_t from = ((at->y + ky) * op->in.width + at->x + kx) * op->in.channels + channel;
            sum += code_at(input, op->in.storage, from) - op->tie_center;
        }
    /* Division rounds towards 0. */
    return (sum > 0 ? sum + count / 2 : sum - count / 2) / count + op->tie_center;
}

static window pool_window(const qnn_pool *op, int32_t row, int32_t column)
{
    window at;
    at.y = row * op->stride_height - op->pad_top;
    at.x = column * op->stride_width - op->pad_left;
    taps_inside(at.y, op->pool_height, 1, op->in.height, &at.top, &at.bottom);
    taps_inside(at.x, op->pool_width, 1, op->in.width, &at.left, &at.right);
    return at;
}

static void pool(const qnn_pool *op, const void *input, void *output, code_of *code)
{
    int32_t row, column, channel, place = 0;
    for (row = 0; row < op->out.height; row++)
        for (column = 0; column < op->out.width; column++) {
            window at = pool_window(op, row, column);
            for (channel = 0; channel < op->out.channels; channel++, place++)
                put_code(output, op->out.storage, place, code(op, input, &at, channel),
                         op->activation_min, op->activation_max);
        }
}

/* A max pool of 8 bits: LANES channels at once. */
FAST
static void largest_of_lanes(const qnn_pool *op, const int8_t *input, int8_t *output)
{
    int32_t channels = op->in.channels, row, column, channel, ky, kx, k;
    for (row = 0; row < op->out.height; row++)
        for (column = 0; column < op->out.width; column++, output += channels) {
            window at = pool_window(op, row, column);
            for (channel = 0; channel < channels; channel += LANES) {
                int32_t count = min_of(LANES, channels - channel);
                int8_t found[LANES];
                memset(found, op->activation_min, sizeof found);
                for (ky = at.top; ky < at.bottom; ky++)
                    for (kx = at.left; kx < at.right; kx++) {
                        const int8_t *from = input + ((at.y + ky) * op->in.width + at.x + kx) * channels + channel;
                        if (count == LANES)
                            keep_largest(from, found);
                        else
                            for (k = 0; k < count; k++)
                                found[k] = from[k] > found[k] ? from[k] : found[k];
                    }
                for (k = 0; k < count; k++)
                    output[channel + k] = (int8_t)min_of(found[k], op->activation_max);
            }
        }
}

void qnn_max_pool(const qnn_pool *op, const void *input, void *output)
{
    if (BY_CMSIS_NN(max_pool, op, input, output))
        return;
    if (op->in.storage == QNN_INT8 && op->out.storage == QNN_INT8)
        largest_of_lanes(op, input, output);
    else
        pool(op, input, output, largest);
}

void qnn_average_pool(const qnn_pool *op, const void *input, void *output)
{
    if (BY_CMSIS_NN(average_pool, op, input, output))
        return;
    pool(op, input, output, average);
}

void qnn_global_average(const qnn_mean *op, const void *input, void *output)
{
    int32_t channel, i, count = op->in.height * op->in.width;
    for (channel = 0; channel < op->out.channels; channel++) {
        int64_t sum = 0;
        for (i = 0; i < count; i++)
            sum += code_at(input, op->in.storage, i * op->in.channels + channel) + op->input_offset;
        put_code(output, op->out.storage, channel,
                 requantize(3 * sum + 1, op->multiplier, op->shift) + op->output_offset,
                 op->activation_min, op->activation_max);
    }
}

/* ---- Several inputs; copies ---- */

/* Add to sums the codes of an input from `first` on, with an offset, times a multiplier. */
FAST
static void add_scaled(const void *input, qnn_storage storage, int32_t first, int32_t count, int32_t offset,
                       int64_t multiplier, int64_t *sums)
{
    int32_t i;
    if (storage == QNN_INT8)
        for (i = 0; i < count; i++)
            sums[i] += (((const int8_t *)input)[first + i] + offset) * multiplier;
    else
        for (i = 0; i < count; i++)
            sums[i] += (code_at(input, storage, first + i) + offset) * multiplier;
}

/* A sum of two inputs, all of 8 bits. */
FAST
static void add_two(const qnn_sum *op, const int8_t *a, const int8_t *b, int8_t *output)
{
    /* Copies: for all that a compiler knows, a stored code could change the originals. */
    int32_t a_offset = op->input_offset[0], b_offset = op->input_offset[1], i, count = op->count;
    int32_t a_multiplier = op->multiplier[0], b_multiplier = op->multiplier[1], shift = op->shift;
    int32_t offset = op->output_offset, low = op->activation_min, high = op->activation_max;
    for (i = 0; i < count; i++) {
        int64_t sum = (int64_t)(a[i] + a_offset) * a_multiplier + (int64_t)(b[i] + b_offset) * b_multiplier;
        put_code(output, QNN_INT8, i, requantize(sum, 1, shift) + offset, low, high);
    }
}

void qnn_add(const qnn_sum *op, const void *const *inputs, void *output)
{
    int32_t first, count, i, k;
    if (op->inputs == 2 && op->in_storage[0] == QNN_INT8 && op->in_storage[1] == QNN_INT8
        && op->out_storage == QNN_INT8) {
        add_two(op, inputs[0], inputs[1], output);
        return;
    }
    for (first = 0; first < op->count; first += count) {
        int64_t sums[CHANNELS] = {0};
        count = min_of(CHANNELS, op->count - first);
        for (k = 0; k < op->inputs; k++)
            add_scaled(inputs[k], op->in_storage[k], first, count, op->input_offset[k], op->multiplier[k], sums);
        for (i = 0; i < count; i++)
            put_code(output, op->out_storage, first + i, requantize(sums[i], 1, op->shift) + op->output_offset,
                     op->activation_min, op->activation_max);
    }
}

void qnn_add_rounded(const qnn_rounded_sum *op, const void *const *inputs, void *output)
{
    int32_t i, k;
    for (i = 0; i < op->count; i++) {
        int64_t sum = 0;
        for (k = 0; k < op->inputs; k++)
            sum += rounded_twice(code_at(inputs[k], op->in_storage[k], i) + op->input_offset[k],
                                 op->multiplier[k], op->shift[k]);
        put_code(output, op->out_storage, i,
                 rounded_twice(sum, op->multiplier[op->inputs], op->shift[op->inputs]) + op->output_offset,
                 op->activation_min, op->activation_max);
    }
}

void qnn_concat(const qnn_join *op, const void *const *inputs, void *output)
{
    int32_t n, k, i, place = 0;
    for (n = 0; n < op->outer; n++)
        for (k = 0; k < op->inputs; k++)
            for (i = 0; i < op->piece[k]; i++)
                put_code(output, op->storage, place++, code_at(inputs[k], op->storage, n * op->piece[k] + i),
                         op->activation_min, op->activation_max);
}

/* Result of two codes with their offsets, before the output's. */
typedef int64_t pair_of(const qnn_pair *op, int64_t a, int64_t b);

static void pairs(const qnn_pair *op, const void *const *inputs, void *output, pair_of *result)
{
    int32_t at[4], place = 0, axis, k;
    for (at[0] = 0; at[0] < op->count[0]; at[0]++)
        for (at[1] = 0; at[1] < op->count[1]; at[1]++)
            for (at[2] = 0; at[2] < op->count[2]; at[2]++)
                for (at[3] = 0; at[3] < op->count[3]; at[3]++) {
                    int64_t codes[2];
                    for (k = 0; k < 2; k++) {
                        int32_t from = 0;
                        for (axis = 0; axis < 4; axis++)
                            from += at[axis] * op->stride[k][axis];
                        codes[k] = code_at(inputs[k], op->in_storage[k], from) + op->input_offset[k];
                    }
                    put_code(output, op->out_storage, place++, result(op, codes[0], codes[1]) + op->output_offset,
                             op->activation_min, op->activation_max);
                }
}

static int64_t product_of_pair(const qnn_pair *op, int64_t a, int64_t b)
{
    return requantize(a * b, op->multiplier[0], op->shift[0]);
}

static int64_t rounded_product_of_pair(const qnn_pair *op, int64_t a, int64_t b)
{
    return rounded_twice(a * b, op->multiplier[0], op->shift[0]);
}

static int64_t sum_of_pair(const qnn_pair *op, int64_t a, int64_t b)
{
    return requantize(a * op->multiplier[0] + op->sign * b * op->multiplier[1], 1, op->shift[0]);
}

static int64_t rounded_sum_of_pair(const qnn_pair *op, int64_t a, int64_t b)
{
    int64_t first = rounded_twice(a, op->multiplier[0], op->shift[0]);
    int64_t second = rounded_twice(b, op->multiplier[1], op->shift[1]);
    return rounded_twice(first + op->sign * second, op->multiplier[2], op->shift[2]);
}

static int64_t larger_of_pair(const qnn_pair *op, int64_t a, int64_t b)
{
    (void)op;
    return a > b ? a : b;
}

static int64_t smaller_of_pair(const qnn_pair *op, int64_t a, int64_t b)
{
    (void)op;
    return a < b ? a : b;
}

void qnn_multiply(const qnn_pair *op, const void *const *inputs, void *output)
{
    pairs(op, inputs, output, product_of_pair);
}

void qnn_multiply_rounded(const qnn_pair *op, const void *const *inputs, void *output)
{
    pairs(op, inputs, output, rounded_product_of_pair);
}

void qnn_add_pair(const qnn_pair *op, const void *const *inputs, void *output)
{
    pairs(op, inputs, output, sum_of_pair);
}

void qnn_add_pair_rounded(const qnn_pair *op, const void *const *inputs, void *output)
{
    pairs(op, inputs, output, rounded_sum_of_pair);
}

void qnn_maximum(const qnn_pair *op, const void *const *inputs, void *output)
{
    pairs(op, inputs, output, larger_of_pair);
}

void qnn_minimum(const qnn_pair *op, const void *const *inputs, void *output)
{
    pairs(op, inputs, output, smaller_of_pair);
}

static void matrices(const qnn_matrices *op, const void *const *inputs, void *output, int twice)
{
    int32_t n, row, column, k, place = 0;
    for (n = 0; n < op->count; n++)
        for (row = 0; row < op->rows; row++)
            for (column = 0; column < op->columns; column++) {
                int32_t first = (n * op->rows + row) * op->terms;
                int32_t second = n * op->columns * op->terms + column * op->stride[1];
                int64_t sum = 0;
                for (k = 0; k < op->terms; k++) {
                    int64_t a = code_at(inputs[0], op->in_storage[0], first + k) + op->input_offset[0];
                    int64_t b = code_at(inputs[1], op->in_storage[1], second + k * op->stride[0]) + op->input_offset[1];
                    sum += a * b;
                }
                sum = twice ? rounded_twice(sum, op->multiplier, op->shift) : requantize(sum, op->multiplier, op->shift);
                put_code(output, op->out_storage, place++, sum + op->output_offset, op->activation_min,
                         op->activation_max);
            }
}

void qnn_matmul(const qnn_matrices *op, const void *const *inputs, void *output)
{
    matrices(op, inputs, output, 0);
}

void qnn_matmul_rounded(const qnn_matrices *op, const void *const *inputs, void *output)
{
    matrices(op, inputs, output, 1);
}

void qnn_lookup(const qnn_function *op, const void *input, void *output)
{
    int32_t i;
    for (i = 0; i < op->count; i++) {
        int32_t code = code_at(op->table, op->out_storage, code_at(input, op->in_storage, i) - op->lowest);
        put_code(output, op->out_storage, i, code, code, code);
    }
}

void qnn_embedding(const qnn_table *op, const void *input, void *output)
{
    const int32_t *ids = (const int32_t *)input;
    int32_t i, line = bytes_of(op->storage, op->columns);
    for (i = 0; i < op->count; i++) {
        int32_t id = ids[i] < 0 ? 0 : min_of(ids[i], op->rows - 1);
        memcpy((char *)output + i * line, (const char *)op->table + id * line, (size_t)line);
    }
}

void qnn_pad(const qnn_border *op, const void *input, void *output)
{
    int32_t i, row, count = count_of(&op->out), line = op->in.width * op->in.channels;
    for (i = 0; i < count; i++)
        put_code(output, op->out.storage, i, op->zero_point, op->zero_point, op->zero_point);
    for (row = 0; row < op->in.height; row++) {
        int32_t place = ((row + op->pad_top) * op->out.width + op->pad_left) * op->out.channels;
        memcpy((char *)output + bytes_of(op->out.storage, place),
               (const char *)input + bytes_of(op->in.storage, row * line), (size_t)bytes_of(op->in.storage, line));
    }
}

void qnn_gather(const qnn_view *op, const void *input, void *output)
{
    int32_t at[QNN_AXES] = {0}, from = op->first, place = 0, axis = 0;
    int32_t line = op->count[QNN_AXES - 1], step = op->stride[QNN_AXES - 1], size = bytes_of(op->storage, 1), i;
    while (axis >= 0) {
        if (step == 1)
            memcpy((char *)output + place * size, (const char *)input + from * size, (size_t)(line * size));
        else
            for (i = 0; i < line; i++)
                memcpy((char *)output + (place + i) * size, (const char *)input + (from + i * step) * size,
                       (size_t)size);
        place += line;
        for (axis = QNN_AXES - 2; axis >= 0; axis--) {
            from += op->stride[axis];
            if (++at[axis] < op->count[axis])
                break;
            from -= op->count[axis] * op->stride[axis];
            at[axis] = 0;
        }
    }
}

void qnn_interpolate(const qnn_interpolation *op, const void *input, void *output)
{
    int32_t row, column, channel, channels = op->in.channels, place = 0;
    int64_t count = (int64_t)op->unit * op->unit;
    for (row = 0; row < op->out.height; row++)
        for (column = 0; column < op->out.width; column++) {
            int32_t y = op->row_position[row] / op->unit, x = op->column_position[column] / op->unit;
            int64_t down = op->row_position[row] % op->unit, right = op->column_position[column] % op->unit;
            int32_t above = y * op->in.width, below = min_of(y + 1, op->in.height - 1) * op->in.width;
            int32_t next = min_of(x + 1, op->in.width - 1);
            for (channel = 0; channel < channels; channel++, place++) {
                int64_t top = (op->unit - right) * code_at(input, op->in.storage, (above + x) * channels + channel)
                            + right * code_at(input, op->in.storage, (above + next) * channels + channel);
                int64_t bottom = (op->unit - right) * code_at(input, op->in.storage, (below + x) * channels + channel)
                               + right * code_at(input, op->in.storage, (below + next) * channels + channel);
                int64_t sum = (op->unit - down) * top + down * bottom - op->tie_center * count;
                int64_t size = (2 * (sum < 0 ? -sum : sum) + count) / (2 * count);
                int32_t code = op->tie_center + (int32_t)(sum < 0 ? -size : size);
                put_code(output, op->out.storage, place, code, code, code);
            }
        }
}

void qnn_clamp(const qnn_bounds *op, const void *input, void *output)
{
    int32_t i;
    for (i = 0; i < op->count; i++)
        put_code(output, op->storage, i, code_at(input, op->storage, i), op->activation_min, op->activation_max);
}
