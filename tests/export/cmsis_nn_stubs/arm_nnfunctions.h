/* Stand-in for CMSIS-NN's header: its types and functions as its documentation describes them, in plain loops, with
 * single rounding. A function whose number is STUB_WRONG adds 1 to its outputs; one whose number is STUB_REFUSES computes
 * nothing and reports that there is no implementation.
 */
#ifndef ARM_NNFUNCTIONS_H
#define ARM_NNFUNCTIONS_H

#include <stdint.h>

#ifndef STUB_WRONG
#define STUB_WRONG 0
#endif
#ifndef STUB_REFUSES
#define STUB_REFUSES 0
#endif
enum { STUB_CONVOLVE = 1, STUB_DEPTHWISE, STUB_FULLY_CONNECTED, STUB_MAX_POOL, STUB_AVERAGE_POOL };

typedef enum { ARM_CMSIS_NN_SUCCESS = 0, ARM_CMSIS_NN_ARG_ERROR = -1, ARM_CMSIS_NN_NO_IMPL_ERROR = -2 } arm_cmsis_nn_status;
typedef struct { int32_t w, h; } cmsis_nn_tile;
typedef struct { void *buf; int32_t size; } cmsis_nn_context;
typedef struct { int32_t n, h, w, c; } cmsis_nn_dims;
typedef struct { int32_t *multiplier, *shift; } cmsis_nn_per_channel_quant_params;
typedef struct { int32_t min, max; } cmsis_nn_activation;
typedef struct {
    int32_t input_offset, output_offset;
    cmsis_nn_tile stride, padding, dilation;
    cmsis_nn_activation activation;
} cmsis_nn_conv_params;
typedef struct {
    int32_t input_offset, output_offset, ch_mult;
    cmsis_nn_tile stride, padding, dilation;
    cmsis_nn_activation activation;
} cmsis_nn_dw_conv_params;
typedef struct {
    cmsis_nn_tile stride, padding;
    cmsis_nn_activation activation;
} cmsis_nn_pool_params;
typedef struct {
    int32_t input_offset, filter_offset, output_offset;
    cmsis_nn_activation activation;
} cmsis_nn_fc_params;

static int8_t stub_code(int function, int64_t value, const cmsis_nn_activation *bounds)
{
    value = value < bounds->min ? bounds->min : value > bounds->max ? bounds->max : value;
    return (int8_t)(value + (function == STUB_WRONG && value < 127));
}

/* round(sum * multiplier * 2^(shift - 31)), half up. */
static int64_t stub_requantized(int64_t sum, int32_t multiplier, int32_t shift)
{
    int64_t divisor = (int64_t)1 << (31 - shift), product = sum * multiplier + divisor / 2;
    return product / divisor - (product % divisor < 0);
}

static int stub_has_memory(const cmsis_nn_context *ctx, int32_t needed)
{
    int32_t i;
    if (!ctx->buf || ctx->size < needed || (uintptr_t)ctx->buf % 4)
        return 0;
    for (i = 0; i < needed; i++)
        ((char *)ctx->buf)[i] = (char)i;
    return 1;
}

static int32_t stub_window(const cmsis_nn_dims *filter)
{
    return 4 * filter->h * filter->w * filter->c;
}

static int32_t arm_convolve_wrapper_s8_get_buffer_size(const cmsis_nn_conv_params *params, const cmsis_nn_dims *in,
                                                       const cmsis_nn_dims *filter, const cmsis_nn_dims *out)
{
    (void)params, (void)in, (void)out;
    return stub_window(filter);
}

static arm_cmsis_nn_status arm_convolve_wrapper_s8(const cmsis_nn_context *ctx, const cmsis_nn_conv_params *params,
                                                   const cmsis_nn_per_channel_quant_params *quant,
                                                   const cmsis_nn_dims *in, const int8_t *input,
                                                   const cmsis_nn_dims *filter, const int8_t *kernel,
                                                   const cmsis_nn_dims *bias_dims, const int32_t *bias,
                                                   const cmsis_nn_dims *out, int8_t *output)
{
    int32_t row, column, channel, ky, kx, c;
    if (STUB_REFUSES == STUB_CONVOLVE)
        return ARM_CMSIS_NN_NO_IMPL_ERROR;
    if (in->n != 1 || in->c != filter->c || bias_dims->c != out->c || !stub_has_memory(ctx, stub_window(filter)))
        return ARM_CMSIS_NN_ARG_ERROR;
    for (row = 0; row < out->h; row++)
        for (column = 0; column < out->w; column++)
            for (channel = 0; channel < out->c; channel++) {
                int64_t sum = bias[channel];
                for (ky = 0; ky < filter->h; ky++)
                    for (kx = 0; kx < filter->w; kx++) {
                        int32_t y = row * params->stride.h - params->padding.h + ky * params->dilation.h;
                        int32_t x = column * params->stride.w - params->padding.w + kx * params->dilation.w;
                        if (y < 0 || y >= in->h || x < 0 || x >= in->w)
                            continue;
                        for (c = 0; c < in->c; c++)
                            sum += (input[(y * in->w + x) * in->c + c] + params->input_offset)
                                 * kernel[((channel * filter->h + ky) * filter->w + kx) * in->c + c];
                    }
                *output++ = stub_code(STUB_CONVOLVE, stub_requantized(sum, quant->multiplier[channel],
                                      quant->shift[channel]) + params->output_offset, &params->activation);
            }
    return ARM_CMSIS_NN_SUCCESS;
}

static int32_t arm_depthwise_conv_wrapper_s8_get_buffer_size(const cmsis_nn_dw_conv_params *params,
                                                             const cmsis_nn_dims *in, const cmsis_nn_dims *filter,
                                                             const cmsis_nn_dims *out)
{
    (void)params, (void)in, (void)out;
    return stub_window(filter);
}

static arm_cmsis_nn_status arm_depthwise_conv_wrapper_s8(const cmsis_nn_context *ctx,
                                                         const cmsis_nn_dw_conv_params *params,
                                                         const cmsis_nn_per_channel_quant_params *quant,
                                                         const cmsis_nn_dims *in, const int8_t *input,
                                                         const cmsis_nn_dims *filter, const int8_t *kernel,
                                                         const cmsis_nn_dims *bias_dims, const int32_t *bias,
                                                         const cmsis_nn_dims *out, int8_t *output)
{
    int32_t row, column, channel, ky, kx;
    if (STUB_REFUSES == STUB_DEPTHWISE)
        return ARM_CMSIS_NN_NO_IMPL_ERROR;
    if (in->n != 1 || filter->n != 1 || filter->c != out->c || in->c * params->ch_mult != out->c
        || bias_dims->c != out->c || !stub_has_memory(ctx, stub_window(filter)))
        return ARM_CMSIS_NN_ARG_ERROR;
    for (row = 0; row < out->h; row++)
        for (column = 0; column < out->w; column++)
            for (channel = 0; channel < out->c; channel++) {
                int64_t sum = bias[channel];
                for (ky = 0; ky < filter->h; ky++)
                    for (kx = 0; kx < filter->w; kx++) {
                        int32_t y = row * params->stride.h - params->padding.h + ky * params->dilation.h;
                        int32_t x = column * params->stride.w - params->padding.w + kx * params->dilation.w;
                        if (y >= 0 && y < in->h && x >= 0 && x < in->w)
                            sum += (input[(y * in->w + x) * in->c + channel / params->ch_mult] + params->input_offset)
                                 * kernel[(ky * filter->w + kx) * out->c + channel];
                    }
                *output++ = stub_code(STUB_DEPTHWISE, stub_requantized(sum, quant->multiplier[channel],
                                      quant->shift[channel]) + params->output_offset, &params->activation);
            }
    return ARM_CMSIS_NN_SUCCESS;
}

/* With Helium, ctx->buf has the sums of kernel and bias in place of a bias: here always. */
static arm_cmsis_nn_status arm_fully_connected_per_channel_s8(const cmsis_nn_context *ctx,
                                                              const cmsis_nn_fc_params *params,
                                                              const cmsis_nn_per_channel_quant_params *quant,
                                                              const cmsis_nn_dims *in, const int8_t *input,
                                                              const cmsis_nn_dims *filter, const int8_t *kernel,
                                                              const cmsis_nn_dims *bias_dims, const int32_t *bias,
                                                              const cmsis_nn_dims *out, int8_t *output)
{
    const int32_t *sums = (const int32_t *)ctx->buf;
    int32_t channel, i;
    if (STUB_REFUSES == STUB_FULLY_CONNECTED)
        return ARM_CMSIS_NN_NO_IMPL_ERROR;
    if (in->n != 1 || filter->c != out->c || bias_dims->c != out->c || params->filter_offset
        || ctx->size != 4 * out->c)
        return ARM_CMSIS_NN_ARG_ERROR;
    for (channel = 0; channel < out->c; channel++) {
        int64_t sum = sums[channel], with_bias = bias[channel];
        for (i = 0; i < filter->n; i++) {
            int32_t weight = kernel[channel * filter->n + i];
            sum += input[i] * weight;
            with_bias += (input[i] + params->input_offset) * weight;
        }
        if (sum != with_bias)
            return ARM_CMSIS_NN_ARG_ERROR;
        output[channel] = stub_code(STUB_FULLY_CONNECTED, stub_requantized(sum, quant->multiplier[channel],
                                    quant->shift[channel]) + params->output_offset, &params->activation);
    }
    return ARM_CMSIS_NN_SUCCESS;
}

static arm_cmsis_nn_status stub_pool(int function, const cmsis_nn_pool_params *params, const cmsis_nn_dims *in,
                                     const int8_t *input, const cmsis_nn_dims *filter, const cmsis_nn_dims *out,
                                     int8_t *output)
{
    int32_t row, column, channel, y, x;
    if (STUB_REFUSES == function)
        return ARM_CMSIS_NN_NO_IMPL_ERROR;
    if (in->n != 1 || in->c != out->c)
        return ARM_CMSIS_NN_ARG_ERROR;
    for (row = 0; row < out->h; row++)
        for (column = 0; column < out->w; column++)
            for (channel = 0; channel < out->c; channel++) {
                int32_t top = row * params->stride.h - params->padding.h, count = 0, sum = 0, largest = -128;
                int32_t left = column * params->stride.w - params->padding.w;
                for (y = top < 0 ? 0 : top; y < top + filter->h && y < in->h; y++)
                    for (x = left < 0 ? 0 : left; x < left + filter->w && x < in->w; x++) {
                        int32_t code = input[(y * in->w + x) * in->c + channel];
                        largest = code > largest ? code : largest;
                        sum += code;
                        count++;
                    }
                if (function == STUB_AVERAGE_POOL)
                    largest = (sum > 0 ? sum + count / 2 : sum - count / 2) / count;
                *output++ = stub_code(function, largest, &params->activation);
            }
    return ARM_CMSIS_NN_SUCCESS;
}

static arm_cmsis_nn_status arm_max_pool_s8(const cmsis_nn_context *ctx, const cmsis_nn_pool_params *params,
                                           const cmsis_nn_dims *in, const int8_t *input, const cmsis_nn_dims *filter,
                                           const cmsis_nn_dims *out, int8_t *output)
{
    (void)ctx;
    return stub_pool(STUB_MAX_POOL, params, in, input, filter, out, output);
}

static int32_t arm_avgpool_s8_get_buffer_size(const int width, const int channels)
{
    (void)width;
    return 4 * channels;
}

static arm_cmsis_nn_status arm_avgpool_s8(const cmsis_nn_context *ctx, const cmsis_nn_pool_params *params,
                                          const cmsis_nn_dims *in, const int8_t *input, const cmsis_nn_dims *filter,
                                          const cmsis_nn_dims *out, int8_t *output)
{
    if (!stub_has_memory(ctx, 4 * in->c))
        return ARM_CMSIS_NN_ARG_ERROR;
    return stub_pool(STUB_AVERAGE_POOL, params, in, input, filter, out, output);
}

#endif
