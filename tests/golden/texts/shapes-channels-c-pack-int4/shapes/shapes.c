/* shapes: layers, their integers, and the order in which they are computed. Written by qatviz. */
#include "shapes.h"
#include "qatviz_nn.h"

#ifdef QATVIZ_DUMP
#define DUMP(layer, codes, bytes) qatviz_dump(layer, codes, bytes)
#else
#define DUMP(layer, codes, bytes) ((void)0)
#endif

static union {
    int64_t aligned;
    int8_t bytes[SHAPES_ARENA_BYTES];
} arena;

/* ---- Codes of the input ---- */
static const qnn_bounds input_op = {
    .count = 128,
    .storage = QNN_INT8,
    .activation_min = -32,
    .activation_max = 31};

/* ---- "conv1", Conv2D, with "conv1_bn", "conv1_relu": 8x8x2 to 4x4x6; 6 bits, scale 0.0572481118, zero point -32 ---- */
/* Weights: 4 bits, codes -7 to 7; scale 0.44273755, 0.276980847, 0.301737398, 0.580060542, 0.362158477, 0.482610703;
   zero point 0. */
static const uint8_t conv1_weights[54] = {
    1, 226, 254, 61, 41, 210, 226, 244, 2, 14, 92, 25, 45, 17, 65, 251, 205, 11, 208, 36, 26, 240, 16,
    192, 181, 233, 14, 125, 16, 252, 255, 242, 209, 195, 32, 224, 243, 52, 249, 14, 29, 242, 14, 14, 204, 44,
    46, 31, 127, 5, 32, 16, 226, 237};
static const int32_t conv1_bias[6] = {
    69, 274, 180, 82, 106, -152};
static const int32_t conv1_multiplier[6] = {
    2056666574, 1286670287, 1401672890, 1347289301, 1682349364, 1120945469};
static const int8_t conv1_shift[6] = {
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
    .input_offset = 32,
    .output_offset = -32,
    .activation_min = -32,
    .activation_max = 31};

/* ---- "depthwise", DepthwiseConv2D, with "depthwise_bn", "depthwise_relu": 4x4x6 to 4x4x6; 6 bits, scale 0.0600752383, zero point -32 ---- */
/* Weights: 8 bits, codes -127 to 127; scale 0.011637276, 0.0169926062, 0.015449754, 0.00418320158, 0.0113966307,
   0.0107405474; zero point 0. */
static const int8_t depthwise_weights[54] = {
    16, 127, 38, -26, 100, -34, -44, 68, 78, 17, -127, 26, 18, 10, 46, 127, 16, -47, -127,
    29, -40, -43, -44, 21, 41, 47, -88, 111, 31, -127, 15, -99, -61, 113, 41, -14, -68, 44,
    -127, 62, -11, 19, -9, -33, 18, -60, -51, -57, -73, 20, 54, -27, -38, -7};
static const int32_t depthwise_bias[6] = {
    840, -318, 486, -2840, 430, 1347};
static const int32_t depthwise_multiplier[6] = {
    1524146946, 1112770239, 2023471407, 1095757100, 1492629355, 1406701407};
static const int8_t depthwise_shift[6] = {
    -6, -5, -6, -7, -6, -6};
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
    .input_offset = 32,
    .output_offset = -32,
    .activation_min = -32,
    .activation_max = 31};

/* ---- "pointwise", Conv2D: 4x4x6 to 4x4x6; 6 bits, scale 0.121715985, zero point 4 ---- */
/* Weights: 8 bits, codes -127 to 127; scale 0.00745287351, 0.0117661385, 0.0136984708, 0.00536720362, 0.0093985172,
   0.00730605517; zero point 0. */
static const int8_t pointwise_weights[36] = {
    126, -64, 33, -127, 40, 15, 71, 26, -48, 5, 127, -60, 28, -2, 53, -40, 29, -127, -15,
    -69, 19, -6, 127, 74, -127, 3, -44, 66, -11, 21, -117, -127, -32, 30, -84, -73};
static const int32_t pointwise_bias[6] = {
    322, 25, -82, -197, 252, 30};
static const int32_t pointwise_multiplier[6] = {
    2022280831, 1596326321, 1858488194, 1456350087, 1275108261, 1982442783};
static const int8_t pointwise_shift[6] = {
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
    .input_offset = 32,
    .output_offset = 4,
    .activation_min = -32,
    .activation_max = 31};

/* ---- "residual", Add: 4x4x6, 4x4x6 to 4x4x6; 6 bits, scale 0.143906102, zero point -4 ---- */
static const qnn_storage residual_in_storage[2] = {QNN_INT8, QNN_INT8};
static const int32_t residual_input_offset[2] = {
    -4, 32};
static const int32_t residual_multiplier[2] = {
    1816344721, 854302789};
static const qnn_sum residual_op = {
    .count = 96,
    .inputs = 2,
    .in_storage = residual_in_storage,
    .input_offset = residual_input_offset,
    .multiplier = residual_multiplier,
    .out_storage = QNN_INT8,
    .shift = 0,
    .output_offset = -4,
    .activation_min = -32,
    .activation_max = 31};

/* ---- "side", Conv2D, with "side/relu": 4x4x6 to 4x4x4; 6 bits, scale 0.143906102, zero point -4 ---- */
/* Weights: 8 bits, codes -127 to 127; scale 0.00582046574, 0.00511695817, 0.00359359686, 0.00580038875; zero point 0.
   */
static const int8_t side_weights[96] = {
    -43, -45, 33, -14, -81, -127, -13, -30, -90, -46, 28, -45, 21, 51, 52, -20, 65, -32, 111,
    -27, 22, 34, -14, 6, -28, -56, -41, 0, -48, 5, 27, 79, -56, -40, -44, 16, 91, 24,
    2, -4, 13, -43, 10, 41, -16, 24, 17, 127, -72, 41, -77, 35, 121, 127, 42, -47, -110,
    -85, 37, 97, -29, 11, 42, -17, 51, -28, 13, -44, 16, 65, 8, -25, -85, -60, 1, 19,
    0, 65, -20, 48, 9, -2, -15, -127, 25, 71, -35, -24, -56, 82, -26, -49, 8, -11, 11,
    25};
static const int32_t side_bias[4] = {
    -191, 362, -612, -504};
static const int32_t side_multiplier[4] = {
    1272944670, 1119086500, 1571850150, 1268553803};
static const int8_t side_shift[4] = {
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
    .input_offset = 32,
    .output_offset = -4,
    .activation_min = -4,
    .activation_max = 31};

/* ---- "together", Concat: 4x4x6, 4x4x4 to 4x4x10; 6 bits, scale 0.143906102, zero point -4 ---- */
static const int32_t together_piece[2] = {
    6, 4};
static const qnn_join together_op = {
    .outer = 16,
    .inputs = 2,
    .piece = together_piece,
    .storage = QNN_INT8,
    .activation_min = -32,
    .activation_max = 31};

/* ---- "pool", AveragePool: 4x4x10 to 2x2x10; 6 bits, scale 0.143906102, zero point -4 ---- */
static const qnn_pool pool_op = {
    .in = {4, 4, 10, QNN_INT8},
    .out = {2, 2, 10, QNN_INT8},
    .pool_height = 2,
    .pool_width = 2,
    .stride_height = 2,
    .stride_width = 2,
    .pad_top = 0,
    .pad_left = 0,
    .zero_point = -4,
    .activation_min = -32,
    .activation_max = 31};

/* ---- "dense1", Dense, with "dense1/relu": 40 to 8; 6 bits, scale 0.0169138089, zero point -32 ---- */
/* Weights: 8 bits, codes -127 to 127; scale 0.00516663352, 0.00309475814, 0.00356658222, 0.00392233208, 0.0052480856,
   0.00383791164, 0.00405396195, 0.00647402555; zero point 0. */
static const int8_t dense1_weights[320] = {
    62, -36, -45, -71, 25, -11, 4, 61, -10, -7, -41, -20, 2, -24, -51, 51, -30, 34, 127,
    -42, 8, 96, 66, 6, 42, 11, -4, -76, 44, 20, -22, -13, -70, -4, -27, 40, 3, 28,
    9, 52, 21, 88, -38, -69, -53, 55, 51, -25, -3, -115, 93, -52, 52, -26, 9, 78, -4,
    -2, 108, 43, -6, -71, 8, 27, -35, -71, -1, 16, -68, 105, -99, 1, 52, 17, -78, -30,
    116, -76, 13, -127, 1, -24, 34, -61, -15, -22, 29, 115, -99, -60, 29, -22, 24, -67, 56,
    -23, 9, -13, -16, -2, -78, -20, 51, 7, 102, 23, -108, -23, 109, 67, 5, -49, 45, 8,
    127, 46, -51, 0, -62, -66, -30, -45, -35, 26, 59, 74, -9, 46, -98, 40, 23, 37, -9,
    91, -27, -13, 38, -29, -47, 74, -20, -39, -55, 7, -22, 27, -34, 71, 26, -60, 40, 9,
    21, 32, 81, 93, -127, 14, 47, 43, 41, -29, -6, -11, 46, 34, -52, -3, -59, -40, -5,
    -7, 1, -104, -127, -34, -16, 54, -42, 1, -13, -9, 37, 50, -57, 48, -4, 54, -13, -22,
    32, -46, -8, -91, -18, 63, 55, 55, -92, -7, 34, 68, -8, -37, -49, 33, -73, -23, 48,
    -11, -3, 122, 85, -73, 38, 28, -117, -38, -73, -51, 57, 50, -43, 30, 55, -16, -4, -5,
    -79, -27, -53, -38, 75, -29, 50, -78, -51, 127, 61, 50, -47, 23, -19, 46, 15, -16, 101,
    -90, 96, 62, 24, 0, -74, -36, -25, 10, 14, 66, 70, 2, -41, 39, 75, -78, -32, -71,
    -5, -30, -27, -52, -48, -90, 18, -127, -42, 40, -13, 40, 1, -18, -16, -25, -32, -43, -41,
    -4, 37, 24, -24, -3, -43, -24, 32, 26, -9, 18, -40, 57, 15, 31, -11, 18, -36, -21,
    -127, 43, -36, 43, 19, -23, -116, -37, -31, 15, 37, 25, -49, 37, 1, -42};
static const int32_t dense1_bias[8] = {
    40, -51, 32, 193, 161, -128, -178, 165};
static const int32_t dense1_multiplier[8] = {
    1510411539, 1809440668, 2085306388, 1146652962, 1534223206, 1121973527, 1185133586, 1892613992};
static const int8_t dense1_shift[8] = {
    -4, -5, -5, -4, -4, -4, -4, -4};
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
    .weights_storage = QNN_INT8,
    .weights_offset = 0,
    .bias = dense1_bias,
    .wide_bias = 0,
    .multiplier = dense1_multiplier,
    .shift = dense1_shift,
    .input_offset = 4,
    .output_offset = -32,
    .activation_min = -32,
    .activation_max = 31};

/* ---- "logits", Dense: 8 to 3; 6 bits, scale 0.0178579949, zero point 3 ---- */
/* Weights: 8 bits, codes -127 to 127; scale 0.00664522639, 0.00495843543, 0.0076873228; zero point 0. */
static const int8_t logits_weights[24] = {
    -58, 19, -127, 21, 48, -73, -26, -56, 22, 42, 70, -59, -36, 54, 127, 97, 66, 11, 55,
    29, -25, -85, -127, -21};
static const int32_t logits_bias[3] = {
    871, -1587, -261};
static const int32_t logits_multiplier[3] = {
    1730048749, 1290901846, 2001352913};
static const int8_t logits_shift[3] = {
    -7, -7, -7};
static const qnn_conv logits_op = {
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
    .input_offset = 32,
    .output_offset = 3,
    .activation_min = -32,
    .activation_max = 31};

void shapes_run(const int8_t *input, int8_t *output)
{
    qnn_clamp(&input_op, input, arena.bytes + 0);
    qnn_conv2d(&conv1_op, arena.bytes + 0, arena.bytes + 128);
    DUMP("conv1_relu", arena.bytes + 128, 96);
    qnn_depthwise_conv2d(&depthwise_op, arena.bytes + 128, arena.bytes + 0);
    DUMP("depthwise_relu", arena.bytes + 0, 96);
    qnn_conv2d(&pointwise_op, arena.bytes + 0, arena.bytes + 224);
    DUMP("pointwise", arena.bytes + 224, 96);
    {
        const void *const inputs[2] = {arena.bytes + 224, arena.bytes + 128};
        qnn_add(&residual_op, inputs, arena.bytes + 320);
    }
    DUMP("residual", arena.bytes + 320, 96);
    qnn_conv2d(&side_op, arena.bytes + 128, arena.bytes + 224);
    DUMP("side/relu", arena.bytes + 224, 64);
    {
        const void *const inputs[2] = {arena.bytes + 320, arena.bytes + 224};
        qnn_concat(&together_op, inputs, arena.bytes + 0);
    }
    DUMP("together", arena.bytes + 0, 160);
    qnn_average_pool(&pool_op, arena.bytes + 0, arena.bytes + 160);
    DUMP("pool", arena.bytes + 160, 40);
    DUMP("flat", arena.bytes + 160, 40);
    qnn_conv2d(&dense1_op, arena.bytes + 160, arena.bytes + 0);
    DUMP("dense1/relu", arena.bytes + 0, 8);
    qnn_conv2d(&logits_op, arena.bytes + 0, output);
    DUMP("logits", output, 3);
}
