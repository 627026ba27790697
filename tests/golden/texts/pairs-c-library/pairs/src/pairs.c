/* pairs: layers, their integers, and the order in which they are computed. Written by qatviz. */
#include "pairs.h"
#include "qatviz_nn.h"

#ifdef PAIRS_HOOKS
#include PAIRS_HOOKS
#endif
#ifndef PAIRS_LAYER_BEGIN
#define PAIRS_LAYER_BEGIN(index) ((void)0)
#endif
#ifndef PAIRS_LAYER_END
#define PAIRS_LAYER_END(index) ((void)0)
#endif

#ifdef QATVIZ_DUMP
#define DUMP(layer, codes, bytes) qatviz_dump(layer, codes, bytes)
#else
#define DUMP(layer, codes, bytes) ((void)0)
#endif

/* ---- "conv1", Conv2D, with "conv1/relu": 5x5x1 to 3x3x4; 7 bits, scale 0.0339255445, zero point -64 ---- */
/* Weights: 8 bits, codes -127 to 127; scale 0.00742372079; zero point -7. */
static const int8_t conv1_weights[36] = {
    -63, -60, -73, 4, -39, -111, 5, -26, -25, 2, 9, -54, 14, -36, -120, -34, -12, -78, -30,
    15, 6, -51, -127, 31, 33, 9, 27, -89, 25, -29, 127, -65, -43, 85, -67, 35};
static const int32_t conv1_weights_offset[4] = {
    7, 7, 7, 7};
static const int32_t conv1_bias[4] = {
    -1380, -1274, -421, -735};
static const int32_t conv1_multiplier[4] = {
    1896434875, 1896434875, 1896434875, 1896434875};
static const qnn_shift conv1_shift[4] = {
    -8, -8, -8, -8};
static const qnn_conv conv1_op = {
    .in = {5, 5, 1, QNN_INT8},
    .out = {3, 3, 4, QNN_INT8},
    .kernel_height = 3,
    .kernel_width = 3,
    .stride_height = 1,
    .stride_width = 1,
    .dilation_height = 1,
    .dilation_width = 1,
    .pad_top = 0,
    .pad_left = 0,
    .weights = conv1_weights,
    .weights_storage = QNN_INT8,
    .weights_offset = conv1_weights_offset,
    .bias = conv1_bias,
    .wide_bias = 0,
    .multiplier = conv1_multiplier,
    .shift = conv1_shift,
    .input_offset = 49,
    .output_offset = -64,
    .activation_min = -64,
    .activation_max = 63};

/* ---- "pool", MaxPool: 3x3x4 to 2x2x4; 7 bits, scale 0.0339255445, zero point -64 ---- */
static const qnn_pool pool_op = {
    .in = {3, 3, 4, QNN_INT8},
    .out = {2, 2, 4, QNN_INT8},
    .pool_height = 2,
    .pool_width = 2,
    .stride_height = 1,
    .stride_width = 1,
    .pad_top = 0,
    .pad_left = 0,
    .tie_center = 0,
    .activation_min = -64,
    .activation_max = 63};

/* ---- "dense1", Dense, with "dense1/relu": 16 to 6; 8 bits, scale 0.0168210547, zero point -128 ---- */
/* Weights: 5 bits, codes -15 to 15; scale 0.0610356256; zero point 2. */
static const int8_t dense1_weights[96] = {
    0, -3, -3, -3, 4, -3, 13, -1, -1, -1, 5, -5, 7, -6, -2, 0, 5, -6, 6, 7, 5, 4, 7,
    0, 8, 0, 8, 4, 8, 5, 4, 6, 8, 6, -7, -6, 1, -5, 3, 3, 1, 1, 2, 4, -2, 6,
    5, 0, 0, -10, 1, 2, 3, 0, 4, 12, 3, 3, 8, -7, 1, -6, -6, 5, -1, -7, 1, -15, 1,
    6, 7, -11, 5, -3, -5, -13, 5, 3, -9, -1, 5, -7, 5, -1, -11, 6, 1, 15, -7, 7, 3, 12,
    -5, 12, 0, -1};
static const int32_t dense1_weights_offset[6] = {
    -2, -2, -2, -2, -2, -2};
static const int32_t dense1_bias[6] = {
    -27, 35, 13, -1, -149, 61};
static const int32_t dense1_multiplier[6] = {
    2114836783, 2114836783, 2114836783, 2114836783, 2114836783, 2114836783};
static const qnn_shift dense1_shift[6] = {
    -3, -3, -3, -3, -3, -3};
static const qnn_conv dense1_op = {
    .in = {1, 1, 16, QNN_INT8},
    .out = {1, 1, 6, QNN_INT8},
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
    .weights_offset = dense1_weights_offset,
    .bias = dense1_bias,
    .wide_bias = 0,
    .multiplier = dense1_multiplier,
    .shift = dense1_shift,
    .input_offset = 64,
    .output_offset = -128,
    .activation_min = -128,
    .activation_max = 127};

/* ---- "numbers", Dense: 6 to 2; 8 bits, scale 0.0120032886, zero point -110 ---- */
/* Weights: 8 bits, codes -127 to 127; scale 0.00339286239; zero point -127. */
static const int8_t numbers_weights[12] = {
    -83, -54, 46, -62, -29, -6, 127, -70, -43, -75, -49, -30};
static const int32_t numbers_weights_offset[2] = {
    127, 127};
static const int32_t numbers_bias[2] = {
    6630, 9178};
static const int32_t numbers_multiplier[2] = {
    1306950251, 1306950251};
static const qnn_shift numbers_shift[2] = {
    -7, -7};
static const qnn_conv numbers_op = {
    .in = {1, 1, 6, QNN_INT8},
    .out = {1, 1, 2, QNN_INT8},
    .kernel_height = 1,
    .kernel_width = 1,
    .stride_height = 1,
    .stride_width = 1,
    .dilation_height = 1,
    .dilation_width = 1,
    .pad_top = 0,
    .pad_left = 0,
    .weights = numbers_weights,
    .weights_storage = QNN_INT8,
    .weights_offset = numbers_weights_offset,
    .bias = numbers_bias,
    .wide_bias = 0,
    .multiplier = numbers_multiplier,
    .shift = numbers_shift,
    .input_offset = 128,
    .output_offset = -110,
    .activation_min = -128,
    .activation_max = 127};

void pairs_run_in(void *memory, const int8_t *input, int8_t *output)
{
    int8_t *const arena = (int8_t *)memory;
    PAIRS_LAYER_BEGIN(0);
    pairs_qnn_conv2d(&conv1_op, input, arena + 0);
    PAIRS_LAYER_END(0);
    DUMP("conv1/relu", arena + 0, 36);
    PAIRS_LAYER_BEGIN(1);
    pairs_qnn_max_pool(&pool_op, arena + 0, arena + 36);
    PAIRS_LAYER_END(1);
    DUMP("pool", arena + 36, 16);
    DUMP("flat", arena + 36, 16);
    PAIRS_LAYER_BEGIN(2);
    pairs_qnn_conv2d(&dense1_op, arena + 36, arena + 0);
    PAIRS_LAYER_END(2);
    DUMP("dense1/relu", arena + 0, 6);
    PAIRS_LAYER_BEGIN(3);
    pairs_qnn_conv2d(&numbers_op, arena + 0, output);
    PAIRS_LAYER_END(3);
    DUMP("numbers", output, 2);
}

#ifndef PAIRS_NO_STATIC_ARENA
static union {
    int64_t aligned;
    int8_t bytes[PAIRS_ARENA_BYTES];
} arena;

void pairs_run(const int8_t *input, int8_t *output)
{
    pairs_run_in(arena.bytes, input, output);
}
#endif
