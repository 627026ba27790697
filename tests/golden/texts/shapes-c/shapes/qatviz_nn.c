/* The reference runtime of models that qatviz exports as C; see qatviz_nn.h. */
#include "qatviz_nn.h"

#include <string.h>

/* Number of products of 8-bit codes, each at most 255 * 255, whose sum fits 32 bits. */
#define SHORT_SUM 32768

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

/* floor(value * 2^-bits): in C, shifts of negative numbers are implementation-defined. */
static int64_t floor_shift(int64_t value, int32_t bits)
{
    return value >= 0 ? value >> bits : ~(~value >> bits);
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
static void taps_inside(int32_t start, int32_t taps, int32_t dilation, int32_t extent, int32_t *first, int32_t *last)
{
    *first = start < 0 ? (-start + dilation - 1) / dilation : 0;
    *last = start < extent ? min_of(taps, (extent - start + dilation - 1) / dilation) : 0;
}

/* ---- Convolutions ---- */

/* The sum of products of `count` input codes from x on and as many weights from w on. */
static int64_t dot(const qnn_conv *op, const void *input, int32_t x, int32_t w, int32_t count, int32_t weights_offset)
{
    int64_t sum = 0;
    int32_t i;
    if (op->in.storage == QNN_INT8 && op->weights_storage == QNN_INT8) {
        const int8_t *codes = (const int8_t *)input + x, *weights = (const int8_t *)op->weights + w;
        while (count > 0) {
            int32_t part = 0, length = min_of(count, SHORT_SUM);
            for (i = 0; i < length; i++)
                part += (codes[i] + op->input_offset) * (weights[i] + weights_offset);
            sum += part;
            codes += length;
            weights += length;
            count -= length;
        }
        return sum;
    }
    /* As below, but twice as fast, because the storage is known at compile time. */
    if (op->in.storage == QNN_INT8 && op->weights_storage == QNN_INT4) {
        for (i = 0; i < count; i++)
            sum += (((const int8_t *)input)[x + i] + op->input_offset)
                 * (code_at(op->weights, QNN_INT4, w + i) + weights_offset);
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

static void convolve(const qnn_conv *op, const void *input, void *output, products_of *products)
{
    int32_t row, column, channel, place = 0;
    window at;
    for (row = 0; row < op->out.height; row++) {
        at.y = row * op->stride_height - op->pad_top;
        taps_inside(at.y, op->kernel_height, op->dilation_height, op->in.height, &at.top, &at.bottom);
        for (column = 0; column < op->out.width; column++) {
            at.x = column * op->stride_width - op->pad_left;
            taps_inside(at.x, op->kernel_width, op->dilation_width, op->in.width, &at.left, &at.right);
            for (channel = 0; channel < op->out.channels; channel++, place++) {
                int64_t sum = bias_of(op, channel) + products(op, input, &at, channel);
                put_code(output, op->out.storage, place,
                         requantize(sum, op->multiplier[channel], op->shift[channel]) + op->output_offset,
                         op->activation_min, op->activation_max);
            }
        }
    }
}

void qnn_conv2d(const qnn_conv *op, const void *input, void *output)
{
    convolve(op, input, output, all_products);
}

void qnn_depthwise_conv2d(const qnn_conv *op, const void *input, void *output)
{
    convolve(op, input, output, depthwise_products);
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

static void pool(const qnn_pool *op, const void *input, void *output, code_of *code)
{
    int32_t row, column, channel, place = 0;
    window at;
    for (row = 0; row < op->out.height; row++) {
        at.y = row * op->stride_height - op->pad_top;
        taps_inside(at.y, op->pool_height, 1, op->in.height, &at.top, &at.bottom);
        for (column = 0; column < op->out.width; column++) {
            at.x = column * op->stride_width - op->pad_left;
            taps_inside(at.x, op->pool_width, 1, op->in.width, &at.left, &at.right);
            for (channel = 0; channel < op->out.channels; channel++, place++)
                put_code(output, op->out.storage, place, code(op, input, &at, channel),
                         op->activation_min, op->activation_max);
        }
    }
}

void qnn_max_pool(const qnn_pool *op, const void *input, void *output)
{
    pool(op, input, output, largest);
}

void qnn_average_pool(const qnn_pool *op, const void *input, void *output)
{
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

void qnn_add(const qnn_sum *op, const void *const *inputs, void *output)
{
    int32_t i, k;
    for (i = 0; i < op->count; i++) {
        int64_t sum = 0;
        for (k = 0; k < op->inputs; k++)
            sum += (int64_t)(code_at(inputs[k], op->in_storage[k], i) + op->input_offset[k]) * op->multiplier[k];
        put_code(output, op->out_storage, i, requantize(sum, 1, op->shift) + op->output_offset,
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

void qnn_clamp(const qnn_bounds *op, const void *input, void *output)
{
    int32_t i;
    for (i = 0; i < op->count; i++)
        put_code(output, op->storage, i, code_at(input, op->storage, i), op->activation_min, op->activation_max);
}
