/* shapes: layers, their integers, and the order in which they are computed. Written by qatviz. */
#include "shapes.h"
#include "qatviz_nn.h"

#ifdef SHAPES_HOOKS
#include SHAPES_HOOKS
#endif
#ifndef SHAPES_LAYER_BEGIN
#define SHAPES_LAYER_BEGIN(index) ((void)0)
#endif
#ifndef SHAPES_LAYER_END
#define SHAPES_LAYER_END(index) ((void)0)
#endif

#ifdef QATVIZ_DUMP
#define DUMP(layer, codes, bytes) qatviz_dump(layer, codes, bytes)
#else
#define DUMP(layer, codes, bytes) ((void)0)
#endif

/* ---- Codes of the input ---- */
static const qnn_bounds input_op = {
    .count = 128,
    .storage = QNN_INT16,
    .activation_min = -2048,
    .activation_max = 2047};

/* ---- "conv1", Conv2D, with "conv1_bn", "conv1_relu": 8x8x2 to 4x4x6; 12 bits, scale 0.00173108582, zero point 0 ---- */
/* Weights: 4 bits, codes -7 to 7; scale 0.447110236, 0.271085083, 0.293356746, 0.581779659, 0.363400936, 0.44456014;
   zero point 0. */
static const int8_t conv1_weights[108] = {
    1, 0, 2, -2, -2, -1, -2, 3, -7, 2, 2, -3, 3, -2, 4, -1, 2, 0, -2, 0, -4, 5, -7, 1, -3, 2, 1, 1, 1,
    4, -6, -2, -3, -4, -5, 0, 0, -3, 4, 2, -6, 1, 0, -1, 1, 1, 0, -4, 5, -5, -7, -2, -2, -1, -4, 7, 0, 0,
    -4, -1, -2, -1, 2, -1, 1, -3, 4, -4, 0, 2, 0, -2, 3, -1, 4, 3, -7, -1, -2, 0, -3, 1, 2, -1, -2, 0, -2,
    1, -4, -3, -4, 2, -2, 2, -2, 1, -1, 7, 6, 0, 1, 2, 0, 1, 2, -2, -3, -2};
static const int64_t conv1_bias[6] = {
    2351LL, 9086LL, 5971LL, 2575LL, 3829LL, -4847LL};
static const int32_t conv1_multiplier[6] = {
    32261, 19560, 21167, 20989, 26221, 32077};
static const qnn_shift conv1_shift[6] = {
    13, 13, 13, 14, 13, 13};
static const qnn_conv conv1_op = {
    .in = {8, 8, 2, QNN_INT16},
    .out = {4, 4, 6, QNN_INT16},
    .kernel_height = 3,
    .kernel_width = 3,
    .stride_height = 2,
    .stride_width = 2,
    .dilation_height = 1,
    .dilation_width = 1,
    .pad_top = 0,
    .pad_left = 0,
    .weights = conv1_weights,
    .weights_storage = QNN_INT8,
    .weights_offset = 0,
    .bias = 0,
    .wide_bias = conv1_bias,
    .multiplier = conv1_multiplier,
    .shift = conv1_shift,
    .input_offset = 0,
    .output_offset = 0,
    .activation_min = 0,
    .activation_max = 2047};

/* ---- "depthwise", DepthwiseConv2D, with "depthwise_bn", "depthwise_relu": 4x4x6 to 4x4x6; 12 bits, scale 0.00182542577, zero point 0 ---- */
/* Weights: 8 bits, codes -127 to 127; scale 0.0107830521, 0.0158726331, 0.0145175233, 0.00425816188, 0.0108856289,
   0.0103963809; zero point 0. */
static const int8_t depthwise_weights[54] = {
    18, 127, 29, -23, 98, -39, -44, 73, 77, 19, -127, 34, 21, 12, 47, 127, 15, -43, -127,
    27, -41, -56, -46, 19, 43, 49, -88, 110, 27, -127, 19, -111, -69, 123, 38, -18, -67, 39,
    -127, 53, -10, 24, -14, -45, 15, -60, -57, -58, -75, 17, 54, -15, -44, -15};
static const int64_t depthwise_bias[6] = {
    31078LL, -6167LL, 18273LL, -83929LL, 18359LL, 45892LL};
static const int32_t depthwise_multiplier[6] = {
    21445, 31567, 28872, 16937, 21649, 20676};
static const qnn_shift depthwise_shift[6] = {
    10, 10, 10, 9, 10, 10};
static const qnn_conv depthwise_op = {
    .in = {4, 4, 6, QNN_INT16},
    .out = {4, 4, 6, QNN_INT16},
    .kernel_height = 3,
    .kernel_width = 3,
    .stride_height = 1,
    .stride_width = 1,
    .dilation_height = 1,
    .dilation_width = 1,
    .pad_top = 1,
    .pad_left = 1,
    .weights = depthwise_weights,
    .weights_storage = QNN_INT8,
    .weights_offset = 0,
    .bias = 0,
    .wide_bias = depthwise_bias,
    .multiplier = depthwise_multiplier,
    .shift = depthwise_shift,
    .input_offset = 0,
    .output_offset = 0,
    .activation_min = 0,
    .activation_max = 2047};

/* ---- "pointwise", Conv2D: 4x4x6 to 4x4x6; 12 bits, scale 0.00214579026, zero point 0 ---- */
/* Weights: 8 bits, codes -127 to 127; scale 0.00740170199, 0.0116740055, 0.0135960383, 0.00540764257, 0.00959614851,
   0.00749110524; zero point 0. */
static const int8_t pointwise_weights[36] = {
    127, -62, 35, -124, 41, 19, 72, 25, -50, 6, 127, -59, 29, -5, 53, -42, 28, -127, -15,
    -66, 21, -6, 127, 74, -127, 2, -45, 64, -13, 20, -116, -127, -36, 27, -85, -75};
static const int64_t pointwise_bias[6] = {
    11375LL, -231LL, -2909LL, -6069LL, 7046LL, -1455LL};
static const int32_t pointwise_multiplier[6] = {
    26410, 20827, 24256, 19295, 17120, 26729};
static const qnn_shift pointwise_shift[6] = {
    9, 10, 10, 9, 10, 9};
static const qnn_conv pointwise_op = {
    .in = {4, 4, 6, QNN_INT16},
    .out = {4, 4, 6, QNN_INT16},
    .kernel_height = 1,
    .kernel_width = 1,
    .stride_height = 1,
    .stride_width = 1,
    .dilation_height = 1,
    .dilation_width = 1,
    .pad_top = 0,
    .pad_left = 0,
    .weights = pointwise_weights,
    .weights_storage = QNN_INT8,
    .weights_offset = 0,
    .bias = 0,
    .wide_bias = pointwise_bias,
    .multiplier = pointwise_multiplier,
    .shift = pointwise_shift,
    .input_offset = 0,
    .output_offset = 0,
    .activation_min = -2048,
    .activation_max = 2047};

/* ---- "residual", Add: 4x4x6, 4x4x6 to 4x4x6; 12 bits, scale 0.00244876975, zero point 0 ---- */
static const qnn_storage residual_in_storage[2] = {QNN_INT16, QNN_INT16};
static const int32_t residual_input_offset[2] = {
    0, 0};
static const int32_t residual_multiplier[3] = {
    1073741824, 1732451939, 1881781452};
static const qnn_shift residual_shift[3] = {
    15, 14, -14};
static const qnn_rounded_sum residual_op = {
    .count = 96,
    .inputs = 2,
    .in_storage = residual_in_storage,
    .input_offset = residual_input_offset,
    .multiplier = residual_multiplier,
    .out_storage = QNN_INT16,
    .shift = residual_shift,
    .output_offset = 0,
    .activation_min = -2048,
    .activation_max = 2047};

/* ---- "side", Conv2D, with "side/relu": 4x4x6 to 4x4x4; 12 bits, scale 0.00244876975, zero point 0 ---- */
/* Weights: 8 bits, codes -127 to 127; scale 0.00563398795, 0.00489217695, 0.00356504461, 0.00574865798; zero point 0.
   */
static const int8_t side_weights[96] = {
    -38, -40, 37, -9, -79, -127, -9, -28, -89, -43, 39, -40, 25, 55, 58, -17, 69, -29, 118,
    -23, 29, 40, -7, 11, -32, -57, -42, -1, -49, 6, 21, 86, -56, -44, -45, 19, 95, 26,
    3, -3, 14, -47, 7, 46, -16, 26, 18, 127, -74, 42, -79, 35, 121, 127, 43, -48, -108,
    -84, 38, 98, -29, 9, 41, -16, 49, -25, 16, -46, 16, 66, 10, -22, -82, -62, -2, 16,
    -2, 63, -16, 50, 12, 1, -11, -127, 29, 70, -40, -26, -60, 87, -20, -50, 10, -9, 15,
    28};
static const int64_t side_bias[4] = {
    -4054LL, 11863LL, -19552LL, -14821LL};
static const int32_t side_multiplier[4] = {
    16705, 29011, 21141, 17045};
static const qnn_shift side_shift[4] = {
    9, 8, 8, 9};
static const qnn_conv side_op = {
    .in = {4, 4, 6, QNN_INT16},
    .out = {4, 4, 4, QNN_INT16},
    .kernel_height = 2,
    .kernel_width = 2,
    .stride_height = 1,
    .stride_width = 1,
    .dilation_height = 1,
    .dilation_width = 1,
    .pad_top = 0,
    .pad_left = 0,
    .weights = side_weights,
    .weights_storage = QNN_INT8,
    .weights_offset = 0,
    .bias = 0,
    .wide_bias = side_bias,
    .multiplier = side_multiplier,
    .shift = side_shift,
    .input_offset = 0,
    .output_offset = 0,
    .activation_min = 0,
    .activation_max = 2047};

/* ---- "together", Concat: 4x4x6, 4x4x4 to 4x4x10; 12 bits, scale 0.00244876975, zero point 0 ---- */
static const int32_t together_piece[2] = {
    6, 4};
static const qnn_join together_op = {
    .outer = 16,
    .inputs = 2,
    .piece = together_piece,
    .storage = QNN_INT16,
    .activation_min = -2048,
    .activation_max = 2047};

/* ---- "pool", AveragePool: 4x4x10 to 2x2x10; 12 bits, scale 0.00244876975, zero point 0 ---- */
static const qnn_pool pool_op = {
    .in = {4, 4, 10, QNN_INT16},
    .out = {2, 2, 10, QNN_INT16},
    .pool_height = 2,
    .pool_width = 2,
    .stride_height = 2,
    .stride_width = 2,
    .pad_top = 0,
    .pad_left = 0,
    .tie_center = 0,
    .activation_min = -2048,
    .activation_max = 2047};

/* ---- "dense1", Dense, with "dense1/relu": 40 to 8; 12 bits, scale 0.000524437404, zero point 0 ---- */
/* Weights: 8 bits, codes -127 to 127; scale 0.00635397946; zero point 0. */
static const int8_t dense1_weights[320] = {
    43, -30, -36, -58, 27, -4, 3, 45, -6, -12, -41, -12, 6, -24, -47, 42, -27, 27, 103,
    -39, 1, 73, 50, 2, 39, 9, -3, -66, 30, 13, -25, -13, -60, -6, -23, 35, 3, 24,
    6, 39, 16, 44, -19, -34, -31, 24, 26, -10, -1, -55, 50, -32, 20, -9, 9, 36, 1,
    -2, 51, 23, 0, -34, 3, 12, -21, -37, 0, 8, -33, 50, -44, 2, 30, 10, -40, -13,
    51, -36, 8, -63, 0, -13, 17, -33, -8, -13, 17, 64, -55, -38, 15, -11, 14, -38, 31,
    -13, 5, -7, -9, -1, -45, -12, 27, 4, 59, 12, -60, -13, 59, 35, 0, -28, 26, 4,
    71, 27, -28, 1, -34, -37, -23, -33, -17, 11, 34, 50, -11, 21, -67, 16, 9, 24, 1,
    48, -26, 0, 20, -21, -30, 41, -18, -30, -33, -2, -9, 23, -23, 40, 12, -36, 16, 3,
    7, 14, 48, 65, -77, 6, 25, 24, 38, -23, -9, -5, 35, 25, -39, 1, -46, -31, 0,
    -4, 1, -82, -101, -29, -9, 49, -32, 5, -7, -4, 33, 46, -51, 37, -1, 46, -9, -15,
    31, -35, -7, -71, -15, 49, 48, 49, -73, -7, 16, 37, -4, -29, -28, 24, -45, -19, 27,
    -4, -7, 66, 44, -47, 20, 19, -72, -27, -50, -34, 30, 28, -22, 13, 35, -6, -8, -7,
    -49, -16, -34, -28, 49, -25, 27, -41, -35, 73, 33, 25, -28, 16, -13, 31, 8, -12, 66,
    -55, 63, 41, 17, 0, -49, -21, -14, 5, 10, 44, 46, 3, -24, 26, 48, -48, -23, -48,
    -1, -18, -16, -32, -28, -56, 13, -79, -26, 24, -6, 27, 2, -10, -18, -27, -35, -45, -39,
    -3, 37, 22, -25, -7, -47, -26, 30, 22, -10, 20, -42, 56, 13, 31, -14, 15, -37, -21,
    -127, 47, -37, 43, 18, -25, -115, -40, -29, 12, 35, 30, -50, 39, 0, -42};
static const int64_t dense1_bias[8] = {
    284LL, -604LL, 890LL, 4623LL, 9425LL, -6395LL, -5960LL, 8829LL};
static const int32_t dense1_multiplier[8] = {
    31110, 31110, 31110, 31110, 31110, 31110, 31110, 31110};
static const qnn_shift dense1_shift[8] = {
    11, 11, 11, 11, 11, 11, 11, 11};
static const qnn_conv dense1_op = {
    .in = {1, 1, 40, QNN_INT16},
    .out = {1, 1, 8, QNN_INT16},
    .kernel_height = 1,
    .kernel_width = 1,
    .stride_height = 1,
    .stride_width = 1,
    .dilation_height = 1,
    .dilation_width = 1,
    .pad_top = 0,
    .pad_left = 0,
    .weights = dense1_weights,
    .weights_storage = QNN_INT8,
    .weights_offset = 0,
    .bias = 0,
    .wide_bias = dense1_bias,
    .multiplier = dense1_multiplier,
    .shift = dense1_shift,
    .input_offset = 0,
    .output_offset = 0,
    .activation_min = 0,
    .activation_max = 2047};

/* ---- "logits", Dense: 8 to 3; 12 bits, scale 0.000318302395, zero point 0 ---- */
/* Weights: 8 bits, codes -127 to 127; scale 0.00775247579; zero point 0. */
static const int8_t logits_weights[24] = {
    -49, 23, -110, 26, 44, -62, -23, -48, 11, 28, 45, -29, -23, 30, 83, 60, 68, 7, 55,
    20, -27, -80, -127, -18};
static const int64_t logits_bias[3] = {
    32195LL, -35133LL, -12619LL};
static const int32_t logits_multiplier[3] = {
    26787, 26787, 26787};
static const qnn_shift logits_shift[3] = {
    10, 10, 10};
static const qnn_conv logits_op = {
    .in = {1, 1, 8, QNN_INT16},
    .out = {1, 1, 3, QNN_INT16},
    .kernel_height = 1,
    .kernel_width = 1,
    .stride_height = 1,
    .stride_width = 1,
    .dilation_height = 1,
    .dilation_width = 1,
    .pad_top = 0,
    .pad_left = 0,
    .weights = logits_weights,
    .weights_storage = QNN_INT8,
    .weights_offset = 0,
    .bias = 0,
    .wide_bias = logits_bias,
    .multiplier = logits_multiplier,
    .shift = logits_shift,
    .input_offset = 0,
    .output_offset = 0,
    .activation_min = -2048,
    .activation_max = 2047};

void shapes_run_in(void *memory, const int16_t *input, int16_t *output)
{
    int8_t *const arena = (int8_t *)memory;
    SHAPES_LAYER_BEGIN(0);
    qnn_clamp(&input_op, input, arena + 0);
    SHAPES_LAYER_END(0);
    SHAPES_LAYER_BEGIN(1);
    qnn_conv2d(&conv1_op, arena + 0, arena + 256);
    SHAPES_LAYER_END(1);
    DUMP("conv1_relu", arena + 256, 192);
    SHAPES_LAYER_BEGIN(2);
    qnn_depthwise_conv2d(&depthwise_op, arena + 256, arena + 0);
    SHAPES_LAYER_END(2);
    DUMP("depthwise_relu", arena + 0, 192);
    SHAPES_LAYER_BEGIN(3);
    qnn_conv2d(&pointwise_op, arena + 0, arena + 448);
    SHAPES_LAYER_END(3);
    DUMP("pointwise", arena + 448, 192);
    SHAPES_LAYER_BEGIN(4);
    {
        const void *const inputs[2] = {arena + 448, arena + 256};
        qnn_add_rounded(&residual_op, inputs, arena + 640);
    }
    SHAPES_LAYER_END(4);
    DUMP("residual", arena + 640, 192);
    SHAPES_LAYER_BEGIN(5);
    qnn_conv2d(&side_op, arena + 256, arena + 448);
    SHAPES_LAYER_END(5);
    DUMP("side/relu", arena + 448, 128);
    SHAPES_LAYER_BEGIN(6);
    {
        const void *const inputs[2] = {arena + 640, arena + 448};
        qnn_concat(&together_op, inputs, arena + 0);
    }
    SHAPES_LAYER_END(6);
    DUMP("together", arena + 0, 320);
    SHAPES_LAYER_BEGIN(7);
    qnn_average_pool(&pool_op, arena + 0, arena + 320);
    SHAPES_LAYER_END(7);
    DUMP("pool", arena + 320, 80);
    DUMP("flat", arena + 320, 80);
    SHAPES_LAYER_BEGIN(8);
    qnn_conv2d(&dense1_op, arena + 320, arena + 0);
    SHAPES_LAYER_END(8);
    DUMP("dense1/relu", arena + 0, 16);
    SHAPES_LAYER_BEGIN(9);
    qnn_conv2d(&logits_op, arena + 0, output);
    SHAPES_LAYER_END(9);
    DUMP("logits", output, 6);
}

#ifndef SHAPES_NO_STATIC_ARENA
static union {
    int64_t aligned;
    int8_t bytes[SHAPES_ARENA_BYTES];
} arena;

void shapes_run(const int16_t *input, int16_t *output)
{
    shapes_run_in(arena.bytes, input, output);
}
#endif
