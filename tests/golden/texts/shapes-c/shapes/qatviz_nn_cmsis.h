/* Layers by the functions of Arm's CMSIS-NN, for programs that define QATVIZ_NN_USE_CMSIS_NN; included by qatviz_nn.c.
 *
 * Each function returns 1 if CMSIS-NN computed the layer, else 0: then qatviz_nn.c does, with the same codes. These are
 * layers whose inputs, outputs or weights do not have 8 bits (CMSIS-NN's functions for 4 bits round twice with Helium), or
 * whose weights have zero points, and those that need more memory than QATVIZ_NN_CMSIS_BYTES.
 */
#ifndef QATVIZ_NN_CMSIS_H
#define QATVIZ_NN_CMSIS_H

#ifndef CMSIS_NN_USE_SINGLE_ROUNDING
#error "define CMSIS_NN_USE_SINGLE_ROUNDING, for CMSIS-NN as well: by default it rounds twice, to other codes"
#endif

#include "arm_nnfunctions.h"
#include "qatviz_nn.h"

/* Size of the memory on the stack for CMSIS-NN. */
#ifndef QATVIZ_NN_CMSIS_BYTES
#define QATVIZ_NN_CMSIS_BYTES 4608
#endif

/* A kernel's memory; CMSIS-NN casts it to types of up to 32 bits. */
typedef struct {
    int64_t bytes[(QATVIZ_NN_CMSIS_BYTES + 7) / 8];
} cmsis_memory;

static int cmsis_context(cmsis_memory *memory, int32_t needed, cmsis_nn_context *context)
{
    context->buf = memory->bytes;
    context->size = (int32_t)sizeof memory->bytes;
    return needed <= context->size;
}

static cmsis_nn_dims cmsis_shape(const qnn_shape *shape)
{
    cmsis_nn_dims dims = {1, shape->height, shape->width, shape->channels};
    return dims;
}

static cmsis_nn_tile cmsis_tile(int32_t width, int32_t height)
{
    cmsis_nn_tile tile = {width, height};
    return tile;
}

static int cmsis_supports(const qnn_conv *op)
{
    return op->in.storage == QNN_INT8 && op->out.storage == QNN_INT8 && op->weights_storage == QNN_INT8
        && !op->weights_offset && op->bias;
}

/* CMSIS-NN does not write to the arrays. */
static cmsis_nn_per_channel_quant_params cmsis_multipliers(const qnn_conv *op)
{
    cmsis_nn_per_channel_quant_params multipliers = {(int32_t *)(uintptr_t)op->multiplier,
                                                     (int32_t *)(uintptr_t)op->shift};
    return multipliers;
}

static int cmsis_dense(const qnn_conv *op, const int8_t *input, int8_t *output)
{
    cmsis_nn_dims in = cmsis_shape(&op->in), out = cmsis_shape(&op->out);
    cmsis_nn_dims filter = {op->in.channels, 1, 1, op->out.channels}, bias = {1, 1, 1, op->out.channels};
    cmsis_nn_per_channel_quant_params multipliers = cmsis_multipliers(op);
    cmsis_nn_context context;
    cmsis_nn_fc_params fc;
    context.buf = (int32_t *)(uintptr_t)op->kernel_sum;
    context.size = op->out.channels * (int32_t)sizeof *op->kernel_sum;
    fc.input_offset = op->input_offset;
    fc.filter_offset = 0;
    fc.output_offset = op->output_offset;
    fc.activation.min = op->activation_min;
    fc.activation.max = op->activation_max;
    return arm_fully_connected_per_channel_s8(&context, &fc, &multipliers, &in, input, &filter, op->weights, &bias,
                                              op->bias, &out, output) == ARM_CMSIS_NN_SUCCESS;
}

static int cmsis_conv2d(const qnn_conv *op, const void *input, void *output)
{
    cmsis_memory memory;
    cmsis_nn_dims in = cmsis_shape(&op->in), out = cmsis_shape(&op->out);
    cmsis_nn_dims filter = {op->out.channels, op->kernel_height, op->kernel_width, op->in.channels};
    cmsis_nn_dims bias = {1, 1, 1, op->out.channels};
    cmsis_nn_per_channel_quant_params multipliers = cmsis_multipliers(op);
    cmsis_nn_context context;
    cmsis_nn_conv_params conv;
    if (!cmsis_supports(op))
        return 0;
    if (op->kernel_sum)
        return cmsis_dense(op, input, output);
    conv.input_offset = op->input_offset;
    conv.output_offset = op->output_offset;
    conv.stride = cmsis_tile(op->stride_width, op->stride_height);
    conv.padding = cmsis_tile(op->pad_left, op->pad_top);
    conv.dilation = cmsis_tile(op->dilation_width, op->dilation_height);
    conv.activation.min = op->activation_min;
    conv.activation.max = op->activation_max;
    return cmsis_context(&memory, arm_convolve_wrapper_s8_get_buffer_size(&conv, &in, &filter, &out), &context)
        && arm_convolve_wrapper_s8(&context, &conv, &multipliers, &in, input, &filter, op->weights, &bias, op->bias,
                                   &out, output) == ARM_CMSIS_NN_SUCCESS;
}

static int cmsis_depthwise_conv2d(const qnn_conv *op, const void *input, void *output)
{
    cmsis_memory memory;
    cmsis_nn_dims in = cmsis_shape(&op->in), out = cmsis_shape(&op->out);
    cmsis_nn_dims filter = {1, op->kernel_height, op->kernel_width, op->out.channels};
    cmsis_nn_dims bias = {1, 1, 1, op->out.channels};
    cmsis_nn_per_channel_quant_params multipliers = cmsis_multipliers(op);
    cmsis_nn_context context;
    cmsis_nn_dw_conv_params conv;
    if (!cmsis_supports(op))
        return 0;
    conv.input_offset = op->input_offset;
    conv.output_offset = op->output_offset;
    conv.ch_mult = op->out.channels / op->in.channels;
    conv.stride = cmsis_tile(op->stride_width, op->stride_height);
    conv.padding = cmsis_tile(op->pad_left, op->pad_top);
    conv.dilation = cmsis_tile(op->dilation_width, op->dilation_height);
    conv.activation.min = op->activation_min;
    conv.activation.max = op->activation_max;
    return cmsis_context(&memory, arm_depthwise_conv_wrapper_s8_get_buffer_size(&conv, &in, &filter, &out), &context)
        && arm_depthwise_conv_wrapper_s8(&context, &conv, &multipliers, &in, input, &filter, op->weights, &bias,
                                         op->bias, &out, output) == ARM_CMSIS_NN_SUCCESS;
}

typedef arm_cmsis_nn_status cmsis_pool_function(const cmsis_nn_context *, const cmsis_nn_pool_params *,
                                                const cmsis_nn_dims *, const int8_t *, const cmsis_nn_dims *,
                                                const cmsis_nn_dims *, int8_t *);

static int cmsis_pool(const qnn_pool *op, const void *input, void *output, int32_t needed, cmsis_pool_function *pool)
{
    cmsis_memory memory;
    cmsis_nn_dims in = cmsis_shape(&op->in), out = cmsis_shape(&op->out);
    cmsis_nn_dims filter = {1, op->pool_height, op->pool_width, 1};
    cmsis_nn_context context;
    cmsis_nn_pool_params params;
    params.stride = cmsis_tile(op->stride_width, op->stride_height);
    params.padding = cmsis_tile(op->pad_left, op->pad_top);
    params.activation.min = op->activation_min;
    params.activation.max = op->activation_max;
    return op->in.storage == QNN_INT8 && op->out.storage == QNN_INT8 && op->tie_center == 0
        && cmsis_context(&memory, needed, &context)
        && pool(&context, &params, &in, input, &filter, &out, output) == ARM_CMSIS_NN_SUCCESS;
}

static int cmsis_max_pool(const qnn_pool *op, const void *input, void *output)
{
    return cmsis_pool(op, input, output, 0, arm_max_pool_s8);
}

static int cmsis_average_pool(const qnn_pool *op, const void *input, void *output)
{
    return cmsis_pool(op, input, output, arm_avgpool_s8_get_buffer_size(op->out.width, op->in.channels),
                      arm_avgpool_s8);
}

#endif
