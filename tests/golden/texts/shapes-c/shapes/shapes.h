/* shapes: a quantized network.
 *
 * Written by qatviz 0.1.0; do not edit.
 * checkpoint: final-00000040
 * run: b3b14a447169422f94f15d64cc535575
 * step: 40
 */
#ifndef SHAPES_H
#define SHAPES_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define SHAPES_INPUT_SIZE 128  /* [8][8][2] */
#define SHAPES_INPUT_SCALE 0.00382468337f  /* value = scale * (code - zero point) */
#define SHAPES_INPUT_ZERO_POINT (-128)
#define SHAPES_INPUT_MIN (-128)  /* 8 bits */
#define SHAPES_INPUT_MAX 127
#define SHAPES_OUTPUT_SIZE 3  /* [3] */
#define SHAPES_OUTPUT_SCALE 0.00434511015f  /* value = scale * (code - zero point) */
#define SHAPES_OUTPUT_ZERO_POINT 16
#define SHAPES_OUTPUT_MIN (-128)  /* 8 bits */
#define SHAPES_OUTPUT_MAX 127

/* Bytes of memory for the outputs of layers. */
#define SHAPES_ARENA_BYTES 320

/* The softmax "logits/softmax" after the logits is not computed: it keeps their order. For an integer kernel: */
#define SHAPES_SOFTMAX_MULTIPLIER 1194374784
#define SHAPES_SOFTMAX_SHIFT 19
#define SHAPES_SOFTMAX_DIFF_MIN (-3968)

/* Names of the layers, in the order in which they are computed. Before and after a layer, shapes.c invokes
 * SHAPES_LAYER_BEGIN and SHAPES_LAYER_END with the index of its name. These macros are empty unless defined:
 * by options of the compiler, or in a header that SHAPES_HOOKS names ("hooks.h"), which shapes.c then includes. */
#define SHAPES_LAYERS 9
#define SHAPES_LAYER_NAMES { \
    "conv1", "depthwise", "pointwise", "residual", "side", "together", "pool", "dense1", "logits" \
    }

/* Returns the code of a value of the input: code = floor((min(max(value, 0.0), 0.97529423) - 0.0) / 0.0038246834 + 0.5) - 128,
 * each operation rounded to float32. */
static inline int8_t shapes_input_code(float value)
{
    /* Variables, because a compiler may give constants and intermediate results more digits. */
    const float lowest = 0.0f, highest = 0.975294232f, scale = SHAPES_INPUT_SCALE;
    float steps = value > lowest ? value : lowest;
    steps = steps < highest ? steps : highest;
    steps = steps - lowest;
    steps = steps / scale;
    steps = steps + 0.5f;
    return (int8_t)((int32_t)steps + SHAPES_INPUT_MIN);
}

/* Computes the codes of an output, SHAPES_OUTPUT_SIZE of them, from those of an input, SHAPES_INPUT_SIZE of them;
 * the two must not overlap. One call at a time: all share one block of memory. */
void shapes_run(const int8_t *input, int8_t *output);

/* The same in memory of the caller: SHAPES_ARENA_BYTES bytes, aligned for an int64_t. Calls with memory of their own
 * may run at the same time. Compile shapes.c with SHAPES_NO_STATIC_ARENA to have this function only. */
void shapes_run_in(void *memory, const int8_t *input, int8_t *output);

#ifdef __cplusplus
}
#endif

#endif
