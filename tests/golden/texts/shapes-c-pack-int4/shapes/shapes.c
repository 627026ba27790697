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

/* ---- "conv1", Conv2D, with "conv1_bn", "conv1_relu": 8x8x2 to 4x4x6; 8 bits, scale 0.014303226, zero point -128 ---- */
/* Weights: 4 bits, codes -7 to 7; scale 0.44078365, 0.298174381, 0.311522186, 0.571981013, 0.372112125, 0.507013917;
   zero point 0. */
static const uint8_t conv1_weights[54] = {
    1, 226, 254, 61, 41, 210, 227, 244, 2, 30, 108, 25, 44, 17, 81, 251, 205, 11, 208, 36, 26, 240, 16,
    192, 181, 233, 14, 125, 16, 252, 255, 226, 209, 196, 32, 224, 243, 52, 249, 15, 29, 242, 14, 14, 203, 45,
    46, 31, 127, 5, 32, 16, 226, 237};
static const int32_t conv1_bias[6] = {
    233, 950, 673, 343, 313, -687};
static const int32_t conv1_multiplier[6] = {
    2024915083, 1369782664, 1431101115, 1313811187, 1709445110, 1164585084};
static const qnn_shift conv1_shift[6] = {
    -3, -3, -3, -2, -3, -2};
static const qnn_conv conv1_op = {
    .in = {8, 8, 2, QNN_INT8},
    .out = {4, 4, 6, QNN_INT8},
    .kernel_height = 3,
    .kernel_width = 3,
    .stride_height = 2,
    .stride_width = 2,
    .dilation_height = 1,
    .dilation_width = 1,
    .pad_top = 0,
    .pad_left = 0,
    .weights = conv1_weights,
    .weights_storage = QNN_INT4,
    .weights_offset = 0,
    .bias = conv1_bias,
    .wide_bias = 0,
    .multiplier = conv1_multiplier,
    .shift = conv1_shift,
    .input_offset = 128,
    .output_offset = -128,
    .activation_min = -128,
    .activation_max = 127};

/* ---- "depthwise", DepthwiseConv2D, with "depthwise_bn", "depthwise_relu": 4x4x6 to 4x4x6; 8 bits, scale 0.0152669316, zero point -128 ---- */
/* Weights: 8 bits, codes -127 to 127; scale 0.0125799058, 0.015884988, 0.0174310375, 0.0040672617, 0.0134002026,
   0.0112549895; zero point 0. */
static const int8_t depthwise_weights[54] = {
    13, 127, 41, -25, 98, -34, -46, 66, 80, 15, -127, 23, 19, 15, 46, 127, 16, -55, -127,
    26, -44, -36, -44, 25, 39, 42, -86, 110, 30, -127, 13, -104, -61, 112, 41, -14, -69, 48,
    -127, 70, -11, 22, -4, -33, 19, -55, -50, -54, -77, 22, 58, -23, -36, -6};
static const int32_t depthwise_bias[6] = {
    2963, -1916, 1486, -12679, 1136, 5116};
static const int32_t depthwise_multiplier[6] = {
    1619830119, 2045403394, 1122238910, 2094856071, 1725454240, 1449229536};
static const qnn_shift depthwise_shift[6] = {
    -6, -6, -5, -8, -6, -6};
static const qnn_conv depthwise_op = {
    .in = {4, 4, 6, QNN_INT8},
    .out = {4, 4, 6, QNN_INT8},
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
    .bias = depthwise_bias,
    .wide_bias = 0,
    .multiplier = depthwise_multiplier,
    .shift = depthwise_shift,
    .input_offset = 128,
    .output_offset = -128,
    .activation_min = -128,
    .activation_max = 127};

/* ---- "pointwise", Conv2D: 4x4x6 to 4x4x6; 8 bits, scale 0.029957464, zero point 17 ---- */
/* Weights: 8 bits, codes -127 to 127; scale 0.00739269331, 0.011668805, 0.0135901915, 0.00540171098, 0.00955649558,
   0.00745839626; zero point 0. */
static const int8_t pointwise_weights[36] = {
    127, -63, 33, -127, 40, 15, 72, 28, -48, 5, 127, -62, 28, -3, 53, -41, 28, -127, -16,
    -70, 18, -6, 127, 74, -126, 1, -44, 64, -11, 20, -114, -123, -30, 31, -81, -70};
static const int32_t pointwise_bias[6] = {
    1306, 90, -373, -807, 962, 232};
static const int32_t pointwise_multiplier[6] = {
    2071186636, 1634605416, 1903759687, 1513379647, 1338706011, 2089594415};
static const qnn_shift pointwise_shift[6] = {
    -8, -7, -7, -8, -7, -8};
static const qnn_conv pointwise_op = {
    .in = {4, 4, 6, QNN_INT8},
    .out = {4, 4, 6, QNN_INT8},
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
    .bias = pointwise_bias,
    .wide_bias = 0,
    .multiplier = pointwise_multiplier,
    .shift = pointwise_shift,
    .input_offset = 128,
    .output_offset = 17,
    .activation_min = -128,
    .activation_max = 127};

/* ---- "residual", Add: 4x4x6, 4x4x6 to 4x4x6; 8 bits, scale 0.035498824, zero point -13 ---- */
static const qnn_storage residual_in_storage[2] = {QNN_INT8, QNN_INT8};
static const int32_t residual_input_offset[2] = {
    -17, 128};
static const int32_t residual_multiplier[2] = {
    1812261839, 865266523};
static const qnn_sum residual_op = {
    .count = 96,
    .inputs = 2,
    .in_storage = residual_in_storage,
    .input_offset = residual_input_offset,
    .multiplier = residual_multiplier,
    .out_storage = QNN_INT8,
    .shift = 0,
    .output_offset = -13,
    .activation_min = -128,
    .activation_max = 127};

/* ---- "side", Conv2D, with "side/relu": 4x4x6 to 4x4x4; 8 bits, scale 0.035498824, zero point -13 ---- */
/* Weights: 8 bits, codes -127 to 127; scale 0.00572584476, 0.00527788932, 0.00368576893, 0.00582329929; zero point 0.
   */
static const int8_t side_weights[96] = {
    -44, -44, 33, -15, -84, -127, -14, -34, -90, -47, 28, -46, 22, 50, 53, -21, 65, -36, 113,
    -29, 20, 34, -16, 4, -23, -56, -40, 1, -45, 6, 28, 75, -55, -38, -42, 15, 88, 24,
    3, -3, 14, -38, 9, 39, -15, 24, 17, 127, -67, 41, -73, 39, 121, 127, 43, -46, -106,
    -81, 38, 97, -24, 11, 45, -14, 53, -25, 15, -42, 20, 64, 12, -25, -85, -64, -1, 14,
    -3, 63, -18, 50, 10, -1, -13, -127, 24, 69, -36, -27, -60, 80, -24, -50, 10, -10, 13,
    24};
static const int32_t side_bias[4] = {
    -808, 1485, -2208, -2085};
static const int32_t side_multiplier[4] = {
    1268321739, 1169095920, 1632856302, 1289908718};
static const qnn_shift side_shift[4] = {
    -8, -8, -9, -8};
static const qnn_conv side_op = {
    .in = {4, 4, 6, QNN_INT8},
    .out = {4, 4, 4, QNN_INT8},
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
    .bias = side_bias,
    .wide_bias = 0,
    .multiplier = side_multiplier,
    .shift = side_shift,
    .input_offset = 128,
    .output_offset = -13,
    .activation_min = -13,
    .activation_max = 127};

/* ---- "together", Concat: 4x4x6, 4x4x4 to 4x4x10; 8 bits, scale 0.035498824, zero point -13 ---- */
static const int32_t together_piece[2] = {
    6, 4};
static const qnn_join together_op = {
    .outer = 16,
    .inputs = 2,
    .piece = together_piece,
    .storage = QNN_INT8,
    .activation_min = -128,
    .activation_max = 127};

/* ---- "pool", AveragePool: 4x4x10 to 2x2x10; 8 bits, scale 0.035498824, zero point -13 ---- */
static const qnn_pool pool_op = {
    .in = {4, 4, 10, QNN_INT8},
    .out = {2, 2, 10, QNN_INT8},
    .pool_height = 2,
    .pool_width = 2,
    .stride_height = 2,
    .stride_width = 2,
    .pad_top = 0,
    .pad_left = 0,
    .tie_center = 0,
    .activation_min = -128,
    .activation_max = 127};

/* ---- "dense1", Dense, with "dense1/relu": 40 to 8; 8 bits, scale 0.00446532294, zero point -128 ---- */
/* Weights: 4 bits, codes -7 to 7; scale 0.116478913; zero point 0. */
static const uint8_t dense1_weights[160] = {
    243, 222, 241, 48, 0, 254, 240, 46, 47, 230, 64, 3, 2, 208, 18, 15, 13, 47, 16, 33, 33, 239, 31,
    241, 208, 242, 241, 32, 0, 19, 224, 16, 239, 0, 62, 13, 1, 254, 227, 208, 240, 225, 240, 49, 237, 241,
    225, 242, 0, 15, 254, 2, 19, 253, 35, 224, 1, 20, 14, 238, 239, 31, 33, 32, 29, 17, 63, 255, 242,
    46, 240, 14, 31, 63, 225, 18, 17, 51, 12, 34, 242, 0, 18, 14, 237, 0, 176, 234, 63, 14, 15, 34,
    45, 32, 255, 226, 192, 63, 51, 12, 33, 240, 30, 254, 2, 64, 227, 17, 252, 238, 34, 31, 242, 0, 254,
    254, 242, 210, 78, 18, 30, 47, 240, 212, 35, 1, 253, 15, 33, 2, 31, 211, 223, 240, 239, 222, 193, 31,
    16, 240, 255, 238, 14, 18, 15, 254, 18, 16, 62, 33, 31, 254, 41, 46, 241, 234, 30, 34, 45, 224};
static const int32_t dense1_bias[8] = {
    11, -6, 3, 32, 31, -17, -24, 36};
static const int32_t dense1_multiplier[8] = {
    1988558012, 1988558012, 1988558012, 1988558012, 1988558012, 1988558012, 1988558012, 1988558012};
static const qnn_shift dense1_shift[8] = {
    0, 0, 0, 0, 0, 0, 0, 0};
static const qnn_conv dense1_op = {
    .in = {1, 1, 40, QNN_INT8},
    .out = {1, 1, 8, QNN_INT8},
    .kernel_height = 1,
    .kernel_width = 1,
    .stride_height = 1,
    .stride_width = 1,
    .dilation_height = 1,
    .dilation_width = 1,
    .pad_top = 0,
    .pad_left = 0,
    .weights = dense1_weights,
    .weights_storage = QNN_INT4,
    .weights_offset = 0,
    .bias = dense1_bias,
    .wide_bias = 0,
    .multiplier = dense1_multiplier,
    .shift = dense1_shift,
    .input_offset = 13,
    .output_offset = -128,
    .activation_min = -128,
    .activation_max = 127};

/* ---- "logits", Dense: 8 to 3; 8 bits, scale 0.00434511015, zero point 16 ---- */
/* Weights: 8 bits, codes -127 to 127; scale 0.00770902168; zero point 0. */
static const int8_t logits_weights[24] = {
    -54, 17, -110, 24, 42, -61, -23, -49, 15, 27, 45, -41, -23, 36, 82, 63, 67, 11, 55,
    28, -26, -87, -127, -23};
static const int32_t logits_bias[3] = {
    3234, -4057, -1016};
static const int32_t logits_multiplier[3] = {
    1088832786, 1088832786, 1088832786};
static const qnn_shift logits_shift[3] = {
    -6, -6, -6};
#ifdef QATVIZ_NN_USE_CMSIS_NN
static const int32_t logits_kernel_sum[3] = {
    -24158, 22055, -14072};
#endif
static const qnn_conv logits_op = {
#ifdef QATVIZ_NN_USE_CMSIS_NN
    .kernel_sum = logits_kernel_sum,
#endif
    .in = {1, 1, 8, QNN_INT8},
    .out = {1, 1, 3, QNN_INT8},
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
    .bias = logits_bias,
    .wide_bias = 0,
    .multiplier = logits_multiplier,
    .shift = logits_shift,
    .input_offset = 128,
    .output_offset = 16,
    .activation_min = -128,
    .activation_max = 127};

void shapes_run_in(void *memory, const int8_t *input, int8_t *output)
{
    int8_t *const arena = (int8_t *)memory;
    SHAPES_LAYER_BEGIN(0);
    qnn_conv2d(&conv1_op, input, arena + 0);
    SHAPES_LAYER_END(0);
    DUMP("conv1_relu", arena + 0, 96);
    SHAPES_LAYER_BEGIN(1);
    qnn_depthwise_conv2d(&depthwise_op, arena + 0, arena + 224);
    SHAPES_LAYER_END(1);
    DUMP("depthwise_relu", arena + 224, 96);
    SHAPES_LAYER_BEGIN(2);
    qnn_conv2d(&pointwise_op, arena + 224, arena + 128);
    SHAPES_LAYER_END(2);
    DUMP("pointwise", arena + 128, 96);
    SHAPES_LAYER_BEGIN(3);
    {
        const void *const inputs[2] = {arena + 128, arena + 0};
        qnn_add(&residual_op, inputs, arena + 224);
    }
    SHAPES_LAYER_END(3);
    DUMP("residual", arena + 224, 96);
    SHAPES_LAYER_BEGIN(4);
    qnn_conv2d(&side_op, arena + 0, arena + 160);
    SHAPES_LAYER_END(4);
    DUMP("side/relu", arena + 160, 64);
    SHAPES_LAYER_BEGIN(5);
    {
        const void *const inputs[2] = {arena + 224, arena + 160};
        qnn_concat(&together_op, inputs, arena + 0);
    }
    SHAPES_LAYER_END(5);
    DUMP("together", arena + 0, 160);
    SHAPES_LAYER_BEGIN(6);
    qnn_average_pool(&pool_op, arena + 0, arena + 280);
    SHAPES_LAYER_END(6);
    DUMP("pool", arena + 280, 40);
    DUMP("flat", arena + 280, 40);
    SHAPES_LAYER_BEGIN(7);
    qnn_conv2d(&dense1_op, arena + 280, arena + 0);
    SHAPES_LAYER_END(7);
    DUMP("dense1/relu", arena + 0, 8);
    SHAPES_LAYER_BEGIN(8);
    qnn_conv2d(&logits_op, arena + 0, output);
    SHAPES_LAYER_END(8);
    DUMP("logits", output, 3);
}

#ifndef SHAPES_NO_STATIC_ARENA
static union {
    int64_t aligned;
    int8_t bytes[SHAPES_ARENA_BYTES];
} arena;

void shapes_run(const int8_t *input, int8_t *output)
{
    shapes_run_in(arena.bytes, input, output);
}
#endif
